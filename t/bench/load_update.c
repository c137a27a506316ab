/*
 * bench/load_update: subscribers of an update server: how long the list takes
 * to reach one, and how long a change does.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/bench/client.h"
#include "t/bench/load.h"
#include "t/bench/mupdate.h"

enum {
	UPDATING = MUPDATE_READY + 1, /* the list is coming in */
	CURRENT,                      /* what comes now are changes */
	CHANGES_MAX = 1000 * 1000
};

/* --- the whole list ------------------------------------------------------------ */

/* What all clients got: entries, and where the stream is. */
struct update {
	uint64_t entries;
	char epoch[80];
	uint64_t revision;
	struct timer *timer; /* propagate: the next change */
	unsigned changes;    /* ...made */
	unsigned answered;
	uint64_t seen;
	int64_t *answered_at; /* ...of each change, 0: not yet */
	int64_t *seen_at;     /* ...by each subscriber: seen before answered */
};

static struct update *
update_of(struct load *l)
{
	if (l->state == NULL)
		l->state = xcalloc(1, sizeof(struct update));
	return l->state;
}

static void
ask(struct client *c, const char *command)
{
	c->began = load_clock();
	c->state = UPDATING;
	buf_printf(client_out(c), "U %s\r\n", command);
	client_flush(c);
}

/* "NOOP" is what -x is when nobody said it. */
static void
update_go(struct client *c)
{
	const char *command = c->load->options->command;

	ask(c, strcmp(command, "NOOP") == 0 ? "UPDATE" : command);
}

/* 'U XFULL "epoch" "n"', 'U XSINCE "epoch"' and 'U XAT "revision"'. */
static void
note_position(struct update *u, struct slice s)
{
	struct slice quoted = slice_skip(s, slice_find(s, '"'));
	size_t n;

	if (quoted.len == 0)
		return;
	quoted = slice_skip(quoted, 1);
	n = slice_find(quoted, '"');
	if (slice_starts_nocase(s, "U XAT "))
		(void)ascii_number(slice_first(quoted, n), UINT64_MAX,
		    &u->revision); /* a test would notice 0 */
	else if (n < sizeof u->epoch)
		snprintf(u->epoch, sizeof u->epoch, "%.*s", (int)n,
		    (const char *)quoted.ptr);
}

static bool
is_entry(struct slice s)
{
	return slice_starts_nocase(s, "U MAILBOX ") ||
	       slice_starts_nocase(s, "U XENTRY ") ||
	       slice_starts_nocase(s, "U RESERVE ") ||
	       slice_starts_nocase(s, "U XGONE ");
}

/* True: the list is here. */
static bool
take_list(struct client *c, struct slice s)
{
	struct update *u = update_of(c->load);

	if (is_entry(s)) {
		u->entries++;
	} else if (slice_starts_nocase(s, "U X")) {
		note_position(u, s);
	} else if (slice_starts_nocase(s, "U OK")) {
		c->state = CURRENT;
		return true;
	} else if (slice_starts_nocase(s, "U ")) {
		load_failed(c, s);
	}
	return false;
}

static void
update_line(struct client *c, struct slice s)
{
	struct load *l = c->load;

	if (mupdate_greet(c, s) || c->state != UPDATING || !take_list(c, s))
		return;
	load_sample(l, load_clock() - c->began);
	if (l->nsamples == l->options->clients)
		load_stop(l);
}

static void
update_report(struct load *l)
{
	const struct update *u = update_of(l);

	printf(", \"entries\": %" PRIu64 ", \"epoch\": \"%s\", "
	       "\"revision\": %" PRIu64,
	    u->entries, u->epoch, u->revision);
}

const struct protocol protocol_update = { .mode = "update",
	.help = "UPDATE, or what -x says, until the whole list is here",
	.line = update_line,
	.go = update_go,
	.report = update_report };

/* --- a change's way to all subscribers ------------------------------------------ */

/* The last client changes, the others look on. */
static bool
is_writer(const struct client *c)
{
	return c->number + 1 == c->load->options->clients;
}

static void
stop_if_seen(struct load *l)
{
	const struct update *u = update_of(l);
	uint64_t subscribers = l->options->clients - 1;

	if (u->changes > 0 && u->answered == u->changes &&
	    u->changes == l->options->rate * l->options->names &&
	    u->seen == u->changes * subscribers)
		load_stop(l);
}

