/*
** idx.c - the array format of the MNIST family: two zero bytes, a type, the number of dimensions,
** one 32-bit big-endian size per dimension, then the elements, big-endian.
*/
#include <string.h>

#include "arrays.h"

#define LIMIT ((uint64_t)8 << 30)

/* Unsigned and signed bytes, integers of 16 and 32 bits, floating point of 32 and 64. */
static bool find_type (uint8_t code, gan_element *e) {
  static const struct {
    uint8_t code;
    gan_element element;
  } types[] = {{0x08, {'u', 1, true}}, {0x09, {'i', 1, true}}, {0x0B, {'i', 2, true}},
               {0x0C, {'i', 4, true}}, {0x0D, {'f', 4, true}}, {0x0E, {'f', 8, true}}};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    if (types[i].code != code) continue;
    *e = types[i].element;
    return true;
  }
  return false;
}

static uint32_t big32 (const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads the header from the first `n` bytes of `size`. */
static bool read_header (gan_ctx *c, const char *path, const uint8_t *p, int64_t n, int64_t size,
                         gan_npy *a) {
  memset(a, 0, sizeof *a);
  if (n < 4 || p[0] != 0 || p[1] != 0) {
    gan_file_fail(c, path, "not an IDX file: no magic number at byte 0");
    return false;
  }
  a->ndim = p[3];
  if (!find_type(p[2], &a->element) || a->ndim > GAN_MAXDIM) {
    gan_file_fail(c, path, "IDX: unknown type %d or too many dimensions (%d, at most %d) at byte 2",
                  p[2], a->ndim, GAN_MAXDIM);
    return false;
  }
  a->head = 4 + 4 * (uint64_t)a->ndim;
  if (n < (int64_t)a->head) {
    gan_file_fail(c, path, "IDX: the file ends at byte %lld, in its header", (long long)n);
    return false;
  }
  for (int d = 0; d < a->ndim; d++) a->shape[d] = big32(p + 4 + 4 * d);
  int64_t left = size - (int64_t)a->head;
  if (gan_count(a->ndim, a->shape, a->element.item, &a->numel) &&
      a->numel * a->element.item == left)
    return true;
  gan_file_fail(c, path, "IDX: the sizes %s at byte 4 do not fit the %lld bytes there are",
                gan_shape_text(c, a->ndim, a->shape), (long long)left);
  return false;
}

bool gan_idx_header (gan_ctx *c, gan_file *f, gan_npy *a) {
  uint8_t p[4 + 4 * GAN_MAXDIM];
  size_t n = f->size < sizeof p ? (size_t)f->size : sizeof p;
  return gan_file_read(c, f, 0, p, n) &&
         read_header(c, f->path, p, (int64_t)n, (int64_t)f->size, a);
}

gan_tensor *gan_load_idx (gan_ctx *c, const char *path) {
  int64_t stride[GAN_MAXDIM], step = 1;
  gan_npy a;
  gan_tensor *bytes = gan_read_file(c, path, LIMIT);
  if (bytes && gan_is_gzip(bytes)) bytes = gan_gunzip(c, path, bytes);
  if (!bytes || !read_header(c, path, gan_bytes(bytes), bytes->numel, bytes->numel, &a))
    return NULL;
  if (a.element.kind != 'u') {
    gan_tensor *out = gan_new(c, gan_element_dtype(a.element), a.ndim, a.shape);
    if (out) gan_convert_elements(a.element, gan_bytes(bytes) + a.head, a.numel, out->data);
    return out;
  }
  for (int d = a.ndim - 1; d >= 0; d--) { /* the bytes stay where they are, behind the header */
    stride[d] = step;
    step *= a.shape[d] > 0 ? a.shape[d] : 1;
  }
  return gan_view(c, bytes, a.ndim, a.shape, stride, a.numel > 0 ? (int64_t)a.head : 0);
}
