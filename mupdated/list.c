#include <stdlib.h>

#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"
#include "mupdated/list_own.h"

enum {
	SEP_DOMAIN = 0x1d
};

/* Committed, and the disk has not answered. */
struct pending {
	TAILQ_ENTRY(pending) link;
	struct list *list;
	uint64_t revision;
	bool exists;
	size_t name_len, record_len, loser_len, old_len;
	uint8_t octets[]; /* name, record, loser, the record before */
};

/* --- names ----------------------------------------------------------------- */

/*
 * The order of the list is that of octets with the separators below all
 * others; a domain's "!" is the first.
 */
static struct slice
key_of(struct list *l, struct slice name)
{
	size_t domain = slice_find(name, '!');
	size_t n = name.len;
	uint8_t *key;

	buf_clear(&l->key);
	key = buf_space(&l->key, &n);
	MUST(key != NULL && n >= name.len);
	for (size_t i = 0; i < name.len; i++)
		key[i] = name.ptr[i] == '.' ? TREEDB_SEP
		         : i == domain      ? SEP_DOMAIN
		                            : name.ptr[i];
	buf_grew(&l->key, name.len);
	return buf_slice(&l->key);
}

void
list_put_name(struct buf *out, struct slice key)
{
	size_t n = key.len;
	uint8_t *name = buf_space(out, &n);

	MUST(name != NULL && n >= key.len);
	for (size_t i = 0; i < key.len; i++)
		name[i] = key.ptr[i] == TREEDB_SEP   ? '.'
		          : key.ptr[i] == SEP_DOMAIN ? '!'
		                                     : key.ptr[i];
	buf_grew(out, key.len);
}

/* --- telling --------------------------------------------------------------- */

static void
parse(struct mboxrec *r, const uint8_t *octets, size_t len)
{
	struct err err;

	MUST(mboxrec_parse(r, slice_of(octets, len), &err) == 0);
}

static void
tell(struct list *l, const struct pending *p, uint64_t number)
{
	struct list_event ev = { .number = number,
		.revision = p->revision,
		.exists = p->exists };

	ev.name = slice_of(p->octets, p->name_len);
	ev.loser =
	    slice_of(p->octets + p->name_len + p->record_len, p->loser_len);
	if (p->exists)
		parse(&ev.record, p->octets + p->name_len, p->record_len);
	l->watch.changed(l->watch.arg, &ev);
}

/* What is made of the tree follows it, which has none of what is pending. */
static void
take_back(struct list *l)
{
	struct mboxrec r;
	struct pending *p;

	TAILQ_FOREACH_REVERSE(p, &l->pending, pendings, link)
	{
		struct slice name = slice_of(p->octets, p->name_len);
		const uint8_t *record = p->octets + p->name_len;

		changelog_take_back(l->changes, p->revision);
		if (p->exists) {
			parse(&r, record, p->record_len);
			holders_remove(&l->holders, name, &r);
		}
		if (p->old_len > 0) {
			parse(&r, record + p->record_len + p->loser_len,
			    p->old_len);
			holders_add(&l->holders, name, &r);
		}
	}
}

/* LIST:sync, in t/model/murder.pml: durable, or never done. */
static void
settled(void *arg, uint64_t number, bool failed)
{
	struct pending *p = arg;
	struct list *l = p->list;

	/* With the first, all. */
	if (failed && !l->taken_back)
		take_back(l);
	TAILQ_REMOVE(&l->pending, p, link);
	l->taken_back = failed && !TAILQ_EMPTY(&l->pending);
	if (failed) {
		l->runs_owed = true;
		l->watch.failed(l->watch.arg, number);
	} else {
		tell(l, p, number);
	}
	free(p);
}

/* --- changing -------------------------------------------------------------- */

static struct list_answer
refused(enum mupdate_code code, const char *text)
{
	return (struct list_answer){ .code = code, .text = text };
}

/* True as long as what is so lasts. */
static struct list_answer
done(struct list *l, uint64_t generation)
{
	return (struct list_answer){ .done = true,
		.text = "done",
		.number = keeper_last(l->keeper),
		.generation = generation };
}

static uint8_t *
append(uint8_t *to, struct slice s)
{
	if (s.len > 0)
		memcpy(to, s.ptr, s.len);
	return to + s.len;
}

static struct pending *
pending_new(struct list *l, struct slice name, struct slice record,
    struct slice loser)
{
	struct slice old = buf_slice(&l->old);
	struct pending *p =
	    xmalloc(sizeof(*p) + name.len + record.len + loser.len + old.len);

	*p = (struct pending){ .list = l,
		.revision = l->revision + 1,
		.exists = record.len > 0,
		.name_len = name.len,
		.record_len = record.len,
		.loser_len = loser.len,
		.old_len = old.len };
	append(append(append(append(p->octets, name), record), loser), old);
	return p;
}

