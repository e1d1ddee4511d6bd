/*
** gemm.c - chooses who computes a matrix product, and cuts it over the thread team.
*/
#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "../core/core.h"
#include "../kernels/pointwise.h"
#include "gemm.h"

#ifdef GAN_DOUBLE
#define BLAS_GEMM cblas_dgemm
#else
#define BLAS_GEMM cblas_sgemm
#endif

/* Up to about so many multiplications our kernel is the faster one (beside OpenBLAS 0.3.21 with its
   AVX2 and AVX-512 kernels: 1.0 to 1.5 times as fast, matrix by vector up to 8 times). */
static const double small_product[GAN_ISA_COUNT] = { 8 * 8 * 8, 128 * 128 * 128, 128 * 128 * 128 };

#define GRAIN ((double)(32 * 32 * 32)) /* least multiplications that are worth a thread */
#define BLOCK 16                       /* parts start at multiples of this row or column */

/* One product; a part of one has the same form. */
typedef struct {
  bool ta, tb;
  int64_t m, n, k;
  gan_real alpha, beta;
  const gan_real *a, *b;
  int64_t lda, ldb, ldc;
  gan_real *c;
  const gan_real *bias; /* NULL: none */
  gan_activation f;
  gan_real slope;
  bool rows; /* cut into ranges of rows, not of columns */
} product;

static void one_thread (void) {
  openblas_set_num_threads(1);
}

/* ---- activations -------------------------------------------------------------------------- */

void gan_activate (gan_activation f, gan_real slope, int64_t n, gan_real *y) {
  const gan_real param[2] = { slope, 0 };
  const gan_pointwise_table *t = GAN_KERNEL(gan_pointwise);
  gan_unary_fn *const fn[] = { NULL, t->relu, t->leaky_relu, t->tanh, t->sigmoid };
  if (fn[f]) fn[f](n, y, y, param);
}

void gan_activate_grad (gan_activation f, gan_real slope, int64_t n, const gan_real *y,
                        const gan_real *gy, gan_real *gz) {
  const gan_real param[2] = { slope, 0 };
  const gan_pointwise_table *t = GAN_KERNEL(gan_pointwise);
  gan_grad_fn *const fn[] = { NULL, t->relu_grad, t->leaky_relu_grad, t->tanh_grad,
                              t->sigmoid_grad };
  if (fn[f]) fn[f](n, y, gy, gz, param);
  else memcpy(gz, gy, (size_t)n * sizeof *gz);
}

/* ---- one part ----------------------------------------------------------------------------- */

static void scale (const product *p) {
  for (int64_t i = 0; i < p->m; i++) {
    gan_real *c = p->c + i * p->ldc;
    if (p->beta == 0) memset(c, 0, (size_t)p->n * sizeof *c);
    else if (p->beta != 1)
      for (int64_t j = 0; j < p->n; j++) c[j] *= p->beta;
  }
}

/* CBLAS prints and exits on arguments that it does not like: these it likes. */
static bool fits_blas (const product *p) {
  int64_t a_cols = p->ta ? p->m : p->k, b_cols = p->tb ? p->k : p->n;
  return p->m <= INT_MAX && p->n <= INT_MAX && p->k <= INT_MAX && p->lda <= INT_MAX &&
         p->ldb <= INT_MAX && p->ldc <= INT_MAX && p->lda >= a_cols && p->ldb >= b_cols &&
         p->ldc >= p->n;
}

/* The bias is there before the product, which then adds to it: OpenBLAS would write zeros. */
static void spread_bias (product *p) {
  for (int64_t i = 0; i < p->m && p->bias; i++)
    memcpy(p->c + i * p->ldc, p->bias, (size_t)p->n * sizeof *p->c);
  if (p->bias) p->beta = 1;
}

