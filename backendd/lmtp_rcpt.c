/*
 * MAIL and RCPT: is it wanted, and which mailbox is it for?
 */
#include <string.h>

#include "backendd/conf.h"
#include "backendd/creator.h"
#include "backendd/lmtp_state.h"
#include "backendd/mblist.h"
#include "backendd/quota.h"
#include "backendd/server.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/ascii.h"
#include "lib/log.h"
#include "lib/loop.h"

enum {
	KEY_DIGITS = 64
};

/* A frontend's name for this delivery: its log and ours then agree. */
static bool
take_session(struct lmtp_session *ls, struct slice value)
{
	if (value.len == 0 || value.len >= sizeof(ls->sid))
		return false;
	for (size_t i = 0; i < value.len; i++)
		if (!ascii_alnum(value.ptr[i]))
			return false;
	memcpy(ls->sid, value.ptr, value.len);
	ls->sid[value.len] = '\0';
	return true;
}

/* --- MAIL -------------------------------------------------------------------------- */

/* It has been found to be a number. */
static uint64_t
size_of(const struct lmtp_command *c)
{
	const struct lmtp_param *size = lmtp_param(c, "SIZE");
	uint64_t n = 0;

	if (size == NULL || !ascii_number(size->value, UINT64_MAX, &n))
		return 0;
	return n;
}

void
lmtp_mail(struct lmtp_session *ls, const struct lmtp_command *c)
{
	const struct lmtp_param *session = lmtp_param(c, "XSESSION");

	if (session != NULL && !take_session(ls, session->value)) {
		lmtp_reply(ls, 501, "5.5.4", "XSESSION is letters and digits");
		return;
	}
	ls->sender = arena_string(&ls->arena, c->raw_path);
	ls->size = size_of(c);
	timer_set(ls->timer, (int64_t)ls->bd->conf->message_ms);
	lmtp_reply(ls, 250, "2.1.0", "Sender accepted");
}

/* --- RCPT: parameters ---------------------------------------------------------------- */

/* 64 digits; the store keeps 16 octets of it. */
static bool
parse_key(struct slice hex, uint8_t key[16])
{
	if (hex.len != KEY_DIGITS)
		return false;
	for (size_t i = 0; i < KEY_DIGITS; i++)
		if (ascii_hex(hex.ptr[i]) == -1)
			return false;
	for (size_t i = 0; i < 16; i++)
		key[i] = (uint8_t)(ascii_hex(hex.ptr[2 * i]) << 4 |
		                   ascii_hex(hex.ptr[2 * i + 1]));
	return true;
}

/* NULL, or the text of a 501. */
static const char *
take_target(struct lmtp_session *ls, struct recipient *r,
    const struct lmtp_target *t)
{
	if (t->mailbox.ptr != NULL) {
		const char *why = mboxname_invalid(t->mailbox);

		if (why != NULL)
			return why;
		r->name = arena_string(&ls->arena, t->mailbox);
	}
	if (t->flags.ptr != NULL) {
		const char *why = flags_parse(&ls->arena, t->flags, &r->flags);

		if (why != NULL)
			return why;
	}
	if (t->key.ptr != NULL) {
		if (!parse_key(t->key, r->append.key))
			return "XKEY is 64 hexadecimal digits";
		r->has_key = true;
	}
	return NULL;
}

/* False: answered with what is wrong. */
static bool
check_parameters(struct lmtp_session *ls, struct recipient *r,
    const struct lmtp_command *c)
{
	struct lmtp_target t = { { NULL, 0 }, { NULL, 0 }, { NULL, 0 } };
	const char *why = lmtp_parse_target(&ls->arena, c, &t);

	if (why == NULL)
		why = take_target(ls, r, &t);
	if (why != NULL)
		lmtp_reply(ls, 501, "5.5.4", why);
	return why == NULL;
}

/* --- RCPT: the mailbox ----------------------------------------------------------------- */

static bool
exists(struct lmtp_session *ls, const char *name)
{
	return mblist_get(ls->bd->list, name, &ls->arena) != NULL;
}

/* [user]+detail: that mailbox, if it is there and mail may be put in it. */
static const char *
detail_mailbox(struct lmtp_session *ls, struct slice user, struct slice detail)
{
	const struct mboxrec *rec;
	struct slice name;
	const char *text;

	if (!mboxname_of_detail(&ls->arena, &ls->bd->layout, user, detail,
	        &name))
		return NULL;
	text = arena_string(&ls->arena, name);
	rec = mblist_get(ls->bd->list, text, &ls->arena);
	if (rec == NULL ||
	    !(acl_effective_text(rec->acl, slice_of(NULL, 0)) & ACL_POST))
		return NULL;
	return text;
}

/* The userid of an address; .ptr NULL if it can be none. */
static struct slice
user_of(struct lmtp_session *ls, const struct lmtp_command *c,
    struct slice *detail)
{
	const struct mboxname_layout *layout = &ls->bd->layout;
	struct slice local = c->path.local;
	size_t plus = slice_find(local, '+');
	struct slice user = slice_first(local, plus);

	*detail =
	    plus < local.len ? slice_skip(local, plus + 1) : slice_of("", 0);
	if (!layout->virtual_domains || c->path.domain.len == 0 ||
	    (layout->domain != NULL &&
	        slice_is_nocase(c->path.domain, layout->domain)))
		return user;
	return slice_str(arena_printf(&ls->arena, "%.*s@%.*s", (int)user.len,
	    (const char *)user.ptr, (int)c->path.domain.len,
	    (const char *)c->path.domain.ptr));
}

