/*
** norm_small.c - normalisation over neighbouring channels, of vectors, and of weights.
*/
#include <math.h>
#include <string.h>

#include "norm.h"

/* ---- sums over neighbouring channels ------------------------------------------------------- */

typedef struct {
  int64_t channels, inner, before, after;
  const gan_real *x;
  gan_real *y;
} window_job;

static void window_samples (void *ud, int64_t lo, int64_t hi, int worker) {
  const window_job *j = ud;
  int64_t size = j->channels * j->inner;
  (void)worker;
  for (int64_t i = lo; i < hi; i++)
    GAN_KERNEL(gan_norm)->window(j->channels, j->inner, j->before, j->after, j->x + i * size,
                                 j->y + i * size);
}

static void window_sum (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = gan_dense(c, a[0].t);
  if (!x || !(out[0] = gan_new(c, GAN_REAL, x->ndim, x->shape)) || !x->numel) return;
  int64_t channels = x->shape[1], size = x->numel / x->shape[0];
  window_job j = { channels, size / channels, a[1].i, a[2].i, gan_reals(x), gan_reals(out[0]) };
  gan_parallel(x->shape[0], gan_norm_grain(size), window_samples, &j);
}

static void window_sum_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = gan_run1(c, &gan_op_window_sum,
                   GAN_ARGS(GAN_T(gy[0]), GAN_I(n->a[2].i), GAN_I(n->a[1].i)));
}

gan_op gan_op_window_sum = {
  .name = "window_sum",
  .sig = "x:tensor ; before:int after:int",
  .forward = window_sum,
  .vjp = window_sum_vjp,
  .doc = "y[n, c] = sum of x[n, k] for the channels k from c - before to c + after that exist.",
  .flags = GAN_HIDDEN,
};

enum { L_X, L_SIZE, L_ALPHA, L_BETA, L_K };

/* base = k + alpha / size * (sum of squares in the window), and base^-beta */
static gan_tensor *lrn_base (gan_ctx *c, gan_tensor *x, const gan_arg *a) {
  int64_t before = a[L_SIZE].i / 2, after = (a[L_SIZE].i - 1) / 2;
  gan_tensor *sum = gan_run1(c, &gan_op_window_sum,
                             GAN_ARGS(GAN_T(gan_square(c, x)), GAN_I(before), GAN_I(after)));
  return gan_shift(c, gan_scale(c, sum, a[L_ALPHA].num / (double)a[L_SIZE].i), a[L_K].num);
}

static void local_response_norm (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[L_X].t;
  GAN_NEED(c, x->ndim >= 2, "argument 'x' must have at least 2 dimensions, (N, C, ...), got %s",
           gan_shape_of(c, x));
  GAN_NEED(c, a[L_SIZE].i >= 1, "'size' must be at least 1, got %lld", (long long)a[L_SIZE].i);
  out[0] = gan_mul(c, x, gan_pow(c, lrn_base(c, x, a), -a[L_BETA].num));
}

/* gx = gy base^-beta - 2 alpha beta / size x W'(gy x base^(-beta - 1)), W' the adjoint window */
static void local_response_norm_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy,
                                     gan_tensor **gx) {
  const gan_arg *a = n->a;
  gan_tensor *x = a[L_X].t, *base = lrn_base(c, x, a);
  int64_t before = a[L_SIZE].i / 2, after = (a[L_SIZE].i - 1) / 2;
  double factor = -2 * a[L_ALPHA].num * a[L_BETA].num / (double)a[L_SIZE].i;
  gan_tensor *direct = gan_mul(c, gy[0], gan_pow(c, base, -a[L_BETA].num));
  gan_tensor *part = gan_mul(c, gan_mul(c, gy[0], x), gan_pow(c, base, -a[L_BETA].num - 1));
  gan_tensor *spread = gan_run1(c, &gan_op_window_sum,
                                GAN_ARGS(GAN_T(part), GAN_I(after), GAN_I(before)));
  gx[0] = gan_add(c, direct, gan_scale(c, gan_mul(c, x, spread), factor));
}

gan_op gan_op_local_response_norm = {
  .name = "local_response_norm",
  .sig = "x:tensor size:int ; alpha:number=1e-4 beta:number=0.75 k:number=1",
  .forward = local_response_norm,
  .vjp = local_response_norm_vjp,
  .save = "x",
  .doc = "x / (k + alpha / size * sum of x^2 over `size` neighbouring channels)^beta.\n"
         "x: (N, C, ...); the window of channel c starts at c - floor(size / 2).\n"
         "Krizhevsky, Sutskever, Hinton 2012.",
  .example = "local y = gan.randn(2, 5, 3, 3):local_response_norm(3)",
};

