/*
** gemm.c - chooses who computes a matrix product, and cuts it over the thread team.
*/
#include <cblas.h>
#include <limits.h>
#include <math.h>
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

#define GRAIN ((double)(32 * 32 * 32)) /* least multiplications that are worth a thread */
#define BLOCK 16                       /* parts start at multiples of this row or column */

typedef enum { BY_SMALL, BY_BLOCK, BY_BLAS } author;

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
  bool rows;    /* cut into ranges of rows, not of columns */
  author by;
  bool swapped; /* BY_BLOCK: as the transpose of op(b)' op(a)' */
  int64_t unit; /* parts start at multiples of so many rows or columns */
} product;

static void one_thread (void) {
  openblas_set_num_threads(1);
}

/* ---- activations -------------------------------------------------------------------------- */

static gan_unary_fn *activation (gan_activation f) {
  const gan_pointwise_table *t = GAN_KERNEL(gan_pointwise);
  gan_unary_fn *const fn[] = { NULL, t->relu, t->leaky_relu, t->tanh, t->sigmoid };
  return fn[f];
}

void gan_activate (gan_activation f, gan_real slope, int64_t n, gan_real *y) {
  const gan_real param[2] = { slope, 0 };
  gan_unary_fn *fn = activation(f);
  if (fn) fn(n, y, y, param);
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
  if (p->by == BY_BLAS) {
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

/* The product by our kernel. Exchanged, op(b)' becomes the matrix that is read in place. */
static void multiply_blocked (const product *p) {
  const gan_real param[2] = { p->slope, 0 };
  gan_gemm_job j = { .m = p->m, .n = p->n, .k = p->k, .alpha = p->alpha, .beta = p->beta,
                     .a = { p->a, p->ta ? 1 : p->lda, p->ta ? p->lda : 1 },
                     .b = { p->b, p->tb ? 1 : p->ldb, p->tb ? p->ldb : 1 },
                     .c = p->c, .rs = p->ldc, .cs = 1, .bias = p->bias,
                     .f = activation(p->f), .param = param };
  if (p->swapped) {
    gan_matrix a = j.a;
    j.a = (gan_matrix){ j.b.p, j.b.cs, j.b.rs };
    j.b = (gan_matrix){ a.p, a.cs, a.rs };
    j.m = p->n;
    j.n = p->m;
    j.rs = 1;
    j.cs = p->ldc;
    j.bias_rows = true;
  }
  GAN_KERNEL(gan_gemm_block)->block(&j);
}

static void run_part (product p) {
  if (p.by == BY_BLOCK) {
    multiply_blocked(&p);
    return;
  }
  multiply(&p);
  if (p.f == GAN_ACT_NONE) return;
  if (p.ldc == p.n) gan_activate(p.f, p.slope, p.m * p.n, p.c);
  else
    for (int64_t i = 0; i < p.m; i++) gan_activate(p.f, p.slope, p.n, p.c + i * p.ldc);
}

/* ---- cutting ------------------------------------------------------------------------------ */

/* What a part of `rows` rows and `cols` columns of the kernel's result costs, in cycles: products,
   the packing of the one matrix, the reading of the other, and the transposition of the result.
   Measured with AVX-512; only which form is the cheapest matters. */
static double cost (const product *p, double rows, double cols, bool swapped) {
  const gan_gemm_block_table *t = GAN_KERNEL(gan_gemm_block);
  double k = (double)p->k, lanes = (double)t->width / 2;
  double whole = ceil(cols / lanes) * lanes; /* a vector is computed whole */
  double pack = (swapped ? !p->ta : p->tb) ? 0.45 : 0.12; /* columns are rows in memory? */
  double read = (swapped ? !p->tb : p->ta) ? 0.3 : 0.1;   /* rows are columns? */
  return rows * whole * k / (double)t->width + pack * k * cols + read * k * rows +
         (swapped ? 0.5 * rows * cols : 0);
}

/* Chooses the form of the product and the side that is cut for our kernel. */
static void choose_form (product *p, int threads) {
  double best = HUGE_VAL;
  int64_t width = GAN_KERNEL(gan_gemm_block)->width;
  for (int form = 0; form < 4; form++) {
    bool swapped = form & 1, cut_cols = form >> 1;
    double rows = (double)(swapped ? p->n : p->m), cols = (double)(swapped ? p->m : p->n);
    if (cut_cols) cols = ceil(cols / (double)threads / (double)width) * (double)width;
    else rows = ceil(rows / threads);
    double c = cost(p, rows, cols, swapped);
    if (c >= best) continue;
    best = c;
    p->swapped = swapped;
    p->rows = swapped == cut_cols;
    p->unit = cut_cols ? width : 4;
  }
}

/* Measured beside OpenBLAS 0.3.21 with its AVX-512 kernels, which is slower unless all three sizes
   are large, there by up to a tenth faster. `small` is the fastest when one side of the result is
   so short that what the block packs is hardly used again, and for what takes under a microsecond.
   Without wide vectors OpenBLAS is the better one for all but the tiniest. */
#define FEW 8
#define SHORT 16
#define LARGE 768

static author choose_author (const product *p) {
  int64_t low = p->m < p->n ? p->m : p->n, least = low < p->k ? low : p->k;
  double work = (double)p->m * (double)p->n * (double)p->k;
  bool blas = fits_blas(p);
  if (!GAN_KERNEL(gan_gemm_block)->block)
    return work <= 8 * 8 * 8 || low == 1 || !blas ? BY_SMALL : BY_BLAS;
  if (low < FEW || work <= GRAIN || (!p->tb && p->m <= SHORT) || (p->ta && p->n <= FEW))
    return BY_SMALL;
  return least >= LARGE && blas ? BY_BLAS : BY_BLOCK;
}

static void choose (product *p, int threads) {
  p->rows = p->m >= p->n;
  p->unit = BLOCK;
  p->by = choose_author(p);
  if (p->by == BY_BLOCK) choose_form(p, threads);
}

/* lo and hi count units of rows or columns of the result */
static void part (void *ud, int64_t lo, int64_t hi, int worker) {
  (void)worker;
  const product *whole = ud;
  product p = *whole;
  int64_t from = lo * p.unit, to = hi * p.unit;
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
  choose(p, gan_threads());
  int64_t blocks = ((p->rows ? p->m : p->n) + p->unit - 1) / p->unit;
  double work = (double)p->m * (double)p->n * (double)(p->k > 0 ? p->k : 1) / (double)blocks;
  double grain = GRAIN / work;
  gan_count_work(2 * work * (double)blocks);
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
  choose(&p, 1);
  run_part(p);
}

void gan_gemm_bias (bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const gan_real *a,
                    int64_t lda, const gan_real *b, int64_t ldb, const gan_real *bias,
                    gan_activation f, gan_real slope, gan_real *c, int64_t ldc) {
  product p = { .ta = trans_a, .tb = trans_b, .m = m, .n = n, .k = k, .alpha = 1, .a = a, .b = b,
                .lda = lda, .ldb = ldb, .ldc = ldc, .c = c, .bias = bias, .f = f, .slope = slope };
  run(&p);
}
