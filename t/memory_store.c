#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/store.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/xalloc.h"
#include "t/memory_store.h"

enum {
	DIR_ROOM = 160,
	DAY = 24 * 60 * 60
};

struct letter {
	struct store_msg m; /* gone: modseq and savedate are its expunge's */
	uint8_t *octets;
	uint8_t *cache;
	size_t cache_len;
	bool bare; /* gone, and cannot be brought back */
};

struct letters {
	struct letter *at;
	size_t n, size;
};

struct box {
	struct store_numbers numbers;
	struct store_names names;
	char *keywords[STORE_KEYWORDS];
	uint32_t recent;
	struct letters here, gone;
	struct open_box *open;
	unsigned busy; /* calls under way */
	bool destroyed;
};

/* What outlives a store: a "directory". */
struct shelf {
	LIST_ENTRY(shelf) link;
	char dir[DIR_ROOM];
	struct map boxes;
};

static LIST_HEAD(, shelf) shelves = LIST_HEAD_INITIALIZER(shelves);

struct open_box {
	struct store_mailbox store; /* first */
	struct box *box;
};

struct call {
	TAILQ_ENTRY(call) entry;
	enum memory_call kind;
	struct box *box, *to;
	char id[STORE_ID_MAX + 1];
	struct store_create create;
	uint8_t *meta;
	size_t meta_len;
	struct store_append *appends;
	struct store_change *changes;
	uint32_t *uids;
	size_t n;
	uint64_t since;
	uint32_t if_flags;
	struct store_part *parts;
	const struct store_record *records;
	store_look *look;
	struct store_peek *peeks;
	const char *why;
	union {
		store_cb *cb;
		store_open_cb *opened;
		store_read_cb *read;
		store_peek_cb *peeked;
		store_gone_cb *gone;
		store_held_cb *held;
	} u;
	void *arg;
};

TAILQ_HEAD(calls, call);

struct memory_store {
	struct store store; /* first */
	struct store_env env;
	struct store_options options;
	struct shelf *shelf;
	struct task *task;
	struct calls changes, others;
	size_t busy;
	const char *fail[MEMORY_CALLS];
	bool delay[MEMORY_CALLS];
};

/* What is told of a change. */
struct effect {
	struct box *box;
	struct store_news news;
	uint32_t *uids;
	bool touches; /* the mailbox's MODSEQ goes up in any case */
};

static struct memory_store *
memory_of(struct store *st)
{
	return (struct memory_store *)st;
}

static struct box *
box_of(const struct store_mailbox *mb)
{
	return ((const struct open_box *)mb)->box;
}

/* ---- what is kept ---- */

static size_t
letters_index(const struct letters *l, uint32_t uid)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->at[mid].m.uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct letter *
letters_find(const struct letters *l, uint32_t uid)
{
	size_t i = letters_index(l, uid);

	return i < l->n && l->at[i].m.uid == uid ? &l->at[i] : NULL;
}

static struct letter *
letters_add(struct letters *l, const struct letter *x)
{
	size_t i = letters_index(l, x->m.uid);

	if (l->n == l->size) {
		l->size = l->size * 2 + 16;
		l->at = xreallocarray(l->at, l->size, sizeof *l->at);
	}
	memmove(&l->at[i + 1], &l->at[i], (l->n - i) * sizeof *l->at);
	l->at[i] = *x;
	l->n++;
	return &l->at[i];
}

static void
letters_drop(struct letters *l, struct letter *x)
{
	size_t i = (size_t)(x - l->at);

	l->n--;
	memmove(&l->at[i], &l->at[i + 1], (l->n - i) * sizeof *l->at);
}

static void
letters_free(struct letters *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->at[i].octets);
		free(l->at[i].cache);
	}
	free(l->at);
}

static void
box_set_meta(struct box *b, struct slice meta)
{
	free((void *)(uintptr_t)b->names.meta.ptr);
	b->names.meta = slice_of(xstrndup(meta.ptr, meta.len), meta.len);
}

static void
box_free(struct box *b)
{
	letters_free(&b->here);
	letters_free(&b->gone);
	for (unsigned i = 0; i < b->names.nkeywords; i++)
		free(b->keywords[i]);
	free((void *)(uintptr_t)b->names.meta.ptr);
	free(b);
}

