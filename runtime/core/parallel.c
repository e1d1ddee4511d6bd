/*
** parallel.c - one team of threads for the whole process. The only file that knows threads.
**
** A region is cut into chunks by a rule that knows only n, grain and the thread count; chunk i is
** offered to worker i-1, chunk 0 belongs to the caller. Who finishes early decides nothing: a chunk
** that its worker has not begun (asleep, or its processor taken by somebody else) is taken back and
** run by the caller. Results therefore never depend on timing, and a region costs no more
** than a system call even when all workers sleep.
**
** One word per worker is the whole protocol:
**
**            offer (caller)               claim (worker)
**   IDLE, ASLEEP -----------> OFFERED ----------------------> RUNNING
**                                |                               |  caller waits too long
**                                | take back (caller)            v
**   IDLE <-----------------------+                            AWAITED
**   IDLE <------------------------------------------ done (worker; wakes the caller if AWAITED)
**
** The chunk's description lies in the same cache line as the word, so that starting a worker moves
** one line. Only one region runs at a time: a caller that finds the team taken, a nested region and
** a child process before it has a team of its own run their chunks one after the other.
*/
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "core.h"

#define MAXTHREADS 64
#define STACK_BYTES ((size_t)2 << 20)
#define SPIN_NS 50000          /* how long a thread spins before it sleeps */
#define SPINS_PER_LOOK 16      /* pauses between two looks at the clock */
#define MOVE_NS 2000000        /* the least time between two moves of a worker */
#define ALIGN_GRAIN 256        /* from this grain on, chunks start at multiples of ... */
#define ALIGN_ITEMS 16         /* ... this many items: a cache line of floats */

enum { IDLE, ASLEEP, OFFERED, RUNNING, AWAITED };

typedef struct {
  _Alignas(64) atomic_int state;
  unsigned fpmode; /* the caller's rounding and denormal modes */
  gan_range_fn *fn;
  void *ud;
  int64_t lo, hi;
  int chunk;
  int cpu; /* where it is pinned; -1: nowhere */
  pthread_t thread;
} worker;

typedef struct {
  int nworkers;
  bool full;      /* the system refused one more thread */
  int caller_cpu; /* left free for the caller; -1: unknown */
  int64_t moved;  /* when a worker was last moved, in ns */
#if defined(__linux__)
  cpu_set_t mask; /* the processors that the first caller was allowed */
#endif
  worker w[MAXTHREADS - 1];
} team;

static atomic_int thread_count; /* 0: not known yet */
static atomic_int team_busy;    /* guards the_team */
static team *the_team;
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static __thread bool inside; /* this thread runs a chunk */

/* ---- what the system offers ---------------------------------------------------------------- */

