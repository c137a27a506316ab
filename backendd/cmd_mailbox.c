/*
 * CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE.
 */
#include <string.h>

#include "backendd/announce.h"
#include "backendd/creator.h"
#include "backendd/handlers.h"
#include "backendd/mblist.h"
#include "backendd/quota.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/users.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"

/* What CREATE asks for; in the command's arena. */
struct create {
	struct session *ss;
	const char *name;
	struct mblist_new how;
	struct quota_hold hold;
};

static void
done(struct session *ss, enum mblist_result r)
{
	session_done(ss, r == MBLIST_OK ? SESSION_OK : SESSION_NO,
	    mblist_code(r), mblist_text(r));
}

static void
changed(void *arg, enum mblist_result r, const char *text)
{
	(void)text; /* for the log, where it has been */
	done(arg, r);
}

static void
refuse_aside(struct session *ss)
{
	session_done(ss, SESSION_NO, "CANNOT",
	    "That name is for mailboxes that are set aside");
}

static unsigned
rights_of(struct session *ss, const char *name)
{
	struct arena *a = session_cmd(ss)->arena;
	const struct mboxrec *rec =
	    mblist_get(session_server(ss)->list, name, a);

	if (rec == NULL)
		return 0;
	return session_rights(ss, name, arena_string(a, rec->acl));
}

/* --- CREATE ---------------------------------------------------------------------- */

/* "(\Sent \Trash)"; false: one of them is unknown. */
static bool
parse_uses(struct session *ss, struct create *c)
{
	struct cmd *cmd = session_cmd(ss);
	struct buf text;
	bool known = true;

	buf_init(&text, 1024);
	parse_open(cmd->args);
	while (parse_more(cmd->args)) {
		struct slice word;

		if (!parse_try(cmd->args, '\\'))
			parse_fail(cmd->args, "A special use begins with \\");
		word = parse_atom(cmd->args);
		if (buf_len(&text) > 0)
			buf_putc(&text, ' ');
		buf_putc(&text, '\\');
		buf_put_slice(&text, word);
		known = known &&
		        mblist_is_use(slice_str(arena_printf(cmd->arena,
		            "\\%.*s", (int)(word.len < 100 ? word.len : 100),
		            (const char *)word.ptr)));
	}
	if (known && !buf_failed(&text))
		c->how.special_use = arena_string(cmd->arena, buf_slice(&text));
	buf_fini(&text);
	return known;
}

/* What is behind the name.  False: a special use we do not have. */
static bool
parse_create_options(struct session *ss, struct create *c)
{
	struct cmd *cmd = session_cmd(ss);
	bool known = true;

	if (!parse_try(cmd->args, ' '))
		return true;
	if (parse_peek(cmd->args) != '(') {
		c->how.partition =
		    arena_string(cmd->arena, parse_astring(cmd->args));
		return true;
	}
	parse_open(cmd->args);
	while (parse_more(cmd->args)) {
		if (parse_try_word(cmd->args, "USE")) {
			parse_sp(cmd->args);
			known = parse_uses(ss, c) && known;
		} else {
			parse_word(cmd->args, "PARTITION");
			parse_sp(cmd->args);
			c->how.partition =
			    arena_string(cmd->arena, parse_astring(cmd->args));
		}
	}
	return known;
}

/*
 * The ACL of a new mailbox: its parent's; at the top of a user's tree all
 * rights for the user; elsewhere for who makes it.
 */
static const char *
new_acl(struct session *ss, const char *name)
{
	struct backendd *bd = session_server(ss);
	struct arena *a = session_cmd(ss)->arena;
	const char *parent = mblist_parent(bd->list, name, a), *acl;
	struct slice owner;
	struct buf out;

	if (parent != NULL)
		return arena_string(a, mblist_get(bd->list, parent, a)->acl);
	owner = mboxname_owner(a, &bd->layout, slice_str(name));
	if (owner.len == 0)
		owner = slice_str(session_user(ss));
	buf_init(&out, ACL_MAX);
	acl_put_owner(&out, owner);
	acl = arena_string(a, buf_slice(&out));
	buf_fini(&out);
	return acl;
}

/* May it be told that there is this mailbox? */
static bool
may_know(struct session *ss, const char *name)
{
	return (rights_of(ss, name) & ACL_LOOKUP) != 0;
}

static bool
may_create(struct session *ss, const char *name)
{
	const char *parent = mblist_parent(session_server(ss)->list, name,
	    session_cmd(ss)->arena);

	if (session_is_admin(ss))
		return true;
	return parent != NULL && (rights_of(ss, parent) & ACL_CREATE);
}

