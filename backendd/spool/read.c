#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	CACHE_WRITE = 256 * 1024 /* octets of records written at once, about */
};

#define NO_SLOT UINT32_MAX

struct reading_part {
	struct spool_place place;
	uint64_t offset;
	size_t len;
	size_t area; /* where its room in the chunk begins */
	bool skip;   /* nothing to read */
	size_t span; /* octets of the file that are there as they are; 0: it
	                is not one piece of it */
};

enum {
	TOGETHER = 256 * 1024 /* octets read in one go, about */
};

struct reading {
	struct spool_mailbox *mb;
	int dirfd;
	struct store_part *parts; /* the caller's; results are put at the end */
	size_t n;
	struct reading_part *places;
	struct store_chunk *chunk;
	struct err err; /* the last damage seen, for the log */
	bool damaged;
	store_look *look;
	store_read_cb *cb;
	void *arg;
	unsigned side; /* of mb's epoch */

	bool tried;
	int fd; /* the file tried last; -1: it cannot be opened */
	uint32_t no;
	enum store_what what;
};

static int
reading_open(struct reading *r, const struct reading_part *rp,
    enum store_what what)
{
	char path[SPOOL_PATH];

	if (r->tried && r->what == what &&
	    (what == STORE_CACHE || r->no == rp->place.no))
		return r->fd != -1 ? 0 : err_set(&r->err, "no file");
	if (r->fd != -1)
		close(r->fd);
	spool_path(path, rp->place.id,
	    what == STORE_CACHE ? SPOOL_CACHE : SPOOL_DATA, rp->place.no);
	r->fd = openat(r->dirfd, path, O_RDONLY | O_CLOEXEC);
	r->tried = true;
	r->what = what;
	r->no = rp->place.no;
	return r->fd == -1 ? err_sys(&r->err, "opening %s", path) : 0;
}

static size_t
read_cache(struct reading *r, struct reading_part *rp, bool there)
{
	uint8_t *area = r->chunk->octets + rp->area;

	if (there)
		return spool_cache_check(&rp->place, area);
	if (reading_open(r, rp, STORE_CACHE) == -1)
		return 0;
	return spool_cache_read(r->fd, &rp->place, area);
}

static int
read_octets(struct reading *r, struct reading_part *rp, bool there,
    uint8_t **octets)
{
	uint8_t *area = r->chunk->octets + rp->area;

	if (there)
		return spool_frame_check(&rp->place, area, octets, &r->err);
	if (reading_open(r, rp, STORE_OCTETS) == -1)
		return -1;
	return spool_frame_read(r->fd, &rp->place, rp->offset, rp->len, area,
	    octets, &r->err);
}

/* What became of parts that stand behind each other. */
enum together {
	APART,    /* each is to be read */
	THERE,    /* they have been read, and are to be verified */
	NOT_THERE /* there are none: records of a cache that is cut or lost */
};

static void
read_part(struct reading *r, struct store_part *part, struct reading_part *rp,
    enum together together)
{
	bool there = together == THERE;
	uint8_t *octets;

	if (rp->skip || together == NOT_THERE)
		return;
	if (part->what == STORE_CACHE) {
		size_t len = read_cache(r, rp, there);

		octets = r->chunk->octets + rp->area + SPOOL_CACHE_HEAD;
		part->octets = slice_of(octets, len);
	} else if (read_octets(r, rp, there, &octets) == 0) {
		part->octets = slice_of(octets, rp->len);
	} else {
		part->why = "Message is damaged";
		r->damaged = true;
		err_add(&r->err, "uid %lu", (unsigned long)rp->place.uid);
	}
}

/* Where it begins in its file. */
static uint64_t
place_at(enum store_what what, const struct reading_part *rp)
{
	return what == STORE_CACHE ? rp->place.cache_at : rp->place.at;
}

/* Each begins at a multiple of 8, in its file and in the chunk. */
static size_t
room_of(const struct reading_part *rp)
{
	return (rp->span + 7) & ~(size_t)7;
}

