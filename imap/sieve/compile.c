/* sieve: from text to program, in one pass and without recursion. */
#include <stdio.h>
#include <stdlib.h>

#include "imap/sieve/compile.h"
#include "lib/cdefs.h"
#include "lib/must.h"
#include "lib/utf8.h"
#include "lib/xalloc.h"

enum {
	NAME_SHOWN = 60,
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

/* The name is cut and made printable: the text may end up on any wire. */
void
compile_fail(struct compiler *c, unsigned line, const char *what,
    struct slice name)
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

void
compile_fail_here(struct compiler *c, const char *what)
{
	compile_fail(c, c->token.line, what, (struct slice){ 0 });
}

void
compile_advance(struct compiler *c)
{
	if (c->failed)
		return;
	lex_next(&c->lex, &c->token);
	if (c->token.kind == LEX_ERROR)
		compile_fail_here(c, c->token.error);
}

bool
compile_at_mark(const struct compiler *c, uint8_t mark)
{
	return c->token.kind == LEX_MARK && c->token.mark == mark;
}

void
compile_take_mark(struct compiler *c, uint8_t mark, const char *missing)
{
	if (compile_at_mark(c, mark))
		compile_advance(c);
	else
		compile_fail_here(c, missing);
}

void
compile_count_node(struct compiler *c)
{
	if (++c->nodes > c->limits->nodes)
		compile_fail_here(c, "the script is too long");
}

bool
compile_is_required(const struct compiler *c, enum sieve_extension_id id)
{
	return id == EXT_CORE || (c->sieve->requires >> id & 1);
}

static struct sieve_instr *
emit(struct compiler *c, enum sieve_op op)
{
	struct sieve_instr *code;

	compile_count_node(c);
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
		compile_fail_here(c, "blocks and tests are nested too deeply");
	else
		c->frames[c->depth++] =
		    (struct frame){ kind, NO_JUMP, NO_JUMP };
}

/* A call's instruction, its line being the word's. */
static void
parse_call(struct compiler *c, const struct sieve_word *word, unsigned line)
{
	struct sieve_instr in;

	compile_call(c, word, line, &in);
	if (!c->failed)
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
		compile_fail(c, c->token.line,
		    kind == WORD_TEST ? "an unknown test"
		                      : "an unknown command",
		    c->token.text);
	else if (!is_allowed(c, word))
		compile_fail(c, c->token.line, "its extension is not required",
		    c->token.text);
	return word;
}

static void
parse_require(struct compiler *c)
{
	unsigned line = c->token.line;

	compile_advance(c);
	compile_arguments(c);
	if (c->begun)
		compile_fail(c, line, "require comes before all other commands",
		    (struct slice){ 0 });
	if (c->nargs != 1 || !compile_is_quantity('L', c->args[0].kind)) {
		compile_fail(c, line, "require takes one list of strings",
		    (struct slice){ 0 });
		return;
	}
	for (unsigned i = 0; i < c->args[0].strings.count; i++) {
		struct slice name = c->args[0].strings.at[i];
		enum sieve_extension_id id = sieve_extension_find(name);

		if (id == EXT_COUNT)
			compile_fail(c, c->args[0].line, "an unknown extension",
			    name);
		else
		c->sieve->requires |= 1u << id;
	}
	compile_take_mark(c, ';', "a semicolon is missing");
}

static enum expect
parse_action(struct compiler *c)
{
	unsigned line = c->token.line;
	const struct sieve_word *word;

	c->begun = true;
	if (slice_is_nocase(c->token.text, "if")) {
		compile_advance(c);
		push(c, FRAME_IF);
		return EXPECT_TEST;
	}
	if (slice_is_nocase(c->token.text, "elsif") ||
	    slice_is_nocase(c->token.text, "else")) {
		compile_fail(c, line, "no if before it", c->token.text);
		return EXPECT_NOTHING;
	}
	if (slice_is_nocase(c->token.text, "stop")) {
		compile_advance(c);
		emit(c, OP_STOP);
	} else {
		word = find_word(c, WORD_ACTION);
		compile_advance(c);
		if (!c->failed)
			parse_call(c, word, line);
	}
	compile_take_mark(c, ';', "a semicolon is missing");
	return EXPECT_COMMAND;
}

static enum expect
parse_command(struct compiler *c)
{
	if (c->token.kind == LEX_END) {
		if (c->depth > 1)
			compile_fail_here(c, "a block has no }");
		emit(c, OP_STOP);
		return EXPECT_NOTHING;
	}
	if (compile_at_mark(c, '}') && c->depth > 1) {
		compile_advance(c);
		c->depth--;
		return EXPECT_AFTER_BLOCK;
	}
	if (c->token.kind != LEX_WORD) {
		compile_fail_here(c, "a command is missing");
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
	compile_take_mark(c, '{', "a block is missing");
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
		compile_advance(c);
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
		compile_fail_here(c, "a test is missing");
		return EXPECT_NOTHING;
	}
	if (slice_is_nocase(name, "not")) {
		compile_advance(c);
		push(c, FRAME_NOT);
		return EXPECT_TEST;
	}
	if (slice_is_nocase(name, "allof") || slice_is_nocase(name, "anyof")) {
		compile_advance(c);
		push(c,
		    slice_is_nocase(name, "allof") ? FRAME_ALLOF : FRAME_ANYOF);
		compile_take_mark(c, '(', "a list of tests is missing");
		return EXPECT_TEST;
	}
	if (slice_is_nocase(name, "true") || slice_is_nocase(name, "false")) {
		emit(c, slice_is_nocase(name, "true") ? OP_TRUE : OP_FALSE);
		compile_advance(c);
		return EXPECT_AFTER_TEST;
	}
	word = find_word(c, WORD_TEST);
	compile_advance(c);
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
		if (compile_at_mark(c, ',')) {
			compile_advance(c);
			emit_jump(c,
			    f->kind == FRAME_ALLOF ? OP_JUMP_FALSE
			                           : OP_JUMP_TRUE,
			    &f->to_end);
			return EXPECT_TEST;
		}
		compile_take_mark(c, ')', "a list of tests has no )");
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
	must_fail("a test belongs to something", __FILE__, __LINE__, __func__);
	return EXPECT_NOTHING;
}

static void
compile(struct compiler *c)
{
	enum expect next = EXPECT_COMMAND;

	compile_advance(c);
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
		compile_fail(&c, 0, "the script is too long",
		    (struct slice){ 0 });
	else if (!utf8_valid(script) || slice_find(script, 0) < script.len)
		compile_fail(&c, 0, "the script is not UTF-8",
		    (struct slice){ 0 });
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
