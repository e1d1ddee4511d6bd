/*
** graph.c - nodes of the gradient graph: recording, saved tensors, release.
**
** A node keeps what its gradient reads and nothing else: the inputs and outputs that the record's
** `save` names, the other arguments, and the shapes of all inputs. Saved outputs are kept as bare
** views, because a tensor points to its producer and a cycle would never be freed.
*/
#include <string.h>

#include "graph.h"
#include "op.h"

/* ---- layout of a node: one block of memory ------------------------------------------------- */

typedef struct {
  int nin, nout, nargs, nver; /* nver: saved tensors, whose versions are remembered */
  int64_t nints, nlist;       /* integers and tensor pointers in list arguments */
  size_t text;                /* bytes of text arguments */
} node_size;

static bool is_int_list (gan_kind k) {
  return k == GAN_K_DIMS || k == GAN_K_INTS || k == GAN_K_SHAPE;
}

/* True when the tensor of parameter k is kept: its reader may be the gradient of another parameter
   that nobody will ask for. */
static bool keeps (const gan_sig *s, const gan_arg *a, int k) {
  const gan_param *p = &s->p[k];
  if (!p->saved || a[k].n < 0 || !a[k].t) return false;
  if (p->saved_for < 0) return true;
  const gan_arg *reader = &a[p->saved_for];
  return reader->n >= 0 && reader->t && gan_tracked(reader->t);
}

static node_size measure (const gan_sig *s, const gan_arg *a, int nout) {
  node_size z = { .nout = nout, .nargs = s->nargs };
  for (int k = 0; k < s->nargs; k++) {
    gan_kind kind = s->p[k].kind;
    if (kind == GAN_K_TENSORS) {
      z.nin += a[k].n > 0 ? a[k].n : 0;
      if (s->p[k].saved) z.nlist += a[k].n, z.nver += a[k].n;
    }
    else if (kind <= GAN_K_ANYOPERAND) {
      z.nin++;
      z.nver += keeps(s, a, k);
    }
    else if (is_int_list(kind) && a[k].n > 0) z.nints += a[k].n;
    else if (kind == GAN_K_TEXT && a[k].n > 0) z.text += strlen(a[k].s) + 1;
  }
  for (int k = 0; k < nout; k++) z.nver += s->nout >= 0 && s->out_saved[k];
  return z;
}

/* Cuts the next n items off a block. */
static void *cut (char **p, size_t n, size_t item) {
  void *r = *p;
  *p += n * item;
  return r;
}

static gan_node *node_new (gan_ctx *c, const node_size *z) {
  size_t nout = (size_t)z->nout, nin = (size_t)z->nin, nargs = (size_t)z->nargs;
  size_t bytes = sizeof(gan_node) + (nin + nout) * sizeof(gan_edge) + nargs * sizeof(gan_arg) +
                 (3 * nout + (size_t)z->nlist) * sizeof(void *) +
                 (size_t)z->nver * sizeof(uint64_t) + (size_t)z->nints * sizeof(int64_t) +
                 nout * sizeof(bool) + z->text;
  gan_node *n = gan_malloc(c, bytes);
  if (!n) return NULL;
  memset(n, 0, bytes);
  char *p = (char *)(n + 1);
  n->in = cut(&p, nin, sizeof(gan_edge));
  n->out = cut(&p, nout, sizeof(gan_edge));
  n->a = cut(&p, nargs, sizeof(gan_arg));
  n->saved = cut(&p, nout, sizeof(void *));
  n->gy = cut(&p, nout, sizeof(void *));
  n->kept = cut(&p, nout, sizeof(void *));
  n->versions = cut(&p, (size_t)z->nver, sizeof(uint64_t));
  n->tail = p; /* integers, tensor lists, keep flags and text follow in this order */
  n->keep = (bool *)(p + ((size_t)z->nints + (size_t)z->nlist) * 8);
  n->refs = 1;
  n->c = c;
  n->bytes = bytes;
  n->nin = z->nin;
  n->nout = z->nout;
  n->nargs = z->nargs;
  n->seq = ++c->seq;
  c->mem.nodes++;
  return n;
}

