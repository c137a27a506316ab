/*
 * Files get the places that a record says, any number of times over.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"

enum {
	TRIES = 3 /* of what another program renames meanwhile */
};

/* Over nothing: another of that name gets one of its own (odd.c). */
static int
rename_over_none(int dirfd, const char *from, const char *to)
{
	if (faccessat(dirfd, to, F_OK, 0) == 0)
		return 0;
	return renameat(dirfd, from, dirfd, to);
}

/*
 * Gone from where it was: then another program has it removed, or taken to cur
 * with flags of its own, which the next look sees.
 */
static int
move_file(int dirfd, const char *from, const char *name, const char *to,
    struct err *err)
{
	char other[MD_FILE];

	if (rename_over_none(dirfd, from, to) == 0)
		return 0;
	if (errno != ENOENT)
		return err_sys(err, "renaming %s", from);
	if (!md_locate(dirfd, name, other) || strncmp(other, "cur/", 4) == 0)
		return 0;
	if (rename_over_none(dirfd, other, to) == -1 && errno != ENOENT)
		return err_sys(err, "renaming %s", other);
	return 0;
}

/*
 * First another name, then, when that is synced, the first goes: a disk may
 * remember the one directory of a rename and not the other.
 */
static int
settle_draft(int dirfd, const char *from, const struct md_item *item,
    const char *to, struct err *err)
{
	if (linkat(dirfd, from, dirfd, to, 0) == 0 || errno == EEXIST)
		return 0;
	if (errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK)
		return move_file(dirfd, from, item->name, to, err);
	/* Done before, and perhaps renamed since. */
	if (errno == ENOENT)
		return 0;
	return err_sys(err, "linking %s", from);
}

static int
settle_add(int dirfd, const struct md_item *item, struct err *err)
{
	char from[MD_FILE], to[MD_FILE];

	if (item->where == MD_IN_CUR)
		return 0;
	md_file_in(from, item->where == MD_IN_TMP ? "tmp" : "new", item->name);
	md_file(to, item->name, item->msg.m.place[0]);
	if (item->where == MD_IN_TMP)
		return settle_draft(dirfd, from, item, to, err);
	return move_file(dirfd, from, item->name, to, err);
}

static void
drop_draft(int dirfd, const struct md_item *item)
{
	char path[MD_FILE];

	if (item->tag != MD_ADD || item->where != MD_IN_TMP)
		return;
	md_file_in(path, "tmp", item->name);
	/* What stays there is nobody's, and goes with time. */
	unlinkat(dirfd, path, 0);
}

/* What another program has changed meanwhile stays, and the next look sees it. */
static int
merge_flags(int dirfd, const char *name, const struct md_item *item,
    struct err *err)
{
	uint64_t now = item->msg.m.place[0], letters;
	char from[MD_FILE], to[MD_FILE];
	const char *info;

	for (unsigned i = 0; i < TRIES && md_locate(dirfd, name, from); i++) {
		info = strstr(from, ":2,");
		letters = info != NULL ? md_letters_of(slice_str(info + 3)) : 0;
		letters = (letters | (now & ~item->was)) & ~(item->was & ~now);
		md_file(to, name, letters);
		if (strcmp(from, to) == 0 ||
		    renameat(dirfd, from, dirfd, to) == 0)
			return 0;
		if (errno == ENAMETOOLONG)
			return 0; /* theirs are too many */
		if (errno != ENOENT)
			return err_sys(err, "renaming %s", from);
	}
	return 0;
}

static int
settle_flags(int dirfd, const struct index *x, const struct md_item *item,
    struct err *err)
{
	const struct md_msg *m = md_index_find(x, item->msg.m.uid);
	char from[MD_FILE], to[MD_FILE];

	if (m == NULL || item->was == item->msg.m.place[0])
		return 0;
	md_file(from, m->name, item->was);
	md_file(to, m->name, item->msg.m.place[0]);
	if (renameat(dirfd, from, dirfd, to) == 0)
		return 0;
	return errno == ENOENT || errno == ENAMETOOLONG
	           ? merge_flags(dirfd, m->name, item, err)
	           : err_sys(err, "renaming %s", from);
}

static int
settle_expunge(int dirfd, const struct index *x, const struct md_item *item,
    struct err *err)
{
	const struct md_msg *m = md_index_find(x, item->msg.m.uid);
	char path[MD_FILE];

	if (m == NULL || !item->unlink)
		return 0;
	md_file(path, m->name, m->m.place[0]);
	for (unsigned i = 0; i < TRIES; i++) {
		if (unlinkat(dirfd, path, 0) == 0)
			return 0;
		if (errno != ENOENT)
			return err_sys(err, "removing %s", path);
		if (!md_locate(dirfd, m->name, path))
			return 0;
	}
	return 0;
}

int
md_index_settle(int dirfd, const struct index *x, struct slice record,
    struct err *err)
{
	struct md_item item;
	bool any = false;
	struct wire w;
	int result = 0;

	wire_init(&w, record);
	while (result == 0 && md_item(&w, &item)) {
		any |= item.tag == MD_ADD || item.tag == MD_FLAGS ||
		       item.tag == MD_EXPUNGE;
		if (item.tag == MD_ADD)
			result = settle_add(dirfd, &item, err);
		else if (item.tag == MD_FLAGS)
			result = settle_flags(dirfd, x, &item, err);
		else if (item.tag == MD_EXPUNGE)
			result = settle_expunge(dirfd, x, &item, err);
	}
	if (result == 0 && any)
		result = md_sync_dir(dirfd, "cur", err);
	wire_init(&w, record);
	while (result == 0 && md_item(&w, &item))
		drop_draft(dirfd, &item);
	return result;
}
