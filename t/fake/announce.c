#include <stdlib.h>
#include <string.h>

#include "backendd/announce.h"
#include "imap/mboxdigest.h"
#include "lib/arena.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/fake/announce.h"

enum verb {
	VERB_RESERVE,
	VERB_ACTIVATE,
	VERB_DEACTIVATE,
	VERB_DELETE,
	VERB_FIND,
	VERB_LIST,
	VERB_DIGEST
};

struct entry {
	struct arena arena;
	struct mboxrec rec;
};

struct asked {
	TAILQ_ENTRY(asked) link;
	struct arena arena;
	enum verb verb;
	const char *name;
	struct mboxrec rec;
	bool buckets[MBOXDIGEST_BUCKETS];
	announce_entry_cb *entry;
	announce_cb *cb;
	announce_digest_cb *digest_cb;
	void *arg;
};

struct announce {
	struct fake_update_server server;
	struct loop *loop;
	const char *host;
	void (*changed)(void *arg, bool up);
	void *arg;
	bool up;
	struct map entries;
	TAILQ_HEAD(, asked) asked;
	struct task *turn;
};

/* --- the list -------------------------------------------------------------- */

static void
entry_free(struct entry *e)
{
	if (e != NULL)
		arena_reset(&e->arena);
	free(e);
}

static struct mboxrec
copy(struct arena *a, const struct mboxrec *rec)
{
	struct mboxrec r = *rec;

	r.location = arena_copy(a, rec->location);
	r.acl = arena_copy(a, rec->acl);
	r.mailboxid = arena_copy(a, rec->mailboxid);
	r.special_uses = arena_copy(a, rec->special_uses);
	return r;
}

void
fake_announce_put(struct announce *a, const char *name,
    const struct mboxrec *rec)
{
	struct entry *e;

	if (rec == NULL) {
		entry_free(map_remove(&a->entries, slice_str(name)));
		return;
	}
	e = xcalloc(1, sizeof(*e));
	arena_init(&e->arena);
	e->rec = copy(&e->arena, rec);
	entry_free(map_put(&a->entries, slice_str(name), e));
}

const struct mboxrec *
fake_announce_find(struct announce *a, const char *name)
{
	struct entry *e = map_find(&a->entries, slice_str(name));

	return e == NULL ? NULL : &e->rec;
}

size_t
fake_announce_count(struct announce *a)
{
	return map_count(&a->entries);
}

struct fake_update_server *
fake_announce_server(struct announce *a)
{
	return &a->server;
}

/* --- what it answers --------------------------------------------------------- */

static bool
is_ours(const struct announce *a, const struct mboxrec *rec)
{
	return slice_is(mboxrec_host(rec->location), a->host);
}

static enum announce_result
reserve(struct announce *a, struct asked *q, struct announce_answer *answer)
{
	const struct mboxrec *now = fake_announce_find(a, q->name);

	if (now != NULL && (!is_ours(a, now) || now->state != MBOXREC_RESERVED))
		return ANNOUNCE_TAKEN;
	q->rec.state = MBOXREC_RESERVED;
	q->rec.generation =
	    now != NULL ? now->generation : ++a->server.revision;
	if (a->server.extended)
		answer->generation = q->rec.generation;
	fake_announce_put(a, q->name, &q->rec);
	return ANNOUNCE_OK;
}

static enum announce_result
activate(struct announce *a, struct asked *q, struct announce_answer *answer)
{
	const struct mboxrec *now = fake_announce_find(a, q->name);

	if (now != NULL && !is_ours(a, now) &&
	    (a->server.remembers || q->rec.generation <= now->generation))
		return ANNOUNCE_TAKEN;
	if (now != NULL && is_ours(a, now) && q->rec.generation > 0 &&
	    q->rec.generation < now->generation)
		return ANNOUNCE_FENCED;
	q->rec.state = MBOXREC_ACTIVE;
	if (now != NULL && now->generation > q->rec.generation)
		q->rec.generation = now->generation;
	if (q->rec.generation == 0)
		q->rec.generation = ++a->server.revision;
	if (a->server.extended)
		answer->generation = q->rec.generation;
	fake_announce_put(a, q->name, &q->rec);
	return ANNOUNCE_OK;
}

static enum announce_result
deactivate(struct announce *a, struct asked *q)
{
	const struct mboxrec *now = fake_announce_find(a, q->name);
	struct mboxrec rec;

	if (now == NULL)
		return ANNOUNCE_OK;
	if (!is_ours(a, now))
		return ANNOUNCE_TAKEN;
	rec = copy(&q->arena, now);
	rec.state = MBOXREC_RESERVED;
	fake_announce_put(a, q->name, &rec);
	return ANNOUNCE_OK;
}

