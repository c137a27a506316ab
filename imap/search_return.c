/* search: what a client wants to hear of what is found. */
#include "imap/fetch.h"
#include "imap/parse.h"
#include "imap/search.h"
#include "lib/cdefs.h"

static const struct {
	const char *name;
	enum search_return bit;
} returns[] = {
	{ "MIN", SEARCH_RETURN_MIN },
	{ "MAX", SEARCH_RETURN_MAX },
	{ "ALL", SEARCH_RETURN_ALL },
	{ "COUNT", SEARCH_RETURN_COUNT },
	{ "PARTIAL", SEARCH_RETURN_PARTIAL },
	{ "SAVE", SEARCH_RETURN_SAVE },
	{ "CONTEXT", SEARCH_RETURN_CONTEXT },
	{ "UPDATE", SEARCH_RETURN_UPDATE },
};

/*
 * "UPDATE (UID FLAGS)", or no list: what to fetch of new messages (RFC 5465 7;
 * the ABNF has no space, the example has one).
 */
static void
parse_update(struct parse *p, struct search *s)
{
	struct parse ahead = *p, before;
	struct fetch f;

	(void)parse_try(&ahead, ' ');
	if (parse_peek(&ahead) != '(')
		return;
	*p = before = ahead;
	fetch_parse_items(p, &f);
	s->update_items = parse_between(&before, p);
	if (s->update_items.ptr == NULL && parse_error(p) == NULL)
		parse_fail(p, "No literals here");
}

static void
parse_option(struct parse *p, struct search *s)
{
	size_t i = 0;

	while (i < NITEMS(returns) && !parse_try_word(p, returns[i].name))
		i++;
	if (i == NITEMS(returns)) {
		parse_fail(p, "Unknown RETURN option");
		return;
	}
	if (returns[i].bit == SEARCH_RETURN_PARTIAL) {
		if (s->returns & SEARCH_RETURN_PARTIAL)
			parse_fail(p, "One PARTIAL is enough");
		parse_sp(p);
		partial_parse(p, &s->window);
	}
	if (returns[i].bit == SEARCH_RETURN_UPDATE)
		parse_update(p, s);
	s->returns |= returns[i].bit;
}

void
search_parse_return(struct parse *p, struct search *s)
{
	*s = (struct search){ 0 };
	if (!parse_try_word(p, "RETURN"))
		return;
	s->esearch = true;
	parse_sp(p);
	parse_open(p);
	while (parse_more(p))
		parse_option(p, s);
	/* CONTEXT and UPDATE say nothing about what to answer. */
	if (!(s->returns & (SEARCH_RETURNS_DATA | SEARCH_RETURN_SAVE)))
		s->returns |= SEARCH_RETURN_ALL;
	if ((s->returns & SEARCH_RETURN_ALL) &&
	    (s->returns & SEARCH_RETURN_PARTIAL))
		parse_fail(p, "ALL and PARTIAL exclude each other");
	parse_sp(p);
}
