/* sieve: the interpreter. */
#include <stdio.h>

#include "imap/sieve/program.h"
#include "lib/must.h"

void
sieve_fail(struct sieve_state *st, const char *why)
{
	if (st->failed)
		return;
	st->failed = true;
	st->error->line = st->now == NULL ? 0 : st->now->line;
	snprintf(st->error->text, sizeof(st->error->text), "%s", why);
}

bool
sieve_spend(struct sieve_state *st, uint64_t n)
{
	if (n > st->limits->steps - st->steps) {
		sieve_fail(st, "the script takes too long");
		return false;
	}
	st->steps += n;
	/* What is looked at is mostly copied first: the same place checks. */
	if (arena_used(&st->scratch) + arena_used(&st->kept) +
	        arena_used(st->results) - st->results_before >
	    st->limits->memory_octets) {
		sieve_fail(st, "the script takes too much memory");
		return false;
	}
	return !st->failed;
}

/* Gives the next instruction's number; past the last: stop. */
static unsigned
step(struct sieve_state *st, unsigned at)
{
	const struct sieve_instr *in = &st->program->code[at];

	st->now = in;
	switch (in->op) {
	case OP_CALL:
		in->word->run(st, in);
		arena_reset(&st->scratch);
		break;
	case OP_TRUE:
		st->answer = true;
		break;
	case OP_FALSE:
		st->answer = false;
		break;
	case OP_NOT:
		st->answer = !st->answer;
		break;
	case OP_JUMP:
		return in->target;
	case OP_JUMP_TRUE:
		return st->answer ? in->target : at + 1;
	case OP_JUMP_FALSE:
		return st->answer ? at + 1 : in->target;
	case OP_STOP:
		return st->program->count;
	}
	return at + 1;
}

int
sieve_run(const struct sieve *s, struct arena *a,
    const struct sieve_message *message, const struct sieve_world *world,
    const struct sieve_limits *limits, struct sieve_result *result,
    struct sieve_error *error)
{
	struct sieve_state st = { .program = s,
		.message = message,
		.world = world,
		.limits = limits,
		.results = a,
		.results_before = arena_used(a),
		.error = error };
	unsigned at = 0, next;

	*error = (struct sieve_error){ 0 };
	arena_init(&st.scratch);
	arena_init(&st.kept);
	st.actions = arena_array(a, limits->actions + 1, sizeof(*st.actions));
	while (at < s->count && !st.failed && sieve_spend(&st, 1)) {
		next = step(&st, at);
		MUST(next > at && next <= s->count);
		at = next;
	}
	st.now = NULL;
	if (!st.failed)
		sieve_finish(&st, result);
	arena_reset(&st.scratch);
	arena_reset(&st.kept);
	return st.failed ? -1 : 0;
}
