/*
** pointwise.h - the table of elementwise functions and their first derivatives.
**
** One row is one function: its name, what its gradient reads (x, the argument, or y, the result),
** the forward expression in v, and the gradient expression in g (the gradient that arrives) and s
** (the saved x or y). p and q are the function's parameters. Kernels may work in place: the result
** may be an operand of the same layout. NaN in v gives NaN unless the row is about NaN.
*/
#ifndef GAN_POINTWISE_H
#define GAN_POINTWISE_H

#include "isa.h"

/* Made of straight pieces: the gradient is linear in g and, apart from the kinks, constant in s.
   Kinks belong to the left piece (relu ...), both ends pass (clamp) or block (hardtanh, relu6,
   hardsigmoid, softshrink, hardshrink). */
#define GAN_STEPPED(X)                                                                            \
  X(relu, y, v <= 0 ? R(0) : v, s <= 0 ? R(0) : g)                                                \
  X(leaky_relu, x, v > 0 ? v : v * p, s > 0 ? g : g * p)                                          \
  X(abs, x, vm_abs(v), s > 0 ? g : s < 0 ? -g : s == 0 ? R(0) : s)                                \
  X(relu6, x, vm_clamp(v, R(0), R(6)), (s > 0) & (s < 6) ? g : R(0))                              \
  X(hardtanh, x, vm_clamp(v, p, q), (s > p) & (s < q) ? g : R(0))                                 \
  X(clamp, x, vm_clamp(v, p, q), (s >= p) & (s <= q) ? g : R(0))                                  \
  X(threshold, x, v <= p ? q : v, s <= p ? R(0) : g)                                              \
  X(softshrink, x, v > p ? v - p : v < -p ? v + p : v != v ? v : R(0),                            \
    (s >= -p) & (s <= p) ? R(0) : g)                                                              \
  X(hardshrink, x, (v >= -p) & (v <= p) ? R(0) : v, (s >= -p) & (s <= p) ? R(0) : g)              \
  X(hardsigmoid, x, vm_clamp(v + R(3), R(0), R(6)) * R(1. / 6),                                   \
    (s > -3) & (s < 3) ? g * R(1. / 6) : R(0))

/* smooth, a few instructions */
#define GAN_ALGEBRAIC(X)                                                                          \
  X(sqrt, y, vm_sqrt(v), R(0.5) * g / s)                                                          \
  X(rsqrt, y, R(1) / vm_sqrt(v), R(-0.5) * g * s * s * s)                                         \
  X(square, x, v * v, R(2) * s * g)                                                               \
  X(reciprocal, y, R(1) / v, -g * s * s)

/* smooth, with exponentials and the like */
#define GAN_TRANSCENDENTAL(X)                                                                     \
  X(exp, y, vm_exp(v), g * s)                                                                     \
  X(log, x, vm_log(v), g / s)                                                                     \
  X(log1p, x, vm_log1p(v), g / (s + R(1)))                                                        \
  X(expm1, y, vm_expm1(v), g * (s + R(1)))                                                        \
  X(tan, y, VM_LIB(tan)(v), g * (s * s + R(1)))                                                   \
  X(sinh, x, VM_LIB(sinh)(v), g * VM_LIB(cosh)(s))                                                \
  X(cosh, x, VM_LIB(cosh)(v), g * VM_LIB(sinh)(s))                                                \
  X(asin, x, VM_LIB(asin)(v), g / vm_sqrt((R(1) - s) * (R(1) + s)))                               \
  X(acos, x, VM_LIB(acos)(v), -g / vm_sqrt((R(1) - s) * (R(1) + s)))                              \
  X(atan, x, VM_LIB(atan)(v), g / (s * s + R(1)))                                                 \
  X(tanh, y, vm_tanh(v), g * ((R(1) - s) * (R(1) + s)))                                           \
  X(sigmoid, y, vm_sigmoid(v), g * (s * (R(1) - s)))                                              \
  X(erf, x, vm_erf(v), g * R(1.1283791670955126) * vm_exp(-s * s))

/* smooth units of networks */
#define GAN_ACTIVATIONS(X)                                                                        \
  X(softsign, x, v / (R(1) + vm_abs(v)), g / ((R(1) + vm_abs(s)) * (R(1) + vm_abs(s))))           \
  X(hardswish, x, v * vm_clamp(v + R(3), R(0), R(6)) * R(1. / 6),                                 \
    s < -3 ? R(0) : s <= 3 ? g * (s * R(1. / 3) + R(0.5)) : g)                                    \
  X(logsigmoid, x, vm_logsigmoid(v), g * vm_sigmoid(-s))                                          \
  X(softplus, x, v * p > q ? v : vm_softplus(v * p) / p, s * p > q ? g : g * vm_sigmoid(s * p))   \
  X(silu, x, v * vm_sigmoid(v), g * silu_slope(s))                                                \
  X(mish, x, v * mish_gate(v), g * mish_slope(s))                                                 \
  X(elu, x, v > 0 ? v : p * vm_expm1(v), s <= 0 ? g * p * vm_exp(s) : g)                          \
  X(celu, x, v > 0 ? v : p * vm_expm1(v / p), s <= 0 ? g * vm_exp(s / p) : g)                     \
  X(selu, x, R(SELU_SCALE) * (v > 0 ? v : R(SELU_ALPHA) * vm_expm1(v)),                           \
    R(SELU_SCALE) * (s <= 0 ? g * R(SELU_ALPHA) * vm_exp(s) : g))

