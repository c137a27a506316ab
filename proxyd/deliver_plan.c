/*
 * What one recipient's script wants: it runs, and each action becomes a store
 * in a mailbox that exists and that the user may put mail in, or a mail.
 */
#include <string.h>

#include "imap/acl.h"
#include "imap/flag.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/utf7.h"
#include "lib/blob.h"
#include "lib/buf.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "proxyd/conf.h"
#include "proxyd/create.h"
#include "proxyd/deliver_state.h"
#include "proxyd/notice.h"
#include "proxyd/route.h"
#include "proxyd/script.h"
#include "proxyd/worker.h"

enum {
	FLAGS_ROOM = 4000, /* an LMTP line has to hold them, as xtext */
	NAME_ROOM = 2000,
	REASON_MAX = 900, /* octets of a refusal in an LMTP answer */
	NOTICE_ROOM = 256 * 1024
};

static void advance(struct recipient *r);

static const struct sieve_action *
action_of(const struct recipient *r)
{
	return &r->result.actions[r->at];
}

/* --- stores ------------------------------------------------------------------ */

/* What a backend will take of them: flags that are none are left out. */
static struct slice
flags_of(struct recipient *r, const struct sieve_action *action)
{
	struct flags flags = { 0 };
	struct slice out;
	struct buf b;

	for (unsigned i = 0; i < action->nflags; i++)
		if (flags_add(&r->arena, &flags, action->flags[i]) != NULL)
			log_info(r->delivery->worker->log, "flag left out",
			    "sid", r->delivery->sid, "user", r->user, "flag",
			    LOG_SLICE(action->flags[i]), NULL);
	buf_init(&b, FLAGS_ROOM);
	flags_put(&b, &flags);
	out = buf_failed(&b) ? slice_of(NULL, 0)
	                     : arena_copy(&r->arena, buf_slice(&b));
	buf_fini(&b);
	return out;
}

static void
add_store(struct recipient *r, struct slice mailbox, const char *server,
    const struct sieve_action *action, const char *why)
{
	struct store_wish wish = { .mailbox = mailbox, .why = why };

	if (action != NULL) {
		wish.flags = flags_of(r, action);
		wish.line = action->line;
	}
	memcpy(wish.server, server, strlen(server) + 1);
	stores_add(&r->arena, &r->stores, &wish);
}

/*
 * By its address alone, if the server there should not be of our kind: a
 * user's mailbox by user and detail, a shared one as Cyrus IMAP has it, "+"
 * and its name.
 */
static void
add_plain(struct recipient *r, const char *why)
{
	struct mboxname_layout layout = r->delivery->worker->layout;
	struct mboxname_view view = { .layout = &layout,
		.user = slice_of("", 0) };
	struct store_wish wish = { .mailbox = r->mailbox, .why = why };
	struct slice detail = r->detail;

	layout.altnamespace = false;
	if (r->user == NULL)
		detail = mboxname_to_external(&r->arena, &view, r->mailbox);
	wish.plain = slice_str(arena_printf(&r->arena, "%s%s%.*s",
	    r->user == NULL ? "" : r->user, detail.len > 0 ? "+" : "",
	    (int)detail.len, (const char *)detail.ptr));
	memcpy(wish.server, r->server, strlen(r->server) + 1);
	stores_add(&r->arena, &r->stores, &wish);
}

static void
keep_instead(struct recipient *r, const struct sieve_action *action,
    const char *why)
{
	log_info(r->delivery->worker->log, "kept in INBOX instead", "sid",
	    r->delivery->sid, "user", r->user, "line", LOG_NUM(action->line),
	    "mailbox",
	    action->kind == SIEVE_FILEINTO ? LOG_SLICE(action->mailbox) : NULL,
	    "why", why, NULL);
	add_store(r, r->mailbox, r->server,
	    action->kind == SIEVE_FILEINTO ? action : NULL, why);
}

/* The name of the mailbox that the address names, if it can be one. */
static bool
name_detail(struct recipient *r, struct slice *mailbox)
{
	struct worker *w = r->delivery->worker;

	return r->detail.len > 0 && mboxname_of_detail(&r->arena, &w->layout,
	                                slice_str(r->user), r->detail, mailbox);
}

