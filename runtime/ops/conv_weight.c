/*
** conv_weight.c - plans the gradient of a convolution for its weight and runs it
** (kernels/conv_weight.c).
*/
#include <string.h>

#include "../kernels/conv.h"
#include "conv.h"

#define PLACES 96             /* gone through at a time: what a tile reads fits the first cache */
#define LEAST (48 * 1024)     /* elements of both sides gone through at a time: at least, */
#define MOST (192 * 1024)     /* at most; with as many fetched ahead they fit the second cache */
#define WORK_MIN (256 * 1024) /* multiplications worth a thread's while */
#define OWN_SUMS (128 * 1024)  /* elements of the sums of all threads together */
#define FEW 3                 /* up to this many channels: patches */

static int64_t min64 (int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t max64 (int64_t a, int64_t b) {
  return a > b ? a : b;
}

static int64_t ceil_div (int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* ---- copies of the sides ------------------------------------------------------------------- */

typedef struct {
  const gan_tensor *x;
  gan_real *d;
  int64_t h, w, groups, channels;
  int64_t lanes, block; /* 0: channels-last; otherwise V: blocks of whole vectors */
  const gan_conv_table *kernels;
} copy_job;

/* Channels v .. of a group in one row, padded with zeros to `cells`. */
static void copy_block (const copy_job *j, int64_t r, int64_t g, int64_t v, int64_t cells) {
  const gan_tensor *x = j->x;
  const int64_t n = min64(cells, j->channels - v), sh = x->ndim == 3 ? 0 : x->stride[2];
  const gan_real *s = gan_reals(x) + r / j->h * x->stride[0] + r % j->h * sh
                      + (g * j->channels + v) * x->stride[1];
  int64_t whole = ceil_div(j->channels, j->lanes) * j->lanes;
  gan_real *d = j->d + (g * whole + v) * x->shape[0] * j->h * j->w + r * j->w * cells;
  j->kernels->gather(d, cells, s, x->shape[1] == 1 ? 1 : x->stride[1], x->stride[x->ndim - 1], n,
                     j->w);
  for (int64_t k = 0; k < j->w && n < cells; k++)
    memset(d + k * cells + n, 0, (size_t)(cells - n) * sizeof *d);
}

static void copy_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const copy_job *j = ud;
  const gan_tensor *x = j->x;
  (void)worker;
  for (int64_t r = lo; r < hi; r++) {
    if (j->block == 0) {
      const gan_real *s = gan_reals(x) + r / j->h * x->stride[0]
                          + r % j->h * (x->ndim == 3 ? 0 : x->stride[2]);
      j->kernels->gather(j->d + r * j->w * x->shape[1], x->shape[1], s, x->stride[1],
                         x->stride[x->ndim - 1], x->shape[1], j->w);
      continue;
    }
    for (int64_t g = 0; g < j->groups; g++)
      for (int64_t v = 0; v < j->channels; v += j->block)
        copy_block(j, r, g, v, j->channels - v > j->lanes ? j->block : j->lanes);
  }
}

/* Side A (block == 0), in place if it is channels-last already; or side V, in place if besides it
   has whole vectors and its blocks would not be gone through often. */
static bool make_side (gan_ctx *c, gan_tensor *x, int64_t groups, int64_t lanes, int64_t block,
                       bool often, gan_conv_side *side) {
  int64_t h = x->ndim == 3 ? 1 : x->shape[2], w = x->shape[x->ndim - 1], n = x->shape[0];
  int64_t channels = x->shape[1] / groups;
  bool last = x->shape[1] == 1 ? gan_is_contiguous(x) : gan_is_channels_last(x);
  *side = (gan_conv_side){ gan_reals(x), channels, block, x->shape[1] };
  if (last && (!block || (channels % lanes == 0 && !(often && x->shape[1] > block)))) return true;
  int64_t padded = block ? ceil_div(channels, lanes) * lanes : channels;
  gan_tensor *d = gan_new(c, GAN_REAL, 4, (int64_t[]){ n, h, w, groups * padded });
  if (!d) return false;
  side->data = gan_reals(d);
  if (block) *side = (gan_conv_side){ gan_reals(d), padded * n * h * w, block * n * h * w, 0 };
  copy_job j = { x, gan_reals(d), h, w, groups, channels, lanes, block, GAN_KERNEL(gan_conv) };
  gan_parallel(n * h, 16384 / (w * groups * padded + 1) + 1, copy_rows, &j);
  return true;
}

/* ---- the plan ------------------------------------------------------------------------------ */

typedef struct {
  gan_conv_weight_job job;
  const gan_conv_weight_table *kernels;
  int64_t items, grain, units;
  double work; /* multiplications of the whole */
} plan;

/* In how many parts the rows are gone through. Every tap reads other pixels, so many small items
   come for free; where they are too few, and where the sums are so small that each thread can have
   its own, the rows are cut: threads that share the taps would each read all pixels. */
static int64_t parts_of (int64_t units, int64_t rows, int64_t sums) {
  int64_t threads = gan_threads(), parts = 1;
  if (threads > 1 && units < 4 * threads) parts = ceil_div(2 * threads, units);
  else if (sums * threads <= OWN_SUMS) parts = threads;
  return min64(parts, rows);
}

/* Vectors run along the side that wastes fewer lanes; with few channels of x, A is made of
   patches. */
static void make_plan (plan *p, const gan_conv_shape *s) {
  gan_conv_weight_job *j = &p->job;
  int64_t lanes = p->kernels->lanes, taps = s->kernel[0] * s->kernel[1];
  *j = (gan_conv_weight_job){
    .n = s->n, .groups = s->groups, .ci = s->ci, .co = s->co, .ih = s->large[0], .iw = s->large[1],
    .oh = s->small[0], .ow = s->small[1], .kh = s->kernel[0], .kw = s->kernel[1],
    .sh = s->stride[0], .sw = s->stride[1], .ph = s->padding[0], .pw = s->padding[1],
    .dh = s->dilation[0], .dw = s->dilation[1]
  };
  j->depth = s->groups > 1 && s->ci == 1 && s->co == 1;
  j->swapped = !j->depth && ceil_div(s->ci, lanes) * s->co < ceil_div(s->co, lanes) * s->ci;
  j->patches = !j->depth && !j->swapped && s->ci <= FEW && taps > 1;
  int64_t ac = j->swapped ? s->co : s->ci, vc = j->swapped ? s->ci : s->co;
  int64_t blocks = ceil_div(vc, p->kernels->block), rows = s->n * j->oh;
  int64_t units = j->depth ? taps : j->patches ? s->groups : s->groups * taps * blocks;
  if (j->patches) ac *= taps;
  int64_t whole = ceil_div(j->depth ? s->groups : vc, lanes) * lanes;
  j->sums_size = j->depth ? taps * whole : s->groups * whole * ac * (j->patches ? 1 : taps);
  j->parts = parts_of(units, rows, j->sums_size);
  j->span = ceil_div(rows, max64(j->parts, 1));
  j->parts = rows ? ceil_div(rows, j->span) : 1;
  int64_t line = s->large[1] * s->stride[0] * s->ci * s->groups + j->ow * s->co * s->groups;
  j->rows = max64(1, PLACES / j->ow);
  j->scratch_size = j->patches ? j->rows * j->ow * ac : 0;
  p->items = j->parts * units;
  double work = (double)rows * (double)j->ow * (double)(taps * s->groups) * (double)(s->ci * s->co);
  p->work = work;
  p->grain = (int64_t)(WORK_MIN / (work / (double)p->items + 1)) + 1;
  p->units = j->depth ? s->groups : s->groups * blocks * (j->patches ? s->ci : ac);
  /* the sums are read and written once for all these rows */
  j->far_rows = max64(j->rows, min64(MOST, max64(LEAST, j->sums_size)) / line);
}

static void run_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const plan *p = ud;
  p->kernels->run(&p->job, lo, hi, worker);
}

