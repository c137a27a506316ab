/*
 * acl: RFC 4314.  Rights as bits, lists as they are kept and sent.
 *
 * A list is kept as Cyrus publishes it, identifier TAB rights TAB, repeated:
 * "fred\tlrswipkxtea\tanyone\tp\t".  An identifier "-fred" holds rights taken
 * away.  There are no groups.  The rights c and d of RFC 2086 are taken as
 * what RFC 4314 2.1.1 makes of them, and shown beside the rest.
 */
#ifndef IMAP_ACL_H
#define IMAP_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/slice.h"

struct arena;
struct buf;
struct mboxname_view;
struct write;

enum acl_rights {
	ACL_LOOKUP = 1 << 0,          /* l */
	ACL_READ = 1 << 1,            /* r */
	ACL_SEEN = 1 << 2,            /* s */
	ACL_WRITE = 1 << 3,           /* w */
	ACL_INSERT = 1 << 4,          /* i */
	ACL_POST = 1 << 5,            /* p */
	ACL_CREATE = 1 << 6,          /* k */
	ACL_DELETE_MAILBOX = 1 << 7,  /* x */
	ACL_DELETE_MESSAGES = 1 << 8, /* t */
	ACL_EXPUNGE = 1 << 9,         /* e */
	ACL_ADMIN = 1 << 10,          /* a */
	ACL_ANNOTATE = 1 << 11,       /* n, of Cyrus */
	ACL_USER0 = 1 << 12,          /* 0 ... */
	ACL_USER9 = 1 << 21,          /* ... 9 */
	ACL_ALL = (1 << 11) - 1,      /* lrswipkxtea */
	ACL_OWNER_IMPLICIT = ACL_LOOKUP | ACL_CREATE | ACL_ADMIN
};

enum {
	ACL_ENTRIES_MAX = 1000,
	ACL_IDENTIFIER_MAX = 255,
	ACL_MAX = 65536 /* octets of a list in tab form */
};

struct acl_entry {
	struct slice identifier; /* with the "-" of negative rights */
	unsigned rights;         /* of enum acl_rights */
};

/* Zeroed, it is empty.  In an arena. */
struct acl {
	struct acl_entry *entries;
	size_t n, size;
};

enum acl_change {
	ACL_SET,
	ACL_ADD,   /* rights began with "+" */
	ACL_REMOVE /* "-" */
};

/*
 * "lrs", "+w", "-a".  NULL, or why not: static text.  rights without a sign
 * are ACL_SET.
 */
const char *acl_parse_rights(struct slice s, enum acl_change *change,
    unsigned *rights);

/* "lrswipkxtecda": with c if k or x, d if t or e is there; "" for none. */
void acl_put_rights(struct buf *out, unsigned rights);

/*
 * LISTRIGHTS: each right that may be given beside the required ones, in a word
 * of its own behind a space; none twice, with c and d (RFC 4314 2.1.1, 3.7).
 */
void acl_put_grantable(struct buf *out, unsigned required);

/* * MYRIGHTS mailbox rights */
void acl_write_myrights(struct write *w, struct slice mailbox, unsigned rights);

/* Tab form.  NULL, or why not; unknown letters are passed over. */
const char *acl_parse(struct arena *a, struct slice s, struct acl *acl);
void acl_put(struct buf *out, const struct acl *acl);

/* NULL if acceptable, or why not: empty, control characters, too long. */
const char *acl_bad_identifier(struct slice identifier);

/* Removes the entry when nothing is left in it.  NULL, or "Too many". */
const char *acl_modify(struct arena *a, struct acl *acl,
    struct slice identifier, enum acl_change change, unsigned rights);

/* 0 if there is no such entry. */
unsigned acl_get(const struct acl *acl, struct slice identifier);

/*
 * What user may do: what user and "anyone" are given, less what "-user" and
 * "-anyone" take.  user.len 0 is nobody in particular ("anonymous").  From tab
 * form, without an arena; nothing if it is malformed.
 */
unsigned acl_effective_text(struct slice text, struct slice user);

/*
 * What a logged-in user may do with a mailbox: what its list (in tab form)
 * says, and what owners and admins may in any case.  Tombs
 * (mboxname_is_tomb()) are for admins alone.
 */
unsigned acl_of_user(const struct mboxname_view *who, bool is_admin,
    struct slice name, struct slice text);

/* The list of a new mailbox at the top: all rights to its owner. */
void acl_put_owner(struct buf *out, struct slice owner);

#endif
