/*
** resize.c - nearest and linear resampling on channels-last data: see resize.h.
*/
#include "resize.h"

#include <string.h>

static void nearest (const gan_resize_job *j, int64_t lo, int64_t hi, int worker) {
  const int64_t c = j->c, row = j->w.in * c;
  (void)worker;
  for (int64_t r = lo; r < hi; r++) {
    const gan_real *x = j->src + (r / j->h.out * j->h.in + j->h.near[r % j->h.out]) * row;
    gan_real *y = j->dst + r * j->w.out * c;
    if (c == 1)
      for (int64_t o = 0; o < j->w.out; o++) y[o] = x[j->w.near[o]];
    else
      for (int64_t o = 0; o < j->w.out; o++)
        memcpy(y + o * c, x + j->w.near[o] * c, (size_t)c * sizeof *y);
  }
}

static void linear (const gan_resize_job *j, int64_t lo, int64_t hi, int worker) {
  const int64_t c = j->c, row = j->w.in * c;
  (void)worker;
  for (int64_t r = lo; r < hi; r++) {
    const gan_real *x = j->src + r / j->h.out * j->h.in * row;
    const gan_real *x0 = x + j->h.near[r % j->h.out] * row, *x1 = x + j->h.far[r % j->h.out] * row;
    const gan_real h1 = j->h.far_share[r % j->h.out], h0 = 1 - h1;
    for (int64_t o = 0; o < j->w.out; o++) {
      const int64_t a = j->w.near[o] * c, b = j->w.far[o] * c;
      const gan_real w1 = j->w.far_share[o], w0 = 1 - w1;
      gan_real *y = j->dst + (r * j->w.out + o) * c;
      for (int64_t k = 0; k < c; k++)
        y[k] = h0 * (w0 * x0[a + k] + w1 * x0[b + k]) + h1 * (w0 * x1[a + k] + w1 * x1[b + k]);
    }
  }
}

/* Image and channels of unit u; the channels of the image set to zero. */
static gan_real *start_unit (const gan_resize_job *j, int64_t u, int64_t *n, int64_t *c0,
                             int64_t *c1) {
  const int64_t blocks = (j->c + j->block - 1) / j->block, plane = j->h.in * j->w.in;
  *n = u / blocks;
  *c0 = u % blocks * j->block;
  *c1 = *c0 + j->block < j->c ? *c0 + j->block : j->c;
  gan_real *d = j->dst + *n * plane * j->c;
  for (int64_t p = 0; p < plane; p++)
    memset(d + p * j->c + *c0, 0, (size_t)(*c1 - *c0) * sizeof *d);
  return d;
}

static void nearest_adjoint (const gan_resize_job *j, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  for (int64_t u = lo; u < hi; u++) {
    int64_t n, c0, c1;
    gan_real *d = start_unit(j, u, &n, &c0, &c1);
    for (int64_t oy = 0; oy < j->h.out; oy++)
      for (int64_t ox = 0; ox < j->w.out; ox++) {
        const gan_real *g = j->src + ((n * j->h.out + oy) * j->w.out + ox) * j->c;
        gan_real *to = d + (j->h.near[oy] * j->w.in + j->w.near[ox]) * j->c;
        for (int64_t k = c0; k < c1; k++) to[k] += g[k];
      }
  }
}

static void linear_adjoint (const gan_resize_job *j, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  for (int64_t u = lo; u < hi; u++) {
    int64_t n, c0, c1;
    gan_real *d = start_unit(j, u, &n, &c0, &c1);
    for (int64_t oy = 0; oy < j->h.out; oy++)
      for (int64_t ox = 0; ox < j->w.out; ox++) {
        const gan_real *g = j->src + ((n * j->h.out + oy) * j->w.out + ox) * j->c;
        const gan_real h1 = j->h.far_share[oy], h0 = 1 - h1, w1 = j->w.far_share[ox], w0 = 1 - w1;
        const int64_t rows[2] = { j->h.near[oy], j->h.far[oy] };
        const int64_t columns[2] = { j->w.near[ox], j->w.far[ox] };
        const gan_real share[4] = { h0 * w0, h0 * w1, h1 * w0, h1 * w1 };
        for (int q = 0; q < 4; q++) {
          gan_real *to = d + (rows[q / 2] * j->w.in + columns[q % 2]) * j->c;
          for (int64_t k = c0; k < c1; k++) to[k] += share[q] * g[k];
        }
      }
  }
}

const gan_resize_table GAN_TABLE(gan_resize) = { nearest, linear, nearest_adjoint, linear_adjoint };
