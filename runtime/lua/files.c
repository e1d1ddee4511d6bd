/*
** files.c - gan.files: the formats of runtime/files for Lua. A file that is missing or malformed is
** an answer (nil and a message), misuse and want of memory raise.
*/
#include <string.h>
#include <unistd.h>

#include "answers.h"

/* Fills a new handle with what f makes, else (nil, message). */
static int push_loaded (lua_State *L, gan_lua *B, const char *name, const char *path, int option,
                        gan_tensor *(*f)(gan_ctx *c, const char *path, int option)) {
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  do gan_frame_open(B->c);
  while (!filled(L, B, h, f(B->c, path, option)));
  return h->t ? 1 : failure(L, B, name);
}

static gan_tensor *load_idx (gan_ctx *c, const char *path, int option) {
  (void)option;
  return gan_load_idx(c, path);
}

/* gan.files.load_idx(path) */
static int l_load_idx (lua_State *L) {
  static const char name[] = "files.load_idx";
  gan_lua *B = gan_lua_enter(L);
  return push_loaded(L, B, name, check_path(L, 1, name), 0, load_idx);
}

/* gan.files.read_image(path, {channels=}) */
static int l_read_image (lua_State *L) {
  static const char name[] = "files.read_image";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  lua_Integer channels = 0;
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1))
      if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "channels") != 0)
        return gan_lua_error(L, name, "the one option is 'channels'");
    if (lua_getfield(L, 2, "channels") != LUA_TNIL) {
      int whole;
      channels = lua_tointegerx(L, -1, &whole);
      if (!whole || channels < 1 || channels > 4)
        return gan_lua_error(L, name, "channels is 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA)");
    }
  }
  return push_loaded(L, B, name, path, (int)channels, gan_read_image);
}

/* gan.files.encode_png(image) -> uint8 tensor, the bytes of a PNG file */
static int l_encode_png (lua_State *L) {
  static const char name[] = "files.encode_png";
  gan_lua *B = gan_lua_enter(L);
  gan_tensor *image = gan_lua_check_tensor(L, B, 1, name, "image");
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  do gan_frame_open(B->c);
  while (!filled(L, B, h, gan_encode_png(B->c, image)));
  return h->t ? 1 : failure(L, B, name);
}

/* gan.files.write_png(path, image) */
static int l_write_png (lua_State *L) {
  static const char name[] = "files.write_png";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  gan_tensor *image = gan_lua_check_tensor(L, B, 2, name, "image");
  bool ok;
  do gan_frame_open(B->c);
  while (!settled(L, B, ok = gan_write_png(B->c, path, image)));
  return ok ? success(L) : failure(L, B, name);
}

/* ---- safetensors -------------------------------------------------------------------------- */

static size_t count_pairs (lua_State *L, int index) {
  size_t n = 0;
  if (lua_isnoneornil(L, index)) return 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) n++;
  return n;
}

/* The array behind a table's pairs, as a userdata that is left on the stack. */
static void *push_array (lua_State *L, size_t n, size_t item) {
  return lua_newuserdatauv(L, (n + 1) * item, 0);
}

static void read_tensors (lua_State *L, gan_lua *B, const char *name, gan_weights *w) {
  size_t n = count_pairs(L, 2);
  w->tensors = push_array(L, n, sizeof *w->tensors);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
    gan_named *x = &w->tensors[w->ntensors++];
    gan_handle *h = gan_lua_handle(L, B, -1);
    if (lua_type(L, -2) != LUA_TSTRING) gan_lua_error(L, name, "the names of tensors are strings");
    x->name = lua_tolstring(L, -2, &x->length); /* the table keeps it alive, and the tensor */
    if (!h || !h->t)
      gan_lua_error(L, name, "'%s' is %s", x->name,
                    h ? "a tensor that was released" : luaL_typename(L, -1));
    x->t = h->t;
  }
}

static void read_pairs (lua_State *L, const char *name, gan_weights *w) {
  size_t n = count_pairs(L, 3);
  w->metadata = push_array(L, n, sizeof *w->metadata);
  if (n == 0) return;
  for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
    gan_pair *p = &w->metadata[w->nmetadata++];
    if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
      gan_lua_error(L, name, "the keys and values of the metadata are strings");
    p->key = lua_tolstring(L, -2, &p->key_length);
    p->value = lua_tolstring(L, -1, &p->value_length);
  }
}

