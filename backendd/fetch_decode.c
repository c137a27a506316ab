#include <stdlib.h>
#include <string.h>

#include "backendd/fetch_decode.h"
#include "backendd/store.h"
#include "imap/transfer.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/jobs.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	WINDOW = 256 * 1024,    /* octets read at once */
	HERE_MAX = 16 * 1024,   /* cheaper to decode than a job */
	KEEP_MAX = 64 * 1024,   /* of one part */
	KEEP_ALL = 1024 * 1024, /* of all that one arena has */
	MADE_MAX = 2 * WINDOW   /* decoding adds nothing to speak of */
};

struct fetch_decoding {
	struct store_mailbox *mb;
	struct jobs *jobs;

	/* The part. */
	uint32_t uid;
	struct section_range left; /* not read yet */
	struct transfer transfer;
	bool open, ended, failed;

	/* What has been decoded. */
	struct buf made;
	uint64_t count;
	bool has_nul, keep;
	uint64_t skip; /* octets that do not count */

	struct store_part part;
	struct store_chunk *chunk;
	bool measures;
	fetch_decode_cb *cb;
	void *arg;
};

struct fetch_decoding *
fetch_decode_new(struct store_mailbox *mb, struct jobs *jobs)
{
	struct fetch_decoding *d = xcalloc(1, sizeof(*d));

	d->mb = mb;
	d->jobs = jobs;
	buf_init(&d->made, MADE_MAX);
	return d;
}

void
fetch_decode_free(struct fetch_decoding **dp)
{
	struct fetch_decoding *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	buf_fini(&d->made);
	free(d);
}

/* In a job, or here. */
static void
work(void *arg)
{
	struct fetch_decoding *d = arg;
	size_t before = buf_len(&d->made);
	struct slice made;

	transfer_put(&d->transfer, d->part.octets, &d->made);
	if (d->left.len == 0) {
		transfer_end(&d->transfer, &d->made);
		d->ended = true;
	}
	MUST(!buf_failed(&d->made));
	made = slice_skip(buf_slice(&d->made), before);
	d->count += made.len;
	if (!d->has_nul && made.len > 0 &&
	    memchr(made.ptr, '\0', made.len) != NULL)
		d->has_nul = true;
}

static void measure_on(struct fetch_decoding *d);

static void
worked(void *arg)
{
	struct fetch_decoding *d = arg;
	size_t skip;

	store_chunk_free(&d->chunk);
	if (d->measures) {
		measure_on(d);
		return;
	}
	skip =
	    d->skip < buf_len(&d->made) ? (size_t)d->skip : buf_len(&d->made);
	buf_drop(&d->made, skip);
	d->skip -= skip;
	d->cb(d->arg);
}

static void
on_read(void *arg, struct store_chunk *chunk)
{
	struct fetch_decoding *d = arg;

	d->chunk = chunk;
	if (d->part.why != NULL || d->part.octets.len != d->part.len) {
		d->failed = true;
		worked(d);
	} else if (d->part.len <= HERE_MAX) {
		work(d);
		worked(d);
	} else {
		jobs_put(d->jobs, work, worked, d);
	}
}

static void
read_on(struct fetch_decoding *d)
{
	uint64_t n = d->left.len < WINDOW ? d->left.len : WINDOW;

	d->part = (struct store_part){ .uid = d->uid,
		.what = STORE_OCTETS,
		.offset = d->left.at,
		.len = n };
	d->left.at += n;
	d->left.len -= n;
	store_read(d->mb, &d->part, 1, on_read, d);
}

static void
begin(struct fetch_decoding *d, uint32_t uid, struct section_range r,
    enum transfer_encoding encoding)
{
	d->uid = uid;
	d->left = r;
	d->open = true;
	d->ended = d->failed = d->has_nul = false;
	d->count = d->skip = 0;
	buf_fini(&d->made);
	transfer_init(&d->transfer, encoding);
}

/* --------------------------------------------------------------- measuring */

static void
measure_on(struct fetch_decoding *d)
{
	if (d->count > KEEP_MAX)
		d->keep = false;
	if (!d->keep)
		buf_clear(&d->made);
	if (d->failed || d->ended)
		d->cb(d->arg);
	else
		read_on(d);
}

void
fetch_decode_measure(struct fetch_decoding *d, uint32_t uid,
    struct section_range r, enum transfer_encoding encoding,
    enum fetch_decode_keep keep, fetch_decode_cb *cb, void *arg)
{
	MUST(!d->open);
	begin(d, uid, r, encoding);
	d->measures = true;
	d->keep = keep == FETCH_DECODE_KEEP;
	d->cb = cb;
	d->arg = arg;
	read_on(d);
}

bool
fetch_decode_measured(struct fetch_decoding *d, struct arena *a,
    struct fetch_decoded *result)
{
	*result =
	    (struct fetch_decoded){ .size = d->count, .has_nul = d->has_nul };
	if (d->keep && d->count > 0 && arena_used(a) + d->count <= KEEP_ALL)
		result->octets = arena_copy(a, buf_slice(&d->made));
	fetch_decode_close(d);
	return !d->failed;
}

/* ----------------------------------------------------------------- sending */

void
fetch_decode_open(struct fetch_decoding *d, uint32_t uid,
    const struct fetch_piece *p)
{
	MUST(!d->open);
	begin(d, uid, p->range, p->encoding);
	d->measures = false;
	d->skip = p->skip;
}

bool
fetch_decode_is_open(const struct fetch_decoding *d)
{
	return d->open;
}

void
fetch_decode_close(struct fetch_decoding *d)
{
	d->open = false;
	buf_fini(&d->made);
}

struct slice
fetch_decode_at_hand(const struct fetch_decoding *d)
{
	return buf_slice(&d->made);
}

void
fetch_decode_drop(struct fetch_decoding *d, size_t n)
{
	buf_drop(&d->made, n);
}

bool
fetch_decode_more(struct fetch_decoding *d, fetch_decode_cb *cb, void *arg)
{
	MUST(d->open && buf_len(&d->made) == 0);
	if (d->failed || d->ended)
		return false;
	d->cb = cb;
	d->arg = arg;
	read_on(d);
	return true;
}
