/*
 * notify_state: what a session's wish is made into, for notify*.c only.
 */
#ifndef BACKENDD_NOTIFY_STATE_H
#define BACKENDD_NOTIFY_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "backendd/notify.h"
#include "backendd/session_state.h"
#include "lib/arena.h"
#include "lib/map.h"
#include "lib/slice.h"

struct store;

/* A mailbox that a session watches. */
struct watch {
	LIST_ENTRY(watch) same;     /* of the same mailbox */
	TAILQ_ENTRY(watch) link;    /* notify.watches */
	TAILQ_ENTRY(watch) waiting; /* notify.pending */
	struct notify *n;
	struct store *store;
	unsigned events;
	unsigned pending; /* of them */
	bool old;         /* the list is being made anew */
	struct slice id;  /* behind the name */
	char name[];
};

TAILQ_HEAD(watch_list, watch);

struct watched {
	LIST_HEAD(, watch) watches;
};

struct notify {
	TAILQ_ENTRY(notify) link;
	struct session *ss;
	struct arena arena; /* of the wish */
	struct notify_wish wish;
	struct watch_list watches, pending;
	size_t nwatches;
	bool overflow;        /* to be said */
	const char *own;      /* a name the running command changes; its own */
	uint32_t fetched_uid; /* new messages up to it were fetched, or were
	                         there before; UINT32_MAX: look */
};

TAILQ_HEAD(notify_list, notify);

/* All of them. */
struct bulletin {
	struct notify_list list;
	struct map watched; /* MAILBOXID: struct watched */
};

/* --- notify_watch.c --- */

bool notify_is_personal(const struct session *ss, const char *name);

/* What it wants to hear of a mailbox. */
unsigned notify_events_of(const struct notify *n, const char *name);
bool notify_watches_messages(const struct notify *n);

unsigned notify_rights_of(struct session *ss, const char *name,
    struct slice acl);

/* There is something new of it, of these events that it wants. */
void notify_note_news(struct watch *w, unsigned events);

/* Makes the list of mailboxes anew.  False: they are too many. */
bool notify_resolve(struct notify *n);
void notify_drop_watches(struct notify *n);

#endif
