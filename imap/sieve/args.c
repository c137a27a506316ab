/* sieve: the arguments of commands and tests. */
#include <string.h>

#include "imap/sieve/compile.h"
#include "lib/cdefs.h"

bool
compile_is_quantity(uint8_t wanted, uint8_t kind)
{
	return wanted == kind || (wanted == 'L' && kind == 'S');
}

/* "[" string *("," string) "]", at the bracket. */
static void
parse_list(struct compiler *c, struct argument *arg)
{
	unsigned room = 4, n = 0;
	struct slice *at = arena_array(&c->sieve->arena, room, sizeof(*at)),
	             *more;

	do {
		compile_advance(c);
		if (c->token.kind != LEX_STRING) {
			compile_fail_here(c, "a string is missing in a list");
			return;
		}
		if (n == room) {
			room *= 2;
			more = arena_array(&c->sieve->arena, room, sizeof(*at));
			memcpy(more, at, n * sizeof(*at));
			at = more;
		}
		at[n++] = c->token.text;
		compile_count_node(c);
		compile_advance(c);
	} while (!c->failed && compile_at_mark(c, ','));
	compile_take_mark(c, ']', "a list of strings has no ]");
	arg->kind = 'L';
	arg->strings = (struct sieve_strings){ at, n };
}

static void
parse_string(struct compiler *c, struct argument *arg)
{
	struct slice *at = arena_array(&c->sieve->arena, 1, sizeof(*at));

	*at = c->token.text;
	arg->kind = 'S';
	arg->strings = (struct sieve_strings){ at, 1 };
	compile_advance(c);
}

static void
decode_strings(struct compiler *c, const struct argument *arg)
{
	const char *wrong;

	if (!compile_is_required(c, EXT_ENCODED))
		return;
	for (unsigned i = 0; i < arg->strings.count; i++) {
		/* They are ours, from parse_list() and parse_string(). */
		struct slice *s =
		    (struct slice *)(uintptr_t)&arg->strings.at[i];

		wrong = sieve_decode(&c->sieve->arena, s);
		if (wrong != NULL)
			compile_fail(c, arg->line, wrong, (struct slice){ 0 });
	}
}

/* Up to what cannot be one. */
void
compile_arguments(struct compiler *c)
{
	struct argument *arg;

	c->nargs = 0;
	while (!c->failed) {
		if (c->token.kind == LEX_WORD || c->token.kind == LEX_END ||
		    (c->token.kind == LEX_MARK && c->token.mark != '['))
			return;
		if (c->nargs == ARGS_MAX) {
			compile_fail_here(c, "too many arguments");
			return;
		}
		compile_count_node(c);
		arg = &c->args[c->nargs++];
		*arg = (struct argument){ .line = c->token.line };
		if (c->token.kind == LEX_STRING) {
			parse_string(c, arg);
		} else if (c->token.kind == LEX_MARK) {
			parse_list(c, arg);
		} else {
			arg->kind = c->token.kind == LEX_TAG ? 'T' : 'N';
			arg->tag = c->token.text;
			arg->number = c->token.number;
			compile_advance(c);
		}
		decode_strings(c, arg);
	}
}

static void
bind_comparator(struct compiler *c, struct sieve_instr *in,
    const struct argument *value)
{
	struct slice name = value->strings.at[0];

	if (slice_is(name, "i;octet"))
		in->comparator = COMPARATOR_OCTET;
	else if (slice_is(name, "i;ascii-casemap"))
		in->comparator = COMPARATOR_CASEMAP;
	else if (slice_is(name, "i;ascii-numeric") &&
	         compile_is_required(c, EXT_NUMERIC))
		in->comparator = COMPARATOR_NUMERIC;
	else
		compile_fail(c, value->line,
		    "an unknown comparator, or not required", name);
}

static void
bind_relation(struct compiler *c, struct sieve_instr *in,
    const struct argument *value)
{
	static const char *const names[] = { [RELATION_GT] = "gt",
		[RELATION_GE] = "ge",
		[RELATION_LT] = "lt",
		[RELATION_LE] = "le",
		[RELATION_EQ] = "eq",
		[RELATION_NE] = "ne" };

	for (unsigned i = 0; i < NITEMS(names); i++)
		if (slice_is_nocase(value->strings.at[0], names[i])) {
			in->relation = (enum sieve_relation)i;
			return;
		}
	compile_fail(c, value->line, "an unknown relation",
	    value->strings.at[0]);
}

