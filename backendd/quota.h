/*
 * quota: quota roots, their limits and usage (RFC 9208).
 *
 * A root is a name: of a mailbox, of a level of the tree above some
 * ("shared"), or of a domain ("example.org!").  A mailbox belongs to the
 * nearest root at or above its own name, and to no other; one that was deleted
 * and is kept, or is set aside, to no domain.  Limits are kept in the list of
 * mailboxes, so that a RENAME moves them in the same change.
 *
 * Usage is counted: when a root's is first asked for its mailboxes' numbers
 * are gathered (ledger), and from then on it follows the news of changes.
 * After a restart nothing is counted until somebody asks.
 *
 * Limits are hard: what would exceed one is refused.  Each time usage comes to
 * one of the percentages of quota_warning, that is logged ("overquota").
 *
 * Who adds messages for a session asks first:
 *
 *	quota_admit(ss, name, &need, admitted, me);
 *	... admitted(me, fits): go on, or quota_refuse(ss)
 *
 * and for nobody in particular quota_check().  What was found to fit is on its
 * way then, and with a quota_hold it counts from that moment on, so that what
 * comes at one time to one root does not exceed it together:
 *
 *	need.hold = &me->hold;			zeroed, and not to move
 *	... quota_release(quotas, &me->hold)	it is there, or will not be
 *
 * So do mailboxes that are on their way to a name, by CREATE and RENAME, and
 * what is in them; until they are listed there.
 */
#ifndef BACKENDD_QUOTA_H
#define BACKENDD_QUOTA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/quota.h"
#include "lib/list.h"
#include "lib/slice.h"

struct arena;
struct backendd;
struct buf;
struct ledger_page;
struct mboxrec;
struct quotas;
struct session;

struct quotas *quotas_new(struct backendd *bd);
void quotas_free(struct quotas **qp);

/* --- may it be added? --- */

enum quota_verdict {
	QUOTA_FITS,
	QUOTA_SOFT, /* it fits, and a warning is due */
	QUOTA_OVER,
	QUOTA_LATER /* the call back will say */
};

struct quota_hold {
	struct ledger_page *page; /* of a mailbox that is there; or NULL */
	const char *name;         /* whose and whatever is below it; or NULL */
	TAILQ_ENTRY(quota_hold) link; /* if there is a name */
	uint64_t octets, messages, mailboxes;
};

struct quota_need {
	uint64_t octets;
	uint64_t messages, mailboxes;
	const char *from;        /* internal name of the mailbox they leave
	                            (MOVE); NULL: they are new */
	struct quota_hold *hold; /* of it, if it fits; NULL: this is but a
	                            question.  Of mailboxes it borrows their
	                            name */
};

/*
 * For a mailbox, which need not exist, by its internal name; mostly answered
 * at once.  Only after QUOTA_LATER cb comes, once, and not from inside.
 */
typedef void quota_check_cb(void *arg, enum quota_verdict v);
enum quota_verdict quota_check(struct quotas *q, const char *name,
    const struct quota_need *need, quota_check_cb *cb, void *arg);

/*
 * The same for a running command; cb comes once, perhaps from inside.  If it
 * fits and a warning is due, that has been said.
 */
typedef void quota_admit_cb(void *arg, bool fits);
void quota_admit(struct session *ss, const char *name,
    const struct quota_need *need, quota_admit_cb *cb, void *arg);

/* The same of all that a RENAME would bring to another root; borrows to, too. */
void quota_admit_rename(struct session *ss, const char *from, const char *to,
    struct quota_hold *hold, quota_admit_cb *cb, void *arg);

/* Some of what is held has come, or will not; all of the rest. */
void quota_arrived(struct quota_hold *h, uint64_t octets, uint64_t messages);
void quota_release(struct quotas *q, struct quota_hold *h);

/* session_done() with NO [OVERQUOTA]. */
void quota_refuse(struct session *ss);

/* For metrics. */
struct quota_counts {
	uint64_t refused; /* what would have exceeded a limit */
	uint64_t warned;  /* "overquota" */
};
const struct quota_counts *quota_counts(const struct quotas *q);

/* --- roots --- */

/* The root's internal name, in the arena; NULL: none. */
const char *quota_root_of(struct quotas *q, const char *name, struct arena *a);

/* false: there is no such root. */
bool quota_limits(struct quotas *q, const char *root,
    struct quota_limits *limits);

/* Durable when called back.  Makes the root; no limits is a root, too. */
typedef void quota_set_cb(void *arg, bool failed);
void quota_set(struct quotas *q, const char *root,
    const struct quota_limits *limits, quota_set_cb *cb, void *arg);

/* Never called back from inside. */
typedef void quota_usage_cb(void *arg, const struct quota_usage *usage);
void quota_usage(struct quotas *q, const char *root, quota_usage_cb *cb,
    void *arg);

/* "STORAGE 91 MESSAGE 80": what is above a warning's percentage. */
void quota_put_warnings(struct quotas *q, const char *name, struct buf *out);

/* --- for the list of mailboxes: gathered with its own changes --- */

/* A mailbox is going to get that name / to lose it. */
void quotas_listed(struct quotas *q, const char *name,
    const struct mboxrec *rec);
void quotas_unlisted(struct quotas *q, const char *name,
    const struct mboxrec *rec);

/* One that has just been put is a root of its own from now on. */
void quotas_rooted(struct quotas *q, const char *name,
    const struct mboxrec *rec);

/* A change was taken back: count anew what was counted. */
void quotas_doubt(struct quotas *q);

/* The limits (mblist_quota) at and below a name got others, or went. */
void quotas_moved(struct quotas *q, const char *from, const char *to);

#endif
