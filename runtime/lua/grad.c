/*
** grad.c - gradients for Lua: backward and grad, leaves, recording on and off.
*/
#include <string.h>

#include "../core/tape.h"
#include "binding.h"

/* ---- the state of a pass ------------------------------------------------------------------ */

/* Raises what a pass left behind: the error value of a Lua callback unchanged, or the context's
   message. */
static void raise_failure (lua_State *L, gan_lua *B, const gan_loan *loan, const char *name) {
  if (gan_error(B->c) == GAN_OK) return;
  if (!loan->failed) gan_lua_raise(L, B, name);
  gan_clear_error(B->c);
  lua_pushvalue(L, loan->error);
  lua_error(L);
}

/* ---- backward ----------------------------------------------------------------------------- */

enum { BW_Y, BW_GY, BW_INPUTS, BW_RETAIN, BW_CREATE };
static const gan_sig backward_sig = {
  .nargs = 5,
  .npositional = 2,
  .p = { { .name = "y", .kind = GAN_K_TENSOR },
         { .name = "gy", .kind = GAN_K_TENSOR, .optional = true },
         { .name = "inputs", .kind = GAN_K_TENSORS, .optional = true },
         { .name = "retain_graph", .kind = GAN_K_BOOL, .optional = true },
         { .name = "create_graph", .kind = GAN_K_BOOL, .has_default = true, .value = { .n = 1 } } }
};

static bool retain_graph (const gan_args *x, int retain, int create) {
  return x->a[retain].n < 0 ? x->a[create].i != 0 : x->a[retain].i != 0;
}

static void retain_list (gan_tensor **t, int n) {
  for (int i = 0; i < n; i++) gan_retain(t[i]);
}

static void release_list (gan_tensor **t, int n) {
  for (int i = 0; i < n; i++) gan_release(t[i]);
}

/* y:backward([gy,] {inputs=, retain_graph=, create_graph=}) */
static int backward (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_ctx *c = B->c;
  gan_args x;
  gan_loan loan;
  int top = lua_gettop(L);
  gan_lua_args_init(&x);
  lua_pushnil(L);
  gan_lua_read_all(L, B, "backward", &backward_sig, 1, top, &x);
  gan_tensor *y = x.a[BW_Y].t, *gy = x.a[BW_GY].n < 0 ? NULL : x.a[BW_GY].t;
  gan_tensor **inputs = x.a[BW_INPUTS].ts;
  int n = x.a[BW_INPUTS].n;
  if (n == 0) return 0; /* gradients for no tensor at all */
  gan_retain(y);
  gan_retain(gy);
  retain_list(inputs, n);
  gan_lua_lend(&loan, L, B, top + 1);
  gan_frame_open(c);
  gan_backward(c, y, gy, n > 0 ? n : 0, inputs, retain_graph(&x, BW_RETAIN, BW_CREATE),
               x.a[BW_CREATE].i != 0);
  gan_frame_close(c);
  gan_lua_take_back(&loan);
  release_list(inputs, n);
  gan_release(gy);
  gan_release(y);
  raise_failure(L, B, &loan, "backward");
  return 0;
}

/* ---- grad --------------------------------------------------------------------------------- */

enum { GR_Y, GR_X, GR_CREATE, GR_RETAIN, GR_UNUSED, GR_GY };
static const gan_sig grad_sig = {
  .nargs = 6,
  .npositional = 2,
  .p = { { .name = "y", .kind = GAN_K_TENSOR },
         { .name = "inputs", .kind = GAN_K_TENSORS },
         { .name = "create_graph", .kind = GAN_K_BOOL, .has_default = true, .value = { .n = 1 } },
         { .name = "retain_graph", .kind = GAN_K_BOOL, .optional = true },
         { .name = "allow_unused", .kind = GAN_K_BOOL, .has_default = true, .value = { .n = 1 } },
         { .name = "grad_outputs", .kind = GAN_K_TENSOR, .optional = true } }
};

/* The pass itself; fills the n handles from stack index `at` on, nil where there is no gradient. */
static void run_grad (lua_State *L, gan_lua *B, gan_args *x, int n, int at, int slot,
                      gan_tensor **out) {
  gan_ctx *c = B->c;
  gan_loan loan;
  gan_tensor *y = gan_retain(x->a[GR_Y].t);
  gan_tensor *gy = x->a[GR_GY].n < 0 ? NULL : gan_retain(x->a[GR_GY].t);
  gan_tensor **inputs = x->a[GR_X].ts;
  retain_list(inputs, n);
  gan_lua_lend(&loan, L, B, slot);
  gan_frame_open(c);
  bool ok = gan_gradient(c, y, gy, n, inputs, out, retain_graph(x, GR_RETAIN, GR_CREATE),
                         x->a[GR_CREATE].i != 0, x->a[GR_UNUSED].i != 0);
  for (int i = 0; ok && i < n; i++) {
    if (out[i]) gan_lua_fill(L, lua_touserdata(L, at + i), out[i]);
    else {
      lua_pushnil(L);
      lua_replace(L, at + i);
    }
  }
  gan_frame_close(c);
  gan_lua_take_back(&loan);
  release_list(inputs, n);
  gan_release(gy);
  gan_release(y);
  raise_failure(L, B, &loan, "grad");
}