static enum announce_result delete (struct announce *a, struct asked *q) {
	const struct mboxrec *now = fake_announce_find(a, q->name);

	    if (now != NULL && is_ours(a, now))
	        fake_announce_put(a, q->name, NULL);
	    return ANNOUNCE_OK;
}

struct lister {
	struct announce *a;
	struct asked *q;
	struct mboxdigest digest;
};

static bool
list_one(void *arg, struct slice key, void *value)
{
	struct lister *l = arg;
	struct entry *e = value;
	struct mboxrec rec = e->rec;

	if (!is_ours(l->a, &rec))
		return true;
	mboxdigest_add(&l->digest, key, &rec);
	if (!l->a->server.extended) {
		rec.generation = 0;
		rec.mailboxid = slice_of(NULL, 0);
	} else if (!l->q->buckets[mboxdigest_bucket(key)]) {
		return true;
	}
	if (l->q->verb == VERB_LIST)
		l->q->entry(l->q->arg, key, &rec);
	return true;
}

static void
answer(struct announce *a, struct asked *q)
{
	struct announce_answer answer = { ANNOUNCE_OK, 0, "so" };
	struct lister l = { .a = a, .q = q };
	const struct mboxrec *now;

	switch (q->verb) {
	case VERB_RESERVE:
		answer.result = reserve(a, q, &answer);
		break;
	case VERB_ACTIVATE:
		answer.result = activate(a, q, &answer);
		break;
	case VERB_DEACTIVATE:
		answer.result = deactivate(a, q);
		break;
	case VERB_DELETE:
		answer.result = delete (a, q);
		break;
	case VERB_FIND:
		now = fake_announce_find(a, q->name);
		if (now != NULL)
			q->entry(q->arg, slice_str(q->name), now);
		break;
	case VERB_LIST:
		a->server.lists++;
		if (a->server.no_lists)
			answer.result = ANNOUNCE_REFUSED;
		else
			map_each(&a->entries, list_one, &l);
		break;
	case VERB_DIGEST:
		map_each(&a->entries, list_one, &l);
		q->digest_cb(q->arg, &answer, &l.digest);
		return;
	}
	if (q->cb != NULL)
		q->cb(q->arg, &answer);
}

/* --- the link ----------------------------------------------------------------- */

static void
drop(struct announce *a, struct asked *q)
{
	TAILQ_REMOVE(&a->asked, q, link);
	arena_reset(&q->arena);
	free(q);
}

static void
fail(struct asked *q, enum announce_result r)
{
	struct announce_answer answer = { r, 0, "no" };

	if (q->digest_cb != NULL)
		q->digest_cb(q->arg, &answer, NULL);
	else if (q->cb != NULL)
		q->cb(q->arg, &answer);
}

/* The change that is to go wrong does; true. */
static bool
goes_wrong(struct announce *a, struct asked *q)
{
	struct fake_update_server *s = &a->server;

	if (q->verb > VERB_DELETE || ++s->changes != s->fault_at ||
	    s->fault == FAULT_NONE)
		return false;
	if (s->fault == FAULT_UNANSWERED) {
		q->cb = NULL;
		answer(a, q);
	}
	return true;
}

static void
take_turn(void *arg)
{
	struct announce *a = arg;
	struct asked *q = TAILQ_FIRST(&a->asked);
	bool was_up = a->up;
	announce_cb *cb;

	if (q == NULL)
		return;
	task_want(a->turn);
	cb = q->cb;
	if (!a->up) {
		fail(q, ANNOUNCE_UNAVAILABLE);
	} else if (goes_wrong(a, q)) {
		q->cb = cb;
		if (a->server.fault != FAULT_REFUSED)
			a->up = false;
		if (!a->up)
			a->server.lost = true;
		fail(q, a->up ? ANNOUNCE_REFUSED : ANNOUNCE_UNAVAILABLE);
	} else {
		answer(a, q);
	}
	drop(a, q);
	if (was_up && !a->up)
		a->changed(a->arg, false);
	if (a->server.watch != NULL)
		a->server.watch(a->server.watch_arg);
}

void
fake_announce_owner(struct announce *a, void *arg)
{
	a->arg = arg;
}

void
fake_announce_down(struct announce *a)
{
	a->up = false;
	a->changed(a->arg, false);
}

