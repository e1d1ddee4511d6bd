/*
** files.h - reading and writing the formats of data sets, images and weights.
**
** Everything that is read is untrusted: each size field is compared with the bytes that are there
** before anything is allocated, nothing recurses on input, no format executes anything. Functions
** that fail leave GAN_EFILE and "PATH: what is wrong at byte N" (or GAN_EMEMORY) in the context.
** Tensors are [temp]: open a frame around the call.
*/
#ifndef GAN_FILES_H
#define GAN_FILES_H

#include "../core/core.h"

/* ---- io.c --------------------------------------------------------------------------------- */

/* GAN_EFILE with the path in front; returns NULL. */
void *gan_file_fail(gan_ctx *c, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A regular file open for reading; closed by gan_file_close. False on failure. */
typedef struct {
  const char *path;
  int fd;
  uint64_t size;
} gan_file;

bool gan_file_open(gan_ctx *c, gan_file *f, const char *path);
bool gan_file_read(gan_ctx *c, gan_file *f, uint64_t offset, void *to, size_t bytes);
void gan_file_close(gan_file *f);

/* The whole file as a uint8 tensor of one dimension; an error above `max` bytes. */
gan_tensor *gan_read_file(gan_ctx *c, const char *path, uint64_t max);

/*
** Atomic replacement: bytes go to a temporary file in the same folder, which takes the place of
** `path` on commit, after it is on the disk. Until then, and after a failure, `path` is as it was;
** only when the folder itself cannot be synced is the new file there and its future uncertain.
** A symbolic link is followed; what is no regular file (a device, a pipe) gets the bytes as they
** come. After gan_replace_open succeeded, call commit or cancel once.
*/
typedef struct {
  char *path; /* links resolved */
  char *temporary;
  int fd;
} gan_replacement;

bool gan_replace_open(gan_ctx *c, gan_replacement *r, const char *path);
bool gan_replace_write(gan_ctx *c, gan_replacement *r, const void *data, size_t bytes);
bool gan_replace_commit(gan_ctx *c, gan_replacement *r);
void gan_replace_cancel(gan_replacement *r);
bool gan_replace_file(gan_ctx *c, const char *path, const void *data, size_t bytes);

bool gan_make_folder(gan_ctx *c, const char *path); /* with its parents; an existing one is fine */
bool gan_sync_file(gan_ctx *c, const char *path);    /* what was written is on the disk then */

/* The files and folders in a folder, in the order of their bytes; without "." and "..". [temp] */
typedef struct {
  const char *name;
  size_t at;
  bool folder;
} gan_folder_entry;

bool gan_scan_folder(gan_ctx *c, const char *path, gan_folder_entry **entries, size_t *n);

bool gan_protect_file(gan_ctx *c, const char *path); /* takes the rights of all but the owner */
double gan_seconds(void);                           /* monotonic clock */
int gan_terminal_width(int fd);                     /* columns; 0 when fd is not a terminal */
uint32_t gan_crc32(uint32_t crc, const void *data, size_t bytes); /* start with 0 */

/* ---- gzip.c ------------------------------------------------------------------------------- */

bool gan_is_gzip(const gan_tensor *bytes);

/* The contents of a gzip file of one member (RFC 1952), length and checksum verified. */
gan_tensor *gan_gunzip(gan_ctx *c, const char *path, const gan_tensor *packed);

/* ---- idx.c -------------------------------------------------------------------------------- */

/*
** The array of an IDX file, plain or gzip: unsigned bytes as uint8, other integers as int64,
** floating point as the compute type. Shape as in the file.
*/
gan_tensor *gan_load_idx(gan_ctx *c, const char *path);

/* ---- image.c ------------------------------------------------------------------------------ */

/* A PNG or JPEG file as uint8 (channels, height, width). channels: 1 grey, 2 grey and alpha, 3 RGB,
   4 RGB and alpha, 0: as in the file. */
gan_tensor *gan_read_image(gan_ctx *c, const char *path, int channels);

#define GAN_PICTURE_MAX 16384 /* pixels of a side that may be asked for */

typedef struct {
  int height, width;
  bool crop; /* keeps the proportions: what does not fit is cut off evenly; false: stretches */
} gan_picture_size;

/* The same in another size; NULL: as it is. */
gan_tensor *gan_read_picture(gan_ctx *c, const char *path, int channels,
                             const gan_picture_size *size);

/* The PNG of uint8 (1..4 channels, height, width) or (height, width): its bytes, uint8 (size). */
gan_tensor *gan_encode_png(gan_ctx *c, gan_tensor *image);

/* Writes the same as a file, atomically. */
bool gan_write_png(gan_ctx *c, const char *path, gan_tensor *image);

/* ---- safetensors.c, safetensors_read.c ---------------------------------------------------- */

typedef struct {
  const char *name; /* UTF-8 of `length` bytes */
  size_t length;
  gan_tensor *t;
} gan_named;

typedef struct {
  const char *key, *value;
  size_t key_length, value_length;
} gan_pair;

/* What gan_load_safetensors fills in is [temp], texts and arrays too. */
typedef struct {
  gan_named *tensors;
  size_t ntensors;
  gan_pair *metadata;
  size_t nmetadata;
} gan_weights;

/*
** Writes named tensors as a safetensors file, atomically. The bytes depend on names and values
** alone: larger types first, then by name. Equal names are an error. Tensors that are the same
** memory seen the same way, or two-dimensional and transposed, are stored once, under the first of
** their names; the others become metadata "alias:other" = "first" or "first^T". Tensors of the
** compute type are stored as F32 (F64 in the double build), uint8 as U8, int64 as I64.
** Sorts w's arrays by name.
*/
bool gan_save_safetensors(gan_ctx *c, const char *path, gan_weights *w);

/*
** Reads a safetensors file. F64 F32 F16 BF16 arrive as the compute type, U8 and BOOL as uint8, the
** other integers as int64. Aliases arrive as views of the tensor that they name, and are removed
** from the metadata. Results are sorted by name.
*/
bool gan_load_safetensors(gan_ctx *c, const char *path, gan_weights *w);

#define GAN_SAFETENSORS_HEADER ((uint64_t)100000000) /* longest header, as in the reference */
#define GAN_SAFETENSORS_ALIAS "alias:"

/* ---- npy.c, npz.c, npz_write.c ------------------------------------------------------------ */

/*
** The array of an npy file: floating point of 2, 4, 8 bytes as the compute type, bytes and booleans
** as uint8, other integers as int64, of either byte order. Fortran order arrives as a view of
** transposed memory. The header is parsed, never evaluated.
*/
gan_tensor *gan_load_npy(gan_ctx *c, const char *path);

/* Writes t as it is (float32, or float64 in the double build, uint8, int64), atomically. */
bool gan_save_npy(gan_ctx *c, const char *path, gan_tensor *t);

/* The arrays of an npz archive, by name ("x" is the member "x.npy"), sorted; checksums verified. */
bool gan_load_npz(gan_ctx *c, const char *path, gan_weights *w);
gan_tensor *gan_load_npz_member(gan_ctx *c, const char *path, const char *name, size_t length);

/* As gan_load_npz, without the arrays: the tensors of w are NULL. */
bool gan_npz_names(gan_ctx *c, const char *path, gan_weights *w);

/* Writes named tensors as an npz archive, atomically; deflated where that makes them shorter.
   Sorts w's array by name. */
bool gan_save_npz(gan_ctx *c, const char *path, gan_weights *w, bool deflate);

/* ---- wav.c -------------------------------------------------------------------------------- */

typedef struct {
  int channels, bits; /* bits of a sample */
  bool floating;
  int64_t rate; /* frames in a second */
  int64_t frames;
  uint64_t begin; /* of the samples in the file */
} gan_wav;

bool gan_wav_header(gan_ctx *c, gan_file *f, gan_wav *w);

/* `frames` frames from `start` (from 0) on as (channels, frames) at `to`: PCM as -1 .. 1. */
bool gan_wav_read(gan_ctx *c, gan_file *f, const gan_wav *w, int64_t start, int64_t frames,
                  gan_real *to);

/* The same of a file as a tensor; frames < 0: up to the end. Fills w. */
gan_tensor *gan_load_wav(gan_ctx *c, const char *path, int64_t start, int64_t frames, gan_wav *w);

/* Writes the compute type (channels, frames) or (frames), atomically, with the rate, the bits and
   the form of samples of `format`: PCM of 8, 16, 24, 32 bits or floating point of 32. */
bool gan_save_wav(gan_ctx *c, const char *path, gan_tensor *x, const gan_wav *format);

/* ---- csv.c -------------------------------------------------------------------------------- */

typedef struct {
  const char *s;
  size_t length;
} gan_text;

/* A column by its name in the header, or (name.s NULL) by its number from 1 on. */
typedef struct {
  gan_text name;
  int64_t number;
} gan_csv_column;

typedef struct {
  char separator;
  bool header;                   /* the first record holds the names */
  const gan_csv_column *columns; /* of numbers; NULL: all but the labels */
  size_t ncolumns;
  const gan_csv_column *labels;
  size_t nlabels;
} gan_csv_options;

typedef struct {
  gan_text name;
  gan_tensor *t;     /* int64 (rows): places in `classes` from 1 on */
  gan_text *classes; /* in their order: of numbers where all are numbers, else of bytes */
  size_t nclasses;
} gan_csv_labels;

/* All of it [temp]. */
typedef struct {
  gan_tensor *x; /* compute type (rows, n); NaN where a value is missing */
  gan_text *names;
  size_t n;
  gan_csv_labels *labels;
  size_t nlabels;
} gan_csv;

/* Reads a table, plain or gzip. Every record has as many fields as the first one. */
bool gan_load_csv(gan_ctx *c, const char *path, const gan_csv_options *o, gan_csv *out);

/* Number of leading bytes of s that are valid UTF-8 (RFC 3629): n when all are. */
size_t gan_utf8_valid(const char *s, size_t n);

/* Order of two texts by bytes, a shorter one before its continuations: <0, 0, >0. */
int gan_text_compare(const char *a, size_t na, const char *b, size_t nb);

/* At least `need` bytes in a block of *size bytes, contents kept: [temp], NULL on failure. */
void *gan_temp_grow(gan_ctx *c, void *old, size_t *size, size_t need);

#endif
