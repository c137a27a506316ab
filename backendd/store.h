/*
 * store: where mailboxes are kept; what every kind of mail store does.
 *
 * A struct store is one partition (a directory, mostly a disk) opened by one
 * module; a struct store_mailbox is an open mailbox in it.  Mailboxes are
 * known by MAILBOXID (RFC 8474) alone: names, ACLs and users are somebody
 * else's, and so are sessions, sequence numbers and views.
 *
 * What is in the loop.  Index records (struct store_msg) and the mailbox's
 * numbers are read at once, by store_at() and store_numbers(), and show only
 * what is durable.  Everything that reads message octets or changes anything
 * is asynchronous: it is given a call back, which comes exactly once, from the
 * loop, never from inside the call.  What the caller hands over by pointer
 * (arrays, octets, arg) must live until then, whatever becomes of the session
 * that asked.  why is NULL, or why it could not be done, fit for a client
 * ("No space left on device"); then nothing has changed, except that results
 * said of single items in the array still hold.
 *
 * Changes of one mailbox take effect in the order they are asked for, except
 * that a large message (and those appended with it) does so when its octets
 * have been written.  When a change is durable
 *
 *	1. the index shows it,
 *	2. the mailbox's observer is told (struct store_news), then
 *	3. the asker's call back comes.
 *
 * So several changes may be under way that nobody can see yet; that is why a
 * change of flags is a mask and not a value, and why UNCHANGEDSINCE and
 * duplicate delivery are decided in here, where what is under way is known.
 *
 * Calling loop of a user of a mailbox:
 *
 *	store_open(st, id, opened, me);		... opened(me, mb, NULL)
 *	store_observe(mb, news, me);
 *	for (i = 0; i < store_numbers(mb)->exists; i++)
 *		m = store_at(mb, i);
 *	store_append(mb, items, n, appended, me);
 *	...
 *	store_close(&mb);
 *
 * A module is a directory and one struct store_module; the functions below
 * only forward to it.  Every module passes t/unit/store tests alike.
 */
#ifndef BACKENDD_STORE_H
#define BACKENDD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cdefs.h"
#include "lib/slice.h"

struct buf;
struct err;
struct jobs;
struct log;
struct loop;
struct store;
struct store_chunk;
struct store_mailbox;
struct store_module;

enum {
	STORE_ID_MAX = 64,       /* octets of a MAILBOXID: A-Z a-z 0-9 _ - */
	STORE_KEYWORD_WORDS = 2, /* of 64 bits */
	STORE_KEYWORDS = 128,    /* different ones in a mailbox */
	STORE_KEYWORD_MAX = 64,  /* octets of one */
	STORE_META_MAX = 64 * 1024,
	STORE_CACHE_MAX = 64 * 1024, /* octets of one cache record */
	STORE_ITEMS_MAX = 4096       /* messages in one change */
};

enum store_flag { /* bits of store_msg.flags; \Recent is not kept */
	STORE_SEEN = 1 << 0,
	STORE_ANSWERED = 1 << 1,
	STORE_FLAGGED = 1 << 2,
	STORE_DELETED = 1 << 3,
	STORE_DRAFT = 1 << 4,
	STORE_FLAGS = (1 << 5) - 1 /* all of them; higher bits are modules' */
};

/* A message as the index has it.  What follows "place" is the module's. */
struct store_msg {
	uint32_t crc;
	uint32_t flags; /* of enum store_flag, and bits of the module */
	uint64_t modseq;
	uint64_t keywords[STORE_KEYWORD_WORDS];
	uint32_t uid;
	int16_t zone; /* of internaldate: minutes east of UTC */
	uint16_t spare;
	int64_t internaldate; /* seconds since 1970 */
	int64_t savedate;     /* RFC 8514, seconds */
	int64_t added;        /* to this mailbox by this store, seconds */
	uint64_t size;        /* RFC822.SIZE */
	uint8_t emailid[16];  /* RFC 8474; the same in every copy */
	uint8_t key[16];      /* of the delivery; zeros: none */
	uint64_t place[3];
};

