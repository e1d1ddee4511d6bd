/*
** graph.h - what the backward pass needs from the nodes.
*/
#ifndef GAN_GRAPH_H
#define GAN_GRAPH_H

#include "core.h"

/* False, with an error, when the node's saved tensors are gone or were changed in place. */
bool gan_node_check(gan_ctx *c, const gan_node *n);

/* Frees what the node saved; it cannot be run again. */
void gan_node_spend(gan_node *n);

#endif
