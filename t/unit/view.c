/*
 * The law of views: a client that does what EXISTS, EXPUNGE and FETCH say
 * agrees with the mailbox whenever nothing is pending; its numbers mean the
 * same in between.
 */
#include "backendd/letter.h"
#include "backendd/mailbox.h"
#include "backendd/seen.h"
#include "backendd/users.h"
#include "backendd/view.h"
#include "imap/acl.h"
#include "lib/ascii.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	CLIENTS = 4,
	MESSAGES_MAX = 600,
	FLAGS_MAX = 120
};

/* A message as a client has it. */
struct mirrored {
	uint32_t uid;
	char flags[FLAGS_MAX];
	bool known; /* flags; not of what was gone when it looked */
};

struct client {
	struct view *v;
	uint32_t n;
	struct mirrored msgs[MESSAGES_MAX];
	bool wrong;
	bool parks; /* is broken off now and then */
	bool owed;  /* HIGHESTMODSEQ was said to be less than it is */
	unsigned expunges, fetches;
};

static struct rig rig;
static struct mailboxes *boxes;
static uint32_t state;

/* --- letter.h: nothing is appended as a letter here --- */

struct slice
letter_octets(const struct letter *l)
{
	(void)l;
	return slice_of(NULL, 0);
}

struct slice
letter_cache(const struct letter *l)
{
	(void)l;
	return slice_of(NULL, 0);
}

const uint8_t *
letter_emailid(const struct letter *l)
{
	(void)l;
	return NULL;
}

/* --- users.h, as far as seen.c needs it --- */

static uint8_t kept[4096];
static size_t nkept;
static users_cb *written;
static void *written_arg;

struct slice
users_seen(struct users *u, const char *user, struct slice id, struct arena *a)
{
	(void)u, (void)user, (void)id, (void)a;
	return slice_of(kept, nkept);
}

void
users_set_seen(struct users *u, const char *user, struct slice id,
    struct slice record, users_cb *cb, void *arg)
{
	(void)u, (void)user, (void)id;
	MUST(record.len <= sizeof kept && written == NULL);
	memcpy(kept, record.ptr, record.len);
	nkept = record.len;
	written = cb;
	written_arg = arg;
}

static void
write_seen(void)
{
	users_cb *cb = written;

	written = NULL;
	if (cb != NULL)
		cb(written_arg, false);
}

static void
ignore(void *arg, const char *why)
{
	(void)arg, (void)why;
}

/* --- */

static uint32_t
below(uint32_t n)
{
	state = state * 1664525u + 1013904223u;
	return (state >> 8) % n;
}

static void
opened(void *arg, struct mailbox *m, const char *why)
{
	struct mailbox **mp = arg;

	*mp = m;
	rig_cb(&rig, why);
}

static struct mailbox *
open_box(const char *id)
{
	struct mailbox *m = NULL;

	rig_ask(&rig);
	mailbox_open(boxes, rig.store, slice_str(id), opened, &m);
	rig_wait(&rig);
	return m;
}

static struct view_options
options(const char *id, enum view_access access, struct seen *seen)
{
	return (struct view_options){ .access = access,
		.rights = ACL_ALL,
		.name = id,
		.seen = seen,
		.says = VIEW_SAYS_RECENT };
}

static struct view *
open_view(const char *id, enum view_access access, struct seen *seen)
{
	struct view_options o = options(id, access, seen);
	struct view *v = view_new(open_box(id), &o);

	view_begin(v);
	return v;
}

static void
resumed(void *arg, const char *why)
{
	(void)arg;
	rig_cb(&rig, why);
}

/* What the client's connection was to is gone but for a few numbers. */
static void
resume(struct view *v, void (*meanwhile)(void *arg), void *arg)
{
	if (meanwhile != NULL)
		meanwhile(arg);
	rig_ask(&rig);
	view_resume(v, resumed, NULL);
	rig_wait(&rig);
}

