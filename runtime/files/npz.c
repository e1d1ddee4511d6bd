/*
** npz.c - numpy's archive of arrays: a zip file (APPNOTE 6.3, with the 64-bit records of 4.3.14 and
** 4.5.3) whose members are npy files, stored or deflated. Members are found by name in the central
** directory, which is at the end. Names are keys: nothing is ever written under them.
**
** Strict where archives are used to deceive: the directory fills the place between the members and
** the end of the file exactly, members do not overlap, a member's own header agrees with the
** directory, lengths and checksums are verified.
*/
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "arrays.h"
#include "stb.h"

enum { LOCAL = 30, CENTRAL = 46, END = 22, LOCATOR = 20, END64 = 56 }; /* bytes of the records */
enum { STORED = 0, DEFLATED = 8 };
enum { ENCRYPTED = 1, PATCHED = 1 << 5, UTF8 = 1 << 11, MASKED = 1 << 13 };
#define COMMENT_MAX 65535
#define WIDE 0xFFFFFFFFu /* the value is in a 64-bit record */

typedef struct {
  const char *name;
  size_t length;  /* of the name as the archive has it */
  uint64_t begin; /* of the local header */
  uint64_t packed, size;
  uint32_t crc;
  int method, flags;
} member;

typedef struct {
  gan_ctx *c;
  gan_file file;
  uint64_t begin, end; /* the central directory */
  uint64_t count;
  member *members; /* by name */
} archive;

static uint64_t little (const uint8_t *p, int bytes) {
  uint64_t v = 0;
  while (bytes-- > 0) v = v << 8 | p[bytes];
  return v;
}

static bool wrong (archive *a, const char *what, uint64_t at) {
  gan_file_fail(a->c, a->file.path, "npz: %s at byte %llu", what, (unsigned long long)at);
  return false;
}

/* ---- the end of the archive ---------------------------------------------------------------- */

/* The 64-bit end record, where the 32-bit one at `at` has no room for its values. */
static bool read_end64 (archive *a, uint64_t at) {
  uint8_t p[END64];
  if (at < LOCATOR + END64) return wrong(a, "no room for the 64-bit end record before", at);
  if (!gan_file_read(a->c, &a->file, at - LOCATOR, p, LOCATOR)) return false;
  uint64_t place = little(p + 8, 8);
  if (memcmp(p, "PK\6\7", 4) != 0 || little(p + 4, 4) != 0 || little(p + 16, 4) != 1 ||
      place != at - LOCATOR - END64)
    return wrong(a, "a malformed locator of the 64-bit end record", at - LOCATOR);
  if (!gan_file_read(a->c, &a->file, place, p, END64)) return false;
  if (memcmp(p, "PK\6\6", 4) != 0 || little(p + 4, 8) != END64 - 12 || little(p + 16, 8) != 0 ||
      little(p + 24, 8) != little(p + 32, 8))
    return wrong(a, "a malformed 64-bit end record", place);
  a->count = little(p + 32, 8);
  a->begin = little(p + 48, 8);
  a->end = place;
  if (a->begin > place || little(p + 40, 8) != place - a->begin)
    return wrong(a, "the 64-bit end record does not follow the directory", place);
  return true;
}

static bool read_end (archive *a, const uint8_t *p, uint64_t at) {
  uint64_t size = little(p + 12, 4);
  a->count = little(p + 10, 2);
  a->begin = little(p + 16, 4);
  a->end = at;
  if (little(p + 4, 2) != 0 || little(p + 6, 2) != 0 || little(p + 8, 2) != a->count)
    return wrong(a, "archives of several parts are not supported:", at);
  if (a->count == 0xFFFF || size == WIDE || a->begin == WIDE) return read_end64(a, at);
  if (a->begin <= at && size == at - a->begin) return true;
  /* a 64-bit record may stand between, with the same values */
  return a->begin + size < at ? read_end64(a, at)
                              : wrong(a, "the directory does not fit before its end record", at);
}

