#define _XOPEN_SOURCE 700 /* nftw */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/must.h"
#include "t/tempdir.h"

void
tempdir_make(char dir[64])
{
	const char *base = getenv("TMPDIR");
	int n =
	    snprintf(dir, 64, "%s/murder.XXXXXX", base == NULL ? "/tmp" : base);

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
