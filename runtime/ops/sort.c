/*
** sort.c - sorting along a dimension, and its first k results.
**
** Sorting is stable; NaN counts as larger than every number, as in PyTorch.
*/
#include "index.h"

#include <string.h>

#include "view.h"

#define UNIT_MIN 4096 /* elements that are worth a thread */
#define RUN 16        /* sorted by insertion before runs are merged */
#define SHORT_LIST 32 /* up to this k a line's best are kept in a list instead of sorting it */

typedef struct {
  gan_real v;
  int64_t i;
} item;

typedef struct {
  const gan_real *x;
  gan_real *value; /* NULL: not wanted */
  int64_t *place;
  item *scratch; /* 2 n for each worker */
  int64_t n, k, inner;
  bool descending;
} sort_job;

/* True when b belongs strictly before a. */
static inline bool precedes (const item *b, const item *a, bool descending) {
  if (descending) return b->v > a->v || (b->v != b->v && a->v == a->v);
  return b->v < a->v || (a->v != a->v && b->v == b->v);
}

static void insert_sort (item *x, int64_t n, bool descending) {
  for (int64_t i = 1; i < n; i++) {
    item t = x[i];
    int64_t k = i;
    for (; k > 0 && precedes(&t, &x[k - 1], descending); k--) x[k] = x[k - 1];
    x[k] = t;
  }
}

static void merge (const item *a, int64_t na, const item *b, int64_t nb, bool descending,
                   item *to) {
  while (na > 0 && nb > 0) {
    if (precedes(b, a, descending)) {
      *to++ = *b++;
      nb--;
    }
    else {
      *to++ = *a++;
      na--;
    }
  }
  memcpy(to, na > 0 ? a : b, (size_t)(na > 0 ? na : nb) * sizeof *to);
}

/* Sorts x[0 .. n) with room for n more; returns where the result lies. */
static item *merge_sort (item *x, item *room, int64_t n, bool descending) {
  for (int64_t i = 0; i < n; i += RUN) insert_sort(x + i, n - i < RUN ? n - i : RUN, descending);
  for (int64_t run = RUN; run < n; run *= 2) {
    for (int64_t i = 0; i < n; i += 2 * run) {
      int64_t na = n - i < run ? n - i : run, nb = n - i - na < run ? n - i - na : run;
      merge(x + i, na, x + i + na, nb, descending, room + i);
    }
    item *t = x;
    x = room;
    room = t;
  }
  return x;
}

/* The k first of a line in order. */
static void best_of (const sort_job *j, const gan_real *x, item *list) {
  int64_t have = 0;
  for (int64_t i = 0; i < j->n; i++) {
    item t = { x[i * j->inner], i };
    if (have == j->k && !precedes(&t, &list[have - 1], j->descending)) continue;
    if (have < j->k) have++;
    int64_t m = have - 1;
    for (; m > 0 && precedes(&t, &list[m - 1], j->descending); m--) list[m] = list[m - 1];
    list[m] = t;
  }
}

static void sort_lines (void *ud, int64_t lo, int64_t hi, int worker) {
  const sort_job *j = ud;
  item *line = j->scratch + 2 * j->n * worker;
  for (int64_t u = lo; u < hi; u++) {
    int64_t o = u / j->inner, r = u % j->inner;
    const gan_real *x = j->x + o * j->n * j->inner + r;
    const item *best = line;
    if (j->k <= SHORT_LIST && j->k < j->n) best_of(j, x, line);
    else {
      for (int64_t i = 0; i < j->n; i++) line[i] = (item){ x[i * j->inner], i };
      best = merge_sort(line, line + j->n, j->n, j->descending);
    }
    for (int64_t i = 0; i < j->k; i++) {
      int64_t at = (o * j->k + i) * j->inner + r;
      if (j->value) j->value[at] = best[i].v;
      j->place[at] = best[i].i + 1;
    }
  }
}

