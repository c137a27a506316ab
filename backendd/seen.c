#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "backendd/seen.h"
#include "backendd/store.h"
#include "backendd/users.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/list.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/wire.h"
#include "lib/xalloc.h"

enum {
	SEEN_VERSION = 1,
	SEEN_RECORD_MAX = 16 * 1024 * 1024,
	SEEN_RANGES_MAX = SEEN_RECORD_MAX / 8 - 1
};

/* Both included; ranges ascend and do not touch. */
struct range {
	uint32_t first, last;
};

struct waiter {
	TAILQ_ENTRY(waiter) link;
	seen_cb *cb;
	void *arg;
};

TAILQ_HEAD(waiters, waiter);

struct seen {
	struct seens *all;
	unsigned holds;
	struct range *ranges;
	size_t n;
	bool writing;           /* a record is on its way */
	struct waiters waiting; /* for the next one */
	struct waiters written; /* for that one */
	struct slice mailboxid; /* behind user, in its allocation */
	char *user;
};

struct seens {
	struct users *users;
	struct map open; /* user NUL mailboxid */
};

struct seens *
seens_new(struct users *u)
{
	struct seens *s = xcalloc(1, sizeof(*s));

	s->users = u;
	map_init(&s->open);
	return s;
}

void
seens_free(struct seens **sp)
{
	if (*sp == NULL)
		return;
	MUST(map_count(&(*sp)->open) == 0);
	map_fini(&(*sp)->open);
	free(*sp);
	*sp = NULL;
}

/* A record we cannot read is as none: nothing was seen. */
static void
decode(struct seen *s, struct slice octets)
{
	struct wire w;
	uint32_t n, end = 0;

	wire_init(&w, octets);
	if (octets.len == 0 || wire_u8(&w) != SEEN_VERSION)
		return;
	n = wire_u32(&w);
	if (n > w.rest.len / 8)
		return;
	s->ranges = xcalloc(n + 1, sizeof(s->ranges[0]));
	for (uint32_t i = 0; i < n; i++) {
		struct range r = { .first = wire_u32(&w) };

		r.last = wire_u32(&w);
		if (r.first <= end || r.last < r.first)
			break;
		s->ranges[s->n++] = r;
		end = r.last;
	}
}

static void
encode(const struct seen *s, struct buf *out)
{
	wire_put_u8(out, SEEN_VERSION);
	wire_put_u32(out, (uint32_t)s->n);
	for (size_t i = 0; i < s->n; i++) {
		wire_put_u32(out, s->ranges[i].first);
		wire_put_u32(out, s->ranges[i].last);
	}
}

static struct slice
key_of(const struct seen *s)
{
	return slice_of(s->user, strlen(s->user) + 1 + s->mailboxid.len);
}

static void
set_user(struct seen *s, const char *user, struct slice mailboxid)
{
	size_t n = strlen(user) + 1;
	char *old = s->user;

	s->user = xmalloc(n + mailboxid.len);
	memcpy(s->user, user, n);
	memcpy(s->user + n, mailboxid.ptr, mailboxid.len);
	s->mailboxid = slice_of(s->user + n, mailboxid.len);
	free(old);
}

struct seen *
seen_open(struct seens *all, const char *user, struct slice mailboxid)
{
	struct seen *s = xcalloc(1, sizeof(*s)), *open;
	struct arena a;

	set_user(s, user, mailboxid);
	open = map_find(&all->open, key_of(s));
	if (open != NULL) {
		free(s->user);
		free(s);
		open->holds++;
		return open;
	}
	s->all = all;
	s->holds = 1;
	TAILQ_INIT(&s->waiting);
	TAILQ_INIT(&s->written);
	arena_init(&a);
	decode(s, users_seen(all->users, user, mailboxid, &a));
	arena_reset(&a);
	map_put(&all->open, key_of(s), s);
	return s;
}

void
seen_close(struct seen **sp)
{
	struct seen *s = *sp;

	*sp = NULL;
	if (s == NULL || --s->holds > 0)
		return;
	MUST(!s->writing);
	if (map_find(&s->all->open, key_of(s)) == s)
		map_remove(&s->all->open, key_of(s));
	free(s->ranges);
	free(s->user);
	free(s);
}

struct mover {
	const char *from;
	struct seen **found;
	size_t n;
};

static bool
find_user(void *arg, struct slice key, void *value)
{
	struct mover *m = arg;
	struct seen *s = value;

	(void)key; /* the value says it too */
	if (strcmp(s->user, m->from) == 0)
		m->found[m->n++] = s;
	return true;
}

