#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap/parse.h"
#include "imap/sieve/sieve.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/script.h"
#include "proxyd/worker.h"
#include "proxyd/xmurder.h"

enum {
	ETAG_MAX = 64
};

/* What is remembered of a user. */
struct entry {
	TAILQ_ENTRY(entry) entry;
	char *user;
	char etag[ETAG_MAX + 1];
	struct script *script;
};

struct scripts {
	struct worker *worker;
	struct xmurder *xmurder;
	struct map users;
	TAILQ_HEAD(, entry) recent; /* last used last */
};

struct script_wait {
	struct scripts *scripts;
	char *user;
	struct xcall *call;
	struct timer *timer;
	struct script *script; /* the answer so far */
	script_cb *cb;
	void *arg;
};

struct scripts *
scripts_new(struct worker *w, struct xmurder *x)
{
	struct scripts *s = xcalloc(1, sizeof(*s));

	s->worker = w;
	s->xmurder = x;
	map_init(&s->users);
	TAILQ_INIT(&s->recent);
	return s;
}

struct script *
script_ref(struct script *s)
{
	s->refs++;
	return s;
}

void
script_unref(struct script **sp)
{
	struct script *s = *sp;

	*sp = NULL;
	if (s == NULL)
		return;
	MUST(s->refs > 0);
	if (--s->refs > 0)
		return;
	sieve_free(&s->program);
	free(s->broken);
	free(s);
}

/* --- what is remembered ------------------------------------------------------ */

static void
forget(struct scripts *s, struct entry *e)
{
	(void)map_remove(&s->users, slice_str(e->user)); /* it is e */
	TAILQ_REMOVE(&s->recent, e, entry);
	script_unref(&e->script);
	free(e->user);
	free(e);
}

static struct entry *
find(struct scripts *s, const char *user)
{
	struct entry *e = map_find(&s->users, slice_str(user));

	if (e != NULL) {
		TAILQ_REMOVE(&s->recent, e, entry);
		TAILQ_INSERT_TAIL(&s->recent, e, entry);
	}
	return e;
}

static void
remember(struct scripts *s, const char *user, struct slice etag,
    struct script *script)
{
	struct entry *e = find(s, user);

	if (etag.len > ETAG_MAX || s->worker->conf->script_cache == 0)
		return;
	if (e == NULL) {
		if (map_count(&s->users) >= s->worker->conf->script_cache)
			forget(s, TAILQ_FIRST(&s->recent));
		e = xcalloc(1, sizeof(*e));
		e->user = xstrdup(user);
		TAILQ_INSERT_TAIL(&s->recent, e, entry);
		(void)map_put(&s->users, slice_str(user), e); /* it is new */
	}
	script_unref(&e->script);
	e->script = script_ref(script);
	snprintf(e->etag, sizeof(e->etag), "%.*s", (int)etag.len,
	    (const char *)etag.ptr);
}

/* --- asking ------------------------------------------------------------------- */

static struct script *
compile(struct scripts *s, const char *user, struct slice text)
{
	struct sieve_limits limits = sieve_limits_default;
	struct script *script = xcalloc(1, sizeof(*script));
	struct sieve_error error;
	char why[300];

	script->refs = 1;
	if (text.len == 0)
		return script;
	limits.script_octets = s->worker->conf->script_max;
	script->program = sieve_compile(text, &limits, &error);
	if (script->program == NULL) {
		snprintf(why, sizeof(why), "line %u: %s", error.line,
		    error.text);
		script->broken = xstrdup(why);
		log_info(s->worker->log, "script does not compile", "user",
		    user, "why", why, NULL);
	}
	return script;
}

/* "etag", or "etag" ~{n} if it is another than the one we told. */
static void
take_data(void *arg, struct parse *p)
{
	struct script_wait *w = arg;
	struct slice etag, text;
	struct entry *e;

	parse_sp(p);
	etag = parse_astring(p);
	if (parse_error(p) != NULL)
		return;
	script_unref(&w->script);
	if (!parse_try(p, ' ')) {
		e = find(w->scripts, w->user);
		if (e != NULL && slice_is(etag, e->etag))
			w->script = script_ref(e->script);
		return;
	}
	text = parse_string(p);
	if (parse_error(p) != NULL)
		return;
	w->script = compile(w->scripts, w->user, text);
	remember(w->scripts, w->user, etag, w->script);
}

static void
finish(struct script_wait *w)
{
	struct script *script = w->script;
	script_cb *cb = w->cb;
	void *arg = w->arg;

	w->script = NULL;
	script_cancel(&w);
	cb(arg, script);
	script_unref(&script);
}

static void
on_done(void *arg, const struct xanswer *a)
{
	struct script_wait *w = arg;

	w->call = NULL;
	if (a->lost || a->status != WRITE_OK)
		script_unref(&w->script);
	if (a->foreign) {
		w->script = compile(w->scripts, w->user, slice_of("", 0));
		w->script->foreign = true;
	}
	finish(w);
}

static void
on_timer(void *arg)
{
	struct script_wait *w = arg;

	script_unref(&w->script);
	finish(w);
}

struct script_wait *
script_ask(struct scripts *s, const char *user, const char *server,
    script_cb *cb, void *arg)
{
	struct script_wait *w = xcalloc(1, sizeof(*w));
	struct entry *e = find(s, user);
	struct slice args[2] = { slice_str(user),
		slice_str(e == NULL ? "" : e->etag) };

	w->scripts = s;
	w->user = xstrdup(user);
	w->cb = cb;
	w->arg = arg;
	w->timer = timer_new(s->worker->loop, on_timer, w);
	w->call = xmurder_call(s->xmurder, server, "XSCRIPT GET", args,
	    e == NULL ? 1 : 2, take_data, on_done, w);
	timer_set(w->timer,
	    w->call == NULL ? 0 : (int64_t)s->worker->conf->backend_ms);
	return w;
}

void
script_cancel(struct script_wait **wp)
{
	struct script_wait *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	xcall_cancel(&w->call);
	timer_free(&w->timer);
	script_unref(&w->script);
	free(w->user);
	free(w);
}
