/*
 * spool: the native mail store.
 *
 *	DIR/log/            the redo log: lib/journal
 *	DIR/checkpoint      number of the last record that files have, synced,
 *	                    and the greatest UIDVALIDITY so far
 *	DIR/trash/ID        destroyed, being removed
 *	DIR/ballast         room, for when the disk has no other: room.c
 *	DIR/m/xx/yy/ID/     a mailbox; xx and yy are a hash of its ID
 *	  index             a header and a slot for each message, in UID order
 *	  names             keywords and meta, replaced whole
 *	  data.NNNN         message octets in frames, append-only
 *	  cache             cache records in frames, append-only
 *	  expunged          what was in slots that compaction took out
 *	  dead              which slots are of expunged messages: dead.c
 *
 * Redo records are physical: "these octets at this offset of that file", and
 * "this mailbox is made", "these are its names now", "it is gone".  So to apply
 * one twice is to apply it once, and recovery is to apply all that a
 * checkpoint has not dropped, in order, whatever state the files are in.
 *
 * A change (struct change) is prepared (octets of large messages, and of many
 * at once, are written and synced by a job), put (what it writes is decided,
 * from what earlier changes will have written, and goes to the log), durable,
 * applied (written to the files by plain pwrite, which only the kernel's cache
 * sees) and told.
 * What is put and not applied is kept in the mailbox's draft: slots that are
 * added in memory, and as soon as a slot that is there already changes a
 * private mapping of the index; thrown away when nothing is under way, or when
 * the log could not be written.
 *
 * Index and data are in the machine's own octet order, as the index is mapped;
 * an index of the other order is refused.
 *
 * Ending it, by whatever means, needs no care: a stop leaves the log as a kill
 * does, and the next start replays at most what makes a checkpoint due and
 * what came while that one ran.
 *
 * Each slot has a checksum, which is compared when the slot, or one beside it,
 * is looked at first since the mailbox was opened: one that is wrong makes the
 * mailbox damaged (box_damaged()).  So does an I/O error under the mapped index
 * (lib/guard.h).
 *
 * Known limit: a message moved within a partition is one record and so in one
 * of the two mailboxes; moved to another partition it is appended there and
 * then expunged here, and a crash in between leaves both.
 */
#ifndef BACKENDD_SPOOL_SPOOL_H
#define BACKENDD_SPOOL_SPOOL_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backendd/store.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/err.h"
#include "lib/guard.h"
#include "lib/list.h"
#include "lib/map.h"
#include "lib/slice.h"

enum {
	SPOOL_PATH = 160,             /* room for a path below DIR */
	SPOOL_SLOT = 128,             /* octets of a slot, and the header */
	SPOOL_PAGE = 32 * SPOOL_SLOT, /* slots that are verified together */
	SPOOL_DATA_MAX = 64 * 1024 * 1024, /* then the next data file */
	SPOOL_RECORD_MAX = 32 * 1024 * 1024,
	SPOOL_CACHE_SUM = 4 * 1024 * 1024,
	SPOOL_SPARES = 6 /* of the log's files: what is mostly between
	                    checkpoints */
};

/*
 * Of store_msg.flags: expunged, a tombstone, whose savedate says when; and one
 * whose octets are not kept for it.
 */
#define SPOOL_GONE          (1u << 31)
#define SPOOL_BARE          (1u << 30)
#define SPOOL_MAGIC         0x6d735031u
#define SPOOL_MAILBOX_MAGIC 0x6d624f78u

enum spool_file {
	SPOOL_INDEX,
	SPOOL_DATA,
	SPOOL_CACHE,
	SPOOL_NAMES,
	SPOOL_EXPUNGED,
	SPOOL_FRESH, /* an index being made */
	SPOOL_DEAD,
	SPOOL_NONE
};

enum {
	SPOOL_FILES = SPOOL_CACHE + 1 /* that a record may write to */
};

struct ahead;
struct ahead_file;

/* Kept open, by enum spool_file; NULL: it is not. */
struct spool_files {
	struct ahead_file *open[SPOOL_FILES];
};

