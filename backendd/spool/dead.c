#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/hash.h"
#include "lib/jobs.h"
#include "lib/list.h"
#include "lib/must.h"
#include "lib/xalloc.h"

#define DEAD_MAGIC 0x6d734431u

/* Then the numbers of the slots, ascending. */
struct dead_head {
	uint32_t crc; /* of all that follows */
	uint32_t magic;
	uint32_t uidvalidity;
	uint32_t nslots, ndead;
	uint32_t spare;
	uint64_t nexpunged;
	uint64_t modseq;
};

/* A list on its way to its file. */
struct keeping {
	TAILQ_ENTRY(keeping) entry; /* in spool.keeping */
	struct spool *sp;           /* the loop's */
	int dirfd;
	char id[STORE_ID_MAX + 1];
	struct dead_head head;
	uint32_t *slots;
};

static uint32_t
crc_of(const struct dead_head *head, const uint32_t *slots)
{
	uint32_t crc =
	    hash_crc32c(0, &head->magic, sizeof *head - sizeof head->crc);

	return hash_crc32c(crc, slots, head->ndead * sizeof *slots);
}

/*
 * Between two compactions slots only die, and each compaction adds to what is
 * in the file "expunged": so as many of both are the same ones.
 */
static bool
fits(const struct dead_head *head, const struct spool_header *h)
{
	return head->magic == DEAD_MAGIC &&
	       head->uidvalidity == h->uidvalidity && head->ndead == h->ndead &&
	       head->nexpunged == h->nexpunged && head->nslots <= h->nslots &&
	       head->modseq <= h->highestmodseq;
}

static bool
are_good(const struct dead_head *head, const uint32_t *slots)
{
	if (head->crc != crc_of(head, slots))
		return false;
	for (uint32_t i = 0; i < head->ndead; i++)
		if (slots[i] >= head->nslots ||
		    (i > 0 && slots[i] <= slots[i - 1]))
			return false;
	return true;
}

/* NULL: there is no list, or it is of another index. */
static uint32_t *
read_list(int fd, const struct spool_header *h)
{
	size_t len = h->ndead * sizeof(uint32_t);
	struct dead_head head;
	struct err err;
	uint32_t *slots;

	if (spool_read(fd, &head, sizeof head, 0, &err) == -1 ||
	    !fits(&head, h))
		return NULL;
	slots = xcalloc(h->ndead, sizeof *slots);
	if (spool_read(fd, slots, len, sizeof head, &err) == 0 &&
	    are_good(&head, slots))
		return slots;
	free(slots);
	return NULL;
}

struct finding {
	uint32_t *slots;
	uint32_t n, max;
};

static int
find_one(void *arg, uint32_t s, const struct store_msg *m, struct err *err)
{
	struct finding *f = arg;

	if ((m->flags & SPOOL_GONE) == 0)
		return 0;
	if (f->n == f->max)
		return err_set(err, "the index is damaged");
	f->slots[f->n++] = s;
	return 0;
}

static int
look_for(int index, const struct spool_header *h, uint32_t **slots,
    struct err *err)
{
	struct finding f = { .max = h->ndead };
	int result;

	f.slots = xcalloc(h->ndead, sizeof *f.slots);
	result = scan_index(index, h, find_one, &f, err);
	if (result == 0 && f.n != h->ndead)
		result = err_set(err, "the index is damaged");
	if (result == 0)
		*slots = f.slots;
	else
		free(f.slots);
	return result;
}

int
dead_find(int dirfd, const char *id, int index, const struct spool_header *h,
    uint32_t **slots, bool *kept, struct err *err)
{
	char path[SPOOL_PATH];
	int fd;

	*slots = NULL;
	*kept = false;
	if (h->ndead == 0)
		return 0;
	spool_path(path, id, SPOOL_DEAD, 0);
	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd != -1) {
		*slots = read_list(fd, h);
		close(fd);
	}
	*kept = *slots != NULL;
	return *kept ? 0 : look_for(index, h, slots, err);
}

/* If it cannot be written, or not whole, it is no list. */
static void
keeping_run(void *arg)
{
	struct keeping *k = arg;
	size_t len = k->head.ndead * sizeof *k->slots;
	char path[SPOOL_PATH];
	struct err err;
	int fd;

	k->head.crc = crc_of(&k->head, k->slots);
	spool_path(path, k->id, SPOOL_DEAD, 0);
	fd = openat(k->dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);
	if (fd == -1)
		return;
	if (spool_write(fd, k->slots, len, sizeof k->head, &err) == 0)
		(void)!pwrite(fd, &k->head, sizeof k->head, 0);
	close(fd);
}

static void
keeping_free(struct keeping *k)
{
	TAILQ_REMOVE(&k->sp->keeping, k, entry);
	free(k->slots);
	free(k);
}

static void
keeping_done(void *arg)
{
	keeping_free(arg);
}

void
dead_keep(struct spool *sp, const char *id, const struct spool_header *h,
    uint32_t *slots)
{
	struct keeping *k = xcalloc(1, sizeof *k);

	_Static_assert(sizeof k->head == 40, "as on disk");
	MUST(h->ndead > 0);
	k->sp = sp;
	k->dirfd = sp->dirfd;
	memcpy(k->id, id, strlen(id) + 1);
	k->head = (struct dead_head){ .magic = DEAD_MAGIC,
		.uidvalidity = h->uidvalidity,
		.nslots = h->nslots,
		.ndead = h->ndead,
		.nexpunged = h->nexpunged,
		.modseq = h->highestmodseq };
	k->slots = slots;
	TAILQ_INSERT_TAIL(&sp->keeping, k, entry);
	jobs_put(sp->env.jobs, keeping_run, keeping_done, k);
}

void
dead_settle(struct spool *sp)
{
	struct keeping *k;

	while ((k = TAILQ_FIRST(&sp->keeping)) != NULL) {
		jobs_settle(sp->env.jobs, k);
		keeping_free(k);
	}
}
