#include <stdio.h>

#include "imap/lmtp_server.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"

#define MAGIC 0x4c4d5450u

static void
forget_transaction(struct lmtp_server *s)
{
	arena_reset(&s->arena);
	s->has_sender = false;
	s->recipients = s->refused = 0;
	s->size = 0;
	s->answers = NULL;
	s->written = 0;
}

void
lmtp_server_init(struct lmtp_server *s, const struct lmtp_server_conf *conf,
    struct buf *out)
{
	char text[300];

	*s = (struct lmtp_server){ .magic = MAGIC, .conf = *conf };
	snprintf(s->hostname, sizeof(s->hostname), "%s", conf->hostname);
	arena_init(&s->line);
	arena_init(&s->arena);
	snprintf(text, sizeof(text), "%s murder LMTP ready", s->hostname);
	lmtp_put_reply(out, 220, NULL, text);
}

void
lmtp_server_fini(struct lmtp_server *s)
{
	forget_transaction(s);
	arena_reset(&s->line);
	s->magic = 0;
}

static enum lmtp_server_event
finish(struct lmtp_server *s)
{
	s->state = LMTP_SERVER_FINISHED;
	return LMTP_SERVER_FINISH;
}

/* --- commands ----------------------------------------------------------------- */

/* The reply to a command that the owner does not hear of. */
static enum lmtp_server_event
say(struct buf *out, int code, const char *enhanced, const char *text,
    enum lmtp_server_event ev)
{
	lmtp_put_reply(out, code, enhanced, text);
	return ev;
}

/* The owner's turn. */
static enum lmtp_server_event
ask(struct lmtp_server *s, enum lmtp_server_state state,
    enum lmtp_server_event ev)
{
	s->state = state;
	return ev;
}

static enum lmtp_server_event
command_lhlo(struct lmtp_server *s, const struct lmtp_command *c)
{
	size_t n = 0;

	forget_transaction(s);
	for (; n < c->arg.len && n < LMTP_SERVER_LHLO_MAX; n++) {
		uint8_t octet = c->arg.ptr[n];

		s->lhlo[n] = octet <= ' ' || octet >= 0x7f ? '?' : (char)octet;
	}
	s->lhlo[n] = '\0';
	return ask(s, LMTP_SERVER_OFFERING, LMTP_SERVER_LHLO);
}

static enum lmtp_server_event
command_starttls(struct lmtp_server *s, struct buf *out)
{
	if (!s->has_tls)
		return say(out, 503, "5.5.1", "TLS is on, or not to be had",
		    LMTP_SERVER_ANSWERED);
	lmtp_put_reply(out, 220, "2.0.0", "Begin TLS");
	forget_transaction(s);
	s->greeted = s->has_tls = s->has_auth = false;
	s->lines = (struct lmtp_lines){ 0 };
	return ask(s, LMTP_SERVER_HANDSHAKE, LMTP_SERVER_STARTTLS);
}

static enum lmtp_server_event
command_auth(struct lmtp_server *s, struct buf *out)
{
	if (!s->has_auth)
		return say(out, 502, "5.5.1", "No need to log in here",
		    LMTP_SERVER_ANSWERED);
	if (s->is_logged_in || s->has_sender)
		return say(out, 503, "5.5.1", "Not now", LMTP_SERVER_ANSWERED);
	return ask(s, LMTP_SERVER_AUTHENTICATING, LMTP_SERVER_AUTH);
}

/* True, and it was answered, if a parameter of MAIL cannot be had. */
static bool
refuse_parameter(struct lmtp_server *s, const struct lmtp_param *p,
    struct buf *out)
{
	uint64_t size;

	if (slice_is_nocase(p->name, "SIZE")) {
		if (!ascii_number(p->value, UINT64_MAX, &size))
			lmtp_put_reply(out, 501, "5.5.4", "SIZE=number");
		else if (size > s->conf.message_max)
			lmtp_put_reply(out, 552, "5.3.4", "Message too big");
		else
			return false;
	} else if (slice_is_nocase(p->name, "BODY")) {
		if (slice_is_nocase(p->value, "7BIT") ||
		    slice_is_nocase(p->value, "8BITMIME"))
			return false;
		lmtp_put_reply(out, 501, "5.5.4", "BODY is 7BIT or 8BITMIME");
	} else if ((s->has_auth && slice_is_nocase(p->name, "AUTH")) ||
	           (s->is_trusted && slice_is_nocase(p->name, "XSESSION"))) {
		return false;
	} else {
		lmtp_put_reply(out, 555, "5.5.4", "Unknown parameter");
	}
	return true;
}

