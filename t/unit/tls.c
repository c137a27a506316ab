/*
 * tls: what a context accepts.  Connections are tested with lib/stream.
 */
#include "lib/err.h"
#include "lib/must.h"
#include "lib/tls.h"
#include "t/cert.h"
#include "t/tap.h"

int
main(void)
{
	struct cert *ca = cert_new(NULL, "Test CA", NULL);
	struct cert *host = cert_new(ca, "mail.example.org", NULL);
	struct slice cert = cert_pem(host), key = cert_key(host),
	             other = cert_key(ca), none = { NULL, 0 },
	             bad = slice_str("not PEM\n");
	const struct {
		const char *title;
		struct tls_material m;
		bool server, good;
	} cases[] = {
		{ "a server", { cert, key, none, false }, true, true },
		{ "with a CA", { cert, key, cert_pem(ca), true }, true, true },
		{ "without a certificate", { none, none, none, false }, true,
		    false },
		{ "without a key", { cert, none, none, false }, true, false },
		{ "with another key", { cert, other, none, false }, true,
		    false },
		{ "with no certificate in the file", { bad, key, none, false },
		    true, false },
		{ "with no key in the file", { cert, bad, none, false }, true,
		    false },
		{ "with no CA in the file", { cert, key, bad, false }, true,
		    false },
		{ "that requires, without a CA", { cert, key, none, true },
		    true, false },
		{ "a client", { none, none, none, false }, false, true },
		{ "that verifies", { none, none, cert_pem(ca), true }, false,
		    true },
		{ "with a certificate", { cert, key, none, false }, false,
		    true },
	};

	for (size_t i = 0; i < NITEMS(cases); i++) {
		struct err err = { "" };
		struct tls *t = cases[i].server
		                    ? tls_server_new(&cases[i].m, &err)
		                    : tls_client_new(&cases[i].m, &err);

		ok((t != NULL) == cases[i].good, "%s: %s", cases[i].title,
		    cases[i].good ? "fine" : err.text);
		ok(cases[i].good || err.text[0] != '\0', "and says why not");
		tls_free(&t);
	}
	cert_free(&host);
	cert_free(&ca);
	return done_testing();
}
