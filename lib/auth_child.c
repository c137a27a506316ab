#include <stddef.h>
#include <stdlib.h>

#include "lib/auth.h"
#include "lib/auth_server.h"
#include "lib/auth_wire.h"
#include "lib/daemon.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	EXCHANGE_MS = 60000,  /* from its start to its end */
	EXCHANGES_MAX = 10000 /* of one process, with those that wait */
};

/* Every daemon's configuration begins like this. */
struct auth_daemon {
	struct daemon_conf daemon;
	struct auth_conf auth;
};

TAILQ_HEAD(exchanges, exchange);

/* A process that asks. */
struct client {
	TAILQ_ENTRY(client) entry;
	struct child_state *state;
	struct ipc *ipc;
	struct exchanges exchanges;
};

struct exchange {
	TAILQ_ENTRY(exchange) entry;
	struct client *client;
	uint64_t id;
	struct auth_try *try; /* NULL: it has failed, the answer waits */
	struct timer *timer;  /* its end, or of the wait */
	char *text;           /* of the answer that waits */
};

struct child_state {
	struct child *child;
	struct loop *loop;
	struct log *log;
	const struct auth_conf *conf;
	struct auth_server *server;
	TAILQ_HEAD(, client) clients;
	size_t nexchanges;
};

static const struct auth_conf *
conf_of(struct child *c)
{
	const struct auth_daemon *d = child_conf(c);

	return &d->auth;
}

/* --- exchanges ------------------------------------------------------------ */

static void
exchange_free(struct exchange *x)
{
	TAILQ_REMOVE(&x->client->exchanges, x, entry);
	x->client->state->nexchanges--;
	auth_try_free(&x->try);
	timer_free(&x->timer);
	free(x->text);
	free(x);
}

/* A client that does not take answers sees its exchanges time out. */
static void
answer_send(struct client *c, uint64_t id, const struct auth_answer *a)
{
	if (!auth_send_answer(c->ipc, id, a))
		log_warn(c->state->log, "neighbour does not take answers",
		    NULL);
}

static void
exchange_timeout(void *arg)
{
	struct exchange *x = arg;
	struct auth_answer a = { .result = AUTH_FAIL, .text = x->text };

	if (x->try != NULL)
		a = (struct auth_answer){ .result = AUTH_UNAVAILABLE,
			.text = "it took too long" };
	answer_send(x->client, x->id, &a);
	exchange_free(x);
}

static struct exchange *
exchange_find(struct client *c, uint64_t id)
{
	struct exchange *x;

	TAILQ_FOREACH (x, &c->exchanges, entry)
		if (x->id == id)
			return x;
	return NULL;
}

static struct exchange *
exchange_new(struct client *c, uint64_t id, const struct auth_peer *p)
{
	struct exchange *x = xcalloc(1, sizeof(*x));

	x->client = c;
	x->id = id;
	x->try = auth_try_new(c->state->server, p);
	x->timer = timer_new(c->state->loop, exchange_timeout, x);
	timer_set(x->timer, EXCHANGE_MS);
	TAILQ_INSERT_HEAD(&c->exchanges, x, entry);
	c->state->nexchanges++;
	return x;
}

/* Who guesses waits, and nobody else does. */
static void
exchange_fail(struct exchange *x, const char *text)
{
	x->text = xstrdup(text == NULL ? "" : text);
	auth_try_free(&x->try);
	timer_set(x->timer, (int64_t)x->client->state->conf->fail_ms);
}

static void
exchange_answer(struct exchange *x, const struct auth_answer *a)
{
	switch (a->result) {
	case AUTH_CONTINUE:
		answer_send(x->client, x->id, a);
		break;
	case AUTH_FAIL:
		exchange_fail(x, a->text);
		break;
	case AUTH_OK:
	case AUTH_UNAVAILABLE:
		answer_send(x->client, x->id, a);
		exchange_free(x);
		break;
	}
}

static void
refuse(struct client *c, uint64_t id, const char *text)
{
	struct auth_answer a = { .result = AUTH_UNAVAILABLE, .text = text };

	answer_send(c, id, &a);
}

/* --- clients -------------------------------------------------------------- */

static void
request_begin(struct client *c, const struct ipc_message *m,
    const struct auth_request *r)
{
	struct mono now = loop_now(c->state->loop);
	struct auth_answer a;
	struct exchange *x;

	if (c->state->nexchanges >= EXCHANGES_MAX) {
		refuse(c, m->id, "too many at once");
		return;
	}
	x = exchange_new(c, m->id, &r->peer);
	if (m->type == AUTH_START)
		auth_try_start(x->try, r->mechanism,
		    r->has_octets ? &r->octets : NULL, now, &a);
	else
		auth_try_login(x->try, r->user, r->octets, now, &a);
	exchange_answer(x, &a);
}