static enum lmtp_server_event
command_mail(struct lmtp_server *s, const struct lmtp_command *c,
    struct buf *out)
{
	if (s->has_sender)
		return say(out, 503, "5.5.1", "RSET first",
		    LMTP_SERVER_ANSWERED);
	for (size_t i = 0; i < c->n; i++)
		if (refuse_parameter(s, &c->params[i], out))
			return LMTP_SERVER_ANSWERED;
	return ask(s, LMTP_SERVER_CHECKING_SENDER, LMTP_SERVER_SENDER);
}

static bool
may_say(const struct lmtp_server *s, struct slice name)
{
	return s->is_trusted && (slice_is_nocase(name, "XMAILBOX") ||
	                            slice_is_nocase(name, "XFLAGS") ||
	                            slice_is_nocase(name, "XKEY"));
}

static enum lmtp_server_event
command_rcpt(struct lmtp_server *s, const struct lmtp_command *c,
    struct buf *out)
{
	if (!s->has_sender)
		return say(out, 503, "5.5.1", "MAIL first",
		    LMTP_SERVER_ANSWERED);
	if (s->recipients >= s->conf.recipients_max)
		return say(out, 452, "4.5.3", "Too many recipients",
		    LMTP_SERVER_ANSWERED);
	for (size_t i = 0; i < c->n; i++)
		if (!may_say(s, c->params[i].name))
			return say(out, 555, "5.5.4", "Unknown parameter",
			    LMTP_SERVER_ANSWERED);
	return ask(s, LMTP_SERVER_CHECKING_RECIPIENT, LMTP_SERVER_RECIPIENT);
}

static enum lmtp_server_event
command_data(struct lmtp_server *s, struct buf *out)
{
	if (s->recipients == 0)
		return say(out, 503, "5.5.1", "No valid recipients",
		    LMTP_SERVER_ANSWERED);
	s->undot = (struct lmtp_undot){ 0 };
	s->answers = arena_array(&s->arena, s->recipients, sizeof(*s->answers));
	lmtp_put_reply(out, 354, NULL, "Send it, and end with a dot on a line");
	return ask(s, LMTP_SERVER_RECEIVING, LMTP_SERVER_MESSAGE);
}

static enum lmtp_server_event
command(struct lmtp_server *s, const struct lmtp_command *c, struct buf *out)
{
	switch (c->verb) {
	case LMTP_LHLO:
		return command_lhlo(s, c);
	case LMTP_MAIL:
		return command_mail(s, c, out);
	case LMTP_RCPT:
		return command_rcpt(s, c, out);
	case LMTP_DATA:
		return command_data(s, out);
	case LMTP_RSET:
		forget_transaction(s);
		return say(out, 250, "2.0.0", "Done", LMTP_SERVER_RESET);
	case LMTP_NOOP:
		return say(out, 250, "2.0.0", "Done", LMTP_SERVER_ANSWERED);
	case LMTP_VRFY:
		return say(out, 252, "2.5.0", "Try to deliver",
		    LMTP_SERVER_ANSWERED);
	case LMTP_HELP:
		return say(out, 214, "2.0.0", "See RFC 2033",
		    LMTP_SERVER_ANSWERED);
	case LMTP_STARTTLS:
		return command_starttls(s, out);
	case LMTP_AUTH:
		return command_auth(s, out);
	case LMTP_QUIT:
		lmtp_put_reply(out, 221, "2.0.0", "Goodbye");
		return finish(s);
	case LMTP_HELO:
	case LMTP_UNKNOWN:
		break; /* their code was not 0 */
	}
	MUST(false);
	return LMTP_SERVER_MORE;
}

static bool
needs_lhlo(enum lmtp_verb verb)
{
	return verb == LMTP_MAIL || verb == LMTP_RCPT || verb == LMTP_DATA ||
	       verb == LMTP_AUTH || verb == LMTP_STARTTLS;
}

static enum lmtp_server_event
take_command(struct lmtp_server *s, struct slice line, struct buf *out,
    struct lmtp_server_item *item)
{
	struct lmtp_command *c = arena_alloc(&s->line, sizeof(*c));

