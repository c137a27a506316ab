#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/list.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/sim/loop.h"
#include "t/sim/net.h"
#include "t/sim/wrap.h"

enum {
	AGAIN_LEAST = 100 * MS, /* until what did not come is sent again */
	AGAIN_MOST = 400 * MS,
	PORT = 3905
};

enum what {
	WHAT_OCTETS,
	WHAT_END,  /* FIN */
	WHAT_BREAK /* RST */
};

/* On its way, in order. */
struct segment {
	STAILQ_ENTRY(segment) link;
	enum what what;
	int64_t at;   /* not before */
	int64_t sent; /* for those that cannot come through */
	size_t len;
	uint8_t octets[];
};

STAILQ_HEAD(segments, segment);

/* Of a connection: what comes to it. */
struct side {
	struct conn *conn;
	struct side *other;
	struct proc *proc; /* NULL: closed */
	unsigned host;
	int fd;
	bool vanished; /* its machine lost power: nobody answers */
	bool ended;    /* it has sent its FIN */
	bool end_came;
	int error; /* errno of the next call */
	struct segments coming;
	size_t coming_octets;
	int64_t last_at;
	struct event arrival;
	uint8_t *here; /* arrived, not read */
	size_t here_at, here_len, here_max;
};

struct conn {
	LIST_ENTRY(conn) link;
	struct side sides[2];
	size_t window;    /* octets on their way and not read, one direction */
	int64_t patience; /* then it breaks */
	int64_t cut_at;   /* what is sent from then on meets no one; 0: none */
	bool over;
};

static struct {
	LIST_HEAD(, conn) conns;
	bool parted[NET_HOSTS][NET_HOSTS], down[NET_HOSTS];
	int64_t base, slow;
} net;

void
net_begin(void)
{
	memset(&net, 0, sizeof(net));
	LIST_INIT(&net.conns);
	net.base = world_between(20, 400);
}

/* --- between hosts --------------------------------------------------------- */

void
net_part(unsigned a, unsigned b, bool parted)
{
	net.parted[a][b] = net.parted[b][a] = parted;
}

bool
net_is_parted(unsigned a, unsigned b)
{
	return net.parted[a][b];
}

void
net_host_up(unsigned host, bool up)
{
	net.down[host] = !up;
}

bool
net_host_is_up(unsigned host)
{
	return !net.down[host];
}

void
net_slow(int64_t us)
{
	net.slow = us;
}

int64_t
net_delay(unsigned a, unsigned b)
{
	int64_t us = net.base + world_between(0, net.base);

	if (a == b)
		return world_between(5, 40);
	if (world_chance(15))
		us += world_between(MS, 40 * MS);
	if (net.slow > 0)
		us += world_between(0, net.slow);
	return us;
}

static bool
blocked(const struct side *to)
{
	return net.parted[to->host][to->other->host] || net.down[to->host] ||
	       net.down[to->other->host];
}

/* --- the end of a connection ----------------------------------------------- */

static void
poke(struct side *s)
{
	if (s->proc != NULL && fd_io(s->fd) != NULL)
		io_look(fd_io(s->fd));
}

static void
drop_coming(struct side *s)
{
	struct segment *seg;

	while ((seg = STAILQ_FIRST(&s->coming)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->coming, link);
		free(seg);
	}
	s->coming_octets = 0;
	event_stop(&s->arrival);
}

static void
conn_free(void *arg)
{
	struct conn *c = arg;

	for (int i = 0; i < 2; i++) {
		drop_coming(&c->sides[i]);
		free(c->sides[i].here);
	}
	LIST_REMOVE(c, link);
	free(c);
}

/* Both ends are gone: nothing can be noticed of it any more. */
static void
settle(struct conn *c)
{
	if (c->over || c->sides[0].proc != NULL || c->sides[1].proc != NULL)
		return;
	c->over = true;
	world_later(0, conn_free, c);
}

static void
break_side(struct side *s, int error)
{
	drop_coming(s);
	if (s->error == 0)
		s->error = error;
	poke(s);
}

/* --- on the way ------------------------------------------------------------ */

static void
next_arrival(struct side *s)
{
	struct segment *seg = STAILQ_FIRST(&s->coming);

	if (seg != NULL && !event_is_set(&s->arrival))
		event_set(&s->arrival, seg->at - world_now());
}

static void
put_coming(struct side *to, enum what what, const void *p, size_t n)
{
	struct proc *was = proc_leave();
	struct segment *seg = xmalloc(sizeof(*seg) + n);
	int64_t at = world_now() + net_delay(to->other->host, to->host);

	*seg = (struct segment){ .what = what,
		.at = at > to->last_at ? at : to->last_at,
		.sent = world_now(),
		.len = n };
	if (n > 0)
		memcpy(seg->octets, p, n);
	to->last_at = seg->at;
	to->coming_octets += n;
	STAILQ_INSERT_TAIL(&to->coming, seg, link);
	next_arrival(to);
	proc_return(was);
}