static void
make_change(void *arg)
{
	struct client *c = arg;
	struct update *u = update_of(c->load);
	const struct load_options *o = c->load->options;
	char name[100];

	snprintf(name, sizeof name, "user.prop%" PRIx64 "n%u", c->load->run,
	    u->changes++);
	mupdate_put(c, 'A', "ACTIVATE", name);
	mupdate_put_acl(c, "bench");
	client_flush(c);
	if (u->changes < o->rate * o->names)
		timer_set(u->timer, (int64_t)(u->changes * 1000 / o->rate) -
		                        (load_clock() - c->began) / 1000);
}

static void
propagate_go(struct client *c)
{
	struct update *u = update_of(c->load);
	const struct load_options *o = c->load->options;
	size_t n = (size_t)(o->rate * o->names);

	if (!is_writer(c))
		return;
	MUST(n < CHANGES_MAX);
	u->answered_at = xcalloc(n, sizeof *u->answered_at);
	u->seen_at = xcalloc(n * o->clients, sizeof *u->seen_at);
	u->timer = timer_new(c->load->loop, make_change, c);
	c->began = load_clock();
	timer_set(u->timer, 0);
}

/* Seen before it was answered is seen at once. */
static void
count(struct load *l, unsigned nth, size_t subscriber)
{
	struct update *u = update_of(l);
	int64_t answered = u->answered_at[nth];
	int64_t seen = u->seen_at[nth * l->options->clients + subscriber];

	if (answered == 0 || seen == 0)
		return;
	u->seen++;
	load_sample(l, seen > answered ? seen - answered : 0);
}

static void
take_answer(struct client *c, struct slice s)
{
	struct update *u = update_of(c->load);
	unsigned nth = u->answered;

	if (!slice_starts_nocase(s, "A OK")) {
		load_failed(c, s);
		return;
	}
	u->answered++;
	u->answered_at[nth] = load_clock();
	for (size_t i = 0; i + 1 < c->load->options->clients; i++)
		count(c->load, nth, i);
	stop_if_seen(c->load);
}

/* The name of a change, wherever it stands. */
static void
look_for_change(struct client *c, struct slice s)
{
	struct update *u = update_of(c->load);
	char prefix[60];
	int n = snprintf(prefix, sizeof prefix, "user.prop%" PRIx64 "n",
	    c->load->run);
	uint64_t nth;

	while (s.len > 0 && !slice_starts(s, slice_of(prefix, (size_t)n)))
		s = slice_skip(s, 1 + slice_find(slice_skip(s, 1), 'u'));
	if (s.len == 0)
		return;
	s = slice_skip(s, (size_t)n);
	if (!ascii_number(slice_first(s, slice_find(s, '"')), UINT32_MAX,
	        &nth) ||
	    nth >= u->changes)
		return;
	u->seen_at[nth * c->load->options->clients + c->number] = load_clock();
	count(c->load, (unsigned)nth, c->number);
	stop_if_seen(c->load);
}

/* A subscriber is ready when it has the list; the writer at once. */
static void
propagate_line(struct client *c, struct slice s)
{
	if (c->state == MUPDATE_LOGIN && !is_writer(c)) {
		if (slice_starts_nocase(s, "L OK"))
			update_go(c);
		else
			load_failed(c, s);
	} else if (mupdate_greet(c, s)) {
		return;
	} else if (is_writer(c)) {
		take_answer(c, s);
	} else if (c->state == UPDATING) {
		if (take_list(c, s))
			load_ready(c);
	} else if (is_entry(s)) {
		look_for_change(c, s);
	}
}

static void
propagate_literal(struct client *c, struct slice octets)
{
	if (c->state == CURRENT)
		look_for_change(c, octets);
}

static void
propagate_report(struct load *l)
{
	struct update *u = update_of(l);

	printf(", \"changes\": %u, \"missing\": %" PRIu64, u->changes,
	    u->changes * (l->options->clients - 1) - u->seen);
	timer_free(&u->timer);
	free(u->answered_at);
	free(u->seen_at);
}

const struct protocol protocol_propagate = { .mode = "propagate",
	.help = "-c less one subscribers, -r changes a second for -k seconds",
	.line = propagate_line,
	.go = propagate_go,
	.literal = propagate_literal,
	.report = propagate_report };
