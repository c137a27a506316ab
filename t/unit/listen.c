/*
 * listen, dial and endpoint: the two ends meet, or one is told why not.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/endpoint.h"
#include "lib/cdefs.h"
#include "lib/dial.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/jobs.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "t/tap.h"
#include "t/tempdir.h"

struct meeting {
	struct loop *loop;
	struct jobs *jobs;
	struct log *log;
	struct listen *listen;
	struct dial *dial;
	int fd; /* the listener's */
	char name[ENDPOINT_HOST];
	int accepted, dialled; /* descriptors, -1: none yet */
	unsigned calls;
	char why[500];
};

static void
perhaps_stop(struct meeting *m)
{
	if (m->calls > 0 && (m->accepted != -1 || m->dialled == -1))
		loop_stop(m->loop);
}

static void
on_accept(void *arg, int fd)
{
	struct meeting *m = arg;

	if (m->accepted != -1)
		close(m->accepted);
	m->accepted = fd;
	perhaps_stop(m);
}

static void
on_dial(void *arg, int fd, const char *why)
{
	struct meeting *m = arg;

	m->calls++;
	m->dialled = fd;
	snprintf(m->why, sizeof(m->why), "%s", why == NULL ? "" : why);
	dial_free(&m->dial);
	perhaps_stop(m);
}

static void
setup(struct meeting *m, const char *address)
{
	struct err err;

	memset(m, 0, sizeof(*m));
	m->accepted = m->dialled = m->fd = -1;
	m->loop = loop_new();
	m->jobs = jobs_new(m->loop, 1);
	m->log = log_new("test", LOG_LEVEL_ERR, true);
	if (address == NULL)
		return;
	m->fd = listen_bind(address, &err);
	MUST(m->fd != -1);
	listen_name(m->fd, m->name, sizeof(m->name));
	m->listen = listen_new(m->loop, m->log, m->fd, on_accept, m);
}

static void
teardown(struct meeting *m)
{
	const int fds[] = { m->fd, m->accepted, m->dialled };

	listen_free(&m->listen);
	dial_free(&m->dial);
	jobs_free(&m->jobs);
	loop_free(&m->loop);
	log_free(&m->log);
	for (size_t i = 0; i < NITEMS(fds); i++)
		if (fds[i] != -1)
			close(fds[i]);
}

static void
dial(struct meeting *m, const char *address)
{
	m->dial = dial_new(m->loop, m->jobs, address, 60, on_dial, m);
	ok(m->calls == 0, "never from inside");
	loop_run(m->loop);
}

static void
test_meet(const char *address)
{
	struct meeting m;

	setup(&m, address);
	dial(&m, m.name);
	ok(m.calls == 1 && m.dialled != -1 && m.accepted != -1, "%s: %s",
	    address, m.why);
	ok(m.dialled != -1 && m.accepted != -1 &&
	        write(m.dialled, "x", 1) == 1 &&
	        (fcntl(m.accepted, F_GETFL) & O_NONBLOCK) != 0 &&
	        (fcntl(m.dialled, F_GETFL) & O_NONBLOCK) != 0,
	    "non-blocking, both");
	teardown(&m);
}

/* A name of this machine, looked up in a job. */
static void
test_name(void)
{
	char text[ENDPOINT_HOST + 16];
	struct meeting m;

	setup(&m, "127.0.0.1:0");
	snprintf(text, sizeof(text), "localhost%s", strrchr(m.name, ':'));
	dial(&m, text);
	ok(m.calls == 1 && m.dialled != -1, "localhost: %s", m.why);
	teardown(&m);
}

static void
test_refused(void)
{
	static const char *const cases[][2] = {
		{ "/nonexistent/socket", "No such file" },
		{ "127.0.0.1", "has no port" },
		{ "a b:143", "looking up a b:143" },
	};
	char closed[ENDPOINT_HOST];
	struct meeting m;

	for (size_t i = 0; i < NITEMS(cases); i++) {
		setup(&m, NULL);
		dial(&m, cases[i][0]);
		ok(m.calls == 1 && m.dialled == -1 &&
		        strstr(m.why, cases[i][1]) != NULL,
		    "%s: %s", cases[i][0], m.why);
		teardown(&m);
	}
	setup(&m, "127.0.0.1:0"); /* nobody listens once it is closed */
	snprintf(closed, sizeof(closed), "%s", m.name);
	teardown(&m);
	setup(&m, NULL);
	dial(&m, closed);
	ok(m.dialled == -1 && strstr(m.why, "refused") != NULL &&
	        strstr(m.why, closed) != NULL,
	    "refused: %s", m.why);
	teardown(&m);
}

static void
test_given_up(void)
{
	struct meeting m;

	setup(&m, NULL);
	m.dial = dial_new(m.loop, m.jobs, "localhost:1", 60, on_dial, &m);
	dial_free(&m.dial);
	ok(m.dial == NULL, "free clears");
	teardown(&m); /* runs the look-up to its end */
	ok(m.calls == 0, "no call back after it");
}

