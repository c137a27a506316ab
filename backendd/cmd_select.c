#include "backendd/handlers.h"
#include "backendd/listline.h"
#include "backendd/mailbox.h"
#include "backendd/qresync.h"
#include "backendd/seen.h"
#include "backendd/session.h"
#include "backendd/target.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "imap/seqset.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"

/* Rights of which one makes a mailbox READ-WRITE (RFC 4314 5.2). */
enum {
	CHANGING = ACL_SEEN | ACL_WRITE | ACL_INSERT | ACL_DELETE_MESSAGES |
	           ACL_EXPUNGE,
	/* FLAGS and PERMANENTFLAGS, each with all keywords, and the rest. */
	SELECT_ROOM = 24 * 1024
};

/* What a client knows that comes back (RFC 7162 3.2.5). */
struct known {
	uint32_t uidvalidity;
	uint64_t modseq;
	struct seqset *uids; /* NULL: all */
	struct seqset seqs;  /* numbers and UIDs of some messages */
	struct seqset seq_uids;
};

struct selecting {
	struct session *ss;
	bool examine;
	bool condstore;
	struct known *known; /* QRESYNC; NULL: no */
	struct target *t;
};

static void
put_code(struct write *w, enum respcode code, uint64_t n, const char *text)
{
	write_status(w, slice_of(NULL, 0), WRITE_OK);
	write_code_open(w, code);
	write_sp(w);
	write_number(w, n);
	write_code_close(w);
	write_text(w, text);
	write_end(w);
}

/* The first message this user has not seen; 0 if there is none. */
static uint32_t
first_unseen(const struct view *v)
{
	struct mailbox *m = view_mailbox(v);

	return view_seen(v) == NULL
	           ? mailbox_first_unseen(m)
	           : seen_first_unseen(view_seen(v), mailbox_store(m));
}

static void
put_numbers(struct write *w, struct selecting *sel, const struct view *v)
{
	const struct store_numbers *n = mailbox_numbers(view_mailbox(v));
	unsigned enabled = session_enabled(sel->ss);
	uint32_t unseen = 0;

	write_untagged_number(w, view_count(v), "EXISTS");
	write_end(w);
	if (!(enabled & ENABLED_REV2)) {
		write_untagged_number(w, view_recent(v), "RECENT");
		write_end(w);
	}
	if (!(enabled & (ENABLED_REV2 | ENABLED_UIDONLY)))
		unseen = first_unseen(v);
	if (unseen != 0)
		put_code(w, RESPCODE_UNSEEN, unseen, "First unseen");
	put_code(w, RESPCODE_UIDVALIDITY, n->uidvalidity, "UIDs valid");
	put_code(w, RESPCODE_UIDNEXT, n->uidnext, "Next UID");
	put_code(w, RESPCODE_HIGHESTMODSEQ, n->highestmodseq, "Highest");
}

static void
put_mailboxid(struct write *w, struct selecting *sel)
{
	write_status(w, slice_of(NULL, 0), WRITE_OK);
	write_code_open(w, RESPCODE_MAILBOXID);
	write_sp(w);
	write_open(w);
	write_atom(w, sel->t->rec->mailboxid);
	write_close(w);
	write_code_close(w);
	write_text(w, "Mailbox");
	write_end(w);
}

static void
finish(struct selecting *sel, const struct view *v)
{
	bool writable = view_access(v) == VIEW_READ_WRITE;

	session_done(sel->ss, SESSION_OK, writable ? "READ-WRITE" : "READ-ONLY",
	    sel->examine ? "Examine completed" : "Select completed");
}

/* --- QRESYNC -------------------------------------------------------------- */

/* The last of the pairs of number and UID that are here as the client says. */
static uint32_t
match(const struct known *k, const struct view *v)
{
	struct seqiter seqs = seqiter_of(&k->seqs);
	struct seqiter uids = seqiter_of(&k->seq_uids);
	uint32_t seq, uid, same = 0;

	while (seqiter_next(&seqs, &seq) && seqiter_next(&uids, &uid) &&
	       view_uid_of(v, seq) == uid)
		same = uid;
	return same;
}

static void
on_changed(struct session *ss, void *arg, const char *why)
{
	struct selecting *sel = arg;

	(void)why; /* what has been found was said */
	finish(sel, session_view(ss));
}

static void
on_vanished(struct session *ss, void *arg, const char *why)
{
	struct selecting *sel = arg;
	const struct known *k = sel->known;

	if (why == NULL) {
		qresync_changed(ss, k->modseq, k->uids, on_changed, sel);
		return;
	}
	session_set_view(ss, NULL);
	session_done(ss, SESSION_NO, "UNAVAILABLE", why);
}

/* True: there is more to be said. */
static bool
resync(struct selecting *sel, const struct view *v)
{
	const struct store_numbers *n = mailbox_numbers(view_mailbox(v));
	struct known *k = sel->known;

	if (k == NULL || k->uidvalidity != n->uidvalidity ||
	    k->modseq >= n->highestmodseq)
		return false;
	qresync_vanished(sel->ss, k->modseq, k->uids, match(k, v), on_vanished,
	    sel);
	return true;
}

