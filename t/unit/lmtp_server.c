/*
 * lmtp_server: transcripts.  The law: however the octets are cut, the replies
 * and the events are the same.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/lmtp_server.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"

enum {
	OUT_ROOM = 1024 * 1024
};

/*
 * An owner: takes mail but from "bad", for all but "no"; answers messages from
 * the last recipient to the first; knows one password.  What it sees stands in
 * out between brackets.
 */
struct owner {
	struct lmtp_server server;
	struct buf out;
	bool over;
};

static void
reply(struct owner *o, int code, const char *enhanced)
{
	lmtp_server_reply(&o->server, &o->out, code, enhanced, "x");
}

static void
see(struct owner *o, const char *what)
{
	buf_printf(&o->out, "[%s]", what);
}

static void
check(struct owner *o, const struct lmtp_command *c, const char *bad)
{
	if (slice_is(c->path.local, bad))
		reply(o, 550, "5.1.1");
	else
		reply(o, 250, "2.1.0");
}

static void
log_in(struct owner *o, struct slice line)
{
	if (slice_is(line, "*"))
		reply(o, 501, "5.7.0");
	else if (!slice_is(line, "secret"))
		reply(o, 535, "5.7.8");
	else {
		lmtp_server_trust(&o->server);
		reply(o, 235, "2.7.0");
	}
}

static void
deliver(struct owner *o)
{
	size_t n = o->server.recipients;

	see(o, "END");
	while (n-- > 0)
		lmtp_server_answer(&o->server, &o->out, n, 250, "2.1.5",
		    n == 0 ? "first" : "other");
	see(o, o->server.has_sender ? "still" : "over");
}

static bool
act(struct owner *o, enum lmtp_server_event ev,
    const struct lmtp_server_item *item)
{
	switch (ev) {
	case LMTP_SERVER_MORE:
		return item->taken > 0;
	case LMTP_SERVER_ANSWERED:
		return true;
	case LMTP_SERVER_LHLO:
		see(o, o->server.lhlo);
		lmtp_server_offer(&o->server, &o->out, true, "PLAIN");
		return true;
	case LMTP_SERVER_STARTTLS:
		see(o, "TLS");
		lmtp_server_secure(&o->server);
		return true;
	case LMTP_SERVER_AUTH:
		lmtp_server_challenge(&o->server, &o->out, "c2F5");
		return true;
	case LMTP_SERVER_AUTH_LINE:
		log_in(o, item->line);
		return true;
	case LMTP_SERVER_SENDER:
		check(o, item->command, "bad");
		return true;
	case LMTP_SERVER_RECIPIENT:
		check(o, item->command, "no");
		return true;
	case LMTP_SERVER_MESSAGE:
		see(o, "MESSAGE");
		return true;
	case LMTP_SERVER_OCTETS:
		buf_put_slice(&o->out, item->octets);
		return true;
	case LMTP_SERVER_END:
		deliver(o);
		return true;
	case LMTP_SERVER_RESET:
		see(o, "RESET");
		return true;
	case LMTP_SERVER_FINISH:
		see(o, "FINISH");
		o->over = true;
		return true;
	}
	return false;
}

/* Hands it over n octets at a time, in storage of just that size. */
static void
feed(struct owner *o, const char *in, size_t len, size_t piece)
{
	size_t have = 0, at = 0;

	while (at + have < len) {
		struct lmtp_server_item item;
		enum lmtp_server_event ev;
		uint8_t *copy;
		size_t taken;

		have = have + piece < len - at ? have + piece : len - at;
		do {
			copy = malloc(have + 1);
			memcpy(copy, in + at, have);
			ev = lmtp_server_next(&o->server, copy, have, &o->out,
			    &item);
			taken = item.taken;
			if (ev != LMTP_SERVER_OCTETS) {
				free(copy); /* only octets are borrowed */
				copy = NULL;
			}
			at += taken;
			have -= taken;
			if (!act(o, ev, &item))
				taken = SIZE_MAX;
			free(copy);
		} while (taken != SIZE_MAX);
	}
}

