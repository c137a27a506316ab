/*
 * mblist_sync: make what the update server says of this server equal to what
 * is here: after each connection, and from time to time.
 *
 * Digests first: if they are equal that was all.  If not, what it has in the
 * parts that differ is asked for and compared; from an update server without
 * digests, all.  What differs is wanted of mblist_settle: what we have and it
 * lacks, or has otherwise, is activated; what it has for us and we lack is
 * deleted there.
 *
 * A mailbox said to be here and lacking is deleted there only if our list is
 * known to be whole (it is not, if it was lost with all mailboxes, or had to be
 * made anew from damaged ones) and not more than ten or list_shrink percent
 * are lacking; else that waits for an administrator's word.  Names that were only reserved are
 * released in any case.
 */
#ifndef BACKENDD_MBLIST_SYNC_H
#define BACKENDD_MBLIST_SYNC_H

struct mblist;
struct sync;

/* Begins; it ends by itself, and sets the list's sync to NULL. */
struct sync *sync_new(struct mblist *l);

/* Answers still due are not waited for; NULL is fine. */
void sync_free(struct sync **sp);

#endif
