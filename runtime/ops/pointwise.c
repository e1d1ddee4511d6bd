/*
** pointwise.c - elementwise functions of whole tensors, and the list of the family.
**
** Operands of one dense layout, whatever its order of dimensions, are one flat loop and so is a
** number with a tensor; everything else goes through loops.c.
*/
#include <string.h>

#include "../core/tape.h"
#include "pointwise.h"

/* ---- flat loops --------------------------------------------------------------------------- */

typedef struct {
  union {
    gan_unary_fn *unary;
    gan_grad_fn *grad;
    gan_binary_fn *binary;
    gan_ternary_fn *ternary;
  } fn;
  gan_real *y;
  const gan_real *a, *b, *d;
  int64_t as, bs, ds;
  gan_real p[2];
} flat_job;

static void flat_unary (void *ud, int64_t lo, int64_t hi, int worker) {
  const flat_job *j = ud;
  (void)worker;
  j->fn.unary(hi - lo, j->a + lo, j->y + lo, j->p);
}

static void flat_grad (void *ud, int64_t lo, int64_t hi, int worker) {
  const flat_job *j = ud;
  (void)worker;
  j->fn.grad(hi - lo, j->a + lo, j->b + lo, j->y + lo, j->p);
}

static void flat_binary (void *ud, int64_t lo, int64_t hi, int worker) {
  const flat_job *j = ud;
  (void)worker;
  j->fn.binary(hi - lo, j->a + lo * j->as, j->as, j->b + lo * j->bs, j->bs, j->y + lo);
}

static void flat_ternary (void *ud, int64_t lo, int64_t hi, int worker) {
  const flat_job *j = ud;
  (void)worker;
  j->fn.ternary(hi - lo, j->a + lo * j->as, j->as, j->b + lo * j->bs, j->bs, j->d + lo * j->ds,
                j->ds, j->y + lo, j->p);
}

static void set_numbers (flat_job *j, const gan_real *p) {
  if (p) memcpy(j->p, p, sizeof j->p);
}

static void run_flat (gan_ctx *c, int64_t n, int64_t grain, gan_range_fn *range, flat_job *j) {
  if (n <= 0 || gan_loop_later(c, n, grain, range, j, sizeof *j)) return;
  if (n <= grain) range(j, 0, n, 0);
  else gan_parallel(n, grain, range, j);
}

/* How x meets a flat result y: 1 element by element, 0 as one number, -1 not flat. */
static int flat_step (const gan_tensor *y, const gan_tensor *x) {
  if (x->dtype != GAN_REAL) return -1;
  if (x->numel == 1 && y->numel != 1) return 0;
  return gan_same_layout(y, x) || (x->numel == 1 && y->numel == 1) ? 1 : -1;
}

/* ---- rows of a strided loop --------------------------------------------------------------- */

static void row_unary (void *ud, int64_t n, gan_real *const *at, const int64_t *step) {
  const flat_job *j = ud;
  if (step[1]) {
    j->fn.unary(n, at[1], at[0], j->p);
    return;
  }
  gan_real v;
  j->fn.unary(1, at[1], &v, j->p);
  for (int64_t i = 0; i < n; i++) at[0][i] = v;
}

static void row_binary (void *ud, int64_t n, gan_real *const *at, const int64_t *step) {
  const flat_job *j = ud;
  j->fn.binary(n, at[1], step[1], at[2], step[2], at[0]);
}

static void row_ternary (void *ud, int64_t n, gan_real *const *at, const int64_t *step) {
  const flat_job *j = ud;
  j->fn.ternary(n, at[1], step[1], at[2], step[2], at[3], step[3], at[0], j->p);
}

/* Gradient kernels step through everything: a number all along the row is written out. */
static void row_grad (void *ud, int64_t n, gan_real *const *at, const int64_t *step) {
  const flat_job *j = ud;
  gan_real buf[2][256];
  for (int64_t lo = 0; lo < n;) {
    int64_t m = n - lo;
    const gan_real *in[2];
    if (m > 256 && !(step[1] && step[2])) m = 256;
    for (int k = 0; k < 2; k++) {
      in[k] = step[k + 1] ? at[k + 1] + lo : buf[k];
      if (!step[k + 1] && lo == 0)
        for (int64_t i = 0; i < m; i++) buf[k][i] = *at[k + 1];
    }
    j->fn.grad(m, in[0], in[1], at[0] + lo, j->p);
    lo += m;
  }
}

