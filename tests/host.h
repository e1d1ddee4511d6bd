/*
** host.h - what C hosts of Lua states share in their tests: states with the library, chunks that
** run in them, threads, and the memory that is left behind. A failure's message goes to `why`, a
** text of WHY bytes.
*/
#ifndef GAN_TESTS_HOST_H
#define GAN_TESTS_HOST_H

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lualib.h>

#include "lua/gan_lua.h"
#include "tally.h"

enum { WHY = 400 };

static inline lua_State *open_state (void) {
  lua_State *L = luaL_newstate();
  if (!L) exit(2);
  luaL_openlibs(L);
  gan_openlibs(L);
  return L;
}

/* Runs a chunk, and leaves the stack as it was. */
static inline bool run (lua_State *L, const char *chunk, char why[WHY]) {
  int top = lua_gettop(L);
  bool ok = luaL_dostring(L, chunk) == LUA_OK;
  if (!ok) snprintf(why, WHY, "%s", luaL_tolstring(L, -1, NULL));
  lua_settop(L, top);
  return ok;
}

/* ---- memory ------------------------------------------------------------------------------- */

/* To be called first: starts the program again where malloc may keep blocks per thread, which
   would look like leaks. */
static inline void count_every_block (char **argv) {
  if (getenv("GLIBC_TUNABLES")) return;
  setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);
  execv("/proc/self/exe", argv);
}

/* Bytes that the process has from malloc; what a leak would raise. */
static inline size_t bytes_in_use (void) {
  struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
}

/* Whether as much is in use as before, but for a few small blocks. */
static inline bool nothing_left (size_t before, char why[WHY]) {
  size_t after = bytes_in_use();
  if (after <= before + 8192) return true;
  snprintf(why, WHY, "%zu bytes more in use", after - before);
  return false;
}

enum { FIRST_CYCLES = 50 }; /* one-time tables are made by then */

/* Opens n states, runs the chunk in each and closes it; false too where memory is left. */
static inline bool run_in_states (int n, const char *chunk, char why[WHY]) {
  size_t before = 0;
  for (int i = 0; i < n; i++) {
    if (i == FIRST_CYCLES) before = bytes_in_use();
    lua_State *L = open_state();
    bool ok = run(L, chunk, why);
    lua_close(L);
    if (!ok) return false;
  }
  return nothing_left(before, why);
}

/* ---- threads ------------------------------------------------------------------------------ */

/* Calls body(why) in four threads at once, each with a text of its own; false where one of them
   does not give back NULL. */
static inline bool run_in_threads (void *(*body)(void *why), char why[WHY]) {
  enum { N = 4 };
  pthread_t t[N];
  char said[N][WHY];
  bool ok = true;
  for (int i = 0; i < N; i++) {
    said[i][0] = '\0';
    if (pthread_create(&t[i], NULL, body, said[i])) exit(2);
  }
  for (int i = 0; i < N; i++) {
    void *failed;
    pthread_join(t[i], &failed);
    if (!failed) continue;
    ok = false;
    memcpy(why, said[i], WHY);
  }
  return ok;
}

#endif
