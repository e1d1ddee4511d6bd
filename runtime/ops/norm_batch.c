/*
** norm_batch.c - batch normalisation (Ioffe, Szegedy 2015).
**
** Two helpers do the work: batch_norm_stats normalises with the statistics of the batch,
** batch_norm_fixed with given ones; batch_norm chooses, and computes the new running statistics.
** Both work on row-major and on channels-last memory, and keep the layout.
**
** Work is cut into tasks by the sizes alone. Row-major: task t is a block of samples of one
** channel. Channels last: the data are rows x c; few rows: task t is a group of columns, many rows:
** a block of rows. What the blocks of a channel found is merged in a fixed order, so that results
** are the same for every number of threads.
*/
#include <math.h>

#include "norm.h"

enum {
  COLUMNS = 64, FEW_ROWS = 512, MAXBLOCKS = 64,
  PIECE = 16384 /* elements of a piece of the second pass */
};

typedef struct {
  gan_planes p;
  int64_t rows;          /* channels last: n * s */
  int64_t blocks, block; /* blocks of a channel; samples (row-major) or rows of a block */
  const gan_real *x, *gy;
  const gan_real *mean, *scale, *shift; /* per channel */
  const gan_real *a, *b, *d;            /* per channel: gx = a g + b x + d */
  gan_real slope;
  gan_real *y;
  double *first, *second; /* blocks x c: moments or sums */
} batch_job;

typedef void items_fn(const batch_job *j, int64_t lo, int64_t hi);

static int64_t div_up (int64_t a, int64_t b) {
  return a / b + (a % b != 0);
}

static void plan (batch_job *j, const gan_planes *p) {
  *j = (batch_job){ .p = *p, .rows = p->n * p->s, .blocks = 1, .slope = 1 };
  if (p->last) {
    j->block = j->rows;
    if (j->rows > FEW_ROWS) {
      j->block = div_up(div_up(j->rows, MAXBLOCKS), FEW_ROWS / 2) * (FEW_ROWS / 2);
      j->blocks = div_up(j->rows, j->block);
    }
    return;
  }
  int64_t wanted = p->c > 0 ? div_up(MAXBLOCKS, p->c) : 1;
  j->block = div_up(p->n, wanted < p->n ? wanted : (p->n > 0 ? p->n : 1));
  j->blocks = j->block > 0 ? div_up(p->n, j->block) : 1;
}

static int64_t tasks (const batch_job *j) {
  if (!j->p.last) return j->p.c * j->blocks;
  return j->blocks > 1 ? j->blocks : div_up(j->p.c, COLUMNS);
}

static int64_t task_grain (const batch_job *j) {
  int64_t wide = !j->p.last ? j->p.s : j->blocks > 1 ? j->p.c : COLUMNS;
  return gan_norm_grain(j->block * wide);
}

/* Task t of channels-last data: a rectangle. */
static void rectangle (const batch_job *j, int64_t t, int64_t *row, int64_t *rows, int64_t *col,
                       int64_t *cols) {
  bool by_rows = j->blocks > 1;
  *row = by_rows ? t * j->block : 0;
  *rows = j->rows - *row < j->block ? j->rows - *row : j->block;
  *col = by_rows ? 0 : t * COLUMNS;
  *cols = by_rows ? j->p.c : j->p.c - *col < COLUMNS ? j->p.c - *col : COLUMNS;
}

/* elements of a channel in block b */
static double block_count (const batch_job *j, int64_t b) {
  int64_t all = j->p.last ? j->rows : j->p.n, at = b * j->block;
  int64_t n = all - at < j->block ? all - at : j->block;
  return (double)n * (j->p.last ? 1 : (double)j->p.s);
}

/* ---- moments ------------------------------------------------------------------------------- */

static void merge_moments (double n, double k, double mean, double m2, double *to_mean,
                           double *to_m2) {
  double delta = mean - *to_mean, part = k / (n + k);
  *to_mean += delta * part;
  *to_m2 += m2 + delta * delta * n * part;
}

