/*
** ranks.c - gan.debug.job: core/ranks.h for Lua. What users see of it is lua/gan/mpi.lua.
*/
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../core/ranks.h"
#include "../core/tape.h"
#include "binding.h"

static gan_lua *enter_job (lua_State *L, const char *name) {
  gan_lua *B = gan_lua_enter(L);
  if (!B->c->ranks) gan_lua_error(L, name, "this process belongs to no job");
  return B;
}

/* open(transport, stop): light userdata, a gan_transport and a sig_atomic_t or nil */
static int job_open (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  if (lua_type(L, 1) != LUA_TLIGHTUSERDATA || !lua_touserdata(L, 1))
    gan_lua_error(L, "job.open", "argument 1 'transport' is none");
  if (!gan_ranks_open(B->c, lua_touserdata(L, 1), lua_touserdata(L, 2)))
    gan_lua_raise(L, B, "job.open");
  return 0;
}

static int job_close (lua_State *L) {
  gan_ranks_close(gan_lua_enter(L)->c);
  return 0;
}

/* share(first, rows, total): the rows of the batch at hand, from 1; share(): there is none. */
static int job_share (lua_State *L) {
  static const char name[] = "job.share";
  gan_lua *B = enter_job(L, name);
  gan_share s = { 0 };
  if (!lua_isnoneornil(L, 1)) {
    s.first = gan_lua_check_int(L, 1, name, "first") - 1;
    s.rows = gan_lua_check_int(L, 2, name, "rows");
    s.total = gan_lua_check_int(L, 3, name, "total");
    if (s.first < 0 || s.rows < 1 || s.first > s.total - s.rows)
      gan_lua_error(L, name, "%lld rows from row %lld on are no part of %lld rows",
                    (long long)s.rows, (long long)s.first + 1, (long long)s.total);
  }
  B->c->share = s;
  return 0;
}

/* mark(x): the gradients of this leaf are averaged. */
static int job_mark (lua_State *L) {
  gan_lua *B = enter_job(L, "job.mark");
  gan_tensor *t = gan_lua_check_tensor(L, B, 1, "job.mark", "x");
  if (!t->node) t->shared = true;
  return 0;
}

/* sum(x) -> the sum of the tensors of all ranks. x is of the compute type. */
static int job_sum (lua_State *L) {
  static const char name[] = "job.sum";
  gan_lua *B = enter_job(L, name);
  gan_ctx *c = B->c;
  gan_lua_check_tensor(L, B, 1, name, "x");
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  gan_tensor *x = gan_lua_check_tensor(L, B, 1, name, "x");
  if (gan_type(x) != GAN_REAL)
    gan_lua_error(L, name, "argument 1 'x' is a %s tensor", gan_dtype_name(gan_type(x)));
  gan_frame_open(c);
  gan_tensor *y = gan_new(c, GAN_REAL, x->ndim, x->shape);
  gan_copy_into(c, y, x);
  if (y && gan_ranks_sum(c, y->data, y->numel, sizeof(gan_real) > sizeof(float)))
    gan_lua_fill(L, h, y);
  gan_frame_close(c);
  if (c->tape) gan_tape_refuse(c, "its gradients are averaged over the processes of a job");
  if (gan_error(c)) gan_lua_raise(L, B, name);
  return 1;
}

/* sum_numbers(list) -> the list of the sums over all ranks, in double precision */
static int job_sum_numbers (lua_State *L) {
  static const char name[] = "job.sum_numbers";
  gan_lua *B = enter_job(L, name);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer n = luaL_len(L, 1);
  double *x = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *x, 0);
  for (lua_Integer i = 0; i < n; i++) {
    if (lua_geti(L, 1, i + 1) != LUA_TNUMBER)
      gan_lua_error(L, name, "item %lld is no number", (long long)i + 1);
    x[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  if (n && !gan_ranks_sum(B->c, x, n, true)) gan_lua_raise(L, B, name);
  lua_createtable(L, (int)n, 0);
  for (lua_Integer i = 0; i < n; i++) {
    lua_pushnumber(L, x[i]);
    lua_seti(L, -2, i + 1);
  }
  return 1;
}

/* remember(list of tensors): a step begins. */
static int job_remember (lua_State *L) {
  static const char name[] = "job.remember";
  gan_lua *B = enter_job(L, name);
  luaL_checktype(L, 1, LUA_TTABLE);
  int n = (int)luaL_len(L, 1);
  gan_tensor **t = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *t, 0);
  for (int i = 0; i < n; i++) {
    lua_geti(L, 1, i + 1);
    t[i] = gan_lua_check_tensor(L, B, -1, name, "list");
    lua_pop(L, 1);
  }
  if (!gan_ranks_remember(B->c, n, t)) gan_lua_raise(L, B, name);
  return 0;
}

/* recall(i) -> tensor i as it was when the step began; nil where that is lost */
static int job_recall (lua_State *L) {
  gan_lua *B = enter_job(L, "job.recall");
  int i = (int)gan_lua_check_int(L, 1, "job.recall", "i");
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  gan_tensor *t = gan_ranks_recall(B->c, i - 1);
  if (!t) return 0;
  gan_lua_fill(L, h, t);
  return 1;
}

static int job_broken (lua_State *L) {
  lua_pushboolean(L, gan_ranks_broken(gan_lua_enter(L)->c));
  return 1;
}

/* stats() -> the fields of gan_ranks_info */
static int job_stats (lua_State *L) {
  gan_ranks_info s = gan_ranks_stats(gan_lua_enter(L)->c);
  const struct { const char *name; int64_t value; } counts[] = {
    { "passes", s.passes }, { "messages", s.messages }, { "bytes", s.bytes }, { "early", s.early },
    { "others", s.others }, { "other_bytes", s.other_bytes }
  };
  lua_newtable(L);
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    lua_pushinteger(L, counts[i].value);
    lua_setfield(L, -2, counts[i].name);
  }
  lua_pushnumber(L, s.waiting);
  lua_setfield(L, -2, "waiting");
  lua_pushnumber(L, s.passing);
  lua_setfield(L, -2, "passing");
  return 1;
}

/* home() -> the folder of the file that holds this code, the program or the module; nil where the
   system does not say. */
static int job_home (lua_State *L) {
  static const char here[] = "an address in that file";
  char path[4096];
  Dl_info info;
  ssize_t n = -1;
  if (!dladdr(here, &info) || !info.dli_fname) return 0;
  const char *found = info.dli_fname;
  if (!strstr(found, ".so")) n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n > 0) path[n] = '\0';
  if (n > 0) found = path;
  const char *slash = strrchr(found, '/');
  if (!slash) return 0;
  lua_pushlstring(L, found, (size_t)(slash - found));
  return 1;
}

/* processors() -> how many this machine has */
static int job_processors (lua_State *L) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  lua_pushinteger(L, n > 0 ? n : 1);
  return 1;
}

static const luaL_Reg functions[] = {
  { "open", job_open }, { "close", job_close }, { "share", job_share }, { "mark", job_mark },
  { "sum", job_sum }, { "sum_numbers", job_sum_numbers }, { "remember", job_remember },
  { "recall", job_recall }, { "broken", job_broken }, { "stats", job_stats },
  { "home", job_home }, { "processors", job_processors }, { NULL, NULL }
};

void gan_lua_open_ranks (lua_State *L) {
  lua_newtable(L);
  gan_lua_register(L, functions, true);
  lua_setfield(L, -2, "job");
}
