/*
 * fetch_run: a FETCH under way: messages read from the store, a batch at a
 * time, and sent as the client takes them.
 *
 * Of messages' octets nothing is read ahead of what the client has room for but
 * one window, so a client that does not read costs a window and stops the disk.
 * Summaries come from the store's cache, and are made anew if it has none: while
 * those of one batch of messages are sent, those of the next two are got, unless
 * they are large.  No message is held whole, unless its summary has to be made.
 */
#ifndef BACKENDD_FETCH_RUN_H
#define BACKENDD_FETCH_RUN_H

#include "backendd/msgset.h"

struct fetch;
struct session;

/*
 * Of a running command with a selected mailbox; ends in session_done().  set
 * has begun; f and set live in the command's arena.  f->sets_seen has effect
 * if the client may set it.
 */
void fetch_run(struct session *ss, const struct fetch *f, struct msgset *set);

#endif
