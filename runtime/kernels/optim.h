/*
** optim.h - updates of optimisers: one pass over n parameters, all formulas PyTorch's.
**
** p: parameters, g: gradients, s[]: the state tensors of the op in the order of its signature,
** k[]: the constants, indexed by the enums below. No two arrays overlap.
*/
#ifndef GAN_KERNELS_OPTIM_H
#define GAN_KERNELS_OPTIM_H

#include "isa.h"

#define GAN_OPTIM_CONSTANTS 10

typedef void gan_optim_fn(int64_t n, gan_real *p, const gan_real *g, gan_real *const *s,
                          const double *k);

/* Of all: weight decay as part of the gradient, g + decay p, and p first multiplied by shrink. */
enum { GAN_OPTIM_LR, GAN_OPTIM_DECAY, GAN_OPTIM_SHRINK, GAN_OPTIM_OWN };

enum { /* the adam family */
  GAN_ADAM_BETA1 = GAN_OPTIM_OWN, GAN_ADAM_BETA2, GAN_ADAM_EPS,
  GAN_ADAM_STEP,  /* factor of m in the update */
  GAN_ADAM_ROOT,  /* factor of sqrt(v) in the denominator */
  GAN_ADAM_GRAD   /* nadam: factor of g in the update; radam: 1 when the denominator is used */
};
enum { GAN_SGD_KEEP = GAN_OPTIM_OWN, GAN_SGD_TAKE, GAN_SGD_FIRST, GAN_SGD_NESTEROV };
enum { GAN_RMSPROP_ALPHA = GAN_OPTIM_OWN, GAN_RMSPROP_EPS, GAN_RMSPROP_MOMENTUM };
enum { GAN_ADAGRAD_EPS = GAN_OPTIM_OWN };
enum { GAN_ADADELTA_RHO = GAN_OPTIM_OWN, GAN_ADADELTA_EPS };
enum {
  GAN_RPROP_MINUS = GAN_OPTIM_OWN, GAN_RPROP_PLUS, GAN_RPROP_MIN, GAN_RPROP_MAX, GAN_RPROP_FIRST
};
enum { GAN_CLIP_LO, GAN_CLIP_HI };
enum { GAN_EMA_TAKE };
enum { GAN_SCALE_FACTOR };

typedef struct {
  gan_optim_fn *sgd;              /* */
  gan_optim_fn *sgd_momentum;     /* buffer */
  gan_optim_fn *adam;             /* m v */
  gan_optim_fn *amsgrad;          /* m v largest v */
  gan_optim_fn *adamax;           /* m u */
  gan_optim_fn *nadam;            /* m v */
  gan_optim_fn *radam;            /* m v */
  gan_optim_fn *rmsprop;          /* v */
  gan_optim_fn *rmsprop_full;     /* v, mean gradient or NULL, buffer or NULL */
  gan_optim_fn *adagrad;          /* sum */
  gan_optim_fn *adadelta;         /* v delta */
  gan_optim_fn *rprop;            /* previous gradient, step size */
  gan_optim_fn *clip;             /* p = clamp(p, lo, hi); NaN stays */
  gan_optim_fn *ema;              /* p += take (g - p) */
  gan_optim_fn *scale;            /* p *= factor */
  double (*power_sum)(int64_t n, const gan_real *x, double p); /* sum of |x|^p */
} gan_optim_table;

GAN_TABLES(gan_optim)

#endif
