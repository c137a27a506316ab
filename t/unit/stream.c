/*
 * stream: octets arrive as they were sent, plain or under TLS, however they
 * were cut; nobody is overrun; every ending is told once; idle costs little.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/tls.h"
#include "lib/xalloc.h"
#include "t/cert.h"
#include "t/tap.h"

enum {
	IN = 64 * 1024,
	OUT = 128 * 1024,
	BULK = 8 << 20
};

struct end {
	struct world *world;
	struct stream *stream;
	char trace[32]; /* r w s c, each letter once in a row */
	char error[200];
	uint64_t sent, got, to_send;
	bool wrong, held; /* got what was not sent; does not read */
	bool free_on_read, reply_on_read, tls_on_read;
	size_t most;     /* the in buffer ever held */
	struct buf text; /* what came, if keep */
	bool keep;
};

struct world {
	struct loop *loop;
	struct timer *guard;
	struct tls *server, *client;
	struct end a, b; /* b is the server */
	bool (*enough)(struct world *w);
	bool waits; /* for the guard to end it */
};

/* The nth octet of the bulk. */
static uint8_t
octet(uint64_t n)
{
	return (uint8_t)(n * 31 + (n >> 8) * 7 + (n >> 16));
}

static void
end_send(struct end *e)
{
	struct buf *out = stream_out(e->stream);
	uint8_t piece[4096];
	size_t n;

	while (e->sent < e->to_send && (n = buf_room(out)) > 0) {
		if (n > sizeof(piece))
			n = sizeof(piece);
		if (n > e->to_send - e->sent)
			n = (size_t)(e->to_send - e->sent);
		for (size_t i = 0; i < n; i++)
			piece[i] = octet(e->sent + i);
		buf_put(out, piece, n);
		e->sent += n;
	}
	stream_flush(e->stream);
}

static void
end_take(struct end *e)
{
	struct buf *in = stream_in(e->stream);
	const uint8_t *p = buf_data(in);
	size_t n = buf_len(in);

	if (n > e->most)
		e->most = n;
	if (e->held)
		return;
	if (e->keep)
		buf_put(&e->text, p, n);
	for (size_t i = 0; i < n && !e->keep; i++)
		if (p[i] != octet(e->got + i))
			e->wrong = true;
	e->got += n;
	buf_drop(in, n);
}

static void
note(struct end *e, char c)
{
	size_t n = strlen(e->trace);

	if ((n == 0 || e->trace[n - 1] != c) && n + 1 < sizeof(e->trace))
		e->trace[n] = c;
}

static void
end_start_tls(struct end *e)
{
	struct err err;

	MUST(stream_start_tls(e->stream,
	         e == &e->world->b ? e->world->server : e->world->client,
	         e == &e->world->b ? NULL : "mail.example.org", &err) == 0);
}

static void
end_read(struct end *e)
{
	end_take(e);
	if (e->tls_on_read && !stream_is_secure(e->stream)) {
		buf_puts(stream_out(e->stream), "OK\r\n");
		end_start_tls(e);
	}
	if (e->reply_on_read) {
		buf_puts(stream_out(e->stream), "goodbye");
		stream_flush(e->stream);
	}
	if (e->free_on_read)
		stream_free(&e->stream);
}

static void
end_event(void *owner, enum stream_event ev)
{
	struct end *e = owner;

	switch (ev) {
	case STREAM_READ:
		note(e, 'r');
		end_read(e);
		break;
	case STREAM_WRITTEN:
		note(e, 'w');
		break;
	case STREAM_SECURE:
		note(e, 's');
		break;
	case STREAM_CLOSED:
		MUST(strchr(e->trace, 'c') == NULL);
		note(e, 'c');
		snprintf(e->error, sizeof(e->error), "%s",
		    stream_error(e->stream));
		break;
	}
	if (e->stream != NULL && ev != STREAM_CLOSED) {
		end_send(e);
		stream_want_read(e->stream, true); /* if there is room */
	}
	if (e->world->enough(e->world))
		loop_stop(e->world->loop);
}

static void
too_late(void *arg)
{
	struct world *w = arg;

	if (!w->waits)
		printf("# too late: a=%s b=%s\n", w->a.trace, w->b.trace);
	loop_stop(w->loop);
}

static void
world_init(struct world *w)
{
	*w = (struct world){ .loop = loop_new() };
	w->a.world = w->b.world = w;
	buf_init(&w->a.text, 1 << 20);
	buf_init(&w->b.text, 1 << 20);
	w->guard = timer_new(w->loop, too_late, w);
}