/* A deleted name's tombstone goes when the log has no room for it. */
static void
gather_trim(struct list *l)
{
	struct change oldest;
	char room[LIST_TOMB_KEY + 1];

	if (!changelog_next_drop(l->changes, &oldest) || !oldest.gone)
		return;
	keeper_delete(l->keeper, list_tomb_key(room, oldest.revision));
	list_gather_floor(l, oldest.revision);
}

/* What was gathered, and its trace in the log. */
static int
commit(struct list *l, struct pending *p)
{
	struct change change = { .revision = p->revision,
		.name = slice_of(p->octets, p->name_len),
		.gone = !p->exists };
	struct err err;

	gather_trim(l);
	if (l->runs_owed)
		list_gather_runs(l);
	if (keeper_commit(l->keeper, settled, p, &err) == -1) {
		/* Once, not for every command that a peer has. */
		if (!l->refusing)
			log_warn(l->log, "list: cannot change an entry", "why",
			    err.text, NULL);
		l->refusing = true;
		free(p);
		return -1;
	}
	l->refusing = false;
	TAILQ_INSERT_TAIL(&l->pending, p, link);
	l->runs_owed = false;
	l->revision = p->revision;
	runs_gave(&l->runs, l->revision);
	changelog_put(l->changes, &change);
	return 0;
}

static const struct list_answer cannot_store = { .code =
	                                             MUPDATE_CODE_UNAVAILABLE,
	.text = "cannot store the change now" };

static struct list_answer
put(struct list *l, struct slice name, const struct rules_verdict *v,
    const struct mboxrec *old)
{
	struct slice none = slice_of(NULL, 0);
	struct slice loser = v->taken ? mboxrec_host(old->location) : none;

	buf_clear(&l->fresh);
	mboxrec_put(&l->fresh, &v->record);
	MUST(!buf_failed(&l->fresh));
	keeper_put(l->keeper, key_of(l, name), buf_slice(&l->fresh), NULL, 0);
	if (commit(l, pending_new(l, name, buf_slice(&l->fresh), loser)) == -1)
		return cannot_store;
	if (old != NULL)
		holders_remove(&l->holders, name, old);
	holders_add(&l->holders, name, &v->record);
	return done(l, v->record.generation);
}

static struct list_answer
remove_entry(struct list *l, struct slice name, const struct rules_verdict *v,
    const struct mboxrec *old)
{
	struct slice none = slice_of(NULL, 0);
	struct slice loser = v->taken ? mboxrec_host(old->location) : none;
	char room[LIST_TOMB_KEY + 1];

	keeper_delete(l->keeper, key_of(l, name));
	keeper_put(l->keeper, list_tomb_key(room, l->revision + 1), name, NULL,
	    0);
	if (commit(l, pending_new(l, name, none, loser)) == -1)
		return cannot_store;
	holders_remove(&l->holders, name, old);
	return done(l, old->generation);
}

/*
 * The list was lost, and the clock set back since: numbers go on behind the
 * generation that came from its other life, so that a later grant is greater.
 */
static bool
jump(struct list *l, struct rules_verdict *v, struct runs *before)
{
	if (v->record.generation <= v->record.revision)
		return false;
	*before = l->runs;
	l->revision = runs_begin(&l->runs, v->record.generation + 1, 0);
	v->record.revision = l->revision + 1;
	list_gather_runs(l);
	return true;
}

static struct list_answer
put_after_jump(struct list *l, struct slice name, struct rules_verdict *v,
    const struct mboxrec *old)
{
	uint64_t revision = l->revision;
	struct list_answer a;
	struct runs before;
	bool jumped = jump(l, v, &before);

	a = put(l, name, v, old);
	if (jumped && !a.done) {
		l->runs = before;
		l->revision = revision;
	}
	return a;
}

struct list_answer
list_change(struct list *l, const struct rules_request *rq,
    const struct rules_who *who)
{
	struct rules_now now = { .revision = l->revision + 1,
		.seconds = (uint64_t)loop_wall(l->loop).ms / 1000,
		.runs = &l->runs };
	struct rules_verdict v;
	struct mboxrec old;
	struct err err;
	int found;

	buf_clear(&l->old);
	found = list_find(l, rq->name, &old, &l->old, &err);
	if (found == -1) {
		log_err(l->log, "list: cannot read an entry", "why", err.text,
		    NULL);
		return refused(MUPDATE_CODE_UNAVAILABLE,
		    "cannot read the list");
	}
	v = rules_apply(rq, found == 1 ? &old : NULL, who, &now);
	if (v.outcome == RULES_PUT &&
	    holders_hosts(&l->holders) >= LIST_HOSTS_MAX &&
	    holders_digest(&l->holders, mboxrec_host(v.record.location)) ==
	        NULL)
		return refused(MUPDATE_CODE_LIMIT, "too many hosts");
	switch (v.outcome) {
	case RULES_PUT:
		return put_after_jump(l, rq->name, &v,
		    found == 1 ? &old : NULL);
	case RULES_REMOVE:
		return remove_entry(l, rq->name, &v, &old);
	case RULES_KEEP:
		return done(l, v.record.generation);
	case RULES_REFUSE:
		break;
	}
	return refused(v.code, v.text);
}

