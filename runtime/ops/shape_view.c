/*
** shape_view.c - parts of a tensor and its expansion, all of them views.
**
** The adjoint of a part is `unslice`: zeros around it. The adjoint of expand is sum_to.
*/
#include "shape.h"

#include <string.h>

#include "view.h"

/* ---- expand ------------------------------------------------------------------------------- */

static void expand (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int n = a[1].n, lead = n - x->ndim;
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM], numel;
  GAN_NEED(c, n <= GAN_MAXDIM, "%d dimensions asked for, at most %d are possible", n, GAN_MAXDIM);
  GAN_NEED(c, lead >= 0, "x %s has %d dimensions, %d sizes were given", gan_shape_of(c, x),
           x->ndim, n);
  for (int d = 0; d < n; d++) {
    int64_t size = d < lead ? 1 : x->shape[d - lead], want = a[1].v[d];
    if (want == -1 && d >= lead) want = size;
    GAN_NEED(c, want >= 0, "size %lld of dimension %d is negative (-1 keeps a size that x has)",
             (long long)want, d + 1);
    GAN_NEED(c, size == 1 || size == want,
             "x %s cannot be expanded to %s: dimension %d has size %lld", gan_shape_of(c, x),
             gan_shape_text(c, n, a[1].v), d + 1, (long long)size);
    shape[d] = want;
    stride[d] = d < lead || size != want ? 0 : x->stride[d - lead];
  }
  GAN_NEED(c, gan_count(n, shape, sizeof(gan_real), &numel), "shape %s has too many elements",
           gan_shape_text(c, n, shape));
  out[0] = gan_view(c, x, n, shape, stride, 0);
}

static void expand_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = gan_sum_to(c, gy[0], n->in[0].ndim, n->in[0].shape);
}

gan_op gan_op_expand = {
  .name = "expand",
  .sig = "x:any shape:shape",
  .forward = expand,
  .vjp = expand_vjp,
  .doc = "Repeats dimensions of size 1 up to the sizes given, without a copy; -1 keeps a size.\n"
         "New dimensions are added at the front. The result is a view that cannot be written to.",
  .example = "gan.zeros(3, 1):expand(2, 3, 4)",
};

/* ---- slice, narrow, select ---------------------------------------------------------------- */

/* x:tensor shape:shape dim:int start:int step:int, 0-based */
static void unslice (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int d = (int)a[2].i;
  gan_tensor *y = out[0] = gan_new_zero(c, GAN_REAL, a[1].n, a[1].v);
  if (y) gan_copy_into(c, gan_part(c, y, d, a[3].i, x->shape[d], a[4].i), x);
}

static void unslice_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  int d = (int)n->a[2].i;
  int64_t step = n->a[4].i, size = n->in[0].shape[d];
  int64_t extent = size > 0 ? (size - 1) * step + 1 : 0;
  gx[0] = gan_slice(c, gy[0], d, n->a[3].i, extent, step);
}

gan_op gan_op_unslice = {
  .name = "unslice",
  .sig = "x:tensor shape:shape dim:int start:int step:int",
  .forward = unslice,
  .vjp = unslice_vjp,
  .flags = GAN_HIDDEN,
  .doc = "Zeros of a shape with x at every step-th place of a dimension: the adjoint of slice.",
};

static gan_tensor *put_back (gan_ctx *c, const gan_node *n, gan_tensor *gy, int d, int64_t start,
                             int64_t step) {
  const gan_edge *x = &n->in[0];
  return gan_run1(c, &gan_op_unslice, GAN_ARGS(GAN_T(gy), GAN_V(x->shape, x->ndim), GAN_I(d),
                                               GAN_I(start), GAN_I(step)));
}

/* string.sub's reading of start and stop (from 1, inclusive, negative from the end, clamped) as
   0-based start and a number of elements */
static void read_range (int64_t size, const gan_arg *a, int64_t *start, int64_t *count) {
  int64_t from = a[0].i, to = a[1].i, step = a[2].i;
  if (from < 0) from = from < -size ? 1 : size + from + 1;
  else if (from == 0) from = 1;
  if (to < 0) to = to < -size ? 0 : size + to + 1;
  else if (to > size) to = size;
  *count = from > to ? 0 : (to - from) / step + 1;
  *start = *count ? from - 1 : 0;
}

static void slice (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int64_t start, count;
  GAN_NEED(c, x->ndim > 0, "x has no dimensions to take a part of");
  GAN_NEED(c, a[4].i >= 1, "step must be at least 1, got %lld", (long long)a[4].i);
  int d = gan_dim(c, x, a[1].i);
  if (d < 0) return;
  read_range(x->shape[d], a + 2, &start, &count);
  out[0] = gan_part(c, x, d, start, count, a[4].i);
}

static void slice_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_edge *x = &n->in[0];
  int64_t start, count;
  int d = (int)(n->a[1].i < 0 ? n->a[1].i + x->ndim : n->a[1].i);
  read_range(x->shape[d], n->a + 2, &start, &count);
  gx[0] = put_back(c, n, gy[0], d, start, n->a[4].i);
}

