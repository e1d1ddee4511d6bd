/*
** norm_group.c - group normalisation (Wu, He 2018) and instance normalisation (Ulyanov, Vedaldi,
** Lempitsky 2016), which is the same with groups of one channel.
**
** Sums are made for every channel of every sample, then merged within the groups, so that the
** passes over memory are those of batch normalisation: row-major and channels-last data alike.
*/
#include <math.h>

#include "norm.h"

enum { COLUMNS = 64 };
enum { X, WEIGHT, BIAS, GROUPS, EPS }; /* arguments of group_norm_stats */

typedef struct {
  gan_planes p;
  int64_t groups, width; /* width: channels of a group */
  const gan_real *x, *gy;
  const gan_real *scale, *shift; /* for each channel of each sample */
  const gan_real *mean, *a, *b, *d;
  gan_real *y;
  double *first, *second; /* n x c: moments or sums */
} group_job;

/* ---- per channel of a sample --------------------------------------------------------------- */

/* Tasks: planes, or (sample, block of columns). */
static int64_t blocks_of (const group_job *j) {
  return (j->p.c + COLUMNS - 1) / COLUMNS;
}

static void each_channel (group_job *j, gan_range_fn *fn) {
  int64_t per = j->p.last ? blocks_of(j) : j->p.c;
  gan_parallel(j->p.n * per, gan_norm_grain(j->p.s * (j->p.last ? COLUMNS : 1)), fn, j);
}

/* Columns of task t: place of the first among the channels of all samples, and how many. */
static int64_t columns (const group_job *j, int64_t t, int64_t *cols, int64_t *at) {
  int64_t blocks = blocks_of(j), n = t / blocks, col = t % blocks * COLUMNS;
  *cols = j->p.c - col < COLUMNS ? j->p.c - col : COLUMNS;
  *at = n * j->p.s * j->p.c + col;
  return n * j->p.c + col;
}

static void moments_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const group_job *j = ud;
  const gan_norm_table *k = GAN_KERNEL(gan_norm);
  (void)worker;
  for (int64_t t = lo; t < hi; t++) {
    if (!j->p.last) {
      k->run_moments(j->p.s, j->x + t * j->p.s, &j->first[t], &j->second[t]);
      continue;
    }
    int64_t cols, at, i = columns(j, t, &cols, &at);
    k->col_moments(j->p.s, cols, j->p.c, j->x + at, j->first + i, j->second + i);
  }
}

static void sums_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const group_job *j = ud;
  const gan_norm_table *k = GAN_KERNEL(gan_norm);
  (void)worker;
  for (int64_t t = lo; t < hi; t++) {
    if (!j->p.last) {
      k->run_sums(j->p.s, j->gy + t * j->p.s, j->x + t * j->p.s, j->mean[t], 0, 0, 1,
                  &j->first[t], &j->second[t]);
      continue;
    }
    int64_t cols, at, i = columns(j, t, &cols, &at);
    k->col_sums(j->p.s, cols, j->p.c, j->gy + at, j->x + at, j->mean + i, NULL, NULL, 1,
                j->first + i, j->second + i);
  }
}

/* ---- element-wise -------------------------------------------------------------------------- */

static void elements_range (const group_job *j, int64_t n, int64_t at, int64_t rows) {
  const gan_norm_table *k = GAN_KERNEL(gan_norm);
  int64_t i = n * j->p.c;
  if (j->gy)
    k->col_combine(rows, j->p.c, j->p.c, j->gy + at, j->x + at, j->a + i, j->b + i, j->d + i,
                   NULL, NULL, 1, j->y + at);
  else
    k->col_affine(rows, j->p.c, j->p.c, j->x + at, j->scale + i, j->shift + i, 1, j->y + at);
}

