/*
** gemm.c - small matrix products without packing overhead, and the loops around products.
**
** The product works on tiles of ROWS x COLS vectors, kept in registers over the whole depth of a
** panel: each element of a is broadcast, so a may have any strides; rows of b must be contiguous
** and are copied into panels where they are not. Results narrower than a vector are computed as
** their transpose.
*/
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "gemm.h"
#include "lanes.h"

#if GAN_VREGS == 32
#define ROWS 8
#elif GAN_VBYTES == 32
#define ROWS 6
#else
#define ROWS 4
#endif

#define VL GAN_LANES
#define COLS 2
#define WIDTH (COLS * VL)
#define DEPTH 128 /* rows of a panel: a panel stays in the first-level cache */
#define PANELS 4  /* panels of this depth that are packed at a time */
#define DIRECT 4  /* up to so many tiles of rows, packing does not pay */
#define WIDE 8    /* vectors of one row when there are too few rows to fill a tile */

#define NOINLINE __attribute__((noinline))

/* ---- shuffles ----------------------------------------------------------------------------- */

/* F(0, s), F(1, s) ... F(VL - 1, s): the constants of a shuffle */
#define LANES2(F, s, i) F((i), s), F((i) + 1, s)
#define LANES4(F, s, i) LANES2(F, s, (i)), LANES2(F, s, (i) + 2)
#define LANES8(F, s, i) LANES4(F, s, (i)), LANES4(F, s, (i) + 4)
#define LANES16(F, s, i) LANES8(F, s, (i)), LANES8(F, s, (i) + 8)
#if GAN_LANES == 16
#define LANES(F, s) LANES16(F, s, 0)
#elif GAN_LANES == 8
#define LANES(F, s) LANES8(F, s, 0)
#elif GAN_LANES == 4
#define LANES(F, s) LANES4(F, s, 0)
#else
#define LANES(F, s) LANES2(F, s, 0)
#endif

#define LOW(i, s) ((i) & (s) ? VL + (i) - (s) : (i))
#define HIGH(i, s) ((i) & (s) ? VL + (i) : (i) + (s))
#define OTHER(i, s) ((i) ^ (s))

/* Swaps the blocks off the diagonal of every 2s x 2s lanes: one step of a transposition. */
#define SWAP_BLOCKS(s)                                                         \
  for (int i = 0; i < VL && s < VL; i++)                                       \
    if (!(i & s)) {                                                            \
      gan_vec t = __builtin_shuffle(r[i], r[i + s], (gan_ivec){ LANES(LOW, s) });  \
      r[i + s] = __builtin_shuffle(r[i], r[i + s], (gan_ivec){ LANES(HIGH, s) }); \
      r[i] = t;                                                                \
    }

/* VL rows of VL, ld apart, to the same transposed, rows ldto apart */
static void transpose (const gan_real *from, int64_t ld, gan_real *to, int64_t ldto) {
  gan_vec r[2 * VL]; /* the second half is never touched */
  for (int i = 0; i < VL; i++) r[i] = gan_load(from + i * ld);
  SWAP_BLOCKS(1)
  SWAP_BLOCKS(2)
  SWAP_BLOCKS(4)
  SWAP_BLOCKS(8)
  for (int i = 0; i < VL; i++) gan_store(to + i * ldto, r[i]);
}

#define FOLD(s) \
  if (s < VL) v += __builtin_shuffle(v, (gan_ivec){ LANES(OTHER, s) });
#define PAIR(a, b, s)                                      \
  (__builtin_shuffle(a, b, (gan_ivec){ LANES(LOW, s) }) + \
   __builtin_shuffle(a, b, (gan_ivec){ LANES(HIGH, s) }))

/* The sums of the lanes of nq = 1 or 4 vectors. */
GAN_INLINE void sum_lanes (const int nq, const gan_vec *a, gan_real *s) {
  gan_vec v = a[0];
#if GAN_LANES >= 4
  if (nq == 4) {
    v = PAIR(PAIR(a[0], a[1], 1), PAIR(a[2], a[3], 1), 2);
    FOLD(8)
    FOLD(4)
    for (int q = 0; q < 4; q++) s[q] = v[q];
    return;
  }
#endif
  for (int q = 0; q < nq; q++) {
    v = a[q];
    FOLD(8)
    FOLD(4)
    FOLD(2)
    FOLD(1)
    s[q] = v[0];
  }
}

/* ---- tiles -------------------------------------------------------------------------------- */

typedef struct {
  gan_real alpha, beta;
  const gan_real *bias; /* one for each column, in the place of beta c; NULL: none */
  gan_real *c;
  int64_t rs, cs; /* strides of c */
} result;

