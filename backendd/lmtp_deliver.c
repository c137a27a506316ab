/*
 * A message into the mailboxes of all its recipients, at once, and one reply
 * each.
 */
#include <string.h>

#include "backendd/conf.h"
#include "backendd/lmtp_state.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/quota.h"
#include "backendd/server.h"
#include "imap/mboxrec.h"
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/must.h"

static bool
disk_is_full(const struct recipient *r)
{
	struct lmtp_session *ls = r->session;
	const struct mboxrec *rec =
	    mblist_get(ls->bd->list, r->name, &ls->arena);
	struct store *st = rec == NULL ? NULL : backendd_store(ls->bd, rec);

	return st != NULL && store_is_full(st);
}

static void
refuse(struct recipient *r, const char *why)
{
	log_warn(r->session->bd->log, "not delivered", "sid", r->session->sid,
	    "to", r->address, "mailbox", r->name, "why", why, NULL);
	if (disk_is_full(r))
		lmtp_answer(r, 452, "4.3.1", "Mail system full");
	else
		lmtp_answer(r, 451, "4.3.0",
		    "Cannot be stored now, try again later");
}

static void
note(struct recipient *r, const char *why)
{
	struct log *log = r->session->bd->log;

	if (why != NULL) {
		refuse(r, why);
	} else if (r->append.outcome == STORE_TAKEN) {
		log_info(log, "delivered before", "sid", r->session->sid, "to",
		    r->address, "mailbox", r->name, NULL);
		lmtp_answer(r, 250, "2.1.5", "Was delivered before");
	} else {
		log_info(log, "delivered", "sid", r->session->sid, "to",
		    r->address, "mailbox", r->name, "uid",
		    LOG_NUM(r->append.uid), NULL);
		lmtp_answer(r, 250, "2.1.5", "Delivered");
	}
}

static void
delivered(void *arg, const char *why)
{
	struct recipient *r = arg;
	struct lmtp_session *ls = r->session;

	MUST(ls->magic == LMTP_MAGIC);
	quota_release(ls->bd->quotas, &r->hold);
	note(r, why);
	if (!lmtp_arrived(ls))
		return;
	lmtp_settle(ls);
	lmtp_advance(ls);
}

struct lmtp_refusal
lmtp_over_quota(const struct backendd *bd)
{
	static const struct lmtp_refusal said[] = {
		[OVER_QUOTA_LATER] = { 452, "4.2.2", "Mailbox is full" },
		[OVER_QUOTA_REJECT] = { 552, "5.2.2", "Mailbox is full" },
	};

	return said[bd->conf->over_quota];
}

/* Only system flags of the store; \Recent is nobody's to give. */
static void
store_one(struct recipient *r, const struct mboxrec *rec, struct store *st)
{
	struct lmtp_session *ls = r->session;

	r->append.letter = ls->letter;
	r->append.flags = r->flags.system & STORE_FLAGS;
	r->append.keywords = r->flags.keywords;
	r->append.nkeywords = r->flags.n;
	lmtp_pending(ls);
	mailbox_deliver(ls->bd->mailboxes, st, rec->mailboxid, &r->append,
	    delivered, r);
}

static void
deliver_if(struct recipient *r, enum quota_verdict verdict)
{
	struct lmtp_session *ls = r->session;
	struct lmtp_refusal over = lmtp_over_quota(ls->bd);
	const struct mboxrec *rec =
	    mblist_get(ls->bd->list, r->name, &ls->arena);
	struct store *st = rec == NULL ? NULL : backendd_store(ls->bd, rec);

	if (st == NULL) { /* deleted, or renamed, since RCPT */
		quota_release(ls->bd->quotas, &r->hold);
		lmtp_answer(r, 451, "4.2.1", "The mailbox has just gone");
	} else if (verdict == QUOTA_OVER) {
		log_info(ls->bd->log, "not delivered, over quota", "sid",
		    ls->sid, "to", r->address, "mailbox", r->name, NULL);
		lmtp_answer(r, over.code, over.enhanced, over.text);
	} else {
		store_one(r, rec, st);
	}
}

static void
quota_known(void *arg, enum quota_verdict verdict)
{
	struct recipient *r = arg;
	struct lmtp_session *ls = r->session;

	MUST(ls->magic == LMTP_MAGIC);
	if (ls->stream == NULL) /* lost: it will be sent again */
		quota_release(ls->bd->quotas, &r->hold);
	if (!lmtp_arrived(ls))
		return;
	deliver_if(r, verdict);
	lmtp_settle(ls);
	lmtp_advance(ls);
}

static void
deliver_one(struct lmtp_session *ls, struct recipient *r)
{
	struct quota_need need = { .octets = letter_octets(ls->letter).len,
		.messages = 1,
		.hold = &r->hold };
	enum quota_verdict v;

	v = quota_check(ls->bd->quotas, r->name, &need, quota_known, r);
	if (v == QUOTA_LATER)
		lmtp_pending(ls);
	else
		deliver_if(r, v);
}

static void
letter_made(void *arg, struct letter *letter)
{
	struct lmtp_session *ls = arg;

	MUST(ls->magic == LMTP_MAGIC);
	ls->letter = letter;
	/*
	 * Also when the sender has gone meanwhile: then nothing is delivered,
	 * and it will try again.
	 */
	if (!lmtp_arrived(ls))
		return;
	for (struct recipient *r = ls->recipients; r != NULL; r = r->next)
		deliver_one(ls, r);
	lmtp_settle(ls);
	lmtp_advance(ls);
}

void
lmtp_deliver(struct lmtp_session *ls)
{
	struct blob *blob = ls->blob;

	ls->blob = NULL;
	lmtp_pending(ls);
	letter_make(ls->bd->loop, ls->bd->jobs, blob, letter_made, ls);
}
