#include <stdlib.h>

#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"

/* "*" or an nz-number off the front; the text left must go on from there. */
static bool
take_number(struct slice *s, uint32_t *n)
{
	uint64_t value;
	size_t len = 0;

	if (s->len > 0 && s->ptr[0] == '*') {
		*n = SEQSET_STAR;
		*s = slice_skip(*s, 1);
		return true;
	}
	while (len < s->len && ascii_digit(s->ptr[len]))
		len++;
	if (!ascii_number(slice_first(*s, len), UINT32_MAX, &value) ||
	    s->ptr[0] == '0')
		return false;
	*n = (uint32_t)value;
	*s = slice_skip(*s, len);
	return true;
}

static bool
take_range(struct slice *s, struct seqrange *r)
{
	if (!take_number(s, &r->first))
		return false;
	r->last = r->first;
	if (s->len == 0 || s->ptr[0] != ':')
		return true;
	*s = slice_skip(*s, 1);
	return take_number(s, &r->last);
}

enum dollar {
	DOLLAR_REFUSED,
	DOLLAR_TAKEN
};

/* A range, or "$", and what follows is "," or the end. */
static bool
take_item(struct slice *s, enum dollar dollar, struct seqset *set)
{
	if (dollar == DOLLAR_TAKEN && s->len > 0 && s->ptr[0] == '$') {
		set->saved = true;
		*s = slice_skip(*s, 1);
	} else if (take_range(s, &set->ranges[set->n])) {
		set->n++;
	} else {
		return false;
	}
	return s->len == 0 || s->ptr[0] == ',';
}

static const char *
parse_set(struct arena *a, struct slice s, enum dollar dollar,
    struct seqset *set)
{
	size_t n = 1;

	*set = (struct seqset){ 0 };
	for (size_t i = 0; i < s.len; i++)
		n += s.ptr[i] == ',';
	if (n > SEQSET_RANGES_MAX)
		return "Sequence set too long";
	set->ranges = arena_array(a, n, sizeof(*set->ranges));
	set->size = n;
	for (;;) {
		if (!take_item(&s, dollar, set))
			return "Invalid sequence set";
		if (s.len == 0)
			return NULL;
		s = slice_skip(s, 1);
	}
}

const char *
seqset_parse(struct arena *a, struct slice s, struct seqset *set)
{
	return parse_set(a, s, DOLLAR_REFUSED, set);
}

const char *
seqset_parse_saved(struct arena *a, struct slice s, struct seqset *set)
{
	return parse_set(a, s, DOLLAR_TAKEN, set);
}

static int
by_first(const void *a, const void *b)
{
	const struct seqrange *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

/* Sorted ranges: joins those that overlap or touch. */
static void
join(struct seqset *set)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++) {
		struct seqrange r = set->ranges[i];
		struct seqrange *prev = n > 0 ? &set->ranges[n - 1] : NULL;

		if (prev != NULL && r.first - 1 <= prev->last) {
			if (r.last > prev->last)
				prev->last = r.last;
		} else {
			set->ranges[n++] = r;
		}
	}
	set->n = n;
}

void
seqset_resolve(struct seqset *set, uint32_t largest)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++) {
		struct seqrange r = set->ranges[i];

		if (r.first == SEQSET_STAR)
			r.first = largest;
		if (r.last == SEQSET_STAR)
			r.last = largest;
		if (r.first > r.last)
			r = (struct seqrange){ r.last, r.first };
		if (r.last == 0)
			continue;
		if (r.first == 0)
			r.first = r.last;
		set->ranges[n++] = r;
	}
	set->n = n;
	if (n > 1)
		qsort(set->ranges, n, sizeof(*set->ranges), by_first);
	join(set);
}

static void
append(struct arena *a, struct seqset *set, struct seqrange r)
{
	if (set->n == set->size) {
		size_t size = set->size == 0 ? 4 : set->size * 2;
		struct seqrange *more = arena_array(a, size, sizeof(*more));

		if (set->n > 0)
			memcpy(more, set->ranges, set->n * sizeof(*more));
		set->ranges = more;
		set->size = size;
	}
	set->ranges[set->n++] = r;
}

void
seqset_add_range(struct arena *a, struct seqset *set, uint32_t first,
    uint32_t last)
{
	struct seqrange *prev = set->n > 0 ? &set->ranges[set->n - 1] : NULL;

	MUST(first > 0 && first <= last);
	MUST(prev == NULL || first > prev->last);
	if (prev != NULL && first == prev->last + 1)
		prev->last = last;
	else
		append(a, set, (struct seqrange){ first, last });
}

void
seqset_add(struct arena *a, struct seqset *set, uint32_t n)
{
	seqset_add_range(a, set, n, n);
}

void
seqset_push(struct arena *a, struct seqset *set, uint32_t n)
{
	struct seqrange *prev = set->n > 0 ? &set->ranges[set->n - 1] : NULL;

	MUST(n > 0);
	if (prev != NULL && prev->last < UINT32_MAX && n == prev->last + 1)
		prev->last = n;
	else
		append(a, set, (struct seqrange){ n, n });
}

void
seqset_copy(struct arena *a, struct seqset *to, const struct seqset *from)
{
	*to = (struct seqset){ .n = from->n, .size = from->n };
	to->ranges = arena_array(a, from->n + 1, sizeof(*to->ranges));
	if (from->n > 0)
		memcpy(to->ranges, from->ranges, from->n * sizeof(*to->ranges));
}

bool
seqset_contains(const struct seqset *set, uint32_t n)
{
	size_t low = 0, high = set->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (n < set->ranges[mid].first)
			high = mid;
		else if (n > set->ranges[mid].last)
			low = mid + 1;
		else
			return true;
	}
	return false;
}

uint64_t
seqset_count(const struct seqset *set)
{
	uint64_t count = 0;

	for (size_t i = 0; i < set->n; i++)
		count +=
		    (uint64_t)set->ranges[i].last - set->ranges[i].first + 1;
	return count;
}

static void
put_number(struct buf *out, uint32_t n)
{
	if (n == SEQSET_STAR)
		buf_putc(out, '*');
	else
		buf_put_number(out, n);
}

void
seqset_put(struct buf *out, const struct seqset *set)
{
	for (size_t i = 0; i < set->n; i++) {
		if (i > 0)
			buf_putc(out, ',');
		put_number(out, set->ranges[i].first);
		if (set->ranges[i].last == set->ranges[i].first)
			continue;
		buf_putc(out, ':');
		put_number(out, set->ranges[i].last);
	}
}

struct seqiter
seqiter_of(const struct seqset *set)
{
	return (struct seqiter){ .set = set };
}

bool
seqiter_next(struct seqiter *it, uint32_t *n)
{
	const struct seqrange *r;

	if (it->range == it->set->n)
		return false;
	r = &it->set->ranges[it->range];
	if (it->next == 0)
		it->next = r->first;
	*n = (uint32_t)it->next++;
	if (it->next > r->last) {
		it->range++;
		it->next = 0;
	}
	return true;
}
