/*
** module.c - opening the module in a Lua state, the life of its context, errors at the edge.
**
** The registry holds one box per state: a userdata that points to the binding (gan_lua), with the
** metatable of tensors and the module's table as user values. A second `require` finds them there.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/tape.h"
#include "../kernels/isa.h"
#include "binding.h"

extern const struct gan_embedded {
  const char *name, *data, *end;
} gan_embedded_sources[];

/* The address is the key of the box in the registry. */
static const char box_key = 0;

enum { BOX_META = 1, BOX_MODULE = 2 }; /* user values of the box */

/* ---- errors ------------------------------------------------------------------------------- */

int gan_lua_error (lua_State *L, const char *name, const char *fmt, ...) {
  char text[1200];
  int n = name ? snprintf(text, sizeof text, "%s: ", name) : 0;
  va_list args;
  va_start(args, fmt);
  vsnprintf(text + n, sizeof text - (size_t)n, fmt, args);
  va_end(args);
  for (;;) luaL_error(L, "%s", text);
}

/* Cleared first: the calls that raise may themselves run out of memory. */
int gan_lua_raise (lua_State *L, gan_lua *B, const char *name) {
  char text[sizeof B->c->message];
  snprintf(text, sizeof text, "%s", gan_error_message(B->c));
  gan_clear_error(B->c);
  gan_lua_error(L, name, "%s", *text ? text : "out of memory");
}

/* ---- the binding of a state --------------------------------------------------------------- */

static int box_gc (lua_State *L) {
  gan_lua **box = lua_touserdata(L, 1);
  gan_lua *B = *box;
  *box = NULL;
  if (!B) return 0;
  gan_lua_close_prefetches(B);
  gan_lua_close_scopes(B);
  while (B->handles) gan_lua_drop(B->handles, GAN_RELEASED);
  gan_lua_forget_records(B);
  gan_lua_drop_recordings(B);
  gan_close(B->c);
  free(B);
  return 0;
}

static gan_lua **find_box (lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &box_key);
  return lua_touserdata(L, -1);
}

gan_lua *gan_lua_find (lua_State *L) {
  gan_lua **box = find_box(L);
  lua_pop(L, 1);
  return box ? *box : NULL;
}

static void push_from_box (lua_State *L, int n) {
  find_box(L);
  lua_getiuservalue(L, -1, n);
  lua_remove(L, -2);
}

void gan_lua_push_meta (lua_State *L) {
  push_from_box(L, BOX_META);
}

void gan_lua_push_module (lua_State *L) {
  push_from_box(L, BOX_MODULE);
}

/* ---- registering functions ---------------------------------------------------------------- */

void gan_lua_push_closure (lua_State *L, lua_CFunction f) {
  find_box(L);
  lua_getiuservalue(L, -1, BOX_META);
  lua_rotate(L, -3, 2); /* box, metatable, the function's own value */
  lua_pushcclosure(L, f, 3);
}

void gan_lua_register (lua_State *L, const luaL_Reg *list, bool replace) {
  for (; list->name; list++) {
    if (!replace && lua_getfield(L, -1, list->name) != LUA_TNIL) {
      lua_pop(L, 1);
      continue;
    }
    if (!replace) lua_pop(L, 1);
    lua_pushnil(L);
    gan_lua_push_closure(L, list->func);
    lua_setfield(L, -2, list->name);
  }
}

void gan_lua_seal (lua_State *L, const char *name) {
  lua_createtable(L, 0, 1);
  lua_pushstring(L, name);
  lua_pushvalue(L, -1);
  lua_setfield(L, -4, "__name");
  lua_setfield(L, -2, "__name");
  lua_setfield(L, -2, "__metatable");
}

/* ---- functions about the process and the context ------------------------------------------ */

static int is_tensor (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  lua_pushboolean(L, gan_lua_handle(L, B, 1) != NULL);
  return 1;
}

static int manual_seed (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_seed(B->c, (uint64_t)gan_lua_check_int(L, 1, "manual_seed", "n"));
  if (B->c->tape) gan_tape_refuse(B->c, "it calls manual_seed");
  return 0;
}

static int rng_state (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  char text[40];
  snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)B->c->rng.seed,
           (unsigned long long)B->c->rng.counter);
  lua_pushstring(L, text);
  return 1;
}

