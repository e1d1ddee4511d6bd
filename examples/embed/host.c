/*
** host.c - an application that trains while it does something else. Its main loop has ten
** milliseconds per turn to spare; it limits memory and threads, reads a tensor of Lua without
** copying it, and lends Lua memory of its own.
**
**     cc host.c $(pkg-config --cflags --libs gan) -o host
**     ./host [seconds]
*/
#include <stdio.h>
#include <stdlib.h>

#include <gan_lua.h>
#include <lauxlib.h>
#include <lualib.h>

enum { SIDE = 16, WIDTH = 4 * SIDE };

static const char script[] =
  "local gan = require 'gan'\n"
  "local trainer, G = require 'tiny_gan'.trainer{steps = 1000000}\n"
  "local host = {}\n"
  "function host.turn(seconds)\n"
  "  trainer:step(seconds)\n"
  "  return trainer.steps, trainer.losses.D, trainer.losses.G\n"
  "end\n"
  /* the host's picture, a tensor over its memory, gets the brightness of what G draws */
  "function host.draw(canvas)\n"
  "  gan.scope(function()\n"
  "    G:eval()\n"
  "    local x = gan.no_grad(G, gan.randn(4, 8))\n" /* (4, 1, 16, 16) */
  "    G:train()\n"
  "    canvas:copy_(x:squeeze(2):transpose(1, 2):reshape(canvas:shape()))\n"
  "  end)\n"
  "end\n"
  "host.weights = G:parameters()[1]\n"
  "return host\n";

static int failed (lua_State *L) {
  fprintf(stderr, "host: %s\n", lua_tostring(L, -1));
  lua_close(L);
  return 1;
}

/* Shows the host's own pixels, which Lua has drawn into. */
static void show (const gan_real *pixels) {
  for (int y = 0; y < SIDE; y += 2) {
    for (int x = 0; x < WIDTH; x++) {
      double v = (pixels[y * WIDTH + x] + 1) / 2;
      putchar(" .:-=+*#%@"[v < 0 ? 0 : v > 0.999 ? 9 : (int)(v * 10)]);
    }
    putchar('\n');
  }
}

/* Called with the table `host`: everything that may raise a Lua error. */
static int run (lua_State *L) {
  static gan_real pixels[SIDE * WIDTH];
  const int64_t shape[2] = {SIDE, WIDTH};
  int turns = (int)(100 * luaL_checknumber(L, 2));
  gan_ctx *c = gan_context(L);
  for (int i = 0; i < turns; i++) {
    /* ... here the application would look after its windows and sockets ... */
    lua_settop(L, 1);
    lua_getfield(L, 1, "turn");
    lua_pushnumber(L, 0.01);
    lua_call(L, 1, 3);
  }
  if (turns < 1) return luaL_error(L, "seconds, please: 0.01 or more");
  printf("%d turns, %d steps, D %.3f, G %.3f\n", turns, (int)lua_tointeger(L, -3),
         lua_tonumber(L, -2), lua_tonumber(L, -1));

  lua_getfield(L, 1, "draw");
  gan_frame_open(c);
  gan_pushtensor(L, gan_wrap(c, GAN_REAL, 2, shape, pixels, NULL, NULL));
  gan_frame_close(c);
  lua_call(L, 1, 0);
  show(pixels);

  lua_getfield(L, 1, "weights"); /* the numbers themselves, not a copy */
  const gan_tensor *w = gan_totensor(L, -1);
  const gan_real *first = w ? gan_data(w) : NULL;
  if (first) printf("the first of %d weights is %g\n", (int)gan_numel(w), (double)first[0]);
  return 0;
}

int main (int argc, char **argv) {
  lua_State *L = luaL_newstate();
  if (!L) return 1;
  luaL_openlibs(L);
  gan_openlibs(L);
  gan_set_threads(1);
  gan_memory_limit(gan_context(L), (size_t)64 << 20);
  lua_pushcfunction(L, run);
  if (luaL_dostring(L, script) != LUA_OK) return failed(L);
  lua_pushnumber(L, argc > 1 ? atof(argv[1]) : 2);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK) return failed(L);
  lua_close(L);
  return 0;
}
