/*
 * child: the life of a daemon's child, from fork to exit.
 *
 * The parent's half is lib/brood; what they say to each other on the control
 * socket (lib/ipc) is enum control.  What a child's own code may ask is
 * declared in lib/daemon.h, as child_*().
 */
#ifndef LIB_CHILD_H
#define LIB_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "lib/cdefs.h"
#include "lib/log.h"

struct daemon_child;
struct daemon_spec;
struct settings;

enum control {
	CONTROL_STARTED = 1, /* to the parent: start() was good */
	CONTROL_FAILED,      /* to the parent: why it was not */
	CONTROL_NEIGHBOUR,   /* to the child: name, index, descriptor */
	CONTROL_RELOAD,      /* to the child: settings_pack()'s descriptor */
	CONTROL_DRAIN        /* to the child */
};

/* A bound socket. */
struct bound {
	const char *name;  /* of the listener */
	const char *child; /* the kind that accepts */
	int fd;
};

/* What a child is born with; as the parent has it at the fork. */
struct child_birth {
	const struct daemon_spec *spec;
	const struct daemon_child *kind;
	unsigned index;
	const unsigned *counts; /* of each kind, in the spec's order */
	struct settings *settings;
	const struct bound *bounds;
	size_t nbounds;
	int control;
	bool to_stderr, verbose;
	pid_t parent;
};

/* What to log at: as configured, or all of it. */
enum log_level child_log_level(const struct settings *s, bool verbose);

/* The whole of a child's process. */
void child_main(const struct child_birth *birth) NORETURN;

#endif
