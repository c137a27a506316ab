/*
 * ESEARCH (RFC 7377): one search over many mailboxes, one after another.
 */
#include <stdlib.h>
#include <string.h>

#include "backendd/condstore.h"
#include "backendd/context.h"
#include "backendd/handlers.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/mboxes.h"
#include "backendd/search_result.h"
#include "backendd/search_progress.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/target.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/mboxfilter.h"
#include "imap/parse.h"
#include "imap/search.h"
#include "imap/seqset.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"

enum {
	FILTERS_MAX = 100
};

struct esearch {
	struct session *ss;
	struct search search;
	struct mboxfilter filters[FILTERS_MAX];
	size_t nfilters;
	bool selected; /* that one is searched, as the first */
	struct mboxes boxes;
	size_t next;
	bool missed; /* some could not be searched */
	struct search_progress *progress;

	/* The one that is searched now. */
	struct view *view; /* ours; NULL: the selected one */
	struct arena arena;
	struct search_hits hits;
	struct buf out;
	struct context *context;
};

static void next_mailbox(struct session *ss, void *arg);

static void
count(void *arg, uint32_t *done, uint32_t *total)
{
	struct esearch *es = arg;

	/* The one that is searched now is not done. */
	*total = (uint32_t)es->boxes.count + 1;
	*done = (uint32_t)es->next;
}

static const struct view *
view_now(const struct esearch *es)
{
	return es->view != NULL ? es->view : session_view(es->ss);
}

/* --- one mailbox ----------------------------------------------------------------- */

static void
on_found(void *arg, const struct search_facts *facts, struct slice headers)
{
	struct esearch *es = arg;

	(void)headers;
	search_hits_add(&es->hits, &es->search, facts);
}

static bool
on_gone(void *arg)
{
	struct esearch *es = arg;

	return session_dead(es->ss);
}

/* Nothing is said of a mailbox in which nothing is found. */
static void
put_hits(struct esearch *es)
{
	const struct view *v = view_now(es);
	const char *name = session_external_name(es->ss, view_name(v));
	struct search_found found = { .by_uid = true };

	if (es->hits.count == 0 || name == NULL || view_lost(v)) {
		buf_init(&es->out, 4096);
		return;
	}
	found.mailbox = slice_str(name);
	found.utf8 = session_is_utf8(es->ss);
	found.uidvalidity = mailbox_numbers(view_mailbox(v))->uidvalidity;
	search_hits_write(&es->hits, &es->search, session_cmd(es->ss)->tag,
	    found, &es->out);
}

/* What only the selected mailbox has; false: NOTSAVED. */
static bool
end_selected(struct esearch *es)
{
	struct context_hits hits;
	struct seqset saved;

	if (es->search.returns & SEARCH_RETURN_UPDATE) {
		context_hits_of(&hits, &es->hits);
		if (es->context == NULL)
			context_hits_free(&hits);
		if (es->context == NULL || !context_start(&es->context, &hits))
			search_cmd_noupdate(es->ss, &es->out);
	}
	if (!(es->search.returns & SEARCH_RETURN_SAVE))
		return true;
	search_hits_saved(&es->hits, &es->search, &es->arena, &saved);
	return session_save(es->ss, &saved);
}

static void
on_done(void *arg, bool good)
{
	struct esearch *es = arg;
	bool saved = true;

	if (good) {
		put_hits(es);
		saved = es->view != NULL || end_selected(es);
	} else {
		es->missed = true;
		if (es->view == NULL)
			context_drop(&es->context);
	}
	search_hits_fini(&es->hits);
	arena_reset(&es->arena);
	view_free(&es->view);
	if (saved) {
		search_cmd_send(es->ss, &es->out, next_mailbox, es);
		return;
	}
	search_progress_free(&es->progress);
	search_cmd_reply(es->ss, &es->out, SESSION_NO, "NOTSAVED",
	    "Too many messages to save");
}

static void
run(struct esearch *es)
{
	static const struct seqset nothing;
	const struct view *v = view_now(es);
	unsigned returns = es->search.returns & ~(unsigned)SEARCH_RETURN_SAVE;
	struct search_ask ask = { .bd = session_server(es->ss),
		.view = v,
		.search = &es->search,
		.first_only = returns == SEARCH_RETURN_MIN,
		.found = on_found,
		.gone = on_gone,
		.done = on_done,
		.arg = es };

	search_bind(&es->search, &es->arena, view_count(v), view_last_uid(v),
	    es->view == NULL ? session_saved(es->ss) : &nothing);
	search_run_new(&ask);
}

/* A view of our own: it takes the hold, and gives nobody \Recent. */
static void
on_open(void *arg, struct target *t)
{
	struct esearch *es = arg;
	struct view_options o = { .access = VIEW_READ_ONLY };

	if (t == NULL || mailbox_is_going(t->m)) {
		es->missed |= t == NULL;
		if (t != NULL)
			mailbox_release(&t->m);
		next_mailbox(es->ss, es);
		return;
	}
	o.rights = t->rights;
	o.name = t->name;
	o.seen = target_seen(es->ss, t);
	es->view = view_new(t->m, &o);
	view_begin(es->view);
	run(es);
}

