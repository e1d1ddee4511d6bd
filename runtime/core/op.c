/*
** op.c - contexts, frames of temporaries, and gan_run: check, forward, record.
*/
#include <stdlib.h>
#include <string.h>

#include "../kernels/isa.h"
#include "op.h"
#include "profile.h"
#include "ranks.h"
#include "tape.h"

/* ---- contexts ----------------------------------------------------------------------------- */

gan_ctx *gan_open (void) {
  gan_isa_init();
  if (!gan_registry_open()) return NULL;
  gan_ctx *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  gan_alloc_open(c);
  c->recording = true;
  return c;
}

static void pop_to (gan_ctx *c, int mark) {
  while (c->ntemps > mark) gan_release(c->temps[--c->ntemps]);
}

/* Tensors that the host still holds keep a pointer to the context: it must release them first. */
void gan_close (gan_ctx *c) {
  if (!c) return;
  gan_profile_stop(c);
  gan_ranks_close(c);
  pop_to(c, 0);
  gan_free(c, c->temps, (size_t)c->temps_size * sizeof *c->temps);
  gan_free(c, c->marks, (size_t)c->marks_size * sizeof *c->marks);
  gan_memory_trim(c);
  free(c);
}

void gan_seed (gan_ctx *c, uint64_t seed) {
  c->rng = (gan_rng){ .seed = seed };
}

/* ---- frames ------------------------------------------------------------------------------- */

/* Doubles an array of the context; keeps the old one on failure. */
static bool grow (gan_ctx *c, void **array, int *size, size_t item) {
  int n = *size ? *size * 2 : 64;
  void *p = gan_malloc(c, (size_t)n * item);
  if (!p) return false;
  if (*size) memcpy(p, *array, (size_t)*size * item);
  gan_free(c, *array, (size_t)*size * item);
  *array = p;
  *size = n;
  return true;
}

gan_tensor *gan_temp (gan_ctx *c, gan_tensor *t) {
  if (!t) return NULL;
  if (t->planned) { /* the plan owns it: the share given here is one too many */
    gan_release(t);
    return t;
  }
  if (c->ntemps == c->temps_size &&
      !grow(c, (void **)&c->temps, &c->temps_size, sizeof *c->temps)) {
    gan_release(t);
    return NULL;
  }
  c->temps[c->ntemps++] = t;
  return t;
}

void gan_frame_open (gan_ctx *c) {
  if (c->unmarked || (c->nmarks == c->marks_size &&
                      !grow(c, (void **)&c->marks, &c->marks_size, sizeof *c->marks)))
    c->unmarked++; /* its temporaries join the frame around it */
  else
    c->marks[c->nmarks++] = c->ntemps;
}

void gan_frame_close (gan_ctx *c) {
  if (c->unmarked) c->unmarked--;
  else if (c->nmarks) pop_to(c, c->marks[--c->nmarks]);
}

/* ---- argument checks ---------------------------------------------------------------------- */

static bool is_tensor_kind (gan_kind k) {
  return k <= GAN_K_ANYOPERAND;
}

static bool check_type (gan_ctx *c, const gan_param *p, const gan_tensor *t) {
  gan_dtype want = p->kind == GAN_K_LABELS ? GAN_INT64 : GAN_REAL;
  if (p->kind == GAN_K_ANY || p->kind == GAN_K_ANYOPERAND || t->dtype == want) return true;
  gan_fail(c, GAN_EARG, "argument '%s' must be %s %s tensor, got %s (convert it with x:to(\"%s\"))",
           p->name, want == GAN_INT64 ? "an" : "a", gan_dtype_name(want), gan_dtype_name(t->dtype),
           gan_dtype_name(want));
  return false;
}

static bool check_list (gan_ctx *c, const gan_param *p, const gan_arg *a) {
  for (int i = 0; i < a->n; i++) {
    if (!a->ts[i]) {
      gan_fail(c, GAN_EARG, "argument '%s' has no tensor at position %d", p->name, i + 1);
      return false;
    }
    if (a->ts[i]->dtype != a->ts[0]->dtype) {
      gan_fail(c, GAN_EARG, "argument '%s' mixes %s and %s tensors", p->name,
               gan_dtype_name(a->ts[0]->dtype), gan_dtype_name(a->ts[i]->dtype));
      return false;
    }
  }
  return true;
}

static bool check_args (gan_ctx *c, const gan_sig *s, const gan_arg *a) {
  for (int k = 0; k < s->nargs; k++) {
    const gan_param *p = &s->p[k];
    bool absent = a[k].n < 0 || (is_tensor_kind(p->kind) && p->kind != GAN_K_TENSORS && !a[k].t);
    if (absent) {
      if (p->optional) continue;
      gan_fail(c, GAN_EARG, "argument '%s' is missing", p->name);
      return false;
    }
    if (p->kind == GAN_K_TENSORS ? !check_list(c, p, &a[k])
                                 : is_tensor_kind(p->kind) && !check_type(c, p, a[k].t))
      return false;
  }
  return true;
}

