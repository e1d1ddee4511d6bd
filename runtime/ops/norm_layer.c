/*
** norm_layer.c - layer normalisation (Ba, Kiros, Hinton 2016): statistics of the last dimensions.
*/
#include <math.h>
#include <string.h>

#include "norm.h"

enum { X, WEIGHT, BIAS, NDIM, EPS }; /* arguments of both ops */
enum { MAXBLOCKS = 32 };             /* row blocks whose parameter gradients are summed apart */

typedef struct {
  int64_t rows, size, block; /* size: elements of a row; block: rows of a block */
  const gan_real *x, *gy, *w, *b;
  gan_real *mean, *rstd;
  double eps;
  gan_real *y;           /* NULL: not wanted */
  gan_real *gw, *gb;     /* one row of sums for each block; NULL: not wanted */
} layer_job;

static void count_rows (const gan_tensor *x, int64_t ndim, layer_job *j) {
  *j = (layer_job){ .rows = 1, .size = 1 };
  for (int d = 0; d < x->ndim; d++) {
    if (d < x->ndim - ndim) j->rows *= x->shape[d];
    else j->size *= x->shape[d];
  }
  j->block = j->rows / MAXBLOCKS + (j->rows % MAXBLOCKS != 0);
}

/* ---- forward ------------------------------------------------------------------------------- */

static void forward_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const layer_job *j = ud;
  const gan_norm_table *k = GAN_KERNEL(gan_norm);
  (void)worker;
  for (int64_t r = lo; r < hi; r++) {
    double mean, m2;
    const gan_real *x = j->x + r * j->size;
    k->run_moments(j->size, x, &mean, &m2);
    j->mean[r] = (gan_real)mean;
    j->rstd[r] = (gan_real)(1 / sqrt(m2 / (double)j->size + j->eps));
    k->row_affine(j->size, x, j->mean[r], j->rstd[r], j->w, j->b, j->y + r * j->size);
  }
}

static void layer_norm_stats (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  layer_job j;
  gan_tensor *x = gan_dense(c, a[X].t);
  if (!x) return;
  count_rows(x, a[NDIM].i, &j);
  if (!gan_norm_reals(c, &a[WEIGHT], &j.w) || !gan_norm_reals(c, &a[BIAS], &j.b)) return;
  out[0] = gan_new(c, GAN_REAL, x->ndim, x->shape);
  out[1] = gan_new(c, GAN_REAL, 1, &j.rows);
  out[2] = gan_new(c, GAN_REAL, 1, &j.rows);
  if (!out[0] || !out[1] || !out[2]) return;
  j.x = gan_reals(x);
  j.y = gan_reals(out[0]);
  j.mean = gan_reals(out[1]);
  j.rstd = gan_reals(out[2]);
  j.eps = a[EPS].num;
  gan_parallel(j.rows, gan_norm_grain(j.size), forward_rows, &j);
}

/* ---- gradients ----------------------------------------------------------------------------- */

/* gx = rstd (h - <h> - xhat <h xhat>), h = gy w, < > the mean over the last dimensions */
static void layer_norm_stats_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy,
                                  gan_tensor **gx) {
  gan_tensor *x = n->a[X].t, *w = n->a[WEIGHT].t;
  int64_t dims[GAN_MAXDIM];
  int k = (int)n->a[NDIM].i;
  for (int i = 0; i < k; i++) dims[i] = x->ndim - k + i;
  gan_tensor *centred = gan_sub(c, x, gan_mean(c, x, k, dims, true));
  gan_tensor *var = gan_mean(c, gan_square(c, centred), k, dims, true);
  gan_tensor *rstd = gan_rsqrt(c, gan_shift(c, var, n->a[EPS].num));
  gan_tensor *xhat = gan_mul(c, centred, rstd);
  const int64_t *shape = x->shape + x->ndim - k;
  if (gan_wants(n, 1)) gx[1] = gan_sum_to(c, gan_mul(c, gy[0], xhat), k, shape);
  if (gan_wants(n, 2)) gx[2] = gan_sum_to(c, gy[0], k, shape);
  if (!gan_wants(n, 0)) return;
  gan_tensor *h = w ? gan_mul(c, gy[0], w) : gy[0];
  gan_tensor *along = gan_mul(c, xhat, gan_mean(c, gan_mul(c, h, xhat), k, dims, true));
  gan_tensor *left = gan_sub(c, h, gan_mean(c, h, k, dims, true));
  gx[0] = gan_mul(c, rstd, gan_sub(c, left, along));
}

static void backward_block (const layer_job *j, int64_t block) {
  const gan_norm_table *k = GAN_KERNEL(gan_norm);
  int64_t lo = block * j->block, hi = j->rows - lo < j->block ? j->rows : lo + j->block;
  gan_real *gw = j->gw ? j->gw + block * j->size : NULL;
  gan_real *gb = j->gb ? j->gb + block * j->size : NULL;
  if (gw) memset(gw, 0, (size_t)j->size * sizeof *gw);
  if (gb) memset(gb, 0, (size_t)j->size * sizeof *gb);
  for (int64_t r = lo; r < hi; r++) {
    int64_t at = r * j->size;
    double s1, s2, size = (double)j->size, rstd = (double)j->rstd[r];
    if (j->y) {
      k->row_sums(j->size, j->gy + at, j->x + at, j->w, j->mean[r], &s1, &s2);
      double b = -rstd * rstd * rstd * s2 / size, d = -rstd * s1 / size - b * (double)j->mean[r];
      k->row_combine(j->size, j->gy + at, j->x + at, j->w, j->rstd[r], (gan_real)b, (gan_real)d,
                     j->y + at);
    }
    k->row_params(j->size, j->gy + at, j->x + at, j->mean[r], j->rstd[r], gw, gb);
  }
}

