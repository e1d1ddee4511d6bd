/*
** npy.c - numpy's file of one array: a magic number, a version, the length of a header, the header
** (the text of a Python dictionary with the element type, the order and the shape), the elements.
**
** The header has three keys whose values have a fixed form, so it is read by a cursor that knows
** what must come next: nothing is evaluated and nothing recurses.
*/
#include <stdio.h>
#include <string.h>

#include "arrays.h"

#define HEADER_MAX 65536 /* bytes of a header's text; numpy writes 54 to some hundred */

/* ---- stretches ---------------------------------------------------------------------------- */

void *gan_stretch_fail (gan_ctx *c, const gan_stretch *s, const char *fmt, ...) {
  char text[400];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  if (!*s->member) return gan_file_fail(c, s->path, "%s", text);
  return gan_file_fail(c, s->path, "member '%.200s': %s", s->member, text);
}

bool gan_stretch_read (gan_ctx *c, const gan_stretch *s, uint64_t at, void *to, size_t bytes) {
  if (at > s->size || bytes > s->size - at) {
    gan_stretch_fail(c, s, "ends at byte %llu", (unsigned long long)s->size);
    return false;
  }
  if (bytes == 0) return true;
  if (!s->memory) return gan_file_read(c, s->file, s->begin + at, to, bytes);
  memcpy(to, s->memory + at, bytes);
  return true;
}

/* ---- header ------------------------------------------------------------------------------- */

typedef struct {
  gan_ctx *c;
  const gan_stretch *s;
  const char *text;
  size_t at, n;
  size_t begin; /* where the text is in the file */
} cursor;

static bool wrong (cursor *r, const char *what) {
  gan_stretch_fail(r->c, r->s, "npy header: %s at byte %zu", what, r->begin + r->at);
  return false;
}

static void skip_space (cursor *r) {
  while (r->at < r->n && (r->text[r->at] == ' ' || r->text[r->at] == '\n')) r->at++;
}

static bool accept (cursor *r, char ch) {
  skip_space(r);
  if (r->at >= r->n || r->text[r->at] != ch) return false;
  r->at++;
  return true;
}

static bool expect (cursor *r, char ch) {
  char what[] = "'?' expected";
  if (accept(r, ch)) return true;
  what[1] = ch;
  return wrong(r, what);
}

/* A text in quotes of either kind, without escapes. */
static bool quoted (cursor *r, const char **text, size_t *length) {
  skip_space(r);
  char quote = r->at < r->n ? r->text[r->at] : ' ';
  if (quote != '\'' && quote != '"') return wrong(r, "a quoted text expected");
  size_t start = r->at + 1;
  const char *end = memchr(r->text + start, quote, r->n - start);
  if (!end) return wrong(r, "a text without end");
  *text = r->text + start;
  *length = (size_t)(end - *text);
  if (memchr(*text, '\\', *length)) return wrong(r, "an escape");
  r->at = start + *length + 1;
  return true;
}

static bool is (const char *text, size_t length, const char *word) {
  return length == strlen(word) && memcmp(text, word, length) == 0;
}

/* A type as numpy writes it: byte order, kind, bytes. */
static bool read_type (cursor *r, gan_element *e) {
  static const char known[] = "f2f4f8i1i2i4i8u1u2u4u8b1";
  const char *s;
  size_t n, at;
  skip_space(r);
  at = r->at;
  if (at < r->n && r->text[at] == '[') return wrong(r, "records with fields are not supported");
  if (!quoted(r, &s, &n)) return false;
  if (n == 3 && memchr("<>|=", s[0], 4))
    for (const char *k = known; *k; k += 2)
      if (memcmp(k, s + 1, 2) == 0 && (s[0] != '|' || s[2] == '1')) {
        *e = (gan_element){s[1], (uint8_t)(s[2] - '0'), s[0] == '>'};
        return true;
      }
  r->at = at;
  gan_stretch_fail(r->c, r->s,
                   "npy header: the type '%.*s' at byte %zu is not supported (floating point of 2, "
                   "4, 8 bytes, integers, booleans are)",
                   (int)(n < 40 ? n : 40), s, r->begin + at);
  return false;
}

static bool read_order (cursor *r, bool *fortran) {
  skip_space(r);
  const char *s = r->text + r->at;
  size_t left = r->n - r->at;
  *fortran = left >= 4 && memcmp(s, "True", 4) == 0;
  if (!*fortran && (left < 5 || memcmp(s, "False", 5) != 0))
    return wrong(r, "True or False expected");
  r->at += *fortran ? 4 : 5;
  return true;
}

