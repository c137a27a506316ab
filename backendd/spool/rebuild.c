/*
 * An index from what is left: its own good slots come first, since they know
 * flags and what was expunged; then the frames in the data files that no slot
 * and no record of an expunge speaks of.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	WINDOW = 256 * 1024, /* octets read at a time when looking for a head */
	UIDS_AWAY = 1000,    /* UIDNEXT goes up by that if it is guessed */
	MODSEQS_AWAY = 1 << 20,
	LOST_MAX = 1000000, /* records of what was lost */
	MODSEQ_BITS = 62,
	UIDS_LEFT = 16 * 1024 * 1024, /* above any UID that is believed */
	FRAME_MAX = 1 << 30           /* octets of a message that is believed */
};

struct salvage {
	struct rebuilding *r;
	struct spool_header header; /* the old one, or as it is guessed */
	bool header_good;
	struct store_msg *slots; /* by UID; the first is for the header */
	size_t n, room;
	struct store_msg *frames;
	size_t nframes, frames_room;
	struct spool_expunged *gone; /* by UID */
	size_t ngone, gone_room;
	uint32_t uidvalidity; /* as frames have it; 0: none */
	uint32_t only;        /* UIDVALIDITY that frames must have; 0: any */
	uint32_t last_uid, last_no;
	uint64_t last_modseq, cache_end;
	uint64_t stamp;        /* MODSEQ of what differs from before */
	uint64_t octets, live; /* of data files, and of slots in them */
};

static void
put_msg(struct store_msg **list, size_t *n, size_t *room,
    const struct store_msg *m)
{
	if (*n + 1 >= *room) {
		*room = *room * 2 + 64;
		*list = xreallocarray(*list, *room, sizeof **list);
	}
	(*list)[(*n)++] = *m;
}

static void
note(struct salvage *v, uint32_t uid, uint64_t modseq)
{
	if (uid > v->last_uid)
		v->last_uid = uid;
	if (modseq > v->last_modseq)
		v->last_modseq = modseq;
}

/* ---- what there is ---- */

/* As much as can be read; the rest is zeros, which no slot is. */
static void
read_slots(struct salvage *v, int fd, uint32_t nslots)
{
	for (uint32_t s = 0; s < nslots; s++) {
		struct store_msg m;
		struct err err;

		if (spool_read(fd, &m, sizeof m, ((uint64_t)s + 1) * SPOOL_SLOT,
		        &err) == -1)
			continue;
		if (!spool_msg_good(&m) || m.uid == 0)
			continue;
		put_msg(&v->slots, &v->n, &v->room, &m);
		note(v, m.uid, m.modseq);
	}
}

static int
read_index(struct salvage *v, struct err *err)
{
	char path[SPOOL_PATH];
	struct stat st;
	int fd;

	spool_path(path, v->r->id, SPOOL_INDEX, 0);
	fd = openat(v->r->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd == -1 && errno == ENOENT)
		return 0;
	if (fd == -1 || fstat(fd, &st) == -1) {
		err_sys(err, "opening the index");
		if (fd != -1)
			close(fd);
		return -1;
	}
	v->header_good = spool_read(fd, &v->header, SPOOL_SLOT, 0, err) == 0 &&
	                 spool_header_good(&v->header);
	if (st.st_size > SPOOL_SLOT)
		read_slots(v, fd, (uint32_t)(st.st_size / SPOOL_SLOT - 1));
	close(fd);
	return 0;
}

static void
read_gone(struct salvage *v)
{
	char path[SPOOL_PATH];
	struct err err;
	uint8_t *p;
	size_t n;

	spool_path(path, v->r->id, SPOOL_EXPUNGED, 0);
	if (spool_read_file(v->r->dirfd, path, SIZE_MAX / 2, &p, &n, &err) ==
	    -1)
		return; /* then there is none, or it is lost */
	for (size_t at = 0; at + sizeof *v->gone <= n; at += sizeof *v->gone) {
		struct spool_expunged x;

		memcpy(&x, p + at, sizeof x);
		if (!spool_expunged_good(&x))
			continue;
		if (v->ngone == v->gone_room) {
			v->gone_room = v->gone_room * 2 + 64;
			v->gone = xreallocarray(v->gone, v->gone_room,
			    sizeof *v->gone);
		}
		v->gone[v->ngone++] = x;
		note(v, x.uid, x.modseq);
	}
	free(p);
}

/*
 * Behind a head that is lost, or that an append that failed never got, come the
 * octets of a message, and whoever sent it may have put frames there.  They are
 * not to be messages, and their numbers not to be the mailbox's.  That the
 * header, and the frames that data files begin with, where nothing else can be,
 * have one UIDVALIDITY is what its frames are known by.
 */
