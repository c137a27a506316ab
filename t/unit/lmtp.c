/*
 * lmtp: lines, commands, paths, dots and replies.
 */
#include <string.h>

#include "imap/lmtp.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"
#include "t/wrote.h"

static struct arena a;
static struct buf out;

static void
test_lines(void)
{
	static const char *const bad[] = { "a\nb", "a\rb", "\n", "\r\r\n" };
	static uint8_t in[LMTP_LINE_MAX + 1];
	struct lmtp_lines l = { 0 };
	struct slice line;
	size_t taken;

	for (size_t n = 0; n < 5; n++)
		ok(lmtp_line(&l, (const uint8_t *)"NOOP\r\n", n, &line,
		       &taken) == LMTP_LINE_MORE,
		    "%zu octets", n);
	ok(lmtp_line(&l, (const uint8_t *)"NOOP\r\n", 6, &line, &taken) ==
	            LMTP_LINE &&
	        slice_is(line, "NOOP") && taken == 6,
	    "a line");
	for (size_t i = 0; i < NITEMS(bad); i++) {
		struct lmtp_lines b = { 0 };

		ok(lmtp_line(&b, (const uint8_t *)bad[i], strlen(bad[i]), &line,
		       &taken) == LMTP_LINE_ERROR,
		    "no line end, %zu", i);
	}
	l = (struct lmtp_lines){ 0 };
	ok(lmtp_line(&l, (const uint8_t *)"a\0b", 3, &line, &taken) ==
	        LMTP_LINE_ERROR,
	    "a NUL");
	memset(in, 'x', sizeof(in));
	l = (struct lmtp_lines){ 0 };
	ok(lmtp_line(&l, in, sizeof(in), &line, &taken) == LMTP_LINE_ERROR,
	    "too long");
}

static void
test_commands(void)
{
	static const struct {
		const char *in;
		enum lmtp_verb verb;
		int code;
		const char *local, *domain;
		size_t n;
	} cases[] = {
		{ "LHLO mx.x.org", LMTP_LHLO, 0, "", "", 0 },
		{ "lhlo", LMTP_LHLO, 501, "", "", 0 },
		{ "EHLO x", LMTP_HELO, 500, "", "", 0 },
		{ "FOO", LMTP_UNKNOWN, 500, "", "", 0 },
		{ "", LMTP_UNKNOWN, 500, "", "", 0 },
		{ "DATA", LMTP_DATA, 0, "", "", 0 },
		{ "DATA ", LMTP_DATA, 0, "", "", 0 },
		{ "DATA x", LMTP_DATA, 501, "", "", 0 },
		{ "MAIL FROM:<>", LMTP_MAIL, 0, "", "", 0 },
		{ "mail from: <a@x.org> SIZE=12 BODY=8BITMIME", LMTP_MAIL, 0,
		    "a", "x.org", 2 },
		{ "MAIL FROM:<a@x.org>SIZE=12", LMTP_MAIL, 501, "a", "x.org",
		    1 },
		{ "MAIL FROM:a@x.org", LMTP_MAIL, 501, "", "", 0 },
		{ "MAIL FROM:<a@x.org", LMTP_MAIL, 501, "", "", 0 },
		{ "MAIL <a@x.org>", LMTP_MAIL, 501, "", "", 0 },
		{ "RCPT TO:<fred>", LMTP_RCPT, 0, "fred", "", 0 },
		{ "RCPT TO:<f+box@x.org>", LMTP_RCPT, 0, "f+box", "x.org", 0 },
		{ "RCPT TO:<\"a b\\\"> c\"@x.org>", LMTP_RCPT, 0, "a b\"> c",
		    "x.org", 0 },
		{ "RCPT TO:<@r.org,@s.org:a@x.org>", LMTP_RCPT, 0, "a", "x.org",
		    0 },
		{ "RCPT TO:<a@[192.0.2.1]>", LMTP_RCPT, 0, "a", "[192.0.2.1]",
		    0 },
		{ "RCPT TO:<a@>", LMTP_RCPT, 501, "a", "", 0 },
		{ "RCPT TO:<@x.org>", LMTP_RCPT, 501, "", "", 0 },
		{ "RCPT TO:<a b@x.org>", LMTP_RCPT, 501, "a", "", 0 },
		{ "RCPT TO:<\"\"@x.org>", LMTP_RCPT, 501, "", "", 0 },
		{ "RCPT TO:<a@x..org>", LMTP_RCPT, 501, "a", "x..org", 0 },
		{ "RCPT TO:<a@x.org> =3", LMTP_RCPT, 501, "a", "x.org", 0 },
		{ "RCPT TO:<a@x.org> 1 2 3 4 5 6 7 8 9 a b c d e f g",
		    LMTP_RCPT, 0, "a", "x.org", 16 },
		{ "RCPT TO:<a@x.org> 1 2 3 4 5 6 7 8 9 a b c d e f g h",
		    LMTP_RCPT, 501, "a", "x.org", 16 },
		{ "AUTH", LMTP_AUTH, 501, "", "", 0 },
		{ "AUTH PLAIN x y", LMTP_AUTH, 501, "", "", 0 },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct lmtp_command c;

		lmtp_parse_command(&a, slice_str(cases[i].in), &c);
		ok(c.verb == cases[i].verb && c.code == cases[i].code &&
		        (c.code != 0) == (c.why != NULL) &&
		        slice_is(c.path.local, cases[i].local) &&
		        (c.code != 0 ||
		            slice_is(c.path.domain, cases[i].domain)) &&
		        c.n == cases[i].n,
		    "%s", cases[i].in);
	}
}

