/*
** function.c - gan.Function: functions with a gradient of their own, written in Lua.
**
**     local square = gan.Function{
**       forward  = function(ctx, x) ctx:save(x); return x * x end,
**       backward = function(ctx, gy) return 2 * ctx:saved() * gy end,
**     }
**
** forward runs with recording off, backward records when a graph of the gradient is wanted. What
** ctx:saved() gives back is connected to the graph when it was an input or a result of forward, so
** a backward made of ops has a gradient itself. Any other saved tensor would silently be a constant
** there: using one under create_graph is an error, unless ctx:save_constant says that it is meant.
**
** A node of the graph is C, and the collector does not see what it refers to. So `ctx` (a userdata,
** here called the record) is pinned in the registry while its node lives, and so is the function.
** A node dies where no Lua function may be called: the references are queued, and given back when
** the module is next entered.
*/
#include <stdio.h>
#include <string.h>

#include "binding.h"

enum { UV_FORWARD = 1, UV_BACKWARD, UV_GUARD, UV_RECORD, UV_COUNT = UV_RECORD };

struct gan_function {
  gan_custom custom; /* for the core: name, backward, release */
  int64_t nodes;     /* alive */
  int ref;           /* pins this userdata while there are nodes */
  bool queued;
  gan_function *next_dead;
  char name[64];
};

typedef enum { SAVED_OTHER, SAVED_INPUT, SAVED_OUTPUT, SAVED_CONSTANT } saved_kind;

typedef struct {
  gan_tensor *t; /* counted */
  uint64_t version;
  saved_kind kind;
  int index; /* which output */
} saved_tensor;

typedef enum { IN_FORWARD, RECORDED, IN_BACKWARD, SPENT } phase;

struct gan_call_record {
  gan_lua *B; /* NULL: the state closes */
  gan_call_record *next, **link; /* all of the state */
  gan_call_record *next_dead;
  gan_function *f;
  gan_node *node; /* not counted: it holds the record */
  int ref;        /* pins this userdata while the node lives */
  phase phase;
  int nsaved, saved_size;
  saved_tensor *saved;
  int nargs, nresults; /* of forward */
  int nin, nout;       /* those that are tensors of the compute type */
  int *map, map_size;  /* argument of each input, then result of each output */
};

/* ---- the life of a record ----------------------------------------------------------------- */

/* Frees what was saved. May be called again. */
static void drop_saved (gan_call_record *r) {
  gan_ctx *c = r->B->c;
  int n = r->nsaved;
  saved_tensor *saved = r->saved;
  r->nsaved = 0;
  r->saved = NULL;
  for (int i = 0; i < n; i++) gan_release(saved[i].t);
  gan_free(c, saved, (size_t)r->saved_size * sizeof *saved);
  gan_free(c, r->map, (size_t)r->map_size * sizeof *r->map);
  r->saved_size = 0;
  r->map = NULL;
  r->phase = SPENT;
}

static void unlink_record (gan_call_record *r) {
  *r->link = r->next;
  if (r->next) r->next->link = r->link;
  r->B = NULL;
}

static void queue_function (gan_lua *B, gan_function *f) {
  if (f->queued) return;
  f->queued = true;
  f->next_dead = B->dead_functions;
  B->dead_functions = f;
}

/* The node is gone, or has been used up. Called by the core: nothing of Lua here. */
static void release_record (gan_ctx *c, void *ud) {
  gan_call_record *r = ud;
  (void)c;
  if (!r->B) return;
  drop_saved(r);
  r->node = NULL;
  r->next_dead = r->B->dead_calls;
  r->B->dead_calls = r;
  if (--r->f->nodes == 0) queue_function(r->B, r->f);
}

void gan_lua_bury (lua_State *L, gan_lua *B) {
  gan_call_record *r;
  gan_function *f;
  while ((r = B->dead_calls)) {
    B->dead_calls = r->next_dead;
    luaL_unref(L, LUA_REGISTRYINDEX, r->ref);
  }
  while ((f = B->dead_functions)) {
    B->dead_functions = f->next_dead;
    f->queued = false;
    if (f->nodes > 0) continue;
    int ref = f->ref;
    f->ref = LUA_NOREF;
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
  }
}

void gan_lua_forget_records (gan_lua *B) {
  while (B->records) {
    gan_call_record *r = B->records;
    drop_saved(r);
    unlink_record(r);
  }
}

