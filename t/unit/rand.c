/*
 * rand: every value comes, none beyond the limit.
 */
#include <stdbool.h>

#include "lib/rand.h"
#include "t/tap.h"

int
main(void)
{
	unsigned seen[7] = { 0 };
	uint8_t octets[64] = { 0 };
	uint64_t a = rand_u64(), b = rand_u64();
	bool within = true, zeros = true;

	for (int i = 0; i < 7000; i++) {
		uint64_t v = rand_below(7);

		within = within && v < 7;
		seen[v % 7]++;
	}
	ok(within, "below the limit");
	for (int i = 0; i < 7; i++)
		ok(seen[i] > 700 && seen[i] < 1300, "%d about as often", i);
	ok(rand_below(1) == 0, "one choice");
	ok(rand_below(UINT64_MAX) < UINT64_MAX, "nearly all");
	ok(a != b, "not the same twice");
	rand_bytes(octets, sizeof(octets));
	for (size_t i = 0; i < sizeof(octets); i++)
		zeros = zeros && octets[i] == 0;
	ok(!zeros, "filled");
	return done_testing();
}
