/*
** reduce.c - see reduce.h.
*/
#include "reduce.h"

#include <string.h>

#define COLS GAN_REDUCE_COLS
#define RUN 32 /* terms that one accumulator of the compute type adds up before it is emptied */

#if defined(__AVX512F__)
#define VBYTES 64
#elif defined(__AVX2__)
#define VBYTES 32
#else
#define VBYTES 16
#endif
#define VL ((int64_t)(VBYTES / sizeof(gan_real)))

typedef gan_real vec __attribute__((vector_size(VBYTES), aligned(sizeof(gan_real)), may_alias));
typedef gan_real quad __attribute__((vector_size(16), aligned(sizeof(gan_real)), may_alias));
#ifdef GAN_DOUBLE
typedef int64_t vec_bits __attribute__((vector_size(VBYTES)));
typedef int64_t quad_bits __attribute__((vector_size(16)));
#define SIGN_OFF 0x7fffffffffffffffLL
#define ABS1(v) __builtin_fabs(v)
#else
typedef int32_t vec_bits __attribute__((vector_size(VBYTES)));
typedef int32_t quad_bits __attribute__((vector_size(16)));
#define SIGN_OFF 0x7fffffff
#define ABS1(v) __builtin_fabsf(v)
#endif
#define QL ((int64_t)(16 / sizeof(gan_real)))

/* ---- sums of rows ------------------------------------------------------------------------- */

static inline double quad_sum (quad v) {
  double s = 0;
  for (int64_t i = 0; i < QL; i++) s += v[i];
  return s;
}

static inline double vec_sum (vec v) {
  union {
    vec v;
    quad q[VBYTES / 16];
  } u = { v };
  quad s = u.q[0];
  for (int i = 1; i < VBYTES / 16; i++) s += u.q[i];
  return quad_sum(s);
}

/* ONE is the term of a number v, MANY that of a vector v of type V whose bits are a B; both may use
   the centre m. What is left of a row, and short rows, go through narrow registers: emptying a wide
   one takes longer than the rest. */
#define SUM_ROW(name, ONE, MANY)                                             \
  static double name (int64_t n, const gan_real *x, double centre) {         \
    const gan_real m = (gan_real)centre;                                     \
    double total = 0;                                                        \
    (void)m;                                                                 \
    while (n >= 4 * VL) {                                                    \
      typedef vec V;                                                         \
      typedef vec_bits B __attribute__((unused));                            \
      int64_t run = n / (4 * VL) < RUN ? n / (4 * VL) : RUN;                 \
      V a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };                          \
      for (int64_t i = 0; i < run; i++, x += 4 * VL) {                       \
        const V *p = (const V *)x;                                           \
        V v = p[0];                                                          \
        a += MANY;                                                           \
        v = p[1];                                                            \
        b += MANY;                                                           \
        v = p[2];                                                            \
        c += MANY;                                                           \
        v = p[3];                                                            \
        d += MANY;                                                           \
      }                                                                      \
      total += vec_sum((a + b) + (c + d));                                   \
      n -= run * 4 * VL;                                                     \
    }                                                                        \
    if (n >= QL) {                                                           \
      typedef quad V;                                                        \
      typedef quad_bits B __attribute__((unused));                           \
      V a = { 0 }, b = { 0 };                                                \
      for (; n >= 2 * QL; n -= 2 * QL, x += 2 * QL) {                        \
        V v = ((const V *)x)[0];                                             \
        a += MANY;                                                           \
        v = ((const V *)x)[1];                                               \
        b += MANY;                                                           \
      }                                                                      \
      if (n >= QL) {                                                         \
        V v = *(const V *)x;                                                 \
        a += MANY;                                                           \
        n -= QL;                                                             \
        x += QL;                                                             \
      }                                                                      \
      total += quad_sum(a + b);                                              \
    }                                                                        \
    for (int64_t i = 0; i < n; i++) {                                        \
      gan_real v = x[i];                                                     \
      total += ONE;                                                          \
    }                                                                        \
    return total;                                                            \
  }

SUM_ROW(sum_row, v, v)
SUM_ROW(abs_row, ABS1(v), (V)((B)v & SIGN_OFF))
SUM_ROW(square_row, v * v, v * v)
SUM_ROW(sqdev_row, (v - m) * (v - m), (v - m) * (v - m))
SUM_ROW(nonzero_row, v != 0 ? (gan_real)1 : (gan_real)0,
        (V)((B)((V){ 0 } + 1) & (B)(v != (V){ 0 })))

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

/* E(v, k) is the term of element v in column k. */
#define SUM_COL(name, E)                                                                     \
  static void name##_wide (int64_t rows, int64_t cols, int64_t ld, const gan_real *x,        \
                           const gan_real *centre, double *acc) {                            \
    gan_real part[COLS];                                                                     \
    (void)centre;                                                                            \
    for (int64_t k = 0; k < cols; k++) acc[k] = 0;                                           \
    for (int64_t r = 0; r < rows;) {                                                         \
      int64_t end = rows - r < 4 * RUN ? rows : r + 4 * RUN;                                 \
      memset(part, 0, (size_t)cols * sizeof *part);                                          \
      for (; r + 4 <= end; r += 4) {                                                         \
        const gan_real *p = x + r * ld, *q = p + ld, *u = q + ld, *w = u + ld;               \
        for (int64_t k = 0; k < cols; k++)                                                   \
          part[k] += (E(p[k], k) + E(q[k], k)) + (E(u[k], k) + E(w[k], k));                  \
      }                                                                                      \
      for (; r < end; r++) {                                                                 \
        const gan_real *p = x + r * ld;                                                      \
        for (int64_t k = 0; k < cols; k++) part[k] += E(p[k], k);                            \
      }                                                                                      \
      for (int64_t k = 0; k < cols; k++) acc[k] += part[k];                                  \
    }                                                                                        \
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

#define ITSELF(v, k) (v)
#define ABS(v, k) ABS1(v)
#define SQUARE(v, k) ((v) * (v))
#define SQDEV(v, k) (((v) - centre[k]) * ((v) - centre[k]))
#define NONZERO(v, k) ((v) != 0 ? (gan_real)1 : (gan_real)0)

SUM_COL(sum_col, ITSELF)
SUM_COL(abs_col, ABS)
SUM_COL(square_col, SQUARE)
SUM_COL(sqdev_col, SQDEV)
SUM_COL(nonzero_col, NONZERO)
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
