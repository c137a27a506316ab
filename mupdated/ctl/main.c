/*
 * murderctl: ask the update server what it knows, and break what is stuck.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/ascii.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/loop.h"
#include "lib/verb.h"
#include "lib/xalloc.h"
#include "mupdated/ctl/conf.h"
#include "mupdated/ctl/ctl.h"
#include "mupdated/ctl/asker.h"

#define CONF_FILE "/etc/murder/murderctl.conf"

struct command {
	struct verb verb; /* first */
	enum ctl_exit (*run)(struct ctl *c);
};

static const struct command commands[] = {
	{ { "status", 0, 0, "", "revision, and entries by host and state" },
	    ctl_status },
	{ { "list", 0, 1, "[PREFIX | --host HOST]",
	      "names, where and in which state" },
	    ctl_list },
	{ { "explain", 1, 1, "NAME", "all that is known of one name" },
	    ctl_explain },
	{ { "reservations", 0, 0, "",
	      "who holds names, since when, until when" },
	    ctl_reservations },
	{ { "break", 1, 2, "NAME [GENERATION]", "end a reservation" },
	    ctl_break },
};

static const struct verbs verbs = { commands, NITEMS(commands),
	sizeof commands[0] };

/* The command line. */
struct line {
	const char *file, *server, *user, *host;
	const char *words[3]; /* command and arguments */
	unsigned nwords;
	bool json, check;
	struct err err;
};

static enum ctl_exit
usage(const char *why)
{
	if (why != NULL)
		fprintf(stderr, "murderctl: %s\n", why);
	fprintf(stderr,
	    "usage: murderctl [-n] [-f FILE] [-s HOST:PORT] [-u USER] "
	    "[--json] COMMAND\n");
	verb_print(&verbs, stderr);
	return CTL_USAGE;
}

/* Where the value of an option goes; NULL if it is none that has one. */
static const char **
place_of(struct line *l, const char *option)
{
	if (strcmp(option, "-f") == 0)
		return &l->file;
	if (strcmp(option, "-s") == 0)
		return &l->server;
	if (strcmp(option, "-u") == 0)
		return &l->user;
	if (strcmp(option, "--host") == 0)
		return &l->host;
	return NULL;
}

/* Options may stand before and behind the command; "--" ends them. */
static int
parse(struct line *l, int argc, char **argv)
{
	bool options = true;

	for (int i = 1; i < argc; i++) {
		const char **place = options ? place_of(l, argv[i]) : NULL;

		if (place != NULL && i + 1 == argc)
			return err_set(&l->err, "%s needs a value", argv[i]);
		if (place != NULL)
			*place = argv[++i];
		else if (options && strcmp(argv[i], "--") == 0)
			options = false;
		else if (options && strcmp(argv[i], "--json") == 0)
			l->json = true;
		else if (options && strcmp(argv[i], "-n") == 0)
			l->check = true;
		else if (options && argv[i][0] == '-')
			return err_set(&l->err, "%s: no such option", argv[i]);
		else if (l->nwords == NITEMS(l->words))
			return err_set(&l->err, "%s: one too many", argv[i]);
		else
			l->words[l->nwords++] = argv[i];
	}
	return 0;
}

static void
replace(char **member, const char *value)
{
	if (value == NULL)
		return;
	free(*member);
	*member = xstrdup(value);
}

static enum ctl_exit
run(const struct command *command, struct ctl *c)
{
	enum ctl_exit result = CTL_FAILED;
	struct err err;

	c->loop = loop_new();
	if (asker_open(&c->asker, c->loop, c->conf, &err) == -1)
		(void)ctl_fail(err.text); /* as it is */
	else
		result = command->run(c);
	asker_close(&c->asker);
	loop_free(&c->loop);
	return result;
}

static enum ctl_exit
start(struct line *l, const struct command *command, struct ctl *c)
{
	const char *file = l->file != NULL ? l->file : CONF_FILE;
	enum ctl_exit result = CTL_OK;
	struct ctl_conf *conf;
	struct err err;

	conf = conf_read(&ctl_conf_table, file, &err);
	if (conf == NULL) {
		(void)ctl_fail(err.text); /* as it is */
		fprintf(stderr, "murderctl: see murderctl.conf(5), or name "
		                "another file with -f\n");
		return CTL_FAILED;
	}
	replace(&conf->server, l->server);
	replace(&conf->user, l->user);
	c->conf = conf;
	if (l->check)
		conf_print(&ctl_conf_table, conf, stdout);
	else
		result = run(command, c);
	conf_free(&ctl_conf_table, (void **)&conf);
	return result;
}

int
main(int argc, char **argv)
{
	struct line l = { .nwords = 0 };
	struct ctl c = { .asker = NULL };
	const struct command *command = NULL;
	enum ctl_exit result;

	if (parse(&l, argc, argv) == -1)
		return (int)usage(l.err.text);
	if (!l.check && l.nwords == 0)
		return (int)usage(NULL);
	if (l.nwords > 0 && (command = verb_find(&verbs, l.words[0],
	                         l.nwords - 1, &l.err)) == NULL)
		return (int)usage(l.err.text);
	if (l.host != NULL &&
	    (command == NULL || command->run != ctl_list || l.nwords > 1))
		return (int)usage("--host goes with list, without a PREFIX");
	if (l.nwords == 3 &&
	    !ascii_number(slice_str(l.words[2]), UINT64_MAX, &c.generation))
		return (int)usage("GENERATION is a number");
	c.name = l.nwords > 1 ? l.words[1] : NULL;
	c.host = l.host;
	c.json = l.json;
	out_init(&c.out);
	result = start(&l, command, &c);
	if (!out_fini(&c.out) && result == CTL_OK)
		result = ctl_fail("standard output cannot be written");
	return (int)result;
}
