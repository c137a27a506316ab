/*
 * endpoint: where to listen and whom to call, as text.
 *
 *	192.0.2.1:143  [2001:db8::1]:143  host.example:143  *:143  [*]:143
 *	/a/socket
 *
 * Nothing here looks a name up: that blocks, and is lib/dial's business.
 */
#ifndef LIB_ENDPOINT_H
#define LIB_ENDPOINT_H

#include <stdbool.h>
#include <sys/socket.h>

#include "lib/cdefs.h"

enum {
	ENDPOINT_HOST = 256, /* octets of a name with its NUL */
	ENDPOINT_PORT = 6
};

struct err;

struct endpoint {
	struct sockaddr_storage storage;
	socklen_t len;
};

/* Cuts "host:port" in two; brackets are taken off. */
int endpoint_split(const char *text, char host[ENDPOINT_HOST],
    char port[ENDPOINT_PORT], struct err *err) MUST_CHECK;

bool endpoint_is_path(const char *text);

/* Of text that needs no look-up: numbers, a path, "*" for any. */
int endpoint_parse(struct endpoint *a, const char *text,
    struct err *err) MUST_CHECK;

/* The other way, NUL-terminated, cut to n. */
void endpoint_text(const struct endpoint *a, char *text, size_t n);

#endif
