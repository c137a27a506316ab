/*
 * mime, bodystructure, envelope, section: a message's parts are where they
 * stand, and what is said of them agrees.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/bodystructure.h"
#include "imap/envelope.h"
#include "imap/mime.h"
#include "imap/parse.h"
#include "imap/section.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"

/* RFC 9051 has its example (and RFC 2046 5.1.1 the rules) for this. */
static const char mixed[] =
    "From: Fred <fred@example.org>\r\n"
    "Subject: all\r\n"
    "Content-Type: multipart/mixed; boundary=\"b1\"\r\n"
    "\r\n"
    "preamble\r\n"
    "--b1\r\n"
    "\r\n"
    "one\r\n"
    "two\r\n"
    "--b1 \t\r\n"
    "Content-Type: message/rfc822\r\n"
    "\r\n"
    "Subject: inner\r\n"
    "Content-Type: multipart/alternative; boundary=b2\r\n"
    "\r\n"
    "--b2\r\n"
    "Content-Type: TEXT/HTML; charset=utf-8\r\n"
    "Content-Disposition: inline; filename=\"a b\"\r\n"
    "Content-Language: en, de\r\n"
    "\r\n"
    "<p>\r\n"
    "--b2--\r\n"
    "epilogue of b2\r\n"
    "--b1\r\n"
    "Content-Type: image/png\r\n"
    "Content-Transfer-Encoding: base64\r\n"
    "Content-ID: <x@y>\r\n"
    "\r\n"
    "AAAA\r\n"
    "--b1--\r\n"
    "epilogue\r\n";

static const char single[] = "Subject: x\r\n\r\nbody\r\n";

static const char forwarded[] = "Content-Type: message/rfc822\r\n\r\n"
                                "Subject: in\r\n\r\ntext\r\n";

static struct mime
parse(struct arena *a, struct slice message)
{
	struct mime m;

	mime_parse(a, message, &mime_limits_default, &m);
	return m;
}

/* What BODY[...] gives; "NIL". */
static void
section_of(struct arena *a, const char *message, const char *text,
    struct buf *out)
{
	struct slice octets = slice_str(message);
	struct mime m = parse(a, octets);
	struct section_range r;
	struct section s;
	struct parse p;

	parse_init_text(&p, a, slice_str(text));
	section_parse(&p, &s);
	parse_end(&p);
	if (parse_error(&p) != NULL)
		buf_puts(out, "BAD");
	else if (!section_find(&s, &m, &r))
		buf_puts(out, "NIL");
	else if (s.nfields > 0)
		section_fields(out, &s,
		    slice_first(slice_skip(octets, r.at), r.len));
	else
		buf_put_slice(out,
		    slice_first(slice_skip(octets, r.at), r.len));
	buf_putc(out, '\0');
}

static const struct {
	const char *message, *section, *text;
} sections[] = {
	{ mixed, "[]", mixed },
	{ mixed, "[1]", "one\r\ntwo" },
	{ mixed, "[1.MIME]", "\r\n" },
	{ mixed, "[1.TEXT]", "NIL" },
	{ mixed, "[1.1]", "NIL" },
	{ mixed, "[2.HEADER]",
	    "Subject: inner\r\n"
	    "Content-Type: multipart/alternative; boundary=b2\r\n\r\n" },
	{ mixed, "[2.MIME]", "Content-Type: message/rfc822\r\n\r\n" },
	{ mixed, "[2.HEADER.FIELDS (subject)]", "Subject: inner\r\n\r\n" },
	{ mixed, "[2.1]", "<p>" },
	{ mixed, "[2.2]", "NIL" },
	{ mixed, "[2.1.MIME]",
	    "Content-Type: TEXT/HTML; charset=utf-8\r\n"
	    "Content-Disposition: inline; filename=\"a b\"\r\n"
	    "Content-Language: en, de\r\n\r\n" },
	{ mixed, "[3]", "AAAA" },
	{ mixed, "[4]", "NIL" },
	{ mixed, "[HEADER.FIELDS (SUBJECT X)]", "Subject: all\r\n\r\n" },
	{ mixed, "[HEADER.FIELDS.NOT (subject content-type)]",
	    "From: Fred <fred@example.org>\r\n\r\n" },
	{ "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
	  "--x\r\nA: b\r\n\r\n--x\r\nC: d\r\n--x--",
	    "[1.MIME]", "A: b\r\n\r\n" },
	{ "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
	  "--x\r\nA: b\r\n\r\n--x\r\nC: d\r\n--x--",
	    "[2.MIME]", "C: d\r\n" },
	{ single, "[]", single },
	{ single, "[HEADER]", "Subject: x\r\n\r\n" },
	{ single, "[TEXT]", "body\r\n" },
	{ single, "[1]", "body\r\n" },
	{ single, "[1.MIME]", "Subject: x\r\n\r\n" },
	{ single, "[1.1]", "NIL" },
	{ single, "[2]", "NIL" },
	{ single, "[1.HEADER]", "NIL" },
	{ forwarded, "[1]", "Subject: in\r\n\r\ntext\r\n" },
	{ forwarded, "[1.HEADER]", "Subject: in\r\n\r\n" },
	{ forwarded, "[1.TEXT]", "text\r\n" },
	{ forwarded, "[1.1]", "text\r\n" },
	{ forwarded, "[1.1.1]", "NIL" },
	{ single, "[MIME]", "BAD" },
	{ single, "[0]", "BAD" },
	{ single, "[1.]", "BAD" },
	{ single, "[HEADER.FIELDS]", "BAD" },
	{ single, "[HEADER.FIELDS ()]", "BAD" },
	{ single, "[NONSENSE]", "BAD" },
	{ single, "[TEXT", "BAD" },
};

