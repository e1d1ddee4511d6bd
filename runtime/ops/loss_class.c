/*
** loss_class.c - losses of class scores: nll_loss, cross_entropy, and cross_entropy_soft, whose
** targets are distributions.
**
** Scores (N, C, d1, ...) are seen as rows of C, one for each label. A row's loss is
** a (logsumexp(x) - x[label]) + b sum of w[c] (logsumexp(x) - x[c]), where b comes from label
** smoothing; nll_loss is -a x[label].
*/
#include <string.h>

#include "../kernels/loss.h"
#include "../kernels/softmax.h"
#include "loss.h"

#define GRAIN 4096 /* scores that are worth a thread */

typedef struct {
  int64_t rows, classes; /* a row for each label */
  int64_t inner;         /* positions of one sample: product of d1, ... */
  int dim;               /* of the classes */
  int64_t ignore;
  double smoothing;
  int64_t reduction;
  const int64_t *label; /* 1-based */
  const gan_real *w;    /* weights of the classes, or NULL */
  double wsum;          /* their sum */
  double total;         /* what mean divides by: weights of the labels that count */
} problem;

/* ---- arguments ---------------------------------------------------------------------------- */

/* The labels' shape is that of the scores without the classes; an error otherwise. */
static bool label_shape (gan_ctx *c, const gan_tensor *x, const gan_tensor *t) {
  bool ok = x->ndim >= 1 && t->ndim == x->ndim - 1;
  int dim = x->ndim > 1;
  for (int d = 0; ok && d < t->ndim; d++) ok = t->shape[d] == x->shape[d < dim ? d : d + 1];
  if (!ok)
    gan_fail(c, GAN_EARG, "scores (N x C x ...) need labels (N x ...), got %s and %s",
             gan_shape_of(c, x), gan_shape_of(c, t));
  return ok;
}

static bool weight_shape (gan_ctx *c, const gan_tensor *w, int64_t classes) {
  if (!w || (w->ndim == 1 && w->shape[0] == classes)) return true;
  gan_fail(c, GAN_EARG, "weight must hold one number for each of the %lld classes, got shape %s",
           (long long)classes, gan_shape_of(c, w));
  return false;
}

static double weight_of (const problem *p, int64_t label) {
  return p->w ? p->w[label - 1] : 1;
}

/* Labels in range, and the sum of their weights. */
static bool read_labels (gan_ctx *c, problem *p) {
  p->total = p->wsum = 0;
  for (int64_t k = 0; k < p->classes; k++) p->wsum += weight_of(p, k + 1);
  for (int64_t i = 0; i < p->rows; i++) {
    int64_t y = p->label[i];
    if (y == p->ignore) continue;
    if (y < 1 || y > p->classes) {
      gan_fail(c, GAN_EARG, "label %lld at position %lld is not one of the classes 1..%lld",
               (long long)y, (long long)i + 1, (long long)p->classes);
      return false;
    }
    p->total += weight_of(p, y);
  }
  return true;
}

/* Fills p from the arguments x, t, weight, ignore_index, [label_smoothing,] reduction. */
static bool prepare (gan_ctx *c, const gan_arg *a, bool entropy, problem *p) {
  gan_tensor *x = a[0].t, *t = a[1].t, *w = a[2].n < 0 ? NULL : a[2].t;
  if (!label_shape(c, x, t)) return false;
  p->dim = x->ndim > 1;
  p->classes = x->shape[p->dim];
  p->rows = t->numel;
  p->inner = 1;
  for (int d = 2; d < x->ndim; d++) p->inner *= x->shape[d];
  p->ignore = a[3].i;
  p->smoothing = entropy ? a[4].num : 0;
  p->reduction = a[entropy ? 5 : 4].i;
  if (!weight_shape(c, w, p->classes)) return false;
  if (!(p->smoothing >= 0 && p->smoothing <= 1)) {
    gan_fail(c, GAN_EARG, "label_smoothing must be in [0, 1], got %g", p->smoothing);
    return false;
  }
  t = gan_dense(c, t);
  if (w && !(w = gan_dense(c, w))) return false;
  if (!t) return false;
  p->label = gan_ints(t);
  p->w = w ? gan_reals(w) : NULL;
  return read_labels(c, p);
}

