/*
** conv.c - correlation on channels-last data: see conv.h for what is computed.
**
** An item of work copies its part of the source next to itself in memory (bordered with zeros where
** a row needs them, in any layout before), which costs little beside the arithmetic, and then runs
** tiles: `tile` places of the destination times `block` channels, all in registers.
*/
#include "conv.h"

#include "lanes.h"
#include "transpose.h"

enum {
  LANES = GAN_LANES,
  BLOCK = 2 * GAN_LANES,
  TILE = GAN_VREGS == 32 ? 14 : 6, /* 2 * TILE sums, 2 weights, 1 or 2 for the source */
  FEW = 4,
  DEPTH_TILE = 4
};

/* One tile: places p = 0 .. np-1, taps in nh rows of nw runs of len source elements each. */
typedef struct {
  const gan_real *x, *w;
  gan_real *y;
  const gan_real *init; /* bias: where the sums start */
  int64_t ps, ys;       /* between the places, in source and destination */
  int64_t nh, nw, len;
  int64_t xrow, xcol, wrow, wcol;
  int64_t channels;     /* of the destination, in this tile */
  int64_t wout;         /* dot: between the weights of two output channels */
} tile;

/* ---- outer: y[p, 0 .. nv vectors) += x[p, k] * w[k, ...] ----------------------------------- */

GAN_INLINE void outer (const tile *t, const int np, const int nv) {
  gan_vec s[TILE][2];
  const int64_t last = t->channels - (nv - 1) * LANES; /* lanes of the last vector in use */
#pragma GCC unroll 16
  for (int p = 0; p < np; p++)
#pragma GCC unroll 2
    for (int v = 0; v < nv; v++) s[p][v] = gan_load(t->init + v * LANES);
  const int64_t ps = t->ps, len = t->len;
  for (int64_t a = 0; a < t->nh; a++)
    for (int64_t b = 0; b < t->nw; b++) {
      const gan_real *x = t->x + a * t->xrow + b * t->xcol;
      const gan_real *w = t->w + a * t->wrow + b * t->wcol;
      for (int64_t k = 0; k < len; k++, w += nv * LANES) {
        const gan_vec w0 = gan_load(w), w1 = gan_load(w + (nv - 1) * LANES);
#pragma GCC unroll 16
        for (int p = 0; p < np; p++) {
          gan_real e = x[p * ps + k];
          s[p][0] += e * w0;
          if (nv > 1) s[p][1] += e * w1;
        }
      }
    }
#pragma GCC unroll 16
  for (int p = 0; p < np; p++)
#pragma GCC unroll 2
    for (int v = 0; v < nv; v++) {
      gan_real *y = t->y + p * t->ys + v * LANES;
      if (v < nv - 1 || last == LANES) gan_store(y, s[p][v]);
      else gan_store_some(y, s[p][v], last);
    }
}

typedef void tile_fn(const tile *t);

#define OUTER(np)                                                            \
  static void outer_##np##_1 (const tile *t) { outer(t, np, 1); }            \
  static void outer_##np##_2 (const tile *t) { outer(t, np, 2); }

OUTER(1) OUTER(2) OUTER(3) OUTER(4) OUTER(5) OUTER(6)
#if GAN_VREGS == 32
OUTER(7) OUTER(8) OUTER(9) OUTER(10) OUTER(11) OUTER(12) OUTER(13) OUTER(14)
#endif

static tile_fn *const outer_fn[TILE][2] = {
#define BOTH(np) { outer_##np##_1, outer_##np##_2 }
  BOTH(1), BOTH(2), BOTH(3), BOTH(4), BOTH(5), BOTH(6),
#if GAN_VREGS == 32
  BOTH(7), BOTH(8), BOTH(9), BOTH(10), BOTH(11), BOTH(12), BOTH(13), BOTH(14)
#endif
};

/* ---- dot: y[p, o] += sum of x[p, k] * w[o, k] ---------------------------------------------- */

