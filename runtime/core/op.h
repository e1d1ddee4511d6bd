/*
** op.h - what the author of an op needs.
**
** An op is one record (struct gan_op) in one family file of ops/. From the record come the Lua
** binding, help, argument checks, gradient recording and the generated tests.
**
** Signatures. "x:tensor w:tensor b:tensor? ; stride:ints=1 mode:mean|sum=mean -> y index~"
**   before `;`  arguments that Lua may give by position (or by name in the trailing option table);
**   after `;`   by name only;
**   `!`         after an argument's name: the op changes this tensor in place ("x!:tensor");
**   after `->`  names of the outputs (default "y"); `~` marks one that has no gradient, `*` a
**               variable number of outputs (the record's `count` tells how many).
**   kinds:
**     tensor    compute type              labels   int64 tensor of 1-based values
**     any       tensor of any type        tensors  list of tensors, all of one type
**     operand   compute-type tensor or number (a number arrives as a 0-d tensor)
**     anyoperand  tensor of any type, or number (arrives with is_number set)
**     number    double (Lua also accepts "inf")        int, bool
**     dim       one dimension, 0-based or negative; check with gan_dim
**     dims      list of dimensions                     ints   integer or list of integers
**     shape     list of sizes; Lua also takes them as separate arguments
**     index     position, 0-based or negative          text   string
**     dtype     gan_dtype ("float32", "uint8", "int64")
**     a|b|c     one of these words; arrives as its number, from 0
**   `?` after a kind: may be absent (a[k].n < 0). `=value` after a kind: default (not for tensors).
**
** Forward. Reads a[k], makes out[...] with gan_new & co. or another op, calls gan_fail on misuse.
** Never frees, never checks for memory more than "if (!y) return". Kinds, types and NULLs of
** tensors were checked before. Inputs may be views with any strides: gan_dense(c, x) gives
** row-major ones.
**
** vjp. Given gy[] (NULL: no gradient arrived for that output) sets gx[i] for the tensor inputs i
** (counted over parameters of a tensor kind, present or absent, lists flattened) for which
** gan_wants(n, i). Written with ops, so that it can itself be differentiated. n->a[k] holds the
** arguments: tensors only where `save` names them; gan_saved_out(c, n, k) is a saved output;
** n->in[i].shape is the shape of input i in any case.
** `fused` may replace it when no graph of the gradient is wanted; tests compare the two.
*/
#ifndef GAN_OP_H
#define GAN_OP_H

#include "core.h"

struct gan_arg {
  union {
    gan_tensor *t;
    gan_tensor **ts;
    const int64_t *v;
    const char *s;
    double num;
    int64_t i; /* int, bool, dim, index, dtype, number of a word */
  };
  int n; /* length of a list; 1 for a given single value; -1: absent */
};

typedef enum {
  GAN_K_TENSOR, GAN_K_ANY, GAN_K_LABELS, GAN_K_TENSORS, GAN_K_OPERAND, GAN_K_ANYOPERAND,
  GAN_K_NUMBER, GAN_K_INT, GAN_K_BOOL, GAN_K_DIM, GAN_K_DIMS, GAN_K_INTS, GAN_K_SHAPE,
  GAN_K_INDEX, GAN_K_TEXT, GAN_K_DTYPE, GAN_K_WORD
} gan_kind;

#define GAN_MAXARGS 24
#define GAN_MAXLIST 24 /* integers in one list argument */
#define GAN_MAXOUT 8   /* outputs of an op with a fixed number of them */

typedef struct {
  const char *name;
  gan_kind kind;
  bool optional;      /* may be absent */
  bool has_default;
  bool mutated;       /* `!` */
  bool saved;         /* named by the record's `save` */
  int saved_for;      /* saved only when this parameter is tracked; -1: always */
  gan_arg value;      /* the default */
  int64_t list[1];    /* storage of a list default of one element */
  const char *words;  /* kind WORD: "none|mean|sum"; else NULL */
} gan_param;

typedef struct gan_sig {
  int nargs;       /* parameters */
  int npositional; /* the first ones, before `;` */
  int nout;        /* outputs; -1: variable, one name */
  bool mutates;    /* some parameter is changed in place */
  const char *out[GAN_MAXOUT]; /* names; a variable number: out[0] */
  bool out_nograd[GAN_MAXOUT];
  bool out_saved[GAN_MAXOUT];
  gan_param p[]; /* nargs */
} gan_sig;

