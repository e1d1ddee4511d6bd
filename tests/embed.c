/*
** embed.c - gan-lua inside a C host: many Lua states, two at once, one per thread, allocators that
** refuse, states closed with live tensors, coroutines, tensors shared with the host, the module
** loaded and unloaded. Prints one "ok" or "not ok" line for each test; exits with 1 on a failure.
**
** usage: embed [gan.so]   (default: gan.so in the folder above the program's)
*/
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

#if LUA_VERSION_NUM >= 505
#define new_state(f, ud) lua_newstate(f, ud, 1)
#else
#define new_state(f, ud) lua_newstate(f, ud)
#endif

static const char work[] =
  "local gan = require 'gan.core'\n"
  "local x = gan.require_grad(gan.tensor{{1, 2, 3}, {4, 5, 6}})\n"
  "local square = gan.Function{name = 'square',\n"
  "  forward = function(ctx, v) ctx:save(v); ctx.note = {v} return v * v end,\n"
  "  backward = function(ctx, gy) return ctx:saved() * gy * 2 end}\n"
  "local y = gan.scope(function() return (square(x) + x[1] * 2):sum() end)\n"
  "y:backward()\n"
  "local g = x:grad()\n"
  "assert(g:get(1, 1) == 6 and g:get(2, 3) == 12, 'wrong gradient')\n"
  "local h = gan.grad((x * x):sum(), x, {create_graph = true})\n"
  "assert(h:sum():item() == 42, 'wrong second gradient')\n"
  "local parts = gan.cat(x:detach(), x:detach(), {dim = 1}):totable()\n"
  "assert(#parts == 4 and parts[4][3] == 6)\n"
  "assert(#gan.tensor('abcdef', {dtype = 'uint8', shape = {2, 3}}):bytes() == 6)\n"
  "assert(tostring(y):find('tensor') or true)\n";

/* ---- tests -------------------------------------------------------------------------------- */

static void test_thousand_states (void) {
  char why[WHY] = "";
  bool ok = run_in_states(1000, work, why);
  report(ok, "a thousand states are opened and closed without a byte left", why);
}

static void test_whole_library (void) {
  char why[WHY] = "";
  bool ok = true;
  for (int i = 0; ok && i < 20; i++) {
    lua_State *L = open_state();
    ok = run(L, "local before = {} for k in pairs(_G) do before[k] = true end\n"
                "local gan = require 'gan'\n"
                "assert(gan.ones(2, 3):sum():item() == 6)\n"
                "for k in pairs(_G) do assert(before[k], 'a global: ' .. tostring(k)) end\n", why);
    lua_close(L);
  }
  report(ok, "require 'gan' finds the library inside the host and makes no global", why);
}

static void test_two_states (void) {
  char why[WHY] = "";
  lua_State *a = open_state(), *b = open_state();
  bool ok = run(a, "gan = require 'gan.core'; gan.manual_seed(1); x = gan.ones(4)", why) &&
            run(b, "gan = require 'gan.core'; gan.manual_seed(2); y = gan.ones(9)", why) &&
            run(a, "assert(gan.memory().tensors == 1); gan.memory_limit(1 << 20)", why) &&
            run(b, "assert(gan.memory().tensors == 1 and gan.memory().limit == 0)\n"
                   "y = y + y; collectgarbage()\n"
                   "assert(y:sum():item() == 18)", why) &&
            run(a, work, why);
  if (ok && gan_context(a) == gan_context(b)) ok = false;
  lua_close(a);
  ok = ok && run(b, work, why);
  lua_close(b);
  report(ok, "two states at once know nothing of each other", why);
}

static void *thread_body (void *ud) {
  char *why = ud;
  for (int i = 0; i < 25; i++) {
    lua_State *L = open_state();
    bool ok = run(L, work, why) &&
              run(L, "local gan = require 'gan.core'\n"
                     "local a = gan.ones(64, 64)\n"
                     "for i = 1, 20 do a = a:matmul(gan.ones(64, 64)) / 64 end\n"
                     "assert(a:sum():item() == 64 * 64)\n"
                     "local b = gan.ones(400, 400)\n" /* large enough for the thread team */
                     "assert((b + b):relu():sum():item() == 320000)", why);
    lua_close(L);
    if (!ok) return ud;
  }
  return NULL;
}

static void test_threads (void) {
  char why[WHY] = "";
  bool ok = run_in_threads(thread_body, why);
  report(ok, "four threads with states of their own", why);
}

/* ---- allocators that refuse --------------------------------------------------------------- */

typedef struct {
  size_t used, limit; /* limit 0: none */
  long left;          /* growing allocations until all fail; < 0: never */
  long count;
} budget;

