/*
 * summary: what is worth keeping about a message so that most FETCHes and
 * SEARCHes need not read it.
 *
 * It is made once, when the message arrives, from the whole message; encoded
 * into the store's cache; and decoded, without copying, wherever the message
 * is listed.  The octets of a message never change, so neither does this.  A
 * record of another version does not decode: make it again from the message.
 *
 * A thread is known by its first message: the first Message-ID of References,
 * else of In-Reply-To, else the message's own; of a message without any, by
 * its envelope.  So copies and answers agree without anybody keeping a list,
 * and an answer that names nothing but another answer is a thread of its own.
 *
 * The law: decode(encode(s)) is s, and what is answered from a summary is what
 * would be answered from the message.
 */
#ifndef IMAP_SUMMARY_H
#define IMAP_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

#include "imap/mime.h"
#include "lib/cdefs.h"
#include "lib/slice.h"

struct arena;
struct buf;

enum {
	SUMMARY_HEADERS_MAX = 32 * 1024, /* kept fields, octets */
	SUMMARY_MAX = 8 * 1024 * 1024,   /* ceiling for one encoded summary */
	SUMMARY_THREADID = 16
};

struct summary {
	struct slice envelope;      /* "(...)", ready for the wire */
	struct slice body;          /* BODY */
	struct slice bodystructure; /* BODYSTRUCTURE */
	struct slice headers; /* the fields worth keeping, whole, in order */
	bool headers_cut;     /* there were more than SUMMARY_HEADERS_MAX */
	int64_t sent;         /* Date: as seconds since 1970 UTC */
	int32_t sent_day;     /* ...and its day as written, since 1970-01-01 */
	bool sent_known;      /* there was a Date: that made sense */
	uint8_t threadid[SUMMARY_THREADID]; /* RFC 8474; never zeros */
	struct slice preview;               /* RFC 8970: UTF-8, may be empty */
	struct mime mime;
};

/* What the making takes: it is kept from one message to the next. */
struct summary_room;
struct summary_room *summary_room_new(void);
void summary_room_free(struct summary_room **rp); /* NULL is fine */

/* Everything lives in the arena. */
void summary_make(struct summary_room *r, struct arena *a, struct slice message,
    struct summary *s);

void summary_encode(struct buf *out, const struct summary *s);

/*
 * 0, or -1: not a record of this version.  Texts are borrowed from octets; the
 * part table is in the arena.
 */
int summary_decode(struct arena *a, struct slice octets,
    struct summary *s) MUST_CHECK;

/*
 * The same without the part table, mime.count 0: it costs next to nothing, and
 * everything is borrowed from octets.
 */
int summary_peek(struct slice octets, struct summary *s) MUST_CHECK;

/* Are its parts within a message of this many octets? */
bool summary_fits(const struct summary *s, uint64_t size_octets);

/* Is this its THREADID: "T" and the digits of threadid in hexadecimal? */
bool summary_is_thread(const struct summary *s, struct slice objectid);

/* Is this field among those kept in headers (if the message has it)? */
bool summary_keeps(struct slice name);

#endif
