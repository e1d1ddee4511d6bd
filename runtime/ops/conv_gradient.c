/*
** conv_gradient.c - all first-order gradients of a convolution in one pass over its images.
**
** The gradients through the activation, for the bias, the weight and the input would each go
** through the whole batch. Here every thread takes a share of the images, some of them at a time
** that stay in its second cache, and does all four for these before it takes the next ones. The
** gradient before the activation exists for these images alone. Threads meet once, at the end.
** It is for layers with an activation or a bias whose weight has few channels on the large side,
** or needs no gradient: others gained nothing.
*/
#include <string.h>

#include "../kernels/reduce.h"
#include "conv.h"

#define SIDES (256 * 1024)        /* elements of all that a thread goes through at a time */
#define PIECE 4096            /* elements still in the first cache when they are added up */
#define WORK_MIN (128 * 1024) /* multiplications of a share worth a thread's while */

typedef struct {
  gan_conv_shape s; /* of all images */
  gan_epilogue e;
  bool transposed, input, weight, bias;
  int64_t parts, images; /* shares; images at a time */
  int64_t channels, places; /* of an image of the result */
  const gan_tensor *x, *y, *gy;
  gan_real *gz;      /* parts x images, or NULL: there is no activation, gy is the gradient */
  double *sums;      /* parts x channels, for the bias */
  gan_tensor *gx;
  gan_conv_plan to_input;
  gan_conv_weight_plan to_weight;
} pass;