/* `ways` sums for each result, so that additions need not wait for each other */
GAN_INLINE void dot (const tile *t, int64_t p0, const int np, const int no, const int ways) {
  gan_vec s[4][FEW][2];
  gan_real rest[4][FEW];
  const gan_real *x0 = t->x + p0 * t->ps;
#pragma GCC unroll 4
  for (int p = 0; p < np; p++)
#pragma GCC unroll 4
    for (int o = 0; o < no; o++) {
      s[p][o][0] = s[p][o][1] = (gan_vec){ 0 };
      rest[p][o] = t->init[o];
    }
  const int64_t ps = t->ps, wout = t->wout;
  for (int64_t a = 0; a < t->nh; a++)
    for (int64_t b = 0; b < t->nw; b++) {
      const gan_real *x = x0 + a * t->xrow + b * t->xcol;
      const gan_real *w = t->w + a * t->wrow + b * t->wcol;
      int64_t k = 0;
      for (; k + ways * LANES <= t->len; k += ways * LANES)
#pragma GCC unroll 2
        for (int u = 0; u < ways; u++)
#pragma GCC unroll 4
          for (int o = 0; o < no; o++) {
            const gan_vec wk = gan_load(w + o * wout + k + u * LANES);
#pragma GCC unroll 4
            for (int p = 0; p < np; p++) s[p][o][u] += gan_load(x + p * ps + k + u * LANES) * wk;
          }
      if (ways == 2 && k + LANES <= t->len) {
#pragma GCC unroll 4
        for (int o = 0; o < no; o++)
#pragma GCC unroll 4
          for (int p = 0; p < np; p++)
            s[p][o][0] += gan_load(x + p * ps + k) * gan_load(w + o * wout + k);
        k += LANES;
      }
      for (; k < t->len; k++)
#pragma GCC unroll 4
        for (int o = 0; o < no; o++)
#pragma GCC unroll 4
          for (int p = 0; p < np; p++) rest[p][o] += x[p * ps + k] * w[o * wout + k];
    }
#pragma GCC unroll 4
  for (int o = 0; o < no; o++) {
    gan_real sum[4];
    if (ways == 2)
#pragma GCC unroll 4
      for (int p = 0; p < np; p++) s[p][o][0] += s[p][o][1];
    if (np == 4) gan_lanes_sum_4(s[0][o][0], s[1][o][0], s[2][o][0], s[3][o][0], sum);
    else
#pragma GCC unroll 4
      for (int p = 0; p < np; p++) sum[p] = gan_lanes_sum(s[p][o][0]);
#pragma GCC unroll 4
    for (int p = 0; p < np; p++) t->y[(p0 + p) * t->ys + o] = sum[p] + rest[p][o];
  }
}

#define DOT(no)                                                              \
  static void dot_##no (const tile *t, int64_t np) {                         \
    const int step = no * 4 * 2 > GAN_VREGS ? 2 : 4;                         \
    int64_t p = 0;                                                           \
    for (; p + step <= np; p += step) dot(t, p, step, no, no == 1 ? 2 : 1);  \
    for (; p + 2 <= np; p += 2) dot(t, p, 2, no, no <= 2 ? 2 : 1);           \
    for (; p < np; p++) dot(t, p, 1, no, 2);                                 \
  }

DOT(1) DOT(2) DOT(3) DOT(4)

static void (*const dot_fn[FEW])(const tile *t, int64_t np) = { dot_1, dot_2, dot_3, dot_4 };

/* ---- depth: y[p, c] += x[p, tap, c] * w[tap, c] -------------------------------------------- */

GAN_INLINE void depth (const tile *t, int64_t p0, const int np) {
  const int64_t channels = t->channels;
  const gan_real *x0 = t->x + p0 * t->ps;
  gan_real *y0 = t->y + p0 * t->ys;
  int64_t c = 0;
  for (; c + LANES <= channels; c += LANES) {
    gan_vec s[DEPTH_TILE];
#pragma GCC unroll 4
    for (int p = 0; p < np; p++) s[p] = gan_load(t->init + c);
    for (int64_t a = 0; a < t->nh; a++)
      for (int64_t b = 0; b < t->nw; b++) {
        gan_vec w = gan_load(t->w + a * t->wrow + b * t->wcol + c);
        const gan_real *x = x0 + a * t->xrow + b * t->xcol + c;
#pragma GCC unroll 4
        for (int p = 0; p < np; p++) s[p] += w * gan_load(x + p * t->ps);
      }
#pragma GCC unroll 4
    for (int p = 0; p < np; p++) gan_store(y0 + p * t->ys + c, s[p]);
  }
  for (; c < channels; c++)
    for (int p = 0; p < np; p++) {
      gan_real s = t->init[c];
      for (int64_t a = 0; a < t->nh; a++)
        for (int64_t b = 0; b < t->nw; b++)
          s += t->w[a * t->wrow + b * t->wcol + c] * x0[p * t->ps + a * t->xrow + b * t->xcol + c];
      y0[p * t->ys + c] = s;
    }
}

static void depth_tile (const tile *t, int64_t np) {
  int64_t p = 0;
  for (; p + DEPTH_TILE <= np; p += DEPTH_TILE) depth(t, p, DEPTH_TILE);
  for (; p < np; p++) depth(t, p, 1);
}

