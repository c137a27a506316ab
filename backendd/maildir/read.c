#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/hash.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

/* ---- the cache: UID, length, checksum, octets ---- */

static uint32_t
cache_sum(uint32_t uid, const uint8_t *p, size_t n)
{
	return hash_crc32c(uid, p, n);
}

static void
put_u32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

void
md_cache_make(uint8_t *area, uint32_t uid, struct slice octets)
{
	if (octets.len > 0)
		memmove(area + MD_CACHE_HEAD, octets.ptr, octets.len);
	put_u32(area, uid);
	put_u32(area + 4, (uint32_t)octets.len);
	put_u32(area + 8, cache_sum(uid, area + MD_CACHE_HEAD, octets.len));
}

size_t
md_cache_read(int fd, uint64_t place, uint32_t uid, uint8_t *area)
{
	size_t len = md_cache_len(place), got;
	uint8_t head[MD_CACHE_HEAD];
	struct err err;

	if (md_read(fd, true, NULL, place >> 20, MD_CACHE_HEAD + len, area,
	        &got, &err) == -1 ||
	    got != MD_CACHE_HEAD + len)
		return 0;
	put_u32(head, uid);
	put_u32(head + 4, (uint32_t)len);
	put_u32(head + 8, cache_sum(uid, area + MD_CACHE_HEAD, len));
	return memcmp(head, area, MD_CACHE_HEAD) == 0 ? len : 0;
}

bool
md_read_has_cache(const struct store_mailbox *mb, const struct store_msg *msg)
{
	(void)mb;
	/* A store_msg of ours is the head of a struct md_msg. */
	return ((const struct md_msg *)(const void *)msg)->cache != 0;
}

/* Records on their way to the file. */
struct caching {
	struct box *box;
	const struct store_record *records; /* the caller's */
	size_t n;
	uint64_t at; /* of the first, in the file */
	bool failed;
	store_cb *cb;
	void *arg;
};

static int
write_records(const struct caching *c, int fd)
{
	uint8_t *area = xmalloc(MD_CACHE_HEAD + STORE_CACHE_MAX);
	uint64_t at = c->at;
	int result = 0;
	struct err err;

	for (size_t i = 0; i < c->n && result == 0; i++) {
		const struct store_record *r = &c->records[i];
		size_t len = MD_CACHE_HEAD + r->octets.len;

		md_cache_make(area, r->uid, r->octets);
		result = md_write(fd, slice_of(area, len), at, &err);
		at += len;
	}
	free(area);
	return result;
}

static void
caching_run(void *arg)
{
	struct caching *c = arg;
	int fd = openat(c->box->dirfd, MD_CACHE, O_WRONLY | O_CREAT | O_CLOEXEC,
	    0600);

	c->failed = fd == -1 || write_records(c, fd) == -1;
	if (fd != -1)
		close(fd);
}

static void
caching_done(void *arg)
{
	struct caching *c = arg;
	struct box *b = c->box;
	struct maildir *md = b->md;
	uint64_t at = c->at;

	for (size_t i = 0; i < c->n && !c->failed; i++) {
		const struct store_record *r = &c->records[i];
		struct md_msg *m = md_index_find(&b->x, r->uid);

		if (m != NULL && r->octets.len > 0) {
			m->cache = md_cache_place(at, r->octets.len);
			md_put_cached(&b->cached, r->uid, m->cache);
		}
		at += MD_CACHE_HEAD + r->octets.len;
	}
	/* A little is lost by a crash, and no more than that is in memory. */
	if (buf_len(&b->cached) > 64 * 1024)
		md_op_flush_cache(b);
	c->cb(c->arg, c->failed ? "The cache cannot be written" : NULL);
	md_box_release(b);
	free(c);
	md->busy--;
}

void
md_read_put_cache(struct store_mailbox *mb, const struct store_record *r,
    size_t n, store_cb *cb, void *arg)
{
	struct caching *c = xcalloc(1, sizeof *c);
	struct box *b = md_box_of(mb);

	*c = (struct caching){ .box = b,
		.records = r,
		.n = n,
		.at = b->cache_end,
		.cb = cb,
		.arg = arg };
	for (size_t i = 0; i < n; i++)
		b->cache_end += MD_CACHE_HEAD + r[i].octets.len;
	md_box_hold(b);
	b->md->busy++;
	jobs_put(b->md->env.jobs, caching_run, caching_done, c);
}

/* ---- octets ---- */

struct reading_part {
	bool skip, raw;
	char *name;
	uint64_t letters, cache, size;
	struct md_finger finger;
	size_t area, len;
};

struct reading {
	struct box *box;
	struct store_part *parts;
	struct reading_part *places;
	size_t n;
	struct store_chunk *chunk;
	bool failed;
	struct err err;
	store_look *look;
	store_read_cb *cb;
	void *arg;
};

