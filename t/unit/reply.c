/*
 * reply: heads, gathering, passing; and that cuts do not matter.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/cdefs.h"
#include "t/imap_trace.h"
#include "t/tap.h"

static const struct reply_limits limits = { .text_max = 60, .literal_max = 12 };

static const struct {
	const char *what, *in;
	enum trace_way way;
	const char *want;
} cases[] = {
	{ "a greeting", "* OK hi\r\n", TRACE_GATHER,
	    "STATUS 0  * OK hi DONE " },
	{ "a tagged reply", "a1 NO [NOPERM] x\r\n", TRACE_GATHER,
	    "TAGGED 1 a1 a1 NO [NOPERM] x DONE " },
	{ "without text", "a1 BAD\r\n", TRACE_GATHER,
	    "TAGGED 2 a1 a1 BAD DONE " },
	{ "data", "* 3 EXISTS\r\n* list () \"/\" x\r\n", TRACE_GATHER,
	    "DATA 3 EXISTS * 3 EXISTS DONE "
	    "DATA list * list () \"/\" x DONE " },
	{ "continuations", "+ go on\r\n+\r\n", TRACE_GATHER,
	    "CONT  + go on DONE CONT  + DONE " },
	{ "a literal gathered", "* 1 FETCH (X {4}\r\n(\r\n) Y)\r\n",
	    TRACE_GATHER, "DATA 1 FETCH * 1 FETCH (X {(\\0d\\0a)} Y) DONE " },
	{ "and passed", "* 1 FETCH (X {4}\r\n(\r\n) Y)\r\n* OK x\r\n",
	    TRACE_PASS,
	    "DATA 1 FETCH * 1 FETCH (X {4}\\0d\\0a(\\0d\\0a) Y)\\0d\\0a DONE "
	    "STATUS 0  * OK x\\0d\\0a DONE " },
	{ "and dropped", "* 1 FETCH (X {4}\r\n(\r\n) Y)\r\n* OK x\r\n",
	    TRACE_DROP, "DATA 1 FETCH  DONE STATUS 0   DONE " },
	{ "a literal8, and an empty one", "* X ~{2}\r\nab {0}\r\n\r\n",
	    TRACE_GATHER, "DATA X * X ~{ab} {} DONE " },
	{ "braces in quotes", "* X \"{3}\r\n", TRACE_GATHER,
	    "DATA X * X \"{3} DONE " },
	{ "braces that are none", "* X {3} y\r\n* X {}\r\n* X 3}\r\n",
	    TRACE_GATHER,
	    "DATA X * X {3} y DONE DATA X * X {} DONE DATA X * X 3} DONE " },
	{ "braces in text for people", "* OK {3}\r\na OK {3}\r\n+ {3}\r\n",
	    TRACE_PASS,
	    "STATUS 0  * OK {3}\\0d\\0a DONE TAGGED 0 a a OK {3}\\0d\\0a DONE "
	    "CONT  + {3}\\0d\\0a DONE " },
	{ "quotes in text for people", "* OK Don\"t\r\n* X {1}\r\na\r\n",
	    TRACE_GATHER, "STATUS 0  * OK Don\"t DONE DATA X * X {a} DONE " },
	{ "a literal too large", "* X {13}\r\n", TRACE_GATHER,
	    "DATA X ERROR(Literal too large)" },
	{ "a size past 64 bits", "* X {99999999999999999999999}\r\n",
	    TRACE_GATHER, "DATA X ERROR(Literal too large)" },
	{ "a long response",
	    "* X 567890123456789012345678901234567890123456789012345678901\r\n",
	    TRACE_GATHER, "DATA X ERROR(Response too long)" },
	{ "a lone LF", "* OK a\n", TRACE_GATHER,
	    "STATUS 0  ERROR(CR without LF, or LF without CR)" },
	{ "no status", "a HELLO x\r\n", TRACE_GATHER,
	    "ERROR(Malformed tagged response)" },
	{ "a tagged BYE", "a BYE x\r\n", TRACE_GATHER,
	    "ERROR(Malformed tagged response)" },
	{ "nonsense", "* \r\n", TRACE_GATHER,
	    "ERROR(Malformed untagged response)" },
};

static char *
trace(size_t i, trace_cut *cut, void *arg)
{
	return reply_trace((const uint8_t *)cases[i].in, strlen(cases[i].in),
	    cases[i].way, &limits, cut, arg);
}

static void
test_long_head(void)
{
	uint8_t in[REPLY_HEAD_MAX + 10];
	char *got;

	memset(in, 'a', sizeof(in));
	got =
	    reply_trace(in, sizeof(in), TRACE_PASS, &limits, trace_whole, NULL);
	is_str(got, "ERROR(Response begins with too long a word)",
	    "a first word without end");
	free(got);
}

static void
test_text(void)
{
	static const struct {
		const char *in;
		enum respcode code;
		const char *name, *args, *text;
	} texts[] = {
		{ "a OK done", RESPCODE_NONE, "", "", "done" },
		{ "a OK", RESPCODE_NONE, "", "", "" },
		{ "* BYE [UNAVAILABLE] x y", RESPCODE_UNAVAILABLE,
		    "UNAVAILABLE", "", "x y" },
		{ "a OK [appenduid 38505 3955] done", RESPCODE_APPENDUID,
		    "appenduid", "38505 3955", "done" },
		{ "a NO [X-Y \"]\" z] t", RESPCODE_NONE, "X-Y", "\"]\" z",
		    "t" },
		{ "a OK [never closed", RESPCODE_NONE, "", "",
		    "[never closed" },
	};

	for (size_t i = 0; i < NITEMS(texts); i++) {
		struct piece p = { .octets = slice_str(texts[i].in) };
		struct reply_text t;

		reply_parse_text(&p, &t);
		ok(t.code == texts[i].code &&
		        slice_is(t.code_name, texts[i].name) &&
		        slice_is(t.code_args, texts[i].args) &&
		        slice_is(t.text, texts[i].text),
		    "%s", texts[i].in);
	}
}

static void
test_data(void)
{
	struct piece p = { .octets = slice_str("* 12 FETCH (X)") };
	struct parse cursor;
	struct arena a;

	arena_init(&a);
	reply_parse_data(&cursor, &a, &p);
	parse_sp(&cursor);
	ok(parse_peek(&cursor) == '(', "behind number and name");
	p.octets = slice_str("* LIST (X)");
	reply_parse_data(&cursor, &a, &p);
	parse_sp(&cursor);
	ok(parse_peek(&cursor) == '(', "behind the name");
	arena_reset(&a);
}

int
main(void)
{
	for (size_t i = 0; i < NITEMS(cases); i++) {
		char *got = trace(i, trace_whole, NULL);

		is_str(got, cases[i].want, cases[i].what);
		ok(trace_same(trace, i, strlen(cases[i].in), cases[i].want),
		    "...however it is cut");
		free(got);
	}
	test_long_head();
	test_text();
	test_data();
	return done_testing();
}