/* ---- the inputs of a call ----------------------------------------------------------------- */

typedef bool input_fn(gan_ctx *c, gan_tensor *t, const gan_param *p, void *ud);

/* Visits every tensor of the call; stops and returns true as soon as fn does. */
static bool any_input (gan_ctx *c, const gan_sig *s, const gan_arg *a, input_fn *fn, void *ud) {
  for (int k = 0; k < s->nargs; k++) {
    const gan_param *p = &s->p[k];
    if (!is_tensor_kind(p->kind) || a[k].n < 0) continue;
    if (p->kind != GAN_K_TENSORS) {
      if (a[k].t && fn(c, a[k].t, p, ud)) return true;
      continue;
    }
    for (int i = 0; i < a[k].n; i++)
      if (fn(c, a[k].ts[i], p, ud)) return true;
  }
  return false;
}

static bool input_tracked (gan_ctx *c, gan_tensor *t, const gan_param *p, void *ud) {
  (void)c, (void)p, (void)ud;
  return gan_tracked(t);
}

static bool input_is (gan_ctx *c, gan_tensor *t, const gan_param *p, void *ud) {
  (void)c, (void)p;
  return t == ud;
}

/* Changing part of a graph in place would falsify or lose a gradient: refused while recording. */
static bool spoils_graph (gan_ctx *c, gan_tensor *t, const gan_param *p, void *ud) {
  (void)ud;
  if (!gan_tracked(t)) return false;
  if (p->mutated)
    gan_fail(c, GAN_EGRAPH, "'%s' is part of a gradient graph and cannot be changed in place "
             "(use gan.no_grad, x:detach(), or the form without underscore)", p->name);
  else
    gan_fail(c, GAN_EGRAPH, "the gradient of '%s' would be lost in a change in place "
             "(use gan.no_grad, or the form without underscore)", p->name);
  return true;
}

static bool writes_expanded (gan_ctx *c, gan_tensor *t, const gan_param *p, void *ud) {
  (void)ud;
  if (!p->mutated) return false;
  for (int d = 0; d < t->ndim; d++)
    if (t->stride[d] == 0 && t->shape[d] > 1) {
      gan_fail(c, GAN_EARG,
               "'%s' is an expanded view %s: several of its elements are one in memory "
               "(make a copy first with x:contiguous())",
               p->name, gan_shape_of(c, t));
      return true;
    }
  return false;
}

static bool raise_version (gan_ctx *c, gan_tensor *t, const gan_param *p, void *ud) {
  (void)c, (void)ud;
  if (p->mutated) gan_touch(t);
  return false;
}

/* ---- looking for the first NaN ------------------------------------------------------------- */

static bool has_nan (gan_ctx *c, gan_tensor *t, const gan_param *p, void *ud) {
  (void)p, (void)ud;
  if (t->dtype != GAN_REAL || !t->numel) return false;
  t = gan_dense(c, t);
  for (int64_t i = 0; t && i < t->numel; i++)
    if (gan_reals(t)[i] != gan_reals(t)[i]) return true;
  return false;
}

static void check_nan (gan_ctx *c, const gan_op *op, const gan_arg *a, int nout, gan_tensor **out) {
  for (int i = 0; i < nout; i++)
    if (out[i] && has_nan(c, out[i], NULL, NULL) && !any_input(c, op->parsed, a, has_nan, NULL)) {
      gan_fail(c, GAN_EGRAPH,
               "the first NaN was made here, in an output %s from inputs without NaN",
               gan_shape_of(c, out[i]));
      return;
    }
}

/* ---- profiling ---------------------------------------------------------------------------- */

static bool add_bytes (gan_ctx *c, gan_tensor *t, const gan_param *p, void *ud) {
  (void)c, (void)p;
  *(double *)ud += gan_profile_bytes(t);
  return false;
}

static void profiled_forward (gan_ctx *c, const gan_op *op, const gan_arg *a, int nout,
                              gan_tensor **out) {
  gan_profile_mark m = gan_profile_begin(c);
  double bytes = 0;
  op->forward(c, a, out);
  if (m.counted) any_input(c, op->parsed, a, add_bytes, &bytes);
  for (int i = 0; m.counted && i < nout; i++) bytes += gan_profile_bytes(out[i]);
  gan_profile_end(c, &m, op, false, bytes);
}

