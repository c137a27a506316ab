/*
 * mboxrec: what a mailbox list knows of one mailbox, as a record.
 *
 * The same record in the update server's list, in a frontend's copy and in a
 * backend's own list; each fills in what it knows.  On disk it is a version
 * octet and the fields that are not empty, those that neighbours share first;
 * version 1, which had fewer and all of them, is still read.
 *
 * The law: put then parsed is the same record.
 */
#ifndef IMAP_MBOXREC_H
#define IMAP_MBOXREC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;
struct err;

enum mboxrec_state {
	MBOXREC_RESERVED = 1, /* the name is taken, there is nothing to open */
	MBOXREC_ACTIVE,
	MBOXREC_MOVING /* there, but not to be changed for the moment */
};

enum {
	MBOXREC_LOCATION_MAX = 255,
	MBOXREC_HOST = MBOXREC_LOCATION_MAX + 1, /* a host as a string */
	MBOXREC_ACL_MAX = 128 * 1024
};

struct mboxrec {
	enum mboxrec_state state;
	uint8_t type;              /* 0: a mailbox with messages */
	uint8_t pending;           /* backend: what the update server is still
	                              to be told; the backend's own enum */
	uint32_t uidvalidity;      /* backend; 0: not known */
	uint64_t created;          /* seconds since 1970; 0: not known */
	uint64_t revision;         /* of the last change, in its list */
	uint64_t generation;       /* of the location: the revision at which
	                              it was granted; 0: not known */
	uint64_t since;            /* reserved: seconds since 1970 */
	struct slice location;     /* "host!partition"; partition may be "" */
	struct slice acl;          /* identifier TAB rights TAB, repeated */
	struct slice mailboxid;    /* RFC 8474; "" if not known */
	struct slice special_uses; /* "\Drafts \Sent"; "" for none */
	struct slice owner;        /* reserved: who did it */
};

void mboxrec_put(struct buf *b, const struct mboxrec *r);

/* The slices are borrowed from s.  -1 and *err if s is no record. */
int mboxrec_parse(struct mboxrec *r, struct slice s,
    struct err *err) MUST_CHECK;

/* Is it a record of a name that is reserved?  Without reading all of it. */
bool mboxrec_is_reserved(struct slice s);

bool mboxrec_equal(const struct mboxrec *a, const struct mboxrec *b);

/*
 * May clients be shown it?  A MAILBOXID (RFC 8474), and one special use: '\' and
 * an atom (RFC 6154).
 */
bool mboxrec_is_mailboxid(struct slice s);
bool mboxrec_is_special_use(struct slice s);

/* Parts of "host!partition"; without '!' all of it is host. */
struct slice mboxrec_host(struct slice location);
struct slice mboxrec_partition(struct slice location);

/*
 * The identifiers to whom the ACL gives the lookup right, as tags for
 * treedb_put(): borrowed from r, each once, at most max of them (the rest are
 * left out).  Returns how many.  So a posting right for anyone, which every
 * INBOX may have, makes nobody's LIST look at every INBOX.
 *
 * The owner of the mailbox called name is not among them: what is below one's
 * own INBOX is found by its name, and is most of any list.  An empty name has
 * no owner.
 */
size_t mboxrec_tags(const struct mboxrec *r, struct slice name,
    struct slice *tags, size_t max);

#endif
