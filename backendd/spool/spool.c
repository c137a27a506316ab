#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/journal.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	/* What a start has to replay: a second or two. */
	CHECKPOINT_OCTETS = 64 * 1024 * 1024,
	CHECKPOINT_RECORDS = 20000,
	CHECKPOINT_FEW = 32,
	BALLAST = 4 * 1024 * 1024, /* some thousand changes of flags */
	COMPACT_DEAD = 256,
	CACHE_MIN = 256 * 1024,
	DEAD_SLOTS = 4096, /* fewer are looked at in no time */
	RECLAIM_MIN = 64 * 1024,
	RECLAIM_AGAIN = 60,
	INLINE_MAX = 512 * 1024,
	FILES_MAX = 4096, /* descriptors kept for the next change */
	TRASH_NAME = 80
};

#define SPOOL_MAGIC_OBJECT 0x6d53706fu

struct spool *
spool_of(struct store *st)
{
	struct spool *sp = (struct spool *)st;

	MUST(sp->magic == SPOOL_MAGIC_OBJECT);
	return sp;
}

static int
replay(void *arg, uint64_t number, struct slice record, struct err *err)
{
	struct spool *sp = arg;

	if (redo_replay(sp, number, record, err) == -1)
		return -1;
	sp->applied = number;
	return 0;
}

static int
learn(void *arg, uint64_t number, struct slice record, struct err *err)
{
	(void)number, (void)err;
	gone_learn(arg, record);
	return 0;
}

/* If there is no room for all of it, without what is gone at its end. */
static int
replay_log(struct spool *sp, const char *log, uint64_t after, struct err *err)
{
	struct loop *loop = sp->env.loop;
	struct jobs *jobs = sp->env.jobs;
	int result =
	    journal_open(&sp->journal, loop, jobs, log, after, replay, sp, err);

	if (result == -1 && room_is_none(sp)) {
		result = journal_open(&sp->journal, loop, jobs, log, after,
		    learn, sp, err);
		if (result == -1)
			return -1;
		journal_close(&sp->journal);
		redo_forget(sp);
		sp->applied = after;
		result = journal_open(&sp->journal, loop, jobs, log, after,
		    replay, sp, err);
		gone_forget(sp);
		if (result == -1)
			err_add(err, "the disk is full");
	}
	redo_forget(sp);
	return result;
}

/* Before the replay, which may fill it again. */
static int
clear_trash(struct spool *sp, struct err *err)
{
	char path[SPOOL_PATH];
	struct dirent *e;
	int result = 0;
	DIR *d;

	d = spool_opendir(sp->dirfd, "trash", err);
	if (d == NULL)
		return -1;
	while (result == 0 && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || strlen(e->d_name) > TRASH_NAME)
			continue;
		snprintf(path, sizeof path, "trash/%.80s", e->d_name);
		result = spool_remove(sp->dirfd, path, err);
	}
	closedir(d);
	return result;
}

static int
make_dir(int dirfd, const char *name, struct err *err)
{
	if (mkdirat(dirfd, name, 0700) == -1 && errno != EEXIST)
		return err_sys(err, "making %s", name);
	return 0;
}

static int
spool_prepare(struct spool *sp, struct err *err)
{
	uint64_t after;
	char *log;
	int result;

	if (make_dir(AT_FDCWD, sp->dir, err) == -1)
		return -1;
	sp->dirfd = open(sp->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (sp->dirfd == -1)
		return err_sys(err, "opening %s", sp->dir);
	room_forget(sp);
	if (make_dir(sp->dirfd, "log", err) == -1 ||
	    make_dir(sp->dirfd, "m", err) == -1 ||
	    make_dir(sp->dirfd, "trash", err) == -1 ||
	    spool_sync(sp->dirfd, ".", err) == -1 ||
	    clear_trash(sp, err) == -1 ||
	    checkpoint_read(sp->dirfd, &after, &sp->store.uidvalidity, err) ==
	        -1)
		return -1;
	sp->applied = sp->checkpointed = after;
	log = xmalloc(strlen(sp->dir) + 5);
	memcpy(log, sp->dir, strlen(sp->dir));
	memcpy(log + strlen(sp->dir), "/log", 5);
	result = replay_log(sp, log, after, err);
	free(log);
	if (result == 0) {
		journal_keep_spares(sp->journal, SPOOL_SPARES);
		journal_gather(sp->journal);
	}
	return result;
}

static void
on_timer(void *arg)
{
	change_retry(arg);
}

static void
on_task(void *arg)
{
	change_advance(arg);
}

static void
spool_free(struct spool *sp)
{
	reclaim_free(&sp->reclaim);
	dirty_free(&sp->dirty);
	map_fini(&sp->ill);
	redo_forget(sp);
	map_fini(&sp->looks);
	map_fini(&sp->gone);
	map_fini(&sp->open);
	timer_free(&sp->timer);
	task_free(&sp->task);
	journal_close(&sp->journal);
	if (sp->dirfd != -1)
		close(sp->dirfd);
	free(sp->dir);
	sp->magic = 0;
	free(sp);
}

/* Most of what the process may have is for those who connect. */
static size_t
files_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return 0;
	return limit.rlim_cur / 4 < FILES_MAX ? (size_t)limit.rlim_cur / 4
	                                      : FILES_MAX;
}

