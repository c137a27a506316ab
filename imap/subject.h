/*
 * subject: the base subject of RFC 5256 2.1, without "Re:", "Fwd:", "[list]"
 * and "(fwd)", by which messages are sorted and threaded.
 *
 * Linear in the subject's length, whatever it is made of.
 */
#ifndef IMAP_SUBJECT_H
#define IMAP_SUBJECT_H

#include <stdbool.h>

#include "lib/slice.h"

struct arena;

struct subject {
	struct slice base; /* UTF-8, case kept; in the arena */
	bool bad;   /* not all of it could be made UTF-8: U+FFFD is in it */
	bool reply; /* or forward: one of their marks was removed */
};

/* value: of a Subject field, as header_next() has it. */
void subject_base(struct arena *a, struct slice value, struct subject *s);

#endif
