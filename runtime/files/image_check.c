/*
** image_check.c - what is verified of an image file before stb sees it: that its parts lie inside
** the file, PNG checksums, and the sizes that some versions of stb believe without looking (a
** Huffman table of more than 256 codes is written past its end).
*/
#include <string.h>

#include "files.h"
#include "stb.h"

typedef struct {
  gan_ctx *c;
  const char *path;
  const uint8_t *p;
  size_t size;
} image_file;

static bool wrong (const image_file *f, const char *what, size_t at) {
  gan_file_fail(f->c, f->path, "%s at byte %zu", what, at);
  return false;
}

/* ---- PNG: chunks of length, name, data, checksum ------------------------------------------- */

static uint32_t big32 (const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool check_png (const image_file *f) {
  bool data = false;
  for (size_t at = 8;;) {
    const uint8_t *p = f->p + at;
    size_t left = f->size - at, length = left >= 12 ? big32(p) : 0;
    if (left < 12 || length > left - 12) return wrong(f, "PNG: the file ends in the chunk", at);
    if (gan_crc32(0, p + 4, length + 4) != big32(p + 8 + length))
      return wrong(f, "PNG: a wrong checksum in the chunk", at);
    if (memcmp(p + 4, "IDAT", 4) == 0) {
      if (!data && length == 0) return wrong(f, "PNG: a first chunk of pixels without any", at);
      data = true;
    }
    if (memcmp(p + 4, "IEND", 4) == 0) return true;
    at += length + 12;
  }
}

/* ---- JPEG: segments of marker and length, and coded data after each start of a scan --------- */

enum { DHT = 0xC4, RST0 = 0xD0, RST7 = 0xD7, EOI = 0xD9, SOS = 0xDA, TEM = 0x01 };

static bool stands_alone (int marker) {
  return marker == TEM || (marker >= RST0 && marker <= RST7);
}

/* Huffman tables: class and number, 16 counts, then as many values as the counts add up to. */
static bool check_tables (const image_file *f, size_t at, size_t end) {
  while (at < end) {
    size_t codes = 0;
    if (end - at < 17) return wrong(f, "JPEG: a short Huffman table", at);
    for (int i = 1; i <= 16; i++) codes += f->p[at + i];
    if (codes > 256 || codes > end - at - 17) return wrong(f, "JPEG: a wrong Huffman table", at);
    at += 17 + codes;
  }
  return true;
}

/* The place of the next marker behind coded data; the file's size when there is none. */
static size_t skip_coded (const image_file *f, size_t at) {
  for (; at + 1 < f->size; at++) {
    int next = f->p[at + 1];
    if (f->p[at] == 0xFF && next != 0 && next != 0xFF && !stands_alone(next)) return at;
  }
  return f->size;
}

static bool check_jpeg (const image_file *f) {
  const uint8_t *p = f->p;
  size_t at = 2;
  while (at < f->size) {
    size_t start = at;
    if (p[at] != 0xFF) return wrong(f, "JPEG: no marker", at);
    while (at < f->size && p[at] == 0xFF) at++; /* markers may be preceded by filling */
    if (at == f->size) break;
    int marker = p[at++];
    if (marker == EOI) return true;
    if (stands_alone(marker)) continue;
    size_t left = f->size - at, length = left >= 2 ? (size_t)p[at] << 8 | p[at + 1] : 0;
    if (length < 2 || length > left) return wrong(f, "JPEG: a wrong length in the segment", start);
    if (marker == DHT && !check_tables(f, at + 2, at + length)) return false;
    at += length;
    if (marker == SOS) at = skip_coded(f, at);
  }
  return wrong(f, "JPEG: the file ends without an end marker", f->size);
}

bool gan_check_image (gan_ctx *c, const char *path, const uint8_t *p, size_t size) {
  static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  image_file f = {c, path, p, size};
  if (size >= sizeof png && memcmp(p, png, sizeof png) == 0) return check_png(&f);
  if (size >= 2 && p[0] == 0xFF && p[1] == 0xD8) return check_jpeg(&f);
  return wrong(&f, "not a PNG or JPEG file: no signature", 0);
}
