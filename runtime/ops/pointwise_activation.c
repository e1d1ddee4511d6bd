/*
** pointwise_activation.c - the units of networks.
**
** The gradient of a function made of straight pieces is a hidden op NAME_grad(s, g): linear in g,
** constant in the saved s, so that its own gradient is itself again and the second order costs one
** pass too. That of a smooth function is its derivative written with ops.
*/
#include "pointwise_rows.h"

GAN_STEPPED(CHEAP_ROW)
GAN_ACTIVATIONS(COSTLY_ROW)

/* ---- made of straight pieces ---------------------------------------------------------------- */

/* What name's own record saves is s; p and q are its numbers. */
#define STEP_GRADIENT(name, reads, ...)                                                     \
  static void name##_grad_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {        \
    const gan_real p[2] = { (gan_real)a[2].num, (gan_real)a[3].num };                       \
    out[0] = gan_map_grad(c, a[0].t, a[1].t, GAN_KERNEL(gan_pointwise)->name##_grad,        \
                          GAN_GRAIN_CHEAP, p);                                              \
  }                                                                                         \
  VJP(name##_grad) {                                                                        \
    if (gan_wants(n, 1))                                                                    \
      gx[1] = gan_run1(c, &gan_op_##name##_grad,                                            \
                       GAN_ARGS(GAN_T(n->a[0].t), GAN_T(gy[0]), n->a[2], n->a[3]));         \
  }                                                                                         \
  gan_op gan_op_##name##_grad = {                                                           \
    #name "_grad", "s:tensor g:tensor p:number q:number", name##_grad_forward,              \
    name##_grad_vjp, .save = "s:g", .flags = GAN_HIDDEN,                                      \
    .doc = "Gradient of " #name " from what it saved, s, and the gradient of its result, g."\
  };                                                                                        \
  VJP(name) {                                                                               \
    gan_real p[2];                                                                          \
    gan_row_numbers(&gan_op_##name, n->a, p);                                               \
    gx[0] = gan_run1(c, &gan_op_##name##_grad, GAN_ARGS(GAN_T(gan_row_saved(c, n)),         \
                     GAN_T(gy[0]), GAN_N((double)p[0]), GAN_N((double)p[1])));              \
  }

GAN_STEPPED(STEP_GRADIENT)

gan_op gan_op_relu = {
  "relu", "x:tensor", relu_forward, relu_vjp, relu_fused, .save = relu_reads,
  .doc = "max(x, 0). The gradient at 0 is 0.", .example = "gan.tensor({-1, 0, 2}):relu()"
};

/* The sign of y tells that of x unless the slope is negative: y is what the next layer keeps
   anyway, so that x need not be kept beside it. */
gan_op gan_op_leaky_relu_y = {
  "leaky_relu", "x:tensor slope:number=0.01", leaky_relu_forward, leaky_relu_vjp, leaky_relu_fused,
  .save = "y", .flags = GAN_HIDDEN, .doc = "leaky_relu with a slope that is not negative."
};

gan_op gan_op_leaky_relu_x = {
  "leaky_relu", "x:tensor slope:number=0.01", leaky_relu_forward, leaky_relu_vjp, leaky_relu_fused,
  .save = "x", .flags = GAN_HIDDEN, .doc = "leaky_relu with any slope."
};

static void leaky_relu_choose (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = gan_run1(c, a[1].num >= 0 ? &gan_op_leaky_relu_y : &gan_op_leaky_relu_x, a);
}

gan_op gan_op_leaky_relu = {
  "leaky_relu", "x:tensor slope:number=0.01", leaky_relu_choose, .flags = GAN_COMPOSITE,
  .doc = "x where x > 0, else slope * x. The gradient at 0 is the slope.",
  .example = "gan.tensor({-1, 0, 2}):leaky_relu(0.2)"
};

gan_op gan_op_abs = {
  "abs", "x:tensor", abs_forward, abs_vjp, abs_fused, .save = abs_reads,
  .doc = "|x|. The gradient at 0 is 0.", .example = "gan.tensor({-1, 2}):abs()"
};

gan_op gan_op_relu6 = {
  "relu6", "x:tensor", relu6_forward, relu6_vjp, relu6_fused, .save = relu6_reads,
  .doc = "x limited to 0..6. The gradient is 0 at both ends and outside.",
  .example = "gan.tensor({-1, 3, 7}):relu6()"
};

