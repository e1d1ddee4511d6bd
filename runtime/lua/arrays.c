/*
** arrays.c - gan.files, continued: arrays (npy, npz), tables (CSV), sound (WAV), pictures in a size
** and folders.
*/
#include "answers.h"

/* True when the option table at `index` (or nothing) has a true `option`, the only one there is. */
static bool check_flag (lua_State *L, int index, const char *name, const char *option) {
  if (lua_isnoneornil(L, index)) return false;
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
    if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), option) != 0)
      gan_lua_error(L, name, "the one option is '%s'", option);
  lua_getfield(L, index, option);
  bool flag = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return flag;
}

/* An integer in a range; `index` holds argument `arg`. */
static lua_Integer check_range (lua_State *L, int index, const char *name, const char *arg,
                                lua_Integer low, lua_Integer high) {
  lua_Integer v = gan_lua_check_int(L, index, name, arg);
  if (v < low || v > high)
    gan_lua_error(L, name, "argument %d '%s' must be %lld to %lld, got %lld", index, arg,
                  (long long)low, (long long)high, (long long)v);
  return v;
}

/* ---- npy, npz ----------------------------------------------------------------------------- */

/* gan.files.load_npy(path) -> tensor */
static int l_load_npy (lua_State *L) {
  static const char name[] = "files.load_npy";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  do gan_frame_open(B->c);
  while (!filled(L, B, h, gan_load_npy(B->c, path)));
  return h->t ? 1 : failure(L, B, name);
}

/* gan.files.save_npy(path, x) */
static int l_save_npy (lua_State *L) {
  static const char name[] = "files.save_npy";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  gan_tensor *x = gan_lua_check_tensor(L, B, 2, name, "x");
  bool ok;
  do gan_frame_open(B->c);
  while (!settled(L, B, ok = gan_save_npy(B->c, path, x)));
  return ok ? success(L) : failure(L, B, name);
}

typedef struct {
  gan_lua *B;
  gan_weights w;
} loaded;

/* Called protected, while the frame of the arrays is open: (loaded, metatable) -> table. */
static int push_arrays (lua_State *L) {
  const loaded *x = lua_touserdata(L, 1);
  lua_createtable(L, 0, (int)x->w.ntensors);
  for (size_t i = 0; i < x->w.ntensors; i++) {
    const gan_named *t = &x->w.tensors[i];
    lua_pushlstring(L, t->name, t->length);
    if (!t->t) { /* names alone: a list */
      lua_rawseti(L, 3, (lua_Integer)i + 1);
      continue;
    }
    gan_lua_fill(L, gan_lua_new_handle(L, x->B, 2), t->t);
    lua_rawset(L, 3);
  }
  return 1;
}

/* The table that `load` yields for the path at 1. */
static int load_table (lua_State *L, gan_lua *B, const char *name, const char *path,
                       bool (*load)(gan_ctx *c, const char *path, gan_weights *w)) {
  loaded x = {.B = B};
  int status = LUA_OK;
  bool ok;
  do {
    lua_settop(L, 1);
    lua_pushcfunction(L, push_arrays);
    lua_pushlightuserdata(L, &x);
    lua_pushvalue(L, lua_upvalueindex(UP_META));
    gan_frame_open(B->c);
    ok = load(B->c, path, &x.w);
    if (ok) status = lua_pcall(L, 2, 1, 0);
  } while (!settled(L, B, ok));
  if (status != LUA_OK) return lua_error(L);
  return ok ? 1 : failure(L, B, name);
}

/* gan.files.load_npz(path) -> {name = tensor, ...}; load_npz(path, name) -> that tensor */
static int l_load_npz (lua_State *L) {
  static const char name[] = "files.load_npz";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  size_t length;
  if (lua_isnoneornil(L, 2)) return load_table(L, B, name, path, gan_load_npz);
  const char *array = luaL_checklstring(L, 2, &length);
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  do gan_frame_open(B->c);
  while (!filled(L, B, h, gan_load_npz_member(B->c, path, array, length)));
  return h->t ? 1 : failure(L, B, name);
}

/* gan.files.npz_names(path) -> the names of the arrays, sorted */
static int l_npz_names (lua_State *L) {
  static const char name[] = "files.npz_names";
  gan_lua *B = gan_lua_enter(L);
  return load_table(L, B, name, check_path(L, 1, name), gan_npz_names);
}

static void read_arrays (lua_State *L, gan_lua *B, const char *name, gan_weights *w) {
  size_t n = 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) n++;
  w->tensors = lua_newuserdatauv(L, (n + 1) * sizeof *w->tensors, 0);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
    gan_named *x = &w->tensors[w->ntensors++];
    gan_handle *h = gan_lua_handle(L, B, -1);
    if (lua_type(L, -2) != LUA_TSTRING) gan_lua_error(L, name, "the names of arrays are strings");
    x->name = lua_tolstring(L, -2, &x->length); /* the table keeps it alive, and the tensor */
    if (!h || !h->t)
      gan_lua_error(L, name, "'%s' is %s", x->name,
                    h ? "a tensor that was released" : luaL_typename(L, -1));
    x->t = h->t;
  }
}

