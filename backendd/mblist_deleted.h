/*
 * mblist_deleted: mailboxes that were deleted and can be brought back.
 *
 * For delete_delay a mailbox that is deleted is only renamed, here, to a name
 * that is never published and that only administrators of this server see:
 * deleted.NAME.TIME, in its domain, TIME being seconds in hexadecimal.  An
 * administrator may RENAME it to its old name or another; with an INBOX what
 * is kept for its user comes back.  Then they go for good.
 */
#ifndef BACKENDD_MBLIST_DELETED_H
#define BACKENDD_MBLIST_DELETED_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct arena;
struct deleted;
struct mblist;
struct mboxrec;

struct deleted *deleted_new(struct mblist *l);
void deleted_free(struct deleted **dp);

/* Is it the name of one? */
bool deleted_is(struct slice name);

/* Is this one to be kept when it is deleted now? */
bool deleted_keeps(const struct mblist *l, const char *name);

/* A free name for it. */
const char *deleted_name(struct mblist *l, struct arena *a, const char *name,
    const struct mboxrec *rec);

/* It has been given that name, now or before the start. */
void deleted_add(struct deleted *d, const char *name, struct slice mailboxid);

/* They may be kept for another time from now on. */
void deleted_configured(struct deleted *d);

/* Is this mailbox one of them, still? */
bool deleted_has(const struct deleted *d, struct slice mailboxid);

#endif
