/*
** optim.c - updates of optimisers in place: each op is one pass over all parameters in one parallel
** region.
**
** Lists run in step: parameter k, its gradient and its state tensors have one shape. They are
** usually laid out alike and are updated where they lie; a tensor that lies differently (a slice, a
** gradient in another order) is copied, and copied back if it is changed. A tensor must not be in a
** list twice. The state tensors are the caller's: zeros before the first step.
*/
#include <math.h>

#include "../core/op.h"
#include "../kernels/optim.h"
#include "../kernels/reduce.h"

#define GRAIN 8192
#define MAXSTATES 3

typedef struct {
  int64_t start; /* place of the first element among all parameters */
  gan_real *p, *s[MAXSTATES];
  const gan_real *g;
} piece;

typedef struct {
  gan_optim_fn *fn;
  const double *k;
  const piece *pieces; /* n of them, and one more that holds the total */
  int n;
} update_job;

/* ---- one region over all parameters -------------------------------------------------------- */

static int piece_at (const update_job *j, int64_t place) {
  int lo = 0, hi = j->n - 1; /* the last piece that starts at or before `place` */
  while (lo < hi) {
    int mid = lo + (hi - lo + 1) / 2;
    if (j->pieces[mid].start <= place) lo = mid;
    else hi = mid - 1;
  }
  return lo;
}

static void update_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const update_job *j = ud;
  (void)worker;
  for (int i = piece_at(j, lo); lo < hi; i++) {
    const piece *q = &j->pieces[i];
    int64_t end = q[1].start < hi ? q[1].start : hi, at = lo - q->start;
    gan_real *s[MAXSTATES];
    if (end <= lo) continue;
    for (int m = 0; m < MAXSTATES; m++) s[m] = q->s[m] ? q->s[m] + at : NULL;
    j->fn(end - lo, q->p + at, q->g ? q->g + at : NULL, s, j->k);
    lo = end;
  }
}

/* ---- lists of tensors ---------------------------------------------------------------------- */

/* The call's lists: parameters, gradients (may be absent), states (may be absent). */
typedef struct {
  const gan_arg *p, *g, *s[MAXSTATES];
} lists;

static const char *arg_name (const gan_ctx *c, const gan_arg *first, const gan_arg *a) {
  return c->op->parsed->p[a - first].name;
}

static bool same_list (gan_ctx *c, const gan_arg *all, const gan_arg *p, const gan_arg *a) {
  if (!a || a->n < 0) return true;
  if (a->n != p->n) {
    gan_fail(c, GAN_EARG, "'%s' has %d tensors, '%s' has %d", arg_name(c, all, p), p->n,
             arg_name(c, all, a), a->n);
    return false;
  }
  for (int i = 0; i < p->n; i++)
    if (!gan_same_shape(p->ts[i], a->ts[i])) {
      gan_fail(c, GAN_EARG, "tensor %d has shape %s in '%s' but %s in '%s'", i + 1,
               gan_shape_of(c, p->ts[i]), arg_name(c, all, p), gan_shape_of(c, a->ts[i]),
               arg_name(c, all, a));
      return false;
    }
  return true;
}

/* t, or a copy of it, with the layout of p. */
static gan_tensor *laid_out (gan_ctx *c, gan_tensor *t, const gan_tensor *p) {
  if (gan_same_layout(t, p)) return t;
  gan_tensor *copy = gan_new_like(c, p, GAN_REAL);
  if (copy) gan_copy_into(c, copy, t);
  return copy;
}

/* Fills in the pieces; tensors that had to be copied and are changed are noted in `back`, in pairs
   of original and copy. Returns how many there are, -1 on failure. */
