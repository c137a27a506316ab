#include <stdlib.h>
#include <string.h>

#include "backendd/adm/adm.h"
#include "imap/date.h"
#include "imap/header.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	SUBJECT_WIDTH = 48,
	HEADER_MAX = 32 * 1024 /* octets to look for it in */
};

struct held {
	struct adm *adm;
	struct store_held *list;
	size_t n;
};

static void
on_held(void *arg, const struct store_held *list, size_t n, const char *why)
{
	struct held *h = arg;

	h->list = xcalloc(n + 1, sizeof *list);
	h->n = n;
	if (n > 0)
		memcpy(h->list, list, n * sizeof *list);
	adm_answer(h->adm, why);
}

static struct held
held_of(struct adm *a, struct store_mailbox *mb)
{
	struct held h = { .adm = a };

	adm_ask(a);
	store_held(mb, on_held, &h);
	adm_wait(a);
	return h;
}

static struct slice
field(struct arena *arena, struct slice octets, const char *name)
{
	struct header_field f;

	if (!header_find(slice_first(octets, header_length(octets)), name, &f))
		return slice_of(NULL, 0);
	return slice_trim(header_unfold(arena, f.value));
}

static void
show(struct adm *a, struct store_mailbox *mb, const struct store_held *x)
{
	struct date_time when = { .seconds = x->expunged };
	struct slice octets, subject, from;
	struct arena arena;
	struct buf date;

	arena_init(&arena);
	buf_init(&date, 64);
	date_put_time(&date, &when);
	if (adm_read_held(a, mb, x->uid, HEADER_MAX, &octets) != NULL)
		octets = slice_of(NULL, 0);
	subject = field(&arena, octets, "Subject");
	from = field(&arena, octets, "From");
	if (a->json) {
		out_open(&a->out, NULL, '{');
		out_number(&a->out, "uid", x->uid);
		out_str(&a->out, "expunged", buf_slice(&date));
		out_number(&a->out, "size", x->size);
		out_str(&a->out, "from", from);
		out_str(&a->out, "subject", subject);
		out_close(&a->out, '}');
	} else {
		out_cell_number(&a->out, x->uid, 10);
		out_cell(&a->out, buf_slice(&date), 27);
		out_cell_number(&a->out, x->size, 10);
		out_cell(&a->out, subject, SUBJECT_WIDTH);
		out_cell(&a->out, from, 0);
	}
	(void)out_end(&a->out); /* out_fini() tells */
	buf_fini(&date);
	arena_reset(&arena);
}

enum adm_exit
adm_expunged(struct adm *a)
{
	struct adm_box *box = adm_find(a, a->words[0]);
	struct store_mailbox *mb = box == NULL ? NULL : adm_open_box(a, box);
	struct held h;

	if (mb == NULL)
		return ADM_FAILED;
	h = held_of(a, mb);
	for (size_t i = 0; i < h.n; i++)
		show(a, mb, &h.list[i]);
	free(h.list);
	store_close(&mb);
	return ADM_OK;
}

static bool
is_wanted(const struct adm *a, uint32_t uid)
{
	uint64_t n;

	if (a->all)
		return true;
	for (size_t i = 1; i < a->nwords; i++)
		if (ascii_number(slice_str(a->words[i]), UINT32_MAX, &n) &&
		    n == uid)
			return true;
	return false;
}

static void
show_back(struct adm *a, const struct store_append *item)
{
	if (a->json) {
		out_open(&a->out, NULL, '{');
		out_number(&a->out, "uid", item->from_uid);
		out_number(&a->out, "new_uid", item->new_uid);
		out_close(&a->out, '}');
	} else {
		out_cell_number(&a->out, item->from_uid, 10);
		out_cell_number(&a->out, item->new_uid, 0);
	}
	(void)out_end(&a->out); /* out_fini() tells */
}

/* As it was, but not deleted. */
static const char *
undelete_one(struct adm *a, struct store_mailbox *mb,
    const struct store_held *x)
{
	struct store_append item = { .from = mb,
		.from_uid = x->uid,
		.undelete = true,
		.flags = x->flags & ~(uint32_t)STORE_DELETED,
		.keywords = { x->keywords[0], x->keywords[1] } };
	const char *why;

	adm_ask(a);
	store_append(mb, &item, 1, adm_answer, a);
	why = adm_wait(a);
	if (why != NULL)
		return why;
	if (item.outcome != STORE_DONE)
		return "it is not held any more";
	show_back(a, &item);
	return NULL;
}

enum adm_exit
adm_undelete(struct adm *a)
{
	struct adm_box *box = adm_find(a, a->words[0]);
	struct store_mailbox *mb;
	size_t found = 0, bad = 0;
	struct held h;

	if (a->all == (a->nwords > 1)) {
		(void)adm_fail("undelete: give UIDs, or --all");
		return ADM_USAGE;
	}
	mb = box == NULL ? NULL : adm_open_box(a, box);
	if (mb == NULL)
		return ADM_FAILED;
	h = held_of(a, mb);
	for (size_t i = 0; i < h.n; i++) {
		const char *why;

		if (!is_wanted(a, h.list[i].uid))
			continue;
		found++;
		why = undelete_one(a, mb, &h.list[i]);
		if (why == NULL)
			continue;
		bad++;
		(void)adm_fail("%s, UID %lu: %s", box->name,
		    (unsigned long)h.list[i].uid, why);
	}
	if (!a->all && found < a->nwords - 1)
		bad += adm_fail("%s: %zu of these UIDs are not held; see "
		                "\"backendadm expunged\"",
		           box->name, a->nwords - 1 - found) == ADM_FAILED;
	free(h.list);
	store_close(&mb);
	return bad > 0 ? ADM_FAILED : ADM_OK;
}