static bool
is_own(const struct salvage *v, const struct store_msg *m, uint32_t uidvalidity)
{
	return (v->only == 0 || uidvalidity == v->only) && m->uid != 0 &&
	       m->uid <= UINT32_MAX - UIDS_LEFT &&
	       m->modseq >> MODSEQ_BITS == 0 &&
	       (m->flags & ~(uint32_t)STORE_FLAGS) == 0;
}

/* Of the frame that a file begins with; 0: there is none. */
static uint32_t
first_uidvalidity(int fd, uint64_t file)
{
	uint32_t uidvalidity = 0;
	uint8_t begin[SPOOL_FRAME_MIN], *head;
	struct store_msg m;
	struct err err;
	uint64_t size;

	if (file < sizeof begin ||
	    spool_read(fd, begin, sizeof begin, 0, &err) == -1 ||
	    !spool_frame_begins(begin, &size) || size > FRAME_MAX ||
	    spool_frame_len(size) > file)
		return 0;
	head = xmalloc(spool_frame_head(size));
	if (spool_read(fd, head, spool_frame_head(size), 0, &err) == -1 ||
	    !spool_frame_parse(head, &m, &uidvalidity))
		uidvalidity = 0;
	free(head);
	return uidvalidity;
}

/* If they do not agree it says nothing. */
static uint32_t
common_uidvalidity(const struct salvage *v, const struct scan_file *files,
    size_t n)
{
	uint32_t common = v->header_good ? v->header.uidvalidity : 0;
	char path[SPOOL_PATH];

	for (size_t i = 0; i < n; i++) {
		uint32_t u;
		int fd;

		spool_path(path, v->r->id, SPOOL_DATA, files[i].no);
		fd = openat(v->r->dirfd, path, O_RDONLY | O_CLOEXEC);
		if (fd == -1)
			continue;
		u = first_uidvalidity(fd, files[i].size);
		close(fd);
		if (u != 0 && common != 0 && u != common)
			return 0;
		common = u != 0 ? u : common;
	}
	return common;
}

/* Octets to the next frame; 0: none begins here. */
static uint64_t
take_frame(struct salvage *v, int fd, uint32_t no, uint64_t at, uint64_t file,
    const uint8_t *begin)
{
	uint32_t uidvalidity = 0;
	uint64_t size, room = 0;
	struct store_msg m;
	struct err err;
	uint8_t *head;

	if (!spool_frame_begins(begin, &size) || size > FRAME_MAX ||
	    spool_frame_len(size) > file - at)
		return 0;
	head = xmalloc(spool_frame_head(size));
	if (spool_read(fd, head, spool_frame_head(size), at, &err) == 0 &&
	    spool_frame_parse(head, &m, &uidvalidity) &&
	    is_own(v, &m, uidvalidity)) {
		m.place[0] = at;
		m.place[1] = no;
		put_msg(&v->frames, &v->nframes, &v->frames_room, &m);
		note(v, m.uid, m.modseq);
		v->uidvalidity = uidvalidity;
		room = spool_frame_room(size);
	}
	free(head);
	return room;
}

/* Where there is no frame, perhaps there is one eight octets on. */
static void
read_frames(struct salvage *v, int fd, const struct scan_file *f)
{
	uint8_t *window = xmalloc(WINDOW);
	uint64_t from = 0, at = 0;
	size_t have = 0;
	struct err err;

	while (at + SPOOL_FRAME_MIN <= f->size) {
		uint64_t room;

		if (at < from || at + SPOOL_FRAME_MIN > from + have) {
			from = at;
			have = f->size - at < WINDOW ? (size_t)(f->size - at)
			                             : WINDOW;
			if (spool_read(fd, window, have, from, &err) == -1) {
				at += have < 4096 ? have : 4096;
				have = 0;
				continue;
			}
		}
		room =
		    take_frame(v, fd, f->no, at, f->size, window + (at - from));
		at += room != 0 ? room : 8;
	}
	free(window);
}

static int
read_data(struct salvage *v, struct err *err)
{
	struct scan_file *files;
	char path[SPOOL_PATH];
	size_t n;
	int fd;

	if (scan_files(v->r->dirfd, v->r->id, &files, &n, err) == -1)
		return -1;
	v->only = common_uidvalidity(v, files, n);
	for (size_t i = 0; i < n; i++) {
		spool_path(path, v->r->id, SPOOL_DATA, files[i].no);
		v->last_no = files[i].no;
		v->octets += files[i].size;
		fd = openat(v->r->dirfd, path, O_RDONLY | O_CLOEXEC);
		if (fd == -1)
			continue; /* its messages are reported when read */
		read_frames(v, fd, &files[i]);
		close(fd);
	}
	free(files);
	return 0;
}

