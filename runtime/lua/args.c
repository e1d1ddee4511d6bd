/*
** args.c - checked arguments: Lua values on the stack to the arguments of gan_run.
**
** The only place where Lua's 1-based dimensions and positions become 0-based. Reading allocates
** nothing in Lua (see gan_lua_read).
*/
#include <math.h>
#include <string.h>

#include "binding.h"

typedef struct {
  lua_State *L;
  gan_lua *B;
  const char *name; /* of the function, for messages */
  const gan_sig *sig;
  gan_args *x;
  int first, top;
  bool list_options; /* the option table is also the list of an argument: {2, 3, dtype=...} */
} reader;

static bool is_single_tensor (gan_kind k) {
  return k <= GAN_K_ANYOPERAND && k != GAN_K_TENSORS;
}

static bool is_list (gan_kind k) {
  return k == GAN_K_TENSORS || k == GAN_K_DIMS || k == GAN_K_INTS || k == GAN_K_SHAPE;
}

static bool is_required (const gan_param *p) {
  return !p->optional && !p->has_default;
}

/* ---- messages ----------------------------------------------------------------------------- */

/* "argument 2 'w'" or "option 'stride'" */
static const char *slot_text (const reader *r, int k, int position, char *buffer, size_t size) {
  const char *name = r->sig->p[k].name;
  if (position) snprintf(buffer, size, "argument %d '%s'", position, name);
  else snprintf(buffer, size, "option '%s'", name);
  return buffer;
}

/* "none, mean, sum" */
static const char *word_list (const char *words, char *buffer, size_t size) {
  size_t n = 0;
  for (const char *p = words; *p && n + 3 < size; p++) {
    if (*p == '|') buffer[n++] = ',';
    buffer[n++] = *p == '|' ? ' ' : *p;
  }
  buffer[n] = '\0';
  return buffer;
}

static const char *wanted (const gan_param *p, char *buffer, size_t size) {
  char words[160];
  switch (p->kind) {
    case GAN_K_TENSOR: case GAN_K_ANY: case GAN_K_LABELS: return "a tensor";
    case GAN_K_TENSORS: return "a list of tensors";
    case GAN_K_OPERAND: case GAN_K_ANYOPERAND: return "a tensor or a number";
    case GAN_K_NUMBER: return "a number";
    case GAN_K_INT: return "an integer";
    case GAN_K_BOOL: return "true or false";
    case GAN_K_DIM: return "a dimension (an integer)";
    case GAN_K_DIMS: return "a dimension or a list of dimensions";
    case GAN_K_INTS: return "an integer or a list of integers";
    case GAN_K_SHAPE: return "a list of sizes";
    case GAN_K_INDEX: return "a position (an integer)";
    case GAN_K_TEXT: return "a string";
    case GAN_K_DTYPE:
      snprintf(buffer, size, "one of %s, uint8, int64", gan_dtype_name(GAN_REAL));
      return buffer;
    default:
      snprintf(buffer, size, "one of %s", word_list(p->words, words, sizeof words));
      return buffer;
  }
}

static const char *describe_string (const char *s, char *buffer, size_t size) {
  if (strlen(s) > 40) snprintf(buffer, size, "string '%.37s...'", s);
  else snprintf(buffer, size, "string '%s'", s);
  return buffer;
}

const char *gan_lua_describe (lua_State *L, const gan_lua *B, int index, char *buffer,
                              size_t size) {
  int type = lua_type(L, index);
  switch (type) {
    case LUA_TNONE: return "nothing";
    case LUA_TBOOLEAN: return lua_toboolean(L, index) ? "true" : "false";
    case LUA_TSTRING: return describe_string(lua_tostring(L, index), buffer, size);
    case LUA_TTABLE: return "a table";
    case LUA_TFUNCTION: return "a function";
    case LUA_TUSERDATA: return gan_lua_handle(L, B, index) ? "a tensor" : "a userdata";
    case LUA_TNUMBER:
      if (lua_isinteger(L, index))
        snprintf(buffer, size, "%lld", (long long)lua_tointeger(L, index));
      else snprintf(buffer, size, "%.14g", lua_tonumber(L, index));
      return buffer;
    default: return lua_typename(L, type);
  }
}

