/*
** matmul.c - matrix products: matmul, bmm, addmm, linear, dot, outer. (einsum: einsum.c)
**
** Transposed inputs are passed on as flags of the product and never copied; other views are made
** dense first, but a broadcast or strided batch is walked in place.
*/
#include <string.h>

#include "activation.h"
#include "../core/op.h"

#define BATCH_GRAIN ((double)(32 * 32 * 32)) /* least multiplications that are worth a thread */

/* ---- views -------------------------------------------------------------------------------- */

/* The last two dimensions of a tensor as an operand of gan_gemm. */
typedef struct {
  bool trans;
  int64_t ld;
} layout;

static bool read_layout (const gan_tensor *t, layout *l) {
  int64_t rows = t->shape[t->ndim - 2], cols = t->shape[t->ndim - 1];
  int64_t rs = t->stride[t->ndim - 2], cs = t->stride[t->ndim - 1];
  if ((cols <= 1 || cs == 1) && (rows <= 1 || rs >= cols)) {
    *l = (layout){ false, rows <= 1 || rs < 1 ? (cols > 0 ? cols : 1) : rs };
    return true;
  }
  if ((rows <= 1 || rs == 1) && (cols <= 1 || cs >= rows)) {
    *l = (layout){ true, cols <= 1 || cs < 1 ? (rows > 0 ? rows : 1) : cs };
    return true;
  }
  return false;
}

/* t, or a dense copy when the product cannot read t as it is */
static gan_tensor *readable (gan_ctx *c, gan_tensor *t, layout *l) {
  if (t && !read_layout(t, l)) {
    t = gan_dense(c, t);
    if (t) read_layout(t, l);
  }
  return t;
}

/* A vector as a matrix: a row, or a column when `column`. */
static gan_tensor *as_matrix (gan_ctx *c, gan_tensor *t, bool column) {
  if (t->ndim > 1) return t;
  int64_t shape[2] = { column ? t->shape[0] : 1, column ? 1 : t->shape[0] };
  int64_t stride[2] = { column ? t->stride[0] : 1, column ? 1 : t->stride[0] };
  return gan_view(c, t, 2, shape, stride, 0);
}

/* x as a matrix whose last dimension is x's: no copy when the rest can be walked as one. */
static gan_tensor *as_rows (gan_ctx *c, gan_tensor *x) {
  if (x->ndim == 2) return x;
  if (x->ndim == 1) return as_matrix(c, x, false);
  int64_t cols = x->shape[x->ndim - 1], rows = 1;
  for (int d = 0; d < x->ndim - 1; d++) rows *= x->shape[d];
  gan_tensor *t = gan_dense(c, x);
  return t ? gan_view(c, t, 2, (int64_t[]){ rows, cols }, (int64_t[]){ cols, 1 }, 0) : NULL;
}

/* ---- matmul ------------------------------------------------------------------------------- */

typedef struct {
  int64_t m, n, k, batches;
  int nbatch; /* dimensions of the batch */
  bool cut;   /* each product is cut over the threads */
  int64_t shape[GAN_MAXDIM], a_stride[GAN_MAXDIM], b_stride[GAN_MAXDIM];
  layout la, lb;
  const gan_real *a, *b;
  gan_real *y;
} batched;

static void batch_range (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  const batched *p = ud;
  for (int64_t i = lo; i < hi; i++) {
    const gan_real *a = p->a, *b = p->b;
    int64_t rest = i;
    for (int d = p->nbatch - 1; d >= 0; d--) {
      int64_t at = rest % p->shape[d];
      rest /= p->shape[d];
      a += at * p->a_stride[d];
      b += at * p->b_stride[d];
    }
    (p->cut ? gan_gemm : gan_gemm_serial)(
        p->la.trans, p->lb.trans, p->m, p->n, p->k, 1, a, p->la.ld, b, p->lb.ld, 0,
        p->y + i * p->m * p->n, p->n);
  }
}

