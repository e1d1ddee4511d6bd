/*
** convert.c - tensors from and to numbers, nested tables and strings of bytes.
*/
#include <stdio.h>
#include <string.h>

#include "../core/tape.h"
#include "binding.h"

/* ---- elements ----------------------------------------------------------------------------- */

void gan_lua_push_element (lua_State *L, const gan_tensor *t, int64_t offset) {
  switch (gan_type(t)) {
    case GAN_UINT8: lua_pushinteger(L, gan_bytes(t)[offset]); break;
    case GAN_INT64: lua_pushinteger(L, gan_ints(t)[offset]); break;
    default: lua_pushnumber(L, gan_reals(t)[offset]);
  }
}

bool gan_lua_fits (lua_State *L, int index, gan_dtype dtype) {
  int type = lua_type(L, index), integral;
  if (type == LUA_TBOOLEAN) return true;
  if (type != LUA_TNUMBER) return false;
  if (dtype == GAN_REAL) return true;
  lua_Integer v = lua_tointegerx(L, index, &integral);
  return integral && (dtype == GAN_INT64 || (v >= 0 && v <= 255));
}

void gan_lua_store_element (lua_State *L, int index, gan_tensor *t, int64_t offset) {
  bool flag = lua_isboolean(L, index);
  lua_Integer v = flag ? lua_toboolean(L, index) : 0;
  switch (gan_type(t)) {
    case GAN_UINT8:
      gan_bytes(t)[offset] = (uint8_t)(flag ? v : lua_tointeger(L, index));
      break;
    case GAN_INT64: gan_ints(t)[offset] = flag ? v : lua_tointeger(L, index); break;
    default: gan_reals(t)[offset] = (gan_real)(flag ? (double)v : lua_tonumber(L, index));
  }
}

/* ---- gan.tensor --------------------------------------------------------------------------- */

/* The option table of gan.tensor, in the terms of an op's. */
enum { OPT_DTYPE, OPT_SHAPE, OPT_GRAD };
static const gan_sig tensor_sig = {
  .nargs = 3,
  .p = { { .name = "dtype", .kind = GAN_K_DTYPE, .optional = true },
         { .name = "shape", .kind = GAN_K_SHAPE, .optional = true },
         { .name = "requires_grad", .kind = GAN_K_BOOL, .has_default = true, .value = { .n = 1 } } }
};

typedef struct {
  int ndim;
  int64_t shape[GAN_MAXDIM];
} shape_of;

/* Shape of the nested table at index 1, by following first elements. */
static shape_of table_shape (lua_State *L) {
  shape_of s = { .ndim = 0 };
  luaL_checkstack(L, GAN_MAXDIM + 8, NULL);
  lua_pushvalue(L, 1);
  while (lua_istable(L, -1)) {
    if (s.ndim == GAN_MAXDIM)
      gan_lua_error(L, "tensor", "the table is nested more than %d deep", GAN_MAXDIM);
    s.shape[s.ndim++] = (int64_t)lua_rawlen(L, -1);
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
  }
  lua_pop(L, 1);
  return s;
}

static const char *place (int depth, const int64_t *at, char *buffer, size_t size) {
  size_t n = 0;
  buffer[0] = '\0';
  for (int d = 0; d < depth && n + 24 < size; d++)
    n += (size_t)snprintf(buffer + n, size - n, d ? ", %lld" : "%lld", (long long)at[d]);
  return buffer;
}

/* Walks the table at the top; with t == NULL it only checks that every element is in place. Element
   k of the walk goes to offset k. */
static void walk_table (lua_State *L, const shape_of *s, gan_dtype dtype, gan_tensor *t) {
  int64_t at[GAN_MAXDIM] = { 0 }, k = 0;
  int depth = 1, base = lua_gettop(L) - 1;
  char where[200], got[80];
  while (depth > 0) { /* the stack above base holds one table for each level */
    int d = depth - 1;
    if (at[d] == s->shape[d]) {
      lua_settop(L, base + --depth);
      continue;
    }
    lua_rawgeti(L, base + depth, ++at[d]);
    if (depth < s->ndim) {
      if (!lua_istable(L, -1) || (int64_t)lua_rawlen(L, -1) != s->shape[depth]) {
        lua_Unsigned n = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
        const char *what = gan_lua_describe(L, gan_lua_find(L), -1, got, sizeof got);
        if (lua_istable(L, -1)) snprintf(got, sizeof got, "%lld", (long long)n), what = got;
        gan_lua_error(L, "tensor", "the table is ragged: (%s) should have %lld elements, got %s",
                      place(depth, at, where, sizeof where), (long long)s->shape[depth], what);
      }
      at[depth++] = 0;
      continue;
    }
    if (t) gan_lua_store_element(L, -1, t, k++);
    else if (!gan_lua_fits(L, -1, dtype))
      gan_lua_error(L, "tensor", "element (%s) must be a number that fits in %s, got %s",
                    place(depth, at, where, sizeof where), gan_dtype_name(dtype),
                    gan_lua_describe(L, gan_lua_find(L), -1, got, sizeof got));
    lua_settop(L, base + depth);
  }
}

