/*
** profile.c - where the time of a piece of work goes: calls, time, arithmetic and bytes of each op,
** forward and backward apart. Off, it costs a comparison for each call.
*/
#include <string.h>
#include <time.h>

#include "profile.h"

#define ROWS 1024 /* a power of two, well above twice the number of ops */

struct gan_profile {
  int busy; /* calls under way: an op that calls ops counts once */
  int n;
  gan_profile_row rows[ROWS];
};

static _Thread_local double work_done;

void gan_count_work (double flops) {
  work_done += flops;
}

static int64_t now_ns (void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

bool gan_profile_start (gan_ctx *c) {
  gan_profile_stop(c);
  struct gan_profile *p = gan_malloc(c, sizeof *p);
  if (!p) return false;
  memset(p, 0, sizeof *p);
  c->profile = p;
  return true;
}

void gan_profile_stop (gan_ctx *c) {
  gan_free(c, c->profile, sizeof *c->profile);
  c->profile = NULL;
}

/* The row of an op; the table never fills up, because there are fewer ops. */
static gan_profile_row *row_of (struct gan_profile *p, const gan_op *op, bool backward) {
  uintptr_t h = ((uintptr_t)op / 16 * 2 + backward) * 2654435761u;
  for (size_t k = h % ROWS;; k = (k + 1) % ROWS) {
    gan_profile_row *r = &p->rows[k];
    if (r->op == op && r->backward == backward) return r;
    if (r->op) continue;
    if (p->n == ROWS / 2) return r; /* unreachable: kept from looping for ever */
    p->n++;
    r->op = op;
    r->backward = backward;
    return r;
  }
}

const gan_profile_row *gan_profile_next (const gan_ctx *c, const gan_profile_row *r) {
  if (!c->profile) return NULL;
  r = r ? r + 1 : c->profile->rows;
  while (r < c->profile->rows + ROWS && !r->op) r++;
  return r < c->profile->rows + ROWS ? r : NULL;
}

gan_profile_mark gan_profile_begin (gan_ctx *c) {
  gan_profile_mark m = { .counted = c->profile && c->profile->busy++ == 0 };
  if (m.counted) {
    m.work = work_done;
    m.ns = now_ns();
  }
  return m;
}

void gan_profile_end (gan_ctx *c, const gan_profile_mark *m, const gan_op *op, bool backward,
                      double bytes) {
  if (!c->profile || !c->profile->busy) return;
  c->profile->busy--;
  if (!m->counted || !op) return;
  gan_profile_row *r = row_of(c->profile, op, backward);
  r->calls++;
  r->ns += now_ns() - m->ns;
  r->flops += work_done - m->work;
  r->bytes += bytes;
}

double gan_profile_bytes (const gan_tensor *t) {
  return t ? (double)t->numel * (double)gan_dtype_size((gan_dtype)t->dtype) : 0;
}
