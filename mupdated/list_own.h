/*
 * list_own: what list.c and list_open.c share, and nobody else.
 */
#ifndef MUPDATED_LIST_OWN_H
#define MUPDATED_LIST_OWN_H

#include <stdint.h>

#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/list.h"
#include "mupdated/list.h"
#include "mupdated/runs.h"

struct keeper;
struct pending;

enum {
	LIST_RECORD_MAX = 512 * 1024,
	LIST_TOMB_KEY = 17 /* octets: LIST_TOMB and 16 digits */
};

/* Keys of names have no such octet: a tombstone's begins with it. */
#define LIST_TOMB "\001"

#define LIST_EPOCH_FACT "list.epoch"
#define LIST_RUNS_FACT  "list.runs"
#define LIST_FLOOR_FACT "list.floor"

TAILQ_HEAD(pendings, pending);

struct list {
	struct loop *loop;
	struct keeper *keeper;
	struct log *log;
	struct list_watch watch;
	char epoch[LIST_EPOCH_DIGITS + 1];
	uint64_t revision; /* of the last change */
	struct runs runs;
	struct changelog *changes;
	struct holders holders;
	struct pendings pending; /* committed, not durable */
	bool runs_owed;          /* the disk refused their record */
	bool refusing;   /* that a change cannot be stored has been logged */
	bool taken_back; /* what is pending: the disk refused what was before */
	struct buf key, old, fresh, scratch; /* old: of the name changed */
};

/* The key of a tombstone. */
struct slice list_tomb_key(char room[LIST_TOMB_KEY + 1], uint64_t revision);

/* The name of a key, appended. */
void list_put_name(struct buf *out, struct slice key);

/* holders and changes, from the tree; floor: what is known of tombstones. */
int list_rebuild(struct list *l, struct err *err) MUST_CHECK;

/* After keeper_open(): facts, rebuild, a new run. */
int list_begin(struct list *l, struct err *err) MUST_CHECK;

/* Gathers the record of runs for the next commit. */
void list_gather_runs(struct list *l);
void list_gather_floor(struct list *l, uint64_t floor);

#endif
