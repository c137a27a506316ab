#include <stdlib.h>

#include "backendd/search_result.h"
#include "backendd/sorted.h"
#include "imap/search.h"
#include "imap/sort.h"
#include "imap/summary.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	KEY_MAX = SORT_BYS * (SORT_TEXT_MAX + 16)
};

void
sorted_init(struct sorted *s)
{
	*s = (struct sorted){ 0 };
	arena_init(&s->keys);
}

void
sorted_fini(struct sorted *s)
{
	free(s->at);
	arena_reset(&s->keys);
	sorted_init(s);
}

bool
sorted_failed(const struct sorted *s)
{
	return s->octets > SORTED_OCTETS_MAX;
}

static uint64_t
prefix_of(struct slice key)
{
	uint64_t n = 0;

	for (size_t i = 0; i < sizeof(n); i++)
		n = n << 8 | (i < key.len ? key.ptr[i] : 0);
	return n;
}

void
sorted_add(struct sorted *s, const struct sort *by,
    const struct search_facts *facts, struct slice headers)
{
	struct sort_facts f = { .internal_seconds = facts->internal_seconds,
		.size_octets = facts->size_octets,
		.headers = headers };
	struct sorted_message *m;
	struct buf key;

	if (sorted_failed(s))
		return;
	if (facts->summary != NULL) {
		f.sent_known = facts->summary->sent_known;
		f.sent = facts->summary->sent;
	}
	if (s->count == s->size) {
		s->size = s->size == 0 ? 64 : s->size * 2;
		s->at = xreallocarray(s->at, s->size, sizeof(s->at[0]));
	}
	m = &s->at[s->count++];
	buf_init(&key, KEY_MAX);
	sort_put_key(&key, by, &f);
	MUST(!buf_failed(&key));
	s->octets += buf_len(&key);
	*m = (struct sorted_message){
		.prefix = prefix_of(buf_slice(&key)),
		.key = arena_copy(&s->keys, buf_slice(&key)),
		.uid = facts->uid,
		.seq = facts->seq,
		.modseq = facts->modseq,
	};
	buf_fini(&key);
}

int
sorted_compare(const struct sorted_message *a, const struct sorted_message *b)
{
	int order;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	order = slice_compare(a->key, b->key);
	return order != 0 ? order : (a->uid > b->uid) - (a->uid < b->uid);
}

static int
compare(const void *a, const void *b)
{
	return sorted_compare(a, b);
}

void
sorted_order(struct sorted *s)
{
	if (s->count > 1)
		qsort(s->at, s->count, sizeof(s->at[0]), compare);
}

void
sorted_hits(const struct sorted *s, const struct search *search,
    struct search_hits *hits)
{
	for (size_t i = 0; i < s->count; i++) {
		struct search_facts facts = { .uid = s->at[i].uid,
			.seq = s->at[i].seq,
			.modseq = s->at[i].modseq };

		search_hits_add(hits, search, &facts);
	}
}
