#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/xalloc.h"

#define STORE_MAGIC 0x6d644469u
#define LOCK        ".lock"

enum {
	POLL_MS = 1000, /* between looks at what others did */
	LOOK_MS = 200   /* between looks at how full the disk is */
};

struct maildir *
maildir_of(struct store *st)
{
	struct maildir *md = (struct maildir *)st;

	MUST(md->magic == STORE_MAGIC);
	return md;
}

/* ---- where mailboxes are ---- */

int
maildir_path(struct maildir *md, const char *id, struct slice meta,
    char path[MD_PATH])
{
	const struct store_naming *naming = md->env.naming;
	struct buf name;
	int result = -1;

	(void)id;
	if (naming == NULL)
		return -1;
	buf_init(&name, MD_PATH);
	if (naming->name(naming->arg, meta, &name))
		result = md_path_of(md->pattern, buf_slice(&name), path);
	buf_fini(&name);
	return result;
}

static void
by_id(char path[MD_PATH], const char *id)
{
	snprintf(path, MD_PATH, ".by-id/%s", id);
}

/* ---- a mailbox being made ---- */

struct making {
	struct maildir *md;
	int rootfd;
	char id[STORE_ID_MAX + 1], path[MD_PATH];
	uint32_t uidvalidity, uidnext;
	uint64_t highestmodseq;
	uint8_t *meta;
	size_t meta_len;
	char taken[STORE_ID_MAX + 1]; /* by which mailbox */
	bool exists, tried, failed;
	struct err err;
	store_cb *cb;
	void *arg;
};

/*
 * In a directory that may have messages already, and UIDs of another
 * program's; the note is last: without it there is no mailbox.
 */
static int
make_in(struct making *m, int dirfd, struct err *err)
{
	struct md_uids u;
	struct index x;
	int result;

	if (md_mkdir(dirfd, "tmp", err) == -1 ||
	    md_mkdir(dirfd, "new", err) == -1 ||
	    md_mkdir(dirfd, "cur", err) == -1 ||
	    md_uids_read(dirfd, &u, err) == -1)
		return -1;
	if (u.there)
		m->uidvalidity = u.uidvalidity;
	md_index_init(&x);
	if (u.there)
		x.recent = 0;
	md_uids_free(&u);
	x.uidvalidity = m->uidvalidity;
	x.uidnext = m->uidnext != 0 ? m->uidnext : 1;
	x.highestmodseq = m->highestmodseq != 0 ? m->highestmodseq : 1;
	result = md_index_compact(dirfd, &x, 0, err);
	if (result == 0 && !u.there)
		md_uids_fix(dirfd, &x);
	if (result == 0)
		result = md_note_write(dirfd, m->id, m->uidvalidity,
		    slice_of(m->meta, m->meta_len), err);
	md_index_fini(&x);
	return result;
}

/* Courier's and Dovecot's mark of what is below an INBOX. */
static void
mark_folder(int dirfd, const char *path)
{
	const char *last = strrchr(path, '/');
	int fd;

	if (last == NULL || last[1] != '.')
		return;
	fd = openat(dirfd, "maildirfolder", O_WRONLY | O_CREAT | O_CLOEXEC,
	    0600);
	if (fd != -1)
		close(fd);
}

static int
make(struct making *m, struct err *err)
{
	bool fresh = faccessat(m->rootfd, m->path, F_OK, 0) == -1;
	int dirfd, result;
	struct err other;

	if (md_make_parents(m->rootfd, m->path, err) == -1 ||
	    md_mkdir(m->rootfd, m->path, err) == -1)
		return -1;
	dirfd = openat(m->rootfd, m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd == -1)
		return err_sys(err, "opening %s", m->path);
	mark_folder(dirfd, m->path);
	result = make_in(m, dirfd, err);
	close(dirfd);
	if (result == 0)
		result = md_sync_parents(m->rootfd, m->path, err);
	/* Else it would be taken for one that another program has made. */
	if (result == -1 && fresh &&
	    md_remove(m->rootfd, m->path, &other) == -1)
		return err_add(err, "%s", other.text);
	return result;
}

