/*
** pointwise.h - shared by the files of the pointwise family: elementwise loops as tensor functions,
** and the records that op.h does not declare.
*/
#ifndef GAN_OPS_POINTWISE_H
#define GAN_OPS_POINTWISE_H

#include "../core/op.h"
#include "../kernels/pointwise.h"
#include "loops.h"

/* New tensors [temp]; NULL on failure. Operands broadcast; uint8 and int64 ones are converted.
   Results keep the layout of the first dense operand that has their shape. p: two parameters. */
gan_tensor *gan_map1(gan_ctx *c, gan_tensor *x, gan_unary_fn *fn, int64_t grain, const gan_real *p);
gan_tensor *gan_map2(gan_ctx *c, gan_tensor *a, gan_tensor *b, gan_binary_fn *fn, int64_t grain);
gan_tensor *gan_map3(gan_ctx *c, gan_tensor *a, gan_tensor *b, gan_tensor *d, gan_ternary_fn *fn,
                     const gan_real *p);

/* The gradient for x from the saved x or y and the gradient g of y, all of one shape. */
gan_tensor *gan_map_grad(gan_ctx *c, gan_tensor *saved, gan_tensor *g, gan_grad_fn *fn,
                         int64_t grain, const gan_real *p);

/* The same in a backward pass, where g is the gradient that arrived: its memory is used if
   possible. */
gan_tensor *gan_map_backward(gan_ctx *c, gan_tensor *saved, gan_tensor *g, gan_grad_fn *fn,
                             int64_t grain, const gan_real *p);

/* The same into the memory of y, which may be an operand; the others broadcast to its shape, and an
   operand that shares y's memory in another layout is copied first. */
void gan_map1_into(gan_ctx *c, gan_tensor *y, gan_tensor *x, gan_unary_fn *fn, int64_t grain,
                   const gan_real *p);
void gan_map2_into(gan_ctx *c, gan_tensor *y, gan_tensor *a, gan_tensor *b, gan_binary_fn *fn,
                   int64_t grain);
void gan_map3_into(gan_ctx *c, gan_tensor *y, gan_tensor *a, gan_tensor *b, gan_tensor *d,
                   gan_ternary_fn *fn, const gan_real *p);

/* x^e with the loops that common exponents have. [temp] */
gan_tensor *gan_map_pow(gan_ctx *c, gan_tensor *x, double e);

/* g summed over the dimensions along which input i of the node was broadcast; g itself if none. */
gan_tensor *gan_fit_input(gan_ctx *c, const gan_node *n, int i, gan_tensor *g);

/* Zeros of the shape of input i of the node. [temp] */
gan_tensor *gan_zero_input(gan_ctx *c, const gan_node *n, int i);

/* a copy of x with its type, laid out like x where that is dense [temp] */
gan_tensor *gan_clone(gan_ctx *c, const gan_tensor *x);

extern gan_op gan_op_relu, gan_op_leaky_relu, gan_op_leaky_relu_y, gan_op_leaky_relu_x, gan_op_abs,
    gan_op_relu6, gan_op_hardtanh, gan_op_clamp, gan_op_threshold, gan_op_softshrink,
    gan_op_hardshrink, gan_op_hardsigmoid, gan_op_softsign, gan_op_hardswish, gan_op_log1p,
    gan_op_expm1, gan_op_sin, gan_op_cos, gan_op_tan, gan_op_sinh, gan_op_cosh, gan_op_asin,
    gan_op_acos, gan_op_atan, gan_op_erf, gan_op_logsigmoid, gan_op_softplus, gan_op_silu,
    gan_op_mish, gan_op_elu, gan_op_celu, gan_op_selu, gan_op_gelu, gan_op_floor, gan_op_ceil,
    gan_op_trunc, gan_op_round, gan_op_isnan, gan_op_logical_not;

extern gan_op gan_op_relu_grad, gan_op_leaky_relu_grad, gan_op_abs_grad, gan_op_relu6_grad,
    gan_op_hardtanh_grad, gan_op_clamp_grad, gan_op_threshold_grad, gan_op_softshrink_grad,
    gan_op_hardshrink_grad, gan_op_hardsigmoid_grad, gan_op_max_grad;

extern gan_op gan_op_pow, gan_op_maximum, gan_op_minimum, gan_op_ne, gan_op_logical_and,
    gan_op_logical_or, gan_op_logical_xor, gan_op_masked_fill, gan_op_prelu, gan_op_glu,
    gan_op_lerp, gan_op_addcmul, gan_op_copy, gan_op_clone, gan_op_to;

extern gan_op gan_op_add_, gan_op_sub_, gan_op_mul_, gan_op_div_, gan_op_neg_, gan_op_relu_,
    gan_op_clamp_, gan_op_lerp_, gan_op_addcmul_, gan_op_copy_, gan_op_fill_, gan_op_zero_;

#endif
