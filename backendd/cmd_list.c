/*
 * LIST with RFC 5258, 5819 and 6154; LSUB.
 */
#include <string.h>

#include "backendd/handlers.h"
#include "backendd/listing.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/status.h"
#include "imap/acl.h"
#include "imap/listmatch.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"

enum {
	PATTERNS_MAX = 64,
	LINE_ROOM = 8 * 1024,
	TURN_ROOM = 64 * 1024
};

enum selection { /* bits */
	SELECT_SUBSCRIBED = 1 << 0,
	SELECT_REMOTE = 1 << 1,
	SELECT_RECURSIVE = 1 << 2,
	SELECT_SPECIAL_USE = 1 << 3
};

enum wanted { /* bits */
	RETURN_SUBSCRIBED = 1 << 0,
	RETURN_CHILDREN = 1 << 1,
	RETURN_SPECIAL_USE = 1 << 2,
	RETURN_STATUS = 1 << 3
};

/* In the command's arena. */
struct list {
	struct session *ss;
	const char *response; /* "LIST" or "LSUB" */
	bool extended;
	unsigned select, want; /* bits of the enums above */
	unsigned status_items;
	struct slice patterns[PATTERNS_MAX]; /* with the reference */
	size_t npatterns;
	struct listing listing;
	size_t next;
};

/* --- one line --------------------------------------------------------------------- */

static void
put_attribute(struct write *w, const char *name, bool *first)
{
	if (!*first)
		write_sp(w);
	*first = false;
	write_word(w, name);
}

static bool
is_lsub(const struct list *l)
{
	return l->response[1] == 'S';
}

static void
put_attributes(struct list *l, struct write *w, const struct listing_name *n)
{
	bool first = true;

	write_open(w);
	if (n->rec == NULL && l->extended)
		put_attribute(w, "\\NonExistent", &first);
	else if (n->rec == NULL && (!is_lsub(l) || !n->subscribed))
		put_attribute(w, "\\Noselect", &first);
	if (n->subscribed &&
	    ((l->want & RETURN_SUBSCRIBED) || (l->select & SELECT_SUBSCRIBED)))
		put_attribute(w, "\\Subscribed", &first);
	if (!is_lsub(l))
		put_attribute(w,
		    n->has_children ? "\\HasChildren" : "\\HasNoChildren",
		    &first);
	if (n->rec != NULL && n->rec->special_uses.len > 0 && !is_lsub(l)) {
		if (!first)
			write_sp(w);
		buf_put_slice(w->out, n->rec->special_uses);
	}
	write_close(w);
}

/* "* LIST (attributes) "/" name" and CHILDINFO. */
static void
put_line(struct list *l, const struct listing_name *n)
{
	struct session *ss = l->ss;
	char separator = session_server(ss)->layout.separator;
	struct write w;

	write_init(&w, session_out(ss), WRITE_SERVER);
	write_untagged(&w, l->response);
	write_sp(&w);
	put_attributes(l, &w, n);
	write_sp(&w);
	write_string(&w, slice_of(&separator, 1));
	write_sp(&w);
	write_mailbox(&w, n->external);
	if ((l->select & SELECT_RECURSIVE) && n->subscribed_below) {
		write_sp(&w);
		write_open(&w);
		write_string(&w, slice_str("CHILDINFO"));
		write_sp(&w);
		write_open(&w);
		write_string(&w, slice_str("SUBSCRIBED"));
		write_close(&w);
		write_close(&w);
	}
	write_end(&w);
}

/* --- which ------------------------------------------------------------------------- */

static bool
has_percent(struct slice pattern)
{
	return slice_find(pattern, '%') < pattern.len;
}

/*
 * Levels that are no mailboxes are there for "%" only: "*" shows what is below
 * them anyway.
 */
static bool
matches(const struct list *l, const struct listing_name *n)
{
	char separator = session_server(l->ss)->layout.separator;
	bool level = n->rec == NULL && !n->subscribed;

	for (size_t i = 0; i < l->npatterns; i++)
		if ((!level || has_percent(l->patterns[i]) ||
		        (l->select & SELECT_RECURSIVE)) &&
		    listmatch(l->patterns[i], n->external, separator))
			return true;
	return false;
}

static bool
is_selected(const struct list *l, const struct listing_name *n)
{
	if (is_lsub(l))
		return n->subscribed || (n->rec == NULL && n->subscribed_below);
	if ((l->select & SELECT_SPECIAL_USE) &&
	    (n->rec == NULL || n->rec->special_uses.len == 0))
		return false;
	if (l->select & SELECT_SUBSCRIBED)
		return n->subscribed ||
		       ((l->select & SELECT_RECURSIVE) && n->subscribed_below);
	return n->rec != NULL || n->has_children;
}

static bool
may_status(struct list *l, const struct listing_name *n)
{
	struct session *ss = l->ss;
	struct arena *a = session_cmd(ss)->arena;

	return (l->want & RETURN_STATUS) && n->rec != NULL &&
	       (session_rights(ss, n->internal, arena_string(a, n->rec->acl)) &
	           ACL_READ);
}

static void list_go_on(struct session *ss, void *arg);

static void
status_done(struct session *ss, void *arg, const char *why)
{
	(void)why; /* RFC 5819: then there is no STATUS for this one */
	list_go_on(ss, arg);
}

static void
list_go_on(struct session *ss, void *arg)
{
	struct list *l = arg;

	while (l->next < l->listing.n) {
		const struct listing_name *n = l->listing.names[l->next];

		if (session_room(ss) < LINE_ROOM + STATUS_ROOM) {
			session_flush(ss);
			session_wait_room(ss, TURN_ROOM, list_go_on, l);
			return;
		}
		l->next++;
		if (!is_selected(l, n) || !matches(l, n))
			continue;
		put_line(l, n);
		if (may_status(l, n)) {
			status_put(ss, n->internal, n->rec, l->status_items,
			    status_done, l);
			return;
		}
	}
	session_done(ss, SESSION_OK, NULL, "Done");
}

