/*
** index.c - elements chosen by the values of an index tensor: index_select, gather, scatter,
** one_hot, embedding, masked_select.
**
** Index values count from 1 (negative ones from the end); they are checked and turned into 0-based
** places before anything is written. Each target is written by one thread, in the order of the
** index, so that results are the same for any number of threads.
*/
#include "index.h"

#include <string.h>

#include "shape.h"
#include "view.h"

#define UNIT_MIN 16384 /* elements that are worth a thread */

/* ---- places ------------------------------------------------------------------------------- */

gan_tensor *gan_places (gan_ctx *c, const char *name, gan_tensor *idx, int64_t size) {
  idx = gan_dense(c, idx);
  gan_tensor *y = idx ? gan_new(c, GAN_INT64, 1, &idx->numel) : NULL;
  if (!y) return NULL;
  const int64_t *v = gan_ints(idx);
  int64_t *p = gan_ints(y);
  for (int64_t i = 0; i < idx->numel; i++) {
    p[i] = v[i] < 0 ? v[i] + size : v[i] - 1;
    if (p[i] < 0 || p[i] >= size)
      return gan_fail(c, GAN_EARG, "%s holds %lld at position %lld, outside 1 .. %lld%s", name,
                      (long long)v[i], (long long)i + 1, (long long)size,
                      v[i] == 0 ? " (places start at 1)" : "");
  }
  return y;
}

/* Sizes before and behind dimension d. */
static void split_at (int ndim, const int64_t *shape, int d, int64_t *outer, int64_t *inner) {
  *outer = *inner = 1;
  for (int k = 0; k < d; k++) *outer *= shape[k];
  for (int k = d + 1; k < ndim; k++) *inner *= shape[k];
}

/* ---- whole slices: take, add -------------------------------------------------------------- */

typedef struct {
  const char *x;
  char *y;
  const int64_t *map;
  int64_t size, n, inner; /* of x's dimension, of y's; elements behind them */
  size_t item;
} take_job;

#define TAKE_ONES(T)                                                                  \
  for (; lo < hi && i < j->n; lo++, i++)                                              \
    ((T *)j->y)[o * j->n + i] = ((const T *)j->x)[o * j->size + j->map[i]]

static void take_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const take_job *j = ud;
  size_t bytes = (size_t)j->inner * j->item;
  (void)worker;
  while (lo < hi) {
    int64_t o = lo / j->n, i = lo % j->n;
    if (j->inner > 1)
      for (; lo < hi && i < j->n; lo++, i++)
        memcpy(j->y + (size_t)(o * j->n + i) * bytes,
               j->x + (size_t)(o * j->size + j->map[i]) * bytes, bytes);
    else if (j->item == 1) TAKE_ONES(uint8_t);
    else if (j->item == 4) TAKE_ONES(uint32_t);
    else TAKE_ONES(uint64_t);
  }
}

gan_tensor *gan_take (gan_ctx *c, gan_tensor *x, int d, int64_t n, const int64_t *map) {
  int64_t shape[GAN_MAXDIM], outer;
  if (!(x = gan_dense(c, x))) return NULL;
  for (int k = 0; k < x->ndim; k++) shape[k] = k == d ? n : x->shape[k];
  gan_tensor *y = gan_new(c, x->dtype, x->ndim, shape);
  if (!y || !y->numel) return y;
  take_job j = { .x = x->data, .y = y->data, .map = map, .size = x->shape[d], .n = n,
                 .item = gan_dtype_size(x->dtype) };
  split_at(x->ndim, x->shape, d, &outer, &j.inner);
  gan_parallel(outer * n, UNIT_MIN / j.inner + 1, take_rows, &j);
  return y;
}

typedef struct {
  gan_real *y;
  const gan_real *x;
  const int64_t *map;
  int64_t size, n, inner;
} add_job;

