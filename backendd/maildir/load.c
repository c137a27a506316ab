/*
 * A mailbox as it is on the disk: its index, brought up to date with what
 * crashes and other programs have done to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	NOTE_VERSION = 1,
	NOTE_MAX = STORE_META_MAX + 1024,
	MOVING_MAX = STORE_ITEMS_MAX * (MD_NAME + 16) + 4096,
	MODSEQ_STEP = 1000, /* a second of these: no log had as many */
	SCANS = 3
};

/* ---- backendd-mailbox ---- */

static void
put_checked(struct buf *b)
{
	wire_put_u32(b, hash_crc32c(0, buf_data(b), buf_len(b)));
}

static bool
take_checked(struct slice *s)
{
	struct slice sum;
	struct wire w;

	if (s->len < 4)
		return false;
	sum = slice_skip(*s, s->len - 4);
	*s = slice_first(*s, s->len - 4);
	wire_init(&w, sum);
	return wire_u32(&w) == hash_crc32c(0, s->ptr, s->len);
}

static int
note_parse(struct slice s, struct md_note *n, struct err *err)
{
	struct slice id, meta;
	struct wire w;
	bool good;

	good = take_checked(&s);
	wire_init(&w, s);
	good = good && wire_u8(&w) == NOTE_VERSION;
	id = wire_slice(&w);
	n->uidvalidity = wire_u32(&w);
	meta = wire_slice(&w);
	if (!good || !wire_done(&w) || id.len < 1 || id.len > STORE_ID_MAX)
		return err_set(err, MD_MAILBOX " is damaged");
	snprintf(n->id, sizeof n->id, "%.*s", (int)id.len,
	    (const char *)id.ptr);
	buf_init(&n->meta, STORE_META_MAX);
	buf_put_slice(&n->meta, meta);
	return 0;
}

int
md_note_read(int dirfd, struct md_note *n, bool *missing, struct err *err)
{
	struct buf b;
	int result;

	if (md_read_file(dirfd, MD_MAILBOX, NOTE_MAX, &b, missing, err) == -1)
		return -1;
	result = note_parse(buf_slice(&b), n, err);
	buf_fini(&b);
	return result;
}

int
md_note_find(int dirfd, struct md_note *n, bool *missing, bool *mended,
    struct err *err)
{
	struct index x;
	struct err other;

	*mended = false;
	if (md_note_read(dirfd, n, missing, err) == 0)
		return 0;
	if (md_index_load(dirfd, &x, true, &other) != MD_FAILED &&
	    x.note != NULL &&
	    note_parse(slice_of(x.note, x.note_len), n, &other) == 0)
		*mended = true;
	md_index_fini(&x);
	return *mended ? 0 : -1;
}

void
md_note_make(struct buf *b, const char *id, uint32_t uidvalidity,
    struct slice meta)
{
	buf_init(b, NOTE_MAX);
	wire_put_u8(b, NOTE_VERSION);
	wire_put_str(b, id);
	wire_put_u32(b, uidvalidity);
	wire_put_slice(b, meta);
	put_checked(b);
}

int
md_note_write(int dirfd, const char *id, uint32_t uidvalidity,
    struct slice meta, struct err *err)
{
	struct buf b;
	int result;

	md_note_make(&b, id, uidvalidity, meta);
	result = md_replace(dirfd, MD_MAILBOX, buf_slice(&b), err);
	buf_fini(&b);
	return result;
}

/* ---- moves that a crash has broken off ---- */

static void
moving_path(char path[STORE_ID_MAX + 16], const char *id)
{
	snprintf(path, STORE_ID_MAX + 16, ".moving/%s", id);
}

void
md_moving_put(struct md_moving *m, uint32_t uid, const char *name)
{
	wire_put_u32(&m->items, uid);
	wire_put_str(&m->items, name);
}

int
md_moving_begin(int rootfd, const char *id, const struct md_moving *m,
    struct err *err)
{
	char path[STORE_ID_MAX + 16];
	struct buf b;
	int fd, result;

	buf_init(&b, MOVING_MAX);
	wire_put_slice(&b, slice_of(m->nonce, 16));
	wire_put_str(&b, m->to);
	wire_put_str(&b, m->to_id);
	buf_put_slice(&b, buf_slice(&m->items));
	put_checked(&b);
	MUST(!buf_failed(&b));
	moving_path(path, id);
	fd = openat(rootfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);
	result = fd == -1 ? err_sys(err, "making %s", path) : 0;
	if (result == 0)
		result = md_write(fd, buf_slice(&b), 0, err);
	if (result == 0 && fsync(fd) == -1)
		result = err_sys(err, "syncing %s", path);
	if (fd != -1)
		close(fd);
	if (result == 0)
		result = md_sync_dir(rootfd, ".moving", err);
	if (result == -1)
		unlinkat(rootfd, path, 0);
	buf_fini(&b);
	return result;
}