/* The first slot of an index. */
struct spool_header {
	uint32_t crc;
	uint32_t magic;
	uint32_t version;
	uint32_t uidvalidity;
	uint64_t base; /* redo records up to this are in slots already */
	uint32_t uidnext, recent;
	uint64_t highestmodseq;
	uint64_t size;
	uint32_t exists, unseen, deleted;
	uint32_t nslots, ndead;
	uint32_t data_no; /* the file that grows */
	uint64_t data_end, cache_end;
	uint64_t nexpunged;    /* records in the file of that name */
	uint64_t dead_octets;  /* of frames of expunged messages: at most, and
	                         as far as reclaim.c has not looked */
	int64_t reclaim_after; /* it need not look before; seconds */
	uint32_t seen_below;   /* UIDs below it have \Seen; 0 is right, too */
	uint8_t spare[4];
	uint64_t cache_dead; /* octets of cache records of no use, about: what
	                        a crash or a close has lost is not in it */
};

/*
 * Who uses places of messages outside the index: reads and appends under way.
 * To wait for those that are here now, without waiting for those to come.
 */
struct epoch {
	unsigned now; /* 0 or 1 */
	unsigned here[2];
};

struct meta {
	size_t len;
	uint8_t octets[];
};

struct spool_mailbox {
	struct store_mailbox store; /* first */
	unsigned magic;
	struct spool *sp;
	struct spool_header now;  /* as applied */
	struct spool_header next; /* as put */
	uint8_t *map;             /* shared, read only: the file as applied */
	uint8_t *draft;           /* private: as put; NULL: only added is */
	size_t map_size, draft_size;
	uint32_t room;   /* slots the file has, used or not */
	uint32_t *dead;  /* slots expunged, ascending; now.ndead of them */
	uint32_t finger; /* box_at()'s: so many were before the last one */
	uint32_t kept;   /* so many of them its file has */
	bool listed;     /* they are as a file said, not as slots do */
	unsigned busy;   /* changes, reads under way */
	unsigned drafts; /* changes put and not applied */
	struct store_msg *added; /* while there is no draft: slots from... */
	uint32_t added_from;     /* ...this one on */
	size_t added_room;
	/* Where octets go next: not taken back when a change fails. */
	uint32_t data_no;
	uint64_t data_end, cache_end, cache_dead;
	uint32_t named; /* data files below this: their names are synced */
	struct epoch epoch;
	struct opening *opening;         /* NULL: it is open */
	TAILQ_ENTRY(spool_mailbox) hurt; /* if damaged, until that is told */
	TAILQ_ENTRY(spool_mailbox) want; /* if it waits to be reclaimed */
	TAILQ_ENTRY(spool_mailbox) file; /* if filed: in spool.filed */
	struct spool_files files;
	bool filed;       /* files are open, for redo.c */
	unsigned pins;    /* the spool's own work on it */
	bool untold;      /* that it is damaged: see box_damaged() */
	bool reported;    /* ...and it has been logged and counted */
	uint8_t *checked; /* a bit for each page of map: its slots were good */
	bool wanted, destroyed;
	struct meta *meta; /* as applied, while a change of it is under way */
	bool names_dirty;
	bool closed; /* by its user; freed when not busy */
};

TAILQ_HEAD(changelist, change);
TAILQ_HEAD(boxlist, spool_mailbox);
TAILQ_HEAD(openinglist, opening);

struct reclaim;

/* The file of that name. */
enum ballast {
	BALLAST_NONE,
	BALLAST_COMING, /* a job makes it */
	BALLAST_HELD
};

/* Owned by the loop; jobs get copies. */
struct spool {
	struct store store; /* first */
	unsigned magic;
	struct store_env env;
	char *dir;
	int dirfd;
	struct journal *journal;
	struct map open;  /* ID to struct spool_mailbox, opening ones too */
	struct map dirty; /* ID to struct dirty: since the last checkpoint */
	struct map looks; /* at a replay: ID to struct look */
	struct map gone;  /* at a replay: gone.c */
	struct map ill;   /* IDs of what is to be rebuilt when it is opened */
	struct boxlist hurt;      /* damaged, and its user does not know */
	struct boxlist want;      /* to be reclaimed */
	struct boxlist filed;     /* have open files; the latest used last */
	size_t nfiled, files_max; /* descriptors for that, at most */
	TAILQ_HEAD(, keeping) keeping; /* lists being written */
	struct guard_owner guard;
	struct openinglist held_up; /* until a checkpoint is over */
	struct reclaim *reclaim;
	struct store_options options;
	uint64_t room;    /* octets that appends may take until the next look */
	uint64_t pending; /* octets of records put and not applied */
	int64_t looked_ms;
	bool full;
	bool pinched; /* there was no room at all; the log is kept short */
	bool tight;   /* ...and a checkpoint has to make some now */
	enum ballast ballast;
	uint64_t ballast_octets;
	uint64_t applied;          /* the number of the last record applied */
	uint64_t checkpointed;     /* ...that the last checkpoint has */
	struct changelist waiting; /* put, in order */
	struct changelist refused; /* call backs are due */
	struct task *task;
	struct timer *timer;
	size_t busy;
	size_t checkpoint_octets;    /* of log, that make one due */
	uint64_t checkpoint_records; /* so do these: small ones take longer */
	size_t checkpoint_few;       /* mailboxes, that are synced one by one */
	uint32_t compact_dead;       /* slots, at least, and a quarter of all */
	uint64_t cache_min;   /* octets of no use in a cache, at least, and half
	                       of it */
	uint32_t dead_slots;  /* a list of the dead is kept of so many */
	uint64_t reclaim_min; /* octets in a file, at least */
	uint64_t inline_max;  /* of small messages in one record; if they are
	                        more, all go to the data file at once */
	int64_t reclaim_again; /* seconds, when there was nothing to gain */
	unsigned compacting; /* openings that may; never beside a checkpoint */
	int64_t retry_ms;
	bool checkpointing;
	int64_t checkpoint_after_ms; /* none before */
	bool ailing;   /* a sync failed: no more until a restart */
	bool troubled; /* refusing changes until the disk is well */
};

