/*
** pool.c - max, average and adaptive pooling, unpooling, and their gradients.
**
** Max pooling remembers where each maximum was; its gradient puts values back at these places
** (pool_scatter), the gradient of that fetches them from there (pool_gather), and so on in turn.
** Unpooling pairs with unpool_gather in the same way. Averages pair with their adjoints.
*/
#include <string.h>

#include "../kernels/pool.h"
#include "conv.h"

static gan_op op_pool_scatter, op_pool_gather, op_unpool_gather, op_max_unpool1d, op_max_unpool2d,
    op_avg_pool1d, op_avg_pool2d, op_avg_adjoint, op_adaptive_avg_pool1d, op_adaptive_avg_pool2d,
    op_adaptive_avg_adjoint;

static int64_t min64 (int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t max64 (int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* ---- windows ------------------------------------------------------------------------------- */

/* Sizes are (h, w); 1-d is 2-d of height 1. */
typedef struct {
  int nd;
  bool ceil_mode, include_pad, adaptive;
  int64_t in[2], out[2];
  int64_t kernel[2], stride[2], padding[2], dilation[2];
} windows;

/* kernel_size, stride, padding and, if not NULL, dilation */
static bool window_options (gan_ctx *c, const gan_arg *a, const gan_arg *dilation, int nd,
                            windows *w) {
  w->nd = nd;
  w->dilation[0] = w->dilation[1] = 1;
  if (!gan_spatial(c, "kernel_size", &a[0], nd, 1, 1, NULL, w->kernel) ||
      !gan_spatial(c, "stride", &a[1], nd, 1, 1, w->kernel, w->stride) ||
      !gan_spatial(c, "padding", &a[2], nd, 0, 0, NULL, w->padding) ||
      (dilation && !gan_spatial(c, "dilation", dilation, nd, 1, 1, NULL, w->dilation)))
    return false;
  for (int d = 0; d < 2; d++)
    if (w->padding[d] > w->kernel[d] / 2) {
      gan_fail(c, GAN_EARG, "padding %lld is more than half of kernel_size %lld",
               (long long)w->padding[d], (long long)w->kernel[d]);
      return false;
    }
  return true;
}

/* out = floor or ceil of ((n + 2 p - d (k - 1) - 1) / s) + 1; with ceil_mode, one less where the
   last window would start at or past n + p, inside the padding at the end. */
static bool window_sizes (gan_ctx *c, const gan_tensor *x, windows *w) {
  if (!gan_spatial_input(c, "x", x, w->nd, w->in)) return false;
  for (int d = 0; d < 2; d++) {
    int64_t n = w->in[d], p = w->padding[d], s = w->stride[d];
    int64_t room = n + 2 * p - w->dilation[d] * (w->kernel[d] - 1) - 1;
    if (w->ceil_mode) room += s - 1;
    int64_t out = room < 0 ? 0 : room / s + 1;
    if (w->ceil_mode && out > 0 && (out - 1) * s >= n + p) out--;
    if (out < 1 || n < 1) {
      gan_fail(c, GAN_EARG, "a window of %lld (dilation %lld) is larger than the padded size %lld "
               "of dimension %d of input %s", (long long)w->kernel[d], (long long)w->dilation[d],
               (long long)(n + 2 * p), w->nd == 1 ? 3 : d + 3, gan_shape_of(c, x));
      return false;
    }
    w->out[d] = out;
  }
  return true;
}

static bool adaptive_sizes (gan_ctx *c, const gan_tensor *x, const gan_arg *size, int nd,
                            windows *w) {
  *w = (windows){ .nd = nd, .adaptive = true };
  if (!gan_spatial_input(c, "x", x, nd, w->in) ||
      !gan_spatial(c, "output_size", size, nd, 0, 1, NULL, w->out))
    return false;
  if (w->in[0] > 0 && w->in[1] > 0) return true;
  gan_fail(c, GAN_EARG, "there is nothing to pool in input %s", gan_shape_of(c, x));
  return false;
}

static void fill_axis (const windows *w, int d, int64_t *first, int64_t *count, gan_real *divide) {
  const int64_t n = w->in[d];
  for (int64_t o = 0; o < w->out[d]; o++) {
    if (w->adaptive) {
      first[o] = o * n / w->out[d];
      count[o] = ((o + 1) * n + w->out[d] - 1) / w->out[d] - first[o];
      divide[o] = (gan_real)count[o];
      continue;
    }
    int64_t start = o * w->stride[d] - w->padding[d], step = w->dilation[d];
    int64_t skip = start < 0 ? (-start + step - 1) / step : 0;
    first[o] = start + skip * step;
    count[o] = first[o] < n ? min64(w->kernel[d] - skip, (n - 1 - first[o]) / step + 1) : 0;
    divide[o] = (gan_real)count[o];
    if (w->include_pad) divide[o] = (gan_real)min64(w->kernel[d], n + w->padding[d] - start);
  }
}

/* ---- jobs ---------------------------------------------------------------------------------- */

typedef struct {
  gan_pool_job job;
  void (*run)(const gan_pool_job *j, int64_t lo, int64_t hi, int worker);
} task;

static void run_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const task *t = ud;
  t->run(&t->job, lo, hi, worker);
}

/* Tables of the windows for a job; false when a window lies in the padding altogether. */
static bool set_windows (gan_ctx *c, const windows *w, gan_pool_job *j) {
  int64_t total = w->out[0] + w->out[1];
  gan_tensor *places = gan_new(c, GAN_INT64, 2, (int64_t[]){ 2, total });
  gan_tensor *divide = gan_new(c, GAN_REAL, 1, &total);
  if (!places || !divide) return false;
  gan_pool_axis *axes[2] = { &j->h, &j->w };
  int64_t at = 0;
  for (int d = 0; d < 2; d++) {
    int64_t *first = gan_ints(places) + at, *count = first + total;
    gan_real *size = gan_reals(divide) + at;
    fill_axis(w, d, first, count, size);
    *axes[d] = (gan_pool_axis){ w->out[d], w->in[d], w->adaptive ? 1 : w->dilation[d], first, count,
                                size };
    at += w->out[d];
    for (int64_t o = 0; o < w->out[d]; o++)
      if (count[o] < 1) {
        gan_fail(c, GAN_EARG, "window %lld of dimension %d has no element inside the input",
                 (long long)o + 1, w->nd == 1 ? 3 : d + 3);
        return false;
      }
  }
  return true;
}

/* n and c as the kernels see a tensor of this shape. */
static void set_images (gan_pool_job *j, const gan_tensor *x, bool last) {
  j->n = last ? x->shape[0] : x->shape[0] * x->shape[1];
  j->c = last ? x->shape[1] : 1;
  j->block = j->c;
  /* too few images for the threads: blocks of whole cache lines */
  if (j->n < 2 * gan_threads()) j->block = min64(j->c, 16);
}

static gan_tensor *with_layout (gan_ctx *c, gan_tensor *x, bool last) {
  if (!last) return gan_dense(c, x);
  if (gan_is_channels_last(x)) return x;
  int64_t size[2] = { x->ndim == 3 ? 1 : x->shape[2], x->shape[x->ndim - 1] };
  gan_tensor *y = gan_new_channels_last(c, (gan_dtype)x->dtype, x->ndim - 2, x->shape[0],
                                        x->shape[1], size);
  if (y) gan_copy_into(c, y, x);
  return y;
}

/* A new tensor with x's first two sizes. */
static gan_tensor *new_plane (gan_ctx *c, gan_dtype dtype, const gan_tensor *x, const int64_t *size,
                              bool last) {
  if (last) return gan_new_channels_last(c, dtype, x->ndim - 2, x->shape[0], x->shape[1], size);
  int64_t shape[4] = { x->shape[0], x->shape[1], size[x->ndim == 3], size[1] };
  return gan_new(c, dtype, x->ndim, shape);
}

/* Channels-last tensors whose other sizes are 1 look row-major, and may be used as either. */
static bool is_last (const gan_tensor *x) {
  return gan_is_channels_last(x) && !gan_is_contiguous(x);
}

/* ---- max pooling --------------------------------------------------------------------------- */

static void max_pool (gan_ctx *c, gan_tensor *x, const windows *w, gan_tensor **out) {
  bool last = is_last(x);
  task t = { .run = GAN_KERNEL(gan_pool)->max };
  if (!set_windows(c, w, &t.job)) return;
  GAN_NEED(c, w->in[0] <= INT32_MAX / max64(w->in[1], 1), "a plane of %lld x %lld is too large",
           (long long)w->in[0], (long long)w->in[1]);
  x = with_layout(c, x, last);
  if (!x) return;
  gan_tensor *y = new_plane(c, GAN_REAL, x, w->out, last);
  gan_tensor *index = new_plane(c, GAN_INT64, x, w->out, last);
  if (!y || !index) return;
  set_images(&t.job, x, last);
  t.job.src = gan_reals(x);
  t.job.dst = gan_reals(y);
  t.job.index_out = gan_ints(index);
  int64_t work = w->kernel[0] * w->kernel[1] * w->out[1] * t.job.c + 1;
  if (y->numel) gan_parallel(t.job.n * w->out[0], 16384 / work + 1, run_range, &t);
  out[0] = y;
  out[1] = index;
}

static void max_pool_nd (gan_ctx *c, const gan_arg *a, int nd, gan_tensor **out) {
  windows w = { .ceil_mode = a[5].i != 0 };
  if (window_options(c, a + 1, &a[4], nd, &w) && window_sizes(c, a[0].t, &w))
    max_pool(c, a[0].t, &w, out);
}

static void max_pool1d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  max_pool_nd(c, a, 1, out);
}