static void
world_fini(struct world *w)
{
	stream_free(&w->a.stream);
	stream_free(&w->b.stream);
	buf_fini(&w->a.text);
	buf_fini(&w->b.text);
	timer_free(&w->guard);
	tls_free(&w->server);
	tls_free(&w->client);
	loop_free(&w->loop);
}

static void
run(struct world *w, bool (*enough)(struct world *))
{
	w->enough = enough;
	if (enough(w))
		return;
	timer_set(w->guard, 60000);
	loop_run(w->loop);
	timer_stop(w->guard);
}

static bool
never(struct world *w)
{
	(void)w;
	return false;
}

/* Turns enough for whatever is under way, and for what must not happen. */
static void
rest(struct world *w)
{
	w->enough = never;
	w->waits = true;
	timer_set(w->guard, 50);
	loop_run(w->loop);
	w->waits = false;
}

static void
tcp_pair(int fds[2])
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	struct sockaddr *sa = (struct sockaddr *)&sin;
	int l = socket(AF_INET, SOCK_STREAM, 0);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	MUST(l != -1 && bind(l, sa, len) == 0 && listen(l, 1) == 0);
	MUST(getsockname(l, sa, &len) == 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	MUST(connect(fds[0], sa, len) == 0);
	fds[1] = accept(l, NULL, NULL);
	MUST(fds[1] != -1);
	close(l);
}

static void
end_open(struct end *e, int fd, unsigned idle)
{
	struct stream_limits limits = { IN, OUT, idle };

	e->stream = stream_new(e->world->loop, fd, &limits, end_event, e);
	stream_want_read(e->stream, true);
}

static void
contexts_make(struct world *w)
{
	struct cert *ca = cert_new(NULL, "Test CA", NULL);
	struct cert *host = cert_new(ca, "mail.example.org", NULL);
	struct tls_material server = { cert_pem(host), cert_key(host),
		cert_pem(ca), false };
	struct tls_material client = { .ca = cert_pem(ca), .require = true };
	struct err err;

	w->server = tls_server_new(&server, &err);
	w->client = tls_client_new(&client, &err);
	MUST(w->server != NULL && w->client != NULL);
	cert_free(&host);
	cert_free(&ca);
}

static void
pair_open(struct world *w, bool tls)
{
	int fds[2];

	tcp_pair(fds);
	end_open(&w->a, fds[0], 0);
	end_open(&w->b, fds[1], 0);
	if (!tls)
		return;
	contexts_make(w);
	end_start_tls(&w->a);
	end_start_tls(&w->b);
}

/* --- bulk and back-pressure ----------------------------------------------- */

static bool
all_got(struct world *w)
{
	return w->a.got == w->b.to_send && w->b.got == w->a.to_send;
}

static bool
is_full(struct world *w)
{
	return buf_room(stream_in(w->b.stream)) == 0;
}

static void
test_bulk(bool tls)
{
	const char *how = tls ? "TLS" : "plain";
	struct world w;

	world_init(&w);
	pair_open(&w, tls);
	w.a.to_send = BULK;
	w.b.to_send = BULK / 2;
	end_send(&w.a);
	end_send(&w.b);
	run(&w, all_got);
	ok(all_got(&w) && !w.a.wrong && !w.b.wrong, "%s: bulk both ways", how);
	ok(w.b.most <= IN && w.a.most <= IN, "%s: under the ceiling", how);
	ok(stream_octets_out(w.a.stream) == BULK &&
	        stream_octets_in(w.b.stream) == BULK,
	    "%s: counted", how);
	ok(buf_len(stream_in(w.b.stream)) == 0 &&
	        stream_in(w.b.stream)->area == NULL &&
	        stream_out(w.a.stream)->area == NULL,
	    "%s: no storage when idle", how);
	ok(stream_is_secure(w.a.stream) == tls &&
	        (stream_tls_text(w.b.stream) != NULL) == tls,
	    "%s: %s", how, tls ? stream_tls_text(w.b.stream) : "not secure");
	world_fini(&w);
}

/* The reader stops with its buffer full; the writer is stopped in turn. */
static void
test_pressure(bool tls)
{
	const char *how = tls ? "TLS" : "plain";
	struct world w;
	uint64_t before;

	world_init(&w);
	pair_open(&w, tls);
	w.a.to_send = BULK * 4;
	end_send(&w.a);
	/* Reading, but dropping nothing: until the ceiling. */
	w.b.held = true;
	run(&w, is_full);
	ok(is_full(&w), "%s: filled", how);
	rest(&w);
	before = stream_octets_in(w.b.stream);
	ok(before == IN && w.a.sent < w.a.to_send,
	    "%s: and no more, the writer waits", how);
	w.b.held = false;
	end_take(&w.b);
	stream_want_read(w.b.stream, true);
	run(&w, all_got);
	ok(all_got(&w) && !w.b.wrong, "%s: then it goes on", how);
	world_fini(&w);
}

