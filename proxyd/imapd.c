#include <stdlib.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/err.h"
#include "lib/listeners.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/imapd.h"
#include "proxyd/managesieve.h"
#include "proxyd/session.h"
#include "proxyd/xmurder.h"

enum {
	IMAPD_MAGIC = 0x696d6170
};

static struct imapd *
imapd_of(void *arg)
{
	struct imapd *d = arg;

	MUST(d->magic == IMAPD_MAGIC);
	return d;
}

static void
pause_if_full(struct imapd *d)
{
	listeners_want(d->listeners,
	    d->nsessions >= d->worker.conf->max_sessions ? LISTENERS_PAUSE
	                                                 : LISTENERS_ACCEPT);
}

static void
accept_imap(void *arg, int fd)
{
	struct imapd *d = imapd_of(arg);

	session_new(d, fd, false);
	pause_if_full(d);
}

static void
accept_imaps(void *arg, int fd)
{
	struct imapd *d = imapd_of(arg);

	session_new(d, fd, true);
	pause_if_full(d);
}

static void
accept_sieve(void *arg, int fd)
{
	struct imapd *d = imapd_of(arg);

	sieve_session_new(d, fd);
	pause_if_full(d);
}

void
imapd_session_gone(struct imapd *d)
{
	if (d->draining) {
		if (d->nsessions == 0)
			child_drained(d->worker.child);
	} else if (d->nsessions + 1 == d->worker.conf->max_sessions)
		pause_if_full(d);
}

static int
on_start(struct child *c, void **statep, struct err *err)
{
	struct imapd *d = xcalloc(1, sizeof(*d));

	d->magic = IMAPD_MAGIC;
	TAILQ_INIT(&d->sessions);
	TAILQ_INIT(&d->sieve_sessions);
	if (worker_start(&d->worker, c, err) == -1) {
		free(d);
		return -1;
	}
	d->xmurder = xmurder_new(&d->worker);
	d->listeners = listeners_new(c);
	listeners_add(d->listeners, "imap", accept_imap, d);
	listeners_add(d->listeners, "imaps", accept_imaps, d);
	listeners_add(d->listeners, "sieve", accept_sieve, d);
	*statep = d;
	return 0;
}

static void
on_neighbour(void *state, const char *name, unsigned index, int fd)
{
	worker_neighbour(&imapd_of(state)->worker, name, index, fd);
}

static void
on_reload(void *state)
{
	worker_reload(&imapd_of(state)->worker);
}

static void
on_drain(void *state)
{
	struct imapd *d = imapd_of(state);
	struct session *ss, *next;

	d->draining = true;
	listeners_free(&d->listeners);
	TAILQ_FOREACH_SAFE (ss, &d->sessions, entry, next)
		session_drain(ss);
	sieve_sessions_drain(d);
	if (d->nsessions == 0)
		child_drained(d->worker.child);
}

static unsigned
count(const void *arg)
{
	const struct proxyd_conf *conf = arg;
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (conf->imap_workers > 0)
		return (unsigned)conf->imap_workers;
	return cores < 1 ? 1 : (unsigned)cores;
}

const struct daemon_child proxyd_imap_child = { "imap", count, on_start,
	on_neighbour, on_reload, on_drain };
