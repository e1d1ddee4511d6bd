/*
** core.h - the data structures of the runtime. Read this first.
**
** handle (Lua) -> tensor (a view: shape, strides, place in the graph) -> storage (bytes).
** Tensors and storages are counted references. A graph node is made by an op call whose inputs
** need gradients; edges point from a node to the producers of its inputs, so a graph is freed
** by releasing its last output.
*/
#ifndef GAN_CORE_H
#define GAN_CORE_H

#include <stdarg.h>

#include "../gan.h"

typedef struct gan_storage gan_storage;
typedef struct gan_node gan_node;
typedef struct gan_op gan_op;
typedef struct gan_arg gan_arg;
typedef struct gan_tape gan_tape;
typedef struct gan_replay gan_replay;
typedef struct gan_ranks gan_ranks;

/* ---- storage and tensor ------------------------------------------------------------------- */

struct gan_storage {
  int refs;
  uint64_t id;      /* never given twice in a context */
  uint64_t version; /* raised by every change in place; saved tensors remember it */
  size_t bytes;
  void *data;                /* 64-byte aligned when the runtime allocated it */
  void (*drop)(void *owner); /* memory of the host: called once, instead of freeing `data` */
  void *owner;
};

struct gan_tensor {
  int refs;
  uint8_t dtype; /* gan_dtype */
  uint8_t ndim;
  bool requires_grad; /* a leaf that collects gradients */
  bool planned;       /* belongs to the plan of a compiled step */
  bool is_number;     /* made from a Lua number: has no dtype of its own in comparisons */
  bool shared;        /* leaf: its gradients are averaged over the ranks of a job, see ranks.h */
  gan_ctx *c;
  uint64_t id; /* never given twice in a context */
  gan_storage *st;
  void *data;    /* first element; inside st->data */
  int64_t numel; /* product of the shape, 1 for 0 dimensions */
  int64_t shape[GAN_MAXDIM];
  int64_t stride[GAN_MAXDIM]; /* in elements; 0 in expanded dimensions, never negative */
  gan_node *node;             /* producer, counted; NULL for leaves and constants */
  int out_index;              /* which output of the producer this is */
  gan_tensor *grad;           /* leaf: the accumulated gradient, counted */
  gan_tensor *pending;        /* leaf: gradient of the backward pass under way, counted */
  uint64_t pending_pass;      /* the pass that `pending` belongs to */
  uint64_t wanted;            /* leaf: a bit for each pass under way that asks for its gradient */
  int64_t awaited;            /* shared leaf: inputs of nodes that still have to give their part */
};

/* ---- context ------------------------------------------------------------------------------ */

#define GAN_CLASSES 256 /* size classes of the caching allocator */

typedef struct gan_block {
  struct gan_block *next;
} gan_block;

typedef struct {
  size_t live, peak, cached, limit;
  size_t cache_limit;  /* cached blocks above this are given back */
  int64_t tensors, nodes;
  int64_t fail_after;  /* tests: the allocation that fails, counted down; < 0: none */
  bool injected;       /* the last failure was a test's: do not try again */
  int64_t allocations; /* allocations asked for since the context was opened */
  gan_block *free[GAN_CLASSES];
} gan_alloc_state;

typedef struct {
  uint64_t seed;
  uint64_t counter; /* next unused block of four 32-bit numbers */
} gan_rng;

/* Rows first .. first + rows - 1 of a batch of `total`; 0 rows: there is no share. */
typedef struct {
  int64_t first, rows, total;
} gan_share;

