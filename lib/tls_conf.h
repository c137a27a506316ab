/*
 * tls_conf: the options of a server's own certificate, the same for every
 * daemon.
 */
#ifndef LIB_TLS_CONF_H
#define LIB_TLS_CONF_H

#include "lib/cdefs.h"
#include "lib/conf.h"

struct err;

/* Rows for the char * members tls_cert, tls_key and tls_ca of T. */
#define TLS_ITEMS(T)                                                          \
	{ "tls_cert", CONF_STRING, offsetof(T, tls_cert), NULL, 0, 0, NULL,   \
		"PEM file of our certificate and its chain; none: no TLS." }, \
	    { "tls_key", CONF_STRING, offsetof(T, tls_key), NULL, 0, 0, NULL, \
		    "PEM file of the certificate's key." },                   \
	{                                                                     \
		"tls_ca", CONF_STRING, offsetof(T, tls_ca), NULL, 0, 0, NULL, \
		    "PEM file of the authorities that sign clients' "         \
		    "certificates."                                           \
	}

/* Is all there that the addresses with TLS from the start need? */
int tls_conf_check(const char *cert, const char *key,
    const struct conf_list *listen_tls, struct err *err) MUST_CHECK;

#endif
