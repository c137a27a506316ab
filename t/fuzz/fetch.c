/*
 * Fuzz FETCH: the first line is the items, the rest a message.  The laws: a
 * plan's ranges are within the message and its total is what its pieces have;
 * fields from the summary are the fields of the message.
 */
#include <stdlib.h>

#include "imap/fetch.h"
#include "imap/parse.h"
#include "imap/summary.h"
#include "imap/transfer.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "t/summary_of.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

static void
check_plan(const struct fetch_plan *plan, size_t size)
{
	uint64_t total = 0;

	for (size_t i = 0; i < plan->count; i++) {
		const struct fetch_piece *pc = &plan->pieces[i];

		if (pc->text.ptr != NULL) {
			total += pc->text.len;
			continue;
		}
		MUST(pc->range.at <= size &&
		     pc->range.len <= size - pc->range.at);
		total += fetch_piece_len(pc);
	}
	MUST(total == plan->total);
}

/* Odd items are at hand, even ones would be decoded again. */
static void
decode(const struct fetch *f, struct arena *a, struct fetch_facts *facts,
    struct slice message)
{
	struct fetch_decoded *d = arena_array(a, f->count + 1, sizeof(*d));

	facts->decoded = d;
	for (unsigned i = 0; i < f->count; i++) {
		enum transfer_encoding encoding;
		struct section_range r;
		struct transfer t;
		struct buf b;

		if (fetch_decode_needed(&f->items[i], facts, &r, &encoding) !=
		    FETCH_DECODE)
			continue;
		MUST(r.at <= message.len && r.len <= message.len - r.at);
		buf_init(&b, SIZE_MAX / 4);
		transfer_init(&t, encoding);
		transfer_put(&t, slice_first(slice_skip(message, r.at), r.len),
		    &b);
		transfer_end(&t, &b);
		MUST(buf_len(&b) <= r.len);
		d[i].size = buf_len(&b);
		if (i % 2 == 1 && buf_len(&b) > 0)
			d[i].octets = arena_copy(a, buf_slice(&b));
		buf_fini(&b);
	}
}

static void
plan(const struct fetch *f, struct arena *a, struct fetch_facts *facts,
    struct slice message, struct fetch_plan *p)
{
	facts->header_range = fetch_header_needed(f, facts);
	facts->header = slice_first(slice_skip(message, facts->header_range.at),
	    facts->header_range.len);
	fetch_plan(f, a, facts, p);
	check_plan(p, message.len);
}

static void
check_same(const struct fetch_plan *p, const struct fetch_plan *q)
{
	MUST(p->count == q->count && p->total == q->total);
	for (size_t i = 0; i < p->count; i++) {
		MUST(p->pieces[i].range.at == q->pieces[i].range.at &&
		     p->pieces[i].range.len == q->pieces[i].range.len);
		MUST(slice_equal(p->pieces[i].text, q->pieces[i].text));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct slice all = slice_of(in, n), line, message;
	struct fetch_facts facts = { .seq = 1, .uid = 1 };
	struct fetch_plan quick, slow;
	struct summary s;
	struct fetch f;
	struct parse p;
	struct arena a;

	line = slice_first(all, slice_find(all, '\n'));
	message = slice_skip(all, line.len);
	arena_init(&a);
	parse_init_text(&p, &a, line);
	if (fetch_parse(&p, &f) == NULL) {
		summary_of(&a, message, &s);
		facts.summary = &s;
		facts.size_octets = message.len;
		decode(&f, &a, &facts, message);
		plan(&f, &a, &facts, message, &quick);
		s.headers_cut = true; /* so that it must be read */
		plan(&f, &a, &facts, message, &slow);
		check_same(&quick, &slow);
	}
	arena_reset(&a);
	return 0;
}
