/*
** rnn.c - cells of recurrent networks, one time step each. Sequences are loops in Lua.
**
** A cell is two linear ops, p = x Wi' + bi and q = h Wh' + bh, and one op for everything
** element-wise after them.
*/
#include <stdatomic.h>
#include <string.h>

#include "../core/op.h"
#include "../kernels/rnn.h"

static int64_t grain (int64_t size) {
  return size >= 2048 ? 1 : 2048 / (size > 0 ? size : 1);
}

/* ---- the products -------------------------------------------------------------------------- */

static gan_tensor *linear (gan_ctx *c, const gan_arg *x, const gan_arg *w, const gan_arg *b) {
  static gan_op *_Atomic found;
  gan_op *op = atomic_load_explicit(&found, memory_order_relaxed);
  if (!op && (op = gan_op_find("linear"))) atomic_store_explicit(&found, op, memory_order_relaxed);
  if (!op) return gan_fail(c, GAN_EARG, "this build has no op 'linear'");
  gan_arg a[GAN_MAXARGS] = { *x, *w, *b };
  for (int i = 3; i < op->parsed->nargs; i++) {
    const gan_param *p = &op->parsed->p[i];
    a[i] = p->has_default ? p->value : GAN_NONE;
  }
  return gan_run1(c, op, a);
}

/* state has the shape (..., hidden) with x's leading dimensions */
static bool check_state (gan_ctx *c, const char *name, const gan_tensor *x, const gan_tensor *s,
                         int64_t hidden) {
  bool fits = s->ndim == x->ndim && s->shape[s->ndim - 1] == hidden;
  for (int d = 0; fits && d + 1 < s->ndim; d++) fits = s->shape[d] == x->shape[d];
  if (!fits)
    gan_fail(c, GAN_EARG, "the state '%s' %s does not fit the input %s and %lld hidden units", name,
             gan_shape_of(c, s), gan_shape_of(c, x), (long long)hidden);
  return fits;
}

static bool check_bias (gan_ctx *c, const char *name, const gan_arg *b, int64_t n) {
  if (b->n < 0 || !b->t || (b->t->ndim == 1 && b->t->numel == n)) return true;
  gan_fail(c, GAN_EARG, "argument '%s' must be (%lld), got %s", name, (long long)n,
           gan_shape_of(c, b->t));
  return false;
}

/* x, h, [c,] wi, wh, bi, bh: p and q; false on a wrong shape */
static bool products (gan_ctx *c, int gates, const gan_arg *x, const gan_arg *h, const gan_arg *w,
                      gan_tensor **pq) {
  const gan_tensor *wi = w[0].t, *wh = w[1].t;
  if (x->t->ndim < 1 || wi->ndim != 2 || wh->ndim != 2) {
    gan_fail(c, GAN_EARG, "x must be (..., in) and the weights matrices: x is %s, wi %s, wh %s",
             gan_shape_of(c, x->t), gan_shape_of(c, wi), gan_shape_of(c, wh));
    return false;
  }
  int64_t hidden = wh->shape[1], in = x->t->shape[x->t->ndim - 1];
  if (wh->shape[0] != gates * hidden || wi->shape[0] != gates * hidden || wi->shape[1] != in) {
    gan_fail(c, GAN_EARG, "with %lld features in x and %lld hidden units wi must be (%lld x %lld) "
             "and wh (%lld x %lld), got %s and %s", (long long)in, (long long)hidden,
             (long long)(gates * hidden), (long long)in, (long long)(gates * hidden),
             (long long)hidden, gan_shape_of(c, wi), gan_shape_of(c, wh));
    return false;
  }
  if (!check_state(c, "h", x->t, h->t, hidden) || !check_bias(c, "bi", &w[2], gates * hidden) ||
      !check_bias(c, "bh", &w[3], gates * hidden))
    return false;
  pq[0] = linear(c, x, &w[0], &w[2]);
  pq[1] = linear(c, h, &w[1], &w[3]);
  return pq[0] && pq[1];
}

/* part k of the last dimension, which has `of` parts */
static gan_tensor *part (gan_ctx *c, gan_tensor *x, int k, int of) {
  if (!x) return NULL;
  int64_t size = x->shape[x->ndim - 1] / of;
  return gan_slice(c, x, x->ndim - 1, k * size, size, 1);
}

