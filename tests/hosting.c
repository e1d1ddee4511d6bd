/*
** hosting.c - applications that train: a thousand states opened, trained in and closed (250 where
** QUICK is set); states in threads of their own; processes that fork, also in the middle of
** somebody else's work; the limit on threads. Prints one "ok" or "not ok" line for each test; exits
** with 1 on a failure.
*/
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

/* A small GAN, trained in turns; not to its end: the state is closed with all of it alive. */
static const char train[] =
  "local gan = require 'gan'\n"
  "local nn, loss = gan.nn, gan.loss\n"
  "gan.manual_seed(1)\n"
  "G = nn.Sequential{nn.Linear{4, 16}, nn.BatchNorm1d{16}, nn.ReLU{}, nn.Linear{16, 9},\n"
  "  nn.Unflatten{2, {1, 3, 3}}, nn.ConvTranspose2d{1, 1, 2}, nn.Tanh{}}\n"
  "D = nn.Sequential{nn.Conv2d{1, 4, 3}, nn.LeakyReLU{0.2}, nn.Flatten{}, nn.Linear{16, 1},\n"
  "  nn.Sigmoid{}}\n"
  "local Ga = gan.optim.Adam{G:parameters(), lr = 1e-3}\n"
  "local Da = gan.optim.Adam{D:parameters(), lr = 1e-3}\n"
  "trainer = gan.train.trainer{epochs = 1, batches = function() return gan.randn(8, 1, 4, 4) end,\n"
  "  step = function(real)\n"
  "    local fake = G(gan.randn(8, 4))\n"
  "    local Gl = loss.gan_generator_loss(D(fake))\n"
  "    Ga:zero_grad() Gl:backward{inputs = G:parameters(), retain_graph = true} Ga:step()\n"
  "    local Dl = loss.gan_discriminator_loss(D(real), D(fake:detach()))\n"
  "    Da:zero_grad() Dl:backward() Da:step()\n"
  "    return {G = Gl, D = Dl}\n"
  "  end}\n"
  "for i = 1, 3 do assert(trainer:step()) end\n"
  "assert(trainer.losses.D > 0 and trainer.losses.D < 5)\n"
  "if gan.config.real == 'float32' then\n"
  "  assert(#gan.image.encode(G(gan.randn(2, 4)):detach(), {range = {-1, 1}}) > 60)\n"
  "end\n";

/* Work for the thread team, with a result that is known. */
static const char heavy[] =
  "local gan = require 'gan'\n"
  "local a = gan.ones(300, 300)\n"
  "for i = 1, 5 do\n"
  "  assert(a:matmul(a):sum():item() == 300 ^ 3)\n"
  "  assert((a + a):relu():sum():item() == 2 * 300 ^ 2)\n"
  "end\n";

static void test_cycles (void) {
  char why[WHY] = "";
  int n = getenv("QUICK") ? 250 : 1000;
  bool ok = run_in_states(n, train, why);
  if (ok) snprintf(why, sizeof why, "%d times", n);
  report(ok, "a state is opened, trained in and closed without a byte left", why);
}

static void *thread_body (void *ud) {
  for (int i = 0; i < 10; i++) {
    lua_State *L = open_state();
    bool ok = run(L, train, ud) && run(L, heavy, ud);
    lua_close(L);
    if (!ok) return ud;
  }
  return NULL;
}

static void test_threads (void) {
  char why[WHY] = "";
  bool ok = run_in_threads(thread_body, why);
  report(ok, "four threads train in states of their own", why);
}

static void test_cap (void) {
  char why[WHY] = "";
  lua_State *L = open_state();
  int before = gan_threads();
  gan_set_threads(2);
  bool ok = run(L, "local gan = require 'gan' assert(gan.threads() == 2) gan.threads(3)", why) &&
            gan_threads() == 3;
  gan_set_threads(before);
  lua_close(L);
  report(ok, "the host limits the threads, from C and from Lua", why);
}

/* ---- fork ---------------------------------------------------------------------------------- */

/* Sanitizers for threads do not follow a process with threads into its child. */
#if !defined(__SANITIZE_THREAD__)

/* The child's exit code: 0 when it could work in the parent's state and in one of its own. */
static int child (lua_State *L) {
  char why[WHY] = "";
  alarm(60); /* a child that hangs ends by a signal */
  bool ok = run(L, heavy, why) && run(L, "trainer:step()", why);
  lua_close(L);
  for (int i = 0; ok && i < 2; i++) {
    L = open_state();
    ok = run(L, train, why) && run(L, heavy, why);
    lua_close(L);
  }
  if (!ok) fprintf(stderr, "in the child: %s\n", why);
  return ok ? 0 : 1;
}

static bool fork_works (lua_State *L, char why[WHY]) {
  int status = 0;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) _exit(child(L));
  if (pid < 0 || waitpid(pid, &status, 0) != pid) {
    snprintf(why, WHY, "no child");
    return false;
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  snprintf(why, WHY, "the child ended with %s %d", WIFSIGNALED(status) ? "signal" : "code",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  return false;
}

static void test_fork (void) {
  char why[WHY] = "";
  lua_State *L = open_state();
  bool ok = run(L, train, why) && run(L, heavy, why);
  for (int i = 0; ok && i < 5; i++)
    ok = fork_works(L, why) && run(L, heavy, why) && run(L, "trainer:step()", why);
  lua_close(L);
  report(ok, "parent and child of a fork go on, with threads of their own", why);
}

static atomic_bool enough;

/* Keeps the team and its state's memory busy. */
static void *busy_body (void *ud) {
  lua_State *L = open_state();
  bool ok = true;
  while (ok && !atomic_load(&enough)) ok = run(L, heavy, ud);
  lua_close(L);
  return ok ? NULL : ud;
}

static void test_fork_busy (void) {
  char why[WHY] = "", other[WHY] = "";
  pthread_t t;
  void *result;
  lua_State *L = open_state();
  bool ok = run(L, train, why);
  if (pthread_create(&t, NULL, busy_body, other)) exit(2);
  for (int i = 0; ok && i < 20; i++) {
    usleep(1000 + 777 * (unsigned)i % 5000);
    ok = fork_works(L, why);
  }
  atomic_store(&enough, true);
  pthread_join(t, &result);
  lua_close(L);
  report(ok && !result, "a fork while another thread computes", ok ? other : why);
}

#endif

int main (int argc, char **argv) {
  (void)argc;
  count_every_block(argv);
  test_cycles();
  test_cap();
#if !defined(__SANITIZE_THREAD__)
  test_fork();
  test_fork_busy();
#endif
  test_threads();
  return failures ? 1 : 0;
}