static int
spool_start(struct store **stp, const struct store_env *env, const char *dir,
    struct err *err)
{
	struct spool *sp = xcalloc(1, sizeof *sp);

	sp->store.module = &spool_module;
	sp->magic = SPOOL_MAGIC_OBJECT;
	sp->env = *env;
	sp->dir = xstrdup(dir);
	sp->dirfd = -1;
	sp->checkpoint_octets = CHECKPOINT_OCTETS;
	sp->checkpoint_records = CHECKPOINT_RECORDS;
	sp->checkpoint_few = CHECKPOINT_FEW;
	sp->ballast_octets = BALLAST;
	sp->compact_dead = COMPACT_DEAD;
	sp->cache_min = CACHE_MIN;
	sp->dead_slots = DEAD_SLOTS;
	sp->reclaim_min = RECLAIM_MIN;
	sp->inline_max = INLINE_MAX;
	sp->reclaim_again = RECLAIM_AGAIN;
	sp->options = env->options;
	map_init(&sp->open);
	map_init(&sp->dirty);
	map_init(&sp->ill);
	map_init(&sp->looks);
	map_init(&sp->gone);
	TAILQ_INIT(&sp->hurt);
	TAILQ_INIT(&sp->want);
	TAILQ_INIT(&sp->filed);
	sp->files_max = files_max();
	TAILQ_INIT(&sp->keeping);
	TAILQ_INIT(&sp->held_up);
	TAILQ_INIT(&sp->waiting);
	TAILQ_INIT(&sp->refused);
	sp->timer = timer_new(env->loop, on_timer, sp);
	sp->task = task_new(env->loop, on_task, sp);
	if (spool_prepare(sp, err) == -1) {
		spool_free(sp);
		*stp = NULL;
		return err_add(err, "partition %s", dir);
	}
	sp->reclaim = reclaim_new(sp);
	sp->guard = (struct guard_owner){ .covers = box_covers, .arg = sp };
	guard_join(&sp->guard);
	*stp = &sp->store;
	return 0;
}

static void
spool_stop(struct store **stp)
{
	struct spool *sp = spool_of(*stp);

	*stp = NULL;
	reclaim_free(&sp->reclaim);
	guard_leave(&sp->guard);
	MUST(map_count(&sp->open) == 0 && sp->busy == 0);
	dead_settle(sp);
	/* No checkpoint: syncing takes seconds, and the next start must be
	 * able to do without anyway. */
	spool_free(sp);
}

static void
spool_configure(struct store *st, const struct store_options *o)
{
	struct spool *sp = spool_of(st);

	sp->options = *o;
	sp->looked_ms = 0;
}

static void
spool_distrust(struct store *st, const char *id)
{
	map_put(&spool_of(st)->ill, slice_str(id), st);
}

static bool
spool_is_full(const struct store *st)
{
	struct spool *sp = spool_of((struct store *)(uintptr_t)st);

	return room_refusal(sp, 0) != NULL;
}

static size_t
spool_busy(const struct store *st)
{
	return ((const struct spool *)(const void *)st)->busy;
}

static const char *
spool_trouble(const struct store *st)
{
	return change_trouble((const struct spool *)(const void *)st);
}

/* ---- making and removing ---- */

static bool
exists(struct spool *sp, const char *id)
{
	char path[SPOOL_PATH];
	struct stat st;

	spool_path(path, id, SPOOL_INDEX, 0);
	return fstatat(sp->dirfd, path, &st, 0) == 0;
}

