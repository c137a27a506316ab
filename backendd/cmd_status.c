#include "backendd/condstore.h"
#include "backendd/handlers.h"
#include "backendd/mailbox.h"
#include "backendd/seen.h"
#include "backendd/session.h"
#include "backendd/status.h"
#include "backendd/target.h"
#include "imap/acl.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "imap/value.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"

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
	{ "MAILBOXID", STATUS_MAILBOXID },
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

struct asking {
	struct session *ss;
	unsigned items;
	status_cb *cb;
	void *arg;
};

static uint32_t
count_recent(const struct store_mailbox *mb)
{
	return store_numbers(mb)->exists - store_index(mb, store_recent(mb));
}

static uint32_t
count_unseen(struct session *ss, const struct target *t)
{
	const struct store_mailbox *mb = mailbox_store(t->m);
	struct seen *seen = target_seen(ss, t);
	uint32_t n;

	if (seen == NULL)
		return store_numbers(mb)->unseen;
	n = store_numbers(mb)->exists - seen_count(seen, mb);
	seen_close(&seen);
	return n;
}

static void
put_item(struct write *w, struct asking *ask, const struct target *t,
    unsigned bit)
{
	const struct store_numbers *n = mailbox_numbers(t->m);

	switch ((enum status_item)bit) {
	case STATUS_MESSAGES:
		write_number(w, n->exists);
		break;
	case STATUS_RECENT:
		write_number(w, count_recent(mailbox_store(t->m)));
		break;
	case STATUS_UIDNEXT:
		write_number(w, n->uidnext);
		break;
	case STATUS_UIDVALIDITY:
		write_number(w, n->uidvalidity);
		break;
	case STATUS_UNSEEN:
		write_number(w, count_unseen(ask->ss, t));
		break;
	case STATUS_DELETED:
		write_number(w, n->deleted);
		break;
	case STATUS_SIZE:
		write_number(w, n->size);
		break;
	case STATUS_HIGHESTMODSEQ:
		write_number(w, n->highestmodseq);
		break;
	case STATUS_MAILBOXID:
		write_open(w);
		write_atom(w, t->rec->mailboxid);
		write_close(w);
		break;
	}
}

static void
put_status(struct asking *ask, const struct target *t)
{
	struct write w;
	bool first = true;

	session_write(ask->ss, &w);
	write_untagged(&w, "STATUS");
	write_sp(&w);
	write_mailbox(&w, slice_str(session_external_name(ask->ss, t->name)));
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
		put_item(&w, ask, t, items[i].bit);
	}
	write_close(&w);
	write_end(&w);
	session_flush(ask->ss);
}

static void
on_open(void *arg, struct target *t)
{
	struct asking *ask = arg;

	if (t != NULL) {
		put_status(ask, t);
		mailbox_release(&t->m);
	}
	ask->cb(ask->ss, ask->arg, t != NULL ? NULL : "Mailbox unavailable");
}

void
status_put(struct session *ss, const char *name, const struct mboxrec *rec,
    unsigned bits, status_cb *cb, void *arg)
{
	struct asking *ask = arena_alloc(session_cmd(ss)->arena, sizeof(*ask));

	ask->ss = ss;
	ask->items = bits;
	ask->cb = cb;
	ask->arg = arg;
	target_open_record(ss, name, rec, on_open, ask);
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
	if (rec != NULL)
		status_put(ss, name, rec, bits, on_status, NULL);
}
