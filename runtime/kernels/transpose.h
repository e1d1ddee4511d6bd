/*
** transpose.h - a square of LANES x LANES elements transposed in registers, for the change between
** kernel taps, which are neighbours in a weight, and channels, which are neighbours in a vector.
*/
#ifndef GAN_KERNELS_TRANSPOSE_H
#define GAN_KERNELS_TRANSPOSE_H

#include "lanes.h"

/* Exchanges the off-diagonal s x s squares of rows a and b = a + s. */
#define GAN_EXCHANGE(a, b, s)                                                                     \
  do {                                                                                            \
    gan_ivec lo, hi;                                                                              \
    _Pragma("GCC unroll 16") for (int l = 0; l < GAN_LANES; l++) {                                \
      lo[l] = l & (s) ? GAN_LANES + l - (s) : l;                                                  \
      hi[l] = l & (s) ? GAN_LANES + l : l + (s);                                                  \
    }                                                                                             \
    gan_vec p = __builtin_shuffle(a, b, lo), q = __builtin_shuffle(a, b, hi);                     \
    a = p;                                                                                        \
    b = q;                                                                                        \
  } while (0)

GAN_INLINE void gan_transpose (gan_vec r[GAN_LANES]) {
#define GAN_STAGE(s)                                                                              \
  if (s < GAN_LANES)                                                                              \
    _Pragma("GCC unroll 16") for (int i = 0; i < GAN_LANES; i++)                                  \
      if (!(i & (s))) GAN_EXCHANGE(r[i], r[i + (s)], s);
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
