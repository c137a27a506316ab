/*
 * mirror: the frontend's copy of the mailbox list, and what each line of the
 * update server's stream does to it.
 *
 * No connection, no clock and no log: murder-front (proxyd/front) feeds it, and
 * so do a unit test and the simulator.  It is the copy's only writer; workers
 * read (proxyd/route).
 *
 *	mirror_whole(m, epoch)  or  mirror_since(m)
 *	mirror_put() mirror_gone() ...   what comes, in any order
 *	mirror_at(m, revision)           if the server says so
 *	mirror_end(m)                    it was all
 *	while (mirror_busy(m)) mirror_step(m)    with others' turns in between
 *	mirror_put() mirror_gone() ... mirror_settle(m)      the stream, in bursts
 *	mirror_cut(m)                    the connection is over
 *
 * The laws:
 *
 * - Transactions are small, and additions are in the copy before removals, so a
 *   reader never waits, and of a name that was renamed it sees the old, both,
 *   or the new, never neither.  At no moment is the copy emptied.
 * - A whole list is applied as a difference.  It is compared with the copy by
 *   walking both; nothing depends on its order, but in the copy's order (octets
 *   of mboxname_key()) it costs no memory and no look-ups.  Kept are only the
 *   names that the copy has and the list has not had so far.
 * - The position, (epoch, revision), is in the transaction that made the copy
 *   so: it may lag behind what is in the copy, never run ahead.  What comes is
 *   "the state is now this", so applying some of it again is no harm.
 * - Removals that would take too much are held back: see below.  Additions and
 *   changes never are.
 * - Until the first whole list was complete, the copy is not (mirror_complete):
 *   what is in it is right, what is missing tells nothing.
 *
 * Holding back.  A whole list that lacks more than the "shrink" percent of the
 * copy is what an update server says that lost its list or is another's: its
 * removals wait until mirror_accept().  A change that comes by itself was
 * somebody's act, so one by one they are believed; but if they leave the list
 * smaller by that percentage than it was in the last one to two hours (and by
 * more than MIRROR_FLOOD names), some program is wrong, and the same holds.  To
 * keep a name for too long costs an error from its backend; to lose it bounces
 * mail.  Reservations do not count in any of this: they come and go, and with
 * them goes no mailbox.  While removals are held the position stays where it was, so that a new
 * connection brings them again.  If names come back until it is no longer too
 * much, the rest is done without anybody's word.
 */
#ifndef PROXYD_MIRROR_H
#define PROXYD_MIRROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct err;
struct mboxrec;
struct mirror;
struct treedb;

enum {
	MIRROR_EPOCH_MAX = 64, /* octets of an epoch */
	MIRROR_FEW = 10,       /* a whole list may always lack so many */
	MIRROR_FLOOD = 100     /* a stream may always take so many */
};

/* Makes the copy if there is none.  shrink: percent. */
int mirror_open(struct mirror **mp, const char *dir, unsigned shards,
    unsigned shrink, struct err *err) MUST_CHECK;
void mirror_close(struct mirror **mp);
void mirror_set_shrink(struct mirror *m, unsigned shrink);

/* Seconds since 1970: of what comes from now on. */
void mirror_clock(struct mirror *m, uint64_t seconds);

/*
 * All that follow: 0, or -1 and *err: the copy cannot be read or written;
 * mirror_close() is all that may be called then.
 */

/* The whole list comes; epoch is "" if the server has no revisions. */
int mirror_whole(struct mirror *m, struct slice epoch,
    struct err *err) MUST_CHECK;

/* What has changed since mirror_status's position comes. */
void mirror_since(struct mirror *m);

enum {
	MIRROR_ODD = 1 /* no name or record of ours: left out, *err says why */
};

/* rec->revision is 0 if the server has none. */
int mirror_put(struct mirror *m, struct slice name, const struct mboxrec *rec,
    struct err *err) MUST_CHECK;
int mirror_gone(struct mirror *m, struct slice name, uint64_t revision,
    struct err *err) MUST_CHECK;

/* What has come so far is the list as of this revision. */
void mirror_at(struct mirror *m, uint64_t revision);

/* The whole list, or the difference, has come.  Busy from now on. */
void mirror_end(struct mirror *m);

/* Has a list begun to come?  Before that there are no lines to take. */
bool mirror_is_fed(const struct mirror *m);

/* Feed nothing while it is. */
bool mirror_busy(const struct mirror *m);
int mirror_step(struct mirror *m, struct err *err) MUST_CHECK;

/* What has come is in the copy, but for what is held; or it is busy. */
int mirror_settle(struct mirror *m, struct err *err) MUST_CHECK;

/* Do what is held back.  Busy from now on. */
void mirror_accept(struct mirror *m);

/* Nothing more will come: forgets what was under way, and what is held. */
int mirror_cut(struct mirror *m, struct err *err) MUST_CHECK;

enum mirror_held {
	MIRROR_HELD_NOTHING,
	MIRROR_HELD_WHOLE, /* a whole list lacked too much */
	MIRROR_HELD_FLOOD  /* changes took too much */
};

struct mirror_status {
	bool complete;
	uint64_t entries;
	char epoch[MIRROR_EPOCH_MAX + 1]; /* "": no position */
	uint64_t revision;
	uint64_t written; /* when the last change was, by mirror_clock() */
	enum mirror_held held;
	uint64_t lacking, of;  /* held: removals, of how many mailboxes */
	uint64_t put, removed; /* since mirror_whole() or mirror_since() */
};

void mirror_status(const struct mirror *m, struct mirror_status *st);

/* For readers of the copy: was it ever complete? */
int mirror_complete(struct treedb *list, bool *complete,
    struct err *err) MUST_CHECK;

/*
 * For readers that walk: how many transactions have taken something away.  If
 * that is the same before and after, no name was overlooked because it moved
 * from behind the walk to before it.
 */
int mirror_removals(struct treedb *list, uint64_t *n,
    struct err *err) MUST_CHECK;

#endif
