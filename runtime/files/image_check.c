/*
** image_check.c - what is verified of an image file before stb sees it: that its parts lie inside
** the file, PNG checksums, and what some versions of stb believe without looking: that a Huffman
** table has at most 256 codes (more are written past its end), and that the tables which a scan
** names are there (others are read without having been filled).
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

enum { SOF0 = 0xC0, SOF2 = 0xC2, DHT = 0xC4, RST0 = 0xD0, RST7 = 0xD7, EOI = 0xD9, SOS = 0xDA,
       DQT = 0xDB, TEM = 0x01 };
#define SCANS_MAX 100 /* each goes over the whole picture; some ten are usual */

/* What has been defined so far. */
typedef struct {
  unsigned huffman[2], quantisation; /* a bit for each table; [0]: of DC, [1]: of AC */
  bool frame, progressive;
  int components, scans;
  uint8_t id[4], table[4]; /* of each component, and its quantisation */
} jpeg_state;

static bool stands_alone (int marker) {
  return marker == TEM || (marker >= RST0 && marker <= RST7);
}

/* Huffman tables: class and number, 16 counts, then as many values as the counts add up to. */
static bool read_codes (const image_file *f, jpeg_state *j, size_t at, size_t end) {
  while (at < end) {
    size_t codes = 0;
    if (end - at < 17) return wrong(f, "JPEG: a short Huffman table", at);
    for (int i = 1; i <= 16; i++) codes += f->p[at + i];
    if (codes > 256 || codes > end - at - 17 || (f->p[at] & 0xEC) != 0)
      return wrong(f, "JPEG: a wrong Huffman table", at);
    j->huffman[f->p[at] >> 4] |= 1u << (f->p[at] & 3);
    at += 17 + codes;
  }
  return true;
}

/* Quantisation tables: precision and number, then 64 bytes or pairs of bytes. */
static bool read_steps (const image_file *f, jpeg_state *j, size_t at, size_t end) {
  while (at < end) {
    size_t size = f->p[at] & 0xF0 ? 129 : 65;
    if ((f->p[at] & 0xEC) != 0 || size > end - at)
      return wrong(f, "JPEG: a wrong quantisation table", at);
    j->quantisation |= 1u << (f->p[at] & 3);
    at += size;
  }
  return true;
}

/* The frame: precision, height, width, and number, sampling and table of each component. */
static bool read_frame (const image_file *f, jpeg_state *j, size_t at, size_t end) {
  if (j->frame) return wrong(f, "JPEG: a second frame", at);
  if (end - at < 6 || f->p[at + 5] < 1 || f->p[at + 5] > 4 ||
      end - at != 6 + 3 * (size_t)f->p[at + 5])
    return wrong(f, "JPEG: a wrong frame", at);
  j->frame = true;
  j->components = f->p[at + 5];
  for (int i = 0; i < j->components; i++) {
    j->id[i] = f->p[at + 6 + 3 * i];
    j->table[i] = f->p[at + 8 + 3 * i];
  }
  return true;
}

/* A scan: its components and their tables, which must be there, and the coefficients it holds. */
static bool read_scan (const image_file *f, jpeg_state *j, size_t at, size_t end) {
  size_t n = end > at ? f->p[at] : 0;
  if (!j->frame || n < 1 || n > 4 || end - at != 4 + 2 * n)
    return wrong(f, "JPEG: a wrong scan", at);
  if (++j->scans > SCANS_MAX) return wrong(f, "JPEG: too many scans", at);
  bool dc = !j->progressive || f->p[end - 3] == 0;
  bool ac = !j->progressive || f->p[end - 3] != 0;
  for (size_t k = 0; k < n; k++) {
    int i = 0, id = f->p[at + 1 + 2 * k], codes = f->p[at + 2 + 2 * k];
    while (i < j->components && j->id[i] != id) i++;
    if (i == j->components || j->table[i] > 3 || (codes & 0xCC) != 0 ||
        !(j->quantisation >> j->table[i] & 1) || (dc && !(j->huffman[0] >> (codes >> 4) & 1)) ||
        (ac && !(j->huffman[1] >> (codes & 3) & 1)))
      return wrong(f, "JPEG: a table that the scan needs is missing", at);
  }
  return true;
}

static bool read_segment (const image_file *f, jpeg_state *j, int marker, size_t at, size_t end) {
  switch (marker) {
    case DHT: return read_codes(f, j, at, end);
    case DQT: return read_steps(f, j, at, end);
    case SOS: return read_scan(f, j, at, end);
    case SOF2: j->progressive = true; return read_frame(f, j, at, end);
    case SOF0: case SOF0 + 1: return read_frame(f, j, at, end);
    default: return true;
  }
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
  jpeg_state j = {0};
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
    if (!read_segment(f, &j, marker, at + 2, at + length)) return false;
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
