/*
 * deliver: one message to all its recipients.
 *
 * A delivery collects recipients; a user's script is asked for at once, while
 * the message is still coming in.  delivery_run() then runs the scripts, finds
 * the mailboxes they name, and gives each backend one LMTP transaction with
 * all that it is to store of this message.  A recipient's answer is the worst
 * of its actions'; a retry repeats what failed and nothing else, since every
 * store and every mail sent has a key that says it has been done (stores.h).
 *
 * Whatever goes wrong with a script the message is kept in INBOX.  A delivery
 * that has begun goes on to its end, whether or not somebody still listens.
 */
#ifndef PROXYD_DELIVER_H
#define PROXYD_DELIVER_H

#include <stddef.h>

#include "imap/lmtp.h"
#include "lib/slice.h"

struct blob;
struct deliveries;
struct delivery;
struct trace;
struct worker;

/*
 * What all deliveries of a worker share: scripts, connections.  gone is called
 * when a delivery has ended that was left.
 */
struct deliveries *deliveries_new(struct worker *w, void (*gone)(void *arg),
    void *arg);

/* Those that were left and go on. */
size_t deliveries_left(const struct deliveries *ds);

/* from is copied: the path, and as it came. */
struct delivery *delivery_new(struct deliveries *ds,
    const struct lmtp_path *from, struct slice raw, const char *sid);

struct delivery_address {
	struct lmtp_path path;
	struct slice raw;     /* as it came, for logs and scripts */
	struct slice user;    /* empty: nobody's, so there is no script */
	struct slice detail;  /* a mailbox of the user, external; or empty */
	struct slice mailbox; /* the INBOX, or where else it goes: internal */
	const char *server;   /* where that is */
};

/* All is copied. */
void delivery_add(struct delivery *d, const struct delivery_address *a);
size_t delivery_count(const struct delivery *d);

/*
 * trace is used at once; blob has ended, and is kept by a reference.  Never
 * calls back from inside.
 */
void delivery_run(struct delivery *d, const struct trace *trace,
    struct blob *blob, void (*done)(void *arg), void *arg);

struct delivery_answer {
	int code;
	const char *enhanced, *text;
};

/* After done: of the nth recipient added. */
struct delivery_answer delivery_answer(const struct delivery *d, size_t n);

/* No call back any more; what has begun goes on.  NULL is fine. */
void delivery_leave(struct delivery **dp);

#endif
