/*
** replay.c - runs a plan: the recorded operations, on memory that is already in place.
*/
#include <string.h>

#include "plan.h"
#include "profile.h"

/* ---- tensors that the operations ask for ---------------------------------------------------- */

/* The tensor that was made at this point the first time. An operation may go another way for other
   values (clipping that was not needed then): NULL when the next one is not like what is asked for,
   and the caller makes an ordinary tensor. */
static gan_tensor *next (const gan_replay *p, int ndim, const int64_t *shape) {
  if (p->taken == p->now->nmade) return NULL;
  gan_tensor *t = p->now->made[p->taken];
  bool same = t->ndim == ndim && (!ndim || !memcmp(t->shape, shape, (size_t)ndim * sizeof *shape));
  return same ? t : NULL;
}

gan_tensor *gan_replay_next (gan_ctx *c, gan_dtype dtype, int ndim, const int64_t *shape) {
  gan_tensor *t = next(c->plan, ndim, shape);
  if (!t || t->dtype != dtype) return NULL;
  c->plan->taken++;
  return t;
}

gan_tensor *gan_replay_next_view (gan_ctx *c, const gan_tensor *x, int ndim, const int64_t *shape,
                                  const int64_t *stride, int64_t offset) {
  gan_tensor *t = next(c->plan, ndim, shape);
  if (!t || t->dtype != x->dtype || (char *)t->data != (char *)x->data + offset ||
      (ndim && memcmp(t->stride, stride, (size_t)ndim * sizeof *stride)))
    return NULL;
  c->plan->taken++;
  return t;
}

/* What came out must be where the operations after this one look for it. */
static void settle (gan_ctx *c, gan_tensor *found, gan_tensor *wanted) {
  if (found == wanted || !wanted || c->status) return;
  if (found && found->data == wanted->data && gan_same_layout(found, wanted)) return;
  if (found && found->dtype == wanted->dtype && gan_same_shape(found, wanted)) {
    gan_copy_into(c, wanted, found);
    return;
  }
  c->plan->astray = true;
  gan_fail(c, GAN_EGRAPH, "gave a result of another shape than when the step was recorded: a step "
           "whose shapes depend on values cannot be compiled");
}

static void astray (gan_ctx *c, gan_replay *p) {
  p->astray = true;
  gan_fail(c, GAN_EGRAPH, "did another thing than when the step was recorded");
}

bool gan_replay_astray (const gan_replay *p) {
  return p->astray;
}

/* ---- gradients ------------------------------------------------------------------------------ */

static void set_grad (gan_tensor *leaf, gan_tensor *g) {
  gan_tensor *old = leaf->grad;
  leaf->grad = gan_retain(g);
  gan_release(old);
}

void gan_replay_move (gan_tensor *x, gan_storage *s) {
  size_t offset = x->st->data ? (size_t)((char *)x->data - (char *)x->st->data) : 0;
  s->refs++;
  gan_storage_release(x->c, x->st);
  x->st = s;
  x->data = s->data ? (char *)s->data + offset : NULL;
}

/* Somebody holds on to a gradient of the last call: it keeps its memory, the plan takes new one. */
static bool leave_memory (gan_replay *p, int k) {
  const gan_tape *t = p->tape;
  int memory = t->slots[t->leaves[k].grad].memory;
  gan_storage *s = gan_storage_new(p->c, t->memory[memory].bytes);
  if (!s) return false;
  for (int i = 0; i < t->nslots; i++)
    if (t->slots[i].memory == memory) gan_replay_move(p->tensors[i], s);
  gan_storage_release(p->c, s);
  for (int i = 0; i < t->nleaves; i++)
    if (p->grads[i] && t->slots[t->leaves[i].grad].memory == memory && !gan_replay_make_grad(p, i))
      return false;
  return true;
}

/* A leaf has its gradient until the step takes it away, as it would be without a plan. */
static bool free_gradients (gan_replay *p) {
  for (int k = 0; k < p->tape->nleaves; k++) {
    const gan_tensor *g = p->grads[k];
    if (!g) continue;
    bool held = g->refs > 1 + (p->tape->leaves[k].leaf->grad == g) || g->st->refs != p->shares[k];
    if (held && !leave_memory(p, k)) return false;
  }
  return true;
}

static void leave_gradients (gan_replay *p) {
  for (int k = 0; k < p->tape->nleaves; k++)
    if (p->grads[k]) set_grad(p->tape->leaves[k].leaf, p->grads[k]);
}

