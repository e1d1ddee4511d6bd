/*
** image.c - PNG and JPEG files by stb, on memory: files are read and written by io.c.
*/
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "stb.h"

#define LIMIT ((uint64_t)1 << 30) /* bytes of a file */

#pragma GCC diagnostic ignored "-Wunused-function" /* stb declares functions that we leave out */
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS (1 << 16)
#include <stb_image.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

bool gan_inflate (const void *in, size_t in_size, void *out, size_t out_size) {
  if (in_size > INT_MAX || out_size > INT_MAX) return false;
  int n = stbi_zlib_decode_noheader_buffer(out, (int)out_size, in, (int)in_size);
  return n >= 0 && (size_t)n == out_size;
}

/* planes (channels, height, width) from interleaved pixels */
static void to_planes (uint8_t *planes, const uint8_t *pixels, int channels, int64_t area) {
  for (int k = 0; k < channels; k++)
    for (int64_t i = 0; i < area; i++) planes[k * area + i] = pixels[i * channels + k];
}

static void to_pixels (uint8_t *pixels, const uint8_t *planes, int channels, int64_t area) {
  for (int64_t i = 0; i < area; i++)
    for (int k = 0; k < channels; k++) pixels[i * channels + k] = planes[k * area + i];
}

static uint32_t big32 (const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The chunks of a PNG file, which stb takes on trust: lengths, checksums, and that the first data is
   not empty. Other files pass. */
static bool check_png (gan_ctx *c, const char *path, const uint8_t *p, size_t size) {
  static const uint8_t signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  const char *wrong = NULL;
  bool data = false, end = false;
  size_t at = sizeof signature;
  if (size < at || memcmp(p, signature, at) != 0) return true;
  while (!end) {
    size_t length = size - at >= 12 ? big32(p + at) : 0;
    if (size - at < 12 || length > size - at - 12)
      wrong = "the file ends in a chunk";
    else if (gan_crc32(0, p + at + 4, length + 4) != big32(p + at + 8 + length))
      wrong = "a wrong checksum in the chunk";
    else if (!data && length == 0 && memcmp(p + at + 4, "IDAT", 4) == 0)
      wrong = "a first IDAT chunk without data";
    if (wrong) {
      gan_file_fail(c, path, "PNG: %s at byte %zu", wrong, at);
      return false;
    }
    data = data || memcmp(p + at + 4, "IDAT", 4) == 0;
    end = memcmp(p + at + 4, "IEND", 4) == 0;
    at += length + 12;
  }
  return true;
}

gan_tensor *gan_read_image (gan_ctx *c, const char *path, int channels) {
  int width, height, found;
  gan_tensor *file = gan_read_file(c, path, LIMIT);
  if (!file) return NULL;
  const uint8_t *p = gan_bytes(file);
  int size = (int)file->numel;
  if (!check_png(c, path, p, (size_t)size)) return NULL;
  if (!stbi_info_from_memory(p, size, &width, &height, &found))
    return gan_file_fail(c, path, "not a PNG or JPEG file, or a too large one, at byte 0");
  /* neither format packs more than some thousand pixels into a byte: no bombs */
  if ((int64_t)width * height > (int64_t)size * 4096)
    return gan_file_fail(c, path, "%d x %d pixels are too many for %d bytes", width, height, size);
  uint8_t *pixels = stbi_load_from_memory(p, size, &width, &height, &found, channels);
  if (!pixels) return gan_file_fail(c, path, "damaged image: %s", stbi_failure_reason());
  if (channels == 0) channels = found;
  int64_t shape[3] = {channels, height, width};
  gan_tensor *image = gan_new(c, GAN_UINT8, 3, shape);
  if (image) to_planes(gan_bytes(image), pixels, channels, (int64_t)height * width);
  stbi_image_free(pixels);
  return image;
}

bool gan_write_png (gan_ctx *c, const char *path, gan_tensor *image) {
  int nd = image->ndim;
  int64_t channels = nd == 3 ? image->shape[0] : 1;
  if (image->dtype != GAN_UINT8 || (nd != 2 && nd != 3) || channels < 1 || channels > 4 ||
      image->numel == 0 || image->numel > INT_MAX / 4) {
    gan_fail(c, GAN_EARG,
             "an image is uint8 (channels, height, width) with 1 to 4 channels, or (height, "
             "width); this is %s %s",
             gan_dtype_name((gan_dtype)image->dtype), gan_shape_of(c, image));
    return false;
  }
  gan_tensor *planes = gan_dense(c, image);
  gan_tensor *pixels = planes ? gan_new(c, GAN_UINT8, 1, &image->numel) : NULL;
  if (!pixels) return false;
  int height = (int)image->shape[nd - 2], width = (int)image->shape[nd - 1], size;
  to_pixels(gan_bytes(pixels), gan_bytes(planes), (int)channels, (int64_t)height * width);
  uint8_t *png = stbi_write_png_to_mem(gan_bytes(pixels), width * (int)channels, width, height,
                                       (int)channels, &size);
  if (!png) {
    gan_fail(c, GAN_EMEMORY, "out of memory: a PNG of %d x %d pixels", width, height);
    return false;
  }
  bool ok = gan_replace_file(c, path, png, (size_t)size);
  free(png);
  return ok;
}
