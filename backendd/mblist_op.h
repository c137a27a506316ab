/*
 * mblist_op: a change of the list under way, for the mblist files only.
 *
 * A change goes through steps, each begun by the answer to the one before:
 * from the update server, a store or the keeper.  What it needs until the end
 * is in its arena.
 */
#ifndef BACKENDD_MBLIST_OP_H
#define BACKENDD_MBLIST_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "backendd/announce.h"
#include "backendd/mblist.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/map.h"

#define OP_MAGIC 0x0b71157au

struct backendd;
struct keeper;
struct maker;
struct op;
struct sync;

/* What the update server is still to be told: mboxrec.pending. */
enum mblist_pending {
	PENDING_NOTHING,
	PENDING_ACTIVATE
};

TAILQ_HEAD(op_list, op);

struct mblist {
	struct backendd *bd;
	struct keeper *keeper;
	uint32_t uidvalidity; /* the last given out */
	struct op_list ops;
	struct map busy;   /* name of each in ops (not below it): the op */
	struct map makers; /* user: INBOX being made */
	struct sync *sync; /* comparing with the update server; or NULL */
};

typedef void op_step(struct op *op, bool failed);

/* One name of a RENAME. */
struct op_name {
	const char *from, *to;
	struct mboxrec rec; /* as it will be; in the arena */
	bool reserved;
};

struct op {
	unsigned magic;
	TAILQ_ENTRY(op) link;
	struct mblist *list;
	struct arena arena;
	const char *name, *to; /* to: of a RENAME, else NULL */
	bool subtree;          /* names below are its too */
	bool hidden;           /* name is being made: not there yet */
	struct mboxrec rec;
	mblist_cb *cb;
	void *arg;

	op_step *next;  /* when the keeper answers */
	size_t waiting; /* answers from the update server */
	enum announce_result worst;
	bool committed, reserved;
	bool
	    listed; /* active there or, for CREATE, anyone's, in spite of a NO */
	enum mblist_result result;
	const char *text;

	struct op_name *names; /* of a RENAME */
	size_t nnames;
	const char *new_id; /* RENAME of an INBOX: the new one's */
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
void op_begin(struct op *op);

/* Calls back soon, and frees. */
void op_finish(struct op *op, enum mblist_result r, const char *text);

/* What was gathered in the keeper; then step. */
void op_commit(struct op *op, op_step *step);

/* Gather. */
void op_put(struct mblist *l, const char *name, const struct mboxrec *rec);
void op_delete(struct mblist *l, const char *name);

/*
 * A mailbox of this id, if the store has it, is to be removed: said before it
 * is made and when its record goes, unsaid when it is there, or gone.
 */
void op_doom(struct mblist *l, const char *id, const char *partition);
void op_spare(struct mblist *l, const char *id);

/* Commits without waiting: what is lost by a crash is found again. */
void op_commit_later(struct mblist *l);

/* A copy with all its octets in the arena. */
struct mboxrec op_copy(struct arena *a, const struct mboxrec *rec);

/* A new mailbox: id, uidvalidity, location, state; the rest is the caller's. */
void op_fill(struct op *op, struct mboxrec *rec, const char *partition);

/* The update server has it as it is now. */
void op_told(struct mblist *l, const char *name, const struct mboxrec *rec);

/* Nobody answers: the name is free again, or will be at the next meeting. */
void op_release(struct mblist *l, const char *name);

/* For announce_*(): NUL-terminated, in the arena. */
const char *op_str(struct arena *a, struct slice s);

#endif
