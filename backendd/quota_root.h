/*
 * quota_root: a quota root that is counted, or being counted; for quota.c.
 *
 * Its members are the pages (ledger) of the mailboxes that belong to it.  They
 * are gathered from the list in slices of turns; what is not known of them is
 * fetched from their stores; meanwhile changes of the list and of mailboxes
 * are followed as they are later.
 */
#ifndef BACKENDD_QUOTA_ROOT_H
#define BACKENDD_QUOTA_ROOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "backendd/quota.h"
#include "lib/buf.h"
#include "lib/map.h"

struct ledger_page;
struct task;

/* Somebody who asked before it was counted. */
struct quota_waiter {
	TAILQ_ENTRY(quota_waiter) link;
	struct quota_need need;
	quota_check_cb *check; /* or */
	quota_usage_cb *usage;
	void *arg;
};

enum quota_root_state {
	ROOT_GATHERING, /* going through the list */
	ROOT_FETCHING,  /* ...and waiting for the store */
	ROOT_COUNTED
};

/* A quota root that is counted, or being counted. */
struct quota_root {
	TAILQ_ENTRY(quota_root) link;
	struct quotas *all;
	char *name;
	enum quota_root_state state;
	bool again; /* what was gathered is not right any more */
	struct quota_limits limits;
	struct quota_usage usage;
	struct quota_usage held;          /* on its way to members */
	unsigned warned[QUOTA_RESOURCES]; /* percent */
	TAILQ_HEAD(, ledger_page) members;
	size_t nmembers;
	bool own; /* its own mailbox has been gathered */
	struct buf cursor;
	size_t fetching; /* answers that are due */
	TAILQ_HEAD(, quota_waiter) waiters;
};

TAILQ_HEAD(quota_roots, quota_root);

struct quotas {
	struct backendd *bd;
	struct map roots;
	struct quota_roots counted;      /* asked for longest ago first */
	struct quota_roots counting;     /* GATHERING or FETCHING */
	TAILQ_HEAD(, quota_hold) coming; /* to names: few */
	size_t nmembers;
	struct quota_counts counts;
	struct task *pump;
	uint64_t key[2];
};

/* Of a name, in the arena; NULL: it has none. */
const char *quota_root_find(struct quotas *q, const char *name, struct arena *a,
    struct quota_limits *limits);

/* Begins to count it, if it is not counted. */
struct quota_root *quota_root_get(struct quotas *q, const char *name,
    const struct quota_limits *limits);

/* Will be answered when it is counted; copied. */
void quota_root_await(struct quota_root *r, const struct quota_waiter *how);

/* Of one that is counted.  What fits is held, if it is to be. */
enum quota_verdict quota_root_decide(struct quota_root *r,
    const struct quota_need *need);

/* So much is on its way to its mailbox from now on. */
void quota_root_expect(struct quota_hold *h, uint64_t octets,
    uint64_t messages);

/* One of the mailboxes that are on their way to a name is listed. */
void quota_root_listed(struct quotas *q, const char *name,
    const struct ledger_page *p);

/* What is known of it may be wrong: it may be gone after. */
void quota_root_doubt(struct quota_root *r);

/* A mailbox becomes this one's, by this name; it is nobody's any more. */
void quota_root_attach(struct quota_root *r, struct ledger_page *p,
    const char *name);
void quota_root_detach(struct ledger_page *p);

/* Is it counted by this name? */
bool quota_root_has(const struct quotas *q, const struct ledger_page *p,
    const char *name);

/* All of them begin or end; who waits is forgotten. */
void quota_roots_init(struct quotas *q);
void quota_roots_fini(struct quotas *q);

#endif