/* Why a value that is no tensor may have been given in place of one. */
static const char *hint (const reader *r, int k, int index, int position, char *buffer,
                         size_t size) {
  const gan_param *p = &r->sig->p[k];
  if (p->kind > GAN_K_ANYOPERAND) return "";
  switch (lua_type(r->L, index)) {
    case LUA_TTABLE: return " (gan.tensor{...} makes one of a table)";
    case LUA_TNUMBER:
      return p->kind == GAN_K_TENSORS ? "" : " (gan.tensor(...) makes one of a number)";
    case LUA_TNONE: case LUA_TNIL:
      if (position != 1 || !is_single_tensor(p->kind)) return "";
      snprintf(buffer, size, " (call it as gan.%s(%s) or %s:%s())", r->name, p->name, p->name,
               r->name);
      return buffer;
    default: return "";
  }
}

static int bad (const reader *r, int k, int index, int position) {
  char slot[64], want[200], got[80], why[120];
  return gan_lua_error(r->L, r->name, "%s must be %s, got %s%s",
                       slot_text(r, k, position, slot, sizeof slot),
                       wanted(&r->sig->p[k], want, sizeof want),
                       gan_lua_describe(r->L, r->B, index, got, sizeof got),
                       hint(r, k, index, position, why, sizeof why));
}

static int bad_element (const reader *r, int k, int position, int i, const char *want) {
  char slot[64], got[80];
  return gan_lua_error(r->L, r->name, "%s: element %d must be %s, got %s",
                       slot_text(r, k, position, slot, sizeof slot), i, want,
                       gan_lua_describe(r->L, r->B, -1, got, sizeof got));
}

static const char *fate_text (const gan_handle *h) {
  return h->fate == GAN_SCOPED ? "tensor was released when its scope closed (x:keep() keeps it)"
                               : "tensor was released";
}

static int released (const reader *r, int k, int position, const gan_handle *h) {
  char slot[64];
  return gan_lua_error(r->L, r->name, "%s: %s", slot_text(r, k, position, slot, sizeof slot),
                       fate_text(h));
}

/* ---- nearest name ------------------------------------------------------------------------- */

enum { WORD_MAX = 40 };

static char lower (char ch) {
  return ch >= 'A' && ch <= 'Z' ? (char)(ch - 'A' + 'a') : ch;
}

/* Number of insertions, deletions, replacements and swaps of neighbours between two words. */
static int distance (const char *a, size_t na, const char *b, size_t nb) {
  int d[WORD_MAX + 1][WORD_MAX + 1];
  if (na > WORD_MAX || nb > WORD_MAX) return WORD_MAX;
  for (size_t i = 0; i <= na; i++) d[i][0] = (int)i;
  for (size_t j = 0; j <= nb; j++) d[0][j] = (int)j;
  for (size_t i = 1; i <= na; i++)
    for (size_t j = 1; j <= nb; j++) {
      int best = d[i - 1][j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
      if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
      if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
          lower(a[i - 2]) == lower(b[j - 1]) && d[i - 2][j - 2] + 1 < best)
        best = d[i - 2][j - 2] + 1;
      d[i][j] = best;
    }
  return d[na][nb];
}

gan_guess gan_lua_guess (const char *word) {
  int third = (int)(strlen(word) / 3);
  return (gan_guess){ .word = word, .distance = (third > 1 ? third : 1) + 1 };
}

void gan_lua_offer (gan_guess *g, const char *candidate, size_t length) {
  int d = distance(g->word, strlen(g->word), candidate, length);
  if (d >= g->distance) return;
  g->distance = d;
  g->best = candidate;
  g->best_length = length;
}

/* ---- numbers ------------------------------------------------------------------------------ */

int64_t gan_lua_base (lua_State *L, const char *name, lua_Integer d, const char *what) {
  if (d == 0) gan_lua_error(L, name, "%s start at 1", what);
  return d > 0 ? d - 1 : d;
}

/* An integer, or a float that is one (3.0); strings do not count. */
static bool to_integer (lua_State *L, int index, lua_Integer *v) {
  int ok = 0;
  *v = 0;
  if (lua_type(L, index) == LUA_TNUMBER) *v = lua_tointegerx(L, index, &ok);
  return ok;
}

