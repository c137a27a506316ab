/*
 * imapurl: addresses of messages, and of parts of them, on this server
 * (RFC 5092), as CATENATE has them.
 *
 *	/Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=1.MIME/;PARTIAL=0.1024
 *	/Drafts/;UID=20
 *	;UID=20/;SECTION=HEADER		in the mailbox that is selected
 *
 * Addresses with a server in them, of lists of messages or with an
 * authorisation (RFC 4467) are refused.
 */
#ifndef IMAP_IMAPURL_H
#define IMAP_IMAPURL_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/section.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;

struct imapurl {
	struct slice mailbox; /* in modified UTF-7; len 0: the selected one */
	uint32_t uidvalidity; /* 0: not said */
	uint32_t uid;
	struct section section; /* zeroed: the whole message */
	uint64_t offset;        /* of the section's octets */
	uint64_t count;         /* 0: to its end */
};

/* NULL and *u, what is in it in the arena; or why it is none. */
const char *imapurl_parse(struct arena *a, struct slice text,
    struct imapurl *u) MUST_CHECK;

#endif
