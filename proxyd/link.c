#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap/parse.h"
#include "imap/reply.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/auth.h"
#include "lib/base64.h"
#include "lib/buf.h"
#include "lib/dial.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/stream.h"
#include "lib/tls.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/link.h"

enum {
	LINK_MAGIC = 0x6c696e6b,
	LINK_IN = 128 * 1024, /* octets; more than a gathered line */
	LINE_MAX_OCTETS = 120 * 1024,
	LINK_OUT = 512 * 1024,
	CAPABILITIES_MAX = 4096,
	WHY_MAX = 200
};

enum state {
	STATE_RESTED, /* the server is being left alone */
	STATE_DIALING,
	STATE_GREETING,
	STATE_CAPABILITY, /* asked: the greeting did not say */
	STATE_STARTTLS,
	STATE_HANDSHAKE,
	STATE_AUTHENTICATE,
	STATE_CAPABILITY_NOW, /* asked: the OK did not say */
	STATE_OPEN,
	STATE_CLOSED
};

/* A backend, as this worker knows it. */
struct server {
	struct mono rest_until; /* it did not answer */
	char why[WHY_MAX];
	char capabilities[CAPABILITIES_MAX]; /* after login; space around */
};

struct links {
	struct links_use use;
	struct map servers;
};

struct link {
	unsigned magic;
	enum state state;
	struct links *links;
	struct server *server;
	char *name, *user, *sid, *address;
	link_cb *cb;
	void *arg;
	struct timer *timer; /* until it is open */
	struct dial *dial;
	struct stream *stream;
	struct reply reply;
	bool refused, got_capability;
	char *why;

	/* While logging in. */
	struct arena arena;
	struct auth_client *client;
	struct buf offered; /* capabilities, space before each */
};

static void begin_login(struct link *k);

static struct link *
link_of(void *arg)
{
	struct link *k = arg;

	MUST(k->magic == LINK_MAGIC);
	return k;
}

struct links *
links_new(const struct links_use *use)
{
	struct links *l = xcalloc(1, sizeof(*l));

	l->use = *use;
	map_init(&l->servers);
	return l;
}

void
links_reload(struct links *l, const struct proxyd_conf *conf, struct tls *tls)
{
	l->use.conf = conf;
	l->use.tls = tls;
}

static struct server *
server_get(struct links *l, const char *name)
{
	struct server *s = map_find(&l->servers, slice_str(name));

	if (s == NULL) {
		s = xcalloc(1, sizeof(*s));
		(void)map_put(&l->servers, slice_str(name), s);
	}
	return s;
}

/* What only the login needs. */
static void
end_login(struct link *k)
{
	timer_free(&k->timer);
	auth_client_free(&k->client);
	arena_reset(&k->arena);
	buf_fini(&k->offered);
}

static void
close_link(struct link *k, const char *why)
{
	if (k->state != STATE_OPEN && !k->refused && k->state != STATE_RESTED) {
		k->server->rest_until = mono_after(loop_now(k->links->use.loop),
		    (int64_t)k->links->use.conf->retry_ms);
		snprintf(k->server->why, sizeof(k->server->why), "%s", why);
		log_warn(k->links->use.log, "backend not reached", "backend",
		    k->name, "why", why, NULL);
	}
	k->state = STATE_CLOSED;
	free(k->why);
	k->why = xstrdup(why);
	end_login(k);
	dial_free(&k->dial);
	k->cb(k->arg, k, LINK_CLOSED);
}

static void
refuse(struct link *k, const char *what, struct slice text)
{
	char why[WHY_MAX];

	snprintf(why, sizeof(why), "%s: %.*s", what,
	    (int)(text.len < 120 ? text.len : 120), (const char *)text.ptr);
	k->refused = true;
	log_err(k->links->use.log, "backend refused the login", "backend",
	    k->name, "user", k->user, "why", why, NULL);
	close_link(k, why);
}

/* --- capabilities ---------------------------------------------------------- */

static void
note_capabilities(struct link *k, struct slice words)
{
	buf_clear(&k->offered);
	buf_putc(&k->offered, ' ');
	buf_put_slice(&k->offered, words);
	buf_putc(&k->offered, ' ');
	k->got_capability = !buf_failed(&k->offered);
}

static bool
has_word(const char *words, size_t len, const char *word)
{
	struct slice rest = slice_of(words, len);
	size_t at;

	while (rest.len > 0) {
		at = slice_find(rest, ' ');
		if (slice_is_nocase(slice_first(rest, at), word))
			return true;
		rest = slice_skip(rest, at < rest.len ? at + 1 : at);
	}
	return false;
}

static bool
offers(struct link *k, const char *word)
{
	struct slice s = buf_slice(&k->offered);

	return has_word((const char *)s.ptr, s.len, word);
}

