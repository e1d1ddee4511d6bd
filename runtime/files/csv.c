/*
** csv.c - tables as comma-separated texts (RFC 4180): fields may be quoted, a quoted field may hold
** separators, line ends and doubled quotes. The text is gone through twice: once to count and check
** the records, so that the result is allocated at once, and once to read them.
*/
#include <stdlib.h>
#include <string.h>

#include "csv.h"

#define LIMIT ((uint64_t)8 << 30) /* bytes of a file */
#define FIELDS_MAX 100000         /* in a record */
#define CLASSES_MAX 1000000       /* different labels in a column */

typedef struct {
  char *s;
  size_t length;
  bool doubled; /* quotes inside stand for half as many */
} field;

typedef struct {
  gan_ctx *c;
  const char *path;
  char separator;
  char *s;
  size_t at, n;
  int64_t line; /* of s[at], from 1 */
} cursor;

static bool wrong (cursor *r, int64_t line, const char *what) {
  gan_file_fail(r->c, r->path, "CSV: %s in line %lld", what, (long long)line);
  return false;
}

/* ---- fields ------------------------------------------------------------------------------- */

static bool read_quoted (cursor *r, field *f) {
  int64_t line = r->line;
  size_t start = ++r->at;
  f->s = r->s + start;
  for (; r->at < r->n; r->at++) {
    if (r->s[r->at] == '\n') r->line++;
    if (r->s[r->at] != '"') continue;
    if (r->at + 1 == r->n || r->s[r->at + 1] != '"') {
      f->length = r->at++ - start;
      return true;
    }
    f->doubled = true;
    r->at++;
  }
  return wrong(r, line, "a quoted field without end");
}

/* Takes the line end at the place; false when there is something else. */
static bool take_line_end (cursor *r) {
  if (r->at + 1 < r->n && r->s[r->at] == '\r' && r->s[r->at + 1] == '\n') r->at++;
  if (r->at < r->n && r->s[r->at] != '\n') return false;
  if (r->at < r->n) r->at++;
  r->line++;
  return true;
}

/* The next field, and whether it is the last of its record. */
static bool read_field (cursor *r, field *f, bool *last) {
  *f = (field){r->s + r->at, 0, false};
  if (r->at < r->n && r->s[r->at] == '"') {
    if (!read_quoted(r, f)) return false;
  }
  else {
    size_t start = r->at;
    while (r->at < r->n && r->s[r->at] != r->separator && r->s[r->at] != '\n') r->at++;
    f->length = r->at - start;
    bool end = r->at == r->n || r->s[r->at] == '\n';
    if (end && f->length > 0 && f->s[f->length - 1] == '\r') {
      f->length--;
      r->at--;
      if (r->at + 1 == r->n) r->at++; /* a file that ends with \r */
    }
  }
  *last = false;
  if (r->at < r->n && r->s[r->at] == r->separator) r->at++;
  else if (take_line_end(r)) *last = true;
  else return wrong(r, r->line, "something behind a quoted field");
  return true;
}

/* Skips lines without anything; false at the end of the text. */
static bool find_record (cursor *r) {
  while (r->at < r->n) {
    char ch = r->s[r->at];
    if (ch != '\n' && !(ch == '\r' && (r->at + 1 == r->n || r->s[r->at + 1] == '\n'))) return true;
    r->line += ch == '\n';
    r->at++;
  }
  return false;
}

/* The text of a field, doubled quotes halved where they stand. */
static gan_text text_of (field *f) {
  if (f->doubled) {
    size_t n = 0;
    for (size_t i = 0; i < f->length; i++) {
      f->s[n++] = f->s[i];
      if (f->s[i] == '"') i++;
    }
    f->length = n;
    f->doubled = false;
  }
  return (gan_text){f->s, f->length};
}

static field trimmed (field f) {
  while (f.length > 0 && (f.s[0] == ' ' || f.s[0] == '\t')) f.s++, f.length--;
  while (f.length > 0 && (f.s[f.length - 1] == ' ' || f.s[f.length - 1] == '\t')) f.length--;
  return f;
}

/* ---- columns ------------------------------------------------------------------------------ */

