/*
 * keeper: a durable treedb with one owner.
 *
 * The tree is in memory, so reading and changing it never waits for a disk.
 * Changes are gathered and committed as one: applied to memory at once, all or
 * nothing, written to a journal, and called back when durable.  From time to
 * time a job thread writes the pages that have changed into a db (a checkpoint)
 * and drops the journal up to there, while changing goes on.
 *
 *	keeper_put(k, key, value, tags, ntags);
 *	keeper_delete(k, other);
 *	if (keeper_commit(k, done, arg, &err) == -1)
 *		...nothing has changed...
 *
 * If the disk refuses a change, it and all after it are taken back from memory
 * (latest first) before they are called back as failed, in order, with the
 * tree as the disk has it.  Until the disk takes records again (it is tried
 * every few seconds) commits are refused; reading goes on.
 *
 * The law: after a crash the tree is what it was after some commit, which is
 * the last one called back as durable or a later one.
 */
#ifndef LIB_KEEPER_H
#define LIB_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct err;
struct jobs;
struct keeper;
struct log;
struct loop;
struct treedb;

struct keeper_limits {
	unsigned shards;          /* of the treedb on disk, at first opening */
	size_t change_octets;     /* of one commit */
	size_t pending_octets;    /* of changes not yet durable, together */
	size_t checkpoint_octets; /* of changes before a checkpoint is made, or
	                             an eighth of the tree, if that is more */
	unsigned retry_ms;        /* after the disk refused */
};

/* 16 shards, 16 MiB, 64 MiB, 16 MiB, 5 s. */
struct keeper_limits keeper_defaults(void);

/* Blocks: for start-up.  dir is made if missing.  limits NULL: the defaults. */
int keeper_open(struct keeper **kp, struct loop *l, struct jobs *jobs,
    struct log *log, const char *dir, const struct keeper_limits *limits,
    struct err *err) MUST_CHECK;

/*
 * Blocks until what was committed is durable; no call backs.  Call it before
 * jobs_free(), which completes a checkpoint that may be under way: the memory
 * goes only then.
 */
void keeper_close(struct keeper **kp);

/* To read (treedb_get, treedb_walk, ...), never to write.  Borrowed. */
struct treedb *keeper_tree(struct keeper *k);

/* Gather changes; nothing happens before keeper_commit(). */
void keeper_put(struct keeper *k, struct slice key, struct slice value,
    const struct slice *tags, size_t ntags);
void keeper_delete(struct keeper *k, struct slice key);
void keeper_put_fact(struct keeper *k, const char *name, struct slice value);

/* Forget what was gathered. */
void keeper_cancel(struct keeper *k);

/* number: which commit, counting up; never called from inside a call. */
typedef void keeper_cb(void *arg, uint64_t number, bool failed);

/*
 * 0, and cb is called when the change is durable or has been taken back; or -1
 * and *err: nothing has changed, what was gathered is forgotten, cb is not
 * called.  cb may be NULL.  Call backs come in the order of the commits.
 */
int keeper_commit(struct keeper *k, keeper_cb *cb, void *arg,
    struct err *err) MUST_CHECK;

/*
 * The same for who waits for nothing but its end: called back in any case, also
 * if it was refused; why is then logged as what ("quota not changed") of whom.
 */
typedef void keeper_done(void *arg, bool failed);
void keeper_commit_for(struct keeper *k, const char *what, const char *whom,
    keeper_done *done, void *arg);

/*
 * Numbers of the last commit made and not taken back, and of the last that is
 * durable.  What is
 * read from the tree now may depend on keeper_last(): who must not show what a
 * crash may undo waits until keeper_durable() has reached that.
 */
uint64_t keeper_last(const struct keeper *k);
uint64_t keeper_durable(const struct keeper *k);

/* The disk refuses, so commits do. */
bool keeper_failed(const struct keeper *k);

#endif