static void
test_sections(void)
{
	struct arena a;
	struct buf b;

	arena_init(&a);
	buf_init(&b, 1 << 16);
	for (size_t i = 0; i < NITEMS(sections); i++) {
		section_of(&a, sections[i].message, sections[i].section, &b);
		is_str((const char *)buf_data(&b), sections[i].text,
		    sections[i].section);
		buf_clear(&b);
	}
	buf_fini(&b);
	arena_reset(&a);
}

static const struct {
	const char *message, *text;
	bool extended;
} structures[] = {
	{ single,
	    "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL \"7BIT\" "
	    "6 1)",
	    false },
	{ single,
	    "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL \"7BIT\" "
	    "6 1 NIL NIL NIL NIL)",
	    true },
	{ mixed,
	    "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL "
	    "\"7BIT\" 8 1)(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 214 "
	    "(NIL \"inner\" NIL NIL NIL NIL NIL NIL NIL NIL) "
	    "((\"TEXT\" \"HTML\" (\"CHARSET\" \"utf-8\") NIL NIL \"7BIT\" 3 "
	    "0) \"ALTERNATIVE\") 10)(\"IMAGE\" \"PNG\" NIL \"<x@y>\" NIL "
	    "\"BASE64\" 4) \"MIXED\")",
	    false },
	{ mixed,
	    "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL "
	    "\"7BIT\" 8 1 NIL NIL NIL NIL)(\"MESSAGE\" \"RFC822\" NIL NIL "
	    "NIL \"7BIT\" 214 "
	    "(NIL \"inner\" NIL NIL NIL NIL NIL NIL NIL NIL) "
	    "((\"TEXT\" \"HTML\" (\"CHARSET\" \"utf-8\") NIL NIL \"7BIT\" 3 "
	    "0 NIL (\"INLINE\" (\"FILENAME\" \"a b\")) (\"EN\" \"DE\") NIL) "
	    "\"ALTERNATIVE\" (\"BOUNDARY\" \"b2\") NIL NIL NIL) 10 NIL NIL "
	    "NIL NIL)(\"IMAGE\" \"PNG\" NIL \"<x@y>\" NIL "
	    "\"BASE64\" 4 NIL NIL NIL NIL) \"MIXED\" (\"BOUNDARY\" \"b1\") "
	    "NIL NIL NIL)",
	    true },
	/* no parts, no boundary, an encoded message: shown as one piece */
	{ "Content-Type: multipart/mixed; boundary=x\r\n\r\nhello\r\n",
	    "(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 7 1)", false },
	{ "Content-Type: multipart/mixed\r\n\r\n--\r\n\r\nhello\r\n",
	    "(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 13 3)", false },
	{ "Content-Type: message/rfc822\r\n"
	  "Content-Transfer-Encoding: base64\r\n\r\nAAAA",
	    "(\"APPLICATION\" \"OCTET-STREAM\" NIL NIL NIL \"BASE64\" 4)",
	    false },
	/* the last line end before a boundary is the boundary's */
	{ "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n--x--",
	    "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL "
	    "\"7BIT\" 0 0) \"MIXED\")",
	    false },
	{ "Content-Type: multipart/mixed; boundary=x\n\n--x\n\na\n\n--x--",
	    "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL "
	    "\"7BIT\" 2 1) \"MIXED\")",
	    false },
	/* RFC 2046 5.1.5 */
	{ "Content-Type: multipart/digest; boundary=x\r\n\r\n"
	  "--x\r\n\r\nSubject: a\r\n\r\nb\r\n--x--",
	    "((\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 15 "
	    "(NIL \"a\" NIL NIL NIL NIL NIL NIL NIL NIL) "
	    "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL "
	    "\"7BIT\" 1 0) 2) \"DIGEST\")",
	    false },
	/* an outer boundary ends the inner; a header may end at one */
	{ "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n"
	  "Content-Type: multipart/mixed; boundary=xy\r\n\r\n--xy\r\n"
	  "Content-Type: text/css\r\n--x\r\n\r\nz\r\n--x--",
	    "(((\"TEXT\" \"CSS\" NIL NIL NIL \"7BIT\" 0 0) \"MIXED\")"
	    "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL "
	    "\"7BIT\" 1 0) \"MIXED\")",
	    false },
	{ "Content-Type: multipart/mixed; boundary*=us-ascii''x\r\n\r\n"
	  "--x\r\n\r\na\r\n--x--",
	    "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL "
	    "\"7BIT\" 1 0) \"MIXED\")",
	    false },
	{ "Content-Type: a/b; c; d=e; f\r\n\r\n",
	    "(\"A\" \"B\" (\"D\" \"e\") NIL NIL \"7BIT\" 0)", false },
	{ "Content-Type: text\r\n\r\n",
	    "(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)", false },
	{ "Content-Type: a/b (c); d=\"e\\\"f\" ; g=h (i); filename*0*=x''y\r\n"
	  "\r\n",
	    "(\"A\" \"B\" (\"D\" \"e\\\"f\" \"G\" \"h\" \"FILENAME*0*\" "
	    "\"x''y\") NIL NIL \"7BIT\" 0)",
	    false },
};

