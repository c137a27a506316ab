#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/endpoint.h"
#include "lib/dial.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	DIAL_ENDPOINTS = 8 /* of a name that are tried */
};

#define DIAL_MAGIC 0x57a2cc09u

enum dial_state {
	DIAL_LOOKING_UP,
	DIAL_READY,  /* to try the next address */
	DIAL_TRYING, /* connect() is on its way */
	DIAL_CALLED  /* it is over, the callee knows */
};

/* What the job thread works on; it outlives a dial that is given up. */
struct lookup {
	struct dial *dial; /* NULL: given up.  The loop's, not the job's */
	char host[ENDPOINT_HOST], port[ENDPOINT_PORT];
	struct addrinfo *found;
	int failure; /* of getaddrinfo */
};

struct dial {
	unsigned magic;
	enum dial_state state;
	struct loop *loop;
	struct jobs *jobs;
	char *text;
	struct mono deadline;
	struct timer *timer; /* of the look-up or the attempt */
	struct task *task;
	struct lookup *lookup;
	struct endpoint addresses[DIAL_ENDPOINTS];
	size_t naddresses, next;
	int fd;
	struct io *io;
	struct err why;
	dial_cb *cb;
	void *arg;
};

static void
stop(struct dial *d)
{
	timer_stop(d->timer);
	io_free(&d->io);
	if (d->lookup != NULL)
		d->lookup->dial = NULL;
	d->lookup = NULL;
}

static void
close_fd(struct dial *d)
{
	if (d->fd != -1)
		close(d->fd);
	d->fd = -1;
}

static void
finish(struct dial *d)
{
	int fd = d->fd;

	stop(d);
	d->fd = -1;
	d->state = DIAL_CALLED;
	d->cb(d->arg, fd, fd == -1 ? d->why.text : NULL);
}

/* What this attempt may take of what is left. */
static int64_t
share(const struct dial *d)
{
	int64_t left = d->deadline.ms - loop_now(d->loop).ms;

	return left / (int64_t)(d->naddresses - d->next + 1);
}

static void
note_failure(struct dial *d, int errnum)
{
	char name[ENDPOINT_HOST];

	endpoint_text(&d->addresses[d->next - 1], name, sizeof(name));
	errno = errnum;
	err_sys(&d->why, "connecting to %s", name);
}

/* Gives this address up; the next has a turn of its own. */
static void
attempt_failed(struct dial *d, int errnum)
{
	note_failure(d, errnum);
	timer_stop(d->timer);
	io_free(&d->io);
	close_fd(d);
	d->state = DIAL_READY;
	task_want(d->task);
}

static void
connected(void *arg, unsigned ready)
{
	struct dial *d = arg;
	socklen_t len = sizeof(int);
	int errnum = 0;

	(void)ready;
	MUST(d->magic == DIAL_MAGIC && d->state == DIAL_TRYING);
	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &errnum, &len) == -1)
		errnum = errno;
	if (errnum != 0)
		attempt_failed(d, errnum);
	else
		finish(d);
}

static void
try_next(struct dial *d)
{
	const struct endpoint *a = &d->addresses[d->next++];
	int on = 1;

	d->fd = socket(a->storage.ss_family,
	    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd == -1) {
		attempt_failed(d, errno);
		return;
	}
	/* Only delay depends on it, and a local socket has none to set. */
	(void)setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(d->fd, (const struct sockaddr *)&a->storage, a->len) ==
	        -1 &&
	    errno != EINPROGRESS && errno != EINTR) {
		attempt_failed(d, errno);
		return;
	}
	d->state = DIAL_TRYING;
	d->io = io_new(d->loop, d->fd, connected, d);
	io_want(d->io, IO_WRITE); /* at once, if it is connected already */
	timer_set(d->timer, share(d));
}

