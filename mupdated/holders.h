/*
 * holders: what each host holds of the list, as a digest, and how many names
 * each owner has reserved; kept up to date entry by entry.
 */
#ifndef MUPDATED_HOLDERS_H
#define MUPDATED_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/mboxdigest.h"
#include "lib/map.h"
#include "lib/slice.h"

struct mboxrec;

/* Embed it; the members are holders.c's own, but for the counts. */
struct holders {
	struct map hosts;    /* struct mboxdigest */
	struct map reserved; /* uint64_t, by owner */
	uint64_t entries, reservations;
};

void holders_init(struct holders *h);
void holders_fini(struct holders *h);

void holders_add(struct holders *h, struct slice name, const struct mboxrec *r);
void holders_remove(struct holders *h, struct slice name,
    const struct mboxrec *r);

/* NULL if it holds nothing. */
const struct mboxdigest *holders_digest(const struct holders *h,
    struct slice host);
size_t holders_hosts(const struct holders *h);

uint64_t holders_reserved(const struct holders *h, struct slice owner);

/* Each owner of a reservation. */
typedef void holders_visit(void *arg, struct slice owner);
void holders_each_owner(const struct holders *h, holders_visit *visit,
    void *arg);

#endif
