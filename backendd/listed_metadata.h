/*
 * listed_metadata: annotations of a mailbox that LIST shows (RFC 9590).
 */
#ifndef BACKENDD_LISTED_METADATA_H
#define BACKENDD_LISTED_METADATA_H

#include <stdbool.h>

#include "lib/slice.h"

struct arena;
struct mboxrec;
struct metadata_item;
struct session;

struct listed {
	const char *name;
	const struct mboxrec *rec;
	unsigned rights;
};

/* May one with these rights see them? */
bool listed_metadata_may(unsigned rights);

/* What is to be answered of an entry, NIL if there is none; in the arena. */
void listed_metadata(struct session *ss, const struct listed *m,
    struct slice entry, struct arena *a, struct metadata_item *item);

#endif
