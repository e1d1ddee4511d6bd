/*
** shape_move.c - elements are moved: cat, stack, flip, roll, pad, tile, tril and triu.
**
** What is one gather along a dimension (flip, roll, the reflecting kinds of pad) says which place
** each result comes from, and gan_take does the work.
*/
#include "../core/tape.h"
#include "shape.h"

#include <string.h>

#include "view.h"

/* ---- cat, stack --------------------------------------------------------------------------- */

static bool cat_fits (const gan_tensor *x, const gan_tensor *first, int d) {
  if (x->ndim != first->ndim) return false;
  for (int k = 0; k < x->ndim; k++)
    if (k != d && x->shape[k] != first->shape[k]) return false;
  return true;
}

static void cat (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  GAN_NEED(c, a[0].n > 0, "at least one tensor is needed");
  gan_tensor *first = a[0].ts[0];
  GAN_NEED(c, first->ndim > 0, "numbers have no dimension to be joined along (use gan.stack)");
  int d = gan_dim(c, first, a[1].i);
  if (d < 0) return;
  int64_t shape[GAN_MAXDIM], total = 0;
  for (int i = 0; i < a[0].n; i++) {
    const gan_tensor *x = a[0].ts[i];
    GAN_NEED(c, cat_fits(x, first, d), "tensor %d is %s, it does not fit the first, %s, outside "
             "dimension %d", i + 1, gan_shape_of(c, x), gan_shape_of(c, first), d + 1);
    GAN_NEED(c, !__builtin_add_overflow(total, x->shape[d], &total), "too many elements");
  }
  for (int k = 0; k < first->ndim; k++) shape[k] = k == d ? total : first->shape[k];
  gan_tensor *y = out[0] = gan_new(c, first->dtype, first->ndim, shape);
  int64_t at = 0;
  for (int i = 0; y && i < a[0].n && !c->status; i++) {
    const gan_tensor *x = a[0].ts[i];
    gan_copy_into(c, gan_part(c, y, d, at, x->shape[d], 1), x);
    at += x->shape[d];
  }
}

static void cat_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  int d = (int)(n->a[1].i < 0 ? n->a[1].i + n->in[0].ndim : n->a[1].i);
  int64_t at = 0;
  for (int i = 0; i < n->nin; i++) {
    int64_t size = n->in[i].shape[d];
    if (gan_wants(n, i)) gx[i] = gan_slice(c, gy[0], d, at, size, 1);
    at += size;
  }
}

gan_op gan_op_cat = {
  .name = "cat",
  .sig = "x:tensors dim:dim=0",
  .forward = cat,
  .vjp = cat_vjp,
  .doc = "Joins tensors along a dimension that they have (default 1).\n"
         "All other sizes, and the types, must agree.",
  .example = "gan.cat(gan.zeros(2, 3), gan.ones(1, 3))",
};

static void stack (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  GAN_NEED(c, a[0].n > 0, "at least one tensor is needed");
  gan_tensor *first = a[0].ts[0];
  int64_t shape[GAN_MAXDIM];
  int n = first->ndim, d = gan_new_dim(c, a[1].i, n + 1);
  if (d < 0) return;
  for (int i = 1; i < a[0].n; i++)
    GAN_NEED(c, gan_same_shape(first, a[0].ts[i]), "tensor %d is %s, the first is %s", i + 1,
             gan_shape_of(c, a[0].ts[i]), gan_shape_of(c, first));
  for (int k = 0; k <= n; k++) shape[k] = k == d ? a[0].n : first->shape[k < d ? k : k - 1];
  gan_tensor *y = out[0] = gan_new(c, first->dtype, n + 1, shape);
  for (int i = 0; y && i < a[0].n && !c->status; i++) {
    int64_t size[GAN_MAXDIM], stride[GAN_MAXDIM];
    for (int k = 0; k < n; k++) {
      size[k] = first->shape[k];
      stride[k] = y->stride[k < d ? k : k + 1];
    }
    gan_copy_into(c, gan_view(c, y, n, size, stride, y->numel ? i * y->stride[d] : 0),
                  a[0].ts[i]);
  }
}

static void stack_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  for (int i = 0; i < n->nin; i++)
    if (gan_wants(n, i))
      gx[i] = gan_run1(c, &gan_op_select, GAN_ARGS(GAN_T(gy[0]), n->a[1], GAN_I(i)));
}

gan_op gan_op_stack = {
  .name = "stack",
  .sig = "x:tensors dim:dim=0",
  .forward = stack,
  .vjp = stack_vjp,
  .doc = "Joins tensors of one shape along a new dimension (default 1, its place in the result).",
  .example = "gan.stack(gan.zeros(3), gan.ones(3))",
};

