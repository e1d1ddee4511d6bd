/*
** conv_weight.c - plans the gradient of a convolution for its weight and runs it
** (kernels/conv_weight.c).
*/
#include <string.h>

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

typedef gan_conv_copy copy_job;

/* Channels v .. of a group in one row, padded with zeros to `cells`. */
static void copy_block (const copy_job *j, int64_t r, int64_t g, int64_t v, int64_t cells) {
  const gan_tensor *x = j->like;
  const int64_t n = min64(cells, j->channels - v), sh = x->ndim == 3 ? 0 : x->stride[2];
  const gan_real *s = j->from + r / j->h * x->stride[0] + r % j->h * sh
                      + (g * j->channels + v) * x->stride[1];
  int64_t whole = ceil_div(j->channels, j->lanes) * j->lanes;
  gan_real *d = j->d + (g * whole + v) * j->n * j->h * j->w + r * j->w * cells;
  j->kernels->gather(d, cells, s, x->shape[1] == 1 ? 1 : x->stride[1], x->stride[x->ndim - 1], n,
                     j->w);
  for (int64_t k = 0; k < j->w && n < cells; k++)
    memset(d + k * cells + n, 0, (size_t)(cells - n) * sizeof *d);
}

static void copy_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const copy_job *j = ud;
  const gan_tensor *x = j->like;
  (void)worker;
  for (int64_t r = lo; r < hi; r++) {
    if (j->block == 0) {
      const gan_real *s = j->from + r / j->h * x->stride[0]
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
   has whole vectors and its blocks would not be gone through often. Otherwise memory for `copies`
   copies of n images. */
static bool make_side (gan_ctx *c, const gan_tensor *x, int64_t n, int64_t copies, copy_job *copy,
                       bool often, gan_conv_side *side) {
  int64_t h = x->ndim == 3 ? 1 : x->shape[2], w = x->shape[x->ndim - 1];
  int64_t channels = x->shape[1] / copy->groups, block = copy->block, lanes = copy->lanes;
  bool last = x->shape[1] == 1 ? gan_is_contiguous(x) : gan_is_channels_last(x);
  *side = (gan_conv_side){ NULL, channels, block, x->shape[1] };
  if (last && (!block || (channels % lanes == 0 && !(often && x->shape[1] > block)))) return true;
  int64_t padded = block ? ceil_div(channels, lanes) * lanes : channels;
  int64_t size = n * h * w * copy->groups * padded;
  gan_tensor *d = gan_new(c, GAN_REAL, 2, (int64_t[]){ copies, size });
  if (!d) return false;
  *copy = (copy_job){ x, NULL, gan_reals(d), size, n, h, w, copy->groups, channels, lanes, block,
                      GAN_KERNEL(gan_conv) };
  if (block) *side = (gan_conv_side){ NULL, padded * n * h * w, block * n * h * w, 0 };
  return true;
}

/* The images of a side at `from`, where the kernel reads them: copied by all threads together. */
static const gan_real *whole_side (copy_job *j, const gan_real *from) {
  if (!j->d) return from;
  j->from = from;
  gan_parallel(j->n * j->h, 16384 / (j->size / (j->n * j->h) + 1) + 1, copy_rows, j);
  return j->d;
}

/* The same for n images of a thread. */
static const gan_real *own_side (copy_job j, int worker, int64_t n, const gan_real *from) {
  if (!j.d) return from;
  j.from = from;
  j.d += worker * j.size;
  copy_rows(&j, 0, n * j.h, worker);
  return j.d;
}

/* ---- the plan ------------------------------------------------------------------------------ */

typedef gan_conv_weight_plan plan;

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
static void make_plan (plan *p, const gan_conv_shape *s, bool alone) {
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
  j->parts = alone ? 1 : parts_of(units, rows, j->sums_size);
  j->span = ceil_div(rows, max64(j->parts, 1));
  j->parts = rows ? ceil_div(rows, j->span) : 1;
  int64_t line = s->large[1] * s->stride[0] * s->ci * s->groups + j->ow * s->co * s->groups;
  j->rows = max64(1, PLACES / j->ow);
  j->scratch_size = j->patches ? j->rows * j->ow * ac : 0;
  p->units = units;
  p->work = (double)(j->oh * j->ow) * (double)(taps * s->groups) * (double)(s->ci * s->co);
  p->folds = j->depth ? s->groups : s->groups * blocks * (j->patches ? s->ci : ac);
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

/* Plan and memory: for all images (copies 1), or as many threads with s->n images each. */
static gan_tensor *begin (gan_ctx *c, const gan_conv_shape *s, int64_t copies, bool alone,
                          const gan_tensor *large, const gan_tensor *small, plan *p) {
  int64_t shape[4] = { s->groups * s->co, s->ci, s->nd == 1 ? s->kernel[1] : s->kernel[0],
                       s->kernel[1] };
  gan_tensor *grad = gan_new(c, GAN_REAL, s->nd + 2, shape);
  if (!grad) return NULL;
  *p = (plan){ .kernels = GAN_KERNEL(gan_conv_weight) };
  make_plan(p, s, alone);
  gan_conv_weight_job *j = &p->job;
  int64_t lanes = p->kernels->lanes, block = p->kernels->block;
  p->large = (copy_job){ .groups = s->groups, .lanes = lanes, .block = j->swapped ? block : 0 };
  p->small = p->large;
  p->small.block = j->swapped || j->depth ? 0 : block;
  if (!make_side(c, large, s->n, copies, &p->large, true, &j->x) ||
      !make_side(c, small, s->n, copies, &p->small, !j->patches, &j->g))
    return NULL;
  gan_tensor *sums = gan_new(c, GAN_REAL, 2, (int64_t[]){ copies * j->parts, j->sums_size });
  gan_tensor *scratch = gan_new(c, GAN_REAL, 2, (int64_t[]){ gan_threads(), j->scratch_size });
  if (!sums || !scratch) return NULL;
  j->sums = gan_reals(sums);
  j->grad = gan_reals(grad);
  j->scratch = gan_reals(scratch);
  return grad;
}

void gan_conv_weight_end (gan_conv_weight_plan *p) {
  const gan_conv_weight_job *j = &p->job;
  int64_t numel = j->groups * j->co * j->ci * j->kh * j->kw;
  gan_parallel(p->folds, 16384 / (numel / p->folds + 1) + 1, fold_range, p);
}

gan_tensor *gan_conv_weight_run (gan_ctx *c, const gan_conv_shape *s, gan_tensor *large,
                                 gan_tensor *small) {
  int64_t shape[4] = { s->groups * s->co, s->ci, s->nd == 1 ? s->kernel[1] : s->kernel[0],
                       s->kernel[1] };
  if (large->numel == 0 || small->numel == 0) return gan_new_zero(c, GAN_REAL, s->nd + 2, shape);
  plan p;
  gan_tensor *grad = begin(c, s, 1, false, large, small, &p);
  if (!grad) return NULL;
  p.job.x.data = whole_side(&p.large, gan_reals(large));
  p.job.g.data = whole_side(&p.small, gan_reals(small));
  int64_t items = p.job.parts * p.units;
  double work = p.work * (double)s->n;
  gan_count_work(2 * work);
  gan_parallel(items, (int64_t)(WORK_MIN / (work / (double)items + 1)) + 1, run_range, &p);
  gan_conv_weight_end(&p);
  return grad;
}

/* ---- threads by themselves ----------------------------------------------------------------- */

bool gan_conv_weight_alone (const gan_conv_shape *s) {
  plan p = { .kernels = GAN_KERNEL(gan_conv_weight) };
  make_plan(&p, s, true);
  return p.job.patches && p.job.sums_size * gan_threads() <= OWN_SUMS;
}

gan_tensor *gan_conv_weight_begin (gan_ctx *c, const gan_conv_shape *s, const gan_tensor *large,
                                   const gan_tensor *small, gan_conv_weight_plan *p) {
  gan_tensor *grad = begin(c, s, gan_threads(), true, large, small, p);
  if (grad) p->job.parts = gan_threads();
  return grad;
}

void gan_conv_weight_images (const gan_conv_weight_plan *p, int64_t part, bool more, int worker,
                             int64_t n, const gan_real *large, const gan_real *small) {
  gan_conv_weight_job j = p->job;
  j.n = n;
  j.parts = 1;
  j.span = n * j.oh;
  j.more = more;
  j.sums += part * j.sums_size;
  j.x.data = own_side(p->large, worker, n, large);
  j.g.data = own_side(p->small, worker, n, small);
  p->kernels->run(&j, 0, p->units, worker);
}
