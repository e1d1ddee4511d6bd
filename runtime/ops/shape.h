/*
** shape.h - the records of the family of shapes, which lies in three files: shape.c (the same
** elements in another shape), shape_view.c (parts and expansions, views too) and shape_move.c
** (elements are moved: cat, pad, flip ...).
*/
#ifndef GAN_OPS_SHAPE_H
#define GAN_OPS_SHAPE_H

#include "../core/op.h"

extern gan_op gan_op_narrow, gan_op_select, gan_op_split, gan_op_chunk, gan_op_unslice,
    gan_op_stack, gan_op_flip, gan_op_roll, gan_op_tile, gan_op_tril, gan_op_triu,
    gan_op_contiguous;
extern gan_op gan_op_index_add; /* index.c */

/* 0-based place of a dimension to be added, of `ndim` in the result; an error and -1 otherwise. */
int gan_new_dim(gan_ctx *c, int64_t dim, int ndim);

#endif