static void backward_blocks (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  for (int64_t b = lo; b < hi; b++) backward_block(ud, b);
}

/* The sum of the blocks' rows as a tensor of the parameter's shape. */
static gan_tensor *sum_blocks (gan_ctx *c, const gan_edge *e, const layer_job *j, int64_t blocks,
                               const gan_real *rows) {
  gan_tensor *g = gan_new(c, GAN_REAL, e->ndim, e->shape);
  for (int64_t i = 0; g && i < j->size; i++) {
    double sum = 0;
    for (int64_t b = 0; b < blocks; b++) sum += (double)rows[b * j->size + i];
    gan_reals(g)[i] = (gan_real)sum;
  }
  return g;
}

static void layer_norm_stats_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy,
                                    gan_tensor **gx) {
  layer_job j;
  gan_tensor *x = gan_dense(c, n->a[X].t), *g = gan_dense(c, gy[0]);
  gan_tensor *mean = gan_saved_out(c, n, 1), *rstd = gan_saved_out(c, n, 2);
  if (!x || !g || !mean || !rstd) return;
  count_rows(x, n->a[NDIM].i, &j);
  if (!gan_norm_reals(c, &n->a[WEIGHT], &j.w)) return;
  int64_t blocks = j.block ? j.rows / j.block + (j.rows % j.block != 0) : 0;
  j.x = gan_reals(x);
  j.gy = gan_reals(g);
  j.mean = gan_reals(mean);
  j.rstd = gan_reals(rstd);
  if (gan_wants(n, 0) && !(gx[0] = gan_new(c, GAN_REAL, x->ndim, x->shape))) return;
  if (gan_wants(n, 1) && !(j.gw = gan_norm_scratch(c, blocks * j.size))) return;
  if (gan_wants(n, 2) && !(j.gb = gan_norm_scratch(c, blocks * j.size))) return;
  j.y = gx[0] ? gan_reals(gx[0]) : NULL;
  gan_parallel(blocks, gan_norm_grain(j.block * j.size), backward_blocks, &j);
  if (j.gw) gx[1] = sum_blocks(c, &n->in[1], &j, blocks, j.gw);
  if (j.gb) gx[2] = sum_blocks(c, &n->in[2], &j, blocks, j.gb);
}

gan_op gan_op_layer_norm_stats = {
  .name = "layer_norm_stats",
  .sig = "x:tensor weight:tensor? bias:tensor? ; ndim:int eps:number -> y mean~ rstd~",
  .forward = layer_norm_stats,
  .vjp = layer_norm_stats_vjp,
  .fused = layer_norm_stats_fused,
  .save = "x weight mean rstd",
  .doc = "layer_norm, with the mean and 1 / sqrt(var + eps) of every row.",
  .flags = GAN_HIDDEN,
};

/* ---- the public op ------------------------------------------------------------------------- */

static bool check_param (gan_ctx *c, const char *name, const gan_arg *p, const gan_tensor *x,
                         int64_t ndim) {
  if (p->n < 0 || !p->t) return true;
  const int64_t *shape = x->shape + x->ndim - ndim;
  if (p->t->ndim == ndim && !memcmp(p->t->shape, shape, (size_t)ndim * sizeof *shape)) return true;
  gan_fail(c, GAN_EARG, "argument '%s' must have the last dimensions of the input, %s, got %s",
           name, gan_shape_text(c, (int)ndim, shape), gan_shape_of(c, p->t));
  return false;
}

static void layer_norm (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  const gan_tensor *x = a[X].t;
  int64_t ndim = a[NDIM].n > 0 ? a[NDIM].i : a[WEIGHT].n > 0 && a[WEIGHT].t ? a[WEIGHT].t->ndim : 1;
  GAN_NEED(c, ndim >= 1 && ndim <= x->ndim,
           "option 'ndim' is %lld, but the input %s has %d dimensions", (long long)ndim,
           gan_shape_of(c, x), x->ndim);
  if (!check_param(c, "weight", &a[WEIGHT], x, ndim) || !check_param(c, "bias", &a[BIAS], x, ndim))
    return;
  gan_tensor *y[3];
  if (gan_run(c, &gan_op_layer_norm_stats,
              GAN_ARGS(a[X], a[WEIGHT], a[BIAS], GAN_I(ndim), a[EPS]), 3, y))
    out[0] = y[0];
}

gan_op gan_op_layer_norm = {
  .name = "layer_norm",
  .sig = "x:tensor weight:tensor? bias:tensor? ; ndim:int? eps:number=1e-5",
  .forward = layer_norm,
  .doc = "(x - mean) / sqrt(var + eps) * weight + bias, with one mean and biased variance for "
         "each\n"
         "index of the leading dimensions. ndim: how many last dimensions are normalised together\n"
         "(default: those of weight, or 1); weight and bias have exactly these dimensions.\n"
         "Ba, Kiros, Hinton 2016.",
  .example = "local y = gan.randn(4, 8):layer_norm()",
  .flags = GAN_COMPOSITE,
};
