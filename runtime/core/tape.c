/*
** tape.c - writes down what a training step does.
**
** Tensors and storages are known by numbers that are never given twice, so the tape holds on to
** nothing that the step makes, and the step takes the same ways as without it.
*/
#include <stdio.h>
#include <string.h>

#include "tape.h"

/* ---- memory: a failure spoils the tape, not the step ---------------------------------------- */

#define BLOCK ((size_t)64 << 10)

typedef struct gan_tape_block {
  struct gan_tape_block *next;
  size_t size, used;
} block;

static void *ask (gan_tape *t, size_t bytes) {
  gan_status before = t->c->status;
  void *p = gan_malloc(t->c, bytes);
  if (p) return p;
  if (before == GAN_OK) gan_clear_error(t->c);
  t->refused = "there is no memory to write the step down";
  return NULL;
}

void *gan_tape_cut (gan_tape *t, int n, size_t item) {
  size_t bytes = ((size_t)(n > 0 ? n : 0) * item + 15) & ~(size_t)15;
  block *b = t->blocks;
  if (!b || b->size - b->used < bytes) {
    size_t head = (sizeof *b + 15) & ~(size_t)15;
    size_t size = head + bytes > BLOCK ? head + bytes : BLOCK;
    if (!(b = ask(t, size))) return NULL;
    *b = (block){ t->blocks, size, head };
    t->blocks = b;
  }
  void *p = (char *)b + b->used;
  b->used += bytes;
  return memset(p, 0, bytes);
}

/* Room for one more item at the end of an array. */
static bool reserve (gan_tape *t, void *array, int n, int *size, size_t item) {
  void **at = array;
  if (n < *size) return true;
  int grown = *size ? 2 * *size : 64;
  void *p = ask(t, (size_t)grown * item);
  if (!p) return false;
  if (n) memcpy(p, *at, (size_t)n * item);
  gan_free(t->c, *at, (size_t)*size * item);
  *at = p;
  *size = grown;
  return true;
}

/* ---- numbers of tensors and storages -> places in the lists --------------------------------- */

typedef struct gan_tape_entry entry; /* place: plus 1; 0: free */

static entry *entry_of (const gan_tape *t, uint64_t id) {
  entry *e = t->map;
  size_t mask = (size_t)t->map_size - 1;
  for (size_t k = (size_t)(id * 0x9E3779B97F4A7C15u >> 20) & mask;; k = (k + 1) & mask)
    if (!e[k].place || e[k].id == id) return &e[k];
}

static int find (const gan_tape *t, uint64_t id) {
  return t->map_size ? entry_of(t, id)->place - 1 : -1;
}

static bool put (gan_tape *t, uint64_t id, int place) {
  if (2 * (t->map_used + 1) > t->map_size) {
    int old = t->map_size, size = old ? 2 * old : 1024;
    entry *was = t->map, *p = ask(t, (size_t)size * sizeof *p);
    if (!p) return false;
    memset(p, 0, (size_t)size * sizeof *p);
    t->map = p;
    t->map_size = size;
    for (int k = 0; k < old; k++)
      if (was[k].place) *entry_of(t, was[k].id) = was[k];
    gan_free(t->c, was, (size_t)old * sizeof *was);
  }
  *entry_of(t, id) = (entry){ id, place + 1 };
  t->map_used++;
  return true;
}

/* ---- storages ------------------------------------------------------------------------------- */

void gan_tape_refuse (gan_ctx *c, const char *fmt, ...) {
  gan_tape *t = c->tape;
  va_list args;
  if (t->refused) return;
  va_start(args, fmt);
  vsnprintf(t->reason, sizeof t->reason, fmt, args);
  va_end(args);
  t->refused = t->reason;
}

static int add_memory (gan_tape *t, gan_storage *s, gan_memory_kind kind, bool known) {
  if (!reserve(t, &t->memory, t->nmemory, &t->memory_size, sizeof *t->memory)) return -1;
  if (known && !put(t, s->id, t->nmemory)) return -1;
  gan_tape_memory *m = &t->memory[t->nmemory];
  *m = (gan_tape_memory){ .id = s->id, .kind = kind, .bytes = s->bytes, .first = t->ninstr };
  if (kind != GAN_MADE) {
    m->st = s;
    s->refs++;
  }
  return t->nmemory++;
}

