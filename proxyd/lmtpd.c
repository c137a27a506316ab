#include <stdlib.h>

#include "lib/daemon.h"
#include "lib/listeners.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/deliver.h"
#include "proxyd/lmtp.h"
#include "proxyd/lmtpd.h"

enum {
	LMTPD_MAGIC = 0x6c6d7064
};

static struct lmtpd *
lmtpd_of(void *arg)
{
	struct lmtpd *d = arg;

	MUST(d->magic == LMTPD_MAGIC);
	return d;
}

static void
pause_if_full(struct lmtpd *d)
{
	listeners_want(d->listeners,
	    d->nsessions >= d->worker.conf->max_sessions ? LISTENERS_PAUSE
	                                                 : LISTENERS_ACCEPT);
}

static void
on_accept(void *arg, int fd)
{
	struct lmtpd *d = lmtpd_of(arg);

	lmtp_session_new(d, fd);
	pause_if_full(d);
}

void
lmtpd_gone(struct lmtpd *d)
{
	if (!d->draining)
		pause_if_full(d);
	else if (d->nsessions == 0 && deliveries_left(d->deliveries) == 0)
		child_drained(d->worker.child);
}

static void
on_gone(void *arg)
{
	lmtpd_gone(lmtpd_of(arg));
}

static int
on_start(struct child *c, void **statep, struct err *err)
{
	struct lmtpd *d = xcalloc(1, sizeof(*d));

	d->magic = LMTPD_MAGIC;
	TAILQ_INIT(&d->sessions);
	if (worker_start(&d->worker, c, err) == -1) {
		free(d);
		return -1;
	}
	d->deliveries = deliveries_new(&d->worker, on_gone, d);
	d->listeners = listeners_new(c);
	listeners_add(d->listeners, "lmtp", on_accept, d);
	*statep = d;
	return 0;
}

static void
on_neighbour(void *state, const char *name, unsigned index, int fd)
{
	worker_neighbour(&lmtpd_of(state)->worker, name, index, fd);
}

static void
on_reload(void *state)
{
	worker_reload(&lmtpd_of(state)->worker);
}

static void
on_drain(void *state)
{
	struct lmtpd *d = lmtpd_of(state);
	struct lmtp_session *ls, *next;

	d->draining = true;
	listeners_free(&d->listeners);
	for (ls = TAILQ_FIRST(&d->sessions); ls != NULL; ls = next) {
		next = lmtp_session_next(ls);
		lmtp_session_drain(ls);
	}
	if (d->nsessions == 0 && deliveries_left(d->deliveries) == 0)
		child_drained(d->worker.child);
}

static unsigned
count(const void *arg)
{
	const struct proxyd_conf *conf = arg;

	return conf->lmtp_listen.count == 0 ? 0 : (unsigned)conf->lmtp_workers;
}

const struct daemon_child proxyd_lmtp_child = { "lmtp", count, on_start,
	on_neighbour, on_reload, on_drain };
