/*
 * listing: what LIST and LSUB choose from: the names a user may see, with what
 * is known of each, in order.
 *
 * Names of mailboxes, of subscriptions, and of the levels above them, each
 * once, by external name; a name's descendants follow it directly.  All of it
 * is in an arena.
 */
#ifndef BACKENDD_LISTING_H
#define BACKENDD_LISTING_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/slice.h"

struct arena;
struct mboxrec;
struct session;

enum {
	LISTING_MAX = 500000 /* names; more are left out */
};

struct listing_name {
	struct slice external;
	const char *internal;      /* NULL: only a level above others */
	const struct mboxrec *rec; /* NULL: no mailbox, or none to be seen */
	bool subscribed;
	bool has_children;     /* to be seen */
	bool subscribed_below; /* some descendant is subscribed */
};

struct listing {
	struct listing_name **names;
	size_t n;
};

/* Everything. */
void listing_all(struct session *ss, struct arena *a, struct listing *l);

/* Subscriptions and the levels above them only. */
void listing_subscribed(struct session *ss, struct arena *a, struct listing *l);

/* One mailbox, by its external name; empty if it is not to be seen. */
void listing_one(struct session *ss, struct arena *a, struct slice external,
    struct listing *l);

#endif
