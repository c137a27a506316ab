/* sieve: from text to program, in one pass and without recursion. */
#include <stdio.h>
#include <stdlib.h>

#include "imap/sieve/lex.h"
#include "imap/sieve/program.h"
#include "lib/cdefs.h"
#include "lib/must.h"
#include "lib/utf8.h"
#include "lib/xalloc.h"

enum {
	ARGS_MAX = 20,
	NAME_SHOWN = 60,
	NESTING_MAX = 128, /* above any limits.nesting */
	NO_JUMP = UINT32_MAX
};

const struct sieve_limits sieve_limits_default = {
	.script_octets = 256 * 1024,
	.nesting = 64,
	.nodes = 10000,
	.actions = 32,
	.redirects = 4,
	.steps = 20 * 1000 * 1000,
	.variable_octets = 8192,
	.memory_octets = 32 * 1024 * 1024,
};

/* Something inside which we are. */
enum frame_kind {
	FRAME_BLOCK, /* commands, to "}" or the end of the script */
	FRAME_IF,    /* from "if" to the end of its last block */
	FRAME_ELSE,  /* the same, after its "else" */
	FRAME_ALLOF,
	FRAME_ANYOF,
	FRAME_NOT
};

struct frame {
	enum frame_kind kind;
	/* Jumps to be aimed, each naming the one before as its target. */
	unsigned to_end;
	unsigned to_next; /* IF: to the next elsif or else */
};

/* What is to come. */
enum expect {
	EXPECT_COMMAND,
	EXPECT_TEST,
	EXPECT_AFTER_TEST,
	EXPECT_AFTER_BLOCK,
	EXPECT_NOTHING
};

struct argument {
	unsigned line;
	uint8_t kind; /* 'T'ag, 'N'umber, 'S'tring, 'L'ist */
	struct slice tag;
	uint64_t number;
	struct sieve_strings strings;
};

struct compiler {
	struct sieve *sieve;
	const struct sieve_limits *limits;
	struct sieve_error *error;
	bool failed;
	struct lex lex;
	struct lex_token token; /* the next one */
	struct sieve_instr *code;
	unsigned count, room;
	unsigned nodes;
	struct frame frames[NESTING_MAX];
	unsigned depth;
	bool begun; /* a command other than require was there */
	struct argument args[ARGS_MAX];
	unsigned nargs;
};

/* The name is cut and made printable: the text may end up on any wire. */
static void
fail(struct compiler *c, unsigned line, const char *what, struct slice name)
{
	char shown[NAME_SHOWN + 1];
	size_t n = name.len < NAME_SHOWN ? name.len : NAME_SHOWN;

	if (c->failed)
		return;
	for (size_t i = 0; i < n; i++)
		shown[i] = name.ptr[i] >= ' ' && name.ptr[i] < 0x7f
		               ? (char)name.ptr[i]
		               : '?';
	shown[n] = '\0';
	c->failed = true;
	c->error->line = line;
	snprintf(c->error->text, sizeof(c->error->text), "%s%s%s", what,
	    n > 0 ? ": " : "", shown);
}

static void
fail_here(struct compiler *c, const char *what)
{
	fail(c, c->token.line, what, (struct slice){ 0 });
}

static void
advance(struct compiler *c)
{
	if (c->failed)
		return;
	lex_next(&c->lex, &c->token);
	if (c->token.kind == LEX_ERROR)
		fail_here(c, c->token.error);
}

static bool
at_mark(const struct compiler *c, uint8_t mark)
{
	return c->token.kind == LEX_MARK && c->token.mark == mark;
}

static void
take_mark(struct compiler *c, uint8_t mark, const char *missing)
{
	if (at_mark(c, mark))
		advance(c);
	else
		fail_here(c, missing);
}

static void
count_node(struct compiler *c)
{
	if (++c->nodes > c->limits->nodes)
		fail_here(c, "the script is too long");
}

static bool
is_required(const struct compiler *c, enum sieve_extension_id id)
{
	return id == EXT_CORE || (c->sieve->requires >> id & 1);
}

static struct sieve_instr *
emit(struct compiler *c, enum sieve_op op)
{
	struct sieve_instr *code;

	count_node(c);
	if (c->count == c->room) {
		c->room = c->room == 0 ? 16 : c->room * 2;
		code = arena_array(&c->sieve->arena, c->room, sizeof(*code));
		if (c->count > 0)
			memcpy(code, c->code, c->count * sizeof(*code));
		c->code = code;
	}
	c->code[c->count] =
	    (struct sieve_instr){ .op = op, .line = c->token.line };
	return &c->code[c->count++];
}

