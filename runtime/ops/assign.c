/*
** assign.c - the cheapest assignment of rows to columns.
**
** Shortest augmenting paths with potentials (Jonker and Volgenant 1987): exact, O(n^2 m), in double
** precision.
*/
#include <math.h>

#include "../core/op.h"

gan_op gan_op_assignment;

typedef struct {
  int64_t n, m;          /* rows, columns; column m is where a path begins */
  const gan_real *cost;  /* (n, m) */
  double *row, *column;  /* potentials: row[i] + column[j] <= cost of (i, j) */
  double *least;         /* shortest reduced path to each column */
  int64_t *owner;        /* the row that has each column; -1: none */
  int64_t *before;       /* the column before each one on its path */
  int64_t *done;         /* columns whose path is final */
} matching;

/* Goes on from column j: shortens the paths over its owner. Returns the nearest column that is not
   final, and its distance. */
static int64_t advance (matching *t, int64_t j, double *distance) {
  int64_t i = t->owner[j], next = -1;
  const gan_real *cost = t->cost + i * t->m;
  double nearest = INFINITY, shift = t->row[i];
  for (int64_t k = 0; k < t->m; k++) {
    if (t->done[k]) continue;
    double reduced = (double)cost[k] - shift - t->column[k];
    if (reduced < t->least[k]) {
      t->least[k] = reduced;
      t->before[k] = j;
    }
    if (t->least[k] < nearest) {
      nearest = t->least[k];
      next = k;
    }
  }
  *distance = nearest;
  return next;
}

/* Gives row i a column; others may move to another one. */
static void add_row (matching *t, int64_t i) {
  int64_t j = t->m;
  for (int64_t k = 0; k <= t->m; k++) {
    t->least[k] = INFINITY;
    t->done[k] = 0;
  }
  t->owner[j] = i;
  do {
    double distance;
    t->done[j] = 1;
    int64_t next = advance(t, j, &distance);
    for (int64_t k = 0; k <= t->m; k++) {
      if (t->done[k]) {
        t->row[t->owner[k]] += distance;
        t->column[k] -= distance;
      }
      else t->least[k] -= distance;
    }
    j = next;
  } while (t->owner[j] >= 0);
  while (j != t->m) {
    t->owner[j] = t->owner[t->before[j]];
    j = t->before[j];
  }
}

static bool all_finite (int64_t n, const gan_real *x) {
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(x[i])) return false;
  return true;
}

static void assignment (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  GAN_NEED(c, x->ndim == 2, "needs a matrix of costs, got %s", gan_shape_of(c, x));
  int64_t n = x->shape[0], m = x->shape[1], room[2] = { 6, (n > m ? n : m) + 1 };
  GAN_NEED(c, n <= m, "%lld rows need as many columns at least, got %s", (long long)n,
           gan_shape_of(c, x));
  if (!(x = gan_dense(c, x))) return;
  GAN_NEED(c, all_finite(x->numel, gan_reals(x)), "every cost must be finite");
  if (!(out[0] = gan_new(c, GAN_INT64, 1, &n))) return;
  gan_tensor *scratch = gan_new_zero(c, GAN_INT64, 2, room);
  if (!scratch) return;
  int64_t *w = gan_ints(scratch), len = room[1];
  double *real = scratch->data;
  matching t = { .n = n, .m = m, .cost = gan_reals(x), .row = real, .column = real + len,
                 .least = real + 2 * len, .owner = w + 3 * len, .before = w + 4 * len,
                 .done = w + 5 * len };
  for (int64_t j = 0; j < m; j++) t.owner[j] = -1;
  for (int64_t i = 0; i < n; i++) add_row(&t, i);
  for (int64_t j = 0; j < m; j++)
    if (t.owner[j] >= 0) gan_ints(out[0])[t.owner[j]] = j + 1;
}

gan_op gan_op_assignment = {
  .name = "assignment",
  .sig = "cost:tensor -> columns~",
  .forward = assignment,
  .doc = "The cheapest choice of a different column for every row.\n"
         "cost (n, m), n <= m, gives the columns (n), int64 from 1, for which the sum of\n"
         "cost[i][columns[i]] is least. Exact, O(n^2 m). Error when a cost is not finite.",
  .example = "gan.tensor({{4, 1}, {2, 0}}):assignment()",
};
