/*
** norm.c - see norm.h.
**
** Sums are written with vectors because the compiler may not reorder additions by itself.
** Element-wise passes are plain loops.
*/
#include <stdbool.h>
#include <string.h>

#include "lanes.h"
#include "norm.h"

enum {
  LANES = GAN_LANES,
  PANEL = 4,  /* vectors of columns that are summed side by side */
  ROWS = 64,  /* rows of a block of columns: at most 64 x 4 x 64 bytes, which stay in the cache */
  RUN = 1024  /* elements of a block of a run */
};

typedef gan_vec vec;
typedef gan_ivec mask;

#define INLINE GAN_INLINE
#define load gan_load

INLINE vec splat (gan_real x) { return x - (vec){ 0 }; }

INLINE double total (vec v) { return (double)gan_lanes_sum(v); }

/* v with zeros in all but the last `rem` lanes: what a load that ends with a run's end adds to the
   whole vectors before it */
INLINE vec last_lanes (vec v, int64_t rem) {
  mask m;
  for (int i = 0; i < LANES; i++) m[i] = i >= LANES - (int)rem ? -1 : 0;
  return (vec)((mask)v & m);
}

/* g, times slope where pre <= 0 (0 there when slope is 0, whatever g is) */
INLINE vec gate (vec g, vec pre, gan_real slope) {
  mask low = (mask)(pre <= 0);
  vec s = { 0 };
  if (slope != 0) s = g * slope;
  return (vec)(((mask)g & ~low) | ((mask)s & low));
}

INLINE gan_real gate1 (gan_real g, gan_real pre, gan_real slope) {
  return pre <= 0 ? (slope == 0 ? 0 : g * slope) : g;
}

/* ---- moments ------------------------------------------------------------------------------- */

/* Adds a block of k elements to n others: means and sums of squared deviations. */
INLINE void merge (double n, double k, double block_mean, double block_m2, double *mean,
                   double *m2) {
  double delta = block_mean - *mean, part = k / (n + k);
  *mean += delta * part;
  *m2 += block_m2 + delta * delta * n * part;
}

/* Fewer elements than a vector has lanes. */
INLINE void few_elements (int64_t n, const gan_real *x, double *mean, double *m2) {
  double sum = 0, dev = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)x[i];
  *mean = sum / (double)n;
  for (int64_t i = 0; i < n; i++) dev += ((double)x[i] - *mean) * ((double)x[i] - *mean);
  *m2 = dev;
}

/* Second reading of a block: the deviations' own sum takes out the rounding of the mean. */
INLINE void block_moments (int64_t n, const gan_real *x, double *mean, double *m2) {
  if (n < LANES) {
    few_elements(n, x, mean, m2);
    return;
  }
  int64_t whole = n / LANES * LANES, i = 0;
  vec s0 = last_lanes(load(x + n - LANES), n - whole), s1 = { 0 };
  for (; i + 2 * LANES <= whole; i += 2 * LANES) {
    s0 += load(x + i);
    s1 += load(x + i + LANES);
  }
  if (i < whole) s1 += load(x + i);
  gan_real m = (gan_real)(total(s0 + s1) / (double)n);
  vec mv = splat(m), e = last_lanes(load(x + n - LANES) - mv, n - whole);
  vec q0 = e * e, q1 = { 0 };
  for (i = 0; i + 2 * LANES <= whole; i += 2 * LANES) {
    vec d0 = load(x + i) - mv, d1 = load(x + i + LANES) - mv;
    e += d0 + d1;
    q0 += d0 * d0;
    q1 += d1 * d1;
  }
  if (i < whole) {
    vec d = load(x + i) - mv;
    e += d;
    q1 += d * d;
  }
  double es = total(e), qs = total(q0 + q1) - es * es / (double)n;
  *mean = (double)m + es / (double)n;
  *m2 = qs > 0 || qs != qs ? qs : 0;
}

static void run_moments (int64_t n, const gan_real *x, double *mean, double *m2) {
  *mean = *m2 = 0;
  for (int64_t at = 0; at < n; at += RUN) {
    double bm, b2;
    int64_t k = n - at < RUN ? n - at : RUN;
    block_moments(k, x + at, &bm, &b2);
    if (at == 0) *mean = bm, *m2 = b2;
    else merge((double)at, (double)k, bm, b2, mean, m2);
  }
}

/* Sums of PANEL / nv rows side by side, nv vectors each, added up into the first. */
INLINE void fold_ways (int nv, vec *s) {
  for (int w = PANEL / 2; w >= nv; w /= 2)
    for (int i = 0; i < w; i++) s[i] += s[i + w];
}

