/*
** memory.c - scopes, and what Lua's collector is asked to do. The only file that calls lua_gc.
**
** The collector does not see the bytes of tensors. So there are two ways to free them: a scope
** releases what was made inside when it closes, and a call that begins while more than `soft`
** bytes are live starts with a collection (`soft` is twice what was live after the last one, at
** least 256 MiB, at most the limit that the user set). An allocation that fails is tried again
** after a collection; see try_again in core/op.c.
**
** Small tensors are held back by their number: Lua's incremental collector runs finalisers so
** slowly that a loop which makes them outruns it, and hundreds of thousands of dead ones push the
** living out of the processor's caches. `many` is in proportion to Lua's heap, so that the cost of
** a collection is spread over as many calls as it takes to mark that heap.
*/
#include <string.h>

#include "binding.h"

/* A scope belongs to the coroutine that opened it: tensors that another coroutine makes meanwhile
   (a loader of batches) are not its own. `thread` is compared, never followed. */
struct gan_scope {
  gan_lua *B; /* NULL: closed */
  gan_handle *first;
  gan_scope *outer;
  const void *thread;
};

/* ---- the collector ------------------------------------------------------------------------ */

static void full_collection (lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT, 0);
}

/* In generational mode this collects the young objects; otherwise it is one small step. */
static void young_collection (lua_State *L) {
#if LUA_VERSION_NUM >= 505
  lua_gc(L, LUA_GCSTEP, (size_t)0);
#else
  lua_gc(L, LUA_GCSTEP, 0);
#endif
}

enum { FEW = 2048, HANDLE_BYTES = 256 }; /* of Lua's heap, with what comes with a handle */

bool gan_lua_collect (lua_State *L, gan_lua *B) {
  size_t before = B->c->mem.live;
  B->many = INT64_MAX; /* finalisers that call ops do not start another */
  full_collection(L);
  B->many = B->nfilled + (int64_t)lua_gc(L, LUA_GCCOUNT, 0) * (1024 / HANDLE_BYTES);
  if (B->many < B->nfilled + FEW) B->many = B->nfilled + FEW;
  return B->c->mem.live < before;
}

static size_t soft_limit (const gan_lua *B) {
  size_t live = B->c->mem.live, limit = B->c->mem.limit;
  size_t soft = live > SIZE_MAX / 2 ? SIZE_MAX : 2 * live;
  if (soft < B->soft_floor) soft = B->soft_floor;
  if (limit && soft > limit - limit / 8) soft = limit - limit / 8;
  return soft;
}

/* Where that much is really in use, nothing is gained by collecting at every call: the allocator
   asks when a request does not fit. */
static void relieve_pressure (lua_State *L, gan_lua *B) {
  size_t before = B->soft;
  B->soft = SIZE_MAX; /* finalisers that call ops do not start again */
  young_collection(L);
  if (B->c->mem.live <= before / 2) {
    B->soft = before;
    return;
  }
  gan_lua_collect(L, B);
  B->soft = soft_limit(B);
  size_t live = B->c->mem.live;
  if (B->soft - live / 8 <= live) B->soft = live + live / 8;
}

void gan_lua_attend (lua_State *L, gan_lua *B) {
  gan_lua_bury(L, B);
  if (B->every > 0 && ++B->calls % B->every == 0) gan_lua_collect(L, B);
  if (B->nfilled > B->many) gan_lua_collect(L, B);
  if (B->c->mem.live > B->soft) relieve_pressure(L, B);
}

bool gan_lua_relieve (gan_ctx *c, void *host) {
  gan_loan *l = host;
  bool freed = gan_lua_collect(l->L, l->B);
  if (c->mem.cached) {
    gan_memory_trim(c); /* cached blocks of other sizes */
    freed = true;
  }
  return freed;
}

/* ---- lists of handles --------------------------------------------------------------------- */

void gan_lua_link (gan_handle *h, gan_scope *s) {
  gan_handle **head = s ? &s->first : &h->B->handles;
  h->scope = s;
  h->next = *head;
  h->link = head;
  h->B->nfilled++;
  if (h->next) h->next->link = &h->next;
  *head = h;
}

static void unlink_handle (gan_handle *h) {
  *h->link = h->next;
  if (h->next) h->next->link = h->link;
  h->B->nfilled--;
  h->scope = NULL;
}

static void move_handle (gan_handle *h, gan_scope *to) {
  unlink_handle(h);
  gan_lua_link(h, to);
}

static bool in_list (const gan_handle *h, const gan_tensor *t) {
  while (h && h->t != t) h = h->next;
  return h != NULL;
}

static bool has_handle (const gan_lua *B, const gan_tensor *t) {
  if (in_list(B->handles, t)) return true;
  for (const gan_scope *s = B->scopes; s; s = s->outer)
    if (in_list(s->first, t)) return true;
  return false;
}

