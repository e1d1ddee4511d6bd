/*
** reduce.c - see reduce.h.
*/
#include "reduce.h"

#include <string.h>

#include "lanes.h"

#define COLS GAN_REDUCE_COLS
#define RUN 32 /* terms that one accumulator of the compute type adds up before it is emptied */

enum { VL = GAN_LANES, QL = 16 / sizeof(gan_real) };

typedef gan_vec_at vec;
typedef gan_ivec vec_bits;
typedef gan_real quad __attribute__((vector_size(16), aligned(sizeof(gan_real)), may_alias));
typedef gan_lane_int quad_bits __attribute__((vector_size(16)));

#ifdef GAN_DOUBLE
#define SIGN_OFF 0x7fffffffffffffffLL
#define ABS(v) __builtin_fabs(v)
#else
#define SIGN_OFF 0x7fffffff
#define ABS(v) __builtin_fabsf(v)
#endif

/* ---- terms of sums ------------------------------------------------------------------------ */

/* What the sum of this kind adds up for an element v. The kind is a constant wherever this is
   inlined. */
GAN_INLINE gan_real term (gan_reduce_kind kind, gan_real v, gan_real centre) {
  switch (kind) {
    case GAN_REDUCE_ABS: return ABS(v);
    case GAN_REDUCE_SQUARE: return v * v;
    case GAN_REDUCE_SQDEV: return (v - centre) * (v - centre);
    case GAN_REDUCE_NONZERO: return v != 0 ? 1 : 0;
    default: return v;
  }
}

