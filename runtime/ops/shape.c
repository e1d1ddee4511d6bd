/*
** shape.c - the same elements in another shape: reshape, permute, squeeze and their like.
**
** The results are views wherever strides can express them.
*/
#include "shape.h"

#include <string.h>

#include "view.h"

/* ---- reshape, view ------------------------------------------------------------------------ */

/* Replaces the one -1 by what remains; false and an error when the sizes do not fit. */
static bool complete_shape (gan_ctx *c, const gan_tensor *x, const gan_arg *sizes, int64_t *shape) {
  int n = sizes->n, hole = -1;
  if (n > GAN_MAXDIM) {
    gan_fail(c, GAN_EARG, "%d dimensions asked for, at most %d are possible", n, GAN_MAXDIM);
    return false;
  }
  for (int d = 0; d < n; d++) {
    shape[d] = sizes->v[d];
    if (shape[d] < -1 || (shape[d] == -1 && hole >= 0)) {
      gan_fail(c, GAN_EARG, shape[d] == -1 ? "only one size may be -1, got %s"
                                           : "sizes must not be negative, got %s",
               gan_shape_text(c, n, sizes->v));
      return false;
    }
    if (shape[d] == -1) hole = d;
  }
  int64_t rest = 1, total;
  if (hole >= 0) {
    shape[hole] = 1;
    if (gan_count(n, shape, 1, &rest) && rest > 0) shape[hole] = x->numel / rest;
  }
  if (rest > 0 && gan_count(n, shape, 1, &total) && total == x->numel) return true;
  gan_fail(c, GAN_EARG, "x %s has %lld elements, they do not fit %s", gan_shape_of(c, x),
           (long long)x->numel, gan_shape_text(c, n, sizes->v));
  return false;
}

/* Strides that show x, which has elements, in another shape; false when no strides do. A run of
   old dimensions without gaps must be cut up by a run of new ones. */
static bool view_strides (const gan_tensor *x, int n, const int64_t *shape, int64_t *stride) {
  int64_t run = 1, base = 1; /* old run: elements, stride of its last dimension */
  int to = n - 1;
  for (int d = x->ndim - 1; d >= 0; d--) {
    if (run == 1) base = x->stride[d];
    if (x->shape[d] == 1) continue;
    run *= x->shape[d];
    int up = d - 1;
    while (up >= 0 && x->shape[up] == 1) up--;
    if (up >= 0 && x->stride[up] == run * base) continue; /* the run goes on */
    int64_t covered = 1;
    while (to >= 0 && (covered < run || shape[to] == 1)) {
      stride[to] = covered * base;
      covered *= shape[to--];
    }
    if (covered != run) return false;
    run = 1;
  }
  for (; to >= 0; to--) stride[to] = 1;
  return true;
}

/* x in another shape without a copy; NULL, without an error, when that is not possible. */
static gan_tensor *as_view (gan_ctx *c, const gan_tensor *x, int n, const int64_t *shape) {
  int64_t stride[GAN_MAXDIM];
  if (gan_is_contiguous(x)) gan_row_major(n, shape, stride);
  else if (!view_strides(x, n, shape, stride)) return NULL;
  return gan_view(c, x, n, shape, stride, 0);
}

static gan_tensor *in_shape (gan_ctx *c, gan_tensor *x, int n, const int64_t *shape) {
  gan_tensor *y = as_view(c, x, n, shape);
  if (y || c->status || !(x = gan_dense(c, x))) return y;
  return as_view(c, x, n, shape);
}

static void reshape (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int64_t shape[GAN_MAXDIM];
  if (complete_shape(c, a[0].t, &a[1], shape)) out[0] = in_shape(c, a[0].t, a[1].n, shape);
}

/* of every op in this file that keeps the elements in their order */
static void reshape_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = gan_reshape(c, gy[0], n->in[0].ndim, n->in[0].shape);
}

gan_op gan_op_reshape = {
  .name = "reshape",
  .sig = "x:any shape:shape",
  .forward = reshape,
  .vjp = reshape_vjp,
  .doc = "The elements of x, row by row, in another shape; one size may be -1.\n"
         "A view of x where its layout allows, otherwise a copy.",
  .example = "gan.arange(6):reshape(2, -1)",
};

