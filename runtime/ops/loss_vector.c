/*
** loss_vector.c - losses made of other ops: margin_ranking_loss, gaussian_nll_loss,
** cosine_similarity, cosine_embedding_loss.
*/
#include <string.h>

#include "loss.h"

static gan_tensor *less_from (gan_ctx *c, double k, gan_tensor *x) {
  return gan_shift(c, gan_neg(c, x), k);
}

/* x, but at least `low`; NaN stays NaN */
static gan_tensor *at_least (gan_ctx *c, gan_tensor *x, double low) {
  gan_tensor *l = gan_scalar(c, low);
  return gan_where(c, gan_lt(c, x, l), l, x);
}

/* ---- margin ranking ----------------------------------------------------------------------- */

/* margin - t (x1 - x2) */
static gan_tensor *ranking_excess (gan_ctx *c, const gan_arg *a) {
  gan_tensor *d = gan_sub(c, a[0].t, a[1].t);
  return less_from(c, a[3].num, gan_mul(c, a[2].t, d));
}

static void ranking_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  if (!gan_loss_shapes(c, "x1", a[0].t, "x2", a[1].t) ||
      !gan_loss_shapes(c, "x1", a[0].t, "t", a[2].t))
    return;
  out[0] = gan_loss_reduce(c, at_least(c, ranking_excess(c, a), 0), a[4].i);
}

static void ranking_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *x1 = n->a[0].t, *x2 = n->a[1].t, *t = n->a[2].t;
  gan_tensor *on = gan_ge(c, ranking_excess(c, n->a), gan_scalar(c, 0));
  gan_tensor *g = gan_mul(c, on, gan_loss_spread(c, gy[0], n->a[4].i, x1->numel));
  gan_tensor *gd = gan_mul(c, g, t);
  if (gan_wants(n, 0)) gx[0] = gan_neg(c, gd);
  if (gan_wants(n, 1)) gx[1] = gd;
  if (gan_wants(n, 2)) gx[2] = gan_mul(c, g, gan_sub(c, x2, x1));
}

gan_op gan_op_margin_ranking_loss = {
  .name = "margin_ranking_loss",
  .sig = "x1:tensor x2:tensor t:tensor ; margin:number=0 reduction:none|mean|sum=mean",
  .forward = ranking_forward,
  .vjp = ranking_vjp,
  .save = "x1 x2 t",
  .doc = "max(0, margin - t (x1 - x2)): x1 should be the greater where t is 1, x2 where it is -1.\n"
         "The three tensors have one shape.",
  .example = "gan.randn(4):margin_ranking_loss(gan.randn(4), gan.ones(4), {margin=0.5})"
};

/* ---- Gaussian likelihood ------------------------------------------------------------------ */

/* var shaped to be broadcast to x: of x's shape, with a last size of 1, or without the last. */
static gan_tensor *variance (gan_ctx *c, const gan_tensor *x, gan_tensor *var) {
  int64_t shape[GAN_MAXDIM];
  if (gan_same_shape(x, var)) return var;
  memcpy(shape, x->shape, x->ndim * sizeof *shape);
  if (x->ndim > 0) shape[x->ndim - 1] = 1;
  int same = 0;
  while (same < var->ndim && same < x->ndim && var->shape[same] == shape[same]) same++;
  if (same == var->ndim && var->ndim >= x->ndim - 1) return gan_reshape(c, var, x->ndim, shape);
  return gan_fail(c, GAN_EARG, "var must have x's shape %s, or that with a last size of 1 or "
                  "without its last size, got %s", gan_shape_of(c, x), gan_shape_of(c, var));
}

static bool not_negative (gan_ctx *c, gan_tensor *var) {
  var = gan_dense(c, var);
  for (int64_t i = 0; var && i < var->numel; i++)
    if (gan_reals(var)[i] < 0) {
      gan_fail(c, GAN_EARG, "var must not be negative, but holds %g", (double)gan_reals(var)[i]);
      return false;
    }
  return var != NULL;
}

