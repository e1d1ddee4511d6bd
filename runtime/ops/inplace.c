/*
** inplace.c - copies, conversions, and the few ops that change their first argument (a trailing
** underscore in the name).
**
** The dispatcher refuses to change a tensor that is part of a recorded graph and raises the
** version of what was changed; here is only the work. All results are the changed tensor itself.
*/
#include <math.h>
#include <string.h>

#include "pointwise.h"

static const gan_real no_numbers[2] = { 0 };

/* ---- copies and conversions ---------------------------------------------------------------- */

static void copy_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = gan_clone(c, a[0].t);
}

static void copy_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  (void)c, (void)n;
  gx[0] = gy[0];
}

#define COPY_DOC "A copy of x in memory of its own, of x's type. The gradient passes through."

gan_op gan_op_copy = {
  "copy", "x:any", copy_forward, copy_vjp, .doc = COPY_DOC, .example = "gan.ones(2):copy()"
};

gan_op gan_op_clone = {
  "clone", "x:any", copy_forward, copy_vjp, .doc = COPY_DOC "\nAnother name of copy.",
  .example = "gan.ones(2):clone()"
};

typedef struct {
  const gan_tensor *x;
  gan_real *y;
} convert_job;

static void convert_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const convert_job *j = ud;
  const gan_pointwise_table *k = GAN_KERNEL(gan_pointwise);
  (void)worker;
  if (j->x->dtype == GAN_UINT8) k->from_uint8(hi - lo, gan_bytes(j->x) + lo, j->y + lo);
  else k->from_int64(hi - lo, gan_ints(j->x) + lo, j->y + lo);
}

static void to_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t, *y;
  gan_dtype dtype = (gan_dtype)a[1].i;
  if (x->dtype == dtype) {
    out[0] = x;
    return;
  }
  if (!(y = gan_new_like(c, x, dtype))) return;
  if (dtype == GAN_REAL && gan_same_layout(x, y)) {
    convert_job j = { x, gan_reals(y) };
    if (x->numel) gan_parallel(x->numel, GAN_GRAIN_CHEAP, convert_range, &j);
  }
  else gan_copy_into(c, y, x);
  out[0] = y;
}

gan_op gan_op_to = {
  "to", "x:any dtype:dtype", to_forward, copy_vjp,
  .doc = "x converted to a type: \"float32\", \"uint8\" or \"int64\".\n"
         "To an integer type the fraction is cut off, values outside the range become its nearest\n"
         "end (0 and 255 for uint8), NaN becomes 0. x of that type already is returned as it is,\n"
         "without a copy, and the gradient passes through; other conversions have no gradient.",
  .example = "gan.tensor({1.7, 300}):to(\"uint8\")"
};

/* ---- in place ------------------------------------------------------------------------------ */

/* True when b broadcasts to x's shape without changing it. */
static bool fits (gan_ctx *c, const gan_tensor *x, const gan_tensor *b, const char *name) {
  bool ok = b->ndim <= x->ndim;
  for (int k = 1; ok && k <= b->ndim; k++) {
    int64_t size = b->shape[b->ndim - k];
    ok = size == 1 || size == x->shape[x->ndim - k];
  }
  if (!ok)
    gan_fail(c, GAN_EARG, "argument '%s' %s does not broadcast to x %s, which is changed in place",
             name, gan_shape_of(c, b), gan_shape_of(c, x));
  return ok;
}

#define INPLACE(name) static void name##_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out)

/* x += alpha b */
static void add_scaled (gan_ctx *c, gan_tensor *x, gan_tensor *b, double alpha) {
  const gan_pointwise_table *k = GAN_KERNEL(gan_pointwise);
  const gan_real p[2] = { (gan_real)alpha };
  if (!fits(c, x, b, "b")) return;
  if (alpha == 1) gan_map2_into(c, x, x, b, k->add, GAN_GRAIN_CHEAP);
  else if (alpha == -1) gan_map2_into(c, x, x, b, k->sub, GAN_GRAIN_CHEAP);
  else gan_map3_into(c, x, x, b, gan_scalar(c, 1), k->addcmul, p);
}

