/*
** create.c - tensors made from numbers alone: zeros, ones, full, arange, linspace, eye.
*/
#include <math.h>
#include <string.h>

#include "../core/op.h"

/* ---- numbers of a type -------------------------------------------------------------------- */

static gan_dtype type_or (const gan_arg *a, gan_dtype otherwise) {
  return a->n < 0 ? otherwise : (gan_dtype)a->i;
}

/* False and an error when v is not exactly a number of this integer type. */
static bool representable (gan_ctx *c, gan_dtype d, double v) {
  double lo = d == GAN_UINT8 ? 0 : -9007199254740992.0, hi = d == GAN_UINT8 ? 255 : -lo;
  if (d == GAN_REAL || (v >= lo && v <= hi && v == floor(v))) return true;
  gan_fail(c, GAN_EARG, "%.17g is not a number that %s holds", v, gan_dtype_name(d));
  return false;
}

static void put (gan_tensor *y, int64_t i, double v) {
  switch (y->dtype) {
    case GAN_UINT8: gan_bytes(y)[i] = (uint8_t)v; break;
    case GAN_INT64: gan_ints(y)[i] = (int64_t)v; break;
    default: gan_reals(y)[i] = (gan_real)v;
  }
}

static void fill_range (void *ud, int64_t lo, int64_t hi, int worker) {
  gan_tensor *y = ud;
  (void)worker;
  gan_real *r = gan_reals(y), v = r[0];
  for (int64_t i = lo > 0 ? lo : 1; i < hi; i++) r[i] = v; /* element 0 holds the value */
}

/* y with every element v; takes and passes NULL. */
static gan_tensor *filled (gan_ctx *c, gan_tensor *y, double v) {
  if (!y || !representable(c, y->dtype, v)) return NULL;
  if (y->numel == 0) return y;
  if (v == 0 && !signbit(v)) memset(y->data, 0, (size_t)y->numel * gan_dtype_size(y->dtype));
  else if (y->dtype == GAN_REAL) {
    put(y, 0, v);
    gan_parallel(y->numel, 65536, fill_range, y);
  }
  else
    for (int64_t i = 0; i < y->numel; i++) put(y, i, v);
  return y;
}

/* ---- zeros, ones, full -------------------------------------------------------------------- */

static void zeros (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = filled(c, gan_new(c, type_or(&a[1], GAN_REAL), a[0].n, a[0].v), 0);
}

static gan_op op_zeros = {
  .name = "zeros",
  .sig = "shape:shape ; dtype:dtype?",
  .forward = zeros,
  .doc = "A tensor of zeros. dtype: the compute type by default.",
  .example = "gan.zeros(2, 3)",
};

static void ones (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = filled(c, gan_new(c, type_or(&a[1], GAN_REAL), a[0].n, a[0].v), 1);
}

static gan_op op_ones = {
  .name = "ones",
  .sig = "shape:shape ; dtype:dtype?",
  .forward = ones,
  .doc = "A tensor of ones. dtype: the compute type by default.",
  .example = "gan.ones(2, 3)",
};

static void full (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = filled(c, gan_new(c, type_or(&a[2], GAN_REAL), a[0].n, a[0].v), a[1].num);
}

static gan_op op_full = {
  .name = "full",
  .sig = "shape:shape value:number ; dtype:dtype?",
  .forward = full,
  .doc = "A tensor with every element `value`, which dtype must be able to hold.\n"
         "dtype: the compute type by default.",
  .example = "gan.full({2, 3}, 0.5)",
};

static void zeros_like (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = filled(c, gan_new_like(c, a[0].t, type_or(&a[1], a[0].t->dtype)), 0);
}

static gan_op op_zeros_like = {
  .name = "zeros_like",
  .sig = "x:any ; dtype:dtype? -> y~",
  .forward = zeros_like,
  .doc = "Zeros in the shape of x. dtype: x's by default.",
  .example = "gan.zeros_like(gan.ones(2, 3))",
};

static void ones_like (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = filled(c, gan_new_like(c, a[0].t, type_or(&a[1], a[0].t->dtype)), 1);
}

