/*
** number.c - decimal numbers in texts, whatever the locale of the process is.
*/
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strtod_l */
#endif
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "csv.h"

typedef struct {
  uint64_t mantissa; /* the first digits, as many as fit */
  int digits;        /* of the mantissa */
  bool exact;        /* all the digits that are not 0 are in the mantissa */
  int64_t exponent;  /* of ten, for the mantissa */
  bool negative;
} decimal;

static bool is_digit (char ch) {
  return ch >= '0' && ch <= '9';
}

/* Takes digits from s[at] on; the place behind them. */
static size_t take_digits (decimal *d, const char *s, size_t at, size_t n, bool fraction) {
  for (; at < n && is_digit(s[at]); at++) {
    uint64_t digit = (uint64_t)(s[at] - '0');
    if (d->digits < 18) {
      d->mantissa = d->mantissa * 10 + digit;
      d->digits += d->mantissa != 0; /* leading zeros are none */
      d->exponent -= fraction;
    }
    else {
      d->exact = d->exact && digit == 0;
      d->exponent += !fraction;
    }
  }
  return at;
}

/* Splits digits, fraction and exponent; false when the text is no decimal number. */
static bool scan (decimal *d, const char *s, size_t n) {
  size_t at = n > 0 && (s[0] == '-' || s[0] == '+'), start = at;
  *d = (decimal){.exact = true, .negative = n > 0 && s[0] == '-'};
  at = take_digits(d, s, at, n, false);
  size_t digits = at - start;
  if (at < n && s[at] == '.') {
    start = ++at;
    at = take_digits(d, s, at, n, true);
    digits += at - start;
  }
  if (digits == 0) return false;
  if (at < n && (s[at] == 'e' || s[at] == 'E')) {
    bool negative = ++at < n && s[at] == '-';
    int64_t e = 0;
    if (at < n && (s[at] == '-' || s[at] == '+')) at++;
    if (at == n) return false;
    for (; at < n && is_digit(s[at]); at++)
      if (e < 100000) e = e * 10 + (s[at] - '0');
    d->exponent += negative ? -e : e;
  }
  return at == n;
}

static bool is_word (const char *s, size_t n, const char *const *words) {
  for (; *words; words++)
    if (n == strlen(*words) && strncasecmp(s, *words, n) == 0) return true;
  return false;
}

/* Correctly rounded, by the C library in the C locale. */
static bool slow (const char *s, size_t n, double *value) {
  char text[1024];
  locale_t c = n < sizeof text ? newlocale(LC_ALL_MASK, "C", (locale_t)0) : (locale_t)0;
  if (!c) return false;
  memcpy(text, s, n);
  text[n] = '\0';
  *value = strtod_l(text, NULL, c);
  freelocale(c);
  return true;
}

bool gan_parse_number (const char *s, size_t n, double *value) {
  static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  static const char *const missing[] = {"", "na", "n/a", "nan", "null", "none", "?", NULL};
  static const char *const infinite[] = {"inf", "infinity", NULL};
  decimal d;
  if (is_word(s, n, missing)) {
    *value = NAN;
    return true;
  }
  size_t sign = n > 0 && (s[0] == '-' || s[0] == '+');
  if (is_word(s + sign, n - sign, infinite)) {
    *value = s[0] == '-' ? -INFINITY : INFINITY;
    return true;
  }
  if (!scan(&d, s, n)) return false;
  /* both numbers are exact, so that the one operation rounds correctly */
  if (!d.exact || d.mantissa > (uint64_t)1 << 53 || d.exponent < -22 || d.exponent > 22)
    return slow(s, n, value);
  *value = d.exponent < 0 ? (double)d.mantissa / powers[-d.exponent]
                          : (double)d.mantissa * powers[d.exponent];
  if (d.negative) *value = -*value;
  return true;
}