void
seens_move(struct seens *all, const char *from, const char *to)
{
	struct mover m = { .from = from };

	m.found = xcalloc(map_count(&all->open) + 1, sizeof(struct seen *));
	map_each(&all->open, find_user, &m);
	for (size_t i = 0; i < m.n; i++) {
		struct seen *s = m.found[i];

		(void)map_remove(&all->open, key_of(s)); /* that one */
		set_user(s, to, s->mailboxid);
		/* What the other has open already goes on beside it. */
		if (map_find(&all->open, key_of(s)) == NULL)
			(void)map_put(&all->open, key_of(s), s);
	}
	free(m.found);
}

/* Index of the first range that ends at or after uid. */
static size_t
lower(const struct seen *s, uint32_t uid)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->ranges[mid].last < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool
seen_has(const struct seen *s, uint32_t uid)
{
	size_t i = lower(s, uid);

	return i < s->n && s->ranges[i].first <= uid;
}

uint32_t
seen_count(const struct seen *s, const struct store_mailbox *mb)
{
	uint32_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += store_index_behind(mb, s->ranges[i].last) -
		     store_index(mb, s->ranges[i].first);
	return n;
}

/* From one stretch to the next: not message by message. */
uint32_t
seen_first_unseen(const struct seen *s, const struct store_mailbox *mb)
{
	uint32_t exists = store_numbers(mb)->exists, i = 0;

	for (size_t k = 0; k < s->n && i < exists; k++) {
		uint32_t last = s->ranges[k].last;

		if (store_at(mb, i)->uid < s->ranges[k].first)
			break;
		i = last == UINT32_MAX ? exists : store_index(mb, last + 1);
	}
	return i < exists ? i + 1 : 0;
}

static void
push(struct range *to, size_t *n, struct range r)
{
	if (*n > 0 && to[*n - 1].last + 1 >= r.first) {
		if (r.last > to[*n - 1].last)
			to[*n - 1].last = r.last;
		return;
	}
	to[(*n)++] = r;
}

/* One pass over both: room has to be for s->n + n ranges. */
static size_t
add(const struct seen *s, const uint32_t *uids, size_t n, struct range *to)
{
	size_t i = 0, made = 0;

	for (size_t j = 0; j < n; j++) {
		while (i < s->n && s->ranges[i].first <= uids[j])
			push(to, &made, s->ranges[i++]);
		push(to, &made, (struct range){ uids[j], uids[j] });
	}
	while (i < s->n)
		push(to, &made, s->ranges[i++]);
	return made;
}

static size_t
subtract(const struct seen *s, const uint32_t *uids, size_t n, struct range *to)
{
	size_t j = 0, made = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct range r = s->ranges[i];

		while (j < n && uids[j] < r.first)
			j++;
		for (; j < n && uids[j] <= r.last; j++) {
			if (uids[j] > r.first)
				to[made++] =
				    (struct range){ r.first, uids[j] - 1 };
			r.first = uids[j] + 1;
		}
		if (r.first <= r.last && r.first != 0)
			to[made++] = r;
	}
	return made;
}

static void write_record(struct seen *s);

static void
on_written(void *arg, bool failed)
{
	struct seen *s = arg;
	struct waiters done = TAILQ_HEAD_INITIALIZER(done);
	struct waiter *w;

	TAILQ_CONCAT(&done, &s->written, link);
	while ((w = TAILQ_FIRST(&done)) != NULL) {
		TAILQ_REMOVE(&done, w, link);
		w->cb(w->arg, failed ? "Seen state could not be stored" : NULL);
		free(w);
	}
	s->writing = false;
	if (!TAILQ_EMPTY(&s->waiting))
		write_record(s);
	seen_close(&s); /* write_record()'s hold */
}

static void
write_record(struct seen *s)
{
	struct buf record;

	MUST(!s->writing);
	s->writing = true;
	s->holds++;
	TAILQ_CONCAT(&s->written, &s->waiting, link);
	buf_init(&record, SEEN_RECORD_MAX);
	encode(s, &record);
	MUST(!buf_failed(&record)); /* SEEN_RANGES_MAX */
	users_set_seen(s->all->users, s->user, s->mailboxid, buf_slice(&record),
	    on_written, s);
	buf_fini(&record);
}

/* What is changed in memory stays so, should writing fail: it is a hint. */
void
seen_change(struct seen *s, const uint32_t *uids, size_t n, bool now_seen,
    seen_cb *cb, void *arg)
{
	struct range *ranges = xcalloc(s->n + n + 1, sizeof(*ranges));
	struct waiter *w = xcalloc(1, sizeof(*w));
	size_t made;

	made =
	    now_seen ? add(s, uids, n, ranges) : subtract(s, uids, n, ranges);
	if (made <= SEEN_RANGES_MAX) {
		free(s->ranges);
		s->ranges = ranges;
		s->n = made;
	} else {
		free(ranges);
	}
	w->cb = cb;
	w->arg = arg;
	TAILQ_INSERT_TAIL(&s->waiting, w, link);
	if (!s->writing)
		write_record(s);
}
