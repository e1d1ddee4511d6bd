/*
** rnn.h - the element-wise part of recurrent cells, for `rows` rows of `size` hidden units.
**
** p, q: what the input and the hidden state contribute to the gates, rows x (gates * size).
** Gradients that did not arrive are NULL and count as 0; a gradient that is NULL among the results
** is not wanted.
*/
#ifndef GAN_KERNELS_RNN_H
#define GAN_KERNELS_RNN_H

#include "isa.h"

typedef struct {
  /* gates i f g o of p + q: c1 = f c + i g, h1 = o tanh(c1) */
  void (*lstm)(int64_t rows, int64_t size, const gan_real *p, const gan_real *q,
               const gan_real *c, gan_real *h1, gan_real *c1);
  /* gpq: the gradient of p, which is also that of q */
  void (*lstm_grad)(int64_t rows, int64_t size, const gan_real *p, const gan_real *q,
                    const gan_real *c, const gan_real *gh, const gan_real *gc1, gan_real *gpq,
                    gan_real *gc);
  /* gates r z n: n = tanh(p_n + r q_n), h1 = n + z (h - n) */
  void (*gru)(int64_t rows, int64_t size, const gan_real *p, const gan_real *q, const gan_real *h,
              gan_real *h1);
  void (*gru_grad)(int64_t rows, int64_t size, const gan_real *p, const gan_real *q,
                   const gan_real *h, const gan_real *gh1, gan_real *gp, gan_real *gq,
                   gan_real *gh);
} gan_rnn_table;

GAN_TABLES(gan_rnn)

#endif
