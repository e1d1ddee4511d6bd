/*
** einsum.c - sums of products named by letters: "ij,jk->ik".
**
** Here the equation is brought to its plain form, which einsum_plain.c computes: "..." becomes
** letters of its own, a letter that an operand has twice is replaced by the diagonal, and
** dimensions of size 1 that stand for a larger one are dropped.
*/
#include <string.h>

#include "einsum.h"

/* ---- reading the equation ----------------------------------------------------------------- */

/* An equation as it is written. */
typedef struct {
  equation e;
  int dots[OPERANDS], out_dots; /* letters in front of "..."; -1: none */
  bool implicit;                /* without "->" */
} written;

static bool is_letter (char ch) {
  return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z');
}

static bool read_dots (gan_ctx *c, const char **p, int *dots, int n, const char *what) {
  if (strncmp(*p, "...", 3)) gan_fail(c, GAN_EARG, "eq: a dot that does not belong to \"...\"");
  else if (*dots >= 0) gan_fail(c, GAN_EARG, "eq: \"...\" is twice in one %s", what);
  *p += 2;
  *dots = n;
  return !c->status;
}

/* The letters of one side of a comma; *p is left at ',', '-' or the end. */
static bool read_letters (gan_ctx *c, const char **p, letters *l, int *dots, const char *what) {
  *dots = -1;
  for (; **p && **p != ',' && **p != '-'; ++*p) {
    if (**p == ' ') continue;
    if (**p == '.') {
      if (!read_dots(c, p, dots, l->n, what)) return false;
      continue;
    }
    if (!is_letter(**p)) gan_fail(c, GAN_EARG, "eq: unexpected character '%c'", **p);
    else if (l->n == GAN_MAXDIM)
      gan_fail(c, GAN_EARG, "eq: more than %d letters in one %s", GAN_MAXDIM, what);
    if (c->status) return false;
    l->s[l->n++] = **p;
  }
  return true;
}

static bool read_equation (gan_ctx *c, const char *p, written *w) {
  equation *e = &w->e;
  memset(w, 0, sizeof *w);
  w->out_dots = -1;
  for (;;) {
    if (e->n == OPERANDS) {
      gan_fail(c, GAN_EARG, "eq: more than %d operands", OPERANDS);
      return false;
    }
    e->n++;
    if (!read_letters(c, &p, &e->in[e->n - 1], &w->dots[e->n - 1], "operand")) return false;
    if (*p != ',') break;
    p++;
  }
  w->implicit = !*p;
  if (w->implicit) return true;
  if (p[1] != '>') {
    gan_fail(c, GAN_EARG, "eq: '-' must be followed by '>'");
    return false;
  }
  p += 2;
  if (!read_letters(c, &p, &e->out, &w->out_dots, "result")) return false;
  if (*p) gan_fail(c, GAN_EARG, "eq: unexpected '%c' after the result", *p);
  return !c->status;
}

/* How often the operands have each letter. */
static void count_letters (const equation *e, int *count) {
  memset(count, 0, ANYWHERE * sizeof *count);
  for (int i = 0; i < e->n; i++)
    for (int d = 0; d < e->in[i].n; d++) count[(int)e->in[i].s[d]]++;
}

static bool check_result (gan_ctx *c, const equation *e, const int *count) {
  for (int d = 0; d < e->out.n; d++) {
    char ch = e->out.s[d];
    if (memchr(e->out.s, ch, (size_t)d))
      gan_fail(c, GAN_EARG, "eq: the letter '%c' is twice in the result", ch);
    else if (!count[(int)ch])
      gan_fail(c, GAN_EARG, "eq: the result's letter '%c' is in no operand", ch);
    if (c->status) return false;
  }
  return true;
}

/* Without "->": the letters that occur once, in alphabetical order (capitals first), after what
   "..." stands for. */
