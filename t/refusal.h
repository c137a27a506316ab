/*
 * refusal: a disk that refuses to hold anything while a test says so.  It is
 * fdatasync() of the whole program; to be included once in it.
 */
#ifndef T_REFUSAL_H
#define T_REFUSAL_H

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_bool disk_refuses;
int fdatasync(int fd);

int
fdatasync(int fd)
{
	if (atomic_load(&disk_refuses)) {
		errno = EIO;
		return -1;
	}
	return fsync(fd);
}

#endif