/* A set of numbers; "*" means nothing to who is away. */
static void
parse_known_set(struct parse *p, struct seqset *set)
{
	parse_seqset(p, set);
	for (size_t i = 0; i < set->n; i++)
		if (set->ranges[i].first == SEQSET_STAR ||
		    set->ranges[i].last == SEQSET_STAR)
			parse_fail(p, "\"*\" is not known");
	seqset_resolve(set, 0);
}

/* "(uidvalidity modseq [uids] [(numbers uids)])" */
static void
parse_known(struct selecting *sel, struct parse *p)
{
	struct known *k = arena_alloc(session_cmd(sel->ss)->arena, sizeof(*k));

	parse_sp(p);
	parse_char(p, '(');
	k->uidvalidity = parse_nz_number(p);
	parse_sp(p);
	k->modseq = parse_number64(p);
	while (parse_try(p, ' ')) {
		if (k->seqs.n > 0 || (k->uids != NULL && parse_peek(p) != '('))
			parse_fail(p, "Too many arguments of QRESYNC");
		if (parse_try(p, '(')) {
			parse_known_set(p, &k->seqs);
			parse_sp(p);
			parse_known_set(p, &k->seq_uids);
			parse_char(p, ')');
		} else {
			k->uids = arena_alloc(session_cmd(sel->ss)->arena,
			    sizeof(*k->uids));
			parse_known_set(p, k->uids);
		}
	}
	parse_char(p, ')');
	if (seqset_count(&k->seqs) != seqset_count(&k->seq_uids))
		parse_fail(p, "As many UIDs as numbers are needed");
	if (!(session_enabled(sel->ss) & ENABLED_QRESYNC))
		parse_fail(p, "QRESYNC is not enabled");
	sel->known = k;
}

static void
say_selected(struct selecting *sel, struct view *v)
{
	struct write w;

	view_begin(v);
	write_init(&w, session_out(sel->ss), WRITE_SERVER);
	session_put_flags(sel->ss, session_out(sel->ss));
	put_numbers(&w, sel, v);
	put_mailboxid(&w, sel);
	if (session_enabled(sel->ss) & ENABLED_REV2)
		listline_put(sel->ss,
		    &(struct listline){ .name = view_name(v) });
	session_flush(sel->ss);
	if (!resync(sel, v))
		finish(sel, v);
}

static void
on_room(struct session *ss, void *arg)
{
	struct selecting *sel = arg;
	struct target *t = sel->t;
	struct view_options o = { .rights = t->rights, .name = t->name };
	struct view *v;

	if (mailbox_is_going(t->m)) { /* while there was no room */
		mailbox_release(&t->m);
		session_done(ss, SESSION_NO, "NONEXISTENT", "No such mailbox");
		return;
	}
	o.access = !sel->examine && (t->rights & CHANGING) ? VIEW_READ_WRITE
	                                                   : VIEW_READ_ONLY;
	o.says = session_says(ss);
	o.seen = target_seen(ss, t);
	v = view_new(t->m, &o);
	session_set_view(ss, v);
	say_selected(sel, v);
}

static void
on_open(void *arg, struct target *t)
{
	struct selecting *sel = arg;

	sel->t = t;
	if (session_room(sel->ss) >= SELECT_ROOM)
		on_room(sel->ss, sel);
	else
		session_wait_room(sel->ss, SELECT_ROOM, on_room, sel);
}

/* " (CONDSTORE QRESYNC (...))", or nothing. */
static void
parse_params(struct selecting *sel, struct parse *p)
{
	if (parse_peek(p) == PARSE_END)
		return;
	parse_sp(p);
	parse_open(p);
	while (parse_more(p)) {
		if (parse_try_word(p, "QRESYNC"))
			parse_known(sel, p);
		else
			parse_word(p, "CONDSTORE");
		sel->condstore = true;
	}
}

static void
begin(struct session *ss, struct cmd *cmd, bool examine)
{
	struct selecting *sel = arena_alloc(cmd->arena, sizeof(*sel));
	struct slice external = parse_mailbox(cmd->args);
	struct write w;

	sel->ss = ss;
	sel->examine = examine;
	parse_params(sel, cmd->args);
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	if (sel->known != NULL && sel->known->seqs.n > 0 &&
	    (session_enabled(ss) & ENABLED_UIDONLY)) {
		session_bad_numbers(ss);
		return;
	}
	if (sel->condstore)
		session_enable(ss, ENABLED_CONDSTORE);
	if (session_view(ss) != NULL) {
		session_set_view(ss, NULL);
		write_init(&w, session_out(ss), WRITE_SERVER);
		write_reply(&w, slice_of(NULL, 0), WRITE_OK, RESPCODE_CLOSED,
		    "Previous mailbox closed");
	}
	target_open(ss, external, ACL_READ, on_open, sel);
}

void
backendd_SELECT(struct session *ss, struct cmd *cmd)
{
	begin(ss, cmd, false);
}

void
backendd_EXAMINE(struct session *ss, struct cmd *cmd)
{
	begin(ss, cmd, true);
}

void
backendd_UNSELECT(struct session *ss, struct cmd *cmd)
{
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	session_set_view(ss, NULL);
	session_done(ss, SESSION_OK, NULL, "Unselect completed");
}
