#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/dial.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "t/bench/client.h"
#include "t/bench/load.h"

enum {
	IN_MAX = 256 * 1024,
	OUT_MAX = 4 * 1024 * 1024,
	WAIT_SECONDS = 120
};

static void
acknowledge(struct client *c)
{
	int on = 1;

	/* Only the figures depend on it. */
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

/* The size of the literal that this line ends in, or 0. */
static uint64_t
literal_of(struct slice line)
{
	struct slice n;
	size_t open = slice_rfind(line, '{');
	uint64_t size;

	if (open == line.len || line.ptr[line.len - 1] != '}')
		return 0;
	n = slice_of(line.ptr + open + 1, line.len - open - 2);
	if (n.len > 0 && n.ptr[n.len - 1] == '+')
		n.len--;
	return ascii_number(n, UINT32_MAX, &size) ? size : 0;
}

/* One line or some of a literal is taken; false if nothing was there. */
static bool
take(struct client *c, struct buf *in)
{
	struct slice all = buf_slice(in), line;
	bool first = !c->inside;
	size_t n;

	if (c->literal > 0 && c->load->protocol->literal != NULL) {
		if (all.len < c->literal)
			return false;
		c->load->protocol->literal(c,
		    slice_first(all, (size_t)c->literal));
		buf_drop(in, (size_t)c->literal);
		c->literal = 0;
		return true;
	}
	if (c->literal > 0) {
		n = c->literal < all.len ? (size_t)c->literal : all.len;
		c->literal -= n;
		buf_drop(in, n);
		return n > 0;
	}
	n = slice_find(all, '\n');
	if (n == all.len)
		return false;
	line = slice_first(all, n);
	if (n > 0 && line.ptr[n - 1] == '\r')
		line.len--;
	c->literal = literal_of(line);
	c->inside = c->literal > 0;
	if (first)
		c->load->protocol->line(c, line);
	if (!c->gone)
		buf_drop(in, n + 1);
	return !c->gone;
}

static void
stream_moved(void *arg, enum stream_event ev)
{
	struct client *c = arg;
	struct buf *in = stream_in(c->stream);
	size_t before = buf_len(in);

	if (ev == STREAM_READ)
		acknowledge(c);
	c->gone = false;
	while (take(c, in))
		continue;
	if (c->gone)
		return;
	if (c->load->protocol->seen != NULL)
		c->load->protocol->seen(c);
	if (c->gone)
		return;
	c->load->octets += before - buf_len(in);
	if (ev == STREAM_CLOSED)
		load_failed(c, slice_str(stream_error(c->stream)));
}

static void
connected(void *arg, int fd, const char *why)
{
	struct client *c = arg;
	struct stream_limits limits = { .in = IN_MAX,
		.out = OUT_MAX,
		.idle = WAIT_SECONDS };
	struct load *l = c->load;
	struct err err;

	dial_free(&c->dial);
	if (fd == -1) {
		load_failed(c, slice_str(why));
		return;
	}
	if (l->protocol->rests)
		limits.idle = 24 * 3600;
	c->fd = fd;
	c->stream = stream_new(l->loop, fd, &limits, stream_moved, c);
	acknowledge(c);
	if (l->tls != NULL &&
	    stream_start_tls(c->stream, l->tls, NULL, &err) == -1) {
		load_failed(c, slice_str(err.text));
		return;
	}
	stream_want_read(c->stream, true);
}

void
client_open(struct client *c)
{
	struct load *l = c->load;

	MUST(c->dial == NULL && c->stream == NULL);
	c->literal = 0;
	c->inside = false;
	c->state = 0;
	c->dial = dial_new(l->loop, l->jobs, l->options->address, WAIT_SECONDS,
	    connected, c);
}

void
client_close(struct client *c)
{
	c->gone = true;
	dial_free(&c->dial);
	stream_free(&c->stream);
}

struct buf *
client_out(struct client *c)
{
	return stream_out(c->stream);
}

void
client_flush(struct client *c)
{
	MUST(!buf_failed(client_out(c)));
	stream_flush(c->stream);
}
