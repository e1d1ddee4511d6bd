/*
** compile.c - recordings of training steps for Lua: what gan.compile (lua/gan/compile.lua) is made
** of. gan.debug.recording makes one.
*/
#include <limits.h>

#include "../core/tape.h"
#include "binding.h"

/* A recording under way or finished, or the plan made from it. */
struct gan_recording {
  gan_lua *B;
  gan_tape *tape;
  gan_replay *plan;
  bool running; /* the plan */
  gan_recording *next, **link; /* while there is one of the two: in the list of the binding */
};

/* ---- life ----------------------------------------------------------------------------------- */

static void drop (gan_recording *r) {
  if (!r->tape && !r->plan) return;
  *r->link = r->next;
  if (r->next) r->next->link = r->link;
  gan_tape_free(r->tape);
  gan_replay_free(r->plan);
  r->tape = NULL;
  r->plan = NULL;
}

void gan_lua_drop_recordings (gan_lua *B) {
  while (B->recordings) drop(B->recordings);
}

static gan_recording *check (lua_State *L, const char *name) {
  gan_recording *r = lua_touserdata(L, 1);
  if (!r || !lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(UP_OWN)))
    gan_lua_error(L, name, "argument 1 must be a recording");
  lua_pop(L, 1);
  return r;
}

/* The tensors of a list, in Lua's memory, which stays on the stack. */
static gan_tensor **read_list (lua_State *L, gan_lua *B, int index, const char *name, int *n) {
  luaL_checktype(L, index, LUA_TTABLE);
  lua_Integer len = (lua_Integer)lua_rawlen(L, index);
  if (len > 10000) gan_lua_error(L, name, "too many tensors");
  gan_tensor **list = lua_newuserdatauv(L, ((size_t)len + 1) * sizeof *list, 0);
  for (int k = 0; k < len; k++) {
    lua_rawgeti(L, index, k + 1);
    list[k] = gan_lua_check_tensor(L, B, -1, name, "tensor");
    lua_pop(L, 1);
  }
  *n = (int)len;
  return list;
}

/* gan.debug.can_record() -> whether a step can be recorded or replayed here: not inside another
   one, and not while every NaN is looked for */
static int can_record (lua_State *L) {
  const gan_ctx *c = gan_lua_enter(L)->c;
  lua_pushboolean(L, !c->tape && !c->plan && !c->anomaly);
  return 1;
}

/* gan.debug.recording() -> recording */
static int new_recording (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_recording *r = lua_newuserdatauv(L, sizeof *r, 0);
  *r = (gan_recording){ .B = B };
  lua_pushvalue(L, lua_upvalueindex(UP_OWN));
  lua_setmetatable(L, -2);
  return 1;
}

/* recording:drop(), also its end as a variable that is closed */
static int drop_method (lua_State *L) {
  gan_recording *r = check(L, "drop");
  if (r->running) return gan_lua_error(L, "drop", "the plan is running");
  drop(r);
  return 0;
}

static int gc (lua_State *L) {
  gan_recording *r = lua_touserdata(L, 1);
  if (r && lua_getmetatable(L, 1) && lua_rawequal(L, -1, lua_upvalueindex(UP_OWN))) drop(r);
  return 0;
}

/* ---- recording ------------------------------------------------------------------------------ */

/* recording:start{arguments} */
static int start (lua_State *L) {
  gan_recording *r = check(L, "start");
  gan_lua *B = r->B;
  int n;
  if (r->tape || r->plan) return gan_lua_error(L, "start", "there is a recording already");
  gan_tensor **inputs = read_list(L, B, 2, "start", &n);
  r->tape = gan_tape_start(B->c, n, inputs);
  if (!r->tape) gan_lua_raise(L, B, "compile");
  r->next = B->recordings;
  r->link = &B->recordings;
  if (r->next) r->next->link = &r->next;
  B->recordings = r;
  return 0;
}

/* recording:pause(bool) -> instructions so far. What is done while it is paused is not recorded: it
   is to be done again in every replay. */
static int pause (lua_State *L) {
  gan_recording *r = check(L, "pause");
  if (r->tape) r->tape->paused = lua_toboolean(L, 2);
  lua_pushinteger(L, r->tape ? r->tape->ninstr : 0);
  return 1;
}

