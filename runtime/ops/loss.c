/*
** loss.c - losses that compare two tensors element by element.
**
** Forward is one pass without temporaries: pieces of PIECE elements go through a buffer in the
** first-level cache, chunks of CHUNK elements through the thread team, and the chunks' sums are
** added up in double, in order. The first-order gradient is one pass too. Gradients of higher order
** use each loss's two derivatives, written with ops.
*/
#include <stddef.h>

#include "../kernels/loss.h"
#include "loss.h"
#include "pointwise.h"

#define PIECE 512
#define CHUNK 4096

/* What the gradients, written with ops, may read. */
typedef struct {
  gan_ctx *c;
  gan_tensor *x, *t, *pos; /* pos: NULL without pos_weight */
  double p;
} terms;

typedef gan_tensor *derivative(const terms *e);

/* How one loss differs from another. Arguments: 0 x, 1 t, then weights, then attributes. */
typedef struct {
  const char *x_name, *t_name;
  int reduction;             /* number of this argument */
  int param, weight, pos;    /* numbers of arguments, 0: there is none */
  bool probability;          /* x must lie in [0, 1] */
  bool costly;               /* an element takes an exponential or a logarithm */
  size_t fns;                /* its functions: offset in the table of kernels */
  void (*check)(gan_ctx *c, const gan_arg *a); /* of attributes; may be NULL */
  derivative *dx, *dt;                         /* dt NULL: -dx */
} kind;

/* ---- shared by all losses ----------------------------------------------------------------- */

bool gan_loss_shapes (gan_ctx *c, const char *x_name, const gan_tensor *x, const char *t_name,
                      const gan_tensor *t) {
  if (gan_same_shape(x, t)) return true;
  gan_fail(c, GAN_EARG, "%s and %s must have the same shape, got %s and %s (losses do not "
           "broadcast)", x_name, t_name, gan_shape_of(c, x), gan_shape_of(c, t));
  return false;
}

gan_tensor *gan_loss_reduce (gan_ctx *c, gan_tensor *l, int64_t reduction) {
  if (!l || reduction == GAN_RED_NONE) return l;
  return reduction == GAN_RED_SUM ? gan_sum(c, l, -1, NULL, false)
                                  : gan_mean(c, l, -1, NULL, false);
}

gan_tensor *gan_loss_spread (gan_ctx *c, gan_tensor *gy, int64_t reduction, int64_t n) {
  return reduction == GAN_RED_MEAN ? gan_scale(c, gy, 1.0 / (double)n) : gy;
}

bool gan_loss_constant (gan_ctx *c, const gan_node *n, int i, const char *name) {
  if (!gan_wants(n, i)) return true;
  gan_fail(c, GAN_EGRAPH, "'%s' has no gradient: pass %s:detach()", name, name);
  return false;
}

/* ---- one pass ----------------------------------------------------------------------------- */

typedef struct {
  const gan_loss_fns *f;
  int64_t n;
  gan_real p, g;
  const gan_real *x, *t, *w, *pos, *gy; /* w, pos, gy: NULL when there is none */
  gan_real *out;                        /* losses or gradients; NULL: only their sum */
  double *sum;                          /* of each chunk */
  int64_t *bad;                         /* place of an element outside [0, 1], or -1; or NULL */
} pass;

static int64_t chunks_of (int64_t n) {
  return (n + CHUNK - 1) / CHUNK;
}

static int64_t chunk_end (const pass *p, int64_t chunk) {
  return (chunk + 1) * CHUNK < p->n ? (chunk + 1) * CHUNK : p->n;
}

static void value_range (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  const pass *p = ud;
  const gan_loss_table *k = GAN_KERNEL(gan_loss);
  gan_real buffer[PIECE];
  for (int64_t chunk = lo; chunk < hi; chunk++) {
    int64_t end = chunk_end(p, chunk);
    double sum = 0;
    if (p->bad) p->bad[chunk] = -1;
    for (int64_t i = chunk * CHUNK; i < end; i += PIECE) {
      int64_t n = end - i < PIECE ? end - i : PIECE;
      gan_real *y = p->out ? p->out + i : buffer;
      int64_t bad = p->bad ? k->outside(n, p->x + i) : -1;
      if (bad >= 0 && p->bad[chunk] < 0) p->bad[chunk] = i + bad;
      p->f->value(n, p->x + i, p->t + i, p->pos ? p->pos + i : NULL, p->p, y);
      if (p->w) k->times(n, p->w + i, y);
      if (!p->out) sum += k->sum(n, y);
    }
    if (p->sum) p->sum[chunk] = sum;
  }
}