/* x (1 - x) */
static gan_tensor *spread (gan_ctx *c, gan_tensor *x) {
  return gan_sub(c, x, gan_square(c, x));
}

/* 1 - x^2 */
static gan_tensor *tanh_slope (gan_ctx *c, gan_tensor *x) {
  return gan_shift(c, gan_neg(c, gan_square(c, x)), 1);
}

/* ---- lstm ---------------------------------------------------------------------------------- */

typedef struct {
  int64_t size;
  const gan_real *p, *q, *state, *gh, *gc1;
  gan_real *y1, *y2, *y3;
} cell_job;

static const gan_real *rows_of (const gan_real *x, int64_t n) {
  return x ? x + n : NULL;
}

static void lstm_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const cell_job *j = ud;
  int64_t at = lo * j->size;
  (void)worker;
  GAN_KERNEL(gan_rnn)->lstm(hi - lo, j->size, j->p + 4 * at, j->q + 4 * at, j->state + at,
                            j->y1 + at, j->y2 + at);
}

static void lstm_grad_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const cell_job *j = ud;
  int64_t at = lo * j->size;
  (void)worker;
  GAN_KERNEL(gan_rnn)->lstm_grad(hi - lo, j->size, j->p + 4 * at, j->q + 4 * at, j->state + at,
                                 rows_of(j->gh, at), rows_of(j->gc1, at), j->y1 + 4 * at,
                                 j->y2 + at);
}

/* Row-major p, q and state; the number of rows. -1 on failure. */
static int64_t read_cell (gan_ctx *c, const gan_arg *a, cell_job *j) {
  gan_tensor *p = gan_dense(c, a[0].t), *q = gan_dense(c, a[1].t), *s = gan_dense(c, a[2].t);
  if (!p || !q || !s) return -1;
  *j = (cell_job){ .p = gan_reals(p), .q = gan_reals(q), .state = gan_reals(s) };
  j->size = s->shape[s->ndim - 1];
  return j->size ? s->numel / j->size : 0;
}

static void lstm_gates (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  cell_job j;
  int64_t rows = read_cell(c, a, &j);
  if (rows < 0) return;
  for (int i = 0; i < 2; i++)
    if (!(out[i] = gan_new(c, GAN_REAL, a[2].t->ndim, a[2].t->shape))) return;
  j.y1 = gan_reals(out[0]);
  j.y2 = gan_reals(out[1]);
  gan_parallel(rows, grain(4 * j.size), lstm_rows, &j);
}

static void lstm_gates_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *s = gan_add(c, n->a[0].t, n->a[1].t), *c0 = n->a[2].t;
  gan_tensor *i = gan_sigmoid(c, part(c, s, 0, 4)), *f = gan_sigmoid(c, part(c, s, 1, 4));
  gan_tensor *g = gan_tanh(c, part(c, s, 2, 4)), *o = gan_sigmoid(c, part(c, s, 3, 4));
  gan_tensor *c1 = gan_add(c, gan_mul(c, f, c0), gan_mul(c, i, g)), *t = gan_tanh(c, c1);
  gan_tensor *x = gy[1], *d[4];
  if (gy[0]) {
    gan_tensor *through = gan_mul(c, gan_mul(c, gy[0], o), tanh_slope(c, t));
    x = x ? gan_add(c, x, through) : through;
  }
  d[0] = gan_mul(c, gan_mul(c, x, g), spread(c, i));
  d[1] = gan_mul(c, gan_mul(c, x, c0), spread(c, f));
  d[2] = gan_mul(c, gan_mul(c, x, i), tanh_slope(c, g));
  d[3] = gan_mul(c, gan_mul(c, gy[0] ? gy[0] : gan_scalar(c, 0), t), spread(c, o));
  if (gan_wants(n, 0) || gan_wants(n, 1)) gx[0] = gx[1] = gan_cat(c, 4, d, c0->ndim - 1);
  if (gan_wants(n, 2)) gx[2] = gan_mul(c, x, f);
}