static void max_pool2d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  max_pool_nd(c, a, 2, out);
}

static void adaptive_max_nd (gan_ctx *c, const gan_arg *a, int nd, gan_tensor **out) {
  windows w;
  if (!adaptive_sizes(c, a[0].t, &a[1], nd, &w)) return;
  w.kernel[0] = w.in[0] / max64(w.out[0], 1) + 1;
  w.kernel[1] = w.in[1] / max64(w.out[1], 1) + 1;
  max_pool(c, a[0].t, &w, out);
}

static void adaptive_max_pool1d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  adaptive_max_nd(c, a, 1, out);
}

static void adaptive_max_pool2d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  adaptive_max_nd(c, a, 2, out);
}

static gan_tensor *scatter (gan_ctx *c, gan_tensor *g, gan_tensor *index, const gan_edge *like) {
  return gan_run1(c, &op_pool_scatter,
                  GAN_ARGS(GAN_T(g), GAN_T(index), GAN_V(like->shape + 2, like->ndim - 2)));
}

static gan_tensor *gather (gan_ctx *c, gan_op *op, gan_tensor *g, gan_tensor *index) {
  return gan_run1(c, op, GAN_ARGS(GAN_T(g), GAN_T(index)));
}

static void max_pool_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gy[0] && gan_wants(n, 0)) gx[0] = scatter(c, gy[0], gan_saved_out(c, n, 1), &n->in[0]);
}