static void
box_release(struct box *b)
{
	if (b == NULL)
		return;
	MUST(b->busy > 0);
	if (--b->busy == 0 && b->destroyed)
		box_free(b);
}

static void
box_count(struct box *b)
{
	struct store_numbers *n = &b->numbers;

	n->exists = (uint32_t)b->here.n;
	n->unseen = n->deleted = 0;
	n->size = 0;
	for (size_t i = 0; i < b->here.n; i++) {
		const struct store_msg *m = &b->here.at[i].m;

		n->unseen += (m->flags & STORE_SEEN) == 0;
		n->deleted += (m->flags & STORE_DELETED) != 0;
		n->size += m->size;
	}
	if (b->open != NULL)
		b->open->store.numbers = *n;
}

/* ---- effects ---- */

static void
effect_init(struct effect *e, struct box *b, size_t n)
{
	*e = (struct effect){ .box = b };
	e->news.modseq = b->numbers.highestmodseq + 1;
	e->uids = xcalloc(n + 1, sizeof *e->uids);
}

static void
effect_tell(struct effect *e)
{
	struct store_news *n = &e->news;
	struct store_mailbox *mb;
	bool any = n->first_uid != 0 || n->nchanged > 0 || n->nexpunged > 0 ||
	           e->touches;

	if (any && n->modseq > e->box->numbers.highestmodseq)
		e->box->numbers.highestmodseq = n->modseq;
	n->modseq = e->box->numbers.highestmodseq;
	box_count(e->box);
	mb = e->box->open != NULL ? &e->box->open->store : NULL;
	if (any && mb != NULL && mb->observer != NULL)
		mb->observer(mb->observer_arg, n);
	free(e->uids);
}

