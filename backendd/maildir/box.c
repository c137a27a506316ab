#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

#define BOX_MAGIC 0x6d64426fu

enum {
	OWN_MS = 200,
	WATCHED_MS = 30 * 1000 /* between looks at one that is watched */
};

struct box *
md_box_of(struct store_mailbox *mb)
{
	struct box *b = (struct box *)mb;

	MUST(b->magic == BOX_MAGIC);
	return b;
}

void
md_box_hold(struct box *b)
{
	b->busy++;
}

static void
box_free(struct box *b)
{
	void (*gone)(void *arg) = b->gone;
	void *gone_arg = b->gone_arg;

	map_remove(&b->md->open, slice_str(b->store.id));
	TAILQ_REMOVE(&b->md->boxes, b, entry);
	md_watch_drop(b->md->watch, b);
	if (b->dirfd != -1)
		close(b->dirfd);
	for (unsigned i = 0; i < b->names.nkeywords; i++)
		free(b->keywords[i]);
	free(b->meta);
	md_index_fini(&b->x);
	buf_fini(&b->cached);
	b->magic = 0;
	free(b);
	if (gone != NULL)
		gone(gone_arg);
}

void
md_box_release(struct box *b)
{
	MUST(b->busy > 0);
	b->busy--;
	if (b->busy == 0 && b->closed)
		box_free(b);
}

void
md_box_close(struct store_mailbox *mb)
{
	struct box *b = md_box_of(mb);

	MUST(!b->closed);
	b->closed = true;
	md_box_hold(b);
	if (!b->hurt &&
	    (buf_len(&b->cached) > 0 || b->store.recent != b->x.recent))
		md_op_flush_cache(b);
	md_box_release(b);
}

const struct store_msg *
md_box_at(const struct store_mailbox *mb, uint32_t i)
{
	return &((const struct box *)(const void *)mb)->x.msgs[i].m;
}

int
md_box_keyword_add(struct store_mailbox *mb, struct slice name)
{
	struct box *b = md_box_of(mb);
	unsigned i = b->names.nkeywords;

	b->keywords[i] = xstrndup(name.ptr, name.len);
	b->names.nkeywords++;
	return (int)i;
}

uint32_t
md_box_claim_recent(struct store_mailbox *mb)
{
	uint32_t from = mb->recent;

	mb->recent = mb->numbers.uidnext;
	return from;
}

void
md_box_set_meta(struct box *b, struct slice meta)
{
	free(b->meta);
	b->meta = (uint8_t *)xstrndup(meta.ptr, meta.len);
	b->names.meta = slice_of(b->meta, meta.len);
}

void
md_box_hurt(struct box *b)
{
	const struct store_news news = { .damaged = true };

	if (b->hurt)
		return;
	b->hurt = b->store.damaged = true;
	b->md->store.counts.damaged_mailboxes++;
	log_err(b->md->env.log, "maildir: files are not where they should be",
	    "dir", b->md->dir, "mailboxid", b->store.id, NULL);
	if (b->store.observer != NULL)
		b->store.observer(b->store.observer_arg, &news);
}

void
md_box_say_unread(struct box *b, size_t n, const struct err *err)
{
	if (n > 0)
		log_err(b->md->env.log,
		    "maildir: files cannot be read and are no messages yet",
		    "dir", b->md->dir, "mailboxid", b->store.id, "files",
		    LOG_NUM(n), "why", err->text, NULL);
}

/* ---- opening ---- */

struct opening {
	struct maildir *md;
	struct box *box;
	struct md_load load;
	char id[STORE_ID_MAX + 1], path[MD_PATH];
	bool known, failed, again;
	struct err err;
	store_open_cb *cb; /* NULL: closed again before it was open */
	void *arg;
	store_cb *evict; /* or NULL: then, first of all */
	void *evict_arg;
};

static void
opening_run(void *arg)
{
	struct opening *o = arg;

	if (o->again)
		return;
	o->load.dirfd = -1;
	o->failed = !o->known ? err_set(&o->err, "no such mailbox") == -1
	                      : md_load(&o->load, &o->err) == -1;
}

