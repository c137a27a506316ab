#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imap/mupdate_conf.h"
#include "lib/ascii.h"
#include "lib/err.h"
#include "lib/tls_conf.h"
#include "proxyd/conf.h"

#define AT(member) offsetof(struct proxyd_conf, member)

/* clang-format off */
static const struct conf_item items[] = {
	DAEMON_ITEMS(struct proxyd_conf),
	AUTH_ITEMS(struct proxyd_conf),
	{ "hostname", CONF_STRING, AT(hostname), "localhost", 0, 0, NULL,
	    "Name of this host, in greetings and Received fields." },
	{ "directory", CONF_STRING, AT(directory), "/var/lib/murder/proxyd",
	    0, 0, NULL, "Where the copy of the mailbox list is kept." },
	{ "listen", CONF_LIST, AT(listen), NULL, 0, 0, NULL,
	    "Address for IMAP, such as *:143; repeat for more." },
	{ "listen_tls", CONF_LIST, AT(listen_tls), NULL, 0, 0, NULL,
	    "Address for IMAP with TLS from the start, such as *:993." },
	{ "sieve_listen", CONF_LIST, AT(sieve_listen), NULL, 0, 0, NULL,
	    "Address for ManageSieve, such as *:4190." },
	{ "lmtp_listen", CONF_LIST, AT(lmtp_listen), NULL, 0, 0, NULL,
	    "Address for LMTP from MX hosts, such as 192.0.2.1:24." },
	TLS_ITEMS(struct proxyd_conf),
	{ "imap_workers", CONF_NUMBER, AT(imap_workers), "0", 0, 1024, NULL,
	    "Processes for IMAP and ManageSieve; 0 for one a core." },
	{ "lmtp_workers", CONF_NUMBER, AT(lmtp_workers), "1", 1, 1024, NULL,
	    "Processes for LMTP." },
	MUPDATE_ITEMS(struct proxyd_conf, mupdate_),
	MUPDATE_PASSWORD_ITEM(struct proxyd_conf, mupdate_),
	{ "mupdate_timeout", CONF_DURATION, AT(mupdate_ms), "20s", 100, 0,
	    NULL, "How long the update server may be silent, or take to answer." },
	{ "list_shards", CONF_NUMBER, AT(list_shards), "1", 1, 256, NULL,
	    "Files the mailbox list is divided over; fixed once made." },
	{ "list_shrink", CONF_NUMBER, AT(list_shrink), "50", 1, 100, NULL,
	    "Hold back removals of more than so many percent of the list." },
	{ "backend", CONF_LIST, AT(backends), NULL, 0, 0, NULL,
	    "NAME IMAP-ADDRESS [lmtp=ADDRESS] [weight=N]; one a backend." },
	{ "proxy_user", CONF_STRING, AT(proxy_user), NULL, 0, 0, NULL,
	    "Name to log in with at backends, for the client's user." },
	{ "proxy_password", CONF_STRING, AT(proxy_password), NULL, 0, 0, NULL,
	    "Password of proxy_user." },
	{ "proxy_mechanisms", CONF_STRING, AT(proxy_mechanisms),
	    "EXTERNAL PLAIN", 0, 0, NULL,
	    "SASL mechanisms to log in with at backends." },
	{ "backend_tls", CONF_CHOICE, AT(backend_tls), "no", 0, 0,
	    "no starttls yes", "TLS towards backends." },
	{ "backend_ca", CONF_STRING, AT(backend_ca), NULL, 0, 0, NULL,
	    "PEM file of the authorities that sign backends' certificates." },
	{ "backend_cert", CONF_STRING, AT(backend_cert), NULL, 0, 0, NULL,
	    "PEM file of a client certificate to log in with, by EXTERNAL." },
	{ "backend_key", CONF_STRING, AT(backend_key), NULL, 0, 0, NULL,
	    "PEM file of its key." },
	{ "admin", CONF_LIST, AT(admins), NULL, 0, 0, NULL,
	    "User who may see and place every mailbox; repeat for more." },
	MBOXNAME_ITEMS(struct proxyd_conf),
	{ "max_sessions", CONF_NUMBER, AT(max_sessions), "100000", 1, 0, NULL,
	    "Sessions of one worker; more have to wait." },
	{ "max_line", CONF_SIZE, AT(max_line), "64k", 1024, 0, NULL,
	    "Octets of a command, its literals not counted." },
	{ "max_literal", CONF_SIZE, AT(max_literal), "256k", 1024, 0, NULL,
	    "Octets of a command's literals, messages not counted." },
	{ "max_message", CONF_SIZE, AT(max_message), "50M", 1024, 0, NULL,
	    "Octets of a message." },
	{ "login_timeout", CONF_DURATION, AT(login_ms), "60s", 1000, 0, NULL,
	    "How long a client may take to log in." },
	{ "idle_timeout", CONF_DURATION, AT(idle_ms), "30m", 1000, 0, NULL,
	    "How long a client may be silent." },
	{ "backend_timeout", CONF_DURATION, AT(backend_ms), "10s", 100, 0,
	    NULL, "How long connecting and logging in to a backend may take." },
	{ "command_timeout", CONF_DURATION, AT(command_ms), "5m", 1000, 0,
	    NULL, "How long a backend may be silent in the midst of a command." },
	{ "sync_timeout", CONF_DURATION, AT(sync_ms), "3s", 10, 0, NULL,
	    "How long to wait until the copy of the list is current." },
	{ "outcome_timeout", CONF_DURATION, AT(outcome_ms), "15s", 0, 0, NULL,
	    "How long to ask what became of a change when its backend is lost." },
	{ "retry_delay", CONF_DURATION, AT(retry_ms), "1s", 0, 0, NULL,
	    "How long a backend that did not answer is left alone." },
	{ "smtp_relay", CONF_STRING, AT(smtp_relay), NULL, 0, 0, NULL,
	    "Address that takes mail from redirect and reject by SMTP." },
	{ "postmaster", CONF_STRING, AT(postmaster), "postmaster@localhost",
	    0, 0, NULL, "Sender of what we write ourselves." },
	{ "spool_directory", CONF_STRING, AT(spool_directory), "/tmp", 0, 0,
	    NULL, "Where large messages are kept while they pass." },
	{ "lmtp_connections", CONF_NUMBER, AT(lmtp_connections), "32", 1,
	    10000, NULL, "Connections of a worker to a backend's LMTP." },
	{ "message_timeout", CONF_DURATION, AT(message_ms), "30m", 1000, 0,
	    NULL, "How long a mail sender may take from MAIL to the end of "
	    "the message." },
	{ "max_recipients", CONF_NUMBER, AT(max_recipients), "1000", 1,
	    10000, NULL, "Recipients of one LMTP transaction." },
	{ "script_max", CONF_SIZE, AT(script_max), "256k", 1024, 0, NULL,
	    "Octets of a Sieve script." },
	{ "script_cache", CONF_NUMBER, AT(script_cache), "10000", 0, 0, NULL,
	    "Scripts that a worker remembers." },
	{ "max_actions", CONF_NUMBER, AT(max_actions), "32", 1, 0, NULL,
	    "Actions of one run of a script." },
	{ "max_redirects", CONF_NUMBER, AT(max_redirects), "4", 0, 0, NULL,
	    "Redirects of one run of a script." },
	{ "subaddress_separator", CONF_STRING, AT(subaddress_separator), "+",
	    0, 0, NULL, "What divides user from detail in an address." },
	{ "share_user", CONF_STRING, AT(share_user), "shared", 0, 0, NULL,
	    "Mail to this user's subaddress goes to a shared mailbox." },
};
/* clang-format on */

