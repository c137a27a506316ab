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

static struct view *
open_view(const char *id, enum view_access access, struct seen *seen)
{
	struct view_options o = { .access = access,
		.rights = ACL_ALL,
		.name = id,
		.seen = seen,
		.recent_wanted = true };
	struct view *v = view_new(open_box(id), &o);

	view_begin(v);
	return v;
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

/* " (UID u[ MODSEQ (m)] FLAGS (...))" */
static void
hear_fetch(struct client *c, uint32_t seq, struct slice s)
{
	struct mirrored *m = &c->msgs[seq - 1];
	size_t at = 0;

	c->fetches++;
	s = slice_skip(s, strlen(" (UID "));
	if (number(&s) != m->uid) {
		c->wrong = true;
		return;
	}
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

static void
hear_line(struct client *c, struct slice s)
{
	uint32_t seq;

	s = slice_skip(s, 2);
	if (slice_starts(s, slice_str("FLAGS")))
		return;
	seq = number(&s);
	s = slice_skip(s, 1);
	if (slice_is(s, "RECENT"))
		return;
	if (slice_is(s, "EXISTS")) {
		c->wrong |= seq < c->n;
		while (c->n < seq)
			look(c, ++c->n);
		return;
	}
	if (seq == 0 || seq > c->n) {
		c->wrong = true;
	} else if (slice_is(s, "EXPUNGE")) {
		c->expunges++;
		memmove(&c->msgs[seq - 1], &c->msgs[seq],
		    (--c->n - (seq - 1)) * sizeof c->msgs[0]);
	} else if (slice_starts(s, slice_str("FETCH"))) {
		hear_fetch(c, seq, slice_skip(s, 5));
	} else {
		c->wrong = true;
	}
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
	if (c->n != store_numbers(mb)->exists ||
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
	rig_ask(&rig);
	store_append(mb, a, n, rig_cb, &rig);
	rig_wait(&rig);
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
	rig_ask(&rig);
	store_change(mb, c, n, UINT64_MAX, rig_cb, &rig);
	rig_wait(&rig);
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

	rig_ask(&rig);
	store_expunge(mb, uids, n, 0, rig_cb, &rig);
	rig_wait(&rig);
}

static void
random_seen(struct client *c)
{
	uint32_t uids[40];
	size_t n = random_uids(mailbox_store(view_mailbox(c->v)), uids,
	    below(2) ? 3 : NITEMS(uids));

	view_change_seen(c->v, VIEW_SAY, uids, n, below(2), ignore, NULL);
	write_seen();
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
	else if (dice < 80)
		(void)tell_some(c, VIEW_NUMBERS_HOLD);
	else
		(void)tell_some(c, VIEW_EVERYTHING);
}

static void
test_law(uint32_t seed)
{
	static struct client clients[CLIENTS];
	struct seens *seens = seens_new(NULL);
	struct mailbox *m;
	bool held = true, agreed = true, silent = true, wrong = false;
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
		        i < 2 ? NULL : seen_open(seens, "joe", slice_str(id)));
		if (i == 1)
			view_set_condstore(clients[i].v);
		while (clients[i].n < view_count(clients[i].v))
			look(&clients[i], ++clients[i].n);
	}
	for (unsigned i = 0; i < 400; i++) {
		random_step(clients, mailbox_store(m));
		for (size_t k = 0; k < CLIENTS; k++)
			held = held && numbers_hold(&clients[k]);
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

static void
note(void *arg)
{
	++*(unsigned *)arg;
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
	view_on_lost(v, note, &lost);
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
	for (uint32_t seed = 1; seed <= 12; seed++)
		test_law(seed);
	mailboxes_free(&boxes);
	rig_stop(&rig);
	tempdir_remove(dir);
	return done_testing();
}
