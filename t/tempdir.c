#define _XOPEN_SOURCE 700 /* nftw */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lib/must.h"
#include "t/tempdir.h"

#define SHM "/dev/shm"

enum {
	ROOM = 1 << 30 /* octets */
};

/*
 * In memory if there is room: what is synced here is never looked at after the
 * machine's end, and a disk is slow, the more so if others sync.
 */
static const char *
base_of(void)
{
	const char *base = getenv("TMPDIR");
	struct statvfs fs;

	if (base != NULL)
		return base;
	if (statvfs(SHM, &fs) == 0 && access(SHM, W_OK) == 0 &&
	    fs.f_bavail * fs.f_frsize >= ROOM)
		return SHM;
	return "/tmp";
}

void
tempdir_make(char dir[64])
{
	int n = snprintf(dir, 64, "%s/murder.XXXXXX", base_of());

	MUST(n > 0 && n < 64);
	MUST(mkdtemp(dir) != NULL);
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	(void)remove(path); /* what stays makes its directory stay */
	return 0;
}

void
tempdir_remove(const char *dir)
{
	(void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