/* ---- an item ------------------------------------------------------------------------------- */

/* `count` places from t, in tiles of nearly equal size */
static void run_places (const gan_conv_job *j, tile *t, int64_t count) {
  if (j->kind == GAN_CONV_DOT) dot_fn[t->channels - 1](t, count);
  else if (j->kind == GAN_CONV_DEPTH) depth_tile(t, count);
  else {
    int64_t tiles = (count + TILE - 1) / TILE;
    for (int64_t k = 0; k < tiles; k++) {
      int64_t np = count / (tiles - k);
      outer_fn[np - 1][t->channels > LANES](t);
      t->x += np * t->ps;
      t->y += np * t->ys;
      count -= np;
    }
  }
}

/* The taps of destination o that lie inside the source: number, first place, first tap. */
static int64_t clip (const gan_conv_axis *ax, int64_t o, int64_t *at, int64_t *tap) {
  int64_t q = o % ax->period, n = ax->ntap[q];
  int64_t first = ax->first[q] + o / ax->period * ax->advance;
  int64_t lo = first < 0 ? (-first + ax->step - 1) / ax->step : 0;
  int64_t hi = ax->in > first ? (ax->in - 1 - first) / ax->step + 1 : 0;
  if (hi > n) hi = n;
  *at = first + lo * ax->step;
  *tap = ax->tap0[q] + lo;
  return hi > lo ? hi - lo : 0;
}

/* Where the source of an item is: place (row, column) at base + row * sh + column * sw. */
typedef struct {
  const gan_real *base;
  int64_t sh, sw;
} place;

/* Fills in what depends on the taps: na rows from tap ta, nb columns from tap tb. `cells` weight
   elements belong to each tap and source channel. */
static void set_taps (const gan_conv_job *j, int64_t cells, const place *x, const gan_real *w,
                      tile *t, int64_t na, int64_t ta, int64_t nb, int64_t tb) {
  t->wcol = j->ic * cells;
  t->wrow = j->w.taps * t->wcol;
  t->w = w + ta * t->wrow + tb * t->wcol;
  t->xrow = j->h.step * x->sh;
  t->xcol = j->w.step * x->sw;
  t->nh = na;
  t->nw = nb;
  t->len = j->ic;
  if (t->xcol == j->ic && j->kind != GAN_CONV_DEPTH) { /* neighbouring taps are one run */
    t->nw = nb > 0;
    t->len = nb * j->ic;
  }
}

/* The rows y0 .. y1-1 of one image; dst: its channels of the block. */
static void block_rows (const gan_conv_job *j, int64_t cells, const place *x, const gan_real *w,
                        gan_real *dst, tile *t, int64_t y0, int64_t y1) {
  const gan_conv_axis *ax = &j->w;
  int64_t classes = ax->period < ax->out ? ax->period : ax->out;
  t->ps = ax->advance * x->sw;
  t->ys = ax->period * j->dw;
  for (int64_t oy = y0; oy < y1; oy++) {
    int64_t row, ta, na = clip(&j->h, oy, &row, &ta);
    for (int64_t q = 0; q < classes; q++) {
      set_taps(j, cells, x, w, t, na, ta, ax->ntap[q], ax->tap0[q]);
      t->x = x->base + row * x->sh + ax->first[q] * x->sw;
      t->y = dst + oy * j->dh + q * j->dw;
      run_places(j, t, (ax->out - q + ax->period - 1) / ax->period);
    }
  }
}

/* Every place of `count` images, `image` apart in the source. */
static void block_images (const gan_conv_job *j, int64_t cells, const place *x, const gan_real *w,
                          gan_real *dst, tile *t, int64_t image, int64_t count) {
  t->ps = image;
  t->ys = j->dn;
  for (int64_t oy = 0; oy < j->h.out; oy++) {
    int64_t row, ta, na = clip(&j->h, oy, &row, &ta);
    for (int64_t ox = 0; ox < j->w.out; ox++) {
      int64_t col, tb, nb = clip(&j->w, ox, &col, &tb);
      set_taps(j, cells, x, w, t, na, ta, nb, tb);
      t->x = x->base + row * x->sh + col * x->sw;
      t->y = dst + oy * j->dh + ox * j->dw;
      run_places(j, t, count);
    }
  }
}

static int64_t min64 (int64_t a, int64_t b) {
  return a < b ? a : b;
}

/* All blocks of output channels. dst: first element of the item's (first) image and group. lo, hi:
   rows, or 0 and the number of images. */
