/*
 * preview, summary: the first words of a message, and which thread it is of.
 */
#include <string.h>

#include "imap/preview.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/utf8.h"
#include "t/summary_of.h"
#include "t/tap.h"

static const struct {
	const char *message, *preview, *what;
} cases[] = {
	{ "\r\nPreview text!\r\n", "Preview text!", "plain" },
	{ "\r\n \t one\r\n\r\n  two\t\r\n", "one two", "spaces are made one" },
	{ "Subject: x\r\n\r\n", "", "no text" },
	{ "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n"
	  "\r\nSGVsbG8=\r\n",
	    "", "a picture" },
	{ "Content-Type: text/plain; charset=iso-8859-1\r\n"
	  "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	  "caf=E9 =\r\nau lait\r\n",
	    "caf\xc3\xa9 au lait", "decoded, and in UTF-8" },
	{ "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n"
	  "\r\nSGVsbG8gdGhlcmU=\r\n",
	    "Hello there", "base64" },
	{ "Content-Type: text/html\r\n\r\n"
	  "<html><head><title>no</title><style>p > a { x: \"</styl\" }</style>"
	  "</head><body bgcolor='>'><!-- no -- > no --><p>B<b>ol</b>d"
	  "<br/>A &amp; B &lt;&#x20AC;&#8364;&euro;&nbsp;&bogus; &z< i>x"
	  "<script>if (a < b) no();</script>&#0;&#xd800;end",
	    "Bold A & B <\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac &bogus; &z x "
	    "&#0;\xef\xbf\xbd"
	    "end",
	    "markup" },
	{ "Content-Type: multipart/alternative; boundary=b\r\n\r\n"
	  "--b\r\nContent-Type: text/html\r\n\r\n<p>html\r\n"
	  "--b\r\n\r\nplain\r\n--b--\r\n",
	    "plain", "text/plain first" },
	{ "Content-Type: multipart/alternative; boundary=b\r\n\r\n"
	  "--b\r\n\r\n \r\n"
	  "--b\r\nContent-Type: text/html\r\n\r\n<p>html\r\n--b--\r\n",
	    "html", "but not one without words" },
	{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	  "--b\r\nContent-Disposition: attachment\r\n\r\nno\r\n"
	  "--b\r\nContent-Disposition: inline\r\n\r\nyes\r\n--b--\r\n",
	    "yes", "no attachment" },
	{ "Content-Type: text/plain; charset=utf-8\r\n\r\n"
	  "a\xe2\x80\x8b\xc2\xad"
	  "b\xc2\xa0"
	  "c",
	    "ab c", "invisible characters" },
};

static void
test_previews(void)
{
	struct summary s;
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(cases); i++) {
		summary_of(&a, slice_str(cases[i].message), &s);
		is_str(arena_string(&a, s.preview), cases[i].preview,
		    cases[i].what);
	}
	arena_reset(&a);
}

static void
test_long(void)
{
	struct summary s;
	struct arena a;
	struct buf b;
	size_t n = 0;

	arena_init(&a);
	buf_init(&b, 1 << 22);
	buf_puts(&b, "Content-Type: text/plain; charset=utf-8\r\n\r\n");
	for (unsigned i = 0; i < 1000; i++)
		buf_puts(&b, i % 10 == 9 ? " " : "\xf0\x9f\x98\x80");
	summary_of(&a, buf_slice(&b), &s);
	ok(utf8_valid(s.preview), "long: whole characters");
	for (struct slice rest = s.preview; rest.len > 0; n++)
		(void)utf8_take(&rest);
	ok(n == PREVIEW_CHARS, "long: 200 of them");
	buf_clear(&b);
	buf_puts(&b, "Content-Type: text/html\r\n\r\n<");
	for (unsigned i = 0; i < 100000; i++)
		buf_puts(&b, "<!-- <a href='");
	summary_of(&a, buf_slice(&b), &s);
	ok(s.preview.len == 0, "long: nothing but markup");
	buf_fini(&b);
	arena_reset(&a);
}

static const uint8_t *
thread_of(struct arena *a, const char *header)
{
	struct summary *s = arena_alloc(a, sizeof(*s));

	summary_of(a, slice_str(arena_printf(a, "%s\r\n\r\nx\r\n", header)), s);
	return s->threadid;
}

static bool
same(struct arena *a, const char *one, const char *two)
{
	return memcmp(thread_of(a, one), thread_of(a, two), SUMMARY_THREADID) ==
	       0;
}

static void
test_threads(void)
{
	static const char first[] = "Message-ID: <1@x>\r\nSubject: a";
	struct arena a;

	arena_init(&a);
	ok(same(&a, first, "Message-ID: <2@x>\r\nIn-Reply-To: <1@x>"),
	    "an answer by In-Reply-To");
	ok(same(&a, first,
	       "Message-ID: <3@x>\r\nIn-Reply-To: <2@x>\r\n"
	       "References: <1@x>\r\n <2@x>"),
	    "an answer by References, which go before");
	ok(same(&a, first, "Message-ID: < 1@x>\r\nSubject: b"),
	    "spaces do not matter");
	ok(same(&a, first,
	       "Message-ID: <4@x>\r\nReferences: none\r\n"
	       "In-Reply-To: yours of <1@x>"),
	    "what has no id in it is not looked at");
	ok(!same(&a, first, "Message-ID: <2@x>\r\nSubject: a"), "another");
	ok(!same(&a, "Subject: a", "Subject: b"), "two without an id");
	ok(same(&a, "Subject: a\r\nX-A: 1", "Subject: a\r\nX-A: 2"),
	    "without an id the envelope counts");
	arena_reset(&a);
}

int
main(void)
{
	test_previews();
	test_long();
	test_threads();
	return done_testing();
}