/* Of another mailbox, which was there first. */
static bool
is_taken(struct making *m)
{
	char note[MD_PATH + 32];
	struct md_note n;
	struct err err;
	bool missing;
	int fd;

	snprintf(note, sizeof note, "%s/" MD_MAILBOX, m->path);
	if (faccessat(m->rootfd, note, F_OK, 0) == -1)
		return false;
	fd = openat(m->rootfd, m->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd != -1 && md_note_read(fd, &n, &missing, &err) == 0) {
		memcpy(m->taken, n.id, sizeof m->taken);
		buf_fini(&n.meta);
	}
	if (fd != -1)
		close(fd);
	return true;
}

static void
making_run(void *arg)
{
	struct making *m = arg;

	if (m->exists)
		return;
	if (m->path[0] == '\0')
		by_id(m->path, m->id);
	else if (is_taken(m) && (m->tried || m->taken[0] == '\0'))
		by_id(m->path, m->id);
	else if (m->taken[0] != '\0' && !m->tried)
		return; /* it has to make room */
	m->failed = make(m, &m->err) == -1;
}

static void making_done(void *arg);

/* It has; if not, that shows. */
static void
on_evicted(void *arg, const char *why)
{
	struct making *m = arg;

	(void)why;
	m->tried = true;
	m->taken[0] = '\0';
	jobs_put(m->md->env.jobs, making_run, making_done, m);
}

static void
making_done(void *arg)
{
	struct making *m = arg;
	struct maildir *md = m->md;
	const char *why = m->exists ? "There is one already" : NULL;

	/* Two of one name: the other is being renamed, or was deleted. */
	if (!m->exists && m->taken[0] != '\0' && !m->tried) {
		md_box_evict(md, m->taken, on_evicted, m);
		return;
	}
	if (m->failed) {
		why = "The disk is full or failing, try again later";
		log_err(md->env.log, "maildir: mailbox not made", "dir",
		    md->dir, "mailboxid", m->id, "why", m->err.text, NULL);
	}
	if (why == NULL)
		map_put(&md->paths, slice_str(m->id), xstrdup(m->path));
	if (m->cb != NULL)
		m->cb(m->arg, why);
	free(m->meta);
	free(m);
	md->busy--;
}

static void
create(struct store *st, const struct store_create *c, store_cb *cb, void *arg)
{
	struct maildir *md = maildir_of(st);
	struct making *m = xcalloc(1, sizeof *m);

	m->md = md;
	m->rootfd = md->dirfd;
	snprintf(m->id, sizeof m->id, "%s", c->id);
	m->uidvalidity = c->uidvalidity;
	m->uidnext = c->uidnext;
	m->highestmodseq = c->highestmodseq;
	m->meta = (uint8_t *)xstrndup(c->meta.ptr, c->meta.len);
	m->meta_len = c->meta.len;
	m->exists = map_find(&md->paths, slice_str(c->id)) != NULL;
	if (maildir_path(md, c->id, c->meta, m->path) == -1)
		m->path[0] = '\0';
	m->cb = cb;
	m->arg = arg;
	md->busy++;
	jobs_put(md->env.jobs, making_run, making_done, m);
}

/* ---- a mailbox being destroyed ---- */

struct destroying {
	struct maildir *md;
	int rootfd;
	char id[STORE_ID_MAX + 1];
	char *path; /* NULL: it is not there */
	bool failed, left;
	struct err err;
	store_cb *cb;
	void *arg;
};

