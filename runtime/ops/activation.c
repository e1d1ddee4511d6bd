/*
** activation.c - the gradient of an activation that is part of another op.
*/
#include "activation.h"

bool gan_check_epilogue (gan_ctx *c, gan_epilogue e) {
  if (e.f != GAN_ACT_LEAKY_RELU || e.slope > 0) return true;
  gan_fail(c, GAN_EARG, "slope must be positive when leaky_relu is part of the op, got %g (call "
           "leaky_relu on its own)", e.slope);
  return false;
}

gan_tensor *gan_through_epilogue (gan_ctx *c, const gan_node *n, gan_epilogue e, gan_tensor *gy) {
  if (e.f == GAN_ACT_NONE) return gy;
  gan_tensor *y = gan_saved_out(c, n, 0), *zero = gan_scalar(c, 0);
  switch (e.f) {
    case GAN_ACT_RELU: return gan_where(c, gan_le(c, y, zero), zero, gy);
    case GAN_ACT_LEAKY_RELU:
      return gan_where(c, gan_gt(c, y, zero), gy, gan_scale(c, gy, e.slope));
    case GAN_ACT_TANH: return gan_sub(c, gy, gan_mul(c, gy, gan_square(c, y)));
    default: return gan_mul(c, gy, gan_sub(c, y, gan_square(c, y)));
  }
}

typedef struct {
  gan_epilogue e;
  const gan_real *y, *gy;
  gan_real *gz;
} grad_job;

static void grad_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const grad_job *j = ud;
  (void)worker;
  gan_activate_grad(j->e.f, (gan_real)j->e.slope, hi - lo, j->y + lo, j->gy + lo, j->gz + lo);
}

gan_tensor *gan_through_epilogue_fused (gan_ctx *c, const gan_node *n, gan_epilogue e,
                                        gan_tensor *gy) {
  if (e.f == GAN_ACT_NONE) return gy;
  gan_tensor *y = n->saved[0], *z;
  if (!gan_same_layout(gy, y)) { /* the result is dense */
    gan_tensor *laid = gan_new_like(c, y, GAN_REAL);
    gan_copy_into(c, laid, gy);
    gy = z = laid;
  }
  else z = gan_over_gradient(c, gy, y);
  if (!z) return NULL;
  grad_job j = { e, gan_reals(y), gan_reals(gy), gan_reals(z) };
  gan_parallel(z->numel, 16384, grad_range, &j);
  return z;
}