INPLACE(add_) {
  add_scaled(c, a[0].t, a[1].t, a[2].num);
  out[0] = a[0].t;
}

gan_op gan_op_add_ = {
  "add_", "x!:tensor b:operand ; alpha:number=1", add__forward,
  .doc = "x = x + alpha b in place. b broadcasts to x or is a number.",
  .example = "gan.ones(2):add_(3)"
};

INPLACE(sub_) {
  add_scaled(c, a[0].t, a[1].t, -a[2].num);
  out[0] = a[0].t;
}

gan_op gan_op_sub_ = {
  "sub_", "x!:tensor b:operand ; alpha:number=1", sub__forward,
  .doc = "x = x - alpha b in place. b broadcasts to x or is a number.",
  .example = "gan.ones(2):sub_(3)"
};

static void scaled (gan_ctx *c, const gan_arg *a, gan_binary_fn *fn, gan_tensor **out) {
  if (!fits(c, a[0].t, a[1].t, "b")) return;
  gan_map2_into(c, a[0].t, a[0].t, a[1].t, fn, GAN_GRAIN_CHEAP);
  out[0] = a[0].t;
}

INPLACE(mul_) {
  scaled(c, a, GAN_KERNEL(gan_pointwise)->mul, out);
}

gan_op gan_op_mul_ = {
  "mul_", "x!:tensor b:operand", mul__forward,
  .doc = "x = x b in place, element by element. b broadcasts to x or is a number.",
  .example = "gan.ones(2):mul_(3)"
};

INPLACE(div_) {
  scaled(c, a, GAN_KERNEL(gan_pointwise)->div, out);
}

gan_op gan_op_div_ = {
  "div_", "x!:tensor b:operand", div__forward,
  .doc = "x = x / b in place, element by element. b broadcasts to x or is a number.",
  .example = "gan.ones(2):div_(4)"
};

static void changed (gan_ctx *c, gan_tensor *x, gan_unary_fn *fn, const gan_real *p,
                     gan_tensor **out) {
  gan_map1_into(c, x, x, fn, GAN_GRAIN_CHEAP, p);
  out[0] = x;
}

INPLACE(neg_) {
  changed(c, a[0].t, GAN_KERNEL(gan_pointwise)->neg, no_numbers, out);
}

gan_op gan_op_neg_ = {
  "neg_", "x!:tensor", neg__forward, .doc = "x = -x in place.", .example = "gan.ones(2):neg_()"
};

INPLACE(relu_) {
  changed(c, a[0].t, GAN_KERNEL(gan_pointwise)->relu, no_numbers, out);
}

gan_op gan_op_relu_ = {
  "relu_", "x!:tensor", relu__forward, .doc = "x = max(x, 0) in place.",
  .example = "gan.tensor({-1, 1}):relu_()"
};

INPLACE(clamp_) {
  GAN_NEED(c, a[1].n >= 0 || a[2].n >= 0, "needs 'min', 'max' or both");
  const gan_real p[2] = { a[1].n < 0 ? -(gan_real)INFINITY : (gan_real)a[1].num,
                          a[2].n < 0 ? (gan_real)INFINITY : (gan_real)a[2].num };
  changed(c, a[0].t, GAN_KERNEL(gan_pointwise)->clamp, p, out);
}

gan_op gan_op_clamp_ = {
  "clamp_", "x!:tensor min:number? max:number?", clamp__forward,
  .doc = "x limited to min..max in place; one of the two may be absent. NaN stays NaN.",
  .example = "gan.tensor({-3, 0.5, 3}):clamp_(-1, 1)"
};