/* ---- values by index ------------------------------------------------------------------------ */

/* Between a tensor of the index's shape and planes of `size` (h, w): to the planes or from them. */
static gan_tensor *by_index (gan_ctx *c, task *t, gan_tensor *x, gan_tensor *index,
                             bool to_planes, const int64_t size[2]) {
  bool last = is_last(index);
  x = with_layout(c, x, last);
  index = with_layout(c, index, last);
  if (!x || !index) return NULL;
  int64_t places[2] = { index->ndim == 3 ? 1 : index->shape[2], index->shape[index->ndim - 1] };
  gan_tensor *y = new_plane(c, GAN_REAL, x, to_planes ? size : places, last);
  if (!y || y->numel == 0) return y;
  gan_pool_job *j = &t->job;
  set_images(j, x, last);
  j->src = gan_reals(x);
  j->dst = gan_reals(y);
  j->index = gan_ints(index);
  j->places = places[0] * places[1];
  j->plane = size[0] * size[1];
  if (t->run == GAN_KERNEL(gan_pool)->gather_last) {
    j->block = min64(j->c, 16); /* the marks of a block stay in cache */
    gan_tensor *seen = gan_new(c, GAN_UINT8, 2, (int64_t[]){ gan_threads(), j->plane * j->block });
    if (!seen) return NULL;
    j->seen = gan_bytes(seen);
  }
  int64_t units = j->n * ((j->c + j->block - 1) / j->block);
  gan_parallel(units, 16384 / ((j->plane + j->places) * j->block) + 1, run_range, t);
  return y;
}

