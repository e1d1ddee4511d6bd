/*
** private.c - a host that has no Lua of its own and keeps what it loads to itself, like a program
** with plug-ins: the Lua library is loaded with RTLD_LOCAL. The usual module does not find it there
** and says so; the one that `make LINK_LUA=1` builds brings it.
**
** usage: private   (the modules are gan.so and hosted/gan.so in the folder above the program's)
*/
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <lua.h>

#include "tally.h"

static struct {
  lua_State *(*newstate)(void);
  void (*openlibs)(lua_State *L);
  int (*loadstring)(lua_State *L, const char *s);
  int (*pcallk)(lua_State *L, int nargs, int nresults, int msgh, lua_KContext ctx, lua_KFunction k);
  const char *(*tolstring)(lua_State *L, int index, size_t *size);
  void (*close)(lua_State *L);
} api;

static bool find (void *lua, const char *name, void *function) {
  void *p = dlsym(lua, name);
  memcpy(function, &p, sizeof p);
  return p != NULL;
}

static bool load_lua (void) {
  static const char *const names[] = { "liblua5.4.so.0", "liblua5.4.so", "liblua.so.5.4" };
  void *lua = NULL;
  for (size_t i = 0; !lua && i < sizeof names / sizeof *names; i++)
    lua = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  return lua && find(lua, "luaL_newstate", &api.newstate) &&
         find(lua, "luaL_openlibs", &api.openlibs) &&
         find(lua, "luaL_loadstring", &api.loadstring) && find(lua, "lua_pcallk", &api.pcallk) &&
         find(lua, "lua_tolstring", &api.tolstring) && find(lua, "lua_close", &api.close);
}

/* Runs a chunk in a state that looks for modules in `folder`; false, and why not. */
static bool run (const char *folder, const char *chunk, char *why, size_t size) {
  char text[8192];
  lua_State *L = api.newstate();
  api.openlibs(L);
  snprintf(text, sizeof text, "package.path = '' package.cpath = [[%s/?.so]] %s", folder, chunk);
  bool ok = api.loadstring(L, text) == LUA_OK && api.pcallk(L, 0, 0, 0, 0, NULL) == LUA_OK;
  if (!ok) snprintf(why, size, "%s", api.tolstring(L, -1, NULL));
  api.close(L);
  return ok;
}

static const char train[] =
  "local gan = require 'gan'\n"
  "local net = gan.nn.Linear{3, 1}\n"
  "local adam = gan.optim.Adam{net:parameters(), lr = 0.1}\n"
  "for i = 1, 20 do\n"
  "  local loss = gan.mse_loss(net(gan.ones(4, 3)), gan.zeros(4, 1))\n"
  "  adam:zero_grad() loss:backward() adam:step()\n"
  "end\n"
  "local a = gan.ones(300, 300)\n"
  "assert(a:matmul(a):sum():item() == 300 ^ 3)\n";

int main (int argc, char **argv) {
  char folder[4096], hosted[4200], why[2000] = "";
  const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
  snprintf(folder, sizeof folder, "%.*s/..", slash ? (int)(slash - argv[0]) : 1,
           slash ? argv[0] : ".");
  snprintf(hosted, sizeof hosted, "%s/hosted", folder);
  if (!load_lua()) {
    report(true, "there is no Lua library to be loaded here", NULL);
    return 0;
  }
  bool found = run(folder, train, why, sizeof why);
  report(!found && strstr(why, "undefined symbol: lua"), "a hidden Lua is missed, and it is said",
         found ? "the module found it" : "");
  bool ok = true;
  why[0] = '\0';
  for (int i = 0; ok && i < 20; i++) ok = run(hosted, train, why, sizeof why);
  report(ok, "the module that brings liblua trains under a hidden Lua", why);
  return failures ? 1 : 0;
}
