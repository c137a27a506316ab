#include <stdlib.h>
#include <string.h>

#include "backendd/mailbox.h"
#include "backendd/seen.h"
#include "backendd/view.h"
#include "imap/flag.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	CHANGED_MAX = 12, /* remembered one by one; more are looked for */
	RECENT_MAX = 4    /* stretches of UIDs this client has as \Recent */
};

/* A message whose flags the client is to be told. */
struct changed {
	uint32_t uid;
	uint64_t since; /* MODSEQ of the first change not told; 0: \Seen */
};

struct stretch {
	uint32_t first, last;
};

struct view {
	struct mailbox_watcher watcher; /* first: cast back */
	struct seen_watcher seen_watcher;
	struct mailbox *m; /* NULL: lost */
	struct seen *seen;
	enum view_access access;
	unsigned rights;
	bool recent_wanted, condstore, begun, own_seen;
	unsigned nkeywords; /* that the client was told of */

	uint32_t known_uid; /* the client counts messages up to it */
	uint32_t *gone;     /* counted still, ascending */
	size_t ngone, gone_size;

	struct changed changed[CHANGED_MAX];
	unsigned nchanged;
	/* Changes that did not fit there: for a scan of the mailbox. */
	uint64_t scan_first, scan_last; /* their MODSEQs; 0: none */
	uint64_t next_first, next_last; /* of those since the scan began */
	struct stretch scan_seen;       /* the same for a \Seen of his own */
	struct stretch next_seen;
	uint32_t scan_uid; /* it has come to this one; 0: not begun */

	struct stretch recent[RECENT_MAX];
	unsigned nrecent;

	void (*on_change)(void *arg);
	void *on_change_arg;
	void (*on_lost)(void *arg);
	void *on_lost_arg;
	char name[];
};

static const struct store_mailbox *
store_of_view(const struct view *v)
{
	return mailbox_store(v->m);
}

/* Messages still there with a UID up to this. */
static uint32_t
live_up_to(const struct view *v, uint32_t uid)
{
	const struct store_mailbox *mb = store_of_view(v);

	return uid == UINT32_MAX ? store_numbers(mb)->exists
	                         : store_index(mb, uid + 1);
}

