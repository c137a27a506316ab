#include <stdio.h>
#include <stdlib.h>

#include "backendd/announce.h"
#include "backendd/mblist_op.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "t/fake/published.h"
#include "t/tap.h"

enum {
	GUARD_MS = 60 * 1000
};

static char server_name[] = "fake";

struct fake_update_server *
published_server(struct published *t)
{
	return fake_announce_server(t->f.bd.announce);
}

void
published_turn(struct published *t)
{
	fake_backend_turn(&t->f);
}

bool
published_goes_on(struct published *t, int64_t *until)
{
	int64_t now = loop_now(t->f.bd.loop).ms;

	if (*until == 0)
		*until = now + GUARD_MS;
	if (now >= *until)
		return false;
	published_turn(t);
	return true;
}

/* Until all has been said that there is to be said. */
void
published_settle(struct published *t)
{
	struct mblist *l = t->f.bd.list;
	int64_t until = 0;

	while (published_goes_on(t, &until))
		if (mblist_unsettled(l) == 0 && l->sync == NULL &&
		    TAILQ_EMPTY(&l->ops) &&
		    fake_announce_is_idle(t->f.bd.announce))
			return;
	ok(false, "it never comes to rest");
}

void
published_link_up(struct published *t)
{
	while (!fake_announce_is_idle(t->f.bd.announce))
		published_turn(t);
	if (!announce_is_up(t->f.bd.announce))
		fake_announce_up(t->f.bd.announce);
}

static bool
is_seen(struct published *t, const char *name)
{
	const struct mboxrec *there =
	    fake_announce_find(t->f.bd.announce, name);
	struct arena a;
	bool here;

	arena_init(&a);
	here = mblist_get(t->f.bd.list, name, &a) != NULL;
	arena_reset(&a);
	return here && there != NULL && there->state == MBOXREC_ACTIVE;
}

/* Published and here: whoever looks for one of the two finds it. */
static void
watch(void *arg)
{
	struct published *t = arg;

	if (t->old != NULL && !is_seen(t, t->old) && !is_seen(t, t->new))
		t->neither++;
}

void
published_init(struct published *t)
{
	*t = (struct published){ .answers = 0 };
	fake_backend_init(&t->f, "published");
	t->f.conf.mupdate_server = server_name;
	t->f.conf.publish_ms = GUARD_MS;
	t->f.conf.compare_ms = 100000;
	fake_backend_open(&t->f);
	t->f.bd.announce =
	    fake_announce_new(t->f.bd.loop, "test", mblist_link, t->f.bd.list);
	published_server(t)->watch = watch;
	published_server(t)->watch_arg = t;
	fake_announce_up(t->f.bd.announce);
	published_settle(t);
}

void
published_restart(struct published *t)
{
	struct announce *a = t->f.bd.announce;

	while (!fake_announce_is_idle(a))
		published_turn(t);
	fake_announce_down(a);
	fake_backend_close(&t->f);
	fake_backend_open(&t->f);
	fake_announce_owner(a, t->f.bd.list);
	fake_announce_up(a);
}

void
published_fini(struct published *t)
{
	while (!fake_announce_is_idle(t->f.bd.announce))
		published_turn(t);
	announce_free(&t->f.bd.announce);
	fake_backend_close(&t->f);
	fake_backend_fini(&t->f);
}

/* --- do the two say the same? ------------------------------------------------- */

struct comparison {
	struct published *t;
	size_t n;
	bool same;
};

static bool
compare_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct comparison *c = arg;
	const struct mboxrec *there =
	    fake_announce_find(c->t->f.bd.announce, name);

	if (mblist_is_aside(name))
		return true;
	c->n++;
	if (there == NULL || there->state != MBOXREC_ACTIVE ||
	    !slice_equal(there->acl, rec->acl) ||
	    !slice_equal(there->location, rec->location) ||
	    !slice_equal(there->mailboxid, rec->mailboxid) ||
	    there->generation != rec->generation) {
		printf("# %s: %s\n", name,
		    there == NULL ? "not there" : "differs there");
		c->same = false;
	}
	return true;
}

bool
published_is_alike(struct published *t)
{
	struct comparison c = { t, 0, true };

	mblist_each(t->f.bd.list, "", compare_one, &c);
	if (c.n != fake_announce_count(t->f.bd.announce))
		printf("# %zu here, %zu there\n", c.n,
		    fake_announce_count(t->f.bd.announce));
	return c.same && c.n == fake_announce_count(t->f.bd.announce) &&
	       fake_backend_is_whole(&t->f);
}

bool
published_exists(struct published *t, const char *name)
{
	struct arena a;
	bool found;

	arena_init(&a);
	found = mblist_get(t->f.bd.list, name, &a) != NULL;
	arena_reset(&a);
	return found;
}

bool
published_acl_is(struct published *t, const char *name, const char *acl)
{
	const struct mboxrec *rec;
	struct arena a;
	bool is;

	arena_init(&a);
	rec = mblist_get(t->f.bd.list, name, &a);
	is = rec != NULL && slice_is(rec->acl, acl);
	arena_reset(&a);
	return is;
}

/* --- changes ------------------------------------------------------------------ */

void
published_answered(void *arg, enum mblist_result r, const char *text)
{
	struct published *t = arg;

	(void)text; /* for logs */
	t->result = r;
	t->answers++;
}

void
published_await(struct published *t, unsigned n)
{
	int64_t until = 0;

	while (t->answers < n && published_goes_on(t, &until))
		continue;
	MUST(t->answers == n);
}

enum mblist_result
published_make(struct published *t, const char *name, const char *acl)
{
	struct mblist_new how = { .acl = acl, .special_use = "" };

	mblist_create(t->f.bd.list, name, &how, published_answered, t);
	published_await(t, t->answers + 1);
	return t->result;
}
