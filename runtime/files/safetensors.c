/*
** safetensors.c - writing named tensors: 8 bytes of little-endian header length, a JSON object that
** gives type, shape and byte range of each tensor, then the elements, row-major and little-endian.
** The reader is in safetensors_read.c.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the formats of files/ are little-endian, and elements are written as they are in memory"
#endif

/* ---- texts -------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 sequence at s, 0 when it is malformed, overlong, a surrogate or too large. */
static size_t sequence (const unsigned char *s, size_t n) {
  size_t len = s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
  if (len == 0 || len > n || s[0] > 0xF4) return 0;
  for (size_t i = 1; i < len; i++)
    if ((s[i] & 0xC0) != 0x80) return 0;
  if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)) return 0;
  if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)) return 0;
  return len;
}

size_t gan_utf8_valid (const char *s, size_t n) {
  size_t at = 0;
  while (at < n) {
    size_t len = sequence((const unsigned char *)s + at, n - at);
    if (len == 0) break;
    at += len;
  }
  return at;
}

int gan_text_compare (const char *a, size_t na, const char *b, size_t nb) {
  int order = memcmp(a, b, na < nb ? na : nb);
  return order != 0 ? order : na < nb ? -1 : na > nb;
}

void *gan_temp_grow (gan_ctx *c, void *old, size_t *size, size_t need) {
  if (need <= *size) return old;
  size_t larger = *size * 2 > need ? *size * 2 : need;
  int64_t bytes = (int64_t)(larger < 1024 ? 1024 : larger);
  gan_tensor *t = gan_new(c, GAN_UINT8, 1, &bytes);
  if (!t) return NULL;
  if (old) memcpy(gan_bytes(t), old, *size);
  *size = (size_t)bytes;
  return gan_bytes(t);
}

typedef struct {
  gan_ctx *c;
  char *s;
  size_t n, size;
} text;

static void put (text *b, const char *s, size_t n) {
  char *grown = gan_temp_grow(b->c, b->s, &b->size, b->n + n);
  if (!grown) return;
  b->s = grown;
  memcpy(b->s + b->n, s, n);
  b->n += n;
}

static void put_text (text *b, const char *s) {
  put(b, s, strlen(s));
}

static void put_int (text *b, int64_t v) {
  char digits[24];
  put(b, digits, (size_t)snprintf(digits, sizeof digits, "%lld", (long long)v));
}

/* The characters of a JSON string, without the quotes. */
static void put_escaped (text *b, const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    unsigned char ch = (unsigned char)s[i];
    char escape[8];
    if (ch == '"' || ch == '\\') {
      escape[0] = '\\';
      escape[1] = (char)ch;
      put(b, escape, 2);
    }
    else if (ch < 0x20)
      put(b, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", ch));
    else
      put(b, s + i, 1);
  }
}

static void put_quoted (text *b, const char *s, size_t n) {
  put_text(b, "\"");
  put_escaped(b, s, n);
  put_text(b, "\"");
}

/* ---- what is written ---------------------------------------------------------------------- */

static int by_name (const void *a, const void *b) {
  const gan_named *x = a, *y = b;
  return gan_text_compare(x->name, x->length, y->name, y->length);
}

static int by_key (const void *a, const void *b) {
  const gan_pair *x = a, *y = b;
  return gan_text_compare(x->key, x->key_length, y->key, y->key_length);
}

static bool is_text (gan_ctx *c, const char *what, const char *s, size_t n) {
  size_t valid = gan_utf8_valid(s, n);
  if (valid == n) return true;
  gan_fail(c, GAN_EARG, "a %s is not UTF-8 at its byte %zu", what, valid + 1);
  return false;
}

static bool check_names (gan_ctx *c, gan_weights *w) {
  static const char reserved[] = "__metadata__";
  if (w->ntensors) qsort(w->tensors, w->ntensors, sizeof *w->tensors, by_name);
  for (size_t i = 0; i < w->ntensors; i++) {
    const gan_named *x = &w->tensors[i];
    if (!is_text(c, "tensor's name", x->name, x->length)) return false;
    if (gan_text_compare(x->name, x->length, reserved, sizeof reserved - 1) == 0 ||
        (i > 0 && by_name(x - 1, x) == 0)) {
      gan_fail(c, GAN_EARG, "the name '%.*s' is %s", (int)x->length, x->name,
               i > 0 && by_name(x - 1, x) == 0 ? "there twice" : "reserved by the format");
      return false;
    }
  }
  if (w->nmetadata) qsort(w->metadata, w->nmetadata, sizeof *w->metadata, by_key);
  for (size_t i = 0; i < w->nmetadata; i++) {
    const gan_pair *p = &w->metadata[i];
    if (!is_text(c, "metadata key", p->key, p->key_length) ||
        !is_text(c, "metadata value", p->value, p->value_length))
      return false;
    if (i > 0 && by_key(p - 1, p) == 0) {
      gan_fail(c, GAN_EARG, "the metadata key '%.*s' is there twice", (int)p->key_length, p->key);
      return false;
    }
  }
  return true;
}

typedef enum { DISTINCT, SAME, TRANSPOSED } relation;

static relation compare_memory (const gan_tensor *a, const gan_tensor *b) {
  if (a->data != b->data || a->dtype != b->dtype || a->numel != b->numel || a->numel == 0)
    return DISTINCT;
  if (gan_same_shape(a, b) && gan_same_layout(a, b)) return SAME;
  if (a->ndim == 2 && b->ndim == 2 && a->shape[0] == b->shape[1] && a->shape[1] == b->shape[0] &&
      a->stride[0] == b->stride[1] && a->stride[1] == b->stride[0])
    return TRANSPOSED;
  return DISTINCT;
}