static void gaussian_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t, *v;
  if (!gan_loss_shapes(c, "x", x, "t", a[1].t) || !not_negative(c, a[2].t)) return;
  GAN_NEED(c, a[3].num > 0, "eps must be positive, got %g", a[3].num);
  if (!(v = variance(c, x, a[2].t))) return;
  v = at_least(c, v, a[3].num);
  gan_tensor *d = gan_square(c, gan_sub(c, x, a[1].t));
  gan_tensor *l = gan_scale(c, gan_add(c, gan_div(c, d, v), gan_log(c, v)), 0.5);
  if (a[4].i) l = gan_shift(c, l, 0.91893853320467274178); /* log(2 pi) / 2 */
  out[0] = gan_loss_reduce(c, l, a[5].i);
}

static void gaussian_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *x = n->a[0].t, *shaped = variance(c, x, n->a[2].t);
  if (!shaped) return;
  gan_tensor *v = at_least(c, shaped, n->a[3].num), *d = gan_sub(c, x, n->a[1].t);
  gan_tensor *g = gan_loss_spread(c, gy[0], n->a[5].i, x->numel);
  gan_tensor *z = gan_div(c, d, v);
  if (gan_wants(n, 0) || gan_wants(n, 1)) {
    gan_tensor *gd = gan_mul(c, g, z);
    if (gan_wants(n, 0)) gx[0] = gd;
    if (gan_wants(n, 1)) gx[1] = gan_neg(c, gd);
  }
  if (!gan_wants(n, 2)) return;
  gan_tensor *r = gan_sub(c, gan_reciprocal(c, v), gan_square(c, z));
  gan_tensor *gv = gan_scale(c, gan_mul(c, r, g), 0.5);
  gv = gan_sum_to(c, gv, shaped->ndim, shaped->shape);
  gx[2] = gan_reshape(c, gv, n->in[2].ndim, n->in[2].shape);
}

gan_op gan_op_gaussian_nll_loss = {
  .name = "gaussian_nll_loss",
  .sig = "x:tensor t:tensor var:tensor ; eps:number=1e-6 full:bool=false "
         "reduction:none|mean|sum=mean",
  .forward = gaussian_forward,
  .vjp = gaussian_vjp,
  .save = "x t var",
  .doc = "Negative log likelihood of t under Gaussians: (log var + (x - t)^2 / var) / 2.\n"
         "var is at least eps in the formula (its gradient ignores that); full adds\n"
         "log(2 pi) / 2. x and t have one shape; var has it too, or a last size of 1, or lacks\n"
         "the last. Negative var is an error.",
  .example = "gan.randn(4, 3):gaussian_nll_loss(gan.randn(4, 3), gan.ones(4, 1))"
};

/* ---- cosine ------------------------------------------------------------------------------- */

/* y = x1.x2 / sqrt(a b), with a = |x1|^2 and b = |x2|^2 kept away from 0; all with keepdim */
typedef struct {
  gan_tensor *x1, *x2, *a, *b, *y;
} cosine;

static bool make_cosine (gan_ctx *c, gan_tensor *x1, gan_tensor *x2, int64_t dim, cosine *s) {
  s->x1 = x1;
  s->x2 = x2;
  s->a = gan_sum(c, gan_square(c, x1), 1, &dim, true);
  s->b = gan_sum(c, gan_square(c, x2), 1, &dim, true);
  return !c->status;
}

static void finish_cosine (gan_ctx *c, cosine *s, int64_t dim) {
  gan_tensor *dot = gan_sum(c, gan_mul(c, s->x1, s->x2), 1, &dim, true);
  s->y = gan_mul(c, gan_mul(c, dot, gan_rsqrt(c, s->a)), gan_rsqrt(c, s->b));
}