static const struct lmtp_server_conf limits = { .hostname = "h",
	.message_max = 20,
	.recipients_max = 3,
	.bad_max = 3,
	.has_xmurder = true };

static char *
run(const char *in, size_t piece)
{
	struct owner o = { .over = false };
	char *got;

	buf_init(&o.out, OUT_ROOM);
	lmtp_server_init(&o.server, &limits, &o.out);
	feed(&o, in, strlen(in), piece);
	if (!lmtp_server_wants_octets(&o.server) && !o.over)
		see(&o, "STUCK");
	buf_putc(&o.out, '\0');
	got = strdup((const char *)buf_data(&o.out));
	lmtp_server_fini(&o.server);
	buf_fini(&o.out);
	return got;
}

#define HELLO "LHLO me\r\n"
#define GREETING                                                     \
	"220 h murder LMTP ready\r\n[me]250-h\r\n250-PIPELINING\r\n" \
	"250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-XMURDER\r\n" \
	"250-SIZE 20\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"
#define SENDER "MAIL FROM:<a>\r\n"
#define TAKEN  "250 2.1.0 x\r\n"
#define GO     "354 Send it, and end with a dot on a line\r\n[MESSAGE]"

static const struct {
	const char *name, *in, *want;
} cases[] = {
	{ "a message for two of three",
	    HELLO SENDER
	    "RCPT TO:<x>\r\nRCPT TO:<no>\r\nRCPT TO:<y>\r\nDATA\r\n"
	    "ab\r\n..c\r\n.\r\nNOOP\r\n",
	    GREETING TAKEN TAKEN
	    "550 5.1.1 x\r\n" TAKEN GO "ab\r\n.c\r\n[END]"
	    "250 2.1.5 first\r\n250 2.1.5 other\r\n[over]250 2.0.0 Done\r\n" },
	{ "two messages",
	    HELLO SENDER "RCPT TO:<x>\r\nDATA\r\n.\r\n" SENDER
	                 "RCPT TO:<y>\r\nDATA\r\n.\r\n",
	    GREETING TAKEN TAKEN GO
	    "[END]250 2.1.5 first\r\n[over]" TAKEN TAKEN GO
	    "[END]250 2.1.5 first\r\n[over]" },
	{ "one too big",
	    HELLO SENDER "RCPT TO:<x>\r\nRCPT TO:<y>\r\nDATA\r\n"
	                 "abcdefghij\r\nabcdefghij\r\n.\r\n" SENDER,
	    NULL },
	{ "out of order",
	    "MAIL FROM:<a>\r\nSTARTTLS\r\n" HELLO "RCPT TO:<x>\r\n",
	    "220 h murder LMTP ready\r\n503 5.5.1 LHLO first\r\n"
	    "503 5.5.1 LHLO first\r\n[me]250-h\r\n250-PIPELINING\r\n"
	    "250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-XMURDER\r\n"
	    "250-SIZE 20\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"
	    "503 5.5.1 MAIL first\r\n" },
	{ "no recipients", HELLO SENDER "RCPT TO:<no>\r\nDATA\r\n",
	    GREETING TAKEN "550 5.1.1 x\r\n503 5.5.1 No valid recipients\r\n" },
	{ "too many recipients",
	    HELLO SENDER "RCPT TO:<x>\r\nRCPT TO:<x>\r\nRCPT TO:<x>\r\n"
	                 "RCPT TO:<x>\r\n",
	    GREETING TAKEN TAKEN TAKEN TAKEN
	    "452 4.5.3 Too many recipients\r\n" },
	{ "a second sender", HELLO SENDER SENDER "RSET\r\n" SENDER,
	    GREETING TAKEN
	    "503 5.5.1 RSET first\r\n250 2.0.0 Done\r\n[RESET]" TAKEN },
	{ "a bad sender", HELLO "MAIL FROM:<bad>\r\nRCPT TO:<x>\r\n",
	    GREETING "550 5.1.1 x\r\n503 5.5.1 MAIL first\r\n" },
	{ "parameters",
	    HELLO "MAIL FROM:<a> SIZE=x\r\nMAIL FROM:<a> SIZE=21\r\n"
	          "MAIL FROM:<a> BODY=9BIT\r\nMAIL FROM:<a> XSESSION=1\r\n"
	          "MAIL FROM:<a> SIZE=20 BODY=8BITMIME AUTH=<>\r\n"
	          "RCPT TO:<x> XKEY=1\r\n",
	    GREETING "501 5.5.4 SIZE=number\r\n552 5.3.4 Message too big\r\n"
	             "501 5.5.4 BODY is 7BIT or 8BITMIME\r\n"
	             "555 5.5.4 Unknown parameter\r\n" TAKEN
	             "555 5.5.4 Unknown parameter\r\n" },
	{ "a trusted peer",
	    HELLO "AUTH PLAIN\r\nwrong\r\nAUTH PLAIN\r\n*\r\n"
	          "AUTH PLAIN\r\nsecret\r\nAUTH PLAIN\r\n"
	          "MAIL FROM:<a> XSESSION=1\r\nRCPT TO:<x> XKEY=1\r\n"
	          "RCPT TO:<x> XOTHER=1\r\n",
	    GREETING
	    "334 c2F5\r\n535 5.7.8 x\r\n334 c2F5\r\n501 5.7.0 x\r\n"
	    "334 c2F5\r\n235 2.7.0 x\r\n503 5.5.1 Not now\r\n" TAKEN TAKEN
	    "555 5.5.4 Unknown parameter\r\n" },
	{ "TLS forgets what was said", HELLO SENDER "STARTTLS\r\n" SENDER,
	    GREETING TAKEN
	    "220 2.0.0 Begin TLS\r\n[TLS]503 5.5.1 LHLO first\r\n" },
	{ "bad commands in a row",
	    "FOO\r\nNOOP\r\nEHLO x\r\nFOO\r\nLHLO\r\nNOOP\r\n",
	    "220 h murder LMTP ready\r\n500 5.5.1 Unknown command\r\n"
	    "250 2.0.0 Done\r\n500 5.5.1 This is LMTP: say LHLO\r\n"
	    "500 5.5.1 Unknown command\r\n501 5.5.4 Who are you?\r\n"
	    "421 4.7.0 Too many bad commands\r\n[FINISH]" },
	{ "goodbye", "QUIT\r\nNOOP\r\n",
	    "220 h murder LMTP ready\r\n221 2.0.0 Goodbye\r\n[FINISH]" },
	{ "a lone LF", "NOOP\nNOOP\r\n",
	    "220 h murder LMTP ready\r\n500 5.5.2 Line too long, or "
	    "malformed\r\n[FINISH]" },
	{ "a lone LF in a message",
	    HELLO SENDER "RCPT TO:<x>\r\nDATA\r\na\n.\r\n", NULL },
	{ "other commands", "VRFY x\r\nHELP\r\n",
	    "220 h murder LMTP ready\r\n252 2.5.0 Try to deliver\r\n"
	    "214 2.0.0 See RFC 2033\r\n" },
};