struct spool *spool_of(struct store *st);
struct spool_mailbox *spool_mailbox_of(struct store_mailbox *mb);

/* ------------------------------------------------------------- files.c */

/* Below the partition's directory; no is for SPOOL_DATA. */
void spool_path(char path[SPOOL_PATH], const char *id, enum spool_file file,
    uint32_t no);
void spool_dir_path(char path[SPOOL_PATH], const char *id);

/* All of it, whatever the kernel takes at a time. */
int spool_write(int fd, const void *p, size_t n, uint64_t at,
    struct err *err) MUST_CHECK;

/*
 * The disk begins with what has been written there: the sync that comes later
 * finds less to do.  Nothing is promised.
 */
void spool_write_early(int fd, uint64_t at, size_t n);

/* -1 if there are fewer. */
int spool_read(int fd, void *p, size_t n, uint64_t at,
    struct err *err) MUST_CHECK;

/* A new allocation; file is at most max octets. */
int spool_read_file(int dirfd, const char *path, size_t max, uint8_t **p,
    size_t *n, struct err *err) MUST_CHECK;

/* All that has been written.  It tells of errors since Linux 5.8. */
int spool_sync_disk(int dirfd, struct err *err) MUST_CHECK;

/*
 * A missing one is no error: nothing is left to be synced.  One that cannot be
 * opened is synced with all of the disk.
 */
int spool_sync(int dirfd, const char *path, struct err *err) MUST_CHECK;

/* The directory of a mailbox and those above it, as far as they may be new. */
int spool_sync_dirs(int dirfd, const char *id, struct err *err) MUST_CHECK;

int spool_make_dirs(int dirfd, const char *id, struct err *err) MUST_CHECK;

/* NULL, and *err; closedir() it. */
DIR *spool_opendir(int dirfd, const char *path, struct err *err);

/* A file, or a directory with what is in it; one level deep. */
int spool_remove(int dirfd, const char *path, struct err *err) MUST_CHECK;

void spool_header_seal(struct spool_header *h);
bool spool_header_good(const struct spool_header *h);
void spool_msg_seal(struct store_msg *m);
bool spool_msg_good(const struct store_msg *m);

/* One allocation, the caller's to free. */
struct store_names *spool_names_new(char *const *keywords, unsigned n,
    struct slice add, struct slice meta);
void spool_names_put(struct buf *b, const struct store_names *names);

/*
 * Of a file, which has them twice, the second time in a block of the disk of
 * its own, since damage mostly is of blocks; NULL: both are damaged.
 */
struct store_names *spool_names_get(struct slice s);

/* All of such a file, to an empty buffer. */
void spool_names_put_file(struct buf *b, const struct store_names *names);

/* Where the second is, of so many octets. */
uint64_t spool_names_second(size_t len);

/* ------------------------------------------------------------- frame.c */

/*
 * A message in a data file: a frame head, checksums of its blocks, octets.  A
 * head is made by _sum() or as that of a copy, and then _seal()ed with what the
 * index has.
 */
enum {
	SPOOL_BLOCK = 64 * 1024
};