static void plane_moments (const batch_job *j, int64_t task) {
  const gan_planes *p = &j->p;
  int64_t c = task / j->blocks, b = task % j->blocks, from = b * j->block;
  int64_t to = p->n - from < j->block ? p->n : from + j->block;
  double *mean = &j->first[b * p->c + c], *m2 = &j->second[b * p->c + c];
  for (int64_t i = from; i < to; i++) {
    double m, q;
    GAN_KERNEL(gan_norm)->run_moments(p->s, j->x + (i * p->c + c) * p->s, &m, &q);
    if (i == from) *mean = m, *m2 = q;
    else merge_moments((double)(i - from) * (double)p->s, (double)p->s, m, q, mean, m2);
  }
}

static void moments_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const batch_job *j = ud;
  (void)worker;
  for (int64_t t = lo; t < hi; t++) {
    if (!j->p.last) {
      plane_moments(j, t);
      continue;
    }
    int64_t row, rows, col, cols, to = j->blocks > 1 ? t * j->p.c : 0;
    rectangle(j, t, &row, &rows, &col, &cols);
    GAN_KERNEL(gan_norm)->col_moments(rows, cols, j->p.c, j->x + row * j->p.c + col,
                                      j->first + to + col, j->second + to + col);
  }
}

/* The result of no rows at all. */
static void fill_both (batch_job *j, double x) {
  for (int64_t i = 0; i < j->p.c; i++) j->first[i] = j->second[i] = x;
}

/* first, second [0 .. c): mean and biased variance of every channel; NaN for an empty batch */
static void find_moments (batch_job *j) {
  if (j->rows == 0) {
    fill_both(j, NAN);
    return;
  }
  gan_parallel(tasks(j), task_grain(j), moments_range, j);
  int64_t c = j->p.c;
  double n = block_count(j, 0);
  for (int64_t b = 1; b < j->blocks; b++) {
    double k = block_count(j, b);
    for (int64_t i = 0; i < c; i++)
      merge_moments(n, k, j->first[b * c + i], j->second[b * c + i], &j->first[i], &j->second[i]);
    n += k;
  }
  for (int64_t i = 0; i < c; i++) j->second[i] /= n;
}

/* ---- sums of the gradient ------------------------------------------------------------------ */

static void plane_sums (const batch_job *j, int64_t task) {
  const gan_planes *p = &j->p;
  int64_t c = task / j->blocks, b = task % j->blocks, from = b * j->block;
  int64_t to = p->n - from < j->block ? p->n : from + j->block;
  double sum1 = 0, sum2 = 0;
  for (int64_t i = from; i < to; i++) {
    int64_t at = (i * p->c + c) * p->s;
    double s1, s2;
    GAN_KERNEL(gan_norm)->run_sums(p->s, j->gy + at, j->x + at, j->mean[c], j->scale[c],
                                   j->shift[c], j->slope, &s1, &s2);
    sum1 += s1;
    sum2 += s2;
  }
  j->first[b * p->c + c] = sum1;
  j->second[b * p->c + c] = sum2;
}

static void sums_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const batch_job *j = ud;
  (void)worker;
  for (int64_t t = lo; t < hi; t++) {
    if (!j->p.last) {
      plane_sums(j, t);
      continue;
    }
    int64_t row, rows, col, cols, to = j->blocks > 1 ? t * j->p.c : 0;
    rectangle(j, t, &row, &rows, &col, &cols);
    int64_t at = row * j->p.c + col;
    GAN_KERNEL(gan_norm)->col_sums(rows, cols, j->p.c, j->gy + at, j->x + at, j->mean + col,
                                   j->scale + col, j->shift + col, j->slope, j->first + to + col,
                                   j->second + to + col);
  }
}

/* first, second [0 .. c): sums of g and of g (x - mean) for every channel */
static void find_sums (batch_job *j) {
  if (j->rows == 0) {
    fill_both(j, 0);
    return;
  }
  gan_parallel(tasks(j), task_grain(j), sums_range, j);
  for (int64_t b = 1; b < j->blocks; b++)
    for (int64_t i = 0; i < j->p.c; i++) {
      j->first[i] += j->first[b * j->p.c + i];
      j->second[i] += j->second[b * j->p.c + i];
    }
}

/* ---- element-wise passes ------------------------------------------------------------------- */

