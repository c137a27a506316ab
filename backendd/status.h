/*
 * status: STATUS of one mailbox, for STATUS and for LIST RETURN (STATUS ...).
 */
#ifndef BACKENDD_STATUS_H
#define BACKENDD_STATUS_H

#include <stdbool.h>

#include "lib/slice.h"

struct mboxrec;
struct parse;
struct session;
struct value;

enum status_item { /* bits */
	STATUS_MESSAGES = 1 << 0,
	STATUS_RECENT = 1 << 1,
	STATUS_UIDNEXT = 1 << 2,
	STATUS_UIDVALIDITY = 1 << 3,
	STATUS_UNSEEN = 1 << 4,
	STATUS_DELETED = 1 << 5,
	STATUS_SIZE = 1 << 6,
	STATUS_HIGHESTMODSEQ = 1 << 7,
	STATUS_MAILBOXID = 1 << 8,
	STATUS_DELETED_STORAGE = 1 << 9,
	STATUS_APPENDLIMIT = 1 << 10 /* RFC 7889 */
};

/*
 * The bits of "(MESSAGES UIDNEXT)", which p gave; list may be NULL.  Fails p if
 * that is not what is there.
 */
unsigned status_items(struct parse *p, const struct value *list);

/* why: NULL, or why there is no answer, fit for the client. */
typedef void status_cb(struct session *ss, void *arg, const char *why);

/*
 * Puts "* STATUS name (...)" of a mailbox; what it points to (its ACL does not
 * matter) lives as long as the command or until cb.  true: it is put; false: cb
 * will come, not from inside, when it is, or why not.  Rights are the caller's
 * to check, and that HIGHESTMODSEQ enables CONDSTORE is to be done.  Ask for
 * room for a line first (session_wait_room(), STATUS_ROOM).
 */
enum {
	STATUS_ROOM = 8 * 1024
};
struct status_of {
	const char *name;      /* internal */
	struct slice external; /* as this client sees it */
	const struct mboxrec *rec;
};
bool status_put(struct session *ss, const struct status_of *of, unsigned items,
    status_cb *cb, void *arg);

#endif