/* The first and the last byte of x's elements, relative to the first element (strides >= 0). */
static int64_t extent (const gan_tensor *x) {
  int64_t last = 0;
  for (int d = 0; d < x->ndim; d++) last += (x->shape[d] - 1) * x->stride[d];
  return x->numel ? (last + 1) * (int64_t)gan_dtype_size((gan_dtype)x->dtype) : 0;
}

/* Arguments of the step may be parts of one storage: they are told apart by their place in it. */
static int input_at (const gan_tape *t, const gan_storage *s, const char *data) {
  for (int k = 0; k < t->ninputs; k++) {
    const gan_tape_memory *m = &t->memory[k];
    const gan_slot *slot = &t->slots[k];
    const char *from = (const char *)m->st->data + slot->offset;
    if (m->st == s && data >= from && data < from + (m->bytes ? m->bytes : 1)) return k;
  }
  return -1;
}

static int memory_of (gan_tape *t, const gan_tensor *x) {
  int k = input_at(t, x->st, x->data);
  if (k < 0) k = find(t, x->st->id);
  if (k >= 0) return k;
  return add_memory(t, x->st, x->st->id <= t->since ? GAN_OUTSIDE : GAN_STRANGE, true);
}

static void keep_outer (gan_tape *t, gan_tensor *x) {
  if (!reserve(t, &t->outer, t->nouter, &t->outer_size, sizeof *t->outer)) return;
  t->outer[t->nouter++] = (gan_tape_outer){ .t = gan_retain(x) };
}

void gan_tape_memory_made (gan_ctx *c, gan_storage *s) {
  if (c->tape->open) add_memory(c->tape, s, GAN_MADE, true);
}

void gan_tape_constant (gan_ctx *c, gan_tensor *x) {
  if (!c->tape->open && !c->tape->paused && find(c->tape, x->st->id) < 0)
    add_memory(c->tape, x->st, GAN_CONSTANT, true);
}

/* ---- tensors -------------------------------------------------------------------------------- */

static void describe (gan_tape *t, gan_slot *s, const gan_tensor *x) {
  const gan_tape_memory *m = &t->memory[s->memory];
  s->dtype = x->dtype;
  s->ndim = x->ndim;
  s->is_number = x->is_number;
  s->tracked = gan_tracked(x);
  s->numel = x->numel;
  s->offset = x->st->data ? (char *)x->data - (char *)x->st->data : 0;
  if (m->kind == GAN_INPUT && s != &t->slots[m->input]) s->offset -= t->slots[m->input].offset;
  memcpy(s->shape, x->shape, sizeof s->shape);
  memcpy(s->stride, x->stride, sizeof s->stride);
}

static int add_slot (gan_tape *t, gan_tensor *x) {
  int m = memory_of(t, x);
  if (m < 0 || !reserve(t, &t->slots, t->nslots, &t->slots_size, sizeof *t->slots) ||
      !put(t, x->id, t->nslots))
    return -1;
  gan_slot *s = &t->slots[t->nslots];
  memset(s, 0, sizeof *s);
  s->id = x->id;
  s->memory = m;
  return t->nslots++;
}

static int slot_of (gan_tape *t, gan_tensor *x) {
  if (!x || t->refused) return -1;
  int k = find(t, x->id);
  if (k >= 0) return k;
  k = add_slot(t, x);
  if (k < 0) return -1;
  describe(t, &t->slots[k], x);
  if (x->id > t->since) return k;
  gan_memory_kind kind = t->memory[t->slots[k].memory].kind;
  if (kind == GAN_INPUT)
    gan_tape_refuse(t->c, "the step uses the memory of argument %d under another name as well",
                    t->memory[t->slots[k].memory].input + 1);
  if (kind == GAN_OUTSIDE) keep_outer(t, x);
  return k;
}

