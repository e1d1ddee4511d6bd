/*
** scan.c - ops along one dimension: argmax and max_dim, cumsum and cumprod.
*/
#include "scan.h"

#include <math.h>
#include <string.h>

#include "reduce_plan.h"
#include "view.h"

#define UNIT_MIN 16384 /* elements that are worth a thread */

/* ---- places of extremes ------------------------------------------------------------------- */

typedef struct {
  const gan_reduce_table *kernels;
  const gan_real *x;
  gan_real *value; /* NULL: not wanted */
  int64_t *place;
  int64_t outer, n, inner, width, blocks;
  bool least;
} place_job;

static void place_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const place_job *j = ud;
  (void)worker;
  for (int64_t o = lo; o < hi; o++) {
    const gan_real *x = j->x + o * j->n;
    int64_t i = j->kernels->arg_row(j->n, x, j->least);
    if (j->value) j->value[o] = x[i];
    j->place[o] = i + 1;
  }
}

static void place_cols (void *ud, int64_t lo, int64_t hi, int worker) {
  const place_job *j = ud;
  gan_real value[GAN_REDUCE_COLS];
  (void)worker;
  for (int64_t u = lo; u < hi; u++) {
    int64_t o = u / j->blocks, k = u % j->blocks * j->width;
    int64_t cols = j->inner - k < j->width ? j->inner - k : j->width;
    int64_t *place = j->place + o * j->inner + k;
    j->kernels->arg_col(j->n, cols, j->inner, j->x + o * j->n * j->inner + k, j->least, value,
                        place);
    for (int64_t i = 0; i < cols; i++) place[i]++;
    if (j->value)
      memcpy(j->value + o * j->inner + k, value, (size_t)cols * sizeof *value);
  }
}

static void run_places (place_job *j) {
  j->kernels = GAN_KERNEL(gan_reduce);
  if (j->inner == 1) {
    gan_parallel(j->outer, UNIT_MIN / j->n + 1, place_rows, j);
    return;
  }
  j->width = j->inner < GAN_REDUCE_COLS ? j->inner : GAN_REDUCE_COLS;
  j->blocks = (j->inner + j->width - 1) / j->width;
  gan_parallel(j->outer * j->blocks, UNIT_MIN / (j->n * j->width) + 1, place_cols, j);
}

/* Places of the extremes along dim, and their values when `value` is given. */
static void find_places (gan_ctx *c, gan_tensor *x, int dim, bool keepdim, bool least,
                         gan_tensor **value, gan_tensor **place) {
  bool mask[GAN_MAXDIM] = { false };
  gan_reduce_plan p;
  if (x->ndim) {
    mask[dim] = true;
    GAN_NEED(c, x->shape[dim] > 0, "there is no extreme of no elements: dimension %d of x %s has "
             "size 0", dim + 1, gan_shape_of(c, x));
  }
  if (!gan_plan(c, x, mask, keepdim, false, &p)) return;
  place_job j = { .x = gan_reals(p.x), .least = least };
  *place = gan_plan_result(c, &p, GAN_INT64);
  if (!*place) return;
  if (value) {
    *value = gan_plan_result(c, &p, GAN_REAL);
    if (!*value) return;
    j.value = gan_reals(*value);
  }
  j.place = gan_ints(*place);
  gan_plan_split(&p, &j.outer, &j.n, &j.inner);
  if ((*place)->numel) run_places(&j);
}

/* Over everything: the place in row-major order. */
static void find_flat (gan_ctx *c, gan_tensor *x, bool keepdim, bool least, gan_tensor **place) {
  int64_t ones[GAN_MAXDIM];
  GAN_NEED(c, x->numel > 0, "there is no extreme of no elements: x is %s", gan_shape_of(c, x));
  for (int d = 0; d < x->ndim; d++) ones[d] = 1;
  gan_tensor *y = gan_new(c, GAN_INT64, keepdim ? x->ndim : 0, ones);
  x = gan_dense(c, x);
  if (!x || !y) return;
  gan_ints(y)[0] = GAN_KERNEL(gan_reduce)->arg_row(x->numel, gan_reals(x), least) + 1;
  *place = y;
}

static void arg_extreme (gan_ctx *c, const gan_arg *a, bool least, gan_tensor **out) {
  if (a[1].n < 0) {
    find_flat(c, a[0].t, a[2].i, least, out);
    return;
  }
  int dim = gan_dim(c, a[0].t, a[1].i);
  if (dim >= 0) find_places(c, a[0].t, dim, a[2].i, least, NULL, out);
}

static void argmax (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  arg_extreme(c, a, false, out);
}

static void argmin (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  arg_extreme(c, a, true, out);
}

