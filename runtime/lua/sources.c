/*
** sources.c - gan.files, continued: rows that stay in files until they are needed, and the reading
** ahead of them (runtime/files/source.h).
**
** A source is one userdata: the description, behind it the arrays that it points to. The texts are
** Lua's, kept alive by a table in the user value.
*/
#include "../files/source.h"
#include "answers.h"

#define DEPTH_MAX 64

typedef struct {
  gan_source s;
  const void *arrays[]; /* paths, then starts */
} source_box;

struct gan_prefetch_box {
  gan_prefetch *p; /* NULL: closed */
  gan_prefetch_box *next, **link;
};

/* The userdata at 1 whose metatable is the third upvalue. */
static void *check_self (lua_State *L, const char *name) {
  void *p = lua_touserdata(L, 1);
  bool ok = p && lua_getmetatable(L, 1) && lua_rawequal(L, -1, lua_upvalueindex(UP_OWN));
  if (!ok) gan_lua_error(L, name, "argument 1 must be the object itself: call it with a colon");
  lua_pop(L, 1);
  return p;
}

/* ---- making ------------------------------------------------------------------------------- */

/* Pushes a source with room for n paths and starts, whose user value is the table `names`. */
static source_box *push_source (lua_State *L, size_t n, int names) {
  source_box *box =
      lua_newuserdatauv(L, sizeof *box + n * (sizeof(char *) + sizeof(int64_t)), 1);
  memset(&box->s, 0, sizeof box->s);
  box->s.file.fd = -1;
  lua_pushvalue(L, names);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, lua_upvalueindex(UP_OWN));
  lua_setmetatable(L, -2);
  return box;
}

/* Replaces the list of paths at 1 by a copy that nobody else can change; their number. */
static size_t copy_paths (lua_State *L, const char *name) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
  lua_createtable(L, n < 1 << 24 ? (int)n : 0, 0);
  for (lua_Integer i = 1; i <= n; i++) {
    size_t length;
    if (lua_rawgeti(L, 1, i) != LUA_TSTRING)
      gan_lua_error(L, name, "path %lld is %s, not a string", (long long)i, luaL_typename(L, -1));
    const char *path = lua_tolstring(L, -1, &length);
    if (strlen(path) != length)
      gan_lua_error(L, name, "path %lld holds a zero byte", (long long)i);
    lua_rawseti(L, -2, i);
  }
  lua_replace(L, 1);
  return (size_t)n;
}

