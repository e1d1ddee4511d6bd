/*
** reduce.c - sums, means, extremes, norms and the like over some or all dimensions.
**
** Gradients bring the cotangent back to the shape that x had (size 1 in reduced dimensions) and let
** it broadcast; `expand` and `sum_to` are each other's adjoints.
*/
#include <math.h>
#include <string.h>

#include "reduce_plan.h"
#include "scan.h"
#include "view.h"

/* ---- what the ops share ------------------------------------------------------------------- */

/* Plans the reduction of a[0] over the dims a[1]; false on failure. */
static bool plan_args (gan_ctx *c, const gan_arg *a, int keepdim_at, bool sums, bool *mask,
                       gan_reduce_plan *p) {
  return gan_dim_mask(c, a[0].t, a[1].n, a[1].v, mask) &&
         gan_plan(c, a[0].t, mask, a[keepdim_at].i, sums, p);
}

/* The simple ones: x, dims, keepdim. `mean` divides by the number of elements. */
static gan_tensor *reduce_args (gan_ctx *c, const gan_arg *a, gan_reduce_kind kind, bool mean) {
  bool mask[GAN_MAXDIM];
  gan_reduce_plan p;
  bool sums = kind < GAN_REDUCE_PROD;
  if (!plan_args(c, a, 2, sums, mask, &p)) return NULL;
  return gan_reduce(c, &p, kind, mean ? (double)p.count : 1, NULL);
}

/* An extreme of nothing does not exist: an error that names the empty dimension. */
static bool has_extreme (gan_ctx *c, const gan_tensor *x, const bool *mask) {
  for (int d = 0; d < x->ndim; d++)
    if (mask[d] && x->shape[d] == 0) {
      gan_fail(c, GAN_EARG, "there is no extreme of no elements: dimension %d of x %s has size 0",
               d + 1, gan_shape_of(c, x));
      return false;
    }
  return true;
}

static const gan_arg *dims_of (const gan_node *n) {
  int k = 0;
  while (n->op->parsed->p[k].kind != GAN_K_DIMS) k++;
  return &n->a[k];
}

/* The shape that input 0 keeps when `keepdim` is set; returns the number of reduced elements. */
static int64_t kept_shape (const gan_node *n, int64_t *shape) {
  const gan_edge *x = &n->in[0];
  const gan_arg *dims = dims_of(n);
  int64_t count = 1;
  bool mask[GAN_MAXDIM];
  for (int d = 0; d < x->ndim; d++) mask[d] = dims->n < 0;
  for (int k = 0; k < dims->n && x->ndim; k++)
    mask[dims->v[k] < 0 ? dims->v[k] + x->ndim : dims->v[k]] = true;
  for (int d = 0; d < x->ndim; d++) {
    shape[d] = mask[d] ? 1 : x->shape[d];
    if (mask[d]) count *= x->shape[d];
  }
  return count;
}

/* A result, or its cotangent, in the shape that broadcasts against x. */
static gan_tensor *unreduce (gan_ctx *c, const gan_node *n, gan_tensor *t) {
  int64_t shape[GAN_MAXDIM];
  if (!t) return NULL;
  kept_shape(n, shape);
  return gan_reshape(c, t, n->in[0].ndim, shape);
}

static gan_tensor *to_input (gan_ctx *c, const gan_node *n, gan_tensor *t) {
  return gan_expand(c, t, n->in[0].ndim, n->in[0].shape);
}

/* 1 where y is 0, else y */
static gan_tensor *without_zeros (gan_ctx *c, gan_tensor *y, gan_tensor *is_zero) {
  return gan_where(c, is_zero, gan_scalar(c, 1), y);
}

/* a / y, and 0 where y is 0; no derivative of it is NaN there. */
static gan_tensor *safe_ratio (gan_ctx *c, gan_tensor *a, gan_tensor *y) {
  gan_tensor *is_zero = gan_eq(c, y, gan_scalar(c, 0));
  return gan_where(c, is_zero, gan_scalar(c, 0), gan_div(c, a, without_zeros(c, y, is_zero)));
}

