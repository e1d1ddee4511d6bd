/*
** conv.h - the three computations behind all convolutions, shared by the files conv*.c.
**
** One description serves every op: a convolution from a large side (ih x iw, ci channels in each
** group) to a small side (oh x ow, co channels in each group). Transposed convolution is the same
** thing read from the small side to the large one. 1-d is 2-d of height 1.
*/
#ifndef GAN_OPS_CONV_H
#define GAN_OPS_CONV_H

#include "activation.h"

typedef struct {
  int nd; /* spatial dimensions of the tensors: 1 or 2 */
  int64_t n, groups, ci, co;
  int64_t large[2], small[2], kernel[2]; /* (h, w) */
  int64_t stride[2], padding[2], dilation[2];
} gan_conv_shape;

/* ---- conv_shape.c ------------------------------------------------------------------------- */

/* A list option with one entry for all, or one for each, of the nd spatial dimensions. Entries for
   (h, w); for 1-d the height gets `flat`. Absent: `fallback`, if not NULL. Values outside lo ..
   2^30 are errors. */
bool gan_spatial(gan_ctx *c, const char *name, const gan_arg *a, int nd, int64_t lo, int64_t flat,
                 const int64_t *fallback, int64_t out[2]);

/* (N x C x H x W) or (N x C x L) is asked for; sizes (h, w) of x, with height 1 for 1-d. */
bool gan_spatial_input(gan_ctx *c, const char *name, const gan_tensor *x, int nd, int64_t size[2]);

/* stride, padding, dilation and groups, which stand in this order at a[0..3]; then the sizes of the
   weight and, except for n and the spatial sizes, everything else. */
bool gan_conv_options(gan_ctx *c, const gan_arg *a, const gan_tensor *weight, int nd,
                      gan_conv_shape *s);

/* The sizes of a convolution of x and of a transposed convolution of x, with all checks. */
bool gan_conv_sizes(gan_ctx *c, const gan_tensor *x, const gan_tensor *weight,
                    const gan_tensor *bias, gan_conv_shape *s);
bool gan_conv_transpose_sizes(gan_ctx *c, const gan_tensor *x, const gan_tensor *weight,
                              const gan_tensor *bias, const gan_arg *output_padding,
                              gan_conv_shape *s);

/* New (n, channels, size...), channels-last in memory. [temp] */
gan_tensor *gan_new_channels_last(gan_ctx *c, gan_dtype dtype, int nd, int64_t n, int64_t channels,
                                  const int64_t size[2]);

/* True when the channels of (N, C, spatial...) x are neighbours in memory and there are several. */
bool gan_is_channels_last(const gan_tensor *x);

/* ---- conv_run.c --------------------------------------------------------------------------- */

/* large -> small (adjoint: small -> large) with a row-major or other weight, then the activation;
   bias may be NULL. */
gan_tensor *gan_conv_run(gan_ctx *c, const gan_conv_shape *s, bool adjoint, gan_tensor *src,
                         gan_tensor *weight, gan_tensor *bias, gan_epilogue e);

/* ---- conv_weight.c ------------------------------------------------------------------------ */

/* gradient for the weight, (groups * co, ci, kernel...) row-major */
gan_tensor *gan_conv_weight_run(gan_ctx *c, const gan_conv_shape *s, gan_tensor *large,
                                gan_tensor *small);

#endif