static bool index_fits (gan_ctx *c, const gan_tensor *x, const gan_tensor *index) {
  if (gan_same_shape(x, index)) return true;
  gan_fail(c, GAN_EARG, "index %s must have the shape of the values %s", gan_shape_of(c, index),
           gan_shape_of(c, x));
  return false;
}

static void pool_scatter_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int64_t size[2];
  task t = { .run = GAN_KERNEL(gan_pool)->scatter };
  if (!index_fits(c, a[0].t, a[1].t) ||
      !gan_spatial(c, "size", &a[2], a[0].t->ndim - 2, 0, 1, NULL, size))
    return;
  out[0] = by_index(c, &t, a[0].t, a[1].t, true, size);
}

static void pool_scatter_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = gather(c, &op_pool_gather, gy[0], n->a[1].t);
}

static void gather_forward (gan_ctx *c, const gan_arg *a, task *t, gan_tensor **out) {
  int64_t size[2];
  if (gan_spatial_input(c, "g", a[0].t, a[1].t->ndim - 2, size))
    out[0] = by_index(c, t, a[0].t, a[1].t, false, size);
}

static void pool_gather_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  task t = { .run = GAN_KERNEL(gan_pool)->gather };
  gather_forward(c, a, &t, out);
}

static void pool_gather_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = scatter(c, gy[0], n->a[1].t, &n->in[0]);
}

static void unpool_gather_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  task t = { .run = GAN_KERNEL(gan_pool)->gather_last };
  gather_forward(c, a, &t, out);
}

static void unpool_gather_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  static const int64_t one = 1, none = 0;
  int nd = n->in[0].ndim - 2;
  if (gan_wants(n, 0))
    gx[0] = gan_run1(c, nd == 1 ? &op_max_unpool1d : &op_max_unpool2d,
                     GAN_ARGS(GAN_T(gy[0]), GAN_T(n->a[1].t), GAN_V(&one, 1), GAN_NONE,
                              GAN_V(&none, 1), GAN_V(n->in[0].shape + 2, nd)));
}

/* ---- unpooling ------------------------------------------------------------------------------ */

typedef struct {
  const int64_t *index;
  int64_t limit;
  int64_t *bad; /* for each worker: position of the first index out of range, from 1; or 0 */
} range_check;

static void check_range (void *ud, int64_t lo, int64_t hi, int worker) {
  range_check *r = ud;
  for (int64_t i = lo; i < hi; i++)
    if (r->index[i] < 1 || r->index[i] > r->limit) {
      r->bad[worker] = i + 1;
      return;
    }
}

/* All elements lie in a block of memory when the tensor is dense; others are copied before. */
static bool check_index (gan_ctx *c, gan_tensor *index, const int64_t size[2]) {
  if (!gan_is_dense(index)) index = gan_dense(c, index);
  gan_tensor *bad = gan_new_zero(c, GAN_INT64, 1, (int64_t[]){ gan_threads() });
  if (!index || !bad) return false;
  range_check r = { gan_ints(index), size[0] * size[1], gan_ints(bad) };
  if (index->numel) gan_parallel(index->numel, 65536, check_range, &r);
  for (int64_t i = 0; i < bad->numel; i++)
    if (r.bad[i]) {
      gan_fail(c, GAN_EARG, "index %lld is out of range, the plane of output_size %lld x %lld has "
               "the places 1 to %lld", (long long)r.index[r.bad[i] - 1], (long long)size[0],
               (long long)size[1], (long long)r.limit);
      return false;
    }
  return true;
}