static void *allocate (void *ud, void *p, size_t osize, size_t nsize) {
  budget *b = ud;
  size_t old = p ? osize : 0;
  if (nsize == 0) {
    free(p);
    b->used -= old;
    return NULL;
  }
  if (nsize > old) {
    b->count++;
    if (b->left == 0 || (b->limit && b->used - old + nsize > b->limit)) return NULL;
    if (b->left > 0) b->left--;
  }
  void *q = realloc(p, nsize);
  if (q) b->used += nsize - old;
  return q;
}

static int open_core (lua_State *L) {
  luaL_openlibs(L);
  luaL_requiref(L, "gan.core", luaopen_gan_core, 0);
  return 0;
}

/* Opening the module with the k-th and all later allocations refused, for every k. */
static void test_open_refused (void) {
  char why[WHY] = "";
  bool ok = true, opened = false;
  long k = 0;
  size_t before = 0;
  for (; ok && !opened; k += k < 2000 ? 1 : 7) {
    budget b = { .left = -1 };
    lua_State *L = new_state(allocate, &b);
    if (!L) exit(2);
    if (k == 100) before = bytes_in_use();
    b.left = k;
    lua_pushcfunction(L, open_core);
    int status = lua_pcall(L, 0, 0, 0);
    b.left = -1;
    opened = status == LUA_OK;
    if (!opened && status != LUA_ERRMEM) {
      const char *text = lua_tostring(L, -1);
      ok = text && strstr(text, "memory") != NULL;
      if (!ok) snprintf(why, sizeof why, "allocation %ld: %s", k, text ? text : "no message");
    }
    if (ok && !opened) { /* the next try in the same state must succeed */
      lua_settop(L, 0);
      lua_pushcfunction(L, open_core);
      if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        snprintf(why, sizeof why, "after allocation %ld: %s", k, lua_tostring(L, -1));
        ok = false;
      }
      else ok = run(L, "assert(require 'gan.core'.ones(3):sum():item() == 3)", why);
    }
    lua_close(L);
    if (ok && b.used) {
      snprintf(why, sizeof why, "allocation %ld: %zu bytes of Lua memory left", k, b.used);
      ok = false;
    }
  }
  ok = ok && nothing_left(before, why);
  if (ok) snprintf(why, sizeof why, "%ld points", k);
  report(ok, "opening survives Lua's refusal of memory at every point", why);
}

static const char settle[] =
  "local gan = require 'gan.core'\n"
  "collectgarbage() collectgarbage() gan.is_grad_enabled() collectgarbage()\n"
  "local m = gan.memory()\n"
  "assert(gan.is_grad_enabled(), 'recording was left off')\n"
  "base = base or m\n"
  "assert(m.tensors == base.tensors and m.nodes == base.nodes,\n"
  "  ('%d tensors and %d nodes left'):format(m.tensors - base.tensors, m.nodes - base.nodes))\n";

/* Tensors in use while the k-th and all later allocations of Lua are refused, for every k. */
static void test_work_refused (void) {
  char why[WHY] = "";
  budget b = { .left = -1 };
  lua_State *L = new_state(allocate, &b);
  bool ok = L != NULL, done = false;
  long k = 0;
  lua_pushcfunction(L, open_core);
  ok = ok && lua_pcall(L, 0, 0, 0) == LUA_OK && run(L, work, why) && run(L, settle, why);
  for (; ok && !done; k++) {
    if (luaL_loadstring(L, work) != LUA_OK) exit(2);
    b.left = k;
    int status = lua_pcall(L, 0, 0, 0);
    b.left = -1;
    done = status == LUA_OK;
    if (!done && !strstr(luaL_tolstring(L, -1, NULL), "memory")) {
      snprintf(why, sizeof why, "allocation %ld: %s", k, lua_tostring(L, -1));
      ok = false;
    }
    lua_settop(L, 0);
    char left[WHY];
    if (ok && !run(L, settle, left)) {
      snprintf(why, sizeof why, "allocation %ld: %.300s", k, left);
      ok = false;
    }
  }
  lua_close(L);
  if (ok && b.used) {
    snprintf(why, sizeof why, "%zu bytes of Lua memory left", b.used);
    ok = false;
  }
  if (ok) snprintf(why, sizeof why, "%ld points", k);
  report(ok, "tensors survive Lua's refusal of memory at every point", why);
}

