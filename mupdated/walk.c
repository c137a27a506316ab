#include <stdio.h>
#include <stdlib.h>

#include "imap/mboxdigest.h"
#include "imap/mboxrec.h"
#include "imap/mupdate_ext.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"
#include "mupdated/leases.h"
#include "mupdated/list.h"
#include "mupdated/server.h"
#include "mupdated/session.h"
#include "mupdated/walk.h"

enum {
	SLICE_OCTETS = 64 * 1024,
	SLICE_ENTRIES = 1024, /* looked at, wanted or not */
	SHARES_MAX = 32,      /* of these, that a turn may have in the end */
	ENTRY_MAX = 512 * 1024
};

/* What a subscriber is sent, one after another. */
enum pass {
	PASS_TREE,   /* all there is */
	PASS_ACTIVE, /* of what has changed: what is active */
	PASS_REST    /* what is not, or not any more */
};

struct walk {
	enum walk_kind kind;
	enum pass pass;
	char tag[MUPDATE_TAG_MAX + 1];
	struct buf at;   /* as list_walk() has it */
	struct slice of; /* ours to free */
	bool wanted[MBOXDIGEST_BUCKETS];
	uint64_t from, after, upto; /* revisions; from: a pass's first after */
	unsigned turns;             /* of PASS_ACTIVE */
	/* Of the slice: */
	struct session *ss;
	struct buf *out;
	size_t begin;
	unsigned seen;
};

static bool
is_for_subscriber(enum walk_kind kind)
{
	return kind == WALK_UPDATE || kind == WALK_FULL || kind == WALK_CHANGES;
}

struct walk *
walk_begin(struct session *ss, enum walk_kind kind)
{
	struct slice tag = mupdate_message(ss->parser)->tag;
	struct walk *w = xcalloc(1, sizeof(*w));

	MUST(ss->walk == NULL && tag.len <= MUPDATE_TAG_MAX);
	w->kind = kind;
	memcpy(w->tag, tag.ptr, tag.len);
	buf_init(&w->at, TREEDB_KEY_MAX + 1);
	ss->walk = w;
	session_enter(ss,
	    is_for_subscriber(kind) ? SESSION_SYNCING : SESSION_WALKING);
	task_want(ss->task);
	return w;
}

void
walk_of(struct walk *w, struct slice s)
{
	if (s.len > 0)
		w->of = slice_of(xmemdup(s.ptr, s.len), s.len);
}

void
walk_want(struct walk *w, uint8_t bucket)
{
	w->wanted[bucket] = true;
}

void
walk_from(struct walk *w, uint64_t revision)
{
	w->from = w->after = w->upto = revision;
	if (w->kind == WALK_CHANGES)
		w->pass = PASS_ACTIVE;
}

void
walk_free(struct walk **wp)
{
	struct walk *w = *wp;

	if (w == NULL)
		return;
	buf_fini(&w->at);
	free((void *)(uintptr_t)w->of.ptr);
	free(w);
	*wp = NULL;
}

/* --- entries --------------------------------------------------------------- */

static void
put_plain(struct walk *w, struct slice name, const struct mboxrec *r)
{
	struct slice tag = slice_str(w->tag);

	if (r->state == MBOXREC_ACTIVE)
		mupdate_put_mailbox(w->out, tag, name, r->location, r->acl);
	else
		mupdate_put_reserve(w->out, tag, name, r->location);
}

static void
put_lease(struct walk *w, struct slice name, const struct mboxrec *r)
{
	struct mupdate_lease lease;

	if (r->state == MBOXREC_ACTIVE)
		return;
	lease = leases_describe(w->ss->server->leases, name, r);
	mupdate_ext_put_lease(w->out, slice_str(w->tag), &lease);
}

static bool
put_entry(void *arg, struct slice name, const struct mboxrec *r)
{
	struct walk *w = arg;

	switch (w->kind) {
	case WALK_LIST:
		if (slice_starts(r->location, w->of))
			put_plain(w, name, r);
		break;
	case WALK_UPDATE:
		put_plain(w, name, r);
		break;
	case WALK_BUCKETS:
		if (slice_equal(mboxrec_host(r->location), w->of) &&
		    w->wanted[mboxdigest_bucket(name)])
			mupdate_ext_put_entry(w->out, slice_str(w->tag), name,
			    r);
		break;
	case WALK_LEASES:
		put_lease(w, name, r);
		break;
	case WALK_FULL:
	case WALK_CHANGES:
		mupdate_ext_put_entry(w->out, slice_str(w->tag), name, r);
		break;
	}
	return ++w->seen < SLICE_ENTRIES &&
	       buf_len(w->out) - w->begin < SLICE_OCTETS;
}

/* --- a difference ---------------------------------------------------------- */

static int
put_change(struct walk *w, const struct change *c, struct buf *room,
    struct err *err)
{
	struct slice tag = slice_str(w->tag);
	bool rest = w->pass == PASS_REST;
	struct mboxrec r;
	int found;

