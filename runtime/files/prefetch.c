/*
** prefetch.c - the thread that reads ahead. Besides core/parallel.c the only file that starts one;
** it is no part of the team: it decodes and reads, and never runs a kernel.
**
** The ring's buffers are used in turn. A buffer is FREE, ASKED for, at WORK in the thread, READY or
** FAILED; the caller makes FREE ones ASKED and takes the oldest, the thread does the rest. All that
** is behind one mutex, held for some instructions; rows are fetched without it.
*/
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_setname_np */
#endif
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "source.h"

#define STACK_BYTES ((size_t)1 << 20)

enum { FREE, ASKED, WORK, READY, FAILED };

typedef struct {
  int state;
  int64_t n;     /* rows */
  int64_t *rows; /* their numbers */
  uint8_t *data;
  gan_status status; /* of a failure */
  char message[512];
} buffer;

struct gan_prefetch {
  const gan_source *s;
  gan_ctx *io; /* the thread's; the caller's before the thread starts and after it has ended */
  int64_t batch;
  int depth;
  int first, count; /* the oldest buffer in use, and how many are */
  buffer *ring;
  size_t ring_bytes, rows_bytes, data_bytes;
  gan_prefetch_info info;
  pthread_t thread;
  bool running; /* a thread was started ... */
  pid_t pid;    /* ... by this process */
  pthread_mutex_t lock;
  pthread_cond_t asked, done;
  bool stop;
  atomic_bool drop; /* the buffer at work is no longer wanted */
};

/* ---- the thread --------------------------------------------------------------------------- */

/* Fills a buffer; what went wrong is left in it. */
static int fill (gan_ctx *c, const gan_source *s, buffer *b, const atomic_bool *drop) {
  for (int64_t i = 0; i < b->n; i++) {
    if (drop && atomic_load_explicit(drop, memory_order_relaxed)) return FREE;
    if (gan_source_read(c, s, &b->rows[i], 1, b->data + (size_t)i * s->bytes)) continue;
    b->status = gan_error(c);
    snprintf(b->message, sizeof b->message, "%s", gan_error_message(c));
    gan_clear_error(c);
    return FAILED;
  }
  return READY;
}

static buffer *next_asked (gan_prefetch *p) {
  for (int i = 0; i < p->count; i++) {
    buffer *b = &p->ring[(p->first + i) % p->depth];
    if (b->state == ASKED) return b;
  }
  return NULL;
}

static void *work (void *arg) {
  gan_prefetch *p = arg;
  pthread_mutex_lock(&p->lock);
  while (!p->stop) {
    buffer *b = next_asked(p);
    if (!b) {
      pthread_cond_wait(&p->asked, &p->lock);
      continue;
    }
    b->state = WORK;
    pthread_mutex_unlock(&p->lock);
    int state = fill(p->io, p->s, b, &p->drop);
    pthread_mutex_lock(&p->lock);
    b->state = state;
    pthread_cond_signal(&p->done);
  }
  pthread_mutex_unlock(&p->lock);
  return NULL;
}

/* It runs no handler of the host: it starts with every signal blocked. */
static void start (gan_prefetch *p) {
  pthread_attr_t attr;
  sigset_t all, old;
  if (pthread_attr_init(&attr) != 0) return;
  pthread_attr_setstacksize(&attr, STACK_BYTES);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  p->running = pthread_create(&p->thread, &attr, work, p) == 0;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  pthread_attr_destroy(&attr);
#if defined(__linux__)
  if (p->running) pthread_setname_np(p->thread, "gan-reader");
#endif
}

/* True when there is a thread to talk to. The mutex of a parent process must not be touched. */
static bool accompanied (const gan_prefetch *p) {
  return p->running && p->pid == getpid();
}

/* ---- life --------------------------------------------------------------------------------- */

static void free_all (gan_prefetch *p) {
  gan_ctx *io = p->io;
  if (p->ring) {
    for (int i = 0; i < p->depth; i++) {
      gan_free(io, p->ring[i].rows, p->rows_bytes);
      gan_free(io, p->ring[i].data, p->data_bytes);
    }
    gan_free(io, p->ring, p->ring_bytes);
  }
  pthread_cond_destroy(&p->asked);
  pthread_cond_destroy(&p->done);
  pthread_mutex_destroy(&p->lock);
  gan_free(io, p, sizeof *p);
  gan_close(io);
}

static bool make_ring (gan_prefetch *p) {
  gan_ctx *io = p->io;
  p->ring_bytes = (size_t)p->depth * sizeof *p->ring;
  p->rows_bytes = (size_t)p->batch * sizeof(int64_t);
  p->data_bytes = (size_t)p->batch * p->s->bytes;
  p->ring = gan_malloc(io, p->ring_bytes);
  if (!p->ring) return false;
  memset(p->ring, 0, p->ring_bytes);
  for (int i = 0; i < p->depth; i++) {
    p->ring[i].rows = gan_malloc(io, p->rows_bytes);
    p->ring[i].data = gan_malloc(io, p->data_bytes);
    if (!p->ring[i].rows || !p->ring[i].data) return false;
  }
  return true;
}