/* --- small pieces --------------------------------------------------------- */

struct dribble {
	struct timer *timer;
	struct world *world;
	const char *text;
	int fd;
};

static void
dribble_one(void *arg)
{
	struct dribble *d = arg;

	if (*d->text == '\0')
		return;
	MUST(write(d->fd, d->text++, 1) == 1);
	timer_set(d->timer, 0);
}

static bool
b_has_30(struct world *w)
{
	return w->b.got >= 30;
}

static void
test_dribble(void)
{
	struct world w;
	struct dribble d = { NULL, &w, "a LOGIN fred {6+}\r\nsecret\r\nb NOOP",
		-1 };
	int fds[2];

	world_init(&w);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	w.b.keep = true;
	end_open(&w.b, fds[1], 0);
	d.fd = fds[0];
	d.timer = timer_new(w.loop, dribble_one, &d);
	timer_set(d.timer, 0);
	run(&w, b_has_30);
	ok(memcmp(buf_data(&w.b.text), "a LOGIN fred {6+}\r\nsecret\r\nb",
	       28) == 0,
	    "octet by octet");
	is_str(stream_peer(w.b.stream), "local", "a UNIX socket has no name");
	ok(stream_is_loopback(w.b.stream), "and is here");
	timer_free(&d.timer);
	close(fds[0]);
	world_fini(&w);
}

/* --- endings -------------------------------------------------------------- */

static bool
b_closed(struct world *w)
{
	return strchr(w->b.trace, 'c') != NULL;
}

static bool
a_closed(struct world *w)
{
	return strchr(w->a.trace, 'c') != NULL;
}

static bool
both_closed(struct world *w)
{
	return a_closed(w) && b_closed(w);
}

static void
test_half_close(void)
{
	struct world w;
	char room[32] = "";
	int fds[2];

	world_init(&w);
	tcp_pair(fds);
	w.b.keep = w.b.reply_on_read = true;
	end_open(&w.b, fds[1], 0);
	MUST(write(fds[0], "hello", 5) == 5);
	shutdown(fds[0], SHUT_WR);
	run(&w, b_closed);
	is_str(w.b.error, "closed by peer", "closed by peer");
	ok(w.b.got == 5, "after what it sent");
	ok(strncmp(w.b.trace, "r", 1) == 0 && b_closed(&w), "in that order");
	ok(strncmp(stream_peer(w.b.stream), "127.0.0.1:", 10) == 0 &&
	        stream_is_loopback(w.b.stream),
	    "peer %s", stream_peer(w.b.stream));
	stream_free(&w.b.stream);
	ok(read(fds[0], room, sizeof(room)) == 7 &&
	        strcmp(room, "goodbye") == 0,
	    "the last answer arrives");
	close(fds[0]);
	world_fini(&w);
}

static void
test_finish(bool tls)
{
	const char *how = tls ? "TLS" : "plain";
	struct world w;

	world_init(&w);
	pair_open(&w, tls);
	w.a.to_send = OUT;
	end_send(&w.a);
	stream_finish(w.a.stream, 20);
	run(&w, both_closed);
	ok(w.b.got == OUT && !w.b.wrong, "%s: finish sends the rest", how);
	is_str(w.a.error, "finished", "one side has finished");
	is_str(w.b.error, "closed by peer", "the other sees it");
	world_fini(&w);
}

static void
test_finish_deadline(void)
{
	struct world w;
	int fds[2];

	world_init(&w);
	tcp_pair(fds);
	end_open(&w.b, fds[1], 0);
	w.b.to_send = BULK * 4;
	end_send(&w.b);
	stream_finish(w.b.stream, 0);
	run(&w, b_closed);
	is_str(w.b.error, "the peer did not take the end in time",
	    "finishing has a deadline");
	close(fds[0]);
	world_fini(&w);
}

static void
test_idle(void)
{
	struct world w;
	int fds[2];
	int64_t start;

	world_init(&w);
	tcp_pair(fds);
	end_open(&w.b, fds[1], 1);
	start = loop_now(w.loop).ms;
	run(&w, b_closed);
	is_str(w.b.error, "idle too long", "idle too long");
	ok(loop_now(w.loop).ms - start >= 1000, "but not too early");
	close(fds[0]);
	world_fini(&w);
}