/* The first k (< 0: all) along dimension d, with their places. */
static void sort_dim (gan_ctx *c, gan_tensor *x, int64_t dim, int64_t k, bool descending,
                      gan_tensor **value, gan_tensor **place) {
  int d = gan_dim(c, x, dim);
  if (d < 0) return;
  int64_t n = x->ndim ? x->shape[d] : 1, shape[GAN_MAXDIM];
  GAN_NEED(c, k <= n, "k is %lld, dimension %d of x %s has %lld places", (long long)k, d + 1,
           gan_shape_of(c, x), (long long)n);
  GAN_NEED(c, x->ndim > 0 || k != 0, "k is 0, a tensor of 0 dimensions has one place to give");
  if (k < 0) k = n;
  for (int m = 0; m < x->ndim; m++) shape[m] = m == d ? k : x->shape[m];
  if (!(x = gan_dense(c, x))) return;
  if (!(*place = gan_new(c, GAN_INT64, x->ndim, shape))) return;
  if (value && !(*value = gan_new(c, GAN_REAL, x->ndim, shape))) return;
  if (!(*place)->numel) return;
  sort_job j = { .x = gan_reals(x), .value = value ? gan_reals(*value) : NULL,
                 .place = gan_ints(*place), .n = n, .k = k, .inner = 1,
                 .descending = descending };
  for (int m = d + 1; m < x->ndim; m++) j.inner *= x->shape[m];
  int64_t room[3] = { gan_threads(), 2 * n, (int64_t)(sizeof(item) / 8) };
  gan_tensor *scratch = gan_new(c, GAN_INT64, 3, room);
  if (!scratch) return;
  j.scratch = scratch->data;
  gan_parallel(x->numel / n, UNIT_MIN / n + 1, sort_lines, &j);
}

/* Of sort and topk: the chosen elements get their gradients, the others none. */
static void sort_back (gan_ctx *c, const gan_node *n, gan_tensor *gy, int64_t dim,
                       gan_tensor **gx) {
  gan_tensor *places = gan_saved_out(c, n, 1);
  if (gy && places) gx[0] = gan_scatter_back(c, n, 0, places, gy, dim);
}

static void sort (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  sort_dim(c, a[0].t, a[1].i, -1, a[2].i, &out[0], &out[1]);
}

static void sort_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  sort_back(c, n, gy[0], n->a[1].i, gx);
}

gan_op gan_op_sort = {
  .name = "sort",
  .sig = "x:tensor dim:dim=-1 ; descending:bool=false -> values indices~",
  .forward = sort,
  .vjp = sort_vjp,
  .save = "indices",
  .doc = "Elements in order along a dimension (default: the last) and their places (from 1).\n"
         "Stable: equals keep their order. NaN counts as the largest.",
  .example = "gan.tensor{3, 1, 2}:sort()",
};

static void argsort (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  sort_dim(c, a[0].t, a[1].i, -1, a[2].i, NULL, &out[0]);
}

gan_op gan_op_argsort = {
  .name = "argsort",
  .sig = "x:tensor dim:dim=-1 ; descending:bool=false -> indices~",
  .forward = argsort,
  .doc = "The places (from 1) that bring a dimension (default: the last) into order. Stable.",
  .example = "gan.tensor{3, 1, 2}:argsort()",
};

static void topk (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  GAN_NEED(c, a[1].i >= 0, "k must not be negative, got %lld", (long long)a[1].i);
  sort_dim(c, a[0].t, a[2].i, a[1].i, a[3].i, &out[0], &out[1]);
}

static void topk_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  sort_back(c, n, gy[0], n->a[2].i, gx);
}

gan_op gan_op_topk = {
  .name = "topk",
  .sig = "x:tensor k:int dim:dim=-1 ; largest:bool=true -> values indices~",
  .forward = topk,
  .vjp = topk_vjp,
  .save = "indices",
  .doc = "The k largest (or smallest) elements along a dimension (default: the last), in order,\n"
         "and their places (from 1). Of equals the first comes first. NaN counts as the largest.",
  .example = "gan.tensor{3, 1, 2}:topk(2)",
};
