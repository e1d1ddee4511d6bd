/*
** conv_shape.c - sizes of convolutions: options, checks, messages.
*/
#include <stdio.h>
#include <string.h>

#include "conv.h"

#define LIMIT ((int64_t)1 << 30) /* of strides, paddings and sizes given as options */

bool gan_spatial (gan_ctx *c, const char *name, const gan_arg *a, int nd, int64_t lo, int64_t flat,
                  const int64_t *fallback, int64_t out[2]) {
  int n = a->n;
  out[0] = flat;
  if (n < 0 && fallback) {
    memcpy(out, fallback, 2 * sizeof *out);
    return true;
  }
  if (n != 1 && n != nd) {
    gan_fail(c, GAN_EARG, "%s has %d numbers, expected 1%s", name, n < 0 ? 0 : n,
             nd > 1 ? " or 2, (h, w)" : "");
    return false;
  }
  for (int d = 0; d < nd; d++) {
    int64_t v = a->v[n == 1 ? 0 : d];
    if (v < lo || v > LIMIT) {
      gan_fail(c, GAN_EARG, "%s must be at least %lld%s, got %lld", name, (long long)lo,
               v > LIMIT ? " and at most 2^30" : "", (long long)v);
      return false;
    }
    out[2 - nd + d] = v;
  }
  return true;
}

bool gan_spatial_input (gan_ctx *c, const char *name, const gan_tensor *x, int nd,
                        int64_t size[2]) {
  if (x->ndim != nd + 2) {
    gan_fail(c, GAN_EARG, "%s must be %s, got %s%s", name,
             nd == 1 ? "(N x C x L)" : "(N x C x H x W)", gan_shape_of(c, x),
             x->ndim == nd + 1 ? " (for one example use unsqueeze(1))" : "");
    return false;
  }
  size[0] = nd == 1 ? 1 : x->shape[2];
  size[1] = x->shape[nd + 1];
  return true;
}

bool gan_conv_options (gan_ctx *c, const gan_arg *a, const gan_tensor *weight, int nd,
                       gan_conv_shape *s) {
  s->nd = nd;
  if (!gan_spatial(c, "stride", &a[0], nd, 1, 1, NULL, s->stride) ||
      !gan_spatial(c, "padding", &a[1], nd, 0, 0, NULL, s->padding) ||
      !gan_spatial(c, "dilation", &a[2], nd, 1, 1, NULL, s->dilation))
    return false;
  s->groups = a[3].i;
  if (s->groups < 1) {
    gan_fail(c, GAN_EARG, "groups must be at least 1, got %lld", (long long)s->groups);
    return false;
  }
  if (!weight) return true;
  if (weight->ndim != nd + 2) {
    gan_fail(c, GAN_EARG, "weight must have %d dimensions (out x in x kernel), got %s", nd + 2,
             gan_shape_of(c, weight));
    return false;
  }
  if (weight->shape[0] % s->groups) {
    gan_fail(c, GAN_EARG, "%lld groups do not divide the %lld channels of weight %s",
             (long long)s->groups, (long long)weight->shape[0], gan_shape_of(c, weight));
    return false;
  }
  s->co = weight->shape[0] / s->groups;
  s->ci = weight->shape[1];
  s->kernel[0] = nd == 1 ? 1 : weight->shape[2];
  s->kernel[1] = weight->shape[nd + 1];
  if (s->kernel[0] > 0 && s->kernel[1] > 0 && s->kernel[0] <= LIMIT && s->kernel[1] <= LIMIT)
    return true;
  gan_fail(c, GAN_EARG, "weight %s has an empty kernel", gan_shape_of(c, weight));
  return false;
}

static bool check_channels (gan_ctx *c, const gan_tensor *x, const gan_tensor *weight,
                            int64_t channels, int64_t groups) {
  if (x->shape[1] == channels) return true;
  gan_fail(c, GAN_EARG, "weight %s wants %lld channels in %lld group%s, input is %s",
           gan_shape_of(c, weight), (long long)channels, (long long)groups, groups == 1 ? "" : "s",
           gan_shape_of(c, x));
  return false;
}

