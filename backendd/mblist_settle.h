/*
 * mblist_settle: the update server is made to say of a name what the list
 * says.
 *
 * A name that may stand otherwise there is wanted; what is to be said of it is
 * read from the list when its turn comes: it is activated if there is a
 * mailbox, else deleted.  So wanting it is idempotent, what has changed
 * meanwhile is said as it is then, and what is refused or unheard is said
 * again, after a pause or when the link is back.
 *
 * A name with a change under way is left alone until that has ended or waits
 * for it here.
 *
 * If another server has the name, whoever waits is told.  If nobody waits, the
 * mailbox is set aside (mblist_quarantine).
 */
#ifndef BACKENDD_MBLIST_SETTLE_H
#define BACKENDD_MBLIST_SETTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "backendd/announce.h"

struct mblist;
struct settle;
struct settle_name;

struct settle *settle_new(struct mblist *l);

/* Nobody is called back; NULL is fine. */
void settle_free(struct settle **sp);

/* At some time. */
void settle_want(struct settle *s, const char *name);

enum settled {
	SETTLED,
	SETTLED_TAKEN /* another server has it */
};
typedef void settle_cb(void *arg, enum settled how);

/* Embed it; zeroed, nobody waits.  The members are mblist_settle.c's. */
struct settle_wait {
	TAILQ_ENTRY(settle_wait) link;
	struct settle_name *of; /* NULL: nobody waits */
	settle_cb *cb;
	void *arg;
};

/* Never calls back from inside. */
void settle_await(struct settle *s, const char *name, enum announce_title title,
    struct settle_wait *w, settle_cb *cb, void *arg);
void settle_cancel(struct settle_wait *w); /* idempotent */

/* The link is there (again). */
void settle_connected(struct settle *s);

/* Names wanted and not settled yet. */
size_t settle_count(const struct settle *s);

/* Those of them that are said now; the others wait to be said again. */
size_t settle_moving(const struct settle *s);

/* All that are wanted by now have numbers up to this one. */
uint64_t settle_last(const struct settle *s);

/* Is all that was wanted up to there settled? */
bool settle_is_done(const struct settle *s, uint64_t number);

#endif