/* The bytes of a ring, 0 when there cannot be so many. */
static size_t ring_size (const gan_source *s, int64_t batch, int depth) {
  size_t row = s->bytes + sizeof(int64_t), most = SIZE_MAX / 8;
  if (row > most || (size_t)batch > most / row || (size_t)batch * row > most / (size_t)depth)
    return 0;
  return (size_t)batch * row * (size_t)depth;
}

gan_prefetch *gan_prefetch_open (gan_ctx *c, const gan_source *s, int64_t batch, int depth) {
  size_t bytes = ring_size(s, batch, depth);
  if (bytes == 0 || (c->mem.limit && c->mem.live + bytes > c->mem.limit))
    return gan_fail(c, GAN_EMEMORY, "out of memory: %d buffers of %lld rows of %zu bytes", depth,
                    (long long)batch, s->bytes);
  gan_ctx *io = gan_open();
  gan_prefetch *p = io ? gan_malloc(io, sizeof *p) : NULL;
  if (!p) {
    gan_close(io);
    return gan_fail(c, GAN_EMEMORY, "out of memory: reading ahead");
  }
  memset(p, 0, sizeof *p);
  p->s = s;
  p->io = io;
  p->batch = batch;
  p->depth = depth;
  p->pid = getpid();
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->asked, NULL);
  pthread_cond_init(&p->done, NULL);
  atomic_init(&p->drop, false);
  if (make_ring(p)) return p;
  gan_fail(c, GAN_EMEMORY, "%s", gan_error_message(io));
  free_all(p);
  return NULL;
}

void gan_prefetch_close (gan_prefetch *p) {
  if (!p) return;
  if (p->running && p->pid != getpid()) return; /* the parent's thread was using it: left behind */
  if (p->running) {
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    atomic_store(&p->drop, true);
    pthread_cond_signal(&p->asked);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
  }
  free_all(p);
}

/* ---- the caller's side -------------------------------------------------------------------- */

bool gan_prefetch_ask (gan_prefetch *p, const int64_t *rows, int64_t n) {
  if (p->count == p->depth || n > p->batch) return false;
  if (!p->running && p->pid == getpid()) start(p); /* tried again where it was refused */
  bool thread = accompanied(p);
  if (thread) pthread_mutex_lock(&p->lock);
  buffer *b = &p->ring[(p->first + p->count++) % p->depth];
  b->n = n;
  if (n > 0) memcpy(b->rows, rows, (size_t)n * sizeof *rows);
  b->state = ASKED;
  if (!thread) return true;
  pthread_cond_signal(&p->asked);
  pthread_mutex_unlock(&p->lock);
  return true;
}

/* Waits until the thread has done with a buffer; its state. */
static int await (gan_prefetch *p, const buffer *b) {
  pthread_mutex_lock(&p->lock);
  bool ready = b->state == READY || b->state == FAILED;
  double start_time = ready ? 0 : gan_seconds();
  while (b->state == ASKED || b->state == WORK) pthread_cond_wait(&p->done, &p->lock);
  int state = b->state;
  pthread_mutex_unlock(&p->lock);
  if (!ready) {
    p->info.waits++;
    p->info.seconds += gan_seconds() - start_time;
  }
  return state;
}

static void pop (gan_prefetch *p) {
  p->ring[p->first].state = FREE;
  p->first = (p->first + 1) % p->depth;
  p->count--;
}

gan_tensor *gan_prefetch_take (gan_ctx *c, gan_prefetch *p) {
  int64_t shape[GAN_MAXDIM];
  if (p->count == 0) return gan_fail(c, GAN_EARG, "nothing was asked for");
  buffer *b = &p->ring[p->first];
  bool thread = accompanied(p);
  shape[0] = b->n;
  memcpy(shape + 1, p->s->shape, (size_t)p->s->ndim * sizeof *shape);
  gan_tensor *t = gan_new(c, p->s->dtype, p->s->ndim + 1, shape);
  if (!t) return NULL; /* the buffer can be taken later */
  p->info.taken++;
  int state = thread ? await(p, b) : b->state;
  if (state == ASKED || state == WORK) state = fill(c, p->s, b, NULL);
  if (state == READY)
    memcpy(t->data, b->data, (size_t)b->n * p->s->bytes);
  else
    t = gan_fail(c, b->status, "%s", b->message);
  if (thread) pthread_mutex_lock(&p->lock);
  pop(p);
  if (thread) pthread_mutex_unlock(&p->lock);
  return t;
}

void gan_prefetch_cancel (gan_prefetch *p) {
  bool thread = accompanied(p);
  if (thread) {
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < p->depth; i++)
      if (p->ring[i].state == ASKED) p->ring[i].state = FREE;
    atomic_store(&p->drop, true);
    for (int i = 0; i < p->depth; i++)
      while (p->ring[i].state == WORK) pthread_cond_wait(&p->done, &p->lock);
    atomic_store(&p->drop, false);
  }
  while (p->count > 0) pop(p);
  if (thread) pthread_mutex_unlock(&p->lock);
}

gan_prefetch_info gan_prefetch_stats (const gan_prefetch *p) {
  return p->info;
}
