/*
 * notices: untagged responses that are no command's and no mailbox's: what
 * somebody else has changed and this session wants to hear of.
 *
 * They are said before the next tagged reply, and at once to a session in
 * IDLE.  A session has them only from the ENABLE that asks for them on.  What
 * is above NOTICES_MAX octets is dropped: a client that is silent for so long
 * has to ask anyway.
 */
#ifndef BACKENDD_NOTICES_H
#define BACKENDD_NOTICES_H

#include <stdbool.h>
#include <sys/queue.h>

#include "lib/buf.h"

struct session;

enum {
	NOTICES_MAX = 32 * 1024
};

struct notices {
	TAILQ_ENTRY(notices) link; /* of all such sessions */
	struct session *ss;
	struct buf lines;
};

/* The session has them from now on; idempotent. */
void notices_begin(struct session *ss);
void notices_end(struct session *ss);

/* Where to write a whole line, then notices_put(). */
struct buf *notices_lines(struct notices *n);
void notices_put(struct notices *n);

/* Says them; false: there is too little room in out. */
bool notices_tell(struct session *ss, struct buf *out);

#endif