lua_Integer gan_lua_check_int (lua_State *L, int index, const char *name, const char *arg) {
  lua_Integer v;
  if (to_integer(L, index, &v)) return v;
  char got[80];
  gan_lua_error(L, name, "argument %d '%s' must be an integer, got %s", index, arg,
                gan_lua_describe(L, gan_lua_find(L), index, got, sizeof got));
  return 0;
}

static bool to_number (lua_State *L, int index, double *v) {
  if (lua_type(L, index) == LUA_TNUMBER) {
    *v = lua_tonumber(L, index);
    return true;
  }
  if (lua_type(L, index) != LUA_TSTRING) return false;
  const char *s = lua_tostring(L, index);
  bool minus = *s == '-';
  if (strcmp(s + minus, "inf") != 0) return false;
  *v = minus ? -INFINITY : INFINITY;
  return true;
}

/* ---- lists -------------------------------------------------------------------------------- */

/* Integer -> what the kind of argument k means by it. */
static int64_t list_value (const reader *r, int k, lua_Integer v, int i) {
  gan_kind kind = r->sig->p[k].kind;
  if (kind == GAN_K_DIMS) return gan_lua_base(r->L, r->name, v, "dimensions");
  if (kind == GAN_K_SHAPE && v < -1)
    gan_lua_error(r->L, r->name, "size %d is negative (%lld)", i, (long long)v);
  return v;
}

static void keep_int (reader *r, int k, int position, int i) {
  lua_Integer v;
  if (!to_integer(r->L, -1, &v)) bad_element(r, k, position, i, "an integer");
  r->x->ints[r->x->nints++] = list_value(r, k, v, i);
}

static void keep_tensor (reader *r, int k, int position, int i) {
  gan_args *x = r->x;
  char slot[64];
  gan_handle *h = gan_lua_handle(r->L, r->B, -1);
  if (!h) bad_element(r, k, position, i, "a tensor");
  if (!h->t)
    gan_lua_error(r->L, r->name, "%s: element %d: %s",
                  slot_text(r, k, position, slot, sizeof slot), i, fate_text(h));
  if (x->ntensors < x->tensors_size) x->tensors[x->ntensors] = h->t;
  x->ntensors++;
}

/* Starts a list of n elements in the pool. */
static void begin_list (reader *r, int k, int position, lua_Unsigned n) {
  gan_args *x = r->x;
  gan_arg *a = &x->a[k];
  char slot[64];
  if (r->sig->p[k].kind == GAN_K_TENSORS) {
    if (n > 1000000) gan_lua_error(r->L, r->name, "too many tensors");
    a->ts = x->tensors + (x->ntensors < x->tensors_size ? x->ntensors : 0);
  }
  else {
    if (n > GAN_MAXLIST || x->nints + (int)n > GAN_POOL_INTS)
      gan_lua_error(r->L, r->name, "%s has %d elements, at most %d are possible",
                    slot_text(r, k, position, slot, sizeof slot),
                    n > 1000000 ? 1000000 : (int)n, GAN_MAXLIST);
    a->v = x->ints + x->nints;
  }
  a->n = (int)n;
}

static void keep_element (reader *r, int k, int position, int i) {
  if (r->sig->p[k].kind == GAN_K_TENSORS) keep_tensor(r, k, position, i);
  else keep_int(r, k, position, i);
  lua_pop(r->L, 1);
}

static void read_table (reader *r, int k, int index, int position) {
  lua_Unsigned n = lua_rawlen(r->L, index);
  index = lua_absindex(r->L, index);
  begin_list(r, k, position, n);
  for (int i = 1; i <= (int)n; i++) {
    lua_rawgeti(r->L, index, i);
    keep_element(r, k, position, i);
  }
}

/* The stack values index .. index+n-1 as a list. */
static void read_spread (reader *r, int k, int index, int n, int position) {
  begin_list(r, k, position, (lua_Unsigned)n);
  for (int i = 0; i < n; i++) {
    lua_pushvalue(r->L, index + i);
    keep_element(r, k, position, i + 1);
  }
}

/* ---- single values ------------------------------------------------------------------------ */

