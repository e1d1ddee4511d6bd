/*
** safetensors_read.c - reading named tensors, with the strictness of the reference implementation:
** no holes, no overlaps, no duplicates, no unknown fields, nothing after the JSON but spaces.
**
** The header has a fixed depth, so it is read by a cursor that knows what must come next: there is
** no recursion, no tree of tokens (a general parser needs more memory than the header), and every
** complaint has its byte. Texts are unescaped in place, where they can only become shorter.
*/
#include <stdlib.h>
#include <string.h>

#include "arrays.h"

typedef struct {
  const char *name;
  size_t item;
  char kind; /* of gan_element */
  gan_dtype dtype;
} st_type;

static const st_type types[] = {
    {"F64", 8, 'f', GAN_REAL},  {"F32", 4, 'f', GAN_REAL},  {"F16", 2, 'f', GAN_REAL},
    {"BF16", 2, 'h', GAN_REAL}, {"I64", 8, 'i', GAN_INT64}, {"I32", 4, 'i', GAN_INT64},
    {"I16", 2, 'i', GAN_INT64}, {"I8", 1, 'i', GAN_INT64},  {"U64", 8, 'u', GAN_INT64},
    {"U32", 4, 'u', GAN_INT64}, {"U16", 2, 'u', GAN_INT64}, {"U8", 1, 'u', GAN_UINT8},
    {"BOOL", 1, 'u', GAN_UINT8}, {NULL, 0, 'u', GAN_REAL}};

typedef struct {
  const char *name;
  size_t length;
  int type; /* index in `types` */
  int ndim;
  int64_t shape[GAN_MAXDIM];
  uint64_t begin, end; /* relative to the data */
  gan_tensor *t;
} entry;

typedef struct {
  gan_ctx *c;
  gan_file file;
  char *s; /* the header */
  size_t at, n;
  entry *entries;
  size_t nentries, entries_size; /* the size in bytes */
  gan_pair *pairs;
  size_t npairs, pairs_size;
} reader;

#define HEAD 8 /* bytes before the header */

/* ---- cursor ------------------------------------------------------------------------------- */

static bool wrong_at (reader *r, size_t at, const char *what) {
  gan_file_fail(r->c, r->file.path, "safetensors header: %s at byte %zu", what, HEAD + at);
  return false;
}

static bool wrong (reader *r, const char *what) {
  return wrong_at(r, r->at, what);
}

static void skip_space (reader *r) {
  while (r->at < r->n && strchr(" \t\r\n", r->s[r->at]) && r->s[r->at]) r->at++;
}

/* Takes the next character when it is this one. */
static bool accept (reader *r, char ch) {
  skip_space(r);
  if (r->at >= r->n || r->s[r->at] != ch) return false;
  r->at++;
  return true;
}

static bool expect (reader *r, char ch) {
  char what[] = "'?' expected";
  if (accept(r, ch)) return true;
  what[1] = ch;
  return wrong(r, what);
}

/* Four hexadecimal digits at s; -1 when they are not. */
static int hex4 (const char *s, size_t n) {
  int v = 0;
  if (n < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int ch = (unsigned char)s[i];
    int digit = ch >= '0' && ch <= '9'   ? ch - '0'
                : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10
                : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10
                                         : -1;
    if (digit < 0) return -1;
    v = v * 16 + digit;
  }
  return v;
}

static size_t put_utf8 (char *out, int code) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = n - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
  out[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | code);
  return n;
}

