/*
** tensor.c - the userdata of a tensor: properties, rows, elements, printing.
*/
#include <stdio.h>
#include <string.h>

#include "../core/tape.h"
#include "binding.h"

/* ---- handles ------------------------------------------------------------------------------ */

gan_handle *gan_lua_new_handle (lua_State *L, gan_lua *B, int meta) {
  gan_handle *h = lua_newuserdatauv(L, sizeof *h, 0);
  h->t = NULL;
  h->B = B;
  h->scope = NULL;
  h->fate = GAN_HELD;
  lua_pushvalue(L, meta < 0 && meta > LUA_REGISTRYINDEX ? meta - 1 : meta);
  lua_setmetatable(L, -2);
  return h;
}

gan_handle *gan_lua_handle (lua_State *L, const gan_lua *B, int index) {
  void *p = lua_touserdata(L, index);
  if (!p || !lua_getmetatable(L, index)) return NULL;
  bool ours = lua_topointer(L, -1) == B->meta;
  lua_pop(L, 1);
  return ours ? p : NULL;
}

gan_tensor *gan_lua_check_tensor (lua_State *L, gan_lua *B, int index, const char *name,
                                  const char *arg) {
  gan_handle *h = gan_lua_handle(L, B, index);
  if (h && h->t) return h->t;
  char got[80];
  if (!h)
    gan_lua_error(L, name, "argument %d '%s' must be a tensor, got %s%s", index, arg,
                  gan_lua_describe(L, B, index, got, sizeof got),
                  index == 1 && lua_isnoneornil(L, 1) ? " (methods are called with a colon)" : "");
  gan_lua_error(L, name, "argument %d '%s': tensor was released%s", index, arg,
                h->fate == GAN_SCOPED ? " when its scope closed (x:keep() keeps it)" : "");
}

/* __gc, __close */
static int handle_gc (lua_State *L) {
  gan_handle *h = lua_touserdata(L, 1);
  if (h && lua_getmetatable(L, 1) && lua_rawequal(L, -1, lua_upvalueindex(UP_META)))
    gan_lua_drop(h, GAN_RELEASED);
  return 0;
}

static gan_tensor *self (lua_State *L, gan_lua *B, const char *name) {
  return gan_lua_check_tensor(L, B, 1, name, "x");
}

/* ---- properties --------------------------------------------------------------------------- */