static gan_op op_ones_like = {
  .name = "ones_like",
  .sig = "x:any ; dtype:dtype? -> y~",
  .forward = ones_like,
  .doc = "Ones in the shape of x. dtype: x's by default.",
  .example = "gan.ones_like(gan.zeros(2, 3))",
};

static void full_like (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = filled(c, gan_new_like(c, a[0].t, type_or(&a[2], a[0].t->dtype)), a[1].num);
}

static gan_op op_full_like = {
  .name = "full_like",
  .sig = "x:any value:number ; dtype:dtype? -> y~",
  .forward = full_like,
  .doc = "A tensor in the shape of x with every element `value`. dtype: x's by default.",
  .example = "gan.full_like(gan.zeros(2, 3), 7)",
};

/* ---- arange, linspace, eye ---------------------------------------------------------------- */

static void arange (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  bool one = a[1].n < 0;
  double start = one ? 1 : a[0].num, stop = one ? a[0].num : a[1].num, step = a[2].num;
  gan_dtype dtype = type_or(&a[3], GAN_REAL);
  GAN_NEED(c, isfinite(start) && isfinite(stop), "start and stop must be finite");
  GAN_NEED(c, isfinite(step) && step != 0, "step must be finite and not 0");
  double steps = floor((stop - start) / step);
  GAN_NEED(c, steps < 9e15, "more than 9e15 elements");
  int64_t n = steps < 0 ? 0 : (int64_t)steps + 1;
  if (n && (!representable(c, dtype, start) || !representable(c, dtype, n > 1 ? step : 0) ||
            !representable(c, dtype, start + (double)(n - 1) * step)))
    return;
  gan_tensor *y = out[0] = gan_new(c, dtype, 1, &n);
  for (int64_t i = 0; y && i < n; i++) put(y, i, start + (double)i * step);
}

static gan_op op_arange = {
  .name = "arange",
  .sig = "start:number stop:number? step:number=1 ; dtype:dtype?",
  .forward = arange,
  .doc = "start, start + step, ... up to and including stop, as Lua's for counts.\n"
         "arange(n) is 1 .. n. dtype: the compute type by default.",
  .example = "gan.arange(0, 1, 0.25)",
};

static void linspace (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  double start = a[0].num, stop = a[1].num;
  int64_t n = a[2].i;
  GAN_NEED(c, n >= 0, "steps must not be negative, got %lld", (long long)n);
  gan_tensor *y = out[0] = gan_new(c, GAN_REAL, 1, &n);
  double step = n > 1 ? (stop - start) / (double)(n - 1) : 0;
  for (int64_t i = 0; y && i < n; i++) /* from the nearer end: both are exact */
    put(y, i, i < (n + 1) / 2 ? start + (double)i * step : stop - (double)(n - 1 - i) * step);
}

static gan_op op_linspace = {
  .name = "linspace",
  .sig = "start:number stop:number steps:int",
  .forward = linspace,
  .doc = "`steps` numbers at equal distances from start to stop, both included.",
  .example = "gan.linspace(0, 1, 5)",
};

static void eye (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int64_t shape[2] = { a[0].i, a[1].n < 0 ? a[0].i : a[1].i };
  gan_tensor *y = out[0] = gan_new_zero(c, type_or(&a[2], GAN_REAL), 2, shape);
  for (int64_t i = 0; y && i < shape[0] && i < shape[1]; i++) put(y, i * shape[1] + i, 1);
}

static gan_op op_eye = {
  .name = "eye",
  .sig = "rows:int cols:int? ; dtype:dtype?",
  .forward = eye,
  .doc = "A matrix with ones on its diagonal and zeros elsewhere; cols is rows by default.",
  .example = "gan.eye(3)",
};

/* ---- the family --------------------------------------------------------------------------- */

gan_op *const gan_ops_create[] = {
  &op_zeros, &op_ones, &op_full, &op_zeros_like, &op_ones_like, &op_full_like, &op_arange,
  &op_linspace, &op_eye, NULL
};
