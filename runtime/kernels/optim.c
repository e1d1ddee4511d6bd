/*
** optim.c - see optim.h.
*/
#include "optim.h"
#include "vmath.h"

#define ARGS                                                                                   \
  int64_t n, gan_real *restrict p, const gan_real *restrict g, gan_real *const *s, const double *k

/* the constants that every update has */
#define COMMON                                                                        \
  const gan_real lr = (gan_real)k[GAN_OPTIM_LR], decay = (gan_real)k[GAN_OPTIM_DECAY], \
                 shrink = (gan_real)k[GAN_OPTIM_SHRINK];

#define STATE(name, i) gan_real *restrict name = s[i];
#define K(name, i) const gan_real name = (gan_real)k[i];

/* parameter and gradient with weight decay applied */
#define LOAD gan_real w = p[i], d = g[i] + decay * w; w *= shrink;

static void sgd (ARGS) {
  (void)s;
  COMMON
  for (int64_t i = 0; i < n; i++) {
    LOAD
    p[i] = w - lr * d;
  }
}

static void sgd_momentum (ARGS) {
  COMMON
  STATE(buf, 0)
  K(keep, GAN_SGD_KEEP) K(take, GAN_SGD_TAKE)
  const int first = k[GAN_SGD_FIRST] != 0, nesterov = k[GAN_SGD_NESTEROV] != 0;
  for (int64_t i = 0; i < n; i++) {
    LOAD
    gan_real b = first ? d : keep * buf[i] + take * d;
    buf[i] = b;
    p[i] = w - lr * (nesterov ? d + keep * b : b);
  }
}

/* ---- the adam family ----------------------------------------------------------------------- */

#define ADAM                                                                    \
  COMMON                                                                        \
  STATE(m, 0) STATE(v, 1)                                                       \
  K(b1, GAN_ADAM_BETA1) K(b2, GAN_ADAM_BETA2) K(eps, GAN_ADAM_EPS)              \
  K(step, GAN_ADAM_STEP)                                                        \
  const gan_real a1 = (gan_real)(1 - k[GAN_ADAM_BETA1]), a2 = (gan_real)(1 - k[GAN_ADAM_BETA2]);

#define MOMENTS                               \
  LOAD                                        \
  gan_real m1 = b1 * m[i] + a1 * d;           \
  gan_real v1 = b2 * v[i] + a2 * d * d;       \
  m[i] = m1;                                  \
  v[i] = v1;

static void adam (ARGS) {
  ADAM K(root, GAN_ADAM_ROOT)
  (void)lr;
  for (int64_t i = 0; i < n; i++) {
    MOMENTS
    p[i] = w - step * m1 / (vm_sqrt(v1) * root + eps);
  }
}

static void amsgrad (ARGS) {
  ADAM K(root, GAN_ADAM_ROOT)
  STATE(most, 2)
  (void)lr;
  for (int64_t i = 0; i < n; i++) {
    MOMENTS
    gan_real x = vm_max(most[i], v1);
    most[i] = x;
    p[i] = w - step * m1 / (vm_sqrt(x) * root + eps);
  }
}

static void nadam (ARGS) {
  ADAM K(root, GAN_ADAM_ROOT) K(grad, GAN_ADAM_GRAD)
  (void)lr;
  for (int64_t i = 0; i < n; i++) {
    MOMENTS
    p[i] = w - (grad * d + step * m1) / (vm_sqrt(v1) * root + eps);
  }
}

static void radam (ARGS) {
  ADAM K(root, GAN_ADAM_ROOT)
  const int adapt = k[GAN_ADAM_GRAD] != 0;
  (void)lr;
  for (int64_t i = 0; i < n; i++) {
    MOMENTS
    gan_real by = adapt ? root / (vm_sqrt(v1) + eps) : 1;
    p[i] = w - step * m1 * by;
  }
}

static void adamax (ARGS) {
  COMMON
  STATE(m, 0) STATE(u, 1)
  K(b1, GAN_ADAM_BETA1) K(b2, GAN_ADAM_BETA2) K(eps, GAN_ADAM_EPS) K(step, GAN_ADAM_STEP)
  const gan_real a1 = (gan_real)(1 - k[GAN_ADAM_BETA1]);
  (void)lr;
  for (int64_t i = 0; i < n; i++) {
    LOAD
    gan_real m1 = b1 * m[i] + a1 * d, u1 = vm_max(b2 * u[i], vm_abs(d) + eps);
    m[i] = m1;
    u[i] = u1;
    p[i] = w - step * m1 / u1;
  }
}

/* ---- scaled by a running square ------------------------------------------------------------ */