static int
compare_uids(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
effect_expunge(struct effect *e, struct letter *x, bool bare, int64_t now)
{
	struct letter gone = *x;

	gone.m.modseq = e->news.modseq;
	gone.m.savedate = now;
	gone.bare = bare;
	e->uids[e->news.nexpunged++] = gone.m.uid;
	e->news.expunged = e->uids;
	letters_drop(&e->box->here, x);
	letters_add(&e->box->gone, &gone);
}

/* ---- calls ---- */

static int64_t
seconds(const struct memory_store *s)
{
	return loop_wall(s->env.loop).ms / 1000;
}

static void
do_create(struct memory_store *s, struct call *c)
{
	struct slice id = slice_str(c->id);
	struct box *b;

	if (map_find(&s->shelf->boxes, id) != NULL) {
		c->why = "There is one already";
		return;
	}
	b = xcalloc(1, sizeof *b);
	b->names.keywords = b->keywords;
	b->numbers.uidvalidity = c->create.uidvalidity;
	b->numbers.uidnext = c->create.uidnext != 0 ? c->create.uidnext : 1;
	b->numbers.highestmodseq =
	    c->create.highestmodseq != 0 ? c->create.highestmodseq : 1;
	b->recent = 1;
	box_set_meta(b, slice_of(c->meta, c->meta_len));
	map_put(&s->shelf->boxes, id, b);
}

static void
do_destroy(struct memory_store *s, struct call *c)
{
	struct box *b = map_remove(&s->shelf->boxes, slice_str(c->id));

	if (b == NULL)
		return;
	MUST(b->open == NULL);
	b->destroyed = true;
	b->busy++;
	box_release(b);
}

static struct store_mailbox *
do_open(struct memory_store *s, struct call *c)
{
	struct box *b = map_find(&s->shelf->boxes, slice_str(c->id));
	struct open_box *o;

	if (b == NULL) {
		c->why = "No such mailbox";
		return NULL;
	}
	MUST(b->open == NULL);
	o = xcalloc(1, sizeof *o);
	o->box = b;
	o->store.module = &memory_module;
	o->store.store = &s->store;
	o->store.numbers = b->numbers;
	o->store.names = &b->names;
	o->store.recent = b->recent;
	memcpy(o->store.id, c->id, sizeof c->id);
	b->open = o;
	return &o->store;
}

static bool
has_key(const struct letters *l, const uint8_t key[16], int64_t since)
{
	for (size_t i = 0; i < l->n; i++)
		if (memcmp(l->at[i].m.key, key, 16) == 0 &&
		    l->at[i].m.added >= since)
			return true;
	return false;
}

static bool
is_taken(struct memory_store *s, struct box *b, const struct store_append *a)
{
	int64_t since = seconds(s) - (int64_t)s->env.key_days * DAY;
	static const uint8_t zeros[16];

	if (a->uid != 0 && a->uid < b->numbers.uidnext)
		return true;
	return memcmp(a->key, zeros, 16) != 0 &&
	       (has_key(&b->here, a->key, since) ||
	           has_key(&b->gone, a->key, since));
}

/* NULL, with none: octets are given; or none is there. */
static struct letter *
source_of(struct box *from, const struct store_append *a, bool *none)
{
	struct letter *x;

	*none = from == NULL;
	if (from == NULL)
		return NULL;
	x = letters_find(a->undelete ? &from->gone : &from->here, a->from_uid);
	return x != NULL && x->bare ? NULL : x;
}

static void
add_one(struct memory_store *s, struct effect *e, struct store_append *a,
    const struct letter *x)
{
	struct slice octets = a->from == NULL
	                          ? a->octets
	                          : slice_of(x->octets, (size_t)x->m.size);
	struct slice cache = a->from != NULL && a->cache.len == 0
	                         ? slice_of(x->cache, x->cache_len)
	                         : a->cache;
	struct box *b = e->box;
	static const uint8_t zeros[16];
	int64_t now = seconds(s);
	struct letter new = {
		.m = { .uid = a->uid != 0 ? a->uid : b->numbers.uidnext,
		    .flags = a->flags,
		    .keywords = { a->keywords[0], a->keywords[1] },
		    .modseq = a->modseq != 0 ? a->modseq : e->news.modseq,
		    .internaldate =
		        a->internaldate != 0 ? a->internaldate : now,
		    .zone = a->zone,
		    .savedate = a->savedate != 0 ? a->savedate : now,
		    .added = now,
		    .size = octets.len },
		.octets = (uint8_t *)xstrndup(octets.ptr, octets.len),
		.cache = (uint8_t *)xstrndup(cache.ptr, cache.len),
		.cache_len = cache.len,
	};

	if (a->from != NULL && a->internaldate == 0) {
		new.m.internaldate = x->m.internaldate;
		new.m.zone = x->m.zone;
	}
	memcpy(new.m.emailid, a->from != NULL ? x->m.emailid : a->emailid, 16);
	if (memcmp(new.m.emailid, zeros, 16) == 0)
		rand_bytes(new.m.emailid, 16);
	memcpy(new.m.key, a->key, 16);
	letters_add(&b->here, &new);
	b->numbers.uidnext = new.m.uid + 1;
	if (new.m.modseq > b->numbers.highestmodseq)
		b->numbers.highestmodseq = new.m.modseq;
	a->new_uid = new.m.uid;
	if (e->news.first_uid == 0)
		e->news.first_uid = new.m.uid;
	e->news.last_uid = new.m.uid;
}

/* Appends, copies, brings back; of a move c->box is where they go from. */
static void
do_append(struct memory_store *s, struct call *c)
{
	bool move = c->kind == MEMORY_MOVE;
	struct box *to = move ? c->to : c->box;
	struct effect in, out;
	int64_t now = seconds(s);

	effect_init(&in, to, c->n);
	effect_init(&out, c->box, c->n);
	for (size_t i = 0; i < c->n; i++) {
		struct store_append *a = &c->appends[i];
		struct box *from = a->from != NULL ? box_of(a->from)
		                   : move          ? c->box
		                                   : NULL;
		bool none;
		struct letter *x = source_of(from, a, &none);

		a->outcome = x == NULL && !none   ? STORE_GONE
		             : is_taken(s, to, a) ? STORE_TAKEN
		                                  : STORE_DONE;
		if (a->outcome != STORE_DONE)
			continue;
		add_one(s, &in, a, x);
		if (a->undelete)
			x->bare = true;
		else if (move)
			effect_expunge(to == c->box ? &in : &out,
			    letters_find(&c->box->here, a->from_uid),
			    a->from != NULL, now);
	}
	qsort(in.uids, in.news.nexpunged, sizeof *in.uids, compare_uids);
	qsort(out.uids, out.news.nexpunged, sizeof *out.uids, compare_uids);
	effect_tell(&in);
	effect_tell(&out);
}

static enum store_outcome
change_one(struct effect *e, const struct store_change *c, uint64_t since)
{
	struct letter *x = letters_find(&e->box->here, c->uid);
	struct store_msg was;

	if (x == NULL)
		return STORE_GONE;
	if (x->m.modseq > since)
		return STORE_MODIFIED;
	was = x->m;
	x->m.flags = (was.flags & ~c->clear) | c->set;
	for (size_t i = 0; i < STORE_KEYWORD_WORDS; i++)
		x->m.keywords[i] = (was.keywords[i] & ~c->clear_keywords[i]) |
		                   c->set_keywords[i];
	if (!c->touch && x->m.flags == was.flags &&
	    memcmp(x->m.keywords, was.keywords, sizeof was.keywords) == 0)
		return STORE_SAME;
	x->m.modseq = e->news.modseq;
	e->uids[e->news.nchanged++] = c->uid;
	e->news.changed = e->uids;
	return STORE_DONE;
}

static void
do_change(struct call *c)
{
	struct effect e;

	effect_init(&e, c->box, c->n);
	e.touches = c->n == 0;
	for (size_t i = 0; i < c->n; i++)
		c->changes[i].outcome =
		    change_one(&e, &c->changes[i], c->since);
	effect_tell(&e);
}

static void
do_expunge(struct memory_store *s, struct call *c)
{
	struct effect e;

	effect_init(&e, c->box, c->n);
	for (size_t i = 0; i < c->n; i++) {
		struct letter *x = letters_find(&c->box->here, c->uids[i]);

		if (x != NULL && (x->m.flags & c->if_flags) == c->if_flags)
			effect_expunge(&e, x, s->options.hold_seconds == 0,
			    seconds(s));
	}
	effect_tell(&e);
}

static void
do_peek(struct memory_store *s, struct call *c)
{
	for (size_t i = 0; i < c->n; i++) {
		struct store_peek *p = &c->peeks[i];
		struct box *b = map_find(&s->shelf->boxes, slice_str(p->id));

		p->why = c->why != NULL ? c->why
		         : b == NULL    ? "No such mailbox"
		                        : NULL;
		if (p->why != NULL)
			continue;
		p->numbers = b->numbers;
		p->recent =
		    (uint32_t)(b->here.n - letters_index(&b->here, b->recent));
	}
}

static struct slice
part_octets(const struct store_part *p, const struct letter *x)
{
	struct slice s;

	if (p->what == STORE_CACHE)
		return slice_of(x->cache, x->cache_len);
	s = slice_of(x->octets, (size_t)x->m.size);
	s = slice_skip(s, p->offset < s.len ? (size_t)p->offset : s.len);
	return p->len < s.len ? slice_first(s, (size_t)p->len) : s;
}

/* A message that is expunged is read all the same by whoever asked before. */
static struct store_chunk *
do_read(struct call *c)
{
	struct store_chunk *chunk;
	size_t at = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct store_part *p = &c->parts[i];
		const struct letter *x = letters_find(&c->box->here, p->uid);

		p->octets = slice_of(NULL, 0);
		p->why = c->why != NULL ? c->why
		         : x == NULL    ? "Message is gone"
		                        : NULL;
		if (p->why == NULL)
			p->octets = part_octets(p, x);
		at += p->octets.len;
	}
	chunk = xmalloc(sizeof *chunk + at);
	chunk->len = at;
	at = 0;
	for (size_t i = 0; i < c->n; i++) {
		struct slice *s = &c->parts[i].octets;

		if (s->len > 0)
			memcpy(chunk->octets + at, s->ptr, s->len);
		s->ptr = chunk->octets + at;
		at += s->len;
	}
	return chunk;
}