/* Does part k stand behind the one before it, in the same file? */
static bool
follows(const struct reading *r, size_t k)
{
	const struct reading_part *rp = &r->places[k], *last = rp - 1;
	enum store_what what = r->parts[k].what;

	return rp->span > 0 && last->span > 0 && r->parts[k - 1].what == what &&
	       (what == STORE_CACHE || rp->place.no == last->place.no) &&
	       place_at(what, rp) == place_at(what, last) + room_of(last);
}

/*
 * Reads part i and those that stand behind it, and says how many they are.
 * APART is only one: it is alone, or not all of them can be had.  What is asked
 * for together has mostly been written one after another.
 */
static size_t
read_together(struct reading *r, size_t i, enum together *together)
{
	const struct reading_part *rp = &r->places[i];
	size_t n = 1, len = rp->span, at = 0;
	struct err err;

	for (; i + n < r->n && len < TOGETHER && follows(r, i + n); n++) {
		at += room_of(&r->places[i + n - 1]);
		len = at + r->places[i + n].span;
	}
	*together = APART;
	if (n == 1)
		return 1;
	if (reading_open(r, rp, r->parts[i].what) == 0 &&
	    spool_read(r->fd, r->chunk->octets + rp->area, len,
	        place_at(r->parts[i].what, rp), &err) == 0) {
		*together = THERE;
		return n;
	}
	if (r->parts[i].what != STORE_CACHE)
		return 1;
	*together = NOT_THERE;
	return n;
}

static void
reading_run(void *arg)
{
	struct reading *r = arg;
	size_t i = 0, n;

	while (i < r->n) {
		enum together together;

		n = read_together(r, i, &together);
		for (size_t k = i; k < i + n; k++)
			read_part(r, &r->parts[k], &r->places[k], together);
		i += n;
	}
	if (r->fd != -1)
		close(r->fd);
	if (r->look != NULL)
		r->look(r->arg);
}

static void
reading_done(void *arg)
{
	struct reading *r = arg;
	struct spool_mailbox *mb = r->mb;

	epoch_leave(&mb->epoch, r->side);
	if (r->damaged)
		mb->sp->store.counts.damaged_messages++;
	if (r->damaged)
		log_err(mb->sp->env.log, "spool: message is damaged", "dir",
		    mb->sp->dir, "mailboxid", mb->store.id, "why", r->err.text,
		    NULL);
	r->cb(r->arg, r->chunk);
	free(r->places);
	free(r);
	box_release(mb);
}

/* Gives the octets of room that the part needs. */
static size_t
plan_part(struct reading *r, struct store_part *part, struct reading_part *rp)
{
	const struct store_msg *m = part->held
	                                ? box_find_gone(r->mb, part->uid)
	                                : store_find(&r->mb->store, part->uid);

	part->octets = slice_of(NULL, 0);
	part->why = NULL;
	rp->skip = true;
	if (m == NULL || (part->held && !scan_is_held(m, INT64_MIN))) {
		part->why = "Message is gone";
		return 0;
	}
	/* Its page was verified; if another's was not, look closer. */
	if (r->mb->store.damaged && !spool_msg_good(m)) {
		part->why = "Message is damaged";
		r->damaged = true;
		err_set(&r->err, "uid %lu: index", (unsigned long)part->uid);
		return 0;
	}
	spool_place_of(&rp->place, r->mb->store.id, m);
	if (part->what == STORE_CACHE) {
		rp->skip = rp->place.cache_len == 0;
		if (!rp->skip)
			rp->span = SPOOL_CACHE_HEAD + rp->place.cache_len;
		return rp->span;
	}
	rp->skip = false;
	rp->offset = part->offset < m->size ? part->offset : m->size;
	rp->len = (size_t)(m->size - rp->offset);
	if (part->len < rp->len)
		rp->len = (size_t)part->len;
	if (rp->len == m->size && m->size <= SPOOL_BLOCK)
		rp->span = (size_t)spool_frame_len(m->size);
	return spool_frame_head(m->size) + rp->len;
}

