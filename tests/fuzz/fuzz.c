/*
** fuzz.c - libFuzzer's target for every reader of runtime/files. Which one runs is told by the name
** that the program is called under: fuzz-npy, fuzz-png ... (scripts/fuzz makes the links).
**
** A reader gets the input as a file in memory. It may refuse or accept it; it must not crash, must
** not lose memory, and must not take more of it than the file's size allows.
*/
#define _GNU_SOURCE /* memfd_create */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "files/arrays.h"
#include "files/source.h"

#define SLACK ((size_t)1 << 20) /* for buffers of a fixed size */
#define UNPACKED 1032           /* the most that a byte of a deflate stream can become */

#ifdef WITHOUT_CHECKSUMS /* linked with --wrap: every checksum that is computed is 0 */
uint32_t __wrap_gan_crc32(uint32_t crc, const void *data, size_t bytes);

uint32_t __wrap_gan_crc32 (uint32_t crc, const void *data, size_t bytes) {
  (void)crc, (void)data, (void)bytes;
  return 0;
}
#endif

static void read_npy (gan_ctx *c, const char *path) {
  gan_source s;
  gan_load_npy(c, path);
  gan_clear_error(c);
  if (!gan_array_source(c, &s, path)) return;
  int64_t row = s.rows - 1, bytes = (int64_t)s.bytes;
  gan_tensor *t = row >= 0 ? gan_new(c, GAN_UINT8, 1, &bytes) : NULL;
  if (t) gan_source_read(c, &s, &row, 1, t->data);
  gan_source_close(&s);
}

static void read_npz (gan_ctx *c, const char *path) {
  gan_weights w;
  if (!gan_npz_names(c, path, &w)) return;
  if (w.ntensors) gan_load_npz_member(c, path, w.tensors[0].name, w.tensors[0].length);
  gan_clear_error(c);
  gan_load_npz(c, path, &w);
}

static void read_idx (gan_ctx *c, const char *path) {
  gan_load_idx(c, path);
  gan_clear_error(c);
  read_npy(c, path);
}

static void read_gzip (gan_ctx *c, const char *path) {
  gan_tensor *t = gan_read_file(c, path, SLACK);
  if (t && gan_is_gzip(t)) gan_gunzip(c, path, t);
}

static void read_safetensors (gan_ctx *c, const char *path) {
  gan_weights w;
  gan_load_safetensors(c, path, &w);
}

static void read_picture (gan_ctx *c, const char *path) {
  gan_picture_size size = {5, 7, true};
  gan_tensor *t = gan_read_image(c, path, 0);
  gan_clear_error(c);
  if (t) gan_read_picture(c, path, 3, &size);
}

static void read_wav (gan_ctx *c, const char *path) {
  gan_wav w;
  gan_tensor *t = gan_load_wav(c, path, 0, -1, &w);
  if (t && w.frames > 2) gan_load_wav(c, path, 1, w.frames - 2, &w);
}

static void read_csv (gan_ctx *c, const char *path) {
  gan_csv_column first = {{NULL, 0}, 1}, named = {{"a", 1}, 0};
  gan_csv_options plain = {.separator = ',', .header = true};
  gan_csv_options labelled = {.separator = ',', .labels = &first, .nlabels = 1};
  gan_csv_options chosen = {.separator = ';', .header = true, .columns = &named, .ncolumns = 1};
  gan_csv csv;
  gan_load_csv(c, path, &plain, &csv);
  gan_clear_error(c);
  gan_load_csv(c, path, &labelled, &csv);
  gan_clear_error(c);
  gan_load_csv(c, path, &chosen, &csv);
}

typedef struct {
  const char *name;
  void (*read)(gan_ctx *c, const char *path);
  size_t factor; /* bytes of memory for a byte of the file */
} reader;

/* Elements of a byte become integers of eight; what a reader makes on the way is there with them. A
   field of a table is one byte, and has a label, a class and their places. IDX files may be
   packed. */
static const reader readers[] = {
    {"npy", read_npy, 32},          {"npz", read_npz, 32 * UNPACKED},
    {"idx", read_idx, 32 * UNPACKED}, {"gzip", read_gzip, 2 * UNPACKED},
    {"safetensors", read_safetensors, 64}, {"png", read_picture, 16 * 4096},
    {"jpeg", read_picture, 16 * 4096},     {"wav", read_wav, 32},
    {"csv", read_csv, 512}};

static const reader *chosen;
static int fd = -1;
static char path[64];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize (int *argc, char ***argv) {
  const char *name = strrchr((*argv)[0], '-');
  for (size_t i = 0; name && i < sizeof readers / sizeof *readers; i++)
    if (strcmp(readers[i].name, name + 1) == 0) chosen = &readers[i];
  fd = memfd_create("input", MFD_CLOEXEC);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  if (!chosen || fd < 0) {
    fprintf(stderr, "fuzz: call it fuzz-NAME, with the name of a reader (%d)\n", *argc);
    exit(2);
  }
  return 0;
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size) {
  if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size) return 0;
  gan_ctx *c = gan_open();
  gan_frame_open(c);
  chosen->read(c, path);
  gan_memory_info m = gan_memory(c);
  if (m.peak > size * chosen->factor + SLACK) {
    fprintf(stderr, "%zu bytes of memory for a file of %zu\n", m.peak, size);
    abort();
  }
  gan_frame_close(c);
  m = gan_memory(c);
  if (m.tensors != 0) {
    fprintf(stderr, "%lld tensors are left\n", (long long)m.tensors);
    abort();
  }
  gan_close(c);
  return 0;
}
