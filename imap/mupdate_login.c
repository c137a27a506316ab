#include <stdlib.h>
#include <string.h>

#include "imap/mupdate_login.h"
#include "lib/auth.h"
#include "lib/base64.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/must.h"
#include "lib/xalloc.h"

#define TAG_TLS  "S01"
#define TAG_AUTH "A01"

enum {
	SASL_MAX = 64 * 1024, /* octets of one blob */
	MECHANISMS_MAX = 1024
};

enum state {
	STATE_BANNER,
	STATE_STARTTLS,
	STATE_AUTH
};

struct mupdate_login {
	struct mupdate_login_want want;
	enum state state;
	bool secure, offers_tls, offers_xmurder;
	struct buf mechanisms; /* space between, and a NUL when used */
	struct auth_client *client;
};

struct mupdate_login *
mupdate_login_new(const struct mupdate_login_want *w)
{
	struct mupdate_login *l = xcalloc(1, sizeof(*l));

	l->want = *w;
	buf_init(&l->mechanisms, MECHANISMS_MAX);
	return l;
}

void
mupdate_login_free(struct mupdate_login **lp)
{
	struct mupdate_login *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	auth_client_free(&l->client);
	buf_fini(&l->mechanisms);
	free(l);
}

static enum mupdate_login_step
fail(struct err *err, const char *what, struct slice text)
{
	(void)err_set(err, "%s: %.*s", what,
	    (int)(text.len < 200 ? text.len : 200), (const char *)text.ptr);
	return MUPDATE_LOGIN_FAILED;
}

static enum mupdate_login_step
begin_auth(struct mupdate_login *l, struct mupdate *m, struct buf *out,
    struct err *err)
{
	struct buf first, coded;
	struct slice args[2];
	size_t n = 1;

	buf_putc(&l->mechanisms, '\0');
	if (buf_failed(&l->mechanisms))
		return fail(err, "the banner offers too much", slice_str(""));
	if (auth_client_new(&l->client, "mupdate", l->want.host, l->want.secret,
	        (const char *)buf_data(&l->mechanisms), l->want.external,
	        err) == -1)
		return MUPDATE_LOGIN_FAILED;
	buf_init(&first, SASL_MAX);
	buf_init(&coded, SASL_MAX * 2);
	args[0] = slice_str(auth_client_mechanism(l->client));
	if (auth_client_first(l->client, &first)) {
		base64_encode(&coded, buf_slice(&first));
		args[n++] = buf_slice(&coded);
	}
	mupdate_put_command(out, TAG_AUTH, MUPDATE_CMD_AUTHENTICATE, args, n);
	buf_fini(&first);
	buf_fini(&coded);
	mupdate_expect_line(m, TAG_AUTH);
	l->state = STATE_AUTH;
	return MUPDATE_LOGIN_WAIT;
}

static void
note_mechanisms(struct mupdate_login *l, const struct mupdate_message *msg)
{
	for (size_t i = 0; i < msg->nargs; i++) {
		if (buf_len(&l->mechanisms) > 0)
			buf_putc(&l->mechanisms, ' ');
		buf_put_slice(&l->mechanisms, msg->args[i]);
	}
}

static enum mupdate_login_step
take_banner(struct mupdate_login *l, struct mupdate *m, struct buf *out,
    struct err *err)
{
	const struct mupdate_message *msg = mupdate_message(m);

	switch (msg->id) {
	case MUPDATE_CAP_AUTH:
		note_mechanisms(l, msg);
		return MUPDATE_LOGIN_WAIT;
	case MUPDATE_CAP_STARTTLS:
		l->offers_tls = true;
		return MUPDATE_LOGIN_WAIT;
	case MUPDATE_CAP_XMURDER:
		/* A later version is another word, so any number will do. */
		l->offers_xmurder = true;
		return MUPDATE_LOGIN_WAIT;
	case MUPDATE_CAP_OTHER:
		return MUPDATE_LOGIN_WAIT;
	case MUPDATE_BANNER:
		break;
	case MUPDATE_BYE:
		return fail(err, "the server says BYE",
		    msg->nargs > 0 ? msg->args[0] : slice_str(""));
	default:
		return fail(err, "no MUPDATE banner", slice_str(""));
	}
	if (!l->want.starttls || l->secure)
		return begin_auth(l, m, out, err);
	if (!l->offers_tls)
		return fail(err, "the server does not offer STARTTLS",
		    slice_str("set up its certificate, or turn TLS off here"));
	mupdate_put_command(out, TAG_TLS, MUPDATE_CMD_STARTTLS, NULL, 0);
	l->state = STATE_STARTTLS;
	return MUPDATE_LOGIN_WAIT;
}

static enum mupdate_login_step
take_starttls(struct mupdate_login *l, struct mupdate *m, struct err *err)
{
	const struct mupdate_message *msg = mupdate_message(m);

	if (msg->id != MUPDATE_OK || !slice_is(msg->tag, TAG_TLS))
		return fail(err, "STARTTLS refused",
		    msg->nargs > 0 ? msg->args[0] : slice_str(""));
	mupdate_reset(m);
	buf_fini(&l->mechanisms);
	l->secure = true;
	l->offers_xmurder = false; /* what was said in the clear is void */
	l->state = STATE_BANNER;
	return MUPDATE_LOGIN_TLS;
}

static enum mupdate_login_step
take_challenge(struct mupdate_login *l, struct mupdate *m, struct buf *out,
    struct err *err)
{
	enum mupdate_login_step step = MUPDATE_LOGIN_WAIT;
	struct buf in, answer;

	buf_init(&in, SASL_MAX);
	buf_init(&answer, SASL_MAX);
	if (base64_decode(&in, mupdate_line(m)) == -1)
		step = fail(err, "a challenge is not base64", slice_str(""));
	else if (auth_client_step(l->client, buf_slice(&in), &answer, err) ==
	         -1)
		step = MUPDATE_LOGIN_FAILED;
	else
		mupdate_put_line(out, buf_slice(&answer));
	buf_fini(&in);
	buf_fini(&answer);
	if (step == MUPDATE_LOGIN_WAIT)
		mupdate_expect_line(m, TAG_AUTH);
	return step;
}

static enum mupdate_login_step
take_result(struct mupdate *m, struct err *err)
{
	const struct mupdate_message *msg = mupdate_message(m);

	if (msg->id == MUPDATE_OK && slice_is(msg->tag, TAG_AUTH))
		return MUPDATE_LOGIN_DONE;
	return fail(err, "login refused",
	    msg->nargs > 0 ? msg->args[0] : slice_str(""));
}

enum mupdate_login_step
mupdate_login_take(struct mupdate_login *l, struct mupdate *m,
    enum mupdate_event ev, struct buf *out, struct err *err)
{
	MUST(ev == MUPDATE_MESSAGE || ev == MUPDATE_LINE);
	if (ev == MUPDATE_LINE) {
		MUST(l->state == STATE_AUTH);
		return take_challenge(l, m, out, err);
	}
	if (mupdate_message(m)->id == -1)
		return fail(err, "not MUPDATE",
		    slice_str(mupdate_message(m)->error));
	switch (l->state) {
	case STATE_BANNER:
		return take_banner(l, m, out, err);
	case STATE_STARTTLS:
		return take_starttls(l, m, err);
	case STATE_AUTH:
		return take_result(m, err);
	}
	must_fail("a state", __FILE__, __LINE__, __func__);
}

bool
mupdate_login_xmurder(const struct mupdate_login *l)
{
	return l->offers_xmurder;
}