GAN_INLINE gan_real finished (const result *r, gan_real sum, gan_real c) {
  return r->beta != 0 ? r->alpha * sum + r->beta * c : r->alpha * sum;
}

/* alpha t + beta c (or + bias) into nr rows of n results; t: rows of `width` */
NOINLINE static void put (const result *r, int64_t i, int64_t j, int nr, int n, const gan_real *t,
                          int width) {
  for (int x = 0; x < nr; x++, t += width) {
    gan_real *c = r->c + (i + x) * r->rs + j * r->cs;
    for (int q = 0; q < n; q++, c += r->cs)
      *c = r->bias ? r->alpha * t[q] + r->bias[j + q] : finished(r, t[q], *c);
  }
}

/* What a tile needs to know. Three rows of a are reached from one pointer, which keeps the inner
   loop within the processor's address registers. */
typedef struct {
  int64_t k;
  gan_matrix a;
  const gan_real *b; /* rows of the panel, ldb apart */
  int64_t ldb;
  result r;
} tile_args;

/* nr rows by nv vectors, from row i and column j on, of which n columns exist */
GAN_INLINE void tile (const int nr, const int nv, const tile_args *t, int64_t i, int64_t j, int n) {
  gan_vec acc[ROWS][WIDE], row[WIDE];
  int64_t rs = t->a.rs, cs = t->a.cs, ldb = t->ldb;
  const gan_real *b = t->b, *pa[3];
  for (int x = 0; x < 3; x++) pa[x] = t->a.p + (i + 3 * x) * rs;
  for (int x = 0; x < nr; x++)
    for (int v = 0; v < nv; v++) acc[x][v] = (gan_vec){ 0 };
  for (int64_t p = t->k; p > 0; p--) {
    for (int v = 0; v < nv; v++) row[v] = gan_load(b + v * VL);
    for (int x = 0; x < nr; x++)
      for (int v = 0; v < nv; v++) acc[x][v] += pa[x / 3][x % 3 * rs] * row[v];
    for (int x = 0; x < 3; x++) pa[x] += cs;
    b += ldb;
  }
  const result *r = &t->r;
  if (r->cs != 1 || n != nv * VL) {
    gan_real out[ROWS * WIDE * VL];
    for (int x = 0; x < nr; x++)
      for (int v = 0; v < nv; v++) gan_store(out + (x * nv + v) * VL, acc[x][v]);
    put(r, i, j, nr, n, out, nv * VL);
    return;
  }
  gan_real *c = r->c + i * r->rs + j;
  for (int x = 0; x < nr; x++, c += r->rs)
    for (int v = 0; v < nv; v++)
    {
      gan_vec y = r->alpha * acc[x][v];
      if (r->bias) y += gan_load(r->bias + j + v * VL);
      else if (r->beta != 0) y += r->beta * gan_load(c + v * VL);
      gan_store(c + v * VL, y);
    }
}

typedef void tile_fn(const tile_args *t, int64_t i, int64_t j, int n);

#define TILE(nr, nv)                                                                             \
  NOINLINE static void tile_##nr##_##nv (const tile_args *t, int64_t i, int64_t j, int n) {        \
    tile(nr, nv, t, i, j, n);                                                                    \
  }
TILE(ROWS, 1)
TILE(ROWS, 2)
TILE(4, 1)
TILE(4, 2)
TILE(2, 1)
TILE(2, 2)
TILE(1, 1)
TILE(1, 2)
TILE(1, 8)

/* nr <= ROWS rows of one panel of n <= WIDTH columns. */
static void rows (int nr, const tile_args *t, int64_t i, int64_t j, int n) {
  bool two = n > VL;
  if (nr == ROWS) {
    (two ? tile_ROWS_2 : tile_ROWS_1)(t, i, j, n);
    return;
  }
  if (nr >= 4) {
    (two ? tile_4_2 : tile_4_1)(t, i, j, n);
    nr -= 4;
    i += 4;
  }
  if (nr >= 2) {
    (two ? tile_2_2 : tile_2_1)(t, i, j, n);
    nr -= 2;
    i += 2;
  }
  if (nr) (two ? tile_1_2 : tile_1_1)(t, i, j, n);
}

/* Few rows: wider tiles keep enough sums in flight. Returns the first column not done. */
static int64_t wide_panels (int64_t m, int64_t n, gan_matrix b, tile_args *t) {
  int64_t j = 0;
  for (; j + WIDE * VL <= n; j += WIDE * VL) {
    t->b = b.p + j;
    for (int64_t i = 0; i < m; i++) tile_1_8(t, i, j, WIDE * VL);
  }
  return j;
}

