/*
 * mblist_op: a change of the list under way, and what all changes share; for
 * the mblist files only.
 *
 * A change goes through steps, each begun by the answer to the one before:
 * from the update server, a store or the keeper.  What it needs until the end
 * is in its arena.  The sequences and what a crash leaves after each step are
 * in architecture(7).
 */
#ifndef BACKENDD_MBLIST_OP_H
#define BACKENDD_MBLIST_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "backendd/announce.h"
#include "backendd/mblist.h"
#include "backendd/mblist_settle.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/map.h"

#define OP_MAGIC 0x0b71157au

struct backendd;
struct buf;
struct deleted;
struct keeper;
struct meta;
struct op;
struct sync;
struct tally;
struct timer;

/* mboxrec.pending: what is still to be done after a commit; bits. */
enum mblist_pending {
	PENDING_META = 1 << 0 /* the store's own note of it is an old one */
};

TAILQ_HEAD(op_list, op);

struct mblist {
	struct backendd *bd;
	struct keeper *keeper;
	uint32_t uidvalidity; /* the last given out */
	struct op_list ops;
	struct op_list held;    /* for the update server, before they begin */
	struct timer *patience; /* running: it may be back soon */
	struct map busy;        /* name of each in ops (not below it): the op */
	struct map makers;      /* user: INBOX being made */
	size_t nlingering;      /* of ops: see op_hide_new() */
	struct tally *tally;
	struct settle *settle; /* NULL: stand-alone */
	struct sync *sync;     /* comparing with the update server; or NULL */
	struct timer *compare; /* when to compare again */
	struct meta *meta;
	struct deleted *deleted;
	struct mblist_counts counts;
	uint64_t removals;
	bool unproven; /* it began empty, and may have been lost */
	bool again;    /* the last comparison was not whole, or too early */
};

typedef void op_step(struct op *op, bool failed);

/* How publishing has ended. */
enum op_published {
	OP_PUBLISHED,
	OP_TAKEN, /* another server has one of the names */
	OP_LATE   /* not known in time */
};
typedef void op_published_step(struct op *op, enum op_published how);

/* One name of a change: of RENAME and DELETE every one below, too. */
struct op_name {
	struct op *op;
	const char *from, *to; /* to: of a RENAME, else NULL */
	struct mboxrec rec;    /* as it is, or will be; in the arena */
	struct settle_wait wait;
};

struct op {
	unsigned magic;
	TAILQ_ENTRY(op) link;
	struct mblist *list;
	struct arena arena;
	const char *name, *to; /* to: of a RENAME, else NULL */
	bool subtree;          /* names below are its too */
	bool hidden;           /* name is being made: not there yet */
	bool lingers;          /* answered; its new names are hidden */
	struct mboxrec rec;
	mblist_cb *cb;
	void *arg;

	void (*start)(struct op *op);
	op_step *next;  /* when the keeper answers */
	size_t waiting; /* answers from elsewhere */
	enum announce_result worst;
	bool committed;
	enum mblist_result result;
	const char *text;

	struct op_name *names;
	size_t nnames;
	const char *partition;            /* CREATE: to be */
	const struct quota_limits *quota; /* CREATE of a quota root; or NULL */
	const char *new_id;              /* RENAME of an INBOX: the new one's */
	const char *user, *user_to;      /* of whom and to whom what is kept for
	                                 a user goes (mblist_note); or NULL */
	void (*followed)(struct op *op); /* when it has */
	struct timer *deadline;          /* while it publishes; or NULL */
	op_published_step *published;    /* then; NULL: it does not */
	enum op_published how;
};

/*
 * Is a change of this name under way, or of a tree it is in (or, with
 * subtree, of anything below it)?
 */
enum op_extent {
	OP_NAME,
	OP_SUBTREE
};
bool op_is_busy(struct mblist *l, const char *name, enum op_extent extent);

/* Borrows nothing.  Becomes busy with op_begin(). */
struct op *op_new(struct mblist *l, const char *name, mblist_cb *cb, void *arg);

