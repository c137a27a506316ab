#include "backendd/mailbox.h"
#include "backendd/qresync.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/view.h"
#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"

enum {
	LOOKED_MAX = 8192, /* messages looked at in one turn */
	LINE_MAX = 7 * 1024
};

struct resync {
	struct session *ss;
	struct mailbox *m; /* a hold */
	uint64_t since;
	const struct seqset *uids;
	uint32_t above;
	struct seqset gone; /* to be told, ascending */
	size_t told;        /* ranges of it */
	uint32_t looked_uid;
	struct task *turn;
	qresync_cb *cb;
	void *arg;
};

static struct resync *
resync_new(struct session *ss, uint64_t since, const struct seqset *uids,
    qresync_cb *cb, void *arg)
{
	struct resync *re = arena_alloc(session_cmd(ss)->arena, sizeof(*re));

	re->ss = ss;
	re->m = mailbox_hold(view_mailbox(session_view(ss)));
	re->since = since;
	re->uids = uids;
	re->cb = cb;
	re->arg = arg;
	return re;
}

static void
finish(struct resync *re, const char *why)
{
	/* While it was read, or the client did not read. */
	if (why == NULL && view_lost(session_view(re->ss)))
		why = "The mailbox was deleted";
	mailbox_release(&re->m);
	task_free(&re->turn);
	session_flush(re->ss);
	re->cb(re->ss, re->arg, why);
}

static bool
is_wanted(const struct resync *re, uint32_t uid)
{
	return re->uids == NULL || seqset_contains(re->uids, uid);
}

/* --- expunged ------------------------------------------------------------- */

/* As many ranges as a line of that length holds. */
static void
put_line(struct resync *re, struct buf *out)
{
	size_t begin = buf_len(out);
	struct seqset part;

	buf_puts(out, "* VANISHED (EARLIER) ");
	part = (struct seqset){ .ranges = re->gone.ranges + re->told, .n = 1 };
	for (;;) {
		seqset_put(out, &part);
		part.ranges++;
		if (++re->told == re->gone.n ||
		    buf_len(out) - begin >= LINE_MAX)
			break;
		buf_putc(out, ',');
	}
	buf_puts(out, "\r\n");
}

static void
put_vanished(struct session *ss, void *arg)
{
	struct resync *re = arg;

	while (re->told < re->gone.n) {
		if (session_room(ss) < VIEW_ROOM) {
			session_flush(ss);
			session_wait_room(ss, VIEW_ROOM, put_vanished, re);
			return;
		}
		put_line(re, session_out(ss));
	}
	finish(re, NULL);
}

/*
 * What the client still counts is for an EXPUNGE, or for a VANISHED without
 * EARLIER.
 */
static void
on_gone(void *arg, const struct store_gone *gone, size_t n, const char *why)
{
	struct resync *re = arg;
	const struct view *v = session_view(re->ss);
	struct arena *a = session_cmd(re->ss)->arena;

	if (why != NULL) {
		finish(re, arena_printf(a, "%s", why));
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (gone[i].uid > re->above && is_wanted(re, gone[i].uid) &&
		    view_seq_of(v, gone[i].uid) == 0)
			seqset_add(a, &re->gone, gone[i].uid);
	put_vanished(re->ss, re);
}

void
qresync_vanished(struct session *ss, uint64_t since, const struct seqset *uids,
    uint32_t above, qresync_cb *cb, void *arg)
{
	struct resync *re = resync_new(ss, since, uids, cb, arg);

	re->above = above;
	store_expunged(mailbox_store(re->m), since, on_gone, re);
}

/* --- changed -------------------------------------------------------------- */

static void look(void *arg);

static void
on_room(struct session *ss, void *arg)
{
	(void)ss;
	look(arg);
}

static void
look(void *arg)
{
	struct resync *re = arg;
	struct session *ss = re->ss;
	const struct view *v = session_view(ss);
	const struct store_mailbox *mb = mailbox_store(re->m);
	uint32_t last = view_last_uid(v);
	uint32_t exists = store_numbers(mb)->exists;
	uint32_t i = store_index_behind(mb, re->looked_uid);

	for (unsigned n = 0; n < LOOKED_MAX; n++, i++) {
		const struct store_msg *msg;

		if (i >= exists || (msg = store_at(mb, i))->uid > last) {
			finish(re, NULL);
			return;
		}
		if (msg->modseq > re->since && is_wanted(re, msg->uid)) {
			if (session_room(ss) < VIEW_ROOM) {
				session_flush(ss);
				session_wait_room(ss, VIEW_ROOM, on_room, re);
				return;
			}
			view_put_fetch(v, msg, session_out(ss));
		}
		re->looked_uid = msg->uid;
	}
	task_want(re->turn);
}

void
qresync_changed(struct session *ss, uint64_t since, const struct seqset *uids,
    qresync_cb *cb, void *arg)
{
	struct resync *re = resync_new(ss, since, uids, cb, arg);

	re->turn = task_new(session_server(ss)->loop, look, re);
	task_want(re->turn);
}