gan_op gan_op_argmax = {
  .name = "argmax",
  .sig = "x:tensor dim:dim? ; keepdim:bool=false -> index~",
  .forward = argmax,
  .doc = "Place (from 1) of the largest element along dim; without dim in x read row by row.\n"
         "int64. The first of equals, and the first NaN, wins. No elements: an error.",
  .example = "gan.tensor{{1, 3}, {4, 2}}:argmax(2)",
};

gan_op gan_op_argmin = {
  .name = "argmin",
  .sig = "x:tensor dim:dim? ; keepdim:bool=false -> index~",
  .forward = argmin,
  .doc = "Place (from 1) of the smallest element along dim; without dim in x read row by row.\n"
         "int64. The first of equals, and the first NaN, wins. No elements: an error.",
  .example = "gan.tensor{{1, 3}, {4, 2}}:argmin(2)",
};

/* ---- max_dim, min_dim --------------------------------------------------------------------- */

static void dim_extreme (gan_ctx *c, const gan_arg *a, bool least, gan_tensor **out) {
  int dim = gan_dim(c, a[0].t, a[1].i);
  if (dim >= 0) find_places(c, a[0].t, dim, a[2].i, least, &out[0], &out[1]);
}

static void max_dim (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  dim_extreme(c, a, false, out);
}

static void min_dim (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  dim_extreme(c, a, true, out);
}

/* The element that was chosen gets everything. */
static void dim_extreme_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_edge *x = &n->in[0];
  int64_t dim = n->a[1].i, kept[GAN_MAXDIM];
  gan_tensor *index = gan_saved_out(c, n, 1);
  if (!gy[0] || !index) return;
  if (x->ndim == 0) {
    gx[0] = gan_reshape(c, gy[0], 0, NULL);
    return;
  }
  if (dim < 0) dim += x->ndim;
  for (int d = 0; d < x->ndim; d++) kept[d] = d == dim ? 1 : x->shape[d];
  gx[0] = gan_scatter_add(c, gan_new_zero(c, GAN_REAL, x->ndim, x->shape),
                          gan_reshape(c, index, x->ndim, kept),
                          gan_reshape(c, gy[0], x->ndim, kept), dim);
}

gan_op gan_op_max_dim = {
  .name = "max_dim",
  .sig = "x:tensor dim:dim ; keepdim:bool=false -> values indices~",
  .forward = max_dim,
  .vjp = dim_extreme_vjp,
  .save = "indices",
  .doc = "Largest elements along dim and their places (from 1).\n"
         "The first of equals, and the first NaN, wins and gets the gradient.",
  .example = "gan.tensor{{1, 3}, {4, 2}}:max_dim(2)",
};

gan_op gan_op_min_dim = {
  .name = "min_dim",
  .sig = "x:tensor dim:dim ; keepdim:bool=false -> values indices~",
  .forward = min_dim,
  .vjp = dim_extreme_vjp,
  .save = "indices",
  .doc = "Smallest elements along dim and their places (from 1).\n"
         "The first of equals, and the first NaN, wins and gets the gradient.",
  .example = "gan.tensor{{1, 3}, {4, 2}}:min_dim(2)",
};

/* ---- cumsum, cumprod ---------------------------------------------------------------------- */

typedef struct {
  const gan_reduce_table *kernels;
  const gan_real *x;
  gan_real *y;
  int64_t n, inner, width, blocks;
  bool product;
} scan_job;

static void scan_blocks (void *ud, int64_t lo, int64_t hi, int worker) {
  const scan_job *j = ud;
  (void)worker;
  for (int64_t u = lo; u < hi; u++) {
    int64_t k = u % j->blocks * j->width, at = u / j->blocks * j->n * j->inner + k;
    int64_t cols = j->inner - k < j->width ? j->inner - k : j->width;
    j->kernels->scan(j->n, cols, j->inner, j->x + at, j->product, j->y + at);
  }
}

static gan_tensor *scan (gan_ctx *c, const gan_arg *a, bool product) {
  int dim = gan_dim(c, a[0].t, a[1].i);
  gan_tensor *x = dim < 0 ? NULL : gan_dense(c, a[0].t);
  gan_tensor *y = x ? gan_new(c, GAN_REAL, x->ndim, x->shape) : NULL;
  if (!y || !y->numel) return y;
  scan_job j = { .kernels = GAN_KERNEL(gan_reduce), .x = gan_reals(x), .y = gan_reals(y),
                 .n = x->ndim ? x->shape[dim] : 1, .inner = 1, .product = product };
  for (int d = dim + 1; d < x->ndim; d++) j.inner *= x->shape[d];
  j.width = j.inner < 64 ? j.inner : 64;
  j.blocks = (j.inner + j.width - 1) / j.width;
  gan_parallel(x->numel / (j.n * j.inner) * j.blocks, UNIT_MIN / (j.n * j.width) + 1, scan_blocks,
               &j);
  return y;
}