static int gather (gan_ctx *c, const lists *l, piece *out, gan_tensor **back) {
  int n = l->p->n, copies = 0;
  int64_t total = 0;
  for (int i = 0; i < n; i++) {
    gan_tensor *p = l->p->ts[i];
    if (!gan_is_dense(p)) {
      back[copies++] = p;
      back[copies++] = p = gan_dense(c, p);
      if (!p) return -1;
    }
    out[i] = (piece){ .start = total, .p = gan_reals(p) };
    if (l->g) {
      gan_tensor *g = laid_out(c, l->g->ts[i], p);
      if (!g) return -1;
      out[i].g = gan_reals(g);
    }
    for (int m = 0; m < MAXSTATES; m++) {
      if (!l->s[m] || l->s[m]->n < 0) continue;
      gan_tensor *was = l->s[m]->ts[i], *s = laid_out(c, was, p);
      if (!s) return -1;
      if (s != was) {
        back[copies++] = was;
        back[copies++] = s;
      }
      out[i].s[m] = gan_reals(s);
    }
    if (p->numel > INT64_MAX - total) {
      gan_fail(c, GAN_EARG, "too many elements in '%s'", "params");
      return -1;
    }
    total += p->numel;
  }
  out[n] = (piece){ .start = total };
  return copies;
}

static void *scratch (gan_ctx *c, size_t n, size_t item) {
  gan_tensor *t = gan_new(c, GAN_UINT8, 1, (int64_t[]){ (int64_t)(n * item) });
  return t ? t->data : NULL;
}

/* all: the call's arguments (for messages) */
static void update (gan_ctx *c, const gan_arg *all, const lists *l, gan_optim_fn *fn,
                    const double *k) {
  if (!same_list(c, all, l->p, l->g)) return;
  for (int m = 0; m < MAXSTATES; m++)
    if (!same_list(c, all, l->p, l->s[m])) return;
  size_t n = (size_t)(l->p->n > 0 ? l->p->n : 0);
  piece *pieces = scratch(c, n + 1, sizeof *pieces);
  gan_tensor **back = scratch(c, n * 2 * (MAXSTATES + 1) + 1, sizeof *back);
  if (!pieces || !back) return;
  int copies = gather(c, l, pieces, back);
  if (copies < 0 || c->status) return;
  update_job j = { fn, k, pieces, (int)n };
  gan_parallel(pieces[n].start, GRAIN, update_range, &j);
  for (int i = 0; i < copies; i += 2) gan_copy_into(c, back[i], back[i + 1]);
}

/* ---- options ------------------------------------------------------------------------------- */

/* A NaN or an infinite option would destroy every parameter at once. */
static bool finite_options (gan_ctx *c, const gan_arg *a) {
  const gan_sig *s = c->op->parsed;
  for (int i = 0; i < s->nargs; i++)
    if (s->p[i].kind == GAN_K_NUMBER && a[i].n > 0 && !isfinite(a[i].num)) {
      gan_fail(c, GAN_EARG, "option '%s' must be finite, got %g", s->p[i].name, a[i].num);
      return false;
    }
  return true;
}

static bool fraction (gan_ctx *c, const char *name, double x) {
  if (x >= 0 && x < 1) return true;
  gan_fail(c, GAN_EARG, "option '%s' must be at least 0 and less than 1, got %g", name, x);
  return false;
}

static bool positive_step (gan_ctx *c, int64_t step) {
  if (step >= 1) return true;
  gan_fail(c, GAN_EARG, "option 'step' counts from 1, got %lld", (long long)step);
  return false;
}

#define CHECK(cond) \
  do {              \
    if (!(cond)) return; \
  } while (0)

/* lr and weight decay in the places that every kernel expects */
static void common (double *k, double lr, double decay, bool decoupled) {
  k[GAN_OPTIM_LR] = lr;
  k[GAN_OPTIM_DECAY] = decoupled ? 0 : decay;
  k[GAN_OPTIM_SHRINK] = decoupled ? 1 - lr * decay : 1;
}

/* ---- sgd ----------------------------------------------------------------------------------- */

static void sgd_step (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  (void)out;
  CHECK(finite_options(c, a) && positive_step(c, a[8].i));
  double momentum = a[4].num, k[GAN_OPTIM_CONSTANTS];
  bool buffered = a[2].n >= 0;
  GAN_NEED(c, buffered || momentum == 0, "option 'momentum' needs the list 'buf'");
  GAN_NEED(c, !a[7].i || (buffered && momentum > 0 && a[5].num == 0),
           "option 'nesterov' needs a momentum and no dampening");
  common(k, a[3].num, a[6].num, false);
  k[GAN_SGD_KEEP] = momentum;
  k[GAN_SGD_TAKE] = 1 - a[5].num;
  k[GAN_SGD_FIRST] = a[8].i == 1;
  k[GAN_SGD_NESTEROV] = (double)a[7].i;
  const gan_optim_table *t = GAN_KERNEL(gan_optim);
  lists l = { &a[0], &a[1], { buffered ? &a[2] : NULL } };
  update(c, a, &l, buffered ? t->sgd_momentum : t->sgd, k);
}