static const char **fill_paths (lua_State *L, source_box *box, size_t n) {
  const char **paths = (const char **)box->arrays;
  for (size_t i = 0; i < n; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    paths[i] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  return paths;
}

static lua_Integer check_between (lua_State *L, int index, const char *name, const char *arg,
                                  lua_Integer high) {
  lua_Integer v = gan_lua_check_int(L, index, name, arg);
  if (v < 1 || v > high)
    gan_lua_error(L, name, "'%s' must be 1 to %lld, got %lld", arg, (long long)high, (long long)v);
  return v;
}

/* gan.files.picture_source(paths, channels, height, width, crop) */
static int l_picture_source (lua_State *L) {
  static const char name[] = "files.picture_source";
  gan_lua_enter(L);
  int channels = (int)check_between(L, 2, name, "channels", 4);
  gan_picture_size size = {(int)check_between(L, 3, name, "height", GAN_PICTURE_MAX),
                           (int)check_between(L, 4, name, "width", GAN_PICTURE_MAX),
                           lua_toboolean(L, 5)};
  size_t n = copy_paths(L, name);
  source_box *box = push_source(L, n, 1);
  gan_picture_source(&box->s, (int64_t)n, fill_paths(L, box, n), channels, &size);
  return 1;
}

/* gan.files.sound_source(paths, first frames, channels, frames) */
static int l_sound_source (lua_State *L) {
  static const char name[] = "files.sound_source";
  gan_lua_enter(L);
  size_t n = copy_paths(L, name);
  luaL_checktype(L, 2, LUA_TTABLE);
  int channels = (int)check_between(L, 3, name, "channels", 1024);
  lua_Integer frames = check_between(L, 4, name, "frames", (lua_Integer)1 << 32);
  source_box *box = push_source(L, n, 1);
  const char **paths = fill_paths(L, box, n);
  int64_t *starts = (int64_t *)(paths + n);
  for (size_t i = 0; i < n; i++) {
    int whole;
    lua_rawgeti(L, 2, (lua_Integer)i + 1);
    starts[i] = lua_tointegerx(L, -1, &whole) - 1;
    if (!whole || starts[i] < 0) gan_lua_error(L, name, "first frames are integers of 1 or more");
    lua_pop(L, 1);
  }
  gan_sound_source(&box->s, (int64_t)n, paths, starts, channels, frames);
  return 1;
}

/* gan.files.array_source(path): of an npy or IDX file */
static int l_array_source (lua_State *L) {
  static const char name[] = "files.array_source";
  gan_lua *B = gan_lua_enter(L);
  const char *path = check_path(L, 1, name);
  source_box *box = push_source(L, 0, 1);
  return gan_array_source(B->c, &box->s, path) ? 1 : failure(L, B, name);
}

static int source_gc (lua_State *L) {
  gan_source_close(&((source_box *)check_self(L, "source"))->s);
  return 0;
}

/* ---- reading ------------------------------------------------------------------------------ */

static int source_len (lua_State *L) {
  lua_pushinteger(L, ((source_box *)check_self(L, "source"))->s.rows);
  return 1;
}

/* source:shape() -> sizes of a row */
static int source_shape (lua_State *L) {
  const gan_source *s = &((source_box *)check_self(L, "source:shape"))->s;
  lua_createtable(L, s->ndim, 0);
  for (int d = 0; d < s->ndim; d++) {
    lua_pushinteger(L, s->shape[d]);
    lua_rawseti(L, -2, d + 1);
  }
  return 1;
}

static int source_dtype (lua_State *L) {
  lua_pushstring(L, gan_dtype_name(((source_box *)check_self(L, "source:dtype"))->s.dtype));
  return 1;
}

/* The rows (from 0) that arguments 2 and 3 name: an int64 tensor of positions, or first and last.
   The array stays on the stack. */
static const int64_t *read_rows (lua_State *L, gan_lua *B, const char *name, const gan_source *s,
                                 int64_t *n) {
  int64_t first = 0, *rows;
  const gan_tensor *index = NULL;
  if (lua_isinteger(L, 2)) {
    first = lua_tointeger(L, 2);
    int64_t last = lua_isnoneornil(L, 3) ? first : gan_lua_check_int(L, 3, name, "last");
    if (first < 1 || last > s->rows || last < first - 1)
      gan_lua_error(L, name, "rows %lld to %lld are not in 1 to %lld", (long long)first,
                    (long long)last, (long long)s->rows);
    *n = last - first + 1;
  }
  else {
    index = gan_lua_check_tensor(L, B, 2, name, "rows");
    if (index->dtype != GAN_INT64 || index->ndim != 1)
      gan_lua_error(L, name, "rows are an int64 tensor of 1 dimension, or first and last");
    *n = index->numel;
  }
  rows = lua_newuserdatauv(L, ((size_t)*n + 1) * sizeof *rows, 0);
  for (int64_t i = 0; i < *n; i++) {
    rows[i] = (index ? gan_ints(index)[i * index->stride[0]] : first + i) - 1;
    if (rows[i] < 0 || rows[i] >= s->rows)
      gan_lua_error(L, name, "row %lld is not in 1 to %lld", (long long)rows[i] + 1,
                    (long long)s->rows);
  }
  return rows;
}

static gan_tensor *read_source (gan_ctx *c, const gan_source *s, const int64_t *rows, int64_t n) {
  int64_t shape[GAN_MAXDIM];
  shape[0] = n;
  memcpy(shape + 1, s->shape, (size_t)s->ndim * sizeof *shape);
  gan_tensor *t = gan_new(c, s->dtype, s->ndim + 1, shape);
  return t && gan_source_read(c, s, rows, n, t->data) ? t : NULL;
}

/* source:read(rows) or source:read(first, last) -> tensor (n, shape of a row...) */
static int source_read (lua_State *L) {
  static const char name[] = "source:read";
  gan_lua *B = gan_lua_enter(L);
  const gan_source *s = &((source_box *)check_self(L, name))->s;
  int64_t n;
  const int64_t *rows = read_rows(L, B, name, s, &n);
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  do gan_frame_open(B->c);
  while (!filled(L, B, h, read_source(B->c, s, rows, n)));
  return h->t ? 1 : failure(L, B, name);
}

/* ---- reading ahead ------------------------------------------------------------------------ */

static void close_box (gan_prefetch_box *box) {
  if (!box->p) return;
  *box->link = box->next;
  if (box->next) box->next->link = box->link;
  gan_prefetch_close(box->p);
  box->p = NULL;
}

void gan_lua_close_prefetches (gan_lua *B) {
  while (B->prefetches) close_box(B->prefetches);
}

/* source:prefetch(batch, depth): `depth` buffers of up to `batch` rows, filled by a thread */
static int source_prefetch (lua_State *L) {
  static const char name[] = "source:prefetch";
  gan_lua *B = gan_lua_enter(L);
  source_box *self = check_self(L, name);
  lua_Integer batch = check_between(L, 2, name, "batch", (lua_Integer)1 << 32);
  int depth = (int)check_between(L, 3, name, "depth", DEPTH_MAX);
  gan_prefetch_box *box = lua_newuserdatauv(L, sizeof *box, 1);
  box->p = NULL;
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  lua_rawgeti(L, lua_upvalueindex(UP_OWN), 1);
  lua_setmetatable(L, -2);
  do box->p = gan_prefetch_open(B->c, &self->s, batch, depth);
  while (!box->p && again(L, B));
  if (!box->p) return failure(L, B, name);
  box->next = B->prefetches;
  box->link = &B->prefetches;
  if (box->next) box->next->link = &box->next;
  B->prefetches = box;
  return 1;
}

static gan_prefetch_box *check_open (lua_State *L, const char *name) {
  gan_prefetch_box *box = check_self(L, name);
  if (!box->p) gan_lua_error(L, name, "it was closed");
  return box;
}

/* prefetch:ask(rows) or ask(first, last) -> false when all buffers are in use */
static int prefetch_ask (lua_State *L) {
  static const char name[] = "prefetch:ask";
  gan_lua *B = gan_lua_enter(L);
  gan_prefetch_box *box = check_open(L, name);
  int64_t n;
  lua_getiuservalue(L, 1, 1);
  const source_box *source = lua_touserdata(L, -1);
  const int64_t *rows = read_rows(L, B, name, &source->s, &n);
  lua_pushboolean(L, gan_prefetch_ask(box->p, rows, n));
  return 1;
}

/* prefetch:take() -> the rows that were asked for first; waits for them */
static int prefetch_take (lua_State *L) {
  static const char name[] = "prefetch:take";
  gan_lua *B = gan_lua_enter(L);
  gan_prefetch_box *box = check_open(L, name);
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  do gan_frame_open(B->c);
  while (!filled(L, B, h, gan_prefetch_take(B->c, box->p)));
  return h->t ? 1 : failure(L, B, name);
}

static int prefetch_cancel (lua_State *L) {
  gan_prefetch_cancel(check_open(L, "prefetch:cancel")->p);
  return 0;
}

/* prefetch:stats() -> batches taken, batches that were waited for, seconds of waiting */
static int prefetch_stats (lua_State *L) {
  gan_prefetch_info info = gan_prefetch_stats(check_open(L, "prefetch:stats")->p);
  lua_pushinteger(L, info.taken);
  lua_pushinteger(L, info.waits);
  lua_pushnumber(L, info.seconds);
  return 3;
}

/* prefetch:close(): ends the thread and frees the buffers; also when it is collected */
static int prefetch_close (lua_State *L) {
  close_box(check_self(L, "prefetch:close"));
  return 0;
}

/* ---- opening ------------------------------------------------------------------------------ */

/* Adds functions whose third upvalue is the metatable at `meta` to the table at `t`. */
static void add (lua_State *L, int t, int meta, const luaL_Reg *list) {
  for (; list->name; list++) {
    lua_pushvalue(L, meta);
    gan_lua_push_closure(L, list->func);
    lua_setfield(L, t, list->name);
  }
}

/* Pushes a metatable with methods. */
static int push_class (lua_State *L, const char *name, const luaL_Reg *methods,
                       const luaL_Reg *events) {
  lua_newtable(L);
  int meta = lua_gettop(L);
  lua_newtable(L);
  add(L, meta + 1, meta, methods);
  lua_setfield(L, meta, "__index");
  gan_lua_seal(L, name);
  add(L, meta, meta, events);
  return meta;
}

void gan_lua_open_sources (lua_State *L) {
  static const luaL_Reg makers[] = {{"picture_source", l_picture_source},
                                    {"sound_source", l_sound_source},
                                    {"array_source", l_array_source},
                                    {NULL, NULL}};
  static const luaL_Reg source_methods[] = {{"shape", source_shape},
                                            {"dtype", source_dtype},
                                            {"read", source_read},
                                            {"prefetch", source_prefetch},
                                            {NULL, NULL}};
  static const luaL_Reg source_events[] = {{"__len", source_len},
                                           {"__gc", source_gc},
                                           {NULL, NULL}};
  static const luaL_Reg methods[] = {{"ask", prefetch_ask},       {"take", prefetch_take},
                                     {"cancel", prefetch_cancel}, {"stats", prefetch_stats},
                                     {"close", prefetch_close},   {NULL, NULL}};
  static const luaL_Reg events[] = {{"__gc", prefetch_close}, {"__close", prefetch_close},
                                    {NULL, NULL}};
  int table = lua_gettop(L);
  int source = push_class(L, "gan.source", source_methods, source_events);
  add(L, table, source, makers);
  push_class(L, "gan.prefetch", methods, events);
  lua_rawseti(L, source, 1);
  lua_settop(L, table);
}
