/*
** random.h - random numbers in bulk: Philox 4x32-10, sixteen blocks side by side.
**
** Numbers come in groups of GAN_RANDOM_GROUP elements, made from 16 consecutive counters: element e
** of a group is word e / 16 of block e % 16, so that a vector of blocks gives whole vectors of
** elements. Element i therefore depends on (seed, counter, i) alone, never on how a range is split.
** The double build appends bits of a second stream to those of the first: its numbers are the
** single precision ones with more digits.
**
** Every function fills elements [lo, hi) of y; lo is a multiple of GAN_RANDOM_GROUP; counter is the
** one of element 0.
*/
#ifndef GAN_KERNELS_RANDOM_H
#define GAN_KERNELS_RANDOM_H

#include "isa.h"

#define GAN_RANDOM_GROUP 64
#define GAN_RANDOM_BLOCKS 16 /* counters that a group uses */

typedef void gan_random_fn(uint64_t seed, uint64_t counter, int64_t lo, int64_t hi, gan_real *y,
                           double a, double b);

typedef struct {
  gan_random_fn *uniform; /* [a, b) */
  gan_random_fn *normal;  /* mean a, standard deviation b */
  gan_random_fn *mask;    /* b with probability a, else 0 */
} gan_random_table;

GAN_TABLES(gan_random)

#endif
