/*
 * parse: what each function takes, what it refuses, and that failure sticks.
 */
#include <string.h>

#include "imap/command.h"
#include "imap/date.h"
#include "imap/flag.h"
#include "imap/parse.h"
#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/cdefs.h"
#include "t/tap.h"

static struct arena arena;

/* Pieces of a text in which {x} is the literal x and <n> a streamed one. */
static const struct piece *
pieces_of(const char *s)
{
	struct piece *first = NULL, **link = &first;

	for (;;) {
		size_t n = strcspn(s, "{<");
		struct piece *p = arena_alloc(&arena, sizeof(*p));

		p->octets = arena_copy(&arena, slice_of(s, n));
		*link = p;
		link = &p->next;
		s += n;
		if (*s == '\0')
			return first;
		p = arena_alloc(&arena, sizeof(*p));
		p->kind = *s == '{' ? PIECE_LITERAL : PIECE_STREAM;
		n = strcspn(s, "}>");
		if (p->kind == PIECE_LITERAL)
			p->octets = slice_of(s + 1, n - 1);
		p->size = n - 1;
		*link = p;
		link = &p->next;
		s += n + 1;
	}
}

static struct parse
over(const char *s)
{
	struct parse p;

	parse_init(&p, &arena, pieces_of(s));
	return p;
}

typedef struct slice take(struct parse *p);

static void
test_strings(void)
{
	static const struct {
		const char *in, *what, *want; /* want NULL: refused */
		take *take;
	} cases[] = {
		{ "abc", "atom", "abc", parse_atom },
		{ "a]", "atom and a bracket", NULL, parse_atom },
		{ "\"a\"", "atom, quoted", NULL, parse_atom },
		{ "a]b", "astring", "a]b", parse_astring },
		{ "\"a b\"", "astring, quoted", "a b", parse_astring },
		{ "\"a\\\"\\\\b\"", "escapes", "a\"\\b", parse_astring },
		{ "\"a\\b\"", "a wrong escape", NULL, parse_astring },
		{ "\"ab", "open quotes", NULL, parse_astring },
		{ "\"ab\\\"", "open quotes, escaped", NULL, parse_astring },
		{ "\"\"", "empty, quoted", "", parse_astring },
		{ "{}", "empty literal", "", parse_astring },
		{ "{a b}", "literal", "a b", parse_astring },
		{ "<abc>", "streamed literal", NULL, parse_astring },
		{ "", "nothing", NULL, parse_astring },
		{ "a*", "astring with a star", NULL, parse_astring },
		{ "a*%]", "pattern", "a*%]", parse_list_mailbox },
		{ "(", "pattern", NULL, parse_list_mailbox },
		{ "abc", "string", NULL, parse_string },
		{ "inBox", "mailbox", "INBOX", parse_mailbox },
		{ "{inbox}", "mailbox in a literal", "INBOX", parse_mailbox },
		{ "inbox/x", "mailbox below", "inbox/x", parse_mailbox },
		{ "nil", "nil as a mailbox", "nil", parse_mailbox },
		{ "a+1", "tag with a plus", NULL, parse_tag },
		{ "a.1", "tag", "a.1", parse_tag },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct parse p = over(cases[i].in);
		struct slice got = cases[i].take(&p);

		parse_end(&p);
		if (cases[i].want == NULL)
			ok(parse_error(&p) != NULL, "not: %s %s", cases[i].what,
			    cases[i].in);
		else
			ok(parse_error(&p) == NULL && got.ptr != NULL &&
			        slice_is(got, cases[i].want),
			    "%s", cases[i].what);
	}
}

static void
test_nstring(void)
{
	struct parse p = over("nil NIL \"NIL\" {}");

	ok(parse_nstring(&p).ptr == NULL, "nil");
	parse_sp(&p);
	ok(parse_nstring(&p).ptr == NULL, "NIL");
	parse_sp(&p);
	ok(slice_is(parse_nstring(&p), "NIL"), "a string NIL");
	parse_sp(&p);
	ok(parse_nstring(&p).ptr != NULL, "an empty literal is not NIL");
	parse_end(&p);
	ok(parse_error(&p) == NULL, "and that is all");
	p = over("NILS");
	ok(parse_nstring(&p).ptr != NULL && parse_error(&p) != NULL,
	    "NILS is neither");
}

static void
test_nul(void)
{
	struct piece literal = { .kind = PIECE_LITERAL,
		.octets = slice_of("a\0b", 3) };
	struct parse p;

	parse_init(&p, &arena, &literal);
	parse_mailbox(&p);
	is_str(parse_error(&p), "NUL in argument", "a NUL in a name");
}

static void
test_numbers(void)
{
	static const struct {
		const char *in;
		bool good;
		uint32_t want;
	} cases[] = { { "0", true, 0 }, { "4294967295", true, UINT32_MAX },
		{ "4294967296", false, 0 }, { "-1", false, 0 },
		{ "", false, 0 }, { "99999999999999999999999", false, 0 } };
	struct parse p;

	for (size_t i = 0; i < NITEMS(cases); i++) {
		uint32_t n;

		p = over(cases[i].in);
		n = parse_number(&p);
		ok((parse_error(&p) == NULL) == cases[i].good &&
		        n == cases[i].want,
		    "number %s", cases[i].in);
	}
	p = over("0");
	parse_nz_number(&p);
	ok(parse_error(&p) != NULL, "zero where none may be");
	p = over("9223372036854775807");
	ok(parse_number64(&p) == INT64_MAX && parse_error(&p) == NULL,
	    "the largest modseq");
	p = over("9223372036854775808");
	parse_number64(&p);
	ok(parse_error(&p) != NULL, "one more");
}