static void
read_cache(struct reading *r, int fd, struct store_part *part,
    struct reading_part *rp)
{
	uint8_t *area = r->chunk->octets + rp->area;

	part->octets = slice_of(area + MD_CACHE_HEAD,
	    md_cache_read(fd, rp->cache, part->uid, area));
}

static void
read_octets(struct reading *r, struct store_part *part, struct reading_part *rp)
{
	uint8_t *area = r->chunk->octets + rp->area;
	char path[MD_FILE];
	size_t got = 0;
	int fd = md_open(r->box->dirfd, rp->name, rp->letters, path);

	if (fd == -1 && errno == ENOENT) {
		part->why = "Message is gone";
		return;
	}
	if (fd == -1) {
		part->why = "Message cannot be read";
		err_sys(&r->err, "opening %s", path);
		r->failed = true;
		return;
	}
	if (md_read(fd, rp->raw, &rp->finger, part->offset, rp->len, area, &got,
	        &r->err) == -1 ||
	    got != rp->len) {
		/* What is shorter than it was is not served as what it was. */
		if (got == rp->len)
			err_add(&r->err, "%s", path);
		else
			err_set(&r->err, "%s is shorter than it was", path);
		part->why = "Message is damaged";
		r->failed = true;
	} else {
		part->octets = slice_of(area, got);
	}
	close(fd);
}

static void
reading_run(void *arg)
{
	struct reading *r = arg;
	int fd =
	    -1; /* of the cache; a part of it is skipped if there is none */

	for (size_t i = 0; i < r->n; i++) {
		struct store_part *part = &r->parts[i];

		if (r->places[i].skip)
			continue;
		if (part->what == STORE_OCTETS) {
			read_octets(r, part, &r->places[i]);
			continue;
		}
		if (fd == -1)
			fd = openat(r->box->dirfd, MD_CACHE,
			    O_RDONLY | O_CLOEXEC);
		if (fd != -1)
			read_cache(r, fd, part, &r->places[i]);
	}
	if (fd != -1)
		close(fd);
	if (r->look != NULL)
		r->look(r->arg);
}

static void
reading_done(void *arg)
{
	struct reading *r = arg;
	struct maildir *md = r->box->md;

	if (r->failed) {
		md->store.counts.damaged_messages++;
		log_err(md->env.log, "maildir: message is damaged", "dir",
		    md->dir, "mailboxid", r->box->store.id, "why", r->err.text,
		    NULL);
	}
	for (size_t i = 0; i < r->n; i++)
		if (r->places[i].finger.served > 0) {
			r->box->finger = r->places[i].finger;
			r->box->finger_uid = r->parts[i].uid;
		}
	r->cb(r->arg, r->chunk);
	for (size_t i = 0; i < r->n; i++)
		free(r->places[i].name);
	free(r->places);
	md_box_release(r->box);
	free(r);
	md->busy--;
}

/* Gives the octets of room that it needs. */
static size_t
plan_part(struct box *b, struct store_part *part, struct reading_part *rp)
{
	const struct md_msg *m = md_index_find(&b->x, part->uid);
	uint64_t left;

	part->octets = slice_of(NULL, 0);
	part->why = m == NULL ? "Message is gone" : NULL;
	rp->skip = true;
	if (m == NULL)
		return 0;
	if (part->what == STORE_CACHE) {
		rp->cache = m->cache;
		rp->skip = m->cache == 0;
		return MD_CACHE_HEAD + md_cache_len(m->cache);
	}
	rp->skip = false;
	rp->name = xstrdup(m->name);
	rp->letters = m->m.place[0];
	rp->raw = m->m.size == m->m.place[1];
	if (b->finger_uid == part->uid)
		rp->finger = b->finger;
	left = part->offset < m->m.size ? m->m.size - part->offset : 0;
	rp->len = (size_t)(part->len < left ? part->len : left);
	return rp->len;
}

void
md_read_read(struct store_mailbox *mb, struct store_part *parts, size_t n,
    store_look *look, store_read_cb *cb, void *arg)
{
	struct reading *r = xcalloc(1, sizeof *r);
	struct box *b = md_box_of(mb);
	size_t total = 0;

	*r = (struct reading){ .box = b,
		.parts = parts,
		.places = xcalloc(n + 1, sizeof *r->places),
		.n = n,
		.look = look,
		.cb = cb,
		.arg = arg };
	for (size_t i = 0; i < n; i++) {
		r->places[i].area = total;
		total += plan_part(b, &parts[i], &r->places[i]);
	}
	r->chunk = xmalloc(sizeof *r->chunk + total);
	r->chunk->len = total;
	md_box_hold(b);
	b->md->busy++;
	jobs_put(b->md->env.jobs, reading_run, reading_done, r);
}

/* ---- what has gone ---- */