void
md_moving_end(int rootfd, const char *id, bool sync)
{
	char path[STORE_ID_MAX + 16];
	struct err err;

	moving_path(path, id);
	unlinkat(rootfd, path, 0);
	/* It is of no use any more, and found so whenever it is looked at. */
	if (sync && md_sync_dir(rootfd, ".moving", &err) == -1)
		return;
}

/* The head of it; w is then before the items. */
struct moving {
	struct buf b;
	struct slice nonce, to, to_id;
	struct wire w;
};

/* false: there is none, or it was not written whole, and so not begun. */
static bool
moving_read(int rootfd, const char *id, struct moving *m, bool *failed,
    struct err *err)
{
	char path[STORE_ID_MAX + 16];
	struct slice s;
	bool missing;

	moving_path(path, id);
	*failed = false;
	if (md_read_file(rootfd, path, MOVING_MAX, &m->b, &missing, err) ==
	    -1) {
		*failed = !missing;
		return false;
	}
	s = buf_slice(&m->b);
	if (take_checked(&s)) {
		wire_init(&m->w, s);
		m->nonce = wire_slice(&m->w);
		m->to = wire_slice(&m->w);
		m->to_id = wire_slice(&m->w);
		if (!m->w.failed && m->nonce.len == 16 && m->to.len < MD_PATH &&
		    m->to_id.len <= STORE_ID_MAX)
			return true;
	}
	buf_fini(&m->b);
	return false;
}

int
md_moving_to(int rootfd, const char *id, char to_id[STORE_ID_MAX + 1],
    struct err *err)
{
	struct moving m;
	bool failed;

	to_id[0] = '\0';
	if (!moving_read(rootfd, id, &m, &failed, err))
		return failed ? -1 : 0;
	snprintf(to_id, STORE_ID_MAX + 1, "%.*s", (int)m.to_id.len,
	    (const char *)m.to_id.ptr);
	buf_fini(&m.b);
	return 0;
}

/* The directory of the other mailbox; -1: it is not there. */
static int
open_other(const struct md_load *l, const struct moving *m)
{
	char path[MD_PATH];
	struct md_note note;
	struct err err;
	bool missing, mended, same = false;
	int fd;

	snprintf(path, sizeof path, "%.*s", (int)m->to.len,
	    (const char *)m->to.ptr);
	fd = openat(l->rootfd, l->moved_to != NULL ? l->moved_to : path,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd != -1 && md_note_find(fd, &note, &missing, &mended, &err) == 0) {
		same = slice_is(m->to_id, note.id);
		buf_fini(&note.meta);
	}
	if (fd != -1 && !same)
		close(fd);
	return same ? fd : -1;
}

/* What is in the other mailbox goes from this one. */
static void
put_moved(struct md_load *l, struct moving *m, int fd, struct buf *record)
{
	bool all = md_index_has_nonce(fd, m->nonce.ptr);
	char name[MD_NAME + 1], path[MD_FILE];

	while (m->w.rest.len > 0) {
		uint32_t uid = wire_u32(&m->w);
		struct slice s = wire_slice(&m->w);

		if (m->w.failed || s.len > MD_NAME)
			return;
		snprintf(name, sizeof name, "%.*s", (int)s.len,
		    (const char *)s.ptr);
		if (md_index_find(&l->x, uid) != NULL &&
		    (all || md_locate(fd, name, path)))
			md_put_expunge(record, uid, l->x.highestmodseq + 1,
			    true);
	}
}

static int
finish_moving(struct md_load *l, struct buf *record, struct err *err)
{
	struct moving m;
	bool failed;
	int fd;

	if (!moving_read(l->rootfd, l->id, &m, &failed, err))
		return failed ? -1 : 0;
	fd = open_other(l, &m);
	if (fd != -1) {
		put_moved(l, &m, fd, record);
		close(fd);
	}
	buf_fini(&m.b);
	if (buf_len(record) > 0)
		md_put_head(record, l->x.uidvalidity, l->x.uidnext, l->x.recent,
		    l->x.highestmodseq + 1);
	return 0;
}

/* ---- loading ---- */

