#define _GNU_SOURCE /* close_range */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/child.h"
#include "lib/daemon.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/priv.h"
#include "lib/settings.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

#define CHILD_MAGIC 0x6b1f02e9u

struct child {
	unsigned magic;
	struct child_birth birth;
	struct loop *loop;
	struct log *log;
	struct settings *settings;
	struct ipc *control;
	void *state; /* what start() made */
	bool drains;
};

enum log_level
child_log_level(const struct settings *s, bool verbose)
{
	enum log_level level = LOG_LEVEL_INFO;

	if (verbose)
		return LOG_LEVEL_DEBUG;
	MUST(log_level_named(settings_daemon(s)->log_level, &level));
	return level;
}

/* The signals are the parent's business: it tells us what they mean. */
static void
ignore_signals(void)
{
	static const int ignored[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
	struct sigaction sa = { .sa_handler = SIG_IGN };
	sigset_t none;

	for (size_t i = 0; i < NITEMS(ignored); i++)
		MUST(sigaction(ignored[i], &sa, NULL) == 0);
	sa.sa_handler = SIG_DFL;
	MUST(sigaction(SIGCHLD, &sa, NULL) == 0);
	sigemptyset(&none);
	MUST(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

static bool
is_ours(const struct child_birth *birth, int fd)
{
	if (fd == birth->control)
		return true;
	for (size_t i = 0; i < birth->nbounds; i++)
		if (birth->bounds[i].fd == fd &&
		    strcmp(birth->bounds[i].child, birth->kind->name) == 0)
			return true;
	return false;
}

/* The parent's loop, its log, its sockets to our siblings. */
static void
close_what_is_not_ours(const struct child_birth *birth)
{
	int last = birth->control;

	for (size_t i = 0; i < birth->nbounds; i++)
		if (birth->bounds[i].fd > last)
			last = birth->bounds[i].fd;
	for (int fd = STDERR_FILENO + 1; fd <= last; fd++)
		if (!is_ours(birth, fd))
			close(fd);
	MUST(close_range((unsigned)last + 1, ~0u, 0) == 0);
}

static void
take_name(struct child *c)
{
	char name[64];

	snprintf(name, sizeof(name), "%s/%s", c->birth.spec->name,
	    c->birth.kind->name);
	/* Cut by the kernel to 15 octets; only looks depend on it. */
	(void)prctl(PR_SET_NAME, name, 0, 0, 0);
	c->log = log_new(name, child_log_level(c->settings, c->birth.verbose),
	    c->birth.to_stderr);
}

static int
confine(struct child *c, struct err *err)
{
	const struct daemon_conf *conf = settings_daemon(c->settings);
	uint64_t got;

	if (priv_descriptors(conf->descriptors, &got, err) == -1 ||
	    priv_become(conf->user, err) == -1 || priv_confine(err) == -1)
		return -1;
	/* Changing the user forgets this, so it comes behind. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == -1)
		return err_sys(err, "tying to the parent");
	if (getppid() != c->birth.parent)
		_exit(1); /* it went before we were tied */
	return 0;
}

static void
neighbour(struct child *c, const struct ipc_message *m)
{
	struct wire w;
	struct slice name;
	unsigned index;
	char *text;

	wire_init(&w, m->payload);
	name = wire_slice(&w);
	index = wire_u32(&w);
	MUST(wire_done(&w));
	if (m->fd == -1) {
		log_err(c->log, "out of descriptors for a neighbour", "name",
		    LOG_SLICE(name), NULL);
		return;
	}
	if (c->birth.kind->neighbour == NULL) {
		close(m->fd);
		return;
	}
	text = xstrndup(name.ptr, name.len);
	c->birth.kind->neighbour(c->state, text, index, m->fd);
	free(text);
}

static void
reload(struct child *c, int fd)
{
	struct settings *old = c->settings, *s = NULL;
	struct err err;

	if (fd == -1)
		err_set(&err, "out of descriptors");
	else
		s = settings_unpack(c->birth.spec, fd, &err);
	if (s == NULL) {
		log_err(c->log, "reload failed, keeping the old configuration",
		    "why", err.text, NULL);
		return;
	}
	c->settings = s;
	log_set_level(c->log, child_log_level(s, c->birth.verbose));
	if (c->birth.kind->reload != NULL)
		c->birth.kind->reload(c->state);
	settings_free(&old);
}

static void
drain(struct child *c)
{
	if (c->drains)
		return;
	c->drains = true;
	if (c->birth.kind->drain != NULL)
		c->birth.kind->drain(c->state);
	else
		child_drained(c);
}

static void
control_event(void *arg, const struct ipc_message *m)
{
	struct child *c = arg;

	MUST(c->magic == CHILD_MAGIC);
	if (m == NULL) {
		log_err(c->log, "the parent is gone", NULL);
		_exit(1);
	}
	switch ((enum control)m->type) {
	case CONTROL_NEIGHBOUR:
		neighbour(c, m);
		return;
	case CONTROL_RELOAD:
		reload(c, m->fd);
		return;
	case CONTROL_DRAIN:
		drain(c);
		return;
	case CONTROL_STARTED:
	case CONTROL_FAILED:
		break;
	}
	must_fail("a message for a child", __FILE__, __LINE__, __func__);
}

static void
fail(struct child *c, const struct err *err)
{
	/* If the parent cannot be told, it still sees how we ended. */
	if (!ipc_send(c->control, CONTROL_FAILED, 0, slice_str(err->text), -1))
		log_err(c->log, "start failed", "why", err->text, NULL);
	_exit(1);
}

/*
 * Everything is left to the kernel at the end: the parent's memory, of which
 * this process has a copy, is none of ours to free.
 */
void
child_main(const struct child_birth *birth)
{
	struct child *c = xcalloc(1, sizeof(*c));
	struct err err;

	ignore_signals();
	close_what_is_not_ours(birth);
	c->magic = CHILD_MAGIC;
	c->birth = *birth;
	c->settings = birth->settings;
	take_name(c);
	c->loop = loop_new();
	c->control = ipc_new(c->loop, birth->control, control_event, c);
	if (confine(c, &err) == -1 ||
	    birth->kind->start(c, &c->state, &err) == -1)
		fail(c, &err);
	if (!ipc_send(c->control, CONTROL_STARTED, 0, slice_of(NULL, 0), -1))
		_exit(1);
	log_debug(c->log, "started", "index", LOG_NUM(birth->index), NULL);
	loop_run(c->loop);
	_exit(0);
}

struct loop *
child_loop(struct child *c)
{
	return c->loop;
}

struct log *
child_log(struct child *c)
{
	return c->log;
}

const void *
child_conf(struct child *c)
{
	return settings_conf(c->settings);
}

unsigned
child_index(struct child *c)
{
	return c->birth.index;
}

unsigned
child_count(struct child *c, const char *name)
{
	const struct daemon_child *const *kinds = c->birth.spec->children;

	for (size_t i = 0; kinds[i] != NULL; i++)
		if (strcmp(kinds[i]->name, name) == 0)
			return c->birth.counts[i];
	return 0;
}

int
child_listener(struct child *c, const char *name, unsigned n)
{
	for (size_t i = 0; i < c->birth.nbounds; i++) {
		const struct bound *b = &c->birth.bounds[i];

		if (strcmp(b->name, name) == 0 &&
		    strcmp(b->child, c->birth.kind->name) == 0 && n-- == 0)
			return b->fd;
	}
	return -1;
}

struct slice
child_file(struct child *c, const char *name)
{
	return settings_file(c->settings, name);
}

void
child_drained(struct child *c)
{
	loop_stop(c->loop);
}