/* ---- vectors of length one ----------------------------------------------------------------- */

/* 1 / max(|x|, eps) along dim, and where the length is above eps (1) or not (0); safe to
   differentiate at the origin */
static gan_tensor *inverse_length (gan_ctx *c, gan_tensor *x, int64_t dim, double eps,
                                   gan_tensor **above) {
  gan_tensor *sq = gan_sum(c, gan_square(c, x), 1, &dim, true);
  gan_tensor *tiny = gan_scalar(c, eps * eps), *one = gan_scalar(c, 1);
  *above = gan_gt(c, sq, tiny);
  gan_tensor *length = gan_rsqrt(c, gan_where(c, *above, sq, one));
  gan_tensor *y = gan_where(c, *above, length, gan_scalar(c, 1 / eps));
  /* NaN is not above: it must not become 1 / eps */
  return gan_where(c, gan_eq(c, sq, sq), y, sq);
}

static void l2_normalize (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *above;
  int dim = gan_dim(c, a[0].t, a[1].i);
  if (dim < 0) return;
  GAN_NEED(c, a[2].num > 0, "option 'eps' must be positive, got %g", a[2].num);
  out[0] = gan_mul(c, a[0].t, inverse_length(c, a[0].t, dim, a[2].num, &above));
}

/* above eps: gx = r gy - r^3 x <x, gy>, r = 1 / |x|; else gy / eps */
static void l2_normalize_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *x = n->a[0].t, *above;
  int64_t dim = gan_dim(c, x, n->a[1].i);
  gan_tensor *r = inverse_length(c, x, dim, n->a[2].num, &above);
  gan_tensor *dot = gan_sum(c, gan_mul(c, x, gy[0]), 1, &dim, true);
  gan_tensor *zero = gan_scalar(c, 0);
  gan_tensor *safe = gan_where(c, above, r, zero);
  gan_tensor *cube = gan_mul(c, gan_square(c, safe), safe);
  gx[0] = gan_sub(c, gan_mul(c, r, gy[0]), gan_mul(c, x, gan_mul(c, cube, dot)));
}

gan_op gan_op_l2_normalize = {
  .name = "l2_normalize",
  .sig = "x:tensor ; dim:dim=1 eps:number=1e-12",
  .forward = l2_normalize,
  .vjp = l2_normalize_vjp,
  .save = "x",
  .doc = "x / max(|x|, eps), |x| being the Euclidean length along dim (by default the second).\n"
         "PyTorch's functional.normalize.",
  .example = "local y = gan.randn(3, 4):l2_normalize{dim=2}",
};

/* 1 / sqrt(mean of x^2 over channels + eps) */
static gan_tensor *pixel_scale (gan_ctx *c, gan_tensor *x, double eps) {
  int64_t dim = 1;
  return gan_rsqrt(c, gan_shift(c, gan_mean(c, gan_square(c, x), 1, &dim, true), eps));
}

static void pixel_norm (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  GAN_NEED(c, x->ndim >= 2, "argument 'x' must have at least 2 dimensions, (N, C, ...), got %s",
           gan_shape_of(c, x));
  out[0] = gan_mul(c, x, pixel_scale(c, x, a[1].num));
}

static void pixel_norm_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *x = n->a[0].t, *r = pixel_scale(c, x, n->a[1].num);
  int64_t dim = 1;
  gan_tensor *dot = gan_mean(c, gan_mul(c, x, gy[0]), 1, &dim, true);
  gan_tensor *cube = gan_mul(c, gan_square(c, r), r);
  gx[0] = gan_sub(c, gan_mul(c, r, gy[0]), gan_mul(c, x, gan_mul(c, cube, dot)));
}

gan_op gan_op_pixel_norm = {
  .name = "pixel_norm",
  .sig = "x:tensor ; eps:number=1e-8",
  .forward = pixel_norm,
  .vjp = pixel_norm_vjp,
  .save = "x",
  .doc = "x / sqrt(mean of x^2 over the channels + eps). x: (N, C, ...).\n"
         "Karras, Aila, Laine, Lehtinen 2018.",
  .example = "local y = gan.randn(2, 4, 3, 3):pixel_norm()",
};

