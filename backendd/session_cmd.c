/*
 * What handlers ask of a session: who it is, names, rights, capabilities.
 */
#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/context.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/notices.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/session_state.h"
#include "backendd/userdata.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "imap/capability.h"
#include "imap/mboxname.h"
#include "imap/seqset.h"
#include "imap/write.h"
#include "lib/auth.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"

enum {
	CAPABILITIES_MAX = 4096
};

void
session_bad_syntax(struct session *ss)
{
	const char *why = parse_error(&ss->w->args);

	session_done(ss, SESSION_BAD, NULL, why != NULL ? why : "Syntax error");
}

void
session_bad_numbers(struct session *ss)
{
	session_done(ss, SESSION_BAD, "UIDREQUIRED", SESSION_ONLY_UIDS);
}

const struct session_extras *
session_has(const struct session *ss)
{
	static const struct session_extras none;

	return ss->extras != NULL ? ss->extras : &none;
}

struct session_extras *
session_extras(struct session *ss)
{
	if (ss->extras == NULL)
		ss->extras = xcalloc(1, sizeof(*ss->extras));
	return ss->extras;
}

struct backendd *
session_server(struct session *ss)
{
	return ss->bd;
}

struct cmd *
session_cmd(struct session *ss)
{
	return ss->w == NULL ? NULL : ss->w->cmd;
}

const char *
session_sid(const struct session *ss)
{
	const struct session_client *client = session_has(ss)->client;

	return client != NULL && client->sid[0] != '\0' ? client->sid : ss->sid;
}

const char *
session_user(const struct session *ss)
{
	return ss->user != NULL ? ss->user : "";
}

bool
session_is_admin(const struct session *ss)
{
	return ss->admin;
}

bool
session_may_pipeline(const struct session *ss)
{
	return ss->trusted || ss->bd->conf->literals == LITERALS_PLUS;
}

bool
session_is_proxy(const struct session *ss)
{
	return ss->proxy;
}

bool
session_is_trusted(const struct session *ss)
{
	return ss->trusted;
}

const struct mboxname_layout *
session_layout(const struct session *ss)
{
	return ss->admin ? &ss->bd->admin_layout : &ss->bd->layout;
}

/* --- names and rights ------------------------------------------------------- */

bool
session_is_utf8(const struct session *ss)
{
	return (ss->enabled & (ENABLED_UTF8 | ENABLED_REV2)) != 0;
}

struct mboxname_view
session_names(struct session *ss)
{
	return (struct mboxname_view){ session_layout(ss),
		slice_str(session_user(ss)), session_is_utf8(ss) };
}

void
session_write(struct session *ss, struct write *w)
{
	write_init(w, session_out(ss), WRITE_SERVER);
	w->utf8 = session_is_utf8(ss);
}

const char *
session_mailbox_name(struct session *ss, struct slice external)
{
	struct mboxname_view view = session_names(ss);
	struct slice name;
	const char *why =
	    mboxname_from_external(&ss->w->arena, &view, external, &name);

	if (why == NULL)
		return arena_string(&ss->w->arena, name);
	session_done(ss, SESSION_NO, "CANNOT", why);
	return NULL;
}

const char *
session_external_name(struct session *ss, const char *internal)
{
	struct mboxname_view view = session_names(ss);
	struct slice name =
	    mboxname_to_external(&ss->w->arena, &view, slice_str(internal));

	return name.ptr == NULL ? NULL : arena_string(&ss->w->arena, name);
}

unsigned
session_rights(struct session *ss, const char *internal, const char *acl)
{
	struct mboxname_view who = session_names(ss);

	return acl_of_user(&who, ss->admin, slice_str(internal),
	    slice_str(mblist_is_aside(internal) && !ss->admin ? "" : acl));
}

