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

int
md_note_read(int dirfd, struct md_note *n, bool *missing, struct err *err)
{
	struct slice s, id, meta;
	struct wire w;
	struct buf b;
	bool good;

	if (md_read_file(dirfd, MD_MAILBOX, NOTE_MAX, &b, missing, err) == -1)
		return -1;
	s = buf_slice(&b);
	good = take_checked(&s);
	wire_init(&w, s);
	good = good && wire_u8(&w) == NOTE_VERSION;
	id = wire_slice(&w);
	n->uidvalidity = wire_u32(&w);
	meta = wire_slice(&w);
	good = good && wire_done(&w) && id.len >= 1 && id.len <= STORE_ID_MAX;
	if (good) {
		snprintf(n->id, sizeof n->id, "%.*s", (int)id.len,
		    (const char *)id.ptr);
		buf_init(&n->meta, STORE_META_MAX);
		buf_put_slice(&n->meta, meta);
	}
	buf_fini(&b);
	return good ? 0 : err_set(err, MD_MAILBOX " is damaged");
}

int
md_note_write(int dirfd, const char *id, uint32_t uidvalidity,
    struct slice meta, struct err *err)
{
	struct buf b;
	int result;

	buf_init(&b, NOTE_MAX);
	wire_put_u8(&b, NOTE_VERSION);
	wire_put_str(&b, id);
	wire_put_u32(&b, uidvalidity);
	wire_put_slice(&b, meta);
	put_checked(&b);
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
	bool missing, same = false;
	int fd;

	snprintf(path, sizeof path, "%.*s", (int)m->to.len,
	    (const char *)m->to.ptr);
	fd = openat(l->rootfd, l->moved_to != NULL ? l->moved_to : path,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd != -1 && md_note_read(fd, &note, &missing, &err) == 0) {
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

/* A change found while loading. */
static int
make_so(struct md_load *l, struct slice record, struct err *err)
{
	static const uint8_t settled = MD_SETTLED;

	if (record.len == 0)
		return 0;
	if (!l->look &&
	    (md_index_log(l->dirfd, record, &l->x.end, true, err) == -1 ||
	        md_index_settle(l->dirfd, &l->x, record, err) == -1 ||
	        md_index_log(l->dirfd, slice_of(&settled, 1), &l->x.end, false,
	            err) == -1))
		return -1;
	return md_index_apply(&l->x, record, err);
}

/* UIDs are as the uidlist has them, if it is there. */
static int
rebuild(struct md_load *l, uint32_t uidvalidity, struct err *err)
{
	struct md_uids u;

	if (md_uids_read(l->dirfd, &u, err) == -1)
		return -1;
	md_index_init(&l->x);
	l->x.uidvalidity = u.there ? u.uidvalidity : (uint32_t)l->now;
	if (!u.there && l->x.uidvalidity <= uidvalidity)
		l->x.uidvalidity = uidvalidity + 1;
	l->x.highestmodseq = (uint64_t)l->now * MODSEQ_STEP;
	md_uids_free(&u);
	l->rebuilt = true;
	return l->look ? 0
	               : md_index_compact(l->dirfd, &l->x, l->compact_min, err);
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

static int
bring_up_to_date(struct md_load *l, struct err *err)
{
	bool again = true, changed = false;
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
		changed |= buf_len(&record) > 0;
	}
	buf_fini(&record);
	if (result == -1 || l->look)
		return result;
	if (changed || l->rebuilt ||
	    faccessat(l->dirfd, "dovecot-uidlist", F_OK, 0) == -1)
		md_uids_fix(l->dirfd, &l->x);
	return md_index_compact(l->dirfd, &l->x, l->compact_min, err);
}

static int
make_dirs(int dirfd, struct err *err)
{
	if (md_mkdir(dirfd, "tmp", err) == -1 ||
	    md_mkdir(dirfd, "new", err) == -1)
		return -1;
	return md_mkdir(dirfd, "cur", err);
}

static int
load(struct md_load *l, struct err *err)
{
	struct md_note note;
	struct stat st;
	bool missing;

	if (md_note_read(l->dirfd, &note, &missing, err) == -1)
		return -1;
	l->meta = note.meta;
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
	if (bring_up_to_date(l, err) == -1)
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
	md_index_fini(&l->x);
	buf_fini(&l->meta);
}