static void
test_auth(void)
{
	struct lmtp_command c;

	lmtp_parse_command(&a, slice_str("AUTH PLAIN"), &c);
	ok(slice_is(c.mechanism, "PLAIN") && c.initial.ptr == NULL, "without");
	lmtp_parse_command(&a, slice_str("AUTH plain ="), &c);
	ok(slice_is(c.mechanism, "plain") && slice_is(c.initial, "="), "with");
	lmtp_put_auth(&out, "PLAIN", slice_of(NULL, 0));
	ok(wrote(&out, "AUTH PLAIN\r\n"), "written without");
	lmtp_put_auth(&out, "PLAIN", slice_str(""));
	ok(wrote(&out, "AUTH PLAIN =\r\n"), "written with an empty one");
}

/* Written then parsed is the same. */
static void
test_target(void)
{
	static const char key[] = "0123456789abcdef0123456789abcdef"
	                          "0123456789ABCDEF0123456789abcdef";
	struct lmtp_target t = { slice_str("user.fred.a b&AOk-"),
		slice_str("\\Seen $x=+y"), slice_str(key) };
	struct lmtp_path to = { slice_str("fred \"x"), slice_str("x.org") };
	struct lmtp_target got;
	struct lmtp_command c;
	struct slice line;

	lmtp_put_rcpt(&out, &to, &t);
	line = arena_copy(&a, slice_first(buf_slice(&out), buf_len(&out) - 2));
	buf_clear(&out);
	lmtp_parse_command(&a, line, &c);
	ok(c.code == 0 && slice_equal(c.path.local, to.local) &&
	        slice_equal(c.path.domain, to.domain),
	    "the path");
	ok(lmtp_parse_target(&a, &c, &got) == NULL &&
	        slice_equal(got.mailbox, t.mailbox) &&
	        slice_equal(got.flags, t.flags) && slice_equal(got.key, t.key),
	    "the target");
	lmtp_put_rcpt(&out, &to, NULL);
	ok(wrote(&out, "RCPT TO:<\"fred \\\"x\"@x.org>\r\n"), "without one");
	lmtp_parse_command(&a, slice_str("RCPT TO:<a> XKEY=12"), &c);
	ok(lmtp_parse_target(&a, &c, &got) != NULL, "a short key");
	lmtp_parse_command(&a, slice_str("RCPT TO:<a> XMAILBOX=+4"), &c);
	ok(lmtp_parse_target(&a, &c, &got) != NULL, "no xtext");
	lmtp_parse_command(&a, slice_str("RCPT TO:<a> XFLAGS"), &c);
	ok(lmtp_parse_target(&a, &c, &got) != NULL, "no value");
}

/* The whole message of in, cut in two at at; -1: error, 0: no end yet. */
static int
undot(const char *in, size_t at)
{
	struct lmtp_undot d = { 0 };
	size_t have = at, from = 0, n = strlen(in);

	for (;;) {
		struct slice s;
		size_t taken;

		switch (lmtp_undot(&d, (const uint8_t *)in + from, have - from,
		    &s, &taken)) {
		case LMTP_DATA_ERROR:
			return -1;
		case LMTP_DATA_MORE:
			if (have == n)
				return 0;
			have = n;
			break;
		case LMTP_DATA_OCTETS:
			buf_put_slice(&out, s);
			from += taken;
			break;
		case LMTP_DATA_END:
			return from + taken == n ? 1 : 2;
		}
	}
}