struct store_numbers {
	uint32_t uidvalidity;
	uint32_t uidnext;
	uint64_t highestmodseq; /* at least 1 */
	uint32_t exists, unseen, deleted;
	uint64_t size; /* sum of RFC822.SIZE */
};

/* A mailbox of any store, as the key of a map: in room. */
enum {
	STORE_KEY_MAX = sizeof(struct store *) + STORE_ID_MAX
};
struct slice store_key(uint8_t room[STORE_KEY_MAX], const struct store *st,
    struct slice id);

/* ------------------------------------------------------------- partition */

/* What an operator may change while the store runs. */
struct store_options {
	int64_t hold_seconds;     /* what is expunged can be brought back so
	                             long */
	unsigned compact_percent; /* of octets of no use, and they go; 0:
	                             never */
	uint64_t compact_rate;    /* octets a second, for that; 0: as can be */
	uint64_t reserve;         /* octets of the disk to be left free */
	bool look_only;           /* what is damaged stays so */
};

/*
 * What mailboxes are called, for modules whose directories other programs
 * know by their names.
 */
struct store_naming {
	/* The internal name that meta has; false: it has none. */
	bool (*name)(void *arg, struct slice meta, struct buf *name);

	/* The meta of a mailbox that was found; false: that is no name. */
	bool (
	    *meta)(void *arg, const char *name, uint32_t now, struct buf *meta);
	void *arg;
};

struct store_env {
	struct loop *loop; /* all borrowed for the life of the store */
	struct jobs *jobs;
	struct log *log;
	const struct store_naming *naming; /* NULL: names are not known */
	const char *layout; /* of directories, if the module has such */
	unsigned key_days;  /* how long a delivery's key is remembered */
	struct store_options options;
};

/*
 * Blocks: for start-up.  Makes dir if it is missing; replays what a crash has
 * left.  0, or -1 and *err.
 */
int store_start(struct store **stp, const struct store_module *module,
    const struct store_env *env, const char *dir, struct err *err) MUST_CHECK;

/*
 * Blocks: writes out what is left.  All mailboxes have been closed; call backs
 * that are still due are not made, so drain first (store_busy()).
 */
void store_stop(struct store **stp);

void store_configure(struct store *st, const struct store_options *o);

/* Since the start. */
struct store_counts {
	uint64_t damaged_messages;  /* reads of one that was damaged */
	uint64_t damaged_mailboxes; /* found so */
	uint64_t rebuilt;           /* ...and made anew from their messages */
	uint64_t names_lost;        /* ...without their keywords and meta */
	uint64_t freed_octets;      /* that were of no use any more */
};
const struct store_counts *store_counts(const struct store *st);

/*
 * The greatest UIDVALIDITY that a mailbox was made with, whether it is there
 * still or not, as far as the store knows: who has given out less has lost
 * something.  0: it does not.
 */
uint32_t store_uidvalidity(const struct store *st);

/* Changes and reads whose call backs are due. */
size_t store_busy(const struct store *st);

/*
 * Why changes are refused now, fit for a client: a disk that is full or fails.
 * NULL: they are not.  The store goes on trying by itself.
 */
const char *store_trouble(const struct store *st);

/*
 * The disk is full but for the reserve, which is kept for what takes little
 * and may free much: flags and expunges.  Appends and new mailboxes are
 * refused, with this for a reason.
 */
bool store_is_full(const struct store *st);

/* What store_each() shows. */
struct store_entry {
	const char *id;
	const char *damage;   /* NULL, or why it cannot be opened */
	uint32_t uidvalidity; /* the rest only if there is no damage */
	struct slice meta;    /* borrowed for the visit */
};

/*
 * Blocks: for start-up.  Every mailbox on the disk, in no order, with what is
 * left of half-made ones among the damaged.  visit returns false to stop.
 */
typedef bool store_visit(void *arg, const struct store_entry *e);
int store_each(struct store *st, store_visit *visit, void *arg,
    struct err *err) MUST_CHECK;

typedef void store_cb(void *arg, const char *why);