/* ---- flip, roll --------------------------------------------------------------------------- */

/* Room for n places; filled by the caller. */
static int64_t *new_map (gan_ctx *c, int64_t n) {
  gan_tensor *t = gan_new(c, GAN_INT64, 1, &n);
  return t ? gan_ints(t) : NULL;
}

static void flip (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  bool mask[GAN_MAXDIM];
  if (!gan_dim_mask(c, x, a[1].n, a[1].v, mask)) return;
  for (int d = 0; d < a[0].t->ndim && x; d++) {
    int64_t n = x->shape[d];
    if (!mask[d] || n < 2) continue;
    int64_t *map = new_map(c, n);
    if (!map) return;
    for (int64_t i = 0; i < n; i++) map[i] = n - 1 - i;
    x = gan_take(c, x, d, n, map);
  }
  out[0] = x == a[0].t ? gan_detach(c, x) : x;
}

static void flip_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = gan_run1(c, &gan_op_flip, GAN_ARGS(GAN_T(gy[0]), n->a[1]));
}

gan_op gan_op_flip = {
  .name = "flip",
  .sig = "x:any dims:dims?",
  .forward = flip,
  .vjp = flip_vjp,
  .doc = "Turns the listed dimensions round; without dims all of them.",
  .example = "gan.arange(3):flip(1)",
};

static gan_tensor *roll_dim (gan_ctx *c, gan_tensor *x, int d, int64_t shift) {
  int64_t n = x->shape[d];
  if (n < 2 || shift % n == 0) return x;
  int64_t *map = new_map(c, n);
  if (!map) return NULL;
  int64_t from = -(shift % n); /* the place that the first element comes from */
  if (from < 0) from += n;
  for (int64_t i = 0; i < n; i++) map[i] = i < n - from ? i + from : i + from - n;
  return gan_take(c, x, d, n, map);
}

static void roll (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t, *y = x;
  for (int k = 0; k < a[1].n; k++)
    GAN_NEED(c, a[1].v[k] > INT64_MIN, "shift %d is out of range", k + 1);
  if (a[2].n < 0) {
    GAN_NEED(c, a[1].n == 1, "%d shifts without dims (one shift rolls the flattened tensor)",
             a[1].n);
    y = gan_reshape(c, x, 1, &x->numel);
    if (y) y = roll_dim(c, y, 0, a[1].v[0]);
    out[0] = gan_reshape(c, y, x->ndim, x->shape);
    return;
  }
  GAN_NEED(c, a[1].n == a[2].n, "%d shifts for %d dims", a[1].n, a[2].n);
  for (int k = 0; k < a[2].n && y; k++) {
    int d = gan_dim(c, x, a[2].v[k]);
    if (d < 0) return;
    if (x->ndim) y = roll_dim(c, y, d, a[1].v[k]);
  }
  out[0] = y == x ? gan_detach(c, x) : y;
}

static void roll_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  int64_t back[GAN_MAXLIST];
  for (int k = 0; k < n->a[1].n; k++) back[k] = -n->a[1].v[k];
  gx[0] = gan_run1(c, &gan_op_roll, GAN_ARGS(GAN_T(gy[0]), GAN_V(back, n->a[1].n), n->a[2]));
}

gan_op gan_op_roll = {
  .name = "roll",
  .sig = "x:any shifts:ints dims:dims?",
  .forward = roll,
  .vjp = roll_vjp,
  .doc = "Moves elements along dims by shifts; what leaves at one end enters at the other.\n"
         "Without dims x is rolled as if it were flat.",
  .example = "gan.arange(4):roll(1, 1)",
};

/* ---- pad ---------------------------------------------------------------------------------- */

enum { CONSTANT, REFLECT, REPLICATE, CIRCULAR };

