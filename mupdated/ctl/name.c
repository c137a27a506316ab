/*
 * explain, reservations and break: what is about one name, or who holds it.
 */
#include <stdio.h>

#include "imap/mboxrec.h"
#include "imap/mupdate.h"
#include "imap/mupdate_ext.h"
#include "lib/arena.h"
#include "lib/must.h"
#include "mupdated/ctl/conf.h"
#include "mupdated/ctl/ctl.h"
#include "mupdated/ctl/asker.h"

enum {
	LABEL_WIDTH = 12,
	NAME_WIDTH = 32,
	OWNER_WIDTH = 16,
	AGE_WIDTH = 8,
	EXPIRES_WIDTH = 14,
	TEXT_MAX = 512
};

/* An entry, and who holds it. */
struct look {
	struct ctl *ctl;
	struct arena arena;
	bool found, leased;
	struct mboxrec rec;
	struct mupdate_lease lease;
};

/* --- asking ---------------------------------------------------------------- */

static void
put_find(void *arg, struct buf *out, const char *tag)
{
	struct look *k = arg;
	struct slice name = slice_str(k->ctl->name);

	mupdate_put_command(out, tag, MUPDATE_CMD_XFIND, &name, 1);
}

static void
put_leases(void *arg, struct buf *out, const char *tag)
{
	(void)arg; /* all of them */
	mupdate_put_command(out, tag, MUPDATE_CMD_XLEASES, NULL, 0);
}

static bool
find_line(void *arg, const struct mupdate_message *m)
{
	struct look *k = arg;
	struct arena *a = &k->arena;
	struct slice name;

	if (m->id != MUPDATE_XENTRY ||
	    !mupdate_ext_get_entry(m, &name, &k->rec))
		return true;
	k->found = true;
	k->rec.location = arena_copy(a, k->rec.location);
	k->rec.acl = arena_copy(a, k->rec.acl);
	k->rec.mailboxid = arena_copy(a, k->rec.mailboxid);
	k->rec.special_uses = arena_copy(a, k->rec.special_uses);
	return true;
}

static bool
lease_line(void *arg, const struct mupdate_message *m)
{
	struct look *k = arg;
	struct mupdate_lease lease;

	if (m->id != MUPDATE_XLEASE || !mupdate_ext_get_lease(m, &lease) ||
	    !slice_is(lease.name, k->ctl->name))
		return true;
	k->leased = true;
	k->lease = lease;
	k->lease.owner = arena_copy(&k->arena, lease.owner);
	return true;
}

static enum ctl_exit
not_found(const struct ctl *c)
{
	struct err err;

	(void)err_set(&err,
	    "%s is not in the list; names are internal ones, such as "
	    "user.fred.Drafts: try 'murderctl list' with how it begins",
	    c->name);
	(void)ctl_fail(err.text); /* found nothing, to be exact */
	return CTL_NOT_FOUND;
}

/* The entry, and its lease if it has one that we may see. */
static enum ctl_exit
look(struct look *k, struct ctl *c)
{
	struct err err;
	enum asker_end end;

	*k = (struct look){ .ctl = c };
	arena_init(&k->arena);
	end = asker_ask(c->asker, put_find, find_line, k, &err);
	if (end == ASKER_OK && !k->found)
		return not_found(c);
	if (end == ASKER_OK && k->rec.state != MBOXREC_ACTIVE) {
		end = asker_ask(c->asker, put_leases, lease_line, k, &err);
		if (end == ASKER_NO)
			return CTL_OK; /* admins only are told */
	}
	if (end == ASKER_NO)
		return ctl_refused(c, &err);
	return end == ASKER_OK ? CTL_OK : ctl_fail(err.text);
}

/* --- explain --------------------------------------------------------------- */

static void
show(struct out *o, const char *label, struct slice value)
{
	out_cell(o, slice_str(label), LABEL_WIDTH);
	out_cell(o, value, 0);
	(void)out_end(o); /* out_fini() tells */
}

static void
show_number(struct out *o, const char *label, uint64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	show(o, label, slice_str(text));
}

/* Cuts an identifier or its rights off the tab form. */
static struct slice
take_word(struct slice *acl)
{
	size_t n = slice_find(*acl, '\t');
	struct slice word = slice_first(*acl, n);

	*acl = slice_skip(*acl, n < acl->len ? n + 1 : n);
	return word;
}

static void
show_acl(struct out *o, struct slice acl)
{
	const char *label = "acl";

	while (acl.len > 0) {
		out_cell(o, slice_str(label), LABEL_WIDTH);
		out_cell(o, take_word(&acl), OWNER_WIDTH);
		out_cell(o, take_word(&acl), 0);
		(void)out_end(o); /* out_fini() tells */
		label = "";
	}
}

static void
put_ends(struct buf *b, const struct mupdate_lease *lease, uint64_t now)
{
	switch (lease->ends) {
	case MUPDATE_LEASE_HELD:
		buf_puts(b, "owner is here");
		break;
	case MUPDATE_LEASE_NEVER:
		buf_puts(b, "never");
		break;
	case MUPDATE_LEASE_ENDING:
		buf_puts(b, "in ");
		ctl_put_age(b, lease->expires > now ? lease->expires - now : 0);
		break;
	}
}

