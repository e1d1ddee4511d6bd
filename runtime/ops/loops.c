/*
** loops.c - planning and running of elementwise loops.
*/
#include <string.h>

#include "loops.h"

/* ---- planning ----------------------------------------------------------------------------- */

/* Stride of an operand along dimension d of a result with ndim dimensions; 0 if it broadcasts. */
static int64_t stride_of (const gan_tensor *t, int ndim, int d) {
  int k = d - (ndim - t->ndim);
  return k < 0 || t->shape[k] == 1 ? 0 : t->stride[k];
}

/* The result's dimensions by descending stride, without those of size 1; returns their number. */
static int order_of (const gan_tensor *y, int *order) {
  int n = 0;
  for (int d = 0; d < y->ndim; d++) {
    if (y->shape[d] == 1) continue;
    int k = n++;
    for (; k > 0 && y->stride[order[k - 1]] < y->stride[d]; k--) order[k] = order[k - 1];
    order[k] = d;
  }
  return n;
}

/* True when dimension m of the plan, of this size, continues the one before for every operand. */
static bool continues (const gan_loop *l, int m, int64_t size, const int64_t *stride) {
  for (int k = 0; k < l->nop; k++)
    if (l->stride[k][m - 1] != stride[k] * size) return false;
  return true;
}

void gan_loop_plan (gan_loop *l, int n, gan_tensor *const *t) {
  const gan_tensor *y = t[0];
  int order[GAN_MAXDIM], dims = order_of(y, order), m = 0;
  l->nop = n;
  l->numel = y->numel;
  for (int k = 0; k < n; k++) {
    l->data[k] = t[k]->data;
    l->dtype[k] = t[k]->dtype;
    l->item[k] = (int64_t)gan_dtype_size((gan_dtype)t[k]->dtype);
  }
  for (int i = 0; i < dims; i++) {
    int64_t size = y->shape[order[i]], stride[GAN_LOOP_MAX];
    for (int k = 0; k < n; k++) stride[k] = stride_of(t[k], y->ndim, order[i]);
    bool merge = m && continues(l, m, size, stride);
    if (merge) m--;
    l->shape[m] = merge ? l->shape[m] * size : size;
    for (int k = 0; k < n; k++) l->stride[k][m] = stride[k];
    m++;
  }
  if (m == 0) { /* one element */
    l->shape[0] = 1;
    for (int k = 0; k < n; k++) l->stride[k][0] = 1;
    m = 1;
  }
  l->ndim = m;
}

/* ---- running ------------------------------------------------------------------------------ */

typedef struct {
  const gan_loop *l;
  gan_row_fn *fn;
  void *ud;
} row_job;

/* elements lo..hi-1 in the plan's order */
static void run_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const row_job *j = ud;
  const gan_loop *l = j->l;
  int last = l->ndim - 1;
  int64_t at[GAN_MAXDIM], step[GAN_LOOP_MAX], k = lo;
  char *p[GAN_LOOP_MAX];
  (void)worker;
  for (int d = last; d >= 0; d--) {
    at[d] = k % l->shape[d];
    k /= l->shape[d];
  }
  for (int i = 0; i < l->nop; i++) {
    p[i] = l->data[i];
    step[i] = l->stride[i][last];
    for (int d = 0; d <= last; d++) p[i] += at[d] * l->stride[i][d] * l->item[i];
  }
  for (;;) {
    int64_t n = l->shape[last] - at[last];
    if (n > hi - lo) n = hi - lo;
    j->fn(j->ud, n, p, step);
    lo += n;
    if (lo >= hi) return;
    for (int i = 0; i < l->nop; i++) p[i] -= at[last] * step[i] * l->item[i];
    at[last] = 0;
    for (int d = last - 1; d >= 0; d--) {
      bool carry = ++at[d] == l->shape[d];
      int64_t move = carry ? 1 - at[d] : 1;
      for (int i = 0; i < l->nop; i++) p[i] += move * l->stride[i][d] * l->item[i];
      if (!carry) break;
      at[d] = 0;
    }
  }
}

