/*
 * Nodes are messages, and ids that no message here has (dummies).  A node knows
 * its parent only; lists of children are made when all parents are known.
 */
#include <stdlib.h>
#include <string.h>

#include "imap/casefold.h"
#include "imap/header.h"
#include "imap/msgid.h"
#include "imap/subject.h"
#include "imap/thread.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	NONE = 0,          /* no node: the first is number 1 */
	NUMBER_OCTETS = 14 /* a number, a space, a pair of parentheses */
};

/* Up from parents, in search of loops: no mail needs so many. */
#define STEPS_MAX UINT64_C(100000000)

struct digest {
	uint64_t a, b;
};

struct node {
	struct digest id;
	uint32_t message; /* 1 is the first; 0: a dummy */
	uint32_t parent;
	bool was_parent; /* so a loop is possible */
	/* Made by link_children(). */
	uint32_t child, next; /* the first; the sibling after it */
};

struct message {
	uint32_t number, node;
	int64_t sent;
	struct digest subject;
	bool has_subject, reply;
};

struct thread {
	enum thread_algorithm how;
	uint64_t key[4];
	struct message *messages; /* [0] is not used */
	size_t nmessages, messages_room;
	struct node *nodes; /* [0] is not used */
	size_t nnodes, nodes_room;
	uint32_t *table; /* of ids: open addressing, a power of two */
	size_t table_size;
	uint32_t *order; /* messages by sent date */
	uint64_t steps;  /* so far, of STEPS_MAX */
};

struct thread *
thread_new(enum thread_algorithm how, const uint64_t key[4])
{
	struct thread *t = xcalloc(1, sizeof(*t));

	t->how = how;
	memcpy(t->key, key, sizeof(t->key));
	t->nmessages = t->nnodes = 1;
	return t;
}

void
thread_free(struct thread **tp)
{
	struct thread *t = *tp;

	*tp = NULL;
	if (t == NULL)
		return;
	free(t->messages);
	free(t->nodes);
	free(t->table);
	free(t->order);
	free(t);
}

static struct digest
digest_of(const struct thread *t, struct slice s)
{
	return (struct digest){ hash_sip(t->key, s), hash_sip(t->key + 2, s) };
}

static bool
same(struct digest x, struct digest y)
{
	return x.a == y.a && x.b == y.b;
}

/* --- nodes ------------------------------------------------------------------ */

static uint32_t
add_node(struct thread *t, struct digest id)
{
	if (t->nnodes >= t->nodes_room) {
		t->nodes_room = t->nodes_room == 0 ? 64 : t->nodes_room * 2;
		t->nodes =
		    xreallocarray(t->nodes, t->nodes_room, sizeof(t->nodes[0]));
	}
	t->nodes[t->nnodes] = (struct node){ .id = id };
	return (uint32_t)t->nnodes++;
}

static size_t
place_of(const struct thread *t, struct digest id)
{
	size_t at = (size_t)id.a & (t->table_size - 1);

	while (t->table[at] != NONE && !same(t->nodes[t->table[at]].id, id))
		at = (at + 1) & (t->table_size - 1);
	return at;
}

static void
grow_table(struct thread *t)
{
	uint32_t *old = t->table;
	size_t size = t->table_size;

	t->table_size = size == 0 ? 256 : size * 2;
	t->table = xcalloc(t->table_size, sizeof(t->table[0]));
	for (size_t i = 0; i < size; i++)
		if (old[i] != NONE)
			t->table[place_of(t, t->nodes[old[i]].id)] = old[i];
	free(old);
}

/* The node with this id; made if there is none. */
static uint32_t
node_of(struct thread *t, struct digest id)
{
	size_t at;

	if (2 * t->nnodes >= t->table_size)
		grow_table(t);
	at = place_of(t, id);
	if (t->table[at] == NONE)
		t->table[at] = add_node(t, id);
	return t->table[at];
}

static bool
descends(struct thread *t, uint32_t node, uint32_t from)
{
	for (; node != NONE && node != from; t->steps++)
		node = t->nodes[node].parent;
	return node != NONE;
}

static void
link_to(struct thread *t, uint32_t child, uint32_t parent)
{
	if (child == parent || t->steps > STEPS_MAX ||
	    (t->nodes[child].was_parent && descends(t, parent, child)))
		return;
	t->nodes[child].parent = parent;
	t->nodes[parent].was_parent = true;
}

/* --- a message comes in ----------------------------------------------------- */

/* What is read of a message's header. */
struct reading {
	struct arena arena;
	struct slice subject, id, references, in_reply_to;
};