	if (c->gone && !rest)
		return 0;
	buf_clear(room);
	found = list_find(w->ss->server->list, c->name, &r, room, err);
	if (found == -1)
		return -1;
	if (found == 0 && c->gone)
		mupdate_ext_put_gone(w->out, tag, c->revision, c->name);
	else if (found == 1 && r.revision == c->revision &&
	         (r.state != MBOXREC_ACTIVE) == rest)
		mupdate_ext_put_entry(w->out, tag, c->name, &r);
	return 0;
}

/* Those who write must not stay ahead of us: a turn takes ever more. */
static bool
is_enough(const struct walk *w)
{
	size_t share = w->turns < SHARES_MAX ? w->turns + 1 : SHARES_MAX;

	return w->seen >= SLICE_ENTRIES * share ||
	       buf_len(w->out) - w->begin >= SLICE_OCTETS * share;
}

/*
 * FRONT:difference, in t/model/murder.pml.
 *
 * Nobody is to see a moment in which a renamed mailbox is neither here nor
 * there.  So first comes what is active, up to what is so now, not when we
 * began: what a name became meanwhile must be there before the other one goes.
 * When nothing more has changed, that is the position; in the second pass comes
 * what is not active up to there, and the feed has what changes after it.
 *
 * 1 if there is more, 0, or -1 and *err.
 */
static int
changes_slice(struct walk *w, struct err *err)
{
	const struct list *l = w->ss->server->list;
	struct change c;
	struct buf room;
	int rc = 0;

	buf_init(&room, ENTRY_MAX);
	while (rc == 0) {
		bool more = list_changed_after(l, w->after, &c);

		if (w->pass == PASS_REST && (!more || c.revision > w->upto))
			break;
		if (!more) {
			w->pass = PASS_REST;
			w->upto = list_revision(l);
			w->after = w->from;
			continue;
		}
		rc = put_change(w, &c, &room, err);
		w->after = c.revision;
		w->seen++;
		if (rc == 0 && is_enough(w))
			rc = 1;
	}
	if (w->pass == PASS_ACTIVE)
		w->turns++;
	buf_fini(&room);
	return rc;
}

/* Has the log lost what is still to be sent? */
static bool
is_overtaken(const struct walk *w)
{
	return w->pass != PASS_TREE &&
	       !list_resumable(w->ss->server->list,
	           list_epoch(w->ss->server->list), w->from);
}

/* --- slices ---------------------------------------------------------------- */

/* The list has been sent: OK, and the stream if it was for that. */
static void
finish(struct walk *w)
{
	static const char *const texts[] = {
		[WALK_LIST] = "list complete",
		[WALK_UPDATE] = "streaming starts",
		[WALK_BUCKETS] = "list complete",
		[WALK_LEASES] = "list complete",
		[WALK_FULL] = "streaming starts",
		[WALK_CHANGES] = "streaming starts",
	};
	struct slice tag = slice_str(w->tag);

	if (w->kind == WALK_FULL || w->kind == WALK_CHANGES) {
		w->ss->subscriber.after = w->upto;
		mupdate_ext_put_at(w->out, tag, w->upto);
	}
	mupdate_put_reply(w->out, tag, MUPDATE_OK, texts[w->kind]);
}

/* 1 if there is more, 0, or -1 and *err. */
static int
next_slice(struct walk *w, struct err *err)
{
	int more;

	if (w->pass != PASS_TREE)
		return changes_slice(w, err);
	more = list_walk(w->ss->server->list, &w->at, put_entry, w, err);
	if (more != 0 || w->kind != WALK_FULL)
		return more;
	w->pass = PASS_ACTIVE;
	return 1;
}

/*
 * There were more changes than the log holds.  Who is sent the whole list gets
 * them from the feed, which has them all since the beginning; a difference
 * cannot be had any more.  False then.
 */
static bool
give_up_changes(struct walk *w)
{
	if (w->kind != WALK_FULL)
		return false;
	w->upto = w->from;
	return true;
}

void
walk_advance(struct session *ss)
{
	struct list *l = ss->server->list;
	struct walk *w = ss->walk;
	struct session_room room;
	struct err err;
	int more;

	MUST(w != NULL);
	w->ss = ss;
	if (is_overtaken(w) && !give_up_changes(w)) {
		session_close(ss, SESSION_END_BEHIND, "too far behind");
		return;
	}
	room = session_begin(ss, list_last(l), false);
	w->out = room.out;
	w->begin = buf_len(w->out);
	w->seen = 0;
	more = is_overtaken(w) ? 0 : next_slice(w, &err);
	if (more == 0)
		finish(w);
	session_end(&room);
	if (more == -1) {
		session_unreadable(ss, &err);
	} else if (more == 0) {
		session_enter(ss, is_for_subscriber(w->kind) ? SESSION_SYNCED
		                                             : SESSION_READY);
		walk_free(&ss->walk);
	}
}