static void
spool_create(struct store *st, const struct store_create *c, store_cb *cb,
    void *arg)
{
	struct spool *sp = spool_of(st);
	struct change *ch = change_new(sp, cb, arg);
	const char *why = room_refusal(sp, 0);
	struct store_names *names;
	struct spool_header h = {
		.uidvalidity = c->uidvalidity,
		.uidnext = c->uidnext != 0 ? c->uidnext : 1,
		.highestmodseq = c->highestmodseq != 0 ? c->highestmodseq : 1,
	};

	if (why == NULL && exists(sp, c->id))
		why = "Mailbox exists already";
	if (why != NULL) {
		change_refuse(ch, why);
		return;
	}
	h.recent = h.uidnext;
	spool_header_seal(&h);
	names = spool_names_new(NULL, 0, slice_of(NULL, 0), c->meta);
	redo_mailbox(&ch->record, c->id);
	redo_create(&ch->record, &h, names);
	free(names);
	change_put(ch);
}

static void
spool_destroy(struct store *st, const char *id, store_cb *cb, void *arg)
{
	struct spool *sp = spool_of(st);
	struct spool_mailbox *mb = map_find(&sp->open, slice_str(id));
	struct change *ch = change_new(sp, cb, arg);
	const char *why = change_refusal(sp);

	MUST(mb == NULL || mb->closed);
	if (why != NULL) {
		change_refuse(ch, why);
		return;
	}
	if (mb != NULL)
		mb->destroyed = true;
	redo_trash_box(ch->trash, id);
	redo_mailbox(&ch->record, id);
	redo_destroy(&ch->record);
	change_put(ch);
}

/* ---- the walk ---- */

struct walk {
	struct spool *sp;
	store_visit *visit;
	void *arg;
	bool stopped;
};

static bool
show(struct walk *w, const char *id)
{
	struct store_entry e = { .id = id };
	struct store_names *names = NULL;
	char path[SPOOL_PATH];
	struct spool_header h;
	uint8_t *p = NULL;
	struct err err;
	bool more;
	size_t n;
	int fd;

	spool_path(path, id, SPOOL_INDEX, 0);
	fd = openat(w->sp->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		e.damage = "no index";
	else if (spool_read(fd, &h, sizeof h, 0, &err) == -1 ||
	         !spool_header_good(&h))
		e.damage = "the index is damaged";
	if (fd != -1)
		close(fd);
	spool_path(path, id, SPOOL_NAMES, 0);
	if (e.damage == NULL && spool_read_file(w->sp->dirfd, path,
	                            SPOOL_RECORD_MAX, &p, &n, &err) == 0)
		names = spool_names_get(slice_of(p, n));
	if (e.damage == NULL && names == NULL)
		e.damage = "names are damaged";
	if (e.damage == NULL) {
		e.uidvalidity = h.uidvalidity;
		e.meta = names->meta;
	}
	more = w->visit(w->arg, &e);
	free(names);
	free(p);
	return more;
}

/*
 * path is "m", "m/xx" or "m/xx/yy"; what is in the last are mailboxes.  Three
 * levels deep and no more, so the recursion is bounded.
 */
static int
walk_dir(struct walk *w, const char *path, unsigned level, struct err *err)
{
	char sub[SPOOL_PATH];
	struct dirent *e;
	int result = 0;
	DIR *d;

	d = spool_opendir(w->sp->dirfd, path, err);
	if (d == NULL)
		return -1;
	while (result == 0 && !w->stopped && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || strlen(e->d_name) > STORE_ID_MAX)
			continue;
		if (level == 2) {
			w->stopped = !show(w, e->d_name);
			continue;
		}
		snprintf(sub, sizeof sub, "%.8s/%.64s", path, e->d_name);
		result = walk_dir(w, sub, level + 1, err);
	}
	closedir(d);
	return result;
}

static int
spool_each(struct store *st, store_visit *visit, void *arg, struct err *err)
{
	struct walk w = { .sp = spool_of(st), .visit = visit, .arg = arg };

	return walk_dir(&w, "m", 0, err);
}

const struct store_module spool_module = {
	.name = "spool",
	.start = spool_start,
	.stop = spool_stop,
	.configure = spool_configure,
	.busy = spool_busy,
	.trouble = spool_trouble,
	.is_full = spool_is_full,
	.each = spool_each,
	.create = spool_create,
	.destroy = spool_destroy,
	.distrust = spool_distrust,
	.peek = peek_peek,
	.open = open_open,
	.close = box_close,
	.at = box_at,
	.keyword_add = box_keyword_add,
	.claim_recent = box_claim_recent,
	.append = append_append,
	.move = append_move,
	.change = flags_change,
	.expunge = flags_expunge,
	.set_meta = flags_set_meta,
	.sync = flags_sync,
	.put_cache = read_put_cache,
	.has_cache = read_has_cache,
	.read = read_read,
	.expunged = read_expunged,
	.held = read_held,
};
