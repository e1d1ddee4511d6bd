/*
** scan.h - ops along one dimension: places of extremes, running sums and products (scan.c), and
** what their gradients borrow. Members of the family of reductions.
*/
#ifndef GAN_OPS_SCAN_H
#define GAN_OPS_SCAN_H

#include "../core/op.h"

extern gan_op gan_op_argmax, gan_op_argmin, gan_op_max_dim, gan_op_min_dim, gan_op_cumsum,
    gan_op_cumprod;
extern gan_op gan_op_flip; /* shape_move.c */

/* x with dimension dim turned round; a number as it is */
gan_tensor *gan_reverse(gan_ctx *c, gan_tensor *x, int64_t dim);

/* True when no element is 0, infinite or NaN: quotients by them are exact enough. */
bool gan_all_regular(gan_ctx *c, gan_tensor *x);

#endif
