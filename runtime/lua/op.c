/*
** op.c - every op of the registry as a Lua function and method, and the operators of tensors.
**
** One C function serves all ops; its third upvalue is the record. Results are made in this order:
** empty handles, then arguments (whose reading allocates nothing), then the op, then the handles
** are filled. So neither a finaliser nor a memory error can come between.
*/
#include <string.h>

#include "binding.h"

/* ---- calling ------------------------------------------------------------------------------ */

/* The argument that an output is, for ops that change it in place: its own handle is the result,
   so that x:add_(1) is x. 0: none. */
static int same_as_input (const gan_sig *s, const gan_args *x, const gan_tensor *out) {
  for (int k = 0; k < s->nargs; k++)
    if (s->p[k].mutated && s->p[k].kind != GAN_K_TENSORS && x->source[k] && x->a[k].t == out)
      return x->source[k];
  return 0;
}

/* A finaliser that runs while memory is being found may release a tensor in use. */
static void hold (const gan_sig *s, const gan_args *x) {
  for (int k = 0; k < s->nargs; k++) {
    if (s->p[k].kind > GAN_K_ANYOPERAND || x->a[k].n < 0) continue;
    if (s->p[k].kind != GAN_K_TENSORS) gan_retain(x->a[k].t);
    else
      for (int i = 0; i < x->a[k].n; i++) gan_retain(x->a[k].ts[i]);
  }
}

static void let_go (const gan_sig *s, const gan_args *x) {
  for (int k = 0; k < s->nargs; k++) {
    if (s->p[k].kind > GAN_K_ANYOPERAND || x->a[k].n < 0) continue;
    if (s->p[k].kind != GAN_K_TENSORS) gan_release(x->a[k].t);
    else
      for (int i = 0; i < x->a[k].n; i++) gan_release(x->a[k].ts[i]);
  }
}

/* Runs the op and fills the n handles from stack index `at` on. */
static int run (lua_State *L, gan_lua *B, gan_op *op, gan_args *x, int n, int at,
                gan_tensor **out) {
  gan_ctx *c = B->c;
  const gan_sig *s = op->parsed;
  gan_loan loan;
  gan_lua_lend(&loan, L, B, 0);
  gan_frame_open(c);
  gan_lua_make_numbers(c, x, s->nargs);
  if (!gan_error(c)) {
    hold(s, x);
    int made = gan_run(c, op, x->a, n, out);
    for (int i = 0; i < made; i++) {
      int source = s->mutates ? same_as_input(s, x, out[i]) : 0;
      if (!source) gan_lua_fill(L, lua_touserdata(L, at + i), out[i]);
      else {
        lua_pushvalue(L, source);
        lua_replace(L, at + i);
      }
    }
    let_go(s, x);
  }
  gan_frame_close(c);
  gan_lua_take_back(&loan);
  if (gan_error(c)) gan_lua_raise(L, B, NULL);
  return n;
}

/* Number of outputs of an op whose arguments tell it. */
static int count_outputs (lua_State *L, gan_lua *B, gan_op *op, gan_args *x) {
  gan_ctx *c = B->c;
  gan_loan loan;
  gan_lua_lend(&loan, L, B, 0);
  gan_frame_open(c);
  gan_lua_make_numbers(c, x, op->parsed->nargs);
  int n = gan_op_nout(c, op, x->a);
  gan_frame_close(c);
  gan_lua_take_back(&loan);
  if (gan_error(c)) gan_lua_raise(L, B, NULL);
  return n;
}

static void push_handles (lua_State *L, gan_lua *B, int n) {
  for (int i = 0; i < n; i++) gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
}

/* Ops such as split: the arguments are read to count, and again when the handles are made. */
static int call_variable (lua_State *L, gan_lua *B, gan_op *op) {
  int top = lua_gettop(L);
  gan_args x;
  gan_lua_args_init(&x);
  gan_lua_read_all(L, B, op->name, op->parsed, 1, top, &x);
  int n = count_outputs(L, B, op, &x);
  luaL_checkstack(L, n + 20, "too many results");
  gan_tensor **out = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *out, 0);
  int at = lua_gettop(L) + 1;
  push_handles(L, B, n);
  gan_lua_read(L, B, op->name, op->parsed, 1, top, &x);
  run(L, B, op, &x, n, at, out);
  return B->tracing ? gan_lua_trace(L, B, op, top, n) : n;
}

static int call (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  gan_op *op = lua_touserdata(L, lua_upvalueindex(UP_OWN));
  if (op->parsed->nout < 0) return call_variable(L, B, op);
  int top = lua_gettop(L), n = op->parsed->nout;
  gan_tensor *out[GAN_MAXOUT];
  gan_args x;
  gan_lua_args_init(&x);
  push_handles(L, B, n);
  gan_lua_read_all(L, B, op->name, op->parsed, 1, top, &x);
  if (x.tensors != x.few) lua_insert(L, top + 1); /* the block for a long list, below the handles */
  run(L, B, op, &x, n, lua_gettop(L) - n + 1, out);
  return B->tracing ? gan_lua_trace(L, B, op, top, n) : n;
}

/* ---- operators ---------------------------------------------------------------------------- */