size_t spool_frame_head(uint64_t size); /* octets before the message's */
void spool_frame_sum(uint8_t *head, struct slice octets);
void spool_frame_seal(uint8_t *head, const struct store_msg *m,
    uint32_t uidvalidity);

enum {
	SPOOL_FRAME_MIN = 88 /* octets of a head without blocks */
};

/* Looks like one, of a message of that size: read its whole head. */
bool spool_frame_begins(const uint8_t head[SPOOL_FRAME_MIN], uint64_t *size);

/* Is it whole?  What it says, but for the place. */
bool spool_frame_parse(const uint8_t *head, struct store_msg *m,
    uint32_t *uidvalidity);

static inline uint64_t
spool_frame_len(uint64_t size)
{
	return spool_frame_head(size) + size;
}

/* What a frame takes in its file: each begins at a multiple of 8. */
static inline uint64_t
spool_frame_room(uint64_t size)
{
	return (spool_frame_len(size) + 7) & ~(uint64_t)7;
}

/* Where a message is, for a job to read it. */
struct spool_place {
	char id[STORE_ID_MAX + 1];
	uint32_t no;
	uint64_t at;
	uint64_t size;
	uint8_t emailid[16];
	uint64_t cache_at;
	uint32_t cache_len; /* 0: none */
	uint32_t uid;
};

void spool_place_of(struct spool_place *p, const char *id,
    const struct store_msg *m);

/*
 * Octets [offset, offset + len) of the message, verified, to area, which has
 * spool_frame_head() + len octets; they start at *octets.
 */
int spool_frame_read(int fd, const struct spool_place *p, uint64_t offset,
    size_t len, uint8_t *area, uint8_t **octets, struct err *err) MUST_CHECK;

/* The same of a frame of one block that has been read, from its head on. */
int spool_frame_check(const struct spool_place *p, uint8_t *area,
    uint8_t **octets, struct err *err) MUST_CHECK;

/*
 * The octets to a frame that is to be at "at", all verified on the way; its
 * head, not written, to be sealed.  If it fails, *unread: they cannot be read,
 * or are damaged.
 */
int spool_frame_copy(int from, const struct spool_place *p, uint8_t *head,
    int to, uint64_t at, bool *unread, struct err *err) MUST_CHECK;

enum {
	SPOOL_CACHE_HEAD = 16
};
void spool_cache_make(uint8_t head[SPOOL_CACHE_HEAD], uint32_t uid,
    struct slice octets);

/* What its record takes in the file; 0: it has none. */
static inline uint64_t
spool_cache_room(const struct store_msg *m)
{
	uint64_t len = m->place[2] & 0xfffff;

	return len == 0 ? 0 : (SPOOL_CACHE_HEAD + len + 7) & ~(uint64_t)7;
}

/* Length of the record; 0 if it is not whole.  area has HEAD + cache_len. */
size_t spool_cache_read(int fd, const struct spool_place *p, uint8_t *area);

/* The same of one that has been read. */
size_t spool_cache_check(const struct spool_place *p, const uint8_t *area);

/* -------------------------------------------------------------- redo.c */

/* What a record is made of. */
enum redo_part {
	PART_MAILBOX = 1, /* ID */
	PART_WRITE,       /* file, number, offset, octets */
	PART_CREATE,      /* header, names */
	PART_NAMES,       /* names */
	PART_DESTROY,
	PART_DROP /* number */
};

/* Building a record.  The mailbox holds for what follows it. */
void redo_mailbox(struct buf *b, const char *id);
void redo_write(struct buf *b, enum spool_file file, uint32_t no, uint64_t at,
    struct slice octets);
void redo_write_begin(struct buf *b, enum spool_file file, uint32_t no,
    uint64_t at, uint64_t len); /* so many octets follow: put them */
void redo_create(struct buf *b, const struct spool_header *h,
    const struct store_names *names);
void redo_names(struct buf *b, const struct store_names *names);
void redo_destroy(struct buf *b);

/*
 * Applies a record: to the files as this process sees them, marked dirty for
 * the next checkpoint.  On -1 some of it has been done; do it again.  a: what
 * of it is written already.
 */
int redo_apply(struct spool *sp, uint64_t number, struct slice record,
    const struct ahead *a, struct err *err) MUST_CHECK;

/* Files that mb keeps open for the next record. */
void redo_close_files(struct spool_mailbox *mb);

/* --------------------------------------------------------------- ahead.c */

/*
 * What a message brings, its octets and its cache record, is most of what a
 * record writes, and nobody looks at it before the index has the message.  So
 * the job that synced the log writes it, if the files are open, while the loop
 * is busy with others.
 */