static void
created(void *arg, enum mblist_result r, const char *text)
{
	struct create *c = arg;
	struct arena *a = session_cmd(c->ss)->arena;
	const struct mboxrec *rec = NULL;

	(void)text; /* for the log, where it has been */
	quota_release(session_server(c->ss)->quotas, &c->hold);
	if (r == MBLIST_OK)
		rec = mblist_get(session_server(c->ss)->list, c->name, a);
	if (rec == NULL) {
		done(c->ss, r);
		return;
	}
	session_done(c->ss, SESSION_OK,
	    arena_printf(a, "MAILBOXID (%s)", arena_string(a, rec->mailboxid)),
	    "Done");
}

static void
admitted(void *arg, bool fits)
{
	struct create *c = arg;

	if (fits)
		mblist_create(session_server(c->ss)->list, c->name, &c->how,
		    created, c);
	else
		quota_refuse(c->ss);
}

/* An INBOX on a partition that was named is a new user's all the same. */
static void
take_settings(struct create *c, struct slice owner)
{
	struct arena *a = session_cmd(c->ss)->arena;
	struct creator_settings *s = arena_alloc(a, sizeof(*s));

	creator_settings(session_server(c->ss), arena_string(a, owner), a, s);
	if (s->has_quota)
		c->how.quota = &s->quota;
}

static void
create(struct create *c)
{
	struct quota_need one = { .mailboxes = 1, .hold = &c->hold };
	struct session *ss = c->ss;
	struct backendd *bd = session_server(ss);
	struct arena *a = session_cmd(ss)->arena;
	struct slice name = slice_str(c->name), owner;

	if (mblist_is_aside(c->name)) {
		refuse_aside(ss);
		return;
	}
	if (!may_create(ss, c->name) && !may_know(ss, c->name)) {
		session_done(ss, SESSION_NO, "NOPERM", "Permission denied");
		return;
	}
	if (mblist_get(bd->list, c->name, a) != NULL) {
		done(ss, MBLIST_EXISTS);
		return;
	}
	if (c->how.partition != NULL &&
	    backendd_partition(bd, c->how.partition) == NULL) {
		session_done(ss, SESSION_NO, "CANNOT", "No such partition");
		return;
	}
	owner = mboxname_owner(a, &bd->layout, name);
	if (mboxname_is_inbox(name) && owner.len > 0 &&
	    c->how.partition == NULL && c->how.special_use == NULL) {
		mblist_make_user(bd->list, arena_string(a, owner), created, c);
		return;
	}
	c->how.acl = new_acl(ss, c->name);
	if (mboxname_is_inbox(name) && owner.len > 0)
		take_settings(c, owner);
	quota_admit(ss, c->name, &one, admitted, c);
}

void
backendd_CREATE(struct session *ss, struct cmd *cmd)
{
	struct create *c = arena_alloc(cmd->arena, sizeof(*c));
	struct slice name = parse_mailbox(cmd->args);
	bool known;

	c->ss = ss;
	known = parse_create_options(ss, c);
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	if (!known) {
		session_done(ss, SESSION_NO, "USEATTR",
		    "No such special use here");
		return;
	}
	c->name = session_mailbox_name(ss, name);
	if (c->name == NULL)
		return;
	notify_own(ss, c->name);
	create(c);
}

/* --- DELETE ---------------------------------------------------------------------- */

/* In the command's arena. */
struct deleting {
	struct session *ss;
	bool own; /* what is selected is to go */
};

/*
 * A session that has deleted what it had selected has nothing selected then,
 * and one that could not has it still.
 */
static void
deleted(void *arg, enum mblist_result r, const char *text)
{
	struct deleting *de = arg;
	struct view *view = session_view(de->ss);

	if (view != NULL && view_lost(view)) {
		if (de->own && r == MBLIST_OK)
			session_set_view(de->ss, NULL);
		else
			session_bye(de->ss, "NONEXISTENT",
			    "The mailbox was deleted");
	}
	changed(de->ss, r, text);
}

/* With all that belongs to it. */
static void
delete_inbox(struct deleting *de, const char *name)
{
	struct session *ss = de->ss;
	struct view *view = session_view(ss);

	if (!session_is_admin(ss)) {
		session_done(ss, SESSION_NO, "CANNOT",
		    "INBOX cannot be deleted");
		return;
	}
	if (view != NULL &&
	    mboxname_is_below(slice_str(view_name(view)), slice_str(name)))
		de->own = true;
	mblist_delete_tree(session_server(ss)->list, name, deleted, de);
}

