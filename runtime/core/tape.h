/*
** tape.h - what a training step did, written down (tape.c), and the plan made from it that does it
** again without Lua, graph or allocation (plan.c, replay.c).
**
** An instruction is one call of an op's forward, one node's first-order gradient, or one copy. Its
** code runs again as it is: only the tensors that it makes come from the plan, where they lie at
** fixed places, in the order in which they were made the first time. So a replay is bit-identical
** to the step by construction.
*/
#ifndef GAN_TAPE_H
#define GAN_TAPE_H

#include "op.h"

/* A tensor's memory as the tape saw it. */
typedef enum {
  GAN_MADE,     /* by an instruction */
  GAN_OUTSIDE,  /* there before: parameters, state of optimisers, running statistics */
  GAN_INPUT,    /* of an argument of the step */
  GAN_CONSTANT, /* a number, or the 1 that a backward pass starts from */
  GAN_STRANGE   /* made by the host while the tape ran: data that a replay would not make again */
} gan_memory_kind;

typedef struct {
  uint64_t id; /* of the storage */
  gan_memory_kind kind;
  size_t bytes;
  gan_storage *st; /* counted, except for GAN_MADE */
  int input;       /* GAN_INPUT: which argument, from 0 */
  int first, last; /* GAN_MADE: instructions that make and last use it */
  bool lasting;    /* GAN_MADE: read after the last instruction */
  bool apart;      /* GAN_MADE: the step leaves it behind, so the plan gives it memory of its own */
} gan_tape_memory;

/* A tensor as the tape saw it. */
typedef struct {
  uint64_t id;
  int memory; /* index */
  uint8_t dtype, ndim;
  bool is_number, tracked;
  int64_t numel, offset; /* in bytes from the start of the storage */
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM];
} gan_slot;

typedef enum {
  GAN_DO_FORWARD,
  GAN_DO_BACKWARD,
  GAN_DO_COPY, /* in[0] into out[0] */
  GAN_DO_GRAD  /* out[0] becomes the gradient of a leaf; -1: it has none any more */
} gan_instr_kind;

/* Tensors are slot numbers; -1: none. */
typedef struct {
  gan_instr_kind kind;
  const gan_op *op; /* NULL: a copy or a leaf's gradient */
  int leaf;         /* GAN_DO_GRAD: index */
  int64_t flat;     /* it is one loop over so many elements, each for itself; 0: something else */
  bool fused;
  int nargs, nout, nin, nmade;
  gan_arg *a; /* of a tensor: .i is the slot; of a list: .v are the slots */
  int *out;   /* nout: results of a forward; of a backward: saved outputs, then their gradients */
  int *in;    /* backward, nin: gradients made, -1 where none is wanted */
  gan_edge *edges; /* backward: shapes of nin inputs and nout outputs; node: not NULL if wanted */
  int *made;       /* nmade: in order of making */
} gan_instr;

/* A leaf whose gradient the step sets or drops. */
typedef struct {
  gan_tensor *leaf; /* counted */
  int grad;         /* slot of its gradient; -1: none */
  bool dropped;     /* the first that happened to its gradient was that it was dropped */
} gan_tape_leaf;

/* A tensor from outside, and whether it required a gradient when the step ended. */
typedef struct {
  gan_tensor *t; /* counted */
  bool requires_grad;
} gan_tape_outer;

struct gan_tape {
  gan_ctx *c;
  int loops;      /* flat loops of the open instruction */
  int64_t flat;   /* the length of the last one */
  uint64_t since; /* what has a higher number was made in the step */
  int threads;
  bool open, done, composed;
  bool paused; /* what the host does now, it does in every replay again */
  const char *refused; /* why the step cannot be replayed; NULL: it can */
  char reason[300];
  struct gan_tape_block *blocks; /* memory of the lists below that never move */
  gan_instr *instr;
  gan_slot *slots;
  gan_tape_memory *memory;
  gan_tape_leaf *leaves;
  gan_tape_outer *outer;
  int ninstr, nslots, nmemory, nleaves, nouter, ninputs;
  int instr_size, slots_size, memory_size, leaves_size, outer_size;
  struct gan_tape_entry {
    uint64_t id;
    int place; /* in slots or in memory, plus 1; 0: free */
  } *map;
  int map_used, map_size;
  gan_tensor **fresh; /* tensors made by the open instruction; NULL: already described */
  int *fresh_slot;
  int nfresh, fresh_size, fresh_slot_size;
};

/* ---- recording (tape.c) ------------------------------------------------------------------- */

