#include <stdio.h>
#include <stdlib.h>

#include "backendd/adm/adm.h"
#include "backendd/adm/remote.h"
#include "lib/buf.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	PARTS = 256,         /* read at once */
	PIECE = 1024 * 1024, /* of a message */
	ROUND_OCTETS = 8 * 1024 * 1024,
	UIDS_MAX = 1024 * 1024 /* octets of a list of them */
};

/* A mailbox being looked at. */
struct look {
	struct adm *adm;
	struct store_mailbox *mb;
	const char *damage; /* of its index; NULL: none */
	uint32_t uids;      /* of messages that are damaged */
	struct buf list;    /* of those */
	uint64_t octets;
	struct store_part parts[PARTS];
	size_t n;
};

static void
on_news(void *arg, const struct store_news *news)
{
	struct look *l = arg;

	if (news->damaged)
		l->damage = "the index is damaged";
}

static void
on_chunk(void *arg, struct store_chunk *chunk)
{
	struct adm *a = arg;

	a->chunk = chunk;
	adm_answer(a, NULL);
}

static void
ask_for_parts(struct look *l)
{
	struct adm *a = l->adm;
	const char *why;

	if (a->remote != NULL) {
		why = remote_check(l->mb, l->parts, l->n);
		if (why != NULL)
			l->damage = why;
		return;
	}
	adm_forget(a);
	adm_ask(a);
	store_read(l->mb, l->parts, l->n, on_chunk, a);
	adm_wait(a);
}

static void
read_parts(struct look *l)
{
	uint32_t last = 0;

	if (l->n == 0 || l->damage != NULL)
		return;
	ask_for_parts(l);
	for (size_t i = 0; i < l->n; i++) {
		if (l->parts[i].why == NULL || l->parts[i].uid == last)
			continue;
		last = l->parts[i].uid;
		buf_printf(&l->list, "%s%lu", l->uids++ > 0 ? " " : "",
		    (unsigned long)last);
	}
	l->n = 0;
	l->octets = 0;
}

static void
look_at(struct look *l, const struct store_msg *m)
{
	uint32_t uid = m->uid;
	uint64_t size = m->size;

	for (uint64_t at = 0; at == 0 || at < size; at += PIECE) {
		l->parts[l->n++] = (struct store_part){ .uid = uid,
			.offset = at,
			.len = PIECE };
		l->octets += size - at < PIECE ? size - at : PIECE;
		if (l->n == PARTS || l->octets >= ROUND_OCTETS)
			read_parts(l);
	}
}

static void
look_through(struct look *l)
{
	for (uint32_t i = 0;
	     l->damage == NULL && i < store_numbers(l->mb)->exists; i++)
		look_at(l, store_at(l->mb, i));
	read_parts(l);
	/* Whether something was said of the index. */
	adm_ask(l->adm);
	store_sync(l->mb, adm_answer, l->adm);
	adm_wait(l->adm);
}

static void
show(struct adm *a, const struct adm_box *box, uint32_t exists,
    const struct look *l, const char *damage)
{
	struct slice uids = l == NULL ? slice_of(NULL, 0) : buf_slice(&l->list);

	if (a->json) {
		out_open(&a->out, NULL, '{');
		out_str(&a->out, "mailbox", slice_str(box->name));
		out_str(&a->out, "partition", slice_str(box->partition->name));
		out_str(&a->out, "mailboxid", slice_str(box->id));
		out_number(&a->out, "messages", exists);
		out_str(&a->out, "damaged_uids", uids);
		if (damage != NULL)
			out_str(&a->out, "damage", slice_str(damage));
		else
			out_null(&a->out, "damage");
		out_close(&a->out, '}');
		(void)out_end(&a->out); /* out_fini() tells */
		return;
	}
	if (damage == NULL && uids.len == 0)
		return;
	out_cell(&a->out, slice_str(box->name[0] != '\0' ? box->name : box->id),
	    40);
	out_cell(&a->out,
	    slice_str(damage != NULL ? damage : "damaged messages, UID"),
	    uids.len > 0 ? 22 : 0);
	if (uids.len > 0)
		out_cell(&a->out, uids, 0);
	(void)out_end(&a->out); /* as above */
}

