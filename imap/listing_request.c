/*
 * What LIST and LSUB ask for.
 */
#include "imap/listing.h"
#include "imap/listmatch.h"
#include "imap/value.h"
#include "lib/arena.h"

static void
parse_select(struct parse *p, struct listing_request *r)
{
	parse_open(p);
	while (parse_more(p)) {
		struct slice word = parse_atom(p);

		if (slice_is_nocase(word, "SUBSCRIBED"))
			r->select |= LISTING_SELECT_SUBSCRIBED;
		else if (slice_is_nocase(word, "REMOTE"))
			r->select |= LISTING_SELECT_REMOTE;
		else if (slice_is_nocase(word, "RECURSIVEMATCH"))
			r->select |= LISTING_SELECT_RECURSIVEMATCH;
		else if (slice_is_nocase(word, "SPECIAL-USE"))
			r->select |= LISTING_SELECT_SPECIAL_USE;
		else
			parse_fail(p, "Unknown LIST selection option");
	}
	/* RFC 5258 3.1: it modifies another one. */
	if ((r->select & LISTING_SELECT_RECURSIVEMATCH) != 0 &&
	    (r->select &
	        (LISTING_SELECT_SUBSCRIBED | LISTING_SELECT_SPECIAL_USE)) == 0)
		parse_fail(p, "RECURSIVEMATCH needs another selection option");
	parse_sp(p);
}

static void
parse_status(struct parse *p, struct listing_request *r)
{
	parse_sp(p);
	r->status = value_parse(p);
	if (r->status != NULL &&
	    (r->status->kind != VALUE_LIST || r->status->items == NULL))
		parse_fail(p, "STATUS needs a list of items");
	r->returns |= LISTING_RETURN_STATUS;
}

static void
parse_metadata(struct parse *p, struct listing_request *r)
{
	parse_sp(p);
	r->metadata = value_parse(p);
	r->returns |= LISTING_RETURN_METADATA;
}

static void
parse_returns(struct parse *p, struct listing_request *r)
{
	parse_sp(p);
	parse_word(p, "RETURN");
	parse_sp(p);
	parse_open(p);
	while (parse_more(p)) {
		struct slice word = parse_atom(p);

		if (slice_is_nocase(word, "SUBSCRIBED"))
			r->returns |= LISTING_RETURN_SUBSCRIBED;
		else if (slice_is_nocase(word, "CHILDREN"))
			r->returns |= LISTING_RETURN_CHILDREN;
		else if (slice_is_nocase(word, "SPECIAL-USE"))
			r->returns |= LISTING_RETURN_SPECIAL_USE;
		else if (slice_is_nocase(word, "STATUS"))
			parse_status(p, r);
		else if (slice_is_nocase(word, "MYRIGHTS"))
			r->returns |= LISTING_RETURN_MYRIGHTS;
		else if (slice_is_nocase(word, "METADATA"))
			parse_metadata(p, r);
		else
			parse_fail(p, "Unknown LIST return option");
	}
}

static void
add_pattern(struct parse *p, struct listing_request *r)
{
	struct slice pattern = parse_list_mailbox(p);

	if (r->npatterns == LISTING_PATTERNS_MAX)
		parse_fail(p, "Too many patterns");
	else if (listmatch_too_long(pattern))
		parse_fail(p, "The pattern is too long");
	else
		r->patterns[r->npatterns++] = pattern;
}

/* Octets of a pattern from its first wildcard on: what a match costs a name. */
static size_t
wild(struct slice pattern)
{
	return pattern.len - listmatch_prefix(pattern);
}

/* All patterns are tried on each name; a reference is a part of each. */
static bool
costs_too_much(const struct listing_request *r)
{
	size_t sum = 0, reference = wild(r->reference);

	for (size_t i = 0; i < r->npatterns; i++)
		sum += reference > 0 ? reference + r->patterns[i].len
		                     : wild(r->patterns[i]);
	return sum > LISTMATCH_MAX;
}

void
listing_parse(struct parse *p, bool lsub, struct listing_request *r)
{
	*r = (struct listing_request){ .lsub = lsub };
	r->patterns =
	    arena_array(p->arena, LISTING_PATTERNS_MAX, sizeof(*r->patterns));
	if (!lsub && parse_peek(p) == '(') {
		r->extended = true;
		parse_select(p, r);
	}
	r->reference = parse_mailbox(p);
	parse_sp(p);
	if (!lsub && parse_peek(p) == '(') {
		r->extended = true;
		parse_open(p);
		while (parse_more(p))
			add_pattern(p, r);
	} else
		add_pattern(p, r);
	if (costs_too_much(r))
		parse_fail(p, "The patterns are too long");
	if (!lsub && parse_peek(p) == ' ') {
		r->extended = true;
		parse_returns(p, r);
	}
	parse_end(p);
	if (lsub)
		r->select = LISTING_SELECT_SUBSCRIBED;
	/* RFC 5258 3.1: what was selected by is returned too. */
	if ((r->select & LISTING_SELECT_SUBSCRIBED) != 0)
		r->returns |= LISTING_RETURN_SUBSCRIBED;
}

bool
listing_wants_subscriptions(const struct listing_request *r)
{
	return (r->returns & LISTING_RETURN_SUBSCRIBED) != 0;
}

bool
listing_is_separator_only(const struct listing_request *r)
{
	return !r->extended && r->npatterns == 1 && r->patterns[0].len == 0;
}

void
listing_write_separator(struct write *w, const struct mboxname_layout *layout,
    const struct listing_request *r)
{
	write_untagged(w, r->lsub ? "LSUB (\\Noselect)" : "LIST (\\Noselect)");
	write_sp(w);
	write_string(w, slice_of(&layout->separator, 1));
	write_sp(w);
	write_string(w, slice_str(""));
	write_end(w);
}