static bool read_hex (const char *s, uint64_t *v) {
  *v = 0;
  for (int i = 0; i < 16; i++) {
    const char *digits = "0123456789abcdef", *d = s[i] ? strchr(digits, s[i]) : NULL;
    if (!d) return false;
    *v = *v << 4 | (uint64_t)(d - digits);
  }
  return true;
}

static int set_rng_state (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_rng r;
  size_t n = 0;
  const char *s = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &n) : "";
  if (n != 32 || !read_hex(s, &r.seed) || !read_hex(s + 16, &r.counter))
    gan_lua_error(L, "set_rng_state", "argument 1 'state' must be a string from gan.rng_state() "
                  "(32 hexadecimal digits)");
  B->c->rng = r;
  if (B->c->tape) gan_tape_refuse(B->c, "it calls set_rng_state");
  return 0;
}

static int threads (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  if (!lua_isnoneornil(L, 1)) {
    lua_Integer n = gan_lua_check_int(L, 1, "threads", "n");
    if (n < 1) gan_lua_error(L, "threads", "at least 1 thread is needed, got %lld", (long long)n);
    gan_set_threads(n > 64 ? 64 : (int)n);
    if (B->c->tape) gan_tape_refuse(B->c, "it changes gan.threads");
  }
  lua_pushinteger(L, gan_threads());
  return 1;
}

static int isa (lua_State *L) {
  gan_lua_enter(L);
  lua_pushstring(L, gan_isa_name());
  return 1;
}

static const luaL_Reg functions[] = { { "is_tensor", is_tensor },
                                      { "manual_seed", manual_seed },
                                      { "rng_state", rng_state },
                                      { "set_rng_state", set_rng_state },
                                      { "host_rng_state", gan_lua_host_rng_state },
                                      { "set_host_rng_state", gan_lua_set_host_rng_state },
                                      { "threads", threads },
                                      { "isa", isa },
                                      { "ops", gan_lua_ops },
                                      { NULL, NULL } };

/* ---- gan.config --------------------------------------------------------------------------- */

/* Weak: a build with another BLAS has neither. */
extern char *openblas_get_config(void) __attribute__((weak));
extern int openblas_get_parallel(void) __attribute__((weak));

static void open_config (lua_State *L) {
  static const char *const kinds[] = { "serial", "pthread", "openmp" };
  lua_createtable(L, 0, 6);
  lua_pushliteral(L, GAN_VERSION);
  lua_setfield(L, -2, "version");
  lua_pushstring(L, gan_dtype_name(GAN_REAL));
  lua_setfield(L, -2, "real");
  lua_pushstring(L, openblas_get_config ? openblas_get_config() : "unknown");
  lua_setfield(L, -2, "blas");
  int kind = openblas_get_parallel ? openblas_get_parallel() : 0;
  lua_pushstring(L, kinds[kind >= 0 && kind <= 2 ? kind : 0]);
  lua_setfield(L, -2, "blas_threads");
  lua_pushinteger(L, GAN_MAXDIM);
  lua_setfield(L, -2, "max_dim");
  lua_setfield(L, -2, "config");
}

/* ---- opening ------------------------------------------------------------------------------ */

/* Pushes the box, whose context is open; all that can raise comes before the memory it guards. */
static gan_lua *open_box (lua_State *L) {
  gan_lua **box = lua_newuserdatauv(L, sizeof *box, 2);
  *box = NULL;
  lua_createtable(L, 0, 2);
  lua_pushcfunction(L, box_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushliteral(L, "gan.context");
  lua_setfield(L, -2, "__name");
  lua_setmetatable(L, -2);
  gan_lua *B = calloc(1, sizeof *B);
  if (B && !(B->c = gan_open())) {
    free(B);
    B = NULL;
  }
  if (!B) luaL_error(L, "gan: not enough memory");
  B->soft = B->soft_floor = (size_t)256 << 20;
  B->many = 2048;
  *box = B;
  return B;
}

/* Stack: metatable, module. Methods live in the metatable's __index. */
static void fill (lua_State *L) {
  int meta = lua_gettop(L) - 1, module = meta + 1;
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setfield(L, module, "methods");
  gan_lua_open_ops(L); /* functions at module, methods at the top */
  gan_lua_register(L, gan_lua_tensor_methods, false);
  gan_lua_register(L, gan_lua_memory_methods, true);
  gan_lua_register(L, gan_lua_grad_methods, false);
  gan_lua_open_tensor(L); /* takes the methods */
  lua_pushvalue(L, meta);
  gan_lua_open_arithmetic(L);
  lua_settop(L, module);
  gan_lua_register(L, functions, true);
  gan_lua_register(L, gan_lua_tensor_functions, false);
  gan_lua_open_memory(L);
  gan_lua_open_grad(L);
  gan_lua_open_debug(L);
  open_config(L);
  gan_lua_open_files(L);
  lua_settop(L, module);
}

/* Loaded halfway (a memory error), the box is not in the registry and the next try starts anew. */
static int discard_on_error (lua_State *L) {
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &box_key);
  return lua_error(L);
}