/* A gradient made by backward{create_graph=true} leads back to its leaf: nobody would ever free the
   two. It ends with the last handle of the leaf, by which alone Lua can reach it. */
static void break_cycle (const gan_lua *B, gan_tensor *t) {
  gan_tensor *g = t->grad;
  if (!g || !g->node || t->refs == 1 || has_handle(B, t)) return;
  t->grad = NULL;
  gan_release(g);
}

void gan_lua_drop (gan_handle *h, gan_fate fate) {
  gan_tensor *t = h->t;
  if (!t) return;
  unlink_handle(h);
  h->t = NULL;
  h->fate = fate;
  if (t->grad) break_cycle(h->B, t);
  gan_release(t);
}

/* ---- scopes ------------------------------------------------------------------------------- */

static gan_scope *scope_of_thread (gan_scope *s, const void *thread) {
  while (s && s->thread != thread) s = s->outer;
  return s;
}

gan_scope *gan_lua_scope (lua_State *L, gan_lua *B) {
  return scope_of_thread(B->scopes, L);
}

static void forget (gan_scope *s) {
  gan_scope **p = &s->B->scopes;
  while (*p != s) p = &(*p)->outer;
  *p = s->outer;
  s->B = NULL;
}

static void release_all (gan_scope *s) {
  while (s->first) gan_lua_drop(s->first, GAN_SCOPED);
}

/* Closes a scope and those that its coroutine opened inside it and left open. */
static void close_scope (gan_scope *s) {
  gan_lua *B = s->B;
  gan_scope *inner;
  if (!B) return;
  while ((inner = scope_of_thread(B->scopes, s->thread)) != s) {
    forget(inner);
    release_all(inner);
  }
  forget(s);
  release_all(s);
}

void gan_lua_close_scopes (gan_lua *B) {
  while (B->scopes) {
    gan_scope *s = B->scopes;
    forget(s);
    release_all(s);
  }
}

static int scope_close (lua_State *L) {
  gan_scope *s = lua_touserdata(L, 1);
  if (!s || !lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(UP_OWN)))
    return luaL_error(L, "scope: close takes a scope");
  close_scope(s);
  return 0;
}

/* A scope that was never closed (its coroutine was abandoned): its tensors become ordinary ones. */
static int scope_gc (lua_State *L) {
  gan_scope *s = lua_touserdata(L, 1);
  if (!s || !lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(UP_OWN)) || !s->B)
    return 0;
  while (s->first) {
    gan_handle *h = s->first;
    move_handle(h, NULL);
  }
  forget(s);
  return 0;
}

/* Pushes an open scope. Upvalue 3 of the caller is the metatable. */
static gan_scope *push_scope (lua_State *L, gan_lua *B) {
  gan_scope *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (gan_scope){ .thread = L };
  lua_pushvalue(L, lua_upvalueindex(UP_OWN));
  lua_setmetatable(L, -2);
  s->B = B;
  s->outer = B->scopes;
  B->scopes = s;
  return s;
}

/* Whether the table at an index is plain (a model or another object is left alone). */
static bool is_plain_table (lua_State *L, int index) {
  if (!lua_istable(L, index)) return false;
  if (!lua_getmetatable(L, index)) return true;
  lua_pop(L, 1);
  return false;
}

typedef void visit_fn(gan_handle *h, void *ud);

/* Visits the value at an index if it is a tensor, and the tensors in it if it is a plain table. */
static void visit_tensors (lua_State *L, gan_lua *B, int index, visit_fn *fn, void *ud) {
  gan_handle *h = gan_lua_handle(L, B, index);
  if (h) fn(h, ud);
  if (h || !is_plain_table(L, index)) return;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    if ((h = gan_lua_handle(L, B, -1))) fn(h, ud);
    lua_pop(L, 1);
  }
}

/* A result of the scope's function goes to the scope around it. */
static void lift (gan_handle *h, void *ud) {
  gan_scope *s = ud;
  for (gan_scope *i = h->B->scopes; h->t && i; i = i->outer) {
    if (i->thread == s->thread && i == h->scope) {
      move_handle(h, scope_of_thread(s->outer, s->thread));
      return;
    }
    if (i == s) return;
  }
}

