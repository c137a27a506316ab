/*
 * The commands of our extension XMURDER, one function each.
 */
#include "imap/mboxdigest.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "mupdated/list.h"
#include "mupdated/server.h"
#include "mupdated/session.h"
#include "mupdated/walk.h"

static void
not_in_form(struct session *ss)
{
	session_answer(ss, MUPDATE_BAD, "Badly formed arguments", 0, false);
}

/* --- changes --------------------------------------------------------------- */

/* The answers to XRESERVE and XACTIVATE. */
static void
grant(struct session *ss, const struct rules_request *rq)
{
	struct slice tag = mupdate_message(ss->parser)->tag;
	const struct rules_who who = session_who(ss);
	struct list_answer a = list_change(ss->server->list, rq, &who);
	struct session_room room;

	if (!a.done) {
		session_refuse(ss, a.code, a.text);
		return;
	}
	room = session_begin(ss, a.number, true);
	mupdate_ext_put_grant(room.out, tag, rq->name, a.generation);
	mupdate_put_reply(room.out, tag, MUPDATE_OK, a.text);
	session_end(&room);
}

void
session_xreserve(struct session *ss, const struct mupdate_message *m)
{
	struct rules_request rq = { .id = MUPDATE_CMD_XRESERVE,
		.name = m->args[0],
		.wanted.location = m->args[1] };

	grant(ss, &rq);
}

void
session_xactivate(struct session *ss, const struct mupdate_message *m)
{
	struct rules_request rq = { .id = MUPDATE_CMD_XACTIVATE };

	if (mupdate_ext_get_activate(m, &rq.name, &rq.wanted))
		grant(ss, &rq);
	else
		not_in_form(ss);
}

void
session_xbreak(struct session *ss, const struct mupdate_message *m)
{
	struct rules_request rq = { .id = MUPDATE_CMD_XBREAK };

	if (mupdate_ext_get_break(m, &rq.name, &rq.wanted.generation))
		session_change(ss, &rq);
	else
		not_in_form(ss);
}

/* --- looking --------------------------------------------------------------- */

void
session_xfind(struct session *ss, const struct mupdate_message *m)
{
	session_find(ss, m, mupdate_ext_put_entry);
}

/*
 * It is what a backend says first.  From now on this is the session of that
 * host: an older one, whose commands may still be on their way, is over.
 */
void
session_xdigest(struct session *ss, const struct mupdate_message *m)
{
	static const struct mboxdigest nothing;
	struct list *l = ss->server->list;
	struct slice host = m->args[0];
	const struct mboxdigest *d;
	struct session_room room;

	if (host.len > MBOXREC_LOCATION_MAX) {
		session_refuse(ss, MUPDATE_CODE_LIMIT, "host too long");
		return;
	}
	if (!server_claim(ss->server, ss, host))
		return; /* it is the older one itself, and closed */
	d = holders_digest(list_holders(l), host);
	room = session_begin(ss, list_last(l), false);
	mupdate_ext_put_digest(room.out, m->tag, host,
	    d == NULL ? &nothing : d);
	mupdate_put_reply(room.out, m->tag, MUPDATE_OK, "done");
	session_end(&room);
}

void
session_xlist(struct session *ss, const struct mupdate_message *m)
{
	bool wanted[MBOXDIGEST_BUCKETS];
	struct slice host;
	struct walk *w;

	if (!mupdate_ext_get_list(m, &host, wanted)) {
		not_in_form(ss);
		return;
	}
	w = walk_begin(ss, WALK_BUCKETS);
	walk_of(w, host);
	for (unsigned i = 0; i < MBOXDIGEST_BUCKETS; i++)
		if (wanted[i])
			walk_want(w, (uint8_t)i);
}

void
session_xleases(struct session *ss, const struct mupdate_message *m)
{
	(void)m;
	walk_begin(ss, WALK_LEASES);
}

/* --- subscribing ------------------------------------------------------------ */

/*
 * What it is sent first is what is so when it is sent; the feed brings what
 * changes after now, be it in the list already or not.
 */
void
session_xupdate(struct session *ss, const struct mupdate_message *m)
{
	struct server *sv = ss->server;
	struct list *l = sv->list;
	uint64_t now = list_revision(l), revision;
	struct session_room room;
	struct slice epoch;
	bool resumed;

	if (!mupdate_ext_get_update(m, &epoch, &revision)) {
		not_in_form(ss);
		return;
	}
	resumed = list_resumable(l, epoch, revision);
	feed_join(&sv->feed, &ss->subscriber, FEED_EXT, m->tag,
	    stream_out(ss->stream), now);
	room = session_begin(ss, 0, false);
	if (resumed)
		mupdate_ext_put_since(room.out, m->tag, list_epoch(l));
	else
		mupdate_ext_put_full(room.out, m->tag, list_epoch(l),
		    list_holders(l)->entries);
	session_end(&room);
	if (resumed) {
		sv->resumed++;
		walk_from(walk_begin(ss, WALK_CHANGES), revision);
	} else {
		sv->full++;
		walk_from(walk_begin(ss, WALK_FULL), now);
	}
}
