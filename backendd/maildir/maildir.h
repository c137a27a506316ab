/*
 * maildir: a mail store in Maildir++ trees, as Dovecot and Courier lay them
 * out, which other programs read and change meanwhile.
 *
 *	DIR/fred/Maildir/            INBOX of fred: see names.c
 *	DIR/fred/Maildir/.Work/      a mailbox below it
 *	DIR/.public/.help/           one that is nobody's
 *	DIR/.by-id/ID/               one whose name cannot be a directory's, or
 *	                             is another's
 *	DIR/.moving/ID               a move out of that mailbox, under way
 *	DIR/.trash/ID/               destroyed, being removed
 *	DIR/.lock                    held by the one process that has it open
 *
 * In the directory of a mailbox, beside tmp, new and cur:
 *
 *	dovecot-uidlist, dovecot-keywords   read, and written as Dovecot does
 *	backendd-mailbox   MAILBOXID and meta, replaced whole
 *	backendd-index     what Maildir cannot hold: a log of records
 *	backendd-cache     cache records
 *
 * The index is a log: each change is one record, and the state is what all of
 * them make (struct index).  A change (struct md_op) runs in a job: octets are
 * written to tmp and synced, the record is written and synced (now the change
 * is made), files get their new places (the settling) and directories are
 * synced.  Then the loop applies the record to the index that it shows.  When
 * a mailbox is opened, the last record is settled again, unless the log says
 * that this has been done.  So a change is in the files before it is answered,
 * and after a crash it is whole or not there.
 *
 * One op of a mailbox runs at a time, and the loop changes its struct index
 * only when none does: so jobs read it without a lock.
 *
 * What others do to files is found by looking at both directories (scan.c):
 * when the mailbox is opened, and while it is open when the kernel tells of a
 * change or, where it cannot, whenever their times change.  That is a change
 * like any other, with news.
 */
#ifndef BACKENDD_MAILDIR_MAILDIR_H
#define BACKENDD_MAILDIR_MAILDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "backendd/store.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/err.h"
#include "lib/list.h"
#include "lib/map.h"
#include "lib/slice.h"
#include "lib/wire.h"

#define MD_MAILBOX "backendd-mailbox"
#define MD_INDEX   "backendd-index"
#define MD_CACHE   "backendd-cache"
#define MD_LAYOUT  "%u/Maildir"

/* What is above it in a list of others is damage, and leaves no UIDs. */
#define MD_UID_MAX (UINT32_MAX - 16 * 1024 * 1024)

enum {
	MD_NAME = 224,      /* octets of a message's name without flags */
	MD_FILE_NAME = 255, /* octets of a name with flags */
	MD_FILE = 320,      /* room for DIR/NAME:2,FLAGS */
	MD_PATH = 1024,     /* room for a mailbox's path below the partition */
	MD_LOST_MAX = 1024 * 1024, /* UIDs taken for expunged */
	MD_LETTERS = 26,           /* keywords that file names can hold */
	MD_CACHE_HEAD = 12,        /* before a cache record */
	MD_NOTE_MAX = STORE_META_MAX + 1024, /* octets of backendd-mailbox */
	MD_COMPACT_MIN = 64 * 1024, /* octets: a shorter log is no trouble */
	MD_RECORD_MAX = 1024 * 1024 * 1024
};

/* ------------------------------------------------------------- files.c */

/* NULL, and *err; the whole file, at most max octets.  missing: it may be. */
int md_read_file(int dirfd, const char *path, size_t max, struct buf *b,
    bool *missing, struct err *err) MUST_CHECK;

int md_write(int fd, struct slice s, uint64_t at, struct err *err) MUST_CHECK;

/* Replaces a file whole; the directory is synced too. */
int md_replace(int dirfd, const char *path, struct slice s,
    struct err *err) MUST_CHECK;

int md_sync_dir(int dirfd, const char *path, struct err *err) MUST_CHECK;

/* -1 and *err, but not if it is there. */
int md_mkdir(int dirfd, const char *path, struct err *err) MUST_CHECK;

/* The directories above path, as far as they are missing; they are synced. */
int md_make_parents(int rootfd, const char *path, struct err *err) MUST_CHECK;

