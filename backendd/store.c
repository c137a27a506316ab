#include <stdlib.h>
#include <string.h>

#include "backendd/store.h"
#include "lib/must.h"

struct slice
store_key(uint8_t room[STORE_KEY_MAX], const struct store *st, struct slice id)
{
	MUST(id.len <= STORE_ID_MAX);
	memcpy(room, &st, sizeof(st));
	memcpy(room + sizeof(st), id.ptr, id.len);
	return slice_of(room, sizeof(st) + id.len);
}

int
store_start(struct store **stp, const struct store_module *module,
    const struct store_env *env, const char *dir, struct err *err)
{
	return module->start(stp, env, dir, err);
}

void
store_stop(struct store **stp)
{
	if (*stp != NULL)
		(*stp)->module->stop(stp);
	MUST(*stp == NULL);
}

void
store_configure(struct store *st, const struct store_options *o)
{
	st->module->configure(st, o);
}

const struct store_counts *
store_counts(const struct store *st)
{
	return &st->counts;
}

uint32_t
store_uidvalidity(const struct store *st)
{
	return st->uidvalidity;
}

size_t
store_busy(const struct store *st)
{
	return st->module->busy(st);
}

const char *
store_trouble(const struct store *st)
{
	return st->module->trouble(st);
}

bool
store_is_full(const struct store *st)
{
	return st->module->is_full(st);
}

int
store_each(struct store *st, store_visit *visit, void *arg, struct err *err)
{
	return st->module->each(st, visit, arg, err);
}

static bool
is_id(const char *id)
{
	struct slice s = slice_str(id);

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && c != '_' && c != '-')
			return false;
	}
	return s.len >= 1 && s.len <= STORE_ID_MAX;
}

void
store_create(struct store *st, const struct store_create *c, store_cb *cb,
    void *arg)
{
	MUST(is_id(c->id) && c->uidvalidity != 0);
	MUST(c->meta.len <= STORE_META_MAX);
	st->module->create(st, c, cb, arg);
}

void
store_destroy(struct store *st, const char *id, store_cb *cb, void *arg)
{
	MUST(is_id(id));
	st->module->destroy(st, id, cb, arg);
}

void
store_peek(struct store *st, struct store_peek *p, size_t n, store_peek_cb *cb,
    void *arg)
{
	MUST(n <= STORE_ITEMS_MAX);
	for (size_t i = 0; i < n; i++)
		MUST(is_id(p[i].id));
	st->module->peek(st, p, n, cb, arg);
}

void
store_distrust(struct store *st, const char *id)
{
	MUST(is_id(id));
	if (st->module->distrust != NULL) /* else it always looks */
		st->module->distrust(st, id);
}

void
store_open(struct store *st, const char *id, store_open_cb *cb, void *arg)
{
	MUST(is_id(id));
	st->module->open(st, id, cb, arg);
}

void
store_close(struct store_mailbox **mbp)
{
	struct store_mailbox *mb = *mbp;

	*mbp = NULL;
	if (mb == NULL)
		return;
	mb->observer = NULL;
	mb->module->close(mb);
}

void
store_observe(struct store_mailbox *mb, store_observer *fn, void *arg)
{
	mb->observer = fn;
	mb->observer_arg = arg;
}

bool
store_is_damaged(const struct store_mailbox *mb)
{
	return mb->damaged;
}

const char *
store_id(const struct store_mailbox *mb)
{
	return mb->id;
}

struct store *
store_of(const struct store_mailbox *mb)
{
	return mb->store;
}

const struct store_numbers *
store_numbers(const struct store_mailbox *mb)
{
	return &mb->numbers;
}

struct slice
store_meta(const struct store_mailbox *mb)
{
	return mb->names->meta;
}

const struct store_msg *
store_at(const struct store_mailbox *mb, uint32_t i)
{
	MUST(i < mb->numbers.exists);
	return mb->module->at(mb, i);
}

/*
 * Mostly one is asked for that was asked for just now, or the one behind it.
 * Who reads the index does not change what it says.
 */
static void
set_finger(const struct store_mailbox *mb, uint32_t i)
{
	((struct store_mailbox *)(uintptr_t)mb)->finger = i;
}

/*
 * UIDs ascend from 1 and are below UIDNEXT, so there is room for so many
 * messages before one and from it on, and no more.  Where few were expunged
 * that leaves next to nothing to look at: pages of the index are not touched,
 * and not read from the disk, to halve what is known.
 */
