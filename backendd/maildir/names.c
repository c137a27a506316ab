#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "imap/mboxname.h"
#include "lib/must.h"

enum {
	COMPONENT = 255, /* octets of a name in a directory */
	DEPTH = 8        /* components of a pattern */
};

/* ---- from a name to a path ---- */

static void
put_user(struct buf *b, struct slice user)
{
	for (size_t i = 0; i < user.len; i++)
		buf_putc(b, user.ptr[i] == '^' ? '.' : user.ptr[i]);
}

static bool
is_component(struct slice s)
{
	return s.len > 0 && s.len <= COMPONENT && s.ptr[0] != '.' &&
	       s.ptr[0] != '^' && slice_find(s, '/') == s.len;
}

static void
put_pattern(struct buf *b, const char *pattern, struct slice user,
    struct slice domain)
{
	for (const char *p = pattern; *p != '\0'; p++) {
		if (*p != '%') {
			buf_putc(b, (uint8_t)*p);
			continue;
		}
		p++;
		if (*p == 'd') {
			buf_put_slice(b, domain);
			continue;
		}
		put_user(b, user);
		if (*p == 'u' && domain.len > 0) {
			buf_putc(b, '@');
			buf_put_slice(b, domain);
		}
	}
}

static bool
put_owned(struct buf *b, const char *pattern, struct slice local,
    struct slice domain)
{
	struct slice user = slice_skip(local, 5), below;

	below = slice_skip(user, slice_find(user, '.'));
	user = slice_first(user, slice_find(user, '.'));
	if (!is_component(user) ||
	    (strstr(pattern, "%d") != NULL && !is_component(domain)))
		return false;
	put_pattern(b, pattern, user, domain);
	if (below.len == 0)
		return true;
	buf_putc(b, '/');
	buf_put_slice(b, below); /* with its dot */
	return below.len <= COMPONENT && slice_find(below, '/') == below.len;
}

int
md_path_of(const char *pattern, struct slice name, char path[MD_PATH])
{
	struct slice local = mboxname_local(name);
	struct buf b;
	bool good;

	buf_init(&b, MD_PATH - 1);
	if (slice_starts(local, slice_str("user."))) {
		good = put_owned(&b, pattern, local, mboxname_domain(name));
	} else {
		buf_puts(&b, ".public/.");
		buf_put_slice(&b, name);
		good = name.len > 0 && name.len < COMPONENT &&
		       slice_find(name, '/') == name.len;
	}
	good = good && !buf_failed(&b);
	if (good)
		memcpy(path, buf_data(&b), buf_len(&b));
	path[good ? buf_len(&b) : 0] = '\0';
	buf_fini(&b);
	return good ? 0 : -1;
}

/* ---- a pattern: components that are text, %u, %n or %d ---- */

int
md_pattern_check(const char *pattern, struct err *err)
{
	bool user = false;
	unsigned depth = 0;

	for (const char *p = pattern; *p != '\0'; depth++) {
		size_t n = strcspn(p, "/");

		if (n == 0 || n > COMPONENT || p[0] == '.' || depth == DEPTH)
			return err_set(err, "%s: no path", pattern);
		if (memchr(p, '%', n) != NULL &&
		    (n != 2 || p[0] != '%' || strchr("und", p[1]) == NULL))
			return err_set(err,
			    "%s: %%u, %%n and %%d are whole directories",
			    pattern);
		user |= n == 2 && p[0] == '%' && p[1] != 'd';
		p += n;
		if (*p == '/')
			p++;
	}
	return user ? 0 : err_set(err, "%s: without %%u or %%n", pattern);
}

/* ---- all directories ---- */

struct walk {
	int rootfd;
	md_walk_visit *visit;
	void *arg;
	char user[COMPONENT + 1], domain[COMPONENT + 1];
};

static bool
is_mailbox(int rootfd, const char *path)
{
	char cur[MD_PATH + 8];

	snprintf(cur, sizeof cur, "%s/cur", path);
	return faccessat(rootfd, cur, F_OK, 0) == 0;
}

typedef int each_entry(struct walk *w, const char *path, const char *entry,
    const char *rest, struct err *err);