/* All above path, up to rootfd. */
int md_sync_parents(int rootfd, const char *path, struct err *err) MUST_CHECK;

/* With all that is in it; what is not there is no error. */
int md_remove(int dirfd, const char *path, struct err *err) MUST_CHECK;

/*
 * Letters behind ":2,", as bits: A to Z from bit 0, a to z from bit 26.
 */
uint64_t md_letters_of(struct slice s);

/* "cur/NAME:2,LETTERS" */
void md_file(char path[MD_FILE], const char *name, uint64_t letters);

/* "tmp/NAME", "new/NAME" */
void md_file_in(char path[MD_FILE], const char *dir, const char *name);

/*
 * Where the message is now, if not at cur/NAME:2,LETTERS: another program has
 * changed its flags.  false: nowhere.
 */
bool md_locate(int dirfd, const char *name, char path[MD_FILE]);

/* One entry of new or cur. */
struct md_entry {
	char *name; /* without the flags; if is_odd with them */
	uint64_t letters;
	bool is_new;
	bool is_odd; /* no name that a message can have here: odd.c */
};

/* Adds to the list, which is the caller's. */
struct md_listing {
	struct md_entry *at;
	size_t n, size, nodd;
};
int md_list(int dirfd, struct md_listing *l, struct err *err) MUST_CHECK;
void md_listing_free(struct md_listing *l);

/*
 * dovecot-keywords, which has no checksum; so what the index has of it, from
 * before, counts more.
 */
struct index;
struct md_keywords {
	char *names[MD_LETTERS];   /* NULL: free */
	char *foreign[MD_LETTERS]; /* or this, which is no keyword: stays */
	bool changed;              /* to be written */
};
int md_keywords_read(int dirfd, const struct index *x, struct md_keywords *k,
    struct err *err) MUST_CHECK;
int md_keywords_write(int dirfd, struct md_keywords *k,
    struct err *err) MUST_CHECK;
void md_keywords_free(struct md_keywords *k);

/* ------------------------------------------------------------ uidlist.c */

/* dovecot-uidlist, version 3; UIDs in it ascend, or it is damaged */
struct md_uids {
	bool there; /* and not damaged */
	uint32_t uidvalidity, uidnext;
	char guid[33];
	struct map uids; /* name: its UID, as a pointer */
};
int md_uids_read(int dirfd, struct md_uids *u, struct err *err) MUST_CHECK;
uint32_t md_uids_find(const struct md_uids *u, const char *name); /* or 0 */
void md_uids_free(struct md_uids *u);

/* Is that so far above what x has had that it is damage? */
bool md_uids_jump(const struct index *x, uint32_t uid);

/* ------------------------------------------------------------- index.c */

/*
 * place[0] has the letters that the file's name has, place[1] the octets of
 * the file.  If those are as many as size they are served as they are; if not,
 * with LF made CRLF.
 */
struct md_msg {
	struct store_msg m; /* first */
	uint64_t cache;     /* place in the cache file; the loop's only */
	char *name;
};

struct md_gone {
	uint32_t uid;
	uint64_t modseq;
	int64_t added;
	uint8_t key[16];
};

struct index {
	uint32_t uidvalidity, uidnext;
	uint32_t recent; /* the first UID; 0: another program's, not seen yet */
	uint64_t highestmodseq;
	struct md_msg *msgs; /* by UID */
	size_t n, size;
	size_t hole; /* 1 + the first that a record being applied expunges */
	struct md_gone *gone; /* by UID */
	size_t ngone, gone_size;
	unsigned nkeywords; /* that the log has */
	char *keywords[STORE_KEYWORDS];
	char *letters[MD_LETTERS]; /* of dovecot-keywords; NULL: not known */
	uint8_t *note;             /* as backendd-mailbox is; NULL: not known */
	size_t note_len;
	uint64_t end; /* of the log */
	bool
	    unsettled; /* loaded to be looked at: the files may not be so yet */
};

