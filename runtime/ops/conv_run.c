/*
** conv_run.c - plans a convolution or its adjoint for the kernels of kernels/conv.c and runs it.
*/
#include <string.h>

#include "conv.h"

#define COPY_MAX (128 * 1024)  /* elements of an item's copy of the source: cache of one core */
#define BATCH_MAX (512 * 1024) /* the same when a tile is one place of several images */
#define WORK_MIN (256 * 1024)  /* multiplications worth a thread's while */

static int64_t min64 (int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t max64 (int64_t a, int64_t b) {
  return a > b ? a : b;
}

static int64_t ceil_div (int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* ---- axes --------------------------------------------------------------------------------- */

static int64_t gcd (int64_t a, int64_t b) {
  while (b) {
    int64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

static int64_t classes (const gan_conv_shape *s, bool adjoint, int d) {
  return adjoint ? min64(s->stride[d], s->large[d]) : 1;
}

/* Tables go to t (3 * classes entries), places of the kernel's taps to pos[kernel]. */
static gan_conv_axis make_axis (const gan_conv_shape *s, bool adjoint, int d, int64_t *t,
                                int64_t *pos) {
  int64_t k = s->kernel[d], st = s->stride[d], di = s->dilation[d], n = classes(s, adjoint, d);
  int64_t *first = t, *tap0 = t + n, *ntap = t + 2 * n;
  gan_conv_axis ax = { .first = first, .tap0 = tap0, .ntap = ntap };
  if (!adjoint) {
    ax.out = s->small[d];
    ax.in = s->large[d];
    ax.period = 1;
    ax.advance = st;
    ax.step = di;
    ax.taps = k;
    first[0] = -s->padding[d];
    tap0[0] = 0;
    ntap[0] = k;
    for (int64_t i = 0; i < k; i++) pos[i] = i;
    return ax;
  }
  ax.out = s->large[d];
  ax.in = s->small[d];
  ax.period = st;
  ax.advance = 1;
  ax.step = di / gcd(st, di);
  for (int64_t i = 0; i < k; i++) pos[i] = -1;
  for (int64_t q = 0; q < n; q++) {
    /* place q belongs to the taps i with (q + padding - i * dilation) divisible by the stride */
    first[q] = 0;
    tap0[q] = ax.taps;
    for (int64_t i = k - 1; i >= 0; i--) {
      int64_t at = q + s->padding[d] - i * di;
      if (at % st) continue;
      if (ax.taps == tap0[q]) first[q] = at / st;
      pos[i] = ax.taps++;
    }
    ntap[q] = ax.taps - tap0[q];
  }
  return ax;
}

/* ---- the job ------------------------------------------------------------------------------ */

typedef gan_conv_plan plan;

/* Zero columns that the rows of a copy need, and the pitch of its pixels. */
static void plan_row (plan *p, int64_t *right) {
  gan_conv_job *j = &p->job;
  const gan_conv_axis *w = &j->w;
  int64_t n = min64(w->period, w->out), line = 64 / (int64_t)sizeof(gan_real);
  *right = 0;
  for (int64_t q = 0; q < n; q++) {
    if (w->ntap[q] == 0) continue;
    int64_t places = (w->out - q - 1) / w->period;
    int64_t last = w->first[q] + places * w->advance + (w->ntap[q] - 1) * w->step;
    j->left = max64(j->left, -w->first[q]);
    *right = max64(*right, last - (w->in - 1));
  }
  /* places of a tile a multiple of 2 KiB apart would compete for the same lines of the cache */
  bool clash = j->ic >= line && w->advance * j->ic * (int64_t)sizeof(gan_real) % 2048 == 0;
  j->pitch = clash ? j->ic + line : j->ic;
  j->width = j->left + w->in + *right;
}

/* One place of several images as a tile: exact at the borders, and full tiles for small images. */
static void plan_images (plan *p) {
  gan_conv_job *j = &p->job;
  int64_t line = 64 / (int64_t)sizeof(gan_real), threads = p->threads;
  j->batched = true;
  j->pitch = j->ic;
  int64_t size = j->h.in * j->w.in * j->ic;
  j->image = size < line ? size : ceil_div(size, line) * line;
  if (j->image / line % 2 == 0) j->image += line; /* an odd number of lines: no clashes */
  int64_t tiles = ceil_div(j->n, p->kernels->tile);
  tiles = max64(tiles, ceil_div(j->image * j->n, BATCH_MAX));
  j->chunk = ceil_div(j->n, ceil_div(tiles, threads) * threads);
  j->direct = j->groups == 1 && j->sc == 1 &&
              (j->sn * (int64_t)sizeof(gan_real) % 2048 != 0 || j->chunk < 4);
  j->scratch_size = j->direct ? 0 : j->chunk * j->image;
}

static void plan_rows (plan *p, const gan_conv_shape *s, bool adjoint) {
  gan_conv_job *j = &p->job;
  int64_t right, units = j->n * j->groups, threads = p->threads;
  plan_row(p, &right);
  j->direct = j->groups == 1 && j->sc == 1 && j->left == 0 && right == 0 && j->pitch == j->ic;
  int64_t line = j->width * j->pitch;
  j->chunks = j->direct ? 1 : ceil_div(j->h.in * line + 1, COPY_MAX);
  if (threads > 1 && units % threads) j->chunks = max64(j->chunks, ceil_div(2 * threads, units));
  j->chunk = ceil_div(j->h.out, min64(j->chunks, j->h.out));
  j->chunks = ceil_div(j->h.out, j->chunk);
  /* source rows under `chunk` rows of the destination, at most */
  int64_t span = (s->kernel[0] - 1) * s->dilation[0];
  span = adjoint ? (j->chunk - 1 + span) / s->stride[0] + 1
                 : (j->chunk - 1) * s->stride[0] + span + 1;
  j->scratch_size = j->direct ? 0 : min64(span, j->h.in) * line;
}

static gan_conv_kind choose_kind (const plan *p) {
  const gan_conv_job *j = &p->job;
  if (j->groups > 1 && j->ic == 1 && j->oc == 1) return GAN_CONV_DEPTH;
  int64_t run = j->w.step == 1 ? j->ic * max64(j->w.ntap[0], 1) : j->ic;
  return j->oc <= p->kernels->few && run >= p->kernels->lanes ? GAN_CONV_DOT : GAN_CONV_OUTER;
}

/* A kernel of one place, stride 1: the image is one long row. */
static void flatten (plan *p) {
  gan_conv_job *j = &p->job;
  if (j->h.taps != 1 || j->w.taps != 1 || j->h.first[0] || j->w.first[0] || j->h.advance != 1 ||
      j->w.advance != 1 || j->h.in != j->h.out || j->w.in != j->w.out || j->h.period != 1 ||
      j->w.period != 1 || j->sh != j->w.in * j->sw || j->dh != j->w.out * j->dw)
    return;
  j->w.in *= j->h.in;
  j->w.out *= j->h.out;
  j->h.in = j->h.out = 1;
  j->dh = j->dn; /* the one row is the whole image */
}

/* Items of the job's images. */
static int64_t items (const gan_conv_job *j) {
  return j->groups * (j->batched ? ceil_div(j->n, j->chunk) : j->n * j->chunks);
}

static void make_plan (plan *p, const gan_conv_shape *s, bool adjoint, const gan_tensor *src) {
  gan_conv_job *j = &p->job;
  int w = s->nd + 1;
  j->n = s->n;
  j->groups = s->groups;
  j->ic = adjoint ? s->co : s->ci;
  j->oc = adjoint ? s->ci : s->co;
  j->sn = src->stride[0];
  j->sc = src->shape[1] == 1 ? 1 : src->stride[1];
  j->sh = s->nd == 1 ? 0 : src->stride[2];
  j->sw = src->stride[w];
  j->dw = j->oc * s->groups;
  j->dh = j->dw * j->w.out;
  j->dn = j->dh * j->h.out;
  p->work = (double)j->dn * (double)(j->ic * s->kernel[0] * s->kernel[1]);
  if (adjoint) p->work /= (double)(s->stride[0] * s->stride[1]);
  j->kind = choose_kind(p);
  if (j->kind == GAN_CONV_DEPTH) {
    j->ic = j->oc = s->groups;
    j->groups = 1;
  }
  flatten(p);
  int64_t row = ceil_div(j->w.out, j->w.period); /* places that a tile of a row could take */
  int64_t full = j->kind == GAN_CONV_OUTER ? p->kernels->tile : 4;
  if (row < full && j->n > row && j->h.in * j->w.in * j->ic * min64(j->n, full) <= BATCH_MAX)
    plan_images(p);
  else plan_rows(p, s, adjoint);
  p->grain = (int64_t)(WORK_MIN / (p->work * (double)j->n / (double)items(j) + 1)) + 1;
}

/* ---- weight and bias ---------------------------------------------------------------------- */

static void pack_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const plan *p = ud;
  (void)worker;
  p->kernels->pack(&p->pack, lo, hi);
}

static void pack_bias (const plan *p, const gan_tensor *bias, gan_real *d) {
  const gan_conv_job *j = &p->job;
  int64_t lanes = p->kernels->lanes;
  int64_t size = j->kind == GAN_CONV_OUTER ? ceil_div(j->oc, lanes) * lanes : j->oc;
  for (int64_t g = 0; g < j->groups; g++)
    for (int64_t v = 0; v < size; v++)
      d[g * size + v] = bias && v < j->oc ? gan_reals(bias)[(g * j->oc + v) * bias->stride[0]] : 0;
}

/* Packs both into new tensors that the job points to. */
static bool pack_weight (gan_ctx *c, plan *p, const gan_conv_shape *s, bool adjoint,
                         gan_tensor *weight, const gan_tensor *bias, const int64_t *pos) {
  gan_conv_job *j = &p->job;
  gan_conv_pack *k = &p->pack;
  int64_t lanes = p->kernels->lanes, blocks = ceil_div(j->oc, p->kernels->block);
  k->kind = j->kind;
  k->groups = j->groups;
  k->ic = j->ic;
  k->oc = j->oc;
  k->ktaps = s->kernel[0] * s->kernel[1];
  k->taps = j->h.taps * j->w.taps;
  k->pos = pos;
  k->gs = s->co * s->ci * k->ktaps;
  k->vs = adjoint ? k->ktaps : s->ci * k->ktaps;
  k->cs = adjoint ? s->ci * k->ktaps : k->ktaps;
  k->runs = adjoint ? j->ic : 1;
  k->run = adjoint ? k->ktaps : j->ic * k->ktaps;
  bool outer = j->kind == GAN_CONV_OUTER, deep = j->kind == GAN_CONV_DEPTH;
  if (deep) k->vs = k->ktaps;
  int64_t size = outer ? ceil_div(j->oc, lanes) * lanes : j->oc;
  gan_tensor *w = gan_dense(c, weight);
  int64_t shape[4] = { j->groups, size, k->taps, deep ? 1 : j->ic };
  gan_tensor *to = gan_new(c, GAN_REAL, 4, shape);
  gan_tensor *b = gan_new(c, GAN_REAL, 2, (int64_t[]){ j->groups, size });
  if (!w || !to || !b) return false;
  k->weight = gan_reals(w);
  j->weight = k->packed = gan_reals(to);
  j->bias = gan_reals(b);
  pack_bias(p, bias, gan_reals(b));
  int64_t units = j->groups * j->oc;
  if (outer) units = j->groups * blocks * k->runs * ceil_div(k->run, lanes);
  if (units) gan_parallel(units, 16384 / (to->numel / units + 1) + 1, pack_range, p);
  return true;
}

/* ---- running ------------------------------------------------------------------------------ */

/* The part of the result that an item makes, when there is one group: rows of an image, or whole
   images. Its activation is applied while it is in the cache. */
static void activate_item (const plan *p, int64_t item) {
  const gan_conv_job *j = &p->job;
  gan_real *y = j->dst;
  int64_t n;
  if (j->batched) {
    y += item * j->chunk * j->dn;
    n = min64(j->chunk, j->n - item * j->chunk) * j->dn;
  } else {
    int64_t row = item % j->chunks * j->chunk;
    y += item / j->chunks * j->dn + row * j->dh;
    n = (min64(row + j->chunk, j->h.out) - row) * j->dh;
  }
  gan_activate(p->e.f, (gan_real)p->e.slope, n, y);
}

static void run_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const plan *p = ud;
  bool inside = p->e.f != GAN_ACT_NONE && p->job.groups == 1;
  if (!inside) p->kernels->run(&p->job, lo, hi, worker);
  for (int64_t item = lo; inside && item < hi; item++) {
    p->kernels->run(&p->job, item, item + 1, worker);
    activate_item(p, item);
  }
}

static void activate_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const plan *p = ud;
  (void)worker;
  gan_activate(p->e.f, (gan_real)p->e.slope, hi - lo, p->job.dst + lo);
}

/* For the images of s, laid out as those of src. */
static bool begin (gan_ctx *c, const gan_conv_shape *s, bool adjoint, const gan_tensor *src,
                   gan_tensor *weight, gan_tensor *bias, plan *p) {
  int64_t ch = classes(s, adjoint, 0), cw = classes(s, adjoint, 1);
  int64_t kh = s->kernel[0], kw = s->kernel[1], entries = 3 * (ch + cw) + kh + kw + kh * kw;
  gan_tensor *table = gan_new(c, GAN_INT64, 1, &entries);
  if (!table) return false;
  int64_t *t = gan_ints(table), *ph = t + 3 * (ch + cw), *pw = ph + kh, *pos = pw + kw;
  p->kernels = GAN_KERNEL(gan_conv);
  p->job.h = make_axis(s, adjoint, 0, t, ph);
  p->job.w = make_axis(s, adjoint, 1, t + 3 * ch, pw);
  for (int64_t i = 0; i < kh * kw; i++) {
    int64_t a = ph[i / kw], b = pw[i % kw];
    pos[i] = a < 0 || b < 0 ? -1 : a * p->job.w.taps + b;
  }
  make_plan(p, s, adjoint, src);
  if (!pack_weight(c, p, s, adjoint, weight, bias, pos)) return false;
  gan_tensor *scratch = gan_new(c, GAN_REAL, 2, (int64_t[]){ gan_threads(), p->job.scratch_size });
  if (!scratch) return false;
  p->job.scratch = gan_reals(scratch);
  return true;
}

gan_tensor *gan_conv_run (gan_ctx *c, const gan_conv_shape *s, bool adjoint, gan_tensor *src,
                          gan_tensor *weight, gan_tensor *bias, gan_epilogue e) {
  int64_t channels = s->groups * (adjoint ? s->ci : s->co);
  const int64_t *size = adjoint ? s->large : s->small;
  gan_tensor *dst = gan_new_channels_last(c, GAN_REAL, s->nd, s->n, channels, size);
  if (!dst || dst->numel == 0) return dst;
  plan p = { .threads = gan_threads(), .e = e };
  if (!begin(c, s, adjoint, src, weight, bias, &p)) return NULL;
  p.job.src = gan_reals(src);
  p.job.dst = gan_reals(dst);
  gan_count_work(2 * p.work * (double)s->n);
  gan_parallel(items(&p.job), p.grain, run_range, &p);
  if (e.f != GAN_ACT_NONE && p.job.groups > 1) /* otherwise run_range has done it */
    gan_parallel(dst->numel, 16384, activate_range, &p);
  return dst;
}

bool gan_conv_begin (gan_ctx *c, const gan_conv_shape *s, bool adjoint, const gan_tensor *src,
                     gan_tensor *weight, gan_conv_plan *p) {
  *p = (plan){ .threads = 1, .e = { GAN_ACT_NONE, 0 } };
  return begin(c, s, adjoint, src, weight, NULL, p);
}

void gan_conv_images (const gan_conv_plan *p, int worker, int64_t n, const gan_real *src,
                      gan_real *dst) {
  gan_conv_job j = p->job;
  j.n = n;
  j.src = src;
  j.dst = dst;
  p->kernels->run(&j, 0, items(&j), worker);
}
