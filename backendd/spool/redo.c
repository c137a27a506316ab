#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

void
redo_mailbox(struct buf *b, const char *id)
{
	wire_put_u8(b, PART_MAILBOX);
	wire_put_str(b, id);
}

void
redo_write_begin(struct buf *b, enum spool_file file, uint32_t no, uint64_t at,
    uint64_t len)
{
	MUST(len <= SPOOL_RECORD_MAX);
	wire_put_u8(b, PART_WRITE);
	wire_put_u8(b, (uint8_t)file);
	wire_put_u32(b, no);
	wire_put_u64(b, at);
	wire_put_u32(b, (uint32_t)len);
}

void
redo_write(struct buf *b, enum spool_file file, uint32_t no, uint64_t at,
    struct slice octets)
{
	redo_write_begin(b, file, no, at, octets.len);
	buf_put_slice(b, octets);
}

static void
put_names(struct buf *b, const struct store_names *names)
{
	struct buf content;

	buf_init(&content, SPOOL_RECORD_MAX);
	spool_names_put(&content, names);
	wire_put_slice(b, buf_slice(&content));
	buf_fini(&content);
}

void
redo_create(struct buf *b, const struct spool_header *h,
    const struct store_names *names)
{
	wire_put_u8(b, PART_CREATE);
	wire_put_slice(b, slice_of(h, sizeof *h));
	put_names(b, names);
}

void
redo_names(struct buf *b, const struct store_names *names)
{
	wire_put_u8(b, PART_NAMES);
	put_names(b, names);
}

void
redo_destroy(struct buf *b)
{
	wire_put_u8(b, PART_DESTROY);
}

void
redo_drop(struct buf *b, uint32_t no)
{
	wire_put_u8(b, PART_DROP);
	wire_put_u32(b, no);
}

void
redo_trash(char path[SPOOL_PATH], const char *id, uint32_t no)
{
	snprintf(path, SPOOL_PATH, "trash/%s.%04u", id, (unsigned)no);
}

void
redo_trash_box(char path[SPOOL_PATH], const char *id)
{
	snprintf(path, SPOOL_PATH, "trash/%s", id);
}

/* A record being applied. */
struct redo {
	struct spool *sp;
	uint64_t number;
	bool replay;
	char id[STORE_ID_MAX + 1];
	struct look *look;        /* replay; else NULL */
	struct spool_mailbox *mb; /* if it is open; else NULL */
	struct dirty *dirty;      /* NULL: not looked up yet */
	bool missing;             /* the mailbox is not there (any more) */
	bool gone;                /* replay: ...at the log's end */
	bool newer; /* replay: its index has this record's slots already */
	const struct ahead *ahead; /* or NULL */
	const uint8_t *record;     /* its first octet */
	struct spool_files files;  /* one of each kind is open at a time */
};

static void
close_files(struct spool_files *f)
{
	for (unsigned i = 0; i < SPOOL_FILES; i++)
		ahead_leave(&f->open[i]);
}

static const struct spool_files no_files = { .open = { NULL } };

void
redo_close_files(struct spool_mailbox *mb)
{
	struct spool *sp = mb->sp;

	if (!mb->filed)
		return;
	close_files(&mb->files);
	mb->filed = false;
	TAILQ_REMOVE(&sp->filed, mb, file);
	sp->nfiled--;
}

/* Those of a mailbox that is open are kept, for the next record. */
static void
take_files(struct redo *r)
{
	struct spool_mailbox *mb = map_find(&r->sp->open, slice_str(r->id));

	r->mb = mb != NULL && mb->map != NULL ? mb : NULL;
	r->files = no_files;
	if (r->mb == NULL || !mb->filed)
		return;
	r->files = mb->files;
	mb->filed = false;
	TAILQ_REMOVE(&r->sp->filed, mb, file);
	r->sp->nfiled--;
}

static void
give_files(struct redo *r)
{
	struct spool *sp = r->sp;

	if (r->mb == NULL || sp->files_max < SPOOL_FILES) {
		close_files(&r->files);
		return;
	}
	while ((sp->nfiled + 1) * SPOOL_FILES > sp->files_max)
		redo_close_files(TAILQ_FIRST(&sp->filed));
	r->mb->files = r->files;
	r->mb->filed = true;
	TAILQ_INSERT_TAIL(&sp->filed, r->mb, file);
	sp->nfiled++;
	r->files = no_files;
	r->mb = NULL;
}

/* Its descriptor, r's to close; or -1 and *err. */
static int
open_file(struct redo *r, enum spool_file file, uint32_t no, struct err *err)
{
	int flags = O_RDWR | O_CLOEXEC, fd;
	char path[SPOOL_PATH];

	spool_path(path, r->id, file, no);
	fd = openat(r->sp->dirfd, path, flags);
	if (fd == -1 && errno == ENOENT) {
		r->dirty->dirs = true;
		fd = openat(r->sp->dirfd, path, flags | O_CREAT, 0600);
	}
	if (fd == -1)
		return err_sys(err, "opening %s", path);
	return fd;
}

