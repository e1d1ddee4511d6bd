/*
** gzip.c - the frame of RFC 1952 around a deflate stream: header, length and checksum are ours, the
** stream itself is inflated by stb_image's decoder.
*/
#include <limits.h>

#include "files.h"
#include "stb.h"

enum { FHCRC = 2, FEXTRA = 4, FNAME = 8, FCOMMENT = 16, RESERVED = 0xE0 };
enum { HEADER = 10, TRAILER = 8 };

bool gan_is_gzip (const gan_tensor *bytes) {
  const uint8_t *p = gan_bytes(bytes);
  return bytes->numel >= 2 && p[0] == 0x1F && p[1] == 0x8B;
}

static uint32_t little32 (const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Position of the byte after a zero-terminated text; `end` when there is no zero. */
static int64_t skip_text (const uint8_t *p, int64_t at, int64_t end) {
  while (at < end && p[at] != 0) at++;
  return at < end ? at + 1 : end;
}

/* Length of the header, or -1 when it is malformed or leaves no room for the trailer. */
static int64_t header_length (const uint8_t *p, int64_t size) {
  int64_t at = HEADER, end = size - TRAILER;
  if (size < HEADER + TRAILER || p[2] != 8 || (p[3] & RESERVED)) return -1;
  int flags = p[3];
  if (flags & FEXTRA) {
    if (at + 2 > end) return -1;
    at += 2 + (p[at] | p[at + 1] << 8);
  }
  if (at < end && (flags & FNAME)) at = skip_text(p, at, end);
  if (at < end && (flags & FCOMMENT)) at = skip_text(p, at, end);
  if (flags & FHCRC) at += 2;
  return at < end ? at : -1;
}

gan_tensor *gan_gunzip (gan_ctx *c, const char *path, const gan_tensor *packed) {
  const uint8_t *p = gan_bytes(packed);
  int64_t size = packed->numel;
  int64_t at = header_length(p, size);
  if (at < 0) return gan_file_fail(c, path, "malformed gzip header at byte 0");
  int64_t stream = size - TRAILER - at;
  int64_t length = little32(p + size - 4);
  /* no deflate stream expands by more than 1032: a forged length allocates nothing */
  if (length > INT_MAX || size > INT_MAX || length > stream * 1032)
    return gan_file_fail(c, path, "gzip: %lld bytes cannot hold the %lld that byte %lld promises",
                         (long long)stream, (long long)length, (long long)(size - 4));
  gan_tensor *out = gan_new(c, GAN_UINT8, 1, &length);
  if (!out) return NULL;
  /* with the trailer: some versions of stb look ahead, and would miss the end of the stream */
  if (!gan_inflate(p + at, (size_t)(stream + TRAILER), gan_bytes(out), (size_t)length))
    return gan_file_fail(c, path, "gzip: malformed or truncated stream at byte %lld",
                         (long long)at);
  if (gan_crc32(0, gan_bytes(out), (size_t)length) != little32(p + size - TRAILER))
    return gan_file_fail(c, path, "gzip: the checksum at byte %lld does not match the contents",
                         (long long)(size - TRAILER));
  return out;
}