static int64_t min64 (int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t ceil_div (int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/* ---- through the activation, and the bias --------------------------------------------------- */

static void add_rows (const pass *p, int64_t rows, const gan_real *g, double *sums) {
  const gan_reduce_table *k = GAN_KERNEL(gan_reduce);
  double sum[GAN_REDUCE_COLS];
  if (p->channels == 1) {
    *sums += k->row[GAN_REDUCE_SUM](rows, g, 0);
    return;
  }
  for (int64_t c = 0; c < p->channels; c += GAN_REDUCE_COLS) {
    int64_t n = min64(p->channels - c, GAN_REDUCE_COLS);
    k->col[GAN_REDUCE_SUM](rows, n, p->channels, g + c, NULL, sum);
    for (int64_t i = 0; i < n; i++) sums[c + i] += sum[i];
  }
}

/* n images from y and gy; gz NULL: gy is the gradient before the activation. */
static void before (const pass *p, int64_t n, const gan_real *y, const gan_real *gy, gan_real *gz,
                    double *sums) {
  const int64_t size = p->channels * p->places, step = size < PIECE ? PIECE / size : 1;
  for (int64_t i = 0; i < n; i += step) {
    const int64_t count = min64(step, n - i), at = i * size;
    if (gz)
      gan_activate_grad(p->e.f, (gan_real)p->e.slope, count * size, y + at, gy + at, gz + at);
    if (sums) add_rows(p, count * p->places, (gz ? gz : gy) + at, sums);
  }
}

static gan_tensor *bias_gradient (gan_ctx *c, const pass *p) {
  gan_tensor *g = gan_new(c, GAN_REAL, 1, &p->channels);
  for (int64_t k = 0; g && k < p->channels; k++) {
    double sum = 0;
    for (int64_t t = 0; t < p->parts; t++) sum += p->sums[t * p->channels + k];
    gan_reals(g)[k] = (gan_real)sum;
  }
  return g;
}

/* ---- shares --------------------------------------------------------------------------------- */

static void some_images (const pass *p, int64_t part, bool more, int worker, int64_t at,
                         int64_t n) {
  const gan_real *g = gan_reals(p->gy) + at * p->gy->stride[0];
  const gan_real *x = gan_reals(p->x) + at * p->x->stride[0];
  gan_real *gz = p->gz ? p->gz + part * p->images * p->channels * p->places : NULL;
  if (gz || p->sums)
    before(p, n, gz ? gan_reals(p->y) + at * p->y->stride[0] : NULL, g, gz,
           p->sums ? p->sums + part * p->channels : NULL);
  if (gz) g = gz;
  if (p->weight)
    gan_conv_weight_images(&p->to_weight, part, more, worker, n, p->transposed ? g : x,
                           p->transposed ? x : g);
  if (p->input)
    gan_conv_images(&p->to_input, worker, n, g, gan_reals(p->gx) + at * p->gx->stride[0]);
}

static void pass_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const pass *p = ud;
  for (int64_t part = lo; part < hi; part++) {
    const int64_t first = p->s.n * part / p->parts, end = p->s.n * (part + 1) / p->parts;
    for (int64_t at = first; at < end; at += p->images)
      some_images(p, part, at > first, worker, at, min64(p->images, end - at));
  }
}

/* ---- the plan ------------------------------------------------------------------------------- */

static bool channels_last (const gan_tensor *t) {
  return t->shape[1] == 1 ? gan_is_contiguous(t) : gan_is_channels_last(t);
}

/* The shares, and how many images of one fit the cache. */
static void cut (pass *p) {
  int64_t out = p->channels * p->places, in = p->x->numel / p->s.n;
  int64_t size = out * (p->e.f == GAN_ACT_NONE ? 1 : 3) + in * (p->input + p->weight);
  int64_t share = ceil_div(p->s.n, p->parts), fit = SIDES / size;
  int64_t times = ceil_div(share, fit > 0 ? fit : 1);
  p->images = ceil_div(share, times);
}

static bool possible (gan_ctx *c, const gan_node *n, pass *p) {
  const gan_tensor *x = p->x, *gy = p->gy;
  gan_conv_shape *s = &p->s;
  int nd = x->ndim - 2;
  p->parts = gan_threads();
  if (x->numel == 0 || gy->numel == 0 || x->shape[0] < p->parts) return false;
  if (p->e.f == GAN_ACT_NONE && !p->bias) return false;
  if (!channels_last(gy) || (p->y && !gan_same_layout(gy, p->y))) return false;
  if (!gan_conv_options(c, n->a + 3, n->a[1].t, nd, s) ||
      !gan_spatial_input(c, "x", x, nd, p->transposed ? s->small : s->large) ||
      !gan_spatial_input(c, "y", gy, nd, p->transposed ? s->large : s->small))
    return false;
  s->n = x->shape[0];
  return !p->weight || gan_conv_weight_alone(s);
}

/* Memory and plans. */
static bool prepare (gan_ctx *c, const gan_node *n, pass *p, gan_tensor **gx) {
  gan_conv_shape some = p->s;
  const gan_tensor *g = p->gy;
  some.n = p->images;
  if (p->e.f != GAN_ACT_NONE) {
    gan_tensor *gz = gan_new_channels_last(c, GAN_REAL, some.nd, p->parts * some.n, p->channels,
                                           p->transposed ? some.large : some.small);
    if (!gz) return false;
    p->gz = gan_reals(gz);
    g = gz;
  }
  if (p->bias) { /* an int64 tensor for its size */
    gan_tensor *sums = gan_new(c, GAN_INT64, 2, (int64_t[]){ p->parts, p->channels });
    if (!sums) return false;
    p->sums = memset(sums->data, 0, (size_t)sums->numel * sizeof *p->sums);
  }
  if (p->weight &&
      !(gx[1] = gan_conv_weight_begin(c, &some, p->transposed ? g : p->x, p->transposed ? p->x : g,
                                      &p->to_weight)))
    return false;
  if (!p->input) return true;
  gx[0] = p->gx = gan_new_channels_last(c, GAN_REAL, some.nd, p->s.n, n->in[0].shape[1],
                                        p->transposed ? some.small : some.large);
  return p->gx && gan_conv_begin(c, &some, !p->transposed, g, n->a[1].t, &p->to_input);
}

bool gan_conv_gradient (gan_ctx *c, const gan_node *n, bool transposed, gan_epilogue e,
                        gan_tensor *gy, gan_tensor **gx) {
  pass p = { .e = e, .transposed = transposed, .input = gan_wants(n, 0), .weight = gan_wants(n, 1),
             .bias = n->nin > 2 && gan_wants(n, 2), .x = n->a[0].t, .gy = gy,
             .y = e.f == GAN_ACT_NONE ? NULL : n->saved[0] };
  if (!possible(c, n, &p)) return c->status != GAN_OK;
  p.channels = gy->shape[1];
  p.places = gy->numel / (gy->shape[0] * gy->shape[1]);
  cut(&p);
  if (!prepare(c, n, &p, gx)) return true;
  double work = (p.weight ? p.to_weight.work : 0) + (p.input ? p.to_input.work : 0);
  work *= (double)p.s.n;
  gan_count_work(2 * work);
  gan_parallel(p.parts, (int64_t)(WORK_MIN / (work / (double)p.parts + 1)) + 1, pass_range, &p);
  if (p.weight) gan_conv_weight_end(&p.to_weight);
  if (p.bias) gx[2] = bias_gradient(c, &p);
  return true;
}
