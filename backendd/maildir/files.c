#define _DEFAULT_SOURCE /* DT_REG */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "imap/flag.h"
#include "lib/ascii.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	KEYWORDS_MAX = 64 * 1024 /* octets of the file */
};

static int
read_fd(int fd, struct buf *b, struct err *err)
{
	for (;;) {
		size_t n = 64 * 1024;
		uint8_t *p = buf_space(b, &n);
		ssize_t got;

		if (p == NULL || n == 0)
			return err_set(err, "too large");
		got = read(fd, p, n);
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return err_sys(err, "reading");
		if (got == 0)
			return 0;
		buf_grew(b, (size_t)got);
	}
}

/* To open a FIFO, or to read it, could take for ever. */
int
md_read_file(int dirfd, const char *path, size_t max, struct buf *b,
    bool *missing, struct err *err)
{
	int fd = openat(dirfd, path,
	        O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC),
	    result;
	struct stat st;

	buf_init(b, max + 1);
	*missing = fd == -1 && errno == ENOENT;
	if (fd == -1)
		return err_sys(err, "opening %s", path);
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		result = err_set(err, "it is no file");
	else
		result = read_fd(fd, b, err);
	close(fd);
	if (result == 0)
		return 0;
	buf_fini(b);
	return err_add(err, "%s", path);
}

int
md_write(int fd, struct slice s, uint64_t at, struct err *err)
{
	while (s.len > 0) {
		ssize_t n = pwrite(fd, s.ptr, s.len, (off_t)at);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return err_sys(err, "writing");
		s = slice_skip(s, (size_t)n);
		at += (uint64_t)n;
	}
	return 0;
}

int
md_sync_dir(int dirfd, const char *path, struct err *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int result = 0;

	if (fd == -1)
		return err_sys(err, "opening %s", path);
	if (fsync(fd) == -1)
		result = err_sys(err, "syncing %s", path);
	close(fd);
	return result;
}

int
md_replace(int dirfd, const char *path, struct slice s, struct err *err)
{
	char fresh[64];
	int fd, result;

	MUST(snprintf(fresh, sizeof fresh, "%s.new", path) < (int)sizeof fresh);
	fd = openat(dirfd, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);
	if (fd == -1)
		return err_sys(err, "making %s", fresh);
	result = md_write(fd, s, 0, err);
	if (result == 0 && fsync(fd) == -1)
		result = err_sys(err, "syncing %s", fresh);
	close(fd);
	if (result == 0 && renameat(dirfd, fresh, dirfd, path) == -1)
		result = err_sys(err, "renaming %s", fresh);
	return result == 0 ? md_sync_dir(dirfd, ".", err) : -1;
}

int
md_mkdir(int dirfd, const char *path, struct err *err)
{
	if (mkdirat(dirfd, path, 0700) == -1 && errno != EEXIST)
		return err_sys(err, "making %s", path);
	return 0;
}

/* The part of path before slash. */
static const char *
part_of(char part[MD_PATH], const char *path, const char *slash)
{
	size_t n = (size_t)(slash - path);

	MUST(n < MD_PATH);
	memcpy(part, path, n);
	part[n] = '\0';
	return part;
}

/* Each is synced before there is one in it. */
int
md_make_parents(int rootfd, const char *path, struct err *err)
{
	const char *slash = path;
	char part[MD_PATH], above[MD_PATH] = ".";

	while ((slash = strchr(slash + 1, '/')) != NULL) {
		part_of(part, path, slash);
		if (mkdirat(rootfd, part, 0700) == 0) {
			if (md_sync_dir(rootfd, above, err) == -1)
				return -1;
		} else if (errno != EEXIST) {
			return err_sys(err, "making %s", part);
		}
		memcpy(above, part, sizeof above);
	}
	return 0;
}

int
md_sync_parents(int rootfd, const char *path, struct err *err)
{
	const char *slash = path;
	char part[MD_PATH];

	while ((slash = strchr(slash + 1, '/')) != NULL)
		if (md_sync_dir(rootfd, part_of(part, path, slash), err) == -1)
			return -1;
	return md_sync_dir(rootfd, ".", err);
}

