/*
** index.h - what the files of the index family share: index.c (places chosen by tensors) and
** sort.c (sorting).
*/
#ifndef GAN_OPS_INDEX_H
#define GAN_OPS_INDEX_H

#include "../core/op.h"

extern gan_op gan_op_sort, gan_op_argsort, gan_op_topk, gan_op_assignment;

/* The values of idx (from 1, negative ones from the end of `size` places) as 0-based places, row by
   row; an error that names the value and the range, before anything is written. [temp] */
gan_tensor *gan_places(gan_ctx *c, const char *name, gan_tensor *idx, int64_t size);

/* y = zeros of input i's shape with gy added at the places idx of dimension d: what the gradients
   of gather, sort and topk are. */
gan_tensor *gan_scatter_back(gan_ctx *c, const gan_node *n, int i, gan_tensor *idx, gan_tensor *gy,
                             int64_t d);

#endif
