/*
 * seen: which messages of a mailbox that is not the user's own the user has
 * seen.  Everybody has a \Seen of his own there; all other flags are shared.
 *
 * One object for a user and a mailbox, shared by all his sessions, so that one
 * sees at once what another did.  Kept with the user's data (users.h), written
 * behind: several changes make one record.
 */
#ifndef BACKENDD_SEEN_H
#define BACKENDD_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/slice.h"

struct seen;
struct seens;
struct store_mailbox;
struct users;

struct seens *seens_new(struct users *u);

/* All have been closed. */
void seens_free(struct seens **sp);

/* Gives a hold. */
struct seen *seen_open(struct seens *s, const char *user,
    struct slice mailboxid);
void seen_close(struct seen **sp);

/* The user is called otherwise: what is open is written under that name. */
void seens_move(struct seens *s, const char *from, const char *to);

bool seen_has(const struct seen *s, uint32_t uid);

/* How many of the messages there are. */
uint32_t seen_count(const struct seen *s, const struct store_mailbox *mb);

typedef void seen_cb(void *arg, const char *why);

/*
 * Ascending UIDs; watchers hear of those that change, at once.  cb when it is
 * durable, never from inside.  uids are borrowed for the call only.
 */
void seen_change(struct seen *s, const uint32_t *uids, size_t n, bool now_seen,
    seen_cb *cb, void *arg);

struct seen_watcher {
	TAILQ_ENTRY(seen_watcher) link;
	void (*changed)(struct seen_watcher *w, const uint32_t *uids, size_t n);
};
void seen_watch(struct seen *s, struct seen_watcher *w);
void seen_unwatch(struct seen *s, struct seen_watcher *w);

#endif