static bool pad_shape (gan_ctx *c, const gan_tensor *x, const gan_arg *a, int64_t *shape) {
  const int64_t *p = a[1].v;
  if (a[1].n != 2 * x->ndim) {
    gan_fail(c, GAN_EARG, "x %s needs %d pads, before and after for every dimension, got %d",
             gan_shape_of(c, x), 2 * x->ndim, a[1].n);
    return false;
  }
  for (int d = 0; d < x->ndim; d++) {
    int64_t n = x->shape[d], most = a[2].i == REFLECT ? n - 1 : n, lo = p[2 * d], hi = p[2 * d + 1];
    if (__builtin_add_overflow(n, lo, &shape[d]) ||
        __builtin_add_overflow(shape[d], hi, &shape[d]) || shape[d] < 0) {
      gan_fail(c, GAN_EARG, "dimension %d of x %s cannot be padded by %lld and %lld", d + 1,
               gan_shape_of(c, x), (long long)lo, (long long)hi);
      return false;
    }
    bool grows = lo > 0 || hi > 0, limited = a[2].i == REFLECT || a[2].i == CIRCULAR;
    if (a[2].i == CONSTANT || !grows) continue;
    if (n == 0 || (limited && (lo > most || hi > most))) {
      gan_fail(c, GAN_EARG, "dimension %d of x %s is too small to be padded by %lld and %lld: "
               "%s allows at most %lld", d + 1, gan_shape_of(c, x), (long long)lo, (long long)hi,
               a[2].i == REFLECT ? "reflect" : a[2].i == CIRCULAR ? "circular" : "replicate",
               (long long)(n == 0 ? 0 : most));
      return false;
    }
  }
  return true;
}

static void fill (gan_tensor *y, double value) {
  if (!y->numel) return;
  if (value == 0) memset(y->data, 0, (size_t)y->numel * gan_dtype_size(y->dtype));
  else if (y->dtype == GAN_UINT8) memset(y->data, (int)value, (size_t)y->numel);
  else if (y->dtype == GAN_INT64)
    for (int64_t i = 0; i < y->numel; i++) gan_ints(y)[i] = (int64_t)value;
  else
    for (int64_t i = 0; i < y->numel; i++) gan_reals(y)[i] = (gan_real)value;
}

/* The value as one of x's type; false when it is none. */
static bool pad_value (gan_ctx *c, const gan_tensor *x, double v) {
  bool whole = v >= -9007199254740992.0 && v <= 9007199254740992.0 && v == (double)(int64_t)v;
  if (x->dtype == GAN_REAL || (whole && (x->dtype == GAN_INT64 || (v >= 0 && v <= 255))))
    return true;
  gan_fail(c, GAN_EARG, "value %g is no %s", v, gan_dtype_name(x->dtype));
  return false;
}

static void pad_constant (gan_ctx *c, const gan_arg *a, const int64_t *shape, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  const int64_t *p = a[1].v;
  if (!pad_value(c, x, a[3].num)) return;
  gan_tensor *y = out[0] = gan_new(c, x->dtype, x->ndim, shape), *from = x, *to = y;
  if (!y) return;
  fill(y, a[3].num);
  for (int d = 0; d < x->ndim && from && to; d++) {
    int64_t skip = p[2 * d] < 0 ? -p[2 * d] : 0, drop = p[2 * d + 1] < 0 ? -p[2 * d + 1] : 0;
    int64_t n = skip < x->shape[d] && drop < x->shape[d] - skip ? x->shape[d] - skip - drop : 0;
    from = gan_part(c, from, d, skip, n, 1);
    to = gan_part(c, to, d, p[2 * d] > 0 ? p[2 * d] : 0, n, 1);
  }
  gan_copy_into(c, to, from);
}

/* the 0-based place that place i of a padded dimension of n >= 1 elements shows */
static int64_t pad_source (int64_t i, int64_t n, int64_t mode) {
  if (mode == REPLICATE) return i < 0 ? 0 : i >= n ? n - 1 : i;
  if (mode == CIRCULAR) return i < 0 ? i + n : i >= n ? i - n : i;
  return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

static void pad (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int64_t shape[GAN_MAXDIM];
  if (!pad_shape(c, x, a, shape)) return;
  if (a[2].i == CONSTANT) {
    pad_constant(c, a, shape, out);
    return;
  }
  gan_tensor *y = x;
  for (int d = 0; d < x->ndim && y; d++) {
    int64_t before = a[1].v[2 * d];
    if (before == 0 && a[1].v[2 * d + 1] == 0) continue;
    int64_t *map = new_map(c, shape[d]);
    if (!map) return;
    for (int64_t i = 0; i < shape[d]; i++)
      map[i] = pad_source(i - before, x->shape[d], a[2].i);
    y = gan_take(c, y, d, shape[d], map);
  }
  out[0] = y == x ? gan_detach(c, x) : y;
}

/* Each padded dimension's gradient is added up at the places that it showed. */
static gan_tensor *pad_dim_vjp (gan_ctx *c, const gan_node *n, gan_tensor *gy, int d) {
  int64_t shape[GAN_MAXDIM], before = n->a[1].v[2 * d], size = gy->shape[d];
  for (int k = 0; k < gy->ndim; k++) shape[k] = k == d ? n->in[0].shape[d] : gy->shape[k];
  gan_tensor *idx = gan_new(c, GAN_INT64, 1, &size);
  for (int64_t i = 0; idx && i < size; i++)
    gan_ints(idx)[i] = pad_source(i - before, shape[d], n->a[2].i) + 1;
  if (idx && c->tape) gan_tape_constant(c, idx); /* known from the sizes */
  gan_tensor *zero = gan_new_zero(c, GAN_REAL, gy->ndim, shape);
  return gan_run1(c, &gan_op_index_add, GAN_ARGS(GAN_T(zero), GAN_T(idx), GAN_T(gy), GAN_I(d)));
}

static void pad_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  int64_t back[2 * GAN_MAXDIM];
  gan_tensor *g = gy[0];
  if (n->a[2].i == CONSTANT) {
    for (int k = 0; k < n->a[1].n; k++) back[k] = -n->a[1].v[k];
    gx[0] = gan_pad_zero(c, g, back);
    return;
  }
  for (int d = n->in[0].ndim - 1; d >= 0 && g; d--)
    if (n->a[1].v[2 * d] || n->a[1].v[2 * d + 1]) g = pad_dim_vjp(c, n, g, d);
  gx[0] = g;
}

