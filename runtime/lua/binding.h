/*
** binding.h - what the files of the binding share.
**
** Order in every function: check arguments, make empty handles, work, fill the handles. Nothing
** that may raise runs between gan_frame_open and gan_frame_close, so a Lua error never crosses a
** frame. No lua_State is kept beyond the call that brought it.
**
** Every function of the module is a closure whose first upvalue is the box (a userdata that points
** to the gan_lua of this state) and whose second is the metatable of tensors.
*/
#ifndef GAN_BINDING_H
#define GAN_BINDING_H

#include <lauxlib.h>
#include <lua.h>

#include "../core/op.h"
#include "gan_lua.h"

#if LUA_VERSION_NUM < 504
#error "gan-lua needs Lua 5.4 or newer"
#endif

typedef struct gan_handle gan_handle;
typedef struct gan_scope gan_scope;
typedef struct gan_function gan_function;
typedef struct gan_call_record gan_call_record;
typedef struct gan_prefetch_box gan_prefetch_box;
typedef struct gan_recording gan_recording;

/* One per Lua state, owned by its box. When the state is closed, finalisers run in any order, and
   userdata that finalisers make then has no finaliser itself: so the box, when it goes, empties
   every handle and record that is left, by these lists. */
typedef struct gan_lua {
  gan_ctx *c;
  gan_handle *handles; /* filled ones that belong to no scope */
  gan_call_record *records;
  gan_recording *recordings; /* with a tape or a plan */
  const void *meta;    /* lua_topointer of the metatable of tensors */
  size_t soft;         /* live bytes above which the next call starts with a collection */
  size_t soft_floor;   /* `soft` is never set lower (tests lower it) */
  int64_t nfilled;     /* handles that hold a tensor */
  int64_t many;        /* number of them above which the next call starts with a collection */
  gan_scope *scopes;   /* open scopes, innermost first */
  bool tracing;        /* a listener is told of every op */
  int64_t every;       /* tests: collect at every n-th call; 0: off */
  int64_t calls;
  gan_call_record *dead_calls;  /* their references are given back at the next call */
  gan_function *dead_functions;
  gan_prefetch_box *prefetches; /* open ones */
} gan_lua;

typedef enum { GAN_HELD, GAN_RELEASED, GAN_SCOPED } gan_fate;

/* The userdata of a tensor. */
struct gan_handle {
  gan_tensor *t;             /* counted; NULL while empty and when released */
  gan_lua *B;
  gan_scope *scope;          /* the scope that will release it, or NULL */
  gan_handle *next, **link;  /* while filled: in the list of the scope or of the binding */
  gan_fate fate;             /* why t is NULL */
};

enum { UP_BOX = 1, UP_META = 2, UP_OWN = 3 }; /* upvalues of every function */

/* ---- module.c ----------------------------------------------------------------------------- */

gan_lua *gan_lua_find(lua_State *L);     /* by the registry, from any function; NULL: not open */
void gan_lua_push_meta(lua_State *L);    /* the metatable of tensors, likewise */
void gan_lua_push_module(lua_State *L);  /* the table `gan`, likewise */

/* Adds functions with the standard upvalues to the table on top. */
void gan_lua_register(lua_State *L, const luaL_Reg *list, bool replace);

/* Pushes a closure with the standard upvalues and the value on top (popped) as third. */
void gan_lua_push_closure(lua_State *L, lua_CFunction f);

/* Names the metatable on top, and hides it from getmetatable, which gives { __name = name }: a
   script that took __gc away would leave handles in lists that are walked later. */
void gan_lua_seal(lua_State *L, const char *name);

/* Raises a message (in the manner of luaL_error) behind "name: ", with the caller's position. The
   result type allows `return gan_lua_error(...)`. */
