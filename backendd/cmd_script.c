/*
 * XSCRIPT and XREMEMBER: what our frontends ask of a user's home, on a
 * connection of their own; man/protocols.7.
 */
#include <string.h>

#include "backendd/handlers.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/userdata.h"
#include "backendd/users.h"
#include "imap/parse.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/buf.h"

enum {
	LINE_ROOM = 4 * 1024,
	SCRIPT_ROOM = 200 * 1024
};

/* In the arena: text that goes out in pieces, then OK. */
struct text {
	struct slice rest;
};

/* --- answers ------------------------------------------------------------------------ */

static void
put_text(struct session *ss, void *arg)
{
	struct text *t = arg;

	while (t->rest.len > 0) {
		size_t n = session_room(ss);

		if (n <= LINE_ROOM) {
			session_wait_room(ss, SCRIPT_ROOM, put_text, t);
			return;
		}
		n -= LINE_ROOM;
		n = n < t->rest.len ? n : t->rest.len;
		buf_put_slice(session_out(ss), slice_first(t->rest, n));
		session_flush(ss);
		t->rest = slice_skip(t->rest, n);
	}
	buf_puts(session_out(ss), "\r\n");
	session_done(ss, SESSION_OK, NULL, "Done");
}

/* "* XSCRIPT word ~{n}..." */
static void
answer_text(struct session *ss, struct slice word, struct slice text)
{
	struct text *t = arena_alloc(session_cmd(ss)->arena, sizeof(*t));
	struct write w;

	t->rest = text;
	write_init(&w, session_out(ss), WRITE_SERVER);
	write_untagged(&w, "XSCRIPT");
	write_sp(&w);
	write_string(&w, word);
	write_sp(&w);
	write_literal8_head(&w, text.len);
	put_text(ss, t);
}

static void
changed(void *arg, enum users_script_result r)
{
	static const struct {
		const char *code, *text;
	} answers[] = {
		[SCRIPT_OK] = { NULL, "Done" },
		[SCRIPT_NONE] = { "NONEXISTENT", "No such script" },
		[SCRIPT_EXISTS] = { "ALREADYEXISTS",
		    "There is a script of that name" },
		[SCRIPT_ACTIVE] = { "INUSE", "The script is active" },
		[SCRIPT_QUOTA_COUNT] = { "LIMIT", "Too many scripts" },
		[SCRIPT_QUOTA_SIZE] = { "TOOBIG", "Script too big" },
		[SCRIPT_BAD_NAME] = { "CANNOT", "Not a name for a script" },
		[SCRIPT_FAILED] = { "UNAVAILABLE",
		    "Cannot be stored now, try again later" },
	};

	session_done(arg, r == SCRIPT_OK ? SESSION_OK : SESSION_NO,
	    answers[r].code, answers[r].text);
}

/* --- what is asked ------------------------------------------------------------------- */

typedef void script_verb(struct session *ss, const char *user);

/* False, and BAD was said, if the arguments are not as they should be. */
static bool
parsed(struct session *ss)
{
	struct cmd *cmd = session_cmd(ss);

	parse_end(cmd->args);
	if (parse_error(cmd->args) == NULL)
		return true;
	session_bad_syntax(ss);
	return false;
}

static void
script_get(struct session *ss, const char *user)
{
	struct cmd *cmd = session_cmd(ss);
	struct users *users = session_server(ss)->users;
	struct slice known = { NULL, 0 }, text;
	const char *etag, *name;
	struct write w;

	if (parse_try(cmd->args, ' '))
		known = parse_astring(cmd->args);
	if (!parsed(ss))
		return;
	etag = users_script_etag(users, user, cmd->arena);
	name = users_active_script(users, user, cmd->arena);
	if (slice_is(known, etag)) {
		write_init(&w, session_out(ss), WRITE_SERVER);
		write_untagged(&w, "XSCRIPT");
		write_sp(&w);
		write_string(&w, slice_str(etag));
		write_end(&w);
		session_done(ss, SESSION_OK, NULL, "Unchanged");
		return;
	}
	if (name == NULL ||
	    !users_script(users, user, slice_str(name), cmd->arena, &text))
		text = slice_of("", 0);
	answer_text(ss, slice_str(etag), text);
}

struct listing {
	struct session *ss;
	const char *active;
};

static bool
list_one(void *arg, struct slice name, size_t len)
{
	struct listing *l = arg;
	struct write w;

	write_init(&w, session_out(l->ss), WRITE_SERVER);
	write_untagged(&w, "XSCRIPT");
	write_sp(&w);
	write_string(&w, name);
	write_sp(&w);
	write_number(&w, len);
	if (l->active != NULL && slice_is(name, l->active)) {
		write_sp(&w);
		write_word(&w, "ACTIVE");
	}
	write_end(&w);
	return session_room(l->ss) > LINE_ROOM;
}