/* UIDs among the gone that are below this. */
static uint32_t
gone_below(const struct view *v, uint32_t uid)
{
	size_t low = 0, high = v->ngone;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (v->gone[mid] < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return (uint32_t)low; /* a mailbox holds fewer than 2^32 */
}

static bool
is_gone(const struct view *v, uint32_t uid)
{
	uint32_t i = gone_below(v, uid);

	return i < v->ngone && v->gone[i] == uid;
}

static void
note(struct view *v)
{
	if (v->on_change != NULL)
		v->on_change(v->on_change_arg);
}

/* Both ascend; a UID is expunged once. */
static void
add_gone(struct view *v, const uint32_t *uids, size_t n)
{
	size_t i, j, k;

	while (n > 0 && uids[n - 1] > v->known_uid)
		n--;
	if (n == 0)
		return;
	if (v->ngone + n > v->gone_size) {
		v->gone_size = (v->ngone + n) * 2;
		v->gone =
		    xreallocarray(v->gone, v->gone_size, sizeof(v->gone[0]));
	}
	/* Merged from the back, so in place. */
	i = v->ngone;
	j = n;
	v->ngone += n;
	for (k = v->ngone; j > 0;)
		v->gone[--k] = i > 0 && v->gone[i - 1] > uids[j - 1]
		                   ? v->gone[--i]
		                   : uids[--j];
}

static void
add_changed(struct view *v, uint32_t uid, uint64_t modseq)
{
	for (unsigned i = 0; i < v->nchanged; i++)
		if (v->changed[i].uid == uid)
			return;
	if (v->nchanged < CHANGED_MAX) {
		v->changed[v->nchanged++] = (struct changed){ uid, modseq };
		return;
	}
	if (v->scan_uid == 0) {
		if (v->scan_first == 0)
			v->scan_first = modseq;
		v->scan_last = modseq;
	} else {
		if (v->next_first == 0)
			v->next_first = modseq;
		v->next_last = modseq;
	}
}

static void
on_news(struct mailbox_watcher *w, const struct store_news *n)
{
	struct view *v = (struct view *)w; /* its first member */

	for (size_t i = 0; i < n->nchanged; i++) {
		if (n->changed[i] > v->known_uid)
			break;
		add_changed(v, n->changed[i], n->modseq);
	}
	add_gone(v, n->expunged, n->nexpunged);
	if (v->begun)
		note(v);
}

static void
widen(struct stretch *s, uint32_t uid)
{
	if (s->first == 0 || uid < s->first)
		s->first = uid;
	if (uid > s->last)
		s->last = uid;
}

/* A scan by MODSEQ would not find these: \Seen of one user has none. */
static void
on_seen(struct seen_watcher *w, const uint32_t *uids, size_t n)
{
	struct view *v =
	    (struct view *)(void *)((char *)w -
	                            offsetof(struct view, seen_watcher));

	if (v->own_seen || v->m == NULL)
		return;
	for (size_t i = 0; i < n && uids[i] <= v->known_uid; i++) {
		if (v->nchanged < CHANGED_MAX)
			add_changed(v, uids[i], 0);
		else
			widen(v->scan_uid == 0 ? &v->scan_seen : &v->next_seen,
			    uids[i]);
	}
	note(v);
}

static void
forget(struct view *v)
{
	free(v->gone);
	v->gone = NULL;
	v->ngone = v->gone_size = 0;
	v->nchanged = v->nrecent = 0;
	v->scan_first = v->scan_last = v->next_first = v->next_last = 0;
	v->scan_seen = v->next_seen = (struct stretch){ 0 };
	v->scan_uid = v->known_uid = 0;
}

static void
on_lost(struct mailbox_watcher *w)
{
	struct view *v = (struct view *)w;

	forget(v);
	mailbox_release(&v->m);
	note(v);
	if (v->on_lost != NULL)
		v->on_lost(v->on_lost_arg); /* may free v */
}

struct view *
view_new(struct mailbox *m, const struct view_options *o)
{
	size_t n = strlen(o->name) + 1;
	struct view *v = xcalloc(1, sizeof(*v) + n);

	memcpy(v->name, o->name, n);
	v->m = m;
	v->seen = o->seen;
	v->access = o->access;
	v->rights = o->rights;
	v->recent_wanted = o->recent_wanted;
	v->watcher.news = on_news;
	v->watcher.lost = on_lost;
	mailbox_watch(m, &v->watcher);
	if (v->seen != NULL) {
		v->seen_watcher.changed = on_seen;
		seen_watch(v->seen, &v->seen_watcher);
	}
	return v;
}

void
view_free(struct view **vp)
{
	struct view *v = *vp;

	*vp = NULL;
	if (v == NULL)
		return;
	if (v->m != NULL) {
		mailbox_unwatch(v->m, &v->watcher);
		mailbox_release(&v->m);
	}
	if (v->seen != NULL) {
		seen_unwatch(v->seen, &v->seen_watcher);
		seen_close(&v->seen);
	}
	free(v->gone);
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
	if (v->nrecent == RECENT_MAX) {
		memmove(v->recent, v->recent + 1,
		    (RECENT_MAX - 1) * sizeof(v->recent[0]));
		v->nrecent--;
	}
	v->recent[v->nrecent++] = (struct stretch){ first, last };
}

/* The client counts all there are from now on. */
static void
count_all(struct view *v)
{
	struct store_mailbox *mb = mailbox_store(v->m);
	uint32_t exists = store_numbers(mb)->exists, first;

	if (exists == 0 || store_at(mb, exists - 1)->uid <= v->known_uid)
		return;
	first = v->access == VIEW_READ_WRITE ? store_claim_recent(mb)
	                                     : store_recent(mb);
	if (first <= v->known_uid)
		first = v->known_uid + 1;
	v->known_uid = store_at(mb, exists - 1)->uid;
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
	v->nkeywords = store_keywords(store_of_view(v));
	count_all(v);
}

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
	return v->access;
}

unsigned
view_rights(const struct view *v)
{
	return v->rights;
}

uint32_t
view_count(const struct view *v)
{
	if (v->m == NULL)
		return 0;
	return live_up_to(v, v->known_uid) + (uint32_t)v->ngone;
}

/* Counted by the client, with a UID up to this. */
static uint32_t
counted_up_to(const struct view *v, uint32_t uid)
{
	return live_up_to(v, uid) + (uid == UINT32_MAX
	                                    ? (uint32_t)v->ngone
	                                    : gone_below(v, uid + 1));
}

