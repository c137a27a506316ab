#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/brood.h"
#include "lib/buf.h"
#include "lib/child.h"
#include "lib/daemon.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/settings.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

enum {
	DELAY_FIRST = 100, /* ms until a child is started again, if no less */
	YOUNG = 10000,     /* dying before this age doubles the delay */
	COUNT_MAX = 1000,  /* children of a kind */
	KINDS_MAX = 16
};

#define KID_MAGIC 0x2f97c4a8u

enum kid_state {
	KID_WAITING,  /* for its timer, to be started (again) */
	KID_STARTING, /* forked; start() has not answered */
	KID_UP,
	KID_DYING, /* process or control socket has ended, not yet both */
	KID_ENDED  /* and is not started again */
};

struct kid {
	unsigned magic;
	struct brood *brood;
	const struct daemon_child *kind;
	unsigned index;
	enum kid_state state;
	pid_t pid;           /* 0: reaped */
	int status;          /* of waitpid, when reaped */
	struct ipc *control; /* NULL: the other side has closed it */
	struct timer *timer;
	struct mono born;
	int64_t delay_ms;
	bool started; /* it was up in this life */
	char why[480];
};

enum brood_phase {
	BROOD_STARTS, /* first start is not complete */
	BROOD_RUNS,
	BROOD_DRAINS_SERVERS, /* those who accept */
	BROOD_DRAINS_ALL,
	BROOD_OVER
};

struct brood {
	struct brood_setup setup;
	enum brood_phase phase;
	struct timer *deadline;
	unsigned counts[KINDS_MAX];
	size_t nkids;
	struct kid *kids;
};

static void
tell(struct brood *b, enum brood_event ev, const char *why)
{
	b->setup.cb(b->setup.arg, ev, why);
}

/* Does this kind accept connections? */
static bool
is_server(const struct brood *b, const struct daemon_child *kind)
{
	const struct daemon_listen *l = b->setup.spec->listens;

	for (; l != NULL && l->name != NULL; l++)
		if (strcmp(l->child, kind->name) == 0)
			return true;
	return false;
}

static bool
are_linked(const struct brood *b, const char *one, const char *two)
{
	const struct daemon_link *l = b->setup.spec->links;

	for (; l != NULL && l->a != NULL; l++)
		if ((strcmp(l->a, one) == 0 && strcmp(l->b, two) == 0) ||
		    (strcmp(l->a, two) == 0 && strcmp(l->b, one) == 0))
			return true;
	return false;
}

/* Tells kid of its neighbour; fd is kid's end. */
static bool
introduce(struct kid *kid, const struct kid *other, int fd)
{
	struct buf b;
	bool sent;

	buf_init(&b, 256);
	wire_put_str(&b, other->kind->name);
	wire_put_u32(&b, other->index);
	MUST(!buf_failed(&b));
	sent = ipc_send(kid->control, CONTROL_NEIGHBOUR, 0, buf_slice(&b), fd);
	buf_fini(&b);
	return sent;
}

/* New sockets between kid and each neighbour that is up. */
static void
join_neighbours(struct kid *kid)
{
	struct brood *b = kid->brood;
	struct err err;
	int fds[2];

	for (size_t i = 0; i < b->nkids; i++) {
		struct kid *other = &b->kids[i];

		if (other == kid || other->state != KID_UP ||
		    !are_linked(b, kid->kind->name, other->kind->name))
			continue;
		if (ipc_pair(fds, &err) == -1) {
			log_err(b->setup.log, "no socket for neighbours", "why",
			    err.text, NULL);
			return;
		}
		/* If one is dying the other sees its end closed, and both get
		 * a new pair when the dead one is up again. */
		if (!introduce(kid, other, fds[0]) ||
		    !introduce(other, kid, fds[1]))
			log_warn(b->setup.log, "neighbours not joined", "child",
			    kid->kind->name, "other", other->kind->name, NULL);
	}
}

static size_t
count_in(const struct brood *b, enum kid_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < b->nkids; i++)
		n += b->kids[i].state == state;
	return n;
}

static void
kid_up(struct kid *kid)
{
	struct brood *b = kid->brood;

	kid->state = KID_UP;
	kid->started = true;
	join_neighbours(kid);
	if (b->phase == BROOD_STARTS && count_in(b, KID_UP) == b->nkids) {
		b->phase = BROOD_RUNS;
		tell(b, BROOD_STARTED, NULL);
	}
}

static void
describe_death(const struct kid *kid, struct err *why)
{
	if (kid->why[0] != '\0')
		err_set(why, "%s", kid->why);
	else if (WIFSIGNALED(kid->status))
		err_set(why, "killed by signal %d", WTERMSIG(kid->status));
	else
		err_set(why, "exit status %d", WEXITSTATUS(kid->status));
}

