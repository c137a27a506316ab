/*
 * mupdate: the events are the same however the input is cut; what is written
 * is read back as it was.
 */
#include <stdlib.h>

#include "imap/mupdate.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "t/mupdate_trace.h"
#include "t/tap.h"

static const struct mupdate_limits small = { .line = 80,
	.literal = 20,
	.message = 100 };

struct cuts {
	size_t first, rest;
	bool begun;
};

static size_t
next_cut(void *arg)
{
	struct cuts *c = arg;

	if (c->begun || c->first == 0)
		return c->rest;
	c->begun = true;
	return c->first;
}

/* Whole, in two pieces at every place, and an octet at a time. */
static void
test_trace(const struct mupdate_trace_opt *opt, const char *in, size_t n,
    const char *want)
{
	bool same = true;

	for (size_t at = 0; at <= n && same; at++) {
		struct cuts c = { at, at == 0 ? 1 : n, false };
		char *got =
		    mupdate_trace((const uint8_t *)in, n, opt, next_cut, &c);

		same = strcmp(got, want) == 0;
		if (!same)
			printf("# cut at %zu\n#  got: %s\n# want: %s\n", at,
			    got, want);
		free(got);
	}
	ok(same, "%s", want);
}

struct sample {
	const char *in, *want;
};

#define LONG80                                        \
	"0123456789012345678901234567890123456789012" \
	"3456789012345678901234567890123456789"

static const struct sample commands[] = {
	{ "a NOOP\r\n", "[a 7]" },
	{ "a noop\r\nb LOGOUT\r\n", "[a 7][b 6]" },
	{ "a FIND \"user.joe\"\r\n", "[a 4 <user.joe>]" },
	{ "a FIND \"a\\\"\\\\b\"\r\n", "[a 4 <a\"\\b>]" },
	{ "a FIND {3+}\r\nx y\r\n", "[a 4 <x y>]" },
	{ "a FIND {3}\r\nx\r\n\r\n", "(go)[a 4 <x\r\n>]" },
	{ "a FIND {0+}\r\n\r\n", "[a 4 <>]" },
	{ "a FIND {0}\r\n\r\n", "(go)[a 4 <>]" },
	{ "a FIND \"\xe4\"\r\n", "[a 4 <\xe4>]" },
	{ "a ACTIVATE {1+}\r\nn \"l\" {0+}\r\n\r\n", "[a 0 <n> <l> <>]" },
	{ "a LIST\r\nb LIST \"be1!\"\r\n", "[a 5][b 5 <be1!>]" },
	{ "a AUTHENTICATE PLAIN\r\n", "[a 1 <PLAIN>]" },
	{ "a AUTHENTICATE \"PLAIN\" {4+}\r\nAAAA\r\n", "[a 1 <PLAIN> <AAAA>]" },
	{ "a XBREAK \"user.joe\" \"7\"\r\n", "[a 12 <user.joe> <7>]" },
	{ "+ NOOP\r\n", "[+ 7]" },
	{ "a FIND {20+}\r\n01234567890123456789\r\n",
	    "[a 4 <01234567890123456789>]" },
	/* wrong, and over at the line's end */
	{ "\r\na NOOP\r\n", "[ -1 !Need command][a 7]" },
	{ "a\r\n", "[a -1 !Null command]" },
	{ " a NOOP\r\n", "[ -1 !Need command]" },
	{ "a SELECT \"x\"\r\n", "[a -1 !Unrecognized command]" },
	{ "a FIND\r\n", "[a -1 !Missing arguments]" },
	{ "a FIND \"x\" \"y\"\r\n", "[a -1 <x> <y> !Extra arguments]" },
	{ "a FIND x\r\n", "[a -1 !Badly formed arguments]" },
	{ "a FIND NIL\r\n", "[a -1 !Badly formed arguments]" },
	{ "a FIND  \"x\"\r\n", "[a -1 !Badly formed arguments]" },
	{ "a FIND \"x\r\n", "[a -1 !Badly formed arguments]" },
	{ "a FIND \"x\"y\r\n", "[a -1 <x> !Badly formed arguments]" },
	{ "a FIND {x}\r\n", "[a -1 !Badly formed literal]" },
	{ "a FIND {}\r\n", "[a -1 !Badly formed literal]" },
	{ "a NOOP \"x\"\r\n", "[a -1 <x> !Extra arguments]" },
	{ "(a NOOP\r\n", "[ -1 !Badly formed tag]" },
	/* wrong, with literals that are not commands */
	{ "a SELECT {6+}\r\nb NOOP\r\nc NOOP\r\n",
	    "[a -1 !Unrecognized command][c 7]" },
	{ "a SELECT {6+}\r\nb NOOP {3+}\r\nc d\r\ne NOOP\r\n",
	    "[a -1 !Unrecognized command][e 7]" },
	{ "a SELECT {6}\r\nb NOOP\r\n", "[a -1 !Unrecognized command][b 7]" },
	{ "a FIND {12{2+}\r\nxx\r\nb NOOP\r\n",
	    "[a -1 !Badly formed literal][b 7]" },
	{ "a SELECT {2+}\r\nxx{3+}\r\nabc\r\nb NOOP\r\n",
	    "[a -1 !Unrecognized command][b 7]" },
	{ "a FIND {21}\r\nb NOOP\r\n", "[a -1 !Literal too long][b 7]" },
	/* the end */
	{ "a FIND {21+}\r\n", "(error Literal too long)" },
	{ "a SELECT {21+}\r\n", "(error Literal too long)" },
	{ "a FIND {9999999999+}\r\n", "(error Literal too long)" },
	{ "a FIND {99999999999+}\r\n", "[a -1 !Badly formed literal]" },
	{ "a NOOP\n", "(error CR without LF, or LF without CR)" },
	{ "a NOOP\rb", "(error CR without LF, or LF without CR)" },
	{ "a " LONG80, "(error Line too long)" },
};

