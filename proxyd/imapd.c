#include <stdlib.h>
#include <unistd.h>

#include "lib/daemon.h"
#include "lib/err.h"
#include "lib/listen.h"
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

enum port_kind {
	PORT_IMAP,
	PORT_IMAPS,
	PORT_SIEVE
};

struct imapd_port {
	struct imapd *imapd;
	enum port_kind kind;
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
	bool full = d->nsessions >= d->worker.conf->max_sessions;

	for (size_t i = 0; i < d->nlisteners; i++)
		if (full)
			listen_pause(d->listeners[i]);
		else
			listen_resume(d->listeners[i]);
}

static void
on_accept(void *arg, int fd)
{
	struct imapd_port *port = arg;

	if (port->kind == PORT_SIEVE)
		sieve_session_new(port->imapd, fd);
	else
		session_new(port->imapd, fd, port->kind == PORT_IMAPS);
	pause_if_full(port->imapd);
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

static void
add_listeners(struct imapd *d, const char *name, enum port_kind kind)
{
	int fd;

	for (unsigned i = 0;
	     d->nlisteners < IMAPD_LISTENERS &&
	     (fd = child_listener(d->worker.child, name, i)) != -1;
	     i++) {
		struct imapd_port *port = xcalloc(1, sizeof(*port));

		port->imapd = d;
		port->kind = kind;
		d->ports[d->nlisteners] = port;
		d->listeners[d->nlisteners++] = listen_new(d->worker.loop,
		    d->worker.log, fd, on_accept, port);
	}
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
	add_listeners(d, "imap", PORT_IMAP);
	add_listeners(d, "imaps", PORT_IMAPS);
	add_listeners(d, "sieve", PORT_SIEVE);
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
	for (size_t i = 0; i < d->nlisteners; i++) {
		listen_free(&d->listeners[i]);
		free(d->ports[i]);
	}
	d->nlisteners = 0;
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
