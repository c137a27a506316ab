/*
 * append_run: the messages of an APPEND or REPLACE: parsed, made letters, and
 * then all put into the mailbox in one change, or none.
 *
 *	ap = append_parse(ss, most);
 *	if (ap != NULL)
 *		append_run(ap, external, NULL);
 */
#ifndef BACKENDD_APPEND_RUN_H
#define BACKENDD_APPEND_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct append_run;
struct msgset;
struct session;

/* A NO, or a BAD; its texts are static. */
struct append_no {
	const char *why; /* NULL: it is none */
	const char *code;
	bool bad;
};

/*
 * The first literal of such a command is announced, and no more of it is there
 * than that: why it is no use to send it, if it is not.
 */
struct append_no append_refusal(struct session *ss, uint64_t size);

/* Gives the UID of the selected mailbox's message that REPLACE names. */
struct append_no append_replaced(struct session *ss, struct msgset *set,
    uint32_t *uid);

/*
 * Parse " [(flags) ][date-time ]message" up to the end of the command, at most
 * so many.  In the command's arena; NULL: it is no such thing, or may not be,
 * and session_done() has been called.
 */
struct append_run *append_parse(struct session *ss, size_t most);

/*
 * Ends in session_done().  replaces: a UID of the selected mailbox that goes
 * for the one message; 0: none.
 */
void append_run(struct append_run *ap, struct slice external,
    uint32_t replaces);

#endif