static void
test_paused(void)
{
	struct meeting m;

	setup(&m, "127.0.0.1:0");
	listen_pause(m.listen);
	m.accepted = -2; /* lets the dial alone end the loop */
	dial(&m, m.name);
	ok(m.dialled != -1 && m.accepted == -2, "paused accepts nothing");
	m.accepted = -1;
	listen_resume(m.listen);
	loop_run(m.loop);
	ok(m.accepted != -1, "resumed it does");
	teardown(&m);
}

static void
release_fds(void *arg)
{
	int *fds = arg;

	for (int i = 0; fds[i] != -1; i++)
		close(fds[i]);
	fds[0] = -1;
}

/* Short of descriptors it waits, and goes on by itself. */
static void
test_short(void)
{
	struct rlimit before, low;
	int fds[201], n = 0;
	struct timer *timer;
	struct meeting m;

	MUST(getrlimit(RLIMIT_NOFILE, &before) == 0);
	low = before;
	low.rlim_cur = 200;
	MUST(setrlimit(RLIMIT_NOFILE, &low) == 0);
	setup(&m, "127.0.0.1:0");
	while (n < 200 && (fds[n] = dup(m.fd)) != -1 && fds[n] < 160)
		n++;
	n += fds[n] != -1;
	fds[n] = -1;
	m.accepted = -2;
	dial(&m, m.name);
	m.accepted = -1;
	timer = timer_new(m.loop, release_fds, fds);
	timer_set(timer, 100);
	ok(m.dialled != -1, "its owner still has descriptors");
	loop_run(m.loop);
	ok(m.accepted != -1, "accepts when there are some again");
	ok(fds[0] == -1, "not before");
	timer_free(&timer);
	MUST(setrlimit(RLIMIT_NOFILE, &before) == 0);
	teardown(&m);
}

static void
test_stale(void)
{
	char dir[64], path[80];
	struct err err;
	int fd, other;

	tempdir_make(dir);
	snprintf(path, sizeof(path), "%s/s", dir);
	test_meet(path);
	fd = listen_bind(path, &err);
	ok(fd != -1, "what a crash left behind is replaced");
	other = listen_bind(path, &err);
	ok(other == -1 && strstr(err.text, path) != NULL, "not one in use");
	close(fd);
	unlink(path);
	MUST(rmdir(dir) == 0);
}

/* For a tool: messages, and nobody else's. */
static void
test_packets(void)
{
	char dir[64], path[80];
	struct stat st;
	struct err err;
	int fd, other;

	tempdir_make(dir);
	snprintf(path, sizeof(path), "%s/s", dir);
	other = ipc_connect(path, &err);
	ok(other == -1 && strstr(err.text, path) != NULL, "nobody is there");
	fd = listen_bind_packets(path, NULL, &err);
	ok(fd != -1 && stat(path, &st) == 0 && (st.st_mode & 0777) == 0600,
	    "no others may connect");
	other = listen_bind_packets(path, NULL, &err);
	ok(other == -1, "one in use is not replaced");
	other = ipc_connect(path, &err);
	ok(other != -1, "we may");
	close(other);
	close(fd);
	fd = listen_bind_packets(path, NULL, &err);
	ok(fd != -1, "what a crash left behind is");
	ok(listen_bind_packets("127.0.0.1:0", NULL, &err) == -1,
	    "of paths only");
	close(fd);
	unlink(path);
	MUST(rmdir(dir) == 0);
}

static void
test_addresses(void)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
		{ "127.0.0.1:143", "127.0.0.1:143" },
		{ "*:143", "0.0.0.0:143" },
		{ "[*]:143", "[::]:143" },
		{ "[::1]:0", "[::1]:0" },
		{ "/a/b", "/a/b" },
		{ "localhost:143", NULL },
		{ "127.0.0.1", NULL },
		{ "127.0.0.1:", NULL },
		{ "127.0.0.1:65536", NULL },
		{ "127.0.0.1:x", NULL },
		{ "127.0.0.1:000143", NULL },
		{ ":143", NULL },
		{ "::1:143", NULL },
		{ "[127.0.0.1]:143", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct err err = { "" };
		struct endpoint a;
		char text[ENDPOINT_HOST] = "";
		int good = endpoint_parse(&a, cases[i].in, &err);

		if (good == 0)
			endpoint_text(&a, text, sizeof(text));
		if (cases[i].out == NULL)
			ok(good == -1 && err.text[0] != '\0', "refuse '%s'",
			    cases[i].in);
		else
			is_str(text, cases[i].out, cases[i].in);
	}
}

int
main(void)
{
	alarm(120); /* a failing run hangs no one else */
	test_meet("127.0.0.1:0");
	test_name();
	test_refused();
	test_given_up();
	test_paused();
	test_short();
	test_stale();
	test_packets();
	test_addresses();
	return done_testing();
}
