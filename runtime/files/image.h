/*
** image.h - what the files about pictures share.
*/
#ifndef GAN_IMAGE_H
#define GAN_IMAGE_H

#include "files.h"

/* Resamples uint8 (channels, height, width) at `from` to (channels, s->height, s->width) at
   `to`. */
bool gan_resample(gan_ctx *c, const uint8_t *from, int channels, int height, int width,
                  const gan_picture_size *s, uint8_t *to);

#endif
