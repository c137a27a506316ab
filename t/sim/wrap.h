/*
 * wrap: the calls of the product that are not its own modules', replaced at
 * link time (ld's --wrap; GNUmakefile lists the names).  Descriptors and paths
 * that are not the simulator's go on to the kernel.
 */
#ifndef T_SIM_WRAP_H
#define T_SIM_WRAP_H

#include <dirent.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "lib/cdefs.h"

/* name, result, parameters: __wrap_name is ours, __real_name theirs. */
#define WRAPPED(type, name, params) \
	type __wrap_##name params;  \
	type __real_##name params

WRAPPED(void, free, (void *p));
void __wrap_exit(int status) NORETURN;

WRAPPED(int, close, (int fd));
WRAPPED(int, fcntl, (int fd, int command, ...));

WRAPPED(ssize_t, recv, (int fd, void *p, size_t n, int flags));
WRAPPED(ssize_t, send, (int fd, const void *p, size_t n, int flags));
WRAPPED(int, shutdown, (int fd, int how));
WRAPPED(int, setsockopt,
    (int fd, int level, int name, const void *value, socklen_t len));
WRAPPED(int, getpeername, (int fd, struct sockaddr *a, socklen_t *len));
WRAPPED(int, getsockname, (int fd, struct sockaddr *a, socklen_t *len));

WRAPPED(int, open, (const char *path, int flags, ...));
WRAPPED(int, openat, (int dirfd, const char *path, int flags, ...));
WRAPPED(ssize_t, pread, (int fd, void *p, size_t n, off_t at));
WRAPPED(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at));
WRAPPED(int, ftruncate, (int fd, off_t size));
WRAPPED(int, posix_fallocate, (int fd, off_t at, off_t n));
WRAPPED(int, fsync, (int fd));
WRAPPED(int, fdatasync, (int fd));
WRAPPED(int, fstat, (int fd, struct stat *st));
WRAPPED(int, flock, (int fd, int operation));
WRAPPED(int, mkdir, (const char *path, mode_t mode));
WRAPPED(int, unlink, (const char *path));
WRAPPED(int, unlinkat, (int dirfd, const char *path, int flags));
WRAPPED(DIR *, fdopendir, (int fd));
WRAPPED(struct dirent *, readdir, (DIR * d));
WRAPPED(int, closedir, (DIR * d));

#endif
