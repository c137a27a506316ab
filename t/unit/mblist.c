/*
 * mblist: random changes against a model, one after another and many at once;
 * what is listed is what the store has, also after it is opened again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/mblist_op.h"
#include "backendd/seen.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "backendd/users.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	STEPS = 600,
	ROUNDS = 60,
	AT_ONCE = 12,
	NAMES_MAX = 64,
	NAME_MAX_OCTETS = 64
};

/* Names that get in each other's way. */
static const char *const names[] = { "user.a", "user.a.x", "user.a.x.y",
	"user.a.xy", "user.b", "user.b.x", "s", "s.t", "s.t.u", "s-t" };

/* --- a store that keeps nothing but ids and notes ------------------------------ */

struct note {
	size_t len;
	uint8_t octets[];
};

struct fake_store {
	struct store store;
	struct loop *loop;
	struct map ids;  /* id: struct note */
	unsigned refuse; /* the next so many creations fail */
	unsigned notes;  /* written anew */
	const char *damaged;
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

static void
open_now(void *arg)
{
	struct opening *o = arg;
	struct store_mailbox *mb = NULL;

	if (map_find(&o->store->ids, slice_str(o->id)) != NULL) {
		mb = xcalloc(1, sizeof(*mb));
		mb->module = o->store->store.module;
		mb->store = &o->store->store;
		mb->numbers.uidnext = 1;
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
	.open = fake_open,
	.close = fake_close,
	.set_meta = fake_set_meta,
	.each = fake_each,
};

/* --- a backend of it ----------------------------------------------------------- */

struct test {
	struct backendd bd;
	struct backendd_conf conf;
	struct partition partition;
	struct fake_store store;
	char dir[64];
	unsigned seed, due;
	char *model[NAMES_MAX]; /* names, sorted */
	size_t nmodel;
};

static unsigned
roll(struct test *t, unsigned n)
{
	t->seed = t->seed * 1103515245u + 12345u;
	return (t->seed >> 16) % n;
}

static void
ended(void *arg)
{
	loop_stop(arg);
}

/* What was freed goes at the end of a turn. */
static void
one_turn(struct test *t)
{
	struct task *last = task_new(t->bd.loop, ended, t->bd.loop);

	task_want(last);
	loop_run(t->bd.loop);
	task_free(&last);
}

static void
open_list(struct test *t)
{
	struct err err;

	if (users_open(&t->bd.users, &t->bd, &err) == -1 ||
	    mblist_open(&t->bd.list, &t->bd, &err) == -1) {
		printf("Bail out! %s\n", err.text);
		exit(1);
	}
	t->bd.seens = seens_new(t->bd.users);
	one_turn(t); /* what a crash has left goes */
}

static void
setup(struct test *t, unsigned seed)
{
	*t = (struct test){ .seed = seed };
	tempdir_make(t->dir);
	t->conf.directory = t->dir;
	t->conf.duplicate_ms = 1000;
	t->bd.conf = &t->conf;
	t->bd.hostname = "test";
	t->bd.layout = mboxname_layout_default;
	t->bd.loop = loop_new();
	t->bd.jobs = jobs_new(t->bd.loop, 2);
	t->bd.log = log_new("mblist.t", LOG_LEVEL_ERR, true);
	t->store.store.module = &fake_module;
	t->store.loop = t->bd.loop;
	map_init(&t->store.ids);
	t->partition = (struct partition){ "default", "", &t->store.store };
	t->bd.partitions = &t->partition;
	t->bd.npartitions = 1;
	t->conf.publish_ms = t->conf.compare_ms = 1000;
	t->conf.list_shrink = 50;
	t->bd.mailboxes = mailboxes_new(t->bd.loop);
	open_list(t);
}

/* Notes that are due are written first. */
static void
close_list(struct test *t)
{
	do
		one_turn(t);
	while (mblist_busy(t->bd.list) > 0);
	seens_free(&t->bd.seens);
	mblist_close(&t->bd.list);
	users_close(&t->bd.users);
	one_turn(t);
}

static bool
free_note(void *arg, struct slice key, void *value)
{
	(void)arg; /* every one */
	(void)key;
	free(value);
	return true;
}

static void
teardown(struct test *t)
{
	close_list(t);
	for (size_t i = 0; i < t->nmodel; i++)
		free(t->model[i]);
	mailboxes_free(&t->bd.mailboxes);
	map_each(&t->store.ids, free_note, NULL);
	map_fini(&t->store.ids);
	jobs_free(&t->bd.jobs);
	one_turn(t);
	loop_free(&t->bd.loop);
	log_free(&t->bd.log);
	tempdir_remove(t->dir);
}

/* --- the model ------------------------------------------------------------------- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t
model_find(const struct test *t, const char *name)
{
	for (size_t i = 0; i < t->nmodel; i++)
		if (strcmp(t->model[i], name) == 0)
			return i;
	return NAMES_MAX;
}

static void
model_add(struct test *t, const char *name)
{
	MUST(t->nmodel < NAMES_MAX);
	t->model[t->nmodel++] = xstrdup(name);
	qsort(t->model, t->nmodel, sizeof(t->model[0]), by_name);
}

static void
model_remove(struct test *t, size_t i)
{
	free(t->model[i]);
	t->model[i] = t->model[--t->nmodel];
	qsort(t->model, t->nmodel, sizeof(t->model[0]), by_name);
}

static bool
is_at_or_below(const char *name, const char *top)
{
	return strcmp(name, top) == 0 ||
	       mboxname_is_below(slice_str(name), slice_str(top));
}

static bool
keeps_inbox(const char *from, const char *to)
{
	return mboxname_is_inbox(slice_str(from)) &&
	       !mboxname_is_inbox(slice_str(to));
}

/* A name that a RENAME would make, if it moves this one. */
static void
renamed(const char *name, const char *from, const char *to,
    char out[NAME_MAX_OCTETS])
{
	snprintf(out, NAME_MAX_OCTETS, "%s%s", to, name + strlen(from));
}

static enum mblist_result
model_rename(struct test *t, const char *from, const char *to)
{
	char new[NAME_MAX_OCTETS];
	size_t n = t->nmodel;

	if (model_find(t, from) == NAMES_MAX)
		return MBLIST_NONE;
	if (model_find(t, to) != NAMES_MAX)
		return MBLIST_EXISTS;
	if (keeps_inbox(from, to)) {
		model_add(t, to);
		return MBLIST_OK;
	}
	for (size_t i = 0; i < n; i++) {
		if (!is_at_or_below(t->model[i], from))
			continue;
		renamed(t->model[i], from, to, new);
		if (model_find(t, new) != NAMES_MAX)
			return MBLIST_EXISTS;
	}
	for (size_t i = 0; i < n; i++) {
		if (!is_at_or_below(t->model[i], from))
			continue;
		renamed(t->model[i], from, to, new);
		free(t->model[i]);
		t->model[i] = xstrdup(new);
	}
	qsort(t->model, t->nmodel, sizeof(t->model[0]), by_name);
	return MBLIST_OK;
}

/* --- comparing --------------------------------------------------------------------- */

struct listed {
	struct test *test;
	char *names[NAMES_MAX];
	size_t n;
	bool stored;
};

static bool
list_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct listed *l = arg;

	MUST(l->n < NAMES_MAX);
	l->names[l->n++] = xstrdup(name);
	if (map_find(&l->test->store.ids, rec->mailboxid) == NULL)
		l->stored = false;
	return true;
}

static void
list_fini(struct listed *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
}

/* Each listed mailbox is in the store, and nothing else is. */
static bool
is_whole(struct test *t)
{
	struct listed l = { .test = t, .stored = true };
	bool good;

	mblist_each(t->bd.list, "", list_one, &l);
	good = l.stored && l.n == map_count(&t->store.ids);
	list_fini(&l);
	return good;
}

static bool
is_as_model(struct test *t)
{
	struct listed l = { .test = t, .stored = true };
	bool same;

	mblist_each(t->bd.list, "", list_one, &l);
	qsort(l.names, l.n, sizeof(l.names[0]), by_name);
	same = l.n == t->nmodel;
	for (size_t i = 0; same && i < l.n; i++)
		same = strcmp(l.names[i], t->model[i]) == 0;
	list_fini(&l);
	return same;
}

/* --- changes -------------------------------------------------------------------------- */

enum kind {
	CREATE,
	DELETE,
	RENAME,
	SETACL,
	KINDS
};

static const struct mblist_new how = { .acl = "a\tlrs\t", .special_use = "" };

struct change {
	struct test *test;
	enum kind kind;
	const char *from, *to;
	enum mblist_result result;
	unsigned answers;
};

static void
answered(void *arg, enum mblist_result r, const char *text)
{
	struct change *c = arg;

	(void)text; /* for logs */
	c->result = r;
	c->answers++;
	if (--c->test->due == 0)
		loop_stop(c->test->bd.loop);
}

/* A RENAME to below itself is not the list's to refuse. */
static void
pick(struct test *t, struct change *c)
{
	*c = (struct change){ .test = t };
	do {
		c->kind = (enum kind)roll(t, KINDS);
		c->from = names[roll(t, sizeof(names) / sizeof(names[0]))];
		c->to = names[roll(t, sizeof(names) / sizeof(names[0]))];
	} while (c->kind == RENAME && !keeps_inbox(c->from, c->to) &&
	         is_at_or_below(c->to, c->from));
}

static void
begin(struct change *c)
{
	struct mblist *l = c->test->bd.list;

	c->test->due++;
	switch (c->kind) {
	case CREATE:
		mblist_create(l, c->from, &how, answered, c);
		break;
	case DELETE:
		mblist_delete(l, c->from, answered, c);
		break;
	case RENAME:
		mblist_rename(l, c->from, c->to, answered, c);
		break;
	case SETACL:
	case KINDS:
		mblist_set_acl(l, c->from, "b\tlr\t", answered, c);
		break;
	}
}

static enum mblist_result
model_change(struct test *t, const struct change *c)
{
	size_t i = model_find(t, c->from);

	switch (c->kind) {
	case CREATE:
		if (i != NAMES_MAX)
			return MBLIST_EXISTS;
		model_add(t, c->from);
		return MBLIST_OK;
	case DELETE:
		if (i == NAMES_MAX)
			return MBLIST_NONE;
		model_remove(t, i);
		return MBLIST_OK;
	case RENAME:
		return model_rename(t, c->from, c->to);
	case SETACL:
	case KINDS:
		break;
	}
	return i == NAMES_MAX ? MBLIST_NONE : MBLIST_OK;
}

static void
test_one_by_one(unsigned seed)
{
	unsigned wrong = 0, done = 0;
	struct change c;
	struct test t;

	setup(&t, seed);
	for (int i = 0; i < STEPS; i++) {
		enum mblist_result want;

		pick(&t, &c);
		begin(&c);
		loop_run(t.bd.loop);
		want = model_change(&t, &c);
		done += c.result == MBLIST_OK;
		if (c.answers == 1 && c.result == want && is_as_model(&t))
			continue;
		if (wrong++ == 0)
			printf("# step %d: kind %d %s %s: %d, not %d\n", i,
			    (int)c.kind, c.from, c.to, (int)c.result,
			    (int)want);
	}
	ok(wrong == 0, "seed %u: each change as in the model", seed);
	ok(done > STEPS / 8, "seed %u: and many are made (%u)", seed, done);
	one_turn(&t);
	ok(is_whole(&t), "seed %u: the store has what is listed", seed);
	close_list(&t);
	open_list(&t);
	ok(is_as_model(&t) && is_whole(&t), "seed %u: opened again", seed);
	teardown(&t);
}

static void
test_at_once(unsigned seed)
{
	struct change c[AT_ONCE];
	unsigned answers = 0, busy = 0, broken = 0;
	struct test t;

	setup(&t, seed);
	for (int round = 0; round < ROUNDS; round++) {
		t.store.refuse = roll(&t, 3) == 0 ? 1 : 0;
		for (size_t i = 0; i < AT_ONCE; i++) {
			pick(&t, &c[i]);
			begin(&c[i]);
		}
		loop_run(t.bd.loop);
		one_turn(&t);
		for (size_t i = 0; i < AT_ONCE; i++) {
			answers += c[i].answers;
			busy += c[i].result == MBLIST_BUSY;
		}
		broken += !is_whole(&t);
	}
	ok(answers == ROUNDS * AT_ONCE, "seed %u: one answer each", seed);
	ok(busy > 0, "seed %u: some were in each other's way", seed);
	ok(broken == 0, "seed %u: list and store always agree", seed);
	close_list(&t);
	open_list(&t);
	ok(is_whole(&t), "seed %u: and after opening again", seed);
	teardown(&t);
}

static void
made(void *arg, enum mblist_result r, const char *text)
{
	struct change *c = arg;

	answered(c, r, text);
}

/* Two that need the same INBOX make one. */
static void
test_make_user(void)
{
	char sent[] = "\\Sent Sent";
	char *uses[] = { sent };
	struct change a, b;
	struct arena arena;
	struct test t;
	const struct mboxrec *rec;

	setup(&t, 1);
	t.conf.special_use = (struct conf_list){ uses, 1 };
	a = b = (struct change){ .test = &t };
	t.due = 2;
	mblist_make_user(t.bd.list, "joe", made, &a);
	mblist_make_user(t.bd.list, "joe", made, &b);
	loop_run(t.bd.loop);
	ok(a.result == MBLIST_OK && b.result == MBLIST_OK, "both are served");
	arena_init(&arena);
	ok(mblist_get(t.bd.list, "user.joe", &arena) != NULL, "an INBOX");
	rec = mblist_get(t.bd.list, "user.joe.Sent", &arena);
	ok(rec != NULL && slice_is(rec->special_uses, "\\Sent"),
	    "and what belongs to it");
	ok(users_is_subscribed(t.bd.users, "joe", "user.joe.Sent"),
	    "subscribed");
	ok(map_count(&t.store.ids) == 2, "each once");
	arena_reset(&arena);
	teardown(&t);
}

int
main(void)
{
	for (unsigned seed = 1; seed <= 2; seed++) {
		test_one_by_one(seed);
		test_at_once(seed);
	}
	test_make_user();
	return done_testing();
}