/* What a record is made of. */
enum md_tag {
	MD_HEAD = 'H',
	MD_KEYWORD = 'K',
	MD_ADD = 'A',
	MD_FLAGS = 'F',
	MD_EXPUNGE = 'X',
	MD_GONE = 'G',
	MD_CACHED = 'C',
	MD_NONCE = 'N',
	MD_LETTER = 'L',
	MD_NOTE = 'B',
	MD_SETTLED = 'S'
};

enum md_where {
	MD_IN_TMP = 't',
	MD_IN_NEW = 'n',
	MD_IN_CUR = 'c' /* and as it is to be */
};

struct md_item {
	enum md_tag tag;
	struct md_msg
	    msg; /* ADD; of FLAGS, CACHED and GONE what they are about */
	char name[MD_NAME + 1];
	struct slice text; /* KEYWORD, NONCE, LETTER, NOTE */
	unsigned letter;   /* LETTER */
	enum md_where where;
	uint64_t was;                          /* FLAGS: the letters before */
	bool unlink;                           /* EXPUNGE: and its file */
	uint32_t uidvalidity, uidnext, recent; /* HEAD */
};

void md_put_head(struct buf *b, uint32_t uidvalidity, uint32_t uidnext,
    uint32_t recent, uint64_t highestmodseq);
void md_put_keyword(struct buf *b, const char *name);
void md_put_add(struct buf *b, const struct md_msg *m, enum md_where where);
void md_put_flags(struct buf *b, const struct store_msg *m, uint64_t was);
void md_put_expunge(struct buf *b, uint32_t uid, uint64_t modseq, bool unlink);
void md_put_gone(struct buf *b, const struct md_gone *g);
void md_put_cached(struct buf *b, uint32_t uid, uint64_t place);
void md_put_nonce(struct buf *b, const uint8_t nonce[16]);
void md_put_note(struct buf *b, struct slice note);

/* Those that x does not have so. */
void md_put_letters(struct buf *b, const struct index *x,
    const struct md_keywords *k);

/* false: there is no more, or (w->failed) it is no record. */
bool md_item(struct wire *w, struct md_item *item) MUST_CHECK;

void md_index_init(struct index *x);
void md_index_fini(struct index *x);

/* Index of the first message whose UID is at least uid. */
size_t md_index_at(const struct index *x, uint32_t uid);
struct md_msg *md_index_find(const struct index *x, uint32_t uid);

/* -1: the record is damaged. */
int md_index_apply(struct index *x, struct slice record,
    struct err *err) MUST_CHECK;

struct store_numbers md_index_numbers(const struct index *x);

/* Appends a record to the log of dirfd and syncs it; *end moves behind it. */
int md_index_log(int dirfd, struct slice record, uint64_t *end, bool sync,
    struct err *err) MUST_CHECK;

enum md_loaded {
	MD_LOADED,
	MD_NO_INDEX, /* or one that is damaged: to be made anew, from x too */
	MD_FAILED
};

/* look: nothing is written.  x is filled, as far as there is no damage. */
enum md_loaded md_index_load(int dirfd, struct index *x, bool look,
    struct err *err);

/* Has the log a record with this nonce? */
bool md_index_has_nonce(int dirfd, const uint8_t nonce[16]);

/*
 * Replaces the log by a shorter one of the same meaning, if it has at least
 * min octets and that is worth it; with 0 in any case.
 */
int md_index_compact(int dirfd, struct index *x, uint64_t min,
    struct err *err) MUST_CHECK;

/* The uidlist lacks these: the messages that the record adds. */
void md_uids_add(int dirfd, const struct index *x, struct slice record);

/*
 * Does it say of every message what x says?  Then *uidnext is what it is there,
 * which may be above that of x.
 */
bool md_uids_right(int dirfd, const struct index *x, uint32_t *uidnext);

/* Writes it anew from x. */
void md_uids_fix(int dirfd, const struct index *x);

/* ------------------------------------------------------------ settle.c */

/* Files get the places that the record says; before x has it. */
int md_index_settle(int dirfd, const struct index *x, struct slice record,
    struct err *err) MUST_CHECK;

/* --------------------------------------------------------------- odd.c */