/* Its shape is not known yet: it is described when it dies or when the instruction ends. */
void gan_tape_tensor_made (gan_ctx *c, gan_tensor *x) {
  gan_tape *t = c->tape;
  if (!t->open || t->refused ||
      !reserve(t, &t->fresh, t->nfresh, &t->fresh_size, sizeof *t->fresh) ||
      !reserve(t, &t->fresh_slot, t->nfresh, &t->fresh_slot_size, sizeof *t->fresh_slot))
    return;
  int k = add_slot(t, x);
  if (k < 0) return;
  t->fresh[t->nfresh] = x;
  t->fresh_slot[t->nfresh++] = k;
}

void gan_tape_tensor_dies (gan_ctx *c, gan_tensor *x) {
  gan_tape *t = c->tape;
  for (int k = t->nfresh - 1; t->open && k >= 0; k--)
    if (t->fresh[k] == x) {
      describe(t, &t->slots[t->fresh_slot[k]], x);
      t->fresh[k] = NULL;
      return;
    }
}

/* ---- instructions --------------------------------------------------------------------------- */

bool gan_tape_begin (gan_ctx *c) {
  gan_tape *t = c->tape;
  if (t->open || t->done || t->paused) return false;
  t->nfresh = t->loops = 0;
  return t->open = true;
}

void gan_tape_cancel (gan_ctx *c) {
  c->tape->open = false;
}

static void use (gan_tape *t, int slot) {
  if (slot >= 0) t->memory[t->slots[slot].memory].last = t->ninstr;
}

/* A tensor that the open instruction reads or changes. */
static int read_tensor (gan_tape *t, gan_tensor *x, const char *op, const char *name,
                        bool changed) {
  int k = slot_of(t, x);
  if (k < 0) return -1;
  const gan_tape_memory *m = &t->memory[t->slots[k].memory];
  if (m->kind == GAN_STRANGE)
    gan_tape_refuse(t->c, "'%s' of %s is not made by an operation but from data (a batch, "
                    "gan.tensor): make it outside the step and pass it as an argument", name, op);
  else if (m->kind == GAN_INPUT && changed)
    gan_tape_refuse(t->c, "%s changes argument %d of the step in place", op, m->input + 1);
  else if (m->kind == GAN_CONSTANT && changed)
    gan_tape_refuse(t->c, "%s changes a number that the step makes in place", op);
  use(t, k);
  return k;
}

static bool is_int_list (gan_kind k) {
  return k == GAN_K_DIMS || k == GAN_K_INTS || k == GAN_K_SHAPE;
}

/* One argument; `saved`: of a node, where tensors that are not saved are missing. */
static gan_arg write_arg (gan_tape *t, const gan_op *op, int k, const gan_arg *a) {
  const gan_param *p = &op->parsed->p[k];
  gan_arg to = *a;
  if (p->kind == GAN_K_TENSORS) {
    int64_t *list = gan_tape_cut(t, a->n, sizeof *list);
    for (int i = 0; list && a->ts && i < a->n; i++)
      list[i] = read_tensor(t, a->ts[i], op->name, p->name, p->mutated);
    to.v = a->ts ? list : NULL;
  }
  else if (p->kind <= GAN_K_ANYOPERAND)
    to.i = a->n < 0 ? -1 : read_tensor(t, a->t, op->name, p->name, p->mutated);
  else if (is_int_list(p->kind) && a->n > 0) {
    int64_t *list = gan_tape_cut(t, a->n, sizeof *list);
    if (list) memcpy(list, a->v, (size_t)a->n * sizeof *list);
    to.v = list;
  }
  else if (p->kind == GAN_K_TEXT && a->n > 0) {
    char *text = gan_tape_cut(t, (int)strlen(a->s) + 1, 1);
    if (text) strcpy(text, a->s);
    to.s = text;
  }
  return to;
}

static gan_arg *write_args (gan_tape *t, const gan_op *op, const gan_arg *a) {
  gan_arg *to = gan_tape_cut(t, op->parsed->nargs, sizeof *to);
  for (int k = 0; to && k < op->parsed->nargs; k++) to[k] = write_arg(t, op, k, &a[k]);
  return to;
}

/* One elementwise loop into a tensor of its own, and nothing else: only the pointwise family is
   known to do nothing beside its loop. It may look at a single number (an exponent) at once. */
