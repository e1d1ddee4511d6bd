/*
** pointwise_binary.c - functions of two tensors that broadcast: arithmetic, extremes, comparisons,
** logic.
**
** An operand may be a number: it arrives as a tensor of 0 dimensions. The gradient for an operand
** that was broadcast is summed over the dimensions along which it was repeated.
*/
#include <math.h>

#include "../core/tape.h"
#include "pointwise.h"

#define VJP(name) \
  static void name##_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx)

#define FORWARD(name, grain)                                                                \
  static void name##_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {             \
    out[0] = gan_map2(c, a[0].t, a[1].t, GAN_KERNEL(gan_pointwise)->name, grain);           \
  }

#define SHAPES "Shapes broadcast; either operand may be a number."

/* ---- arithmetic ---------------------------------------------------------------------------- */

FORWARD(add, GAN_GRAIN_CHEAP)
FORWARD(sub, GAN_GRAIN_CHEAP)
FORWARD(mul, GAN_GRAIN_CHEAP)
FORWARD(div, GAN_GRAIN_CHEAP)

VJP(add) {
  for (int i = 0; i < 2; i++)
    if (gan_wants(n, i)) gx[i] = gan_fit_input(c, n, i, gy[0]);
}

gan_op gan_op_add = {
  "add", "a:operand b:operand", add_forward, add_vjp,
  .doc = "a + b.\n" SHAPES, .example = "gan.tensor({1, 2}):add(10)"
};

VJP(sub) {
  if (gan_wants(n, 0)) gx[0] = gan_fit_input(c, n, 0, gy[0]);
  if (gan_wants(n, 1)) gx[1] = gan_neg(c, gan_fit_input(c, n, 1, gy[0]));
}

gan_op gan_op_sub = {
  "sub", "a:operand b:operand", sub_forward, sub_vjp,
  .doc = "a - b.\n" SHAPES, .example = "gan.tensor({1, 2}):sub(10)"
};

VJP(mul) {
  for (int i = 0; i < 2; i++)
    if (gan_wants(n, i)) gx[i] = gan_fit_input(c, n, i, gan_mul(c, gy[0], n->a[1 - i].t));
}

gan_op gan_op_mul = {
  "mul", "a:operand b:operand", mul_forward, mul_vjp, .save = "a:b b:a",
  .doc = "a * b, element by element (the matrix product is matmul).\n" SHAPES,
  .example = "gan.tensor({1, 2}):mul(gan.tensor({3, 4}))"
};

VJP(div) { /* 1 / b and -a / b^2 */
  gan_tensor *b = n->a[1].t, *q = gan_div(c, gy[0], b);
  if (gan_wants(n, 0)) gx[0] = gan_fit_input(c, n, 0, q);
  if (gan_wants(n, 1)) {
    gan_tensor *g = gan_mul(c, q, gan_div(c, n->a[0].t, b));
    gx[1] = gan_neg(c, gan_fit_input(c, n, 1, g));
  }
}

static void div_fused (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_pointwise_table *k = GAN_KERNEL(gan_pointwise);
  gan_tensor *a = n->a[0].t, *b = n->a[1].t;
  const gan_real none[2] = { 0 };
  if (gan_wants(n, 0))
    gx[0] = gan_fit_input(c, n, 0, gan_map2(c, gy[0], b, k->div, GAN_GRAIN_CHEAP));
  if (gan_wants(n, 1))
    gx[1] = gan_fit_input(c, n, 1, gan_map3(c, gy[0], a, b, k->div_grad, none));
}

gan_op gan_op_div = {
  "div", "a:operand b:operand", div_forward, div_vjp, div_fused, .save = "a:b b",
  .doc = "a / b, element by element.\n" SHAPES, .example = "gan.tensor({1, 2}):div(4)"
};

/* A single number as the exponent has faster loops. */
static void pow_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *b = a[1].t;
  if (b->ndim == 0) out[0] = gan_map_pow(c, a[0].t, (double)*gan_reals(b));
  else out[0] = gan_map2(c, a[0].t, b, GAN_KERNEL(gan_pointwise)->pow, GAN_GRAIN_COSTLY);
}

/* b a^(b-1), and 0 where b is 0 whatever a is: a^0 there instead of a^-1, times b */
static gan_tensor *pow_slope (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  gan_tensor *safe = gan_where(c, gan_eq(c, b, gan_scalar(c, 0)), gan_scalar(c, 1), b);
  safe = gan_shift(c, safe, -1);
  return gan_mul(c, b, gan_run1(c, &gan_op_pow, GAN_ARGS(GAN_T(a), GAN_T(safe))));
}