static void
show_lease(struct look *k)
{
	struct out *o = &k->ctl->out;
	uint64_t now = ctl_now(k->ctl);
	struct buf text;

	buf_init(&text, TEXT_MAX);
	if (k->lease.owner.len > 0)
		show(o, "owner", k->lease.owner);
	if (k->lease.since != 0) {
		ctl_put_time(&text, k->lease.since);
		show(o, "since", buf_slice(&text));
		buf_clear(&text);
	}
	put_ends(&text, &k->lease, now);
	show(o, "expires", buf_slice(&text));
	buf_fini(&text);
}

/* What an administrator makes of it. */
static void
put_meaning(struct buf *b, const struct look *k)
{
	struct slice host = mboxrec_host(k->rec.location);
	const int n = (int)(host.len < 200 ? host.len : 200);
	const char *at = (const char *)host.ptr;

	switch (k->rec.state) {
	case MBOXREC_ACTIVE:
		buf_printf(b, "The mailbox is on %.*s: frontends send there.",
		    n, at);
		break;
	case MBOXREC_RESERVED:
		if (k->leased && k->lease.ends == MUPDATE_LEASE_HELD)
			buf_printf(b,
			    "%.*s, which is connected, is making it; there is "
			    "nothing to open yet.",
			    n, at);
		else
			buf_printf(b,
			    "%.*s has begun to make it; there is nothing to "
			    "open. If %.*s is not to come back: murderctl "
			    "break.",
			    n, at, n, at);
		break;
	case MBOXREC_MOVING:
		buf_printf(b,
		    "%.*s has taken it out of service, to delete or to move "
		    "it, and may still have its messages. It puts this right "
		    "when it connects.",
		    n, at);
		break;
	}
}

static void
explain_table(struct look *k)
{
	struct out *o = &k->ctl->out;
	struct buf text;

	show(o, "name", slice_str(k->ctl->name));
	show(o, "state", ctl_state(&k->rec));
	show(o, "host", mboxrec_host(k->rec.location));
	show(o, "partition", mboxrec_partition(k->rec.location));
	show_number(o, "generation", k->rec.generation);
	show_number(o, "revision", k->rec.revision);
	if (k->rec.mailboxid.len > 0)
		show(o, "mailboxid", k->rec.mailboxid);
	if (k->rec.special_uses.len > 0)
		show(o, "special use", k->rec.special_uses);
	show_acl(o, k->rec.acl);
	if (k->leased)
		show_lease(k);
	buf_init(&text, 2 * TEXT_MAX);
	put_meaning(&text, k);
	(void)out_end(o); /* an empty line; out_fini() tells */
	out_cell(o, buf_slice(&text), 0);
	(void)out_end(o);
	buf_fini(&text);
}

static void
explain_json(struct look *k)
{
	struct out *o = &k->ctl->out;
	struct slice acl = k->rec.acl;

	out_open(o, NULL, '{');
	out_str(o, "name", slice_str(k->ctl->name));
	out_str(o, "state", ctl_state(&k->rec));
	out_str(o, "host", mboxrec_host(k->rec.location));
	out_str(o, "partition", mboxrec_partition(k->rec.location));
	out_number(o, "generation", k->rec.generation);
	out_number(o, "revision", k->rec.revision);
	out_str(o, "mailboxid", k->rec.mailboxid);
	out_str(o, "special_use", k->rec.special_uses);
	out_number(o, "type", k->rec.type);
	out_open(o, "acl", '[');
	while (acl.len > 0) {
		out_open(o, NULL, '{');
		out_str(o, "identifier", take_word(&acl));
		out_str(o, "rights", take_word(&acl));
		out_close(o, '}');
	}
	out_close(o, ']');
	if (k->leased) {
		out_open(o, "lease", '{');
		ctl_put_lease(o, &k->lease);
		out_close(o, '}');
	} else {
		out_null(o, "lease");
	}
	out_close(o, '}');
	(void)out_end(o); /* out_fini() tells */
}

enum ctl_exit
ctl_explain(struct ctl *c)
{
	struct look k;
	enum ctl_exit result = look(&k, c);

	if (result == CTL_OK && c->json)
		explain_json(&k);
	else if (result == CTL_OK)
		explain_table(&k);
	arena_reset(&k.arena);
	return result;
}

/* --- reservations ---------------------------------------------------------- */

struct leases {
	struct ctl *ctl;
	uint64_t shown;
};

static void
lease_cells(struct out *o, const struct mupdate_lease *lease, uint64_t now)
{
	struct buf text;

	buf_init(&text, TEXT_MAX);
	out_cell(o, lease->name, NAME_WIDTH);
	out_cell(o, lease->owner.len > 0 ? lease->owner : slice_str("-"),
	    OWNER_WIDTH);
	if (lease->since != 0)
		ctl_put_age(&text, now > lease->since ? now - lease->since : 0);
	else
		buf_puts(&text, "-");
	out_cell(o, buf_slice(&text), AGE_WIDTH);
	buf_clear(&text);
	put_ends(&text, lease, now);
	out_cell(o, buf_slice(&text), EXPIRES_WIDTH);
	out_cell_number(o, lease->generation, 16);
	out_cell(o, lease->location, 0);
	buf_fini(&text);
}