/* Fewer products than threads: each is cut; otherwise every thread takes whole ones. */
static void run_batches (batched *p) {
  p->cut = p->batches == 1 || p->batches < gan_threads();
  if (p->cut) {
    batch_range(p, 0, p->batches, 0);
    return;
  }
  double work = (double)p->m * (double)p->n * (double)(p->k > 0 ? p->k : 1);
  double grain = BATCH_GRAIN / work;
  if (grain < 1) grain = 1;
  if (grain > (double)p->batches) grain = (double)p->batches;
  gan_count_work(2 * work * (double)p->batches);
  gan_parallel(p->batches, (int64_t)grain, batch_range, p);
}

static void batch_strides (const gan_tensor *t, int nbatch, int64_t *stride) {
  int off = nbatch - (t->ndim - 2);
  for (int d = 0; d < nbatch; d++)
    stride[d] = d < off || t->shape[d - off] == 1 ? 0 : t->stride[d - off];
}

/* Broadcasts the batch dimensions of two tensors of at least two dimensions. */
static bool batch_shape (gan_ctx *c, const gan_tensor *a, const gan_tensor *b, batched *p) {
  int na = a->ndim - 2, nb = b->ndim - 2;
  p->nbatch = na > nb ? na : nb;
  p->batches = 1;
  for (int d = 0; d < p->nbatch; d++) {
    int64_t x = d < p->nbatch - na ? 1 : a->shape[d - (p->nbatch - na)];
    int64_t y = d < p->nbatch - nb ? 1 : b->shape[d - (p->nbatch - nb)];
    if (x != y && x != 1 && y != 1) {
      gan_fail(c, GAN_EARG, "batch sizes do not match, %s and %s", gan_shape_of(c, a),
               gan_shape_of(c, b));
      return false;
    }
    p->shape[d] = x == 1 ? y : x;
  }
  return gan_count(p->nbatch, p->shape, 1, &p->batches);
}

static gan_tensor *new_result (gan_ctx *c, const batched *p, bool rows, bool cols) {
  int64_t shape[GAN_MAXDIM + 2];
  int nd = p->nbatch;
  memcpy(shape, p->shape, (size_t)nd * sizeof *shape);
  if (rows) shape[nd++] = p->m;
  if (cols) shape[nd++] = p->n;
  return gan_new(c, GAN_REAL, nd, shape);
}

/* A batch times one matrix is one product of all rows, when the batch lies in rows. */
static void join_rows (batched *p, const gan_tensor *a, const gan_tensor *b) {
  if (b->ndim != 2 || p->nbatch == 0 || !gan_is_contiguous(a)) return;
  p->m *= p->batches;
  p->batches = 1;
  p->nbatch = 0;
  p->la = (layout){ false, p->k > 0 ? p->k : 1 };
}

static void matmul_forward (gan_ctx *c, const gan_arg *arg, gan_tensor **out) {
  gan_tensor *a = arg[0].t, *b = arg[1].t;
  bool rows = a->ndim > 1, cols = b->ndim > 1;
  batched p = { 0 };
  GAN_NEED(c, a->ndim && b->ndim, "needs tensors of at least 1 dimension, got %s and %s",
           gan_shape_of(c, a), gan_shape_of(c, b));
  p.k = a->shape[a->ndim - 1];
  GAN_NEED(c, p.k == b->shape[cols ? b->ndim - 2 : 0], "inner sizes differ, %s and %s",
           gan_shape_of(c, a), gan_shape_of(c, b));
  a = as_matrix(c, a, false);
  b = as_matrix(c, b, true);
  if (!a || !b || !batch_shape(c, a, b, &p)) return;
  p.m = a->shape[a->ndim - 2];
  p.n = b->shape[b->ndim - 1];
  gan_tensor *y = out[0] = new_result(c, &p, rows, cols);
  if (!y || y->numel == 0) return;
  a = readable(c, a, &p.la);
  b = readable(c, b, &p.lb);
  if (!a || !b) return;
  batch_strides(a, p.nbatch, p.a_stride);
  batch_strides(b, p.nbatch, p.b_stride);
  join_rows(&p, a, b);
  p.a = gan_reals(a);
  p.b = gan_reals(b);
  p.y = gan_reals(y);
  run_batches(&p);
}