static gan_op sgd_step_op = {
  .name = "sgd_step_",
  .sig = "params!:tensors grads:tensors buf!:tensors? ; lr:number momentum:number=0 "
         "dampening:number=0 weight_decay:number=0 nesterov:bool=false step:int=1 ->",
  .forward = sgd_step,
  .doc = "One step of stochastic gradient descent on all parameters, in place.\n"
         "g += weight_decay p; buf = momentum buf + (1 - dampening) g, at step 1 buf = g;\n"
         "p -= lr buf, with nesterov p -= lr (g + momentum buf); without momentum p -= lr g.\n"
         "buf (one tensor for each parameter) is needed when momentum is not 0. step counts from "
         "1.\n"
         "Sutskever, Martens, Dahl, Hinton 2013, in the form of PyTorch.",
  .example = "gan.sgd_step_({gan.ones(2)}, {gan.ones(2)}, {lr=0.1})",
  .flags = GAN_UPDATE,
};

/* ---- the adam family ----------------------------------------------------------------------- */

typedef struct {
  double lr, beta1, beta2, eps, decay;
  int64_t step;
  double bc1, bc2; /* 1 - beta^step */
} adam_options;

/* a: lr beta1 beta2 eps weight_decay step */
static bool read_adam (gan_ctx *c, const gan_arg *a, adam_options *o, double *k) {
  *o = (adam_options){ a[0].num, a[1].num, a[2].num, a[3].num, a[4].num, a[5].i, 0, 0 };
  if (!fraction(c, "beta1", o->beta1) || !fraction(c, "beta2", o->beta2) ||
      !positive_step(c, o->step))
    return false;
  o->bc1 = 1 - pow(o->beta1, (double)o->step);
  o->bc2 = 1 - pow(o->beta2, (double)o->step);
  common(k, o->lr, o->decay, false);
  k[GAN_ADAM_BETA1] = o->beta1;
  k[GAN_ADAM_BETA2] = o->beta2;
  k[GAN_ADAM_EPS] = o->eps;
  k[GAN_ADAM_STEP] = o->lr / o->bc1;
  k[GAN_ADAM_ROOT] = 1 / sqrt(o->bc2);
  return true;
}

static void adam_step (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  (void)out;
  double k[GAN_OPTIM_CONSTANTS];
  adam_options o;
  CHECK(finite_options(c, a) && read_adam(c, a + 5, &o, k));
  if (a[11].i) common(k, o.lr, o.decay, true);
  bool amsgrad = a[4].n >= 0;
  const gan_optim_table *t = GAN_KERNEL(gan_optim);
  lists l = { &a[0], &a[1], { &a[2], &a[3], amsgrad ? &a[4] : NULL } };
  update(c, a, &l, amsgrad ? t->amsgrad : t->adam, k);
}

static gan_op adam_step_op = {
  .name = "adam_step_",
  .sig = "params!:tensors grads:tensors m!:tensors v!:tensors v_max!:tensors? ; lr:number=0.001 "
         "beta1:number=0.9 beta2:number=0.999 eps:number=1e-8 weight_decay:number=0 step:int "
         "decoupled:bool=false ->",
  .forward = adam_step,
  .doc = "One step of Adam (decoupled: AdamW; with v_max: AMSGrad) on all parameters, in place.\n"
         "g += weight_decay p, or with decoupled p *= 1 - lr weight_decay;\n"
         "m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;\n"
         "p -= lr m / (1 - beta1^step) / (sqrt(v / (1 - beta2^step)) + eps). step counts from 1.\n"
         "Kingma, Ba 2015; Loshchilov, Hutter 2019; Reddi, Kale, Kumar 2018.",
  .example = "gan.adam_step_({gan.ones(2)}, {gan.ones(2)}, {gan.zeros(2)}, {gan.zeros(2)}, "
             "{step=1})",
  .flags = GAN_UPDATE,
};

