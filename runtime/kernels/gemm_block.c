/*
** gemm_block.c - matrix products at the machine's limit, for the long and narrow shapes of
** training.
**
** The result is made of tiles that stay in registers over the whole depth of a block: ROWS rows by
** two vectors of columns. Of b, WIDTH columns at a time are packed into panels, as many as stay in
** the second-level cache; rows of a are broadcast element by element and therefore read in place,
** whatever their layout, unless they are columns or far apart. So the larger matrix, which the
** caller makes a, is read once and not packed. A finished tile gets its factors, bias and
** activation before it leaves the first-level cache; it may be stored transposed, which lets the
** caller exchange the roles of the two.
**
** Each element is the sum of its products in the order of the depth, one block after the other,
** whatever the shape of the tile that it falls into: results do not depend on how a product is cut.
**
** The panels are on the stack, 256 KiB of it, which every thread of the team has: the kernel works
** in any thread at any time, and no call needs memory or can fail.
*/
#include "gemm.h"
#include "lanes.h"

#if GAN_VBYTES >= 32

#include "transpose.h"

enum {
  VL = GAN_LANES,
  WIDTH = 2 * VL,
  ROWS = GAN_VREGS == 32 ? 14 : 6,  /* 2 * ROWS sums, 2 vectors of b, 1 or 2 for a */
  DEPTH = 4096 / sizeof(gan_real),  /* the deepest block */
  PANELS = 262144 / sizeof(gan_real), /* elements of b that are packed at a time */
  PAGE = 4096 / sizeof(gan_real),
  LINE = 64 / sizeof(gan_real)
};

#define NOINLINE __attribute__((noinline))

/* One tile */
typedef struct {
  const gan_gemm_job *j;
  int64_t k;          /* depth of the block */
  const gan_real *a;  /* row x of the tile at a + x * rs, the depth in steps of cs */
  int64_t rs, cs;
  const gan_real *b;  /* the panel */
  gan_real beta;
  const gan_real *bias; /* of the job, in the first block of the depth */
  bool last;          /* last block of the depth: the activation follows */
  int64_t row, col;   /* the tile's place in the result */
  const gan_real *ahead; /* what is needed soon: one cache line for each step of the depth ... */
  int64_t stride;        /* ... so far apart */
  int n;              /* columns that exist */
  int64_t panels;     /* that are packed */
} tile_args;

/* ---- leaving the registers ----------------------------------------------------------------- */

/* t (np rows, `width` apart) += beta c, or c = t, where the columns of t are rows in memory */
GAN_INLINE void across (const int put, const tile_args *t, int np, int width, gan_real *buf) {
  const gan_gemm_job *j = t->j;
  for (int x = 0; x < np; x += VL)
    for (int q = 0; q < t->n; q += VL) {
      gan_vec r[VL];
      int rows = np - x < VL ? np - x : VL, cols = t->n - q < VL ? t->n - q : VL;
      gan_real *c = j->c + t->row + x + (t->col + q) * j->cs;
      if (put) {
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++)
          r[i] = i < rows ? gan_load(buf + (x + i) * width + q) : (gan_vec){ 0 };
        gan_transpose(r);
        if (cols == VL) {
#pragma GCC unroll 16
          for (int i = 0; i < VL; i++) gan_store_some(c + i * j->cs, r[i], rows);
        } else {
#pragma GCC unroll 16
          for (int i = 0; i < VL; i++)
            if (i < cols) gan_store_some(c + i * j->cs, r[i], rows);
        }
      } else {
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++)
          r[i] = i < cols ? gan_load_some(c + i * j->cs, rows) : (gan_vec){ 0 };
        gan_transpose(r);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++)
          if (i < rows) {
            gan_real *to = buf + (x + i) * width + q;
            gan_store(to, gan_load(to) + t->beta * r[i]);
          }
      }
    }
}

