/*
 * write: what goes quoted, what goes as a literal, and responses whole.
 */
#include <string.h>

#include "imap/date.h"
#include "imap/flag.h"
#include "imap/seqset.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"
#include "t/wrote.h"

static struct buf out;
static struct write w;

static void
test_strings(void)
{
	static const struct {
		const char *in, *astring, *string;
	} cases[] = {
		{ "abc", "abc", "\"abc\"" },
		{ "", "\"\"", "\"\"" },
		{ "a b", "\"a b\"", "\"a b\"" },
		{ "a\"b\\", "\"a\\\"b\\\\\"", "\"a\\\"b\\\\\"" },
		{ "nil", "\"nil\"", "\"nil\"" },
		{ "[x]", "\"[x]\"", "\"[x]\"" },
		{ "a*", "\"a*\"", "\"a*\"" },
		{ "a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb" },
		{ "\xc3\xa9", "{2}\r\n\xc3\xa9", "{2}\r\n\xc3\xa9" },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		write_astring(&w, slice_str(cases[i].in));
		ok(wrote(&out, cases[i].astring), "astring");
		write_string(&w, slice_str(cases[i].in));
		ok(wrote(&out, cases[i].string), "string");
	}
	write_nstring(&w, slice_of(NULL, 0));
	ok(wrote(&out, "NIL"), "NIL");
	write_nstring(&w, slice_str(""));
	ok(wrote(&out, "\"\""), "an empty one is not NIL");
}

/* To a peer that takes UTF-8 in quoted strings (RFC 6855). */
static void
test_utf8(void)
{
	w.utf8 = true;
	write_astring(&w, slice_str("\xc3\xa9\""));
	ok(wrote(&out, "\"\xc3\xa9\\\"\""), "UTF-8 is quoted");
	write_string(&w, slice_str("\xc3"));
	ok(wrote(&out, "{1}\r\n\xc3"), "what is none is a literal");
	w.utf8 = false;
}

static void
test_long(void)
{
	static char s[1002];

	memset(s, 'x', 1001);
	write_astring(&w, slice_str(s));
	ok(slice_starts(buf_slice(&out), slice_str("{1001}\r\nxxx")),
	    "long ones are literals");
	buf_clear(&out);
}

static void
test_literals(void)
{
	struct write c;

	write_init(&c, &out, WRITE_CLIENT);
	write_literal(&c, slice_str("ab"));
	ok(wrote(&out, "{2+}\r\nab"), "a client does not wait");
	write_literal8(&c, slice_str("ab"));
	ok(wrote(&out, "~{2+}\r\nab"), "literal8");
	write_sync_literal_head(&c, 7);
	ok(wrote(&out, "{7}\r\n"), "unless it wants to");
	write_literal8(&w, slice_str("ab"));
	ok(wrote(&out, "~{2}\r\nab"), "a server's");
}

static void
test_replies(void)
{
	struct slice tag = slice_str("a1"), none = slice_of(NULL, 0);

	write_reply(&w, tag, WRITE_OK, RESPCODE_NONE, "Done");
	ok(wrote(&out, "a1 OK Done\r\n"), "tagged");
	write_reply(&w, none, WRITE_BYE, RESPCODE_UNAVAILABLE, "Bye");
	ok(wrote(&out, "* BYE [UNAVAILABLE] Bye\r\n"), "untagged, with a code");
	write_reply(&w, tag, WRITE_NO, RESPCODE_NONE, "a\r\nb NO [X] y");
	ok(wrote(&out, "a1 NO a??b NO [X] y\r\n"), "no line can be slipped in");
	write_reply(&w, tag, WRITE_NO, RESPCODE_NONE, "[ALERT] x");
	ok(wrote(&out, "a1 NO -[ALERT] x\r\n"), "nor a code");
	write_reply(&w, tag, WRITE_BAD, RESPCODE_NONE, "");
	ok(wrote(&out, "a1 BAD -\r\n"), "text is never empty");
	write_status(&w, tag, WRITE_OK);
	write_code_open(&w, RESPCODE_APPENDUID);
	write_sp(&w);
	write_number(&w, 1);
	write_code_close(&w);
	write_text(&w, "x");
	write_end(&w);
	ok(wrote(&out, "a1 OK [APPENDUID 1] x\r\n"), "in parts");
	write_continue(&w, slice_str(""));
	ok(wrote(&out, "+ \r\n"), "continue");
	write_untagged_number(&w, 3, "EXISTS");
	write_end(&w);
	ok(wrote(&out, "* 3 EXISTS\r\n"), "a number");
	write_command(&w, tag, command_get(COMMAND_UID_FETCH));
	ok(wrote(&out, "a1 UID FETCH"), "a command");
}

static void
test_others(void)
{
	struct date_time t = { .seconds = 823167865, .zone = -420 };
	struct seqset set = { 0 };
	struct flags f = { 0 };
	struct arena a;

	arena_init(&a);
	write_flags(&w, &f);
	ok(wrote(&out, "()"), "no flags");
	ok(flags_add(&a, &f, slice_str("$x")) == NULL &&
	        flags_add(&a, &f, slice_str("\\seen")) == NULL,
	    "flags added");
	write_flags(&w, &f);
	ok(wrote(&out, "(\\Seen $x)"), "flags");
	write_date_time(&w, &t);
	ok(wrote(&out, "\"01-Feb-1996 02:44:25 -0700\""), "date-time");
	seqset_add_range(&a, &set, 1, 3);
	write_seqset(&w, &set);
	ok(wrote(&out, "1:3"), "set");
	arena_reset(&a);
}

int
main(void)
{
	buf_init(&out, 4096);
	write_init(&w, &out, WRITE_SERVER);
	test_strings();
	test_utf8();
	test_long();
	test_literals();
	test_replies();
	test_others();
	ok(!buf_failed(&out), "it all had room");
	buf_fini(&out);
	return done_testing();
}
