/*
** host.c - the state of the host's own generator, math.random, for checkpoints.
**
** Lua keeps it in a userdata of four 64-bit numbers (xoshiro256**) that is the upvalue of the
** functions of the library `math`. A host whose math.random is made differently has no state here.
*/
#include <string.h>

#include "binding.h"

enum { BYTES = 32 };

/* The bytes of the state, alive as long as the library; NULL: not as expected. */
static unsigned char *find_state (lua_State *L) {
  unsigned char *state = NULL;
  int top = lua_gettop(L);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_pushliteral(L, "math");
  if (lua_rawget(L, -2) == LUA_TTABLE) {
    lua_pushliteral(L, "random");
    lua_rawget(L, -2);
    if (lua_iscfunction(L, -1) && lua_getupvalue(L, -1, 1) && lua_type(L, -1) == LUA_TUSERDATA &&
        lua_rawlen(L, -1) == BYTES)
      state = lua_touserdata(L, -1);
  }
  lua_settop(L, top);
  return state;
}

/* gan.host_rng_state() -> 64 hexadecimal digits; nil where math.random is not Lua's own */
int gan_lua_host_rng_state (lua_State *L) {
  static const char digits[] = "0123456789abcdef";
  char text[2 * BYTES];
  const unsigned char *state = find_state(L);
  if (!state) return 0;
  for (int i = 0; i < BYTES; i++) {
    text[2 * i] = digits[state[i] >> 4];
    text[2 * i + 1] = digits[state[i] & 15];
  }
  lua_pushlstring(L, text, sizeof text);
  return 1;
}

/* gan.host_rng_state's counterpart: set_host_rng_state(text) -> whether it was set; nil changes
   nothing */
int gan_lua_set_host_rng_state (lua_State *L) {
  static const char digits[] = "0123456789abcdef";
  unsigned char bytes[BYTES], *state = find_state(L);
  size_t n = 0;
  const char *s = lua_type(L, 1) == LUA_TSTRING ? lua_tolstring(L, 1, &n) : NULL;
  if (s && (n != 2 * BYTES || strspn(s, digits) != n))
    gan_lua_error(L, "set_host_rng_state", "argument 1 'state' must be a string from "
                  "gan.host_rng_state() (64 hexadecimal digits)");
  for (int i = 0; s && i < BYTES; i++)
    bytes[i] = (unsigned char)((strchr(digits, s[2 * i]) - digits) << 4 |
                               (strchr(digits, s[2 * i + 1]) - digits));
  if (s && state) memcpy(state, bytes, BYTES);
  lua_pushboolean(L, s && state);
  return 1;
}
