/*
** resize.c - nearest and linear upsampling with their adjoints, pixel shuffling.
*/
#include <math.h>
#include <string.h>

#include "../kernels/resize.h"
#include "conv.h"

static gan_op op_upsample_nearest, op_upsample_linear, op_nearest_adjoint, op_linear_adjoint,
    op_pixel_shuffle, op_pixel_unshuffle;

/* ---- tables -------------------------------------------------------------------------------- */

/* Nearest: floor(o * in / out), in integers, so that whole ratios are exact. */
static void fill_nearest (int64_t out, int64_t in, int64_t *near) {
  for (int64_t o = 0; o < out; o++) near[o] = o * in / out;
}

/* Linear: corners on corners, o (in - 1) / (out - 1); else half-pixel centres, (o + 1/2) in / out
   - 1/2, not below 0. */
static void fill_linear (int64_t out, int64_t in, bool align_corners, int64_t *near, int64_t *far,
                         gan_real *share) {
  for (int64_t o = 0; o < out; o++) {
    double at;
    if (align_corners) at = out > 1 ? (double)o * (double)(in - 1) / (double)(out - 1) : 0;
    else at = fmax(0, ((double)o + 0.5) * (double)in / (double)out - 0.5);
    near[o] = (int64_t)at < in ? (int64_t)at : in - 1;
    far[o] = near[o] + 1 < in ? near[o] + 1 : near[o];
    share[o] = (gan_real)(at - (double)near[o]);
  }
}

typedef enum { NEAREST, LINEAR, LINEAR_CORNERS } method;

static bool set_tables (gan_ctx *c, gan_resize_job *j, const int64_t in[2], const int64_t out[2],
                        method m) {
  int64_t total = out[0] + out[1];
  gan_tensor *places = gan_new(c, GAN_INT64, 2, (int64_t[]){ 2, total });
  gan_tensor *shares = gan_new(c, GAN_REAL, 1, &total);
  if (!places || !shares) return false;
  gan_resize_axis *axes[2] = { &j->h, &j->w };
  int64_t at = 0;
  for (int d = 0; d < 2; d++) {
    int64_t *near = gan_ints(places) + at, *far = near + total;
    gan_real *share = gan_reals(shares) + at;
    if (m == NEAREST) fill_nearest(out[d], in[d], near);
    else fill_linear(out[d], in[d], m == LINEAR_CORNERS, near, far, share);
    *axes[d] = (gan_resize_axis){ out[d], in[d], near, far, share };
    at += out[d];
  }
  return true;
}

/* ---- running ------------------------------------------------------------------------------- */

typedef struct {
  gan_resize_job job;
  void (*run)(const gan_resize_job *j, int64_t lo, int64_t hi, int worker);
} task;

static void run_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const task *t = ud;
  t->run(&t->job, lo, hi, worker);
}

/* From the small side `in` to the large side `out`, or back. Layout as x's. */
static gan_tensor *resize (gan_ctx *c, gan_tensor *x, const int64_t in[2], const int64_t out[2],
                           method m, bool adjoint) {
  const gan_resize_table *k = GAN_KERNEL(gan_resize);
  const int64_t *size = adjoint ? in : out;
  bool last = gan_is_channels_last(x);
  int nd = x->ndim - 2;
  task t = { .run = m == NEAREST ? (adjoint ? k->nearest_adjoint : k->nearest)
                                 : adjoint ? k->linear_adjoint : k->linear };
  gan_resize_job *j = &t.job;
  if (!set_tables(c, j, in, out, m)) return NULL;
  if (!last && !(x = gan_dense(c, x))) return NULL;
  int64_t shape[4] = { x->shape[0], x->shape[1], size[nd == 1], size[1] };
  gan_tensor *y = last ? gan_new_channels_last(c, GAN_REAL, nd, x->shape[0], x->shape[1], size)
                       : gan_new(c, GAN_REAL, nd + 2, shape);
  if (!y || y->numel == 0) return y;
  j->n = last ? x->shape[0] : x->shape[0] * x->shape[1];
  j->c = last ? x->shape[1] : 1;
  j->block = j->n < 2 * gan_threads() && j->c > 16 ? 16 : j->c; /* blocks of whole cache lines */
  j->src = gan_reals(x);
  j->dst = gan_reals(y);
  int64_t units = adjoint ? j->n * ((j->c + j->block - 1) / j->block) : j->n * out[0];
  int64_t work = (x->numel + y->numel) / units + 1;
  gan_parallel(units, 16384 / work + 1, run_range, &t);
  return y;
}