/* Three levels, as deep as a mailbox is. */
static int
remove_in(int dirfd, const char *path, unsigned depth, struct err *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	int result = 0;
	DIR *d;

	if (fd == -1)
		return errno == ENOENT ? 0 : err_sys(err, "opening %s", path);
	d = fdopendir(fd);
	MUST(d != NULL);
	while (result == 0 && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, e->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if ((errno == EISDIR || errno == EPERM) && depth > 0)
			result = remove_in(fd, e->d_name, depth - 1, err);
		else
			result = err_sys(err, "removing %s", e->d_name);
	}
	closedir(d);
	if (result == 0 && unlinkat(dirfd, path, AT_REMOVEDIR) == -1 &&
	    errno != ENOENT)
		return err_sys(err, "removing %s", path);
	return result;
}

int
md_remove(int dirfd, const char *path, struct err *err)
{
	return remove_in(dirfd, path, 3, err);
}

/* ---- names of messages ---- */

uint64_t
md_letters_of(struct slice s)
{
	uint64_t letters = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c >= 'A' && c <= 'Z')
			letters |= (uint64_t)1 << (c - 'A');
		else if (c >= 'a' && c <= 'z')
			letters |= (uint64_t)1 << (26 + c - 'a');
	}
	return letters;
}

void
md_file(char path[MD_FILE], const char *name, uint64_t letters)
{
	int n = snprintf(path, MD_FILE - 56, "cur/%s:2,", name);

	MUST(n > 0 && n < MD_FILE - 56);
	for (unsigned i = 0; i < 52; i++)
		if (letters >> i & 1)
			path[n++] = (char)(i < 26 ? 'A' + i : 'a' + i - 26);
	path[n] = '\0';
}

void
md_file_in(char path[MD_FILE], const char *dir, const char *name)
{
	MUST(snprintf(path, MD_FILE, "%s/%s", dir, name) < MD_FILE);
}

/* A name that others take for two, or with which there is no room for flags. */
static bool
is_odd(struct slice name)
{
	return name.len > MD_NAME || slice_find(name, '\n') < name.len;
}

static void
put_entry(struct md_listing *l, const char *file, bool is_new)
{
	struct slice s = slice_str(file), name;
	struct md_entry *e;

	name = slice_first(s, slice_find(s, ':'));
	if (name.len == 0 || file[0] == '.')
		return;
	if (l->n == l->size) {
		l->size = l->size * 2 + 64;
		l->at = xreallocarray(l->at, l->size, sizeof *l->at);
	}
	e = &l->at[l->n++];
	*e = (struct md_entry){ .is_new = is_new, .is_odd = is_odd(name) };
	l->nodd += e->is_odd;
	e->name = xstrndup(name.ptr, e->is_odd ? s.len : name.len);
	/* In new none have flags, but mbsync writes such. */
	s = slice_skip(s, name.len);
	if (slice_starts(s, slice_str(":2,")))
		e->letters = md_letters_of(slice_skip(s, 3));
}

static int
list_in(int dirfd, const char *path, bool is_new, struct md_listing *l,
    struct err *err)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	DIR *d;

	if (fd == -1)
		return err_sys(err, "opening %s", path);
	d = fdopendir(fd);
	MUST(d != NULL);
	while ((errno = 0, e = readdir(d)) != NULL)
		if (e->d_type == DT_REG || e->d_type == DT_UNKNOWN)
			put_entry(l, e->d_name, is_new);
	if (errno != 0)
		err_sys(err, "reading %s", path);
	if (errno != 0) {
		closedir(d);
		return -1;
	}
	closedir(d);
	return 0;
}

int
md_list(int dirfd, struct md_listing *l, struct err *err)
{
	/* In the order that messages go, so that none is missed on its way. */
	if (list_in(dirfd, "new", true, l, err) == -1)
		return -1;
	return list_in(dirfd, "cur", false, l, err);
}

void
md_listing_free(struct md_listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->at[i].name);
	free(l->at);
	*l = (struct md_listing){ 0 };
}

static bool
locate_in(int dirfd, const char *dir, const char *name, char path[MD_FILE])
{
	int fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t len = strlen(name);
	bool found = false;
	struct dirent *e;
	DIR *d;

	if (fd == -1)
		return false;
	d = fdopendir(fd);
	MUST(d != NULL);
	while (!found && (e = readdir(d)) != NULL) {
		if (strncmp(e->d_name, name, len) != 0 ||
		    (e->d_name[len] != ':' && e->d_name[len] != '\0'))
			continue;
		found =
		    snprintf(path, MD_FILE, "%s/%s", dir, e->d_name) < MD_FILE;
	}
	closedir(d);
	return found;
}