/* x with a dimension of size 1 put in at `at` */
static gan_tensor *insert_dim (gan_ctx *c, gan_tensor *x, int at) {
  int64_t shape[GAN_MAXDIM + 1];
  if (!x) return NULL;
  for (int d = 0; d <= x->ndim; d++)
    shape[d] = d < at ? x->shape[d] : d == at ? 1 : x->shape[d - 1];
  return gan_reshape(c, x, x->ndim + 1, shape);
}

/* x as a matrix of rows of the last dimension's size, by an op */
static gan_tensor *flat_rows (gan_ctx *c, gan_tensor *x) {
  if (!x || x->ndim == 2) return x;
  int64_t cols = x->ndim ? x->shape[x->ndim - 1] : 1, rows = 1;
  for (int d = 0; d < x->ndim - 1; d++) rows *= x->shape[d];
  return gan_reshape(c, x, 2, (int64_t[]){ rows, cols });
}

/* g brought to the shape of input i: batch dimensions that were broadcast are summed */
static gan_tensor *to_input (gan_ctx *c, const gan_node *n, int i, gan_tensor *g) {
  const gan_edge *e = &n->in[i];
  if (!g) return NULL;
  if (e->ndim == 1) {
    int64_t shape[2] = { i == 0 ? 1 : e->shape[0], i == 0 ? e->shape[0] : 1 };
    return gan_reshape(c, gan_sum_to(c, g, 2, shape), 1, e->shape);
  }
  return gan_sum_to(c, g, e->ndim, e->shape);
}

static void matmul_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *a = n->a[0].t, *b = n->a[1].t, *g = gy[0];
  bool rows = a->ndim > 1, cols = b->ndim > 1;
  if (!cols) g = insert_dim(c, g, g->ndim);
  if (!rows && g) g = insert_dim(c, g, g->ndim - 1);
  if (!rows) a = insert_dim(c, a, 0);
  if (!cols) b = insert_dim(c, b, 1);
  if (!a || !b || !g) return;
  if (gan_wants(n, 0)) gx[0] = to_input(c, n, 0, gan_matmul(c, g, gan_transpose(c, b)));
  if (!gan_wants(n, 1)) return;
  if (b->ndim == 2 && a->ndim > 2) { /* one product also sums over the batch */
    a = flat_rows(c, a);
    g = flat_rows(c, g);
  }
  gx[1] = to_input(c, n, 1, gan_matmul(c, gan_transpose(c, a), g));
}

gan_op gan_op_matmul = {
  .name = "matmul",
  .sig = "a:tensor b:tensor",
  .forward = matmul_forward,
  .vjp = matmul_vjp,
  .save = "a b",
  .doc = "Matrix product a b.\n"
         "(..., m, k) and (..., k, n) give (..., m, n); leading dimensions broadcast. A vector is\n"
         "a row on the left, a column on the right, and its dimension is missing in the result:\n"
         "two vectors give a number of 0 dimensions. Error when the inner sizes differ.",
  .example = "gan.ones(2, 3):matmul(gan.ones(3, 4))"
};

/* ---- bmm ---------------------------------------------------------------------------------- */

static void bmm_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  const gan_tensor *x = a[0].t, *y = a[1].t;
  GAN_NEED(c, x->ndim == 3 && y->ndim == 3, "needs two tensors of 3 dimensions, got %s and %s",
           gan_shape_of(c, x), gan_shape_of(c, y));
  GAN_NEED(c, x->shape[0] == y->shape[0], "batch sizes differ, %s and %s", gan_shape_of(c, x),
           gan_shape_of(c, y));
  matmul_forward(c, a, out);
}

