/*
** softmax.h - softmax and its relatives along one dimension.
**
** A tensor is seen as rows of n elements that lie `inner` apart: outer x n x inner. A kernel call
** handles one outer index, for inner 1 one row, otherwise `cols` <= GAN_SOFTMAX_COLS neighbours of
** the inner dimension at a time. The greatest element is subtracted first, so every exponential is
** at most 1; a NaN, and a row of nothing but -inf, give NaN.
*/
#ifndef GAN_SOFTMAX_KERNEL_H
#define GAN_SOFTMAX_KERNEL_H

#include "isa.h"

#define GAN_SOFTMAX_COLS 64

typedef struct {
  /* y = softmax(x) or its logarithm; rows of n >= 1, one after another */
  void (*rows)(int64_t rows, int64_t n, const gan_real *x, gan_real *y);
  void (*log_rows)(int64_t rows, int64_t n, const gan_real *x, gan_real *y);
  /* gx from the result y and the gradient gy of y */
  void (*grad_rows)(int64_t rows, int64_t n, const gan_real *y, const gan_real *gy, gan_real *gx);
  void (*log_grad_rows)(int64_t rows, int64_t n, const gan_real *y, const gan_real *gy,
                        gan_real *gx);
  /* the same down columns; `inner` elements from one row to the next */
  void (*cols)(int64_t cols, int64_t n, int64_t inner, const gan_real *x, gan_real *y);
  void (*log_cols)(int64_t cols, int64_t n, int64_t inner, const gan_real *x, gan_real *y);
  void (*grad_cols)(int64_t cols, int64_t n, int64_t inner, const gan_real *y, const gan_real *gy,
                    gan_real *gx);
  void (*log_grad_cols)(int64_t cols, int64_t n, int64_t inner, const gan_real *y,
                        const gan_real *gy, gan_real *gx);
  /* log of the sum of exponentials of each row */
  void (*logsumexp_rows)(int64_t rows, int64_t n, const gan_real *x, gan_real *lse);
} gan_softmax_table;

GAN_TABLES(gan_softmax)

#endif
