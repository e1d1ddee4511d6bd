/*
** ranks.c - see ranks.h. Gradients are averaged as in Li et al.: "PyTorch distributed: experiences
** on accelerating data parallel training", VLDB 2020: in buckets, in the order in which they are
** complete, while the pass goes on.
**
** A loss is the mean over the rows of a share, so the mean over the whole batch is the sum of the
** ranks' gradients, each multiplied by its share of the rows. The order of additions is the
** transport's and depends on the sizes alone, and every rank gets the same sums: weights stay equal
** to the last bit.
**
** When a pass is given up, sums that were begun may still change their buckets. So these are never
** freed then: what is left to do for such a process is to save its work and to end.
*/
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ranks.h"

enum {
  BUCKET = 1 << 17,  /* elements: half a megabyte takes long enough that starting it is cheap */
  NAP_NS = 20000
};

static const double SPIN_S = 100e-6;

typedef struct {
  gan_tensor *data; /* counted; as long as the largest that was here */
  int64_t used;
  int handle; /* of its sum; -1: not begun, or ended */
  bool begun;
} bucket;

typedef struct {
  gan_tensor *leaf; /* the pass holds it */
  int bucket;
  int64_t offset;
} gift;

typedef struct {
  gan_tensor *t, *copy; /* counted; copy NULL: none was needed so far */
  uint64_t start, seen; /* versions: at the start of the step, after the latest sum */
  bool copied;          /* in this step */
  bool early;           /* it has changed before the last sum of some step */
} memory;

struct gan_ranks {
  const gan_transport *t;
  const volatile sig_atomic_t *stop;
  bool broken;
  bucket *buckets;
  int nbuckets, buckets_size; /* of this pass */
  int kept;                   /* buckets that have a tensor */
  gift *gifts;
  int ngifts, gifts_size;
  memory *memories;
  int nmemories, memories_size;
  double began;
  gan_ranks_info info;
};

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool room (gan_ctx *c, void **array, int n, int *size, size_t item) {
  if (n <= *size) return true;
  int grown = *size;
  while (grown < n) grown = grown ? 2 * grown : 32;
  void *p = gan_malloc(c, (size_t)grown * item);
  if (!p) return false;
  memset(p, 0, (size_t)grown * item);
  if (*size) memcpy(p, *array, (size_t)*size * item);
  gan_free(c, *array, (size_t)*size * item);
  *array = p;
  *size = grown;
  return true;
}

/* ---- the life of a job ---------------------------------------------------------------------- */

bool gan_ranks_open (gan_ctx *c, const gan_transport *t, const volatile sig_atomic_t *stop) {
  if (t->version != GAN_TRANSPORT_VERSION) {
    gan_fail(c, GAN_EARG, "the transport has version %d, not %d", t->version,
             GAN_TRANSPORT_VERSION);
    return false;
  }
  gan_ranks *r = calloc(1, sizeof *r);
  if (!r) {
    gan_fail(c, GAN_EMEMORY, "out of memory");
    return false;
  }
  gan_ranks_close(c);
  r->t = t;
  r->stop = stop;
  c->ranks = r;
  return true;
}

static void forget (gan_ranks *r) {
  for (int i = 0; i < r->nmemories; i++) {
    gan_release(r->memories[i].t);
    gan_release(r->memories[i].copy);
    r->memories[i] = (memory){ 0 };
  }
  r->nmemories = 0;
}

void gan_ranks_close (gan_ctx *c) {
  gan_ranks *r = c->ranks;
  if (!r) return;
  c->ranks = NULL;
  c->share = (gan_share){ 0 };
  forget(r);
  gan_free(c, r->memories, (size_t)r->memories_size * sizeof *r->memories);
  gan_free(c, r->gifts, (size_t)r->gifts_size * sizeof *r->gifts);
  if (r->broken) return;
  for (int i = 0; i < r->kept; i++) gan_release(r->buckets[i].data);
  gan_free(c, r->buckets, (size_t)r->buckets_size * sizeof *r->buckets);
  free(r);
}

bool gan_ranks_broken (const gan_ctx *c) {
  return c->ranks && c->ranks->broken;
}

gan_ranks_info gan_ranks_stats (const gan_ctx *c) {
  return c->ranks ? c->ranks->info : (gan_ranks_info){ 0 };
}

/* ---- sums ----------------------------------------------------------------------------------- */

static bool fail (gan_ctx *c, const char *why) {
  c->ranks->broken = true;
  gan_fail(c, GAN_EHOST, "the processes of this job cannot go on together: %s", why);
  return false;
}