INPLACE(lerp_) {
  gan_tensor *x = a[0].t;
  if (!fits(c, x, a[1].t, "b") || !fits(c, x, a[2].t, "weight")) return;
  gan_map3_into(c, x, x, a[1].t, a[2].t, GAN_KERNEL(gan_pointwise)->lerp, no_numbers);
  out[0] = x;
}

gan_op gan_op_lerp_ = {
  "lerp_", "x!:tensor b:tensor weight:operand", lerp__forward,
  .doc = "x = x + weight (b - x) in place: one step of a moving average.",
  .example = "gan.zeros(2):lerp_(gan.ones(2), 0.1)"
};

INPLACE(addcmul_) {
  gan_tensor *x = a[0].t;
  const gan_real p[2] = { (gan_real)a[3].num };
  if (!fits(c, x, a[1].t, "a") || !fits(c, x, a[2].t, "b")) return;
  gan_map3_into(c, x, x, a[1].t, a[2].t, GAN_KERNEL(gan_pointwise)->addcmul, p);
  out[0] = x;
}

gan_op gan_op_addcmul_ = {
  "addcmul_", "x!:tensor a:tensor b:tensor ; value:number=1", addcmul__forward,
  .doc = "x = x + value a b in place, element by element. a and b broadcast to x.",
  .example = "gan.ones(2):addcmul_(gan.ones(2), gan.ones(2), {value=3})"
};

/* ---- copies and constants in place ---------------------------------------------------------- */

/* Copies src, repeated to x's shape, into x. */
static void spread (gan_ctx *c, gan_tensor *x, gan_tensor *src) {
  int64_t stride[GAN_MAXDIM];
  int lead = x->ndim - src->ndim;
  for (int d = 0; d < x->ndim; d++)
    stride[d] = d < lead || src->shape[d - lead] == 1 ? 0 : src->stride[d - lead];
  gan_copy_into(c, x, gan_view(c, src, x->ndim, x->shape, stride, 0));
}

INPLACE(copy_) {
  gan_tensor *x = a[0].t, *src = a[1].t;
  if (!fits(c, x, src, "src")) return;
  if (gan_loop_overlaps(x, src)) src = gan_clone(c, src);
  if (!src) return;
  if (x->st != src->st || x->dtype != src->dtype) spread(c, x, src); /* else it is x itself */
  out[0] = x;
}

gan_op gan_op_copy_ = {
  "copy_", "x!:any src:any", copy__forward,
  .doc = "Copies src into x, converting it to x's type as `to` does. src broadcasts to x.",
  .example = "gan.zeros(2, 3):copy_(gan.tensor({1, 2, 3}))"
};

static void fill (gan_ctx *c, gan_tensor *x, double value) {
  gan_tensor *v = gan_new(c, GAN_REAL, 0, NULL), *one = gan_new(c, (gan_dtype)x->dtype, 0, NULL);
  if (!v || !one) return;
  if (x->dtype == GAN_INT64 && value > -0x1p63 && value < 0x1p63) *gan_ints(one) = (int64_t)value;
  else {
    *gan_reals(v) = (gan_real)value;
    gan_copy_into(c, one, v);
  }
  spread(c, x, one);
}

INPLACE(fill_) {
  fill(c, a[0].t, a[1].num);
  out[0] = a[0].t;
}

gan_op gan_op_fill_ = {
  "fill_", "x!:any value:number", fill__forward,
  .doc = "Sets every element of x to a number, converted to x's type as `to` does.",
  .example = "gan.zeros(2):fill_(7)"
};

INPLACE(zero_) {
  gan_tensor *x = a[0].t;
  size_t bytes = (size_t)x->numel * gan_dtype_size((gan_dtype)x->dtype);
  if (!gan_is_dense(x)) fill(c, x, 0);
  else if (bytes) memset(x->data, 0, bytes);
  out[0] = x;
}

gan_op gan_op_zero_ = {
  "zero_", "x!:any", zero__forward,
  .doc = "Sets every element of x to 0.", .example = "gan.ones(2):zero_()"
};