static void slope_range (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  const pass *p = ud;
  const gan_loss_table *k = GAN_KERNEL(gan_loss);
  for (int64_t chunk = lo; chunk < hi; chunk++) {
    int64_t end = chunk_end(p, chunk);
    for (int64_t i = chunk * CHUNK; i < end; i += PIECE) {
      int64_t n = end - i < PIECE ? end - i : PIECE;
      gan_real *y = p->out + i;
      p->f->slope(n, p->x + i, p->t + i, p->pos ? p->pos + i : NULL, p->p, y);
      if (p->w) k->times(n, p->w + i, y);
      if (p->gy) k->times(n, p->gy + i, y);
      else if (p->g != 1) k->scale(n, p->g, y);
    }
  }
}

static void run_pass (pass *p, const kind *k, gan_range_fn *fn) {
  gan_parallel(chunks_of(p->n), k->costly ? 1 : 4, fn, p);
}

/* ---- operands in one layout --------------------------------------------------------------- */

enum { X, T, W, POS, GY, OPERANDS };

/* Weights broadcast to x. */
static gan_tensor *spread_weight (gan_ctx *c, gan_tensor *w, const gan_tensor *x,
                                  const char *name) {
  if (!w || gan_same_shape(w, x)) return w;
  int off = x->ndim - w->ndim;
  int64_t stride[GAN_MAXDIM];
  bool ok = off >= 0;
  for (int d = 0; d < x->ndim && ok; d++) {
    int64_t size = d < off ? 1 : w->shape[d - off];
    ok = size == 1 || size == x->shape[d];
    stride[d] = size == 1 ? 0 : w->stride[d - off];
  }
  if (!ok)
    return gan_fail(c, GAN_EARG, "%s %s does not broadcast to the shape %s of the input", name,
                    gan_shape_of(c, w), gan_shape_of(c, x));
  return gan_view(c, w, x->ndim, x->shape, stride, 0);
}

/* Makes all present operands dense and alike, so that they can be read as flat arrays. */
static bool align (gan_ctx *c, gan_tensor **v) {
  bool alike = gan_is_dense(v[X]);
  for (int i = 1; i < OPERANDS; i++) alike = alike && (!v[i] || gan_same_layout(v[X], v[i]));
  for (int i = 0; i < OPERANDS && !alike; i++)
    if (v[i] && !(v[i] = gan_dense(c, v[i]))) return false;
  return true;
}

static gan_tensor *argument (const gan_arg *a, int i) {
  return i && a[i].n >= 0 ? a[i].t : NULL;
}

/* Fills v and p from the arguments of a call or of a node. */
static bool prepare (gan_ctx *c, const kind *k, const gan_arg *a, gan_tensor **v, pass *p) {
  v[X] = a[0].t;
  v[T] = a[1].t;
  v[W] = argument(a, k->weight);
  v[POS] = argument(a, k->pos);
  if (v[W] && !(v[W] = spread_weight(c, v[W], v[X], "weight"))) return false;
  if (v[POS] && !(v[POS] = spread_weight(c, v[POS], v[X], "pos_weight"))) return false;
  if (!align(c, v)) return false;
  p->f = (const gan_loss_fns *)((const char *)GAN_KERNEL(gan_loss) + k->fns);
  p->n = v[X]->numel;
  p->p = k->param ? (gan_real)a[k->param].num : 0;
  p->x = gan_reals(v[X]);
  p->t = gan_reals(v[T]);
  p->w = v[W] ? gan_reals(v[W]) : NULL;
  p->pos = v[POS] ? gan_reals(v[POS]) : NULL;
  return true;
}

/* ---- forward and gradients of every kind -------------------------------------------------- */

