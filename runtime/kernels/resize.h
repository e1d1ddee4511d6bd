/*
** resize.h - nearest and linear resampling of planes, and the adjoints.
**
** Data is channels-last without gaps, [n][h][w][c]; row-major data is the same thing with one
** channel and n * channels images. Along an axis, place o of the large side is near[o] (nearest),
** or (1 - far_share[o]) * near[o] + far_share[o] * far[o] (linear) of the small one.
*/
#ifndef GAN_KERNELS_RESIZE_H
#define GAN_KERNELS_RESIZE_H

#include "isa.h"

typedef struct {
  int64_t out, in;
  const int64_t *near, *far;  /* [out] */
  const gan_real *far_share;  /* [out] */
} gan_resize_axis;

typedef struct {
  gan_resize_axis h, w;
  int64_t n, c;
  int64_t block; /* adjoints: channels per unit of work */
  const gan_real *src;
  gan_real *dst;
} gan_resize_job;

typedef struct {
  /* units: rows of the output, n * h.out */
  void (*nearest)(const gan_resize_job *j, int64_t lo, int64_t hi, int worker);
  void (*linear)(const gan_resize_job *j, int64_t lo, int64_t hi, int worker);
  /* units: blocks of channels of images, n * ceil(c / block) */
  void (*nearest_adjoint)(const gan_resize_job *j, int64_t lo, int64_t hi, int worker);
  void (*linear_adjoint)(const gan_resize_job *j, int64_t lo, int64_t hi, int worker);
} gan_resize_table;

GAN_TABLES(gan_resize)

#endif
