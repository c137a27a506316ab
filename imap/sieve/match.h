/*
 * match: does a value match one of a list of keys, as a test's tags say?
 *
 * For sieve's own files.  A test looks at its values one after another:
 *
 *	match_begin(&m, st, in, keys);
 *	while (...another value, and !m.found)
 *		match_value(&m, value);
 *	st->answer = match_end(&m);
 */
#ifndef IMAP_SIEVE_MATCH_H
#define IMAP_SIEVE_MATCH_H

#include "imap/sieve/program.h"

struct match {
	struct sieve_state *st;
	const struct sieve_instr *in;
	struct sieve_strings keys; /* expanded */
	uint64_t count;            /* values seen */
	bool found;
};

void match_begin(struct match *m, struct sieve_state *st,
    const struct sieve_instr *in, struct sieve_strings keys);

/* Sets found; nothing more need then be shown. */
void match_value(struct match *m, struct slice value);

/* n values, for :count, that need not be shown. */
void match_count(struct match *m, uint64_t n);

/* The answer: of :count only now. */
bool match_end(struct match *m);

#endif
