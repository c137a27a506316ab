/*
 * envelope: the ENVELOPE of a message as RFC 9051 7.5.2 writes it.
 *
 * Text is passed on as it stands (encoded words stay encoded); 8-bit text goes
 * into literals, NULs are left out.
 */
#ifndef IMAP_ENVELOPE_H
#define IMAP_ENVELOPE_H

#include "imap/header.h"
#include "lib/slice.h"

struct arena;
struct buf;

/* What it is made of, in its order. */
enum envelope_field {
	ENVELOPE_DATE,
	ENVELOPE_SUBJECT,
	ENVELOPE_FROM,
	ENVELOPE_SENDER,
	ENVELOPE_REPLY_TO,
	ENVELOPE_TO,
	ENVELOPE_CC,
	ENVELOPE_BCC,
	ENVELOPE_IN_REPLY_TO,
	ENVELOPE_MESSAGE_ID,
	ENVELOPE_FIELDS
};

/* Of a table of header_names that begins with these. */
/* clang-format off */
#define ENVELOPE_NAMES                                       \
	[ENVELOPE_DATE] = HEADER_NAME("Date"),               \
	[ENVELOPE_SUBJECT] = HEADER_NAME("Subject"),         \
	[ENVELOPE_FROM] = HEADER_NAME("From"),               \
	[ENVELOPE_SENDER] = HEADER_NAME("Sender"),           \
	[ENVELOPE_REPLY_TO] = HEADER_NAME("Reply-To"),       \
	[ENVELOPE_TO] = HEADER_NAME("To"),                   \
	[ENVELOPE_CC] = HEADER_NAME("Cc"),                   \
	[ENVELOPE_BCC] = HEADER_NAME("Bcc"),                 \
	[ENVELOPE_IN_REPLY_TO] = HEADER_NAME("In-Reply-To"), \
	[ENVELOPE_MESSAGE_ID] = HEADER_NAME("Message-ID")
/* clang-format on */

struct envelope {
	struct header_field fields[ENVELOPE_FIELDS]; /* name empty: none */
};

/* Of the header at the front of octets. */
void envelope_find(struct envelope *e, struct slice octets);

/* "(...)".  The arena is for scratch. */
void envelope_write(struct buf *out, struct arena *a, const struct envelope *e);

/* An nstring: NIL if s.ptr is NULL, else quoted or a literal; no NULs. */
void envelope_string(struct buf *out, struct arena *a, struct slice s);

#endif