/* Gradients in the plan's memory do not outlive a replay that failed. */
static void drop_gradients (gan_replay *p) {
  for (int k = 0; k < p->tape->nleaves; k++) {
    gan_tensor *leaf = p->tape->leaves[k].leaf;
    if (leaf->grad && leaf->grad->planned) set_grad(leaf, NULL);
  }
}

/* ---- beginning and end ---------------------------------------------------------------------- */

static bool same_leaves (const gan_tape *t) {
  for (int k = 0; k < t->nleaves; k++)
    if (!t->leaves[k].dropped && t->leaves[k].leaf->grad) return false;
  for (int k = 0; k < t->nouter; k++)
    if (t->outer[k].t->requires_grad != t->outer[k].requires_grad) return false;
  return true;
}

bool gan_replay_fits (const gan_replay *p, int ninputs, gan_tensor **inputs) {
  const gan_tape *t = p->tape;
  if (ninputs != t->ninputs || gan_threads() != t->threads || p->c->composed != t->composed ||
      !same_leaves(t))
    return false;
  for (int k = 0; k < ninputs; k++) {
    const gan_tensor *x = inputs[k], *was = p->tensors[k];
    if (x->dtype != was->dtype || gan_tracked(x) || !gan_same_shape(x, was) ||
        memcmp(x->stride, was->stride, x->ndim * sizeof *x->stride))
      return false;
  }
  return true;
}

/* The arguments of this call, and the views of them, lie somewhere else each time. */
static bool bind_inputs (gan_replay *p, int ninputs, gan_tensor **inputs) {
  const gan_tape *t = p->tape;
  size_t bytes = ((size_t)ninputs + 1) * sizeof *inputs;
  if (!(p->inputs = gan_malloc(p->c, bytes))) return false;
  for (int k = 0; k < ninputs; k++) p->inputs[k] = gan_retain(inputs[k]);
  for (int k = 0; k < t->nslots; k++) {
    const gan_tape_memory *m = &t->memory[t->slots[k].memory];
    if (m->kind != GAN_INPUT) continue;
    char *from = inputs[m->input]->data;
    p->tensors[k]->data = k < t->ninputs || !from ? from : from + t->slots[k].offset;
  }
  return true;
}

static void let_go (gan_replay *p) {
  int n = p->tape->ninputs;
  for (int k = 0; k < n; k++) gan_release(p->inputs[k]);
  gan_free(p->c, p->inputs, ((size_t)n + 1) * sizeof *p->inputs);
  p->inputs = NULL;
}

void gan_replay_abandon (gan_replay *p) {
  if (!p->inputs) return;
  let_go(p);
  drop_gradients(p);
}

bool gan_replay_begin (gan_replay *p, int ninputs, gan_tensor **inputs) {
  gan_ctx *c = p->c;
  if (c->status) return false;
  if (c->plan || c->tape || p->inputs) {
    gan_fail(c, GAN_EARG, "a step that is compiled cannot call another one");
    return false;
  }
  if (!gan_replay_fits(p, ninputs, inputs)) {
    gan_fail(c, GAN_EARG, "the compiled step was recorded with other arguments");
    return false;
  }
  p->at = 0;
  return free_gradients(p) && bind_inputs(p, ninputs, inputs);
}

void gan_replay_end (gan_replay *p) {
  let_go(p);
  leave_gradients(p);
}

/* ---- running -------------------------------------------------------------------------------- */

static void touch (const gan_move *m) {
  const gan_sig *s = m->op->parsed;
  for (int k = 0; k < s->nargs; k++) {
    if (!s->p[k].mutated || m->a[k].n < 0) continue;
    if (s->p[k].kind != GAN_K_TENSORS) gan_touch(m->a[k].t);
    else
      for (int i = 0; i < m->a[k].n; i++) gan_touch(m->a[k].ts[i]);
  }
}

static void run_move (gan_ctx *c, const gan_move *m) {
  gan_instr_kind kind = m->from->kind;
  c->op = m->op;
  if (kind == GAN_DO_FORWARD) {
    memset(m->out, 0, (size_t)m->from->nout * sizeof *m->out);
    c->depth++;
    m->op->forward(c, m->a, m->out);
    c->depth--;
    for (int k = 0; k < m->from->nout; k++) settle(c, m->out[k], m->results[k]);
    if (m->op->parsed->mutates) touch(m);
  }
  else if (kind == GAN_DO_BACKWARD) {
    memset(m->gx, 0, (size_t)m->from->nin * sizeof *m->gx);
    (m->from->fused ? m->op->fused : m->op->vjp)(c, m->node, m->node->gy, m->gx);
    for (int k = 0; k < m->from->nin; k++) settle(c, m->gx[k], m->results[k]);
  }
  else if (kind == GAN_DO_COPY) gan_copy_into(c, m->results[0], m->gx[0]);
  else set_grad(c->plan->tape->leaves[m->from->leaf].leaf, m->results[0]);
}