static gan_tensor *absolute (gan_ctx *c, gan_tensor *x) {
  return gan_mul(c, x, gan_sign(c, x));
}

/* ---- sum, mean, sum_to -------------------------------------------------------------------- */

static void sum (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = reduce_args(c, a, GAN_REDUCE_SUM, false);
}

static void sum_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = to_input(c, n, unreduce(c, n, gy[0]));
}

gan_op gan_op_sum = {
  .name = "sum",
  .sig = "x:tensor dims:dims? ; keepdim:bool=false",
  .forward = sum,
  .vjp = sum_vjp,
  .doc = "Sum over the listed dimensions, or over all: y = sum x.\n"
         "The result has no reduced dimensions, or size 1 there with keepdim. A sum of nothing "
         "is 0. Short runs are added in the compute type and these in double.",
  .example = "gan.ones(2, 3):sum(1)",
};

static void mean (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = reduce_args(c, a, GAN_REDUCE_SUM, true);
}

static void mean_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  int64_t shape[GAN_MAXDIM];
  int64_t count = kept_shape(n, shape);
  gx[0] = to_input(c, n, gan_scale(c, unreduce(c, n, gy[0]), 1.0 / (double)count));
}

gan_op gan_op_mean = {
  .name = "mean",
  .sig = "x:tensor dims:dims? ; keepdim:bool=false",
  .forward = mean,
  .vjp = mean_vjp,
  .doc = "Arithmetic mean over the listed dimensions, or over all: y = (sum x) / count.\n"
         "The mean of nothing is NaN.",
  .example = "gan.ones(2, 3):mean()",
};

static void sum_to (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int lead = x->ndim - a[1].n;
  bool mask[GAN_MAXDIM], any = lead > 0;
  bool ok = lead >= 0;
  for (int d = 0; d < x->ndim && ok; d++) {
    int64_t want = d < lead ? 1 : a[1].v[d - lead];
    mask[d] = d < lead || (want == 1 && x->shape[d] != 1);
    any |= mask[d];
    ok = d < lead || want == 1 || want == x->shape[d];
  }
  GAN_NEED(c, ok, "the sizes %s cannot be broadcast to x %s",
           gan_shape_text(c, a[1].n, a[1].v), gan_shape_of(c, x));
  gan_reduce_plan p;
  gan_tensor *y = NULL;
  if (any && gan_plan(c, x, mask, true, true, &p))
    y = gan_reduce(c, &p, GAN_REDUCE_SUM, 1, NULL);
  if (any && !y) return;
  if (!any) y = x;
  out[0] = gan_view(c, y, a[1].n, y->shape + lead, y->stride + lead, 0);
}

static void sum_to_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = to_input(c, n, gy[0]);
}

gan_op gan_op_sum_to = {
  .name = "sum_to",
  .sig = "x:tensor shape:shape",
  .forward = sum_to,
  .vjp = sum_to_vjp,
  .doc = "Sums x down to a shape that can be broadcast to x's: the adjoint of expand.\n"
         "Dimensions that shape lacks at the front, or has with size 1, are summed over.",
  .example = "gan.ones(4, 3):sum_to(1, 3)",
};

/* ---- prod --------------------------------------------------------------------------------- */

static void prod (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = reduce_args(c, a, GAN_REDUCE_PROD, false);
}

/* x: (outer x count). Product of the elements before each element of its row. */
static gan_tensor *product_before (gan_ctx *c, gan_tensor *x) {
  int64_t one[2] = { x->shape[0], 1 };
  gan_tensor *part[2];
  part[0] = gan_expand(c, gan_scalar(c, 1), 2, one);
  part[1] = gan_slice(c, x, 1, 0, x->shape[1] - 1, 1);
  part[1] = gan_run1(c, &gan_op_cumprod, GAN_ARGS(GAN_T(part[1]), GAN_I(1)));
  return gan_cat(c, 2, part, 1);
}

