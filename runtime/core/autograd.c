/*
** autograd.c - the backward pass.
**
** A node is made after the producers of its inputs, so descending node numbers are a topological
** order. A pass collects the nodes that y depends on, marks those on a path to a wanted gradient,
** runs their gradients from the last to the first, and commits only when all have succeeded.
*/
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "op.h"
#include "profile.h"
#include "ranks.h"
#include "tape.h"

/* A leaf that received a gradient, and what a pass around this one had collected for it. */
typedef struct {
  gan_tensor *leaf, *outer; /* counted */
  uint64_t outer_pass;
} gan_reached_leaf;

typedef struct {
  gan_ctx *c;
  gan_node **nodes; /* reached by this pass; ascending seq once sorted */
  int n, size;
  gan_reached_leaf *leaves;
  int nleaves, leaves_size;
  bool all_leaves; /* every leaf is wanted */
  bool retain;
  bool averages; /* gradients of shared leaves are averaged over the ranks of a job */
  uint64_t outer, outer_level; /* the pass that this one runs inside of (a custom function's) */
} gan_walk;

/* Makes room for one more item in an array. */
static bool reserve (gan_ctx *c, void **array, int n, int *size, size_t item) {
  if (n < *size) return true;
  int grown = *size ? 2 * *size : 64;
  void *p = gan_malloc(c, (size_t)grown * item);
  if (!p) return false;
  if (n) memcpy(p, *array, (size_t)n * item);
  gan_free(c, *array, (size_t)*size * item);
  *array = p;
  *size = grown;
  return true;
}

/* ---- collecting ---------------------------------------------------------------------------- */

static bool reach (gan_walk *w, gan_node *n) {
  gan_ctx *c = w->c;
  if (n->pass == c->pass) return true;
  if (n->busy) {
    gan_fail(c, GAN_EGRAPH, "this part of the graph is being differentiated already");
    return false;
  }
  if (!reserve(c, (void **)&w->nodes, w->n, &w->size, sizeof *w->nodes)) return false;
  w->nodes[w->n++] = n;
  n->pass = c->pass;
  n->busy = true;
  n->needed = n->runs = false;
  return true;
}

static int by_seq (const void *a, const void *b) {
  uint64_t x = (*(gan_node *const *)a)->seq, y = (*(gan_node *const *)b)->seq;
  return x < y ? -1 : x > y;
}

/* The array of reached nodes is its own work list: nothing recurses. */
static bool collect (gan_walk *w, gan_node *root) {
  if (!reach(w, root)) return false;
  for (int k = 0; k < w->n; k++) {
    gan_node *n = w->nodes[k];
    for (int i = 0; i < n->nin; i++) {
      gan_edge *e = &n->in[i];
      if (e->leaf && w->all_leaves) e->leaf->wanted |= w->c->level;
      if (e->node && !reach(w, e->node)) return false;
    }
  }
  qsort(w->nodes, (size_t)w->n, sizeof *w->nodes, by_seq);
  return true;
}

static bool asked_for (const gan_node *n) {
  for (int k = 0; k < n->nout; k++)
    if (n->keep[k]) return true;
  return false;
}

/* Counts what each shared leaf is to get from a node. */
static void await_parts (gan_node *n) {
  for (int i = 0; i < n->nin; i++)
    if (n->in[i].leaf && n->in[i].leaf->shared && gan_wants(n, i)) n->in[i].leaf->awaited++;
}

/* Ascending: the producers of a node's inputs are decided before it. */
static void mark_needed (gan_walk *w) {
  for (int k = 0; k < w->n; k++) {
    gan_node *n = w->nodes[k];
    for (int i = 0; i < n->nin && !n->runs; i++) n->runs = gan_wants(n, i);
    n->needed = n->runs || asked_for(n);
    if (w->averages && n->runs) await_parts(n);
  }
}

/* ---- running ------------------------------------------------------------------------------- */

/* Adds g to a counted slot. */
static bool deposit (gan_ctx *c, gan_tensor **slot, gan_tensor *g) {
  gan_tensor *sum = *slot ? gan_add(c, *slot, g) : g;
  if (!sum) return false;
  gan_retain(sum);
  gan_release(*slot);
  *slot = sum;
  return true;
}

