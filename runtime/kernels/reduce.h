/*
** reduce.h - sums, products and extremes of contiguous rows and of columns.
**
** A tensor to be reduced is seen as outer x rows x inner. inner 1: a row kernel per outer index;
** otherwise a column kernel per outer index and per block of at most GAN_REDUCE_COLS columns.
** Sums are made of short runs in the compute type, added up in double: the relative error of a
** sum of a million float32 elements of one sign stays near 1e-7.
** NaN propagates everywhere; the first NaN wins a search for the place of an extreme.
*/
#ifndef GAN_KERNELS_REDUCE_H
#define GAN_KERNELS_REDUCE_H

#include "isa.h"

#define GAN_REDUCE_COLS 512 /* widest block of columns */

typedef enum {
  GAN_REDUCE_SUM,
  GAN_REDUCE_ABS,     /* sum of |x| */
  GAN_REDUCE_SQUARE,  /* sum of x^2 */
  GAN_REDUCE_SQDEV,   /* sum of (x - centre)^2 */
  GAN_REDUCE_NONZERO, /* number of elements that are not 0; NaN counts */
  GAN_REDUCE_PROD,
  GAN_REDUCE_MAX,
  GAN_REDUCE_MIN,
  GAN_REDUCE_KINDS
} gan_reduce_kind;

/* Reduces n contiguous elements, n >= 1. */
typedef double gan_reduce_row_fn(int64_t n, const gan_real *x, double centre);

/* acc[k] = reduction over r of x[r * ld + k]; 1 <= cols <= GAN_REDUCE_COLS, rows >= 1.
   centre: one per column, read by SQDEV only. */
typedef void gan_reduce_col_fn(int64_t rows, int64_t cols, int64_t ld, const gan_real *x,
                               const gan_real *centre, double *acc);

typedef struct {
  gan_reduce_row_fn *row[GAN_REDUCE_KINDS];
  gan_reduce_col_fn *col[GAN_REDUCE_KINDS];

  /* 0-based place of the first maximum (`least`: minimum) of n >= 1 elements */
  int64_t (*arg_row)(int64_t n, const gan_real *x, bool least);

  /* the same for each of 1 .. GAN_REDUCE_COLS columns; its value too */
  void (*arg_col)(int64_t rows, int64_t cols, int64_t ld, const gan_real *x, bool least,
                  gan_real *value, int64_t *place);

  /* running sum (`product`: product) down each column of x, rows x cols with row distance ld;
     y has the same layout */
  void (*scan)(int64_t rows, int64_t cols, int64_t ld, const gan_real *x, bool product,
               gan_real *y);
} gan_reduce_table;

GAN_TABLES(gan_reduce)

#endif