/* ---- scores as rows ----------------------------------------------------------------------- */

/* Shape and strides of the scores' shape over memory that holds them as rows. */
static void row_layout (const gan_edge *e, const int64_t *shape, int64_t *stride) {
  int64_t s = shape[1];
  stride[1] = 1;
  for (int d = e->ndim - 1; d >= 2; d--) {
    stride[d] = s;
    s *= shape[d];
  }
  stride[0] = s;
}

/* x with its classes last, row-major: x itself when it has no positions. */
static gan_tensor *as_rows (gan_ctx *c, gan_tensor *x) {
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM];
  if (x->ndim <= 2) return gan_dense(c, x);
  int n = x->ndim;
  for (int d = 0; d < n; d++) {
    int from = d == 0 ? 0 : d < n - 1 ? d + 1 : 1;
    shape[d] = x->shape[from];
    stride[d] = x->stride[from];
  }
  gan_tensor *v = gan_view(c, x, n, shape, stride, 0);
  return v ? gan_dense(c, v) : NULL;
}

/* Uninitialised, with the scores' shape, rows in memory. */
static gan_tensor *new_rows (gan_ctx *c, const gan_edge *e, gan_real **data) {
  int64_t stride[GAN_MAXDIM];
  gan_tensor *t = gan_new(c, GAN_REAL, e->ndim, e->shape);
  if (!t) return NULL;
  *data = gan_reals(t);
  if (e->ndim <= 2) return t;
  row_layout(e, e->shape, stride);
  return gan_view(c, t, e->ndim, e->shape, stride, 0);
}

/* ---- forward ------------------------------------------------------------------------------ */

typedef struct {
  const problem *p;
  const gan_real *x;
  gan_real *loss; /* of each row */
} entropy_job;

/* Sum over the classes of w (lse - x). */
static double smooth_part (const problem *p, const gan_real *x, double lse) {
  double s = 0;
  for (int64_t k = 0; k < p->classes; k++) s += (p->w ? p->w[k] : 1) * (lse - x[k]);
  return s;
}

static void entropy_range (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  const entropy_job *j = ud;
  const problem *p = j->p;
  const gan_real *x = j->x + lo * p->classes;
  GAN_KERNEL(gan_softmax)->logsumexp_rows(hi - lo, p->classes, x, j->loss + lo);
  for (int64_t i = lo; i < hi; i++, x += p->classes) {
    int64_t y = p->label[i];
    double lse = j->loss[i], l = 0;
    if (y != p->ignore) {
      l = (1 - p->smoothing) * weight_of(p, y) * (lse - x[y - 1]);
      if (p->smoothing > 0)
        l += p->smoothing / (double)p->classes * smooth_part(p, x, lse);
    }
    j->loss[i] = (gan_real)l;
  }
}

static int64_t row_grain (const problem *p) {
  return p->classes < GRAIN ? GRAIN / (p->classes > 0 ? p->classes : 1) : 1;
}

static void finish (gan_ctx *c, const problem *p, gan_tensor *loss, gan_tensor **out) {
  if (p->reduction == GAN_RED_NONE) {
    out[0] = loss;
    return;
  }
  double sum = GAN_KERNEL(gan_loss)->sum(loss->numel, gan_reals(loss));
  out[0] = gan_scalar(c, p->reduction == GAN_RED_MEAN ? sum / p->total : sum);
}

static void entropy_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  problem p;
  if (!prepare(c, a, true, &p)) return;
  gan_tensor *x = as_rows(c, a[0].t), *loss;
  if (!x || !(loss = gan_new_zero(c, GAN_REAL, a[1].t->ndim, a[1].t->shape))) return;
  entropy_job j = { &p, gan_reals(x), gan_reals(loss) };
  if (p.classes > 0) gan_parallel(p.rows, row_grain(&p), entropy_range, &j);
  finish(c, &p, loss, out);
}