static void adamax_step (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  (void)out;
  double k[GAN_OPTIM_CONSTANTS];
  adam_options o;
  CHECK(finite_options(c, a) && read_adam(c, a + 4, &o, k));
  lists l = { &a[0], &a[1], { &a[2], &a[3] } };
  update(c, a, &l, GAN_KERNEL(gan_optim)->adamax, k);
}

static gan_op adamax_step_op = {
  .name = "adamax_step_",
  .sig = "params!:tensors grads:tensors m!:tensors u!:tensors ; lr:number=0.002 beta1:number=0.9 "
         "beta2:number=0.999 eps:number=1e-8 weight_decay:number=0 step:int ->",
  .forward = adamax_step,
  .doc = "One step of Adamax, Adam with the largest gradient for a denominator, in place.\n"
         "m = beta1 m + (1 - beta1) g; u = max(beta2 u, |g| + eps);\n"
         "p -= lr m / (1 - beta1^step) / u. Kingma, Ba 2015, section 7.",
  .example = "gan.adamax_step_({gan.ones(2)}, {gan.ones(2)}, {gan.zeros(2)}, {gan.zeros(2)}, "
             "{step=1})",
  .flags = GAN_UPDATE,
};

static void nadam_step (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  (void)out;
  double k[GAN_OPTIM_CONSTANTS];
  adam_options o;
  CHECK(finite_options(c, a) && read_adam(c, a + 4, &o, k));
  double t = (double)o.step, decay = a[10].num;
  double mu = o.beta1 * (1 - 0.5 * pow(0.96, t * decay));
  double next = o.beta1 * (1 - 0.5 * pow(0.96, (t + 1) * decay));
  double product = a[11].num * mu;
  k[GAN_ADAM_GRAD] = o.lr * (1 - mu) / (1 - product);
  k[GAN_ADAM_STEP] = o.lr * next / (1 - product * mu * next); /* mu twice, as in PyTorch 1.13 */
  lists l = { &a[0], &a[1], { &a[2], &a[3] } };
  update(c, a, &l, GAN_KERNEL(gan_optim)->nadam, k);
}

static gan_op nadam_step_op = {
  .name = "nadam_step_",
  .sig = "params!:tensors grads:tensors m!:tensors v!:tensors ; lr:number=0.002 beta1:number=0.9 "
         "beta2:number=0.999 eps:number=1e-8 weight_decay:number=0 step:int "
         "momentum_decay:number=0.004 mu_product:number=1 ->",
  .forward = nadam_step,
  .doc = "One step of NAdam, Adam with Nesterov momentum, in place.\n"
         "mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2); mu_product is the product of the mu of "
         "all\n"
         "steps before this one (1 at step 1), which the caller keeps; m, v as in adam_step_;\n"
         "p -= lr ((1 - mu_t) g / (1 - P) + mu_t+1 m / (1 - P mu_t mu_t+1)) /\n"
         "(sqrt(v / (1 - beta2^t)) + eps) with P = mu_product mu_t. Dozat 2016, as PyTorch 1.13\n"
         "computes it: the paper has 1 - P mu_t+1.",
  .example = "gan.nadam_step_({gan.ones(2)}, {gan.ones(2)}, {gan.zeros(2)}, {gan.zeros(2)}, "
             "{step=1})",
  .flags = GAN_UPDATE,
};

static void radam_step (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  (void)out;
  double k[GAN_OPTIM_CONSTANTS];
  adam_options o;
  CHECK(finite_options(c, a) && read_adam(c, a + 4, &o, k));
  double t = (double)o.step, most = 2 / (1 - o.beta2) - 1;
  double rho = most - 2 * t * (1 - o.bc2) / o.bc2;
  k[GAN_ADAM_ROOT] = sqrt(o.bc2);
  k[GAN_ADAM_GRAD] = rho > 5;
  if (rho > 5)
    k[GAN_ADAM_STEP] *= sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho));
  lists l = { &a[0], &a[1], { &a[2], &a[3] } };
  update(c, a, &l, GAN_KERNEL(gan_optim)->radam, k);
}

