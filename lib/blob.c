#define _GNU_SOURCE /* O_TMPFILE */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/blob.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/must.h"
#include "lib/whole.h"
#include "lib/xalloc.h"

enum {
	BLOB_FIRST = 4096,
	BLOB_PIECE = 256 * 1024 /* octets that are written at once, about */
};

#define BLOB_MAGIC 0x71d0ae5bu

enum blob_state {
	BLOB_OPEN,  /* more may be put */
	BLOB_ENDED, /* no more; what there is goes to the file */
	BLOB_READY  /* done was called */
};

/* What a job works on; nobody else touches it meanwhile. */
struct piece {
	struct blob *blob; /* the loop's, not the job's */
	const char *dir;
	int fd; /* -1: to be opened */
	uint8_t *octets;
	size_t len;
	bool last;       /* map the file too, if there is one */
	uint64_t total;  /* octets of the file, if last */
	const void *map; /* NULL: none */
	struct err why;
	bool failed;
};

struct blob {
	unsigned magic;
	unsigned refs;
	enum blob_state state;
	struct jobs *jobs;
	size_t memory;
	size_t first;      /* octets of the first area */
	uint8_t *area;     /* all, or what the file does not have yet */
	size_t used, size; /* of area */
	uint64_t len;
	int fd;
	const void *map;
	bool spills;  /* area goes to a file */
	bool working; /* a piece is with a job */
	bool failed;  /* why says it; what comes is thrown away */
	struct err why;
	void (*changed)(void *arg);
	void *changed_arg;
	void (*done)(void *arg, const char *why);
	void *done_arg;
	char dir[];
};

struct blob *
blob_new(struct jobs *jobs, const char *dir, size_t memory)
{
	size_t n = strlen(dir) + 1;
	struct blob *b = xcalloc(1, sizeof(*b) + n);

	b->magic = BLOB_MAGIC;
	b->refs = 1;
	b->jobs = jobs;
	memcpy(b->dir, dir, n);
	b->memory = memory;
	b->first = BLOB_FIRST;
	b->fd = -1;
	return b;
}

void
blob_expect(struct blob *b, uint64_t octets)
{
	MUST(b->magic == BLOB_MAGIC && b->state == BLOB_OPEN);
	if (octets > 0 && octets <= b->memory)
		b->first = (size_t)octets;
}

struct blob *
blob_ref(struct blob *b)
{
	MUST(b->magic == BLOB_MAGIC && b->refs > 0);
	b->refs++;
	return b;
}

static void
destroy(struct blob *b)
{
	/* What the job made of it is the last one's to undo. */
	if (b->map != NULL)
		munmap((void *)(uintptr_t)b->map, (size_t)b->len);
	if (b->fd != -1)
		close(b->fd);
	free(b->area);
	b->magic = 0;
	free(b);
}

void
blob_free(struct blob **bp)
{
	struct blob *b = *bp;

	if (b == NULL)
		return;
	MUST(b->magic == BLOB_MAGIC && b->refs > 0);
	*bp = NULL;
	if (--b->refs == 0 && !b->working)
		destroy(b);
}

/* In the job. */

static int
open_unlinked(const char *dir, struct err *err)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd != -1)
		return fd;
	/* Not every file system has files without a name. */
	if ((size_t)snprintf(path, sizeof(path), "%s/blob.XXXXXX", dir) >=
	    sizeof(path))
		return err_set(err, "%s: name too long", dir);
	fd = mkstemp(path);
	if (fd == -1)
		return err_sys(err, "temporary file in %s", dir);
	unlink(path);
	return fd;
}

static int
map_all(struct piece *p, struct err *err)
{
	void *map =
	    mmap(NULL, (size_t)p->total, PROT_READ, MAP_PRIVATE, p->fd, 0);

	if (map == MAP_FAILED)
		return err_sys(err, "mapping a temporary file");
	p->map = map;
	return 0;
}

static int
work(struct piece *p)
{
	if (p->len > 0 && p->fd == -1)
		p->fd = open_unlinked(p->dir, &p->why);
	if (p->len > 0 && p->fd == -1)
		return -1;
	if (whole_write(p->fd, slice_of(p->octets, p->len), &p->why) == -1)
		return -1;
	if (!p->last || p->fd == -1)
		return 0;
	if (map_all(p, &p->why) == -1)
		return -1;
	/* The map keeps it: a thousand messages need no descriptors. */
	close(p->fd);
	p->fd = -1;
	return 0;
}

