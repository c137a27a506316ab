/*
 * Fuzz the law of the MUPDATE parser: cutting the input changes nothing.  The
 * first octet chooses the side and the cuts.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/must.h"
#include "t/mupdate_trace.h"
#include "t/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct mupdate_trace_opt opt = { .limits = { 200, 64, 400 } };
	uint32_t seed;
	char *a, *b;

	if (n < 1)
		return 0;
	seed = *in++;
	n--;
	opt.side = seed & 1 ? MUPDATE_CLIENT : MUPDATE_SERVER;
	opt.lines = opt.side == MUPDATE_SERVER;
	if (opt.side == MUPDATE_CLIENT && seed & 2)
		opt.tag = "A01";
	a = mupdate_trace(in, n, &opt, trace_whole, NULL);
	b = mupdate_trace(in, n, &opt, trace_some, &seed);
	MUST(strcmp(a, b) == 0);
	free(a);
	free(b);
	return 0;
}
