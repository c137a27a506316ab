/*
 * RFC 4314: SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS.
 */
#include <string.h>

#include "backendd/handlers.h"
#include "backendd/mblist.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"

enum {
	RIGHTS_MAX = 64,
	REPLY_MAX = 200 * 1024, /* the longest ACL, escaped */
	MAY_LOOK = ACL_LOOKUP | ACL_READ | ACL_INSERT | ACL_CREATE |
	           ACL_DELETE_MAILBOX | ACL_ADMIN
};

/* The mailbox and its list, in the arena. */
struct subject {
	struct slice external;
	const char *name;
	const struct mboxrec *rec;
	struct acl acl;
};

/* The arguments have been parsed.  False: all is said. */
static bool
find_subject(struct session *ss, struct subject *s, unsigned need)
{
	struct cmd *cmd = session_cmd(ss);
	const char *why;

	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return false;
	}
	s->name = session_mailbox_name(ss, s->external);
	if (s->name == NULL)
		return false;
	s->rec = session_mailbox(ss, s->name, need);
	if (s->rec == NULL)
		return false;
	why = acl_parse(cmd->arena, s->rec->acl, &s->acl);
	if (why != NULL)
		session_done(ss, SESSION_NO, "CORRUPTION", why);
	return why == NULL;
}

static void
stored(void *arg, enum mblist_result r, const char *text)
{
	(void)text; /* for the log, where it has been */
	session_done(arg, r == MBLIST_OK ? SESSION_OK : SESSION_NO,
	    mblist_code(r), mblist_text(r));
}

static void
store(struct session *ss, struct subject *s)
{
	struct buf text;

	buf_init(&text, ACL_MAX + 1);
	acl_put(&text, &s->acl);
	buf_putc(&text, '\0');
	if (buf_failed(&text))
		session_done(ss, SESSION_NO, "LIMIT", "The ACL is too long");
	else
		mblist_set_acl(session_server(ss)->list, s->name,
		    (const char *)buf_data(&text), stored, ss);
	buf_fini(&text);
}

void
backendd_SETACL(struct session *ss, struct cmd *cmd)
{
	struct subject s = { .external = parse_mailbox(cmd->args) };
	struct slice identifier, letters;
	enum acl_change change = ACL_SET;
	unsigned rights = 0;
	const char *why;

	parse_sp(cmd->args);
	identifier = parse_astring(cmd->args);
	parse_sp(cmd->args);
	letters = parse_astring(cmd->args);
	if (!find_subject(ss, &s, ACL_ADMIN))
		return;
	why = acl_bad_identifier(identifier);
	if (why == NULL)
		why = acl_parse_rights(letters, &change, &rights);
	if (why != NULL) {
		session_done(ss, SESSION_BAD, NULL, why);
		return;
	}
	why = acl_modify(cmd->arena, &s.acl, identifier, change, rights);
	if (why != NULL)
		session_done(ss, SESSION_NO, "LIMIT", why);
	else
		store(ss, &s);
}

void
backendd_DELETEACL(struct session *ss, struct cmd *cmd)
{
	struct subject s = { .external = parse_mailbox(cmd->args) };
	struct slice identifier;
	const char *why;

	parse_sp(cmd->args);
	identifier = parse_astring(cmd->args);
	if (!find_subject(ss, &s, ACL_ADMIN))
		return;
	why = acl_modify(cmd->arena, &s.acl, identifier, ACL_SET, 0);
	if (why != NULL)
		session_done(ss, SESSION_NO, "LIMIT", why);
	else
		store(ss, &s);
}

static void
put_rights(struct write *w, unsigned rights)
{
	struct buf text;

	buf_init(&text, RIGHTS_MAX);
	acl_put_rights(&text, rights);
	write_sp(w);
	write_astring(w, buf_slice(&text));
	buf_fini(&text);
}

static void
put_grantable(struct write *w, unsigned required)
{
	struct buf text;

	buf_init(&text, RIGHTS_MAX);
	acl_put_grantable(&text, required);
	buf_putc(&text, '\0');
	write_word(w, (const char *)buf_data(&text));
	buf_fini(&text);
}

static void
get_acl(struct session *ss, void *arg)
{
	struct subject *s = arg;
	struct write w;

	session_write(ss, &w);
	write_untagged(&w, "ACL");
	write_sp(&w);
	write_mailbox(&w, s->external);
	for (size_t i = 0; i < s->acl.n; i++) {
		write_sp(&w);
		write_astring(&w, s->acl.entries[i].identifier);
		put_rights(&w, s->acl.entries[i].rights);
	}
	write_end(&w);
	session_done(ss, SESSION_OK, NULL, "Done");
}

void
backendd_GETACL(struct session *ss, struct cmd *cmd)
{
	struct subject *s = arena_alloc(cmd->arena, sizeof(*s));

	s->external = parse_mailbox(cmd->args);
	if (find_subject(ss, s, ACL_ADMIN))
		session_wait_room(ss, REPLY_MAX, get_acl, s);
}

/* Owners and administrators cannot be shut out. */
static unsigned
required_rights(struct session *ss, const char *name, struct slice identifier)
{
	struct backendd *bd = session_server(ss);

	return mboxname_is_owned_by(&bd->layout, slice_str(name), identifier)
	           ? ACL_OWNER_IMPLICIT
	           : 0;
}

void
backendd_LISTRIGHTS(struct session *ss, struct cmd *cmd)
{
	struct subject s = { .external = parse_mailbox(cmd->args) };
	struct slice identifier;
	struct write w;
	unsigned required;
	const char *why;

	parse_sp(cmd->args);
	identifier = parse_astring(cmd->args);
	if (!find_subject(ss, &s, ACL_ADMIN))
		return;
	why = acl_bad_identifier(identifier);
	if (why != NULL) {
		session_done(ss, SESSION_BAD, NULL, why);
		return;
	}
	required = required_rights(ss, s.name, identifier);
	session_write(ss, &w);
	write_untagged(&w, "LISTRIGHTS");
	write_sp(&w);
	write_mailbox(&w, s.external);
	write_sp(&w);
	write_astring(&w, identifier);
	put_rights(&w, required);
	put_grantable(&w, required);
	write_end(&w);
	session_done(ss, SESSION_OK, NULL, "Done");
}

void
backendd_MYRIGHTS(struct session *ss, struct cmd *cmd)
{
	struct subject s = { .external = parse_mailbox(cmd->args) };
	struct write w;
	unsigned rights;

	if (!find_subject(ss, &s, 0))
		return;
	rights =
	    session_rights(ss, s.name, arena_string(cmd->arena, s.rec->acl));
	if (!(rights & MAY_LOOK)) {
		session_done(ss, SESSION_NO, "NONEXISTENT", "No such mailbox");
		return;
	}
	session_write(ss, &w);
	acl_write_myrights(&w, s.external, rights);
	session_done(ss, SESSION_OK, NULL, "Done");
}