/* An operand that lies across the result's memory, as a transposed one does, would be read one
   element per cache line: it is turned first, which is done in tiles. */
static gan_tensor *along (gan_ctx *c, gan_tensor *y, gan_tensor *x, int64_t step) {
  const int64_t line = 64;
  const int64_t item = (int64_t)gan_dtype_size((gan_dtype)x->dtype);
  if (step * item < line || x->numel < 4096 || !gan_same_shape(x, y))
    return x;
  gan_tensor *turned = gan_new_like(c, y, (gan_dtype)x->dtype);
  if (turned) gan_copy_into(c, turned, x);
  return turned;
}

static void run_rows (gan_ctx *c, int n, gan_tensor **t, int64_t grain, gan_real_row_fn *row,
                      flat_job *j) {
  gan_loop l;
  bool again = false;
  gan_loop_plan(&l, n, t);
  for (int k = 1; k < n; k++) {
    gan_tensor *x = along(c, t[0], t[k], l.stride[k][l.ndim - 1]);
    if (!x) return;
    again |= x != t[k];
    t[k] = x;
  }
  if (again) gan_loop_plan(&l, n, t);
  gan_loop_reals(&l, grain, row, j);
}

/* ---- into given memory -------------------------------------------------------------------- */

gan_tensor *gan_clone (gan_ctx *c, const gan_tensor *x) {
  gan_tensor *y = gan_new_like(c, x, (gan_dtype)x->dtype);
  if (!y) return NULL;
  if (x->numel && gan_same_layout(x, y) && gan_is_dense(x) && x->numel <= GAN_GRAIN_CHEAP)
    memcpy(y->data, x->data, (size_t)x->numel * gan_dtype_size((gan_dtype)x->dtype));
  else gan_copy_into(c, y, x);
  return y;
}

/* x, or a copy of it when writing y would change what is still to be read. */
static gan_tensor *apart (gan_ctx *c, const gan_tensor *y, gan_tensor *x) {
  return x && gan_loop_overlaps(y, x) ? gan_clone(c, x) : x;
}

void gan_map1_into (gan_ctx *c, gan_tensor *y, gan_tensor *x, gan_unary_fn *fn, int64_t grain,
                    const gan_real *p) {
  flat_job j = { .fn.unary = fn };
  set_numbers(&j, p);
  if (!(x = apart(c, y, x))) return;
  if (flat_step(y, x) == 1 && gan_is_dense(y)) {
    j.a = gan_reals(x);
    j.y = gan_reals(y);
    run_flat(c, y->numel, grain, flat_unary, &j);
    return;
  }
  run_rows(c, 2, (gan_tensor *[]){ y, x }, grain, row_unary, &j);
}

void gan_map2_into (gan_ctx *c, gan_tensor *y, gan_tensor *a, gan_tensor *b, gan_binary_fn *fn,
                    int64_t grain) {
  flat_job j = { .fn.binary = fn };
  a = apart(c, y, a);
  b = apart(c, y, b);
  if (!a || !b) return;
  int as = flat_step(y, a), bs = flat_step(y, b);
  if (as < 0 || bs < 0 || !gan_is_dense(y)) {
    run_rows(c, 3, (gan_tensor *[]){ y, a, b }, grain, row_binary, &j);
    return;
  }
  j.y = gan_reals(y);
  j.a = gan_reals(a);
  j.b = gan_reals(b);
  j.as = as;
  j.bs = bs;
  run_flat(c, y->numel, grain, flat_binary, &j);
}

