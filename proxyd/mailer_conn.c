/*
 * A connection to a mail server: greeting, LHLO or EHLO, STARTTLS and AUTH
 * towards backends, then one mailing after another.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/arena.h"
#include "lib/auth.h"
#include "lib/base64.h"
#include "lib/blob.h"
#include "lib/buf.h"
#include "lib/dial.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/mailer_state.h"
#include "proxyd/worker.h"

enum {
	CONN_MAGIC = 0x6d61696c,
	CONN_IN = 64 * 1024,
	CONN_OUT = 256 * 1024,
	IDLE_MS = 60 * 1000,
	SASL_MAX = 4096
};

static struct mailer_conn *
conn_of(void *arg)
{
	struct mailer_conn *c = arg;

	MUST(c->magic == CONN_MAGIC);
	return c;
}

static struct worker *
worker_of(const struct mailer_conn *c)
{
	return c->peer->mailer->worker;
}

/* --- the end ---------------------------------------------------------------- */

static void
release(void *arg)
{
	free(arg);
}

/* An old connection that broke before it said anything: try another. */
static bool
is_stale(const struct mailer_conn *c)
{
	return c->used > 1 && c->mailing->answered == 0 && !c->mailing->again;
}

static void
drop_mailing(struct mailer_conn *c, const char *why)
{
	struct mailing *m = c->mailing;

	if (m == NULL)
		return;
	if (is_stale(c)) {
		m->again = true;
		TAILQ_INSERT_HEAD(&c->peer->waiting, m, entry);
		c->mailing = NULL;
		return;
	}
	c->mailing = NULL;
	mailer_source_rewind(&m->source);
	mailing_end(m, why);
}

static void
conn_close(struct mailer_conn *c, const char *why)
{
	struct mailer_peer *p = c->peer;
	bool made = c->state >= CONN_IDLE;

	if (c->state == CONN_CLOSED)
		return;
	if (made && c->mailing != NULL)
		log_info(worker_of(c)->log, "mail connection lost", "server",
		    p->name, "why", why, NULL);
	c->state = CONN_CLOSED;
	TAILQ_REMOVE(&p->conns, c, entry);
	p->nconns--;
	dial_free(&c->dial);
	stream_free(&c->stream);
	timer_free(&c->timer);
	auth_client_free(&c->auth);
	drop_mailing(c, why);
	c->magic = 0;
	loop_at_end(worker_of(c)->loop, release, c);
	if (made)
		mailer_peer_wake(p);
	else
		mailer_peer_failed(p, why);
}

static void
on_timer(void *arg)
{
	conn_close(conn_of(arg), "the mail server does not answer");
}

static void
expect_answer(struct mailer_conn *c)
{
	timer_set(c->timer, (int64_t)worker_of(c)->conf->command_ms);
}

/* --- getting in -------------------------------------------------------------- */

static void
become_idle(struct mailer_conn *c)
{
	c->state = CONN_IDLE;
	timer_set(c->timer, IDLE_MS);
	mailer_peer_wake(c->peer);
}

static void
say_hello(struct mailer_conn *c)
{
	const char *host = worker_of(c)->conf->hostname;
	char line[300];

	c->pipelining = c->eight = c->size = c->starttls = c->xmurder = false;
	c->mechanisms[0] = '\0';
	if (c->peer->relay) {
		snprintf(line, sizeof(line), "EHLO %s", host);
		lmtp_put_command(stream_out(c->stream), line);
	} else
		lmtp_put_lhlo(stream_out(c->stream), host);
	c->state = CONN_HELLO;
	stream_flush(c->stream);
}

static void
take_keyword(struct mailer_conn *c, struct slice s)
{
	struct slice word = slice_first(s, slice_find(s, ' '));

	if (slice_is_nocase(word, "PIPELINING"))
		c->pipelining = true;
	else if (slice_is_nocase(word, "8BITMIME"))
		c->eight = true;
	else if (slice_is_nocase(word, "SIZE"))
		c->size = true;
	else if (slice_is_nocase(word, "XMURDER"))
		c->xmurder = true;
	else if (slice_is_nocase(word, "STARTTLS"))
		c->starttls = true;
	else if (slice_is_nocase(word, "AUTH") && s.len > word.len + 1 &&
	         s.len < sizeof(c->mechanisms))
		snprintf(c->mechanisms, sizeof(c->mechanisms), "%.*s",
		    (int)(s.len - word.len - 1),
		    (const char *)s.ptr + word.len + 1);
}