/* Both with the shape that they broadcast to. */
static bool similarity_parts (gan_ctx *c, const gan_arg *arg, cosine *s, int64_t *dim) {
  int64_t shape[GAN_MAXDIM];
  int ndim;
  if (!gan_broadcast(c, arg[0].t, arg[1].t, &ndim, shape)) return false;
  gan_tensor *x1 = gan_expand(c, arg[0].t, ndim, shape), *x2 = gan_expand(c, arg[1].t, ndim, shape);
  if (!x1 || !x2 || (*dim = gan_dim(c, x1, arg[2].i)) < 0) return false;
  if (ndim == 0) {
    gan_fail(c, GAN_EARG, "needs tensors of at least 1 dimension");
    return false;
  }
  return make_cosine(c, x1, x2, *dim, s);
}

static void similarity_forward (gan_ctx *c, const gan_arg *arg, gan_tensor **out) {
  double eps = arg[3].num;
  int64_t dim;
  cosine s;
  if (!similarity_parts(c, arg, &s, &dim)) return;
  s.a = at_least(c, s.a, eps * eps);
  s.b = at_least(c, s.b, eps * eps);
  finish_cosine(c, &s, dim);
  out[0] = gan_sum(c, s.y, 1, &dim, false);
}

/* g (x2 / sqrt(a b) - y x1 / a); the second part only where a was not replaced by a constant */
static gan_tensor *cosine_gradient (gan_ctx *c, gan_tensor *g, gan_tensor *x1, gan_tensor *x2,
                                    gan_tensor *a, gan_tensor *b, gan_tensor *y, gan_tensor *on) {
  gan_tensor *k = gan_mul(c, gan_rsqrt(c, a), gan_rsqrt(c, b)), *q = gan_div(c, y, a);
  if (on) q = gan_mul(c, q, on);
  return gan_mul(c, g, gan_sub(c, gan_mul(c, x2, k), gan_mul(c, x1, q)));
}

static void similarity_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  double eps = n->a[3].num;
  int64_t dim, shape[GAN_MAXDIM];
  cosine s;
  if (!similarity_parts(c, n->a, &s, &dim)) return;
  gan_tensor *least = gan_scalar(c, eps * eps);
  gan_tensor *on1 = gan_ge(c, s.a, least), *on2 = gan_ge(c, s.b, least);
  s.a = at_least(c, s.a, eps * eps);
  s.b = at_least(c, s.b, eps * eps);
  finish_cosine(c, &s, dim);
  if (c->status) return;
  memcpy(shape, s.y->shape, s.y->ndim * sizeof *shape);
  gan_tensor *g = gan_reshape(c, gy[0], s.y->ndim, shape);
  if (gan_wants(n, 0)) {
    gan_tensor *r = cosine_gradient(c, g, s.x1, s.x2, s.a, s.b, s.y, on1);
    gx[0] = gan_sum_to(c, r, n->in[0].ndim, n->in[0].shape);
  }
  if (gan_wants(n, 1)) {
    gan_tensor *r = cosine_gradient(c, g, s.x2, s.x1, s.b, s.a, s.y, on2);
    gx[1] = gan_sum_to(c, r, n->in[1].ndim, n->in[1].shape);
  }
}

gan_op gan_op_cosine_similarity = {
  .name = "cosine_similarity",
  .sig = "x1:tensor x2:tensor dim:dim=1 ; eps:number=1e-8",
  .forward = similarity_forward,
  .vjp = similarity_vjp,
  .save = "x1 x2",
  .doc = "x1.x2 / (|x1| |x2|) along a dimension (default: the second), which the result lacks.\n"
         "Each norm is at least eps. x1 and x2 broadcast.",
  .example = "gan.randn(4, 3):cosine_similarity(gan.randn(4, 3))"
};

#define EMBEDDING_EPS 1e-12 /* added to the squared norms */

