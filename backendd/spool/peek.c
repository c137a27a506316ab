#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	TRIES = 10, /* of a header that is being written */
	SLOTS = 32  /* read at a time */
};

struct peeking {
	struct spool *sp; /* the job reads dirfd only */
	int dirfd;
	struct store_peek *peeks; /* the caller's */
	size_t n;
	bool *known; /* of each: it is open, and its numbers are copied */
	size_t failed;
	struct err err; /* of one that failed */
	store_peek_cb *cb;
	void *arg;
};

int
peek_header(int fd, struct spool_header *h, struct err *err)
{
	for (unsigned i = 0; i < TRIES; i++) {
		if (spool_read(fd, h, sizeof *h, 0, err) == -1)
			return -1;
		if (spool_header_good(h))
			return 0;
	}
	return err_set(err, "the index is damaged");
}

/* They are at the end. */
static int
count_recent(int fd, const struct spool_header *h, uint32_t *count,
    struct err *err)
{
	struct store_msg slots[SLOTS];
	uint32_t left = h->nslots;

	*count = 0;
	while (left > 0 && h->recent < h->uidnext) {
		uint32_t n = left < SLOTS ? left : SLOTS;

		left -= n;
		if (spool_read(fd, slots, n * sizeof *slots,
		        ((uint64_t)left + 1) * SPOOL_SLOT, err) == -1)
			return -1;
		while (n > 0 && slots[n - 1].uid >= h->recent)
			*count += (slots[--n].flags & SPOOL_GONE) == 0;
		if (n > 0)
			break;
	}
	return 0;
}

static int
peek_at(struct peeking *pk, struct store_peek *p)
{
	struct spool_header h;
	char path[SPOOL_PATH];
	int fd, result;

	spool_path(path, p->id, SPOOL_INDEX, 0);
	fd = openat(pk->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(&pk->err, "opening %s", path);
	result = peek_header(fd, &h, &pk->err);
	if (result == 0)
		result = count_recent(fd, &h, &p->recent, &pk->err);
	close(fd);
	if (result == -1)
		return err_add(&pk->err, "%s", path);
	p->numbers = box_numbers(&h);
	return 0;
}

static void
peeking_run(void *arg)
{
	struct peeking *pk = arg;

	for (size_t i = 0; i < pk->n; i++) {
		if (pk->known[i] || peek_at(pk, &pk->peeks[i]) == 0)
			continue;
		pk->peeks[i].why = "Mailbox cannot be read";
		pk->failed++;
	}
}

static void
peeking_done(void *arg)
{
	struct peeking *pk = arg;

	if (pk->failed > 0)
		log_err(pk->sp->env.log, "spool: mailbox cannot be read", "dir",
		    pk->sp->dir, "why", pk->err.text, NULL);
	pk->sp->busy--;
	pk->cb(pk->arg);
	free(pk->known);
	free(pk);
}

/* One that is open is known better here than in its file. */
static bool
peek_open(struct spool *sp, struct store_peek *p)
{
	struct spool_mailbox *mb = map_find(&sp->open, slice_str(p->id));

	if (mb == NULL || mb->map == NULL)
		return false;
	p->numbers = mb->store.numbers;
	p->recent = mb->now.exists - store_index(&mb->store, mb->store.recent);
	return true;
}

void
peek_peek(struct store *st, struct store_peek *p, size_t n, store_peek_cb *cb,
    void *arg)
{
	struct spool *sp = spool_of(st);
	struct peeking *pk = xcalloc(1, sizeof *pk);

	*pk = (struct peeking){ .sp = sp,
		.dirfd = sp->dirfd,
		.peeks = p,
		.n = n,
		.known = xcalloc(n + 1, sizeof *pk->known),
		.cb = cb,
		.arg = arg };
	for (size_t i = 0; i < n; i++) {
		p[i].why = NULL;
		pk->known[i] = peek_open(sp, &p[i]);
	}
	sp->busy++;
	jobs_put(sp->env.jobs, peeking_run, peeking_done, pk);
}