static void
park_and_resume(struct view *v, void (*meanwhile)(void *arg), void *arg)
{
	MUST(view_park(v));
	resume(v, meanwhile, arg);
}

/* What FETCH (FLAGS) would say, without \Recent: that is nobody else's. */
static void
look(struct client *c, uint32_t seq)
{
	struct mirrored *m = &c->msgs[seq - 1];
	const struct store_msg *msg;
	struct buf b;
	struct slice s;

	m->uid = view_uid_of(c->v, seq);
	msg = view_message(c->v, m->uid);
	m->known = msg != NULL;
	if (msg == NULL)
		return;
	buf_init(&b, FLAGS_MAX);
	view_put_flags(c->v, msg, &b);
	s = buf_slice(&b);
	if (slice_starts(s, slice_str("\\Recent")))
		s = slice_trim(slice_skip(s, 7));
	snprintf(m->flags, sizeof m->flags, "%.*s", (int)s.len,
	    (const char *)s.ptr);
	buf_fini(&b);
}

static uint32_t
number(struct slice *s)
{
	uint32_t n = 0;

	while (s->len > 0 && ascii_digit(s->ptr[0])) {
		n = n * 10 + (s->ptr[0] - '0');
		*s = slice_skip(*s, 1);
	}
	return n;
}

static void
take_flags(struct mirrored *m, struct slice s)
{
	size_t at = 0;

	while (!slice_starts(slice_skip(s, at), slice_str("FLAGS (")))
		at++;
	s = slice_skip(s, at + 7);
	s = slice_first(s, slice_find(s, ')'));
	if (slice_starts(s, slice_str("\\Recent")))
		s = slice_trim(slice_skip(s, 7));
	snprintf(m->flags, sizeof m->flags, "%.*s", (int)s.len,
	    (const char *)s.ptr);
	m->known = true;
}

/* " (UID u[ MODSEQ (m)] FLAGS (...))" */
static void
hear_fetch(struct client *c, uint32_t seq, struct slice s)
{
	struct mirrored *m = &c->msgs[seq - 1];

	c->fetches++;
	s = slice_skip(s, strlen(" (UID "));
	if (number(&s) != m->uid)
		c->wrong = true;
	else
		take_flags(m, s);
}

static void
remove_one(struct client *c, uint32_t seq)
{
	c->expunges++;
	memmove(&c->msgs[seq - 1], &c->msgs[seq],
	    (--c->n - (seq - 1)) * sizeof c->msgs[0]);
}

/* 0 if it has none such. */
static uint32_t
seq_of(const struct client *c, uint32_t uid)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->msgs[i].uid == uid)
			return i + 1;
	return 0;
}

static void
hear_vanished(struct client *c, struct slice s)
{
	while (s.len > 0) {
		uint32_t first = number(&s), last = first;

		if (s.len > 0 && s.ptr[0] == ':') {
			s = slice_skip(s, 1);
			last = number(&s);
		}
		for (; first <= last; first++) {
			uint32_t seq = seq_of(c, first);

			c->wrong |= seq == 0;
			if (seq != 0)
				remove_one(c, seq);
		}
		s = slice_skip(s, s.len > 0); /* the comma */
	}
}

static void
hear_uidfetch(struct client *c, uint32_t uid, struct slice s)
{
	uint32_t seq = seq_of(c, uid);

	c->wrong |= seq == 0;
	c->fetches++;
	if (seq != 0)
		take_flags(&c->msgs[seq - 1], s);
}

static void
hear_number(struct client *c, struct slice s)
{
	uint32_t seq = number(&s);

	s = slice_skip(s, 1);
	if (slice_is(s, "RECENT"))
		return;
	if (slice_is(s, "EXISTS")) {
		c->wrong |= seq < c->n;
		while (c->n < seq)
			look(c, ++c->n);
	} else if (slice_starts(s, slice_str("UIDFETCH"))) {
		hear_uidfetch(c, seq, slice_skip(s, 8));
	} else if (seq == 0 || seq > c->n) {
		c->wrong = true;
	} else if (slice_is(s, "EXPUNGE")) {
		remove_one(c, seq);
	} else if (slice_starts(s, slice_str("FETCH"))) {
		hear_fetch(c, seq, slice_skip(s, 5));
	} else {
		c->wrong = true;
	}
}