/* True: it is well. */
static bool
verify_one(struct adm *a, const struct adm_box *box, uint64_t *messages)
{
	struct look *l;
	uint32_t exists;
	bool well;

	if (box->damage != NULL) {
		show(a, box, 0, NULL, box->damage);
		return false;
	}
	l = xcalloc(1, sizeof *l);
	l->adm = a;
	buf_init(&l->list, UIDS_MAX);
	l->mb = adm_open_box(a, box);
	if (l->mb == NULL) {
		show(a, box, 0, NULL, "the index is damaged");
		free(l);
		return false;
	}
	store_observe(l->mb, on_news, l);
	exists = store_numbers(l->mb)->exists;
	look_through(l);
	show(a, box, exists, l, l->damage);
	well = l->damage == NULL && l->uids == 0;
	*messages += exists;
	store_close(&l->mb);
	buf_fini(&l->list);
	free(l);
	return well;
}

enum adm_exit
adm_verify(struct adm *a)
{
	size_t bad = 0, n = 0;
	uint64_t messages = 0;
	struct progress p;

	progress_init(&p, a->loop, a->json ? PROGRESS_ROWS : PROGRESS_SILENCE);
	for (size_t i = 0; i < a->nboxes && a->nwords == 0; i++, n++) {
		bad += !verify_one(a, &a->boxes[i], &messages);
		progress_step(&p, a->nboxes);
	}
	for (size_t i = 0; i < a->nwords; i++, n++) {
		struct adm_box *box = adm_find(a, a->words[i]);

		bad += box == NULL || !verify_one(a, box, &messages);
		progress_step(&p, a->nwords);
	}
	progress_end(&p);
	if (!a->json)
		printf("%zu mailboxes, %llu messages: %zu mailboxes damaged\n",
		    n, (unsigned long long)messages, bad);
	return bad > 0 ? ADM_FAILED : ADM_OK;
}

enum adm_exit
adm_list(struct adm *a)
{
	for (size_t i = 0; i < a->nboxes; i++) {
		const struct adm_box *box = &a->boxes[i];

		if (a->json) {
			out_open(&a->out, NULL, '{');
			out_str(&a->out, "mailbox", slice_str(box->name));
			out_str(&a->out, "partition",
			    slice_str(box->partition->name));
			out_str(&a->out, "mailboxid", slice_str(box->id));
			out_close(&a->out, '}');
		} else {
			out_cell(&a->out, slice_str(box->name), 40);
			out_cell(&a->out, slice_str(box->partition->name), 16);
			out_cell(&a->out, slice_str(box->id), 0);
		}
		if (!out_end(&a->out))
			break;
	}
	return ADM_OK;
}

/* ---- making an index anew ---- */

static bool
rebuild_one(struct adm *a, const struct adm_box *box)
{
	struct store_mailbox *mb;

	if (box->id[0] != '\0')
		store_distrust(box->partition->store, box->id);
	mb = adm_open_box(a, box);
	if (mb == NULL)
		return false;
	if (a->json) {
		out_open(&a->out, NULL, '{');
		out_str(&a->out, "mailbox", slice_str(box->name));
		out_str(&a->out, "mailboxid", slice_str(box->id));
		out_number(&a->out, "messages", store_numbers(mb)->exists);
		out_close(&a->out, '}');
	} else {
		out_cell(&a->out, slice_str(box->name), 40);
		out_cell_number(&a->out, store_numbers(mb)->exists, 0);
	}
	(void)out_end(&a->out); /* out_fini() tells */
	store_close(&mb);
	return true;
}

enum adm_exit
adm_rebuild(struct adm *a)
{
	size_t bad = 0;
	struct progress p;

	if (a->all == (a->nwords > 0)) {
		(void)adm_fail("rebuild: name mailboxes, or say --all");
		return ADM_USAGE;
	}
	progress_init(&p, a->loop, PROGRESS_ROWS);
	for (size_t i = 0; a->all && i < a->nboxes; i++) {
		bad += !rebuild_one(a, &a->boxes[i]);
		progress_step(&p, a->nboxes);
	}
	for (size_t i = 0; i < a->nwords; i++) {
		struct adm_box *box = adm_find(a, a->words[i]);

		bad += box == NULL || !rebuild_one(a, box);
	}
	progress_end(&p);
	return bad > 0 ? ADM_FAILED : ADM_OK;
}
