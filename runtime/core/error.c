/*
** error.c - one sticky error per context: the first message wins, later calls do nothing until it
** is cleared. Nothing here prints, exits or jumps.
*/
#include <stdio.h>
#include <string.h>

#include "op.h"

void *gan_fail (gan_ctx *c, gan_status status, const char *fmt, ...) {
  if (c->status != GAN_OK) return NULL;
  c->status = status;
  size_t n = 0;
  if (c->op) n = (size_t)snprintf(c->message, sizeof c->message, "%s: ", c->op->name);
  va_list args;
  va_start(args, fmt);
  vsnprintf(c->message + n, sizeof c->message - n, fmt, args);
  va_end(args);
  return NULL;
}

gan_status gan_error (const gan_ctx *c) {
  return c->status;
}

const char *gan_error_message (const gan_ctx *c) {
  return c->status == GAN_OK ? "" : c->message;
}

void gan_clear_error (gan_ctx *c) {
  c->status = GAN_OK;
  c->message[0] = '\0';
  c->mem.injected = false;
}

const char *gan_shape_text (gan_ctx *c, int ndim, const int64_t *shape) {
  char *s = c->text[c->next_text++ & 3];
  size_t cap = sizeof c->text[0], n = 0;
  s[n++] = '(';
  for (int d = 0; d < ndim && n < cap; d++)
    n += (size_t)snprintf(s + n, cap - n, d ? " x %lld" : "%lld", (long long)shape[d]);
  if (n < cap) snprintf(s + n, cap - n, ")");
  return s;
}

const char *gan_shape_of (gan_ctx *c, const gan_tensor *t) {
  return gan_shape_text(c, t->ndim, t->shape);
}

const char *gan_dtype_name (gan_dtype d) {
  switch (d) {
    case GAN_UINT8: return "uint8";
    case GAN_INT64: return "int64";
    default: return sizeof(gan_real) == 8 ? "float64" : "float32";
  }
}

size_t gan_dtype_size (gan_dtype d) {
  switch (d) {
    case GAN_UINT8: return 1;
    case GAN_INT64: return 8;
    default: return sizeof(gan_real);
  }
}
