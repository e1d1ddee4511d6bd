/*
** copy.c - see copy.h.
*/
#include "copy.h"

#include "transpose.h"

enum { LANES = GAN_LANES };

static void square (const gan_real *s, int64_t ss, gan_real *d, int64_t ds) {
  gan_vec r[LANES];
#pragma GCC unroll 16
  for (int k = 0; k < LANES; k++) r[k] = gan_load(s + k * ss);
  gan_transpose(r);
#pragma GCC unroll 16
  for (int i = 0; i < LANES; i++) gan_store(d + i * ds, r[i]);
}

/* Squares in registers; the last ones of a side that they do not fill overlap those before. */
static void turn (int64_t rows, int64_t cols, const gan_real *s, int64_t ss, gan_real *d,
                  int64_t ds) {
  if (rows < LANES || cols < LANES) {
    for (int64_t i = 0; i < rows; i++)
      for (int64_t k = 0; k < cols; k++) d[i * ds + k] = s[k * ss + i];
    return;
  }
  for (int64_t i = 0; i < rows; i += LANES) {
    if (i > rows - LANES) i = rows - LANES;
    for (int64_t k = 0; k < cols; k += LANES) {
      if (k > cols - LANES) k = cols - LANES;
      square(s + k * ss + i, ss, d + i * ds + k, ds);
    }
  }
}

const gan_copy_table GAN_TABLE(gan_copy) = { turn };
