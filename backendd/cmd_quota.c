/*
 * RFC 9208: GETQUOTA, GETQUOTAROOT, SETQUOTA.
 *
 * A root is shown as its mailbox is; that of a domain as "@example.org".
 */
#include <string.h>

#include "backendd/handlers.h"
#include "backendd/mblist.h"
#include "backendd/mblist_quota.h"
#include "backendd/quota.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "imap/write.h"
#include "lib/arena.h"

enum {
	ANSWER_ROOM = 8 * 1024
};

/* In the command's arena. */
struct asked {
	struct session *ss;
	const char *root; /* internal */
	struct quota_limits limits;
	const char *text; /* of the OK */
};

/* --- names ---------------------------------------------------------------------- */

static bool
is_domain(const char *root)
{
	return mboxname_local(slice_str(root)).len == 0;
}

static const char *
external_root(struct session *ss, const char *root)
{
	struct slice domain = mboxname_domain(slice_str(root));

	if (is_domain(root))
		return arena_printf(session_cmd(ss)->arena, "@%.*s",
		    (int)domain.len, (const char *)domain.ptr);
	return session_external_name(ss, root);
}

/* NULL: all is said. */
static const char *
internal_root(struct session *ss, struct slice external)
{
	const char *root;

	if (external.len < 2 || external.ptr[0] != '@')
		return session_mailbox_name(ss, external);
	external = slice_skip(external, 1);
	root = arena_printf(session_cmd(ss)->arena, "%.*s!", (int)external.len,
	    (const char *)external.ptr);
	if (slice_find(external, '!') == external.len &&
	    slice_find(external, '\0') == external.len &&
	    mblist_quota_name_ok(slice_str(root)))
		return root;
	session_done(ss, SESSION_NO, "NONEXISTENT", "No such quota root");
	return NULL;
}

/* --- the answer --------------------------------------------------------------------- */

static void
put_usage(void *arg, const struct quota_usage *usage)
{
	struct asked *q = arg;
	struct write w;

	session_write(q->ss, &w);
	quota_write(&w, slice_str(external_root(q->ss, q->root)), &q->limits,
	    usage);
	session_done(q->ss, SESSION_OK, NULL, q->text);
}

static void
ask(struct session *ss, void *arg)
{
	struct asked *q = arg;

	quota_usage(session_server(ss)->quotas, q->root, put_usage, q);
}

/* Owners, administrators, and who may read the mailbox of that name. */
static bool
may_see(struct session *ss, const char *root)
{
	struct backendd *bd = session_server(ss);
	struct arena *a = session_cmd(ss)->arena;
	const struct mboxrec *rec;

	if (session_is_admin(ss))
		return true;
	if (is_domain(root))
		return false;
	if (mboxname_is_owned_by(&bd->layout, slice_str(root),
	        slice_str(session_user(ss))))
		return true;
	rec = mblist_get(bd->list, root, a);
	return rec != NULL &&
	       (session_rights(ss, root, arena_string(a, rec->acl)) & ACL_READ);
}

void
backendd_GETQUOTA(struct session *ss, struct cmd *cmd)
{
	struct asked *q = arena_alloc(cmd->arena, sizeof(*q));
	struct slice external = parse_mailbox(cmd->args);

	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	q->ss = ss;
	q->text = "Getquota completed";
	q->root = internal_root(ss, external);
	if (q->root == NULL)
		return;
	if (!may_see(ss, q->root) ||
	    !quota_limits(session_server(ss)->quotas, q->root, &q->limits))
		session_done(ss, SESSION_NO, "NONEXISTENT",
		    "No such quota root");
	else
		session_wait_room(ss, ANSWER_ROOM, ask, q);
}

/* --- GETQUOTAROOT ---------------------------------------------------------------------- */

/* It or the nearest above it that this user may know of; NULL: there is none. */
static const char *
known(struct session *ss, const char *name)
{
	struct arena *a = session_cmd(ss)->arena;
	struct slice s = slice_str(name);

	for (; s.len > 0; s = mboxname_parent(s)) {
		const char *n = arena_string(a, s);
		const struct mboxrec *rec =
		    mblist_get(session_server(ss)->list, n, a);

		if (rec != NULL &&
		    (session_rights(ss, n, arena_string(a, rec->acl)) &
		        (ACL_LOOKUP | ACL_READ)))
			return n;
	}
	return NULL;
}

