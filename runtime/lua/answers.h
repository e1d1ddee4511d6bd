/*
** answers.h - what the functions about files share: paths, and failures as results.
*/
#ifndef GAN_ANSWERS_H
#define GAN_ANSWERS_H

#include <string.h>

#include "../files/files.h"
#include "binding.h"

/* A path, which C must see whole. */
static inline const char *check_path (lua_State *L, int index, const char *name) {
  size_t length;
  if (lua_type(L, index) != LUA_TSTRING)
    gan_lua_error(L, name, "argument %d 'path' must be a string, not %s", index,
                  luaL_typename(L, index));
  const char *path = lua_tolstring(L, index, &length);
  if (strlen(path) != length) gan_lua_error(L, name, "the path holds a zero byte");
  return path;
}

/* The failure of the context as results (nil, message), or raised when it is no file's. */
static inline int failure (lua_State *L, gan_lua *B, const char *name) {
  if (gan_error(B->c) != GAN_EFILE) return gan_lua_raise(L, B, name);
  lua_pushnil(L);
  lua_pushstring(L, gan_error_message(B->c));
  gan_clear_error(B->c);
  return 2;
}

static inline int success (lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

/* After want of memory: true when the collector freed some, and the work may be done again. */
static inline bool again (lua_State *L, gan_lua *B) {
  if (gan_error(B->c) != GAN_EMEMORY) return false;
  gan_clear_error(B->c);
  if (gan_lua_collect(L, B)) return true;
  gan_fail(B->c, GAN_EMEMORY, "out of memory");
  return false;
}

/* Ends the frame of work that may lack memory:

     do gan_frame_open(B->c);
     while (!settled(L, B, ok = gan_save_npy(B->c, path, x)));

   is done when it went well, or failed for good. */
static inline bool settled (lua_State *L, gan_lua *B, bool ok) {
  gan_frame_close(B->c);
  return ok || !again(L, B);
}

/* The same for work whose result, a tensor or NULL, the handle is to hold. */
static inline bool filled (lua_State *L, gan_lua *B, gan_handle *h, gan_tensor *t) {
  if (t) gan_lua_fill(L, h, t);
  return settled(L, B, t != NULL);
}

#endif
