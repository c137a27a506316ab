#include <stdlib.h>
#include <string.h>

#include "backendd/condstore.h"
#include "backendd/context.h"
#include "backendd/handlers.h"
#include "backendd/search_cmd.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/sorted.h"
#include "imap/parse.h"
#include "imap/search.h"
#include "imap/seqset.h"
#include "imap/sort.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/jobs.h"
#include "lib/must.h"

struct sorting {
	struct session *ss;
	struct search search;
	struct sort sort;
	enum search_numbers numbers;
	struct sorted sorted;
	/* What the job makes. */
	struct arena arena;
	struct slice tag;
	struct seqset saved;
	struct buf *out;
	struct context_hits context_hits;
	struct context *context; /* NULL: none, or none is to be had */
};

static void
on_found(void *arg, const struct search_facts *facts, struct slice headers)
{
	struct sorting *so = arg;

	sorted_add(&so->sorted, &so->sort, facts, headers);
}

static void
on_sorted(void *arg)
{
	struct sorting *so = arg;
	bool saved = true;

	if (so->search.returns & SEARCH_RETURN_SAVE)
		saved = session_save(so->ss, &so->saved);
	if ((so->search.returns & SEARCH_RETURN_UPDATE) &&
	    (so->context == NULL ||
	        !context_start(&so->context, &so->context_hits)))
		search_cmd_noupdate(so->ss, so->out);
	arena_reset(&so->arena);
	if (saved)
		search_cmd_reply(so->ss, so->out, SESSION_OK, NULL,
		    "Sort completed");
	else
		search_cmd_reply(so->ss, so->out, SESSION_NO, "NOTSAVED",
		    "Too many messages to save");
}

/* In a thread. */
static void
put_in_order(void *arg)
{
	struct sorting *so = arg;
	struct search_found found = {
		.by_uid = so->numbers == SEARCH_BY_UID,
		.sorted = true,
	};
	struct search_hits hits = { 0 };

	sorted_order(&so->sorted);
	sorted_hits(&so->sorted, &so->search, &hits);
	search_hits_write(&hits, &so->search, so->tag, found, so->out);
	if (so->search.returns & SEARCH_RETURN_SAVE)
		search_hits_saved(&hits, &so->search, &so->arena, &so->saved);
	search_hits_fini(&hits);
	if (so->context != NULL)
		context_hits_sorted(&so->context_hits, &so->sorted);
	sorted_fini(&so->sorted);
}

static void
on_done(void *arg)
{
	struct sorting *so = arg;

	if (sorted_failed(&so->sorted)) {
		sorted_fini(&so->sorted);
		context_drop(&so->context);
		session_done(so->ss, SESSION_NO, "LIMIT",
		    "Too much to sort by; name fewer criteria");
		return;
	}
	jobs_put(session_server(so->ss)->jobs, put_in_order, on_sorted, so);
}

static const char *
parse_sort(struct parse *p, struct search *s, struct sort *by, bool *badcharset)
{
	search_parse_return(p, s);
	sort_parse(p, by);
	parse_sp(p);
	return search_parse_keys(p, s, SEARCH_CHARSET_FIRST, badcharset);
}

/* RETURN (UPDATE): args are as they were before the parse. */
static void
begin_context(struct sorting *so, const struct parse *args)
{
	struct context *cx = context_new(so->ss, so->numbers, args);
	bool badcharset;

	so->context = cx;
	if (cx == NULL)
		return;
	MUST(parse_sort(context_parse(cx), context_search(cx), context_sort(cx),
	         &badcharset) == NULL);
	context_bind(cx);
}

static void
sort(struct session *ss, struct cmd *cmd, enum search_numbers numbers)
{
	struct sorting *so = arena_alloc(cmd->arena, sizeof(*so));
	struct search_ask ask = { .found = on_found,
		.done = on_done,
		.arg = so };
	struct parse before = *cmd->args;
	bool badcharset = false;
	const char *why;

	so->ss = ss;
	so->numbers = numbers;
	so->tag = cmd->tag;
	so->out = arena_alloc(cmd->arena, sizeof(*so->out));
	arena_init(&so->arena);
	why = parse_sort(cmd->args, &so->search, &so->sort, &badcharset);
	if (search_cmd_refused(ss, &so->search, numbers, why, badcharset))
		return;
	if (so->search.modseq)
		condstore_enable(ss);
	if (so->search.returns & SEARCH_RETURN_UPDATE)
		begin_context(so, &before);
	sorted_init(&so->sorted);
	ask.headers = sort_wants_headers(&so->sort);
	search_cmd_run(ss, &so->search, &ask);
}

void
backendd_SORT(struct session *ss, struct cmd *cmd)
{
	sort(ss, cmd, SEARCH_BY_NUMBER);
}

void
backendd_UID_SORT(struct session *ss, struct cmd *cmd)
{
	sort(ss, cmd, SEARCH_BY_UID);
}
