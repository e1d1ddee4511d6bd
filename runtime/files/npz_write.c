/*
** npz_write.c - writing archives of arrays that numpy reads. Every size is written in the 64-bit
** form, which numpy does too for the members' own headers: one form for archives of any size.
*/
#include <stdlib.h>
#include <string.h>

#include "arrays.h"

enum { EXTRA_LOCAL = 20, EXTRA_CENTRAL = 28 };       /* bytes of the 64-bit fields, with heads */
enum { VERSION = 45, DEFLATED = 8, UTF8 = 1 << 11 }; /* 4.5: 64-bit sizes */
enum { DATE = 0x21 };                                /* 1980-01-01: equal arrays, equal files */
#define DEFLATE_MAX ((size_t)512 << 20)              /* larger members are stored */

typedef struct {
  const gan_named *x;
  uint64_t begin, packed, size;
  uint32_t crc;
  int method;
} entry;

typedef struct {
  gan_ctx *c;
  gan_replacement file;
  uint64_t at; /* bytes written */
  bool deflate;
  entry *entries;
  size_t n;
} writer;

/* A record under construction: the longest has 56 bytes. */
typedef struct {
  uint8_t p[64];
  size_t n;
} record;

static void put (record *r, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; i++, v >>= 8) r->p[r->n++] = (uint8_t)v;
}

static bool put_bytes (writer *w, const void *p, size_t n) {
  w->at += n;
  return gan_replace_write(w->c, &w->file, p, n);
}

static bool put_record (writer *w, const record *r) {
  return put_bytes(w, r->p, r->n);
}

static bool is_ascii (const gan_named *x) {
  for (size_t i = 0; i < x->length; i++)
    if ((unsigned char)x->name[i] >= 0x80) return false;
  return true;
}

/* What local header and directory have in common: from the version needed to the name's length. */
static void put_common (record *r, const entry *e) {
  put(r, VERSION, 2);
  put(r, is_ascii(e->x) ? 0 : UTF8, 2);
  put(r, (uint64_t)e->method, 2);
  put(r, 0, 2);
  put(r, DATE, 2);
  put(r, e->crc, 4);
  put(r, 0xFFFFFFFF, 4);
  put(r, 0xFFFFFFFF, 4);
  put(r, e->x->length + 4, 2);
}

static bool put_name (writer *w, const gan_named *x) {
  return put_bytes(w, x->name, x->length) && put_bytes(w, ".npy", 4);
}

static bool put_local (writer *w, const entry *e) {
  record head = {{0}, 0}, extra = {{0}, 0};
  put(&head, 0x04034B50, 4);
  put_common(&head, e);
  put(&head, EXTRA_LOCAL, 2);
  put(&extra, 1, 2);
  put(&extra, EXTRA_LOCAL - 4, 2);
  put(&extra, e->size, 8);
  put(&extra, e->packed, 8);
  return put_record(w, &head) && put_name(w, e->x) && put_record(w, &extra);
}

static bool put_central (writer *w, const entry *e) {
  record head = {{0}, 0}, extra = {{0}, 0};
  put(&head, 0x02014B50, 4);
  put(&head, 3 << 8 | VERSION, 2); /* made on Unix, for the rights below */
  put_common(&head, e);
  put(&head, EXTRA_CENTRAL, 2);
  put(&head, 0, 2 + 2 + 2); /* comment, part, kind */
  put(&head, (uint64_t)0100644 << 16, 4);
  put(&head, 0xFFFFFFFF, 4);
  put(&extra, 1, 2);
  put(&extra, EXTRA_CENTRAL - 4, 2);
  put(&extra, e->size, 8);
  put(&extra, e->packed, 8);
  put(&extra, e->begin, 8);
  return put_record(w, &head) && put_name(w, e->x) && put_record(w, &extra);
}

static bool put_end (writer *w, uint64_t begin) {
  record r = {{0}, 0};
  uint64_t end = w->at;
  put(&r, 0x06064B50, 4);
  put(&r, 56 - 12, 8);
  put(&r, 3 << 8 | VERSION, 2);
  put(&r, VERSION, 2);
  put(&r, 0, 8); /* parts */
  put(&r, w->n, 8);
  put(&r, w->n, 8);
  put(&r, end - begin, 8);
  put(&r, begin, 8);
  if (!put_record(w, &r)) return false;
  r.n = 0;
  put(&r, 0x07064B50, 4);
  put(&r, 0, 4);
  put(&r, end, 8);
  put(&r, 1, 4);
  put(&r, 0x06054B50, 4); /* the 32-bit record refers to the other one */
  put(&r, 0, 4);
  put(&r, 0xFFFF, 2);
  put(&r, 0xFFFF, 2);
  put(&r, 0xFFFFFFFF, 4);
  put(&r, 0xFFFFFFFF, 4);
  put(&r, 0, 2);
  return put_record(w, &r);
}

