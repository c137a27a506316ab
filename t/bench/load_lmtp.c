/*
 * bench/load_lmtp: deliveries, each to one user, the users in turn.
 */
#include <inttypes.h>
#include <stdbool.h>

#include "lib/buf.h"
#include "t/bench/client.h"
#include "t/bench/load.h"

enum state {
	GREETING, /* what is waited for */
	LHLO,
	ENVELOPE, /* three replies, to commands sent at once */
	CONTENT
};

static void
put_content(struct client *c)
{
	static const char text[] =
	    "The quick brown fox jumps over the lazy dog, and then "
	    "over it again, and more.\r\n";
	struct load *l = c->load;
	struct buf *out = client_out(c);
	size_t end = buf_len(out) + l->options->octets;

	buf_printf(out,
	    "From: sender@example.org\r\nTo: user%u@example.org\r\n"
	    "Subject: measuring %" PRIu64 "\r\n"
	    "Message-ID: <%" PRIx64 ".%" PRIx64 "@bench.example.org>\r\n"
	    "Date: Sun, 22 Nov 2026 01:00:00 +0000\r\n\r\n",
	    c->user, l->unique, l->run, l->unique);
	while (buf_len(out) + sizeof text - 1 <= end)
		buf_put(out, text, sizeof text - 1);
	buf_puts(out, ".\r\n");
	client_flush(c);
	c->state = CONTENT;
}

static void
go(struct client *c)
{
	c->began = load_clock();
	c->user = load_user(c->load);
	c->count = 3;
	c->state = ENVELOPE;
	buf_printf(client_out(c),
	    "MAIL FROM:<sender@example.org>\r\nRCPT TO:<%s%u>\r\nDATA\r\n",
	    c->load->options->user, c->user);
	client_flush(c);
}

static void
line(struct client *c, struct slice s)
{
	if (s.len > 3 && s.ptr[3] == '-')
		return;
	if (s.len == 0 || (s.ptr[0] != '2' && s.ptr[0] != '3')) {
		load_failed(c, s);
		return;
	}
	switch ((enum state)c->state) {
	case GREETING:
		buf_puts(client_out(c), "LHLO bench.example.org\r\n");
		client_flush(c);
		c->state = LHLO;
		break;
	case LHLO:
		load_ready(c);
		break;
	case ENVELOPE:
		if (--c->count == 0)
			put_content(c);
		break;
	case CONTENT:
		load_done(c);
		break;
	}
}

const struct protocol protocol_lmtp = { .mode = "lmtp",
	.help = "a message (-o octets) to one user, distinct Message-IDs",
	.line = line,
	.go = go };
