/*
 * feed: who is told of changes of the list, each under the tag of its UPDATE.
 *
 * A subscriber that still receives the list has its changes kept aside until
 * feed_live(); then they go out at once.  One that falls too far behind is
 * marked lost, and its session says BYE: the list does not wait for it.
 */
#ifndef MUPDATED_FEED_H
#define MUPDATED_FEED_H

#include <stdbool.h>
#include <stddef.h>

#include "imap/mupdate.h"
#include "lib/buf.h"
#include "lib/list.h"

struct list_event;

/* Embed it; the members are feed.c's own, but for lost. */
struct subscriber {
	TAILQ_ENTRY(subscriber) link;
	char tag[MUPDATE_TAG_MAX + 1];
	struct buf aside;
	struct buf *out; /* borrowed */
	size_t max;      /* octets that may wait */
	bool joined, live, lost;
	void (*wake)(void *arg);
	void *arg;
};

struct feed {
	TAILQ_HEAD(, subscriber) subscribers;
	struct buf line; /* scratch */
};

void feed_init(struct feed *f);
void feed_fini(struct feed *f);

/* out is borrowed until feed_leave(); wake is called when out has grown. */
void feed_join(struct feed *f, struct subscriber *s, struct slice tag,
    struct buf *out, size_t max);

/* What was kept aside goes out, and from now on all at once. */
void feed_live(struct subscriber *s);

/* Idempotent. */
void feed_leave(struct feed *f, struct subscriber *s);

/* In the order of the commits. */
void feed_push(struct feed *f, const struct list_event *ev);

#endif
