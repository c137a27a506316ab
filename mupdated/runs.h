/*
 * runs: which revisions this list has given.
 *
 * A run is what a server numbers from its start on.  It begins at the greater
 * of what comes next and the clock's milliseconds, shifted; so a list that was
 * lost, or restored from a backup, never gives a number that its other life
 * gave.
 * What such another life gave is in no run known here, and that is how it is
 * recognised: a subscriber who was there gets the whole list, and a backend
 * that was granted a name there is believed.
 *
 * More than RUNS_MAX runs: the oldest two become one, with the gap between.  Of
 * a number there it is not known who gave it; then either answer has its harm,
 * so there are two questions.
 */
#ifndef MUPDATED_RUNS_H
#define MUPDATED_RUNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;
struct err;

enum {
	RUNS_MAX = 1024,
	RUNS_MS_BITS = 10
};

struct run {
	uint64_t first, last;
};

struct runs {
	size_t count;
	struct run run[RUNS_MAX]; /* ascending; the last one is now's */
};

/*
 * A new one, after all before it and after least; it has given first itself,
 * to nothing.  Gives first.
 */
uint64_t runs_begin(struct runs *r, uint64_t least, uint64_t wall_ms);

/* Now's has given this one. */
void runs_gave(struct runs *r, uint64_t revision);

/* Has this list given it, or may have?  Then nobody is believed by it. */
bool runs_know(const struct runs *r, uint64_t revision);

/* Has it, for certain?  Then what has changed since can be told. */
bool runs_know_well(const struct runs *r, uint64_t revision);

/* On disk the end of now's run is not kept: the list knows it otherwise. */
void runs_put(struct buf *b, const struct runs *r);
int runs_parse(struct runs *r, struct slice s, struct err *err) MUST_CHECK;

#endif