/* --- arguments ---------------------------------------------------------------------- */

static void
add_pattern(struct list *l, struct slice reference, struct slice pattern)
{
	struct cmd *cmd = session_cmd(l->ss);
	struct buf joined;

	if (l->npatterns == PATTERNS_MAX ||
	    reference.len + pattern.len > LISTMATCH_MAX) {
		parse_fail(cmd->args, "Too many patterns, or too long");
		return;
	}
	buf_init(&joined, LISTMATCH_MAX);
	buf_put_slice(&joined, reference);
	buf_put_slice(&joined, pattern);
	l->patterns[l->npatterns++] =
	    arena_copy(cmd->arena, buf_slice(&joined));
	buf_fini(&joined);
}

static void
parse_selection(struct list *l, struct parse *p)
{
	parse_open(p);
	while (parse_more(p)) {
		if (parse_try_word(p, "SUBSCRIBED"))
			l->select |= SELECT_SUBSCRIBED;
		else if (parse_try_word(p, "REMOTE"))
			l->select |= SELECT_REMOTE;
		else if (parse_try_word(p, "RECURSIVEMATCH"))
			l->select |= SELECT_RECURSIVE;
		else if (parse_try_word(p, "SPECIAL-USE"))
			l->select |= SELECT_SPECIAL_USE;
		else
			parse_fail(p, "Unknown selection option");
	}
	if ((l->select & SELECT_RECURSIVE) &&
	    !(l->select & (SELECT_SUBSCRIBED | SELECT_SPECIAL_USE)))
		parse_fail(p, "RECURSIVEMATCH needs another option");
}

static void
parse_return(struct list *l, struct parse *p)
{
	parse_word(p, "RETURN");
	parse_sp(p);
	parse_open(p);
	while (parse_more(p)) {
		if (parse_try_word(p, "SUBSCRIBED")) {
			l->want |= RETURN_SUBSCRIBED;
		} else if (parse_try_word(p, "CHILDREN")) {
			l->want |= RETURN_CHILDREN;
		} else if (parse_try_word(p, "SPECIAL-USE")) {
			l->want |= RETURN_SPECIAL_USE;
		} else if (parse_try_word(p, "STATUS")) {
			l->want |= RETURN_STATUS;
			parse_sp(p);
			l->status_items = status_parse(p);
		} else {
			parse_fail(p, "Unknown return option");
		}
	}
}

static void
parse_patterns(struct list *l, struct parse *p, struct slice reference)
{
	if (parse_peek(p) != '(') {
		add_pattern(l, reference, parse_list_mailbox(p));
		return;
	}
	l->extended = true;
	parse_open(p);
	while (parse_more(p))
		add_pattern(l, reference, parse_list_mailbox(p));
}

static void
parse_list(struct list *l, struct parse *p)
{
	struct slice reference;

	if (parse_peek(p) == '(') {
		l->extended = true;
		parse_selection(l, p);
		parse_sp(p);
	}
	reference = parse_mailbox(p);
	parse_sp(p);
	parse_patterns(l, p, reference);
	if (parse_try(p, ' ')) {
		l->extended = true;
		parse_return(l, p);
	}
	parse_end(p);
}

/* LIST "" "": what is the separator? */
static void
answer_separator(struct list *l)
{
	struct session *ss = l->ss;
	char separator = session_server(ss)->layout.separator;
	struct write w;

	write_init(&w, session_out(ss), WRITE_SERVER);
	write_untagged(&w, l->response);
	write_sp(&w);
	write_open(&w);
	write_word(&w, "\\Noselect");
	write_close(&w);
	write_sp(&w);
	write_string(&w, slice_of(&separator, 1));
	write_sp(&w);
	write_string(&w, slice_of("", 0));
	write_end(&w);
	session_done(ss, SESSION_OK, NULL, "Done");
}

static bool
is_one_name(const struct list *l)
{
	struct slice p = l->patterns[0];

	return l->npatterns == 1 && l->select == 0 &&
	       listmatch_prefix(p) == p.len;
}

static void
start(struct list *l)
{
	struct session *ss = l->ss;
	struct arena *a = session_cmd(ss)->arena;

	if (l->npatterns == 1 && l->patterns[0].len == 0 && !l->extended) {
		answer_separator(l);
		return;
	}
	if (is_one_name(l))
		listing_one(ss, a, l->patterns[0], &l->listing);
	else if (l->select & SELECT_SUBSCRIBED)
		listing_subscribed(ss, a, &l->listing);
	else
		listing_all(ss, a, &l->listing);
	list_go_on(ss, l);
}

void
backendd_LIST(struct session *ss, struct cmd *cmd)
{
	struct list *l = arena_alloc(cmd->arena, sizeof(*l));

	l->ss = ss;
	l->response = "LIST";
	parse_list(l, cmd->args);
	if (parse_error(cmd->args) != NULL)
		session_bad_syntax(ss);
	else
		start(l);
}

void
backendd_LSUB(struct session *ss, struct cmd *cmd)
{
	struct list *l = arena_alloc(cmd->arena, sizeof(*l));
	struct slice reference = parse_mailbox(cmd->args);

	l->ss = ss;
	l->response = "LSUB";
	parse_sp(cmd->args);
	add_pattern(l, reference, parse_list_mailbox(cmd->args));
	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	if (l->patterns[0].len == 0) {
		answer_separator(l);
		return;
	}
	listing_subscribed(ss, cmd->arena, &l->listing);
	list_go_on(ss, l);
}
