/*
** loops.h - elementwise loops over tensors of any layout, with broadcasting.
**
** A loop is planned once: sizes of 1 are dropped, dimensions are put in the order of the result's
** memory, and neighbours that every operand steps through evenly become one. What remains are
** rows, whose innermost dimension is long for all usual operands; gan_parallel deals out ranges of
** elements, so that the threads' shares do not depend on the shape.
*/
#ifndef GAN_OPS_LOOPS_H
#define GAN_OPS_LOOPS_H

#include "../core/op.h"

#define GAN_LOOP_MAX 4 /* operands, the result included */

/* grains: elements of cheap work (a few instructions) and of costly work (a function) per thread */
#define GAN_GRAIN_CHEAP 16384
#define GAN_GRAIN_COSTLY 4096

typedef struct {
  int nop, ndim; /* ndim >= 1 */
  int64_t numel;
  int64_t shape[GAN_MAXDIM];                /* outermost first */
  int64_t stride[GAN_LOOP_MAX][GAN_MAXDIM]; /* in elements */
  char *data[GAN_LOOP_MAX];
  int64_t item[GAN_LOOP_MAX]; /* bytes of an element */
  uint8_t dtype[GAN_LOOP_MAX];
} gan_loop;

/* t[0] is the result, the others broadcast to its shape (which must have been checked). */
void gan_loop_plan(gan_loop *l, int n, gan_tensor *const *t);

/* n elements in a row: operand k's are at[k], at[k] + step[k], ... (in elements) */
typedef void gan_row_fn(void *ud, int64_t n, char *const *at, const int64_t *step);
void gan_loop_run(const gan_loop *l, int64_t grain, gan_row_fn *fn, void *ud);

/* The same for kernels on numbers: every operand arrives as gan_real with step 1, or 0 when it is
   the same all along the row; the result with step 1. Rows that are not so in memory are copied
   piecewise through a small buffer; uint8 and int64 operands are converted there. */
typedef void gan_real_row_fn(void *ud, int64_t n, gan_real *const *at, const int64_t *step);
void gan_loop_reals(const gan_loop *l, int64_t grain, gan_real_row_fn *fn, void *ud);

/* Shape of a result to which n tensors broadcast; false and an error when they do not match. */
bool gan_loop_shape(gan_ctx *c, int n, gan_tensor *const *t, int *ndim, int64_t *shape);

/* A new compute-type tensor of that shape, laid out like the first dense operand that has it. */
gan_tensor *gan_loop_result(gan_ctx *c, int n, gan_tensor *const *t);

/* True when changing x in place would change elements of y that are still to be read. */
bool gan_loop_overlaps(const gan_tensor *x, const gan_tensor *y);

#endif