/* Looks for the end record from the end on: a comment of any length follows it. */
static bool find_end (archive *a) {
  uint64_t size = a->file.size;
  int64_t tail = (int64_t)(size < END + COMMENT_MAX ? size : END + COMMENT_MAX);
  gan_tensor *t = gan_new(a->c, GAN_UINT8, 1, &tail);
  if (!t || !gan_file_read(a->c, &a->file, size - (uint64_t)tail, t->data, (size_t)tail))
    return false;
  for (int64_t at = tail - END; at >= 0; at--) {
    const uint8_t *p = gan_bytes(t) + at;
    if (memcmp(p, "PK\5\6", 4) == 0 && (int64_t)little(p + 20, 2) == tail - END - at)
      return read_end(a, p, size - (uint64_t)(tail - at));
  }
  return wrong(a, "not a zip archive: no end record", size);
}

/* ---- directory ---------------------------------------------------------------------------- */

/* Replaces the values that are too large for 32 bits by those of the extra field 1. */
static bool widen (member *m, const uint8_t *p, size_t n) {
  uint64_t *values[] = {&m->size, &m->packed, &m->begin};
  while (n >= 4) {
    size_t id = (size_t)little(p, 2), length = (size_t)little(p + 2, 2);
    if (length > n - 4) return false;
    for (int k = 0, at = 4; id == 1 && k < 3; k++) {
      if (*values[k] != WIDE) continue;
      if ((size_t)at + 8 > length + 4) return false;
      *values[k] = little(p + at, 8);
      at += 8;
    }
    if (id == 1) return true;
    p += 4 + length;
    n -= 4 + length;
  }
  return m->size != WIDE && m->packed != WIDE && m->begin != WIDE;
}

/* One entry of the directory, of which `left` bytes are left; the number it takes, 0: malformed. */
static size_t read_entry (archive *a, member *m, const uint8_t *p, size_t left, uint64_t at) {
  if (left < CENTRAL || memcmp(p, "PK\1\2", 4) != 0) {
    wrong(a, "no entry of the directory", at);
    return 0;
  }
  size_t extra = (size_t)little(p + 30, 2), comment = (size_t)little(p + 32, 2);
  m->flags = (int)little(p + 8, 2);
  m->method = (int)little(p + 10, 2);
  m->crc = (uint32_t)little(p + 16, 4);
  m->packed = little(p + 20, 4);
  m->size = little(p + 24, 4);
  m->length = (size_t)little(p + 28, 2);
  m->begin = little(p + 42, 4);
  m->name = (const char *)p + CENTRAL;
  if (m->length + extra + comment > left - CENTRAL) {
    wrong(a, "the directory ends in the entry", at);
    return 0;
  }
  if (!widen(m, p + CENTRAL + m->length, extra)) {
    wrong(a, "malformed 64-bit sizes in the entry", at);
    return 0;
  }
  if (m->flags & (ENCRYPTED | PATCHED | MASKED) || (m->method != STORED && m->method != DEFLATED)) {
    wrong(a, "an encrypted member, or a compression other than deflate, in the entry", at);
    return 0;
  }
  bool fits = m->begin <= a->begin && a->begin - m->begin >= LOCAL + m->length &&
              m->packed <= a->begin - m->begin - LOCAL - m->length;
  /* no deflate stream expands by more than 1032: a forged length allocates nothing */
  bool likely = m->method == STORED ? m->size == m->packed
                                    : m->size / 1032 <= m->packed && m->size <= INT_MAX;
  if (!fits || !likely || gan_utf8_valid(m->name, m->length) != m->length ||
      memchr(m->name, 0, m->length)) {
    wrong(a, "impossible sizes, or a name that is not UTF-8, in the entry", at);
    return 0;
  }
  return CENTRAL + m->length + extra + comment;
}

static int by_place (const void *x, const void *y) {
  const member *a = x, *b = y;
  return a->begin < b->begin ? -1 : a->begin > b->begin;
}

static int by_name (const void *x, const void *y) {
  const member *a = x, *b = y;
  return gan_text_compare(a->name, a->length, b->name, b->length);
}

