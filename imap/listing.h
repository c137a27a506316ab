/*
 * listing: LIST and LSUB, asked and answered (RFC 9051 6.3.9, RFC 3501 6.3.9,
 * RFC 5258, RFC 5819, RFC 6154).
 *
 * The same for a backend, which has its own list, and for a frontend, which
 * has everybody's: the owner parses the request, adds the mailboxes that the
 * user may see (and, if listing_wants_subscriptions(), those subscribed to),
 * and takes the lines of the answer one after another:
 *
 *	listing_parse(&p, lsub, &request);
 *	l = listing_new(arena, &view, &request);
 *	n = listing_plan(l, is_admin, walks);
 *	for each of the n walks over the own list, each mailbox it finds:
 *		listing_add(l, name, rec);
 *	listing_add_subscription(l, external);        each, any order
 *	while (!listing_settle(l))
 *		another turn;
 *	while (listing_next(l, &item))
 *		listing_write(&w, l, &item);
 *
 * What is answered follows one rule (RFC 5258, 3): a name that matches a
 * pattern is, if it is selected itself, or if something below it is selected
 * that matches no pattern, and it is a level without a mailbox, or the client
 * said RECURSIVEMATCH or LSUB.  The cost is that of what was added, at most
 * LISTING_NAMES_MAX names.
 */
#ifndef IMAP_LISTING_H
#define IMAP_LISTING_H

#include <stdbool.h>
#include <stddef.h>

#include "imap/mboxname.h"
#include "imap/parse.h"
#include "imap/write.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct listing;
struct mboxrec;
struct value;

enum listing_select { /* bits */
	LISTING_SELECT_SUBSCRIBED = 1 << 0,
	LISTING_SELECT_REMOTE = 1 << 1,
	LISTING_SELECT_RECURSIVEMATCH = 1 << 2,
	LISTING_SELECT_SPECIAL_USE = 1 << 3
};

enum listing_return { /* bits */
	LISTING_RETURN_SUBSCRIBED = 1 << 0,
	LISTING_RETURN_CHILDREN = 1 << 1,
	LISTING_RETURN_SPECIAL_USE = 1 << 2,
	LISTING_RETURN_STATUS = 1 << 3,
	LISTING_RETURN_MYRIGHTS = 1 << 4, /* RFC 8440 */
	LISTING_RETURN_METADATA = 1 << 5  /* RFC 9590 */
};

enum {
	LISTING_PATTERNS_MAX = 100,
	LISTING_NAMES_MAX = 500000, /* more are left out: listing_is_cut() */
	LISTING_WALKS_MAX = 3
};

struct listing_request {
	bool lsub;
	bool extended; /* the client knows RFC 5258 */
	unsigned select, returns;
	struct slice reference;
	struct slice *patterns; /* in the arena */
	size_t npatterns;
	struct value *status;   /* the list of items; NULL without STATUS */
	struct value *metadata; /* the entries, one or a list; or NULL */
};

/* p stands at the first argument.  Failure is p's. */
void listing_parse(struct parse *p, bool lsub, struct listing_request *r);

/* Must subscriptions be known for this? */
bool listing_wants_subscriptions(const struct listing_request *r);

/* 'LIST "" ""': only the separator is asked for; answer it and be done. */
bool listing_is_separator_only(const struct listing_request *r);
void listing_write_separator(struct write *w,
    const struct mboxname_layout *layout, const struct listing_request *r);

/* Borrows all, for the life of the arena. */
struct listing *listing_new(struct arena *a, const struct mboxname_view *view,
    const struct listing_request *r);

/*
 * Where the mailboxes are that may bear on the answer: the mailboxes at and
 * below a name, those whose ACL names an identifier, or, both being empty, all
 * there are.  A mailbox may be found twice.
 */
struct listing_walk {
	struct slice below; /* an internal name */
	struct slice identifier;
};

/* How many walks; none for LSUB. */
size_t listing_plan(struct listing *l, bool is_admin,
    struct listing_walk walks[LISTING_WALKS_MAX]);

/*
 * A mailbox by its internal name; what the user may not see is left out.
 * false: the rest of this walk would change nothing, if it goes from a name to
 * those below it.
 */
bool listing_add(struct listing *l, struct slice name,
    const struct mboxrec *rec);

/* Was the last one added?  Then its item will have this note, borrowed. */
bool listing_was_added(const struct listing *l);
void listing_note(struct listing *l, void *note);

/* A subscribed name, as clients see it; it need not exist. */
void listing_add_subscription(struct listing *l, struct slice external);

/*
 * What another server says of a mailbox, by its name as clients see it: one
 * attribute.  Those that are no special uses are passed over.  It makes no
 * mailbox exist.
 */
void listing_add_attribute(struct listing *l, struct slice external,
    struct slice attribute);

/*
 * All is added: looks at as much of it as may be in a turn.  false: that was
 * not all; call it again.
 */
bool listing_settle(struct listing *l) MUST_CHECK;

/* There were more names than may be listed. */
bool listing_is_cut(const struct listing *l);

struct listing_item {
	struct slice external;
	bool exists;
	bool selected; /* itself, not for what is below: STATUS, MYRIGHTS and
	                  METADATA are of those that exist, too */
	bool subscribed, has_children, child_subscribed;
	struct slice special_uses;
	void *note; /* listing_note()'s; or NULL */
};

/* In order, INBOX first. */
bool listing_next(struct listing *l, struct listing_item *item);

/* "* LIST (...) "/" name" CR LF; room: at most name's octets + 512. */
void listing_write(struct write *w, const struct listing *l,
    const struct listing_item *item);

/* The attributes of a LIST response, with spaces between. */
struct listing_attributes {
	struct write *w;
	bool some; /* have been put */
};
void listing_put_attribute(struct listing_attributes *a, struct slice name);

/*
 * Those of "\Sent \Drafts" that are special uses.  RFC 6154: they may be said
 * unasked; clients look for them in plain LIST.
 */
void listing_put_special_uses(struct listing_attributes *a, struct slice uses);

#endif