/* An operator, and the cheaper op for tensor o number where there is one. */
typedef struct {
  const char *event;
  gan_op *op;      /* NULL: the op called "pow", whose record has no name in C */
  gan_op *scalar;
  double sign;     /* the number is multiplied by this for `scalar`: x - 2 is x + (-2) */
  bool commutes;   /* 2 o x is x o 2 */
} operator_row;

static const operator_row operators[] = {
  { "__add", &gan_op_add, &gan_op_add_scalar, 1, true },
  { "__sub", &gan_op_sub, &gan_op_add_scalar, -1, false },
  { "__mul", &gan_op_mul, &gan_op_mul_scalar, 1, true },
  { "__div", &gan_op_div, NULL, 0, false },
  { "__pow", NULL, &gan_op_pow_scalar, 1, false },
};

/* The general way, which also words the errors, and is the one that is traced. */
static int operate_slowly (lua_State *L, gan_lua *B, gan_op *op) {
  gan_tensor *out[GAN_MAXOUT];
  gan_args x;
  gan_lua_args_init(&x);
  gan_lua_read(L, B, op->name, op->parsed, 1, 2, &x);
  run(L, B, op, &x, 1, 3, out);
  return B->tracing ? gan_lua_trace(L, B, op, 2, 1) : 1;
}

/* Fills h with op of x (and y, if it is a tensor). */
static int finish (lua_State *L, gan_lua *B, gan_handle *h, gan_op *op, const gan_arg *a,
                   gan_tensor *x, gan_tensor *y) {
  gan_ctx *c = B->c;
  gan_tensor *out[GAN_MAXOUT];
  gan_loan loan;
  gan_lua_lend(&loan, L, B, 0);
  gan_frame_open(c);
  gan_retain(x);
  gan_retain(y);
  if (gan_run(c, op, a, GAN_MAXOUT, out)) gan_lua_fill(L, h, out[0]);
  gan_release(y);
  gan_release(x);
  gan_frame_close(c);
  gan_lua_take_back(&loan);
  if (gan_error(c)) gan_lua_raise(L, B, NULL);
  return 1;
}

static gan_tensor *live_tensor (lua_State *L, const gan_lua *B, int index) {
  gan_handle *h = gan_lua_handle(L, B, index);
  return h ? h->t : NULL;
}

/* a o b; upvalue 3 is the row of the table above. */
static int operate (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  const operator_row *row = lua_touserdata(L, lua_upvalueindex(UP_OWN));
  lua_settop(L, 2);
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  if (B->tracing) return operate_slowly(L, B, row->op);
  gan_tensor *a = live_tensor(L, B, 1), *b = live_tensor(L, B, 2);
  if (a && b) return finish(L, B, h, row->op, GAN_ARGS(GAN_T(a), GAN_T(b)), a, b);
  int number = a ? 2 : 1;
  gan_tensor *x = a ? a : b;
  if (x && x->dtype == GAN_REAL && row->scalar && lua_type(L, number) == LUA_TNUMBER &&
      (a || row->commutes))
    return finish(L, B, h, row->scalar,
                  GAN_ARGS(GAN_T(x), GAN_N(row->sign * lua_tonumber(L, number))), x, NULL);
  return operate_slowly(L, B, row->op);
}

static int negate (lua_State *L) {
  gan_lua *B = gan_lua_enter(L);
  lua_settop(L, 2);
  gan_handle *h = gan_lua_new_handle(L, B, lua_upvalueindex(UP_META));
  gan_tensor *x = gan_lua_check_tensor(L, B, 1, "neg", "x");
  finish(L, B, h, &gan_op_neg, GAN_ARGS(GAN_T(x)), x, NULL);
  return B->tracing ? gan_lua_trace(L, B, &gan_op_neg, 1, 1) : 1;
}

void gan_lua_open_arithmetic (lua_State *L) {
  for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
    operator_row *row = lua_newuserdatauv(L, sizeof *row, 0);
    *row = operators[i];
    if (!row->op) row->op = gan_op_find("pow");
    if (!row->op) row->op = row->scalar;
    gan_lua_push_closure(L, operate);
    lua_setfield(L, -2, operators[i].event);
  }
  lua_pushnil(L);
  gan_lua_push_closure(L, negate);
  lua_setfield(L, -2, "__unm");
}

/* ---- the table of functions --------------------------------------------------------------- */

/* Other names that users come with (`repeat` is a word of Lua's own), and the op that is meant. */
static const struct {
  const char *name, *op;
} aliases[] = { { "repeat", "tile" }, { "top_k", "topk" } };

static bool is_method (const gan_op *op) {
  const gan_sig *s = op->parsed;
  return s->npositional > 0 && s->p[0].kind <= GAN_K_ANYOPERAND && s->p[0].kind != GAN_K_TENSORS;
}

/* Stack: functions, methods. */
static void add (lua_State *L, gan_op *op, const char *name) {
  lua_pushlightuserdata(L, op);
  gan_lua_push_closure(L, call);
  if (is_method(op)) {
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, name);
  }
  lua_setfield(L, -3, name);
}

void gan_lua_open_ops (lua_State *L) {
  for (int i = 0, n = gan_op_total(); i < n; i++) {
    gan_op *op = gan_op_at(i);
    if (!(op->flags & GAN_HIDDEN)) add(L, op, op->name);
  }
  for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
    gan_op *op = gan_op_find(aliases[i].op);
    if (op) add(L, op, aliases[i].name);
  }
}