/* Over at once, also if there is no such user: nobody guesses here. */
static void
request_exists(struct client *c, const struct ipc_message *m,
    const struct auth_request *r)
{
	struct auth_try *t = auth_try_new(c->state->server, &r->peer);
	struct auth_answer a;

	auth_try_exists(t, r->user, &a);
	answer_send(c, m->id, &a);
	auth_try_free(&t);
}

static void
request_step(struct client *c, const struct ipc_message *m,
    const struct auth_request *r)
{
	struct exchange *x = exchange_find(c, m->id);
	struct auth_answer a;

	if (x == NULL || x->try == NULL) {
		refuse(c, m->id, "no such exchange");
		return;
	}
	auth_try_step(x->try, r->octets, loop_now(c->state->loop), &a);
	exchange_answer(x, &a);
}

static void
request_cancel(struct client *c, uint64_t id)
{
	struct exchange *x = exchange_find(c, id);

	if (x != NULL) /* else it has just ended */
		exchange_free(x);
}

static void
client_free(struct client *c)
{
	struct exchange *x;

	while ((x = TAILQ_FIRST(&c->exchanges)) != NULL)
		exchange_free(x);
	TAILQ_REMOVE(&c->state->clients, c, entry);
	ipc_free(&c->ipc);
	free(c);
}

static void
client_event(void *arg, const struct ipc_message *m)
{
	struct client *c = arg;
	struct auth_request r;

	if (m == NULL) {
		client_free(c);
		return;
	}
	MUST(m->fd == -1);
	auth_request_parse(&r, m->payload);
	switch (m->type) {
	case AUTH_START:
	case AUTH_LOGIN:
		request_begin(c, m, &r);
		break;
	case AUTH_EXISTS:
		request_exists(c, m, &r);
		break;
	case AUTH_STEP:
		request_step(c, m, &r);
		break;
	case AUTH_CANCEL:
		request_cancel(c, m->id);
		break;
	default:
		MUST(m->type == AUTH_START);
	}
	auth_request_fini(&r);
	/* It is in our own ipc's buffer, which the next message overwrites. */
	wipe((void *)(uintptr_t)m->payload.ptr, m->payload.len);
}

static void
client_greet(struct client *c)
{
	const struct auth_server *s = c->state->server;

	if (!auth_send_mechanisms(c->ipc, auth_server_mechanisms(s, true),
	        auth_server_mechanisms(s, false)))
		log_warn(c->state->log, "neighbour does not take answers",
		    NULL);
}

/* --- the child ------------------------------------------------------------ */

static unsigned
child_number(const void *conf)
{
	const struct auth_daemon *d = conf;

	return (unsigned)d->auth.children;
}

static int
child_start(struct child *child, void **statep, struct err *err)
{
	struct child_state *s = xcalloc(1, sizeof(*s));

	s->child = child;
	s->loop = child_loop(child);
	s->log = child_log(child);
	s->conf = conf_of(child);
	TAILQ_INIT(&s->clients);
	s->server = auth_server_new(s->conf, s->log, err);
	if (s->server == NULL) {
		free(s);
		return -1;
	}
	*statep = s;
	return 0;
}

static void
child_neighbour(void *state, const char *name, unsigned index, int fd)
{
	struct child_state *s = state;
	struct client *c = xcalloc(1, sizeof(*c));

	(void)name, (void)index; /* whoever it is, it asks the same way */
	c->state = s;
	TAILQ_INIT(&c->exchanges);
	TAILQ_INSERT_TAIL(&s->clients, c, entry);
	c->ipc = ipc_new(s->loop, fd, client_event, c);
	client_greet(c);
}

/* SASL reads its options when it starts, so it starts again. */
static void
child_again(void *state)
{
	struct child_state *s = state;
	struct exchange *x;
	struct client *c;
	struct err err;

	TAILQ_FOREACH (c, &s->clients, entry)
		while ((x = TAILQ_FIRST(&c->exchanges)) != NULL) {
			refuse(c, x->id, "the configuration has changed");
			exchange_free(x);
		}
	auth_server_free(&s->server);
	s->conf = conf_of(s->child);
	s->server = auth_server_new(s->conf, s->log, &err);
	if (s->server == NULL) {
		log_err(s->log, "auth child cannot go on", "error", err.text,
		    NULL);
		exit(1); /* the parent tries again, with back-off */
	}
	TAILQ_FOREACH (c, &s->clients, entry)
		client_greet(c);
}

/* No new sessions, so nobody logs in any more. */
static void
child_drain(void *state)
{
	struct child_state *s = state;

	child_drained(s->child);
}

struct daemon_child
auth_child(size_t conf_offset)
{
	MUST(conf_offset == offsetof(struct auth_daemon, auth));
	return (struct daemon_child){ .name = "auth",
		.count = child_number,
		.start = child_start,
		.neighbour = child_neighbour,
		.reload = child_again,
		.drain = child_drain };
}
