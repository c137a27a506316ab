#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/endpoint.h"
#include "lib/err.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	LISTEN_TURN = 16,    /* connections before others have their turn */
	LISTEN_RESERVE = 64, /* descriptors for what is not a client */
	LISTEN_WAIT = 500,   /* ms until the next look when they are short */
	TAKEN_TRIES = 60,    /* of an address in use */
	TAKEN_PAUSE_NS = 50 * 1000 * 1000
};

#define LISTEN_MAGIC 0x3c5be1d4u

struct listen {
	unsigned magic;
	int fd;
	int highest; /* descriptor number we may have */
	struct loop *loop;
	struct log *log;
	struct io *io;
	struct timer *timer; /* set: short of descriptors, so not accepting */
	listen_cb *cb;
	void *arg;
	bool paused; /* by the owner */
	bool freed;
};

/* A socket file that nobody answers at is what a crash leaves behind. */
static void
remove_stale(const struct endpoint *a, const char *path)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) == -1 || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return;
	if (connect(fd, (const struct sockaddr *)&a->storage, a->len) == -1 &&
	    errno == ECONNREFUSED)
		unlink(path); /* if not, bind says so */
	close(fd);
}

static int
prepare(int fd, const struct endpoint *a)
{
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1)
		return -1;
	if (a->storage.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == -1)
		return -1;
	if (bind(fd, (const struct sockaddr *)&a->storage, a->len) == -1)
		return -1;
	return listen(fd, SOMAXCONN);
}

/*
 * Children of a parent that was killed hold its addresses a moment longer: for
 * who starts it anew at once that is no reason to fail.
 */
static int
prepare_patiently(int fd, const struct endpoint *a)
{
	const struct timespec pause = { 0, TAKEN_PAUSE_NS };

	for (unsigned n = 0; prepare(fd, a) == -1; n++) {
		if (errno != EADDRINUSE || n == TAKEN_TRIES)
			return -1;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* mode: of the file, if it is a path; a new one gets no more than that. */
static int
bind_at(const char *address, int type, mode_t mode, struct err *err)
{
	struct endpoint a;
	int fd;

	if (endpoint_parse(&a, address, err) == -1)
		return -1;
	fd =
	    socket(a.storage.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return err_sys(err, "listening on %s", address);
	if (endpoint_is_path(address))
		remove_stale(&a, address);
	if ((endpoint_is_path(address) && fchmod(fd, mode) == -1) ||
	    prepare_patiently(fd, &a) == -1) {
		err_sys(err, "listening on %s", address);
		close(fd);
		return -1;
	}
	return fd;
}

int
listen_bind(const char *address, struct err *err)
{
	return bind_at(address, SOCK_STREAM, 0777, err);
}

static int
give(const char *path, const char *owner, struct err *err)
{
	struct passwd *pw;

	if (owner == NULL || geteuid() != 0)
		return 0;
	pw = getpwnam(owner);
	if (pw == NULL)
		return err_set(err, "there is no user %s", owner);
	if (lchown(path, pw->pw_uid, pw->pw_gid) == -1)
		return err_sys(err, "giving %s to %s", path, owner);
	return 0;
}

int
listen_bind_packets(const char *path, const char *owner, struct err *err)
{
	int fd;

	if (!endpoint_is_path(path))
		return err_set(err, "%s is to be a path", path);
	fd = bind_at(path, SOCK_SEQPACKET, 0600, err);
	if (fd != -1 && give(path, owner, err) == -1) {
		close(fd);
		unlink(path);
		return -1;
	}
	return fd;
}

void
listen_name(int fd, char *name, size_t n)
{
	struct endpoint a = { .len = sizeof(a.storage) };

	if (getsockname(fd, (struct sockaddr *)&a.storage, &a.len) == -1)
		a.len = 0;
	endpoint_text(&a, name, n);
}

static void
interest(struct listen *l)
{
	bool accepts = !l->paused && !timer_is_set(l->timer);

	io_want(l->io, accepts ? IO_READ : 0);
}

/*
 * Stopping before the limit leaves descriptors for what is needed to serve
 * those who are here, and peers wait in the kernel's queue instead of being
 * accepted and dropped.  The lowest free number tells how many are in use.
 */
static bool
descriptors_left(const struct listen *l)
{
	int fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 0);

	if (fd != -1)
		close(fd);
	return fd != -1 && fd < l->highest;
}

static void
stop_for_a_while(struct listen *l)
{
	log_err(l->log, "out of descriptors, not accepting", "limit",
	    LOG_NUM(l->highest), NULL);
	timer_set(l->timer, LISTEN_WAIT);
}

static void
look_again(void *arg)
{
	struct listen *l = arg;

	MUST(l->magic == LISTEN_MAGIC);
	if (descriptors_left(l))
		log_info(l->log, "accepting again", NULL);
	else
		timer_set(l->timer, LISTEN_WAIT);
	interest(l);
}

/* True if there may be more. */
static bool
accept_one(struct listen *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int on = 1;

	if (fd == -1 && (errno == EMFILE || errno == ENFILE ||
	                    errno == ENOBUFS || errno == ENOMEM))
		stop_for_a_while(l);
	if (fd == -1) /* another process took it, or the peer went away */
		return errno == ECONNABORTED || errno == EINTR;
	/* Only delay depends on it, and a local socket has none to set. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	l->cb(l->arg, fd);
	return !l->freed && !l->paused;
}

static void
ready(void *arg, unsigned what)
{
	struct listen *l = arg;

	(void)what;
	MUST(l->magic == LISTEN_MAGIC);
	if (!descriptors_left(l))
		stop_for_a_while(l);
	else
		for (int i = 0; i < LISTEN_TURN && accept_one(l); i++)
			continue;
	if (!l->freed)
		interest(l);
}

static int
highest_descriptor(void)
{
	struct rlimit limit;
	rlim_t n = 1024, reserve;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		n = limit.rlim_cur < INT32_MAX ? limit.rlim_cur : INT32_MAX;
	reserve = n / 4 < LISTEN_RESERVE ? n / 4 : LISTEN_RESERVE;
	return (int)(n - reserve);
}

struct listen *
listen_new(struct loop *loop, struct log *log, int fd, listen_cb *cb, void *arg)
{
	struct listen *l = xcalloc(1, sizeof(*l));

	l->magic = LISTEN_MAGIC;
	l->fd = fd;
	l->highest = highest_descriptor();
	l->loop = loop;
	l->log = log;
	l->cb = cb;
	l->arg = arg;
	l->io = io_new(loop, fd, ready, l);
	l->timer = timer_new(loop, look_again, l);
	interest(l);
	return l;
}

void
listen_pause(struct listen *l)
{
	l->paused = true;
	interest(l);
}

void
listen_resume(struct listen *l)
{
	l->paused = false;
	interest(l);
}

static void
release(void *arg)
{
	free(arg);
}

void
listen_free(struct listen **lp)
{
	struct listen *l = *lp;

	if (l == NULL)
		return;
	MUST(l->magic == LISTEN_MAGIC && !l->freed);
	io_free(&l->io);
	timer_free(&l->timer);
	l->freed = true;
	loop_at_end(l->loop, release, l);
	*lp = NULL;
}