/* value: the argument after the tag, if it takes one. */
static void
bind_tag(struct compiler *c, struct sieve_instr *in,
    const struct sieve_tag *tag, const struct argument *value)
{
	in->groups |= tag->group;
	switch (tag->group) {
	case GROUP_MATCH:
		in->match = tag->id;
		if (tag->argument != 0)
			bind_relation(c, in, value);
		break;
	case GROUP_COMPARATOR:
		bind_comparator(c, in, value);
		break;
	case GROUP_PART:
		in->part = tag->id;
		break;
	case GROUP_SIZE:
		in->size = tag->id;
		break;
	case GROUP_FLAGS:
		in->flags = value->strings;
		break;
	case GROUP_BODY:
		in->body = tag->id;
		if (tag->argument != 0)
			in->content = value->strings;
		break;
	case GROUP_CASE:
		in->letters = tag->id;
		break;
	case GROUP_FIRST:
		in->first = tag->id;
		break;
	case GROUP_COPY:
	case GROUP_CREATE:
	case GROUP_QUOTE:
	case GROUP_LENGTH:
		break;
	}
}

/* Gives how many arguments it took: the tag and perhaps its value. */
static unsigned
take_tag(struct compiler *c, struct sieve_instr *in, unsigned i)
{
	const struct argument *arg = &c->args[i], *value = NULL;
	const struct sieve_tag *tag = sieve_tag_find(arg->tag);

	if (tag == NULL || !(in->word->groups & tag->group)) {
		compile_fail(c, arg->line, "a tag that does not belong here",
		    arg->tag);
		return 1;
	}
	if (!compile_is_required(c, tag->extension)) {
		compile_fail(c, arg->line, "a tag of an extension not required",
		    arg->tag);
		return 1;
	}
	if (in->groups & tag->group) {
		compile_fail(c, arg->line, "a tag too many", arg->tag);
		return 1;
	}
	if (tag->argument != 0) {
		value = &c->args[i + 1];
		if (i + 1 == c->nargs ||
		    !compile_is_quantity(tag->argument, value->kind)) {
			compile_fail(c, arg->line, "a tag without its argument",
			    arg->tag);
			return 1;
		}
	}
	bind_tag(c, in, tag, value);
	return value == NULL ? 1 : 2;
}

static void
bind_positional(struct compiler *c, struct sieve_instr *in,
    const struct argument *const *found, unsigned n)
{
	const char *wanted = in->word->positional;
	unsigned slot = 0;

	if (wanted[0] == 'o') {
		wanted++;
		if (n + 1 == strlen(wanted)) {
			wanted++;
			slot = 1;
		} else if (!compile_is_required(c, EXT_VARIABLES)) {
			compile_fail(c, in->line,
			    "a variable's name without \"variables\"",
			    slice_str(in->word->name));
		}
	}
	if (n != strlen(wanted)) {
		compile_fail(c, in->line,
		    n < strlen(wanted) ? "too few arguments"
		                       : "too many arguments",
		    slice_str(in->word->name));
		return;
	}
	in->npositional = n;
	for (unsigned i = 0; i < n; i++) {
		if (!compile_is_quantity((uint8_t)wanted[i], found[i]->kind))
			compile_fail(c, found[i]->line,
			    "an argument of the wrong type",
			    slice_str(in->word->name));
		in->args[slot + i] = found[i]->strings;
		if (found[i]->kind == 'N')
			in->number = found[i]->number;
	}
}

/* :length comes before the two strings of set and takes no argument. */
static void
check_instr(struct compiler *c, const struct sieve_instr *in)
{
	const char *wrong = NULL;

	if ((in->word->groups & GROUP_SIZE) && in->size == TAG_NONE)
		wrong = "neither :over nor :under";
	if (in->comparator == COMPARATOR_NUMERIC &&
	    (in->match == TAG_CONTAINS || in->match == TAG_MATCHES))
		wrong = "i;ascii-numeric cannot look into strings";
	if (wrong == NULL && in->word->check != NULL)
		wrong = in->word->check(in);
	if (wrong != NULL)
		compile_fail(c, in->line, wrong, slice_str(in->word->name));
	c->sieve->needs |= in->word->needs;
}

void
compile_call(struct compiler *c, const struct sieve_word *word, unsigned line,
    struct sieve_instr *in)
{
	const struct argument *found[SIEVE_POSITIONAL + 1];
	unsigned n = 0, i = 0;

	*in = (struct sieve_instr){ .op = OP_CALL,
		.line = line,
		.word = word,
		.match = TAG_IS,
		.part = TAG_ALL,
		.body = TAG_TEXT };
	compile_arguments(c);
	while (!c->failed && i < c->nargs) {
		if (c->args[i].kind == 'T') {
			i += take_tag(c, in, i);
			continue;
		}
		if (n <= SIEVE_POSITIONAL)
			found[n++] = &c->args[i];
		i++;
	}
	if (c->failed)
		return;
	if (n > SIEVE_POSITIONAL)
		compile_fail(c, line, "too many arguments",
		    slice_str(word->name));
	else
		bind_positional(c, in, found, n);
	if (!c->failed)
		check_instr(c, in);
}
