/*
 * What is left of a view while nobody asks it anything, and how it goes on.
 */
#include <stdlib.h>

#include "backendd/view_state.h"
#include "lib/must.h"
#include "lib/xalloc.h"

/* Its mailbox is being opened; then, what was expunged is read. */
struct view_resuming {
	struct view *v;    /* NULL: freed meanwhile */
	struct mailbox *m; /* held once it is open */
	view_cb *cb;
	void *arg;
};

bool
view_is_parked(const struct view *v)
{
	return v->parked;
}

bool
view_is_resuming(const struct view *v)
{
	return view_untold(v)->resuming != NULL;
}

bool
view_is_catching_up(const struct view *v)
{
	const struct view_resuming *re = view_untold(v)->resuming;

	return re != NULL && re->m != NULL;
}

void
view_stop_resuming(struct view *v)
{
	if (!view_is_resuming(v))
		return;
	v->untold->resuming->v = NULL;
	v->untold->resuming = NULL;
}

/* The expunges that are told are those below gone_modseq; none: up to told. */
static void
forget_gone(struct view *v)
{
	struct view_untold *u = v->untold;

	if (u == NULL)
		return;
	free(u->gone);
	u->gone = NULL;
	u->ngone = u->gone_size = 0;
	view_trim(v);
}

bool
view_park(struct view *v)
{
	const struct view_untold *u = view_untold(v);
	struct mailbox *m = v->m;

	MUST(v->begun && m != NULL && !v->parked);
	if (u->telling || u->mixed || u->scan_to != 0 || u->at_uid != 0 ||
	    u->own != NULL)
		return false;
	v->uidvalidity = mailbox_numbers(m)->uidvalidity;
	v->count = view_count(v);
	v->news = view_pending(v, VIEW_EVERYTHING);
	v->parked = true;
	forget_gone(v);
	v->held = store_of(mailbox_store(m))->module->shared;
	if (!v->held)
		mailbox_leave(&m);
	return true;
}

static void
end(struct view_resuming *re, const char *why)
{
	struct view *v = re->v;

	mailbox_release(&re->m);
	if (v != NULL) {
		v->untold->resuming = NULL;
		view_trim(v);
		re->cb(re->arg, why);
	}
	free(re);
}

/* It is as it would be had it never been parked; or why it is not. */
static const char *
go_on(struct view *v)
{
	if (mailbox_numbers(v->m)->uidvalidity != v->uidvalidity)
		return "UIDVALIDITY has changed";
	v->parked = v->news = false;
	if (view_count(v) == v->count)
		return NULL;
	v->parked = true;
	return "Messages are missing";
}

/* Those expunged while it was parked; later ones were news. */
static void
on_gone(void *arg, const struct store_gone *gone, size_t n, const char *why)
{
	struct view_resuming *re = arg;
	struct view *v = re->v;

	if (v == NULL || v->m == NULL || why != NULL) {
		end(re, why != NULL ? why : "The mailbox was deleted");
		return;
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t uid = gone[i].uid;

		view_add_gone(v, &uid, 1, gone[i].modseq);
	}
	why = go_on(v);
	if (why == NULL && !v->held) {
		v->held = true;
		re->m = NULL; /* is the view's now */
	}
	end(re, why);
}

static void
on_open(void *arg, struct mailbox *m, const char *why)
{
	struct view_resuming *re = arg;
	struct view *v = re->v;
	uint64_t modseq;

	re->m = m;
	if (v == NULL || v->m == NULL || m == NULL) {
		end(re, why != NULL ? why : "The mailbox was deleted");
		return;
	}
	modseq = v->untold->gone_modseq;
	store_expunged(mailbox_store(m), modseq > 0 ? modseq - 1 : v->told,
	    on_gone, re);
}

void
view_resume(struct view *v, view_cb *cb, void *arg)
{
	struct view_resuming *re = xcalloc(1, sizeof(*re));

	MUST(v->parked && v->m != NULL && !view_is_resuming(v));
	re->v = v;
	re->cb = cb;
	re->arg = arg;
	view_untold_of(v)->resuming = re;
	mailbox_reopen(v->m, on_open, re);
}
