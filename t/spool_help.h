/*
 * spool_help: the files of a spool's mailboxes, and what goes wrong with them.
 */
#ifndef T_SPOOL_HELP_H
#define T_SPOOL_HELP_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/must.h"

enum {
	SPOOL_FILE_ROOM = SPOOL_PATH + 80
};

/* dir: the spool's; 64 octets at the most. */
static inline void
spool_file(char path[SPOOL_FILE_ROOM], const char *dir, const char *id,
    enum spool_file file)
{
	char below[SPOOL_PATH];

	spool_path(below, id, file, 0);
	snprintf(path, SPOOL_FILE_ROOM, "%s/%s", dir, below);
}

/* Another bit in the octet at this place; done twice it is as before. */
static inline void
spool_flip(const char *dir, const char *id, enum spool_file file, off_t at)
{
	char path[SPOOL_FILE_ROOM];
	uint8_t c;
	int fd;

	spool_file(path, dir, id, file);
	fd = open(path, O_RDWR);
	MUST(fd != -1 && pread(fd, &c, 1, at) == 1);
	c ^= 0x10;
	MUST(pwrite(fd, &c, 1, at) == 1);
	close(fd);
}

#endif