static void lstm_gates_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  cell_job j;
  int64_t rows = read_cell(c, n->a, &j);
  gan_tensor *gh = gy[0] ? gan_dense(c, gy[0]) : NULL, *gc = gy[1] ? gan_dense(c, gy[1]) : NULL;
  gan_tensor *gp = gan_new(c, GAN_REAL, n->in[0].ndim, n->in[0].shape);
  gan_tensor *back = gan_new(c, GAN_REAL, n->in[2].ndim, n->in[2].shape);
  if (rows < 0 || c->status) return;
  j.gh = gh ? gan_reals(gh) : NULL;
  j.gc1 = gc ? gan_reals(gc) : NULL;
  j.y1 = gan_reals(gp);
  j.y2 = gan_reals(back);
  gan_parallel(rows, grain(4 * j.size), lstm_grad_rows, &j);
  gx[0] = gx[1] = gp;
  gx[2] = back;
}

static gan_op lstm_gates_op = {
  .name = "lstm_gates",
  .sig = "p:tensor q:tensor c:tensor -> h c1",
  .forward = lstm_gates,
  .vjp = lstm_gates_vjp,
  .fused = lstm_gates_fused,
  .save = "p q c",
  .doc = "Gates i f g o of p + q: c1 = f c + i g, h = o tanh(c1).",
  .flags = GAN_HIDDEN,
};

static void lstm_cell (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *pq[2];
  if (!products(c, 4, &a[0], &a[1], &a[3], pq)) return;
  if (!check_state(c, "c", a[0].t, a[2].t, a[4].t->shape[1])) return;
  gan_run(c, &lstm_gates_op, GAN_ARGS(GAN_T(pq[0]), GAN_T(pq[1]), a[2]), 2, out);
}

static gan_op lstm_cell_op = {
  .name = "lstm_cell",
  .sig = "x:tensor h:tensor c:tensor wi:tensor wh:tensor bi:tensor? bh:tensor? -> h c",
  .forward = lstm_cell,
  .doc = "One step of a long short-term memory; returns the new h and c.\n"
         "s = x wi' + bi + h wh' + bh holds the gates i f g o one after the other;\n"
         "c = sigmoid(f) c + sigmoid(i) tanh(g); h = sigmoid(o) tanh(c).\n"
         "x: (..., in); h, c: (..., hidden); wi: (4 hidden, in); wh: (4 hidden, hidden);\n"
         "bi, bh: (4 hidden). Hochreiter, Schmidhuber 1997; Gers, Schmidhuber, Cummins 2000.",
  .example = "local h, c = gan.lstm_cell(gan.randn(2, 3), gan.zeros(2, 4), gan.zeros(2, 4), "
             "gan.randn(16, 3), gan.randn(16, 4))",
  .flags = GAN_COMPOSITE,
};

/* ---- gru ----------------------------------------------------------------------------------- */

static void gru_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const cell_job *j = ud;
  int64_t at = lo * j->size;
  (void)worker;
  GAN_KERNEL(gan_rnn)->gru(hi - lo, j->size, j->p + 3 * at, j->q + 3 * at, j->state + at,
                           j->y1 + at);
}

static void gru_grad_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const cell_job *j = ud;
  int64_t at = lo * j->size;
  (void)worker;
  GAN_KERNEL(gan_rnn)->gru_grad(hi - lo, j->size, j->p + 3 * at, j->q + 3 * at, j->state + at,
                                j->gh + at, j->y1 + 3 * at, j->y2 + 3 * at, j->y3 + at);
}

static void gru_gates (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  cell_job j;
  int64_t rows = read_cell(c, a, &j);
  if (rows < 0 || !(out[0] = gan_new(c, GAN_REAL, a[2].t->ndim, a[2].t->shape))) return;
  j.y1 = gan_reals(out[0]);
  gan_parallel(rows, grain(3 * j.size), gru_rows, &j);
}