static int
destroy_at(struct destroying *d, struct err *err)
{
	char trash[STORE_ID_MAX + 16];
	int result;

	snprintf(trash, sizeof trash, ".trash/%s", d->id);
	result = md_place_out(d->rootfd, d->path, trash, err);
	/* What stays there goes at the next start. */
	d->left = result == 0 && md_remove(d->rootfd, trash, err) == -1;
	return result;
}

static void
destroying_run(void *arg)
{
	struct destroying *d = arg;

	d->failed = d->path != NULL && destroy_at(d, &d->err) == -1;
	if (!d->failed)
		md_moving_end(d->rootfd, d->id, false);
}

static void
destroying_done(void *arg)
{
	struct destroying *d = arg;
	struct maildir *md = d->md;

	if (d->failed || d->left)
		log_err(md->env.log, "maildir: mailbox not removed", "dir",
		    md->dir, "mailboxid", d->id, "why", d->err.text, NULL);
	if (d->failed)
		map_put(&md->paths, slice_str(d->id), xstrdup(d->path));
	if (d->cb != NULL)
		d->cb(d->arg,
		    d->failed ? "The disk is full or failing, try again later"
		              : NULL);
	free(d->path);
	free(d);
	md->busy--;
}

static void
destroy_now(void *arg)
{
	struct destroying *d = arg;

	d->path = map_remove(&d->md->paths, slice_str(d->id));
	jobs_put(d->md->env.jobs, destroying_run, destroying_done, d);
}

/* What its user asked for before closing it is done first. */
static void
destroy(struct store *st, const char *id, store_cb *cb, void *arg)
{
	struct maildir *md = maildir_of(st);
	struct box *b = map_find(&md->open, slice_str(id));
	struct destroying *d = xcalloc(1, sizeof *d);

	MUST(b == NULL || b->closed);
	d->md = md;
	d->rootfd = md->dirfd;
	snprintf(d->id, sizeof d->id, "%s", id);
	d->cb = cb;
	d->arg = arg;
	md->busy++;
	if (b == NULL) {
		destroy_now(d);
		return;
	}
	b->gone = destroy_now;
	b->gone_arg = d;
}

/* ---- starting ---- */

static int
adopt(struct maildir *md, const char *path, const char *name, struct err *err)
{
	const struct store_naming *naming = md->env.naming;
	struct making m = { .md = md, .rootfd = md->dirfd };
	int64_t now = loop_wall(md->env.loop).ms / 1000;
	uint8_t id[16];
	struct buf meta;
	int result;

	buf_init(&meta, STORE_META_MAX);
	if (naming == NULL ||
	    !naming->meta(naming->arg, name, (uint32_t)now, &meta)) {
		buf_fini(&meta);
		log_warn(md->env.log, "maildir: directory not taken", "dir",
		    md->dir, "path", path, NULL);
		return 0;
	}
	rand_bytes(id, sizeof id);
	for (unsigned i = 0; i < sizeof id; i++)
		snprintf(m.id + 2 * i, 3, "%02x", id[i]);
	snprintf(m.path, sizeof m.path, "%s", path);
	m.uidvalidity = (uint32_t)now;
	m.meta = (uint8_t *)xstrndup(buf_data(&meta), buf_len(&meta));
	m.meta_len = buf_len(&meta);
	buf_fini(&meta);
	result = make(&m, err);
	if (result == 0)
		map_put(&md->paths, slice_str(m.id), xstrdup(path));
	if (result == 0)
		log_info(md->env.log, "maildir: directory taken", "dir",
		    md->dir, "path", path, "mailboxid", m.id, NULL);
	free(m.meta);
	return result;
}

static int
mend_note(struct maildir *md, int dirfd, const char *path, struct md_note *note,
    struct err *err)
{
	if (md_note_write(dirfd, note->id, note->uidvalidity,
	        buf_slice(&note->meta), err) == -1) {
		buf_fini(&note->meta);
		return -1;
	}
	log_warn(md->env.log, "maildir: " MD_MAILBOX " was lost and is mended",
	    "dir", md->dir, "path", path, "mailboxid", note->id, NULL);
	return 0;
}