void
read_read(struct store_mailbox *store, struct store_part *parts, size_t n,
    store_look *look, store_read_cb *cb, void *arg)
{
	struct spool_mailbox *mb = spool_mailbox_of(store);
	struct reading *r = xcalloc(1, sizeof *r);
	size_t total = 0;

	*r = (struct reading){ .mb = mb,
		.dirfd = mb->sp->dirfd,
		.parts = parts,
		.n = n,
		.places = xcalloc(n + 1, sizeof *r->places),
		.look = look,
		.cb = cb,
		.arg = arg,
		.fd = -1 };
	for (size_t i = 0; i < n; i++) {
		r->places[i].area = total;
		total += plan_part(r, &parts[i], &r->places[i]);
		total = (total + 7) & ~(size_t)7;
	}
	r->chunk = xmalloc(sizeof *r->chunk + total);
	r->chunk->len = total;
	r->side = epoch_enter(&mb->epoch);
	box_hold(mb);
	jobs_put(mb->sp->env.jobs, reading_run, reading_done, r);
}

/* ---- what has gone ---- */

struct going {
	struct spool_mailbox *mb;
	int dirfd;
	char id[STORE_ID_MAX + 1];
	uint64_t since, nexpunged; /* records in the file */
	struct store_gone *gone;
	size_t n, size;
	bool failed;
	struct err err;
	store_gone_cb *cb;
	void *arg;
};

static void
going_add(struct going *g, uint32_t uid, uint64_t modseq)
{
	if (modseq <= g->since)
		return;
	if (g->n == g->size) {
		g->size = g->size * 2 + 16;
		g->gone = xreallocarray(g->gone, g->size, sizeof *g->gone);
	}
	g->gone[g->n++] = (struct store_gone){ uid, modseq };
}

static int
compare_gone(const void *a, const void *b)
{
	const struct store_gone *x = a, *y = b;

	return (x->uid > y->uid) - (x->uid < y->uid);
}

static int
read_gone(struct going *g)
{
	uint64_t max = g->nexpunged * sizeof(struct spool_expunged);
	char path[SPOOL_PATH];
	uint8_t *p;
	size_t n;

	spool_path(path, g->id, SPOOL_EXPUNGED, 0);
	/* There may be more in it, from a compaction that did not end. */
	if (spool_read_file(g->dirfd, path, SIZE_MAX / 2, &p, &n, &g->err) ==
	    -1)
		return -1;
	if (n < max) {
		free(p);
		return err_set(&g->err, "%s is cut", path);
	}
	for (size_t at = 0; at < max; at += sizeof(struct spool_expunged)) {
		struct spool_expunged x;

		memcpy(&x, p + at, sizeof x);
		if (!spool_expunged_good(&x)) {
			free(p);
			return err_set(&g->err, "%s is damaged", path);
		}
		going_add(g, x.uid, x.modseq);
	}
	free(p);
	return 0;
}

static void
going_run(void *arg)
{
	struct going *g = arg;

	g->failed = g->nexpunged > 0 && read_gone(g) == -1;
	if (g->n > 0)
		qsort(g->gone, g->n, sizeof *g->gone, compare_gone);
}

static void
going_done(void *arg)
{
	struct going *g = arg;
	struct spool_mailbox *mb = g->mb;

	if (g->failed)
		log_err(mb->sp->env.log, "spool: expunges cannot be read",
		    "dir", mb->sp->dir, "mailboxid", g->id, "why", g->err.text,
		    NULL);
	if (g->failed)
		box_damaged(mb, "expunged");
	g->cb(g->arg, g->gone, g->n,
	    g->failed ? "What was expunged cannot be read" : NULL);
	free(g->gone);
	free(g);
	box_release(mb);
}

void
read_expunged(struct store_mailbox *store, uint64_t since, store_gone_cb *cb,
    void *arg)
{
	struct spool_mailbox *mb = spool_mailbox_of(store);
	struct going *g = xcalloc(1, sizeof *g);

	g->mb = mb;
	g->dirfd = mb->sp->dirfd;
	memcpy(g->id, store->id, sizeof g->id);
	g->since = since;
	g->nexpunged = mb->now.nexpunged;
	g->cb = cb;
	g->arg = arg;
	for (uint32_t i = 0; i < mb->now.ndead; i++) {
		const struct store_msg *m = box_slot(mb, mb->dead[i]);

		if (!spool_msg_good(m))
			box_damaged(mb, "slot");
		going_add(g, m->uid, m->modseq);
	}
	box_hold(mb);
	jobs_put(mb->sp->env.jobs, going_run, going_done, g);
}

