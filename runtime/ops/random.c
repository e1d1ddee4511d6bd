/*
** random.c - random tensors. Everything comes from the context's generator, which gan.manual_seed
** sets: the same seed gives the same numbers, whatever the number of threads.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../core/op.h"

#define GRAIN 8192

/* ---- uniform and normal -------------------------------------------------------------------- */

typedef void fill_fn(gan_ctx *c, gan_tensor *y, double a, double b);

static void make (gan_ctx *c, int ndim, const int64_t *shape, fill_fn *fill, double a, double b,
                  gan_tensor **out) {
  if ((out[0] = gan_new(c, GAN_REAL, ndim, shape))) fill(c, out[0], a, b);
}

static bool check_range (gan_ctx *c, double lo, double hi) {
  if (isfinite(lo) && isfinite(hi) && lo <= hi) return true;
  gan_fail(c, GAN_EARG, "the range must be finite and in order: lo is %g, hi is %g", lo, hi);
  return false;
}

static bool check_normal (gan_ctx *c, double mean, double std) {
  if (isfinite(mean) && isfinite(std) && std >= 0) return true;
  gan_fail(c, GAN_EARG, "'mean' must be finite and 'std' not negative: mean is %g, std is %g", mean,
           std);
  return false;
}

static void rand_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  if (check_range(c, a[1].num, a[2].num))
    make(c, a[0].n, a[0].v, gan_fill_uniform, a[1].num, a[2].num, out);
}

static gan_op rand_op = {
  .name = "rand",
  .sig = "shape:shape ; lo:number=0 hi:number=1",
  .forward = rand_forward,
  .doc = "Uniform random numbers of [lo, hi).",
  .example = "gan.rand(2, 3)",
  .flags = GAN_RANDOM,
};

static void randn_forward (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  if (check_normal(c, a[1].num, a[2].num))
    make(c, a[0].n, a[0].v, gan_fill_normal, a[1].num, a[2].num, out);
}

static gan_op randn_op = {
  .name = "randn",
  .sig = "shape:shape ; mean:number=0 std:number=1",
  .forward = randn_forward,
  .doc = "Normal random numbers with this mean and standard deviation.",
  .example = "gan.randn(2, 3)",
  .flags = GAN_RANDOM,
};

static void rand_like (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  make(c, a[0].t->ndim, a[0].t->shape, gan_fill_uniform, 0, 1, out);
}

static gan_op rand_like_op = {
  .name = "rand_like",
  .sig = "x:any -> y~",
  .forward = rand_like,
  .doc = "Uniform random numbers of [0, 1) in the shape of x.",
  .example = "gan.ones(2, 3):rand_like()",
  .flags = GAN_RANDOM,
};

static void randn_like (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  make(c, a[0].t->ndim, a[0].t->shape, gan_fill_normal, 0, 1, out);
}

static gan_op randn_like_op = {
  .name = "randn_like",
  .sig = "x:any -> y~",
  .forward = randn_like,
  .doc = "Standard normal random numbers in the shape of x.",
  .example = "gan.ones(2, 3):randn_like()",
  .flags = GAN_RANDOM,
};

/* The numbers go to the elements in row-major order, however x lies in memory. */
static void refill (gan_ctx *c, gan_tensor *x, fill_fn *fill, double a, double b,
                    gan_tensor **out) {
  gan_tensor *y = gan_is_contiguous(x) ? x : gan_new(c, GAN_REAL, x->ndim, x->shape);
  if (!y) return;
  fill(c, y, a, b);
  if (y != x) gan_copy_into(c, x, y);
  out[0] = x;
}

static void uniform_in_place (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  if (check_range(c, a[1].num, a[2].num))
    refill(c, a[0].t, gan_fill_uniform, a[1].num, a[2].num, out);
}

static gan_op uniform_in_place_op = {
  .name = "uniform_",
  .sig = "x!:tensor lo:number=0 hi:number=1",
  .forward = uniform_in_place,
  .doc = "Fills x with uniform random numbers of [lo, hi); returns x.",
  .example = "gan.zeros(2, 3):uniform_{lo=-1, hi=1}",
  .flags = GAN_RANDOM,
};

static void normal_in_place (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  if (check_normal(c, a[1].num, a[2].num))
    refill(c, a[0].t, gan_fill_normal, a[1].num, a[2].num, out);
}

