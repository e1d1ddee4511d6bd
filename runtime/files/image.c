/*
** image.c - PNG and JPEG files by stb, on memory: files are read and written by io.c.
*/
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"
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
  char none[1]; /* stb calculates with the place of an empty result, too */
  if (in_size > INT_MAX || out_size > INT_MAX) return false;
  if (out_size == 0) out = none;
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

gan_tensor *gan_read_image (gan_ctx *c, const char *path, int channels) {
  int width, height, found;
  gan_tensor *file = gan_read_file(c, path, LIMIT);
  if (!file) return NULL;
  const uint8_t *p = gan_bytes(file);
  int size = (int)file->numel;
  if (!gan_check_image(c, path, p, (size_t)size)) return NULL;
  if (!stbi_info_from_memory(p, size, &width, &height, &found))
    return gan_file_fail(c, path, "a malformed image header, or too large an image");
  /* No bombs: a block of 64 pixels of a JPEG takes a bit at least; a PNG packs more than some
     thousand pixels into a byte only when it is empty and large. */
  if ((int64_t)width * height > (int64_t)size * (p[0] == 0xFF ? 512 : 4096))
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

gan_tensor *gan_read_picture (gan_ctx *c, const char *path, int channels,
                              const gan_picture_size *size) {
  gan_tensor *image = gan_read_image(c, path, channels);
  if (!image || !size) return image;
  int64_t shape[3] = {image->shape[0], size->height, size->width};
  gan_tensor *out = gan_new(c, GAN_UINT8, 3, shape);
  if (!out || !gan_resample(c, gan_bytes(image), (int)image->shape[0], (int)image->shape[1],
                            (int)image->shape[2], size, gan_bytes(out)))
    return NULL;
  return out;
}

/* A copy of what stb made, and an end to that. */
static gan_tensor *take (gan_ctx *c, uint8_t *png, int size) {
  const int64_t n = size;
  gan_tensor *t = gan_new(c, GAN_UINT8, 1, &n);
  if (t) memcpy(gan_bytes(t), png, (size_t)size);
  free(png);
  return t;
}

gan_tensor *gan_encode_png (gan_ctx *c, gan_tensor *image) {
  int nd = image->ndim;
  int64_t channels = nd == 3 ? image->shape[0] : 1;
  if (image->dtype != GAN_UINT8 || (nd != 2 && nd != 3) || channels < 1 || channels > 4 ||
      image->numel == 0 || image->numel > INT_MAX / 4) {
    gan_fail(c, GAN_EARG,
             "an image is uint8 (channels, height, width) with 1 to 4 channels, or (height, "
             "width); this is %s %s",
             gan_dtype_name((gan_dtype)image->dtype), gan_shape_of(c, image));
    return NULL;
  }
  gan_tensor *planes = gan_dense(c, image);
  gan_tensor *pixels = planes ? gan_new(c, GAN_UINT8, 1, &image->numel) : NULL;
  if (!pixels) return NULL;
  int height = (int)image->shape[nd - 2], width = (int)image->shape[nd - 1], size;
  to_pixels(gan_bytes(pixels), gan_bytes(planes), (int)channels, (int64_t)height * width);
  uint8_t *png = stbi_write_png_to_mem(gan_bytes(pixels), width * (int)channels, width, height,
                                       (int)channels, &size);
  if (png) return take(c, png, size);
  gan_fail(c, GAN_EMEMORY, "out of memory: a PNG of %d x %d pixels", width, height);
  return NULL;
}

bool gan_write_png (gan_ctx *c, const char *path, gan_tensor *image) {
  gan_tensor *png = gan_encode_png(c, image);
  return png && gan_replace_file(c, path, gan_bytes(png), (size_t)png->numel);
}
