/*
 * brood: a daemon's children, seen from the parent.
 *
 * All are started; what dies is started again, later the more often it dies
 * young; neighbours get a socket pair between them whenever one of the two is
 * new.  Draining goes in two steps: those who accept connections first, and
 * those who serve them (auth and the like) when they are gone.
 */
#ifndef LIB_BROOD_H
#define LIB_BROOD_H

#include <stdbool.h>
#include <stddef.h>

struct bound;
struct brood;
struct daemon_spec;
struct log;
struct loop;
struct settings;

enum brood_event {
	BROOD_STARTED, /* all of them, for the first time */
	BROOD_FAILED,  /* one could not be started the first time; why */
	BROOD_ENDED    /* all of them, after brood_drain() */
};

typedef void brood_cb(void *arg, enum brood_event ev, const char *why);

struct brood_setup {
	const struct daemon_spec *spec;
	struct loop *loop;
	struct log *log;
	struct settings *settings; /* until brood_reload() */
	const struct bound *bounds;
	size_t nbounds;
	bool to_stderr, verbose;
	brood_cb *cb;
	void *arg;
};

/* Everything is borrowed for the brood's life.  Starts the children. */
struct brood *brood_new(const struct brood_setup *setup);

/* Kills what is left. */
void brood_free(struct brood **bp);

void brood_reload(struct brood *b, struct settings *settings);

/* BROOD_ENDED comes when all have ended, killed at the latest after ms. */
void brood_drain(struct brood *b, unsigned long long ms);

#endif