static void nll_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  problem p;
  if (!prepare(c, a, false, &p)) return;
  gan_tensor *x = gan_dense(c, a[0].t), *loss;
  if (!x || !(loss = gan_new(c, GAN_REAL, a[1].t->ndim, a[1].t->shape))) return;
  const gan_real *logp = gan_reals(x);
  gan_real *l = gan_reals(loss);
  for (int64_t i = 0; i < p.rows; i++) {
    int64_t y = p.label[i], at = (i / p.inner * p.classes + y - 1) * p.inner + i % p.inner;
    l[i] = y == p.ignore ? 0 : (gan_real)(-weight_of(&p, y) * logp[at]);
  }
  finish(c, &p, loss, out);
}

/* ---- gradients ---------------------------------------------------------------------------- */

/* The part of a reduced loss that each row is; nothing when no label counts. */
static double share (const problem *p) {
  if (p->reduction != GAN_RED_MEAN) return 1;
  return p->total != 0 ? 1 / p->total : 0;
}

/* The gradient of each row's loss: a number, or one for each row. */
static gan_tensor *row_gradient (gan_ctx *c, const gan_node *n, const problem *p, gan_tensor *gy) {
  int64_t shape[GAN_MAXDIM];
  if (p->reduction == GAN_RED_MEAN) return gan_scale(c, gy, share(p));
  if (p->reduction == GAN_RED_SUM || n->in[0].ndim == 1) return gy;
  memcpy(shape, n->in[0].shape, n->in[0].ndim * sizeof *shape);
  shape[1] = 1;
  return gan_reshape(c, gy, n->in[0].ndim, shape);
}

/* What softmax(x) and the constant part of a row's gradient are multiplied by: that of the row is
   both k softmax(x) - r w, less s at the label. */
typedef struct {
  double k, r, s;
} factors;

static factors row_factors (const problem *p, int64_t i) {
  int64_t y = p->label[i];
  if (y == p->ignore) return (factors){ 0, 0, 0 };
  double s = (1 - p->smoothing) * weight_of(p, y), r = p->smoothing / (double)p->classes;
  return (factors){ s + r * p->wsum, r, s };
}

/* The part of a row's gradient that does not depend on the scores, sign reversed. */
static gan_tensor *constant_part (gan_ctx *c, const gan_node *n, const problem *p) {
  gan_real *m = NULL;
  gan_tensor *t = new_rows(c, &n->in[0], &m);
  for (int64_t i = 0; t && i < p->rows; i++, m += p->classes) {
    factors f = row_factors(p, i);
    for (int64_t k = 0; k < p->classes; k++) m[k] = (gan_real)(f.r * (p->w ? p->w[k] : 1));
    if (p->label[i] != p->ignore) m[p->label[i] - 1] += (gan_real)f.s;
  }
  return t;
}

/* The factor of softmax(x) for each row, shaped to be broadcast over the classes. */
static gan_tensor *softmax_factor (gan_ctx *c, const gan_node *n, const problem *p) {
  int64_t shape[GAN_MAXDIM];
  memcpy(shape, n->in[0].shape, n->in[0].ndim * sizeof *shape);
  shape[p->dim] = 1;
  gan_tensor *t = gan_new(c, GAN_REAL, n->in[0].ndim, shape);
  for (int64_t i = 0; t && i < p->rows; i++) gan_reals(t)[i] = (gan_real)row_factors(p, i).k;
  return t;
}

static bool prepare_node (gan_ctx *c, const gan_node *n, bool entropy, problem *p) {
  return gan_loss_constant(c, n, 2, "weight") && prepare(c, n->a, entropy, p);
}

