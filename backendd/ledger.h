/*
 * ledger: the numbers of mailboxes, open or not, as far as they are known.
 *
 * A mailbox has a page from when it was first open or asked for; while it is
 * open the page follows it, and what it was when it was closed is true until
 * it is opened again.  So STATUS of a thousand mailboxes opens none, and a
 * quota root knows its usage without asking.  In a store that others use too
 * (store_module.shared) it is true for LEDGER_TRUE_MS; then it is asked for
 * anew, and quota roots count what was known last.  Pages that are neither
 * open nor counted by a quota root, nor held, are forgotten, those asked for
 * longest ago first, when there are LEDGER_PAGES_MAX.
 *
 * Nothing here is durable: the store is, and is asked (store_peek) for what is
 * not known.
 */
#ifndef BACKENDD_LEDGER_H
#define BACKENDD_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "backendd/store.h"
#include "imap/quota.h"
#include "lib/mono.h"
#include "lib/slice.h"

struct ledger;
struct loop;
struct quota_root;

enum {
	LEDGER_PAGES_MAX = 500000,
	LEDGER_FETCH_MAX = 1024, /* mailboxes of one ledger_fetch() */
	LEDGER_TRUE_MS = 1000    /* as often as open ones are looked at */
};

struct ledger_page {
	TAILQ_ENTRY(ledger_page) link; /* idle, if it is */
	struct store *store;
	const struct store_mailbox *mb; /* NULL: not open */
	struct store_numbers numbers;
	uint32_t recent; /* messages no session was shown; while not open */
	bool known;      /* the numbers are, or were */
	struct mono at;  /* when they were so; while not open */

	/* quota.c's */
	struct quota_root *root; /* that counts it; or NULL */
	struct quota_usage held; /* on its way there */
	unsigned holds;
	TAILQ_ENTRY(ledger_page) member;
	uint64_t name; /* a hash of the one it is counted by */

	char id[STORE_ID_MAX + 1];
};

/* Borrows the loop. */
struct ledger *ledger_new(struct loop *loop);
void ledger_free(struct ledger **lp);

/*
 * Told of each page whose numbers have become others, or known, with those it
 * had (zeros if it had none).  One; NULL ends it.
 */
typedef void ledger_observer(void *arg, struct ledger_page *p,
    const struct store_numbers *old);
void ledger_observe(struct ledger *l, ledger_observer *fn, void *arg);

/* --- mailbox.c's: it is open, has news, is about to be closed --- */

struct ledger_page *ledger_opened(struct ledger *l,
    const struct store_mailbox *mb);
void ledger_news(struct ledger *l, struct ledger_page *p);
void ledger_closed(struct ledger *l, struct ledger_page **pp);

/* --- reading --- */

/* NULL: there is none. */
struct ledger_page *ledger_find(struct ledger *l, const struct store *st,
    struct slice id);

/*
 * Makes it if it is not there; valid until the next turn unless it is counted
 * or open.
 */
struct ledger_page *ledger_get(struct ledger *l, struct store *st,
    struct slice id);

/* A mailbox that was made just now, without messages. */
void ledger_made(struct ledger *l, struct store *st, struct slice id,
    uint32_t uidvalidity);

/* It is gone for good. */
void ledger_forget(struct ledger *l, struct store *st, struct slice id);

/* quota.c's: a root counts it; none does any more (p->root is NULL). */
void ledger_counted(struct ledger *l, struct ledger_page *p,
    struct quota_root *root);
void ledger_uncounted(struct ledger *l, struct ledger_page *p);

/* It is not forgotten while it is held. */
void ledger_hold(struct ledger *l, struct ledger_page *p);
void ledger_unhold(struct ledger *l, struct ledger_page *p);

/* Messages that no session was shown. */
uint32_t ledger_recent(const struct ledger_page *p);

/* Are its numbers known, and still true? */
bool ledger_is_true(const struct ledger *l, const struct ledger_page *p);

/* Those of all of these? */
bool ledger_knows(struct ledger *l, const struct store *st,
    const struct slice *ids, size_t n);

/*
 * Asks the store for those of n mailboxes (at most LEDGER_FETCH_MAX, all of
 * st) that are not known, or not true any more.  Calls back when they are, or
 * cannot be; never from inside.  Not to be freed before that.
 */
typedef void ledger_cb(void *arg);
void ledger_fetch(struct ledger *l, struct store *st, const struct slice *ids,
    size_t n, ledger_cb *cb, void *arg);

#endif
