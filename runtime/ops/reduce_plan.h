/*
** reduce_plan.h - how a tensor is taken apart to be reduced over some of its dimensions.
**
** Dimensions are put in the order of memory and neighbours of one sort (kept or reduced) are
** merged, so that any dense layout, channels-last for one, is reduced where it lies. What remains
** is a short list of groups that alternate; each reduced group is one pass over outer x n x inner.
*/
#ifndef GAN_OPS_REDUCE_PLAN_H
#define GAN_OPS_REDUCE_PLAN_H

#include "../core/op.h"
#include "../kernels/reduce.h"

typedef struct {
  gan_tensor *x; /* dense */
  int ngroups;
  int64_t size[GAN_MAXDIM + 1];
  bool reduced[GAN_MAXDIM + 1]; /* at least one */
  int nreduced;                 /* how many are */
  int64_t count;    /* elements per result, 0 possible */
  int64_t repeated; /* how often each element of x counts: expanded dimensions, see gan_plan */
  int out_ndim;
  int64_t out_shape[GAN_MAXDIM];
  int64_t out_stride[GAN_MAXDIM]; /* of results stored in the order of the kept groups */
} gan_reduce_plan;

/* A plan for the dimensions marked in mask. `sums`: a dimension that is expanded and reduced may be
   counted instead of copied. False on failure. */
bool gan_plan(gan_ctx *c, gan_tensor *x, const bool *mask, bool keepdim, bool sums,
              gan_reduce_plan *p);

/* Copies x, when needed, so that the plan is outer rows of `count` elements. */
bool gan_plan_rows(gan_ctx *c, const bool *mask, gan_reduce_plan *p);

/* An uninitialised result of the plan: its memory, row after row of kept groups. */
gan_tensor *gan_plan_result(gan_ctx *c, const gan_reduce_plan *p, gan_dtype dtype);

/* Reduces, divides by `div` and returns the result. centre: SQDEV's, stored as the result is. */
gan_tensor *gan_reduce(gan_ctx *c, const gan_reduce_plan *p, gan_reduce_kind kind, double div,
                       const gan_tensor *centre);

/* The single reduced group as outer x n x inner. */
void gan_plan_split(const gan_reduce_plan *p, int64_t *outer, int64_t *n, int64_t *inner);

#endif