/* ---- recording ---------------------------------------------------------------------------- */

static void set_edge (gan_edge *e, gan_tensor *t) {
  if (!t) return;
  e->dtype = t->dtype;
  e->ndim = t->ndim;
  memcpy(e->shape, t->shape, t->ndim * sizeof *t->shape);
  if (t->node) {
    e->node = t->node;
    e->node->refs++;
    e->out_index = t->out_index;
  }
  else if (t->requires_grad)
    e->leaf = gan_retain(t);
}

static gan_tensor *remember (gan_node *n, int *v, gan_tensor *t) {
  n->versions[(*v)++] = t->st->version;
  return gan_retain(t);
}

/* Copies the call's arguments into the node; tensors only where they are saved. */
static void keep_args (gan_node *n, const gan_sig *s, const gan_arg *a, int *v) {
  int edge = 0;
  char *p = n->tail;
  for (int k = 0; k < s->nargs; k++) { /* integer lists and saved tensor lists first: aligned */
    gan_kind kind = s->p[k].kind;
    n->a[k] = a[k];
    if (kind == GAN_K_TENSORS) {
      gan_tensor **list = s->p[k].saved ? cut(&p, (size_t)a[k].n, sizeof *list) : NULL;
      for (int i = 0; i < a[k].n; i++) {
        set_edge(&n->in[edge++], a[k].ts[i]);
        if (list) list[i] = remember(n, v, a[k].ts[i]);
      }
      n->a[k].ts = list;
    }
    else if (kind <= GAN_K_ANYOPERAND) {
      gan_tensor *t = a[k].n < 0 ? NULL : a[k].t;
      set_edge(&n->in[edge++], t);
      n->a[k].t = keeps(s, a, k) ? remember(n, v, t) : NULL;
    }
    else if (is_int_list(kind) && a[k].n > 0) {
      int64_t *list = cut(&p, (size_t)a[k].n, sizeof *list);
      memcpy(list, a[k].v, (size_t)a[k].n * sizeof *list);
      n->a[k].v = list;
    }
  }
  char *text = (char *)(n->keep + n->nout);
  for (int k = 0; k < s->nargs; k++)
    if (s->p[k].kind == GAN_K_TEXT && a[k].n > 0) {
      n->a[k].s = strcpy(text, a[k].s);
      text += strlen(text) + 1;
    }
}

static void connect (gan_node *n, int k, gan_tensor *out) {
  out->node = n;
  out->out_index = k;
  out->requires_grad = false;
  n->refs++;
}

bool gan_record (gan_ctx *c, const gan_op *op, const gan_arg *a, int nout, gan_tensor **out) {
  const gan_sig *s = op->parsed;
  node_size z = measure(s, a, nout);
  gan_node *n = node_new(c, &z);
  if (!n) return false;
  n->op = op;
  int v = 0;
  keep_args(n, s, a, &v);
  for (int k = 0; k < nout; k++) {
    set_edge(&n->out[k], out[k]);
    if (s->nout >= 0 && s->out_saved[k]) {
      gan_tensor *bare = gan_detach(c, out[k]);
      if (!bare) {
        gan_node_release(n);
        return false;
      }
      n->saved[k] = remember(n, &v, bare);
    }
  }
  for (int k = 0; k < nout; k++)
    if (out[k]->dtype == GAN_REAL && !(s->nout >= 0 && s->out_nograd[k])) connect(n, k, out[k]);
  gan_node_release(n); /* the outputs hold it now */
  return true;
}

bool gan_record_custom (gan_ctx *c, const gan_custom *f, void *ud, int nin, gan_tensor **in,
                        int nout, gan_tensor **out) {
  node_size z = { .nin = nin, .nout = nout };
  gan_node *n = c->status ? NULL : node_new(c, &z);
  if (!n) {
    f->release(c, ud);
    return false;
  }
  n->custom = f;
  n->ud = ud;
  for (int i = 0; i < nin; i++) set_edge(&n->in[i], in[i]);
  for (int k = 0; k < nout; k++) {
    set_edge(&n->out[k], out[k]);
    if (out[k]->dtype == GAN_REAL) connect(n, k, out[k]);
  }
  gan_node_release(n);
  return true;
}

