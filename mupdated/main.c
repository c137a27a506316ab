/*
 * mupdated: the one list of mailboxes.  The parent and its kinds of children.
 */
#include <stddef.h>

#include "lib/admin.h"
#include "lib/auth.h"
#include "lib/daemon.h"
#include "mupdated/child.h"
#include "mupdated/conf.h"

static const struct daemon_link links[] = { { "list", "auth" },
	{ NULL, NULL } };

static const struct daemon_listen listens[] = {
	{ "listen", offsetof(struct mupdated_conf, listen), "list" },
	{ "listen_tls", offsetof(struct mupdated_conf, listen_tls), "list" },
	ADMIN_LISTEN(struct mupdated_conf, "list"),
	{ NULL, 0, NULL },
};

static const struct daemon_file files[] = {
	{ "tls_cert", offsetof(struct mupdated_conf, tls_cert) },
	{ "tls_key", offsetof(struct mupdated_conf, tls_key) },
	{ "tls_ca", offsetof(struct mupdated_conf, tls_ca) },
	{ NULL, 0 },
};

int
main(int argc, char **argv)
{
	const struct daemon_child auth =
	    auth_child(offsetof(struct mupdated_conf, auth));
	const struct daemon_child *const children[] = { &list_child, &auth,
		NULL };
	const struct daemon_spec spec = {
		.name = "mupdated",
		.conf_file = "/etc/murder/mupdated.conf",
		.conf = &mupdated_conf_table,
		.children = children,
		.links = links,
		.listens = listens,
		.files = files,
	};

	return daemon_main(&spec, argc, argv);
}
