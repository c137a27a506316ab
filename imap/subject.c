#include <string.h>

#include "imap/charset.h"
#include "imap/subject.h"
#include "lib/arena.h"
#include "lib/buf.h"

/* Names are those of RFC 5256 5, where the grammar is. */

static struct slice
skip_wsp(struct slice s)
{
	while (s.len > 0 && s.ptr[0] == ' ')
		s = slice_skip(s, 1);
	return s;
}

/* Takes a subj-blob off the front: "[text]", no brackets within. */
static bool
take_blob(struct slice *s)
{
	size_t n = 1;

	if (s->len == 0 || s->ptr[0] != '[')
		return false;
	while (n < s->len && s->ptr[n] != ']' && s->ptr[n] != '[')
		n++;
	if (n == s->len || s->ptr[n] == '[')
		return false;
	*s = skip_wsp(slice_skip(*s, n + 1));
	return true;
}

static bool
take_word(struct slice *s, const char *word)
{
	if (!slice_starts_nocase(*s, word))
		return false;
	*s = slice_skip(*s, strlen(word));
	return true;
}

/* subj-refwd: "Re:", "Fw [text]:" */
static bool
take_refwd(struct slice *s)
{
	struct slice rest = *s;

	if (!take_word(&rest, "re") && !take_word(&rest, "fwd") &&
	    !take_word(&rest, "fw"))
		return false;
	rest = skip_wsp(rest);
	take_blob(&rest);
	if (rest.len == 0 || rest.ptr[0] != ':')
		return false;
	*s = slice_skip(rest, 1);
	return true;
}

/* All subj-leaders, and all blobs that something else follows. */
static void
take_leaders(struct subject *s)
{
	for (;;) {
		struct slice rest = s->base = skip_wsp(s->base), last = rest;

		while (rest.len > 0) {
			last = rest;
			if (!take_blob(&rest))
				break;
		}
		if (take_refwd(&rest)) {
			s->base = rest;
			s->reply = true;
			continue;
		}
		/* Only blobs: the last one is the subject. */
		s->base = last;
		return;
	}
}

static bool
take_end(struct slice *s, const char *end)
{
	size_t n = strlen(end);

	if (s->len < n ||
	    !slice_equal_nocase(slice_skip(*s, s->len - n), slice_str(end)))
		return false;
	s->len -= n;
	return true;
}

static void
take_trailers(struct subject *s)
{
	for (;;) {
		if (take_end(&s->base, "(fwd)"))
			s->reply = true;
		else if (!take_end(&s->base, " "))
			return;
	}
}

/* UTF-8, all white space one space each. */
static struct slice
text_of(struct arena *a, struct slice value, bool *good)
{
	struct slice text;
	struct buf b;
	uint8_t *out;
	size_t n = 0;

	buf_init(&b, value.len * 8 + 8);
	*good = charset_header(&b, value);
	text = buf_slice(&b);
	out = arena_alloc(a, text.len + 1);
	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];

		if (c == '\t' || c == '\r' || c == '\n')
			c = ' ';
		if (c != ' ' || n == 0 || out[n - 1] != ' ')
			out[n++] = c;
	}
	buf_fini(&b);
	return slice_of(out, n);
}

void
subject_base(struct arena *a, struct slice value, struct subject *s)
{
	bool good;

	*s = (struct subject){ .base = text_of(a, value, &good) };
	s->bad = !good;
	for (;;) {
		struct slice inner;

		take_trailers(s);
		take_leaders(s);
		inner = s->base;
		if (!take_word(&inner, "[fwd:") || !take_end(&inner, "]"))
			return;
		s->base = inner;
		s->reply = true;
	}
}