/* If it is there and anyone may put mail in it. */
static bool
find_detail(struct recipient *r, struct slice *mailbox,
    char server[MBOXREC_HOST])
{
	struct worker *w = r->delivery->worker;
	struct mboxrec rec;

	if (!name_detail(r, mailbox) ||
	    route_look(w->route, *mailbox, &rec) != ROUTE_FOUND ||
	    !(acl_effective_text(rec.acl, slice_of(NULL, 0)) & ACL_POST))
		return false;
	route_server(&rec, server);
	return true;
}

/*
 * RFC 5228 4.3: what is done if no filtering happens, which for an address
 * with a detail is that mailbox.
 */
static void
keep(struct recipient *r, const struct sieve_action *action)
{
	struct slice mailbox;
	char server[MBOXREC_HOST];

	if (r->user != NULL && find_detail(r, &mailbox, server))
		add_store(r, mailbox, server, action, "subaddress");
	else
		add_store(r, r->mailbox, r->server, action, "keep");
}

/* --- fileinto ------------------------------------------------------------------ */

/* The name as IMAP has it, and the internal one. */
static bool
name_mailbox(struct recipient *r, struct slice text, struct slice *external,
    struct slice *name)
{
	struct mboxname_view view = {
		.layout = worker_layout(r->delivery->worker, r->user),
		.user = slice_str(r->user)
	};
	struct buf b;
	bool good;

	buf_init(&b, NAME_ROOM);
	good = utf7_encode(&b, text) == 0 && !buf_failed(&b);
	*external = arena_copy(&r->arena, buf_slice(&b));
	buf_fini(&b);
	return good && mboxname_from_external(&r->arena, &view, *external,
	                   name) == NULL;
}

static bool
may_file(const struct recipient *r, const struct mboxrec *rec)
{
	return (acl_effective_text(rec->acl, slice_str(r->user)) &
	           (ACL_INSERT | ACL_POST)) != 0;
}

static void
file_found(struct recipient *r, const struct mboxrec *rec)
{
	const struct sieve_action *action = action_of(r);
	char server[MBOXREC_HOST];

	if (!may_file(r, rec)) {
		keep_instead(r, action, "no right to put mail there");
		return;
	}
	route_server(rec, server);
	add_store(r, r->name, server, action, "fileinto");
}

static void
next(struct recipient *r)
{
	r->at++;
	r->created = false;
	advance(r);
}

static void
give_up(struct recipient *r, const char *text)
{
	recipient_answer(r, 451, "4.3.0", text);
	r->stores.n = 0;
	r->outgoing = NULL;
	delivery_planned(r);
}

static void
created(void *arg, const char *why)
{
	struct recipient *r = arg;
	struct mboxrec rec;

	if (why == NULL && route_look(r->delivery->worker->route, r->name,
	                       &rec) == ROUTE_FOUND)
		file_found(r, &rec);
	else
		keep_instead(r, action_of(r),
		    why == NULL ? "it is not there" : "it cannot be made");
	if (why != NULL)
		log_info(r->delivery->worker->log, "mailbox not made", "sid",
		    r->delivery->sid, "user", r->user, "mailbox",
		    LOG_SLICE(r->name), "why", why, NULL);
	next(r);
}

static void
file_routed(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct recipient *r = arg;

	r->wait = NULL;
	switch (answer) {
	case ROUTE_FOUND:
		file_found(r, rec);
		next(r);
		return;
	case ROUTE_NONE:
		if (action_of(r)->create) {
			create_mailbox(r->delivery->worker, r->user, &r->name,
			    &r->external, r->delivery->sid, created, r);
			return;
		}
		keep_instead(r, action_of(r), "no such mailbox");
		next(r);
		return;
	case ROUTE_UNKNOWN:
		give_up(r, "Where the mailbox is cannot be known now");
		return;
	}
}

/* True: done, on to the next action.  False: wait. */
static bool
file_into(struct recipient *r, const struct sieve_action *action)
{
	struct worker *w = r->delivery->worker;
	struct mboxrec rec;

	if (!name_mailbox(r, action->mailbox, &r->external, &r->name)) {
		keep_instead(r, action, "not a name of a mailbox");
		return true;
	}
	if (route_look(w->route, r->name, &rec) == ROUTE_FOUND) {
		file_found(r, &rec);
		return true;
	}
	r->wait =
	    route_find(w->route, &r->delivery->rate, r->name, file_routed, r);
	return false;
}

