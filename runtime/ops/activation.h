/*
** activation.h - the activation that linear and the convolutions apply to their own result, and its
** gradient. The record of such an op saves its result and has the parameters
** "activation:none|relu|leaky_relu|tanh|sigmoid=none slope:number=0.01" side by side.
*/
#ifndef GAN_OPS_ACTIVATION_H
#define GAN_OPS_ACTIVATION_H

#include "../core/op.h"
#include "gemm.h"

#define GAN_ACTIVATION_SIG \
  "activation:none|relu|leaky_relu|tanh|sigmoid=none slope:number=0.01"

typedef struct {
  gan_activation f;
  double slope;
} gan_epilogue;

/* From the two arguments at a. */
static inline gan_epilogue gan_read_epilogue (const gan_arg *a) {
  return (gan_epilogue){ (gan_activation)a[0].i, a[1].num };
}

/* False, with an error, for a slope whose gradient does not follow from the result. */
bool gan_check_epilogue(gan_ctx *c, gan_epilogue e);

/* gy f'(z), where y = f(z) is output 0 of the node: by ops, and in one pass. gy itself where there
   is no activation. [temp] */
gan_tensor *gan_through_epilogue(gan_ctx *c, const gan_node *n, gan_epilogue e, gan_tensor *gy);
gan_tensor *gan_through_epilogue_fused(gan_ctx *c, const gan_node *n, gan_epilogue e,
                                       gan_tensor *gy);

#endif
