/*
** transport.h - what carries numbers between the processes of a job (the ranks). The core knows no
** more of it than this; runtime/lua/mpi/mpi.c makes one of an MPI library.
*/
#ifndef GAN_TRANSPORT_H
#define GAN_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#define GAN_TRANSPORT_VERSION 1

typedef struct gan_transport {
  int version;    /* GAN_TRANSPORT_VERSION of whoever made it */
  int rank, size; /* this process, from 0, and how many there are */
  void *self;

  /* Begins the sum over all ranks of n numbers (double or float), which takes their place in
     `data`; they must be left alone until it has ended. Every rank begins the same sums in the same
     order. A handle from 0 on, or -1 after an error. */
  int (*start)(void *self, void *data, int64_t n, bool wide);

  /* Moves everything on a little. 1: the sum has ended, and its handle with it; 0: not yet; -1:
     after an error. */
  int (*test)(void *self, int handle);

  /* Of the last error. [borrowed] */
  const char *(*message)(void *self);
} gan_transport;

#endif