static void view (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int64_t shape[GAN_MAXDIM];
  if (!complete_shape(c, a[0].t, &a[1], shape)) return;
  out[0] = as_view(c, a[0].t, a[1].n, shape);
  GAN_NEED(c, out[0] || c->status, "the layout of x %s does not allow it without a copy "
           "(use x:reshape or x:contiguous())", gan_shape_of(c, a[0].t));
}

static gan_op op_view = {
  .name = "view",
  .sig = "x:any shape:shape",
  .forward = view,
  .vjp = reshape_vjp,
  .doc = "The same memory in another shape; one size may be -1.\n"
         "An error where only a copy would do: see reshape.",
  .example = "gan.arange(6):view(3, 2)",
};

/* ---- permute, transpose ------------------------------------------------------------------- */

static gan_tensor *permuted (gan_ctx *c, const gan_tensor *x, const int *order) {
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM];
  for (int d = 0; d < x->ndim; d++) {
    shape[d] = x->shape[order[d]];
    stride[d] = x->stride[order[d]];
  }
  return gan_view(c, x, x->ndim, shape, stride, 0);
}

static void permute (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  bool mask[GAN_MAXDIM];
  int order[GAN_MAXDIM];
  GAN_NEED(c, a[1].n == x->ndim, "x %s has %d dimensions, %d were listed", gan_shape_of(c, x),
           x->ndim, a[1].n);
  if (!gan_dim_mask(c, x, a[1].n, a[1].v, mask)) return;
  for (int d = 0; d < x->ndim; d++) order[d] = gan_dim(c, x, a[1].v[d]);
  out[0] = permuted(c, x, order);
}

static void permute_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  int64_t back[GAN_MAXDIM];
  int ndim = n->in[0].ndim;
  for (int d = 0; d < ndim; d++) {
    int64_t from = n->a[1].v[d];
    back[from < 0 ? from + ndim : from] = d;
  }
  gx[0] = gan_permute(c, gy[0], ndim, back);
}

gan_op gan_op_permute = {
  .name = "permute",
  .sig = "x:any dims:dims",
  .forward = permute,
  .vjp = permute_vjp,
  .doc = "Dimensions in another order: y's dimension i is x's dimension dims[i]. A view.",
  .example = "gan.zeros(2, 3, 4):permute(3, 1, 2)",
};

static void transpose (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int order[GAN_MAXDIM] = { 0 };
  int p = gan_dim(c, x, a[1].i), q = gan_dim(c, x, a[2].i);
  if (p < 0 || q < 0) return;
  for (int d = 0; d < x->ndim; d++) order[d] = d;
  order[p] = q;
  order[q] = p;
  out[0] = permuted(c, x, order);
}

static gan_op op_transpose;

static void transpose_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = gan_run1(c, &op_transpose, GAN_ARGS(GAN_T(gy[0]), n->a[1], n->a[2]));
}

static gan_op op_transpose = {
  .name = "transpose",
  .sig = "x:any d1:dim d2:dim",
  .forward = transpose,
  .vjp = transpose_vjp,
  .doc = "Swaps two dimensions. A view.",
  .example = "gan.zeros(2, 3, 4):transpose(1, 3)",
};

static void t (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  GAN_NEED(c, x->ndim <= 2, "x %s has more than two dimensions (name them: "
           "x:transpose(d1, d2))", gan_shape_of(c, x));
  out[0] = x->ndim == 2 ? permuted(c, x, (const int[]){ 1, 0 }) : gan_detach(c, x);
}

static gan_op op_t;

static void t_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  (void)n;
  gx[0] = gan_run1(c, &op_t, GAN_ARGS(GAN_T(gy[0])));
}

static gan_op op_t = {
  .name = "t",
  .sig = "x:any",
  .forward = t,
  .vjp = t_vjp,
  .doc = "Rows become columns: a view of a matrix. A vector or number stays as it is.",
  .example = "gan.zeros(2, 3):t()",
};

gan_tensor *gan_transpose (gan_ctx *c, gan_tensor *x) {
  if (!x) return NULL;
  return gan_run1(c, &op_transpose, GAN_ARGS(GAN_T(x), GAN_I(-1), GAN_I(-2)));
}

/* ---- squeeze, unsqueeze, flatten ---------------------------------------------------------- */

