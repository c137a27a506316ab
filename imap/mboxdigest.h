/*
 * mboxdigest: what a host holds of a mailbox list, as 256 sums.
 *
 * Entries are put into buckets by the root of their names (user.fred), so that
 * a user's are in one; a bucket's digest is the sum of its entries' digests,
 * so it is kept up to date by adding and subtracting.  The update server and a
 * backend compute the same; where two buckets differ their entries are
 * compared, and nothing else is sent.
 *
 * An entry's digest is of its name and of state, location, ACL, generation,
 * MAILBOXID, special uses and type; not of what only one of them knows.  It
 * guards against mistakes and lost changes, not against a liar: the key is
 * fixed.
 */
#ifndef IMAP_MBOXDIGEST_H
#define IMAP_MBOXDIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;
struct mboxrec;

enum {
	MBOXDIGEST_BUCKETS = 256,
	MBOXDIGEST_TEXT = MBOXDIGEST_BUCKETS * 16 /* octets, as text */
};

/* Zeroed: of nothing. */
struct mboxdigest {
	uint64_t count; /* entries */
	uint64_t sums[MBOXDIGEST_BUCKETS];
};

/* Two components, with the domain: "user.fred" of "user.fred.Sent". */
struct slice mboxdigest_root(struct slice name);

/* Of the root. */
uint8_t mboxdigest_bucket(struct slice name);

uint64_t mboxdigest_entry(struct slice name, const struct mboxrec *r);

void mboxdigest_add(struct mboxdigest *d, struct slice name,
    const struct mboxrec *r);

/* Undoes mboxdigest_add() of the same. */
void mboxdigest_remove(struct mboxdigest *d, struct slice name,
    const struct mboxrec *r);

/* The numbers of the buckets that differ; how many. */
size_t mboxdigest_differences(const struct mboxdigest *a,
    const struct mboxdigest *b, uint8_t buckets[MBOXDIGEST_BUCKETS]);

/* The sums as one string, 16 hexadecimal digits each; count is not in it. */
void mboxdigest_put(struct buf *b, const struct mboxdigest *d);

/* False, and nothing changed, if s is no such string; sets the sums. */
bool mboxdigest_parse(struct mboxdigest *d, struct slice s) MUST_CHECK;

#endif
