#include <string.h>

#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "proxyd/mirror.h"
#include "proxyd/route.h"
#include "proxyd/spread.h"

enum {
	LOOKS = 8,       /* at a list that changes */
	MOST = 20 * 1000 /* names at a look: others wait for it */
};

struct look {
	struct arena *arena;
	struct slice root;
	const char *server;
	struct spread *at;
	unsigned seen;
	enum spread_answer answer;
};

static enum treedb_next
see(void *arg, struct slice key, struct slice value)
{
	struct look *l = arg;
	struct mboxrec rec;
	struct err err;
	char server[MBOXREC_HOST];

	if (++l->seen > MOST) {
		l->answer = SPREAD_MANY;
		return TREEDB_STOP;
	}
	if (mboxrec_parse(&rec, value, &err) == -1) {
		l->answer = SPREAD_UNKNOWN;
		return TREEDB_STOP;
	}
	route_server(&rec, server);
	if (strcmp(server, l->server) == 0)
		return TREEDB_NEXT;
	l->at->name = mboxname_of_key_in(l->arena, key);
	/* The mailbox itself has moved since it was looked for. */
	if (slice_equal(l->at->name, l->root)) {
		l->answer = SPREAD_UNKNOWN;
		return TREEDB_STOP;
	}
	l->at->acl = arena_copy(l->arena, rec.acl);
	memcpy(l->at->server, server, sizeof(server));
	l->answer =
	    rec.state == MBOXREC_RESERVED ? SPREAD_RESERVED : SPREAD_ELSEWHERE;
	return TREEDB_STOP;
}

/*
 * A walk is no snapshot: it may overlook what is renamed meanwhile.  If names
 * went while it looked it looks again.
 */
enum spread_answer
spread_look(struct route *r, struct arena *a, struct slice root,
    const char *server, struct spread *s)
{
	struct look l = { a, root, server, s, 0, SPREAD_NONE };
	struct treedb *list = route_list(r);
	struct slice key = mboxname_key_in(a, root);
	uint64_t before, after;
	struct err err;

	if (list == NULL || mirror_removals(list, &before, &err) == -1)
		return SPREAD_UNKNOWN;
	for (unsigned i = 0; i < LOOKS; i++) {
		if (treedb_walk_tree(list, key, see, &l, &err) == -1 ||
		    mirror_removals(list, &after, &err) == -1)
			return SPREAD_UNKNOWN;
		if (l.answer != SPREAD_NONE || before == after)
			return l.answer;
		l.seen = 0;
		before = after;
	}
	return SPREAD_UNKNOWN;
}