static void fold_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const plan *p = ud;
  (void)worker;
  p->kernels->fold(&p->job, lo, hi);
}

gan_tensor *gan_conv_weight_run (gan_ctx *c, const gan_conv_shape *s, gan_tensor *large,
                                 gan_tensor *small) {
  int64_t shape[4] = { s->groups * s->co, s->ci, s->nd == 1 ? s->kernel[1] : s->kernel[0],
                       s->kernel[1] };
  if (large->numel == 0 || small->numel == 0) return gan_new_zero(c, GAN_REAL, s->nd + 2, shape);
  gan_tensor *grad = gan_new(c, GAN_REAL, s->nd + 2, shape);
  if (!grad) return NULL;
  plan p = { .kernels = GAN_KERNEL(gan_conv_weight) };
  make_plan(&p, s);
  gan_conv_weight_job *j = &p.job;
  int64_t lanes = p.kernels->lanes, block = p.kernels->block;
  int64_t xblock = j->swapped ? block : 0, gblock = j->swapped || j->depth ? 0 : block;
  if (!make_side(c, large, s->groups, lanes, xblock, true, &j->x) ||
      !make_side(c, small, s->groups, lanes, gblock, !j->patches, &j->g))
    return NULL;
  gan_tensor *sums = gan_new(c, GAN_REAL, 2, (int64_t[]){ j->parts, j->sums_size });
  gan_tensor *scratch = gan_new(c, GAN_REAL, 2, (int64_t[]){ gan_threads(), j->scratch_size });
  if (!sums || !scratch) return NULL;
  j->sums = gan_reals(sums);
  j->grad = gan_reals(grad);
  j->scratch = gan_reals(scratch);
  gan_count_work(2 * p.work);
  gan_parallel(p.items, p.grain, run_range, &p);
  int64_t each = grad->numel / p.units + 1;
  gan_parallel(p.units, 16384 / each + 1, fold_range, &p);
  return grad;
}
