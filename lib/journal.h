/*
 * journal: a redo log with group commit.
 *
 * A directory of files of records, each with length, number and checksum.
 * Records put while a sync runs are written and synced together by the next
 * one, in a job thread; then their owners are called back, in order.  Record
 * numbers start at 1 and never repeat.  A record is durable when its call back
 * says so, and then every earlier one is too.
 *
 * After a crash journal_open() replays what is whole; a torn tail is cut.  A
 * damaged record before the tail is an error, not a silent end.
 */
#ifndef LIB_JOURNAL_H
#define LIB_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct err;
struct jobs;
struct journal;
struct loop;

enum {
	JOURNAL_SPARES_MAX = 8
};

/* Each record with a number above after, in order, at opening.  0, or -1. */
typedef int journal_replay(void *arg, uint64_t number, struct slice record,
    struct err *err);

/* Blocks: for start-up.  dir is made if missing. */
int journal_open(struct journal **jp, struct loop *l, struct jobs *jobs,
    const char *dir, uint64_t after, journal_replay *replay, void *arg,
    struct err *err) MUST_CHECK;

/* Writes and syncs what is left, blocking; no call backs any more. */
void journal_close(struct journal **jp);

/*
 * failed: the disk refused; the record is not there and the journal takes no
 * more (journal_failed()) until journal_retry() succeeds: what is put before
 * fails too.  Numbers of failed records are not used again.
 */
typedef void journal_cb(void *arg, uint64_t number, bool failed);

/* Copies record.  Gives its number.  cb may be NULL; it is never called from
 * inside. */
uint64_t journal_put(struct journal *j, struct slice record, journal_cb *cb,
    void *arg);

/*
 * The same; then(arg) is called before cb, in the job, when the record is
 * durable: for what follows from it and may take its time.  It touches nothing
 * that the loop can see meanwhile.
 */
typedef void journal_then(void *arg);
uint64_t journal_put_then(struct journal *j, struct slice record,
    journal_then *then, journal_cb *cb, void *arg);

uint64_t journal_last(const struct journal *j);    /* put */
uint64_t journal_durable(const struct journal *j); /* synced */
uint64_t journal_octets(const struct journal *j);  /* about, not dropped */
bool journal_failed(const struct journal *j);
const char *journal_error(const struct journal *j); /* why; NULL: it has not */
void journal_retry(struct journal *j);

/* Records up to number are not needed any more (a checkpoint holds them). */
void journal_drop(struct journal *j, uint64_t number);

/*
 * From now on more records share a sync: it waits a little, not longer than a
 * sync takes, for those whose call backs have just come.  For who has many
 * clients of whom each waits for an answer before the next change.
 */
void journal_gather(struct journal *j);

/*
 * So many files whose records are not needed stay from now on, until they are
 * written again or the journal is opened again: the disk has its blocks ready
 * then, which makes a sync cost half.  At first none does; what is more than
 * that goes.
 */
void journal_keep_spares(struct journal *j, size_t files);

#endif