struct store_create {
	const char *id; /* never used before: it is not used again either */
	uint32_t uidvalidity;
	uint32_t uidnext;       /* 0: 1 */
	uint64_t highestmodseq; /* 0: 1 */
	struct slice meta; /* name, ACL: to rebuild the list from the disk */
};

/* Copies *c.  A mailbox of that id that exists already is left as it is: why
 * tells. */
void store_create(struct store *st, const struct store_create *c, store_cb *cb,
    void *arg);

/*
 * The mailbox and all in it; it has been closed.  One that is damaged or not
 * there is removed as far as it is there.
 */
void store_destroy(struct store *st, const char *id, store_cb *cb, void *arg);

/* The numbers of a mailbox, open or not. */
struct store_peek {
	const char *id;

	struct store_numbers numbers; /* results */
	uint32_t recent;              /* messages not shown to a session yet */
	const char *why;              /* NULL, or why there are no numbers */
};

typedef void store_peek_cb(void *arg);

/*
 * n mailboxes (at most STORE_ITEMS_MAX) in one job, without opening them.
 * Each is as at some moment between the call and the call back.
 */
void store_peek(struct store *st, struct store_peek *p, size_t n,
    store_peek_cb *cb, void *arg);

/*
 * When it is opened next what is in it is looked up anew in the messages
 * themselves, whether it seems to be damaged or not.
 */
void store_distrust(struct store *st, const char *id);

/* --------------------------------------------------------------- mailbox */

/* Gives mb; NULL, and why, if it cannot be opened. */
typedef void store_open_cb(void *arg, struct store_mailbox *mb,
    const char *why);

/* A mailbox is open once: MUST not be open or being opened. */
void store_open(struct store *st, const char *id, store_open_cb *cb, void *arg);

/* Changes and reads under way are finished and called back; news end here. */
void store_close(struct store_mailbox **mbp);

/* What has just become durable; borrowed for the call. */
struct store_news {
	uint64_t modseq;
	uint32_t first_uid, last_uid; /* appended; 0: none */
	const uint32_t *changed;      /* flags or keywords; ascending */
	size_t nchanged;
	const uint32_t *expunged; /* ascending; not in the index any more */
	size_t nexpunged;
	/*
	 * Instead: the index is found to be damaged.  What was read of it since
	 * the caller's last turn may be wrong, and no change is taken any more.
	 * To be closed; when it is opened again it is repaired.
	 */
	bool damaged;
};

typedef void store_observer(void *arg, const struct store_news *news);

/* One a mailbox; NULL ends it. */
void store_observe(struct store_mailbox *mb, store_observer *fn, void *arg);

/*
 * Has its index been found to be damaged, just now perhaps?  Then what was
 * read of it in this turn may be wrong; see store_news.damaged.
 */
bool store_is_damaged(const struct store_mailbox *mb);

/* Borrowed while mb is open. */
const char *store_id(const struct store_mailbox *mb);
struct store *store_of(const struct store_mailbox *mb);

/* Borrowed while mb is open; the values change with it. */
const struct store_numbers *store_numbers(const struct store_mailbox *mb);
struct slice store_meta(const struct store_mailbox *mb); /* till it is set */

/*
 * The i-th message in order of UID; i is below exists.  Borrowed until the
 * caller returns to the loop or asks for a change of mb.
 */
const struct store_msg *store_at(const struct store_mailbox *mb, uint32_t i);

/* Index of the first message whose UID is at least uid; exists if none. */
uint32_t store_index(const struct store_mailbox *mb, uint32_t uid);

/* Index behind it: how many messages have a UID up to this. */
uint32_t store_index_behind(const struct store_mailbox *mb, uint32_t uid);

/* By UID; NULL if there is none.  Borrowed as above. */
const struct store_msg *store_find(const struct store_mailbox *mb,
    uint32_t uid);

/*
 * Keywords: bit i of store_msg.keywords (bit i % 64 of word i / 64) is the
 * i-th name.  Names are kept as first spelled, found in any case, and never
 * go.
 */
unsigned store_keywords(const struct store_mailbox *mb);
const char *store_keyword(const struct store_mailbox *mb, unsigned i);