/* ---- weights ------------------------------------------------------------------------------- */

/* All dimensions of v but dim. */
static int but (const gan_tensor *v, int dim, int64_t *dims) {
  int n = 0;
  for (int d = 0; d < v->ndim; d++)
    if (d != dim) dims[n++] = d;
  return n;
}

static void weight_norm (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *v = a[0].t, *g = a[1].t;
  int64_t dims[GAN_MAXDIM];
  int dim = gan_dim(c, v, a[2].i);
  if (dim < 0) return;
  bool fits = g->ndim == v->ndim;
  for (int d = 0; fits && d < v->ndim; d++) fits = g->shape[d] == (d == dim ? v->shape[d] : 1);
  GAN_NEED(c, fits, "argument 'g' must have the size of 'v' in dimension %d and 1 elsewhere: "
           "'v' is %s, 'g' is %s", dim + 1, gan_shape_of(c, v), gan_shape_of(c, g));
  gan_tensor *sq = gan_square(c, v);
  int n = but(v, dim, dims);
  gan_tensor *r = gan_rsqrt(c, n ? gan_sum(c, sq, n, dims, true) : sq);
  out[0] = gan_mul(c, v, gan_mul(c, g, r));
}

/* r = 1 / |v|, s = <v, gy> r: gg = s, gv = g r (gy - v r s) */
static void weight_norm_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *v = n->a[0].t, *g = n->a[1].t;
  int64_t dims[GAN_MAXDIM];
  int k = but(v, gan_dim(c, v, n->a[2].i), dims);
  gan_tensor *sq = gan_square(c, v), *dot = gan_mul(c, v, gy[0]);
  gan_tensor *r = gan_rsqrt(c, k ? gan_sum(c, sq, k, dims, true) : sq);
  gan_tensor *s = gan_mul(c, k ? gan_sum(c, dot, k, dims, true) : dot, r);
  if (gan_wants(n, 1)) gx[1] = s;
  if (!gan_wants(n, 0)) return;
  gan_tensor *across = gan_sub(c, gy[0], gan_mul(c, v, gan_mul(c, r, s)));
  gx[0] = gan_mul(c, gan_mul(c, g, r), across);
}

gan_op gan_op_weight_norm = {
  .name = "weight_norm",
  .sig = "v:tensor g:tensor ; dim:dim=0",
  .forward = weight_norm,
  .vjp = weight_norm_vjp,
  .save = "v g",
  .doc = "g v / |v|, |v| being the Euclidean length over all dimensions but dim.\n"
         "v: a weight; g: its lengths, with v's size in dim and size 1 in the others.\n"
         "Salimans, Kingma 2016.",
  .example = "local w = gan.randn(3, 4):weight_norm(gan.ones(3, 1))",
};

/* ---- spectral normalisation ---------------------------------------------------------------- */

enum { N_W, N_U, N_V, N_ITER, N_EPS, N_DIM };

/* w as a matrix with dimension dim in front: (rows x rest), differentiable */
static gan_tensor *as_matrix (gan_ctx *c, gan_tensor *w, int dim) {
  int64_t order[GAN_MAXDIM], shape[2] = { w->shape[dim], 1 };
  int n = 0;
  order[n++] = dim;
  for (int d = 0; d < w->ndim; d++)
    if (d != dim) {
      order[n++] = d;
      shape[1] *= w->shape[d];
    }
  return gan_reshape(c, dim ? gan_permute(c, w, n, order) : w, 2, shape);
}

/* The other way: a matrix in w's place. */
static gan_tensor *from_matrix (gan_ctx *c, gan_tensor *m, const gan_edge *w, int dim) {
  int64_t shape[GAN_MAXDIM], order[GAN_MAXDIM];
  int n = 0;
  shape[n++] = w->shape[dim];
  for (int d = 0; d < w->ndim; d++)
    if (d != dim) shape[n++] = w->shape[d];
  for (int d = 0; d < w->ndim; d++) order[d] = d == dim ? 0 : d < dim ? d + 1 : d;
  m = gan_reshape(c, m, n, shape);
  return dim ? gan_permute(c, m, n, order) : m;
}

/* matrix times vector, divided by max(length, eps) */
static gan_tensor *power_step (gan_ctx *c, gan_tensor *m, gan_tensor *x, double eps) {
  gan_tensor *y = gan_matmul(c, m, x);
  int64_t dim = 0;
  gan_tensor *above;
  return y ? gan_mul(c, y, inverse_length(c, y, dim, eps, &above)) : NULL;
}