static void
read_fields(struct reading *r, struct slice headers)
{
	struct header_iter it;
	struct header_field f;

	header_init(&it, headers);
	while (header_next(&it, &f)) {
		struct slice *s = NULL;

		if (slice_is_nocase(f.name, "Subject"))
			s = &r->subject;
		else if (slice_is_nocase(f.name, "Message-ID"))
			s = &r->id;
		else if (slice_is_nocase(f.name, "References"))
			s = &r->references;
		else if (slice_is_nocase(f.name, "In-Reply-To"))
			s = &r->in_reply_to;
		if (s != NULL && s->ptr == NULL)
			*s = f.value;
	}
}

static void
take_subject(struct thread *t, struct reading *r, struct message *m)
{
	struct subject s;
	struct buf folded;

	subject_base(&r->arena, r->subject, &s);
	buf_init(&folded, s.base.len * CASEFOLD_GROWTH + 1);
	casefold_put(&folded, s.base);
	m->reply = s.reply;
	m->has_subject = s.base.len > 0;
	m->subject = digest_of(t, buf_slice(&folded));
	buf_fini(&folded);
}

/* Of the first id in a field; NONE: it has none. */
static uint32_t
node_of_first(struct thread *t, struct reading *r, struct slice field)
{
	struct msgid_iter it;
	struct slice id;

	msgid_init(&it, field);
	if (!msgid_next(&it, &r->arena, &id))
		return NONE;
	return node_of(t, digest_of(t, id));
}

/* RFC 5256 3, REFERENCES (1) (A): its own node. */
static uint32_t
own_node(struct thread *t, struct reading *r)
{
	uint32_t node = node_of_first(t, r, r->id);

	if (node == NONE || t->nodes[node].message != 0)
		node = add_node(t, (struct digest){ 0 }); /* not in the table */
	return node;
}

/* The rest of (A): links between what it refers to.  Gives the last. */
static uint32_t
link_references(struct thread *t, struct reading *r)
{
	struct msgid_iter it;
	struct slice id;
	uint32_t last = NONE;

	msgid_init(&it, r->references);
	while (msgid_next(&it, &r->arena, &id)) {
		uint32_t node = node_of(t, digest_of(t, id));

		if (last != NONE && t->nodes[node].parent == NONE)
			link_to(t, node, last);
		last = node;
	}
	return last != NONE ? last : node_of_first(t, r, r->in_reply_to);
}

static void
take_references(struct thread *t, struct reading *r, struct message *m,
    uint32_t number)
{
	uint32_t last;

	m->node = own_node(t, r);
	t->nodes[m->node].message = number;
	last = link_references(t, r);
	/* (B): what others said of its parent counts no more. */
	t->nodes[m->node].parent = NONE;
	if (last != NONE)
		link_to(t, m->node, last);
}

bool
thread_add(struct thread *t, const struct thread_message *m)
{
	struct message *to;
	struct reading r = { .subject = { 0 } };
	uint32_t number = (uint32_t)t->nmessages;

	MUST(t->order == NULL);
	/* An id has two octets at least, and a comma or brackets. */
	if (t->nnodes + m->headers.len / 4 + 2 > THREAD_IDS_MAX)
		return false;
	if (t->nmessages >= t->messages_room) {
		t->messages_room =
		    t->messages_room == 0 ? 64 : t->messages_room * 2;
		t->messages = xreallocarray(t->messages, t->messages_room,
		    sizeof(t->messages[0]));
	}
	to = &t->messages[t->nmessages++];
	*to = (struct message){ .number = m->number, .sent = m->sent };
	arena_init(&r.arena);
	read_fields(&r, m->headers);
	take_subject(t, &r, to);
	if (t->how == THREAD_REFERENCES) {
		take_references(t, &r, to, number);
	} else {
		to->node = add_node(t, (struct digest){ 0 });
		t->nodes[to->node].message = number;
	}
	arena_reset(&r.arena);
	return t->steps <= STEPS_MAX;
}

/* --- all have come ---------------------------------------------------------- */

struct dated {
	int64_t sent;
	uint32_t message;
};

static int
by_date(const void *a, const void *b)
{
	const struct dated *x = a, *y = b;

	if (x->sent != y->sent)
		return x->sent < y->sent ? -1 : 1;
	return x->message < y->message ? -1 : 1;
}

/* t->order: every message, by date. */
static void
sort_messages(struct thread *t)
{
	size_t n = t->nmessages - 1;
	struct dated *all = xcalloc(n + 1, sizeof(*all));

	for (uint32_t i = 0; i < n; i++)
		all[i] = (struct dated){ t->messages[i + 1].sent, i + 1 };
	qsort(all, n, sizeof(*all), by_date);
	t->order = xcalloc(n + 1, sizeof(t->order[0]));
	for (size_t i = 0; i < n; i++)
		t->order[i] = all[i].message;
	free(all);
}

