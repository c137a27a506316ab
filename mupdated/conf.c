#include <string.h>

#include "lib/err.h"
#include "lib/tls_conf.h"
#include "mupdated/conf.h"

#define AT(member) offsetof(struct mupdated_conf, member)

/* clang-format off */
static const struct conf_item items[] = {
	DAEMON_ITEMS(struct mupdated_conf),
	AUTH_ITEMS(struct mupdated_conf),
	{ "hostname", CONF_STRING, AT(hostname), "localhost", 0, 0, NULL,
	    "Name of this host, in the banner." },
	{ "directory", CONF_STRING, AT(directory), "/var/lib/murder/mupdated",
	    0, 0, NULL, "Where the mailbox list is kept." },
	{ "listen", CONF_LIST, AT(listen), NULL, 0, 0, NULL,
	    "Address to serve, such as *:3905; repeat for more." },
	{ "listen_tls", CONF_LIST, AT(listen_tls), NULL, 0, 0, NULL,
	    "Address with TLS from the start, such as *:3906." },
	TLS_ITEMS(struct mupdated_conf),
	{ "admin", CONF_LIST, AT(admins), NULL, 0, 0, NULL,
	    "User who may change every entry; repeat for more." },
	{ "writer", CONF_LIST, AT(writers), NULL, 0, 0, NULL,
	    "User (a backend) who may change its own entries." },
	{ "reader", CONF_LIST, AT(readers), NULL, 0, 0, NULL,
	    "User (a frontend) who may only read." },
	{ "host", CONF_LIST, AT(hosts), NULL, 0, 0, NULL,
	    "USER:HOST: a writer's host, if it is not named as its user." },
	{ "check_owner", CONF_BOOL, AT(check_owner), "yes", 0, 0, NULL,
	    "Writers change entries of their own host only." },
	{ "max_sessions", CONF_NUMBER, AT(max_sessions), "4096", 1, 0, NULL,
	    "Connections; those above are told BYE." },
	{ "max_strangers", CONF_NUMBER, AT(max_strangers), "512", 1, 0, NULL,
	    "Connections that have not logged in." },
	{ "max_sessions_per_address", CONF_NUMBER, AT(max_per_address),
	    "1024", 1, 0, NULL, "Connections from one address." },
	{ "max_line", CONF_SIZE, AT(max_line), "8k", 1024, 1 << 20, NULL,
	    "Octets of a command outside literals." },
	{ "max_literal", CONF_SIZE, AT(max_literal), "128k", 4096, 128 << 10,
	    NULL, "Octets of a literal." },
	{ "max_backlog", CONF_SIZE, AT(max_backlog), "64M", 1 << 20, 1 << 30,
	    NULL, "Octets of changes kept for subscribers that are behind." },
	{ "login_timeout", CONF_DURATION, AT(login_ms), "60s", 1000, 0, NULL,
	    "How long a connection may take to log in." },
	{ "idle_timeout", CONF_DURATION, AT(idle_ms), "30m", 15 * 60 * 1000,
	    0, NULL, "How long a connection may be idle." },
	{ "lease_time", CONF_DURATION, AT(lease_ms), "15m", 1000, 0, NULL,
	    "How long a reservation lasts after its owner has left." },
	{ "change_log", CONF_NUMBER, AT(change_log), "100000", 1, 10000000,
	    NULL, "Changes kept for subscribers that were away." },
	{ "list_shards", CONF_NUMBER, AT(shards), "16", 1, 256, NULL,
	    "Files the list is divided over; fixed once made." },
};
/* clang-format on */

static int
check(const void *arg, struct err *err)
{
	const struct mupdated_conf *c = arg;

	if (c->listen.count + c->listen_tls.count == 0)
		return err_set(err, "listen: no address to serve");
	if (tls_conf_check(c->tls_cert, c->tls_key, &c->listen_tls, err) == -1)
		return -1;
	for (size_t i = 0; i < c->hosts.count; i++)
		if (strchr(c->hosts.items[i], ':') == NULL)
			return err_set(err, "host: %s: not USER:HOST",
			    c->hosts.items[i]);
	return 0;
}

const struct conf_table mupdated_conf_table = { items, NITEMS(items),
	sizeof(struct mupdated_conf), check };