gan_op gan_op_slice = {
  .name = "slice",
  .sig = "x:any dim:dim start:int=1 stop:int=-1 step:int=1",
  .forward = slice,
  .vjp = slice_vjp,
  .doc = "The places start .. stop of a dimension, every step-th of them. A view.\n"
         "start and stop are read as string.sub reads them: from 1, inclusive, negative from the "
         "end, clamped to what there is (in C too). Nothing left gives size 0.",
  .example = "gan.arange(10):slice(1, 2, -2, 3)",
};

gan_tensor *gan_slice (gan_ctx *c, gan_tensor *x, int dim, int64_t lo, int64_t len, int64_t step) {
  return gan_run1(c, &gan_op_slice, GAN_ARGS(GAN_T(x), GAN_I(dim), GAN_I(lo + 1), GAN_I(lo + len),
                                             GAN_I(step)));
}

/* a 0-based or negative place as 0-based; an error in Lua's terms and -1 otherwise */
static int64_t read_index (gan_ctx *c, const gan_tensor *x, int d, int64_t i) {
  int64_t size = x->shape[d];
  if (i >= -size && i < size) return i < 0 ? i + size : i;
  gan_fail(c, GAN_EARG, "place %lld is out of range, dimension %d of x %s has %lld",
           (long long)(i < 0 ? i : i + 1), d + 1, gan_shape_of(c, x), (long long)size);
  return -1;
}

static void narrow (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int64_t length = a[3].i;
  GAN_NEED(c, x->ndim > 0, "x has no dimensions to take a part of");
  int d = gan_dim(c, x, a[1].i);
  if (d < 0) return;
  int64_t start = a[2].i == x->shape[d] && length == 0 ? a[2].i : read_index(c, x, d, a[2].i);
  if (start < 0) return;
  GAN_NEED(c, length >= 0 && length <= x->shape[d] - start,
           "%lld elements from %lld on are more than dimension %d of x %s has", (long long)length,
           (long long)start + 1, d + 1, gan_shape_of(c, x));
  out[0] = gan_part(c, x, d, start, length, 1);
}

static void narrow_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_edge *x = &n->in[0];
  int d = (int)(n->a[1].i < 0 ? n->a[1].i + x->ndim : n->a[1].i);
  int64_t start = n->a[2].i < 0 ? n->a[2].i + x->shape[d] : n->a[2].i;
  gx[0] = put_back(c, n, gy[0], d, start, 1);
}

gan_op gan_op_narrow = {
  .name = "narrow",
  .sig = "x:any dim:dim start:index length:int",
  .forward = narrow,
  .vjp = narrow_vjp,
  .doc = "`length` places of a dimension, from `start` on. A view.\n"
         "Unlike slice it does not clamp: a place that does not exist is an error.",
  .example = "gan.arange(10):narrow(1, 3, 2)",
};

static void select_ (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM];
  int n = 0;
  GAN_NEED(c, x->ndim > 0, "x has no dimensions to choose from");
  int d = gan_dim(c, x, a[1].i);
  int64_t i = d < 0 ? -1 : read_index(c, x, d, a[2].i);
  if (i < 0) return;
  for (int k = 0; k < x->ndim; k++)
    if (k != d) {
      shape[n] = x->shape[k];
      stride[n++] = x->stride[k];
    }
  out[0] = gan_view(c, x, n, shape, stride, x->numel ? i * x->stride[d] : 0);
}

static void select_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_edge *x = &n->in[0];
  int64_t shape[GAN_MAXDIM];
  int d = (int)(n->a[1].i < 0 ? n->a[1].i + x->ndim : n->a[1].i);
  for (int k = 0; k < x->ndim; k++) shape[k] = k == d ? 1 : x->shape[k];
  int64_t i = n->a[2].i < 0 ? n->a[2].i + x->shape[d] : n->a[2].i;
  gx[0] = put_back(c, n, gan_reshape(c, gy[0], x->ndim, shape), d, i, 1);
}

gan_op gan_op_select = {
  .name = "select",
  .sig = "x:any dim:dim index:index",
  .forward = select_,
  .vjp = select_vjp,
  .doc = "The part of x at one place of a dimension, which disappears. A view.\n"
         "x[i] is x:select(1, i).",
  .example = "gan.zeros(2, 3):select(2, -1)",
};

/* ---- split, chunk ------------------------------------------------------------------------- */

/* How dimension d of x is cut: a list of sizes, or pieces of one size with a shorter last one. */
typedef struct {
  int d, n;
  int64_t piece;        /* 0: listed */
  const int64_t *sizes; /* n */
} cut;

static int64_t cut_size (const cut *k, int i, int64_t total) {
  if (!k->piece) return k->sizes ? k->sizes[i] : 0;
  int64_t left = total - i * k->piece;
  return left < k->piece ? left : k->piece;
}

