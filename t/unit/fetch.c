/*
 * fetch, summary: what is asked is answered, from a summary or from the
 * message alike.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/fetch.h"
#include "imap/parse.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/summary_of.h"
#include "t/tap.h"

static const char message[] = "From: Fred <fred@example.org>\r\n"
                              "Subject: hello\r\n"
                              "X-Strange: yes\r\n"
                              "Date: Wed, 17 Jul 1996 02:23:25 -0700\r\n"
                              "\r\n"
                              "one\r\ntwo\r\n";

/* The whole of a plan, as the client gets it. */
static void
put_plan(struct buf *out, const struct fetch_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct fetch_piece *pc = &plan->pieces[i];

		if (pc->text.ptr != NULL)
			buf_put_slice(out, pc->text);
		else
			buf_put(out, message + pc->range.at, pc->range.len);
	}
}

static void
fetch_to(struct arena *a, const char *items, struct buf *out)
{
	struct fetch_facts facts = { .seq = 7,
		.uid = 4827,
		.modseq = 12,
		.size_octets = sizeof(message) - 1,
		.internal_seconds = 837596665,
		.internal_zone = -420,
		.flags = slice_str("\\Seen $x"),
		.emailid = slice_str("M1") };
	struct fetch_plan plan;
	struct summary s;
	struct fetch f;
	struct parse p;
	const char *error;

	parse_init_text(&p, a, slice_str(items));
	error = fetch_parse(&p, &f);
	if (error != NULL) {
		buf_puts(out, "BAD");
		return;
	}
	summary_of(a, slice_str(message), &s);
	if (fetch_needs(&f) & FETCH_SUMMARY) {
		facts.summary = &s;
		facts.header_range = fetch_header_needed(&f, &facts);
		if (facts.header_range.len > 0)
			facts.header = slice_of(message + facts.header_range.at,
			    facts.header_range.len);
	}
	fetch_plan(&f, a, &facts, &plan);
	put_plan(out, &plan);
	if (buf_len(out) != plan.total)
		buf_puts(out, "(the total is wrong)");
}