/* lo..hi: columns (outer, inner), each of which belongs to one thread */
static void add_columns (void *ud, int64_t lo, int64_t hi, int worker) {
  const add_job *j = ud;
  (void)worker;
  while (lo < hi) {
    int64_t o = lo / j->inner, k = lo % j->inner;
    int64_t cols = j->inner - k < hi - lo ? j->inner - k : hi - lo;
    for (int64_t i = 0; i < j->n; i++) {
      gan_real *y = j->y + (o * j->size + j->map[i]) * j->inner + k;
      const gan_real *x = j->x + (o * j->n + i) * j->inner + k;
      for (int64_t m = 0; m < cols; m++) y[m] += x[m];
    }
    lo += cols;
  }
}

static void add_slices (gan_tensor *y, int d, const gan_tensor *places, const gan_tensor *src) {
  int64_t outer;
  if (!src->numel) return;
  add_job j = { .y = gan_reals(y), .x = gan_reals(src), .map = gan_ints(places),
                .size = y->shape[d], .n = places->numel };
  split_at(y->ndim, y->shape, d, &outer, &j.inner);
  gan_parallel(outer * j.inner, UNIT_MIN / j.n + 1, add_columns, &j);
}

/* ---- index_select, index_add -------------------------------------------------------------- */

static bool is_list (gan_ctx *c, const gan_tensor *idx) {
  if (idx->ndim <= 1) return true;
  gan_fail(c, GAN_EARG, "idx must have one dimension, got %s (use gather, or embedding)",
           gan_shape_of(c, idx));
  return false;
}

static void index_select (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  GAN_NEED(c, x->ndim > 0, "x has no dimensions to choose from");
  int d = gan_dim(c, x, a[2].i);
  if (d < 0 || !is_list(c, a[1].t)) return;
  gan_tensor *places = gan_places(c, "idx", a[1].t, x->shape[d]);
  if (places) out[0] = gan_take(c, x, d, places->numel, gan_ints(places));
}

static void index_select_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_edge *x = &n->in[0];
  gan_tensor *zero = gan_new_zero(c, GAN_REAL, x->ndim, x->shape);
  gx[0] = gan_run1(c, &gan_op_index_add,
                   GAN_ARGS(GAN_T(zero), GAN_T(n->a[1].t), GAN_T(gy[0]), n->a[2]));
}

gan_op gan_op_index_select = {
  .name = "index_select",
  .sig = "x:any idx:labels dim:dim=0",
  .forward = index_select,
  .vjp = index_select_vjp,
  .save = "idx",
  .doc = "The places idx of a dimension (default 1), in that order.\n"
         "idx: int64, from 1, negative from the end; a place may occur several times.",
  .example = "gan.arange(5):index_select(gan.tensor({5, 1}, {dtype = 'int64'}), 1)",
};

static void index_add (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t, *idx = a[1].t, *src = a[2].t;
  GAN_NEED(c, x->ndim > 0, "x has no dimensions to choose from");
  int d = gan_dim(c, x, a[3].i);
  if (d < 0 || !is_list(c, idx)) return;
  bool fits = src->ndim == x->ndim;
  for (int k = 0; k < x->ndim && fits; k++)
    fits = src->shape[k] == (k == d ? idx->numel : x->shape[k]);
  GAN_NEED(c, fits, "src %s must be x %s with size %lld, that of idx, in dimension %d",
           gan_shape_of(c, src), gan_shape_of(c, x), (long long)idx->numel, d + 1);
  gan_tensor *places = gan_places(c, "idx", idx, x->shape[d]);
  src = gan_dense(c, src);
  gan_tensor *y = places && src ? gan_new(c, GAN_REAL, x->ndim, x->shape) : NULL;
  if (!(out[0] = y)) return;
  gan_copy_into(c, y, x);
  if (!c->status) add_slices(y, d, places, src);
}