/* a^b log(a), and 0 where a is 0 and b is not negative */
static gan_tensor *pow_growth (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  gan_tensor *zero = gan_scalar(c, 0);
  gan_tensor *flat = gan_mul(c, gan_eq(c, a, zero), gan_ge(c, b, zero));
  gan_tensor *safe = gan_where(c, flat, gan_scalar(c, 1), a);
  return gan_mul(c, gan_run1(c, &gan_op_pow, GAN_ARGS(GAN_T(a), GAN_T(b))), gan_log(c, safe));
}

VJP(pow) {
  gan_tensor *a = n->a[0].t, *b = n->a[1].t;
  if (gan_wants(n, 0)) {
    bool constant = b->ndim == 0 && !gan_tracked(b);
    if (constant && c->tape) gan_tape_looked_at(c, b, "the gradient of pow");
    double e = constant ? (double)*gan_reals(b) : 0;
    gan_tensor *g;
    if (constant && e == 0) g = gan_zero_input(c, n, 0);
    else if (constant && e == 1) g = gy[0];
    else if (constant) g = gan_mul(c, gy[0], gan_scale(c, gan_pow(c, a, e - 1), e));
    else g = gan_mul(c, gy[0], pow_slope(c, a, b));
    gx[0] = gan_fit_input(c, n, 0, g);
  }
  if (gan_wants(n, 1)) gx[1] = gan_fit_input(c, n, 1, gan_mul(c, gy[0], pow_growth(c, a, b)));
}

gan_op gan_op_pow = {
  "pow", "a:operand b:operand", pow_forward, pow_vjp, .save = "a b",
  .doc = "a to the power b; also written a ^ b.\n" SHAPES "\n"
         "A negative a with a fractional b gives NaN; 0 to the power 0 is 1. With b 0 the\n"
         "gradient for a is 0 everywhere; with a 0 and b not negative that for b is 0.",
  .example = "gan.tensor({1, 2, 3}):pow(2)"
};

/* ---- extremes ------------------------------------------------------------------------------ */

FORWARD(maximum, GAN_GRAIN_CHEAP)
FORWARD(minimum, GAN_GRAIN_CHEAP)

static void max_grad_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  const gan_real none[2] = { 0 };
  out[0] = gan_map3(c, a[0].t, a[1].t, a[2].t, GAN_KERNEL(gan_pointwise)->max_grad, none);
}

static gan_tensor *max_grad (gan_ctx *c, gan_tensor *g, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_max_grad, GAN_ARGS(GAN_T(g), GAN_T(a), GAN_T(b)));
}

VJP(max_grad) { /* linear in g, constant in a and b; g has the shape of the result */
  if (gan_wants(n, 0)) gx[0] = max_grad(c, gy[0], n->a[1].t, n->a[2].t);
}

gan_op gan_op_max_grad = {
  "max_grad", "g:tensor a:tensor b:tensor", max_grad_forward, max_grad_vjp, .save = "a:g b:g",
  .flags = GAN_HIDDEN,
  .doc = "Gradient of maximum(a, b) for a from that of the result, g: g where a > b, half of it\n"
         "where they are equal, else 0; g where either is NaN."
};

VJP(maximum) {
  for (int i = 0; i < 2; i++)
    if (gan_wants(n, i))
      gx[i] = gan_fit_input(c, n, i, max_grad(c, gy[0], n->a[i].t, n->a[1 - i].t));
}

gan_op gan_op_maximum = {
  "maximum", "a:operand b:operand", maximum_forward, maximum_vjp, .save = "a b",
  .doc = "The larger of a and b; NaN where either is.\n" SHAPES "\n"
         "Equal values share the gradient, half each.",
  .example = "gan.tensor({1, 5}):maximum(gan.tensor({3, 2}))"
};

VJP(minimum) { /* a is the smaller one where b is the larger */
  for (int i = 0; i < 2; i++)
    if (gan_wants(n, i))
      gx[i] = gan_fit_input(c, n, i, max_grad(c, gy[0], n->a[1 - i].t, n->a[i].t));
}

gan_op gan_op_minimum = {
  "minimum", "a:operand b:operand", minimum_forward, minimum_vjp, .save = "a b",
  .doc = "The smaller of a and b; NaN where either is.\n" SHAPES "\n"
         "Equal values share the gradient, half each.",
  .example = "gan.tensor({1, 5}):minimum(3)"
};

/* ---- comparisons and logic ----------------------------------------------------------------- */

static bool one_type (gan_ctx *c, const gan_tensor *a, const gan_tensor *b) {
  if (a->dtype == b->dtype || a->is_number || b->is_number) return true;
  const char *type = gan_dtype_name((gan_dtype)a->dtype);
  gan_fail(c, GAN_EARG, "argument 'a' is %s, 'b' is %s (convert one, as in b:to(\"%s\"))", type,
           gan_dtype_name((gan_dtype)b->dtype), type);
  return false;
}