static int64_t now_ns (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void relax (void) {
#if defined(__SSE2__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield" ::: "memory");
#endif
}

/* Flushing of denormals is a mode of a thread: a chunk must not depend on who runs it. */
static inline unsigned fpmode_get (void) {
#if defined(__SSE2__)
  return _mm_getcsr() & ~0x3fu; /* without the sticky exception flags */
#else
  return 0;
#endif
}

static inline void fpmode_set (unsigned mode) {
#if defined(__SSE2__)
  if (fpmode_get() != mode) _mm_setcsr(mode);
#else
  (void)mode;
#endif
}

#if defined(__linux__)

static void sleep_while (atomic_int *word, int value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void wake (atomic_int *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static int current_cpu (void) {
  return sched_getcpu();
}

static int allowed_cpus (void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set);
}

static void pin (const team *t, const worker *w) {
  cpu_set_t set;
  if (w->cpu < 0) {
    set = t->mask;
  } else {
    CPU_ZERO(&set);
    CPU_SET(w->cpu, &set);
  }
  pthread_setaffinity_np(w->thread, sizeof set, &set); /* a refusal costs speed only */
}

/* The lowest processor that shares a core with this one. */
static int core_of (int cpu) {
  char path[96];
  int first = cpu;
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
  FILE *f = fopen(path, "re");
  if (!f) return cpu;
  if (fscanf(f, "%d", &first) != 1 || first < 0 || first >= CPU_SETSIZE) first = cpu;
  fclose(f);
  return first;
}

/* Moves processors from `left` to the end of list[0 .. n); `fresh`: only those of unused cores. */
static int choose (cpu_set_t *left, int *list, int n, bool fresh) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  for (int i = 0; fresh && i < n; i++) CPU_SET(core_of(list[i]), &cores);
  for (int cpu = 0; cpu < CPU_SETSIZE && n < MAXTHREADS; cpu++) {
    if (!CPU_ISSET(cpu, left)) continue;
    if (fresh) {
      int core = core_of(cpu);
      if (CPU_ISSET(core, &cores)) continue;
      CPU_SET(core, &cores);
    }
    CPU_CLR(cpu, left);
    list[n++] = cpu;
  }
  return n;
}

/* Gives the caller and the workers different processors. When there are fewer threads than
   processors, different cores come first. Workers for which nothing is left are not pinned. */
static void place (team *t, int threads) {
  int list[MAXTHREADS], n = 0;
  int here = current_cpu();
  if (sched_getaffinity(0, sizeof t->mask, &t->mask) != 0) CPU_ZERO(&t->mask);
  if (here >= 0 && here < CPU_SETSIZE && CPU_ISSET(here, &t->mask)) {
    cpu_set_t left = t->mask;
    CPU_CLR(here, &left);
    list[n++] = here;
    if (threads < CPU_COUNT(&t->mask)) n = choose(&left, list, n, true);
    n = choose(&left, list, n, false);
  }
  t->caller_cpu = n > 0 ? here : -1;
  for (int i = 0; i < MAXTHREADS - 1; i++) t->w[i].cpu = i + 1 < n ? list[i + 1] : -1;
}

/* The system moved the caller onto the processor of a worker: they change places. */
static void follow_caller (team *t) {
  int here = current_cpu();
  if (here == t->caller_cpu || t->caller_cpu < 0 || here < 0) return;
  for (int i = 0; i < t->nworkers; i++) {
    if (t->w[i].cpu != here) continue;
    int64_t now = now_ns();
    if (now - t->moved < MOVE_NS) return;
    t->moved = now;
    t->w[i].cpu = t->caller_cpu;
    pin(t, &t->w[i]);
    break;
  }
  t->caller_cpu = here;
}

#else /* elsewhere: no pinning, and sleeping is polling */

static void sleep_while (atomic_int *word, int value) {
  struct timespec t = { 0, 100000 };
  if (atomic_load_explicit(word, memory_order_relaxed) == value) nanosleep(&t, NULL);
}

static void wake (atomic_int *word) {
  (void)word;
}

static int allowed_cpus (void) {
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 && n < INT_MAX ? (int)n : 1;
}

static void pin (const team *t, const worker *w) {
  (void)t, (void)w;
}

static void place (team *t, int threads) {
  (void)threads;
  t->caller_cpu = -1;
  for (int i = 0; i < MAXTHREADS - 1; i++) t->w[i].cpu = -1;
}

static void follow_caller (team *t) {
  (void)t;
}

#endif

/* ---- number of threads --------------------------------------------------------------------- */

static int clamp_threads (int64_t n) {
  return n < 1 ? 1 : n > MAXTHREADS ? MAXTHREADS : (int)n;
}

static int default_threads (void) {
  const char *s = getenv("GAN_THREADS");
  if (s && *s) {
    char *end;
    errno = 0;
    long n = strtol(s, &end, 10);
    if (errno == 0 && *end == '\0' && n > 0) return clamp_threads(n);
  }
  return clamp_threads(allowed_cpus());
}

int gan_threads (void) {
  int n = atomic_load_explicit(&thread_count, memory_order_relaxed);
  if (n > 0) return n;
  int unknown = 0;
  n = default_threads();
  /* gan_set_threads of another thread comes first */
  if (!atomic_compare_exchange_strong(&thread_count, &unknown, n)) n = unknown;
  return n;
}

void gan_set_threads (int n) {
  atomic_store(&thread_count, clamp_threads(n));
}

/* ---- workers ------------------------------------------------------------------------------- */

static bool take (worker *w, int next) {
  int offered = OFFERED;
  return atomic_compare_exchange_strong_explicit(&w->state, &offered, next, memory_order_acquire,
                                                 memory_order_relaxed);
}

/* Spins while the state is one of two values; false when it still is after SPIN_NS. */
static bool spin_while (worker *w, int one, int other) {
  int64_t stop = 0;
  for (;;) {
    for (int i = 0; i < SPINS_PER_LOOK; i++) {
      int s = atomic_load_explicit(&w->state, memory_order_acquire);
      if (s != one && s != other) return true;
      relax();
    }
    int64_t now = now_ns();
    if (stop == 0) stop = now + SPIN_NS;
    else if (now > stop) return false;
  }
}

static void await_work (worker *w) {
  for (;;) {
    if (spin_while(w, IDLE, ASLEEP)) {
      if (take(w, RUNNING)) return;
      continue; /* the caller was faster */
    }
    int idle = IDLE;
    if (atomic_compare_exchange_strong(&w->state, &idle, ASLEEP)) {
      while (atomic_load_explicit(&w->state, memory_order_relaxed) == ASLEEP)
        sleep_while(&w->state, ASLEEP);
    }
  }
}

static void *work (void *arg) {
  worker *w = arg;
  inside = true;
  for (;;) {
    await_work(w);
    fpmode_set(w->fpmode);
    w->fn(w->ud, w->lo, w->hi, w->chunk);
    if (atomic_exchange_explicit(&w->state, IDLE, memory_order_acq_rel) == AWAITED) wake(&w->state);
  }
  return NULL;
}

/* Workers run no handler of the host: they start with every signal blocked. */
static bool start_worker (team *t, worker *w) {
  pthread_attr_t attr;
  sigset_t all, old;
  if (pthread_attr_init(&attr) != 0) return false;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, STACK_BYTES);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  bool ok = pthread_create(&w->thread, &attr, work, w) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attr);
  if (!ok) return false;
