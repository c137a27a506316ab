/*
 * announce: this server's voice at the update server.
 *
 * One MUPDATE connection that stays, authenticated, with any number of
 * commands under way; answers are matched in order.  When it breaks, what was
 * under way is answered ANNOUNCE_UNAVAILABLE, and it is made again after a
 * pause that doubles, with jitter.  While it is down, commands are answered
 * ANNOUNCE_UNAVAILABLE at once.
 *
 * After each connection the owner's connected() is called: the owner compares
 * and repairs.
 */
#ifndef BACKENDD_ANNOUNCE_H
#define BACKENDD_ANNOUNCE_H

#include <stdbool.h>

struct announce;
struct jobs;
struct log;
struct loop;
struct tls;

enum announce_result {
	ANNOUNCE_OK,
	ANNOUNCE_REFUSED,    /* NO or BAD */
	ANNOUNCE_UNAVAILABLE /* not asked, or not answered */
};

typedef void announce_cb(void *arg, enum announce_result r, const char *text);

struct announce_conf {      /* borrowed for the life of the object */
	const char *server; /* host:port */
	const char *user, *password, *mechanisms;
	struct tls *tls;            /* NULL: never */
	bool implicit;              /* TLS from the first octet */
	bool starttls;              /* refuse a server without it */
	bool external;              /* tls has a client certificate */
	unsigned first_ms, last_ms; /* pause before the next attempt */
	unsigned answer_ms;         /* a command's deadline */
};

struct announce *announce_new(struct loop *l, struct jobs *jobs,
    struct log *log, const struct announce_conf *conf,
    void (*connected)(void *arg), void *arg);

/* What is under way is not called back. */
void announce_free(struct announce **ap);

bool announce_is_up(const struct announce *a);

/* Never call back from inside.  Strings are copied. */
void announce_reserve(struct announce *a, const char *name,
    const char *location, announce_cb *cb, void *arg);
void announce_activate(struct announce *a, const char *name,
    const char *location, const char *acl, announce_cb *cb, void *arg);
/* From active to reserved. */
void announce_deactivate(struct announce *a, const char *name,
    const char *location, announce_cb *cb, void *arg);
void announce_delete(struct announce *a, const char *name, announce_cb *cb,
    void *arg);

/* What the server has under a location's host: each, then end. */
struct announce_entry {
	const char *name, *location, *acl; /* acl NULL: reserved */
};
typedef void announce_entry_cb(void *arg, const struct announce_entry *e);
void announce_find(struct announce *a, const char *name,
    announce_entry_cb *entry, announce_cb *cb, void *arg);
void announce_list(struct announce *a, const char *prefix,
    announce_entry_cb *entry, announce_cb *cb, void *arg);

#endif
