/*
** vmath.h - elementary functions of one gan_real that the compiler turns into vector loops.
**
** In float they are branch-free: argument reduction by bit arithmetic, a polynomial, selects; a
** loop over them vectorises for every instruction set. In the double build they are libm's.
** Errors in units in the last place over all floats are written beside each function (with fused
** multiply-add; a little more without). NaN gives NaN, the limits at +-inf and the sign of zero
** are those of libm.
**
** vm_NAME is the function, VM_LIB(name) libm's for the type (sqrtf or sqrt), R(x) a constant.
*/
#ifndef GAN_VMATH_H
#define GAN_VMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../gan.h"

#define VM static inline __attribute__((always_inline, unused))

#ifdef GAN_DOUBLE
#define VM_LIB(name) name
#else
#define VM_LIB(name) name##f
#endif

#define R(x) ((gan_real)(x))

VM gan_real vm_abs (gan_real x) { return VM_LIB(fabs)(x); }
VM gan_real vm_sqrt (gan_real x) { return VM_LIB(sqrt)(x); }

/* the larger, the smaller; NaN when either is NaN */
VM gan_real vm_max (gan_real a, gan_real b) { return (a > b) | (a != a) ? a : b; }
VM gan_real vm_min (gan_real a, gan_real b) { return (a < b) | (a != a) ? a : b; }

/* lo..hi; NaN stays NaN; hi when lo > hi */
VM gan_real vm_clamp (gan_real x, gan_real lo, gan_real hi) {
  x = x < lo ? lo : x;
  return x > hi ? hi : x;
}

#ifdef GAN_DOUBLE

#define VM_TRIG_MAX HUGE_VAL

VM double vm_exp (double x) { return exp(x); }
VM double vm_expm1 (double x) { return expm1(x); }
VM double vm_log (double x) { return log(x); }
VM double vm_log1p (double x) { return log1p(x); }
VM double vm_log1p_unit (double x) { return log1p(x); }
VM double vm_tanh (double x) { return tanh(x); }
VM double vm_erf (double x) { return erf(x); }
VM double vm_sin (double x) { return sin(x); }
VM double vm_cos (double x) { return cos(x); }

#else

