/*
 * target: a mailbox that a command names, found, allowed and opened.
 *
 *	target_open(ss, parse_mailbox(p), ACL_READ, opened, me)
 */
#ifndef BACKENDD_TARGET_H
#define BACKENDD_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct mailbox;
struct mboxrec;
struct seen;
struct session;
struct store;

/* In the command's arena. */
struct target {
	const char *name;          /* internal */
	const struct mboxrec *rec; /* as it was when the command began */
	unsigned rights;           /* of this user */
	struct store *store;
	struct mailbox *m; /* a hold: the receiver's to release */
};

typedef void target_cb(void *arg, struct target *t);

/*
 * external is as the client wrote it; need are rights (imap/acl).  Calls back
 * later, or, when there is no such mailbox or it cannot be opened, session_done
 * with the NO that fits, and cb never.
 */
void target_open(struct session *ss, struct slice external, unsigned need,
    target_cb *cb, void *arg);

/* The same for an internal name and its record, without looking at rights.
 * When it cannot be opened cb gets NULL, and nothing has been answered. */
void target_open_record(struct session *ss, const char *name,
    const struct mboxrec *rec, target_cb *cb, void *arg);

/* The flags (of enum store_flag) that these rights allow to change. */
uint32_t target_flags(unsigned rights);

/* A hold on this user's own \Seen of it; NULL if \Seen is shared there. */
struct seen *target_seen(struct session *ss, const struct target *t);

#endif