static gan_op radam_step_op = {
  .name = "radam_step_",
  .sig = "params!:tensors grads:tensors m!:tensors v!:tensors ; lr:number=0.001 beta1:number=0.9 "
         "beta2:number=0.999 eps:number=1e-8 weight_decay:number=0 step:int ->",
  .forward = radam_step,
  .doc = "One step of RAdam, Adam whose step is rectified while v is uncertain, in place.\n"
         "r = 2 / (1 - beta2) - 1; r_t = r - 2 t beta2^t / (1 - beta2^t); m, v as in adam_step_;\n"
         "r_t > 5: p -= lr R m / (1 - beta1^t) sqrt(1 - beta2^t) / (sqrt(v) + eps) with\n"
         "R = sqrt((r_t - 4)(r_t - 2) r / ((r - 4)(r - 2) r_t)); else p -= lr m / (1 - beta1^t).\n"
         "Liu et al. 2020.",
  .example = "gan.radam_step_({gan.ones(2)}, {gan.ones(2)}, {gan.zeros(2)}, {gan.zeros(2)}, "
             "{step=1})",
  .flags = GAN_UPDATE,
};

/* ---- scaled by a running square ------------------------------------------------------------ */

static void rmsprop_step (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  (void)out;
  double k[GAN_OPTIM_CONSTANTS];
  bool centred = a[3].n >= 0, buffered = a[4].n >= 0;
  CHECK(finite_options(c, a));
  GAN_NEED(c, buffered || a[9].num == 0, "option 'momentum' needs the list 'buf'");
  common(k, a[5].num, a[8].num, false);
  k[GAN_RMSPROP_ALPHA] = a[6].num;
  k[GAN_RMSPROP_EPS] = a[7].num;
  k[GAN_RMSPROP_MOMENTUM] = a[9].num;
  const gan_optim_table *t = GAN_KERNEL(gan_optim);
  lists l = { &a[0], &a[1], { &a[2], centred ? &a[3] : NULL, buffered ? &a[4] : NULL } };
  update(c, a, &l, centred || buffered ? t->rmsprop_full : t->rmsprop, k);
}

static gan_op rmsprop_step_op = {
  .name = "rmsprop_step_",
  .sig = "params!:tensors grads:tensors v!:tensors g_avg!:tensors? buf!:tensors? ; lr:number=0.01 "
         "alpha:number=0.99 eps:number=1e-8 weight_decay:number=0 momentum:number=0 ->",
  .forward = rmsprop_step,
  .doc = "One step of RMSprop on all parameters, in place.\n"
         "g += weight_decay p; v = alpha v + (1 - alpha) g^2; x = g / (sqrt(v) + eps);\n"
         "with g_avg (centered) v - g_avg^2 for v, where g_avg = alpha g_avg + (1 - alpha) g;\n"
         "with buf buf = momentum buf + x and x = buf; p -= lr x.\n"
         "Tieleman, Hinton 2012; centered: Graves 2013.",
  .example = "gan.rmsprop_step_({gan.ones(2)}, {gan.ones(2)}, {gan.zeros(2)}, {lr=0.01})",
  .flags = GAN_UPDATE,
};

static void adagrad_step (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  (void)out;
  double k[GAN_OPTIM_CONSTANTS];
  CHECK(finite_options(c, a) && positive_step(c, a[7].i));
  common(k, a[3].num / (1 + (double)(a[7].i - 1) * a[4].num), a[6].num, false);
  k[GAN_ADAGRAD_EPS] = a[5].num;
  lists l = { &a[0], &a[1], { &a[2] } };
  update(c, a, &l, GAN_KERNEL(gan_optim)->adagrad, k);
}

static gan_op adagrad_step_op = {
  .name = "adagrad_step_",
  .sig = "params!:tensors grads:tensors sum!:tensors ; lr:number=0.01 lr_decay:number=0 "
         "eps:number=1e-10 weight_decay:number=0 step:int=1 ->",
  .forward = adagrad_step,
  .doc = "One step of Adagrad on all parameters, in place.\n"
         "g += weight_decay p; sum += g^2; p -= lr / (1 + (step - 1) lr_decay) g / (sqrt(sum) + "
         "eps).\n"
         "Duchi, Hazan, Singer 2011.",
  .example = "gan.adagrad_step_({gan.ones(2)}, {gan.ones(2)}, {gan.zeros(2)}, {lr=0.01})",
  .flags = GAN_UPDATE,
};