static void fail_outside (gan_ctx *c, const kind *k, const gan_tensor *x, const pass *p) {
  for (int64_t i = 0; i < chunks_of(p->n); i++)
    if (p->bad[i] >= 0) {
      gan_fail(c, GAN_EARG, "%s must be probabilities in [0, 1], but %s holds %g (for logits use "
               "bce_with_logits)", k->x_name, gan_shape_of(c, x), (double)p->x[p->bad[i]]);
      return;
    }
}

static void forward (gan_ctx *c, const gan_arg *a, gan_tensor **out, const kind *k) {
  gan_tensor *v[OPERANDS] = { NULL }, *scratch;
  pass p = { 0 };
  int64_t reduction = a[k->reduction].i;
  if (!gan_loss_shapes(c, k->x_name, a[0].t, k->t_name, a[1].t)) return;
  if (k->check) k->check(c, a);
  if (c->status || !prepare(c, k, a, v, &p)) return;
  int64_t chunks = chunks_of(p.n);
  scratch = gan_new(c, GAN_INT64, 1, (int64_t[]){ 2 * chunks });
  if (!scratch) return;
  if (k->probability) p.bad = gan_ints(scratch) + chunks;
  if (reduction == GAN_RED_NONE) {
    if (!(out[0] = gan_new_like(c, v[X], GAN_REAL))) return;
    p.out = gan_reals(out[0]);
  }
  else p.sum = scratch->data;
  run_pass(&p, k, value_range);
  if (p.bad) fail_outside(c, k, v[X], &p);
  if (reduction == GAN_RED_NONE || c->status) return;
  double sum = 0, batch = v[X]->ndim ? (double)v[X]->shape[0] : 1;
  for (int64_t i = 0; i < chunks; i++) sum += p.sum[i];
  if (reduction == GAN_RED_MEAN) sum /= (double)p.n;
  if (reduction == GAN_RED_BATCHMEAN) sum /= batch;
  out[0] = gan_scalar(c, sum);
}

/* What the gradient of the reduced loss is multiplied by to give that of each element. */
static double share (const gan_node *n, int64_t reduction) {
  double count = 1;
  if (reduction == GAN_RED_MEAN)
    for (int d = 0; d < n->in[0].ndim; d++) count *= (double)n->in[0].shape[d];
  if (reduction == GAN_RED_BATCHMEAN && n->in[0].ndim) count = (double)n->in[0].shape[0];
  return 1 / count;
}

static bool constants (gan_ctx *c, const gan_node *n, const kind *k) {
  return (!k->weight || gan_loss_constant(c, n, k->weight, "weight")) &&
         (!k->pos || gan_loss_constant(c, n, k->pos, "pos_weight"));
}

/* Gradients written with ops; first and last: which of x (0) and t (1). */
static void compose (gan_ctx *c, const gan_node *n, gan_tensor *gy, gan_tensor **gx, const kind *k,
                     int first) {
  terms e = { c, n->a[0].t, n->a[1].t, argument(n->a, k->pos), k->param ? n->a[k->param].num : 0 };
  int64_t reduction = n->a[k->reduction].i;
  gan_tensor *w = argument(n->a, k->weight);
  if (!constants(c, n, k)) return;
  double s = share(n, reduction);
  gan_tensor *g = s == 1 ? gy : gan_scale(c, gy, s);
  if (w) g = gan_mul(c, g, w);
  for (int i = first; i < 2; i++) {
    if (!gan_wants(n, i)) continue;
    derivative *d = i == 0 || !k->dt ? k->dx : k->dt;
    gan_tensor *r = gan_mul(c, g, d(&e));
    gx[i] = i == 1 && !k->dt ? gan_neg(c, r) : r;
  }
}