static void
do_put_cache(struct call *c)
{
	for (size_t i = 0; i < c->n && c->why == NULL; i++) {
		const struct store_record *r = &c->records[i];
		struct letter *x = letters_find(&c->box->here, r->uid);

		if (x == NULL || r->octets.len == 0)
			continue;
		free(x->cache);
		x->cache = (uint8_t *)xstrndup(r->octets.ptr, r->octets.len);
		x->cache_len = r->octets.len;
	}
}

static void
do_expunged(struct call *c)
{
	const struct letters *l = &c->box->gone;
	struct store_gone *gone = xcalloc(l->n + 1, sizeof *gone);
	size_t n = 0;

	for (size_t i = 0; i < l->n && c->why == NULL; i++)
		if (l->at[i].m.modseq > c->since)
			gone[n++] = (struct store_gone){ l->at[i].m.uid,
				l->at[i].m.modseq };
	c->u.gone(c->arg, gone, n, c->why);
	free(gone);
}

static void
do_held(struct memory_store *s, struct call *c)
{
	int64_t since = seconds(s) - s->options.hold_seconds;
	const struct letters *l = &c->box->gone;
	struct store_held *held = xcalloc(l->n + 1, sizeof *held);
	size_t n = 0;

	for (size_t i = 0; i < l->n && c->why == NULL; i++) {
		const struct store_msg *m = &l->at[i].m;

		if (l->at[i].bare || m->savedate < since)
			continue;
		held[n++] = (struct store_held){ .uid = m->uid,
			.flags = m->flags,
			.keywords = { m->keywords[0], m->keywords[1] },
			.expunged = m->savedate,
			.internaldate = m->internaldate,
			.zone = m->zone,
			.size = m->size };
	}
	c->u.held(c->arg, held, n, c->why);
	free(held);
}