static gan_op op_bmm = {
  .name = "bmm",
  .sig = "a:tensor b:tensor",
  .forward = bmm_forward,
  .vjp = matmul_vjp,
  .save = "a b",
  .doc = "Products of two batches of matrices.\n"
         "(n, i, k) and (n, k, j) give (n, i, j). Unlike matmul nothing broadcasts.",
  .example = "gan.ones(5, 2, 3):bmm(gan.ones(5, 3, 4))"
};

/* ---- addmm -------------------------------------------------------------------------------- */

/* y = c broadcast to y's shape */
static bool spread (gan_ctx *c, gan_tensor *y, gan_tensor *from) {
  int off = y->ndim - from->ndim;
  int64_t stride[GAN_MAXDIM];
  bool ok = off >= 0;
  for (int d = 0; d < y->ndim && ok; d++) {
    int64_t size = d < off ? 1 : from->shape[d - off];
    ok = size == y->shape[d] || size == 1;
    stride[d] = size == 1 ? 0 : from->stride[d - off];
  }
  if (!ok) {
    gan_fail(c, GAN_EARG, "c %s does not broadcast to the product's shape %s",
             gan_shape_of(c, from), gan_shape_of(c, y));
    return false;
  }
  gan_tensor *v = gan_view(c, from, y->ndim, y->shape, stride, 0);
  if (v) gan_copy_into(c, y, v);
  return v && !c->status;
}

static void addmm_forward (gan_ctx *c, const gan_arg *arg, gan_tensor **out) {
  gan_tensor *a = arg[1].t, *b = arg[2].t;
  double alpha = arg[3].num, beta = arg[4].num;
  layout la, lb;
  GAN_NEED(c, a->ndim == 2 && b->ndim == 2, "needs matrices, got %s and %s", gan_shape_of(c, a),
           gan_shape_of(c, b));
  GAN_NEED(c, a->shape[1] == b->shape[0], "inner sizes differ, %s and %s", gan_shape_of(c, a),
           gan_shape_of(c, b));
  int64_t m = a->shape[0], n = b->shape[1], k = a->shape[1];
  gan_tensor *y = out[0] = gan_new(c, GAN_REAL, 2, (int64_t[]){ m, n });
  if (!y || !spread(c, y, arg[0].t)) return;
  a = readable(c, a, &la);
  b = readable(c, b, &lb);
  if (!a || !b) return;
  gan_gemm(la.trans, lb.trans, m, n, k, (gan_real)alpha, gan_reals(a), la.ld, gan_reals(b), lb.ld,
           (gan_real)beta, gan_reals(y), n);
}

static void addmm_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *a = n->a[1].t, *b = n->a[2].t;
  double alpha = n->a[3].num, beta = n->a[4].num;
  if (gan_wants(n, 0))
    gx[0] = gan_sum_to(c, gan_scale(c, gy[0], beta), n->in[0].ndim, n->in[0].shape);
  gan_tensor *g = gan_wants(n, 1) || gan_wants(n, 2) ? gan_scale(c, gy[0], alpha) : NULL;
  if (gan_wants(n, 1)) gx[1] = gan_matmul(c, g, gan_transpose(c, b));
  if (gan_wants(n, 2)) gx[2] = gan_matmul(c, gan_transpose(c, a), g);
}

static gan_op op_addmm = {
  .name = "addmm",
  .sig = "c:tensor a:tensor b:tensor ; alpha:number=1 beta:number=1",
  .forward = addmm_forward,
  .vjp = addmm_vjp,
  .save = "a b",
  .doc = "beta c + alpha a b.\n"
         "a (m, k), b (k, n), c broadcasts to (m, n). With beta 0 the values of c do not count,\n"
         "not even NaN.",
  .example = "gan.addmm(gan.ones(4), gan.ones(2, 3), gan.ones(3, 4), {beta=0.5})"
};

