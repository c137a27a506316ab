#include <stdio.h>

#include "imap/needle.h"
#include "imap/sieve/match.h"
#include "lib/ascii.h"
#include "lib/must.h"

static struct slice
folded(struct sieve_state *st, struct slice s)
{
	uint8_t *p = arena_alloc(&st->scratch, s.len);

	for (size_t i = 0; i < s.len; i++)
		p[i] = ascii_lower(s.ptr[i]);
	return slice_of(p, s.len);
}

/*
 * RFC 4790 9.1: what does not begin with a digit is infinity; else the digits,
 * of any number.
 */
static bool
digits_of(struct slice *s)
{
	size_t n = 0;

	while (n < s->len && ascii_digit(s->ptr[n]))
		n++;
	*s = slice_first(*s, n);
	while (s->len > 1 && s->ptr[0] == '0')
		*s = slice_skip(*s, 1);
	return n > 0;
}

static int
compare_numbers(struct slice a, struct slice b)
{
	bool a_finite = digits_of(&a), b_finite = digits_of(&b);

	if (!a_finite)
		return b_finite ? 1 : 0;
	if (!b_finite)
		return -1;
	if (a.len != b.len)
		return a.len < b.len ? -1 : 1;
	return slice_compare(a, b);
}

static int
compare_nocase(struct slice a, struct slice b)
{
	size_t n = a.len < b.len ? a.len : b.len;

	for (size_t i = 0; i < n; i++) {
		uint8_t x = ascii_lower(a.ptr[i]), y = ascii_lower(b.ptr[i]);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return (a.len > b.len) - (a.len < b.len);
}

/* By the test's comparator; below, equal to or above 0. */
static int
compare(const struct match *m, struct slice value, struct slice key)
{
	switch (m->in->comparator) {
	case COMPARATOR_NUMERIC:
		return compare_numbers(value, key);
	case COMPARATOR_CASEMAP:
		return compare_nocase(value, key);
	case COMPARATOR_OCTET:
		break;
	}
	return slice_compare(value, key);
}

static bool
holds(enum sieve_relation relation, int order)
{
	switch (relation) {
	case RELATION_GT:
		return order > 0;
	case RELATION_GE:
		return order >= 0;
	case RELATION_LT:
		return order < 0;
	case RELATION_LE:
		return order <= 0;
	case RELATION_EQ:
		return order == 0;
	case RELATION_NE:
		return order != 0;
	}
	return false;
}

/* Folded in pieces, since the value may be long. */
static bool
contains_nocase(const struct needle *needle, struct slice value)
{
	struct needle_state found = { 0 };
	uint8_t piece[1024];

	needle_put(needle, &found, (struct slice){ 0 });
	while (value.len > 0 && !found.found) {
		size_t n =
		    value.len < sizeof(piece) ? value.len : sizeof(piece);

		for (size_t i = 0; i < n; i++)
			piece[i] = ascii_lower(value.ptr[i]);
		needle_put(needle, &found, slice_of(piece, n));
		value = slice_skip(value, n);
	}
	return found.found;
}

static bool
contains(struct match *m, struct slice value, struct slice key)
{
	struct needle needle;

	if (key.len > NEEDLE_MAX)
		return false;
	if (m->in->comparator != COMPARATOR_CASEMAP) {
		needle_init(&needle, &m->st->scratch, key);
		return needle_in(&needle, value);
	}
	needle_init(&needle, &m->st->scratch, folded(m->st, key));
	return contains_nocase(&needle, value);
}

/* Octets of the UTF-8 character at i. */
static size_t
character_at(struct slice s, size_t i)
{
	size_t n = 1;

	if (s.ptr[i] >= 0xc0)
		while (i + n < s.len && n < 4 && (s.ptr[i + n] & 0xc0) == 0x80)
			n++;
	return n;
}

/* A "*" or "?" of the pattern and what it stands for. */
struct wildcard {
	size_t from, to; /* in the value */
};

struct glob {
	struct match *m;
	struct slice value, pattern; /* as written */
	size_t v, p;                 /* how far we are */
	bool star;                   /* there was one: */
	size_t star_v, star_p;       /* tried from here, next to it */
	unsigned star_n;             /* its number */
	unsigned n;                  /* wildcards so far */
	struct wildcard wildcards[SIEVE_CAPTURES];
};

static void
capture(struct glob *g, unsigned n, size_t from, size_t to)
{
	if (n < SIEVE_CAPTURES)
		g->wildcards[n] = (struct wildcard){ from, to };
}

/* One step; false if what is here does not match. */
static bool
glob_step(struct glob *g)
{
	uint8_t c = g->p < g->pattern.len ? g->pattern.ptr[g->p] : 0, v;
	size_t width;

	if (g->p == g->pattern.len)
		return false;
	if (c == '*') {
		g->star = true;
		g->star_p = ++g->p;
		g->star_v = g->v;
		g->star_n = ++g->n;
		capture(g, g->n, g->v, g->v);
		return true;
	}
	if (g->v == g->value.len)
		return false;
	v = g->value.ptr[g->v];
	if (c == '?') {
		width = character_at(g->value, g->v);
		capture(g, ++g->n, g->v, g->v + width);
		g->v += width;
		g->p++;
		return true;
	}
	width = 1;
	if (c == '\\' && g->p + 1 < g->pattern.len) {
		c = g->pattern.ptr[g->p + 1];
		width = 2;
	}
	if (g->m->in->comparator == COMPARATOR_CASEMAP) {
		c = ascii_lower(c);
		v = ascii_lower(v);
	}
	if (c != v)
		return false;
	g->p += width;
	g->v++;
	return true;
}

/*
 * The usual way without recursion: when stuck, let the last "*" take one more
 * octet.  Earlier ones need never take more, so all match as little as they
 * can, as RFC 5229 3.2 has it.  Each step is paid for.
 */
static bool
matches(struct match *m, struct slice value, struct slice pattern)
{
	struct glob g = { .m = m, .value = value, .pattern = pattern };

	while (g.v < value.len || g.p < pattern.len) {
		if (!sieve_spend(m->st, 1))
			return false;
		if (glob_step(&g))
			continue;
		if (!g.star || g.star_v == value.len)
			return false;
		g.star_v += character_at(value, g.star_v);
		g.v = g.star_v;
		g.p = g.star_p;
		g.n = g.star_n;
		if (g.n < SIEVE_CAPTURES)
			g.wildcards[g.n].to = g.v;
	}
	if (!(m->st->program->requires & 1u << EXT_VARIABLES))
		return true;
	capture(&g, 0, 0, value.len);
	for (unsigned i = 0; i < SIEVE_CAPTURES; i++) {
		struct slice s = { 0 };

		if (i <= g.n)
			s = slice_first(slice_skip(value, g.wildcards[i].from),
			    g.wildcards[i].to - g.wildcards[i].from);
		if (s.len > m->st->limits->variable_octets)
			s.len = m->st->limits->variable_octets;
		m->st->captures[i] = arena_copy(&m->st->kept, s);
	}
	return true;
}

void
match_begin(struct match *m, struct sieve_state *st,
    const struct sieve_instr *in, struct sieve_strings keys)
{
	*m = (struct match){ .st = st,
		.in = in,
		.keys = sieve_expand_all(st, keys) };
}

static bool
match_key(struct match *m, struct slice value, struct slice key)
{
	if (!sieve_spend(m->st, value.len + key.len + 1))
		return false;
	switch (m->in->match) {
	case TAG_CONTAINS:
		return contains(m, value, key);
	case TAG_MATCHES:
		return matches(m, value, key);
	case TAG_VALUE:
		return holds(m->in->relation, compare(m, value, key));
	default:
		return compare(m, value, key) == 0;
	}
}

void
match_value(struct match *m, struct slice value)
{
	m->count++;
	if (m->in->match == TAG_COUNT)
		return;
	for (unsigned i = 0; i < m->keys.count && !m->found; i++)
		m->found = match_key(m, value, m->keys.at[i]);
}

void
match_count(struct match *m, uint64_t n)
{
	m->count += n;
}

bool
match_end(struct match *m)
{
	char text[24];
	int n =
	    snprintf(text, sizeof(text), "%llu", (unsigned long long)m->count);

	MUST(n > 0);
	if (m->in->match != TAG_COUNT)
		return m->found;
	for (unsigned i = 0; i < m->keys.count; i++)
		if (holds(m->in->relation,
		        compare(m, slice_of(text, (size_t)n), m->keys.at[i])))
			return true;
	return false;
}