/* ---- what can be brought back ---- */

struct holding {
	struct spool_mailbox *mb;
	struct store_held *held;
	size_t n;
	store_held_cb *cb;
	void *arg;
};

static void
holding_run(void *arg)
{
	(void)arg; /* all is known; only the answer comes later */
}

static void
holding_done(void *arg)
{
	struct holding *h = arg;
	struct spool_mailbox *mb = h->mb;

	h->cb(h->arg, h->held, h->n, NULL);
	free(h->held);
	free(h);
	box_release(mb);
}

void
read_held(struct store_mailbox *store, store_held_cb *cb, void *arg)
{
	struct spool_mailbox *mb = spool_mailbox_of(store);
	struct holding *h = xcalloc(1, sizeof *h);
	int64_t since = scan_held_since(mb->sp);

	*h = (struct holding){ .mb = mb,
		.held = xcalloc((size_t)mb->now.ndead + 1, sizeof *h->held),
		.cb = cb,
		.arg = arg };
	for (uint32_t i = 0; i < mb->now.ndead; i++) {
		const struct store_msg *m = box_slot(mb, mb->dead[i]);

		if (!spool_msg_good(m))
			box_damaged(mb, "slot");
		else if (scan_is_held(m, since))
			h->held[h->n++] = (struct store_held){ .uid = m->uid,
				.flags = m->flags & STORE_FLAGS,
				.keywords = { m->keywords[0], m->keywords[1] },
				.expunged = m->savedate,
				.internaldate = m->internaldate,
				.zone = m->zone,
				.size = m->size };
	}
	box_hold(mb);
	jobs_put(mb->sp->env.jobs, holding_run, holding_done, h);
}

/* ---- the cache ---- */

bool
read_has_cache(const struct store_mailbox *mb, const struct store_msg *msg)
{
	(void)mb;
	return (msg->place[2] & 0xfffff) != 0;
}

/* Where a record goes. */
struct caching_place {
	uint32_t slot; /* NO_SLOT: there is no such message */
	bool stays;    /* where the slot says already */
	uint64_t at;
};

/* Records on their way to the file, and then to their slots. */
struct caching {
	struct spool_mailbox *mb;
	int dirfd;
	char id[STORE_ID_MAX + 1];
	const struct store_record *records; /* the caller's */
	size_t n;
	struct caching_place *places;
	bool moves; /* not all of them stay */
	bool failed;
	struct err err;
	store_cb *cb;
	void *arg;
};

/* What a record takes: each begins at a multiple of 8. */
static size_t
record_room(const struct store_record *r)
{
	return (SPOOL_CACHE_HEAD + r->octets.len + 7) & ~(size_t)7;
}

static void
put_record(struct buf *b, const struct store_record *r)
{
	static const uint8_t zeros[8];
	uint8_t head[SPOOL_CACHE_HEAD];

	spool_cache_make(head, r->uid, r->octets);
	buf_put(b, head, sizeof head);
	buf_put_slice(b, r->octets);
	buf_put(b, zeros, record_room(r) - sizeof head - r->octets.len);
}

/* Those that stand behind each other at once. */
static int
write_records(struct caching *c, int fd)
{
	uint64_t at = 0;
	int result = 0;
	struct buf b;

	buf_init(&b, CACHE_WRITE + SPOOL_CACHE_HEAD + STORE_CACHE_MAX + 8);
	for (size_t i = 0; i < c->n && result == 0; i++) {
		const struct caching_place *p = &c->places[i];

		if (p->slot == NO_SLOT)
			continue;
		if (buf_len(&b) > 0 &&
		    (buf_len(&b) >= CACHE_WRITE || p->at != at + buf_len(&b))) {
			result = spool_write(fd, buf_data(&b), buf_len(&b), at,
			    &c->err);
			buf_clear(&b);
		}
		if (buf_len(&b) == 0)
			at = p->at;
		put_record(&b, &c->records[i]);
	}
	if (result == 0)
		result =
		    spool_write(fd, buf_data(&b), buf_len(&b), at, &c->err);
	MUST(!buf_failed(&b));
	buf_fini(&b);
	return result;
}

