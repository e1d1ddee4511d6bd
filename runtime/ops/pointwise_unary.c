/*
** pointwise_unary.c - functions of one tensor that mathematics has names for.
*/
#include "pointwise_rows.h"

GAN_ALGEBRAIC(CHEAP_ROW)
GAN_TRANSCENDENTAL(COSTLY_ROW)
GAN_TRIG(COSTLY_ROW)
GAN_PLAIN(PLAIN_ROW)

/* ---- powers and roots --------------------------------------------------------------------- */

VJP(sqrt) { /* 1 / (2 y) */
  gx[0] = gan_div(c, gy[0], gan_scale(c, gan_saved_out(c, n, 0), 2));
}

gan_op gan_op_sqrt = {
  "sqrt", "x:tensor", sqrt_forward, sqrt_vjp, sqrt_fused, .save = sqrt_reads,
  .doc = "Square root of each element; NaN below 0. The gradient at 0 is infinite.",
  .example = "gan.tensor({1, 4, 9}):sqrt()"
};

VJP(rsqrt) { /* -y^3 / 2 */
  gan_tensor *y = gan_saved_out(c, n, 0);
  gx[0] = gan_mul(c, gy[0], gan_scale(c, gan_pow(c, y, 3), -0.5));
}

gan_op gan_op_rsqrt = {
  "rsqrt", "x:tensor", rsqrt_forward, rsqrt_vjp, rsqrt_fused, .save = rsqrt_reads,
  .doc = "1 / sqrt(x); inf at 0, NaN below.", .example = "gan.tensor({1, 4}):rsqrt()"
};

VJP(square) {
  gx[0] = gan_mul(c, gy[0], gan_scale(c, n->a[0].t, 2));
}

gan_op gan_op_square = {
  "square", "x:tensor", square_forward, square_vjp, square_fused, .save = square_reads,
  .doc = "x * x, element by element.", .example = "gan.tensor({1, -2}):square()"
};

VJP(reciprocal) { /* -y^2 */
  gx[0] = gan_neg(c, gan_mul(c, gy[0], gan_square(c, gan_saved_out(c, n, 0))));
}

gan_op gan_op_reciprocal = {
  "reciprocal", "x:tensor", reciprocal_forward, reciprocal_vjp, reciprocal_fused,
  .save = reciprocal_reads,
  .doc = "1 / x, element by element; inf at 0.", .example = "gan.tensor({2, 4}):reciprocal()"
};

static void pow_scalar_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = gan_map_pow(c, a[0].t, a[1].num);
}

VJP(pow_scalar) { /* e x^(e-1) */
  double e = n->a[1].num;
  gan_tensor *x = n->a[0].t;
  if (e == 0) gx[0] = gan_zero_input(c, n, 0);
  else if (e == 1) gx[0] = gy[0];
  else if (e == 2) gx[0] = gan_mul(c, gy[0], gan_scale(c, x, 2));
  else gx[0] = gan_mul(c, gy[0], gan_scale(c, gan_pow(c, x, e - 1), e));
}

static void pow_scalar_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (n->a[1].num == 2) square_fused(c, n, gy, gx);
  else pow_scalar_vjp(c, n, gy, gx);
}

gan_op gan_op_pow_scalar = {
  "pow_scalar", "x:tensor exponent:number", pow_scalar_forward, pow_scalar_vjp, pow_scalar_fused,
  .save = "x",
  .doc = "x to the power of a number.\n"
         "A negative x with a fractional exponent gives NaN; 0 to the power 0 is 1. With exponent\n"
         "0 the gradient is 0 everywhere.",
  .example = "gan.tensor({1, 2, 3}):pow_scalar(3)"
};

/* ---- exponentials and logarithms ----------------------------------------------------------- */

VJP(exp) {
  gx[0] = gan_mul(c, gy[0], gan_saved_out(c, n, 0));
}

gan_op gan_op_exp = {
  "exp", "x:tensor", exp_forward, exp_vjp, exp_fused, .save = exp_reads,
  .doc = "e to the power x.", .example = "gan.tensor({0, 1}):exp()"
};

VJP(expm1) {
  gx[0] = gan_mul(c, gy[0], gan_shift(c, gan_saved_out(c, n, 0), 1));
}

gan_op gan_op_expm1 = {
  "expm1", "x:tensor", expm1_forward, expm1_vjp, expm1_fused, .save = expm1_reads,
  .doc = "e^x - 1, accurate for small x.", .example = "gan.tensor({0, 1e-8}):expm1()"
};