/* ---- linear ------------------------------------------------------------------------------- */

static bool linear_shapes (gan_ctx *c, const gan_tensor *x, const gan_tensor *w,
                           const gan_tensor *b) {
  if (w->ndim != 2)
    gan_fail(c, GAN_EARG, "the weight w must be a matrix (out x in), got %s", gan_shape_of(c, w));
  else if (x->ndim == 0 || x->shape[x->ndim - 1] != w->shape[1])
    gan_fail(c, GAN_EARG, "x %s has %lld features in its last dimension, the weight %s expects "
             "%lld",
             gan_shape_of(c, x), x->ndim ? (long long)x->shape[x->ndim - 1] : 0LL,
             gan_shape_of(c, w), (long long)w->shape[1]);
  else if (b && (b->ndim != 1 || b->shape[0] != w->shape[0]))
    gan_fail(c, GAN_EARG, "the bias b must have shape (%lld) for the %lld outputs of the weight "
             "%s, got %s", (long long)w->shape[0], (long long)w->shape[0], gan_shape_of(c, w),
             gan_shape_of(c, b));
  return !c->status;
}

static void linear_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t, *w = a[1].t, *b = a[2].n < 0 ? NULL : a[2].t;
  gan_epilogue e = gan_read_epilogue(a + 3);
  int64_t shape[GAN_MAXDIM];
  layout lx, lw;
  if (!linear_shapes(c, x, w, b) || !gan_check_epilogue(c, e)) return;
  memcpy(shape, x->shape, x->ndim * sizeof *shape);
  shape[x->ndim - 1] = w->shape[0];
  gan_tensor *y = out[0] = gan_new(c, GAN_REAL, x->ndim, shape);
  if (!y || y->numel == 0) return;
  x = as_rows(c, x);
  if (x) x = readable(c, x, &lx);
  w = readable(c, w, &lw);
  if (b) b = gan_dense(c, b);
  if (c->status) return;
  gan_gemm_bias(lx.trans, !lw.trans, x->shape[0], w->shape[0], x->shape[1], gan_reals(x), lx.ld,
                gan_reals(w), lw.ld, b ? gan_reals(b) : NULL, e.f, (gan_real)e.slope,
                gan_reals(y), w->shape[0]);
}

static void linear_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *g = gan_through_epilogue(c, n, gan_read_epilogue(n->a + 3), gy[0]);
  g = flat_rows(c, g);
  if (!g) return;
  if (gan_wants(n, 0)) {
    gx[0] = gan_matmul(c, g, n->a[1].t);
    if (n->in[0].ndim != 2) gx[0] = gan_reshape(c, gx[0], n->in[0].ndim, n->in[0].shape);
  }
  if (gan_wants(n, 1)) gx[1] = gan_matmul(c, gan_transpose(c, g), flat_rows(c, n->a[0].t));
  if (gan_wants(n, 2)) gx[2] = gan_sum(c, g, 1, (int64_t[]){ 0 }, false);
}

static void linear_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *g = gan_through_epilogue_fused(c, n, gan_read_epilogue(n->a + 3), gy[0]);
  gan_tensor *w = n->a[1].t, *x = n->a[0].t;
  layout lg, lw, lx;
  if (g) g = as_rows(c, g);
  if (g) g = readable(c, g, &lg);
  if (!g) return;
  int64_t m = g->shape[0], outs = g->shape[1], ins = w->shape[1];
  if (gan_wants(n, 0) && (w = readable(c, w, &lw))) {
    gx[0] = gan_new(c, GAN_REAL, n->in[0].ndim, n->in[0].shape);
    if (!gx[0]) return;
    gan_gemm(lg.trans, lw.trans, m, ins, outs, 1, gan_reals(g), lg.ld, gan_reals(w), lw.ld, 0,
             gan_reals(gx[0]), ins);
  }
  if (gan_wants(n, 1) && (x = as_rows(c, x)) && (x = readable(c, x, &lx))) {
    gx[1] = gan_new(c, GAN_REAL, 2, n->in[1].shape);
    if (!gx[1]) return;
    gan_gemm(!lg.trans, lx.trans, outs, ins, m, 1, gan_reals(g), lg.ld, gan_reals(x), lx.ld, 0,
             gan_reals(gx[1]), ins);
  }
  if (gan_wants(n, 2)) gx[2] = gan_sum(c, g, 1, (int64_t[]){ 0 }, false);
}

