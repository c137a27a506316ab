/*
 * front: subscribes to the update server and feeds the copy of the list.
 *
 * The whole of murder-front but its processes' side (proxyd/front_child): the
 * connection, the subscription (RFC 3656 UPDATE, or XUPDATE of protocols(7)
 * where it is offered), the barrier, and what is told of it all.  What a line
 * does to the copy is proxyd/mirror's.
 *
 * The connection is made again when it is lost, after a random time that
 * doubles up to a limit, and is back at its least when the server has been
 * there for a while.  A peer that says nothing is asked by NOOP whether it is
 * there; everything waits with a deadline (mupdate_timeout).  A list that comes
 * must come on: so many octets in each such time.
 *
 * Cut off, the copy is served on, and /healthz and the log say since when.
 *
 * The barrier.  front_sync() answers when the copy has every change that the
 * update server had made at the call: NOOP goes up the stream, and its OK comes
 * behind all earlier changes (RFC 3656, 4.8).  One NOOP is out at a time and
 * serves all who asked before it was sent; the others wait for the next.  Who
 * asks while the list is still coming waits until it has; while there is no
 * connection the answer is "no" at once.
 */
#ifndef PROXYD_FRONT_H
#define PROXYD_FRONT_H

#include <stdbool.h>

#include "lib/cdefs.h"

struct admin;
struct buf;
struct err;
struct front;
struct front_wait;
struct jobs;
struct log;
struct loop;
struct proxyd_conf;
struct tls;

/* All borrowed, but tls, which is taken. */
struct front_setup {
	struct loop *loop;
	struct log *log;
	struct jobs *jobs; /* name look-ups */
	const struct proxyd_conf *conf;
	struct tls *tls;
};

/*
 * NULL and *err: the copy cannot be opened.  Connects.  It lives as long as the
 * process, whose end is to the copy what a crash is.
 */
struct front *front_new(const struct front_setup *s,
    struct err *err) MUST_CHECK;

/*
 * Takes tls; NULL: the old one stays.  Connects anew only if how to do so has
 * changed.
 */
void front_reload(struct front *f, const struct proxyd_conf *conf,
    struct tls *tls);

/* current: false if that cannot be known. */
typedef void front_cb(void *arg, bool current);

/*
 * The wait ends with the call back, which never comes from inside.  There is no
 * deadline but the connection's: who asks has one.
 */
struct front_wait *front_sync(struct front *f, front_cb *cb, void *arg);

/* No call back.  Sets *wp to NULL; NULL is fine. */
void front_cancel(struct front_wait **wp);

/* Its health check and its numbers. */
void front_register(struct front *f, struct admin *a);

/*
 * How it is, as /healthz says it.  False: there is nothing to serve from.  A
 * copy that is old, or from which removals are held back, is served and counts
 * as well: a balancer that took such frontends out would leave none when the
 * update server is down.
 */
bool front_health(const struct front *f, struct buf *line);

#endif