void gan_loop_run (const gan_loop *l, int64_t grain, gan_row_fn *fn, void *ud) {
  row_job j = { l, fn, ud };
  if (l->numel <= 0) return;
  if (l->numel <= grain) run_range(&j, 0, l->numel, 0);
  else gan_parallel(l->numel, grain, run_range, &j);
}

/* ---- rows of numbers ---------------------------------------------------------------------- */

#define PIECE 512 /* elements of an operand that are copied at a time */
#define SHORT 128 /* rows up to this length are handled several at a time */

typedef struct {
  const gan_loop *l;
  gan_real_row_fn *fn;
  void *ud;
} real_job;

/* n elements as numbers side by side */
static void fetch (gan_real *buf, const char *p, int64_t n, int64_t step, int dtype) {
  if (dtype == GAN_REAL)
    for (int64_t i = 0; i < n; i++) buf[i] = ((const gan_real *)p)[i * step];
  else if (dtype == GAN_UINT8)
    for (int64_t i = 0; i < n; i++) buf[i] = ((const uint8_t *)p)[i * step];
  else
    for (int64_t i = 0; i < n; i++) buf[i] = (gan_real)((const int64_t *)p)[i * step];
}

static void store (char *p, const gan_real *buf, int64_t n, int64_t step) {
  for (int64_t i = 0; i < n; i++) ((gan_real *)p)[i * step] = buf[i];
}

static bool direct (const gan_loop *l, int k, int64_t step) {
  return l->dtype[k] == GAN_REAL && (step == 1 || (step == 0 && k > 0));
}

/* One row, in pieces where an operand needs the buffer. */
static void real_row (void *ud, int64_t n, char *const *at, const int64_t *step) {
  const real_job *j = ud;
  const gan_loop *l = j->l;
  int nop = l->nop;
  gan_real buf[GAN_LOOP_MAX][PIECE], *p[GAN_LOOP_MAX];
  int64_t s[GAN_LOOP_MAX], len = n;
  bool copied[GAN_LOOP_MAX];
  for (int k = 0; k < nop; k++) {
    copied[k] = !direct(l, k, step[k]);
    s[k] = step[k] != 0 || k == 0;
    if (copied[k] && len > PIECE) len = PIECE;
  }
  for (int64_t lo = 0; lo < n; lo += len) {
    int64_t m = n - lo < len ? n - lo : len;
    for (int k = 0; k < nop; k++) {
      p[k] = copied[k] ? buf[k] : (gan_real *)at[k] + lo * s[k];
      if (k > 0 && copied[k] && (s[k] || lo == 0))
        fetch(buf[k], at[k] + lo * step[k] * l->item[k], s[k] ? m : 1, step[k], l->dtype[k]);
    }
    j->fn(j->ud, m, p, s);
    if (copied[0]) store(at[0] + lo * step[0] * l->item[0], buf[0], m, step[0]);
  }
}

/* Operand k's part of a block of rows: as it lies when the rows follow each other in memory, else
   through its buffer. `held` is what the buffer has: a row that repeats is fetched once. */
static gan_real *block_operand (const gan_loop *l, int k, char *p, int64_t rows, gan_real *buf,
                                const char **held, int64_t *held_rows) {
  int last = l->ndim - 1;
  int64_t n = l->shape[last], step = l->stride[k][last], hop = l->stride[k][last - 1];
  if (l->dtype[k] == GAN_REAL && step == 1 && (hop == n || rows == 1)) return (gan_real *)p;
  if (k == 0) return buf;
  if (step == 0 && hop == 0) {
    fetch(buf, p, 1, 1, l->dtype[k]);
    return buf;
  }
  if (hop != 0 || *held != p || *held_rows < rows)
    for (int64_t i = 0; i < rows; i++)
      fetch(buf + i * n, p + i * hop * l->item[k], n, step, l->dtype[k]);
  *held = p;
  *held_rows = rows;
  return buf;
}

