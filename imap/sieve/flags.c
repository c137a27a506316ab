/* sieve: RFC 5232, flags as variables. */
#include "imap/flag.h"
#include "imap/sieve/match.h"
#include "lib/ascii.h"
#include "lib/buf.h"

enum {
	LIST_MAX = FLAG_KEYWORDS_MAX * (FLAG_KEYWORD_MAX + 1)
};

/*
 * The flags among the words; what is none is left out.  Each word is compared
 * with those before it.
 */
static void
parse_words(struct sieve_state *st, struct slice words, struct flags *f)
{
	while (words.len > 0) {
		size_t n = slice_find(words, ' ');

		if (!sieve_spend(st, n + 1 + f->n))
			return;
		/* RFC 5232 2: what cannot be a flag is ignored. */
		if (n > 0)
			(void)flags_add(&st->scratch, f, slice_first(words, n));
		words = slice_skip(words, n < words.len ? n + 1 : n);
	}
}

static void
parse_list(struct sieve_state *st, struct sieve_strings list, struct flags *f)
{
	for (unsigned i = 0; i < list.count; i++)
		parse_words(st, sieve_expand(st, list.at[i]), f);
}

/* Back into words, for a variable. */
static struct slice
to_words(struct sieve_state *st, const struct flags *f)
{
	struct slice s;
	struct buf b;

	buf_init(&b, LIST_MAX);
	flags_put(&b, f);
	s = arena_copy(&st->kept, buf_slice(&b));
	buf_fini(&b);
	return s;
}

/* The variable that the instruction names, or the internal one. */
static struct slice
get(struct sieve_state *st, const struct sieve_instr *in)
{
	if (in->args[0].count == 0)
		return st->flags;
	return sieve_variable_get(st, in->args[0].at[0]);
}

static void
put(struct sieve_state *st, const struct sieve_instr *in, struct flags *f)
{
	struct slice words = to_words(st, f);

	if (in->args[0].count == 0)
		st->flags = words;
	else
		sieve_variable_set(st, in->args[0].at[0], words);
}

void
sieve_setflag(struct sieve_state *st, const struct sieve_instr *in)
{
	struct flags f = { 0 };

	parse_list(st, in->args[1], &f);
	put(st, in, &f);
}

void
sieve_addflag(struct sieve_state *st, const struct sieve_instr *in)
{
	struct flags f = { 0 };

	parse_words(st, get(st, in), &f);
	parse_list(st, in->args[1], &f);
	put(st, in, &f);
}

void
sieve_removeflag(struct sieve_state *st, const struct sieve_instr *in)
{
	struct flags f = { 0 }, gone = { 0 };
	size_t n = 0;

	parse_words(st, get(st, in), &f);
	parse_list(st, in->args[1], &gone);
	f.system &= ~gone.system;
	for (size_t i = 0; i < f.n; i++)
		if (!flags_has_keyword(&gone, f.keywords[i]))
			f.keywords[n++] = f.keywords[i];
	f.n = n;
	put(st, in, &f);
}

/* Each flag by itself, distinct. */
static void
match_words(struct sieve_state *st, struct match *m, struct slice words)
{
	struct flags f = { 0 };

	parse_words(st, words, &f);
	for (unsigned bit = 1; bit <= FLAG_ALL && !m->found; bit <<= 1)
		if (f.system & bit)
			match_value(m, slice_str(flag_name(bit)));
	for (size_t i = 0; i < f.n && !m->found; i++)
		match_value(m, f.keywords[i]);
}

/* Keys may be lists of flags themselves: "b A" is two. */
static struct sieve_strings
split_keys(struct sieve_state *st, struct sieve_strings list)
{
	struct slice *at;
	unsigned n = 0, room = 0;

	list = sieve_expand_all(st, list);
	for (unsigned i = 0; i < list.count; i++)
		for (size_t k = 0; k <= list.at[i].len; k++)
			room += k == 0 || list.at[i].ptr[k - 1] == ' ';
	at = arena_array(&st->scratch, room, sizeof(*at));
	for (unsigned i = 0; i < list.count; i++) {
		struct slice s = list.at[i];

		while (s.len > 0) {
			size_t len = slice_find(s, ' ');

			if (len > 0)
				at[n++] = slice_first(s, len);
			s = slice_skip(s, len < s.len ? len + 1 : len);
		}
	}
	return (struct sieve_strings){ at, n };
}

void
sieve_hasflag(struct sieve_state *st, const struct sieve_instr *in)
{
	struct match m;

	match_begin(&m, st, in, in->args[1]);
	if (in->match != TAG_COUNT)
		m.keys = split_keys(st, in->args[1]);
	if (in->args[0].count == 0)
		match_words(st, &m, st->flags);
	for (unsigned i = 0; i < in->args[0].count && !m.found; i++)
		match_words(st, &m, sieve_variable_get(st, in->args[0].at[i]));
	st->answer = match_end(&m);
}

void
sieve_flags_of(struct sieve_state *st, const struct sieve_instr *in,
    struct sieve_action *action)
{
	struct flags f = { 0 };
	struct slice *flags;
	unsigned n = 0;

	if (in != NULL && (in->groups & GROUP_FLAGS))
		parse_list(st, in->flags, &f);
	else
		parse_words(st, st->flags, &f);
	flags = arena_array(st->results, f.n + 5, sizeof(*flags));
	for (unsigned bit = 1; bit <= FLAG_ALL; bit <<= 1)
		if (f.system & bit)
			flags[n++] = slice_str(flag_name(bit));
	for (size_t i = 0; i < f.n; i++)
		flags[n++] = arena_copy(st->results, f.keywords[i]);
	action->flags = flags;
	action->nflags = n;
}