struct ahead_file {
	int fd;
	uint32_t no;
	unsigned users; /* the loop's: who keeps it open, and changes put */
};

struct ahead_file *ahead_open(int fd, uint32_t no); /* one user; takes fd */
void ahead_leave(
    struct ahead_file **fp); /* the last one closes; NULL is fine */

enum {
	AHEAD_WRITES = 2
};

struct ahead {
	struct {
		enum spool_file file;
		uint32_t no;
		uint64_t at;
		size_t from, len;        /* its octets in the record */
		struct ahead_file *open; /* NULL: the loop's to write */
		bool done;
	} writes[AHEAD_WRITES];
	unsigned n;
};

/* All that is in the record b from "from" on goes to the file, at "at". */
void ahead_note(struct ahead *a, const struct buf *b, size_t from,
    enum spool_file file, uint32_t no, uint64_t at);

/* Of the files that mb keeps open: are there any for the job to write to? */
bool ahead_take(struct ahead *a, const struct spool_mailbox *mb);

/* In the job. */
void ahead_write(struct ahead *a, struct slice record);

/* Has it been written, what stands there in the record? */
bool ahead_has(const struct ahead *a, size_t from);

void ahead_end(struct ahead *a);

/* What a replay has remembered goes. */
void redo_forget(struct spool *sp);

/* As redo_apply, at start: an index that is newer is left alone. */
int redo_replay(struct spool *sp, uint64_t number, struct slice record,
    struct err *err) MUST_CHECK;

/* The data file goes: nothing in the index refers to it any more. */
void redo_drop(struct buf *b, uint32_t no);

/* Where that puts it, and where a mailbox destroyed goes. */
void redo_trash(char path[SPOOL_PATH], const char *id, uint32_t no);
void redo_trash_box(char path[SPOOL_PATH], const char *id);

/* -------------------------------------------------------------- gone.c */

/*
 * Mailboxes and data files that the log makes or writes to, and removes behind
 * that: a replay can leave them out, if the disk has no room for them.  Only
 * a log that was looked through has any.
 */
void gone_learn(struct spool *sp, struct slice record);
void gone_forget(struct spool *sp);
bool gone_has(const struct spool *sp, const char *id);
bool gone_has_data(const struct spool *sp, const char *id, uint32_t no);

/* -------------------------------------------------------------- scan.c */

/* Is it worth looking for octets of no use? */
bool scan_is_worth(const struct spool_header *h, const struct store_options *o,
    uint64_t least, int64_t now);

typedef int scan_visit(void *arg, uint32_t s, const struct store_msg *m,
    struct err *err);

/*
 * The slots of an index, in a job, in order, each verified; others may be
 * writing them.  -1: damaged, or visit said so.
 */
int scan_index(int fd, const struct spool_header *h, scan_visit *visit,
    void *arg, struct err *err) MUST_CHECK;

/* Is it expunged, and can be brought back?  since: expunged not before. */
static inline bool
scan_is_held(const struct store_msg *m, int64_t since)
{
	return (m->flags & (SPOOL_GONE | SPOOL_BARE)) == SPOOL_GONE &&
	       m->savedate >= since;
}

/* Since when: what was expunged before can not. */
int64_t scan_held_since(const struct spool *sp);

/* The data files of a mailbox, ascending; list is the caller's to free. */
struct scan_file {
	uint32_t no;
	uint64_t size;
	uint64_t live; /* 0: for the caller */
};
int scan_files(int dirfd, const char *id, struct scan_file **list, size_t *n,
    struct err *err) MUST_CHECK;

/* -------------------------------------------------------------- peek.c */

/* The header of an index, looked at while others may be writing it. */
int peek_header(int fd, struct spool_header *h, struct err *err) MUST_CHECK;

void peek_peek(struct store *st, struct store_peek *p, size_t n,
    store_peek_cb *cb, void *arg);

/* -------------------------------------------------------- checkpoint.c */

/* What a mailbox has that is not synced. */
struct dirty {
	bool index, names, cache, dirs, gone;
	uint32_t data_low, data_high; /* low > high: none */
};

struct dirty *dirty_mark(struct spool *sp, const char *id);
void dirty_free(struct map *m);

/* If the log has grown enough. */
void checkpoint_want(struct spool *sp);

/* Is there so much log, or are there so many records? */
bool checkpoint_is_due(const struct spool *sp);