static const struct sample responses[] = {
	{ "a OK \"done\"\r\n", "[a 0 <done>]" },
	{ "a OK done it\r\n", "[a 0 <done it>]" },
	{ "a OK {4+}\r\ndone\r\n", "[a 0 <done>]" },
	{ "a OK\r\n", "[a 0 <>]" },
	{ "* BYE \"so\"\r\n", "[* 3 <so>]" },
	{ "a MAILBOX {1+}\r\nn {1+}\r\nl {0+}\r\n\r\n", "[a 4 <n> <l> <>]" },
	{ "a RESERVE \"n\" \"l\"\r\n", "[a 5 <n> <l>]" },
	{ "a DELETE \"n\"\r\n", "[a 6 <n>]" },
	{ "a DELETE n\r\n", "[a -1 !Badly formed arguments]" },
	{ "a FETCH \"n\"\r\n", "[a -1 !Unrecognized response]" },
	{ "a MAILBOX \"n\" \"l\"\r\n", "[a -1 <n> <l> !Missing arguments]" },
	{ "* AUTH PLAIN \"LOGIN\"\r\n* AUTH\r\n",
	    "[* 16 <PLAIN> <LOGIN>][* 16]" },
	{ "* STARTTLS\r\n", "[* 17]" },
	{ "* XMURDER \"1\"\r\n", "[* 18 <1>]" },
	{ "x XGONE \"7\" {1+}\r\nn\r\n", "[x 11 <7> <n>]" },
	{ "x XGONE \"7\"\r\n", "[x -1 <7> !Missing arguments]" },
	{ "* COMPRESS \"DEFLATE\"\r\n", "[* 19]" },
	{ "* PARTIAL-UPDATE\r\n", "[* 19]" },
	{ "* OK MUPDATE \"a\" \"b\" \"c\" \"(master)\"\r\n",
	    "[* 15 <a> <b> <c> <(master)>]" },
	{ "* OK MUPDATE \"a\"\r\n", "[* 0 <MUPDATE \"a\">]" },
	{ "+ go ahead\r\n", "[+ 20]" },
	{ "+ RESERVE \"n\" \"l\"\r\n", "[+ 20]" },
	{ "* RESERVE \"n\" \"l\"\r\n", "[* 5 <n> <l>]" },
	{ "a RESERVE {2+}\r\nn\r \"l\"\r\n", "[a 5 <n\r> <l>]" },
};

