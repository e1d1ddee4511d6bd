/*
** pointwise_rows.h - from rows of kernels/pointwise.h to the functions of a record.
**
** ROW(name, reads, ...) makes name_forward, name_fused and name_reads (what the gradient reads, for
** the record's `save`); the row's numbers are the record's number arguments. What is left to write
** by hand is the gradient as ops, name_vjp.
*/
#ifndef GAN_OPS_POINTWISE_ROWS_H
#define GAN_OPS_POINTWISE_ROWS_H

#include <math.h>

#include "pointwise.h"

/* Two numbers among the arguments; a bound that is absent is infinite. */
static inline void gan_row_numbers (const gan_op *op, const gan_arg *a, gan_real *p) {
  for (int k = 0; k < 2; k++) {
    bool number = k + 1 < op->parsed->nargs && op->parsed->p[k + 1].kind == GAN_K_NUMBER;
    p[k] = !number ? 0 : a[k + 1].n >= 0 ? (gan_real)a[k + 1].num
         : k == 0 ? -(gan_real)INFINITY : (gan_real)INFINITY;
  }
}

/* The x or y that a unary gradient reads. */
static inline gan_tensor *gan_row_saved (gan_ctx *c, const gan_node *n) {
  return n->a[0].t ? n->a[0].t : gan_saved_out(c, n, 0);
}

#define ROW_FORWARD(name, grain)                                                            \
  static void name##_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {             \
    gan_real p[2];                                                                          \
    gan_row_numbers(&gan_op_##name, a, p);                                                  \
    out[0] = gan_map1(c, a[0].t, GAN_KERNEL(gan_pointwise)->name, grain, p);                \
  }

#define ROW_FUSED(name, grain)                                                              \
  static void name##_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) { \
    gan_real p[2];                                                                          \
    gan_row_numbers(&gan_op_##name, n->a, p);                                               \
    gx[0] = gan_map_backward(c, gan_row_saved(c, n), gy[0],                                 \
                         GAN_KERNEL(gan_pointwise)->name##_grad, grain, p);                 \
  }

#define ROW(name, reads, grain)                                                             \
  static const char name##_reads[] __attribute__((unused)) = #reads;                        \
  ROW_FORWARD(name, grain)                                                                  \
  ROW_FUSED(name, grain)

#define CHEAP_ROW(name, reads, ...) ROW(name, reads, GAN_GRAIN_CHEAP)
#define COSTLY_ROW(name, reads, ...) ROW(name, reads, GAN_GRAIN_COSTLY)
#define PLAIN_ROW(name, ...) ROW_FORWARD(name, GAN_GRAIN_CHEAP)

#define VJP(name)                                                                           \
  static void name##_vjp (gan_ctx *c, const gan_node *n __attribute__((unused)), gan_tensor **gy, \
                          gan_tensor **gx)

/* A forward that checks its arguments first. */
#define CHECKED(name, cond, ...)                                                            \
  static void name##_checked (gan_ctx *c, const gan_arg *a, gan_tensor **out) {             \
    GAN_NEED(c, cond, __VA_ARGS__);                                                         \
    name##_forward(c, a, out);                                                              \
  }

static inline gan_tensor *gan_call1 (gan_ctx *c, gan_op *op, gan_tensor *x) {
  return gan_run1(c, op, GAN_ARGS(GAN_T(x)));
}

#endif