/* The size of the result from `size` or `scale`, of which one must be given. */
static bool sizes (gan_ctx *c, const gan_tensor *x, const gan_arg *size, const gan_arg *scale,
                   int64_t in[2], int64_t out[2]) {
  int nd = x->ndim == 3 ? 1 : 2;
  if (!gan_spatial_input(c, "x", x, nd, in)) return false;
  bool ok = in[0] > 0 && in[1] > 0;
  if (!ok) {
    gan_fail(c, GAN_EARG, "there is nothing to resize in input %s", gan_shape_of(c, x));
    return false;
  }
  if ((size->n < 0) == (scale->n < 0)) {
    gan_fail(c, GAN_EARG, "give either size or scale");
    return false;
  }
  if (size->n >= 0) return gan_spatial(c, "size", size, nd, 1, 1, NULL, out);
  out[0] = 1;
  for (int d = 2 - nd; d < 2; d++) {
    double v = floor((double)in[d] * scale->num);
    if (!(v >= 1 && v <= (double)(1 << 30))) {
      gan_fail(c, GAN_EARG, "scale %g makes a size of %g out of %lld", scale->num, v,
               (long long)in[d]);
      return false;
    }
    out[d] = (int64_t)v;
  }
  return true;
}

/* ---- nearest ------------------------------------------------------------------------------- */

static gan_tensor *with_size (gan_ctx *c, gan_op *op, gan_tensor *g, const gan_edge *like) {
  return gan_run1(c, op, GAN_ARGS(GAN_T(g), GAN_V(like->shape + 2, like->ndim - 2)));
}

static void upsample_nearest_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int64_t in[2], size[2];
  if (sizes(c, a[0].t, &a[1], &a[2], in, size))
    out[0] = resize(c, a[0].t, in, size, NEAREST, false);
}

static void upsample_nearest_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = with_size(c, &op_nearest_adjoint, gy[0], &n->in[0]);
}

/* a[0]: g on the large side; `size` of the small side */
static void adjoint_forward (gan_ctx *c, const gan_arg *a, method m, gan_tensor **out) {
  int64_t large[2], small[2];
  int nd = a[0].t->ndim == 3 ? 1 : 2;
  if (gan_spatial_input(c, "g", a[0].t, nd, large) &&
      gan_spatial(c, "size", &a[1], nd, 1, 1, NULL, small))
    out[0] = resize(c, a[0].t, small, large, m, true);
}

static void nearest_adjoint_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  adjoint_forward(c, a, NEAREST, out);
}

static void nearest_adjoint_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_edge *g = &n->in[0];
  if (gan_wants(n, 0))
    gx[0] = gan_run1(c, &op_upsample_nearest,
                     GAN_ARGS(GAN_T(gy[0]), GAN_V(g->shape + 2, g->ndim - 2), GAN_NONE));
}

/* ---- linear -------------------------------------------------------------------------------- */

/* a: x, size, scale, align_corners */
static void upsample_linear_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int64_t in[2], size[2];
  if (sizes(c, a[0].t, &a[1], &a[2], in, size))
    out[0] = resize(c, a[0].t, in, size, a[3].i ? LINEAR_CORNERS : LINEAR, false);
}

static void upsample_linear_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_edge *x = &n->in[0];
  if (gan_wants(n, 0))
    gx[0] = gan_run1(c, &op_linear_adjoint,
                     GAN_ARGS(GAN_T(gy[0]), GAN_V(x->shape + 2, x->ndim - 2), n->a[3]));
}

static void linear_adjoint_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  adjoint_forward(c, a, a[2].i ? LINEAR_CORNERS : LINEAR, out);
}

static void linear_adjoint_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_edge *g = &n->in[0];
  if (gan_wants(n, 0))
    gx[0] = gan_run1(c, &op_upsample_linear,
                     GAN_ARGS(GAN_T(gy[0]), GAN_V(g->shape + 2, g->ndim - 2), GAN_NONE, n->a[2]));
}

/* ---- pixel shuffling ----------------------------------------------------------------------- */

/* Channel c r r + i r + j of the coarse image (n, c r r, h, w) is row i, column j of each r x r
   cell of the fine image (n, c, h r, w r). */
static gan_tensor *shuffle (gan_ctx *c, gan_tensor *x, int64_t r, bool to_fine) {
  int64_t n = x->shape[0], h = x->shape[2], w = x->shape[3], channels = x->shape[1];
  if (to_fine) channels /= r * r;
  else h /= r, w /= r;
  int64_t fine[4] = { n, channels, h * r, w * r }, coarse[4] = { n, channels * r * r, h, w };
  const int64_t *shape = to_fine ? fine : coarse;
  gan_tensor *y = gan_is_channels_last(x)
                      ? gan_new_channels_last(c, GAN_REAL, 2, n, shape[1], shape + 2)
                      : gan_new(c, GAN_REAL, 4, shape);
  if (!y) return NULL;
  const gan_tensor *f = to_fine ? y : x, *k = to_fine ? x : y;
  int64_t cells[6] = { n, channels, r, r, h, w };
  int64_t fs[6] = { f->stride[0], f->stride[1], f->stride[2], f->stride[3], f->stride[2] * r,
                    f->stride[3] * r };
  int64_t ks[6] = { k->stride[0], k->stride[1] * r * r, k->stride[1] * r, k->stride[1],
                    k->stride[2], k->stride[3] };
  gan_tensor *fv = gan_view(c, f, 6, cells, fs, 0), *kv = gan_view(c, k, 6, cells, ks, 0);
  gan_copy_into(c, to_fine ? fv : kv, to_fine ? kv : fv);
  return y;
}

