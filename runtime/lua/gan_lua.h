/*
** gan_lua.h - gan-lua inside a host that has a Lua state of its own.
**
**     luaL_openlibs(L);
**     gan_openlibs(L);              -- require "gan" works from here on; nothing global is made
**     luaL_dostring(L, "local gan = require 'gan' ...");
**
** Every Lua state has one context (gan.h). It is closed when the state is closed and the last
** tensor handle is gone: what a host retained must be released before lua_close.
**
** Functions marked [raises] may raise a Lua error, as may any function of the Lua API that
** allocates: call them in a C function of Lua or under lua_pcall.
*/
#ifndef GAN_LUA_H
#define GAN_LUA_H

#include <lua.h>

#include "gan.h"

/* [raises] The loader behind `require "gan"`: the whole library, with its Lua sources from inside
   the binary. Pushes the table `gan`. */
GAN_API int luaopen_gan(lua_State *L);

/* [raises] Tensors and ops alone, the part of `gan` that is written in C. */
GAN_API int luaopen_gan_core(lua_State *L);

/* [raises] Makes `require "gan"` (and its submodules) find the library inside the binary. */
GAN_API void gan_openlibs(lua_State *L);

/* [raises] [borrowed] The context of this Lua state, opened when it was not. */
GAN_API gan_ctx *gan_context(lua_State *L);

/* [borrowed] The tensor at a stack index, NULL when the value is not a tensor or was released. It
   lives as long as the Lua value does, unless that is released: gan_retain to keep it longer. */
GAN_API gan_tensor *gan_totensor(lua_State *L, int index);

/* [raises] Pushes a handle of t, which gets one more owner; NULL pushes nil. The tensor must come
   from this state's context. The handle belongs to the scope that is open, if any. */
GAN_API void gan_pushtensor(lua_State *L, gan_tensor *t);

#endif
