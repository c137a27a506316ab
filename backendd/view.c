#include <stdlib.h>
#include <string.h>

#include "backendd/seen.h"
#include "backendd/view_state.h"
#include "imap/acl.h"
#include "imap/flag.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

const struct store_mailbox *
view_store(const struct view *v)
{
	MUST(!v->parked);
	return mailbox_store(v->m);
}

const struct view_untold *
view_untold(const struct view *v)
{
	static const struct view_untold none;

	return v->untold != NULL ? v->untold : &none;
}

struct view_untold *
view_untold_of(struct view *v)
{
	if (v->untold == NULL)
		v->untold = xcalloc(1, sizeof(*v->untold));
	return v->untold;
}

void
view_trim(struct view *v)
{
	const struct view_untold *u = v->untold;

	if (u == NULL || u->scan_to != 0 || u->at_uid != 0 || u->telling ||
	    u->mixed || u->gone != NULL || u->gone_modseq != 0 ||
	    u->own != NULL || u->resuming != NULL)
		return;
	free(v->untold);
	v->untold = NULL;
}

/* Messages still there with a UID up to this. */
static uint32_t
live_up_to(const struct view *v, uint32_t uid)
{
	return store_index_behind(view_store(v), uid);
}

/* UIDs among the gone that are below this. */
static uint32_t
gone_below(const struct view *v, uint32_t uid)
{
	const struct view_untold *u = view_untold(v);
	uint32_t low = 0, high = u->ngone;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (u->gone[mid] < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
is_gone(const struct view *v, uint32_t uid)
{
	const struct view_untold *u = view_untold(v);
	uint32_t i = gone_below(v, uid);

	return i < u->ngone && u->gone[i] == uid;
}

uint32_t
view_gone(const struct view *v)
{
	return view_untold(v)->ngone;
}

static void
note(struct view *v, enum view_event ev)
{
	if (v->fn != NULL)
		v->fn(v->fn_arg, ev);
}

/* Both ascend; a UID is expunged once. */
static void
add_gone(struct view_untold *u, const uint32_t *uids, size_t n, uint64_t modseq)
{
	size_t i, j, k;

	if (u->ngone == 0 || modseq < u->gone_modseq)
		u->gone_modseq = modseq;
	if (u->ngone + n > u->gone_size) {
		/* A mailbox holds fewer than 2^32. */
		u->gone_size = (uint32_t)(u->ngone + n + u->ngone / 2);
		u->gone =
		    xreallocarray(u->gone, u->gone_size, sizeof(u->gone[0]));
	}
	/* Merged from the back, so in place. */
	i = u->ngone;
	j = n;
	u->ngone += (uint32_t)n;
	for (k = u->ngone; j > 0;)
		u->gone[--k] = i > 0 && u->gone[i - 1] > uids[j - 1]
		                   ? u->gone[--i]
		                   : uids[--j];
}

void
view_add_gone(struct view *v, const uint32_t *uids, size_t n, uint64_t modseq)
{
	bool all_counted = n == 0 || uids[n - 1] <= v->known_uid;

	while (n > 0 && uids[n - 1] > v->known_uid)
		n--;
	if (n > 0)
		add_gone(view_untold_of(v), uids, n, modseq);
	if (!all_counted &&
	    (view_gone(v) > 0 || view_untold(v)->resuming != NULL))
		view_untold_of(v)->mixed = true;
}

/* What has changed the mailbox remembers. */
static void
on_news(struct mailbox_watcher *w, const struct store_news *n)
{
	struct view *v = (struct view *)w; /* its first member */

	v->news = v->parked;
	if (!v->parked || view_is_catching_up(v))
		view_add_gone(v, n->expunged, n->nexpunged, n->modseq);
	if (v->begun)
		note(v, VIEW_NEWS);
}

static void
forget(struct view *v)
{
	struct view_untold *u = v->untold;

	v->nrecent = 0;
	v->known_uid = v->count = 0;
	if (u == NULL)
		return;
	free(u->gone);
	free(u->own);
	*u = (struct view_untold){ .resuming = u->resuming };
	view_trim(v);
}

static void
let_go(struct view *v)
{
	struct mailbox *m = v->m;

	v->m = NULL;
	if (v->held)
		mailbox_release(&m);
	v->held = false;
}

static void
on_lost(struct mailbox_watcher *w)
{
	struct view *v = (struct view *)w;

	forget(v);
	let_go(v);
	note(v, VIEW_LOST); /* may free v */
}

static const struct mailbox_watch_ops ops = { .news = on_news,
	.lost = on_lost };

/* Those that mean something to a command. */
static void
set_rights(struct view *v, unsigned rights)
{
	v->rights = (uint16_t)(rights & ACL_ALL);
}

struct view *
view_new(struct mailbox *m, const struct view_options *o)
{
	size_t n = strlen(o->name) + 1;
	size_t size = offsetof(struct view, name) + n;
	struct view *v = xcalloc(1, size > sizeof(*v) ? size : sizeof(*v));

	memcpy(v->name, o->name, n);
	v->m = m;
	v->held = true;
	v->seen = o->seen;
	v->read_only = o->access == VIEW_READ_ONLY;
	set_rights(v, o->rights);
	v->says = (uint8_t)o->says;
	v->watcher.ops = &ops;
	mailbox_watch(m, &v->watcher);
	return v;
}

void
view_free(struct view **vp)
{
	struct view *v = *vp;

	*vp = NULL;
	if (v == NULL)
		return;
	view_stop_resuming(v);
	if (v->m != NULL) {
		mailbox_unwatch(v->m, &v->watcher);
		let_go(v);
	}
	seen_close(&v->seen);
	forget(v);
	free(v);
}

/*
 * Messages from this UID to the last are \Recent to this client.  If there are
 * too many stretches the oldest is forgotten: \Recent is but a hint.
 */
static void
add_recent(struct view *v, uint32_t first, uint32_t last)
{
	if (first > last)
		return;
	if (v->nrecent > 0 && v->recent[v->nrecent - 1].last + 1 >= first) {
		v->recent[v->nrecent - 1].last = last;
		return;
	}
	if (v->nrecent == VIEW_RECENT_MAX) {
		memmove(v->recent, v->recent + 1,
		    (VIEW_RECENT_MAX - 1) * sizeof(v->recent[0]));
		v->nrecent--;
	}
	v->recent[v->nrecent++] = (struct view_stretch){ first, last };
}

bool
view_has_new(const struct view *v)
{
	const struct store_mailbox *mb = view_store(v);
	uint32_t exists = store_numbers(mb)->exists;

	return exists > 0 && store_at(mb, exists - 1)->uid > v->known_uid;
}

void
view_count_all(struct view *v)
{
	struct store_mailbox *mb = mailbox_store(v->m);
	uint32_t first;

	if (!view_has_new(v))
		return;
	first = v->read_only ? store_recent(mb) : store_claim_recent(mb);
	if (first <= v->known_uid)
		first = v->known_uid + 1;
	v->known_uid = store_at(mb, store_numbers(mb)->exists - 1)->uid;
	add_recent(v, first, v->known_uid);
}

void
view_begin(struct view *v)
{
	MUST(!v->begun);
	v->begun = true;
	if (v->m == NULL)
		return;
	forget(v);
	v->nkeywords = (uint8_t)store_keywords(view_store(v));
	v->told = mailbox_numbers(v->m)->highestmodseq;
	view_count_all(v);
}

/* --- numbers -------------------------------------------------------------- */

struct mailbox *
view_mailbox(const struct view *v)
{
	return v->m;
}

struct seen *
view_seen(const struct view *v)
{
	return v->seen;
}

const char *
view_name(const struct view *v)
{
	return v->name;
}

enum view_access
view_access(const struct view *v)
{
	return v->read_only ? VIEW_READ_ONLY : VIEW_READ_WRITE;
}

unsigned
view_rights(const struct view *v)
{
	return v->rights;
}

void
view_change_rights(struct view *v, unsigned rights)
{
	uint16_t before = v->rights;

	set_rights(v, rights);
	if (v->rights == before)
		return;
	v->flags_owed = true;
	v->news = v->parked;
	note(v, VIEW_NEWS);
}

bool
view_owes_flags(const struct view *v)
{
	return v->flags_owed;
}

void
view_flags_told(struct view *v)
{
	v->flags_owed = false;
}

uint32_t
view_count(const struct view *v)
{
	if (v->m == NULL)
		return 0;
	return v->parked ? v->count
	                 : live_up_to(v, v->known_uid) + view_gone(v);
}

uint32_t
view_counted_up_to(const struct view *v, uint32_t uid)
{
	return live_up_to(v, uid) +
	       (uid == UINT32_MAX ? view_gone(v) : gone_below(v, uid + 1));
}

uint32_t
view_recent(const struct view *v)
{
	uint32_t n = 0;

	if (v->m == NULL)
		return 0;
	for (unsigned i = 0; i < v->nrecent; i++)
		n += view_counted_up_to(v, v->recent[i].last) -
		     view_counted_up_to(v, v->recent[i].first - 1);
	return n;
}

uint32_t
view_last_uid(const struct view *v)
{
	return view_uid_of(v, view_count(v));
}

/*
 * Number seq is that of the j-th gone message or of a live one between two of
 * them: find the first gone one whose number is at least seq.
 */
uint32_t
view_uid_of(const struct view *v, uint32_t seq)
{
	const struct view_untold *u = view_untold(v);
	uint32_t low = 0, high = u->ngone;

	if (v->m == NULL || seq == 0 || seq > view_count(v))
		return 0;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (mid + 1 + live_up_to(v, u->gone[mid]) < seq)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < u->ngone && low + 1 + live_up_to(v, u->gone[low]) == seq)
		return u->gone[low];
	return store_at(view_store(v), seq - 1 - low)->uid;
}

uint32_t
view_seq_of(const struct view *v, uint32_t uid)
{
	if (v->m == NULL || uid == 0 || uid > v->known_uid)
		return 0;
	if (store_find(view_store(v), uid) == NULL && !is_gone(v, uid))
		return 0;
	return view_counted_up_to(v, uid);
}

const struct store_msg *
view_message(const struct view *v, uint32_t uid)
{
	if (v->m == NULL || uid == 0 || uid > v->known_uid)
		return NULL;
	return store_find(view_store(v), uid);
}

uint32_t
view_next_uid(const struct view *v, uint32_t uid)
{
	const struct store_mailbox *mb;
	uint32_t i;

	if (v->m == NULL)
		return 0;
	mb = view_store(v);
	i = store_index(mb, uid);
	if (i == store_numbers(mb)->exists ||
	    store_at(mb, i)->uid > v->known_uid)
		return 0;
	return store_at(mb, i)->uid;
}

bool
view_is_recent(const struct view *v, uint32_t uid)
{
	for (unsigned i = 0; i < v->nrecent; i++)
		if (uid >= v->recent[i].first && uid <= v->recent[i].last)
			return (v->says & VIEW_SAYS_RECENT) != 0;
	return false;
}

bool
view_is_seen(const struct view *v, const struct store_msg *msg)
{
	if (v->seen != NULL)
		return seen_has(v->seen, msg->uid);
	return (msg->flags & STORE_SEEN) != 0;
}

static void
put_flag(struct buf *out, size_t start, const char *name)
{
	if (buf_len(out) > start)
		buf_putc(out, ' ');
	buf_puts(out, name);
}

void
view_put_flags(const struct view *v, const struct store_msg *msg,
    struct buf *out)
{
	size_t start = buf_len(out);
	unsigned flags = msg->flags & STORE_FLAGS & ~(unsigned)STORE_SEEN;

	if (v->m == NULL)
		return;
	if (view_is_seen(v, msg))
		flags |= STORE_SEEN;
	if (view_is_recent(v, msg->uid))
		put_flag(out, start, flag_name(FLAG_RECENT));
	for (unsigned bit = 1; bit <= STORE_DRAFT; bit <<= 1)
		if (flags & bit)
			put_flag(out, start, flag_name(bit));
	for (unsigned i = 0; i < store_keywords(view_store(v)); i++)
		if (msg->keywords[i / 64] >> (i % 64) & 1)
			put_flag(out, start, store_keyword(view_store(v), i));
}

void
view_set_says(struct view *v, unsigned says)
{
	v->says = (uint8_t)says;
}

unsigned
view_says(const struct view *v)
{
	return v->says;
}

void
view_watch(struct view *v, view_watcher *fn, void *arg)
{
	v->fn = fn;
	v->fn_arg = arg;
}

bool
view_lost(const struct view *v)
{
	return v->m == NULL;
}
