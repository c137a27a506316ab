/*
 * journal_disk: which files a journal has, and reading them at opening.
 * Blocks; for lib/journal.
 */
#ifndef LIB_JOURNAL_DISK_H
#define LIB_JOURNAL_DISK_H

#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/journal.h"

struct err;

/* A file: its records are those after prev and up to last. */
struct journal_segment {
	uint64_t first, prev, last; /* first: its name, a number once given */
	uint64_t before;            /* octets of records in the files before */
	uint64_t octets;            /* of its own */
};

struct journal_disk {
	struct journal_segment *segments;
	size_t count, max;
	uint64_t last; /* number of the last record, or what the caller has */
	uint64_t used; /* highest number that may have been given */
};

/* What the opener has already, and what it wants to see. */
struct journal_wish {
	uint64_t after;
	journal_replay *replay; /* may be NULL */
	void *arg;
};

/*
 * Reads the files of a directory, replays, cuts a torn end and removes files
 * that are not needed.  d is for journal_disk_fini() whatever comes.
 */
int journal_disk_load(struct journal_disk *d, int dirfd,
    const struct journal_wish *wish, struct err *err) MUST_CHECK;
void journal_disk_fini(struct journal_disk *d);

/* Borrowed until the next. */
struct journal_segment *journal_segment_add(struct journal_disk *d,
    uint64_t first, uint64_t prev);

#endif
