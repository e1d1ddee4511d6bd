/*
** lanes.h - vectors of gan_real as wide as the instruction set that a kernel is compiled for.
**
** GCC's vector extensions: + - * / & on whole vectors, a scalar operand is spread over the lanes.
*/
#ifndef GAN_KERNELS_LANES_H
#define GAN_KERNELS_LANES_H

#include <string.h>

#include "../gan.h"

#if defined(__AVX512F__)
#define GAN_VBYTES 64
#define GAN_VREGS 32
#elif defined(__AVX__)
#define GAN_VBYTES 32
#define GAN_VREGS 16
#else
#define GAN_VBYTES 16
#define GAN_VREGS 16
#endif

#ifdef GAN_DOUBLE
#define GAN_LANES (GAN_VBYTES / 8)
typedef int64_t gan_lane_int; /* as wide as gan_real: what comparisons of vectors give */
#else
#define GAN_LANES (GAN_VBYTES / 4)
typedef int32_t gan_lane_int;
#endif

typedef gan_real gan_vec __attribute__((vector_size(GAN_VBYTES)));
typedef gan_lane_int gan_ivec __attribute__((vector_size(GAN_VBYTES)));

/* the same anywhere in memory */
typedef gan_real gan_vec_at
    __attribute__((vector_size(GAN_VBYTES), aligned(sizeof(gan_real)), may_alias));

#define GAN_INLINE static inline __attribute__((always_inline))

GAN_INLINE gan_vec gan_load (const gan_real *p) {
  return *(const gan_vec_at *)p;
}

GAN_INLINE void gan_store (gan_real *p, gan_vec v) {
  *(gan_vec_at *)p = v;
}

/* sum of the lanes, in a fixed order */
GAN_INLINE gan_real gan_lanes_sum (gan_vec v) {
  gan_ivec iota;
  for (int k = 0; k < GAN_LANES; k++) iota[k] = k;
#pragma GCC unroll 8
  for (int half = GAN_LANES / 2; half > 0; half /= 2) v += __builtin_shuffle(v, iota ^ half);
  return v[0];
}

#endif