static void
do_change_call(struct memory_store *s, struct call *c)
{
	struct store_mailbox *mb = NULL;

	if (c->why == NULL)
		switch (c->kind) {
		case MEMORY_CREATE:
			do_create(s, c);
			break;
		case MEMORY_DESTROY:
			do_destroy(s, c);
			break;
		case MEMORY_OPEN:
			mb = do_open(s, c);
			break;
		case MEMORY_APPEND:
		case MEMORY_MOVE:
			do_append(s, c);
			break;
		case MEMORY_CHANGE:
			do_change(c);
			break;
		case MEMORY_EXPUNGE:
			do_expunge(s, c);
			break;
		case MEMORY_SET_META:
			box_set_meta(c->box, slice_of(c->meta, c->meta_len));
			break;
		case MEMORY_SYNC:
		case MEMORY_PEEK:
		case MEMORY_READ:
		case MEMORY_PUT_CACHE:
		case MEMORY_EXPUNGED:
		case MEMORY_HELD:
		case MEMORY_CALLS:
			break;
		}
	if (c->kind == MEMORY_OPEN)
		c->u.opened(c->arg, mb, c->why);
	else if (c->u.cb != NULL)
		c->u.cb(c->arg, c->why);
}

static void
do_call(struct memory_store *s, struct call *c)
{
	c->why = s->fail[c->kind];
	if (c->kind == MEMORY_PEEK) {
		do_peek(s, c);
		c->u.peeked(c->arg);
	} else if (c->kind == MEMORY_READ) {
		struct store_chunk *chunk = do_read(c);

		if (c->look != NULL)
			c->look(c->arg);
		c->u.read(c->arg, chunk);
	} else if (c->kind == MEMORY_PUT_CACHE) {
		do_put_cache(c);
		c->u.cb(c->arg, c->why);
	} else if (c->kind == MEMORY_EXPUNGED) {
		do_expunged(c);
	} else if (c->kind == MEMORY_HELD) {
		do_held(s, c);
	} else {
		do_change_call(s, c);
	}
}

static void
drain(struct memory_store *s, struct calls *list)
{
	struct call *c;

	while ((c = TAILQ_FIRST(list)) != NULL && !s->delay[c->kind]) {
		TAILQ_REMOVE(list, c, entry);
		do_call(s, c);
		s->busy--;
		box_release(c->box);
		box_release(c->to);
		free(c->meta);
		free(c);
	}
}

static void
pump(void *arg)
{
	struct memory_store *s = arg;

	drain(s, &s->changes);
	drain(s, &s->others);
}

static struct call *
call_new(struct memory_store *s, enum memory_call kind, struct box *b,
    void *arg)
{
	struct call *c = xcalloc(1, sizeof *c);

	c->kind = kind;
	c->box = b;
	c->arg = arg;
	if (b != NULL)
		b->busy++;
	s->busy++;
	TAILQ_INSERT_TAIL(kind < MEMORY_PEEK ? &s->changes : &s->others, c,
	    entry);
	task_want(s->task);
	return c;
}

static struct call *
call_of(struct store_mailbox *mb, enum memory_call kind, void *arg)
{
	return call_new(memory_of(mb->store), kind, box_of(mb), arg);
}

/* ---- for the tests ---- */

void
memory_store_fail(struct store *st, enum memory_call call, const char *why)
{
	memory_of(st)->fail[call] = why;
}

