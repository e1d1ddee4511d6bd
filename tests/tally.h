/*
** tally.h - what a C test says: one "ok" or "not ok" line for each thing that is tested, which
** scripts/test counts, and whether anything failed.
*/
#ifndef GAN_TESTS_TALLY_H
#define GAN_TESTS_TALLY_H

#include <stdbool.h>
#include <stdio.h>

static int failures;

/* `why`: what is to be told besides, "" or NULL for nothing. */
static inline void report (bool ok, const char *name, const char *why) {
  bool more = why && *why;
  printf("%s - %s%s%s\n", ok ? "ok" : "not ok", name, more ? ": " : "", more ? why : "");
  fflush(stdout);
  if (!ok) failures++;
}

#endif
