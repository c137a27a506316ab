/*
 * Fuzz ManageSieve's commands: cuts do not matter, and what parses is valid.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/managesieve.h"
#include "lib/arena.h"
#include "lib/must.h"
#include "t/imap_trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

static const struct collect_limits limits = { 300, 200, 3 };

static void
command(struct arena *a, const struct piece *pieces)
{
	struct managesieve_command c;
	struct slice s;

	managesieve_parse_response(a, pieces, &s);
	if (managesieve_parse(a, pieces, &c) != NULL)
		return;
	MUST(c.verb < MANAGESIEVE_MAX && managesieve_states(c.verb) != 0);
	MUST(c.verb != MANAGESIEVE_PUTSCRIPT || managesieve_name_valid(c.name));
	MUST(
	    c.verb != MANAGESIEVE_RENAMESCRIPT || managesieve_name_valid(c.to));
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct collect_item item;
	enum collect_event ev;
	struct collect c;
	struct arena a;
	uint32_t seed;
	char *x, *y;

	if (n == 0)
		return 0;
	seed = *in++;
	n--;
	x = collect_trace(in, n, COLLECT_SIEVE, &limits, trace_whole, NULL);
	y = collect_trace(in, n, COLLECT_SIEVE, &limits, trace_some, &seed);
	MUST(strcmp(x, y) == 0);
	free(x);
	free(y);
	arena_init(&a);
	collect_init(&c, COLLECT_SIEVE, &limits, &a);
	while ((ev = collect_next(&c, in, n, &item)) > COLLECT_MORE) {
		in += item.taken;
		n -= item.taken;
		if (ev == COLLECT_COMMAND)
			command(&a, collect_pieces(&c));
		if (ev == COLLECT_COMMAND || ev == COLLECT_REFUSED)
			collect_done(&c);
	}
	arena_reset(&a);
	return 0;
}
