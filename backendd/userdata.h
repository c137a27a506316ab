/*
 * userdata: users' records in a keeper: keys, reading, changing.
 *
 * Between users.h and lib/keeper: the two modules that keep users' data
 * (users, scripts) share it and nobody else does.  A key is "user", the user's
 * name, a kind and an item, separated as lib/treedb wants it, so that all of a
 * user's records stand together.
 */
#ifndef BACKENDD_USERDATA_H
#define BACKENDD_USERDATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backendd/users.h"
#include "lib/buf.h"
#include "lib/slice.h"

struct keeper;

struct users {
	struct backendd *bd;
	struct keeper *keeper;
	struct timer *expire;
};

enum {
	USERDATA_ITEM_MAX = 512, /* octets of a script's or mailbox's name */
	USERDATA_USER_MAX = 256
};

/*
 * The one kind whose records carry a tag: a MAILBOXID, which is the item up to
 * its separator.
 */
#define USERDATA_METADATA "meta"

/* In the buf, whose ceiling is large enough; kind and item may be "". */
void userdata_key(struct buf *b, const char *user, const char *kind,
    struct slice item);

/* The octets before the kind, in all of a user's keys. */
void userdata_user_key(struct buf *b, const char *user);

/* May these be a user's name and an item? */
bool userdata_name_ok(struct slice name, size_t max);

/* false: there is none.  In the arena. */
bool userdata_get(struct users *u, const char *user, const char *kind,
    struct slice item, struct arena *a, struct slice *value);

/* Each of a kind, in order, till visit says false. */
typedef bool userdata_visit(void *arg, struct slice item, struct slice value);
void userdata_each(struct users *u, const char *user, const char *kind,
    userdata_visit *visit, void *arg);

/* The same of those whose items begin so; items are given whole. */
void userdata_each_from(struct users *u, const char *user, const char *kind,
    struct slice prefix, userdata_visit *visit, void *arg);

/* At most so many of a kind in a turn, as treedb_turn has it; true: all. */
bool userdata_some(struct users *u, const char *user, const char *kind,
    struct buf *cursor, size_t most, userdata_visit *visit, void *arg);

/* Gather changes, then userdata_commit(). */
void userdata_put(struct users *u, const char *user, const char *kind,
    struct slice item, struct slice value);
void userdata_delete(struct users *u, const char *user, const char *kind,
    struct slice item);

/* Whom to answer, and what if the disk does not refuse. */
struct userdata_call {
	void (*cb)(void); /* the owner's call back, cast back by done */
	void *arg;
	int result;
};
typedef void userdata_finish(const struct userdata_call *c, bool failed);

/* Never calls back from inside, also not when nothing was gathered. */
void userdata_commit(struct users *u, userdata_finish *finish,
    struct userdata_call call);

/* The same without a change: the answer is already known. */
void userdata_answer(struct users *u, userdata_finish *finish,
    struct userdata_call call);

#endif
