/*
** random.c - see random.h. Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
** 1, 2, 3", SC 2011 (Philox). Box, Muller: "A note on the generation of random normal deviates",
** 1958.
*/
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "lanes.h"
#include "random.h"
#include "vmath.h"

enum { LANES = GAN_RANDOM_BLOCKS, GROUP = GAN_RANDOM_GROUP };

/* Numbers of 32 bits in lanes of 64, whose upper halves are never looked at: a product needs no
   widening, and its halves are a shift apart. */
typedef uint64_t lanes __attribute__((vector_size(GAN_VBYTES)));
typedef uint32_t halves __attribute__((vector_size(GAN_VBYTES / 2), aligned(4), may_alias));

enum { WIDTH = GAN_VBYTES / 8 };

/* low halves of a times m < 2^32 */
GAN_INLINE lanes times (lanes a, uint64_t m) {
  const lanes b = m - (lanes){ 0 };
#if defined(__AVX512F__)
  return (lanes)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (lanes)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (lanes)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xffffffffu) * b;
#endif
}

/* w[k][i] = word k of Philox(seed, counter + i); `stream` tells independent sequences apart. */
GAN_INLINE void philox (uint64_t seed, uint64_t counter, uint32_t stream, uint32_t w[4][LANES]) {
  lanes iota;
  for (int i = 0; i < WIDTH; i++) iota[i] = (uint64_t)i;
  for (int at = 0; at < LANES; at += WIDTH) {
    lanes c0 = iota + (counter + (uint64_t)at), c1 = c0 >> 32, c2 = stream - (lanes){ 0 };
    lanes c3 = { 0 };
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int r = 0; r < 10; r++) {
      lanes p0 = times(c0, 0xD2511F53u), p1 = times(c2, 0xCD9E8D57u);
      c0 = (p1 >> 32) ^ c1 ^ (uint64_t)k0;
      c1 = p1;
      c2 = (p0 >> 32) ^ c3 ^ (uint64_t)k1;
      c3 = p0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    *(halves *)&w[0][at] = __builtin_convertvector(c0, halves);
    *(halves *)&w[1][at] = __builtin_convertvector(c1, halves);
    *(halves *)&w[2][at] = __builtin_convertvector(c2, halves);
    *(halves *)&w[3][at] = __builtin_convertvector(c3, halves);
  }
}

/* ---- words to numbers ---------------------------------------------------------------------- */

#ifdef GAN_DOUBLE

/* [0, 1), 53 bits: the first 24 are those of the float build */
GAN_INLINE double unit (uint32_t w, uint32_t more) {
  return (double)((uint64_t)(w >> 8) << 29 | more >> 3) * 0x1p-53;
}

static void box_muller (const uint32_t *w, const uint32_t *v, const uint32_t *more_w,
                        const uint32_t *more_v, double *cosine, double *sine) {
  for (int i = 0; i < LANES; i++) {
    double u = ((double)(w[i] >> 1) + ((double)more_w[i] + 0.5) * 0x1p-32) * 0x1p-31;
    double t = ((double)(int32_t)v[i] + (double)more_v[i] * 0x1p-32) * 0x1p-32;
    double r = sqrt(-2 * log(u)), a = t * 6.283185307179586476925;
    cosine[i] = r * cos(a);
    sine[i] = r * sin(a);
  }
}

#else

GAN_INLINE float unit (uint32_t w, uint32_t more) {
  (void)more;
  return (float)(int32_t)(w >> 8) * 0x1p-24f;
}

/* Two normal numbers from two words: the radius from 31 bits (so the tails reach 6.6 standard
   deviations), the angle from 32. The angle is a signed fraction of a turn; its top two bits say
   in which half of the circle it lies, and the rest is an angle in [-pi/2, pi/2) with both Taylor
   series below 1e-9 of their limits. */
