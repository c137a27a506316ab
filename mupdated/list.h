/*
 * list: the one list of mailboxes, durable, every change numbered.
 *
 * What a command does is mupdated/rules.h's to say; the list carries it out.
 * A change is seen by those who ask next at once; whoever must know that it
 * will last waits for list_durable() to reach the number given, and is told of
 * each change, in order, when it is durable.
 *
 * A revision numbers each change, within the epoch that began when the list was
 * made; mupdated/runs.h has how they are given.  A position is "all changes up
 * to this revision": list_resumable() says whether what came after it is known
 * here, and list_changed_after() what that is.  Records hold their revision;
 * of deleted names the latest are kept as tombstones, and that is all of the
 * log there is on disk.
 */
#ifndef MUPDATED_LIST_H
#define MUPDATED_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/mboxrec.h"
#include "lib/cdefs.h"
#include "lib/slice.h"
#include "mupdated/changelog.h"
#include "mupdated/holders.h"
#include "mupdated/rules.h"

struct buf;
struct err;
struct jobs;
struct list;
struct log;
struct loop;

enum {
	LIST_HOSTS_MAX = 4096, /* that may hold something */
	LIST_EPOCH_DIGITS = 32
};

struct list_options {
	const char *directory;
	unsigned shards;
	size_t change_log; /* changes */
};

/* A change that is durable. */
struct list_event {
	uint64_t number; /* the commit's */
	uint64_t revision;
	struct slice name;
	bool exists; /* what is so now: this record, or nothing */
	struct mboxrec record;
	struct slice loser; /* whose it was, and who must look; or "" */
};

struct list_watch {
	void (*changed)(void *arg, const struct list_event *ev);
	/* The disk refused this commit and what came after it: they are as if
	 * they had never been.  Called for each, in order. */
	void (*failed)(void *arg, uint64_t number);
	/* What the list did by itself at its start is durable. */
	void (*begun)(void *arg);
	void *arg;
};

int list_open(struct list **lp, struct loop *l, struct jobs *jobs,
    struct log *log, const struct list_options *o, const struct list_watch *w,
    struct err *err) MUST_CHECK;
void list_close(struct list **lp);

/* --- changing -------------------------------------------------------------- */

struct list_answer {
	bool done; /* as asked: wait for number before saying so */
	enum mupdate_code code;
	const char *text;    /* for the OK or NO, behind the code */
	uint64_t number;     /* commit */
	uint64_t generation; /* of the entry */
};

struct list_answer list_change(struct list *l, const struct rules_request *rq,
    const struct rules_who *who);

/* --- reading --------------------------------------------------------------- */

/* 1, 0 if there is none, -1 and *err.  r is borrowed from room. */
int list_find(struct list *l, struct slice name, struct mboxrec *r,
    struct buf *room, struct err *err) MUST_CHECK;

/* False stops, after this one. */
typedef bool list_visit(void *arg, struct slice name, const struct mboxrec *r);

/*
 * Entries after those of *at ("": from the first), in the order of names with
 * "." before all else, as Cyrus from 3.6 on has it; *at follows.  1 if it was
 * stopped, 0 at the end, -1 and *err.  visit changes nothing.
 */
int list_walk(struct list *l, struct buf *at, list_visit *visit, void *arg,
    struct err *err) MUST_CHECK;

/* What is read now may depend on this commit; it lasts up to that one. */
uint64_t list_last(const struct list *l);
uint64_t list_durable(const struct list *l);

/* The disk refuses changes. */
bool list_failed(const struct list *l);

/* Hexadecimal digits. */
struct slice list_epoch(const struct list *l);

/* Of the last change. */
uint64_t list_revision(const struct list *l);

bool list_resumable(const struct list *l, struct slice epoch,
    uint64_t revision);

/* As changelog_after(). */
bool list_changed_after(const struct list *l, uint64_t revision,
    struct change *change);

/* Who holds what; of memory, so it may depend on list_last(). */
const struct holders *list_holders(const struct list *l);

#endif
