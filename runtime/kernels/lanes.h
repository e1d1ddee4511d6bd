/*
** lanes.h - vectors of gan_real as wide as the instruction set that a kernel is compiled for.
**
** GCC's vector extensions: + - * / & on whole vectors, a scalar operand is spread over the lanes.
*/
#ifndef GAN_KERNELS_LANES_H
#define GAN_KERNELS_LANES_H

#include <string.h>
#ifdef __AVX__
#include <immintrin.h>
#endif

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

GAN_INLINE gan_ivec gan_lanes_iota (void) {
  gan_ivec iota;
#pragma GCC unroll 16
  for (int k = 0; k < GAN_LANES; k++) iota[k] = k;
  return iota;
}

/* The first n lanes alone, 0 < n <= GAN_LANES: the others read as 0 and are not written. */
GAN_INLINE gan_vec gan_load_some (const gan_real *p, int64_t n) {
#if defined(__AVX512F__) && defined(GAN_DOUBLE)
  return _mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#elif defined(__AVX512F__)
  return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#elif defined(__AVX__) && defined(GAN_DOUBLE)
  return _mm256_maskload_pd(p, (__m256i)(gan_lanes_iota() < n));
#elif defined(__AVX__)
  return _mm256_maskload_ps(p, (__m256i)(gan_lanes_iota() < (gan_lane_int)n));
#else
  gan_vec v = { 0 };
  memcpy(&v, p, (size_t)n * sizeof *p);
  return v;
#endif
}

GAN_INLINE void gan_store_some (gan_real *p, gan_vec v, int64_t n) {
#if defined(__AVX512F__) && defined(GAN_DOUBLE)
  _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), v);
#elif defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#elif defined(__AVX__) && defined(GAN_DOUBLE)
  _mm256_maskstore_pd(p, (__m256i)(gan_lanes_iota() < n), v);
#elif defined(__AVX__)
  _mm256_maskstore_ps(p, (__m256i)(gan_lanes_iota() < (gan_lane_int)n), v);
#else
  memcpy(p, &v, (size_t)n * sizeof *p);
#endif
}

/* sum of the lanes, in a fixed order */
GAN_INLINE gan_real gan_lanes_sum (gan_vec v) {
#pragma GCC unroll 8
  for (int half = GAN_LANES / 2; half > 0; half /= 2)
    v += __builtin_shuffle(v, gan_lanes_iota() ^ half);
  return v[0];
}

/* Lanes without bit h: neighbours h apart of a added up; lanes with it: those of b. */
GAN_INLINE gan_vec gan_lanes_fold (gan_vec a, gan_vec b, int h) {
  gan_ivec l = gan_lanes_iota(), of_b = (l & h) != 0;
  return __builtin_shuffle(a, b, l + (of_b & GAN_LANES))
         + __builtin_shuffle(a, b, (l ^ h) + (of_b & GAN_LANES));
}

/* gan_lanes_sum of four vectors, for less than four times the work */
GAN_INLINE void gan_lanes_sum_4 (gan_vec a, gan_vec b, gan_vec c, gan_vec d, gan_real sum[4]) {
#if GAN_LANES >= 4
  gan_vec v = gan_lanes_fold(gan_lanes_fold(a, b, 1), gan_lanes_fold(c, d, 1), 2);
#pragma GCC unroll 8
  for (int half = GAN_LANES / 2; half > 2; half /= 2)
    v += __builtin_shuffle(v, gan_lanes_iota() ^ half);
  for (int k = 0; k < 4; k++) sum[k] = v[k];
#else
  sum[0] = gan_lanes_sum(a);
  sum[1] = gan_lanes_sum(b);
  sum[2] = gan_lanes_sum(c);
  sum[3] = gan_lanes_sum(d);
#endif
}

#endif