static void
turn(void *arg)
{
	struct dial *d = arg;

	MUST(d->magic == DIAL_MAGIC && d->state == DIAL_READY);
	if (d->next >= d->naddresses ||
	    (d->next > 0 && mono_reached(d->deadline, loop_now(d->loop))))
		finish(d); /* with the last failure */
	else
		try_next(d);
}

static void
expired(void *arg)
{
	struct dial *d = arg;

	MUST(d->magic == DIAL_MAGIC);
	if (d->state == DIAL_TRYING) {
		attempt_failed(d, ETIMEDOUT);
	} else {
		MUST(d->state == DIAL_LOOKING_UP);
		err_set(&d->why, "looking up %s: timed out", d->text);
		finish(d);
	}
}

static void
look_up(void *arg)
{
	struct lookup *k = arg;
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV };

	k->failure = getaddrinfo(k->host, k->port, &hints, &k->found);
}

static void
take_addresses(struct dial *d, const struct addrinfo *ai)
{
	for (; ai != NULL && d->naddresses < DIAL_ENDPOINTS; ai = ai->ai_next) {
		struct endpoint *a = &d->addresses[d->naddresses];

		if (ai->ai_addrlen > sizeof(a->storage))
			continue;
		memcpy(&a->storage, ai->ai_addr, ai->ai_addrlen);
		a->len = ai->ai_addrlen;
		d->naddresses++;
	}
}

static void
looked_up(void *arg)
{
	struct lookup *k = arg;
	struct dial *d = k->dial;

	if (d != NULL) {
		MUST(d->magic == DIAL_MAGIC && d->state == DIAL_LOOKING_UP);
		d->lookup = NULL;
		timer_stop(d->timer);
		err_set(&d->why, "looking up %s: %s", d->text,
		    k->failure == 0 ? "no addresses"
		                    : gai_strerror(k->failure));
		take_addresses(d, k->found);
		d->state = DIAL_READY;
		task_want(d->task);
	}
	if (k->found != NULL)
		freeaddrinfo(k->found);
	free(k);
}

/* What needs no look-up is there at once; else a job finds it. */
static void
begin(struct dial *d, int64_t ms)
{
	struct lookup *k;

	d->state = DIAL_READY;
	if (endpoint_parse(&d->addresses[0], d->text, &d->why) == 0) {
		d->naddresses = 1;
		task_want(d->task);
		return;
	}
	k = xcalloc(1, sizeof(*k));
	if (endpoint_split(d->text, k->host, k->port, &d->why) == -1) {
		free(k);
		task_want(d->task); /* which finds nothing to try */
		return;
	}
	k->dial = d;
	d->lookup = k;
	d->state = DIAL_LOOKING_UP;
	timer_set(d->timer, ms);
	jobs_put(d->jobs, look_up, looked_up, k);
}

struct dial *
dial_new(struct loop *l, struct jobs *jobs, const char *address,
    unsigned seconds, dial_cb *cb, void *arg)
{
	struct dial *d = xcalloc(1, sizeof(*d));

	d->magic = DIAL_MAGIC;
	d->loop = l;
	d->jobs = jobs;
	d->text = xstrdup(address);
	d->deadline = mono_after(loop_now(l), (int64_t)seconds * 1000);
	d->timer = timer_new(l, expired, d);
	d->task = task_new(l, turn, d);
	d->fd = -1;
	d->cb = cb;
	d->arg = arg;
	begin(d, (int64_t)seconds * 1000);
	return d;
}

static void
release(void *arg)
{
	struct dial *d = arg;

	free(d->text);
	free(d);
}

void
dial_free(struct dial **dp)
{
	struct dial *d = *dp;

	if (d == NULL)
		return;
	MUST(d->magic == DIAL_MAGIC);
	stop(d);
	close_fd(d);
	timer_free(&d->timer);
	task_free(&d->task);
	d->magic = 0;
	/* The text of why may be in use by the one who frees. */
	loop_at_end(d->loop, release, d);
	*dp = NULL;
}