static int begin_sum (gan_ctx *c, void *data, int64_t n, bool wide) {
  const gan_transport *t = c->ranks->t;
  if (c->ranks->broken) {
    fail(c, "an earlier step was given up");
    return -1;
  }
  int handle = t->start(t->self, data, n, wide);
  if (handle < 0) fail(c, t->message(t->self));
  return handle;
}

/* Asks all the time for a moment, then sleeps in between: a rank that it waits for may need this
   processor (and to yield it would be to wait for its next turn among all others). */
static bool await (gan_ctx *c, int handle) {
  gan_ranks *r = c->ranks;
  double patience = now() + SPIN_S;
  for (;;) {
    int state = r->t->test(r->t->self, handle);
    if (state > 0) return true;
    if (state < 0) return fail(c, r->t->message(r->t->self));
    if (r->stop && *r->stop) return fail(c, "this one was asked to end while it waited");
    struct timespec nap = { 0, NAP_NS };
    if (now() > patience) nanosleep(&nap, NULL);
  }
}

/* After a sum: what has changed by now must be known as it was before the step. */
static void note_changes (gan_ranks *r) {
  for (int i = 0; i < r->nmemories; i++) r->memories[i].seen = r->memories[i].t->st->version;
}

bool gan_ranks_sum (gan_ctx *c, void *data, int64_t n, bool wide) {
  gan_ranks *r = c->ranks;
  if (c->status) return false;
  int handle = begin_sum(c, data, n, wide);
  if (handle < 0 || !await(c, handle)) return false;
  note_changes(r);
  r->info.others++;
  r->info.other_bytes += n * (int64_t)(wide ? sizeof(double) : sizeof(float));
  return true;
}

/* ---- memories ------------------------------------------------------------------------------- */

static bool same_list (const gan_ranks *r, int n, gan_tensor **t) {
  bool same = n == r->nmemories;
  for (int i = 0; same && i < n; i++) same = r->memories[i].t == t[i];
  return same;
}

/* A new list: everything is copied in its first step. */
static bool learn (gan_ctx *c, int n, gan_tensor **t) {
  gan_ranks *r = c->ranks;
  for (int i = 0; i < n; i++) gan_retain(t[i]);
  forget(r);
  if (!room(c, (void **)&r->memories, n, &r->memories_size, sizeof *r->memories)) {
    for (int i = 0; i < n; i++) gan_release(t[i]);
    return false;
  }
  for (int i = 0; i < n; i++) r->memories[i] = (memory){ .t = t[i] };
  r->nmemories = n;
  return true;
}

static bool copy_memory (gan_ctx *c, memory *m) {
  if (!m->copy) m->copy = gan_retain(gan_new_like(c, m->t, (gan_dtype)m->t->dtype));
  if (!m->copy) return false;
  gan_copy_into(c, m->copy, m->t);
  m->copied = true;
  return true;
}

bool gan_ranks_remember (gan_ctx *c, int n, gan_tensor **t) {
  gan_ranks *r = c->ranks;
  bool known = same_list(r, n, t), ok = !c->status && (known || learn(c, n, t));
  gan_frame_open(c);
  for (int i = 0; ok && i < n; i++) {
    memory *m = &r->memories[i];
    m->early |= known && m->seen != m->start;
    m->copied = false;
    if (!known || m->early) ok = copy_memory(c, m);
    if (known && !m->early) {
      gan_release(m->copy);
      m->copy = NULL;
    }
    m->start = m->seen = m->t->st->version;
  }
  gan_frame_close(c);
  return ok;
}

gan_tensor *gan_ranks_recall (gan_ctx *c, int i) {
  const memory *m = &c->ranks->memories[i];
  if (m->t->st->version == m->start) return m->t;
  return m->copied ? m->copy : NULL;
}

/* ---- gradients ------------------------------------------------------------------------------ */

void gan_ranks_begin (gan_ctx *c) {
  c->ranks->nbuckets = c->ranks->ngifts = 0;
  c->ranks->began = now();
}

static bool send (gan_ctx *c, bucket *b) {
  gan_ranks *r = c->ranks;
  gan_real part = (gan_real)((double)c->share.rows / (double)c->share.total);
  gan_real *x = gan_reals(b->data);
  for (int64_t i = 0; i < b->used; i++) x[i] *= part;
  b->begun = true;
  b->handle = begin_sum(c, x, b->used, sizeof(gan_real) > sizeof(float));
  r->info.messages++;
  r->info.bytes += b->used * (int64_t)sizeof(gan_real);
  return b->handle >= 0;
}

