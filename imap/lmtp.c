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

int
lmtp_get_xtext(struct buf *out, struct slice s)
{
	struct slice rest = s;
	uint8_t c;
	size_t n;

	for (; rest.len > 0; rest = slice_skip(rest, n))
		if ((n = xtext_octet(rest, &c)) == 0)
			return -1;
	for (; s.len > 0; s = slice_skip(s, n)) {
		n = xtext_octet(s, &c);
		buf_putc(out, c);
	}
	return 0;
}

/* ---- commands, server side ---- */

static void
wrong(struct lmtp_command *c, int code, const char *why)
{
	if (c->code == 0) {
		c->code = code;
		c->why = why;
	}
}

/* The octets before the next space, and those spaces. */
static struct slice
take_word(struct slice *s)
{
	size_t n = slice_find(*s, ' ');
	struct slice word = slice_first(*s, n);

	while (n < s->len && s->ptr[n] == ' ')
		n++;
	*s = slice_skip(*s, n);
	return word;
}

/* Where the ">" is that ends the path; s.len if nowhere. */
static size_t
path_end(struct slice s)
{
	bool quoted = false;

	for (size_t i = 0; i < s.len; i++) {
		if (quoted && s.ptr[i] == '\\')
			i++;
		else if (s.ptr[i] == '"')
			quoted = !quoted;
		else if (s.ptr[i] == '>' && !quoted)
			return i;
	}
	return s.len;
}

static void
parse_params(struct slice s, struct lmtp_command *c)
{
	while (s.len > 0) {
		struct slice word = take_word(&s);
		size_t n = slice_find(word, '=');
		struct lmtp_param *param = &c->params[c->n];

		if (word.len == 0 || n == 0) {
			wrong(c, 501, "5.5.4 Malformed parameter");
			return;
		}
		if (c->n++ == LMTP_PARAMS_MAX) {
			c->n = LMTP_PARAMS_MAX;
			wrong(c, 501, "5.5.4 Too many parameters");
			return;
		}
		param->name = slice_first(word, n);
		param->value =
		    n < word.len ? slice_skip(word, n + 1) : slice_of(NULL, 0);
	}
}

/* "FROM:<path> params"; a space after the colon is common. */
static void
parse_envelope(struct arena *a, struct slice s, const char *word,
    struct lmtp_command *c)
{
	size_t end;

	if (!slice_starts_nocase(s, word)) {
		wrong(c, 501, "5.5.4 Syntax: MAIL FROM:<path>, RCPT TO:<path>");
		return;
	}
	s = slice_skip(s, strlen(word));
	while (s.len > 0 && s.ptr[0] == ' ')
		s = slice_skip(s, 1);
	end = path_end(s);
	if (s.len == 0 || s.ptr[0] != '<' || end == s.len) {
		wrong(c, 501, "5.1.3 An address is to be in <>");
		return;
	}
	c->raw_path = slice_skip(slice_first(s, end), 1);
	if (!lmtp_parse_path(a, c->raw_path, &c->path))
		wrong(c, 501, "5.1.3 Malformed address");
	s = slice_skip(s, end + 1);
	if (s.len > 0 && s.ptr[0] != ' ')
		wrong(c, 501, "5.5.4 Space expected after the address");
	while (s.len > 0 && s.ptr[0] == ' ')
		s = slice_skip(s, 1);
	parse_params(s, c);
}

static void
parse_auth(struct slice s, struct lmtp_command *c)
{
	c->mechanism = take_word(&s);
	c->initial = slice_of(NULL, 0);
	if (c->mechanism.len == 0)
		wrong(c, 501, "5.5.4 Which mechanism?");
	if (s.len > 0)
		c->initial = take_word(&s);
	if (s.len > 0)
		wrong(c, 501, "5.5.4 Too many arguments");
}

static enum lmtp_verb
find_verb(struct slice word)
{
	static const struct {
		const char *name;
		enum lmtp_verb verb;
	} verbs[] = { { "LHLO", LMTP_LHLO }, { "MAIL", LMTP_MAIL },
		{ "RCPT", LMTP_RCPT }, { "DATA", LMTP_DATA },
		{ "RSET", LMTP_RSET }, { "NOOP", LMTP_NOOP },
		{ "QUIT", LMTP_QUIT }, { "VRFY", LMTP_VRFY },
		{ "HELP", LMTP_HELP }, { "STARTTLS", LMTP_STARTTLS },
		{ "AUTH", LMTP_AUTH }, { "HELO", LMTP_HELO },
		{ "EHLO", LMTP_HELO } };

	for (size_t i = 0; i < NITEMS(verbs); i++)
		if (slice_is_nocase(word, verbs[i].name))
			return verbs[i].verb;
	return LMTP_UNKNOWN;
}

void
lmtp_parse_command(struct arena *a, struct slice line, struct lmtp_command *c)
{
	struct slice rest = line;

	*c = (struct lmtp_command){ 0 };
	while (rest.len > 0 && rest.ptr[rest.len - 1] == ' ')
		rest.len--;
	c->verb = find_verb(take_word(&rest));
	c->arg = rest;
	switch (c->verb) {
	case LMTP_MAIL:
		parse_envelope(a, rest, "FROM:", c);
		break;
	case LMTP_RCPT:
		parse_envelope(a, rest, "TO:", c);
		break;
	case LMTP_AUTH:
		parse_auth(rest, c);
		break;
	case LMTP_LHLO:
		if (rest.len == 0)
			wrong(c, 501, "5.5.4 Who are you?");
		break;
	case LMTP_DATA:
	case LMTP_RSET:
	case LMTP_QUIT:
	case LMTP_STARTTLS:
		if (rest.len > 0)
			wrong(c, 501, "5.5.4 No argument expected");
		break;
	case LMTP_HELO:
		wrong(c, 500, "5.5.1 This is LMTP: say LHLO");
		break;
	case LMTP_UNKNOWN:
		wrong(c, 500, "5.5.1 Unknown command");
		break;
	case LMTP_NOOP:
	case LMTP_VRFY:
	case LMTP_HELP:
		break;
	}
}

const struct lmtp_param *
lmtp_param(const struct lmtp_command *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (slice_is_nocase(c->params[i].name, name))
			return &c->params[i];
	return NULL;
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
		return "5.5.4 Malformed XMAILBOX";
	if (!get_xparam(a, c, "XFLAGS", &target->flags))
		return "5.5.4 Malformed XFLAGS";
	if (!get_xparam(a, c, "XKEY", &target->key) ||
	    (target->key.ptr != NULL && !is_key(target->key)))
		return "5.5.4 Malformed XKEY";
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
