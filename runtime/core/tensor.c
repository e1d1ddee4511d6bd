/*
** tensor.c - storages, views, strides, broadcasting of shapes, copies between layouts and types.
*/
#include <math.h>
#include <string.h>

#include "../kernels/copy.h"
#include "op.h"
#include "tape.h"

/* ---- sizes -------------------------------------------------------------------------------- */

bool gan_count (int n, const int64_t *shape, size_t item, int64_t *numel) {
  bool empty = false, over = false;
  int64_t total = 1;
  for (int d = 0; d < n; d++) {
    if (shape[d] < 0) return false;
    if (shape[d] == 0) empty = true;
    else if (__builtin_mul_overflow(total, shape[d], &total)) over = true;
  }
  int64_t bytes;
  /* sizes around a 0 must be sane too: strides are made from them */
  if (over || __builtin_mul_overflow(total, (int64_t)item, &bytes) || bytes > INT64_MAX / 4)
    return false;
  *numel = empty ? 0 : total;
  return true;
}

static void row_major (int ndim, const int64_t *shape, int64_t *stride) {
  int64_t s = 1;
  for (int d = ndim - 1; d >= 0; d--) {
    stride[d] = s;
    s *= shape[d] > 0 ? shape[d] : 1;
  }
}

/* ---- making and freeing ------------------------------------------------------------------- */

gan_storage *gan_storage_new (gan_ctx *c, size_t bytes) {
  gan_storage *s = gan_malloc(c, sizeof *s);
  if (!s) return NULL;
  *s = (gan_storage){ .refs = 1, .id = ++c->ids, .bytes = bytes };
  if (bytes && !(s->data = gan_malloc(c, bytes))) {
    gan_free(c, s, sizeof *s);
    return NULL;
  }
  if (c->tape) gan_tape_memory_made(c, s);
  return s;
}

void gan_storage_release (gan_ctx *c, gan_storage *s) {
  if (!s || --s->refs > 0) return;
  if (s->drop) s->drop(s->owner);
  else gan_free(c, s->data, s->bytes);
  gan_free(c, s, sizeof *s);
}

/* A header over a storage (whose count it takes over, on failure too). Not in a frame yet. */
static gan_tensor *header_new (gan_ctx *c, gan_dtype dtype, int ndim, gan_storage *s) {
  gan_tensor *t = gan_malloc(c, sizeof *t);
  if (!t) {
    gan_storage_release(c, s);
    return NULL;
  }
  t->refs = 1;
  t->dtype = (uint8_t)dtype;
  t->ndim = (uint8_t)ndim;
  t->requires_grad = t->is_number = t->planned = t->shared = false;
  t->c = c;
  t->id = ++c->ids;
  t->st = s;
  t->data = s->data;
  t->node = NULL;
  t->out_index = 0;
  t->grad = t->pending = NULL;
  t->wanted = t->pending_pass = 0;
  t->awaited = 0;
  c->mem.tensors++;
  if (c->tape) gan_tape_tensor_made(c, t);
  return t;
}

gan_tensor *gan_header_over (gan_ctx *c, gan_dtype dtype, int ndim, gan_storage *s) {
  return header_new(c, dtype, ndim, s);
}

gan_tensor *gan_new (gan_ctx *c, gan_dtype dtype, int ndim, const int64_t *shape) {
  if (c->status) return NULL;
  if (c->plan) {
    gan_tensor *t = gan_replay_next(c, dtype, ndim, shape);
    if (t) row_major(ndim, shape, t->stride); /* the caller may have changed it since */
    if (t) return t;
  }
  if (ndim < 0 || ndim > GAN_MAXDIM)
    return gan_fail(c, GAN_EARG, "%d dimensions asked for, at most %d are possible", ndim,
                    GAN_MAXDIM);
  int64_t numel;
  for (int d = 0; d < ndim; d++)
    if (shape[d] < 0)
      return gan_fail(c, GAN_EARG, "size %d is negative, shape %s", d + 1,
                      gan_shape_text(c, ndim, shape));
  if (!gan_count(ndim, shape, gan_dtype_size(dtype), &numel))
    return gan_fail(c, GAN_EARG, "shape %s has too many elements", gan_shape_text(c, ndim, shape));
  gan_storage *s = gan_storage_new(c, (size_t)numel * gan_dtype_size(dtype));
  gan_tensor *t = s ? header_new(c, dtype, ndim, s) : NULL;
  if (!t) return NULL;
  t->numel = numel;
  if (ndim) memcpy(t->shape, shape, (size_t)ndim * sizeof *shape); /* shape may be NULL */
  row_major(ndim, shape, t->stride);
  return gan_temp(c, t);
}

