/*
** loss.h - elementwise losses of a prediction x and a target t: values, their sum, derivatives.
**
** One row of the table is one loss: its name, its value, its derivative for x. In the expressions x
** and t are the operands, d = x - t, p and q parameters, and w the weight of positive targets
** (bce_with_logits_pos only). NaN in an operand gives NaN.
*/
#ifndef GAN_LOSS_KERNEL_H
#define GAN_LOSS_KERNEL_H

#include "isa.h"

#define GAN_LOSSES(X)                                                                             \
  X(mse, d * d, 2 * d)                                                                            \
  X(l1, vm_abs(d), sign(d))                                                                       \
  X(smooth_l1, vm_abs(d) < p ? R(0.5) * d * d / p : vm_abs(d) - R(0.5) * p,                        \
    vm_abs(d) < p ? d / p : sign(d)) /* p: beta */                                                \
  X(huber, vm_abs(d) <= p ? R(0.5) * d * d : p * (vm_abs(d) - R(0.5) * p), vm_clamp(d, -p, p))     \
  X(bce, (t - 1) * at_least(vm_log1p(-x), R(-100)) - t * at_least(vm_log(x), R(-100)),             \
    d / vm_max(x * (1 - x), R(1e-12)))                                                            \
  X(bce_with_logits, vm_softplus(x) - x * t,                                                      \
    vm_sigmoid(x) - t)                                                                            \
  X(bce_with_logits_pos, (1 - t) * x + (1 + (w - 1) * t) * vm_softplus(-x),                        \
    vm_sigmoid(x) * (1 - t) - w * t * vm_sigmoid(-x))                                             \
  X(kl_div, (t == 0 ? t : t * vm_log(t)) - t * x, -t)                                             \
  X(kl_div_log, vm_exp(t) * (t - x), -vm_exp(t))                                                  \
  X(soft_margin, vm_softplus(-t * x), -t * vm_sigmoid(-t * x))                                    \
  X(hinge_embedding,                                                                              \
    (t != 1 ? (p - x > 0 ? p - x : p - x <= 0 ? R(0) : x) : R(0)) + (t != -1 ? x : R(0)),          \
    (t != 1 && x <= p ? R(-1) : R(0)) + (t != -1 ? R(1) : R(0))) /* p: margin */                  \
  X(poisson_nll_log, vm_exp(x) - t * x, vm_exp(x) - t)                                            \
  X(poisson_nll, x - t * vm_log(x + p), 1 - t / (x + p)) /* p: eps */

typedef struct {
  /* n losses into y; w: NULL but for bce_with_logits_pos */
  void (*value)(int64_t n, const gan_real *x, const gan_real *t, const gan_real *w, gan_real p,
                gan_real *y);
  /* n derivatives for x into gx */
  void (*slope)(int64_t n, const gan_real *x, const gan_real *t, const gan_real *w, gan_real p,
                gan_real *gx);
} gan_loss_fns;

#define GAN_LOSS_FIELD(name, ...) gan_loss_fns name;

typedef struct {
  GAN_LOSSES(GAN_LOSS_FIELD)

  /* y *= a, by elements */
  void (*times)(int64_t n, const gan_real *a, gan_real *y);
  /* y *= k */
  void (*scale)(int64_t n, gan_real k, gan_real *y);
  double (*sum)(int64_t n, const gan_real *x);
  /* 0-based place of the first element outside [0, 1], -1 when there is none; NaN is not outside */
  int64_t (*outside)(int64_t n, const gan_real *x);
  /* g = k g - r w, the scores of one sample; w NULL: ones */
  void (*class_grad)(int64_t n, gan_real k, gan_real r, const gan_real *w, gan_real *g);
} gan_loss_table;

GAN_TABLES(gan_loss)

#endif