static void read_tensor (reader *r, int k, int index, int position) {
  gan_args *x = r->x;
  gan_handle *h = gan_lua_handle(r->L, r->B, index);
  if (h) {
    if (!h->t) released(r, k, position, h);
    x->a[k].t = h->t;
    x->source[k] = position ? index : 0;
  }
  else {
    gan_kind kind = r->sig->p[k].kind;
    if (lua_type(r->L, index) != LUA_TNUMBER || (kind != GAN_K_OPERAND && kind != GAN_K_ANYOPERAND))
      bad(r, k, index, position);
    x->a[k].num = lua_tonumber(r->L, index);
    x->numbers |= 1u << k;
  }
}

static void read_word (reader *r, int k, int index, int position) {
  const char *words = r->sig->p[k].words;
  if (lua_type(r->L, index) != LUA_TSTRING) bad(r, k, index, position);
  const char *s = lua_tostring(r->L, index);
  gan_guess g = gan_lua_guess(s);
  int number = 0;
  for (const char *p = words; *p; number++) {
    size_t n = strcspn(p, "|");
    if (n == strlen(s) && !memcmp(p, s, n)) {
      r->x->a[k].i = number;
      return;
    }
    gan_lua_offer(&g, p, n);
    p += n + (p[n] == '|');
  }
  char slot[64], list[200];
  slot_text(r, k, position, slot, sizeof slot);
  word_list(words, list, sizeof list);
  if (g.best)
    gan_lua_error(r->L, r->name, "%s must be one of %s, got '%.40s', did you mean '%.*s'?", slot,
                  list, s, (int)g.best_length, g.best);
  gan_lua_error(r->L, r->name, "%s must be one of %s, got '%.40s'", slot, list, s);
}

static void read_dtype (reader *r, int k, int index, int position) {
  if (lua_type(r->L, index) != LUA_TSTRING) bad(r, k, index, position);
  const char *s = lua_tostring(r->L, index);
  gan_arg *a = &r->x->a[k];
  if (!strcmp(s, "uint8")) a->i = GAN_UINT8;
  else if (!strcmp(s, "int64")) a->i = GAN_INT64;
  else if (!strcmp(s, "float32") || !strcmp(s, gan_dtype_name(GAN_REAL))) a->i = GAN_REAL;
  else if (!strcmp(s, "float64"))
    gan_lua_error(r->L, r->name, "this build computes in float32 and has no float64");
  else bad(r, k, index, position);
}

static void read_text (reader *r, int k, int index, int position) {
  size_t n;
  if (lua_type(r->L, index) != LUA_TSTRING) bad(r, k, index, position);
  const char *s = lua_tolstring(r->L, index, &n);
  char slot[64];
  if (strlen(s) != n)
    gan_lua_error(r->L, r->name, "%s contains a zero byte",
                  slot_text(r, k, position, slot, sizeof slot));
  r->x->a[k].s = s;
}

static void read_integer (reader *r, int k, int index, int position) {
  lua_Integer v;
  if (!to_integer(r->L, index, &v)) bad(r, k, index, position);
  gan_kind kind = r->sig->p[k].kind;
  if (kind == GAN_K_DIM) v = gan_lua_base(r->L, r->name, v, "dimensions");
  else if (kind == GAN_K_INDEX) v = gan_lua_base(r->L, r->name, v, "positions");
  r->x->a[k].i = v;
}

/* Argument k from one Lua value; lists from a table or a single element. */
static void read_value (reader *r, int k, int index, int position) {
  gan_args *x = r->x;
  gan_kind kind = r->sig->p[k].kind;
  x->given |= 1u << k;
  x->a[k].n = 1;
  if (is_single_tensor(kind)) read_tensor(r, k, index, position);
  else if (is_list(kind)) {
    int type = lua_type(r->L, index);
    bool single = kind == GAN_K_TENSORS ? type == LUA_TUSERDATA : type == LUA_TNUMBER;
    if (type == LUA_TTABLE) read_table(r, k, index, position);
    else if (single) read_spread(r, k, lua_absindex(r->L, index), 1, position);
    else bad(r, k, index, position);
  }
  else switch (kind) {
    case GAN_K_NUMBER:
      if (!to_number(r->L, index, &x->a[k].num)) bad(r, k, index, position);
      break;
    case GAN_K_BOOL:
      if (lua_type(r->L, index) != LUA_TBOOLEAN) bad(r, k, index, position);
      x->a[k].i = lua_toboolean(r->L, index);
      break;
    case GAN_K_TEXT: read_text(r, k, index, position); break;
    case GAN_K_DTYPE: read_dtype(r, k, index, position); break;
    case GAN_K_WORD: read_word(r, k, index, position); break;
    default: read_integer(r, k, index, position);
  }
}

