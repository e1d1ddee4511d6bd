/*
** mpi.c - gan/mpi.so: a transport (core/transport.h) made of an MPI library. It is a file of its
** own, so that nothing else of gan-lua needs MPI; it uses no function of the runtime.
** lua/gan/mpi.lua loads it.
*/
#include <errno.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

#include "../../core/transport.h"

#define JOB "gan.mpi.job"

typedef struct {
  gan_transport transport;
  MPI_Comm comm;
  MPI_Request *requests; /* by handle; MPI_REQUEST_NULL: free */
  int nrequests;
  char message[MPI_MAX_ERROR_STRING + 1];
  bool ours;                           /* MPI was begun here, so it is ended here */
  bool clean;                          /* no rank waits for another one now */
  const volatile sig_atomic_t *failed; /* the host's: an error was reported; or NULL */
} job;

/* ---- sums ----------------------------------------------------------------------------------- */

static bool check (job *j, int status) {
  int n = 0;
  if (status == MPI_SUCCESS) return true;
  j->clean = false;
  if (MPI_Error_string(status, j->message, &n) != MPI_SUCCESS)
    snprintf(j->message, sizeof j->message, "MPI error %d", status);
  return false;
}

static int free_handle (job *j) {
  for (int i = 0; i < j->nrequests; i++)
    if (j->requests[i] == MPI_REQUEST_NULL) return i;
  int n = j->nrequests ? 2 * j->nrequests : 16;
  MPI_Request *more = realloc(j->requests, (size_t)n * sizeof *more);
  if (!more) {
    snprintf(j->message, sizeof j->message, "out of memory");
    return -1;
  }
  for (int i = j->nrequests; i < n; i++) more[i] = MPI_REQUEST_NULL;
  int first = j->nrequests;
  j->requests = more;
  j->nrequests = n;
  return first;
}

static int start_sum (void *self, void *data, int64_t n, bool wide) {
  job *j = self;
  int handle = free_handle(j);
  if (n > INT32_MAX) {
    snprintf(j->message, sizeof j->message, "a gradient of %lld numbers is too long for MPI",
             (long long)n);
    return -1;
  }
  if (handle < 0 || !check(j, MPI_Iallreduce(MPI_IN_PLACE, data, (int)n,
                                             wide ? MPI_DOUBLE : MPI_FLOAT, MPI_SUM, j->comm,
                                             &j->requests[handle])))
    return -1;
  return handle;
}

static int test_sum (void *self, int handle) {
  job *j = self;
  int done = 0;
  if (!check(j, MPI_Test(&j->requests[handle], &done, MPI_STATUS_IGNORE))) return -1;
  return done;
}

static const char *last_message (void *self) {
  return ((job *)self)->message;
}

/* ---- the job -------------------------------------------------------------------------------- */

static job *check_job (lua_State *L) {
  return luaL_checkudata(L, 1, JOB);
}

static void need (lua_State *L, job *j, int status) {
  if (!check(j, status)) luaL_error(L, "mpi: %s", j->message);
}

/* MPI_Finalize waits for the other ranks: not where they may be waiting for this one. */
static int job_gc (lua_State *L) {
  job *j = check_job(L);
  int ended = 0;
  MPI_Finalized(&ended);
  if (j->ours && !ended && j->clean && !(j->failed && *j->failed)) {
    MPI_Comm_free(&j->comm);
    MPI_Finalize();
  }
  j->ours = false;
  free(j->requests);
  j->requests = NULL;
  j->nrequests = 0;
  return 0;
}

static int begin (lua_State *L, job *j) {
  int begun = 0, level;
  /* Open MPI with more ranks than processors would yield the processor at every test, and get it
     back after everybody else; whoever waits here sleeps by himself. */
  setenv("OMPI_MCA_mpi_yield_when_idle", "0", 0);
  need(L, j, MPI_Initialized(&begun));
  if (!begun) need(L, j, MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level));
  j->ours = !begun;
  need(L, j, MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
  need(L, j, MPI_Comm_dup(MPI_COMM_WORLD, &j->comm));
  need(L, j, MPI_Comm_set_errhandler(j->comm, MPI_ERRORS_RETURN));
  need(L, j, MPI_Comm_rank(j->comm, &j->transport.rank));
  need(L, j, MPI_Comm_size(j->comm, &j->transport.size));
  return 0;
}

