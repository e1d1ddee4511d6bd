/*
** isa.h - one source, several instruction sets.
**
** Every other file of kernels/ is compiled once per instruction set with GAN_ISA set to base,
** avx2 or avx512. A kernel file defines static functions and ends with one table:
**
**     const gan_pointwise_table GAN_TABLE(gan_pointwise) = { add, sub, ... };
**
** whose type and variants its header declares with GAN_TABLES(gan_pointwise). Ops call
** GAN_KERNEL(gan_pointwise)->add(...). The set is chosen once per process from what the processor
** has, or by the environment variable GAN_ISA (base, avx2, avx512) for tests.
*/
#ifndef GAN_ISA_H
#define GAN_ISA_H

#include "../gan.h"

enum { GAN_ISA_BASE, GAN_ISA_AVX2, GAN_ISA_AVX512, GAN_ISA_COUNT };

extern int gan_isa_chosen;         /* valid after gan_isa_init */
void gan_isa_init(void);           /* called by gan_open; idempotent and thread-safe */
const char *gan_isa_name(void);    /* "base", "avx2", "avx512" */

#define GAN_PASTE_(a, b) a##_##b
#define GAN_PASTE(a, b) GAN_PASTE_(a, b)
#define GAN_TABLE(family) GAN_PASTE(family, GAN_ISA)

#if defined(__x86_64__)
#define GAN_TABLES(family)                                                   \
  extern const family##_table family##_base, family##_avx2, family##_avx512; \
  static inline const family##_table *family##_get (void) {                  \
    return gan_isa_chosen == GAN_ISA_AVX512 ? &family##_avx512               \
           : gan_isa_chosen == GAN_ISA_AVX2 ? &family##_avx2                 \
                                            : &family##_base;                \
  }
#else /* the base variant is the only one that is built */
#define GAN_TABLES(family)                                  \
  extern const family##_table family##_base;                \
  static inline const family##_table *family##_get (void) { \
    return &family##_base;                                  \
  }
#endif
#define GAN_KERNEL(family) (family##_get())

#endif
