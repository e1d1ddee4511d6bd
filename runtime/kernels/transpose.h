/*
** transpose.h - a square of LANES x LANES elements transposed in registers, for the change between
** kernel taps, which are neighbours in a weight, and channels, which are neighbours in a vector.
*/
#ifndef GAN_KERNELS_TRANSPOSE_H
#define GAN_KERNELS_TRANSPOSE_H

#include "lanes.h"

/* Exchanges the off-diagonal s x s squares of rows a and b = a + s; `lanes` is 0, 1, 2 ... */
GAN_INLINE void gan_exchange (gan_vec *a, gan_vec *b, int s, gan_ivec lanes) {
  gan_ivec other = ((lanes & s) != 0) & (GAN_LANES - s); /* lanes that are the other row's */
  gan_vec p = __builtin_shuffle(*a, *b, lanes + other);
  *b = __builtin_shuffle(*a, *b, lanes + s + other);
  *a = p;
}

GAN_INLINE void gan_transpose (gan_vec r[GAN_LANES]) {
  const gan_ivec lanes = gan_lanes_iota();
#define GAN_STAGE(s)                                                                              \
  if (s < GAN_LANES)                                                                              \
    _Pragma("GCC unroll 16") for (int i = 0; i < GAN_LANES; i++)                                  \
      if (!(i & (s))) gan_exchange(&r[i], &r[i + (s)], s, lanes);
  GAN_STAGE(1)
  GAN_STAGE(2)
#if GAN_LANES > 4
  GAN_STAGE(4)
#endif
#if GAN_LANES > 8
  GAN_STAGE(8)
#endif
#undef GAN_STAGE
}

#endif