/* Items: rows of all samples (channels last) or planes. */
static void elements (void *ud, int64_t lo, int64_t hi, int worker) {
  const group_job *j = ud;
  const gan_norm_table *k = GAN_KERNEL(gan_norm);
  int64_t s = j->p.s;
  (void)worker;
  while (lo < hi) {
    if (j->p.last) {
      int64_t n = lo / s, end = (n + 1) * s < hi ? (n + 1) * s : hi;
      elements_range(j, n, lo * j->p.c, end - lo);
      lo = end;
      continue;
    }
    const gan_real *x = j->x + lo * s;
    if (j->gy)
      k->run_combine(s, j->gy + lo * s, x, j->a[lo], j->b[lo], j->d[lo], 0, 0, 1, j->y + lo * s);
    else
      k->run_affine(s, x, j->scale[lo], j->shift[lo], 1, j->y + lo * s);
    lo++;
  }
}

static void each_element (group_job *j) {
  int64_t items = j->p.n * (j->p.last ? j->p.s : j->p.c);
  gan_parallel(items, gan_norm_grain(j->p.last ? j->p.c : j->p.s), elements, j);
}

/* ---- forward ------------------------------------------------------------------------------- */

/* Moments of group q from those of its channels, all of s elements. */
static void merge_group (const group_job *j, int64_t q, double eps, gan_real *mean,
                         gan_real *rstd) {
  const double *m = j->first + q * j->width, *m2 = j->second + q * j->width;
  double sum = 0, dev = 0, s = (double)j->p.s;
  for (int64_t i = 0; i < j->width; i++) sum += m[i];
  double centre = sum / (double)j->width;
  for (int64_t i = 0; i < j->width; i++) dev += m2[i] + (m[i] - centre) * (m[i] - centre) * s;
  *mean = (gan_real)centre;
  *rstd = (gan_real)(1 / sqrt(dev / (s * (double)j->width) + eps));
}

static bool start (gan_ctx *c, group_job *j, const gan_arg *a, gan_tensor **x) {
  *j = (group_job){ .groups = a[GROUPS].i };
  *x = gan_planes_of(c, a[X].t, &j->p);
  if (!*x) return false;
  j->width = j->p.c / j->groups;
  j->x = gan_reals(*x);
  j->first = gan_norm_doubles(c, j->p.n * j->p.c);
  j->second = gan_norm_doubles(c, j->p.n * j->p.c);
  return j->first && j->second;
}

static void group_norm_stats (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  group_job j;
  gan_tensor *x;
  const gan_real *w, *b;
  if (!start(c, &j, a, &x)) return;
  int64_t nc = j.p.n * j.p.c, stats = j.p.n * j.groups;
  gan_real *affine = gan_norm_scratch(c, 2 * nc);
  if (!affine || !gan_norm_reals(c, &a[WEIGHT], &w) || !gan_norm_reals(c, &a[BIAS], &b)) return;
  out[1] = gan_new(c, GAN_REAL, 1, &stats);
  out[2] = gan_new(c, GAN_REAL, 1, &stats);
  if (!out[1] || !out[2] || !(out[0] = gan_new_like(c, x, GAN_REAL))) return;
  each_channel(&j, moments_range);
  for (int64_t q = 0; q < stats; q++) {
    gan_real *mean = gan_reals(out[1]) + q, *rstd = gan_reals(out[2]) + q;
    if (j.p.s * j.width > 0) merge_group(&j, q, a[EPS].num, mean, rstd);
    else *mean = *rstd = NAN;
  }
  for (int64_t i = 0; i < nc; i++) {
    int64_t q = i / j.width, k = i % j.p.c;
    double scale = (double)gan_reals(out[2])[q] * (w ? (double)w[k] : 1);
    affine[i] = (gan_real)scale;
    affine[nc + i] = (gan_real)((b ? (double)b[k] : 0) - (double)gan_reals(out[1])[q] * scale);
  }
  j.scale = affine;
  j.shift = affine + nc;
  j.y = gan_reals(out[0]);
  each_element(&j);
}

/* ---- gradients ----------------------------------------------------------------------------- */