static void gru_gates_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *p = n->a[0].t, *q = n->a[1].t, *h = n->a[2].t, *qn = part(c, q, 2, 3);
  gan_tensor *r = gan_sigmoid(c, gan_add(c, part(c, p, 0, 3), part(c, q, 0, 3)));
  gan_tensor *z = gan_sigmoid(c, gan_add(c, part(c, p, 1, 3), part(c, q, 1, 3)));
  gan_tensor *m = gan_tanh(c, gan_add(c, part(c, p, 2, 3), gan_mul(c, r, qn)));
  gan_tensor *rest = gan_shift(c, gan_neg(c, z), 1), *d[3];
  d[2] = gan_mul(c, gan_mul(c, gy[0], rest), tanh_slope(c, m));
  d[1] = gan_mul(c, gan_mul(c, gy[0], gan_sub(c, h, m)), spread(c, z));
  d[0] = gan_mul(c, gan_mul(c, d[2], qn), spread(c, r));
  if (gan_wants(n, 0)) gx[0] = gan_cat(c, 3, d, h->ndim - 1);
  d[2] = gan_mul(c, d[2], r);
  if (gan_wants(n, 1)) gx[1] = gan_cat(c, 3, d, h->ndim - 1);
  if (gan_wants(n, 2)) gx[2] = gan_mul(c, gy[0], z);
}

static void gru_gates_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  cell_job j;
  int64_t rows = read_cell(c, n->a, &j);
  gan_tensor *gh = gan_dense(c, gy[0]);
  for (int i = 0; i < 3; i++) gx[i] = gan_new(c, GAN_REAL, n->in[i].ndim, n->in[i].shape);
  if (rows < 0 || c->status) return;
  j.gh = gan_reals(gh);
  j.y1 = gan_reals(gx[0]);
  j.y2 = gan_reals(gx[1]);
  j.y3 = gan_reals(gx[2]);
  gan_parallel(rows, grain(3 * j.size), gru_grad_rows, &j);
}

static gan_op gru_gates_op = {
  .name = "gru_gates",
  .sig = "p:tensor q:tensor h:tensor",
  .forward = gru_gates,
  .vjp = gru_gates_vjp,
  .fused = gru_gates_fused,
  .save = "p q h",
  .doc = "Gates r z n: n = tanh(p_n + r q_n), y = (1 - z) n + z h.",
  .flags = GAN_HIDDEN,
};

static void gru_cell (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *pq[2];
  if (!products(c, 3, &a[0], &a[1], &a[2], pq)) return;
  out[0] = gan_run1(c, &gru_gates_op, GAN_ARGS(GAN_T(pq[0]), GAN_T(pq[1]), a[1]));
}

static gan_op gru_cell_op = {
  .name = "gru_cell",
  .sig = "x:tensor h:tensor wi:tensor wh:tensor bi:tensor? bh:tensor? -> h",
  .forward = gru_cell,
  .doc = "One step of a gated recurrent unit; returns the new h.\n"
         "With p = x wi' + bi and q = h wh' + bh, each holding r z n one after the other:\n"
         "r = sigmoid(p_r + q_r); z = sigmoid(p_z + q_z); n = tanh(p_n + r q_n);\n"
         "h = (1 - z) n + z h. x: (..., in); h: (..., hidden); wi: (3 hidden, in);\n"
         "wh: (3 hidden, hidden); bi, bh: (3 hidden). Cho et al. 2014, in the form of cuDNN.",
  .example = "local h = gan.gru_cell(gan.randn(2, 3), gan.zeros(2, 4), gan.randn(12, 3), "
             "gan.randn(12, 4))",
  .flags = GAN_COMPOSITE,
};

/* ---- plain --------------------------------------------------------------------------------- */

static void rnn_tanh_cell (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *pq[2];
  if (!products(c, 1, &a[0], &a[1], &a[2], pq)) return;
  out[0] = gan_tanh(c, gan_add(c, pq[0], pq[1]));
}

static gan_op rnn_tanh_cell_op = {
  .name = "rnn_tanh_cell",
  .sig = "x:tensor h:tensor wi:tensor wh:tensor bi:tensor? bh:tensor? -> h",
  .forward = rnn_tanh_cell,
  .doc = "One step of a plain recurrent network: h = tanh(x wi' + bi + h wh' + bh).\n"
         "x: (..., in); h: (..., hidden); wi: (hidden, in); wh: (hidden, hidden); bi, bh: "
         "(hidden).\n"
         "Elman 1990.",
  .example = "local h = gan.rnn_tanh_cell(gan.randn(2, 3), gan.zeros(2, 4), gan.randn(4, 3), "
             "gan.randn(4, 4))",
  .flags = GAN_COMPOSITE,
};

gan_op *const gan_ops_rnn[] = {
  &rnn_tanh_cell_op, &gru_cell_op, &lstm_cell_op, &lstm_gates_op, &gru_gates_op, NULL
};
