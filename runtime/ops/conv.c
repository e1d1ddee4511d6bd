/*
** conv.c - convolution, transposed convolution and their gradients.
**
** Three computations, each the derivative of the others, so that gradients of any order exist:
**
**     plain      large side, weight -> small side     (convolution)
**     adjoint    small side, weight -> large side     (transposed convolution)
**     weight     large side, small side -> weight
**
** For plain(x, w) with cotangent g: gx = adjoint(g, w), gw = weight(x, g); the other two likewise.
** The hidden ops are these three with the size of the result given, because a size cannot always be
** told from the other one; the public ops add checks, the bias, and the size by formula.
*/
#include <string.h>

#include "conv.h"

static gan_op op_plain, op_adjoint, op_weight;

/* ---- the hidden three --------------------------------------------------------------------- */

/* In every record the options stand together: stride, padding, dilation, groups. */
static gan_tensor *run_hidden (gan_ctx *c, gan_op *op, gan_tensor *x, gan_tensor *y,
                               const gan_edge *like, const gan_arg *options) {
  return gan_run1(c, op, GAN_ARGS(GAN_T(x), GAN_T(y), GAN_V(like->shape + 2, like->ndim - 2),
                                  options[0], options[1], options[2], options[3]));
}

enum { PLAIN, ADJOINT, WEIGHT };

/* a: two tensors, the size of the result, the options */
static gan_tensor *hidden_run (gan_ctx *c, const gan_arg *a, int which) {
  gan_tensor *x = a[0].t, *y = a[1].t;
  gan_conv_shape s;
  int nd = x->ndim - 2;
  if (nd < 1 || nd > 2 || y->ndim != x->ndim)
    return gan_fail(c, GAN_EARG, "sizes do not match, %s and %s", gan_shape_of(c, x),
                    gan_shape_of(c, y));
  int64_t *own = which == ADJOINT ? s.small : s.large;
  int64_t *size = which == PLAIN ? s.small : which == ADJOINT ? s.large : s.kernel;
  if (!gan_conv_options(c, a + 3, which == WEIGHT ? NULL : y, nd, &s) ||
      !gan_spatial_input(c, "x", x, nd, own) ||
      !gan_spatial(c, "size", &a[2], nd, 0, 1, NULL, size))
    return NULL;
  s.n = x->shape[0];
  bool fit;
  if (which == WEIGHT) {
    if (!gan_spatial_input(c, "y", y, nd, s.small)) return NULL;
    s.ci = x->shape[1] / s.groups;
    s.co = y->shape[1] / s.groups;
    fit = y->shape[0] == s.n && s.ci * s.groups == x->shape[1] && s.co * s.groups == y->shape[1];
  }
  else fit = x->shape[1] == s.groups * (which == PLAIN ? s.ci : s.co);
  if (!fit)
    return gan_fail(c, GAN_EARG, "sizes do not match, %s and %s in %lld groups", gan_shape_of(c, x),
                    gan_shape_of(c, y), (long long)s.groups);
  if (which == WEIGHT) return gan_conv_weight_run(c, &s, x, y);
  return gan_conv_run(c, &s, which == ADJOINT, x, y, NULL, (gan_epilogue){ GAN_ACT_NONE, 0 });
}

static void plain_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = hidden_run(c, a, PLAIN);
}

static void plain_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = run_hidden(c, &op_adjoint, gy[0], n->a[1].t, &n->in[0], n->a + 3);
  if (gan_wants(n, 1)) gx[1] = run_hidden(c, &op_weight, n->a[0].t, gy[0], &n->in[1], n->a + 3);
}

static void adjoint_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = hidden_run(c, a, ADJOINT);
}

static void adjoint_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = run_hidden(c, &op_plain, gy[0], n->a[1].t, &n->in[0], n->a + 3);
  if (gan_wants(n, 1)) gx[1] = run_hidden(c, &op_weight, gy[0], n->a[0].t, &n->in[1], n->a + 3);
}

static void weight_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = hidden_run(c, a, WEIGHT);
}

static void weight_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = run_hidden(c, &op_adjoint, n->a[1].t, gy[0], &n->in[0], n->a + 3);
  if (gan_wants(n, 1)) gx[1] = run_hidden(c, &op_plain, n->a[0].t, gy[0], &n->in[1], n->a + 3);
}

#define HIDDEN_SIG \
  "x:tensor y:tensor ; size:ints stride:ints padding:ints dilation:ints groups:int"

static gan_op op_plain = {
  .name = "conv_plain", .sig = HIDDEN_SIG, .forward = plain_forward, .vjp = plain_vjp,
  .save = "x y", .flags = GAN_HIDDEN,
  .doc = "Convolution of x with the weight y to a given size.\n"
         "x (N x groups ci x large...), y (groups co x ci x kernel...) -> (N x groups co x size...)"
};

