/*
 * May a mailbox and what is below it be renamed to where another quota root
 * counts them?
 */
#include <string.h>

#include "backendd/ledger.h"
#include "backendd/mblist.h"
#include "backendd/quota.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/must.h"

enum {
	NAMES_MAX = 10000 /* more cannot be renamed at once */
};

/* In the command's arena, as all it points to. */
struct tree {
	struct session *ss;
	const char *root, *to; /* root: whose mailboxes are counted; or NULL */
	struct quota_hold *hold;
	quota_admit_cb *cb;
	void *arg;
	struct store **stores; /* of each */
	struct slice *ids;
	size_t n;
	size_t fetching; /* answers that are due */
};

static bool
take_one(void *arg, const char *name, const struct mboxrec *rec)
{
	struct tree *t = arg;
	struct backendd *bd = session_server(t->ss);
	struct arena *a = session_cmd(t->ss)->arena;
	struct store *st = backendd_store(bd, rec);
	const char *root = quota_root_of(bd->quotas, name, a);

	if (st == NULL || (root != NULL) != (t->root != NULL) ||
	    (root != NULL && strcmp(root, t->root) != 0))
		return true;
	t->stores[t->n] = st;
	t->ids[t->n] = arena_copy(a, rec->mailboxid);
	return ++t->n < NAMES_MAX;
}

static void
ask(struct tree *t)
{
	struct backendd *bd = session_server(t->ss);
	struct quota_need need = { .mailboxes = t->n, .hold = t->hold };

	for (size_t i = 0; i < t->n; i++) {
		const struct ledger_page *p =
		    ledger_find(bd->ledger, t->stores[i], t->ids[i]);

		if (p == NULL || !p->known) /* it cannot be read */
			continue;
		need.octets += p->numbers.size;
		need.messages += p->numbers.exists;
	}
	quota_admit(t->ss, t->to, &need, t->cb, t->arg);
}

static void
fetched(void *arg)
{
	struct tree *t = arg;

	MUST(t->fetching > 0);
	if (--t->fetching == 0)
		ask(t);
}

/* As many of one store as stand together. */
static void
fetch(struct tree *t)
{
	struct backendd *bd = session_server(t->ss);
	size_t i = 0;

	t->fetching = 1;
	while (i < t->n) {
		size_t n = 1;

		while (i + n < t->n && n < LEDGER_FETCH_MAX &&
		       t->stores[i + n] == t->stores[i])
			n++;
		t->fetching++;
		ledger_fetch(bd->ledger, t->stores[i], t->ids + i, n, fetched,
		    t);
		i += n;
	}
	fetched(t);
}

/* Is it the same root, or one that moves? */
static bool
stays(const char *from, bool leaves_inbox, const char *root,
    const char *to_root)
{
	if (to_root == NULL)
		return true;
	if (root == NULL)
		return false;
	return strcmp(root, to_root) == 0 ||
	       (!leaves_inbox && strcmp(root, from) == 0);
}

void
quota_admit_rename(struct session *ss, const char *from, const char *to,
    struct quota_hold *hold, quota_admit_cb *cb, void *arg)
{
	struct backendd *bd = session_server(ss);
	struct arena *a = session_cmd(ss)->arena;
	const struct mboxrec *rec = mblist_get(bd->list, from, a);
	struct quota_need inbox = { .mailboxes = 1, .hold = hold };
	struct tree *t = arena_alloc(a, sizeof(*t));
	/* Empty, with what is below it; unless another's it becomes. */
	bool leaves_inbox = mboxname_is_inbox(slice_str(from)) &&
	                    !mboxname_is_inbox(slice_str(to));

	*t = (struct tree){ .ss = ss,
		.to = to,
		.hold = hold,
		.cb = cb,
		.arg = arg };
	t->root = quota_root_of(bd->quotas, from, a);
	if (rec == NULL || stays(from, leaves_inbox, t->root,
	                       quota_root_of(bd->quotas, to, a))) {
		if (rec != NULL && leaves_inbox)
			quota_admit(ss, to, &inbox, cb, arg);
		else
			cb(arg, true);
		return;
	}
	t->stores = arena_array(a, NAMES_MAX, sizeof(*t->stores));
	t->ids = arena_array(a, NAMES_MAX, sizeof(*t->ids));
	if (take_one(t, from, rec) && !leaves_inbox)
		mblist_each(bd->list, arena_printf(a, "%s.", from), take_one,
		    t);
	fetch(t);
}
