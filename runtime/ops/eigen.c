/*
** eigen.c - eigenvalues and eigenvectors of symmetric matrices.
**
** Householder's reduction to a tridiagonal matrix, then QL steps with implicit shifts (Golub and
** Van Loan, sections 8.3.1 and 8.3.3), in double precision. Eigenvectors are kept as rows, so that
** every inner loop runs along memory; the results do not depend on the number of threads.
*/
#include <float.h>
#include <math.h>
#include <string.h>

#include "../core/op.h"

gan_op gan_op_eigh;

#define LANES 8        /* partial sums of a scalar product */
#define WORK_MIN 16384 /* multiplications that are worth a thread */
#define MAX_STEPS 60   /* QL steps for one eigenvalue; two or three are usual */
#define NOTHING 1e-200 /* the square of what is no coupling beside elements up to 1 */

typedef struct {
  int64_t n;
  double *a;    /* (n, n): the matrix; later row k holds the vector of reflection k */
  double *z;    /* (n, n): rows become eigenvectors */
  double *d;    /* diagonal, then eigenvalues */
  double *e;    /* e[i] couples i and i + 1 */
  double *beta; /* factors of the reflections */
  double *p;    /* scratch; the cosines of a QL step */
  double *s;    /* its sines */
} eigen;

typedef struct {
  const eigen *m;
  int64_t from;  /* the reflection, or the first row of the rotations */
  int64_t count; /* rotations */
} eigen_job;

static double product (int64_t n, const double *x, const double *y) {
  double part[LANES] = { 0 }, sum = 0;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int k = 0; k < LANES; k++) part[k] += x[i + k] * y[i + k];
  for (; i < n; i++) sum += x[i] * y[i];
  for (int k = 0; k < LANES; k++) sum += part[k];
  return sum;
}

static void add_scaled (int64_t n, double k, const double *x, double *y) {
  for (int64_t i = 0; i < n; i++) y[i] += k * x[i];
}

/* ---- to tridiagonal form ------------------------------------------------------------------- */

/* p = beta A v on the rows below reflection k */
static void apply_to_vector (void *ud, int64_t lo, int64_t hi, int worker) {
  const eigen_job *j = ud;
  const eigen *m = j->m;
  int64_t k = j->from, n = m->n;
  (void)worker;
  for (int64_t r = k + 1 + lo; r < k + 1 + hi; r++)
    m->p[r] = m->beta[k] * product(n - k - 1, m->a + r * n + k + 1, m->a + k * n + k + 1);
}

/* A -= v w' + w v' on the same rows; w lies in p */
static void update_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const eigen_job *j = ud;
  const eigen *m = j->m;
  int64_t k = j->from, n = m->n;
  const double *v = m->a + k * n, *w = m->p;
  (void)worker;
  for (int64_t r = k + 1 + lo; r < k + 1 + hi; r++) {
    double *row = m->a + r * n, vr = v[r], wr = w[r];
    for (int64_t i = k + 1; i < n; i++) row[i] -= vr * w[i] + wr * v[i];
  }
}

/* z = z H_k: the reflections gathered from the last to the first */
static void gather_rows (void *ud, int64_t lo, int64_t hi, int worker) {
  const eigen_job *j = ud;
  const eigen *m = j->m;
  int64_t k = j->from, n = m->n;
  const double *v = m->a + k * n + k + 1;
  (void)worker;
  for (int64_t r = k + 1 + lo; r < k + 1 + hi; r++) {
    double *row = m->z + r * n + k + 1;
    add_scaled(n - k - 1, -m->beta[k] * product(n - k - 1, row, v), v, row);
  }
}

/* Row k right of the diagonal becomes the vector v of the reflection 1 - beta v v', which turns
   that row into (e[k], 0, 0, ...). */
static void make_reflection (eigen *m, int64_t k) {
  int64_t n = m->n, len = n - k - 1;
  double *v = m->a + k * n + k + 1;
  double rest = product(len - 1, v + 1, v + 1), head = v[0];
  if (rest < NOTHING) {
    m->e[k] = head;
    m->beta[k] = 0;
    return;
  }
  double norm = sqrt(head * head + rest);
  v[0] = head > 0 ? -rest / (head + norm) : head - norm;
  m->e[k] = norm;
  m->beta[k] = 2 / (v[0] * v[0] + rest);
}

