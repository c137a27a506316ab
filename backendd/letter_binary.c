#include <stdlib.h>

#include "backendd/assemble.h"
#include "backendd/conf.h"
#include "backendd/letter.h"
#include "backendd/letter_binary.h"
#include "backendd/server.h"
#include "imap/binary.h"
#include "imap/mime.h"
#include "lib/arena.h"
#include "lib/blob.h"
#include "lib/jobs.h"
#include "lib/xalloc.h"

struct encoding {
	struct backendd *bd;
	struct letter *letter;
	struct arena arena;
	struct assemble_piece *pieces;
	size_t n;
	letter_binary_cb *cb;
	void *arg;
};

static void
finish(struct encoding *en, struct letter *l, const char *why)
{
	letter_free(&en->letter);
	arena_reset(&en->arena);
	en->cb(en->arg, l, why);
	free(en);
}

static void
on_letter(void *arg, struct letter *l)
{
	const char *why = NULL;

	if (letter_has_nul(l)) {
		letter_free(&l);
		why = "There is a NUL outside the parts' bodies";
	}
	finish(arg, l, why);
}

static void
on_assembled(void *arg, struct blob *b, const char *why)
{
	struct encoding *en = arg;

	if (b == NULL)
		finish(en, NULL, why);
	else
		letter_make(en->bd->loop, en->bd->jobs, b, on_letter, en);
}

/* In a job. */
static void
look(void *arg)
{
	struct encoding *en = arg;
	struct slice message = letter_octets(en->letter);
	const struct binary_piece *p;
	struct mime m;

	mime_parse(&en->arena, message, &mime_limits_default, &m);
	p = binary_pieces(&en->arena, message, &m, &en->n);
	en->pieces = arena_array(&en->arena, en->n, sizeof(*en->pieces));
	for (size_t i = 0; i < en->n; i++) {
		en->pieces[i].octets = p[i].octets;
		en->pieces[i].kind = p[i].kind == BINARY_TO_BASE64
		                         ? ASSEMBLE_BASE64
		                         : ASSEMBLE_OCTETS;
	}
}

static void
looked(void *arg)
{
	struct encoding *en = arg;

	assemble(en->bd, en->pieces, en->n,
	    (size_t)en->bd->conf->message_memory, on_assembled, en);
}

void
letter_binary(struct backendd *bd, struct letter *l, letter_binary_cb *cb,
    void *arg)
{
	struct encoding *en = xcalloc(1, sizeof(*en));

	en->bd = bd;
	en->letter = l;
	en->cb = cb;
	en->arg = arg;
	arena_init(&en->arena);
	jobs_put(bd->jobs, look, looked, en);
}
