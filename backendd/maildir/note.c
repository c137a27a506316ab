/*
 * What is written down beside the index: what a mailbox is, and which move out
 * of it is under way.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/hash.h"
#include "lib/must.h"

enum {
	NOTE_VERSION = 1,
	MOVING_MAX = STORE_ITEMS_MAX * (MD_NAME + 16) + 4096
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

	if (md_read_file(dirfd, MD_MAILBOX, MD_NOTE_MAX, &b, missing, err) ==
	    -1)
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
	buf_init(b, MD_NOTE_MAX);
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

int
md_moving_finish(struct md_load *l, struct buf *record, struct err *err)
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
