#include <string.h>

#include "imap/mupdate_scan.h"
#include "lib/ascii.h"

enum {
	DIGITS_MAX = 9 /* of a literal's size */
};

struct input {
	const uint8_t *at, *end;
};

bool
mupdate_scan_is_tag_octet(uint8_t c)
{
	return c > 0x20 && c < 0x7f && c != '"' && c != '(' && c != ')' &&
	       c != '\\' && c != '{' && c != '}';
}

static bool
take(struct input *in, uint8_t c)
{
	if (in->at == in->end || *in->at != c)
		return false;
	in->at++;
	return true;
}

/* A tag or a command's name; empty if there is none. */
static struct slice
take_word(struct input *in)
{
	const uint8_t *from = in->at;

	while (in->at < in->end && mupdate_scan_is_tag_octet(*in->at))
		in->at++;
	return slice_of(from, (size_t)(in->at - from));
}

/* Behind the first quote. */
static bool
take_quoted(struct input *in, struct slice *s)
{
	const uint8_t *from = in->at;

	while (in->at < in->end && *in->at != '"') {
		uint8_t c = *in->at++;

		if (c == '\\' || c == '\r' || c == '\n' || c == '\0')
			return false;
	}
	*s = slice_of(from, (size_t)(in->at - from));
	return take(in, '"');
}

/* Behind the brace. */
static bool
take_literal(struct input *in, struct slice *s, size_t max)
{
	size_t size = 0, digits = 0;

	while (
	    in->at < in->end && ascii_digit(*in->at) && digits < DIGITS_MAX) {
		size = size * 10 + (size_t)(*in->at++ - '0');
		digits++;
	}
	if (digits == 0 || size > max || !take(in, '+') || !take(in, '}') ||
	    !take(in, '\r') || !take(in, '\n') ||
	    size > (size_t)(in->end - in->at))
		return false;
	*s = slice_of(in->at, size);
	in->at += size;
	return slice_find(*s, '\0') == size;
}

/* A space has been taken.  *literal: its octets are no part of the line. */
static bool
take_string(struct input *in, struct slice *s, size_t max, size_t *literal)
{
	*literal = 0;
	if (take(in, '"'))
		return take_quoted(in, s);
	if (!take(in, '{') || !take_literal(in, s, max))
		return false;
	*literal = s->len;
	return true;
}

bool
mupdate_scan(struct mupdate_scan *s, const uint8_t *in, size_t n,
    const struct mupdate_limits *limits)
{
	struct input left = { in, in + n };
	size_t literal, literals = 0;

	s->nargs = 0;
	s->tag = take_word(&left);
	if (s->tag.len == 0 || s->tag.len > MUPDATE_TAG_MAX ||
	    !take(&left, ' '))
		return false;
	s->word = take_word(&left);
	while (take(&left, ' ')) {
		if (s->nargs == MUPDATE_ARGS_MAX ||
		    !take_string(&left, &s->args[s->nargs++], limits->literal,
		        &literal))
			return false;
		literals += literal;
	}
	if (s->word.len == 0 || !take(&left, '\r') || !take(&left, '\n'))
		return false;
	s->octets = (size_t)(left.at - in);
	return s->octets <= limits->message &&
	       s->octets - literals <= limits->line;
}