static bool implicit_result (gan_ctx *c, written *w, const int *count) {
  letters *out = &w->e.out;
  for (int ch = 0; ch < ANYWHERE; ch++) {
    if (count[ch] != 1) continue;
    if (out->n == GAN_MAXDIM) {
      gan_fail(c, GAN_EARG, "the result would have more than %d dimensions", GAN_MAXDIM);
      return false;
    }
    out->s[out->n++] = (char)ch;
  }
  w->out_dots = 0;
  return true;
}

/* ---- "..." -------------------------------------------------------------------------------- */

/* The dimensions of operand i that "..." stands for; -1 and an error where letters lack. */
static int hidden_dims (gan_ctx *c, const written *w, int i, const gan_tensor *x) {
  const letters *l = &w->e.in[i];
  int n = x->ndim - l->n;
  if (n >= 0 && (n == 0 || w->dots[i] >= 0)) return n;
  gan_fail(c, GAN_EARG, "operand %d has shape %s, eq gives it %d letters: \"%s\"", i + 1,
           gan_shape_of(c, x), l->n, l->s);
  return -1;
}

static bool insert (gan_ctx *c, letters *l, int at, const char *s, int n) {
  if (l->n + n > GAN_MAXDIM) {
    gan_fail(c, GAN_EARG, "the result would have more than %d dimensions", GAN_MAXDIM);
    return false;
  }
  memmove(l->s + at + n, l->s + at, (size_t)(l->n - at));
  memcpy(l->s + at, s, (size_t)n);
  l->n += n;
  return true;
}

/* Puts unused letters in the place of "...": shapes are aligned at their ends, as in broadcasting.
   The operands are as many as the equation says. */
static bool name_dots (gan_ctx *c, written *w, gan_tensor **x, const int *count) {
  char names[GAN_MAXDIM];
  int hidden[OPERANDS], most = 0, n = 0;
  for (int i = 0; i < w->e.n; i++) {
    if ((hidden[i] = hidden_dims(c, w, i, x[i])) < 0) return false;
    if (hidden[i] > most) most = hidden[i];
  }
  for (int ch = 'A'; ch <= 'z' && n < most; ch++)
    if (is_letter((char)ch) && !count[ch]) names[n++] = (char)ch;
  if (n < most) {
    gan_fail(c, GAN_EARG, "eq: no letter is left for a dimension of \"...\"");
    return false;
  }
  for (int i = 0; i < w->e.n; i++)
    if (hidden[i] && !insert(c, &w->e.in[i], w->dots[i], names + most - hidden[i], hidden[i]))
      return false;
  return w->out_dots < 0 || insert(c, &w->e.out, w->out_dots, names, most);
}

/* ---- diagonals and sizes ------------------------------------------------------------------ */

/* The elements of x whose indices d and e (d < e) are equal, along d. */
static gan_tensor *diagonal (gan_ctx *c, gan_tensor *x, int d, int e) {
  int64_t dims[GAN_MAXDIM], shape[GAN_MAXDIM], back[GAN_MAXDIM], n = x->shape[d];
  int k = 0, last = x->ndim - 2;
  for (int i = 0; i < x->ndim; i++)
    if (i != d && i != e) {
      shape[k] = x->shape[i];
      dims[k++] = i;
    }
  dims[k] = d;
  dims[k + 1] = e;
  shape[k] = n * n;
  x = gan_reshape(c, gan_permute(c, x, last + 2, dims), last + 1, shape);
  x = gan_slice(c, x, last, 0, n * n, n + 1);
  for (int i = 0; i <= last; i++) back[i] = i < d ? i : i == d ? last : i - 1;
  return gan_permute(c, x, last + 1, back);
}

