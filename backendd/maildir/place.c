/*
 * Directories of mailboxes that make room.  That of a mailbox below an INBOX
 * is renamed; an INBOX has those others within, and only what is its own goes.
 * That it is to go is written down before, so that it goes whole or not at
 * all.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/must.h"

#define ROOT "root" /* there: the path it comes from */

static const char *const own[] = { MD_MAILBOX, "cur", "new", "tmp", MD_INDEX,
	MD_CACHE, "dovecot-uidlist", "dovecot-keywords" };

/* Those that are not there are no error. */
static int
move_own(int rootfd, const char *from, const char *to, struct err *err)
{
	char a[MD_PATH + 32], b[MD_PATH + 32];

	for (size_t i = 0; i < NITEMS(own); i++) {
		snprintf(a, sizeof a, "%s/%s", from, own[i]);
		snprintf(b, sizeof b, "%s/%s", to, own[i]);
		if (renameat(rootfd, a, rootfd, b) == -1 && errno != ENOENT)
			return err_sys(err, "renaming %s", a);
	}
	if (md_sync_dir(rootfd, to, err) == -1)
		return -1;
	return md_sync_dir(rootfd, from, err);
}

static int
write_root(int rootfd, const char *to, const char *path, struct err *err)
{
	int fd, result;

	if (md_mkdir(rootfd, to, err) == -1 ||
	    md_sync_parents(rootfd, to, err) == -1)
		return -1;
	fd = openat(rootfd, to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(err, "opening %s", to);
	result = md_replace(fd, ROOT, slice_str(path), err);
	close(fd);
	return result;
}

static int
empty_root(int rootfd, const char *path, const char *to, struct err *err)
{
	char root[MD_PATH + 16];
	struct err other;

	if (write_root(rootfd, to, path, err) == 0 &&
	    move_own(rootfd, path, to, err) == 0)
		return 0;
	/* As it was; if that cannot be, the next start makes an end of it. */
	snprintf(root, sizeof root, "%s/" ROOT, to);
	if (move_own(rootfd, to, path, &other) == 0)
		unlinkat(rootfd, root, 0);
	return -1;
}

static int
rename_whole(int rootfd, const char *path, const char *to, struct err *err)
{
	if (renameat(rootfd, path, rootfd, to) == -1)
		return errno == ENOENT ? 0 : err_sys(err, "renaming %s", path);
	if (md_sync_parents(rootfd, to, err) == 0 &&
	    md_sync_parents(rootfd, path, err) == 0)
		return 0;
	if (renameat(rootfd, to, rootfd, path) == -1)
		return err_sys(err, "renaming %s", to);
	return -1;
}

bool
md_place_is_inbox(const char *path)
{
	const char *last = strrchr(path, '/');

	last = last != NULL ? last + 1 : path;
	return last[0] != '.' && strncmp(path, "./.by-id/", 9) != 0 &&
	       strncmp(path, ".by-id/", 7) != 0;
}

int
md_place_out(int rootfd, const char *path, const char *to, struct err *err)
{
	return md_place_is_inbox(path) ? empty_root(rootfd, path, to, err)
	                               : rename_whole(rootfd, path, to, err);
}

/* false: another has been made there since, or it is not there. */
static bool
is_still(int rootfd, const char *path, const char *id)
{
	int fd = openat(rootfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool missing = false, same = false;
	struct md_note note;
	struct err err;

	if (fd == -1)
		return false;
	if (md_note_read(fd, &note, &missing, &err) == 0) {
		same = strcmp(note.id, id) == 0;
		buf_fini(&note.meta);
	}
	close(fd);
	return same || missing;
}

int
md_place_finish(int rootfd, const char *dir, const char *id, struct err *err)
{
	char to[STORE_ID_MAX + 16], root[STORE_ID_MAX + 32], path[MD_PATH];
	bool missing;
	struct buf b;

	snprintf(to, sizeof to, "%s/%s", dir, id);
	snprintf(root, sizeof root, "%s/" ROOT, to);
	if (md_read_file(rootfd, root, MD_PATH - 1, &b, &missing, err) == -1)
		return missing ? 0 : -1;
	snprintf(path, sizeof path, "%.*s", (int)buf_len(&b),
	    (const char *)buf_data(&b));
	buf_fini(&b);
	if (is_still(rootfd, path, id) && move_own(rootfd, path, to, err) == -1)
		return -1;
	if (unlinkat(rootfd, root, 0) == -1)
		return err_sys(err, "removing %s", root);
	/* Before there is another in its place. */
	return md_sync_dir(rootfd, to, err);
}

bool
md_place_is_half_made(int rootfd, const char *path)
{
	int fd = openat(rootfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct md_listing l = { 0 };
	struct err err;
	bool half;

	half = fd != -1 && faccessat(fd, MD_INDEX, F_OK, 0) == 0 &&
	       md_list(fd, &l, &err) == 0 && l.n == 0;
	md_listing_free(&l);
	if (fd != -1)
		close(fd);
	return half;
}

static bool
is_dir_empty(int rootfd, const char *path, const char *sub)
{
	char at[MD_PATH + 8];
	struct dirent *e;
	unsigned n = 0;
	int fd;
	DIR *d;

	snprintf(at, sizeof at, "%s/%s", path, sub);
	fd = openat(rootfd, at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1)
		return errno == ENOENT;
	d = fdopendir(fd);
	MUST(d != NULL);
	while (n <= 2 && (e = readdir(d)) != NULL)
		n++; /* itself, and the one above */
	closedir(d);
	return n <= 2;
}

bool
md_place_is_empty(int rootfd, const char *path)
{
	return is_dir_empty(rootfd, path, "new") &&
	       is_dir_empty(rootfd, path, "cur");
}

int
md_place_clear(int rootfd, const char *path, struct err *err)
{
	static const char *const dirs[] = { "tmp", "new", "cur" };
	static const char *const files[] = { MD_INDEX, MD_INDEX ".new",
		MD_MAILBOX ".new", "dovecot-uidlist", "maildirfolder" };
	char at[MD_PATH + 32];

	for (size_t i = 0; i < NITEMS(dirs); i++) {
		snprintf(at, sizeof at, "%s/%s", path, dirs[i]);
		if (unlinkat(rootfd, at, AT_REMOVEDIR) == -1 && errno != ENOENT)
			return err_sys(err, "removing %s", at);
	}
	for (size_t i = 0; i < NITEMS(files); i++) {
		snprintf(at, sizeof at, "%s/%s", path, files[i]);
		if (unlinkat(rootfd, at, 0) == -1 && errno != ENOENT)
			return err_sys(err, "removing %s", at);
	}
	if (unlinkat(rootfd, path, AT_REMOVEDIR) == -1 && errno != ENOTEMPTY)
		return err_sys(err, "removing %s", path);
	return 0;
}
