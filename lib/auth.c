#include <stdlib.h>
#include <string.h>

#include "lib/auth.h"
#include "lib/auth_wire.h"
#include "lib/buf.h"
#include "lib/ipc.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	MAGIC = 0x61757468,
	EXCHANGE_MAGIC = 0x61757478,
	ANSWER_MS = 30000 /* for the child to answer one message */
};

/* One of the auth children, as long as it lives. */
struct checker {
	TAILQ_ENTRY(checker) entry;
	struct auth *auth;
	unsigned index;
	struct ipc *ipc;
	char *secure, *plain; /* mechanisms; NULL before it has spoken */
	size_t exchanges;
};

struct auth_exchange {
	unsigned magic;
	TAILQ_ENTRY(auth_exchange) entry;
	struct auth *auth;
	struct checker *checker; /* NULL: none, or it has gone */
	uint64_t id;
	bool resting; /* its owner's turn: it is not called back */
	struct timer *timer;
	const char *why; /* if the timer goes off */
	auth_cb *cb;
	void *arg;
};

struct auth {
	unsigned magic;
	struct loop *loop;
	struct log *log;
	bool plaintext;
	TAILQ_HEAD(, checker) checkers;
	TAILQ_HEAD(, auth_exchange) exchanges;
	struct map ids; /* 8 octets to struct auth_exchange */
	uint64_t last_id;
	struct buf mechanisms; /* what auth_mechanisms() gave last */
};

static struct slice
id_key(const uint64_t *id)
{
	return slice_of(id, sizeof(*id));
}

/* --- exchanges ------------------------------------------------------------ */

static void
exchange_free(struct auth_exchange *x)
{
	struct auth *a = x->auth;

	MUST(x->magic == EXCHANGE_MAGIC);
	x->magic = 0;
	if (x->checker != NULL)
		x->checker->exchanges--;
	map_remove(&a->ids, id_key(&x->id));
	TAILQ_REMOVE(&a->exchanges, x, entry);
	timer_free(&x->timer);
	free(x);
}

static void
checker_leave(struct auth_exchange *x)
{
	if (x->checker != NULL)
		x->checker->exchanges--;
	x->checker = NULL;
}

/*
 * The exchange is gone before its owner hears of it.  An answer to what was
 * not asked is the child's giving up: the owner hears of it at its next step.
 */
static void
exchange_answer(struct auth_exchange *x, const struct auth_answer *answer)
{
	auth_cb *cb = x->cb;
	void *arg = x->arg;

	if (x->resting) {
		checker_leave(x);
		return;
	}
	x->resting = answer->result == AUTH_CONTINUE;
	if (x->resting)
		timer_stop(x->timer);
	else
		exchange_free(x);
	cb(arg, answer);
}

static void
cancel_send(struct auth_exchange *x)
{
	struct auth_request none = { .has_octets = false };

	if (x->checker != NULL &&
	    !auth_send_request(x->checker->ipc, AUTH_CANCEL, x->id, &none))
		log_warn(x->auth->log, "auth child does not take messages",
		    NULL);
}

static void
exchange_timeout(void *arg)
{
	struct auth_exchange *x = arg;
	struct auth_answer answer = { .result = AUTH_UNAVAILABLE,
		.text = x->why };

	MUST(x->magic == EXCHANGE_MAGIC);
	cancel_send(x);
	exchange_answer(x, &answer);
}

/* It fails in a turn of its own. */
static void
exchange_lose(struct auth_exchange *x, const char *why)
{
	checker_leave(x);
	x->why = why;
	if (!x->resting)
		timer_set(x->timer, 0);
}

/* The one with the least to do. */
static struct checker *
checker_choose(const struct auth *a)
{
	struct checker *c, *best = NULL;

	TAILQ_FOREACH (c, &a->checkers, entry)
		if (best == NULL || c->exchanges < best->exchanges)
			best = c;
	return best;
}

static void
exchange_send(struct auth_exchange *x, enum auth_message type,
    const struct auth_request *r)
{
	if (x->checker == NULL)
		exchange_lose(x, "no auth child");
	else if (!auth_send_request(x->checker->ipc, type, x->id, r))
		exchange_lose(x, "the auth child does not take messages");
	else
		timer_set(x->timer, ANSWER_MS);
}

static struct auth_exchange *
exchange_new(struct auth *a, auth_cb *cb, void *arg)
{
	struct auth_exchange *x = xcalloc(1, sizeof(*x));

	MUST(a->magic == MAGIC);
	x->magic = EXCHANGE_MAGIC;
	x->auth = a;
	x->id = ++a->last_id;
	x->cb = cb;
	x->arg = arg;
	x->why = "the auth child did not answer in time";
	x->timer = timer_new(a->loop, exchange_timeout, x);
	x->checker = checker_choose(a);
	if (x->checker != NULL)
		x->checker->exchanges++;
	map_put(&a->ids, id_key(&x->id), x);
	TAILQ_INSERT_TAIL(&a->exchanges, x, entry);
	return x;
}

struct auth_exchange *
auth_start(struct auth *a, const struct auth_peer *p, const char *mechanism,
    const struct slice *initial, auth_cb *cb, void *arg)
{
	struct auth_request r = { .peer = *p,
		.mechanism = slice_str(mechanism),
		.has_octets = initial != NULL };
	struct auth_exchange *x = exchange_new(a, cb, arg);

	if (initial != NULL)
		r.octets = *initial;
	exchange_send(x, AUTH_START, &r);
	return x;
}

