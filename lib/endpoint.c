#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "lib/endpoint.h"
#include "lib/ascii.h"
#include "lib/err.h"

bool
endpoint_is_path(const char *text)
{
	return text[0] == '/';
}

int
endpoint_split(const char *text, char host[ENDPOINT_HOST],
    char port[ENDPOINT_PORT], struct err *err)
{
	struct slice s = slice_str(text), name, digits;
	size_t colon = slice_rfind(s, ':');
	uint64_t number;

	if (colon == s.len)
		return err_set(err, "\"%s\" has no port: write host:port",
		    text);
	name = slice_first(s, colon);
	digits = slice_skip(s, colon + 1);
	if (name.len > 1 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
		name = slice_of(name.ptr + 1, name.len - 2);
	else if (slice_find(name, ':') < name.len)
		return err_set(err, "\"%s\": write an IPv6 address in brackets",
		    text);
	if (name.len == 0 || name.len >= ENDPOINT_HOST)
		return err_set(err, "\"%s\" has no host", text);
	if (digits.len >= ENDPOINT_PORT ||
	    !ascii_number(digits, 65535, &number))
		return err_set(err, "\"%s\": the port is not a number", text);
	memcpy(host, name.ptr, name.len);
	host[name.len] = '\0';
	memcpy(port, digits.ptr, digits.len);
	port[digits.len] = '\0';
	return 0;
}

static int
parse_path(struct endpoint *a, const char *text, struct err *err)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&a->storage;
	size_t n = strlen(text);

	if (n >= sizeof(sun->sun_path))
		return err_set(err, "\"%s\" is too long for a socket", text);
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, text, n + 1);
	a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
	return 0;
}

int
endpoint_parse(struct endpoint *a, const char *text, struct err *err)
{
	struct sockaddr_in *sin = (struct sockaddr_in *)&a->storage;
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&a->storage;
	char host[ENDPOINT_HOST], port[ENDPOINT_PORT];
	uint64_t number = 0;
	bool any;

	memset(a, 0, sizeof(*a));
	if (endpoint_is_path(text))
		return parse_path(a, text, err);
	if (endpoint_split(text, host, port, err) == -1)
		return -1;
	if (!ascii_number(slice_str(port), 65535, &number))
		return err_set(err, "\"%s\": the port is not a number", text);
	any = strcmp(host, "*") == 0;
	if (text[0] == '[') {
		sin6->sin6_family = AF_INET6;
		sin6->sin6_port = htons((uint16_t)number);
		a->len = sizeof(*sin6);
		if (any || inet_pton(AF_INET6, host, &sin6->sin6_addr) == 1)
			return 0; /* all zeros is any */
	} else {
		sin->sin_family = AF_INET;
		sin->sin_port = htons((uint16_t)number);
		a->len = sizeof(*sin);
		if (any || inet_pton(AF_INET, host, &sin->sin_addr) == 1)
			return 0;
	}
	return err_set(err, "\"%s\" is not an address in numbers", text);
}

void
endpoint_text(const struct endpoint *a, char *text, size_t n)
{
	const struct sockaddr_in *sin = (const void *)&a->storage;
	const struct sockaddr_in6 *sin6 = (const void *)&a->storage;
	const struct sockaddr_un *sun = (const void *)&a->storage;
	char host[INET6_ADDRSTRLEN] = "";

	if (a->storage.ss_family == AF_INET) {
		inet_ntop(AF_INET, &sin->sin_addr, host, sizeof(host));
		snprintf(text, n, "%s:%u", host, ntohs(sin->sin_port));
	} else if (a->storage.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &sin6->sin6_addr, host, sizeof(host));
		snprintf(text, n, "[%s]:%u", host, ntohs(sin6->sin6_port));
	} else if (a->len > offsetof(struct sockaddr_un, sun_path)) {
		snprintf(text, n, "%.*s", (int)sizeof(sun->sun_path),
		    sun->sun_path);
	} else {
		snprintf(text, n, "local");
	}
}
