/*
 * map: against a table that cannot be wrong.
 */
#include "lib/map.h"
#include "lib/rand.h"
#include "t/tap.h"

enum {
	KEYS = 2000
};

static struct slice
key_of(const uint32_t *i)
{
	return slice_of(i, sizeof(*i));
}

static bool
count_one(void *arg, struct slice key, void *value)
{
	(void)key, (void)value;
	++*(size_t *)arg;
	return true;
}

static bool
stop_at_three(void *arg, struct slice key, void *value)
{
	(void)key, (void)value;
	return ++*(size_t *)arg < 3;
}

static bool
remove_it(void *arg, struct slice key, void *value)
{
	return map_remove(arg, key) == value;
}

/* Random puts and removes: map and table always agree. */
static void
test_law(struct map *m)
{
	static char values[KEYS];
	static void *table[KEYS];
	size_t count = 0, seen = 0;
	bool good = true;

	for (int turn = 0; turn < 50000; turn++) {
		uint32_t i = (uint32_t)rand_below(KEYS);
		void *value = &values[rand_below(KEYS)], *old = table[i];

		if (rand_below(2) == 0) {
			good = good && map_put(m, key_of(&i), value) == old;
			table[i] = value;
			count += old == NULL;
		} else {
			good = good && map_remove(m, key_of(&i)) == old;
			table[i] = NULL;
			count -= old != NULL;
		}
		good = good && map_find(m, key_of(&i)) == table[i];
		good = good && map_count(m) == count;
	}
	for (uint32_t i = 0; i < KEYS; i++)
		good = good && map_find(m, key_of(&i)) == table[i];
	ok(good && count > 0, "agrees with the table");
	map_each(m, count_one, &seen);
	ok(seen == count, "each once");
}

int
main(void)
{
	size_t seen = 0;
	struct map m;
	int x = 0;

	map_init(&m);
	ok(map_find(&m, slice_str("a")) == NULL &&
	        map_remove(&m, slice_str("a")) == NULL,
	    "empty");
	test_law(&m);
	map_each(&m, stop_at_three, &seen);
	ok(seen == 3, "stops");
	map_each(&m, remove_it, &m);
	ok(map_count(&m) == 0, "what is shown may be removed");
	ok(map_put(&m, slice_of(NULL, 0), &x) == NULL &&
	        map_find(&m, slice_of("", 0)) == &x,
	    "the empty key");
	ok(map_find(&m, slice_of("", 1)) == NULL, "is not a NUL");
	map_fini(&m);
	ok(map_count(&m) == 0, "gone");
	return done_testing();
}
