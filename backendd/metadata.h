/*
 * metadata: annotations of mailboxes and of the server (RFC 5464), kept.
 *
 * They are users' data: private ones are that user's, shared ones are
 * nobody's.  A mailbox is known by its MAILBOXID, so RENAME moves nothing, and
 * a name made anew begins without.  Names of entries are in lower case
 * (imap/metadata).  Who may do what is the commands'.
 *
 * After a crash in the middle of a DELETE what was kept of the mailbox may
 * stay: nobody finds it, since no MAILBOXID is used again.
 */
#ifndef BACKENDD_METADATA_H
#define BACKENDD_METADATA_H

#include <stdbool.h>
#include <stddef.h>

#include "imap/metadata.h"
#include "lib/slice.h"

struct arena;
struct backendd;
struct users;

/* Instead of a MAILBOXID: the server's own. */
#define METADATA_SERVER "."

/* Not kept but known: "STORAGE 91", of a mailbox near its quota. */
#define METADATA_OVERQUOTA "/shared/vendor/murder/overquota"

/* In the arena; false: there is none. */
bool metadata_find(struct users *u, const char *user, struct slice mailboxid,
    struct slice entry, struct arena *a, struct slice *value);

/*
 * All private (of this user) or shared ones of a mailbox, in order, as the
 * entry says by its beginning; false stops.  Borrowed for the call.
 */
typedef bool metadata_visit(void *arg, struct slice entry, struct slice value);
void metadata_each(struct users *u, const char *user, struct slice mailboxid,
    bool private, metadata_visit *visit, void *arg);

enum metadata_result {
	METADATA_OK,
	METADATA_TOO_BIG,  /* a value is above metadata_size */
	METADATA_TOO_MANY, /* metadata_entries, or metadata_total */
	METADATA_FAILED    /* cannot be stored now */
};

/* Are they within the limits?  Never METADATA_FAILED. */
enum metadata_result metadata_check(struct users *u, const char *user,
    struct slice mailboxid, const struct metadata_item *items, size_t n);

/*
 * All of n or none; called back, never from inside, when it is durable.  Items
 * are not needed after the call.
 */
typedef void metadata_cb(void *arg, enum metadata_result r);
void metadata_set(struct users *u, const char *user, struct slice mailboxid,
    const struct metadata_item *items, size_t n, metadata_cb *cb, void *arg);

/* The mailbox is gone: everybody's go. */
void metadata_forget(struct users *u, struct slice mailboxid);

/* A mailbox begins with what another has: an INBOX that was renamed. */
void metadata_copy(struct users *u, struct slice from, struct slice to);

/* --- who is told of changes ------------------------------------------------ */

/*
 * An entry of a mailbox (name is NULL: of the server) has changed, by this
 * session (NULL: by none).  Sessions that may see it and have enabled METADATA
 * are told.
 */
struct session;
void metadata_changed(struct backendd *bd, struct session *by, const char *name,
    struct slice entry);

#endif
