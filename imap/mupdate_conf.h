/*
 * mupdate_conf: the rows of a daemon's configuration table about the update
 * server that it connects to.
 *
 * T has the members with M before their names: server, user, int tls (enum
 * mupdate_tls); for the second, mechanisms, ca, cert and key.
 */
#ifndef IMAP_MUPDATE_CONF_H
#define IMAP_MUPDATE_CONF_H

#include <stddef.h>

#include "lib/conf.h"

enum mupdate_tls {
	MUPDATE_TLS_NO,
	MUPDATE_TLS_STARTTLS,
	MUPDATE_TLS_YES /* from the start */
};

/* clang-format off */
#define MUPDATE_ITEMS(T, M)						\
	{ "mupdate_server", CONF_STRING, offsetof(T, M##server), NULL,	\
	    0, 0, NULL, "Address of the update server, such as "	\
	    "mupdate.example:3905." },					\
	{ "mupdate_user", CONF_STRING, offsetof(T, M##user), NULL,	\
	    0, 0, NULL, "Name to log in with at the update server." },	\
	{ "mupdate_tls", CONF_CHOICE, offsetof(T, M##tls), "no",	\
	    0, 0, "no starttls yes", "TLS towards the update server." }

#define MUPDATE_PASSWORD_ITEM(T, M)					\
	{ "mupdate_password", CONF_STRING, offsetof(T, M##password),	\
	    NULL, 0, 0, NULL, "Password of mupdate_user." }

#define MUPDATE_TLS_ITEMS(T, M)						\
	{ "mupdate_mechanisms", CONF_STRING, offsetof(T, M##mechanisms), \
	    NULL, 0, 0, NULL, "SASL mechanisms to use there; none: any." }, \
	{ "mupdate_ca", CONF_STRING, offsetof(T, M##ca), NULL, 0, 0,	\
	    NULL, "PEM file of the authorities that sign its "		\
	    "certificate; none: do not check it." },			\
	{ "mupdate_cert", CONF_STRING, offsetof(T, M##cert), NULL, 0, 0, \
	    NULL, "PEM file of a client certificate to log in with, by " \
	    "EXTERNAL." },						\
	{ "mupdate_key", CONF_STRING, offsetof(T, M##key), NULL, 0, 0,	\
	    NULL, "PEM file of its key." }
/* clang-format on */

#endif