/* `nv` vectors of columns, up to ROWS rows, added to n rows before. Narrow panels take several rows
   at a time, so that additions need not wait for each other. */
INLINE void block_columns (int nv, int64_t n, int64_t rows, int64_t ld, const gan_real *x,
                           double *mean, double *m2) {
  const int ways = PANEL / nv;
  vec s[PANEL], e[PANEL], q[PANEL];
  int64_t r = 0;
  for (int i = 0; i < PANEL; i++) s[i] = e[i] = q[i] = (vec){ 0 };
  for (; r + ways <= rows; r += ways)
    for (int i = 0; i < ways * nv; i++) s[i] += load(x + (r + i / nv) * ld + i % nv * LANES);
  for (; r < rows; r++)
    for (int v = 0; v < nv; v++) s[v] += load(x + r * ld + v * LANES);
  fold_ways(nv, s);
  gan_real k = (gan_real)1 / (gan_real)rows;
  for (int v = 0; v < nv; v++) s[v] *= k;
  for (r = 0; r + ways <= rows; r += ways)
    for (int i = 0; i < ways * nv; i++) {
      vec d = load(x + (r + i / nv) * ld + i % nv * LANES) - s[i % nv];
      e[i] += d;
      q[i] += d * d;
    }
  for (; r < rows; r++)
    for (int v = 0; v < nv; v++) {
      vec d = load(x + r * ld + v * LANES) - s[v];
      e[v] += d;
      q[v] += d * d;
    }
  fold_ways(nv, e);
  fold_ways(nv, q);
  double count = (double)rows;
  for (int v = 0; v < nv; v++)
    for (int i = 0; i < LANES; i++) {
      double es = (double)e[v][i], qs = (double)q[v][i] - es * es / count;
      double bm = (double)s[v][i] + es / count;
      qs = qs > 0 || qs != qs ? qs : 0;
      if (n == 0) mean[v * LANES + i] = bm, m2[v * LANES + i] = qs;
      else merge((double)n, count, bm, qs, &mean[v * LANES + i], &m2[v * LANES + i]);
    }
}

INLINE void panel_moments (int nv, int64_t rows, int64_t ld, const gan_real *x, double *mean,
                           double *m2) {
  for (int64_t r = 0; r < rows; r += ROWS)
    block_columns(nv, r, rows - r < ROWS ? rows - r : ROWS, ld, x + r * ld, mean, m2);
}

/* Fewer columns than a vector has lanes: one at a time, gathered. */
static void few_moments (int64_t rows, int64_t cols, int64_t ld, const gan_real *x, double *mean,
                         double *m2) {
  gan_real run[RUN];
  for (int64_t j = 0; j < cols; j++)
    for (int64_t r = 0; r < rows; r += RUN) {
      int64_t k = rows - r < RUN ? rows - r : RUN;
      double bm, b2;
      for (int64_t i = 0; i < k; i++) run[i] = x[(r + i) * ld + j];
      block_moments(k, run, &bm, &b2);
      if (r == 0) mean[j] = bm, m2[j] = b2;
      else merge((double)r, (double)k, bm, b2, &mean[j], &m2[j]);
    }
}

/* Calls wide for whole panels, two for pairs of vectors, one for single ones, few for less than a
   vector. The last vector overlaps the one before it when the columns do not fill it: the same sums
   are made twice. */
#define PANELS(wide, two, one, few)                                     \
  int64_t j = 0;                                                        \
  for (; j + PANEL * LANES <= cols; j += PANEL * LANES) { wide; }       \
  for (; j + 2 * LANES <= cols; j += 2 * LANES) { two; }                \
  for (; j < cols; j += LANES) {                                        \
    if (cols < LANES) { few; break; }                                   \
    if (j + LANES > cols) j = cols - LANES;                             \
    one;                                                                \
  }

static void col_moments (int64_t rows, int64_t cols, int64_t ld, const gan_real *x, double *mean,
                         double *m2) {
  PANELS(panel_moments(PANEL, rows, ld, x + j, mean + j, m2 + j),
         panel_moments(2, rows, ld, x + j, mean + j, m2 + j),
         panel_moments(1, rows, ld, x + j, mean + j, m2 + j),
         few_moments(rows, cols, ld, x, mean, m2))
}

/* ---- y = act(scale x + shift) -------------------------------------------------------------- */

static void run_affine (int64_t n, const gan_real *restrict x, gan_real scale, gan_real shift,
                        gan_real slope, gan_real *restrict y) {
  if (slope == 1) {
    for (int64_t i = 0; i < n; i++) y[i] = scale * x[i] + shift;
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    gan_real t = scale * x[i] + shift;
    y[i] = gate1(t, t, slope);
  }
}

