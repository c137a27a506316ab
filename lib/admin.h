/*
 * admin: /healthz and /metrics over HTTP, for operators and their monitoring.
 *
 * The only user of libmicrohttpd, which is driven by our loop through its epoll
 * descriptor and has no thread of its own.  It answers GET and HEAD of these
 * two and nothing else, one request a connection, a few connections at a time,
 * each with a deadline.  There is no password and no TLS: listen on loopback or
 * on a network of the operators' own ("admin_listen", off by default).
 *
 *	/healthz  200 if all checks are good, else 503; a line for each,
 *	          "ok NAME: text" or "not ok NAME: text"
 *	/metrics  Prometheus's text format
 *
 * A daemon's parent binds the addresses; the one child of the kind that its
 * struct daemon_listen names for "admin" accepts (ADMIN_LISTEN below: the store
 * of backendd, the list of mupdated, the front of proxyd).  That child makes
 * the admin in its start(), whether there is an address or not, and its modules
 * register what they have to tell:
 *
 *	st->admin = admin_new(c);
 *	admin_counter(st->admin, "murder_quarantined_total",
 *	    "Mailboxes set aside since the start.", &st->quarantined);
 *	admin_gauge(st->admin, "murder_sessions", "Sessions now.", count, st);
 *	admin_health(st->admin, "update_server", is_well, st);
 *
 * Nothing is copied: names and texts are literals, and what is pointed at
 * outlives the admin.  What other children count reaches this one, if at all,
 * by their own ipc.
 */
#ifndef LIB_ADMIN_H
#define LIB_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"

struct admin;
struct buf;
struct child;
struct log;
struct loop;

/* For a daemon's struct daemon_listen: which child answers. */
#define ADMIN_LISTEN(T, child)                                   \
	{                                                        \
		"admin", offsetof(T, daemon.admin_listen), child \
	}

/* With the child's listeners of that name, if it has any. */
struct admin *admin_new(struct child *c);

/* The same without a daemon around it; an exchange may take so long. */
struct admin *admin_bare(struct loop *l, struct log *log, int64_t exchange_ms);

/* Accepts at fd, which is borrowed.  -1: it cannot (descriptors, too many). */
int admin_listen(struct admin *a, int fd) MUST_CHECK;

void admin_free(struct admin **ap);

/*
 * Numbers, read when asked for.  name is letters, digits and "_", begins with
 * "murder_" and, of a counter, ends in "_total"; each may be registered once.
 * The name may be followed by labels as they are to be shown, `{host="a"}`;
 * those of one name are registered one after another.
 */
typedef uint64_t admin_number_cb(void *arg);
void admin_counter(struct admin *a, const char *name, const char *help,
    const uint64_t *value);
void admin_gauge(struct admin *a, const char *name, const char *help,
    admin_number_cb *number, void *arg);

/*
 * Is it well?  The callback puts a line of text without its end, for people:
 * how it is, and if it is not well what to do.  It does not fail the check if
 * the line does not fit.
 */
typedef bool admin_health_cb(void *arg, struct buf *line);
void admin_health(struct admin *a, const char *name, admin_health_cb *check,
    void *arg);

/* What /healthz and /metrics answer; true if all is well.  For tests. */
bool admin_put_health(struct admin *a, struct buf *b);
void admin_put_metrics(struct admin *a, struct buf *b);

#endif
