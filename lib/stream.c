#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/deflate.h"
#include "lib/err.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/sockname.h"
#include "lib/stream.h"
#include "lib/tls_conn.h"
#include "lib/xalloc.h"

enum {
	SCRATCH = 16 * 1024,   /* a read, as long as there is no more */
	READ_TURN = 64 * 1024, /* and then others have theirs */
	WRITE_TURN = 256 * 1024,
	HANDSHAKE_MS = 30000,
	DRAIN_READS = 16,
	SQUEEZE_TURN = 64 * 1024, /* octets compressed at once */
	SQUEEZE_REST_MS = 5000 /* idle so long, it keeps no more than it must */
};

enum state {
	STATE_OPEN,
	STATE_CLEARING, /* what is to go in the clear before TLS */
	STATE_HANDSHAKE,
	STATE_FINISHING, /* no more will be put */
	STATE_OVER,      /* to be told */
	STATE_TOLD
};

struct flow {
	struct buf in, out;
	size_t clear; /* octets of out that go before TLS */
};

/* A stream that is compressed. */
struct squeeze {
	struct deflate *deflate; /* NULL: it has ended, wire goes out yet */
	struct buf raw;          /* read, and not inflated */
	struct buf wire;         /* to be written, before flow's out */
	bool awake;              /* has had work since it was at rest */
};

/* What a stream has not while it rests, and some have never. */
struct seldom {
	struct task *task;   /* NULL: no turn is wanted */
	struct flow *flow;   /* NULL: nothing is in a buffer */
	struct timer *timer; /* NULL: nothing has a deadline */
	struct mono limit;   /* of the handshake or finishing; 0: none */
	char *peer, *local;  /* made when asked for */
	const char *error;
	char *error_text; /* ours, behind error */
};

/* An idle one costs this, an io, and the socket. */
struct stream {
	unsigned magic;
	uint32_t in_max, out_max;
	uint32_t idle_seconds;
	int fd;
	uint8_t state;                   /* of enum state */
	uint8_t read_wants, write_wants; /* IO_*: TLS may want the other */
	bool freed : 1; /* by its owner; it goes at the end of the turn */
	bool want_read : 1;
	bool finish : 1;  /* after the handshake */
	bool more : 1;    /* TLS may hold octets back */
	bool bulk : 1;    /* the last read was full */
	bool secure : 1;  /* the handshake was done */
	bool blocked : 1; /* the socket did not take all */
	struct loop *loop;
	struct io *io;
	struct tls_conn *tls;
	struct squeeze *squeeze; /* NULL: not compressed */
	stream_cb *cb;
	void *owner;
	struct mono active;    /* when the last octet moved */
	struct seldom *seldom; /* NULL: none of it is there */
	uint64_t octets_in, octets_out;
};

enum {
	MAGIC = 0x7374726d
};

static struct stream *
stream_of(void *arg)
{
	struct stream *s = arg;

	MUST(s->magic == MAGIC);
	return s;
}

static void task_event(void *arg);
static void timer_event(void *arg);

static struct seldom *
seldom_of(struct stream *s)
{
	if (s->seldom == NULL)
		s->seldom = xcalloc(1, sizeof(*s->seldom));
	return s->seldom;
}

static void
want_turn(struct stream *s)
{
	struct seldom *r;

	if (s->freed)
		return;
	r = seldom_of(s);
	if (r->task == NULL)
		r->task = task_new_last(s->loop, task_event, s);
	task_want(r->task);
}

static void
stop_task(struct stream *s)
{
	if (s->seldom != NULL)
		task_free(&s->seldom->task);
}

static int64_t
limit_of(const struct stream *s)
{
	return s->seldom != NULL ? s->seldom->limit.ms : 0;
}

static void
stop_timer(struct stream *s)
{
	if (s->seldom != NULL)
		timer_free(&s->seldom->timer);
}

/* What nobody borrows any more. */
static void
free_names(struct seldom *r)
{
	free(r->peer);
	free(r->local);
	r->peer = r->local = NULL;
}

/* NULL: nothing is in a buffer. */
static struct flow *
flow_if(const struct stream *s)
{
	return s->seldom != NULL ? s->seldom->flow : NULL;
}

static struct flow *
flow_of(struct stream *s)
{
	struct flow *flow = flow_if(s);

	if (flow == NULL) {
		flow = seldom_of(s)->flow = xcalloc(1, sizeof(*flow));
		buf_init(&flow->in, s->in_max);
		buf_init(&flow->out, s->out_max);
	}
	return flow;
}