static bool embedding_parts (gan_ctx *c, const gan_arg *arg, cosine *s) {
  gan_tensor *x1 = arg[0].t, *x2 = arg[1].t;
  int64_t dim = x1->ndim - 1;
  if (!make_cosine(c, x1, x2, dim, s)) return false;
  s->a = gan_shift(c, s->a, EMBEDDING_EPS);
  s->b = gan_shift(c, s->b, EMBEDDING_EPS);
  finish_cosine(c, s, dim);
  return !c->status;
}

static bool embedding_shapes (gan_ctx *c, const gan_tensor *x1, const gan_tensor *x2,
                              const gan_tensor *t) {
  if (!gan_loss_shapes(c, "x1", x1, "x2", x2)) return false;
  bool ok = (x1->ndim == 1 || x1->ndim == 2) && t->ndim == x1->ndim - 1;
  if (ok && (x1->ndim == 1 || t->shape[0] == x1->shape[0])) return true;
  gan_fail(c, GAN_EARG, "needs x1 and x2 (N x D) with t (N), or (D) with a number t, got %s and %s",
           gan_shape_of(c, x1), gan_shape_of(c, t));
  return false;
}

/* t with the shape of y (keepdim): which pairs belong together (1) and which do not (-1) */
static gan_tensor *pairs (gan_ctx *c, const cosine *s, gan_tensor *t, double value) {
  gan_tensor *v = gan_reshape(c, t, s->y->ndim, s->y->shape);
  return gan_eq(c, v, gan_scalar(c, value));
}

static void embedding_forward (gan_ctx *c, const gan_arg *arg, gan_tensor **out) {
  gan_tensor *t = arg[2].t, *zero = gan_scalar(c, 0);
  cosine s;
  if (!embedding_shapes(c, arg[0].t, arg[1].t, t) || !embedding_parts(c, arg, &s)) return;
  gan_tensor *far = at_least(c, gan_shift(c, s.y, -arg[3].num), 0);
  gan_tensor *l = gan_where(c, pairs(c, &s, t, 1), less_from(c, 1, s.y),
                            gan_where(c, pairs(c, &s, t, -1), far, zero));
  out[0] = gan_loss_reduce(c, gan_reshape(c, l, t->ndim, t->shape), arg[4].i);
}

static void embedding_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *t = n->a[2].t, *zero = gan_scalar(c, 0), *g;
  cosine s;
  if (gan_wants(n, 2)) gx[2] = gan_scale(c, t, 0);
  if (!embedding_parts(c, n->a, &s)) return;
  gan_tensor *near = gan_ge(c, s.y, gan_scalar(c, n->a[3].num));
  gan_tensor *k = gan_where(c, pairs(c, &s, t, 1), gan_scalar(c, -1),
                            gan_where(c, pairs(c, &s, t, -1), near, zero));
  g = gan_loss_spread(c, gy[0], n->a[4].i, t->numel);
  if (n->a[4].i == GAN_RED_NONE) g = gan_reshape(c, g, s.y->ndim, s.y->shape);
  g = gan_mul(c, k, g);
  if (gan_wants(n, 0)) gx[0] = cosine_gradient(c, g, s.x1, s.x2, s.a, s.b, s.y, NULL);
  if (gan_wants(n, 1)) gx[1] = cosine_gradient(c, g, s.x2, s.x1, s.b, s.a, s.y, NULL);
}

gan_op gan_op_cosine_embedding_loss = {
  .name = "cosine_embedding_loss",
  .sig = "x1:tensor x2:tensor t:tensor ; margin:number=0 reduction:none|mean|sum=mean",
  .forward = embedding_forward,
  .vjp = embedding_vjp,
  .save = "x1 x2 t",
  .doc = "1 - cos where t is 1, max(0, cos - margin) where it is -1; cos is the cosine of the\n"
         "angle between x1 and x2. x1 and x2 (N, D) with t (N), or (D) with t of 0 dimensions.",
  .example = "gan.randn(4, 3):cosine_embedding_loss(gan.randn(4, 3), gan.ones(4))"
};