static gan_op normal_in_place_op = {
  .name = "normal_",
  .sig = "x!:tensor mean:number=0 std:number=1",
  .forward = normal_in_place,
  .doc = "Fills x with normal random numbers with this mean and standard deviation; returns x.",
  .example = "gan.zeros(2, 3):normal_{std=0.02}",
  .flags = GAN_RANDOM,
};

/* ---- integers ------------------------------------------------------------------------------ */

/* 64 random bits number i after a counter: two for each block */
static uint64_t bits64 (uint64_t seed, uint64_t counter, int64_t i) {
  uint32_t w[4];
  gan_philox(seed, counter + (uint64_t)i / 2, w);
  int at = i % 2 ? 2 : 0;
  return (uint64_t)w[at] << 32 | w[at + 1];
}

/* The counter before n such numbers. */
static uint64_t take64 (gan_ctx *c, int64_t n) {
  return gan_rng_take(&c->rng, 2 * n);
}

/* One of 0 .. n-1; n = 0 stands for 2^64. No number is favoured by more than n / 2^64. */
static uint64_t below (uint64_t bits, uint64_t n) {
  return n ? (uint64_t)((unsigned __int128)bits * n >> 64) : bits;
}

static double unit (uint64_t bits) {
  return (double)(bits >> 11) * 0x1p-53;
}

typedef struct {
  uint64_t seed, counter, range;
  int64_t lo, *y;
  gan_excerpt part;
} int_job;

static void int_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const int_job *j = ud;
  (void)worker;
  for (int64_t i = lo; i < hi; i++) {
    uint64_t bits = bits64(j->seed, j->counter, gan_excerpt_at(&j->part, i));
    j->y[i] = (int64_t)((uint64_t)j->lo + below(bits, j->range));
  }
}

static void randint (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int64_t lo = a[1].i, hi = a[2].i;
  GAN_NEED(c, lo <= hi, "the range is empty: lo is %lld, hi is %lld", (long long)lo, (long long)hi);
  gan_tensor *y = out[0] = gan_new(c, GAN_INT64, a[0].n, a[0].v);
  if (!y) return;
  uint64_t range = (uint64_t)hi - (uint64_t)lo + 1;
  gan_excerpt part = gan_excerpt_of(c, y);
  int_job j = { c->rng.seed, take64(c, part.whole), range, lo, gan_ints(y), part };
  gan_parallel(y->numel, GRAIN, int_range, &j);
}

static gan_op randint_op = {
  .name = "randint",
  .sig = "shape:shape ; lo:int=1 hi:int -> y~",
  .forward = randint,
  .doc = "Random integers from lo to hi, both included, as an int64 tensor.",
  .example = "gan.randint(2, 3, {hi=6})",
  .flags = GAN_RANDOM,
};

static void randperm (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  int64_t n = a[0].i;
  GAN_NEED(c, n >= 0, "'n' must not be negative, got %lld", (long long)n);
  if (!(out[0] = gan_new(c, GAN_INT64, 1, &n))) return;
  int64_t *y = gan_ints(out[0]);
  uint64_t counter = take64(c, n);
  for (int64_t i = 0; i < n; i++) { /* Fisher-Yates from the inside out */
    int64_t k = (int64_t)below(bits64(c->rng.seed, counter, i), (uint64_t)i + 1);
    y[i] = y[k];
    y[k] = i + 1;
  }
}

static gan_op randperm_op = {
  .name = "randperm",
  .sig = "n:int -> y~",
  .forward = randperm,
  .doc = "The numbers 1 .. n in random order, as an int64 tensor.",
  .example = "gan.randperm(5)",
  .flags = GAN_RANDOM,
};

/* ---- zeros and ones ------------------------------------------------------------------------ */

typedef struct {
  const gan_real *p;
  gan_real *y;
} coin_job;

static void coin_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const coin_job *j = ud;
  (void)worker;
  for (int64_t i = lo; i < hi; i++) j->y[i] = j->y[i] < j->p[i];
}

static bool check_probability (gan_ctx *c, double p) {
  if (p >= 0 && p <= 1) return true;
  gan_fail(c, GAN_EARG, "a probability must be from 0 to 1, got %g", p);
  return false;
}

