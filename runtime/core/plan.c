/*
** plan.c - makes a tape ready to run: places what it makes in one block of memory, and turns slot
** numbers into tensors.
**
** Two results that are never needed at the same time may share memory. The largest are placed
** first, each at the lowest place that is free during its life (greedy by size: Pisarchyk and Lee
** 2020, "Efficient memory management for deep neural net inference").
*/
#include <stdlib.h>
#include <string.h>

#include "plan.h"

#define ALIGN ((size_t)64)

/* ---- chains --------------------------------------------------------------------------------- */

/* A call that changes no tensor and makes no memory only makes views: they are there already. */
static bool only_views (const gan_tape *t, const gan_instr *x, int k) {
  if (!x->op || (x->op->flags & GAN_RANDOM) ||
      (x->kind == GAN_DO_FORWARD && x->op->parsed->mutates))
    return false;
  for (int i = 0; i < x->nmade; i++) {
    const gan_tape_memory *m = &t->memory[t->slots[x->made[i]].memory];
    if (m->kind == GAN_MADE && m->first == k) return false;
  }
  return true;
}

/* How many elementwise loops of one length begin at instruction k, views between them aside; `end`
   is the last of them. They are run together, a block of elements at a time, so that what one
   writes is still in the first cache when the next reads it. */
static int chain_at (const gan_tape *t, int k, int *end) {
  int n = 0;
  int64_t flat = t->instr[k].flat;
  *end = k;
  for (int i = k; flat && i < t->ninstr && n < GAN_CHAIN_MAX; i++) {
    if (t->instr[i].flat == flat) {
      n++;
      *end = i;
    }
    else if (!only_views(t, &t->instr[i], i)) break;
  }
  return n;
}

/* In a chain nothing is over before the whole is: its members' memory must not be shared. */
static void stretch_lives (gan_tape *t) {
  for (int k = 0, end; k < t->ninstr; k = end + 1) {
    if (chain_at(t, k, &end) < 2) {
      end = k;
      continue;
    }
    for (int i = 0; i < t->nmemory; i++) {
      gan_tape_memory *m = &t->memory[i];
      if (m->first > k && m->first <= end) m->first = k;
      if (m->last >= k && m->last < end) m->last = end;
    }
  }
}

/* ---- places --------------------------------------------------------------------------------- */

typedef struct {
  int memory;
  size_t size, at;
  int first, last;
} place;

static int by_size (const void *a, const void *b) {
  const place *x = a, *y = b;
  if (x->size != y->size) return x->size > y->size ? -1 : 1;
  return x->memory < y->memory ? -1 : 1;
}

static bool meet (const place *a, const place *b) {
  return a->first <= b->last && b->first <= a->last;
}

/* The lowest place for p beside the n placed ones, which are in the order of their places: where
   something that lives at the same time is in the way, the search goes on behind it. */
static size_t lowest (const place *p, const place *placed, int n) {
  size_t at = 0;
  for (int k = 0; k < n; k++) {
    const place *q = &placed[k];
    if (!meet(p, q) || q->at + q->size <= at) continue;
    if (q->at >= at + p->size) break;
    at = q->at + q->size;
  }
  return at;
}

/* Places the item at n, and puts it where it belongs among the n placed ones before it. */
static void insert (place *places, int n) {
  place p = places[n];
  int k = n;
  p.at = lowest(&p, places, n);
  for (; k > 0 && places[k - 1].at > p.at; k--) places[k] = places[k - 1];
  places[k] = p;
}

/* Fills `at` (of every storage); finds the size of the block. */
static void assign (gan_replay *p, place *places, size_t *at) {
  const gan_tape *t = p->tape;
  int n = 0;
  for (int k = 0; k < t->nmemory; k++) {
    const gan_tape_memory *m = &t->memory[k];
    if (m->kind != GAN_MADE || !m->bytes) continue;
    places[n] = (place){ .memory = k, .first = m->first, .last = m->lasting ? t->ninstr : m->last,
                         .size = (m->bytes + ALIGN - 1) / ALIGN * ALIGN };
    if (m->apart) p->apart += places[n].size;
    else p->needed += places[n++].size;
  }
  qsort(places, (size_t)n, sizeof *places, by_size);
  for (int k = 0; k < n; k++) {
    insert(places, k);
  }
  for (int k = 0; k < n; k++) {
    at[places[k].memory] = places[k].at;
    if (places[k].at + places[k].size > p->bytes) p->bytes = places[k].at + places[k].size;
  }
}

/* ---- the block: freed with the last storage in it ------------------------------------------- */

typedef struct {
  gan_ctx *c;
  int refs;
  size_t bytes;
} arena;

static void arena_drop (void *owner) {
  arena *a = owner;
  if (--a->refs == 0) gan_free(a->c, a, a->bytes);
}

static void nothing (void *owner) {
  (void)owner;
}