/* The relation of tensor i to the stored one that it repeats; DISTINCT: it is stored itself. */
static relation find_twin (const gan_weights *w, size_t i, size_t *twin) {
  for (size_t j = 0; j < i; j++) {
    relation r = compare_memory(w->tensors[j].t, w->tensors[i].t);
    if (r != DISTINCT) {
      *twin = j;
      return r;
    }
  }
  return DISTINCT;
}

/* ---- header ------------------------------------------------------------------------------- */

static const char *type_name (const gan_tensor *t) {
  if (t->dtype == GAN_UINT8) return "U8";
  if (t->dtype == GAN_INT64) return "I64";
  return sizeof(gan_real) == 8 ? "F64" : "F32";
}

static size_t bytes_of (const gan_tensor *t) {
  return (size_t)t->numel * gan_dtype_size((gan_dtype)t->dtype);
}

/* The metadata that the caller gave, and the aliases. */
static void put_metadata (text *b, const gan_weights *w) {
  const char *comma = "\"__metadata__\":{";
  for (size_t i = 0; i < w->nmetadata; i++, comma = ",") {
    put_text(b, comma);
    put_quoted(b, w->metadata[i].key, w->metadata[i].key_length);
    put_text(b, ":");
    put_quoted(b, w->metadata[i].value, w->metadata[i].value_length);
  }
  for (size_t i = 0; i < w->ntensors; i++) {
    size_t twin = 0;
    relation r = find_twin(w, i, &twin);
    if (r == DISTINCT) continue;
    put_text(b, comma);
    put_text(b, "\"" GAN_SAFETENSORS_ALIAS);
    put_escaped(b, w->tensors[i].name, w->tensors[i].length);
    put_text(b, "\":\"");
    put_escaped(b, w->tensors[twin].name, w->tensors[twin].length);
    put_text(b, r == TRANSPOSED ? "^T\"" : "\"");
    comma = ",";
  }
  if (*comma == ',') put_text(b, "},");
}

static void put_tensor (text *b, const gan_named *x, uint64_t *offset) {
  put_quoted(b, x->name, x->length);
  put_text(b, ":{\"dtype\":\"");
  put_text(b, type_name(x->t));
  put_text(b, "\",\"shape\":[");
  for (int d = 0; d < x->t->ndim; d++) {
    if (d > 0) put_text(b, ",");
    put_int(b, x->t->shape[d]);
  }
  put_text(b, "],\"data_offsets\":[");
  put_int(b, (int64_t)*offset);
  *offset += bytes_of(x->t);
  put_text(b, ",");
  put_int(b, (int64_t)*offset);
  put_text(b, "]},");
}

/* Calls f for the tensors that are stored, in the order of the file. */
static bool each_stored (gan_weights *w, bool (*f)(void *ud, const gan_named *x), void *ud) {
  static const size_t sizes[] = {8, 4, 1}; /* so that every tensor is aligned to its type */
  for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
    for (size_t i = 0; i < w->ntensors; i++) {
      size_t twin;
      const gan_tensor *t = w->tensors[i].t;
      if (gan_dtype_size((gan_dtype)t->dtype) != sizes[k] || find_twin(w, i, &twin) != DISTINCT)
        continue;
      if (!f(ud, &w->tensors[i])) return false;
    }
  return true;
}

typedef struct {
  text header;
  uint64_t offset;
  gan_replacement file;
} writer;

static bool add_to_header (void *ud, const gan_named *x) {
  writer *wr = ud;
  put_tensor(&wr->header, x, &wr->offset);
  return wr->header.c->status == GAN_OK;
}

static bool add_to_file (void *ud, const gan_named *x) {
  writer *wr = ud;
  gan_ctx *c = wr->header.c;
  gan_frame_open(c); /* a dense copy lives for one tensor */
  const gan_tensor *t = gan_dense(c, x->t);
  bool ok = t && gan_replace_write(c, &wr->file, t->data, bytes_of(t));
  gan_frame_close(c);
  return ok;
}

static bool build_header (writer *wr, gan_weights *w) {
  text *b = &wr->header;
  put_text(b, "{");
  put_metadata(b, w);
  if (!each_stored(w, add_to_header, wr) || b->c->status != GAN_OK) return false;
  if (b->s[b->n - 1] == ',') b->n--;
  put_text(b, "}");
  while (b->n % 8 != 0 && b->c->status == GAN_OK) put_text(b, " ");
  if (b->n > GAN_SAFETENSORS_HEADER)
    gan_fail(b->c, GAN_EARG, "names and metadata take %zu bytes, the format allows %llu", b->n,
             (unsigned long long)GAN_SAFETENSORS_HEADER);
  return b->c->status == GAN_OK;
}

bool gan_save_safetensors (gan_ctx *c, const char *path, gan_weights *w) {
  writer wr = {.header = {.c = c}};
  if (c->status != GAN_OK || !check_names(c, w) || !build_header(&wr, w)) return false;
  if (!gan_replace_open(c, &wr.file, path)) return false;
  uint64_t length = wr.header.n;
  if (gan_replace_write(c, &wr.file, &length, 8) &&
      gan_replace_write(c, &wr.file, wr.header.s, wr.header.n) && each_stored(w, add_to_file, &wr))
    return gan_replace_commit(c, &wr.file);
  gan_replace_cancel(&wr.file);
  return false;
}
