/*
** reduce_plan.c - see reduce_plan.h.
*/
#include "reduce_plan.h"

#include <math.h>
#include <string.h>

#include "view.h"

#define ROW_RUN 65536  /* elements of a row that one unit of work reduces */
#define UNIT_MIN 16384 /* elements that are worth a thread */

/* ---- plans -------------------------------------------------------------------------------- */

static void plan_output (gan_reduce_plan *p, const bool *mask, bool keepdim, const int *order,
                         int n) {
  int64_t stride[GAN_MAXDIM], s = 1;
  const gan_tensor *x = p->x;
  for (int d = 0; d < x->ndim; d++) stride[d] = 1;
  for (int k = n - 1; k >= 0; k--) {
    int d = order[k];
    if (mask[d]) continue;
    stride[d] = s;
    s *= x->shape[d];
  }
  p->out_ndim = 0;
  for (int d = 0; d < x->ndim; d++) {
    if (mask[d] && !keepdim) continue;
    p->out_shape[p->out_ndim] = mask[d] ? 1 : x->shape[d];
    p->out_stride[p->out_ndim++] = mask[d] ? 1 : stride[d];
  }
}

/* Dimensions of size > 1 by descending stride. */
static int order_dims (const gan_tensor *x, int *order) {
  int n = 0;
  for (int d = 0; d < x->ndim; d++) {
    if (x->shape[d] == 1) continue;
    int k = n++;
    for (; k > 0 && x->stride[order[k - 1]] < x->stride[d]; k--) order[k] = order[k - 1];
    order[k] = d;
  }
  return n;
}

/* A view of x in which expanded dimensions that are to be reduced have size 1. */
static gan_tensor *fold_expanded (gan_ctx *c, gan_tensor *x, const bool *mask, int64_t *times) {
  int64_t shape[GAN_MAXDIM];
  bool found = false;
  for (int d = 0; d < x->ndim; d++) {
    bool fold = mask[d] && x->stride[d] == 0 && x->shape[d] > 1;
    shape[d] = fold ? 1 : x->shape[d];
    if (fold) *times *= x->shape[d];
    found |= fold;
  }
  return found ? gan_view(c, x, x->ndim, shape, x->stride, 0) : x;
}

static void plan_groups (gan_reduce_plan *p, const bool *mask, const int *order, int n) {
  p->ngroups = p->nreduced = 0;
  for (int k = 0; k < n; k++) {
    bool red = mask[order[k]];
    int g = p->ngroups;
    if (g && p->reduced[g - 1] == red) {
      p->size[g - 1] *= p->x->shape[order[k]];
      continue;
    }
    p->size[g] = p->x->shape[order[k]];
    p->reduced[g] = red;
    p->nreduced += red;
    p->ngroups++;
  }
  if (p->nreduced) return;
  int64_t kept = p->ngroups ? p->size[0] : 1; /* nothing to reduce: one row of everything */
  p->size[0] = 1;
  p->reduced[0] = true;
  p->size[1] = kept;
  p->reduced[1] = false;
  p->ngroups = 2;
  p->nreduced = 1;
}

bool gan_plan (gan_ctx *c, gan_tensor *x, const bool *mask, bool keepdim, bool sums,
               gan_reduce_plan *p) {
  int order[GAN_MAXDIM];
  p->count = 1;
  p->repeated = 1;
  for (int d = 0; d < x->ndim; d++)
    if (mask[d]) p->count *= x->shape[d];
  if (sums && x->numel) x = fold_expanded(c, x, mask, &p->repeated);
  if (x && !gan_is_dense(x)) x = gan_dense(c, x);
  if (!(p->x = x)) return false;
  int n = order_dims(x, order);
  plan_output(p, mask, keepdim, order, n);
  plan_groups(p, mask, order, n);
  return true;
}