/* For commands that could go on if the mailbox were there. */
static const char *
missing_code(struct session *ss, const char *internal)
{
	struct mblist *list = ss->bd->list;
	const struct mboxrec *rec;
	const char *parent;

	switch (ss->w->cmd->what->id) {
	case COMMAND_APPEND:
	case COMMAND_LOCALAPPEND:
	case COMMAND_COPY:
	case COMMAND_MOVE:
	case COMMAND_UID_COPY:
	case COMMAND_UID_MOVE:
	case COMMAND_REPLACE:
	case COMMAND_UID_REPLACE:
		break;
	default:
		return "NONEXISTENT";
	}
	if (mblist_get(list, internal, &ss->w->arena) != NULL)
		return "NONEXISTENT";
	parent = mblist_parent(list, internal, &ss->w->arena);
	rec = parent == NULL ? NULL : mblist_get(list, parent, &ss->w->arena);
	if (rec != NULL &&
	    (session_rights(ss, parent, arena_string(&ss->w->arena, rec->acl)) &
	        ACL_CREATE))
		return "TRYCREATE";
	return ss->admin ? "TRYCREATE" : "NONEXISTENT";
}

const struct mboxrec *
session_find_mailbox(struct session *ss, const char *internal, unsigned need,
    struct session_refusal *no)
{
	const struct mboxrec *rec =
	    mblist_get(ss->bd->list, internal, &ss->w->arena);
	unsigned rights = 0;

	if (rec != NULL)
		rights = session_rights(ss, internal,
		    arena_string(&ss->w->arena, rec->acl));
	if (rec != NULL && (rights & need) == need)
		return rec;
	if (rec == NULL || !(rights & ACL_LOOKUP))
		*no = (struct session_refusal){ missing_code(ss, internal),
			"No such mailbox" };
	else
		*no = (struct session_refusal){ "NOPERM", "Permission denied" };
	return NULL;
}

const struct mboxrec *
session_mailbox(struct session *ss, const char *internal, unsigned need)
{
	struct session_refusal no;
	const struct mboxrec *rec =
	    session_find_mailbox(ss, internal, need, &no);

	if (rec == NULL)
		session_done(ss, SESSION_NO, no.code, no.why);
	return rec;
}

/* --- output ----------------------------------------------------------------- */

void
session_continue(struct session *ss, const char *text)
{
	struct write w;

	write_init(&w, session_out(ss), WRITE_SERVER);
	write_continue(&w, slice_str(text));
	session_flush(ss);
}

struct view *
session_view(struct session *ss)
{
	return ss->view;
}

bool
session_has_selected(const struct session *ss, struct slice mailboxid)
{
	return ss->view != NULL && !view_lost(ss->view) &&
	       slice_is(mailboxid, mailbox_id(view_mailbox(ss->view)));
}

/* It sees to that itself, when it knows what has become of it. */
static bool
is_deleting(const struct session *ss)
{
	return ss->state == SESSION_RUNNING &&
	       ss->w->cmd->what->id == COMMAND_DELETE;
}

static void
view_was_lost(struct session *ss)
{
	if (is_deleting(ss))
		return;
	if (ss->end == END_NONE && (ss->w == NULL || ss->w->bye_text == NULL))
		session_bye(ss, "NONEXISTENT", "The mailbox was deleted");
}

enum {
	SAVED_MAX = 1024 * 1024 /* ranges of "$" */
};

struct session_saved {
	struct seqset set;
	struct seqrange ranges[];
};

const struct seqset *
session_saved(const struct session *ss)
{
	static const struct seqset empty;
	const struct session_saved *saved = session_has(ss)->saved;

	return saved != NULL ? &saved->set : &empty;
}

void
session_forget_saved(struct session *ss)
{
	if (ss->extras == NULL)
		return;
	free(ss->extras->saved);
	ss->extras->saved = NULL;
}