static void
set_default_lmtp(struct proxyd_backend *b)
{
	size_t colon = slice_rfind(slice_str(b->imap), ':');

	snprintf(b->lmtp, sizeof(b->lmtp), "%.*s:24", (int)colon, b->imap);
}

static int
parse_option(struct proxyd_backend *b, const char *word, struct err *err)
{
	uint64_t n;

	if (strncmp(word, "lmtp=", 5) == 0 &&
	    strlen(word + 5) < sizeof(b->lmtp)) {
		memcpy(b->lmtp, word + 5, strlen(word + 5) + 1);
		return 0;
	}
	if (strncmp(word, "weight=", 7) == 0 &&
	    ascii_number(slice_str(word + 7), 1000000, &n)) {
		b->weight = (unsigned)n;
		return 0;
	}
	return err_set(err, "\"%s\" is neither lmtp=ADDRESS nor weight=NUMBER",
	    word);
}

int
proxyd_backend_parse(struct proxyd_backend *b, const char *line,
    struct err *err)
{
	char copy[1024], *at = copy, *word, *save = NULL;
	unsigned n = 0;

	*b = (struct proxyd_backend){ .weight = 1 };
	if (strlen(line) >= sizeof(copy))
		return err_set(err, "the line is too long");
	memcpy(copy, line, strlen(line) + 1);
	for (; (word = strtok_r(at, " \t", &save)) != NULL; at = NULL, n++) {
		char *to = n == 0 ? b->name : b->imap;
		size_t room = n == 0 ? sizeof(b->name) : sizeof(b->imap);

		if (n > 1) {
			if (parse_option(b, word, err) == -1)
				return -1;
			continue;
		}
		if (strlen(word) >= room)
			return err_set(err, "\"%s\" is too long", word);
		memcpy(to, word, strlen(word) + 1);
		if (n == 1)
			set_default_lmtp(b);
	}
	if (n < 2)
		return err_set(err, "give NAME and IMAP-ADDRESS");
	return 0;
}

