/*
** isa.c - which variant of the kernels runs: the best that the processor has.
*/
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "isa.h"

int gan_isa_chosen = GAN_ISA_BASE;

static const char *const names[GAN_ISA_COUNT] = { "base", "avx2", "avx512" };

/* What the flags of each variant allow the compiler to use; the operating system's support for
   the wide registers is part of the builtin's answer. */
static int best (void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return GAN_ISA_BASE;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    return GAN_ISA_AVX512;
  return GAN_ISA_AVX2;
#else
  return GAN_ISA_BASE;
#endif
}

/* GAN_ISA asks for less than the best; a set that is unknown or not there changes nothing. */
static void choose (void) {
  int top = best(), chosen = top;
  const char *wish = getenv("GAN_ISA");
  for (int i = 0; wish && i <= top; i++)
    if (!strcmp(wish, names[i])) chosen = i;
  gan_isa_chosen = chosen;
}

void gan_isa_init (void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, choose);
}

const char *gan_isa_name (void) {
  return names[gan_isa_chosen];
}
