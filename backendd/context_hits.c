#include <stdlib.h>
#include <string.h>

#include "backendd/context_hits.h"
#include "backendd/search_result.h"
#include "backendd/sorted.h"
#include "lib/must.h"
#include "lib/xalloc.h"

void
context_hits_free(struct context_hits *h)
{
	for (size_t i = 0; i < h->count; i++)
		free(h->at[i].key);
	free(h->at);
	*h = (struct context_hits){ 0 };
}

void
context_hits_of(struct context_hits *to, const struct search_hits *h)
{
	to->at = xcalloc(h->count + 1, sizeof(to->at[0]));
	to->count = h->count;
	for (size_t i = 0; i < h->count; i++)
		to->at[i].uid = h->at[i].uid;
}

static struct context_hit
hit_of(uint32_t uid, const struct sorted_message *m)
{
	struct context_hit hit = { .uid = uid };

	if (m == NULL)
		return hit;
	hit.prefix = m->prefix;
	hit.key_len = (uint32_t)m->key.len; /* SORT_TEXT_MAX, some times */
	hit.key = xmalloc(m->key.len + 1);
	memcpy(hit.key, m->key.ptr, m->key.len);
	return hit;
}

void
context_hits_sorted(struct context_hits *to, const struct sorted *s)
{
	to->at = xcalloc(s->count + 1, sizeof(to->at[0]));
	to->count = s->count;
	for (size_t i = 0; i < s->count; i++)
		to->at[i] = hit_of(s->at[i].uid, &s->at[i]);
}

void
context_hits_add(struct context_hits *h, size_t *room, uint32_t uid,
    const struct sorted_message *m)
{
	if (h->count == *room) {
		*room = *room == 0 ? 16 : *room * 2;
		h->at = xreallocarray(h->at, *room, sizeof(h->at[0]));
	}
	h->at[h->count++] = hit_of(uid, m);
}

static int
compare(const void *x, const void *y)
{
	const struct context_hit *a = x, *b = y;
	int order = 0;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	if (a->key != NULL && b->key != NULL)
		order = slice_compare(slice_of(a->key, a->key_len),
		    slice_of(b->key, b->key_len));
	return order != 0 ? order : (a->uid > b->uid) - (a->uid < b->uid);
}

void
context_hits_order(struct context_hits *h)
{
	if (h->count > 1)
		qsort(h->at, h->count, sizeof(h->at[0]), compare);
}

/* Where uid is in uids; n if nowhere. */
static size_t
find(const uint32_t *uids, size_t n, uint32_t uid)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (uids[mid] < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && uids[low] == uid ? low : n;
}

/* Is uid in h, which has no keys? */
static bool
has(const struct context_hits *h, uint32_t uid)
{
	size_t low = 0, high = h->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (h->at[mid].uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low < h->count && h->at[low].uid == uid;
}

void
context_hits_mark(const struct context_hits *h, const uint32_t *uids, size_t n,
    bool *which)
{
	memset(which, 0, n * sizeof(which[0]));
	if (h->count == 0)
		return;
	if (h->at[0].key == NULL) {
		for (size_t i = 0; i < n; i++)
			which[i] = has(h, uids[i]);
		return;
	}
	for (size_t i = 0; i < h->count; i++) {
		size_t k = find(uids, n, h->at[i].uid);

		if (k < n)
			which[k] = true;
	}
}

void
context_hits_remove(struct context_hits *h, const uint32_t *uids, size_t n,
    uint32_t *removed, uint32_t *places)
{
	size_t kept = 0, gone = 0;

	for (size_t i = 0; i < h->count; i++) {
		if (find(uids, n, h->at[i].uid) == n) {
			h->at[kept++] = h->at[i];
			continue;
		}
		MUST(gone < n);
		removed[gone] = h->at[i].uid;
		places[gone++] = (uint32_t)i + 1; /* a mailbox holds fewer */
		free(h->at[i].key);
	}
	MUST(gone == n);
	h->count = kept;
}

void
context_hits_merge(struct context_hits *h, struct context_hits *more,
    uint32_t *added, uint32_t *places)
{
	struct context_hit *both =
	    xcalloc(h->count + more->count + 1, sizeof(*both));
	size_t i = 0, j = 0, n = 0;

	while (i < h->count || j < more->count) {
		if (j == more->count ||
		    (i < h->count && compare(&h->at[i], &more->at[j]) < 0)) {
			both[n++] = h->at[i++];
			continue;
		}
		added[j] = more->at[j].uid;
		places[j] = (uint32_t)n + 1;
		both[n++] = more->at[j++];
	}
	free(h->at);
	free(more->at);
	*more = (struct context_hits){ 0 };
	h->at = both;
	h->count = n;
}
