#define _GNU_SOURCE /* MSG_CMSG_CLOEXEC */
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/endpoint.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

enum {
	IPC_HEAD = 12, /* type, id */
	IPC_QUEUE_OCTETS = 8 * 1024 * 1024,
	IPC_QUEUE_FDS = 256,
	IPC_TURN = 64 /* messages before others have theirs */
};

#define IPC_MAGIC 0x19c0a7b3u

/* A message that the socket has not taken yet. */
struct queued {
	STAILQ_ENTRY(queued) entry;
	int fd; /* -1: none */
	size_t len;
	uint8_t octets[];
};

struct ipc {
	unsigned magic;
	int fd;
	struct loop *loop;
	struct io *io;
	ipc_cb *cb;
	void *arg;
	bool over;   /* the callee was told that the other side is gone */
	bool freed;  /* by the callee; memory goes at the end of the turn */
	bool broken; /* nothing more can be sent */
	STAILQ_HEAD(, queued) queue;
	size_t queued_octets, queued_fds;
	uint8_t in[IPC_HEAD + IPC_MAX];
};

/* Room for one descriptor's control message, aligned as it has to be. */
struct control {
	alignas(struct cmsghdr) char octets[CMSG_SPACE(sizeof(int))];
};

int
ipc_pair(int fds[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
	        0, fds) == -1)
		return err_sys(err, "socketpair");
	return 0;
}

