/*
 * mblist_quarantine: a mailbox of ours whose name is another server's by now
 * is set aside.
 *
 * It is renamed here, at once with all that is in it, to a name that is never
 * published and that only administrators of this server see.  Nothing is
 * destroyed; an administrator may RENAME it to a free name, and then it is a
 * mailbox like any other.
 */
#ifndef BACKENDD_MBLIST_QUARANTINE_H
#define BACKENDD_MBLIST_QUARANTINE_H

#include <stdbool.h>

#include "lib/slice.h"

struct arena;
struct mblist;
struct mboxrec;

/* Is it the name of a mailbox set aside, or of one deleted? */
bool quarantine_is(struct slice name);

/* Where it goes: quarantine.NAME.GENERATION, in its domain. */
const char *quarantine_name(struct arena *a, const char *name,
    const struct mboxrec *rec);

/* "example.org!", or nothing. */
const char *quarantine_domain(struct arena *a, struct slice name);

/* If it is (still) of this id; not while another change of it is under way. */
void mblist_quarantine(struct mblist *l, const char *name,
    struct slice mailboxid);

#endif
