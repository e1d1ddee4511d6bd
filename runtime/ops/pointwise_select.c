/*
** pointwise_select.c - choosing and mixing: where, masked_fill, prelu, glu, lerp, addcmul.
*/
#include "pointwise.h"

#define VJP(name) \
  static void name##_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx)

static const gan_real no_numbers[2] = { 0 };

/* ---- by a condition ------------------------------------------------------------------------ */

static void where_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = gan_map3(c, a[0].t, a[1].t, a[2].t, GAN_KERNEL(gan_pointwise)->where, no_numbers);
}

VJP(where) { /* by where itself: what was not taken gets exactly 0, not 0 times something */
  gan_tensor *cond = n->a[0].t, *zero = gan_scalar(c, 0);
  if (gan_wants(n, 1)) gx[1] = gan_fit_input(c, n, 1, gan_where(c, cond, gy[0], zero));
  if (gan_wants(n, 2)) gx[2] = gan_fit_input(c, n, 2, gan_where(c, cond, zero, gy[0]));
}

gan_op gan_op_where = {
  "where", "cond:any a:operand b:operand", where_forward, where_vjp, .save = "cond",
  .doc = "a where cond is not 0, else b.\n"
         "Shapes broadcast; a and b may be numbers; cond may have any type and has no gradient.\n"
         "The element that is not taken has no influence, not even when it is NaN.",
  .example = "gan.where(gan.tensor({1, 0}), gan.tensor({1, 2}), 0)"
};

static gan_tensor *fill (gan_ctx *c, gan_tensor *x, gan_tensor *mask, double value) {
  return gan_run1(c, &gan_op_masked_fill, GAN_ARGS(GAN_T(x), GAN_T(mask), GAN_N(value)));
}

static void masked_fill_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  const gan_pointwise_table *k = GAN_KERNEL(gan_pointwise);
  out[0] = gan_map3(c, a[1].t, gan_scalar(c, a[2].num), a[0].t, k->where, no_numbers);
}

VJP(masked_fill) {
  if (gan_wants(n, 0)) gx[0] = gan_fit_input(c, n, 0, fill(c, gy[0], n->a[1].t, 0));
}

gan_op gan_op_masked_fill = {
  "masked_fill", "x:tensor mask:any value:number", masked_fill_forward, masked_fill_vjp,
  .save = "mask",
  .doc = "value where mask is not 0, else x.\n"
         "Shapes broadcast; mask may have any type and has no gradient.",
  .example = "gan.tensor({1, 2, 3}):masked_fill(gan.tensor({0, 1, 0}), -1)"
};

/* ---- prelu --------------------------------------------------------------------------------- */

/* The shape in which the slopes broadcast against x: (C, 1, ..., 1), or () for a single one. */
static bool slope_shape (gan_ctx *c, int xdims, const int64_t *xshape, const gan_tensor *slope,
                         int *ndim, int64_t *shape) {
  int64_t channels = xdims > 1 ? xshape[1] : 1;
  *ndim = 0;
  if (slope->numel == 1) return true;
  if (slope->ndim != 1 || slope->numel != channels) {
    gan_fail(c, GAN_EARG, "argument 'slope' has shape %s, x %s: it must have one element or one "
             "per channel (dimension 2 of x, %lld)", gan_shape_of(c, slope),
             gan_shape_text(c, xdims, xshape), (long long)channels);
    return false;
  }
  *ndim = xdims - 1;
  shape[0] = channels;
  for (int d = 1; d < *ndim; d++) shape[d] = 1;
  return true;
}

static void prelu_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t, *slope = a[1].t;
  int ndim;
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM];
  if (!slope_shape(c, x->ndim, x->shape, slope, &ndim, shape)) return;
  for (int d = 0; d < ndim; d++) stride[d] = d == 0 ? slope->stride[0] : 1;
  slope = gan_view(c, slope, ndim, shape, stride, 0);
  out[0] = gan_map2(c, x, slope, GAN_KERNEL(gan_pointwise)->prelu, GAN_GRAIN_CHEAP);
}

VJP(prelu) {
  gan_tensor *x = n->a[0].t, *slope = n->a[1].t;
  gan_tensor *zero = gan_scalar(c, 0), *high = gan_gt(c, x, zero);
  int ndim;
  int64_t shape[GAN_MAXDIM];
  if (!slope_shape(c, x->ndim, x->shape, slope, &ndim, shape)) return;
  if (gan_wants(n, 0)) {
    gan_tensor *low = gan_mul(c, gy[0], gan_reshape(c, slope, ndim, shape));
    gx[0] = gan_where(c, high, gy[0], low);
  }
  if (gan_wants(n, 1)) {
    gan_tensor *g = gan_mul(c, gy[0], gan_where(c, high, zero, x));
    gx[1] = gan_reshape(c, gan_sum_to(c, g, ndim, shape), n->in[1].ndim, n->in[1].shape);
  }
}

