/*
 * The data of LMTP and its replies: the other half of imap/lmtp.h.
 */
#include "imap/lmtp.h"
#include "lib/ascii.h"
#include "lib/buf.h"

/* ---- from the wire ---- */

enum undot {
	UNDOT_START, /* of a line */
	UNDOT_TEXT,
	UNDOT_DONE,
	UNDOT_DEAD
};

static enum lmtp_data_event
dead(struct lmtp_undot *d)
{
	d->state = UNDOT_DEAD;
	return LMTP_DATA_ERROR;
}

/*
 * At a line's start: a dot there is dropped, or ends the data.  How many
 * octets to drop, and *ev if that is all; MORE if it cannot be told yet.
 */
static size_t
line_start(struct lmtp_undot *d, const uint8_t *in, size_t n,
    enum lmtp_data_event *ev)
{
	*ev = LMTP_DATA_OCTETS;
	if (in[0] != '.') {
		d->state = UNDOT_TEXT;
		return 0;
	}
	if (n < 2 || (in[1] == '\r' && n < 3)) {
		*ev = LMTP_DATA_MORE;
		return 0;
	}
	if (in[1] == '\r' && in[2] == '\n') {
		*ev = LMTP_DATA_END;
		d->state = UNDOT_DONE;
		return 3;
	}
	d->state = UNDOT_TEXT;
	return 1;
}

/*
 * Text up to the end of its line, or of what is here.  A CR that is last is
 * left until its LF has come.
 */
static size_t
line_text(struct lmtp_undot *d, const uint8_t *in, size_t n, bool *bad)
{
	*bad = false;
	for (size_t i = 0; i < n; i++) {
		if (in[i] == '\n' || in[i] == '\0') {
			*bad = true;
			return 0;
		}
		if (in[i] != '\r')
			continue;
		if (i + 1 == n)
			return i;
		*bad = in[i + 1] != '\n';
		d->state = UNDOT_START;
		return i + 2;
	}
	return n;
}

enum lmtp_data_event
lmtp_undot(struct lmtp_undot *d, const uint8_t *in, size_t n, struct slice *out,
    size_t *taken)
{
	enum lmtp_data_event ev;
	size_t skip = 0, len;
	bool bad;

	*taken = 0;
	*out = slice_of(in, 0);
	if (d->state == UNDOT_DEAD)
		return LMTP_DATA_ERROR;
	if (d->state == UNDOT_DONE)
		return LMTP_DATA_END;
	if (n == 0)
		return LMTP_DATA_MORE;
	if (d->state == UNDOT_START) {
		skip = line_start(d, in, n, &ev);
		if (ev != LMTP_DATA_OCTETS) {
			*taken = skip;
			return ev;
		}
	}
	/* As many whole lines as begin with no dot go in one piece. */
	for (len = skip; len < n;) {
		size_t more = line_text(d, in + len, n - len, &bad);

		if (bad)
			return dead(d);
		len += more;
		if (d->state != UNDOT_START || len == n || in[len] == '.')
			break;
		d->state = UNDOT_TEXT;
	}
	*out = slice_of(in + skip, len - skip);
	*taken = len;
	return len > 0 ? LMTP_DATA_OCTETS : LMTP_DATA_MORE;
}

/* ---- onto the wire ---- */

enum dot {
	DOT_START, /* of a line */
	DOT_TEXT,
	DOT_CR /* CR LF has been put for a CR; an LF now is part of it */
};

void
lmtp_dot(struct lmtp_dot *d, struct buf *out, struct slice s)
{
	size_t from = 0; /* octets before it have been put */

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c != '\r' && c != '\n' &&
		    (c != '.' || d->state == DOT_TEXT)) {
			d->state = DOT_TEXT;
			continue;
		}
		buf_put(out, s.ptr + from, i - from);
		from = i + 1;
		if (c == '.') {
			buf_put(out, "..", 2);
			d->state = DOT_TEXT;
		} else if (c == '\r' || d->state != DOT_CR) {
			buf_put(out, "\r\n", 2);
			d->state = c == '\r' ? DOT_CR : DOT_START;
		} else {
			d->state = DOT_START;
		}
	}
	if (s.len > from)
		buf_put(out, s.ptr + from, s.len - from);
}

void
lmtp_dot_end(struct lmtp_dot *d, struct buf *out)
{
	if (d->state == DOT_TEXT)
		buf_put(out, "\r\n", 2);
	buf_put(out, ".\r\n", 3);
}

/* ---- replies ---- */

static void
put_reply_line(struct buf *out, int code, char more, const char *enhanced,
    const char *text, size_t len)
{
	buf_printf(out, "%03d%c", code, more);
	if (enhanced != NULL)
		buf_printf(out, "%s ", enhanced);
	for (size_t i = 0; i < len; i++)
		buf_putc(out,
		    (uint8_t)(text[i] < ' ' || text[i] == 0x7f ? '?'
		                                               : text[i]));
	buf_put(out, "\r\n", 2);
}

void
lmtp_put_reply(struct buf *out, int code, const char *enhanced,
    const char *text)
{
	const char *end;

	while ((end = strchr(text, '\n')) != NULL) {
		put_reply_line(out, code, '-', enhanced, text,
		    (size_t)(end - text));
		text = end + 1;
	}
	put_reply_line(out, code, ' ', enhanced, text, strlen(text));
}

/* "2.1.5" of the same class as the code. */
static struct slice
take_enhanced(struct slice *s, int code)
{
	struct slice word = slice_first(*s, slice_find(*s, ' '));
	unsigned dots = 0;

	for (size_t i = 0; i < word.len; i++) {
		if (word.ptr[i] == '.')
			dots++;
		else if (!ascii_digit(word.ptr[i]))
			return slice_first(*s, 0);
	}
	if (word.len < 5 || word.len > 11 || dots != 2 ||
	    word.ptr[0] != '0' + code / 100 || word.ptr[1] != '.')
		return slice_first(*s, 0);
	*s = slice_skip(*s, word.len < s->len ? word.len + 1 : word.len);
	return word;
}

static bool
parse_reply_line(struct slice line, struct lmtp_reply *reply, bool *last)
{
	uint64_t code;

	if (line.len < 3 || !ascii_number(slice_first(line, 3), 599, &code) ||
	    code < 200)
		return false;
	reply->code = (int)code;
	*last = line.len == 3 || line.ptr[3] == ' ';
	if (!*last && line.ptr[3] != '-')
		return false;
	reply->text = slice_skip(line, line.len == 3 ? 3 : 4);
	reply->enhanced = take_enhanced(&reply->text, reply->code);
	return true;
}

enum lmtp_reply_event
lmtp_reply_next(struct lmtp_replies *r, const uint8_t *in, size_t n,
    struct lmtp_reply *reply, size_t *taken)
{
	struct slice line;
	bool last;

	*reply = (struct lmtp_reply){ 0 };
	switch (lmtp_line(&r->lines, in, n, &line, taken)) {
	case LMTP_LINE_ERROR:
		return LMTP_REPLY_ERROR;
	case LMTP_LINE_MORE:
		return LMTP_REPLY_MORE;
	case LMTP_LINE:
		break;
	}
	if (!parse_reply_line(line, reply, &last) ||
	    (r->code != 0 && r->code != reply->code) ||
	    ++r->n > LMTP_REPLY_LINES_MAX)
		return LMTP_REPLY_ERROR;
	r->code = last ? 0 : reply->code;
	if (last)
		r->n = 0;
	return last ? LMTP_REPLY_LAST : LMTP_REPLY_LINE;
}
