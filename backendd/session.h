/*
 * session: one client's (or frontend's) IMAP connection.
 *
 * A stream, a framer, a collector of one command, and a state.  The session
 * cuts input into commands, refuses what is malformed, too long or out of
 * place, calls the command's handler (handlers.h) and sends the tagged reply
 * the handler gives.  One command at a time: input pipelined behind a running
 * one waits in the socket.
 *
 * What a handler may rely on:
 *
 * - ss and cmd live until it calls session_done(), even if the connection is
 *   lost meanwhile.  Then session_dead() is true, output goes nowhere, there
 *   is always room for it, and a call back that waits for input or room is
 *   called at once.  Stop early if that saves work; call session_done() in any
 *   case.
 * - Untagged responses are put into session_out(), whole lines, then
 *   session_flush().  Ask session_room() before each response or piece of a
 *   literal; if there is too little, session_wait_room() and go on in the call
 *   back.  What was put without asking and does not fit ends the session.
 * - The arena is the command's.
 */
#ifndef BACKENDD_SESSION_H
#define BACKENDD_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/command.h"
#include "lib/auth.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct backendd;
struct blob;
struct buf;
struct contexts;
struct mboxname_layout;
struct mboxname_view;
struct mboxrec;
struct parse;
struct seqset;
struct letters;
struct session;
struct view;
struct write;

/* The running command. */
struct cmd {
	const struct command *what;
	struct slice tag;
	struct parse
	    *args; /* behind the command's name and its space, if any */
	struct arena *arena;

	/*
	 * CMD_STREAM commands: the messages (or texts of CATENATE), one for
	 * each parse_stream() that the arguments have, in order, whole
	 * (blob_end() has been).  Take one by setting it to NULL; the rest is
	 * freed with the command.
	 */
	struct blob **blobs; /* in the arena */
	size_t nblobs;
	struct letters *letters; /* of some of the blobs, by their numbers, if
	                            there are many; or NULL */

	void *state; /* the handler's own; it frees it before session_done() */
};

enum session_result {
	SESSION_OK,
	SESSION_NO,
	SESSION_BAD
};

/* What ENABLE (or first use) switched on; bits. */
enum session_enabled {
	ENABLED_CONDSTORE = 1 << 0,
	ENABLED_REV2 = 1 << 1,
	ENABLED_QRESYNC = 1 << 2, /* comes with CONDSTORE */
	ENABLED_UTF8 = 1 << 3,    /* UTF8=ACCEPT */
	ENABLED_UIDONLY = 1 << 4, /* UIDFETCH for FETCH, no numbers at all */
	ENABLED_METADATA = 1 << 5 /* is told of others' changes */
};

/* With the server's loop; and when the last is gone. */
void sessions_start(struct backendd *bd);
void sessions_end(struct backendd *bd);

/* The ACL of a mailbox has changed: who has it selected may do so much now. */
void sessions_check_rights(struct backendd *bd, const char *name);

/* session_drain() for all. */
void sessions_drain(struct backendd *bd);

/* Accepts fd.  secure: TLS from the first octet. */
enum session_port {
	SESSION_PLAIN,
	SESSION_TLS
};
void session_new(struct backendd *bd, int fd, enum session_port port);

/* A drain: says BYE to those at rest, the others after their command. */
void session_drain(struct session *ss);

/* --- for handlers --------------------------------------------------------- */

/*
 * The tagged reply: ends cmd.  code is what stands in brackets ("READ-ONLY"),
 * or NULL.  For a selected session, what is new in the mailbox is said before
 * it, as far as the command allows.
 */
void session_done(struct session *ss, enum session_result r, const char *code,
    const char *text);

/* SESSION_BAD with the parser's text: after a failed parse. */
void session_bad_syntax(struct session *ss);

/* SESSION_BAD: UIDONLY is enabled, and it names messages by number. */
void session_bad_numbers(struct session *ss);

struct backendd *session_server(struct session *ss);
struct cmd *session_cmd(struct session *ss); /* NULL: none is running */
const char *session_sid(const struct session *ss);

/* Who: canonical; "" before login.  Borrowed, until the command ends. */
const char *session_user(const struct session *ss);
bool session_is_admin(const struct session *ss);

/* What names look like to this one. */
const struct mboxname_layout *session_layout(const struct session *ss);

/* Logged in as a proxy and acting for nobody else. */
bool session_is_proxy(const struct session *ss);

/* Logged in as a proxy, for whomever. */
bool session_is_trusted(const struct session *ss);

/* Names and strings are UTF-8 for it: UTF8=ACCEPT, or IMAP4rev2. */
bool session_is_utf8(const struct session *ss);

/* How it sees names, and a writer of responses, for what that says. */
struct mboxname_view session_names(struct session *ss);
void session_write(struct session *ss, struct write *w);

/*
 * A mailbox name as the client wrote it, as the internal name in the arena.
 * NULL, and session_done() was called, if it is none.
 */
const char *session_mailbox_name(struct session *ss, struct slice external);

/* The reverse, not yet quoted; in the arena. */
const char *session_external_name(struct session *ss, const char *internal);