/*
 * Files whose names no message can have here, and another of the same name as
 * one, get names that they can have.  true: one has got one, so that the list,
 * which is in order, is not right any more.
 */
bool md_odd_mend(int dirfd, const struct index *x, const struct md_listing *l,
    int64_t now);

/* In order: by name, those in new first. */
int md_odd_compare(const void *a, const void *b);

/* -------------------------------------------------------------- scan.c */

struct md_times {
	struct timespec cur, new;
	int64_t looked_ms;
};
int md_times(int dirfd, struct md_times *t, struct err *err) MUST_CHECK;
bool md_times_equal(const struct md_times *a, const struct md_times *b);

struct md_scan {
	int dirfd;
	const struct index *x;
	char *const *keywords; /* of the loop */
	unsigned nkeywords;
	bool look; /* nothing is written */
	int64_t now;
	uint64_t modseq; /* of what has changed, at least */

	struct buf *record;       /* what has changed; empty: nothing */
	char *wanted[MD_LETTERS]; /* keywords that files have and x has not:
	                             to be added; then scan again.  The
	                             caller's to free */
	unsigned nwanted;
	struct md_times times; /* before it looked */
	size_t nunread;        /* files that are left out: why, of one */
	struct err unread;
	uint32_t first_uid, last_uid;
	uint32_t *changed, *expunged; /* the caller's to free */
	size_t nchanged, nexpunged;
};
int md_scan(struct md_scan *s, struct err *err) MUST_CHECK;

/*
 * Of a mailbox that has been seen: UIDs [from, to) that were given and have no
 * message were expunged.
 */
void md_put_lost(struct buf *b, const struct index *x, uint32_t from,
    uint32_t to, uint64_t modseq);

/* Letters for flags and keywords; those that mean nothing here stay. */
uint64_t md_letters_for(const struct store_msg *m, const char *name,
    char *const *keywords, unsigned nkeywords, struct md_keywords *k);

/* -------------------------------------------------------------- names.c */

/*
 * Where a mailbox of that internal name is, below the partition; -1 if its
 * name cannot be a directory's.
 */
int md_path_of(const char *pattern, struct slice name, char path[MD_PATH]);
int md_pattern_check(const char *pattern, struct err *err) MUST_CHECK;

/*
 * Every directory that can be a mailbox; name is "" in .by-id.  And each that
 * may not be read: name is NULL.
 */
typedef int md_walk_visit(void *arg, const char *path, const char *name,
    struct err *err);
int md_walk(int rootfd, const char *pattern, md_walk_visit *visit, void *arg,
    struct err *err) MUST_CHECK;

/* ------------------------------------------------------------- place.c */

/* Is it an INBOX's, with others within? */
bool md_place_is_inbox(const char *path);

/*
 * One without backendd-mailbox: was it being made at a crash, with nothing in
 * it?  Then it is cleared away, but for others within.
 */
bool md_place_is_half_made(int rootfd, const char *path);

/* Nothing in new and cur. */
bool md_place_is_empty(int rootfd, const char *path);
int md_place_clear(int rootfd, const char *path, struct err *err) MUST_CHECK;

/*
 * The mailbox of that path goes to another, DIR/ID, where none is; -1: it has
 * not.  md_place_finish() is to follow: it tidies up, and at the start makes
 * an end of what a crash has broken off.
 */
int md_place_out(int rootfd, const char *path, const char *to,
    struct err *err) MUST_CHECK;
int md_place_finish(int rootfd, const char *dir, const char *id,
    struct err *err) MUST_CHECK;

/* ------------------------------------------------------------ letter.c */

/* A message's file, as it is to be served. */
int md_open(int dirfd, const char *name, uint64_t letters, char path[MD_FILE]);

/* Where in the file, behind which octet, so many were served. */
struct md_finger {
	uint64_t file, served;
	uint8_t last;
};

/*
 * Octets [offset, offset + len) of it to out; those there are.  finger: where
 * an earlier read of that message ended, or zeros, and where this one does; for
 * what is not served as it is must be read from a place that is known.
 */
int md_read(int fd, bool raw, struct md_finger *finger, uint64_t offset,
    size_t len, uint8_t *out, size_t *got, struct err *err) MUST_CHECK;