gan_op gan_op_hardtanh = {
  "hardtanh", "x:tensor min:number=-1 max:number=1", hardtanh_forward, hardtanh_vjp, hardtanh_fused,
  .save = hardtanh_reads,
  .doc = "x limited to min..max. The gradient is 0 at both ends and outside (clamp's is 1 at the\n"
         "ends).",
  .example = "gan.tensor({-3, 0.5, 3}):hardtanh()"
};

CHECKED(clamp, a[1].n >= 0 || a[2].n >= 0, "needs 'min', 'max' or both")

gan_op gan_op_clamp = {
  "clamp", "x:tensor min:number? max:number?", clamp_checked, clamp_vjp, clamp_fused,
  .save = clamp_reads,
  .doc = "x limited to min..max; one of the two may be absent. NaN stays NaN.\n"
         "The gradient is 1 from min to max, the ends included, and 0 outside. Where min is above\n"
         "max, the result is max.",
  .example = "gan.tensor({-3, 0.5, 3}):clamp{min=0, max=1}"
};

gan_op gan_op_threshold = {
  "threshold", "x:tensor threshold:number value:number", threshold_forward, threshold_vjp,
  threshold_fused, .save = threshold_reads,
  .doc = "x where x > threshold, else value. The gradient at the threshold is 0.",
  .example = "gan.tensor({0, 1, 2}):threshold(1, -5)"
};

CHECKED(softshrink, a[1].num >= 0, "lambda must not be negative, got %g", a[1].num)

gan_op gan_op_softshrink = {
  "softshrink", "x:tensor lambda:number=0.5", softshrink_checked, softshrink_vjp, softshrink_fused,
  .save = softshrink_reads,
  .doc = "x moved towards 0 by lambda, 0 within lambda of it. The gradient is 0 at both kinks.",
  .example = "gan.tensor({-2, 0.1, 2}):softshrink()"
};

gan_op gan_op_hardshrink = {
  "hardshrink", "x:tensor lambda:number=0.5", hardshrink_forward, hardshrink_vjp, hardshrink_fused,
  .save = hardshrink_reads,
  .doc = "x, but 0 within lambda of 0, ends included.",
  .example = "gan.tensor({-2, 0.1, 2}):hardshrink()"
};

gan_op gan_op_hardsigmoid = {
  "hardsigmoid", "x:tensor", hardsigmoid_forward, hardsigmoid_vjp, hardsigmoid_fused,
  .save = hardsigmoid_reads,
  .doc = "relu6(x + 3) / 6. The gradient is 0 at -3 and at 3.",
  .example = "gan.tensor({-4, 0, 4}):hardsigmoid()"
};

/* ---- smooth --------------------------------------------------------------------------------- */

/* g k e^(x / width) where x <= 0, else g; the slope of the slope at 0 is 0. Above 0 the exponential
   must stay finite although it is not taken, or its 0 * inf would leak into the second order. */
static gan_tensor *elu_gradient (gan_ctx *c, gan_tensor *x, gan_tensor *g, double k, double width) {
  gan_tensor *zero = gan_scalar(c, 0), *below = gan_where(c, gan_lt(c, x, zero), x, zero);
  gan_tensor *e = gan_exp(c, gan_scale(c, below, 1 / width));
  return gan_where(c, gan_le(c, x, zero), gan_mul(c, g, gan_scale(c, e, k)), g);
}

VJP(elu) {
  gx[0] = elu_gradient(c, n->a[0].t, gy[0], n->a[1].num, 1);
}

gan_op gan_op_elu = {
  "elu", "x:tensor alpha:number=1", elu_forward, elu_vjp, elu_fused, .save = elu_reads,
  .doc = "x where x > 0, else alpha (e^x - 1). Clevert, Unterthiner, Hochreiter 2016.",
  .example = "gan.tensor({-1, 0, 1}):elu()"
};

CHECKED(celu, a[1].num != 0, "alpha must not be 0")

VJP(celu) {
  gx[0] = elu_gradient(c, n->a[0].t, gy[0], 1, n->a[1].num);
}

