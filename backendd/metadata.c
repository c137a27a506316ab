#include "backendd/conf.h"
#include "backendd/mblist.h"
#include "backendd/metadata.h"
#include "backendd/server.h"
#include "backendd/userdata.h"
#include "imap/metadata.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/treedb.h"

/* Shared ones are kept as those of a user without a name. */
#define NOBODY ""

static const char *
owner_of(const char *user, bool private)
{
	return private ? user : NOBODY;
}

/* "MAILBOXID", the separator, "/private/comment". */
static void
put_item(struct buf *b, struct slice mailboxid, struct slice entry)
{
	buf_init(b, USERDATA_ITEM_MAX);
	buf_put_slice(b, mailboxid);
	buf_putc(b, TREEDB_SEP);
	buf_put_slice(b, entry);
	MUST(!buf_failed(b));
}

/* --- reading --------------------------------------------------------------------- */

bool
metadata_find(struct users *u, const char *user, struct slice mailboxid,
    struct slice entry, struct arena *a, struct slice *value)
{
	struct buf item;
	bool found;

	put_item(&item, mailboxid, entry);
	found = userdata_get(u, owner_of(user, metadata_is_private(entry)),
	    USERDATA_METADATA, buf_slice(&item), a, value);
	buf_fini(&item);
	return found;
}

struct each {
	metadata_visit *visit;
	void *arg;
	size_t skip; /* octets before the entry */
};

static bool
visit_one(void *arg, struct slice item, struct slice value)
{
	struct each *e = arg;

	return e->visit(e->arg, slice_skip(item, e->skip), value);
}

void
metadata_each(struct users *u, const char *user, struct slice mailboxid,
    bool private, metadata_visit *visit, void *arg)
{
	struct each e = { visit, arg, mailboxid.len + 1 };
	struct buf prefix;

	put_item(&prefix, mailboxid, slice_of(NULL, 0));
	userdata_each_from(u, owner_of(user, private), USERDATA_METADATA,
	    buf_slice(&prefix), visit_one, &e);
	buf_fini(&prefix);
}

/* --- limits ------------------------------------------------------------------------ */

struct sum {
	struct mblist *list; /* NULL: all count */
	size_t n;
	uint64_t octets;
};

static bool
add_one(void *arg, struct slice item, struct slice value)
{
	struct sum *s = arg;
	struct slice mailboxid =
	    slice_first(item, slice_find(item, TREEDB_SEP));

	if (s->list != NULL && mblist_is_deleted(s->list, mailboxid))
		return true;
	s->n++;
	s->octets += item.len + value.len;
	return true;
}

static bool
has_value(const struct metadata_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (items[i].value.ptr != NULL)
			return true;
	return false;
}

/*
 * What it would be: entries of the mailbox, and octets of all of the user's
 * (but of mailboxes that are deleted), or of all that is shared of this one.
 */
static bool
fits(struct users *u, const char *user, struct slice mailboxid, bool private,
    const struct metadata_item *items, size_t n)
{
	const struct backendd_conf *conf = u->bd->conf;
	struct sum here = { 0 }, all = { .list = u->bd->list };
	struct buf prefix;
	struct arena a;
	size_t added = 0;

	put_item(&prefix, mailboxid, slice_of(NULL, 0));
	userdata_each_from(u, owner_of(user, private), USERDATA_METADATA,
	    buf_slice(&prefix), add_one, &here);
	buf_fini(&prefix);
	if (private)
		userdata_each(u, user, USERDATA_METADATA, add_one, &all);
	else
		all = here;
	arena_init(&a);
	for (size_t i = 0; i < n; i++) {
		struct slice old;

		if (metadata_is_private(items[i].entry) != private ||
		    items[i].value.ptr == NULL)
			continue;
		all.octets +=
		    mailboxid.len + 1 + items[i].entry.len + items[i].value.len;
		if (!metadata_find(u, user, mailboxid, items[i].entry, &a,
		        &old))
			added++;
		else
			all.octets -=
			    mailboxid.len + 1 + items[i].entry.len + old.len;
	}
	arena_reset(&a);
	/* What only gets smaller is taken in any case. */
	return (added == 0 || here.n + added <= conf->metadata_entries) &&
	       (all.octets <= conf->metadata_total || !has_value(items, n));
}