/* Sizes on the disk and as served. */
int md_measure(int fd, uint64_t *file, uint64_t *size,
    struct err *err) MUST_CHECK;

/* A name that there is not yet. */
void md_make_name(char name[MD_NAME + 1], int64_t now);

/* Writes octets to tmp/NAME, where NAME is made for it, and syncs. */
struct md_draft {
	char name[MD_NAME + 1];
	uint64_t file, size;
};
int md_write_draft(int dirfd, struct slice octets, int64_t internaldate,
    int64_t now, struct md_draft *d, struct err *err) MUST_CHECK;

/* A link (or a copy) to tmp/NAME.  1: it is gone. */
int md_link_draft(int fromfd, const char *name, uint64_t letters, int dirfd,
    int64_t internaldate, int64_t now, struct md_draft *d,
    struct err *err) MUST_CHECK;

/* --------------------------------------------------------------- box.c */

enum md_op_kind {
	MD_OP_APPEND,
	MD_OP_MOVE,
	MD_OP_CHANGE,
	MD_OP_EXPUNGE,
	MD_OP_META,
	MD_OP_EVICT,
	MD_OP_SYNC,
	MD_OP_SCAN,
	MD_OP_CACHE
};

/* A message to append: what the loop tells the job of its source. */
struct piece {
	bool from, gone;
	int fromfd;
	char *name;
	uint64_t letters, size, file;
	int64_t internaldate;
	uint8_t emailid[16];
	uint64_t cache_from, cache_to; /* places; 0: none */
	struct md_draft draft;
	bool drafted;
};

/* What an op does to one mailbox: the record, and news. */
struct effect {
	struct box *box; /* NULL: nothing */
	struct buf record;
	struct buf cached;  /* CACHED items of the loop, to be logged */
	unsigned nkeywords; /* of the mailbox when it began */
	uint32_t recent;
	uint32_t uidnext;
	uint64_t modseq, highest; /* for what changes; of all */
	uint64_t end;             /* of the log */
	uint32_t first_uid, last_uid;
	uint32_t *changed, *expunged;
	size_t nchanged, nexpunged;
	bool logged, unsettled;
};

struct slot {
	TAILQ_ENTRY(slot) entry;
	struct md_op *op;
};

struct md_op {
	struct slot slots[2]; /* in the queues of box and to */
	enum md_op_kind kind;
	struct maildir *md;
	struct box *box, *to; /* to: of a move, and may be box */
	int rootfd;
	struct store_append *appends;
	struct store_change *changes;
	const uint32_t *uids;
	size_t n;
	uint64_t unchanged_since;
	uint32_t if_flags;
	uint8_t *meta;
	size_t meta_len;
	char was[MD_PATH], path[MD_PATH]; /* META: where it is and is to be */
	char to_path[MD_PATH];            /* of a move */
	struct piece *pieces;
	struct effect in, out; /* on to or box; on box, of a move to another */
	unsigned key_days;
	int64_t now;
	struct md_scan scan;
	const char *why; /* static */
	bool failed;
	struct err err;
	store_cb *cb;
	void *arg;
};

TAILQ_HEAD(slots, slot);

struct box {
	struct store_mailbox store; /* first */
	unsigned magic;
	struct maildir *md;
	int dirfd;
	struct index x;
	struct store_names names;
	char *keywords[STORE_KEYWORDS]; /* grows, while jobs read below */
	uint8_t *meta;
	uint64_t cache_end;
	struct buf cached; /* CACHED items not logged yet */
	struct slots ops;
	bool running; /* the first of ops */
	bool closed, hurt;
	unsigned busy;           /* reads, an opening, a look under way */
	struct md_times times;   /* as of the last scan */
	struct md_finger finger; /* where the last read ended... */
	uint32_t finger_uid;     /* ...of this message; 0: of none */
	int64_t scan_after_ms;   /* not before */
	int64_t own_ms;          /* when a change of ours was made */
	int64_t looked_ms;
	int wd[2]; /* watches of new and cur, or -1 */
	bool dirty;
	TAILQ_ENTRY(box) dirty_entry; /* of what the watch knows */
	struct opening *opening;
	void (*gone)(void *arg); /* when it is closed, if not NULL */
	void *gone_arg;
	TAILQ_ENTRY(box) entry; /* in maildir.boxes */
};