void
memory_store_delay(struct store *st, enum memory_call call, bool delay)
{
	memory_of(st)->delay[call] = delay;
	task_want(memory_of(st)->task);
}

static bool
free_one(void *arg, struct slice key, void *value)
{
	(void)arg, (void)key;
	box_free(value);
	return true;
}

void
memory_store_forget(void)
{
	struct shelf *s;

	while ((s = LIST_FIRST(&shelves)) != NULL) {
		LIST_REMOVE(s, link);
		map_each(&s->boxes, free_one, NULL);
		map_fini(&s->boxes);
		free(s);
	}
}

/* ---- the module ---- */

static struct shelf *
shelf_get(const char *dir)
{
	struct shelf *s;

	LIST_FOREACH(s, &shelves, link)
	if (strcmp(s->dir, dir) == 0)
		return s;
	s = xcalloc(1, sizeof *s);
	snprintf(s->dir, sizeof s->dir, "%s", dir);
	map_init(&s->boxes);
	LIST_INSERT_HEAD(&shelves, s, link);
	return s;
}

static int
start(struct store **stp, const struct store_env *env, const char *dir,
    struct err *err)
{
	struct memory_store *s = xcalloc(1, sizeof *s);

	(void)err; /* memory does not fail */
	s->store.module = &memory_module;
	s->env = *env;
	s->options = env->options;
	s->shelf = shelf_get(dir);
	s->task = task_new(env->loop, pump, s);
	TAILQ_INIT(&s->changes);
	TAILQ_INIT(&s->others);
	*stp = &s->store;
	return 0;
}

static void
stop(struct store **stp)
{
	struct memory_store *s = memory_of(*stp);

	MUST(s->busy == 0);
	task_free(&s->task);
	free(s);
	*stp = NULL;
}

static void
configure(struct store *st, const struct store_options *o)
{
	memory_of(st)->options = *o;
}

static size_t
busy(const struct store *st)
{
	return ((const struct memory_store *)st)->busy;
}

static const char *
trouble(const struct store *st)
{
	return ((const struct memory_store *)st)->fail[MEMORY_APPEND];
}

static bool
is_full(const struct store *st)
{
	return trouble(st) != NULL;
}

struct walk {
	store_visit *visit;
	void *arg;
};

static bool
each_one(void *arg, struct slice key, void *value)
{
	struct walk *w = arg;
	struct box *b = value;
	char *id = xstrndup(key.ptr, key.len);
	struct store_entry e = { .id = id,
		.uidvalidity = b->numbers.uidvalidity,
		.meta = b->names.meta };
	bool more = w->visit(w->arg, &e);

	free(id);
	return more;
}

static int
each(struct store *st, store_visit *visit, void *arg, struct err *err)
{
	struct walk w = { visit, arg };

	(void)err;
	map_each(&memory_of(st)->shelf->boxes, each_one, &w);
	return 0;
}

static void
create(struct store *st, const struct store_create *create, store_cb *cb,
    void *arg)
{
	struct call *c = call_new(memory_of(st), MEMORY_CREATE, NULL, arg);

	c->create = *create;
	snprintf(c->id, sizeof c->id, "%s", create->id);
	c->meta = (uint8_t *)xstrndup(create->meta.ptr, create->meta.len);
	c->meta_len = create->meta.len;
	c->u.cb = cb;
}

static void
destroy(struct store *st, const char *id, store_cb *cb, void *arg)
{
	struct call *c = call_new(memory_of(st), MEMORY_DESTROY, NULL, arg);

	snprintf(c->id, sizeof c->id, "%s", id);
	c->u.cb = cb;
}

static void
peek(struct store *st, struct store_peek *p, size_t n, store_peek_cb *cb,
    void *arg)
{
	struct call *c = call_new(memory_of(st), MEMORY_PEEK, NULL, arg);

	c->peeks = p;
	c->n = n;
	c->u.peeked = cb;
}

static void
open_box(struct store *st, const char *id, store_open_cb *cb, void *arg)
{
	struct call *c = call_new(memory_of(st), MEMORY_OPEN, NULL, arg);

	snprintf(c->id, sizeof c->id, "%s", id);
	c->u.opened = cb;
}

static void
close_box(struct store_mailbox *mb)
{
	box_of(mb)->open = NULL;
	free(mb);
}