VM uint32_t vm_bits (float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

VM float vm_float (uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

/* 2^n for n in -126..127 */
VM float vm_two_to (int32_t n) { return vm_float((uint32_t)(n + 127) << 23); }

#define VM_SHIFT 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, in the low bits */

/* x = n ln2 + r with |r| <= ln2 / 2; n * VM_LN2_HI is exact for the n that occur */
#define VM_LN2_HI 0.693359375f
#define VM_LN2_LO (-2.12194440e-4f)

VM float vm_reduce (float x, int32_t *n) {
  float t = x * 1.44269504088896341f + VM_SHIFT;
  float k = t - VM_SHIFT;
  *n = (int32_t)(vm_bits(t) - vm_bits(VM_SHIFT));
  return (x - k * VM_LN2_HI) - k * VM_LN2_LO;
}

/* e^r - 1 for |r| <= ln2 / 2, accurate relative to the result */
VM float vm_expm1_poly (float r) {
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * (r * r) + r;
}

/* 1.1 ulp; subnormal results too. The power of two is applied in halves: each fits. */
VM float vm_exp (float x) {
  int32_t n;
  float r = vm_reduce(vm_clamp(x, -104.0f, 89.0f), &n);
  int32_t half = n >> 1;
  return (vm_expm1_poly(r) + 1.0f) * vm_two_to(half) * vm_two_to(n - half);
}

/* e^x - 1, 1.5 ulp. The power of two is halved so that 2^128 is not needed near overflow. */
VM float vm_expm1 (float x) {
  int32_t n;
  float r = vm_reduce(vm_clamp(x, -30.0f, 89.0f), &n);
  float p = vm_expm1_poly(r), s = vm_two_to(n - 1);
  float y = 2.0f * (s * p + (s - 0.5f));
  y = n == 0 ? p : y;
  return x == 0.0f ? x : y;
}

/* log(1 + f) - f + f^2/2 for 1+f in sqrt(1/2)..sqrt(2) */
VM float vm_log_poly (float f) {
  float p = 7.0376836292e-2f, z = f * f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  return p * f * z;
}

/* exponent k and m in sqrt(1/2)..sqrt(2) with x = 2^k m, for normal x > 0 */
VM float vm_split (float x, float *k) {
  uint32_t u = vm_bits(x) - 0x3f3504f3u; /* sqrt(1/2) */
  *k = (float)((int32_t)u >> 23);
  return vm_float((u & 0x007fffffu) + 0x3f3504f3u);
}

/* 0.8 ulp */
VM float vm_log (float x) {
  int tiny = x < 1.17549435e-38f;
  float k, m = vm_split(tiny ? x * 8388608.0f : x, &k), f = m - 1.0f;
  k = tiny ? k - 23.0f : k;
  float y = vm_log_poly(f) + k * VM_LN2_LO;
  y = (y - 0.5f * (f * f)) + f + k * VM_LN2_HI;
  y = x > 3.40282347e38f ? x : y;
  y = x == 0.0f ? -INFINITY : y;
  return x < 0.0f ? NAN : x != x ? x : y;
}

/* log(1 + x), 2.1 ulp: what was lost in u = 1 + x comes back as a correction; nothing is lost near
   0 */
VM float vm_log1p (float x) {
  float u = 1.0f + x, k, m = vm_split(u, &k);
  float lost = (k > 0.0f ? 1.0f - (u - x) : x - (u - 1.0f)) / u;
  float f = k == 0.0f ? x : m - 1.0f;
  lost = k == 0.0f ? 0.0f : lost;
  float y = vm_log_poly(f) + (k * VM_LN2_LO + lost);
  y = (y - 0.5f * (f * f)) + f + k * VM_LN2_HI;
  y = (x > 3.40282347e38f) | (x == 0.0f) ? x : y;
  y = x == -1.0f ? -INFINITY : y;
  return x < -1.0f ? NAN : x != x ? x : y;
}

/* log(1 + t) for 0 <= t <= 1: 2 atanh(s) with s = t / (2 + t) <= 1/3 */
VM float vm_log1p_unit (float t) {
  float s = t / (2.0f + t), z = s * s, p = 1.40125364e-1f;
  p = p * z + 1.39995128e-1f;
  p = p * z + 2.00108528e-1f;
  p = p * z + 3.33332062e-1f;
  return t - s * (t - 2.0f * (p * z));
}

/* 2.5 ulp: -e / (e + 2) with e = exp(-2|x|) - 1, which never overflows */
VM float vm_tanh (float x) {
  int32_t n;
  float t = -2.0f * fabsf(x);
  float r = vm_reduce(t < -20.0f ? -20.0f : t, &n), s = vm_two_to(n);
  float e = s * vm_expm1_poly(r) + (s - 1.0f);
  return copysignf(-e / (e + 2.0f), x);
}

/* 1.1 ulp: below 0.927734375 an odd polynomial, above it 1 - exp(polynomial) */
VM float vm_erf (float x) {
  float t = fabsf(x), s = x * x;
  float a = -5.96761703e-4f;
  a = a * s + 4.99119423e-3f;
  a = a * s - 2.67681349e-2f;
  a = a * s + 1.12819925e-1f;
  a = a * s - 3.76125336e-1f;
  a = a * s + 1.28379166e-1f;
  a = a * x + x;
  float u = t > 4.0f ? 4.0f : t;
  float b = -1.72853470e-5f;
  b = b * u + 3.83197126e-4f;
  b = b * u - 3.88396438e-3f;
  b = b * u + 2.42546219e-2f;
  b = b * u - 1.06777877e-1f;
  b = b * u - 6.34846687e-1f;
  b = b * u - 1.28717512e-1f;
  b = b * u - u;
  b = copysignf(1.0f - vm_exp(b), x);
  return t > 0.927734375f ? b : a;
}

/* ---- sine and cosine ---------------------------------------------------------------------- */

#define VM_TRIG_MAX 1.0e6f /* beyond it the reduction loses digits: use libm's. 1.6 ulp below */

/* x = q pi/2 + r, |r| <= pi/4; q modulo 4 */
VM float vm_quarter (float x, uint32_t *q) {
  const double shift = 6755399441055744.0; /* 1.5 * 2^52 */
  double t = (double)x * 0.63661977236758134308 + shift, k = t - shift;
  uint64_t u;
  memcpy(&u, &t, sizeof u);
  *q = (uint32_t)u;
  return (float)(((double)x - k * 1.57079632673412561417) - k * 6.07710050650619224932e-11);
}

VM float vm_sin_poly (float r) {
  float z = r * r, p = -1.9515295891e-4f;
  p = p * z + 8.3321608736e-3f;
  p = p * z - 1.6666654611e-1f;
  return p * z * r + r;
}

VM float vm_cos_poly (float r) {
  float z = r * r, p = 2.443315711809948e-5f;
  p = p * z - 1.388731625493765e-3f;
  p = p * z + 4.166664568298827e-2f;
  return p * (z * z) + (1.0f - 0.5f * z);
}

VM float vm_sin (float x) { /* for |x| <= VM_TRIG_MAX */
  uint32_t q;
  float r = vm_quarter(x, &q), y = q & 1 ? vm_cos_poly(r) : vm_sin_poly(r);
  y = vm_float(vm_bits(y) ^ (q & 2) << 30);
  return x == 0.0f ? x : y;
}

VM float vm_cos (float x) { /* for |x| <= VM_TRIG_MAX */
  uint32_t q;
  float r = vm_quarter(x, &q), y = q & 1 ? vm_sin_poly(r) : vm_cos_poly(r);
  return vm_float(vm_bits(y) ^ ((q + 1) & 2) << 30);
}

#endif

/* ---- built on these ----------------------------------------------------------------------- */

/* 1 / (1 + e^-x), 2.3 ulp, finite and with full relative accuracy on both sides */
VM gan_real vm_sigmoid (gan_real x) {
  gan_real e = vm_exp(-vm_abs(x));
  return (x < 0 ? e : R(1)) / (R(1) + e);
}

/* log(1 + e^x), 2.6 ulp, finite for every finite x */
VM gan_real vm_softplus (gan_real x) {
  return (x > 0 ? x : R(0)) + vm_log1p_unit(vm_exp(-vm_abs(x)));
}

/* log(sigmoid(x)) */
VM gan_real vm_logsigmoid (gan_real x) {
  return (x < 0 ? x : R(0)) - vm_log1p_unit(vm_exp(-vm_abs(x)));
}

#endif