/* One that has no note; what cannot be done about it is said, and left. */
static void
find_nameless(struct maildir *md, const char *path, const char *name)
{
	struct err err;
	int result;

	if (name[0] != '\0')
		result = md_place_is_half_made(md->dirfd, path)
		             ? md_place_clear(md->dirfd, path, &err)
		             : adopt(md, path, name, &err);
	else if (md_place_is_empty(md->dirfd, path))
		result = md_remove(md->dirfd, path, &err); /* half made */
	else
		result = err_set(&err, "its " MD_MAILBOX " is lost");
	if (result == 0)
		return;
	log_err(md->env.log, "maildir: directory not taken", "dir", md->dir,
	    "path", path, "why", err.text, NULL);
	md->damaged++;
}

/* One that is damaged is known by the id it had, if that can be read. */
static int
find_one(void *arg, const char *path, const char *name, struct err *err)
{
	struct maildir *md = arg;
	struct md_note note;
	bool missing, mended;
	char *other;
	int dirfd = -1, result;

	if (name != NULL)
		dirfd =
		    openat(md->dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* Such as lost+found. */
	if (name == NULL || (dirfd == -1 && errno == EACCES)) {
		log_warn(md->env.log, "maildir: directory may not be read",
		    "dir", md->dir, "path", path, NULL);
		return 0;
	}
	if (dirfd == -1)
		return err_sys(err, "opening %s", path);
	result = md_note_find(dirfd, &note, &missing, &mended, err);
	if (mended && !md->options.look_only)
		result = mend_note(md, dirfd, path, &note, err);
	close(dirfd);
	if (result == -1 && missing) {
		find_nameless(md, path, name);
		return 0;
	}
	if (result == -1) {
		log_err(md->env.log, "maildir: mailbox is damaged", "dir",
		    md->dir, "path", path, "why", err->text, NULL);
		md->damaged++;
		return 0;
	}
	buf_fini(&note.meta);
	other = map_put(&md->paths, slice_str(note.id), xstrdup(path));
	if (other != NULL)
		log_err(md->env.log, "maildir: two mailboxes of one id", "dir",
		    md->dir, "path", path, "other", other, NULL);
	free(other);
	return 0;
}

/* What was being destroyed at a crash is, now, to the end. */
static int
finish_destroying(struct maildir *md, const char *id, struct err *err)
{
	return md_place_finish(md->dirfd, ".trash", id, err);
}

/* So has what was making room for another of its name. */
static int
finish_evicting(struct maildir *md, const char *id, struct err *err)
{
	return md_place_finish(md->dirfd, ".by-id", id, err);
}

/*
 * Before anything is looked at: what of a move that a crash broke off is in
 * both mailboxes is in one.
 */
static int
finish_move(struct maildir *md, const char *id, struct err *err)
{
	const char *path = map_find(&md->paths, slice_str(id)), *to;
	struct md_load l = { .rootfd = md->dirfd,
		.path = path,
		.id = id,
		.compact_min = MD_COMPACT_MIN,
		.watchfd = -1,
		.now = loop_wall(md->env.loop).ms / 1000 };
	char to_id[STORE_ID_MAX + 1];

	if (path == NULL) {
		md_moving_end(md->dirfd, id, false);
		return 0;
	}
	if (md_moving_to(md->dirfd, id, to_id, err) == -1)
		return -1;
	to = map_find(&md->paths, slice_str(to_id));
	l.moved_to = to;
	if (md_load(&l, err) == -1) {
		log_err(md->env.log, "maildir: mailbox cannot be opened", "dir",
		    md->dir, "mailboxid", id, "why", err->text, NULL);
		return 0; /* again when it is opened */
	}
	md_load_fini(&l);
	return 0;
}

typedef int start_visit(struct maildir *md, const char *id, struct err *err);

static int
each_in(struct maildir *md, const char *dir, start_visit *visit,
    struct err *err)
{
	int fd = openat(md->dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	int result = 0;
	DIR *d;

	if (fd == -1)
		return errno == ENOENT ? 0 : err_sys(err, "opening %s", dir);
	d = fdopendir(fd);
	MUST(d != NULL);
	while (result == 0 && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && strlen(e->d_name) <= STORE_ID_MAX)
			result = visit(md, e->d_name, err);
	closedir(d);
	return result;
}

/* Others may have the mail, but this state is one process's at a time. */
static int
lock(struct maildir *md, struct err *err)
{
	md->lockfd = openat(md->dirfd, LOCK,
	    O_RDWR | O_CREAT | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (md->lockfd == -1)
		return err_sys(err, "opening " LOCK);
	/* A disk that has no locks goes without. */
	if (flock(md->lockfd, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK)
		return err_set(err, "%s: another process has it", md->dir);
	return 0;
}

static int
prepare(struct maildir *md, struct err *err)
{
	if (md_mkdir(AT_FDCWD, md->dir, err) == -1)
		return -1;
	md->dirfd = open(md->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (md->dirfd == -1)
		return err_sys(err, "opening %s", md->dir);
	if (lock(md, err) == -1 ||
	    each_in(md, ".trash", finish_destroying, err) == -1)
		return -1;
	if (md_remove(md->dirfd, ".trash", err) == -1)
		log_err(md->env.log, "maildir: mailboxes not removed", "dir",
		    md->dir, "why", err->text, NULL);
	if (md_mkdir(md->dirfd, ".trash", err) == -1 ||
	    md_mkdir(md->dirfd, ".moving", err) == -1 ||
	    md_mkdir(md->dirfd, ".public", err) == -1 ||
	    md_mkdir(md->dirfd, ".by-id", err) == -1 ||
	    md_sync_dir(md->dirfd, ".", err) == -1)
		return -1;
	if (each_in(md, ".by-id", finish_evicting, err) == -1 ||
	    md_walk(md->dirfd, md->pattern, find_one, md, err) == -1)
		return -1;
	return md->options.look_only ? 0
	                             : each_in(md, ".moving", finish_move, err);
}

static void
on_poll(void *arg)
{
	struct maildir *md = arg;

	md_box_poll(md);
	timer_set(md->poll, POLL_MS);
}

static bool
free_path(void *arg, struct slice key, void *value)
{
	(void)arg, (void)key;
	free(value);
	return true;
}

static void
maildir_free(struct maildir *md)
{
	map_each(&md->paths, free_path, NULL);
	map_fini(&md->paths);
	map_fini(&md->open);
	timer_free(&md->poll);
	md_watch_free(&md->watch);
	if (md->dirfd != -1)
		close(md->dirfd);
	if (md->lockfd != -1)
		close(md->lockfd);
	free(md->dir);
	free(md->pattern);
	free(md);
}

static int
start(struct store **stp, const struct store_env *env, const char *dir,
    struct err *err)
{
	struct maildir *md = xcalloc(1, sizeof *md);

	md->store.module = &maildir_module;
	md->magic = STORE_MAGIC;
	md->env = *env;
	md->options = env->options;
	md->dir = xstrdup(dir);
	md->pattern = xstrdup(env->layout != NULL ? env->layout : MD_LAYOUT);
	md->dirfd = md->lockfd = -1;
	md->compact_min = MD_COMPACT_MIN;
	map_init(&md->paths);
	map_init(&md->open);
	TAILQ_INIT(&md->boxes);
	md->poll = timer_new(env->loop, on_poll, md);
	if (md_pattern_check(md->pattern, err) == -1 ||
	    prepare(md, err) == -1) {
		maildir_free(md);
		return -1;
	}
	md->watch = md_watch_new(md);
	timer_set(md->poll, POLL_MS);
	*stp = &md->store;
	return 0;
}

static void
stop(struct store **stp)
{
	struct maildir *md = maildir_of(*stp);

	MUST(md->busy == 0 && map_count(&md->open) == 0);
	maildir_free(md);
	*stp = NULL;
}

static void
configure(struct store *st, const struct store_options *o)
{
	maildir_of(st)->options = *o;
}

static size_t
busy(const struct store *st)
{
	return ((const struct maildir *)(const void *)st)->busy;
}

/* ---- room ---- */

static void
look(struct maildir *md)
{
	int64_t now = loop_now(md->env.loop).ms;
	struct statvfs v;

	if (md->looked_ms != 0 && now - md->looked_ms < LOOK_MS)
		return;
	md->looked_ms = now;
	md->room = UINT64_MAX;
	/* What cannot be asked will say so when it is written to. */
	if (fstatvfs(md->dirfd, &v) == 0)
		md->room = (uint64_t)v.f_bavail * v.f_frsize;
	md->full = md->room <= md->options.reserve;
}

const char *
maildir_refusal(struct maildir *md, uint64_t octets)
{
	if (md->options.reserve == 0)
		return NULL;
	look(md);
	if (md->full || octets > md->room - md->options.reserve)
		return "The disk is full, try again later";
	return NULL;
}

static const char *
trouble(const struct store *st)
{
	(void)st; /* each change is tried by itself */
	return NULL;
}

static bool
is_full(const struct store *st)
{
	return ((const struct maildir *)(const void *)st)->full;
}

/* ---- all of them ---- */

struct each {
	struct maildir *md;
	store_visit *visit;
	void *arg;
};

static bool
each_one(void *arg, struct slice key, void *value)
{
	struct each *each = arg;
	char id[STORE_ID_MAX + 1];
	struct store_entry e = { .id = id };
	struct md_note note;
	bool missing, mended, more;
	struct err err;
	int dirfd;

	snprintf(id, sizeof id, "%.*s", (int)key.len, (const char *)key.ptr);
	buf_init(&note.meta, 1);
	dirfd =
	    openat(each->md->dirfd, value, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd == -1 ||
	    md_note_find(dirfd, &note, &missing, &mended, &err) == -1)
		e.damage = "its directory cannot be read";
	if (dirfd != -1)
		close(dirfd);
	if (e.damage == NULL) {
		e.uidvalidity = note.uidvalidity;
		e.meta = buf_slice(&note.meta);
	}
	more = each->visit(each->arg, &e);
	buf_fini(&note.meta);
	return more;
}

static int
each(struct store *st, store_visit *visit, void *arg, struct err *err)
{
	struct each e = { maildir_of(st), visit, arg };
	struct store_entry damaged = { .id = "",
		.damage = "its " MD_MAILBOX " is damaged" };

	(void)err;
	for (size_t i = 0; i < e.md->damaged; i++)
		if (!visit(arg, &damaged))
			return 0;
	map_each(&e.md->paths, each_one, &e);
	return 0;
}

const struct store_module maildir_module = {
	.name = "maildir",
	.shared = true,
	.start = start,
	.stop = stop,
	.configure = configure,
	.busy = busy,
	.trouble = trouble,
	.is_full = is_full,
	.each = each,
	.create = create,
	.destroy = destroy,
	.peek = md_read_peek,
	.open = md_box_open,
	.close = md_box_close,
	.at = md_box_at,
	.keyword_add = md_box_keyword_add,
	.claim_recent = md_box_claim_recent,
	.append = md_op_append,
	.move = md_op_move,
	.change = md_op_change,
	.expunge = md_op_expunge,
	.set_meta = md_op_set_meta,
	.sync = md_op_sync,
	.put_cache = md_read_put_cache,
	.has_cache = md_read_has_cache,
	.read = md_read_read,
	.expunged = md_read_expunged,
	.held = md_read_held,
};
