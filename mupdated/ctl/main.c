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
#include "lib/xalloc.h"
#include "mupdated/ctl/conf.h"
#include "mupdated/ctl/ctl.h"
#include "mupdated/ctl/asker.h"

#define CONF_FILE "/etc/murder/murderctl.conf"

struct command {
	const char *name;
	unsigned least, most; /* arguments */
	enum ctl_exit (*run)(struct ctl *c);
	const char *arguments, *help;
};

static const struct command commands[] = {
	{ "status", 0, 0, ctl_status, "",
	    "revision, and entries by host and state" },
	{ "list", 0, 1, ctl_list, "[PREFIX | --host HOST]",
	    "names, where and in which state" },
	{ "explain", 1, 1, ctl_explain, "NAME",
	    "all that is known of one name" },
	{ "reservations", 0, 0, ctl_reservations, "",
	    "who holds names, since when, until when" },
	{ "break", 1, 2, ctl_break, "NAME [GENERATION]", "end a reservation" },
};

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
	for (size_t i = 0; i < NITEMS(commands); i++)
		fprintf(stderr, "  %-12s %-24s %s\n", commands[i].name,
		    commands[i].arguments, commands[i].help);
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

static const struct command *
command_of(struct line *l)
{
	for (size_t i = 0; i < NITEMS(commands); i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->name, l->words[0]) != 0)
			continue;
		if (l->nwords - 1 >= c->least && l->nwords - 1 <= c->most)
			return c;
		(void)err_set(&l->err, "%s takes other arguments: %s", c->name,
		    c->arguments);
		return NULL;
	}
	(void)err_set(&l->err, "%s: no such command", l->words[0]);
	return NULL;
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
	if (l.nwords > 0 && (command = command_of(&l)) == NULL)
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