/* For every element the product of all others of its group, without a division. */
static gan_tensor *product_of_others (gan_ctx *c, const gan_node *n, gan_tensor *x) {
  int64_t kept[GAN_MAXDIM], perm[GAN_MAXDIM], back[GAN_MAXDIM], shape[GAN_MAXDIM];
  int64_t flat[2] = { 1, kept_shape(n, kept) };
  int m = 0;
  for (int pass = 0; pass < 2; pass++)
    for (int d = 0; d < x->ndim; d++) {
      bool red = kept[d] != x->shape[d]; /* size 1: either way */
      if (red != (pass == 1)) continue;
      if (!red) flat[0] *= x->shape[d];
      back[d] = m;
      shape[m] = x->shape[d];
      perm[m++] = d;
    }
  gan_tensor *rows = gan_reshape(c, gan_permute(c, x, m, perm), 2, flat);
  if (!rows) return NULL;
  gan_tensor *left = product_before(c, rows);
  gan_tensor *turned = gan_reverse(c, rows, 1);
  gan_tensor *right = turned ? gan_reverse(c, product_before(c, turned), 1) : NULL;
  gan_tensor *others = gan_reshape(c, gan_mul(c, left, right), m, shape);
  return gan_permute(c, others, m, back);
}

static void prod_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *x = n->a[0].t, *y = gan_saved_out(c, n, 0);
  if (!y) return;
  if (x->numel == 0) gx[0] = gan_new_zero(c, GAN_REAL, x->ndim, x->shape);
  else if (gan_all_regular(c, y)) gx[0] = gan_div(c, unreduce(c, n, gan_mul(c, gy[0], y)), x);
  else gx[0] = gan_mul(c, unreduce(c, n, gy[0]), product_of_others(c, n, x));
}

static gan_op op_prod = {
  .name = "prod",
  .sig = "x:tensor dims:dims? ; keepdim:bool=false",
  .forward = prod,
  .vjp = prod_vjp,
  .save = "x y",
  .doc = "Product over the listed dimensions, or over all.\n"
         "The product of nothing is 1. The gradient is exact where elements are 0.",
  .example = "gan.tensor{1, 2, 3}:prod()",
};

/* ---- amax, amin --------------------------------------------------------------------------- */

static gan_tensor *extreme (gan_ctx *c, const gan_arg *a, gan_reduce_kind kind) {
  bool mask[GAN_MAXDIM];
  gan_reduce_plan p;
  if (!plan_args(c, a, 2, false, mask, &p) || !has_extreme(c, a[0].t, mask)) return NULL;
  return gan_reduce(c, &p, kind, 1, NULL);
}

static void amax (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = extreme(c, a, GAN_REDUCE_MAX);
}

static void amin (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = extreme(c, a, GAN_REDUCE_MIN);
}

/* 1/k at the k elements of x that equal their extreme, else 0: a constant. */
static gan_tensor *share (gan_ctx *c, const gan_node *n, gan_tensor *x, gan_tensor *y) {
  gan_tensor *is = gan_eq(c, x, unreduce(c, n, y));
  const gan_arg *dims = dims_of(n);
  return gan_div(c, is, gan_sum(c, is, dims->n, dims->v, true));
}

static void extreme_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *part = share(c, n, n->a[0].t, gan_saved_out(c, n, 0));
  gx[0] = gan_mul(c, unreduce(c, n, gy[0]), part);
}

static gan_op op_amax = {
  .name = "amax",
  .sig = "x:tensor dims:dims? ; keepdim:bool=false",
  .forward = amax,
  .vjp = extreme_vjp,
  .save = "x y",
  .doc = "Largest element over the listed dimensions, or over all.\n"
         "NaN propagates. Elements that tie share the gradient equally (max_dim gives it to the "
         "first). An empty dimension is an error.",
  .example = "gan.tensor{3, 1, 2}:amax()",
};

static gan_op op_amin = {
  .name = "amin",
  .sig = "x:tensor dims:dims? ; keepdim:bool=false",
  .forward = amin,
  .vjp = extreme_vjp,
  .save = "x y",
  .doc = "Smallest element over the listed dimensions, or over all.\n"
         "NaN propagates. Elements that tie share the gradient equally (min_dim gives it to the "
         "first). An empty dimension is an error.",
  .example = "gan.tensor{3, 1, 2}:amin()",
};

