/*
** idx.c - the array format of the MNIST family: two zero bytes, a type, the number of dimensions,
** one 32-bit big-endian size per dimension, then the elements, big-endian.
*/
#include <string.h>

#include "files.h"

#define LIMIT ((uint64_t)8 << 30)

typedef struct {
  uint8_t code;
  gan_dtype dtype;
  size_t item;
} idx_type;

static const idx_type types[] = {
    {0x08, GAN_UINT8, 1}, /* unsigned byte */
    {0x09, GAN_INT64, 1}, /* signed byte */
    {0x0B, GAN_INT64, 2}, {0x0C, GAN_INT64, 4}, /* 16 and 32 bits */
    {0x0D, GAN_REAL, 4},  {0x0E, GAN_REAL, 8}};

static uint64_t big (const uint8_t *p, size_t bytes) {
  uint64_t v = 0;
  while (bytes-- > 0) v = v << 8 | *p++;
  return v;
}

static double element (const idx_type *type, const uint8_t *p) {
  uint64_t bits = big(p, type->item);
  switch (type->code) {
    case 0x09: return (int8_t)bits;
    case 0x0B: return (int16_t)bits;
    case 0x0C: return (int32_t)bits;
    case 0x0D: {
      uint32_t b = (uint32_t)bits;
      float f; /* the file's type, whatever the compute type is */
      memcpy(&f, &b, sizeof f);
      return f;
    }
    default: {
      double d;
      memcpy(&d, &bits, sizeof d);
      return d;
    }
  }
}

static const idx_type *find_type (uint8_t code) {
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].code == code) return &types[i];
  return NULL;
}

/* Reads the header; the number of its bytes, 0 on failure. */
static int64_t read_header (gan_ctx *c, const char *path, const gan_tensor *bytes,
                            const idx_type **type, int *ndim, int64_t *shape) {
  const uint8_t *p = gan_bytes(bytes);
  int64_t numel;
  if (bytes->numel < 4 || p[0] != 0 || p[1] != 0) {
    gan_file_fail(c, path, "not an IDX file: no magic number at byte 0");
    return 0;
  }
  *type = find_type(p[2]);
  *ndim = p[3];
  if (!*type || *ndim > GAN_MAXDIM) {
    gan_file_fail(c, path, "IDX: unknown type %d or too many dimensions (%d, at most %d) at byte 2",
                  p[2], *ndim, GAN_MAXDIM);
    return 0;
  }
  int64_t head = 4 + 4 * (int64_t)*ndim;
  if (bytes->numel < head) {
    gan_file_fail(c, path, "IDX: the file ends at byte %lld, in its header",
                  (long long)bytes->numel);
    return 0;
  }
  for (int d = 0; d < *ndim; d++) shape[d] = (int64_t)big(p + 4 + 4 * d, 4);
  if (!gan_count(*ndim, shape, (*type)->item, &numel) ||
      numel * (int64_t)(*type)->item != bytes->numel - head) {
    gan_file_fail(c, path, "IDX: the sizes %s at byte 4 do not fit the %lld bytes there are",
                  gan_shape_text(c, *ndim, shape), (long long)(bytes->numel - head));
    return 0;
  }
  return head;
}

static void convert (gan_tensor *out, const idx_type *type, const uint8_t *p) {
  for (int64_t i = 0; i < out->numel; i++, p += type->item) {
    double v = element(type, p);
    if (out->dtype == GAN_INT64)
      gan_ints(out)[i] = (int64_t)v;
    else
      gan_reals(out)[i] = (gan_real)v;
  }
}

gan_tensor *gan_load_idx (gan_ctx *c, const char *path) {
  int64_t shape[GAN_MAXDIM], stride[GAN_MAXDIM];
  const idx_type *type = NULL;
  int ndim = 0;
  gan_tensor *bytes = gan_read_file(c, path, LIMIT);
  if (bytes && gan_is_gzip(bytes)) bytes = gan_gunzip(c, path, bytes);
  if (!bytes) return NULL;
  int64_t head = read_header(c, path, bytes, &type, &ndim, shape);
  if (head == 0) return NULL;
  if (type->dtype == GAN_UINT8) { /* the elements stay where they are, behind the header */
    int64_t step = 1;
    for (int d = ndim - 1; d >= 0; d--) {
      stride[d] = step;
      step *= shape[d] > 0 ? shape[d] : 1;
    }
    return gan_view(c, bytes, ndim, shape, stride, bytes->numel > head ? head : 0);
  }
  gan_tensor *out = gan_new(c, type->dtype, ndim, shape);
  if (out) convert(out, type, gan_bytes(bytes) + head);
  return out;
}