/*
 * Octets of a message that is refused may or may not be seen, as the pieces
 * fall: only what is said counts.
 */
static char *
without_octets(char *s)
{
	char *from = strstr(s, GO), *to;

	if (from == NULL)
		return s;
	from += strlen(GO);
	to = strstr(from, "55");
	if (to != NULL)
		memmove(from, to, strlen(to) + 1);
	return s;
}

static void
test_case(size_t i)
{
	char *whole = run(cases[i].in, strlen(cases[i].in));
	const char *want = cases[i].want;

	if (want == NULL) {
		without_octets(whole);
		ok(strstr(whole,
		       "552 5.3.4 Message too big\r\n"
		       "552 5.3.4 Message too big\r\n[RESET]" TAKEN) != NULL ||
		        strstr(whole, "550 5.6.0 A NUL, or a lone CR or LF, in "
		                      "it\r\n[FINISH]") != NULL,
		    "%s", cases[i].name);
	} else
		is_str(whole, want, cases[i].name);
	for (size_t piece = 1; piece < 40; piece++) {
		char *got = run(cases[i].in, piece);

		if (want == NULL)
			without_octets(got);
		if (strcmp(got, whole) != 0)
			is_str(got, whole, "the same in pieces");
		free(got);
	}
	free(whole);
}