/* a: y, index, kernel_size, stride, padding, output_size */
static void max_unpool (gan_ctx *c, const gan_arg *a, int nd, gan_tensor **out) {
  windows w = { .nd = nd };
  int64_t size[2];
  task t = { .run = GAN_KERNEL(gan_pool)->place };
  if (!index_fits(c, a[0].t, a[1].t) || !gan_spatial_input(c, "y", a[0].t, nd, w.out) ||
      !window_options(c, a + 2, NULL, nd, &w))
    return;
  for (int d = 0; d < 2; d++) {
    w.in[d] = (w.out[d] - 1) * w.stride[d] - 2 * w.padding[d] + w.kernel[d];
    if (w.in[d] < 0 || w.out[d] == 0) w.in[d] = 0;
  }
  if (gan_spatial(c, "output_size", &a[5], nd, 0, 1, w.in, size) && check_index(c, a[1].t, size))
    out[0] = by_index(c, &t, a[0].t, a[1].t, true, size);
}

static void max_unpool1d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  max_unpool(c, a, 1, out);
}

static void max_unpool2d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  max_unpool(c, a, 2, out);
}

static void max_unpool_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = gather(c, &op_unpool_gather, gy[0], n->a[1].t);
}

/* ---- averages ------------------------------------------------------------------------------- */

static gan_tensor *mean_run (gan_ctx *c, gan_tensor *x, const windows *w, double override,
                             bool adjoint) {
  bool last = is_last(x);
  task t = { .run = adjoint ? GAN_KERNEL(gan_pool)->mean_adjoint : GAN_KERNEL(gan_pool)->mean };
  if (!set_windows(c, w, &t.job) || !(x = with_layout(c, x, last))) return NULL;
  gan_tensor *y = new_plane(c, GAN_REAL, x, adjoint ? w->in : w->out, last);
  if (!y || y->numel == 0) return y;
  gan_pool_job *j = &t.job;
  set_images(j, x, last);
  j->override = (gan_real)override;
  j->plane = w->in[0] * w->in[1];
  j->src = gan_reals(x);
  j->dst = gan_reals(y);
  int64_t units = adjoint ? j->n * ((j->c + j->block - 1) / j->block) : j->n * w->out[0];
  gan_parallel(units, 16384 / (j->n * j->plane * j->c / units + 1) + 1, run_range, &t);
  return y;
}

/* a: kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override */
static bool avg_options (gan_ctx *c, const gan_arg *a, int nd, windows *w, double *override) {
  *w = (windows){ .ceil_mode = a[3].i != 0, .include_pad = a[4].i != 0 };
  *override = a[5].n < 0 ? 0 : a[5].num;
  if (a[5].n >= 0 && *override == 0) {
    gan_fail(c, GAN_EARG, "divisor_override must not be 0");
    return false;
  }
  return window_options(c, a, NULL, nd, w);
}

static gan_tensor *avg_pool (gan_ctx *c, const gan_arg *a, int nd) {
  windows w;
  double override;
  if (!avg_options(c, a + 1, nd, &w, &override) || !window_sizes(c, a[0].t, &w)) return NULL;
  return mean_run(c, a[0].t, &w, override, false);
}

static void avg_pool1d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = avg_pool(c, a, 1);
}

static void avg_pool2d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = avg_pool(c, a, 2);
}

static void avg_pool_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_arg *a = n->a;
  const gan_edge *x = &n->in[0];
  if (gan_wants(n, 0))
    gx[0] = gan_run1(c, &op_avg_adjoint,
                     GAN_ARGS(GAN_T(gy[0]), a[1], a[2], a[3], a[4], a[5], a[6],
                              GAN_V(x->shape + 2, x->ndim - 2)));
}

/* a: g, the options of avg_pool, size of the result */
static void avg_adjoint_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  windows w;
  double override;
  int nd = a[0].t->ndim - 2;
  if (!avg_options(c, a + 1, nd, &w, &override) ||
      !gan_spatial_input(c, "g", a[0].t, nd, w.out) ||
      !gan_spatial(c, "size", &a[7], nd, 1, 1, NULL, w.in))
    return;
  out[0] = mean_run(c, a[0].t, &w, override, true);
}