static void
run(void *arg)
{
	struct piece *p = arg;

	p->failed = work(p) == -1;
}

/* In the loop. */

static void
piece_take_result(struct blob *b, struct piece *p)
{
	b->working = false;
	b->fd = p->fd;
	b->map = p->map;
	if (p->failed && !b->failed) {
		b->failed = true;
		b->why = p->why;
		b->used = 0; /* nobody will want it */
	}
	free(p->octets);
	free(p);
}

/* Gives area to the job. */
static struct piece *
piece_new(struct blob *b, bool last)
{
	struct piece *p = xcalloc(1, sizeof(*p));

	p->blob = b;
	p->dir = b->dir;
	p->fd = b->fd;
	p->last = last;
	p->total = b->len;
	if (b->spills && !b->failed) {
		p->octets = b->area;
		p->len = b->used;
		b->area = NULL;
		b->used = b->size = 0;
	}
	b->working = true;
	return p;
}

static bool
is_full(const struct blob *b)
{
	return b->used >= BLOB_PIECE;
}

/* Anything may be freed by the callbacks, so each is the last thing done. */
static void
piece_done(void *arg)
{
	struct piece *p = arg;
	struct blob *b = p->blob;
	bool last = p->last;
	void (*changed)(void *arg) = b->changed;

	MUST(b->magic == BLOB_MAGIC);
	piece_take_result(b, p);
	if (b->refs == 0) {
		destroy(b);
		return;
	}
	if (last) {
		b->state = BLOB_READY;
		b->done(b->done_arg, b->failed ? b->why.text : NULL);
		return;
	}
	if (b->state == BLOB_ENDED || is_full(b))
		jobs_put(b->jobs, run, piece_done,
		    piece_new(b, b->state == BLOB_ENDED));
	b->changed = NULL;
	if (changed != NULL)
		changed(b->changed_arg);
}

static void
append(struct blob *b, struct slice s)
{
	if (b->size - b->used < s.len) {
		size_t size = b->size == 0 ? b->first : b->size;

		MUST(s.len <= SIZE_MAX / 4);
		while (size - b->used < s.len)
			size *= 2;
		b->area = xrealloc(b->area, size);
		b->size = size;
	}
	if (s.len > 0)
		memcpy(b->area + b->used, s.ptr, s.len);
	b->used += s.len;
}

void
blob_put(struct blob *b, struct slice s)
{
	MUST(b->magic == BLOB_MAGIC && b->state == BLOB_OPEN);
	b->len += s.len;
	if (b->failed)
		return;
	append(b, s);
	if (b->used > b->memory)
		b->spills = true;
	if (b->spills && !b->working && is_full(b))
		jobs_put(b->jobs, run, piece_done, piece_new(b, false));
}

bool
blob_busy(struct blob *b, void (*changed)(void *arg), void *arg)
{
	bool busy = b->working && is_full(b) && b->state == BLOB_OPEN;

	b->changed = busy ? changed : NULL;
	b->changed_arg = arg;
	return busy;
}

void
blob_end(struct blob *b, void (*done)(void *arg, const char *why), void *arg)
{
	MUST(b->magic == BLOB_MAGIC && b->state == BLOB_OPEN);
	b->state = BLOB_ENDED;
	b->done = done;
	b->done_arg = arg;
	/* Of one in memory a job has nothing to do but to call back later. */
	if (!b->working)
		jobs_put(b->jobs, run, piece_done, piece_new(b, true));
}

bool
blob_end_here(struct blob *b)
{
	MUST(b->magic == BLOB_MAGIC && b->state == BLOB_OPEN);
	if (b->spills || b->working || b->failed)
		return false;
	b->state = BLOB_READY;
	return true;
}

bool
blob_is_ready(const struct blob *b)
{
	return b->state == BLOB_READY && !b->failed;
}

uint64_t
blob_len(const struct blob *b)
{
	return b->len;
}

struct slice
blob_slice(struct blob *b)
{
	MUST(b->magic == BLOB_MAGIC && blob_is_ready(b));
	return b->map != NULL ? slice_of(b->map, (size_t)b->len)
	                      : slice_of(b->area, b->used);
}

bool
blob_in_memory(const struct blob *b)
{
	return !b->spills;
}
