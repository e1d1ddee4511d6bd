/*
** source.c - rows of data sets that lie in files: pictures, stretches of sound, rows of arrays.
*/
#include <string.h>

#include "source.h"

static void set_row (gan_source *s, gan_dtype dtype, int ndim, const int64_t *shape) {
  int64_t numel = 1;
  s->dtype = dtype;
  s->ndim = ndim;
  for (int d = 0; d < ndim; d++) numel *= s->shape[d] = shape[d];
  s->bytes = (size_t)numel * gan_dtype_size(dtype);
}

bool gan_source_read (gan_ctx *c, const gan_source *s, const int64_t *rows, int64_t n, void *to) {
  char *p = to;
  for (int64_t i = 0; i < n; i++) {
    gan_frame_open(c);
    bool ok = s->fetch(c, s, rows[i], p);
    gan_frame_close(c);
    if (!ok) return false;
    if (s->bytes > 0) p += s->bytes; /* an empty tensor has no memory */
  }
  return true;
}

/* ---- pictures ----------------------------------------------------------------------------- */

static bool fetch_picture (gan_ctx *c, const gan_source *s, int64_t row, void *to) {
  const gan_tensor *t = gan_read_picture(c, s->paths[row], s->channels, &s->size);
  if (!t) return false;
  memcpy(to, t->data, s->bytes);
  return true;
}

void gan_picture_source (gan_source *s, int64_t n, const char *const *paths, int channels,
                         const gan_picture_size *size) {
  int64_t shape[3] = {channels, size->height, size->width};
  *s = (gan_source){.rows = n, .fetch = fetch_picture, .paths = paths, .channels = channels,
                    .size = *size, .file.fd = -1};
  set_row(s, GAN_UINT8, 3, shape);
}

/* ---- sounds ------------------------------------------------------------------------------- */

static bool fetch_sound (gan_ctx *c, const gan_source *s, int64_t row, void *to) {
  gan_file f;
  gan_wav w;
  if (!gan_file_open(c, &f, s->paths[row])) return false;
  bool ok = gan_wav_header(c, &f, &w);
  if (ok && w.channels != s->shape[0]) {
    gan_file_fail(c, f.path, "WAV: %d channels, not %d", w.channels, (int)s->shape[0]);
    ok = false;
  }
  ok = ok && gan_wav_read(c, &f, &w, s->starts[row], s->shape[1], to);
  gan_file_close(&f);
  return ok;
}

void gan_sound_source (gan_source *s, int64_t n, const char *const *paths, const int64_t *starts,
                       int channels, int64_t frames) {
  int64_t shape[2] = {channels, frames};
  *s = (gan_source){.rows = n, .fetch = fetch_sound, .paths = paths, .starts = starts,
                    .file.fd = -1};
  set_row(s, GAN_REAL, 2, shape);
}

/* ---- arrays ------------------------------------------------------------------------------- */

static bool fetch_elements (gan_ctx *c, const gan_source *s, int64_t row, void *to) {
  uint8_t chunk[1 << 14]; /* a multiple of every item size */
  gan_file f = s->file;   /* reading leaves no trace in it */
  size_t size = gan_dtype_size(s->dtype), item = s->element.item;
  int64_t numel = (int64_t)(s->bytes / size), n;
  uint64_t at = s->begin + (uint64_t)row * (uint64_t)numel * item;
  for (int64_t done = 0; done < numel; done += n, at += (uint64_t)n * item) {
    n = (int64_t)(sizeof chunk / item);
    if (n > numel - done) n = numel - done;
    if (!gan_file_read(c, &f, at, chunk, (size_t)n * item)) return false;
    int64_t good = gan_convert_elements(s->element, chunk, n, (char *)to + (size_t)done * size);
    if (good == n) continue;
    gan_file_fail(c, f.path, "an unsigned integer above 2^63 - 1 at byte %llu",
                  (unsigned long long)(at + (uint64_t)good * item));
    return false;
  }
  return true;
}

static bool open_array (gan_ctx *c, gan_source *s, gan_npy *npy) {
  uint8_t magic[4] = {0};
  gan_stretch whole = {&s->file, NULL, 0, s->file.size, s->file.path, ""};
  if (s->file.size >= 4 && !gan_file_read(c, &s->file, 0, magic, 4)) return false;
  if (magic[0] == 0x1F && magic[1] == 0x8B) {
    gan_file_fail(c, s->file.path, "a packed file cannot be read by rows: unpack it with gunzip");
    return false;
  }
  bool idx = s->file.size >= 4 && magic[0] == 0 && magic[1] == 0;
  if (!(idx ? gan_idx_header(c, &s->file, npy) : gan_npy_header(c, &whole, npy))) return false;
  int64_t row;
  if (npy->ndim >= 1 && !gan_count(npy->ndim - 1, npy->shape + 1, sizeof(double), &row)) {
    gan_file_fail(c, s->file.path, "rows of %s elements are too large",
                  gan_shape_text(c, npy->ndim - 1, npy->shape + 1)); /* there are none of them */
    return false;
  }
  if (npy->ndim >= 1 && !(npy->fortran && npy->ndim > 1)) return true;
  gan_file_fail(c, s->file.path, npy->ndim < 1 ? "an array without dimensions has no rows"
                                               : "in Fortran order rows do not lie together");
  return false;
}

bool gan_array_source (gan_ctx *c, gan_source *s, const char *path) {
  gan_npy npy;
  *s = (gan_source){.fetch = fetch_elements, .file.fd = -1};
  if (!gan_file_open(c, &s->file, path)) return false;
  gan_frame_open(c);
  bool ok = open_array(c, s, &npy);
  gan_frame_close(c);
  if (!ok) {
    gan_source_close(s);
    return false;
  }
  s->rows = npy.shape[0];
  s->element = npy.element;
  s->begin = npy.head;
  set_row(s, gan_element_dtype(npy.element), npy.ndim - 1, npy.shape + 1);
  return true;
}

void gan_source_close (gan_source *s) {
  if (s->file.fd >= 0) gan_file_close(&s->file);
}
