#include <stdlib.h>
#include <string.h>

#include "backendd/assemble.h"
#include "backendd/conf.h"
#include "backendd/mailbox.h"
#include "backendd/server.h"
#include "imap/binary.h"
#include "lib/base64.h"
#include "lib/blob.h"
#include "lib/buf.h"
#include "lib/jobs.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	HERE_MAX = 16 * 1024, /* cheaper to copy than a job */
	LINES = 4096,         /* of base64, at once */
	WINDOW = BINARY_LINE * LINES
};

struct assembling {
	struct backendd *bd;
	const struct assemble_piece *pieces;
	size_t n, next;
	uint64_t done; /* octets of the next piece */
	struct blob *blob;
	struct task *turn;
	struct store_part part;
	struct slice window; /* what the job works on */
	bool base64;
	struct buf made; /* by it */
	const char *why;
	assemble_cb *cb;
	void *arg;
};

static void advance(struct assembling *as);

static void
finish(struct assembling *as)
{
	if (as->why != NULL)
		blob_free(&as->blob);
	as->cb(as->arg, as->blob, as->why);
	task_free(&as->turn);
	buf_fini(&as->made);
	free(as);
}

static void
on_ended(void *arg, const char *why)
{
	struct assembling *as = arg;

	if (why != NULL)
		as->why = "Cannot keep the message now";
	finish(as);
}

static void
on_turn(void *arg)
{
	advance(arg);
}

/* ----------------------------------------------------------------- octets */

static void
put_base64(struct buf *out, struct slice s)
{
	while (s.len > 0) {
		size_t n = s.len < BINARY_LINE ? s.len : BINARY_LINE;

		base64_encode(out, slice_first(s, n));
		buf_puts(out, "\r\n");
		s = slice_skip(s, n);
	}
}

/* In a job: a mapped file may have to be read. */
static void
make(void *arg)
{
	struct assembling *as = arg;

	if (as->base64)
		put_base64(&as->made, as->window);
	else
		buf_put_slice(&as->made, as->window);
}

static void
on_made(void *arg)
{
	struct assembling *as = arg;

	MUST(!buf_failed(&as->made));
	blob_put(as->blob, buf_slice(&as->made));
	buf_fini(&as->made);
	advance(as);
}

/* False: a job has it. */
static bool
put_octets(struct assembling *as, const struct assemble_piece *p)
{
	as->base64 = p->kind == ASSEMBLE_BASE64;
	as->window = slice_skip(p->octets, as->done);
	if (as->window.len > WINDOW)
		as->window.len = WINDOW;
	as->done += as->window.len;
	if (as->window.len > HERE_MAX) {
		jobs_put(as->bd->jobs, make, on_made, as);
		return false;
	}
	make(as);
	blob_put(as->blob, buf_slice(&as->made));
	buf_clear(&as->made);
	return true;
}

/* ----------------------------------------------------------------- stored */

static void
on_read(void *arg, struct store_chunk *chunk)
{
	struct assembling *as = arg;

	if (as->part.why == NULL && as->part.octets.len == as->part.len)
		blob_put(as->blob, as->part.octets);
	else
		as->why = "A message could not be read";
	store_chunk_free(&chunk);
	if (as->why != NULL)
		finish(as);
	else
		advance(as);
}

static void
read_stored(struct assembling *as, const struct assemble_piece *p)
{
	uint64_t left = p->len - as->done;

	as->part = (struct store_part){
		.uid = p->uid,
		.what = STORE_OCTETS,
		.offset = p->at + as->done,
		.len = left < WINDOW ? left : WINDOW,
	};
	as->done += as->part.len;
	store_read(mailbox_store(p->m), &as->part, 1, on_read, as);
}

/* ------------------------------------------------------------------ whole */

static uint64_t
length(const struct assemble_piece *p)
{
	return p->kind == ASSEMBLE_STORED ? p->len : p->octets.len;
}

static void
advance(struct assembling *as)
{
	while (as->next < as->n) {
		const struct assemble_piece *p = &as->pieces[as->next];

		if (as->done == length(p)) {
			as->next++;
			as->done = 0;
			continue;
		}
		if (blob_busy(as->blob, on_turn, as))
			return;
		if (p->kind == ASSEMBLE_STORED) {
			read_stored(as, p);
			return;
		}
		if (!put_octets(as, p))
			return;
	}
	blob_end(as->blob, on_ended, as);
}

void
assemble(struct backendd *bd, const struct assemble_piece *pieces, size_t n,
    size_t memory, assemble_cb *cb, void *arg)
{
	struct assembling *as = xcalloc(1, sizeof(*as));

	as->bd = bd;
	as->pieces = pieces;
	as->n = n;
	as->cb = cb;
	as->arg = arg;
	as->blob = blob_new(bd->jobs, bd->conf->temp_directory, memory);
	buf_init(&as->made, 2 * WINDOW);
	as->turn = task_new(bd->loop, on_turn, as);
	task_want(as->turn);
}
