/*
** csv.h - tables of text: fields between separators (RFC 4180), numbers and labels.
*/
#ifndef GAN_CSV_H
#define GAN_CSV_H

#include "files.h"

/* A decimal number, "inf", or a word for a missing value ("", NA, N/A, NaN, null, none, ?), which
   is NaN. False: it is none of these. Correctly rounded; knows no locale. */
bool gan_parse_number(const char *s, size_t n, double *value);

#endif
