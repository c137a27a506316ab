/*
 * walk: the list, or a part of it, sent in slices.
 *
 * A slice is made of what the list is at that moment and given when that is
 * durable; between slices everybody else has their turn.  What changes after
 * its position a subscriber is told by the feed, which it has joined before.
 */
#ifndef MUPDATED_WALK_H
#define MUPDATED_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct session;
struct walk;

enum walk_kind {
	WALK_LIST,    /* MAILBOX and RESERVE of a location */
	WALK_UPDATE,  /* the same of all, for a subscriber */
	WALK_BUCKETS, /* XENTRY of a host's buckets */
	WALK_LEASES,  /* XLEASE */
	WALK_FULL,    /* XENTRY of all, for a subscriber */
	WALK_CHANGES  /* of what came after a revision: what is active first */
};

/* The session walks from now on, under the tag of the command that runs. */
struct walk *walk_begin(struct session *ss, enum walk_kind kind);

/* What WALK_LIST and WALK_BUCKETS are of. */
void walk_of(struct walk *w, struct slice location_or_host);
void walk_want(struct walk *w, uint8_t bucket);

/*
 * WALK_CHANGES: of what came after this revision.  WALK_FULL: that of the list
 * now; the set is made of what is so, and then of what has changed meanwhile.
 */
void walk_from(struct walk *w, uint64_t revision);

void walk_free(struct walk **wp);

/* The next slice; after the last one the session does something else. */
void walk_advance(struct session *ss);

#endif