static bool
is_dummy(const struct thread *t, uint32_t node)
{
	return t->nodes[node].message == 0;
}

/*
 * (3): what is below a dummy goes up to the first ancestor that is a message,
 * or to the dummy at the top.  A node on the way is skipped once for all.
 */
static void
skip_dummies(struct thread *t)
{
	for (uint32_t i = 1; i < t->nnodes; i++) {
		uint32_t top = t->nodes[i].parent, at = i;

		while (top != NONE && is_dummy(t, top) &&
		       t->nodes[top].parent != NONE)
			top = t->nodes[top].parent;
		while (at != NONE && at != top && t->nodes[at].parent != NONE) {
			uint32_t up = t->nodes[at].parent;

			t->nodes[at].parent = top;
			if (!is_dummy(t, up))
				break;
			at = up;
		}
	}
}

/* ...which stays if it has more children than one. */
static void
drop_single_dummies(struct thread *t)
{
	uint32_t *counts = xcalloc(t->nnodes, sizeof(*counts));

	for (size_t i = 1; i < t->nmessages; i++)
		counts[t->nodes[t->messages[i].node].parent]++;
	for (size_t i = 1; i < t->nmessages; i++) {
		struct node *n = &t->nodes[t->messages[i].node];

		if (n->parent != NONE && is_dummy(t, n->parent) &&
		    counts[n->parent] == 1)
			n->parent = NONE;
	}
	free(counts);
}

/* --- (5): threads with the same subject become one -------------------------- */

/* A thread: the node at its top, and its first message by date. */
struct top {
	uint32_t node, first;
};

/* In order of date.  Gives how many; *tops is the caller's to free. */
static size_t
find_tops(const struct thread *t, struct top **tops)
{
	struct top *list = xcalloc(t->nmessages, sizeof(*list));
	uint8_t *known = xcalloc(t->nnodes, 1);
	size_t n = 0;

	for (size_t i = 0; i + 1 < t->nmessages; i++) {
		uint32_t node = t->messages[t->order[i]].node;
		uint32_t up = t->nodes[node].parent;

		if (up != NONE && is_dummy(t, up))
			node = up;
		else if (up != NONE)
			continue;
		if (!known[node])
			list[n++] = (struct top){ node, t->order[i] };
		known[node] = 1;
	}
	free(known);
	*tops = list;
	return n;
}

struct subjects {
	uint32_t *table; /* of tops, from 1: open addressing */
	size_t size;     /* a power of two */
	const struct top *tops;
};

static uint32_t *
subject_place(const struct thread *t, const struct subjects *s,
    const struct message *m)
{
	size_t at = (size_t)m->subject.a & (s->size - 1);

	while (s->table[at] != NONE &&
	       !same(t->messages[s->tops[s->table[at] - 1].first].subject,
	           m->subject))
		at = (at + 1) & (s->size - 1);
	return &s->table[at];
}

/* (5) (B) (iv): is this one a better head for the subject's thread? */
static bool
is_better(const struct thread *t, const struct top *known, const struct top *x)
{
	if (is_dummy(t, known->node))
		return false;
	return is_dummy(t, x->node) || (t->messages[known->first].reply &&
	                                   !t->messages[x->first].reply);
}

static void
find_heads(const struct thread *t, struct subjects *s, size_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct message *m = &t->messages[s->tops[i].first];
		uint32_t *place;

		if (!m->has_subject)
			continue;
		place = subject_place(t, s, m);
		if (*place == NONE ||
		    is_better(t, &s->tops[*place - 1], &s->tops[i]))
			*place = i + 1;
	}
}

/*
 * (5) (C).  head is the node in the subject table.  Two dummies: the second is
 * put below the first and left out when children are linked.
 */
static void
merge(struct thread *t, uint32_t *head, const struct top *known,
    const struct top *x)
{
	bool head_is_dummy = is_dummy(t, *head);

	if (head_is_dummy ||
	    (t->messages[x->first].reply && !t->messages[known->first].reply)) {
		t->nodes[x->node].parent = *head;
		return;
	}
	MUST(!is_dummy(t, x->node)); /* else it would be the head */
	*head = add_node(t, (struct digest){ 0 });
	t->nodes[known->node].parent = *head;
	t->nodes[x->node].parent = *head;
}