static void
test_lists(void)
{
	static const struct {
		const char *in;
		int items; /* -1: refused */
	} cases[] = { { "()", 0 }, { "(a)", 1 }, { "(a b {c} d)", 4 },
		{ "({a} {b})", 2 }, { "(a  b)", -1 }, { "( a)", -1 },
		{ "(a ", -1 }, { "(a", -1 }, { "a", -1 }, { "(a,b)", 1 } };

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct parse p = over(cases[i].in);
		int n = 0;

		parse_open(&p);
		while (parse_more(&p)) {
			parse_astring(&p);
			n++;
		}
		parse_end(&p);
		ok(cases[i].items == -1
		        ? parse_error(&p) != NULL
		        : parse_error(&p) == NULL && n == cases[i].items,
		    "list %s", cases[i].in);
	}
}

static void
test_command(void)
{
	static const struct {
		const char *in;
		enum command_id want; /* COMMAND_MAX: unknown */
	} cases[] = { { "a noop", COMMAND_NOOP },
		{ "a Uid fetch 1", COMMAND_UID_FETCH },
		{ "a fetch 1", COMMAND_FETCH }, { "a uid", COMMAND_MAX },
		{ "a uid noop", COMMAND_MAX }, { "a ", COMMAND_MAX },
		{ "a setacl x", COMMAND_SETACL }, { "a nop", COMMAND_MAX } };

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct parse p = over(cases[i].in);
		const struct command *c;

		parse_tag(&p);
		parse_sp(&p);
		c = parse_command(&p);
		ok(cases[i].want == COMMAND_MAX
		        ? c == NULL && parse_error(&p) != NULL
		        : c == command_get(cases[i].want),
		    "%s", cases[i].in);
	}
}

static void
test_append(void)
{
	struct parse p = over("{inbox} (\\Seen x) "
	                      "\" 1-Feb-1996 02:44:25 -0700\" <abcd>");
	struct date_time t;
	struct flags f;
	bool binary;

	ok(slice_is(parse_mailbox(&p), "INBOX"), "mailbox");
	parse_sp(&p);
	parse_flag_list(&p, &f);
	ok(f.system == FLAG_SEEN && f.n == 1, "flags");
	parse_sp(&p);
	parse_date_time(&p, &t);
	ok(t.seconds == 823167865 && t.zone == -420, "date");
	parse_sp(&p);
	ok(parse_stream(&p, &binary) == 4 && !binary, "literal");
	parse_end(&p);
	ok(parse_error(&p) == NULL, "the whole of it");
}

static void
test_flags(void)
{
	static const struct {
		const char *in;
		bool good;
	} cases[] = { { "(\\Seen)", true }, { "\\Seen $a b", true },
		{ "()", true }, { "(\\Recent)", false }, { "(\\)", false },
		{ "(\\Nope)", false }, { "", false }, { "(a{b})", false },
		{ "\\Seen ", false }, { "(\\Seen \\Seen)", true } };

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct parse p = over(cases[i].in);
		struct flags f;

		parse_store_flags(&p, &f);
		parse_end(&p);
		ok((parse_error(&p) == NULL) == cases[i].good, "flags %s",
		    cases[i].in);
	}
}

static void
test_sticks(void)
{
	struct parse p = over("a (b");
	struct seqset set;

	parse_string(&p);
	is_str(parse_error(&p), "String expected", "the first failure");
	parse_sp(&p);
	ok(parse_atom(&p).len == 0 && !parse_more(&p) &&
	        parse_peek(&p) == PARSE_FAILED && parse_number(&p) == 0 &&
	        parse_rest(&p).len == 0 && !parse_try(&p, 'a'),
	    "nothing more is taken");
	parse_seqset(&p, &set);
	ok(set.n == 0, "nor any set");
	is_str(parse_error(&p), "String expected", "...and is kept");
}

static void
test_utf8(void)
{
	struct parse p = over("\"\xc3\xa9\"");

	parse_want_utf8(&p);
	ok(slice_is(parse_astring(&p), "\xc3\xa9"), "UTF-8 in quotes");
	p = over("\"\xc3\"");
	ok(parse_astring(&p).len == 1 && parse_error(&p) == NULL,
	    "without that, anything");
	p = over("\"\xc3\"");
	parse_want_utf8(&p);
	parse_astring(&p);
	ok(parse_error(&p) != NULL, "with it, nothing else");
}

static void
test_between(void)
{
	struct parse p = over("(a {b} c) d"), before = p;

	parse_open(&p);
	parse_atom(&p);
	ok(slice_is(parse_between(&before, &p), "(a"), "text between");
	parse_sp(&p);
	parse_astring(&p);
	ok(parse_between(&before, &p).ptr == NULL, "but for a literal");
}

int
main(void)
{
	arena_init(&arena);
	test_strings();
	test_nstring();
	test_nul();
	test_numbers();
	test_lists();
	test_command();
	test_append();
	test_flags();
	test_sticks();
	test_utf8();
	test_between();
	arena_reset(&arena);
	return done_testing();
}