/* What becomes of each column of the file. */
typedef struct {
  int64_t number; /* place in the result's columns; -1: none */
  int64_t label;  /* place in the result's labels; -1: none */
} use;

typedef struct {
  cursor r;
  const gan_csv_options *o;
  gan_csv *out;
  gan_text *names; /* of all columns */
  int64_t columns;
  use *uses;
  struct classes *classes; /* one for each label */
} table;

static void *temp_array (gan_ctx *c, size_t n, size_t item) {
  size_t none = 0;
  void *p = gan_temp_grow(c, NULL, &none, (n + 1) * item);
  if (p) memset(p, 0, (n + 1) * item);
  return p;
}

/* Without a header, a column's number is its name. */
static bool make_names (table *t) {
  enum { ROOM = 8 }; /* digits of a number up to FIELDS_MAX */
  char *s = temp_array(t->r.c, (size_t)t->columns, ROOM);
  t->names = temp_array(t->r.c, (size_t)t->columns, sizeof *t->names);
  if (!s || !t->names) return false;
  for (int64_t i = 0; i < t->columns; i++, s += ROOM) {
    size_t at = ROOM;
    for (int64_t v = i + 1; v > 0; v /= 10) s[--at] = (char)('0' + v % 10);
    t->names[i] = (gan_text){s + at, ROOM - at};
  }
  return true;
}

/* The first record: its fields are counted, and kept where they are the names. */
static bool read_header (table *t) {
  cursor *r = &t->r, start;
  field f;
  bool last = false;
  if (!find_record(r)) return wrong(r, r->line, "no record");
  start = *r;
  for (t->columns = 0; !last; t->columns++) {
    if (t->columns == FIELDS_MAX) return wrong(r, r->line, "too many fields");
    if (!read_field(r, &f, &last)) return false;
  }
  *r = start;
  if (!t->o->header) return make_names(t);
  t->names = temp_array(r->c, (size_t)t->columns, sizeof *t->names);
  if (!t->names) return false;
  for (int64_t i = 0; i < t->columns; i++) {
    if (!read_field(r, &f, &last)) return false;
    f = trimmed(f);
    t->names[i] = text_of(&f);
  }
  return true;
}

static bool same_text (gan_text a, gan_text b) {
  return a.length == b.length && memcmp(a.s, b.s, a.length) == 0;
}

/* The column that the caller means, by name or number; -1: there is none, or there are two. */
static int64_t find_column (table *t, const gan_csv_column *want) {
  int64_t found = -1;
  int n = (int)(want->name.length < 200 ? want->name.length : 200);
  if (!want->name.s) {
    if (want->number >= 1 && want->number <= t->columns) return want->number - 1;
    gan_file_fail(t->r.c, t->r.path, "CSV: there is no column %lld, there are %lld",
                  (long long)want->number, (long long)t->columns);
    return -1;
  }
  for (int64_t i = 0; t->o->header && i < t->columns; i++) {
    if (!same_text(t->names[i], want->name)) continue;
    if (found >= 0) {
      gan_file_fail(t->r.c, t->r.path, "CSV: two columns are called '%.*s'", n, want->name.s);
      return -1;
    }
    found = i;
  }
  if (found < 0)
    gan_file_fail(t->r.c, t->r.path, t->o->header ? "CSV: there is no column '%.*s' in the header"
                                                  : "CSV: there is no header, no column '%.*s'",
                  n, want->name.s);
  return found;
}

static bool choose_columns (table *t) {
  gan_ctx *c = t->r.c;
  gan_csv *out = t->out;
  out->nlabels = t->o->nlabels;
  t->uses = temp_array(c, (size_t)t->columns, sizeof *t->uses);
  out->names = temp_array(c, (size_t)t->columns + t->o->ncolumns, sizeof *out->names);
  out->labels = temp_array(c, out->nlabels, sizeof *out->labels);
  if (!t->uses || !out->names || !out->labels) return false;
  for (int64_t i = 0; i < t->columns; i++) t->uses[i] = (use){-1, -1};
  for (size_t k = 0; k < t->o->nlabels; k++) {
    int64_t i = find_column(t, &t->o->labels[k]);
    if (i < 0) return false;
    if (t->uses[i].label >= 0) return wrong(&t->r, 1, "a label that is asked for twice");
    t->uses[i].label = (int64_t)k;
    out->labels[k].name = t->names[i];
  }
  for (size_t k = 0; k < t->o->ncolumns; k++) {
    int64_t i = find_column(t, &t->o->columns[k]);
    if (i < 0) return false;
    if (t->uses[i].number >= 0) return wrong(&t->r, 1, "a column that is asked for twice");
    t->uses[i].number = (int64_t)out->n;
    out->names[out->n++] = t->names[i];
  }
  for (int64_t i = 0; !t->o->columns && i < t->columns; i++) {
    if (t->uses[i].label >= 0) continue;
    t->uses[i].number = (int64_t)out->n;
    out->names[out->n++] = t->names[i];
  }
  return c->status == GAN_OK;
}