static bool
has_put(const struct stream *s)
{
	const struct flow *flow = flow_if(s);

	return flow != NULL && buf_len(&flow->out) > 0;
}

static bool
has_output(const struct stream *s)
{
	return has_put(s) ||
	       (s->squeeze != NULL && buf_len(&s->squeeze->wire) > 0);
}

static void
free_flow(struct stream *s)
{
	struct flow *flow = flow_if(s);

	if (flow == NULL)
		return;
	buf_fini(&flow->in);
	buf_fini(&flow->out);
	free(flow);
	s->seldom->flow = NULL;
}

/* --- the end -------------------------------------------------------------- */

/* The first reason stays. */
static void
over(struct stream *s, const char *why)
{
	if (s->state == STATE_OVER || s->state == STATE_TOLD)
		return;
	s->state = STATE_OVER;
	seldom_of(s)->error = why;
}

static void
over_because(struct stream *s, const char *why)
{
	if (s->state == STATE_OVER || s->state == STATE_TOLD)
		return;
	seldom_of(s)->error_text = xstrdup(why);
	over(s, seldom_of(s)->error_text);
}

static void
over_errno(struct stream *s)
{
	struct err err;

	err_sys(&err, "socket");
	over_because(s, err.text);
}

/*
 * Closing a socket with input unread sends RST, and that may overtake our last
 * words at the peer.
 */
static void
drain(struct stream *s)
{
	char scratch[SCRATCH];
	int i = 0;

	shutdown(s->fd, SHUT_WR);
	while (i < DRAIN_READS &&
	       recv(s->fd, scratch, sizeof(scratch), MSG_DONTWAIT) > 0)
		i++;
}

/* --- octets --------------------------------------------------------------- */

static void
moved(struct stream *s)
{
	s->active = loop_now(s->loop);
}

/* What a TLS operation waits for, if it does; true: it made progress. */
static bool
tls_went(struct stream *s, enum tls_result r, uint8_t *wants,
    const struct err *err)
{
	switch (r) {
	case TLS_DONE:
		return true;
	case TLS_WANT_READ:
		*wants = IO_READ;
		return false;
	case TLS_WANT_WRITE:
		*wants = IO_WRITE;
		return false;
	case TLS_CLOSED:
		over(s, "closed by peer");
		return false;
	case TLS_FAILED:
		over_because(s, err->text);
		return false;
	}
	return false;
}

/* Octets written, 0 if it will not go on now. */
static size_t
write_once(struct stream *s, const uint8_t *p, size_t n)
{
	struct err err;
	ssize_t r;

	s->write_wants = IO_WRITE;
	if (s->secure)
		return tls_went(s, tls_conn_write(s->tls, p, &n, &err),
		           &s->write_wants, &err)
		           ? n
		           : 0;
	do
		r = send(s->fd, p, n, MSG_NOSIGNAL);
	while (r == -1 && errno == EINTR);
	if (r == -1 && errno != EAGAIN)
		over_errno(s);
	return r > 0 ? (size_t)r : 0;
}

/* Some of what has been put goes to the wire, compressed. */
static void
squeeze_some(struct stream *s)
{
	struct squeeze *z = s->squeeze;
	struct buf *out = &flow_of(s)->out;
	size_t n = buf_len(out);
	bool all = n <= SQUEEZE_TURN;

	if (n == 0)
		return;
	if (!all)
		n = SQUEEZE_TURN;
	z->awake = true;
	deflate_put(z->deflate, slice_first(buf_slice(out), n),
	    all ? DEFLATE_FLUSH : DEFLATE_MORE, &z->wire);
	buf_drop(out, n);
}

static void
free_squeeze(struct stream *s)
{
	struct squeeze *z = s->squeeze;

	if (z == NULL)
		return;
	deflate_free(&z->deflate);
	buf_fini(&z->raw);
	buf_fini(&z->wire);
	free(z);
	s->squeeze = NULL;
}

/* The buffer whose octets go out next. */
static struct buf *
outgoing(struct stream *s)
{
	struct squeeze *z = s->squeeze;

	/* What compresses well gives nothing to write for a while. */
	while (z != NULL && z->deflate != NULL && buf_len(&z->wire) == 0 &&
	       has_put(s))
		squeeze_some(s);
	if (z != NULL && z->deflate == NULL && buf_len(&z->wire) == 0)
		free_squeeze(s);
	return s->squeeze != NULL ? &s->squeeze->wire : &flow_of(s)->out;
}