static bool is_record (lua_State *L, int index) {
  bool yes = lua_touserdata(L, index) && lua_getmetatable(L, index);
  if (yes) {
    yes = lua_rawequal(L, -1, lua_upvalueindex(UP_OWN));
    lua_pop(L, 1);
  }
  return yes;
}

static int record_gc (lua_State *L) {
  gan_call_record *r = lua_touserdata(L, 1);
  if (!is_record(L, 1) || !r->B || r->node) return 0; /* with a node: the state closes */
  drop_saved(r);
  unlink_record(r);
  return 0;
}

/* Pushes the record of a call. */
static gan_call_record *push_record (lua_State *L, gan_lua *B, gan_function *f) {
  gan_call_record *r = lua_newuserdatauv(L, sizeof *r, 1);
  *r = (gan_call_record){ .f = f, .ref = LUA_NOREF, .phase = IN_FORWARD };
  lua_getiuservalue(L, lua_upvalueindex(UP_OWN), UV_RECORD);
  lua_setmetatable(L, -2);
  r->B = B;
  r->next = B->records;
  r->link = &B->records;
  if (r->next) r->next->link = &r->next;
  B->records = r;
  return r;
}

/* ---- ctx:save, ctx:save_constant, ctx:saved, free fields ----------------------------------- */

static gan_call_record *check_record (lua_State *L, const char *name) {
  if (!is_record(L, 1)) gan_lua_error(L, name, "must be called as ctx:%s(...)", name);
  return lua_touserdata(L, 1);
}

static bool grow_saved (gan_call_record *r, int more) {
  int n = r->nsaved + more;
  if (n <= r->saved_size) return true;
  n += 4;
  saved_tensor *p = gan_malloc(r->B->c, (size_t)n * sizeof *p);
  if (!p) return false;
  if (r->nsaved) memcpy(p, r->saved, (size_t)r->nsaved * sizeof *p);
  gan_free(r->B->c, r->saved, (size_t)r->saved_size * sizeof *p);
  r->saved = p;
  r->saved_size = n;
  return true;
}

static int save_as (lua_State *L, const char *name, saved_kind kind) {
  gan_lua *B = gan_lua_enter(L);
  gan_call_record *r = check_record(L, name);
  int n = lua_gettop(L) - 1;
  char got[80];
  if (r->phase != IN_FORWARD) gan_lua_error(L, r->f->name, "ctx:%s belongs in forward", name);
  for (int i = 2; i <= n + 1; i++)
    if (!gan_lua_handle(L, B, i))
      gan_lua_error(L, r->f->name, "ctx:%s takes tensors, argument %d is %s (keep other values as "
                    "fields: ctx.name = value)", name, i - 1,
                    gan_lua_describe(L, B, i, got, sizeof got));
    else gan_lua_check_tensor(L, B, i, name, "tensor");
  if (!grow_saved(r, n)) gan_lua_raise(L, B, r->f->name);
  for (int i = 2; i <= n + 1; i++) {
    gan_tensor *t = gan_lua_handle(L, B, i)->t;
    r->saved[r->nsaved++] = (saved_tensor){ gan_retain(t), t->st->version, kind, 0 };
  }
  return 0;
}

static int save (lua_State *L) {
  return save_as(L, "save", SAVED_OTHER);
}

static int save_constant (lua_State *L) {
  return save_as(L, "save_constant", SAVED_CONSTANT);
}

/* The saved tensor as backward may use it. [temp] */
static gan_tensor *give_back (gan_ctx *c, const gan_call_record *r, const saved_tensor *s) {
  if (s->kind == SAVED_CONSTANT) return gan_detach(c, s->t);
  if (s->kind != SAVED_OUTPUT || !c->recording) return s->t;
  gan_tensor *t = gan_detach(c, s->t);
  if (t) { /* the place in the graph that the result has */
    t->node = r->node;
    t->out_index = s->index;
    r->node->refs++;
  }
  return t;
}