/* ---- var, std ----------------------------------------------------------------------------- */

static double freedom (int64_t count, int64_t correction) {
  return count > correction ? (double)(count - correction) : 0;
}

/* Two passes: the mean, then squared distances from it. */
static gan_tensor *variance (gan_ctx *c, const gan_arg *a) {
  bool mask[GAN_MAXDIM];
  gan_reduce_plan p;
  if (a[2].i < 0) return gan_fail(c, GAN_EARG, "correction must not be negative");
  if (!plan_args(c, a, 3, false, mask, &p) || !gan_plan_rows(c, mask, &p)) return NULL;
  gan_tensor *m = gan_reduce(c, &p, GAN_REDUCE_SUM, (double)p.count, NULL);
  if (!m) return NULL;
  return gan_reduce(c, &p, GAN_REDUCE_SQDEV, freedom(p.count, a[2].i), m);
}

static void var (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = variance(c, a);
}

/* gy (x - mean) / (count - correction), gy as it broadcasts against x */
static gan_tensor *spread_vjp (gan_ctx *c, const gan_node *n, gan_tensor *gy) {
  int64_t shape[GAN_MAXDIM];
  double div = freedom(kept_shape(n, shape), n->a[2].i);
  gan_tensor *x = n->a[0].t;
  gan_tensor *off = gan_sub(c, x, gan_mean(c, x, n->a[1].n, n->a[1].v, true));
  return gan_mul(c, off, gan_scale(c, unreduce(c, n, gy), 1 / div));
}

static void var_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = spread_vjp(c, n, gan_scale(c, gy[0], 2));
}

static gan_op op_var = {
  .name = "var",
  .sig = "x:tensor dims:dims? ; correction:int=1 keepdim:bool=false",
  .forward = var,
  .vjp = var_vjp,
  .save = "x",
  .doc = "Variance over the listed dimensions, or over all: y = sum (x - mean)^2 / (count - "
         "correction).\n"
         "correction 1 (default) is the unbiased estimate, 0 the mean square distance. Computed "
         "in two passes. NaN when count <= correction.",
  .example = "gan.randn(5, 4):var(1, {correction = 0})",
};

static void square_root (gan_tensor *y) {
  for (int64_t i = 0; y && i < y->numel; i++)
    gan_reals(y)[i] = (gan_real)sqrt(gan_reals(y)[i]);
}

static void std_ (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = variance(c, a);
  square_root(out[0]);
}

static void std_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = spread_vjp(c, n, safe_ratio(c, gy[0], gan_saved_out(c, n, 0)));
}

static gan_op op_std = {
  .name = "std",
  .sig = "x:tensor dims:dims? ; correction:int=1 keepdim:bool=false",
  .forward = std_,
  .vjp = std_vjp,
  .save = "x y",
  .doc = "Standard deviation: the square root of var, with the same options.\n"
         "The gradient where all elements are equal is 0.",
  .example = "gan.randn(5, 4):std(1)",
};

/* ---- logsumexp ---------------------------------------------------------------------------- */

static void logsumexp (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  bool mask[GAN_MAXDIM], empty = false;
  gan_tensor *x = a[0].t, *top = NULL;
  if (!gan_dim_mask(c, x, a[1].n, a[1].v, mask)) return;
  for (int d = 0; d < x->ndim; d++) empty |= mask[d] && x->shape[d] == 0;
  if (!empty) {
    top = gan_run1(c, &op_amax, GAN_ARGS(GAN_T(x), a[1], GAN_I(true)));
    if (!top || !(top = gan_dense(c, top))) return;
    for (int64_t i = 0; i < top->numel; i++) /* inf - inf would be NaN */
      if (isinf(gan_reals(top)[i])) gan_reals(top)[i] = 0;
    x = gan_exp(c, gan_sub(c, x, top));
  }
  out[0] = gan_run1(c, &gan_op_sum, GAN_ARGS(GAN_T(x), a[1], a[2]));
  if (!out[0] || !(out[0] = gan_dense(c, out[0]))) return;
  gan_real *y = gan_reals(out[0]);
  for (int64_t i = 0; i < out[0]->numel; i++)
    y[i] = (gan_real)(log(y[i]) + (top ? gan_reals(top)[i] : 0));
}

