#include "backendd/msgset.h"
#include "backendd/view.h"
#include "imap/parse.h"

void
msgset_parse(struct msgset *s, struct parse *p, bool by_uid)
{
	*s = (struct msgset){ .by_uid = by_uid };
	parse_seqset(p, &s->set);
}

/*
 * A number above the last is the client's mistake (RFC 9051 9, seq-number);
 * any of an empty mailbox is not worth a BAD, as "1:*" is meant well.
 */
const char *
msgset_begin(struct msgset *s, const struct view *v)
{
	uint32_t count = view_count(v);

	if (s->by_uid) {
		seqset_resolve(&s->set, view_last_uid(v));
		return NULL;
	}
	seqset_resolve(&s->set, count);
	if (count == 0)
		s->set.n = 0;
	else if (s->set.n > 0 && s->set.ranges[s->set.n - 1].last > count)
		return "No message has that number";
	return NULL;
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
		uid =
		    s->by_uid ? next_by_uid(s, v, r) : next_by_number(s, v, r);
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

bool
msgset_passed_over(const struct msgset *s)
{
	return s->passed_over;
}
