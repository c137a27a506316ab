/*
 * What others do to open mailboxes, as the kernel tells it (inotify).  Of a
 * tree that several machines share it tells only what is done on this one, so
 * there it is not asked.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	SOON_MS = 20,   /* what comes together is looked at together */
	READS_MAX = 16, /* of events in one turn */
	EVENTS = 4096   /* octets */
};

struct md_watch {
	struct maildir *md;
	int fd;
	struct io *io;
	struct timer *soon;
	struct map boxes; /* by watch */
	struct boxes dirty;
	bool said; /* that there are no more watches */
};

static bool
is_shared(int dirfd)
{
	/* NFS, SMB (three), FUSE, AFS, Ceph, 9P, GFS2, OCFS2, Lustre */
	static const uint32_t types[] = { 0x6969, 0x517b, 0xff534d42,
		0xfe534d42, 0x65735546, 0x5346414f, 0xc36400, 0x1021997,
		0x1161970, 0x7461636f, 0xbd00bd0 };
	struct statfs s;

	if (fstatfs(dirfd, &s) == -1)
		return true;
	for (size_t i = 0; i < NITEMS(types); i++)
		if ((uint32_t)s.f_type == types[i])
			return true;
	return false;
}

static struct slice
key_of(const int *wd)
{
	return slice_of((const uint8_t *)wd, sizeof *wd);
}

/* ---- events ---- */

static void
heard(struct md_watch *w, struct box *b)
{
	if (b->closed || b->hurt)
		return;
	if (!b->dirty)
		TAILQ_INSERT_TAIL(&w->dirty, b, dirty_entry);
	b->dirty = true;
	if (!timer_is_set(w->soon))
		timer_set(w->soon, SOON_MS);
}

static void
take_events(struct md_watch *w, const uint8_t *p, size_t n)
{
	struct inotify_event e;
	struct box *b;

	for (; n >= sizeof e; p += sizeof e + e.len, n -= sizeof e + e.len) {
		memcpy(&e, p, sizeof e);
		MUST(e.len <= n - sizeof e);
		if (e.mask & IN_Q_OVERFLOW)
			TAILQ_FOREACH (b, &w->md->boxes, entry)
				heard(w, b);
		b = map_find(&w->boxes, key_of(&e.wd));
		if (b != NULL)
			heard(w, b);
	}
}

static void
on_events(void *arg, unsigned ready)
{
	struct md_watch *w = arg;
	uint8_t events[EVENTS];
	ssize_t n = 1;

	(void)ready;
	for (int i = 0; i < READS_MAX && n > 0; i++) {
		n = read(w->fd, events, sizeof events);
		if (n > 0)
			take_events(w, events, (size_t)n);
	}
}

static void
on_soon(void *arg)
{
	struct md_watch *w = arg;
	struct box *b, *next;
	int64_t least = 0;

	TAILQ_FOREACH_SAFE (b, &w->dirty, dirty_entry, next) {
		int64_t ms = md_box_scan_now(b);

		if (ms == 0)
			md_watch_clean(b);
		else if (ms > 0 && (least == 0 || ms < least))
			least = ms;
	}
	if (least > 0)
		timer_set(w->soon, least);
}

/* ---- which are watched ---- */

struct md_watch *
md_watch_new(struct maildir *md)
{
	struct md_watch *w;
	int fd;

	if (is_shared(md->dirfd))
		return NULL;
	fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (fd == -1) {
		log_warn(md->env.log,
		    "maildir: changes by others are looked for", "why",
		    strerror(errno), NULL);
		return NULL;
	}
	w = xcalloc(1, sizeof *w);
	w->md = md;
	w->fd = fd;
	w->io = io_new(md->env.loop, fd, on_events, w);
	w->soon = timer_new(md->env.loop, on_soon, w);
	map_init(&w->boxes);
	TAILQ_INIT(&w->dirty);
	io_want(w->io, IO_READ);
	return w;
}

void
md_watch_free(struct md_watch **wp)
{
	struct md_watch *w = *wp;

	if (w == NULL)
		return;
	MUST(map_count(&w->boxes) == 0);
	map_fini(&w->boxes);
	timer_free(&w->soon);
	io_free(&w->io);
	close(w->fd);
	free(w);
	*wp = NULL;
}

int
md_watch_fd(const struct md_watch *w)
{
	return w != NULL ? w->fd : -1;
}

static int
add(int fd, int dirfd, const char *name)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dirfd, name);
	return inotify_add_watch(fd, path,
	    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR);
}

void
md_watch_begin(int fd, int dirfd, int wd[2])
{
	wd[0] = wd[1] = -1;
	if (fd == -1)
		return;
	wd[0] = add(fd, dirfd, "new");
	if (wd[0] != -1)
		wd[1] = add(fd, dirfd, "cur");
	if (wd[0] != -1 && wd[1] == -1)
		md_watch_cancel(fd, wd);
}

void
md_watch_cancel(int fd, int wd[2])
{
	for (int i = 0; i < 2; i++) {
		if (wd[i] != -1)
			inotify_rm_watch(fd, wd[i]);
		wd[i] = -1;
	}
}

void
md_watch_put(struct md_watch *w, struct box *b, const int wd[2])
{
	b->wd[0] = wd[0];
	b->wd[1] = wd[1];
	if (w == NULL)
		return;
	if (wd[0] == -1 && !w->said)
		log_warn(w->md->env.log,
		    "maildir: no more watches, changes by others are looked "
		    "for (fs.inotify.max_user_watches)",
		    "dir", w->md->dir, NULL);
	w->said |= wd[0] == -1;
	for (int i = 0; i < 2 && wd[0] != -1; i++)
		map_put(&w->boxes, key_of(&b->wd[i]), b);
	/* What came before that. */
	if (wd[0] != -1)
		heard(w, b);
}

void
md_watch_clean(struct box *b)
{
	if (b->dirty)
		TAILQ_REMOVE(&b->md->watch->dirty, b, dirty_entry);
	b->dirty = false;
}

void
md_watch_drop(struct md_watch *w, struct box *b)
{
	md_watch_clean(b);
	for (int i = 0; i < 2 && b->wd[i] != -1; i++)
		map_remove(&w->boxes, key_of(&b->wd[i]));
	if (w != NULL)
		md_watch_cancel(w->fd, b->wd);
}