static void avg_adjoint_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_arg *a = n->a;
  if (gan_wants(n, 0))
    gx[0] = gan_run1(c, n->in[0].ndim == 3 ? &op_avg_pool1d : &op_avg_pool2d,
                     GAN_ARGS(GAN_T(gy[0]), a[1], a[2], a[3], a[4], a[5], a[6]));
}

static gan_tensor *adaptive_avg (gan_ctx *c, const gan_arg *a, int nd) {
  windows w;
  return adaptive_sizes(c, a[0].t, &a[1], nd, &w) ? mean_run(c, a[0].t, &w, 0, false) : NULL;
}

static void adaptive_avg_pool1d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = adaptive_avg(c, a, 1);
}

static void adaptive_avg_pool2d_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = adaptive_avg(c, a, 2);
}

static void adaptive_avg_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_edge *x = &n->in[0];
  if (gan_wants(n, 0))
    gx[0] = gan_run1(c, &op_adaptive_avg_adjoint,
                     GAN_ARGS(GAN_T(gy[0]), GAN_V(x->shape + 2, x->ndim - 2)));
}

static void adaptive_avg_adjoint_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int nd = a[0].t->ndim - 2;
  windows w = { .nd = nd, .adaptive = true };
  if (gan_spatial_input(c, "g", a[0].t, nd, w.out) &&
      gan_spatial(c, "size", &a[1], nd, 1, 1, NULL, w.in))
    out[0] = mean_run(c, a[0].t, &w, 0, true);
}

static void adaptive_avg_adjoint_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy,
                                      gan_tensor **gx) {
  const gan_edge *x = &n->in[0];
  if (gan_wants(n, 0))
    gx[0] = gan_run1(c, x->ndim == 3 ? &op_adaptive_avg_pool1d : &op_adaptive_avg_pool2d,
                     GAN_ARGS(GAN_T(gy[0]), GAN_V(x->shape + 2, x->ndim - 2)));
}

/* ---- records -------------------------------------------------------------------------------- */

#define MAX_SIG "x:tensor kernel_size:ints stride:ints? padding:ints=0 ; dilation:ints=1 " \
                "ceil_mode:bool=false -> y index~"
#define UNPOOL_SIG "y:tensor index:labels kernel_size:ints stride:ints? padding:ints=0 ; " \
                   "output_size:ints? -> x"
#define AVG_SIG "x:tensor kernel_size:ints stride:ints? padding:ints=0 ; ceil_mode:bool=false " \
                "count_include_pad:bool=true divisor_override:number?"
#define WINDOW_DOC                                                                                \
  "L' = floor((L + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1; with ceil_mode\n"   \
  "the division rounds up, without windows that would start past the end.\n"                      \
  "stride: kernel_size if absent.\n"
#define MAX_DOC                                                                                   \
  WINDOW_DOC                                                                                      \
  "Padding counts as -inf and is at most half of kernel_size. index (int64): place of each\n"     \
  "maximum in its channel's plane, from 1, row by row; of equal values the first. NaN is larger\n" \
  "than all else.\n"                                                                              \
  "Errors: a window larger than the padded input or without an element of the input."
#define UNPOOL_DOC                                                                                \
  "x is zero but for x[index[i]] = y[i] in each channel's plane; of equal places the last one\n"  \
  "counts. Size: output_size, or else (L - 1) stride - 2 padding + kernel_size.\n"                \
  "Errors: an index outside the plane."
#define AVG_DOC                                                                                   \
  "Each window's sum divided by its size: with count_include_pad including the padding that it\n" \
  "covers, without only elements of x; or by divisor_override. Nothing past the padding counts.\n" \
  "L' = floor((L + 2 padding - kernel_size) / stride) + 1; with ceil_mode the division rounds\n"  \
  "up, without windows that would start past the end. stride: kernel_size if absent.\n"          \
  "padding: at most half of kernel_size."
#define ADAPTIVE_DOC                                                                              \
  "Window i of o along n elements goes from floor(i n / o) to ceil((i + 1) n / o)."

