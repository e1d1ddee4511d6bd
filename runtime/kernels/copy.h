/*
** copy.h - copies that change which dimension is contiguous in memory.
*/
#ifndef GAN_KERNELS_COPY_H
#define GAN_KERNELS_COPY_H

#include "isa.h"

typedef struct {
  /* d[i * ds + k] = s[k * ss + i] for i < rows, k < cols; s and d are apart */
  void (*turn)(int64_t rows, int64_t cols, const gan_real *s, int64_t ss, gan_real *d, int64_t ds);
} gan_copy_table;

GAN_TABLES(gan_copy)

#endif
