/*
** draw.c - a saved generator in ten lines of C: writes the PNG of four pictures to standard output.
**
**     cc draw.c $(pkg-config --cflags --libs gan) -o draw
**     gan-lua train.lua && ./draw > picture.png
*/
#include <stdio.h>

#include <gan_lua.h>
#include <lauxlib.h>
#include <lualib.h>

int main (void) {
  lua_State *L = luaL_newstate();
  size_t size = 0;
  luaL_openlibs(L);
  gan_openlibs(L);
  bool ok = !luaL_dostring(L, "return require 'tiny_gan'.open(os.getenv 'GENERATOR' or"
                              " 'generator.safetensors')(4, 1)");
  const char *text = lua_tolstring(L, -1, &size);
  fwrite(text, 1, size, ok ? stdout : stderr);
  lua_close(L);
  return ok ? 0 : 1;
}