static void adadelta_step (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  (void)out;
  double k[GAN_OPTIM_CONSTANTS];
  CHECK(finite_options(c, a));
  common(k, a[4].num, a[7].num, false);
  k[GAN_ADADELTA_RHO] = a[5].num;
  k[GAN_ADADELTA_EPS] = a[6].num;
  lists l = { &a[0], &a[1], { &a[2], &a[3] } };
  update(c, a, &l, GAN_KERNEL(gan_optim)->adadelta, k);
}

static gan_op adadelta_step_op = {
  .name = "adadelta_step_",
  .sig = "params!:tensors grads:tensors v!:tensors delta!:tensors ; lr:number=1 rho:number=0.9 "
         "eps:number=1e-6 weight_decay:number=0 ->",
  .forward = adadelta_step,
  .doc = "One step of Adadelta on all parameters, in place.\n"
         "v = rho v + (1 - rho) g^2; x = sqrt(delta + eps) / sqrt(v + eps) g;\n"
         "delta = rho delta + (1 - rho) x^2; p -= lr x. Zeiler 2012.",
  .example = "gan.adadelta_step_({gan.ones(2)}, {gan.ones(2)}, {gan.zeros(2)}, {gan.zeros(2)})",
  .flags = GAN_UPDATE,
};

static void rprop_step (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  (void)out;
  double k[GAN_OPTIM_CONSTANTS];
  CHECK(finite_options(c, a) && positive_step(c, a[9].i));
  common(k, a[4].num, 0, false);
  for (int i = 0; i < 4; i++) k[GAN_RPROP_MINUS + i] = a[5 + i].num;
  k[GAN_RPROP_FIRST] = a[9].i == 1;
  lists l = { &a[0], &a[1], { &a[2], &a[3] } };
  update(c, a, &l, GAN_KERNEL(gan_optim)->rprop, k);
}

static gan_op rprop_step_op = {
  .name = "rprop_step_",
  .sig = "params!:tensors grads:tensors prev!:tensors size!:tensors ; lr:number=0.01 "
         "eta_minus:number=0.5 eta_plus:number=1.2 step_min:number=1e-6 step_max:number=50 "
         "step:int=1 ->",
  .forward = rprop_step,
  .doc = "One step of resilient propagation on all parameters, in place; only signs of gradients "
         "count.\n"
         "size (lr at step 1) grows by eta_plus while the sign stays and shrinks by eta_minus "
         "when it\n"
         "changes, within [step_min, step_max]; p -= sign(g) size, except where the sign changed.\n"
         "prev is the last gradient. Riedmiller, Braun 1993. For full batches.",
  .example = "gan.rprop_step_({gan.ones(2)}, {gan.ones(2)}, {gan.zeros(2)}, {gan.zeros(2)})",
  .flags = GAN_UPDATE,
};

/* ---- parameters by themselves -------------------------------------------------------------- */

static void clip (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  (void)out;
  double k[GAN_OPTIM_CONSTANTS] = { a[1].num, a[2].num };
  GAN_NEED(c, a[1].num <= a[2].num, "the bounds are not in order: lo is %g, hi is %g", a[1].num,
           a[2].num);
  lists l = { &a[0], NULL, { NULL } };
  update(c, a, &l, GAN_KERNEL(gan_optim)->clip, k);
}

static gan_op clip_op = {
  .name = "clip_",
  .sig = "params!:tensors lo:number hi:number ->",
  .forward = clip,
  .doc = "Limits every element of the parameters to [lo, hi], in place; NaN stays.\n"
         "The weight clipping of the Wasserstein GAN: Arjovsky, Chintala, Bottou 2017.",
  .example = "gan.clip_({gan.randn(3)}, -0.01, 0.01)",
  .flags = GAN_UPDATE,
};

static void ema (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  (void)out;
  double k[GAN_OPTIM_CONSTANTS] = { 1 - a[2].num };
  GAN_NEED(c, a[2].num >= 0 && a[2].num <= 1, "option 'decay' must be from 0 to 1, got %g",
           a[2].num);
  lists l = { &a[0], &a[1], { NULL } };
  update(c, a, &l, GAN_KERNEL(gan_optim)->ema, k);
}

static gan_op ema_op = {
  .name = "ema_",
  .sig = "shadow!:tensors params:tensors decay:number=0.999 ->",
  .forward = ema,
  .doc = "Moves running means of parameters, in place: shadow = decay shadow + (1 - decay) params.",
  .example = "gan.ema_({gan.zeros(2)}, {gan.ones(2)}, {decay=0.9})",
  .flags = GAN_UPDATE,
};

