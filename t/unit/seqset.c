/*
 * seqset: parsing, "*", joining, and what is in and what is not.
 */
#include <string.h>

#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"

static struct arena a;
static struct buf out;

static bool
written(const struct seqset *set, const char *want)
{
	buf_clear(&out);
	seqset_put(&out, set);
	if (!slice_is(buf_slice(&out), want))
		printf("#  got: %.*s\n", (int)buf_len(&out),
		    (const char *)buf_data(&out));
	return slice_is(buf_slice(&out), want);
}

static void
test_parse(void)
{
	static const struct {
		const char *in;
		uint32_t largest;
		const char *want; /* NULL: refused */
	} cases[] = {
		{ "1", 9, "1" },
		{ "*", 9, "9" },
		{ "3:1", 9, "1:3" },
		{ "5:*", 9, "5:9" },
		{ "12:*", 9, "9:12" },
		{ "4,2,3,9,1:2", 9, "1:4,9" },
		{ "1:3,2:5,7", 9, "1:5,7" },
		{ "4294967295,4294967294", 9, "4294967294:4294967295" },
		{ "*", 0, "" },
		{ "1:*", 0, "1" },
		{ "", 9, NULL },
		{ "0", 9, NULL },
		{ "01", 9, NULL },
		{ "1,", 9, NULL },
		{ ",1", 9, NULL },
		{ "1:", 9, NULL },
		{ "1:2:3", 9, NULL },
		{ "4294967296", 9, NULL },
		{ "1 2", 9, NULL },
		{ "a", 9, NULL },
		{ "**", 9, NULL },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct seqset set;
		const char *why =
		    seqset_parse(&a, slice_str(cases[i].in), &set);

		if (cases[i].want == NULL) {
			ok(why != NULL, "refused: %s", cases[i].in);
			continue;
		}
		ok(why == NULL && written(&set, cases[i].in), "as it came: %s",
		    cases[i].in);
		seqset_resolve(&set, cases[i].largest);
		ok(written(&set, cases[i].want), "resolved: %s", cases[i].want);
	}
}

static void
test_limit(void)
{
	static char s[2 * SEQSET_RANGES_MAX + 2];
	struct seqset set;

	for (size_t i = 0; i < sizeof(s); i++)
		s[i] = i % 2 == 0 ? '7' : ',';
	ok(seqset_parse(&a, slice_of(s, 2 * SEQSET_RANGES_MAX - 1), &set) ==
	        NULL,
	    "as many as may be");
	seqset_resolve(&set, 1);
	ok(written(&set, "7"), "all the same");
	ok(seqset_parse(&a, slice_of(s, 2 * SEQSET_RANGES_MAX + 1), &set) !=
	        NULL,
	    "one more");
}

static void
test_members(void)
{
	struct seqset set;
	uint64_t count = 0;
	bool same = true;
	uint32_t n;

	ok(seqset_parse(&a, slice_str("2:4,8,10:11"), &set) == NULL, "a set");
	seqset_resolve(&set, 20);
	for (n = 1; n < 25; n++)
		same = same &&
		       seqset_contains(&set, n) ==
		           ((n >= 2 && n <= 4) || n == 8 || n == 10 || n == 11);
	ok(same, "its members");
	for (struct seqiter it = seqiter_of(&set); seqiter_next(&it, &n);)
		same = same && seqset_contains(&set, n) && ++count > 0;
	ok(same && count == seqset_count(&set) && count == 6, "counted");
	ok(seqset_parse(&a, slice_str("4294967294:4294967295"), &set) == NULL,
	    "the last numbers");
	for (struct seqiter it = seqiter_of(&set); seqiter_next(&it, &n);)
		count++;
	ok(count == 8, "and it ends");
}

static void
test_build(void)
{
	static const uint32_t order[] = { 5, 6, 3, 4, 9 };
	struct seqset set = { 0 }, pushed = { 0 };

	for (uint32_t n = 1; n < 100; n++)
		if (n % 10 != 0)
			seqset_add(&a, &set, n);
	ok(set.n == 10 && seqset_count(&set) == 90, "added");
	for (size_t i = 0; i < NITEMS(order); i++)
		seqset_push(&a, &pushed, order[i]);
	ok(written(&pushed, "5:6,3:4,9"), "in the order of COPYUID");
}

int
main(void)
{
	arena_init(&a);
	buf_init(&out, 1 << 20);
	test_parse();
	test_limit();
	test_members();
	test_build();
	buf_fini(&out);
	arena_reset(&a);
	return done_testing();
}