static bool deposit_leaf (gan_walk *w, gan_tensor *leaf, gan_tensor *g) {
  gan_ctx *c = w->c;
  if (leaf->pending_pass != c->pass) { /* the first; what an outer pass has waits in the list */
    if (!reserve(c, (void **)&w->leaves, w->nleaves, &w->leaves_size, sizeof *w->leaves))
      return false;
    w->leaves[w->nleaves++] =
        (gan_reached_leaf){ gan_retain(leaf), leaf->pending, leaf->pending_pass };
    leaf->pending = NULL;
    leaf->pending_pass = c->pass;
  }
  return deposit(w->c, &leaf->pending, g);
}

static bool fits (gan_ctx *c, const gan_node *n, int i, const gan_tensor *g) {
  const gan_edge *e = &n->in[i];
  if (g->ndim == e->ndim && !memcmp(g->shape, e->shape, e->ndim * sizeof *e->shape)) return true;
  gan_fail(c, GAN_EGRAPH, "the gradient of %s for its input %d has shape %s, the input %s",
           n->op ? n->op->name : n->custom->name, i + 1, gan_shape_of(c, g),
           gan_shape_text(c, e->ndim, e->shape));
  return false;
}

/* For the profiler: the gradients that came, what was saved, the gradients made. */
static double pass_bytes (const gan_node *n, gan_tensor **gx) {
  double bytes = 0;
  for (int k = 0; k < n->nout; k++)
    bytes += gan_profile_bytes(n->gy[k]) + gan_profile_bytes(n->saved[k]);
  for (int k = 0; k < n->nargs; k++)
    if (n->op->parsed->p[k].kind <= GAN_K_ANYOPERAND && n->a[k].n >= 0 &&
        n->op->parsed->p[k].kind != GAN_K_TENSORS)
      bytes += gan_profile_bytes(n->a[k].t);
  for (int i = 0; i < n->nin; i++) bytes += gan_profile_bytes(gx[i]);
  return bytes;
}

/* While a step is recorded or replayed its own plan says which memory is shared. */
gan_tensor *gan_over_gradient (gan_ctx *c, gan_tensor *g, const gan_tensor *x) {
  bool alone = g->refs == 1 && g->st->refs == 1 && !g->st->drop && !gan_tracked(g);
  if (alone && !c->recording && !c->tape && !c->plan && gan_is_dense(g) && gan_same_layout(g, x))
    return g;
  return gan_new_like(c, x, GAN_REAL);
}

static bool differentiate (gan_ctx *c, gan_node *n, gan_tensor **gx) {
  if (n->custom) { /* the ops it calls report under their own names */
    if (!n->custom->backward(c, n->ud, n->nout, n->gy, n->nin, gx) && !c->status)
      gan_fail(c, GAN_EHOST, "the backward of %s failed", n->custom->name);
    return !c->status;
  }
  const gan_op *before = c->op;
  gan_profile_mark mark = { 0 };
  if (c->profile) mark = gan_profile_begin(c);
  bool taped = c->tape && !c->recording && gan_tape_begin(c);
  bool fused = n->op->fused && !c->recording && !c->composed;
  c->op = n->op;
  (fused ? n->op->fused : n->op->vjp)(c, n, n->gy, gx);
  c->op = before;
  if (taped && c->status) gan_tape_cancel(c);
  else if (taped) gan_tape_backward(c, n, fused, gx);
  if (c->profile) gan_profile_end(c, &mark, n->op, true, mark.counted ? pass_bytes(n, gx) : 0);
  return !c->status;
}

static bool check_nan (gan_ctx *c, gan_node *n, int i, gan_tensor *g) {
  g = gan_dense(c, g);
  for (int64_t k = 0; g && k < g->numel; k++)
    if (gan_reals(g)[k] != gan_reals(g)[k]) {
      gan_fail(c, GAN_EGRAPH, "the gradient of %s for its input %d is the first with a NaN",
               n->op ? n->op->name : n->custom->name, i + 1);
      return false;
    }
  return g != NULL;
}

