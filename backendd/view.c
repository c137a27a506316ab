#include <stdlib.h>
#include <string.h>

#include "backendd/seen.h"
#include "backendd/view_state.h"
#include "imap/flag.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

/* What was expunged is being read for a view that goes on. */
struct view_resuming {
	struct view *v; /* NULL: freed meanwhile */
	uint32_t uidvalidity;
	view_cb *cb;
	void *arg;
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
	return store_index_behind(store_of_view(v), uid);
}

/* UIDs among the gone that are below this. */
static uint32_t
gone_below(const struct view *v, uint32_t uid)
{
	uint32_t low = 0, high = v->ngone;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (v->gone[mid] < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
is_gone(const struct view *v, uint32_t uid)
{
	uint32_t i = gone_below(v, uid);

	return i < v->ngone && v->gone[i] == uid;
}

static void
note(struct view *v, enum view_event ev)
{
	if (v->fn != NULL)
		v->fn(v->fn_arg, ev);
}

/* Both ascend; a UID is expunged once. */
static void
add_gone(struct view *v, const uint32_t *uids, size_t n, uint64_t modseq)
{
	size_t i, j, k;

	while (n > 0 && uids[n - 1] > v->known_uid)
		n--;
	if (n == 0)
		return;
	if (v->ngone == 0 || modseq < v->gone_modseq)
		v->gone_modseq = modseq;
	if (v->ngone + n > v->gone_size) {
		/* A mailbox holds fewer than 2^32. */
		v->gone_size = (uint32_t)(v->ngone + n + v->ngone / 2);
		v->gone =
		    xreallocarray(v->gone, v->gone_size, sizeof(v->gone[0]));
	}
	/* Merged from the back, so in place. */
	i = v->ngone;
	j = n;
	v->ngone += (uint32_t)n;
	for (k = v->ngone; j > 0;)
		v->gone[--k] = i > 0 && v->gone[i - 1] > uids[j - 1]
		                   ? v->gone[--i]
		                   : uids[--j];
}

/* What has changed the mailbox remembers. */
static void
on_news(struct mailbox_watcher *w, const struct store_news *n)
{
	struct view *v = (struct view *)w; /* its first member */

	add_gone(v, n->expunged, n->nexpunged, n->modseq);
	if (n->nexpunged > 0 && n->expunged[n->nexpunged - 1] > v->known_uid &&
	    (v->ngone > 0 || v->resuming != NULL))
		v->mixed = true;
	if (v->begun)
		note(v, VIEW_NEWS);
}

static void
forget(struct view *v)
{
	free(v->gone);
	v->gone = NULL;
	v->ngone = v->gone_size = 0;
	free(v->own);
	v->own = NULL;
	v->nrecent = 0;
	v->scan_to = 0;
	v->at_uid = v->known_uid = 0;
}

static void
on_lost(struct mailbox_watcher *w)
{
	struct view *v = (struct view *)w;

	forget(v);
	mailbox_release(&v->m);
	note(v, VIEW_LOST); /* may free v */
}

struct view *
view_new(struct mailbox *m, const struct view_options *o)
{
	size_t n = strlen(o->name) + 1;
	struct view *v = xcalloc(1, sizeof(*v) + n);

	memcpy(v->name, o->name, n);
	v->m = m;
	v->seen = o->seen;
	v->read_only = o->access == VIEW_READ_ONLY;
	v->rights = o->rights;
	v->says = (uint8_t)o->says;
	v->watcher.news = on_news;
	v->watcher.lost = on_lost;
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
	if (v->m != NULL) {
		mailbox_unwatch(v->m, &v->watcher);
		mailbox_release(&v->m);
	}
	if (v->resuming != NULL)
		v->resuming->v = NULL;
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
	const struct store_mailbox *mb = store_of_view(v);
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
	MUST(!v->begun && v->resuming == NULL);
	v->begun = true;
	if (v->m == NULL)
		return;
	forget(v);
	v->nkeywords = (uint8_t)store_keywords(store_of_view(v));
	v->told = mailbox_numbers(v->m)->highestmodseq;
	view_count_all(v);
}

/* --- parked and resumed --------------------------------------------------- */

bool
view_park(const struct view *v, struct view_parked *p)
{
	const struct store_numbers *n;

	MUST(v->begun && v->m != NULL);
	if (v->telling || v->mixed)
		return false;
	n = mailbox_numbers(v->m);
	*p = (struct view_parked){
		.uidvalidity = n->uidvalidity,
		.uid = v->known_uid,
		.modseq = v->told,
		.gone_modseq =
		    v->ngone > 0 ? v->gone_modseq - 1 : n->highestmodseq,
		.keywords = v->nkeywords,
	};
	return true;
}

static const char *
resume_refusal(const struct view *v, uint32_t uidvalidity, const char *why)
{
	if (v->m == NULL)
		return "Mailbox was deleted";
	if (mailbox_numbers(v->m)->uidvalidity != uidvalidity)
		return "UIDVALIDITY has changed";
	return why;
}

/* Those expunged while it was parked; the later ones were news. */
static void
on_gone(void *arg, const struct store_gone *gone, size_t n, const char *why)
{
	struct view_resuming *re = arg;
	struct view *v = re->v;

	if (v != NULL) {
		v->resuming = NULL;
		for (size_t i = 0; i < n && v->m != NULL; i++) {
			uint32_t uid = gone[i].uid;

			add_gone(v, &uid, 1, gone[i].modseq);
			v->mixed = v->mixed || uid > v->known_uid;
		}
		v->begun = true;
		re->cb(re->arg, resume_refusal(v, re->uidvalidity, why));
	}
	free(re);
}

struct view *
view_resume(struct mailbox *m, const struct view_options *o,
    const struct view_parked *p, view_cb *cb, void *arg)
{
	struct view *v = view_new(m, o);
	struct view_resuming *re = xcalloc(1, sizeof(*re));

	v->known_uid = p->uid;
	v->told = p->modseq;
	v->nkeywords = (uint8_t)p->keywords;
	v->resuming = re;
	re->v = v;
	re->uidvalidity = p->uidvalidity;
	re->cb = cb;
	re->arg = arg;
	store_expunged(mailbox_store(m), p->gone_modseq, on_gone, re);
	return v;
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

uint32_t
view_count(const struct view *v)
{
	if (v->m == NULL)
		return 0;
	return live_up_to(v, v->known_uid) + v->ngone;
}

uint32_t
view_counted_up_to(const struct view *v, uint32_t uid)
{
	return live_up_to(v, uid) +
	       (uid == UINT32_MAX ? v->ngone : gone_below(v, uid + 1));
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
	uint32_t low = 0, high = v->ngone;

	if (v->m == NULL || seq == 0 || seq > view_count(v))
		return 0;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (mid + 1 + live_up_to(v, v->gone[mid]) < seq)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < v->ngone && low + 1 + live_up_to(v, v->gone[low]) == seq)
		return v->gone[low];
	return store_at(store_of_view(v), seq - 1 - low)->uid;
}

uint32_t
view_seq_of(const struct view *v, uint32_t uid)
{
	if (v->m == NULL || uid == 0 || uid > v->known_uid)
		return 0;
	if (store_find(store_of_view(v), uid) == NULL && !is_gone(v, uid))
		return 0;
	return view_counted_up_to(v, uid);
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
	for (unsigned i = 0; i < store_keywords(store_of_view(v)); i++)
		if (msg->keywords[i / 64] >> (i % 64) & 1)
			put_flag(out, start,
			    store_keyword(store_of_view(v), i));
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