static const struct store_msg *
at(const struct store_mailbox *mb, uint32_t i)
{
	return &box_of(mb)->here.at[i].m;
}

static int
keyword_add(struct store_mailbox *mb, struct slice name)
{
	struct box *b = box_of(mb);

	b->keywords[b->names.nkeywords] = xstrndup(name.ptr, name.len);
	return (int)b->names.nkeywords++;
}

static uint32_t
claim_recent(struct store_mailbox *mb)
{
	uint32_t from = mb->recent;

	mb->recent = box_of(mb)->recent = mb->numbers.uidnext;
	return from;
}

static void
append(struct store_mailbox *mb, struct store_append *a, size_t n, store_cb *cb,
    void *arg)
{
	struct call *c = call_of(mb, MEMORY_APPEND, arg);

	c->appends = a;
	c->n = n;
	c->u.cb = cb;
}

static void
move(struct store_mailbox *mb, struct store_mailbox *to, struct store_append *a,
    size_t n, store_cb *cb, void *arg)
{
	struct call *c = call_of(mb, MEMORY_MOVE, arg);

	c->to = box_of(to);
	c->to->busy++;
	c->appends = a;
	c->n = n;
	c->u.cb = cb;
}

static void
change(struct store_mailbox *mb, struct store_change *changes, size_t n,
    uint64_t unchanged_since, store_cb *cb, void *arg)
{
	struct call *c = call_of(mb, MEMORY_CHANGE, arg);

	c->changes = changes;
	c->n = n;
	c->since = unchanged_since;
	c->u.cb = cb;
}

static void
expunge(struct store_mailbox *mb, const uint32_t *uids, size_t n,
    uint32_t if_flags, store_cb *cb, void *arg)
{
	struct call *c = call_of(mb, MEMORY_EXPUNGE, arg);

	c->uids = (uint32_t *)(uintptr_t)uids;
	c->n = n;
	c->if_flags = if_flags;
	c->u.cb = cb;
}

static void
set_meta(struct store_mailbox *mb, struct slice meta, store_cb *cb, void *arg)
{
	struct call *c = call_of(mb, MEMORY_SET_META, arg);

	c->meta = (uint8_t *)xstrndup(meta.ptr, meta.len);
	c->meta_len = meta.len;
	c->u.cb = cb;
}

static void
sync_box(struct store_mailbox *mb, store_cb *cb, void *arg)
{
	call_of(mb, MEMORY_SYNC, arg)->u.cb = cb;
}

static void
put_cache(struct store_mailbox *mb, const struct store_record *r, size_t n,
    store_cb *cb, void *arg)
{
	struct call *c = call_of(mb, MEMORY_PUT_CACHE, arg);

	c->records = r;
	c->n = n;
	c->u.cb = cb;
}

static bool
has_cache(const struct store_mailbox *mb, const struct store_msg *msg)
{
	return letters_find(&box_of(mb)->here, msg->uid)->cache_len > 0;
}

static void
read_parts(struct store_mailbox *mb, struct store_part *parts, size_t n,
    store_look *look, store_read_cb *cb, void *arg)
{
	struct call *c = call_of(mb, MEMORY_READ, arg);

	c->parts = parts;
	c->n = n;
	c->look = look;
	c->u.read = cb;
}

static void
expunged(struct store_mailbox *mb, uint64_t since, store_gone_cb *cb, void *arg)
{
	struct call *c = call_of(mb, MEMORY_EXPUNGED, arg);

	c->since = since;
	c->u.gone = cb;
}

static void
held(struct store_mailbox *mb, store_held_cb *cb, void *arg)
{
	call_of(mb, MEMORY_HELD, arg)->u.held = cb;
}

const struct store_module memory_module = {
	.name = "memory",
	.start = start,
	.stop = stop,
	.configure = configure,
	.busy = busy,
	.trouble = trouble,
	.is_full = is_full,
	.each = each,
	.create = create,
	.destroy = destroy,
	.peek = peek,
	.open = open_box,
	.close = close_box,
	.at = at,
	.keyword_add = keyword_add,
	.claim_recent = claim_recent,
	.append = append,
	.move = move,
	.change = change,
	.expunge = expunge,
	.set_meta = set_meta,
	.sync = sync_box,
	.put_cache = put_cache,
	.has_cache = has_cache,
	.read = read_parts,
	.expunged = expunged,
	.held = held,
};