gan_op gan_op_pad = {
  .name = "pad",
  .sig = "x:any pads:ints ; mode:constant|reflect|replicate|circular=constant value:number=0",
  .forward = pad,
  .vjp = pad_vjp,
  .doc = "Adds to both ends of every dimension: pads = {before, after} of dimension 1, of 2, ...\n"
         "Negative pads crop. mode: constant (with value), reflect (leaves the edge out, needs "
         "pads < size), replicate (repeats the edge), circular (needs pads <= size).",
  .example = "gan.ones(2, 2):pad({0, 0, 1, 1})",
};

gan_tensor *gan_pad_zero (gan_ctx *c, gan_tensor *x, const int64_t *pads) {
  if (!x) return NULL;
  return gan_run1(c, &gan_op_pad, GAN_ARGS(GAN_T(x), GAN_V(pads, 2 * x->ndim), GAN_I(CONSTANT),
                                           GAN_N(0)));
}

/* ---- tile --------------------------------------------------------------------------------- */

/* sizes and repetitions, both with ones in front up to the longer of the two; their number */
static int tile_sizes (int ndim, const int64_t *shape, const gan_arg *reps, int64_t *size,
                       int64_t *rep) {
  int n = ndim > reps->n ? ndim : reps->n;
  for (int d = 0; d < n && n <= GAN_MAXDIM; d++) {
    size[d] = d < n - ndim ? 1 : shape[d - (n - ndim)];
    rep[d] = d < n - reps->n ? 1 : reps->v[d - (n - reps->n)];
  }
  return n;
}

/* x seen as (outer, size, inner) copied to (outer, rep, size, inner) */
static gan_tensor *tile_dim (gan_ctx *c, gan_tensor *x, int64_t outer, int64_t rest, int64_t rep) {
  int64_t shape[3] = { outer, rep, rest }, stride[3] = { rest, 0, 1 };
  gan_tensor *y = gan_new(c, x->dtype, 3, shape);
  if (y) gan_copy_into(c, y, gan_view(c, x, 3, shape, stride, 0));
  return y;
}

static void tile (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int64_t size[GAN_MAXDIM], rep[GAN_MAXDIM], shape[GAN_MAXDIM], total;
  int n = tile_sizes(x->ndim, x->shape, &a[1], size, rep);
  GAN_NEED(c, n <= GAN_MAXDIM, "%d dimensions asked for, at most %d are possible", n, GAN_MAXDIM);
  for (int d = 0; d < n; d++)
    GAN_NEED(c, rep[d] >= 0 && !__builtin_mul_overflow(size[d], rep[d], &shape[d]),
             "dimension %d cannot be repeated %lld times", d + 1, (long long)rep[d]);
  GAN_NEED(c, gan_count(n, shape, gan_dtype_size(x->dtype), &total),
           "shape %s has too many elements", gan_shape_text(c, n, shape));
  if (total == 0) {
    out[0] = gan_new(c, x->dtype, n, shape);
    return;
  }
  gan_tensor *y = gan_dense(c, x);
  int64_t outer = x->numel, rest = 1; /* sizes before d; elements from d on, repeated */
  for (int d = n - 1; d >= 0 && y; d--) {
    outer /= size[d];
    rest *= size[d];
    if (rep[d] != 1) y = tile_dim(c, y, outer, rest, rep[d]);
    rest *= rep[d];
  }
  out[0] = gan_reshape(c, y, n, shape);
}

