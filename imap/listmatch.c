#include "imap/listmatch.h"

bool
listmatch_too_long(struct slice pattern)
{
	return pattern.len > LISTMATCH_MAX;
}

size_t
listmatch_prefix(struct slice pattern)
{
	size_t star = slice_find(pattern, '*');
	size_t percent = slice_find(pattern, '%');

	return star < percent ? star : percent;
}

/* A name has at least the octets that are no wildcards. */
static bool
is_long_enough(struct slice pattern, struct slice name)
{
	size_t plain = 0;

	for (size_t i = 0; i < pattern.len; i++)
		plain += pattern.ptr[i] != '*' && pattern.ptr[i] != '%';
	return plain <= name.len;
}

/*
 * Which pattern positions can be reached after each octet of the name: time is
 * pattern times name, with no back-tracking for anybody to provoke.
 */
static bool
match(struct slice pattern, struct slice name, char separator)
{
	bool at[LISTMATCH_MAX + 1] = { true };

	if (!is_long_enough(pattern, name))
		return false;
	for (size_t j = 0; j < pattern.len; j++)
		at[j + 1] =
		    at[j] && (pattern.ptr[j] == '*' || pattern.ptr[j] == '%');
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];
		bool before = at[0]; /* at[j] before this octet */

		at[0] = false;
		for (size_t j = 0; j < pattern.len; j++) {
			uint8_t w = pattern.ptr[j];
			bool here = at[j + 1];

			if (w == '*' || (w == '%' && c != (uint8_t)separator))
				at[j + 1] = at[j] || before || here;
			else if (w == '%')
				at[j + 1] = at[j];
			else
				at[j + 1] = before && w == c;
			before = here;
		}
	}
	return at[pattern.len];
}

/* "INBOX" in any case, alone or before a separator. */
static bool
begins_inbox(struct slice s, char separator)
{
	return slice_starts_nocase(s, "INBOX") &&
	       (s.len == 5 || s.ptr[5] == (uint8_t)separator);
}

/* Does the name begin with the pattern's plain octets? */
static bool
prefix_matches(struct slice plain, struct slice name, char separator)
{
	size_t n = 0;

	if (begins_inbox(name, separator))
		n = plain.len < 5 ? plain.len : 5;
	return plain.len <= name.len &&
	       slice_equal_nocase(slice_first(plain, n),
	           slice_first(name, n)) &&
	       slice_starts(slice_skip(name, n), slice_skip(plain, n));
}

bool
listmatch(struct slice pattern, struct slice name, char separator)
{
	size_t plain = listmatch_prefix(pattern);

	return !listmatch_too_long(pattern) &&
	       prefix_matches(slice_first(pattern, plain), name, separator) &&
	       match(slice_skip(pattern, plain), slice_skip(name, plain),
	           separator);
}
