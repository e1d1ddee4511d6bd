/*
** softmax.c - see softmax.h.
**
** Rows shorter than a vector (ten classes are usual) are handled in groups: a block of rows is
** transposed on the way through a small buffer, so that each vector lane works on a row of its own.
*/
#include <math.h>

#include "lanes.h"
#include "softmax.h"
#include "vmath.h"

#define COLS GAN_SOFTMAX_COLS
#define SHORT 32 /* rows up to this length go through the buffer */

/* ---- columns ------------------------------------------------------------------------------ */
/* Loops over `cols` neighbours are the ones that become vectors. */

/* top: greatest of each column; sum: of exp(x - top); exps, unless NULL: those exponentials */
static void column_sums (int64_t cols, int64_t n, int64_t inner, const gan_real *x, gan_real *exps,
                         int64_t exps_inner, gan_real *top, gan_real *sum) {
  for (int64_t j = 0; j < cols; j++) {
    top[j] = x[j];
    sum[j] = 0;
  }
  for (int64_t i = 1; i < n; i++)
    for (int64_t j = 0; j < cols; j++) {
      gan_real v = x[i * inner + j];
      top[j] = v > top[j] ? v : top[j];
    }
  for (int64_t i = 0; i < n; i++) {
    if (exps)
      for (int64_t j = 0; j < cols; j++) {
        gan_real e = vm_exp(x[i * inner + j] - top[j]);
        exps[i * exps_inner + j] = e;
        sum[j] += e;
      }
    else
      for (int64_t j = 0; j < cols; j++) sum[j] += vm_exp(x[i * inner + j] - top[j]);
  }
}

static void cols_ (int64_t cols, int64_t n, int64_t inner, const gan_real *x, gan_real *y) {
  gan_real top[COLS], sum[COLS];
  column_sums(cols, n, inner, x, y, inner, top, sum);
  for (int64_t j = 0; j < cols; j++) sum[j] = 1 / sum[j];
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < cols; j++) y[i * inner + j] *= sum[j];
}

static void log_cols (int64_t cols, int64_t n, int64_t inner, const gan_real *x, gan_real *y) {
  gan_real top[COLS], sum[COLS];
  column_sums(cols, n, inner, x, NULL, 0, top, sum);
  for (int64_t j = 0; j < cols; j++) sum[j] = vm_log(sum[j]);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < cols; j++) y[i * inner + j] = (x[i * inner + j] - top[j]) - sum[j];
}

/* gx = y (gy - sum of gy y) */
static void grad_cols (int64_t cols, int64_t n, int64_t inner, const gan_real *y,
                       const gan_real *gy, gan_real *gx) {
  gan_real sum[COLS] = { 0 };
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < cols; j++) sum[j] += gy[i * inner + j] * y[i * inner + j];
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < cols; j++)
      gx[i * inner + j] = y[i * inner + j] * (gy[i * inner + j] - sum[j]);
}

/* gx = gy - exp(y) sum of gy */
static void log_grad_cols (int64_t cols, int64_t n, int64_t inner, const gan_real *y,
                           const gan_real *gy, gan_real *gx) {
  gan_real sum[COLS] = { 0 };
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < cols; j++) sum[j] += gy[i * inner + j];
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < cols; j++)
      gx[i * inner + j] = gy[i * inner + j] - vm_exp(y[i * inner + j]) * sum[j];
}

/* ---- short rows --------------------------------------------------------------------------- */

/* `rows` <= COLS rows of n <= SHORT into columns of a buffer, and back */
static void turn (int64_t rows, int64_t n, const gan_real *x, gan_real *to) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < rows; j++) to[i * COLS + j] = x[j * n + i];
}

static void turn_back (int64_t rows, int64_t n, const gan_real *x, gan_real *to) {
  for (int64_t j = 0; j < rows; j++)
    for (int64_t i = 0; i < n; i++) to[j * n + i] = x[i * COLS + j];
}

typedef void map_fn(int64_t cols, int64_t n, int64_t inner, const gan_real *x, gan_real *y);
typedef void grad_fn(int64_t cols, int64_t n, int64_t inner, const gan_real *y, const gan_real *gy,
                     gan_real *gx);

static inline int64_t group (int64_t left) {
  return left < COLS ? left : COLS;
}

static void turned_map (map_fn *f, int64_t rows, int64_t n, const gan_real *x, gan_real *y) {
  gan_real a[SHORT * COLS], b[SHORT * COLS];
  for (int64_t r = 0; r < rows; r += COLS) {
    int64_t m = group(rows - r);
    turn(m, n, x + r * n, a);
    f(m, n, COLS, a, b);
    turn_back(m, n, b, y + r * n);
  }
}

static void turned_grad (grad_fn *f, int64_t rows, int64_t n, const gan_real *y, const gan_real *gy,
                         gan_real *gx) {
  gan_real a[SHORT * COLS], b[SHORT * COLS], r[SHORT * COLS];
  for (int64_t i = 0; i < rows; i += COLS) {
    int64_t m = group(rows - i);
    turn(m, n, y + i * n, a);
    turn(m, n, gy + i * n, b);
    f(m, n, COLS, a, b, r);
    turn_back(m, n, r, gx + i * n);
  }
}

