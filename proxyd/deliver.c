#include <stdlib.h>
#include <string.h>

#include "imap/trace.h"
#include "lib/blob.h"
#include "lib/buf.h"
#include "lib/hash.h"
#include "lib/jobs.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "proxyd/deliver.h"
#include "proxyd/deliver_state.h"
#include "proxyd/mailer.h"
#include "proxyd/route.h"
#include "proxyd/script.h"
#include "proxyd/worker.h"
#include "proxyd/xmurder.h"

enum {
	TRACE_MAX = 8192,
	FIRST_RECIPIENTS = 4
};

struct deliveries *
deliveries_new(struct worker *w, void (*gone)(void *arg), void *arg)
{
	struct deliveries *ds = xcalloc(1, sizeof(*ds));

	ds->worker = w;
	ds->xmurder = xmurder_new(w);
	ds->scripts = scripts_new(w, ds->xmurder);
	ds->mailer = mailer_new(w);
	ds->gone = gone;
	ds->arg = arg;
	return ds;
}

size_t
deliveries_left(const struct deliveries *ds)
{
	return ds->left;
}

static struct lmtp_path
copy_path(struct arena *a, const struct lmtp_path *p)
{
	return (struct lmtp_path){ arena_copy(a, p->local),
		arena_copy(a, p->domain) };
}

/* --- the end ------------------------------------------------------------------ */

static void
recipient_free(struct recipient *r)
{
	script_cancel(&r->script_wait);
	script_unref(&r->script);
	route_cancel(&r->wait);
	arena_reset(&r->arena);
	free(r);
}

static void
delivery_free(struct delivery *d)
{
	for (size_t i = 0; i < d->n; i++)
		recipient_free(d->recipients[i]);
	task_free(&d->task);
	blob_free(&d->blob);
	arena_reset(&d->arena);
	free(d->recipients);
	free(d);
}

static void
finish(struct delivery *d)
{
	struct deliveries *ds = d->all;

	d->state = DELIVERY_DONE;
	if (!d->left) {
		d->done(d->arg);
		return;
	}
	delivery_free(d);
	ds->left--;
	ds->gone(ds->arg);
}

void
delivery_leave(struct delivery **dp)
{
	struct delivery *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	MUST(!d->left);
	if (d->state == DELIVERY_OPEN || d->state == DELIVERY_DONE) {
		delivery_free(d);
		return;
	}
	d->left = true;
	d->all->left++;
}

/* --- recipients --------------------------------------------------------------- */

struct delivery *
delivery_new(struct deliveries *ds, const struct lmtp_path *from,
    struct slice raw, const char *sid)
{
	struct delivery *d = xcalloc(1, sizeof(*d));

	d->all = ds;
	d->rate = ROUTE_RATE_MX;
	d->worker = ds->worker;
	arena_init(&d->arena);
	d->sid = arena_string(&d->arena, slice_str(sid));
	d->from = copy_path(&d->arena, from);
	d->from_raw = arena_copy(&d->arena, raw);
	return d;
}

size_t
delivery_count(const struct delivery *d)
{
	return d->n;
}

static void
script_came(void *arg, struct script *script)
{
	struct recipient *r = arg;

	r->script_wait = NULL;
	r->script = script == NULL ? NULL : script_ref(script);
	r->state = RECIPIENT_READY;
	if (r->delivery->state == DELIVERY_PLANNING)
		deliver_plan(r);
}

static const struct recipient *
find_same(const struct delivery *d, struct slice raw)
{
	for (size_t i = 0; i < d->n; i++)
		if (slice_equal(d->recipients[i]->raw, raw))
			return d->recipients[i];
	return NULL;
}

static void
append(struct delivery *d, struct recipient *r)
{
	if (d->n == d->size) {
		d->size = d->size == 0 ? FIRST_RECIPIENTS : d->size * 2;
		d->recipients =
		    xrealloc(d->recipients, d->size * sizeof(d->recipients[0]));
	}
	d->recipients[d->n++] = r;
}

