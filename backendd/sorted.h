/*
 * sorted: messages with their sort keys (imap/sort), put in order.
 */
#ifndef BACKENDD_SORTED_H
#define BACKENDD_SORTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/arena.h"
#include "lib/slice.h"

struct search;
struct search_facts;
struct search_hits;
struct sort;

enum {
	SORTED_OCTETS_MAX = 512 * 1024 * 1024 /* of keys */
};

struct sorted_message {
	uint64_t prefix; /* of the key: decides most comparisons */
	struct slice key;
	uint32_t uid, seq;
	uint64_t modseq;
};

struct sorted {
	struct sorted_message *at;
	size_t count, size;
	struct arena keys;
	size_t octets; /* of keys */
};

void sorted_init(struct sorted *s);
void sorted_fini(struct sorted *s);

/* headers: as search_found_cb has them. */
void sorted_add(struct sorted *s, const struct sort *by,
    const struct search_facts *facts, struct slice headers);

/* There was too much; what came then is not in it. */
bool sorted_failed(const struct sorted *s);

/* By key, equal ones by UID.  n log n: for a thread if there are many. */
void sorted_order(struct sorted *s);

/* Negative, 0, positive, as for qsort. */
int sorted_compare(const struct sorted_message *a,
    const struct sorted_message *b);

/* In that order; hits is empty before. */
void sorted_hits(const struct sorted *s, const struct search *search,
    struct search_hits *hits);

#endif