static bool
leases_line(void *arg, const struct mupdate_message *m)
{
	struct leases *l = arg;
	struct out *o = &l->ctl->out;
	struct mupdate_lease lease;

	if (m->id != MUPDATE_XLEASE || !mupdate_ext_get_lease(m, &lease))
		return true;
	if (l->ctl->json) {
		out_open(o, NULL, '{');
		out_str(o, "name", lease.name);
		out_str(o, "location", lease.location);
		out_number(o, "generation", lease.generation);
		ctl_put_lease(o, &lease);
		out_close(o, '}');
		return out_end(o);
	}
	if (l->shown++ == 0) {
		out_cell(o, slice_str("NAME"), NAME_WIDTH);
		out_cell(o, slice_str("OWNER"), OWNER_WIDTH);
		out_cell(o, slice_str("AGE"), AGE_WIDTH);
		out_cell(o, slice_str("EXPIRES"), EXPIRES_WIDTH);
		out_cell(o, slice_str("GENERATION"), 16);
		out_cell(o, slice_str("LOCATION"), 0);
		(void)out_end(o); /* the next tells */
	}
	lease_cells(o, &lease, ctl_now(l->ctl));
	return out_end(o);
}

enum ctl_exit
ctl_reservations(struct ctl *c)
{
	struct leases l = { .ctl = c };
	struct err err;

	switch (asker_ask(c->asker, put_leases, leases_line, &l, &err)) {
	case ASKER_OK:
		if (l.shown == 0 && !c->json)
			show(&c->out, "none", slice_str(""));
		return CTL_OK;
	case ASKER_NO:
		return ctl_refused(c, &err);
	case ASKER_STOPPED:
		return ctl_fail("standard output cannot be written");
	case ASKER_LOST:
		break;
	}
	return ctl_fail(err.text);
}

/* --- break ----------------------------------------------------------------- */

static void
put_break(void *arg, struct buf *out, const char *tag)
{
	struct look *k = arg;

	mupdate_ext_put_break(out, tag, slice_str(k->ctl->name),
	    k->rec.generation);
}

static bool
no_line(void *arg, const struct mupdate_message *m)
{
	(void)arg; /* it has the OK alone */
	(void)m;
	return true;
}

static enum ctl_exit
may_not_break(const struct look *k)
{
	const struct ctl *c = k->ctl;
	struct slice host = mboxrec_host(k->rec.location);
	struct err err;

	if (k->rec.state == MBOXREC_ACTIVE)
		(void)err_set(&err,
		    "%s is active on %.*s, not reserved; to remove it, delete "
		    "it there, by IMAP",
		    c->name, (int)host.len, (const char *)host.ptr);
	else
		(void)err_set(&err,
		    "%s has been granted anew: its generation is %llu, not "
		    "%llu; look with 'murderctl explain' whether that, too, is "
		    "to be broken",
		    c->name, (unsigned long long)k->rec.generation,
		    (unsigned long long)c->generation);
	return ctl_fail(err.text);
}

static void
broken(struct look *k)
{
	struct out *o = &k->ctl->out;
	struct slice host = mboxrec_host(k->rec.location);
	struct buf text;

	if (k->ctl->json) {
		out_open(o, NULL, '{');
		out_str(o, "broken", slice_str(k->ctl->name));
		out_str(o, "host", host);
		out_number(o, "generation", k->rec.generation);
		out_close(o, '}');
		(void)out_end(o); /* out_fini() tells */
		return;
	}
	buf_init(&text, 4 * TEXT_MAX);
	buf_printf(&text, "%s is free: %s by %.*s, generation %llu, is broken",
	    k->ctl->name,
	    k->rec.state == MBOXREC_MOVING ? "what was taken out of service"
	                                   : "the reservation",
	    (int)host.len, (const char *)host.ptr,
	    (unsigned long long)k->rec.generation);
	out_cell(o, buf_slice(&text), 0);
	(void)out_end(o);
	buf_fini(&text);
}

enum ctl_exit
ctl_break(struct ctl *c)
{
	struct look k;
	enum ctl_exit result = look(&k, c);
	struct err err;

	if (result == CTL_OK &&
	    (k.rec.state == MBOXREC_ACTIVE ||
	        (c->generation != 0 && c->generation != k.rec.generation)))
		result = may_not_break(&k);
	if (result == CTL_OK) {
		switch (asker_ask(c->asker, put_break, no_line, &k, &err)) {
		case ASKER_OK:
			broken(&k);
			break;
		case ASKER_NO:
			result = ctl_refused(c, &err);
			break;
		case ASKER_LOST:
		case ASKER_STOPPED:
			result = ctl_fail(err.text);
			break;
		}
	}
	arena_reset(&k.arena);
	return result;
}
