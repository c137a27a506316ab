/*
 * msgset: the messages a command names, by numbers or by UIDs, in a view.
 *
 *	msgset_parse(&set, p, by_uid);
 *	why = msgset_begin(&set, ss);		BAD, or NULL
 *	while ((uid = msgset_next(&set, v)) != 0)
 *		...
 *
 * Messages come out in ascending order, as they are at that moment: a command
 * may go on after others have expunged some, and passes over those.  What the
 * numbers mean is fixed meanwhile, as the view does not say EXPUNGE to a client
 * that waits for a reply.  "$", the saved result of a search (RFC 5182), is what
 * of it is still there.
 */
#ifndef BACKENDD_MSGSET_H
#define BACKENDD_MSGSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/seqset.h"
#include "lib/cdefs.h"

struct parse;
struct partial;
struct session;
struct view;

/* Embed it; the members are msgset.c's own.  Ranges are in p's arena. */
struct msgset {
	struct seqset set;
	bool by_uid;      /* the client speaks of UIDs */
	bool uids;        /* set is one of UIDs */
	bool passed_over; /* numbers of messages that are gone */
	size_t range;     /* now in */
	uint32_t next;    /* number or UID to go on with; 0: range's first */
};

void msgset_parse(struct msgset *s, struct parse *p, bool by_uid);

/* Before it begins: is it one number or UID, or "*"? */
bool msgset_is_one(const struct msgset *s);

/*
 * Of a running command with a selected mailbox.  NULL, or what is wrong with
 * the numbers: text for a BAD.
 */
const char *msgset_begin(struct msgset *s, struct session *ss) MUST_CHECK;

/* Of a set of UIDs that has begun: leaves the window's messages (RFC 9394). */
void msgset_window(struct msgset *s, struct session *ss,
    const struct partial *window);

/* The next message that is there; 0: no more. */
uint32_t msgset_next(struct msgset *s, const struct view *v);

/* One that came out has gone before it was of use. */
void msgset_pass_over(struct msgset *s);

/* Were there numbers that the client counts and that are gone? */
bool msgset_passed_over(const struct msgset *s);

#endif
