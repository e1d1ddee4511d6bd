/*
** wav.c - sound: RIFF files of PCM (8 bits unsigned; 16, 24, 32 signed) or floating point (32, 64
** bits), any number of channels. A stretch of a long recording is read without the rest of it.
*/
#include <math.h>
#include <string.h>

#include "files.h"

enum { PCM = 1, IEEE = 3, EXTENSIBLE = 0xFFFE };
enum { CHANNELS_MAX = 1024, RATE_MAX = 1 << 24 };

static uint32_t little (const uint8_t *p, int bytes) {
  uint32_t v = 0;
  while (bytes-- > 0) v = v << 8 | p[bytes];
  return v;
}

/* ---- reading ------------------------------------------------------------------------------ */

static bool wrong (gan_ctx *c, const gan_file *f, const char *what, uint64_t at) {
  gan_file_fail(c, f->path, "WAV: %s at byte %llu", what, (unsigned long long)at);
  return false;
}

/* The format chunk of `size` bytes at `at`. */
static bool read_format (gan_ctx *c, gan_file *f, uint64_t at, uint32_t size, gan_wav *w) {
  static const uint8_t guid[] = {0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71};
  uint8_t p[40];
  if (w->channels) return wrong(c, f, "a second format", at);
  if (size < 16) return wrong(c, f, "a short format", at);
  if (!gan_file_read(c, f, at, p, size < 40 ? size : 40)) return false;
  uint32_t tag = little(p, 2), frame = little(p + 12, 2);
  w->channels = (int)little(p + 2, 2);
  w->rate = (int64_t)little(p + 4, 4);
  w->bits = (int)little(p + 14, 2);
  if (tag == EXTENSIBLE) { /* the format is the beginning of a GUID */
    if (size < 40 || memcmp(p + 26, guid, sizeof guid) != 0)
      return wrong(c, f, "an unknown extended format", at);
    tag = little(p + 24, 2);
  }
  w->floating = tag == IEEE;
  bool known = w->floating ? w->bits == 32 || w->bits == 64
                           : tag == PCM && w->bits % 8 == 0 && w->bits >= 8 && w->bits <= 32;
  if (!known)
    return wrong(c, f, "samples that are neither PCM (8 to 32 bits) nor floating point", at);
  if (w->channels < 1 || w->channels > CHANNELS_MAX || w->rate < 1 || w->rate > RATE_MAX ||
      frame != (uint32_t)(w->channels * w->bits / 8))
    return wrong(c, f, "an impossible number of channels, rate or size of a frame", at);
  return true;
}

bool gan_wav_header (gan_ctx *c, gan_file *f, gan_wav *w) {
  uint8_t p[12];
  memset(w, 0, sizeof *w);
  if (f->size < 12) return wrong(c, f, "the file is too short", f->size);
  if (!gan_file_read(c, f, 0, p, 12)) return false;
  if (memcmp(p, "RIFF", 4) != 0 || memcmp(p + 8, "WAVE", 4) != 0)
    return wrong(c, f, "no RIFF WAVE header", 0);
  uint64_t end = 8 + (uint64_t)little(p + 4, 4);
  if (end > f->size) return wrong(c, f, "the file is shorter than it says", 4);
  for (uint64_t at = 12; at + 8 <= end;) {
    if (!gan_file_read(c, f, at, p, 8)) return false;
    uint32_t size = little(p + 4, 4);
    if (size > end - at - 8) return wrong(c, f, "the file ends in the chunk", at);
    if (memcmp(p, "fmt ", 4) == 0 && !read_format(c, f, at + 8, size, w)) return false;
    if (memcmp(p, "data", 4) == 0) {
      uint32_t frame = (uint32_t)(w->channels * w->bits / 8);
      if (frame == 0) return wrong(c, f, "samples before their format", at);
      if (size % frame != 0) return wrong(c, f, "an incomplete frame in the chunk", at);
      w->begin = at + 8;
      w->frames = size / frame;
      return true;
    }
    at += 8 + (uint64_t)size + (size & 1); /* chunks begin at even places */
  }
  return wrong(c, f, "no samples before the end", end);
}

static double sample (const gan_wav *w, const uint8_t *p) {
  float f; /* the file's type, whatever the compute type is */
  double d;
  switch (w->bits) {
    case 8: return (*p - 128) / 128.0;
    case 16: return (int16_t)little(p, 2) / 32768.0;
    case 24: return (int32_t)(little(p, 3) << 8) / 2147483648.0;
    case 64: memcpy(&d, p, 8); return d;
    default:
      if (!w->floating) return (int32_t)little(p, 4) / 2147483648.0;
      memcpy(&f, p, 4);
      return f;
  }
}

/* Channels lie interleaved in the file, one behind the other in memory. */
bool gan_wav_read (gan_ctx *c, gan_file *f, const gan_wav *w, int64_t start, int64_t frames,
                   gan_real *to) {
  uint8_t chunk[1 << 14];
  size_t item = (size_t)w->bits / 8, frame = item * (size_t)w->channels;
  int64_t room = (int64_t)(sizeof chunk / frame);
  if (start < 0 || frames < 0 || start > w->frames || frames > w->frames - start) {
    gan_file_fail(c, f->path, "WAV: there are %lld frames, %lld from %lld on were asked for",
                  (long long)w->frames, (long long)frames, (long long)start + 1);
    return false;
  }
  for (int64_t done = 0; done < frames;) {
    int64_t n = frames - done < room ? frames - done : room;
    uint64_t at = w->begin + (uint64_t)(start + done) * frame;
    if (!gan_file_read(c, f, at, chunk, (size_t)n * frame)) return false;
    for (int k = 0; k < w->channels; k++)
      for (int64_t i = 0; i < n; i++)
        to[k * frames + done + i] =
            (gan_real)sample(w, chunk + (size_t)i * frame + (size_t)k * item);
    done += n;
  }
  return true;
}