gan_op gan_op_prelu = {
  "prelu", "x:tensor slope:tensor", prelu_forward, prelu_vjp, .save = "x slope",
  .doc = "x where x > 0, else slope * x, with learnt slopes.\n"
         "slope has one element, or one for each channel (dimension 2 of x). He and others 2015.",
  .example = "gan.tensor({{-1, 2}, {3, -4}}):prelu(gan.tensor({0.1, 0.2}))"
};

/* ---- glu ----------------------------------------------------------------------------------- */

static void glu_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  GAN_NEED(c, x->ndim > 0, "needs a tensor with at least one dimension");
  int d = gan_dim(c, x, a[1].i);
  if (d < 0) return;
  GAN_NEED(c, x->shape[d] % 2 == 0, "dimension %d of x %s is odd, it is split into halves", d + 1,
           gan_shape_of(c, x));
  int64_t half = x->shape[d] / 2;
  gan_tensor *gate = gan_sigmoid(c, gan_slice(c, x, d, half, half, 1));
  out[0] = gan_mul(c, gan_slice(c, x, d, 0, half, 1), gate);
}

VJP(glu) { /* of a s with s = sigmoid(b): s and a s (1 - s) */
  gan_tensor *x = n->a[0].t;
  int d = gan_dim(c, x, n->a[1].i);
  int64_t half = x->shape[d] / 2;
  gan_tensor *s = gan_sigmoid(c, gan_slice(c, x, d, half, half, 1));
  gan_tensor *part[2] = { gan_mul(c, gy[0], s), NULL };
  gan_tensor *rest = gan_shift(c, gan_neg(c, s), 1);
  part[1] = gan_mul(c, gan_mul(c, part[0], gan_slice(c, x, d, 0, half, 1)), rest);
  gx[0] = gan_cat(c, 2, part, d);
}

gan_op gan_op_glu = {
  "glu", "x:tensor dim:dim=-1", glu_forward, glu_vjp, .save = "x",
  .doc = "The first half of x along dim times the sigmoid of the second half.\n"
         "The size of dim must be even; the result has half of it. Dauphin and others 2017.",
  .example = "gan.tensor({1, 2, 3, 4}):glu()"
};

/* ---- mixtures ------------------------------------------------------------------------------ */

static void lerp_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = gan_map3(c, a[0].t, a[1].t, a[2].t, GAN_KERNEL(gan_pointwise)->lerp, no_numbers);
}

VJP(lerp) { /* 1 - w, w, b - a */
  gan_tensor *w = n->a[2].t;
  gan_tensor *to_b = gan_mul(c, gy[0], w);
  if (gan_wants(n, 0)) gx[0] = gan_fit_input(c, n, 0, gan_sub(c, gy[0], to_b));
  if (gan_wants(n, 1)) gx[1] = gan_fit_input(c, n, 1, to_b);
  if (gan_wants(n, 2)) {
    gan_tensor *way = gan_sub(c, n->a[1].t, n->a[0].t);
    gx[2] = gan_fit_input(c, n, 2, gan_mul(c, gy[0], way));
  }
}

gan_op gan_op_lerp = {
  "lerp", "a:tensor b:tensor weight:operand", lerp_forward, lerp_vjp,
  .save = "a:weight b:weight weight",
  .doc = "a + weight (b - a): exactly a at weight 0 and b at weight 1. Shapes broadcast.",
  .example = "gan.tensor({0, 0}):lerp(gan.tensor({1, 2}), 0.25)"
};

static void addcmul_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  const gan_real p[2] = { (gan_real)a[3].num };
  out[0] = gan_map3(c, a[0].t, a[1].t, a[2].t, GAN_KERNEL(gan_pointwise)->addcmul, p);
}

VJP(addcmul) {
  if (gan_wants(n, 0)) gx[0] = gan_fit_input(c, n, 0, gy[0]);
  for (int i = 1; i <= 2; i++)
    if (gan_wants(n, i)) {
      gan_tensor *other = gan_scale(c, n->a[3 - i].t, n->a[3].num);
      gx[i] = gan_fit_input(c, n, i, gan_mul(c, gy[0], other));
    }
}

gan_op gan_op_addcmul = {
  "addcmul", "x:tensor a:tensor b:tensor ; value:number=1", addcmul_forward, addcmul_vjp,
  .save = "a:b b:a",
  .doc = "x + value a b, element by element. Shapes broadcast.",
  .example = "gan.ones(2):addcmul(gan.tensor({1, 2}), gan.tensor({3, 4}), {value=0.5})"
};
