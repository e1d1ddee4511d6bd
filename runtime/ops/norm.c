/*
** norm.c - the family of normalisation: its list, and what its files share.
**
** norm_batch.c  statistics over samples and positions, one per channel
** norm_group.c  statistics of a sample, one per group of channels
** norm_layer.c  statistics of the last dimensions
** norm_small.c  over neighbouring channels, vectors, and weights
*/
#include "norm.h"

static bool is_channels_last (const gan_tensor *x, const gan_planes *p) {
  int64_t step = p->c;
  if (p->c > 1 && x->stride[1] != 1) return false;
  for (int d = x->ndim - 1; d >= 2; d--) {
    if (x->shape[d] > 1 && x->stride[d] != step) return false;
    step *= x->shape[d];
  }
  return p->n <= 1 || x->stride[0] == step;
}

gan_tensor *gan_planes_of (gan_ctx *c, gan_tensor *x, gan_planes *p) {
  *p = (gan_planes){ .n = x->shape[0], .c = x->shape[1], .s = 1 };
  for (int d = 2; d < x->ndim; d++) p->s *= x->shape[d];
  p->last = (p->c > 1 || p->s == 1) && is_channels_last(x, p);
  return p->last ? x : gan_dense(c, x);
}

gan_tensor *gan_laid_out (gan_ctx *c, gan_tensor *t, const gan_tensor *x) {
  if (gan_same_layout(t, x)) return t;
  gan_tensor *y = gan_new_like(c, x, GAN_REAL);
  if (y) gan_copy_into(c, y, t);
  return y;
}

bool gan_norm_vector (gan_ctx *c, const char *name, const gan_arg *t, int64_t n,
                      const char *what) {
  if (t->n < 0 || !t->t) return true;
  if (t->t->ndim == 1 && t->t->numel == n) return true;
  gan_fail(c, GAN_EARG, "argument '%s' must have one element for each %s, (%lld), got %s", name,
           what, (long long)n, gan_shape_of(c, t->t));
  return false;
}

bool gan_norm_reals (gan_ctx *c, const gan_arg *t, const gan_real **p) {
  *p = NULL;
  if (t->n < 0 || !t->t) return true;
  gan_tensor *d = gan_dense(c, t->t);
  if (d) *p = gan_reals(d);
  return d != NULL;
}

double *gan_norm_doubles (gan_ctx *c, int64_t n) {
  n = n > 0 ? n : 1; /* so that only a failure gives NULL */
  gan_tensor *t = gan_new(c, GAN_INT64, 1, &n); /* for its size: eight bytes an item */
  return t ? t->data : NULL;
}

gan_real *gan_norm_scratch (gan_ctx *c, int64_t n) {
  n = n > 0 ? n : 1;
  gan_tensor *t = gan_new(c, GAN_REAL, 1, &n);
  return t ? t->data : NULL;
}

gan_tensor *gan_per_channel (gan_ctx *c, gan_tensor *v, int ndim) {
  if (!v) return NULL;
  int64_t shape[GAN_MAXDIM];
  for (int d = 0; d < ndim; d++) shape[d] = d == 1 ? v->numel : 1;
  return gan_reshape(c, v, ndim, shape);
}

int gan_but_channel (int ndim, int64_t *dims) {
  int n = 0;
  for (int d = 0; d < ndim; d++)
    if (d != 1) dims[n++] = d;
  return n;
}

gan_op *const gan_ops_norm[] = {
  &gan_op_batch_norm, &gan_op_instance_norm, &gan_op_layer_norm, &gan_op_group_norm,
  &gan_op_local_response_norm, &gan_op_l2_normalize, &gan_op_pixel_norm, &gan_op_weight_norm,
  &gan_op_spectral_norm,
  /* helpers */
  &gan_op_batch_norm_stats, &gan_op_batch_norm_fixed, &gan_op_batch_norm_running,
  &gan_op_group_norm_stats,
  &gan_op_layer_norm_stats, &gan_op_window_sum, NULL
};
