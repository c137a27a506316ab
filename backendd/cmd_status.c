#include "backendd/conf.h"
#include "backendd/condstore.h"
#include "backendd/handlers.h"
#include "backendd/ledger.h"
#include "backendd/mailbox.h"
#include "backendd/seen.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/status.h"
#include "backendd/target.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "imap/value.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/loop.h"

enum {
	SLICE = 10000 /* messages looked at in a turn */
};

static const struct {
	const char *name;
	unsigned bit;
} items[] = {
	{ "MESSAGES", STATUS_MESSAGES },
	{ "RECENT", STATUS_RECENT },
	{ "UIDNEXT", STATUS_UIDNEXT },
	{ "UIDVALIDITY", STATUS_UIDVALIDITY },
	{ "UNSEEN", STATUS_UNSEEN },
	{ "DELETED", STATUS_DELETED },
	{ "SIZE", STATUS_SIZE },
	{ "HIGHESTMODSEQ", STATUS_HIGHESTMODSEQ },
	{ "DELETED-STORAGE", STATUS_DELETED_STORAGE },
	{ "MAILBOXID", STATUS_MAILBOXID },
	{ "APPENDLIMIT", STATUS_APPENDLIMIT },
};

static unsigned
item_of(const struct value *v)
{
	for (size_t i = 0; i < NITEMS(items); i++)
		if (value_is(v, items[i].name))
			return items[i].bit;
	return 0;
}

unsigned
status_items(struct parse *p, const struct value *list)
{
	unsigned bits = 0;

	if (list == NULL || list->kind != VALUE_LIST || list->items == NULL) {
		parse_fail(p, "STATUS needs a list of items");
		return 0;
	}
	for (const struct value *v = list->items; v != NULL; v = v->next) {
		unsigned bit = item_of(v);

		if (bit == 0)
			parse_fail(p, "Unknown STATUS item");
		bits |= bit;
	}
	return bits;
}

/* --- the answer ------------------------------------------------------------------ */

/* In the command's arena. */
struct asking {
	struct session *ss;
	struct status_of of;
	unsigned items;
	status_cb *cb;
	void *arg;

	struct store_numbers numbers;
	uint32_t recent;
	uint64_t deleted_size;

	struct mailbox *m; /* while it is gone through */
	struct task *turn;
	uint32_t from; /* UID */
};

static uint64_t
number_of(const struct asking *ask, enum status_item item)
{
	const struct store_numbers *n = &ask->numbers;

	switch (item) {
	case STATUS_MESSAGES:
		return n->exists;
	case STATUS_RECENT:
		return ask->recent;
	case STATUS_UIDNEXT:
		return n->uidnext;
	case STATUS_UIDVALIDITY:
		return n->uidvalidity;
	case STATUS_UNSEEN:
		return n->unseen;
	case STATUS_DELETED:
		return n->deleted;
	case STATUS_DELETED_STORAGE:
		return ask->deleted_size;
	case STATUS_SIZE:
		return n->size;
	case STATUS_HIGHESTMODSEQ:
		return n->highestmodseq;
	case STATUS_APPENDLIMIT:
		return session_server(ask->ss)->conf->message_size;
	case STATUS_MAILBOXID:
		break;
	}
	return 0;
}

static void
put_item(struct write *w, const struct asking *ask, enum status_item item)
{
	if (item == STATUS_MAILBOXID) {
		write_open(w);
		write_atom(w, ask->of.rec->mailboxid);
		write_close(w);
	} else {
		write_number(w, number_of(ask, item));
	}
}

static void
put_status(const struct asking *ask)
{
	struct write w;
	bool first = true;

	session_write(ask->ss, &w);
	write_untagged(&w, "STATUS");
	write_sp(&w);
	write_mailbox(&w, ask->of.external);
	write_sp(&w);
	write_open(&w);
	for (size_t i = 0; i < NITEMS(items); i++) {
		if (!(ask->items & items[i].bit))
			continue;
		if (!first)
			write_sp(&w);
		first = false;
		write_word(&w, items[i].name);
		write_sp(&w);
		put_item(&w, ask, (enum status_item)items[i].bit);
	}
	write_close(&w);
	write_end(&w);
}

/* --- from the mailbox itself ------------------------------------------------------ */

static void
finish(struct asking *ask)
{
	task_free(&ask->turn);
	mailbox_release(&ask->m);
	put_status(ask);
	ask->cb(ask->ss, ask->arg, NULL);
}