/* rows lo..hi-1, each short, as many at a time as the buffers hold; at least two dimensions */
static void run_blocks (void *ud, int64_t lo, int64_t hi, int worker) {
  const real_job *j = ud;
  const gan_loop *l = j->l;
  int last = l->ndim - 1, r = last - 1;
  int64_t n = l->shape[last], at[GAN_MAXDIM], step[GAN_LOOP_MAX], held_rows[GAN_LOOP_MAX] = { 0 };
  const char *held[GAN_LOOP_MAX] = { NULL };
  gan_real buf[GAN_LOOP_MAX][PIECE], *p[GAN_LOOP_MAX];
  (void)worker;
  for (int64_t d = r, k = lo; d >= 0; d--) {
    at[d] = k % l->shape[d];
    k /= l->shape[d];
  }
  for (int k = 0; k < l->nop; k++) step[k] = k == 0 || l->stride[k][last] || l->stride[k][r];
  while (lo < hi) {
    int64_t rows = PIECE / n;
    if (rows > l->shape[r] - at[r]) rows = l->shape[r] - at[r];
    if (rows > hi - lo) rows = hi - lo;
    char *y = NULL;
    for (int k = l->nop - 1; k >= 0; k--) {
      char *q = l->data[k];
      for (int d = 0; d <= r; d++) q += at[d] * l->stride[k][d] * l->item[k];
      p[k] = block_operand(l, k, q, rows, buf[k], &held[k], &held_rows[k]);
      y = q;
    }
    j->fn(j->ud, rows * n, p, step);
    if (p[0] == buf[0])
      for (int64_t i = 0; i < rows; i++)
        store(y + i * l->stride[0][r] * l->item[0], buf[0] + i * n, n, l->stride[0][last]);
    lo += rows;
    at[r] += rows;
    for (int d = r; d > 0 && at[d] == l->shape[d]; d--) {
      at[d] = 0;
      at[d - 1]++;
    }
  }
}

void gan_loop_reals (const gan_loop *l, int64_t grain, gan_real_row_fn *fn, void *ud) {
  real_job j = { l, fn, ud };
  int64_t n = l->shape[l->ndim - 1];
  if (l->numel <= 0) return;
  if (l->ndim == 1 || n > SHORT) gan_loop_run(l, grain, real_row, &j);
  else if (l->numel <= grain) run_blocks(&j, 0, l->numel / n, 0);
  else gan_parallel(l->numel / n, (grain + n - 1) / n, run_blocks, &j);
}

/* ---- results ------------------------------------------------------------------------------ */

bool gan_loop_shape (gan_ctx *c, int n, gan_tensor *const *t, int *ndim, int64_t *shape) {
  gan_tensor so_far = *t[0]; /* only its shape is read */
  for (int k = 1; k < n; k++) {
    int dims;
    int64_t size[GAN_MAXDIM];
    if (!gan_broadcast(c, &so_far, t[k], &dims, size)) return false;
    so_far.ndim = (uint8_t)dims;
    memcpy(so_far.shape, size, (size_t)dims * sizeof *size);
  }
  *ndim = so_far.ndim;
  memcpy(shape, so_far.shape, so_far.ndim * sizeof *shape);
  return true;
}

static bool has_shape (const gan_tensor *t, int ndim, const int64_t *shape) {
  return t->ndim == ndim && !memcmp(t->shape, shape, (size_t)ndim * sizeof *shape);
}

gan_tensor *gan_loop_result (gan_ctx *c, int n, gan_tensor *const *t) {
  int ndim;
  int64_t shape[GAN_MAXDIM];
  if (!gan_loop_shape(c, n, t, &ndim, shape)) return NULL;
  for (int k = 0; k < n; k++)
    if (has_shape(t[k], ndim, shape) && gan_is_dense(t[k])) return gan_new_like(c, t[k], GAN_REAL);
  return gan_new(c, GAN_REAL, ndim, shape);
}

/* One past the last byte that x reaches. */
static const char *end_of (const gan_tensor *x) {
  int64_t last = 0;
  for (int d = 0; d < x->ndim; d++) last += (x->shape[d] - 1) * x->stride[d];
  return (const char *)x->data + (last + 1) * (int64_t)gan_dtype_size((gan_dtype)x->dtype);
}

bool gan_loop_overlaps (const gan_tensor *x, const gan_tensor *y) {
  if (x->st != y->st || x->numel == 0 || y->numel == 0) return false;
  if (x->data == y->data && gan_same_layout(x, y)) return false; /* each element is its own */
  return (const char *)x->data < end_of(y) && (const char *)y->data < end_of(x);
}
