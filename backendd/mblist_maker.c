/*
 * A user's INBOX and the mailboxes that come with it, made when first needed.
 * Who else needs them meanwhile waits for the same making.
 */
#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/creator.h"
#include "backendd/mblist.h"
#include "backendd/mblist_op.h"
#include "backendd/server.h"
#include "backendd/users.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

struct waiter {
	TAILQ_ENTRY(waiter) link;
	mblist_cb *cb;
	void *arg;
	struct mblist *list;
	enum mblist_result result;
};

struct maker {
	struct mblist *list;
	struct arena arena;
	const char *user, *inbox, *acl;
	struct creator_settings settings;
	size_t next; /* of the configuration's special_use */
	TAILQ_HEAD(, waiter) waiters;
};

static void
answer(void *arg)
{
	struct waiter *w = arg;

	w->cb(w->arg, w->result, "");
	free(w);
}

static struct waiter *
waiter_new(struct mblist *l, mblist_cb *cb, void *arg)
{
	struct waiter *w = xcalloc(1, sizeof(*w));

	w->list = l;
	w->cb = cb;
	w->arg = arg;
	return w;
}

static void
finish(struct maker *m, enum mblist_result r)
{
	struct mblist *l = m->list;
	struct waiter *w;

	while ((w = TAILQ_FIRST(&m->waiters)) != NULL) {
		TAILQ_REMOVE(&m->waiters, w, link);
		w->result = r;
		loop_at_end(l->bd->loop, answer, w);
	}
	MUST(map_remove(&l->makers, slice_str(m->user)) == m);
	arena_reset(&m->arena);
	free(m);
}

static void make_next(struct maker *m);

static void
made_special(void *arg, enum mblist_result r, const char *text)
{
	struct maker *m = arg;

	/* An INBOX without its Sent is an INBOX. */
	if (r != MBLIST_OK && r != MBLIST_EXISTS)
		log_warn(m->list->bd->log, "special mailbox not made", "user",
		    m->user, "why", text, NULL);
	make_next(m);
}

static void
make_next(struct maker *m)
{
	struct backendd *bd = m->list->bd;
	const struct conf_list *list = &bd->conf->special_use;
	struct mblist_new how = { .acl = m->acl,
		.partition = m->settings.partition };
	const char *item, *space, *name;

	if (m->next >= list->count) {
		finish(m, MBLIST_OK);
		return;
	}
	item = list->items[m->next++];
	space = strchr(item, ' ');
	MUST(space != NULL);
	how.special_use =
	    arena_string(&m->arena, slice_of(item, (size_t)(space - item)));
	while (*space == ' ')
		space++;
	name = arena_printf(&m->arena, "%s.%s", m->inbox, space);
	if (mboxname_invalid(slice_str(name)) == NULL)
		users_subscribe(bd->users, m->user, name, NULL, NULL);
	mblist_create(m->list, name, &how, made_special, m);
}

static void
made_inbox(void *arg, enum mblist_result r, const char *text)
{
	struct maker *m = arg;

	if (r == MBLIST_EXISTS) {
		finish(m, MBLIST_OK);
		return;
	}
	if (r != MBLIST_OK) {
		log_info(m->list->bd->log, "inbox not made", "user", m->user,
		    "why", mblist_text(r), "text", text, NULL);
		finish(m, r);
		return;
	}
	log_info(m->list->bd->log, "inbox made", "user", m->user, NULL);
	make_next(m);
}

void
mblist_make_user(struct mblist *l, const char *user, mblist_cb *cb, void *arg)
{
	struct mblist_new how = { .special_use = "" };
	struct waiter *w = waiter_new(l, cb, arg);
	struct maker *m = map_find(&l->makers, slice_str(user));
	struct slice inbox;
	struct buf acl;

	if (m != NULL) {
		TAILQ_INSERT_TAIL(&m->waiters, w, link);
		return;
	}
	m = xcalloc(1, sizeof(*m));
	m->list = l;
	arena_init(&m->arena);
	TAILQ_INIT(&m->waiters);
	TAILQ_INSERT_TAIL(&m->waiters, w, link);
	m->user = arena_string(&m->arena, slice_str(user));
	(void)map_put(&l->makers, slice_str(user), m); /* there was none */
	if (mboxname_of_user(&m->arena, &l->bd->layout, slice_str(user),
	        &inbox) != NULL) {
		finish(m, MBLIST_NONE);
		return;
	}
	m->inbox = arena_string(&m->arena, inbox);
	buf_init(&acl, ACL_MAX);
	acl_put_owner(&acl, slice_str(user));
	m->acl = arena_string(&m->arena, buf_slice(&acl));
	buf_fini(&acl);
	how.acl = m->acl;
	creator_settings(l->bd, user, &m->arena, &m->settings);
	how.partition = m->settings.partition;
	if (m->settings.has_quota)
		how.quota = &m->settings.quota;
	mblist_create(l, m->inbox, &how, made_inbox, m);
}