/* Nobody else writes these octets of a slot. */
static int
write_places(struct caching *c, int fd)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct caching_place *p = &c->places[i];
		uint64_t place =
		    spool_cache_place(p->at, c->records[i].octets.len);
		uint64_t slot = ((uint64_t)p->slot + 1) * SPOOL_SLOT;

		if (p->slot == NO_SLOT || p->stays)
			continue;
		if (spool_write(fd, &place, sizeof place,
		        slot + offsetof(struct store_msg, place[2]),
		        &c->err) == -1)
			return -1;
	}
	return 0;
}

static int
write_to(struct caching *c, enum spool_file file, int flags,
    int (*write_it)(struct caching *c, int fd))
{
	char path[SPOOL_PATH];
	int fd, result;

	spool_path(path, c->id, file, 0);
	fd = openat(c->dirfd, path, O_RDWR | O_CLOEXEC | flags, 0600);
	if (fd == -1)
		return err_sys(&c->err, "opening %s", path);
	result = write_it(c, fd);
	close(fd);
	return result;
}

/* Octets first, then the slots that say where they are. */
static void
caching_run(void *arg)
{
	struct caching *c = arg;

	c->failed =
	    write_to(c, SPOOL_CACHE, O_CREAT, write_records) == -1 ||
	    (c->moves && write_to(c, SPOOL_INDEX, 0, write_places) == -1);
}

static void
caching_done(void *arg)
{
	struct caching *c = arg;
	struct spool_mailbox *mb = c->mb;

	if (c->failed)
		log_warn(mb->sp->env.log, "spool: cache not written", "dir",
		    mb->sp->dir, "mailboxid", c->id, "why", c->err.text, NULL);
	c->cb(c->arg, c->failed ? "The cache cannot be written" : NULL);
	free(c->places);
	free(c);
	box_release(mb);
}

/*
 * A record that was lost or damaged, or is of another version, goes where it
 * was if it is as long: who reads it meanwhile finds it damaged.
 */
static void
place_record(struct spool_mailbox *mb, const struct store_record *r,
    struct caching_place *p)
{
	const struct store_msg *m = store_find(&mb->store, r->uid);
	struct spool_place was;

	*p = (struct caching_place){ .slot = NO_SLOT, .stays = true };
	if (m == NULL || r->octets.len == 0)
		return;
	p->slot = (uint32_t)(((const uint8_t *)m - mb->map) / SPOOL_SLOT - 1);
	spool_place_of(&was, mb->store.id, m);
	p->stays = was.cache_len == r->octets.len && was.cache_at % 8 == 0 &&
	           was.cache_at <= mb->cache_end &&
	           record_room(r) <= mb->cache_end - was.cache_at;
	p->at = p->stays ? was.cache_at : mb->cache_end;
	if (p->stays)
		return;
	mb->cache_end += record_room(r);
	mb->cache_dead += spool_cache_room(m);
}

void
read_put_cache(struct store_mailbox *store, const struct store_record *r,
    size_t n, store_cb *cb, void *arg)
{
	struct spool_mailbox *mb = spool_mailbox_of(store);
	struct caching *c = xcalloc(1, sizeof *c);

	*c = (struct caching){ .mb = mb,
		.dirfd = mb->sp->dirfd,
		.records = r,
		.n = n,
		.places = xcalloc(n + 1, sizeof *c->places),
		.cb = cb,
		.arg = arg };
	memcpy(c->id, store->id, sizeof c->id);
	for (size_t i = 0; i < n; i++) {
		place_record(mb, &r[i], &c->places[i]);
		c->moves = c->moves || !c->places[i].stays;
	}
	box_hold(mb);
	jobs_put(mb->sp->env.jobs, caching_run, caching_done, c);
}
