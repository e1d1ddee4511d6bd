/*
** trace.c - gan.debug.trace: a Lua function is told of every op that is called. gan.onnx makes its
** graph of it.
*/
#include <string.h>

#include "binding.h"

static const char listener_key = 0; /* its address: the listener's place in the registry */

/* ---- what the listener is told ------------------------------------------------------------- */

/* A handle of its own, which no scope releases. The tensor's owner is on the stack meanwhile. */
static void push_tensor (lua_State *L, gan_lua *B, gan_tensor *t) {
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  h->t = gan_retain(t);
  gan_lua_link(h, NULL);
}

static lua_Integer one_based (int64_t v) {
  return v >= 0 ? v + 1 : v;
}

static void push_list (lua_State *L, gan_lua *B, gan_kind kind, const gan_arg *a) {
  lua_createtable(L, a->n, 0);
  for (int i = 0; i < a->n; i++) {
    if (kind == GAN_K_TENSORS) push_tensor(L, B, a->ts[i]);
    else lua_pushinteger(L, kind == GAN_K_DIMS ? one_based(a->v[i]) : a->v[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

static void push_word (lua_State *L, const char *words, int64_t number) {
  while (number-- > 0 && strchr(words, '|')) words = strchr(words, '|') + 1;
  lua_pushlstring(L, words, strcspn(words, "|"));
}

/* Argument k as a Lua user would have written it. */
static void push_argument (lua_State *L, gan_lua *B, const gan_param *p, const gan_arg *a,
                           bool number) {
  if (number) {
    lua_pushnumber(L, a->num);
    return;
  }
  switch (p->kind) {
    case GAN_K_NUMBER: lua_pushnumber(L, a->num); break;
    case GAN_K_INT: lua_pushinteger(L, a->i); break;
    case GAN_K_BOOL: lua_pushboolean(L, a->i != 0); break;
    case GAN_K_DIM: case GAN_K_INDEX: lua_pushinteger(L, one_based(a->i)); break;
    case GAN_K_TEXT: lua_pushstring(L, a->s); break;
    case GAN_K_DTYPE: lua_pushstring(L, gan_dtype_name((gan_dtype)a->i)); break;
    case GAN_K_WORD: push_word(L, p->words, a->i); break;
    case GAN_K_DIMS: case GAN_K_INTS: case GAN_K_SHAPE: case GAN_K_TENSORS:
      push_list(L, B, p->kind, a);
      break;
    default: push_tensor(L, B, a->t);
  }
}

static void push_arguments (lua_State *L, gan_lua *B, const gan_sig *s, const gan_args *x) {
  lua_createtable(L, 0, s->nargs);
  for (int k = 0; k < s->nargs; k++) {
    if (x->a[k].n < 0) continue;
    push_argument(L, B, &s->p[k], &x->a[k], x->numbers >> k & 1);
    lua_setfield(L, -2, s->p[k].name);
  }
}

static void push_outputs (lua_State *L, gan_lua *B, int first, int n) {
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    gan_handle *h = gan_lua_handle(L, B, first + i);
    if (!h || !h->t) continue; /* ops without results, such as an optimiser's step */
    push_tensor(L, B, h->t);
    lua_rawseti(L, -2, i + 1);
  }
}

int gan_lua_trace (lua_State *L, gan_lua *B, const gan_op *op, int top, int n) {
  int first = lua_gettop(L) - n + 1;
  gan_args x;
  luaL_checkstack(L, n + 20, NULL);
  gan_lua_args_init(&x);
  gan_lua_read_all(L, B, op->name, op->parsed, 1, top, &x);
  B->tracing = false; /* what the listener does is its own business */
  lua_rawgetp(L, LUA_REGISTRYINDEX, &listener_key);
  lua_pushstring(L, op->name);
  push_arguments(L, B, op->parsed, &x);
  push_outputs(L, B, first, n);
  int status = lua_pcall(L, 3, 0, 0);
  B->tracing = true;
  if (status != LUA_OK) return lua_error(L);
  lua_settop(L, first + n - 1);
  return n;
}

/* ---- for Lua ------------------------------------------------------------------------------- */

/* trace(listener, f, ...): calls f(...) and returns its results; after every op inside,
   listener(name, arguments by name, results) is called. */
static int trace (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  bool before = B->tracing;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_checkany(L, 2);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &listener_key); /* of a trace around this one */
  lua_pushvalue(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &listener_key);
  lua_replace(L, 1);
  B->tracing = true;
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  B->tracing = before;
  lua_pushvalue(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &listener_key);
  if (status != LUA_OK) return lua_error(L);
  return lua_gettop(L) - 1;
}

/* memory(x) -> a string that two tensors share which are the same memory seen the same way, a
   number for the memory as a whole, and how often that was changed in place. */
static int memory (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  const gan_tensor *t = gan_lua_check_tensor(L, B, 1, "debug.memory", "x");
  int64_t view[3 + 2 * GAN_MAXDIM];
  int n = 0;
  view[n++] = (int64_t)(intptr_t)t->data;
  view[n++] = t->dtype;
  view[n++] = t->ndim;
  for (int d = 0; d < t->ndim; d++) {
    view[n++] = t->shape[d];
    view[n++] = t->shape[d] > 1 ? t->stride[d] : 0;
  }
  lua_pushlstring(L, (const char *)view, (size_t)n * sizeof *view);
  lua_pushinteger(L, (lua_Integer)(intptr_t)t->st);
  lua_pushinteger(L, (lua_Integer)t->st->version);
  return 3;
}

const luaL_Reg gan_lua_trace_functions[] = { { "trace", trace }, { "memory", memory },
                                             { NULL, NULL } };