/* The same where rows are rows. */
GAN_INLINE void along (const int put, const tile_args *t, int np, int width, gan_real *buf) {
  const gan_gemm_job *j = t->j;
  for (int x = 0; x < np; x++)
    for (int q = 0; q < t->n; q += VL) {
      int cols = t->n - q < VL ? t->n - q : VL;
      gan_real *c = j->c + (t->row + x) * j->rs + t->col + q, *b = buf + x * width + q;
      if (put) gan_store_some(c, gan_load(b), cols);
      else gan_store(b, gan_load(b) + t->beta * gan_load_some(c, cols));
    }
}

static void add_bias (const tile_args *t, int np, int width, gan_real *buf) {
  for (int x = 0; x < np; x++)
    for (int q = 0; q < t->n; q += VL) {
      gan_real *b = buf + x * width + q;
      int cols = t->n - q < VL ? t->n - q : VL;
      if (t->j->bias_rows) gan_store(b, gan_load(b) + t->bias[t->row + x]);
      else gan_store(b, gan_load(b) + gan_load_some(t->bias + t->col + q, cols));
    }
}

/* The rest of the way of np rows of sums times alpha. */
NOINLINE static void finish (const tile_args *t, int np, int width, gan_real *buf) {
  const gan_gemm_job *j = t->j;
  bool swapped = j->cs != 1;
  if (t->bias) add_bias(t, np, width, buf);
  if (t->beta != 0) {
    if (swapped) across(0, t, np, width, buf);
    else along(0, t, np, width, buf);
  }
  if (j->f && t->last) j->f(np * width, buf, buf, j->param);
  if (swapped) across(1, t, np, width, buf);
  else along(1, t, np, width, buf);
}

/* ---- tiles --------------------------------------------------------------------------------- */

GAN_INLINE void tile (const tile_args *t, const int np, const int nv) {
  gan_vec s[ROWS][2];
  const gan_real *pa[(ROWS + 2) / 3], *b = t->b, *ahead = t->ahead;
  const int64_t rs = t->rs, cs = t->cs, stride = t->stride;
#pragma GCC unroll 16
  for (int x = 0; x < np; x += 3) pa[x / 3] = t->a + x * rs;
#pragma GCC unroll 16
  for (int x = 0; x < np; x++) s[x][0] = s[x][1] = (gan_vec){ 0 };
  for (int64_t k = t->k; k > 0; k--, b += nv * VL) {
    const gan_vec b0 = gan_load(b), b1 = gan_load(b + (nv - 1) * VL);
    __builtin_prefetch(ahead, 0, 2);
    ahead += stride;
#pragma GCC unroll 16
    for (int x = 0; x < np; x++) {
      const gan_real e = pa[x / 3][x % 3 * rs];
      s[x][0] += e * b0;
      if (nv > 1) s[x][1] += e * b1;
    }
#pragma GCC unroll 16
    for (int x = 0; x < np; x += 3) pa[x / 3] += cs;
  }
  const gan_gemm_job *j = t->j;
  const gan_real alpha = j->alpha, beta = t->beta;
  if (j->cs == 1 && !j->f && !t->bias && t->n == nv * VL) {
    gan_real *c = j->c + t->row * j->rs + t->col;
#pragma GCC unroll 16
    for (int x = 0; x < np; x++, c += j->rs)
#pragma GCC unroll 2
      for (int v = 0; v < nv; v++)
        if (beta == 0) gan_store(c + v * VL, alpha * s[x][v]);
        else gan_store(c + v * VL, alpha * s[x][v] + beta * gan_load(c + v * VL));
    return;
  }
  gan_real buf[ROWS * WIDTH] __attribute__((aligned(64)));
#pragma GCC unroll 16
  for (int x = 0; x < np; x++)
#pragma GCC unroll 2
    for (int v = 0; v < nv; v++) gan_store(buf + (x * nv + v) * VL, alpha * s[x][v]);
  finish(t, np, nv * VL, buf);
}

typedef void tile_fn(const tile_args *t);

#define TILES(np)                                                        \
  static void tile_##np##_1 (const tile_args *t) { tile(t, np, 1); }     \
  static void tile_##np##_2 (const tile_args *t) { tile(t, np, 2); }

TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6)
#if GAN_VREGS == 32
TILES(7) TILES(8) TILES(9) TILES(10) TILES(11) TILES(12) TILES(13) TILES(14)
#endif