static bool run_node (gan_walk *w, gan_node *n, gan_tensor **gx) {
  gan_ctx *c = w->c;
  memset(gx, 0, (size_t)n->nin * sizeof *gx);
  if (!gan_node_check(c, n) || !differentiate(c, n, gx)) return false;
  for (int i = 0; i < n->nin; i++) {
    gan_edge *e = &n->in[i];
    if (!gx[i] || !gan_wants(n, i)) continue;
    if (!fits(c, n, i, gx[i]) || (c->anomaly && !check_nan(c, n, i, gx[i]))) return false;
    if (e->leaf ? !deposit_leaf(w, e->leaf, gx[i]) : !deposit(c, &e->node->gy[e->out_index], gx[i]))
      return false;
  }
  return true;
}

/* A node has run, or no gradient came to it: leaves that wait for no other go to the ranks. */
static bool hand_over (gan_walk *w, gan_node *n) {
  gan_ctx *c = w->c;
  for (int i = 0; i < n->nin; i++) {
    gan_tensor *leaf = n->in[i].leaf;
    if (!leaf || !leaf->shared || !gan_wants(n, i) || --leaf->awaited > 0) continue;
    if (leaf->pending_pass == c->pass && !gan_ranks_give(c, leaf)) return false;
  }
  gan_ranks_poke(c);
  return !c->status;
}

/* One node: keep what was asked for, run, drop what is used up. */
static bool visit_node (gan_walk *w, gan_node *n) {
  gan_ctx *c = w->c;
  bool arrived = false;
  for (int k = 0; k < n->nout; k++) {
    arrived |= n->gy[k] != NULL;
    if (n->keep[k]) n->kept[k] = gan_retain(n->gy[k]);
  }
  bool ok = true;
  if (arrived && n->runs) {
    gan_tensor *few[8];
    size_t bytes = (size_t)n->nin * sizeof(gan_tensor *);
    gan_tensor **gx = n->nin <= 8 ? few : gan_malloc(c, bytes);
    gan_frame_open(c);
    ok = gx && run_node(w, n, gx);
    gan_frame_close(c);
    if (gx && gx != few) gan_free(c, gx, bytes);
  }
  if (ok && w->averages && n->runs) ok = hand_over(w, n);
  for (int k = 0; k < n->nout; k++) {
    gan_release(n->gy[k]);
    n->gy[k] = NULL;
  }
  if (ok && arrived && n->runs && !w->retain) gan_node_spend(n);
  return ok;
}

/* The gradient to start from: gy, or 1 for a y of one element. */
static gan_tensor *seed (gan_ctx *c, gan_tensor *y, gan_tensor *gy) {
  if (!gan_tracked(y))
    return gan_fail(c, GAN_EGRAPH,
                    "the tensor does not depend on anything that requires a gradient");
  if (gy && !gan_same_shape(y, gy))
    return gan_fail(c, GAN_EARG, "the gradient given has shape %s, the tensor %s",
                    gan_shape_of(c, gy), gan_shape_of(c, y));
  if (gy && gy->dtype != GAN_REAL)
    return gan_fail(c, GAN_EARG, "the gradient given is a %s tensor", gan_dtype_name(gy->dtype));
  if (gy) return gy;
  if (y->numel != 1)
    return gan_fail(c, GAN_EARG, "the tensor has shape %s: only a single number has a gradient "
                    "without one being given", gan_shape_of(c, y));
  gan_tensor *one = gan_new(c, GAN_REAL, y->ndim, y->shape);
  if (one) *gan_reals(one) = 1;
  if (one && c->tape) gan_tape_constant(c, one);
  return one;
}