static bool is_flat (const gan_tape *t, const gan_instr *x) {
  int made = 0;
  for (int k = 0; k < x->nmade; k++) {
    const gan_tape_memory *m = &t->memory[t->slots[x->made[k]].memory];
    made += m->kind == GAN_MADE && m->first == t->ninstr;
  }
  return t->loops == 1 && t->flat > 1 && made == 1 && !x->op->parsed->mutates &&
         !strcmp(gan_op_family(x->op), "pointwise");
}

/* Describes what was made and appends the instruction. */
static void close_instruction (gan_tape *t, gan_instr x) {
  t->open = false;
  x.nmade = t->nfresh;
  x.made = gan_tape_cut(t, t->nfresh, sizeof *x.made);
  for (int k = 0; k < t->nfresh && !t->refused; k++) {
    if (t->fresh[k]) describe(t, &t->slots[t->fresh_slot[k]], t->fresh[k]);
    x.made[k] = t->fresh_slot[k];
    use(t, x.made[k]);
  }
  t->nfresh = 0;
  x.flat = x.op && is_flat(t, &x) ? t->flat : 0;
  if (t->refused || !reserve(t, &t->instr, t->ninstr, &t->instr_size, sizeof x)) return;
  t->instr[t->ninstr++] = x;
}

/* What was made must be described before outputs are looked at: they are among it. */
static void describe_made (gan_tape *t) {
  for (int k = 0; k < t->nfresh && !t->refused; k++)
    if (t->fresh[k]) describe(t, &t->slots[t->fresh_slot[k]], t->fresh[k]);
}

void gan_tape_forward (gan_ctx *c, const gan_op *op, const gan_arg *a, int nout,
                       gan_tensor **out) {
  gan_tape *t = c->tape;
  gan_instr x = { .kind = GAN_DO_FORWARD, .op = op, .nargs = op->parsed->nargs, .nout = nout };
  describe_made(t);
  x.a = write_args(t, op, a);
  x.out = gan_tape_cut(t, nout, sizeof *x.out);
  for (int k = 0; x.out && k < nout; k++)
    x.out[k] = read_tensor(t, out[k], op->name, "result", false);
  close_instruction(t, x);
}

void gan_tape_backward (gan_ctx *c, const gan_node *n, bool fused, gan_tensor **gx) {
  gan_tape *t = c->tape;
  gan_instr x = { .kind = GAN_DO_BACKWARD, .op = n->op, .fused = fused, .nargs = n->nargs,
                  .nout = n->nout, .nin = n->nin };
  describe_made(t);
  x.a = write_args(t, n->op, n->a);
  x.out = gan_tape_cut(t, 2 * n->nout, sizeof *x.out);
  x.in = gan_tape_cut(t, n->nin, sizeof *x.in);
  x.edges = gan_tape_cut(t, n->nin + n->nout, sizeof *x.edges);
  if (x.a && x.out && x.in && x.edges) {
    for (int k = 0; k < n->nout; k++) {
      x.out[k] = read_tensor(t, n->saved[k], n->op->name, "a saved result", false);
      x.out[n->nout + k] = read_tensor(t, n->gy[k], n->op->name, "a gradient", false);
      x.edges[n->nin + k] = n->out[k];
    }
    for (int i = 0; i < n->nin; i++) {
      bool wanted = gan_wants(n, i);
      x.edges[i] = n->in[i];
      x.edges[i].leaf = NULL;
      x.edges[i].node = wanted ? (gan_node *)(uintptr_t)n : NULL;
      x.in[i] = wanted ? read_tensor(t, gx[i], n->op->name, "a gradient", false) : -1;
    }
  }
  close_instruction(t, x);
}

void gan_tape_copy (gan_ctx *c, gan_tensor *dst, gan_tensor *src) {
  gan_tape *t = c->tape;
  gan_instr x = { .kind = GAN_DO_COPY, .nin = 1, .nout = 1 };
  describe_made(t);
  x.in = gan_tape_cut(t, 1, sizeof *x.in);
  x.out = gan_tape_cut(t, 1, sizeof *x.out);
  if (x.in) x.in[0] = read_tensor(t, src, "backward", "a gradient", false);
  if (x.out) x.out[0] = read_tensor(t, dst, "backward", "a gradient", true);
  close_instruction(t, x);
}