/* --- mails ------------------------------------------------------------------------ */

static struct outgoing *
add_outgoing(struct recipient *r, const char *why)
{
	struct outgoing *o = arena_alloc(&r->arena, sizeof(*o));

	o->why = why;
	o->next = r->outgoing;
	r->outgoing = o;
	return o;
}

static void
redirect(struct recipient *r, const struct sieve_action *action)
{
	struct delivery *d = r->delivery;
	struct lmtp_path to;
	struct outgoing *o;
	struct buf b;

	if (d->worker->conf->smtp_relay == NULL) {
		keep_instead(r, action, "no smtp_relay for redirect");
	} else if (!lmtp_parse_path(&r->arena, action->address, &to) ||
	           to.local.len == 0) {
		keep_instead(r, action, "not an address to redirect to");
	} else if (notice_was_redirected(d->octets, r->raw)) {
		keep_instead(r, action, "redirected before: a loop");
	} else {
		o = add_outgoing(r, "redirect");
		o->address = action->address;
		o->from = d->from;
		o->to = to;
		o->with_message = true;
		buf_init(&b, NOTICE_ROOM);
		notice_put_redirected(&b, r->raw);
		buf_put_slice(&b, d->received);
		if (!buf_failed(&b))
			o->head = arena_copy(&r->arena, buf_slice(&b));
		buf_fini(&b);
	}
}

/* RFC 5429 2.5: an answer's text is ASCII, and not endless. */
static void
refuse(struct recipient *r, struct slice reason)
{
	size_t n = 0;
	char *text;

	reason = slice_trim(reason);
	text = arena_string(&r->arena,
	    slice_first(reason,
	        reason.len < REASON_MAX ? reason.len : REASON_MAX));
	for (const char *p = text; *p != '\0'; p++)
		if (*p != '\r')
			text[n++] = (*p & 0x80) != 0 ? '?' : *p;
	text[n] = '\0';
	recipient_answer(r, 550, "5.7.1", n == 0 ? "Refused" : text);
}

static void
notify(struct recipient *r, const struct sieve_action *action)
{
	struct delivery *d = r->delivery;
	struct worker *w = d->worker;
	struct notice_reject n = { .host = w->conf->hostname,
		.postmaster = w->conf->postmaster,
		.to = d->from_raw,
		.recipient = r->raw,
		.reason = action->text,
		.message = d->octets,
		.seconds = loop_wall(w->loop).ms / 1000 };
	struct outgoing *o = add_outgoing(r, "reject");
	struct buf b;

	n.id =
	    arena_printf(&r->arena, "%016llx", (unsigned long long)rand_u64());
	o->address = d->from_raw;
	o->to = d->from;
	buf_init(&b, NOTICE_ROOM);
	notice_put_reject(&b, &n);
	if (!buf_failed(&b))
		o->head = arena_copy(&r->arena, buf_slice(&b));
	buf_fini(&b);
}

/*
 * RFC 5429: ereject refuses in the protocol, reject prefers a notice that has
 * all of the text.  Each falls back on the other's way.
 */
static void
reject(struct recipient *r, const struct sieve_action *action)
{
	bool alone = r->result.count == 1;
	bool can_notify = r->delivery->worker->conf->smtp_relay != NULL &&
	                  r->delivery->from.local.len > 0;

	if (can_notify && (action->kind == SIEVE_REJECT || !alone))
		notify(r, action);
	else if (alone)
		refuse(r, action->text);
	else
		log_info(r->delivery->worker->log, "no notice of a rejection",
		    "sid", r->delivery->sid, "user", r->user, NULL);
}

/* --- one action after another ------------------------------------------------------ */

/* False: it waits. */
static bool
take_action(struct recipient *r, const struct sieve_action *action)
{
	switch (action->kind) {
	case SIEVE_KEEP:
		keep(r, action);
		return true;
	case SIEVE_FILEINTO:
		return file_into(r, action);
	case SIEVE_REDIRECT:
		redirect(r, action);
		return true;
	case SIEVE_REJECT:
	case SIEVE_EREJECT:
		reject(r, action);
		return true;
	case SIEVE_DISCARD:
		log_info(r->delivery->worker->log, "discarded", "sid",
		    r->delivery->sid, "to", LOG_SLICE(r->raw), "user", r->user,
		    "line", LOG_NUM(action->line), NULL);
		return true;
	}
	must_fail("an action", __FILE__, __LINE__, __func__);
}

