/*
** conv.h - direct convolution on channels-last data.
**
** Convolution and its adjoint (the gradient for the input, which is transposed convolution) are
** one computation, a correlation of a source with a packed weight:
**
**     dst[o, v] = bias[v] + sum over taps t of o, channels c:  src[at(o, t), c] * weight[t, c, v]
**
** Along each axis the destinations fall into classes, o mod `period`. All destinations of a class
** have the same taps, a run of consecutive places in the packed order, and read the source at
**
**     at(o, t) = first[o % period] + (o / period) * advance + t * step,   t = 0 .. ntap - 1,
**
** where places outside [0, in) count as zeros. For a convolution of stride s and dilation d the
** period is 1, advance s, step d. Its adjoint has period s (the sub-pixel phases), advance 1, and
** of the taps of each phase those with larger kernel index come first, so that t rises with `at`.
**
** Zeros of the padding: rows outside the source are never read, columns outside may be read as
** zeros. So a weight that is infinite may or may not give NaN at the border. A NaN of the source
** reaches exactly the destinations whose window covers it.
*/
#ifndef GAN_KERNELS_CONV_H
#define GAN_KERNELS_CONV_H

#include "isa.h"

typedef struct {
  int64_t out, in;      /* size of the destination and of the source */
  int64_t taps;         /* taps in the packed weight */
  int64_t period, advance, step;
  const int64_t *first; /* [min(period, out)] */
  const int64_t *tap0;  /* [min(period, out)] first tap of the class */
  const int64_t *ntap;  /* [min(period, out)] taps of the class */
} gan_conv_axis;

typedef enum {
  GAN_CONV_OUTER, /* vectors of output channels times one source element */
  GAN_CONV_DOT,   /* few output channels: vectors along the source */
  GAN_CONV_DEPTH  /* one channel in and out per group: vectors of groups, here one of channels */
} gan_conv_kind;

/* The correlation of one call, cut into items that may run in any order, by any thread. */
typedef struct {
  gan_conv_axis h, w;
  gan_conv_kind kind;
  int64_t n, groups;
  int64_t ic, oc; /* channels per group of source and destination */
  const gan_real *src;
  int64_t sn, sc, sh, sw; /* strides of the source in elements; any */
  gan_real *dst;
  int64_t dn, dh, dw;     /* strides of the destination; channels are neighbours */
  const gan_real *weight; /* packed */
  const gan_real *bias;   /* packed */
  bool batched;           /* a tile is one place of several images, otherwise several of one row */
  bool direct;            /* read the source in place instead of from a copy of the item's part */
  int64_t chunk, chunks;  /* batched: images, else rows, per item; number of chunks */
  int64_t pitch;          /* of pixels in the copy */
  int64_t left, width;    /* of a row of the copy: columns of zeros before, all columns */
  int64_t image;          /* of images in the copy */
  gan_real *scratch;      /* copies, `scratch_size` elements for each worker */
  int64_t scratch_size;
} gan_conv_job;

/* Packs weight[g * gs + v * vs + c * cs + tap] for a job; `pos[tap]` is the place of a kernel tap
   in the packed order, negative when no destination uses it. Layouts and units:
     outer  [group][block][tap][source channel][lane]              (group, block, run, vector of it)
     dot    [group][destination channel][tap][source channel]      (group, destination channel)
     depth  [tap][group]                                           group
   The caller packs the bias: [group][lane] with whole vectors for outer, otherwise as it is. */
typedef struct {
  gan_conv_kind kind;
  int64_t groups, ic, oc;
  int64_t ktaps;      /* taps of the kernel as it is stored */
  int64_t taps;       /* taps packed */
  const int64_t *pos; /* [ktaps] */
  const gan_real *weight;
  int64_t gs, vs, cs;
  int64_t runs, run;  /* neighbours for an output channel: 1 run of all, or ic runs of ktaps */
  gan_real *packed;
} gan_conv_pack;

/* The gradient for the weight: for every tap (ky, kx) and pair of channels of a group
     grad[tap, a, v] = sum over images and places (oy, ox) of A[.., a] * V[.., v]
   where one of A and V is the large side x at (oy * sh - ph + ky * dh, ox * sw - pw + kx * dw), the
   other the small side g at (oy, ox). Vectors run along V; its blocks are whole vectors.
   The rows (of all images) are cut into parts; their sums go to separate buffers, which `fold` adds
   up in order. Items are (part, group, tap, block of V); (part, group) for patches; (part, tap) for
   depth. */
typedef struct {
  const gan_real *data; /* [n][h][w] pixels */
  int64_t group, block; /* between groups and between V's blocks of channels */
  int64_t pitch;        /* between pixels; 0: as wide as the block */
} gan_conv_side;

typedef struct {
  int64_t n, groups, ih, iw, oh, ow;
  int64_t kh, kw, sh, sw, ph, pw, dh, dw;
  int64_t ci, co;           /* channels per group of the large and the small side */
  bool swapped;             /* A is the small side, V the large one */
  bool patches;             /* few channels: A is the kh * kw * ci elements under the kernel */
  bool depth;               /* one channel in and out per group: A and V side by side */
  gan_conv_side x, g;       /* large and small */
  int64_t parts, span;      /* rows (of n * oh) per part */
  bool more;                /* the sums go on from what they are instead of from zero */
  int64_t far_rows, rows;   /* rows gone through at a time, so that they stay in the second and the
                               first cache */
  gan_real *sums;           /* [parts][sums_size] */
  int64_t sums_size;        /* groups * kh * kw * A's channels * V's channels in whole vectors */
  gan_real *scratch;        /* patches: rows * ow * kh * kw * ci elements for each worker */
  int64_t scratch_size;
  gan_real *grad;           /* [groups * co][ci][kh * kw] row-major */
} gan_conv_weight_job;

typedef struct {
  int64_t lanes;      /* elements of a vector */
  int64_t block;      /* output channels of a full block of packed weights */
  int64_t tile;       /* places of a full tile */
  int64_t few;        /* up to this many output channels GAN_CONV_DOT is possible */
  void (*pack)(const gan_conv_pack *p, int64_t lo, int64_t hi); /* units */
  void (*run)(const gan_conv_job *j, int64_t lo, int64_t hi, int worker); /* items */
  /* rows of pixels from any layout to channels-last: dst[pix * pitch + c] */
  void (*gather)(gan_real *dst, int64_t pitch, const gan_real *src, int64_t sc, int64_t spix,
                 int64_t channels, int64_t pixels);
} gan_conv_table;

typedef struct {
  int64_t lanes, block; /* elements of a vector; of V gone through at a time */
  void (*run)(const gan_conv_weight_job *j, int64_t lo, int64_t hi, int worker); /* items */
  /* units are (group, block of V, channel of A); for depth, groups */
  void (*fold)(const gan_conv_weight_job *j, int64_t lo, int64_t hi);
} gan_conv_weight_table;

GAN_TABLES(gan_conv)
GAN_TABLES(gan_conv_weight)

#endif
