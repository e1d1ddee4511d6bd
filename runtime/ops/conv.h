/*
** conv.h - the three computations behind all convolutions, shared by the files conv*.c.
**
** One description serves every op: a convolution from a large side (ih x iw, ci channels in each
** group) to a small side (oh x ow, co channels in each group). Transposed convolution is the same
** thing read from the small side to the large one. 1-d is 2-d of height 1.
*/
#ifndef GAN_OPS_CONV_H
#define GAN_OPS_CONV_H

#include "../kernels/conv.h"
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

typedef struct {
  gan_conv_job job;
  gan_conv_pack pack;
  const gan_conv_table *kernels;
  int64_t threads; /* that share the images */
  int64_t grain;
  double work;     /* multiplications for an image */
  gan_epilogue e;
} gan_conv_plan;

/* large -> small (adjoint: small -> large) with a row-major or other weight, then the activation;
   bias may be NULL. */
gan_tensor *gan_conv_run(gan_ctx *c, const gan_conv_shape *s, bool adjoint, gan_tensor *src,
                         gan_tensor *weight, gan_tensor *bias, gan_epilogue e);

/* The same for a thread that goes through images by itself. gan_conv_begin plans it for s->n images
   that lie in memory as those of src, and packs the weight; gan_conv_images computes up to so many,
   whose results are channels-last. The plan's memory is of [temp] tensors. */
bool gan_conv_begin(gan_ctx *c, const gan_conv_shape *s, bool adjoint, const gan_tensor *src,
                    gan_tensor *weight, gan_conv_plan *p);
void gan_conv_images(const gan_conv_plan *p, int worker, int64_t n, const gan_real *src,
                     gan_real *dst);

/* ---- conv_weight.c ------------------------------------------------------------------------ */

/* A side of the weight's gradient that is copied to the layout that the kernel wants. */
typedef struct {
  const gan_tensor *like; /* strides and sizes of what is copied */
  const gan_real *from;
  gan_real *d;            /* NULL: the kernel reads the side in place */
  int64_t size;           /* elements of n images in d */
  int64_t n, h, w, groups, channels;
  int64_t lanes, block;   /* 0: channels-last; otherwise V: blocks of whole vectors */
  const gan_conv_table *kernels;
} gan_conv_copy;

typedef struct {
  gan_conv_weight_job job;
  const gan_conv_weight_table *kernels;
  gan_conv_copy large, small;
  int64_t units, folds; /* items of a part; items of the end */
  double work;          /* multiplications for an image */
} gan_conv_weight_plan;

/* gradient for the weight, (groups * co, ci, kernel...) row-major */
gan_tensor *gan_conv_weight_run(gan_ctx *c, const gan_conv_shape *s, gan_tensor *large,
                                gan_tensor *small);

/* The same for threads that go through images by themselves. gan_conv_weight_begin makes the
   gradient and as many sums as there are threads; gan_conv_weight_images adds up to s->n images,
   laid out as those of `large` and `small`, to the sums of a part (`more`: not the first ones), and
   gan_conv_weight_end writes the gradient. NULL: there is no memory. */
gan_tensor *gan_conv_weight_begin(gan_ctx *c, const gan_conv_shape *s, const gan_tensor *large,
                                  const gan_tensor *small, gan_conv_weight_plan *p);
void gan_conv_weight_images(const gan_conv_weight_plan *p, int64_t part, bool more, int worker,
                            int64_t n, const gan_real *large, const gan_real *small);
void gan_conv_weight_end(gan_conv_weight_plan *p);

/* True when that is worth while: sums that are small, and few channels. With more of them the
   kernel fetches pixels ahead, which is better the more images it sees at a time. */
bool gan_conv_weight_alone(const gan_conv_shape *s);

/* ---- conv_gradient.c ---------------------------------------------------------------------- */

/* The first-order gradients of a convolution (transposed: of a transposed one) in one pass over
   its images, where there is more to do than one product and gan_conv_weight_alone. False, with
   nothing done, otherwise; true also on failure. */
bool gan_conv_gradient(gan_ctx *c, const gan_node *n, bool transposed, gan_epilogue e,
                       gan_tensor *gy, gan_tensor **gx);

#endif