/* What was put after stream_start_tls() never goes in the clear. */
static size_t
to_write(struct stream *s)
{
	if (s->squeeze != NULL)
		return buf_len(outgoing(s));
	if (!has_put(s))
		return 0;
	return s->state == STATE_CLEARING ? flow_of(s)->clear
	                                  : buf_len(&flow_of(s)->out);
}

/* Did any octet go? */
static bool
write_out(struct stream *s)
{
	size_t turn = 0, n = 1, left;

	while ((left = to_write(s)) > 0 && turn < WRITE_TURN && n > 0) {
		n = write_once(s, buf_data(outgoing(s)), left);
		buf_drop(outgoing(s), n);
		if (s->state == STATE_CLEARING)
			flow_of(s)->clear -= n;
		turn += n;
	}
	s->blocked = left > 0;
	s->octets_out += turn;
	if (turn > 0)
		moved(s);
	return turn > 0;
}

/* As write_once(); an end is noted in the state. */
static size_t
read_once(struct stream *s, uint8_t *p, size_t n)
{
	struct err err;
	ssize_t r;

	s->read_wants = IO_READ;
	if (s->secure)
		return tls_went(s, tls_conn_read(s->tls, p, &n, &err),
		           &s->read_wants, &err)
		           ? n
		           : 0;
	do
		r = recv(s->fd, p, n, 0);
	while (r == -1 && errno == EINTR);
	if (r == 0)
		over(s, "closed by peer");
	else if (r == -1 && errno != EAGAIN)
		over_errno(s);
	return r > 0 ? (size_t)r : 0;
}

/* The peer compresses no more: what follows is for after stream_end_deflate. */
static size_t
read_after(struct stream *s)
{
	uint8_t scratch[SCRATCH];
	struct buf *raw = &s->squeeze->raw;
	size_t got = 0;

	if (buf_room(raw) == 0)
		over(s, "octets after the end of compressed input");
	else
		got = read_once(s, scratch, buf_room(raw));
	buf_put(raw, scratch, got);
	s->more = s->secure && got > 0;
	return got;
}

/*
 * Compressed octets are read when those before have been inflated, and are
 * inflated as far as there is room.
 */
static size_t
inflate_some(struct stream *s)
{
	struct squeeze *z = s->squeeze;
	uint8_t scratch[SCRATCH], *p;
	size_t got = 0, used = 0, made = 0, room = READ_TURN;

	if (buf_len(&z->raw) == 0) {
		got = read_once(s, scratch, sizeof(scratch));
		buf_put(&z->raw, scratch, got);
		s->more = s->secure ? got > 0 : got == sizeof(scratch);
	}
	z->awake = true;
	p = buf_space(&flow_of(s)->in, &room);
	if (deflate_take(z->deflate, buf_slice(&z->raw), &used, p, room,
	        &made) == -1)
		over(s, "malformed compressed input");
	buf_grew(&flow_of(s)->in, made);
	buf_drop(&z->raw, used);
	if (deflate_is_over(z->deflate))
		s->more = s->secure;
	else if (buf_len(&z->raw) > 0 || made == room)
		s->more = true;
	return made > got ? made : got;
}

/*
 * By way of the stack, so that a buffer which keeps half a command is not the
 * size of what might have come; straight into it once reads come back full.
 */
static size_t
read_some(struct stream *s)
{
	uint8_t scratch[SCRATCH], *p = scratch;
	size_t n = s->bulk ? READ_TURN : SCRATCH, got;

	if (stream_is_deflated(s))
		return deflate_is_over(s->squeeze->deflate) ? read_after(s)
		                                            : inflate_some(s);
	if (s->bulk)
		p = buf_space(&flow_of(s)->in, &n);
	else if (n > buf_room(&flow_of(s)->in))
		n = buf_room(&flow_of(s)->in);
	got = read_once(s, p, n);
	if (s->bulk)
		buf_grew(&flow_of(s)->in, got);
	else
		buf_put(&flow_of(s)->in, scratch, got);
	/* A plain socket with less than was asked for is empty. */
	s->more = s->secure ? got > 0 : got == n;
	s->bulk = got >= SCRATCH;
	return got;
}