GAN_INLINE void box_muller (const uint32_t *w, const uint32_t *v, float *cosine, float *sine) {
  for (int i = 0; i < LANES; i++) {
    float u = ((float)(int32_t)(w[i] >> 1) + 0.5f) * 0x1p-31f;
    float r = sqrtf(-2.0f * vm_log(u));
    uint32_t flip = (v[i] + 0x40000000u) & 0x80000000u;
    float a = (float)((int32_t)(v[i] << 1) >> 1) * (6.283185307f * 0x1p-32f), z = a * a;
    float s = 1.6059044e-10f, c = -1.1470746e-11f;
    s = s * z - 2.5052108e-8f;
    c = c * z + 2.0876757e-9f;
    s = s * z + 2.7557319e-6f;
    c = c * z - 2.7557319e-7f;
    s = s * z - 1.9841270e-4f;
    c = c * z + 2.4801587e-5f;
    s = s * z + 8.3333333e-3f;
    c = c * z - 1.3888889e-3f;
    s = s * z - 1.6666667e-1f;
    c = c * z + 4.1666667e-2f;
    s = s * z * a + a;
    c = (c * z - 0.5f) * z + 1.0f;
    r = vm_float(vm_bits(r) ^ flip);
    cosine[i] = r * c;
    sine[i] = r * s;
  }
}

#endif

/* ---- groups -------------------------------------------------------------------------------- */

GAN_INLINE void uniform_group (uint64_t seed, uint64_t counter, gan_real *y, gan_real a,
                                  gan_real width, gan_real most) {
  uint32_t w[4][LANES], more[4][LANES];
  philox(seed, counter, 0, w);
  if (sizeof(gan_real) > 4) philox(seed, counter, 1, more);
  else memset(more, 0, sizeof more);
  for (int i = 0; i < GROUP; i++) {
    gan_real u = unit((&w[0][0])[i], (&more[0][0])[i]) * width + a;
    y[i] = u < most ? u : most;
  }
}

GAN_INLINE void normal_group (uint64_t seed, uint64_t counter, gan_real *y, gan_real mean,
                                 gan_real std, gan_real unused) {
  uint32_t w[4][LANES];
  (void)unused;
  philox(seed, counter, 0, w);
#ifdef GAN_DOUBLE
  uint32_t more[4][LANES];
  philox(seed, counter, 1, more);
  for (int k = 0; k < 4; k += 2)
    box_muller(w[k], w[k + 1], more[k], more[k + 1], y + k * LANES, y + (k + 1) * LANES);
#else
  for (int k = 0; k < 4; k += 2)
    box_muller(w[k], w[k + 1], y + k * LANES, y + (k + 1) * LANES);
#endif
  for (int i = 0; i < GROUP; i++) y[i] = y[i] * std + mean;
}

GAN_INLINE void mask_group (uint64_t seed, uint64_t counter, gan_real *y, uint32_t below,
                               gan_real value) {
  uint32_t w[4][LANES];
  philox(seed, counter, 0, w);
  for (int i = 0; i < GROUP; i++) y[i] = (&w[0][0])[i] < below ? value : 0;
}

/* Runs `call` for every group; the last one may be cut off. */
#define EACH_GROUP(call)                                                          \
  for (int64_t at = lo; at < hi; at += GROUP) {                                   \
    uint64_t first = counter + (uint64_t)(at / GROUP) * LANES;                    \
    gan_real last[GROUP], *to = hi - at < GROUP ? last : y + at;                  \
    call;                                                                         \
    if (to == last) memcpy(y + at, last, (size_t)(hi - at) * sizeof *y);          \
  }

static void uniform (uint64_t seed, uint64_t counter, int64_t lo, int64_t hi, gan_real *y, double a,
                     double b) {
  gan_real from = (gan_real)a, width = (gan_real)(b - a);
  gan_real most = b > a ? (gan_real)b : from; /* rounding must not reach b */
  if (most > from) most = VM_LIB(nextafter)(most, from);
  EACH_GROUP(uniform_group(seed, first, to, from, width, most))
}

static void normal (uint64_t seed, uint64_t counter, int64_t lo, int64_t hi, gan_real *y, double a,
                    double b) {
  EACH_GROUP(normal_group(seed, first, to, (gan_real)a, (gan_real)b, 0))
}

static void mask (uint64_t seed, uint64_t counter, int64_t lo, int64_t hi, gan_real *y, double a,
                  double b) {
  double t = a * 0x1p32;
  bool all = t >= 0xffffffffp0;
  uint32_t below = all ? 0xffffffffu : t > 0 ? (uint32_t)t : 0;
  EACH_GROUP(mask_group(seed, first, to, below, (gan_real)b))
}

const gan_random_table GAN_TABLE(gan_random) = { uniform, normal, mask };