/* Header and elements behind each other, deflated; NULL when that is no gain. [temp] */
static const uint8_t *deflate_member (writer *w, entry *e, const char *head, size_t nhead,
                                      const gan_tensor *t) {
  int64_t size = (int64_t)e->size;
  gan_tensor *all = gan_new(w->c, GAN_UINT8, 1, &size);
  gan_tensor *z = all ? gan_new(w->c, GAN_UINT8, 1, &size) : NULL;
  if (!z) return NULL;
  memcpy(gan_bytes(all), head, nhead);
  if (t->numel > 0) memcpy(gan_bytes(all) + nhead, t->data, e->size - nhead);
  size_t packed = gan_deflate(w->c, gan_bytes(all), e->size, gan_bytes(z), e->size - 1);
  if (packed == 0) return NULL;
  e->method = DEFLATED;
  e->packed = packed;
  return gan_bytes(z);
}

static bool put_member (writer *w, entry *e) {
  char head[GAN_NPY_HEAD];
  size_t nhead = gan_npy_describe(e->x->t, head);
  const gan_tensor *t = gan_dense(w->c, e->x->t);
  if (!t) return false;
  size_t bytes = (size_t)t->numel * gan_dtype_size((gan_dtype)t->dtype);
  const uint8_t *z = NULL;
  e->begin = w->at;
  e->size = e->packed = nhead + bytes;
  e->crc = gan_crc32(gan_crc32(0, head, nhead), t->data, bytes);
  if (w->deflate && e->size <= DEFLATE_MAX) z = deflate_member(w, e, head, nhead, t);
  if (w->c->status != GAN_OK || !put_local(w, e)) return false;
  return z ? put_bytes(w, z, e->packed)
           : put_bytes(w, head, nhead) && put_bytes(w, t->data, bytes);
}

static bool put_all (writer *w) {
  for (size_t i = 0; i < w->n; i++) {
    gan_frame_open(w->c); /* copies live for one member */
    bool ok = put_member(w, &w->entries[i]);
    gan_frame_close(w->c);
    if (!ok) return false;
  }
  uint64_t begin = w->at;
  for (size_t i = 0; i < w->n; i++)
    if (!put_central(w, &w->entries[i])) return false;
  return put_end(w, begin);
}

static int by_name (const void *x, const void *y) {
  const gan_named *a = x, *b = y;
  return gan_text_compare(a->name, a->length, b->name, b->length);
}

static bool check_names (gan_ctx *c, const gan_weights *w) {
  if (w->ntensors) qsort(w->tensors, w->ntensors, sizeof *w->tensors, by_name);
  for (size_t i = 0; i < w->ntensors; i++) {
    const gan_named *x = &w->tensors[i];
    const char *what = x->length == 0 || x->length > 65000     ? "too short or too long"
                       : gan_utf8_valid(x->name, x->length) != x->length ||
                               memchr(x->name, 0, x->length)   ? "not UTF-8, or has a zero byte"
                       : i > 0 && by_name(x - 1, x) == 0       ? "there twice"
                                                               : NULL;
    if (!what) continue;
    gan_fail(c, GAN_EARG, "the name '%.*s' is %s", (int)(x->length < 200 ? x->length : 200),
             x->name, what);
    return false;
  }
  return true;
}

bool gan_save_npz (gan_ctx *c, const char *path, gan_weights *arrays, bool deflate) {
  writer w = {.c = c, .deflate = deflate, .n = arrays->ntensors};
  size_t none = 0;
  if (c->status != GAN_OK || !check_names(c, arrays)) return false;
  w.entries = gan_temp_grow(c, NULL, &none, (w.n + 1) * sizeof *w.entries);
  if (!w.entries) return false;
  memset(w.entries, 0, (w.n + 1) * sizeof *w.entries);
  for (size_t i = 0; i < w.n; i++) w.entries[i].x = &arrays->tensors[i];
  if (!gan_replace_open(c, &w.file, path)) return false;
  if (put_all(&w)) return gan_replace_commit(c, &w.file);
  gan_replace_cancel(&w.file);
  return false;
}