/* -1 if there is none of that name. */
int store_keyword_find(const struct store_mailbox *mb, struct slice name);

/*
 * Finds or adds; a new one becomes durable with the next change.  -1 if the
 * table is full or the name longer than STORE_KEYWORD_MAX.
 */
int store_keyword_add(struct store_mailbox *mb, struct slice name);

/*
 * For \Recent of IMAP4rev1: messages from the UID given have not been shown
 * to a session yet; now they have.  Durable with the next change, or soon after
 * the mailbox is closed, so a crash may show some of them again.
 */
uint32_t store_claim_recent(struct store_mailbox *mb);
uint32_t store_recent(const struct store_mailbox *mb); /* without claiming */

/* What store_recent() was when it was open before; claims may not be kept. */
void store_keep_recent(struct store_mailbox *mb, uint32_t uid);

/*
 * All messages with a UID below it have \Seen: so who looks for the first
 * without need not begin at the first.  Who finds it says so; modules may keep
 * it with the next change, and take it back when a message loses \Seen.
 */
uint32_t store_seen_below(const struct store_mailbox *mb);
void store_set_seen_below(struct store_mailbox *mb, uint32_t uid);

/* --------------------------------------------------------------- changes */

enum store_outcome {
	STORE_DONE,     /* as asked */
	STORE_SAME,     /* was so already; MODSEQ not touched */
	STORE_GONE,     /* no message of that UID (any more) */
	STORE_MODIFIED, /* changed since unchanged_since */
	STORE_TAKEN     /* a message with that key has been here before */
};

/*
 * A message to append.  Its octets are given, or are those of a message in a
 * mailbox of the same store, open until the call back, and then size, dates,
 * emailid and cache are that message's too, unless given.  Octets beyond
 * STORE_INLINE_MAX in sum are read in a job, so they may be a mapped file.
 */
enum {
	STORE_INLINE_MAX = 64 * 1024
};

struct store_append {
	struct slice octets;
	struct store_mailbox *from; /* NULL: octets are given */
	uint32_t from_uid;
	uint32_t flags;
	uint64_t keywords[STORE_KEYWORD_WORDS]; /* of the target mailbox */
	int64_t internaldate;                   /* 0: now */
	int16_t zone;
	int64_t savedate;    /* 0: now */
	uint8_t emailid[16]; /* zeros: a new one */
	uint8_t key[16];     /* zeros: none; else only if not taken before */
	struct slice cache;  /* at most STORE_CACHE_MAX */
	uint32_t uid;        /* 0: the next.  Given: at least UIDNEXT */
	uint64_t modseq;     /* 0: the next.  Given: not 0 */
	bool undelete;       /* from is this mailbox, from_uid was expunged and
	                        is held; then it is held no more */

	/* Results, set before the call back. */
	enum store_outcome outcome; /* DONE, GONE (from_uid), TAKEN */
	uint32_t new_uid;           /* if DONE */
};

/*
 * All of n messages (at most STORE_ITEMS_MAX) or, with why, none.  Those GONE
 * and TAKEN are left out.  TAKEN is said only when the earlier one is durable.
 */
void store_append(struct store_mailbox *mb, struct store_append *a, size_t n,
    store_cb *cb, void *arg);

/*
 * As store_append() into "to" of messages of mb (every from is mb), which go
 * from mb in the same change: after a crash they are in one of the two.  mb
 * and to may not be the same.
 *
 * If octets are given and from is NULL, they replace the message from_uid of
 * mb, in the same change; then mb and to may be the same.  GONE if it is not
 * there.
 */
void store_move(struct store_mailbox *mb, struct store_mailbox *to,
    struct store_append *a, size_t n, store_cb *cb, void *arg);

/* new = (old & ~clear) | set */
struct store_change {
	uint32_t uid;
	uint32_t clear, set; /* of enum store_flag */
	uint64_t clear_keywords[STORE_KEYWORD_WORDS];
	uint64_t set_keywords[STORE_KEYWORD_WORDS];
	bool touch; /* a new MODSEQ in any case: something about the message
	               that is kept elsewhere has changed */
	enum store_outcome outcome; /* DONE, SAME, GONE, MODIFIED */
};

