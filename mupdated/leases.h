/*
 * leases: reservations end when their owner stays away.
 *
 * An owner (a user who has logged in) is here as long as one of its sessions
 * is.  lease_ms after the last of them has ended, or after our start, what it
 * has reserved is deleted, a slice of the list at a time.  What was deactivated
 * is no lease: there are data behind it.
 */
#ifndef MUPDATED_LEASES_H
#define MUPDATED_LEASES_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/mupdate_ext.h"
#include "lib/slice.h"

struct leases;
struct list;
struct log;
struct loop;
struct mboxrec;

/* Borrows all of them.  Whoever the list says has reserved something is away
 * since now. */
struct leases *leases_new(struct loop *l, struct log *log, struct list *list,
    uint64_t lease_ms);
void leases_free(struct leases **lp);

void leases_reload(struct leases *l, uint64_t lease_ms);

/* What the disk refused has come back into the list. */
void leases_check(struct leases *l);

/* A session of the user begins, or ends. */
void leases_come(struct leases *l, struct slice user);
void leases_go(struct leases *l, struct slice user);

/* Of an entry that is not active; borrows from both. */
struct mupdate_lease leases_describe(const struct leases *l, struct slice name,
    const struct mboxrec *r);

/* How many have ended so, for the operators. */
const uint64_t *leases_ended(const struct leases *l);

#endif