static void check_saved (lua_State *L, gan_lua *B, const gan_call_record *r, int i) {
  const saved_tensor *s = &r->saved[i];
  if (s->t->st->version != s->version)
    gan_lua_error(L, r->f->name, "saved tensor %d was changed in place after it was saved", i + 1);
  if (s->kind == SAVED_OTHER && B->c->recording)
    gan_lua_error(L, r->f->name, "saved tensor %d is neither an argument nor a result of forward: "
                  "under create_graph its gradient would be lost. Save an argument and compute it "
                  "again in backward, or say that it is a constant: ctx:save_constant", i + 1);
}

/* ctx:saved() -> all that was saved, in order */
static int saved (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_ctx *c = B->c;
  gan_call_record *r = check_record(L, "saved");
  if (r->phase != IN_BACKWARD)
    gan_lua_error(L, r->f->name, r->phase == SPENT ? "what ctx saved was freed by a backward pass"
                                                   : "ctx:saved belongs in backward");
  int n = r->nsaved, at = lua_gettop(L) + 1;
  luaL_checkstack(L, n + 10, NULL);
  for (int i = 0; i < n; i++) check_saved(L, B, r, i);
  for (int i = 0; i < n; i++) gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  gan_frame_open(c);
  for (int i = 0; i < n && !gan_error(c); i++) {
    gan_tensor *t = give_back(c, r, &r->saved[i]);
    if (t) gan_lua_fill(L, lua_touserdata(L, at + i), t);
  }
  gan_frame_close(c);
  if (gan_error(c)) gan_lua_raise(L, B, r->f->name);
  return n;
}

/* ctx.name: a method (they are in the metatable), else a field that was set */
static int record_index (lua_State *L) {
  check_record(L, "index");
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(UP_OWN)) == LUA_TFUNCTION) return 1;
  if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) return 0;
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

static int record_newindex (lua_State *L) {
  gan_call_record *r = check_record(L, "newindex");
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(UP_OWN)) == LUA_TFUNCTION)
    gan_lua_error(L, r->f->name, "ctx.%s is a method and cannot be set", lua_tostring(L, 2));
  lua_pop(L, 1);
  if (lua_isnil(L, 2)) gan_lua_error(L, r->f->name, "a field of ctx cannot be called nil");
  if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, 1);
  }
  lua_insert(L, 2);
  lua_rawset(L, 2);
  return 0;
}

/* ---- backward ----------------------------------------------------------------------------- */

typedef struct {
  gan_call_record *r;
  int ngy, ngx;
  gan_tensor **gy, **gx;
} pass;

/* Pushes the gradient of output j; zeros where none arrived. */
static void push_gradient (lua_State *L, const pass *p, int j, int meta) {
  gan_lua *B = p->r->B;
  gan_ctx *c = B->c;
  gan_handle *h = gan_lua_new_handle(L, B, meta);
  const gan_edge *e = &p->r->node->out[j];
  gan_frame_open(c);
  gan_tensor *g = p->gy[j] ? p->gy[j] : gan_new_zero(c, GAN_REAL, e->ndim, e->shape);
  if (g) gan_lua_fill(L, h, g);
  gan_frame_close(c);
  if (gan_error(c)) gan_lua_raise(L, B, p->r->f->name);
}

/* Pushes one gradient for each result of forward, nil for results without. */
static void push_gradients (lua_State *L, const pass *p, int meta) {
  const gan_call_record *r = p->r;
  int j = 0;
  for (int i = 0; i < r->nresults; i++) {
    if (j < r->nout && r->map[r->nin + j] == i) push_gradient(L, p, j++, meta);
    else lua_pushnil(L);
  }
}

/* The value at an index as gradient of argument k. [temp], NULL for nil */
static gan_tensor *take_gradient (lua_State *L, gan_lua *B, const gan_call_record *r, int index,
                                  int k) {
  char got[80];
  if (lua_isnoneornil(L, index)) return NULL;
  gan_handle *h = gan_lua_handle(L, B, index);
  if (!h)
    gan_lua_error(L, r->f->name, "backward must return a tensor (or nil) for argument %d, got %s",
                  k + 1, gan_lua_describe(L, B, index, got, sizeof got));
  if (!h->t)
    gan_lua_error(L, r->f->name, "backward returned a released tensor for argument %d", k + 1);
  if (gan_type(h->t) != GAN_REAL)
    gan_lua_error(L, r->f->name, "backward returned a %s tensor for argument %d",
                  gan_dtype_name(gan_type(h->t)), k + 1);
  return gan_temp(B->c, gan_retain(h->t));
}