static bool check_order (archive *a) {
  size_t n = (size_t)a->count;
  if (n == 0) return true;
  qsort(a->members, n, sizeof *a->members, by_place);
  for (size_t i = 0; i + 1 < n; i++) {
    const member *m = &a->members[i];
    if (m->begin + LOCAL + m->length + m->packed > m[1].begin)
      return wrong(a, "members that overlap", m[1].begin);
  }
  qsort(a->members, n, sizeof *a->members, by_name);
  for (size_t i = 0; i + 1 < n; i++)
    if (by_name(&a->members[i], &a->members[i + 1]) == 0)
      return wrong(a, "a name that is there twice", a->members[i].begin);
  return true;
}

static bool read_directory (archive *a) {
  int64_t bytes = (int64_t)(a->end - a->begin);
  size_t none = 0, at = 0;
  if (a->count > (uint64_t)bytes / CENTRAL)
    return wrong(a, "more members than the directory has room for", a->begin);
  gan_tensor *t = gan_new(a->c, GAN_UINT8, 1, &bytes);
  if (!t || !gan_file_read(a->c, &a->file, a->begin, t->data, (size_t)bytes)) return false;
  a->members = gan_temp_grow(a->c, NULL, &none, ((size_t)a->count + 1) * sizeof *a->members);
  if (!a->members) return false;
  for (uint64_t i = 0; i < a->count; i++) {
    size_t n = read_entry(a, &a->members[i], gan_bytes(t) + at, (size_t)bytes - at, a->begin + at);
    if (n == 0) return false;
    at += n;
  }
  if (at != (size_t)bytes) return wrong(a, "something behind the last entry", a->begin + at);
  return check_order(a);
}

/* ---- members ------------------------------------------------------------------------------ */

/* Where the bytes of a member begin; 0: its local header is malformed. */
static uint64_t data_begin (archive *a, const member *m) {
  uint8_t p[LOCAL + 256];
  size_t some = m->length < 256 ? m->length : 256;
  if (!gan_file_read(a->c, &a->file, m->begin, p, LOCAL + some)) return 0;
  uint64_t begin = m->begin + LOCAL + m->length + little(p + 28, 2);
  if (memcmp(p, "PK\3\4", 4) == 0 && (int)little(p + 8, 2) == m->method &&
      little(p + 26, 2) == m->length && memcmp(p + LOCAL, m->name, some) == 0 &&
      begin <= a->begin && m->packed <= a->begin - begin)
    return begin;
  wrong(a, "a header that disagrees with the directory", m->begin);
  return 0;
}

static bool check_stored (archive *a, const member *m, uint64_t begin) {
  uint8_t chunk[1 << 15];
  uint32_t crc = 0;
  for (uint64_t at = 0; at < m->size;) {
    size_t n = m->size - at < sizeof chunk ? (size_t)(m->size - at) : sizeof chunk;
    if (!gan_file_read(a->c, &a->file, begin + at, chunk, n)) return false;
    crc = gan_crc32(crc, chunk, n);
    at += n;
  }
  return crc == m->crc || wrong(a, "a wrong checksum of the member", m->begin);
}

/* The inflated bytes of a member; NULL on failure. [temp] */
static gan_tensor *inflate_member (archive *a, const member *m, uint64_t begin) {
  /* with what follows it: some versions of stb look ahead, and would miss the end of the stream */
  int64_t size = (int64_t)m->size, packed = (int64_t)m->packed + 8;
  if (packed > INT_MAX) {
    wrong(a, "a compressed member of 2 GiB or more", m->begin);
    return NULL;
  }
  gan_tensor *in = gan_new(a->c, GAN_UINT8, 1, &packed);
  gan_tensor *out = in ? gan_new(a->c, GAN_UINT8, 1, &size) : NULL;
  if (!out || !gan_file_read(a->c, &a->file, begin, in->data, (size_t)packed)) return NULL;
  if (gan_inflate(in->data, (size_t)packed, out->data, (size_t)size) &&
      gan_crc32(0, out->data, (size_t)size) == m->crc)
    return out;
  wrong(a, "a malformed stream, or a wrong checksum, of the member", m->begin);
  return NULL;
}

