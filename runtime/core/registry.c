/*
** registry.c - the list of op families, and the parser of signatures.
**
** This is the one place that changes when a *family* is added; an op is added in its family's
** file only. Signatures are parsed once per process.
*/
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "op.h"

static const struct {
  const char *name;
  gan_op *const *ops;
} families[] = {
  { "create", gan_ops_create }, { "pointwise", gan_ops_pointwise }, { "reduce", gan_ops_reduce },
  { "shape", gan_ops_shape },   { "index", gan_ops_index },         { "matmul", gan_ops_matmul },
  { "conv", gan_ops_conv },     { "pool", gan_ops_pool },           { "resize", gan_ops_resize },
  { "norm", gan_ops_norm },     { "softmax", gan_ops_softmax },     { "loss", gan_ops_loss },
  { "random", gan_ops_random }, { "rnn", gan_ops_rnn },             { "optim", gan_ops_optim },
};

enum { FAMILIES = sizeof families / sizeof families[0] };

/* ---- parsing ------------------------------------------------------------------------------ */

static const char *const kinds[] = {
  "tensor", "any", "labels", "tensors", "operand", "anyoperand", "number", "int", "bool",
  "dim", "dims", "ints", "shape", "index", "text", "dtype"
}; /* in the order of gan_kind; anything else is a list of words */

/* Position of word w (length n) in "a|b|c", -1 when it is not there. */
static int word_number (const char *words, const char *w, size_t n) {
  int i = 0;
  for (const char *p = words; *p; i++) {
    size_t len = strcspn(p, "|");
    if (len == n && !memcmp(p, w, n)) return i;
    p += len;
    if (*p == '|') p++;
  }
  return -1;
}

static void parse_default (gan_param *p, const char *text) {
  p->has_default = true;
  p->value = (gan_arg){ .n = 1 };
  switch (p->kind) {
    case GAN_K_NUMBER: p->value.num = strtod(text, NULL); break;
    case GAN_K_BOOL: p->value.i = !strcmp(text, "true"); break;
    case GAN_K_DTYPE:
      p->value.i = !strcmp(text, "uint8")   ? GAN_UINT8
                   : !strcmp(text, "int64") ? GAN_INT64
                                            : GAN_REAL;
      break;
    case GAN_K_WORD: p->value.i = word_number(p->words, text, strlen(text)); break;
    case GAN_K_TEXT: p->value.s = text; break;
    case GAN_K_INTS: case GAN_K_DIMS: case GAN_K_SHAPE:
      p->list[0] = strtoll(text, NULL, 10);
      p->value.v = p->list;
      break;
    default: p->value.i = strtoll(text, NULL, 10);
  }
}

/* "name!:kind?=default", cut up in place */
static void parse_param (gan_param *p, char *s) {
  char *colon = strchr(s, ':'), *eq = strchr(s, '=');
  if (eq) *eq = '\0';
  *colon = '\0';
  char *kind = colon + 1;
  size_t n = strlen(kind), m = strlen(s);
  if (n && kind[n - 1] == '?') {
    p->optional = true;
    kind[n - 1] = '\0';
  }
  if (m && s[m - 1] == '!') {
    p->mutated = true;
    s[m - 1] = '\0';
  }
  p->name = s;
  p->kind = GAN_K_WORD;
  for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
    if (!strcmp(kind, kinds[k])) p->kind = (gan_kind)k;
  if (p->kind == GAN_K_WORD) p->words = kind;
  if (eq) parse_default(p, eq + 1);
}

static void parse_output (gan_sig *s, char *name) {
  size_t n = strlen(name);
  int k = s->nout++;
  if (name[n - 1] == '~') {
    s->out_nograd[k] = true;
    name[n - 1] = '\0';
  }
  else if (name[n - 1] == '*') {
    s->nout = -1;
    name[n - 1] = '\0';
  }
  s->out[k] = name;
}

/* Looks for "name" or "name:other" in a list; *other is what stands behind the colon, else NULL. */
static bool named_in (const char *list, const char *name, const char **other) {
  size_t n = strlen(name);
  for (const char *p = list; p && *p; p += strspn(p, " ")) {
    size_t len = strcspn(p, " ");
    if (len >= n && !memcmp(p, name, n) && (len == n || p[n] == ':')) {
      *other = len == n ? NULL : p + n + 1;
      return true;
    }
    p += len;
  }
  return false;
}

static int param_named (const gan_sig *s, const char *name) {
  size_t n = name ? strcspn(name, " ") : 0;
  for (int k = 0; k < s->nargs && name; k++)
    if (strlen(s->p[k].name) == n && !memcmp(s->p[k].name, name, n)) return k;
  return -1;
}

static int count_params (const char *sig) {
  int n = 0;
  for (const char *p = sig; *p; p++) n += *p == ':';
  return n;
}

/* The copy of the text lives behind the parameters: names point into it. */
static gan_sig *parse (const gan_op *op) {
  size_t params = (size_t)count_params(op->sig) * sizeof(gan_param);
  gan_sig *s = calloc(1, sizeof *s + params + strlen(op->sig) + 1);
  if (!s) return NULL;
  char *text = (char *)s + sizeof *s + params, *save = NULL;
  strcpy(text, op->sig);
  bool outputs = false, named = false;
  for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
    if (!strcmp(w, ";")) named = true;
    else if (!strcmp(w, "->")) outputs = true;
    else if (outputs) parse_output(s, w);
    else {
      parse_param(&s->p[s->nargs++], w);
      if (!named) s->npositional++;
    }
  }
  if (!outputs) {
    s->out[0] = "y";
    s->nout = 1;
  }
  for (int k = 0; k < s->nargs; k++) {
    const char *other = NULL;
    s->p[k].saved = named_in(op->save, s->p[k].name, &other);
    s->p[k].saved_for = param_named(s, other);
    s->mutates |= s->p[k].mutated;
  }
  for (int k = 0; k < s->nout; k++) {
    const char *other;
    s->out_saved[k] = named_in(op->save, s->out[k], &other);
  }
  return s;
}

/* ---- the list ----------------------------------------------------------------------------- */

static bool parsed_all;

static void parse_all (void) {
  for (int f = 0; f < FAMILIES; f++)
    for (gan_op *const *p = families[f].ops; *p; p++)
      if (!((*p)->parsed = parse(*p))) return;
  parsed_all = true;
}

bool gan_registry_open (void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, parse_all);
  return parsed_all;
}

int gan_op_total (void) {
  int n = 0;
  for (int f = 0; f < FAMILIES; f++)
    for (gan_op *const *p = families[f].ops; *p; p++) n++;
  return n;
}

gan_op *gan_op_at (int i) {
  for (int f = 0; f < FAMILIES; f++)
    for (gan_op *const *p = families[f].ops; *p; p++)
      if (i-- == 0) return *p;
  return NULL;
}

gan_op *gan_op_find (const char *name) {
  for (int f = 0; f < FAMILIES; f++)
    for (gan_op *const *p = families[f].ops; *p; p++)
      if (!strcmp((*p)->name, name)) return *p;
  return NULL;
}

const char *gan_op_family (const gan_op *op) {
  for (int f = 0; f < FAMILIES; f++)
    for (gan_op *const *p = families[f].ops; *p; p++)
      if (*p == op) return families[f].name;
  return "";
}