/* The gradient for x in one pass; for t, which is rarely asked for, with ops. */
static void fused (gan_ctx *c, const gan_node *n, gan_tensor *gy, gan_tensor **gx, const kind *k) {
  gan_tensor *v[OPERANDS] = { NULL };
  pass p = { 0 };
  int64_t reduction = n->a[k->reduction].i;
  if (!constants(c, n, k)) return;
  if (gan_wants(n, 1)) compose(c, n, gy, gx, k, 1);
  if (!gan_wants(n, 0)) return;
  if (reduction == GAN_RED_NONE) v[GY] = gy;
  if (!prepare(c, k, n->a, v, &p)) return;
  if (!(gx[0] = gan_new_like(c, v[X], GAN_REAL))) return;
  p.out = gan_reals(gx[0]);
  if (v[GY]) p.gy = gan_reals(v[GY]);
  else p.g = (gan_real)(gan_item(gy, 0) * share(n, reduction));
  run_pass(&p, k, slope_range);
}

/* ---- pieces of derivatives ---------------------------------------------------------------- */

static gan_tensor *number (const terms *e, double v) {
  return gan_scalar(e->c, v);
}

static gan_tensor *one_minus (gan_ctx *c, gan_tensor *x) {
  return gan_shift(c, gan_neg(c, x), 1);
}

static gan_tensor *at_least (const terms *e, gan_tensor *x, double low) {
  gan_tensor *l = number(e, low);
  return gan_where(e->c, gan_lt(e->c, x, l), l, x);
}

static gan_tensor *difference (const terms *e) {
  return gan_sub(e->c, e->x, e->t);
}

/* d inside -k .. k, otherwise -k or k */
static gan_tensor *limited (const terms *e, gan_tensor *d, double k) {
  gan_ctx *c = e->c;
  gan_tensor *hi = number(e, k), *lo = number(e, -k);
  return gan_where(c, gan_gt(c, d, hi), hi, gan_where(c, gan_lt(c, d, lo), lo, d));
}

static gan_tensor *run_on (const terms *e, gan_op *op, gan_tensor *x) {
  return gan_run1(e->c, op, GAN_ARGS(GAN_T(x)));
}

/* log(1 + exp(-x)) */
static gan_tensor *softplus_minus (const terms *e) {
  return gan_neg(e->c, run_on(e, &gan_op_logsigmoid, e->x));
}

/* ---- the derivatives ---------------------------------------------------------------------- */

static gan_tensor *mse_dx (const terms *e) {
  return gan_scale(e->c, difference(e), 2);
}

static gan_tensor *l1_dx (const terms *e) {
  return gan_sign(e->c, difference(e));
}

static gan_tensor *smooth_l1_dx (const terms *e) {
  if (e->p == 0) return l1_dx(e);
  return limited(e, gan_scale(e->c, difference(e), 1 / e->p), 1);
}

static gan_tensor *huber_dx (const terms *e) {
  return limited(e, difference(e), e->p);
}

static gan_tensor *bce_dx (const terms *e) {
  gan_ctx *c = e->c;
  gan_tensor *v = gan_mul(c, e->x, one_minus(c, e->x));
  return gan_div(c, difference(e), at_least(e, v, 1e-12));
}

static gan_tensor *bce_dt (const terms *e) {
  gan_tensor *no = run_on(e, &gan_op_log1p, gan_neg(e->c, e->x)), *yes = gan_log(e->c, e->x);
  return gan_sub(e->c, at_least(e, no, -100), at_least(e, yes, -100));
}

/* sigmoid(x) - t; with a weight p of positive targets (1-t) s - p t (1-s) */
static gan_tensor *logits_dx (const terms *e) {
  gan_ctx *c = e->c;
  gan_tensor *s = gan_sigmoid(c, e->x);
  if (!e->pos) return gan_sub(c, s, e->t);
  gan_tensor *r = gan_sigmoid(c, gan_neg(c, e->x));
  return gan_sub(c, gan_mul(c, one_minus(c, e->t), s), gan_mul(c, gan_mul(c, e->pos, e->t), r));
}

static gan_tensor *logits_dt (const terms *e) {
  gan_ctx *c = e->c;
  gan_tensor *g = gan_neg(c, e->x);
  return e->pos ? gan_add(c, g, gan_mul(c, gan_shift(c, e->pos, -1), softplus_minus(e))) : g;
}

static gan_tensor *kl_dx (const terms *e) {
  return gan_neg(e->c, e->t);
}

static gan_tensor *kl_dt (const terms *e) {
  return gan_shift(e->c, gan_sub(e->c, gan_log(e->c, e->t), e->x), 1);
}

