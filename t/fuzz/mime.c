/*
 * Fuzz what is read from messages.  The laws: parts lie within their parents
 * and the message; a summary decodes to what was encoded; every section is
 * within the message; what is written has its parentheses and strings in
 * order.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/binary.h"
#include "imap/mime.h"
#include "imap/mimetext.h"
#include "imap/preview.h"
#include "imap/section.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/utf8.h"
#include "t/summary_of.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

static void
check_parts(const struct mime *m, struct slice message)
{
	for (unsigned i = 0; i < m->count; i++) {
		const struct mime_part *p = &m->parts[i], *up;

		MUST(p->header_at + p->header_len == p->body_at);
		MUST(p->body_at + p->body_len <= message.len);
		if (i == 0)
			continue;
		MUST(p->parent < i);
		up = &m->parts[p->parent];
		MUST(p->depth == up->depth + 1);
		MUST(p->header_at >= up->body_at);
		MUST(p->body_at + p->body_len <= up->body_at + up->body_len);
	}
}

static void
check_sections(const struct mime *m, struct slice message)
{
	static const enum section_text texts[] = { SECTION_ALL, SECTION_HEADER,
		SECTION_TEXT, SECTION_MIME };
	uint32_t path[3] = { 1, 1, 1 };

	for (unsigned i = 0; i < 64; i++) {
		struct section s = { .path = path,
			.npath = i % 4,
			.text = texts[i / 4 % 4] };
		struct section_range r;

		path[0] = i / 16 % 2 + 1;
		path[1] = i / 32 % 2 + 1;
		if (section_find(&s, m, &r))
			MUST(
			    r.at <= message.len && r.len <= message.len - r.at);
	}
}

/*
 * One list and nothing behind it: parentheses outside strings balance, and
 * strings and literals end.
 */
static void
check_text(struct slice s)
{
	size_t depth = 0;

	MUST(s.len > 0 && s.ptr[0] == '(');
	for (size_t i = 0; i < s.len; i++) {
		uint64_t size;
		size_t close;

		switch (s.ptr[i]) {
		case '(':
			depth++;
			break;
		case ')':
			MUST(depth > 0);
			MUST(--depth > 0 || i + 1 == s.len);
			break;
		case '"':
			for (i++; i < s.len && s.ptr[i] != '"'; i++)
				i += s.ptr[i] == '\\';
			MUST(i < s.len);
			break;
		case '{':
			close = slice_find(slice_skip(s, i), '}');
			MUST(ascii_number(slice_first(slice_skip(s, i + 1),
			                      close - 1),
			    s.len, &size));
			i += close + 2 + size;
			MUST(i < s.len);
			break;
		default:
			MUST(s.ptr[i] >= ' ' && s.ptr[i] < 0x7f);
			break;
		}
	}
	MUST(depth == 0);
}

static bool
count(void *arg, struct slice utf8, bool ends)
{
	size_t *total = arg;

	(void)ends;
	*total += utf8.len;
	return true;
}

static void
check_preview(struct slice s)
{
	size_t chars = 0;

	MUST(s.len <= PREVIEW_MAX && utf8_valid(s));
	for (; s.len > 0; chars++)
		MUST(utf8_take(&s) >= ' ');
	MUST(chars <= PREVIEW_CHARS);
}

/* What has no NUL stays as it is; what is encoded is the message's. */
static void
check_binary(struct arena *a, struct slice message, const struct mime *m)
{
	const struct binary_piece *p;
	struct buf out;
	size_t n;

	buf_init(&out, 4 * message.len + 4096);
	p = binary_pieces(a, message, m, &n);
	for (size_t i = 0; i < n; i++) {
		if (p[i].kind == BINARY_AS_IS) {
			buf_put_slice(&out, p[i].octets);
			continue;
		}
		MUST(memchr(p[i].octets.ptr, '\0', p[i].octets.len) != NULL);
		MUST(p[i].octets.ptr >= message.ptr &&
		     p[i].octets.ptr + p[i].octets.len <=
		         message.ptr + message.len);
	}
	MUST(!buf_failed(&out));
	if (message.len > 0 && memchr(message.ptr, '\0', message.len) == NULL)
		MUST(slice_equal(buf_slice(&out), message));
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct slice message = slice_of(in, n);
	struct summary s, t;
	struct arena a;
	struct buf b;
	size_t total = 0;

	arena_init(&a);
	buf_init(&b, SUMMARY_MAX);
	summary_of(&a, message, &s);
	check_parts(&s.mime, message);
	check_sections(&s.mime, message);
	check_text(s.envelope);
	check_text(s.body);
	check_text(s.bodystructure);
	check_preview(s.preview);
	check_binary(&a, message, &s.mime);
	summary_encode(&b, &s);
	MUST(!buf_failed(&b));
	MUST(summary_decode(&a, buf_slice(&b), &t) == 0);
	MUST(summary_fits(&t, n));
	MUST(slice_equal(s.bodystructure, t.bodystructure));
	mimetext_read(&a, message, &s.mime,
	    MIMETEXT_HEADER | MIMETEXT_HEADERS | MIMETEXT_BODIES, count,
	    &total);
	/* A record that is not one: refused or sound, never a crash. */
	if (summary_decode(&a, message, &t) == 0)
		check_sections(&s.mime, message);
	buf_fini(&b);
	arena_reset(&a);
	return 0;
}