static bool
reads(const struct stream *s)
{
	return s->state == STATE_OPEN && s->want_read && !s->freed &&
	       (flow_if(s) == NULL || buf_room(&flow_if(s)->in) > 0);
}

static bool
read_in(struct stream *s)
{
	size_t turn = 0;

	do
		turn += read_some(s);
	while (reads(s) && s->more && turn < READ_TURN);
	s->octets_in += turn;
	if (turn > 0)
		moved(s);
	return turn > 0;
}

/* --- turns ---------------------------------------------------------------- */

/* False: the owner has freed it meanwhile. */
static bool
tell(struct stream *s, enum stream_event ev)
{
	s->cb(s->owner, ev);
	return !s->freed;
}

/* One timer for what comes first; it does not follow every octet. */
static void
timer_update(struct stream *s)
{
	int64_t now = loop_now(s->loop).ms, due = INT64_MAX;
	struct seldom *r;

	if (s->idle_seconds > 0)
		due = s->active.ms + (int64_t)s->idle_seconds * 1000;
	if (limit_of(s) > 0 && limit_of(s) < due)
		due = limit_of(s);
	if (s->state == STATE_TOLD || due == INT64_MAX) {
		stop_timer(s);
		return;
	}
	r = seldom_of(s);
	if (r->timer == NULL)
		r->timer = timer_new(s->loop, timer_event, s);
	timer_set(r->timer, due - now);
}

/* Interest follows from the state, here only. */
static void
interest_update(struct stream *s)
{
	unsigned want = 0;

	switch ((enum state)s->state) {
	case STATE_OPEN:
		if (reads(s))
			want = s->read_wants;
		if (reads(s) && s->more && (s->secure || s->squeeze != NULL))
			want_turn(s);
		/* fall through */
	case STATE_FINISHING:
	case STATE_CLEARING:
		if (s->blocked)
			want |= s->write_wants;
		break;
	case STATE_HANDSHAKE:
		want = s->read_wants;
		break;
	case STATE_OVER:
		want_turn(s);
		break;
	case STATE_TOLD:
		break;
	}
	io_want(s->io, want);
}

static void
finish_advance(struct stream *s)
{
	struct err err;

	if (has_output(s))
		return;
	if (s->tls != NULL &&
	    !tls_went(s, tls_conn_close(s->tls, &err), &s->write_wants, &err) &&
	    s->state == STATE_FINISHING) {
		s->blocked = true;
		return;
	}
	drain(s);
	over(s, "finished");
}

/* At the end of this turn: so what is put in one turn goes out at once. */
void
stream_flush(struct stream *s)
{
	if (has_output(s) && !s->blocked && s->state != STATE_TOLD)
		want_turn(s);
}

/* True: done just now. */
static bool
handshake_advance(struct stream *s)
{
	struct err err;

	if (!tls_went(s, tls_conn_handshake(s->tls, &err), &s->read_wants,
	        &err))
		return false;
	s->secure = true;
	s->read_wants = IO_READ;
	s->state = s->finish ? STATE_FINISHING : STATE_OPEN;
	s->more = true; /* octets may have come with it */
	moved(s);
	if (!s->finish)
		seldom_of(s)->limit.ms = 0;
	stream_flush(s); /* what was put meanwhile */
	return true;
}

/*
 * The last words of the owner, said when it had seen the last of the input, are
 * sent as far as the socket takes them.
 */
static void
over_tell(struct stream *s)
{
	if ((s->tls == NULL || s->secure) && seldom_of(s)->error_text == NULL)
		write_out(s);
	s->state = STATE_TOLD;
	io_want(s->io, 0);
	stop_timer(s);
	tell(s, STREAM_CLOSED);
}

/* Moves what can be moved and tells of it.  False: freed. */
static bool
octets_advance(struct stream *s, bool readable)
{
	bool written = false, grown = false;

	if (has_output(s))
		written = write_out(s);
	if (reads(s) && (readable || s->more))
		grown = read_in(s);
	if (flow_if(s) != NULL)
		buf_trim(&flow_of(s)->out);
	if (written && !tell(s, STREAM_WRITTEN))
		return false;
	return !grown || tell(s, STREAM_READ);
}

