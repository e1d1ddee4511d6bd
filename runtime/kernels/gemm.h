/*
** gemm.h - matrix products without the overhead of a library, and inner products.
*/
#ifndef GAN_GEMM_KERNEL_H
#define GAN_GEMM_KERNEL_H

#include "pointwise.h"

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

/* c = f(alpha a b + beta c + bias). Vectors run along the columns; rows of a are broadcast. */
typedef struct {
  int64_t m, n, k; /* k >= 1 */
  gan_real alpha, beta; /* beta 0: c is not read */
  gan_matrix a, b; /* one stride of each is 1 */
  gan_real *c;
  int64_t rs, cs;       /* of c; one of them is 1 */
  const gan_real *bias; /* NULL: none */
  bool bias_rows;       /* one for each row, not for each column */
  gan_unary_fn *f;      /* NULL: none */
  const gan_real *param;
} gan_gemm_job;

typedef struct {
  void (*block)(const gan_gemm_job *j); /* NULL: this instruction set has none */
  int64_t rows, width; /* of a tile */
} gan_gemm_block_table;

GAN_TABLES(gan_gemm)
GAN_TABLES(gan_gemm_block)

#endif
