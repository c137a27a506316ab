/*
 * auth: SASL.  The only user of sasl_*.
 *
 * The server side runs in a child of its own (auth_child), because Cyrus SASL
 * blocks: it opens databases and talks to saslauthd.  Other children hold a
 * struct auth, which is their end of the ipc to all auth children, and run
 * exchanges over it.  The client side (auth_client) does not block and runs
 * where it is needed.
 *
 * Successful PLAIN and LOGIN results may be remembered by the auth child for a
 * configured time, keyed by an HMAC with a secret of the process.
 */
#ifndef LIB_AUTH_H
#define LIB_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct auth;
struct auth_exchange;
struct buf;
struct daemon_child;
struct err;
struct ipc;
struct log;
struct loop;

/* Part of each daemon's configuration; rows by AUTH_ITEMS. */
struct auth_conf {
	uint64_t children;
	char *mechanisms;  /* to offer, space between; NULL: all found */
	char *sasldb;      /* path of a sasldb; NULL: SASL's default */
	char *pwcheck;     /* "auxprop" or "saslauthd" */
	char *saslauthd;   /* path of its socket, NULL: SASL's default */
	char *realm;       /* default realm */
	char *plugin_path; /* NULL: SASL's default */
	bool plaintext;    /* PLAIN and LOGIN without TLS too */
	uint64_t cache_ms; /* remember successes; 0: never */
	uint64_t fail_ms;  /* delay of a failure's answer */
};

#define AUTH_ITEMS(T)                                                          \
	{ "auth_children", CONF_NUMBER, offsetof(T, auth.children), "2", 1,    \
		64, NULL, "Processes that check passwords." },                 \
	    { "sasl_mechanisms", CONF_STRING, offsetof(T, auth.mechanisms),    \
		    NULL, 0, 0, NULL,                                          \
		    "Mechanisms to offer, if not all that are found." },       \
	    { "sasldb", CONF_STRING, offsetof(T, auth.sasldb), NULL, 0, 0,     \
		    NULL, "Path of the sasldb." },                             \
	    { "sasl_pwcheck", CONF_STRING, offsetof(T, auth.pwcheck),          \
		    "auxprop", 0, 0, NULL,                                     \
		    "How to check passwords: auxprop or saslauthd." },         \
	    { "saslauthd", CONF_STRING, offsetof(T, auth.saslauthd), NULL, 0,  \
		    0, NULL, "Path of saslauthd's socket." },                  \
	    { "sasl_realm", CONF_STRING, offsetof(T, auth.realm), "murder", 0, \
		    0, NULL, "Realm of users that name none." },               \
	    { "sasl_plugin_path", CONF_STRING, offsetof(T, auth.plugin_path),  \
		    NULL, 0, 0, NULL, "Where SASL's plug-ins are." },          \
	    { "allow_plaintext", CONF_BOOL, offsetof(T, auth.plaintext), "no", \
		    0, 0, NULL,                                                \
		    "Allow PLAIN and LOGIN without TLS from other hosts "      \
		    "too." },                                                  \
	    { "auth_cache", CONF_DURATION, offsetof(T, auth.cache_ms), "60s",  \
		    0, 0, NULL,                                                \
		    "How long to remember a password that was right." },       \
	{                                                                      \
		"auth_failure_delay", CONF_DURATION,                           \
		    offsetof(T, auth.fail_ms), "2s", 0, 0, NULL,               \
		    "How long a wrong password waits."                         \
	}

/*
 * The auth child of a daemon: a row for daemon_spec.children, name "auth".
 * conf_offset: of the struct auth_conf in the daemon's configuration.
 */
struct daemon_child auth_child(size_t conf_offset);

/* --- in the other children ---------------------------------------------- */

struct auth *auth_new(struct loop *l, struct log *log,
    const struct auth_conf *conf);
void auth_free(struct auth **ap);

/* A neighbour "auth" has come: hand its descriptor over. */
void auth_neighbour(struct auth *a, unsigned index, int fd);
void auth_reload(struct auth *a, const struct auth_conf *conf);

/* What SASL should know of the connection. */
struct auth_peer {
	const char *service;  /* "imap", "lmtp", "sieve", "mupdate" */
	const char *address;  /* as stream_peer() */
	const char *external; /* certificate's identity, or NULL */
	bool secure;          /* TLS, or loopback: plaintext is allowed */
};

/*
 * Names of the mechanisms to offer now, space between; borrowed until the
 * next call; "" while no auth child has answered yet.
 */
const char *auth_mechanisms(struct auth *a, const struct auth_peer *p);

enum auth_result {
	AUTH_CONTINUE,   /* challenge to send; answer with auth_step() */
	AUTH_OK,         /* authcid and authzid are known */
	AUTH_FAIL,       /* wrong credentials; text for the log, not the peer */
	AUTH_UNAVAILABLE /* cannot know now: SASL or its child failed */
};

struct auth_answer {
	enum auth_result result;
	struct slice challenge; /* CONTINUE, or OK with final data; decoded */
	bool has_challenge;     /* OK: final server data must be sent */
	const char *authcid;    /* OK: whose credentials, canonical */
	const char *authzid;    /* OK: whom to act as; "" if not asked for */
	const char *text;
};

typedef void auth_cb(void *arg, const struct auth_answer *a);

/*
 * Begins.  initial: decoded initial response, or NULL for none.  Never calls
 * back from inside.  Secrets are wiped on the way.  The exchange ends with any
 * answer but CONTINUE: *the exchange frees itself then*.
 */
struct auth_exchange *auth_start(struct auth *a, const struct auth_peer *p,
    const char *mechanism, const struct slice *initial, auth_cb *cb, void *arg);

/* The same by name and password: for LOGIN. */
struct auth_exchange *auth_login(struct auth *a, const struct auth_peer *p,
    struct slice user, struct slice password, auth_cb *cb, void *arg);

/*
 * Is there such a user?  OK; FAIL: there is none; UNAVAILABLE: cannot be known,
 * now or with saslauthd at all.  Not for a peer's curiosity: it does not wait.
 */
struct auth_exchange *auth_exists(struct auth *a, const struct auth_peer *p,
    struct slice user, auth_cb *cb, void *arg);

/*
 * After CONTINUE it is the owner's turn: nothing is called back before this,
 * however long the client takes and whatever becomes of the auth child.
 */
void auth_step(struct auth_exchange *x, struct slice response);

/* No call back after it.  Sets *xp to NULL; NULL is fine. */
void auth_cancel(struct auth_exchange **xp);

/* --- the client's side ---------------------------------------------------- */

struct auth_client;

struct auth_secret { /* borrowed for the exchange */
	const char *authcid, *password, *authzid, *realm; /* NULL: none */
	const char *mechanisms; /* allowed, space between; NULL: any */
};

/*
 * Chooses among offered (space between).  -1 and *err if none fits.  EXTERNAL
 * is used when a client certificate was sent and it is offered.
 */
int auth_client_new(struct auth_client **cp, const char *service,
    const char *host, const struct auth_secret *s, const char *offered,
    bool external, struct err *err) MUST_CHECK;
const char *auth_client_mechanism(const struct auth_client *c);

/* The initial response, false if the mechanism has none. */
bool auth_client_first(struct auth_client *c, struct buf *out);

int auth_client_step(struct auth_client *c, struct slice challenge,
    struct buf *out, struct err *err) MUST_CHECK;
void auth_client_free(struct auth_client **cp);

#endif