gan_op gan_op_celu = {
  "celu", "x:tensor alpha:number=1", celu_checked, celu_vjp, celu_fused, .save = celu_reads,
  .doc = "x where x > 0, else alpha (e^(x / alpha) - 1). alpha 0 is an error. Barron 2017.",
  .example = "gan.tensor({-1, 0, 1}):celu{alpha=2}"
};

#define SELU_SCALE 1.0507009873554805
#define SELU_ALPHA 1.6732632423543772

VJP(selu) {
  gan_tensor *g = gan_scale(c, gy[0], SELU_SCALE);
  gx[0] = elu_gradient(c, n->a[0].t, g, SELU_ALPHA, 1);
}

gan_op gan_op_selu = {
  "selu", "x:tensor", selu_forward, selu_vjp, selu_fused, .save = selu_reads,
  .doc = "1.0507 times elu with alpha 1.6733. Klambauer, Unterthiner, Mayr, Hochreiter 2017.",
  .example = "gan.tensor({-1, 0, 1}):selu()"
};

VJP(softsign) { /* 1 / (1 + |x|)^2 */
  gan_tensor *d = gan_shift(c, gan_call1(c, &gan_op_abs, n->a[0].t), 1);
  gx[0] = gan_div(c, gy[0], gan_square(c, d));
}

gan_op gan_op_softsign = {
  "softsign", "x:tensor", softsign_forward, softsign_vjp, softsign_fused, .save = softsign_reads,
  .doc = "x / (1 + |x|).", .example = "gan.tensor({-1, 0, 1}):softsign()"
};

/* 0, x / 3 + 1/2, 1; both ends belong to the middle, and the slope of the slope is 0 there */
VJP(hardswish) {
  gan_tensor *x = n->a[0].t, *g = gy[0];
  gan_tensor *m = gan_run1(c, &gan_op_hardtanh, GAN_ARGS(GAN_T(x), GAN_N(-3), GAN_N(3)));
  gan_tensor *middle = gan_mul(c, g, gan_shift(c, gan_scale(c, m, 1. / 3), 0.5));
  gan_tensor *right = gan_where(c, gan_le(c, x, gan_scalar(c, 3)), middle, g);
  gx[0] = gan_where(c, gan_lt(c, x, gan_scalar(c, -3)), gan_scalar(c, 0), right);
}

gan_op gan_op_hardswish = {
  "hardswish", "x:tensor", hardswish_forward, hardswish_vjp, hardswish_fused,
  .save = hardswish_reads,
  .doc = "x relu6(x + 3) / 6. The gradient is -0.5 at -3 and 1.5 at 3. Howard and others 2019.",
  .example = "gan.tensor({-4, 0, 4}):hardswish()"
};

VJP(logsigmoid) {
  gx[0] = gan_mul(c, gy[0], gan_sigmoid(c, gan_neg(c, n->a[0].t)));
}

gan_op gan_op_logsigmoid = {
  "logsigmoid", "x:tensor", logsigmoid_forward, logsigmoid_vjp, logsigmoid_fused,
  .save = logsigmoid_reads,
  .doc = "log(sigmoid(x)) = -log(1 + e^-x), finite for every finite x.",
  .example = "gan.tensor({-1000, 0, 1000}):logsigmoid()"
};

CHECKED(softplus, a[1].num != 0, "beta must not be 0")

VJP(softplus) {
  gan_tensor *bx = gan_scale(c, n->a[0].t, n->a[1].num);
  gan_tensor *straight = gan_gt(c, bx, gan_scalar(c, n->a[2].num));
  gx[0] = gan_where(c, straight, gy[0], gan_mul(c, gy[0], gan_sigmoid(c, bx)));
}

gan_op gan_op_softplus = {
  "softplus", "x:tensor beta:number=1 threshold:number=20", softplus_checked, softplus_vjp,
  softplus_fused, .save = softplus_reads,
  .doc = "log(1 + e^(beta x)) / beta, and x itself where beta x > threshold. beta 0 is an error.",
  .example = "gan.tensor({-1, 0, 1}):softplus()"
};

VJP(silu) { /* s (1 + x (1 - s)) */
  gan_tensor *x = n->a[0].t, *s = gan_sigmoid(c, x);
  gan_tensor *inner = gan_shift(c, gan_mul(c, x, gan_shift(c, gan_neg(c, s), 1)), 1);
  gx[0] = gan_mul(c, gy[0], gan_mul(c, s, inner));
}