/* u W v as a tensor of one number */
static gan_tensor *sigma_of (gan_ctx *c, gan_tensor *m, gan_tensor *u, gan_tensor *v) {
  gan_tensor *wv = gan_matmul(c, m, v);
  return gan_sum(c, wv ? gan_mul(c, u, wv) : NULL, -1, NULL, false);
}

static bool check_spectral (gan_ctx *c, const gan_arg *a, int dim) {
  const gan_tensor *w = a[N_W].t;
  int64_t rows = w->shape[dim], cols = rows ? w->numel / rows : 0;
  if (w->numel == 0)
    gan_fail(c, GAN_EARG, "the weight %s has no elements", gan_shape_of(c, w));
  else if (a[N_ITER].i < 0)
    gan_fail(c, GAN_EARG, "option 'n_iter' must not be negative, got %lld",
             (long long)a[N_ITER].i);
  else if (!(a[N_EPS].num > 0))
    gan_fail(c, GAN_EARG, "option 'eps' must be positive, got %g", a[N_EPS].num);
  return !c->status && gan_norm_vector(c, "u", &a[N_U], rows, "row of the weight") &&
         gan_norm_vector(c, "v", &a[N_V], cols, "column of the weight");
}

static void spectral_norm (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int dim = gan_dim(c, a[N_W].t, a[N_DIM].i);
  if (dim < 0 || !check_spectral(c, a, dim)) return;
  double eps = a[N_EPS].num;
  gan_tensor *m = as_matrix(c, a[N_W].t, dim), *u = a[N_U].t;
  gan_tensor *v = a[N_V].n > 0 ? a[N_V].t : NULL, *t = m ? gan_transpose(c, m) : NULL;
  for (int64_t i = 0; i < a[N_ITER].i && !c->status; i++) {
    v = power_step(c, t, u, eps);
    u = power_step(c, m, v, eps);
  }
  if (!v) v = power_step(c, t, u, eps);
  out[0] = gan_div(c, a[N_W].t, sigma_of(c, m, u, v));
  out[1] = gan_detach(c, u);
  out[2] = gan_detach(c, v);
}

/* sigma = u W v with u and v constant: gx = gy / sigma - <gy, W> / sigma^2 u v' */
static void spectral_norm_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (!gan_wants(n, 0)) return;
  gan_tensor *w = n->a[N_W].t;
  int dim = gan_dim(c, w, n->a[N_DIM].i);
  gan_tensor *u = gan_detach(c, gan_saved_out(c, n, 1)), *v = gan_detach(c, gan_saved_out(c, n, 2));
  gan_tensor *sigma = sigma_of(c, as_matrix(c, w, dim), u, v);
  gan_tensor *dot = gan_sum(c, gan_mul(c, gy[0], w), -1, NULL, false);
  if (c->status) return;
  int64_t column[2] = { u->numel, 1 }, row[2] = { 1, v->numel };
  gan_tensor *uv = gan_mul(c, gan_reshape(c, u, 2, column), gan_reshape(c, v, 2, row));
  gan_tensor *k = gan_div(c, dot, gan_square(c, sigma));
  gx[0] = gan_sub(c, gan_div(c, gy[0], sigma),
                  gan_mul(c, k, from_matrix(c, uv, &n->in[0], dim)));
}

gan_op gan_op_spectral_norm = {
  .name = "spectral_norm",
  .sig = "w:tensor u:tensor v:tensor? ; n_iter:int=1 eps:number=1e-12 dim:dim=0 -> y new_u~ new_v~",
  .forward = spectral_norm,
  .vjp = spectral_norm_vjp,
  .save = "w new_u new_v",
  .doc = "W / sigma with sigma = u' W v, an estimate of W's largest singular value; also u and v.\n"
         "w is seen as a matrix, its dimension dim against all others. n_iter times\n"
         "v = W' u / |W' u|, u = W v / |W v|; with n_iter = 0 (evaluation) u and v stay; a v that "
         "is\n"
         "not given is made from u. u: (rows), v: (columns); both are constants for the gradient.\n"
         "Miyato, Kataoka, Koyama, Yoshida 2018.",
  .example = "local y, u, v = gan.randn(3, 4):spectral_norm(gan.randn(3))",
};
