/*
 * copy_across: COPY and MOVE from the selected mailbox to one on another
 * backend.
 *
 * Flags and dates are read first; then message after message is read in parts
 * and appended as it comes, so none is held whole.  If one fails, those that
 * were appended are removed again and the answer is NO.  MOVE removes from the
 * source only when the destination has said OK to every message.
 */
#ifndef PROXYD_COPY_ACROSS_H
#define PROXYD_COPY_ACROSS_H

#include <stdbool.h>

struct session;
struct value;

struct copy_across {
	struct value *set;  /* the command's arguments */
	struct value *dest; /* the mailbox, as the client named it */
	const char *server; /* where that is */
	bool by_uid, move;
};

/* Ends the command.  All of c is in the command's arena. */
void copy_across(struct session *ss, const struct copy_across *c);

#endif