/* int64 has more digits than the compute type: such rows are compared as they are, and with a
   number as double. uint8 goes the usual way, all of its values are exact in the compute type. */
#define COMPARE_ROWS(name, op)                                                              \
  static void name##_ints (void *ud, int64_t n, char *const *at, const int64_t *step) {     \
    gan_real *y = (gan_real *)at[0];                                                        \
    const int64_t *a = (const int64_t *)at[1], *b = (const int64_t *)at[2];                 \
    (void)ud;                                                                               \
    for (int64_t i = 0; i < n; i++) y[i * step[0]] = a[i * step[1]] op b[i * step[2]];      \
  }                                                                                         \
  static void name##_int_number (void *ud, int64_t n, char *const *at, const int64_t *step) { \
    gan_real *y = (gan_real *)at[0];                                                        \
    const int64_t *a = (const int64_t *)at[1];                                              \
    const double b = *(const double *)ud;                                                   \
    for (int64_t i = 0; i < n; i++) y[i * step[0]] = (double)a[i * step[1]] op b;           \
  }                                                                                         \
  static void name##_number_int (void *ud, int64_t n, char *const *at, const int64_t *step) { \
    gan_real *y = (gan_real *)at[0];                                                        \
    const int64_t *b = (const int64_t *)at[2];                                              \
    const double a = *(const double *)ud;                                                   \
    for (int64_t i = 0; i < n; i++) y[i * step[0]] = a op (double)b[i * step[2]];           \
  }

COMPARE_ROWS(eq, ==)
COMPARE_ROWS(ne, !=)
COMPARE_ROWS(lt, <)
COMPARE_ROWS(le, <=)
COMPARE_ROWS(gt, >)
COMPARE_ROWS(ge, >=)

static gan_tensor *compare (gan_ctx *c, gan_tensor *a, gan_tensor *b, gan_binary_fn *fn,
                            gan_row_fn *ints, gan_row_fn *int_number, gan_row_fn *number_int) {
  if (!one_type(c, a, b)) return NULL;
  if (a->dtype != GAN_INT64 && b->dtype != GAN_INT64) return gan_map2(c, a, b, fn, GAN_GRAIN_CHEAP);
  gan_tensor *t[3] = { NULL, a, b };
  if (!(t[0] = gan_loop_result(c, 2, t + 1))) return NULL;
  gan_row_fn *rows = a->dtype == b->dtype ? ints : a->dtype == GAN_INT64 ? int_number : number_int;
  double number = rows == int_number ? gan_item(b, 0) : rows == number_int ? gan_item(a, 0) : 0;
  gan_loop l;
  gan_loop_plan(&l, 3, t);
  gan_loop_run(&l, GAN_GRAIN_CHEAP, rows, &number);
  return t[0];
}

#define TYPES SHAPES "\nBoth operands have one type, whichever it is. No gradient."

#define COMPARISON(name, symbol)                                                            \
  static void name##_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {             \
    out[0] = compare(c, a[0].t, a[1].t, GAN_KERNEL(gan_pointwise)->name, name##_ints,       \
                     name##_int_number, name##_number_int);                                 \
  }                                                                                         \
  gan_op gan_op_##name = {                                                                  \
    #name, "a:anyoperand b:anyoperand", name##_forward,                                     \
    .doc = "1 where a " symbol " b, else 0.\n" TYPES,                                       \
    .example = "gan.tensor({1, 2, 3}):" #name "(2)"                                         \
  };

COMPARISON(eq, "==")
COMPARISON(ne, "~=")
COMPARISON(lt, "<")
COMPARISON(le, "<=")
COMPARISON(gt, ">")
COMPARISON(ge, ">=")

#define LOGIC(name, text)                                                                   \
  static void name##_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {             \
    if (one_type(c, a[0].t, a[1].t))                                                        \
      out[0] = gan_map2(c, a[0].t, a[1].t, GAN_KERNEL(gan_pointwise)->name, GAN_GRAIN_CHEAP); \
  }                                                                                         \
  gan_op gan_op_##name = {                                                                  \
    #name, "a:anyoperand b:anyoperand", name##_forward,                                     \
    .doc = "1 where " text ", else 0; whatever is not 0 counts as true.\n" TYPES,           \
    .example = "gan.tensor({0, 1}):" #name "(1)"                                            \
  };

LOGIC(logical_and, "both a and b are true")
LOGIC(logical_or, "a or b is true or both are")
LOGIC(logical_xor, "one of a and b is true and the other is not")