static int open_all (lua_State *L) {
  gan_lua *B = open_box(L);
  int box = lua_gettop(L);
  lua_newtable(L);
  B->meta = lua_topointer(L, -1);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, box, BOX_META);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, box, BOX_MODULE);
  lua_pushvalue(L, box);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &box_key);
  fill(L);
  return 1;
}

int luaopen_gan_core (lua_State *L) {
  luaL_checkversion(L);
  gan_lua **box = find_box(L);
  if (box && !*box) return luaL_error(L, "gan: this Lua state is closing");
  lua_pop(L, 1);
  if (box) {
    gan_lua_push_module(L);
    return 1;
  }
  lua_pushcfunction(L, open_all);
  if (lua_pcall(L, 0, 1, 0) != LUA_OK) return discard_on_error(L);
  return 1;
}

/* ---- the library's Lua sources ------------------------------------------------------------- */

static int load_row (lua_State *L, const struct gan_embedded *row) {
  char name[128];
  snprintf(name, sizeof name, "=%s", row->name);
  lua_settop(L, 2); /* name of the module, where it was found */
  if (luaL_loadbufferx(L, row->data, (size_t)(row->end - row->data), name, "t") != LUA_OK)
    return lua_error(L);
  lua_pushstring(L, row->name);
  lua_pushliteral(L, ":embedded:");
  lua_call(L, 2, 1);
  return 1;
}

static int load_embedded (lua_State *L) {
  return load_row(L, lua_touserdata(L, lua_upvalueindex(1)));
}

/* Sets package.preload[name], on top, unless it is set. */
static void preload (lua_State *L, const char *name) {
  if (lua_getfield(L, -2, name) == LUA_TNIL) {
    lua_pushvalue(L, -2);
    lua_setfield(L, -4, name);
  }
  lua_pop(L, 2);
}

/* The submodules; "gan" itself only where it is not being loaded at this moment. */
static void preload_all (lua_State *L, bool root) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (const struct gan_embedded *row = gan_embedded_sources; row->name; row++) {
    if (!strcmp(row->name, "gan")) continue;
    lua_pushlightuserdata(L, (void *)row);
    lua_pushcclosure(L, load_embedded, 1);
    preload(L, row->name);
  }
  lua_pushcfunction(L, luaopen_gan_core);
  preload(L, "gan.core");
  if (root) {
    lua_pushcfunction(L, luaopen_gan);
    preload(L, "gan");
  }
  lua_pop(L, 1);
}

int luaopen_gan (lua_State *L) {
  preload_all(L, false);
  for (const struct gan_embedded *row = gan_embedded_sources; row->name; row++)
    if (!strcmp(row->name, "gan")) return load_row(L, row);
  return luaopen_gan_core(L);
}

void gan_openlibs (lua_State *L) {
  preload_all(L, true);
}

/* ---- for hosts ---------------------------------------------------------------------------- */

gan_ctx *gan_context (lua_State *L) {
  if (!gan_lua_find(L)) {
    lua_pushcfunction(L, luaopen_gan_core);
    lua_call(L, 0, 0);
  }
  return gan_lua_find(L)->c;
}

gan_tensor *gan_totensor (lua_State *L, int index) {
  gan_lua *B = gan_lua_find(L);
  gan_handle *h = B ? gan_lua_handle(L, B, index) : NULL;
  return h ? h->t : NULL;
}

void gan_pushtensor (lua_State *L, gan_tensor *t) {
  gan_ctx *c = gan_context(L);
  luaL_checkstack(L, 4, NULL);
  if (!t) {
    lua_pushnil(L);
    return;
  }
  if (t->c != c) luaL_error(L, "gan: the tensor belongs to another context");
  gan_lua_push_meta(L);
  gan_handle *h = gan_lua_new_handle(L, gan_lua_find(L), lua_gettop(L));
  gan_lua_fill(L, h, t);
  lua_remove(L, -2);
}