static void
stream_advance(struct stream *s, bool readable)
{
	if (s->state == STATE_CLEARING) {
		if (write_out(s) && !tell(s, STREAM_WRITTEN))
			return;
		if (s->state == STATE_CLEARING && flow_of(s)->clear == 0)
			s->state = STATE_HANDSHAKE;
	}
	if (s->state == STATE_HANDSHAKE) {
		if (handshake_advance(s) && !tell(s, STREAM_SECURE))
			return;
	} else if (s->state == STATE_OPEN || s->state == STATE_FINISHING) {
		if (!octets_advance(s, readable))
			return;
	} else if (s->state == STATE_OVER) {
		over_tell(s);
		if (s->freed)
			return;
	}
	if (s->state == STATE_FINISHING)
		finish_advance(s);
	if (flow_if(s) != NULL) {
		buf_trim(&flow_of(s)->in);
		buf_trim(&flow_of(s)->out);
	}
	interest_update(s);
}

static void
io_event(void *arg, unsigned ready)
{
	struct stream *s = stream_of(arg);

	stream_advance(s, (ready & s->read_wants) != 0);
}

static void
task_event(void *arg)
{
	struct stream *s = stream_of(arg);

	stop_task(s);
	stream_advance(s, false);
}

static void
squeeze_rest(struct stream *s)
{
	struct squeeze *z = s->squeeze;

	if (z == NULL || !z->awake || has_output(s) ||
	    !mono_reached(mono_after(s->active, SQUEEZE_REST_MS),
	        loop_now(s->loop)))
		return;
	z->awake = false;
	if (z->deflate != NULL)
		deflate_rest(z->deflate);
	buf_trim(&z->raw);
	buf_trim(&z->wire);
}

static void
timer_event(void *arg)
{
	struct stream *s = stream_of(arg);
	struct mono now = loop_now(s->loop);

	squeeze_rest(s);
	if (limit_of(s) > 0 && limit_of(s) <= now.ms)
		over(s, s->state == STATE_FINISHING
		            ? "the peer did not take the end in time"
		            : "TLS: the handshake took too long");
	else if (s->idle_seconds > 0 &&
	         mono_reached(mono_after(s->active,
	                          (int64_t)s->idle_seconds * 1000),
	             now))
		over(s, "idle too long");
	if (s->state == STATE_OVER)
		interest_update(s);
	else
		timer_update(s);
}

/* --- for the owner -------------------------------------------------------- */

