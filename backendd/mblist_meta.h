/*
 * mblist_meta: the store's own note of each mailbox: its name and record, from
 * which a lost list is made anew.
 *
 * A change of a record sets PENDING_META with it; soon after, the note is
 * written and the bit goes.  What a crash leaves to be written is found at
 * start, by the bit.
 */
#ifndef BACKENDD_MBLIST_META_H
#define BACKENDD_MBLIST_META_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct buf;
struct err;
struct meta;
struct mblist;
struct mboxrec;

struct meta *meta_new(struct mblist *l);
void meta_free(struct meta **mp);

/* This one's is an old one, if its record says so. */
void meta_want(struct meta *m, const char *name);

/* Notes being written: not to be closed now. */
size_t meta_busy(const struct meta *m);

/* The note.  It fails if the ACL is out of all proportion. */
void meta_put(struct buf *b, const char *name, const struct mboxrec *rec);

/* Borrowed from note, but for the name.  -1 and *err: it is none. */
int meta_parse(struct slice note, struct arena *a, const char **name,
    struct mboxrec *rec, struct err *err) MUST_CHECK;

#endif
