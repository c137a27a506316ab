#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/creator.h"
#include "backendd/server.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/auth.h"
#include "lib/err.h"
#include "lib/xalloc.h"

/* "NAME KEY=VALUE ...", as in the configuration. */
struct line {
	struct slice user, partition;
	struct slice policy;
	struct slice quotas[QUOTA_RESOURCES]; /* .ptr NULL: as for all */
};

static const char *const quota_keys[QUOTA_RESOURCES] = {
	[QUOTA_STORAGE] = "quota_storage",
	[QUOTA_MESSAGE] = "quota_messages",
	[QUOTA_MAILBOX] = "quota_mailboxes",
};

/* --- policies --------------------------------------------------------------------- */

struct question {
	const struct backendd *bd;
	bool known; /* logged in, or in a line of "account" */
};

typedef enum creator_verdict policy(const struct question *q);

/* An administrator makes them. */
static enum creator_verdict
off(const struct question *q)
{
	(void)q;
	return CREATOR_NO;
}

/* For those who are known to be users. */
static enum creator_verdict
reserve(const struct question *q)
{
	if (q->known)
		return CREATOR_YES;
	/* saslauthd knows no users, only passwords. */
	return strcmp(q->bd->conf->auth.pwcheck, "auxprop") == 0 ? CREATOR_ASK
	                                                         : CREATOR_NO;
}

/* For every name that turns up. */
static enum creator_verdict
trial(const struct question *q)
{
	(void)q;
	return CREATOR_YES;
}

static enum creator_verdict
automatic(const struct question *q)
{
	return q->bd->announce == NULL ? trial(q) : CREATOR_NO;
}

static const struct {
	const char *name;
	policy *wants;
} policies[] = {
	[AUTOCREATE_AUTO] = { "auto", automatic },
	[AUTOCREATE_YES] = { "yes", trial },
	[AUTOCREATE_NO] = { "no", off },
	[AUTOCREATE_TRIAL] = { "trial", trial },
	[AUTOCREATE_RESERVE] = { "reserve", reserve },
	[AUTOCREATE_OFF] = { "off", off },
};

/* --- lines of "account" ------------------------------------------------------------------ */

static bool
is_size(enum quota_resource r, struct slice text, uint64_t *n)
{
	return r == QUOTA_STORAGE ? conf_size(text, n)
	                          : ascii_number(text, INT64_MAX, n);
}

static bool
take_quota(struct line *l, struct slice key, struct slice value)
{
	uint64_t n;

	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		if (!slice_is(key, quota_keys[r]))
			continue;
		l->quotas[r] = value;
		return is_size((enum quota_resource)r, value, &n);
	}
	return false;
}

static policy *
policy_named(struct slice name)
{
	for (size_t i = 0; i < NITEMS(policies); i++)
		if (slice_is(name, policies[i].name))
			return policies[i].wants;
	return NULL;
}

static bool
read_line(const char *text, struct line *l)
{
	struct slice rest = slice_str(text), w;

	*l = (struct line){ .user = slice_word(&rest) };
	for (w = slice_word(&rest); w.len > 0; w = slice_word(&rest)) {
		size_t equals = slice_find(w, '=');
		struct slice key = slice_first(w, equals), value;

		value = slice_skip(w, equals < w.len ? equals + 1 : equals);
		if (slice_is(key, "partition") && value.len > 0)
			l->partition = value;
		else if (slice_is(key, "autocreate") &&
		         policy_named(value) != NULL)
			l->policy = value;
		else if (!take_quota(l, key, value))
			return false;
	}
	return l->user.len > 0;
}

static bool
is_partition(const struct conf_list *partitions, struct slice name)
{
	for (size_t i = 0; i < partitions->count; i++) {
		struct slice p = slice_str(partitions->items[i]);

		if (slice_equal(slice_first(p, slice_find(p, ' ')), name))
			return true;
	}
	return false;
}

int
creator_check(const struct conf_list *accounts,
    const struct conf_list *partitions, struct err *err)
{
	struct line l;

	for (size_t i = 0; i < accounts->count; i++) {
		if (!read_line(accounts->items[i], &l))
			return err_set(err,
			    "account = %s: not \"NAME KEY=VALUE ...\"",
			    accounts->items[i]);
		if (l.partition.len > 0 &&
		    !is_partition(partitions, l.partition))
			return err_set(err, "account = %s: no such partition",
			    accounts->items[i]);
	}
	return 0;
}

/* false: there is none; what is said of all holds. */
static bool
find_line(const struct backendd *bd, const char *user, struct line *l)
{
	const struct conf_list *accounts = &bd->conf->accounts;

	for (size_t i = 0; i < accounts->count; i++)
		if (read_line(accounts->items[i], l) && slice_is(l->user, user))
			return true;
	*l = (struct line){ 0 };
	return false;
}

/* --- asking ------------------------------------------------------------------------------ */

enum creator_verdict
creator_wants(const struct backendd *bd, const char *user,
    enum creator_cause cause)
{
	struct question q = { .bd = bd };
	struct line l;

	q.known = find_line(bd, user, &l) || cause == CREATOR_LOGIN;
	if (l.policy.len > 0)
		return policy_named(l.policy)(&q);
	return policies[bd->conf->autocreate].wants(&q);
}

void
creator_settings(const struct backendd *bd, const char *user, struct arena *a,
    struct creator_settings *s)
{
	uint64_t limits[QUOTA_RESOURCES] = {
		[QUOTA_STORAGE] = bd->conf->quota_storage,
		[QUOTA_MESSAGE] = bd->conf->quota_messages,
		[QUOTA_MAILBOX] = bd->conf->quota_mailboxes,
	};
	struct line l;

	(void)find_line(bd, user, &l);
	*s = (struct creator_settings){ .quota = quota_unlimited };
	if (l.partition.len > 0)
		s->partition = arena_string(a, l.partition);
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		if (l.quotas[r].ptr != NULL)
			(void)is_size((enum quota_resource)r, l.quotas[r],
			    &limits[r]); /* checked at start */
		if (limits[r] == 0)
			continue;
		s->quota.limit[r] =
		    r == QUOTA_STORAGE ? (limits[r] + 1023) / 1024 : limits[r];
		s->has_quota = true;
	}
}

struct asking {
	creator_cb *cb;
	void *arg;
};

static void
answered(void *arg, const struct auth_answer *a)
{
	struct asking *as = arg;
	enum creator_answer answer = CREATOR_UNKNOWN;

	if (a->result == AUTH_OK)
		answer = CREATOR_IS_USER;
	else if (a->result == AUTH_FAIL)
		answer = CREATOR_IS_NONE;
	as->cb(as->arg, answer);
	free(as);
}

void
creator_ask(struct backendd *bd, const char *user, creator_cb *cb, void *arg)
{
	struct auth_peer peer = { .service = "lmtp", .secure = true };
	struct asking *as = xcalloc(1, sizeof(*as));

	as->cb = cb;
	as->arg = arg;
	/* It ends by itself. */
	(void)auth_exists(bd->auth, &peer, slice_str(user), answered, as);
}