/* Items lo .. hi-1: rows (channels last) or planes. */
static void affine_items (const batch_job *j, int64_t lo, int64_t hi) {
  const gan_norm_table *k = GAN_KERNEL(gan_norm);
  int64_t nc = j->p.c, s = j->p.s;
  if (j->p.last) {
    k->col_affine(hi - lo, nc, nc, j->x + lo * nc, j->scale, j->shift, j->slope, j->y + lo * nc);
    return;
  }
  for (int64_t i = lo; i < hi; i++)
    k->run_affine(s, j->x + i * s, j->scale[i % nc], j->shift[i % nc], j->slope, j->y + i * s);
}

static void combine_items (const batch_job *j, int64_t lo, int64_t hi) {
  const gan_norm_table *k = GAN_KERNEL(gan_norm);
  int64_t nc = j->p.c, s = j->p.s;
  if (j->p.last) {
    int64_t at = lo * nc;
    k->col_combine(hi - lo, nc, nc, j->gy + at, j->x + at, j->a, j->b, j->d, j->scale, j->shift,
                   j->slope, j->y + at);
    return;
  }
  for (int64_t i = lo; i < hi; i++) {
    int64_t c = i % nc;
    k->run_combine(s, j->gy + i * s, j->x + i * s, j->a[c], j->b[c], j->d[c], j->scale[c],
                   j->shift[c], j->slope, j->y + i * s);
  }
}

/* These passes follow one that read the same elements from the first to the last: what is still in
   the cache of a thread are the last ones of its share, so it goes back from there. */
static void each_backwards (const batch_job *j, int64_t lo, int64_t hi, items_fn *fn) {
  int64_t wide = j->p.last ? j->p.c : j->p.s, step = PIECE / (wide + 1) + 1;
  while (hi > lo) {
    int64_t from = hi - lo > step ? hi - step : lo;
    fn(j, from, hi);
    hi = from;
  }
}

static void affine_range (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  each_backwards(ud, lo, hi, affine_items);
}

static void combine_range (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  each_backwards(ud, lo, hi, combine_items);
}

static void each_item (batch_job *j, gan_range_fn *fn) {
  int64_t items = j->p.last ? j->rows : j->p.n * j->p.c;
  gan_parallel(items, gan_norm_grain(j->p.last ? j->p.c : j->p.s), fn, j);
}

/* ---- scale and shift: y = scale x + shift -------------------------------------------------- */

typedef struct {
  const gan_real *w, *b;
} params;

static bool read_params (gan_ctx *c, const gan_arg *w, const gan_arg *b, params *q) {
  return gan_norm_reals(c, w, &q->w) && gan_norm_reals(c, b, &q->b);
}

static bool affine_of (gan_ctx *c, batch_job *j, const params *q, const gan_real *mean,
                       const gan_real *rstd) {
  int64_t n = j->p.c;
  gan_real *scale = gan_norm_scratch(c, n), *shift = gan_norm_scratch(c, n);
  if (!scale || !shift) return false;
  for (int64_t i = 0; i < n; i++) {
    double k = (q->w ? (double)q->w[i] : 1) * (double)rstd[i];
    scale[i] = (gan_real)k;
    shift[i] = (gan_real)((q->b ? (double)q->b[i] : 0) - (double)mean[i] * k);
  }
  j->mean = mean;
  j->scale = scale;
  j->shift = shift;
  return true;
}

/* ---- statistics of the batch --------------------------------------------------------------- */

enum { S_X, S_WEIGHT, S_BIAS, S_EPS, S_SLOPE }; /* arguments of batch_norm_stats */

/* mean and rstd as tensors of c elements; the biased variance too */
static bool statistics (gan_ctx *c, batch_job *j, double eps, gan_tensor **out) {
  int64_t n = j->p.c;
  for (int i = 1; i < 4; i++)
    if (!(out[i] = gan_new(c, GAN_REAL, 1, &n))) return false;
  j->first = gan_norm_doubles(c, n * j->blocks);
  j->second = gan_norm_doubles(c, n * j->blocks);
  if (!j->first || !j->second) return false;
  find_moments(j);
  for (int64_t i = 0; i < n; i++) {
    gan_reals(out[1])[i] = (gan_real)j->first[i];
    gan_reals(out[2])[i] = (gan_real)(1 / sqrt(j->second[i] + eps));
    gan_reals(out[3])[i] = (gan_real)j->second[i];
  }
  return true;
}