static void push_ints (lua_State *L, int n, const int64_t *v) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, v[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

static int shape (lua_State *L) {
  const gan_tensor *t = self(L, gan_lua_enter(L), "shape");
  push_ints(L, t->ndim, t->shape);
  return 1;
}

static int stride (lua_State *L) {
  const gan_tensor *t = self(L, gan_lua_enter(L), "stride");
  push_ints(L, t->ndim, t->stride);
  return 1;
}

/* x:size(d) -> the size of one dimension; x:size() -> all of them */
static int size (lua_State *L) {
  const gan_tensor *t = self(L, gan_lua_enter(L), "size");
  if (lua_isnoneornil(L, 2)) {
    push_ints(L, t->ndim, t->shape);
    return 1;
  }
  lua_Integer given = gan_lua_check_int(L, 2, "size", "dim");
  int64_t d = gan_lua_base(L, "size", given, "dimensions");
  if (d < -t->ndim || d >= t->ndim)
    gan_lua_error(L, "size", "dimension %lld is out of range, the tensor has %d", (long long)given,
                  t->ndim);
  lua_pushinteger(L, t->shape[d < 0 ? d + t->ndim : d]);
  return 1;
}

static int dim (lua_State *L) {
  lua_pushinteger(L, self(L, gan_lua_enter(L), "dim")->ndim);
  return 1;
}

static int numel (lua_State *L) {
  lua_pushinteger(L, self(L, gan_lua_enter(L), "numel")->numel);
  return 1;
}

static int dtype (lua_State *L) {
  lua_pushstring(L, gan_dtype_name(gan_type(self(L, gan_lua_enter(L), "dtype"))));
  return 1;
}

static int is_contiguous (lua_State *L) {
  lua_pushboolean(L, gan_is_contiguous(self(L, gan_lua_enter(L), "is_contiguous")));
  return 1;
}

/* #x */
static int length (lua_State *L) {
  const gan_tensor *t = self(L, gan_lua_enter(L), "#");
  if (t->ndim == 0) gan_lua_error(L, "#", "a tensor of 0 dimensions has no length");
  lua_pushinteger(L, t->shape[0]);
  return 1;
}

/* ---- elements ----------------------------------------------------------------------------- */

static int item (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  const gan_tensor *t = self(L, B, "item");
  if (t->numel != 1)
    gan_lua_error(L, "item", "the tensor has shape %s; only one of a single element is a number "
                  "(x:get(i, ...), x:totable())", gan_shape_of(B->c, t));
  if (B->c->tape) gan_tape_looked_at(B->c, t, "item");
  gan_lua_push_element(L, t, 0);
  return 1;
}

/* Offset of the element at the 1-based position given from stack index `first` on. */
static int64_t position (lua_State *L, gan_lua *B, const gan_tensor *t, int first,
                         const char *name) {
  int given = lua_gettop(L) - first + 1;
  int64_t offset = 0;
  if (given != t->ndim)
    gan_lua_error(L, name, "the tensor %s needs %d positions, got %d", gan_shape_of(B->c, t),
                  t->ndim, given > 0 ? given : 0);
  for (int d = 0; d < t->ndim; d++) {
    lua_Integer given_at = gan_lua_check_int(L, first + d, name, "position");
    int64_t i = gan_lua_base(L, name, given_at, "positions");
    if (i < -t->shape[d] || i >= t->shape[d])
      gan_lua_error(L, name, "position %lld is out of range in dimension %d of %s",
                    (long long)given_at, d + 1, gan_shape_of(B->c, t));
    offset += (i < 0 ? i + t->shape[d] : i) * t->stride[d];
  }
  return offset;
}

/* x:get(i, j, ...) -> the number at a position */
static int get (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  const gan_tensor *t = self(L, B, "get");
  if (B->c->tape) gan_tape_looked_at(B->c, t, "get");
  gan_lua_push_element(L, t, position(L, B, t, 2, "get"));
  return 1;
}

/* The rules of in-place ops, for changes that are made here. */
static void check_writable (lua_State *L, gan_lua *B, const gan_tensor *t, const char *name) {
  if (B->c->recording && gan_tracked(t))
    gan_lua_error(L, name, "'x' is part of a gradient graph and cannot be changed in place "
                  "(use gan.no_grad, or x:detach())");
  for (int d = 0; d < t->ndim; d++)
    if (t->stride[d] == 0 && t->shape[d] > 1)
      gan_lua_error(L, name, "'x' is an expanded view %s: several of its elements are one in "
                    "memory (make a copy first with x:contiguous())", gan_shape_of(B->c, t));
}

/* x:set(v, i, j, ...) */
static int set (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_tensor *t = self(L, B, "set");
  check_writable(L, B, t, "set");
  int64_t offset = position(L, B, t, 3, "set");
  char got[80];
  if (!gan_lua_fits(L, 2, gan_type(t)))
    gan_lua_error(L, "set", "argument 2 'v' must be a number that fits in %s, got %s",
                  gan_dtype_name(gan_type(t)), gan_lua_describe(L, B, 2, got, sizeof got));
  if (B->c->tape) gan_tape_written(B->c, t, "set");
  gan_lua_store_element(L, 2, t, offset);
  gan_touch(t);
  return 0;
}

/* ---- rows --------------------------------------------------------------------------------- */

/* 0-based row for the key at stack index 2; false when there is no such row. */
static bool row (lua_State *L, gan_lua *B, const gan_tensor *t, int64_t *i) {
  int integral = 0;
  char got[80];
  lua_Integer v = lua_type(L, 2) == LUA_TNUMBER ? lua_tointegerx(L, 2, &integral) : 0;
  if (!integral)
    luaL_error(L, "x[i]: a tensor is indexed by an integer, got %s",
               gan_lua_describe(L, B, 2, got, sizeof got));
  if (t->ndim == 0 || v == 0 || v > t->shape[0] || v < -t->shape[0]) return false;
  *i = v > 0 ? v - 1 : v + t->shape[0];
  return true;
}

/* Row i of x, part of the graph. [temp] */
static gan_tensor *row_of (gan_ctx *c, gan_tensor *x, int64_t i) {
  if (!c->recording || !gan_tracked(x))
    return gan_view(c, x, x->ndim - 1, x->shape + 1, x->stride + 1, i * x->stride[0]);
  return gan_reshape(c, gan_slice(c, x, 0, i, 1, 1), x->ndim - 1, x->shape + 1);
}

/* x[i] as the op that it is. */
static int select_row (lua_State *L) {
  lua_getfield(L, lua_upvalueindex(UP_OWN), "select");
  lua_pushvalue(L, 1);
  lua_pushinteger(L, 1);
  lua_pushvalue(L, 2);
  lua_call(L, 3, 1);
  return 1;
}

/* x.name: a method; x[i]: row i, nil where there is none (so that ipairs ends). Upvalue 3 holds
   the methods. */
static int index_ (lua_State *L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_rawget(L, lua_upvalueindex(UP_OWN));
    return 1;
  }
  gan_lua *B = gan_lua_enter(L);
  gan_ctx *c = B->c;
  int64_t i;
  self(L, B, "x[i]");
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  gan_tensor *x = self(L, B, "x[i]"); /* again: making the handle may have run finalisers */
  if (!row(L, B, x, &i)) return 0;
  if (B->tracing) return select_row(L);
  gan_loan loan;
  gan_lua_lend(&loan, L, B, 0);
  gan_frame_open(c);
  gan_tensor *y = row_of(c, x, i);
  if (y) gan_lua_fill(L, h, y);
  gan_frame_close(c);
  gan_lua_take_back(&loan);
  if (gan_error(c)) gan_lua_raise(L, B, "x[i]");
  return 1;
}