/* A change found while loading; of one made anew all is written at the end. */
static int
make_so(struct md_load *l, struct slice record, struct err *err)
{
	static const uint8_t settled = MD_SETTLED;

	if (record.len == 0)
		return 0;
	if (!l->look && !l->rebuilt &&
	    md_index_log(l->dirfd, record, &l->x.end, true, err) == -1)
		return -1;
	if (!l->look && md_index_settle(l->dirfd, &l->x, record, err) == -1)
		return -1;
	if (!l->look && !l->rebuilt &&
	    md_index_log(l->dirfd, slice_of(&settled, 1), &l->x.end, false,
	        err) == -1)
		return -1;
	return md_index_apply(&l->x, record, err);
}

/*
 * From what is left of the log and from the files.  UIDs are as the uidlist
 * has them, if it is there; if not, UIDs may have been given that are not
 * known of, and UIDVALIDITY is another.  All may have changed.
 */
static int
rebuild(struct md_load *l, uint32_t uidvalidity, struct err *err)
{
	struct index *x = &l->x;
	struct md_uids u;

	if (md_uids_read(l->dirfd, &u, err) == -1)
		return -1;
	if (u.there && x->uidvalidity == 0)
		x->uidvalidity = u.uidvalidity;
	if (!u.there)
		x->uidvalidity = (uint32_t)l->now > uidvalidity
		                     ? (uint32_t)l->now
		                     : uidvalidity + 1;
	md_uids_free(&u);
	x->highestmodseq = (uint64_t)l->now * MODSEQ_STEP;
	for (size_t i = 0; i < x->n; i++)
		x->msgs[i].m.modseq = x->highestmodseq;
	l->rebuilt = true;
	return 0;
}

/*
 * Nobody may be left to believe in messages that are not there: all UIDs that
 * are not known were expunged.
 */
static int
add_lost(struct md_load *l, struct err *err)
{
	struct index *x = &l->x;
	struct md_uids u;
	size_t m = 0, g = 0, lost = 0;
	struct buf record;
	int result;

	if (md_uids_read(l->dirfd, &u, err) == -1)
		return -1;
	if (u.there && u.uidvalidity == x->uidvalidity &&
	    u.uidnext > x->uidnext)
		x->uidnext = u.uidnext;
	md_uids_free(&u);
	buf_init(&record, MD_RECORD_MAX);
	for (uint32_t uid = 1; uid < x->uidnext && lost < MD_LOST_MAX; uid++) {
		while (m < x->n && x->msgs[m].m.uid < uid)
			m++;
		while (g < x->ngone && x->gone[g].uid < uid)
			g++;
		if ((m < x->n && x->msgs[m].m.uid == uid) ||
		    (g < x->ngone && x->gone[g].uid == uid))
			continue;
		md_put_gone(&record, &(struct md_gone){ .uid = uid,
		                         .modseq = x->highestmodseq });
		lost++;
	}
	result = md_index_apply(x, buf_slice(&record), err);
	buf_fini(&record);
	return result;
}

static void
free_scan(struct md_scan *s)
{
	free(s->changed);
	free(s->expunged);
	for (unsigned i = 0; i < s->nwanted; i++)
		free(s->wanted[i]);
}

/* false: keywords were added, so that it is to be done again. */
static int
scan_once(struct md_load *l, struct buf *record, bool *again, struct err *err)
{
	struct md_scan s = { .dirfd = l->dirfd,
		.x = &l->x,
		.keywords = l->x.keywords,
		.nkeywords = l->x.nkeywords,
		.now = l->now,
		/* Above what a log had that has lost its end. */
		.modseq = (uint64_t)l->now * MODSEQ_STEP,
		.record = record };
	int result = md_scan(&s, err);

	*again = s.nwanted > 0;
	l->times = s.times;
	if (result == 0 && s.nwanted > 0) {
		buf_clear(record);
		for (unsigned i = 0; i < s.nwanted; i++)
			md_put_keyword(record, s.wanted[i]);
	}
	if (result == 0)
		result = make_so(l, buf_slice(record), err);
	free_scan(&s);
	return result;
}

/* Another program has given UIDs, to messages that have gone since. */
static int
raise_uidnext(struct md_load *l, uint32_t uidnext, struct err *err)
{
	struct index *x = &l->x;
	struct buf record;
	int result;

	buf_init(&record, MD_RECORD_MAX);
	md_put_lost(&record, x, x->uidnext, uidnext, x->highestmodseq + 1);
	md_put_head(&record, x->uidvalidity, uidnext, x->recent,
	    x->highestmodseq + 1);
	result = make_so(l, buf_slice(&record), err);
	buf_fini(&record);
	return result;
}