static uint32_t
smaller(size_t n)
{
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

struct stream *
stream_new(struct loop *loop, int fd, const struct stream_limits *limits,
    stream_cb *cb, void *owner)
{
	struct stream *s = xcalloc(1, sizeof(*s));
	int flags = fcntl(fd, F_GETFL), on = 1;

	MUST(flags != -1 && limits->in > 0 && limits->out > 0);
	MUST(fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
	/* A UNIX socket has no such option, and needs none. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	s->magic = MAGIC;
	s->read_wants = IO_READ;
	s->write_wants = IO_WRITE;
	s->loop = loop;
	s->fd = fd;
	s->cb = cb;
	s->owner = owner;
	s->in_max = smaller(limits->in);
	s->out_max = smaller(limits->out);
	s->io = io_new(loop, fd, io_event, s);
	moved(s);
	stream_set_idle(s, limits->idle);
	return s;
}

static void
stream_release(void *arg)
{
	struct stream *s = stream_of(arg);

	s->magic = 0;
	free_flow(s);
	free_squeeze(s);
	if (s->seldom != NULL) {
		free_names(s->seldom);
		free(s->seldom->error_text);
		free(s->seldom);
	}
	free(s);
}

void
stream_free(struct stream **sp)
{
	struct stream *s = *sp;

	if (s == NULL)
		return;
	MUST(s->magic == MAGIC && !s->freed);
	s->freed = true;
	io_free(&s->io);
	stop_timer(s);
	stop_task(s);
	tls_conn_free(&s->tls);
	close(s->fd);
	s->fd = -1;
	loop_at_end(s->loop, stream_release, s);
	*sp = NULL;
}

struct buf *
stream_in(struct stream *s)
{
	return &flow_of(s)->in;
}

struct buf *
stream_out(struct stream *s)
{
	return &flow_of(s)->out;
}

void
stream_rest(struct stream *s)
{
	struct seldom *r;

	if (flow_if(s) != NULL && s->state == STATE_OPEN && !has_output(s) &&
	    buf_len(&flow_of(s)->in) == 0 && !buf_failed(&flow_of(s)->out))
		free_flow(s);
	if (s->squeeze != NULL && s->squeeze->awake)
		timer_update(s);
	r = s->seldom;
	if (r == NULL)
		return;
	free_names(r);
	if (r->task == NULL && r->flow == NULL && r->timer == NULL &&
	    r->error == NULL && r->limit.ms == 0) {
		free(r);
		s->seldom = NULL;
	}
}

void
stream_finish(struct stream *s, unsigned seconds)
{
	if (s->state == STATE_OVER || s->state == STATE_TOLD)
		return;
	s->finish = true;
	seldom_of(s)->limit =
	    mono_after(loop_now(s->loop), (int64_t)seconds * 1000);
	if (s->state == STATE_OPEN)
		s->state = STATE_FINISHING;
	timer_update(s);
	want_turn(s);
}

void
stream_want_read(struct stream *s, bool want)
{
	s->want_read = want;
	interest_update(s);
}

void
stream_set_idle(struct stream *s, unsigned seconds)
{
	s->idle_seconds = seconds;
	timer_update(s);
}

int
stream_start_tls(struct stream *s, struct tls *tls, const char *name,
    struct err *err)
{
	MUST(s->tls == NULL);
	if (s->state != STATE_OPEN)
		return err_set(err, "the connection is over");
	s->tls = tls_conn_new(tls, s->fd, name, err);
	if (s->tls == NULL)
		return -1;
	buf_clear(&flow_of(s)->in);
	flow_of(s)->clear = buf_len(&flow_of(s)->out);
	s->state = STATE_CLEARING;
	seldom_of(s)->limit = mono_after(loop_now(s->loop), HANDSHAKE_MS);
	timer_update(s);
	want_turn(s);
	return 0;
}

void
stream_start_deflate(struct stream *s)
{
	struct squeeze *z;

	MUST(!stream_is_deflated(s) && s->state != STATE_CLEARING &&
	     s->state != STATE_HANDSHAKE);
	if (s->squeeze == NULL) {
		s->squeeze = xcalloc(1, sizeof(*s->squeeze));
		buf_init(&s->squeeze->raw, SCRATCH);
		/* As much as out may hold, and what deflate adds to it. */
		buf_init(&s->squeeze->wire, SIZE_MAX / 4);
	}
	z = s->squeeze;
	z->deflate = deflate_new();
	buf_put_slice(&z->wire, buf_slice(&flow_of(s)->out));
	buf_clear(&flow_of(s)->out);
	buf_clear(&flow_of(s)->in);
	stream_flush(s);
}

void
stream_end_deflate(struct stream *s)
{
	struct squeeze *z = s->squeeze;

	if (!stream_is_deflated(s))
		return;
	while (has_put(s))
		squeeze_some(s);
	deflate_free(&z->deflate);
	if (buf_len(&z->raw) <= buf_room(&flow_of(s)->in))
		buf_put_slice(&flow_of(s)->in, buf_slice(&z->raw));
	buf_fini(&z->raw);
	buf_init(&z->raw, SCRATCH);
	stream_flush(s);
}

bool
stream_is_deflated(const struct stream *s)
{
	return s->squeeze != NULL && s->squeeze->deflate != NULL;
}

bool
stream_is_secure(const struct stream *s)
{
	return s->secure;
}

const char *
stream_tls_text(const struct stream *s)
{
	return stream_is_secure(s) ? tls_conn_text(s->tls) : NULL;
}

const char *
stream_tls_peer(const struct stream *s)
{
	return stream_is_secure(s) ? tls_conn_peer(s->tls) : NULL;
}

/* The texts are made late, which is not a change that anyone can see. */
static struct stream *
unconst(const struct stream *s)
{
	return (struct stream *)(uintptr_t)s;
}

const char *
stream_peer(const struct stream *s)
{
	struct seldom *r = seldom_of(unconst(s));

	if (r->peer == NULL)
		r->peer = sockname_peer(s->fd);
	return r->peer;
}

const char *
stream_local(const struct stream *s)
{
	struct seldom *r = seldom_of(unconst(s));

	if (r->local == NULL)
		r->local = sockname_local(s->fd);
	return r->local;
}

bool
stream_is_loopback(const struct stream *s)
{
	return sockname_is_loopback(s->fd);
}

const char *
stream_error(const struct stream *s)
{
	return s->seldom != NULL ? s->seldom->error : NULL;
}

uint64_t
stream_octets_in(const struct stream *s)
{
	return s->octets_in;
}

uint64_t
stream_octets_out(const struct stream *s)
{
	return s->octets_out;
}