static void
authenticate(struct mailer_conn *c)
{
	const struct proxyd_conf *conf = worker_of(c)->conf;
	const struct auth_secret secret = { .authcid = conf->proxy_user,
		.password = conf->proxy_password,
		.mechanisms = conf->proxy_mechanisms };
	struct buf first, coded;
	struct err err;
	bool has_first;

	if (auth_client_new(&c->auth, "lmtp", c->peer->name, &secret,
	        c->mechanisms, conf->backend_cert != NULL, &err) == -1) {
		conn_close(c, err.text);
		return;
	}
	buf_init(&first, SASL_MAX);
	buf_init(&coded, SASL_MAX * 2);
	has_first = auth_client_first(c->auth, &first);
	base64_encode(&coded, buf_slice(&first));
	lmtp_put_auth(stream_out(c->stream), auth_client_mechanism(c->auth),
	    !has_first             ? slice_of(NULL, 0)
	    : buf_len(&coded) == 0 ? slice_str("=")
	                           : buf_slice(&coded));
	if (first.area != NULL)
		wipe(first.area, first.size);
	buf_fini(&first);
	buf_fini(&coded);
	c->state = CONN_AUTH;
	stream_flush(c->stream);
}

static void
challenge(struct mailer_conn *c, struct slice text)
{
	struct buf in, out, coded;
	struct err err;
	bool good;

	buf_init(&in, SASL_MAX);
	buf_init(&out, SASL_MAX);
	buf_init(&coded, SASL_MAX * 2);
	good = base64_decode(&in, text) == 0 &&
	       auth_client_step(c->auth, buf_slice(&in), &out, &err) == 0;
	base64_encode(&coded, buf_slice(&out));
	lmtp_put_line(stream_out(c->stream),
	    good ? buf_slice(&coded) : slice_str("*"));
	if (out.area != NULL)
		wipe(out.area, out.size);
	buf_fini(&in);
	buf_fini(&out);
	buf_fini(&coded);
	stream_flush(c->stream);
}

static void
hello_said(struct mailer_conn *c)
{
	const struct proxyd_conf *conf = worker_of(c)->conf;

	if (c->peer->relay) {
		become_idle(c);
	} else if (conf->backend_tls != CONF_TLS_NO &&
	           !stream_is_secure(c->stream)) {
		if (!c->starttls) {
			conn_close(c, "the backend does not offer STARTTLS");
			return;
		}
		lmtp_put_command(stream_out(c->stream), "STARTTLS");
		c->state = CONN_STARTTLS;
		stream_flush(c->stream);
	} else if (!c->xmurder && c->mechanisms[0] == '\0') {
		become_idle(c); /* it trusts whoever can connect */
	} else
		authenticate(c);
}

static void
start_tls(struct mailer_conn *c)
{
	struct worker *w = worker_of(c);
	struct err err;

	c->state = CONN_HANDSHAKE;
	if (stream_start_tls(c->stream, w->backend_tls,
	        w->conf->backend_ca != NULL ? c->peer->name : NULL, &err) == -1)
		conn_close(c, err.text);
}

/* --- the envelope ---------------------------------------------------------------- */

static void
put_mail(struct mailer_conn *c, struct mailing *m)
{
	char size[40] = "", session[40] = "", all[120];

	if (c->size)
		snprintf(size, sizeof(size), " SIZE=%llu",
		    (unsigned long long)mailer_source_octets(&m->source));
	if (c->xmurder && m->mail.sid != NULL)
		snprintf(session, sizeof(session), " XSESSION=%.20s",
		    m->mail.sid);
	snprintf(all, sizeof(all), "%s%s%s", size,
	    c->eight ? " BODY=8BITMIME" : "", session);
	lmtp_put_mail(stream_out(c->stream), &m->mail.from, all);
}

static void
put_rcpt(struct mailer_conn *c, const struct mail_rcpt *r)
{
	struct buf *out = stream_out(c->stream);

	if (c->peer->relay)
		lmtp_put_rcpt(out, &r->to, NULL);
	else if (c->xmurder)
		lmtp_put_rcpt(out, &r->to, &r->target);
	else
		lmtp_put_rcpt(out, &r->plain, NULL);
}

/* One after another, or all at once as far as there is room. */
static void
put_envelope(struct mailer_conn *c)
{
	struct mailing *m = c->mailing;
	struct buf *out = stream_out(c->stream);
	size_t total = m->mail.nrcpts + 2;

	while (m->sent < total && buf_room(out) >= LMTP_LINE_MAX &&
	       (c->pipelining || m->sent == m->answered)) {
		if (m->sent == 0)
			put_mail(c, m);
		else if (m->sent < total - 1) {
			put_rcpt(c, m->mail.rcpts[m->sent - 1]);
		} else
			lmtp_put_command(out, "DATA");
		m->sent++;
	}
	stream_flush(c->stream);
}

