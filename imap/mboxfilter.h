/*
 * mboxfilter: which mailboxes are meant, by a rule and not by a list:
 * filter-mailboxes of RFC 5465 6 (NOTIFY) and RFC 7377 2.2 (ESEARCH).
 */
#ifndef IMAP_MBOXFILTER_H
#define IMAP_MBOXFILTER_H

#include <stddef.h>

#include "lib/slice.h"

struct parse;

enum mboxfilter_kind {
	MBOXFILTER_SELECTED,
	MBOXFILTER_SELECTED_DELAYED, /* not for ESEARCH */
	MBOXFILTER_INBOXES,
	MBOXFILTER_PERSONAL,
	MBOXFILTER_SUBSCRIBED,
	MBOXFILTER_SUBTREE,     /* names, and all below them */
	MBOXFILTER_SUBTREE_ONE, /* names, and one level below; not for NOTIFY */
	MBOXFILTER_MAILBOXES    /* names */
};

enum {
	MBOXFILTER_NAMES_MAX = 1000
};

struct mboxfilter {
	enum mboxfilter_kind kind;
	struct slice *names; /* external, as sent; in the arena */
	size_t nnames;
};

/* Parse one; p fails if there is none. */
void mboxfilter_parse(struct parse *p, struct mboxfilter *f);

#endif
