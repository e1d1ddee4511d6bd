/*
** resample.c - pictures in another size: separable triangle filter, as wide as a pixel of the
** result where the picture becomes smaller (so that nothing is skipped), bilinear where it becomes
** larger. Pixel centres are at halves; beyond the edge there is nothing.
*/
#include <math.h>
#include <string.h>

#include "image.h"

/* Which pixels make pixel i of the result: `count[i]` from `first[i]` on, weights in row i. */
typedef struct {
  int n, taps; /* taps: the longest row */
  int64_t *first, *count;
  gan_real *weight;
} filter;

/* n pixels of the result from `span` pixels of the source from `begin` on, of `size` there are. */
static bool make_filter (gan_ctx *c, filter *f, int n, double begin, double span, int size) {
  double step = span / n, reach = step > 1 ? step : 1;
  f->n = n;
  f->taps = (int)(2 * reach) + 2 < size ? (int)(2 * reach) + 2 : size;
  int64_t places = 2 * (int64_t)n, weights = (int64_t)n * f->taps;
  gan_tensor *p = gan_new(c, GAN_INT64, 1, &places);
  gan_tensor *w = p ? gan_new(c, GAN_REAL, 1, &weights) : NULL;
  if (!w) return false;
  f->first = gan_ints(p);
  f->count = f->first + n;
  f->weight = gan_reals(w);
  for (int i = 0; i < n; i++) {
    double centre = begin + (i + 0.5) * step, sum = 0;
    int lo = (int)ceil(centre - reach - 0.5), k = 0;
    if (lo < 0) lo = 0;
    if (lo > size - 1) lo = size - 1;
    gan_real *row = f->weight + (int64_t)i * f->taps;
    for (int j = lo; j < size && k < f->taps; j++, k++) {
      double v = 1 - fabs(j + 0.5 - centre) / reach;
      if (v <= 0 && k > 0) break;
      row[k] = (gan_real)(v > 0 ? v : 0);
      sum += row[k];
    }
    f->first[i] = lo;
    f->count[i] = k;
    for (int j = 0; j < k; j++) row[j] = sum > 0 ? (gan_real)(row[j] / sum) : j == 0;
  }
  return true;
}

/* (rows, width) bytes to (rows, f->n) */
static void across (const filter *f, const uint8_t *from, int rows, int width, gan_real *to) {
  for (int y = 0; y < rows; y++, from += width)
    for (int i = 0; i < f->n; i++) {
      const gan_real *w = f->weight + (int64_t)i * f->taps;
      const uint8_t *p = from + f->first[i];
      gan_real sum = 0;
      for (int64_t k = 0; k < f->count[i]; k++) sum += w[k] * p[k];
      *to++ = sum;
    }
}

/* (., width) to (f->n, width), rounded to bytes */
static void down (const filter *f, const gan_real *from, int width, gan_real *line, uint8_t *to) {
  for (int i = 0; i < f->n; i++) {
    const gan_real *w = f->weight + (int64_t)i * f->taps;
    const gan_real *p = from + f->first[i] * width;
    for (int x = 0; x < width; x++) line[x] = (gan_real)0.5;
    for (int64_t k = 0; k < f->count[i]; k++, p += width)
      for (int x = 0; x < width; x++) line[x] += w[k] * p[x];
    for (int x = 0; x < width; x++) *to++ = (uint8_t)(line[x] > 255 ? 255 : line[x]);
  }
}

bool gan_resample (gan_ctx *c, const uint8_t *from, int channels, int height, int width,
                   const gan_picture_size *s, uint8_t *to) {
  filter rows, columns;
  double high = height, wide = width;
  if (s->height == height && s->width == width) {
    memcpy(to, from, (size_t)channels * (size_t)height * (size_t)width);
    return true;
  }
  if (s->crop) { /* the largest part in the middle that has the result's proportions */
    double scale = fmax((double)s->height / height, (double)s->width / width);
    high = fmin(s->height / scale, height);
    wide = fmin(s->width / scale, width);
  }
  int64_t size = ((int64_t)height + 1) * s->width;
  gan_tensor *between = gan_new(c, GAN_REAL, 1, &size);
  if (!between || !make_filter(c, &columns, s->width, (width - wide) / 2, wide, width) ||
      !make_filter(c, &rows, s->height, (height - high) / 2, high, height))
    return false;
  gan_real *part = gan_reals(between), *line = part + (int64_t)height * s->width;
  for (int k = 0; k < channels; k++) {
    across(&columns, from + (size_t)k * (size_t)height * (size_t)width, height, width, part);
    down(&rows, part, s->width, line, to + (size_t)k * (size_t)s->height * (size_t)s->width);
  }
  return true;
}
