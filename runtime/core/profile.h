/*
** profile.h - the profiler's hooks in the runtime (profile.c).
*/
#ifndef GAN_PROFILE_H
#define GAN_PROFILE_H

#include "core.h"

typedef struct {
  const gan_op *op; /* NULL: empty */
  bool backward;
  int64_t calls, ns;
  double flops; /* of products and convolutions, counted where they are computed */
  double bytes; /* of the tensors that came in and went out */
} gan_profile_row;

typedef struct {
  bool counted; /* the outermost call */
  int64_t ns;
  double work;
} gan_profile_mark;

/* Starts from empty rows; false and an error without memory. */
bool gan_profile_start(gan_ctx *c);
void gan_profile_stop(gan_ctx *c);

/* The row after r, the first for NULL; NULL after the last. */
const gan_profile_row *gan_profile_next(const gan_ctx *c, const gan_profile_row *r);

/* Around the run of an op, its forward or its gradient. */
gan_profile_mark gan_profile_begin(gan_ctx *c);
void gan_profile_end(gan_ctx *c, const gan_profile_mark *m, const gan_op *op, bool backward,
                     double bytes);

/* bytes of a tensor's elements, 0 for NULL */
double gan_profile_bytes(const gan_tensor *t);

#endif
