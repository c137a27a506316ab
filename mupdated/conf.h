/*
 * conf: mupdated's configuration.
 */
#ifndef MUPDATED_CONF_H
#define MUPDATED_CONF_H

#include "lib/auth.h"
#include "lib/conf.h"
#include "lib/daemon.h"

struct mupdated_conf {
	struct daemon_conf daemon;
	struct auth_conf auth;
	char *hostname;  /* for the banner */
	char *directory; /* of the list */
	struct conf_list listen, listen_tls;
	char *tls_cert, *tls_key, *tls_ca;
	struct conf_list admins, writers, readers;
	struct conf_list hosts; /* "authname:host" */
	bool check_owner;
	uint64_t max_sessions, max_strangers, max_per_address;
	uint64_t max_line, max_literal, max_backlog;
	uint64_t login_ms, idle_ms;
	uint64_t lease_ms;
	uint64_t change_log; /* changes */
	uint64_t shards;
};

extern const struct conf_table mupdated_conf_table;

#endif