static void
take_octets(struct side *s, const struct segment *seg)
{
	if (s->here_at > 0 &&
	    s->here_at + s->here_len + seg->len > s->here_max) {
		memmove(s->here, s->here + s->here_at, s->here_len);
		s->here_at = 0;
	}
	if (s->here_len + seg->len > s->here_max) {
		s->here_max = (s->here_len + seg->len) * 2;
		s->here = xrealloc(s->here, s->here_max);
	}
	memcpy(s->here + s->here_at + s->here_len, seg->octets, seg->len);
	s->here_len += seg->len;
}

/* The sender tries until it has had enough of it. */
static void
try_again(struct side *s, const struct segment *seg)
{
	if (world_now() - seg->sent > s->conn->patience) {
		drop_coming(s);
		break_side(s->other, ETIMEDOUT);
		return;
	}
	event_set(&s->arrival, world_between(AGAIN_LEAST, AGAIN_MOST));
}

static void
arrived(void *arg)
{
	struct side *s = arg;
	struct segment *seg = STAILQ_FIRST(&s->coming);

	if (blocked(s)) {
		try_again(s, seg);
		return;
	}
	if (s->proc == NULL ||
	    (s->conn->cut_at > 0 && seg->what != WHAT_BREAK &&
	        seg->sent >= s->conn->cut_at)) {
		/* Nobody is there, and the host says so. */
		if (seg->what != WHAT_BREAK)
			break_side(s->other, ECONNRESET);
		drop_coming(s);
		return;
	}
	STAILQ_REMOVE_HEAD(&s->coming, link);
	s->coming_octets -= seg->len;
	switch (seg->what) {
	case WHAT_OCTETS:
		take_octets(s, seg);
		break;
	case WHAT_END:
		s->end_came = true;
		break;
	case WHAT_BREAK:
		break_side(s, ECONNRESET);
		break;
	}
	free(seg);
	poke(s);
	next_arrival(s);
}

/* --- making and closing ---------------------------------------------------- */

static void
side_init(struct conn *c, int i, struct proc *p)
{
	struct side *s = &c->sides[i];

	s->conn = c;
	s->other = &c->sides[1 - i];
	s->proc = p;
	s->host = p->host;
	STAILQ_INIT(&s->coming);
	s->arrival.fn = arrived;
	s->arrival.arg = s;
	s->fd = fd_new(FD_SOCKET, s);
}

void
net_connect(struct proc *from, struct proc *to, int fds[2])
{
	struct proc *was = proc_leave();
	struct conn *c = xcalloc(1, sizeof(*c));

	c->window = (size_t)1 << world_between(10, 17);
	c->patience = world_between(10 * SECOND, 40 * SECOND);
	side_init(c, 0, from);
	side_init(c, 1, to);
	LIST_INSERT_HEAD(&net.conns, c, link);
	fds[0] = c->sides[0].fd;
	fds[1] = c->sides[1].fd;
	proc_return(was);
}

/* What is unread makes it a break, as in a kernel. */
void
side_close(struct side *s)
{
	bool unread = s->here_len > 0;

	MUST(s->proc != NULL);
	fd_free(s->fd);
	s->proc = NULL;
	if (s->other->proc != NULL && s->error == 0) {
		if (unread)
			put_coming(s->other, WHAT_BREAK, NULL, 0);
		else if (!s->ended)
			put_coming(s->other, WHAT_END, NULL, 0);
	}
	s->ended = true;
	settle(s->conn);
}

/* Some of what is on its way is lost, from somewhere on. */
static void
lose_some(struct side *s)
{
	struct segments kept = STAILQ_HEAD_INITIALIZER(kept);
	struct segment *seg;

	while ((seg = STAILQ_FIRST(&s->coming)) != NULL && world_chance(500)) {
		STAILQ_REMOVE_HEAD(&s->coming, link);
		STAILQ_INSERT_TAIL(&kept, seg, link);
	}
	drop_coming(s);
	STAILQ_CONCAT(&s->coming, &kept);
	STAILQ_FOREACH(seg, &s->coming, link)
	s->coming_octets += seg->len;
	next_arrival(s);
}

static void
side_vanish(struct side *s)
{
	fd_free(s->fd);
	s->proc = NULL;
	s->vanished = true;
	lose_some(s->other);
	settle(s->conn);
}

void
net_died(struct proc *p, enum death how)
{
	struct conn *c, *next;

	for (c = LIST_FIRST(&net.conns); c != NULL; c = next) {
		next = LIST_NEXT(c, link);
		for (int i = 0; i < 2; i++) {
			struct side *s = &c->sides[i];

			if (s->proc != p)
				continue;
			if (how == DEATH_POWER)
				side_vanish(s);
			else
				side_close(s);
		}
	}
	listener_died(p);
	pipe_died(p);
}