static void
hear_line(struct client *c, struct slice s)
{
	s = slice_skip(s, 2);
	if (slice_starts(s, slice_str("FLAGS")))
		return;
	if (slice_starts(s, slice_str("VANISHED ")))
		hear_vanished(c, slice_skip(s, 9));
	else if (slice_starts(s, slice_str("OK [HIGHESTMODSEQ ")))
		c->owed = slice_starts(slice_skip(s, slice_find(s, ']')),
		    slice_str("] Expunges"));
	else
		hear_number(c, s);
}

static void
hear(struct client *c, struct buf *out)
{
	struct slice s = buf_slice(out);

	while (s.len > 0) {
		size_t end = slice_find(s, '\r');

		hear_line(c, slice_first(s, end));
		s = slice_skip(s, end + 2);
	}
}

/* In buffers with hardly any room, one after another. */
static bool
tell_some(struct client *c, enum view_tell how)
{
	struct buf out;
	bool all;

	buf_init(&out, VIEW_ROOM + below(300));
	all = view_tell(c->v, how, &out);
	MUST(!buf_failed(&out));
	hear(c, &out);
	buf_fini(&out);
	return all;
}

static bool
tell_all(struct client *c, enum view_tell how)
{
	unsigned before = c->expunges;

	while (!tell_some(c, how))
		continue;
	return how == VIEW_EVERYTHING || c->expunges == before;
}

/* Numbers mean what they meant. */
static bool
numbers_hold(const struct client *c)
{
	if (view_count(c->v) != c->n)
		return false;
	for (uint32_t seq = 1; seq <= c->n; seq++)
		if (view_uid_of(c->v, seq) != c->msgs[seq - 1].uid ||
		    view_seq_of(c->v, c->msgs[seq - 1].uid) != seq)
			return false;
	return view_uid_of(c->v, c->n + 1) == 0 && view_uid_of(c->v, 0) == 0;
}

static bool
agrees(const struct client *c)
{
	const struct store_mailbox *mb = mailbox_store(view_mailbox(c->v));
	static struct client truth;

	truth.v = c->v;
	if (c->n != store_numbers(mb)->exists || c->owed ||
	    view_pending(c->v, VIEW_EVERYTHING))
		return false;
	for (uint32_t i = 0; i < c->n; i++) {
		const struct mirrored *m = &c->msgs[i];

		look(&truth, i + 1);
		if (m->uid != store_at(mb, i)->uid || !m->known ||
		    strcmp(m->flags, truth.msgs[i].flags) != 0) {
			printf("# %u: uid %u has '%s', is '%s'\n", i + 1,
			    m->uid, m->flags, truth.msgs[i].flags);
			return false;
		}
	}
	return true;
}

static void
random_append(struct store_mailbox *mb)
{
	struct store_append a[3] = { 0 };
	size_t n = 1 + below(3);

	for (size_t i = 0; i < n; i++)
		a[i] = (struct store_append){ .octets = slice_str("x"),
			.flags = below(STORE_FLAGS + 1) };
	rig_append(&rig, mb, a, n);
}

static size_t
random_uids(struct store_mailbox *mb, uint32_t *uids, size_t most)
{
	uint32_t exists = store_numbers(mb)->exists;
	uint32_t step = 1 + below(5);
	size_t n = 0;

	for (uint32_t i = below(exists + 1); i < exists && n < most; i += step)
		uids[n++] = store_at(mb, i)->uid;
	return n;
}