static const struct sample sasl[] = {
	{ "abcd\r\na0 OK \"x\"\r\n", "(line abcd)[a0 0 <x>]" },
	{ "a0bc\r\n\r\na0 NO x\r\n", "(line a0bc)(line )[a0 1 <x>]" },
	{ "a0 OK {2+}\r\nab\r\nb OK x\r\n", "[a0 0 <ab>][b 0 <x>]" },
	{ "ab\n", "(error CR without LF, or LF without CR)" },
};

static void
test_samples(const struct mupdate_trace_opt *opt, const struct sample *s,
    size_t n)
{
	for (size_t i = 0; i < n; i++)
		test_trace(opt, s[i].in, strlen(s[i].in), s[i].want);
}

/* NULs are octets that no C string shows. */
static void
test_nuls(const struct mupdate_trace_opt *opt)
{
	static const char literal[] = "a FIND {2+}\r\nx\0\r\nb NOOP\r\n";
	static const char line[] = "a FI\0ND";

	test_trace(opt, literal, sizeof(literal) - 1,
	    "[a -1 <x"); /* the trace is cut at the NUL */
	test_trace(opt, line, sizeof(line) - 1, "(error NUL in command)");
}

static void
test_written(void)
{
	struct mupdate_trace_opt server = { .limits = mupdate_defaults() };
	struct mupdate_trace_opt client = { .side = MUPDATE_CLIENT,
		.limits = mupdate_defaults() };
	struct mupdate_banner banner = { "PLAIN SCRAM-SHA-1", true, true,
		"host", "a \"b\"", "1", "(master)" };
	struct slice args[3] = { slice_str("user.a"), slice_str("h!p"),
		slice_str("a\tlrs\t") };
	struct slice mech[2] = { slice_str("PLAIN"), slice_str("AAA=") };
	struct slice tag = slice_str("U1");
	struct buf b;

	buf_init(&b, 4096);
	mupdate_put_command(&b, "A", MUPDATE_CMD_ACTIVATE, args, 3);
	mupdate_put_command(&b, "B", MUPDATE_CMD_AUTHENTICATE, mech, 2);
	mupdate_put_command(&b, "C", MUPDATE_CMD_UPDATE, NULL, 0);
	test_trace(&server, (const char *)buf_data(&b), buf_len(&b),
	    "[A 0 <user.a> <h!p> <a\tlrs\t>][B 1 <PLAIN> <AAA=>][C 10]");
	buf_clear(&b);
	mupdate_put_banner(&b, &banner);
	mupdate_put_mailbox(&b, tag, args[0], args[1], args[2]);
	mupdate_put_reserve(&b, tag, args[0], args[1]);
	mupdate_put_delete(&b, tag, args[0]);
	mupdate_put_reply(&b, slice_of(NULL, 0), MUPDATE_BAD, "no");
	mupdate_put_go_ahead(&b);
	test_trace(&client, (const char *)buf_data(&b), buf_len(&b),
	    "[* 16 <PLAIN> <SCRAM-SHA-1>][* 17][* 18 <1>]"
	    "[* 15 <host> <a \"b\"> <1> <(master)>]"
	    "[U1 4 <user.a> <h!p> <a\tlrs\t>][U1 5 <user.a> <h!p>]"
	    "[U1 6 <user.a>][* 2 <no>][+ 20]");
	buf_fini(&b);
}

int
main(void)
{
	struct mupdate_trace_opt server = { .limits = small };
	struct mupdate_trace_opt client = { .side = MUPDATE_CLIENT,
		.limits = small };
	struct mupdate_trace_opt lines = { .limits = small, .lines = true };
	static const char two[] = "a AUTHENTICATE \"X\"\r\nYQ==\r\n*\r\n"
	                          "b NOOP\r\n";

	test_samples(&server, commands, NITEMS(commands));
	test_samples(&client, responses, NITEMS(responses));
	client.tag = "a0";
	test_samples(&client, sasl, NITEMS(sasl));
	test_trace(&lines, two, sizeof(two) - 1,
	    "[a 1 <X>](line YQ==)(line *)[b 7]");
	test_nuls(&server);
	test_written();
	return done_testing();
}