gan_storage *gan_storage_over (gan_ctx *c, void *data, size_t bytes, void (*drop)(void *owner),
                               void *owner) {
  gan_storage *s = gan_storage_new(c, 0);
  if (!s) return NULL;
  s->data = data;
  s->bytes = bytes;
  s->drop = drop;
  s->owner = owner;
  return s;
}

static void keep_host_memory (void *owner) {
  (void)owner;
}

gan_tensor *gan_wrap (gan_ctx *c, gan_dtype dtype, int ndim, const int64_t *shape, void *data,
                      void (*drop)(void *owner), void *owner) {
  if (c->status) return NULL;
  int64_t numel;
  if (ndim < 0 || ndim > GAN_MAXDIM || !gan_count(ndim, shape, gan_dtype_size(dtype), &numel))
    return gan_fail(c, GAN_EARG, "wrap: the shape is not possible");
  gan_storage *s = gan_storage_new(c, 0);
  if (!s) return NULL;
  gan_tensor *t = header_new(c, dtype, ndim, s);
  if (!t) return NULL;
  s->data = t->data = data; /* from here on the storage answers for the owner */
  s->bytes = (size_t)numel * gan_dtype_size(dtype);
  s->drop = drop ? drop : keep_host_memory;
  s->owner = owner;
  t->numel = numel;
  if (ndim) memcpy(t->shape, shape, (size_t)ndim * sizeof *shape); /* shape may be NULL */
  row_major(ndim, shape, t->stride);
  return gan_temp(c, t);
}

gan_tensor *gan_view (gan_ctx *c, const gan_tensor *x, int ndim, const int64_t *shape,
                      const int64_t *stride, int64_t offset) {
  if (c->status || !x) return NULL;
  if (c->plan) {
    int64_t bytes = offset * (int64_t)gan_dtype_size((gan_dtype)x->dtype);
    gan_tensor *t = gan_replay_next_view(c, x, ndim, shape, stride, bytes);
    if (t) return t;
  }
  x->st->refs++;
  gan_tensor *t = header_new(c, x->dtype, ndim, x->st);
  if (!t) return NULL;
  t->data = (char *)x->data + offset * (int64_t)gan_dtype_size(x->dtype);
  t->numel = 1;
  for (int d = 0; d < ndim; d++) {
    t->shape[d] = shape[d];
    t->stride[d] = stride[d];
    t->numel *= shape[d];
  }
  return gan_temp(c, t);
}

gan_tensor *gan_detach (gan_ctx *c, gan_tensor *x) {
  return x ? gan_view(c, x, x->ndim, x->shape, x->stride, 0) : NULL;
}

gan_tensor *gan_new_like (gan_ctx *c, const gan_tensor *x, gan_dtype dtype) {
  gan_tensor *t = gan_new(c, dtype, x->ndim, x->shape);
  if (t && !gan_is_contiguous(x) && gan_is_dense(x))
    memcpy(t->stride, x->stride, x->ndim * sizeof *x->stride);
  return t;
}

gan_tensor *gan_new_zero (gan_ctx *c, gan_dtype dtype, int ndim, const int64_t *shape) {
  gan_tensor *t = gan_new(c, dtype, ndim, shape);
  if (t && t->numel) memset(t->data, 0, (size_t)t->numel * gan_dtype_size(dtype));
  if (t && c->tape) gan_tape_constant(c, t);
  return t;
}

gan_tensor *gan_scalar (gan_ctx *c, double value) {
  gan_tensor *t = gan_new(c, GAN_REAL, 0, NULL);
  if (t) *gan_reals(t) = (gan_real)value;
  if (t && c->tape) gan_tape_constant(c, t);
  return t;
}