/* At start: 0 if there never was one. */
int checkpoint_read(int dirfd, uint64_t *number, uint32_t *uidvalidity,
    struct err *err) MUST_CHECK;

/* Blocks. */
int checkpoint_now(struct spool *sp, struct err *err) MUST_CHECK;

/* A job that removes a directory or file of trash. */
void trash_empty(struct spool *sp, const char *path);

/* ----------------------------------------------------------- compact.c */

/* A record of the file "expunged". */
struct spool_expunged {
	uint64_t modseq;
	uint32_t uid;
	uint32_t crc;
};

void spool_expunged_seal(struct spool_expunged *x);
bool spool_expunged_good(const struct spool_expunged *x);

struct compaction {
	int dirfd;
	char id[STORE_ID_MAX + 1];
	uint64_t base;      /* every redo record up to this is in the index */
	int64_t keys_since; /* seconds */
	int64_t held_since;
	uint32_t least; /* slots to go; fewer are not worth it */
	bool cache;     /* the cache is made anew, too */
};

/*
 * Writes the index anew without the slots of what has gone, which the file
 * "expunged" then has; in a job, while nobody has the mailbox open.  The new
 * index is synced, its name is not.  1; 0 if it is not worth it; -1.  If not 1
 * the old one is as it was.
 *
 * The cache, if it is to, gets the records of messages that are there, and
 * nothing else.  A crash may leave the new one with the old index, or the other
 * way about: a record that is not where the index says is not taken for
 * another, and summaries that are missed are made again.
 */
int compact_index(const struct compaction *c, const struct spool_header *old,
    int fd, struct err *err) MUST_CHECK;

/* A new file, synced; replaces what is there. */
int compact_write(int dirfd, const char *path, const void *p, size_t n,
    uint64_t at, struct err *err) MUST_CHECK;

/* index.new, with its slots behind the header, becomes the index. */
int compact_replace(int dirfd, const char *id, const void *slots, size_t n,
    struct err *err) MUST_CHECK;

/* -------------------------------------------------------------- dead.c */

/*
 * The slots of expunged messages, for who opens a mailbox: as many as h says,
 * ascending.  They were kept in a file of their own when it was closed, so that
 * not every slot need be looked at; that is done if there is no such file, or
 * if it does not fit.  In a job; *slots is NULL or the caller's.  *kept: they
 * are from the file.
 */
int dead_find(int dirfd, const char *id, int index,
    const struct spool_header *h, uint32_t **slots, bool *kept,
    struct err *err) MUST_CHECK;

/* Has a job write that file, without promise; takes slots, h->ndead of them. */
void dead_keep(struct spool *sp, const char *id, const struct spool_header *h,
    uint32_t *slots);

/* Waits for those jobs. */
void dead_settle(struct spool *sp);

/* ----------------------------------------------------------- rebuild.c */

struct rebuilding {
	int dirfd;
	char id[STORE_ID_MAX + 1];
	uint64_t base;        /* as of struct compaction */
	uint32_t uidvalidity; /* if it is lost: another than it was */

	/* Results. */
	uint32_t kept;  /* messages that the old index had */
	uint32_t found; /* ...that only data files had; some may have been
	                      expunged before */
	uint32_t lost;  /* UIDs in between of which nothing is left */
	bool no_header; /* UIDNEXT and more are guessed, above what was */
	bool no_names;  /* keywords and meta are lost */
	bool unsure;    /* failed, and which index a crash would leave is not
	                      known */
};

/*
 * Makes index and expunged anew from what can be read of them and from the
 * data files, and names if they are damaged; in a job, while nobody has the
 * mailbox open.  The names of the files are synced, too.
 */
int rebuild_index(struct rebuilding *r, struct err *err) MUST_CHECK;

/* ----------------------------------------------------------- reclaim.c */

/*
 * Octets of no use go: the messages of a data file that are of use move to the
 * file that grows, a few at a time, while the mailbox is in use; then the file
 * goes.  One mailbox of a partition at a time; what is not open is looked for
 * in a walk through all, about once a day.
 */
struct reclaim *reclaim_new(struct spool *sp);
void reclaim_free(struct reclaim **rp);

/* Something was expunged, or options have changed. */
void reclaim_want(struct spool *sp, struct spool_mailbox *mb);

/* -------------------------------------------------------------- open.c */

void open_open(struct store *st, const char *id, store_open_cb *cb, void *arg);

