/*
 * load: measures an IMAP, LMTP or MUPDATE server.
 *
 *	load MODE HOST:PORT [-c clients] [-t ms] [-s] ...
 *
 * The answer is one line of JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/ascii.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/tls.h"
#include "lib/xalloc.h"
#include "t/bench/client.h"
#include "t/bench/load.h"

enum {
	CLIENTS_MAX = 15000,
	OPENING_MAX = 64, /* clients that are being set up at a time */
	SAMPLES_MAX = 10 * 1000 * 1000
};

static const struct protocol *const protocols[] = { &protocol_login,
	&protocol_command, &protocol_idle, &protocol_lmtp, &protocol_mupdate,
	&protocol_fill, &protocol_update, &protocol_propagate };

int64_t
load_clock(void)
{
	struct timespec t;

	MUST(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

unsigned
load_user(struct load *l)
{
	return (unsigned)(l->unique++ % l->options->users + 1);
}

/* --- the report ----------------------------------------------------------- */

static int
by_size(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double
percentile(const struct load *l, size_t percent)
{
	return l->nsamples == 0 ? 0
	                        : l->samples[(l->nsamples - 1) * percent / 100];
}

static void
print_text(const char *s)
{
	putchar('"');
	for (; *s != '\0'; s++) {
		if (*s >= ' ' && *s <= '~' && *s != '"' && *s != '\\')
			putchar(*s);
	}
	putchar('"');
}

static void
report(struct load *l)
{
	double seconds = (double)(load_clock() - l->since) / 1e6;

	if (!l->measuring || seconds <= 0)
		seconds = 1;
	if (l->nsamples > 0)
		qsort(l->samples, l->nsamples, sizeof *l->samples, by_size);
	printf("{\"mode\": \"%s\", \"clients\": %zu, \"ready\": %zu, "
	       "\"done\": %zu, \"failed\": %zu, \"seconds\": %.3f, "
	       "\"rate\": %.1f, \"mb\": %.2f, \"p50\": %.1f, \"p99\": %.1f, "
	       "\"why\": ",
	    l->protocol->mode, (size_t)l->options->clients, l->ready,
	    l->nsamples, l->failed, seconds, (double)l->nsamples / seconds,
	    (double)(l->octets - l->octets_before) / 1e6 / seconds,
	    percentile(l, 50), percentile(l, 99));
	print_text(l->why);
	if (l->protocol->report != NULL)
		l->protocol->report(l);
	printf("}\n");
	fflush(stdout);
}

/* --- the run -------------------------------------------------------------- */

static void
over(void *arg)
{
	struct load *l = arg;

	loop_stop(l->loop);
}

void
load_stop(struct load *l)
{
	over(l);
}

static void
start_measuring(struct load *l)
{
	l->measuring = true;
	l->since = load_clock();
	l->octets_before = l->octets;
	timer_set(l->timer, (int64_t)l->options->ms);
}

static void
open_more(struct load *l)
{
	while (l->opened < l->options->clients && l->opening < OPENING_MAX) {
		struct client *c = &l->clients[l->opened];

		*c =
		    (struct client){ .load = l, .number = (unsigned)l->opened };
		l->opened++;
		l->opening++;
		c->began = load_clock();
		client_open(c);
	}
}

/* One more client is ready or has failed. */
static void
settled(struct load *l)
{
	l->opening--;
	open_more(l);
	if (l->ready + l->failed < l->options->clients)
		return;
	if (l->ready == 0) {
		loop_stop(l->loop);
		return;
	}
	if (l->protocol->rests) {
		report(l);
		return;
	}
	start_measuring(l);
	for (size_t i = 0; i < l->opened; i++) {
		if (l->clients[i].stream != NULL)
			l->protocol->go(&l->clients[i]);
	}
}

void
load_ready(struct client *c)
{
	c->load->ready++;
	settled(c->load);
}

void
load_sample(struct load *l, int64_t us)
{
	if (l->nsamples == SAMPLES_MAX)
		return;
	if (l->nsamples == l->room) {
		l->room = l->room == 0 ? 4096 : l->room * 2;
		l->samples =
		    xreallocarray(l->samples, l->room, sizeof *l->samples);
	}
	l->samples[l->nsamples++] = (double)us;
}

static void
begin(struct client *c)
{
	c->began = load_clock();
	if (c->load->protocol->reconnects)
		client_open(c);
	else
		c->load->protocol->go(c);
}

void
load_done(struct client *c)
{
	load_sample(c->load, load_clock() - c->began);
	begin(c);
}

void
load_failed(struct client *c, struct slice why)
{
	struct load *l = c->load;

	if (l->why[0] == '\0')
		snprintf(l->why, sizeof l->why, "%.*s", (int)why.len,
		    (const char *)why.ptr);
	client_close(c);
	l->failed++;
	if (!l->measuring)
		settled(l);
	else if (l->failed >= l->options->clients)
		loop_stop(l->loop); /* enough is enough */
	else if (l->protocol->reconnects)
		begin(c);
}

/* Those who rest do so until whoever started us closes our input. */
static void
input_ended(void *arg, unsigned ready)
{
	char c;

	(void)ready;
	if (read(STDIN_FILENO, &c, 1) <= 0)
		over(arg);
}

static int
make_tls(struct load *l)
{
	struct tls_material none = { .require = false };
	struct err err;

	l->tls = tls_client_new(&none, &err);
	if (l->tls == NULL)
		fprintf(stderr, "load: %s\n", err.text);
	return l->tls == NULL ? -1 : 0;
}

static int
run(const struct load_options *o, const struct protocol *p)
{
	struct load *l = xcalloc(1, sizeof *l);
	struct io *input = NULL;
	bool good;

	l->options = o;
	l->protocol = p;
	l->run = (uint64_t)time(NULL) << 20 | (uint64_t)getpid();
	l->loop = loop_new();
	l->jobs = jobs_new(l->loop, 1);
	l->timer = timer_new(l->loop, over, l);
	l->clients = xcalloc(o->clients, sizeof *l->clients);
	if (o->tls && make_tls(l) == -1)
		return 1;
	if (p->rests) {
		input = io_new(l->loop, STDIN_FILENO, input_ended, l);
		io_want(input, IO_READ);
	}
	if (p->reconnects)
		start_measuring(l);
	open_more(l);
	loop_run(l->loop);
	if (!p->rests || l->ready == 0)
		report(l);
	good = p->rests ? l->ready > 0 : l->nsamples > 0;
	for (size_t i = 0; i < l->opened; i++)
		client_close(&l->clients[i]);
	io_free(&input);
	timer_free(&l->timer);
	jobs_free(&l->jobs);
	tls_free(&l->tls);
	loop_free(&l->loop);
	free(l->clients);
	free(l->samples);
	free(l->state);
	free(l);
	return good ? 0 : 1;
}

/* --- the command line ----------------------------------------------------- */

static int
usage(void)
{
	fprintf(stderr, "usage: load mode host:port [-s] [-c clients] [-t ms]\n"
	                "    [-u user] [-n users] [-p password] [-m mailbox]\n"
	                "    [-x command] [-o octets] [-b server] [-w window]\n"
	                "    [-k names] [-B names of a user] [-r rate]\n"
	                "modes:\n");
	for (size_t i = 0; i < NITEMS(protocols); i++)
		fprintf(stderr, "    %-8s %s\n", protocols[i]->mode,
		    protocols[i]->help);
	return 2;
}

static bool
number(uint64_t max, uint64_t *n)
{
	return ascii_number(slice_str(optarg), max, n) && *n > 0;
}

/* False: not an option of ours, or not a value for it. */
static bool
option(struct load_options *o, int letter)
{
	bool good = true;

	if (letter == 's')
		o->tls = true;
	else if (letter == 'c')
		good = number(CLIENTS_MAX, &o->clients);
	else if (letter == 't')
		good = number(3600 * 1000, &o->ms);
	else if (letter == 'n')
		good = number(1000000, &o->users);
	else if (letter == 'o')
		good = number(1 << 21, &o->octets);
	else if (letter == 'w')
		good = number(4096, &o->window);
	else if (letter == 'k')
		good = number(100 * 1000 * 1000, &o->names);
	else if (letter == 'B')
		good = number(1000 * 1000, &o->boxes);
	else if (letter == 'r')
		good = number(100 * 1000, &o->rate);
	else if (letter == 'u')
		o->user = optarg;
	else if (letter == 'p')
		o->password = optarg;
	else if (letter == 'm')
		o->mailbox = optarg;
	else if (letter == 'x')
		o->command = optarg;
	else if (letter == 'b')
		o->server = optarg;
	else
		good = false;
	return good;
}

int
main(int argc, char **argv)
{
	struct load_options o = { .user = "user",
		.password = "password",
		.mailbox = "INBOX",
		.command = "NOOP",
		.server = "user1",
		.users = 1,
		.clients = 1,
		.ms = 1000,
		.octets = 4096,
		.window = 1,
		.names = 1,
		.boxes = 10,
		.rate = 50 };
	int letter;

	if (argc < 3)
		return usage();
	o.address = argv[2];
	optind = 3;
	while ((letter = getopt(argc, argv, "sc:t:n:o:u:p:m:x:b:w:k:B:r:")) !=
	       -1) {
		if (!option(&o, letter))
			return usage();
	}
	for (size_t i = 0; i < NITEMS(protocols); i++) {
		if (strcmp(protocols[i]->mode, argv[1]) == 0)
			return run(&o, protocols[i]);
	}
	return usage();
}