/* ---- labels ------------------------------------------------------------------------------- */

/* The different labels of a column in the order in which they appear, found by a hash table. */
typedef struct classes {
  gan_text *texts;
  size_t n, bytes; /* of the array */
  int32_t *slots;  /* 1 + place in texts; 0: free */
  size_t nslots;   /* a power of two */
} classes;

static uint64_t hash (gan_text x) {
  uint64_t h = 14695981039346656037u; /* FNV-1a */
  for (size_t i = 0; i < x.length; i++) h = (h ^ (unsigned char)x.s[i]) * 1099511628211u;
  return h ^ h >> 29;
}

static size_t find_slot (const classes *k, gan_text x) {
  size_t i = (size_t)hash(x) & (k->nslots - 1);
  while (k->slots[i] && !same_text(k->texts[k->slots[i] - 1], x)) i = (i + 1) & (k->nslots - 1);
  return i;
}

static bool grow_slots (gan_ctx *c, classes *k) {
  if (k->n * 2 < k->nslots) return true;
  size_t n = k->nslots ? k->nslots * 4 : 64;
  int32_t *slots = temp_array(c, n, sizeof *slots);
  if (!slots) return false;
  k->slots = slots;
  k->nslots = n;
  for (size_t i = 0; i < k->n; i++) slots[find_slot(k, k->texts[i])] = (int32_t)i + 1;
  return true;
}

/* The number of a label, from 0; -1 on failure. */
static int64_t class_of (table *t, classes *k, gan_text x, int64_t line) {
  gan_ctx *c = t->r.c;
  if (!grow_slots(c, k)) return -1;
  size_t i = find_slot(k, x);
  if (!k->slots[i]) {
    if (k->n == CLASSES_MAX) {
      wrong(&t->r, line, "too many different labels");
      return -1;
    }
    gan_text *grown = gan_temp_grow(c, k->texts, &k->bytes, (k->n + 1) * sizeof *grown);
    if (!grown) return -1;
    k->texts = grown;
    k->texts[k->n++] = x;
    k->slots[i] = (int32_t)k->n;
  }
  return k->slots[i] - 1;
}

typedef struct {
  gan_text text;
  double value;
  int64_t number; /* in the order of appearance */
} ranked;

static int by_text (const void *a, const void *b) {
  const ranked *x = a, *y = b;
  return gan_text_compare(x->text.s, x->text.length, y->text.s, y->text.length);
}

static int by_value (const void *a, const void *b) {
  const ranked *x = a, *y = b;
  return x->value < y->value ? -1 : x->value > y->value ? 1 : by_text(a, b);
}

/* Numbers the classes in their order - of numbers where all are numbers - and the labels anew. */
static bool sort_classes (table *t, classes *k, gan_csv_labels *out) {
  gan_ctx *c = t->r.c;
  bool numbers = true;
  ranked *order = temp_array(c, k->n, sizeof *order);
  int64_t *place = temp_array(c, k->n, sizeof *place);
  out->classes = temp_array(c, k->n, sizeof *out->classes);
  if (!order || !place || !out->classes) return false;
  for (size_t i = 0; i < k->n; i++) {
    order[i] = (ranked){k->texts[i], 0, (int64_t)i};
    numbers = numbers && gan_parse_number(k->texts[i].s, k->texts[i].length, &order[i].value) &&
              order[i].value == order[i].value;
  }
  if (k->n) qsort(order, k->n, sizeof *order, numbers ? by_value : by_text);
  for (size_t i = 0; i < k->n; i++) {
    place[order[i].number] = (int64_t)i + 1;
    out->classes[i] = order[i].text;
  }
  out->nclasses = k->n;
  int64_t *labels = gan_ints(out->t);
  for (int64_t i = 0; i < out->t->numel; i++) labels[i] = place[labels[i]];
  return true;
}

