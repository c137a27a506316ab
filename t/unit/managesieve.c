/*
 * managesieve: the commands of RFC 5804 and what answers them.
 */
#include <string.h>

#include "imap/managesieve.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"
#include "t/wrote.h"

static struct arena a;
static struct buf out;

static void
test_commands(void)
{
	static const struct {
		const char *text, *literal; /* a literal at the end, or NULL */
		enum managesieve_verb verb; /* MAX: refused */
		const char *name, *content;
	} cases[] = {
		{ "capability", NULL, MANAGESIEVE_CAPABILITY, "", NULL },
		{ "LOGOUT", NULL, MANAGESIEVE_LOGOUT, "", NULL },
		{ "LOGOUT x", NULL, MANAGESIEVE_MAX, "", NULL },
		{ "FOO", NULL, MANAGESIEVE_MAX, "", NULL },
		{ "", NULL, MANAGESIEVE_MAX, "", NULL },
		{ "AUTHENTICATE \"plain\"", NULL, MANAGESIEVE_AUTHENTICATE,
		    "PLAIN", NULL },
		{ "AUTHENTICATE \"PLAIN\" \"AGE=\"", NULL,
		    MANAGESIEVE_AUTHENTICATE, "PLAIN", "AGE=" },
		{ "AUTHENTICATE \"P L\"", NULL, MANAGESIEVE_MAX, "", NULL },
		{ "AUTHENTICATE PLAIN", NULL, MANAGESIEVE_MAX, "", NULL },
		{ "HAVESPACE \"x\" 99", NULL, MANAGESIEVE_HAVESPACE, "x",
		    NULL },
		{ "HAVESPACE \"x\" 4294967296", NULL, MANAGESIEVE_MAX, "",
		    NULL },
		{ "PUTSCRIPT \"x\" ", "keep;", MANAGESIEVE_PUTSCRIPT, "x",
		    "keep;" },
		{ "PUTSCRIPT \"x\" \"keep;\"", NULL, MANAGESIEVE_PUTSCRIPT, "x",
		    "keep;" },
		{ "PUTSCRIPT \"\" \"keep;\"", NULL, MANAGESIEVE_MAX, "", NULL },
		{ "PUTSCRIPT \"x\"", NULL, MANAGESIEVE_MAX, "", NULL },
		{ "PUTSCRIPT \"a\tb\" \"\"", NULL, MANAGESIEVE_MAX, "", NULL },
		{ "PUTSCRIPT \"\xc3\xa9\" \"\"", NULL, MANAGESIEVE_PUTSCRIPT,
		    "\xc3\xa9", "" },
		{ "PUTSCRIPT \"\xff\" \"\"", NULL, MANAGESIEVE_MAX, "", NULL },
		{ "SETACTIVE \"\"", NULL, MANAGESIEVE_SETACTIVE, "", NULL },
		{ "SETACTIVE ", "x", MANAGESIEVE_SETACTIVE, "x", NULL },
		{ "CHECKSCRIPT ", "", MANAGESIEVE_CHECKSCRIPT, "", "" },
		{ "NOOP", NULL, MANAGESIEVE_NOOP, "", NULL },
		{ "NOOP \"x\"", NULL, MANAGESIEVE_NOOP, "", "x" },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct piece l = { .kind = PIECE_LITERAL };
		struct piece t = { .octets = slice_str(cases[i].text) };
		struct managesieve_command c;
		const char *why;

		if (cases[i].literal != NULL) {
			l.octets = slice_str(cases[i].literal);
			t.next = &l;
		}
		why = managesieve_parse(&a, &t, &c);
		if (cases[i].verb == MANAGESIEVE_MAX)
			ok(why != NULL, "no: %s", cases[i].text);
		else
			ok(why == NULL && c.verb == cases[i].verb &&
			        slice_is(c.name, cases[i].name) &&
			        (cases[i].content == NULL
			                ? c.content.ptr == NULL
			                : c.content.ptr != NULL &&
			                      slice_is(c.content,
			                          cases[i].content)),
			    "%s", cases[i].text);
	}
}

static void
test_rename(void)
{
	struct piece t = { .octets = slice_str("RENAMESCRIPT \"a\" \"b\"") };
	struct managesieve_command c;
	struct slice s;

	ok(managesieve_parse(&a, &t, &c) == NULL && slice_is(c.name, "a") &&
	        slice_is(c.to, "b"),
	    "two names");
	t.octets = slice_str("\"AGE=\"");
	ok(managesieve_parse_response(&a, &t, &s) == NULL &&
	        slice_is(s, "AGE="),
	    "a response");
	t.octets = slice_str("AGE=");
	ok(managesieve_parse_response(&a, &t, &s) != NULL, "is a string");
	ok(managesieve_states(MANAGESIEVE_PUTSCRIPT) == MANAGESIEVE_AFTER &&
	        managesieve_states(MANAGESIEVE_STARTTLS) == MANAGESIEVE_BEFORE,
	    "states");
}

static void
test_writing(void)
{
	managesieve_put_reply(&out, MANAGESIEVE_OK, NULL, slice_str(""));
	ok(wrote(&out, "OK\r\n"), "OK");
	managesieve_put_reply(&out, MANAGESIEVE_NO, "NONEXISTENT",
	    slice_str("no \"x\""));
	ok(wrote(&out, "NO (NONEXISTENT) \"no \\\"x\\\"\"\r\n"), "NO and why");
	managesieve_put_reply(&out, MANAGESIEVE_NO, NULL,
	    slice_str("line 1\r\nOK"));
	ok(wrote(&out, "NO {10}\r\nline 1\r\nOK\r\n"), "several lines");
	managesieve_put_reply_arg(&out, MANAGESIEVE_OK, "TAG", slice_str("x"),
	    slice_str("Done"));
	ok(wrote(&out, "OK (TAG \"x\") \"Done\"\r\n"), "TAG");
	managesieve_put_capability(&out, "STARTTLS", slice_of(NULL, 0));
	managesieve_put_capability(&out, "SASL", slice_str(""));
	ok(wrote(&out, "\"STARTTLS\"\r\n\"SASL\" \"\"\r\n"), "capabilities");
	managesieve_put_script(&out, slice_str("a"));
	managesieve_put_active_script(&out, slice_str("b"));
	ok(wrote(&out, "\"a\"\r\n\"b\" ACTIVE\r\n"), "scripts");
	managesieve_put_content(&out, slice_str("keep;"));
	ok(wrote(&out, "{5}\r\nkeep;\r\n"), "a script");
}

int
main(void)
{
	arena_init(&a);
	buf_init(&out, 4096);
	test_commands();
	test_rename();
	test_writing();
	buf_fini(&out);
	arena_reset(&a);
	return done_testing();
}