static void batch_norm_stats (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  batch_job j;
  gan_planes p;
  params q;
  gan_tensor *x = gan_planes_of(c, a[S_X].t, &p);
  if (!x || !read_params(c, &a[S_WEIGHT], &a[S_BIAS], &q)) return;
  plan(&j, &p);
  j.x = gan_reals(x);
  j.slope = (gan_real)a[S_SLOPE].num;
  if (!statistics(c, &j, a[S_EPS].num, out) || !(out[0] = gan_new_like(c, x, GAN_REAL))) return;
  if (!affine_of(c, &j, &q, gan_reals(out[1]), gan_reals(out[2]))) return;
  j.y = gan_reals(out[0]);
  each_item(&j, affine_range);
}

/* gy, or gy with the activation's factor: where xhat w + b <= 0 it is multiplied by slope */
static gan_tensor *gated (gan_ctx *c, gan_tensor *gy, gan_tensor *pre, double slope) {
  if (slope == 1) return gy;
  gan_tensor *low = gan_le(c, gan_detach(c, pre), gan_scalar(c, 0));
  gan_tensor *scaled = slope == 0 ? gan_scalar(c, 0) : gan_scale(c, gy, slope);
  return gan_where(c, low, scaled, gy);
}

/* x w + b with vectors of channels; either may be NULL */
static gan_tensor *scaled (gan_ctx *c, gan_tensor *x, gan_tensor *w, gan_tensor *b) {
  gan_tensor *y = w ? gan_mul(c, x, gan_per_channel(c, w, x ? x->ndim : 0)) : x;
  return b && y ? gan_add(c, y, gan_per_channel(c, b, y->ndim)) : y;
}

static void param_grads (gan_ctx *c, const gan_node *n, gan_tensor *g, gan_tensor *xhat,
                         gan_tensor **gx) {
  int64_t dims[GAN_MAXDIM];
  int k = gan_but_channel(n->in[0].ndim, dims);
  if (gan_wants(n, 1)) gx[1] = gan_sum(c, gan_mul(c, g, xhat), k, dims, false);
  if (gan_wants(n, 2)) gx[2] = gan_sum(c, g, k, dims, false);
}

/* With g = gy through the activation and h = g w, the mean over samples and positions being < >:
   gx = rstd (h - <h> - xhat <h xhat>). Everything is computed anew from x: differentiable. */
static void batch_norm_stats_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy,
                                  gan_tensor **gx) {
  int64_t dims[GAN_MAXDIM];
  gan_tensor *x = n->a[S_X].t, *w = n->a[S_WEIGHT].t, *b = n->a[S_BIAS].t;
  int k = gan_but_channel(x->ndim, dims);
  gan_tensor *centred = gan_sub(c, x, gan_mean(c, x, k, dims, true));
  gan_tensor *var = gan_mean(c, gan_square(c, centred), k, dims, true);
  gan_tensor *rstd = gan_rsqrt(c, gan_shift(c, var, n->a[S_EPS].num));
  gan_tensor *xhat = gan_mul(c, centred, rstd);
  gan_tensor *pre = n->a[S_SLOPE].num == 1 ? NULL : scaled(c, xhat, w, b);
  gan_tensor *g = gated(c, gy[0], pre, n->a[S_SLOPE].num);
  param_grads(c, n, g, xhat, gx);
  if (!gan_wants(n, 0)) return;
  gan_tensor *h = scaled(c, g, w, NULL);
  gan_tensor *along = gan_mul(c, xhat, gan_mean(c, gan_mul(c, h, xhat), k, dims, true));
  gan_tensor *left = gan_sub(c, h, gan_mean(c, h, k, dims, true));
  gx[0] = gan_mul(c, rstd, gan_sub(c, left, along));
}