static bucket *open_bucket (gan_ctx *c, int64_t n) {
  gan_ranks *r = c->ranks;
  bucket *b = r->nbuckets ? &r->buckets[r->nbuckets - 1] : NULL;
  if (b && !b->begun && b->used + n <= BUCKET) return b;
  if (b && !b->begun && !send(c, b)) return NULL;
  if (!room(c, (void **)&r->buckets, r->nbuckets + 1, &r->buckets_size, sizeof *r->buckets))
    return NULL;
  b = &r->buckets[r->nbuckets];
  int64_t size = n > BUCKET ? n : BUCKET;
  if (!b->data || b->data->numel < size) {
    gan_tensor *data = gan_retain(gan_new(c, GAN_REAL, 1, &size));
    if (!data) return NULL;
    gan_release(b->data);
    b->data = data;
  }
  if (r->nbuckets++ == r->kept) r->kept++;
  b->used = 0;
  b->handle = -1;
  b->begun = false;
  return b;
}

/* The place of a gradient in a bucket, laid out as the leaf is. [temp] */
static gan_tensor *place (gan_ctx *c, const gan_tensor *leaf, const bucket *b, int64_t offset) {
  int64_t stride[GAN_MAXDIM], step = 1;
  for (int d = leaf->ndim - 1; d >= 0; d--) {
    stride[d] = step;
    step *= leaf->shape[d];
  }
  return gan_view(c, b->data, leaf->ndim, leaf->shape,
                  gan_is_dense(leaf) ? leaf->stride : stride, offset);
}

bool gan_ranks_give (gan_ctx *c, gan_tensor *leaf) {
  gan_ranks *r = c->ranks;
  if (!room(c, (void **)&r->gifts, r->ngifts + 1, &r->gifts_size, sizeof *r->gifts)) return false;
  gan_frame_open(c);
  bucket *b = open_bucket(c, leaf->numel);
  gan_tensor *to = b ? place(c, leaf, b, b->used) : NULL;
  if (to) {
    gan_copy_into(c, to, leaf->pending);
    r->gifts[r->ngifts++] = (gift){ leaf, r->nbuckets - 1, b->used };
    b->used += leaf->numel;
    if (b->used >= BUCKET) send(c, b);
  }
  gan_frame_close(c);
  return !c->status;
}

/* 1: all have ended */
static int advance (gan_ranks *r) {
  int state = 1;
  for (int i = 0; i < r->nbuckets; i++) {
    bucket *b = &r->buckets[i];
    if (b->handle < 0) continue;
    int s = r->t->test(r->t->self, b->handle);
    if (s < 0) return s;
    if (s > 0) b->handle = -1;
    else state = 0;
  }
  return state;
}

void gan_ranks_poke (gan_ctx *c) {
  gan_ranks *r = c->ranks;
  if (r->nbuckets && !c->status && advance(r) < 0) fail(c, r->t->message(r->t->self));
}

/* The sums take the place of what was given: a tensor that belongs to the leaf alone. */
static bool take (gan_ctx *c, const gift *g) {
  gan_tensor *p = g->leaf->pending;
  gan_frame_open(c);
  gan_tensor *from = place(c, g->leaf, &c->ranks->buckets[g->bucket], g->offset);
  bool alone = p->refs == 1 && p->st->refs == 1 && gan_same_layout(p, g->leaf);
  gan_tensor *to = alone ? p : gan_new_like(c, g->leaf, GAN_REAL);
  if (from && to) gan_copy_into(c, to, from);
  if (from && to && !alone) {
    g->leaf->pending = gan_retain(to);
    gan_release(p);
  }
  gan_frame_close(c);
  return !c->status;
}

bool gan_ranks_end (gan_ctx *c, bool ok) {
  gan_ranks *r = c->ranks;
  if (!ok) { /* the others wait for what will not come */
    r->broken = true;
    return false;
  }
  for (int i = 0; i < r->nbuckets; i++)
    r->info.early += r->buckets[i].begun && r->buckets[i].handle < 0;
  bucket *last = r->nbuckets ? &r->buckets[r->nbuckets - 1] : NULL;
  double start = now();
  ok = !last || last->begun || send(c, last);
  for (int i = 0; ok && i < r->nbuckets; i++) {
    bucket *b = &r->buckets[i];
    ok = b->handle < 0 || await(c, b->handle);
    b->handle = -1;
  }
  r->info.waiting += now() - start;
  for (int i = 0; ok && i < r->ngifts; i++) ok = take(c, &r->gifts[i]);
  r->info.passing += now() - r->began;
  r->info.passes++;
  note_changes(r);
  if (!ok) r->broken = true;
  return ok;
}
