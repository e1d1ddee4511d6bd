/*
** source.h - rows that are read when they are needed, by the thread that needs them or ahead of it.
*/
#ifndef GAN_SOURCE_H
#define GAN_SOURCE_H

#include "arrays.h"

/* ---- source.c ----------------------------------------------------------------------------- */

typedef struct gan_source gan_source;

/* Equal rows of a data set that lies in files. What it points to belongs to the caller, and does
   not change while it is in use: several threads may fetch at the same time. */
struct gan_source {
  gan_dtype dtype;
  int ndim; /* of a row */
  int64_t shape[GAN_MAXDIM];
  int64_t rows;
  size_t bytes; /* of a row */
  bool (*fetch)(gan_ctx *c, const gan_source *s, int64_t row, void *to); /* rows count from 0 */
  const char *const *paths; /* pictures and sounds: of each row */
  int channels;             /* pictures */
  gan_picture_size size;
  const int64_t *starts; /* sounds: the first frame of each row */
  gan_file file;         /* arrays: open; fd -1 otherwise */
  gan_element element;
  uint64_t begin; /* of the first row */
};

/* PNG and JPEG files, decoded and resampled to uint8 (channels, height, width). */
void gan_picture_source(gan_source *s, int64_t n, const char *const *paths, int channels,
                        const gan_picture_size *size);

/* Stretches of `frames` frames of WAV files, as compute type (channels, frames). */
void gan_sound_source(gan_source *s, int64_t n, const char *const *paths, const int64_t *starts,
                      int channels, int64_t frames);

/* The rows of an npy file (row-major) or an IDX file that is not packed. Opens the file, which
   stays open until gan_source_close. `path` must outlive the source. */
bool gan_array_source(gan_ctx *c, gan_source *s, const char *path);
void gan_source_close(gan_source *s);

/* Fetches rows[0 .. n) one behind the other; each frees what it made. */
bool gan_source_read(gan_ctx *c, const gan_source *s, const int64_t *rows, int64_t n, void *to);

/* ---- prefetch.c --------------------------------------------------------------------------- */

/*
** A thread that fetches rows into a ring of buffers, ahead of their use. It has a context of its
** own, knows nothing of Lua, blocks every signal, and ends with gan_prefetch_close. In the child of
** a fork, and where no thread can be had, rows are fetched when they are taken.
*/
typedef struct gan_prefetch gan_prefetch;

/* A ring of `depth` buffers of up to `batch` rows. `s` must outlive it. */
gan_prefetch *gan_prefetch_open(gan_ctx *c, const gan_source *s, int64_t batch, int depth);

/* Puts rows[0 .. n) in the queue. False, without an error, when the ring is full. */
bool gan_prefetch_ask(gan_prefetch *p, const int64_t *rows, int64_t n);

/* The rows that were asked for first, as a tensor [temp]; waits for them. */
gan_tensor *gan_prefetch_take(gan_ctx *c, gan_prefetch *p);

void gan_prefetch_cancel(gan_prefetch *p); /* forgets what was asked for */
void gan_prefetch_close(gan_prefetch *p);  /* waits for the thread; NULL is let pass */

typedef struct {
  int64_t taken;  /* batches */
  int64_t waits;  /* batches that were not ready when they were taken */
  double seconds; /* spent waiting for them */
} gan_prefetch_info;

gan_prefetch_info gan_prefetch_stats(const gan_prefetch *p);

#endif
