#include <stdlib.h>

#include "lib/auth_line.h"
#include "lib/base64.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

struct auth_line {
	struct auth_exchange *exchange; /* NULL: only a last line is awaited */
	enum auth_line_last last;
	auth_line_cb *cb;
	void *arg;
	char *authcid, *authzid; /* proven, but for that line */
};

static void
line_free(struct auth_line *x)
{
	free(x->authcid);
	free(x->authzid);
	free(x);
}

static void
finish(struct auth_line *x, const struct auth_line_answer *a)
{
	MUST(x->exchange == NULL);
	x->cb(x->arg, a);
	line_free(x);
}

static void
accept_login(struct auth_line *x, const char *coded)
{
	finish(x, &(struct auth_line_answer){ .result = AUTH_LINE_OK,
	              .coded = coded,
	              .authcid = x->authcid,
	              .authzid = x->authzid });
}

static void
take_ok(struct auth_line *x, const struct auth_answer *a, const char *coded)
{
	x->authcid = xstrdup(a->authcid);
	x->authzid = xstrdup(a->authzid == NULL ? "" : a->authzid);
	if (coded == NULL || x->last == AUTH_LINE_LAST_WITH_RESULT)
		accept_login(x, coded);
	else
		x->cb(x->arg,
		    &(struct auth_line_answer){ .result = AUTH_LINE_CHALLENGE,
		        .coded = coded });
}

static void
take(struct auth_line *x, const struct auth_answer *a, const char *coded)
{
	if (a->result != AUTH_CONTINUE)
		x->exchange = NULL; /* it frees itself */
	switch (a->result) {
	case AUTH_CONTINUE:
		x->cb(x->arg,
		    &(struct auth_line_answer){ .result = AUTH_LINE_CHALLENGE,
		        .coded = coded });
		return;
	case AUTH_OK:
		take_ok(x, a, coded);
		return;
	case AUTH_FAIL:
		finish(x, &(struct auth_line_answer){ .result = AUTH_LINE_FAIL,
		              .text = a->text });
		return;
	case AUTH_UNAVAILABLE:
		finish(x,
		    &(struct auth_line_answer){ .result = AUTH_LINE_UNAVAILABLE,
		        .text = a->text });
		return;
	}
}

static void
on_answer(void *arg, const struct auth_answer *a)
{
	struct buf coded;

	if (a->result != AUTH_CONTINUE &&
	    !(a->result == AUTH_OK && a->has_challenge)) {
		take(arg, a, NULL);
		return;
	}
	buf_init(&coded, a->challenge.len * 2 + 8);
	base64_encode(&coded, a->challenge);
	buf_putc(&coded, '\0');
	MUST(!buf_failed(&coded));
	take(arg, a, (const char *)buf_data(&coded));
	buf_fini(&coded);
}

/* Decoded into storage that does not move: growing would leave copies. */
static int
decode(struct buf *out, struct slice line)
{
	size_t n = AUTH_LINE_MAX;

	buf_init(out, AUTH_LINE_MAX);
	(void)buf_space(out, &n); /* all of it now */
	return line.len > AUTH_LINE_MAX ? -1 : base64_decode(out, line);
}

static void
forget(struct buf *b)
{
	if (b->area != NULL)
		wipe(b->area, b->size);
	buf_fini(b);
}

static struct auth_line *
line_new(auth_line_cb *cb, void *arg)
{
	struct auth_line *x = xcalloc(1, sizeof(*x));

	x->cb = cb;
	x->arg = arg;
	return x;
}

struct auth_line *
auth_line_start(struct auth *a, const struct auth_peer *p,
    const char *mechanism, struct slice initial, enum auth_line_last last,
    auth_line_cb *cb, void *arg)
{
	struct auth_line *x = NULL;
	struct slice octets;
	struct buf plain;

	if (slice_is(initial, "="))
		initial.len = 0;
	if (decode(&plain, initial) == 0) {
		octets = buf_slice(&plain);
		x = line_new(cb, arg);
		x->last = last;
		x->exchange = auth_start(a, p, mechanism,
		    initial.ptr == NULL ? NULL : &octets, on_answer, x);
	}
	forget(&plain);
	return x;
}

struct auth_line *
auth_line_login(struct auth *a, const struct auth_peer *p, struct slice user,
    struct slice password, auth_line_cb *cb, void *arg)
{
	struct auth_line *x = line_new(cb, arg);

	/* There is no last word to a password. */
	x->exchange = auth_login(a, p, user, password, on_answer, x);
	return x;
}

static void
give_up(struct auth_line *x, enum auth_line_result result)
{
	auth_cancel(&x->exchange);
	finish(x, &(struct auth_line_answer){ .result = result });
}

void
auth_line_put(struct auth_line *x, struct slice line)
{
	struct buf plain;

	if (slice_is(line, "*")) {
		give_up(x, AUTH_LINE_CANCELLED);
		return;
	}
	if (decode(&plain, line) == -1)
		give_up(x, AUTH_LINE_MALFORMED);
	else if (x->exchange != NULL)
		auth_step(x->exchange, buf_slice(&plain));
	else if (buf_len(&plain) > 0)
		give_up(x, AUTH_LINE_MALFORMED);
	else
		accept_login(x, NULL);
	forget(&plain);
}

void
auth_line_cancel(struct auth_line **xp)
{
	struct auth_line *x = *xp;

	*xp = NULL;
	if (x == NULL)
		return;
	auth_cancel(&x->exchange);
	line_free(x);
}