struct auth_exchange *
auth_login(struct auth *a, const struct auth_peer *p, struct slice user,
    struct slice password, auth_cb *cb, void *arg)
{
	struct auth_request r = { .peer = *p,
		.user = user,
		.octets = password };
	struct auth_exchange *x = exchange_new(a, cb, arg);

	exchange_send(x, AUTH_LOGIN, &r);
	return x;
}

struct auth_exchange *
auth_exists(struct auth *a, const struct auth_peer *p, struct slice user,
    auth_cb *cb, void *arg)
{
	struct auth_request r = { .peer = *p, .user = user };
	struct auth_exchange *x = exchange_new(a, cb, arg);

	exchange_send(x, AUTH_EXISTS, &r);
	return x;
}

void
auth_step(struct auth_exchange *x, struct slice response)
{
	struct auth_request r = { .octets = response };

	MUST(x->magic == EXCHANGE_MAGIC && x->resting);
	x->resting = false;
	exchange_send(x, AUTH_STEP, &r);
}

void
auth_cancel(struct auth_exchange **xp)
{
	struct auth_exchange *x = *xp;

	if (x == NULL)
		return;
	cancel_send(x);
	exchange_free(x);
	*xp = NULL;
}

/* --- children ------------------------------------------------------------- */

static void
checker_free(struct checker *c)
{
	struct auth_exchange *x;

	TAILQ_FOREACH (x, &c->auth->exchanges, entry)
		if (x->checker == c)
			exchange_lose(x, "the auth child has ended");
	TAILQ_REMOVE(&c->auth->checkers, c, entry);
	ipc_free(&c->ipc);
	free(c->secure);
	free(c->plain);
	free(c);
}

static void
answer_take(struct auth *a, const struct ipc_message *m)
{
	struct auth_exchange *x = map_find(&a->ids, id_key(&m->id));
	struct auth_answer answer;
	struct auth_texts texts;

	if (x == NULL)
		return; /* cancelled meanwhile */
	auth_answer_parse(&answer, &texts, m->payload);
	exchange_answer(x, &answer);
	free(texts.first);
	free(texts.second);
	free(texts.third);
}

static void
checker_event(void *arg, const struct ipc_message *m)
{
	struct checker *c = arg;
	struct auth_texts texts;

	if (m == NULL) {
		log_warn(c->auth->log, "auth child has gone", "index",
		    LOG_NUM(c->index), NULL);
		checker_free(c);
		return;
	}
	MUST(m->fd == -1);
	MUST(m->type == AUTH_ANSWER || m->type == AUTH_MECHANISMS);
	if (m->type == AUTH_ANSWER) {
		answer_take(c->auth, m);
		return;
	}
	auth_mechanisms_parse(&texts, m->payload);
	free(c->secure);
	free(c->plain);
	c->secure = texts.first;
	c->plain = texts.second;
}

void
auth_neighbour(struct auth *a, unsigned index, int fd)
{
	struct checker *c, *next;

	TAILQ_FOREACH_SAFE (c, &a->checkers, entry, next)
		if (c->index == index)
			checker_free(c);
	c = xcalloc(1, sizeof(*c));
	c->auth = a;
	c->index = index;
	c->ipc = ipc_new(a->loop, fd, checker_event, c);
	TAILQ_INSERT_TAIL(&a->checkers, c, entry);
}

struct auth *
auth_new(struct loop *l, struct log *log, const struct auth_conf *conf)
{
	struct auth *a = xcalloc(1, sizeof(*a));

	a->magic = MAGIC;
	a->loop = l;
	a->log = log;
	TAILQ_INIT(&a->checkers);
	TAILQ_INIT(&a->exchanges);
	map_init(&a->ids);
	buf_init(&a->mechanisms, AUTH_OCTETS_MAX);
	auth_reload(a, conf);
	return a;
}

void
auth_free(struct auth **ap)
{
	struct auth *a = *ap;
	struct auth_exchange *x;
	struct checker *c;

	if (a == NULL)
		return;
	while ((x = TAILQ_FIRST(&a->exchanges)) != NULL)
		exchange_free(x);
	while ((c = TAILQ_FIRST(&a->checkers)) != NULL)
		checker_free(c);
	map_fini(&a->ids);
	buf_fini(&a->mechanisms);
	free(a);
	*ap = NULL;
}

void
auth_reload(struct auth *a, const struct auth_conf *conf)
{
	a->plaintext = conf->plaintext;
}

const char *
auth_mechanisms(struct auth *a, const struct auth_peer *p)
{
	const struct checker *c;
	const char *list;

	buf_clear(&a->mechanisms);
	TAILQ_FOREACH (c, &a->checkers, entry) {
		if (c->secure == NULL)
			continue;
		list = p->secure || a->plaintext ? c->secure : c->plain;
		buf_puts(&a->mechanisms, list);
		if (p->external != NULL)
			buf_puts(&a->mechanisms,
			    list[0] == '\0' ? "EXTERNAL" : " EXTERNAL");
		break;
	}
	buf_putc(&a->mechanisms, '\0');
	MUST(!buf_failed(&a->mechanisms));
	return (const char *)buf_data(&a->mechanisms);
}
