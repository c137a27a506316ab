#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/ledger.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/quota.h"
#include "backendd/seen.h"
#include "backendd/userdata.h"
#include "backendd/users.h"
#include "imap/mboxrec.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/fake_backend.h"
#include "t/tempdir.h"

/* --- a store that keeps nothing but ids and notes ------------------------------ */

struct note {
	size_t len;
	uint8_t octets[];
};

struct reply {
	store_cb *cb;
	void *arg;
	const char *why;
};

static void
reply_now(void *arg)
{
	struct reply *r = arg;

	r->cb(r->arg, r->why);
	free(r);
}

static void
reply_later(struct fake_store *fs, store_cb *cb, void *arg, const char *why)
{
	struct reply *r = xcalloc(1, sizeof(*r));

	*r = (struct reply){ cb, arg, why };
	loop_at_end(fs->loop, reply_now, r);
}

static void
put_note(struct fake_store *fs, const char *id, struct slice meta)
{
	struct note *n = xcalloc(1, sizeof(*n) + meta.len);
	struct note *old = map_put(&fs->ids, slice_str(id), n);

	n->len = meta.len;
	memcpy(n->octets, meta.ptr, meta.len);
	free(old);
}

static void
fake_create(struct store *st, const struct store_create *c, store_cb *cb,
    void *arg)
{
	struct fake_store *fs = (struct fake_store *)st;

	if (fs->refuse > 0) {
		fs->refuse--;
		reply_later(fs, cb, arg, "No space left on device");
		return;
	}
	MUST(map_find(&fs->ids, slice_str(c->id)) == NULL);
	put_note(fs, c->id, c->meta);
	if (c->uidvalidity > st->uidvalidity)
		st->uidvalidity = c->uidvalidity;
	reply_later(fs, cb, arg, NULL);
}

static void
fake_destroy(struct store *st, const char *id, store_cb *cb, void *arg)
{
	struct fake_store *fs = (struct fake_store *)st;

	free(map_remove(&fs->ids, slice_str(id))); /* may be half there */
	reply_later(fs, cb, arg, NULL);
}

struct opening {
	struct fake_store *store;
	store_open_cb *cb;
	void *arg;
	char id[STORE_ID_MAX + 1];
};

static bool
is_used(const struct fake_store *fs, const char *id)
{
	return fs->used != NULL && strcmp(fs->used, id) == 0;
}

static void
open_now(void *arg)
{
	struct opening *o = arg;
	struct store_mailbox *mb = NULL;

	if (map_find(&o->store->ids, slice_str(o->id)) != NULL) {
		mb = xcalloc(1, sizeof(*mb));
		mb->module = o->store->store.module;
		mb->store = &o->store->store;
		mb->numbers.uidnext = is_used(o->store, o->id) ? 2 : 1;
		memcpy(mb->id, o->id, sizeof(mb->id));
	}
	o->cb(o->arg, mb, mb == NULL ? "There is none" : NULL);
	free(o);
}

static void
fake_open(struct store *st, const char *id, store_open_cb *cb, void *arg)
{
	struct fake_store *fs = (struct fake_store *)st;
	struct opening *o = xcalloc(1, sizeof(*o));

	*o = (struct opening){ .store = fs, .cb = cb, .arg = arg };
	snprintf(o->id, sizeof(o->id), "%s", id);
	loop_at_end(fs->loop, open_now, o);
}

struct peeking {
	store_peek_cb *cb;
	void *arg;
};

static void
peek_now(void *arg)
{
	struct peeking *pk = arg;

	pk->cb(pk->arg);
	free(pk);
}

static void
fake_peek(struct store *st, struct store_peek *p, size_t n, store_peek_cb *cb,
    void *arg)
{
	struct fake_store *fs = (struct fake_store *)st;
	struct peeking *pk = xcalloc(1, sizeof(*pk));

	*pk = (struct peeking){ cb, arg };
	for (size_t i = 0; i < n; i++) {
		p[i].numbers = (struct store_numbers){ .uidvalidity = 1,
			.uidnext = is_used(fs, p[i].id) ? 2 : 1,
			.highestmodseq = 1 };
		p[i].recent = 0;
		p[i].why = map_find(&fs->ids, slice_str(p[i].id)) != NULL
		               ? NULL
		               : "There is none";
	}
	loop_at_end(fs->loop, peek_now, pk);
}

static void
fake_close(struct store_mailbox *mb)
{
	free(mb);
}

static void
fake_set_meta(struct store_mailbox *mb, struct slice meta, store_cb *cb,
    void *arg)
{
	struct fake_store *fs = (struct fake_store *)mb->store;

	put_note(fs, mb->id, meta);
	fs->notes++;
	reply_later(fs, cb, arg, NULL);
}