static bool cut_pieces (gan_ctx *c, const gan_tensor *x, int64_t piece, cut *k) {
  int64_t size = x->shape[k->d], n = piece > 0 ? size / piece + (size % piece != 0) : 1;
  if (n > 1 << 20) {
    gan_fail(c, GAN_EARG, "%lld parts are too many", (long long)n);
    return false;
  }
  k->piece = piece;
  k->n = n > 0 ? (int)n : 1;
  return true;
}

static bool cut_dim (gan_ctx *c, const gan_tensor *x, int64_t dim, cut *k) {
  *k = (cut){ 0 };
  if (x->ndim == 0) {
    gan_fail(c, GAN_EARG, "x has no dimensions to take a part of");
    return false;
  }
  k->d = gan_dim(c, x, dim);
  return k->d >= 0;
}

static bool split_cut (gan_ctx *c, const gan_arg *a, cut *k) {
  const gan_tensor *x = a[0].t;
  int64_t sum = 0;
  if (!cut_dim(c, x, a[2].i, k)) return false;
  if (a[1].n == 1 && a[1].v[0] > 0) return cut_pieces(c, x, a[1].v[0], k);
  for (int i = 0; i < a[1].n && sum >= 0; i++)
    if (a[1].v[i] < 0 || __builtin_add_overflow(sum, a[1].v[i], &sum)) sum = -1;
  if (sum != x->shape[k->d] || a[1].n < 1) {
    gan_fail(c, GAN_EARG, "the sizes %s do not add up to dimension %d of x %s",
             gan_shape_text(c, a[1].n, a[1].v), k->d + 1, gan_shape_of(c, x));
    return false;
  }
  k->n = a[1].n;
  k->sizes = a[1].v;
  return true;
}

static bool chunk_cut (gan_ctx *c, const gan_arg *a, cut *k) {
  const gan_tensor *x = a[0].t;
  int64_t chunks = a[1].i;
  if (!cut_dim(c, x, a[2].i, k)) return false;
  if (chunks < 1 || chunks > 1 << 20) {
    gan_fail(c, GAN_EARG, "chunks must lie in 1 .. %d, got %lld", 1 << 20, (long long)chunks);
    return false;
  }
  int64_t size = x->shape[k->d];
  if (size > 0) return cut_pieces(c, x, (size - 1) / chunks + 1, k);
  k->n = (int)chunks; /* that many empty ones */
  return true;
}

static void cut_up (gan_ctx *c, const gan_tensor *x, const cut *k, gan_tensor **out) {
  int64_t at = 0;
  for (int i = 0; i < k->n; i++) {
    int64_t size = cut_size(k, i, x->shape[k->d]);
    out[i] = gan_part(c, x, k->d, at, size, 1);
    if (!out[i]) return;
    at += size;
  }
}

static int split_count (gan_ctx *c, const gan_arg *a) {
  cut k;
  return split_cut(c, a, &k) ? k.n : 0;
}

static int chunk_count (gan_ctx *c, const gan_arg *a) {
  cut k;
  return chunk_cut(c, a, &k) ? k.n : 0;
}

static void split (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  cut k;
  if (split_cut(c, a, &k)) cut_up(c, a[0].t, &k, out);
}

static void chunk (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  cut k;
  if (chunk_cut(c, a, &k)) cut_up(c, a[0].t, &k, out);
}

/* Parts that were not used count as zeros. */
static void parts_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  int64_t d = n->a[2].i < 0 ? n->a[2].i + n->in[0].ndim : n->a[2].i;
  size_t bytes = (size_t)n->nout * sizeof(gan_tensor *);
  int64_t room = (int64_t)((bytes + 7) / 8);
  gan_tensor *scratch = gan_new(c, GAN_INT64, 1, &room);
  if (!scratch) return;
  gan_tensor **part = scratch->data;
  for (int i = 0; i < n->nout; i++) {
    const gan_edge *y = &n->out[i];
    part[i] = gy[i] ? gy[i] : gan_new_zero(c, GAN_REAL, y->ndim, y->shape);
    if (!part[i]) return;
  }
  gx[0] = gan_cat(c, n->nout, part, d);
}

gan_op gan_op_split = {
  .name = "split",
  .sig = "x:any sizes:ints dim:dim=0 -> parts*",
  .forward = split,
  .count = split_count,
  .vjp = parts_vjp,
  .doc = "Cuts a dimension (default 1) into parts of listed sizes, or into pieces of one size.\n"
         "With one number the last piece may be shorter. Views; several results.",
  .example = "gan.arange(10):split({2, 3, 5})",
};

gan_op gan_op_chunk = {
  .name = "chunk",
  .sig = "x:any chunks:int dim:dim=0 -> parts*",
  .forward = chunk,
  .count = chunk_count,
  .vjp = parts_vjp,
  .doc = "Cuts a dimension (default 1) into `chunks` equal parts, the last one shorter.\n"
         "There may be fewer parts when the sizes do not allow so many. Views; several results.",
  .example = "gan.arange(10):chunk(2)",
};