gan_tensor *gan_reverse (gan_ctx *c, gan_tensor *x, int64_t dim) {
  if (!x || x->ndim == 0) return x;
  return gan_run1(c, &gan_op_flip, GAN_ARGS(GAN_T(x), GAN_V(&dim, 1)));
}

/* sums from the end */
static gan_tensor *sum_behind (gan_ctx *c, gan_tensor *x, int64_t dim) {
  gan_tensor *r = gan_reverse(c, x, dim);
  r = gan_run1(c, &gan_op_cumsum, GAN_ARGS(GAN_T(r), GAN_I(dim)));
  return gan_reverse(c, r, dim);
}

static void cumsum (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = scan(c, a, false);
}

static void cumsum_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = sum_behind(c, gy[0], n->a[1].i);
}

gan_op gan_op_cumsum = {
  .name = "cumsum",
  .sig = "x:tensor dim:dim",
  .forward = cumsum,
  .vjp = cumsum_vjp,
  .doc = "Running sum along dim: y[i] = x[1] + ... + x[i], added up in double.",
  .example = "gan.tensor{1, 2, 3}:cumsum(1)",
};

static void cumprod (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = scan(c, a, true);
}

/* 0-based element (i, k) of the mask: 1 where k > i, k == i, k < i as asked */
static gan_tensor *compare_mask (gan_ctx *c, int64_t n, bool equal) {
  int64_t shape[2] = { n, n };
  gan_tensor *m = gan_new(c, GAN_REAL, 2, shape);
  for (int64_t i = 0; m && i < n * n; i++)
    gan_reals(m)[i] = equal ? i / n == i % n : i % n >= i / n;
  return m;
}

/*
** Without division: gx_i = sum over j >= i of gy_j times the product of x_1 .. x_j without x_i.
** The rows (o, i, .) are x with 1 in the place i; memory is n times that of x.
*/
static gan_tensor *cumprod_exact (gan_ctx *c, gan_tensor *x, gan_tensor *gy, int64_t n) {
  int64_t shape[3] = { x->numel / n, 1, n }, cube[3] = { x->numel / n, n, n }, last = 2;
  gan_tensor *rows = gan_expand(c, gan_reshape(c, x, 3, shape), 3, cube);
  gan_tensor *holes = gan_where(c, compare_mask(c, n, true), gan_scalar(c, 1), rows);
  gan_tensor *without = gan_run1(c, &gan_op_cumprod, GAN_ARGS(GAN_T(holes), GAN_I(2)));
  gan_tensor *terms = gan_mul(c, gan_reshape(c, gy, 3, shape), without);
  terms = gan_where(c, compare_mask(c, n, false), terms, gan_scalar(c, 0));
  return gan_sum(c, terms, 1, &last, false);
}

bool gan_all_regular (gan_ctx *c, gan_tensor *x) {
  gan_tensor *d = gan_dense(c, x);
  for (int64_t i = 0; d && i < d->numel; i++) {
    double v = gan_reals(d)[i];
    if (v == 0 || !isfinite(v)) return false;
  }
  return d != NULL;
}

static void swap_last (const gan_tensor *x, int dim, int64_t *perm) {
  for (int d = 0; d < x->ndim; d++) perm[d] = d;
  perm[dim] = x->ndim - 1;
  perm[x->ndim - 1] = dim;
}

static void cumprod_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *x = n->a[0].t, *y = gan_saved_out(c, n, 0);
  int64_t perm[GAN_MAXDIM];
  if (!y) return;
  int dim = (int)(n->a[1].i < 0 ? n->a[1].i + x->ndim : n->a[1].i);
  if (x->ndim == 0 || x->numel == 0) {
    gx[0] = gan_reshape(c, gy[0], x->ndim, x->shape);
    return;
  }
  if (gan_all_regular(c, y)) {
    gx[0] = gan_div(c, sum_behind(c, gan_mul(c, gy[0], y), dim), x);
    return;
  }
  swap_last(x, dim, perm);
  gan_tensor *xt = gan_permute(c, x, x->ndim, perm), *gt = gan_permute(c, gy[0], x->ndim, perm);
  if (!xt || !gt) return;
  gan_tensor *t = cumprod_exact(c, xt, gt, x->shape[dim]);
  gx[0] = gan_permute(c, gan_reshape(c, t, xt->ndim, xt->shape), x->ndim, perm);
}

gan_op gan_op_cumprod = {
  .name = "cumprod",
  .sig = "x:tensor dim:dim",
  .forward = cumprod,
  .vjp = cumprod_vjp,
  .save = "x y",
  .doc = "Running product along dim: y[i] = x[1] * ... * x[i].\n"
         "The gradient is exact where elements are 0 (then with memory for size(dim) copies of x).",
  .example = "gan.tensor{1, 2, 3}:cumprod(1)",
};
