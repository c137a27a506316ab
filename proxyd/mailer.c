#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/blob.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/mailer.h"
#include "proxyd/mailer_state.h"
#include "proxyd/worker.h"

struct mailer *
mailer_new(struct worker *w)
{
	struct mailer *m = xcalloc(1, sizeof(*m));

	m->worker = w;
	TAILQ_INIT(&m->peers);
	return m;
}

/* --- answers -------------------------------------------------------------- */

static void
copy_text(char *to, size_t room, struct slice s)
{
	size_t n = s.len < room - 1 ? s.len : room - 1;

	if (n > 0)
		memcpy(to, s.ptr, n);
	to[n] = '\0';
}

void
mailing_answer(struct mail_rcpt *r, int code, struct slice enhanced,
    struct slice text)
{
	r->code = code;
	copy_text(r->enhanced, sizeof(r->enhanced), enhanced);
	copy_text(r->text, sizeof(r->text), text);
}

/* A recipient that was accepted has code 0 until the message is answered. */
void
mailing_end(struct mailing *m, const char *why)
{
	void (*done)(void *arg) = m->done;
	void *arg = m->arg;

	MUST(m->source.piece == NULL);
	for (size_t i = 0; i < m->mail.nrcpts; i++)
		if (m->mail.rcpts[i]->code == 0)
			mailing_answer(m->mail.rcpts[i], 451,
			    slice_str("4.4.1"), slice_str(why));
	blob_free(&m->mail.blob);
	free(m);
	done(arg);
}

/* --- the line ------------------------------------------------------------- */

static struct mailer_conn *
find_idle(struct mailer_peer *p)
{
	struct mailer_conn *c;

	TAILQ_FOREACH (c, &p->conns, entry)
		if (c->state == CONN_IDLE)
			return c;
	return NULL;
}

static size_t
count_coming(struct mailer_peer *p)
{
	struct mailer_conn *c;
	size_t n = 0;

	TAILQ_FOREACH (c, &p->conns, entry)
		n += c->state < CONN_IDLE;
	return n;
}

static void
fail_waiting(struct mailer_peer *p, const char *why)
{
	struct mailing *m;

	while ((m = TAILQ_FIRST(&p->waiting)) != NULL) {
		TAILQ_REMOVE(&p->waiting, m, entry);
		mailing_end(m, why);
	}
}

/* As many new connections as there are mailings that will get none else. */
static void
serve(void *arg)
{
	struct mailer_peer *p = arg;
	struct worker *w = p->mailer->worker;
	struct mailer_conn *c;
	struct mailing *m;
	size_t waiting = 0, coming;

	while ((m = TAILQ_FIRST(&p->waiting)) != NULL &&
	       (c = find_idle(p)) != NULL) {
		TAILQ_REMOVE(&p->waiting, m, entry);
		mailer_conn_start(c, m);
	}
	if (m != NULL && !mono_reached(p->rest_until, loop_now(w->loop))) {
		if (p->nconns == 0)
			fail_waiting(p, p->why);
		return;
	}
	TAILQ_FOREACH (m, &p->waiting, entry)
		waiting++;
	for (coming = count_coming(p);
	     coming < waiting && p->nconns < w->conf->lmtp_connections;
	     coming++)
		mailer_conn_new(p);
}

void
mailer_peer_wake(struct mailer_peer *p)
{
	task_want(p->task);
}

void
mailer_peer_failed(struct mailer_peer *p, const char *why)
{
	struct worker *w = p->mailer->worker;

	p->rest_until =
	    mono_after(loop_now(w->loop), (int64_t)w->conf->retry_ms);
	copy_text(p->why, sizeof(p->why), slice_str(why));
	log_warn(w->log, "mail server not reached", "server",
	    p->relay ? w->conf->smtp_relay : p->name, "why", why, NULL);
	if (p->nconns == 0)
		fail_waiting(p, p->why);
	mailer_peer_wake(p);
}

static struct mailer_peer *
peer_get(struct mailer *m, const char *backend)
{
	struct mailer_peer *p;

	TAILQ_FOREACH (p, &m->peers, entry)
		if (backend == NULL
		        ? p->relay
		        : !p->relay && strcmp(p->name, backend) == 0)
			return p;
	p = xcalloc(1, sizeof(*p));
	p->mailer = m;
	p->relay = backend == NULL;
	snprintf(p->name, sizeof(p->name), "%s",
	    backend == NULL ? "relay" : backend);
	TAILQ_INIT(&p->conns);
	TAILQ_INIT(&p->waiting);
	p->task = task_new(m->worker->loop, serve, p);
	TAILQ_INSERT_TAIL(&m->peers, p, entry);
	return p;
}

void
mailer_send(struct mailer *m, const struct mail *mail, void (*done)(void *arg),
    void *arg)
{
	struct mailer_peer *p = peer_get(m, mail->backend);
	struct mailing *g = xcalloc(1, sizeof(*g));

	MUST(mail->nrcpts > 0);
	g->mail = *mail;
	if (mail->blob != NULL)
		g->mail.blob = blob_ref(mail->blob);
	for (size_t i = 0; i < mail->nrcpts; i++)
		mail->rcpts[i]->code = 0;
	g->done = done;
	g->arg = arg;
	TAILQ_INSERT_TAIL(&p->waiting, g, entry);
	mailer_peer_wake(p);
}