/* Copies n <= VL columns of k rows of b, zeros up to VL, into rows WIDTH apart. */
static void pack_vector (int64_t k, int n, gan_matrix b, gan_real *to) {
  int64_t p = 0;
  if (n == VL && b.cs == 1)
    for (; p < k; p++) gan_store(to + p * WIDTH, gan_load(b.p + p * b.rs));
  else if (n == VL && b.rs == 1)
    for (; p + VL <= k; p += VL) transpose(b.p + p, b.cs, to + p * WIDTH, WIDTH);
  for (; p < k; p++) {
    for (int q = 0; q < n; q++) to[p * WIDTH + q] = b.p[p * b.rs + q * b.cs];
    for (int q = n; q < VL; q++) to[p * WIDTH + q] = 0;
  }
}

/* Makes a panel of n <= WIDTH columns. */
static void pack (int64_t k, int n, gan_matrix b, gan_real *to) {
  for (int q = 0; q < n; q += VL, b.p += VL * b.cs, to += VL)
    pack_vector(k, n - q < VL ? n - q : VL, b, to);
}

/* ROWS rows of a, k <= DEPTH columns, side by side. */
static void pack_rows (int64_t k, gan_matrix a, gan_real *to) {
  for (int64_t p = 0; p < k; p++, a.p += a.cs, to += ROWS)
    if (a.rs == 1) memcpy(to, a.p, ROWS * sizeof *to);
    else
      for (int x = 0; x < ROWS; x++) to[x] = a.p[x * a.rs];
}

/* Columns from .. to-1, k <= DEPTH; `buffer` has room for all of them. */
static void block (int64_t m, gan_matrix b, const tile_args *args, int64_t from, int64_t to,
                   gan_real *buffer) {
  gan_real strip[DEPTH * ROWS] __attribute__((aligned(64)));
  tile_args t = *args;
  int64_t direct = from; /* columns before this one are read where they are */
  if (b.cs == 1 && m <= DIRECT * ROWS) direct += (to - from) / VL * VL;
  for (int64_t j = from; j < to; j += WIDTH) {
    int n = to - j < WIDTH ? (int)(to - j) : WIDTH;
    gan_matrix part = { b.p + j * b.cs, b.rs, b.cs };
    if (j + n > direct) pack(t.k, n, part, buffer + (j - from) * t.k);
  }
  for (int64_t i = 0; i < m; i += ROWS) {
    int nr = m - i < ROWS ? (int)(m - i) : ROWS;
    gan_matrix a = { args->a.p + i * args->a.rs, args->a.rs, args->a.cs };
    if (nr == ROWS && a.cs != 1 && to - from > WIDTH) {
      pack_rows(t.k, a, strip);
      a = (gan_matrix){ strip, 1, ROWS };
    }
    t.a = a;
    t.r.c = args->r.c + i * t.r.rs;
    for (int64_t j = from; j < to; j += WIDTH) {
      int n = to - j < WIDTH ? (int)(to - j) : WIDTH;
      bool packed = j + n > direct;
      t.b = packed ? buffer + (j - from) * t.k : b.p + j;
      t.ldb = packed ? WIDTH : b.rs;
      rows(nr, &t, 0, j, n);
    }
  }
}

static void product (int64_t m, int64_t n, int64_t k, gan_matrix a, gan_matrix b, result r) {
  gan_real buffer[DEPTH * WIDTH * PANELS] __attribute__((aligned(64)));
  tile_args t = { k, a, NULL, b.rs, r };
  int64_t first = m < 4 && b.cs == 1 ? wide_panels(m, n, b, &t) : 0;
  for (int64_t p = 0; p < k && first < n; p += DEPTH) {
    t.k = k - p < DEPTH ? k - p : DEPTH;
    t.a.p = a.p + p * a.cs;
    gan_matrix part = { b.p + p * b.rs, b.rs, b.cs };
    int64_t width = PANELS * DEPTH / t.k * WIDTH;
    for (int64_t j = first; j < n; j += width)
      block(m, part, &t, j, n - j < width ? n : j + width, buffer);
    t.r.beta = 1;
    t.r.bias = NULL;
  }
}

/* ---- inner products ----------------------------------------------------------------------- */

/* a mask of the last n lanes begins at n */
#define ZEROS(i, s) 0
#define ONES(i, s) -1
static const gan_lane_int last_lanes[2 * VL] = { LANES(ZEROS, 0), LANES(ONES, 0) };