gan_tensor *gan_retain (gan_tensor *t) {
  if (t) t->refs++;
  return t;
}

void gan_release (gan_tensor *t) {
  if (!t || --t->refs > 0) return;
  gan_ctx *c = t->c;
  if (c->tape) gan_tape_tensor_dies(c, t);
  gan_release(t->grad);
  gan_release(t->pending);
  gan_storage_release(c, t->st);
  if (t->node) gan_node_release(t->node);
  c->mem.tensors--;
  gan_free(c, t, sizeof *t);
}

/* ---- properties --------------------------------------------------------------------------- */

gan_dtype gan_type (const gan_tensor *t) {
  return (gan_dtype)t->dtype;
}

int gan_ndim (const gan_tensor *t) {
  return t->ndim;
}

int64_t gan_size (const gan_tensor *t, int dim) {
  return t->shape[dim < 0 ? dim + t->ndim : dim];
}

int64_t gan_numel (const gan_tensor *t) {
  return t->numel;
}

void *gan_data (const gan_tensor *t) {
  return t->data;
}

bool gan_is_contiguous (const gan_tensor *t) {
  int64_t s = 1;
  if (t->numel == 0) return true;
  for (int d = t->ndim - 1; d >= 0; d--) {
    if (t->shape[d] == 1) continue;
    if (t->stride[d] != s) return false;
    s *= t->shape[d];
  }
  return true;
}

/* Order of the dimensions by descending stride, those of size 1 left out; returns their number. */
static int memory_order (const gan_tensor *t, int *order) {
  int n = 0;
  for (int d = 0; d < t->ndim; d++) {
    if (t->shape[d] == 1) continue;
    int k = n++;
    for (; k > 0 && t->stride[order[k - 1]] < t->stride[d]; k--) order[k] = order[k - 1];
    order[k] = d;
  }
  return n;
}

bool gan_is_dense (const gan_tensor *t) {
  if (gan_is_contiguous(t)) return true;
  int order[GAN_MAXDIM], n = memory_order(t, order);
  int64_t s = 1;
  for (int k = n - 1; k >= 0; k--) {
    if (t->stride[order[k]] != s) return false;
    s *= t->shape[order[k]];
  }
  return true;
}

bool gan_same_shape (const gan_tensor *a, const gan_tensor *b) {
  return a->ndim == b->ndim && !memcmp(a->shape, b->shape, a->ndim * sizeof *a->shape);
}

bool gan_same_layout (const gan_tensor *a, const gan_tensor *b) {
  if (!gan_same_shape(a, b)) return false;
  for (int d = 0; d < a->ndim; d++)
    if (a->shape[d] != 1 && a->stride[d] != b->stride[d]) return false;
  return true;
}

bool gan_broadcast (gan_ctx *c, const gan_tensor *a, const gan_tensor *b, int *ndim, int64_t *out) {
  int n = a->ndim > b->ndim ? a->ndim : b->ndim;
  for (int k = 1; k <= n; k++) { /* from the last dimension */
    int64_t p = k <= a->ndim ? a->shape[a->ndim - k] : 1;
    int64_t q = k <= b->ndim ? b->shape[b->ndim - k] : 1;
    if (p != q && p != 1 && q != 1) {
      gan_fail(c, GAN_EARG, "shapes %s and %s do not match (dimension %d: %lld and %lld)",
               gan_shape_of(c, a), gan_shape_of(c, b), n - k + 1, (long long)p, (long long)q);
      return false;
    }
    out[n - k] = p == 1 ? q : p;
  }
  *ndim = n;
  return true;
}

int gan_dim (gan_ctx *c, const gan_tensor *t, int64_t dim) {
  int64_t n = t->ndim > 0 ? t->ndim : 1; /* a number counts as having one dimension */
  if (dim >= -n && dim < n) return (int)(dim < 0 ? dim + n : dim);
  gan_fail(c, GAN_EARG, "dimension %lld is out of range, the tensor %s has %d",
           (long long)(dim < 0 ? dim : dim + 1), gan_shape_of(c, t), t->ndim);
  return -1;
}

