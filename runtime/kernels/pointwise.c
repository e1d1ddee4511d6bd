/*
** pointwise.c - the loops of the table in pointwise.h.
**
** `ivdep` tells the compiler what the contract says: a result is one of the operands or apart from
** them, so no iteration reads what another one writes.
*/
#include "pointwise.h"
#include "vmath.h"

#define EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

#define INLINE static inline __attribute__((always_inline))

/* ---- parts of expressions ----------------------------------------------------------------- */

#define SELU_SCALE 1.0507009873554805
#define SELU_ALPHA 1.6732632423543772

/* x sigmoid(x): derivative */
INLINE gan_real silu_slope (gan_real x) {
  gan_real s = vm_sigmoid(x);
  return s * (R(1) + x * (R(1) - s));
}

/* tanh(softplus(x)) = e (e + 2) / (e (e + 2) + 2) with e = exp(x); 1 for large x */
INLINE gan_real mish_gate (gan_real x) {
  gan_real e = vm_exp(x > 20 ? R(20) : x), m = e * (e + R(2));
  return m / (m + R(2));
}

INLINE gan_real mish_slope (gan_real x) {
  gan_real e = vm_exp(x > 20 ? R(20) : x), m = e * (e + R(2)), t = m / (m + R(2));
  return t + x * (e / (R(1) + e)) * ((R(1) - t) * (R(1) + t));
}

INLINE gan_real gauss_cdf (gan_real x) {
  return R(0.5) * (R(1) + vm_erf(x * R(0.70710678118654752)));
}

INLINE gan_real gauss_density (gan_real x) {
  return R(0.3989422804014327) * vm_exp(R(-0.5) * x * x);
}

/* (1 + tanh(u)) / 2 = sigmoid(2u), with 2u = 2 sqrt(2/pi) (x + 0.044715 x^3) */
INLINE gan_real gelu_inner (gan_real x) {
  return R(1.5957691216057308) * x * (R(1) + R(0.044715) * x * x);
}

INLINE gan_real gelu_tanh_slope (gan_real x) {
  gan_real s = vm_sigmoid(gelu_inner(x));
  gan_real inner = R(1.5957691216057308) * (R(1) + R(3 * 0.044715) * x * x);
  return s + x * (s * (R(1) - s)) * inner;
}

/* ---- one argument ------------------------------------------------------------------------- */

#define FORWARD(name, expr)                                                            \
  static void f_##name (int64_t n, const gan_real *x, gan_real *y, const gan_real *param) { \
    const gan_real p = param[0], q = param[1];                                         \
    (void)p, (void)q;                                                                  \
    EACH {                                                                             \
      const gan_real v = x[i];                                                         \
      y[i] = expr;                                                                     \
    }                                                                                  \
  }

#define GRADIENT(name, expr)                                                           \
  static void g_##name (int64_t n, const gan_real *saved, const gan_real *gy, gan_real *gx, \
                        const gan_real *param) {                                       \
    const gan_real p = param[0], q = param[1];                                         \
    (void)p, (void)q;                                                                  \
    EACH {                                                                             \
      const gan_real s = saved[i], g = gy[i];                                          \
      gx[i] = expr;                                                                    \
    }                                                                                  \
  }

#define UNARY(name, reads, fwd, grad) FORWARD(name, fwd) GRADIENT(name, grad)

GAN_STEPPED(UNARY)
GAN_ALGEBRAIC(UNARY)
GAN_TRANSCENDENTAL(UNARY)
GAN_ACTIVATIONS(UNARY)
GAN_GELU(UNARY)
GAN_PLAIN(FORWARD)
GAN_POWERS(FORWARD)

/* ---- sine and cosine ---------------------------------------------------------------------- */

/* The vector functions are for arguments up to VM_TRIG_MAX: a block that holds a larger one (or inf
   or NaN) goes element by element, so that a result depends on its own argument only. */
#define BLOCK 64

INLINE int all_small (const gan_real *x, int64_t n) {
  int small = 1;
  for (int64_t i = 0; i < n; i++) small &= vm_abs(x[i]) <= VM_TRIG_MAX;
  return small;
}

#define TRIG_OF(f, x) (small || vm_abs(x) <= VM_TRIG_MAX ? vm_##f(x) : VM_LIB(f)(x))
#define SIN(x) TRIG_OF(sin, x)
#define COS(x) TRIG_OF(cos, x)

#define TRIG(name, reads, fwd, grad)                                                        \
  INLINE void f_block_##name (int64_t n, const gan_real *x, gan_real *y, const int small) { \
    EACH {                                                                                  \
      const gan_real v = x[i];                                                              \
      y[i] = fwd;                                                                           \
    }                                                                                       \
  }                                                                                         \
  INLINE void g_block_##name (int64_t n, const gan_real *saved, const gan_real *gy,         \
                              gan_real *gx, const int small) {                              \
    EACH {                                                                                  \
      const gan_real s = saved[i], g = gy[i];                                               \
      gx[i] = grad;                                                                         \
    }                                                                                       \
  }                                                                                         \
  static void f_##name (int64_t n, const gan_real *x, gan_real *y, const gan_real *param) { \
    (void)param;                                                                            \
    for (int64_t i = 0; i < n; i += BLOCK) {                                                \
      int64_t m = n - i < BLOCK ? n - i : BLOCK;                                            \
      if (all_small(x + i, m)) f_block_##name(m, x + i, y + i, 1);                          \
      else f_block_##name(m, x + i, y + i, 0);                                              \
    }                                                                                       \
  }                                                                                         \
  static void g_##name (int64_t n, const gan_real *saved, const gan_real *gy, gan_real *gx, \
                        const gan_real *param) {                                            \
    (void)param;                                                                            \
    for (int64_t i = 0; i < n; i += BLOCK) {                                                \
      int64_t m = n - i < BLOCK ? n - i : BLOCK;                                            \
      if (all_small(saved + i, m)) g_block_##name(m, saved + i, gy + i, gx + i, 1);         \
      else g_block_##name(m, saved + i, gy + i, gx + i, 0);                                 \
    }                                                                                       \
  }