static void run_blocks (const gan_conv_job *j, int64_t g, const place *x, int64_t image,
                        gan_real *dst, int64_t lo, int64_t hi) {
  const int64_t size = j->h.taps * j->w.taps * j->ic, oc = j->oc; /* size: of a channel's weight */
  const int64_t block = j->kind == GAN_CONV_OUTER ? BLOCK : j->kind == GAN_CONV_DOT ? FEW : oc;
  const int64_t lanes = j->kind == GAN_CONV_OUTER ? (oc + LANES - 1) / LANES * LANES : oc;
  const gan_real *weight = j->weight + g * lanes * size;
  for (int64_t v = 0; v < oc; v += block) {
    tile t = { .init = j->bias + g * lanes + v, .channels = min64(block, oc - v), .wout = size };
    int64_t cells = j->kind != GAN_CONV_OUTER ? 1 : t.channels > LANES ? BLOCK : LANES;
    if (j->batched) block_images(j, cells, x, weight + v * size, dst + v, &t, image, hi);
    else block_rows(j, cells, x, weight + v * size, dst + v, &t, lo, hi);
  }
}

static void gather (gan_real *dst, int64_t pitch, const gan_real *src, int64_t sc, int64_t spix,
                    int64_t channels, int64_t pixels) {
  if (sc == 1 && spix == channels && pitch == channels)
    memcpy(dst, src, (size_t)(channels * pixels) * sizeof *dst);
  else if (sc == 1)
    for (int64_t p = 0; p < pixels; p++)
      memcpy(dst + p * pitch, src + p * spix, (size_t)channels * sizeof *dst);
  else
    for (int64_t c0 = 0; c0 < channels; c0 += 16) { /* 16 streams in, one cache line out */
      int64_t n = min64(16, channels - c0);
      for (int64_t p = 0; p < pixels; p++) {
        gan_real *d = dst + p * pitch + c0;
        const gan_real *s = src + p * spix + c0 * sc;
        for (int64_t c = 0; c < n; c++) d[c] = s[c * sc];
      }
    }
}

static void zero_columns (const gan_conv_job *j, gan_real *row) {
  if (!j->pitch) return; /* no channels: there is no row */
  int64_t right = j->width - j->left - j->w.in;
  memset(row, 0, (size_t)(j->left * j->pitch) * sizeof *row);
  memset(row + (j->left + j->w.in) * j->pitch, 0, (size_t)(right * j->pitch) * sizeof *row);
}

/* Rows of one image and group. */
static void run_rows (const gan_conv_job *j, int64_t item, gan_real *copy) {
  int64_t k = item % j->chunks, g = item / j->chunks % j->groups, n = item / j->chunks / j->groups;
  int64_t y0 = k * j->chunk, y1 = min64(y0 + j->chunk, j->h.out);
  const gan_real *src = j->src + n * j->sn + g * j->ic * j->sc;
  place x = { src, j->sh, j->sw };
  if (!j->direct) {
    int64_t lo = j->h.in, hi = 0; /* source rows that are needed */
    for (int64_t oy = y0; oy < y1; oy++) {
      int64_t row, ta, na = clip(&j->h, oy, &row, &ta);
      if (na == 0) continue;
      if (row < lo) lo = row;
      if (row + (na - 1) * j->h.step >= hi) hi = row + (na - 1) * j->h.step + 1;
    }
    x.sh = j->width * j->pitch;
    x.sw = j->pitch;
    for (int64_t row = lo; row < hi; row++) {
      gan_real *d = copy + (row - lo) * x.sh;
      zero_columns(j, d);
      gather(d + j->left * j->pitch, j->pitch, src + row * j->sh, j->sc, j->sw, j->ic, j->w.in);
    }
    x.base = copy + j->left * j->pitch - lo * x.sh;
  }
  run_blocks(j, g, &x, 0, j->dst + n * j->dn + g * j->oc, y0, y1);
}

/* All places of some images. */
static void run_images (const gan_conv_job *j, int64_t item, gan_real *copy) {
  int64_t g = item % j->groups, n0 = item / j->groups * j->chunk;
  int64_t count = min64(j->chunk, j->n - n0);
  const gan_real *src = j->src + n0 * j->sn + g * j->ic * j->sc;
  place x = { src, j->sh, j->sw };
  if (!j->direct) {
    x = (place){ copy, j->w.in * j->pitch, j->pitch };
    for (int64_t n = 0; n < count; n++)
      for (int64_t row = 0; row < j->h.in; row++)
        gather(copy + n * j->image + row * x.sh, j->pitch, src + n * j->sn + row * j->sh, j->sc,
               j->sw, j->ic, j->w.in);
  }
  run_blocks(j, g, &x, j->direct ? j->sn : j->image, j->dst + n0 * j->dn + g * j->oc, 0, count);
}