static void index_add_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = gy[0];
  if (gan_wants(n, 2))
    gx[2] = gan_run1(c, &gan_op_index_select,
                     GAN_ARGS(GAN_T(gy[0]), GAN_T(n->a[1].t), n->a[3]));
}

gan_op gan_op_index_add = {
  .name = "index_add",
  .sig = "x:tensor idx:labels src:tensor dim:dim=0",
  .forward = index_add,
  .vjp = index_add_vjp,
  .save = "idx",
  .doc = "x with the slices of src added at the places idx of a dimension (default 1).\n"
         "The adjoint of index_select. A place that occurs several times gets every slice.",
  .example = "gan.zeros(3):index_add(gan.tensor({1, 1}, {dtype = 'int64'}), gan.ones(2), 1)",
};

/* ---- single elements: gather, scatter ----------------------------------------------------- */

enum { GATHER, SCATTER, ADD, MARK, WINS };

/*
** One pass over an index tensor. `big` is the tensor that idx points into, `small` the one that is
** read or written beside idx. Columns run along dimension d; a column belongs to one thread.
*/
typedef struct {
  int what;
  size_t item;
  char *big, *small;
  const int64_t *at; /* places, row by row */
  int nother;
  int64_t size[GAN_MAXDIM], bs[GAN_MAXDIM], is[GAN_MAXDIM], ss[GAN_MAXDIM];
  int64_t n, bd, id, sd;     /* dimension d */
  int64_t row, br, ir, sr;   /* the last dimension, when it is not d */
} walk;

#define EACH(STATEMENT)                                                  \
  for (int64_t i = 0; i < w->n; i++)                                     \
    for (int64_t k = k0; k < k1; k++) {                                  \
      const int64_t at = io + i * w->id + k * w->ir;                     \
      const int64_t b = bo + w->at[at] * w->bd + k * w->br;              \
      const int64_t s = so + i * w->sd + k * w->sr;                      \
      STATEMENT;                                                         \
    }
#define MOVE(T)                                                          \
  if (w->what == GATHER) EACH(((T *)w->small)[s] = ((T *)w->big)[b])     \
  else EACH(((T *)w->big)[b] = ((T *)w->small)[s])

static void walk_piece (const walk *w, int64_t bo, int64_t io, int64_t so, int64_t k0,
                        int64_t k1) {
  switch (w->what) {
    case ADD: EACH(((gan_real *)w->big)[b] += ((gan_real *)w->small)[s]) break;
    case MARK: EACH((void)s; ((int64_t *)w->big)[b] = at) break;
    case WINS: EACH(((gan_real *)w->small)[s] = ((int64_t *)w->big)[b] == at) break;
    default:
      if (w->item == 1) { MOVE(uint8_t) }
      else if (w->item == 4) { MOVE(uint32_t) }
      else { MOVE(uint64_t) }
  }
}

static void walk_columns (void *ud, int64_t lo, int64_t hi, int worker) {
  const walk *w = ud;
  (void)worker;
  while (lo < hi) {
    int64_t o = lo / w->row, k = lo % w->row, bo = 0, io = 0, so = 0;
    int64_t n = w->row - k < hi - lo ? w->row - k : hi - lo;
    for (int d = w->nother - 1; d >= 0; d--) {
      int64_t i = o % w->size[d];
      o /= w->size[d];
      bo += i * w->bs[d];
      io += i * w->is[d];
      so += i * w->ss[d];
    }
    walk_piece(w, bo, io, so, k, k + n);
    lo += n;
  }
}