/* v, broadcast, or the number at stack index 3, into the row; no graph. */
static void write_row (lua_State *L, gan_ctx *c, gan_tensor *x, int64_t i, gan_tensor *v) {
  if (c->tape) gan_tape_written(c, x, "x[i] = v");
  gan_tensor *y = gan_view(c, x, x->ndim - 1, x->shape + 1, x->stride + 1, i * x->stride[0]);
  if (v && v->st == x->st) { /* may overlap the row */
    gan_tensor *copy = gan_new(c, gan_type(v), v->ndim, v->shape);
    gan_copy_into(c, copy, v);
    v = copy;
  }
  else if (!v && (v = gan_new(c, gan_type(x), 0, NULL)))
    gan_lua_store_element(L, 3, v, 0);
  if (!y || !v) return;
  bool recording = c->recording;
  c->recording = false;
  gan_copy_into(c, y, gan_same_shape(v, y) ? v : gan_expand(c, v, y->ndim, y->shape));
  c->recording = recording;
  if (!gan_error(c)) gan_touch(x);
}

/* x[i] = v: a number, or a tensor that is broadcast to the row */
static int newindex (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_ctx *c = B->c;
  char got[80];
  int64_t i;
  gan_tensor *x = self(L, B, "x[i]");
  if (lua_type(L, 2) == LUA_TSTRING)
    luaL_error(L, "a tensor has no field '%s' to set", lua_tostring(L, 2));
  if (!row(L, B, x, &i))
    gan_lua_error(L, "x[i] = v", "row %lld is out of range, the tensor is %s",
                  (long long)lua_tointeger(L, 2), gan_shape_of(c, x));
  check_writable(L, B, x, "x[i] = v");
  bool number = gan_lua_fits(L, 3, gan_type(x));
  if (!number && !gan_lua_handle(L, B, 3))
    gan_lua_error(L, "x[i] = v", "v must be a tensor or a number that fits in %s, got %s",
                  gan_dtype_name(gan_type(x)), gan_lua_describe(L, B, 3, got, sizeof got));
  gan_tensor *v = number ? NULL : gan_lua_check_tensor(L, B, 3, "x[i] = v", "v");
  if (v && c->recording && gan_tracked(v))
    gan_lua_error(L, "x[i] = v", "the gradient of 'v' would be lost in a change in place "
                  "(use gan.no_grad, v:detach(), or gan.cat and gan.where)");
  if (v && v->dtype != x->dtype)
    gan_lua_error(L, "x[i] = v", "a %s tensor into a %s tensor (convert it with v:to(\"%s\"))",
                  gan_dtype_name(gan_type(v)), gan_dtype_name(gan_type(x)),
                  gan_dtype_name(gan_type(x)));
  gan_loan loan;
  gan_lua_lend(&loan, L, B, 0);
  gan_frame_open(c);
  write_row(L, c, x, i, v);
  gan_frame_close(c);
  gan_lua_take_back(&loan);
  if (gan_error(c)) gan_lua_raise(L, B, "x[i] = v");
  return 0;
}

