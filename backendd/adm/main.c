/*
 * backendadm: look after the mailboxes of a backend.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/adm/adm.h"
#include "backendd/conf.h"
#include "lib/conf.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/priv.h"
#include "lib/verb.h"

#define CONF_FILE "/etc/murder/backendd.conf"

enum {
	WORDS = 4096
};

struct command {
	struct verb verb; /* first */
	enum adm_exit (*run)(struct adm *a);
	bool look_only; /* what is damaged stays so */
	enum where {
		ANYWHERE,
		STOPPED, /* only if no backendd has the partitions */
		RUNNING  /* only if one has */
	} where;
};

static const struct command commands[] = {
	{ { "list", 0, 0, "", "mailboxes and their partitions" }, adm_list,
	    true, ANYWHERE },
	{ { "verify", 0, WORDS, "[MAILBOX ...]",
	      "read all, and say what is damaged" },
	    adm_verify, true, ANYWHERE },
	{ { "rebuild", 0, WORDS, "--all | MAILBOX ...",
	      "make indexes anew from the messages" },
	    adm_rebuild, false, STOPPED },
	{ { "expunged", 1, 1, "MAILBOX", "messages that can be brought back" },
	    adm_expunged, true, ANYWHERE },
	{ { "undelete", 1, WORDS, "MAILBOX --all | UID ...",
	      "bring them back" },
	    adm_undelete, false, ANYWHERE },
	{ { "export", 2, 2, "[--mbox] MAILBOX TO", "to a new Maildir or mbox" },
	    adm_export, true, ANYWHERE },
	{ { "import", 2, 2, "[--mbox] MAILBOX FROM", "from a Maildir or mbox" },
	    adm_import, false, ANYWHERE },
	{ { "restore", 1, 2, "MAILBOX [NAME]",
	      "bring back a mailbox that was deleted" },
	    adm_restore, false, RUNNING },
};

static const struct verbs verbs = { commands, NITEMS(commands),
	sizeof commands[0] };

static enum adm_exit
usage(const char *why)
{
	if (why != NULL)
		fprintf(stderr, "backendadm: %s\n", why);
	fprintf(stderr, "usage: backendadm [-f FILE] [--json] COMMAND\n");
	verb_print(&verbs, stderr);
	return ADM_USAGE;
}

struct line {
	const char *file;
	char *words[WORDS + 1]; /* command and arguments */
	size_t nwords;
	struct err err;
};

static int
parse(struct line *l, struct adm *a, int argc, char **argv)
{
	bool options = true;

	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];

		if (!options || word[0] != '-') {
			if (l->nwords == NITEMS(l->words))
				return err_set(&l->err, "too many arguments");
			l->words[l->nwords++] = argv[i];
		} else if (strcmp(word, "--") == 0) {
			options = false;
		} else if (strcmp(word, "--json") == 0) {
			a->json = true;
		} else if (strcmp(word, "--all") == 0) {
			a->all = true;
		} else if (strcmp(word, "--mbox") == 0) {
			a->mbox = true;
		} else if (strcmp(word, "-f") == 0 && i + 1 < argc) {
			l->file = argv[++i];
		} else {
			return err_set(&l->err, "%s: no such option", word);
		}
	}
	return 0;
}

/* A backendd that runs, if it can be asked. */
static void
look_for_backendd(struct adm *a, struct err *why_not)
{
	const struct conf_list *paths = &a->conf->admin_sockets;

	a->fd = -1;
	(void)err_set(why_not, "it has no admin_socket (backendd.conf(5))");
	for (size_t i = 0; a->fd == -1 && i < paths->count; i++)
		a->fd = ipc_connect(paths->items[i], why_not);
}

static enum adm_exit
open_and_run(struct adm *a, const struct command *command,
    const struct err *why_not)
{
	enum adm_exit result = ADM_FAILED;
	struct err err;

	if (a->fd != -1 && command->where == STOPPED)
		return adm_fail("%s works only while backendd is stopped",
		    command->verb.name);
	if (a->fd == -1 && command->where == RUNNING)
		return adm_fail("%s works only while backendd runs: %s",
		    command->verb.name, why_not->text);
	if (adm_open(a, &err) == 0) {
		result = command->run(a);
	} else {
		(void)adm_fail("%s", err.text); /* as it is */
		if (a->fd == -1)
			(void)adm_fail("a backendd that runs cannot be asked: "
			               "%s",
			    why_not->text);
	}
	adm_close(a);
	return result;
}

/* As the daemon's user, so that what is written is the daemon's. */
static enum adm_exit
run(struct adm *a, const struct command *command, const char *file)
{
	enum adm_exit result = ADM_FAILED;
	struct backendd_conf *conf;
	struct err err, why_not;

	conf = conf_read(&backendd_conf_table, file, &err);
	if (conf == NULL)
		return adm_fail("%s", err.text);
	a->conf = conf;
	a->look_only = command->look_only;
	look_for_backendd(a, &why_not);
	if (priv_become(conf->daemon.user, &err) == -1)
		(void)adm_fail("%s", err.text); /* as it is */
	else
		result = open_and_run(a, command, &why_not);
	conf_free(&backendd_conf_table, (void **)&conf);
	return result;
}

int
main(int argc, char **argv)
{
	static const struct adm nothing;
	struct line *l = calloc(1, sizeof *l);
	const struct command *command;
	struct adm a = nothing;
	enum adm_exit result;

	if (l == NULL)
		return (int)adm_fail("out of memory");
	l->file = CONF_FILE;
	if (parse(l, &a, argc, argv) == -1) {
		result = usage(l->err.text);
	} else if (l->nwords == 0) {
		result = usage(NULL);
	} else if ((command = verb_find(&verbs, l->words[0], l->nwords - 1,
	                &l->err)) == NULL) {
		result = usage(l->err.text);
	} else {
		a.words = l->words + 1;
		a.nwords = l->nwords - 1;
		out_init(&a.out);
		result = run(&a, command, l->file);
		if (!out_fini(&a.out) && result == ADM_OK)
			result = adm_fail("standard output cannot be written");
	}
	free(l);
	return (int)result;
}