static void run_walk (int what, const gan_tensor *big, const gan_tensor *small,
                      const gan_tensor *idx, const gan_tensor *places, int d) {
  walk w = { .what = what, .item = gan_dtype_size(big->dtype), .big = big->data,
             .small = small->data, .at = gan_ints(places), .n = 1, .row = 1 };
  int64_t stride[GAN_MAXDIM], columns;
  if (!idx->numel) return;
  gan_row_major(idx->ndim, idx->shape, stride);
  for (int k = 0; k < idx->ndim; k++) {
    if (k == d) {
      w.n = idx->shape[k];
      w.bd = big->stride[k];
      w.id = stride[k];
      w.sd = small->stride[k];
    }
    else if (k == idx->ndim - 1) {
      w.row = idx->shape[k];
      w.br = big->stride[k];
      w.ir = stride[k];
      w.sr = small->stride[k];
    }
    else {
      w.size[w.nother] = idx->shape[k];
      w.bs[w.nother] = big->stride[k];
      w.is[w.nother] = stride[k];
      w.ss[w.nother++] = small->stride[k];
    }
  }
  columns = idx->numel / w.n;
  gan_parallel(columns, UNIT_MIN / w.n + 1, walk_columns, &w);
}

/* idx must lie inside x, in all dimensions but d; returns d, -1 on failure. */
static int check_index (gan_ctx *c, const gan_tensor *x, const gan_tensor *idx, int64_t dim) {
  int d = gan_dim(c, x, dim);
  bool fits = idx->ndim == x->ndim;
  for (int k = 0; k < x->ndim && fits; k++) fits = k == d || idx->shape[k] <= x->shape[k];
  if (fits || d < 0) return d;
  gan_fail(c, GAN_EARG, "idx %s must have the dimensions of x %s and, except in dimension %d, no "
           "larger sizes", gan_shape_of(c, idx), gan_shape_of(c, x), d + 1);
  return -1;
}

static gan_tensor *element_places (gan_ctx *c, const gan_tensor *x, gan_tensor *idx, int d) {
  return gan_places(c, "idx", idx, x->ndim ? x->shape[d] : 1);
}

static void gather (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t, *idx = a[1].t;
  int d = check_index(c, x, idx, a[2].i);
  gan_tensor *places = d < 0 ? NULL : element_places(c, x, idx, d);
  gan_tensor *y = places ? gan_new(c, x->dtype, idx->ndim, idx->shape) : NULL;
  if (!(out[0] = y)) return;
  run_walk(GATHER, x, y, idx, places, d);
}

gan_tensor *gan_scatter_back (gan_ctx *c, const gan_node *n, int i, gan_tensor *idx, gan_tensor *gy,
                              int64_t d) {
  const gan_edge *x = &n->in[i];
  return gan_scatter_add(c, gan_new_zero(c, GAN_REAL, x->ndim, x->shape), idx, gy, d);
}

static void gather_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gx[0] = gan_scatter_back(c, n, 0, n->a[1].t, gy[0], n->a[2].i);
}

gan_op gan_op_gather = {
  .name = "gather",
  .sig = "x:any idx:labels dim:dim",
  .forward = gather,
  .vjp = gather_vjp,
  .save = "idx",
  .doc = "One element per element of idx: for dim 1, y[i][j] = x[idx[i][j]][j].\n"
         "y has the shape of idx, whose sizes outside dim may be smaller than those of x. Values "
         "count from 1, negative ones from the end.",
  .example = "gan.tensor{{1, 2}, {3, 4}}:gather(gan.tensor({{1}, {2}}, {dtype = 'int64'}), 2)",
};

/* What both kinds of scatter check; the result starts as a copy of x. */
static gan_tensor *start_scatter (gan_ctx *c, const gan_arg *a, int *d, gan_tensor **places) {
  gan_tensor *x = a[0].t, *idx = a[1].t, *src = a[2].t;
  *d = check_index(c, x, idx, a[3].i);
  if (*d < 0) return NULL;
  bool fits = src->ndim == idx->ndim;
  for (int k = 0; k < idx->ndim && fits; k++) fits = idx->shape[k] <= src->shape[k];
  if (!fits)
    return gan_fail(c, GAN_EARG, "src %s must be at least as large as idx %s",
                    gan_shape_of(c, src), gan_shape_of(c, idx));
  if (src->dtype != x->dtype)
    return gan_fail(c, GAN_EARG, "src is %s, x is %s", gan_dtype_name(src->dtype),
                    gan_dtype_name(x->dtype));
  *places = element_places(c, x, idx, *d);
  gan_tensor *y = *places ? gan_new(c, x->dtype, x->ndim, x->shape) : NULL;
  gan_copy_into(c, y, x);
  return c->status ? NULL : y;
}

