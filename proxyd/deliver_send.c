/*
 * What all recipients' plans want is done: to each backend one mailing with
 * all it is to store, to the relay each mail; and the answers are gathered.
 */
#include <stdio.h>
#include <string.h>

#include "imap/mboxname.h"
#include "lib/arena.h"
#include "lib/log.h"
#include "lib/must.h"
#include "proxyd/deliver_state.h"
#include "proxyd/filing.h"
#include "proxyd/mailer.h"
#include "proxyd/submit.h"
#include "proxyd/worker.h"

enum {
	BATCH_MAX = 500 /* recipients of a mailing; backends have a limit */
};

/* One store of a mailing; rcpt is first, so that it is found again. */
struct delivered {
	struct mail_rcpt rcpt;
	struct recipient *recipient;
	const struct store_wish *wish;
	char key[STORES_KEY];
};

struct batch {
	struct delivery *delivery;
	struct mail_rcpt **rcpts;
	struct delivered **stores;
	size_t n;
};

/* --- stores ------------------------------------------------------------------ */

static void take_answer(struct delivered *s);

static void
filed(void *arg, int code, const char *text)
{
	struct delivered *s = arg;
	struct delivery *d = s->recipient->delivery;

	s->rcpt.code = code;
	snprintf(s->rcpt.text, sizeof(s->rcpt.text), "%s", text);
	take_answer(s);
	delivery_sent(d);
}

/*
 * What a script of ours stores on a server that is not: as the user, since
 * LMTP there has neither mailboxes nor flags.
 */
static void
file(struct delivered *s)
{
	struct recipient *r = s->recipient;
	struct delivery *d = r->delivery;
	const char *user = r->user == NULL ? "" : r->user;
	const struct mboxname_view view = { .layout =
		                                worker_layout(d->worker, user),
		.user = slice_str(user) };
	struct filing f = { .server = s->wish->server,
		.user = r->user,
		.sid = d->sid,
		.flags = s->wish->flags };
	struct submission sub = { .home = r->server,
		.key = s->rcpt.target.key,
		.filing = &f,
		.head = d->trace,
		.blob = d->blob };

	f.mailbox = mboxname_to_external(&d->arena, &view, s->wish->mailbox);
	if (r->user == NULL || f.mailbox.ptr == NULL) {
		recipient_answer(r, 451, "4.3.0", "Cannot be stored there");
		return;
	}
	d->pending++;
	submit(d->worker, d->all->xmurder, d->all->mailer, &sub, filed, s);
}

/*
 * A backend that does not know the mailbox is no reason to refuse: our list
 * may be behind.  One that is not ours may have a script that does.
 */
static void
take_answer(struct delivered *s)
{
	struct recipient *r = s->recipient;
	struct delivery *d = r->delivery;
	struct log *log = d->worker->log;
	int code = s->rcpt.code;

	if (code == MAIL_NO_WAY) {
		file(s);
		return;
	}
	if (code == 550 && strcmp(s->rcpt.enhanced, "5.7.1") != 0)
		code = 451;
	if (code / 100 == 2) {
		log_info(log, "delivered", "sid", d->sid, "from",
		    LOG_SLICE(d->from_raw), "to", LOG_SLICE(r->raw), "mailbox",
		    LOG_SLICE(s->wish->mailbox), "backend", s->wish->server,
		    "why", s->wish->why, "line",
		    s->wish->line == 0 ? NULL : LOG_NUM(s->wish->line),
		    "answer", s->rcpt.text, NULL);
		recipient_answer(r, 250, "2.1.5", "Delivered");
		return;
	}
	log_warn(log, "not delivered", "sid", d->sid, "to", LOG_SLICE(r->raw),
	    "mailbox", LOG_SLICE(s->wish->mailbox), "backend", s->wish->server,
	    "code", LOG_NUM(s->rcpt.code), "why", s->rcpt.text, NULL);
	/* 452 is a full mailbox, or disk: who comes again should know. */
	if (code / 100 == 5 || (code == 452 && s->rcpt.enhanced[0] != '\0'))
		recipient_answer(r, code,
		    s->rcpt.enhanced[0] == '\0' ? "5.3.0" : s->rcpt.enhanced,
		    s->rcpt.text);
	else
		recipient_answer(r, 451, "4.3.0",
		    "Cannot be stored now, try again later");
}

static void
batch_done(void *arg)
{
	struct batch *b = arg;

	for (size_t i = 0; i < b->n; i++)
		take_answer(b->stores[i]);
	delivery_sent(b->delivery);
}