VJP(log) {
  gx[0] = gan_div(c, gy[0], n->a[0].t);
}

gan_op gan_op_log = {
  "log", "x:tensor", log_forward, log_vjp, log_fused, .save = log_reads,
  .doc = "Natural logarithm; -inf at 0, NaN below.", .example = "gan.tensor({1, 2}):log()"
};

VJP(log1p) {
  gx[0] = gan_div(c, gy[0], gan_shift(c, n->a[0].t, 1));
}

gan_op gan_op_log1p = {
  "log1p", "x:tensor", log1p_forward, log1p_vjp, log1p_fused, .save = log1p_reads,
  .doc = "log(1 + x), accurate for small x; -inf at -1, NaN below.",
  .example = "gan.tensor({0, 1e-8}):log1p()"
};

/* ---- circular and hyperbolic functions ----------------------------------------------------- */

VJP(sin) {
  gx[0] = gan_mul(c, gy[0], gan_call1(c, &gan_op_cos, n->a[0].t));
}

gan_op gan_op_sin = {
  "sin", "x:tensor", sin_forward, sin_vjp, sin_fused, .save = sin_reads,
  .doc = "Sine of an angle in radians.", .example = "gan.tensor({0, 1}):sin()"
};

VJP(cos) {
  gx[0] = gan_neg(c, gan_mul(c, gy[0], gan_call1(c, &gan_op_sin, n->a[0].t)));
}

gan_op gan_op_cos = {
  "cos", "x:tensor", cos_forward, cos_vjp, cos_fused, .save = cos_reads,
  .doc = "Cosine of an angle in radians.", .example = "gan.tensor({0, 1}):cos()"
};

VJP(tan) { /* 1 + y^2 */
  gx[0] = gan_mul(c, gy[0], gan_shift(c, gan_square(c, gan_saved_out(c, n, 0)), 1));
}

gan_op gan_op_tan = {
  "tan", "x:tensor", tan_forward, tan_vjp, tan_fused, .save = tan_reads,
  .doc = "Tangent of an angle in radians.", .example = "gan.tensor({0, 1}):tan()"
};

VJP(sinh) {
  gx[0] = gan_mul(c, gy[0], gan_call1(c, &gan_op_cosh, n->a[0].t));
}

gan_op gan_op_sinh = {
  "sinh", "x:tensor", sinh_forward, sinh_vjp, sinh_fused, .save = sinh_reads,
  .doc = "Hyperbolic sine.", .example = "gan.tensor({0, 1}):sinh()"
};

VJP(cosh) {
  gx[0] = gan_mul(c, gy[0], gan_call1(c, &gan_op_sinh, n->a[0].t));
}

gan_op gan_op_cosh = {
  "cosh", "x:tensor", cosh_forward, cosh_vjp, cosh_fused, .save = cosh_reads,
  .doc = "Hyperbolic cosine.", .example = "gan.tensor({0, 1}):cosh()"
};

/* 1 - x^2 */
static gan_tensor *one_minus_square (gan_ctx *c, gan_tensor *x) {
  return gan_shift(c, gan_neg(c, gan_square(c, x)), 1);
}

VJP(asin) {
  gx[0] = gan_mul(c, gy[0], gan_rsqrt(c, one_minus_square(c, n->a[0].t)));
}

gan_op gan_op_asin = {
  "asin", "x:tensor", asin_forward, asin_vjp, asin_fused, .save = asin_reads,
  .doc = "Arc sine, -pi/2..pi/2; NaN outside -1..1.", .example = "gan.tensor({0, 1}):asin()"
};

VJP(acos) {
  gx[0] = gan_neg(c, gan_mul(c, gy[0], gan_rsqrt(c, one_minus_square(c, n->a[0].t))));
}

gan_op gan_op_acos = {
  "acos", "x:tensor", acos_forward, acos_vjp, acos_fused, .save = acos_reads,
  .doc = "Arc cosine, 0..pi; NaN outside -1..1.", .example = "gan.tensor({0, 1}):acos()"
};

VJP(atan) {
  gx[0] = gan_div(c, gy[0], gan_shift(c, gan_square(c, n->a[0].t), 1));
}

gan_op gan_op_atan = {
  "atan", "x:tensor", atan_forward, atan_vjp, atan_fused, .save = atan_reads,
  .doc = "Arc tangent, -pi/2..pi/2.", .example = "gan.tensor({0, 1}):atan()"
};