/* A storage for every entry of the tape: its own or, for what is outside, a share of that one. */
static bool make_storages (gan_replay *p, const size_t *at, gan_storage **st) {
  gan_ctx *c = p->c;
  const gan_tape *t = p->tape;
  size_t head = (sizeof(arena) + ALIGN - 1) / ALIGN * ALIGN, bytes = head + p->bytes;
  arena *a = gan_malloc(c, bytes);
  if (!a) return false;
  *a = (arena){ .c = c, .refs = 1, .bytes = bytes };
  bool ok = true;
  for (int k = 0; ok && k < t->nmemory; k++) {
    const gan_tape_memory *m = &t->memory[k];
    if (m->kind == GAN_OUTSIDE || m->kind == GAN_CONSTANT) {
      st[k] = m->st;
      m->st->refs++;
      continue;
    }
    bool made = m->kind == GAN_MADE && !m->apart;
    char *data = made && m->bytes ? (char *)a + head + at[k] : NULL;
    st[k] = m->apart ? gan_storage_new(c, m->bytes)
                     : gan_storage_over(c, data, m->bytes, made ? arena_drop : nothing, a);
    if (st[k]) a->refs += made;
    else ok = false;
  }
  arena_drop(a);
  return ok;
}

/* ---- tensors -------------------------------------------------------------------------------- */

static bool make_tensors (gan_replay *p, gan_storage **st) {
  const gan_tape *t = p->tape;
  for (int k = 0; k < t->nslots; k++) {
    const gan_slot *s = &t->slots[k];
    gan_storage *of = st[s->memory];
    of->refs++;
    gan_tensor *x = gan_header_over(p->c, (gan_dtype)s->dtype, s->ndim, of);
    if (!x) return false;
    x->planned = true;
    x->is_number = s->is_number;
    x->requires_grad = s->tracked;
    x->numel = s->numel;
    x->data = of->data ? (char *)of->data + s->offset : NULL;
    memcpy(x->shape, s->shape, sizeof x->shape);
    memcpy(x->stride, s->stride, sizeof x->stride);
    p->tensors[k] = x;
  }
  return true;
}

static bool place_tensors (gan_replay *p) {
  gan_ctx *c = p->c;
  const gan_tape *t = p->tape;
  size_t n = (size_t)t->nmemory + 1, bytes = n * (sizeof(place) + sizeof(size_t) + sizeof(void *));
  place *places = gan_malloc(c, bytes);
  if (!places) return false;
  memset(places, 0, bytes);
  size_t *at = (size_t *)(places + n);
  gan_storage **st = (gan_storage **)(at + n);
  assign(p, places, at);
  bool ok = make_storages(p, at, st) && make_tensors(p, st);
  for (int k = 0; k < t->nmemory; k++) gan_storage_release(c, st[k]);
  gan_free(c, places, bytes);
  return ok;
}

/* ---- instructions --------------------------------------------------------------------------- */

/* Lives as long as the tape. */
static void *cut (gan_replay *p, int n, size_t item) {
  void *r = gan_tape_cut(p->tape, n, item);
  if (!r && !p->c->status)
    gan_fail(p->c, GAN_EMEMORY, "out of memory for the plan of a compiled step");
  return r;
}

static gan_tensor *tensor_at (const gan_replay *p, int64_t slot) {
  return slot < 0 ? NULL : p->tensors[slot];
}

static gan_tensor **tensor_list (gan_replay *p, const int *slots, int n) {
  gan_tensor **list = cut(p, n, sizeof *list);
  for (int k = 0; list && k < n; k++) list[k] = tensor_at(p, slots[k]);
  return list;
}

static gan_arg *make_args (gan_replay *p, const gan_instr *x) {
  gan_arg *a = cut(p, x->nargs, sizeof *a);
  for (int k = 0; a && k < x->nargs; k++) {
    gan_kind kind = x->op->parsed->p[k].kind;
    a[k] = x->a[k];
    if (kind == GAN_K_TENSORS) {
      gan_tensor **list = x->a[k].v ? cut(p, x->a[k].n, sizeof *list) : NULL;
      for (int i = 0; list && i < x->a[k].n; i++) list[i] = tensor_at(p, x->a[k].v[i]);
      a[k].ts = list;
    }
    else if (kind <= GAN_K_ANYOPERAND) a[k].t = tensor_at(p, x->a[k].i);
  }
  return a;
}

static gan_node wanted_mark = { .needed = true };

/* A node as the gradient function wants to see it: what was saved, and which inputs count. */
static gan_node *make_node (gan_replay *p, const gan_instr *x, gan_arg *a) {
  gan_node *n = cut(p, 1, sizeof *n);
  if (!n) return NULL;
  n->c = p->c;
  n->op = x->op;
  n->nin = x->nin;
  n->nout = x->nout;
  n->nargs = x->nargs;
  n->refs = 1;
  n->a = a;
  n->in = x->edges;
  n->out = x->edges + x->nin;
  n->saved = tensor_list(p, x->out, x->nout);
  n->gy = tensor_list(p, x->out + x->nout, x->nout);
  for (int i = 0; i < x->nin + x->nout; i++)
    x->edges[i].node = i < x->nin && x->edges[i].node ? &wanted_mark : NULL;
  return n->saved && n->gy ? n : NULL;
}

/* ---- gradients that the step leaves in its parameters -------------------------------------- */

