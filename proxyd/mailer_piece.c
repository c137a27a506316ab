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

struct mailer_piece *
mailer_piece_read(struct jobs *jobs, struct blob *blob, struct slice octets,
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

bool
mailer_piece_ready(const struct mailer_piece *p, struct slice *s)
{
	*s = slice_of(p->octets + p->used, p->source.len - p->used);
	return p->ready;
}

void
mailer_piece_used(struct mailer_piece **pp, size_t n)
{
	struct mailer_piece *p = *pp;

	MUST(p->ready && n <= p->source.len - p->used);
	p->used += n;
	if (p->used < p->source.len)
		return;
	*pp = NULL;
	piece_free(p);
}

void
mailer_piece_leave(struct mailer_piece **pp)
{
	struct mailer_piece *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	p->read = NULL;
	if (p->ready)
		piece_free(p);
}