double gan_item (const gan_tensor *t, int64_t offset) {
  switch (t->dtype) {
    case GAN_UINT8: return gan_bytes(t)[offset];
    case GAN_INT64: return (double)gan_ints(t)[offset];
    default: return gan_reals(t)[offset];
  }
}

void gan_touch (gan_tensor *t) {
  t->st->version++;
}

/* ---- copies ------------------------------------------------------------------------------- */

/* double -> integer without undefined behaviour: truncates, saturates, NaN gives 0 */
static int64_t to_int64 (double v) {
  if (v != v) return 0;
  if (v >= 9223372036854775807.0) return INT64_MAX;
  if (v <= -9223372036854775808.0) return INT64_MIN;
  return (int64_t)v;
}

static uint8_t to_uint8 (double v) {
  return v > 0 ? (v < 255 ? (uint8_t)v : 255) : 0; /* NaN gives 0 */
}

typedef struct {
  int ndim;
  int64_t shape[GAN_MAXDIM], ds[GAN_MAXDIM], ss[GAN_MAXDIM];
  char *d;
  const char *s;
  int dt, st;
  size_t dw, sw;
} copy_job;

/* one row: n elements with strides in elements */
static void copy_row (const copy_job *j, char *d, const char *s, int64_t n, int64_t ds,
                      int64_t ss) {
  if (j->dt == j->st) {
    if (ds == 1 && ss == 1) memcpy(d, s, (size_t)n * j->dw);
    else if (j->dt == GAN_REAL)
      for (int64_t i = 0; i < n; i++) ((gan_real *)d)[i * ds] = ((const gan_real *)s)[i * ss];
    else if (j->dt == GAN_UINT8)
      for (int64_t i = 0; i < n; i++) d[i * ds] = s[i * ss];
    else
      for (int64_t i = 0; i < n; i++) ((int64_t *)d)[i * ds] = ((const int64_t *)s)[i * ss];
  }
  else if (j->dt == GAN_REAL && j->st == GAN_UINT8)
    for (int64_t i = 0; i < n; i++) ((gan_real *)d)[i * ds] = ((const uint8_t *)s)[i * ss];
  else if (j->dt == GAN_REAL)
    for (int64_t i = 0; i < n; i++)
      ((gan_real *)d)[i * ds] = (gan_real)((const int64_t *)s)[i * ss];
  else if (j->dt == GAN_UINT8 && j->st == GAN_REAL)
    for (int64_t i = 0; i < n; i++)
      ((uint8_t *)d)[i * ds] = to_uint8(((const gan_real *)s)[i * ss]);
  else if (j->dt == GAN_UINT8)
    for (int64_t i = 0; i < n; i++) {
      int64_t v = ((const int64_t *)s)[i * ss];
      ((uint8_t *)d)[i * ds] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
  else if (j->st == GAN_REAL)
    for (int64_t i = 0; i < n; i++)
      ((int64_t *)d)[i * ds] = to_int64(((const gan_real *)s)[i * ss]);
  else
    for (int64_t i = 0; i < n; i++) ((int64_t *)d)[i * ds] = ((const uint8_t *)s)[i * ss];
}

/* Square tiles keep both sides in cache when one is a transposition of the other. */
static void copy_tiles (const copy_job *j, char *d, const char *s, int64_t lo, int64_t hi) {
  int r = j->ndim - 2, q = j->ndim - 1;
  const int64_t tile = 32;
  bool turned = j->dt == GAN_REAL && j->st == GAN_REAL && j->ds[q] == 1 && j->ss[r] == 1;
  for (int64_t a = lo; a < hi; a += tile)
    for (int64_t b = 0; b < j->shape[q]; b += tile) {
      int64_t ae = a + tile < hi ? a + tile : hi;
      int64_t n = b + tile < j->shape[q] ? tile : j->shape[q] - b;
      if (turned) {
        GAN_KERNEL(gan_copy)->turn(ae - a, n, (const gan_real *)s + a + b * j->ss[q], j->ss[q],
                                   (gan_real *)d + a * j->ds[r] + b, j->ds[r]);
        continue;
      }
      for (int64_t i = a; i < ae; i++)
        copy_row(j, d + (i * j->ds[r] + b * j->ds[q]) * (int64_t)j->dw,
                 s + (i * j->ss[r] + b * j->ss[q]) * (int64_t)j->sw, n, j->ds[q], j->ss[q]);
    }
}

/* elements lo..hi-1 of a job with at most one dimension */
static void copy_line (void *ud, int64_t lo, int64_t hi, int worker) {
  const copy_job *j = ud;
  (void)worker;
  int64_t ds = j->ndim ? j->ds[0] : 1, ss = j->ndim ? j->ss[0] : 1;
  copy_row(j, j->d + lo * ds * (int64_t)j->dw, j->s + lo * ss * (int64_t)j->sw, hi - lo, ds, ss);
}

/* rows lo..hi-1, a row being one setting of all dimensions but the last; at least two dimensions */
static void copy_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const copy_job *j = ud;
  (void)worker;
  int last = j->ndim - 1;
  int64_t at[GAN_MAXDIM] = { 0 }, k = lo, block = j->shape[last - 1];
  for (int d = last - 1; d >= 0; d--) {
    at[d] = k % j->shape[d];
    k /= j->shape[d];
  }
  while (lo < hi) {
    int64_t first = at[last - 1];
    int64_t n = block - first < hi - lo ? block - first : hi - lo;
    int64_t od = 0, os = 0;
    for (int d = 0; d < last - 1; d++) {
      od += at[d] * j->ds[d];
      os += at[d] * j->ss[d];
    }
    copy_tiles(j, j->d + od * (int64_t)j->dw, j->s + os * (int64_t)j->sw, first, first + n);
    lo += n;
    at[last - 1] = 0;
    for (int d = last - 2; d >= 0; d--) {
      if (++at[d] < j->shape[d]) break;
      at[d] = 0;
    }
  }
}

