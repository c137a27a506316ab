/*
 * bench/load_imap: log in, select, and then log out, work, or rest.
 */
#include <inttypes.h>
#include <stdbool.h>

#include "lib/buf.h"
#include "t/bench/client.h"
#include "t/bench/load.h"

enum state {
	GREETING, /* what is waited for */
	LOGIN,
	SELECT,
	LOGOUT,
	COMMAND,
	REST
};

static void
send_command(struct client *c, enum state next, const char *text)
{
	/* It may be long, and printf() is slow then. */
	buf_puts(client_out(c), "A ");
	buf_puts(client_out(c), text);
	buf_puts(client_out(c), "\r\n");
	client_flush(c);
	c->state = next;
}

static void
log_in(struct client *c)
{
	const struct load_options *o = c->load->options;

	c->user = load_user(c->load);
	buf_printf(client_out(c), "A LOGIN %s%u %s\r\n", o->user, c->user,
	    o->password);
	client_flush(c);
	c->state = LOGIN;
}

static void
select_mailbox(struct client *c)
{
	buf_printf(client_out(c), "A SELECT %s\r\n", c->load->options->mailbox);
	client_flush(c);
	c->state = SELECT;
}

static void
go_on(struct client *c)
{
	const struct load *l = c->load;

	switch ((enum state)c->state) {
	case LOGIN:
		if (l->options->mailbox[0] != '\0') {
			select_mailbox(c);
			break;
		}
		/* Without one, it is as if it were selected. */
		/* FALLTHROUGH */
	case SELECT:
		if (l->protocol->reconnects)
			send_command(c, LOGOUT, "LOGOUT");
		else if (l->protocol->rests)
			send_command(c, REST, l->options->command);
		else
			load_ready(c);
		break;
	case LOGOUT:
		client_close(c);
		load_done(c);
		break;
	case COMMAND:
		load_done(c);
		break;
	case GREETING:
	case REST:
		break;
	}
}

static void
line(struct client *c, struct slice s)
{
	if (c->state == GREETING) {
		if (slice_starts_nocase(s, "* OK"))
			log_in(c);
		else
			load_failed(c, s);
	} else if (c->state == REST && slice_starts_nocase(s, "+")) {
		load_ready(c);
	} else if (slice_starts_nocase(s, "A OK")) {
		go_on(c);
	} else if (slice_starts_nocase(s, "A ")) {
		load_failed(c, s);
	}
}

static void
go(struct client *c)
{
	c->began = load_clock();
	send_command(c, COMMAND, c->load->options->command);
}

const struct protocol protocol_login = { .mode = "login",
	.help = "connect, LOGIN, SELECT, LOGOUT",
	.reconnects = true,
	.line = line };

const struct protocol protocol_command = { .mode = "command",
	.help = "one command (-x) again and again",
	.line = line,
	.go = go };

const struct protocol protocol_idle = { .mode = "idle",
	.help = "SELECT and a command answered by + (-x IDLE), and stay",
	.rests = true,
	.line = line };