#if defined(__linux__)
  pthread_setname_np(w->thread, "gan-worker");
#endif
  pin(t, w);
  return true;
}

/* ---- the team ------------------------------------------------------------------------------ */

/* In a child of fork only the calling thread exists. The old team's memory is left behind: its
   owner may have been in the middle of a region. */
static void forget_team (void) {
  the_team = NULL;
  atomic_store(&team_busy, 0);
}

static void watch_forks (void) {
  pthread_atfork(NULL, NULL, forget_team);
}

static team *make_team (int threads) {
  void *p = NULL;
  pthread_once(&fork_once, watch_forks);
  if (posix_memalign(&p, 64, sizeof(team)) != 0) return NULL;
  memset(p, 0, sizeof(team));
  team *t = p;
  for (int i = 0; i < MAXTHREADS - 1; i++) atomic_init(&t->w[i].state, IDLE);
  place(t, threads);
  return t;
}

/* The team, with up to `want` workers, for this caller alone; NULL when there is none to be had. */
static team *enter_team (int want) {
  if (inside || atomic_exchange_explicit(&team_busy, 1, memory_order_acquire)) return NULL;
  if (!the_team) the_team = make_team(gan_threads());
  team *t = the_team;
  if (!t) {
    atomic_store_explicit(&team_busy, 0, memory_order_release);
    return NULL;
  }
  while (t->nworkers < want && !t->full) {
    if (start_worker(t, &t->w[t->nworkers])) t->nworkers++;
    else t->full = true;
  }
  follow_caller(t);
  inside = true;
  return t;
}

static void leave_team (void) {
  inside = false;
  atomic_store_explicit(&team_busy, 0, memory_order_release);
}

/* ---- regions ------------------------------------------------------------------------------- */

typedef struct {
  int64_t n, unit; /* chunks start at multiples of unit */
  int chunks;
} split;

static split split_range (int64_t n, int64_t grain) {
  split s = { n, 1, 1 };
  int64_t most = n / grain;
  int threads = most > 1 ? gan_threads() : 1;
  s.chunks = most < threads ? (most > 1 ? (int)most : 1) : threads;
  if (grain >= ALIGN_GRAIN && n / s.chunks >= grain + ALIGN_ITEMS) s.unit = ALIGN_ITEMS;
  return s;
}

/* start of chunk i; i == chunks gives n */
static int64_t chunk_start (const split *s, int i) {
  if (i == s->chunks) return s->n;
  int64_t at = s->n / s->chunks * i + s->n % s->chunks * i / s->chunks;
  return at - at % s->unit;
}

static void offer (worker *w, const split *s, int chunk, gan_range_fn *fn, void *ud) {
  w->fn = fn;
  w->ud = ud;
  w->lo = chunk_start(s, chunk);
  w->hi = chunk_start(s, chunk + 1);
  w->chunk = chunk;
  w->fpmode = fpmode_get();
  if (atomic_exchange_explicit(&w->state, OFFERED, memory_order_acq_rel) == ASLEEP) wake(&w->state);
}

/* Waits for a worker that has begun. */
static void await_done (worker *w) {
  while (!spin_while(w, RUNNING, AWAITED)) {
    int running = RUNNING;
    if (atomic_compare_exchange_strong(&w->state, &running, AWAITED)) running = AWAITED;
    while (running == AWAITED) {
      sleep_while(&w->state, AWAITED);
      running = atomic_load_explicit(&w->state, memory_order_acquire);
    }
  }
}

void gan_parallel (int64_t n, int64_t grain, gan_range_fn *fn, void *ud) {
  if (n <= 0) return;
  split s = split_range(n, grain < 1 ? 1 : grain);
  team *t = s.chunks > 1 ? enter_team(s.chunks - 1) : NULL;
  if (!t) {
    for (int i = 0; i < s.chunks; i++) fn(ud, chunk_start(&s, i), chunk_start(&s, i + 1), i);
    return;
  }
  int helpers = t->nworkers < s.chunks - 1 ? t->nworkers : s.chunks - 1;
  for (int i = 0; i < helpers; i++) offer(&t->w[i], &s, i + 1, fn, ud);
  fn(ud, 0, chunk_start(&s, 1), 0);
  for (int i = helpers + 1; i < s.chunks; i++)
    fn(ud, chunk_start(&s, i), chunk_start(&s, i + 1), i);
  for (int i = helpers - 1; i >= 0; i--) {
    worker *w = &t->w[i];
    if (take(w, IDLE)) fn(ud, w->lo, w->hi, w->chunk);
  }
  for (int i = 0; i < helpers; i++) await_done(&t->w[i]);
  leave_team();
}