static int
redo_open(struct redo *r, enum spool_file file, uint32_t no, struct err *err)
{
	struct ahead_file **fp = &r->files.open[file];
	struct dirty *d;
	int fd;

	if (r->dirty == NULL)
		r->dirty = dirty_mark(r->sp, r->id);
	if (*fp != NULL && (*fp)->no != no)
		ahead_leave(fp);
	if (*fp == NULL) {
		fd = open_file(r, file, no, err);
		if (fd == -1)
			return -1;
		*fp = ahead_open(fd, no);
	}
	d = r->dirty;
	d->index |= file == SPOOL_INDEX;
	d->cache |= file == SPOOL_CACHE;
	if (file == SPOOL_DATA) {
		if (no < d->data_low)
			d->data_low = no;
		if (no > d->data_high)
			d->data_high = no;
	}
	return (*fp)->fd;
}

/* What the disk has of a mailbox, at a replay; looked up once. */
struct look {
	bool missing;  /* the mailbox is not there (any more) */
	uint64_t base; /* its index has the slots of records up to this */
};

static struct look *
look_at(struct spool *sp, const char *id)
{
	struct look *l = xcalloc(1, sizeof *l);
	struct spool_header h;
	char path[SPOOL_PATH];
	struct stat st;
	struct err err;
	int fd;

	spool_dir_path(path, id);
	l->missing = fstatat(sp->dirfd, path, &st, 0) == -1;
	spool_path(path, id, SPOOL_INDEX, 0);
	fd = l->missing ? -1 : openat(sp->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return l;
	if (spool_read(fd, &h, sizeof h, 0, &err) == 0 && spool_header_good(&h))
		l->base = h.base;
	close(fd);
	return l;
}

static void
look(struct redo *r)
{
	struct look *l = map_find(&r->sp->looks, slice_str(r->id));

	if (l == NULL) {
		l = look_at(r->sp, r->id);
		map_put(&r->sp->looks, slice_str(r->id), l);
	}
	r->look = l;
	r->gone = gone_has(r->sp, r->id);
	r->missing = l->missing || r->gone;
	r->newer = l->base >= r->number;
}

static bool
forget_one(void *arg, struct slice id, void *value)
{
	(void)arg, (void)id;
	free(value);
	return true;
}

void
redo_forget(struct spool *sp)
{
	map_each(&sp->looks, forget_one, NULL);
	map_fini(&sp->looks);
	map_init(&sp->looks);
}

static void
set_missing(struct redo *r, bool missing)
{
	r->missing = missing;
	if (r->look != NULL)
		r->look->missing = missing;
}

static int
part_mailbox(struct redo *r, struct wire *w, struct err *err)
{
	struct slice id = wire_slice(w);

	give_files(r);
	if (w->failed || id.len == 0 || id.len > STORE_ID_MAX)
		return err_set(err, "no mailbox");
	memcpy(r->id, id.ptr, id.len);
	r->id[id.len] = '\0';
	r->dirty = NULL;
	r->gone = false;
	take_files(r);
	if (r->replay)
		look(r);
	return 0;
}

static int
part_write(struct redo *r, struct wire *w, struct err *err)
{
	unsigned file = wire_u8(w);
	uint32_t no = wire_u32(w);
	uint64_t at = wire_u64(w);
	struct slice octets = wire_slice(w);
	int fd;

	if (w->failed || file > SPOOL_CACHE)
		return err_set(err, "bad write");
	if (r->missing || (r->newer && file != SPOOL_DATA) ||
	    (file == SPOOL_DATA && gone_has_data(r->sp, r->id, no)))
		return 0;
	fd = redo_open(r, (enum spool_file)file, no, err);
	if (fd == -1)
		return -1;
	if (r->ahead != NULL &&
	    ahead_has(r->ahead, (size_t)(octets.ptr - r->record)))
		return 0;
	return spool_write(fd, octets.ptr, octets.len, at, err);
}

/* Twice, so that one of them survives a bad block. */
static int
put_names_file(int dirfd, const char *path, int flags, struct slice content,
    struct err *err)
{
	uint64_t second = spool_names_second(content.len);
	int fd = openat(dirfd, path, O_WRONLY | O_CLOEXEC | flags, 0600);
	int result;

	if (fd == -1)
		return err_sys(err, "making %s", path);
	result = spool_write(fd, content.ptr, content.len, 0, err);
	if (result == 0)
		result = spool_write(fd, content.ptr, content.len, second, err);
	if (result == 0 && ftruncate(fd, (off_t)(second + content.len)) == -1)
		result = err_sys(err, "truncating");
	close(fd);
	return result;
}

/* By rename, so that a reader has the old ones or the new ones. */
static int
replace_names(int dirfd, const char *path, struct slice content,
    struct err *err)
{
	char fresh[SPOOL_PATH + 4];

	snprintf(fresh, sizeof fresh, "%s.new", path);
	if (put_names_file(dirfd, fresh, O_CREAT | O_TRUNC, content, err) ==
	    -1) {
		unlinkat(dirfd, fresh, 0); /* or the next one is made of it */
		return -1;
	}
	if (renameat(dirfd, fresh, dirfd, path) == -1)
		return err_sys(err, "renaming %s", fresh);
	return 0;
}

/*
 * At a replay there is no reader, and what is cut short is written again, since
 * the log has it: so what is there will do if the disk has no room for another.
 */
static int
write_names(struct redo *r, struct slice content, struct err *err)
{
	int dirfd = r->sp->dirfd;
	char path[SPOOL_PATH];
	struct dirty *d;
	struct err other;

	if (r->missing)
		return 0;
	spool_path(path, r->id, SPOOL_NAMES, 0);
	if (replace_names(dirfd, path, content, err) == -1 &&
	    (!r->replay ||
	        put_names_file(dirfd, path, 0, content, &other) == -1))
		return -1;
	d = dirty_mark(r->sp, r->id);
	d->names = d->dirs = true;
	return 0;
}

static int
part_names(struct redo *r, struct wire *w, struct err *err)
{
	struct slice content = wire_slice(w);

	if (w->failed)
		return err_set(err, "bad names");
	return write_names(r, content, err);
}

/*
 * At a replay the mailbox may be there with more in it than when it was made;
 * writing the first header over it is right all the same, since every later
 * change is in the log behind this record.
 */
static int
part_create(struct redo *r, struct wire *w, struct err *err)
{
	struct slice header = wire_slice(w), content = wire_slice(w);
	struct spool_header h;
	int fd;

	if (w->failed || header.len != SPOOL_SLOT)
		return err_set(err, "bad mailbox");
	memcpy(&h, header.ptr, sizeof h);
	if (h.uidvalidity > r->sp->store.uidvalidity)
		r->sp->store.uidvalidity = h.uidvalidity;
	if (r->gone)
		return 0;
	set_missing(r, false);
	close_files(&r->files); /* of one of this name that is gone */
	if (spool_make_dirs(r->sp->dirfd, r->id, err) == -1 ||
	    write_names(r, content, err) == -1)
		return -1;
	if (r->newer)
		return 0;
	fd = redo_open(r, SPOOL_INDEX, 0, err);
	return fd == -1 ? -1 : spool_write(fd, header.ptr, header.len, 0, err);
}

static int
to_trash(struct redo *r, const char *path, const char *trash, struct err *err)
{
	if (renameat(r->sp->dirfd, path, r->sp->dirfd, trash) == -1 &&
	    errno != ENOENT)
		return err_sys(err, "removing %s", path);
	return 0;
}

/* Written by a replay of what came before, perhaps, and gone again. */
static int
part_drop(struct redo *r, struct wire *w, struct err *err)
{
	char path[SPOOL_PATH], trash[SPOOL_PATH];
	uint32_t no = wire_u32(w);

	close_files(&r->files);
	if (w->failed)
		return err_set(err, "bad drop");
	spool_path(path, r->id, SPOOL_DATA, no);
	redo_trash(trash, r->id, no);
	dirty_mark(r->sp, r->id)->dirs = true;
	return to_trash(r, path, trash, err);
}

static int
part_destroy(struct redo *r, struct err *err)
{
	char path[SPOOL_PATH], trash[SPOOL_PATH];
	struct dirty *d = dirty_mark(r->sp, r->id);

	close_files(&r->files);
	spool_dir_path(path, r->id);
	redo_trash_box(trash, r->id);
	if (to_trash(r, path, trash, err) == -1)
		return -1;
	*d = (struct dirty){ .gone = true, .data_low = 1 };
	set_missing(r, true);
	return 0;
}

static int
redo_part(struct redo *r, struct wire *w, struct err *err)
{
	enum redo_part part = (enum redo_part)wire_u8(w);

	if (part != PART_MAILBOX && r->id[0] == '\0')
		return err_set(err, "part of no mailbox");
	switch (part) {
	case PART_MAILBOX:
		return part_mailbox(r, w, err);
	case PART_WRITE:
		return part_write(r, w, err);
	case PART_CREATE:
		return part_create(r, w, err);
	case PART_NAMES:
		return part_names(r, w, err);
	case PART_DESTROY:
		return part_destroy(r, err);
	case PART_DROP:
		return part_drop(r, w, err);
	}
	return err_set(err, "part of unknown kind");
}

static int
redo_run(struct redo *r, struct slice record, struct err *err)
{
	int result = 0;
	struct wire w;

	wire_init(&w, record);
	while (result == 0 && w.rest.len > 0)
		result = redo_part(r, &w, err);
	give_files(r);
	return result;
}

int
redo_apply(struct spool *sp, uint64_t number, struct slice record,
    const struct ahead *a, struct err *err)
{
	struct redo r = { .sp = sp,
		.number = number,
		.ahead = a,
		.record = record.ptr,
		.files = no_files };

	return redo_run(&r, record, err);
}

int
redo_replay(struct spool *sp, uint64_t number, struct slice record,
    struct err *err)
{
	struct redo r = { .sp = sp,
		.number = number,
		.replay = true,
		.files = no_files };

	if (redo_run(&r, record, err) == -1)
		return err_add(err, "redo record %llu",
		    (unsigned long long)number);
	return 0;
}