/* A jump whose target is not known yet joins this chain. */
static void
emit_jump(struct compiler *c, enum sieve_op op, unsigned *chain)
{
	emit(c, op)->target = *chain;
	*chain = c->count - 1;
}

/* The chain's jumps lead to the instruction that comes next. */
static void
aim(struct compiler *c, unsigned *chain)
{
	while (*chain != NO_JUMP) {
		unsigned before = c->code[*chain].target;

		c->code[*chain].target = c->count;
		*chain = before;
	}
}

static struct frame *
top(struct compiler *c)
{
	MUST(c->depth > 0);
	return &c->frames[c->depth - 1];
}

static void
push(struct compiler *c, enum frame_kind kind)
{
	if (c->depth >= c->limits->nesting || c->depth >= NESTING_MAX)
		fail_here(c, "blocks and tests are nested too deeply");
	else
		c->frames[c->depth++] =
		    (struct frame){ kind, NO_JUMP, NO_JUMP };
}

static bool
is_quantity(uint8_t wanted, uint8_t kind)
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
		advance(c);
		if (c->token.kind != LEX_STRING) {
			fail_here(c, "a string is missing in a list");
			return;
		}
		if (n == room) {
			room *= 2;
			more = arena_array(&c->sieve->arena, room, sizeof(*at));
			memcpy(more, at, n * sizeof(*at));
			at = more;
		}
		at[n++] = c->token.text;
		count_node(c);
		advance(c);
	} while (!c->failed && at_mark(c, ','));
	take_mark(c, ']', "a list of strings has no ]");
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
	advance(c);
}

static void
decode_strings(struct compiler *c, const struct argument *arg)
{
	const char *wrong;

	if (!is_required(c, EXT_ENCODED))
		return;
	for (unsigned i = 0; i < arg->strings.count; i++) {
		/* They are ours, from parse_list() and parse_string(). */
		struct slice *s =
		    (struct slice *)(uintptr_t)&arg->strings.at[i];

		wrong = sieve_decode(&c->sieve->arena, s);
		if (wrong != NULL)
			fail(c, arg->line, wrong, (struct slice){ 0 });
	}
}