bool gan_plan_rows (gan_ctx *c, const bool *mask, gan_reduce_plan *p) {
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM], outer = 1;
  int n = 0;
  if (p->nreduced == 1) return true;
  for (int pass = 0; pass < 2; pass++)
    for (int d = 0; d < p->x->ndim; d++) {
      if (mask[d] != (pass == 1)) continue;
      shape[n] = p->x->shape[d];
      stride[n++] = p->x->stride[d];
      if (!mask[d]) outer *= p->x->shape[d];
    }
  gan_tensor *v = gan_view(c, p->x, n, shape, stride, 0);
  if (!(p->x = gan_dense(c, v))) return false;
  gan_row_major(p->out_ndim, p->out_shape, p->out_stride);
  p->ngroups = 2;
  p->nreduced = 1;
  p->size[0] = outer;
  p->reduced[0] = false;
  p->size[1] = p->count;
  p->reduced[1] = true;
  return true;
}

gan_tensor *gan_plan_result (gan_ctx *c, const gan_reduce_plan *p, gan_dtype dtype) {
  gan_tensor *y = gan_new(c, dtype, p->out_ndim, p->out_shape);
  for (int d = 0; y && d < p->out_ndim; d++)
    if (p->out_shape[d] != 1 && y->numel) y->stride[d] = p->out_stride[d];
  return y;
}

void gan_plan_split (const gan_reduce_plan *p, int64_t *outer, int64_t *n, int64_t *inner) {
  *outer = *n = *inner = 1;
  for (int g = 0, seen = 0; g < p->ngroups; g++) {
    if (p->reduced[g]) seen = 1;
    *(p->reduced[g] ? n : seen ? inner : outer) *= p->size[g];
  }
}

/* ---- one pass ----------------------------------------------------------------------------- */

typedef struct {
  const gan_reduce_table *kernels;
  gan_reduce_kind kind;
  const gan_real *x, *centre;
  gan_real *y;
  double *part; /* results of parts of rows: outer x parts x inner; NULL when a row is one part */
  double div;
  int64_t outer, n, inner;
  int64_t run, parts;    /* rows of a part, parts of n */
  int64_t width, blocks; /* columns of a block, blocks of inner */
} pass;

static void pass_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const pass *j = ud;
  gan_reduce_row_fn *row = j->kernels->row[j->kind];
  (void)worker;
  for (int64_t u = lo; u < hi && !j->part; u++) {
    double v = row(j->n, j->x + u * j->n, j->centre ? j->centre[u] : 0);
    j->y[u] = (gan_real)(v / j->div);
  }
  for (int64_t u = lo; u < hi && j->part; u++) {
    int64_t o = u / j->parts, at = u % j->parts * j->run;
    int64_t n = j->n - at < j->run ? j->n - at : j->run;
    j->part[u] = row(n, j->x + o * j->n + at, j->centre ? j->centre[o] : 0);
  }
}

static void pass_cols (void *ud, int64_t lo, int64_t hi, int worker) {
  const pass *j = ud;
  gan_reduce_col_fn *col = j->kernels->col[j->kind];
  double acc[GAN_REDUCE_COLS];
  (void)worker;
  for (int64_t u = lo; u < hi; u++) {
    int64_t b = u % j->blocks, s = u / j->blocks % j->parts, o = u / j->blocks / j->parts;
    int64_t at = s * j->run, k = b * j->width;
    int64_t rows = j->n - at < j->run ? j->n - at : j->run;
    int64_t cols = j->inner - k < j->width ? j->inner - k : j->width;
    col(rows, cols, j->inner, j->x + (o * j->n + at) * j->inner + k,
        j->centre ? j->centre + o * j->inner + k : NULL, acc);
    if (j->part) {
      memcpy(j->part + (o * j->parts + s) * j->inner + k, acc, (size_t)cols * sizeof *acc);
      continue;
    }
    gan_real *y = j->y + o * j->inner + k;
    for (int64_t i = 0; i < cols; i++) y[i] = (gan_real)(acc[i] / j->div);
  }
}

static double combine (gan_reduce_kind kind, double a, double b) {
  switch (kind) {
    case GAN_REDUCE_PROD: return a * b;
    case GAN_REDUCE_MAX: return b > a || b != b ? b : a;
    case GAN_REDUCE_MIN: return b < a || b != b ? b : a;
    default: return a + b;
  }
}

static void pass_finish (void *ud, int64_t lo, int64_t hi, int worker) {
  const pass *j = ud;
  (void)worker;
  for (int64_t i = lo; i < hi; i++) {
    const double *p = j->part + i / j->inner * j->parts * j->inner + i % j->inner;
    double v = p[0];
    for (int64_t s = 1; s < j->parts; s++) v = combine(j->kind, v, p[s * j->inner]);
    j->y[i] = (gan_real)(v / j->div);
  }
}