/* Under lua_pcall: calls the Lua function and takes its results. */
static int run_backward (lua_State *L) {
  pass *p = lua_touserdata(L, 1);
  gan_call_record *r = p->r;
  gan_lua *B = r->B;
  luaL_checkstack(L, r->nresults + 20, NULL);
  gan_lua_push_meta(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->f->ref);
  lua_getiuservalue(L, -1, UV_BACKWARD);
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->ref);
  push_gradients(L, p, 2);
  lua_call(L, r->nresults + 1, LUA_MULTRET);
  int n = lua_gettop(L) - 3;
  if (n > r->nargs)
    gan_lua_error(L, r->f->name, "backward returned %d gradients, forward has %d arguments", n,
                  r->nargs);
  for (int i = 0; i < p->ngx; i++) {
    int k = r->map[i];
    p->gx[i] = k < n ? take_gradient(L, B, r, 4 + k, k) : NULL;
  }
  return 0;
}

/* Called by the core in the middle of a pass: no error may leave it. */
static bool custom_backward (gan_ctx *c, void *ud, int ngy, gan_tensor **gy, int ngx,
                             gan_tensor **gx) {
  gan_call_record *r = ud;
  gan_loan *loan = c->relieve == gan_lua_relieve ? c->host : NULL;
  pass p = { r, ngy, ngx, gy, gx };
  if (!loan || !r->B || !lua_checkstack(loan->L, 4)) {
    gan_fail(c, GAN_EHOST, "the backward of %s is a Lua function and needs a call from Lua",
             r->f->name);
    return false;
  }
  lua_State *L = loan->L;
  bool recording = c->recording;
  r->phase = IN_BACKWARD;
  lua_pushcfunction(L, run_backward);
  lua_pushlightuserdata(L, &p);
  int status = lua_pcall(L, 1, 0, 0);
  if (r->phase == IN_BACKWARD) r->phase = RECORDED;
  c->recording = recording;
  if (status == LUA_OK) return !c->status;
  gan_fail(c, GAN_EHOST, "the backward of %s failed", r->f->name);
  if (loan->error) {
    lua_replace(L, loan->error);
    loan->failed = true;
  }
  else lua_pop(L, 1);
  return false;
}

/* ---- forward ------------------------------------------------------------------------------ */

/* Stack of a call: arguments 1..n, the record, the guard, the results, then what is made. */
typedef struct {
  gan_lua *B;
  gan_function *f;
  gan_call_record *r;
  int n, first, nresults; /* arguments, index of the first result */
  gan_tensor **in, **out; /* inputs and outputs of the node */
  int nin, nout;
  int handles; /* index of the first new handle, one for each result */
} forward_call;

static gan_tensor *tensor_at (lua_State *L, const gan_lua *B, int index) {
  gan_handle *h = gan_lua_handle(L, B, index);
  return h ? h->t : NULL;
}

static bool any_tracked (lua_State *L, const forward_call *k) {
  for (int i = 1; i <= k->n; i++) {
    gan_tensor *t = tensor_at(L, k->B, i);
    if (t && gan_tracked(t)) return true;
  }
  return false;
}

static bool check_results (lua_State *L, const forward_call *k) {
  bool real = false;
  char got[80];
  if (k->nresults == 0) gan_lua_error(L, k->f->name, "forward must return a tensor");
  for (int i = 0; i < k->nresults; i++) {
    gan_tensor *t = tensor_at(L, k->B, k->first + i);
    if (!t)
      gan_lua_error(L, k->f->name, "result %d of forward must be a tensor, got %s", i + 1,
                    gan_lua_handle(L, k->B, k->first + i)
                      ? "a released one"
                      : gan_lua_describe(L, k->B, k->first + i, got, sizeof got));
    real |= gan_type(t) == GAN_REAL;
  }
  return real;
}

/* Inputs, and for each result its own header, which the node will be connected to. */
static bool gather (lua_State *L, forward_call *k) {
  gan_ctx *c = k->B->c;
  gan_call_record *r = k->r;
  for (int i = 1; i <= k->n; i++) {
    gan_tensor *t = tensor_at(L, k->B, i);
    if (t) r->map[k->nin] = i - 1, k->in[k->nin++] = t;
  }
  r->nin = k->nin;
  for (int i = 0; i < k->nresults; i++) {
    gan_tensor *t = tensor_at(L, k->B, k->first + i), *y;
    if (!t) return gan_fail(c, GAN_EARG, "a result of forward was released") != NULL;
    if (gan_type(t) != GAN_REAL) continue;
    if (!(y = gan_detach(c, t))) return false;
    r->map[r->nin + k->nout] = i;
    k->out[k->nout++] = y;
  }
  r->nout = k->nout;
  return true;
}