/* "PLAIN EXTERNAL" of "AUTH=PLAIN AUTH=EXTERNAL"; in the arena. */
static char *
offered_mechanisms(struct link *k)
{
	struct slice rest = buf_slice(&k->offered), word;
	struct buf out;
	char *s;

	buf_init(&out, CAPABILITIES_MAX);
	while (rest.len > 0) {
		word = slice_first(rest, slice_find(rest, ' '));
		rest = slice_skip(rest,
		    word.len < rest.len ? word.len + 1 : word.len);
		if (!slice_starts_nocase(word, "AUTH="))
			continue;
		buf_put_slice(&out, slice_skip(word, 5));
		buf_putc(&out, ' ');
	}
	s = arena_string(&k->arena, buf_slice(&out));
	buf_fini(&out);
	return s;
}

/* --- logging in ------------------------------------------------------------ */

static void
put_command(struct link *k, const char *tag, const char *text)
{
	struct write w;

	write_init(&w, stream_out(k->stream), WRITE_CLIENT);
	write_word(&w, tag);
	write_sp(&w);
	write_word(&w, text);
	write_end(&w);
}

static void
put_id(struct link *k)
{
	struct write w;

	if (k->sid == NULL || !offers(k, "ID"))
		return;
	write_init(&w, stream_out(k->stream), WRITE_CLIENT);
	write_word(&w, "I01 ID (\"x-session\" ");
	write_string(&w, slice_str(k->sid));
	write_word(&w, " \"x-client-address\" ");
	write_nstring(&w,
	    k->address == NULL ? slice_of(NULL, 0) : slice_str(k->address));
	write_close(&w);
	write_end(&w);
}

static int
new_client(struct link *k, struct err *err)
{
	const struct proxyd_conf *conf = k->links->use.conf;
	struct auth_secret secret = { .authcid = conf->proxy_user,
		.password = conf->proxy_password,
		.authzid = k->user,
		.mechanisms = conf->proxy_mechanisms };

	return auth_client_new(&k->client, "imap", k->name, &secret,
	    offered_mechanisms(k), conf->backend_cert != NULL, err);
}

/* What may hold a password. */
static void
forget(struct buf *b)
{
	if (b->area != NULL)
		wipe(b->area, b->size);
	buf_fini(b);
}

static void
authenticate(struct link *k)
{
	struct buf first, coded;
	struct write w;
	struct err err;

	if (new_client(k, &err) == -1) {
		refuse(k, "no way to log in", slice_str(err.text));
		return;
	}
	put_id(k);
	buf_init(&first, CAPABILITIES_MAX);
	buf_init(&coded, CAPABILITIES_MAX * 2);
	write_init(&w, stream_out(k->stream), WRITE_CLIENT);
	write_word(&w, "A01 AUTHENTICATE ");
	write_word(&w, auth_client_mechanism(k->client));
	if (offers(k, "SASL-IR") && auth_client_first(k->client, &first)) {
		base64_encode(&coded, buf_slice(&first));
		write_sp(&w);
		if (buf_len(&coded) == 0)
			write_word(&w, "=");
		write_atom(&w, buf_slice(&coded));
	}
	write_end(&w);
	forget(&first);
	forget(&coded);
	k->state = STATE_AUTHENTICATE;
	k->got_capability = false;
	stream_flush(k->stream);
}

static void
challenge(struct link *k, struct slice text)
{
	struct buf in, out, coded;
	struct write w;
	struct err err = { 0 };
	bool good;

	buf_init(&in, CAPABILITIES_MAX);
	buf_init(&out, CAPABILITIES_MAX);
	buf_init(&coded, CAPABILITIES_MAX * 2);
	good = base64_decode(&in, text) == 0 && !buf_failed(&in);
	/* Without SASL-IR the first challenge is empty and asks for this. */
	if (good && (buf_len(&in) > 0 || offers(k, "SASL-IR") ||
	                !auth_client_first(k->client, &out)))
		good = auth_client_step(k->client, buf_slice(&in), &out,
		           &err) == 0;
	base64_encode(&coded, buf_slice(&out));
	write_init(&w, stream_out(k->stream), WRITE_CLIENT);
	write_line(&w, good ? buf_slice(&coded) : slice_str("*"));
	if (!good)
		log_err(k->links->use.log, "backend's challenge not understood",
		    "backend", k->name, "mechanism",
		    auth_client_mechanism(k->client), "why", err.text, NULL);
	forget(&in);
	forget(&out);
	forget(&coded);
	stream_flush(k->stream);
}

