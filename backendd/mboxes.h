/*
 * mboxes: the mailboxes that filters mean (imap/mboxfilter), for a user, now.
 *
 * Only those are in it whose messages he may read; and look up, unless he has
 * named them himself (RFC 7377 2.2).  What is not there, or not for him, is
 * not told from what is.
 */
#ifndef BACKENDD_MBOXES_H
#define BACKENDD_MBOXES_H

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct mboxfilter;
struct session;

enum {
	MBOXES_MAX = 200 * 1000
};

/* Internal names, each once, in no particular order; in the arena. */
struct mboxes {
	const char **names;
	size_t count, size;
	bool too_many; /* more than MBOXES_MAX: not all are in it */
};

/* Adds to *m, which is zeroed first.  Of any kind but SELECTED. */
void mboxes_add(struct mboxes *m, struct session *ss, struct arena *a,
    const struct mboxfilter *f);

/* Adds one by its internal name. */
void mboxes_add_name(struct mboxes *m, struct arena *a, const char *name);

/* Each once. */
void mboxes_settle(struct mboxes *m);

#endif
