/*
 * freespace: how much room there is on the disks, as annotations of the server
 * that Cyrus IMAP's frontends ask for.
 */
#ifndef BACKENDD_FREESPACE_H
#define BACKENDD_FREESPACE_H

#include <stdbool.h>

#include "lib/slice.h"

struct arena;
struct freespace;
struct session;
struct write;

/* Is this the name of such an entry, with "/shared" or without? */
bool freespace_is(struct slice entry);

/* Calls back, not from inside; q lives as long as the command. */
typedef void freespace_cb(void *arg, const struct freespace *q);
void freespace_ask(struct session *ss, freespace_cb *cb, void *arg);

/* "AVAILABLE;TOTAL" in KiB, of one of these entries; in the arena. */
struct slice freespace_value(struct arena *a, const struct freespace *q,
    struct slice entry);

/* * METADATA "" ("entry" "value"): quoted, as Cyrus IMAP has it. */
void freespace_write(struct write *w, struct slice entry, struct slice value);

#endif