int gan_lua_error(lua_State *L, const char *name, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/* Raises the error of the context, which is cleared; `name` (or NULL) is put in front. */
int gan_lua_raise(lua_State *L, gan_lua *B, const char *name) __attribute__((noreturn));

/* ---- memory.c ----------------------------------------------------------------------------- */

void gan_lua_attend(lua_State *L, gan_lua *B);   /* collects; gives back dead references */
bool gan_lua_collect(lua_State *L, gan_lua *B);  /* a full collection; true: bytes were freed */
gan_scope *gan_lua_scope(lua_State *L, gan_lua *B); /* the innermost open scope of this coroutine */
void gan_lua_link(gan_handle *h, gan_scope *s); /* into the list of a scope, NULL: of the binding */
void gan_lua_close_scopes(gan_lua *B); /* the state closes: forgets the open scopes */
void gan_lua_open_memory(lua_State *L);          /* fills the table on top */
extern const luaL_Reg gan_lua_memory_methods[];

/* The context's loan of this call: how it can ask Lua for memory, and reach Lua's callbacks. */
typedef struct {
  lua_State *L;
  gan_lua *B;
  int error;   /* stack index where a callback leaves its error value; 0: none */
  bool failed; /* it has left one */
  bool (*old_relieve)(gan_ctx *c, void *host);
  void *old_host;
} gan_loan;

bool gan_lua_relieve(gan_ctx *c, void *host);

static inline void gan_lua_lend (gan_loan *l, lua_State *L, gan_lua *B, int error) {
  gan_ctx *c = B->c;
  *l = (gan_loan){ L, B, error, false, c->relieve, c->host };
  c->relieve = gan_lua_relieve;
  c->host = l;
}

static inline void gan_lua_take_back (gan_loan *l) {
  l->B->c->relieve = l->old_relieve;
  l->B->c->host = l->old_host;
}

/* ---- tensor.c ----------------------------------------------------------------------------- */

/* Pushes an empty handle; meta: stack index of the metatable. */
gan_handle *gan_lua_new_handle(lua_State *L, gan_lua *B, int meta);

/* The handle at a stack index, NULL when the value is no tensor. */
gan_handle *gan_lua_handle(lua_State *L, const gan_lua *B, int index);

/* The tensor at an index; raises "name: argument 1 'x' must be a tensor, ...". */
gan_tensor *gan_lua_check_tensor(lua_State *L, gan_lua *B, int index, const char *name,
                                 const char *arg);

/* Fills an empty handle: one more owner of t. Cannot fail. */
static inline void gan_lua_fill (lua_State *L, gan_handle *h, gan_tensor *t) {
  h->t = gan_retain(t);
  gan_lua_link(h, h->B->scopes ? gan_lua_scope(L, h->B) : NULL);
}

void gan_lua_drop(gan_handle *h, gan_fate fate); /* releases the tensor of a handle, if any */
void gan_lua_open_tensor(lua_State *L);          /* fills the metatable at -2, the table at -1 */
extern const luaL_Reg gan_lua_tensor_methods[];
extern const luaL_Reg gan_lua_tensor_functions[];

/* ---- convert.c: tensors from and to tables, numbers and strings ----------------------------- */

int gan_lua_tensor(lua_State *L);  /* gan.tensor */
int gan_lua_totable(lua_State *L); /* x:totable() */
int gan_lua_bytes(lua_State *L);   /* x:bytes() */
void gan_lua_push_element(lua_State *L, const gan_tensor *t, int64_t offset);

/* Whether the value at a stack index is a number that the type can hold (booleans are 1 and 0). */
bool gan_lua_fits(lua_State *L, int index, gan_dtype dtype);

/* Stores a value that fits. Does not raise. */
void gan_lua_store_element(lua_State *L, int index, gan_tensor *t, int64_t offset);

/* ---- args.c ------------------------------------------------------------------------------- */

#define GAN_POOL_INTS (10 * GAN_MAXLIST)
#define GAN_POOL_TENSORS 32

/* The arguments of one call, as gan_run wants them. Lives on the C stack. */
typedef struct {
  gan_arg a[GAN_MAXARGS];
  int source[GAN_MAXARGS];  /* stack index of a tensor; 0: given by name */
  uint32_t given;           /* bit k: argument k was given */
  uint32_t numbers;         /* bit k: an operand that is a number, in a[k].num until it is run */
  int options;              /* stack index of the option table; 0: none */
  int nints, ntensors;      /* used of the pools */
  int64_t ints[GAN_POOL_INTS];
  gan_tensor *few[GAN_POOL_TENSORS];
  gan_tensor **tensors;     /* `few`, or a larger block in Lua's memory */
  int tensors_size;
} gan_args;

void gan_lua_args_init(gan_args *args);

/* Reads the arguments from stack index `first` on. Allocates nothing in Lua, so that no finaliser
   can run between reading a tensor and using it; where lists are longer than the pool it returns
   the room they need, else 0. Raises on misuse. */
int gan_lua_read(lua_State *L, gan_lua *B, const char *name, const gan_sig *sig, int first, int top,
                 gan_args *args);

/* As gan_lua_read, and makes room for long lists by a userdata that it leaves on the stack. */
void gan_lua_read_all(lua_State *L, gan_lua *B, const char *name, const gan_sig *sig, int first,
                      int top, gan_args *args);

/* Turns the operands that are numbers into tensors. Needs an open frame. */
void gan_lua_make_numbers(gan_ctx *c, gan_args *args, int nargs);

/* 1-based to 0-based, the one place: d > 0 gives d - 1, d < 0 stays. Raises on 0; `what` is
   "dimensions" or "positions". */
int64_t gan_lua_base(lua_State *L, const char *name, lua_Integer d, const char *what);

/* Checked integer argument, for functions without a signature. */
lua_Integer gan_lua_check_int(lua_State *L, int index, const char *name, const char *arg);

/* What a value is called in messages: "nil", "a table", "string 'abc'", "3". */
const char *gan_lua_describe(lua_State *L, const gan_lua *B, int index, char *buffer, size_t size);

/* Nearest of the words offered, by edit distance. */
typedef struct {
  const char *word, *best;
  size_t best_length;
  int distance;
} gan_guess;

gan_guess gan_lua_guess(const char *word);
void gan_lua_offer(gan_guess *g, const char *candidate, size_t length);

/* ---- op.c, info.c, debug.c ----------------------------------------------------------------- */

void gan_lua_open_ops(lua_State *L);     /* table of functions at -2, of methods at -1 */
void gan_lua_open_arithmetic(lua_State *L); /* adds the operators to the metatable on top */
int gan_lua_ops(lua_State *L);           /* gan.ops */
void gan_lua_open_debug(lua_State *L);   /* adds gan.debug to the table on top */

/* ---- compile.c ------------------------------------------------------------------------------ */

void gan_lua_open_compile(lua_State *L);     /* adds to the table of gan.debug on top */
void gan_lua_drop_recordings(gan_lua *B);    /* the state closes */
int gan_lua_host_rng_state(lua_State *L); /* host.c: the state of math.random */
int gan_lua_set_host_rng_state(lua_State *L);

/* ---- ranks.c -------------------------------------------------------------------------------- */

void gan_lua_open_ranks(lua_State *L); /* adds gan.debug.job to the table of gan.debug on top */

/* ---- trace.c ------------------------------------------------------------------------------- */

/* For a function of an op, its arguments in 1..top and its n results on top: tells the listener,
   returns n. Only where B->tracing. */
int gan_lua_trace(lua_State *L, gan_lua *B, const gan_op *op, int top, int n);
extern const luaL_Reg gan_lua_trace_functions[]; /* of gan.debug */

/* ---- grad.c, function.c -------------------------------------------------------------------- */

void gan_lua_open_grad(lua_State *L); /* adds to the table on top */
extern const luaL_Reg gan_lua_grad_methods[];

/* Pushes a guard that restores the recording mode when it is closed; meta: its metatable. */
void gan_lua_push_guard(lua_State *L, gan_lua *B, int meta);

void gan_lua_open_function(lua_State *L, int guard_meta); /* adds gan.Function to the table below */
void gan_lua_bury(lua_State *L, gan_lua *B); /* gives back the references of dead nodes */
void gan_lua_forget_records(gan_lua *B);     /* the state closes */

/* ---- files.c, arrays.c, sources.c ---------------------------------------------------------- */

int gan_lua_open_files(lua_State *L);    /* adds to the table on top */
void gan_lua_open_sources(lua_State *L); /* adds to gan.files on top */
void gan_lua_close_prefetches(gan_lua *B); /* the state closes: ends the threads that read ahead */
extern const luaL_Reg gan_lua_array_functions[]; /* of gan.files */

/* ---- entry -------------------------------------------------------------------------------- */

/* First line of every function: the state's binding, memory relieved where it is due. */
static inline gan_lua *gan_lua_enter (lua_State *L) {
  gan_lua **box = (gan_lua **)lua_touserdata(L, lua_upvalueindex(UP_BOX));
  if (!*box) luaL_error(L, "gan: this Lua state is closing");
  gan_lua *B = *box;
  if (B->c->mem.live > B->soft || B->nfilled > B->many || B->dead_calls || B->dead_functions ||
      B->every)
    gan_lua_attend(L, B);
  return B;
}

#endif