/* Dimensions in the order of dst's memory, neighbours merged where both sides allow. */
static void plan_copy (copy_job *j, const gan_tensor *dst, const gan_tensor *src) {
  int order[GAN_MAXDIM], n = memory_order(dst, order);
  j->ndim = 0;
  for (int k = 0; k < n; k++) {
    int d = order[k], m = j->ndim;
    int64_t size = dst->shape[d], ds = dst->stride[d], ss = src->stride[d];
    if (m && j->ds[m - 1] == ds * size && j->ss[m - 1] == ss * size) {
      j->shape[m - 1] *= size;
      j->ds[m - 1] = ds;
      j->ss[m - 1] = ss;
      continue;
    }
    j->shape[m] = size;
    j->ds[m] = ds;
    j->ss[m] = ss;
    j->ndim++;
  }
}

void gan_copy_into (gan_ctx *c, gan_tensor *dst, const gan_tensor *src) {
  if (c->status || !dst || !src) return;
  if (!gan_same_shape(dst, src)) {
    gan_fail(c, GAN_EARG, "cannot copy %s into %s", gan_shape_of(c, src), gan_shape_of(c, dst));
    return;
  }
  if (!dst->numel) return;
  copy_job j = { .d = dst->data, .s = src->data, .dt = dst->dtype, .st = src->dtype,
                 .dw = gan_dtype_size(dst->dtype), .sw = gan_dtype_size(src->dtype) };
  plan_copy(&j, dst, src);
  if (j.ndim <= 1) {
    gan_parallel(dst->numel, 32768, copy_line, &j);
    return;
  }
  int64_t rows = 1;
  for (int d = 0; d + 1 < j.ndim; d++) rows *= j.shape[d];
  gan_parallel(rows, 32768 / (dst->numel / rows + 1) + 1, copy_range, &j);
}

gan_tensor *gan_dense (gan_ctx *c, gan_tensor *x) {
  if (!x || c->status) return NULL;
  if (gan_is_contiguous(x)) return x;
  gan_tensor *y = gan_new(c, x->dtype, x->ndim, x->shape);
  if (y) gan_copy_into(c, y, x);
  return y;
}
