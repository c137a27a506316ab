#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/admin.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/jobs.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/tls.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/front.h"
#include "proxyd/front_child.h"

enum {
	FRONT_CHILD_MAGIC = 0x66636864
};

struct asker {
	TAILQ_ENTRY(asker) entry;
	TAILQ_HEAD(, request) requests;
	struct front_child *owner;
	struct ipc *ipc;
	char name[16];
	unsigned index;
};

struct request {
	TAILQ_ENTRY(request) entry;
	struct asker *asker;
	struct front_wait *wait;
	uint64_t id;
};

struct front_child {
	unsigned magic;
	struct child *child;
	struct front *front;
	struct admin *admin;
	TAILQ_HEAD(, asker) askers;
};

static struct front_child *
child_of(void *arg)
{
	struct front_child *fc = arg;

	MUST(fc->magic == FRONT_CHILD_MAGIC);
	return fc;
}

/* --- workers -------------------------------------------------------------- */

static void
request_free(struct request *r)
{
	TAILQ_REMOVE(&r->asker->requests, r, entry);
	front_cancel(&r->wait);
	free(r);
}

static void
asker_free(struct asker *a)
{
	struct request *r;

	while ((r = TAILQ_FIRST(&a->requests)) != NULL)
		request_free(r);
	TAILQ_REMOVE(&a->owner->askers, a, entry);
	ipc_free(&a->ipc);
	free(a);
}

static void
on_synced(void *arg, bool current)
{
	struct request *r = arg;
	struct asker *a = r->asker;
	uint8_t yes = current;

	r->wait = NULL;
	/* A worker that is gone or does not read has a deadline of its own. */
	if (!ipc_send(a->ipc, FRONT_SYNCED, r->id, slice_of(&yes, 1), -1))
		log_debug(child_log(a->owner->child), "sync answer dropped",
		    "worker", a->name, NULL);
	request_free(r);
}

static void
on_ipc(void *arg, const struct ipc_message *m)
{
	struct asker *a = arg;
	struct request *r;

	if (m == NULL) {
		asker_free(a);
		return;
	}
	MUST(m->type == FRONT_SYNC && m->fd == -1);
	r = xcalloc(1, sizeof(*r));
	r->asker = a;
	r->id = m->id;
	TAILQ_INSERT_TAIL(&a->requests, r, entry);
	r->wait = front_sync(child_of(a->owner)->front, on_synced, r);
}

static void
on_neighbour(void *state, const char *name, unsigned index, int fd)
{
	struct front_child *fc = child_of(state);
	struct asker *a, *next;

	TAILQ_FOREACH_SAFE (a, &fc->askers, entry, next)
		if (a->index == index && strcmp(a->name, name) == 0)
			asker_free(a);
	a = xcalloc(1, sizeof(*a));
	a->owner = fc;
	a->index = index;
	TAILQ_INIT(&a->requests);
	snprintf(a->name, sizeof(a->name), "%s", name);
	a->ipc = ipc_new(child_loop(fc->child), fd, on_ipc, a);
	TAILQ_INSERT_TAIL(&fc->askers, a, entry);
}

/* --- life ----------------------------------------------------------------- */

static struct tls *
make_tls(struct child *c, struct err *err)
{
	const struct proxyd_conf *conf = child_conf(c);
	struct tls_material m = { child_file(c, "backend_cert"),
		child_file(c, "backend_key"), child_file(c, "backend_ca"),
		conf->backend_ca != NULL };

	return tls_client_new(&m, err);
}

static int
on_start(struct child *c, void **statep, struct err *err)
{
	struct front_child *fc = xcalloc(1, sizeof(*fc));
	struct front_setup use = { child_loop(c), child_log(c), NULL,
		child_conf(c), make_tls(c, err) };

	fc->magic = FRONT_CHILD_MAGIC;
	fc->child = c;
	TAILQ_INIT(&fc->askers);
	if (use.tls != NULL) {
		use.jobs = jobs_new(use.loop, 1);
		fc->front = front_new(&use, err);
	}
	if (fc->front == NULL) { /* the process ends with it */
		free(fc);
		return -1;
	}
	fc->admin = admin_new(c);
	front_register(fc->front, fc->admin);
	*statep = fc;
	return 0;
}

static void
on_reload(void *state)
{
	struct front_child *fc = child_of(state);
	struct err err;
	struct tls *tls = make_tls(fc->child, &err);

	if (tls == NULL)
		log_err(child_log(fc->child),
		    "certificates not loaded, keeping the old ones", "why",
		    err.text, NULL);
	front_reload(fc->front, child_conf(fc->child), tls);
}

/* Workers need us to the end; there is nothing to wait for. */
static void
on_drain(void *state)
{
	child_drained(child_of(state)->child);
}

static unsigned
one(const void *conf)
{
	(void)conf;
	return 1;
}

const struct daemon_child proxyd_front_child = { "front", one, on_start,
	on_neighbour, on_reload, on_drain };