void gan_map3_into (gan_ctx *c, gan_tensor *y, gan_tensor *a, gan_tensor *b, gan_tensor *d,
                    gan_ternary_fn *fn, const gan_real *p) {
  flat_job j = { .fn.ternary = fn };
  set_numbers(&j, p);
  a = apart(c, y, a);
  b = apart(c, y, b);
  d = apart(c, y, d);
  if (!a || !b || !d) return;
  int as = flat_step(y, a), bs = flat_step(y, b), ds = flat_step(y, d);
  if (as < 0 || bs < 0 || ds < 0 || !gan_is_dense(y)) {
    run_rows(c, 4, (gan_tensor *[]){ y, a, b, d }, GAN_GRAIN_CHEAP, row_ternary, &j);
    return;
  }
  j.y = gan_reals(y);
  j.a = gan_reals(a);
  j.b = gan_reals(b);
  j.d = gan_reals(d);
  j.as = as;
  j.bs = bs;
  j.ds = ds;
  run_flat(c, y->numel, GAN_GRAIN_CHEAP, flat_ternary, &j);
}

/* ---- into new tensors --------------------------------------------------------------------- */

gan_tensor *gan_map1 (gan_ctx *c, gan_tensor *x, gan_unary_fn *fn, int64_t grain,
                      const gan_real *p) {
  if (!x) return NULL;
  gan_tensor *y = gan_new_like(c, x, GAN_REAL);
  if (y) gan_map1_into(c, y, x, fn, grain, p);
  return y;
}

/* The result of two operands; the common cases without looking at every dimension twice. */
static gan_tensor *result2 (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  if ((b->ndim == 0 || gan_same_shape(a, b)) && gan_is_dense(a))
    return gan_new_like(c, a, GAN_REAL);
  return gan_loop_result(c, 2, (gan_tensor *[]){ a, b });
}

gan_tensor *gan_map2 (gan_ctx *c, gan_tensor *a, gan_tensor *b, gan_binary_fn *fn, int64_t grain) {
  if (!a || !b) return NULL;
  gan_tensor *y = result2(c, a, b);
  if (y) gan_map2_into(c, y, a, b, fn, grain);
  return y;
}

gan_tensor *gan_map3 (gan_ctx *c, gan_tensor *a, gan_tensor *b, gan_tensor *d, gan_ternary_fn *fn,
                      const gan_real *p) {
  if (!a || !b || !d) return NULL;
  gan_tensor *y = gan_loop_result(c, 3, (gan_tensor *[]){ a, b, d });
  if (y) gan_map3_into(c, y, a, b, d, fn, p);
  return y;
}

static gan_tensor *map_grad (gan_ctx *c, gan_tensor *gx, gan_tensor *saved, gan_tensor *g,
                             gan_grad_fn *fn, int64_t grain, const gan_real *p) {
  flat_job j = { .fn.grad = fn };
  set_numbers(&j, p);
  if (!gx) return NULL;
  if (gan_same_layout(gx, saved) && gan_same_layout(gx, g)) {
    j.y = gan_reals(gx);
    j.a = gan_reals(saved);
    j.b = gan_reals(g);
    run_flat(c, gx->numel, grain, flat_grad, &j);
  }
  else run_rows(c, 3, (gan_tensor *[]){ gx, saved, g }, grain, row_grad, &j);
  return gx;
}

gan_tensor *gan_map_grad (gan_ctx *c, gan_tensor *saved, gan_tensor *g, gan_grad_fn *fn,
                          int64_t grain, const gan_real *p) {
  if (!saved || !g) return NULL;
  return map_grad(c, gan_new_like(c, saved, GAN_REAL), saved, g, fn, grain, p);
}

gan_tensor *gan_map_backward (gan_ctx *c, gan_tensor *saved, gan_tensor *g, gan_grad_fn *fn,
                              int64_t grain, const gan_real *p) {
  if (!saved || !g) return NULL;
  return map_grad(c, gan_over_gradient(c, g, saved), saved, g, fn, grain, p);
}

