/*
** random.c - the generator of a context: Philox 4x32-10, counter-based.
**
** The state is a seed and a counter. A number depends on the seed, on the counter at which its
** tensor started and on its place in the tensor, so the thread count changes nothing, and a rank of
** a job finds its part of a tensor without the rest.
*/
#include <string.h>

#include "../kernels/random.h"
#include "core.h"

#define GRAIN 128 /* groups of 64 numbers */

uint64_t gan_rng_take (gan_rng *r, int64_t n) {
  uint64_t start = r->counter;
  uint64_t groups = ((uint64_t)n + GAN_RANDOM_GROUP - 1) / GAN_RANDOM_GROUP;
  r->counter += groups * GAN_RANDOM_BLOCKS;
  return start;
}

void gan_philox (uint64_t seed, uint64_t counter, uint32_t out[4]) {
  uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = 0, c3 = 0;
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int r = 0; r < 10; r++) {
    uint64_t p0 = (uint64_t)c0 * 0xD2511F53u, p1 = (uint64_t)c2 * 0xCD9E8D57u;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)p1;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

typedef struct {
  gan_random_fn *fn;
  uint64_t seed, counter;
  int64_t n;
  gan_real *y;
  double a, b;
} fill_job;

static void fill_groups (void *ud, int64_t lo, int64_t hi, int worker) {
  const fill_job *j = ud;
  (void)worker;
  int64_t end = hi * GAN_RANDOM_GROUP;
  j->fn(j->seed, j->counter, lo * GAN_RANDOM_GROUP, end < j->n ? end : j->n, j->y, j->a, j->b);
}

/* Numbers skip .. skip + n - 1 of the sequence that begins at a counter. */
static void fill_piece (gan_ctx *c, gan_random_fn *fn, uint64_t counter, int64_t skip, int64_t n,
                        gan_real *y, double a, double b) {
  int64_t head = skip % GAN_RANDOM_GROUP;
  counter += (uint64_t)(skip / GAN_RANDOM_GROUP) * GAN_RANDOM_BLOCKS;
  if (head) { /* it begins within a group */
    gan_real group[GAN_RANDOM_GROUP];
    int64_t k = GAN_RANDOM_GROUP - head < n ? GAN_RANDOM_GROUP - head : n;
    fn(c->rng.seed, counter, 0, GAN_RANDOM_GROUP, group, a, b);
    memcpy(y, group + head, (size_t)k * sizeof *y);
    y += k;
    n -= k;
    counter += GAN_RANDOM_BLOCKS;
  }
  if (n <= 0) return;
  fill_job j = { fn, c->rng.seed, counter, n, y, a, b };
  gan_parallel((n - 1) / GAN_RANDOM_GROUP + 1, GRAIN, fill_groups, &j);
}

gan_excerpt gan_excerpt_of (const gan_ctx *c, const gan_tensor *y) {
  const gan_share *s = &c->share;
  int64_t n = y->numel, rows = y->ndim ? y->shape[0] : 0, row = rows ? n / rows : 0;
  bool outermost = y->ndim && (rows == 1 || y->stride[0] == row);
  if (!c->ranks || s->rows < 1 || !n || !outermost || (rows != s->rows && rows != 2 * s->rows))
    return (gan_excerpt){ n, 1, n ? n : 1, 0, n };
  int64_t pieces = rows / s->rows;
  return (gan_excerpt){ pieces * s->total * row, pieces, s->rows * row, s->first * row,
                     s->total * row };
}

static void fill (gan_ctx *c, gan_random_fn *fn, gan_tensor *t, double a, double b) {
  gan_excerpt p = gan_excerpt_of(c, t);
  if (t->numel <= 0) return;
  uint64_t counter = gan_rng_take(&c->rng, p.whole);
  for (int64_t k = 0; k < p.pieces; k++)
    fill_piece(c, fn, counter, k * p.stride + p.skip, p.length, gan_reals(t) + k * p.length, a, b);
}

void gan_fill_uniform (gan_ctx *c, gan_tensor *y, double lo, double hi) {
  fill(c, GAN_KERNEL(gan_random)->uniform, y, lo, hi);
}

void gan_fill_normal (gan_ctx *c, gan_tensor *y, double mean, double std) {
  fill(c, GAN_KERNEL(gan_random)->normal, y, mean, std);
}

void gan_fill_mask (gan_ctx *c, gan_tensor *y, double p, double value) {
  fill(c, GAN_KERNEL(gan_random)->mask, y, p, value);
}