static bool check_bias (gan_ctx *c, const gan_tensor *weight, const gan_tensor *bias,
                        int64_t channels) {
  if (!bias || (bias->ndim == 1 && bias->shape[0] == channels)) return true;
  gan_fail(c, GAN_EARG, "bias must be (%lld), one for each output channel of weight %s, got %s",
           (long long)channels, gan_shape_of(c, weight), gan_shape_of(c, bias));
  return false;
}

bool gan_conv_sizes (gan_ctx *c, const gan_tensor *x, const gan_tensor *weight,
                     const gan_tensor *bias, gan_conv_shape *s) {
  if (!gan_spatial_input(c, "x", x, s->nd, s->large) ||
      !check_channels(c, x, weight, s->ci * s->groups, s->groups) ||
      !check_bias(c, weight, bias, s->co * s->groups))
    return false;
  s->n = x->shape[0];
  for (int d = 2 - s->nd; d < 2; d++) {
    int64_t padded = s->large[d] + 2 * s->padding[d];
    int64_t span = s->dilation[d] * (s->kernel[d] - 1) + 1;
    if (span > padded) {
      gan_fail(c, GAN_EARG, "the kernel of weight %s spans %lld (dilation %lld), more than the "
               "padded size %lld of dimension %d of input %s", gan_shape_of(c, weight),
               (long long)span, (long long)s->dilation[d], (long long)padded, d + 1 + s->nd,
               gan_shape_of(c, x));
      return false;
    }
    s->small[d] = (padded - span) / s->stride[d] + 1;
  }
  if (s->nd == 1) s->small[0] = 1;
  return true;
}

bool gan_conv_transpose_sizes (gan_ctx *c, const gan_tensor *x, const gan_tensor *weight,
                               const gan_tensor *bias, const gan_arg *output_padding,
                               gan_conv_shape *s) {
  int64_t extra[2];
  if (!gan_spatial_input(c, "x", x, s->nd, s->small) ||
      !check_channels(c, x, weight, s->co * s->groups, s->groups) ||
      !check_bias(c, weight, bias, s->ci * s->groups) ||
      !gan_spatial(c, "output_padding", output_padding, s->nd, 0, 0, NULL, extra))
    return false;
  s->n = x->shape[0];
  for (int d = 2 - s->nd; d < 2; d++) {
    if (extra[d] >= s->stride[d] && extra[d] >= s->dilation[d]) {
      gan_fail(c, GAN_EARG, "output_padding %lld must be smaller than stride %lld or dilation %lld",
               (long long)extra[d], (long long)s->stride[d], (long long)s->dilation[d]);
      return false;
    }
    int64_t start = s->small[d] > 0 ? (s->small[d] - 1) * s->stride[d] : -s->stride[d];
    s->large[d] = start - 2 * s->padding[d] + s->dilation[d] * (s->kernel[d] - 1) + 1 + extra[d];
    if (s->small[d] > LIMIT || s->large[d] < 1) {
      gan_fail(c, GAN_EARG, "the output would have %lld places in dimension %d (input %s, weight "
               "%s, padding %lld)", (long long)s->large[d], d + 1 + s->nd, gan_shape_of(c, x),
               gan_shape_of(c, weight), (long long)s->padding[d]);
      return false;
    }
  }
  if (s->nd == 1) s->large[0] = 1;
  return true;
}

gan_tensor *gan_new_channels_last (gan_ctx *c, gan_dtype dtype, int nd, int64_t n, int64_t channels,
                                   const int64_t size[2]) {
  int64_t shape[4] = { n, channels, nd == 1 ? size[1] : size[0], size[1] };
  gan_tensor *y = gan_new(c, dtype, nd + 2, shape);
  /* where both layouts are the same, the row-major strides stay */
  if (!y || channels <= 1 || size[0] * size[1] <= 1) return y;
  y->stride[1] = 1;
  y->stride[nd + 1] = channels;
  if (nd == 2) y->stride[2] = size[1] * channels;
  return y;
}

bool gan_is_channels_last (const gan_tensor *x) {
  if (x->ndim < 3 || x->shape[1] < 2 || x->stride[1] != 1) return false;
  int64_t s = x->shape[1];
  for (int d = x->ndim - 1; d != 1; d = d > 2 ? d - 1 : 0) {
    if (x->shape[d] != 1 && x->stride[d] != s) return false;
    s *= x->shape[d];
    if (d == 0) break;
  }
  return x->numel > 0;
}
