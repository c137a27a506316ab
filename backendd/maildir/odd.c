/*
 * Names that other programs, or who restores a backup, give to files, and that
 * no message can have here.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"

int
md_odd_compare(const void *a, const void *b)
{
	const struct md_entry *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c != 0 ? c : (int)y->is_new - (int)x->is_new;
}

static void
path_of(char path[MD_FILE], const struct md_entry *e)
{
	if (e->is_new || e->is_odd)
		md_file_in(path, e->is_new ? "new" : "cur", e->name);
	else
		md_file(path, e->name, e->letters);
}

static bool
rename_one(int dirfd, const struct md_entry *e, int64_t now)
{
	char from[MD_FILE], to[MD_FILE], name[MD_NAME + 1];

	path_of(from, e);
	md_make_name(name, now);
	md_file(to, name, e->letters);
	return renameat(dirfd, from, dirfd, to) == 0;
}

/* Two files, not one that was listed under both its names on its way? */
static bool
are_two(int dirfd, const struct md_entry *a, const struct md_entry *b)
{
	char path[MD_FILE], other[MD_FILE];
	struct stat x, y;

	path_of(path, a);
	path_of(other, b);
	return strcmp(path, other) != 0 &&
	       fstatat(dirfd, path, &x, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(dirfd, other, &y, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (x.st_ino != y.st_ino || x.st_dev != y.st_dev);
}

/* The one that is a message already has that name. */
static bool
is_known(const struct index *x, const struct md_entry *e)
{
	for (size_t i = 0; i < x->n; i++)
		if (strcmp(x->msgs[i].name, e->name) == 0)
			return !e->is_new &&
			       x->msgs[i].m.place[0] == e->letters;
	return false;
}

bool
md_odd_mend(int dirfd, const struct index *x, const struct md_listing *l,
    int64_t now)
{
	bool any = false;

	for (size_t i = 0; i < l->n && l->nodd > 0; i++)
		if (l->at[i].is_odd)
			any |= rename_one(dirfd, &l->at[i], now);
	for (size_t i = 1; i < l->n; i++) {
		const struct md_entry *a = &l->at[i - 1], *b = &l->at[i];

		if (strcmp(a->name, b->name) == 0 && are_two(dirfd, a, b))
			any |= rename_one(dirfd,
			    a->is_new || is_known(x, b) ? a : b, now);
	}
	return any;
}