void
proxyd_backend_find(const struct proxyd_conf *conf, const char *server,
    struct proxyd_backend *b)
{
	struct err err;

	for (size_t i = 0; i < conf->backends.count; i++) {
		/* Checked when the file was read. */
		if (proxyd_backend_parse(b, conf->backends.items[i], &err) ==
		        0 &&
		    strcmp(b->name, server) == 0)
			return;
	}
	*b = (struct proxyd_backend){ .weight = 0 };
	snprintf(b->name, sizeof(b->name), "%s", server);
	snprintf(b->imap, sizeof(b->imap), "%s%s", b->name,
	    strchr(server, ':') == NULL ? ":143" : "");
	set_default_lmtp(b);
}

bool
proxyd_is_admin(const struct proxyd_conf *conf, const char *user)
{
	for (size_t i = 0; i < conf->admins.count; i++)
		if (strcmp(conf->admins.items[i], user) == 0)
			return true;
	return false;
}

const char *
proxyd_user_of(const struct proxyd_conf *conf, const char *authcid,
    const char *authzid)
{
	if (authzid[0] == '\0' || strcmp(authzid, authcid) == 0)
		return authcid;
	return proxyd_is_admin(conf, authcid) ? authzid : NULL;
}

static int
check(const void *arg, struct err *err)
{
	const struct proxyd_conf *c = arg;
	struct proxyd_backend b;

	for (size_t i = 0; i < c->backends.count; i++)
		if (proxyd_backend_parse(&b, c->backends.items[i], err) == -1)
			return err_add(err, "backend = %s",
			    c->backends.items[i]);
	if (c->mupdate_server == NULL)
		return err_set(err, "mupdate_server is missing: give the "
		                    "update server's address");
	if (tls_conf_check(c->tls_cert, c->tls_key, &c->listen_tls, err) == -1)
		return -1;
	if (strlen(c->subaddress_separator) != 1)
		return err_set(err,
		    "subaddress_separator must be one character");
	return 0;
}

const struct conf_table proxyd_conf_table = { items, NITEMS(items),
	sizeof(struct proxyd_conf), check };
