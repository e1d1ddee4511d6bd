/*
** arrays.h - what the readers of arrays share: elements as files store them, and stretches of bytes
** that lie in a file or in memory.
*/
#ifndef GAN_ARRAYS_H
#define GAN_ARRAYS_H

#include "files.h"

/* ---- elements.c --------------------------------------------------------------------------- */

typedef struct {
  char kind;    /* 'f' floating point, 'h' the upper half of a float32 (bfloat16), 'i' signed, 'u'
                   unsigned, 'b' boolean */
  uint8_t item; /* bytes: 2, 4, 8 for 'f'; 2 for 'h'; 1, 2, 4, 8; 1 for 'b' */
  bool big;     /* the most significant byte comes first */
} gan_element;

/* Where elements arrive: 'f' and 'h' as the compute type, bytes and booleans as uint8, the other
   integers as int64. */
gan_dtype gan_element_dtype(gan_element e);

/* The element as files store those of this type: the inverse of the above, little-endian. */
gan_element gan_element_of(gan_dtype dtype);

/* True when they are those of memory as they are. */
bool gan_element_is_native(gan_element e);

/* Converts n elements at `from` to the elements of memory at `to`. The number of elements that
   were converted: less than n when an unsigned one is above 2^63 - 1. */
int64_t gan_convert_elements(gan_element e, const void *from, int64_t n, void *to);

/* ---- stretches ---------------------------------------------------------------------------- */

/* `size` bytes of a file from `begin` on, or of memory when `memory` is set. */
typedef struct {
  gan_file *file;
  const uint8_t *memory;
  uint64_t begin, size;
  const char *path;   /* for messages */
  const char *member; /* the name inside an archive, "" outside */
} gan_stretch;

/* `bytes` bytes from `at` on; an error when they are not all inside. */
bool gan_stretch_read(gan_ctx *c, const gan_stretch *s, uint64_t at, void *to, size_t bytes);

/* As gan_file_fail, with the member's name behind the path. */
void *gan_stretch_fail(gan_ctx *c, const gan_stretch *s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- npy.c -------------------------------------------------------------------------------- */

typedef struct {
  gan_element element;
  bool fortran; /* the first index changes fastest */
  int ndim;
  int64_t shape[GAN_MAXDIM];
  int64_t numel;
  uint64_t head; /* bytes before the elements */
} gan_npy;

/* Reads and checks the header; the elements fill the rest of the stretch exactly. */
bool gan_npy_header(gan_ctx *c, const gan_stretch *s, gan_npy *npy);
gan_tensor *gan_npy_elements(gan_ctx *c, const gan_stretch *s, const gan_npy *npy);

/* The header of an IDX file (idx.c), in the same form. */
bool gan_idx_header(gan_ctx *c, gan_file *f, gan_npy *a);

#define GAN_NPY_HEAD 256 /* room for the header of any tensor */

/* Writes the header for t into `head`; the number of its bytes. */
size_t gan_npy_describe(const gan_tensor *t, char head[GAN_NPY_HEAD]);

/* ---- deflate.c ---------------------------------------------------------------------------- */

/* Packs n bytes; the length of the deflate stream, 0 when it is longer than `room` (or on an
   error). */
size_t gan_deflate(gan_ctx *c, const void *in, size_t n, void *out, size_t room);

#endif
