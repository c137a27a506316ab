/*
 * transfer: Content-Transfer-Encoding undone, octet stream to octet stream.
 *
 * Forgiving, as mail is: in base64 what is no base64 is skipped, in
 * quoted-printable what is no escape stands for itself.  An unknown encoding is
 * taken as binary.  Its law is that cuts do not matter.
 */
#ifndef IMAP_TRANSFER_H
#define IMAP_TRANSFER_H

#include <stdint.h>

#include "lib/slice.h"

struct buf;

enum transfer_encoding {
	TRANSFER_BINARY, /* 7bit and 8bit too */
	TRANSFER_BASE64,
	TRANSFER_QUOTED
};

/* Embed it; the members are transfer.c's own. */
struct transfer {
	enum transfer_encoding encoding;
	uint32_t bits;
	unsigned nbits;
	uint8_t held[4]; /* quoted: an escape not complete */
	unsigned nheld;
};

/* From a Content-Transfer-Encoding field's value. */
enum transfer_encoding transfer_encoding_of(struct slice value);

void transfer_init(struct transfer *t, enum transfer_encoding encoding);
void transfer_put(struct transfer *t, struct slice in, struct buf *out);
void transfer_end(struct transfer *t, struct buf *out);

#endif
