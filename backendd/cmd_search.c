#include "backendd/condstore.h"
#include "backendd/handlers.h"
#include "backendd/search_result.h"
#include "backendd/session.h"
#include "imap/parse.h"
#include "imap/search.h"
#include "lib/arena.h"
#include "lib/must.h"

struct searching {
	struct search search;
	struct search_result result;
};

static void
on_found(void *arg, const struct search_facts *facts, struct slice headers)
{
	struct searching *se = arg;

	(void)headers;
	search_hits_add(&se->result.hits, &se->search, facts);
}

static void
on_done(void *arg, bool good)
{
	struct searching *se = arg;

	if (good)
		search_result_finish(&se->result);
	else
		search_result_drop(&se->result);
}

/* RETURN (UPDATE): args are as they were before the parse. */
static void
begin_context(struct session *ss, struct searching *se,
    enum search_numbers numbers, const struct parse *args)
{
	struct context *cx = context_new(ss, numbers, args);
	bool badcharset;

	se->result.context = cx;
	if (cx == NULL)
		return;
	MUST(search_parse(context_parse(cx), context_search(cx), &badcharset) ==
	     NULL); /* it has been parsed before */
	context_bind(cx);
}

static void
search(struct session *ss, struct cmd *cmd, enum search_numbers numbers)
{
	struct searching *se = arena_alloc(cmd->arena, sizeof(*se));
	struct search_ask ask = { .found = on_found,
		.done = on_done,
		.arg = se };
	struct parse before = *cmd->args;
	bool badcharset = false;
	const char *why;

	why = search_parse(cmd->args, &se->search, &badcharset);
	if (search_cmd_refused(ss, &se->search, numbers, why, badcharset))
		return;
	search_result_begin(&se->result, ss, &se->search, numbers,
	    "Search completed");
	if (se->search.returns & SEARCH_RETURN_UPDATE)
		begin_context(ss, se, numbers, &before);
	if (session_enabled(ss) & ENABLED_REV2) /* it has no SEARCH response */
		search_want_esearch(&se->search);
	if (se->search.modseq)
		condstore_enable(ss);
	ask.first_only = (se->search.returns & ~(unsigned)SEARCH_RETURN_SAVE) ==
	                 SEARCH_RETURN_MIN;
	search_cmd_run(ss, &se->search, &ask);
}

void
backendd_SEARCH(struct session *ss, struct cmd *cmd)
{
	search(ss, cmd, SEARCH_BY_NUMBER);
}

void
backendd_UID_SEARCH(struct session *ss, struct cmd *cmd)
{
	search(ss, cmd, SEARCH_BY_UID);
}

void
backendd_CANCELUPDATE(struct session *ss, struct cmd *cmd)
{
	struct slice tags[CONTEXTS_MAX];
	size_t n = 0;

	do {
		struct slice tag = parse_string(cmd->args);

		if (n == CONTEXTS_MAX)
			parse_fail(cmd->args, "There are not so many contexts");
		else
			tags[n++] = tag;
	} while (parse_try(cmd->args, ' '));
	parse_end(cmd->args);
	for (size_t i = 0; i < n && parse_error(cmd->args) == NULL; i++)
		if (!context_tag_used(ss, tags[i]))
			parse_fail(cmd->args, "There is no such context");
	if (parse_error(cmd->args) != NULL) {
		session_bad_syntax(ss);
		return;
	}
	for (size_t i = 0; i < n; i++)
		contexts_cancel(ss, tags[i]);
	session_done(ss, SESSION_OK, NULL, "No further updates");
}