/* ---- by position -------------------------------------------------------------------------- */

static bool has_string_key (lua_State *L, int index) {
  bool found = false;
  lua_pushnil(L);
  while (!found && lua_next(L, index)) {
    found = lua_type(L, -2) == LUA_TSTRING;
    lua_pop(L, 1);
  }
  if (found) lua_pop(L, 1);
  return found;
}

/* Whether the table at an index is the list that argument k asks for; otherwise it is the option
   table. It may be both. */
static bool is_that_list (reader *r, int k, int index) {
  const gan_param *p = &r->sig->p[k];
  if (!is_list(p->kind)) return false;
  bool last = index == r->top;
  if (lua_rawlen(r->L, index) == 0) return is_required(p) && !has_string_key(r->L, index);
  if (has_string_key(r->L, index)) {
    if (!last) gan_lua_error(r->L, r->name, "the list '%s' has named fields", p->name);
    r->x->options = index;
    r->list_options = true;
  }
  return true;
}

/* How many stack values from `index` on belong to the list argument k. */
static int spread_length (const reader *r, int k, int index) {
  const gan_sig *s = r->sig;
  bool tensors = s->p[k].kind == GAN_K_TENSORS, last = k + 1 == s->npositional;
  if (tensors ? !last && s->p[k + 1].kind <= GAN_K_ANYOPERAND : !last) return 1;
  int n = 1;
  while (index + n <= r->top &&
         lua_type(r->L, index + n) == (tensors ? LUA_TUSERDATA : LUA_TNUMBER))
    n++;
  return n;
}

/* One argument or list from stack index i; returns the index after it. */
static int read_next (reader *r, int k, int i) {
  int type = lua_type(r->L, i);
  if (type == LUA_TNIL) return i + 1;
  if (type == LUA_TTABLE && !is_that_list(r, k, i)) {
    if (i != r->top) bad(r, k, i, i);
    r->x->options = i;
    return i + 1;
  }
  gan_kind kind = r->sig->p[k].kind;
  if (is_list(kind) && type == (kind == GAN_K_TENSORS ? LUA_TUSERDATA : LUA_TNUMBER)) {
    int n = spread_length(r, k, i);
    r->x->given |= 1u << k;
    read_spread(r, k, i, n, i);
    return i + n;
  }
  read_value(r, k, i, i);
  return i + 1;
}

static int unexpected (const reader *r, int i) {
  char buffer[80], named[200] = "";
  size_t n = 0;
  for (int k = r->sig->npositional; k < r->sig->nargs && n + 40 < sizeof named; k++)
    n += (size_t)snprintf(named + n, sizeof named - n, "%s%s=...", n ? ", " : "",
                          r->sig->p[k].name);
  const char *got = gan_lua_describe(r->L, r->B, i, buffer, sizeof buffer);
  if (n)
    return gan_lua_error(r->L, r->name,
                         "argument %d (%s) is too many; options are given by name: {%s}", i, got,
                         named);
  return gan_lua_error(r->L, r->name, "argument %d (%s) is too many", i, got);
}

static void read_positions (reader *r) {
  int i = r->first;
  for (int k = 0; k < r->sig->npositional && i <= r->top && !r->x->options; k++)
    i = read_next(r, k, i);
  while (r->top >= i && lua_isnil(r->L, r->top)) r->top--;
  if (i > r->top) return;
  if (r->x->options || i != r->top || !lua_istable(r->L, i)) unexpected(r, i);
  r->x->options = i;
}

/* ---- by name ------------------------------------------------------------------------------ */

static int find (const gan_sig *s, const char *name) {
  for (int k = 0; k < s->nargs; k++)
    if (!strcmp(s->p[k].name, name)) return k;
  /* one dimension is a list of one; `end` is a word of Lua's own, but may be written ["end"] */
  return !strcmp(name, "dim") ? find(s, "dims") : !strcmp(name, "end") ? find(s, "stop") : -1;
}