/* By one of the clients or, if it is NULL, by somebody else. */
static void
random_change(struct store_mailbox *mb, struct client *by)
{
	struct store_change c[40] = { 0 };
	uint32_t uids[40], set = below(STORE_FLAGS + 1);
	size_t n = random_uids(mb, uids, below(2) ? 3 : NITEMS(uids));
	int k =
	    store_keyword_add(mb, slice_str(below(2) ? "$Forwarded" : "Junk"));
	uint64_t modseq = 0;

	for (size_t i = 0; i < n; i++)
		c[i] = (struct store_change){ .uid = uids[i],
			.clear = below(2) ? STORE_FLAGS : 0,
			.set = set,
			.set_keywords = { (uint64_t)below(2) << k } };
	rig_change(&rig, mb, c, n);
	for (size_t i = 0; i < n && by != NULL; i++) {
		uint32_t seq = view_seq_of(by->v, uids[i]);

		if (c[i].outcome == STORE_DONE)
			modseq = store_find(mb, uids[i])->modseq;
		if (seq != 0 && seq <= by->n)
			look(by, seq); /* STORE's own response */
	}
	if (modseq != 0 && by != NULL)
		view_own_change(by->v, modseq);
}

static void
random_expunge(struct store_mailbox *mb)
{
	uint32_t uids[40];
	size_t n = random_uids(mb, uids, below(3) ? 3 : NITEMS(uids));

	rig_expunge(&rig, mb, uids, n);
}

static void
random_seen(struct client *c)
{
	struct store_mailbox *mb = mailbox_store(view_mailbox(c->v));
	struct store_change touch[40] = { 0 };
	uint32_t uids[40];
	size_t n = random_uids(mb, uids, below(2) ? 3 : NITEMS(uids));

	for (size_t i = 0; i < n; i++)
		touch[i] =
		    (struct store_change){ .uid = uids[i], .touch = true };
	seen_change(view_seen(c->v), uids, n, below(2), ignore, NULL);
	write_seen();
	rig_change(&rig, mb, touch, n);
}

/* While a client is parked. */
static void
random_others(void *arg)
{
	if (below(2))
		random_append(arg);
	random_change(arg, NULL);
	random_expunge(arg);
}

static void
random_step(struct client *clients, struct store_mailbox *mb)
{
	struct client *c = &clients[below(CLIENTS)];
	uint32_t dice = below(100);

	if (dice < 25 && store_numbers(mb)->exists < 150)
		random_append(mb);
	else if (dice < 45)
		random_change(mb, below(2) ? c : NULL);
	else if (dice < 55)
		random_expunge(mb);
	else if (dice < 62 && view_seen(c->v) != NULL)
		random_seen(c);
	else if (dice < 70 && c->parks && view_park(c->v))
		resume(c->v, random_others, mb);
	else if (dice < 80)
		(void)tell_some(c, VIEW_NUMBERS_HOLD);
	else
		(void)tell_some(c, VIEW_EVERYTHING);
}

/* Is the first that he has not seen found as if all were looked at? */
static bool
own_unseen_is_found(const struct view *v)
{
	const struct store_mailbox *mb = mailbox_store(view_mailbox(v));
	uint32_t exists = store_numbers(mb)->exists, i = 0;

	while (i < exists && seen_has(view_seen(v), store_at(mb, i)->uid))
		i++;
	return seen_first_unseen(view_seen(v), mb) == (i < exists ? i + 1 : 0);
}

/* As the clients of test_law() want it said. */
static const struct {
	bool seen, parks;
	unsigned says;
} kinds[CLIENTS] = {
	{ false, true, VIEW_SAYS_RECENT },
	{ false, true, VIEW_SAYS_MODSEQ | VIEW_SAYS_VANISHED },
	{ true, false, VIEW_SAYS_RECENT | VIEW_SAYS_MODSEQ },
	{ true, false, VIEW_SAYS_VANISHED | VIEW_SAYS_UIDFETCH },
};

