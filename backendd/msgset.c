#include <string.h>

#include "backendd/mailbox.h"
#include "backendd/msgset.h"
#include "backendd/session.h"
#include "backendd/view.h"
#include "imap/parse.h"
#include "imap/partial.h"
#include "lib/arena.h"
#include "lib/must.h"

void
msgset_parse(struct msgset *s, struct parse *p, bool by_uid)
{
	*s = (struct msgset){ .by_uid = by_uid, .uids = by_uid };
	parse_seqset_saved(p, &s->set);
}

bool
msgset_is_one(const struct msgset *s)
{
	return s->set.n == 1 && !s->set.saved &&
	       s->set.ranges[0].first == s->set.ranges[0].last;
}

/* "1:*": all there are, which may be none. */
static bool
is_all(const struct seqset *set)
{
	const struct seqrange *r = set->ranges;

	return set->n == 1 && ((r->first == 1 && r->last == SEQSET_STAR) ||
	                          (r->first == SEQSET_STAR && r->last == 1));
}

/*
 * A number above the last is the client's mistake, and of an empty mailbox any
 * is, "*" too (RFC 9051 9, seq-number); but "1:*" is meant well.
 */
static const char *
resolve_numbers(struct msgset *s, const struct view *v)
{
	uint32_t count = view_count(v);
	bool some = s->set.n > 0, all = is_all(&s->set);

	seqset_resolve(&s->set, count);
	if (count == 0)
		s->set.n = 0;
	if (some && !(count == 0 && all) &&
	    (count == 0 || s->set.ranges[s->set.n - 1].last > count))
		return "No message has that number";
	return NULL;
}

static void
numbers_to_uids(struct seqset *set, const struct view *v)
{
	for (size_t i = 0; i < set->n; i++) {
		struct seqrange *r = &set->ranges[i];

		r->first = view_uid_of(v, r->first);
		r->last = view_uid_of(v, r->last);
	}
}

/* Resolved sets of UIDs: a becomes both. */
static void
add_set(struct arena *arena, struct seqset *a, const struct seqset *b)
{
	struct seqset both = { .n = a->n + b->n };

	both.size = both.n;
	both.ranges = arena_array(arena, both.n + 1, sizeof(*both.ranges));
	if (a->n > 0)
		memcpy(both.ranges, a->ranges, a->n * sizeof(*both.ranges));
	if (b->n > 0)
		memcpy(both.ranges + a->n, b->ranges,
		    b->n * sizeof(*both.ranges));
	seqset_resolve(&both, 0); /* sorts and joins */
	*a = both;
}

const char *
msgset_begin(struct msgset *s, struct session *ss)
{
	const struct view *v = session_view(ss);

	if (s->by_uid) {
		seqset_resolve(&s->set, view_last_uid(v));
	} else {
		const char *why = resolve_numbers(s, v);

		if (why != NULL)
			return why;
	}
	if (!s->set.saved)
		return NULL;
	if (!s->by_uid)
		numbers_to_uids(&s->set, v);
	s->uids = true;
	add_set(session_cmd(ss)->arena, &s->set, session_saved(ss));
	return NULL;
}

/* Where in the store's order a range begins and ends, and what it has. */
struct stretch {
	uint32_t at, count;
};

static struct stretch
stretch_of(const struct store_mailbox *mb, struct seqrange r, uint32_t end)
{
	struct stretch st = { .at = store_index(mb, r.first) };
	uint32_t behind = store_index_behind(mb, r.last);

	if (behind < end)
		end = behind;
	st.count = end > st.at ? end - st.at : 0;
	return st;
}

void
msgset_window(struct msgset *s, struct session *ss,
    const struct partial *window)
{
	const struct view *v = session_view(ss);
	const struct store_mailbox *mb;
	size_t total = 0, before = 0, from, to;
	struct seqset left = { 0 };
	uint32_t end, last = view_last_uid(v);

	MUST(s->uids && s->range == 0 && s->next == 0);
	if (last == 0) {
		s->set.n = 0;
		return;
	}
	mb = mailbox_store(view_mailbox(v));
	end = store_index_behind(mb, last);
	for (size_t i = 0; i < s->set.n; i++)
		total += stretch_of(mb, s->set.ranges[i], end).count;
	if (!partial_window(window, total, &from, &to))
		from = to = 0;
	for (size_t i = 0; i < s->set.n && before < to; i++) {
		struct stretch st = stretch_of(mb, s->set.ranges[i], end);
		size_t low = from > before ? from - before : 0;
		size_t high = to - before;

		if (high > st.count)
			high = st.count;
		if (low < high)
			seqset_add_range(session_cmd(ss)->arena, &left,
			    store_at(mb, st.at + (uint32_t)low)->uid,
			    store_at(mb, st.at + (uint32_t)high - 1)->uid);
		before += st.count;
	}
	s->set = left;
}

static uint32_t
next_by_uid(struct msgset *s, const struct view *v, const struct seqrange *r)
{
	uint32_t uid = view_next_uid(v, s->next);

	s->next = uid;
	return uid != 0 && uid <= r->last ? uid : 0;
}

static uint32_t
next_by_number(struct msgset *s, const struct view *v, const struct seqrange *r)
{
	for (; s->next <= r->last; s->next++) {
		uint32_t uid = view_uid_of(v, s->next);

		if (view_message(v, uid) != NULL)
			return uid;
		s->passed_over = true;
		if (s->next == UINT32_MAX)
			break;
	}
	return 0;
}

uint32_t
msgset_next(struct msgset *s, const struct view *v)
{
	for (; s->range < s->set.n; s->range++, s->next = 0) {
		const struct seqrange *r = &s->set.ranges[s->range];
		uint32_t uid;

		if (s->next == 0)
			s->next = r->first;
		if (s->next > r->last)
			continue;
		uid = s->uids ? next_by_uid(s, v, r) : next_by_number(s, v, r);
		if (uid == 0)
			continue;
		if (s->next == r->last) { /* 2^32-1 has no successor */
			s->range++;
			s->next = 0;
		} else {
			s->next++;
		}
		return uid;
	}
	return 0;
}

void
msgset_pass_over(struct msgset *s)
{
	if (!s->uids)
		s->passed_over = true;
}

bool
msgset_passed_over(const struct msgset *s)
{
	return s->passed_over;
}