/* gan.files.save_safetensors(path, {name = tensor, ...}, {key = text, ...}) */
static int l_save_safetensors (lua_State *L) {
  static const char name[] = "files.save_safetensors";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  gan_weights w = {0};
  bool ok;
  luaL_checktype(L, 2, LUA_TTABLE);
  if (!lua_isnoneornil(L, 3)) luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  read_tensors(L, B, name, &w);
  read_pairs(L, name, &w);
  do gan_frame_open(B->c);
  while (!settled(L, B, ok = gan_save_safetensors(B->c, path, &w)));
  return ok ? success(L) : failure(L, B, name);
}

typedef struct {
  gan_lua *B;
  gan_weights w;
} loaded;

/* Called protected, while the frame of the weights is open: (loaded, metatable) -> tables. */
static int push_weights (lua_State *L) {
  const loaded *x = lua_touserdata(L, 1);
  lua_createtable(L, 0, (int)x->w.ntensors);
  for (size_t i = 0; i < x->w.ntensors; i++) {
    const gan_named *t = &x->w.tensors[i];
    lua_pushlstring(L, t->name, t->length);
    gan_lua_fill(L, gan_lua_new_handle(L, x->B, 2), t->t);
    lua_rawset(L, 3);
  }
  lua_createtable(L, 0, (int)x->w.nmetadata);
  for (size_t i = 0; i < x->w.nmetadata; i++) {
    const gan_pair *p = &x->w.metadata[i];
    lua_pushlstring(L, p->key, p->key_length);
    lua_pushlstring(L, p->value, p->value_length);
    lua_rawset(L, 4);
  }
  return 2;
}

/* gan.files.load_safetensors(path) -> {name = tensor, ...}, {key = text, ...} */
static int l_load_safetensors (lua_State *L) {
  static const char name[] = "files.load_safetensors";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  loaded x = {.B = B};
  int status = LUA_OK;
  bool ok;
  do {
    lua_settop(L, 1);
    lua_pushcfunction(L, push_weights);
    lua_pushlightuserdata(L, &x);
    lua_pushvalue(L, lua_upvalueindex(UP_META));
    gan_frame_open(B->c);
    ok = gan_load_safetensors(B->c, path, &x.w);
    if (ok) status = lua_pcall(L, 2, 2, 0);
  } while (!settled(L, B, ok));
  if (status != LUA_OK) return lua_error(L);
  return ok ? 2 : failure(L, B, name);
}

/* ---- bytes, folders, clock, terminal ------------------------------------------------------- */

/* gan.files.replace(path, bytes): atomically. */
static int l_replace (lua_State *L) {
  static const char name[] = "files.replace";
  size_t size;
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  const char *bytes = luaL_checklstring(L, 2, &size);
  return gan_replace_file(B->c, path, bytes, size) ? success(L) : failure(L, B, name);
}

/* gan.files.sync(path): returns when what was written to the file is on the disk. */
static int l_sync (lua_State *L) {
  static const char name[] = "files.sync";
  gan_lua *B = gan_lua_enter(L);
  return gan_sync_file(B->c, check_path(L, 1, name)) ? success(L) : failure(L, B, name);
}

typedef struct {
  gan_folder_entry *entries;
  size_t n;
} listed;

/* Called protected, while the frame of the names is open: (listed) -> names, which are folders */
static int push_names (lua_State *L) {
  const listed *x = lua_touserdata(L, 1);
  lua_createtable(L, (int)x->n, 0);
  lua_createtable(L, 0, 0);
  for (size_t i = 0; i < x->n; i++) {
    lua_pushstring(L, x->entries[i].name);
    lua_pushvalue(L, -1);
    lua_rawseti(L, 2, (lua_Integer)i + 1);
    lua_pushboolean(L, x->entries[i].folder);
    lua_rawset(L, 3);
  }
  return 2;
}

/* gan.files.list(folder) -> the names in it, sorted, without "." and ".."; {name = whether it is a
   folder} */
static int l_list (lua_State *L) {
  static const char name[] = "files.list";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  listed x = {0};
  int status = LUA_OK;
  bool ok;
  do {
    lua_settop(L, 1);
    lua_pushcfunction(L, push_names);
    lua_pushlightuserdata(L, &x);
    gan_frame_open(B->c);
    ok = gan_scan_folder(B->c, path, &x.entries, &x.n);
    if (ok) status = lua_pcall(L, 1, 2, 0);
  } while (!settled(L, B, ok));
  if (status != LUA_OK) return lua_error(L);
  return ok ? 2 : failure(L, B, name);
}