static void
opened(struct link *k)
{
	struct slice s = buf_slice(&k->offered);

	/* Clients' strings may need literals, and we never wait with one. */
	if (!offers(k, "LITERAL+")) {
		refuse(k, "the backend is of no use",
		    slice_str("it does not offer LITERAL+"));
		return;
	}
	snprintf(k->server->capabilities, sizeof(k->server->capabilities),
	    "%.*s", (int)s.len, (const char *)s.ptr);
	end_login(k);
	k->state = STATE_OPEN;
	stream_set_idle(k->stream, 0);
	k->cb(k->arg, k, LINK_OPENED);
}

static void
begin_login(struct link *k)
{
	const struct proxyd_conf *conf = k->links->use.conf;

	if (conf->backend_tls != CONF_TLS_STARTTLS ||
	    stream_is_secure(k->stream)) {
		authenticate(k);
		return;
	}
	if (!offers(k, "STARTTLS")) {
		refuse(k, "the backend does not offer STARTTLS",
		    slice_str("set up its certificate, or backend_tls here"));
		return;
	}
	put_command(k, "S01", "STARTTLS");
	k->state = STATE_STARTTLS;
	stream_flush(k->stream);
}

static void
start_tls(struct link *k)
{
	const struct proxyd_conf *conf = k->links->use.conf;
	struct err err;

	k->state = STATE_HANDSHAKE;
	if (stream_start_tls(k->stream, k->links->use.tls,
	        conf->backend_ca != NULL ? k->name : NULL, &err) == -1)
		close_link(k, err.text);
}

static void
ask_capability(struct link *k, enum state state)
{
	k->got_capability = false;
	put_command(k, "C01", "CAPABILITY");
	k->state = state;
	stream_flush(k->stream);
}

static void
take_greeting(struct link *k, const struct reply_head *head,
    const struct reply_text *text)
{
	if (head->kind != REPLY_STATUS || head->status != WRITE_OK) {
		close_link(k, "the greeting is not OK");
		return;
	}
	(void)text;
	if (k->got_capability)
		begin_login(k);
	else
		ask_capability(k, STATE_CAPABILITY);
}

/* A tagged answer to what the state has asked. */
static void
take_tagged(struct link *k, const struct reply_head *head,
    const struct reply_text *text)
{
	if (slice_is(head->tag, "I01"))
		return;
	switch (k->state) {
	case STATE_CAPABILITY:
		if (k->got_capability)
			begin_login(k);
		else
			close_link(k, "the backend tells no capabilities");
		return;
	case STATE_CAPABILITY_NOW:
		if (k->got_capability)
			opened(k);
		else
			close_link(k, "the backend tells no capabilities");
		return;
	case STATE_STARTTLS:
		if (head->status == WRITE_OK)
			start_tls(k);
		else
			refuse(k, "STARTTLS refused", text->text);
		return;
	case STATE_AUTHENTICATE:
		if (head->status == WRITE_OK && k->got_capability)
			opened(k);
		else if (head->status == WRITE_OK)
			ask_capability(k, STATE_CAPABILITY_NOW);
		else if (text->code == RESPCODE_UNAVAILABLE)
			close_link(k, "the backend cannot log in now");
		else
			refuse(k, "login refused", text->text);
		return;
	default:
		close_link(k, "an answer to nothing we asked");
		return;
	}
}

static void
take_data(struct link *k, const struct reply_head *head,
    const struct piece *pieces)
{
	struct parse p;

	if (!slice_is_nocase(head->name, "CAPABILITY"))
		return;
	reply_parse_data(&p, &k->arena, pieces);
	parse_sp(&p);
	note_capabilities(k, parse_rest(&p));
}

static void
take_reply(struct link *k, const struct reply_head *head)
{
	const struct piece *pieces = reply_pieces(&k->reply);
	struct reply_text text;

	if (head->kind == REPLY_DATA) {
		take_data(k, head, pieces);
		return;
	}
	reply_parse_text(pieces, &text);
	if (text.code == RESPCODE_CAPABILITY)
		note_capabilities(k, text.code_args);
	if (head->kind == REPLY_TAGGED)
		take_tagged(k, head, &text);
	else if (k->state == STATE_GREETING)
		take_greeting(k, head, &text);
	else if (head->kind == REPLY_CONTINUE && k->state == STATE_AUTHENTICATE)
		challenge(k, text.text);
	else if (head->kind == REPLY_STATUS && head->status == WRITE_BYE)
		close_link(k, "the backend says BYE");
}

/* One response after another, until the login is over. */
static void
login_advance(struct link *k)
{
	struct buf *in = stream_in(k->stream);
	struct reply_item item;
	enum reply_event ev;

	while (k->state < STATE_OPEN && k->state != STATE_HANDSHAKE) {
		ev = reply_next(&k->reply, buf_data(in), buf_len(in), &item);
		if (ev == REPLY_MORE)
			return;
		if (ev == REPLY_ERROR) {
			close_link(k, reply_error(&k->reply));
			return;
		}
		if (ev == REPLY_HEAD)
			reply_gather(&k->reply, &k->arena);
		buf_drop(in, item.taken);
		if (ev == REPLY_DONE) {
			take_reply(k, &item.head);
			arena_reset(&k->arena);
		}
	}
}

