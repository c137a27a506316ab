/*
 * notify: what a session wants to hear of without asking (RFC 5465).
 *
 * Rules say which mailboxes, and of what.  For messages they are made into a
 * list of mailboxes, found by MAILBOXID when there is news, and made anew when
 * a mailbox comes or goes that a rule may mean; what is new of one is noted,
 * not queued, so that a client which is slow is told once.  Changes of the list
 * of mailboxes and of annotations are lines (notices.h); if they are too many
 * the client is told NOTIFICATIONOVERFLOW, and hears of nothing any more.
 *
 * Of the selected mailbox the view tells, when notify_view() lets it.
 */
#ifndef BACKENDD_NOTIFY_H
#define BACKENDD_NOTIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "imap/mboxfilter.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct backendd;
struct buf;
struct notify;
struct session;
struct store_news;

enum notify_event { /* bits */
	NOTIFY_MESSAGE_NEW = 1 << 0,
	NOTIFY_MESSAGE_EXPUNGE = 1 << 1,
	NOTIFY_FLAG_CHANGE = 1 << 2,
	NOTIFY_MAILBOX_NAME = 1 << 3,
	NOTIFY_SUBSCRIPTION_CHANGE = 1 << 4,
	NOTIFY_MAILBOX_METADATA = 1 << 5,
	NOTIFY_SERVER_METADATA = 1 << 6,
	NOTIFY_MESSAGES =
	    NOTIFY_MESSAGE_NEW | NOTIFY_MESSAGE_EXPUNGE | NOTIFY_FLAG_CHANGE
};

enum {
	NOTIFY_RULES_MAX = 100,
	NOTIFY_MAILBOXES_MAX = 2000
};

struct notify_rule {
	enum mboxfilter_kind kind; /* not one of the selected mailbox */
	unsigned events;
	const char **names; /* internal */
	size_t nnames;
};

/* Of the selected mailbox. */
enum notify_selected {
	NOTIFY_SELECTED_NONE,
	NOTIFY_SELECTED_NOW,
	NOTIFY_SELECTED_DELAYED /* EXPUNGE only when a command allows it */
};

struct notify_wish {
	struct notify_rule *rules;
	size_t nrules;
	enum notify_selected selected;
	unsigned selected_events;
	const char *fetch; /* "(UID FLAGS)" of new messages there; or NULL */
};

/*
 * From now on; copies w.  NULL, or why not: the text of a NO
 * [NOTIFICATIONOVERFLOW].
 */
const char *notify_set(struct session *ss,
    const struct notify_wish *w) MUST_CHECK;

/* As if it had never been said. */
void notify_end(struct session *ss);

/* The mailboxes that rules about messages mean, in no order. */
typedef bool notify_visit(void *arg, const char *name, unsigned events);
void notify_each(const struct session *ss, notify_visit *visit, void *arg);

/* Without NOTIFY: false, and *how and *events are not set. */
bool notify_view(const struct session *ss, enum notify_selected *how,
    unsigned *events);

/* What to FETCH of UIDs from *first to *last, which are new; NULL: nothing. */
const char *notify_fetch(struct session *ss, uint32_t *first, uint32_t *last);

/* Another mailbox is selected, or none. */
void notify_reselected(struct session *ss);

/* The running command is about to change this name: that is no news to it. */
void notify_own(struct session *ss, const char *name);
void notify_own_done(struct session *ss);

/* Says what is new; false: there is too little room in out. */
bool notify_tell(struct session *ss, struct buf *out) MUST_CHECK;

/* --- what there is to tell -------------------------------------------------- */

void notify_start(struct backendd *bd);
void notify_stop(struct backendd *bd); /* no session is left */

/* mailboxes_on_news() */
void notify_messages(void *bd, struct slice mailboxid,
    const struct store_news *n);

struct notify_change {
	const char *name;
	const char *was;      /* a RENAME; or NULL */
	struct slice old_acl; /* before SETACL and DELETE; .ptr NULL: none */
};
void notify_listed(struct backendd *bd, const struct notify_change *c);

void notify_subscribed(struct backendd *bd, const char *user, const char *name);

/* Does it hear of annotations of this mailbox; name NULL: of the server? */
bool notify_hears_metadata(const struct session *ss, const char *name);

#endif
