/*
 * The law: after any puts and removes a keyset holds what a plain array of
 * flags says, and gives the names in the order they were first put.
 */
#include <stdlib.h>

#include "lib/keyset.h"
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
	struct keyset n;
	struct slice name;
	size_t count = 0, put = 0, at = 0, seen = 0;
	bool same = true, ordered = true;
	char room[32];

	keyset_init(&n, 1 << 20);
	for (unsigned s = 0; s < STEPS; s++) {
		unsigned i = roll(NAMES);

		if (roll(3) > 0) {
			keyset_put(&n, name_of(i, room));
			count += !there[i];
			if (!was[i])
				order[put++] = i;
			there[i] = was[i] = true;
		} else {
			keyset_remove(&n, name_of(i, room));
			count -= there[i];
			there[i] = false;
		}
		i = roll(NAMES);
		same = same && keyset_has(&n, name_of(i, room)) == there[i] &&
		       keyset_count(&n) == count;
	}
	ok(same && count > 100 && !keyset_failed(&n), "as the flags say");
	for (size_t i = 0; i < put; i++) {
		if (!there[order[i]])
			continue;
		ordered = ordered && keyset_next(&n, &at, &name) &&
		          slice_equal(name, name_of(order[i], room));
		seen++;
	}
	ok(ordered && seen == count && !keyset_next(&n, &at, &name),
	    "one after another, each once");
	keyset_fini(&n);
	at = 0;
	ok(keyset_count(&n) == 0 && !keyset_next(&n, &at, &name) &&
	        !keyset_has(&n, name_of(1, room)),
	    "empty again");
	keyset_put(&n, name_of(1, room));
	ok(keyset_has(&n, name_of(1, room)), "and of use again");
	keyset_fini(&n);
}

static void
test_ceiling(void)
{
	struct keyset n;
	char room[32];
	unsigned i = 1;

	keyset_init(&n, 1000);
	for (; !keyset_failed(&n); i++)
		keyset_put(&n, name_of(i, room));
	ok(i > 30 && i < 1000, "past the ceiling it fails");
	ok(!keyset_has(&n, name_of(i - 1, room)) &&
	        keyset_has(&n, name_of(i - 2, room)) &&
	        keyset_count(&n) == i - 2,
	    "and what it held it holds");
	keyset_fini(&n);
	ok(!keyset_failed(&n), "until it is emptied");
}

int
main(void)
{
	test_law();
	test_ceiling();
	return done_testing();
}