/* A new tensor in the handle; collects and tries once more when memory is short. */
static gan_tensor *make (lua_State *L, gan_lua *B, gan_handle *h, gan_dtype dtype,
                         const shape_of *s) {
  gan_ctx *c = B->c;
  for (int attempt = 0;; attempt++) {
    gan_frame_open(c);
    gan_tensor *t = gan_new(c, dtype, s->ndim, s->shape);
    if (t) gan_lua_fill(L, h, t);
    gan_frame_close(c);
    if (t) return t;
    if (attempt || gan_error(c) != GAN_EMEMORY || c->mem.injected || !gan_lua_collect(L, B))
      gan_lua_raise(L, B, "tensor");
    gan_clear_error(c);
  }
}

static shape_of wanted_shape (lua_State *L, const gan_args *x) {
  shape_of s = { .ndim = x->a[OPT_SHAPE].n };
  if (s.ndim > GAN_MAXDIM)
    gan_lua_error(L, "tensor", "%d dimensions, at most %d are possible", s.ndim, GAN_MAXDIM);
  for (int d = 0; d < s.ndim; d++)
    if ((s.shape[d] = x->a[OPT_SHAPE].v[d]) < 0)
      gan_lua_error(L, "tensor", "size %d is negative (%lld)", d + 1, (long long)s.shape[d]);
  return s;
}

static void from_bytes (lua_State *L, gan_lua *B, gan_handle *h, gan_dtype dtype,
                        const gan_args *x) {
  size_t n, item = gan_dtype_size(dtype);
  const char *bytes = lua_tolstring(L, 1, &n);
  int64_t numel;
  shape_of s = { .ndim = 1, .shape = { (int64_t)(n / item) } };
  if (x->a[OPT_SHAPE].n >= 0) s = wanted_shape(L, x);
  if (!gan_count(s.ndim, s.shape, item, &numel) || (size_t)numel * item != n)
    gan_lua_error(L, "tensor", "a string of %lld bytes is no %s tensor of shape %s", (long long)n,
                  gan_dtype_name(dtype), gan_shape_text(B->c, s.ndim, s.shape));
  gan_tensor *t = make(L, B, h, dtype, &s);
  if (n) memcpy(t->data, bytes, n);
}

static void from_table (lua_State *L, gan_lua *B, gan_handle *h, gan_dtype dtype,
                        const gan_args *x) {
  shape_of s = table_shape(L), wanted = s;
  int64_t numel, have;
  lua_pushvalue(L, 1);
  walk_table(L, &s, dtype, NULL);
  if (x->a[OPT_SHAPE].n >= 0) {
    wanted = wanted_shape(L, x);
    if (!gan_count(s.ndim, s.shape, 8, &have) || !gan_count(wanted.ndim, wanted.shape, 8, &numel) ||
        have != numel)
      gan_lua_error(L, "tensor", "the table has shape %s, which does not fit in %s",
                    gan_shape_text(B->c, s.ndim, s.shape),
                    gan_shape_text(B->c, wanted.ndim, wanted.shape));
  }
  gan_tensor *t = make(L, B, h, dtype, &wanted);
  lua_pushvalue(L, 1);
  walk_table(L, &s, dtype, t);
}

static void from_number (lua_State *L, gan_lua *B, gan_handle *h, gan_dtype dtype,
                         const gan_args *x) {
  char got[80];
  shape_of s = { .ndim = 0 };
  if (!gan_lua_fits(L, 1, dtype))
    gan_lua_error(L, "tensor", "argument 1 must be a number that fits in %s, got %s",
                  gan_dtype_name(dtype), gan_lua_describe(L, B, 1, got, sizeof got));
  if (x->a[OPT_SHAPE].n >= 0) s = wanted_shape(L, x);
  gan_tensor *t = make(L, B, h, dtype, &s);
  for (int64_t i = 0; i < t->numel; i++) gan_lua_store_element(L, 1, t, i);
}