/* s[q] = sum over p of x[p] * y[q * ldy + p], for nq of 1 or 4 */
GAN_INLINE void dots (const int nq, int64_t k, const gan_real *x, const gan_real *y, int64_t ldy,
                      gan_real *s) {
  gan_vec a[4], b[4];
  for (int q = 0; q < nq; q++) a[q] = b[q] = (gan_vec){ 0 };
  int64_t p = 0;
  for (; p + 2 * VL <= k; p += 2 * VL)
    for (int q = 0; q < nq; q++) {
      a[q] += gan_load(x + p) * gan_load(y + q * ldy + p);
      b[q] += gan_load(x + p + VL) * gan_load(y + q * ldy + p + VL);
    }
  if (p + VL <= k) {
    for (int q = 0; q < nq; q++) a[q] += gan_load(x + p) * gan_load(y + q * ldy + p);
    p += VL;
  }
  if (p < k && k >= VL) { /* the last vector once more, without what has been added */
    gan_ivec rest;
    memcpy(&rest, last_lanes + (k - p), sizeof rest);
    gan_vec u = (gan_vec)((gan_ivec)gan_load(x + k - VL) & rest);
    for (int q = 0; q < nq; q++)
      b[q] += u * (gan_vec)((gan_ivec)gan_load(y + q * ldy + k - VL) & rest);
    p = k;
  }
  for (int q = 0; q < nq; q++) a[q] += b[q];
  sum_lanes(nq, a, s);
  for (; p < k; p++)
    for (int q = 0; q < nq; q++) s[q] += x[p] * y[q * ldy + p];
}

/* Few rows of a times columns of b, both contiguous along k. */
static void inner (int64_t m, int64_t n, int64_t k, gan_matrix a, gan_matrix b, const result *r) {
  gan_real s[4];
  for (int64_t j = 0; j < n; j += 4)
    for (int64_t i = 0; i < m; i++) {
      int nq = n - j < 4 ? (int)(n - j) : 4;
      if (nq == 4) dots(4, k, a.p + i * a.rs, b.p + j * b.cs, b.cs, s);
      for (int q = 0; q < nq && nq < 4; q++)
        dots(1, k, a.p + i * a.rs, b.p + (j + q) * b.cs, b.cs, s + q);
      gan_real *c = r->c + i * r->rs + j * r->cs;
      for (int q = 0; q < nq; q++, c += r->cs)
        *c = r->bias ? r->alpha * s[q] + r->bias[j + q] : finished(r, s[q], *c);
    }
}

#define ROWS_INNER 4
#define K_INNER 1024 /* longest row that is copied to be contiguous */

/* As inner, for any strides of a. */
static void inner_copied (int64_t m, int64_t n, int64_t k, gan_matrix a, gan_matrix b,
                          const result *r) {
  gan_real copy[ROWS_INNER * K_INNER];
  for (int64_t i = 0; i < m; i++)
    for (int64_t p = 0; p < k; p++) copy[i * k + p] = a.p[i * a.rs + p * a.cs];
  inner(m, n, k, (gan_matrix){ copy, k, 1 }, b, r);
}

static void small (int64_t m, int64_t n, int64_t k, gan_real alpha, gan_matrix a, gan_matrix b,
                   gan_real beta, const gan_real *bias, gan_real *c, int64_t ldc) {
  result r = { alpha, beta, bias, c, ldc, 1 };
  if (n < VL && n < m) { /* c' = b' a' */
    for (int64_t i = 0; i < m && bias; i++) memcpy(c + i * ldc, bias, (size_t)n * sizeof *c);
    if (bias) r.beta = 1;
    r.bias = NULL;
    gan_matrix t = { a.p, a.cs, a.rs };
    a = (gan_matrix){ b.p, b.cs, b.rs };
    b = t;
    int64_t swap = m;
    m = n;
    n = swap;
    r.rs = 1;
    r.cs = ldc;
  }
  bool few = m <= ROWS_INNER && k >= 2 * VL && b.rs == 1;
  if (few && a.cs == 1) inner(m, n, k, a, b, &r);
  else if (few && k <= K_INNER) inner_copied(m, n, k, a, b, &r);
  else product(m, n, k, a, b, r);
}

#define BLOCK 4096 /* products summed in the compute type before they enter a double */

static double dot (int64_t n, const gan_real *x, const gan_real *y) {
  double sum = 0;
  for (int64_t i = 0; i < n; i += BLOCK) {
    gan_real s;
    dots(1, n - i < BLOCK ? n - i : BLOCK, x + i, y + i, 0, &s);
    sum += s;
  }
  return sum;
}

const gan_gemm_table GAN_TABLE(gan_gemm) = { small, dot };
