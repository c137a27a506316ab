/*
 * view: what one session's client knows of its selected mailbox.
 *
 * Sequence numbers, the count the client was told, what it must still be told.
 * The messages themselves and their latest changes are the mailbox's, shared
 * by all its views: a view keeps only the UID and MODSEQ up to which it has
 * spoken, and the UIDs that are gone and that its client still counts.  While
 * nothing is pending that is nothing, and a view is its struct; and from those
 * numbers alone it can go on after it was parked.
 *
 * Number n of the client is the n-th of (messages of the mailbox up to the UID
 * it was told of) and (messages gone that it was not told of), by UID.  So a
 * number means the same from when the client sent it until an EXPUNGE is said,
 * whatever others do meanwhile.
 *
 * The law: a client that does what EXISTS, EXPUNGE and FETCH say agrees with
 * the mailbox whenever nothing is pending, and never counts a message twice or
 * one too few.
 */
#ifndef BACKENDD_VIEW_H
#define BACKENDD_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/cdefs.h"

struct buf;
struct mailbox;
struct seen;
struct store_msg;
struct view;

/* What the running command allows to be said (RFC 9051 5.5, 7.5.1). */
enum view_tell {
	VIEW_NUMBERS_HOLD, /* FETCH, STORE, SEARCH: no EXPUNGE */
	VIEW_EVERYTHING
};

enum {
	VIEW_ROOM = 12 * 1024 /* octets: the longest of its responses */
};

enum view_access {
	VIEW_READ_WRITE,
	VIEW_READ_ONLY /* EXAMINE, or no right to change anything */
};

/* How things are said to this client; bits. */
enum view_says {
	VIEW_SAYS_RECENT = 1 << 0,   /* \Recent and RECENT: IMAP4rev1 */
	VIEW_SAYS_MODSEQ = 1 << 1,   /* with each FETCH: CONDSTORE */
	VIEW_SAYS_VANISHED = 1 << 2, /* for EXPUNGE: QRESYNC, UIDONLY */
	VIEW_SAYS_UIDFETCH = 1 << 3, /* for FETCH: UIDONLY */
	VIEW_MUTES_FLAGS = 1 << 4    /* no FETCH: NOTIFY */
};

struct view_options {
	enum view_access access;
	unsigned rights;   /* imap/acl bits */
	const char *name;  /* the mailbox's internal name; copied */
	struct seen *seen; /* takes: this user's own \Seen; NULL: shared */
	unsigned says;     /* of enum view_says */
};

/* Takes the hold on m.  Nothing is said yet: SELECT calls view_begin(). */
struct view *view_new(struct mailbox *m, const struct view_options *o);

/* Gives up the mailbox; NULL is fine. */
void view_free(struct view **vp);

/* SELECT is about to say how many messages there are: they are counted now. */
void view_begin(struct view *v);

/*
 * Lets go of the mailbox, which may be closed then, unless others change it
 * too.  What is kept is UIDVALIDITY, up to which UID and MODSEQ the client has
 * been told, and up to which MODSEQ of expunges.  The view still hears of news,
 * but does not know what they are.  false: something is told by half.
 */
bool view_park(struct view *v) MUST_CHECK;

/*
 * From those numbers it goes on as if it had been there.  cb tells when, or why
 * it cannot (then free the view); not if the view is freed before.  Until then
 * it may be asked who it is, and whether there are news.
 */
typedef void view_cb(void *arg, const char *why);
void view_resume(struct view *v, view_cb *cb, void *arg);
bool view_is_parked(const struct view *v);
bool view_is_resuming(const struct view *v);

struct mailbox *view_mailbox(const struct view *v); /* borrowed */
struct seen *view_seen(const struct view *v);       /* borrowed, or NULL */
const char *view_name(const struct view *v);
enum view_access view_access(const struct view *v);
unsigned view_rights(const struct view *v);

/* Others from now on: then the client is owed FLAGS and PERMANENTFLAGS. */
void view_change_rights(struct view *v, unsigned rights);
bool view_owes_flags(const struct view *v);
void view_flags_told(struct view *v);

/* Messages and recent ones, as the client counts them. */
uint32_t view_count(const struct view *v);
uint32_t view_recent(const struct view *v);

/* The highest UID the client counts; 0 if it counts none. */
uint32_t view_last_uid(const struct view *v);

/* 0: there is none such for this client. */
uint32_t view_uid_of(const struct view *v, uint32_t seq);
uint32_t view_seq_of(const struct view *v, uint32_t uid);

/*
 * The message, for this client: NULL if its number or UID means nothing, or
 * the message is gone (its EXPUNGE is pending).  Borrowed, until the loop's
 * next turn.
 */
const struct store_msg *view_message(const struct view *v, uint32_t uid);

/* The first UID of a message still there, at or after uid; 0 if none. */
uint32_t view_next_uid(const struct view *v, uint32_t uid);

/* Its flags as this client is to see them, "\Seen $Junk", no parentheses. */
void view_put_flags(const struct view *v, const struct store_msg *msg,
    struct buf *out);
bool view_is_recent(const struct view *v, uint32_t uid);
bool view_is_seen(const struct view *v, const struct store_msg *msg);

/* "* 3 FETCH (UID 7 FLAGS (\Seen))" and CRLF, as this client is to hear it. */
void view_put_fetch(const struct view *v, const struct store_msg *msg,
    struct buf *out);

/* The same with MODSEQ and no flags. */
void view_put_modseq(const struct view *v, const struct store_msg *msg,
    struct buf *out);

/* Of enum view_says, from now on. */
void view_set_says(struct view *v, unsigned says);
unsigned view_says(const struct view *v);

/* Is there anything view_tell() would say? */
bool view_pending(const struct view *v, enum view_tell how);

/*
 * Says what is new: EXPUNGE if allowed, FLAGS if there are new keywords, FETCH
 * of changed flags, then EXISTS and RECENT.  Whole responses, as long as at
 * least VIEW_ROOM octets may still be put.  True if all was said; else ask
 * again: when there is as much room, or if there is, in a turn of your own.
 */
bool view_tell(struct view *v, enum view_tell how, struct buf *out) MUST_CHECK;

/* The command's reply will have HIGHESTMODSEQ: view_tell() need not say it. */
void view_reply_has_modseq(struct view *v);

/*
 * The change with this MODSEQ is the client's own and has just been made: it
 * is told of it by the command's response, not by view_tell().
 */
void view_own_change(struct view *v, uint64_t modseq);

/*
 * Called from inside of whatever is the cause: take note, and act in a turn of
 * your own.  One watcher; NULL: none.
 */
enum view_event {
	VIEW_NEWS, /* something is new */
	/*
	 * The mailbox is being destroyed.  The view has let go of it and is
	 * empty; the session says BYE, and frees the view when it ends.
	 */
	VIEW_LOST
};
typedef void view_watcher(void *arg, enum view_event ev);
void view_watch(struct view *v, view_watcher *fn, void *arg);
bool view_lost(const struct view *v);

#endif
