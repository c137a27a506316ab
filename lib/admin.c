#define _GNU_SOURCE /* for microhttpd.h */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "lib/admin.h"
#include "lib/buf.h"
#include "lib/daemon.h"
#include "lib/listen.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/slice.h"
#include "lib/xalloc.h"

#define ADMIN_MAGIC 0x61646d6eu

enum {
	CONNECTIONS_MAX = 16,
	CONNECTION_OCTETS = 8 * 1024, /* libmicrohttpd's, for one's request */
	IDLE_SECONDS = 5,
	EXCHANGE_MS = 10 * 1000,
	LISTENERS_MAX = 8,
	TEXT_MAX = 1 << 20,
	LINE_MAX = 1024
};

struct number {
	const char *name, *help;
	const uint64_t *value; /* a counter's */
	admin_number_cb *read; /* a gauge's */
	void *arg;
};

struct check {
	const char *name;
	admin_health_cb *check;
	void *arg;
};

struct exchange {
	int fd; /* -1: a free place */
	struct mono until;
};

struct admin {
	unsigned magic;
	struct loop *loop;
	struct log *log;
	int64_t exchange_ms; /* from accept() to the last octet */
	struct listen *listeners[LISTENERS_MAX];
	size_t nlisteners;
	struct MHD_Daemon *http; /* NULL until there is a listener */
	struct io *io;
	struct timer *timer;
	struct exchange exchanges[CONNECTIONS_MAX];
	struct number *numbers;
	size_t nnumbers;
	struct check *checks;
	size_t nchecks;
};

static struct admin *
admin_of(void *arg)
{
	struct admin *a = arg;

	MUST(a->magic == ADMIN_MAGIC);
	return a;
}

/* --- what there is to tell ------------------------------------------------ */

static struct slice
base_name(const char *name)
{
	return slice_of(name, strcspn(name, "{"));
}

static void
add_number(struct admin *a, struct number n)
{
	for (size_t i = 0; i < a->nnumbers; i++)
		MUST(strcmp(a->numbers[i].name, n.name) != 0);
	MUST(strncmp(n.name, "murder_", 7) == 0);
	a->numbers =
	    xreallocarray(a->numbers, a->nnumbers + 1, sizeof(*a->numbers));
	a->numbers[a->nnumbers++] = n;
}

void
admin_counter(struct admin *a, const char *name, const char *help,
    const uint64_t *value)
{
	struct slice base = base_name(name);

	MUST(base.len > 6 &&
	     slice_equal(slice_skip(base, base.len - 6), slice_str("_total")));
	add_number(a,
	    (struct number){ .name = name, .help = help, .value = value });
}

void
admin_gauge(struct admin *a, const char *name, const char *help,
    admin_number_cb *number, void *arg)
{
	add_number(a, (struct number){ .name = name,
	                  .help = help,
	                  .read = number,
	                  .arg = arg });
}

void
admin_health(struct admin *a, const char *name, admin_health_cb *check,
    void *arg)
{
	a->checks =
	    xreallocarray(a->checks, a->nchecks + 1, sizeof(*a->checks));
	a->checks[a->nchecks++] = (struct check){ name, check, arg };
}

bool
admin_put_health(struct admin *a, struct buf *b)
{
	bool all = true;

	for (size_t i = 0; i < a->nchecks; i++) {
		struct buf line;
		bool good;

		buf_init(&line, LINE_MAX);
		good = a->checks[i].check(a->checks[i].arg, &line);
		all = all && good;
		buf_printf(b, "%s %s: ", good ? "ok" : "not ok",
		    a->checks[i].name);
		buf_put_slice(b, buf_slice(&line));
		buf_putc(b, '\n');
		buf_fini(&line);
	}
	return all;
}

void
admin_put_metrics(struct admin *a, struct buf *b)
{
	struct slice last = slice_str("");

	for (size_t i = 0; i < a->nnumbers; i++) {
		const struct number *n = &a->numbers[i];
		struct slice base = base_name(n->name);

		if (!slice_equal(base, last))
			buf_printf(b, "# HELP %.*s %s\n# TYPE %.*s %s\n",
			    (int)base.len, (const char *)base.ptr, n->help,
			    (int)base.len, (const char *)base.ptr,
			    n->value != NULL ? "counter" : "gauge");
		last = base;
		buf_puts(b, n->name);
		buf_putc(b, ' ');
		buf_put_number(b,
		    n->value != NULL ? *n->value : n->read(n->arg));
		buf_putc(b, '\n');
	}
}

/* --- HTTP ----------------------------------------------------------------- */

static enum MHD_Result
reply(struct MHD_Connection *c, unsigned status, const char *type,
    struct slice text)
{
	struct MHD_Response *r;
	enum MHD_Result queued;

	/* Copied, so it is only read: there is no const to say so. */
	r = MHD_create_response_from_buffer(text.len,
	    (void *)(uintptr_t)text.ptr, MHD_RESPMEM_MUST_COPY);
	if (r == NULL)
		return MHD_NO;
	/* These fail for want of memory alone, and the answer does without. */
	(void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	(void)MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL,
	    "no-store");
	(void)MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW,
		    "GET, HEAD");
	queued = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return queued;
}

static enum MHD_Result
reply_with(struct admin *a, struct MHD_Connection *c, const char *url)
{
	enum MHD_Result queued;
	struct buf b;
	unsigned status = MHD_HTTP_OK;
	const char *type = "text/plain; charset=utf-8";

	buf_init(&b, TEXT_MAX);
	if (strcmp(url, "/healthz") == 0) {
		if (!admin_put_health(a, &b))
			status = MHD_HTTP_SERVICE_UNAVAILABLE;
	} else if (strcmp(url, "/metrics") == 0) {
		type = "text/plain; version=0.0.4; charset=utf-8";
		admin_put_metrics(a, &b);
	} else {
		status = MHD_HTTP_NOT_FOUND;
		buf_puts(&b, "There are /healthz and /metrics.\n");
	}
	if (buf_failed(&b)) {
		status = MHD_HTTP_INTERNAL_SERVER_ERROR;
		buf_clear(&b);
	}
	queued = reply(c, status, type, buf_slice(&b));
	buf_fini(&b);
	return queued;
}

