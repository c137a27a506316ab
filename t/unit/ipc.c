/*
 * ipc: messages arrive whole, in order, once, with their descriptors; the end
 * is told once; a callback may free.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cdefs.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "t/tap.h"

enum {
	MANY = 500
};

struct side {
	struct loop *loop;
	struct ipc *ipc;
	struct side *other;
	unsigned got, ends;
	bool wrong;      /* a message was not as it had to be */
	bool frees;      /* itself, in the next callback */
	bool ends_other; /* at the next message */
	size_t len;      /* of the last message */
	int fd;          /* that came last, or -1 */
};

static uint8_t big[IPC_MAX];

static void
event(void *arg, const struct ipc_message *m)
{
	struct side *s = arg;

	if (m == NULL) {
		s->ends++;
		ipc_free(&s->ipc);
		loop_stop(s->loop);
		return;
	}
	s->wrong = s->wrong || m->type != 7 || m->id != s->got;
	s->wrong = s->wrong || memcmp(m->payload.ptr, big, m->payload.len) != 0;
	s->len = m->payload.len;
	s->got++;
	if (m->fd != -1) {
		if (s->fd != -1)
			close(s->fd);
		s->fd = m->fd;
	}
	if (s->frees) {
		ipc_free(&s->ipc);
		loop_stop(s->loop);
	}
	if (s->ends_other && s->got == MANY)
		ipc_free(&s->other->ipc);
}

static void
setup(struct side *a, struct side *b)
{
	struct err err;
	int fds[2];

	MUST(ipc_pair(fds, &err) == 0);
	*a = (struct side){ .loop = loop_new(), .other = b, .fd = -1 };
	*b = (struct side){ .loop = a->loop, .other = a, .fd = -1 };
	a->ipc = ipc_new(a->loop, fds[0], event, a);
	b->ipc = ipc_new(b->loop, fds[1], event, b);
}

static void
teardown(struct side *a, struct side *b)
{
	ipc_free(&a->ipc);
	ipc_free(&b->ipc);
	loop_free(&a->loop);
	if (b->fd != -1)
		close(b->fd);
}

/* More than a socket takes: the rest is queued, and all of it arrives. */
static void
test_many(size_t octets)
{
	struct side a, b;
	bool sent = true;

	setup(&a, &b);
	for (uint64_t i = 0; i < MANY; i++) {
		size_t n = octets == 0 ? i : octets;

		if (n * MANY > 6 * 1024 * 1024 && i >= 100)
			break;
		sent = sent && ipc_send(a.ipc, 7, i, slice_of(big, n), -1);
		a.got++;
	}
	ok(sent, "all are taken");
	b.other = &a;
	b.ends_other = true;
	if (a.got < MANY) {
		/* Make up the number that ends it. */
		while (a.got < MANY)
			MUST(
			    ipc_send(a.ipc, 7, a.got++, slice_of(NULL, 0), -1));
	}
	loop_run(a.loop);
	ok(b.got == MANY && !b.wrong, "in order, as they were");
	ok(b.ends == 1 && b.ipc == NULL, "then the end, once");
	teardown(&a, &b);
}

static void
test_ceiling(void)
{
	struct side a, b;
	uint64_t n = 0;

	setup(&a, &b);
	while (ipc_send(a.ipc, 7, n, slice_of(big, IPC_MAX), -1))
		n++;
	ok(n > 100 && n < 1000, "a queue has an end");
	b.ends_other = false;
	b.frees = true;
	loop_run(a.loop);
	ok(b.got == 1 && b.len == IPC_MAX, "a callback may free");
	teardown(&a, &b);
}

static void
test_descriptor(void)
{
	struct side a, b;
	int fds[2];
	char c = 0;

	setup(&a, &b);
	MUST(pipe(fds) == 0);
	ok(ipc_send(a.ipc, 7, 0, slice_of(big, 1), fds[1]), "sent");
	b.frees = true;
	loop_run(a.loop);
	ok(b.got == 1 && b.fd != -1, "a descriptor came");
	ok(write(b.fd, "x", 1) == 1 && read(fds[0], &c, 1) == 1 && c == 'x',
	    "and is what was sent");
	close(b.fd);
	b.fd = -1;
	ok(read(fds[0], &c, 1) == 0, "ours was closed");
	close(fds[0]);
	teardown(&a, &b);
}

/* The descriptors of messages that are never sent are closed too. */
static void
test_gone(void)
{
	struct side a, b;
	int fds[2];
	char c;

	setup(&a, &b);
	MUST(pipe(fds) == 0);
	ipc_free(&b.ipc);
	ok(!ipc_send(a.ipc, 7, 0, slice_of(big, 1), fds[1]), "refused");
	ok(read(fds[0], &c, 1) == 0, "and closed");
	ok(!ipc_send(a.ipc, 7, 1, slice_of(big, 1), -1), "again");
	ok(a.ends == 0, "not told from inside");
	loop_run(a.loop);
	ok(a.ends == 1, "but told");
	close(fds[0]);
	teardown(&a, &b);
}

/* Who goes without having read everything is heard all the same. */
static void
test_last_words(void)
{
	struct side a, b;

	setup(&a, &b);
	ok(ipc_send(a.ipc, 7, 0, slice_of(big, 1), -1), "never read");
	ok(ipc_send(b.ipc, 7, 0, slice_of(big, 5), -1), "last words");
	ipc_free(&b.ipc);
	loop_run(a.loop);
	ok(a.got == 1 && a.len == 5 && !a.wrong, "are heard");
	ok(a.ends == 1, "before the end");
	teardown(&a, &b);
}

/* A tool, perhaps, of another version: it is as if it had gone. */
static void
test_no_message(void)
{
	struct side a, b;
	uint8_t much[IPC_MAX + 64] = { 0 };
	const size_t lengths[] = { 5, sizeof(much) };

	for (size_t i = 0; i < NITEMS(lengths); i++) {
		int fds[2];
		struct err err;

		setup(&a, &b);
		ipc_free(&a.ipc);
		ipc_free(&b.ipc);
		MUST(ipc_pair(fds, &err) == 0);
		a.ipc = ipc_new(a.loop, fds[0], event, &a);
		MUST(send(fds[1], much, lengths[i], 0) == (ssize_t)lengths[i]);
		loop_run(a.loop);
		ok(a.got == 0 && a.ends == 1, "%zu octets are none",
		    lengths[i]);
		close(fds[1]);
		teardown(&a, &b);
	}
}

int
main(void)
{
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 31 >> 3);
	test_many(0);
	test_many(1);
	test_many(IPC_MAX);
	test_ceiling();
	test_descriptor();
	test_gone();
	test_last_words();
	test_no_message();
	return done_testing();
}