static void logsumexp_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *y = unreduce(c, n, gan_saved_out(c, n, 0));
  gx[0] = gan_mul(c, unreduce(c, n, gy[0]), gan_exp(c, gan_sub(c, n->a[0].t, y)));
}

static gan_op op_logsumexp = {
  .name = "logsumexp",
  .sig = "x:tensor dims:dims? ; keepdim:bool=false",
  .forward = logsumexp,
  .vjp = logsumexp_vjp,
  .save = "x y",
  .doc = "log(sum(exp(x))) over the listed dimensions, or over all, without overflow.\n"
         "The result for no elements is -inf. The gradient is softmax.",
  .example = "gan.tensor{1000, 1000}:logsumexp()",
};

/* ---- norm --------------------------------------------------------------------------------- */

typedef struct {
  const gan_real *x;
  gan_real *y;
  double p;
} power_job;

static void power_terms (void *ud, int64_t lo, int64_t hi, int worker) {
  const power_job *j = ud;
  (void)worker;
  for (int64_t i = lo; i < hi; i++) {
    double v = fabs((double)j->x[i]);
    j->y[i] = (gan_real)(isinf(j->p) ? v : pow(v, j->p));
  }
}

/* |x|^p in the layout of the plan's x; |x| for an infinite p */
static bool power_plan (gan_ctx *c, gan_reduce_plan *p, double power) {
  gan_tensor *y = gan_new_like(c, p->x, GAN_REAL);
  if (!y) return false;
  power_job j = { gan_reals(p->x), gan_reals(y), power };
  gan_parallel(y->numel, 2048, power_terms, &j);
  p->x = y;
  return true;
}

static void norm (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  bool mask[GAN_MAXDIM];
  gan_reduce_plan p;
  const gan_arg rest[] = { a[0], a[2], a[3] };
  double power = a[1].num;
  GAN_NEED(c, power == power, "p must be a number, 2 is the Euclidean norm");
  if (!plan_args(c, rest, 2, !isinf(power), mask, &p)) return;
  if (isinf(power) && !has_extreme(c, a[0].t, mask)) return;
  bool squares = power == 2, sums = power == 1 || power == 0;
  gan_reduce_kind kind = squares      ? GAN_REDUCE_SQUARE
                         : power == 1 ? GAN_REDUCE_ABS
                         : power == 0 ? GAN_REDUCE_NONZERO
                         : !isinf(power) ? GAN_REDUCE_SUM
                         : power > 0     ? GAN_REDUCE_MAX
                                         : GAN_REDUCE_MIN;
  if (!squares && !sums && !power_plan(c, &p, power)) return;
  gan_tensor *y = out[0] = gan_reduce(c, &p, kind, 1, NULL);
  if (squares) square_root(y);
  else if (!sums && !isinf(power))
    for (int64_t i = 0; y && i < y->numel; i++)
      gan_reals(y)[i] = (gan_real)pow(gan_reals(y)[i], 1 / power);
}

/* sign(x) |x|^(p-1) y^(1-p) gy; elements that are 0 get 0 */
static gan_tensor *power_vjp (gan_ctx *c, gan_tensor *x, gan_tensor *y, gan_tensor *gy, double p) {
  gan_tensor *zero = gan_scalar(c, 0);
  gan_tensor *r = without_zeros(c, absolute(c, x), gan_eq(c, x, zero));
  gan_tensor *s = without_zeros(c, y, gan_eq(c, y, zero));
  gan_tensor *g = gan_mul(c, gy, gan_pow(c, s, 1 - p));
  return gan_mul(c, gan_mul(c, gan_sign(c, x), gan_pow(c, r, p - 1)), g);
}