/* As for batch normalisation, with means over the groups of a sample: x is seen as (N, G, rest). */
static void group_norm_stats_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy,
                                  gan_tensor **gx) {
  gan_tensor *x = n->a[X].t, *w = n->a[WEIGHT].t;
  int64_t groups = n->a[GROUPS].i, dims[GAN_MAXDIM];
  int64_t size = x->shape[0] * groups, rest = size > 0 ? x->numel / size : 0;
  int64_t split[3] = { x->shape[0], groups, rest }, last = 2;
  gan_tensor *xs = gan_reshape(c, x, 3, split);
  gan_tensor *centred = gan_sub(c, xs, gan_mean(c, xs, 1, &last, true));
  gan_tensor *var = gan_mean(c, gan_square(c, centred), 1, &last, true);
  gan_tensor *rstd = gan_rsqrt(c, gan_shift(c, var, n->a[EPS].num));
  gan_tensor *xhat = gan_mul(c, centred, rstd);
  int k = gan_but_channel(x->ndim, dims);
  if (gan_wants(n, 1)) {
    gan_tensor *full = gan_reshape(c, xhat, x->ndim, x->shape);
    gx[1] = gan_sum(c, gan_mul(c, gy[0], full), k, dims, false);
  }
  if (gan_wants(n, 2)) gx[2] = gan_sum(c, gy[0], k, dims, false);
  if (!gan_wants(n, 0)) return;
  gan_tensor *h = w ? gan_mul(c, gy[0], gan_per_channel(c, w, x->ndim)) : gy[0];
  h = gan_reshape(c, h, 3, split);
  gan_tensor *along = gan_mul(c, xhat, gan_mean(c, gan_mul(c, h, xhat), 1, &last, true));
  gan_tensor *left = gan_sub(c, h, gan_mean(c, h, 1, &last, true));
  gx[0] = gan_reshape(c, gan_mul(c, rstd, gan_sub(c, left, along)), x->ndim, x->shape);
}

static void fused_params (gan_ctx *c, const gan_node *n, const group_job *j,
                          const gan_real *rstd, gan_tensor **gx) {
  for (int k = 1; k <= 2; k++) {
    if (!gan_wants(n, k) || !(gx[k] = gan_new(c, GAN_REAL, 1, &j->p.c))) continue;
    for (int64_t i = 0; i < j->p.c; i++) {
      double sum = 0;
      for (int64_t m = i; m < j->p.n * j->p.c; m += j->p.c)
        sum += k == 1 ? j->second[m] * (double)rstd[m / j->width] : j->first[m];
      gan_reals(gx[k])[i] = (gan_real)sum;
    }
  }
}

/* a, b, d of gx = a gy + b x + d for every channel of every sample */
static void fused_factors (const group_job *j, const gan_real *w, const gan_real *mean,
                           const gan_real *rstd, gan_real *a, gan_real *b, gan_real *d) {
  double size = (double)j->width * (double)j->p.s;
  for (int64_t q = 0; q < j->p.n * j->groups; q++) {
    int64_t at = q * j->width;
    double t1 = 0, t2 = 0, r = (double)rstd[q];
    for (int64_t i = at; i < at + j->width; i++) {
      double k = w ? (double)w[i % j->p.c] : 1;
      t1 += k * j->first[i];
      t2 += k * j->second[i];
    }
    double slope = -r * r * r * t2 / size;
    for (int64_t i = at; i < at + j->width; i++) {
      a[i] = (gan_real)(r * (w ? (double)w[i % j->p.c] : 1));
      b[i] = (gan_real)slope;
      d[i] = (gan_real)(-r * t1 / size - slope * (double)mean[q]);
    }
  }
}

static void group_norm_stats_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy,
                                    gan_tensor **gx) {
  group_job j;
  gan_tensor *x, *mean = gan_saved_out(c, n, 1), *rstd = gan_saved_out(c, n, 2);
  const gan_real *w;
  if (!mean || !rstd || !start(c, &j, n->a, &x) || !gan_norm_reals(c, &n->a[WEIGHT], &w)) return;
  gan_tensor *g = gan_laid_out(c, gy[0], x);
  int64_t nc = j.p.n * j.p.c;
  gan_real *part = gan_norm_scratch(c, 4 * nc);
  if (!g || !part) return;
  for (int64_t i = 0; i < nc; i++) part[i] = gan_reals(mean)[i / j.width];
  for (int64_t i = 0; i < nc && j.p.s == 0; i++) j.first[i] = j.second[i] = 0;
  j.gy = gan_reals(g);
  j.mean = part;
  each_channel(&j, sums_range);
  fused_params(c, n, &j, gan_reals(rstd), gx);
  if (!gan_wants(n, 0) || !(gx[0] = gan_new_like(c, x, GAN_REAL))) return;
  fused_factors(&j, w, gan_reals(mean), gan_reals(rstd), part + nc, part + 2 * nc, part + 3 * nc);
  j.a = part + nc;
  j.b = part + 2 * nc;
  j.d = part + 3 * nc;
  j.y = gan_reals(gx[0]);
  each_element(&j);
}

