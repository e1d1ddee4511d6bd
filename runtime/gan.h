/*
** gan.h - the public C interface of gan-lua: tensors, gradients and ops for a C host.
**
** Ownership. A function marked [new] returns a tensor that the caller owns and must give to
** gan_release. [borrowed] results live as long as the object they came from. [temp] results
** belong to the innermost open frame (gan_frame_open/gan_frame_close) and are released with it:
** gan_retain them to keep them longer. With no frame open, they live until the context closes.
**
** Errors. A function that can fail returns NULL or false and leaves one message in the context
** (the first one wins); until gan_clear_error, every call that is given a failed context does
** nothing and fails too, so a chain of calls needs one check at its end. Nothing here prints,
** exits, raises a signal or jumps.
**
** Threads. A context and everything made from it belong to one thread at a time. Different
** contexts are independent, and may be used by different threads at the same time. The threads
** that help with large ops are one team for the whole process; gan_set_threads limits it. They
** start when they are first needed, take no signals and outlive contexts and Lua states. OpenBLAS
** is set to one thread per call, also for a host that uses it itself.
**
** Processes. Parent and child of a fork both go on with contexts that no other thread was using;
** the child's team is a new one. (So with OpenBLAS as built with pthreads. The one built with
** OpenMP may leave a lock taken when another thread was inside it.)
**
** Bases. C counts dimensions and positions from 0, negative ones from the end. *Values* of index
** tensors (labels, argmax, pooling positions) count from 1, as they do in Lua: such a tensor means
** the same on both sides.
*/
#ifndef GAN_H
#define GAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GAN_VERSION "0.1.0"

#if defined(__GNUC__)
#define GAN_API __attribute__((visibility("default")))
#else
#define GAN_API
#endif

#ifdef GAN_DOUBLE
typedef double gan_real;
#else
typedef float gan_real;
#endif

#define GAN_MAXDIM 8 /* the largest number of dimensions of a tensor */

typedef enum { GAN_REAL, GAN_UINT8, GAN_INT64 } gan_dtype;

typedef enum {
  GAN_OK,
  GAN_EARG,    /* a wrong argument: shape, type, range, name */
  GAN_EMEMORY, /* the allocator or the byte limit said no */
  GAN_EGRAPH,  /* gradients: no graph, graph used up, tensor changed in place */
  GAN_EFILE,   /* a file: missing, unreadable, malformed */
  GAN_EHOST    /* a callback of the host failed; the host holds the details */
} gan_status;

typedef struct gan_ctx gan_ctx;
typedef struct gan_tensor gan_tensor;

/* ---- context ------------------------------------------------------------------------------ */

GAN_API gan_ctx *gan_open(void); /* [new] NULL when there is no memory */
GAN_API void gan_close(gan_ctx *c);

GAN_API gan_status gan_error(const gan_ctx *c);             /* GAN_OK when nothing failed */
GAN_API const char *gan_error_message(const gan_ctx *c);    /* [borrowed], "" when nothing failed */
GAN_API void gan_clear_error(gan_ctx *c);

/* The number of threads that an op may use, the caller's included, for the whole process: 1 .. 64.
   At first that of the environment variable GAN_THREADS, else of the processors allowed. */
GAN_API void gan_set_threads(int n);
GAN_API int gan_threads(void);
GAN_API void gan_seed(gan_ctx *c, uint64_t seed);

typedef struct {
  size_t live;     /* bytes of tensors and graph now in use */
  size_t peak;     /* the largest `live` since the context was opened or the peak was reset */
  size_t cached;   /* bytes kept for reuse */
  size_t limit;    /* 0: none */
  int64_t tensors; /* tensor headers alive */
  int64_t nodes;   /* graph nodes alive */
} gan_memory_info;

GAN_API gan_memory_info gan_memory(const gan_ctx *c);
GAN_API void gan_memory_limit(gan_ctx *c, size_t bytes); /* hard limit on `live`; 0: none */
GAN_API void gan_memory_reset_peak(gan_ctx *c);
GAN_API void gan_memory_trim(gan_ctx *c);                /* gives cached bytes back to the system */

/* ---- tensors ------------------------------------------------------------------------------ */

GAN_API void gan_frame_open(gan_ctx *c);
GAN_API void gan_frame_close(gan_ctx *c);

/* [temp] uninitialised, row-major; sizes >= 0, their product is checked for overflow */
GAN_API gan_tensor *gan_new(gan_ctx *c, gan_dtype dtype, int ndim, const int64_t *shape);

/* [temp] a row-major tensor over the host's memory, no copy; drop(owner) when the last use ends */
GAN_API gan_tensor *gan_wrap(gan_ctx *c, gan_dtype dtype, int ndim, const int64_t *shape,
                             void *data, void (*drop)(void *owner), void *owner);

/* [new] the same tensor with one more owner. Both let NULL pass. */
GAN_API gan_tensor *gan_retain(gan_tensor *t);
GAN_API void gan_release(gan_tensor *t);

GAN_API gan_dtype gan_type(const gan_tensor *t);
GAN_API int gan_ndim(const gan_tensor *t);
GAN_API int64_t gan_size(const gan_tensor *t, int dim); /* dim is not checked */
GAN_API int64_t gan_numel(const gan_tensor *t);
GAN_API bool gan_is_contiguous(const gan_tensor *t); /* row-major without gaps */

/* [borrowed] the first element; the others follow in row-major order when gan_is_contiguous */
GAN_API void *gan_data(const gan_tensor *t);

#endif