static void
test_structures(void)
{
	struct buf extended, basic, *b;
	struct arena a;

	arena_init(&a);
	buf_init(&extended, 1 << 16);
	buf_init(&basic, 1 << 16);
	for (size_t i = 0; i < NITEMS(structures); i++) {
		struct slice message = slice_str(structures[i].message);
		struct mime m = parse(&a, message);

		bodystructure_write(&extended, &basic, &a, message, &m);
		b = structures[i].extended ? &extended : &basic;
		buf_putc(b, '\0');
		is_str((const char *)buf_data(b), structures[i].text,
		    "structure");
		buf_clear(&extended);
		buf_clear(&basic);
	}
	buf_fini(&extended);
	buf_fini(&basic);
	arena_reset(&a);
}

static const struct {
	const char *header, *text;
} envelopes[] = {
	{ "", "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)" },
	/* RFC 9051 8's */
	{ "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n"
	  "From: Terry Gray <gray@cac.washington.edu>\r\n"
	  "Subject: IMAP4rev2 WG mtg summary and minutes\r\n"
	  "To: imap@cac.washington.edu\r\n"
	  "cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
	  "Message-Id: <B27397-0100000@cac.washington.edu>\r\n",
	    "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" "
	    "\"IMAP4rev2 WG mtg summary and minutes\" "
	    "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	    "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	    "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	    "((NIL NIL \"imap\" \"cac.washington.edu\")) "
	    "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")"
	    "(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL "
	    "\"<B27397-0100000@cac.washington.edu>\")" },
	{ "To: g: a@b;, root\r\nSender: \r\nSubject:\r\n",
	    "(NIL \"\" NIL NIL NIL ((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")"
	    "(NIL NIL NIL NIL)(NIL NIL \"root\" \"\")) NIL NIL NIL NIL)" },
	{ "Subject: a\r\n\tb \"c\"\r\n",
	    "(NIL \"a\tb \\\"c\\\"\" NIL NIL NIL NIL NIL NIL NIL NIL)" },
	{ "Subject: J\xc3\xb6\r\n",
	    "(NIL {3}\r\nJ\xc3\xb6 NIL NIL NIL NIL NIL NIL NIL NIL)" },
};

static void
put_envelope(struct buf *b, struct arena *a, struct slice header)
{
	struct envelope e;

	envelope_find(&e, header);
	envelope_write(b, a, &e);
}

