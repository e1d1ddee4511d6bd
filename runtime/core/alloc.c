/*
** alloc.c - every byte of the runtime goes through here: alignment, counters, limit, reuse, and
** failures on demand for tests.
**
** Blocks are rounded up to a size class and kept in per-class lists when freed: a training step
** asks for the same sizes again and again, and gets buffers that are still in the cache. Callers
** remember the size, so blocks have no header.
*/
#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core.h"

#define SMALL 4096 /* up to here classes are multiples of 64 bytes; above, 8 per power of two */
#define CACHE_DEFAULT ((size_t)512 << 20)
#define HUGE_PAGE ((size_t)2 << 20)

/* Index and size of the class of a request; -1 where blocks are too large to be kept. */
static int size_class (size_t bytes, size_t *rounded) {
  if (bytes <= SMALL) {
    size_t k = bytes ? (bytes - 1) / 64 : 0;
    *rounded = (k + 1) * 64;
    return (int)k;
  }
  int e = 63 - __builtin_clzll((unsigned long long)(bytes - 1)); /* 2^e <= bytes-1 < 2^(e+1) */
  size_t base = (size_t)1 << e, step = base >> 3;
  size_t sub = (bytes - 1 - base) / step;
  *rounded = base + (sub + 1) * step;
  int k = SMALL / 64 + (e - 12) * 8 + (int)sub;
  return k < GAN_CLASSES ? k : -1;
}

static void *refuse (gan_ctx *c, size_t bytes) {
  gan_alloc_state *m = &c->mem;
  const double mib = 1048576.0;
  if (m->limit && m->live + bytes > m->limit)
    return gan_fail(c, GAN_EMEMORY,
                    "out of memory: %.1f MiB asked for, %.1f MiB in use, the limit is %.1f MiB",
                    (double)bytes / mib, (double)m->live / mib, (double)m->limit / mib);
  return gan_fail(c, GAN_EMEMORY, "out of memory: %.1f MiB asked for, %.1f MiB in use",
                  (double)bytes / mib, (double)m->live / mib);
}

static bool failure_due (gan_alloc_state *m) {
  m->allocations++;
  if (m->fail_after < 0 || m->fail_after-- > 0) return false;
  m->injected = true;
  return true;
}

/* Large blocks lie on huge pages where the system has them for the asking: otherwise a loop with
   large strides spends its time on address translation, and the first use on page faults. */
static void *system_block (size_t size) {
#if defined(MADV_HUGEPAGE)
  if (size >= 2 * HUGE_PAGE) {
    void *p = aligned_alloc(HUGE_PAGE, (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    if (p) madvise(p, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return p;
  }
#endif
  return aligned_alloc(64, size);
}

static void *fresh_block (gan_ctx *c, size_t size) {
  void *p = system_block(size);
  if (!p && c->mem.cached) { /* the system is short: give back what is kept, then once more */
    gan_memory_trim(c);
    p = system_block(size);
  }
  return p;
}

/* What a step needed at once it will need again: up to that, blocks are kept whatever their sum. */
static bool worth_keeping (const gan_alloc_state *m, size_t size) {
  size_t kept = m->cached + size;
  return kept <= m->cache_limit || m->live + kept <= m->peak + m->peak / 8;
}

void *gan_malloc (gan_ctx *c, size_t bytes) {
  gan_alloc_state *m = &c->mem;
  if (bytes > (SIZE_MAX >> 2) || failure_due(m)) return refuse(c, bytes);
  size_t size;
  int k = size_class(bytes, &size);
  if (m->limit && m->live + size > m->limit) return refuse(c, size);
  void *p;
  if (k >= 0 && m->free[k]) {
    gan_block *b = m->free[k];
    m->free[k] = b->next;
    m->cached -= size;
    p = b;
  }
  else if (!(p = fresh_block(c, size)))
    return refuse(c, size);
  m->live += size;
  if (m->live > m->peak) m->peak = m->live;
  return p;
}

void gan_free (gan_ctx *c, void *p, size_t bytes) {
  if (!p) return;
  gan_alloc_state *m = &c->mem;
  size_t size;
  int k = size_class(bytes, &size);
  m->live -= size;
  if (k < 0 || !worth_keeping(m, size)) {
    free(p);
    return;
  }
  gan_block *b = p;
  b->next = m->free[k];
  m->free[k] = b;
  m->cached += size;
}

void gan_alloc_open (gan_ctx *c) {
  c->mem.fail_after = -1;
  c->mem.cache_limit = CACHE_DEFAULT;
}

void gan_memory_trim (gan_ctx *c) {
  for (int k = 0; k < GAN_CLASSES; k++) {
    gan_block *b = c->mem.free[k];
    while (b) {
      gan_block *next = b->next;
      free(b);
      b = next;
    }
    c->mem.free[k] = NULL;
  }
  c->mem.cached = 0;
}

gan_memory_info gan_memory (const gan_ctx *c) {
  const gan_alloc_state *m = &c->mem;
  return (gan_memory_info){ m->live, m->peak, m->cached, m->limit, m->tensors, m->nodes };
}

void gan_memory_limit (gan_ctx *c, size_t bytes) {
  c->mem.limit = bytes;
}

void gan_memory_reset_peak (gan_ctx *c) {
  c->mem.peak = c->mem.live;
}