static void run_profiled (gan_ctx *c, const gan_move *m) {
  gan_profile_mark mark = gan_profile_begin(c);
  double bytes = 0;
  run_move(c, m);
  for (int k = 0; k < m->nmade; k++) bytes += gan_profile_bytes(m->made[k]);
  gan_profile_end(c, &mark, m->op, m->from->kind == GAN_DO_BACKWARD, bytes);
}

static void do_move (gan_replay *p, const gan_move *m) {
  gan_ctx *c = p->c;
  p->now = m;
  p->taken = 0;
  gan_frame_open(c); /* for tensors that are not in the plan */
  if (c->profile) run_profiled(c, m);
  else run_move(c, m);
  gan_frame_close(c);
}

/* ---- chains of elementwise loops ------------------------------------------------------------ */

#define CHAIN_BLOCK 2048 /* elements: three operands of this length fit a first-level cache */

static void chain_range (void *ud, int64_t lo, int64_t hi, int worker) {
  gan_replay *p = ud;
  for (int64_t at = lo; at < hi; at += CHAIN_BLOCK) {
    int64_t to = at + CHAIN_BLOCK < hi ? at + CHAIN_BLOCK : hi;
    for (int k = 0; k < p->nlinks; k++) p->links[k].range(p->links[k].job, at, to, worker);
  }
}

bool gan_loop_later (gan_ctx *c, int64_t n, int64_t grain, gan_range_fn *range, const void *job,
                     size_t size) {
  if (c->tape && c->tape->open) {
    c->tape->loops++;
    c->tape->flat = n;
  }
  gan_replay *p = c->plan;
  if (!p || !p->chaining || p->nlinks == GAN_CHAIN_MAX || size > sizeof p->links->job) return false;
  gan_link *l = &p->links[p->nlinks++];
  l->range = range;
  memcpy(l->job, job, size);
  p->numel = n;
  if (p->nlinks == 1 || grain < p->grain) p->grain = grain;
  return true;
}

/* m[0] .. m[m->chain-1] */
static void run_chain (gan_replay *p, const gan_move *m) {
  gan_ctx *c = p->c;
  p->nlinks = 0;
  p->chaining = true;
  for (int k = 0; k < m->chain && !c->status; k++) {
    do_move(p, &m[k]);
    if (p->nlinks != k + 1 && !c->status) astray(c, p);
  }
  p->chaining = false;
  if (!c->status) gan_parallel(p->numel, p->grain, chain_range, p);
}

/* A chain is run whole: nothing but what it computes is known of where it ends. */
static void run_moves (gan_replay *p, int instruction) {
  gan_ctx *c = p->c;
  while (p->at < p->nmoves && !c->status) {
    const gan_move *m = &p->moves[p->at];
    if (m->from - p->tape->instr >= instruction) return;
    bool chain = m->chain && !c->profile; /* the profiler wants to see each loop */
    if (chain) run_chain(p, m);
    else do_move(p, m);
    p->at += chain ? m->chain : 1;
  }
}

bool gan_replay_run (gan_replay *p, int instruction) {
  gan_ctx *c = p->c;
  bool recording = c->recording;
  const gan_op *before = c->op;
  c->recording = false;
  c->plan = p;
  run_moves(p, instruction);
  c->plan = NULL;
  c->recording = recording;
  c->op = before;
  if (c->status) gan_replay_abandon(p);
  return !c->status;
}

/* ---- results -------------------------------------------------------------------------------- */

gan_tensor *gan_replay_room (gan_replay *p, int slot) {
  if (slot < 0 || slot >= p->tape->nslots)
    return gan_fail(p->c, GAN_EARG, "the compiled step has no such result");
  const gan_tensor *x = p->tensors[slot];
  return gan_new(p->c, (gan_dtype)x->dtype, x->ndim, x->shape);
}

void gan_replay_result (gan_replay *p, int slot, gan_tensor *y) {
  gan_copy_into(p->c, y, p->tensors[slot]);
}