/* gw = rstd s2, gb = s1, from the sums of the job */
static void fused_params (gan_ctx *c, const gan_node *n, const batch_job *j, const gan_real *rstd,
                          gan_tensor **gx) {
  int64_t nc = j->p.c;
  for (int i = 1; i <= 2; i++) {
    if (!gan_wants(n, i) || !(gx[i] = gan_new(c, GAN_REAL, 1, &nc))) continue;
    for (int64_t k = 0; k < nc; k++)
      gan_reals(gx[i])[k] = (gan_real)(i == 1 ? j->second[k] * (double)rstd[k] : j->first[k]);
  }
}

/* gx = a g + b x + d; constant: the statistics do not depend on x, so that b and d are 0 */
static void fused_input (gan_ctx *c, batch_job *j, const params *q, const gan_real *rstd,
                         bool constant, gan_tensor *x, gan_tensor *g, gan_tensor **gx) {
  int64_t nc = j->p.c;
  gan_real *abd = gan_norm_scratch(c, 3 * nc);
  if (!abd || !(*gx = gan_over_gradient(c, g, x))) return;
  double m = (double)j->rows;
  for (int64_t i = 0; i < nc; i++) {
    double r = (double)rstd[i], a = r * (q->w ? (double)q->w[i] : 1);
    double b = constant ? 0 : -a * r * r * j->second[i] / m;
    abd[i] = (gan_real)a;
    abd[nc + i] = (gan_real)b;
    abd[2 * nc + i] = constant ? 0 : (gan_real)(-a * j->first[i] / m - b * (double)j->mean[i]);
  }
  j->a = abd;
  j->b = abd + nc;
  j->d = abd + 2 * nc;
  j->y = gan_reals(*gx);
  each_item(j, combine_range);
}

static void fused (gan_ctx *c, const gan_node *n, gan_tensor *gy, const gan_arg *w,
                   const gan_arg *b, const gan_real *mean, const gan_real *rstd, double slope,
                   bool constant, gan_tensor **gx) {
  batch_job j;
  gan_planes p;
  params q;
  gan_tensor *x = gan_planes_of(c, n->a[S_X].t, &p);
  gan_tensor *g = x ? gan_laid_out(c, gy, x) : NULL;
  if (!g || !read_params(c, w, b, &q)) return;
  plan(&j, &p);
  j.x = gan_reals(x);
  j.gy = gan_reals(g);
  j.slope = (gan_real)slope;
  if (!affine_of(c, &j, &q, mean, rstd)) return;
  if (!constant || gan_wants(n, 1) || gan_wants(n, 2)) {
    j.first = gan_norm_doubles(c, p.c * j.blocks);
    j.second = gan_norm_doubles(c, p.c * j.blocks);
    if (!j.first || !j.second) return;
    find_sums(&j);
    fused_params(c, n, &j, rstd, gx);
  }
  if (gan_wants(n, 0)) fused_input(c, &j, &q, rstd, constant, x, g, &gx[0]);
}

static void batch_norm_stats_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy,
                                    gan_tensor **gx) {
  gan_tensor *mean = gan_saved_out(c, n, 1), *rstd = gan_saved_out(c, n, 2);
  if (!mean || !rstd) return;
  fused(c, n, gy[0], &n->a[S_WEIGHT], &n->a[S_BIAS], gan_reals(mean), gan_reals(rstd),
        n->a[S_SLOPE].num, false, gx);
}

gan_op gan_op_batch_norm_stats = {
  .name = "batch_norm_stats",
  .sig = "x:tensor weight:tensor? bias:tensor? ; eps:number slope:number -> y mean~ rstd~ var~",
  .forward = batch_norm_stats,
  .vjp = batch_norm_stats_vjp,
  .fused = batch_norm_stats_fused,
  .save = "x weight bias mean rstd",
  .doc = "batch_norm with the statistics of the batch; also the mean, 1 / sqrt(var + eps) and var.",
  .flags = GAN_HIDDEN,
};

/* ---- given statistics ---------------------------------------------------------------------- */

enum { F_X, F_WEIGHT, F_BIAS, F_MEAN, F_VAR, F_EPS, F_SLOPE }; /* of batch_norm_fixed */

