/*
 * proxyd: the frontend.  Its children and how they hang together.
 */
#include <stddef.h>

#include "lib/admin.h"
#include "lib/auth.h"
#include "lib/daemon.h"
#include "proxyd/conf.h"
#include "proxyd/front_child.h"
#include "proxyd/imapd.h"
#include "proxyd/lmtpd.h"

#define AT(member) offsetof(struct proxyd_conf, member)

int
main(int argc, char **argv)
{
	const struct daemon_child auth = auth_child(AT(auth));
	const struct daemon_child *const children[] = { &auth,
		&proxyd_front_child, &proxyd_imap_child, &proxyd_lmtp_child,
		NULL };
	static const struct daemon_link links[] = { { "imap", "auth" },
		{ "imap", "front" }, { "lmtp", "auth" }, { "lmtp", "front" },
		{ NULL, NULL } };
	static const struct daemon_listen listens[] = { { "imap", AT(listen),
		                                            "imap" },
		{ "imaps", AT(listen_tls), "imap" },
		{ "sieve", AT(sieve_listen), "imap" },
		{ "lmtp", AT(lmtp_listen), "lmtp" },
		ADMIN_LISTEN(struct proxyd_conf, "front"), { NULL, 0, NULL } };
	static const struct daemon_file files[] = {
		{ "tls_cert", AT(tls_cert) }, { "tls_key", AT(tls_key) },
		{ "tls_ca", AT(tls_ca) }, { "backend_cert", AT(backend_cert) },
		{ "backend_key", AT(backend_key) },
		{ "backend_ca", AT(backend_ca) }, { NULL, 0 }
	};
	const struct daemon_spec spec = { "proxyd", "/etc/murder/proxyd.conf",
		&proxyd_conf_table, children, links, listens, NULL, files };

	return daemon_main(&spec, argc, argv);
}
