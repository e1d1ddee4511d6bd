/*
** ranks.h - training by several processes at once: every rank computes the gradients of its share
** of a batch, and all of them take the mean.
**
** A step works on a share (rows of the whole batch). While there is one, gan_backward averages the
** gradients of shared leaves (parameters) over the ranks: a gradient that is complete is put into a
** bucket, and the sum of a full bucket is begun while the pass goes on. Random tensors whose first
** size is that of the share are the part of this rank of what one process would draw for the whole
** batch. All else that is drawn is the same on every rank.
*/
#ifndef GAN_RANKS_H
#define GAN_RANKS_H

#include <signal.h>

#include "core.h"
#include "transport.h"

/* What has happened since gan_ranks_open. */
typedef struct {
  int64_t passes;   /* backward passes whose gradients were averaged */
  int64_t messages; /* sums of buckets */
  int64_t bytes;    /* in them */
  int64_t early;    /* messages that had ended before their pass was over */
  double waiting;   /* seconds at the ends of passes */
  double passing;   /* seconds in passes altogether */
  int64_t others;   /* sums of other tensors and numbers (statistics, losses) */
  int64_t other_bytes;
} gan_ranks_info;

/* From now on this context belongs to a rank. The transport outlives it. `stop` (or NULL) points to
   a number that becomes other than 0 when the process is asked to end: waiting then fails. */
bool gan_ranks_open(gan_ctx *c, const gan_transport *t, const volatile sig_atomic_t *stop);
void gan_ranks_close(gan_ctx *c);

/* Whether sums can no longer be had: a pass was given up, or the transport failed. */
bool gan_ranks_broken(const gan_ctx *c);
gan_ranks_info gan_ranks_stats(const gan_ctx *c);

/* The sum over the ranks of n numbers in place. Waits. */
bool gan_ranks_sum(gan_ctx *c, void *data, int64_t n, bool wide);

/* ---- for a step that may have to be given up ------------------------------------------------ */

/* The step begins: remembers these tensors. Of those that changed, in an earlier step, after the
   last sum only, there is no copy: nothing can fail any more when they change. */
bool gan_ranks_remember(gan_ctx *c, int n, gan_tensor **t);

/* Tensor i as it was when the step began; NULL where that is lost. [borrowed] */
gan_tensor *gan_ranks_recall(gan_ctx *c, int i);

/* ---- for the backward pass ------------------------------------------------------------------ */

/* Whether gradients are averaged at present. */
static inline bool gan_ranks_at_work (const gan_ctx *c) { return c->ranks && c->share.rows > 0; }

void gan_ranks_begin(gan_ctx *c);

/* The gradient `pending` of a shared leaf is complete. */
bool gan_ranks_give(gan_ctx *c, gan_tensor *leaf);

/* Moves the sums on. */
void gan_ranks_poke(gan_ctx *c);

/* Waits for the sums and puts them in the place of what was given; or, where the pass has failed,
   gives them up. */
bool gan_ranks_end(gan_ctx *c, bool ok);

#endif