/* Finds out which saved tensors are arguments and which results. Results are kept without their
   place in the graph: the node would hold itself. */
static bool classify (lua_State *L, const forward_call *k) {
  gan_call_record *r = k->r;
  for (saved_tensor *s = r->saved, *end = s + r->nsaved; s != end; s++) {
    if (s->kind == SAVED_CONSTANT) continue;
    for (int i = 0; i < k->nin; i++)
      if (k->in[i] == s->t) s->kind = SAVED_INPUT;
    for (int j = 0; j < k->nout && s->kind == SAVED_OTHER; j++)
      if (tensor_at(L, k->B, k->first + r->map[r->nin + j]) == s->t) {
        gan_tensor *bare = gan_detach(k->B->c, s->t);
        if (!bare) return false;
        gan_retain(bare);
        gan_release(s->t);
        s->t = bare;
        s->kind = SAVED_OUTPUT;
        s->index = j;
      }
  }
  return true;
}

/* Everything after the last step that may raise. The node takes over the record's reference. */
static void connect (lua_State *L, forward_call *k) {
  gan_ctx *c = k->B->c;
  gan_call_record *r = k->r;
  k->f->nodes++;
  gan_frame_open(c);
  r->map_size = k->n + k->nresults;
  r->map = gan_malloc(c, (size_t)r->map_size * sizeof *r->map);
  if (!r->map || !gather(L, k) || !classify(L, k)) release_record(c, r);
  else if (gan_record_custom(c, &k->f->custom, r, k->nin, k->in, k->nout, k->out)) {
    r->node = k->out[0]->node;
    r->phase = RECORDED;
    for (int i = 0, j = 0; i < k->nresults; i++) {
      bool real = j < k->nout && r->map[r->nin + j] == i;
      gan_tensor *t = real ? k->out[j++] : tensor_at(L, k->B, k->first + i);
      gan_lua_fill(L, lua_touserdata(L, k->handles + i), t);
    }
  }
  gan_frame_close(c);
}

static int record_call (lua_State *L, forward_call *k) {
  size_t pointers = (size_t)(k->n + k->nresults);
  luaL_checkstack(L, k->nresults + 20, NULL);
  k->in = lua_newuserdatauv(L, pointers * sizeof *k->in, 0);
  k->out = k->in + k->n;
  k->handles = lua_gettop(L) + 1;
  for (int i = 0; i < k->nresults; i++) gan_lua_new_handle(L, k->B, lua_upvalueindex(UP_META));
  if (k->f->ref == LUA_NOREF) {
    lua_pushvalue(L, lua_upvalueindex(UP_OWN));
    k->f->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    queue_function(k->B, k->f); /* given back at the next call, should this one fail */
  }
  lua_pushvalue(L, k->n + 1);
  k->r->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  connect(L, k);
  if (gan_error(k->B->c)) gan_lua_raise(L, k->B, k->f->name);
  return k->nresults;
}

/* A call of the function that gan.Function returned; upvalue 3 is its gan_function. */
static int call_function (lua_State *L) {
  forward_call k = { .B = gan_lua_enter(L), .n = lua_gettop(L) };
  gan_ctx *c = k.B->c;
  bool recording = c->recording;
  k.f = lua_touserdata(L, lua_upvalueindex(UP_OWN));
  luaL_checkstack(L, k.n + 20, NULL);
  k.r = push_record(L, k.B, k.f);
  lua_getiuservalue(L, lua_upvalueindex(UP_OWN), UV_GUARD);
  gan_lua_push_guard(L, k.B, lua_gettop(L));
  lua_remove(L, -2);
  lua_toclose(L, -1);
  lua_getiuservalue(L, lua_upvalueindex(UP_OWN), UV_FORWARD);
  lua_pushvalue(L, k.n + 1);
  for (int i = 1; i <= k.n; i++) lua_pushvalue(L, i);
  c->recording = false;
  lua_call(L, k.n + 1, LUA_MULTRET);
  c->recording = recording;
  luaL_checkstack(L, 20, NULL);
  k.first = k.n + 3;
  k.nresults = lua_gettop(L) - k.first + 1;
  k.r->nargs = k.n;
  k.r->nresults = k.nresults;
  bool real = check_results(L, &k);
  if (real && recording && any_tracked(L, &k)) return record_call(L, &k);
  drop_saved(k.r);
  return k.nresults;
}

