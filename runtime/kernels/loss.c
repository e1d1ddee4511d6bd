/*
** loss.c - the loops of the table in loss.h.
*/
#include "lanes.h"
#include "loss.h"
#include "vmath.h"

#define EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)

/* NaN stays NaN */
GAN_INLINE gan_real sign (gan_real d) {
  return d > 0 ? R(1) : d < 0 ? R(-1) : d;
}

/* NaN stays NaN */
GAN_INLINE gan_real at_least (gan_real x, gan_real low) {
  return x < low ? low : x;
}

#define LOOP(fn, expr)                                                                        \
  static void fn (int64_t n, const gan_real *px, const gan_real *pt, const gan_real *pw,      \
                  gan_real p, gan_real *y) {                                                  \
    (void)pw, (void)p;                                                                        \
    EACH {                                                                                    \
      const gan_real x = px[i], t = pt[i], d = x - t;                                         \
      (void)d;                                                                                \
      y[i] = expr;                                                                            \
    }                                                                                         \
  }

#define w pw[i]
#define LOSS(name, value, slope) LOOP(value_##name, value) LOOP(slope_##name, slope)
GAN_LOSSES(LOSS)
#undef w

static void times (int64_t n, const gan_real *a, gan_real *y) {
  EACH y[i] *= a[i];
}

static void scale (int64_t n, gan_real k, gan_real *y) {
  EACH y[i] *= k;
}

#define RUN 64 /* vectors that one accumulator adds up before it goes into a double */

static double sum (int64_t n, const gan_real *x) {
  double total = 0;
  int64_t i = 0;
  while (i + 4 * GAN_LANES <= n) {
    gan_vec a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
    for (int k = 0; k < RUN && i + 4 * GAN_LANES <= n; k++, i += 4 * GAN_LANES) {
      a += gan_load(x + i);
      b += gan_load(x + i + GAN_LANES);
      c += gan_load(x + i + 2 * GAN_LANES);
      d += gan_load(x + i + 3 * GAN_LANES);
    }
    a = (a + b) + (c + d);
    for (int k = 0; k < GAN_LANES; k++) total += a[k];
  }
  for (; i < n; i++) total += x[i];
  return total;
}

static int64_t outside (int64_t n, const gan_real *x) {
  int bad = 0;
  EACH bad |= (x[i] < 0) | (x[i] > 1);
  for (int64_t i = 0; bad && i < n; i++)
    if (x[i] < 0 || x[i] > 1) return i;
  return -1;
}

static void class_grad (int64_t n, gan_real k, gan_real r, const gan_real *weight, gan_real *g) {
  if (r == 0) scale(n, k, g);
  else if (weight)
    EACH g[i] = k * g[i] - r * weight[i];
  else
    EACH g[i] = k * g[i] - r;
}

#define ROW(name, ...) { value_##name, slope_##name },

const gan_loss_table GAN_TABLE(gan_loss) = {
  GAN_LOSSES(ROW) times, scale, sum, outside, class_grad
};
