/*
** plan.h - a tape made ready to run: shared by plan.c, which makes it, and replay.c, which runs it.
*/
#ifndef GAN_PLAN_H
#define GAN_PLAN_H

#include "tape.h"

/* An elementwise loop that waits for the others of its chain. */
typedef struct {
  gan_range_fn *range;
  _Alignas(16) char job[112];
} gan_link;

#define GAN_CHAIN_MAX 16

/* An instruction with pointers in the place of slot numbers. */
typedef struct {
  const gan_instr *from;
  const gan_op *op;
  gan_arg *a;
  gan_tensor **out;  /* forward: room for the results */
  gan_tensor **gx;   /* backward: room for the gradients; copy: the source */
  gan_tensor **results; /* where they are expected; NULL: not wanted */
  gan_node *node;    /* backward */
  gan_tensor **made; /* what it makes, in order */
  int nmade;
  int chain; /* so many moves from here on are one chain of elementwise loops; 0: none */
} gan_move;

struct gan_replay {
  gan_ctx *c;
  gan_tape *tape;
  gan_tensor **tensors; /* one per slot, counted */
  gan_tensor **grads;   /* one per leaf: what it has at the end, counted; NULL: nothing */
  int *shares;          /* one per leaf: of the memory of its gradient while nobody else has one */
  gan_tensor **inputs;  /* of the replay under way, counted; NULL: none is */
  gan_move *moves;
  int nmoves;
  size_t bytes, needed; /* of shared memory; of all that shares it */
  size_t apart;         /* of made memory outside it */
  const gan_move *now;  /* replay: the instruction under way */
  int taken;            /* replay: how many of now->made were taken */
  bool chaining;        /* replay: elementwise loops are collected */
  int nlinks;
  int64_t numel, grain; /* of the chain's loops */
  gan_link links[GAN_CHAIN_MAX];
  int at;               /* the next move */
  bool astray;          /* it did not go as recorded: the plan is of no use any more */
};

/* Gives leaf k a header of its own for the gradient that the step leaves it with. */
bool gan_replay_make_grad(gan_replay *p, int k);

/* x lies in s from now on. */
void gan_replay_move(gan_tensor *x, gan_storage *s);

#endif
