/*
 * What is done with scripts: here, or on the user's home backend.
 */
#include "imap/managesieve.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/parse.h"
#include "imap/sieve/sieve.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "proxyd/conf.h"
#include "proxyd/imapd.h"
#include "proxyd/managesieve_state.h"
#include "proxyd/route.h"
#include "proxyd/worker.h"
#include "proxyd/xmurder.h"

/* --- asking the home backend --------------------------------------------------------------- */

static bool
compiles(struct sieve_session *ss, struct buf *text)
{
	struct sieve_limits limits = sieve_limits_default;
	struct sieve_error error;
	struct sieve *program;

	limits.script_octets = ss->worker->conf->script_max;
	program = sieve_compile(ss->cmd.content, &limits, &error);
	if (program == NULL) {
		buf_printf(text, "line %u: %s", error.line, error.text);
		return false;
	}
	sieve_free(&program);
	return true;
}

static void
on_done(void *arg, const struct xanswer *a)
{
	struct sieve_session *ss = managesieve_session_of(arg);
	const char *code = NULL;

	ss->call = NULL;
	if (a->lost || slice_is_nocase(a->code_name, "UNAVAILABLE"))
		code = "TRYLATER";
	else if (slice_is_nocase(a->code_name, "NONEXISTENT"))
		code = "NONEXISTENT";
	else if (slice_is_nocase(a->code_name, "ALREADYEXISTS"))
		code = "ALREADYEXISTS";
	else if (slice_is_nocase(a->code_name, "INUSE"))
		code = "ACTIVE";
	else if (slice_is_nocase(a->code_name, "LIMIT"))
		code = "QUOTA/MAXSCRIPTS";
	else if (slice_is_nocase(a->code_name, "TOOBIG"))
		code = "QUOTA/MAXSIZE";
	if (a->lost)
		managesieve_done(ss, MANAGESIEVE_NO, code,
		    "The server of your scripts does not answer");
	else if (a->foreign)
		managesieve_done(ss, MANAGESIEVE_NO, NULL,
		    "The server of your mail keeps your scripts itself");
	else if (buf_failed(&ss->answer))
		managesieve_done(ss, MANAGESIEVE_NO, NULL,
		    "The answer is larger than script_max allows");
	else if (a->status != WRITE_OK)
		managesieve_done(ss, MANAGESIEVE_NO, code,
		    arena_string(&ss->arena, a->text));
	else {
		buf_put_slice(stream_out(ss->client), buf_slice(&ss->answer));
		managesieve_done(ss, MANAGESIEVE_OK, NULL, "Done");
	}
}

/* "name" size [ACTIVE] */
static void
take_listed(void *arg, struct parse *p)
{
	struct sieve_session *ss = managesieve_session_of(arg);
	struct slice name;

	parse_sp(p);
	name = parse_astring(p);
	parse_sp(p);
	(void)parse_number64(p);
	if (parse_error(p) != NULL)
		return;
	if (parse_try(p, ' ') && parse_at_word(p, "ACTIVE"))
		managesieve_put_active_script(&ss->answer, name);
	else
		managesieve_put_script(&ss->answer, name);
}

/* "name" ~{n} */
static void
take_content(void *arg, struct parse *p)
{
	struct sieve_session *ss = managesieve_session_of(arg);
	struct slice content;

	parse_sp(p);
	(void)parse_astring(p);
	parse_sp(p);
	content = parse_string(p);
	if (parse_error(p) == NULL)
		managesieve_put_content(&ss->answer, content);
}

static void
ask_home(struct sieve_session *ss, const char *server)
{
	static const struct {
		const char *words;
		size_t nargs;
		xcall_data *data;
	} calls[MANAGESIEVE_MAX] = {
		[MANAGESIEVE_PUTSCRIPT] = { "XSCRIPT PUT", 3, NULL },
		[MANAGESIEVE_LISTSCRIPTS] = { "XSCRIPT LIST", 1, take_listed },
		[MANAGESIEVE_SETACTIVE] = { "XSCRIPT ACTIVATE", 2, NULL },
		[MANAGESIEVE_GETSCRIPT] = { "XSCRIPT READ", 2, take_content },
		[MANAGESIEVE_DELETESCRIPT] = { "XSCRIPT DELETE", 2, NULL },
		[MANAGESIEVE_RENAMESCRIPT] = { "XSCRIPT RENAME", 3, NULL },
	};
	enum managesieve_verb verb = ss->cmd.verb;
	struct slice args[3] = { slice_str(ss->user), ss->cmd.name,
		verb == MANAGESIEVE_RENAMESCRIPT ? ss->cmd.to
		                                 : ss->cmd.content };

	MUST(calls[verb].words != NULL);
	ss->call = xmurder_call(ss->imapd->xmurder, server, calls[verb].words,
	    args, calls[verb].nargs, calls[verb].data, on_done, ss);
	if (ss->call == NULL)
		managesieve_done(ss, MANAGESIEVE_NO, "TRYLATER",
		    "The server of your scripts is too busy");
}

