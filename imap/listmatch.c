#include "imap/listmatch.h"
#include "lib/ascii.h"

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

/*
 * Which pattern positions can be reached after each octet of the name: time is
 * pattern times name, with no back-tracking for anybody to provoke.
 */
static bool
match(struct slice pattern, struct slice name, char separator)
{
	bool at[LISTMATCH_MAX + 1] = { true };

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

bool
listmatch(struct slice pattern, struct slice name, char separator)
{
	size_t plain = listmatch_prefix(pattern);
	uint8_t upper[LISTMATCH_MAX];

	if (listmatch_too_long(pattern))
		return false;
	if (begins_inbox(name, separator)) {
		/* As many octets of the pattern as are plain are of INBOX. */
		for (size_t i = 0; i < pattern.len; i++)
			upper[i] = i < plain && i < 5
			               ? ascii_upper(pattern.ptr[i])
			               : pattern.ptr[i];
		pattern.ptr = upper;
		if (pattern.len == 0)
			pattern.ptr = name.ptr;
	}
	if (plain > name.len ||
	    (plain > 0 && memcmp(pattern.ptr, name.ptr, plain) != 0))
		return false;
	return match(slice_skip(pattern, plain), slice_skip(name, plain),
	    separator);
}