/* ---- gan.Function ------------------------------------------------------------------------- */

static void check_fields (lua_State *L) {
  static const char *const names[] = { "forward", "backward", "name" };
  char got[80];
  if (!lua_istable(L, 1))
    gan_lua_error(L, "Function", "takes one table, gan.Function{forward=, backward=}, got %s",
                  gan_lua_describe(L, gan_lua_find(L), 1, got, sizeof got));
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
    bool known = false;
    const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
    gan_guess g = gan_lua_guess(key);
    for (int i = 0; i < 3; i++) {
      known |= !strcmp(key, names[i]);
      gan_lua_offer(&g, names[i], strlen(names[i]));
    }
    if (!known && g.best)
      gan_lua_error(L, "Function", "unknown option '%.60s', did you mean '%s'?", key, g.best);
    if (!known)
      gan_lua_error(L, "Function", "unknown option '%.60s' (there are: forward, backward, name)",
                    key);
  }
  for (int i = 0; i < 2; i++) {
    lua_getfield(L, 1, names[i]);
    if (!lua_isfunction(L, -1))
      gan_lua_error(L, "Function", "option '%s' must be a function, got %s", names[i],
                    gan_lua_describe(L, gan_lua_find(L), -1, got, sizeof got));
    lua_pop(L, 1);
  }
  if (lua_getfield(L, 1, "name") != LUA_TNIL && lua_type(L, -1) != LUA_TSTRING)
    gan_lua_error(L, "Function", "option 'name' must be a string, got %s",
                  gan_lua_describe(L, gan_lua_find(L), -1, got, sizeof got));
  lua_pop(L, 1);
}

/* gan.Function{forward=, backward=, name=} -> a function. Upvalue 3 is a table: the metatables of
   records and of guards. */
static int new_function (lua_State *L) {
  gan_lua_enter(L);
  check_fields(L);
  gan_function *f = lua_newuserdatauv(L, sizeof *f, UV_COUNT);
  *f = (gan_function){ .ref = LUA_NOREF };
  lua_getfield(L, 1, "name");
  const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "Function";
  snprintf(f->name, sizeof f->name, "%s", name);
  lua_pop(L, 1);
  f->custom = (gan_custom){ f->name, custom_backward, release_record };
  lua_getfield(L, 1, "forward");
  lua_setiuservalue(L, -2, UV_FORWARD);
  lua_getfield(L, 1, "backward");
  lua_setiuservalue(L, -2, UV_BACKWARD);
  lua_rawgeti(L, lua_upvalueindex(UP_OWN), 1);
  lua_setiuservalue(L, -2, UV_RECORD);
  lua_rawgeti(L, lua_upvalueindex(UP_OWN), 2);
  lua_setiuservalue(L, -2, UV_GUARD);
  gan_lua_push_closure(L, call_function);
  return 1;
}

/* Adds an event or method whose third upvalue is the metatable itself, which is on top. */
static void add_event (lua_State *L, const char *name, lua_CFunction f) {
  lua_pushvalue(L, -1);
  gan_lua_push_closure(L, f);
  lua_setfield(L, -2, name);
}

/* Stack: ..., module, ..., metatable of guards at `guard_meta` (just above the module). */
void gan_lua_open_function (lua_State *L, int guard_meta) {
  lua_createtable(L, 2, 0);
  lua_newtable(L);
  gan_lua_seal(L, "gan.Function.ctx");
  add_event(L, "__gc", record_gc);
  add_event(L, "__index", record_index);
  add_event(L, "__newindex", record_newindex);
  add_event(L, "save", save);
  add_event(L, "save_constant", save_constant);
  add_event(L, "saved", saved);
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, guard_meta);
  lua_rawseti(L, -2, 2);
  gan_lua_push_closure(L, new_function);
  lua_setfield(L, guard_meta - 1, "Function");
}
