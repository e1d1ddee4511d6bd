/*
** quad.h - four by four transposition, for the change between kernel taps and channel vectors.
*/
#ifndef GAN_KERNELS_QUAD_H
#define GAN_KERNELS_QUAD_H

#include "lanes.h"

typedef gan_real gan_quad __attribute__((vector_size(4 * sizeof(gan_real))));
typedef gan_lane_int gan_quad_index __attribute__((vector_size(4 * sizeof(gan_real))));

GAN_INLINE void gan_transpose_quad (gan_quad r[4]) {
  gan_quad a = __builtin_shuffle(r[0], r[1], (gan_quad_index){ 0, 4, 1, 5 });
  gan_quad b = __builtin_shuffle(r[0], r[1], (gan_quad_index){ 2, 6, 3, 7 });
  gan_quad e = __builtin_shuffle(r[2], r[3], (gan_quad_index){ 0, 4, 1, 5 });
  gan_quad f = __builtin_shuffle(r[2], r[3], (gan_quad_index){ 2, 6, 3, 7 });
  r[0] = __builtin_shuffle(a, e, (gan_quad_index){ 0, 1, 4, 5 });
  r[1] = __builtin_shuffle(a, e, (gan_quad_index){ 2, 3, 6, 7 });
  r[2] = __builtin_shuffle(b, f, (gan_quad_index){ 0, 1, 4, 5 });
  r[3] = __builtin_shuffle(b, f, (gan_quad_index){ 2, 3, 6, 7 });
}

#endif
