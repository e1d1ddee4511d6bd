/*
** pool.c - pooling on channels-last data: see pool.h.
*/
#include "pool.h"

#include "lanes.h"

enum { LANES = GAN_LANES };

static int64_t min64 (int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* ---- maximum ------------------------------------------------------------------------------- */

typedef int64_t long_vec __attribute__((vector_size(8 * GAN_LANES)));
typedef int64_t long_vec_at __attribute__((vector_size(8 * GAN_LANES), aligned(8), may_alias));

GAN_INLINE gan_vec choose (gan_ivec mask, gan_vec a, gan_vec b) {
  return (gan_vec)(((gan_ivec)a & mask) | ((gan_ivec)b & ~mask));
}

/* A value takes over when it is larger or the first NaN; so the first of equals stays. */
static void max_vector (const gan_pool_job *j, const gan_real *x, int64_t oy, int64_t ox,
                        gan_real *y, int64_t *index) {
  const int64_t h0 = j->h.first[oy], w0 = j->w.first[ox], nh = j->h.count[oy], nw = j->w.count[ox];
  const int64_t row = j->w.in * j->c;
  gan_vec best = gan_load(x + h0 * row + w0 * j->c);
  gan_ivec at = (gan_ivec){ 0 } + (gan_lane_int)(h0 * j->w.in + w0);
  for (int64_t a = 0; a < nh; a++)
    for (int64_t b = 0; b < nw; b++) {
      int64_t h = h0 + a * j->h.step, w = w0 + b * j->w.step;
      gan_vec v = gan_load(x + h * row + w * j->c);
      gan_ivec take = ~(v <= best) & (best == best);
      best = choose(take, v, best);
      at = (take & (gan_lane_int)(h * j->w.in + w)) | (~take & at);
    }
  gan_store(y, best);
  *(long_vec_at *)index = __builtin_convertvector(at, long_vec) + 1;
}

static void max_scalar (const gan_pool_job *j, const gan_real *x, int64_t oy, int64_t ox,
                        gan_real *y, int64_t *index) {
  const int64_t h0 = j->h.first[oy], w0 = j->w.first[ox], nh = j->h.count[oy], nw = j->w.count[ox];
  const int64_t row = j->w.in * j->c;
  gan_real best = x[h0 * row + w0 * j->c];
  int64_t at = h0 * j->w.in + w0;
  for (int64_t a = 0; a < nh; a++)
    for (int64_t b = 0; b < nw; b++) {
      int64_t h = h0 + a * j->h.step, w = w0 + b * j->w.step;
      gan_real v = x[h * row + w * j->c];
      if (!(v <= best) && best == best) {
        best = v;
        at = h * j->w.in + w;
      }
    }
  *y = best;
  *index = at + 1;
}

static void max (const gan_pool_job *j, int64_t lo, int64_t hi, int worker) {
  const int64_t image = j->h.in * j->w.in * j->c;
  (void)worker;
  for (int64_t r = lo; r < hi; r++) {
    const gan_real *x = j->src + r / j->h.out * image;
    for (int64_t ox = 0; ox < j->w.out; ox++) {
      int64_t to = (r * j->w.out + ox) * j->c, c = 0;
      for (; c + LANES <= j->c; c += LANES)
        max_vector(j, x + c, r % j->h.out, ox, j->dst + to + c, j->index_out + to + c);
      for (; c < j->c; c++)
        max_scalar(j, x + c, r % j->h.out, ox, j->dst + to + c, j->index_out + to + c);
    }
  }
}

/* ---- mean ---------------------------------------------------------------------------------- */

static gan_real divisor (const gan_pool_job *j, int64_t oy, int64_t ox) {
  return j->override != 0 ? j->override : j->h.divide[oy] * j->w.divide[ox];
}

static void mean (const gan_pool_job *j, int64_t lo, int64_t hi, int worker) {
  const int64_t row = j->w.in * j->c, image = j->h.in * row;
  (void)worker;
  for (int64_t r = lo; r < hi; r++)
    for (int64_t ox = 0; ox < j->w.out; ox++) {
      const int64_t oy = r % j->h.out, nh = j->h.count[oy], nw = j->w.count[ox];
      const gan_real *x = j->src + r / j->h.out * image + j->h.first[oy] * row
                          + j->w.first[ox] * j->c;
      const gan_real d = divisor(j, oy, ox);
      gan_real *y = j->dst + (r * j->w.out + ox) * j->c;
      int64_t c = 0;
      for (; c + LANES <= j->c; c += LANES) {
        gan_vec s = { 0 };
        for (int64_t a = 0; a < nh; a++)
          for (int64_t b = 0; b < nw; b++)
            s += gan_load(x + a * j->h.step * row + b * j->w.step * j->c + c);
        gan_store(y + c, s / d);
      }
      for (; c < j->c; c++) {
        gan_real s = 0;
        for (int64_t a = 0; a < nh; a++)
          for (int64_t b = 0; b < nw; b++) s += x[a * j->h.step * row + b * j->w.step * j->c + c];
        y[c] = s / d;
      }
    }
}

/* The channels c0 .. c1-1 of the plane at x set to zero. */
static void clear (const gan_pool_job *j, gan_real *x, int64_t c0, int64_t c1) {
  if (c0 == 0 && c1 == j->c) memset(x, 0, (size_t)(j->plane * j->c) * sizeof *x);
  else
    for (int64_t p = 0; p < j->plane; p++)
      memset(x + p * j->c + c0, 0, (size_t)(c1 - c0) * sizeof *x);
}

static void mean_adjoint (const gan_pool_job *j, int64_t lo, int64_t hi, int worker) {
  const int64_t row = j->w.in * j->c, blocks = (j->c + j->block - 1) / j->block;
  (void)worker;
  for (int64_t u = lo; u < hi; u++) {
    const int64_t n = u / blocks, c0 = u % blocks * j->block, c1 = min64(c0 + j->block, j->c);
    gan_real *image = j->dst + n * j->plane * j->c;
    clear(j, image, c0, c1);
    for (int64_t oy = 0; oy < j->h.out; oy++)
      for (int64_t ox = 0; ox < j->w.out; ox++) {
        const gan_real *g = j->src + ((n * j->h.out + oy) * j->w.out + ox) * j->c;
        const gan_real d = divisor(j, oy, ox);
        gan_real *x = image + j->h.first[oy] * row + j->w.first[ox] * j->c;
        for (int64_t a = 0; a < j->h.count[oy]; a++)
          for (int64_t b = 0; b < j->w.count[ox]; b++) {
            gan_real *to = x + a * j->h.step * row + b * j->w.step * j->c;
            for (int64_t c = c0; c < c1; c++) to[c] += g[c] / d;
          }
      }
  }
}

/* ---- by index ------------------------------------------------------------------------------ */

/* One unit: a block of channels of an image; `p` runs over the windows' side. */
#define EACH_UNIT(j, u, n, c0, c1)                                                               \
  const int64_t blocks = (j->c + j->block - 1) / j->block;                                       \
  for (int64_t u = lo; u < hi; u++)                                                              \
    for (int64_t n = u / blocks, c0 = u % blocks * j->block, c1 = min64(c0 + j->block, j->c),    \
         once = 1; once; once = 0)

static void scatter (const gan_pool_job *j, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  EACH_UNIT(j, u, n, c0, c1) {
    gan_real *d = j->dst + n * j->plane * j->c;
    clear(j, d, c0, c1);
    for (int64_t p = n * j->places; p < (n + 1) * j->places; p++)
      for (int64_t c = c0; c < c1; c++)
        d[(j->index[p * j->c + c] - 1) * j->c + c] += j->src[p * j->c + c];
  }
}

static void place (const gan_pool_job *j, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  EACH_UNIT(j, u, n, c0, c1) {
    gan_real *d = j->dst + n * j->plane * j->c;
    clear(j, d, c0, c1);
    for (int64_t p = n * j->places; p < (n + 1) * j->places; p++)
      for (int64_t c = c0; c < c1; c++)
        d[(j->index[p * j->c + c] - 1) * j->c + c] = j->src[p * j->c + c];
  }
}

static void gather (const gan_pool_job *j, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  EACH_UNIT(j, u, n, c0, c1) {
    const gan_real *s = j->src + n * j->plane * j->c;
    for (int64_t p = n * j->places; p < (n + 1) * j->places; p++)
      for (int64_t c = c0; c < c1; c++)
        j->dst[p * j->c + c] = s[(j->index[p * j->c + c] - 1) * j->c + c];
  }
}

static void gather_last (const gan_pool_job *j, int64_t lo, int64_t hi, int worker) {
  uint8_t *seen = j->seen + worker * j->plane * j->block;
  EACH_UNIT(j, u, n, c0, c1) {
    const gan_real *s = j->src + n * j->plane * j->c;
    memset(seen, 0, (size_t)(j->plane * j->block));
    for (int64_t p = (n + 1) * j->places - 1; p >= n * j->places; p--)
      for (int64_t c = c0; c < c1; c++) {
        int64_t at = j->index[p * j->c + c] - 1;
        uint8_t *mark = &seen[at * j->block + c - c0];
        j->dst[p * j->c + c] = *mark ? 0 : s[at * j->c + c];
        *mark = 1;
      }
  }
}

const gan_pool_table GAN_TABLE(gan_pool) = {
  max, mean, mean_adjoint, scatter, place, gather, gather_last
};