static void tile_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_edge *x = &n->in[0];
  int64_t size[GAN_MAXDIM], rep[GAN_MAXDIM], one = 1, before = 1, behind;
  int m = tile_sizes(x->ndim, x->shape, &n->a[1], size, rep);
  gan_tensor *g = gy[0];
  for (int d = 0; d < m && g; d++) { /* dimensions before d are back to x's sizes */
    behind = size[d];
    for (int k = d + 1; k < m; k++) behind *= size[k] * rep[k];
    int64_t shape[3] = { before, rep[d], behind };
    if (rep[d] != 1) g = gan_sum(c, gan_reshape(c, g, 3, shape), 1, &one, false);
    before *= size[d];
  }
  gx[0] = gan_reshape(c, g, x->ndim, x->shape);
}

gan_op gan_op_tile = {
  .name = "tile",
  .sig = "x:any reps:shape",
  .forward = tile,
  .vjp = tile_vjp,
  .doc = "Repeats x reps[i] times along dimension i; missing numbers in front count as 1.\n"
         "More reps than dimensions add dimensions in front. A copy: expand is a view.",
  .example = "gan.arange(2):tile(2, 3)",
};

/* ---- tril, triu --------------------------------------------------------------------------- */

/* Keeps, in row i of each matrix, the columns [lo, hi) relative to the diagonal. */
static gan_tensor *triangle (gan_ctx *c, const gan_arg *a, bool lower) {
  gan_tensor *x = a[0].t;
  if (x->ndim < 2)
    return gan_fail(c, GAN_EARG, "x must have at least two dimensions, got %s", gan_shape_of(c, x));
  x = gan_dense(c, x);
  gan_tensor *y = x ? gan_new_zero(c, x->dtype, x->ndim, x->shape) : NULL;
  if (!y || !y->numel) return y;
  int64_t rows = x->shape[x->ndim - 2], cols = x->shape[x->ndim - 1], k = a[1].i;
  size_t item = gan_dtype_size(x->dtype);
  if (k > cols) k = cols; /* no diagonal lies further out */
  if (k < -rows) k = -rows;
  for (int64_t r = 0; r < x->numel / cols; r++) {
    int64_t edge = r % rows + k + lower; /* first column above, or on, the diagonal */
    edge = edge < 0 ? 0 : edge > cols ? cols : edge;
    int64_t lo = lower ? 0 : edge, hi = lower ? edge : cols;
    size_t at = (size_t)(r * cols + lo) * item;
    memcpy((char *)y->data + at, (const char *)x->data + at, (size_t)(hi - lo) * item);
  }
  return y;
}

static void tril (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = triangle(c, a, true);
}

static void triu (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  out[0] = triangle(c, a, false);
}

static void tril_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = gan_run1(c, &gan_op_tril, GAN_ARGS(GAN_T(gy[0]), n->a[1]));
}

static void triu_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = gan_run1(c, &gan_op_triu, GAN_ARGS(GAN_T(gy[0]), n->a[1]));
}

gan_op gan_op_tril = {
  .name = "tril",
  .sig = "x:any diagonal:int=0",
  .forward = tril,
  .vjp = tril_vjp,
  .doc = "Lower triangles of the matrices in the last two dimensions, zeros above the diagonal.\n"
         "diagonal > 0 keeps that many diagonals above the main one, < 0 drops some below.",
  .example = "gan.ones(3, 3):tril(-1)",
};

gan_op gan_op_triu = {
  .name = "triu",
  .sig = "x:any diagonal:int=0",
  .forward = triu,
  .vjp = triu_vjp,
  .doc = "Upper triangles of the matrices in the last two dimensions, zeros below the diagonal.\n"
         "diagonal > 0 drops that many diagonals above the main one, < 0 keeps some below.",
  .example = "gan.ones(3, 3):triu(1)",
};

/* ---- contiguous --------------------------------------------------------------------------- */

static void contiguous (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = gan_dense(c, a[0].t);
  out[0] = x == a[0].t ? gan_detach(c, x) : x;
}

static void contiguous_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  (void)c, (void)n;
  gx[0] = gy[0];
}

gan_op gan_op_contiguous = {
  .name = "contiguous",
  .sig = "x:any",
  .forward = contiguous,
  .vjp = contiguous_vjp,
  .doc = "x with its elements row by row in memory: x's own memory where it is so, else a copy.",
  .example = "gan.zeros(2, 3):t():contiguous()",
};