/* 1 / sqrt(var + eps) and a row-major mean */
static bool given (gan_ctx *c, const gan_arg *a, const gan_real **mean, gan_real **rstd) {
  const gan_real *var;
  if (!gan_norm_reals(c, &a[F_MEAN], mean) || !gan_norm_reals(c, &a[F_VAR], &var)) return false;
  int64_t n = a[F_VAR].t->numel;
  if (!(*rstd = gan_norm_scratch(c, n))) return false;
  for (int64_t i = 0; i < n; i++)
    (*rstd)[i] = (gan_real)(1 / sqrt((double)var[i] + a[F_EPS].num));
  return true;
}

static void batch_norm_fixed (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  batch_job j;
  gan_planes p;
  params q;
  const gan_real *mean;
  gan_real *rstd;
  gan_tensor *x = gan_planes_of(c, a[F_X].t, &p);
  if (!x || !read_params(c, &a[F_WEIGHT], &a[F_BIAS], &q) || !given(c, a, &mean, &rstd)) return;
  plan(&j, &p);
  if (!affine_of(c, &j, &q, mean, rstd) || !(out[0] = gan_new_like(c, x, GAN_REAL))) return;
  j.x = gan_reals(x);
  j.y = gan_reals(out[0]);
  j.slope = (gan_real)a[F_SLOPE].num;
  each_item(&j, affine_range);
}

static void batch_norm_fixed_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy,
                                  gan_tensor **gx) {
  gan_tensor *x = n->a[F_X].t, *w = n->a[F_WEIGHT].t, *b = n->a[F_BIAS].t;
  gan_tensor *mean = gan_per_channel(c, gan_detach(c, n->a[F_MEAN].t), x->ndim);
  gan_tensor *var = gan_per_channel(c, gan_detach(c, n->a[F_VAR].t), x->ndim);
  gan_tensor *rstd = gan_rsqrt(c, gan_shift(c, var, n->a[F_EPS].num));
  gan_tensor *xhat = gan_mul(c, gan_sub(c, x, mean), rstd);
  gan_tensor *pre = n->a[F_SLOPE].num == 1 ? NULL : scaled(c, xhat, w, b);
  gan_tensor *g = gated(c, gy[0], pre, n->a[F_SLOPE].num);
  param_grads(c, n, g, xhat, gx);
  if (gan_wants(n, 0)) gx[0] = gan_mul(c, scaled(c, g, w, NULL), rstd);
}

static void batch_norm_fixed_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy,
                                    gan_tensor **gx) {
  const gan_real *mean;
  gan_real *rstd;
  if (!given(c, n->a, &mean, &rstd)) return;
  fused(c, n, gy[0], &n->a[F_WEIGHT], &n->a[F_BIAS], mean, rstd, n->a[F_SLOPE].num, true, gx);
}

gan_op gan_op_batch_norm_fixed = {
  .name = "batch_norm_fixed",
  .sig = "x:tensor weight:tensor? bias:tensor? mean:tensor var:tensor ; eps:number slope:number",
  .forward = batch_norm_fixed,
  .vjp = batch_norm_fixed_vjp,
  .fused = batch_norm_fixed_fused,
  .save = "x weight bias mean var",
  .doc = "batch_norm with given statistics, which are constants for the gradient.",
  .flags = GAN_HIDDEN,
};

/* ---- the public op ------------------------------------------------------------------------- */

enum { X, WEIGHT, BIAS, MEAN, VAR, TRAINING, MOMENTUM, EPS, ACTIVATION, SLOPE };

static bool check (gan_ctx *c, const gan_arg *a, bool batch) {
  const gan_tensor *x = a[X].t;
  if (x->ndim < 2) {
    gan_fail(c, GAN_EARG, "argument 'x' must have at least 2 dimensions, (N, C, ...), got %s",
             gan_shape_of(c, x));
    return false;
  }
  static const char *const names[] = { "weight", "bias", "running_mean", "running_var" };
  for (int i = 0; i < 4; i++)
    if (!gan_norm_vector(c, names[i], &a[WEIGHT + i], x->shape[1], "channel")) return false;
  if ((a[MEAN].n < 0) != (a[VAR].n < 0)) {
    gan_fail(c, GAN_EARG, "'running_mean' and 'running_var' go together: one of them is missing");
    return false;
  }
  if (batch && x->shape[1] > 0 && x->numel == x->shape[1]) {
    gan_fail(c, GAN_EARG, "one value per channel has no variance, the input is %s "
             "(train with more than one sample, or set training=false)", gan_shape_of(c, x));
    return false;
  }
  return true;
}