/* core.begin(failed) -> a job; failed: light userdata of a sig_atomic_t, or nil */
static int core_begin (lua_State *L) {
  const volatile sig_atomic_t *failed = lua_touserdata(L, 1);
  job *j = lua_newuserdatauv(L, sizeof *j, 0);
  memset(j, 0, sizeof *j);
  luaL_setmetatable(L, JOB);
  j->clean = true;
  j->failed = failed;
  j->transport = (gan_transport){ .version = GAN_TRANSPORT_VERSION, .self = j, .start = start_sum,
                                  .test = test_sum, .message = last_message };
  begin(L, j);
  return 1;
}

/* job:place() -> rank and number of ranks */
static int job_place (lua_State *L) {
  const job *j = check_job(L);
  lua_pushinteger(L, j->transport.rank);
  lua_pushinteger(L, j->transport.size);
  return 2;
}

/* job:transport() -> light userdata, alive as long as the job */
static int job_transport (lua_State *L) {
  lua_pushlightuserdata(L, &check_job(L)->transport);
  return 1;
}

/* job:neighbours() -> process ids of the ranks on this machine, by rank. Waits for all ranks. */
static int job_neighbours (lua_State *L) {
  job *j = check_job(L);
  MPI_Comm here;
  int n, mine[2] = { j->transport.rank, (int)getpid() };
  need(L, j, MPI_Comm_split_type(j->comm, MPI_COMM_TYPE_SHARED, j->transport.rank, MPI_INFO_NULL,
                                 &here));
  need(L, j, MPI_Comm_size(here, &n));
  int *all = lua_newuserdatauv(L, 2 * (size_t)n * sizeof *all, 0);
  need(L, j, MPI_Allgather(mine, 2, MPI_INT, all, 2, MPI_INT, here));
  need(L, j, MPI_Comm_free(&here));
  lua_createtable(L, 0, n);
  for (int i = 0; i < n; i++) {
    lua_pushinteger(L, all[2 * i + 1]);
    lua_rawseti(L, -2, all[2 * i]);
  }
  return 1;
}

/* job:clean(bool): whether the ranks are to end together, in MPI_Finalize. */
static int job_clean (lua_State *L) {
  job *j = check_job(L);
  j->clean = lua_toboolean(L, 2);
  return 0;
}

/* core.alive(pid) -> whether there is such a process on this machine */
static int core_alive (lua_State *L) {
  lua_pushboolean(L, kill((pid_t)luaL_checkinteger(L, 1), 0) == 0 || errno == EPERM);
  return 1;
}

/* core.mute(stream): what this process prints from now on to stream 1 or 2 goes nowhere. */
static int core_mute (lua_State *L) {
  FILE *stream = luaL_checkinteger(L, 1) == 2 ? stderr : stdout;
  fflush(stream);
  lua_pushboolean(L, freopen("/dev/null", "w", stream) != NULL);
  return 1;
}

__attribute__((visibility("default"))) int luaopen_gan_mpi_core(lua_State *L);

int luaopen_gan_mpi_core (lua_State *L) {
  static const luaL_Reg methods[] = { { "place", job_place }, { "transport", job_transport },
                                      { "neighbours", job_neighbours }, { "clean", job_clean },
                                      { NULL, NULL } };
  static const luaL_Reg core[] = { { "begin", core_begin }, { "alive", core_alive },
                                   { "mute", core_mute }, { NULL, NULL } };
  if (luaL_newmetatable(L, JOB)) {
    lua_pushcfunction(L, job_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  luaL_newlib(L, core);
  return 1;
}
