/*
** conv_weight.c - the gradient of a convolution for its weight: see conv.h.
**
** A sum of outer products over pixels. A tile of it (up to TILE channels of A times BLOCK of V)
** stays in registers while the pixels of a stretch of rows go by.
*/
#include "conv.h"

#include "lanes.h"
#include "transpose.h"

enum {
  LANES = GAN_LANES,
  BLOCK = 2 * GAN_LANES,
  TILE = GAN_VREGS == 32 ? 14 : 6
};

static int64_t min64 (int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int64_t whole (int64_t channels) {
  return (channels + LANES - 1) / LANES * LANES;
}

/* ---- tiles --------------------------------------------------------------------------------- */

/* One of A and V for one tap: the k-th pixel that the tap reaches of row oy of an image is at
   p + image * i + oy * row + k * pixel. */
typedef struct {
  const gan_real *p;
  int64_t image, row, pixel;
} side;

typedef struct {
  side a, v;
  int64_t oh, ylo, yhi; /* rows of an image that the tap reaches */
  int64_t count;        /* pixels of a row that it reaches */
  int64_t lo, hi;       /* rows, over all images */
  bool first;           /* start from zero, not from the sums so far */
  int64_t channel;      /* patches: between the channels of A, which are neighbours otherwise */
  gan_real *sums;       /* [channels of A][1 or 2 vectors] */
} stretch;

GAN_INLINE void outer (const stretch *t, const int na, const int nv, const bool patches) {
  gan_vec s[TILE][2];
#pragma GCC unroll 16
  for (int a = 0; a < na; a++)
#pragma GCC unroll 2
    for (int v = 0; v < nv; v++)
      s[a][v] = t->first ? (gan_vec){ 0 } : gan_load(t->sums + (a * nv + v) * LANES);
  int64_t image = t->lo / t->oh, oy = t->lo % t->oh;
  const int64_t astep = patches ? 1 : t->a.pixel, vstep = t->v.pixel, count = t->count;
  const int64_t channel = patches ? t->channel : 1;
  for (int64_t r = t->lo; r < t->hi; r++) {
    if (oy >= t->ylo && oy < t->yhi) {
      const gan_real *pa = t->a.p + image * t->a.image + oy * t->a.row;
      const gan_real *pv = t->v.p + image * t->v.image + oy * t->v.row;
      for (int64_t k = 0; k < count; k++, pa += astep, pv += vstep) {
        const gan_vec v0 = gan_load(pv), v1 = gan_load(pv + (nv - 1) * LANES);
#pragma GCC unroll 16
        for (int a = 0; a < na; a++) {
          const gan_real e = pa[a * channel];
          s[a][0] += e * v0;
          if (nv > 1) s[a][1] += e * v1;
        }
      }
    }
    if (++oy == t->oh) {
      oy = 0;
      image++;
    }
  }
#pragma GCC unroll 16
  for (int a = 0; a < na; a++)
#pragma GCC unroll 2
    for (int v = 0; v < nv; v++) gan_store(t->sums + (a * nv + v) * LANES, s[a][v]);
}

typedef void stretch_fn(const stretch *t);

#define OUTER(na)                                                            \
  static void outer_##na##_1 (const stretch *t) { outer(t, na, 1, false); }  \
  static void outer_##na##_2 (const stretch *t) { outer(t, na, 2, false); }  \
  static void patch_##na##_1 (const stretch *t) { outer(t, na, 1, true); }   \
  static void patch_##na##_2 (const stretch *t) { outer(t, na, 2, true); }

OUTER(1) OUTER(2) OUTER(3) OUTER(4) OUTER(5) OUTER(6)
#if GAN_VREGS == 32
OUTER(7) OUTER(8) OUTER(9) OUTER(10) OUTER(11) OUTER(12) OUTER(13) OUTER(14)
#endif

static stretch_fn *const outer_fn[TILE][4] = {
#define BOTH(na) { outer_##na##_1, outer_##na##_2, patch_##na##_1, patch_##na##_2 }
  BOTH(1), BOTH(2), BOTH(3), BOTH(4), BOTH(5), BOTH(6),
#if GAN_VREGS == 32
  BOTH(7), BOTH(8), BOTH(9), BOTH(10), BOTH(11), BOTH(12), BOTH(13), BOTH(14)
#endif
};

/* All `channels` of A against one block of V, `vectors` wide. */
static void run_block (stretch t, int64_t channels, int vectors) {
  int64_t tiles = (channels + TILE - 1) / TILE;
  for (int64_t k = 0; k < tiles; k++) {
    int64_t na = channels / (tiles - k);
    outer_fn[na - 1][vectors - 1 + (t.channel ? 2 : 0)](&t);
    t.a.p += na * (t.channel ? t.channel : 1);
    t.sums += na * vectors * LANES;
    channels -= na;
  }
}

/* ---- items --------------------------------------------------------------------------------- */

/* Places o of [0, out) for which o * s - p + k * d lies in [0, in). */
static void reach (int64_t out, int64_t in, int64_t s, int64_t p, int64_t k, int64_t d, int64_t *lo,
                   int64_t *hi) {
  int64_t off = k * d - p;
  *lo = off < 0 ? (-off + s - 1) / s : 0;
  *hi = in > off ? min64((in - 1 - off) / s + 1, out) : 0;
}

static int64_t cells (int64_t channels, int64_t b) {
  return channels - b * BLOCK > LANES ? BLOCK : LANES;
}

/* First element of a side for a group and a block of its `channels`; the pitch. */
static const gan_real *side_data (const gan_conv_side *s, int64_t g, int64_t b, int64_t channels,
                                  int64_t *pitch) {
  *pitch = s->pitch ? s->pitch : cells(channels, b);
  return s->data + g * s->group + b * s->block;
}

/* The stretch of a tap, for a group and a block of V. */
static stretch tap_stretch (const gan_conv_weight_job *j, int64_t tap, int64_t group, int64_t b) {
  int64_t ky = tap / j->kw, kx = tap % j->kw, xlo, xhi, px, pg;
  stretch t = { .oh = j->oh };
  reach(j->oh, j->ih, j->sh, j->ph, ky, j->dh, &t.ylo, &t.yhi);
  reach(j->ow, j->iw, j->sw, j->pw, kx, j->dw, &xlo, &xhi);
  t.count = xhi - xlo; /* if not positive, no pixel is visited */
  side x = { .p = side_data(&j->x, group, b, j->ci, &px) };
  side g = { .p = side_data(&j->g, group, b, j->co, &pg) };
  x.p += ((ky * j->dh - j->ph) * j->iw + xlo * j->sw - j->pw + kx * j->dw) * px;
  x.image = j->ih * j->iw * px;
  x.row = j->sh * j->iw * px;
  x.pixel = j->sw * px;
  g.p += xlo * pg;
  g.image = j->oh * j->ow * pg;
  g.row = j->ow * pg;
  g.pixel = pg;
  t.a = j->swapped ? g : x;
  t.v = j->swapped ? x : g;
  return t;
}

/* The rows lo .. hi-1 of a part, `rows` at a time. */
static void run_tap (const gan_conv_weight_job *j, int64_t part, int64_t g, int64_t tap, int64_t b,
                     int64_t lo, int64_t hi) {
  const int64_t ac = j->swapped ? j->co : j->ci, vc = j->swapped ? j->ci : j->co;
  stretch t = tap_stretch(j, tap, g, b);
  t.sums = j->sums + part * j->sums_size
           + ((g * j->kh * j->kw + tap) * whole(vc) + b * BLOCK) * ac;
  t.first = !j->more && lo == part * j->span;
  do {
    t.lo = lo;
    t.hi = lo = min64(lo + j->rows, hi);
    run_block(t, ac, cells(vc, b) / LANES);
    t.first = false;
  } while (lo < hi);
}

/* Asks for part k of n of the pixels lo .. hi-1 of a side to be brought to the second cache. */
static void fetch (const gan_conv_side *s, int64_t g, int64_t b, int64_t channels, int64_t lo,
                   int64_t hi, int64_t k, int64_t n) {
  int64_t pitch, line = 64 / (int64_t)sizeof(gan_real);
  const gan_real *p = side_data(s, g, b, channels, &pitch);
  int64_t from = lo * pitch, size = (hi - lo) * pitch;
  for (int64_t at = from + size * k / n; at < from + size * (k + 1) / n; at += line)
    __builtin_prefetch(p + at, 0, 2);
}

/* What the rows lo .. hi-1 will read, in shares over the items that run before: every tap steps
   through memory in its own way, too irregular for the processor to foresee. */
static void fetch_rows (const gan_conv_weight_job *j, int64_t g, int64_t b, int64_t lo, int64_t hi,
                        int64_t k, int64_t n) {
  int64_t image = lo / j->oh, last = (hi - 1) / j->oh;
  int64_t top = lo % j->oh * j->sh - j->ph;
  int64_t bottom = (hi - 1) % j->oh * j->sh - j->ph + (j->kh - 1) * j->dh + 1;
  int64_t from = image * j->ih + (top > 0 ? min64(top, j->ih) : 0);
  int64_t to = last * j->ih + (bottom > 0 ? min64(bottom, j->ih) : 0);
  fetch(&j->x, g, j->swapped ? b : 0, j->ci, from * j->iw, to * j->iw, k, n);
  fetch(&j->g, g, j->swapped ? 0 : b, j->co, lo * j->ow, hi * j->ow, k, n);
}

/* The items lo .. hi-1, which belong to one part: all of them over some rows, then over the next,
   so that these rows stay in cache. */
static void run_taps (const gan_conv_weight_job *j, int64_t part, int64_t lo, int64_t hi) {
  const int64_t taps = j->kh * j->kw, vc = j->swapped ? j->ci : j->co;
  const int64_t blocks = (vc + BLOCK - 1) / BLOCK;
  const int64_t shares = (hi - lo + blocks - 1) / blocks;
  int64_t first = part * j->span, last = min64(first + j->span, j->n * j->oh);
  do {
    int64_t end = min64(first + j->far_rows, last), next = min64(end + j->far_rows, last);
    for (int64_t i = lo; i < hi; i++) {
      int64_t g = i / blocks / taps, b = i % blocks;
      if (end < last) fetch_rows(j, g, b, end, next, (i - lo) / blocks, shares);
      run_tap(j, part, g, i / blocks % taps, b, first, end);
    }
    first = end;
  } while (first < last);
}

/* The elements under the kernel at the places of row r: the k-th of each place, k running over
   (ky, kx, channel), at d[k * channel + ox]; zeros outside of x. */
static void patch_row (const gan_conv_weight_job *j, int64_t group, int64_t r, gan_real *d,
                       int64_t channel) {
  const int64_t image = r / j->oh, oy = r % j->oh, step = j->sw * j->x.pitch;
  const gan_real *x = j->x.data + group * j->x.group + image * j->ih * j->iw * j->x.pitch;
  for (int64_t tap = 0; tap < j->kh * j->kw; tap++) {
    int64_t y = oy * j->sh - j->ph + tap / j->kw * j->dh, off = tap % j->kw * j->dw - j->pw, lo, hi;
    reach(j->ow, j->iw, j->sw, j->pw, tap % j->kw, j->dw, &lo, &hi);
    if (y < 0 || y >= j->ih || hi < lo) lo = hi = 0;
    for (int64_t c = 0; c < j->ci; c++, d += channel) {
      const gan_real *s = x + (y * j->iw + off) * j->x.pitch + c;
      for (int64_t o = 0; o < lo; o++) d[o] = 0;
      if (step == 1)
        for (int64_t o = lo; o < hi; o++) d[o] = s[o];
      else
        for (int64_t o = lo; o < hi; o++) d[o] = s[o * step];
      for (int64_t o = hi; o < j->ow; o++) d[o] = 0;
    }
  }
}

static void run_patches (const gan_conv_weight_job *j, int64_t part, int64_t g, gan_real *patches) {
  const int64_t k = j->kh * j->kw * j->ci, size = j->rows * j->ow;
  stretch t = { .oh = j->oh, .yhi = j->oh, .count = j->ow, .first = !j->more,
                .channel = size };
  int64_t lo = part * j->span, hi = min64(lo + j->span, j->n * j->oh);
  do {
    t.lo = lo;
    t.hi = lo = min64(lo + j->rows, hi);
    for (int64_t r = t.lo; r < t.hi; r++) patch_row(j, g, r, patches + (r - t.lo) * j->ow, size);
    t.a = (side){ patches - t.lo * j->ow, j->oh * j->ow, j->ow, 1 };
    for (int64_t b = 0; b * BLOCK < j->co; b++) {
      t.v.p = side_data(&j->g, g, b, j->co, &t.v.pixel);
      t.v.row = j->ow * t.v.pixel;
      t.v.image = j->oh * t.v.row;
      t.sums = j->sums + part * j->sums_size + (g * whole(j->co) + b * BLOCK) * k;
      run_block(t, k, cells(j->co, b) / LANES);
    }
    t.first = false;
  } while (lo < hi);
}

/* sums[tap][channel] of products channel by channel */
static void run_depth (const gan_conv_weight_job *j, int64_t part, int64_t tap) {
  const int64_t channels = j->groups, size = whole(channels);
  stretch t = tap_stretch(j, tap, 0, 0);
  gan_real *sums = j->sums + part * j->sums_size + tap * size;
  if (!j->more) memset(sums, 0, (size_t)size * sizeof *sums);
  int64_t lo = part * j->span, hi = min64(lo + j->span, j->n * j->oh);
  for (int64_t r = lo; r < hi; r++) {
    int64_t image = r / j->oh, oy = r % j->oh;
    if (oy < t.ylo || oy >= t.yhi) continue;
    const gan_real *pa = t.a.p + image * t.a.image + oy * t.a.row;
    const gan_real *pv = t.v.p + image * t.v.image + oy * t.v.row;
    for (int64_t c = 0; c < channels; c += LANES) {
      int64_t n = min64(LANES, channels - c);
      if (n == LANES) {
        gan_vec s = gan_load(sums + c);
        for (int64_t k = 0; k < t.count; k++)
          s += gan_load(pa + k * t.a.pixel + c) * gan_load(pv + k * t.v.pixel + c);
        gan_store(sums + c, s);
      }
      else
        for (int64_t k = 0; k < t.count; k++)
          for (int64_t i = c; i < channels; i++)
            sums[i] += pa[k * t.a.pixel + i] * pv[k * t.v.pixel + i];
    }
  }
}

static void run (const gan_conv_weight_job *j, int64_t lo, int64_t hi, int worker) {
  const int64_t taps = j->kh * j->kw, vc = j->swapped ? j->ci : j->co;
  const int64_t each = j->groups * taps * ((vc + BLOCK - 1) / BLOCK); /* items of a part */
  while (lo < hi)
    if (j->depth) {
      run_depth(j, lo / taps, lo % taps);
      lo++;
    }
    else if (j->patches) {
      run_patches(j, lo / j->groups, lo % j->groups, j->scratch + worker * j->scratch_size);
      lo++;
    }
    else {
      int64_t part = lo / each, end = min64(hi, (part + 1) * each);
      run_taps(j, part, lo - part * each, end - part * each);
      lo = end;
    }
}

/* ---- adding up the parts, and back to the weight's own layout ------------------------------- */

static gan_real sum_parts (const gan_conv_weight_job *j, const gan_real *s) {
  gan_real total = *s;
  for (int64_t part = 1; part < j->parts; part++) total += s[part * j->sums_size];
  return total;
}

/* n <= LANES taps of a vector of V: transposed, so that the taps of a channel are neighbours. */
static void fold_square (const gan_conv_weight_job *j, const gan_real *s, int64_t tap_size,
                         int64_t n, int64_t channels, gan_real *d, int64_t dv) {
  gan_vec r[LANES];
#pragma GCC unroll 16
  for (int i = 0; i < LANES; i++) {
    r[i] = (gan_vec){ 0 };
    if (i < n)
      for (int64_t part = 0; part < j->parts; part++)
        r[i] += gan_load(s + part * j->sums_size + i * tap_size);
  }
  gan_transpose(r);
#pragma GCC unroll 16
  for (int i = 0; i < LANES; i++)
    if (i < channels) {
      if (n == LANES) gan_store(d + i * dv, r[i]);
      else gan_store_some(d + i * dv, r[i], n);
    }
}

static void fold (const gan_conv_weight_job *j, int64_t lo, int64_t hi) {
  const int64_t taps = j->kh * j->kw;
  if (j->depth) {
    for (int64_t c = lo; c < hi; c++)
      for (int64_t tap = 0; tap < taps; tap++)
        j->grad[c * taps + tap] = sum_parts(j, j->sums + tap * whole(j->groups) + c);
    return;
  }
  const int64_t ac = j->swapped ? j->co : j->ci, vc = j->swapped ? j->ci : j->co;
  const int64_t blocks = (vc + BLOCK - 1) / BLOCK;
  const int64_t dv = j->swapped ? taps : j->ci * taps, da = j->swapped ? j->ci * taps : taps;
  for (int64_t u = lo; u < hi; u++) {
    int64_t a = u % ac, b = u / ac % blocks, g = u / ac / blocks;
    int64_t channels = min64(BLOCK, vc - b * BLOCK), cells = channels > LANES ? BLOCK : LANES;
    int64_t tap_size = j->patches ? ac * cells : ac * whole(vc);
    const gan_real *s = j->sums + g * taps * ac * whole(vc) + a * cells;
    s += b * BLOCK * ac * (j->patches ? taps : 1);
    gan_real *d = j->grad + g * ac * vc * taps + a * da + b * BLOCK * dv;
    for (int64_t v = 0; v < channels; v += LANES)
      for (int64_t tap = 0; tap < taps; tap += LANES)
        fold_square(j, s + tap * tap_size + v, tap_size, min64(LANES, taps - tap), channels - v,
                    d + v * dv + tap, dv);
  }
}

const gan_conv_weight_table GAN_TABLE(gan_conv_weight) = { LANES, BLOCK, run, fold };