/* A state that may have 4 MB: the script runs into the cap, is told so, and goes on. */
static void test_capped (void) {
  char why[WHY] = "";
  budget b = { .left = -1, .limit = 4u << 20 };
  lua_State *L = new_state(allocate, &b);
  lua_pushcfunction(L, open_core);
  bool ok = lua_pcall(L, 0, 0, 0) == LUA_OK &&
            run(L, "local gan = require 'gan.core'\n"
                   "for round = 1, 5 do\n"
                   "  local ok, err = pcall(function()\n"
                   "    local kept = {}\n"
                   "    while true do kept[#kept + 1] = gan.ones(3) + #kept end\n"
                   "  end)\n"
                   "  assert(not ok and tostring(err):find 'memory', tostring(err))\n"
                   "  collectgarbage()\n"
                   "  assert(gan.memory().tensors < 10, 'tensors were left behind')\n"
                   "end\n", why) &&
            run(L, work, why);
  lua_close(L);
  if (ok && b.used) ok = false;
  report(ok, "a capped state runs into its cap and goes on", why);
}

/* ---- closing ------------------------------------------------------------------------------ */

static void test_close_with_live (void) {
  char why[WHY] = "";
  bool ok = true;
  size_t before = 0;
  static const char live[] =
    "early = setmetatable({}, {__gc = function(self)\n"
    "  if self.x then self.x = self.x * 2; self.gan.memory(); self.y = self.x[1] end end})\n"
    "gan = require 'gan.core'\n"
    "late = setmetatable({}, {__gc = function(self)\n"
    "  pcall(function()\n"
    "    self.y = self.x + 1; self.scope = gan.scope(); self.z = self.y:exp() end) end})\n"
    "early.gan = gan\n"
    "x = gan.require_grad(gan.ones(100, 100))\n"
    "f = gan.Function{forward = function(ctx, v) ctx:save(v); ctx.me = f; return v * 2 end,\n"
    "                 backward = function(ctx, g) return g * 2 end}\n"
    "y = f(f(x * x)):sum()\n"
    "early.x = x; late.x = y\n"
    "s = gan.scope(); inside = gan.ones(10)\n"
    "co = coroutine.create(function() local s <close> = gan.scope(); local t = gan.ones(5)\n"
    "  coroutine.yield(t) end)\n"
    "select(2, coroutine.resume(co))\n"
    "x:backward(gan.ones(100, 100))\n";
  for (int i = 0; ok && i < 300; i++) {
    if (i == 50) before = bytes_in_use();
    lua_State *L = open_state();
    ok = run(L, live, why);
    if (ok && i % 3 == 1) ok = run(L, "gan = nil; package.loaded['gan.core'] = nil; x = nil\n"
                                      "collectgarbage()", why);
    lua_close(L);
  }
  ok = ok && nothing_left(before, why);
  report(ok, "states are closed with live tensors, graphs, scopes and late finalisers", why);
}

static void test_coroutines (void) {
  char why[WHY] = "";
  lua_State *L = open_state();
  bool ok = run(L,
    "local gan = require 'gan.core'\n"
    "local made = {}\n"
    "local function loader() for i = 1, 3 do local t = gan.full({2}, i); made[i] = t\n"
    "  coroutine.yield(t) end end\n"
    "for round = 1, 100 do\n"
    "  local next_batch = coroutine.wrap(loader)\n"
    "  gan.scope(function() for i = 1, 3 do\n"
    "    local t = next_batch() assert((t + 1):sum():item() == 2 * (i + 1)) end end)\n"
    "  for i = 1, 3 do assert(made[i]:sum():item() == 2 * i) end\n"
    "end\n"
    "local co = coroutine.create(function() error(setmetatable({}, {__name = 'mine'})) end)\n"
    "local f = gan.Function{forward = function(ctx, x) return x end,\n"
    "  backward = function(ctx, gy) local ok, e = coroutine.resume(co) error(e) end}\n"
    "local wrapped = coroutine.wrap(function()\n"
    "  local x = gan.require_grad(gan.ones(2))\n"
    "  local ok, e = pcall(function() f(x):sum():backward() end)\n"
    "  assert(not ok and getmetatable(e).__name == 'mine', 'the error object was lost')\n"
    "  coroutine.yield(1)\n"
    "  x:sum():backward() assert(x:grad():sum():item() == 2)\n"
    "end)\n"
    "wrapped() collectgarbage() wrapped()\n", why);
  lua_close(L);
  report(ok, "coroutines make, share and fail with tensors", why);
}

/* ---- tensors of the host ------------------------------------------------------------------ */

static int dropped;

static void drop (void *owner) {
  dropped += *(int *)owner;
}