static void
finish(struct esearch *es)
{
	search_progress_free(&es->progress);
	if ((es->search.returns & SEARCH_RETURN_UPDATE) && !es->selected)
		search_cmd_noupdate(es->ss, session_out(es->ss));
	if (es->boxes.too_many)
		session_done(es->ss, SESSION_NO, "LIMIT",
		    "Not all of so many mailboxes were searched");
	else if (es->missed)
		session_done(es->ss, SESSION_NO, "UNAVAILABLE",
		    "Not all mailboxes could be searched");
	else
		session_done(es->ss, SESSION_OK, NULL, "Search completed");
}

static bool
is_selected(const struct esearch *es, const char *name)
{
	const struct view *v = session_view(es->ss);

	return v != NULL && !view_lost(v) && strcmp(view_name(v), name) == 0;
}

static void
next_mailbox(struct session *ss, void *arg)
{
	struct esearch *es = arg;
	struct arena *a = session_cmd(ss)->arena;

	while (es->next < es->boxes.count && !session_dead(ss)) {
		const char *name = es->boxes.names[es->next++];
		const struct mboxrec *rec;

		if (is_selected(es, name))
			continue; /* it was the first */
		rec = mblist_get(session_server(ss)->list, name, a);
		if (rec == NULL)
			continue; /* deleted meanwhile */
		if (backendd_store(session_server(ss), rec) != NULL) {
			target_open_record(ss, name, rec, on_open, es);
			return;
		}
		es->missed = true;
	}
	finish(es);
}

/* --- the command ------------------------------------------------------------------- */

/* "IN (mailboxes (a b) subtree c) ", or nothing: the selected one. */
static void
parse_sources(struct esearch *es, struct parse *p)
{
	if (!parse_try_word(p, "IN")) {
		es->selected = true;
		return;
	}
	parse_sp(p);
	parse_open(p);
	while (parse_more(p)) {
		struct mboxfilter *f = &es->filters[es->nfilters];

		if (es->nfilters == FILTERS_MAX) {
			parse_fail(p, "Too many ways to name mailboxes");
			break;
		}
		if (parse_peek(p) == '(') {
			parse_fail(p, "Unknown scope option");
			break;
		}
		mboxfilter_parse(p, f);
		if (f->kind == MBOXFILTER_SELECTED_DELAYED)
			parse_fail(p, "Not a way to name mailboxes to search");
		if (f->kind == MBOXFILTER_SELECTED)
			es->selected = true;
		else
			es->nfilters++;
	}
	if (es->nfilters == 0 && !es->selected)
		parse_fail(p, "Mailboxes to search expected");
	parse_sp(p);
}

/* NULL, or the BAD. */
static const char *
refusal(const struct esearch *es)
{
	bool has_view = session_view(es->ss) != NULL;

	if (es->selected && !has_view)
		return "No mailbox is selected";
	if ((es->search.returns & SEARCH_RETURN_SAVE) && es->nfilters > 0)
		return "Only the selected mailbox's messages can be saved";
	if ((es->search.returns & SEARCH_RETURN_UPDATE) && !has_view)
		return "No mailbox is selected that could be updated";
	return NULL;
}

/* RETURN (UPDATE): args are as they were behind the sources. */
static void
begin_context(struct esearch *es, const struct parse *args)
{
	struct context *cx = context_new(es->ss, SEARCH_BY_UID, args);
	bool badcharset;

	es->context = cx;
	if (cx == NULL)
		return;
	MUST(search_parse(context_parse(cx), context_search(cx), &badcharset) ==
	     NULL);
	context_bind(cx);
}

static void
find_mailboxes(struct esearch *es)
{
	struct arena *a = session_cmd(es->ss)->arena;

	for (size_t i = 0; i < es->nfilters; i++)
		mboxes_add(&es->boxes, es->ss, a, &es->filters[i]);
	mboxes_settle(&es->boxes);
	for (size_t i = 0; i < es->boxes.count && !es->selected; i++)
		es->selected = is_selected(es, es->boxes.names[i]);
}

void
backendd_ESEARCH(struct session *ss, struct cmd *cmd)
{
	struct esearch *es = arena_alloc(cmd->arena, sizeof(*es));
	bool badcharset = false;
	struct parse before;
	const char *why;

	es->ss = ss;
	arena_init(&es->arena);
	parse_sources(es, cmd->args);
	before = *cmd->args;
	why = search_parse(cmd->args, &es->search, &badcharset);
	if (why == NULL)
		why = refusal(es);
	if (search_cmd_refused(ss, &es->search, SEARCH_BY_UID, why, badcharset))
		return;
	if (es->search.modseq)
		condstore_enable(ss);
	search_want_esearch(&es->search);
	find_mailboxes(es);
	if ((es->search.returns & SEARCH_RETURN_UPDATE) && es->selected)
		begin_context(es, &before);
	es->progress = search_progress_new(ss, count, es);
	if (es->selected)
		run(es);
	else
		next_mailbox(ss, es);
}