/* recording:refuse(reason) */
static int refuse (lua_State *L) {
  gan_recording *r = check(L, "refuse");
  if (r->tape && r->B->c->tape == r->tape)
    gan_tape_refuse(r->B->c, "%s", luaL_checkstring(L, 2));
  return 0;
}

/* recording:stop{results} -> list of places, or nil and why it cannot be replayed */
static int stop (lua_State *L) {
  gan_recording *r = check(L, "stop");
  int n;
  if (!r->tape) return gan_lua_error(L, "stop", "there is no recording");
  gan_tensor **results = read_list(L, r->B, 2, "stop", &n);
  int *slots = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *slots, 0);
  lua_createtable(L, n, 0);
  if (!gan_tape_stop(r->tape, n, results, slots)) {
    lua_pushnil(L);
    lua_pushstring(L, gan_tape_refusal(r->tape));
    return 2;
  }
  for (int k = 0; k < n; k++) {
    lua_pushinteger(L, slots[k]);
    lua_rawseti(L, -2, k + 1);
  }
  return 1;
}

/* recording:same(other) -> true, or false and what differs */
static int same (lua_State *L) {
  gan_recording *a = check(L, "same");
  lua_insert(L, 1);
  gan_recording *b = check(L, "same");
  if (!a->tape || !b->tape) return gan_lua_error(L, "same", "there is no recording");
  bool ok = gan_tape_same(b->tape, a->tape);
  lua_pushboolean(L, ok);
  lua_pushstring(L, ok ? "" : gan_tape_refusal(a->tape));
  return 2;
}

/* recording:plan() -> operations, bytes, bytes without sharing, or nil and why not; it can be run
   from now on */
static int plan (lua_State *L) {
  gan_recording *r = check(L, "plan");
  gan_ctx *c = r->B->c;
  if (!r->tape || r->plan) return gan_lua_error(L, "plan", "there is no recording");
  r->plan = gan_replay_new(c, r->tape);
  if (!r->plan) {
    lua_pushnil(L);
    lua_pushstring(L, gan_error_message(c));
    gan_clear_error(c);
    return 2;
  }
  r->tape = NULL;
  lua_pushinteger(L, gan_replay_length(r->plan));
  lua_pushinteger(L, (lua_Integer)gan_replay_bytes(r->plan));
  lua_pushinteger(L, (lua_Integer)gan_replay_bytes_needed(r->plan));
  return 3;
}

/* ---- replay --------------------------------------------------------------------------------- */

static gan_replay *check_plan (lua_State *L, const char *name) {
  gan_recording *r = check(L, name);
  if (!r->plan) gan_lua_error(L, name, "there is no plan");
  return r->plan;
}

/* plan:fits{arguments} -> whether it was made for tensors like these */
static int fits (lua_State *L) {
  gan_recording *r = check(L, "fits");
  int n;
  gan_replay *p = check_plan(L, "fits");
  gan_tensor **inputs = read_list(L, r->B, 2, "fits", &n);
  lua_pushboolean(L, gan_replay_fits(p, n, inputs));
  return 1;
}

/* plan:astray() -> whether a run failed because the step is not the recorded one any more */
static int astray (lua_State *L) {
  lua_pushboolean(L, gan_replay_astray(check_plan(L, "astray")));
  return 1;
}

/* What a run needs beside the plan, counted. */
typedef struct {
  gan_recording *r;
  int n;
  int *slots;
  gan_tensor **out;
} results;

