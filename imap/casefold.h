/*
 * casefold: UTF-8 folded, to compare without regard to case.
 *
 * Each character becomes its simple case folding (Unicode 14); nothing is
 * normalised.  Malformed octets stay as they are.  The law: folding what is
 * folded changes nothing.
 */
#ifndef IMAP_CASEFOLD_H
#define IMAP_CASEFOLD_H

#include <stdint.h>

#include "lib/slice.h"

struct buf;

void casefold_put(struct buf *out, struct slice utf8);

uint32_t casefold(uint32_t codepoint);

#endif
