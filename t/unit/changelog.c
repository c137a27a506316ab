/*
 * changelog: what came after a revision at or above the floor is all there,
 * in order, be it put one by one or offered at a start in any order.
 */
#include <stdio.h>

#include "mupdated/changelog.h"
#include "t/tap.h"

enum {
	MAX = 100,
	ALL = 1000
};

/* Each revision there is, after this one, once and in order. */
static bool
is_all_after(const struct changelog *c, uint64_t revision, uint64_t last)
{
	struct change change;
	char name[32];

	while (changelog_after(c, revision, &change)) {
		snprintf(name, sizeof(name), "user.%llu",
		    (unsigned long long)change.revision);
		if (change.revision != revision + 1 ||
		    !slice_is(change.name, name) ||
		    change.gone != (change.revision % 3 == 0))
			return false;
		revision = change.revision;
	}
	return revision == last;
}

static struct change
make(uint64_t revision, char room[32])
{
	int n = snprintf(room, 32, "user.%llu", (unsigned long long)revision);

	return (struct change){ revision, slice_of(room, (size_t)n),
		revision % 3 == 0 };
}

static void
test_put(void)
{
	struct changelog *c = changelog_new(MAX);
	struct change change, oldest;
	bool good = true;
	char room[32];

	changelog_reset(c, 10);
	ok(changelog_floor(c) == 10 && !changelog_after(c, 0, &change),
	    "nothing is known");
	for (uint64_t i = 11; i <= ALL; i++) {
		bool full = changelog_next_drop(c, &oldest);

		good = good && full == (i > 10 + MAX) &&
		       (!full || oldest.revision == i - MAX);
		change = make(i, room);
		changelog_put(c, &change);
	}
	ok(good, "the oldest goes, and is told of");
	ok(changelog_count(c) == MAX && changelog_floor(c) == ALL - MAX,
	    "as many as there is room for");
	good = true;
	for (uint64_t i = ALL - MAX; i <= ALL; i++)
		good = good && is_all_after(c, i, ALL);
	ok(good, "all that came after any of them");
	ok(!changelog_after(c, ALL, &change), "and nothing after the last");
	changelog_free(&c);
}

/* With room for all. */
static void
test_floor(uint64_t floor)
{
	struct changelog *c = changelog_new(10 * ALL);
	struct change change;
	char room[32];

	changelog_reset(c, floor);
	for (uint64_t i = 1; i <= ALL; i++) {
		change = make(i * 3 % (ALL + 1), room);
		changelog_offer(c, &change);
	}
	changelog_sort(c);
	ok(changelog_floor(c) == floor && changelog_count(c) == ALL - floor &&
	        is_all_after(c, floor, ALL),
	    "nothing below the floor of %llu", (unsigned long long)floor);
	changelog_free(&c);
}

static void
test_offer_all(void)
{
	struct changelog *c = changelog_new(MAX);
	struct change change;
	char room[32];

	for (uint64_t i = 1; i <= ALL; i++) {
		/* 3 and 1000 + 1 have no common divisor. */
		change = make(i * 3 % (ALL + 1), room);
		changelog_offer(c, &change);
	}
	changelog_sort(c);
	ok(changelog_count(c) == MAX && changelog_floor(c) == ALL - MAX &&
	        is_all_after(c, ALL - MAX, ALL),
	    "the latest stay, in order");
	change = make(ALL + 1, room);
	changelog_put(c, &change);
	ok(is_all_after(c, changelog_floor(c), ALL + 1), "and on it goes");
	changelog_reset(c, 5);
	ok(changelog_count(c) == 0 && changelog_floor(c) == 5, "begun anew");
	changelog_free(&c);
}

int
main(void)
{
	test_put();
	test_offer_all();
	test_floor(0);
	test_floor(300);
	return done_testing();
}