static int unknown (const reader *r, const char *key) {
  const gan_sig *s = r->sig;
  gan_guess g = gan_lua_guess(key);
  char list[400] = "";
  size_t n = 0;
  for (int k = 0; k < s->nargs; k++) {
    gan_lua_offer(&g, s->p[k].name, strlen(s->p[k].name));
    if (n + 40 < sizeof list && !is_single_tensor(s->p[k].kind))
      n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", s->p[k].name);
  }
  if (g.best)
    return gan_lua_error(r->L, r->name, "unknown option '%.60s', did you mean '%.*s'?", key,
                         (int)g.best_length, g.best);
  if (n) return gan_lua_error(r->L, r->name, "unknown option '%.60s' (there are: %s)", key, list);
  return gan_lua_error(r->L, r->name, "unknown option '%.60s' (there are none)", key);
}

/* A table without names where an argument was expected was meant to be that argument. */
static void nameless (reader *r, int index) {
  char got[80];
  for (int k = 0; k < r->sig->npositional; k++)
    if (!(r->x->given >> k & 1) && is_required(&r->sig->p[k])) bad(r, k, index, index);
  gan_lua_error(r->L, r->name, "options are given by name, %s is not a name",
                gan_lua_describe(r->L, r->B, -2, got, sizeof got));
}

static void read_options (reader *r) {
  lua_State *L = r->L;
  int index = r->x->options;
  lua_pushnil(L);
  while (lua_next(L, index)) {
    if (lua_type(L, -2) == LUA_TSTRING) {
      const char *key = lua_tostring(L, -2);
      int k = find(r->sig, key);
      if (k < 0) unknown(r, key);
      if (r->x->given >> k & 1) gan_lua_error(L, r->name, "'%s' is given twice", key);
      read_value(r, k, lua_gettop(L), 0);
    }
    else if (!r->list_options) nameless(r, index);
    lua_pop(L, 1);
  }
}

/* ---- the whole ---------------------------------------------------------------------------- */

/* Argument k was not given; `index` is where it should have been. Says nil where nil was given,
   and a table where the option table has no option. */
static void missing (const reader *r, int k, int index, int top) {
  bool by_position = k < r->sig->npositional, there = by_position && index <= top;
  if (there && index == r->x->options) there = !has_string_key(r->L, index);
  else if (there) there = lua_isnil(r->L, index);
  bad(r, k, there ? index : lua_gettop(r->L) + 1, by_position ? index : 0);
}

void gan_lua_args_init (gan_args *x) {
  x->tensors = x->few;
  x->tensors_size = GAN_POOL_TENSORS;
}

int gan_lua_read (lua_State *L, gan_lua *B, const char *name, const gan_sig *sig, int first,
                  int top, gan_args *x) {
  reader r = { .L = L, .B = B, .name = name, .sig = sig, .x = x, .first = first, .top = top };
  x->given = x->numbers = 0;
  x->options = x->nints = x->ntensors = 0;
  for (int k = 0; k < sig->nargs; k++) {
    if (sig->p[k].has_default) x->a[k] = sig->p[k].value;
    else x->a[k] = (gan_arg){ .t = NULL, .n = -1 };
    x->source[k] = 0;
  }
  read_positions(&r);
  if (x->options) read_options(&r);
  for (int k = 0; k < sig->nargs; k++)
    if (!(x->given >> k & 1) && is_required(&sig->p[k])) missing(&r, k, first + k, top);
  return x->ntensors > x->tensors_size ? x->ntensors : 0;
}

void gan_lua_read_all (lua_State *L, gan_lua *B, const char *name, const gan_sig *sig, int first,
                       int top, gan_args *x) {
  int room = gan_lua_read(L, B, name, sig, first, top, x);
  if (!room) return;
  x->tensors = lua_newuserdatauv(L, (size_t)room * sizeof *x->tensors, 0);
  x->tensors_size = room;
  gan_lua_read(L, B, name, sig, first, top, x);
}

void gan_lua_make_numbers (gan_ctx *c, gan_args *x, int nargs) {
  for (int k = 0; x->numbers && k < nargs; k++)
    if (x->numbers >> k & 1) {
      x->a[k].t = gan_scalar(c, x->a[k].num);
      if (x->a[k].t) x->a[k].t->is_number = true;
      x->numbers &= ~(1u << k);
    }
}