/* --- reading --------------------------------------------------------------- */

int
list_find(struct list *l, struct slice name, struct mboxrec *r,
    struct buf *room, struct err *err)
{
	int found;

	if (!rules_is_name(name))
		return 0;
	found = treedb_get(keeper_tree(l->keeper), key_of(l, name), room, err);
	if (found != 1)
		return found;
	return mboxrec_parse(r, buf_slice(room), err) == -1 ? -1 : 1;
}

struct walk {
	struct buf *at, *name;
	list_visit *visit;
	void *arg;
	bool stopped;
	int failed;
	struct err *err;
};

static enum treedb_next
walk_record(void *arg, struct slice key, struct slice value)
{
	struct walk *w = arg;
	struct mboxrec r;

	w->failed = mboxrec_parse(&r, value, w->err);
	if (w->failed == -1)
		return TREEDB_STOP;
	buf_clear(w->name);
	list_put_name(w->name, key);
	w->stopped = !w->visit(w->arg, buf_slice(w->name), &r);
	if (!w->stopped)
		return TREEDB_NEXT;
	/* From just above this key, next time. */
	buf_clear(w->at);
	buf_put_slice(w->at, key);
	buf_putc(w->at, '\0');
	return TREEDB_STOP;
}

int
list_walk(struct list *l, struct buf *at, list_visit *visit, void *arg,
    struct err *err)
{
	struct buf name, from;
	struct walk w = { at, &name, visit, arg, false, 0, err };
	int rc;

	buf_init(&name, TREEDB_KEY_MAX);
	buf_init(&from, TREEDB_KEY_MAX + 1);
	if (buf_len(at) == 0) /* just above the last tombstone */
		buf_putc(&from, (uint8_t)(LIST_TOMB[0] + 1));
	buf_put_slice(&from, buf_slice(at));
	rc = treedb_walk(keeper_tree(l->keeper), slice_of(NULL, 0),
	    buf_slice(&from), walk_record, &w, err);
	buf_fini(&name);
	buf_fini(&from);
	if (rc == -1 || w.failed == -1)
		return -1;
	return w.stopped;
}

uint64_t
list_last(const struct list *l)
{
	return keeper_last(l->keeper);
}

uint64_t
list_durable(const struct list *l)
{
	return keeper_durable(l->keeper);
}

bool
list_failed(const struct list *l)
{
	return keeper_failed(l->keeper);
}

struct slice
list_epoch(const struct list *l)
{
	return slice_of(l->epoch, LIST_EPOCH_DIGITS);
}

uint64_t
list_revision(const struct list *l)
{
	return l->revision;
}

bool
list_resumable(const struct list *l, struct slice epoch, uint64_t revision)
{
	return slice_equal(epoch, list_epoch(l)) &&
	       runs_know_well(&l->runs, revision) &&
	       revision >= changelog_floor(l->changes);
}

bool
list_changed_after(const struct list *l, uint64_t revision,
    struct change *change)
{
	return changelog_after(l->changes, revision, change);
}

const struct holders *
list_holders(const struct list *l)
{
	return &l->holders;
}

/* --- birth and death ------------------------------------------------------- */

int
list_open(struct list **lp, struct loop *loop, struct jobs *jobs,
    struct log *log, const struct list_options *o, const struct list_watch *w,
    struct err *err)
{
	struct keeper_limits limits = keeper_defaults();
	struct list *l = xcalloc(1, sizeof(*l));

	limits.shards = o->shards;
	l->loop = loop;
	l->log = log;
	l->watch = *w;
	l->changes = changelog_new(o->change_log);
	TAILQ_INIT(&l->pending);
	holders_init(&l->holders);
	buf_init(&l->key, TREEDB_KEY_MAX);
	buf_init(&l->old, LIST_RECORD_MAX);
	buf_init(&l->fresh, LIST_RECORD_MAX);
	buf_init(&l->scratch, LIST_RECORD_MAX);
	*lp = l;
	if (keeper_open(&l->keeper, loop, jobs, log, o->directory, &limits,
	        err) == 0 &&
	    list_begin(l, err) == 0)
		return 0;
	list_close(lp);
	return -1;
}

/* What is pending is written, and nobody told: they are gone. */
void
list_close(struct list **lp)
{
	struct list *l = *lp;
	struct pending *p;

	if (l == NULL)
		return;
	keeper_close(&l->keeper);
	while ((p = TAILQ_FIRST(&l->pending)) != NULL) {
		TAILQ_REMOVE(&l->pending, p, link);
		free(p);
	}
	changelog_free(&l->changes);
	holders_fini(&l->holders);
	buf_fini(&l->key);
	buf_fini(&l->old);
	buf_fini(&l->fresh);
	buf_fini(&l->scratch);
	free(l);
	*lp = NULL;
}