/*
 * The mailbox, or the one it would be made below, has to be readable (RFC 9208,
 * 6): usage tells of what is in it.  One that the user may not know of is as if
 * it were to be made.  The name to ask of; NULL: all is said.
 */
static const char *
may_ask(struct session *ss, const char *name)
{
	struct mblist *list = session_server(ss)->list;
	struct arena *a = session_cmd(ss)->arena;
	const char *seen = known(ss, name), *nearest = name;

	if (seen != NULL && session_mailbox(ss, seen, ACL_READ) == NULL)
		return NULL;
	if (seen == NULL && !may_see(ss, name)) {
		session_done(ss, SESSION_NO, "NONEXISTENT", "No such mailbox");
		return NULL;
	}
	if (mblist_get(list, name, a) == NULL)
		nearest = mblist_parent(list, name, a);
	return seen == NULL || strcmp(nearest, seen) == 0 ? name : seen;
}

void
backendd_GETQUOTAROOT(struct session *ss, struct cmd *cmd)
{
	struct asked *q = arena_alloc(cmd->arena, sizeof(*q));
	struct quotas *quotas = session_server(ss)->quotas;
	struct slice external = parse_mailbox(cmd->args);
	struct write w;
	const char *name;

	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	q->ss = ss;
	q->text = "Getquotaroot completed";
	name = session_mailbox_name(ss, external);
	if (name != NULL)
		name = may_ask(ss, name);
	if (name == NULL)
		return;
	q->root = quota_root_of(quotas, name, cmd->arena);
	session_write(ss, &w);
	quota_write_root(&w, external,
	    q->root == NULL ? slice_of(NULL, 0)
	                    : slice_str(external_root(ss, q->root)));
	if (q->root == NULL || !quota_limits(quotas, q->root, &q->limits))
		session_done(ss, SESSION_OK, NULL, q->text);
	else
		session_wait_room(ss, ANSWER_ROOM, ask, q);
}

/* --- SETQUOTA ------------------------------------------------------------------------------ */

static bool
found(void *arg, const char *name, const struct mboxrec *rec)
{
	(void)name, (void)rec; /* that there is one is enough */
	*(bool *)arg = true;
	return false;
}

/* Is there a mailbox that it would be for? */
static bool
is_of_any(struct session *ss, const char *root)
{
	struct mblist *list = session_server(ss)->list;
	struct arena *a = session_cmd(ss)->arena;
	bool any = mblist_get(list, root, a) != NULL;

	if (!any)
		mblist_each(list,
		    is_domain(root) ? root : arena_printf(a, "%s.", root),
		    found, &any);
	return any;
}

static void
limits_set(void *arg, bool failed)
{
	struct asked *q = arg;

	if (failed)
		session_done(q->ss, SESSION_NO, "UNAVAILABLE",
		    "Cannot be stored now, try again later");
	else
		session_wait_room(q->ss, ANSWER_ROOM, ask, q);
}

void
backendd_SETQUOTA(struct session *ss, struct cmd *cmd)
{
	struct asked *q = arena_alloc(cmd->arena, sizeof(*q));
	struct slice external = parse_mailbox(cmd->args);

	parse_sp(cmd->args);
	quota_parse_limits(cmd->args, &q->limits);
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	q->ss = ss;
	q->text = "Setquota completed";
	if (!session_is_admin(ss)) {
		session_done(ss, SESSION_NO, "NOPERM", "Permission denied");
		return;
	}
	q->root = internal_root(ss, external);
	if (q->root == NULL)
		return;
	if (is_of_any(ss, q->root))
		quota_set(session_server(ss)->quotas, q->root, &q->limits,
		    limits_set, q);
	else
		session_done(ss, SESSION_NO, "NONEXISTENT",
		    "There is no mailbox for it");
}
