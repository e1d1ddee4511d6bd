/*
** stb.h - which parts of stb the runtime uses, and how. The bodies are compiled into image.c alone,
** as static functions: another copy of stb in the host is not disturbed.
*/
#ifndef GAN_STB_H
#define GAN_STB_H

#include "../core/core.h"

/* Inflates a raw deflate stream into exactly `out_size` bytes; false when it is malformed or does
   not yield that many. At most INT_MAX bytes on either side. */
bool gan_inflate(const void *in, size_t in_size, void *out, size_t out_size);

/* The structure of a PNG or JPEG file, which stb takes on trust: false and GAN_EFILE when it is
   malformed or ends early, or when the file is neither. */
bool gan_check_image(gan_ctx *c, const char *path, const uint8_t *p, size_t size);

#endif