static gan_tensor *kl_log_dx (const terms *e) {
  return gan_neg(e->c, gan_exp(e->c, e->t));
}

static gan_tensor *kl_log_dt (const terms *e) {
  gan_ctx *c = e->c;
  return gan_mul(c, gan_exp(c, e->t), gan_shift(c, gan_sub(c, e->t, e->x), 1));
}

static gan_tensor *soft_margin_part (const terms *e, gan_tensor *other) {
  gan_ctx *c = e->c;
  gan_tensor *s = gan_sigmoid(c, gan_neg(c, gan_mul(c, e->t, e->x)));
  return gan_neg(c, gan_mul(c, other, s));
}

static gan_tensor *soft_margin_dx (const terms *e) {
  return soft_margin_part(e, e->t);
}

static gan_tensor *soft_margin_dt (const terms *e) {
  return soft_margin_part(e, e->x);
}

/* 1 where t is not -1, minus 1 where t is not 1 and x has not passed the margin */
static gan_tensor *hinge_dx (const terms *e) {
  gan_ctx *c = e->c;
  gan_tensor *zero = number(e, 0), *one = number(e, 1);
  gan_tensor *near = gan_le(c, e->x, number(e, e->p));
  gan_tensor *apart = gan_where(c, gan_eq(c, e->t, one), zero, near);
  return gan_sub(c, gan_where(c, gan_eq(c, e->t, number(e, -1)), zero, one), apart);
}

static gan_tensor *no_dt (const terms *e) {
  return gan_scale(e->c, e->t, 0);
}

static gan_tensor *poisson_log_dx (const terms *e) {
  return gan_sub(e->c, gan_exp(e->c, e->x), e->t);
}

static gan_tensor *poisson_log_dt (const terms *e) {
  return gan_neg(e->c, e->x);
}

static gan_tensor *poisson_dx (const terms *e) {
  return one_minus(e->c, gan_div(e->c, e->t, gan_shift(e->c, e->x, e->p)));
}

static gan_tensor *poisson_dt (const terms *e) {
  return gan_neg(e->c, gan_log(e->c, gan_shift(e->c, e->x, e->p)));
}

/* ---- the kinds ---------------------------------------------------------------------------- */

static void check_smooth_l1 (gan_ctx *c, const gan_arg *a) {
  if (!(a[2].num >= 0)) gan_fail(c, GAN_EARG, "beta must be at least 0, got %g", a[2].num);
}

static void check_huber (gan_ctx *c, const gan_arg *a) {
  if (!(a[2].num > 0)) gan_fail(c, GAN_EARG, "delta must be positive, got %g", a[2].num);
}

#define FNS(name) .fns = offsetof(gan_loss_table, name)
#define XT .x_name = "x", .t_name = "t"

static const kind mse = { XT, .reduction = 2, FNS(mse), .dx = mse_dx };
static const kind l1 = { XT, .reduction = 2, FNS(l1), .dx = l1_dx };
static const kind smooth_l1 = {
  XT, .param = 2, .reduction = 3, FNS(smooth_l1), .check = check_smooth_l1, .dx = smooth_l1_dx
};
static const kind smooth_l1_of_0 = {
  XT, .param = 2, .reduction = 3, FNS(l1), .check = check_smooth_l1, .dx = l1_dx
};
static const kind huber = {
  XT, .param = 2, .reduction = 3, FNS(huber), .check = check_huber, .dx = huber_dx
};
static const kind bce = {
  .x_name = "p", .t_name = "t", .weight = 2, .reduction = 3, .probability = true, .costly = true,
  FNS(bce), .dx = bce_dx, .dt = bce_dt
};
static const kind logits = {
  XT, .weight = 2, .reduction = 4, .costly = true, FNS(bce_with_logits), .dx = logits_dx,
  .dt = logits_dt
};
static const kind logits_pos = {
  XT, .weight = 2, .pos = 3, .reduction = 4, .costly = true, FNS(bce_with_logits_pos),
  .dx = logits_dx, .dt = logits_dt
};
static const kind kl = {
  .x_name = "logq", .t_name = "p", .reduction = 2, .costly = true, FNS(kl_div), .dx = kl_dx,
  .dt = kl_dt
};
static const kind kl_log = {
  .x_name = "logq", .t_name = "p", .reduction = 2, .costly = true, FNS(kl_div_log),
  .dx = kl_log_dx, .dt = kl_log_dt
};
static const kind soft_margin = {
  XT, .reduction = 2, .costly = true, FNS(soft_margin), .dx = soft_margin_dx, .dt = soft_margin_dt
};
static const kind hinge = {
  XT, .param = 2, .reduction = 3, FNS(hinge_embedding), .dx = hinge_dx, .dt = no_dt
};
static const kind poisson = {
  XT, .param = 3, .reduction = 4, .costly = true, FNS(poisson_nll), .dx = poisson_dx,
  .dt = poisson_dt
};
static const kind poisson_log = {
  XT, .param = 3, .reduction = 4, .costly = true, FNS(poisson_nll_log), .dx = poisson_log_dx,
  .dt = poisson_log_dt
};

