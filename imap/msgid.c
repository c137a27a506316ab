#include <string.h>

#include "imap/msgid.h"
#include "lib/arena.h"

void
msgid_init(struct msgid_iter *it, struct slice value)
{
	it->rest = value;
}

/* Where the id that begins at the front ends: at its ">"; s.len if nowhere. */
static size_t
end_of(struct slice s)
{
	size_t n = slice_find_unquoted(s, '>');

	/* A lone quote is part of the id: mailers are not all clean. */
	return n < s.len ? n : slice_find(s, '>');
}

/* Octets of a comment at the front, "(" first; comments nest. */
static size_t
comment_length(struct slice s)
{
	size_t depth = 0, n = 0;

	while (n < s.len) {
		uint8_t c = s.ptr[n++];

		if (c == '\\' && n < s.len)
			n++;
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0)
			break;
	}
	return n;
}

/* Does it have anything that is not the id itself? */
static bool
is_clean(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] == '"' || s.ptr[i] == '(' ||
		    s.ptr[i] == '\\')
			return false;
	return true;
}

static struct slice
normalise(struct arena *a, struct slice s)
{
	uint8_t *out = arena_alloc(a, s.len);
	bool quoted = false;
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c == '"') {
			quoted = !quoted;
		} else if (c == '\\' && i + 1 < s.len) {
			out[n++] = s.ptr[++i];
		} else if (c == '(' && !quoted) {
			i += comment_length(slice_skip(s, i)) - 1;
		} else if (quoted ? c != '\r' && c != '\n' : c > ' ') {
			out[n++] = c;
		}
	}
	return slice_of(out, n);
}

bool
msgid_next(struct msgid_iter *it, struct arena *a, struct slice *id)
{
	for (;;) {
		size_t at = slice_find(it->rest, '<'), n, inner;
		struct slice s;

		if (at == it->rest.len)
			return false;
		s = slice_skip(it->rest, at + 1);
		n = end_of(s);
		if (n == s.len)
			return false;
		it->rest = slice_skip(s, n + 1);
		s = slice_first(s, n);
		inner = slice_rfind(s, '<'); /* "<no end <id@host>" */
		if (inner < s.len && slice_find(s, '"') == s.len)
			s = slice_skip(s, inner + 1);
		if (!is_clean(s))
			s = normalise(a, s);
		at = slice_find(s, '@');
		if (at > 0 && at + 1 < s.len) {
			*id = s;
			return true;
		}
	}
}