uint32_t
view_recent(const struct view *v)
{
	uint32_t n = 0;

	if (v->m == NULL)
		return 0;
	for (unsigned i = 0; i < v->nrecent; i++)
		n += counted_up_to(v, v->recent[i].last) -
		     counted_up_to(v, v->recent[i].first - 1);
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
	size_t low = 0, high = v->ngone;

	if (v->m == NULL || seq == 0 || seq > view_count(v))
		return 0;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (mid + 1 + live_up_to(v, v->gone[mid]) < seq)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < v->ngone && low + 1 + live_up_to(v, v->gone[low]) == seq)
		return v->gone[low];
	return store_at(store_of_view(v), seq - 1 - (uint32_t)low)->uid;
}

uint32_t
view_seq_of(const struct view *v, uint32_t uid)
{
	if (v->m == NULL || uid == 0 || uid > v->known_uid)
		return 0;
	if (store_find(store_of_view(v), uid) == NULL && !is_gone(v, uid))
		return 0;
	return counted_up_to(v, uid);
}

const struct store_msg *
view_message(const struct view *v, uint32_t uid)
{
	if (v->m == NULL || uid == 0 || uid > v->known_uid)
		return NULL;
	return store_find(store_of_view(v), uid);
}

uint32_t
view_next_uid(const struct view *v, uint32_t uid)
{
	const struct store_mailbox *mb;
	uint32_t i;

	if (v->m == NULL)
		return 0;
	mb = store_of_view(v);
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
			return v->recent_wanted;
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
	for (unsigned i = 0; i < store_keywords(store_of_view(v)); i++)
		if (msg->keywords[i / 64] >> (i % 64) & 1)
			put_flag(out, start,
			    store_keyword(store_of_view(v), i));
}

void
view_set_condstore(struct view *v)
{
	v->condstore = true;
}

bool
view_condstore(const struct view *v)
{
	return v->condstore;
}

static bool
has_new(const struct view *v)
{
	const struct store_mailbox *mb = store_of_view(v);
	uint32_t exists = store_numbers(mb)->exists;

	return exists > 0 && store_at(mb, exists - 1)->uid > v->known_uid;
}

static bool
scan_due(const struct view *v)
{
	return v->scan_first != 0 || v->scan_seen.first != 0;
}

bool
view_pending(const struct view *v, enum view_tell how)
{
	if (v->m == NULL || !v->begun)
		return false;
	return (how == VIEW_EVERYTHING && v->ngone > 0) || v->nchanged > 0 ||
	       scan_due(v) || has_new(v);
}

/* Flags are listed before they are first seen on a message. */
static bool
tell_keywords(struct view *v, struct buf *out)
{
	const struct store_mailbox *mb = store_of_view(v);

	if (v->nkeywords == store_keywords(mb))
		return true;
	if (buf_room(out) < VIEW_ROOM)
		return false;
	v->nkeywords = store_keywords(mb);
	buf_puts(out, "* FLAGS (");
	for (unsigned bit = 1; bit <= STORE_DRAFT; bit <<= 1) {
		buf_puts(out, flag_name(bit));
		if (bit < STORE_DRAFT || v->nkeywords > 0)
			buf_putc(out, ' ');
	}
	for (unsigned i = 0; i < v->nkeywords; i++) {
		buf_puts(out, store_keyword(mb, i));
		if (i + 1 < v->nkeywords)
			buf_putc(out, ' ');
	}
	buf_puts(out, ")\r\n");
	return true;
}

/* From the last to the first, so that none renumbers another. */
static bool
tell_gone(struct view *v, struct buf *out)
{
	while (v->ngone > 0) {
		uint32_t seq;

		if (buf_room(out) < VIEW_ROOM)
			return false;
		seq = counted_up_to(v, v->gone[v->ngone - 1]);
		buf_puts(out, "* ");
		buf_put_number(out, seq);
		buf_puts(out, " EXPUNGE\r\n");
		v->ngone--;
	}
	free(v->gone);
	v->gone = NULL;
	v->gone_size = 0;
	return true;
}