int
ipc_connect(const char *path, struct err *err)
{
	struct endpoint a;
	int fd;

	if (endpoint_parse(&a, path, err) == -1)
		return -1;
	fd = socket(a.storage.ss_family, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return err_sys(err, "connecting to %s", path);
	if (connect(fd, (const struct sockaddr *)&a.storage, a.len) == -1 ||
	    fcntl(fd, F_SETFL, O_NONBLOCK) == -1) {
		err_sys(err, "connecting to %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

static void
interest(struct ipc *i)
{
	unsigned want = i->over ? 0 : IO_READ;

	if (!STAILQ_EMPTY(&i->queue) && !i->broken)
		want |= IO_WRITE;
	io_want(i->io, want);
}

static void
close_fd(int fd)
{
	if (fd != -1)
		close(fd);
}

static void
queue_shift(struct ipc *i)
{
	struct queued *q = STAILQ_FIRST(&i->queue);

	STAILQ_REMOVE_HEAD(&i->queue, entry);
	i->queued_octets -= sizeof(*q) + q->len;
	i->queued_fds -= q->fd != -1;
	close_fd(q->fd);
	free(q);
}

/* Sent: true.  Else errno. */
static bool
send_one(struct ipc *i, struct slice head, struct slice rest, int fd)
{
	/* The kernel only reads them, but has no const to say so. */
	struct iovec iov[] = { { (void *)(uintptr_t)head.ptr, head.len },
		{ (void *)(uintptr_t)rest.ptr, rest.len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = NITEMS(iov) };
	struct control control = { { 0 } };
	struct cmsghdr *c;
	ssize_t sent;

	if (fd != -1) {
		msg.msg_control = control.octets;
		msg.msg_controllen = sizeof(control.octets);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(int));
	}
	do
		sent = sendmsg(i->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent == -1 && errno == EINTR);
	return sent != -1;
}

/*
 * Too many descriptors on their way (ETOOMANYREFS) and no memory for the
 * message pass; anything else does not.
 */
static bool
passing(int errnum)
{
	return errnum == EAGAIN || errnum == EWOULDBLOCK || errnum == ENOBUFS ||
	       errnum == ENOMEM || errnum == ETOOMANYREFS;
}

static void
break_off(struct ipc *i)
{
	i->broken = true;
	while (!STAILQ_EMPTY(&i->queue))
		queue_shift(i);
}

static void
flush(struct ipc *i)
{
	struct queued *q;

	while ((q = STAILQ_FIRST(&i->queue)) != NULL) {
		if (!send_one(i, slice_of(q->octets, q->len), slice_of(NULL, 0),
		        q->fd)) {
			if (!passing(errno))
				break_off(i);
			return;
		}
		queue_shift(i);
	}
}

static void
say_over(struct ipc *i)
{
	break_off(i);
	i->over = true;
	interest(i);
	i->cb(i->arg, NULL);
}

/* The descriptor beside a message; -1 if there is none. */
static int
descriptor(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int fd = -1;

	if (c != NULL && c->cmsg_level == SOL_SOCKET &&
	    c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

/* One message, or the end: true if there may be more. */
static bool
receive(struct ipc *i)
{
	struct iovec iov = { i->in, sizeof(i->in) };
	struct control control;
	struct msghdr msg = { .msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.octets,
		.msg_controllen = sizeof(control.octets) };
	struct ipc_message m;
	struct wire w;
	ssize_t n = recvmsg(i->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	/*
	 * The other side closed with messages of ours unread.  What it sent
	 * before is still to come: the kernel tells of the reset first, once.
	 */
	if (n == -1 && (errno == EINTR || errno == ECONNRESET))
		return true;
	if (n < IPC_HEAD || (msg.msg_flags & MSG_TRUNC)) {
		close_fd(n > 0 ? descriptor(&msg) : -1);
		say_over(i);
		return false;
	}
	wire_init(&w, slice_of(i->in, (size_t)n));
	m.type = wire_u32(&w);
	m.id = wire_u64(&w);
	m.payload = w.rest;
	m.fd = descriptor(&msg);
	i->cb(i->arg, &m);
	return !i->freed;
}

static void
ready(void *arg, unsigned what)
{
	struct ipc *i = arg;

	MUST(i->magic == IPC_MAGIC);
	if (what & IO_WRITE)
		flush(i);
	if (what & IO_READ)
		for (int turn = 0; turn < IPC_TURN && receive(i); turn++)
			continue;
	if (!i->freed)
		interest(i);
}

struct ipc *
ipc_new(struct loop *l, int fd, ipc_cb *cb, void *arg)
{
	struct ipc *i = xmalloc(sizeof(*i));

	/* Not all zeroed: pages of the buffer come when they are needed. */
	memset(i, 0, offsetof(struct ipc, in));
	i->magic = IPC_MAGIC;
	i->fd = fd;
	i->loop = l;
	i->cb = cb;
	i->arg = arg;
	STAILQ_INIT(&i->queue);
	i->io = io_new(l, fd, ready, i);
	interest(i);
	return i;
}

static void
release(void *arg)
{
	free(arg);
}

void
ipc_free(struct ipc **ip)
{
	struct ipc *i = *ip;

	if (i == NULL)
		return;
	MUST(i->magic == IPC_MAGIC && !i->freed);
	break_off(i);
	io_free(&i->io);
	close(i->fd);
	i->freed = true;
	loop_at_end(i->loop, release, i);
	*ip = NULL;
}

/* False: the queue is full. */
static bool
enqueue(struct ipc *i, struct slice head, struct slice payload, int fd)
{
	size_t len = IPC_HEAD + payload.len;
	struct queued *q;

	if (i->queued_octets + sizeof(*q) + len > IPC_QUEUE_OCTETS ||
	    (fd != -1 && i->queued_fds >= IPC_QUEUE_FDS))
		return false;
	q = xmalloc(sizeof(*q) + len);
	q->fd = fd;
	q->len = len;
	memcpy(q->octets, head.ptr, IPC_HEAD);
	if (payload.len > 0)
		memcpy(q->octets + IPC_HEAD, payload.ptr, payload.len);
	STAILQ_INSERT_TAIL(&i->queue, q, entry);
	i->queued_octets += sizeof(*q) + len;
	i->queued_fds += fd != -1;
	return true;
}

bool
ipc_send(struct ipc *i, uint32_t type, uint64_t id, struct slice payload,
    int fd)
{
	bool sent = false;
	struct buf head;

	MUST(i->magic == IPC_MAGIC && !i->freed);
	MUST(payload.len <= IPC_MAX);
	buf_init(&head, IPC_HEAD);
	wire_put_u32(&head, type);
	wire_put_u64(&head, id);
	if (!i->broken && STAILQ_EMPTY(&i->queue)) {
		sent = send_one(i, buf_slice(&head), payload, fd);
		if (!sent && !passing(errno))
			break_off(i);
	}
	if (sent || i->broken) {
		close_fd(fd);
	} else {
		sent = enqueue(i, buf_slice(&head), payload, fd);
		if (!sent)
			close_fd(fd);
	}
	buf_fini(&head);
	interest(i);
	return sent;
}
