#include <stdlib.h>

#include "backendd/condstore.h"
#include "backendd/handlers.h"
#include "backendd/search_cmd.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/parse.h"
#include "imap/search.h"
#include "imap/summary.h"
#include "imap/thread.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/jobs.h"
#include "lib/cdefs.h"
#include "lib/rand.h"

struct threading {
	struct session *ss;
	struct search search;
	enum search_numbers numbers;
	struct thread *thread;
	bool too_much;
	struct buf *out;
};

static void
on_found(void *arg, const struct search_facts *facts, struct slice headers)
{
	struct threading *th = arg;
	struct thread_message m = {
		.number =
		    th->numbers == SEARCH_BY_UID ? facts->uid : facts->seq,
		.sent = facts->internal_seconds,
		.headers = headers,
	};

	if (facts->summary != NULL && facts->summary->sent_known)
		m.sent = facts->summary->sent;
	if (!th->too_much)
		th->too_much = !thread_add(th->thread, &m);
}

static void
on_threaded(void *arg)
{
	struct threading *th = arg;

	search_cmd_reply(th->ss, th->out, SESSION_OK, NULL, "Thread completed");
}

/* In a thread. */
static void
put_threads(void *arg)
{
	struct threading *th = arg;

	buf_init(th->out, thread_size(th->thread));
	thread_put(th->thread, th->out);
	thread_free(&th->thread);
}

static void
on_done(void *arg, bool good)
{
	struct threading *th = arg;

	if (!good) {
		thread_free(&th->thread);
		search_cmd_damaged(th->ss);
		return;
	}
	if (th->too_much) {
		thread_free(&th->thread);
		session_done(th->ss, SESSION_NO, "LIMIT",
		    "Too many references");
		return;
	}
	jobs_put(session_server(th->ss)->jobs, put_threads, on_threaded, th);
}

static enum thread_algorithm
parse_algorithm(struct parse *p)
{
	if (parse_try_word(p, "ORDEREDSUBJECT"))
		return THREAD_ORDEREDSUBJECT;
	if (!parse_try_word(p, "REFERENCES"))
		parse_fail(p, "Unknown threading algorithm");
	return THREAD_REFERENCES;
}

static void
thread(struct session *ss, struct cmd *cmd, enum search_numbers numbers)
{
	struct threading *th = arena_alloc(cmd->arena, sizeof(*th));
	struct search_ask ask = { .found = on_found,
		.done = on_done,
		.arg = th,
		.headers = true };
	enum thread_algorithm how = parse_algorithm(cmd->args);
	uint64_t key[4];
	bool badcharset = false;
	const char *why;

	th->ss = ss;
	th->numbers = numbers;
	th->out = arena_alloc(cmd->arena, sizeof(*th->out));
	parse_sp(cmd->args);
	why = search_parse_keys(cmd->args, &th->search, SEARCH_CHARSET_FIRST,
	    &badcharset);
	if (search_cmd_refused(ss, &th->search, numbers, why, badcharset))
		return;
	if (th->search.modseq)
		condstore_enable(ss);
	for (size_t i = 0; i < NITEMS(key); i++)
		key[i] = rand_u64();
	th->thread = thread_new(how, key);
	search_cmd_run(ss, &th->search, &ask);
}

void
backendd_THREAD(struct session *ss, struct cmd *cmd)
{
	thread(ss, cmd, SEARCH_BY_NUMBER);
}

void
backendd_UID_THREAD(struct session *ss, struct cmd *cmd)
{
	thread(ss, cmd, SEARCH_BY_UID);
}
