/*
** view.h - small questions about shapes and views that several families ask.
*/
#ifndef GAN_OPS_VIEW_H
#define GAN_OPS_VIEW_H

#include "../core/op.h"

/* True when several elements of x are one in memory: x must not be written to. */
static inline bool gan_is_expanded (const gan_tensor *x) {
  for (int d = 0; d < x->ndim; d++)
    if (x->stride[d] == 0 && x->shape[d] > 1 && x->numel > 0) return true;
  return false;
}

/* Marks the listed dimensions of x (n < 0: all of them) in mask[GAN_MAXDIM]; an error when one is
   out of range or listed twice. */
static inline bool gan_dim_mask (gan_ctx *c, const gan_tensor *x, int n, const int64_t *dims,
                                 bool *mask) {
  for (int d = 0; d < GAN_MAXDIM; d++) mask[d] = n < 0;
  for (int k = 0; k < n; k++) {
    int d = gan_dim(c, x, dims[k]);
    if (d < 0) return false;
    if (mask[d]) {
      gan_fail(c, GAN_EARG, "dimension %d is listed twice", d + 1);
      return false;
    }
    mask[d] = true;
  }
  return true;
}

/* Strides of a row-major tensor without gaps. */
static inline void gan_row_major (int ndim, const int64_t *shape, int64_t *stride) {
  int64_t s = 1;
  for (int d = ndim - 1; d >= 0; d--) {
    stride[d] = s;
    s *= shape[d] > 0 ? shape[d] : 1;
  }
}

/* The part of x's dimension d from `lo` (0-based), `n` elements `step` apart. Unchecked. [temp] */
static inline gan_tensor *gan_part (gan_ctx *c, const gan_tensor *x, int d, int64_t lo, int64_t n,
                                    int64_t step) {
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM];
  if (!x) return NULL;
  for (int k = 0; k < x->ndim; k++) {
    shape[k] = k == d ? n : x->shape[k];
    stride[k] = k == d && n > 1 ? x->stride[k] * step : x->stride[k];
  }
  int64_t offset = x->numel && n ? lo * x->stride[d] : 0; /* nothing has no address */
  return gan_view(c, x, x->ndim, shape, stride, offset);
}

/* y = x with the n places map[] (0-based, in range) of dimension d, in that order. No graph.
   (index.c) [temp] */
gan_tensor *gan_take(gan_ctx *c, gan_tensor *x, int d, int64_t n, const int64_t *map);

#endif
