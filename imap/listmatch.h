/*
 * listmatch: LIST's patterns.  "*" is anything, "%" anything but a separator.
 *
 * Over external names.  Time is at most name times pattern / 64, and none if
 * the name is too short; patterns longer than LISTMATCH_MAX match nothing
 * (listmatch_too_long() says so beforehand).
 */
#ifndef IMAP_LISTMATCH_H
#define IMAP_LISTMATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/slice.h"

enum {
	LISTMATCH_MAX = 1000
};

bool listmatch_too_long(struct slice pattern);

/* INBOX, alone or before a separator, matches in any case. */
bool listmatch(struct slice pattern, struct slice name, char separator);

/* How many octets of the pattern are plain: every match begins with them. */
size_t listmatch_prefix(struct slice pattern);

#endif