TAILQ_HEAD(boxes, box);

struct maildir {
	struct store store; /* first */
	unsigned magic;
	struct store_env env;
	struct store_options options;
	char *dir, *pattern;
	int dirfd, lockfd;
	struct map paths; /* ID: its path, allocated */
	struct map open;  /* ID: struct box */
	struct boxes boxes;
	struct timer *poll;
	struct md_watch *watch; /* or NULL */
	size_t busy;
	int64_t looked_ms;
	uint64_t room; /* as of then */
	uint64_t compact_min;
	size_t damaged; /* directories that are no mailbox any more */
	bool full, polling;
};

struct maildir *maildir_of(struct store *st);
struct box *md_box_of(struct store_mailbox *mb);

/* Where a mailbox with that meta is to be; -1: nowhere else. */
int maildir_path(struct maildir *md, const char *id, struct slice meta,
    char path[MD_PATH]);

/* NULL: appends may go on. */
const char *maildir_refusal(struct maildir *md, uint64_t octets);

void md_box_open(struct store *st, const char *id, store_open_cb *cb,
    void *arg);
void md_box_close(struct store_mailbox *mb);
const struct store_msg *md_box_at(const struct store_mailbox *mb, uint32_t i);
int md_box_keyword_add(struct store_mailbox *mb, struct slice name);
uint32_t md_box_claim_recent(struct store_mailbox *mb);
void md_box_hold(struct box *b);
void md_box_release(struct box *b);
void md_box_set_meta(struct box *b, struct slice meta);

/* It goes from its directory to .by-id, since another of its name is made. */
void md_box_evict(struct maildir *md, const char *id, store_cb *cb, void *arg);

/* Its files are not as its index is: to be closed and opened again. */
void md_box_hurt(struct box *b);

void md_box_say_unread(struct box *b, size_t n, const struct err *err);

/*
 * Have others changed them?  Looks at all that are open and not watched, or
 * that something was heard of; and at the others now and then.
 */
void md_box_poll(struct maildir *md);

/* 0: it does; else how long it is too early, or -1: changes of ours come
 * between, and md_box_poll() will see. */
int64_t md_box_scan_now(struct box *b);

/* ------------------------------------------------------------- watch.c */

/* NULL: what others do is not told here, and has to be looked for. */
struct md_watch *md_watch_new(struct maildir *md);
void md_watch_free(struct md_watch **wp);
int md_watch_fd(const struct md_watch *w); /* or -1 */

/* In a job, before it is looked at.  -1s: there are no more watches. */
void md_watch_begin(int fd, int dirfd, int wd[2]);
void md_watch_cancel(int fd, int wd[2]);

/* Then in the loop. */
void md_watch_put(struct md_watch *w, struct box *b, const int wd[2]);
void md_watch_clean(struct box *b); /* nothing is heard of any more */
void md_watch_drop(struct md_watch *w, struct box *b);

/* -------------------------------------------------------------- load.c */

/* A mailbox as it is on the disk, with what others did to it. */
struct md_load {
	int rootfd;
	const char *path, *id;
	const char
	    *moved_to; /* where that mailbox is now; NULL: where it was */
	bool look;     /* nothing is written */
	uint64_t compact_min; /* as md_index_compact() has it */
	int watchfd;          /* or -1 */
	int64_t now;

	int dirfd; /* the rest is filled, the caller's to free */
	struct index x;
	struct buf meta;
	struct md_times times;
	uint64_t cache_end;
	int wd[2];
	bool rebuilt;
	size_t nunread; /* as of the scan */
	struct err unread;
};
int md_load(struct md_load *l, struct err *err) MUST_CHECK;
void md_load_fini(struct md_load *l);

/* -------------------------------------------------------------- note.c */

