/*
 * casefold: UTF-8 prepared for i;unicode-casemap (RFC 5051), to compare and to
 * search without regard to case.
 *
 * Each character becomes its titlecase, and that its compatibility
 * decomposition (Unicode 14); marks are not reordered.  Prepared texts compare
 * as octets do.  Malformed octets stay as they are.  The law: cuts between
 * characters do not matter, and texts that differ in the case of ASCII only are
 * the same.
 */
#ifndef IMAP_CASEFOLD_H
#define IMAP_CASEFOLD_H

#include "lib/slice.h"

struct buf;

enum {
	CASEFOLD_GROWTH = 11 /* at most so many times as long */
};

void casefold_put(struct buf *out, struct slice utf8);

#endif
