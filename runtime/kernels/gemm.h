/*
** gemm.h - matrix products without the overhead of a library, and inner products.
*/
#ifndef GAN_GEMM_KERNEL_H
#define GAN_GEMM_KERNEL_H

#include "isa.h"

/* A matrix in memory: element (i, j) at p[i * rs + j * cs]. */
typedef struct {
  const gan_real *p;
  int64_t rs, cs;
} gan_matrix;

typedef struct {
  /* c (m x n, rows ldc apart) = alpha a b + beta c, k >= 1, without a thread or a library: for
     products too small for a library's overhead. beta == 0 does not read c; bias, unless NULL, is
     a row added to every row in the place of beta c. */
  void (*small)(int64_t m, int64_t n, int64_t k, gan_real alpha, gan_matrix a, gan_matrix b,
                gan_real beta, const gan_real *bias, gan_real *c, int64_t ldc);
  /* sum of x[i] * y[i] */
  double (*dot)(int64_t n, const gan_real *x, const gan_real *y);
} gan_gemm_table;

GAN_TABLES(gan_gemm)

#endif