static void scatter_add (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int d;
  gan_tensor *places;
  out[0] = start_scatter(c, a, &d, &places);
  if (out[0]) run_walk(ADD, out[0], a[2].t, a[1].t, places, d);
}

/* t, in idx's shape, as the front corner of zeros in the shape of src */
static gan_tensor *as_source (gan_ctx *c, const gan_node *n, gan_tensor *t) {
  const gan_edge *src = &n->in[2];
  int64_t pads[2 * GAN_MAXDIM] = { 0 };
  bool smaller = false;
  for (int k = 0; t && k < src->ndim; k++) {
    pads[2 * k + 1] = src->shape[k] - t->shape[k];
    smaller |= pads[2 * k + 1] > 0;
  }
  return smaller ? gan_pad_zero(c, t, pads) : t;
}

static void scatter_add_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  if (gan_wants(n, 0)) gx[0] = gy[0];
  if (gan_wants(n, 2)) gx[2] = as_source(c, n, gan_gather(c, gy[0], n->a[1].t, n->a[3].i));
}

gan_op gan_op_scatter_add = {
  .name = "scatter_add",
  .sig = "x:tensor idx:labels src:tensor dim:dim",
  .forward = scatter_add,
  .vjp = scatter_add_vjp,
  .save = "idx",
  .doc = "x with elements of src added: for dim 1, y[idx[i][j]][j] += src[i][j].\n"
         "The adjoint of gather; places that occur several times get every element. idx decides "
         "how much of src is used.",
  .example = "gan.zeros(3):scatter_add(gan.tensor({2, 2}, {dtype = 'int64'}), gan.ones(2), 1)",
};

static void scatter (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int d;
  gan_tensor *places;
  out[0] = start_scatter(c, a, &d, &places);
  if (out[0]) run_walk(SCATTER, out[0], a[2].t, a[1].t, places, d);
}

/* 1 for the elements of idx whose write remained, 0 for those that were overwritten: a constant */
static gan_tensor *last_writes (gan_ctx *c, const gan_edge *x, gan_tensor *idx, int d) {
  gan_tensor *mark = gan_new(c, GAN_INT64, x->ndim, x->shape);
  gan_tensor *wins = gan_new(c, GAN_REAL, idx->ndim, idx->shape);
  if (!mark || !wins) return NULL;
  gan_tensor *places = element_places(c, mark, idx, d);
  if (!places) return NULL;
  run_walk(MARK, mark, wins, idx, places, d);
  run_walk(WINS, mark, wins, idx, places, d);
  return wins;
}

static gan_op op_scatter;

static void scatter_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *idx = n->a[1].t;
  const gan_edge *x = &n->in[0];
  int d = (int)(n->a[3].i < 0 ? n->a[3].i + x->ndim : n->a[3].i);
  if (gan_wants(n, 0)) {
    gan_tensor *zero = gan_new_zero(c, GAN_REAL, idx->ndim, idx->shape);
    gx[0] = gan_run1(c, &op_scatter, GAN_ARGS(GAN_T(gy[0]), GAN_T(idx), GAN_T(zero), n->a[3]));
  }
  if (gan_wants(n, 2)) {
    gan_tensor *wins = last_writes(c, x, idx, d);
    gx[2] = as_source(c, n, gan_mul(c, gan_gather(c, gy[0], idx, n->a[3].i), wins));
  }
}