typedef void gan_forward_fn(gan_ctx *c, const gan_arg *a, gan_tensor **out);
typedef void gan_vjp_fn(gan_ctx *c, const gan_node *n, gan_tensor **gy, gan_tensor **gx);

enum {
  GAN_RANDOM = 1, /* result depends on the generator: no finite differences */
  GAN_UPDATE = 2, /* changes its arguments whether they need gradients or not (optimisers) */
  GAN_HIDDEN = 4, /* helper of gradients: no Lua name, no help */
  GAN_COMPOSITE = 8 /* forward calls recorded ops, which make its gradient: vjp is NULL */
};

struct gan_op {
  const char *name;
  const char *sig;
  gan_forward_fn *forward;
  gan_vjp_fn *vjp;   /* NULL: outputs are constants */
  gan_vjp_fn *fused; /* optional fast first-order gradient */
  int (*count)(gan_ctx *c, const gan_arg *a); /* number of outputs when it varies; 0 on error */
  const char *save; /* names of arguments and outputs that the gradient reads: "x y"; "a:b" keeps
                       the tensor a only when b is tracked, for whose gradient it is read */
  const char *doc;  /* formula, shapes, errors; first line is the summary */
  const char *example; /* a line of Lua that runs as a test */
  unsigned flags;
  gan_sig *parsed; /* filled once when the registry is first used */
};

/* ---- registry (op.c) ---------------------------------------------------------------------- */

/* A family file ends with one of these: pointers to its records, closed by NULL. */
extern gan_op *const gan_ops_pointwise[], *const gan_ops_reduce[], *const gan_ops_shape[],
    *const gan_ops_index[], *const gan_ops_matmul[], *const gan_ops_conv[], *const gan_ops_pool[],
    *const gan_ops_resize[], *const gan_ops_norm[], *const gan_ops_softmax[],
    *const gan_ops_loss[], *const gan_ops_random[], *const gan_ops_rnn[], *const gan_ops_optim[],
    *const gan_ops_create[];

bool gan_registry_open(void);      /* parses the signatures once; false: no memory */
int gan_op_total(void);            /* number of ops */
gan_op *gan_op_at(int i);          /* 0-based; records in order of family */
gan_op *gan_op_find(const char *name);
const char *gan_op_family(const gan_op *op);

/* Runs an op: checks, forward, recording. `a` holds one entry per parameter of the signature, in
   order; out[] receives the outputs [temp]. Returns their number, 0 on failure. */
int gan_run(gan_ctx *c, gan_op *op, const gan_arg *a, int maxout, gan_tensor **out);

/* As gan_run for an op with one output (the first is returned). */
gan_tensor *gan_run1(gan_ctx *c, gan_op *op, const gan_arg *a);

/* How many outputs this call will have (fixed or by `count`); 0 on error. */
int gan_op_nout(gan_ctx *c, gan_op *op, const gan_arg *a);

/* ---- for gradients ------------------------------------------------------------------------ */

static inline bool gan_wants (const gan_node *n, int i) {
  const gan_edge *e = &n->in[i];
  return e->leaf ? (e->leaf->wanted & n->c->level) != 0 : e->node && e->node->needed;
}

/* For fused gradients: g, the gradient that arrived, when nobody reads it after them and its memory
   may hold a result with x's shape and layout; otherwise a new tensor like x. [temp] */
gan_tensor *gan_over_gradient(gan_ctx *c, gan_tensor *g, const gan_tensor *x);

/* Saved output k, connected to the graph when the gradient is being recorded. [temp] */
gan_tensor *gan_saved_out(gan_ctx *c, const gan_node *n, int k);

/* ---- arguments in C ----------------------------------------------------------------------- */

#define GAN_T(x)      ((gan_arg){ .t = (x), .n = (x) ? 1 : -1 })
#define GAN_TS(x, k)  ((gan_arg){ .ts = (x), .n = (k) })
#define GAN_N(x)      ((gan_arg){ .num = (x), .n = 1 })
#define GAN_I(x)      ((gan_arg){ .i = (x), .n = 1 })
#define GAN_V(x, k)   ((gan_arg){ .v = (x), .n = (k) })
#define GAN_NONE      ((gan_arg){ .n = -1 })
#define GAN_ARGS(...) ((const gan_arg[]){ __VA_ARGS__ })

