#include "imap/transfer.h"
#include "lib/ascii.h"
#include "lib/buf.h"

enum transfer_encoding
transfer_encoding_of(struct slice value)
{
	value = slice_trim(value);
	if (slice_starts_nocase(value, "base64"))
		return TRANSFER_BASE64;
	if (slice_starts_nocase(value, "quoted-printable"))
		return TRANSFER_QUOTED;
	return TRANSFER_BINARY;
}

void
transfer_init(struct transfer *t, enum transfer_encoding encoding)
{
	*t = (struct transfer){ .encoding = encoding };
}

static int
base64_value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_digit(c))
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

static void
put_base64(struct transfer *t, struct slice in, struct buf *out)
{
	uint8_t piece[1024];
	size_t n = 0;

	for (size_t i = 0; i < in.len; i++) {
		int v = base64_value(in.ptr[i]);

		if (in.ptr[i] == '=') { /* padding: the next starts afresh */
			t->nbits = 0;
			continue;
		}
		if (v == -1)
			continue;
		t->bits = t->bits << 6 | (uint32_t)v;
		t->nbits += 6;
		if (t->nbits < 8)
			continue;
		t->nbits -= 8;
		piece[n++] = (uint8_t)(t->bits >> t->nbits);
		if (n == sizeof(piece)) {
			buf_put(out, piece, n);
			n = 0;
		}
	}
	buf_put(out, piece, n);
}

/* What is held proved to be no escape: it stands for itself. */
static void
release(struct transfer *t, struct buf *out)
{
	buf_put(out, t->held, t->nheld);
	t->nheld = 0;
}

/* c follows what is held, which begins with "=". */
static void
put_escape(struct transfer *t, uint8_t c, struct buf *out)
{
	if (c == '\n') { /* a soft line break */
		t->nheld = 0;
		return;
	}
	if (t->nheld == 2 && t->held[1] != '\r' && ascii_hex(c) != -1) {
		buf_putc(out,
		    (uint8_t)(ascii_hex(t->held[1]) << 4 | ascii_hex(c)));
		t->nheld = 0;
		return;
	}
	if (t->nheld == 1 && (c == '\r' || ascii_hex(c) != -1)) {
		t->held[t->nheld++] = c;
		return;
	}
	release(t, out);
	if (c == '=')
		t->held[t->nheld++] = c;
	else
		buf_putc(out, c);
}

static void
put_quoted(struct transfer *t, struct slice in, struct buf *out)
{
	while (in.len > 0) {
		size_t n;

		if (t->nheld > 0) {
			put_escape(t, in.ptr[0], out);
			in = slice_skip(in, 1);
			continue;
		}
		n = slice_find(in, '=');
		buf_put(out, in.ptr, n);
		if (n < in.len)
			t->held[t->nheld++] = in.ptr[n++];
		in = slice_skip(in, n);
	}
}

void
transfer_put(struct transfer *t, struct slice in, struct buf *out)
{
	switch (t->encoding) {
	case TRANSFER_BINARY:
		buf_put_slice(out, in);
		break;
	case TRANSFER_BASE64:
		put_base64(t, in, out);
		break;
	case TRANSFER_QUOTED:
		put_quoted(t, in, out);
		break;
	}
}

void
transfer_end(struct transfer *t, struct buf *out)
{
	release(t, out);
	transfer_init(t, t->encoding);
}
