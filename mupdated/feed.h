/*
 * feed: who is told of changes of the list, each under the tag of its UPDATE.
 *
 * A change is a line that is made once, in RFC 3656's form and in the
 * extension's, as far as there are subscribers of each, and kept until all
 * have it.  A subscriber is a place in the row of lines: it takes what its
 * connection has room for, and while it still receives the list it takes
 * nothing.  The row has a ceiling, whatever the number of subscribers; who
 * holds up its beginning when it is reached is marked lost, and its session
 * says BYE.  The list waits for nobody.
 *
 * In RFC 3656's form a reservation is told a little later, and not at all if
 * the next change of the name has come by then, which is the common case.
 * Cyrus IMAP 3.6's frontend takes what it knows as reserved for unavailable
 * without asking again, so that a mailbox just made would be refused there.
 */
#ifndef MUPDATED_FEED_H
#define MUPDATED_FEED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/mupdate.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/map.h"

struct feed_line;
struct list_event;

enum feed_form {
	FEED_PLAIN, /* RFC 3656 */
	FEED_EXT,   /* XMURDER */
	FEED_FORMS
};

/* Embed it; the members are feed.c's own, but for lost. */
struct subscriber {
	TAILQ_ENTRY(subscriber) link;
	enum feed_form form;
	char tag[MUPDATE_TAG_MAX + 1];
	struct buf *out;        /* borrowed */
	struct feed_line *next; /* to be taken; NULL: it has all */
	uint64_t after;         /* lines up to this revision are not for it */
	bool joined, live, lost;
	void (*wake)(void *arg);
	void *arg;
};

struct feed {
	TAILQ_HEAD(, subscriber) subscribers;
	TAILQ_HEAD(, feed_line) lines;
	size_t octets, max; /* of lines */
	struct map quiet;   /* names just reserved, to their lines */
	unsigned count[FEED_FORMS];
	uint64_t lost; /* subscribers, so far */
	struct buf scratch;
};

void feed_init(struct feed *f, size_t max);
void feed_fini(struct feed *f);

/*
 * It will get what changes after the revision.  out is borrowed until
 * feed_leave(); wake is called when there is something to take, or it is lost.
 */
void feed_join(struct feed *f, struct subscriber *s, enum feed_form form,
    struct slice tag, struct buf *out, uint64_t after);

/* From now on it takes. */
void feed_live(struct subscriber *s);

/* What there is, as far as there is room in out. */
enum feed_when {
	FEED_IN_TIME,
	FEED_NOW /* what is reserved as well: it waits for that */
};
void feed_take(struct feed *f, struct subscriber *s, enum feed_when when);

/* Is something to be told later?  Then feed_ripen() is to be called. */
bool feed_is_quiet(const struct feed *f);
void feed_ripen(struct feed *f);

/* Is it live, and has not taken a line of this commit or an earlier one? */
bool feed_behind(const struct subscriber *s, uint64_t number);

/* If it is behind: what comes before that. */
uint64_t feed_before(const struct subscriber *s);

/* Idempotent. */
void feed_leave(struct feed *f, struct subscriber *s);

/* In the order of the commits. */
void feed_push(struct feed *f, const struct list_event *ev);

#endif