/* The leaf's header is not one of the plan's: the host may hold on to it. */
bool gan_replay_make_grad (gan_replay *p, int k) {
  const gan_tensor *g = p->tensors[p->tape->leaves[k].grad];
  g->st->refs++;
  gan_tensor *x = gan_header_over(p->c, GAN_REAL, g->ndim, g->st);
  if (!x) return false;
  x->numel = g->numel;
  x->data = g->data;
  memcpy(x->shape, g->shape, sizeof x->shape);
  memcpy(x->stride, g->stride, sizeof x->stride);
  gan_release(p->grads[k]);
  p->grads[k] = x;
  return true;
}

static bool make_grads (gan_replay *p) {
  int n = p->tape->nleaves;
  for (int k = 0; k < n; k++)
    if (p->tape->leaves[k].grad >= 0 && !gan_replay_make_grad(p, k)) return false;
  for (int k = 0; k < n; k++)
    if (p->grads[k]) p->shares[k] = p->grads[k]->st->refs;
  return true;
}

/* ---- moves --------------------------------------------------------------------------------- */

/* Before lives are stretched: what makes memory is told by when its life begins. */
static void choose_moves (gan_replay *p) {
  const gan_tape *t = p->tape;
  int last = -1; /* instruction of the chain that has begun */
  for (int k = 0; k < t->ninstr; k++) {
    if (only_views(t, &t->instr[k], k)) continue;
    gan_move *m = &p->moves[p->nmoves++];
    *m = (gan_move){ .from = &t->instr[k], .op = t->instr[k].op, .nmade = t->instr[k].nmade };
    int end, n = k > last ? chain_at(t, k, &end) : 0;
    if (n < 2) continue;
    m->chain = n;
    last = end;
  }
}

static bool fill_move (gan_replay *p, gan_move *m) {
  const gan_instr *x = m->from;
  m->made = tensor_list(p, x->made, x->nmade);
  if (!x->op) {
    m->results = tensor_list(p, x->out, 1);
    m->gx = tensor_list(p, x->in, x->nin);
  } else {
    bool forward = x->kind == GAN_DO_FORWARD;
    m->results = tensor_list(p, forward ? x->out : x->in, forward ? x->nout : x->nin);
    m->a = make_args(p, x);
    m->out = cut(p, x->nout, sizeof *m->out);
    m->gx = cut(p, x->nin, sizeof *m->gx);
    if (x->kind == GAN_DO_BACKWARD && m->a) m->node = make_node(p, x, m->a);
  }
  return !p->c->status;
}

/* ---- making and freeing --------------------------------------------------------------------- */

static bool make_lists (gan_replay *p) {
  const gan_tape *t = p->tape;
  p->tensors = cut(p, t->nslots, sizeof *p->tensors);
  p->grads = cut(p, t->nleaves, sizeof *p->grads);
  p->shares = cut(p, t->nleaves, sizeof *p->shares);
  p->moves = cut(p, t->ninstr, sizeof *p->moves);
  return !p->c->status;
}

static bool make_moves (gan_replay *p) {
  for (int k = 0; k < p->nmoves; k++)
    if (!fill_move(p, &p->moves[k])) return false;
  return true;
}

/* The arguments of the step that was recorded are not needed any more. */
static void forget_inputs (gan_tape *t) {
  for (int k = 0; k < t->nmemory; k++) {
    gan_tape_memory *m = &t->memory[k];
    if (m->kind != GAN_INPUT) continue;
    gan_storage_release(t->c, m->st);
    m->st = NULL;
  }
}

/* All but the tape. */
static void free_plan (gan_replay *p) {
  for (int k = 0; p->grads && k < p->tape->nleaves; k++) gan_release(p->grads[k]);
  for (int k = 0; p->tensors && k < p->tape->nslots; k++) {
    if (p->tensors[k]) p->tensors[k]->planned = false; /* the host may still have a handle of it */
    gan_release(p->tensors[k]);
  }
  gan_free(p->c, p, sizeof *p);
}

gan_replay *gan_replay_new (gan_ctx *c, gan_tape *t) {
  if (c->status) return NULL;
  gan_replay *p = gan_malloc(c, sizeof *p);
  if (!p) return NULL;
  *p = (gan_replay){ .c = c, .tape = t };
  gan_memory_trim(c); /* the blocks of the steps that were not replayed */
  if (make_lists(p)) {
    choose_moves(p);
    stretch_lives(t);
    if (place_tensors(p) && make_grads(p) && make_moves(p)) {
      forget_inputs(t);
      return p;
    }
  }
  free_plan(p);
  return NULL; /* the tape stays the caller's */
}

void gan_replay_free (gan_replay *p) {
  if (!p) return;
  gan_tape *t = p->tape;
  gan_replay_abandon(p);
  free_plan(p);
  gan_tape_free(t);
}

size_t gan_replay_bytes (const gan_replay *p) {
  return p->bytes + p->apart;
}

size_t gan_replay_bytes_needed (const gan_replay *p) {
  return p->needed + p->apart;
}

int gan_replay_length (const gan_replay *p) {
  return p->nmoves;
}
