/*
** norm.h - the passes of normalisation over memory.
**
** Three shapes of data: a run (n contiguous elements with one statistic), columns (rows x cols, row
** distance ld, one statistic per column: channels-last images and matrices), and a row (as a run,
** but with a weight for each element: layer norm).
**
** Moments are exact to rounding whatever the mean: short blocks are read twice while they are in
** cache, and are merged in double (Chan, Golub, LeVeque 1979). No block of a sum in the compute
** type is longer than a few hundred elements a lane.
**
** slope: the negative side's factor of an activation that follows the normalisation; 1: none,
** 0: relu. A gradient is multiplied by it where scale x + shift <= 0.
*/
#ifndef GAN_KERNELS_NORM_H
#define GAN_KERNELS_NORM_H

#include "isa.h"

typedef struct {
  /* mean and sum of squared deviations from it; n >= 1 */
  void (*run_moments)(int64_t n, const gan_real *x, double *mean, double *m2);
  void (*col_moments)(int64_t rows, int64_t cols, int64_t ld, const gan_real *x, double *mean,
                      double *m2);

  /* y = act(scale x + shift) */
  void (*run_affine)(int64_t n, const gan_real *x, gan_real scale, gan_real shift, gan_real slope,
                     gan_real *y);
  void (*col_affine)(int64_t rows, int64_t cols, int64_t ld, const gan_real *x,
                     const gan_real *scale, const gan_real *shift, gan_real slope, gan_real *y);

  /* s1 = sum of g, s2 = sum of g (x - mean), for g = gy with the activation's factor */
  void (*run_sums)(int64_t n, const gan_real *gy, const gan_real *x, gan_real mean, gan_real scale,
                   gan_real shift, gan_real slope, double *s1, double *s2);
  void (*col_sums)(int64_t rows, int64_t cols, int64_t ld, const gan_real *gy, const gan_real *x,
                   const gan_real *mean, const gan_real *scale, const gan_real *shift,
                   gan_real slope, double *s1, double *s2);

  /* gx = a g + b x + d */
  void (*run_combine)(int64_t n, const gan_real *gy, const gan_real *x, gan_real a, gan_real b,
                      gan_real d, gan_real scale, gan_real shift, gan_real slope, gan_real *gx);
  void (*col_combine)(int64_t rows, int64_t cols, int64_t ld, const gan_real *gy,
                      const gan_real *x, const gan_real *a, const gan_real *b, const gan_real *d,
                      const gan_real *scale, const gan_real *shift, gan_real slope, gan_real *gx);

  /* y = (x - mean) rstd w + b; w, b: one for each element, or NULL */
  void (*row_affine)(int64_t n, const gan_real *x, gan_real mean, gan_real rstd, const gan_real *w,
                     const gan_real *b, gan_real *y);
  /* s1 = sum of gy w, s2 = sum of gy w (x - mean) */
  void (*row_sums)(int64_t n, const gan_real *gy, const gan_real *x, const gan_real *w,
                   gan_real mean, double *s1, double *s2);
  /* gx = a gy w + b x + d */
  void (*row_combine)(int64_t n, const gan_real *gy, const gan_real *x, const gan_real *w,
                      gan_real a, gan_real b, gan_real d, gan_real *gx);
  /* gw += gy (x - mean) rstd, gb += gy; either may be NULL */
  void (*row_params)(int64_t n, const gan_real *gy, const gan_real *x, gan_real mean,
                     gan_real rstd, gan_real *gw, gan_real *gb);

  /* y[c] = x[c - before] + ... + x[c + after] for `channels` rows of n, missing rows being 0 */
  void (*window)(int64_t channels, int64_t n, int64_t before, int64_t after, const gan_real *x,
                 gan_real *y);
} gan_norm_table;

GAN_TABLES(gan_norm)

#endif