/* the two forms of gelu */
#define GAN_GELU(X)                                                                               \
  X(gelu, x, v * gauss_cdf(v), g * (gauss_cdf(s) + s * gauss_density(s)))                         \
  X(gelu_tanh, x, v * vm_sigmoid(gelu_inner(v)), g * gelu_tanh_slope(s))

/* vectors for moderate arguments, libm for large ones: the kernels define SIN and COS */
#define GAN_TRIG(X)                                                                               \
  X(sin, x, SIN(v), g * COS(s))                                                                   \
  X(cos, x, COS(v), -g * SIN(s))

/* name, expression; their gradients need no loop of their own */
#define GAN_PLAIN(X)                                                                              \
  X(neg, -v)                                                                                      \
  X(sign, v > 0 ? R(1) : v < 0 ? R(-1) : v == 0 ? R(0) : v)                                       \
  X(floor, VM_LIB(floor)(v))                                                                      \
  X(ceil, VM_LIB(ceil)(v))                                                                        \
  X(trunc, VM_LIB(trunc)(v))                                                                      \
  X(round, VM_LIB(rint)(v)) /* to even, the default rounding */                                   \
  X(isnan, v != v ? R(1) : R(0))                                                                  \
  X(logical_not, v == 0 ? R(1) : R(0))                                                            \
  X(add_scalar, v + p)                                                                            \
  X(mul_scalar, v * p)

/* powers: p is the exponent */
#define GAN_POWERS(X)                                                                             \
  X(cube, v * v * v)                                                                              \
  X(power, VM_LIB(pow)(v, p))

/* name, expression in a and b */
#define GAN_BINARY(X)                                                                             \
  X(add, a + b)                                                                                   \
  X(sub, a - b)                                                                                   \
  X(mul, a * b)                                                                                   \
  X(div, a / b)                                                                                   \
  X(pow, VM_LIB(pow)(a, b))                                                                       \
  X(maximum, vm_max(a, b))                                                                        \
  X(minimum, vm_min(a, b))                                                                        \
  X(eq, a == b ? R(1) : R(0))                                                                     \
  X(ne, a != b ? R(1) : R(0))                                                                     \
  X(lt, a < b ? R(1) : R(0))                                                                      \
  X(le, a <= b ? R(1) : R(0))                                                                     \
  X(gt, a > b ? R(1) : R(0))                                                                      \
  X(ge, a >= b ? R(1) : R(0))                                                                     \
  X(logical_and, (a != 0) & (b != 0) ? R(1) : R(0))                                               \
  X(logical_or, (a != 0) | (b != 0) ? R(1) : R(0))                                                \
  X(logical_xor, (a != 0) ^ (b != 0) ? R(1) : R(0))                                               \
  X(prelu, a > 0 ? a : b * a)

/* name, expression in a, b, d and the parameter p */
#define GAN_TERNARY(X)                                                                            \
  X(where, a != 0 ? b : d)                                                                        \
  X(lerp, d < R(0.5) ? a + d * (b - a) : b - (b - a) * (R(1) - d)) /* exact at 0 and 1 */         \
  X(addcmul, a + p * b * d)                                                                       \
  X(div_grad, -a * b / (d * d))                     /* of b / d, for its divisor d */           \
  X(max_grad, b < d ? R(0) : b == d ? R(0.5) * a : a) /* of max(b, d), for b */

typedef void gan_unary_fn(int64_t n, const gan_real *x, gan_real *y, const gan_real *param);

/* gx = gradient for x, from the saved x or y and the gradient g of y */
typedef void gan_grad_fn(int64_t n, const gan_real *saved, const gan_real *g, gan_real *gx,
                         const gan_real *param);

/* step 0: the operand is one number */
typedef void gan_binary_fn(int64_t n, const gan_real *a, int64_t as, const gan_real *b, int64_t bs,
                           gan_real *y);
typedef void gan_ternary_fn(int64_t n, const gan_real *a, int64_t as, const gan_real *b, int64_t bs,
                            const gan_real *d, int64_t ds, gan_real *y, const gan_real *param);

#define GAN_UNARY_FIELDS(name, ...) gan_unary_fn *name; gan_grad_fn *name##_grad;
#define GAN_PLAIN_FIELD(name, ...) gan_unary_fn *name;
#define GAN_BINARY_FIELD(name, ...) gan_binary_fn *name;
#define GAN_TERNARY_FIELD(name, ...) gan_ternary_fn *name;

typedef struct {
  GAN_STEPPED(GAN_UNARY_FIELDS)
  GAN_ALGEBRAIC(GAN_UNARY_FIELDS)
  GAN_TRANSCENDENTAL(GAN_UNARY_FIELDS)
  GAN_ACTIVATIONS(GAN_UNARY_FIELDS)
  GAN_TRIG(GAN_UNARY_FIELDS)
  GAN_GELU(GAN_UNARY_FIELDS)
  GAN_PLAIN(GAN_PLAIN_FIELD)
  GAN_POWERS(GAN_PLAIN_FIELD)
  GAN_BINARY(GAN_BINARY_FIELD)
  GAN_TERNARY(GAN_TERNARY_FIELD)
  void (*from_uint8)(int64_t n, const uint8_t *x, gan_real *y);
  void (*from_int64)(int64_t n, const int64_t *x, gan_real *y);
} gan_pointwise_table;

GAN_TABLES(gan_pointwise)

#endif
