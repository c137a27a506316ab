#include "imap/lmtp.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/cdefs.h"

/* ---- lines ---- */

enum lmtp_line_event
lmtp_line(struct lmtp_lines *l, const uint8_t *in, size_t n, struct slice *line,
    size_t *taken)
{
	*line = slice_of(in, 0);
	*taken = 0;
	while (l->scanned < n) {
		uint8_t c = in[l->scanned++];

		if (l->scanned > LMTP_LINE_MAX || c == '\0' ||
		    l->cr != (c == '\n'))
			return LMTP_LINE_ERROR;
		l->cr = c == '\r';
		if (c != '\n')
			continue;
		*line = slice_of(in, l->scanned - 2);
		*taken = l->scanned;
		l->scanned = 0;
		l->cr = false;
		return LMTP_LINE;
	}
	return LMTP_LINE_MORE;
}

/* ---- paths ---- */

/* RFC 5321 atext, and 8 bit for SMTPUTF8's sake. */
static bool
is_atext(uint8_t c)
{
	return ascii_alnum(c) || c >= 0x80 ||
	       (c > ' ' && c < 0x7f &&
	           strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Dots may stand anywhere: mail with such addresses exists. */
static size_t
local_length(struct slice s)
{
	size_t n = 0;

	while (n < s.len && (is_atext(s.ptr[n]) || s.ptr[n] == '.'))
		n++;
	return n;
}

/* The inside of "..." at the front of s, unquoted into a. */
static bool
take_quoted(struct arena *a, struct slice *s, struct slice *out)
{
	uint8_t *p = arena_alloc(a, s->len + 1);
	size_t n = 0;

	for (size_t i = 1; i < s->len; i++) {
		uint8_t c = s->ptr[i];

		if (c == '"') {
			*out = slice_of(p, n);
			*s = slice_skip(*s, i + 1);
			return n > 0;
		}
		if (c == '\\' && ++i < s->len)
			c = s->ptr[i];
		if (c < ' ' || c == 0x7f)
			return false;
		p[n++] = c;
	}
	return false;
}

static bool
domain_ok(struct slice d)
{
	if (d.len > 2 && d.ptr[0] == '[' && d.ptr[d.len - 1] == ']') {
		for (size_t i = 1; i + 1 < d.len; i++)
			if (!ascii_alnum(d.ptr[i]) && d.ptr[i] != '.' &&
			    d.ptr[i] != ':' && d.ptr[i] != '-')
				return false;
		return true;
	}
	for (size_t i = 0; i < d.len; i++) {
		uint8_t c = d.ptr[i];

		if (!ascii_alnum(c) && c < 0x80 && c != '-' && c != '_' &&
		    !(c == '.' && i > 0 && d.ptr[i - 1] != '.'))
			return false;
	}
	return d.len > 0;
}

/* "@a,@b:" of a source route: RFC 5321 says take it and forget it. */
static struct slice
skip_route(struct slice s)
{
	size_t n;

	if (s.len == 0 || s.ptr[0] != '@')
		return s;
	n = slice_find(s, ':');
	return n < s.len ? slice_skip(s, n + 1) : s;
}

bool
lmtp_parse_path(struct arena *a, struct slice s, struct lmtp_path *path)
{
	size_t n;

	*path = (struct lmtp_path){ .local = slice_first(s, 0),
		.domain = slice_first(s, 0) };
	if (s.len == 0)
		return true;
	if (s.len > LMTP_PATH_MAX)
		return false;
	s = skip_route(s);
	if (s.len > 0 && s.ptr[0] == '"') {
		if (!take_quoted(a, &s, &path->local))
			return false;
	} else {
		n = local_length(s);
		path->local = slice_first(s, n);
		s = slice_skip(s, n);
	}
	if (path->local.len == 0)
		return false;
	if (s.len == 0)
		return true;
	path->domain = slice_skip(s, 1);
	return s.ptr[0] == '@' && domain_ok(path->domain);
}

void
lmtp_put_path(struct buf *out, const struct lmtp_path *path)
{
	struct slice l = path->local;
	bool plain = local_length(l) == l.len && l.len > 0;

	if (l.len == 0 && path->domain.len == 0)
		return;
	if (!plain)
		buf_putc(out, '"');
	for (size_t i = 0; i < l.len; i++) {
		if (!plain && (l.ptr[i] == '"' || l.ptr[i] == '\\'))
			buf_putc(out, '\\');
		buf_putc(out, l.ptr[i]);
	}
	if (!plain)
		buf_putc(out, '"');
	if (path->domain.len > 0) {
		buf_putc(out, '@');
		buf_put_slice(out, path->domain);
	}
}

/* ---- xtext ---- */

static bool
is_xchar(uint8_t c)
{
	return c > ' ' && c < 0x7f && c != '+' && c != '=';
}

void
lmtp_put_xtext(struct buf *out, struct slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (is_xchar(s.ptr[i]))
			buf_putc(out, s.ptr[i]);
		else
			buf_printf(out, "+%02X", s.ptr[i]);
	}
}

/* One octet of xtext; how many were taken, 0 if malformed. */
static size_t
xtext_octet(struct slice s, uint8_t *c)
{
	int high, low;

	if (s.ptr[0] != '+') {
		*c = s.ptr[0];
		return is_xchar(s.ptr[0]) ? 1 : 0;
	}
	if (s.len < 3)
		return 0;
	high = ascii_hex(s.ptr[1]);
	low = ascii_hex(s.ptr[2]);
	if (high == -1 || low == -1)
		return 0;
	*c = (uint8_t)(high * 16 + low);
	return 3;
}

/* Into out, which has room for s.len octets; false if malformed. */
static bool
decode_xtext(struct slice s, uint8_t *out, size_t *len)
{
	*len = 0;
	while (s.len > 0) {
		size_t n = xtext_octet(s, &out[*len]);

		if (n == 0)
			return false;
		(*len)++;
		s = slice_skip(s, n);
	}
	return true;
}

/* ---- commands, client side ---- */

static void
put_end(struct buf *out)
{
	buf_put(out, "\r\n", 2);
}

void
lmtp_put_line(struct buf *out, struct slice line)
{
	buf_put_slice(out, line);
	put_end(out);
}

void
lmtp_put_lhlo(struct buf *out, const char *host)
{
	buf_puts(out, "LHLO ");
	lmtp_put_line(out, slice_str(host));
}

void
lmtp_put_mail(struct buf *out, const struct lmtp_path *from, const char *params)
{
	buf_puts(out, "MAIL FROM:<");
	lmtp_put_path(out, from);
	buf_putc(out, '>');
	lmtp_put_line(out, slice_str(params == NULL ? "" : params));
}

static void
put_xparam(struct buf *out, const char *name, struct slice value)
{
	if (value.ptr == NULL)
		return;
	buf_printf(out, " %s=", name);
	lmtp_put_xtext(out, value);
}

void
lmtp_put_rcpt(struct buf *out, const struct lmtp_path *to,
    const struct lmtp_target *target)
{
	buf_puts(out, "RCPT TO:<");
	lmtp_put_path(out, to);
	buf_putc(out, '>');
	if (target != NULL) {
		put_xparam(out, "XMAILBOX", target->mailbox);
		put_xparam(out, "XFLAGS", target->flags);
		put_xparam(out, "XKEY", target->key);
	}
	put_end(out);
}

/* false: there, but malformed.  Absent leaves *value with .ptr NULL. */
static bool
get_xparam(struct arena *a, const struct lmtp_command *c, const char *name,
    struct slice *value)
{
	const struct lmtp_param *param = lmtp_param(c, name);
	uint8_t *out;
	size_t n;

	if (param == NULL)
		return true;
	out = arena_alloc(a, param->value.len + 1);
	if (param->value.ptr == NULL || !decode_xtext(param->value, out, &n))
		return false;
	*value = slice_of(out, n);
	return true;
}

static bool
is_key(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (ascii_hex(s.ptr[i]) == -1)
			return false;
	return s.len == 64;
}

const char *
lmtp_parse_target(struct arena *a, const struct lmtp_command *c,
    struct lmtp_target *target)
{
	*target = (struct lmtp_target){ 0 };
	if (!get_xparam(a, c, "XMAILBOX", &target->mailbox))
		return "Malformed XMAILBOX";
	if (!get_xparam(a, c, "XFLAGS", &target->flags))
		return "Malformed XFLAGS";
	if (!get_xparam(a, c, "XKEY", &target->key) ||
	    (target->key.ptr != NULL && !is_key(target->key)))
		return "Malformed XKEY";
	return NULL;
}

void
lmtp_put_command(struct buf *out, const char *command)
{
	lmtp_put_line(out, slice_str(command));
}

void
lmtp_put_auth(struct buf *out, const char *mechanism, struct slice initial)
{
	buf_printf(out, "AUTH %s", mechanism);
	if (initial.ptr != NULL) {
		buf_putc(out, ' ');
		buf_puts(out, initial.len == 0 ? "=" : "");
		buf_put_slice(out, initial);
	}
	put_end(out);
}
