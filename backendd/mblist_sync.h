/*
 * mblist_sync: after each connection to the update server, make what it says
 * of this server equal to what is here.
 *
 * What it has for us and we lack is deleted there (a name reserved and not
 * made, a mailbox deleted while it was away).  What we have and it lacks, or
 * has otherwise, is activated, unless another server holds the name: that is
 * logged, and nothing is destroyed.
 */
#ifndef BACKENDD_MBLIST_SYNC_H
#define BACKENDD_MBLIST_SYNC_H

struct mblist;
struct sync;

/* Begins; it ends by itself. */
struct sync *sync_new(struct mblist *l);

/* Answers still due are not waited for; NULL is fine. */
void sync_free(struct sync **sp);

#endif