/*
 * c ascends by UID, n at most STORE_ITEMS_MAX.  Messages whose MODSEQ is above
 * unchanged_since are left alone; UINT64_MAX if that is no condition.  All
 * that change get one new MODSEQ.  n is 0: HIGHESTMODSEQ alone goes up, as
 * something about the mailbox has changed that is kept elsewhere.
 */
void store_change(struct store_mailbox *mb, struct store_change *c, size_t n,
    uint64_t unchanged_since, store_cb *cb, void *arg);

/*
 * uids ascend, n at most STORE_ITEMS_MAX; those that are not there do not
 * matter.  if_flags: only messages that have all of these (STORE_DELETED).
 */
void store_expunge(struct store_mailbox *mb, const uint32_t *uids, size_t n,
    uint32_t if_flags, store_cb *cb, void *arg);

/* Copies meta, at most STORE_META_MAX. */
void store_set_meta(struct store_mailbox *mb, struct slice meta, store_cb *cb,
    void *arg);

/*
 * Called back when every change of mb asked for so far is durable, or with why
 * if one of them failed; appends whose octets are still being written do not
 * count.
 */
void store_sync(struct store_mailbox *mb, store_cb *cb, void *arg);

/* A cache record of a message. */
struct store_record {
	uint32_t uid;
	struct slice
	    octets; /* at most STORE_CACHE_MAX; empty: nothing is done */
};

/*
 * Replaces n records (at most STORE_ITEMS_MAX), without promise: a crash may
 * lose them.  Those of messages that are not there do not matter.
 */
void store_put_cache(struct store_mailbox *mb, const struct store_record *r,
    size_t n, store_cb *cb, void *arg);

/* Has it one?  (It may turn out damaged: then it is read as empty.) */
bool store_has_cache(const struct store_mailbox *mb,
    const struct store_msg *msg);

/* --------------------------------------------------------------- reading */

enum store_what {
	STORE_OCTETS, /* of the message; checksums are verified */
	STORE_CACHE   /* its cache record, whole; empty if there is none */
};

/* Something to read, and then what was read. */
struct store_part {
	uint32_t uid;
	enum store_what what;
	uint64_t offset; /* of STORE_OCTETS; beyond the end is empty */
	uint64_t len;    /* UINT64_MAX: to the end */
	bool held;       /* of one that store_held() shows */

	struct slice octets; /* borrowed until store_chunk_free() */
	const char *why;     /* NULL, or why there are none: gone, damaged */
};

typedef void store_read_cb(void *arg, struct store_chunk *chunk);

/*
 * n parts in one job: give many small ones at once, and large ones in pieces
 * of about a megabyte.  Gives chunk, which keeps the octets of all.
 */
void store_read(struct store_mailbox *mb, struct store_part *parts, size_t n,
    store_read_cb *cb, void *arg);

/*
 * The same; between reading and the call back look(arg) is called, in the job:
 * for what takes its time with the octets.  It touches nothing that the loop
 * can see meanwhile.
 */
typedef void store_look(void *arg);
void store_read_look(struct store_mailbox *mb, struct store_part *parts,
    size_t n, store_look *look, store_read_cb *cb, void *arg);
void store_chunk_free(struct store_chunk **cp);

struct store_gone {
	uint32_t uid;
	uint64_t modseq; /* of its expunge */
};

/* gone ascends by UID and is borrowed for the call; why: it cannot be read. */
typedef void store_gone_cb(void *arg, const struct store_gone *gone, size_t n,
    const char *why);

/*
 * What was expunged with a MODSEQ above since.  The whole memory is kept: no
 * since is too old.
 */
void store_expunged(struct store_mailbox *mb, uint64_t since, store_gone_cb *cb,
    void *arg);

/*
 * What was expunged and can be brought back, by store_append() with undelete;
 * ascending by UID, borrowed for the call.
 */
