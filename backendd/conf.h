/*
 * conf: backendd's configuration, as man/backendd.conf.5 describes it.
 */
#ifndef BACKENDD_CONF_H
#define BACKENDD_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/mboxname_conf.h"
#include "lib/auth.h"
#include "lib/conf.h"
#include "lib/daemon.h"

struct backendd_conf {
	struct daemon_conf daemon; /* first: lib/daemon wants it there */
	struct auth_conf auth;

	struct conf_list listen, listen_tls, lmtp_listen;
	struct conf_list admin_sockets; /* backendadm's */
	char *hostname;
	char *directory;             /* the list and the users' data */
	struct conf_list partitions; /* "NAME /directory" */
	struct conf_list maildirs;   /* "NAME LAYOUT" */
	char *temp_directory;        /* large messages on their way in */
	uint64_t job_threads;

	struct mboxname_conf names;
	bool virtual_domains;
	char *default_domain;

	struct conf_list admins, proxy_servers;
	struct conf_list special_use; /* "\Use NAME", made with an INBOX */
	struct conf_list accounts;    /* "NAME KEY=VALUE ..." */
	int autocreate;               /* enum backendd_autocreate */

	char *mupdate_server; /* NULL: stand-alone */
	char *mupdate_user, *mupdate_password, *mupdate_mechanisms;
	int mupdate_tls; /* enum mupdate_tls */

	char *tls_cert, *tls_key, *tls_ca;
	char *mupdate_ca, *mupdate_cert, *mupdate_key;
	uint64_t publish_ms, compare_ms;
	uint64_t progress_ms; /* of INPROGRESS */
	uint64_t list_shrink; /* percent */

	uint64_t max_sessions, max_deliveries;
	uint64_t message_size;    /* one message, octets */
	uint64_t message_memory;  /* of a message on its way in */
	uint64_t append_messages; /* of one APPEND, and texts of CATENATE */
	uint64_t append_size;     /* all of it */
	uint64_t append_memory;   /* all clients' together */
	int literals;             /* enum backendd_literals */
	bool compress;            /* COMPRESS=DEFLATE is offered */
	uint64_t command_size;    /* a command without its literals */
	uint64_t literal_size;    /* the literals of one command */
	uint64_t output_size;     /* what waits to be sent to one client */
	uint64_t login_ms, idle_ms, park_ms, lmtp_idle_ms, message_ms;
	uint64_t bad_commands; /* in a row, then BYE */
	uint64_t max_recipients;
	uint64_t quota_storage, quota_messages, quota_mailboxes; /* 0: none */
	char *quota_warnings; /* percentages */
	int over_quota;       /* enum backendd_over_quota */
	uint64_t metadata_size, metadata_entries, metadata_total;
	char *admin_contact; /* NULL: none is told */
	uint64_t scripts_count, script_size;
	uint64_t duplicate_ms;
	uint64_t expunge_delay_ms, delete_delay_ms;
	uint64_t compact_percent, compact_rate; /* octets a second */
	uint64_t reserve; /* octets of a disk to leave free */
};

enum backendd_literals {
	LITERALS_PLUS,
	LITERALS_MINUS
};

enum backendd_autocreate {
	AUTOCREATE_AUTO, /* if stand-alone */
	AUTOCREATE_YES,
	AUTOCREATE_NO,
	AUTOCREATE_TRIAL,
	AUTOCREATE_RESERVE,
	AUTOCREATE_OFF
};

enum backendd_over_quota {
	OVER_QUOTA_LATER, /* 452 4.2.2 */
	OVER_QUOTA_REJECT /* 552 5.2.2 */
};

extern const struct conf_table backendd_conf_table;

#endif