static bool walk (gan_walk *w, gan_tensor *y, gan_tensor *gy, bool record) {
  gan_ctx *c = w->c;
  if (!(gy = seed(c, y, gy))) return false;
  if (!y->node) {
    bool wanted = w->all_leaves || (y->wanted & c->level);
    return !wanted || (deposit_leaf(w, y, gy) &&
                       (!w->averages || !y->shared || gan_ranks_give(c, y)));
  }
  if (!collect(w, y->node)) return false;
  mark_needed(w);
  bool before = c->recording, ok = deposit(c, &y->node->gy[y->out_index], gy);
  c->recording = record;
  for (int k = w->n - 1; ok && k >= 0; k--) ok = visit_node(w, w->nodes[k]);
  c->recording = before;
  return ok;
}

static void start (gan_walk *w, gan_ctx *c, bool retain) {
  *w = (gan_walk){ .c = c, .retain = retain, .outer = c->pass, .outer_level = c->level };
  c->pass = ++c->passes;
  c->level = c->level ? c->level << 1 : 1;
  if (!c->level) gan_fail(c, GAN_EGRAPH, "backward passes are nested too deeply");
  gan_frame_open(c);
}

/* Forgets the pass. The nodes are alive: y holds them, directly or through others. */
static void finish (gan_walk *w) {
  gan_ctx *c = w->c;
  for (int k = 0; k < w->n; k++) {
    gan_node *n = w->nodes[k];
    n->busy = false;
    for (int i = 0; i < n->nin; i++) {
      if (!n->in[i].leaf) continue;
      n->in[i].leaf->wanted &= ~c->level;
      if (w->averages) n->in[i].leaf->awaited = 0;
    }
    for (int i = 0; i < n->nout; i++) {
      gan_release(n->gy[i]);
      gan_release(n->kept[i]);
      n->gy[i] = n->kept[i] = NULL;
      n->keep[i] = false;
    }
  }
  for (int k = 0; k < w->nleaves; k++) {
    gan_reached_leaf *r = &w->leaves[k];
    gan_tensor *g = r->leaf->pending;
    r->leaf->pending = r->outer;
    r->leaf->pending_pass = r->outer_pass;
    gan_release(g);
    gan_release(r->leaf);
  }
  gan_free(c, w->nodes, (size_t)w->size * sizeof *w->nodes);
  gan_free(c, w->leaves, (size_t)w->leaves_size * sizeof *w->leaves);
  c->pass = w->outer;
  c->level = w->outer_level;
  gan_frame_close(c);
}

/* ---- the two ways in ------------------------------------------------------------------------ */

/* A gradient that is stored must belong to its leaf alone (it will be scaled and clipped in place)
   and lie in memory as the leaf does (optimisers run over both as flat arrays). */
static bool settle (gan_ctx *c, gan_tensor *leaf, bool record) {
  gan_tensor *g = leaf->pending;
  if (record || (g->refs == 1 && g->st->refs == 1 && gan_same_layout(g, leaf))) return true;
  bool taped = c->tape && gan_tape_begin(c);
  gan_tensor *own = gan_new_like(c, leaf, GAN_REAL);
  gan_copy_into(c, own, g);
  if (taped && own) gan_tape_copy(c, own, g);
  else if (taped) gan_tape_cancel(c);
  if (!own) return false;
  leaf->pending = gan_retain(own);
  gan_release(g);
  return true;
}

/* Brings every collected gradient into its final form; the leaves are not touched yet. */
static bool settle_all (gan_walk *w, bool record) {
  gan_ctx *c = w->c;
  bool before = c->recording, ok = true;
  c->recording = record;
  for (int k = 0; ok && k < w->nleaves; k++) {
    gan_tensor *leaf = w->leaves[k].leaf;
    gan_frame_open(c);
    if (leaf->grad && c->tape) gan_tape_adds(c, leaf->grad);
    ok = !leaf->grad || deposit(c, &leaf->pending, leaf->grad);
    gan_frame_close(c);
    gan_frame_open(c);
    ok = ok && settle(c, leaf, record);
    gan_frame_close(c);
  }
  c->recording = before;
  return ok;
}

/* Steps whose gradients go to other processes are not recorded, and have gradients of first order
   only: what comes back from the ranks is a number. */