static void
home_found(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct sieve_session *ss = managesieve_session_of(arg);
	char server[MBOXREC_HOST];

	ss->wait = NULL;
	switch (answer) {
	case ROUTE_FOUND:
		route_server(rec, server);
		ask_home(ss, server);
		return;
	case ROUTE_NONE:
		managesieve_done(ss, MANAGESIEVE_NO, NULL,
		    "You have no INBOX, so there is no place for scripts");
		return;
	case ROUTE_UNKNOWN:
		managesieve_done(ss, MANAGESIEVE_NO, "TRYLATER",
		    "It is not known now where your scripts are");
		return;
	}
}

static void
managesieve_to_home(struct sieve_session *ss)
{
	struct slice name;

	if (mboxname_of_user(&ss->arena, &ss->worker->layout,
	        slice_str(ss->user), &name) != NULL)
		managesieve_done(ss, MANAGESIEVE_NO, NULL,
		    "You have no INBOX, so there is no place for scripts");
	else
		ss->wait = route_find(ss->worker->route, &ss->rate, name,
		    home_found, ss);
}

/* --- commands --------------------------------------------------------------------------------- */

static void
run_checked(struct sieve_session *ss, bool store)
{
	struct buf text;

	buf_init(&text, 1024);
	if (!compiles(ss, &text)) {
		buf_putc(&text, '\0');
		managesieve_done(ss, MANAGESIEVE_NO, NULL,
		    (const char *)buf_data(&text));
	} else if (store)
		managesieve_to_home(ss);
	else
		managesieve_done(ss, MANAGESIEVE_OK, NULL,
		    "The script is good");
	buf_fini(&text);
}

static void
run_noop(struct sieve_session *ss)
{
	if (ss->cmd.content.ptr == NULL) {
		managesieve_done(ss, MANAGESIEVE_OK, NULL, "Done");
		return;
	}
	managesieve_put_reply_arg(stream_out(ss->client), MANAGESIEVE_OK, "TAG",
	    ss->cmd.content, slice_str("Done"));
	managesieve_end(ss);
}

void
managesieve_run(struct sieve_session *ss)
{
	switch (ss->cmd.verb) {
	case MANAGESIEVE_AUTHENTICATE:
		managesieve_authenticate(ss);
		return;
	case MANAGESIEVE_STARTTLS:
		managesieve_starttls(ss);
		return;
	case MANAGESIEVE_LOGOUT:
		managesieve_reply(ss, MANAGESIEVE_OK, NULL, "Until next time");
		ss->phase = MANAGESIEVE_PHASE_CLOSING;
		stream_flush(ss->client);
		stream_finish(ss->client, MANAGESIEVE_BYE_SECONDS);
		return;
	case MANAGESIEVE_CAPABILITY:
		managesieve_capabilities(ss);
		managesieve_done(ss, MANAGESIEVE_OK, NULL, "Done");
		return;
	case MANAGESIEVE_HAVESPACE:
		if (ss->cmd.size > ss->worker->conf->script_max)
			managesieve_done(ss, MANAGESIEVE_NO, "QUOTA/MAXSIZE",
			    "The script is larger than script_max");
		else
			managesieve_done(ss, MANAGESIEVE_OK, NULL,
			    "There is room");
		return;
	case MANAGESIEVE_PUTSCRIPT:
		run_checked(ss, true);
		return;
	case MANAGESIEVE_CHECKSCRIPT:
		run_checked(ss, false);
		return;
	case MANAGESIEVE_LISTSCRIPTS:
	case MANAGESIEVE_SETACTIVE:
	case MANAGESIEVE_GETSCRIPT:
	case MANAGESIEVE_DELETESCRIPT:
	case MANAGESIEVE_RENAMESCRIPT:
		managesieve_to_home(ss);
		return;
	case MANAGESIEVE_NOOP:
		run_noop(ss);
		return;
	case MANAGESIEVE_UNAUTHENTICATE:
		managesieve_unauthenticate(ss);
		return;
	case MANAGESIEVE_MAX:
		break;
	}
	must_fail("a verb", __FILE__, __LINE__, __func__);
}
