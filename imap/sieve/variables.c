/* sieve: RFC 5229. */
#include "imap/sieve/match.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/utf8.h"

enum {
	NAME_OCTETS_MAX = 64,
	EXPANDED_MAX = 256 * 1024 /* one string with all its variables */
};

static bool
is_name(struct slice s)
{
	if (s.len == 0 || s.len > NAME_OCTETS_MAX || ascii_digit(s.ptr[0]))
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_alnum(s.ptr[i]) && s.ptr[i] != '_')
			return false;
	return true;
}

/* "${...}" at the front of s: what is inside. */
static bool
reference_at(struct slice s, struct slice *inside)
{
	uint64_t n;

	if (s.len < 4 || s.ptr[0] != '$' || s.ptr[1] != '{')
		return false;
	s = slice_skip(s, 2);
	if (s.len > NAME_OCTETS_MAX + 1)
		s = slice_first(s, NAME_OCTETS_MAX + 1);
	*inside = slice_first(s, slice_find(s, '}'));
	return inside->len < s.len &&
	       (is_name(*inside) || ascii_number(*inside, 1000000, &n));
}

bool
sieve_is_constant(struct slice s)
{
	struct slice inside;

	for (size_t i = 0; i < s.len; i++)
		if (reference_at(slice_skip(s, i), &inside))
			return false;
	return true;
}

struct slice
sieve_variable_get(struct sieve_state *st, struct slice name)
{
	uint64_t n;

	if (ascii_number(name, 1000000, &n))
		return n < SIEVE_CAPTURES ? st->captures[n]
		                          : (struct slice){ 0 };
	for (unsigned i = 0; i < st->nvariables; i++)
		if (slice_equal_nocase(st->variables[i].name, name))
			return st->variables[i].value;
	return (struct slice){ 0 };
}

/* No longer than the limit, and no character cut in two. */
static struct slice
cut(struct slice s, size_t limit)
{
	if (s.len <= limit)
		return s;
	while (limit > 0 && (s.ptr[limit] & 0xc0) == 0x80)
		limit--;
	return slice_first(s, limit);
}

void
sieve_variable_set(struct sieve_state *st, struct slice name,
    struct slice value)
{
	unsigned i = 0;

	if (!is_name(name)) {
		sieve_fail(st, "not a variable's name");
		return;
	}
	while (i < st->nvariables &&
	       !slice_equal_nocase(st->variables[i].name, name))
		i++;
	if (i == SIEVE_VARIABLES) {
		sieve_fail(st, "too many variables");
		return;
	}
	if (i == st->nvariables)
		st->nvariables++;
	st->variables[i].name = arena_copy(&st->kept, name);
	st->variables[i].value =
	    arena_copy(&st->kept, cut(value, st->limits->variable_octets));
}

struct slice
sieve_expand(struct sieve_state *st, struct slice s)
{
	struct slice inside, result;
	struct buf b;

	if (!(st->program->requires & 1u << EXT_VARIABLES) ||
	    sieve_is_constant(s))
		return s;
	buf_init(&b, EXPANDED_MAX);
	while (s.len > 0) {
		if (reference_at(s, &inside)) {
			buf_put_slice(&b, sieve_variable_get(st, inside));
			s = slice_skip(s, inside.len + 3);
		} else {
			buf_putc(&b, s.ptr[0]);
			s = slice_skip(s, 1);
		}
	}
	if (buf_failed(&b))
		sieve_fail(st, "a string is too long");
	result = arena_copy(&st->scratch, buf_slice(&b));
	buf_fini(&b);
	/* Else a step could be cheap however much it makes. */
	sieve_spend(st, result.len);
	return result;
}

struct sieve_strings
sieve_expand_all(struct sieve_state *st, struct sieve_strings list)
{
	struct slice *at;

	if (!(st->program->requires & 1u << EXT_VARIABLES))
		return list;
	at = arena_array(&st->scratch, list.count, sizeof(*at));
	for (unsigned i = 0; i < list.count; i++)
		at[i] = sieve_expand(st, list.at[i]);
	return (struct sieve_strings){ at, list.count };
}

/* RFC 5229 4.1.1 to 4.1.3, highest precedence first. */
static void
modify(const struct sieve_instr *in, struct slice value, struct buf *out)
{
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = value.ptr[i];

		if (in->letters == TAG_LOWER)
			c = ascii_lower(c);
		if (in->letters == TAG_UPPER)
			c = ascii_upper(c);
		if (i == 0 && in->first == TAG_LOWERFIRST)
			c = ascii_lower(c);
		if (i == 0 && in->first == TAG_UPPERFIRST)
			c = ascii_upper(c);
		if ((in->groups & GROUP_QUOTE) &&
		    (c == '*' || c == '?' || c == '\\'))
			buf_putc(out, '\\');
		buf_putc(out, c);
	}
}

/* Characters, whatever their octets. */
static size_t
length_of(struct slice s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++)
		n += (s.ptr[i] & 0xc0) != 0x80;
	return n;
}

void
sieve_set(struct sieve_state *st, const struct sieve_instr *in)
{
	struct slice value = sieve_expand(st, in->args[1].at[0]);
	struct buf b;

	buf_init(&b, 2 * EXPANDED_MAX + 24);
	modify(in, value, &b);
	if (in->groups & GROUP_LENGTH) {
		size_t n = length_of(buf_slice(&b));

		buf_clear(&b);
		buf_put_number(&b, n);
	}
	if (buf_failed(&b))
		sieve_fail(st, "a string is too long");
	else
		sieve_variable_set(st, in->args[0].at[0], buf_slice(&b));
	buf_fini(&b);
}

const char *
sieve_check_set(const struct sieve_instr *in)
{
	return is_name(in->args[0].at[0]) ? NULL : "not a variable's name";
}

void
sieve_string(struct sieve_state *st, const struct sieve_instr *in)
{
	struct sieve_strings source = sieve_expand_all(st, in->args[0]);
	struct match m;

	match_begin(&m, st, in, in->args[1]);
	for (unsigned i = 0; i < source.count && !m.found; i++)
		/* RFC 5229 5: empty strings are not counted. */
		if (in->match != TAG_COUNT || source.at[i].len > 0)
			match_value(&m, source.at[i]);
	st->answer = match_end(&m);
}