static void
test_undot(void)
{
	static const struct {
		const char *in;
		int end;
		const char *want;
	} cases[] = {
		{ ".\r\n", 1, "" },
		{ "a\r\n.\r\n", 1, "a\r\n" },
		{ "a\r\n..\r\n.b\r\n.\r\n", 1, "a\r\n.\r\nb\r\n" },
		{ "a.\r\n.\r\nQUIT", 2, "a.\r\n" },
		{ "..\r\n.\r\n", 1, ".\r\n" },
		{ "\r\n\r\n.\r\n", 1, "\r\n\r\n" },
		{ "a\r\n.\r", 0, "a\r\n" },
		{ "a\n.\r\n", -1, NULL },
		{ "a\r\n.\n", -1, NULL },
		{ "a\r\n.\rx", -1, NULL },
		{ "a\rb\r\n.\r\n", -1, NULL },
	};
	struct lmtp_undot d = { 0 };
	struct slice s;
	size_t taken;

	for (size_t i = 0; i < NITEMS(cases); i++) {
		bool same = true;

		for (size_t at = 0; at <= strlen(cases[i].in); at++) {
			buf_clear(&out);
			same = same && undot(cases[i].in, at) == cases[i].end &&
			       (cases[i].want == NULL ||
			           slice_is(buf_slice(&out), cases[i].want));
		}
		ok(same, "data %zu, however cut", i);
	}
	ok(lmtp_undot(&d, (const uint8_t *)"a\0b\r\n", 5, &s, &taken) ==
	        LMTP_DATA_ERROR,
	    "a NUL");
	buf_clear(&out);
}

static void
test_dot(void)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "", ".\r\n" },
		{ "a\r\n", "a\r\n.\r\n" },
		{ "a", "a\r\n.\r\n" },
		{ ".\r\n..a\r\nb.c\r\n", "..\r\n...a\r\nb.c\r\n.\r\n" },
		{ "a\nb\rc\n\n.", "a\r\nb\r\nc\r\n\r\n..\r\n.\r\n" },
		{ "a\r", "a\r\n.\r\n" },
		{ "a\r.\r\n", "a\r\n..\r\n.\r\n" },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		bool same = true;
		size_t n = strlen(cases[i].in);

		for (size_t at = 0; at <= n; at++) {
			struct lmtp_dot d = { 0 };

			lmtp_dot(&d, &out, slice_of(cases[i].in, at));
			lmtp_dot(&d, &out, slice_of(cases[i].in + at, n - at));
			lmtp_dot_end(&d, &out);
			same = wrote(&out, cases[i].want) && same;
		}
		ok(same, "dotted %zu, however cut", i);
	}
}

static void
test_replies(void)
{
	static const char in[] = "250-x.org\r\n250 SIZE\r\n550 5.1.1 no\r\n";
	static const char *const bad[] = { "25\r\n", "199 x\r\n", "600 x\r\n",
		"250x\r\n", "250-a\r\n251 b\r\n", "abc x\r\n" };
	struct lmtp_replies r = { 0 };
	const uint8_t *p = (const uint8_t *)in;
	struct lmtp_reply reply;
	size_t taken;

	ok(lmtp_reply_next(&r, p, 11, &reply, &taken) == LMTP_REPLY_LINE &&
	        reply.code == 250 && slice_is(reply.text, "x.org"),
	    "one of several");
	ok(lmtp_reply_next(&r, p + 11, 9, &reply, &taken) == LMTP_REPLY_MORE,
	    "not yet");
	ok(lmtp_reply_next(&r, p + 11, 10, &reply, &taken) == LMTP_REPLY_LAST &&
	        slice_is(reply.text, "SIZE") && taken == 10,
	    "the last");
	ok(lmtp_reply_next(&r, p + 21, 14, &reply, &taken) == LMTP_REPLY_LAST &&
	        reply.code == 550 && slice_is(reply.enhanced, "5.1.1") &&
	        slice_is(reply.text, "no"),
	    "an enhanced code");
	for (size_t i = 0; i < NITEMS(bad); i++) {
		struct lmtp_replies b = { 0 };
		enum lmtp_reply_event ev;
		size_t off = 0;

		do {
			ev = lmtp_reply_next(&b, (const uint8_t *)bad[i] + off,
			    strlen(bad[i]) - off, &reply, &taken);
			off += taken;
		} while (ev == LMTP_REPLY_LINE);
		ok(ev == LMTP_REPLY_ERROR, "no reply: %zu", i);
	}
	lmtp_put_reply(&out, 250, "2.0.0", "a\nb");
	ok(wrote(&out, "250-2.0.0 a\r\n250 2.0.0 b\r\n"), "written");
	lmtp_put_reply(&out, 354, NULL, "go\r250");
	ok(wrote(&out, "354 go?250\r\n"), "and safe");
}

int
main(void)
{
	arena_init(&a);
	buf_init(&out, 1 << 16);
	test_lines();
	test_commands();
	test_auth();
	test_target();
	test_undot();
	test_dot();
	test_replies();
	buf_fini(&out);
	arena_reset(&a);
	return done_testing();
}
