/*
 * bench/load_mupdate: RESERVE and ACTIVATE of new mailboxes (RFC 3656).
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>

#include "lib/base64.h"
#include "lib/buf.h"
#include "t/bench/client.h"
#include "t/bench/load.h"

enum state {
	BANNER, /* what is waited for */
	LOGIN,
	RESERVE,
	ACTIVATE
};

static void
log_in(struct client *c)
{
	const struct load_options *o = c->load->options;
	struct buf *out = client_out(c);
	char plain[200];
	int n = snprintf(plain, sizeof plain, "%c%s%c%s", 0, o->server, 0,
	    o->password);

	buf_puts(out, "A AUTHENTICATE \"PLAIN\" \"");
	base64_encode(out, slice_of(plain, (size_t)n));
	buf_puts(out, "\"\r\n");
	client_flush(c);
	c->state = LOGIN;
}

static void
put_name(struct client *c, const char *verb)
{
	buf_printf(client_out(c),
	    "A %s \"user.bench.%" PRIx64 ".%u.%u\" \"%s!default\"", verb,
	    c->load->run, c->number, c->count, c->load->options->server);
}

static void
activate(struct client *c)
{
	put_name(c, "ACTIVATE");
	buf_puts(client_out(c), " \"bench\tlrswipkxtecda\t\"\r\n");
	client_flush(c);
	c->state = ACTIVATE;
}

static void
go(struct client *c)
{
	c->began = load_clock();
	c->count++;
	put_name(c, "RESERVE");
	buf_puts(client_out(c), "\r\n");
	client_flush(c);
	c->state = RESERVE;
}

static void
line(struct client *c, struct slice s)
{
	if (c->state == BANNER) {
		if (slice_starts_nocase(s, "* OK"))
			log_in(c);
		return;
	}
	if (!slice_starts_nocase(s, "A OK")) {
		load_failed(c, s);
	} else if (c->state == LOGIN) {
		load_ready(c);
	} else if (c->state == RESERVE) {
		activate(c);
	} else {
		load_done(c);
	}
}

const struct protocol protocol_mupdate = { .mode = "mupdate",
	.help = "RESERVE and ACTIVATE for a server (-b)",
	.line = line,
	.go = go };
