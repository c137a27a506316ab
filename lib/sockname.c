#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/sockname.h"
#include "lib/xalloc.h"

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

/* A path need not end in NUL; the first octet of an abstract one is. */
static char *
path_text(const union address *a, socklen_t len)
{
	size_t n = 0, most = 0;

	if (len > offsetof(struct sockaddr_un, sun_path))
		most = len - offsetof(struct sockaddr_un, sun_path);
	if (most > sizeof(a->un.sun_path))
		most = sizeof(a->un.sun_path);
	while (n < most && a->un.sun_path[n] != '\0')
		n++;
	return n == 0 ? xstrdup("local") : xstrndup(a->un.sun_path, n);
}

static char *
address_text(const union address *a, socklen_t len)
{
	char host[INET6_ADDRSTRLEN] = "", text[INET6_ADDRSTRLEN + 16];

	switch (a->any.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host));
		snprintf(text, sizeof(text), "%s:%u", host,
		    ntohs(a->in.sin_port));
		return xstrdup(text);
	case AF_INET6:
		inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host));
		snprintf(text, sizeof(text), "[%s]:%u", host,
		    ntohs(a->in6.sin6_port));
		return xstrdup(text);
	case AF_UNIX:
		return path_text(a, len);
	default:
		return xstrdup("unknown");
	}
}

char *
sockname_peer(int fd)
{
	union address a = { .any = { .sa_family = AF_UNSPEC } };
	socklen_t len = sizeof(a);

	if (getpeername(fd, &a.any, &len) == -1)
		return xstrdup("unknown");
	return address_text(&a, len);
}

char *
sockname_local(int fd)
{
	union address a = { .any = { .sa_family = AF_UNSPEC } };
	socklen_t len = sizeof(a);

	if (getsockname(fd, &a.any, &len) == -1)
		return xstrdup("unknown");
	return address_text(&a, len);
}

bool
sockname_is_loopback(int fd)
{
	union address a = { .any = { .sa_family = AF_UNSPEC } };
	socklen_t len = sizeof(a);
	const uint8_t *ip = a.in6.sin6_addr.s6_addr;

	if (getpeername(fd, &a.any, &len) == -1)
		return false;
	switch (a.any.sa_family) {
	case AF_UNIX:
		return true;
	case AF_INET:
		return ntohl(a.in.sin_addr.s_addr) >> 24 == 127;
	case AF_INET6:
		return IN6_IS_ADDR_LOOPBACK(&a.in6.sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&a.in6.sin6_addr) &&
		           ip[12] == 127);
	default:
		return false;
	}
}
