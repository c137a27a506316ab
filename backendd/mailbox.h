/*
 * mailbox: a mailbox that is open, once, whoever uses it.
 *
 * Sessions' views, copies, searches and deliveries each have a hold on it; the
 * store's mailbox (store.h) is opened for the first and closed after the last,
 * and a little later, so that one delivery after another does not open it anew.
 * What the store says is new goes to every watcher, at once.
 *
 * Messages are read and changed by the functions of store.h on
 * mailbox_store(); this module is about who has it open.
 *
 *	mailbox_open(ms, st, id, opened, me);	... opened(me, m, NULL)
 *	...store_change(mailbox_store(m), ...)
 *	mailbox_release(&m);
 *
 * A hold must not be released before the call backs of what was asked of the
 * store with it have come.
 */
#ifndef BACKENDD_MAILBOX_H
#define BACKENDD_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "backendd/store.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct ledger;
struct letter;
struct loop;
struct mailbox;
struct mailboxes;

struct mailboxes *mailboxes_new(struct loop *l);

/* Told of all news, of any mailbox, before its watchers. */
typedef void mailboxes_observer(void *arg, struct slice mailboxid,
    const struct store_news *n);
void mailboxes_observe(struct mailboxes *ms, mailboxes_observer *fn, void *arg);

/* Their numbers go to this one, borrowed; before the first is opened. */
void mailboxes_tell(struct mailboxes *ms, struct ledger *ledger);

/* Before an end: what nobody holds is closed now; its store may be busy then. */
void mailboxes_close_idle(struct mailboxes *ms);

/* All are released.  Closes what is still open; NULL is fine. */
void mailboxes_free(struct mailboxes **msp);

/* Gives a hold on m; or NULL and why not, fit for a client. */
typedef void mailbox_cb(void *arg, struct mailbox *m, const char *why);

/* Never calls back from inside; always calls back.  id is copied. */
void mailbox_open(struct mailboxes *ms, struct store *st, struct slice id,
    mailbox_cb *cb, void *arg);

/* For who watches it. */
void mailbox_reopen(struct mailbox *m, mailbox_cb *cb, void *arg);

/* Is it being evicted?  Then it may be used still, but not watched. */
bool mailbox_is_going(const struct mailbox *m);

/* One more hold, one less.  The last release closes it, some time later. */
struct mailbox *mailbox_hold(struct mailbox *m);
void mailbox_release(struct mailbox **mp);

/* The same by who does not expect to need it soon: then it is closed now. */
void mailbox_leave(struct mailbox **mp);

/*
 * It is about to be destroyed: watchers are told that it is lost and let go of
 * it, who wants to open it is refused, and when nobody has it any more it is
 * closed and done is called (never from inside).  After store_destroy(), or if
 * it is to stay after all, mailbox_forgive() forgets the refusal.
 */
void mailbox_evict(struct mailboxes *ms, struct store *st, struct slice id,
    void (*done)(void *arg), void *arg);
void mailbox_forgive(struct mailboxes *ms, struct store *st, struct slice id);

const char *mailbox_id(const struct mailbox *m); /* borrowed; open or not */
struct store_mailbox *mailbox_store(const struct mailbox *m); /* borrowed */
const struct store_numbers *mailbox_numbers(const struct mailbox *m);

/*
 * The number of the first message without \Seen; 0: there is none.  What was
 * found is remembered, so that who selects it again does not look again.
 */
uint32_t mailbox_first_unseen(struct mailbox *m);

/*
 * Who is told of news.  Embed it; the list is the mailbox's.  Who watches need
 * not have a hold: the mailbox may be closed then, until somebody opens it, and
 * there are no news of it for as long, unless the store is one that others
 * change too.
 */
struct mailbox_watcher;
struct mailbox_watch_ops {
	void (*news)(struct mailbox_watcher *w, const struct store_news *n);
	void (*lost)(struct mailbox_watcher *w); /* has to release, soon */
};
struct mailbox_watcher {
	TAILQ_ENTRY(mailbox_watcher) link;
	const struct mailbox_watch_ops *ops;
};
void mailbox_watch(struct mailbox *m, struct mailbox_watcher *w);
void mailbox_unwatch(struct mailbox *m, struct mailbox_watcher *w);

/*
 * The changes of flags that news were of, oldest first, for a while: what many
 * views have still to tell is here once.  A message may be in it several
 * times; its record has the MODSEQ of the last.
 */
struct mailbox_change {
	uint64_t modseq;
	uint32_t uid;
};

/*
 * Gives those with a MODSEQ above since, borrowed until the next turn.  false:
 * not all of them are remembered; look at the messages.
 */
bool mailbox_changes(const struct mailbox *m, uint64_t since,
    const struct mailbox_change **changes, size_t *n) MUST_CHECK;

/* --- messages that come in: APPEND and LMTP --- */

struct mailbox_append {
	struct letter *letter;        /* borrowed until the call back */
	uint32_t flags;               /* of enum store_flag */
	const struct slice *keywords; /* by name; those beyond the table's
	                                 room are left out */
	size_t nkeywords;
	int64_t internaldate; /* seconds since 1970; 0: now */
	int16_t zone;
	uint8_t key[16]; /* of the delivery; zeros: none */

	/* Results. */
	enum store_outcome outcome; /* DONE, or TAKEN: has been here before;
	                               GONE: see mailbox_replace() */
	uint32_t uid;               /* if DONE */
};

/*
 * All of n (at most STORE_ITEMS_MAX) or, with why, none.  a is borrowed until
 * the call back, which says when all is durable.
 */
void mailbox_append(struct mailbox *m, struct mailbox_append *a, size_t n,
    store_cb *cb, void *arg);

/*
 * The same for one message, and the message uid of "from" goes: in one change
 * if both are in one store.  GONE: it was not there, and nothing has changed.
 * Both are held until the call back.
 */
void mailbox_replace(struct mailbox *from, uint32_t uid, struct mailbox *m,
    struct mailbox_append *a, store_cb *cb, void *arg);

/* mailbox_append() for one message and a mailbox not held: open, append, release. */
void mailbox_deliver(struct mailboxes *ms, struct store *st, struct slice id,
    struct mailbox_append *a, store_cb *cb, void *arg);

#endif