void
backendd_DELETE(struct session *ss, struct cmd *cmd)
{
	struct slice external = parse_mailbox(cmd->args);
	struct deleting *de;
	const struct mboxrec *rec;
	const char *name;

	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	name = session_mailbox_name(ss, external);
	if (name == NULL)
		return;
	rec = session_mailbox(ss, name, ACL_DELETE_MAILBOX);
	if (rec == NULL)
		return;
	notify_own(ss, name);
	de = arena_alloc(cmd->arena, sizeof(*de));
	de->ss = ss;
	de->own = session_has_selected(ss, rec->mailboxid);
	if (mboxname_is_inbox(slice_str(name)))
		delete_inbox(de, name);
	else
		mblist_delete(session_server(ss)->list, name, deleted, de);
}

/* --- RENAME ---------------------------------------------------------------------- */

/* In the command's arena. */
struct renaming {
	struct session *ss;
	const char *from, *to;
	struct quota_hold hold;
};

static void
renamed(void *arg, enum mblist_result r, const char *text)
{
	struct renaming *rn = arg;

	quota_release(session_server(rn->ss)->quotas, &rn->hold);
	changed(rn->ss, r, text);
}

static void
rename_admitted(void *arg, bool fits)
{
	struct renaming *rn = arg;

	if (fits)
		mblist_rename(session_server(rn->ss)->list, rn->from, rn->to,
		    renamed, rn);
	else
		quota_refuse(rn->ss);
}

static void
rename_to(struct session *ss, const char *from, const char *to)
{
	struct renaming *rn;
	struct slice f = slice_str(from), t = slice_str(to);
	bool inbox = mboxname_is_inbox(f) && !mboxname_is_inbox(t);

	if (strcmp(from, to) == 0) {
		done(ss, MBLIST_EXISTS);
		return;
	}
	if (mboxname_is_below(t, f) && !inbox) {
		session_done(ss, SESSION_NO, "CANNOT",
		    "A mailbox cannot be put below itself");
		return;
	}
	if (!inbox && !mboxname_is_inbox(f) && mboxname_is_inbox(t) &&
	    !mblist_is_aside(from)) {
		session_done(ss, SESSION_NO, "CANNOT",
		    "That name is a user's INBOX");
		return;
	}
	/* Nor may what is below come there. */
	if (mblist_is_aside(arena_printf(session_cmd(ss)->arena, "%s.", to))) {
		refuse_aside(ss);
		return;
	}
	if (!may_create(ss, to)) {
		session_done(ss, SESSION_NO, "NOPERM", "Permission denied");
		return;
	}
	rn = arena_alloc(session_cmd(ss)->arena, sizeof(*rn));
	*rn = (struct renaming){ .ss = ss, .from = from, .to = to };
	quota_admit_rename(ss, from, to, &rn->hold, rename_admitted, rn);
}

void
backendd_RENAME(struct session *ss, struct cmd *cmd)
{
	struct slice from = parse_mailbox(cmd->args), to;
	const char *old, *new;

	parse_sp(cmd->args);
	to = parse_mailbox(cmd->args);
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	old = session_mailbox_name(ss, from);
	if (old == NULL)
		return;
	new = session_mailbox_name(ss, to);
	if (new == NULL || session_mailbox(ss, old, ACL_DELETE_MAILBOX) == NULL)
		return;
	notify_own(ss, new);
	rename_to(ss, old, new);
}

/* --- subscriptions ----------------------------------------------------------------- */

static void
subscribed(void *arg, bool failed)
{
	if (failed)
		session_done(arg, SESSION_NO, "UNAVAILABLE",
		    "Cannot be stored now, try again later");
	else
		session_done(arg, SESSION_OK, NULL, "Done");
}

/* The internal name; NULL, and all is said. */
static const char *
subscription(struct session *ss, struct cmd *cmd)
{
	struct slice external = parse_mailbox(cmd->args);
	const char *name;

	parse_end(cmd->args);
	if (parse_error(cmd->args) == NULL) {
		name = session_mailbox_name(ss, external);
		notify_own(ss, name);
		return name;
	}
	session_bad_syntax(ss);
	return NULL;
}

void
backendd_SUBSCRIBE(struct session *ss, struct cmd *cmd)
{
	struct backendd *bd = session_server(ss);
	const char *name = subscription(ss, cmd);

	if (name == NULL)
		return;
	/* In a murder it may exist elsewhere: then the frontend has looked. */
	if (bd->announce == NULL &&
	    session_mailbox(ss, name, ACL_LOOKUP) == NULL)
		return;
	if (users_may_subscribe(bd->users, session_user(ss), name))
		users_subscribe(bd->users, session_user(ss), name, subscribed,
		    ss);
	else
		session_done(ss, SESSION_NO, "LIMIT", "Too many subscriptions");
}

void
backendd_UNSUBSCRIBE(struct session *ss, struct cmd *cmd)
{
	struct backendd *bd = session_server(ss);
	const char *name = subscription(ss, cmd);

	if (name != NULL)
		users_unsubscribe(bd->users, session_user(ss), name, subscribed,
		    ss);
}
