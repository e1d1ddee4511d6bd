/*
** limits.c - what this machine can do at most: `limits fma THREADS` prints GFLOP/s of a loop of
** fused multiply-adds in registers, `limits copy THREADS` GB/s (read + written) of copying 64 MiB.
** Compiled by the benchmark with -O3 -march=native -pthread.
*/
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__)
#define WIDTH 16
#else
#define WIDTH 8
#endif
#define CHAINS 12 /* independent sums: latency times units of any core so far, and no spills */
#define ROUNDS 8
#define COPY_BYTES ((size_t)64 << 20)

typedef float vec __attribute__((vector_size(WIDTH * 4)));

static volatile float sink;
static double rate[64];
static pthread_barrier_t barrier;

static double now (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Puts the thread on the id-th processor that the process may use. */
static void pin (long id) {
  cpu_set_t all, one;
  sched_getaffinity(0, sizeof all, &all);
  CPU_ZERO(&one);
  for (int cpu = 0, n = 0; cpu < CPU_SETSIZE; cpu++)
    if (CPU_ISSET(cpu, &all) && n++ == id) CPU_SET(cpu, &one);
  sched_setaffinity(0, sizeof one, &one);
}

static void *fma_loop (void *p) {
  long id = (long)p, n = 1000000;
  double sum = 0;
  pin(id);
  for (int r = 0; r < ROUNDS; r++) {
    vec a[CHAINS], x = (vec){0} + 0.999f, y = (vec){0} + 0.001f;
    for (int i = 0; i < CHAINS; i++) a[i] = (vec){0} + (float)i;
    pthread_barrier_wait(&barrier);
    double t = now();
    for (long k = 0; k < n; k++) {
      for (int i = 0; i < CHAINS; i++) a[i] = a[i] * x + y;
      __asm__ volatile("" ::"r"(k));
    }
    t = now() - t;
    for (int i = 0; i < CHAINS; i++) sink += a[i][0];
    sum += (double)n * CHAINS * WIDTH * 2 / t / 1e9 / ROUNDS;
  }
  rate[id] = sum;
  return NULL;
}

static void *copy_loop (void *p) {
  long id = (long)p;
  char *from = aligned_alloc(4096, COPY_BYTES), *to = aligned_alloc(4096, COPY_BYTES);
  double best = 0;
  if (!from || !to) exit(1);
  pin(id);
  memset(from, 1, COPY_BYTES);
  memset(to, 2, COPY_BYTES);
  for (int r = 0; r < ROUNDS; r++) {
    pthread_barrier_wait(&barrier);
    double t = now();
    memcpy(to, from, COPY_BYTES);
    t = now() - t;
    sink += to[r];
    double g = 2 * (double)COPY_BYTES / t / 1e9;
    best = g > best ? g : best;
  }
  rate[id] = best;
  free(from);
  free(to);
  return NULL;
}

int main (int argc, char **argv) {
  pthread_t t[64];
  double total = 0;
  int n = argc == 3 ? atoi(argv[2]) : 0;
  if (n < 1 || n > 64 || (strcmp(argv[1], "fma") != 0 && strcmp(argv[1], "copy") != 0)) {
    fprintf(stderr, "usage: limits fma|copy THREADS\n");
    return 2;
  }
  pthread_barrier_init(&barrier, NULL, (unsigned)n);
  for (long i = 0; i < n; i++)
    if (pthread_create(&t[i], NULL, argv[1][0] == 'f' ? fma_loop : copy_loop, (void *)i)) return 1;
  for (int i = 0; i < n; i++) {
    pthread_join(t[i], NULL);
    total += rate[i];
  }
  printf("%f\n", total);
  return 0;
}