/* The cut into parts knows the sizes only: results do not depend on the number of threads. */
static bool run_pass (gan_ctx *c, pass *j) {
  j->kernels = GAN_KERNEL(gan_reduce);
  if (j->inner == 1) {
    j->run = ROW_RUN;
    j->width = j->blocks = 1;
  }
  else {
    j->width = j->inner < GAN_REDUCE_COLS ? j->inner : GAN_REDUCE_COLS;
    j->blocks = (j->inner + j->width - 1) / j->width;
    j->run = ROW_RUN / j->width;
  }
  j->parts = (j->n + j->run - 1) / j->run;
  j->part = NULL;
  if (j->parts > 1) {
    int64_t size = j->outer * j->parts * j->inner;
    gan_tensor *t = gan_new(c, GAN_INT64, 1, &size); /* room for that many doubles */
    if (!t) return false;
    j->part = t->data;
  }
  int64_t unit = (j->n < j->run ? j->n : j->run) * j->width;
  gan_parallel(j->outer * j->parts * j->blocks, UNIT_MIN / unit + 1,
               j->inner == 1 ? pass_rows : pass_cols, j);
  if (j->part) gan_parallel(j->outer * j->inner, UNIT_MIN / j->parts + 1, pass_finish, j);
  return true;
}

/* ---- all passes --------------------------------------------------------------------------- */

/* Which group comes first: the last one, unless its rows are short. */
static int next_group (const gan_reduce_plan *p) {
  int first = -1, last = -1;
  for (int g = 0; g < p->ngroups; g++) {
    if (!p->reduced[g]) continue;
    if (first < 0) first = g;
    last = g;
  }
  return p->size[last] < 64 ? first : last;
}

static void drop_group (gan_reduce_plan *p, int g) {
  int to = g;
  p->nreduced--;
  for (int k = g + 1; k < p->ngroups; k++) {
    if (to && p->reduced[to - 1] == p->reduced[k]) {
      p->size[to - 1] *= p->size[k];
      continue;
    }
    p->size[to] = p->size[k];
    p->reduced[to++] = p->reduced[k];
  }
  p->ngroups = to;
}

static void fill (gan_tensor *y, double v) {
  for (int64_t i = 0; i < y->numel; i++) gan_reals(y)[i] = (gan_real)v;
}

/* The reduction of no elements: sums 0 (a mean 0/0), products 1. */
static double of_nothing (gan_reduce_kind kind, double div) {
  return (kind == GAN_REDUCE_PROD ? 1.0 : 0.0) / div;
}

gan_tensor *gan_reduce (gan_ctx *c, const gan_reduce_plan *plan, gan_reduce_kind kind, double div,
                        const gan_tensor *centre) {
  gan_reduce_plan p = *plan;
  gan_tensor *y = gan_plan_result(c, &p, GAN_REAL);
  if (!y || !y->numel) return y;
  if (p.count == 0) {
    fill(y, of_nothing(kind, div));
    return y;
  }
  gan_tensor *x = p.x;
  pass j = { .kind = kind, .centre = centre ? gan_reals(centre) : NULL };
  while (p.nreduced > 0) {
    int g = next_group(&p);
    bool last = p.nreduced == 1;
    j.outer = j.inner = 1;
    j.n = p.size[g];
    for (int k = 0; k < g; k++) j.outer *= p.size[k];
    for (int k = g + 1; k < p.ngroups; k++) j.inner *= p.size[k];
    int64_t size = j.outer * j.inner;
    gan_tensor *to = last ? y : gan_new(c, GAN_REAL, 1, &size);
    if (!to) return NULL;
    j.x = gan_reals(x);
    j.y = gan_reals(to);
    j.div = last ? div / (double)p.repeated : 1;
    if (!run_pass(c, &j)) return NULL;
    x = to;
    if (kind < GAN_REDUCE_PROD) j.kind = GAN_REDUCE_SUM; /* the terms are made in the first pass */
    drop_group(&p, g);
  }
  return y;
}
