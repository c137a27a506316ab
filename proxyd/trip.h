/*
 * trip: the way of a command about one mailbox to the backend that has it.
 *
 * The command's arguments as values, the name among them looked for in the
 * list, and the command written anew on the leg:
 *
 *	t = trip_begin(ss, go);                  NULL: answered
 *	trip_find_named(ss, t->args->text);      goes, or answers
 *	go:      leg_when_open(session_leg(ss, server), send)
 *	send:    w = leg_ask(g, tag, { .refused = trip_refused, ... });
 *	         trip_write(ss, &w); leg_flush(g);
 *
 * A backend that has no such mailbox though the list says so is not believed at
 * once: the list may be behind.  It is synchronised and asked again; the
 * command goes where the mailbox is now, once, or the client is told that there
 * is none.  If the list stands by what it said, it cannot be known now: NO
 * [UNAVAILABLE].  To a user who may not look the mailbox up the backend says
 * the same as if there were none, and that is passed on.
 */
#ifndef PROXYD_TRIP_H
#define PROXYD_TRIP_H

#include <stdbool.h>

#include "imap/mboxrec.h"
#include "imap/respcode.h"
#include "imap/write.h"
#include "lib/slice.h"
#include "proxyd/route.h"

struct leg;
struct reply_text;
struct session;
struct value;

typedef void trip_go(struct session *ss, const char *server);

/* In the arena, as ss->cmd.trip. */
struct trip {
	struct value *args;
	trip_go *go;        /* where the mailbox is */
	trip_go *looked;    /* NULL, or before that; server "": nowhere */
	enum respcode none; /* said if there is no such mailbox */

	/* The module's. */
	struct slice name; /* internal; .ptr NULL: not looked for */
	char server[MBOXREC_HOST];
	bool again; /* it has been elsewhere than the list said */
	enum respcode code;
	const char *text; /* of the refusal */
};

/* With whatever arguments there are.  NULL, and answered, if they are none. */
struct trip *trip_new(struct session *ss, trip_go *go);

/* The first of them is a mailbox's name, too. */
struct trip *trip_begin(struct session *ss, trip_go *go);
bool trip_is_name(const struct value *v);

/* Calls go, now or later, or answers that there is none or none known. */
void trip_find(struct session *ss, struct slice name);
void trip_find_named(struct session *ss, struct slice external);

/* The same by a copy that is current, in all it has. */
void trip_find_current(struct session *ss, struct slice name);

/* False, and answered, unless it was found. */
bool trip_is_found(struct session *ss, enum route_answer answer,
    enum respcode none);

/* Does this NO say that there is no such mailbox? */
bool trip_is_absence(const struct reply_text *text);

/*
 * If it does, the mailbox is looked for again, and go called, or the client
 * told.  False: the answer is the client's.  For struct ask_use.
 */
bool trip_refused(struct session *ss, struct leg *g,
    const struct reply_text *text);

/* The command's name and arguments, and its end. */
void trip_write(struct session *ss, struct write *w);

#endif