static gan_op op_linear = {
  .name = "linear",
  .sig = "x:tensor w:tensor b:tensor? ; " GAN_ACTIVATION_SIG,
  .forward = linear_forward,
  .vjp = linear_vjp,
  .fused = linear_fused,
  .save = "x w y",
  .doc = "x w' + b: a fully connected layer, with its activation.\n"
         "x (..., in), w (out, in), b (out) give (..., out). The activation is applied in the\n"
         "same pass; slope, which must be positive, is leaky_relu's. Error when the feature\n"
         "counts of x and w differ.",
  .example = "gan.randn(8, 3):linear(gan.randn(4, 3), gan.zeros(4), {activation=\"relu\"})"
};

/* ---- dot, outer --------------------------------------------------------------------------- */

static void dot_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t, *y = a[1].t;
  GAN_NEED(c, x->ndim == 1 && y->ndim == 1 && x->shape[0] == y->shape[0],
           "needs two vectors of one length, got %s and %s", gan_shape_of(c, x),
           gan_shape_of(c, y));
  x = gan_dense(c, x);
  y = gan_dense(c, y);
  if (!x || !y) return;
  out[0] = gan_scalar(c, GAN_KERNEL(gan_gemm)->dot(x->numel, gan_reals(x), gan_reals(y)));
}

static void dot_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = gan_mul(c, n->a[1].t, gy[0]);
  if (gan_wants(n, 1)) gx[1] = gan_mul(c, n->a[0].t, gy[0]);
}

static gan_op op_dot = {
  .name = "dot",
  .sig = "a:tensor b:tensor",
  .forward = dot_forward,
  .vjp = dot_vjp,
  .save = "a b",
  .doc = "Sum of a[i] b[i] of two vectors of one length, a number of 0 dimensions.",
  .example = "gan.tensor({1, 2, 3}):dot(gan.tensor({4, 5, 6}))"
};

static void outer_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t, *y = a[1].t;
  GAN_NEED(c, x->ndim == 1 && y->ndim == 1, "needs two vectors, got %s and %s", gan_shape_of(c, x),
           gan_shape_of(c, y));
  x = gan_reshape(c, x, 2, (int64_t[]){ x->numel, 1 });
  out[0] = gan_mul(c, x, y);
}

static void outer_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = gan_matmul(c, gy[0], n->a[1].t);
  if (gan_wants(n, 1)) gx[1] = gan_matmul(c, n->a[0].t, gy[0]);
}

static gan_op op_outer = {
  .name = "outer",
  .sig = "a:tensor b:tensor",
  .forward = outer_forward,
  .vjp = outer_vjp,
  .save = "a b",
  .doc = "y[i][j] = a[i] b[j]: vectors of m and n elements give (m, n).",
  .example = "gan.tensor({1, 2}):outer(gan.tensor({3, 4, 5}))"
};

extern gan_op gan_op_einsum, gan_op_einsum_plain; /* einsum.c, einsum_plain.c */
extern gan_op gan_op_eigh; /* eigen.c */

gan_op *const gan_ops_matmul[] = {
  &gan_op_matmul, &op_bmm, &op_linear, &op_addmm, &op_dot, &op_outer, &gan_op_einsum,
  &gan_op_einsum_plain, &gan_op_eigh, NULL
};