/* What is kept beside the index, and it itself. */
static int
tidy(struct md_load *l, struct err *err)
{
	struct md_keywords k;
	uint32_t uidnext;
	struct err other;

	if (!md_uids_right(l->dirfd, &l->x, &uidnext))
		md_uids_fix(l->dirfd, &l->x);
	else if (uidnext > l->x.uidnext && raise_uidnext(l, uidnext, err) == -1)
		return -1;
	/* It is for others: the index has it. */
	if (md_keywords_read(l->dirfd, &l->x, &k, &other) == 0 &&
	    md_keywords_write(l->dirfd, &k, &other) == -1)
		k.changed = true;
	md_keywords_free(&k);
	return md_index_compact(l->dirfd, &l->x,
	    l->rebuilt ? 0 : l->compact_min, err);
}

static int
bring_up_to_date(struct md_load *l, struct err *err)
{
	bool again = true;
	struct buf record;
	int result;

	buf_init(&record, MD_RECORD_MAX);
	result = finish_moving(l, &record, err);
	if (result == 0)
		result = make_so(l, buf_slice(&record), err);
	if (result == 0 && !l->look)
		md_moving_end(l->rootfd, l->id, false);
	for (int i = 0; result == 0 && again && i < SCANS; i++) {
		buf_clear(&record);
		result = scan_once(l, &record, &again, err);
	}
	buf_fini(&record);
	if (result == 0 && l->rebuilt)
		result = add_lost(l, err);
	if (result == -1 || l->look)
		return result;
	return tidy(l, err);
}

static int
make_dirs(int dirfd, struct err *err)
{
	if (md_mkdir(dirfd, "tmp", err) == -1 ||
	    md_mkdir(dirfd, "new", err) == -1)
		return -1;
	return md_mkdir(dirfd, "cur", err);
}

/* The copy in the index is as the file is. */
static int
copy_note(struct md_load *l, struct err *err)
{
	struct index *x = &l->x;
	struct buf note, record;
	int result = 0;

	md_note_make(&note, l->id, x->uidvalidity, buf_slice(&l->meta));
	if (x->note == NULL ||
	    !slice_equal(slice_of(x->note, x->note_len), buf_slice(&note))) {
		buf_init(&record, NOTE_MAX + 16);
		md_put_note(&record, buf_slice(&note));
		result = make_so(l, buf_slice(&record), err);
		buf_fini(&record);
	}
	buf_fini(&note);
	return result;
}

static int
load(struct md_load *l, struct err *err)
{
	struct md_note note;
	struct stat st;
	bool missing, mended;

	if (md_note_find(l->dirfd, &note, &missing, &mended, err) == -1)
		return -1;
	l->meta = note.meta;
	if (mended && !l->look &&
	    md_note_write(l->dirfd, note.id, note.uidvalidity,
	        buf_slice(&note.meta), err) == -1)
		return -1;
	if (strcmp(note.id, l->id) != 0)
		return err_set(err, "it is mailbox %s", note.id);
	if (!l->look && make_dirs(l->dirfd, err) == -1)
		return -1;
	switch (md_index_load(l->dirfd, &l->x, l->look, err)) {
	case MD_LOADED:
		break;
	case MD_NO_INDEX:
		if (rebuild(l, note.uidvalidity, err) == -1)
			return -1;
		break;
	case MD_FAILED:
		return -1;
	}
	md_watch_begin(l->look ? -1 : l->watchfd, l->dirfd, l->wd);
	if (copy_note(l, err) == -1 || bring_up_to_date(l, err) == -1)
		return -1;
	l->cache_end =
	    fstatat(l->dirfd, MD_CACHE, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

int
md_load(struct md_load *l, struct err *err)
{
	buf_init(&l->meta, 1);
	md_index_init(&l->x);
	l->wd[0] = l->wd[1] = -1;
	l->dirfd =
	    openat(l->rootfd, l->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dirfd == -1)
		return err_sys(err, "opening %s", l->path);
	if (load(l, err) == 0)
		return 0;
	md_load_fini(l);
	return -1;
}

void
md_load_fini(struct md_load *l)
{
	if (l->dirfd != -1)
		close(l->dirfd);
	l->dirfd = -1;
	md_watch_cancel(l->watchfd, l->wd);
	md_index_fini(&l->x);
	buf_fini(&l->meta);
}