static void
ask_to_drain(struct kid *kid)
{
	if (kid->state == KID_WAITING) {
		timer_stop(kid->timer);
		kid->state = KID_ENDED;
	}
	/* If it cannot be told, its end is near, or the deadline is. */
	if (kid->control != NULL &&
	    !ipc_send(kid->control, CONTROL_DRAIN, 0, slice_of(NULL, 0), -1))
		log_debug(kid->brood->setup.log, "child cannot be told",
		    "child", kid->kind->name, NULL);
}

static size_t
servers_left(const struct brood *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->nkids; i++)
		n += b->kids[i].state != KID_ENDED &&
		     is_server(b, b->kids[i].kind);
	return n;
}

static void
drain_step(struct brood *b)
{
	if (b->phase == BROOD_DRAINS_SERVERS && servers_left(b) == 0) {
		b->phase = BROOD_DRAINS_ALL;
		for (size_t i = 0; i < b->nkids; i++)
			if (!is_server(b, b->kids[i].kind))
				ask_to_drain(&b->kids[i]);
	}
	if (b->phase == BROOD_DRAINS_ALL &&
	    count_in(b, KID_ENDED) == b->nkids) {
		b->phase = BROOD_OVER;
		timer_stop(b->deadline);
		tell(b, BROOD_ENDED, NULL);
	}
}

/* The process is reaped and has nothing more to say. */
static void
kid_gone(struct kid *kid)
{
	struct brood *b = kid->brood;
	int64_t age = loop_now(b->setup.loop).ms - kid->born.ms;
	int64_t most = (int64_t)settings_daemon(b->setup.settings)->restart_ms;
	struct err why;

	describe_death(kid, &why);
	if (b->phase >= BROOD_DRAINS_SERVERS) {
		if (kid->status != 0)
			log_err(b->setup.log, "child died while draining",
			    "child", kid->kind->name, "index",
			    LOG_NUM(kid->index), "why", why.text, NULL);
		kid->state = KID_ENDED;
		drain_step(b);
		return;
	}
	if (b->phase == BROOD_STARTS) {
		kid->state = KID_ENDED;
		err_add(&why, "%s child %u", kid->kind->name, kid->index);
		tell(b, BROOD_FAILED, why.text);
		return;
	}
	if (kid->started && age >= YOUNG)
		kid->delay_ms = DELAY_FIRST;
	if (kid->delay_ms > most)
		kid->delay_ms = most;
	log_err(b->setup.log, "child died", "child", kid->kind->name, "index",
	    LOG_NUM(kid->index), "why", why.text, "restart_ms",
	    LOG_NUM(kid->delay_ms), NULL);
	kid->state = KID_WAITING;
	timer_set(kid->timer, kid->delay_ms);
	kid->delay_ms *= 2;
}

/*
 * The end of the process and the end of what it said come by different ways.
 * Its last message may be why it ended.
 */
static void
kid_end(struct kid *kid)
{
	if (kid->pid == 0 && kid->control == NULL)
		kid_gone(kid);
	else
		kid->state = KID_DYING;
}

static void
control_event(void *arg, const struct ipc_message *m)
{
	struct kid *kid = arg;

	MUST(kid->magic == KID_MAGIC);
	if (m == NULL) {
		ipc_free(&kid->control);
		kid_end(kid);
		return;
	}
	MUST(m->fd == -1);
	if (m->type == CONTROL_FAILED) {
		size_t n = m->payload.len < sizeof(kid->why)
		               ? m->payload.len
		               : sizeof(kid->why) - 1;

		memcpy(kid->why, m->payload.ptr, n);
		kid->why[n] = '\0';
		return;
	}
	MUST(m->type == CONTROL_STARTED);
	if (kid->state == KID_STARTING)
		kid_up(kid);
}

static void
kid_failed(struct kid *kid, const struct err *err)
{
	kid->status = 1 << 8; /* as if it had exited with 1 */
	memcpy(kid->why, err->text, sizeof(kid->why));
	kid_gone(kid);
}

static void
kid_start(struct kid *kid)
{
	struct brood *b = kid->brood;
	struct child_birth birth = { .spec = b->setup.spec,
		.kind = kid->kind,
		.index = kid->index,
		.counts = b->counts,
		.settings = b->setup.settings,
		.bounds = b->setup.bounds,
		.nbounds = b->setup.nbounds,
		.to_stderr = b->setup.to_stderr,
		.verbose = b->setup.verbose,
		.parent = getpid() };
	struct err err;
	int fds[2];

	kid->born = loop_now(b->setup.loop);
	kid->started = false;
	kid->why[0] = '\0';
	if (ipc_pair(fds, &err) == -1) {
		kid_failed(kid, &err);
		return;
	}
	kid->pid = fork();
	if (kid->pid == 0) {
		birth.control = fds[1];
		child_main(&birth);
	}
	close(fds[1]);
	if (kid->pid == -1) {
		kid->pid = 0;
		err_sys(&err, "fork");
		close(fds[0]);
		kid_failed(kid, &err);
		return;
	}
	kid->control = ipc_new(b->setup.loop, fds[0], control_event, kid);
	kid->state = KID_STARTING;
}