/* The character of "\u" and four digits, or of a pair of surrogates; -1: malformed. */
static int unicode (reader *r) {
  int code = hex4(r->s + r->at + 1, r->n - r->at - 1);
  if (code < 0 || (code >= 0xDC00 && code <= 0xDFFF)) return -1;
  r->at += 5;
  if (code < 0xD800 || code > 0xDBFF) return code;
  if (r->n - r->at < 6 || r->s[r->at] != '\\' || r->s[r->at + 1] != 'u') return -1;
  int low = hex4(r->s + r->at + 2, r->n - r->at - 2);
  if (low < 0xDC00 || low > 0xDFFF) return -1;
  r->at += 6;
  return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

/* The character of an escape whose backslash has been taken; -1: malformed. */
static int escape (reader *r) {
  static const char letters[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
  if (r->at >= r->n) return -1;
  if (r->s[r->at] == 'u') return unicode(r);
  const char *p = r->s[r->at] ? strchr(letters, r->s[r->at]) : NULL;
  if (!p) return -1;
  r->at++;
  return values[p - letters];
}

/* A JSON string, unescaped where it stands. */
static bool string (reader *r, const char **text, size_t *length) {
  if (!expect(r, '"')) return false;
  size_t start = r->at;
  char *out = r->s + start;
  *text = out;
  for (;;) {
    if (r->at >= r->n) return wrong_at(r, start - 1, "a text without end");
    unsigned char ch = (unsigned char)r->s[r->at++];
    if (ch == '"') break;
    if (ch < 0x20) return wrong_at(r, r->at - 1, "a control character");
    if (ch != '\\') {
      *out++ = (char)ch;
      continue;
    }
    size_t at = r->at - 1;
    int code = escape(r);
    if (code < 0) return wrong_at(r, at, "a malformed escape");
    out += put_utf8(out, code);
  }
  *length = (size_t)(out - *text);
  if (gan_utf8_valid(*text, *length) != *length) return wrong_at(r, start, "not UTF-8");
  return true;
}

/* A non-negative integer below 2^63. */
static bool integer (reader *r, int64_t *value) {
  uint64_t v = 0;
  skip_space(r);
  size_t start = r->at;
  for (; r->at < r->n && r->s[r->at] >= '0' && r->s[r->at] <= '9'; r->at++) {
    uint64_t digit = (uint64_t)(r->s[r->at] - '0');
    if (v > ((uint64_t)INT64_MAX - digit) / 10) return wrong_at(r, start, "too large a number");
    v = v * 10 + digit;
  }
  if (r->at == start || (r->s[start] == '0' && r->at - start > 1))
    return wrong_at(r, start, "a whole number expected");
  *value = (int64_t)v;
  return true;
}

/* A list of at most `max` integers. */
static bool integers (reader *r, int max, int64_t *list, int *n) {
  *n = 0;
  if (!expect(r, '[')) return false;
  if (accept(r, ']')) return true;
  do {
    if (*n == max) return wrong(r, "too many numbers");
    if (!integer(r, &list[(*n)++])) return false;
  } while (accept(r, ','));
  return expect(r, ']');
}

/* ---- header ------------------------------------------------------------------------------- */

static bool is (const char *text, size_t length, const char *word) {
  return length == strlen(word) && memcmp(text, word, length) == 0;
}

static bool read_type (reader *r, entry *e) {
  const char *text;
  size_t length, at = r->at;
  if (!string(r, &text, &length)) return false;
  for (e->type = 0; types[e->type].name; e->type++)
    if (is(text, length, types[e->type].name)) return true;
  gan_file_fail(r->c, r->file.path, "safetensors header: unknown type '%.*s' at byte %zu",
                (int)(length < 32 ? length : 32), text, HEAD + at);
  return false;
}

static bool read_offsets (reader *r, entry *e) {
  int64_t pair[2];
  int n;
  skip_space(r);
  size_t at = r->at;
  if (!integers(r, 2, pair, &n)) return false;
  if (n != 2 || pair[0] > pair[1]) return wrong_at(r, at, "data_offsets are not [begin, end]");
  e->begin = (uint64_t)pair[0];
  e->end = (uint64_t)pair[1];
  return true;
}

/* One field of a tensor's entry; `seen` has a bit for each. */
static bool read_field (reader *r, entry *e, unsigned *seen) {
  const char *key;
  size_t length, at;
  unsigned bit;
  skip_space(r);
  at = r->at;
  if (!string(r, &key, &length) || !expect(r, ':')) return false;
  bit = is(key, length, "dtype")          ? 1
        : is(key, length, "shape")        ? 2
        : is(key, length, "data_offsets") ? 4
                                          : 0;
  if (bit == 0) return wrong_at(r, at, "unknown field of a tensor");
  if (*seen & bit) return wrong_at(r, at, "a field is there twice");
  *seen |= bit;
  if (bit == 1) return read_type(r, e);
  if (bit == 2) return integers(r, GAN_MAXDIM, e->shape, &e->ndim);
  return read_offsets(r, e);
}

static bool read_tensor (reader *r, const char *name, size_t length) {
  entry e = {.name = name, .length = length};
  unsigned seen = 0;
  int64_t numel;
  skip_space(r);
  size_t at = r->at;
  if (!expect(r, '{')) return false;
  do {
    if (!read_field(r, &e, &seen)) return false;
  } while (accept(r, ','));
  if (!expect(r, '}')) return false;
  if (seen != 7) return wrong_at(r, at, "dtype, shape or data_offsets missing");
  if (!gan_count(e.ndim, e.shape, types[e.type].item, &numel) ||
      (uint64_t)numel * types[e.type].item != e.end - e.begin)
    return wrong_at(r, at, "shape and data_offsets disagree");
  size_t used = r->nentries * sizeof e;
  entry *grown = gan_temp_grow(r->c, r->entries, &r->entries_size, used + sizeof e);
  if (!grown) return false;
  r->entries = grown;
  r->entries[r->nentries++] = e;
  return true;
}

static bool read_metadata (reader *r) {
  gan_pair p;
  if (r->pairs) return wrong(r, "__metadata__ is there twice");
  r->pairs = gan_temp_grow(r->c, NULL, &r->pairs_size, sizeof p);
  if (!r->pairs || !expect(r, '{')) return false;
  if (accept(r, '}')) return true;
  do {
    if (!string(r, &p.key, &p.key_length) || !expect(r, ':') ||
        !string(r, &p.value, &p.value_length))
      return false;
    gan_pair *grown =
        gan_temp_grow(r->c, r->pairs, &r->pairs_size, (r->npairs + 1) * sizeof p);
    if (!grown) return false;
    r->pairs = grown;
    r->pairs[r->npairs++] = p;
  } while (accept(r, ','));
  return expect(r, '}');
}

static bool read_object (reader *r) {
  const char *name;
  size_t length;
  if (r->n == 0 || r->s[0] != '{') return wrong(r, "'{' expected");
  r->at = 1;
  if (!accept(r, '}')) {
    do {
      if (!string(r, &name, &length) || !expect(r, ':')) return false;
      if (!(is(name, length, "__metadata__") ? read_metadata(r) : read_tensor(r, name, length)))
        return false;
    } while (accept(r, ','));
    if (!expect(r, '}')) return false;
  }
  skip_space(r);
  return r->at == r->n || wrong(r, "something after the closing brace");
}

static int by_name (const void *a, const void *b) {
  const entry *x = a, *y = b;
  return gan_text_compare(x->name, x->length, y->name, y->length);
}

static int by_key (const void *a, const void *b) {
  const gan_pair *x = a, *y = b;
  return gan_text_compare(x->key, x->key_length, y->key, y->key_length);
}

static int by_offset (const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end;
}

static bool twice (reader *r, const char *what, const char *text, size_t length) {
  gan_file_fail(r->c, r->file.path, "safetensors header: the %s '%.*s' is there twice", what,
                (int)(length < 200 ? length : 200), text);
  return false;
}

/* No duplicates; the byte ranges follow one another and fill the data. Leaves entries by name. */
static bool check_entries (reader *r) {
  uint64_t end = 0, data = r->file.size - HEAD - r->n;
  if (r->nentries) qsort(r->entries, r->nentries, sizeof *r->entries, by_offset);
  for (size_t i = 0; i < r->nentries; i++) {
    const entry *e = &r->entries[i];
    if (e->begin != end || e->end > data) {
      gan_file_fail(r->c, r->file.path,
                    "safetensors: '%.*s' has the data from %llu to %llu: %s at byte %llu",
                    (int)(e->length < 200 ? e->length : 200), e->name,
                    (unsigned long long)e->begin, (unsigned long long)e->end,
                    e->begin > end   ? "a hole"
                    : e->begin < end ? "an overlap"
                                     : "beyond the end of the file",
                    (unsigned long long)(HEAD + r->n + end));
      return false;
    }
    end = e->end;
  }
  if (end != data) {
    gan_file_fail(r->c, r->file.path, "safetensors: %llu bytes belong to no tensor at byte %llu",
                  (unsigned long long)(data - end), (unsigned long long)(HEAD + r->n + end));
    return false;
  }
  if (r->nentries) qsort(r->entries, r->nentries, sizeof *r->entries, by_name);
  for (size_t i = 1; i < r->nentries; i++)
    if (by_name(&r->entries[i - 1], &r->entries[i]) == 0)
      return twice(r, "name", r->entries[i].name, r->entries[i].length);
  if (r->npairs) qsort(r->pairs, r->npairs, sizeof *r->pairs, by_key);
  for (size_t i = 1; i < r->npairs; i++)
    if (by_key(&r->pairs[i - 1], &r->pairs[i]) == 0)
      return twice(r, "metadata key", r->pairs[i].key, r->pairs[i].key_length);
  return true;
}

static bool read_header (reader *r) {
  uint64_t length = 0;
  if (r->file.size < HEAD) {
    gan_file_fail(r->c, r->file.path, "not a safetensors file: it ends at byte %llu",
                  (unsigned long long)r->file.size);
    return false;
  }
  if (!gan_file_read(r->c, &r->file, 0, &length, HEAD)) return false;
  if (length > GAN_SAFETENSORS_HEADER || length > r->file.size - HEAD) {
    gan_file_fail(r->c, r->file.path,
                  "not a safetensors file: a header of %llu bytes, promised at byte 0, %s",
                  (unsigned long long)length,
                  length > r->file.size - HEAD ? "is longer than the file" : "is too long");
    return false;
  }
  size_t none = 0;
  r->n = (size_t)length;
  r->s = gan_temp_grow(r->c, NULL, &none, r->n + 1);
  return r->s && gan_file_read(r->c, &r->file, HEAD, r->s, r->n) && read_object(r) &&
         check_entries(r);
}

/* ---- elements ----------------------------------------------------------------------------- */

static gan_element element_of (const entry *e) {
  return (gan_element){types[e->type].kind, (uint8_t)types[e->type].item, false};
}

static bool convert (reader *r, const entry *e, uint64_t offset) {
  uint8_t chunk[8192]; /* a multiple of every item size */
  size_t item = types[e->type].item, size = gan_dtype_size((gan_dtype)e->t->dtype);
  gan_element element = element_of(e);
  for (int64_t done = 0; done < e->t->numel;) {
    int64_t n = (int64_t)(sizeof chunk / item);
    if (n > e->t->numel - done) n = e->t->numel - done;
    if (!gan_file_read(r->c, &r->file, offset, chunk, (size_t)n * item)) return false;
    char *to = (char *)e->t->data + (size_t)done * size;
    int64_t good = gan_convert_elements(element, chunk, n, to);
    if (good < n) {
      gan_file_fail(r->c, r->file.path, "safetensors: a U64 above 2^63 - 1 at byte %llu",
                    (unsigned long long)(offset + (size_t)good * item));
      return false;
    }
    done += n;
    offset += (uint64_t)n * item;
  }
  return true;
}

static bool read_elements (reader *r) {
  for (size_t i = 0; i < r->nentries; i++) {
    entry *e = &r->entries[i];
    uint64_t offset = HEAD + r->n + e->begin;
    e->t = gan_new(r->c, types[e->type].dtype, e->ndim, e->shape);
    if (!e->t) return false;
    if (!(gan_element_is_native(element_of(e))
              ? gan_file_read(r->c, &r->file, offset, e->t->data, (size_t)(e->end - e->begin))
              : convert(r, e, offset)))
      return false;
  }
  return true;
}

/* ---- aliases and results ------------------------------------------------------------------ */

static entry *find (reader *r, const char *name, size_t length) {
  entry key = {.name = name, .length = length};
  if (r->nentries == 0) return NULL;
  return bsearch(&key, r->entries, r->nentries, sizeof key, by_name);
}

/* The tensor that an alias stands for; NULL and an error when there is none. */
static gan_tensor *resolve (reader *r, const gan_pair *p, const char *name, size_t length) {
  entry *e = find(r, p->value, p->value_length);
  if (e && !find(r, name, length)) return gan_detach(r->c, e->t);
  if (!e && p->value_length > 2 && memcmp(p->value + p->value_length - 2, "^T", 2) == 0)
    e = find(r, p->value, p->value_length - 2);
  if (!e || e->ndim != 2 || find(r, name, length))
    return gan_file_fail(r->c, r->file.path, "safetensors: the alias '%.*s' of '%.*s' is not valid",
                         (int)(length < 200 ? length : 200), name,
                         (int)(p->value_length < 200 ? p->value_length : 200), p->value);
  int64_t shape[2] = {e->t->shape[1], e->t->shape[0]};
  int64_t stride[2] = {e->t->stride[1], e->t->stride[0]};
  return gan_view(r->c, e->t, 2, shape, stride, 0);
}

static int named_order (const void *a, const void *b) {
  const gan_named *x = a, *y = b;
  return gan_text_compare(x->name, x->length, y->name, y->length);
}

static bool fill_result (reader *r, gan_weights *w) {
  const size_t prefix = strlen(GAN_SAFETENSORS_ALIAS);
  size_t none = 0;
  w->tensors =
      gan_temp_grow(r->c, NULL, &none, (r->nentries + r->npairs + 1) * sizeof *w->tensors);
  if (!w->tensors) return false;
  for (size_t i = 0; i < r->nentries; i++)
    w->tensors[w->ntensors++] =
        (gan_named){r->entries[i].name, r->entries[i].length, r->entries[i].t};
  w->metadata = r->pairs;
  for (size_t i = 0; i < r->npairs; i++) {
    const gan_pair *p = &r->pairs[i];
    if (p->key_length < prefix || memcmp(p->key, GAN_SAFETENSORS_ALIAS, prefix) != 0) {
      w->metadata[w->nmetadata++] = *p;
      continue;
    }
    gan_named alias = {p->key + prefix, p->key_length - prefix, NULL};
    alias.t = resolve(r, p, alias.name, alias.length);
    if (!alias.t) return false;
    w->tensors[w->ntensors++] = alias;
  }
  if (w->ntensors) qsort(w->tensors, w->ntensors, sizeof *w->tensors, named_order);
  return true;
}

bool gan_load_safetensors (gan_ctx *c, const char *path, gan_weights *w) {
  reader r = {.c = c};
  *w = (gan_weights){0};
  if (c->status != GAN_OK || !gan_file_open(c, &r.file, path)) return false;
  bool ok = read_header(&r) && read_elements(&r) && fill_result(&r, w);
  gan_file_close(&r.file);
  return ok;
}
