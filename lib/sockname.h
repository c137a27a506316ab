/*
 * sockname: the two ends of a socket, as text.
 */
#ifndef LIB_SOCKNAME_H
#define LIB_SOCKNAME_H

#include <stdbool.h>

/*
 * "192.0.2.1:143", "[2001:db8::1]:143" or a path; "local" for a UNIX socket
 * without a name, "unknown" for one that has no such end.  Gives the text.
 */
char *sockname_peer(int fd);
char *sockname_local(int fd);

/* Is the peer on this machine? */
bool sockname_is_loopback(int fd);

#endif
