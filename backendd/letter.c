#include <stdlib.h>
#include <string.h>

#include "backendd/letter.h"
#include "backendd/store.h"
#include "imap/summary.h"
#include "lib/arena.h"
#include "lib/blob.h"
#include "lib/buf.h"
#include "lib/hash.h"
#include "lib/jobs.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	LETTER_HERE_MAX = 16 * 1024, /* cheaper to look at than a job */
	SHARE = 32                   /* letters that one job looks at */
};

struct letter {
	struct blob *blob;
	struct slice octets;
	uint8_t *cache;
	size_t cache_len;
	uint8_t emailid[32]; /* the first 16 are it */
	bool has_nul;
	struct task *task;
	letter_cb *cb;
	void *arg;
};

/* What looking takes, kept from one letter to the next. */
struct desk {
	struct summary_room *room;
	struct arena arena;
	struct buf encoded;
};

static void
desk_init(struct desk *d)
{
	d->room = summary_room_new();
	arena_init(&d->arena);
	buf_init(&d->encoded, STORE_CACHE_MAX);
}

static void
desk_fini(struct desk *d)
{
	summary_room_free(&d->room);
	arena_reset(&d->arena);
	buf_fini(&d->encoded);
}

/* A summary that does not fit is left out: FETCH then reads the message. */
static void
look_at(struct desk *d, struct letter *l)
{
	struct summary s;

	hash_sha256_of(l->octets, l->emailid);
	l->has_nul = l->octets.len > 0 &&
	             memchr(l->octets.ptr, '\0', l->octets.len) != NULL;
	summary_make(d->room, &d->arena, l->octets, &s);
	summary_encode(&d->encoded, &s);
	if (!buf_failed(&d->encoded)) {
		l->cache_len = buf_len(&d->encoded);
		l->cache = xmalloc(l->cache_len);
		memcpy(l->cache, buf_data(&d->encoded), l->cache_len);
	}
	buf_clear(&d->encoded);
	arena_again(&d->arena);
}

static void
look(void *arg)
{
	struct desk d;

	desk_init(&d);
	look_at(&d, arg);
	desk_fini(&d);
}

static void
looked(void *arg)
{
	struct letter *l = arg;

	task_free(&l->task);
	l->cb(l->arg, l);
}

static struct letter *
letter_new(struct blob *blob)
{
	struct letter *l = xcalloc(1, sizeof(*l));

	l->blob = blob;
	l->octets = blob_slice(blob);
	return l;
}

void
letter_make(struct loop *loop, struct jobs *jobs, struct blob *blob,
    letter_cb *cb, void *arg)
{
	struct letter *l = letter_new(blob);

	l->cb = cb;
	l->arg = arg;
	if (blob_in_memory(blob) && l->octets.len <= LETTER_HERE_MAX) {
		look(l);
		l->task = task_new(loop, looked, l);
		task_want(l->task);
	} else {
		jobs_put(jobs, look, looked, l);
	}
}

void
letter_free(struct letter **lp)
{
	struct letter *l = *lp;

	*lp = NULL;
	if (l == NULL)
		return;
	blob_free(&l->blob);
	free(l->cache);
	free(l);
}

bool
letter_has_nul(const struct letter *l)
{
	return l->has_nul;
}

struct slice
letter_octets(const struct letter *l)
{
	return l->octets;
}

struct slice
letter_cache(const struct letter *l)
{
	return slice_of(l->cache, l->cache_len);
}

const uint8_t *
letter_emailid(const struct letter *l)
{
	return l->emailid;
}

/* ---- many ---- */

/* What one job looks at. */
struct share {
	struct letters *of;
	size_t n;
	struct letter *letters[SHARE];
};

struct letters {
	struct jobs *jobs;
	struct letter **all; /* by number; NULL: none, or taken */
	size_t n, room;
	struct share *next; /* not full yet, or NULL */
	size_t shares;      /* jobs that are not done */
	bool freed;         /* the last job frees it */
	letters_cb *cb;
	void *arg;
};

struct letters *
letters_new(struct jobs *jobs)
{
	struct letters *ls = xcalloc(1, sizeof(*ls));

	ls->jobs = jobs;
	return ls;
}

static void
letters_destroy(struct letters *ls)
{
	for (size_t i = 0; i < ls->n; i++)
		letter_free(&ls->all[i]);
	free(ls->next);
	free(ls->all);
	free(ls);
}

void
letters_free(struct letters **lsp)
{
	struct letters *ls = *lsp;

	*lsp = NULL;
	if (ls == NULL)
		return;
	ls->freed = true;
	if (ls->shares == 0)
		letters_destroy(ls);
}

static void
look_share(void *arg)
{
	struct share *s = arg;
	struct desk d;

	desk_init(&d);
	for (size_t i = 0; i < s->n; i++)
		look_at(&d, s->letters[i]);
	desk_fini(&d);
}

static void
looked_share(void *arg)
{
	struct share *s = arg;
	struct letters *ls = s->of;
	letters_cb *cb = ls->cb;

	free(s);
	if (--ls->shares > 0)
		return;
	if (ls->freed) {
		letters_destroy(ls);
		return;
	}
	ls->cb = NULL;
	if (cb != NULL)
		cb(ls->arg);
}

static void
give_next(struct letters *ls)
{
	ls->shares++;
	jobs_put(ls->jobs, look_share, looked_share, ls->next);
	ls->next = NULL;
}

static void
make_room(struct letters *ls, size_t n)
{
	if (n > ls->room) {
		ls->room = 2 * n + SHARE;
		ls->all = xreallocarray(ls->all, ls->room, sizeof(ls->all[0]));
	}
	while (ls->n < n)
		ls->all[ls->n++] = NULL;
}

void
letters_add(struct letters *ls, size_t number, struct blob *blob)
{
	struct letter *l = letter_new(blob_ref(blob));

	make_room(ls, number + 1);
	MUST(ls->all[number] == NULL);
	ls->all[number] = l;
	if (ls->next == NULL) {
		ls->next = xcalloc(1, sizeof(*ls->next));
		ls->next->of = ls;
	}
	ls->next->letters[ls->next->n++] = l;
	if (ls->next->n == SHARE)
		give_next(ls);
}

bool
letters_has(const struct letters *ls, size_t number)
{
	return number < ls->n && ls->all[number] != NULL;
}

bool
letters_ready(struct letters *ls, letters_cb *cb, void *arg)
{
	MUST(ls->cb == NULL);
	if (ls->next != NULL)
		give_next(ls);
	if (ls->shares == 0)
		return true;
	ls->cb = cb;
	ls->arg = arg;
	return false;
}

struct letter *
letters_take(struct letters *ls, size_t number)
{
	struct letter *l;

	MUST(ls->shares == 0 && ls->next == NULL && letters_has(ls, number));
	l = ls->all[number];
	ls->all[number] = NULL;
	return l;
}