/* What is not there has no entries; what may not be read is not ours. */
static int
each(struct walk *w, const char *path, bool dots, each_entry *fn,
    const char *rest, struct err *err)
{
	int fd = openat(w->rootfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	int result = 0;
	DIR *d;

	if (fd == -1 && errno == EACCES)
		return w->visit(w->arg, path, NULL, err);
	if (fd == -1)
		return errno == ENOENT || errno == ENOTDIR
		           ? 0
		           : err_sys(err, "opening %s", path);
	d = fdopendir(fd);
	MUST(d != NULL);
	while (result == 0 && (e = readdir(d)) != NULL) {
		char sub[MD_PATH];

		if ((e->d_name[0] == '.') != dots ||
		    strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (snprintf(sub, sizeof sub, "%s/%s", path, e->d_name) <
		    (int)sizeof sub)
			result = fn(w, sub, e->d_name, rest, err);
	}
	closedir(d);
	return result;
}

/* "dom!user.fred" and what is below it. */
static int
visit_named(struct walk *w, const char *path, const char *below,
    struct err *err)
{
	char name[MD_PATH];
	const char *at = strchr(w->user, '@');
	size_t n = at != NULL ? (size_t)(at - w->user) : strlen(w->user);
	const char *domain = at != NULL ? at + 1 : w->domain;
	size_t start = strlen(domain) + (domain[0] != '\0') + 5;
	int len = snprintf(name, sizeof name, "%s%suser.%.*s%s", domain,
	    domain[0] != '\0' ? "!" : "", (int)n, w->user, below);

	if (len < 0 || len >= (int)sizeof name)
		return 0;
	for (size_t i = start; i < start + n; i++)
		if (name[i] == '.')
			name[i] = '^';
	return w->visit(w->arg, path, name, err);
}

static int
visit_below(struct walk *w, const char *path, const char *entry,
    const char *rest, struct err *err)
{
	(void)rest;
	if (!is_mailbox(w->rootfd, path))
		return 0;
	return visit_named(w, path, entry, err);
}

static int
visit_user(struct walk *w, const char *path, struct err *err)
{
	if (is_mailbox(w->rootfd, path) && visit_named(w, path, "", err) == -1)
		return -1;
	return each(w, path, true, visit_below, NULL, err);
}

static int walk_pattern(struct walk *w, const char *path, const char *rest,
    struct err *err);

static int
visit_variable(struct walk *w, const char *path, const char *entry,
    const char *rest, struct err *err)
{
	char *to = rest[1] == 'd' ? w->domain : w->user;

	snprintf(to, COMPONENT + 1, "%s", entry);
	return walk_pattern(w, path, rest + 2, err);
}

/* Recursion ends with the pattern. */
static int
walk_pattern(struct walk *w, const char *path, const char *rest,
    struct err *err)
{
	char sub[MD_PATH];
	size_t n;

	while (*rest == '/')
		rest++;
	if (*rest == '\0')
		return visit_user(w, path, err);
	if (*rest == '%')
		return each(w, path, false, visit_variable, rest, err);
	n = strcspn(rest, "/");
	if (snprintf(sub, sizeof sub, "%s/%.*s", path, (int)n, rest) >=
	    (int)sizeof sub)
		return 0;
	return walk_pattern(w, sub, rest + n, err);
}

static int
visit_public(struct walk *w, const char *path, const char *entry,
    const char *rest, struct err *err)
{
	(void)rest;
	if (!is_mailbox(w->rootfd, path))
		return 0;
	return w->visit(w->arg, path, entry + 1, err);
}

static int
visit_by_id(struct walk *w, const char *path, const char *entry,
    const char *rest, struct err *err)
{
	(void)rest, (void)entry;
	return w->visit(w->arg, path, "", err);
}

int
md_walk(int rootfd, const char *pattern, md_walk_visit *visit, void *arg,
    struct err *err)
{
	struct walk w = { .rootfd = rootfd, .visit = visit, .arg = arg };

	if (walk_pattern(&w, ".", pattern, err) == -1)
		return -1;
	if (each(&w, ".public", true, visit_public, NULL, err) == -1)
		return -1;
	return each(&w, ".by-id", false, visit_by_id, NULL, err);
}