gan_op gan_op_silu = {
  "silu", "x:tensor", silu_forward, silu_vjp, silu_fused, .save = silu_reads,
  .doc = "x sigmoid(x), also called swish. Elfwing, Uchibe, Doya 2018.",
  .example = "gan.tensor({-1, 0, 1}):silu()"
};

VJP(mish) { /* t + x s (1 - t^2) with t = tanh(softplus(x)), s = sigmoid(x) */
  gan_tensor *x = n->a[0].t, *s = gan_sigmoid(c, x);
  gan_tensor *t = gan_run1(c, &gan_op_softplus, GAN_ARGS(GAN_T(x), GAN_N(1), GAN_N(20)));
  t = gan_tanh(c, t);
  gan_tensor *slope = gan_shift(c, gan_neg(c, gan_square(c, t)), 1);
  gx[0] = gan_mul(c, gy[0], gan_add(c, t, gan_mul(c, gan_mul(c, x, s), slope)));
}

gan_op gan_op_mish = {
  "mish", "x:tensor", mish_forward, mish_vjp, mish_fused, .save = mish_reads,
  .doc = "x tanh(softplus(x)). Misra 2020.", .example = "gan.tensor({-1, 0, 1}):mish()"
};

/* ---- gelu ----------------------------------------------------------------------------------- */

enum { GELU_NONE, GELU_TANH }; /* words of the signature */

static void gelu_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  const gan_pointwise_table *k = GAN_KERNEL(gan_pointwise);
  const gan_real none[2] = { 0 };
  gan_unary_fn *fn = a[1].i == GELU_TANH ? k->gelu_tanh : k->gelu;
  out[0] = gan_map1(c, a[0].t, fn, GAN_GRAIN_COSTLY, none);
}

static void gelu_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_pointwise_table *k = GAN_KERNEL(gan_pointwise);
  const gan_real none[2] = { 0 };
  gan_grad_fn *fn = n->a[1].i == GELU_TANH ? k->gelu_tanh_grad : k->gelu_grad;
  gx[0] = gan_map_backward(c, n->a[0].t, gy[0], fn, GAN_GRAIN_COSTLY, none);
}

/* P(x) + x p(x) with the normal distribution's cumulative and density functions */
static gan_tensor *gelu_slope (gan_ctx *c, gan_tensor *x) {
  gan_tensor *cdf = gan_call1(c, &gan_op_erf, gan_scale(c, x, 0.70710678118654752));
  cdf = gan_scale(c, gan_shift(c, cdf, 1), 0.5);
  gan_tensor *density = gan_exp(c, gan_scale(c, gan_square(c, x), -0.5));
  density = gan_scale(c, density, 0.3989422804014327);
  return gan_add(c, cdf, gan_mul(c, x, density));
}

/* s + x s (1 - s) u' of x s, s = sigmoid(u), u = k (x + 0.044715 x^3) with k = 2 sqrt(2 / pi) */
static gan_tensor *gelu_tanh_slope (gan_ctx *c, gan_tensor *x) {
  const double k = 1.5957691216057308, cubic = 0.044715;
  gan_tensor *square = gan_square(c, x);
  gan_tensor *u = gan_mul(c, x, gan_shift(c, gan_scale(c, square, k * cubic), k));
  gan_tensor *inner = gan_shift(c, gan_scale(c, square, 3 * k * cubic), k);
  gan_tensor *s = gan_sigmoid(c, u), *bell = gan_mul(c, s, gan_shift(c, gan_neg(c, s), 1));
  return gan_add(c, s, gan_mul(c, gan_mul(c, x, bell), inner));
}

VJP(gelu) {
  gan_tensor *x = n->a[0].t;
  gx[0] = gan_mul(c, gy[0], n->a[1].i == GELU_TANH ? gelu_tanh_slope(c, x) : gelu_slope(c, x));
}

gan_op gan_op_gelu = {
  "gelu", "x:tensor ; approximate:none|tanh=none", gelu_forward, gelu_vjp, gelu_fused, .save = "x",
  .doc = "x P(x) with the cumulative normal distribution P. Hendrycks, Gimpel 2016.\n"
         "approximate=\"tanh\": x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2, another function.",
  .example = "gan.tensor({-1, 0, 1}):gelu{approximate=\"tanh\"}"
};