struct each {
	store_visit *visit;
	void *arg;
	const char *damaged; /* this id is */
};

static bool
visit_one(void *arg, struct slice key, void *value)
{
	struct each *e = arg;
	struct note *n = value;
	struct store_entry entry = { .uidvalidity = 1,
		.meta = slice_of(n->octets, n->len) };
	char id[STORE_ID_MAX + 1];

	snprintf(id, sizeof(id), "%.*s", (int)key.len, (const char *)key.ptr);
	entry.id = id;
	if (e->damaged != NULL && strcmp(id, e->damaged) == 0)
		entry.damage = "an index without its head";
	return e->visit(e->arg, &entry);
}

static int
fake_each(struct store *st, store_visit *visit, void *arg, struct err *err)
{
	struct fake_store *fs = (struct fake_store *)st;
	struct each e = { visit, arg, fs->damaged };

	(void)err; /* it can always be read */
	map_each(&fs->ids, visit_one, &e);
	return 0;
}

static const struct store_module fake_module = {
	.name = "fake",
	.create = fake_create,
	.destroy = fake_destroy,
	.peek = fake_peek,
	.open = fake_open,
	.close = fake_close,
	.set_meta = fake_set_meta,
	.each = fake_each,
};

/* --- the backend --------------------------------------------------------------- */

static void
ended(void *arg)
{
	loop_stop(arg);
}

void
fake_backend_turn(struct fake_backend *f)
{
	struct task *last = task_new(f->bd.loop, ended, f->bd.loop);

	task_want(last);
	loop_run(f->bd.loop);
	task_free(&last);
}

void
fake_backend_open(struct fake_backend *f)
{
	struct err err;

	f->bd.ledger = ledger_new(f->bd.loop);
	f->bd.quotas = quotas_new(&f->bd);
	if (users_open(&f->bd.users, &f->bd, &err) == -1 ||
	    mblist_open(&f->bd.list, &f->bd, &err) == -1) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	f->bd.mailboxes = mailboxes_new(f->bd.loop);
	mailboxes_tell(f->bd.mailboxes, f->bd.ledger);
	f->bd.seens = seens_new(f->bd.users);
	fake_backend_turn(f); /* what a crash has left goes */
}

void
fake_backend_close(struct fake_backend *f)
{
	do
		fake_backend_turn(f);
	while (mblist_busy(f->bd.list) > 0 ||
	       keeper_durable(f->bd.users->keeper) <
	           keeper_last(f->bd.users->keeper));
	seens_free(&f->bd.seens);
	mblist_close(&f->bd.list);
	mailboxes_free(&f->bd.mailboxes);
	quotas_free(&f->bd.quotas);
	ledger_free(&f->bd.ledger);
	users_close(&f->bd.users);
	fake_backend_turn(f);
}

void
fake_backend_init(struct fake_backend *f, const char *log_name)
{
	tempdir_make(f->dir);
	f->conf.directory = f->dir;
	f->conf.duplicate_ms = 1000;
	f->conf.publish_ms = f->conf.compare_ms = 1000;
	f->conf.list_shrink = 50;
	snprintf(f->warnings, sizeof(f->warnings), "80");
	f->conf.quota_warnings = f->warnings;
	f->bd.conf = &f->conf;
	f->bd.hostname = "test";
	f->bd.layout = mboxname_layout_default;
	f->bd.loop = loop_new();
	f->bd.jobs = jobs_new(f->bd.loop, 2);
	f->bd.log = log_new(log_name, LOG_LEVEL_ERR, true);
	f->store.store.module = &fake_module;
	f->store.loop = f->bd.loop;
	map_init(&f->store.ids);
	f->partition = (struct partition){ "default", "", &f->store.store };
	f->bd.partitions = &f->partition;
	f->bd.npartitions = 1;
}

static bool
free_note(void *arg, struct slice key, void *value)
{
	(void)arg; /* every one */
	(void)key;
	free(value);
	return true;
}

void
fake_backend_fini(struct fake_backend *f)
{
	map_each(&f->store.ids, free_note, NULL);
	map_fini(&f->store.ids);
	jobs_free(&f->bd.jobs);
	fake_backend_turn(f);
	loop_free(&f->bd.loop);
	log_free(&f->bd.log);
	tempdir_remove(f->dir);
}

struct whole {
	struct fake_backend *f;
	size_t n;
	bool stored;
};

static bool
whole_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct whole *w = arg;

	(void)name; /* by id */
	w->n++;
	if (map_find(&w->f->store.ids, rec->mailboxid) == NULL)
		w->stored = false;
	return true;
}

bool
fake_backend_is_whole(struct fake_backend *f)
{
	struct whole w = { f, 0, true };

	mblist_each(f->bd.list, "", whole_one, &w);
	return w.stored && w.n == map_count(&f->store.ids);
}