static void
test_law(uint32_t seed)
{
	static struct client clients[CLIENTS];
	struct seens *seens = seens_new(NULL);
	struct mailbox *m;
	bool held = true, agreed = true, silent = true, wrong = false;
	bool found = true;
	char id[16];

	state = seed;
	nkept = 0;
	snprintf(id, sizeof id, "law-%u", seed);
	rig_create(&rig, id, "");
	m = open_box(id);
	random_append(mailbox_store(m));
	for (size_t i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){ 0 };
		clients[i].v =
		    open_view(id, i == 0 ? VIEW_READ_ONLY : VIEW_READ_WRITE,
		        kinds[i].seen ? seen_open(seens, "joe", slice_str(id))
		                      : NULL);
		view_set_says(clients[i].v, kinds[i].says);
		clients[i].parks = kinds[i].parks;
		while (clients[i].n < view_count(clients[i].v))
			look(&clients[i], ++clients[i].n);
	}
	for (unsigned i = 0; i < 400; i++) {
		random_step(clients, mailbox_store(m));
		for (size_t k = 0; k < CLIENTS; k++)
			held = held && numbers_hold(&clients[k]);
		found = found && own_unseen_is_found(clients[2].v);
		if (i % 40 != 39)
			continue;
		for (size_t k = 0; k < CLIENTS; k++) {
			silent = silent &&
			         tell_all(&clients[k], VIEW_NUMBERS_HOLD) &&
			         numbers_hold(&clients[k]);
			(void)tell_all(&clients[k], VIEW_EVERYTHING);
			agreed = agreed && agrees(&clients[k]);
		}
	}
	ok(held, "seed %u: numbers mean the same until EXPUNGE", seed);
	ok(found, "seed %u: the first of them that he has not seen", seed);
	ok(silent, "seed %u: no EXPUNGE when that is not allowed", seed);
	ok(agreed, "seed %u: all clients agree when told all", seed);
	for (size_t i = 0; i < CLIENTS; i++) {
		wrong = wrong || clients[i].wrong;
		view_free(&clients[i].v);
	}
	ok(!wrong, "seed %u: everything said made sense", seed);
	ok(clients[0].expunges > 0 && clients[0].fetches > 0,
	    "seed %u: and much was said", seed);
	mailbox_release(&m);
	seens_free(&seens);
}

static void
test_recent(void)
{
	struct mailbox *m;
	struct view *first, *second, *looker;
	struct buf out;

	rig_create(&rig, "recent", "");
	m = open_box("recent");
	state = 1;
	random_append(mailbox_store(m));
	looker = open_view("recent", VIEW_READ_ONLY, NULL);
	ok(view_recent(looker) == view_count(looker), "EXAMINE sees \\Recent");
	first = open_view("recent", VIEW_READ_WRITE, NULL);
	ok(view_recent(first) == view_count(first), "and does not take it");
	second = open_view("recent", VIEW_READ_WRITE, NULL);
	ok(view_recent(second) == 0, "SELECT does");
	random_append(mailbox_store(m));
	buf_init(&out, 1 << 20);
	ok(view_tell(second, VIEW_EVERYTHING, &out) && view_recent(second) > 0,
	    "what comes is \\Recent to the first that is told");
	ok(view_tell(first, VIEW_EVERYTHING, &out) &&
	        view_recent(first) + view_recent(second) == view_count(first),
	    "and to no other");
	ok(view_is_recent(first, 1) && !view_is_recent(second, 1),
	    "and stays so");
	buf_fini(&out);
	view_free(&first);
	view_free(&second);
	view_free(&looker);
	mailbox_release(&m);
}

/* Everything that is to be said, in words. */
static void
put_all(struct view *v, struct buf *out)
{
	while (!view_tell(v, VIEW_EVERYTHING, out))
		continue;
}

/* Changes of which one client hears at once, and the other when resumed. */
static void
changes(void *arg)
{
	struct store_mailbox *mb = arg;

	for (unsigned i = 0; i < 3; i++) {
		random_append(mb);
		random_change(mb, NULL);
		random_expunge(mb);
	}
}