void
fake_announce_up(struct announce *a)
{
	MUST(TAILQ_EMPTY(&a->asked));
	a->up = true;
	a->changed(a->arg, true);
}

bool
fake_announce_is_idle(const struct announce *a)
{
	return TAILQ_EMPTY(&a->asked);
}

/* --- announce.h ----------------------------------------------------------------- */

static struct asked *
ask(struct announce *a, enum verb verb, const char *name)
{
	struct asked *q = xcalloc(1, sizeof(*q));

	arena_init(&q->arena);
	q->verb = verb;
	q->name = arena_string(&q->arena, slice_str(name));
	TAILQ_INSERT_TAIL(&a->asked, q, link);
	task_want(a->turn);
	return q;
}

static void
ask_at(struct announce *a, enum verb verb, const char *name,
    const char *location, announce_cb *cb, void *arg)
{
	struct asked *q = ask(a, verb, name);

	q->rec.location = arena_copy(&q->arena, slice_str(location));
	q->cb = cb;
	q->arg = arg;
}

void
announce_reserve(struct announce *a, const char *name, const char *location,
    announce_cb *cb, void *arg)
{
	ask_at(a, VERB_RESERVE, name, location, cb, arg);
}

void
announce_activate(struct announce *a, const char *name,
    const struct mboxrec *rec, enum announce_title title, announce_cb *cb,
    void *arg)
{
	struct asked *q = ask(a, VERB_ACTIVATE, name);

	(void)title; /* it is asked in any case */
	q->rec = copy(&q->arena, rec);
	q->cb = cb;
	q->arg = arg;
}

void
announce_deactivate(struct announce *a, const char *name, const char *location,
    announce_cb *cb, void *arg)
{
	ask_at(a, VERB_DEACTIVATE, name, location, cb, arg);
}

void
announce_delete(struct announce *a, const char *name, const char *location,
    announce_cb *cb, void *arg)
{
	ask_at(a, VERB_DELETE, name, location, cb, arg);
}

void
announce_find(struct announce *a, const char *name, announce_entry_cb *entry,
    announce_cb *cb, void *arg)
{
	struct asked *q = ask(a, VERB_FIND, name);

	q->entry = entry;
	q->cb = cb;
	q->arg = arg;
}

void
announce_list(struct announce *a, const char *host, const uint8_t *buckets,
    size_t n, announce_entry_cb *entry, announce_cb *cb, void *arg)
{
	struct asked *q = ask(a, VERB_LIST, host);

	for (size_t i = 0; i < n; i++)
		q->buckets[buckets[i]] = true;
	q->entry = entry;
	q->cb = cb;
	q->arg = arg;
}

void
announce_digest(struct announce *a, const char *host, announce_digest_cb *cb,
    void *arg)
{
	struct asked *q = ask(a, VERB_DIGEST, host);

	q->digest_cb = cb;
	q->arg = arg;
}

struct announce *
fake_announce_new(struct loop *l, const char *host,
    void (*changed)(void *arg, bool up), void *arg)
{
	struct announce *a = xcalloc(1, sizeof(*a));

	a->loop = l;
	a->host = host;
	a->changed = changed;
	a->arg = arg;
	a->server.extended = true;
	a->server.revision = 100;
	map_init(&a->entries);
	TAILQ_INIT(&a->asked);
	a->turn = task_new(l, take_turn, a);
	return a;
}

struct announce *
announce_new(struct loop *l, struct jobs *jobs, struct log *log,
    const struct uplink_conf *conf, void (*changed)(void *arg, bool up),
    void *arg)
{
	(void)jobs; /* there is no connection */
	(void)log;
	(void)conf;
	return fake_announce_new(l, "test", changed, arg);
}

static bool
free_one(void *arg, struct slice key, void *value)
{
	(void)arg; /* every one */
	(void)key;
	entry_free(value);
	return true;
}

void
announce_free(struct announce **ap)
{
	struct announce *a = *ap;
	struct asked *q;

	*ap = NULL;
	if (a == NULL)
		return;
	while ((q = TAILQ_FIRST(&a->asked)) != NULL)
		drop(a, q);
	map_each(&a->entries, free_one, NULL);
	map_fini(&a->entries);
	task_free(&a->turn);
	free(a);
}

bool
announce_is_up(const struct announce *a)
{
	return a->up;
}

bool
announce_has_digests(const struct announce *a)
{
	return a->up && a->server.extended;
}

bool
announce_lost(struct announce *a)
{
	bool lost = a->server.lost;

	a->server.lost = false;
	return lost;
}