/* ---- what the step leaves behind ------------------------------------------------------------ */

void gan_tape_adds (gan_ctx *c, const gan_tensor *grad) {
  int m = find(c->tape, grad->st->id);
  if (m < 0 || c->tape->memory[m].kind != GAN_MADE)
    gan_tape_refuse(c, "backward adds to gradients of an earlier call (begin with zero_grad)");
}

static gan_tape_leaf *leaf_entry (gan_tape *t, gan_tensor *leaf) {
  for (int k = 0; k < t->nleaves; k++)
    if (t->leaves[k].leaf == leaf) return &t->leaves[k];
  if (!reserve(t, &t->leaves, t->nleaves, &t->leaves_size, sizeof *t->leaves)) return NULL;
  gan_tape_leaf *l = &t->leaves[t->nleaves++];
  *l = (gan_tape_leaf){ .leaf = gan_retain(leaf), .grad = -1, .dropped = !leaf->grad };
  return l;
}

/* Leaves that the step itself has made are forgotten with it. */
void gan_tape_grad_set (gan_ctx *c, gan_tensor *leaf) {
  gan_tape *t = c->tape;
  if (t->refused || leaf->id > t->since) return;
  if (t->paused) gan_tape_refuse(c, "the step of an optimiser changes which gradients there are");
  int k = leaf->grad ? slot_of(t, leaf->grad) : -1;
  if (k >= 0 && t->memory[t->slots[k].memory].kind != GAN_MADE)
    gan_tape_refuse(c, "it gives a parameter a gradient that is not made in the step");
  if (input_at(t, leaf->st, leaf->data) >= 0)
    gan_tape_refuse(c, "an argument of the step collects a gradient (x:require_grad() makes a leaf "
                    "that shares its memory)");
  gan_tape_leaf *l = leaf_entry(t, leaf);
  gan_instr x = { .kind = GAN_DO_GRAD, .nout = 1 };
  if (!l || !(x.out = gan_tape_cut(t, 1, sizeof *x.out))) return;
  use(t, l->grad); /* it had that one until now */
  use(t, k);
  x.leaf = (int)(l - t->leaves);
  x.out[0] = l->grad = k;
  t->nfresh = t->loops = 0;
  close_instruction(t, x);
}

void gan_tape_looked_at (gan_ctx *c, const gan_tensor *x, const char *how) {
  const gan_tape *t = c->tape;
  if (t->paused) return;
  int k = find(t, x->st->id);
  bool made_of_data = k < 0 ? x->st->id > t->since
                            : t->memory[k].kind == GAN_CONSTANT || t->memory[k].kind == GAN_STRANGE;
  if (!made_of_data)
    gan_tape_refuse(c, "%s looks at a value in the middle of the step (return the tensor instead)",
                    how);
}

void gan_tape_written (gan_ctx *c, const gan_tensor *x, const char *how) {
  if (!c->tape->paused && (x->st->id <= c->tape->since || find(c->tape, x->st->id) >= 0))
    gan_tape_refuse(c, "%s writes a value in the middle of the step", how);
}

/* ---- beginning and end ---------------------------------------------------------------------- */

static bool add_input (gan_tape *t, int k, gan_tensor *x) {
  int m = input_at(t, x->st, x->data);
  if (m >= 0) { /* their slots are not told apart */
    gan_tape_refuse(t->c, "arguments %d and %d of the step share memory", m + 1, k + 1);
    return true;
  }
  if (gan_tracked(x)) gan_tape_refuse(t->c, "argument %d of the step requires a gradient", k + 1);
  if ((m = add_memory(t, x->st, GAN_INPUT, false)) < 0) return false;
  t->memory[m].input = k;
  t->memory[m].bytes = (size_t)extent(x);
  if (!reserve(t, &t->slots, t->nslots, &t->slots_size, sizeof *t->slots) ||
      !put(t, x->id, t->nslots))
    return false;
  gan_slot *s = &t->slots[t->nslots++];
  *s = (gan_slot){ .id = x->id, .memory = m };
  describe(t, s, x);
  t->ninputs++;
  return true;
}