static void running_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  const gan_tensor *found = a[0].t;
  double factor = a[2].num, momentum = a[3].num;
  gan_tensor *y = gan_new(c, GAN_REAL, 1, found->shape);
  const gan_real *was;
  if (!y || !gan_norm_reals(c, &a[1], &was)) return;
  for (int64_t i = 0; i < y->numel; i++) {
    double v = (double)gan_reals(found)[i] * factor;
    gan_reals(y)[i] = (gan_real)(was ? (1 - momentum) * (double)was[i] + momentum * v : v);
  }
  out[0] = y;
}

gan_op gan_op_batch_norm_running = {
  .name = "batch_norm_running",
  .sig = "found:tensor old:tensor? factor:number momentum:number -> y~",
  .forward = running_forward,
  .doc = "(1 - momentum) old + momentum factor found; factor found itself without old. All: (C).",
  .flags = GAN_HIDDEN,
};

static gan_tensor *running (gan_ctx *c, const gan_arg *old, gan_tensor *found, double factor,
                            double momentum) {
  return gan_run1(c, &gan_op_batch_norm_running,
                  GAN_ARGS(GAN_T(found), *old, GAN_N(factor), GAN_N(momentum)));
}

static void batch_norm (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  bool given_stats = a[MEAN].n >= 0 && a[VAR].n >= 0, batch = a[TRAINING].i || !given_stats;
  double slope = a[ACTIVATION].i == 0 ? 1 : a[ACTIVATION].i == 1 ? 0 : a[SLOPE].num;
  if (!check(c, a, batch)) return;
  gan_arg eps = a[EPS], s = GAN_N(slope);
  if (!batch || (given_stats && !a[X].t->numel)) { /* an empty batch changes no statistics */
    out[0] = gan_run1(c, &gan_op_batch_norm_fixed,
                      GAN_ARGS(a[X], a[WEIGHT], a[BIAS], a[MEAN], a[VAR], eps, s));
    out[1] = gan_detach(c, a[MEAN].t);
    out[2] = gan_detach(c, a[VAR].t);
    return;
  }
  gan_tensor *y[4];
  if (!gan_run(c, &gan_op_batch_norm_stats, GAN_ARGS(a[X], a[WEIGHT], a[BIAS], eps, s), 4, y))
    return;
  double m = (double)a[X].t->numel / (double)(a[X].t->shape[1] ? a[X].t->shape[1] : 1);
  out[0] = y[0];
  out[1] = running(c, &a[MEAN], y[1], 1, a[MOMENTUM].num);
  out[2] = running(c, &a[VAR], y[3], m / (m - 1), a[MOMENTUM].num);
}

gan_op gan_op_batch_norm = {
  .name = "batch_norm",
  .sig = "x:tensor weight:tensor? bias:tensor? running_mean:tensor? running_var:tensor? ; "
         "training:bool=false momentum:number=0.1 eps:number=1e-5 "
         "activation:none|relu|leaky_relu=none slope:number=0.01 -> y new_mean~ new_var~",
  .forward = batch_norm,
  .doc = "(x - mean) / sqrt(var + eps) * weight + bias, with one mean and variance per channel.\n"
         "x: (N, C), (N, C, L), (N, C, H, W), ...; weight, bias, running_mean, running_var: (C).\n"
         "training: mean and biased variance of the batch; otherwise the running ones, or those "
         "of\n"
         "the batch when there are none. activation is applied to the result.\n"
         "new_mean, new_var: in training (1 - momentum) running + momentum batch with the "
         "unbiased\n"
         "variance; the batch's without running ones; in evaluation the running ones unchanged.\n"
         "Errors: one value per channel when the batch's statistics are used.\n"
         "Ioffe, Szegedy 2015.",
  .example = "local y, m, v = gan.randn(8, 3):batch_norm({training=true})",
  .flags = GAN_COMPOSITE,
};