/* Called at the request's head, for its body if any, and at its end. */
static enum MHD_Result
on_request(void *arg, struct MHD_Connection *c, const char *url,
    const char *method, const char *version, const char *data, size_t *ndata,
    void **state)
{
	(void)version, (void)data, (void)ndata, (void)state;
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return reply(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain",
		    slice_str("GET and HEAD only.\n"));
	return reply_with(admin_of(arg), c, url);
}

/* libmicrohttpd's complaints are of what peers do. */
static void
on_complaint(void *arg, const char *format, va_list ap)
{
	(void)arg, (void)format, (void)ap;
}

/*
 * Its own timeout counts from the last octet; ours is for the whole exchange.
 * Shutting the socket down shows it an end, and it closes.
 */
static int64_t
end_the_slow(struct admin *a)
{
	int64_t least = -1, now = loop_now(a->loop).ms;

	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct exchange *e = &a->exchanges[i];

		if (e->fd == -1)
			continue;
		if (e->until.ms <= now) {
			(void)shutdown(e->fd, SHUT_RDWR); /* or it is gone */
			e->until.ms = now + a->exchange_ms;
		}
		if (least == -1 || e->until.ms - now < least)
			least = e->until.ms - now;
	}
	return least;
}

static void
turn(struct admin *a)
{
	MHD_UNSIGNED_LONG_LONG wait;
	int64_t least;

	(void)MHD_run(a->http); /* fails only if it is not driven by us */
	least = end_the_slow(a);
	if (MHD_get_timeout(a->http, &wait) == MHD_YES &&
	    (least == -1 || wait < (MHD_UNSIGNED_LONG_LONG)least))
		least = (int64_t)wait;
	if (least == -1)
		timer_stop(a->timer);
	else
		timer_set(a->timer, least);
}

static void
on_ready(void *arg, unsigned ready)
{
	(void)ready;
	turn(admin_of(arg));
}

static void
on_timer(void *arg)
{
	turn(admin_of(arg));
}

static int
socket_of(struct MHD_Connection *c)
{
	return MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)
	    ->connect_fd;
}

static void
on_connection(void *arg, struct MHD_Connection *c, void **state,
    enum MHD_ConnectionNotificationCode what)
{
	struct admin *a = admin_of(arg);
	int fd = socket_of(c);
	bool begins = what == MHD_CONNECTION_NOTIFY_STARTED;

	(void)state;
	for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
		struct exchange *e = &a->exchanges[i];

		if (e->fd != (begins ? -1 : fd))
			continue;
		e->fd = begins ? fd : -1;
		e->until.ms = loop_now(a->loop).ms + a->exchange_ms;
		return;
	}
}

static void
on_accept(void *arg, int fd)
{
	struct admin *a = admin_of(arg);
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);

	if (getpeername(fd, (struct sockaddr *)&from, &len) == -1) {
		close(fd);
		return;
	}
	/* It closes fd itself if there are too many. */
	(void)MHD_add_connection(a->http, fd, (struct sockaddr *)&from, len);
	turn(a);
}

static int
http_start(struct admin *a)
{
	const union MHD_DaemonInfo *info;

	a->http = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0,
	    NULL, NULL, on_request, a, MHD_OPTION_EXTERNAL_LOGGER, on_complaint,
	    NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_OCTETS,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, a,
	    MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_END);
	if (a->http == NULL)
		return -1;
	info = MHD_get_daemon_info(a->http, MHD_DAEMON_INFO_EPOLL_FD);
	MUST(info != NULL && info->epoll_fd != -1);
	a->io = io_new(a->loop, info->epoll_fd, on_ready, a);
	io_want(a->io, IO_READ);
	return 0;
}

/* --- life ----------------------------------------------------------------- */

struct admin *
admin_bare(struct loop *l, struct log *log, int64_t exchange_ms)
{
	struct admin *a = xcalloc(1, sizeof(*a));

	a->magic = ADMIN_MAGIC;
	a->loop = l;
	a->log = log;
	a->exchange_ms = exchange_ms;
	a->timer = timer_new(l, on_timer, a);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		a->exchanges[i].fd = -1;
	return a;
}

int
admin_listen(struct admin *a, int fd)
{
	if (a->nlisteners == LISTENERS_MAX)
		return -1;
	if (a->http == NULL && http_start(a) == -1)
		return -1;
	a->listeners[a->nlisteners++] =
	    listen_new(a->loop, a->log, fd, on_accept, a);
	return 0;
}

struct admin *
admin_new(struct child *c)
{
	struct admin *a = admin_bare(child_loop(c), child_log(c), EXCHANGE_MS);
	int fd;

	for (unsigned i = 0; (fd = child_listener(c, "admin", i)) != -1; i++)
		if (admin_listen(a, fd) == -1)
			log_err(a->log, "admin_listen is not served", "number",
			    LOG_NUM(i), NULL);
	return a;
}

void
admin_free(struct admin **ap)
{
	struct admin *a = *ap;

	*ap = NULL;
	if (a == NULL)
		return;
	for (size_t i = 0; i < a->nlisteners; i++)
		listen_free(&a->listeners[i]);
	io_free(&a->io);
	timer_free(&a->timer);
	if (a->http != NULL)
		MHD_stop_daemon(a->http);
	free(a->numbers);
	free(a->checks);
	free(a);
}