gan_tape *gan_tape_start (gan_ctx *c, int ninputs, gan_tensor **inputs) {
  if (c->status) return NULL;
  if (c->tape || c->plan)
    return gan_fail(c, GAN_EARG, "a step that is compiled cannot call another one");
  gan_tape *t = gan_malloc(c, sizeof *t);
  if (!t) return NULL;
  memset(t, 0, sizeof *t);
  t->c = c;
  t->since = c->ids;
  t->threads = gan_threads();
  t->composed = c->composed;
  c->tape = t;
  for (int k = 0; k < ninputs; k++)
    if (!add_input(t, k, inputs[k])) break;
  return t;
}

bool gan_tape_stop (gan_tape *t, int nresults, gan_tensor **results, int *slots) {
  gan_ctx *c = t->c;
  for (int k = 0; k < nresults; k++) {
    slots[k] = slot_of(t, results[k]);
    if (slots[k] >= 0 && t->memory[t->slots[slots[k]].memory].kind == GAN_STRANGE)
      gan_tape_refuse(c, "result %d of the step is made from data, not by operations", k + 1);
    if (slots[k] >= 0) t->memory[t->slots[slots[k]].memory].lasting = true;
  }
  for (int k = 0; k < t->nleaves && !t->refused; k++)
    if (t->leaves[k].grad >= 0) t->memory[t->slots[t->leaves[k].grad].memory].apart = true;
  for (int k = 0; k < t->nouter; k++) t->outer[k].requires_grad = t->outer[k].t->requires_grad;
  t->done = true;
  t->open = false;
  if (c->tape == t) c->tape = NULL;
  return !t->refused;
}

const char *gan_tape_refusal (const gan_tape *t) {
  return t->refused ? t->refused : "";
}

void gan_tape_free (gan_tape *t) {
  if (!t) return;
  gan_ctx *c = t->c;
  if (c->tape == t) c->tape = NULL;
  for (int k = 0; k < t->nmemory; k++) gan_storage_release(c, t->memory[k].st);
  for (int k = 0; k < t->nleaves; k++) gan_release(t->leaves[k].leaf);
  for (int k = 0; k < t->nouter; k++) gan_release(t->outer[k].t);
  while (t->blocks) {
    block *b = t->blocks;
    t->blocks = b->next;
    gan_free(c, b, b->size);
  }
  gan_free(c, t->instr, (size_t)t->instr_size * sizeof *t->instr);
  gan_free(c, t->slots, (size_t)t->slots_size * sizeof *t->slots);
  gan_free(c, t->memory, (size_t)t->memory_size * sizeof *t->memory);
  gan_free(c, t->leaves, (size_t)t->leaves_size * sizeof *t->leaves);
  gan_free(c, t->outer, (size_t)t->outer_size * sizeof *t->outer);
  gan_free(c, t->map, (size_t)t->map_size * sizeof(entry));
  gan_free(c, t->fresh, (size_t)t->fresh_size * sizeof *t->fresh);
  gan_free(c, t->fresh_slot, (size_t)t->fresh_slot_size * sizeof *t->fresh_slot);
  gan_free(c, t, sizeof *t);
}

/* ---- two recordings of one step ------------------------------------------------------------- */

