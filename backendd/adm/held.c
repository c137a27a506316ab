#include <stdlib.h>
#include <string.h>

#include "backendd/adm/adm.h"
#include "backendd/adm/remote.h"
#include "backendd/adm_wire.h"
#include "imap/date.h"
#include "imap/header.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	BATCH = ADM_PARTS_MAX, /* brought back at once */
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
static struct store_append
append_of(struct store_mailbox *mb, const struct store_held *x)
{
	return (struct store_append){ .from = mb,
		.from_uid = x->uid,
		.undelete = true,
		.flags = x->flags & ~(uint32_t)STORE_DELETED,
		.keywords = { x->keywords[0], x->keywords[1] } };
}

/* All of them or, with why, none; but for what is not held any more. */
struct batch {
	struct adm *adm;
	struct store_mailbox *mb;
	const char *name;
	struct store_append items[BATCH];
	size_t n, bad;
	bool failed; /* the rest would, too */
};

static void
bring_back(struct batch *b)
{
	const char *why;

	if (b->n == 0)
		return;
	adm_ask(b->adm);
	store_append(b->mb, b->items, b->n, adm_answer, b->adm);
	why = adm_wait(b->adm);
	if (why != NULL) {
		b->failed = true;
		(void)adm_fail("%s, UID %lu and those after it: %s", b->name,
		    (unsigned long)b->items[0].from_uid, why);
	}
	for (size_t i = 0; why == NULL && i < b->n; i++) {
		if (b->items[i].outcome == STORE_DONE) {
			show_back(b->adm, &b->items[i]);
			continue;
		}
		b->bad++;
		(void)adm_fail("%s, UID %lu: it is not held any more", b->name,
		    (unsigned long)b->items[i].from_uid);
	}
	b->n = 0;
}

enum adm_exit
adm_undelete(struct adm *a)
{
	struct adm_box *box = adm_find(a, a->words[0]);
	struct store_mailbox *mb;
	struct batch *b;
	size_t found = 0;
	enum adm_exit result = ADM_OK;
	struct progress p;
	struct held h;

	if (a->all == (a->nwords > 1)) {
		(void)adm_fail("undelete: give UIDs, or --all");
		return ADM_USAGE;
	}
	mb = box == NULL ? NULL : adm_open_box(a, box);
	if (mb == NULL)
		return ADM_FAILED;
	h = held_of(a, mb);
	b = xcalloc(1, sizeof *b);
	*b = (struct batch){ .adm = a, .mb = mb, .name = box->name };
	progress_init(&p, a->loop, PROGRESS_ROWS);
	for (size_t i = 0; i < h.n && !b->failed; i++) {
		progress_step(&p, h.n);
		if (!is_wanted(a, h.list[i].uid))
			continue;
		found++;
		b->items[b->n++] = append_of(mb, &h.list[i]);
		if (b->n == BATCH)
			bring_back(b);
	}
	bring_back(b);
	progress_end(&p);
	if (b->bad > 0 || b->failed)
		result = ADM_FAILED;
	if (!a->all && !b->failed && found < a->nwords - 1)
		result = adm_fail("%s: %zu of these UIDs are not held; see "
		                  "\"backendadm expunged\"",
		    box->name, a->nwords - 1 - found);
	free(b);
	free(h.list);
	store_close(&mb);
	return result;
}

/* ---- mailboxes ---- */

/* What a deleted mailbox was called: mblist_deleted.h.  NULL: not known. */
static char *
former_name(const char *name)
{
	static const char place[] = "deleted.";
	const char *domain = strchr(name, '!');
	const char *local = domain == NULL ? name : domain + 1;
	const char *last = strrchr(local, '.');
	size_t n = strlen(place), prefix = (size_t)(local - name);
	char *former;

	if (strncmp(local, place, n) != 0 || last == NULL || last <= local + n)
		return NULL;
	former = xmalloc(strlen(name) + 1);
	memcpy(former, name, prefix);
	memcpy(former + prefix, local + n, (size_t)(last - local) - n);
	former[prefix + (size_t)(last - local) - n] = '\0';
	return former;
}

enum adm_exit
adm_restore(struct adm *a)
{
	struct adm_box *box = adm_find(a, a->words[0]);
	const char *why;
	char *to;

	if (box == NULL)
		return ADM_FAILED;
	to = a->nwords > 1 ? xstrdup(a->words[1]) : former_name(box->name);
	if (to == NULL)
		return adm_fail("%s: that is no deleted mailbox; they are "
		                "those of \"backendadm list\" that begin with "
		                "deleted",
		    box->name);
	why = remote_restore(a->remote, box->name, to);
	if (why != NULL)
		(void)adm_fail("%s as %s: %s", box->name, to, why);
	else if (!a->json)
		printf("%s\n", to);
	else {
		out_open(&a->out, NULL, '{');
		out_str(&a->out, "mailbox", slice_str(to));
		out_str(&a->out, "mailboxid", slice_str(box->id));
		out_close(&a->out, '}');
		(void)out_end(&a->out); /* out_fini() tells */
	}
	free(to);
	return why != NULL ? ADM_FAILED : ADM_OK;
}
