/*
 * binary, imapurl: NULs leave a message and nothing else does; addresses.
 */
#include <string.h>

#include "imap/binary.h"
#include "imap/imapurl.h"
#include "imap/mime.h"
#include "lib/arena.h"
#include "lib/base64.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/must.h"
#include "t/tap.h"

#define S(text) slice_of(text, sizeof(text) - 1)

static void
make(struct arena *a, struct slice message, struct buf *out)
{
	const struct binary_piece *p;
	struct mime m;
	size_t n;

	mime_parse(a, message, &mime_limits_default, &m);
	p = binary_pieces(a, message, &m, &n);
	for (size_t i = 0; i < n; i++) {
		if (p[i].kind == BINARY_AS_IS) {
			buf_put_slice(out, p[i].octets);
			continue;
		}
		base64_encode(out, p[i].octets);
		buf_puts(out, "\r\n");
	}
}

static void
test_binary(void)
{
	static const char plain[] = "Subject: x\r\n\r\nno NUL\r\n";
	static const char one[] =
	    "Content-Transfer-Encoding: binary\r\nSubject: x\r\n\r\na\0b";
	static const char unsaid[] = "Subject: x\r\n\r\na\0b";
	static const char nested[] =
	    "Content-Type: multipart/mixed; boundary=b\r\n"
	    "Content-Transfer-Encoding: Binary\r\n\r\n"
	    "--b\r\nContent-Transfer-Encoding: binary\r\n\r\nas it is\r\n"
	    "--b\r\nContent-Type: message/rfc822\r\n"
	    "Content-Transfer-Encoding: binary\r\n\r\n"
	    "Subject: in\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\r\n"
	    "--b--\r\n";
	static const char nested_out[] =
	    "Content-Type: multipart/mixed; boundary=b\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\n"
	    "--b\r\nContent-Transfer-Encoding: binary\r\n\r\nas it is\r\n"
	    "--b\r\nContent-Type: message/rfc822\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\n"
	    "Subject: in\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	    "AA==\r\n\r\n--b--\r\n";
	const struct {
		struct slice in, out;
		const char *what;
	} cases[] = {
		{ S(plain), S(plain), "without a NUL it stays" },
		{ S(one),
		    S("Content-Transfer-Encoding: base64\r\n"
		      "Subject: x\r\n\r\nYQBi\r\n"),
		    "a body" },
		{ S(unsaid),
		    S("Content-Transfer-Encoding: base64\r\n"
		      "Subject: x\r\n\r\nYQBi\r\n"),
		    "one that did not say so" },
		{ S(nested), S(nested_out), "a part, and what it is in" },
		{ S("A: \0\r\n\r\nx"), S("A: \0\r\n\r\nx"),
		    "a header's stays" },
	};
	struct arena a;
	struct buf b;

	arena_init(&a);
	buf_init(&b, 1 << 16);
	for (size_t i = 0; i < NITEMS(cases); i++) {
		buf_clear(&b);
		make(&a, cases[i].in, &b);
		ok(slice_equal(buf_slice(&b), cases[i].out), "%s",
		    cases[i].what);
	}
	buf_fini(&b);
	arena_reset(&a);
}

static void
test_urls(void)
{
	static const struct {
		const char *url, *mailbox; /* NULL: refused */
		uint32_t uidvalidity, uid;
		unsigned npath;
		enum section_text text;
		uint64_t offset, count;
	} cases[] = {
		{ "/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER",
		    "Drafts", 385759045, 20, 0, SECTION_HEADER, 0, 0 },
		{ "/Drafts/;uid=20/;Section=2.MIME", "Drafts", 0, 20, 1,
		    SECTION_MIME, 0, 0 },
		{ "/a/b/;UID=1/;SECTION=1.2/;PARTIAL=10.20", "a/b", 0, 1, 2,
		    SECTION_ALL, 10, 20 },
		{ "/a/;UID=1/;PARTIAL=7", "a", 0, 1, 0, SECTION_ALL, 7, 0 },
		{ ";UID=3", "", 0, 3, 0, SECTION_ALL, 0, 0 },
		{ "/caf%C3%A9/;UID=1", "caf&AOk-", 0, 1, 0, SECTION_ALL, 0, 0 },
		{ "/a%26b%3B/;UID=1", "a&-b;", 0, 1, 0, SECTION_ALL, 0, 0 },
		{ .url = "" },
		{ .url = "/" },
		{ .url = "/a" },
		{ .url = "//a/;UID=1" },
		{ .url = "a/;UID=1" },
		{ .url = "imap://h/a/;UID=1" },
		{ .url = "/;UID=1" },
		{ .url = "/a/;UID=" },
		{ .url = "/a/;UID=0" },
		{ .url = "/a/;UID=1x" },
		{ .url = "/a/;UID=1/" },
		{ .url = "/a/;UID=1/;SECTION=" },
		{ .url = "/a/;UID=1/;SECTION=1]" },
		{ .url = "/a/;UID=1/;SECTION=NONE" },
		{ .url = "/a/;UID=1/;PARTIAL=" },
		{ .url = "/a/;UID=1/;PARTIAL=1.0" },
		{ .url = "/a/;UID=1/;PARTIAL=1.2/;SECTION=1" },
		{ .url = "/a/;UID=1;URLAUTH=anonymous" },
		{ .url = "/a;x/;UID=1" },
		{ .url = "/a;UIDVALIDITY=/;UID=1" },
		{ .url = "/%/;UID=1" },
		{ .url = "/%0/;UID=1" },
		{ .url = "/%00/;UID=1" },
		{ .url = "/%ff/;UID=1" },
	};
	struct imapurl u;
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(cases); i++) {
		const char *why =
		    imapurl_parse(&a, slice_str(cases[i].url), &u);

		if (cases[i].mailbox == NULL) {
			ok(why != NULL, "refused: %s", cases[i].url);
			continue;
		}
		ok(why == NULL && slice_is(u.mailbox, cases[i].mailbox) &&
		        u.uidvalidity == cases[i].uidvalidity &&
		        u.uid == cases[i].uid &&
		        u.section.npath == cases[i].npath &&
		        u.section.text == cases[i].text &&
		        u.offset == cases[i].offset &&
		        u.count == cases[i].count,
		    "%s", cases[i].url);
	}
	arena_reset(&a);
}

int
main(void)
{
	test_binary();
	test_urls();
	return done_testing();
}
