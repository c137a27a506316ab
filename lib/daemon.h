/*
 * daemon: the parent process.  It reads the configuration and keys, binds,
 * forks, restarts what dies, and never parses what a peer sent.
 *
 * A daemon describes itself (struct daemon_spec) and calls daemon_main() from
 * main().  Each kind of child is a table of functions that run in the child,
 * around its event loop.
 *
 *	-d  stay in the foreground, log to standard error
 *	-f  FILE instead of the default configuration
 *	-n  check the configuration, print what is in force, exit 0 or 1
 *	-v  log more
 *
 * SIGHUP reloads: children get the new configuration, sessions go on.  SIGTERM
 * drains: children stop accepting and end when done or after the deadline.
 * A child that dies is started again (after 100 ms, doubling to 10 s while it
 * dies young) and its neighbours get new sockets to it.  Children die with
 * their parent.
 */
#ifndef LIB_DAEMON_H
#define LIB_DAEMON_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/cdefs.h"
#include "lib/conf.h"
#include "lib/slice.h"

struct child;
struct conf_table;
struct err;
struct log;
struct loop;

/* What every daemon's configuration struct begins with; see DAEMON_ITEMS. */
struct daemon_conf {
	char *user; /* to become, if started as root */
	char *pid_file;
	char *log_level;      /* err warn info debug */
	uint64_t drain_ms;    /* after SIGTERM */
	uint64_t restart_ms;  /* at the most, until a child is there again */
	uint64_t descriptors; /* RLIMIT_NOFILE wanted; 0: as many as allowed */
	struct conf_list admin_listen; /* lib/admin */
};

/* Rows for these, T being the struct with a member "daemon". */
#define DAEMON_ITEMS(T)                                                        \
	{ "user", CONF_STRING, offsetof(T, daemon.user), NULL, 0, 0, NULL,     \
		"User to run as when started by root." },                      \
	    { "pid_file", CONF_STRING, offsetof(T, daemon.pid_file), NULL, 0,  \
		    0, NULL, "Where to write the parent's process id." },      \
	    { "log_level", CONF_STRING, offsetof(T, daemon.log_level), "info", \
		    0, 0, NULL,                                                \
		    "Least level to log: err, warn, info or debug." },         \
	    { "drain_timeout", CONF_DURATION, offsetof(T, daemon.drain_ms),    \
		    "10s", 0, 0, NULL,                                         \
		    "How long sessions may go on after SIGTERM." },            \
	    { "restart_delay", CONF_DURATION, offsetof(T, daemon.restart_ms),  \
		    "10s", 10, 3600000, NULL,                                  \
		    "After how long a process that dies again and again is "   \
		    "started again, at the most." },                           \
	    { "admin_listen", CONF_LIST, offsetof(T, daemon.admin_listen),     \
		    NULL, 0, 0, NULL,                                          \
		    "Address for /healthz and /metrics, such as "              \
		    "127.0.0.1:9390." },                                       \
	{                                                                      \
		"descriptors", CONF_NUMBER, offsetof(T, daemon.descriptors),   \
		    "0", 0, 0, NULL,                                           \
		    "Descriptor limit of each process; 0 for the highest "     \
		    "allowed."                                                 \
	}

/* A kind of child.  All functions run in the child's process. */
struct daemon_child {
	const char *name; /* "imap"; shown in ps and in the log */

	/* How many, by the configuration. */
	unsigned (*count)(const void *conf);

	/*
	 * Makes the child's state, *statep.  child_*() below tell what there
	 * is.  -1 and *err: the daemon says why and ends (at start) or tries
	 * again (later).
	 */
	int (*start)(struct child *c, void **statep, struct err *err);

	/* A descriptor (lib/ipc) to a neighbour; an old one has ended. */
	void (
	    *neighbour)(void *state, const char *name, unsigned index, int fd);

	/* The new configuration is child_conf() from now on.  May be NULL. */
	void (*reload)(void *state);

	/* Stop accepting; call child_drained() when nothing is left. */
	void (*drain)(void *state);
};

/* Two kinds of children that talk: each of the one with each of the other. */
struct daemon_link {
	const char *a, *b;
};

/* A file the parent reads at start and reload: keys, certificates. */
struct daemon_file {
	const char *name; /* for child_file() */
	size_t offset;    /* of the char * with the path, in the conf */
};

struct daemon_listen {
	const char *name;  /* for child_listener() */
	size_t offset;     /* of the struct conf_list of addresses */
	const char *child; /* which kind accepts */
};

struct daemon_spec {
	const char *name; /* "proxyd" */
	const char *conf_file;
	const struct conf_table *conf; /* begins with struct daemon_conf */
	const struct daemon_child *const *children; /* NULL-terminated */
	const struct daemon_link *links;            /* ends with NULLs */
	const struct daemon_listen *listens;        /* ends with NULLs */
	const char *tool; /* the listener for a tool of ours that speaks
	                     lib/ipc: paths.  NULL: there is none */
	const struct daemon_file *files; /* ends with NULLs */
};

int daemon_main(const struct daemon_spec *spec, int argc, char **argv);

/* In a child. */
struct loop *child_loop(struct child *c);
struct log *child_log(struct child *c);
const void *child_conf(struct child *c); /* until reload returns */
unsigned child_index(struct child *c);   /* 0, 1, ... among its kind */
unsigned child_count(struct child *c, const char *name); /* of a kind */

/* The nth descriptor bound for a listener of this name, or -1. */
int child_listener(struct child *c, const char *name, unsigned n);

/* What a file held; empty if not configured. */
struct slice child_file(struct child *c, const char *name);

void child_drained(struct child *c);

#endif