bool
session_save(struct session *ss, const struct seqset *uids)
{
	size_t octets = uids->n * sizeof(uids->ranges[0]);
	struct session_saved *saved;

	session_forget_saved(ss);
	if (uids->n > SAVED_MAX)
		return false;
	if (uids->n == 0)
		return true;
	saved = xcalloc(1, sizeof(*saved) + octets);
	memcpy(saved->ranges, uids->ranges, octets);
	saved->set = (struct seqset){ saved->ranges, uids->n, uids->n, false };
	session_extras(ss)->saved = saved;
	return true;
}

static void
on_view(void *arg, enum view_event ev)
{
	struct session *ss = arg;

	MUST(ss->magic == SESSION_MAGIC);
	switch (ev) {
	case VIEW_NEWS:
		if (ss->state == SESSION_IDLING ||
		    session_has(ss)->notify != NULL)
			session_wake(ss);
		break;
	case VIEW_LOST:
		view_was_lost(ss);
		break;
	}
}

struct contexts *
session_contexts(const struct session *ss)
{
	return session_has(ss)->contexts;
}

void
session_set_contexts(struct session *ss, struct contexts *cs)
{
	session_extras(ss)->contexts = cs;
}

void
session_forget_contexts(struct session *ss)
{
	if (ss->extras != NULL)
		contexts_free(&ss->extras->contexts);
}

void
session_set_view(struct session *ss, struct view *v)
{
	session_forget_contexts(ss);
	session_forget_saved(ss);
	view_free(&ss->view);
	ss->view = v;
	notify_reselected(ss);
	if (v != NULL)
		view_watch(v, on_view, ss);
}

unsigned
session_enabled(const struct session *ss)
{
	return ss->enabled;
}

unsigned
session_says(const struct session *ss)
{
	enum notify_selected how;
	unsigned says = 0, events;

	if (notify_view(ss, &how, &events) && how != NOTIFY_SELECTED_NONE &&
	    !(events & NOTIFY_FLAG_CHANGE))
		says |= VIEW_MUTES_FLAGS;
	if (!(ss->enabled & ENABLED_REV2))
		says |= VIEW_SAYS_RECENT;
	if (ss->enabled & ENABLED_CONDSTORE)
		says |= VIEW_SAYS_MODSEQ;
	if (ss->enabled & (ENABLED_QRESYNC | ENABLED_UIDONLY))
		says |= VIEW_SAYS_VANISHED;
	if (ss->enabled & ENABLED_UIDONLY)
		says |= VIEW_SAYS_UIDFETCH;
	return says;
}

void
session_enable(struct session *ss, unsigned bits)
{
	ss->enabled |= (uint8_t)bits;
	if (bits & ENABLED_METADATA)
		notices_begin(ss);
	if (ss->view != NULL)
		view_set_says(ss->view, session_says(ss));
}

/* --- who it is --------------------------------------------------------------- */

bool
session_is_secure(const struct session *ss)
{
	return stream_is_secure(ss->stream);
}

struct auth_peer
session_auth_peer(struct session *ss)
{
	return (struct auth_peer){
		.service = "imap",
		.address = stream_peer(ss->stream),
		.external = stream_tls_peer(ss->stream),
		.secure = stream_is_secure(ss->stream) ||
		          stream_is_loopback(ss->stream),
	};
}

