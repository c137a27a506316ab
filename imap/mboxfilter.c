#include <string.h>

#include "imap/mboxfilter.h"
#include "imap/parse.h"
#include "lib/arena.h"
#include "lib/cdefs.h"

static const struct {
	const char *word;
	enum mboxfilter_kind kind;
	enum {
		PLAIN,
		NAMED
	} takes;
} kinds[] = {
	{ "SELECTED", MBOXFILTER_SELECTED, PLAIN },
	{ "SELECTED-DELAYED", MBOXFILTER_SELECTED_DELAYED, PLAIN },
	{ "INBOXES", MBOXFILTER_INBOXES, PLAIN },
	{ "PERSONAL", MBOXFILTER_PERSONAL, PLAIN },
	{ "SUBSCRIBED", MBOXFILTER_SUBSCRIBED, PLAIN },
	{ "SUBTREE", MBOXFILTER_SUBTREE, NAMED },
	{ "SUBTREE-ONE", MBOXFILTER_SUBTREE_ONE, NAMED },
	{ "MAILBOXES", MBOXFILTER_MAILBOXES, NAMED },
};

static void
add_name(struct parse *p, struct mboxfilter *f, size_t *room)
{
	struct slice *more;

	if (f->nnames == MBOXFILTER_NAMES_MAX) {
		parse_fail(p, "Too many mailboxes");
		return;
	}
	if (f->nnames == *room) {
		*room = *room == 0 ? 4 : *room * 2;
		more = arena_array(p->arena, *room, sizeof(*more));
		if (f->nnames > 0)
			memcpy(more, f->names, f->nnames * sizeof(*more));
		f->names = more;
	}
	f->names[f->nnames++] = parse_mailbox(p);
}

/* one-or-more-mailbox = mailbox / many-mailboxes */
static void
parse_names(struct parse *p, struct mboxfilter *f)
{
	size_t room = 0;

	parse_sp(p);
	if (parse_peek(p) != '(') {
		add_name(p, f, &room);
		return;
	}
	parse_open(p);
	while (parse_more(p))
		add_name(p, f, &room);
	if (f->nnames == 0)
		parse_fail(p, "Mailbox expected");
}

void
mboxfilter_parse(struct parse *p, struct mboxfilter *f)
{
	size_t i = 0;

	*f = (struct mboxfilter){ 0 };
	while (i < NITEMS(kinds) && !parse_try_word(p, kinds[i].word))
		i++;
	if (i == NITEMS(kinds)) {
		parse_fail(p, "Unknown way to name mailboxes");
		return;
	}
	f->kind = kinds[i].kind;
	if (kinds[i].takes == NAMED)
		parse_names(p, f);
}
