#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/spool/reclaim_job.h"
#include "backendd/spool/spool.h"
#include "lib/xalloc.h"

enum {
	BATCH_OCTETS = 4 * 1024 * 1024 /* about; one message may be more */
};

static int
open_index(struct reclaim_job *rj, struct spool_header *h)
{
	char path[SPOOL_PATH];
	int fd;

	spool_path(path, rj->id, SPOOL_INDEX, 0);
	fd = openat(rj->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return err_sys(&rj->err, "opening %s", path);
	if (peek_header(fd, h, &rj->err) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

static int
scan(struct reclaim_job *rj, scan_visit *visit)
{
	struct spool_header h;
	int fd = open_index(rj, &h), result;

	if (fd == -1)
		return -1;
	result = scan_index(fd, &h, visit, rj, &rj->err);
	close(fd);
	return result;
}

static bool
is_kept(const struct reclaim_job *rj, const struct store_msg *m)
{
	return (m->flags & SPOOL_GONE) == 0 || scan_is_held(m, rj->held_since);
}

/* ---- a file ---- */

static int
weigh(void *arg, uint32_t s, const struct store_msg *m, struct err *err)
{
	struct reclaim_job *rj = arg;

	(void)s, (void)err;
	if (!is_kept(rj, m))
		return 0;
	if ((m->flags & SPOOL_GONE) && m->savedate < rj->first_held)
		rj->first_held = m->savedate;
	if (m->flags & SPOOL_GONE)
		rj->dead += spool_frame_room(m->size);
	for (size_t i = 0; i < rj->nfiles; i++)
		if (rj->files[i].no == m->place[1])
			rj->files[i].live += spool_frame_room(m->size);
	return 0;
}

/* The one with the most to gain. */
static void
choose(struct reclaim_job *rj)
{
	uint64_t best = 0;

	for (size_t i = 0; i < rj->nfiles; i++) {
		struct scan_file *f = &rj->files[i];
		uint64_t dead = f->size > f->live ? f->size - f->live : 0;

		rj->dead += dead;
		if (f->no > rj->last || dead < rj->least ||
		    dead / rj->percent < f->size / 100 || dead <= best)
			continue;
		best = dead;
		rj->chosen = true;
		rj->file = f->no;
		rj->file_size = f->size;
	}
}

void
reclaim_job_choose(void *job)
{
	struct reclaim_job *rj = job;

	rj->chosen = false;
	rj->dead = 0;
	rj->first_held = INT64_MAX;
	rj->failed = scan_files(rj->dirfd, rj->id, &rj->files, &rj->nfiles,
	                 &rj->err) == -1 ||
	             scan(rj, weigh) == -1;
	if (!rj->failed)
		choose(rj);
	free(rj->files);
	rj->files = NULL;
	rj->nfiles = 0;
}

/* ---- its messages ---- */

static int
list_one(void *arg, uint32_t s, const struct store_msg *m, struct err *err)
{
	struct reclaim_job *rj = arg;

	(void)s, (void)err;
	if ((m->flags & SPOOL_BARE) || m->place[1] != rj->file ||
	    rj->nmoves == RECLAIM_BATCH || rj->octets >= BATCH_OCTETS)
		return 0;
	rj->moves[rj->nmoves++] =
	    (struct move){ .msg = *m, .bare = !is_kept(rj, m) };
	if (is_kept(rj, m))
		rj->octets += spool_frame_room(m->size);
	return 0;
}

void
reclaim_job_list(void *job)
{
	struct reclaim_job *rj = job;

	rj->nmoves = 0;
	rj->octets = 0;
	rj->failed = scan(rj, list_one) == -1;
}

static int
move_one(struct reclaim_job *rj, struct move *mv, int from)
{
	size_t head_len = spool_frame_head(mv->msg.size);
	int to = data_out_file(&rj->out, mv->no, &rj->err), result = 0;
	struct spool_place p;
	uint8_t *head;

	if (to == -1)
		return -1;
	head = xmalloc(head_len);
	spool_place_of(&p, rj->id, &mv->msg);
	result =
	    spool_frame_copy(from, &p, head, to, mv->at, &mv->failed, &rj->err);
	if (result == 0) {
		spool_frame_seal(head, &mv->msg, rj->uidvalidity);
		result = spool_write(to, head, head_len, mv->at, &rj->err);
	} else if (mv->failed) { /* it stays where it is */
		err_add(&rj->err, "uid %lu", (unsigned long)mv->msg.uid);
		result = 0;
	}
	free(head);
	return result;
}

void
reclaim_job_move(void *job)
{
	struct reclaim_job *rj = job;
	char path[SPOOL_PATH];
	int from, result = 0;

	spool_path(path, rj->id, SPOOL_DATA, rj->file);
	from = openat(rj->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (from == -1)
		result = err_sys(&rj->err, "opening %s", path);
	for (size_t i = 0; result == 0 && i < rj->nmoves; i++)
		if (!rj->moves[i].bare)
			result = move_one(rj, &rj->moves[i], from);
	if (from != -1)
		close(from);
	rj->failed = result == -1 || data_out_end(&rj->out, &rj->err) == -1;
	data_out_close(&rj->out);
}

/* ---- mailboxes ---- */

static void
look_at(struct reclaim_job *rj, const char *id, const struct store_options *o)
{
	struct spool_header h;
	int fd;

	memcpy(rj->id, id, strlen(id) + 1);
	fd = open_index(rj, &h);
	if (fd == -1)
		return; /* whoever opens it will tell */
	close(fd);
	if (scan_is_worth(&h, o, rj->least, rj->now))
		memcpy(rj->found[rj->nfound++], rj->id, sizeof rj->id);
}

void
reclaim_job_look(void *job)
{
	struct reclaim_job *rj = job;
	struct store_options o = { .compact_percent = rj->percent };
	struct err err;

	for (unsigned i = 0; i < RECLAIM_STEPS && rj->nfound == 0; i++) {
		char path[SPOOL_PATH];
		struct dirent *e;
		DIR *d;

		rj->bucket = (rj->bucket + 1) % RECLAIM_BUCKETS;
		snprintf(path, sizeof path, "m/%02x/%02x", rj->bucket >> 8,
		    rj->bucket & 0xff);
		d = spool_opendir(rj->dirfd, path, &err);
		if (d == NULL)
			continue; /* most are not there */
		while ((e = readdir(d)) != NULL && rj->nfound < RECLAIM_FOUND)
			if (e->d_name[0] != '.' &&
			    strlen(e->d_name) <= STORE_ID_MAX)
				look_at(rj, e->d_name, &o);
		closedir(d);
	}
}