#define GAN_NEED(c, cond, ...)                \
  do {                                        \
    if (!(cond)) {                            \
      gan_fail((c), GAN_EARG, __VA_ARGS__);   \
      return;                                 \
    }                                         \
  } while (0)

/* ---- the algebra that gradients are written in -------------------------------------------- */
/* Thin wrappers of gan_run1; NULL in, NULL out when the context holds an error. All [temp]. */

extern gan_op gan_op_add, gan_op_sub, gan_op_mul, gan_op_div, gan_op_neg, gan_op_exp, gan_op_log,
    gan_op_sqrt, gan_op_rsqrt, gan_op_square, gan_op_reciprocal, gan_op_pow_scalar,
    gan_op_mul_scalar, gan_op_add_scalar, gan_op_gt, gan_op_ge, gan_op_lt, gan_op_le, gan_op_eq,
    gan_op_where, gan_op_sum, gan_op_mean, gan_op_sum_to, gan_op_expand, gan_op_reshape,
    gan_op_permute, gan_op_slice, gan_op_pad, gan_op_cat, gan_op_index_select, gan_op_gather,
    gan_op_scatter_add, gan_op_matmul, gan_op_softmax, gan_op_log_softmax, gan_op_sigmoid,
    gan_op_tanh, gan_op_sign;