/* ---- the ops ------------------------------------------------------------------------------ */

/* The three functions of a record; `choice` gives the kind from the arguments a. */
#define FUNCTIONS(name, choice)                                                                 \
  static const kind *name##_kind (const gan_arg *a) {                                           \
    (void)a;                                                                                    \
    return choice;                                                                              \
  }                                                                                             \
  static void name##_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {                 \
    forward(c, a, out, name##_kind(a));                                                         \
  }                                                                                             \
  static void name##_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {    \
    compose(c, n, gy[0], gx, name##_kind(n->a), 0);                                             \
  }                                                                                             \
  static void name##_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {  \
    fused(c, n, gy[0], gx, name##_kind(n->a));                                                  \
  }

#define RUN(name) .forward = name##_forward, .vjp = name##_vjp, .fused = name##_fused

FUNCTIONS(mse, &mse)
FUNCTIONS(l1, &l1)
FUNCTIONS(smooth_l1, a[2].num == 0 ? &smooth_l1_of_0 : &smooth_l1)
FUNCTIONS(huber, &huber)
FUNCTIONS(bce, &bce)
FUNCTIONS(logits, a[3].n >= 0 ? &logits_pos : &logits)
FUNCTIONS(kl, a[3].i ? &kl_log : &kl)
FUNCTIONS(soft_margin, &soft_margin)
FUNCTIONS(hinge, &hinge)
FUNCTIONS(poisson, a[2].i ? &poisson_log : &poisson)

#define REDUCTION "reduction:none|mean|sum=mean"
#define REDUCED \
  "\nx and t have one shape; the result is a number (mean, sum) or has that shape (none)."

static gan_op op_mse_loss = {
  .name = "mse_loss",
  .sig = "x:tensor t:tensor ; " REDUCTION,
  RUN(mse),
  .save = "x t",
  .doc = "Squared error (x - t)^2." REDUCED,
  .example = "gan.randn(4, 3):mse_loss(gan.zeros(4, 3))"
};

static gan_op op_l1_loss = {
  .name = "l1_loss",
  .sig = "x:tensor t:tensor ; " REDUCTION,
  RUN(l1),
  .save = "x t",
  .doc = "Absolute error |x - t|; its gradient is 0 where x = t." REDUCED,
  .example = "gan.randn(4, 3):l1_loss(gan.zeros(4, 3), {reduction=\"sum\"})"
};

static gan_op op_smooth_l1_loss = {
  .name = "smooth_l1_loss",
  .sig = "x:tensor t:tensor ; beta:number=1 " REDUCTION,
  RUN(smooth_l1),
  .save = "x t",
  .doc = "d^2 / (2 beta) for |d| < beta, |d| - beta / 2 beyond, with d = x - t.\n"
         "beta 0 is l1_loss; negative is an error." REDUCED,
  .example = "gan.randn(4, 3):smooth_l1_loss(gan.zeros(4, 3), {beta=0.5})"
};