/* A copy without graph, converted where a type is given. */
static void from_tensor (lua_State *L, gan_lua *B, gan_handle *h, const gan_args *x) {
  gan_ctx *c = B->c;
  gan_tensor *v = gan_lua_check_tensor(L, B, 1, "tensor", "value");
  gan_dtype dtype = x->a[OPT_DTYPE].n < 0 ? gan_type(v) : (gan_dtype)x->a[OPT_DTYPE].i;
  if (x->a[OPT_SHAPE].n >= 0)
    gan_lua_error(L, "tensor", "a tensor brings its own shape (use x:reshape)");
  shape_of s = { .ndim = v->ndim };
  memcpy(s.shape, v->shape, sizeof s.shape);
  gan_tensor *t = make(L, B, h, dtype, &s);
  v = gan_lua_check_tensor(L, B, 1, "tensor", "value"); /* a collection may have run finalisers */
  gan_frame_open(c);
  gan_copy_into(c, t, v);
  gan_frame_close(c);
  if (gan_error(c)) gan_lua_raise(L, B, "tensor");
}

/* gan.tensor(number | nested table | string of bytes | tensor [, {dtype=, shape=, requires_grad=}])
   Numbers go row-major into float32 unless a type is given. Strings hold elements as x:bytes()
   gives them. */
int gan_lua_tensor (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_args x;
  char got[80];
  int top = lua_gettop(L);
  gan_lua_args_init(&x);
  gan_lua_read(L, B, "tensor", &tensor_sig, 2, top, &x);
  gan_dtype dtype = x.a[OPT_DTYPE].n < 0 ? GAN_REAL : (gan_dtype)x.a[OPT_DTYPE].i;
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  int result = lua_gettop(L);
  switch (lua_type(L, 1)) {
    case LUA_TNUMBER: case LUA_TBOOLEAN: from_number(L, B, h, dtype, &x); break;
    case LUA_TTABLE: from_table(L, B, h, dtype, &x); break;
    case LUA_TSTRING: from_bytes(L, B, h, dtype, &x); break;
    default:
      if (gan_lua_handle(L, B, 1)) from_tensor(L, B, h, &x);
      else
        gan_lua_error(L, "tensor", "argument 1 must be a number, a nested table, a string of bytes "
                      "or a tensor, got %s", gan_lua_describe(L, B, 1, got, sizeof got));
  }
  if (x.a[OPT_GRAD].i) {
    if (gan_type(h->t) != GAN_REAL)
      gan_lua_error(L, "tensor", "a %s tensor cannot require gradients",
                    gan_dtype_name(gan_type(h->t)));
    h->t->requires_grad = true;
  }
  lua_settop(L, result);
  return 1;
}

/* ---- to tables and strings ---------------------------------------------------------------- */

/* x:totable() -> nested tables of numbers; a number for 0 dimensions */
int gan_lua_totable (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_handle *h = gan_lua_handle(L, B, 1);
  const gan_tensor *t = gan_lua_check_tensor(L, B, 1, "totable", "x");
  int64_t at[GAN_MAXDIM] = { 0 }, offset = 0;
  int depth = 0;
  if (B->c->tape) gan_tape_looked_at(B->c, t, "totable");
  if (t->ndim == 0) {
    gan_lua_push_element(L, t, 0);
    return 1;
  }
  luaL_checkstack(L, GAN_MAXDIM + 8, NULL);
  lua_createtable(L, t->shape[0] > 100000000 ? 0 : (int)t->shape[0], 0);
  for (;;) { /* the top of the stack is the table of level `depth`; at[] counts its elements */
    if (h->t != t) gan_lua_error(L, "totable", "tensor was released");
    if (at[depth] == t->shape[depth]) {
      if (depth == 0) return 1;
      offset -= at[depth] * t->stride[depth];
      depth--;
      offset += t->stride[depth];
      lua_rawseti(L, -2, ++at[depth]);
    }
    else if (depth < t->ndim - 1) {
      at[++depth] = 0;
      lua_createtable(L, (int)t->shape[depth], 0);
    }
    else {
      gan_lua_push_element(L, t, offset);
      offset += t->stride[depth];
      lua_rawseti(L, -2, ++at[depth]);
    }
  }
}

/* x:bytes() -> the elements, row-major, little-endian, as a string */
int gan_lua_bytes (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_ctx *c = B->c;
  const gan_tensor *x = gan_lua_check_tensor(L, B, 1, "bytes", "x");
  if (c->tape) gan_tape_looked_at(c, x, "bytes");
  size_t n = (size_t)x->numel * gan_dtype_size(gan_type(x));
  luaL_Buffer b;
  char *p = luaL_buffinitsize(L, &b, n);
  gan_handle *h = gan_lua_handle(L, B, 1);
  if (h->t != x) gan_lua_error(L, "bytes", "tensor was released");
  gan_frame_open(c);
  const gan_tensor *y = gan_dense(c, h->t);
  if (y && n) memcpy(p, y->data, n);
  gan_frame_close(c);
  if (gan_error(c)) gan_lua_raise(L, B, "bytes");
  luaL_pushresultsize(&b, n);
  return 1;
}