static void
test_drain(void)
{
	struct owner o = { .over = false };
	struct lmtp_server_item item;

	buf_init(&o.out, OUT_ROOM);
	lmtp_server_init(&o.server, &limits, &o.out);
	feed(&o, HELLO SENDER, strlen(HELLO SENDER), 100);
	lmtp_server_drain(&o.server);
	feed(&o, "RCPT TO:<x>\r\nDATA\r\n.\r\n", 23, 100);
	buf_putc(&o.out, '\0');
	ok(strstr((const char *)buf_data(&o.out),
	       "250 2.1.5 first\r\n[over]421 4.3.2 Shutting down\r\n"
	       "[FINISH]") != NULL,
	    "the transaction ends, then it is over");
	ok(lmtp_server_next(&o.server, NULL, 0, &o.out, &item) ==
	        LMTP_SERVER_MORE,
	    "FINISH comes once");
	lmtp_server_fini(&o.server);
	buf_fini(&o.out);
}

static void
test_abort(void)
{
	struct owner o = { .over = false };

	buf_init(&o.out, OUT_ROOM);
	lmtp_server_init(&o.server, &limits, &o.out);
	feed(&o, HELLO SENDER "RCPT TO:<x>\r\nDATA\r\nabc", 38, 100);
	lmtp_server_abort(&o.server, &o.out, "4.4.2", "Too slow");
	feed(&o, "x", 1, 100);
	buf_putc(&o.out, '\0');
	ok(strstr((const char *)buf_data(&o.out),
	       "421 4.4.2 Too slow\r\n[FINISH]") != NULL,
	    "given up in the middle");
	lmtp_server_fini(&o.server);
	buf_fini(&o.out);
}

static void
test_many_refused(void)
{
	struct owner o = { .over = false };

	buf_init(&o.out, OUT_ROOM);
	lmtp_server_init(&o.server, &limits, &o.out);
	feed(&o, HELLO SENDER, strlen(HELLO SENDER), 100);
	for (unsigned i = 0; i <= LMTP_SERVER_REFUSED_MAX && !o.over; i++)
		feed(&o, "RCPT TO:<no>\r\n", 14, 100);
	ok(o.over, "not for ever");
	lmtp_server_fini(&o.server);
	buf_fini(&o.out);
}

/* Nobody reads what we say: then nothing is done. */
static void
test_room(void)
{
	struct lmtp_server s;
	struct lmtp_server_item item;
	struct buf out;

	buf_init(&out, LMTP_SERVER_ROOM);
	lmtp_server_init(&s, &limits, &out);
	ok(lmtp_server_next(&s, (const uint8_t *)"NOOP\r\n", 6, &out, &item) ==
	            LMTP_SERVER_MORE &&
	        item.taken == 0,
	    "no room, no command");
	buf_clear(&out);
	ok(lmtp_server_next(&s, (const uint8_t *)"NOOP\r\n", 6, &out, &item) ==
	            LMTP_SERVER_ANSWERED &&
	        item.taken == 6,
	    "room");
	lmtp_server_fini(&s);
	buf_fini(&out);
}

int
main(void)
{
	for (size_t i = 0; i < NITEMS(cases); i++)
		test_case(i);
	test_drain();
	test_abort();
	test_many_refused();
	test_room();
	return done_testing();
}
