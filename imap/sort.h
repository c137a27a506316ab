/*
 * sort: what a SORT asks, and where a message stands by it (RFC 5256, 5957).
 *
 * Each message gets a key, octets that compare (slice_compare) as all criteria
 * together do; messages with equal keys stay in mailbox order, which is the
 * caller's to see to.  Texts are compared as i;unicode-casemap has it, and
 * those that could not be made Unicode come after all others (RFC 5255 4.6).
 * Of one text SORT_TEXT_MAX octets count.
 */
#ifndef IMAP_SORT_H
#define IMAP_SORT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/slice.h"

struct buf;
struct parse;

enum {
	SORT_TEXT_MAX = 4096 /* of a subject or name, prepared */
};

enum sort_by {
	SORT_ARRIVAL,
	SORT_CC,
	SORT_DATE,
	SORT_DISPLAYFROM,
	SORT_DISPLAYTO,
	SORT_FROM,
	SORT_SIZE,
	SORT_SUBJECT,
	SORT_TO,
	SORT_BYS
};

struct sort {
	struct {
		enum sort_by by;
		bool reverse;
	} criteria[SORT_BYS]; /* each once */
	unsigned count;
};

/* "(SUBJECT REVERSE DATE)" */
void sort_parse(struct parse *p, struct sort *s);

/* Does a key need sent and headers? */
bool sort_wants_headers(const struct sort *s);

struct sort_facts {
	int64_t internal_seconds;
	uint64_t size_octets;
	bool sent_known;
	int64_t sent;         /* seconds since 1970 UTC */
	struct slice headers; /* at least From, To, Cc and Subject */
};

/* Appended to out. */
void sort_put_key(struct buf *out, const struct sort *s,
    const struct sort_facts *f);

#endif