/* Of backendd-mailbox; meta is the caller's to free. */
struct md_note {
	char id[STORE_ID_MAX + 1];
	uint32_t uidvalidity;
	struct buf meta;
};
int md_note_read(int dirfd, struct md_note *n, bool *missing,
    struct err *err) MUST_CHECK;
int md_note_write(int dirfd, const char *id, uint32_t uidvalidity,
    struct slice meta, struct err *err) MUST_CHECK;
void md_note_make(struct buf *b, const char *id, uint32_t uidvalidity,
    struct slice meta);

/* The same from the index, if backendd-mailbox is lost or damaged. */
int md_note_find(int dirfd, struct md_note *n, bool *missing, bool *mended,
    struct err *err) MUST_CHECK;

/*
 * A move out of the mailbox of that id: what a crash would leave half done.  It
 * is made if the other mailbox's log has the nonce; and a message by itself if
 * it has a file of its name there, should the log be another by then.
 */
struct md_moving {
	uint8_t nonce[16];
	const char *to, *to_id;
	struct buf items; /* of md_moving_put(); the caller's to free */
};
void md_moving_put(struct md_moving *m, uint32_t uid, const char *name);
int md_moving_begin(int rootfd, const char *id, const struct md_moving *m,
    struct err *err) MUST_CHECK;
void md_moving_end(int rootfd, const char *id, bool sync);

/* Which mailbox it goes to; -1: it cannot be read. */
int md_moving_to(int rootfd, const char *id, char to_id[STORE_ID_MAX + 1],
    struct err *err) MUST_CHECK;

/* To record: what is in the other mailbox already goes from this one. */
int md_moving_finish(struct md_load *l, struct buf *record,
    struct err *err) MUST_CHECK;

/* ---------------------------------------------------------------- op.c */

void md_op_append(struct store_mailbox *mb, struct store_append *a, size_t n,
    store_cb *cb, void *arg);
void md_op_move(struct store_mailbox *mb, struct store_mailbox *to,
    struct store_append *a, size_t n, store_cb *cb, void *arg);
void md_op_change(struct store_mailbox *mb, struct store_change *c, size_t n,
    uint64_t unchanged_since, store_cb *cb, void *arg);
void md_op_expunge(struct store_mailbox *mb, const uint32_t *uids, size_t n,
    uint32_t if_flags, store_cb *cb, void *arg);
void md_op_set_meta(struct store_mailbox *mb, struct slice meta, store_cb *cb,
    void *arg);
void md_op_sync(struct store_mailbox *mb, store_cb *cb, void *arg);
void md_op_scan(struct box *b);
void md_op_evict(struct box *b, store_cb *cb, void *arg);
void md_op_flush_cache(struct box *b);

/* Runs what can run. */
void md_op_pump(struct box *b);

/* Is there nothing to be done on it? */
bool md_op_idle(const struct box *b);

/* -------------------------------------------------------------- work.c */

/* In a job: does it, up to what the loop has to apply. */
void md_op_run(struct md_op *op);

/* -------------------------------------------------------------- read.c */

void md_read_read(struct store_mailbox *mb, struct store_part *parts, size_t n,
    store_look *look, store_read_cb *cb, void *arg);
void md_read_expunged(struct store_mailbox *mb, uint64_t since,
    store_gone_cb *cb, void *arg);
void md_read_held(struct store_mailbox *mb, store_held_cb *cb, void *arg);
void md_read_put_cache(struct store_mailbox *mb, const struct store_record *r,
    size_t n, store_cb *cb, void *arg);
bool md_read_has_cache(const struct store_mailbox *mb,
    const struct store_msg *msg);
void md_read_peek(struct store *st, struct store_peek *p, size_t n,
    store_peek_cb *cb, void *arg);

/* A cache record as it is in the file; head and octets to area. */
void md_cache_make(uint8_t *area, uint32_t uid, struct slice octets);
/* Octets of it, 0 if it is none. */
size_t md_cache_read(int fd, uint64_t place, uint32_t uid, uint8_t *area);

static inline size_t
md_cache_len(uint64_t place)
{
	return (size_t)(place & 0xfffff);
}

static inline uint64_t
md_cache_place(uint64_t at, size_t len)
{
	return at << 20 | len;
}

#endif