static void
test_parked(void)
{
	struct mailbox *m;
	struct view *whole, *broken;
	struct buf a, b;
	bool same = true;

	rig_create(&rig, "parked", "");
	m = open_box("parked");
	state = 7;
	for (unsigned i = 0; i < 40; i++)
		random_append(mailbox_store(m));
	whole = open_view("parked", VIEW_READ_ONLY, NULL);
	broken = open_view("parked", VIEW_READ_ONLY, NULL);
	buf_init(&a, 1 << 20);
	buf_init(&b, 1 << 20);
	for (unsigned i = 0; i < 30 && same; i++) {
		view_set_says(whole, i < 15 ? 0 : kinds[1].says);
		view_set_says(broken, view_says(whole));
		if (i % 3 == 0)
			random_expunge(mailbox_store(m));
		park_and_resume(broken, changes, mailbox_store(m));
		for (uint32_t n = 0; n <= view_count(whole); n++)
			same = same &&
			       view_uid_of(whole, n) == view_uid_of(broken, n);
		buf_clear(&a);
		buf_clear(&b);
		put_all(whole, &a);
		put_all(broken, &b);
		same = same && buf_len(&a) > 0 && buf_len(&a) == buf_len(&b) &&
		       view_count(whole) == view_count(broken);
	}
	ok(same, "a view that was parked says as much as one that was not");
	ok(view_count(whole) > 0, "of a mailbox that is not empty");
	view_free(&whole);
	park_and_resume(broken, NULL, NULL);
	ok(!view_pending(broken, VIEW_EVERYTHING), "nothing is new to it then");
	view_free(&broken);
	buf_fini(&a);
	buf_fini(&b);
	mailbox_release(&m);
}

/* Others' changes and one's own, told and not told. */
static void
test_own(void)
{
	struct store_change c = { .uid = 1, .touch = true };
	struct mailbox *m;
	struct view *v;
	struct buf out;

	rig_create(&rig, "own", "");
	m = open_box("own");
	random_append(mailbox_store(m));
	v = open_view("own", VIEW_READ_WRITE, NULL);
	view_set_says(v, 0);
	buf_init(&out, 1 << 20);
	rig_change(&rig, mailbox_store(m), &c, 1);
	view_own_change(v, store_find(mailbox_store(m), 1)->modseq);
	put_all(v, &out);
	ok(buf_len(&out) == 0, "one's own change is not told");
	rig_change(&rig, mailbox_store(m), &c, 1);
	rig_change(&rig, mailbox_store(m), &c, 1);
	view_own_change(v, store_find(mailbox_store(m), 1)->modseq);
	put_all(v, &out);
	ok(buf_len(&out) > 0, "another's before it is");
	buf_fini(&out);
	view_free(&v);
	mailbox_release(&m);
}

static uint32_t
first_unseen(const struct store_mailbox *mb)
{
	for (uint32_t i = 0; i < store_numbers(mb)->exists; i++)
		if (!(store_at(mb, i)->flags & STORE_SEEN))
			return i + 1;
	return 0;
}

/* What is remembered of \Seen is what a look would find. */
static void
test_unseen(void)
{
	struct mailbox *m;
	bool same = true, some = false;

	rig_create(&rig, "unseen", "");
	m = open_box("unseen");
	state = 3;
	for (unsigned i = 0; i < 200; i++) {
		uint32_t want;

		if (i % 5 == 0)
			random_append(mailbox_store(m));
		if (i % 7 == 0)
			random_expunge(mailbox_store(m));
		random_change(mailbox_store(m), NULL);
		want = first_unseen(mailbox_store(m));
		some = some || want > 5;
		same = same && mailbox_first_unseen(m) == want;
	}
	ok(same && some, "the first message without \\Seen");
	mailbox_release(&m);
}