static void entropy_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  problem p;
  if (!prepare_node(c, n, true, &p)) return;
  const gan_arg softmax[] = { GAN_T(n->a[0].t), GAN_I(p.dim) };
  gan_tensor *q = gan_mul(c, gan_run1(c, &gan_op_softmax, softmax), softmax_factor(c, n, &p));
  gan_tensor *d = gan_sub(c, q, constant_part(c, n, &p));
  gx[0] = gan_mul(c, d, row_gradient(c, n, &p, gy[0]));
}

static void nll_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  problem p;
  if (!prepare_node(c, n, false, &p)) return;
  gan_tensor *m = constant_part(c, n, &p);
  gx[0] = gan_neg(c, gan_mul(c, m, row_gradient(c, n, &p, gy[0])));
}

typedef struct {
  const problem *p;
  const gan_real *x, *gy; /* gy: of each row, or NULL */
  double g;               /* of every row */
  gan_real *gx;
} grad_job;

static void grad_range (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  const grad_job *j = ud;
  const problem *p = j->p;
  gan_real *gx = j->gx + lo * p->classes;
  GAN_KERNEL(gan_softmax)->rows(hi - lo, p->classes, j->x + lo * p->classes, gx);
  for (int64_t i = lo; i < hi; i++, gx += p->classes) {
    factors f = row_factors(p, i);
    double g = j->gy ? j->gy[i] : j->g;
    if (p->label[i] == p->ignore) { /* not even a NaN */
      memset(gx, 0, (size_t)p->classes * sizeof *gx);
      continue;
    }
    GAN_KERNEL(gan_loss)->class_grad(p->classes, (gan_real)(g * f.k), (gan_real)(g * f.r), p->w,
                                     gx);
    gx[p->label[i] - 1] -= (gan_real)(g * f.s);
  }
}

static void entropy_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  problem p;
  if (!prepare_node(c, n, true, &p)) return;
  gan_tensor *x = as_rows(c, n->a[0].t), *g = gan_dense(c, gy[0]);
  grad_job j = { .p = &p };
  if (!x || !g || !(gx[0] = new_rows(c, &n->in[0], &j.gx))) return;
  j.x = gan_reals(x);
  if (p.reduction == GAN_RED_NONE) j.gy = gan_reals(g);
  else j.g = gan_item(g, 0) * share(&p);
  if (p.classes > 0) gan_parallel(p.rows, row_grain(&p), grad_range, &j);
}

/* ---- records ------------------------------------------------------------------------------ */

gan_op gan_op_nll_loss = {
  .name = "nll_loss",
  .sig = "logp:tensor t:labels weight:tensor? ; ignore_index:int=-100 reduction:none|mean|sum=mean",
  .forward = nll_forward,
  .vjp = nll_vjp,
  .save = "logp t weight",
  .doc = "Negative log likelihood: -weight[t] logp[t] of log probabilities and labels.\n"
         "logp (N, C, ...) or (C), labels (N, ...) from 1 to C. mean divides by the weights of\n"
         "the labels that count; labels equal to ignore_index do not. Error for other labels out\n"
         "of range. weight (C) has no gradient.",
  .example = "gan.randn(3, 5):log_softmax(2):nll_loss(gan.tensor({1, 5, 2}, {dtype=\"int64\"}))"
};

gan_op gan_op_cross_entropy = {
  .name = "cross_entropy",
  .sig = "x:tensor t:labels weight:tensor? ; ignore_index:int=-100 label_smoothing:number=0 "
         "reduction:none|mean|sum=mean",
  .forward = entropy_forward,
  .vjp = entropy_vjp,
  .fused = entropy_fused,
  .save = "x t weight",
  .doc = "nll_loss of log_softmax(x): cross entropy of class scores and labels.\n"
         "x (N, C, ...) or (C), labels (N, ...) from 1 to C; weight, ignore_index and mean as in\n"
         "nll_loss. label_smoothing s mixes the label's distribution with the uniform one:\n"
         "1 - s and s. Finite for every finite x.",
  .example = "gan.randn(3, 5):cross_entropy(gan.tensor({1, 5, 2}, {dtype=\"int64\"}))"
};

/* ---- soft targets ------------------------------------------------------------------------- */