static void coins (gan_ctx *c, gan_tensor *p, gan_tensor **out) {
  if (!(p = gan_dense(c, p))) return;
  for (int64_t i = 0; i < p->numel; i++)
    if (!check_probability(c, (double)gan_reals(p)[i])) return;
  make(c, p->ndim, p->shape, gan_fill_uniform, 0, 1, out);
  if (!out[0]) return;
  coin_job j = { gan_reals(p), gan_reals(out[0]) };
  gan_parallel(p->numel, GRAIN, coin_range, &j);
}

static void bernoulli (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *p = a[0].t;
  if (!p->is_number) {
    GAN_NEED(c, a[1].n < 0, "'shape' is for a number p; this p is a tensor %s",
             gan_shape_of(c, p));
    coins(c, p, out);
    return;
  }
  double one = gan_item(p, 0);
  if (!check_probability(c, one)) return;
  int ndim = a[1].n < 0 ? 0 : a[1].n;
  if ((out[0] = gan_new(c, GAN_REAL, ndim, a[1].v)))
    gan_fill_mask(c, out[0], one, 1);
}

static gan_op bernoulli_op = {
  .name = "bernoulli",
  .sig = "p:operand shape:shape? -> y~",
  .forward = bernoulli,
  .doc = "1 with probability p, else 0, in the compute type.\n"
         "p: a tensor of probabilities, whose shape the result has, or a number and a shape.\n"
         "Errors: a probability outside [0, 1].",
  .example = "gan.bernoulli(0.3, {2, 3})",
  .flags = GAN_RANDOM,
};

static void dropout_mask (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  double p = a[1].num;
  if ((out[0] = gan_new_like(c, a[0].t, GAN_REAL)))
    gan_fill_mask(c, out[0], 1 - p, p < 1 ? 1 / (1 - p) : 0);
}

static gan_op dropout_mask_op = {
  .name = "dropout_mask",
  .sig = "x:tensor p:number -> y~",
  .forward = dropout_mask,
  .doc = "0 with probability p, otherwise 1 / (1 - p), in the shape and layout of x.",
  .flags = GAN_RANDOM | GAN_HIDDEN,
};

/* The mask is an ordinary constant factor: gradients of any order use the same one. */
static void dropout (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *x = a[0].t;
  double p = a[1].num;
  if (!check_probability(c, p)) return;
  if (!a[2].i || p == 0) {
    out[0] = gan_reshape(c, x, x->ndim, x->shape);
    return;
  }
  out[0] = gan_mul(c, x, gan_run1(c, &dropout_mask_op, GAN_ARGS(GAN_T(x), GAN_N(p))));
}

static gan_op dropout_op = {
  .name = "dropout",
  .sig = "x:tensor p:number=0.5 ; training:bool=true",
  .forward = dropout,
  .doc = "In training every element is 0 with probability p, otherwise multiplied by 1 / (1 - p).\n"
         "Without training: x itself. The gradient passes through the same mask.\n"
         "Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014.",
  .example = "gan.ones(2, 3):dropout(0.5)",
  .flags = GAN_RANDOM | GAN_COMPOSITE,
};

/* ---- draws by weight ----------------------------------------------------------------------- */

typedef struct {
  int64_t k, n; /* weights and draws of a row */
  uint64_t seed, counter;
  const double *cum; /* running sums of every row */
  int64_t *y;
  gan_excerpt part;
} draw_job;

/* The first place whose running sum exceeds t: its weight is not 0. */
static int64_t place_of (const double *cum, int64_t k, double t) {
  int64_t lo = 0, hi = k - 1;
  while (lo < hi) {
    int64_t mid = lo + (hi - lo) / 2;
    if (cum[mid] > t) hi = mid;
    else lo = mid + 1;
  }
  while (lo > 0 && cum[lo] == cum[lo - 1]) lo--; /* rounding reached the end: back to a weight */
  return lo;
}

static void draw_range (void *ud, int64_t lo, int64_t hi, int worker) {
  const draw_job *j = ud;
  (void)worker;
  for (int64_t i = lo; i < hi; i++) {
    const double *cum = j->cum + i / j->n * j->k;
    double t = unit(bits64(j->seed, j->counter, gan_excerpt_at(&j->part, i))) * cum[j->k - 1];
    j->y[i] = place_of(cum, j->k, t) + 1;
  }
}

typedef struct {
  double time;
  int64_t place;
} arrival;

static int by_time (const void *a, const void *b) {
  const arrival *x = a, *y = b;
  if (x->time != y->time) return x->time < y->time ? -1 : 1;
  return x->place < y->place ? -1 : x->place > y->place;
}