/* ---- saved tensors ------------------------------------------------------------------------- */

gan_tensor *gan_saved_out (gan_ctx *c, const gan_node *n, int k) {
  if (!c->recording || c->status) return n->saved[k];
  gan_tensor *t = gan_detach(c, n->saved[k]);
  if (t) connect((gan_node *)n, k, t); /* counts a reference; the node is otherwise unchanged */
  return t;
}

static bool unchanged (gan_ctx *c, const gan_node *n, const gan_tensor *t, int *v,
                       const char *what) {
  if (t->st->version == n->versions[(*v)++]) return true;
  gan_fail(c, GAN_EGRAPH,
           "'%s', needed for the gradient of %s, was changed in place after it was used", what,
           n->op->name);
  return false;
}

bool gan_node_check (gan_ctx *c, const gan_node *n) {
  if (n->spent) {
    gan_fail(c, GAN_EGRAPH,
             "this graph was already used by a backward pass, which freed what %s had "
             "saved (pass retain_graph=true to the first one)",
             n->op ? n->op->name : n->custom->name);
    return false;
  }
  if (!n->op) return true;
  const gan_sig *s = n->op->parsed;
  int v = 0;
  for (int k = 0; k < n->nargs; k++) {
    if (!s->p[k].saved || n->a[k].n < 0) continue;
    if (s->p[k].kind == GAN_K_TENSORS) {
      for (int i = 0; i < n->a[k].n; i++)
        if (!unchanged(c, n, n->a[k].ts[i], &v, s->p[k].name)) return false;
    }
    else if (s->p[k].kind <= GAN_K_ANYOPERAND && n->a[k].t &&
             !unchanged(c, n, n->a[k].t, &v, s->p[k].name))
      return false;
  }
  for (int k = 0; k < n->nout; k++)
    if (n->saved[k] && !unchanged(c, n, n->saved[k], &v, s->out[k])) return false;
  return true;
}

void gan_node_spend (gan_node *n) {
  n->spent = true;
  for (int k = 0; k < n->nargs; k++) {
    const gan_param *p = &n->op->parsed->p[k];
    if (!p->saved || n->a[k].n < 0) continue;
    if (p->kind == GAN_K_TENSORS)
      for (int i = 0; i < n->a[k].n; i++) gan_release(n->a[k].ts[i]);
    else if (p->kind <= GAN_K_ANYOPERAND) gan_release(n->a[k].t);
    n->a[k].n = -1;
  }
  for (int k = 0; k < n->nout; k++) {
    gan_release(n->saved[k]);
    n->saved[k] = NULL;
  }
  if (n->custom) {
    n->custom->release(n->c, n->ud);
    n->ud = NULL;
  }
}

/* ---- release ------------------------------------------------------------------------------- */

static void bury (gan_ctx *c, gan_node *n) {
  if (!n->spent) gan_node_spend(n);
  for (int i = 0; i < n->nin; i++) {
    gan_release(n->in[i].leaf);
    if (n->in[i].node) gan_node_release(n->in[i].node);
  }
  for (int k = 0; k < n->nout; k++) {
    gan_release(n->gy[k]);
    gan_release(n->kept[k]);
  }
  c->mem.nodes--;
  gan_free(c, n, n->bytes);
}

/* Freeing a node may free the nodes before it; they queue up instead of recursing, so that a chain
   of any length can be released. */
void gan_node_release (gan_node *n) {
  if (--n->refs > 0) return;
  gan_ctx *c = n->c;
  n->next = c->dying;
  c->dying = n;
  if (c->burying) return;
  c->burying = true;
  while ((n = c->dying)) {
    c->dying = n->next;
    bury(c, n);
  }
  c->burying = false;
}
