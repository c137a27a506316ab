/*
 * MAIL and RCPT: is it wanted, and whose is it?
 */
#include <string.h>

#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/ascii.h"
#include "lib/loop.h"
#include "proxyd/conf.h"
#include "proxyd/deliver.h"
#include "proxyd/lmtp_state.h"
#include "proxyd/lmtpd.h"
#include "proxyd/route.h"
#include "proxyd/worker.h"

/* --- MAIL ---------------------------------------------------------------------- */

void
lmtp_mail(struct lmtp_session *ls, const struct lmtp_command *c)
{
	ls->from = arena_copy(&ls->arena, c->raw_path);
	ls->delivery =
	    delivery_new(ls->lmtpd->deliveries, &c->path, ls->from, ls->sid);
	timer_set(ls->timer, (int64_t)ls->worker->conf->message_ms);
	lmtp_reply(ls, 250, "2.1.0", "Sender accepted");
}

/* --- RCPT ------------------------------------------------------------------------ */

static void
accept(struct lmtp_session *ls, const struct mboxrec *rec)
{
	char server[MBOXREC_HOST];

	if (ls->shared &&
	    !(acl_effective_text(rec->acl, slice_of(NULL, 0)) & ACL_POST)) {
		lmtp_reply(ls, 550, "5.7.1",
		    "Mail may not be sent to that mailbox");
		return;
	}
	route_server(rec, server);
	delivery_add(ls->delivery,
	    &(struct delivery_address){ .path = ls->path,
	        .raw = ls->raw,
	        .user = ls->shared ? slice_of(NULL, 0) : ls->user,
	        .detail = ls->shared ? slice_of(NULL, 0) : ls->detail,
	        .mailbox = ls->mailbox,
	        .server = server });
	lmtp_reply(ls, 250, "2.1.5", "Recipient accepted");
}

static void
refuse(struct lmtp_session *ls)
{
	lmtp_reply(ls, 550, "5.1.1",
	    ls->shared ? "No such mailbox here" : "No such user here");
}

static void
routed(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct lmtp_session *ls = arg;

	ls->wait = NULL;
	switch (answer) {
	case ROUTE_FOUND:
		accept(ls, rec);
		break;
	case ROUTE_NONE:
		refuse(ls);
		break;
	case ROUTE_UNKNOWN:
		lmtp_reply(ls, 451, "4.3.0",
		    "Whether there is such a user cannot be known now");
		break;
	}
	lmtp_advance(ls);
}

static struct slice
lower(struct arena *a, struct slice s)
{
	uint8_t *out = arena_alloc(a, s.len + 1);

	for (size_t i = 0; i < s.len; i++)
		out[i] = ascii_lower(s.ptr[i]);
	return slice_of(out, s.len);
}

/* "shared+help": the name is as all see it, below the prefix if there is one. */
static bool
name_shared(struct lmtp_session *ls)
{
	return mboxname_of_detail(&ls->arena, &ls->worker->layout,
	    slice_of("", 0), ls->detail, &ls->mailbox);
}

static bool
name_user(struct lmtp_session *ls)
{
	return ls->user.len > 0 &&
	       mboxname_of_user(&ls->arena, &ls->worker->layout, ls->user,
	           &ls->mailbox) == NULL;
}

static void
split(struct lmtp_session *ls, const struct lmtp_command *c)
{
	uint8_t separator = (uint8_t)ls->worker->conf->subaddress_separator[0];
	struct slice local = arena_copy(&ls->arena, c->path.local);
	size_t at = slice_find(local, separator);

	ls->path.local = local;
	ls->path.domain = arena_copy(&ls->arena, c->path.domain);
	ls->raw = arena_copy(&ls->arena, c->raw_path);
	ls->user = slice_first(local, at);
	ls->detail =
	    at < local.len ? slice_skip(local, at + 1) : slice_of("", 0);
}

/*
 * After a look for the name as it came: who is called the same, but small?
 * The copy is as current as it can be.  What cannot be known is an obstacle
 * only if the copy has neither, or is about to have the first.
 */
static enum route_answer
look_small(struct lmtp_session *ls, enum route_answer answer,
    struct mboxrec *rec)
{
	struct route *r = ls->worker->route;

	if (answer == ROUTE_UNKNOWN &&
	    route_look(r, ls->mailbox, rec) == ROUTE_UNKNOWN)
		return ROUTE_UNKNOWN;
	ls->user = lower(&ls->arena, ls->user);
	if (!name_user(ls))
		return answer;
	switch (route_look(r, ls->mailbox, rec)) {
	case ROUTE_FOUND:
		return ROUTE_FOUND;
	case ROUTE_UNKNOWN:
		return ROUTE_UNKNOWN;
	case ROUTE_NONE:
		break;
	}
	return answer;
}

static void
routed_as_came(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct lmtp_session *ls = arg;
	struct mboxrec small;

	if (answer != ROUTE_FOUND) {
		answer = look_small(ls, answer, &small);
		rec = &small;
	}
	routed(ls, answer, rec);
}

/*
 * Users are written small; who insists on capitals is found by them.  For that
 * the copy must be current: such a user may have been made a moment ago, and
 * the mail is neither to be refused nor another's.
 */
static void
find_user(struct lmtp_session *ls)
{
	struct slice small = lower(&ls->arena, ls->user);
	route_cb *cb = routed_as_came;

	if (slice_equal(small, ls->user) || !name_user(ls)) {
		ls->user = small;
		cb = routed;
	}
	if (name_user(ls))
		ls->wait = route_find(ls->worker->route, &ls->rate, ls->mailbox,
		    cb, ls);
	else
		refuse(ls);
}

void
lmtp_rcpt(struct lmtp_session *ls, const struct lmtp_command *c)
{
	const struct proxyd_conf *conf = ls->worker->conf;

	split(ls, c);
	ls->shared =
	    ls->detail.len > 0 &&
	    (ls->user.len == 0 || slice_is_nocase(ls->user, conf->share_user));
	if (!ls->shared) {
		find_user(ls);
	} else if (!name_shared(ls)) {
		refuse(ls);
	} else {
		ls->wait = route_find(ls->worker->route, &ls->rate, ls->mailbox,
		    routed, ls);
	}
}
