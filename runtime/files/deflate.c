/*
** deflate.c - packs bytes as a deflate stream (RFC 1951): repetitions found by chains of equal
** three-byte beginnings, one block with the fixed codes. Output that would be no shorter than the
** input is given up, so the room for it is known beforehand.
*/
#include "arrays.h"

enum { WINDOW = 1 << 15, HASH = 1 << 15, LONGEST = 258, SHORTEST = 3, TRIES = 32 };

typedef struct {
  const uint8_t *in;
  size_t n;
  uint8_t *out;
  size_t at, room;
  uint64_t bits;
  int nbits;
  bool full;
  int64_t *head; /* the latest place of each hash; -1: none */
  int64_t *prev; /* the place before, for each place modulo the window */
} packer;

static void put_bits (packer *k, uint32_t value, int n) {
  k->bits |= (uint64_t)value << k->nbits;
  for (k->nbits += n; k->nbits >= 8; k->nbits -= 8, k->bits >>= 8) {
    if (k->at < k->room)
      k->out[k->at++] = (uint8_t)k->bits;
    else
      k->full = true;
  }
}

/* Codes go with their most significant bit first, unlike numbers. */
static void put_code (packer *k, uint32_t code, int n) {
  uint32_t reversed = 0;
  for (int i = 0; i < n; i++) reversed |= (code >> i & 1) << (n - 1 - i);
  put_bits(k, reversed, n);
}

/* A byte, 256 (the end) or a length's symbol, in the fixed code. */
static void put_symbol (packer *k, uint32_t s) {
  if (s < 144) put_code(k, 0x30 + s, 8);
  else if (s < 256) put_code(k, 0x190 + s - 144, 9);
  else if (s < 280) put_code(k, s - 256, 7);
  else put_code(k, 0xC0 + s - 280, 8);
}

/* The symbols of lengths come in groups of four, of distances in groups of two, whose values reach
   twice as far as the group's before, with one more bit behind the symbol. */
static void put_repetition (packer *k, uint32_t length, uint32_t distance) {
  uint32_t v = length - SHORTEST;
  if (length == LONGEST) put_symbol(k, 285);
  else if (v < 8) put_symbol(k, 257 + v);
  else {
    int extra = 29 - __builtin_clz(v); /* v >> extra is 4 to 7 */
    put_symbol(k, 257 + 4 * (uint32_t)extra + (v >> extra));
    put_bits(k, v & ((1u << extra) - 1), extra);
  }
  v = distance - 1;
  if (v < 4) put_code(k, v, 5);
  else {
    int extra = 30 - __builtin_clz(v); /* v >> extra is 2 or 3 */
    put_code(k, 2 * (uint32_t)extra + (v >> extra), 5);
    put_bits(k, v & ((1u << extra) - 1), extra);
  }
}

static size_t hash (const uint8_t *p) {
  uint32_t v = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
  return v * 2654435761u >> 17;
}

static void remember (packer *k, size_t at) {
  if (at + SHORTEST > k->n) return;
  size_t h = hash(k->in + at);
  k->prev[at % WINDOW] = k->head[h];
  k->head[h] = (int64_t)at;
}

static size_t match_length (const packer *k, size_t a, size_t b) {
  size_t most = k->n - b < LONGEST ? k->n - b : LONGEST, n = 0;
  while (n < most && k->in[a + n] == k->in[b + n]) n++;
  return n;
}

/* The longest repetition of what begins at `at`; 0: none. */
static size_t find (const packer *k, size_t at, size_t *distance) {
  size_t best = SHORTEST - 1;
  if (at + SHORTEST > k->n) return 0;
  int64_t j = k->head[hash(k->in + at)];
  for (int tries = 0; j >= 0 && at - (size_t)j < WINDOW && tries < TRIES; tries++) {
    size_t n = match_length(k, (size_t)j, at);
    if (n > best) {
      best = n;
      *distance = at - (size_t)j;
      if (n == LONGEST) break;
    }
    int64_t before = k->prev[(size_t)j % WINDOW];
    if (before >= j) break; /* overwritten by a later place */
    j = before;
  }
  return best >= SHORTEST ? best : 0;
}

size_t gan_deflate (gan_ctx *c, const void *in, size_t n, void *out, size_t room) {
  int64_t places = HASH + WINDOW;
  packer k = {.in = in, .n = n, .out = out, .room = room};
  gan_tensor *t = gan_new(c, GAN_INT64, 1, &places);
  if (!t) return 0;
  k.head = gan_ints(t);
  k.prev = k.head + HASH;
  for (int64_t i = 0; i < places; i++) k.head[i] = -1;
  put_bits(&k, 1 | 1 << 1, 3); /* the last block, fixed codes */
  for (size_t at = 0; at < n && !k.full;) {
    size_t distance = 0, length = find(&k, at, &distance);
    if (length == 0) {
      put_symbol(&k, k.in[at]);
      remember(&k, at++);
      continue;
    }
    put_repetition(&k, (uint32_t)length, (uint32_t)distance);
    for (; length > 0; length--) remember(&k, at++);
  }
  put_symbol(&k, 256);
  if (k.nbits > 0) put_bits(&k, 0, 8 - k.nbits);
  return k.full ? 0 : k.at;
}