/* ---- long rows ---------------------------------------------------------------------------- */

#define PIECE 256 /* elements whose exponentials are summed at a time */

static gan_real row_max (int64_t n, const gan_real *x) {
  gan_real top[GAN_LANES];
  int64_t i = 0;
  for (int k = 0; k < GAN_LANES; k++) top[k] = x[0];
  for (; i + GAN_LANES <= n; i += GAN_LANES)
    for (int k = 0; k < GAN_LANES; k++) top[k] = x[i + k] > top[k] ? x[i + k] : top[k];
  gan_real m = top[0];
  for (int k = 1; k < GAN_LANES; k++) m = top[k] > m ? top[k] : m;
  for (; i < n; i++) m = x[i] > m ? x[i] : m;
  return m;
}

static double row_sum (int64_t n, const gan_real *x) {
  gan_vec a = { 0 }, b = { 0 };
  int64_t i = 0;
  for (; i + 2 * GAN_LANES <= n; i += 2 * GAN_LANES) {
    a += gan_load(x + i);
    b += gan_load(x + i + GAN_LANES);
  }
  a += b;
  double s = 0;
  for (int k = 0; k < GAN_LANES; k++) s += a[k];
  for (; i < n; i++) s += x[i];
  return s;
}

/* sum of exp(x - top); the exponentials go to y unless it is NULL */
static double row_exps (int64_t n, const gan_real *x, gan_real top, gan_real *y) {
  gan_real t[PIECE];
  double sum = 0;
  for (int64_t i = 0; i < n; i += PIECE) {
    int64_t m = n - i < PIECE ? n - i : PIECE;
    gan_real *e = y ? y + i : t;
    for (int64_t k = 0; k < m; k++) e[k] = vm_exp(x[i + k] - top);
    sum += row_sum(m, e);
  }
  return sum;
}

/* ---- rows --------------------------------------------------------------------------------- */

static void rows_ (int64_t rows, int64_t n, const gan_real *x, gan_real *y) {
  if (n <= SHORT) {
    turned_map(cols_, rows, n, x, y);
    return;
  }
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    gan_real k = (gan_real)(1 / row_exps(n, x, row_max(n, x), y));
    for (int64_t i = 0; i < n; i++) y[i] *= k;
  }
}

static void log_rows (int64_t rows, int64_t n, const gan_real *x, gan_real *y) {
  if (n <= SHORT) {
    turned_map(log_cols, rows, n, x, y);
    return;
  }
  for (int64_t r = 0; r < rows; r++, x += n, y += n) {
    gan_real top = row_max(n, x), l = (gan_real)log(row_exps(n, x, top, NULL));
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - top) - l;
  }
}

static void grad_rows (int64_t rows, int64_t n, const gan_real *y, const gan_real *gy,
                       gan_real *gx) {
  if (n <= SHORT) {
    turned_grad(grad_cols, rows, n, y, gy, gx);
    return;
  }
  for (int64_t r = 0; r < rows; r++, y += n, gy += n, gx += n) {
    for (int64_t i = 0; i < n; i++) gx[i] = gy[i] * y[i];
    gan_real s = (gan_real)row_sum(n, gx);
    for (int64_t i = 0; i < n; i++) gx[i] = y[i] * (gy[i] - s);
  }
}

static void log_grad_rows (int64_t rows, int64_t n, const gan_real *y, const gan_real *gy,
                           gan_real *gx) {
  if (n <= SHORT) {
    turned_grad(log_grad_cols, rows, n, y, gy, gx);
    return;
  }
  for (int64_t r = 0; r < rows; r++, y += n, gy += n, gx += n) {
    gan_real s = (gan_real)row_sum(n, gy);
    for (int64_t i = 0; i < n; i++) gx[i] = gy[i] - vm_exp(y[i]) * s;
  }
}

static void logsumexp_rows (int64_t rows, int64_t n, const gan_real *x, gan_real *lse) {
  gan_real a[SHORT * COLS], top[COLS], sum[COLS];
  if (n > SHORT) {
    for (int64_t r = 0; r < rows; r++, x += n) {
      gan_real m = row_max(n, x);
      lse[r] = m + (gan_real)log(row_exps(n, x, m, NULL));
    }
    return;
  }
  for (int64_t r = 0; r < rows; r += COLS) {
    int64_t m = group(rows - r);
    turn(m, n, x + r * n, a);
    column_sums(m, n, COLS, a, NULL, 0, top, sum);
    for (int64_t j = 0; j < m; j++) lse[r + j] = top[j] + vm_log(sum[j]);
  }
}

const gan_softmax_table GAN_TABLE(gan_softmax) = {
  rows_, log_rows, grad_rows, log_grad_rows, cols_, log_cols, grad_cols, log_grad_cols,
  logsumexp_rows
};