static void rmsprop (ARGS) {
  COMMON
  STATE(v, 0)
  K(alpha, GAN_RMSPROP_ALPHA) K(eps, GAN_RMSPROP_EPS)
  const gan_real take = (gan_real)(1 - k[GAN_RMSPROP_ALPHA]);
  for (int64_t i = 0; i < n; i++) {
    LOAD
    gan_real v1 = alpha * v[i] + take * d * d;
    v[i] = v1;
    p[i] = w - lr * d / (vm_sqrt(v1) + eps);
  }
}

static void rmsprop_full (ARGS) {
  COMMON
  STATE(v, 0) STATE(mean, 1) STATE(buf, 2)
  K(alpha, GAN_RMSPROP_ALPHA) K(eps, GAN_RMSPROP_EPS) K(momentum, GAN_RMSPROP_MOMENTUM)
  const gan_real take = (gan_real)(1 - k[GAN_RMSPROP_ALPHA]);
  for (int64_t i = 0; i < n; i++) {
    LOAD
    gan_real v1 = alpha * v[i] + take * d * d, square = v1;
    v[i] = v1;
    if (mean) { /* centered: the variance, which rounding must not make negative */
      gan_real m1 = alpha * mean[i] + take * d;
      mean[i] = m1;
      square = vm_max(v1 - m1 * m1, 0);
    }
    gan_real x = d / (vm_sqrt(square) + eps);
    if (buf) buf[i] = x = momentum * buf[i] + x;
    p[i] = w - lr * x;
  }
}

static void adagrad (ARGS) {
  COMMON
  STATE(sum, 0)
  K(eps, GAN_ADAGRAD_EPS)
  for (int64_t i = 0; i < n; i++) {
    LOAD
    gan_real v = sum[i] + d * d;
    sum[i] = v;
    p[i] = w - lr * d / (vm_sqrt(v) + eps);
  }
}

static void adadelta (ARGS) {
  COMMON
  STATE(v, 0) STATE(delta, 1)
  K(rho, GAN_ADADELTA_RHO) K(eps, GAN_ADADELTA_EPS)
  const gan_real take = (gan_real)(1 - k[GAN_ADADELTA_RHO]);
  for (int64_t i = 0; i < n; i++) {
    LOAD
    gan_real v1 = rho * v[i] + take * d * d;
    gan_real x = vm_sqrt(delta[i] + eps) / vm_sqrt(v1 + eps) * d;
    v[i] = v1;
    delta[i] = rho * delta[i] + take * x * x;
    p[i] = w - lr * x;
  }
}

/* Only the gradient's sign counts; a step that changed sign is not made and is forgotten. */
static void rprop (ARGS) {
  STATE(before, 0) STATE(size, 1)
  K(minus, GAN_RPROP_MINUS) K(plus, GAN_RPROP_PLUS) K(least, GAN_RPROP_MIN) K(most, GAN_RPROP_MAX)
  K(lr, GAN_OPTIM_LR)
  const int first = k[GAN_RPROP_FIRST] != 0;
  for (int64_t i = 0; i < n; i++) {
    gan_real d = g[i], was = first ? 0 : before[i], step = first ? lr : size[i];
    gan_real turn = d * was;
    step = vm_clamp(step * (turn > 0 ? plus : turn < 0 ? minus : 1), least, most);
    d = turn < 0 ? 0 : d;
    before[i] = d;
    size[i] = step;
    p[i] -= d > 0 ? step : d < 0 ? -step : d; /* 0 or NaN */
  }
}

/* ---- not optimisers ------------------------------------------------------------------------ */

static void clip (ARGS) {
  (void)g, (void)s;
  K(lo, GAN_CLIP_LO) K(hi, GAN_CLIP_HI)
  for (int64_t i = 0; i < n; i++) p[i] = vm_clamp(p[i], lo, hi);
}

static void ema (ARGS) {
  (void)s;
  K(take, GAN_EMA_TAKE)
  for (int64_t i = 0; i < n; i++) p[i] += take * (g[i] - p[i]);
}

static void scale (ARGS) {
  (void)g, (void)s;
  K(factor, GAN_SCALE_FACTOR)
  for (int64_t i = 0; i < n; i++) p[i] *= factor;
}

static double power_sum (int64_t n, const gan_real *x, double p) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += pow(fabs((double)x[i]), p);
  return sum;
}

const gan_optim_table GAN_TABLE(gan_optim) = {
  sgd, sgd_momentum, adam, amsgrad, adamax, nadam, radam, rmsprop, rmsprop_full, adagrad, adadelta,
  rprop, clip, ema, scale, power_sum
};