static const struct {
	const char *items, *response;
} cases[] = {
	{ "FLAGS", "FLAGS (\\Seen $x)" },
	{ "(UID FLAGS uid)", "UID 4827 FLAGS (\\Seen $x)" },
	{ "FAST",
	    "FLAGS (\\Seen $x) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" "
	    "RFC822.SIZE 114" },
	{ "MODSEQ", "MODSEQ (12)" },
	{ "(EMAILID THREADID SAVEDATE)",
	    "EMAILID (M1) THREADID NIL SAVEDATE NIL" },
	{ "PREVIEW", "PREVIEW \"one two\"" },
	{ "(RFC822.SIZE PREVIEW (LAZY))", "RFC822.SIZE 114 PREVIEW NIL" },
	{ "(PREVIEW (LAZY LAZY) preview UID)", "PREVIEW \"one two\" UID 4827" },
	{ "PREVIEW (LAZY)", "PREVIEW NIL" }, /* not at hand in this test */
	{ "PREVIEW (EAGER)", NULL },
	{ "PREVIEW (LAZY", NULL },
	{ "PREVIEW (LAZY) (CHANGEDSINCE 1)", "PREVIEW NIL MODSEQ (12)" },
	{ "ENVELOPE", "ENVELOPE (\"Wed, 17 Jul 1996 02:23:25 -0700\" \"hello\" "
	              "((\"Fred\" NIL \"fred\" \"example.org\")) "
	              "((\"Fred\" NIL \"fred\" \"example.org\")) "
	              "((\"Fred\" NIL \"fred\" \"example.org\")) "
	              "NIL NIL NIL NIL NIL)" },
	{ "BODY", "BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL "
	          "\"7BIT\" 10 2)" },
	{ "BODY.PEEK[TEXT]", "BODY[TEXT] {10}\r\none\r\ntwo\r\n" },
	{ "BODY[TEXT]<1.3>", "BODY[TEXT]<1> {3}\r\nne\r" },
	{ "BODY[TEXT]<9.100>", "BODY[TEXT]<9> {1}\r\n\n" },
	{ "BODY[TEXT]<90.1>", "BODY[TEXT]<90> {0}\r\n" },
	{ "(BINARY.PEEK[1] BINARY.SIZE[1])",
	    "BINARY[1] {10}\r\none\r\ntwo\r\n BINARY.SIZE[1] 10" },
	{ "BINARY[1]<2.4>", "BINARY[1]<2> {4}\r\ne\r\nt" },
	{ "(BINARY[2] BINARY.SIZE[2])", "BINARY[2] NIL BINARY.SIZE[2] 0" },
	{ "BINARY.SIZE[]", "BINARY.SIZE[] 114" },
	{ "BINARY[]<0.4>", "BINARY[]<0> {4}\r\nFrom" },
	{ "BINARY[HEADER]", NULL },
	{ "BINARY[1.MIME]", NULL },
	{ "BINARY.SIZE[1]<0.4>", NULL },
	{ "BINARY", NULL },
	{ "body[3]", "BODY[3] NIL" },
	{ "(BODY[1]<0.4294967295> RFC822.TEXT)",
	    "BODY[1]<0> {10}\r\none\r\ntwo\r\n "
	    "RFC822.TEXT {10}\r\none\r\ntwo\r\n" },
	{ "BODY[HEADER.FIELDS (subject from)]",
	    "BODY[HEADER.FIELDS (subject from)] {49}\r\n"
	    "From: Fred <fred@example.org>\r\nSubject: hello\r\n\r\n" },
	{ "BODY[HEADER.FIELDS (subject)]<2.6>",
	    "BODY[HEADER.FIELDS (subject)]<2> {6}\r\nbject:" },
	{ "BODY[HEADER.FIELDS (x-strange subject)]",
	    "BODY[HEADER.FIELDS (x-strange subject)] {34}\r\n"
	    "Subject: hello\r\nX-Strange: yes\r\n\r\n" },
	{ "BODY[HEADER.FIELDS.NOT (subject from date)]",
	    "BODY[HEADER.FIELDS.NOT (subject from date)] {18}\r\n"
	    "X-Strange: yes\r\n\r\n" },
	{ "BODY[HEADER.FIELDS (none)]",
	    "BODY[HEADER.FIELDS (none)] {2}\r\n\r\n" },
	{ "BODY[HEADER.FIELDS (none)]<9.9>",
	    "BODY[HEADER.FIELDS (none)]<9> {0}\r\n" },
	{ "", NULL },
	{ "()", NULL },
	{ "(FLAGS", NULL },
	{ "FLAGS UID", NULL },
	{ "(FLAGS  UID)", NULL },
	{ "(ALL)", NULL },
	{ "NONSENSE", NULL },
	{ "BODY[", NULL },
	{ "BODY[TEXT]<1>", NULL },
	{ "BODY[TEXT]<1.0>", NULL },
	{ "FLAGS (NONSENSE)", NULL },
	{ "FLAGS (VANISHED)", NULL },
};

static void
test_responses(void)
{
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct buf got, want;

		buf_init(&got, 1 << 16);
		buf_init(&want, 1 << 16);
		if (cases[i].response != NULL)
			buf_printf(&want, "* 7 FETCH (%s)\r\n",
			    cases[i].response);
		else
			buf_puts(&want, "BAD");
		fetch_to(&a, cases[i].items, &got);
		buf_putc(&got, '\0');
		buf_putc(&want, '\0');
		is_str((const char *)buf_data(&got),
		    (const char *)buf_data(&want), cases[i].items);
		buf_fini(&got);
		buf_fini(&want);
	}
	arena_reset(&a);
}

static void
test_whole(void)
{
	struct buf got, want;
	struct arena a;

	arena_init(&a);
	buf_init(&got, 1 << 16);
	buf_init(&want, 1 << 16);
	fetch_to(&a, "(RFC822 BODY.PEEK[] UID)", &got);
	buf_printf(&want,
	    "* 7 FETCH (RFC822 {%zu}\r\n%s BODY[] {%zu}\r\n%s UID 4827)\r\n",
	    sizeof(message) - 1, message, sizeof(message) - 1, message);
	ok(slice_equal(buf_slice(&got), buf_slice(&want)), "octet for octet");
	buf_fini(&got);
	buf_fini(&want);
	arena_reset(&a);
}