static gan_op op_adjoint = {
  .name = "conv_adjoint", .sig = HIDDEN_SIG, .forward = adjoint_forward, .vjp = adjoint_vjp,
  .save = "x y", .flags = GAN_HIDDEN,
  .doc = "The adjoint of conv_plain for its first argument, to a given size.\n"
         "x (N x groups co x small...), y (groups co x ci x kernel...) -> (N x groups ci x size...)"
};

static gan_op op_weight = {
  .name = "conv_weight", .sig = HIDDEN_SIG, .forward = weight_forward, .vjp = weight_vjp,
  .save = "x y", .flags = GAN_HIDDEN,
  .doc = "The adjoint of conv_plain for its weight, with a kernel of a given size.\n"
         "x (N x groups ci x large...), y (N x groups co x small...) -> (groups co x ci x size...)"
};

/* ---- convolution and transposed convolution ------------------------------------------------ */

/* a: x, weight, bias, stride, padding, dilation, groups, activation, slope */
static gan_tensor *conv (gan_ctx *c, const gan_arg *a, int nd) {
  gan_tensor *bias = a[2].n < 0 ? NULL : a[2].t;
  gan_epilogue e = gan_read_epilogue(a + 7);
  gan_conv_shape s;
  if (!gan_check_epilogue(c, e) || !gan_conv_options(c, a + 3, a[1].t, nd, &s) ||
      !gan_conv_sizes(c, a[0].t, a[1].t, bias, &s))
    return NULL;
  return gan_conv_run(c, &s, false, a[0].t, a[1].t, bias, e);
}

static void conv1d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = conv(c, a, 1);
}

static void conv2d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = conv(c, a, 2);
}

static gan_tensor *bias_gradient (gan_ctx *c, gan_tensor *gy) {
  return gy ? gan_sum(c, gy, gy->ndim - 1, (const int64_t[]){ 0, 2, 3 }, false) : NULL;
}

/* g: the gradient before the activation */
static void conv_gradients (gan_ctx *c, const gan_node *n, gan_tensor *g, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = run_hidden(c, &op_adjoint, g, n->a[1].t, &n->in[0], n->a + 3);
  if (gan_wants(n, 1)) gx[1] = run_hidden(c, &op_weight, n->a[0].t, g, &n->in[1], n->a + 3);
  if (n->nin > 2 && gan_wants(n, 2)) gx[2] = bias_gradient(c, g);
}

static void conv_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  conv_gradients(c, n, gan_through_epilogue(c, n, gan_read_epilogue(n->a + 7), gy[0]), gx);
}

static void conv_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_epilogue e = gan_read_epilogue(n->a + 7);
  if (gan_conv_gradient(c, n, false, e, gy[0], gx)) return;
  conv_gradients(c, n, gan_through_epilogue_fused(c, n, e, gy[0]), gx);
}

/* a: x, weight, bias, stride, padding, dilation, groups, activation, slope, output_padding */
static gan_tensor *conv_transpose (gan_ctx *c, const gan_arg *a, int nd) {
  gan_tensor *bias = a[2].n < 0 ? NULL : a[2].t;
  gan_epilogue e = gan_read_epilogue(a + 7);
  gan_conv_shape s;
  if (!gan_check_epilogue(c, e) || !gan_conv_options(c, a + 3, a[1].t, nd, &s) ||
      !gan_conv_transpose_sizes(c, a[0].t, a[1].t, bias, &a[9], &s))
    return NULL;
  return gan_conv_run(c, &s, true, a[0].t, a[1].t, bias, e);
}

static void conv_transpose1d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = conv_transpose(c, a, 1);
}

static void conv_transpose2d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = conv_transpose(c, a, 2);
}

static void transpose_gradients (gan_ctx *c, const gan_node *n, gan_tensor *g, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = run_hidden(c, &op_plain, g, n->a[1].t, &n->in[0], n->a + 3);
  if (gan_wants(n, 1)) gx[1] = run_hidden(c, &op_weight, g, n->a[0].t, &n->in[1], n->a + 3);
  if (n->nin > 2 && gan_wants(n, 2)) gx[2] = bias_gradient(c, g);
}

static void conv_transpose_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_epilogue e = gan_read_epilogue(n->a + 7);
  transpose_gradients(c, n, gan_through_epilogue(c, n, e, gy[0]), gx);
}

static void conv_transpose_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy,
                                  gan_tensor **gx) {
  gan_epilogue e = gan_read_epilogue(n->a + 7);
  if (gan_conv_gradient(c, n, true, e, gy[0], gx)) return;
  transpose_gradients(c, n, gan_through_epilogue_fused(c, n, e, gy[0]), gx);
}

#define CONV_SIG \
  "x:tensor weight:tensor bias:tensor? ; stride:ints=1 padding:ints=0 dilation:ints=1 " \
  "groups:int=1 " \
  GAN_ACTIVATION_SIG