static void norm_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *x = n->a[0].t, *y = gan_saved_out(c, n, 0), *g = unreduce(c, n, gy[0]);
  double p = n->a[1].num;
  if (p == 2) gx[0] = gan_mul(c, x, safe_ratio(c, g, unreduce(c, n, y)));
  else if (p == 1) gx[0] = gan_mul(c, gan_sign(c, x), g);
  else if (p == 0) gx[0] = gan_new_zero(c, GAN_REAL, x->ndim, x->shape);
  else if (isinf(p))
    gx[0] = gan_mul(c, gan_mul(c, gan_sign(c, x), share(c, n, absolute(c, x), y)), g);
  else gx[0] = power_vjp(c, x, unreduce(c, n, y), g, p);
}

static gan_op op_norm = {
  .name = "norm",
  .sig = "x:tensor p:number=2 dims:dims? ; keepdim:bool=false",
  .forward = norm,
  .vjp = norm_vjp,
  .save = "x y",
  .doc = "Norm of order p over the listed dimensions, or over all: y = (sum |x|^p)^(1/p).\n"
         "p = math.huge: the largest |x|; p = 0: how many elements are not 0. The gradient at the "
         "origin is 0; under p = math.huge elements that tie share it.",
  .example = "gan.tensor{3, 4}:norm()",
};

/* ---- truth and counts --------------------------------------------------------------------- */

static void count_nonzero (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = reduce_args(c, a, GAN_REDUCE_NONZERO, false);
}

static gan_op op_count_nonzero = {
  .name = "count_nonzero",
  .sig = "x:tensor dims:dims? ; keepdim:bool=false -> y~",
  .forward = count_nonzero,
  .doc = "How many elements over the listed dimensions, or over all, are not 0.\n"
         "NaN counts. The result has the compute type (exact to 2^24 in float32).",
  .example = "gan.tensor{1, 0, 2}:count_nonzero()",
};

static void any_nonzero (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *y = out[0] = reduce_args(c, a, GAN_REDUCE_NONZERO, false);
  for (int64_t i = 0; y && i < y->numel; i++) gan_reals(y)[i] = gan_reals(y)[i] > 0;
}

static gan_op op_any = {
  .name = "any",
  .sig = "x:tensor dims:dims? ; keepdim:bool=false -> y~",
  .forward = any_nonzero,
  .doc = "1 where some element over the listed dimensions, or over all, is not 0; else 0.\n"
         "NaN counts as true. 0 for no elements.",
  .example = "gan.tensor{0, 0, 2}:any()",
};

/* No element is 0. */
static void all_nonzero (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  bool mask[GAN_MAXDIM];
  gan_reduce_plan p;
  gan_tensor *zero = gan_eq(c, a[0].t, gan_scalar(c, 0));
  const gan_arg b[] = { GAN_T(zero), a[1], a[2] };
  if (!zero || !plan_args(c, b, 2, true, mask, &p)) return;
  gan_tensor *y = out[0] = gan_reduce(c, &p, GAN_REDUCE_NONZERO, 1, NULL);
  for (int64_t i = 0; y && i < y->numel; i++) gan_reals(y)[i] = gan_reals(y)[i] == 0;
}

static gan_op op_all = {
  .name = "all",
  .sig = "x:tensor dims:dims? ; keepdim:bool=false -> y~",
  .forward = all_nonzero,
  .doc = "1 where every element over the listed dimensions, or over all, is not 0; else 0.\n"
         "NaN counts as true. 1 for no elements.",
  .example = "gan.tensor{1, 0, 2}:all()",
};

/* ---- the family --------------------------------------------------------------------------- */

gan_op *const gan_ops_reduce[] = {
  &gan_op_sum, &gan_op_mean, &gan_op_sum_to, &op_prod, &op_amax, &op_amin, &op_var, &op_std,
  &op_logsumexp, &op_norm, &gan_op_argmax, &gan_op_argmin, &gan_op_max_dim, &gan_op_min_dim,
  &gan_op_cumsum, &gan_op_cumprod, &op_count_nonzero, &op_any, &op_all, NULL
};