static void
end_mailing(struct mailer_conn *c)
{
	struct mailing *m = c->mailing;

	c->mailing = NULL;
	if (c->state == CONN_FINAL)
		become_idle(c);
	else {
		/* The server has an envelope that came to nothing. */
		lmtp_put_command(stream_out(c->stream), "RSET");
		stream_flush(c->stream);
		c->state = CONN_RSET;
	}
	mailing_end(m, "the mail server gave no answer");
}

static void
refuse_rest(struct mailing *m, const struct lmtp_reply *r)
{
	for (size_t i = 0; i < m->mail.nrcpts; i++)
		if (m->mail.rcpts[i]->code == 0)
			mailing_answer(m->mail.rcpts[i],
			    r->code < 400 ? 451 : r->code, r->enhanced,
			    r->text);
}

/* Past those whose RCPT was refused. */
static void
skip_refused(struct mailing *m)
{
	while (m->next < m->mail.nrcpts && m->mail.rcpts[m->next]->code != 0)
		m->next++;
}

static void put_body(struct mailer_conn *c);

static void
data_answered(struct mailer_conn *c, const struct lmtp_reply *r)
{
	struct mailing *m = c->mailing;

	if (r->code == 354 && m->accepted > 0) {
		c->state = CONN_BODY;
		skip_refused(m);
		put_body(c);
	} else if (r->code == 354) {
		/* It wants a message that nobody is to get. */
		conn_close(c, "DATA accepted without recipients");
	} else {
		refuse_rest(m, r);
		end_mailing(c);
	}
}

static void
envelope_answered(struct mailer_conn *c, const struct lmtp_reply *r)
{
	struct mailing *m = c->mailing;
	size_t which = m->answered++;

	if (which >= m->sent) {
		conn_close(c, "an answer to nothing we asked");
		return;
	}
	if (which == 0) {
		m->mail_code = r->code;
		if (r->code / 100 != 2)
			refuse_rest(m, r);
	} else if (which <= m->mail.nrcpts) {
		struct mail_rcpt *to = m->mail.rcpts[which - 1];

		if (m->mail_code / 100 != 2)
			; /* answered already */
		else if (r->code / 100 == 2)
			m->accepted++;
		else
			mailing_answer(to, r->code < 400 ? 451 : r->code,
			    r->enhanced, r->text);
	} else {
		data_answered(c, r);
		return;
	}
	put_envelope(c);
}

/* --- the message -------------------------------------------------------------------- */

static void
piece_read(void *arg)
{
	struct mailer_conn *c = conn_of(arg);

	put_body(c);
}

static void
put_body(struct mailer_conn *c)
{
	struct mailing *m = c->mailing;
	struct buf *out = stream_out(c->stream);
	struct slice s;

	while (buf_room(out) > 4096 &&
	       mailer_source_next(&m->source, worker_of(c)->jobs, piece_read, c,
	           &s)) {
		size_t most = buf_room(out) / 2 - 64;

		if (s.len == 0) {
			lmtp_dot_end(&m->dot, out);
			c->state = CONN_FINAL;
			break;
		}
		s = slice_first(s, s.len < most ? s.len : most);
		lmtp_dot(&m->dot, out, s);
		mailer_source_used(&m->source, s.len);
	}
	expect_answer(c);
	stream_flush(c->stream);
}

static void
message_answered(struct mailer_conn *c, const struct lmtp_reply *r)
{
	struct mailing *m = c->mailing;
	struct mail_rcpt **rcpts = m->mail.rcpts;

	do {
		MUST(m->next < m->mail.nrcpts);
		mailing_answer(rcpts[m->next++],
		    r->code < 200 || r->code / 100 == 3 ? 451 : r->code,
		    r->enhanced, r->text);
		skip_refused(m);
	} while (c->peer->relay && m->next < m->mail.nrcpts);
	if (m->next == m->mail.nrcpts)
		end_mailing(c);
}

/* --- input ----------------------------------------------------------------------------- */

/* The last line of a reply. */
static void
take_reply(struct mailer_conn *c, const struct lmtp_reply *r)
{
	bool good = r->code / 100 == 2;

	if (r->code == 421) {
		conn_close(c, "the mail server is closing down");
		return;
	}
	switch (c->state) {
	case CONN_GREETING:
		if (good)
			say_hello(c);
		else
			conn_close(c, "no welcome from the mail server");
		return;
	case CONN_HELLO:
		if (good)
			hello_said(c);
		else
			conn_close(c, "the mail server refused LHLO");
		return;
	case CONN_STARTTLS:
		if (good)
			start_tls(c);
		else
			conn_close(c, "the mail server refused STARTTLS");
		return;
	case CONN_AUTH:
		if (r->code == 334)
			challenge(c, r->text);
		else if (good)
			become_idle(c);
		else
			conn_close(c, "the mail server refused our login");
		return;
	case CONN_RSET:
		if (good)
			become_idle(c);
		else
			conn_close(c, "the mail server refused RSET");
		return;
	case CONN_ENVELOPE:
		envelope_answered(c, r);
		return;
	case CONN_FINAL:
		message_answered(c, r);
		return;
	case CONN_DIALING:
	case CONN_HANDSHAKE:
	case CONN_IDLE:
	case CONN_BODY:
	case CONN_CLOSED:
		conn_close(c, "an answer to nothing we asked");
		return;
	}
}