struct going {
	struct box *box;
	struct store_gone *gone;
	size_t n;
	store_gone_cb *cb;
	store_held_cb *held;
	void *arg;
};

static void
going_run(void *arg)
{
	(void)arg; /* all is known; only the answer comes later */
}

static void
going_done(void *arg)
{
	struct going *g = arg;
	struct maildir *md = g->box->md;

	if (g->held != NULL)
		g->held(g->arg, NULL, 0, NULL);
	else
		g->cb(g->arg, g->gone, g->n, NULL);
	md_box_release(g->box);
	free(g->gone);
	free(g);
	md->busy--;
}

static struct going *
going_new(struct store_mailbox *mb, void *arg)
{
	struct going *g = xcalloc(1, sizeof *g);

	g->box = md_box_of(mb);
	g->arg = arg;
	md_box_hold(g->box);
	g->box->md->busy++;
	jobs_put(g->box->md->env.jobs, going_run, going_done, g);
	return g;
}

void
md_read_expunged(struct store_mailbox *mb, uint64_t since, store_gone_cb *cb,
    void *arg)
{
	struct going *g = going_new(mb, arg);
	const struct index *x = &g->box->x;

	g->cb = cb;
	g->gone = xcalloc(x->ngone + 1, sizeof *g->gone);
	for (size_t i = 0; i < x->ngone; i++)
		if (x->gone[i].modseq > since)
			g->gone[g->n++] = (struct store_gone){ x->gone[i].uid,
				x->gone[i].modseq };
}

void
md_read_held(struct store_mailbox *mb, store_held_cb *cb, void *arg)
{
	going_new(mb, arg)->held = cb;
}

/* ---- numbers ---- */

struct peeking {
	struct maildir *md;
	struct store_peek *peeks;
	char **paths; /* NULL: known already, or not there */
	size_t n, failed;
	int64_t now;
	struct err err;
	store_peek_cb *cb;
	void *arg;
};

static uint32_t
count_recent(const struct index *x, uint32_t recent)
{
	return (uint32_t)(x->n - md_index_at(x, recent));
}

static void
peeking_run(void *arg)
{
	struct peeking *pk = arg;

	for (size_t i = 0; i < pk->n; i++) {
		struct store_peek *p = &pk->peeks[i];
		struct md_load l = { .rootfd = pk->md->dirfd,
			.path = pk->paths[i],
			.id = p->id,
			.look = true,
			.watchfd = -1,
			.now = pk->now };

		if (pk->paths[i] == NULL)
			continue;
		if (md_load(&l, &pk->err) == -1) {
			p->why = "Mailbox cannot be read";
			pk->failed++;
			continue;
		}
		p->numbers = md_index_numbers(&l.x);
		p->recent = count_recent(&l.x, l.x.recent);
		md_load_fini(&l);
	}
}

/*
 * If it is open: its numbers.  So they are behind a job, too: files that were
 * seen while it was being changed may not fit the log that was read before.
 */
static bool
peek_open(struct maildir *md, struct store_peek *p)
{
	struct box *b = map_find(&md->open, slice_str(p->id));

	if (b == NULL || b->dirfd == -1)
		return false;
	p->numbers = b->store.numbers;
	p->recent = count_recent(&b->x, b->store.recent);
	p->why = NULL;
	return true;
}

static void
peeking_done(void *arg)
{
	struct peeking *pk = arg;
	struct maildir *md = pk->md;

	if (pk->failed > 0)
		log_err(md->env.log, "maildir: mailbox cannot be read", "dir",
		    md->dir, "why", pk->err.text, NULL);
	for (size_t i = 0; i < pk->n; i++)
		if (pk->paths[i] != NULL)
			peek_open(md, &pk->peeks[i]);
	pk->cb(pk->arg);
	for (size_t i = 0; i < pk->n; i++)
		free(pk->paths[i]);
	free(pk->paths);
	free(pk);
	md->busy--;
}

void
md_read_peek(struct store *st, struct store_peek *p, size_t n,
    store_peek_cb *cb, void *arg)
{
	struct maildir *md = maildir_of(st);
	struct peeking *pk = xcalloc(1, sizeof *pk);

	*pk = (struct peeking){ .md = md,
		.peeks = p,
		.paths = xcalloc(n + 1, sizeof *pk->paths),
		.n = n,
		.now = loop_wall(md->env.loop).ms / 1000,
		.cb = cb,
		.arg = arg };
	for (size_t i = 0; i < n; i++) {
		const char *path = map_find(&md->paths, slice_str(p[i].id));

		p[i].why = path == NULL ? "No such mailbox" : NULL;
		if (path != NULL && !peek_open(md, &p[i]))
			pk->paths[i] = xstrdup(path);
	}
	md->busy++;
	jobs_put(md->env.jobs, peeking_run, peeking_done, pk);
}
