/*
 * mblist: the local mailbox list: what is on this server's disks.
 *
 * Reading is at once, from memory.  Changing takes as long as the update
 * server, the store and the journal take, and calls back when all is durable
 * and published; a result other than MBLIST_OK means that nothing has changed
 * anywhere, or will not have, once the update server can be told.  If it
 * cannot be heard for publish_timeout a change is taken back, durably, as long
 * as that is possible; the sequences are in architecture(7).  A name with a
 * change under way is busy, and a second change of it (or above or below it)
 * waits for no one: it is MBLIST_BUSY.
 *
 * It checks no ACL: that is the caller's.  Names are internal.
 *
 * Names that begin with "quarantine." are of mailboxes set aside
 * (mblist_quarantine.h): they are never published, and no mailbox is made or
 * renamed to be there.
 */
#ifndef BACKENDD_MBLIST_H
#define BACKENDD_MBLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/mboxrec.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct backendd;
struct buf;
struct err;
struct mblist;
struct quota_limits;

/* Blocks: for start-up. */
int mblist_open(struct mblist **lp, struct backendd *bd,
    struct err *err) MUST_CHECK;
void mblist_close(struct mblist **lp);

/* Its record, in the arena; NULL if it does not exist (yet, or any more). */
const struct mboxrec *mblist_get(struct mblist *l, const char *name,
    struct arena *a);

/*
 * The mailboxes whose internal name begins with these octets, in order.
 * Returning false stops.  No change may be begun from inside.
 */
typedef bool mblist_visit(void *arg, const char *name,
    const struct mboxrec *rec);
void mblist_each(struct mblist *l, const char *prefix, mblist_visit *visit,
    void *arg);

/*
 * The mailboxes at and below a name, those whose ACL names an identifier, or,
 * both being empty, all there are; at most so many in a turn.  The cursor
 * (empty at first, a ceiling of TREEDB_KEY_MAX + 1) moves on.  True: that was
 * all, or visit said that it is enough.
 */
struct mblist_range {
	struct slice below, identifier;
};
bool mblist_some(struct mblist *l, const struct mblist_range *of,
    struct buf *cursor, size_t most, mblist_visit *visit, void *arg);

/*
 * Names that went since the start.  A walk of several turns in which it has
 * changed may have seen neither name of a mailbox that was renamed.
 */
uint64_t mblist_removals(const struct mblist *l);

/* The nearest existing mailbox above it; NULL if there is none. */
const char *mblist_parent(struct mblist *l, const char *name, struct arena *a);

enum mblist_result {
	MBLIST_OK,
	MBLIST_EXISTS,      /* here */
	MBLIST_TAKEN,       /* elsewhere, says the update server */
	MBLIST_NONE,        /* there is no such mailbox */
	MBLIST_BUSY,        /* another change of it is under way */
	MBLIST_UNAVAILABLE, /* the update server cannot be asked, or heard */
	MBLIST_LIMIT,       /* too many at once, or too long a name */
	MBLIST_FAILED       /* the disk */
};

/* Borrowed for the call; text is for the log. */
typedef void mblist_cb(void *arg, enum mblist_result r, const char *text);

struct mblist_new {
	const char *partition;   /* NULL: the default */
	const char *acl;         /* tab form */
	const char *special_use; /* "\Sent \Drafts", or "" */
	const struct quota_limits
	    *quota; /* it is to be a quota root; or NULL */
};

/* None of these calls back from inside.  Strings are copied. */
void mblist_create(struct mblist *l, const char *name,
    const struct mblist_new *how, mblist_cb *cb, void *arg);
void mblist_delete(struct mblist *l, const char *name, mblist_cb *cb,
    void *arg);

/* With everything below it: all or none. */
void mblist_delete_tree(struct mblist *l, const char *name, mblist_cb *cb,
    void *arg);

/*
 * With everything below it: all or none.  From one user's INBOX to another's,
 * what is kept for the user goes with it; from an INBOX to elsewhere, the
 * INBOX is there afterwards, empty, and what is below it stays.
 */
void mblist_rename(struct mblist *l, const char *from, const char *to,
    mblist_cb *cb, void *arg);
void mblist_set_acl(struct mblist *l, const char *name, const char *acl,
    mblist_cb *cb, void *arg);

/* "\Sent \Drafts", or ""; each of them one that CREATE takes. */
void mblist_set_uses(struct mblist *l, const char *name, const char *uses,
    mblist_cb *cb, void *arg);
bool mblist_is_use(struct slice word);

/* A user's INBOX and special-use mailboxes, if missing. */
void mblist_make_user(struct mblist *l, const char *user, mblist_cb *cb,
    void *arg);

/* The configuration has changed. */
void mblist_configured(struct mblist *l);

/* Was it deleted, and is kept for a while only? */
bool mblist_is_deleted(struct mblist *l, struct slice mailboxid);

/* Is it set aside?  Then it is administrators' only. */
bool mblist_is_aside(const char *name);

/*
 * The update server can be reached: say again what it may not know, and begin
 * the changes that waited for it.  Or it cannot, any more: changes wait for it
 * until it has been gone for publish_timeout, and are MBLIST_UNAVAILABLE then.
 */
void mblist_link(void *list, bool up);

/* Changes and notes under way that a clean end should wait for. */
size_t mblist_busy(const struct mblist *l);

/* For metrics; they live as long as the list. */
struct mblist_counts {
	uint64_t quarantined; /* set aside since the start */
	uint64_t conflicts;   /* names found to be another server's, too */
	uint64_t compared;    /* comparisons with the update server */
	uint64_t withheld;    /* now: lacking here, not deleted there */
	uint64_t damaged;     /* mailboxes lost when the list was made anew */
};
const struct mblist_counts *mblist_counts(const struct mblist *l);

/* Names that the update server has not been told of yet. */
size_t mblist_unsettled(const struct mblist *l);

/* The NO's code ("ALREADYEXISTS") and text for a result other than OK. */
const char *mblist_code(enum mblist_result r);
const char *mblist_text(enum mblist_result r);

#endif
