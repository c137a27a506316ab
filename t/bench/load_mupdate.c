/*
 * bench/load_mupdate: changes of an update server's list (RFC 3656): RESERVE
 * and ACTIVATE of new mailboxes, and filling a list by ACTIVATE.
 */
#include <inttypes.h>
#include <stdio.h>

#include "lib/base64.h"
#include "lib/buf.h"
#include "t/bench/client.h"
#include "t/bench/load.h"
#include "t/bench/mupdate.h"

enum {
	NAME_ROOM = 100,
	OUT_ENOUGH = 64 * 1024 /* octets that wait, then no more commands */
};

/* --- what all have ---------------------------------------------------------- */

static void
log_in(struct client *c)
{
	const struct load_options *o = c->load->options;
	struct buf *out = client_out(c);
	char plain[200];
	int n = snprintf(plain, sizeof plain, "%c%s%c%s", 0, o->user, 0,
	    o->password);

	buf_puts(out, "L AUTHENTICATE \"PLAIN\" \"");
	base64_encode(out, slice_of(plain, (size_t)n));
	buf_puts(out, "\"\r\n");
	client_flush(c);
	c->state = MUPDATE_LOGIN;
}

bool
mupdate_greet(struct client *c, struct slice line)
{
	if (c->state == MUPDATE_BANNER) {
		if (slice_starts_nocase(line, "* OK"))
			log_in(c);
		return true;
	}
	if (c->state != MUPDATE_LOGIN)
		return false;
	c->state = MUPDATE_READY;
	if (slice_starts_nocase(line, "L OK"))
		load_ready(c);
	else
		load_failed(c, line);
	return true;
}

void
mupdate_put(struct client *c, char tag, const char *verb, const char *name)
{
	buf_printf(client_out(c), "%c %s \"%s\" \"%s!default\"", tag, verb,
	    name, c->load->options->server);
}

void
mupdate_put_acl(struct client *c, const char *identifier)
{
	buf_printf(client_out(c), " \"%s\tlrswipkxtecda\t\"\r\n", identifier);
}

/* --- RESERVE and ACTIVATE ----------------------------------------------------- */

static void
put_change(struct client *c)
{
	char name[NAME_ROOM];

	snprintf(name, sizeof name, "user.bench.%" PRIx64 ".%u.%u",
	    c->load->run, c->number, c->sent / 2);
	if (c->sent++ % 2 == 0) {
		mupdate_put(c, 'A', "RESERVE", name);
		buf_puts(client_out(c), "\r\n");
	} else {
		mupdate_put(c, 'A', "ACTIVATE", name);
		mupdate_put_acl(c, "bench");
	}
}

static void
change_more(struct client *c)
{
	uint64_t window = c->load->options->window;

	if (c->state != MUPDATE_READY || c->sent - c->count >= window)
		return;
	while (c->sent - c->count < window)
		put_change(c);
	client_flush(c);
}

static void
change_go(struct client *c)
{
	c->began = load_clock();
	change_more(c);
}

/* A sample is a pair's time, if only one is under way. */
static void
change_line(struct client *c, struct slice s)
{
	int64_t now;

	if (mupdate_greet(c, s))
		return;
	if (!slice_starts_nocase(s, "A OK")) {
		load_failed(c, s);
		return;
	}
	if (++c->count % 2 != 0)
		return;
	now = load_clock();
	load_sample(c->load, now - c->began);
	c->began = now;
}

const struct protocol protocol_mupdate = { .mode = "mupdate",
	.help = "RESERVE and ACTIVATE for a server (-b), -w commands under way",
	.line = change_line,
	.go = change_go,
	.seen = change_more };

/* --- filling ------------------------------------------------------------------ */

/* The nth mailbox of all: users have -B each, the first is the INBOX. */
static void
put_nth(struct client *c, uint64_t nth)
{
	uint64_t boxes = c->load->options->boxes;
	char user[40], name[NAME_ROOM];

	snprintf(user, sizeof user, "u%07" PRIu64, nth / boxes);
	if (nth % boxes == 0)
		snprintf(name, sizeof name, "user.%s", user);
	else
		snprintf(name, sizeof name, "user.%s.folder%" PRIu64, user,
		    nth % boxes);
	mupdate_put(c, 'A', "ACTIVATE", name);
	mupdate_put_acl(c, user);
}

/* Each client has a part of its own, in order. */
static uint64_t
first_of(const struct client *c, uint64_t number)
{
	const struct load_options *o = c->load->options;

	return o->names * number / o->clients;
}

static void
fill_more(struct client *c)
{
	uint64_t from = first_of(c, c->number);
	uint64_t n = first_of(c, c->number + 1) - from;

	if (c->state != MUPDATE_READY)
		return;
	while (c->sent < n && c->sent - c->count < c->load->options->window &&
	       buf_len(client_out(c)) < OUT_ENOUGH)
		put_nth(c, from + c->sent++);
	client_flush(c);
}

static void
fill_line(struct client *c, struct slice s)
{
	if (mupdate_greet(c, s))
		return;
	if (!slice_starts_nocase(s, "A OK")) {
		load_failed(c, s);
		return;
	}
	c->count++;
	load_sample(c->load, 0);
	if (c->load->nsamples == c->load->options->names)
		load_stop(c->load);
}

const struct protocol protocol_fill = { .mode = "fill",
	.help = "ACTIVATE of -k mailboxes, -B a user, -w commands under way",
	.line = fill_line,
	.go = fill_more,
	.seen = fill_more };