static tile_fn *const tiles[ROWS][2] = {
#define BOTH(np) { tile_##np##_1, tile_##np##_2 }
  BOTH(1), BOTH(2), BOTH(3), BOTH(4), BOTH(5), BOTH(6),
#if GAN_VREGS == 32
  BOTH(7), BOTH(8), BOTH(9), BOTH(10), BOTH(11), BOTH(12), BOTH(13), BOTH(14)
#endif
};

/* ---- packing ------------------------------------------------------------------------------- */

/* Columns are neighbours: n columns of k rows into panels. */
static void pack_rows (int64_t k, int64_t n, const gan_real *b, int64_t rs, gan_real *to) {
  const int group = 4; /* panels written side by side: long runs are read in order */
  for (int64_t q0 = 0; q0 < n; q0 += group * WIDTH) {
    int64_t q1 = n - q0 < group * WIDTH ? n : q0 + group * WIDTH;
    for (int64_t p = 0; p < k; p++)
      for (int64_t q = q0; q < q1; q += WIDTH) {
        const gan_real *from = b + p * rs + q;
        gan_real *d = to + q * k;
        if (n - q >= WIDTH) {
          gan_store(d + p * WIDTH, gan_load(from));
          gan_store(d + p * WIDTH + VL, gan_load(from + VL));
        } else if (n - q > VL) {
          gan_store(d + p * WIDTH, gan_load(from));
          gan_store(d + p * WIDTH + VL, gan_load_some(from + VL, n - q - VL));
        } else {
          gan_store(d + p * VL, gan_load_some(from, n - q));
        }
      }
  }
}

/* Rows are neighbours: the same by transposing squares. */
static void pack_columns (int64_t k, int64_t n, const gan_real *b, int64_t cs, gan_real *to) {
  for (int64_t q = 0; q < n; q += VL) {
    int64_t cols = n - q < VL ? n - q : VL, panel = q - q % WIDTH;
    int64_t pitch = n - panel > VL ? WIDTH : VL;
    gan_real *d = to + panel * k + (q - panel);
    for (int64_t p = 0; p < k; p += VL, d += VL * pitch) {
      int64_t rows = k - p < VL ? k - p : VL;
      const gan_real *from = b + q * cs + p;
      gan_vec r[VL];
      if (rows == VL && cols == VL) {
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) r[i] = gan_load(from + i * cs);
        gan_transpose(r);
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) gan_store(d + i * pitch, r[i]);
        continue;
      }
#pragma GCC unroll 16
      for (int i = 0; i < VL; i++)
        r[i] = i < cols ? gan_load_some(from + i * cs, rows) : (gan_vec){ 0 };
      gan_transpose(r);
#pragma GCC unroll 16
      for (int i = 0; i < VL; i++)
        if (i < rows) gan_store(d + i * pitch, r[i]);
    }
  }
}

/* np rows of a, k deep, to where the tile reads them best; sets t's way of reading. */
static void take_strip (tile_args *t, int np, gan_matrix a, bool copy, gan_real *strip) {
  t->a = a.p;
  t->rs = a.rs;
  t->cs = a.cs;
  if (!copy) return;
  t->a = strip;
  if (a.cs == 1) {
    t->rs = (t->k + VL - 1) / VL * VL + VL;
    for (int x = 0; x < np; x++, a.p += a.rs, strip += t->rs) {
      int64_t p = 0;
      for (; p + VL <= t->k; p += VL) gan_store(strip + p, gan_load(a.p + p));
      if (p < t->k) gan_store(strip + p, gan_load_some(a.p + p, t->k - p));
    }
  } else {
    t->rs = 1;
    t->cs = ROWS;
    for (int64_t p = 0; p < t->k; p++, a.p += a.cs, strip += ROWS)
      for (int x = 0; x < np; x += VL)
        gan_store(strip + x, gan_load_some(a.p + x, np - x < VL ? np - x : VL));
  }
}

/* ---- blocks -------------------------------------------------------------------------------- */