/*
 * For the spool's own work, which waits for nobody and for which nobody waits:
 * held, until box_unpin(), whether its user has it open or not.  Gives NULL if
 * it cannot be opened.
 */
typedef void open_pinned(void *arg, struct spool_mailbox *mb);
void open_pin(struct spool *sp, const char *id, open_pinned *cb, void *arg);

/* A checkpoint is over: openings that have to rebuild go on. */
void open_checkpointed(struct spool *sp);

/* --------------------------------------------------------------- box.c */

void box_close(struct store_mailbox *mb);
const struct store_msg *box_at(const struct store_mailbox *mb, uint32_t i);
int box_keyword_add(struct store_mailbox *mb, struct slice name);
uint32_t box_claim_recent(struct store_mailbox *mb);

/* Before what must not see it freed; _release may free it. */
void box_hold(struct spool_mailbox *mb);
void box_release(struct spool_mailbox *mb);

/* The end of open_pin(). */
void box_unpin(struct spool_mailbox *mb);

/*
 * Its index has been found to be wrong.  Its user is told at the next turn,
 * changes are refused, and the next opening rebuilds it.
 */
void box_damaged(const struct spool_mailbox *mb, const char *what);

/* Its user is to be told at the next turn: store_news.damaged. */
void box_want_told(struct spool_mailbox *mb);

/* Pages of its mapping from "before" on have not been verified. */
void box_unchecked(struct spool_mailbox *mb, size_t before);

/* How much to map of an index of so many octets, for it to grow. */
size_t box_map_size(size_t file);

/* Is it in the mapping of an index?  A guard_covers. */
bool box_covers(void *sp, const void *at, bool *writable);

unsigned epoch_enter(struct epoch *e);
void epoch_leave(struct epoch *e, unsigned side);

/* What h says of the mailbox. */
struct store_numbers box_numbers(const struct spool_header *h);

/* One that has been expunged, as applied; NULL if there is none. */
const struct store_msg *box_find_gone(const struct spool_mailbox *mb,
    uint32_t uid);

/* Slot s, below now.nslots, as applied. */
const struct store_msg *box_slot(const struct spool_mailbox *mb, uint32_t s);

/*
 * Makes the draft if there is none, with room for n more slots than next;
 * whole: others will be changed, too.
 */
int box_draft(struct spool_mailbox *mb, uint32_t n, bool whole,
    struct err *err) MUST_CHECK;

/* Slot s of the draft, below its room; if it is not whole, a new one. */
struct store_msg *box_draft_slot(struct spool_mailbox *mb, uint32_t s);

/* The same of any slot, to look at. */
const struct store_msg *box_draft_look(const struct spool_mailbox *mb,
    uint32_t s);

/* Slot of the draft, GONE or not; next.nslots if there is none. */
uint32_t box_draft_find(struct spool_mailbox *mb, uint32_t uid);

/* One change less in the draft; the last one throws it away. */
void box_draft_done(struct spool_mailbox *mb);

/* The applied header becomes h, with these slots now dead (ascending). */
void box_become(struct spool_mailbox *mb, const struct spool_header *h,
    const uint32_t *slots, size_t n);

/* The names show meta from now on; undo goes back to what is applied. */
struct meta *box_meta_set(struct spool_mailbox *mb, struct slice meta);
void box_meta_undo(struct spool_mailbox *mb);
void box_meta_done(struct spool_mailbox *mb, struct meta **meta);

/* ------------------------------------------------------------ change.c */

/* What a change does to a mailbox. */
struct effect {
	struct spool_mailbox *mb; /* NULL: nothing */
	bool begun;               /* the record has some of it */
	bool names;               /* ...and its names */
	struct spool_header after;
	bool quiet;    /* nothing to be told */
	unsigned side; /* of mb's epoch */
	struct store_news news;
	uint32_t *uids;    /* room that news points into */
	uint32_t *slots;   /* expunged */
	uint32_t unseen;   /* the lowest that lost \Seen; 0: none has */
	struct meta *meta; /* what it sets; or NULL */
};

enum change_state {
	CHANGE_NEW,
	CHANGE_PUT,     /* in the log, not synced */
	CHANGE_FOLLOWS, /* no record; done when those before it are */
	CHANGE_DURABLE, /* to be applied */
	CHANGE_FAILED   /* why tells; its call back is due */
};