/* host.doubled(x): reads a tensor and gives back another */
static int doubled (lua_State *L) {
  gan_ctx *c = gan_context(L);
  gan_tensor *x = gan_totensor(L, 1);
  if (!x || gan_type(x) != GAN_REAL || !gan_is_contiguous(x))
    return luaL_error(L, "a tensor please");
  int64_t n = gan_numel(x);
  gan_frame_open(c);
  gan_tensor *y = gan_retain(gan_new(c, GAN_REAL, 1, &n));
  gan_frame_close(c);
  if (!y) return luaL_error(L, "out of memory");
  for (int64_t i = 0; i < n; i++) ((gan_real *)gan_data(y))[i] = 2 * ((gan_real *)gan_data(x))[i];
  gan_pushtensor(L, y);
  gan_release(y);
  return 1;
}

static void test_host_tensors (void) {
  static gan_real memory[6] = { 1, 2, 3, 4, 5, 6 };
  static int one = 1;
  char why[WHY] = "";
  lua_State *L = open_state();
  gan_ctx *c = gan_context(L);
  const int64_t shape[2] = { 2, 3 };
  gan_frame_open(c);
  gan_pushtensor(L, gan_wrap(c, GAN_REAL, 2, shape, memory, drop, &one));
  gan_frame_close(c);
  lua_setglobal(L, "mine");
  lua_register(L, "doubled", doubled);
  gan_pushtensor(L, NULL);
  bool ok = lua_isnil(L, -1) && !gan_totensor(L, -1);
  ok = ok && run(L, "local gan = require 'gan.core'\n"
                    "assert(mine:sum():item() == 21 and doubled(mine):sum():item() == 42)\n"
                    "mine:set(10, 2, 3)\n"
                    "assert(not pcall(doubled, 3))\n"
                    "gan.scope(function() doubled(mine) end)\n", why) &&
       memory[5] == 10;
  ok = ok && dropped == 0 && run(L, "mine = nil collectgarbage()", why) && dropped == 1;
  lua_close(L);
  report(ok && dropped == 1, "tensors go from the host to Lua and back, over the host's memory",
         why);
}

static void test_context_alone (void) {
  char text[2000] = "";
  bool ok = true;
  for (int i = 0; ok && i < 1000; i++) {
    gan_ctx *c = gan_open();
    const int64_t bad = -1, good = 5;
    gan_frame_open(c);
    ok = gan_new(c, GAN_REAL, 1, &good) && !gan_new(c, GAN_REAL, 1, &bad) &&
         gan_error(c) == GAN_EARG && !gan_new(c, GAN_REAL, 1, &good);
    snprintf(text, sizeof text, "%s", gan_error_message(c));
    gan_clear_error(c);
    ok = ok && gan_new(c, GAN_UINT8, 1, &good) && gan_memory(c).tensors == 2;
    gan_frame_close(c);
    ok = ok && gan_memory(c).tensors == 0;
    gan_close(c);
  }
  report(ok && strstr(text, "negative"), "contexts without Lua, and their sticky errors", text);
}

/* ---- the shared object --------------------------------------------------------------------- */

static void test_module (const char *path) {
  char why[WHY] = "";
  bool ok = true;
  for (int i = 0; ok && i < 50; i++) {
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    lua_CFunction open = NULL;
    if (module) *(void **)&open = dlsym(module, "luaopen_gan");
    if (!open) {
      snprintf(why, sizeof why, "%s", dlerror());
      ok = false;
      break;
    }
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    luaL_requiref(L, "gan", open, 0);
    lua_settop(L, 0);
    ok = run(L, "assert(package.preload['gan.core'], 'not preloaded')\n"
                "local gan = require 'gan'\n"
                "local a = gan.ones(100, 100)\n"
                "assert(a:matmul(a):sum():item() == 1e6)\n", why);
    lua_close(L);
    dlclose(module);
  }
  report(ok, "gan.so is loaded and unloaded by a host", why);
}

static const char *module_path (char **argv, char *buffer, size_t size) {
  if (argv[1]) return argv[1];
  const char *slash = strrchr(argv[0], '/');
  snprintf(buffer, size, "%.*s/../gan.so", slash ? (int)(slash - argv[0]) : 1,
           slash ? argv[0] : ".");
  return buffer;
}

int main (int argc, char **argv) {
  char path[4096];
  (void)argc;
  count_every_block(argv);
  test_thousand_states();
  test_whole_library();
  test_two_states();
  test_threads();
  test_open_refused();
  test_work_refused();
  test_capped();
  test_close_with_live();
  test_coroutines();
  test_host_tensors();
  test_context_alone();
  test_module(module_path(argv, path, sizeof path));
  printf("%s\n", failures ? "embed: FAILED" : "embed: all passed");
  return failures ? 1 : 0;
}
