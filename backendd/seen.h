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

/* The number of the first message that is not; 0: there is none. */
uint32_t seen_first_unseen(const struct seen *s,
    const struct store_mailbox *mb);

typedef void seen_cb(void *arg, const char *why);

/*
 * Ascending UIDs.  cb when it is durable, never from inside.  uids are borrowed
 * for the call only.  His other sessions hear of it by the messages' MODSEQ: a
 * change of messages they may have looked at goes with store_change.touch.
 */
void seen_change(struct seen *s, const uint32_t *uids, size_t n, bool now_seen,
    seen_cb *cb, void *arg);

#endif