static void run (const gan_conv_job *j, int64_t lo, int64_t hi, int worker) {
  gan_real *copy = j->scratch + worker * j->scratch_size;
  for (int64_t item = lo; item < hi; item++)
    if (j->batched) run_images(j, item, copy);
    else run_rows(j, item, copy);
}

/* ---- packing ------------------------------------------------------------------------------- */

/* A block of output channels is transposed from where its source elements are neighbours, in runs:
   all taps of all source channels, or the taps of one. */
typedef struct {
  const gan_real *w; /* of the first output channel and the run */
  gan_real *d;       /* the packed block */
  int64_t channels, cells;
  int64_t c, j, n;   /* source channel of the run; elements j .. j+n-1 of the run, n <= LANES */
} pack_piece;

static void pack_square (const gan_conv_pack *p, const pack_piece *k, int64_t v0) {
  const gan_real *end = p->weight + p->groups * p->gs;
  gan_vec r[LANES];
#pragma GCC unroll 16
  for (int i = 0; i < LANES; i++) {
    const gan_real *w = k->w + (v0 + i) * p->vs + k->j;
    if (v0 + i >= k->channels) r[i] = (gan_vec){ 0 };
    else if (w + LANES <= end) r[i] = gan_load(w);
    else r[i] = gan_load_some(w, k->n);
  }
  gan_transpose(r);
  int64_t c = k->c + k->j / p->ktaps, tap = k->j % p->ktaps;
#pragma GCC unroll 16
  for (int i = 0; i < LANES; i++) {
    if (i >= k->n) break;
    if (p->pos[tap] >= 0) gan_store(k->d + (p->pos[tap] * p->ic + c) * k->cells + v0, r[i]);
    if (++tap == p->ktaps) {
      tap = 0;
      c++;
    }
  }
}

/* One tap, output channels side by side as they are packed. */
static void pack_line (const pack_piece *k) {
  gan_real *d = k->d + k->c * k->cells;
  memcpy(d, k->w, (size_t)k->channels * sizeof *d);
  for (int64_t v = k->channels; v < k->cells; v++) d[v] = 0;
}

static void pack_outer (const gan_conv_pack *p, int64_t lo, int64_t hi) {
  const int64_t blocks = (p->oc + BLOCK - 1) / BLOCK;
  const int64_t lanes = (p->oc + LANES - 1) / LANES * LANES;
  const int64_t pieces = (p->run + LANES - 1) / LANES;
  for (int64_t u = lo; u < hi; u++) {
    int64_t piece = u % pieces, c = u / pieces % p->runs, b = u / pieces / p->runs % blocks;
    int64_t g = u / pieces / p->runs / blocks;
    pack_piece k = { .w = p->weight + g * p->gs + b * BLOCK * p->vs + c * p->cs,
                     .d = p->packed + (g * lanes + b * BLOCK) * p->taps * p->ic,
                     .channels = min64(BLOCK, p->oc - b * BLOCK), .c = c, .j = piece * LANES };
    k.cells = k.channels > LANES ? BLOCK : LANES;
    k.n = min64(LANES, p->run - k.j);
    if (p->vs == 1 && p->taps == 1) pack_line(&k);
    else
      for (int64_t v = 0; v < k.cells; v += LANES) pack_square(p, &k, v);
  }
}

static void pack (const gan_conv_pack *p, int64_t lo, int64_t hi) {
  if (p->kind == GAN_CONV_OUTER) {
    pack_outer(p, lo, hi);
    return;
  }
  for (int64_t u = lo; u < hi; u++) { /* dot: an output channel; depth: a channel */
    const gan_real *w = p->weight;
    if (p->kind == GAN_CONV_DEPTH) w += u * p->vs;
    else w += u / p->oc * p->gs + u % p->oc * p->vs;
    for (int64_t tap = 0; tap < p->ktaps; tap++) {
      if (p->pos[tap] < 0) continue;
      if (p->kind == GAN_CONV_DEPTH) p->packed[p->pos[tap] * p->oc + u] = w[tap];
      else
        for (int64_t c = 0; c < p->ic; c++)
          p->packed[(u * p->taps + p->pos[tap]) * p->ic + c] = w[c * p->cs + tap];
    }
  }
}

const gan_conv_table GAN_TABLE(gan_conv) = { LANES, BLOCK, TILE, FEW, pack, run, gather };