/* gan.files.save_npz(path, {name = tensor, ...}, {compress=}) */
static int l_save_npz (lua_State *L) {
  static const char name[] = "files.save_npz";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  bool ok, deflate = check_flag(L, 3, name, "compress");
  gan_weights w = {0};
  lua_settop(L, 3);
  read_arrays(L, B, name, &w);
  do gan_frame_open(B->c);
  while (!settled(L, B, ok = gan_save_npz(B->c, path, &w, deflate)));
  return ok ? success(L) : failure(L, B, name);
}

/* ---- CSV ---------------------------------------------------------------------------------- */

/* The list of names and numbers at `index`, as an array that stays on the stack. */
static gan_csv_column *read_columns (lua_State *L, int index, const char *name, size_t *n) {
  luaL_checktype(L, index, LUA_TTABLE);
  *n = (size_t)lua_rawlen(L, index);
  gan_csv_column *list = lua_newuserdatauv(L, (*n + 1) * sizeof *list, 0);
  for (size_t i = 0; i < *n; i++) {
    gan_csv_column *x = &list[i];
    *x = (gan_csv_column){{NULL, 0}, 0};
    lua_rawgeti(L, index, (lua_Integer)i + 1);
    if (lua_type(L, -1) == LUA_TSTRING)
      x->name.s = lua_tolstring(L, -1, &x->name.length); /* the table keeps it alive */
    else if (lua_isinteger(L, -1))
      x->number = lua_tointeger(L, -1);
    else
      gan_lua_error(L, name, "columns are named by strings or integers, not %s",
                    luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  return list;
}

typedef struct {
  gan_lua *B;
  gan_csv csv;
} loaded_csv;

static void push_texts (lua_State *L, const gan_text *list, size_t n) {
  lua_createtable(L, (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    lua_pushlstring(L, list[i].s, list[i].length);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

/* Called protected: (loaded_csv, metatable) -> x, names, {{name, labels, classes}, ...} */
static int push_csv (lua_State *L) {
  const loaded_csv *x = lua_touserdata(L, 1);
  gan_lua_fill(L, gan_lua_new_handle(L, x->B, 2), x->csv.x);
  push_texts(L, x->csv.names, x->csv.n);
  lua_createtable(L, (int)x->csv.nlabels, 0);
  for (size_t k = 0; k < x->csv.nlabels; k++) {
    const gan_csv_labels *l = &x->csv.labels[k];
    lua_createtable(L, 3, 0);
    lua_pushlstring(L, l->name.s, l->name.length);
    lua_rawseti(L, -2, 1);
    gan_lua_fill(L, gan_lua_new_handle(L, x->B, 2), l->t);
    lua_rawseti(L, -2, 2);
    push_texts(L, l->classes, l->nclasses);
    lua_rawseti(L, -2, 3);
    lua_rawseti(L, -2, (lua_Integer)k + 1);
  }
  return 3;
}

/* gan.files.load_csv(path, separator, header, columns or nil, labels) -> as above */
static int l_load_csv (lua_State *L) {
  static const char name[] = "files.load_csv";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name), *separator = luaL_checkstring(L, 2);
  gan_csv_options o = {.separator = separator[0], .header = lua_toboolean(L, 3)};
  loaded_csv x = {.B = B};
  int status = LUA_OK, top;
  bool ok;
  if (strlen(separator) != 1 || strchr("\"\r\n", separator[0]))
    gan_lua_error(L, name, "the separator is one character, no quote and no line end");
  lua_settop(L, 5);
  if (!lua_isnil(L, 4)) o.columns = read_columns(L, 4, name, &o.ncolumns);
  o.labels = read_columns(L, 5, name, &o.nlabels);
  top = lua_gettop(L);
  do {
    lua_settop(L, top);
    lua_pushcfunction(L, push_csv);
    lua_pushlightuserdata(L, &x);
    lua_pushvalue(L, lua_upvalueindex(UP_META));
    gan_frame_open(B->c);
    ok = gan_load_csv(B->c, path, &o, &x.csv);
    if (ok) status = lua_pcall(L, 2, 3, 0);
  } while (!settled(L, B, ok));
  if (status != LUA_OK) return lua_error(L);
  return ok ? 3 : failure(L, B, name);
}

/* ---- WAV ---------------------------------------------------------------------------------- */

static void push_wav (lua_State *L, const gan_wav *w) {
  lua_createtable(L, 0, 5);
  lua_pushinteger(L, w->rate);
  lua_setfield(L, -2, "rate");
  lua_pushinteger(L, w->channels);
  lua_setfield(L, -2, "channels");
  lua_pushinteger(L, w->frames);
  lua_setfield(L, -2, "frames");
  lua_pushinteger(L, w->bits);
  lua_setfield(L, -2, "bits");
  lua_pushstring(L, w->floating ? "float" : "pcm");
  lua_setfield(L, -2, "format");
}

/* gan.files.load_wav(path, first or nil, frames or nil) -> (channels, frames), information */
static int l_load_wav (lua_State *L) {
  static const char name[] = "files.load_wav";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  lua_Integer first = lua_isnoneornil(L, 2) ? 1 : check_range(L, 2, name, "first", 1, INT64_MAX);
  lua_Integer frames = lua_isnoneornil(L, 3) ? -1
                                             : check_range(L, 3, name, "frames", 0, INT64_MAX);
  gan_wav w;
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  do gan_frame_open(B->c);
  while (!filled(L, B, h, gan_load_wav(B->c, path, first - 1, frames, &w)));
  if (!h->t) return failure(L, B, name);
  push_wav(L, &w);
  return 2;
}

/* gan.files.wav_info(path) -> {rate=, channels=, frames=, bits=, format=} */
static int l_wav_info (lua_State *L) {
  static const char name[] = "files.wav_info";
  gan_lua *B = gan_lua_enter(L);
  gan_file f;
  gan_wav w;
  bool ok = gan_file_open(B->c, &f, check_path(L, 1, name));
  if (ok) {
    ok = gan_wav_header(B->c, &f, &w);
    gan_file_close(&f);
  }
  if (!ok) return failure(L, B, name);
  push_wav(L, &w);
  return 1;
}

/* gan.files.save_wav(path, x, rate, bits, floating) */
static int l_save_wav (lua_State *L) {
  static const char name[] = "files.save_wav";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  gan_tensor *x = gan_lua_check_tensor(L, B, 2, name, "x");
  gan_wav w = {.rate = check_range(L, 3, name, "rate", 1, 1 << 24),
               .bits = (int)check_range(L, 4, name, "bits", 8, 32),
               .floating = lua_toboolean(L, 5)};
  bool ok;
  if (w.bits % 8 != 0 || (w.floating && w.bits != 32))
    gan_lua_error(L, name, "samples have 8, 16, 24 or 32 bits, floating point ones 32");
  do gan_frame_open(B->c);
  while (!settled(L, B, ok = gan_save_wav(B->c, path, x, &w)));
  return ok ? success(L) : failure(L, B, name);
}

/* ---- pictures, folders -------------------------------------------------------------------- */

/* gan.files.read_picture(path, channels, height, width, crop): channels 0: as in the file */
static int l_read_picture (lua_State *L) {
  static const char name[] = "files.read_picture";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  int channels = (int)check_range(L, 2, name, "channels", 0, 4);
  gan_picture_size s = {(int)check_range(L, 3, name, "height", 1, GAN_PICTURE_MAX),
                        (int)check_range(L, 4, name, "width", 1, GAN_PICTURE_MAX),
                        lua_toboolean(L, 5)};
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  do gan_frame_open(B->c);
  while (!filled(L, B, h, gan_read_picture(B->c, path, channels, &s)));
  return h->t ? 1 : failure(L, B, name);
}

typedef struct {
  gan_folder_entry *entries;
  size_t n;
} scanned;

/* Called protected: (scanned) -> files, folders */
static int push_scanned (lua_State *L) {
  const scanned *x = lua_touserdata(L, 1);
  lua_Integer n[2] = {0, 0};
  lua_newtable(L);
  lua_newtable(L);
  for (size_t i = 0; i < x->n; i++) {
    int folder = x->entries[i].folder;
    lua_pushstring(L, x->entries[i].name);
    lua_rawseti(L, 2 + folder, ++n[folder]);
  }
  return 2;
}

/* gan.files.scan(path) -> names of the files in a folder, names of its folders; both sorted */
static int l_scan (lua_State *L) {
  static const char name[] = "files.scan";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  scanned x = {NULL, 0};
  int status = LUA_OK;
  bool ok;
  do {
    lua_settop(L, 1);
    lua_pushcfunction(L, push_scanned);
    lua_pushlightuserdata(L, &x);
    gan_frame_open(B->c);
    ok = gan_scan_folder(B->c, path, &x.entries, &x.n);
    if (ok) status = lua_pcall(L, 1, 2, 0);
  } while (!settled(L, B, ok));
  if (status != LUA_OK) return lua_error(L);
  return ok ? 2 : failure(L, B, name);
}

const luaL_Reg gan_lua_array_functions[] = {{"load_npy", l_load_npy},
                                            {"save_npy", l_save_npy},
                                            {"load_npz", l_load_npz},
                                            {"npz_names", l_npz_names},
                                            {"save_npz", l_save_npz},
                                            {"load_csv", l_load_csv},
                                            {"load_wav", l_load_wav},
                                            {"wav_info", l_wav_info},
                                            {"save_wav", l_save_wav},
                                            {"read_picture", l_read_picture},
                                            {"scan", l_scan},
                                            {NULL, NULL}};
