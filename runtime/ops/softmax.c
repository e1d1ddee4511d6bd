/*
** softmax.c - softmax and log_softmax along one dimension.
*/
#include "../core/op.h"
#include "../kernels/softmax.h"

#define GRAIN 4096 /* elements that are worth a thread */

/* A dense tensor of any layout, seen in memory as outer x n x inner around the dimension. */
typedef struct {
  int64_t outer, n, inner, blocks; /* blocks: groups of columns for each outer index */
  bool log;
  const gan_real *x, *gy; /* gy NULL: forward */
  gan_real *y;
} job;

static void plan (job *p, const gan_tensor *t, int dim) {
  p->n = t->ndim ? t->shape[dim] : 1;
  p->inner = p->n > 1 ? t->stride[dim] : 1;
  p->outer = t->numel / (p->n * p->inner);
  p->blocks = (p->inner + GAN_SOFTMAX_COLS - 1) / GAN_SOFTMAX_COLS;
}

static void row_range (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  const job *p = ud;
  const gan_softmax_table *t = GAN_KERNEL(gan_softmax);
  int64_t at = lo * p->n, rows = hi - lo;
  if (p->gy)
    (p->log ? t->log_grad_rows : t->grad_rows)(rows, p->n, p->x + at, p->gy + at, p->y + at);
  else (p->log ? t->log_rows : t->rows)(rows, p->n, p->x + at, p->y + at);
}

static void column_range (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  const job *p = ud;
  const gan_softmax_table *t = GAN_KERNEL(gan_softmax);
  for (int64_t i = lo; i < hi; i++) {
    int64_t col = i % p->blocks * GAN_SOFTMAX_COLS, at = i / p->blocks * p->n * p->inner + col;
    int64_t cols = p->inner - col < GAN_SOFTMAX_COLS ? p->inner - col : GAN_SOFTMAX_COLS;
    if (p->gy)
      (p->log ? t->log_grad_cols : t->grad_cols)(cols, p->n, p->inner, p->x + at, p->gy + at,
                                                 p->y + at);
    else (p->log ? t->log_cols : t->cols)(cols, p->n, p->inner, p->x + at, p->y + at);
  }
}

static void run (job *p) {
  if (p->inner == 1) {
    gan_parallel(p->outer, p->n < GRAIN ? GRAIN / p->n : 1, row_range, p);
    return;
  }
  int64_t cols = p->inner < GAN_SOFTMAX_COLS ? p->inner : GAN_SOFTMAX_COLS, each = p->n * cols;
  gan_parallel(p->outer * p->blocks, each < GRAIN ? GRAIN / each : 1, column_range, p);
}

static void forward (gan_ctx *c, const gan_arg *a, gan_tensor **out, bool log) {
  gan_tensor *x = a[0].t;
  job p = { .log = log };
  int dim = gan_dim(c, x, a[1].i);
  if (dim < 0) return;
  if (!gan_is_dense(x)) x = gan_dense(c, x);
  gan_tensor *y = out[0] = x ? gan_new_like(c, x, GAN_REAL) : NULL;
  if (!y || y->numel == 0) return;
  plan(&p, x, dim);
  p.x = gan_reals(x);
  p.y = gan_reals(y);
  run(&p);
}

static void softmax_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  forward(c, a, out, false);
}

static void log_softmax_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  forward(c, a, out, true);
}

static gan_tensor *sum_along (gan_ctx *c, const gan_node *n, gan_tensor *g) {
  return n->in[0].ndim ? gan_sum(c, g, 1, &n->a[1].i, true) : g;
}

static void softmax_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *y = gan_saved_out(c, n, 0), *g = gan_mul(c, gy[0], y);
  gx[0] = gan_sub(c, g, gan_mul(c, y, sum_along(c, n, g)));
}

static void log_softmax_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *y = gan_saved_out(c, n, 0);
  gx[0] = gan_sub(c, gy[0], gan_mul(c, gan_exp(c, y), sum_along(c, n, gy[0])));
}

static void fused (gan_ctx *c, const gan_node *n, gan_tensor *gy, gan_tensor **gx, bool log) {
  gan_tensor *y = n->saved[0];
  job p = { .log = log };
  int dim = gan_dim(c, y, n->a[1].i);
  if (!gan_is_dense(y) || !gan_same_layout(y, gy)) {
    y = gan_dense(c, y);
    gy = gan_dense(c, gy);
  }
  if (!y || !gy || dim < 0) return;
  gx[0] = gan_new_like(c, y, GAN_REAL);
  if (!gx[0] || y->numel == 0) return;
  plan(&p, y, dim);
  p.x = gan_reals(y);
  p.gy = gan_reals(gy);
  p.y = gan_reals(gx[0]);
  run(&p);
}

static void softmax_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  fused(c, n, gy[0], gx, false);
}

static void log_softmax_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  fused(c, n, gy[0], gx, true);
}

gan_op gan_op_softmax = {
  .name = "softmax",
  .sig = "x:tensor dim:dim=-1",
  .forward = softmax_forward,
  .vjp = softmax_vjp,
  .fused = softmax_fused,
  .save = "y",
  .doc = "exp(x) / sum of exp(x) along a dimension (default: the last).\n"
         "Same shape as x; positive, sums to 1. Finite for every finite x.",
  .example = "gan.randn(4, 10):softmax(2)"
};

gan_op gan_op_log_softmax = {
  .name = "log_softmax",
  .sig = "x:tensor dim:dim=-1",
  .forward = log_softmax_forward,
  .vjp = log_softmax_vjp,
  .fused = log_softmax_fused,
  .save = "y",
  .doc = "x - log of the sum of exp(x) along a dimension (default: the last).\n"
         "Same shape as x. Exact where the logarithm of softmax(x) would be -inf.",
  .example = "gan.randn(4, 10):log_softmax(2)"
};

gan_op *const gan_ops_softmax[] = { &gan_op_softmax, &gan_op_log_softmax, NULL };
