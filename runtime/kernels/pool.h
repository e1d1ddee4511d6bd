/*
** pool.h - pooling over windows, and the moves between windows and planes that its gradients need.
**
** Data is channels-last without gaps, [n][h][w][c]; row-major data is the same thing with one
** channel and n * channels images. The windows of each axis are given as tables, so that one loop
** serves strides, padding, dilation, partial windows at the end, and adaptive sizes.
*/
#ifndef GAN_KERNELS_POOL_H
#define GAN_KERNELS_POOL_H

#include "isa.h"

typedef struct {
  int64_t out, in;
  int64_t step;           /* between the elements of a window */
  const int64_t *first;   /* [out] first element of the window inside the input */
  const int64_t *count;   /* [out] elements inside the input */
  const gan_real *divide; /* [out] mean: the window's size by which its sum is divided */
} gan_pool_axis;

typedef struct {
  gan_pool_axis h, w;
  int64_t n, c;
  gan_real override; /* mean: divide by this instead, unless 0 */
  const gan_real *src;
  gan_real *dst;
  const int64_t *index; /* places in a plane, h * w.in + w, from 1 */
  int64_t *index_out;
  int64_t places;    /* elements of the windows' side per image and channel */
  int64_t plane;     /* elements of the plane */
  int64_t block;     /* channels per unit of work */
  uint8_t *seen;     /* gather_last: plane * block bytes for each worker */
} gan_pool_job;

typedef struct {
  /* units: rows of the output, n * h.out */
  void (*max)(const gan_pool_job *j, int64_t lo, int64_t hi, int worker);
  void (*mean)(const gan_pool_job *j, int64_t lo, int64_t hi, int worker);
  /* units: blocks of channels of images, n * ceil(c / block) */
  void (*mean_adjoint)(const gan_pool_job *j, int64_t lo, int64_t hi, int worker);
  /* dst[index] += src, dst[index] = src, dst = src[index] */
  void (*scatter)(const gan_pool_job *j, int64_t lo, int64_t hi, int worker);
  void (*place)(const gan_pool_job *j, int64_t lo, int64_t hi, int worker);
  void (*gather)(const gan_pool_job *j, int64_t lo, int64_t hi, int worker);
  /* as gather, but 0 where a later place has the same index: the adjoint of place */
  void (*gather_last)(const gan_pool_job *j, int64_t lo, int64_t hi, int worker);
} gan_pool_table;

GAN_TABLES(gan_pool)

#endif
