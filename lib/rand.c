#include <errno.h>
#include <sys/random.h>

#include "lib/must.h"
#include "lib/rand.h"

void
rand_bytes(void *p, size_t n)
{
	uint8_t *at = p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);

		/* EINTR is all that can happen to a valid buffer. */
		MUST(got > 0 || errno == EINTR);
		if (got > 0) {
			at += got;
			n -= (size_t)got;
		}
	}
}

uint64_t
rand_u64(void)
{
	uint64_t v;

	rand_bytes(&v, sizeof(v));
	return v;
}

uint64_t
rand_below(uint64_t n)
{
	uint64_t v, spare;

	MUST(n > 0);
	/* 2^64 mod n values at the bottom would make some results likelier. */
	spare = (UINT64_MAX - n + 1) % n;
	do
		v = rand_u64();
	while (v < spare);
	return v % n;
}
