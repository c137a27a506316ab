/*
 * The law: after any puts and removes a nameset holds what a plain array of
 * flags says, and gives the names in the order they were first put.
 */
#include <stdlib.h>

#include "lib/nameset.h"
#include "t/tap.h"

enum {
	NAMES = 5000,
	STEPS = 40000
};

static unsigned seed = 7;

static unsigned
roll(unsigned n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static struct slice
name_of(unsigned i, char room[32])
{
	/* Of many lengths, none too. */
	int n = i == 0 ? 0
	               : snprintf(room, 32, "%u.%.*s", i, (int)(i % 20),
	                     "aaaaaaaaaaaaaaaaaaaaa");

	return slice_of(room, (size_t)n);
}

static void
test_law(void)
{
	static bool there[NAMES], was[NAMES];
	static unsigned order[NAMES];
	struct nameset n;
	struct slice name;
	size_t count = 0, put = 0, at = 0, seen = 0;
	bool same = true, ordered = true;
	char room[32];

	nameset_init(&n, 1 << 20);
	for (unsigned s = 0; s < STEPS; s++) {
		unsigned i = roll(NAMES);

		if (roll(3) > 0) {
			nameset_put(&n, name_of(i, room));
			count += !there[i];
			if (!was[i])
				order[put++] = i;
			there[i] = was[i] = true;
		} else {
			nameset_remove(&n, name_of(i, room));
			count -= there[i];
			there[i] = false;
		}
		i = roll(NAMES);
		same = same && nameset_has(&n, name_of(i, room)) == there[i] &&
		       nameset_count(&n) == count;
	}
	ok(same && count > 100 && !nameset_failed(&n), "as the flags say");
	for (size_t i = 0; i < put; i++) {
		if (!there[order[i]])
			continue;
		ordered = ordered && nameset_next(&n, &at, &name) &&
		          slice_equal(name, name_of(order[i], room));
		seen++;
	}
	ok(ordered && seen == count && !nameset_next(&n, &at, &name),
	    "one after another, each once");
	nameset_fini(&n);
	at = 0;
	ok(nameset_count(&n) == 0 && !nameset_next(&n, &at, &name) &&
	        !nameset_has(&n, name_of(1, room)),
	    "empty again");
	nameset_put(&n, name_of(1, room));
	ok(nameset_has(&n, name_of(1, room)), "and of use again");
	nameset_fini(&n);
}

static void
test_ceiling(void)
{
	struct nameset n;
	char room[32];
	unsigned i = 1;

	nameset_init(&n, 1000);
	for (; !nameset_failed(&n); i++)
		nameset_put(&n, name_of(i, room));
	ok(i > 30 && i < 1000, "past the ceiling it fails");
	ok(!nameset_has(&n, name_of(i - 1, room)) &&
	        nameset_has(&n, name_of(i - 2, room)) &&
	        nameset_count(&n) == i - 2,
	    "and what it held it holds");
	nameset_fini(&n);
	ok(!nameset_failed(&n), "until it is emptied");
}

int
main(void)
{
	test_law();
	test_ceiling();
	return done_testing();
}
