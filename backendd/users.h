/*
 * users: what the server keeps for a user beside mailboxes: subscriptions,
 * Sieve scripts, which messages of shared mailboxes were seen, and which
 * messages were already answered or redirected.
 *
 * Reading is at once, from memory.  A change calls back when it is durable,
 * never from inside; failed means that nothing has changed.
 */
#ifndef BACKENDD_USERS_H
#define BACKENDD_USERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct backendd;
struct buf;
struct err;
struct users;

/* Blocks: for start-up. */
int users_open(struct users **up, struct backendd *bd,
    struct err *err) MUST_CHECK;
void users_close(struct users **up);

typedef void users_cb(void *arg, bool failed);

/* --- subscriptions: internal names, whether they exist or not --- */

bool users_is_subscribed(struct users *u, const char *user, const char *name);

/* Is it subscribed to, or is there room for one more? */
enum {
	USERS_SUBSCRIPTIONS_MAX = 20000
};
bool users_may_subscribe(struct users *u, const char *user, const char *name);

/* In order; returning false stops. */
typedef bool users_name_visit(void *arg, const char *name);
void users_each_subscription(struct users *u, const char *user,
    users_name_visit *visit, void *arg);

/*
 * At most so many of them in a turn; the cursor (empty at first, a ceiling of
 * TREEDB_KEY_MAX + 1) moves on.  True: that was all.
 */
bool users_some_subscriptions(struct users *u, const char *user,
    struct buf *cursor, size_t most, users_name_visit *visit, void *arg);

void users_subscribe(struct users *u, const char *user, const char *name,
    users_cb *cb, void *arg);
void users_unsubscribe(struct users *u, const char *user, const char *name,
    users_cb *cb, void *arg);

/* --- seen state of mailboxes that are not the user's: opaque octets --- */

/* In the arena; length 0 if there is none. */
struct slice users_seen(struct users *u, const char *user,
    struct slice mailboxid, struct arena *a);
void users_set_seen(struct users *u, const char *user, struct slice mailboxid,
    struct slice state, users_cb *cb, void *arg);

/* --- scripts --- */

enum users_script_result {
	SCRIPT_OK,
	SCRIPT_NONE,   /* there is no such script */
	SCRIPT_EXISTS, /* the new name is taken */
	SCRIPT_ACTIVE, /* may not be deleted */
	SCRIPT_QUOTA_COUNT,
	SCRIPT_QUOTA_SIZE,
	SCRIPT_BAD_NAME,
	SCRIPT_FAILED
};

typedef void users_script_cb(void *arg, enum users_script_result r);

/* Name of the active script; NULL if there is none. */
const char *users_active_script(struct users *u, const char *user,
    struct arena *a);

/* false if there is none.  In the arena. */
bool users_script(struct users *u, const char *user, struct slice name,
    struct arena *a, struct slice *text);

/* Changes whenever the active script or its name does; 32 hex digits. */
const char *users_script_etag(struct users *u, const char *user,
    struct arena *a);

typedef bool users_script_visit(void *arg, struct slice name, size_t len);
void users_each_script(struct users *u, const char *user,
    users_script_visit *visit, void *arg);

void users_put_script(struct users *u, const char *user, struct slice name,
    struct slice text, users_script_cb *cb, void *arg);
/* An empty name: none. */
void users_activate_script(struct users *u, const char *user, struct slice name,
    users_script_cb *cb, void *arg);
void users_delete_script(struct users *u, const char *user, struct slice name,
    users_script_cb *cb, void *arg);
void users_rename_script(struct users *u, const char *user, struct slice from,
    struct slice to, users_script_cb *cb, void *arg);

/* --- duplicates --- */

enum users_memory {
	MEMORY_NEW,  /* now remembered */
	MEMORY_SEEN, /* was remembered before */
	MEMORY_FAILED
};

/* Is it remembered?  It may not be durable yet. */
bool users_remembers(struct users *u, struct slice key);

/* Remembered for duplicate_days; answers when durable. */
typedef void users_memory_cb(void *arg, enum users_memory m);
void users_remember(struct users *u, struct slice key, users_memory_cb *cb,
    void *arg);

/* --- all of a user's data --- */

/* Is there anything kept for this user? */
bool users_has_any(struct users *u, const char *user);

/*
 * They go to another; subscriptions to one's own mailboxes are to those of the
 * new name.  What the other has of the same kind and name is replaced.  Nothing
 * to move is fine; cb may be NULL.  It is one change, but for who has very
 * much: of a move that failed or was cut short a part may have been made, and
 * asked for again it is completed.
 */
void users_move(struct users *u, const char *from, const char *to, users_cb *cb,
    void *arg);

/* They go: the user's INBOX was deleted. */
void users_forget(struct users *u, const char *user, users_cb *cb, void *arg);

#endif