/* Writes a call down once it has succeeded. */
static void tape_forward (gan_ctx *c, const gan_op *op, const gan_arg *a, int nout,
                          gan_tensor **out) {
  bool whole = c->status == GAN_OK;
  for (int i = 0; i < nout; i++) whole &= out[i] != NULL;
  if (whole) gan_tape_forward(c, op, a, nout, out);
  else gan_tape_cancel(c);
}

/* ---- running an op ------------------------------------------------------------------------ */

int gan_op_nout (gan_ctx *c, gan_op *op, const gan_arg *a) {
  if (op->parsed->nout >= 0) return op->parsed->nout;
  const gan_op *before = c->op;
  if (!before) c->op = op;
  int n = check_args(c, op->parsed, a) ? op->count(c, a) : 0;
  c->op = before;
  return c->status ? 0 : n;
}

/* An output that is an input, or already has a place in a graph, gets a header of its own. */
static bool own_outputs (gan_ctx *c, const gan_op *op, const gan_arg *a, int nout,
                         gan_tensor **out) {
  for (int i = 0; i < nout; i++)
    if (gan_tracked(out[i]) || any_input(c, op->parsed, a, input_is, out[i]))
      if (!(out[i] = gan_detach(c, out[i]))) return false;
  return true;
}

static bool forward (gan_ctx *c, gan_op *op, const gan_arg *a, int nout, gan_tensor **out) {
  const gan_sig *s = op->parsed;
  bool recording = c->recording;
  bool track = recording && op->vjp && !s->mutates && any_input(c, s, a, input_tracked, NULL);
  if (s->mutates && any_input(c, s, a, writes_expanded, NULL)) return false;
  if (s->mutates && recording && !(op->flags & GAN_UPDATE) &&
      any_input(c, s, a, spoils_graph, NULL))
    return false;
  memset(out, 0, (size_t)nout * sizeof *out);
  c->recording = recording && (op->flags & GAN_COMPOSITE);
  c->depth++;
  bool taped = c->tape && !(op->flags & GAN_COMPOSITE) && gan_tape_begin(c);
  if (c->profile) profiled_forward(c, op, a, nout, out);
  else op->forward(c, a, out);
  c->depth--;
  c->recording = recording;
  if (taped) tape_forward(c, op, a, nout, out);
  if (s->mutates) any_input(c, s, a, raise_version, NULL);
  for (int i = 0; i < nout; i++)
    if (!c->status && !out[i])
      gan_fail(c, GAN_EARG, "output %d is missing (internal error)", i + 1);
  if (!c->status && c->anomaly && c->depth == 0) check_nan(c, op, a, nout, out);
  if (c->status) return false;
  if (!track) return true;
  return own_outputs(c, op, a, nout, out) && gan_record(c, op, a, nout, out);
}

/* Once more after the host has freed memory, when that can help and nothing was changed. */
static bool try_again (gan_ctx *c, const gan_op *op) {
  if (c->status != GAN_EMEMORY || c->mem.injected || c->depth || op->parsed->mutates || !c->relieve)
    return false;
  gan_status status = c->status;
  c->status = GAN_OK;
  if (c->relieve(c, c->host)) return true;
  c->status = status;
  return false;
}

int gan_run (gan_ctx *c, gan_op *op, const gan_arg *a, int maxout, gan_tensor **out) {
  if (c->status) return 0;
  int nout = gan_op_nout(c, op, a);
  if (c->status) return 0;
  if (nout > maxout) {
    gan_fail(c, GAN_EARG, "%s has %d outputs, the caller has room for %d", op->name, nout, maxout);
    return 0;
  }
  const gan_op *before = c->op;
  if (!before) c->op = op; /* messages name the op that the user called */
  int mark = c->ntemps;
  bool ok = check_args(c, op->parsed, a);
  if (ok) {
    ok = forward(c, op, a, nout, out);
    if (!ok) {
      pop_to(c, mark);
      if (try_again(c, op)) ok = forward(c, op, a, nout, out);
    }
  }
  c->op = before;
  if (!ok) {
    pop_to(c, mark);
    memset(out, 0, (size_t)nout * sizeof *out);
    return 0;
  }
  for (int i = 0; i < nout; i++) gan_retain(out[i]);
  pop_to(c, mark);
  for (int i = 0; i < nout; i++)
    if (!gan_temp(c, out[i])) { /* the rest is released with the frame, this one is gone */
      while (++i < nout) gan_release(out[i]);
      memset(out, 0, (size_t)nout * sizeof *out);
      return 0;
    }
  return nout;
}

gan_tensor *gan_run1 (gan_ctx *c, gan_op *op, const gan_arg *a) {
  gan_tensor *out[GAN_MAXOUT];
  return gan_run(c, op, a, GAN_MAXOUT, out) ? out[0] : NULL;
}