static void
test_asked(void)
{
	static const struct {
		const char *items;
		bool seen;
		unsigned needs;
	} asks[] = {
		{ "(FLAGS UID RFC822.SIZE)", false, 0 },
		{ "BODY[]", true, FETCH_OCTETS },
		{ "BODY.PEEK[]", false, FETCH_OCTETS },
		{ "BODY.PEEK[1]", false, FETCH_OCTETS | FETCH_SUMMARY },
		{ "BODY.PEEK[HEADER.FIELDS (DATE)]", false, FETCH_SUMMARY },
		{ "ALL", false, FETCH_SUMMARY },
		{ "PREVIEW", false, FETCH_SUMMARY },
		{ "PREVIEW (LAZY)", false, FETCH_LAZY },
		{ "(PREVIEW (LAZY) PREVIEW)", false, FETCH_SUMMARY },
		{ "(PREVIEW PREVIEW (LAZY))", false, FETCH_SUMMARY },
		{ "THREADID", false, FETCH_SUMMARY },
		{ "BINARY[1]", true,
		    FETCH_SUMMARY | FETCH_OCTETS | FETCH_DECODED },
		{ "BINARY.PEEK[]", false, FETCH_OCTETS },
		{ "BINARY.SIZE[1]", false, FETCH_SUMMARY | FETCH_DECODED },
		{ "RFC822", true, FETCH_OCTETS },
		{ "Rfc822.peek", false, FETCH_OCTETS },
		{ "RFC822.HEADER", false, FETCH_OCTETS | FETCH_SUMMARY },
	};
	struct fetch f;
	struct parse p;
	struct arena a;

	arena_init(&a);
	for (size_t i = 0; i < NITEMS(asks); i++) {
		parse_init_text(&p, &a, slice_str(asks[i].items));
		ok(fetch_parse(&p, &f) == NULL && f.sets_seen == asks[i].seen &&
		        fetch_needs(&f) == asks[i].needs,
		    "%s", asks[i].items);
	}
	parse_init_text(&p, &a,
	    slice_str("FLAGS (CHANGEDSINCE 12345 VANISHED)"));
	ok(fetch_parse(&p, &f) == NULL && f.changed_since && f.vanished &&
	        f.changed_modseq == 12345 && f.count == 2,
	    "CHANGEDSINCE asks for MODSEQ");
	parse_init_text(&p, &a,
	    slice_str("(UID FLAGS) (PARTIAL -1:-30 CHANGEDSINCE 98305)"));
	ok(fetch_parse(&p, &f) == NULL && f.changed_since &&
	        f.window.first == 1 && f.window.last == 30 && f.window.from_end,
	    "PARTIAL, from the end");
	parse_init_text(&p, &a,
	    slice_str("FLAGS (CHANGEDSINCE 98305 PARTIAL 1:5)"));
	ok(fetch_parse(&p, &f) == NULL && f.changed_since &&
	        f.window.last == 5 && !f.window.from_end,
	    "PARTIAL, the other way round");
	fetch_want_uid(&f);
	ok(f.count == 3 && f.items[0].kind == FETCH_UID &&
	        f.items[1].kind == FETCH_FLAGS,
	    "UID comes first");
	fetch_want_uid(&f);
	ok(f.count == 3, "and once");
	arena_reset(&a);
}

static void
test_too_much(void)
{
	struct buf b;
	struct fetch f;
	struct parse p;
	struct arena a;

	arena_init(&a);
	buf_init(&b, 1 << 20);
	buf_puts(&b, "(FLAGS");
	for (unsigned i = 0; i < 1000; i++)
		buf_puts(&b, " BODY[1]");
	buf_puts(&b, ")");
	parse_init_text(&p, &a, buf_slice(&b));
	ok(fetch_parse(&p, &f) != NULL, "too many sections");
	buf_clear(&b);
	buf_puts(&b, "BODY[1");
	for (unsigned i = 0; i < 1000; i++)
		buf_puts(&b, ".1");
	buf_puts(&b, "]");
	parse_init_text(&p, &a, buf_slice(&b));
	ok(fetch_parse(&p, &f) != NULL, "too deep a section");
	buf_fini(&b);
	arena_reset(&a);
}

static bool
is_same(const struct summary *a, const struct summary *b)
{
	bool same =
	    slice_equal(a->envelope, b->envelope) &&
	    slice_equal(a->body, b->body) &&
	    slice_equal(a->bodystructure, b->bodystructure) &&
	    slice_equal(a->headers, b->headers) &&
	    a->headers_cut == b->headers_cut && a->sent == b->sent &&
	    a->sent_day == b->sent_day && a->sent_known == b->sent_known &&
	    slice_equal(a->preview, b->preview) &&
	    memcmp(a->threadid, b->threadid, sizeof(a->threadid)) == 0 &&
	    a->mime.count == b->mime.count && a->mime.cut == b->mime.cut;

	for (unsigned i = 0; same && i < a->mime.count; i++) {
		const struct mime_part *p = &a->mime.parts[i];
		const struct mime_part *q = &b->mime.parts[i];

		same = p->header_at == q->header_at &&
		       p->header_len == q->header_len &&
		       p->body_at == q->body_at && p->body_len == q->body_len &&
		       p->body_lines == q->body_lines &&
		       p->parent == q->parent && p->child == q->child &&
		       p->next == q->next && p->depth == q->depth &&
		       p->kind == q->kind && p->fallback == q->fallback &&
		       p->encoding == q->encoding;
	}
	return same;
}