static void to_tridiagonal (eigen *m) {
  int64_t n = m->n;
  for (int64_t k = 0; k + 2 < n; k++) {
    int64_t len = n - k - 1, grain = WORK_MIN / len + 1;
    eigen_job j = { .m = m, .from = k };
    m->d[k] = m->a[k * n + k];
    make_reflection(m, k);
    if (m->beta[k] == 0) continue;
    const double *v = m->a + k * n + k + 1;
    gan_parallel(len, grain, apply_to_vector, &j);
    double *w = m->p + k + 1;
    add_scaled(len, -0.5 * m->beta[k] * product(len, w, v), v, w);
    gan_parallel(len, grain, update_rows, &j);
  }
  if (n > 1) {
    m->d[n - 2] = m->a[(n - 2) * n + n - 2];
    m->e[n - 2] = m->a[(n - 2) * n + n - 1];
  }
  m->d[n - 1] = m->a[n * n - 1];
  m->e[n - 1] = 0;
  memset(m->z, 0, (size_t)(n * n) * sizeof *m->z);
  for (int64_t i = 0; i < n; i++) m->z[i * n + i] = 1;
  for (int64_t k = n - 3; k >= 0; k--) {
    eigen_job j = { .m = m, .from = k };
    if (m->beta[k] != 0) gan_parallel(n - k - 1, WORK_MIN / (n - k) + 1, gather_rows, &j);
  }
}

/* ---- QL steps ------------------------------------------------------------------------------ */

/* The rotations of one step on a range of columns: they go from the last pair of rows up. */
static void rotate_columns (void *ud, int64_t lo, int64_t hi, int worker) {
  const eigen_job *j = ud;
  const eigen *m = j->m;
  (void)worker;
  for (int64_t i = j->from + j->count - 1; i >= j->from; i--) {
    double *x = m->z + i * m->n, *y = x + m->n, cosine = m->p[i], sine = m->s[i];
    for (int64_t k = lo; k < hi; k++) {
      double t = y[k];
      y[k] = sine * x[k] + cosine * t;
      x[k] = cosine * x[k] - sine * t;
    }
  }
}

/* One implicit step on the block l .. last. */
static void ql_step (eigen *m, int64_t l, int64_t last) {
  double *d = m->d, *e = m->e;
  double g = (d[l + 1] - d[l]) / (2 * e[l]), r = hypot(g, 1);
  double s = 1, cosine = 1, p = 0;
  int64_t i = last - 1;
  g = d[last] - d[l] + e[l] / (g + copysign(r, g));
  for (; i >= l; i--) {
    double f = s * e[i], b = cosine * e[i];
    e[i + 1] = r = hypot(f, g);
    if (r == 0) { /* the block falls apart here */
      d[i + 1] -= p;
      e[last] = 0;
      break;
    }
    s = f / r;
    cosine = g / r;
    g = d[i + 1] - p;
    r = (d[i] - g) * s + 2 * cosine * b;
    p = s * r;
    d[i + 1] = g + p;
    g = cosine * r - b;
    m->p[i] = cosine;
    m->s[i] = s;
  }
  if (i < l) {
    d[l] -= p;
    e[l] = g;
    e[last] = 0;
  }
  eigen_job j = { .m = m, .from = i + 1, .count = last - i - 1 };
  if (j.count > 0) gan_parallel(m->n, WORK_MIN / j.count + 64, rotate_columns, &j);
}

/* The end of the block that begins at l: where the next coupling is as good as none, beside the
   size of the whole matrix. */
static int64_t block_end (const eigen *m, int64_t l, double size) {
  int64_t i = l;
  while (i + 1 < m->n && fabs(m->e[i]) > DBL_EPSILON * size) i++;
  return i;
}

static bool diagonalise (eigen *m) {
  double size = 0;
  for (int64_t i = 0; i < m->n; i++) size = fmax(size, fabs(m->d[i]) + fabs(m->e[i]));
  for (int64_t l = 0; l < m->n; l++) {
    int64_t last;
    for (int steps = 0; (last = block_end(m, l, size)) > l; steps++) {
      if (steps == MAX_STEPS) return false;
      ql_step(m, l, last);
    }
  }
  return true;
}