static void
on_stream(void *arg, enum stream_event ev)
{
	struct link *k = link_of(arg);

	if (ev == STREAM_CLOSED) {
		close_link(k, stream_error(k->stream));
		return;
	}
	if (k->state == STATE_OPEN) {
		if (ev != STREAM_SECURE)
			k->cb(k->arg, k,
			    ev == STREAM_READ ? LINK_READ : LINK_WRITTEN);
		return;
	}
	if (ev == STREAM_SECURE) {
		if (k->links->use.conf->backend_tls == CONF_TLS_YES)
			k->state = STATE_GREETING;
		else
			ask_capability(k, STATE_CAPABILITY);
	}
	if (ev == STREAM_READ)
		login_advance(k);
}

static void
on_dial(void *arg, int fd, const char *why)
{
	static const struct stream_limits limits = { LINK_IN, LINK_OUT, 0 };
	struct link *k = link_of(arg);
	struct err err;

	dial_free(&k->dial);
	if (fd == -1) {
		close_link(k, why);
		return;
	}
	k->stream = stream_new(k->links->use.loop, fd, &limits, on_stream, k);
	k->state = STATE_GREETING;
	if (k->links->use.conf->backend_tls == CONF_TLS_YES) {
		k->state = STATE_HANDSHAKE;
		if (stream_start_tls(k->stream, k->links->use.tls,
		        k->links->use.conf->backend_ca != NULL ? k->name : NULL,
		        &err) == -1) {
			close_link(k, err.text);
			return;
		}
	}
	stream_want_read(k->stream, true);
}

static void
on_timer(void *arg)
{
	struct link *k = link_of(arg);

	close_link(k, k->state == STATE_RESTED
	                  ? k->server->why
	                  : "no answer within backend_timeout");
}

struct link *
link_open(struct links *l, const char *server, const struct link_user *user,
    link_cb *cb, void *arg)
{
	static const struct reply_limits limits = { LINE_MAX_OCTETS,
		512 * 1024 };
	struct link *k = xcalloc(1, sizeof(*k));
	struct proxyd_backend where;

	k->magic = LINK_MAGIC;
	k->links = l;
	k->server = server_get(l, server);
	k->name = xstrdup(server);
	k->user = user->user == NULL ? NULL : xstrdup(user->user);
	k->sid = user->sid == NULL ? NULL : xstrdup(user->sid);
	k->address = user->address == NULL ? NULL : xstrdup(user->address);
	k->cb = cb;
	k->arg = arg;
	arena_init(&k->arena);
	buf_init(&k->offered, CAPABILITIES_MAX);
	reply_init(&k->reply, &limits);
	k->timer = timer_new(l->use.loop, on_timer, k);
	if (!mono_reached(k->server->rest_until, loop_now(l->use.loop))) {
		k->state = STATE_RESTED;
		timer_set(k->timer, 0);
		return k;
	}
	k->state = STATE_DIALING;
	proxyd_backend_find(l->use.conf, server, &where);
	k->dial = dial_new(l->use.loop, l->use.jobs, where.imap,
	    (unsigned)(l->use.conf->backend_ms / 1000 + 1), on_dial, k);
	timer_set(k->timer, (int64_t)l->use.conf->backend_ms);
	return k;
}

static void
release(void *arg)
{
	free(arg);
}

void
link_free(struct link **kp)
{
	struct link *k = *kp;

	*kp = NULL;
	if (k == NULL)
		return;
	MUST(k->magic == LINK_MAGIC);
	end_login(k);
	dial_free(&k->dial);
	stream_free(&k->stream);
	free(k->name);
	free(k->user);
	free(k->sid);
	free(k->address);
	free(k->why);
	k->magic = 0;
	/* The owner may free it from its call back: see lib/loop.h. */
	loop_at_end(k->links->use.loop, release, k);
}

bool
link_is_open(const struct link *k)
{
	return k->state == STATE_OPEN;
}

const char *
link_why(const struct link *k)
{
	return k->why == NULL ? "" : k->why;
}

bool
link_has(const struct link *k, const char *capability)
{
	const char *words = k->server->capabilities;

	return has_word(words, strlen(words), capability);
}

struct buf *
link_in(struct link *k)
{
	return stream_in(k->stream);
}

struct buf *
link_out(struct link *k)
{
	return stream_out(k->stream);
}

struct reply *
link_reply(struct link *k)
{
	return &k->reply;
}

void
link_flush(struct link *k)
{
	stream_flush(k->stream);
}

void
link_want_read(struct link *k, bool want)
{
	stream_want_read(k->stream, want);
}