struct gan_ctx {
  gan_status status;
  const gan_op *op;  /* the op that is running, for messages */
  char message[1024];
  char text[4][160]; /* gan_shape_text's results */
  int next_text;
  gan_alloc_state mem;
  gan_rng rng;
  bool recording; /* ops record nodes */
  bool composed;  /* tests: gradients ignore `fused` */
  bool anomaly;   /* name the op whose output or gradient is the first NaN */
  uint64_t seq;   /* node numbers: a node's inputs have lower ones */
  uint64_t pass;  /* the backward pass under way; 0: none */
  uint64_t passes; /* backward passes so far */
  uint64_t level; /* bit of the pass under way: passes nest in custom functions */
  int depth;      /* forwards under way: an op may call ops */
  gan_tensor **temps; /* temporaries of the open frames, innermost last */
  int ntemps, temps_size;
  int *marks; /* start of each open frame in temps */
  int nmarks, marks_size, unmarked; /* unmarked: frames opened when marks could not grow */
  gan_node *dying; /* nodes to be freed: a list, so that long chains do not recurse */
  bool burying;
  /* Asks the host to free memory (a garbage collection); lent by the binding for the duration of
     one call and taken back at its end. Returns true when trying again may succeed. */
  bool (*relieve)(gan_ctx *c, void *host);
  void *host;
  struct gan_profile *profile; /* NULL: off */
  uint64_t ids;   /* numbers given to tensors and storages */
  gan_tape *tape; /* what writes down the operations; NULL: nothing does */
  gan_replay *plan; /* the replay under way: tensors come from it; NULL: none */
  gan_ranks *ranks; /* the job of which this process is one; NULL: none */
  gan_share share;  /* of the batch that its processes work on together */
  int64_t io_faults, io_after; /* tests: so many file operations fail after so many good ones */
  int io_error;                /* with this errno; 0: the process is killed */
};

/* ---- alloc.c ------------------------------------------------------------------------------ */

/* 64-byte aligned, uninitialised; NULL and GAN_EMEMORY on failure. Free with the same size.
   Works while an error is pending (then without a second message). */
void *gan_malloc(gan_ctx *c, size_t bytes);
void gan_free(gan_ctx *c, void *p, size_t bytes);
void gan_alloc_open(gan_ctx *c);

/* ---- error.c ------------------------------------------------------------------------------ */

/* Sets the error unless one is set already. The name of the running op is put in front of the
   message: write "inner sizes differ, %s and %s", not "matmul: ...". Returns NULL. */
