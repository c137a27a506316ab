#include "backendd/condstore.h"
#include "backendd/handlers.h"
#include "backendd/search_result.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/sorted.h"
#include "imap/parse.h"
#include "imap/search.h"
#include "imap/sort.h"
#include "lib/arena.h"
#include "lib/jobs.h"
#include "lib/must.h"

struct sorting {
	struct session *ss;
	struct search search;
	struct sort sort;
	struct sorted sorted;
	struct search_result result;
};

static void
on_found(void *arg, const struct search_facts *facts, struct slice headers)
{
	struct sorting *so = arg;

	sorted_add(&so->sorted, &so->sort, facts, headers);
}

/* In a thread. */
static void
put_in_order(void *arg)
{
	struct sorting *so = arg;

	sorted_order(&so->sorted);
	sorted_hits(&so->sorted, &so->search, &so->result.hits);
	if (so->result.context != NULL)
		context_hits_sorted(&so->result.followed, &so->sorted);
	sorted_fini(&so->sorted);
	search_result_make(&so->result);
}

static void
on_ordered(void *arg)
{
	struct sorting *so = arg;

	search_result_give(&so->result);
}

static void
on_done(void *arg, bool good)
{
	struct sorting *so = arg;

	if (!good) {
		sorted_fini(&so->sorted);
		search_result_drop(&so->result);
		return;
	}
	if (!sorted_failed(&so->sorted)) {
		jobs_put(session_server(so->ss)->jobs, put_in_order, on_ordered,
		    so);
		return;
	}
	sorted_fini(&so->sorted);
	context_drop(&so->result.context);
	session_done(so->ss, SESSION_NO, "LIMIT",
	    "Too much to sort by; name fewer criteria");
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
begin_context(struct sorting *so, enum search_numbers numbers,
    const struct parse *args)
{
	struct context *cx = context_new(so->ss, numbers, args);
	bool badcharset;

	so->result.context = cx;
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
		.arg = so,
		.costly = true };
	struct parse before = *cmd->args;
	bool badcharset = false;
	const char *why;

	so->ss = ss;
	why = parse_sort(cmd->args, &so->search, &so->sort, &badcharset);
	if (search_cmd_refused(ss, &so->search, numbers, why, badcharset))
		return;
	if (so->search.modseq)
		condstore_enable(ss);
	search_result_begin(&so->result, ss, &so->search, numbers,
	    "Sort completed");
	so->result.sorted = true;
	if (so->search.returns & SEARCH_RETURN_UPDATE)
		begin_context(so, numbers, &before);
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