static void squeeze (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  bool mask[GAN_MAXDIM];
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM];
  int n = 0;
  if (!gan_dim_mask(c, x, a[1].n, a[1].v, mask)) return;
  for (int d = 0; d < x->ndim; d++) {
    GAN_NEED(c, a[1].n < 0 || !mask[d] || x->shape[d] == 1,
             "dimension %d of x %s has size %lld, only a size of 1 can be taken away", d + 1,
             gan_shape_of(c, x), (long long)x->shape[d]);
    if (mask[d] && x->shape[d] == 1) continue;
    shape[n] = x->shape[d];
    stride[n++] = x->stride[d];
  }
  out[0] = gan_view(c, x, n, shape, stride, 0);
}

static gan_op op_squeeze = {
  .name = "squeeze",
  .sig = "x:any dims:dims?",
  .forward = squeeze,
  .vjp = reshape_vjp,
  .doc = "Takes the listed dimensions away, which must have size 1; without dims, all of size 1.\n"
         "A view.",
  .example = "gan.zeros(2, 1, 3):squeeze(2)",
};

int gan_new_dim (gan_ctx *c, int64_t dim, int ndim) {
  if (ndim > GAN_MAXDIM) {
    gan_fail(c, GAN_EARG, "the result would have %d dimensions, at most %d are possible", ndim,
             GAN_MAXDIM);
    return -1;
  }
  if (dim >= -ndim && dim < ndim) return (int)(dim < 0 ? dim + ndim : dim);
  gan_fail(c, GAN_EARG, "dimension %lld is out of range, the result has %d dimensions",
           (long long)(dim < 0 ? dim : dim + 1), ndim);
  return -1;
}

static void unsqueeze (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM];
  bool added[GAN_MAXDIM] = { false };
  int n = x->ndim + a[1].n;
  for (int k = 0; k < a[1].n; k++) {
    int d = gan_new_dim(c, a[1].v[k], n);
    if (d < 0) return;
    GAN_NEED(c, !added[d], "dimension %d is listed twice", d + 1);
    added[d] = true;
  }
  for (int d = 0, from = 0; d < n; d++) {
    shape[d] = added[d] ? 1 : x->shape[from];
    stride[d] = added[d] ? 1 : x->stride[from];
    from += !added[d];
  }
  out[0] = gan_view(c, x, n, shape, stride, 0);
}

static gan_op op_unsqueeze = {
  .name = "unsqueeze",
  .sig = "x:any dims:dims",
  .forward = unsqueeze,
  .vjp = reshape_vjp,
  .doc = "Adds dimensions of size 1; dims are their places in the result. A view.",
  .example = "gan.zeros(2, 3):unsqueeze(1)",
};

static void flatten (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int from = gan_dim(c, x, a[1].i), to = gan_dim(c, x, a[2].i);
  if (from < 0 || to < 0) return;
  GAN_NEED(c, from <= to, "start %d lies behind stop %d", from + 1, to + 1);
  int64_t shape[GAN_MAXDIM] = { 1 };
  int n = 0;
  for (int d = 0; d < x->ndim; d++) {
    if (d > from && d <= to) shape[n - 1] *= x->shape[d];
    else shape[n++] = x->shape[d];
  }
  out[0] = in_shape(c, x, n > 0 ? n : 1, shape);
}

static gan_op op_flatten = {
  .name = "flatten",
  .sig = "x:any start:dim=0 stop:dim=-1",
  .forward = flatten,
  .vjp = reshape_vjp,
  .doc = "Merges the dimensions start .. stop into one; without them all.\n"
         "x:flatten(2) keeps the batch. A view where x's layout allows, otherwise a copy.",
  .example = "gan.zeros(2, 3, 4):flatten(2)",
};

/* ---- the family --------------------------------------------------------------------------- */

gan_op *const gan_ops_shape[] = {
  &gan_op_reshape, &op_view, &gan_op_permute, &op_transpose, &op_t, &op_squeeze, &op_unsqueeze,
  &op_flatten, &gan_op_expand, &gan_op_slice, &gan_op_narrow, &gan_op_select, &gan_op_split,
  &gan_op_chunk, &gan_op_unslice, &gan_op_cat, &gan_op_stack, &gan_op_flip, &gan_op_roll,
  &gan_op_pad, &gan_op_tile, &gan_op_tril, &gan_op_triu, &gan_op_contiguous, NULL
};
