/*
 * script: users' active scripts, compiled, as a worker remembers them.
 *
 * Each delivery asks the user's home backend whether what is remembered still
 * holds (XSCRIPT GET user etag), so a script counts from the moment ManageSieve
 * has said OK.  The questions of many deliveries are pipelined on one
 * connection.
 */
#ifndef PROXYD_SCRIPT_H
#define PROXYD_SCRIPT_H

#include <stdbool.h>

struct script_wait;
struct scripts;
struct sieve;
struct worker;
struct xmurder;

struct scripts *scripts_new(struct worker *w, struct xmurder *x);

/* A program and who use it. */
struct script {
	unsigned refs;
	struct sieve *program; /* NULL: none is active, or it is broken */
	char *broken;          /* why, or NULL */
	bool foreign; /* not ours to run: the backend is another's, and does */
};

/* script is NULL if the backend did not answer; else borrowed: ref it. */
typedef void script_cb(void *arg, struct script *script);

/* Never calls back from inside; the wait ends with the call back. */
struct script_wait *script_ask(struct scripts *s, const char *user,
    const char *server, script_cb *cb, void *arg);

/* No call back.  NULL is fine. */
void script_cancel(struct script_wait **wp);

struct script *script_ref(struct script *s);
void script_unref(struct script **sp);

#endif