const char *
session_capabilities(struct session *ss)
{
	const struct backendd *bd = ss->bd;
	struct auth_peer peer = session_auth_peer(ss);
	uint64_t set = ~UINT64_C(0);
	unsigned now = CAPABILITY_AFTER;
	const char *text;
	struct buf out;

	if (ss->user == NULL)
		now = CAPABILITY_BEFORE |
		      (stream_is_secure(ss->stream) ? 0u : CAPABILITY_PLAIN);
	if (bd->tls == NULL)
		set &= ~CAPABILITY_BIT(STARTTLS);
	if (peer.secure || bd->conf->auth.plaintext)
		set &= ~CAPABILITY_BIT(LOGINDISABLED);
	if (!ss->proxy)
		set &= ~CAPABILITY_BIT(XMURDER);
	if (!bd->conf->compress || stream_is_deflated(ss->stream))
		set &= ~CAPABILITY_BIT(COMPRESS);
	if (session_may_pipeline(ss))
		set &= ~CAPABILITY_BIT(LITERAL_MINUS);
	else
		set &= ~CAPABILITY_BIT(LITERAL_PLUS);
	buf_init(&out, CAPABILITIES_MAX);
	capability_put(&out, set, now, auth_mechanisms(bd->auth, &peer));
	if (ss->user != NULL) {
		buf_puts(&out, " APPENDLIMIT=");
		buf_put_number(&out, bd->conf->message_size);
	}
	/* Cyrus IMAP's frontend warns of backends that do not say it. */
	if (ss->trusted && bd->conf->mupdate_server != NULL)
		buf_printf(&out, " MUPDATE=mupdate://%s/",
		    bd->conf->mupdate_server);
	MUST(!buf_failed(&out));
	text = arena_string(&ss->w->arena, buf_slice(&out));
	buf_fini(&out);
	return text;
}

bool
session_log_in(struct session *ss, const char *authcid, const char *user)
{
	struct backendd *bd = ss->bd;
	bool proxy = backendd_is_proxy(bd, authcid);
	bool other;

	MUST(ss->user == NULL);
	if (user == NULL || user[0] == '\0')
		user = authcid;
	other = strcmp(user, authcid) != 0;
	if (!userdata_name_ok(slice_str(user), USERDATA_USER_MAX) ||
	    (other && !proxy && !backendd_is_admin(bd, authcid)))
		return false;
	session_unlist(ss);
	ss->user = xstrdup(user);
	session_enlist(ss);
	ss->admin = backendd_is_admin(bd, user);
	ss->proxy = proxy && !other;
	ss->trusted = proxy;
	log_info(bd->log, "logged in", "sid", session_sid(ss), "user", user,
	    "by", other ? authcid : NULL, "peer", stream_peer(ss->stream),
	    "tls", stream_tls_text(ss->stream), NULL);
	return true;
}

void
session_login_failed(struct session *ss, const char *who, const char *why)
{
	log_info(ss->bd->log, "login failed", "sid", session_sid(ss), "user",
	    who, "why", why, "peer", stream_peer(ss->stream), NULL);
	if (++ss->failures >= ss->bd->conf->bad_commands)
		session_bye(ss, "UNAVAILABLE", "Too many failed logins");
}

void
session_log_out(struct session *ss)
{
	MUST(ss->user != NULL);
	session_set_view(ss, NULL);
	ss->log_out_next = true;
}

void
session_start_tls(struct session *ss)
{
	MUST(ss->bd->tls != NULL && !stream_is_secure(ss->stream));
	ss->tls_next = true;
}

const char *
session_start_deflate(struct session *ss)
{
	if (!ss->bd->conf->compress)
		return "COMPRESS is not offered";
	if (stream_is_deflated(ss->stream))
		return "COMPRESS is active already";
	ss->deflate_next = true;
	return NULL;
}

static void
copy_cut(char *to, size_t size, struct slice from)
{
	size_t n = from.len < size - 1 ? from.len : size - 1;

	if (n > 0)
		memcpy(to, from.ptr, n);
	to[n] = '\0';
}

void
session_set_client(struct session *ss, struct slice sid, struct slice address)
{
	struct session_client *c;
	char before[sizeof(c->sid)];

	if (!ss->trusted)
		return;
	copy_cut(before, sizeof(before), slice_str(session_sid(ss)));
	c = session_extras(ss)->client;
	if (c == NULL)
		c = session_extras(ss)->client = xcalloc(1, sizeof(*c));
	if (sid.len > 0)
		copy_cut(c->sid, sizeof(c->sid), sid);
	if (address.len > 0)
		copy_cut(c->address, sizeof(c->address), address);
	log_info(ss->bd->log, "session joined", "sid", session_sid(ss), "was",
	    before, "client", c->address, "user", ss->user, NULL);
}