/* gan.scope() -> an open scope, for `local s <close>`; gan.scope(f, ...) -> results of f(...) */
static int new_scope (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  int n = lua_gettop(L);
  char got[80];
  if (n == 0) {
    push_scope(L, B);
    return 1;
  }
  if (!lua_isfunction(L, 1) && !luaL_getmetafield(L, 1, "__call"))
    gan_lua_error(L, "scope", "argument 1 'f' must be a function, got %s (without an argument it "
                  "opens a scope: local s <close> = gan.scope())",
                  gan_lua_describe(L, B, 1, got, sizeof got));
  lua_settop(L, n);
  luaL_checkstack(L, 10, NULL);
  gan_scope *s = push_scope(L, B);
  lua_insert(L, 1);
  lua_toclose(L, 1); /* an error in f closes the scope, too */
  lua_call(L, n - 1, LUA_MULTRET);
  luaL_checkstack(L, 10, NULL);
  for (int i = 2, top = lua_gettop(L); i <= top; i++) visit_tensors(L, B, i, lift, s);
  return lua_gettop(L) - 1;
}

static void keep_handle (gan_handle *h, void *ud) {
  (void)ud;
  if (h->t) move_handle(h, NULL);
}

/* gan.keep(...) -> ...: takes tensors (also in plain tables) out of every scope. */
static int keep (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  int n = lua_gettop(L);
  char got[80];
  luaL_checkstack(L, 6, NULL);
  for (int i = 1; i <= n; i++) {
    gan_handle *h = gan_lua_handle(L, B, i);
    if (!h && !is_plain_table(L, i))
      gan_lua_error(L, "keep", "argument %d must be a tensor or a plain table of tensors, got %s",
                    i, gan_lua_describe(L, B, i, got, sizeof got));
    if (h && !h->t) gan_lua_check_tensor(L, B, i, "keep", "x");
    visit_tensors(L, B, i, keep_handle, NULL);
  }
  return n;
}

/* x:release(): frees the handle's share at once. */
static int release (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_handle *h = gan_lua_handle(L, B, 1);
  if (!h) gan_lua_check_tensor(L, B, 1, "release", "x");
  else if (h->t) gan_lua_drop(h, GAN_RELEASED); /* its scope may have been faster */
  return 0;
}

/* ---- numbers and limits ------------------------------------------------------------------- */

static void set_field (lua_State *L, const char *name, int64_t v) {
  lua_pushinteger(L, v);
  lua_setfield(L, -2, name);
}

static int memory (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_memory_info m = gan_memory(B->c);
  lua_createtable(L, 0, 6);
  set_field(L, "live", (int64_t)m.live);
  set_field(L, "peak", (int64_t)m.peak);
  set_field(L, "cached", (int64_t)m.cached);
  set_field(L, "limit", (int64_t)m.limit);
  set_field(L, "tensors", m.tensors);
  set_field(L, "nodes", m.nodes);
  return 1;
}

/* gan.memory_limit(bytes) sets it, nil removes it; returns the one before (0: none). */
static int memory_limit (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  lua_Integer bytes = 0;
  if (!lua_isnoneornil(L, 1)) {
    bytes = gan_lua_check_int(L, 1, "memory_limit", "bytes");
    if (bytes <= 0)
      gan_lua_error(L, "memory_limit",
                    "argument 1 'bytes' must be positive (nil: no limit), got %lld",
                    (long long)bytes);
  }
  lua_pushinteger(L, (lua_Integer)gan_memory(B->c).limit);
  gan_memory_limit(B->c, (size_t)bytes);
  B->soft = soft_limit(B);
  return 1;
}

static int reset_peak (lua_State *L) {
  gan_memory_reset_peak(gan_lua_enter(L)->c);
  return 0;
}

static int trim (lua_State *L) {
  gan_memory_trim(gan_lua_enter(L)->c);
  return 0;
}

const luaL_Reg gan_lua_memory_methods[] = { { "keep", keep },
                                            { "release", release },
                                            { NULL, NULL } };

static const luaL_Reg functions[] = { { "keep", keep },
                                      { "memory", memory },
                                      { "memory_limit", memory_limit },
                                      { "reset_peak", reset_peak },
                                      { "trim", trim },
                                      { NULL, NULL } };

/* Adds a function whose third upvalue is the metatable of scopes, at index meta, to the table at
   index t. */
static void add (lua_State *L, int t, const char *name, lua_CFunction f, int meta) {
  lua_pushvalue(L, meta);
  gan_lua_push_closure(L, f);
  lua_setfield(L, t, name);
}

void gan_lua_open_memory (lua_State *L) {
  int module = lua_gettop(L), meta = module + 1, index = module + 2;
  gan_lua_register(L, functions, true);
  lua_newtable(L);
  lua_newtable(L);
  add(L, index, "close", scope_close, meta);
  lua_setfield(L, meta, "__index");
  gan_lua_seal(L, "gan.scope");
  add(L, meta, "__close", scope_close, meta);
  add(L, meta, "__gc", scope_gc, meta);
  add(L, module, "scope", new_scope, meta);
  lua_settop(L, module);
}