static gan_op op_scatter = {
  .name = "scatter",
  .sig = "x:any idx:labels src:any dim:dim",
  .forward = scatter,
  .vjp = scatter_vjp,
  .save = "idx",
  .doc = "x with elements of src written over it: for dim 1, y[idx[i][j]][j] = src[i][j].\n"
         "Where a place occurs several times the last one wins, and gets the gradient.",
  .example = "gan.zeros(3):scatter(gan.tensor({2}, {dtype = 'int64'}), gan.ones(1), 1)",
};

/* ---- one_hot, embedding ------------------------------------------------------------------- */

static int64_t largest (gan_ctx *c, gan_tensor *idx) {
  int64_t most = 0;
  idx = gan_dense(c, idx);
  for (int64_t i = 0; idx && i < idx->numel; i++)
    if (gan_ints(idx)[i] > most) most = gan_ints(idx)[i];
  return most;
}

static void one_hot (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *idx = a[0].t;
  int64_t shape[GAN_MAXDIM], classes = a[1].n < 0 ? largest(c, idx) : a[1].i;
  gan_dtype dtype = a[2].n < 0 ? GAN_REAL : (gan_dtype)a[2].i;
  GAN_NEED(c, idx->ndim < GAN_MAXDIM, "idx %s has no room for one more dimension",
           gan_shape_of(c, idx));
  GAN_NEED(c, a[1].n < 0 || classes >= 1, "classes must be at least 1, got %lld",
           (long long)classes);
  for (int k = 0; k < idx->ndim; k++) shape[k] = idx->shape[k];
  shape[idx->ndim] = classes;
  gan_tensor *places = gan_places(c, "idx", idx, classes);
  gan_tensor *y = out[0] = places ? gan_new_zero(c, dtype, idx->ndim + 1, shape) : NULL;
  for (int64_t i = 0; y && i < places->numel; i++) {
    int64_t at = i * classes + gan_ints(places)[i];
    if (dtype == GAN_REAL) gan_reals(y)[at] = 1;
    else if (dtype == GAN_INT64) gan_ints(y)[at] = 1;
    else gan_bytes(y)[at] = 1;
  }
}

static gan_op op_one_hot = {
  .name = "one_hot",
  .sig = "idx:labels classes:int? ; dtype:dtype? -> y~",
  .forward = one_hot,
  .doc = "1 at the place that each label names along a new last dimension, else 0.\n"
         "classes: its size, by default the largest label. dtype: the compute type by default.",
  .example = "gan.one_hot(gan.tensor({1, 3}, {dtype = 'int64'}), 3)",
};

static void embedding (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *idx = a[0].t, *table = a[1].t;
  int64_t shape[GAN_MAXDIM];
  GAN_NEED(c, table->ndim == 2, "table must be (entries x features), got %s",
           gan_shape_of(c, table));
  GAN_NEED(c, idx->ndim < GAN_MAXDIM, "idx %s has no room for one more dimension",
           gan_shape_of(c, idx));
  for (int k = 0; k < idx->ndim; k++) shape[k] = idx->shape[k];
  shape[idx->ndim] = table->shape[1];
  gan_tensor *places = gan_places(c, "idx", idx, table->shape[0]);
  if (!places) return;
  out[0] = gan_reshape(c, gan_take(c, table, 0, places->numel, gan_ints(places)), idx->ndim + 1,
                       shape);
}

static void embedding_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  gan_tensor *idx = n->a[0].t;
  const gan_edge *table = &n->in[1];
  int64_t flat[2] = { idx->numel, table->shape[1] };
  if (!gan_wants(n, 1)) return;
  gan_tensor *zero = gan_new_zero(c, GAN_REAL, 2, table->shape);
  idx = gan_reshape(c, idx, 1, flat);
  gx[1] = gan_run1(c, &gan_op_index_add,
                   GAN_ARGS(GAN_T(zero), GAN_T(idx), GAN_T(gan_reshape(c, gy[0], 2, flat)),
                            GAN_I(0)));
}

