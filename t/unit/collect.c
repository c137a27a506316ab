/*
 * collect: what becomes of commands and their literals, however cut.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/cdefs.h"
#include "t/imap_trace.h"
#include "t/tap.h"

static const struct collect_limits limits = { .text_max = 60,
	.literal_max = 12,
	.literals_max = 3 };

static const struct {
	const char *what, *in, *want;
	enum collect_dialect dialect;
} cases[] = {
	{ "a line", "a noop\r\n", "CMD(a noop) ", COLLECT_IMAP },
	{ "two", "a noop\r\nb x\r\n", "CMD(a noop) CMD(b x) ", COLLECT_IMAP },
	{ "a sync literal", "a login {3}\r\njoe x\r\n",
	    "+ CMD(a login {joe} x) ", COLLECT_IMAP },
	{ "non-sync ones", "a login {3+}\r\njoe {1+}\r\nx\r\n",
	    "CMD(a login {joe} {x}) ", COLLECT_IMAP },
	{ "literal8", "a x ~{2+}\r\nab\r\n", "CMD(a x ~{ab}) ", COLLECT_IMAP },
	{ "an empty one", "a x {0}\r\n y\r\n", "+ CMD(a x {} y) ",
	    COLLECT_IMAP },
	{ "too large, sync", "a x {13}\r\nb noop\r\n",
	    "REFUSED(a Literal too large!) CMD(b noop) ", COLLECT_IMAP },
	{ "too large together", "a x {12}\r\n123456789012 {1}\r\nb y\r\n",
	    "+ REFUSED(a Literal too large!) CMD(b y) ", COLLECT_IMAP },
	{ "huge, non-sync", "a x {99999999999999999999+}\r\nb noop\r\n",
	    "ERROR(Literal too large)", COLLECT_IMAP },
	{ "too many", "a {0+}\r\n{0+}\r\n{0+}\r\n{0}\r\n",
	    "REFUSED(a Too many literals) ", COLLECT_IMAP },
	{ "append", "a append x {5}\r\nhello\r\nb y\r\n",
	    "STREAM(a append x <5>) [hello] CMD(a append x <5>) CMD(b y) ",
	    COLLECT_IMAP },
	{ "its mailbox is kept", "a append {1}\r\nx (\\Seen) {2+}\r\nhi\r\n",
	    "+ STREAM+(a append {x} (\\5cSeen) <2>) [hi] "
	    "CMD(a append {x} (\\5cSeen) <2>) ",
	    COLLECT_IMAP },
	{ "an append refused", "a append x {21}\r\nb y\r\n",
	    "STREAM(a append x <21>) CMD(b y) ", COLLECT_IMAP },
	{ "an append skipped",
	    "a append x {21+}\r\n123456789012345678901\r\nb y\r\n",
	    "STREAM+(a append x <21>) CMD(a append x <21>) CMD(b y) ",
	    COLLECT_IMAP },
	{ "an empty append", "a append x {0}\r\n\r\n",
	    "STREAM(a append x <0>) CMD(a append x <0>) ", COLLECT_IMAP },
	{ "an address is kept", "a append x CATENATE (URL {2+}\r\n/y)\r\n",
	    "CMD(a append x CATENATE (URL {/y})) ", COLLECT_IMAP },
	{ "and one behind a text",
	    "a append x CATENATE (TEXT {1+}\r\nh Url {2+}\r\n/y)\r\n",
	    "STREAM+(a append x CATENATE (TEXT <1>) [h] "
	    "CMD(a append x CATENATE (TEXT <1> Url {/y})) ",
	    COLLECT_IMAP },
	{ "a mailbox of that name", "a append URL {1+}\r\nh\r\n",
	    "STREAM+(a append URL <1>) [h] CMD(a append URL <1>) ",
	    COLLECT_IMAP },
	{ "replace", "a replace 1 x {1+}\r\nh\r\n",
	    "STREAM+(a replace 1 x <1>) [h] CMD(a replace 1 x <1>) ",
	    COLLECT_IMAP },
	{ "uid replace", "a uid replace 1 {1+}\r\nx {1+}\r\nh\r\n",
	    "STREAM+(a uid replace 1 {x} <1>) [h] "
	    "CMD(a uid replace 1 {x} <1>) ",
	    COLLECT_IMAP },
	{ "localappend, atoms", "a localappend x y {2+}\r\nhi\r\n",
	    "STREAM+(a localappend x y <2>) [hi] "
	    "CMD(a localappend x y <2>) ",
	    COLLECT_IMAP },
	{ "localappend, quoted",
	    "a localappend \"x \\\"\" \"\" () {1+}\r\nh {1+}\r\ni\r\n",
	    "STREAM+(a localappend \"x \\5c\"\" \"\" () <1>) [h] "
	    "STREAM+(a localappend \"x \\5c\"\" \"\" () <1> <1>) [i] "
	    "CMD(a localappend \"x \\5c\"\" \"\" () <1> <1>) ",
	    COLLECT_IMAP },
	{ "localappend, literals",
	    "a localappend {1+}\r\nx {1+}\r\ny {2+}\r\nhi\r\n",
	    "STREAM+(a localappend {x} {y} <2>) [hi] "
	    "CMD(a localappend {x} {y} <2>) ",
	    COLLECT_IMAP },
	{ "localappend, of each", "a localappend x {1+}\r\ny {2+}\r\nhi\r\n",
	    "STREAM+(a localappend x {y} <2>) [hi] "
	    "CMD(a localappend x {y} <2>) ",
	    COLLECT_IMAP },
	{ "localappend, the other way",
	    "a localappend {1+}\r\nx \"\" {2+}\r\nhi\r\n",
	    "STREAM+(a localappend {x} \"\" <2>) [hi] "
	    "CMD(a localappend {x} \"\" <2>) ",
	    COLLECT_IMAP },
	{ "no tag to refuse with", "(x {13}\r\n",
	    "REFUSED(* Literal too large!) ", COLLECT_IMAP },
	{ "a lone LF", "a noop\n", "ERROR(CR without LF, or LF without CR)",
	    COLLECT_IMAP },
	{ "a long line",
	    "a 34567890123456789012345678901234567890123456789012345678901"
	    "\r\n",
	    "ERROR(Command too long)", COLLECT_IMAP },
	{ "managesieve",
	    "putscript \"a\" {3+}\r\nabc\r\nappend x {3+}\r\n"
	    "abc\r\n",
	    "CMD(putscript \"a\" {abc}) CMD(append x {abc}) ", COLLECT_SIEVE },
	{ "its literals do not wait", "putscript {3}\r\nx\r\n",
	    "REFUSED(putscript Literals must be {n+}) CMD(x) ", COLLECT_SIEVE },
};

static char *
trace(size_t i, trace_cut *cut, void *arg)
{
	return collect_trace((const uint8_t *)cases[i].in, strlen(cases[i].in),
	    cases[i].dialect, &limits, cut, arg);
}

/* The answer to a "+" of ours is no command, and only when it was asked for. */
static void
test_lines(void)
{
	static const char in[] = "a idle\r\nDONE\r\nb noop\r\n";
	const uint8_t *p = (const uint8_t *)in;
	size_t n = strlen(in);
	struct collect_item item;
	struct collect c;
	struct arena a;

	arena_init(&a);
	collect_init(&c, COLLECT_IMAP, &limits, &a);
	ok(collect_is_idle(&c), "idle at first");
	ok(collect_next(&c, p, n, &item) == COLLECT_COMMAND, "the command");
	p += item.taken;
	n -= item.taken;
	ok(!collect_is_idle(&c), "not idle while it is run");
	ok(collect_next(&c, p, n, &item) == COLLECT_MORE && item.taken == 0,
	    "the rest waits");
	collect_want_line(&c);
	ok(collect_next(&c, p, n, &item) == COLLECT_LINE &&
	        slice_is(item.octets, "DONE"),
	    "the line asked for");
	p += item.taken;
	n -= item.taken;
	ok(collect_next(&c, p, n, &item) == COLLECT_MORE, "and only that");
	collect_done(&c);
	ok(collect_next(&c, p, n, &item) == COLLECT_COMMAND &&
	        slice_is(collect_pieces(&c)->octets, "b noop"),
	    "the next command");
	collect_done(&c);
	ok(arena_used(&a) == 0, "nothing is kept");
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
	test_lines();
	return done_testing();
}
