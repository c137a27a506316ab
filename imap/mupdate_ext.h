/*
 * mupdate_ext: the strings of XMURDER, our extension of MUPDATE.
 *
 * protocols(7) has its grammar and its rules.  imap/mupdate frames the
 * messages; here their arguments are made and understood, on both sides.  What
 * is read is borrowed from the message.  False: a number, a state or a digest
 * is not in form; names and locations are the reader's to judge.
 *
 * The law: put, then parsed by imap/mupdate, then read is the same.
 */
#ifndef IMAP_MUPDATE_EXT_H
#define IMAP_MUPDATE_EXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;
struct mboxdigest;
struct mboxrec;
struct mupdate_message;

enum {
	MUPDATE_EXT_BUCKETS_MAX = 30, /* that one XLIST may name */
	MUPDATE_EXT_EPOCH_MAX = 64    /* octets */
};

/* --- why not: what the text of a NO begins with ---------------------------- */

enum mupdate_code {
	MUPDATE_CODE_NONE,
	MUPDATE_CODE_TAKEN,       /* the name is another's */
	MUPDATE_CODE_FENCED,      /* the generation is an older one */
	MUPDATE_CODE_NOTOWNER,    /* the location, or the entry, is another's */
	MUPDATE_CODE_READONLY,    /* a reader may not change the list */
	MUPDATE_CODE_LIMIT,       /* too long, or too many */
	MUPDATE_CODE_UNAVAILABLE, /* not now: the disk refuses */
	MUPDATE_CODE_MAX
};

/* text is of a NO: "[TAKEN] mailbox already exists". */
enum mupdate_code mupdate_ext_code(struct slice text);

/* "[TAKEN] "; "" for NONE. */
const char *mupdate_ext_code_text(enum mupdate_code code);

/* --- a client's commands --------------------------------------------------- */

/* Without an epoch (empty) the whole list is asked for. */
void mupdate_ext_put_update(struct buf *b, const char *tag, struct slice epoch,
    uint64_t revision);

/* Of r: location, acl, generation, mailboxid, special_uses, type. */
void mupdate_ext_put_activate(struct buf *b, const char *tag, struct slice name,
    const struct mboxrec *r);
void mupdate_ext_put_list(struct buf *b, const char *tag, struct slice host,
    const uint8_t *buckets, size_t n);
void mupdate_ext_put_break(struct buf *b, const char *tag, struct slice name,
    uint64_t generation);

/* --- a server understands them --------------------------------------------- */

/* An empty epoch if there is none. */
bool mupdate_ext_get_update(const struct mupdate_message *m,
    struct slice *epoch, uint64_t *revision) MUST_CHECK;
bool mupdate_ext_get_activate(const struct mupdate_message *m,
    struct slice *name, struct mboxrec *r) MUST_CHECK;

/* wanted[bucket] is set for each that is named. */
bool mupdate_ext_get_list(const struct mupdate_message *m, struct slice *host,
    bool wanted[256]) MUST_CHECK;
bool mupdate_ext_get_break(const struct mupdate_message *m, struct slice *name,
    uint64_t *generation) MUST_CHECK;

/* --- a server's lines; an empty tag leaves the line without one ------------- */

void mupdate_ext_put_since(struct buf *b, struct slice tag, struct slice epoch);
void mupdate_ext_put_full(struct buf *b, struct slice tag, struct slice epoch,
    uint64_t count);

/* Of r: revision, location, acl, state, generation and so on. */
void mupdate_ext_put_entry(struct buf *b, struct slice tag, struct slice name,
    const struct mboxrec *r);
void mupdate_ext_put_gone(struct buf *b, struct slice tag, uint64_t revision,
    struct slice name);
void mupdate_ext_put_at(struct buf *b, struct slice tag, uint64_t revision);
void mupdate_ext_put_grant(struct buf *b, struct slice tag, struct slice name,
    uint64_t generation);
void mupdate_ext_put_digest(struct buf *b, struct slice tag, struct slice host,
    const struct mboxdigest *d);

struct mupdate_lease {
	struct slice name, location, owner;
	uint64_t since, generation; /* since, expires: seconds since 1970 */
	enum {
		MUPDATE_LEASE_HELD,   /* the owner is here */
		MUPDATE_LEASE_ENDING, /* it is not; see expires */
		MUPDATE_LEASE_NEVER /* deactivated: there are data behind it */
	} ends;
	uint64_t expires;
};
void mupdate_ext_put_lease(struct buf *b, struct slice tag,
    const struct mupdate_lease *lease);

/* --- a client understands them --------------------------------------------- */

bool mupdate_ext_get_full(const struct mupdate_message *m, struct slice *epoch,
    uint64_t *count) MUST_CHECK;
bool mupdate_ext_get_entry(const struct mupdate_message *m, struct slice *name,
    struct mboxrec *r) MUST_CHECK;
bool mupdate_ext_get_gone(const struct mupdate_message *m, struct slice *name,
    uint64_t *revision) MUST_CHECK;
bool mupdate_ext_get_at(const struct mupdate_message *m,
    uint64_t *revision) MUST_CHECK;
bool mupdate_ext_get_grant(const struct mupdate_message *m, struct slice *name,
    uint64_t *generation) MUST_CHECK;
bool mupdate_ext_get_digest(const struct mupdate_message *m, struct slice *host,
    struct mboxdigest *d) MUST_CHECK;
bool mupdate_ext_get_lease(const struct mupdate_message *m,
    struct mupdate_lease *lease) MUST_CHECK;

#endif