static void
read_cache_end(struct salvage *v)
{
	char path[SPOOL_PATH];
	struct stat st;

	spool_path(path, v->r->id, SPOOL_CACHE, 0);
	if (fstatat(v->r->dirfd, path, &st, 0) == 0)
		v->cache_end = ((uint64_t)st.st_size + 7) & ~(uint64_t)7;
}

/* ---- what that makes ---- */

static int
by_uid(const void *a, const void *b)
{
	const struct store_msg *x = a, *y = b;

	if (x->uid != y->uid)
		return x->uid > y->uid ? 1 : -1;
	/* Of two copies of a frame the later is the one that moved. */
	if (x->place[1] != y->place[1])
		return x->place[1] > y->place[1] ? 1 : -1;
	return (x->place[0] > y->place[0]) - (x->place[0] < y->place[0]);
}

static int
gone_by_uid(const void *a, const void *b)
{
	const struct spool_expunged *x = a, *y = b;

	return (x->uid > y->uid) - (x->uid < y->uid);
}

/* Sorted, and one of each; the last. */
static size_t
unique(struct store_msg *list, size_t n)
{
	size_t kept = 0;

	if (n > 1)
		qsort(list, n, sizeof *list, by_uid);
	for (size_t i = 0; i < n; i++)
		if (i + 1 == n || list[i + 1].uid != list[i].uid)
			list[kept++] = list[i];
	return kept;
}

static bool
has_gone(const struct salvage *v, uint32_t uid)
{
	struct spool_expunged key = { .uid = uid };

	return v->ngone > 0 && bsearch(&key, v->gone, v->ngone, sizeof *v->gone,
	                           gone_by_uid) != NULL;
}

/* Have all the slots that were not of expunged messages been read? */
static bool
has_all(const struct salvage *v)
{
	uint32_t exist = 0;

	for (size_t i = 0; i < v->n; i++)
		exist += (v->slots[i].flags & SPOOL_GONE) == 0;
	return v->header_good && exist == v->header.exists;
}

/* Frames that nothing else speaks of, to the end of the slots. */
static void
add_frames(struct salvage *v)
{
	size_t n = v->n, s = 0;

	if (has_all(v))
		return;
	for (size_t i = 0; i < v->nframes; i++) {
		struct store_msg *m = &v->frames[i];

		while (s < n && v->slots[s].uid < m->uid)
			s++;
		if ((s < n && v->slots[s].uid == m->uid) || has_gone(v, m->uid))
			continue;
		m->modseq = v->header.highestmodseq = v->stamp;
		m->added = m->savedate;
		spool_msg_seal(m);
		put_msg(&v->slots, &v->n, &v->room, m);
		v->r->found++;
	}
	v->n = unique(v->slots, v->n);
}

/*
 * Of what is left nothing a client may be told that it was expunged, as it may
 * have seen it.
 */
static void
add_lost(struct salvage *v)
{
	size_t s = 0, g = 0, before = v->ngone, max = before + LOST_MAX;

	for (uint32_t uid = 1; uid < v->header.uidnext && v->ngone < max;
	     uid++) {
		struct spool_expunged x = { .uid = uid, .modseq = v->stamp };

		while (s < v->n && v->slots[s].uid < uid)
			s++;
		while (g < before && v->gone[g].uid < uid)
			g++;
		if ((s < v->n && v->slots[s].uid == uid) ||
		    (g < before && v->gone[g].uid == uid))
			continue;
		if (v->ngone == v->gone_room) {
			v->gone_room = v->gone_room * 2 + 64;
			v->gone = xreallocarray(v->gone, v->gone_room,
			    sizeof *v->gone);
		}
		spool_expunged_seal(&x);
		v->gone[v->ngone++] = x;
		v->header.highestmodseq = v->stamp;
		v->r->lost++;
	}
}

static void
guess_header(struct salvage *v)
{
	struct spool_header *h = &v->header;

	v->r->no_header = !v->header_good;
	if (v->header_good) {
		if (h->uidnext <= v->last_uid)
			h->uidnext = v->last_uid + 1;
		if (h->highestmodseq < v->last_modseq)
			h->highestmodseq = v->last_modseq;
		v->stamp = h->highestmodseq + 1;
		return;
	}
	*h = (struct spool_header){ .uidvalidity = v->uidvalidity != 0
		                                       ? v->uidvalidity
		                                       : v->r->uidvalidity,
		.uidnext = v->last_uid + UIDS_AWAY,
		.highestmodseq = v->last_modseq + MODSEQS_AWAY };
	h->recent = h->uidnext;
	v->stamp = h->highestmodseq;
}

