/*
 * conf: what proxyd is told, as a struct and as the table it is read by.
 */
#ifndef PROXYD_CONF_H
#define PROXYD_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "imap/mboxname_conf.h"
#include "imap/mboxrec.h"
#include "lib/auth.h"
#include "lib/cdefs.h"
#include "lib/conf.h"
#include "lib/daemon.h"

struct err;

/* Where the copy of the list is: DIRECTORY "/mailboxes", for lib/treedb. */
#define PROXYD_LIST "mailboxes"

enum conf_tls { /* towards backends */
	CONF_TLS_NO,
	CONF_TLS_STARTTLS,
	CONF_TLS_YES
};

struct proxyd_conf {
	struct daemon_conf daemon; /* first: lib/daemon.h */
	struct auth_conf auth;

	char *hostname;                      /* what to call ourselves */
	char *directory;                     /* of the mailbox list's copy */
	struct conf_list listen, listen_tls; /* IMAP */
	struct conf_list sieve_listen;       /* ManageSieve */
	struct conf_list lmtp_listen;
	char *tls_cert, *tls_key, *tls_ca;
	uint64_t imap_workers, lmtp_workers; /* 0: as many as cores */

	char *mupdate_server; /* host:port */
	char *mupdate_user, *mupdate_password;
	int mupdate_tls;     /* enum mupdate_tls */
	uint64_t mupdate_ms; /* silence, answers, progress */
	uint64_t list_shards;
	uint64_t list_shrink; /* percent */

	struct conf_list backends; /* see proxyd_backend_parse() */
	char *proxy_user, *proxy_password;
	char *proxy_mechanisms;           /* SASL's, space between */
	int backend_tls;                  /* enum conf_tls */
	char *backend_ca;                 /* NULL: not verified */
	char *backend_cert, *backend_key; /* for EXTERNAL */

	struct conf_list admins;
	struct mboxname_conf names;

	uint64_t max_sessions; /* a worker */
	uint64_t max_line;     /* octets of a command without literals */
	uint64_t max_literal;  /* octets of its literals, messages excepted */
	uint64_t max_message;  /* octets */
	uint64_t login_ms;     /* to log in */
	uint64_t idle_ms;      /* without a command; RFC 9051 5.4 */
	uint64_t backend_ms;   /* to connect and log in */
	uint64_t command_ms;   /* without an octet of an answer */
	uint64_t sync_ms;      /* of a barrier at the update server */
	uint64_t outcome_ms;   /* to find out what became of a change */
	uint64_t retry_ms;     /* a backend that did not answer rests */

	char *smtp_relay; /* host:port; NULL: redirect is refused */
	char *postmaster;
	char *spool_directory;     /* temporary files of large messages */
	uint64_t lmtp_connections; /* to each backend, a worker */
	uint64_t max_recipients;
	uint64_t message_ms;
	uint64_t script_max;                 /* octets */
	uint64_t script_cache;               /* scripts a worker remembers */
	uint64_t max_actions, max_redirects; /* of a script's run */
	char *subaddress_separator;          /* one character */
	char *share_user; /* its subaddresses are shared mailboxes */
};

extern const struct conf_table proxyd_conf_table;

/* One line of backends, taken apart. */
struct proxyd_backend {
	char name[MBOXREC_HOST];
	/* Addresses for lib/dial: with a port; and with another. */
	char imap[MBOXREC_HOST + 8], lmtp[MBOXREC_HOST + 12];
	unsigned weight; /* for placing; 0: place nothing there */
};

/*
 * How to reach the server a location names: its line, else the name itself
 * with the default ports.
 */
void proxyd_backend_find(const struct proxyd_conf *conf, const char *server,
    struct proxyd_backend *b);

/* "NAME IMAP-ADDRESS [lmtp=ADDRESS] [weight=N]". */
int proxyd_backend_parse(struct proxyd_backend *b, const char *line,
    struct err *err) MUST_CHECK;

bool proxyd_is_admin(const struct proxyd_conf *conf, const char *user);

/*
 * Whom credentials are for: one of them, or NULL if authcid may not act for
 * authzid.
 */
const char *proxyd_user_of(const struct proxyd_conf *conf, const char *authcid,
    const char *authzid);

#endif