gan_op gan_op_group_norm_stats = {
  .name = "group_norm_stats",
  .sig = "x:tensor weight:tensor? bias:tensor? ; groups:int eps:number -> y mean~ rstd~",
  .forward = group_norm_stats,
  .vjp = group_norm_stats_vjp,
  .fused = group_norm_stats_fused,
  .save = "x weight mean rstd",
  .doc = "group_norm, with the mean and 1 / sqrt(var + eps) of every group of every sample.",
  .flags = GAN_HIDDEN,
};

/* ---- the public ops ------------------------------------------------------------------------ */

static void normalise (gan_ctx *c, const gan_arg *a, int64_t groups, double eps,
                       gan_tensor **out) {
  gan_tensor *y[3];
  int64_t channels = a[X].t->shape[1];
  if (!gan_norm_vector(c, "weight", &a[WEIGHT], channels, "channel") ||
      !gan_norm_vector(c, "bias", &a[BIAS], channels, "channel"))
    return;
  if (gan_run(c, &gan_op_group_norm_stats,
              GAN_ARGS(a[X], a[WEIGHT], a[BIAS], GAN_I(groups), GAN_N(eps)), 3, y))
    out[0] = y[0];
}

static void group_norm (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  const gan_tensor *x = a[X].t;
  int64_t groups = a[3].i;
  GAN_NEED(c, x->ndim >= 2, "argument 'x' must have at least 2 dimensions, (N, C, ...), got %s",
           gan_shape_of(c, x));
  GAN_NEED(c, groups >= 1 && x->shape[1] % groups == 0,
           "%lld groups do not divide the %lld channels of the input %s", (long long)groups,
           (long long)x->shape[1], gan_shape_of(c, x));
  normalise(c, a, groups, a[4].num, out);
}

gan_op gan_op_group_norm = {
  .name = "group_norm",
  .sig = "x:tensor weight:tensor? bias:tensor? ; groups:int eps:number=1e-5",
  .forward = group_norm,
  .doc = "(x - mean) / sqrt(var + eps) * weight + bias, with one mean and biased variance for "
         "each\n"
         "group of channels of each sample. x: (N, C, ...); weight, bias: (C); C is a multiple of\n"
         "groups. Wu, He 2018.",
  .example = "local y = gan.randn(2, 6, 4):group_norm({groups=3})",
  .flags = GAN_COMPOSITE,
};

static void instance_norm (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  const gan_tensor *x = a[X].t;
  GAN_NEED(c, x->ndim >= 3, "argument 'x' must have at least 3 dimensions, (N, C, L), got %s",
           gan_shape_of(c, x));
  GAN_NEED(c, x->numel == 0 || x->numel > x->shape[0] * x->shape[1],
           "one value per channel has no variance, the input is %s", gan_shape_of(c, x));
  normalise(c, a, x->shape[1] ? x->shape[1] : 1, a[3].num, out);
}

gan_op gan_op_instance_norm = {
  .name = "instance_norm",
  .sig = "x:tensor weight:tensor? bias:tensor? ; eps:number=1e-5",
  .forward = instance_norm,
  .doc = "(x - mean) / sqrt(var + eps) * weight + bias, with one mean and biased variance for "
         "each\n"
         "channel of each sample. x: (N, C, L), (N, C, H, W), ...; weight, bias: (C).\n"
         "Errors: one value per channel. Ulyanov, Vedaldi, Lempitsky 2016.",
  .example = "local y = gan.randn(2, 3, 8):instance_norm()",
  .flags = GAN_COMPOSITE,
};