/* gan.files.mkdir(path): with its parents. */
static int l_mkdir (lua_State *L) {
  static const char name[] = "files.mkdir";
  gan_lua *B = gan_lua_enter(L);
  return gan_make_folder(B->c, check_path(L, 1, name)) ? success(L) : failure(L, B, name);
}

/* gan.files.protect(path): from now on a file or folder is for its owner only. */
static int l_protect (lua_State *L) {
  static const char name[] = "files.protect";
  gan_lua *B = gan_lua_enter(L);
  return gan_protect_file(B->c, check_path(L, 1, name)) ? success(L) : failure(L, B, name);
}

/* gan.files.time() -> seconds of a clock that is never set back */
static int l_time (lua_State *L) {
  lua_pushnumber(L, gan_seconds());
  return 1;
}

/* gan.files.isatty(fd), by default standard output */
static int l_isatty (lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_optinteger(L, 1, STDOUT_FILENO)));
  return 1;
}

/* gan.files.terminal_width() -> columns of the terminal that we write to; nil: there is none */
static int l_terminal_width (lua_State *L) {
  static const int fds[] = {STDERR_FILENO, STDOUT_FILENO, STDIN_FILENO};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
    int width = gan_terminal_width(fds[i]);
    if (width > 0) {
      lua_pushinteger(L, width);
      return 1;
    }
  }
  return 0;
}

/* gan.files.crc32(bytes, crc) -> checksum, continued from that of the bytes before; of a tensor:
   of its elements in order */
static int l_crc32 (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  uint32_t crc = (uint32_t)luaL_optinteger(L, 2, 0);
  size_t size;
  if (!gan_lua_handle(L, B, 1)) {
    const char *bytes = luaL_checklstring(L, 1, &size);
    lua_pushinteger(L, gan_crc32(crc, bytes, size));
    return 1;
  }
  gan_tensor *x = gan_lua_check_tensor(L, B, 1, "files.crc32", "x");
  bool ok;
  do {
    gan_frame_open(B->c);
    const gan_tensor *t = gan_dense(B->c, x);
    size = (size_t)x->numel * gan_dtype_size((gan_dtype)x->dtype);
    ok = t != NULL;
    if (ok) crc = gan_crc32(crc, t->data, size);
  } while (!settled(L, B, ok));
  if (!ok) return gan_lua_raise(L, B, "files.crc32");
  lua_pushinteger(L, crc);
  return 1;
}

extern const struct {
  const char *name, *data, *end;
} gan_embedded_sources[]; /* made by scripts/embed */

/* gan.files.sources() -> names of the Lua modules inside the binary; sources(name) -> the text of
   one, or nil. `help` reads its comments there. */
static int l_sources (lua_State *L) {
  const char *name = luaL_optstring(L, 1, NULL);
  if (!name) lua_newtable(L);
  for (int i = 0; gan_embedded_sources[i].name; i++) {
    const char *data = gan_embedded_sources[i].data;
    if (!name) {
      lua_pushstring(L, gan_embedded_sources[i].name);
      lua_rawseti(L, -2, i + 1);
    }
    else if (strcmp(name, gan_embedded_sources[i].name) == 0) {
      lua_pushlstring(L, data, (size_t)(gan_embedded_sources[i].end - data));
      return 1;
    }
  }
  if (name) lua_pushnil(L);
  return 1;
}

static const luaL_Reg functions[] = {{"load_idx", l_load_idx},
                                     {"read_image", l_read_image},
                                     {"encode_png", l_encode_png},
                                     {"write_png", l_write_png},
                                     {"save_safetensors", l_save_safetensors},
                                     {"load_safetensors", l_load_safetensors},
                                     {"replace", l_replace},
                                     {"mkdir", l_mkdir},
                                     {"protect", l_protect},
                                     {"list", l_list},
                                     {"sync", l_sync},
                                     {"time", l_time},
                                     {"isatty", l_isatty},
                                     {"terminal_width", l_terminal_width},
                                     {"crc32", l_crc32},
                                     {"sources", l_sources},
                                     {NULL, NULL}};

int gan_lua_open_files (lua_State *L) {
  lua_newtable(L);
  gan_lua_register(L, functions, true);
  gan_lua_register(L, gan_lua_array_functions, true);
  gan_lua_open_sources(L);
  lua_setfield(L, -2, "files");
  return 0;
}