/* ---- clipping gradients by their norm ------------------------------------------------------ */

#define NORM_BLOCK 16384 /* a sum does not depend on the thread count: blocks have fixed places */

typedef struct {
  double p;
  int n;
  const int64_t *first;         /* n + 1: number of the first block of each tensor */
  gan_tensor *const *dense;     /* n */
  double *part;                 /* one per block */
} norm_job;

static double block_norm (const norm_job *j, int64_t n, const gan_real *x) {
  const gan_reduce_table *t = GAN_KERNEL(gan_reduce);
  if (j->p == 2) return t->row[GAN_REDUCE_SQUARE](n, x, 0);
  if (j->p == 1) return t->row[GAN_REDUCE_ABS](n, x, 0);
  if (!isinf(j->p)) return GAN_KERNEL(gan_optim)->power_sum(n, x, j->p);
  double most = t->row[GAN_REDUCE_MAX](n, x, 0), least = t->row[GAN_REDUCE_MIN](n, x, 0);
  return most > -least ? most : -least; /* NaN: both are NaN */
}

static void norm_blocks (void *ud, int64_t lo, int64_t hi, int worker) {
  const norm_job *j = ud;
  (void)worker;
  int i = 0;
  for (int64_t b = lo; b < hi; b++) {
    while (j->first[i + 1] <= b) i++;
    int64_t at = (b - j->first[i]) * NORM_BLOCK, left = j->dense[i]->numel - at;
    j->part[b] = block_norm(j, left < NORM_BLOCK ? left : NORM_BLOCK, gan_reals(j->dense[i]) + at);
  }
}

/* The p-norm of all tensors as one vector; -1 on failure. */
static double total_norm (gan_ctx *c, int n, gan_tensor **x, double p) {
  int64_t *first = scratch(c, (size_t)n + 1, sizeof *first), blocks = 0;
  gan_tensor **dense = scratch(c, (size_t)n + 1, sizeof *dense);
  if (!first || !dense) return -1;
  for (int i = 0; i < n; i++) {
    first[i] = blocks;
    blocks += x[i]->numel / NORM_BLOCK + (x[i]->numel % NORM_BLOCK != 0);
    dense[i] = gan_is_dense(x[i]) ? x[i] : gan_dense(c, x[i]);
    if (!dense[i]) return -1;
  }
  first[n] = blocks;
  double *part = scratch(c, (size_t)blocks + 1, sizeof *part), sum = 0;
  if (!part) return -1;
  norm_job j = { p, n, first, dense, part };
  gan_parallel(blocks, 1, norm_blocks, &j);
  for (int64_t b = 0; b < blocks; b++) {
    if (!isinf(p)) sum += part[b];
    else if (part[b] > sum || isnan(part[b])) sum = part[b];
    if (isnan(sum)) return sum;
  }
  return isinf(p) ? sum : p == 2 ? sqrt(sum) : p == 1 ? sum : pow(sum, 1 / p);
}

static bool check_clip (gan_ctx *c, double max_norm, double p) {
  if (!(max_norm >= 0)) gan_fail(c, GAN_EARG, "'max_norm' must not be negative, got %g", max_norm);
  else if (!(p > 0)) gan_fail(c, GAN_EARG, "option 'p' must be positive or \"inf\", got %g", p);
  return c->status == GAN_OK;
}

static void clip_grad_norm_in_place (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  CHECK(check_clip(c, a[1].num, a[2].num));
  double total = total_norm(c, a[0].n, a[0].ts, a[2].num);
  if (c->status || !(out[0] = gan_scalar(c, total))) return;
  double factor = a[1].num / (total + 1e-6), k[GAN_OPTIM_CONSTANTS] = { factor };
  lists l = { &a[0], NULL, { NULL } };
  if (!(factor >= 1)) update(c, a, &l, GAN_KERNEL(gan_optim)->scale, k);
}

