/*
** gemm.h - the matrix product of the runtime. All matrices are row-major; nothing here allocates
** or fails. Kernels of our own do the products of training, which are long and narrow; OpenBLAS, on
** one thread for each call, does those whose three sizes are all large.
*/
#ifndef GAN_OPS_GEMM_H
#define GAN_OPS_GEMM_H

#include "../kernels/gemm.h"

/* c = alpha op(a) op(b) + beta c, with op(a) m x k, op(b) k x n and c m x n; op transposes the
   stored matrix when its flag is set. lda, ldb, ldc: elements from one stored row to the next.
   beta 0: c is not read. k 0: c becomes beta c. The product is cut over the thread team along one
   side of c, in the same way for the same sizes and thread count. */
void gan_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, gan_real alpha,
              const gan_real *a, int64_t lda, const gan_real *b, int64_t ldb, gan_real beta,
              gan_real *c, int64_t ldc);

/* The same on the calling thread: for use inside gan_parallel. */
void gan_gemm_serial(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, gan_real alpha,
                     const gan_real *a, int64_t lda, const gan_real *b, int64_t ldb, gan_real beta,
                     gan_real *c, int64_t ldc);

/* What linear does after its product. Gradients follow from the result, so slope is positive. */
typedef enum {
  GAN_ACT_NONE,
  GAN_ACT_RELU,
  GAN_ACT_LEAKY_RELU,
  GAN_ACT_TANH,
  GAN_ACT_SIGMOID
} gan_activation;

/* y = f(y) on n elements */
void gan_activate(gan_activation f, gan_real slope, int64_t n, gan_real *y);

/* gz = gy f'(z) on n elements, from y = f(z) */
void gan_activate_grad(gan_activation f, gan_real slope, int64_t n, const gan_real *y,
                       const gan_real *gy, gan_real *gz);

/* c = f(op(a) op(b) + bias) in one pass over c; bias: n values added to every row, or NULL */
void gan_gemm_bias(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const gan_real *a,
                   int64_t lda, const gan_real *b, int64_t ldb, const gan_real *bias,
                   gan_activation f, gan_real slope, gan_real *c, int64_t ldc);

#endif