typedef struct {
  gan_tensor *logp, *wt; /* log softmax of x; targets after smoothing, times weight */
  gan_tensor *w;         /* weight shaped to be broadcast, or NULL */
  int64_t dim, rows;     /* of the classes; samples and positions */
} soft;

static bool read_soft (gan_ctx *c, const gan_arg *a, soft *s) {
  gan_tensor *x = a[0].t, *t = a[1].t, *w = a[2].n < 0 ? NULL : a[2].t;
  double smoothing = a[3].num;
  if (!gan_loss_shapes(c, "x", x, "t", t)) return false;
  if (x->ndim == 0)
    gan_fail(c, GAN_EARG, "x needs a dimension of classes, got %s", gan_shape_of(c, x));
  if (!(smoothing >= 0 && smoothing <= 1))
    gan_fail(c, GAN_EARG, "label_smoothing must be in [0, 1], got %g", smoothing);
  s->dim = x->ndim > 1;
  if (c->status || !weight_shape(c, w, x->shape[s->dim])) return false;
  s->rows = 1;
  for (int d = 0; d < x->ndim; d++) s->rows *= d == s->dim ? 1 : x->shape[d];
  s->logp = gan_run1(c, &gan_op_log_softmax, GAN_ARGS(GAN_T(x), GAN_I(s->dim)));
  s->wt = t;
  s->w = w;
  if (smoothing > 0)
    s->wt = gan_shift(c, gan_scale(c, t, 1 - smoothing), smoothing / (double)x->shape[s->dim]);
  if (w) {
    int64_t shape[GAN_MAXDIM];
    for (int d = 0; d < x->ndim; d++) shape[d] = d == s->dim ? w->numel : 1;
    s->w = gan_reshape(c, w, x->ndim, shape);
    s->wt = gan_mul(c, s->wt, s->w);
  }
  return !c->status;
}

static void soft_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  soft s;
  if (!read_soft(c, a, &s)) return;
  gan_tensor *l = gan_neg(c, gan_sum(c, gan_mul(c, s.logp, s.wt), 1, &s.dim, false));
  out[0] = gan_loss_reduce(c, l, a[4].i);
}

static void soft_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  soft s;
  if (!gan_loss_constant(c, n, 2, "weight") || !read_soft(c, n->a, &s)) return;
  gan_tensor *g = gan_loss_spread(c, gy[0], n->a[4].i, s.rows);
  if (n->a[4].i == GAN_RED_NONE && n->in[0].ndim > 1) {
    int64_t shape[GAN_MAXDIM];
    memcpy(shape, n->in[0].shape, n->in[0].ndim * sizeof *shape);
    shape[s.dim] = 1;
    g = gan_reshape(c, g, n->in[0].ndim, shape);
  }
  if (gan_wants(n, 0)) {
    gan_tensor *p = gan_mul(c, gan_exp(c, s.logp), gan_sum(c, s.wt, 1, &s.dim, true));
    gx[0] = gan_mul(c, gan_sub(c, p, s.wt), g);
  }
  if (gan_wants(n, 1)) {
    gan_tensor *d = gan_scale(c, s.logp, n->a[3].num - 1);
    if (s.w) d = gan_mul(c, d, s.w);
    gx[1] = gan_mul(c, d, g);
  }
}

gan_op gan_op_cross_entropy_soft = {
  .name = "cross_entropy_soft",
  .sig = "x:tensor t:tensor weight:tensor? ; label_smoothing:number=0 reduction:none|mean|sum=mean",
  .forward = soft_forward,
  .vjp = soft_vjp,
  .save = "x t weight",
  .doc = "Cross entropy of class scores x and distributions t: -sum of weight t log_softmax(x).\n"
         "x and t have one shape, (N, C, ...) or (C); the result (N, ...) without reduction. mean\n"
         "divides by the number of distributions. weight (C) has no gradient.",
  .example = "gan.randn(3, 5):cross_entropy_soft(gan.randn(3, 5):softmax(2))"
};
