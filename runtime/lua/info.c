/*
** info.c - gan.ops(): the registry as a Lua table, from which help, the REPL's completion and the
** generated tests are made.
*/
#include <string.h>

#include "binding.h"

static const char *const kind_names[] = {
  "tensor", "any", "labels", "tensors", "operand", "anyoperand", "number", "int", "bool",
  "dim", "dims", "ints", "shape", "index", "text", "dtype", "word"
}; /* in the order of gan_kind */

static void set_string (lua_State *L, const char *name, const char *s) {
  if (!s) return;
  lua_pushstring(L, s);
  lua_setfield(L, -2, name);
}

static void set_bool (lua_State *L, const char *name, bool v) {
  lua_pushboolean(L, v);
  lua_setfield(L, -2, name);
}

/* "none|mean|sum" -> { "none", "mean", "sum" } */
static void push_words (lua_State *L, const char *words) {
  int i = 0;
  lua_newtable(L);
  for (const char *p = words; *p;) {
    size_t n = strcspn(p, "|");
    lua_pushlstring(L, p, n);
    lua_rawseti(L, -2, ++i);
    p += n + (p[n] == '|');
  }
}

static void push_word (lua_State *L, const char *words, int64_t number) {
  while (number-- > 0 && strchr(words, '|')) words = strchr(words, '|') + 1;
  lua_pushlstring(L, words, strcspn(words, "|"));
}

static lua_Integer one_based (int64_t v) {
  return v >= 0 ? v + 1 : v;
}

/* The default as a Lua user would write it: dimensions and positions from 1. */
static void push_default (lua_State *L, const gan_param *p) {
  switch (p->kind) {
    case GAN_K_NUMBER: lua_pushnumber(L, p->value.num); break;
    case GAN_K_BOOL: lua_pushboolean(L, p->value.i != 0); break;
    case GAN_K_TEXT: lua_pushstring(L, p->value.s); break;
    case GAN_K_DTYPE: lua_pushstring(L, gan_dtype_name((gan_dtype)p->value.i)); break;
    case GAN_K_WORD: push_word(L, p->words, p->value.i); break;
    case GAN_K_DIM: case GAN_K_INDEX: lua_pushinteger(L, one_based(p->value.i)); break;
    case GAN_K_DIMS: lua_pushinteger(L, one_based(p->value.v[0])); break;
    case GAN_K_INTS: case GAN_K_SHAPE: lua_pushinteger(L, p->value.v[0]); break;
    default: lua_pushinteger(L, p->value.i);
  }
}

static void push_param (lua_State *L, const gan_sig *s, int k) {
  const gan_param *p = &s->p[k];
  lua_createtable(L, 0, 8);
  set_string(L, "name", p->name);
  set_string(L, "kind", kind_names[p->kind]);
  set_bool(L, "optional", p->optional);
  set_bool(L, "mutated", p->mutated);
  set_bool(L, "positional", k < s->npositional);
  if (p->words) {
    push_words(L, p->words);
    lua_setfield(L, -2, "words");
  }
  if (p->has_default) {
    push_default(L, p);
    lua_setfield(L, -2, "default");
  }
}

static void push_params (lua_State *L, const gan_sig *s) {
  lua_createtable(L, s->nargs, 0);
  for (int k = 0; k < s->nargs; k++) {
    push_param(L, s, k);
    lua_rawseti(L, -2, k + 1);
  }
}

static void push_outputs (lua_State *L, const gan_sig *s) {
  int n = s->nout < 0 ? 1 : s->nout;
  lua_createtable(L, n, 0);
  for (int k = 0; k < n; k++) {
    lua_createtable(L, 0, 2);
    set_string(L, "name", s->out[k]);
    set_bool(L, "nograd", s->out_nograd[k]);
    lua_rawseti(L, -2, k + 1);
  }
}

static void push_op (lua_State *L, const gan_op *op) {
  lua_createtable(L, 0, 14);
  set_string(L, "name", op->name);
  set_string(L, "family", gan_op_family(op));
  set_string(L, "sig", op->sig);
  set_string(L, "doc", op->doc);
  set_string(L, "example", op->example);
  set_bool(L, "random", op->flags & GAN_RANDOM);
  set_bool(L, "update", op->flags & GAN_UPDATE);
  set_bool(L, "differentiable", op->vjp != NULL);
  set_bool(L, "fused", op->fused != NULL);
  set_bool(L, "variable", op->parsed->nout < 0);
  push_params(L, op->parsed);
  lua_setfield(L, -2, "params");
  push_outputs(L, op->parsed);
  lua_setfield(L, -2, "outputs");
}

/* gan.ops() -> an array with one table per op, in the order of the registry */
int gan_lua_ops (lua_State *L) {
  int n = gan_op_total(), count = 0;
  gan_lua_enter(L);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    const gan_op *op = gan_op_at(i);
    if (op->flags & GAN_HIDDEN) continue;
    push_op(L, op);
    lua_rawseti(L, -2, ++count);
  }
  return 1;
}