static void
test_reset(void)
{
	struct world w;
	struct linger now = { 1, 0 };
	int fds[2];

	world_init(&w);
	tcp_pair(fds);
	end_open(&w.b, fds[1], 0);
	setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fds[0]);
	run(&w, b_closed);
	is_str(w.b.error, "socket: Connection reset by peer", "reset");
	world_fini(&w);
}

static bool
b_gone(struct world *w)
{
	return w->b.stream == NULL;
}

static void
test_free_inside(bool tls)
{
	struct world w;

	world_init(&w);
	pair_open(&w, tls);
	w.b.free_on_read = true;
	w.a.to_send = 10;
	end_send(&w.a);
	run(&w, b_gone);
	ok(w.b.stream == NULL, "freed by its own call back");
	run(&w, a_closed);
	ok(a_closed(&w), "%s: which the other side sees",
	    tls ? "TLS" : "plain");
	world_fini(&w);
}

/* --- TLS ------------------------------------------------------------------ */

static bool
both_secure(struct world *w)
{
	return w->a.stream != NULL && stream_is_secure(w->a.stream) &&
	       stream_is_secure(w->b.stream);
}

static bool
b_has_10(struct world *w)
{
	return w->b.got >= 10;
}

/* What was sent in the clear behind STARTTLS never counts as input. */
static void
test_starttls_discards(void)
{
	struct world w;
	char room[16] = "";
	int fds[2];
	ssize_t n;

	world_init(&w);
	contexts_make(&w);
	tcp_pair(fds);
	w.b.tls_on_read = w.b.held = true;
	end_open(&w.b, fds[1], 0);
	stream_want_read(w.b.stream, true);
	MUST(write(fds[0], "STARTTLS\r\nevil\r\n", 16) == 16);
	rest(&w);
	n = read(fds[0], room, sizeof(room));
	ok(n == 4 && strcmp(room, "OK\r\n") == 0,
	    "the answer to STARTTLS is in the clear");
	ok(buf_len(stream_in(w.b.stream)) == 0, "input behind it is gone");
	w.b.held = false;
	end_open(&w.a, fds[0], 0);
	end_start_tls(&w.a);
	w.a.to_send = 10;
	run(&w, b_has_10);
	ok(w.b.got == 10 && !w.b.wrong && both_secure(&w),
	    "the first input is what TLS brings");
	world_fini(&w);
}

static void
test_garbage(void)
{
	struct world w;
	int fds[2];

	world_init(&w);
	contexts_make(&w);
	tcp_pair(fds);
	end_open(&w.b, fds[1], 0);
	end_start_tls(&w.b);
	MUST(write(fds[0], "a LOGIN fred secret\r\n", 21) == 21);
	run(&w, b_closed);
	ok(strncmp(w.b.error, "TLS: ", 5) == 0 && w.b.got == 0, "no TLS: %s",
	    w.b.error);
	ok(strchr(w.b.trace, 's') == NULL && !stream_is_secure(w.b.stream),
	    "and never secure");
	close(fds[0]);
	world_fini(&w);
}

struct trust {
	const char *title, *name; /* the client expects */
	bool other_ca, client_cert, require;
	const char *email;
	const char *error; /* the client's or server's; NULL: it works */
	const char *peer;  /* of the client, at the server */
};

static const struct trust trusts[] = {
	{ "the right name", "mail.example.org", false, false, false, NULL, NULL,
	    NULL },
	{ "another name", "imap.example.org", false, false, false, NULL,
	    "TLS: certificate: hostname mismatch", NULL },
	{ "an address", "192.0.2.1", false, false, false, NULL,
	    "TLS: certificate: IP address mismatch", NULL },
	{ "another CA", "mail.example.org", true, false, false, NULL,
	    "TLS: certificate: unable to get local issuer certificate", NULL },
	{ "a client's certificate", NULL, false, true, true, NULL, NULL,
	    "proxy1.example.org" },
	{ "with an address", NULL, false, true, true, "proxy@example.org", NULL,
	    "proxy@example.org" },
	{ "none where one is required", NULL, false, false, true, NULL,
	    "TLS: peer did not return a certificate", NULL },
};

static bool
settled(struct world *w)
{
	return b_closed(w) || (w->b.got == 10 && w->a.got == 10);
}