static void
start_again(void *arg)
{
	struct kid *kid = arg;

	MUST(kid->magic == KID_MAGIC && kid->state == KID_WAITING);
	kid_start(kid);
}

static void
reap(void *arg, int signo)
{
	struct brood *b = arg;
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < b->nkids; i++) {
			struct kid *kid = &b->kids[i];

			if (kid->pid != pid)
				continue;
			kid->pid = 0;
			kid->status = status;
			kid_end(kid);
			break;
		}
	}
}

static void
kill_all(struct brood *b)
{
	for (size_t i = 0; i < b->nkids; i++)
		if (b->kids[i].pid != 0)
			kill(b->kids[i].pid, SIGKILL);
}

static void
deadline_passed(void *arg)
{
	struct brood *b = arg;

	log_warn(b->setup.log, "drain_timeout passed, killing what is left",
	    NULL);
	kill_all(b);
}

void
brood_drain(struct brood *b, unsigned long long ms)
{
	if (b->phase >= BROOD_DRAINS_SERVERS)
		return;
	b->phase = BROOD_DRAINS_SERVERS;
	timer_set(b->deadline, ms > INT32_MAX ? INT32_MAX : (int64_t)ms);
	for (size_t i = 0; i < b->nkids; i++)
		if (is_server(b, b->kids[i].kind))
			ask_to_drain(&b->kids[i]);
	drain_step(b);
}

void
brood_reload(struct brood *b, struct settings *settings)
{
	struct err err;

	b->setup.settings = settings;
	for (size_t i = 0; i < b->nkids; i++) {
		struct kid *kid = &b->kids[i];
		int fd;

		if (kid->control == NULL)
			continue; /* its next life has it from the fork */
		fd = settings_pack(settings, &err);
		if (fd == -1)
			log_err(b->setup.log, "child not reloaded", "child",
			    kid->kind->name, "why", err.text, NULL);
		else if (!ipc_send(kid->control, CONTROL_RELOAD, 0,
		             slice_of(NULL, 0), fd))
			log_warn(b->setup.log, "child cannot be told", "child",
			    kid->kind->name, NULL);
	}
}

static void
count_kids(struct brood *b)
{
	const struct daemon_child *const *kinds = b->setup.spec->children;

	for (size_t i = 0; kinds[i] != NULL; i++) {
		MUST(i < KINDS_MAX);
		b->counts[i] =
		    kinds[i]->count(settings_conf(b->setup.settings));
		if (b->counts[i] > COUNT_MAX)
			b->counts[i] = COUNT_MAX;
		b->nkids += b->counts[i];
	}
}

static void
make_kids(struct brood *b)
{
	const struct daemon_child *const *kinds = b->setup.spec->children;
	struct kid *kid;

	b->kids = kid = xcalloc(b->nkids, sizeof(*kid));
	for (size_t i = 0; kinds[i] != NULL; i++) {
		for (unsigned n = 0; n < b->counts[i]; n++, kid++) {
			kid->magic = KID_MAGIC;
			kid->brood = b;
			kid->kind = kinds[i];
			kid->index = n;
			kid->delay_ms = DELAY_FIRST;
			kid->timer = timer_new(b->setup.loop, start_again, kid);
		}
	}
}

struct brood *
brood_new(const struct brood_setup *setup)
{
	struct brood *b = xcalloc(1, sizeof(*b));

	b->setup = *setup;
	b->deadline = timer_new(setup->loop, deadline_passed, b);
	loop_signal(setup->loop, SIGCHLD, reap, b);
	count_kids(b);
	make_kids(b);
	/* From timers: nobody is called back from inside this call. */
	for (size_t i = 0; i < b->nkids; i++)
		timer_set(b->kids[i].timer, 0);
	return b;
}

void
brood_free(struct brood **bp)
{
	struct brood *b = *bp;

	if (b == NULL)
		return;
	kill_all(b);
	for (size_t i = 0; i < b->nkids; i++) {
		struct kid *kid = &b->kids[i];

		/* It was killed, so this does not wait for long. */
		while (kid->pid != 0 && waitpid(kid->pid, NULL, 0) == -1 &&
		       errno == EINTR)
			continue;
		ipc_free(&kid->control);
		timer_free(&kid->timer);
	}
	timer_free(&b->deadline);
	free(b->kids);
	free(b);
	*bp = NULL;
}