static struct delivered *
new_store(struct recipient *r, const struct store_wish *wish)
{
	struct delivery *d = r->delivery;
	struct delivered *s = arena_alloc(&d->arena, sizeof(*s));

	s->recipient = r;
	s->wish = wish;
	stores_key(s->key, d->digest, r->raw, wish->mailbox, "store");
	s->rcpt.to = r->path;
	s->rcpt.target.mailbox = wish->mailbox;
	if (wish->flags.len > 0)
		s->rcpt.target.flags = wish->flags;
	s->rcpt.target.key = slice_of(s->key, sizeof(s->key));
	s->rcpt.plain = (struct lmtp_path){ wish->plain, r->path.domain };
	return s;
}

static void
send_batch(struct batch *b)
{
	struct delivery *d = b->delivery;
	const struct mail mail = { .backend = b->stores[0]->wish->server,
		.sid = d->sid,
		.from = d->from,
		.rcpts = b->rcpts,
		.nrcpts = b->n,
		.head = d->trace,
		.blob = d->blob };

	d->pending++;
	mailer_send(d->all->mailer, &mail, batch_done, b);
}

static struct batch *
new_batch(struct delivery *d)
{
	struct batch *b = arena_alloc(&d->arena, sizeof(*b));

	b->delivery = d;
	b->rcpts = arena_array(&d->arena, BATCH_MAX, sizeof(b->rcpts[0]));
	b->stores = arena_array(&d->arena, BATCH_MAX, sizeof(b->stores[0]));
	return b;
}

/* Those for this server that have not been sent; sent ones lose their name. */
static void
send_to(struct delivery *d, struct delivered **all, size_t from, size_t n)
{
	const char *server = all[from]->wish->server;
	struct batch *b = NULL;

	for (size_t i = from; i < n; i++) {
		if (all[i] == NULL || strcmp(all[i]->wish->server, server) != 0)
			continue;
		if (b == NULL)
			b = new_batch(d);
		b->stores[b->n] = all[i];
		b->rcpts[b->n++] = &all[i]->rcpt;
		all[i] = NULL;
		if (b->n == BATCH_MAX) {
			send_batch(b);
			b = NULL;
		}
	}
	if (b != NULL)
		send_batch(b);
}

static void
send_stores(struct delivery *d)
{
	struct delivered **all;
	size_t n = 0, at = 0;

	for (size_t i = 0; i < d->n; i++)
		n += d->recipients[i]->stores.n;
	if (n == 0)
		return;
	all = arena_array(&d->arena, n, sizeof(all[0]));
	for (size_t i = 0; i < d->n; i++)
		for (size_t k = 0; k < d->recipients[i]->stores.n; k++)
			all[at++] = new_store(d->recipients[i],
			    &d->recipients[i]->stores.at[k]);
	for (size_t i = 0; i < n; i++)
		if (all[i] != NULL)
			send_to(d, all, i, n);
}

/* --- mails --------------------------------------------------------------------- */

struct sent {
	struct recipient *recipient;
	const struct outgoing *outgoing;
};

static void
mail_done(void *arg, int code, const char *text)
{
	struct sent *s = arg;
	struct recipient *r = s->recipient;
	struct delivery *d = r->delivery;

	log_info(d->worker->log,
	    code / 100 == 2 ? "mail sent for a script" : "mail not sent", "sid",
	    d->sid, "to", LOG_SLICE(r->raw), "address",
	    LOG_SLICE(s->outgoing->address), "why", s->outgoing->why, "code",
	    LOG_NUM(code), "answer", text, NULL);
	if (code / 100 == 2)
		recipient_answer(r, 250, "2.1.5", "Delivered");
	else if (code / 100 == 5)
		recipient_answer(r, code, "5.3.0",
		    "The script sends it to where it is refused");
	else
		recipient_answer(r, 451, "4.3.0",
		    "Cannot be sent on now, try again later");
	delivery_sent(d);
}

static void
send_mail(struct recipient *r, const struct outgoing *o)
{
	struct delivery *d = r->delivery;
	struct sent *s = arena_alloc(&d->arena, sizeof(*s));
	struct submission sub = { .home = r->server,
		.from = o->from,
		.to = o->to,
		.head = o->head,
		.blob = o->with_message ? d->blob : NULL };
	char key[STORES_KEY];

	s->recipient = r;
	s->outgoing = o;
	stores_key(key, d->digest, r->raw, o->address, o->why);
	sub.key = slice_of(key, sizeof(key));
	d->pending++;
	submit(d->worker, d->all->xmurder, d->all->mailer, &sub, mail_done, s);
}

/* Who has nothing to be stored or sent has been served: discard. */
void
deliver_send(struct delivery *d)
{
	for (size_t i = 0; i < d->n; i++) {
		struct recipient *r = d->recipients[i];

		if (r->same == NULL && r->code == 0 && r->stores.n == 0 &&
		    r->outgoing == NULL)
			recipient_answer(r, 250, "2.1.5", "Accepted");
	}
	send_stores(d);
	for (size_t i = 0; i < d->n; i++)
		for (const struct outgoing *o = d->recipients[i]->outgoing;
		     o != NULL; o = o->next)
			send_mail(d->recipients[i], o);
}
