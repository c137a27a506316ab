#include <stdlib.h>
#include <string.h>

#include "backendd/mailbox.h"
#include "backendd/mblist_meta.h"
#include "backendd/mblist_op.h"
#include "backendd/server.h"
#include "backendd/store.h"
#include "imap/mboxname.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

enum {
	AT_ONCE = 8
};

struct note {
	TAILQ_ENTRY(note) link;
	struct meta *meta;
	struct arena arena;
	struct mboxrec rec; /* as written */
	struct mailbox *mailbox;
	char name[];
};

struct meta {
	struct mblist *list;
	TAILQ_HEAD(, note) waiting;
	struct task *pump;
	size_t running;
};

void
meta_put(struct buf *b, const char *name, const struct mboxrec *rec)
{
	struct mboxrec noted = *rec;

	noted.pending = 0;
	wire_put_str(b, name);
	mboxrec_put(b, &noted);
}

int
meta_parse(struct slice note, struct arena *a, const char **name,
    struct mboxrec *rec, struct err *err)
{
	struct slice s;
	struct wire w;

	wire_init(&w, note);
	s = wire_slice(&w);
	if (w.failed || slice_find(s, '\0') < s.len ||
	    mboxname_invalid(s) != NULL)
		return err_set(err, "no mailbox's name");
	*name = arena_string(a, s);
	return mboxrec_parse(rec, w.rest, err);
}

static void
finish(struct note *n)
{
	struct meta *m = n->meta;

	mailbox_release(&n->mailbox);
	arena_reset(&n->arena);
	free(n);
	m->running--;
	task_want(m->pump);
}

/* Unless it has changed meanwhile: then it is wanted anew. */
static void
written(void *arg, const char *why)
{
	struct note *n = arg;
	struct mblist *l = n->meta->list;
	const struct mboxrec *now = mblist_raw(l, n->name, &n->arena);
	struct mboxrec rec;

	if (why != NULL && now != NULL) {
		log_warn(l->bd->log, "mailbox's name not noted in its store",
		    "name", n->name, "why", why, NULL);
	} else if (now != NULL && mboxrec_equal(now, &n->rec)) {
		rec = *now;
		rec.pending &= (uint8_t)~PENDING_META;
		op_put(l, n->name, &rec);
		op_commit_later(l);
	}
	finish(n);
}

static void
opened(void *arg, struct mailbox *mailbox, const char *why)
{
	struct note *n = arg;
	struct buf text;

	n->mailbox = mailbox;
	if (mailbox == NULL) {
		written(n, why);
		return;
	}
	buf_init(&text, STORE_META_MAX);
	meta_put(&text, n->name, &n->rec);
	store_set_meta(mailbox_store(mailbox),
	    buf_failed(&text) ? slice_of(NULL, 0) : buf_slice(&text), written,
	    n);
	buf_fini(&text);
}

static void
write_note(struct note *n)
{
	struct backendd *bd = n->meta->list->bd;
	const struct mboxrec *rec =
	    mblist_raw(n->meta->list, n->name, &n->arena);
	struct store *st = rec == NULL ? NULL : backendd_store(bd, rec);

	if (st == NULL || !(rec->pending & PENDING_META)) {
		finish(n);
		return;
	}
	n->rec = *rec;
	mailbox_open(bd->mailboxes, st, rec->mailboxid, opened, n);
}

static void
pump(void *arg)
{
	struct meta *m = arg;
	struct note *n;

	while (m->running < AT_ONCE && (n = TAILQ_FIRST(&m->waiting)) != NULL) {
		TAILQ_REMOVE(&m->waiting, n, link);
		m->running++;
		write_note(n);
	}
}

void
meta_want(struct meta *m, const char *name)
{
	struct note *n = xcalloc(1, sizeof(*n) + strlen(name) + 1);

	n->meta = m;
	arena_init(&n->arena);
	memcpy(n->name, name, strlen(name) + 1);
	TAILQ_INSERT_TAIL(&m->waiting, n, link);
	task_want(m->pump);
}

size_t
meta_busy(const struct meta *m)
{
	return m->running;
}

struct meta *
meta_new(struct mblist *l)
{
	struct meta *m = xcalloc(1, sizeof(*m));

	m->list = l;
	TAILQ_INIT(&m->waiting);
	m->pump = task_new(l->bd->loop, pump, m);
	return m;
}

void
meta_free(struct meta **mp)
{
	struct meta *m = *mp;
	struct note *n;

	*mp = NULL;
	if (m == NULL)
		return;
	while ((n = TAILQ_FIRST(&m->waiting)) != NULL) {
		TAILQ_REMOVE(&m->waiting, n, link);
		free(n);
	}
	task_free(&m->pump);
	free(m);
}
