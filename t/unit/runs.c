/*
 * runs: numbers never come again, whatever the clock; what was given is known,
 * what was not is not; put then parsed is the same.
 */
#include "lib/buf.h"
#include "lib/err.h"
#include "mupdated/runs.h"
#include "t/tap.h"

static void
test_numbers(void)
{
	struct runs r = { 0 };
	uint64_t first = runs_begin(&r, 1, 1000), second, third;

	ok(first == 1000 << RUNS_MS_BITS, "the clock's");
	ok(runs_know(&r, first) && !runs_know(&r, first - 1) &&
	        !runs_know(&r, first + 1),
	    "it has given the first to nothing");
	runs_gave(&r, first + 5);
	ok(runs_know(&r, first + 5) && !runs_know(&r, first + 6),
	    "and what it gave");
	second = runs_begin(&r, 1, 2000);
	ok(second == 2000 << RUNS_MS_BITS && !runs_know(&r, first + 6) &&
	        runs_know(&r, first + 5) && runs_know(&r, second),
	    "a later start");
	third = runs_begin(&r, 1, 5);
	ok(third == second + 1, "a clock set back");
	ok(runs_begin(&r, third + 100, 5) == third + 100, "a number asked for");
	ok(!runs_know(&r, 0) && !runs_know(&r, UINT64_MAX), "neither end");
}

static void
test_record(void)
{
	struct runs r = { 0 }, back;
	struct err err;
	struct buf b;

	buf_init(&b, 1 << 20);
	for (unsigned i = 1; i <= RUNS_MAX + 10; i++)
		runs_gave(&r, runs_begin(&r, 1, i) + i % 3 + 1);
	ok(r.count == RUNS_MAX, "a ceiling");
	ok(runs_know(&r, (uint64_t)1 << RUNS_MS_BITS) &&
	        runs_know(&r, (uint64_t)5 << RUNS_MS_BITS),
	    "the oldest are one");
	ok(!runs_know_well(&r, (uint64_t)1 << RUNS_MS_BITS) &&
	        !runs_know_well(&r, ((uint64_t)5 << RUNS_MS_BITS) + 4),
	    "of which it is not known who gave what");
	ok(!runs_know(&r, ((uint64_t)20 << RUNS_MS_BITS) + 4),
	    "others are not");
	ok(runs_know_well(&r, (uint64_t)20 << RUNS_MS_BITS) &&
	        !runs_know_well(&r, ((uint64_t)20 << RUNS_MS_BITS) + 4),
	    "and it is known");
	runs_put(&b, &r);
	ok(runs_parse(&back, buf_slice(&b), &err) == 0 &&
	        back.count == r.count &&
	        memcmp(back.run, r.run, sizeof(r.run)) == 0,
	    "put, then parsed");
	ok(runs_parse(&back, slice_first(buf_slice(&b), buf_len(&b) - 1),
	       &err) == -1,
	    "what is cut is refused");
	buf_clear(&b);
	runs_put(&b, &r);
	runs_put(&b, &r);
	ok(runs_parse(&back, buf_slice(&b), &err) == -1, "so is what is long");
	ok(runs_parse(&back, slice_of("\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1", 16),
	       &err) == -1,
	    "and what does not ascend");
	buf_fini(&b);
}

int
main(void)
{
	test_numbers();
	test_record();
	return done_testing();
}
