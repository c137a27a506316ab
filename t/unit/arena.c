/*
 * arena: pieces are zeroed, aligned, apart, and go together.
 */
#include <stdalign.h>
#include <stdint.h>

#include "lib/arena.h"
#include "t/tap.h"

static bool
zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* Every size around the limits: filled, and later still as it was filled. */
static void
test_apart(struct arena *a)
{
	enum {
		N = 3000
	};
	static uint8_t *pieces[N];
	bool zeroed = true, aligned = true, intact = true;
	size_t total = 0;

	for (size_t i = 0; i < N; i++) {
		size_t n = i * 7 % 2100;

		pieces[i] = arena_alloc(a, n);
		zeroed = zeroed && zero(pieces[i], n);
		aligned =
		    aligned && (uintptr_t)pieces[i] % alignof(max_align_t) == 0;
		memset(pieces[i], (int)(i % 251 + 1), n);
		total += n;
	}
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < i * 7 % 2100; k++)
			intact = intact && pieces[i][k] == i % 251 + 1;
	ok(zeroed, "zeroed");
	ok(aligned, "aligned");
	ok(intact, "apart");
	ok(arena_used(a) >= total, "counted");
}

static void
test_join(void)
{
	struct arena a, b;
	char *mine, *theirs, *large;

	arena_init(&a);
	arena_init(&b);
	arena_string(&b, slice_str("theirs"));
	large = arena_alloc(&b, 5000);
	memset(large, 'x', 5000);
	arena_join(&a, &b);
	ok(b.blocks == NULL && arena_used(&b) == 0, "joined to an empty one");
	mine = arena_string(&a, slice_str("mine"));
	theirs = arena_string(&b, slice_str("more"));
	arena_join(&a, &b);
	arena_reset(&b);
	is_str(theirs, "more", "what is joined stays");
	is_str(mine, "mine", "so does what was there");
	ok(large[4999] == 'x' && arena_used(&a) >= 5000, "and all is counted");
	is_str(arena_string(&a, slice_str("next")), "next", "and it goes on");
	arena_reset(&a);
}

int
main(void)
{
	struct slice s;
	struct arena a;
	char longish[3000];

	arena_init(&a);
	test_apart(&a);
	arena_reset(&a);
	ok(arena_used(&a) == 0 && a.blocks == NULL, "reset holds nothing");
	test_apart(&a);

	s = arena_copy(&a, slice_str("octets"));
	ok(slice_is(s, "octets"), "copy");
	ok(arena_copy(&a, slice_of(NULL, 0)).len == 0, "copy of nothing");
	is_str(arena_string(&a, slice_str("text")), "text", "string");
	is_str(arena_string(&a, slice_of(NULL, 0)), "", "empty string");
	is_str(arena_printf(&a, "%d-%s", 5, "x"), "5-x", "printf");
	memset(longish, 'a', sizeof(longish));
	longish[sizeof(longish) - 1] = '\0';
	is_str(arena_printf(&a, "%s", longish), longish, "long printf");
	ok(zero(arena_array(&a, 10, 8), 80), "array");
	arena_again(&a);
	ok(arena_used(&a) == 0 && a.blocks == NULL, "again: no large blocks");
	memset(arena_alloc(&a, 80), 1, 80);
	arena_again(&a);
	ok(arena_used(&a) == 0 && a.blocks != NULL, "but a small one");
	ok(zero(arena_alloc(&a, 80), 80), "zeroed again");
	arena_reset(&a);
	test_join();
	return done_testing();
}