/* ---- what is refused ---------------------------------------------------------------------- */

static int no_less (lua_State *L) {
  return luaL_error(L, "tensors have no order: use x:lt(y) for each element");
}

static int no_less_equal (lua_State *L) {
  return luaL_error(L, "tensors have no order: use x:le(y) for each element");
}

/* ---- printing ----------------------------------------------------------------------------- */

/* tensor(2 x 3, float32) */
static int short_text (lua_State *L, gan_lua *B, const gan_tensor *t) {
  const char *s = gan_shape_of(B->c, t);
  if (t->ndim == 0) lua_pushfstring(L, "tensor(%s)", gan_dtype_name(gan_type(t)));
  else {
    lua_pushlstring(L, s, strlen(s) - 1); /* without the parenthesis at its end */
    lua_pushfstring(L, "tensor%s, %s)", lua_tostring(L, -1), gan_dtype_name(gan_type(t)));
  }
  return 1;
}

/* tostring(x): by gan.pretty where the library has it */
static int tostring (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_handle *h = gan_lua_handle(L, B, 1);
  if (h && !h->t) {
    lua_pushliteral(L, "tensor (released)");
    return 1;
  }
  gan_tensor *t = self(L, B, "tostring");
  gan_lua_push_module(L);
  lua_getfield(L, -1, "pretty");
  if (lua_isnil(L, -1)) return short_text(L, B, t);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* ---- the metatable ------------------------------------------------------------------------ */

const luaL_Reg gan_lua_tensor_methods[] = {
  { "shape", shape }, { "size", size }, { "stride", stride }, { "dim", dim }, { "numel", numel },
  { "dtype", dtype }, { "is_contiguous", is_contiguous }, { "item", item }, { "get", get },
  { "set", set }, { "totable", gan_lua_totable }, { "bytes", gan_lua_bytes }, { NULL, NULL }
};

const luaL_Reg gan_lua_tensor_functions[] = { { "tensor", gan_lua_tensor }, { NULL, NULL } };

static const luaL_Reg events[] = { { "__gc", handle_gc },       { "__close", handle_gc },
                                   { "__len", length },         { "__newindex", newindex },
                                   { "__lt", no_less },         { "__le", no_less_equal },
                                   { "__tostring", tostring },  { NULL, NULL } };

/* Stack: metatable, module, methods; takes the methods. */
void gan_lua_open_tensor (lua_State *L) {
  gan_lua_push_closure(L, index_);
  lua_setfield(L, -3, "__index");
  lua_pushvalue(L, -2);
  gan_lua_seal(L, "gan.tensor");
  gan_lua_register(L, events, true);
  lua_pop(L, 1);
}