/* gan.grad(y, x1, x2, ... | {x1, x2, ...}, {create_graph=, retain_graph=, allow_unused=,
   grad_outputs=}) -> one gradient per input */
static int grad (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_args x;
  int top = lua_gettop(L), slot = top + 1;
  gan_lua_args_init(&x);
  lua_pushnil(L);
  gan_lua_read_all(L, B, "grad", &grad_sig, 1, top, &x);
  int n = x.a[GR_X].n;
  luaL_checkstack(L, n + 20, "too many inputs");
  gan_tensor **out = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *out, 0);
  int at = lua_gettop(L) + 1;
  for (int i = 0; i < n; i++) gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  gan_lua_read(L, B, "grad", &grad_sig, 1, top, &x); /* again: finalisers may have run */
  run_grad(L, B, &x, n, at, slot, out);
  return n;
}

/* ---- leaves ------------------------------------------------------------------------------- */

static int requires_grad (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  lua_pushboolean(L, gan_tracked(gan_lua_check_tensor(L, B, 1, "requires_grad", "x")));
  return 1;
}

static void check_real (lua_State *L, const gan_tensor *t, const char *name) {
  if (gan_type(t) != GAN_REAL)
    gan_lua_error(L, name, "a %s tensor cannot require gradients", gan_dtype_name(gan_type(t)));
}

/* x:requires_grad_([bool]) -> x */
static int set_requires_grad (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_tensor *t = gan_lua_check_tensor(L, B, 1, "requires_grad_", "x");
  char got[80];
  if (!lua_isnoneornil(L, 2) && !lua_isboolean(L, 2))
    gan_lua_error(L, "requires_grad_", "argument 2 must be true or false, got %s",
                  gan_lua_describe(L, B, 2, got, sizeof got));
  bool on = lua_isnoneornil(L, 2) || lua_toboolean(L, 2);
  if (on) check_real(L, t, "requires_grad_");
  if (t->node && !on)
    gan_lua_error(L, "requires_grad_", "only leaves can be switched off, this tensor is the result "
                  "of an op (use x:detach())");
  if (!t->node) t->requires_grad = on;
  lua_settop(L, 1);
  return 1;
}

static int is_leaf (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  lua_pushboolean(L, !gan_lua_check_tensor(L, B, 1, "is_leaf", "x")->node);
  return 1;
}

/* x:grad() -> the accumulated gradient, or nil */
static int get_grad (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_lua_check_tensor(L, B, 1, "grad", "x");
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  gan_tensor *t = gan_lua_check_tensor(L, B, 1, "grad", "x");
  if (!t->grad) return 0;
  gan_lua_fill(L, h, t->grad);
  return 1;
}

/* x:set_grad(g or nil) */
static int set_grad (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_tensor *t = gan_lua_check_tensor(L, B, 1, "set_grad", "x"), *g = NULL;
  if (!lua_isnoneornil(L, 2)) {
    g = gan_lua_check_tensor(L, B, 2, "set_grad", "g");
    if (gan_type(g) != GAN_REAL || gan_type(t) != GAN_REAL || !gan_same_shape(t, g))
      gan_lua_error(L, "set_grad", "the gradient is a %s tensor %s, the tensor %s %s",
                    gan_dtype_name(gan_type(g)), gan_shape_of(B->c, g), gan_dtype_name(gan_type(t)),
                    gan_shape_of(B->c, t));
    if (g == t) gan_lua_error(L, "set_grad", "a tensor cannot be its own gradient");
  }
  gan_tensor *old = t->grad;
  t->grad = gan_retain(g);
  gan_release(old);
  if (B->c->tape) gan_tape_grad_set(B->c, t);
  return 0;
}

static int zero_grad (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_tensor *t = gan_lua_check_tensor(L, B, 1, "zero_grad", "x"), *old = t->grad;
  t->grad = NULL;
  gan_release(old);
  if (B->c->tape) gan_tape_grad_set(B->c, t);
  return 0;
}