/* r's slices are of the input: they are used before it is dropped. */
static void
take_input(struct mailer_conn *c)
{
	struct lmtp_reply r;
	enum lmtp_reply_event ev;
	size_t taken;
	struct buf *in;

	while (c->state != CONN_CLOSED) {
		in = stream_in(c->stream);
		ev = lmtp_reply_next(&c->replies, buf_data(in), buf_len(in), &r,
		    &taken);
		if (ev == LMTP_REPLY_MORE)
			return;
		if (ev == LMTP_REPLY_ERROR) {
			conn_close(c, "the mail server's answer is malformed");
			return;
		}
		if (c->state == CONN_HELLO && c->lines++ > 0)
			take_keyword(c, r.text);
		if (ev == LMTP_REPLY_LAST) {
			c->lines = 0;
			take_reply(c, &r);
		}
		if (c->state != CONN_CLOSED && c->state != CONN_HANDSHAKE)
			buf_drop(in, taken);
	}
}

static void
on_stream(void *arg, enum stream_event ev)
{
	struct mailer_conn *c = conn_of(arg);

	switch (ev) {
	case STREAM_CLOSED:
		conn_close(c, stream_error(c->stream));
		return;
	case STREAM_SECURE:
		c->replies = (struct lmtp_replies){ 0 };
		say_hello(c);
		return;
	case STREAM_READ:
		take_input(c);
		return;
	case STREAM_WRITTEN:
		if (c->state == CONN_ENVELOPE)
			put_envelope(c);
		else if (c->state == CONN_BODY)
			put_body(c);
		return;
	}
}

static void
on_dial(void *arg, int fd, const char *why)
{
	static const struct stream_limits limits = { CONN_IN, CONN_OUT, 0 };
	struct mailer_conn *c = conn_of(arg);

	dial_free(&c->dial);
	if (fd == -1) {
		conn_close(c, why);
		return;
	}
	c->stream = stream_new(worker_of(c)->loop, fd, &limits, on_stream, c);
	c->state = CONN_GREETING;
	stream_want_read(c->stream, true);
}

void
mailer_conn_new(struct mailer_peer *p)
{
	struct worker *w = p->mailer->worker;
	struct mailer_conn *c = xcalloc(1, sizeof(*c));
	struct proxyd_backend where;
	const char *address = w->conf->smtp_relay;

	c->magic = CONN_MAGIC;
	c->peer = p;
	TAILQ_INSERT_TAIL(&p->conns, c, entry);
	p->nconns++;
	c->timer = timer_new(w->loop, on_timer, c);
	timer_set(c->timer, (int64_t)w->conf->backend_ms);
	if (!p->relay) {
		proxyd_backend_find(w->conf, p->name, &where);
		address = where.lmtp;
	}
	/* A relay that a reload has taken away cannot be called. */
	c->dial = dial_new(w->loop, w->jobs, address == NULL ? "" : address,
	    (unsigned)(w->conf->backend_ms / 1000 + 1), on_dial, c);
}

/* Those that the server cannot have are answered, and put behind the rest. */
static void
leave_out(struct mailing *m)
{
	struct mail_rcpt **rcpts = m->mail.rcpts;
	size_t n = 0;

	for (size_t i = 0; i < m->mail.nrcpts; i++) {
		struct mail_rcpt *r = rcpts[i];

		if (r->plain.local.len == 0) {
			mailing_answer(r, MAIL_NO_WAY, slice_str(""),
			    slice_str("the mail server is not of our kind"));
			continue;
		}
		rcpts[i] = rcpts[n];
		rcpts[n++] = r;
	}
	m->mail.nrcpts = n;
}

void
mailer_conn_start(struct mailer_conn *c, struct mailing *m)
{
	MUST(c->state == CONN_IDLE && c->mailing == NULL);
	if (!c->peer->relay && !c->xmurder)
		leave_out(m);
	if (m->mail.nrcpts == 0) {
		mailing_end(m, "");
		return;
	}
	c->mailing = m;
	c->used++;
	m->sent = m->answered = m->accepted = m->next = 0;
	m->source = (struct mailer_source){ .head = m->mail.head,
		.blob = m->mail.blob };
	m->dot = (struct lmtp_dot){ 0 };
	c->state = CONN_ENVELOPE;
	/* An envelope waits for no disk. */
	timer_set(c->timer, (int64_t)worker_of(c)->conf->backend_ms);
	put_envelope(c);
}