	lmtp_parse_command(&s->line, line, c);
	if (c->code == 0 && needs_lhlo(c->verb) && !s->greeted) {
		c->code = 503;
		c->why = "5.5.1 LHLO first";
	}
	item->command = c;
	if (c->code == 0) {
		s->bad = 0;
		return command(s, c, out);
	}
	lmtp_put_reply(out, c->code, NULL, c->why);
	if (++s->bad < s->conf.bad_max)
		return LMTP_SERVER_ANSWERED;
	lmtp_put_reply(out, 421, "4.7.0", "Too many bad commands");
	return finish(s);
}

static enum lmtp_server_event
take_line(struct lmtp_server *s, const uint8_t *in, size_t n, struct buf *out,
    struct lmtp_server_item *item)
{
	arena_reset(&s->line);
	if (buf_room(out) < LMTP_SERVER_ROOM)
		return LMTP_SERVER_MORE;
	switch (lmtp_line(&s->lines, in, n, &item->line, &item->taken)) {
	case LMTP_LINE_ERROR:
		lmtp_put_reply(out, 500, "5.5.2",
		    "Line too long, or malformed");
		return finish(s);
	case LMTP_LINE_MORE:
		return LMTP_SERVER_MORE;
	case LMTP_LINE:
		break;
	}
	/* A copy: the input may go before the answer is known. */
	item->line = arena_copy(&s->line, item->line);
	if (s->state == LMTP_SERVER_COMMAND)
		return take_command(s, item->line, out, item);
	return ask(s, LMTP_SERVER_AUTHENTICATING, LMTP_SERVER_AUTH_LINE);
}

/* --- the message -------------------------------------------------------------- */

static bool
is_too_big(const struct lmtp_server *s)
{
	return s->size > s->conf.message_max;
}

static enum lmtp_server_event
end_message(struct lmtp_server *s, struct buf *out)
{
	s->state = LMTP_SERVER_DELIVERING;
	if (!is_too_big(s))
		return LMTP_SERVER_END;
	lmtp_server_answer_all(s, out, 552, "5.3.4", "Message too big");
	return LMTP_SERVER_RESET;
}

/* Beyond the limit it is taken to its end, and thrown away. */
static enum lmtp_server_event
take_octets(struct lmtp_server *s, struct lmtp_server_item *item)
{
	s->size += item->octets.len;
	if (is_too_big(s))
		item->octets.len = 0;
	return LMTP_SERVER_OCTETS;
}

static enum lmtp_server_event
take_data(struct lmtp_server *s, const uint8_t *in, size_t n, struct buf *out,
    struct lmtp_server_item *item)
{
	switch (lmtp_undot(&s->undot, in, n, &item->octets, &item->taken)) {
	case LMTP_DATA_ERROR:
		lmtp_put_reply(out, 550, "5.6.0",
		    "A NUL, or a lone CR or LF, in it");
		return finish(s);
	case LMTP_DATA_MORE:
		return LMTP_SERVER_MORE;
	case LMTP_DATA_OCTETS:
		return take_octets(s, item);
	case LMTP_DATA_END:
		return end_message(s, out);
	}
	MUST(false);
	return LMTP_SERVER_MORE;
}

/* --- the door ----------------------------------------------------------------- */

static enum lmtp_server_event
step(struct lmtp_server *s, const uint8_t *in, size_t n, struct buf *out,
    struct lmtp_server_item *item)
{
	switch (s->state) {
	case LMTP_SERVER_COMMAND:
		if (s->is_draining && !s->has_sender) {
			lmtp_put_reply(out, 421, "4.3.2", "Shutting down");
			return finish(s);
		}
		return take_line(s, in, n, out, item);
	case LMTP_SERVER_AUTH_LINE_AWAITED:
		return take_line(s, in, n, out, item);
	case LMTP_SERVER_RECEIVING:
		return take_data(s, in, n, out, item);
	case LMTP_SERVER_ENDING:
		return finish(s);
	case LMTP_SERVER_FINISHED:
	case LMTP_SERVER_OFFERING:
	case LMTP_SERVER_CHECKING_SENDER:
	case LMTP_SERVER_CHECKING_RECIPIENT:
	case LMTP_SERVER_AUTHENTICATING:
	case LMTP_SERVER_DELIVERING:
	case LMTP_SERVER_HANDSHAKE:
		break;
	}
	return LMTP_SERVER_MORE;
}

enum lmtp_server_event
lmtp_server_next(struct lmtp_server *s, const uint8_t *in, size_t n,
    struct buf *out, struct lmtp_server_item *item)
{
	MUST(s->magic == MAGIC);
	*item = (struct lmtp_server_item){ .octets = { NULL, 0 } };
	return step(s, in, n, out, item);
}

