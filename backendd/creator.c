#include <string.h>

#include "backendd/conf.h"
#include "backendd/creator.h"
#include "backendd/server.h"
#include "lib/arena.h"
#include "lib/ascii.h"
#include "lib/err.h"

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
	bool
	    known; /* has proved to be a user, or stands in a line of "account" */
};

typedef bool policy(const struct question *q);

/* An administrator makes them. */
static bool
off(const struct question *q)
{
	(void)q;
	return false;
}

/* For those who are known to be users. */
static bool
reserve(const struct question *q)
{
	return q->known;
}

/* For every name that turns up. */
static bool
trial(const struct question *q)
{
	(void)q;
	return true;
}

static bool
automatic(const struct question *q)
{
	return q->bd->announce == NULL && trial(q);
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

static struct slice
word(struct slice *s)
{
	struct slice w;

	while (s->len > 0 && s->ptr[0] == ' ')
		*s = slice_skip(*s, 1);
	w = slice_first(*s, slice_find(*s, ' '));
	*s = slice_skip(*s, w.len);
	return w;
}

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

	*l = (struct line){ .user = word(&rest) };
	for (w = word(&rest); w.len > 0; w = word(&rest)) {
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

bool
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