static void start_averaging (gan_walk *w, bool create_graph) {
  gan_ctx *c = w->c;
  w->averages = gan_ranks_at_work(c) && !c->status;
  if (!w->averages) return;
  if (c->tape) gan_tape_refuse(c, "its gradients are averaged over the processes of a job");
  if (create_graph)
    gan_fail(c, GAN_EGRAPH, "gradients that are averaged over the processes of a job have no graph "
             "(gan.grad gives those of this process)");
  else if (w->outer)
    gan_fail(c, GAN_EGRAPH, "a backward inside the backward of a function cannot be averaged over "
             "the processes of a job (use gan.grad)");
  gan_ranks_begin(c);
}

bool gan_backward (gan_ctx *c, gan_tensor *y, gan_tensor *gy, int ninputs, gan_tensor **inputs,
                   bool retain_graph, bool create_graph) {
  if (c->status || !y) return false;
  gan_walk w;
  start(&w, c, retain_graph);
  w.all_leaves = ninputs <= 0;
  start_averaging(&w, create_graph);
  for (int i = 0; i < ninputs; i++) {
    if (inputs[i]->node || !inputs[i]->requires_grad) {
      gan_fail(c, GAN_EGRAPH, "input %d is not a leaf that requires a gradient", i + 1);
      break;
    }
    inputs[i]->wanted |= c->level;
  }
  bool ok = !c->status && walk(&w, y, gy, create_graph);
  for (int i = 0; i < ninputs; i++) inputs[i]->wanted &= ~c->level;
  if (w.averages) ok = gan_ranks_end(c, ok);
  ok = ok && settle_all(&w, create_graph);
  for (int k = 0; ok && k < w.nleaves; k++) { /* nothing below can fail */
    gan_tensor *leaf = w.leaves[k].leaf, *old = leaf->grad;
    leaf->grad = leaf->pending;
    leaf->pending = NULL;
    gan_release(old);
    if (c->tape) gan_tape_grad_set(c, leaf);
  }
  finish(&w);
  return ok;
}

static bool ask (gan_ctx *c, gan_tensor *x, int i) {
  if (!gan_tracked(x)) {
    gan_fail(c, GAN_EGRAPH, "input %d does not require a gradient", i + 1);
    return false;
  }
  if (!x->node) {
    x->wanted |= c->level;
    return true;
  }
  /* a node of an outer pass is out of reach, and its flag is that pass's */
  if (!x->node->busy) x->node->keep[x->out_index] = true;
  return true;
}

/* What this pass found for x; NULL where it was not reached. */
static gan_tensor *found (const gan_ctx *c, const gan_tensor *x) {
  if (!x->node) return x->pending_pass == c->pass ? x->pending : NULL;
  return x->node->pass == c->pass ? x->node->kept[x->out_index] : NULL;
}

bool gan_gradient (gan_ctx *c, gan_tensor *y, gan_tensor *gy, int n, gan_tensor **x,
                   gan_tensor **out, bool retain_graph, bool create_graph, bool allow_unused) {
  memset(out, 0, (size_t)n * sizeof *out);
  if (c->status || !y) return false;
  gan_walk w;
  start(&w, c, retain_graph);
  bool ok = true;
  for (int i = 0; ok && i < n; i++) ok = ask(c, x[i], i);
  ok = ok && walk(&w, y, gy, create_graph);
  for (int i = 0; ok && i < n; i++) {
    out[i] = gan_retain(found(c, x[i]));
    if (out[i] || allow_unused) continue;
    gan_fail(c, GAN_EGRAPH,
             "the tensor does not depend on input %d (pass allow_unused=true to get nil)", i + 1);
    ok = false;
  }
  for (int i = 0; i < n; i++) { /* inputs off the path were never collected */
    x[i]->wanted &= ~c->level;
    if (x[i]->node && (x[i]->node->pass == c->pass || !x[i]->node->busy))
      x[i]->node->keep[x[i]->out_index] = false;
  }
  finish(&w);
  for (int i = 0; i < n; i++) {
    if (!ok) gan_release(out[i]);
    else if (out[i] && !gan_temp(c, out[i])) ok = false;
    else continue;
    out[i] = NULL;
  }
  return ok;
}