static void
test_trust(const struct trust *t)
{
	struct cert *ca = cert_new(NULL, "Test CA", NULL);
	struct cert *ca2 = cert_new(NULL, "Other CA", NULL);
	struct cert *host = cert_new(ca, "mail.example.org", NULL);
	struct cert *proxy = cert_new(ca, "proxy1.example.org", t->email);
	struct tls_material server = { cert_pem(host), cert_key(host),
		cert_pem(ca), t->require };
	struct tls_material client = { .ca = cert_pem(t->other_ca ? ca2 : ca),
		.require = true };
	const char *peer;
	struct world w;
	struct err err;
	int fds[2];

	world_init(&w);
	if (t->client_cert) {
		client.cert = cert_pem(proxy);
		client.key = cert_key(proxy);
	}
	w.server = tls_server_new(&server, &err);
	w.client = tls_client_new(&client, &err);
	tcp_pair(fds);
	end_open(&w.a, fds[0], 0);
	end_open(&w.b, fds[1], 0);
	w.a.to_send = w.b.to_send = 10;
	MUST(stream_start_tls(w.a.stream, w.client, t->name, &err) == 0);
	end_start_tls(&w.b);
	run(&w, settled);
	if (t->error == NULL) {
		peer = stream_tls_peer(w.b.stream);
		ok(w.b.got == 10 && !w.b.wrong, "%s: trusted", t->title);
		if (t->peer == NULL)
			ok(peer == NULL, "%s: anybody", t->title);
		else
			is_str(peer, t->peer, t->title);
	} else {
		is_str(t->name == NULL ? w.b.error : w.a.error, t->error,
		    t->title);
	}
	world_fini(&w);
	cert_free(&proxy);
	cert_free(&host);
	cert_free(&ca2);
	cert_free(&ca);
}

/* --- memory --------------------------------------------------------------- */

enum {
	PAIRS = 100
};

static size_t
octets_used(void)
{
	return mallinfo2().uordblks;
}

struct cost {
	size_t client, server;
};

static void
cost_open(struct world *w, struct world *x, bool tls)
{
	int fds[2];

	*x = (struct world){ .loop = w->loop,
		.guard = w->guard,
		.server = w->server,
		.client = w->client };
	x->a.world = x->b.world = x;
	tcp_pair(fds);
	end_open(&x->a, fds[0], 1800);
	end_open(&x->b, fds[1], 1800);
	if (tls) {
		end_start_tls(&x->a);
		end_start_tls(&x->b);
	}
	x->a.to_send = x->b.to_send = 5000;
	end_send(&x->a);
	end_send(&x->b);
	run(x, all_got);
	MUST(all_got(x));
}

static void
stop_event(void *arg)
{
	struct world *w = arg;

	loop_stop(w->loop);
}

/* One turn, at whose end what is freed goes; no event is waited for. */
static void
loop_stop_soon(struct world *w)
{
	struct task *t = task_new(w->loop, stop_event, w);

	task_want(t);
	loop_run(w->loop);
	task_free(&t);
}

/* By what their freeing gives back. */
static struct cost
cost_of(bool tls)
{
	struct world w, *ws = xcalloc(PAIRS, sizeof(*ws));
	struct cost c;
	size_t start, middle;

	world_init(&w);
	contexts_make(&w);
	for (int i = 0; i < PAIRS; i++)
		cost_open(&w, &ws[i], tls);
	rest(&w);
	start = octets_used();
	for (int i = 0; i < PAIRS; i++)
		stream_free(&ws[i].a.stream);
	loop_stop_soon(&w);
	middle = octets_used();
	for (int i = 0; i < PAIRS; i++)
		stream_free(&ws[i].b.stream);
	loop_stop_soon(&w);
	c.client = (start - middle) / PAIRS;
	c.server = (middle - octets_used()) / PAIRS;
	world_fini(&w);
	free(ws);
	return c;
}

static void
test_memory(void)
{
	struct cost plain = cost_of(false), tls = cost_of(true);

	if (plain.client == 0) {
		ok(true, "# SKIP the sanitizers have their own malloc");
		return;
	}
	ok(plain.server < 1024, "an idle plain stream costs %zu octets",
	    plain.server);
	ok(tls.server < 16 * 1024, "an idle TLS stream costs %zu octets",
	    tls.server);
	ok(tls.client < 24 * 1024,
	    "a client's, with the server's certificate, %zu octets",
	    tls.client);
}

int
main(void)
{
	test_bulk(false);
	test_bulk(true);
	test_pressure(false);
	test_pressure(true);
	test_dribble();
	test_half_close();
	test_finish(false);
	test_finish(true);
	test_finish_deadline();
	test_idle();
	test_reset();
	test_free_inside(false);
	test_free_inside(true);
	test_starttls_discards();
	test_garbage();
	for (size_t i = 0; i < NITEMS(trusts); i++)
		test_trust(&trusts[i]);
	test_memory();
	return done_testing();
}