struct change {
	TAILQ_ENTRY(change) entry; /* in spool.waiting or .refused */
	struct spool *sp;
	enum change_state state;
	struct buf record;
	struct buf aside;   /* as that, but not for the log: what a crash may
	                     lose */
	struct ahead ahead; /* of record */
	uint64_t number;
	struct effect effects[2];
	char trash[SPOOL_PATH]; /* to be emptied when it is applied, or "" */
	const char *why;        /* static text */
	store_cb *cb;
	void *arg;
};

/* Why the disk takes no changes, static; NULL: it does, as far as is known. */
const char *change_trouble(const struct spool *sp);

/*
 * A sync failed.  The kernel tells one who asks, and drops what it has not
 * written, of others as well: so no more changes until a restart, which has
 * them from the log.
 */
void change_unsynced(struct spool *sp, const char *why);

/* Why no change can be taken now, static; NULL: it can. */
const char *change_refusal(struct spool *sp);

struct change *change_new(struct spool *sp, store_cb *cb, void *arg);

/*
 * Effect i is to be on mb: its draft is there, with room for that many more
 * slots, and the effect has room for that many UIDs of messages that change.
 * With slots and no UIDs, nothing is changed but what it adds.  NULL: the
 * change has been refused, forget it.
 */
struct effect *change_join(struct change *ch, unsigned i,
    struct spool_mailbox *mb, size_t slots, size_t uids);

/* What follows in the record is about e's mailbox; once. */
void change_begin(struct change *ch, struct effect *e);

/* mb->next is what it becomes; if it was begun. */
void change_end(struct change *ch, struct effect *e);

/* To the log with it; one with nothing in its record follows those before. */
void change_put(struct change *ch);

/* Instead: cb comes with why, which is static. */
void change_refuse(struct change *ch, const char *why);

/* What can be done now: applies what is durable, calls back. */
void change_advance(struct spool *sp);

/* From the timer: the disk may be well again. */
void change_retry(struct spool *sp);

/* -------------------------------------------------------------- room.c */

/* As change_refusal(), for what takes room: so many octets. */
const char *room_refusal(struct spool *sp, uint64_t octets);

/* At how full the disk is, now and then; gives up the ballast in time. */
void room_look(struct spool *sp);

/* Something could not be written: gives up the ballast.  Was there any? */
bool room_give(struct spool *sp);

/* At a start, before anything is written: what a replay takes may be it. */
void room_forget(struct spool *sp);

/* There is hardly any left. */
bool room_is_none(const struct spool *sp);

/* ----------------------------------------------- append.c, flags.c, read.c */

/* Room for the frame of a message; never taken back. */
void append_allocate(struct spool_mailbox *mb, uint64_t size, uint32_t *no,
    uint64_t *at);
void append_append(struct store_mailbox *mb, struct store_append *a, size_t n,
    store_cb *cb, void *arg);
void append_move(struct store_mailbox *mb, struct store_mailbox *to,
    struct store_append *a, size_t n, store_cb *cb, void *arg);
void flags_change(struct store_mailbox *mb, struct store_change *c, size_t n,
    uint64_t unchanged_since, store_cb *cb, void *arg);
void flags_expunge(struct store_mailbox *mb, const uint32_t *uids, size_t n,
    uint32_t if_flags, store_cb *cb, void *arg);
void flags_set_meta(struct store_mailbox *mb, struct slice meta, store_cb *cb,
    void *arg);
void flags_sync(struct store_mailbox *mb, store_cb *cb, void *arg);

/* At its closing: what was claimed since it was last changed. */
void flags_keep_recent(struct spool_mailbox *mb);

/* Expunges slot s of the draft, ascending from call to call; hold: it can be
 * brought back. */
void flags_expunge_slot(struct change *ch, struct effect *e, uint32_t s,
    bool hold);

/* The first octets of a slot: never the cache's place, which is not logged. */
void flags_put_slot(struct change *ch, uint32_t s, const struct store_msg *m,
    size_t len);

void read_read(struct store_mailbox *mb, struct store_part *parts, size_t n,
    store_look *look, store_read_cb *cb, void *arg);
void read_expunged(struct store_mailbox *mb, uint64_t since, store_gone_cb *cb,
    void *arg);
void read_held(struct store_mailbox *mb, store_held_cb *cb, void *arg);
void read_put_cache(struct store_mailbox *mb, const struct store_record *r,
    size_t n, store_cb *cb, void *arg);
bool read_has_cache(const struct store_mailbox *mb,
    const struct store_msg *msg);

/* place[2] of a store_msg. */
static inline uint64_t
spool_cache_place(uint64_t at, size_t len)
{
	return at << 20 | len;
}

#endif
