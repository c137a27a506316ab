/*
 * link: a session on a backend, for one user.
 *
 * One IMAP connection, logged in as proxy_user for the user (RFC 4616's
 * authorisation identity, or EXTERNAL with our certificate), so any IMAP server
 * that allows this can stand behind us.  The link connects, starts TLS, logs
 * in, tells our session's id and the client's address by ID (RFC 2971); from
 * LINK_OPENED on the owner writes commands into link_out() and pulls responses
 * from link_in() by link_reply().
 *
 * A server that did not answer is left alone for retry_delay: links to it close
 * at once, so that a dead backend costs its mailboxes' users no waiting.
 */
#ifndef PROXYD_LINK_H
#define PROXYD_LINK_H

#include <stdbool.h>

#include "imap/reply.h"

struct buf;
struct jobs;
struct link;
struct links;
struct log;
struct loop;
struct proxyd_conf;
struct tls;

enum link_event {
	LINK_OPENED,
	LINK_READ,
	LINK_WRITTEN,
	LINK_CLOSED /* link_why() tells; free it */
};

/* May free the link. */
typedef void link_cb(void *arg, struct link *k, enum link_event ev);

struct links_use { /* borrowed for the life of the links */
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	const struct proxyd_conf *conf;
	struct tls *tls; /* NULL if backend_tls is no */
};

/* What a worker knows of its backends, as long as it lives. */
struct links *links_new(const struct links_use *use);
void links_reload(struct links *l, const struct proxyd_conf *conf,
    struct tls *tls);

struct link_user {
	const char *user;    /* NULL: proxy_user itself, for XMURDER */
	const char *sid;     /* NULL: not told */
	const char *address; /* the client's; NULL: not told */
};

/* Strings are copied.  Never calls back from inside. */
struct link *link_open(struct links *l, const char *server,
    const struct link_user *user, link_cb *cb, void *arg);

/* Closes; no call back after it.  Sets *kp to NULL; NULL is fine. */
void link_free(struct link **kp);

bool link_is_open(const struct link *k);
const char *link_why(const struct link *k);

/* What the server offers after login, in any case. */
bool link_has(const struct link *k, const char *capability);

/* After LINK_OPENED. */
struct buf *link_in(struct link *k);
struct buf *link_out(struct link *k);
struct reply *link_reply(struct link *k);
void link_flush(struct link *k);
void link_want_read(struct link *k, bool want);

#endif
