/*
 * LMTP's commands, as a server reads them.
 */
#include <string.h>

#include "imap/lmtp.h"
#include "lib/cdefs.h"

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
	end = slice_find_unquoted(s, '>');
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
