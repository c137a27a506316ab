/*
 * listline: the LIST response of one mailbox that nobody asked to list: SELECT
 * in IMAP4rev2, and what NOTIFY tells.
 */
#ifndef BACKENDD_LISTLINE_H
#define BACKENDD_LISTLINE_H

#include <stdbool.h>

struct buf;
struct session;

enum {
	LISTLINE_ROOM = 4 * 1024
};

struct listline {
	const char *name;     /* internal */
	const char *was;      /* OLDNAME, internal; NULL: none */
	bool with_subscribed; /* \Subscribed if it is */
	bool no_access;       /* \NoAccess: its rights were taken */
	bool not_there;       /* \NonExistent, for this user at least */
};

/*
 * As it is now: \NonExistent if it is not.  Nothing is said of what this
 * client has no name for.
 */
void listline_put(struct session *ss, const struct listline *l);

/* The same into another buffer. */
void listline_write(struct session *ss, struct buf *out,
    const struct listline *l);

#endif