/* The array of a member, owned by the caller: what is made on the way is freed. */
static gan_tensor *read_member (archive *a, const member *m) {
  char name[256] = "";
  size_t some = m->length < sizeof name - 1 ? m->length : sizeof name - 1;
  memcpy(name, m->name, some);
  gan_stretch s = {&a->file, NULL, 0, m->size, a->file.path, name};
  gan_npy npy;
  gan_tensor *t = NULL;
  gan_frame_open(a->c);
  s.begin = data_begin(a, m);
  bool ok = s.begin > 0;
  if (ok && m->method == STORED)
    ok = check_stored(a, m, s.begin);
  else if (ok) {
    gan_tensor *bytes = inflate_member(a, m, s.begin);
    ok = bytes != NULL;
    if (ok) s.memory = gan_bytes(bytes);
  }
  if (ok && gan_npy_header(a->c, &s, &npy)) t = gan_npy_elements(a->c, &s, &npy);
  gan_retain(t);
  gan_frame_close(a->c);
  return t;
}

/* ---- reading ------------------------------------------------------------------------------ */

/* The member of an array "x" is "x.npy". */
static bool has_suffix (const member *m) {
  return m->length >= 4 && memcmp(m->name + m->length - 4, ".npy", 4) == 0;
}

static const member *find (const archive *a, const char *name, size_t length) {
  for (uint64_t i = 0; i < a->count; i++) {
    const member *m = &a->members[i];
    if (has_suffix(m) && gan_text_compare(m->name, m->length - 4, name, length) == 0) return m;
  }
  return NULL;
}

static bool read_all (archive *a, gan_weights *w) {
  size_t none = 0;
  w->tensors = gan_temp_grow(a->c, NULL, &none, ((size_t)a->count + 1) * sizeof *w->tensors);
  if (!w->tensors) return false;
  for (uint64_t i = 0; i < a->count; i++) {
    const member *m = &a->members[i];
    if (!has_suffix(m)) return wrong(a, "a member that is no npy file", m->begin);
    gan_tensor *t = gan_temp(a->c, read_member(a, m));
    if (!t) return false;
    w->tensors[w->ntensors++] = (gan_named){m->name, m->length - 4, t};
  }
  return true;
}

static bool open_archive (gan_ctx *c, archive *a, const char *path) {
  *a = (archive){.c = c};
  if (c->status != GAN_OK || !gan_file_open(c, &a->file, path)) return false;
  if (find_end(a) && read_directory(a)) return true;
  gan_file_close(&a->file);
  return false;
}

bool gan_load_npz (gan_ctx *c, const char *path, gan_weights *w) {
  archive a;
  *w = (gan_weights){0};
  if (!open_archive(c, &a, path)) return false;
  bool ok = read_all(&a, w);
  gan_file_close(&a.file);
  return ok;
}

gan_tensor *gan_load_npz_member (gan_ctx *c, const char *path, const char *name, size_t length) {
  archive a;
  gan_tensor *t = NULL;
  if (!open_archive(c, &a, path)) return NULL;
  const member *m = find(&a, name, length);
  if (m)
    t = gan_temp(c, read_member(&a, m));
  else
    gan_file_fail(c, path, "npz: there is no array '%.*s'", (int)(length < 200 ? length : 200),
                  name);
  gan_file_close(&a.file);
  return t;
}

bool gan_npz_names (gan_ctx *c, const char *path, gan_weights *w) {
  archive a;
  size_t none = 0;
  *w = (gan_weights){0};
  if (!open_archive(c, &a, path)) return false;
  w->tensors = gan_temp_grow(c, NULL, &none, ((size_t)a.count + 1) * sizeof *w->tensors);
  for (uint64_t i = 0; w->tensors && i < a.count; i++)
    if (has_suffix(&a.members[i]))
      w->tensors[w->ntensors++] =
          (gan_named){a.members[i].name, a.members[i].length - 4, NULL};
  gan_file_close(&a.file);
  return w->tensors != NULL;
}