static void
take_over(struct box *b, struct md_load *l)
{
	b->x = l->x;
	b->dirfd = l->dirfd;
	b->times = l->times;
	b->times.cur.tv_nsec = -1; /* look again soon */
	b->cache_end = l->cache_end;
	b->store.numbers = md_index_numbers(&b->x);
	b->store.recent = b->x.recent;
	b->names.nkeywords = b->x.nkeywords;
	for (unsigned i = 0; i < b->x.nkeywords; i++)
		b->keywords[i] = xstrdup(b->x.keywords[i]);
	md_box_set_meta(b, buf_slice(&l->meta));
	md_watch_put(b->md->watch, b, l->wd);
	l->dirfd = l->wd[0] = l->wd[1] = -1;
	md_index_init(&l->x);
	md_load_fini(l);
}

static void
opening_done(void *arg)
{
	struct opening *o = arg;
	struct maildir *md = o->md;
	struct box *b = o->box;
	const char *why = NULL;

	b->opening = NULL;
	if (o->failed) {
		log_err(md->env.log, "maildir: mailbox cannot be opened", "dir",
		    md->dir, "mailboxid", o->id, "why", o->err.text, NULL);
		why = "Mailbox cannot be opened";
		b->closed = true;
	} else if (!o->again) {
		take_over(b, &o->load);
		md_box_say_unread(b, o->load.nunread, &o->load.unread);
	}
	if (o->load.rebuilt) {
		md->store.counts.rebuilt++;
		log_warn(md->env.log,
		    "maildir: index was lost and is made "
		    "anew from files",
		    "dir", md->dir, "mailboxid", o->id, NULL);
	}
	if (o->evict != NULL && !o->failed)
		md_op_evict(b, o->evict, o->evict_arg);
	else if (o->evict != NULL)
		o->evict(o->evict_arg, why);
	if (o->cb != NULL)
		o->cb(o->arg, o->failed ? NULL : &b->store, why);
	md_box_release(b);
	md->busy--;
	free(o);
}

static struct box *
box_new(struct maildir *md, const char *id)
{
	struct box *b = xcalloc(1, sizeof *b);

	b->magic = BOX_MAGIC;
	b->md = md;
	b->dirfd = b->wd[0] = b->wd[1] = -1;
	b->store.module = &maildir_module;
	b->store.store = &md->store;
	b->store.names = &b->names;
	b->names.keywords = b->keywords;
	memcpy(b->store.id, id, strlen(id) + 1);
	md_index_init(&b->x);
	buf_init(&b->cached, 1024 * 1024);
	TAILQ_INIT(&b->ops);
	map_put(&md->open, slice_str(id), b);
	TAILQ_INSERT_TAIL(&md->boxes, b, entry);
	return b;
}

struct reopening {
	struct maildir *md;
	char id[STORE_ID_MAX + 1];
	store_open_cb *cb;
	void *arg;
};

static void
reopen(void *arg)
{
	struct reopening *r = arg;

	md_box_open(&r->md->store, r->id, r->cb, r->arg);
	r->md->busy--;
	free(r);
}

/* When it has gone: what is hurt is not opened as it was. */
static void
open_anew(struct box *b, store_open_cb *cb, void *arg)
{
	struct reopening *r = xcalloc(1, sizeof *r);

	MUST(b->gone == NULL);
	*r = (struct reopening){ .md = b->md, .cb = cb, .arg = arg };
	memcpy(r->id, b->store.id, sizeof r->id);
	b->md->busy++;
	b->gone = reopen;
	b->gone_arg = r;
}