static void
advance(struct recipient *r)
{
	while (r->at < r->result.count) {
		if (!take_action(r, action_of(r)))
			return;
		r->at++;
	}
	delivery_planned(r);
}

/* --- the run ------------------------------------------------------------------------ */

static bool
mailbox_exists(void *arg, struct slice text)
{
	struct recipient *r = arg;
	struct slice external, name;
	struct mboxrec rec;

	return name_mailbox(r, text, &external, &name) &&
	       route_look(r->delivery->worker->route, name, &rec) ==
	           ROUTE_FOUND &&
	       may_file(r, &rec);
}

static void
run_script(struct recipient *r, sieve_mailbox_exists *exists)
{
	const struct sieve_world world = { exists, r, r->separator };

	r->failed = sieve_run(r->script->program, &r->arena, &r->message,
	                &world, &r->limits, &r->result, &r->error) == -1;
}

/* In a job: the list of mailboxes is the loop's. */
static void
run_there(void *arg)
{
	run_script(arg, NULL);
}

static void
ran(void *arg)
{
	struct recipient *r = arg;

	if (!r->failed) {
		advance(r);
		return;
	}
	log_info(r->delivery->worker->log, "script failed", "sid",
	    r->delivery->sid, "user", r->user, "line", LOG_NUM(r->error.line),
	    "why", r->error.text, NULL);
	add_store(r, r->mailbox, r->server, NULL, "script failed");
	delivery_planned(r);
}

static void
run(struct recipient *r)
{
	struct delivery *d = r->delivery;
	const struct proxyd_conf *conf = d->worker->conf;
	unsigned needs = sieve_needs(r->script->program);

	r->limits = sieve_limits_default;
	r->limits.actions = (unsigned)conf->max_actions;
	r->limits.redirects = (unsigned)conf->max_redirects;
	r->separator = (uint8_t)conf->subaddress_separator[0];
	r->message = (struct sieve_message){ .octets = d->octets,
		.envelope_from = d->from_raw,
		.envelope_to = r->raw };
	if ((needs & SIEVE_NEEDS_MAILBOX) != 0 ||
	    (blob_in_memory(d->blob) && d->octets.len <= DELIVER_HERE_MAX)) {
		run_script(r, mailbox_exists);
		ran(r);
	} else
		jobs_put(d->worker->jobs, run_there, ran, r);
}

static void
plan(struct recipient *r)
{
	if (r->script->program != NULL) {
		run(r);
		return;
	}
	if (r->script->broken != NULL)
		log_info(r->delivery->worker->log,
		    "kept in INBOX for a broken script", "sid",
		    r->delivery->sid, "user", r->user, "why", r->script->broken,
		    NULL);
	keep(r, NULL);
	delivery_planned(r);
}

/* From here on the copy's word about that mailbox is enough. */
static void
detail_routed(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct recipient *r = arg;

	(void)rec; /* keep() looks again, if it comes to that */
	r->wait = NULL;
	if (answer == ROUTE_UNKNOWN)
		give_up(r, "Where the mailbox is cannot be known now");
	else
		plan(r);
}

/* A script asks whether mailboxes exist; a copy that fills does not know. */
static bool
cannot_know(const struct recipient *r)
{
	return r->script->program != NULL &&
	       (sieve_needs(r->script->program) & SIEVE_NEEDS_MAILBOX) != 0 &&
	       route_list(r->delivery->worker->route) == NULL;
}

void
deliver_plan(struct recipient *r)
{
	struct delivery *d = r->delivery;
	struct slice detail;

	MUST(r->state == RECIPIENT_READY);
	r->state = RECIPIENT_PLANNING;
	if (r->user == NULL) {
		add_plain(r, "shared mailbox");
		delivery_planned(r);
	} else if (r->script == NULL) {
		give_up(r, "The recipient's server does not answer");
	} else if (r->script->foreign) {
		add_plain(r, "its server is to run the script");
		delivery_planned(r);
	} else if (cannot_know(r)) {
		give_up(r, "The mailbox list is being filled");
	} else if (name_detail(r, &detail)) {
		r->wait = route_find(d->worker->route, &d->rate, detail,
		    detail_routed, r);
	} else {
		plan(r);
	}
}
