/*
** norm.h - what the files of normalisation share.
*/
#ifndef GAN_OPS_NORM_H
#define GAN_OPS_NORM_H

#include "../core/op.h"
#include "../kernels/norm.h"

#define GAN_NORM_GRAIN 16384 /* elements of a chunk */

/* Items of `size` elements each that a chunk should have. */
static inline int64_t gan_norm_grain (int64_t size) {
  return size >= GAN_NORM_GRAIN ? 1 : GAN_NORM_GRAIN / (size > 0 ? size : 1);
}

/* An image (N, C, spatial...) in memory: row-major, or channels last. */
typedef struct {
  bool last;       /* channels are neighbours in memory */
  int64_t n, c, s; /* samples, channels, elements of a channel of a sample */
} gan_planes;

/* Describes x, or a row-major copy of it when it is neither; NULL on failure. At least 2 dims. */
gan_tensor *gan_planes_of(gan_ctx *c, gan_tensor *x, gan_planes *p);

/* t, or a copy of it that lies in memory as x does. Same shape. */
gan_tensor *gan_laid_out(gan_ctx *c, gan_tensor *t, const gan_tensor *x);

/* t is absent or has exactly n elements in one dimension; says which argument is wrong. */
bool gan_norm_vector(gan_ctx *c, const char *name, const gan_arg *t, int64_t n, const char *what);

/* The elements of an optional vector, row-major, or NULL; false on failure. */
bool gan_norm_reals(gan_ctx *c, const gan_arg *t, const gan_real **p);

/* Temporary memory for n doubles or reals; NULL on failure. */
double *gan_norm_doubles(gan_ctx *c, int64_t n);
gan_real *gan_norm_scratch(gan_ctx *c, int64_t n);

/* A vector of C elements as (1, C, 1, ...) with ndim dimensions, differentiable. */
gan_tensor *gan_per_channel(gan_ctx *c, gan_tensor *v, int ndim);

/* The dimensions of x but the second; returns their number. */
int gan_but_channel(int ndim, int64_t *dims);

extern gan_op gan_op_batch_norm, gan_op_batch_norm_stats, gan_op_batch_norm_fixed,
    gan_op_group_norm, gan_op_instance_norm, gan_op_group_norm_stats, gan_op_layer_norm,
    gan_op_layer_norm_stats, gan_op_local_response_norm, gan_op_window_sum, gan_op_l2_normalize,
    gan_op_pixel_norm, gan_op_weight_norm, gan_op_spectral_norm, gan_op_batch_norm_running;

#endif