void *gan_fail(gan_ctx *c, gan_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* "(64 x 100)", "()" for 0 dimensions; the four latest results are valid. */
const char *gan_shape_text(gan_ctx *c, int ndim, const int64_t *shape);
const char *gan_shape_of(gan_ctx *c, const gan_tensor *t);
const char *gan_dtype_name(gan_dtype d);
size_t gan_dtype_size(gan_dtype d);

/* ---- tensor.c ----------------------------------------------------------------------------- */

/* Uninitialised with x's shape. Dense x (a permutation of row-major, such as channels-last):
   x's strides; otherwise row-major. [temp] */
gan_tensor *gan_new_like(gan_ctx *c, const gan_tensor *x, gan_dtype dtype);

/* Row-major and filled with zeros. [temp] */
gan_tensor *gan_new_zero(gan_ctx *c, gan_dtype dtype, int ndim, const int64_t *shape);

/* 0-dimensional compute-type constant. [temp] */
gan_tensor *gan_scalar(gan_ctx *c, double value);

/* Another view of x's storage, `offset` elements after x's first. No graph. [temp] */
gan_tensor *gan_view(gan_ctx *c, const gan_tensor *x, int ndim, const int64_t *shape,
                     const int64_t *stride, int64_t offset);

/* x without its place in the graph, sharing the storage. [temp] */
gan_tensor *gan_detach(gan_ctx *c, gan_tensor *x);

/* x itself when it is row-major without gaps, otherwise a copy. No graph: for forwards. [temp] */
gan_tensor *gan_dense(gan_ctx *c, gan_tensor *x);

/* dst[...] = src[...] with conversion of types; same shape, any strides, dst not expanded. */
void gan_copy_into(gan_ctx *c, gan_tensor *dst, const gan_tensor *src);

/* True when the elements of x fill a block of memory without gaps or overlap, in any order. */
bool gan_is_dense(const gan_tensor *x);
bool gan_same_shape(const gan_tensor *a, const gan_tensor *b);
/* the same shape and strides, dimensions of size 1 aside */
bool gan_same_layout(const gan_tensor *a, const gan_tensor *b);

/* numpy's broadcasting of two shapes into out; false and an error when they do not match. */
bool gan_broadcast(gan_ctx *c, const gan_tensor *a, const gan_tensor *b, int *ndim, int64_t *out);

/* 0-based dim from [-ndim, ndim); reports in Lua's 1-based terms and returns -1. A tensor of 0
   dimensions accepts 0 and -1 when `scalar_ok`. */
int gan_dim(gan_ctx *c, const gan_tensor *t, int64_t dim);

/* product of n sizes; false on overflow of int64 or of the byte count with `item` bytes each */
bool gan_count(int n, const int64_t *shape, size_t item, int64_t *numel);

/* Uninitialised memory with one owner; NULL and an error without memory. */
gan_storage *gan_storage_new(gan_ctx *c, size_t bytes);

/* gives up one share of a storage */
void gan_storage_release(gan_ctx *c, gan_storage *s);

/* A storage of `bytes` bytes at data, with one owner, which calls drop(owner) when it goes, and a
   header over it; `t` owes its shape, strides and number of elements. Neither is in a frame. NULL
   and an error without memory (drop is then not called). */
gan_storage *gan_storage_over(gan_ctx *c, void *data, size_t bytes, void (*drop)(void *owner),
                              void *owner);
gan_tensor *gan_header_over(gan_ctx *c, gan_dtype dtype, int ndim, gan_storage *s);

/* the element at an offset in elements, as double */
double gan_item(const gan_tensor *t, int64_t offset);
void gan_touch(gan_tensor *t);                        /* the storage changed: raises its version */

static inline gan_real *gan_reals (const gan_tensor *t) { return (gan_real *)t->data; }
static inline int64_t *gan_ints (const gan_tensor *t) { return (int64_t *)t->data; }
static inline uint8_t *gan_bytes (const gan_tensor *t) { return (uint8_t *)t->data; }

static inline bool gan_tracked (const gan_tensor *t) { return t->requires_grad || t->node; }

/* ---- frames (op.c) ------------------------------------------------------------------------ */

/* Hands an owned tensor to the innermost frame; NULL (and released) when the frame cannot grow. */
gan_tensor *gan_temp(gan_ctx *c, gan_tensor *t);

/* ---- parallel.c --------------------------------------------------------------------------- */

/* Calls fn(ud, lo, hi, worker) on disjoint ranges that cover [0, n): at most gan_threads() of
   them, none shorter than `grain` unless n is. The split depends only on n, grain and the thread
   count. fn must not allocate, fail or start another parallel region. */
typedef void gan_range_fn(void *ud, int64_t lo, int64_t hi, int worker);
void gan_parallel(int64_t n, int64_t grain, gan_range_fn *fn, void *ud);

/* ---- random.c ----------------------------------------------------------------------------- */

/* Reserves the numbers for n elements and returns the counter to start from. */
uint64_t gan_rng_take(gan_rng *r, int64_t n);

/* Philox 4x32-10: four independent 32-bit numbers for (seed, counter). */
void gan_philox(uint64_t seed, uint64_t counter, uint32_t out[4]);

/* Fills a dense tensor from the context's generator in the order of its memory, the same for any
   number of threads. */
void gan_fill_uniform(gan_ctx *c, gan_tensor *y, double lo, double hi); /* [lo, hi) */
void gan_fill_normal(gan_ctx *c, gan_tensor *y, double mean, double std);
void gan_fill_mask(gan_ctx *c, gan_tensor *y, double p, double value); /* or 0 */

/* Which numbers of a sequence a tensor gets. Without a share element i gets number i. A tensor with
   (once or twice) as many rows as the share has is a part of one with as many as the whole batch,
   and gets what that part would get. */
typedef struct {
  int64_t whole;           /* numbers of the sequence */
  int64_t pieces, length;  /* consecutive ones: so many pieces of so many elements */
  int64_t skip, stride;    /* piece k begins with number k stride + skip */
} gan_excerpt;

gan_excerpt gan_excerpt_of(const gan_ctx *c, const gan_tensor *y);

static inline int64_t gan_excerpt_at (const gan_excerpt *p, int64_t i) {
  return i / p->length * p->stride + p->skip + i % p->length;
}

/* ---- profile.c ---------------------------------------------------------------------------- */

/* Products and convolutions tell how many floating point operations they do, for the profiler. */
void gan_count_work(double flops);

/* ---- autograd.c --------------------------------------------------------------------------- */

typedef struct {
  gan_node *node;   /* producer of the input, counted; NULL for a leaf or a constant */
  gan_tensor *leaf; /* leaf that requires a gradient, counted */
  int out_index;
  uint8_t dtype, ndim;
  int64_t shape[GAN_MAXDIM]; /* of the input, whether it was saved or not */
} gan_edge;

/* Backward of a node made by the host (gan.Function): fills gx, returns false on failure. */
typedef struct {
  const char *name;
  bool (*backward)(gan_ctx *c, void *ud, int ngy, gan_tensor **gy, int ngx, gan_tensor **gx);
  void (*release)(gan_ctx *c, void *ud); /* must not call back into the runtime's graph */
} gan_custom;

struct gan_node {
  int refs;
  uint64_t seq, pass; /* pass: the last backward pass that reached this node */
  gan_ctx *c;
  const gan_op *op; /* NULL: custom */
  const gan_custom *custom;
  void *ud;
  int nin, nout, nargs;
  bool spent;  /* saved tensors were freed by a backward pass */
  bool busy;   /* in a pass under way */
  bool needed; /* this pass: the gradient of an output is wanted, here or further up */
  bool runs;   /* this pass: the gradient of an input is wanted */
  gan_edge *in;         /* nin: every tensor input in order, lists flattened */
  gan_arg *a;           /* nargs: the call's arguments; tensors that are not saved are NULL */
  gan_tensor **saved;   /* outputs named by the record's `save`, else NULL; not connected */
  uint64_t *versions;   /* of saved inputs, then of saved outputs */
  gan_edge *out;        /* nout: shapes of the outputs (node and leaf unused) */
  gan_tensor **gy;      /* nout: gradients that have arrived in this pass, counted */
  gan_tensor **kept;    /* nout: gradients that gan_gradient asked for, counted */
  bool *keep;           /* nout: gan_gradient asked for it */
  gan_node *next;       /* list of dying nodes */
  char *tail;           /* list arguments, `keep` and texts */
  size_t bytes;         /* of this allocation */
};

/* Adds the gradient of y into the leaves' grad. gy NULL: y must have one element. ninputs > 0:
   only these leaves. Nothing is committed when the pass fails. */
bool gan_backward(gan_ctx *c, gan_tensor *y, gan_tensor *gy, int ninputs, gan_tensor **inputs,
                  bool retain_graph, bool create_graph);

/* out[i] = gradient of y for x[i] [temp], NULL where y does not depend on it (`allow_unused`,
   otherwise an error). Touches no tensor's grad. */
bool gan_gradient(gan_ctx *c, gan_tensor *y, gan_tensor *gy, int n, gan_tensor **x,
                  gan_tensor **out, bool retain_graph, bool create_graph, bool allow_unused);

/* Connects out[] to in[] by a node of the host; takes over ud (released on failure too). */
bool gan_record_custom(gan_ctx *c, const gan_custom *f, void *ud, int nin, gan_tensor **in,
                       int nout, gan_tensor **out);

void gan_node_release(gan_node *n);

/* Records a node for op's outputs when an input is tracked; for gan_run. */
bool gan_record(gan_ctx *c, const gan_op *op, const gan_arg *a, int nout, gan_tensor **out);

#endif
