/* search: does a message answer to it? */
#include <string.h>

#include "imap/casefold.h"
#include "imap/charset.h"
#include "imap/date.h"
#include "imap/header.h"
#include "imap/mime.h"
#include "imap/mimetext.h"
#include "imap/search.h"
#include "imap/search_node.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"

enum {
	DAY_SECONDS = 24 * 60 * 60,
	VALUE_MAX = 256 * 1024,   /* octets of one field looked at */
	TEXT_MAX = 64 * VALUE_MAX /* ...and what they may become */
};

enum truth {
	FALSE,
	TRUE,
	UNKNOWN
};

/* What a key has to look at: cheapest first. */
enum cost {
	COST_FACTS,
	COST_SUMMARY,
	COST_MESSAGE, /* its header, and the texts of its parts */
	COSTS
};

struct run {
	const struct search *search;
	const struct search_facts *facts;
	struct arena arena;
	struct mime mime;                  /* COST_MESSAGE */
	uint8_t value[SEARCH_KEYS_MAX];    /* enum truth of each node */
	uint8_t relevant[SEARCH_KEYS_MAX]; /* can still change the answer */
};

static bool
is_leaf(const struct search_node *n)
{
	return n->op != OP_AND && n->op != OP_OR && n->op != OP_NOT;
}

/* Floored, for dates before 1970. */
static int64_t
day_of(int64_t seconds)
{
	return (seconds -
	           ((seconds % DAY_SECONDS) + DAY_SECONDS) % DAY_SECONDS) /
	       DAY_SECONDS;
}

static enum truth
truth(bool b)
{
	return b ? TRUE : FALSE;
}

static enum truth
test_day(enum search_op op, int64_t day, int64_t wanted)
{
	if (op == OP_BEFORE || op == OP_SENTBEFORE || op == OP_SAVEDBEFORE)
		return truth(day < wanted);
	if (op == OP_ON || op == OP_SENTON || op == OP_SAVEDON)
		return truth(day == wanted);
	return truth(day >= wanted);
}

static bool
has_keyword(const struct search_facts *f, uint64_t number)
{
	return f->keywords >> number & 1;
}

static bool
is_saved(const struct search_node *n, const struct search_facts *f)
{
	return n->saved != NULL && seqset_contains(n->saved, f->uid);
}

static enum truth
test_facts(const struct search_node *n, const struct search_facts *f)
{
	int64_t age = f->now - f->internal_seconds;

	switch (n->op) {
	case OP_ALL:
		return TRUE;
	case OP_SEQ:
		return truth(
		    seqset_contains(&n->set, f->seq) || is_saved(n, f));
	case OP_UID:
		return truth(
		    seqset_contains(&n->set, f->uid) || is_saved(n, f));
	case OP_FLAGS:
		return truth((f->flags & n->mask) == n->number);
	case OP_KEYWORD:
		return truth(has_keyword(f, n->number));
	case OP_UNKEYWORD:
		return truth(!has_keyword(f, n->number));
	case OP_BEFORE:
	case OP_ON:
	case OP_SINCE:
		return test_day(n->op,
		    day_of(f->internal_seconds + f->internal_zone * 60),
		    (int64_t)n->number);
	case OP_SAVEDBEFORE:
	case OP_SAVEDON:
	case OP_SAVEDSINCE:
		/* RFC 8514 4.1: without a save date, as internal dates. */
		return test_day(n->op,
		    day_of(f->saved ? f->saved_seconds : f->internal_seconds),
		    (int64_t)n->number);
	case OP_SAVEDATESUPPORTED:
		return truth(f->saved);
	case OP_LARGER:
		return truth(f->size_octets > n->number);
	case OP_SMALLER:
		return truth(f->size_octets < n->number);
	case OP_OLDER:
		return truth(age >= (int64_t)n->number);
	case OP_YOUNGER:
		return truth(age <= (int64_t)n->number);
	case OP_MODSEQ:
		return truth(f->modseq >= n->number);
	case OP_EMAILID:
		return truth(slice_equal(f->emailid, n->name));
	case OP_THREADID:
		if (f->threadid.ptr != NULL)
			return truth(slice_equal(f->threadid, n->name));
		break;
	case OP_SENTBEFORE:
	case OP_SENTON:
	case OP_SENTSINCE:
	case OP_HEADER:
	case OP_BODY:
	case OP_TEXT:
	case OP_AND:
	case OP_OR:
	case OP_NOT:
		break;
	}
	return UNKNOWN;
}