static inline gan_tensor *gan_add (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_add, GAN_ARGS(GAN_T(a), GAN_T(b)));
}
static inline gan_tensor *gan_sub (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_sub, GAN_ARGS(GAN_T(a), GAN_T(b)));
}
static inline gan_tensor *gan_mul (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_mul, GAN_ARGS(GAN_T(a), GAN_T(b)));
}
static inline gan_tensor *gan_div (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_div, GAN_ARGS(GAN_T(a), GAN_T(b)));
}
static inline gan_tensor *gan_neg (gan_ctx *c, gan_tensor *x) {
  return gan_run1(c, &gan_op_neg, GAN_ARGS(GAN_T(x)));
}
static inline gan_tensor *gan_exp (gan_ctx *c, gan_tensor *x) {
  return gan_run1(c, &gan_op_exp, GAN_ARGS(GAN_T(x)));
}
static inline gan_tensor *gan_log (gan_ctx *c, gan_tensor *x) {
  return gan_run1(c, &gan_op_log, GAN_ARGS(GAN_T(x)));
}
static inline gan_tensor *gan_sqrt (gan_ctx *c, gan_tensor *x) {
  return gan_run1(c, &gan_op_sqrt, GAN_ARGS(GAN_T(x)));
}
static inline gan_tensor *gan_rsqrt (gan_ctx *c, gan_tensor *x) {
  return gan_run1(c, &gan_op_rsqrt, GAN_ARGS(GAN_T(x)));
}
static inline gan_tensor *gan_square (gan_ctx *c, gan_tensor *x) {
  return gan_run1(c, &gan_op_square, GAN_ARGS(GAN_T(x)));
}
static inline gan_tensor *gan_reciprocal (gan_ctx *c, gan_tensor *x) {
  return gan_run1(c, &gan_op_reciprocal, GAN_ARGS(GAN_T(x)));
}
static inline gan_tensor *gan_sign (gan_ctx *c, gan_tensor *x) {
  return gan_run1(c, &gan_op_sign, GAN_ARGS(GAN_T(x)));
}
static inline gan_tensor *gan_sigmoid (gan_ctx *c, gan_tensor *x) {
  return gan_run1(c, &gan_op_sigmoid, GAN_ARGS(GAN_T(x)));
}
static inline gan_tensor *gan_tanh (gan_ctx *c, gan_tensor *x) {
  return gan_run1(c, &gan_op_tanh, GAN_ARGS(GAN_T(x)));
}
static inline gan_tensor *gan_pow (gan_ctx *c, gan_tensor *x, double e) {
  return gan_run1(c, &gan_op_pow_scalar, GAN_ARGS(GAN_T(x), GAN_N(e)));
}
static inline gan_tensor *gan_scale (gan_ctx *c, gan_tensor *x, double k) {
  return gan_run1(c, &gan_op_mul_scalar, GAN_ARGS(GAN_T(x), GAN_N(k)));
}
static inline gan_tensor *gan_shift (gan_ctx *c, gan_tensor *x, double k) {
  return gan_run1(c, &gan_op_add_scalar, GAN_ARGS(GAN_T(x), GAN_N(k)));
}
/* 1 where the comparison holds, else 0; no gradient */
static inline gan_tensor *gan_gt (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_gt, GAN_ARGS(GAN_T(a), GAN_T(b)));
}
static inline gan_tensor *gan_ge (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_ge, GAN_ARGS(GAN_T(a), GAN_T(b)));
}
static inline gan_tensor *gan_lt (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_lt, GAN_ARGS(GAN_T(a), GAN_T(b)));
}
static inline gan_tensor *gan_le (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_le, GAN_ARGS(GAN_T(a), GAN_T(b)));
}
static inline gan_tensor *gan_eq (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_eq, GAN_ARGS(GAN_T(a), GAN_T(b)));
}
static inline gan_tensor *gan_where (gan_ctx *c, gan_tensor *m, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_where, GAN_ARGS(GAN_T(m), GAN_T(a), GAN_T(b)));
}
/* sum over the listed dims (n < 0: all) */
static inline gan_tensor *gan_sum (gan_ctx *c, gan_tensor *x, int n, const int64_t *dims,
                                   bool keep) {
  return gan_run1(c, &gan_op_sum, GAN_ARGS(GAN_T(x), GAN_V(dims, n), GAN_I(keep)));
}
static inline gan_tensor *gan_mean (gan_ctx *c, gan_tensor *x, int n, const int64_t *dims,
                                    bool keep) {
  return gan_run1(c, &gan_op_mean, GAN_ARGS(GAN_T(x), GAN_V(dims, n), GAN_I(keep)));
}
/* sums broadcast dimensions away so that the result has this shape: the adjoint of expand */
static inline gan_tensor *gan_sum_to (gan_ctx *c, gan_tensor *x, int ndim, const int64_t *shape) {
  return gan_run1(c, &gan_op_sum_to, GAN_ARGS(GAN_T(x), GAN_V(shape, ndim)));
}
static inline gan_tensor *gan_expand (gan_ctx *c, gan_tensor *x, int ndim, const int64_t *shape) {
  return gan_run1(c, &gan_op_expand, GAN_ARGS(GAN_T(x), GAN_V(shape, ndim)));
}
static inline gan_tensor *gan_reshape (gan_ctx *c, gan_tensor *x, int ndim, const int64_t *shape) {
  return gan_run1(c, &gan_op_reshape, GAN_ARGS(GAN_T(x), GAN_V(shape, ndim)));
}
static inline gan_tensor *gan_permute (gan_ctx *c, gan_tensor *x, int n, const int64_t *dims) {
  return gan_run1(c, &gan_op_permute, GAN_ARGS(GAN_T(x), GAN_V(dims, n)));
}
/* elements lo .. lo+len-1 (0-based) of dim, every step-th */
gan_tensor *gan_slice(gan_ctx *c, gan_tensor *x, int dim, int64_t lo, int64_t len, int64_t step);
/* swaps the last two dimensions */
gan_tensor *gan_transpose(gan_ctx *c, gan_tensor *x);
/* zero padding, [before, after] for every dim; negative crops */
gan_tensor *gan_pad_zero(gan_ctx *c, gan_tensor *x, const int64_t *pads);
static inline gan_tensor *gan_cat (gan_ctx *c, int n, gan_tensor **x, int64_t dim) {
  return gan_run1(c, &gan_op_cat, GAN_ARGS(GAN_TS(x, n), GAN_I(dim)));
}
static inline gan_tensor *gan_gather (gan_ctx *c, gan_tensor *x, gan_tensor *idx, int64_t dim) {
  return gan_run1(c, &gan_op_gather, GAN_ARGS(GAN_T(x), GAN_T(idx), GAN_I(dim)));
}
static inline gan_tensor *gan_scatter_add (gan_ctx *c, gan_tensor *x, gan_tensor *idx,
                                           gan_tensor *src, int64_t dim) {
  return gan_run1(c, &gan_op_scatter_add, GAN_ARGS(GAN_T(x), GAN_T(idx), GAN_T(src), GAN_I(dim)));
}
static inline gan_tensor *gan_matmul (gan_ctx *c, gan_tensor *a, gan_tensor *b) {
  return gan_run1(c, &gan_op_matmul, GAN_ARGS(GAN_T(a), GAN_T(b)));
}

#endif
