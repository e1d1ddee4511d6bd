/*
** debug.c - gan.debug: switches for tests and for the hunt after a NaN.
*/
#include <errno.h>

#include "../core/profile.h"
#include "binding.h"

/* fail_after(k): k allocations of tensor memory succeed, then one fails; nil: none fails. Returns
   whether a failure was still to come. */
static int fail_after (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  int64_t before = B->c->mem.fail_after;
  int64_t k = -1;
  if (!lua_isnoneornil(L, 1)) {
    k = gan_lua_check_int(L, 1, "debug.fail_after", "k");
    if (k < 0) gan_lua_error(L, "debug.fail_after", "argument 1 'k' is negative");
  }
  B->c->mem.fail_after = k;
  lua_pushboolean(L, before >= 0);
  return 1;
}

/* fail_io(k, how, n): k steps of atomic replacements of files (open, each write, sync, close,
   rename, sync of the folder) succeed, then n (default 1) fail: "full" disk, "error" of the device,
   "readonly" file system, or "kill", which ends the process there. nil: none fails. Returns whether
   failures were still to come. */
static int fail_io (lua_State *L) {
  static const char *const words[] = { "full", "error", "readonly", "kill", NULL };
  static const int errors[] = { ENOSPC, EIO, EROFS, 0 };
  gan_ctx *c = gan_lua_enter(L)->c;
  bool before = c->io_faults > 0;
  c->io_faults = 0;
  if (!lua_isnoneornil(L, 1)) {
    int64_t k = gan_lua_check_int(L, 1, "debug.fail_io", "k");
    int how = luaL_checkoption(L, 2, NULL, words);
    int64_t n = luaL_optinteger(L, 3, 1);
    if (k < 0 || n < 0) gan_lua_error(L, "debug.fail_io", "a count is negative");
    c->io_after = k;
    c->io_error = errors[how];
    c->io_faults = n;
  }
  lua_pushboolean(L, before);
  return 1;
}

static int allocations (lua_State *L) {
  lua_pushinteger(L, gan_lua_enter(L)->c->mem.allocations);
  return 1;
}

static bool check_bool (lua_State *L, const char *name) {
  char got[80];
  if (!lua_isboolean(L, 1))
    gan_lua_error(L, name, "argument 1 must be true or false, got %s",
                  gan_lua_describe(L, gan_lua_find(L), 1, got, sizeof got));
  return lua_toboolean(L, 1);
}

/* force_composed(true): gradients are computed by `vjp` alone, never `fused`. Returns the old. */
static int force_composed (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  bool before = B->c->composed;
  B->c->composed = check_bool(L, "debug.force_composed");
  lua_pushboolean(L, before);
  return 1;
}

/* anomaly(true): the op whose output or gradient is the first with a NaN raises an error. */
static int anomaly (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  bool before = B->c->anomaly;
  B->c->anomaly = check_bool(L, "debug.anomaly");
  lua_pushboolean(L, before);
  return 1;
}

/* collect_every(n): a full collection at every n-th call of the module; 0 or nil: none. */
static int collect_every (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  int64_t before = B->every;
  B->every = lua_isnoneornil(L, 1) ? 0 : gan_lua_check_int(L, 1, "debug.collect_every", "n");
  if (B->every < 0) B->every = 0;
  lua_pushinteger(L, before);
  return 1;
}

/* soft_limit(bytes): the smallest number of live bytes above which a call starts with a
   collection (256 MiB otherwise; nil). */
static int soft_limit (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  size_t before = B->soft_floor, bytes = (size_t)256 << 20;
  if (!lua_isnoneornil(L, 1)) {
    lua_Integer v = gan_lua_check_int(L, 1, "debug.soft_limit", "bytes");
    if (v < 0) gan_lua_error(L, "debug.soft_limit", "argument 1 'bytes' is negative");
    bytes = (size_t)v;
  }
  B->soft = B->soft_floor = bytes;
  lua_pushinteger(L, (lua_Integer)before);
  return 1;
}

/* profile(true): counts every op from now on. profile(false): stops, and returns a list of
   {op=, backward=, calls=, seconds=, flops=, bytes=}, nil when it was not on. */
static int profile (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_ctx *c = B->c;
  if (check_bool(L, "debug.profile")) {
    if (!gan_profile_start(c)) gan_lua_raise(L, B, "debug.profile");
    return 0;
  }
  if (!c->profile) return 0;
  lua_newtable(L);
  int n = 0;
  for (const gan_profile_row *r = NULL; (r = gan_profile_next(c, r));) {
    lua_createtable(L, 0, 6);
    lua_pushstring(L, r->op->name);
    lua_setfield(L, -2, "op");
    lua_pushboolean(L, r->backward);
    lua_setfield(L, -2, "backward");
    lua_pushinteger(L, r->calls);
    lua_setfield(L, -2, "calls");
    lua_pushnumber(L, (double)r->ns * 1e-9);
    lua_setfield(L, -2, "seconds");
    lua_pushnumber(L, r->flops);
    lua_setfield(L, -2, "flops");
    lua_pushnumber(L, r->bytes);
    lua_setfield(L, -2, "bytes");
    lua_rawseti(L, -2, ++n);
  }
  gan_profile_stop(c);
  return 1;
}

static const luaL_Reg functions[] = {
  { "fail_after", fail_after }, { "fail_io", fail_io }, { "allocations", allocations },
  { "force_composed", force_composed }, { "anomaly", anomaly },
  { "collect_every", collect_every }, { "soft_limit", soft_limit },
  { "profile", profile }, { NULL, NULL }
};

void gan_lua_open_debug (lua_State *L) {
  lua_newtable(L);
  gan_lua_register(L, functions, true);
  gan_lua_open_compile(L);
  gan_lua_open_ranks(L);
  gan_lua_register(L, gan_lua_trace_functions, true);
  lua_setfield(L, -2, "debug");
}