static gan_op op_max_pool1d = {
  .name = "max_pool1d", .sig = MAX_SIG, .forward = max_pool1d_forward, .vjp = max_pool_vjp,
  .save = "index",
  .doc = "Maximum over windows of the last dimension, and where it was.\n"
         "x (N x C x L) -> y, index (N x C x L').\n" MAX_DOC,
  .example = "local y, index = gan.max_pool1d(gan.ones(2, 3, 8), 2)"
};

static gan_op op_max_pool2d = {
  .name = "max_pool2d", .sig = MAX_SIG, .forward = max_pool2d_forward, .vjp = max_pool_vjp,
  .save = "index",
  .doc = "Maximum over windows of images, and where it was.\n"
         "x (N x C x H x W) -> y, index (N x C x H' x W'). Options are numbers or pairs {h, w}.\n"
         MAX_DOC,
  .example = "local y, index = gan.max_pool2d(gan.ones(2, 3, 8, 8), 3, {stride = 2, padding = 1})"
};

static gan_op op_adaptive_max_pool1d = {
  .name = "adaptive_max_pool1d", .sig = "x:tensor output_size:ints -> y index~",
  .forward = adaptive_max_pool1d_forward, .vjp = max_pool_vjp, .save = "index",
  .doc = "Maximum over windows that divide the last dimension into output_size parts.\n"
         "x (N x C x L) -> y, index (N x C x output_size), index as in max_pool1d.\n" ADAPTIVE_DOC,
  .example = "local y, index = gan.adaptive_max_pool1d(gan.ones(2, 3, 8), 5)"
};

static gan_op op_adaptive_max_pool2d = {
  .name = "adaptive_max_pool2d", .sig = "x:tensor output_size:ints -> y index~",
  .forward = adaptive_max_pool2d_forward, .vjp = max_pool_vjp, .save = "index",
  .doc = "Maximum over windows that divide images into output_size parts.\n"
         "x (N x C x H x W), a number or {h, w} -> y, index (N x C x h x w), as in max_pool2d.\n"
         ADAPTIVE_DOC,
  .example = "local y, index = gan.adaptive_max_pool2d(gan.ones(2, 3, 8, 8), {3, 5})"
};

static gan_op op_max_unpool1d = {
  .name = "max_unpool1d", .sig = UNPOOL_SIG, .forward = max_unpool1d_forward,
  .vjp = max_unpool_vjp, .save = "index",
  .doc = "Puts the values of max_pool1d back at their places.\n"
         "y, index (N x C x L) -> x (N x C x L').\n" UNPOOL_DOC,
  .example = "local y, index = gan.max_pool1d(gan.ones(1, 1, 4), 2); "
             "local x = gan.max_unpool1d(y, index, 2)"
};

static gan_op op_max_unpool2d = {
  .name = "max_unpool2d", .sig = UNPOOL_SIG, .forward = max_unpool2d_forward,
  .vjp = max_unpool_vjp, .save = "index",
  .doc = "Puts the values of max_pool2d back at their places.\n"
         "y, index (N x C x H x W) -> x (N x C x H' x W').\n" UNPOOL_DOC,
  .example = "local y, index = gan.max_pool2d(gan.ones(1, 1, 4, 4), 2); "
             "local x = gan.max_unpool2d(y, index, 2)"
};

static gan_op op_avg_pool1d = {
  .name = "avg_pool1d", .sig = AVG_SIG, .forward = avg_pool1d_forward, .vjp = avg_pool_vjp,
  .doc = "Mean over windows of the last dimension.\nx (N x C x L) -> (N x C x L').\n" AVG_DOC,
  .example = "local y = gan.avg_pool1d(gan.ones(2, 3, 8), 2)"
};

static gan_op op_avg_pool2d = {
  .name = "avg_pool2d", .sig = AVG_SIG, .forward = avg_pool2d_forward, .vjp = avg_pool_vjp,
  .doc = "Mean over windows of images.\n"
         "x (N x C x H x W) -> (N x C x H' x W'). Options are numbers or pairs {h, w}.\n" AVG_DOC,
  .example = "local y = gan.avg_pool2d(gan.ones(2, 3, 8, 8), 3, {stride = 2, padding = 1})"
};