/* ---- the op -------------------------------------------------------------------------------- */

/* Both triangles from the lower one, divided by the largest magnitude, which is returned: 0 for
   zeros, NaN when an element is not finite. */
static double load (eigen *m, const gan_real *x) {
  int64_t n = m->n;
  double largest = 0;
  for (int64_t i = 0; i < n; i++) {
    for (int64_t j = 0; j <= i; j++) {
      double v = fabs((double)x[i * n + j]);
      if (!isfinite(v)) return NAN;
      if (v > largest) largest = v;
    }
  }
  for (int64_t i = 0; largest > 0 && i < n; i++)
    for (int64_t j = 0; j <= i; j++)
      m->a[i * n + j] = m->a[j * n + i] = (double)x[i * n + j] / largest;
  return largest;
}

/* Places of the eigenvalues in rising order, by insertion: n^2 is little beside the work so far. */
static void rising_order (const eigen *m, int64_t *order) {
  for (int64_t i = 0; i < m->n; i++) {
    int64_t k = i;
    for (; k > 0 && m->d[order[k - 1]] > m->d[i]; k--) order[k] = order[k - 1];
    order[k] = i;
  }
}

/* Writes eigenvalues and, as columns, eigenvectors whose largest component is positive. */
static void store (const eigen *m, double scale, const int64_t *order, gan_real *values,
                   gan_real *vectors) {
  int64_t n = m->n;
  for (int64_t i = 0; i < n; i++) {
    const double *z = m->z + order[i] * n;
    double largest = 0;
    for (int64_t k = 0; k < n; k++)
      if (fabs(z[k]) > fabs(largest) * (1 + 1e-6)) largest = z[k];
    values[i] = (gan_real)(m->d[order[i]] * scale);
    for (int64_t k = 0; k < n; k++) vectors[k * n + i] = (gan_real)(largest < 0 ? -z[k] : z[k]);
  }
}

static void fill_trivial (int64_t n, double scale, gan_real *values, gan_real *vectors) {
  for (int64_t i = 0; i < n; i++) values[i] = (gan_real)scale;
  for (int64_t i = 0; i < n * n; i++)
    vectors[i] = (gan_real)(scale == 0 ? i % (n + 1) == 0 : scale);
}

static void eigh (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  GAN_NEED(c, x->ndim == 2 && x->shape[0] == x->shape[1], "needs a square matrix, got %s",
           gan_shape_of(c, x));
  int64_t n = x->shape[0], room[2] = { 2 * n + 6, n };
  if (!(x = gan_dense(c, x))) return;
  if (!(out[0] = gan_new(c, GAN_REAL, 1, x->shape))) return;
  if (!(out[1] = gan_new(c, GAN_REAL, 2, x->shape))) return;
  gan_tensor *scratch = gan_new(c, GAN_INT64, 2, room);
  if (!scratch || n == 0) return;
  double *w = scratch->data;
  eigen m = { .n = n, .a = w, .z = w + n * n, .d = w + 2 * n * n };
  m.e = m.d + n;
  m.beta = m.e + n;
  m.p = m.beta + n;
  m.s = m.p + n;
  double scale = load(&m, gan_reals(x));
  if (!(scale > 0)) {
    fill_trivial(n, scale, gan_reals(out[0]), gan_reals(out[1]));
    return;
  }
  to_tridiagonal(&m);
  GAN_NEED(c, diagonalise(&m), "no eigenvalues were found in %d steps", MAX_STEPS);
  int64_t *order = gan_ints(scratch) + 2 * n * n + 5 * n;
  rising_order(&m, order);
  store(&m, scale, order, gan_reals(out[0]), gan_reals(out[1]));
}

gan_op gan_op_eigh = {
  .name = "eigh",
  .sig = "x:tensor -> values~ vectors~",
  .forward = eigh,
  .doc = "Eigenvalues, in rising order, and eigenvectors of a symmetric matrix.\n"
         "x (n, n), of which the lower triangle is read, gives (n) and (n, n):\n"
         "x v = v diag(values), with one vector of length 1 in each column, its largest component\n"
         "positive. Computed in double precision, without a gradient. All NaN where an element of\n"
         "x is not finite.",
  .example = "gan.tensor({{2, 1}, {1, 2}}):eigh()",
};