/* More changes than a mailbox remembers. */
static void
test_many(void)
{
	enum {
		MANY = 5000
	};
	struct store_append *a = xcalloc(MANY, sizeof *a);
	struct store_change *c = xcalloc(MANY, sizeof *c);
	struct mailbox *m;
	struct view *v;
	struct buf out;
	unsigned lines = 0;

	rig_create(&rig, "many", "");
	m = open_box("many");
	for (uint32_t i = 0; i < MANY; i++) {
		a[i].octets = slice_str("x");
		c[i] = (struct store_change){ .uid = i + 1, .set = 1 };
	}
	for (size_t i = 0; i < MANY; i += 1000) {
		rig_ask(&rig);
		store_append(mailbox_store(m), a + i, 1000, rig_cb, &rig);
		rig_wait(&rig);
	}
	v = open_view("many", VIEW_READ_ONLY, NULL);
	for (size_t i = 0; i < MANY; i += 1000) {
		rig_ask(&rig);
		store_change(mailbox_store(m), c + i, 1000, UINT64_MAX, rig_cb,
		    &rig);
		rig_wait(&rig);
	}
	buf_init(&out, 1 << 20);
	put_all(v, &out);
	for (size_t i = 0; i < buf_len(&out); i++)
		lines += buf_data(&out)[i] == '\n';
	ok(lines == MANY, "many changes are all told, and once");
	buf_fini(&out);
	view_free(&v);
	mailbox_release(&m);
	free(a);
	free(c);
}

static void
note(void *arg, enum view_event ev)
{
	*(unsigned *)arg += ev == VIEW_LOST;
}

static void
evicted(void *arg)
{
	(void)arg;
	rig_came(&rig);
}

static void
test_lost(void)
{
	struct mailbox *m;
	struct view *v;
	unsigned lost = 0;

	rig_create(&rig, "lost", "");
	v = open_view("lost", VIEW_READ_WRITE, NULL);
	random_append(mailbox_store(view_mailbox(v)));
	view_watch(v, note, &lost);
	m = open_box("lost");
	rig_ask(&rig);
	mailbox_evict(boxes, rig.store, slice_str("lost"), evicted, NULL);
	ok(lost == 1 && view_lost(v), "a view is told that it is lost");
	ok(view_count(v) == 0 && view_uid_of(v, 1) == 0 &&
	        !view_pending(v, VIEW_EVERYTHING),
	    "and is empty");
	ok(rig.due == 1, "eviction waits for the last hold");
	mailbox_release(&m);
	rig_wait(&rig);
	ok(rig.due == 0, "and then is done");
	ok(open_box("lost") == NULL, "nobody may open it");
	mailbox_forgive(boxes, rig.store, slice_str("lost"));
	m = open_box("lost");
	ok(m != NULL, "until that is forgiven");
	mailbox_release(&m);
	view_free(&v);
}

static void
test_open_once(void)
{
	struct mailbox *a, *b;

	rig_create(&rig, "once", "");
	a = open_box("once");
	b = open_box("once");
	ok(a == b, "a mailbox is open once");
	mailbox_release(&a);
	mailbox_release(&b);
	a = open_box("once");
	ok(a == b || a != NULL, "and again after the last has left");
	mailbox_release(&a);
	ok(open_box("never") == NULL && rig.why[0] != '\0',
	    "one that is not there says so");
	ok(open_box("never") == NULL, "twice");
}

int
main(void)
{
	char dir[64];

	tempdir_make(dir);
	if (rig_start(&rig, &spool_module, dir) == -1)
		return 1;
	boxes = mailboxes_new(rig.loop);
	test_open_once();
	test_recent();
	test_lost();
	test_parked();
	test_own();
	test_many();
	test_unseen();
	for (uint32_t seed = 1; seed <= 12; seed++)
		test_law(seed);
	mailboxes_free(&boxes);
	rig_stop(&rig);
	tempdir_remove(dir);
	return done_testing();
}