static bool read_size (cursor *r, int64_t *size) {
  int64_t v = 0;
  skip_space(r);
  size_t start = r->at;
  for (; r->at < r->n && r->text[r->at] >= '0' && r->text[r->at] <= '9'; r->at++) {
    int digit = r->text[r->at] - '0';
    if (v > (INT64_MAX - digit) / 10) return wrong(r, "too large a size");
    v = v * 10 + digit;
  }
  if (r->at == start) return wrong(r, "a size expected");
  if (r->at < r->n && r->text[r->at] == 'L') r->at++; /* written by Python 2 */
  *size = v;
  return true;
}

/* A tuple: (), (3,), (3, 4), (3, 4,) - but (3) is a number. */
static bool read_shape (cursor *r, gan_npy *npy) {
  bool comma = true;
  npy->ndim = 0;
  if (!expect(r, '(')) return false;
  while (!accept(r, ')')) {
    if (!comma) return wrong(r, "',' expected");
    if (npy->ndim == GAN_MAXDIM) return wrong(r, "too many dimensions");
    if (!read_size(r, &npy->shape[npy->ndim++])) return false;
    comma = accept(r, ',');
  }
  return npy->ndim != 1 || comma || wrong(r, "a tuple expected");
}

static bool read_dictionary (cursor *r, gan_npy *npy) {
  static const char *const keys[] = {"descr", "fortran_order", "shape"};
  unsigned seen = 0;
  bool comma = true;
  if (!expect(r, '{')) return false;
  while (!accept(r, '}')) {
    const char *s;
    size_t n;
    unsigned k = 0;
    if (!comma) return wrong(r, "',' expected");
    if (!quoted(r, &s, &n)) return false;
    while (k < 3 && !is(s, n, keys[k])) k++;
    if (k == 3) return wrong(r, "an unknown key before");
    if (seen & 1u << k) return wrong(r, "a key that is there twice before");
    seen |= 1u << k;
    if (!expect(r, ':')) return false;
    if (!(k == 0   ? read_type(r, &npy->element)
          : k == 1 ? read_order(r, &npy->fortran)
                   : read_shape(r, npy)))
      return false;
    comma = accept(r, ',');
  }
  if (seen != 7) return wrong(r, "descr, fortran_order or shape is missing");
  skip_space(r);
  return r->at == r->n || wrong(r, "something after the closing brace");
}

/* Length of the header's text, and how many bytes come before it. */
static bool read_magic (gan_ctx *c, const gan_stretch *s, size_t *length, size_t *begin) {
  uint8_t head[12];
  size_t got = s->size < sizeof head ? (size_t)s->size : sizeof head;
  if (!gan_stretch_read(c, s, 0, head, got)) return false;
  if (got < 10 || memcmp(head, "\x93NUMPY", 6) != 0) {
    gan_stretch_fail(c, s, "not an npy file: no magic number at byte 0");
    return false;
  }
  if (head[6] < 1 || head[6] > 3 || head[7] != 0) {
    gan_stretch_fail(c, s, "npy: unknown version %d.%d at byte 6", head[6], head[7]);
    return false;
  }
  *begin = head[6] == 1 ? 10 : 12;
  *length = head[8] | (size_t)head[9] << 8;
  if (head[6] > 1 && got == 12) *length |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
  if (*begin <= s->size && *length <= s->size - *begin && *length <= HEADER_MAX) return true;
  gan_stretch_fail(c, s, "npy: the header of %zu bytes that byte 8 promises is longer than %s",
                   *length, *length > HEADER_MAX ? "a header may be" : "the file");
  return false;
}

bool gan_npy_header (gan_ctx *c, const gan_stretch *s, gan_npy *npy) {
  size_t length, begin;
  if (!read_magic(c, s, &length, &begin)) return false;
  int64_t room = (int64_t)length + 1;
  gan_tensor *text = gan_new(c, GAN_UINT8, 1, &room);
  if (!text || !gan_stretch_read(c, s, begin, gan_bytes(text), length)) return false;
  cursor r = {c, s, (const char *)gan_bytes(text), 0, length, begin};
  if (!read_dictionary(&r, npy)) return false;
  npy->head = begin + length;
  uint64_t left = s->size - npy->head;
  if (gan_count(npy->ndim, npy->shape, npy->element.item, &npy->numel) &&
      (uint64_t)npy->numel * npy->element.item == left)
    return true;
  gan_stretch_fail(c, s, "npy: %s elements of %d bytes do not fit the %llu bytes from byte %llu on",
                   gan_shape_text(c, npy->ndim, npy->shape), npy->element.item,
                   (unsigned long long)left, (unsigned long long)npy->head);
  return false;
}