static void
count_slots(struct salvage *v)
{
	struct spool_header *h = &v->header;

	h->exists = h->unseen = h->deleted = h->ndead = h->seen_below = 0;
	h->size = 0;
	h->nslots = (uint32_t)v->n;
	for (size_t i = 0; i < v->n; i++) {
		const struct store_msg *m = &v->slots[i];

		if ((m->flags & SPOOL_BARE) == 0)
			v->live += spool_frame_room(m->size);
		if (m->flags & SPOOL_GONE) {
			h->ndead++;
			continue;
		}
		h->exists++;
		h->unseen += (m->flags & STORE_SEEN) == 0;
		h->deleted += (m->flags & STORE_DELETED) != 0;
		h->size += m->size;
	}
	v->r->kept = h->exists - v->r->found;
	h->data_no = v->last_no + 1;
	h->data_end = 0;
	h->cache_end = v->cache_end;
	h->dead_octets = v->octets > v->live ? v->octets - v->live : 0;
	h->reclaim_after = 0;
	h->nexpunged = v->ngone;
	h->base = v->r->base;
}

/* ---- and writing it ---- */

/* By rename: one that is good is never half there. */
static int
replace(const struct rebuilding *r, enum spool_file file, const void *p,
    size_t n, struct err *err)
{
	char path[SPOOL_PATH], fresh[SPOOL_PATH + 4];

	spool_path(path, r->id, file, 0);
	snprintf(fresh, sizeof fresh, "%s.new", path);
	if (unlinkat(r->dirfd, fresh, 0) == -1 && errno != ENOENT)
		return err_sys(err, "removing %s", fresh);
	if (compact_write(r->dirfd, fresh, p, n, 0, err) == -1)
		return -1;
	if (renameat(r->dirfd, fresh, r->dirfd, path) == -1)
		return err_sys(err, "renaming %s", fresh);
	return 0;
}

static bool
names_are_good(const struct rebuilding *r)
{
	struct store_names *names;
	char path[SPOOL_PATH];
	struct err err;
	uint8_t *p;
	bool good;
	size_t n;

	spool_path(path, r->id, SPOOL_NAMES, 0);
	if (spool_read_file(r->dirfd, path, SPOOL_RECORD_MAX, &p, &n, &err) ==
	    -1)
		return false;
	names = spool_names_get(slice_of(p, n));
	good = names != NULL;
	free(names);
	free(p);
	return good;
}

/* Keywords without names are none. */
static void
drop_keywords(struct salvage *v)
{
	for (size_t i = 0; i < v->n; i++) {
		struct store_msg *m = &v->slots[i];

		if ((m->keywords[0] | m->keywords[1]) == 0)
			continue;
		memset(m->keywords, 0, sizeof m->keywords);
		m->modseq = v->header.highestmodseq = v->stamp;
		spool_msg_seal(m);
	}
}

static int
write_names(const struct rebuilding *r, struct err *err)
{
	struct store_names *names =
	    spool_names_new(NULL, 0, slice_of(NULL, 0), slice_of(NULL, 0));
	struct buf b;
	int result;

	buf_init(&b, SPOOL_RECORD_MAX);
	spool_names_put_file(&b, names);
	MUST(!buf_failed(&b));
	result = replace(r, SPOOL_NAMES, buf_data(&b), buf_len(&b), err);
	buf_fini(&b);
	free(names);
	return result;
}

static int
write_all(struct salvage *v, struct err *err)
{
	struct rebuilding *r = v->r;
	struct store_msg *all = xcalloc(v->n + 1, sizeof *all);
	int result = -1;

	spool_header_seal(&v->header);
	memcpy(all, &v->header, sizeof v->header);
	if (v->n > 0)
		memcpy(all + 1, v->slots, v->n * sizeof *all);
	if (replace(r, SPOOL_EXPUNGED, v->gone, v->ngone * sizeof *v->gone,
	        err) == 0 &&
	    (!r->no_names || write_names(r, err) == 0))
		result = compact_replace(r->dirfd, r->id, all, v->n + 1, err);
	free(all);
	if (result == 0 && spool_sync_dirs(r->dirfd, r->id, err) == -1) {
		r->unsure = true;
		result = -1;
	}
	return result;
}

int
rebuild_index(struct rebuilding *r, struct err *err)
{
	struct salvage v = { .r = r };
	int result;

	r->no_names = !names_are_good(r);
	read_gone(&v);
	result = read_index(&v, err);
	if (result == 0)
		result = read_data(&v, err);
	if (result == 0) {
		read_cache_end(&v);
		if (v.ngone > 1)
			qsort(v.gone, v.ngone, sizeof *v.gone, gone_by_uid);
		v.n = unique(v.slots, v.n);
		v.nframes = unique(v.frames, v.nframes);
		guess_header(&v);
		add_frames(&v);
		add_lost(&v);
		if (r->no_names)
			drop_keywords(&v);
		count_slots(&v);
		result = write_all(&v, err);
	}
	free(v.slots);
	free(v.frames);
	free(v.gone);
	return result;
}