bool
md_locate(int dirfd, const char *name, char path[MD_FILE])
{
	md_file_in(path, "new", name);
	if (faccessat(dirfd, path, F_OK, 0) == 0)
		return true;
	/* Some programs put none of ":2," there, and that in every name. */
	md_file_in(path, "cur", name);
	return faccessat(dirfd, path, F_OK, 0) == 0 ||
	       locate_in(dirfd, "cur", name, path) ||
	       locate_in(dirfd, "new", name, path);
}

/* ---- dovecot-keywords: "0 Junk" for the letter a, and so on ---- */

static bool
is_named(const struct md_keywords *k, struct slice name)
{
	for (unsigned i = 0; i < MD_LETTERS; i++)
		if (k->names[i] != NULL && slice_is_nocase(name, k->names[i]))
			return true;
	return false;
}

static void
keyword_line(struct md_keywords *k, struct slice line)
{
	size_t space = slice_find(line, ' ');
	uint64_t i;

	if (space == line.len ||
	    !ascii_number(slice_first(line, space), MD_LETTERS - 1, &i))
		return;
	line = slice_skip(line, space + 1);
	if (k->names[i] != NULL || k->foreign[i] != NULL)
		return;
	if (flag_is_keyword(line) && line.len <= STORE_KEYWORD_MAX &&
	    !is_named(k, line))
		k->names[i] = xstrndup(line.ptr, line.len);
	else if (line.len > 0)
		k->foreign[i] = xstrndup(line.ptr, line.len);
}

static int
read_keywords(int dirfd, struct md_keywords *k, struct err *err)
{
	struct buf b;
	struct slice s;
	struct stat st;
	bool missing;

	/* No such file has the names of 26 letters. */
	if (fstatat(dirfd, "dovecot-keywords", &st, 0) == 0 &&
	    st.st_size > KEYWORDS_MAX)
		return 0;
	if (md_read_file(dirfd, "dovecot-keywords", KEYWORDS_MAX, &b, &missing,
	        err) == -1)
		return missing ? 0 : -1;
	for (s = buf_slice(&b); s.len > 0;) {
		size_t n = slice_find(s, '\n');

		keyword_line(k, slice_first(s, n));
		s = slice_skip(s, n < s.len ? n + 1 : n);
	}
	buf_fini(&b);
	return 0;
}

/* Has the index that name for another letter? */
static bool
is_elsewhere(const struct index *x, const char *name)
{
	for (unsigned i = 0; i < MD_LETTERS; i++)
		if (x->letters[i] != NULL &&
		    strcasecmp(x->letters[i], name) == 0)
			return true;
	return false;
}

static void
set_letter(struct md_keywords *k, unsigned letter, const char *name)
{
	free(k->names[letter]);
	k->names[letter] = name != NULL ? xstrdup(name) : NULL;
	k->changed = true;
}

int
md_keywords_read(int dirfd, const struct index *x, struct md_keywords *k,
    struct err *err)
{
	*k = (struct md_keywords){ 0 };
	if (read_keywords(dirfd, k, err) == -1)
		return -1;
	for (unsigned i = 0; i < MD_LETTERS; i++) {
		const char *had = x->letters[i], *name = k->names[i];

		if (had == NULL && name != NULL && is_elsewhere(x, name))
			set_letter(k, i, NULL);
		if (had != NULL && (name == NULL || strcmp(had, name) != 0))
			set_letter(k, i, had);
	}
	return 0;
}

int
md_keywords_write(int dirfd, struct md_keywords *k, struct err *err)
{
	struct buf b;
	int result;

	if (!k->changed)
		return 0;
	buf_init(&b, KEYWORDS_MAX);
	for (unsigned i = 0; i < MD_LETTERS; i++)
		if (k->names[i] != NULL)
			buf_printf(&b, "%u %s\n", i, k->names[i]);
		else if (k->foreign[i] != NULL)
			buf_printf(&b, "%u %s\n", i, k->foreign[i]);
	result = buf_failed(&b) ? err_set(err, "too many names of keywords")
	                        : md_replace(dirfd, "dovecot-keywords",
	                              buf_slice(&b), err);
	buf_fini(&b);
	k->changed = false;
	return result;
}

void
md_keywords_free(struct md_keywords *k)
{
	for (unsigned i = 0; i < MD_LETTERS; i++) {
		free(k->names[i]);
		free(k->foreign[i]);
	}
}