/* Tensors for the results, before anything changes: handles in a list, which is pushed. */
static bool make_room (lua_State *L, results *x, int places) {
  gan_ctx *c = x->r->B->c;
  gan_loan loan;
  int n = (int)lua_rawlen(L, places);
  x->slots = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *x->slots, 0);
  x->out = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *x->out, 0);
  lua_createtable(L, n, 0);
  for (int k = 0; k < n; k++) {
    gan_lua_new_handle(L, x->r->B, lua_upvalueindex(UP_META));
    lua_rawseti(L, -2, k + 1);
    lua_rawgeti(L, places, k + 1);
    x->slots[k] = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  gan_lua_lend(&loan, L, x->r->B, 0);
  gan_frame_open(c);
  for (gan_tensor *y; x->n < n && (y = gan_replay_room(x->r->plan, x->slots[x->n])); x->n++) {
    x->out[x->n] = gan_retain(y);
    lua_rawgeti(L, -1, x->n + 1);
    gan_lua_fill(L, lua_touserdata(L, -1), y);
    lua_pop(L, 1);
  }
  gan_frame_close(c);
  gan_lua_take_back(&loan);
  return x->n == n;
}

static bool run_to (lua_State *L, gan_recording *r, lua_Integer instruction) {
  gan_loan loan;
  gan_lua_lend(&loan, L, r->B, 0);
  bool ok = gan_replay_run(r->plan, (int)instruction);
  gan_lua_take_back(&loan);
  return ok;
}

/* Runs the plan, and in between the functions of the list, a table {f=, at=} each. On failure there
   is an error: in the context, or, `raised`, a Lua value on top. */
static bool run_all (lua_State *L, gan_recording *r, int list, bool *raised) {
  for (int k = 1; lua_rawgeti(L, list, k) == LUA_TTABLE; k++) {
    lua_getfield(L, -1, "at");
    if (!run_to(L, r, lua_tointeger(L, -1))) return false;
    lua_getfield(L, -2, "f");
    *raised = lua_pcall(L, 0, 0, 0) != LUA_OK;
    if (*raised) {
      gan_replay_abandon(r->plan);
      return false;
    }
    lua_pop(L, 2);
  }
  if (!run_to(L, r, INT_MAX)) return false;
  gan_replay_end(r->plan);
  return true;
}

/* plan:run({arguments}, {places}, {functions}) -> list of copies of the tensors at those places */
static int run (lua_State *L) {
  results x = { .r = check(L, "run") };
  int n;
  bool raised = false;
  check_plan(L, "run");
  luaL_checktype(L, 3, LUA_TTABLE);
  luaL_checktype(L, 4, LUA_TTABLE);
  lua_settop(L, 4);
  luaL_checkstack(L, 20, NULL);
  gan_tensor **inputs = read_list(L, x.r->B, 2, "run", &n);
  bool ok = make_room(L, &x, 3);
  int list = lua_gettop(L);
  if (ok && gan_replay_begin(x.r->plan, n, inputs)) {
    x.r->running = true;
    ok = run_all(L, x.r, 4, &raised);
    x.r->running = false;
  }
  else ok = false;
  for (int k = 0; k < x.n; k++) {
    if (ok) gan_replay_result(x.r->plan, x.slots[k], x.out[k]);
    gan_release(x.out[k]);
  }
  if (raised) return lua_error(L);
  if (gan_error(x.r->B->c)) gan_lua_raise(L, x.r->B, NULL);
  lua_settop(L, list);
  return 1;
}

/* ---- opening -------------------------------------------------------------------------------- */

static const luaL_Reg methods[] = { { "drop", drop_method }, { "start", start },
                                    { "pause", pause },
                                    { "refuse", refuse }, { "stop", stop }, { "same", same },
                                    { "plan", plan }, { "astray", astray }, { "fits", fits },
                                    { "run", run }, { NULL, NULL } };

static void add (lua_State *L, int meta, int t, const char *name, lua_CFunction f) {
  lua_pushvalue(L, meta);
  gan_lua_push_closure(L, f);
  lua_setfield(L, t, name);
}

/* Adds recording and can_record to the table of gan.debug on top. */
void gan_lua_open_compile (lua_State *L) {
  int debug = lua_gettop(L), meta = debug + 1, index = debug + 2;
  lua_newtable(L);
  lua_newtable(L);
  for (const luaL_Reg *f = methods; f->name; f++) add(L, meta, index, f->name, f->func);
  lua_setfield(L, meta, "__index");
  gan_lua_seal(L, "gan.recording");
  add(L, meta, meta, "__gc", gc);
  add(L, meta, debug, "recording", new_recording);
  add(L, meta, debug, "can_record", can_record);
  lua_settop(L, debug);
}