/* One that is closed and not gone yet is as it was, and open again. */
void
md_box_open(struct store *st, const char *id, store_open_cb *cb, void *arg)
{
	struct maildir *md = maildir_of(st);
	struct box *b = map_find(&md->open, slice_str(id));
	const char *path = map_find(&md->paths, slice_str(id));
	struct opening *o;

	MUST(b == NULL || b->closed);
	if (b != NULL && b->hurt) {
		open_anew(b, cb, arg);
		return;
	}
	if (b != NULL && b->opening != NULL) {
		b->closed = false;
		b->opening->cb = cb;
		b->opening->arg = arg;
		return;
	}
	o = xcalloc(1, sizeof *o);
	o->again = b != NULL;
	if (b == NULL)
		b = box_new(md, id);
	b->closed = false;
	*o = (struct opening){ .md = md,
		.box = b,
		.again = o->again,
		.known = path != NULL,
		.cb = cb,
		.arg = arg };
	memcpy(o->id, id, strlen(id) + 1);
	if (path != NULL)
		memcpy(o->path, path, strlen(path) + 1);
	o->load = (struct md_load){ .rootfd = md->dirfd,
		.path = o->path,
		.id = o->id,
		.dirfd = -1,
		.compact_min = md->compact_min,
		.watchfd = md_watch_fd(md->watch),
		.now = loop_wall(md->env.loop).ms / 1000 };
	b->opening = o->again ? NULL : o;
	md_box_hold(b);
	md->busy++;
	jobs_put(md->env.jobs, opening_run, opening_done, o);
}

/* One that is not open is opened, and closed already: who opens it has it. */
void
md_box_evict(struct maildir *md, const char *id, store_cb *cb, void *arg)
{
	struct box *b = map_find(&md->open, slice_str(id));

	if (b == NULL) {
		md_box_open(&md->store, id, NULL, NULL);
		b = map_find(&md->open, slice_str(id));
		b->closed = true;
	}
	if (b->opening == NULL) {
		md_op_evict(b, cb, arg);
		return;
	}
	MUST(b->opening->evict == NULL);
	b->opening->evict = cb;
	b->opening->evict_arg = arg;
}

/* ---- what others do meanwhile ---- */

/* What is heard just behind a change of ours is of it, perhaps. */
int64_t
md_box_scan_now(struct box *b)
{
	int64_t now = loop_now(b->md->env.loop).ms;

	if (b->closed || b->hurt || b->opening != NULL || !md_op_idle(b) ||
	    now - b->own_ms < OWN_MS)
		return -1;
	if (b->scan_after_ms > now)
		return b->scan_after_ms - now;
	md_op_scan(b);
	return 0;
}

static bool
is_due(const struct box *b, int64_t now)
{
	if (b->closed || b->hurt || b->opening != NULL || b->dirfd == -1 ||
	    b->scan_after_ms > now)
		return false;
	return b->wd[0] == -1 || b->dirty || now - b->looked_ms >= WATCHED_MS;
}

struct look {
	struct box *box;
	struct md_times times;
	bool changed;
};

struct looking {
	struct maildir *md;
	size_t n;
	struct look at[];
};

static void
looking_run(void *arg)
{
	struct looking *l = arg;

	for (size_t i = 0; i < l->n; i++) {
		struct md_times now;
		struct err err;

		if (md_times(l->at[i].box->dirfd, &now, &err) == 0)
			l->at[i].changed =
			    !md_times_equal(&now, &l->at[i].times);
	}
}

static void
looking_done(void *arg)
{
	struct looking *l = arg;
	struct maildir *md = l->md;

	for (size_t i = 0; i < l->n; i++) {
		struct box *b = l->at[i].box;

		if (!b->closed && !b->hurt && md_op_idle(b)) {
			md_watch_clean(b);
			if (l->at[i].changed)
				md_op_scan(b);
		}
		md_box_release(b);
	}
	md->polling = false;
	md->busy--;
	free(l);
}

void
md_box_poll(struct maildir *md)
{
	int64_t now = loop_now(md->env.loop).ms;
	struct looking *l;
	struct box *b;

	if (md->polling || map_count(&md->open) == 0)
		return;
	l = xcalloc(1, sizeof *l + map_count(&md->open) * sizeof l->at[0]);
	l->md = md;
	TAILQ_FOREACH (b, &md->boxes, entry) {
		if (!is_due(b, now))
			continue;
		b->looked_ms = now;
		l->at[l->n++] = (struct look){ .box = b, .times = b->times };
		md_box_hold(b);
	}
	md->polling = true;
	md->busy++;
	jobs_put(md->env.jobs, looking_run, looking_done, l);
}