static uint32_t
search(const struct store_mailbox *mb, uint32_t uid, uint32_t low,
    uint32_t high)
{
	const struct store_numbers *n = &mb->numbers;
	uint32_t before = uid > 0 ? uid - 1 : 0;
	uint32_t from = n->uidnext > uid ? n->uidnext - uid : 0;

	if (high > before)
		high = before;
	if (n->exists > from && low < n->exists - from)
		low = n->exists - from;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (mb->module->at(mb, mid)->uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

uint32_t
store_index(const struct store_mailbox *mb, uint32_t uid)
{
	uint32_t exists = mb->numbers.exists, i = mb->finger, at;

	if (i >= exists) {
		i = search(mb, uid, 0, exists);
	} else if ((at = mb->module->at(mb, i)->uid) > uid) {
		if (i > 0 && (at = mb->module->at(mb, i - 1)->uid) >= uid)
			i = at == uid ? i - 1 : search(mb, uid, 0, i - 1);
	} else if (at < uid) {
		i++;
		if (i < exists && mb->module->at(mb, i)->uid < uid)
			i = search(mb, uid, i + 1, exists);
	}
	set_finger(mb, i);
	return i;
}

uint32_t
store_index_behind(const struct store_mailbox *mb, uint32_t uid)
{
	return uid == UINT32_MAX ? mb->numbers.exists
	                         : store_index(mb, uid + 1);
}

const struct store_msg *
store_find(const struct store_mailbox *mb, uint32_t uid)
{
	uint32_t i = store_index(mb, uid);
	const struct store_msg *m;

	if (i == mb->numbers.exists)
		return NULL;
	m = mb->module->at(mb, i);
	return m->uid == uid ? m : NULL;
}

unsigned
store_keywords(const struct store_mailbox *mb)
{
	return mb->names->nkeywords;
}

const char *
store_keyword(const struct store_mailbox *mb, unsigned i)
{
	MUST(i < mb->names->nkeywords);
	return mb->names->keywords[i];
}

int
store_keyword_find(const struct store_mailbox *mb, struct slice name)
{
	for (unsigned i = 0; i < mb->names->nkeywords; i++)
		if (slice_is_nocase(name, mb->names->keywords[i]))
			return (int)i;
	return -1;
}

int
store_keyword_add(struct store_mailbox *mb, struct slice name)
{
	int found = store_keyword_find(mb, name);

	if (found != -1)
		return found;
	if (name.len == 0 || name.len > STORE_KEYWORD_MAX ||
	    mb->names->nkeywords == STORE_KEYWORDS)
		return -1;
	return mb->module->keyword_add(mb, name);
}

uint32_t
store_claim_recent(struct store_mailbox *mb)
{
	return mb->module->claim_recent(mb);
}

uint32_t
store_recent(const struct store_mailbox *mb)
{
	return mb->recent;
}

uint32_t
store_seen_below(const struct store_mailbox *mb)
{
	return mb->seen_below;
}

void
store_set_seen_below(struct store_mailbox *mb, uint32_t uid)
{
	mb->seen_below = uid;
}

void
store_keep_recent(struct store_mailbox *mb, uint32_t uid)
{
	if (mb->recent < uid && uid <= mb->numbers.uidnext)
		mb->recent = uid;
}

void
store_append(struct store_mailbox *mb, struct store_append *a, size_t n,
    store_cb *cb, void *arg)
{
	MUST(n <= STORE_ITEMS_MAX);
	for (size_t i = 0; i < n; i++) {
		MUST(a[i].from == NULL || a[i].from->store == mb->store);
		MUST(a[i].cache.len <= STORE_CACHE_MAX);
		MUST((a[i].flags & ~(uint32_t)STORE_FLAGS) == 0);
		MUST(!a[i].undelete || a[i].from == mb);
	}
	mb->module->append(mb, a, n, cb, arg);
}

void
store_move(struct store_mailbox *mb, struct store_mailbox *to,
    struct store_append *a, size_t n, store_cb *cb, void *arg)
{
	MUST(n <= STORE_ITEMS_MAX && mb->store == to->store);
	for (size_t i = 0; i < n; i++)
		MUST((a[i].from == NULL || (a[i].from == mb && mb != to)) &&
		     !a[i].undelete);
	mb->module->move(mb, to, a, n, cb, arg);
}

void
store_change(struct store_mailbox *mb, struct store_change *c, size_t n,
    uint64_t unchanged_since, store_cb *cb, void *arg)
{
	MUST(n <= STORE_ITEMS_MAX);
	for (size_t i = 0; i < n; i++) {
		MUST(i == 0 || c[i - 1].uid < c[i].uid);
		MUST((c[i].set & ~(uint32_t)STORE_FLAGS) == 0);
	}
	mb->module->change(mb, c, n, unchanged_since, cb, arg);
}

void
store_expunge(struct store_mailbox *mb, const uint32_t *uids, size_t n,
    uint32_t if_flags, store_cb *cb, void *arg)
{
	MUST(n <= STORE_ITEMS_MAX);
	for (size_t i = 1; i < n; i++)
		MUST(uids[i - 1] < uids[i]);
	mb->module->expunge(mb, uids, n, if_flags, cb, arg);
}

void
store_set_meta(struct store_mailbox *mb, struct slice meta, store_cb *cb,
    void *arg)
{
	MUST(meta.len <= STORE_META_MAX);
	mb->module->set_meta(mb, meta, cb, arg);
}

void
store_sync(struct store_mailbox *mb, store_cb *cb, void *arg)
{
	mb->module->sync(mb, cb, arg);
}

void
store_put_cache(struct store_mailbox *mb, const struct store_record *r,
    size_t n, store_cb *cb, void *arg)
{
	MUST(n <= STORE_ITEMS_MAX);
	for (size_t i = 0; i < n; i++)
		MUST(r[i].octets.len <= STORE_CACHE_MAX);
	mb->module->put_cache(mb, r, n, cb, arg);
}

bool
store_has_cache(const struct store_mailbox *mb, const struct store_msg *msg)
{
	return mb->module->has_cache(mb, msg);
}

void
store_read(struct store_mailbox *mb, struct store_part *parts, size_t n,
    store_read_cb *cb, void *arg)
{
	mb->module->read(mb, parts, n, NULL, cb, arg);
}

void
store_read_look(struct store_mailbox *mb, struct store_part *parts, size_t n,
    store_look *look, store_read_cb *cb, void *arg)
{
	mb->module->read(mb, parts, n, look, cb, arg);
}

void
store_chunk_free(struct store_chunk **cp)
{
	free(*cp);
	*cp = NULL;
}

void
store_expunged(struct store_mailbox *mb, uint64_t since, store_gone_cb *cb,
    void *arg)
{
	mb->module->expunged(mb, since, cb, arg);
}

void
store_held(struct store_mailbox *mb, store_held_cb *cb, void *arg)
{
	mb->module->held(mb, cb, arg);
}