struct store_held {
	uint32_t uid;
	uint32_t flags; /* of enum store_flag, as they were */
	uint64_t keywords[STORE_KEYWORD_WORDS];
	int64_t expunged; /* when, seconds */
	int64_t internaldate;
	int16_t zone;
	uint64_t size;
};
typedef void store_held_cb(void *arg, const struct store_held *held, size_t n,
    const char *why);
void store_held(struct store_mailbox *mb, store_held_cb *cb, void *arg);

/* ---------------------------------------------------------------- module */

/* What each function does is said of store_NAME above. */
struct store_module {
	const char *name; /* for the configuration */
	bool shared; /* others use it too: they make mailboxes, which are to
	                     be looked for, and change those that are closed */
	int (*start)(struct store **stp, const struct store_env *env,
	    const char *dir, struct err *err);
	void (*stop)(struct store **stp);
	void (*configure)(struct store *st, const struct store_options *o);
	size_t (*busy)(const struct store *st);
	const char *(*trouble)(const struct store *st);
	bool (*is_full)(const struct store *st);
	int (*each)(struct store *st, store_visit *visit, void *arg,
	    struct err *err);
	void (*create)(struct store *st, const struct store_create *c,
	    store_cb *cb, void *arg);
	void (*destroy)(struct store *st, const char *id, store_cb *cb,
	    void *arg);
	void (*distrust)(struct store *st, const char *id);
	void (*peek)(struct store *st, struct store_peek *p, size_t n,
	    store_peek_cb *cb, void *arg);
	void (*open)(struct store *st, const char *id, store_open_cb *cb,
	    void *arg);
	void (*close)(struct store_mailbox *mb);
	const struct store_msg *(
	    *at)(const struct store_mailbox *mb, uint32_t i);
	int (*keyword_add)(struct store_mailbox *mb, struct slice name);
	uint32_t (*claim_recent)(struct store_mailbox *mb);
	void (*append)(struct store_mailbox *mb, struct store_append *a,
	    size_t n, store_cb *cb, void *arg);
	void (*move)(struct store_mailbox *mb, struct store_mailbox *to,
	    struct store_append *a, size_t n, store_cb *cb, void *arg);
	void (*change)(struct store_mailbox *mb, struct store_change *c,
	    size_t n, uint64_t unchanged_since, store_cb *cb, void *arg);
	void (*expunge)(struct store_mailbox *mb, const uint32_t *uids,
	    size_t n, uint32_t if_flags, store_cb *cb, void *arg);
	void (*set_meta)(struct store_mailbox *mb, struct slice meta,
	    store_cb *cb, void *arg);
	void (*sync)(struct store_mailbox *mb, store_cb *cb, void *arg);
	void (*put_cache)(struct store_mailbox *mb,
	    const struct store_record *r, size_t n, store_cb *cb, void *arg);
	bool (*has_cache)(const struct store_mailbox *mb,
	    const struct store_msg *msg);
	void (*read)(struct store_mailbox *mb, struct store_part *parts,
	    size_t n, store_look *look, /* or NULL */
	    store_read_cb *cb, void *arg);
	void (*expunged)(struct store_mailbox *mb, uint64_t since,
	    store_gone_cb *cb, void *arg);
	void (*held)(struct store_mailbox *mb, store_held_cb *cb, void *arg);
};

extern const struct store_module spool_module;
extern const struct store_module maildir_module;

/*
 * Modules begin their own structs with these and keep them up to date; others
 * use the functions above.
 */
struct store {
	const struct store_module *module;
	struct store_counts counts;
	uint32_t uidvalidity;
};

struct store_names { /* keywords and meta: one allocation, replaced whole */
	unsigned nkeywords;
	char *const *keywords;
	struct slice meta;
};

struct store_mailbox {
	const struct store_module *module;
	struct store *store;
	struct store_numbers numbers;
	struct store_names *names;
	store_observer *observer;
	void *observer_arg;
	uint32_t finger; /* store.c's: where it last looked */
	uint32_t recent, seen_below;
	bool damaged;
	char id[STORE_ID_MAX + 1];
};

/* What store_chunk_free() frees: modules allocate it with octets behind it. */
struct store_chunk {
	size_t len;
	uint8_t octets[];
};

#endif