/* The same for a vector of elements. */
#define TERMS(vec)                                                            \
  GAN_INLINE vec vec##_terms (gan_reduce_kind kind, vec v, gan_real centre) { \
    const vec zeros = { 0 }, ones = zeros + 1;                                \
    switch (kind) {                                                           \
      case GAN_REDUCE_ABS: return (vec)((vec##_bits)v & SIGN_OFF);            \
      case GAN_REDUCE_SQUARE: return v * v;                                   \
      case GAN_REDUCE_SQDEV: return (v - centre) * (v - centre);              \
      case GAN_REDUCE_NONZERO: return (vec)((vec##_bits)ones & (v != zeros)); \
      default: return v;                                                      \
    }                                                                         \
  }

TERMS(vec)
TERMS(quad)

/* ---- sums of rows ------------------------------------------------------------------------- */

GAN_INLINE double quad_total (quad v) {
  double s = 0;
  for (int i = 0; i < QL; i++) s += v[i];
  return s;
}

GAN_INLINE double vec_total (vec v) {
  union {
    vec v;
    quad q[VL / QL];
  } u = { v };
  quad s = u.q[0];
  for (int i = 1; i < VL / QL; i++) s += u.q[i];
  return quad_total(s);
}

/* The first 4 * VL * run elements. */
GAN_INLINE double sum_vecs (gan_reduce_kind kind, int64_t run, const gan_real *x,
                            gan_real centre) {
  vec a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
  for (int64_t i = 0; i < run; i++, x += 4 * VL) {
    const vec *v = (const vec *)x;
    a += vec_terms(kind, v[0], centre);
    b += vec_terms(kind, v[1], centre);
    c += vec_terms(kind, v[2], centre);
    d += vec_terms(kind, v[3], centre);
  }
  return vec_total((a + b) + (c + d));
}

/* The first n / QL * QL elements. */
GAN_INLINE double sum_quads (gan_reduce_kind kind, int64_t n, const gan_real *x,
                             gan_real centre) {
  quad a = { 0 }, b = { 0 };
  for (; n >= 2 * QL; n -= 2 * QL, x += 2 * QL) {
    const quad *v = (const quad *)x;
    a += quad_terms(kind, v[0], centre);
    b += quad_terms(kind, v[1], centre);
  }
  if (n >= QL) a += quad_terms(kind, *(const quad *)x, centre);
  return quad_total(a + b);
}

/* What is left of a row, and short rows, go through narrow registers: emptying a wide one takes
   longer than the rest. */
GAN_INLINE double sum (gan_reduce_kind kind, int64_t n, const gan_real *x, gan_real centre) {
  double total = 0;
  while (n >= 4 * VL) {
    int64_t run = n / (4 * VL) < RUN ? n / (4 * VL) : RUN;
    total += sum_vecs(kind, run, x, centre);
    x += run * 4 * VL;
    n -= run * 4 * VL;
  }
  if (n >= QL) {
    total += sum_quads(kind, n, x, centre);
    x += n / QL * QL;
    n %= QL;
  }
  for (int64_t i = 0; i < n; i++) total += term(kind, x[i], centre);
  return total;
}

#define SUM_ROW(name, kind)                                          \
  static double name (int64_t n, const gan_real *x, double centre) { \
    return sum(kind, n, x, (gan_real)centre);                        \
  }

SUM_ROW(sum_row, GAN_REDUCE_SUM)
SUM_ROW(abs_row, GAN_REDUCE_ABS)
SUM_ROW(square_row, GAN_REDUCE_SQUARE)
SUM_ROW(sqdev_row, GAN_REDUCE_SQDEV)
SUM_ROW(nonzero_row, GAN_REDUCE_NONZERO)

/* ---- products and extremes of rows -------------------------------------------------------- */

#define TIMES(a, v) ((a) * (v))
/* a NaN in `a` stays because no comparison with it holds */
#define GREATER(a, v) ((v) > (a) || (v) != (v) ? (v) : (a))
#define SMALLER(a, v) ((v) < (a) || (v) != (v) ? (v) : (a))

/* Sixteen accumulators per vector register's lane would be wasted on short rows: 64 in all. */
#define FOLD_ROW(name, PICK)                                                 \
  static double name (int64_t n, const gan_real *x, double centre) {         \
    enum { W = 64 };                                                         \
    (void)centre;                                                            \
    if (n < 2 * W) {                                                         \
      gan_real t = x[0];                                                     \
      for (int64_t i = 1; i < n; i++) t = PICK(t, x[i]);                     \
      return t;                                                              \
    }                                                                        \
    gan_real a[W];                                                           \
    memcpy(a, x, sizeof a);                                                  \
    int64_t i = W;                                                           \
    for (; i + W <= n; i += W)                                               \
      for (int k = 0; k < W; k++) a[k] = PICK(a[k], x[i + k]);               \
    for (; i < n; i++) a[0] = PICK(a[0], x[i]);                              \
    for (int k = 1; k < W; k++) a[0] = PICK(a[0], a[k]);                     \
    return a[0];                                                             \
  }

FOLD_ROW(prod_row, TIMES)
FOLD_ROW(max_row, GREATER)
FOLD_ROW(min_row, SMALLER)

/* ---- columns ------------------------------------------------------------------------------ */

#define PLUS(a, v) ((a) + (v))

/*
** A narrow block without gaps is read as a wide one with fewer rows: `fold` rows side by side,
** whose results are combined at the end. Rows left over are combined one at a time.
*/
#define NARROW(name, COMBINE)                                                                \
  static void name##_narrow (int64_t rows, int64_t cols, const gan_real *x,                  \
                             const gan_real *centre, double *acc) {                          \
    int64_t fold = COLS / cols < rows ? COLS / cols : rows, wide = fold * cols;              \
    int64_t done = rows / fold * fold;                                                       \
    double part[COLS];                                                                       \
    gan_real middle[COLS];                                                                   \
    for (int64_t j = 0; centre && j < fold; j++)                                             \
      memcpy(middle + j * cols, centre, (size_t)cols * sizeof *centre);                      \
    name##_wide(rows / fold, wide, wide, x, centre ? middle : NULL, part);                   \
    memcpy(acc, part, (size_t)cols * sizeof *acc);                                           \
    for (int64_t j = 1; j < fold; j++)                                                       \
      for (int64_t k = 0; k < cols; k++) acc[k] = COMBINE(acc[k], part[j * cols + k]);       \
    if (done == rows) return;                                                                \
    int64_t left = (rows - done) * cols;                                                     \
    name##_wide(1, left, left, x + done * cols, centre ? middle : NULL, part);               \
    for (int64_t i = 0; i < left; i++) acc[i % cols] = COMBINE(acc[i % cols], part[i]);      \
  }                                                                                          \
  static void name (int64_t rows, int64_t cols, int64_t ld, const gan_real *x,               \
                    const gan_real *centre, double *acc) {                                   \
    if (ld == cols && cols <= COLS / 8 && rows >= 4)                                         \
      name##_narrow(rows, cols, x, centre, acc);                                             \
    else name##_wide(rows, cols, ld, x, centre, acc);                                        \
  }

/* Four rows at a time, in runs that end in double. */
GAN_INLINE void sum_cols (gan_reduce_kind kind, int64_t rows, int64_t cols, int64_t ld,
                          const gan_real *x, const gan_real *centre, double *acc) {
#define TERM(v) term(kind, v, kind == GAN_REDUCE_SQDEV ? centre[k] : 0)
  gan_real part[COLS];
  for (int64_t k = 0; k < cols; k++) acc[k] = 0;
  for (int64_t r = 0; r < rows;) {
    int64_t end = rows - r < 4 * RUN ? rows : r + 4 * RUN;
    memset(part, 0, (size_t)cols * sizeof *part);
    for (; r + 4 <= end; r += 4) {
      const gan_real *p = x + r * ld, *q = p + ld, *u = q + ld, *w = u + ld;
      for (int64_t k = 0; k < cols; k++)
        part[k] += (TERM(p[k]) + TERM(q[k])) + (TERM(u[k]) + TERM(w[k]));
    }
    for (; r < end; r++) {
      const gan_real *p = x + r * ld;
      for (int64_t k = 0; k < cols; k++) part[k] += TERM(p[k]);
    }
    for (int64_t k = 0; k < cols; k++) acc[k] += part[k];
  }
#undef TERM
}

#define SUM_COL(name, kind)                                                                  \
  static void name##_wide (int64_t rows, int64_t cols, int64_t ld, const gan_real *x,        \
                           const gan_real *centre, double *acc) {                            \
    sum_cols(kind, rows, cols, ld, x, centre, acc);                                          \
  }                                                                                          \
  NARROW(name, PLUS)

#define FOLD_COL(name, PICK)                                                                 \
  static void name##_wide (int64_t rows, int64_t cols, int64_t ld, const gan_real *x,        \
                           const gan_real *centre, double *acc) {                            \
    gan_real part[COLS];                                                                     \
    (void)centre;                                                                            \
    memcpy(part, x, (size_t)cols * sizeof *x);                                               \
    for (int64_t r = 1; r < rows; r++) {                                                     \
      const gan_real *p = x + r * ld;                                                        \
      for (int64_t k = 0; k < cols; k++) part[k] = PICK(part[k], p[k]);                      \
    }                                                                                        \
    for (int64_t k = 0; k < cols; k++) acc[k] = part[k];                                     \
  }                                                                                          \
  NARROW(name, PICK)