/* A record with one octet changed is refused, or its links end. */
static void
test_damaged(struct arena *a, struct buf *b)
{
	bool sound = true;

	for (size_t i = 0; i < buf_len(b); i++) {
		uint8_t *octet = (uint8_t *)(uintptr_t)buf_data(b) + i;
		uint8_t was = *octet;
		struct summary t;

		for (unsigned v = 0; v < 256; v++) {
			*octet = (uint8_t)v;
			if (summary_decode(a, buf_slice(b), &t) == -1)
				continue;
			for (unsigned k = 0; k < t.mime.count; k++)
				sound &= t.mime.parts[k].child > k &&
				         t.mime.parts[k].next > k;
		}
		*octet = was;
	}
	ok(sound, "links lead forwards");
}

static void
test_summary(void)
{
	static const char nested[] =
	    "Content-Type: multipart/digest; boundary=x\r\n"
	    "Date:\r\n Thu, 1 Jan 1970 23:30:00 -0100\r\n\r\n"
	    "--x\r\n\r\nSubject: a\r\n\r\nb\r\n--x\r\n\r\nTo: c\r\n\r\n--x--";
	struct summary s, t;
	struct arena a;
	struct buf b;
	bool refused = true;

	arena_init(&a);
	buf_init(&b, SUMMARY_MAX);
	summary_of(&a, slice_str(nested), &s);
	ok(s.sent_known && s.sent == 88200 && s.sent_day == 0, "Date");
	summary_encode(&b, &s);
	ok(summary_decode(&a, buf_slice(&b), &t) == 0 && is_same(&s, &t),
	    "decode(encode(s)) is s");
	ok(summary_fits(&t, sizeof(nested) - 1) && !summary_fits(&t, 100),
	    "fits its message");
	for (size_t n = 0; n < buf_len(&b); n++)
		refused &=
		    summary_decode(&a, slice_first(buf_slice(&b), n), &t) == -1;
	ok(refused, "no part of a record is a record");
	test_damaged(&a, &b);
	buf_fini(&b);
	arena_reset(&a);
}

/* A structure too long for anybody is that of a message not opened. */
static void
test_summary_limits(void)
{
	struct fetch_facts facts = { 0 };
	struct summary_room *room;
	struct summary s;
	struct fetch f;
	struct parse p;
	struct arena a;
	struct buf b, out;

	arena_init(&a);
	buf_init(&b, 1 << 26);
	buf_init(&out, SUMMARY_MAX);
	buf_puts(&b, "Content-Type: multipart/mixed; boundary=x\r\n");
	for (unsigned i = 0; i < 10000; i++)
		buf_puts(&b, "To: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b\r\n");
	buf_puts(&b, "\r\n");
	for (unsigned i = 0; i < 3000; i++) {
		buf_puts(&b, "--x\r\nContent-ID: ");
		for (unsigned k = 0; k < 100; k++)
			buf_puts(&b, "aaaaaaaaaaaaaaaa");
		buf_puts(&b, "\r\n\r\n");
	}
	room = summary_room_new();
	summary_make(room, &a, buf_slice(&b), &s);
	summary_encode(&out, &s);
	ok(!buf_failed(&out) && s.mime.count == 1 && s.mime.cut &&
	        s.headers_cut,
	    "limits");
	facts.summary = &s;
	facts.size_octets = buf_len(&b);
	parse_init_text(&p, &a, slice_str("BODY[HEADER.FIELDS (To)]"));
	ok(fetch_parse(&p, &f) == NULL &&
	        fetch_header_needed(&f, &facts).len == FETCH_HEADER_MAX,
	    "fields that were not all kept are read");
	summary_of(&a, slice_str(message), &s);
	for (unsigned i = 0; i < 2; i++) {
		struct summary again;

		summary_make(room, &a, slice_str(message), &again);
		ok(is_same(&s, &again), "nothing of one is in the next");
	}
	summary_room_free(&room);
	buf_fini(&b);
	buf_fini(&out);
	arena_reset(&a);
}

int
main(void)
{
	test_responses();
	test_whole();
	test_asked();
	test_too_much();
	test_summary();
	test_summary_limits();
	return done_testing();
}