/* All columns of narrow rows: nv vectors, whose parameters stay in registers. */
INLINE void panel_affine (int nv, bool act, int64_t rows, int64_t ld, const gan_real *x,
                          const gan_real *scale, const gan_real *shift, gan_real slope,
                          gan_real *y) {
  vec k[PANEL], h[PANEL];
  for (int v = 0; v < nv; v++) k[v] = load(scale + v * LANES), h[v] = load(shift + v * LANES);
  for (int64_t r = 0; r < rows; r++)
    for (int v = 0; v < nv; v++) {
      vec t = load(x + r * ld + v * LANES) * k[v] + h[v];
      gan_store(y + r * ld + v * LANES, act ? gate(t, t, slope) : t);
    }
}

/* Runs the panel function that fits rows of 1, 2 or 4 vectors, and returns. */
#define NARROW(fn, act, ...)                                            \
  if (cols == LANES) { fn(1, act, __VA_ARGS__); return; }               \
  if (cols == 2 * LANES) { fn(2, act, __VA_ARGS__); return; }           \
  if (cols == 4 * LANES) { fn(4, act, __VA_ARGS__); return; }

static void col_affine (int64_t rows, int64_t cols, int64_t ld, const gan_real *x,
                        const gan_real *restrict scale, const gan_real *restrict shift,
                        gan_real slope, gan_real *y) {
  if (slope == 1) { NARROW(panel_affine, false, rows, ld, x, scale, shift, 1, y) }
  else { NARROW(panel_affine, true, rows, ld, x, scale, shift, slope, y) }
  for (int64_t r = 0; r < rows; r++) {
    const gan_real *restrict xr = x + r * ld;
    gan_real *restrict yr = y + r * ld;
    if (slope == 1) {
      for (int64_t j = 0; j < cols; j++) yr[j] = scale[j] * xr[j] + shift[j];
      continue;
    }
    for (int64_t j = 0; j < cols; j++) {
      gan_real t = scale[j] * xr[j] + shift[j];
      yr[j] = gate1(t, t, slope);
    }
  }
}

/* ---- sums of g and g (x - mean) ------------------------------------------------------------ */

INLINE void sums (bool act, int64_t n, const gan_real *gy, const gan_real *x, gan_real mean,
                  gan_real scale, gan_real shift, gan_real slope, double *s1, double *s2) {
  double t1 = 0, t2 = 0;
  int64_t i = 0;
  while (i + LANES <= n) {
    int64_t end = n - i < RUN ? n : i + RUN;
    vec a = { 0 }, b = { 0 };
    for (; i + LANES <= end; i += LANES) {
      vec g = load(gy + i), v = load(x + i);
      if (act) g = gate(g, v * scale + shift, slope);
      a += g;
      b += g * (v - mean);
    }
    if (i < n && n - i < LANES) { /* the end of the run */
      vec g = load(gy + n - LANES), v = load(x + n - LANES);
      if (act) g = gate(g, v * scale + shift, slope);
      a += last_lanes(g, n - i);
      b += last_lanes(g * (v - mean), n - i);
      i = n;
    }
    t1 += total(a);
    t2 += total(b);
  }
  for (; i < n; i++) {
    gan_real g = act ? gate1(gy[i], scale * x[i] + shift, slope) : gy[i];
    t1 += (double)g;
    t2 += (double)g * (double)(x[i] - mean);
  }
  *s1 = t1;
  *s2 = t2;
}

static void run_sums (int64_t n, const gan_real *gy, const gan_real *x, gan_real mean,
                      gan_real scale, gan_real shift, gan_real slope, double *s1, double *s2) {
  if (slope == 1) sums(false, n, gy, x, mean, 0, 0, 1, s1, s2);
  else sums(true, n, gy, x, mean, scale, shift, slope, s1, s2);
}

