/*
 * GETACL, MYRIGHTS, LISTRIGHTS: answered here, from the copy of the list.  NO is
 * not said before the copy is known to be current: another frontend may just
 * have given the right.
 */
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "lib/buf.h"
#include "proxyd/handlers.h"
#include "proxyd/route.h"
#include "proxyd/session.h"
#include "proxyd/trip.h"
#include "proxyd/worker.h"

/* In the arena. */
struct asking {
	struct slice external, identifier;
	struct slice name;
	unsigned need; /* any of these rights */
	bool current;  /* the copy has been synchronised for it */
	void (*show)(struct session *ss, const struct asking *q,
	    struct slice acl, unsigned mine);
};

static void
put_rights(struct write *w, unsigned rights)
{
	struct buf out;

	buf_init(&out, 64);
	acl_put_rights(&out, rights);
	write_astring(w, buf_slice(&out));
	buf_fini(&out);
}

static void
put_grantable(struct write *w, unsigned required)
{
	struct buf out;

	buf_init(&out, 64);
	acl_put_grantable(&out, required);
	buf_putc(&out, '\0');
	write_word(w, (const char *)buf_data(&out));
	buf_fini(&out);
}

static void
found(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct session *ss = arg;
	struct asking *q = ss->cmd.state;
	unsigned mine;

	ss->cmd.wait = NULL;
	if (!trip_is_found(ss, answer, RESPCODE_NONEXISTENT))
		return;
	mine = session_rights(ss, q->name, rec->acl);
	if ((mine & q->need) == 0 && !q->current) {
		q->current = true;
		ss->cmd.wait = route_find_current(ss->worker->route, &ss->rate,
		    q->name, found, ss);
		return;
	}
	/* RFC 4314 8: who may not look must not learn that it exists. */
	if (mine == 0)
		session_done(ss, WRITE_NO, RESPCODE_NONEXISTENT,
		    "No such mailbox");
	else if ((mine & q->need) == 0)
		session_done(ss, WRITE_NO, RESPCODE_NOPERM,
		    "You have not the right to see this");
	else {
		q->show(ss, q, rec->acl, mine);
		session_done(ss, WRITE_OK, RESPCODE_NONE, "Done");
	}
}

static void
ask(struct session *ss, struct asking *q)
{
	parse_end(&ss->cmd.args);
	if (session_bad_args(ss))
		return;
	ss->cmd.state = q;
	q->name = session_name(ss, q->external);
	if (q->name.ptr != NULL)
		ss->cmd.wait = route_find(ss->worker->route, &ss->rate, q->name,
		    found, ss);
}

static void
show_acl(struct session *ss, const struct asking *q, struct slice text,
    unsigned mine)
{
	struct write w = session_write(ss);
	struct acl acl = { 0 };

	(void)mine;
	write_untagged(&w, "ACL");
	write_sp(&w);
	write_mailbox(&w, q->external);
	if (acl_parse(&ss->arena, text, &acl) == NULL)
		for (size_t i = 0; i < acl.n; i++) {
			write_sp(&w);
			write_astring(&w, acl.entries[i].identifier);
			write_sp(&w);
			put_rights(&w, acl.entries[i].rights);
		}
	write_end(&w);
}

void
proxyd_GETACL(struct session *ss)
{
	struct asking *q = arena_alloc(&ss->arena, sizeof(*q));

	parse_sp(&ss->cmd.args);
	q->external = parse_mailbox(&ss->cmd.args);
	q->need = ACL_ADMIN;
	q->show = show_acl;
	ask(ss, q);
}

static void
show_mine(struct session *ss, const struct asking *q, struct slice text,
    unsigned mine)
{
	struct write w = session_write(ss);

	(void)text;
	write_untagged(&w, "MYRIGHTS");
	write_sp(&w);
	write_mailbox(&w, q->external);
	write_sp(&w);
	put_rights(&w, mine);
	write_end(&w);
}

void
proxyd_MYRIGHTS(struct session *ss)
{
	struct asking *q = arena_alloc(&ss->arena, sizeof(*q));

	parse_sp(&ss->cmd.args);
	q->external = parse_mailbox(&ss->cmd.args);
	q->need = ~0u;
	q->show = show_mine;
	ask(ss, q);
}

/* What the identifier always has, then each right that may be given. */
static void
show_grantable(struct session *ss, const struct asking *q, struct slice text,
    unsigned mine)
{
	struct write w = session_write(ss);
	unsigned always = 0;

	(void)text;
	(void)mine;
	if (mboxname_is_owned_by(&ss->worker->layout, q->name, q->identifier))
		always = ACL_OWNER_IMPLICIT;
	write_untagged(&w, "LISTRIGHTS");
	write_sp(&w);
	write_mailbox(&w, q->external);
	write_sp(&w);
	write_astring(&w, q->identifier);
	write_sp(&w);
	if (always == 0)
		write_string(&w, slice_str(""));
	else
		put_rights(&w, always);
	put_grantable(&w, always);
	write_end(&w);
}

void
proxyd_LISTRIGHTS(struct session *ss)
{
	struct asking *q = arena_alloc(&ss->arena, sizeof(*q));

	parse_sp(&ss->cmd.args);
	q->external = parse_mailbox(&ss->cmd.args);
	parse_sp(&ss->cmd.args);
	q->identifier = parse_astring(&ss->cmd.args);
	q->need = ACL_ADMIN;
	q->show = show_grantable;
	ask(ss, q);
}
