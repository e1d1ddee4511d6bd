/*
** einsum.c - sums of products named by letters: "ij,jk->ik".
**
** Two operands become one batched matrix product by permuting and reshaping; more are folded from
** left to right, keeping the letters that are still needed. The gradient for an operand is again an
** einsum, of the result's gradient and the other operands.
*/
#include <stdio.h>
#include <string.h>

#include "../core/op.h"

gan_op gan_op_einsum;

#define OPERANDS GAN_MAXLIST
#define ANYWHERE 128 /* letters are indices of tables */

/* Letters of one operand or of the result, in the order of its dimensions. */
typedef struct {
  char s[GAN_MAXDIM + 1];
  int n;
} letters;

typedef struct {
  int n;
  letters in[OPERANDS], out;
} equation;

/* ---- reading the equation ----------------------------------------------------------------- */

static bool has (const letters *l, char ch) {
  return memchr(l->s, ch, (size_t)l->n) != NULL;
}

static bool is_letter (char ch) {
  return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

/* The letters of one side of a comma; *p is left at ',', '-' or the end. */
static bool read_letters (gan_ctx *c, const char **p, letters *l, const char *what) {
  l->n = 0;
  for (; **p && **p != ',' && **p != '-'; ++*p) {
    if (**p == ' ') continue;
    if (**p == '.') gan_fail(c, GAN_EARG, "eq: '...' is not supported, name every dimension");
    else if (!is_letter(**p)) gan_fail(c, GAN_EARG, "eq: unexpected character '%c'", **p);
    else if (has(l, **p))
      gan_fail(c, GAN_EARG, "eq: the letter '%c' is twice in one %s (diagonals are not supported)",
               **p, what);
    else if (l->n == GAN_MAXDIM)
      gan_fail(c, GAN_EARG, "eq: more than %d letters in one %s", GAN_MAXDIM, what);
    if (c->status) return false;
    l->s[l->n++] = **p;
  }
  return true;
}

/* Without "->": the letters that occur once, in alphabetical order (capitals first). */
static bool implicit_output (gan_ctx *c, equation *e) {
  int count[ANYWHERE] = { 0 };
  for (int i = 0; i < e->n; i++)
    for (int d = 0; d < e->in[i].n; d++) count[(int)e->in[i].s[d]]++;
  for (int ch = 0; ch < ANYWHERE; ch++) {
    if (count[ch] != 1) continue;
    if (e->out.n == GAN_MAXDIM) {
      gan_fail(c, GAN_EARG, "the result would have more than %d dimensions", GAN_MAXDIM);
      return false;
    }
    e->out.s[e->out.n++] = (char)ch;
  }
  return true;
}

static bool check_output (gan_ctx *c, const equation *e) {
  for (int d = 0; d < e->out.n; d++) {
    bool found = false;
    for (int i = 0; i < e->n; i++) found |= has(&e->in[i], e->out.s[d]);
    if (!found) {
      gan_fail(c, GAN_EARG, "eq: the result's letter '%c' is in no operand", e->out.s[d]);
      return false;
    }
  }
  return true;
}

static bool read_equation (gan_ctx *c, const char *eq, equation *e) {
  const char *p = eq;
  memset(e, 0, sizeof *e);
  for (;;) {
    if (e->n == OPERANDS) {
      gan_fail(c, GAN_EARG, "eq: more than %d operands", OPERANDS);
      return false;
    }
    if (!read_letters(c, &p, &e->in[e->n++], "operand")) return false;
    if (*p != ',') break;
    p++;
  }
  if (!*p) return implicit_output(c, e);
  if (p[1] != '>') {
    gan_fail(c, GAN_EARG, "eq: '-' must be followed by '>'");
    return false;
  }
  p += 2;
  if (!read_letters(c, &p, &e->out, "result")) return false;
  if (*p) {
    gan_fail(c, GAN_EARG, "eq: unexpected '%c' after the result", *p);
    return false;
  }
  return check_output(c, e);
}

/* The operands have the dimensions that the equation says, and a letter has one size. */
static bool check_operands (gan_ctx *c, const equation *e, int n, gan_tensor **x) {
  int64_t size[ANYWHERE];
  memset(size, -1, sizeof size);
  if (n != e->n) {
    gan_fail(c, GAN_EARG, "eq names %d operands, got %d tensors", e->n, n);
    return false;
  }
  for (int i = 0; i < n; i++) {
    const letters *l = &e->in[i];
    if (l->n != x[i]->ndim) {
      gan_fail(c, GAN_EARG, "operand %d has shape %s, eq gives it %d letters: \"%s\"", i + 1,
               gan_shape_of(c, x[i]), l->n, l->s);
      return false;
    }
    for (int d = 0; d < l->n; d++) {
      int64_t *s = &size[(int)l->s[d]], now = x[i]->shape[d];
      if (*s >= 0 && *s != now) {
        gan_fail(c, GAN_EARG, "the letter '%c' stands for sizes %lld and %lld (operand %d)",
                 l->s[d], (long long)*s, (long long)now, i + 1);
        return false;
      }
      *s = now;
    }
  }
  return true;
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

/* The value of the equation on checked operands, with ops. */
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

static void einsum_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  equation e;
  if (!read_equation(c, a[1].s, &e) || !check_operands(c, &e, a[0].n, a[0].ts)) return;
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
  char eq[(OPERANDS + 2) * (GAN_MAXDIM + 2)], *p = eq;
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
  for (int k = 0; k < g.n; k++) p += sprintf(p, "%s%s", k ? "," : "", g.in[k].s);
  sprintf(p, "->%s", g.out.s);
  gan_arg args[] = { GAN_TS(x, g.n), { .s = eq, .n = 1 } };
  gan_tensor *r = gan_run1(c, &gan_op_einsum, args);
  return spread(c, r, &g.out, &e->in[i], n->in[i].shape);
}

static void einsum_vjp (gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx) {
  equation e;
  if (!read_equation(c, n->a[1].s, &e)) return;
  for (int i = 0; i < e.n; i++)
    if (gan_wants(n, i)) gx[i] = gradient(c, n, &e, i, gy[0]);
}

gan_op gan_op_einsum = {
  .name = "einsum",
  .sig = "x:tensors eq:text",
  .forward = einsum_forward,
  .vjp = einsum_vjp,
  .save = "x",
  .doc = "Sum of products of tensors whose dimensions are named by letters.\n"
         "eq lists the letters of every operand and, after \"->\", those of the result; letters\n"
         "that the result lacks are summed over. Without \"->\" the result has the letters that\n"
         "occur once, in alphabetical order. A letter has one size everywhere; a letter twice in\n"
         "one operand and \"...\" are errors.",
  .example = "gan.einsum(gan.ones(2, 3), gan.ones(3, 4), {eq=\"ij,jk->ik\"})"
};