enum metadata_result
metadata_check(struct users *u, const char *user, struct slice mailboxid,
    const struct metadata_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (items[i].value.len > u->bd->conf->metadata_size)
			return METADATA_TOO_BIG;
	if (!fits(u, user, mailboxid, true, items, n) ||
	    !fits(u, user, mailboxid, false, items, n))
		return METADATA_TOO_MANY;
	return METADATA_OK;
}

/* --- changing ------------------------------------------------------------------------ */

static void
set(const struct userdata_call *c, bool failed)
{
	metadata_cb *cb = (metadata_cb *)c->cb;

	cb(c->arg, failed ? METADATA_FAILED : (enum metadata_result)c->result);
}

void
metadata_set(struct users *u, const char *user, struct slice mailboxid,
    const struct metadata_item *items, size_t n, metadata_cb *cb, void *arg)
{
	struct userdata_call call = { (void (*)(void))cb, arg,
		(int)metadata_check(u, user, mailboxid, items, n) };
	struct buf item;

	if (call.result != METADATA_OK) {
		userdata_answer(u, set, call);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const char *owner =
		    owner_of(user, metadata_is_private(items[i].entry));

		put_item(&item, mailboxid, items[i].entry);
		if (items[i].value.ptr == NULL)
			userdata_delete(u, owner, USERDATA_METADATA,
			    buf_slice(&item));
		else
			userdata_put(u, owner, USERDATA_METADATA,
			    buf_slice(&item), items[i].value);
		buf_fini(&item);
	}
	userdata_commit(u, set, call);
}

static void
commit(struct users *u, struct slice mailboxid)
{
	char room[208];
	struct err err;

	if (keeper_commit(u->keeper, NULL, NULL, &err) == -1)
		log_err(u->bd->log, "annotations not changed", "mailboxid",
		    log_slice(room, mailboxid), "why", err.text, NULL);
}

struct forget {
	struct users *u;
	bool some;
};

static enum treedb_next
forget_one(void *arg, struct slice key, struct slice value)
{
	struct forget *f = arg;

	(void)value; /* whatever it is */
	keeper_delete(f->u->keeper, key);
	f->some = true;
	return TREEDB_NEXT;
}

void
metadata_forget(struct users *u, struct slice mailboxid)
{
	struct forget f = { u, false };
	struct err err;

	MUST(treedb_walk_tag(keeper_tree(u->keeper), mailboxid, forget_one, &f,
	         &err) == 0);
	if (f.some)
		commit(u, mailboxid);
}

struct copy {
	struct users *u;
	struct slice from, to;
};

/* "user", whose, the kind, the MAILBOXID, the entry. */
static enum treedb_next
copy_one(void *arg, struct slice key, struct slice value)
{
	struct copy *c = arg;
	struct slice rest = key;
	struct buf copied;

	buf_init(&copied, TREEDB_KEY_MAX);
	for (unsigned i = 0; i < 3; i++) {
		size_t n = slice_find(rest, TREEDB_SEP) + 1;

		buf_put_slice(&copied, slice_first(rest, n));
		rest = slice_skip(rest, n);
	}
	buf_put_slice(&copied, c->to);
	buf_put_slice(&copied, slice_skip(rest, c->from.len));
	if (!buf_failed(&copied))
		keeper_put(c->u->keeper, buf_slice(&copied), value, &c->to, 1);
	buf_fini(&copied);
	return TREEDB_NEXT;
}

void
metadata_copy(struct users *u, struct slice from, struct slice to)
{
	struct copy c = { u, from, to };
	struct err err;

	MUST(treedb_walk_tag(keeper_tree(u->keeper), from, copy_one, &c,
	         &err) == 0);
	commit(u, to);
}