/*
 * Calls start, which looks whether the change may be and begins it: at once,
 * or if the name concerns the update server and that was lost a moment ago,
 * when it can be reached again (see mblist_link()).
 */
void op_start(struct op *op, const char *name, void (*start)(struct op *op));
void op_start_held(struct mblist *l);
void op_end_held(struct mblist *l);
void op_begin(struct op *op);

/* Calls back soon, and frees. */
void op_finish(struct op *op, enum mblist_result r, const char *text);

/*
 * Answers a RENAME that could not be taken back yet, if that has not been done;
 * until op_reveal_new() it stays busy and its new names are not seen.
 */
void op_hide_new(struct op *op, enum mblist_result r, const char *text);
void op_reveal_new(struct op *op); /* idempotent */
bool op_hides(struct mblist *l, struct slice name);

/* Frees at once: the list is being closed. */
void op_drop(struct op *op);

/* What was gathered in the keeper; then step. */
void op_commit(struct op *op, op_step *step);

/* Gather; a name once a commit. */
void op_put(struct mblist *l, const char *name, const struct mboxrec *rec);
void op_delete(struct mblist *l, const char *name);

/*
 * A mailbox of this id, if the store has it, is to be removed: said before it
 * is made and when its record goes, unsaid when it is there, or gone.
 */
enum op_doom {
	OP_MAKING, /* one that has had messages stays: the list is an old copy */
	OP_REMOVING
};
void op_doom(struct mblist *l, const char *id, const char *partition,
    enum op_doom how);
void op_spare(struct mblist *l, const char *id);

/* The key of a note beside the records: kind is one of these, or DOOMED. */
#define OP_DOOMED   "\001"
#define OP_RENAMING "\002"
#define OP_QUOTA    "\003" /* the last: names begin with more than that */
void op_note_key(struct buf *key, const char *kind, const char *id);

/* Commits without waiting: what is lost by a crash is found again. */
void op_commit_later(struct mblist *l);

/* A copy with all its octets in the arena. */
struct mboxrec op_copy(struct arena *a, const struct mboxrec *rec);

/* A new mailbox: id, uidvalidity, location, state; the rest is the caller's. */
void op_fill(struct op *op, struct mboxrec *rec, const char *partition);

/* The mailbox and all below it, or it alone, as op->names.  False: too many. */
bool op_gather(struct op *op, enum op_extent extent);

/* Is this one the update server's business? */
bool op_is_public(struct mblist *l, const char *name);

/*
 * Waits until the update server has been made to say of each of op->names
 * (of its "to", if it has one and of_new) what the list says; not longer than
 * publish_timeout, and not after one of them is found to be another's.  Then
 * step, perhaps at once.
 */
enum op_which {
	OP_OLD,
	OP_NEW
};
void op_publish(struct op *op, enum op_which which, enum announce_title title,
    op_published_step *step);

/* The same without waiting: a change that is taken back. */
void op_unpublish(struct op *op, enum op_which which);

/* For announce_*(): NUL-terminated, in the arena. */
const char *op_str(struct arena *a, struct slice s);

/* --- reading, for those who go through all of it --------------------------- */

/*
 * Up to so many records from the cursor on, hidden ones too; the cursor (empty
 * at first, a ceiling of TREEDB_KEY_MAX + 1) moves on.  True: that was all.
 */
bool mblist_slice(struct mblist *l, struct buf *cursor, size_t most,
    mblist_visit *visit, void *arg);

/* The same of those whose keys (mboxname_key()) begin with prefix. */
bool mblist_slice_of(struct mblist *l, struct slice prefix, struct buf *cursor,
    size_t most, mblist_visit *visit, void *arg);

/* It is whole, whatever has been lost: an administrator, or both agree. */
void mblist_accept(struct mblist *l);

/* A record, hidden or not; NULL if there is none. */
const struct mboxrec *mblist_raw(struct mblist *l, const char *name,
    struct arena *a);

#endif