/* Without replacement: weights are rates, and the first n to arrive are the draws. */
static void race (gan_ctx *c, int64_t k, int64_t n, const gan_real *w, arrival *field, int64_t *y) {
  uint64_t counter = take64(c, k);
  for (int64_t i = 0; i < k; i++) {
    double u = 1 - unit(bits64(c->rng.seed, counter, i));
    field[i] = (arrival){ w[i] > 0 ? -log(u) / (double)w[i] : HUGE_VAL, i };
  }
  qsort(field, (size_t)k, sizeof *field, by_time);
  for (int64_t i = 0; i < n; i++) y[i] = field[i].place + 1;
}

/* Running sums; how many weights are positive. False on a weight that is none. */
static bool sum_weights (gan_ctx *c, int64_t k, const gan_real *w, double *cum, int64_t *positive) {
  double sum = 0;
  *positive = 0;
  for (int64_t i = 0; i < k; i++) {
    if (!(w[i] >= 0) || isinf(w[i])) {
      gan_fail(c, GAN_EARG, "weights must be finite and not negative, got %g", (double)w[i]);
      return false;
    }
    *positive += w[i] > 0;
    cum[i] = sum += (double)w[i];
  }
  return true;
}

static void draw_rows (gan_ctx *c, const gan_tensor *w, int64_t n, bool replacement,
                       gan_tensor *y) {
  int64_t k = w->shape[w->ndim - 1], rows = k ? w->numel / k : 0;
  gan_tensor *cum = gan_new(c, GAN_INT64, 1, &w->numel), *field = NULL; /* eight bytes an item */
  if (!replacement) field = gan_new(c, GAN_INT64, 1, (int64_t[]){ 2 * k });
  if (!cum || (!replacement && !field)) return;
  for (int64_t r = 0; r < rows; r++) {
    int64_t positive;
    if (!sum_weights(c, k, gan_reals(w) + r * k, (double *)cum->data + r * k, &positive)) return;
    GAN_NEED(c, positive > 0, "all weights are 0");
    GAN_NEED(c, replacement || positive >= n,
             "%lld draws without replacement from %lld weights above 0", (long long)n,
             (long long)positive);
    if (!replacement) race(c, k, n, gan_reals(w) + r * k, field->data, gan_ints(y) + r * n);
  }
  if (!replacement) return;
  gan_excerpt part = gan_excerpt_of(c, y);
  draw_job j = { k, n, c->rng.seed, take64(c, part.whole), cum->data, gan_ints(y), part };
  gan_parallel(y->numel, GRAIN, draw_range, &j);
}

static void multinomial (gan_ctx *c, const gan_arg *a, gan_tensor **out) {
  gan_tensor *w = a[0].t;
  int64_t n = a[1].i;
  GAN_NEED(c, w->ndim == 1 || w->ndim == 2,
           "argument 'weights' must be (K) or (rows, K), got %s", gan_shape_of(c, w));
  GAN_NEED(c, n >= 0, "'n' must not be negative, got %lld", (long long)n);
  GAN_NEED(c, w->shape[w->ndim - 1] > 0, "there are no weights: the shape is %s",
           gan_shape_of(c, w));
  int64_t shape[2] = { w->shape[0], n };
  out[0] = w->ndim == 1 ? gan_new(c, GAN_INT64, 1, &n) : gan_new(c, GAN_INT64, 2, shape);
  if (out[0] && (w = gan_dense(c, w))) draw_rows(c, w, n, a[2].i, out[0]);
}

static gan_op multinomial_op = {
  .name = "multinomial",
  .sig = "weights:tensor n:int ; replacement:bool=true -> y~",
  .forward = multinomial,
  .doc = "n positions drawn with probabilities proportional to the weights, from 1, as int64.\n"
         "weights: (K), or (rows, K) for one result a row; they need not add up to 1.\n"
         "Errors: negative or infinite weights, none above 0, fewer than n without replacement.",
  .example = "gan.multinomial(gan.tensor({0.5, 0.25, 0.25}), 4)",
  .flags = GAN_RANDOM,
};

gan_op *const gan_ops_random[] = {
  &rand_op, &randn_op, &randint_op, &rand_like_op, &randn_like_op, &uniform_in_place_op,
  &normal_in_place_op, &bernoulli_op, &dropout_mask_op, &dropout_op, &randperm_op,
  &multinomial_op, NULL
};
