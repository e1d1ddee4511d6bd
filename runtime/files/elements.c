/*
** elements.c - elements of files, of any size and byte order, to and from those of memory.
*/
#include <math.h>
#include <string.h>

#include "arrays.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "elements that files store little-endian are taken as they are"
#endif

gan_dtype gan_element_dtype (gan_element e) {
  if (e.kind == 'f' || e.kind == 'h') return GAN_REAL;
  return e.kind == 'b' || (e.kind == 'u' && e.item == 1) ? GAN_UINT8 : GAN_INT64;
}

gan_element gan_element_of (gan_dtype dtype) {
  gan_element e = {dtype == GAN_REAL ? 'f' : dtype == GAN_UINT8 ? 'u' : 'i',
                   (uint8_t)gan_dtype_size(dtype), false};
  return e;
}

bool gan_element_is_native (gan_element e) {
  return (e.kind == 'f' || e.kind == 'i' || (e.kind == 'u' && e.item == 1)) &&
         (e.item == 1 || !e.big) && e.item == gan_dtype_size(gan_element_dtype(e));
}

static inline uint64_t load (const uint8_t *p, int item, bool big) {
  uint16_t h;
  uint32_t w;
  uint64_t d;
  switch (item) {
    case 1: return *p;
    case 2: memcpy(&h, p, 2); return big ? __builtin_bswap16(h) : h;
    case 4: memcpy(&w, p, 4); return big ? __builtin_bswap32(w) : w;
    default: memcpy(&d, p, 8); return big ? __builtin_bswap64(d) : d;
  }
}

static double from_half (uint32_t h) {
  int exponent = (int)(h >> 10 & 31);
  double fraction = h & 1023;
  double v = exponent == 31  ? (fraction != 0 ? NAN : INFINITY)
             : exponent == 0 ? ldexp(fraction, -24)
                             : ldexp(1024 + fraction, exponent - 25);
  return h & 0x8000 ? -v : v;
}

static inline double real (uint64_t bits, int item) {
  double d;
  float f; /* the file's type, whatever the compute type is */
  uint32_t w = (uint32_t)bits;
  if (item == 2) return from_half(w);
  if (item == 4) {
    memcpy(&f, &w, sizeof f);
    return f;
  }
  memcpy(&d, &bits, sizeof d);
  return d;
}

static inline int64_t whole (uint64_t bits, int item) {
  return item == 1 ? (int8_t)bits : item == 2 ? (int16_t)bits : item == 4 ? (int32_t)bits
                                                                          : (int64_t)bits;
}

static int64_t convert_unsigned (gan_element e, const uint8_t *p, int64_t n, int64_t *to) {
  for (int64_t i = 0; i < n; i++) {
    uint64_t bits = load(p + i * e.item, e.item, e.big);
    if (bits > (uint64_t)INT64_MAX) return i;
    to[i] = (int64_t)bits;
  }
  return n;
}

int64_t gan_convert_elements (gan_element e, const void *from, int64_t n, void *to) {
  const uint8_t *p = from;
  gan_real *reals = to;
  int64_t *ints = to;
  uint8_t *bytes = to;
  if (e.kind == 'b') { /* any byte but 0 is true */
    for (int64_t i = 0; i < n; i++) bytes[i] = p[i] != 0;
    return n;
  }
  if (e.kind == 'u' && e.item > 1) return convert_unsigned(e, p, n, ints);
  if (e.kind == 'h') {
    for (int64_t i = 0; i < n; i++) reals[i] = (gan_real)real(load(p + 2 * i, 2, e.big) << 16, 4);
    return n;
  }
  if (gan_element_is_native(e)) {
    if (n > 0) memcpy(to, from, (size_t)n * e.item);
  }
  else if (e.kind == 'f')
    for (int64_t i = 0; i < n; i++)
      reals[i] = (gan_real)real(load(p + i * e.item, e.item, e.big), e.item);
  else
    for (int64_t i = 0; i < n; i++) ints[i] = whole(load(p + i * e.item, e.item, e.big), e.item);
  return n;
}
