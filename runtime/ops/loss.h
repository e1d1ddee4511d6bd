/*
** loss.h - shared by the files of the loss family.
*/
#ifndef GAN_OPS_LOSS_H
#define GAN_OPS_LOSS_H

#include "../core/op.h"

/* the words of `reduction`, in this order in every signature */
enum { GAN_RED_NONE, GAN_RED_MEAN, GAN_RED_SUM, GAN_RED_BATCHMEAN };

/* Losses do not broadcast: an error naming both shapes unless they are the same. */
bool gan_loss_shapes(gan_ctx *c, const char *x_name, const gan_tensor *x, const char *t_name,
                     const gan_tensor *t);

/* The reduced loss of the elements of l (mean over all of them), or l itself. [temp] */
gan_tensor *gan_loss_reduce(gan_ctx *c, gan_tensor *l, int64_t reduction);

/* The gradient of each unreduced element, of which there are n: it broadcasts to all of them. */
gan_tensor *gan_loss_spread(gan_ctx *c, gan_tensor *gy, int64_t reduction, int64_t n);

/* An error when the gradient for input i, a weight called `name`, is wanted: there is none. */
bool gan_loss_constant(gan_ctx *c, const gan_node *n, int i, const char *name);

/* loss_class.c */
extern gan_op gan_op_nll_loss, gan_op_cross_entropy, gan_op_cross_entropy_soft;

/* loss_vector.c */
extern gan_op gan_op_margin_ranking_loss, gan_op_gaussian_nll_loss, gan_op_cosine_similarity,
    gan_op_cosine_embedding_loss;

#endif