INLINE void panel_sums (int nv, bool act, int64_t rows, int64_t ld, const gan_real *gy,
                        const gan_real *x, const gan_real *mean, const gan_real *scale,
                        const gan_real *shift, gan_real slope, double *s1, double *s2) {
  const int ways = PANEL / nv; /* as in block_columns */
  vec m[PANEL], k[PANEL], h[PANEL];
  for (int v = 0; v < nv; v++) {
    m[v] = load(mean + v * LANES);
    if (act) k[v] = load(scale + v * LANES), h[v] = load(shift + v * LANES);
  }
  for (int64_t r = 0; r < rows;) {
    int64_t end = rows - r < 4 * ROWS ? rows : r + 4 * ROWS;
    bool first = r == 0;
    vec a[PANEL], b[PANEL];
    for (int i = 0; i < PANEL; i++) a[i] = b[i] = (vec){ 0 };
    for (; r + ways <= end; r += ways)
      for (int i = 0; i < ways * nv; i++) {
        const int v = i % nv;
        int64_t at = (r + i / nv) * ld + v * LANES;
        vec g = load(gy + at), t = load(x + at);
        if (act) g = gate(g, t * k[v] + h[v], slope);
        a[i] += g;
        b[i] += g * (t - m[v]);
      }
    for (; r < end; r++)
      for (int v = 0; v < nv; v++) {
        vec g = load(gy + r * ld + v * LANES), t = load(x + r * ld + v * LANES);
        if (act) g = gate(g, t * k[v] + h[v], slope);
        a[v] += g;
        b[v] += g * (t - m[v]);
      }
    fold_ways(nv, a);
    fold_ways(nv, b);
    for (int v = 0; v < nv; v++)
      for (int i = 0; i < LANES; i++) {
        s1[v * LANES + i] = (first ? 0 : s1[v * LANES + i]) + (double)a[v][i];
        s2[v * LANES + i] = (first ? 0 : s2[v * LANES + i]) + (double)b[v][i];
      }
  }
}

static void few_sums (int64_t rows, int64_t cols, int64_t ld, const gan_real *gy,
                      const gan_real *x, const gan_real *mean, const gan_real *scale,
                      const gan_real *shift, gan_real slope, double *s1, double *s2) {
  for (int64_t j = 0; j < cols; j++) s1[j] = s2[j] = 0;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t j = 0; j < cols; j++) {
      gan_real g = gy[r * ld + j], t = x[r * ld + j];
      if (slope != 1) g = gate1(g, scale[j] * t + shift[j], slope);
      s1[j] += (double)g;
      s2[j] += (double)g * (double)(t - mean[j]);
    }
}

static void col_sums (int64_t rows, int64_t cols, int64_t ld, const gan_real *gy,
                      const gan_real *x, const gan_real *mean, const gan_real *scale,
                      const gan_real *shift, gan_real slope, double *s1, double *s2) {
#define AT(act) rows, ld, gy + j, x + j, mean + j, (act) ? scale + j : NULL, \
                (act) ? shift + j : NULL, slope, s1 + j, s2 + j
  if (slope == 1) {
    PANELS(panel_sums(PANEL, false, AT(false)), panel_sums(2, false, AT(false)),
           panel_sums(1, false, AT(false)),
           few_sums(rows, cols, ld, gy, x, mean, scale, shift, slope, s1, s2))
  }
  else {
    PANELS(panel_sums(PANEL, true, AT(true)), panel_sums(2, true, AT(true)),
           panel_sums(1, true, AT(true)),
           few_sums(rows, cols, ld, gy, x, mean, scale, shift, slope, s1, s2))
  }
#undef AT
}

/* ---- gx = a g + b x + d -------------------------------------------------------------------- */

/* gx may be gy, element for element; otherwise it is apart from what is read. */
#define APART _Pragma("GCC ivdep")

static void run_combine (int64_t n, const gan_real *gy, const gan_real *x, gan_real a, gan_real b,
                         gan_real d, gan_real scale, gan_real shift, gan_real slope,
                         gan_real *gx) {
  if (slope == 1) {
    APART for (int64_t i = 0; i < n; i++) gx[i] = a * gy[i] + (b * x[i] + d);
    return;
  }
  APART for (int64_t i = 0; i < n; i++)
    gx[i] = a * gate1(gy[i], scale * x[i] + shift, slope) + (b * x[i] + d);
}

INLINE void panel_combine (int nv, bool act, int64_t rows, int64_t ld, const gan_real *gy,
                           const gan_real *x, const gan_real *a, const gan_real *b,
                           const gan_real *d, const gan_real *scale, const gan_real *shift,
                           gan_real slope, gan_real *gx) {
  vec av[PANEL], bv[PANEL], dv[PANEL], k[PANEL], h[PANEL];
  for (int v = 0; v < nv; v++) {
    av[v] = load(a + v * LANES), bv[v] = load(b + v * LANES), dv[v] = load(d + v * LANES);
    if (act) k[v] = load(scale + v * LANES), h[v] = load(shift + v * LANES);
  }
  for (int64_t r = 0; r < rows; r++)
    for (int v = 0; v < nv; v++) {
      vec g = load(gy + r * ld + v * LANES), t = load(x + r * ld + v * LANES);
      if (act) g = gate(g, t * k[v] + h[v], slope);
      gan_store(gx + r * ld + v * LANES, av[v] * g + (bv[v] * t + dv[v]));
    }
}

