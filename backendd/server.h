/*
 * server: what the store child is made of, in one struct, so that nothing in
 * backendd is a global.
 *
 * One process, one loop; it owns every open mailbox, the local mailbox list
 * and the users' data.  Modules hold the struct backendd borrowed; it outlives
 * them all.
 */
#ifndef BACKENDD_SERVER_H
#define BACKENDD_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "imap/mboxname.h"

struct announce;
struct auth;
struct backendd_conf;
struct bulletin;
struct child;
struct daemon_child;
struct jobs;
struct ledger;
struct log;
struct loop;
struct lmtp_session;
struct mailboxes;
struct mblist;
struct mboxrec;
struct notices;
struct quotas;
struct seens;
struct session;
struct store;
struct task;
struct timer;
struct tls;
struct users;

TAILQ_HEAD(session_list, session);
TAILQ_HEAD(session_works, session_work);
TAILQ_HEAD(search_runs, search_run);
TAILQ_HEAD(lmtp_list, lmtp_session);
TAILQ_HEAD(notices_list, notices);

/* A partition, as the configuration names it, and the store behind it. */
struct partition {
	const char *name; /* the configuration's */
	const char *dir;
	struct store *store;
};

struct backendd {
	struct child *child;
	const struct backendd_conf *conf; /* the one in force */
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	struct auth *auth;
	struct tls *tls; /* for those who connect; NULL if there is none */
	struct tls *tls_client; /* for the update server; NULL if not wanted */
	const char *hostname;   /* in greetings and trace headers */
	struct mboxname_layout layout;       /* how clients see names */
	struct mboxname_layout admin_layout; /* how admins do */

	struct partition *partitions; /* the first is the default */
	size_t npartitions;
	struct mailboxes *mailboxes; /* those that are open */
	struct ledger *ledger;       /* what is known of all of them */
	struct quotas *quotas;
	struct mblist *list;
	struct users *users;
	struct seens *seens;
	struct announce *announce; /* NULL: stand-alone */

	struct session_list sessions, strangers, resting; /* session_list.c's */
	struct session_works woken;
	struct task *wake;
	struct timer *deadline;
	struct bulletin *bulletin;   /* notify.c's */
	struct notices_list noticed; /* sessions that want to hear of changes */
	struct lmtp_list deliveries;
	size_t nsearches;           /* under way */
	size_t nreading;            /* ...what they read side by side */
	struct search_runs waiting; /* for a place among those */
	size_t nsessions, nwoken, ndeliveries;
	uint64_t held; /* octets of messages on their way in that are in
	                  memory, of all sessions */
	bool draining;
};

/* By name; NULL if there is none such. */
struct partition *backendd_partition(struct backendd *bd, const char *name);

/* Where a mailbox of our list is kept; NULL: its partition is gone. */
struct store *backendd_store(struct backendd *bd, const struct mboxrec *rec);

/* "host!partition", as the update server has it; room for the longest. */
enum {
	LOCATION_MAX = 256
};
void backendd_location(const struct backendd *bd, const char *partition,
    char out[LOCATION_MAX]);

/*
 * Has an administrator accepted that the list is shorter than it was, by
 * making the file DIRECTORY/accept-list?  It is removed: the word is for once.
 */
bool backendd_list_accepted(struct backendd *bd);

/* Is this name in the list of proxies / of administrators? */
bool backendd_is_proxy(const struct backendd *bd, const char *name);
bool backendd_is_admin(const struct backendd *bd, const char *name);

/* Are passwords taken in the clear, from other hosts too? */
bool backendd_allows_plaintext(const struct backendd *bd);

/* A session has ended: listeners may go on, a drain may be over. */
void backendd_session_gone(struct backendd *bd);

/* The child "store": a row for daemon_spec.children. */
extern const struct daemon_child backendd_store_child;

#endif