/* Begins to write down what the context does, but for what it does while the tape is paused; NULL
   and an error without memory. The inputs are the step's arguments. Ended by gan_tape_stop or
   gan_tape_free. */
gan_tape *gan_tape_start(gan_ctx *c, int ninputs, gan_tensor **inputs);

/* Ends the recording. results: the tensors that the step returned; their slots come back in
   `slots`. False when it cannot be replayed: gan_tape_refusal tells why. */
bool gan_tape_stop(gan_tape *t, int nresults, gan_tensor **results, int *slots);
const char *gan_tape_refusal(const gan_tape *t);
void gan_tape_free(gan_tape *t);

/* True when both did the same to the same memory; otherwise `reason` says what differs. */
bool gan_tape_same(const gan_tape *a, gan_tape *b);

/* n zeroed items that live as long as the tape; NULL without memory (then the tape is refused). */
void *gan_tape_cut(gan_tape *t, int n, size_t item);

/* Hooks of the runtime; called only while c->tape is there. */
bool gan_tape_begin(gan_ctx *c); /* false: inside an instruction */
void gan_tape_cancel(gan_ctx *c);
void gan_tape_forward(gan_ctx *c, const gan_op *op, const gan_arg *a, int nout, gan_tensor **out);
void gan_tape_backward(gan_ctx *c, const gan_node *n, bool fused, gan_tensor **gx);
void gan_tape_copy(gan_ctx *c, gan_tensor *dst, gan_tensor *src);
void gan_tape_memory_made(gan_ctx *c, gan_storage *s);
void gan_tape_tensor_made(gan_ctx *c, gan_tensor *t);
void gan_tape_tensor_dies(gan_ctx *c, gan_tensor *t);
void gan_tape_constant(gan_ctx *c, gan_tensor *t);
void gan_tape_adds(gan_ctx *c, const gan_tensor *grad); /* to a gradient that a leaf has */
void gan_tape_grad_set(gan_ctx *c, gan_tensor *leaf); /* or dropped */
void gan_tape_refuse(gan_ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The host reads t's elements, or writes them: it would not do so again. */
void gan_tape_looked_at(gan_ctx *c, const gan_tensor *t, const char *how);
void gan_tape_written(gan_ctx *c, const gan_tensor *t, const char *how);

/* ---- plan and replay (plan.c, replay.c) ---------------------------------------------------- */

/* Takes the tape over, which is freed with the plan; NULL and an error without memory, and then
   the tape stays the caller's. */
gan_replay *gan_replay_new(gan_ctx *c, gan_tape *t);
void gan_replay_free(gan_replay *p);
size_t gan_replay_bytes(const gan_replay *p);        /* of memory that intermediate results share */
size_t gan_replay_bytes_needed(const gan_replay *p); /* what they would need side by side */
int gan_replay_length(const gan_replay *p);          /* instructions that a replay runs */

/* Whether all is as it was when the step was recorded: the types, shapes and strides of the inputs,
   which parameters require gradients, which have one already. */
bool gan_replay_fits(const gan_replay *p, int ninputs, gan_tensor **inputs);

/* One replay: begin, run up to an instruction, any number of times and the last time up to INT_MAX,
   end. False and an error when something fails, and then the replay is over. In between the host
   does what it did while the tape was paused. */
bool gan_replay_begin(gan_replay *p, int ninputs, gan_tensor **inputs);
bool gan_replay_run(gan_replay *p, int instruction);
void gan_replay_end(gan_replay *p);
void gan_replay_abandon(gan_replay *p);
bool gan_replay_astray(const gan_replay *p); /* it failed because the step is another one now */

/* A tensor for the result with this slot, NULL and an error without memory [temp]; its value. */
gan_tensor *gan_replay_room(gan_replay *p, int slot);
void gan_replay_result(gan_replay *p, int slot, gan_tensor *y);

/* Hooks of the runtime; called only while c->plan is there. */
gan_tensor *gan_replay_next(gan_ctx *c, gan_dtype dtype, int ndim, const int64_t *shape);
gan_tensor *gan_replay_next_view(gan_ctx *c, const gan_tensor *x, int ndim, const int64_t *shape,
                                 const int64_t *stride, int64_t offset);

/* ---- elementwise loops (replay.c) ----------------------------------------------------------- */

/* Offered every loop over n elements that lie side by side, each of which is computed for itself:
   range(job, lo, hi, 0) does elements lo .. hi-1. True when it will be run later together with
   others, from a copy of the job; otherwise the caller runs it now. */
bool gan_loop_later(gan_ctx *c, int64_t n, int64_t grain, gan_range_fn *range, const void *job,
                    size_t size);

#endif
