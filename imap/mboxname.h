/*
 * mboxname: internal names, external names, and the way between them.
 *
 * One internal name, as Cyrus has it on the MUPDATE wire: "user.fred.Drafts",
 * "shared.help", "example.org!user.fred".  "." separates levels, a dot within
 * a level is "^", the rest is modified UTF-7.
 *
 * External names are what clients see.  The layout says how:
 *
 *	altnamespace	INBOX  Drafts        Other Users/joe/x  Shared Folders/help
 *	otherwise	INBOX  INBOX/Drafts  user/joe/x         help
 *
 * with "/" or "." between levels.  With virtual domains a name of another
 * domain than the viewer's ends in "@domain", and "@" is in no other name.
 *
 * The laws: to_external(from_external(x)) is x, but for INBOX's case and for
 * other ways to write one's own name; from_external(to_external(n)) is n
 * whenever n can be shown at all.
 */
#ifndef IMAP_MBOXNAME_H
#define IMAP_MBOXNAME_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct buf;

enum {
	MBOXNAME_MAX = 490 /* octets of an internal name */
};

/* From the configuration; all borrowed. */
struct mboxname_layout {
	char separator; /* '/' or '.' */
	bool altnamespace;
	bool virtual_domains; /* user@domain is domain!user.user */
	const char *others;   /* "Other Users": no separator at its end */
	const char *shared;   /* "Shared Folders" */
	const char *domain;   /* users here need no @domain; "" or NULL: none */
};

/* What options are when nobody set them: "/", altnamespace, no domains. */
extern const struct mboxname_layout mboxname_layout_default;

/* Whose eyes: layout and userid ("fred", "fred@example.org"), borrowed. */
struct mboxname_view {
	const struct mboxname_layout *layout;
	struct slice user;
	bool utf8; /* external names are in UTF-8 (RFC 6855), not UTF-7 */
};

/*
 * NULL and *name in the arena, or why not: static text for a NO.  A trailing
 * separator (CREATE "foo/") is dropped.
 */
const char *mboxname_from_external(struct arena *a,
    const struct mboxname_view *view, struct slice external,
    struct slice *name);

/*
 * The external name, in the arena; .ptr NULL if this layout cannot show it
 * (the parent "user", an own mailbox called as a prefix).
 */
struct slice mboxname_to_external(struct arena *a,
    const struct mboxname_view *view, struct slice name);

/* The INBOX of a userid.  NULL, or why not (characters, length). */
const char *mboxname_of_user(struct arena *a,
    const struct mboxname_layout *layout, struct slice user,
    struct slice *name);

/*
 * What the detail of an address names, as with Cyrus IMAP in every layout: of
 * user+detail a mailbox below the INBOX, of +detail (no user) a shared one,
 * without its prefix.  false: nothing.
 */
bool mboxname_of_detail(struct arena *a, const struct mboxname_layout *layout,
    struct slice user, struct slice detail, struct slice *name);

/* The userid that owns it, in the arena; .ptr NULL if it is nobody's. */
struct slice mboxname_owner(struct arena *a,
    const struct mboxname_layout *layout, struct slice name);

/* Is it at or under the INBOX of this user? */
bool mboxname_is_owned_by(const struct mboxname_layout *layout,
    struct slice name, struct slice user);

/* Is it a well-formed internal name?  NULL, or why not: static text. */
const char *mboxname_invalid(struct slice name);

/* "user.fred", of whatever domain. */
bool mboxname_is_inbox(struct slice name);

/*
 * "DELETED.user.fred.x.6B0297CF": Cyrus IMAP keeps what was deleted for a
 * while, under such a name, in the list and with its ACL.
 */
bool mboxname_is_tomb(struct slice name);

/* "example.org" or empty; what is behind the "!". */
struct slice mboxname_domain(struct slice name);
struct slice mboxname_local(struct slice name);

/*
 * The name one level up; empty (len 0) at the top: "user" is no mailbox, so
 * an INBOX has no parent.
 */
struct slice mboxname_parent(struct slice name);

/* Truly below: "a.b.c" is below "a.b" and "a", not below itself. */
bool mboxname_is_below(struct slice name, struct slice ancestor);

/* name, which is from or below it, after from was renamed to to. */
struct slice mboxname_rebase(struct arena *a, struct slice name,
    struct slice from, struct slice to);

/*
 * The key of a name in a list: "." as 0x1F, "!" as 0x1D, so that octet order
 * puts a mailbox directly before its children.  And back.
 */
void mboxname_key(struct buf *out, struct slice name);
void mboxname_of_key(struct buf *out, struct slice key);

/* The same in an arena. */
struct slice mboxname_key_in(struct arena *a, struct slice name);
struct slice mboxname_of_key_in(struct arena *a, struct slice key);

#endif