static gan_op op_adaptive_avg_pool1d = {
  .name = "adaptive_avg_pool1d", .sig = "x:tensor output_size:ints",
  .forward = adaptive_avg_pool1d_forward, .vjp = adaptive_avg_vjp,
  .doc = "Mean over windows that divide the last dimension into output_size parts.\n"
         "x (N x C x L) -> (N x C x output_size).\n" ADAPTIVE_DOC,
  .example = "local y = gan.adaptive_avg_pool1d(gan.ones(2, 3, 8), 5)"
};

static gan_op op_adaptive_avg_pool2d = {
  .name = "adaptive_avg_pool2d", .sig = "x:tensor output_size:ints",
  .forward = adaptive_avg_pool2d_forward, .vjp = adaptive_avg_vjp,
  .doc = "Mean over windows that divide images into output_size parts; 1: of each plane.\n"
         "x (N x C x H x W), a number or {h, w} -> (N x C x h x w).\n" ADAPTIVE_DOC,
  .example = "local y = gan.adaptive_avg_pool2d(gan.ones(2, 3, 8, 8), 1)"
};

static gan_op op_pool_scatter = {
  .name = "pool_scatter", .sig = "g:tensor index:labels ; size:ints -> x",
  .forward = pool_scatter_forward, .vjp = pool_scatter_vjp, .save = "index", .flags = GAN_HIDDEN,
  .doc = "x[index[i]] += g[i] in planes of a given size, from zero.\n"
         "g, index (N x C x places...) -> (N x C x size...)"
};

static gan_op op_pool_gather = {
  .name = "pool_gather", .sig = "g:tensor index:labels", .forward = pool_gather_forward,
  .vjp = pool_gather_vjp, .save = "index", .flags = GAN_HIDDEN,
  .doc = "y[i] = g[index[i]] in each plane.\n"
         "g (N x C x size...), index (N x C x places...) -> (N x C x places...)"
};

static gan_op op_unpool_gather = {
  .name = "unpool_gather", .sig = "g:tensor index:labels", .forward = unpool_gather_forward,
  .vjp = unpool_gather_vjp, .save = "index", .flags = GAN_HIDDEN,
  .doc = "As pool_gather, but 0 where a later place has the same index.\n"
         "g (N x C x size...), index (N x C x places...) -> (N x C x places...)"
};

static gan_op op_avg_adjoint = {
  .name = "avg_pool_adjoint",
  .sig = "g:tensor kernel_size:ints stride:ints? padding:ints ; ceil_mode:bool "
         "count_include_pad:bool divisor_override:number? size:ints -> x",
  .forward = avg_adjoint_forward, .vjp = avg_adjoint_vjp, .flags = GAN_HIDDEN,
  .doc = "The adjoint of avg_pool1d and avg_pool2d for inputs of a given size.\n"
         "g (N x C x windows...) -> (N x C x size...)"
};

static gan_op op_adaptive_avg_adjoint = {
  .name = "adaptive_avg_pool_adjoint", .sig = "g:tensor ; size:ints -> x",
  .forward = adaptive_avg_adjoint_forward, .vjp = adaptive_avg_adjoint_vjp, .flags = GAN_HIDDEN,
  .doc = "The adjoint of adaptive_avg_pool1d and adaptive_avg_pool2d for inputs of a given size.\n"
         "g (N x C x windows...) -> (N x C x size...)"
};

gan_op *const gan_ops_pool[] = {
  &op_max_pool1d, &op_max_pool2d, &op_max_unpool1d, &op_max_unpool2d, &op_avg_pool1d,
  &op_avg_pool2d, &op_adaptive_avg_pool1d, &op_adaptive_avg_pool2d, &op_adaptive_max_pool1d,
  &op_adaptive_max_pool2d, &op_pool_scatter, &op_pool_gather, &op_unpool_gather, &op_avg_adjoint,
  &op_adaptive_avg_adjoint, NULL
};