/* ASCII without encoded words? */
static bool
is_plain(struct slice value)
{
	for (size_t i = 0; i < value.len; i++)
		if (value.ptr[i] >= 0x80 ||
		    (value.ptr[i] == '=' && i + 1 < value.len &&
		        value.ptr[i + 1] == '?'))
			return false;
	return true;
}

/* What charset_header() and casefold_put() would make of it, in pieces. */
static bool
plain_has(const struct needle *n, struct slice value)
{
	struct needle_state st = { 0 };
	uint8_t piece[256];
	size_t at = 0;

	value = slice_trim(value);
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = value.ptr[i];

		if (c != '\r' && c != '\n')
			piece[at++] = ascii_upper(c);
		if (at == sizeof(piece) || i + 1 == value.len) {
			needle_put(n, &st, slice_of(piece, at));
			at = 0;
		}
	}
	return st.found;
}

static bool
value_has(const struct search_node *n, struct slice value)
{
	struct buf text, folded;
	bool found;

	if (n->needle.text.len == 0)
		return true; /* the field is there */
	if (value.len > VALUE_MAX)
		value.len = VALUE_MAX;
	if (is_plain(value))
		return plain_has(&n->needle, value);
	buf_init(&text, TEXT_MAX);
	buf_init(&folded, TEXT_MAX);
	charset_header(&text, value);
	casefold_put(&folded, buf_slice(&text));
	found = needle_in(&n->needle, buf_slice(&folded));
	buf_fini(&text);
	buf_fini(&folded);
	return found;
}

static enum truth
test_header(const struct search_node *n, struct slice header)
{
	struct header_iter it;
	struct header_field f;

	header_init(&it, header);
	while (header_next_of(&it, n->name, &f))
		if (value_has(n, f.value))
			return TRUE;
	return FALSE;
}

static enum truth
test_summary(const struct search_node *n, const struct summary *s)
{
	if (n->op == OP_HEADER && summary_keeps(n->name) && !s->headers_cut)
		return test_header(n, s->headers);
	if (n->op == OP_THREADID)
		return truth(summary_is_thread(s, n->name));
	if (n->op == OP_SENTBEFORE || n->op == OP_SENTON ||
	    n->op == OP_SENTSINCE)
		return s->sent_known
		           ? test_day(n->op, s->sent_day, (int64_t)n->number)
		           : FALSE;
	return UNKNOWN;
}

/* Without a summary the Date field itself says. */
static enum truth
test_sent(const struct search_node *n, struct slice header)
{
	struct header_field f;
	struct date_time t;

	if (!header_find(header, "Date", &f) || !date_parse_mail(f.value, &t))
		return FALSE;
	return test_day(n->op, day_of(date_day_of(&t)), (int64_t)n->number);
}

/* The keys that look for text in this pass, and how far each has come. */
struct looking {
	struct run *run;
	unsigned nodes[SEARCH_TEXTS_MAX];
	struct needle_state states[SEARCH_TEXTS_MAX];
	unsigned count;
	struct buf folded;
};

static bool
look(void *arg, struct slice utf8, bool ends)
{
	struct looking *l = arg;
	bool more = false;

	casefold_put(&l->folded, utf8);
	for (unsigned i = 0; i < l->count; i++) {
		const struct search_node *n =
		    &l->run->search->nodes[l->nodes[i]];

		needle_put(&n->needle, &l->states[i], buf_slice(&l->folded));
		if (ends)
			l->states[i].matched = 0;
		more |= !l->states[i].found;
	}
	buf_clear(&l->folded);
	return more;
}

/* TEXT or BODY: all keys of a kind in one reading. */
static void
test_texts(struct run *r, enum search_op op, unsigned scope)
{
	struct looking l = { .run = r };

	for (unsigned i = 0; i < r->search->count; i++)
		if (r->search->nodes[i].op == op && r->relevant[i]) {
			MUST(l.count < SEARCH_TEXTS_MAX);
			l.nodes[l.count++] = i;
		}
	if (l.count == 0)
		return;
	buf_init(&l.folded, TEXT_MAX);
	for (unsigned i = 0; i < l.count; i++)
		needle_put(&r->search->nodes[l.nodes[i]].needle, &l.states[i],
		    (struct slice){ 0 });
	mimetext_read(&r->arena, r->facts->message, &r->mime, scope, look, &l);
	for (unsigned i = 0; i < l.count; i++)
		r->value[l.nodes[i]] = (uint8_t)truth(l.states[i].found);
	buf_fini(&l.folded);
}

