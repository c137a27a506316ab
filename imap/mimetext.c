#include "imap/charset.h"
#include "imap/header.h"
#include "imap/mime.h"
#include "imap/mimetext.h"
#include "imap/transfer.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/cdefs.h"

enum {
	PIECE_FIRST = 512,              /* octets decoded at first... */
	PIECE = 8 * 1024,               /* ...and then at a time */
	PIECE_MAX = 64 * PIECE,         /* ...and what they may become */
	FIELD_MAX = 256 * 1024,         /* octets of one field looked at */
	FIELD_TEXT_MAX = 16 * FIELD_MAX /* ...and what they may become */
};

/* Text, or not text by its type and yet lines that people read. */
static bool
is_text(const struct mime_part *p, const struct mime_value *v)
{
	if (p->kind != MIME_LEAF)
		return false;
	/* A multipart that is a leaf is one in which no parts were found. */
	return slice_is_nocase(v->type, "text") ||
	       slice_is_nocase(v->type, "message") ||
	       slice_is_nocase(v->type, "multipart");
}

struct body {
	struct transfer transfer;
	struct charset *charset;
	struct buf octets, text;
	mimetext_cb *cb;
	void *arg;
};

/* What has been decoded goes to the caller. */
static bool
flush(struct body *b, struct slice octets, bool ends)
{
	bool more;

	charset_put(b->charset, octets, &b->text);
	if (ends)
		charset_end(b->charset, &b->text);
	more = b->cb(b->arg, buf_slice(&b->text), ends);
	buf_clear(&b->octets);
	buf_clear(&b->text);
	return more;
}

static void
read_body(struct body *b, struct slice in)
{
	size_t piece = PIECE_FIRST; /* more is not wanted, often */

	while (in.len > 0) {
		size_t n = in.len < piece ? in.len : piece;
		struct slice octets = slice_first(in, n);

		if (b->transfer.encoding != TRANSFER_BINARY) {
			transfer_put(&b->transfer, octets, &b->octets);
			octets = buf_slice(&b->octets);
		}
		in = slice_skip(in, n);
		if (!flush(b, octets, false))
			return;
		piece = PIECE;
	}
	transfer_end(&b->transfer, &b->octets);
	/* The last piece: whether more is wanted no longer matters. */
	(void)flush(b, buf_slice(&b->octets), true);
}

void
mimetext_read_as(struct slice body, const struct mime_value *type,
    const struct header_field *encoding, mimetext_cb *cb, void *arg)
{
	struct slice charset = mime_param_find(type, "charset");
	struct body b = { .cb = cb, .arg = arg };

	if (charset.len > 0)
		b.charset = charset_new(charset);
	if (b.charset == NULL)
		b.charset = charset_new(slice_str("us-ascii"));
	transfer_init(&b.transfer, transfer_encoding_of(encoding->value));
	buf_init(&b.octets, PIECE_MAX);
	buf_init(&b.text, PIECE_MAX);
	read_body(&b, body);
	buf_fini(&b.octets);
	buf_fini(&b.text);
	charset_free(&b.charset);
}

void
mimetext_read_body(struct arena *a, struct slice message,
    const struct mime_part *p, mimetext_cb *cb, void *arg)
{
	static const struct header_name names[] = { HEADER_NAME("Content-Type"),
		HEADER_NAME("Content-Transfer-Encoding") };
	struct header_field fields[NITEMS(names)];
	struct mime_value v;

	header_find_each(mime_header(p, message), names, NITEMS(names), fields);
	mime_type_from(a, &fields[0], p->fallback, &v);
	if (is_text(p, &v))
		mimetext_read_as(mime_body(p, message), &v, &fields[1], cb,
		    arg);
}

/* Each field as "Name: value". */
static bool
read_header(struct slice header, mimetext_cb *cb, void *arg)
{
	struct header_iter it;
	struct header_field f;
	struct buf text;
	bool more = true;

	buf_init(&text, FIELD_TEXT_MAX);
	header_init(&it, header);
	while (more && header_next(&it, &f)) {
		if (f.value.len > FIELD_MAX)
			f.value.len = FIELD_MAX;
		buf_put_slice(&text, f.name);
		buf_puts(&text, ": ");
		charset_header(&text, f.value);
		more = cb(arg, buf_slice(&text), true);
		buf_clear(&text);
	}
	buf_fini(&text);
	return more;
}

/* The caller's cb, and whether it still wants more. */
struct reader {
	mimetext_cb *cb;
	void *arg;
	bool more;
};

static bool
pass_on(void *arg, struct slice utf8, bool ends)
{
	struct reader *r = arg;

	r->more = r->cb(r->arg, utf8, ends);
	return r->more;
}

void
mimetext_read(struct arena *a, struct slice message, const struct mime *m,
    unsigned scope, mimetext_cb *cb, void *arg)
{
	struct reader r = { cb, arg, true };

	for (unsigned i = 0; r.more && i < m->count; i++) {
		const struct mime_part *p = &m->parts[i];
		unsigned bit = i == 0 ? MIMETEXT_HEADER : MIMETEXT_HEADERS;

		if (scope & bit)
			r.more = read_header(mime_header(p, message), cb, arg);
		if (r.more && (scope & MIMETEXT_BODIES))
			mimetext_read_body(a, message, p, pass_on, &r);
	}
}
