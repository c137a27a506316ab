#include <stdint.h>
#include <string.h>

#include "imap/listmatch.h"

enum {
	WORDS = LISTMATCH_MAX / 64 + 1
};

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

/* Every match has at least these. */
static size_t
plain_octets(struct slice pattern)
{
	size_t n = 0;

	for (size_t i = 0; i < pattern.len; i++)
		n += pattern.ptr[i] != '*' && pattern.ptr[i] != '%';
	return n;
}

/*
 * How much of the pattern has been matched, as a set of numbers of its plain
 * octets: for each octet of the name 64 of them advance at once, and there is
 * no back-tracking for anybody to provoke.
 */
struct states {
	uint64_t at[WORDS];
	uint64_t any[WORDS];       /* before this one is a "*" */
	uint64_t level[WORDS];     /* ...or a "%" */
	uint64_t step[256][WORDS]; /* this one comes after this octet; only
	                               of octets that are in the name */
	size_t words;
};

static void
set(uint64_t *bits, size_t i)
{
	bits[i / 64] |= (uint64_t)1 << (i % 64);
}

static void
states_init(struct states *s, struct slice pattern, struct slice name)
{
	size_t size, n = 0;

	s->words = plain_octets(pattern) / 64 + 1;
	size = s->words * sizeof(uint64_t);
	memset(s->at, 0, size);
	memset(s->any, 0, size);
	memset(s->level, 0, size);
	for (size_t i = 0; i < name.len; i++)
		memset(s->step[name.ptr[i]], 0, size);
	for (size_t i = 0; i < pattern.len; i++)
		if (pattern.ptr[i] == '*')
			set(s->any, n);
		else if (pattern.ptr[i] == '%')
			set(s->level, n);
		else
			set(s->step[pattern.ptr[i]], ++n);
	set(s->at, 0);
}

static void
states_advance(struct states *s, uint8_t c, bool separates)
{
	uint64_t carry = 0;

	for (size_t i = 0; i < s->words; i++) {
		uint64_t stay = s->any[i] | (separates ? 0 : s->level[i]);
		uint64_t next = s->at[i] << 1 | carry;

		carry = s->at[i] >> 63;
		s->at[i] = (next & s->step[c][i]) | (s->at[i] & stay);
	}
}

static bool
match(struct slice pattern, struct slice name, char separator)
{
	struct states s;
	size_t n = plain_octets(pattern);

	if (n > name.len)
		return false;
	states_init(&s, pattern, name);
	for (size_t i = 0; i < name.len; i++)
		states_advance(&s, name.ptr[i],
		    name.ptr[i] == (uint8_t)separator);
	return s.at[n / 64] >> (n % 64) & 1;
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