static void col_combine (int64_t rows, int64_t cols, int64_t ld, const gan_real *gy,
                         const gan_real *x, const gan_real *a, const gan_real *b,
                         const gan_real *d, const gan_real *scale, const gan_real *shift,
                         gan_real slope, gan_real *gx) {
  if (slope == 1) { NARROW(panel_combine, false, rows, ld, gy, x, a, b, d, NULL, NULL, 1, gx) }
  else { NARROW(panel_combine, true, rows, ld, gy, x, a, b, d, scale, shift, slope, gx) }
  for (int64_t r = 0; r < rows; r++) {
    const gan_real *g = gy + r * ld, *t = x + r * ld;
    gan_real *out = gx + r * ld;
    if (slope == 1) {
      APART for (int64_t j = 0; j < cols; j++) out[j] = a[j] * g[j] + (b[j] * t[j] + d[j]);
      continue;
    }
    APART for (int64_t j = 0; j < cols; j++)
      out[j] = a[j] * gate1(g[j], scale[j] * t[j] + shift[j], slope) + (b[j] * t[j] + d[j]);
  }
}

/* ---- rows with a weight for each element --------------------------------------------------- */

static void row_affine (int64_t n, const gan_real *restrict x, gan_real mean, gan_real rstd,
                        const gan_real *restrict w, const gan_real *restrict b,
                        gan_real *restrict y) {
  if (w && b) for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd * w[i] + b[i];
  else if (w) for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd * w[i];
  else if (b) for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd + b[i];
  else for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd;
}

INLINE void weighted_sums (bool weighted, int64_t n, const gan_real *gy, const gan_real *x,
                           const gan_real *w, gan_real mean, double *s1, double *s2) {
  double t1 = 0, t2 = 0;
  int64_t i = 0;
  while (i + LANES <= n) {
    int64_t end = n - i < RUN ? n : i + RUN;
    vec a = { 0 }, b = { 0 };
    for (; i + LANES <= end; i += LANES) {
      vec g = load(gy + i);
      if (weighted) g *= load(w + i);
      a += g;
      b += g * (load(x + i) - mean);
    }
    t1 += total(a);
    t2 += total(b);
  }
  for (; i < n; i++) {
    double g = (double)(weighted ? gy[i] * w[i] : gy[i]);
    t1 += g;
    t2 += g * (double)(x[i] - mean);
  }
  *s1 = t1;
  *s2 = t2;
}

static void row_sums (int64_t n, const gan_real *gy, const gan_real *x, const gan_real *w,
                      gan_real mean, double *s1, double *s2) {
  if (w) weighted_sums(true, n, gy, x, w, mean, s1, s2);
  else weighted_sums(false, n, gy, x, NULL, mean, s1, s2);
}

static void row_combine (int64_t n, const gan_real *gy, const gan_real *x, const gan_real *w,
                         gan_real a, gan_real b, gan_real d, gan_real *gx) {
  if (w) { APART for (int64_t i = 0; i < n; i++) gx[i] = a * (gy[i] * w[i]) + (b * x[i] + d); }
  else { APART for (int64_t i = 0; i < n; i++) gx[i] = a * gy[i] + (b * x[i] + d); }
}

static void row_params (int64_t n, const gan_real *restrict gy, const gan_real *restrict x,
                        gan_real mean, gan_real rstd, gan_real *restrict gw,
                        gan_real *restrict gb) {
  if (gw) for (int64_t i = 0; i < n; i++) gw[i] += gy[i] * ((x[i] - mean) * rstd);
  if (gb) for (int64_t i = 0; i < n; i++) gb[i] += gy[i];
}

/* ---- sums over neighbouring channels ------------------------------------------------------- */

static void window (int64_t channels, int64_t n, int64_t before, int64_t after, const gan_real *x,
                    gan_real *y) {
  for (int64_t c = 0; c < channels; c++) {
    int64_t lo = c > before ? c - before : 0;
    int64_t hi = channels - 1 - c > after ? c + after : channels - 1;
    gan_real *restrict to = y + c * n;
    memset(to, 0, (size_t)n * sizeof *to);
    for (int64_t k = lo; k <= hi; k++) {
      const gan_real *restrict from = x + k * n;
      for (int64_t i = 0; i < n; i++) to[i] += from[i];
    }
  }
}

const gan_norm_table GAN_TABLE(gan_norm) = {
  run_moments, col_moments, run_affine, col_affine, run_sums, col_sums, run_combine, col_combine,
  row_affine, row_sums, row_combine, row_params, window
};
