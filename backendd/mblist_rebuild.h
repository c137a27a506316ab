/*
 * mblist_rebuild: opening the list's keeper; if the list is lost, making it
 * anew from what the stores say of their mailboxes.
 *
 * A list that was there is known by a mark in it.  One made anew is what the
 * stores' notes say: a name may be a moment old, a mailbox deleted just before
 * may be there again, and what two mailboxes are called the later gets; the
 * other is set aside.  How many were damaged is remembered until an
 * administrator accepts the list as it is.
 *
 * A list that is there may be older than a store, if it was restored from a
 * backup: then that has a mailbox with a UIDVALIDITY above all that the list
 * has given out.  It is made to agree with the stores' notes in the same way,
 * and what they know nothing of stays: quotas, and mailboxes of a store that is
 * not there.
 */
#ifndef BACKENDD_MBLIST_REBUILD_H
#define BACKENDD_MBLIST_REBUILD_H

#include "lib/cdefs.h"

struct err;
struct mblist;

/* Blocks.  Sets l->keeper and l->counts.damaged. */
int rebuild_open(struct mblist *l, struct err *err) MUST_CHECK;

/*
 * l->uidvalidity is about to be given to a mailbox: kept with the next commit,
 * which comes before the store makes it.
 */
void rebuild_gave(struct mblist *l);

#endif
