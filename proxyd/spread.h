/*
 * spread: is a mailbox's whole tree on one server?
 *
 * RENAME of a mailbox with all below it, and DELETE of a user, are one change
 * that one backend makes, all or nothing, to what it has.  Nothing makes such
 * a change on several: so where a tree is spread over them there is none.
 *
 * The copy of the list is looked at, which was synchronised a moment ago: what
 * somebody was told was made before then is seen.  What is made elsewhere
 * meanwhile might as well have been made after the change.
 */
#ifndef PROXYD_SPREAD_H
#define PROXYD_SPREAD_H

#include "imap/mboxrec.h"
#include "lib/slice.h"

struct arena;
struct route;

enum spread_answer {
	SPREAD_NONE,      /* all that there is below is on that server */
	SPREAD_ELSEWHERE, /* this one is not */
	SPREAD_RESERVED,  /* nor will this be: it is being made, or moved */
	SPREAD_MANY,      /* more than can be one change, wherever they are */
	SPREAD_UNKNOWN    /* cannot know now */
};

struct spread {
	struct slice name, acl; /* in the arena */
	char server[MBOXREC_HOST];
};

/* *s: the first of them. */
enum spread_answer spread_look(struct route *r, struct arena *a,
    struct slice root, const char *server, struct spread *s);

#endif
