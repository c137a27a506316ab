/*
 * fd: the simulator's descriptors, and close() and fcntl() of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>

#include "lib/must.h"
#include "t/sim/disk.h"
#include "t/sim/loop.h"
#include "t/sim/net.h"
#include "t/sim/wrap.h"

enum {
	BASE = 1 << 20, /* beyond what the kernel gives */
	MAX = 1 << 16   /* of a run; a number is not used again */
};

static struct {
	enum fd_kind kind;
	void *object;
	struct io *io;
} fds[MAX];

static int last;

int
fd_new(enum fd_kind kind, void *object)
{
	MUST(last < MAX && object != NULL);
	fds[last].kind = kind;
	fds[last].object = object;
	return BASE + last++;
}

enum fd_kind
fd_kind(int fd)
{
	if (fd < BASE)
		return FD_NONE;
	MUST(fd - BASE < last && fds[fd - BASE].kind != FD_NONE);
	return fds[fd - BASE].kind;
}

void *
fd_object(int fd, enum fd_kind kind)
{
	MUST(fd_kind(fd) == kind);
	return fds[fd - BASE].object;
}

struct io *
fd_io(int fd)
{
	return fd < BASE ? NULL : fds[fd - BASE].io;
}

void
net_watch(int fd, struct io *io)
{
	MUST(fd >= BASE && fd - BASE < last);
	fds[fd - BASE].io = io;
}

void
fd_free(int fd)
{
	MUST(fd_kind(fd) != FD_NONE);
	fds[fd - BASE].kind = FD_NONE;
	fds[fd - BASE].io = NULL;
}

int
__wrap_close(int fd)
{
	switch (fd_kind(fd)) {
	case FD_NONE:
		return __real_close(fd);
	case FD_SOCKET:
		side_close(fd_object(fd, FD_SOCKET));
		return 0;
	case FD_FILE:
	case FD_DIR:
		disk_close(fd);
		return 0;
	case FD_PIPE:
		pipe_close(fd_object(fd, FD_PIPE));
		return 0;
	case FD_LISTEN:
		fd_free(fd);
		return 0;
	}
	return 0;
}

int
__wrap_fcntl(int fd, int command, ...)
{
	va_list ap;
	int arg;

	va_start(ap, command);
	arg = va_arg(ap, int);
	va_end(ap);
	if (fd_kind(fd) == FD_NONE)
		return __real_fcntl(fd, command, arg);
	return command == F_GETFL ? O_RDWR : 0;
}
