/*
** einsum_plain.c - the products behind einsum: every letter once in an operand, with one size.
**
** Two operands become one batched matrix product by permuting and reshaping; more are folded from
** left to right, keeping the letters that are still needed. The gradient for an operand is again an
** einsum, of the result's gradient and the other operands.
*/
#include <stdio.h>
#include <string.h>

#include "einsum.h"

static bool has (const letters *l, char ch) {
  return memchr(l->s, ch, (size_t)l->n) != NULL;
}

/* Equations come from einsum.c and from gradients: they are well formed. */
static void read_plain (const char *eq, equation *e) {
  memset(e, 0, sizeof *e);
  letters *l = &e->in[e->n++];
  for (const char *p = eq; *p; p++) {
    if (*p == '-') {
      l = &e->out;
      p++;
    }
    else if (*p == ',') l = &e->in[e->n++];
    else l->s[l->n++] = *p;
  }
}

/* ---- contraction -------------------------------------------------------------------------- */

/* Sums away the letters of *l that `keep` does not name, and takes them out of *l. */
static gan_tensor *sum_others (gan_ctx *c, gan_tensor *x, letters *l, const bool *keep) {
  int64_t dims[GAN_MAXDIM];
  letters left = { .n = 0 };
  int n = 0;
  for (int d = 0; d < l->n; d++) {
    if (keep[(int)l->s[d]]) left.s[left.n++] = l->s[d];
    else dims[n++] = d;
  }
  *l = left;
  return n ? gan_sum(c, x, n, dims, false) : x;
}

/* x with its dimensions in the order of `to`, which has the same letters. */
static gan_tensor *reorder (gan_ctx *c, gan_tensor *x, const letters *from, const letters *to) {
  int64_t dims[GAN_MAXDIM];
  bool same = true;
  for (int d = 0; d < to->n; d++) {
    const char *at = memchr(from->s, to->s[d], (size_t)from->n);
    dims[d] = at - from->s;
    same &= dims[d] == d;
  }
  return same ? x : gan_permute(c, x, to->n, dims);
}

/* Appends the letters of `from` that `other` has (or has not) and, unless want < 0, that are kept
   (want 1) or summed away (want 0). */
static void append (letters *l, const letters *from, const letters *other, bool in_other,
                    const bool *keep, int want) {
  for (int d = 0; d < from->n; d++) {
    char ch = from->s[d];
    if (has(other, ch) == in_other && (want < 0 || keep[(int)ch] == want)) l->s[l->n++] = ch;
  }
}

/* Product of x's sizes from .. to-1, which are also written to `shape` (NULL: not). */
static int64_t span (const gan_tensor *x, int from, int to, int64_t *shape) {
  int64_t n = 1;
  for (int d = from; d < to; d++) {
    if (shape) *shape++ = x->shape[d];
    n *= x->shape[d];
  }
  return n;
}

/* One product of two operands: batch letters (in both, kept), free ones, summed ones (in both). */
static gan_tensor *contract (gan_ctx *c, gan_tensor *a, letters *la, gan_tensor *b, letters *lb,
                             const bool *keep, letters *result) {
  bool wanted_a[ANYWHERE], wanted_b[ANYWHERE];
  for (int ch = 0; ch < ANYWHERE; ch++) {
    wanted_a[ch] = keep[ch] || has(lb, (char)ch);
    wanted_b[ch] = keep[ch] || has(la, (char)ch);
  }
  a = sum_others(c, a, la, wanted_a);
  b = sum_others(c, b, lb, wanted_b);
  letters pa = { .n = 0 }, pb = { .n = 0 };
  append(&pa, la, lb, true, keep, 1);
  int batch = pa.n;
  pb = pa;
  *result = pa;
  append(&pa, la, lb, false, keep, -1);
  append(result, la, lb, false, keep, -1);
  int free_a = pa.n;
  append(&pa, la, lb, true, keep, 0);
  append(&pb, la, lb, true, keep, 0);
  int summed_b = pb.n;
  append(&pb, lb, la, false, keep, -1);
  if (result->n + pb.n - summed_b > GAN_MAXDIM)
    return gan_fail(c, GAN_EARG, "a product would have more than %d dimensions", GAN_MAXDIM);
  append(result, lb, la, false, keep, -1);
  a = reorder(c, a, la, &pa);
  b = reorder(c, b, lb, &pb);
  if (!a || !b) return NULL;
  int64_t shape[3 * GAN_MAXDIM];
  int64_t nb = span(a, 0, batch, shape), m = span(a, batch, free_a, shape + batch);
  int64_t k = span(a, free_a, pa.n, NULL), n = span(b, summed_b, pb.n, shape + free_a);
  a = gan_reshape(c, a, 3, (int64_t[]){ nb, m, k });
  b = gan_reshape(c, b, 3, (int64_t[]){ nb, k, n });
  return gan_reshape(c, gan_matmul(c, a, b), result->n, shape);
}