gan_tensor *gan_load_wav (gan_ctx *c, const char *path, int64_t start, int64_t frames,
                          gan_wav *w) {
  gan_file f;
  gan_tensor *t = NULL;
  if (!gan_file_open(c, &f, path)) return NULL;
  if (gan_wav_header(c, &f, w)) {
    if (frames < 0) frames = start < w->frames ? w->frames - start : 0;
    int64_t shape[2] = {w->channels, frames};
    if (start > w->frames || frames > w->frames - start)
      gan_wav_read(c, &f, w, start, frames, NULL); /* says what is wrong */
    else
      t = gan_new(c, GAN_REAL, 2, shape);
    if (t && !gan_wav_read(c, &f, w, start, frames, gan_reals(t))) t = NULL;
  }
  gan_file_close(&f);
  return t;
}

/* ---- writing ------------------------------------------------------------------------------ */

static uint8_t *put (uint8_t *p, uint64_t v, int bytes) {
  for (int i = 0; i < bytes; i++, v >>= 8) *p++ = (uint8_t)v;
  return p;
}

/* What is outside -1 .. 1 is clamped, and NaN is silence. */
static uint8_t *put_sample (uint8_t *p, const gan_wav *w, double v) {
  if (w->floating) {
    float f = (float)v; /* the file's type, whatever the compute type is */
    memcpy(p, &f, sizeof f);
    return p + sizeof f;
  }
  double scale = ldexp(1, w->bits - 1);
  v = isnan(v) ? 0 : nearbyint(v * scale);
  if (v > scale - 1) v = scale - 1;
  if (v < -scale) v = -scale;
  if (w->bits == 8) v += 128;
  return put(p, (uint64_t)(int64_t)v, w->bits / 8);
}

static bool write_samples (gan_ctx *c, gan_replacement *r, const gan_wav *w, const gan_real *x) {
  uint8_t chunk[1 << 14];
  uint8_t *p = chunk;
  for (int64_t i = 0; i < w->frames; i++)
    for (int k = 0; k < w->channels; k++) {
      p = put_sample(p, w, x[k * w->frames + i]);
      if (chunk + sizeof chunk - p >= 8) continue;
      if (!gan_replace_write(c, r, chunk, (size_t)(p - chunk))) return false;
      p = chunk;
    }
  return gan_replace_write(c, r, chunk, (size_t)(p - chunk));
}

/* RIFF header, format and the head of the samples; the number of bytes. */
static size_t make_head (uint8_t *head, const gan_wav *w, uint32_t bytes) {
  uint32_t frame = (uint32_t)(w->channels * w->bits / 8), pad = bytes & 1;
  uint8_t *p = head;
  memcpy(p, "RIFF", 4);
  p = put(p + 4, 36 + (w->floating ? 12 : 0) + (uint64_t)bytes + pad, 4);
  memcpy(p, "WAVEfmt ", 8);
  p = put(p + 8, 16, 4);
  p = put(p, w->floating ? IEEE : PCM, 2);
  p = put(p, (uint64_t)w->channels, 2);
  p = put(p, (uint64_t)w->rate, 4);
  p = put(p, (uint64_t)w->rate * frame, 4);
  p = put(p, frame, 2);
  p = put(p, (uint64_t)w->bits, 2);
  if (w->floating) { /* formats other than PCM say how many frames there are */
    memcpy(p, "fact", 4);
    p = put(p + 4, 4, 4);
    p = put(p, (uint64_t)w->frames, 4);
  }
  memcpy(p, "data", 4);
  return (size_t)(put(p + 4, bytes, 4) - head);
}

bool gan_save_wav (gan_ctx *c, const char *path, gan_tensor *x, const gan_wav *format) {
  gan_wav w = *format;
  uint8_t head[64];
  gan_replacement r;
  int nd = x->ndim;
  if (x->dtype != GAN_REAL || nd < 1 || nd > 2 || (nd == 2 && x->shape[0] > CHANNELS_MAX) ||
      (nd == 2 && x->shape[0] == 0)) {
    gan_fail(c, GAN_EARG, "sound is %s (channels, frames) or (frames), at most %d channels; this "
             "is %s %s", gan_dtype_name(GAN_REAL), CHANNELS_MAX,
             gan_dtype_name((gan_dtype)x->dtype), gan_shape_of(c, x));
    return false;
  }
  w.channels = nd == 2 ? (int)x->shape[0] : 1;
  w.frames = x->shape[nd - 1];
  if (x->numel > ((int64_t)0xFFFFFF00) / (w.bits / 8)) {
    gan_fail(c, GAN_EARG, "%lld samples of %d bits do not fit a WAV file of 4 GiB",
             (long long)x->numel, w.bits);
    return false;
  }
  uint32_t bytes = (uint32_t)(x->numel * (w.bits / 8));
  gan_tensor *dense = gan_dense(c, x);
  if (!dense || !gan_replace_open(c, &r, path)) return false;
  if (gan_replace_write(c, &r, head, make_head(head, &w, bytes)) &&
      write_samples(c, &r, &w, gan_reals(dense)) && gan_replace_write(c, &r, "", bytes & 1))
    return gan_replace_commit(c, &r);
  gan_replace_cancel(&r);
  return false;
}
