/*
 * list: the one list of mailboxes, and its rules.
 *
 * Every change is numbered (a revision, within the epoch that began when the
 * list was made) and is seen by those who ask next at once; whoever must know
 * that it will last waits for keeper_durable() to reach the number given, and
 * is told of each change, in order, by the call back.
 *
 * The rules are RFC 3656's; where it and Cyrus differ, the one that harms
 * nobody: what Cyrus crashes on is refused, and RESERVE of what is active at
 * the same place succeeds and changes nothing.
 */
#ifndef MUPDATED_LIST_H
#define MUPDATED_LIST_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/mboxrec.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;
struct err;
struct jobs;
struct list;
struct log;
struct loop;

/* A change that is durable, or one that the disk refused. */
struct list_event {
	uint64_t number; /* the commit's */
	bool failed;     /* it is as if it had never been */
	struct slice name;
	bool exists; /* what is so now: this record, or nothing */
	struct mboxrec record;
};

typedef void list_cb(void *arg, const struct list_event *ev);

int list_open(struct list **lp, struct loop *l, struct jobs *jobs,
    struct log *log, const char *dir, unsigned shards, list_cb *cb, void *arg,
    struct err *err) MUST_CHECK;
void list_close(struct list **lp);

enum list_verdict {
	LIST_DONE,    /* as asked; wait for number before saying so */
	LIST_REFUSED, /* by the rules, or by the disk */
};

struct list_answer {
	enum list_verdict verdict;
	const char *text; /* for the OK or NO */
	uint64_t number;
};

struct list_answer list_reserve(struct list *l, struct slice name,
    struct slice location);
struct list_answer list_activate(struct list *l, struct slice name,
    struct slice location, struct slice acl);
struct list_answer list_deactivate(struct list *l, struct slice name,
    struct slice location);
struct list_answer list_delete(struct list *l, struct slice name);

/* 1, 0 if there is none, -1 and *err.  r is borrowed from room. */
int list_find(struct list *l, struct slice name, struct mboxrec *r,
    struct buf *room, struct err *err) MUST_CHECK;

/* False stops. */
typedef bool list_visit(void *arg, struct slice name, const struct mboxrec *r);

/*
 * Entries after the name in *at ("": from the first), in the order of names
 * with "." before all else, as Cyrus from 3.6 on has it; *at follows.  1 if it
 * was stopped, 0 at the end, -1 and *err.
 */
int list_walk(struct list *l, struct buf *at, list_visit *visit, void *arg,
    struct err *err) MUST_CHECK;

/* What is read now may depend on this commit; it lasts up to that one. */
uint64_t list_last(const struct list *l);
uint64_t list_durable(const struct list *l);

#endif
