/*
 * copy_run: a COPY or MOVE under way, a batch at a time.
 *
 * Between mailboxes of one store a batch of a MOVE is one change: after a crash
 * a message is in one of the two.  Between stores, and within one mailbox, it
 * is copied, made durable, and then removed; a crash between leaves both.
 *
 * A COPY that fails half-way takes back what it has copied.
 */
#ifndef BACKENDD_COPY_RUN_H
#define BACKENDD_COPY_RUN_H

struct msgset;
struct quota_hold;
struct session;
struct target;

enum copy_kind {
	COPY_ONLY,
	COPY_AND_REMOVE
};

/*
 * Of a running command with a selected mailbox; ends in session_done().  Takes
 * the hold t->m; set has begun and lives, as t and hold do, in the command's
 * arena.  What hold holds is released as it comes.
 */
void copy_run(struct session *ss, enum copy_kind kind, struct msgset *set,
    struct target *t, struct quota_hold *hold);

#endif