/* What this user may do with a mailbox; implicit and admin rights in it. */
unsigned session_rights(struct session *ss, const char *internal,
    const char *acl);

/*
 * Finds a mailbox that exists here, with all the rights in need.  Without, it
 * calls session_done() with the right NO (NONEXISTENT if the user may not even
 * look, NOPERM else) and gives NULL.  In the arena.
 */
const struct mboxrec *session_mailbox(struct session *ss, const char *internal,
    unsigned need);

/* The same; what the NO would say is told, not said.  All of it is static. */
struct session_refusal {
	const char *code, *why;
};
const struct mboxrec *session_find_mailbox(struct session *ss,
    const char *internal, unsigned need, struct session_refusal *no);

/*
 * For the running command: how much of a message of so many octets may be in
 * memory before it goes to a file.
 */
size_t session_memory_for(struct session *ss, uint64_t octets);

/* Output. */
struct buf *session_out(struct session *ss);
void session_flush(struct session *ss);
size_t session_room(const struct session *ss);
typedef void session_cb(struct session *ss, void *arg);
void session_wait_room(struct session *ss, size_t room, session_cb *cb,
    void *arg);
bool session_dead(const struct session *ss);

/*
 * The next line is not a command but for cb (IDLE's DONE, a SASL response),
 * without its CRLF.  If the connection is lost or the line malformed, line.ptr
 * is NULL.  Ends with the call back.
 */
typedef void session_line_cb(struct session *ss, void *arg, struct slice line);
void session_want_line(struct session *ss, session_line_cb *cb, void *arg);

/*
 * Ends the handler's part of IDLE: the session says what is new until a line
 * comes, and what to that.
 */
void session_idle(struct session *ss);

/* FETCH of UIDs ("3:7") that nobody asked for now: NOTIFY; as a handler. */
void session_fetch_news(struct session *ss, struct cmd *cmd, const char *items,
    const char *uids);

/* "+ text" and flush. */
void session_continue(struct session *ss, const char *text);

/* Says BYE with this text and ends, after the running command if any. */
void session_bye(struct session *ss, const char *code, const char *text);

/*
 * Closes the connection here and now: a literal that was begun cannot be
 * completed.  The command goes on as after any loss, to session_done().
 */
void session_cut(struct session *ss);

/* After the running command's reply the connection ends: LOGOUT said BYE. */
void session_end(struct session *ss);

/*
 * The selected mailbox: NULL is none.  set takes v and frees the one before;
 * the session frees it when it ends, and says BYE when the mailbox is lost.
 */
struct view *session_view(struct session *ss);
void session_set_view(struct session *ss, struct view *v);

/* Is it this one?  Its name may have changed since it was selected. */
bool session_has_selected(const struct session *ss, struct slice mailboxid);

/*
 * The saved result of a search, "$" (RFC 5182): UIDs, ascending, of which some
 * may be gone.  It is emptied with every change of the selected mailbox.  save
 * copies; false: that is too much to keep, and it is empty.
 */
const struct seqset *session_saved(const struct session *ss);
bool session_save(struct session *ss, const struct seqset *uids) MUST_CHECK;
void session_forget_saved(struct session *ss);

/* What RETURN (UPDATE) has left behind; they end as "$" does. */
struct contexts *session_contexts(const struct session *ss);
void session_set_contexts(struct session *ss, struct contexts *cs);
void session_forget_contexts(struct session *ss);

/* FLAGS and PERMANENTFLAGS of the selected mailbox; they need such room. */
enum {
	SESSION_FLAGS_ROOM = 20 * 1024
};
void session_put_flags(struct session *ss, struct buf *out);

/* Something it waits for may be there: it looks, in a turn of its own. */
void session_wake(struct session *ss);

unsigned session_enabled(const struct session *ss);
void session_enable(struct session *ss, unsigned bits);

/* What that makes of a view: bits of enum view_says. */
unsigned session_says(const struct session *ss);

/* --- for cmd_auth and cmd_misc ---------------------------------------------
 */

/* As it is now, without brackets; in the arena. */
const char *session_capabilities(struct session *ss);

/*
 * Who it is: NULL is nobody else.  false: authcid may not act for user.  Logs,
 * and from the reply on the session is authenticated.
 */
bool session_log_in(struct session *ss, const char *authcid,
    const char *user) MUST_CHECK;

/* Behind the reply, it is nobody again: UNAUTHENTICATE. */
void session_log_out(struct session *ss);

/* Begins TLS behind the reply; discards what was pipelined. */
void session_start_tls(struct session *ss);

/* Compresses behind the reply; or why not, for a BAD. */
const char *session_start_deflate(struct session *ss) MUST_CHECK;
bool session_is_secure(const struct session *ss);
struct auth_peer session_auth_peer(struct session *ss);

/* What a trusted frontend says by ID: joins two logs. */
void session_set_client(struct session *ss, struct slice sid,
    struct slice address);

/* Why a login failed, for the log; counted towards a BYE. */
void session_login_failed(struct session *ss, const char *who, const char *why);

#endif