static gan_op op_huber_loss = {
  .name = "huber_loss",
  .sig = "x:tensor t:tensor ; delta:number=1 " REDUCTION,
  RUN(huber),
  .save = "x t",
  .doc = "d^2 / 2 for |d| <= delta, delta (|d| - delta / 2) beyond, with d = x - t.\n"
         "delta must be positive." REDUCED,
  .example = "gan.randn(4, 3):huber_loss(gan.zeros(4, 3), {delta=0.5})"
};

static gan_op op_bce_loss = {
  .name = "bce_loss",
  .sig = "p:tensor t:tensor weight:tensor? ; " REDUCTION,
  RUN(bce),
  .save = "p t weight",
  .doc = "Binary cross entropy -(t log p + (1 - t) log(1 - p)) of probabilities p.\n"
         "The logarithms are at least -100; the gradient is (p - t) / max(p (1 - p), 1e-12).\n"
         "weight broadcasts to p and has no gradient. p and t have one shape; p outside [0, 1] is\n"
         "an error.",
  .example = "gan.rand(4, 1):bce_loss(gan.ones(4, 1))"
};

static gan_op op_bce_with_logits = {
  .name = "bce_with_logits",
  .sig = "x:tensor t:tensor weight:tensor? pos_weight:tensor? ; " REDUCTION,
  RUN(logits),
  .save = "x t weight pos_weight",
  .doc = "Binary cross entropy of sigmoid(x): max(x, 0) - x t + log(1 + exp(-|x|)).\n"
         "Finite for every finite x. pos_weight multiplies the part with t; both weights\n"
         "broadcast to x and have no gradient." REDUCED,
  .example = "gan.randn(4, 1):bce_with_logits(gan.ones(4, 1))"
};

static gan_op op_kl_div = {
  .name = "kl_div",
  .sig = "logq:tensor p:tensor ; reduction:none|mean|sum|batchmean=mean log_target:bool=false",
  RUN(kl),
  .save = "logq p",
  .doc = "Kullback-Leibler divergence p (log p - log q), of log q and p, with 0 log 0 = 0.\n"
         "log_target: p holds logarithms too. mean divides by all elements, batchmean by the\n"
         "first size. logq and p have one shape.",
  .example = "gan.randn(4, 3):log_softmax(2):kl_div(gan.rand(4, 3), {reduction=\"batchmean\"})"
};

static gan_op op_soft_margin_loss = {
  .name = "soft_margin_loss",
  .sig = "x:tensor t:tensor ; " REDUCTION,
  RUN(soft_margin),
  .save = "x t",
  .doc = "log(1 + exp(-t x)) with targets t of 1 and -1." REDUCED,
  .example = "gan.randn(4, 3):soft_margin_loss(gan.ones(4, 3))"
};

static gan_op op_hinge_embedding_loss = {
  .name = "hinge_embedding_loss",
  .sig = "x:tensor t:tensor ; margin:number=1 " REDUCTION,
  RUN(hinge),
  .save = "x t",
  .doc = "x where t is 1, max(0, margin - x) where t is -1." REDUCED,
  .example = "gan.rand(4):hinge_embedding_loss(gan.ones(4))"
};

static gan_op op_poisson_nll_loss = {
  .name = "poisson_nll_loss",
  .sig = "x:tensor t:tensor ; log_input:bool=true eps:number=1e-8 " REDUCTION,
  RUN(poisson),
  .save = "x t",
  .doc = "Negative log likelihood of counts t under Poisson distributions, without log t!.\n"
         "exp(x) - t x when x is the logarithm of the rate, x - t log(x + eps) when log_input is\n"
         "false and x the rate." REDUCED,
  .example = "gan.randn(4):poisson_nll_loss(gan.ones(4))"
};

gan_op *const gan_ops_loss[] = {
  &op_mse_loss, &op_l1_loss, &op_smooth_l1_loss, &op_huber_loss, &op_bce_loss, &op_bce_with_logits,
  &gan_op_nll_loss, &gan_op_cross_entropy, &gan_op_cross_entropy_soft, &op_kl_div,
  &op_soft_margin_loss, &op_hinge_embedding_loss, &gan_op_margin_ranking_loss,
  &gan_op_cosine_embedding_loss, &gan_op_cosine_similarity, &op_poisson_nll_loss,
  &gan_op_gaussian_nll_loss, NULL
};