gan_tensor *gan_map_pow (gan_ctx *c, gan_tensor *x, double e) {
  const gan_pointwise_table *k = GAN_KERNEL(gan_pointwise);
  const gan_real p[2] = { (gan_real)e };
  gan_unary_fn *fn = e == 2 ? k->square : e == 3 ? k->cube : e == 0.5 ? k->sqrt
                   : e == -0.5 ? k->rsqrt : e == -1 ? k->reciprocal
                   : e == 1 ? k->mul_scalar /* by 1 */ : k->power;
  return gan_map1(c, x, fn, fn == k->power ? GAN_GRAIN_COSTLY : GAN_GRAIN_CHEAP, p);
}

/* ---- for gradients ------------------------------------------------------------------------ */

gan_tensor *gan_fit_input (gan_ctx *c, const gan_node *n, int i, gan_tensor *g) {
  const gan_edge *e = &n->in[i];
  if (!g) return NULL;
  if (g->ndim == e->ndim && !memcmp(g->shape, e->shape, e->ndim * sizeof *e->shape)) return g;
  return gan_sum_to(c, g, e->ndim, e->shape);
}

gan_tensor *gan_zero_input (gan_ctx *c, const gan_node *n, int i) {
  return gan_new_zero(c, GAN_REAL, n->in[i].ndim, n->in[i].shape);
}

/* ---- the family --------------------------------------------------------------------------- */

gan_op *const gan_ops_pointwise[] = {
  &gan_op_add, &gan_op_sub, &gan_op_mul, &gan_op_div, &gan_op_pow, &gan_op_maximum,
  &gan_op_minimum, &gan_op_eq, &gan_op_ne, &gan_op_lt, &gan_op_le, &gan_op_gt, &gan_op_ge,
  &gan_op_logical_and, &gan_op_logical_or, &gan_op_logical_xor, &gan_op_logical_not,
  &gan_op_isnan, &gan_op_where, &gan_op_masked_fill, &gan_op_lerp, &gan_op_addcmul,
  &gan_op_add_scalar, &gan_op_mul_scalar, &gan_op_pow_scalar, &gan_op_neg, &gan_op_abs,
  &gan_op_sign, &gan_op_exp, &gan_op_log, &gan_op_log1p, &gan_op_expm1, &gan_op_sqrt,
  &gan_op_rsqrt, &gan_op_square, &gan_op_reciprocal, &gan_op_sin, &gan_op_cos, &gan_op_tan,
  &gan_op_sinh, &gan_op_cosh, &gan_op_asin, &gan_op_acos, &gan_op_atan, &gan_op_erf,
  &gan_op_floor, &gan_op_ceil, &gan_op_round, &gan_op_trunc, &gan_op_tanh, &gan_op_sigmoid,
  &gan_op_relu, &gan_op_leaky_relu, &gan_op_relu6, &gan_op_elu, &gan_op_celu, &gan_op_selu,
  &gan_op_gelu, &gan_op_silu, &gan_op_mish, &gan_op_softplus, &gan_op_logsigmoid,
  &gan_op_softsign, &gan_op_hardtanh, &gan_op_hardsigmoid, &gan_op_hardswish, &gan_op_softshrink,
  &gan_op_hardshrink, &gan_op_threshold, &gan_op_clamp, &gan_op_prelu, &gan_op_glu, &gan_op_copy,
  &gan_op_clone, &gan_op_to, &gan_op_add_, &gan_op_sub_, &gan_op_mul_, &gan_op_div_, &gan_op_neg_,
  &gan_op_relu_, &gan_op_clamp_, &gan_op_lerp_, &gan_op_addcmul_, &gan_op_copy_, &gan_op_fill_,
  &gan_op_zero_,
  /* hidden */
  &gan_op_leaky_relu_y, &gan_op_leaky_relu_x, &gan_op_relu_grad, &gan_op_leaky_relu_grad,
  &gan_op_abs_grad, &gan_op_relu6_grad, &gan_op_hardtanh_grad, &gan_op_clamp_grad,
  &gan_op_threshold_grad, &gan_op_softshrink_grad, &gan_op_hardshrink_grad,
  &gan_op_hardsigmoid_grad, &gan_op_max_grad, NULL
};