static void multiply (product *p) {
  if (p->k == 0) {
    spread_bias(p);
    scale(p);
    return;
  }
  /* vectors are a matter of memory bandwidth: no library call does better */
  bool small = (double)p->m * (double)p->n * (double)p->k <= small_product[gan_isa_chosen] ||
               p->m == 1 || p->n == 1;
  if (!small && fits_blas(p)) {
    spread_bias(p);
    BLAS_GEMM(CblasRowMajor, p->ta ? CblasTrans : CblasNoTrans, p->tb ? CblasTrans : CblasNoTrans,
              (int)p->m, (int)p->n, (int)p->k, p->alpha, p->a, (int)p->lda, p->b, (int)p->ldb,
              p->beta, p->c, (int)p->ldc);
    return;
  }
  gan_matrix a = { p->a, p->ta ? 1 : p->lda, p->ta ? p->lda : 1 };
  gan_matrix b = { p->b, p->tb ? 1 : p->ldb, p->tb ? p->ldb : 1 };
  GAN_KERNEL(gan_gemm)->small(p->m, p->n, p->k, p->alpha, a, b, p->beta, p->bias, p->c,
                              p->ldc);
}

static void run_part (product p) {
  multiply(&p);
  if (p.f == GAN_ACT_NONE) return;
  if (p.ldc == p.n) gan_activate(p.f, p.slope, p.m * p.n, p.c);
  else
    for (int64_t i = 0; i < p.m; i++) gan_activate(p.f, p.slope, p.n, p.c + i * p.ldc);
}

/* ---- cutting ------------------------------------------------------------------------------ */

/* lo and hi count blocks of rows or columns of the result */
static void part (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  const product *whole = ud;
  product p = *whole;
  int64_t from = lo * BLOCK, to = hi * BLOCK;
  if (p.rows) {
    if (to > p.m) to = p.m;
    p.m = to - from;
    p.a += p.ta ? from : from * p.lda;
    p.c += from * p.ldc;
  } else {
    if (to > p.n) to = p.n;
    p.n = to - from;
    p.b += p.tb ? from * p.ldb : from;
    p.c += from;
    if (p.bias) p.bias += from;
  }
  run_part(p);
}

static void run (product *p) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (p->m <= 0 || p->n <= 0) return;
  pthread_once(&once, one_thread);
  p->rows = p->m >= p->n;
  int64_t blocks = ((p->rows ? p->m : p->n) + BLOCK - 1) / BLOCK;
  double work = (double)p->m * (double)p->n * (double)(p->k > 0 ? p->k : 1) / (double)blocks;
  double grain = GRAIN / work;
  gan_parallel(blocks, grain < 1 ? 1 : grain > (double)blocks ? blocks : (int64_t)grain, part, p);
}

void gan_gemm (bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, gan_real alpha,
               const gan_real *a, int64_t lda, const gan_real *b, int64_t ldb, gan_real beta,
               gan_real *c, int64_t ldc) {
  product p = { .ta = trans_a, .tb = trans_b, .m = m, .n = n, .k = k, .alpha = alpha, .beta = beta,
                .a = a, .b = b, .lda = lda, .ldb = ldb, .ldc = ldc, .c = c };
  run(&p);
}

void gan_gemm_serial (bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, gan_real alpha,
                      const gan_real *a, int64_t lda, const gan_real *b, int64_t ldb, gan_real beta,
                      gan_real *c, int64_t ldc) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  product p = { .ta = trans_a, .tb = trans_b, .m = m, .n = n, .k = k, .alpha = alpha, .beta = beta,
                .a = a, .b = b, .lda = lda, .ldb = ldb, .ldc = ldc, .c = c };
  if (m <= 0 || n <= 0) return;
  pthread_once(&once, one_thread);
  multiply(&p);
}

void gan_gemm_bias (bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const gan_real *a,
                    int64_t lda, const gan_real *b, int64_t ldb, const gan_real *bias,
                    gan_activation f, gan_real slope, gan_real *c, int64_t ldc) {
  product p = { .ta = trans_a, .tb = trans_b, .m = m, .n = n, .k = k, .alpha = 1, .a = a, .b = b,
                .lda = lda, .ldb = ldb, .ldc = ldc, .c = c, .bias = bias, .f = f, .slope = slope };
  run(&p);
}
