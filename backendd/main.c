/*
 * backendd: the mailboxes themselves.  The parent and its kinds of children.
 */
#include <stddef.h>

#include "backendd/conf.h"
#include "backendd/server.h"
#include "lib/admin.h"
#include "lib/auth.h"
#include "lib/daemon.h"

static const struct daemon_link links[] = { { "store", "auth" },
	{ NULL, NULL } };

static const struct daemon_listen listens[] = {
	{ "imap", offsetof(struct backendd_conf, listen), "store" },
	{ "imaps", offsetof(struct backendd_conf, listen_tls), "store" },
	{ "lmtp", offsetof(struct backendd_conf, lmtp_listen), "store" },
	{ "adm", offsetof(struct backendd_conf, admin_sockets), "store" },
	ADMIN_LISTEN(struct backendd_conf, "store"),
	{ NULL, 0, NULL },
};

static const struct daemon_file files[] = {
	{ "tls_cert", offsetof(struct backendd_conf, tls_cert) },
	{ "tls_key", offsetof(struct backendd_conf, tls_key) },
	{ "tls_ca", offsetof(struct backendd_conf, tls_ca) },
	{ "mupdate_ca", offsetof(struct backendd_conf, mupdate_ca) },
	{ "mupdate_cert", offsetof(struct backendd_conf, mupdate_cert) },
	{ "mupdate_key", offsetof(struct backendd_conf, mupdate_key) },
	{ NULL, 0 },
};

int
main(int argc, char **argv)
{
	const struct daemon_child auth =
	    auth_child(offsetof(struct backendd_conf, auth));
	const struct daemon_child *const children[] = { &backendd_store_child,
		&auth, NULL };
	const struct daemon_spec spec = {
		.name = "backendd",
		.conf_file = "/etc/murder/backendd.conf",
		.conf = &backendd_conf_table,
		.children = children,
		.links = links,
		.listens = listens,
		.tool = "adm",
		.files = files,
	};

	return daemon_main(&spec, argc, argv);
}