/* ---- records ------------------------------------------------------------------------------ */

/* Checks that every record has as many fields as there are columns; the number of records. */
static int64_t count_records (table *t) {
  cursor r = t->r; /* the real cursor stays */
  int64_t n = 0;
  field f;
  for (; find_record(&r); n++) {
    int64_t line = r.line, fields = 0;
    bool last = false;
    for (; !last; fields++) {
      if (!read_field(&r, &f, &last)) return -1;
    }
    if (fields == t->columns) continue;
    gan_file_fail(r.c, r.path, "CSV: line %lld has %lld fields, the first has %lld",
                  (long long)line, (long long)fields, (long long)t->columns);
    return -1;
  }
  return n;
}

static bool read_number (table *t, field f, int64_t column, int64_t line, gan_real *to) {
  double v;
  f = trimmed(f);
  if (!gan_parse_number(f.s, f.length, &v)) {
    gan_text name = t->names[column];
    gan_file_fail(t->r.c, t->r.path, "CSV: line %lld, column '%.*s': '%.*s' is not a number",
                  (long long)line, (int)(name.length < 60 ? name.length : 60), name.s,
                  (int)(f.length < 60 ? f.length : 60), f.s);
    return false;
  }
  *to = (gan_real)v;
  return true;
}

static bool read_label (table *t, field f, int64_t label, int64_t line, int64_t *to) {
  f = trimmed(f);
  if (f.length == 0) return wrong(&t->r, line, "a label is missing");
  *to = class_of(t, &t->classes[label], text_of(&f), line);
  return *to >= 0;
}

static bool read_record (table *t, int64_t row) {
  gan_csv *out = t->out;
  field f;
  bool last;
  for (int64_t i = 0; i < t->columns; i++) {
    int64_t line = t->r.line;
    use u = t->uses[i];
    if (!read_field(&t->r, &f, &last)) return false;
    if (u.number >= 0 && !read_number(t, f, i, line,
                                      gan_reals(out->x) + row * (int64_t)out->n + u.number))
      return false;
    if (u.label >= 0 && !read_label(t, f, u.label, line, gan_ints(out->labels[u.label].t) + row))
      return false;
  }
  return true;
}

static bool read_records (table *t) {
  gan_ctx *c = t->r.c;
  gan_csv *out = t->out;
  int64_t rows = count_records(t);
  if (rows < 0) return false;
  int64_t shape[2] = {rows, (int64_t)out->n};
  out->x = gan_new(c, GAN_REAL, 2, shape);
  t->classes = temp_array(c, out->nlabels, sizeof *t->classes);
  if (!out->x || !t->classes) return false;
  for (size_t k = 0; k < out->nlabels; k++)
    if (!(out->labels[k].t = gan_new(c, GAN_INT64, 1, &rows))) return false;
  for (int64_t row = 0; row < rows; row++)
    if (!find_record(&t->r) || !read_record(t, row)) return false;
  for (size_t k = 0; k < out->nlabels; k++)
    if (!sort_classes(t, &t->classes[k], &out->labels[k])) return false;
  return true;
}

bool gan_load_csv (gan_ctx *c, const char *path, const gan_csv_options *o, gan_csv *out) {
  *out = (gan_csv){0};
  gan_tensor *bytes = gan_read_file(c, path, LIMIT);
  if (bytes && gan_is_gzip(bytes)) bytes = gan_gunzip(c, path, bytes);
  if (!bytes) return false;
  table t = {.r = {c, path, o->separator, (char *)gan_bytes(bytes), 0, (size_t)bytes->numel, 1},
             .o = o, .out = out};
  if (t.r.n >= 3 && memcmp(t.r.s, "\xEF\xBB\xBF", 3) == 0) t.r.at = 3; /* a byte order mark */
  return read_header(&t) && choose_columns(&t) && read_records(&t);
}
