/*
 * mupdate_scan: a message of MUPDATE that has come whole, at a glance.
 *
 * A list is a million of them, nearly all as programs write them: a tag, a
 * word, and strings, quoted without backslashes or literals that nobody waits
 * for.  Those are found here in one go; all others, the wrong ones too, are
 * imap/mupdate's to read octet by octet, which says the same of these.  For
 * imap/mupdate.c only.
 */
#ifndef IMAP_MUPDATE_SCAN_H
#define IMAP_MUPDATE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/mupdate.h"

struct mupdate_scan {
	struct slice tag, word; /* in the input, as args are */
	size_t nargs;
	struct slice args[MUPDATE_ARGS_MAX];
	size_t octets; /* of all of it */
};

bool mupdate_scan_is_tag_octet(uint8_t c);

/* Is the message at the beginning of the input such a one, and in limits? */
bool mupdate_scan(struct mupdate_scan *s, const uint8_t *in, size_t n,
    const struct mupdate_limits *limits) MUST_CHECK;

#endif