static gan_op clip_grad_norm_in_place_op = {
  .name = "clip_grad_norm_",
  .sig = "grads!:tensors max_norm:number ; p:number=2 -> total~",
  .forward = clip_grad_norm_in_place,
  .doc = "Scales gradients in place so that their joint norm is at most max_norm; returns the "
         "norm before.\n"
         "total = p-norm of all elements of all tensors; every element is multiplied by\n"
         "min(1, max_norm / (total + 1e-6)). p: positive or \"inf\". A NaN spreads to all "
         "gradients.\n"
         "Pascanu, Mikolov, Bengio 2013.",
  .example = "gan.clip_grad_norm_({gan.ones(4)}, 1)",
  .flags = GAN_UPDATE,
};

/* ---- counters ------------------------------------------------------------------------------ */

static void increment (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  GAN_NEED(c, gan_is_contiguous(x), "argument 'x' must be contiguous, it is a view %s",
           gan_shape_of(c, x));
  for (int64_t i = 0; i < x->numel; i++)
    gan_ints(x)[i] = (int64_t)((uint64_t)gan_ints(x)[i] + (uint64_t)a[1].i);
  out[0] = x;
}

static gan_op increment_op = {
  .name = "increment_",
  .sig = "x!:labels ; by:int=1 -> y~",
  .forward = increment,
  .doc = "Adds an integer to every element of an int64 tensor in place: a counter of steps.\n"
         "Overflow wraps around. Errors: a tensor of another type.",
  .example = "gan.increment_(gan.tensor(0, {dtype=\"int64\"}))",
  .flags = GAN_UPDATE,
};

/* Calls an op of another family by name: x, an option or two, defaults for the rest. */
static gan_tensor *p_norm (gan_ctx *c, gan_tensor *x, double p) {
  gan_op *op = gan_op_find("norm");
  gan_arg a[GAN_MAXARGS];
  if (!op) return gan_fail(c, GAN_EARG, "this build has no op 'norm'");
  for (int i = 0; i < op->parsed->nargs; i++) {
    const gan_param *q = &op->parsed->p[i];
    a[i] = i == 0 ? GAN_T(x) : q->has_default ? q->value : GAN_NONE;
    if (q->name[0] == 'p' && !q->name[1]) a[i] = GAN_N(p);
  }
  return gan_run1(c, op, a);
}

static int clip_grad_norm_count (gan_ctx *c, const gan_arg *a) {
  (void)c;
  return a[0].n + 1;
}

static void clip_grad_norm (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int n = a[0].n, used = 0;
  CHECK(check_clip(c, a[1].num, a[2].num));
  gan_tensor **norms = scratch(c, (size_t)n + 1, sizeof *norms);
  if (!norms) return;
  for (int i = 0; i < n; i++)
    if (a[0].ts[i]->numel)
      norms[used++] = gan_reshape(c, p_norm(c, a[0].ts[i], a[2].num), 1, (int64_t[]){ 1 });
  gan_tensor *total = used ? p_norm(c, gan_cat(c, used, norms, 0), a[2].num) : gan_scalar(c, 0);
  gan_tensor *factor = gan_scale(c, gan_reciprocal(c, gan_shift(c, total, 1e-6)), a[1].num);
  gan_tensor *one = gan_scalar(c, 1);
  factor = gan_where(c, gan_gt(c, factor, one), one, factor); /* NaN stays */
  for (int i = 0; i < n; i++) out[i] = gan_mul(c, a[0].ts[i], factor);
  out[n] = total;
}

static gan_op clip_grad_norm_op = {
  .name = "clip_grad_norm",
  .sig = "grads:tensors max_norm:number ; p:number=2 -> y*",
  .forward = clip_grad_norm,
  .count = clip_grad_norm_count,
  .doc = "Gradients scaled so that their joint norm is at most max_norm, and last the norm "
         "before.\n"
         "The formula of clip_grad_norm_, as a differentiable function.",
  .example = "local g, total = gan.clip_grad_norm({gan.ones(4)}, 1)",
  .flags = GAN_COMPOSITE,
};

gan_op *const gan_ops_optim[] = {
  &sgd_step_op, &adam_step_op, &adamax_step_op, &nadam_step_op, &radam_step_op, &rmsprop_step_op,
  &adagrad_step_op, &adadelta_step_op, &rprop_step_op, &clip_op, &ema_op,
  &clip_grad_norm_in_place_op, &clip_grad_norm_op, &increment_op, NULL
};