bool
lmtp_server_wants_octets(const struct lmtp_server *s)
{
	return s->state == LMTP_SERVER_COMMAND ||
	       s->state == LMTP_SERVER_AUTH_LINE_AWAITED ||
	       s->state == LMTP_SERVER_RECEIVING ||
	       s->state == LMTP_SERVER_HANDSHAKE;
}

/* --- answers ------------------------------------------------------------------ */

void
lmtp_server_offer(struct lmtp_server *s, struct buf *out, bool has_tls,
    const char *mechanisms)
{
	struct buf text;

	MUST(s->state == LMTP_SERVER_OFFERING);
	s->has_tls = has_tls;
	s->has_auth = mechanisms[0] != '\0';
	s->greeted = true;
	s->state = LMTP_SERVER_COMMAND;
	buf_init(&text, LMTP_SERVER_ROOM);
	buf_printf(&text,
	    "%s\nPIPELINING\n8BITMIME\nENHANCEDSTATUSCODES\n%sSIZE %llu",
	    s->hostname, s->conf.has_xmurder ? "XMURDER\n" : "",
	    (unsigned long long)s->conf.message_max);
	if (has_tls)
		buf_puts(&text, "\nSTARTTLS");
	if (s->has_auth && !s->is_logged_in)
		buf_printf(&text, "\nAUTH %s", mechanisms);
	buf_putc(&text, '\0');
	MUST(!buf_failed(&text));
	lmtp_put_reply(out, 250, NULL, (const char *)buf_data(&text));
	buf_fini(&text);
}

void
lmtp_server_secure(struct lmtp_server *s)
{
	MUST(s->state == LMTP_SERVER_HANDSHAKE);
	s->state = LMTP_SERVER_COMMAND;
}

void
lmtp_server_challenge(struct lmtp_server *s, struct buf *out, const char *text)
{
	MUST(s->state == LMTP_SERVER_AUTHENTICATING);
	lmtp_put_reply(out, 334, NULL, text);
	s->state = LMTP_SERVER_AUTH_LINE_AWAITED;
}

void
lmtp_server_abort(struct lmtp_server *s, struct buf *out, const char *enhanced,
    const char *text)
{
	lmtp_put_reply(out, 421, enhanced, text);
	s->state = LMTP_SERVER_ENDING;
}

void
lmtp_server_reply(struct lmtp_server *s, struct buf *out, int code,
    const char *enhanced, const char *text)
{
	enum lmtp_server_state asked = s->state;
	bool good = code / 100 == 2;

	MUST(asked == LMTP_SERVER_AUTHENTICATING ||
	     asked == LMTP_SERVER_CHECKING_SENDER ||
	     asked == LMTP_SERVER_CHECKING_RECIPIENT);
	s->state = LMTP_SERVER_COMMAND;
	lmtp_put_reply(out, code, enhanced, text);
	if (good && asked == LMTP_SERVER_AUTHENTICATING)
		s->is_logged_in = true;
	else if (good && asked == LMTP_SERVER_CHECKING_SENDER)
		s->has_sender = true;
	else if (good)
		s->recipients++;
	else if (asked == LMTP_SERVER_CHECKING_RECIPIENT &&
	         ++s->refused > LMTP_SERVER_REFUSED_MAX)
		lmtp_server_abort(s, out, "4.7.0", "Too many wrong recipients");
}

void
lmtp_server_trust(struct lmtp_server *s)
{
	s->is_trusted = true;
}

void
lmtp_server_answer(struct lmtp_server *s, struct buf *out, size_t nth, int code,
    const char *enhanced, const char *text)
{
	MUST(s->state == LMTP_SERVER_DELIVERING && nth < s->recipients);
	MUST(code != 0 && s->answers[nth].code == 0);
	s->answers[nth] = (struct lmtp_server_answer){ code, enhanced, text };
	while (s->written < s->recipients && s->answers[s->written].code != 0) {
		const struct lmtp_server_answer *a = &s->answers[s->written++];

		lmtp_put_reply(out, a->code, a->enhanced, a->text);
	}
	if (s->written < s->recipients)
		return;
	forget_transaction(s);
	s->state = LMTP_SERVER_COMMAND;
}

void
lmtp_server_answer_all(struct lmtp_server *s, struct buf *out, int code,
    const char *enhanced, const char *text)
{
	size_t n = s->recipients;

	for (size_t i = 0; i < n; i++)
		lmtp_server_answer(s, out, i, code, enhanced, text);
}

void
lmtp_server_drain(struct lmtp_server *s)
{
	s->is_draining = true;
}