static bool differs (gan_tape *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool differs (gan_tape *t, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  vsnprintf(t->reason, sizeof t->reason, fmt, args);
  va_end(args);
  t->refused = t->reason;
  return false;
}

static bool same_memory (const gan_tape_memory *a, const gan_tape_memory *b) {
  if (a->kind != b->kind || a->bytes != b->bytes || a->first != b->first || a->last != b->last ||
      a->input != b->input || a->lasting != b->lasting || a->apart != b->apart)
    return false;
  if (a->kind == GAN_OUTSIDE) return a->st == b->st;
  return a->kind != GAN_CONSTANT || !a->bytes || !memcmp(a->st->data, b->st->data, a->bytes);
}

static bool same_slot (const gan_tape *a, const gan_tape *b, int k) {
  const gan_slot *x = &a->slots[k], *y = &b->slots[k];
  size_t n = x->ndim * sizeof *x->shape;
  return x->memory == y->memory && x->dtype == y->dtype && x->ndim == y->ndim &&
         x->is_number == y->is_number && x->tracked == y->tracked &&
         (x->offset == y->offset || k < a->ninputs) && !memcmp(x->shape, y->shape, n) &&
         !memcmp(x->stride, y->stride, n);
}

static bool same_arg (const gan_param *p, const gan_arg *x, const gan_arg *y) {
  if (x->n != y->n) return false;
  if (x->n < 0) return true;
  if (p->kind == GAN_K_TENSORS || is_int_list(p->kind))
    return !x->v == !y->v && (!x->v || !memcmp(x->v, y->v, (size_t)x->n * sizeof *x->v));
  if (p->kind == GAN_K_TEXT) return !strcmp(x->s, y->s);
  return !memcmp(&x->i, &y->i, sizeof x->i);
}

static const char *name_of (const gan_instr *x) {
  return x->op ? x->op->name : x->kind == GAN_DO_COPY ? "a copy" : "a change of gradients";
}

static bool same_instruction (const gan_tape *a, gan_tape *b, int k) {
  const gan_instr *x = &a->instr[k], *y = &b->instr[k];
  const char *name = name_of(x);
  if (x->op != y->op || x->kind != y->kind || x->fused != y->fused)
    return differs(b, "it did %s in one call where it did %s in the next", name,
                   name_of(y));
  if (x->nout != y->nout || x->nin != y->nin || x->nmade != y->nmade || x->leaf != y->leaf)
    return differs(b, "%s went another way in the next call", name);
  for (int i = 0; i < x->nargs; i++) {
    const gan_param *p = &x->op->parsed->p[i];
    if (same_arg(p, &x->a[i], &y->a[i])) continue;
    if (p->kind == GAN_K_NUMBER)
      return differs(b, "the number '%s' of %s changed from call to call: %g, then %g", p->name,
                     name, x->a[i].num, y->a[i].num);
    return differs(b, "'%s' of %s changed from call to call", p->name, name);
  }
  int outs = x->kind == GAN_DO_BACKWARD ? 2 * x->nout : x->nout;
  if (memcmp(x->out, y->out, (size_t)outs * sizeof *x->out) ||
      (x->nin && memcmp(x->in, y->in, (size_t)x->nin * sizeof *x->in)) ||
      (x->nmade && memcmp(x->made, y->made, (size_t)x->nmade * sizeof *x->made)))
    return differs(b, "the tensors of %s were others in the next call", name);
  return true;
}

bool gan_tape_same (const gan_tape *a, gan_tape *b) {
  int n = a->ninstr < b->ninstr ? a->ninstr : b->ninstr;
  if (a->refused || b->refused) return false;
  for (int k = 0; k < n; k++)
    if (!same_instruction(a, b, k)) return false;
  if (a->ninstr != b->ninstr)
    return differs(b, "it did %d operations in one call and %d in the next", a->ninstr, b->ninstr);
  if (a->nslots != b->nslots || a->nmemory != b->nmemory || a->nleaves != b->nleaves)
    return differs(b, "it left other tensors behind in the next call");
  for (int k = 0; k < a->nslots; k++)
    if (!same_slot(a, b, k))
      return differs(b, "a tensor %s was another in the next call",
                     gan_shape_text(b->c, b->slots[k].ndim, b->slots[k].shape));
  for (int k = 0; k < a->nmemory; k++)
    if (!same_memory(&a->memory[k], &b->memory[k]))
      return differs(b, "it uses a %s that changes from call to call",
                     a->memory[k].kind == GAN_CONSTANT ? "number" : "tensor of an earlier call");
  for (int k = 0; k < a->nleaves; k++)
    if (a->leaves[k].leaf != b->leaves[k].leaf || a->leaves[k].grad != b->leaves[k].grad ||
        a->leaves[k].dropped != b->leaves[k].dropped)
      return differs(b, "other parameters got gradients in the next call");
  return a->threads == b->threads || differs(b, "the number of threads changed");
}