/* The value of the equation, with ops. */
static gan_tensor *evaluate (gan_ctx *c, equation *e, gan_tensor **x) {
  bool keep[ANYWHERE] = { false };
  letters now = e->in[0];
  gan_tensor *y = x[0];
  for (int i = 1; i < e->n && y; i++) {
    letters product;
    memset(keep, 0, sizeof keep);
    for (int d = 0; d < e->out.n; d++) keep[(int)e->out.s[d]] = true;
    for (int k = i + 1; k < e->n; k++)
      for (int d = 0; d < e->in[k].n; d++) keep[(int)e->in[k].s[d]] = true;
    y = contract(c, y, &now, x[i], &e->in[i], keep, &product);
    now = product;
  }
  memset(keep, 0, sizeof keep);
  for (int d = 0; d < e->out.n; d++) keep[(int)e->out.s[d]] = true;
  if (y) y = sum_others(c, y, &now, keep);
  return y ? reorder(c, y, &now, &e->out) : NULL;
}

/* ---- the op ------------------------------------------------------------------------------- */

void gan_write_equation (const equation *e, char *to) {
  for (int k = 0; k < e->n; k++) to += sprintf(to, "%s%s", k ? "," : "", e->in[k].s);
  sprintf(to, "->%s", e->out.s);
}

static void plain_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  equation e;
  read_plain(a[1].s, &e);
  out[0] = evaluate(c, &e, a[0].ts);
}

/* Letters of operand i alone were summed over: its gradient is the same all along them. */
static gan_tensor *spread (gan_ctx *c, gan_tensor *g, const letters *have, const letters *want,
                           const int64_t *shape) {
  int64_t ones[GAN_MAXDIM];
  if (!g || have->n == want->n) return g;
  for (int d = 0; d < want->n; d++) ones[d] = has(have, want->s[d]) ? shape[d] : 1;
  return gan_expand(c, gan_reshape(c, g, want->n, ones), want->n, shape);
}

/* The gradient for operand i: einsum of gy and the other operands, to the letters of i. */
static gan_tensor *gradient (gan_ctx *c, const gan_node *n, const equation *e, int i,
                             gan_tensor *gy) {
  equation g = { .n = 0 };
  gan_tensor *x[OPERANDS + 1];
  char eq[EQUATION];
  x[0] = gy;
  g.in[g.n++] = e->out;
  for (int k = 0; k < e->n; k++)
    if (k != i) {
      x[g.n] = n->a[0].ts[k];
      g.in[g.n++] = e->in[k];
    }
  for (int d = 0; d < e->in[i].n; d++) {
    bool found = false;
    for (int k = 0; k < g.n; k++) found |= has(&g.in[k], e->in[i].s[d]);
    if (found) g.out.s[g.out.n++] = e->in[i].s[d];
  }
  gan_write_equation(&g, eq);
  gan_arg args[] = { GAN_TS(x, g.n), { .s = eq, .n = 1 } };
  gan_tensor *r = gan_run1(c, &gan_op_einsum_plain, args);
  return spread(c, r, &g.out, &e->in[i], n->in[i].shape);
}

static void plain_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  equation e;
  read_plain(n->a[1].s, &e);
  for (int i = 0; i < e.n; i++)
    if (gan_wants(n, i)) gx[i] = gradient(c, n, &e, i, gy[0]);
}

gan_op gan_op_einsum_plain = {
  .name = "einsum_plain", .sig = "x:tensors eq:text", .forward = plain_forward, .vjp = plain_vjp,
  .save = "x", .flags = GAN_HIDDEN,
  .doc = "einsum of a full equation, in which an operand has each of its letters once, and a\n"
         "letter one size everywhere."
};
