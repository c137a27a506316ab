/*
 * address: the addresses of a From, To or similar field (RFC 5322 3.4, with
 * the obsolete forms: routes, comments, empty list members).
 *
 * Phrases and quoted local parts come out without their quotes and comments,
 * encoded words as they are.  A group is, as in RFC 9051 7.5.2, an entry that
 * has only a mailbox (its name), then the members, then an empty entry.
 * What cannot be an address is skipped up to the next comma.
 */
#ifndef IMAP_ADDRESS_H
#define IMAP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/slice.h"

struct arena;

enum address_kind {
	ADDRESS_ONE,   /* mailbox@host */
	ADDRESS_GROUP, /* mailbox is the name of the group */
	ADDRESS_GROUP_END
};

struct address {
	enum address_kind kind;
	struct slice name;    /* len 0: none */
	struct slice route;   /* "@a,@b"; len 0: none */
	struct slice mailbox; /* local part, or the group's name */
	struct slice host;    /* len 0: there was none */
};

struct address_list {
	const struct address *at;
	size_t count;
};

enum {
	ADDRESS_MAX = 4000 /* of one field; what follows is dropped */
};

/* value as header_next() has it.  Results live in the arena. */
struct address_list address_parse(struct arena *a, struct slice value);

#endif
