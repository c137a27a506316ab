/*
 * msgid: the message ids in a Message-ID, References or In-Reply-To field.
 *
 * An id comes out normalised, as RFC 5256 3 wants it for threading: without
 * angle brackets, folding and comments, a quoted local part without its quotes,
 * upper and lower case as they are.  What is between brackets and has no "@" is
 * no id and is passed over; so is whatever stands between ids.
 *
 *	msgid_init(&it, field.value);
 *	while (msgid_next(&it, arena, &id))
 *		...
 */
#ifndef IMAP_MSGID_H
#define IMAP_MSGID_H

#include <stdbool.h>

#include "lib/slice.h"

struct arena;

/* Embed it; the members are msgid.c's own. */
struct msgid_iter {
	struct slice rest;
};

/* value: of a field, as header_next() has it; borrowed. */
void msgid_init(struct msgid_iter *it, struct slice value);

/* id is in value, or in the arena if it had to be changed. */
bool msgid_next(struct msgid_iter *it, struct arena *a, struct slice *id);

#endif