/* In turns: a mailbox may be large. */
static void
add_deleted(void *arg)
{
	struct asking *ask = arg;
	const struct store_mailbox *mb = mailbox_store(ask->m);
	uint32_t i = store_index(mb, ask->from);
	uint32_t end = store_numbers(mb)->exists;

	if (end - i > SLICE)
		end = i + SLICE;
	for (; i < end; i++) {
		const struct store_msg *m = store_at(mb, i);

		if (m->flags & STORE_DELETED)
			ask->deleted_size += m->size;
		ask->from = m->uid + 1;
	}
	if (end < store_numbers(mb)->exists)
		task_want(ask->turn);
	else
		finish(ask);
}

static void
on_open(void *arg, struct target *t)
{
	struct asking *ask = arg;
	const struct store_mailbox *mb;
	struct seen *seen;

	if (t == NULL) {
		ask->cb(ask->ss, ask->arg, "Mailbox unavailable");
		return;
	}
	ask->m = t->m;
	mb = mailbox_store(t->m);
	ask->numbers = *store_numbers(mb);
	ask->recent = ask->numbers.exists - store_index(mb, store_recent(mb));
	seen = target_seen(ask->ss, t);
	if (seen != NULL)
		ask->numbers.unseen =
		    ask->numbers.exists - seen_count(seen, mb);
	seen_close(&seen);
	ask->turn = task_new(session_server(ask->ss)->loop, add_deleted, ask);
	if (ask->items & STATUS_DELETED_STORAGE)
		task_want(ask->turn);
	else
		finish(ask);
}

/* --- from what is known of it ------------------------------------------------------ */

static struct ledger_page *
page_of(const struct asking *ask)
{
	struct backendd *bd = session_server(ask->ss);
	struct store *st = backendd_store(bd, ask->of.rec);

	return st == NULL ? NULL
	                  : ledger_find(bd->ledger, st, ask->of.rec->mailboxid);
}

/* Has this one to be looked into? */
static bool
must_open(const struct asking *ask, const struct ledger_page *p)
{
	struct backendd *bd = session_server(ask->ss);

	if ((ask->items & STATUS_DELETED_STORAGE) && p->numbers.deleted > 0)
		return true;
	return (ask->items & STATUS_UNSEEN) && p->numbers.exists > 0 &&
	       !mboxname_is_owned_by(&bd->layout, slice_str(ask->of.name),
	           slice_str(session_user(ask->ss)));
}

static bool
put_known(struct asking *ask)
{
	struct ledger *l = session_server(ask->ss)->ledger;
	const struct ledger_page *p = page_of(ask);

	if (p == NULL || !ledger_is_true(l, p) || must_open(ask, p))
		return false;
	ask->numbers = p->numbers;
	if (ask->items & STATUS_RECENT)
		ask->recent = ledger_recent(p);
	put_status(ask);
	return true;
}

static void
fetched(void *arg)
{
	struct asking *ask = arg;

	if (put_known(ask))
		ask->cb(ask->ss, ask->arg, NULL);
	else
		target_open_record(ask->ss, ask->of.name, ask->of.rec, on_open,
		    ask);
}

bool
status_put(struct session *ss, const struct status_of *of, unsigned bits,
    status_cb *cb, void *arg)
{
	struct asking now = { .ss = ss,
		.of = *of,
		.items = bits,
		.cb = cb,
		.arg = arg };
	struct backendd *bd = session_server(ss);
	struct store *st = backendd_store(bd, of->rec);
	struct asking *ask;

	if (put_known(&now))
		return true;
	ask = arena_alloc(session_cmd(ss)->arena, sizeof(*ask));
	*ask = now;
	if (st == NULL)
		target_open_record(ss, of->name, of->rec, on_open, ask);
	else
		ledger_fetch(bd->ledger, st, &of->rec->mailboxid, 1, fetched,
		    ask);
	return false;
}

static void
on_status(struct session *ss, void *arg, const char *why)
{
	(void)arg;
	if (why == NULL)
		session_done(ss, SESSION_OK, NULL, "Status completed");
	else
		session_done(ss, SESSION_NO, "UNAVAILABLE", why);
}

void
backendd_STATUS(struct session *ss, struct cmd *cmd)
{
	struct slice external = parse_mailbox(cmd->args);
	const struct mboxrec *rec;
	struct status_of of;
	const char *name;
	unsigned bits;

	parse_sp(cmd->args);
	bits = status_items(cmd->args, value_parse(cmd->args));
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	name = session_mailbox_name(ss, external);
	rec = name == NULL ? NULL : session_mailbox(ss, name, ACL_READ);
	if (rec != NULL && (bits & STATUS_HIGHESTMODSEQ))
		condstore_enable(ss);
	if (rec == NULL)
		return;
	of = (struct status_of){ name,
		slice_str(session_external_name(ss, name)), rec };
	if (status_put(ss, &of, bits, on_status, NULL))
		on_status(ss, NULL, NULL);
}
