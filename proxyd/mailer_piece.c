#include <stdlib.h>
#include <string.h>

#include "lib/blob.h"
#include "lib/jobs.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "proxyd/mailer_piece.h"

enum {
	PIECE_MAX = 128 * 1024
};

struct mailer_piece {
	struct blob *blob; /* keeps source there */
	struct slice source;
	uint8_t *octets;
	size_t used;
	bool ready;
	void (*read)(void *arg); /* NULL: nobody wants it any more */
	void *arg;
};

static void
copy(void *arg)
{
	struct mailer_piece *p = arg;

	memcpy(p->octets, p->source.ptr, p->source.len);
}

static void
piece_free(struct mailer_piece *p)
{
	blob_free(&p->blob);
	free(p->octets);
	free(p);
}

static void
copied(void *arg)
{
	struct mailer_piece *p = arg;

	p->ready = true;
	if (p->read == NULL)
		piece_free(p);
	else
		p->read(p->arg);
}

/* From the front of octets, which are blob's. */
static struct mailer_piece *
piece_read(struct jobs *jobs, struct blob *blob, struct slice octets,
    void (*read)(void *arg), void *arg)
{
	struct mailer_piece *p = xcalloc(1, sizeof(*p));

	MUST(octets.len > 0);
	p->blob = blob_ref(blob);
	p->source = slice_first(octets,
	    octets.len < PIECE_MAX ? octets.len : PIECE_MAX);
	p->octets = xmalloc(p->source.len);
	p->read = read;
	p->arg = arg;
	jobs_put(jobs, copy, copied, p);
	return p;
}

uint64_t
mailer_source_octets(const struct mailer_source *s)
{
	return s->head.len + (s->blob == NULL ? 0 : blob_len(s->blob));
}

bool
mailer_source_next(struct mailer_source *s, struct jobs *jobs,
    void (*read)(void *arg), void *arg, struct slice *octets)
{
	uint64_t at = s->at;
	struct slice all;

	if (at < s->head.len) {
		*octets = slice_skip(s->head, (size_t)at);
		return true;
	}
	*octets = slice_of("", 0);
	at -= s->head.len;
	if (s->blob == NULL || at == blob_len(s->blob))
		return true;
	all = slice_skip(blob_slice(s->blob), (size_t)at);
	if (blob_in_memory(s->blob)) {
		*octets = all;
		return true;
	}
	if (s->piece == NULL)
		s->piece = piece_read(jobs, s->blob, all, read, arg);
	*octets = slice_of(s->piece->octets + s->piece->used,
	    s->piece->source.len - s->piece->used);
	return s->piece->ready;
}

void
mailer_source_used(struct mailer_source *s, size_t n)
{
	struct mailer_piece *p = s->piece;

	s->at += n;
	if (p == NULL)
		return;
	MUST(p->ready && n <= p->source.len - p->used);
	p->used += n;
	if (p->used < p->source.len)
		return;
	s->piece = NULL;
	piece_free(p);
}

void
mailer_source_rewind(struct mailer_source *s)
{
	struct mailer_piece *p = s->piece;

	s->at = 0;
	s->piece = NULL;
	if (p == NULL)
		return;
	p->read = NULL;
	if (p->ready)
		piece_free(p);
}
