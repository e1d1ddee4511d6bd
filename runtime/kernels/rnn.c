/*
** rnn.c - see rnn.h.
*/
#include "rnn.h"
#include "vmath.h"

static void lstm (int64_t rows, int64_t size, const gan_real *p, const gan_real *q,
                  const gan_real *c, gan_real *h1, gan_real *c1) {
  for (int64_t r = 0; r < rows; r++) {
    const gan_real *restrict a = p + r * 4 * size, *restrict b = q + r * 4 * size;
    const gan_real *restrict was = c + r * size;
    gan_real *restrict h = h1 + r * size, *restrict now = c1 + r * size;
    for (int64_t k = 0; k < size; k++) {
      gan_real i = vm_sigmoid(a[k] + b[k]), f = vm_sigmoid(a[k + size] + b[k + size]);
      gan_real g = vm_tanh(a[k + 2 * size] + b[k + 2 * size]);
      gan_real o = vm_sigmoid(a[k + 3 * size] + b[k + 3 * size]);
      gan_real x = f * was[k] + i * g;
      now[k] = x;
      h[k] = o * vm_tanh(x);
    }
  }
}

static void lstm_grad (int64_t rows, int64_t size, const gan_real *p, const gan_real *q,
                       const gan_real *c, const gan_real *gh, const gan_real *gc1,
                       gan_real *gpq, gan_real *gc) {
  for (int64_t r = 0; r < rows; r++) {
    const gan_real *restrict a = p + r * 4 * size, *restrict b = q + r * 4 * size;
    const gan_real *restrict was = c + r * size;
    const gan_real *restrict dh = gh ? gh + r * size : NULL;
    const gan_real *restrict dc = gc1 ? gc1 + r * size : NULL;
    gan_real *restrict to = gpq + r * 4 * size, *restrict back = gc ? gc + r * size : NULL;
    for (int64_t k = 0; k < size; k++) {
      gan_real i = vm_sigmoid(a[k] + b[k]), f = vm_sigmoid(a[k + size] + b[k + size]);
      gan_real g = vm_tanh(a[k + 2 * size] + b[k + 2 * size]);
      gan_real o = vm_sigmoid(a[k + 3 * size] + b[k + 3 * size]);
      gan_real t = vm_tanh(f * was[k] + i * g), d = dh ? dh[k] : 0;
      gan_real x = (dc ? dc[k] : 0) + d * o * (1 - t * t);
      to[k] = x * g * i * (1 - i);
      to[k + size] = x * was[k] * f * (1 - f);
      to[k + 2 * size] = x * i * (1 - g * g);
      to[k + 3 * size] = d * t * o * (1 - o);
      if (back) back[k] = x * f;
    }
  }
}

static void gru (int64_t rows, int64_t size, const gan_real *p, const gan_real *q,
                 const gan_real *h, gan_real *h1) {
  for (int64_t j = 0; j < rows; j++) {
    const gan_real *restrict a = p + j * 3 * size, *restrict b = q + j * 3 * size;
    const gan_real *restrict was = h + j * size;
    gan_real *restrict now = h1 + j * size;
    for (int64_t k = 0; k < size; k++) {
      gan_real r = vm_sigmoid(a[k] + b[k]), z = vm_sigmoid(a[k + size] + b[k + size]);
      gan_real n = vm_tanh(a[k + 2 * size] + r * b[k + 2 * size]);
      now[k] = n + z * (was[k] - n);
    }
  }
}

static void gru_grad (int64_t rows, int64_t size, const gan_real *p, const gan_real *q,
                      const gan_real *h, const gan_real *gh1, gan_real *gp, gan_real *gq,
                      gan_real *gh) {
  for (int64_t j = 0; j < rows; j++) {
    const gan_real *restrict a = p + j * 3 * size, *restrict b = q + j * 3 * size;
    const gan_real *restrict was = h + j * size, *restrict d = gh1 + j * size;
    gan_real *restrict ga = gp + j * 3 * size, *restrict gb = gq + j * 3 * size;
    gan_real *restrict back = gh ? gh + j * size : NULL;
    for (int64_t k = 0; k < size; k++) {
      gan_real r = vm_sigmoid(a[k] + b[k]), z = vm_sigmoid(a[k + size] + b[k + size]);
      gan_real n = vm_tanh(a[k + 2 * size] + r * b[k + 2 * size]);
      gan_real dn = d[k] * (1 - z) * (1 - n * n), dz = d[k] * (was[k] - n) * z * (1 - z);
      gan_real dr = dn * b[k + 2 * size] * r * (1 - r);
      ga[k] = gb[k] = dr;
      ga[k + size] = gb[k + size] = dz;
      ga[k + 2 * size] = dn;
      gb[k + 2 * size] = dn * r;
      if (back) back[k] = d[k] * z;
    }
  }
}

const gan_rnn_table GAN_TABLE(gan_rnn) = { lstm, lstm_grad, gru, gru_grad };