static gan_tensor *diagonals (gan_ctx *c, gan_tensor *x, letters *l, int operand) {
  for (int e = 1; e < l->n && x; e++) {
    const char *at = memchr(l->s, l->s[e], (size_t)e);
    if (!at) continue;
    int d = (int)(at - l->s);
    if (x->shape[d] != x->shape[e])
      return gan_fail(c, GAN_EARG, "operand %d: the letter '%c' stands for sizes %lld and %lld",
                      operand, l->s[e], (long long)x->shape[d], (long long)x->shape[e]);
    x = diagonal(c, x, d, e);
    memmove(l->s + e, l->s + e + 1, (size_t)(l->n - e));
    l->n--;
    e--;
  }
  return x;
}

/* The size of every letter: that of all operands which have it, but for sizes of 1. */
static bool find_sizes (gan_ctx *c, const equation *e, gan_tensor **x, int64_t *size) {
  for (int ch = 0; ch < ANYWHERE; ch++) size[ch] = 1;
  for (int i = 0; i < e->n; i++)
    for (int d = 0; d < e->in[i].n; d++) {
      int64_t *s = &size[(int)e->in[i].s[d]], now = x[i]->shape[d];
      if (now == 1) continue;
      if (*s != 1 && *s != now) {
        gan_fail(c, GAN_EARG, "the letter '%c' stands for sizes %lld and %lld (operand %d)",
                 e->in[i].s[d], (long long)*s, (long long)now, i + 1);
        return false;
      }
      *s = now;
    }
  return true;
}

/* Takes away dimensions of size 1 whose letter is larger elsewhere: along it x is constant. */
static gan_tensor *drop_ones (gan_ctx *c, gan_tensor *x, letters *l, const int64_t *size) {
  int64_t shape[GAN_MAXDIM];
  letters left = { .n = 0 };
  for (int d = 0; d < l->n; d++)
    if (x->shape[d] == size[(int)l->s[d]]) {
      shape[left.n] = x->shape[d];
      left.s[left.n++] = l->s[d];
    }
  if (left.n == l->n) return x;
  *l = left;
  return gan_reshape(c, x, left.n, shape);
}

/* ---- the op ------------------------------------------------------------------------------- */

static void einsum_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  written w;
  gan_tensor *x[OPERANDS];
  int count[ANYWHERE];
  int64_t size[ANYWHERE];
  char eq[EQUATION];
  equation *e = &w.e;
  if (!read_equation(c, a[1].s, &w)) return;
  if (a[0].n != e->n) {
    gan_fail(c, GAN_EARG, "eq names %d operands, got %d tensors", e->n, a[0].n);
    return;
  }
  count_letters(e, count);
  if (!(w.implicit ? implicit_result(c, &w, count) : check_result(c, e, count)) ||
      !name_dots(c, &w, a[0].ts, count))
    return;
  for (int i = 0; i < e->n; i++)
    if (!(x[i] = diagonals(c, a[0].ts[i], &e->in[i], i + 1))) return;
  if (!find_sizes(c, e, x, size)) return;
  for (int i = 0; i < e->n; i++)
    if (!(x[i] = drop_ones(c, x[i], &e->in[i], size))) return;
  gan_write_equation(e, eq);
  gan_arg args[] = { GAN_TS(x, e->n), { .s = eq, .n = 1 } };
  out[0] = gan_run1(c, &gan_op_einsum_plain, args);
}

gan_op gan_op_einsum = {
  .name = "einsum",
  .sig = "x:tensors eq:text",
  .forward = einsum_forward,
  .flags = GAN_COMPOSITE,
  .doc = "Sum of products of tensors whose dimensions are named by letters.\n"
         "eq lists the letters of every operand and, after \"->\", those of the result; letters\n"
         "that the result lacks are summed over. Without \"->\" the result has the letters that\n"
         "occur once, in alphabetical order. A letter twice in one operand takes the diagonal.\n"
         "\"...\" stands for all other dimensions of an operand; without \"->\" the result\n"
         "starts with them. A letter has one size, or 1 where an operand is to be repeated.",
  .example = "gan.einsum(gan.ones(2, 3), gan.ones(3, 4), {eq=\"ij,jk->ik\"})"
};
