/*
 * Fuzz SEARCH: the first line is the keys, the rest a message.  The law: the
 * answer is the same with a summary and without.
 */
#include <stdlib.h>

#include "imap/parse.h"
#include "imap/search.h"
#include "imap/seqset.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/must.h"
#include "t/summary_of.h"

static struct seqrange saved_ranges[] = { { 5, 7 } };
static const struct seqset saved = { .ranges = saved_ranges, .n = 1 };

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct slice all = slice_of(in, n), line;
	struct search_facts facts = { .seq = 1, .uid = 7, .now = 838000000 };
	enum search_answer slow, fast;
	struct summary sum;
	struct search s;
	struct parse p;
	struct arena a;
	bool badcharset;

	line = slice_first(all, slice_find(all, '\n'));
	arena_init(&a);
	parse_init_text(&p, &a, line);
	if (search_parse(&p, &s, &badcharset) == NULL) {
		search_bind(&s, &a, 1, 7, &saved);
		facts.message = slice_skip(all, line.len);
		slow = search_test(&s, &facts);
		summary_of(&a, facts.message, &sum);
		facts.summary = &sum;
		fast = search_test(&s, &facts);
		MUST(slow <= SEARCH_YES && slow == fast);
	}
	arena_reset(&a);
	return 0;
}
