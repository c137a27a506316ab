/*
 * Fuzz Sieve: a script, a line "====", a message.  The laws: what
 * compiles runs to an end with at least one action or an error; a script is
 * either refused with a reason or compiled.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/sieve/sieve.h"
#include "lib/arena.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

static bool
exists(void *arg, struct slice mailbox)
{
	(void)arg;
	return mailbox.len % 2 == 0;
}

/* Where the message begins: after a line "====". */
static size_t
message_at(struct slice s)
{
	static const char mark[] = "\n====\n";

	for (size_t i = 0; i + sizeof(mark) - 1 <= s.len; i++)
		if (memcmp(s.ptr + i, mark, sizeof(mark) - 1) == 0)
			return i + sizeof(mark) - 1;
	return s.len;
}

static void
check_run(const struct sieve *s, struct slice octets)
{
	struct sieve_limits limits = sieve_limits_default;
	struct sieve_message message = { .octets = octets,
		.envelope_from = slice_str("a+b@c"),
		.envelope_to = slice_str("d@e") };
	struct sieve_world world = { .mailbox_exists = exists };
	struct sieve_result result;
	struct sieve_error error;
	struct arena a;

	limits.steps = 1000 * 1000;
	arena_init(&a);
	if (sieve_run(s, &a, &message, &world, &limits, &result, &error) == 0)
		MUST(result.count > 0 && result.count <= limits.actions + 1);
	else
		MUST(error.text[0] != '\0');
	arena_reset(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct slice all = slice_of(in, n);
	size_t at = message_at(all);
	struct sieve_error error;
	struct sieve *s = sieve_compile(slice_first(all, at == n ? n : at - 5),
	    &sieve_limits_default, &error);

	if (s == NULL)
		MUST(error.text[0] != '\0');
	else
		check_run(s, slice_skip(all, at));
	sieve_free(&s);
	return 0;
}