static void
script_list(struct session *ss, const char *user)
{
	struct users *users = session_server(ss)->users;
	struct listing l = { ss, NULL };

	if (!parsed(ss))
		return;
	l.active = users_active_script(users, user, session_cmd(ss)->arena);
	users_each_script(users, user, list_one, &l);
	session_done(ss, SESSION_OK, NULL, "Done");
}

static struct slice
next_string(struct session *ss)
{
	struct cmd *cmd = session_cmd(ss);

	parse_sp(cmd->args);
	return parse_astring(cmd->args);
}

static void
script_read(struct session *ss, const char *user)
{
	struct slice name = next_string(ss), text;

	if (!parsed(ss))
		return;
	if (users_script(session_server(ss)->users, user, name,
	        session_cmd(ss)->arena, &text))
		answer_text(ss, name, text);
	else
		changed(ss, SCRIPT_NONE);
}

static void
script_put(struct session *ss, const char *user)
{
	struct slice name = next_string(ss), text = next_string(ss);

	if (parsed(ss))
		users_put_script(session_server(ss)->users, user, name, text,
		    changed, ss);
}

static void
script_activate(struct session *ss, const char *user)
{
	struct slice name = next_string(ss);

	if (parsed(ss))
		users_activate_script(session_server(ss)->users, user, name,
		    changed, ss);
}

static void
script_delete(struct session *ss, const char *user)
{
	struct slice name = next_string(ss);

	if (parsed(ss))
		users_delete_script(session_server(ss)->users, user, name,
		    changed, ss);
}

static void
script_rename(struct session *ss, const char *user)
{
	struct slice from = next_string(ss), to = next_string(ss);

	if (parsed(ss))
		users_rename_script(session_server(ss)->users, user, from, to,
		    changed, ss);
}

static const struct {
	const char *name;
	script_verb *verb;
} verbs[] = {
	{ "GET", script_get },
	{ "LIST", script_list },
	{ "READ", script_read },
	{ "PUT", script_put },
	{ "ACTIVATE", script_activate },
	{ "DELETE", script_delete },
	{ "RENAME", script_rename },
};

/* These act on any user, so they are for nobody but a proxy. */
static bool
is_allowed(struct session *ss)
{
	if (session_is_proxy(ss))
		return true;
	session_done(ss, SESSION_NO, "NOPERM", "For frontends only");
	return false;
}

void
backendd_XSCRIPT(struct session *ss, struct cmd *cmd)
{
	struct slice word = parse_atom(cmd->args), user;

	if (!is_allowed(ss))
		return;
	parse_sp(cmd->args);
	user = parse_astring(cmd->args);
	if (parse_error(cmd->args) == NULL &&
	    !userdata_name_ok(user, USERDATA_USER_MAX))
		parse_fail(cmd->args, "Not a user's name");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (parse_error(cmd->args) == NULL &&
		    slice_is_nocase(word, verbs[i].name)) {
			verbs[i].verb(ss, arena_string(cmd->arena, user));
			return;
		}
	}
	session_bad_syntax(ss);
}

static void
remembered(void *arg, enum users_memory m)
{
	switch (m) {
	case MEMORY_NEW:
		session_done(arg, SESSION_OK, "NEW", "Done");
		break;
	case MEMORY_SEEN:
		session_done(arg, SESSION_OK, "SEEN", "Done");
		break;
	case MEMORY_FAILED:
		session_done(arg, SESSION_NO, "UNAVAILABLE",
		    "Cannot be stored now, try again later");
		break;
	}
}

void
backendd_XREMEMBER(struct session *ss, struct cmd *cmd)
{
	struct users *users = session_server(ss)->users;
	struct slice key;
	bool test;

	if (!is_allowed(ss))
		return;
	key = parse_astring(cmd->args);
	test = parse_try(cmd->args, ' ');
	if (test && !slice_is_nocase(parse_atom(cmd->args), "TEST"))
		parse_fail(cmd->args, "TEST, or nothing");
	if (parse_error(cmd->args) == NULL &&
	    !userdata_name_ok(key, USERDATA_ITEM_MAX))
		parse_fail(cmd->args, "Not a key");
	if (!parsed(ss))
		return;
	/* What was seen has to be durable before it is said. */
	if (test && !users_remembers(users, key))
		session_done(ss, SESSION_OK, "NEW", "Done");
	else
		users_remember(users, key, remembered, ss);
}
