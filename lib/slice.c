#include "lib/ascii.h"
#include "lib/slice.h"

int
slice_compare(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int order = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;

	if (order != 0)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

size_t
slice_common(struct slice a, struct slice b)
{
	size_t max = a.len < b.len ? a.len : b.len, n = 0;

	while (n + sizeof(uint64_t) <= max) {
		uint64_t x, y;

		memcpy(&x, a.ptr + n, sizeof(x));
		memcpy(&y, b.ptr + n, sizeof(y));
		if (x != y)
			break;
		n += sizeof(x);
	}
	while (n < max && a.ptr[n] == b.ptr[n])
		n++;
	return n;
}

bool
slice_equal_nocase(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (a.ptr[i] != b.ptr[i] &&
		    ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
			return false;
	return true;
}

bool
slice_is(struct slice a, const char *s)
{
	return slice_equal(a, slice_str(s));
}

bool
slice_starts(struct slice a, struct slice prefix)
{
	return a.len >= prefix.len &&
	       slice_equal(slice_first(a, prefix.len), prefix);
}

bool
slice_starts_nocase(struct slice a, const char *prefix)
{
	struct slice p = slice_str(prefix);

	return a.len >= p.len && slice_equal_nocase(slice_first(a, p.len), p);
}

size_t
slice_find_unquoted(struct slice a, uint8_t c)
{
	bool quoted = false;

	for (size_t i = 0; i < a.len; i++) {
		if (quoted && a.ptr[i] == '\\')
			i++;
		else if (a.ptr[i] == '"')
			quoted = !quoted;
		else if (a.ptr[i] == c && !quoted)
			return i;
	}
	return a.len;
}

size_t
slice_rfind(struct slice a, uint8_t c)
{
	for (size_t i = a.len; i > 0; i--)
		if (a.ptr[i - 1] == c)
			return i - 1;
	return a.len;
}

struct slice
slice_word(struct slice *s)
{
	struct slice word;

	while (s->len > 0 && s->ptr[0] == ' ')
		*s = slice_skip(*s, 1);
	word = slice_first(*s, slice_find(*s, ' '));
	*s = slice_skip(*s, word.len);
	return word;
}

static bool
blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice
slice_trim(struct slice a)
{
	while (a.len > 0 && blank(a.ptr[0]))
		a = slice_skip(a, 1);
	while (a.len > 0 && blank(a.ptr[a.len - 1]))
		a.len--;
	return a;
}