/* ---- elements ----------------------------------------------------------------------------- */

/* Elements go through a small buffer, or straight to their place when they need no conversion. */
static bool read_elements (gan_ctx *c, const gan_stretch *s, const gan_npy *npy, gan_tensor *t) {
  uint8_t chunk[1 << 14]; /* a multiple of every item size */
  gan_element e = npy->element;
  size_t size = gan_dtype_size((gan_dtype)t->dtype);
  uint64_t at = npy->head;
  if (gan_element_is_native(e))
    return gan_stretch_read(c, s, at, t->data, (size_t)t->numel * size);
  for (int64_t done = 0; done < t->numel;) {
    int64_t n = (int64_t)sizeof chunk / e.item;
    if (n > t->numel - done) n = t->numel - done;
    if (!gan_stretch_read(c, s, at, chunk, (size_t)n * e.item)) return false;
    int64_t good = gan_convert_elements(e, chunk, n, (char *)t->data + (size_t)done * size);
    if (good < n) {
      gan_stretch_fail(c, s, "npy: an unsigned integer above 2^63 - 1 at byte %llu",
                       (unsigned long long)(at + (uint64_t)good * e.item));
      return false;
    }
    done += n;
    at += (uint64_t)n * e.item;
  }
  return true;
}

gan_tensor *gan_npy_elements (gan_ctx *c, const gan_stretch *s, const gan_npy *npy) {
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM], step = 1;
  int nd = npy->ndim;
  for (int d = 0; d < nd; d++) shape[d] = npy->shape[npy->fortran ? nd - 1 - d : d];
  gan_tensor *t = gan_new(c, gan_element_dtype(npy->element), nd, shape);
  if (!t || !read_elements(c, s, npy, t)) return NULL;
  if (!npy->fortran || nd < 2) return t;
  for (int d = 0; d < nd; d++) { /* the same memory, seen the other way round */
    stride[d] = step;
    step *= npy->shape[d] > 0 ? npy->shape[d] : 1;
  }
  return gan_view(c, t, nd, npy->shape, stride, 0);
}

gan_tensor *gan_load_npy (gan_ctx *c, const char *path) {
  gan_file file;
  gan_npy npy;
  gan_tensor *t = NULL;
  if (!gan_file_open(c, &file, path)) return NULL;
  gan_stretch s = {&file, NULL, 0, file.size, path, ""};
  if (gan_npy_header(c, &s, &npy)) t = gan_npy_elements(c, &s, &npy);
  gan_file_close(&file);
  return t;
}

/* ---- writing ------------------------------------------------------------------------------ */

size_t gan_npy_describe (const gan_tensor *t, char head[GAN_NPY_HEAD]) {
  gan_element e = gan_element_of((gan_dtype)t->dtype);
  size_t n = 10;
  memcpy(head, "\x93NUMPY\1\0", 8);
  n += (size_t)snprintf(head + n, GAN_NPY_HEAD - n,
                        "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (",
                        e.item == 1 ? '|' : '<', e.kind, e.item);
  for (int d = 0; d < t->ndim; d++)
    n += (size_t)snprintf(head + n, GAN_NPY_HEAD - n, d > 0 ? ", %lld" : "%lld",
                          (long long)t->shape[d]);
  n += (size_t)snprintf(head + n, GAN_NPY_HEAD - n, "%s), }", t->ndim == 1 ? "," : "");
  while ((n + 1) % 64 != 0) head[n++] = ' '; /* elements are aligned, as numpy does it */
  head[n++] = '\n';
  head[8] = (char)((n - 10) & 255);
  head[9] = (char)((n - 10) >> 8);
  return n;
}

bool gan_save_npy (gan_ctx *c, const char *path, gan_tensor *t) {
  char head[GAN_NPY_HEAD];
  gan_replacement r;
  gan_tensor *dense = gan_dense(c, t);
  if (!dense || !gan_replace_open(c, &r, path)) return false;
  size_t bytes = (size_t)t->numel * gan_dtype_size((gan_dtype)t->dtype);
  if (gan_replace_write(c, &r, head, gan_npy_describe(t, head)) &&
      gan_replace_write(c, &r, dense->data, bytes))
    return gan_replace_commit(c, &r);
  gan_replace_cancel(&r);
  return false;
}