static gan_op op_embedding = {
  .name = "embedding",
  .sig = "idx:labels table:tensor",
  .forward = embedding,
  .vjp = embedding_vjp,
  .save = "idx",
  .doc = "The rows of table (entries x features) that idx names: y is idx's shape x features.\n"
         "idx counts from 1, negative values from the end.",
  .example = "gan.embedding(gan.tensor({2, 2}, {dtype = 'int64'}), gan.randn(3, 4))",
};

/* ---- masked_select ------------------------------------------------------------------------ */

/* The places, from 1 and row by row, where mask is not 0. */
static gan_tensor *true_places (gan_ctx *c, gan_tensor *mask) {
  int64_t n = 0, k = 0;
  if (!(mask = gan_dense(c, mask))) return NULL;
  for (int64_t i = 0; i < mask->numel; i++) n += gan_item(mask, i) != 0;
  gan_tensor *idx = gan_new(c, GAN_INT64, 1, &n);
  for (int64_t i = 0; idx && i < mask->numel; i++)
    if (gan_item(mask, i) != 0) gan_ints(idx)[k++] = i + 1;
  return idx;
}

static void masked_select (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  int ndim;
  int64_t shape[GAN_MAXDIM];
  if (!gan_broadcast(c, x, a[1].t, &ndim, shape)) return;
  gan_tensor *mask = gan_expand(c, a[1].t, ndim, shape);
  gan_tensor *idx = true_places(c, mask);
  if (!(x = gan_dense(c, gan_expand(c, x, ndim, shape))) || !idx) return;
  for (int64_t i = 0; i < idx->numel; i++) gan_ints(idx)[i]--;
  gan_tensor *flat = gan_reshape(c, x, 1, &x->numel);
  if (flat) out[0] = gan_take(c, flat, 0, idx->numel, gan_ints(idx));
}

static void masked_select_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  const gan_edge *x = &n->in[0];
  gan_tensor *mask = n->a[1].t;
  int ndim = x->ndim > mask->ndim ? x->ndim : mask->ndim;
  int64_t shape[GAN_MAXDIM], numel = 1;
  for (int k = 1; k <= ndim; k++) { /* the shape that both were broadcast to */
    int64_t p = k <= x->ndim ? x->shape[x->ndim - k] : 1;
    int64_t q = k <= mask->ndim ? mask->shape[mask->ndim - k] : 1;
    shape[ndim - k] = p == 1 ? q : p;
    numel *= shape[ndim - k];
  }
  gan_tensor *idx = true_places(c, gan_expand(c, mask, ndim, shape));
  gan_tensor *zero = gan_new_zero(c, GAN_REAL, 1, &numel);
  gan_tensor *g = gan_run1(c, &gan_op_index_add,
                           GAN_ARGS(GAN_T(zero), GAN_T(idx), GAN_T(gy[0]), GAN_I(0)));
  gx[0] = gan_sum_to(c, gan_reshape(c, g, ndim, shape), x->ndim, x->shape);
}

static gan_op op_masked_select = {
  .name = "masked_select",
  .sig = "x:any mask:any",
  .forward = masked_select,
  .vjp = masked_select_vjp,
  .save = "mask",
  .doc = "The elements of x, row by row, where mask is not 0: one dimension.\n"
         "x and mask are broadcast against each other.",
  .example = "gan.arange(4):masked_select(gan.tensor{1, 0, 0, 1})",
};

/* ---- the family --------------------------------------------------------------------------- */

gan_op *const gan_ops_index[] = {
  &gan_op_index_select, &gan_op_index_add, &gan_op_gather, &gan_op_scatter_add, &op_scatter,
  &op_one_hot, &op_embedding, &op_masked_select, &gan_op_sort, &gan_op_argsort, &gan_op_topk,
  &gan_op_assignment, NULL
};