SUM_COL(sum_col, GAN_REDUCE_SUM)
SUM_COL(abs_col, GAN_REDUCE_ABS)
SUM_COL(square_col, GAN_REDUCE_SQUARE)
SUM_COL(sqdev_col, GAN_REDUCE_SQDEV)
SUM_COL(nonzero_col, GAN_REDUCE_NONZERO)
FOLD_COL(prod_col, TIMES)
FOLD_COL(max_col, GREATER)
FOLD_COL(min_col, SMALLER)

/* ---- places of extremes ------------------------------------------------------------------- */

/* How many elements, a multiple of 64, surely come before the first one that equals v. */
static int64_t skip_others (int64_t n, const gan_real *x, gan_real v) {
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    int found = 0;
    for (int k = 0; k < 64; k++) found |= x[i + k] == v;
    if (found) break;
  }
  return i;
}

/* Two passes over a row that the first one brought into cache: the value, then its place. */
static int64_t arg_row (int64_t n, const gan_real *x, bool least) {
  gan_real best = (gan_real)(least ? min_row(n, x, 0) : max_row(n, x, 0));
  int64_t i = 0;
  if (best != best)
    while (x[i] == x[i]) i++;
  else {
    i = skip_others(n, x, best);
    while (x[i] != best) i++;
  }
  return i;
}

#define ARG_COLS(LESS)                                                       \
  for (int64_t r = 1; r < rows; r++) {                                       \
    const gan_real *p = x + r * ld;                                          \
    for (int64_t k = 0; k < cols; k++) {                                     \
      bool better = LESS || (p[k] != p[k] && value[k] == value[k]);          \
      value[k] = better ? p[k] : value[k];                                   \
      place[k] = better ? r : place[k];                                      \
    }                                                                        \
  }

static void arg_col (int64_t rows, int64_t cols, int64_t ld, const gan_real *x, bool least,
                     gan_real *value, int64_t *place) {
  memcpy(value, x, (size_t)cols * sizeof *x);
  memset(place, 0, (size_t)cols * sizeof *place);
  if (least) ARG_COLS(p[k] < value[k])
  else ARG_COLS(p[k] > value[k])
}

/* ---- running sums and products ------------------------------------------------------------ */

static void scan_line (int64_t n, int64_t ld, const gan_real *x, bool product, gan_real *y) {
  double t = product;
  if (product)
    for (int64_t i = 0; i < n; i++) y[i * ld] = (gan_real)(t *= x[i * ld]);
  else
    for (int64_t i = 0; i < n; i++) y[i * ld] = (gan_real)(t += x[i * ld]);
}

static void scan (int64_t rows, int64_t cols, int64_t ld, const gan_real *x, bool product,
                  gan_real *y) {
  if (cols == 1) {
    scan_line(rows, ld, x, product, y);
    return;
  }
  double t[COLS];
  for (int64_t k0 = 0; k0 < cols; k0 += COLS) {
    int64_t n = cols - k0 < COLS ? cols - k0 : COLS;
    for (int64_t k = 0; k < n; k++) t[k] = product;
    for (int64_t r = 0; r < rows; r++) {
      const gan_real *p = x + r * ld + k0;
      gan_real *q = y + r * ld + k0;
      if (product)
        for (int64_t k = 0; k < n; k++) q[k] = (gan_real)(t[k] *= p[k]);
      else
        for (int64_t k = 0; k < n; k++) q[k] = (gan_real)(t[k] += p[k]);
    }
  }
}

const gan_reduce_table GAN_TABLE(gan_reduce) = {
  .row = { sum_row, abs_row, square_row, sqdev_row, nonzero_row, prod_row, max_row, min_row },
  .col = { sum_col, abs_col, square_col, sqdev_col, nonzero_col, prod_col, max_col, min_col },
  .arg_row = arg_row,
  .arg_col = arg_col,
  .scan = scan,
};