static gan_op op_conv1d = {
  .name = "conv1d", .sig = CONV_SIG, .forward = conv1d_forward, .vjp = conv_vjp,
  .fused = conv_fused, .save = "x weight y",
  .doc = "Cross-correlation along the last dimension, zeros outside.\n"
         "y[n, o, l] = bias[o] + sum over c, k of\n"
         "  weight[o, c, k] x[n, c, l stride - padding + k dilation]\n"
         "x (N x C x L), weight (O x C/groups x K), bias (O) -> (N x O x L') with\n"
         "L' = floor((L + 2 padding - dilation (K - 1) - 1) / stride) + 1.\n"
         "With groups, the i-th of as many parts of the outputs sees the i-th part of the inputs.\n"
         "Errors: channels that do not match, a kernel larger than the padded input.",
  .example = "local y = gan.conv1d(gan.ones(2, 3, 8), gan.ones(4, 3, 5), {padding = 2})"
};

static gan_op op_conv2d = {
  .name = "conv2d", .sig = CONV_SIG, .forward = conv2d_forward, .vjp = conv_vjp,
  .fused = conv_fused, .save = "x weight y",
  .doc = "Cross-correlation of images with kernels, zeros outside.\n"
         "y[n, o, i, j] = bias[o] + sum over c, h, w of weight[o, c, h, w] *\n"
         "  x[n, c, i stride - padding + h dilation, j stride - padding + w dilation]\n"
         "x (N x C x H x W), weight (O x C/groups x Kh x Kw), bias (O) -> (N x O x H' x W') with\n"
         "H' = floor((H + 2 padding - dilation (Kh - 1) - 1) / stride) + 1, W' likewise.\n"
         "stride, padding and dilation are numbers or pairs {h, w}.\n"
         "An activation is applied in the same pass; slope, which must be positive, is "
         "leaky_relu's.\n"
         "Errors: channels that do not match, a kernel larger than the padded input.",
  .example = "local y = gan.conv2d(gan.ones(2, 3, 8, 8), gan.ones(4, 3, 4, 4), "
             "{stride = 2, padding = 1})"
};

static gan_op op_conv_transpose1d = {
  .name = "conv_transpose1d", .sig = CONV_SIG " output_padding:ints=0",
  .forward = conv_transpose1d_forward, .vjp = conv_transpose_vjp,
  .fused = conv_transpose_fused, .save = "x weight y",
  .doc = "Transposed convolution along the last dimension: the adjoint of conv1d.\n"
         "Every x[n, c, l] adds x weight[c, o, k] to y[n, o, l stride - padding + k dilation].\n"
         "x (N x C x L), weight (C x O/groups x K), bias (O) -> (N x O x L') with\n"
         "L' = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1.\n"
         "output_padding adds places at the end only, which get the bias too; it must be smaller\n"
         "than stride or dilation.",
  .example = "local y = gan.conv_transpose1d(gan.ones(2, 3, 4), gan.ones(3, 5, 4), "
             "{stride = 2, padding = 1})"
};

static gan_op op_conv_transpose2d = {
  .name = "conv_transpose2d", .sig = CONV_SIG " output_padding:ints=0",
  .forward = conv_transpose2d_forward, .vjp = conv_transpose_vjp,
  .fused = conv_transpose_fused, .save = "x weight y",
  .doc = "Transposed convolution of images: the adjoint of conv2d.\n"
         "Every x[n, c, i, j] adds x weight[c, o, h, w] to\n"
         "  y[n, o, i stride - padding + h dilation, j stride - padding + w dilation].\n"
         "x (N x C x H x W), weight (C x O/groups x Kh x Kw), bias (O) -> (N x O x H' x W') with\n"
         "H' = (H - 1) stride - 2 padding + dilation (Kh - 1) + output_padding + 1, W' likewise.\n"
         "output_padding adds places at the end only, which get the bias too; it must be smaller\n"
         "than stride or dilation. Number options may be pairs {h, w}.\n"
         "It can be computed by an ordinary convolution: stride - 1 zeros between the elements\n"
         "of x, padding Kh - 1 - padding, the kernel flipped and its first two dimensions\n"
         "exchanged.",
  .example = "local x, w = gan.randn(1, 2, 5, 5), gan.randn(2, 3, 3, 3) "
             "local turned = w:flip(3, 4):transpose(1, 2) "
             "local difference = x:conv_transpose2d(w) - x:conv2d(turned, {padding = 2}) "
             "return difference:abs():amax():item() < 1e-4 or error 'they differ'"
};

gan_op *const gan_ops_conv[] = {
  &op_conv1d, &op_conv2d, &op_conv_transpose1d, &op_conv_transpose2d, &op_plain, &op_adjoint,
  &op_weight, NULL
};