void
delivery_add(struct delivery *d, const struct delivery_address *a)
{
	struct recipient *r = xcalloc(1, sizeof(*r));

	MUST(d->state == DELIVERY_OPEN);
	r->delivery = d;
	arena_init(&r->arena);
	r->same = find_same(d, a->raw);
	r->path = copy_path(&r->arena, &a->path);
	r->raw = arena_copy(&r->arena, a->raw);
	r->detail = arena_copy(&r->arena, a->detail);
	r->mailbox = arena_copy(&r->arena, a->mailbox);
	r->server = arena_string(&r->arena, slice_str(a->server));
	r->state = RECIPIENT_READY;
	append(d, r);
	if (a->user.len == 0)
		return;
	r->user = arena_string(&r->arena, a->user);
	if (r->same != NULL)
		return;
	r->state = RECIPIENT_ASKING;
	r->script_wait =
	    script_ask(d->all->scripts, r->user, r->server, script_came, r);
}

/* --- the message ---------------------------------------------------------------- */

void
recipient_answer(struct recipient *r, int code, const char *enhanced,
    const char *text)
{
	if (stores_worse(r->code, code) == r->code)
		return;
	r->code = code;
	r->enhanced = enhanced;
	r->text = text;
}

void
delivery_sent(struct delivery *d)
{
	MUST(d->pending > 0);
	if (--d->pending == 0)
		finish(d);
}

static void
one_planned(struct delivery *d)
{
	MUST(d->unplanned > 0);
	if (--d->unplanned > 0)
		return;
	d->state = DELIVERY_SENDING;
	/* One for ourselves, so that it does not end while it begins. */
	d->pending = 1;
	deliver_send(d);
	delivery_sent(d);
}

void
delivery_planned(struct recipient *r)
{
	MUST(r->state == RECIPIENT_PLANNING);
	r->state = RECIPIENT_PLANNED;
	one_planned(r->delivery);
}

static void
make_digest(void *arg)
{
	struct delivery *d = arg;
	struct hash_sha256 *h = hash_sha256_new();

	hash_sha256_put(h, d->octets.ptr, d->octets.len);
	hash_sha256_end(&h, d->digest);
}

/* Whose script is not known yet come by script_came(). */
static void
begin(void *arg)
{
	struct delivery *d = arg;

	d->state = DELIVERY_PLANNING;
	d->unplanned = 1; /* ourselves */
	for (size_t i = 0; i < d->n; i++)
		if (d->recipients[i]->same == NULL)
			d->unplanned++;
	for (size_t i = 0; i < d->n; i++)
		if (d->recipients[i]->same == NULL &&
		    d->recipients[i]->state == RECIPIENT_READY)
			deliver_plan(d->recipients[i]);
	one_planned(d);
}

static void
begin_here(void *arg)
{
	make_digest(arg);
	begin(arg);
}

static void
make_trace(struct delivery *d, const struct trace *t)
{
	struct buf b;

	buf_init(&b, TRACE_MAX);
	trace_put(&b, t);
	if (!buf_failed(&b))
		d->trace = arena_copy(&d->arena, buf_slice(&b));
	buf_clear(&b);
	trace_put_received(&b, t);
	if (!buf_failed(&b))
		d->received = arena_copy(&d->arena, buf_slice(&b));
	buf_fini(&b);
}

void
delivery_run(struct delivery *d, const struct trace *trace, struct blob *blob,
    void (*done)(void *arg), void *arg)
{
	MUST(d->state == DELIVERY_OPEN && d->n > 0);
	d->state = DELIVERY_READING;
	make_trace(d, trace);
	d->blob = blob_ref(blob);
	d->octets = blob_slice(blob);
	d->done = done;
	d->arg = arg;
	if (blob_in_memory(blob) && d->octets.len <= DELIVER_HERE_MAX) {
		d->task = task_new(d->worker->loop, begin_here, d);
		task_want(d->task);
	} else
		jobs_put(d->worker->jobs, make_digest, begin, d);
}

struct delivery_answer
delivery_answer(const struct delivery *d, size_t n)
{
	const struct recipient *r = d->recipients[n];

	if (r->same != NULL)
		r = r->same;
	MUST(r->code != 0);
	return (struct delivery_answer){ r->code, r->enhanced, r->text };
}