static int64_t parts (int64_t n, int64_t most) {
  return (n + most - 1) / most;
}

/* What the q-th panel of strip i asks for ahead of time: the next strip of a, then, line by line,
   the columns of b that are packed next. */
static void look_ahead (tile_args *t, gan_matrix a, int np, gan_matrix next, int64_t cols,
                        int64_t i, int64_t q) {
  t->ahead = t->b;
  t->stride = 0;
  if (q == 0) {
    if (t->row + np < t->j->m) t->ahead = a.p;
    t->stride = a.cs == 1 ? LINE : a.cs;
  } else if (next.cs == 1) {
    int64_t line = (i * (t->panels - 1) + q - 1) * LINE;
    if (line >= cols) return;
    t->ahead = next.p + line;
    t->stride = next.rs;
  }
}

/* All rows by n columns, from column `col` on, whose panels are packed. */
static void columns (tile_args *t, gan_matrix a, int64_t col, int64_t n, gan_matrix next,
                     int64_t cols, const gan_real *packed, gan_real *strip) {
  const gan_gemm_job *j = t->j;
  bool copy = a.cs == 1 ? a.rs % PAGE == 0 : n > WIDTH || a.cs % (PAGE / 2) == 0;
  int64_t count = parts(j->m, ROWS);
  t->row = 0;
  t->panels = parts(n, WIDTH);
  for (int64_t i = 0; i < count; i++) {
    int np = (int)((j->m - t->row) / (count - i));
    take_strip(t, np, a, copy, strip);
    a.p += np * a.rs;
    for (int64_t q = 0; q < t->panels; q++) {
      int64_t left = n - q * WIDTH;
      t->n = (int)(left < WIDTH ? left : WIDTH);
      t->col = col + q * WIDTH;
      t->b = packed + q * WIDTH * t->k;
      look_ahead(t, a, np, next, cols, i, q);
      tiles[np - 1][t->n > VL](t);
    }
    t->row += np;
  }
}

/* Steps of 4 KiB and its half fall into few sets of the second-level cache, which then forgets what
   was asked for ahead, and into a page each: shallow and broad blocks make the best of it. */
static int64_t depth_of (const gan_gemm_job *j) {
  bool far = (j->b.cs == 1 && j->b.rs % (PAGE / 2) == 0) ||
             (j->a.rs == 1 && j->a.cs % (PAGE / 2) == 0);
  return far ? DEPTH / 4 : DEPTH;
}

static void block (const gan_gemm_job *j) {
  gan_real packed[PANELS] __attribute__((aligned(64)));
  gan_real strip[ROWS * (DEPTH + 2 * VL)] __attribute__((aligned(64)));
  int64_t depths = parts(j->k, depth_of(j));
  tile_args t = { .j = j, .beta = j->beta, .bias = j->bias };
  for (int64_t p = 0, i = 0; i < depths; i++, p += t.k) {
    t.k = (j->k - p) / (depths - i);
    t.last = i == depths - 1;
    int64_t most = PANELS / t.k / WIDTH;
    int64_t panels = parts(j->n, WIDTH), width = parts(panels, parts(panels, most)) * WIDTH;
    gan_matrix a = { j->a.p + p * j->a.cs, j->a.rs, j->a.cs };
    for (int64_t q = 0; q < j->n; q += width) {
      int64_t n = j->n - q < width ? j->n - q : width, rest = j->n - q - n;
      gan_matrix b = { j->b.p + p * j->b.rs + q * j->b.cs, j->b.rs, j->b.cs };
      if (b.cs == 1) pack_rows(t.k, n, b.p, b.rs, packed);
      else pack_columns(t.k, n, b.p, b.cs, packed);
      b.p += n * b.cs;
      columns(&t, a, q, n, b, rest < width ? rest : width, packed, strip);
    }
    t.beta = 1;
    t.bias = NULL;
  }
}

const gan_gemm_block_table GAN_TABLE(gan_gemm_block) = { block, ROWS, WIDTH };

#else

const gan_gemm_block_table GAN_TABLE(gan_gemm_block) = { NULL, 0, 0 };

#endif