/* An alias of x (the same memory) without its place in the graph. */
static int alias (lua_State *L, const char *name, bool leaf) {
  gan_lua *B = gan_lua_enter(L);
  gan_ctx *c = B->c;
  gan_lua_check_tensor(L, B, 1, name, "x");
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  gan_tensor *x = gan_lua_check_tensor(L, B, 1, name, "x");
  if (leaf) check_real(L, x, name);
  gan_frame_open(c);
  gan_tensor *y = gan_detach(c, x);
  if (y) {
    y->requires_grad = leaf;
    gan_lua_fill(L, h, y);
  }
  gan_frame_close(c);
  if (gan_error(c)) gan_lua_raise(L, B, name);
  return 1;
}

static int detach (lua_State *L) {
  return alias(L, "detach", false);
}

/* gan.require_grad(x): a leaf that shares x's memory */
static int require_grad (lua_State *L) {
  return alias(L, "require_grad", true);
}

/* ---- recording ---------------------------------------------------------------------------- */

/* Calls the function at index 1 with recording on or off; a to-be-closed guard (whose metatable is
   upvalue 3) restores the mode, after an error too. */
static int with_recording (lua_State *L, const char *name, bool on) {
  gan_lua *B = gan_lua_enter(L);
  int n = lua_gettop(L);
  char got[80];
  if (!lua_isfunction(L, 1) && !luaL_getmetafield(L, 1, "__call"))
    gan_lua_error(L, name, "argument 1 'f' must be a function, got %s",
                  gan_lua_describe(L, B, 1, got, sizeof got));
  lua_settop(L, n);
  gan_lua_push_guard(L, B, lua_upvalueindex(UP_OWN));
  lua_insert(L, 1);
  lua_toclose(L, 1);
  B->c->recording = on;
  lua_call(L, n - 1, LUA_MULTRET);
  return lua_gettop(L) - 1;
}

static int no_grad (lua_State *L) {
  return with_recording(L, "no_grad", false);
}

static int enable_grad (lua_State *L) {
  return with_recording(L, "enable_grad", true);
}

static int is_grad_enabled (lua_State *L) {
  lua_pushboolean(L, gan_lua_enter(L)->c->recording);
  return 1;
}

static int set_grad_enabled (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  bool before = B->c->recording;
  char got[80];
  if (!lua_isboolean(L, 1))
    gan_lua_error(L, "set_grad_enabled", "argument 1 must be true or false, got %s",
                  gan_lua_describe(L, B, 1, got, sizeof got));
  B->c->recording = lua_toboolean(L, 1);
  lua_pushboolean(L, before);
  return 1;
}

/* ---- guards ------------------------------------------------------------------------------- */

typedef struct {
  gan_ctx *c;
  bool before;
} guard;

void gan_lua_push_guard (lua_State *L, gan_lua *B, int meta) {
  guard *g = lua_newuserdatauv(L, sizeof *g, 0);
  *g = (guard){ B->c, B->c->recording };
  lua_pushvalue(L, meta);
  lua_setmetatable(L, -2);
}

static int guard_close (lua_State *L) {
  guard *g = lua_touserdata(L, 1);
  if (!g || !lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(UP_OWN))) return 0;
  if (g->c) g->c->recording = g->before;
  g->c = NULL;
  return 0;
}

/* ---- tables ------------------------------------------------------------------------------- */

const luaL_Reg gan_lua_grad_methods[] = {
  { "backward", backward }, { "requires_grad", requires_grad },
  { "requires_grad_", set_requires_grad }, { "is_leaf", is_leaf }, { "grad", get_grad },
  { "set_grad", set_grad }, { "zero_grad", zero_grad }, { "detach", detach },
  { "require_grad", require_grad }, { NULL, NULL }
};

static const luaL_Reg functions[] = {
  { "grad", grad }, { "is_grad_enabled", is_grad_enabled },
  { "set_grad_enabled", set_grad_enabled }, { "detach", detach },
  { "require_grad", require_grad }, { NULL, NULL }
};

void gan_lua_open_grad (lua_State *L) {
  int module = lua_gettop(L), meta = module + 1;
  gan_lua_register(L, functions, false);
  lua_newtable(L);
  lua_pushvalue(L, meta);
  gan_lua_push_closure(L, guard_close);
  lua_setfield(L, meta, "__close");
  lua_pushvalue(L, meta);
  gan_lua_push_closure(L, no_grad);
  lua_setfield(L, module, "no_grad");
  lua_pushvalue(L, meta);
  gan_lua_push_closure(L, enable_grad);
  lua_setfield(L, module, "enable_grad");
  gan_lua_open_function(L, meta); /* gan.Function, which uses guards too */
  lua_settop(L, module);
}
