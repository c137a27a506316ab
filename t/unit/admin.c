/*
 * admin: what operators ask over HTTP is answered, and nothing else is; who is
 * slow, who asks too much and who stays away costs a place for a while only.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/admin.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/err.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "t/tap.h"

enum {
	MANY = 40, /* connections, more than there are places for */
	SLOW_MS = 100
};

struct client {
	struct world *world;
	int fd;
	struct io *io;
	struct buf got;
	bool over;
};

struct world {
	struct loop *loop;
	struct log *log;
	struct admin *admin;
	int listener;
	unsigned open; /* clients not at their end */
	bool well;
	uint64_t count;
};

static uint64_t
seven(void *arg)
{
	(void)arg;
	return 7;
}

static bool
is_well(void *arg, struct buf *line)
{
	struct world *w = arg;

	buf_puts(line, w->well ? "it is" : "it is not; do something");
	return w->well;
}

static bool
is_good(void *arg, struct buf *line)
{
	(void)arg;
	buf_puts(line, "always");
	return true;
}

static void
world_init(struct world *w)
{
	struct err err;

	*w = (struct world){ .well = true, .count = 41 };
	w->loop = loop_new();
	w->log = log_new("admin", LOG_LEVEL_ERR, true);
	w->listener = listen_bind("127.0.0.1:0", &err);
	MUST(w->listener != -1);
	w->admin = admin_bare(w->loop, w->log, SLOW_MS);
	admin_counter(w->admin, "murder_things_total", "Things so far.",
	    &w->count);
	admin_gauge(w->admin, "murder_now{host=\"a\"}", "Now.", seven, w);
	admin_gauge(w->admin, "murder_now{host=\"b\"}", "Now.", seven, w);
	admin_health(w->admin, "first", is_good, w);
	admin_health(w->admin, "second", is_well, w);
	MUST(admin_listen(w->admin, w->listener) == 0);
}

static void
world_fini(struct world *w)
{
	admin_free(&w->admin);
	close(w->listener);
	loop_free(&w->loop);
	log_free(&w->log);
}

static void
on_ready(void *arg, unsigned ready)
{
	struct client *c = arg;
	uint8_t octets[4096];
	ssize_t n = read(c->fd, octets, sizeof(octets));

	(void)ready;
	if (n > 0) {
		buf_put(&c->got, octets, (size_t)n);
		return;
	}
	io_want(c->io, 0);
	c->over = true;
	if (--c->world->open == 0)
		loop_stop(c->world->loop);
}

static void
client_init(struct client *c, struct world *w, const char *says)
{
	struct sockaddr_in to;
	socklen_t len = sizeof(to);

	*c = (struct client){ .world = w };
	MUST(getsockname(w->listener, (struct sockaddr *)&to, &len) == 0);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	MUST(connect(c->fd, (struct sockaddr *)&to, len) == 0);
	MUST(write(c->fd, says, strlen(says)) == (ssize_t)strlen(says));
	buf_init(&c->got, 1 << 20);
	c->io = io_new(w->loop, c->fd, on_ready, c);
	io_want(c->io, IO_READ);
	w->open++;
}

static void
client_fini(struct client *c)
{
	io_free(&c->io);
	buf_fini(&c->got);
	close(c->fd);
}

static bool
has(struct client *c, const char *text)
{
	buf_putc(&c->got, '\0');
	return strstr((const char *)buf_data(&c->got), text) != NULL;
}

static void
test_answers(struct world *w)
{
	static const struct {
		const char *request, *answer, *text;
		bool well;
	} cases[] = {
		{ "GET /healthz", "HTTP/1.1 200 ",
		    "\r\n\r\nok first: always\nok second: it is\n", true },
		{ "GET /healthz", "HTTP/1.1 503 ",
		    "ok first: always\nnot ok second: it is not; do "
		    "something\n",
		    false },
		{ "HEAD /healthz", "HTTP/1.1 503 ", "\r\n\r\n", false },
		{ "GET /metrics", "HTTP/1.1 200 ",
		    "# HELP murder_things_total Things so far.\n"
		    "# TYPE murder_things_total counter\n"
		    "murder_things_total 41\n"
		    "# HELP murder_now Now.\n# TYPE murder_now gauge\n"
		    "murder_now{host=\"a\"} 7\nmurder_now{host=\"b\"} 7\n",
		    true },
		{ "GET /metrics?x=1", "HTTP/1.1 200 ", "murder_now", true },
		{ "GET /", "HTTP/1.1 404 ", "/healthz", true },
		{ "GET /healthz/../../etc/passwd", "HTTP/1.1 404 ", "", true },
		{ "POST /metrics", "HTTP/1.1 405 ", "Allow: GET, HEAD", true },
		{ "DELETE /healthz", "HTTP/1.1 405 ", "", true },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct client c;
		char request[200];

		snprintf(request, sizeof(request),
		    "%s HTTP/1.1\r\nHost: x\r\n\r\n", cases[i].request);
		w->well = cases[i].well;
		client_init(&c, w, request);
		loop_run(w->loop);
		ok(c.over && has(&c, cases[i].answer) && has(&c, cases[i].text),
		    "%s: %s", cases[i].request, cases[i].answer);
		client_fini(&c);
	}
}

/* Nothing that is no HTTP gets more than an end. */
static void
test_nonsense(struct world *w)
{
	static const char *const says[] = { "\r\n\r\n\r\n", "a001 NOOP\r\n\r\n",
		"GET\r\n\r\n", "GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
		"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: "
		"99999999999999999999\r\n\r\n" };
	struct client big;
	char *much = malloc(100001);

	for (size_t i = 0; i < NITEMS(says); i++) {
		struct client c;

		client_init(&c, w, says[i]);
		loop_run(w->loop);
		ok(c.over && !has(&c, "HTTP/1.1 200"), "nonsense %zu ends", i);
		client_fini(&c);
	}
	MUST(much != NULL);
	memset(much, 'a', 100000);
	memcpy(much, "GET /", 5);
	much[100000] = '\0';
	client_init(&big, w, much);
	loop_run(w->loop);
	ok(big.over && !has(&big, "HTTP/1.1 200"), "so does a long line");
	client_fini(&big);
	free(much);
}

/* All places are held by clients that say nothing; they come free. */
static void
test_places(struct world *w)
{
	struct client many[MANY], one;
	size_t over = 0;

	for (size_t i = 0; i < MANY; i++)
		client_init(&many[i], w, i % 2 ? "" : "GET /heal");
	loop_run(w->loop);
	for (size_t i = 0; i < MANY; i++) {
		over += many[i].over;
		client_fini(&many[i]);
	}
	ok(over == MANY, "slow clients are ended, in time");
	client_init(&one, w, "GET /metrics HTTP/1.0\r\n\r\n");
	loop_run(w->loop);
	ok(has(&one, "200 OK"), "and their places are free again");
	client_fini(&one);
}

int
main(void)
{
	struct world w;

	world_init(&w);
	test_answers(&w);
	test_nonsense(&w);
	test_places(&w);
	world_fini(&w);
	return done_testing();
}