/* From the leaves up: a node's children stand behind it. */
static void
combine(struct run *r)
{
	const struct search_node *nodes = r->search->nodes;

	for (unsigned i = 0; i < r->search->count; i++)
		if (!is_leaf(&nodes[i]))
			r->value[i] = nodes[i].op == OP_OR ? FALSE : TRUE;
	for (unsigned i = r->search->count; i-- > 1;) {
		uint8_t *up = &r->value[nodes[i].parent], v = r->value[i];

		switch (nodes[nodes[i].parent].op) {
		case OP_NOT:
			*up = v == UNKNOWN ? UNKNOWN : !v;
			break;
		case OP_OR:
			if (v == TRUE || (v == UNKNOWN && *up == FALSE))
				*up = v;
			break;
		default:
			if (v == FALSE || (v == UNKNOWN && *up == TRUE))
				*up = v;
			break;
		}
	}
	for (unsigned i = 0; i < r->search->count; i++)
		r->relevant[i] = r->value[i] == UNKNOWN &&
		                 (i == 0 || r->relevant[nodes[i].parent]);
}

static void
test_message(struct run *r)
{
	const struct search_facts *f = r->facts;
	struct slice header =
	    slice_first(f->message, header_length(f->message));

	for (unsigned i = 0; i < r->search->count; i++) {
		const struct search_node *n = &r->search->nodes[i];

		if (!r->relevant[i])
			continue;
		if (n->op == OP_HEADER)
			r->value[i] = (uint8_t)test_header(n, header);
		else if (n->op == OP_THREADID)
			r->value[i] = FALSE; /* only a summary tells */
		else if (is_leaf(n) && n->op != OP_BODY && n->op != OP_TEXT)
			r->value[i] = (uint8_t)test_sent(n, header);
	}
	combine(r);
	if (r->value[0] != UNKNOWN)
		return;
	if (f->summary != NULL && f->summary->mime.count > 0 &&
	    summary_fits(f->summary, f->message.len))
		r->mime = f->summary->mime;
	else
		mime_parse(&r->arena, f->message, &mime_limits_default,
		    &r->mime);
	test_texts(r, OP_BODY, MIMETEXT_HEADERS | MIMETEXT_BODIES);
	combine(r);
	test_texts(r, OP_TEXT,
	    MIMETEXT_HEADER | MIMETEXT_HEADERS | MIMETEXT_BODIES);
	combine(r);
}

static void
test_leaves(struct run *r, enum cost cost)
{
	for (unsigned i = 0; i < r->search->count; i++) {
		const struct search_node *n = &r->search->nodes[i];

		if (!r->relevant[i] || !is_leaf(n))
			continue;
		if (cost == COST_FACTS)
			r->value[i] = (uint8_t)test_facts(n, r->facts);
		else
			r->value[i] =
			    (uint8_t)test_summary(n, r->facts->summary);
	}
	combine(r);
}

/* Would a summary help any of the keys that still matter? */
static bool
wants_summary(const struct run *r)
{
	for (unsigned i = 0; i < r->search->count; i++) {
		const struct search_node *n = &r->search->nodes[i];

		if (r->relevant[i] && is_leaf(n) && n->op != OP_BODY &&
		    n->op != OP_TEXT &&
		    (n->op != OP_HEADER || summary_keeps(n->name)))
			return true;
	}
	return false;
}

static enum search_answer
test(struct run *r)
{
	const struct search_facts *f = r->facts;

	memset(r->value, UNKNOWN, r->search->count);
	memset(r->relevant, true, r->search->count);
	test_leaves(r, COST_FACTS);
	if (r->value[0] == UNKNOWN && f->summary != NULL)
		test_leaves(r, COST_SUMMARY);
	if (r->value[0] == UNKNOWN && f->message.ptr != NULL)
		test_message(r);
	if (r->value[0] == UNKNOWN)
		return f->summary == NULL && wants_summary(r)
		           ? SEARCH_NEEDS_SUMMARY
		           : SEARCH_NEEDS_MESSAGE;
	return r->value[0] == TRUE ? SEARCH_YES : SEARCH_NO;
}

enum search_answer
search_test(const struct search *s, const struct search_facts *facts)
{
	struct run r; /* large, and mostly not used */
	enum search_answer answer;

	MUST(s->count > 0 && s->count <= SEARCH_KEYS_MAX);
	if ((facts->flags & s->flags_mask) != s->wanted_flags)
		return SEARCH_NO;
	if (s->flags_only)
		return SEARCH_YES;
	r.search = s;
	r.facts = facts;
	arena_init(&r.arena);
	answer = test(&r);
	arena_reset(&r.arena);
	MUST(facts->message.ptr == NULL || answer <= SEARCH_YES);
	return answer;
}