static void
merge_subjects(struct thread *t)
{
	struct subjects s = { .size = 16 };
	struct top *tops;
	size_t n = find_tops(t, &tops);
	uint32_t *heads = xcalloc(n + 1, sizeof(*heads));

	while (s.size < 2 * n)
		s.size *= 2;
	s.table = xcalloc(s.size, sizeof(s.table[0]));
	s.tops = tops;
	find_heads(t, &s, n);
	for (uint32_t i = 0; i < n; i++)
		heads[i] = tops[i].node;
	for (uint32_t i = 0; i < n; i++) {
		const struct message *m = &t->messages[tops[i].first];
		uint32_t head;

		if (!m->has_subject)
			continue;
		head = *subject_place(t, &s, m) - 1;
		if (head != i)
			merge(t, &heads[head], &tops[head], &tops[i]);
	}
	free(heads);
	free(s.table);
	free(tops);
}

/* --- ORDEREDSUBJECT ---------------------------------------------------------- */

/* The first of each subject by date is the parent of the others. */
static void
group_by_subject(struct thread *t)
{
	size_t n = t->nmessages - 1;
	struct subjects s = { .size = 16 };
	struct top *tops = xcalloc(n + 1, sizeof(*tops));

	while (s.size < 2 * n)
		s.size *= 2;
	s.table = xcalloc(s.size, sizeof(s.table[0]));
	s.tops = tops;
	for (uint32_t i = 0; i < n; i++) {
		const struct message *m = &t->messages[t->order[i]];
		uint32_t *place = subject_place(t, &s, m);

		tops[i] = (struct top){ m->node, t->order[i] };
		if (*place == NONE)
			*place = i + 1;
		else
			t->nodes[m->node].parent = tops[*place - 1].node;
	}
	free(s.table);
	free(tops);
}

/* --- the response ------------------------------------------------------------ */

/* Two dummies that were merged are one. */
static uint32_t
parent_of(struct thread *t, uint32_t node)
{
	uint32_t up = t->nodes[node].parent;

	while (up != NONE && is_dummy(t, up) && t->nodes[up].parent != NONE)
		up = t->nodes[up].parent;
	t->nodes[node].parent = up;
	return up;
}

/*
 * Children of each node by date, those of none (NONE itself) as well: a dummy
 * stands where its first child does.
 */
static void
link_children(struct thread *t)
{
	uint32_t *lasts = xcalloc(t->nnodes, sizeof(*lasts));

	t->nodes[NONE] = (struct node){ 0 };
	for (size_t i = 0; i + 1 < t->nmessages; i++) {
		uint32_t node = t->messages[t->order[i]].node, last;

		do {
			uint32_t up = parent_of(t, node);

			last = lasts[up];
			if (last == NONE)
				t->nodes[up].child = node;
			else
				t->nodes[last].next = node;
			lasts[up] = node;
			node = up;
		} while (node != NONE && last == NONE && is_dummy(t, node));
	}
	free(lasts);
}

/* Has the node siblings, or no parent?  Then it is in parentheses. */
static bool
has_parentheses(const struct thread *t, uint32_t node)
{
	uint32_t up = t->nodes[node].parent;

	return up == NONE || t->nodes[t->nodes[up].child].next != NONE;
}

/* The node, and those below it down to the first that has no children. */
static uint32_t
put_down(const struct thread *t, struct buf *out, uint32_t node)
{
	for (;;) {
		const struct node *n = &t->nodes[node];

		if (has_parentheses(t, node))
			buf_putc(out, '(');
		if (n->message != 0)
			buf_put_number(out, t->messages[n->message].number);
		if (n->child == NONE)
			return node;
		if (n->message != 0)
			buf_putc(out, ' ');
		node = n->child;
	}
}

/* What ends here ends.  Gives the next node to put; NONE: all is put. */
static uint32_t
put_up(const struct thread *t, struct buf *out, uint32_t node)
{
	for (; node != NONE; node = t->nodes[node].parent) {
		if (has_parentheses(t, node))
			buf_putc(out, ')');
		if (t->nodes[node].next != NONE)
			return t->nodes[node].next;
	}
	return NONE;
}

void
thread_put(struct thread *t, struct buf *out)
{
	uint32_t node;

	MUST(t->order == NULL);
	buf_puts(out, "* THREAD");
	if (t->nmessages > 1) {
		sort_messages(t);
		if (t->how == THREAD_REFERENCES) {
			skip_dummies(t);
			drop_single_dummies(t);
			merge_subjects(t);
		} else {
			group_by_subject(t);
		}
		link_children(t);
		buf_putc(out, ' ');
		for (node = t->nodes[NONE].child; node != NONE;)
			node = put_up(t, out, put_down(t, out, node));
	}
	buf_puts(out, "\r\n");
}

size_t
thread_size(const struct thread *t)
{
	return 16 + t->nmessages * (NUMBER_OCTETS + 2);
}
