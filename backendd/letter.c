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
	struct buf cache;
	uint8_t emailid[32]; /* the first 16 are it */
	bool has_nul;
	struct task *task;
	letter_cb *cb;
	void *arg;
};

/* A summary that does not fit is left out: FETCH then reads the message. */
static void
look(void *arg)
{
	struct letter *l = arg;
	struct summary s;
	struct arena a;

	hash_sha256_of(l->octets, l->emailid);
	l->has_nul = l->octets.len > 0 &&
	             memchr(l->octets.ptr, '\0', l->octets.len) != NULL;
	arena_init(&a);
	summary_make(&a, l->octets, &s);
	buf_init(&l->cache, STORE_CACHE_MAX);
	summary_encode(&l->cache, &s);
	if (buf_failed(&l->cache))
		buf_fini(&l->cache);
	arena_reset(&a);
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

/* Letters that are made together, and the job of some of them. */
struct letters {
	size_t shares; /* that are not done */
	letters_cb *cb;
	void *arg;
};

struct share {
	struct letters *all;
	struct letter_order *orders;
	size_t n;
};

static void
look_share(void *arg)
{
	struct share *s = arg;

	for (size_t i = 0; i < s->n; i++)
		look(s->orders[i].letter);
}

static void
looked_share(void *arg)
{
	struct share *s = arg;
	struct letters *all = s->all;

	free(s);
	if (--all->shares > 0)
		return;
	all->cb(all->arg);
	free(all);
}

void
letters_make(struct jobs *jobs, struct letter_order *orders, size_t n,
    letters_cb *cb, void *arg)
{
	struct letters *all = xcalloc(1, sizeof(*all));

	MUST(n > 0);
	all->cb = cb;
	all->arg = arg;
	for (size_t i = 0; i < n; i++)
		orders[i].letter = letter_new(orders[i].blob);
	for (size_t i = 0; i < n; i += SHARE) {
		struct share *s = xcalloc(1, sizeof(*s));

		s->all = all;
		s->orders = orders + i;
		s->n = n - i < SHARE ? n - i : SHARE;
		all->shares++;
		jobs_put(jobs, look_share, looked_share, s);
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
	buf_fini(&l->cache);
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
	return buf_slice(&l->cache);
}

const uint8_t *
letter_emailid(const struct letter *l)
{
	return l->emailid;
}