static bool check_shuffle (gan_ctx *c, const gan_tensor *x, int64_t r) {
  int64_t size[2];
  if (!gan_spatial_input(c, "x", x, 2, size)) return false;
  if (r >= 1 && r <= 32768) return true;
  gan_fail(c, GAN_EARG, "factor must be at least 1, got %lld", (long long)r);
  return false;
}

static void pixel_shuffle_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  const gan_tensor *x = a[0].t;
  int64_t r = a[1].i;
  if (!check_shuffle(c, x, r)) return;
  GAN_NEED(c, x->shape[1] % (r * r) == 0,
           "factor %lld needs channels in groups of %lld, input is %s", (long long)r,
           (long long)(r * r), gan_shape_of(c, x));
  out[0] = shuffle(c, a[0].t, r, true);
}

static void pixel_shuffle_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = gan_run1(c, &op_pixel_unshuffle, GAN_ARGS(GAN_T(gy[0]), n->a[1]));
}

static void pixel_unshuffle_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  const gan_tensor *x = a[0].t;
  int64_t r = a[1].i;
  if (!check_shuffle(c, x, r)) return;
  GAN_NEED(c, x->shape[2] % r == 0 && x->shape[3] % r == 0,
           "factor %lld does not divide height and width of input %s", (long long)r,
           gan_shape_of(c, x));
  out[0] = shuffle(c, a[0].t, r, false);
}

static void pixel_unshuffle_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = gan_run1(c, &op_pixel_shuffle, GAN_ARGS(GAN_T(gy[0]), n->a[1]));
}

/* ---- records ------------------------------------------------------------------------------- */

#define SIZE_DOC                                                                                  \
  "x (N x C x L) or (N x C x H x W) -> the same with the spatial sizes `size`, a number or\n"     \
  "{h, w}, or else floor(scale * size of x).\n"

static gan_op op_upsample_nearest = {
  .name = "upsample_nearest", .sig = "x:tensor size:ints? ; scale:number?",
  .forward = upsample_nearest_forward, .vjp = upsample_nearest_vjp,
  .doc = "Resizing by repetition: place o comes from floor(o in / out).\n" SIZE_DOC
         "The ratio is that of the sizes, also where `scale` is not whole.",
  .example = "local y = gan.upsample_nearest(gan.ones(2, 3, 4, 4), {scale = 2})"
};

static gan_op op_upsample_linear = {
  .name = "upsample_linear", .sig = "x:tensor size:ints? ; scale:number? align_corners:bool",
  .forward = upsample_linear_forward, .vjp = upsample_linear_vjp,
  .doc = "Resizing by linear interpolation, bilinear for images.\n" SIZE_DOC
         "align_corners = true puts the outermost elements on each other, o (in - 1) / (out - 1);\n"
         "false aligns the edges of the pixels, max(0, (o + 1/2) in / out - 1/2). It must be\n"
         "named, because programs differ in what they mean by default.",
  .example = "local y = gan.upsample_linear(gan.ones(2, 3, 4, 4), "
             "{scale = 2, align_corners = false})"
};

static gan_op op_nearest_adjoint = {
  .name = "upsample_nearest_adjoint", .sig = "g:tensor ; size:ints -> x",
  .forward = nearest_adjoint_forward, .vjp = nearest_adjoint_vjp, .flags = GAN_HIDDEN,
  .doc = "The adjoint of upsample_nearest for inputs of a given size.\n"
         "g (N x C x large...) -> (N x C x size...)"
};

static gan_op op_linear_adjoint = {
  .name = "upsample_linear_adjoint", .sig = "g:tensor ; size:ints align_corners:bool -> x",
  .forward = linear_adjoint_forward, .vjp = linear_adjoint_vjp, .flags = GAN_HIDDEN,
  .doc = "The adjoint of upsample_linear for inputs of a given size.\n"
         "g (N x C x large...) -> (N x C x size...)"
};

static gan_op op_pixel_shuffle = {
  .name = "pixel_shuffle", .sig = "x:tensor factor:int",
  .forward = pixel_shuffle_forward, .vjp = pixel_shuffle_vjp,
  .doc = "Turns channels into pixels: y[n, c, h r + i, w r + j] = x[n, c r r + i r + j, h, w].\n"
         "x (N x C r r x H x W), r = factor -> (N x C x H r x W r)",
  .example = "local y = gan.pixel_shuffle(gan.ones(2, 12, 4, 4), 2)"
};

static gan_op op_pixel_unshuffle = {
  .name = "pixel_unshuffle", .sig = "x:tensor factor:int",
  .forward = pixel_unshuffle_forward, .vjp = pixel_unshuffle_vjp,
  .doc = "Turns pixels into channels, the inverse of pixel_shuffle.\n"
         "x (N x C x H r x W r), r = factor -> (N x C r r x H x W)",
  .example = "local y = gan.pixel_unshuffle(gan.ones(2, 3, 8, 8), 2)"
};

gan_op *const gan_ops_resize[] = {
  &op_upsample_nearest, &op_upsample_linear, &op_pixel_shuffle, &op_pixel_unshuffle,
  &op_nearest_adjoint, &op_linear_adjoint, NULL
};