static void
take_recipient(struct lmtp_session *ls, struct recipient *r)
{
	r->nth = ls->server.recipients;
	*ls->last = r;
	ls->last = &r->next;
	lmtp_reply(ls, 250, "2.1.5", "Recipient accepted");
}

static void
answer_quota(struct lmtp_session *ls, struct recipient *r,
    enum quota_verdict verdict)
{
	struct lmtp_refusal over = lmtp_over_quota(ls->bd);

	if (verdict != QUOTA_OVER) {
		take_recipient(ls, r);
		return;
	}
	log_info(ls->bd->log, "recipient over quota", "sid", ls->sid, "to",
	    r->address, "mailbox", r->name, NULL);
	lmtp_reply(ls, over.code, over.enhanced, over.text);
}

static void
quota_known(void *arg, enum quota_verdict verdict)
{
	struct recipient *r = arg;
	struct lmtp_session *ls = r->session;

	if (!lmtp_arrived(ls) ||
	    ls->server.state != LMTP_SERVER_CHECKING_RECIPIENT)
		return; /* told to go meanwhile */
	answer_quota(ls, r, verdict);
	lmtp_advance(ls);
}

/* One who has no room for what MAIL said of its size, or for anything. */
static void
accept_recipient(struct lmtp_session *ls, struct recipient *r)
{
	struct quota_need need = { .octets = ls->size, .messages = 1 };
	enum quota_verdict v;

	if (need.octets == 0)
		need.octets = 1;
	v = quota_check(ls->bd->quotas, r->name, &need, quota_known, r);
	if (v == QUOTA_LATER)
		lmtp_pending(ls);
	else
		answer_quota(ls, r, v);
}

static void
user_made(void *arg, enum mblist_result result, const char *text)
{
	struct recipient *r = arg;
	struct lmtp_session *ls = r->session;

	(void)text; /* has been logged */
	if (!lmtp_arrived(ls) ||
	    ls->server.state != LMTP_SERVER_CHECKING_RECIPIENT)
		return; /* told to go meanwhile */
	if (result == MBLIST_OK)
		accept_recipient(ls, r);
	else if (result == MBLIST_NONE)
		lmtp_reply(ls, 550, "5.1.1", "No such user here");
	else
		lmtp_reply(ls, 451, "4.3.0", mblist_text(result));
	lmtp_advance(ls);
}

static void
make_user(struct recipient *r)
{
	struct lmtp_session *ls = r->session;

	lmtp_pending(ls);
	mblist_make_user(ls->bd->list, r->user, user_made, r);
}

static void
user_known(void *arg, enum creator_answer answer)
{
	struct recipient *r = arg;
	struct lmtp_session *ls = r->session;

	if (!lmtp_arrived(ls) ||
	    ls->server.state != LMTP_SERVER_CHECKING_RECIPIENT)
		return; /* told to go meanwhile */
	if (answer == CREATOR_IS_USER)
		make_user(r);
	else if (answer == CREATOR_IS_NONE)
		lmtp_reply(ls, 550, "5.1.1", "No such user here");
	else
		lmtp_reply(ls, 451, "4.3.0", "Cannot be known now");
	lmtp_advance(ls);
}

static void
add_new_user(struct lmtp_session *ls, struct recipient *r, const char *user)
{
	r->user = user;
	switch (creator_wants(ls->bd, user, CREATOR_MAIL)) {
	case CREATOR_NO:
		lmtp_reply(ls, 550, "5.1.1", "No such user here");
		break;
	case CREATOR_YES:
		make_user(r);
		break;
	case CREATOR_ASK:
		lmtp_pending(ls);
		creator_ask(ls->bd, user, user_known, r);
		break;
	}
}

/*
 * By address: the user's INBOX, or the mailbox that detail names.  "+help" is
 * a shared one, as a frontend of Cyrus IMAP has it.
 */
static void
add_by_address(struct lmtp_session *ls, struct recipient *r,
    const struct lmtp_command *c)
{
	struct slice detail, user = user_of(ls, c, &detail), inbox;

	if (detail.len > 0)
		r->name = detail_mailbox(ls, user, detail);
	if (r->name != NULL) {
		accept_recipient(ls, r);
		return;
	}
	if (user.len == 0 || mboxname_of_user(&ls->arena, &ls->bd->layout, user,
	                         &inbox) != NULL) {
		lmtp_reply(ls, 550, "5.1.1", "No such user here");
		return;
	}
	r->name = arena_string(&ls->arena, inbox);
	if (exists(ls, r->name))
		accept_recipient(ls, r);
	else
		add_new_user(ls, r, arena_string(&ls->arena, user));
}

void
lmtp_rcpt(struct lmtp_session *ls, const struct lmtp_command *c)
{
	struct recipient *r = arena_alloc(&ls->arena, sizeof(*r));

	r->session = ls;
	r->address = arena_string(&ls->arena, c->raw_path);
	if (!check_parameters(ls, r, c))
		return;
	if (r->name == NULL)
		add_by_address(ls, r, c);
	else if (exists(ls, r->name))
		accept_recipient(ls, r);
	else
		lmtp_reply(ls, 550, "5.1.1", "No such mailbox here");
}
