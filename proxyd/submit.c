#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/blob.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "proxyd/filing.h"
#include "proxyd/mailer.h"
#include "proxyd/submit.h"
#include "proxyd/worker.h"
#include "proxyd/xmurder.h"

/* It ends with its last call back. */
struct submitting {
	struct worker *worker;
	struct xmurder *xmurder;
	struct mailer *mailer;
	struct arena arena;
	char *home;
	struct slice key;
	struct blob *blob;
	struct mail_rcpt rcpt, *rcpts[1];
	struct mail mail;
	struct filing filing; /* instead, if it has a server */
	struct timer *timer;  /* when nothing else can call back */
	submit_cb *cb;
	void *arg;
};

static void
finish(struct submitting *s, int code, const char *text)
{
	s->cb(s->arg, code, text);
	timer_free(&s->timer);
	blob_free(&s->blob);
	arena_reset(&s->arena);
	free(s);
}

/* Sent it is, whether or not that is known at the next attempt. */
static void
remembered(void *arg, const struct xanswer *a)
{
	struct submitting *s = arg;

	if (a->lost || a->status != WRITE_OK)
		log_warn(s->worker->log, "mail sent, and not remembered",
		    "backend", s->home, NULL);
	finish(s, 250, s->rcpt.text);
}

static void
relayed(void *arg)
{
	struct submitting *s = arg;

	if (s->rcpt.code / 100 != 2)
		finish(s, s->rcpt.code, s->rcpt.text);
	else if (xmurder_call(s->xmurder, s->home, "XREMEMBER", &s->key, 1,
	             NULL, remembered, s) == NULL)
		finish(s, 250, s->rcpt.text);
}

static void
filed(void *arg, int code, const char *text)
{
	struct submitting *s = arg;

	s->rcpt.code = code;
	snprintf(s->rcpt.text, sizeof(s->rcpt.text), "%s", text);
	relayed(s);
}

static void
looked(void *arg, const struct xanswer *a)
{
	struct submitting *s = arg;

	if (a->lost || a->status != WRITE_OK)
		finish(s, 451, "The recipient's server does not answer");
	else if (slice_is_nocase(a->code_name, "SEEN"))
		finish(s, 250, "Was sent before");
	else if (s->filing.server != NULL)
		filing_append(s->worker, &s->filing, filed, s);
	else
		mailer_send(s->mailer, &s->mail, relayed, s);
}

static void
on_timer(void *arg)
{
	finish(arg, 451, "The recipient's server is too busy");
}

static struct lmtp_path
copy_path(struct arena *a, const struct lmtp_path *p)
{
	return (struct lmtp_path){ arena_copy(a, p->local),
		arena_copy(a, p->domain) };
}

static struct filing
copy_filing(struct arena *a, const struct submission *sub)
{
	const struct filing *f = sub->filing;

	return (struct filing){ arena_string(a, slice_str(f->server)),
		arena_string(a, slice_str(f->user)),
		arena_string(a, slice_str(f->sid)), arena_copy(a, f->mailbox),
		arena_copy(a, f->flags), arena_copy(a, sub->head), sub->blob };
}

void
submit(struct worker *w, struct xmurder *x, struct mailer *m,
    const struct submission *sub, submit_cb *cb, void *arg)
{
	struct submitting *s = xcalloc(1, sizeof(*s));
	struct slice args[2];

	s->worker = w;
	s->xmurder = x;
	s->mailer = m;
	arena_init(&s->arena);
	s->home = arena_string(&s->arena, slice_str(sub->home));
	s->key = arena_copy(&s->arena, sub->key);
	s->blob = sub->blob == NULL ? NULL : blob_ref(sub->blob);
	s->cb = cb;
	s->arg = arg;
	s->rcpts[0] = &s->rcpt;
	s->rcpt.to = copy_path(&s->arena, &sub->to);
	s->mail = (struct mail){ .from = copy_path(&s->arena, &sub->from),
		.rcpts = s->rcpts,
		.nrcpts = 1,
		.head = arena_copy(&s->arena, sub->head),
		.blob = s->blob };
	if (sub->filing != NULL)
		s->filing = copy_filing(&s->arena, sub);
	args[0] = s->key;
	args[1] = slice_str("TEST");
	if (xmurder_call(x, s->home, "XREMEMBER", args, 2, NULL, looked, s) ==
	    NULL) {
		s->timer = timer_new(w->loop, on_timer, s);
		timer_set(s->timer, 0);
	}
}