/* Up to what cannot be one. */
static void
parse_arguments(struct compiler *c)
{
	struct argument *arg;

	c->nargs = 0;
	while (!c->failed) {
		if (c->token.kind == LEX_WORD || c->token.kind == LEX_END ||
		    (c->token.kind == LEX_MARK && c->token.mark != '['))
			return;
		if (c->nargs == ARGS_MAX) {
			fail_here(c, "too many arguments");
			return;
		}
		count_node(c);
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
			advance(c);
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
	         is_required(c, EXT_NUMERIC))
		in->comparator = COMPARATOR_NUMERIC;
	else
		fail(c, value->line, "an unknown comparator, or not required",
		    name);
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
	fail(c, value->line, "an unknown relation", value->strings.at[0]);
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
		fail(c, arg->line, "a tag that does not belong here", arg->tag);
		return 1;
	}
	if (!is_required(c, tag->extension)) {
		fail(c, arg->line, "a tag of an extension not required",
		    arg->tag);
		return 1;
	}
	if (in->groups & tag->group) {
		fail(c, arg->line, "a tag too many", arg->tag);
		return 1;
	}
	if (tag->argument != 0) {
		value = &c->args[i + 1];
		if (i + 1 == c->nargs ||
		    !is_quantity(tag->argument, value->kind)) {
			fail(c, arg->line, "a tag without its argument",
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
		} else if (!is_required(c, EXT_VARIABLES)) {
			fail(c, in->line,
			    "a variable's name without \"variables\"",
			    slice_str(in->word->name));
		}
	}
	if (n != strlen(wanted)) {
		fail(c, in->line,
		    n < strlen(wanted) ? "too few arguments"
		                       : "too many arguments",
		    slice_str(in->word->name));
		return;
	}
	in->npositional = n;
	for (unsigned i = 0; i < n; i++) {
		if (!is_quantity((uint8_t)wanted[i], found[i]->kind))
			fail(c, found[i]->line, "an argument of the wrong type",
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
		fail(c, in->line, wrong, slice_str(in->word->name));
	c->sieve->needs |= in->word->needs;
}

/* The word is taken, its arguments are next. */
static void
parse_call(struct compiler *c, const struct sieve_word *word, unsigned line)
{
	const struct argument *found[SIEVE_POSITIONAL + 1];
	struct sieve_instr in = { .op = OP_CALL,
		.line = line,
		.word = word,
		.match = TAG_IS,
		.part = TAG_ALL,
		.body = TAG_TEXT };
	unsigned n = 0, i = 0;

	parse_arguments(c);
	while (!c->failed && i < c->nargs) {
		if (c->args[i].kind == 'T') {
			i += take_tag(c, &in, i);
			continue;
		}
		if (n <= SIEVE_POSITIONAL)
			found[n++] = &c->args[i];
		i++;
	}
	if (c->failed)
		return;
	if (n > SIEVE_POSITIONAL)
		fail(c, line, "too many arguments", slice_str(word->name));
	else
		bind_positional(c, &in, found, n);
	if (c->failed)
		return;
	check_instr(c, &in);
	*emit(c, OP_CALL) = in;
}

static bool
is_allowed(const struct compiler *c, const struct sieve_word *word)
{
	return word->extensions == 0 ||
	       (word->extensions & c->sieve->requires) != 0;
}

static const struct sieve_word *
find_word(struct compiler *c, enum sieve_word_kind kind)
{
	const struct sieve_word *word = sieve_word_find(c->token.text, kind);

	if (word == NULL)
		fail(c, c->token.line,
		    kind == WORD_TEST ? "an unknown test"
		                      : "an unknown command",
		    c->token.text);
	else if (!is_allowed(c, word))
		fail(c, c->token.line, "its extension is not required",
		    c->token.text);
	return word;
}

static void
parse_require(struct compiler *c)
{
	unsigned line = c->token.line;

	advance(c);
	parse_arguments(c);
	if (c->begun)
		fail(c, line, "require comes before all other commands",
		    (struct slice){ 0 });
	if (c->nargs != 1 || !is_quantity('L', c->args[0].kind)) {
		fail(c, line, "require takes one list of strings",
		    (struct slice){ 0 });
		return;
	}
	for (unsigned i = 0; i < c->args[0].strings.count; i++) {
		struct slice name = c->args[0].strings.at[i];
		enum sieve_extension_id id = sieve_extension_find(name);

		if (id == EXT_COUNT)
			fail(c, c->args[0].line, "an unknown extension", name);
		else
		c->sieve->requires |= 1u << id;
	}
	take_mark(c, ';', "a semicolon is missing");
}

static enum expect
parse_action(struct compiler *c)
{
	unsigned line = c->token.line;
	const struct sieve_word *word;

	c->begun = true;
	if (slice_is_nocase(c->token.text, "if")) {
		advance(c);
		push(c, FRAME_IF);
		return EXPECT_TEST;
	}
	if (slice_is_nocase(c->token.text, "elsif") ||
	    slice_is_nocase(c->token.text, "else")) {
		fail(c, line, "no if before it", c->token.text);
		return EXPECT_NOTHING;
	}
	if (slice_is_nocase(c->token.text, "stop")) {
		advance(c);
		emit(c, OP_STOP);
	} else {
		word = find_word(c, WORD_ACTION);
		advance(c);
		if (!c->failed)
			parse_call(c, word, line);
	}
	take_mark(c, ';', "a semicolon is missing");
	return EXPECT_COMMAND;
}

static enum expect
parse_command(struct compiler *c)
{
	if (c->token.kind == LEX_END) {
		if (c->depth > 1)
			fail_here(c, "a block has no }");
		emit(c, OP_STOP);
		return EXPECT_NOTHING;
	}
	if (at_mark(c, '}') && c->depth > 1) {
		advance(c);
		c->depth--;
		return EXPECT_AFTER_BLOCK;
	}
	if (c->token.kind != LEX_WORD) {
		fail_here(c, "a command is missing");
		return EXPECT_NOTHING;
	}
	if (!slice_is_nocase(c->token.text, "require"))
		return parse_action(c);
	parse_require(c);
	return EXPECT_COMMAND;
}

static enum expect
begin_block(struct compiler *c)
{
	take_mark(c, '{', "a block is missing");
	push(c, FRAME_BLOCK);
	return EXPECT_COMMAND;
}

/* An if's block is over: what follows may belong to it. */
static enum expect
parse_after_block(struct compiler *c)
{
	struct frame *f = top(c);
	bool word = c->token.kind == LEX_WORD;
	bool elsif = word && slice_is_nocase(c->token.text, "elsif");

	if (f->kind == FRAME_IF &&
	    (elsif || (word && slice_is_nocase(c->token.text, "else")))) {
		emit_jump(c, OP_JUMP, &f->to_end);
		aim(c, &f->to_next);
		advance(c);
		if (elsif)
			return EXPECT_TEST;
		f->kind = FRAME_ELSE;
		return begin_block(c);
	}
	aim(c, &f->to_next);
	aim(c, &f->to_end);
	c->depth--;
	return EXPECT_COMMAND;
}

static enum expect
parse_test(struct compiler *c)
{
	unsigned line = c->token.line;
	struct slice name = c->token.text;
	const struct sieve_word *word;

	if (c->token.kind != LEX_WORD) {
		fail_here(c, "a test is missing");
		return EXPECT_NOTHING;
	}
	if (slice_is_nocase(name, "not")) {
		advance(c);
		push(c, FRAME_NOT);
		return EXPECT_TEST;
	}
	if (slice_is_nocase(name, "allof") || slice_is_nocase(name, "anyof")) {
		advance(c);
		push(c,
		    slice_is_nocase(name, "allof") ? FRAME_ALLOF : FRAME_ANYOF);
		take_mark(c, '(', "a list of tests is missing");
		return EXPECT_TEST;
	}
	if (slice_is_nocase(name, "true") || slice_is_nocase(name, "false")) {
		emit(c, slice_is_nocase(name, "true") ? OP_TRUE : OP_FALSE);
		advance(c);
		return EXPECT_AFTER_TEST;
	}
	word = find_word(c, WORD_TEST);
	advance(c);
	if (!c->failed)
		parse_call(c, word, line);
	return EXPECT_AFTER_TEST;
}

static enum expect
parse_after_test(struct compiler *c)
{
	struct frame *f = top(c);

	switch (f->kind) {
	case FRAME_NOT:
		emit(c, OP_NOT);
		c->depth--;
		return EXPECT_AFTER_TEST;
	case FRAME_ALLOF:
	case FRAME_ANYOF:
		if (at_mark(c, ',')) {
			advance(c);
			emit_jump(c,
			    f->kind == FRAME_ALLOF ? OP_JUMP_FALSE
			                           : OP_JUMP_TRUE,
			    &f->to_end);
			return EXPECT_TEST;
		}
		take_mark(c, ')', "a list of tests has no )");
		aim(c, &f->to_end);
		c->depth--;
		return EXPECT_AFTER_TEST;
	case FRAME_IF:
		emit_jump(c, OP_JUMP_FALSE, &f->to_next);
		return begin_block(c);
	case FRAME_ELSE:
	case FRAME_BLOCK:
		break;
	}
	MUST(!"a test belongs to something");
	return EXPECT_NOTHING;
}

static void
compile(struct compiler *c)
{
	enum expect next = EXPECT_COMMAND;

	advance(c);
	push(c, FRAME_BLOCK);
	while (!c->failed && next != EXPECT_NOTHING)
		switch (next) {
		case EXPECT_COMMAND:
			next = parse_command(c);
			break;
		case EXPECT_TEST:
			next = parse_test(c);
			break;
		case EXPECT_AFTER_TEST:
			next = parse_after_test(c);
			break;
		case EXPECT_AFTER_BLOCK:
			next = parse_after_block(c);
			break;
		case EXPECT_NOTHING:
			break;
		}
	c->sieve->code = c->code;
	c->sieve->count = c->count;
}

struct sieve *
sieve_compile(struct slice script, const struct sieve_limits *limits,
    struct sieve_error *error)
{
	struct compiler c = { .limits = limits, .error = error };
	struct sieve *s = xcalloc(1, sizeof(*s));

	*error = (struct sieve_error){ 0 };
	arena_init(&s->arena);
	c.sieve = s;
	lex_init(&c.lex, &s->arena, script);
	if (script.len > limits->script_octets)
		fail(&c, 0, "the script is too long", (struct slice){ 0 });
	else if (!utf8_valid(script) || slice_find(script, 0) < script.len)
		fail(&c, 0, "the script is not UTF-8", (struct slice){ 0 });
	else
		compile(&c);
	if (c.failed)
		sieve_free(&s);
	return s;
}

void
sieve_free(struct sieve **sp)
{
	if (*sp != NULL)
		arena_reset(&(*sp)->arena);
	free(*sp);
	*sp = NULL;
}

unsigned
sieve_needs(const struct sieve *s)
{
	return s->needs;
}