static void
test_envelopes(void)
{
	static const char nul[] = "Subject: a\0b\r\n";
	struct arena a;
	struct buf b;

	arena_init(&a);
	buf_init(&b, 1 << 16);
	for (size_t i = 0; i < NITEMS(envelopes); i++) {
		put_envelope(&b, &a, slice_str(envelopes[i].header));
		buf_putc(&b, '\0');
		is_str((const char *)buf_data(&b), envelopes[i].text,
		    "envelope");
		buf_clear(&b);
	}
	put_envelope(&b, &a, slice_of(nul, sizeof(nul) - 1));
	ok(slice_starts(buf_slice(&b), slice_str("(NIL \"ab\" ")), "no NULs");
	buf_fini(&b);
	arena_reset(&a);
}

/* Parts lie in their parents, in order, and what is said of lines is so. */
static bool
is_sound(const struct mime *m, struct slice message)
{
	for (unsigned i = 0; i < m->count; i++) {
		const struct mime_part *p = &m->parts[i];
		struct slice body;
		uint32_t lines = 0;

		if (p->header_at + p->header_len != p->body_at ||
		    p->body_at > message.len ||
		    p->body_len > message.len - p->body_at)
			return false;
		body = mime_body(p, message);
		for (size_t k = 0; k < body.len; k++)
			lines += body.ptr[k] == '\n';
		if (lines != p->body_lines)
			return false;
		if (i > 0) {
			const struct mime_part *up = &m->parts[p->parent];

			if (p->header_at < up->body_at ||
			    p->body_at + p->body_len >
			        up->body_at + up->body_len ||
			    p->depth != up->depth + 1)
				return false;
		}
	}
	return true;
}

/* Wherever a message is cut off, what is left has sound parts. */
static void
test_cut_off(void)
{
	bool sound = true;
	struct arena a;

	arena_init(&a);
	for (size_t n = 0; n < sizeof(mixed); n++) {
		struct slice message = slice_of(mixed, n);
		struct mime m = parse(&a, message);

		sound &= is_sound(&m, message);
		arena_reset(&a);
	}
	ok(sound, "cut off anywhere");
}

/* n times s, with the number in it if there is a %. */
static void
repeat(struct buf *b, const char *s, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		for (const char *c = s; *c != '\0'; c++)
			if (*c == '%')
				buf_put_number(b, i);
			else
				buf_putc(b, (uint8_t)*c);
}

static void
test_hostile(void)
{
	static const struct {
		const char *what, *text;
		unsigned times;
		bool cut;
	} cases[] = {
		{ "100,000 multiparts deep",
		    "Content-Type: multipart/mixed; boundary=b%\n\n--b%\n",
		    100000, true },
		{ "100,000 messages deep", "Content-Type: message/rfc822\n\n",
		    100000, true },
		{ "one boundary for all",
		    "Content-Type: multipart/mixed; boundary=x\n\n--x\n",
		    100000, true },
		{ "a million fields", "A: b\n", 1000000, false },
		{ "a million boundaries, none ours", "--x\n", 1000000, false },
		{ "one long line", "--------", 1000000, false },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct arena a;
		struct mime m;
		struct buf b, out, basic;

		arena_init(&a);
		buf_init(&b, 1 << 26);
		buf_init(&out, 1 << 26);
		buf_init(&basic, 1 << 26);
		repeat(&b, cases[i].text, cases[i].times);
		m = parse(&a, buf_slice(&b));
		ok(m.cut == cases[i].cut && m.count <= 4000 &&
		        is_sound(&m, buf_slice(&b)) &&
		        arena_used(&a) < 4 * buf_len(&b),
		    "%s: %u parts", cases[i].what, m.count);
		bodystructure_write(&out, &basic, &a, buf_slice(&b), &m);
		ok(!buf_failed(&out) && buf_len(&out) < 1 << 20, "written");
		arena_reset(&a);
		buf_fini(&b);
		buf_fini(&out);
		buf_fini(&basic);
	}
}

static void
test_many_parts(void)
{
	static const char head[] =
	    "Content-Type: multipart/mixed; boundary=x\n\n";
	static const struct mime_limits few = { .depth = 2, .parts = 10 };
	struct arena a;
	struct mime m;
	struct buf b;

	arena_init(&a);
	buf_init(&b, 1 << 26);
	buf_puts(&b, head);
	repeat(&b, "--x\n\na\n", 100000);
	m = parse(&a, buf_slice(&b));
	ok(m.count == 4000 && m.cut && is_sound(&m, buf_slice(&b)),
	    "as many parts as the limit says");
	mime_parse(&a, buf_slice(&b), &few, &m);
	ok(m.count == 10 && m.cut, "...whatever it says");
	arena_reset(&a);
	buf_fini(&b);
}

int
main(void)
{
	test_sections();
	test_structures();
	test_envelopes();
	test_cut_off();
	test_hostile();
	test_many_parts();
	return done_testing();
}