GAN_TRIG(TRIG)

/* ---- two and three arguments -------------------------------------------------------------- */

/* Steps are constants in each call of the body, so that every combination is a loop of its own. */
#define BINARY(name, expr)                                                                  \
  INLINE void b_body_##name (int64_t n, const gan_real *pa, const int64_t as,               \
                             const gan_real *pb, const int64_t bs, gan_real *y) {           \
    const gan_real a0 = pa[0], b0 = pb[0];                                                  \
    EACH {                                                                                  \
      const gan_real a = as ? pa[i] : a0, b = bs ? pb[i] : b0;                              \
      y[i] = expr;                                                                          \
    }                                                                                       \
  }                                                                                         \
  static void b_##name (int64_t n, const gan_real *a, int64_t as, const gan_real *b,        \
                        int64_t bs, gan_real *y) {                                          \
    if (n <= 0) return;                                                                     \
    if (as && bs) b_body_##name(n, a, 1, b, 1, y);                                          \
    else if (as) b_body_##name(n, a, 1, b, 0, y);                                           \
    else if (bs) b_body_##name(n, a, 0, b, 1, y);                                           \
    else b_body_##name(n, a, 0, b, 0, y);                                                   \
  }

#define TERNARY(name, expr)                                                                 \
  INLINE void t_body_##name (int64_t n, const gan_real *pa, const int64_t as,               \
                             const gan_real *pb, const int64_t bs, const gan_real *pd,      \
                             const int64_t ds, gan_real *y, const gan_real p) {             \
    const gan_real a0 = pa[0], b0 = pb[0], d0 = pd[0];                                      \
    (void)p;                                                                                \
    EACH {                                                                                  \
      const gan_real a = as ? pa[i] : a0, b = bs ? pb[i] : b0, d = ds ? pd[i] : d0;         \
      y[i] = expr;                                                                          \
    }                                                                                       \
  }                                                                                         \
  static void t_##name (int64_t n, const gan_real *a, int64_t as, const gan_real *b,        \
                        int64_t bs, const gan_real *d, int64_t ds, gan_real *y,             \
                        const gan_real *param) {                                            \
    if (n <= 0) return;                                                                     \
    switch ((as ? 4 : 0) | (bs ? 2 : 0) | (ds ? 1 : 0)) {                                   \
      case 7: t_body_##name(n, a, 1, b, 1, d, 1, y, param[0]); break;                       \
      case 6: t_body_##name(n, a, 1, b, 1, d, 0, y, param[0]); break;                       \
      case 5: t_body_##name(n, a, 1, b, 0, d, 1, y, param[0]); break;                       \
      case 4: t_body_##name(n, a, 1, b, 0, d, 0, y, param[0]); break;                       \
      case 3: t_body_##name(n, a, 0, b, 1, d, 1, y, param[0]); break;                       \
      case 2: t_body_##name(n, a, 0, b, 1, d, 0, y, param[0]); break;                       \
      case 1: t_body_##name(n, a, 0, b, 0, d, 1, y, param[0]); break;                       \
      default: t_body_##name(n, a, 0, b, 0, d, 0, y, param[0]);                             \
    }                                                                                       \
  }

GAN_BINARY(BINARY)
GAN_TERNARY(TERNARY)

/* ---- conversions -------------------------------------------------------------------------- */

static void from_uint8 (int64_t n, const uint8_t *restrict x, gan_real *restrict y) {
  for (int64_t i = 0; i < n; i++) y[i] = x[i];
}

static void from_int64 (int64_t n, const int64_t *restrict x, gan_real *restrict y) {
  for (int64_t i = 0; i < n; i++) y[i] = (gan_real)x[i];
}

/* ---- the table ---------------------------------------------------------------------------- */

#define UNARY_ENTRY(name, ...) .name = f_##name, .name##_grad = g_##name,
#define PLAIN_ENTRY(name, ...) .name = f_##name,
#define BINARY_ENTRY(name, ...) .name = b_##name,
#define TERNARY_ENTRY(name, ...) .name = t_##name,

const gan_pointwise_table GAN_TABLE(gan_pointwise) = {
  GAN_STEPPED(UNARY_ENTRY)
  GAN_ALGEBRAIC(UNARY_ENTRY)
  GAN_TRANSCENDENTAL(UNARY_ENTRY)
  GAN_ACTIVATIONS(UNARY_ENTRY)
  GAN_TRIG(UNARY_ENTRY)
  GAN_GELU(UNARY_ENTRY)
  GAN_PLAIN(PLAIN_ENTRY)
  GAN_POWERS(PLAIN_ENTRY)
  GAN_BINARY(BINARY_ENTRY)
  GAN_TERNARY(TERNARY_ENTRY)
  .from_uint8 = from_uint8, .from_int64 = from_int64
};