static void
cut(struct conn *c)
{
	c->cut_at = world_now();
	for (int i = 0; i < 2; i++) {
		struct side *s = &c->sides[i];

		if (s->proc == NULL)
			continue;
		lose_some(s);
		/* One side may not hear of it before it says something. */
		if (world_chance(800))
			put_coming(s, WHAT_BREAK, NULL, 0);
	}
}

void
net_cut(unsigned a, unsigned b)
{
	struct conn *c, *chosen = NULL;
	uint64_t n = 0;

	LIST_FOREACH(c, &net.conns, link)
	{
		bool between =
		    (c->sides[0].host == a && c->sides[1].host == b) ||
		    (c->sides[0].host == b && c->sides[1].host == a);

		if (between && !c->over && c->cut_at == 0 &&
		    world_below(++n) == 0)
			chosen = c;
	}
	if (chosen != NULL)
		cut(chosen);
}

/* --- calls ----------------------------------------------------------------- */

static size_t
room(const struct side *s)
{
	size_t used = s->other->coming_octets + s->other->here_len;

	return used < s->conn->window ? s->conn->window - used : 0;
}

unsigned
net_ready(int fd)
{
	struct side *s;
	unsigned ready = 0;

	if (fd_kind(fd) != FD_SOCKET)
		return 0;
	s = fd_object(fd, FD_SOCKET);
	if (s->error != 0)
		return IO_READ | IO_WRITE;
	if (s->here_len > 0 || s->end_came)
		ready |= IO_READ;
	if (room(s) > 0)
		ready |= IO_WRITE;
	return ready;
}

static int
fails(struct side *s)
{
	errno = s->error;
	return -1;
}

ssize_t
__wrap_recv(int fd, void *p, size_t n, int flags)
{
	struct side *s;

	if (fd_kind(fd) == FD_NONE)
		return __real_recv(fd, p, n, flags);
	s = fd_object(fd, FD_SOCKET);
	if (s->here_len == 0 && s->error != 0)
		return fails(s);
	if (s->here_len == 0 && s->end_came)
		return 0;
	if (s->here_len == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (n > s->here_len)
		n = s->here_len;
	if (n > 1 && world_chance(60))
		n = (size_t)world_between(1, (int64_t)n);
	memcpy(p, s->here + s->here_at, n);
	s->here_at += n;
	s->here_len -= n;
	poke(s->other); /* it may send more */
	return (ssize_t)n;
}

ssize_t
__wrap_send(int fd, const void *p, size_t n, int flags)
{
	struct side *s;
	size_t first;

	if (fd_kind(fd) == FD_NONE)
		return __real_send(fd, p, n, flags);
	s = fd_object(fd, FD_SOCKET);
	if (s->error != 0)
		return fails(s);
	if (s->ended) {
		errno = EPIPE;
		return -1;
	}
	if (room(s) == 0) {
		errno = EAGAIN;
		return -1;
	}
	if (n > room(s))
		n = room(s);
	if (n > 1 && world_chance(30))
		n = (size_t)world_between(1, (int64_t)n);
	first = n;
	if (n > 1 && world_chance(100))
		first = (size_t)world_between(1, (int64_t)n - 1);
	put_coming(s->other, WHAT_OCTETS, p, first);
	if (first < n)
		put_coming(s->other, WHAT_OCTETS, (const char *)p + first,
		    n - first);
	return (ssize_t)n;
}

int
__wrap_shutdown(int fd, int how)
{
	struct side *s;

	if (fd_kind(fd) == FD_NONE)
		return __real_shutdown(fd, how);
	s = fd_object(fd, FD_SOCKET);
	MUST(how == SHUT_WR);
	if (!s->ended && s->error == 0)
		put_coming(s->other, WHAT_END, NULL, 0);
	s->ended = true;
	return 0;
}

int
__wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (fd_kind(fd) == FD_NONE)
		return __real_setsockopt(fd, level, name, value, len);
	return 0;
}

static int
address_of(unsigned host, struct sockaddr *a, socklen_t *len)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
		.sin_port = htons(PORT),
		.sin_addr.s_addr = htonl(0x0a000001u + host) };

	MUST(*len >= sizeof(in));
	memcpy(a, &in, sizeof(in));
	*len = sizeof(in);
	return 0;
}

int
__wrap_getpeername(int fd, struct sockaddr *a, socklen_t *len)
{
	if (fd_kind(fd) == FD_NONE)
		return __real_getpeername(fd, a, len);
	return address_of(((struct side *)fd_object(fd, FD_SOCKET))
	                      ->other->host,
	    a, len);
}

int
__wrap_getsockname(int fd, struct sockaddr *a, socklen_t *len)
{
	if (fd_kind(fd) == FD_NONE)
		return __real_getsockname(fd, a, len);
	return address_of(((struct side *)fd_object(fd, FD_SOCKET))->host, a,
	    len);
}
