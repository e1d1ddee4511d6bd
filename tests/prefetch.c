/*
** prefetch.c - the thread that reads ahead as the process sees it: it takes no signals, ends when
** it is told to, and a child of fork goes on without it.
*/
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files/source.h"
#include "tally.h"

enum { ROWS = 64 };

/* A source whose rows are their own numbers, and take some time. */
static bool fetch (gan_ctx *c, const gan_source *s, int64_t row, void *to) {
  int64_t *p = to;
  (void)c, (void)s;
  usleep(200);
  *p = row;
  return true;
}

static gan_source source (void) {
  gan_source s = {.dtype = GAN_INT64, .rows = ROWS, .bytes = sizeof(int64_t), .fetch = fetch,
                  .file.fd = -1};
  return s;
}

static bool ask (gan_prefetch *p, int64_t first) {
  int64_t rows[4] = {first, first + 1, first + 2, first + 3};
  return gan_prefetch_ask(p, rows, 4);
}

static bool take (gan_ctx *c, gan_prefetch *p, int64_t first) {
  gan_frame_open(c);
  gan_tensor *t = gan_prefetch_take(c, p);
  bool ok = t && gan_numel(t) == 4 && gan_ndim(t) == 1;
  for (int i = 0; ok && i < 4; i++) ok = ((int64_t *)gan_data(t))[i] == first + i;
  gan_frame_close(c);
  return ok;
}

/* ---- threads of this process -------------------------------------------------------------- */

/* Threads with our reader's name, whose blocked signals go to *blocked; -1: nobody knows. */
static int readers (unsigned long long *blocked) {
  DIR *dir = opendir("/proc/self/task");
  struct dirent *e;
  int n = 0;
  if (!dir) return -1;
  while ((e = readdir(dir)) != NULL) {
    char path[300], line[256];
    bool ours = false;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", e->d_name);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
      if (strncmp(line, "Name:", 5) == 0) ours = strstr(line, "gan-reader") != NULL;
      if (ours && strncmp(line, "SigBlk:", 7) == 0) *blocked = strtoull(line + 7, NULL, 16);
    }
    if (f) fclose(f);
    n += ours;
  }
  closedir(dir);
  return n;
}

static pthread_t handled_by;
static volatile sig_atomic_t handled;

static void on_signal (int signo) {
  (void)signo;
  handled_by = pthread_self();
  handled = 1;
}

static void test_signals (gan_ctx *c) {
  gan_source s = source();
  gan_prefetch *p = gan_prefetch_open(c, &s, 4, 4);
  unsigned long long blocked = 0;
  report(p && readers(&blocked) <= 0, "no thread before the first question", NULL);
  for (int i = 0; i < 4; i++) ask(p, 4 * i);
  int n = 0;
  for (int i = 0; i < 1000 && n == 0; i++, usleep(1000)) n = readers(&blocked);
  if (n >= 0) {
    unsigned long long wanted = 1ull << (SIGINT - 1) | 1ull << (SIGTERM - 1);
    report(n == 1, "one thread reads", NULL);
    report((blocked & wanted) == wanted, "it blocks signals", NULL);
  }
  signal(SIGUSR1, on_signal);
  kill(getpid(), SIGUSR1);
  report(handled && pthread_equal(handled_by, pthread_self()), "a signal comes to the caller",
         NULL);
  bool ok = true;
  for (int i = 0; i < 4; i++) ok = take(c, p, 4 * i) && ok;
  report(ok, "rows come in the order of the questions", NULL);
  gan_prefetch_close(p);
  report(readers(&blocked) <= 0, "closing ends the thread", NULL);
}

/* ---- fork --------------------------------------------------------------------------------- */

static int exit_code (pid_t child) {
  int status;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

/* What a child does with its parent's: takes what was asked, asks for more, closes. */
static bool child_goes_on (gan_ctx *c, gan_prefetch *p) {
  bool ok = true;
  for (int i = 0; i < 4; i++) ok = take(c, p, 4 * i) && ok;
  ok = ask(p, 20) && take(c, p, 20) && ok;
  ok = ask(p, 24) && ok;
  gan_prefetch_cancel(p);
  ok = ask(p, 28) && take(c, p, 28) && ok;
  gan_prefetch_close(p);
  return ok;
}

static void test_fork (gan_ctx *c) {
  gan_source s = source();
  int good = 0;
  enum { FORKS = 20 };
  for (int k = 0; k < FORKS; k++) { /* at different moments of the thread's work */
    gan_prefetch *p = gan_prefetch_open(c, &s, 4, 4);
    for (int i = 0; i < 4; i++) ask(p, 4 * i);
    usleep((useconds_t)(k * 200));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) _exit(child_goes_on(c, p) ? 0 : 1);
    bool ok = exit_code(child) == 0;
    for (int i = 0; i < 4; i++) ok = take(c, p, 4 * i) && ok;
    gan_prefetch_close(p);
    good += ok;
  }
  report(good == FORKS, "parent and child both get their rows after a fork", NULL);
}

static void test_child_of_its_own (gan_ctx *c) {
  gan_source s = source();
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    gan_prefetch *p = gan_prefetch_open(c, &s, 4, 2);
    bool ok = p && ask(p, 8) && take(c, p, 8);
    gan_prefetch_close(p);
    _exit(ok ? 0 : 1);
  }
  report(exit_code(child) == 0, "a child may have a thread of its own", NULL);
}

int main (void) {
  gan_ctx *c = gan_open();
  if (!c) return 1;
  test_signals(c);
  test_fork(c);
  test_child_of_its_own(c);
  report(gan_error(c) == GAN_OK && gan_memory(c).tensors == 0, "nothing is left", NULL);
  gan_close(c);
  return failures != 0;
}