static void
tell_flags(struct view *v, const struct store_msg *msg, struct buf *out)
{
	buf_puts(out, "* ");
	buf_put_number(out, counted_up_to(v, msg->uid));
	buf_puts(out, " FETCH (UID ");
	buf_put_number(out, msg->uid);
	if (v->condstore) {
		buf_puts(out, " MODSEQ (");
		buf_put_number(out, msg->modseq);
		buf_putc(out, ')');
	}
	buf_puts(out, " FLAGS (");
	view_put_flags(v, msg, out);
	buf_puts(out, "))\r\n");
}

static bool
tell_changed(struct view *v, struct buf *out)
{
	while (v->nchanged > 0) {
		const struct store_msg *msg =
		    store_find(store_of_view(v), v->changed[0].uid);

		if (buf_room(out) < VIEW_ROOM)
			return false;
		if (msg != NULL)
			tell_flags(v, msg, out);
		v->nchanged--;
		memmove(v->changed, v->changed + 1,
		    v->nchanged * sizeof(v->changed[0]));
	}
	return true;
}

static bool
scan_wants(const struct view *v, const struct store_msg *msg)
{
	return (v->scan_first != 0 && msg->modseq >= v->scan_first) ||
	       (msg->uid >= v->scan_seen.first &&
	           msg->uid <= v->scan_seen.last);
}

/* One pass; what changes while it waits for room is for another. */
static bool
scan_pass(struct view *v, struct buf *out)
{
	const struct store_mailbox *mb = store_of_view(v);
	uint32_t i, exists = store_numbers(mb)->exists;

	for (i = store_index(mb, v->scan_uid); i < exists; i++) {
		const struct store_msg *msg = store_at(mb, i);

		if (msg->uid > v->known_uid)
			break;
		if (!scan_wants(v, msg))
			continue;
		v->scan_uid = msg->uid;
		if (buf_room(out) < VIEW_ROOM)
			return false;
		tell_flags(v, msg, out);
	}
	v->scan_uid = 0;
	v->scan_first = v->next_first;
	v->scan_last = v->next_last;
	v->scan_seen = v->next_seen;
	v->next_first = v->next_last = 0;
	v->next_seen = (struct stretch){ 0 };
	return true;
}

static bool
tell_scan(struct view *v, struct buf *out)
{
	while (scan_due(v))
		if (!scan_pass(v, out))
			return false;
	return true;
}

static bool
tell_new(struct view *v, struct buf *out)
{
	if (!has_new(v))
		return true;
	if (buf_room(out) < VIEW_ROOM)
		return false;
	count_all(v);
	buf_puts(out, "* ");
	buf_put_number(out, view_count(v));
	buf_puts(out, " EXISTS\r\n");
	if (v->recent_wanted) {
		buf_puts(out, "* ");
		buf_put_number(out, view_recent(v));
		buf_puts(out, " RECENT\r\n");
	}
	return true;
}

bool
view_tell(struct view *v, enum view_tell how, struct buf *out)
{
	if (v->m == NULL || !v->begun)
		return true;
	if (how == VIEW_EVERYTHING && !tell_gone(v, out))
		return false;
	return tell_keywords(v, out) && tell_changed(v, out) &&
	       tell_scan(v, out) && tell_new(v, out);
}

void
view_own_change(struct view *v, uint64_t modseq)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < v->nchanged; i++)
		if (v->changed[i].since != modseq)
			v->changed[kept++] = v->changed[i];
	v->nchanged = kept;
	if (v->scan_first == modseq && v->scan_last == modseq &&
	    v->scan_uid == 0)
		v->scan_first = v->scan_last = 0;
}

void
view_change_seen(struct view *v, enum view_own how, const uint32_t *uids,
    size_t n, bool now_seen, void (*cb)(void *arg, const char *why), void *arg)
{
	MUST(v->seen != NULL);
	v->own_seen = how == VIEW_SILENT;
	seen_change(v->seen, uids, n, now_seen, cb, arg);
	v->own_seen = false;
}

void
view_watch(struct view *v, void (*changed)(void *arg), void *arg)
{
	v->on_change = changed;
	v->on_change_arg = arg;
}

void
view_on_lost(struct view *v, void (*lost)(void *arg), void *arg)
{
	v->on_lost = lost;
	v->on_lost_arg = arg;
}

bool
view_lost(const struct view *v)
{
	return v->m == NULL;
}