VJP(tanh) {
  gx[0] = gan_mul(c, gy[0], one_minus_square(c, gan_saved_out(c, n, 0)));
}

gan_op gan_op_tanh = {
  "tanh", "x:tensor", tanh_forward, tanh_vjp, tanh_fused, .save = tanh_reads,
  .doc = "Hyperbolic tangent, -1..1.", .example = "gan.tensor({-1, 0, 1}):tanh()"
};

VJP(sigmoid) { /* y (1 - y) */
  gan_tensor *y = gan_saved_out(c, n, 0);
  gx[0] = gan_mul(c, gy[0], gan_mul(c, y, gan_shift(c, gan_neg(c, y), 1)));
}

gan_op gan_op_sigmoid = {
  "sigmoid", "x:tensor", sigmoid_forward, sigmoid_vjp, sigmoid_fused, .save = sigmoid_reads,
  .doc = "1 / (1 + e^-x), 0..1.", .example = "gan.tensor({-1, 0, 1}):sigmoid()"
};

VJP(erf) { /* 2 / sqrt(pi) e^(-x^2) */
  gan_tensor *density = gan_exp(c, gan_neg(c, gan_square(c, n->a[0].t)));
  gx[0] = gan_mul(c, gy[0], gan_scale(c, density, 1.1283791670955126));
}

gan_op gan_op_erf = {
  "erf", "x:tensor", erf_forward, erf_vjp, erf_fused, .save = erf_reads,
  .doc = "Error function 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x.",
  .example = "gan.tensor({0, 1}):erf()"
};

/* ---- signs, rounding, numbers -------------------------------------------------------------- */

VJP(neg) {
  gx[0] = gan_neg(c, gy[0]);
}

gan_op gan_op_neg = {
  "neg", "x:tensor", neg_forward, neg_vjp,
  .doc = "-x; also written as unary minus.", .example = "gan.tensor({1, -2}):neg()"
};

VJP(zero) { /* of the functions that are constant between their steps */
  (void)gy;
  gx[0] = gan_zero_input(c, n, 0);
}

gan_op gan_op_sign = {
  "sign", "x:tensor", sign_forward, zero_vjp,
  .doc = "1, 0 or -1 by the sign of x; NaN stays NaN. The gradient is 0.",
  .example = "gan.tensor({-2, 0, 3}):sign()"
};

gan_op gan_op_floor = {
  "floor", "x:tensor", floor_forward, zero_vjp,
  .doc = "The largest whole number that is not above x. The gradient is 0.",
  .example = "gan.tensor({-1.5, 1.5}):floor()"
};

gan_op gan_op_ceil = {
  "ceil", "x:tensor", ceil_forward, zero_vjp,
  .doc = "The smallest whole number that is not below x. The gradient is 0.",
  .example = "gan.tensor({-1.5, 1.5}):ceil()"
};

gan_op gan_op_round = {
  "round", "x:tensor", round_forward, zero_vjp,
  .doc = "The nearest whole number, halves to the even one. The gradient is 0.",
  .example = "gan.tensor({0.5, 1.5, 2.4}):round()"
};

gan_op gan_op_trunc = {
  "trunc", "x:tensor", trunc_forward, zero_vjp,
  .doc = "x without its fraction, towards 0. The gradient is 0.",
  .example = "gan.tensor({-1.5, 1.5}):trunc()"
};

gan_op gan_op_isnan = {
  "isnan", "x:any", isnan_forward,
  .doc = "1 where x is NaN, else 0.", .example = "gan.tensor({0, 0/0}):isnan()"
};

gan_op gan_op_logical_not = {
  "logical_not", "x:any", logical_not_forward,
  .doc = "1 where x is 0, else 0. x may have any type.",
  .example = "gan.tensor({0, 2}):logical_not()"
};

VJP(add_scalar) {
  (void)c, (void)n;
  gx[0] = gy[0];
}

gan_op gan_op_add_scalar = {
  "add_scalar", "x:tensor value:number", add_scalar_forward, add_scalar_vjp,
  .doc = "x + value.", .example = "gan.tensor({1, 2}):add_scalar(10)"
};

VJP(mul_scalar) {
  gx[0] = gan_scale(c, gy[0], n->a[1].num);
}

gan_op gan_op_mul_scalar = {
  "mul_scalar", "x:tensor value:number", mul_scalar_forward, mul_scalar_vjp,
  .doc = "x * value.", .example = "gan.tensor({1, 2}):mul_scalar(10)"
};
