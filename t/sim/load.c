#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/mblist.h"
#include "backendd/server.h"
#include "imap/mboxname.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/sim/child.h"
#include "t/sim/load.h"
#include "t/sim/look.h"
#include "t/sim/murder.h"
#include "t/sim/net.h"
#include "t/sim/trove.h"
#include "t/sim/view.h"
#include "t/sim/world.h"

enum {
	CLIENTS_MAX = 6,
	BOXES_MAX = 30, /* of a client */
	ROOTS = 3,
	SHARED = 4,
	DEPTH_MAX = 5,
	ANSWER_MOST = 60 * SECOND,
	THINK_LEAST = 3 * MS,
	THINK_MOST = 350 * MS
};

enum kind {
	CREATE,
	DELETE,
	DELETE_TREE,
	RENAME,
	SET_ACL
};

static const char *const kinds[] = { "CREATE", "DELETE", "DELETE all", "RENAME",
	"SETACL" };

enum progress {
	THINKING,
	SENT,  /* on its way to the backend */
	GIVEN, /* the backend has it */
	LOST   /* the backend has died with it */
};

struct client {
	unsigned number;
	struct view before, after; /* what there is, and if it says OK */
	enum progress progress;
	struct event think, deadline;

	enum kind kind;
	bool shared; /* a name that is everybody's: before is after */
	unsigned backend;
	char name[VIEW_NAME], to[VIEW_NAME], acl[VIEW_ACL];
	unsigned long asked, answered; /* requests given, answers */
};

static struct {
	struct load_plan plan;
	struct client clients[CLIENTS_MAX];
	struct load_counts counts;
	bool stopped;
	char why[512];
} load;

/* --- what a client knows --------------------------------------------------- */

static void
place_of(unsigned backend, char place[VIEW_PLACE])
{
	snprintf(place, VIEW_PLACE, "be%u!default", backend);
}

static void
view_copy(struct view *to, const struct view *from)
{
	to->count = 0;
	for (size_t i = 0; i < from->count; i++)
		view_add(to, &from->boxes[i]);
}

static void
view_drop(struct view *v, const char *name)
{
	for (size_t i = 0; i < v->count; i++)
		if (strcmp(v->boxes[i].name, name) == 0) {
			v->boxes[i] = v->boxes[--v->count];
			return;
		}
	MUST(false);
}

static struct box *
view_at(struct view *v, const char *name)
{
	for (size_t i = 0; i < v->count; i++)
		if (strcmp(v->boxes[i].name, name) == 0)
			return &v->boxes[i];
	return NULL;
}

/* Of those at this backend: NULL, or what differs. */
static const char *
differs(const struct view *known, const struct view *there, const char *place)
{
	size_t count = 0;

	for (size_t i = 0; i < known->count; i++) {
		const struct box *b = &known->boxes[i], *other;

		if (strcmp(b->place, place) != 0)
			continue;
		count++;
		other = view_find(there, b->name);
		if (other == NULL)
			snprintf(load.why, sizeof(load.why), "%s: %s is gone",
			    place, b->name);
		else if (b->id[0] != '\0' && strcmp(b->id, other->id) != 0)
			snprintf(load.why, sizeof(load.why),
			    "%s: %s is %s and was %s", place, b->name,
			    other->id, b->id);
		else if (strcmp(b->acl, other->acl) != 0)
			snprintf(load.why, sizeof(load.why),
			    "%s: %s has the ACL \"%s\", not \"%s\"", place,
			    b->name, other->acl, b->acl);
		else
			continue;
		return load.why;
	}
	if (count == there->count)
		return NULL;
	for (size_t i = 0; i < there->count; i++)
		if (view_find(known, there->boxes[i].name) == NULL)
			snprintf(load.why, sizeof(load.why), "%s: there is %s",
			    place, there->boxes[i].name);
	return load.why;
}

static void
learn_ids(struct view *known, const struct view *there)
{
	for (size_t i = 0; i < there->count; i++) {
		struct box *b = view_at(known, there->boxes[i].name);

		if (b != NULL)
			memcpy(b->id, there->boxes[i].id, sizeof(b->id));
	}
}

static bool
look(const struct client *c, unsigned backend, struct view *there)
{
	char prefix[VIEW_NAME];

	snprintf(prefix, sizeof(prefix), "user.c%u", c->number);
	return view_backend(there, backend, prefix);
}

/* --- answers --------------------------------------------------------------- */

static void
rest(struct client *c)
{
	c->progress = THINKING;
	event_stop(&c->deadline);
	if (!load.stopped)
		event_set(&c->think, world_between(THINK_LEAST, THINK_MOST));
}

static const char *
wish_text(const struct client *c)
{
	static char text[3 * VIEW_NAME];

	snprintf(text, sizeof(text), "c%u: %s %s%s%s at be%u", c->number,
	    kinds[c->kind], c->name, c->to[0] != '\0' ? " to " : "", c->to,
	    c->backend);
	return text;
}

static void
adopt_after(struct client *c)
{
	struct view old = c->before;

	c->before = c->after;
	c->after = old;
}

/* A name that is at two backends. */
static void
check_alone(const struct client *c, const char *name)
{
	if (load.plan.list_may_be_lost)
		return;
	for (unsigned i = 0; i < murder_backends(); i++)
		if (i != c->backend && view_backend_has(i, name))
			world_fail("no name is active on two backends",
			    "%s: %s is at be%u too", wish_text(c), name, i);
}

static void
check_answer(struct client *c, enum mblist_result r)
{
	struct view there = { .boxes = NULL };
	char place[VIEW_PLACE];
	const char *why;

	place_of(c->backend, place);
	if (r == MBLIST_OK && (c->kind == CREATE || c->kind == RENAME))
		check_alone(c, c->kind == RENAME ? c->to : c->name);
	if (c->shared && r == MBLIST_OK && c->kind == CREATE)
		trove_made(c->backend, c->name);
	else if (c->shared && r == MBLIST_OK)
		trove_deleted(c->backend, c->name);
	if (c->shared)
		return;
	if (r == MBLIST_OK)
		adopt_after(c);
	if (!look(c, c->backend, &there))
		return;
	why = differs(&c->before, &there, place);
	if (why != NULL)
		world_fail(r == MBLIST_OK ? "OK means that it is done"
		                          : "NO means that nothing changed",
		    "%s: %s", wish_text(c), why);
	learn_ids(&c->before, &there);
	view_fini(&there);
}

static void
answered(void *arg, enum mblist_result r, const char *text)
{
	struct client *c = arg;
	struct proc *was = proc_current();

	world_trace("%s: %s %s", wish_text(c), r == MBLIST_OK ? "OK" : "NO",
	    r == MBLIST_OK    ? ""
	    : text[0] != '\0' ? text
	                      : mblist_text(r));
	if (c->progress != GIVEN || ++c->answered != c->asked)
		world_fail("one answer to each request", "%s", wish_text(c));
	*(r == MBLIST_OK ? &load.counts.ok : &load.counts.no) += 1;
	check_answer(c, r);
	proc_return(was);
	rest(c);
}

static void
too_late(void *arg)
{
	world_fail("an answer within the deadline", "%s", wish_text(arg));
}

/* --- requests -------------------------------------------------------------- */

/* In the backend, as one of its sessions would. */
static void
request(void *arg)
{
	struct client *c = arg;
	struct mblist *l = murder_backend(c->backend)->list;
	struct mblist_new how = { .acl = c->acl, .special_use = "" };

	world_trace("%s", wish_text(c));
	switch (c->kind) {
	case CREATE:
		mblist_create(l, c->name, &how, answered, c);
		break;
	case DELETE:
		mblist_delete(l, c->name, answered, c);
		break;
	case DELETE_TREE:
		mblist_delete_tree(l, c->name, answered, c);
		break;
	case RENAME:
		mblist_rename(l, c->name, c->to, answered, c);
		break;
	case SET_ACL:
		mblist_set_acl(l, c->name, c->acl, answered, c);
		break;
	}
}

/* It comes by way of a frontend; if it cannot, it is not done. */
static void
deliver(void *arg)
{
	struct client *c = arg;
	unsigned from = HOST_FRONT + c->number % murder_fronts();
	unsigned host = HOST_BACKEND + c->backend;

	if (murder_backend(c->backend) == NULL || !net_host_is_up(host) ||
	    net_is_parted(from, host)) {
		rest(c);
		return;
	}
	c->progress = GIVEN;
	c->asked++;
	event_set(&c->deadline, ANSWER_MOST);
	if (c->kind == RENAME && !load.plan.list_may_be_lost)
		look_watch(c->number, c->name, c->to,
		    view_find(&c->before, c->name)->id);
	child_call(murder_backend_child(c->backend), 0, request, c);
}

/* --- what to ask for ------------------------------------------------------- */

static unsigned
depth(const char *name)
{
	unsigned n = 0;

	for (; *name != '\0'; name++)
		n += *name == '.';
	return n;
}

static const struct box *
some_box(const struct client *c)
{
	const struct view *v = &c->before;

	return v->count == 0 ? NULL : &v->boxes[world_below(v->count)];
}

static bool
is_below(const char *name, const char *above)
{
	size_t n = strlen(above);

	return strncmp(name, above, n) == 0 && name[n] == '.';
}

static bool
has_children(const struct view *v, const char *name)
{
	for (size_t i = 0; i < v->count; i++)
		if (is_below(v->boxes[i].name, name))
			return true;
	return false;
}

static unsigned
backend_of(const struct box *b)
{
	return (unsigned)(b->place[2] - '0');
}

static void
some_acl(const struct client *c, char acl[VIEW_ACL])
{
	snprintf(acl, VIEW_ACL, "c%u\tlrswipkxtea\tu%u\tlr\t", c->number,
	    (unsigned)world_below(9));
}

static void
root_name(const struct client *c, char name[VIEW_NAME])
{
	snprintf(name, VIEW_NAME, "user.c%u%c", c->number,
	    (char)('a' + world_below(ROOTS)));
}

/* A user's first mailbox, or one below another. */
static bool
plan_create(struct client *c)
{
	const struct box *parent = some_box(c);
	struct box fresh = { .active = true };

	c->kind = CREATE;
	c->backend = (unsigned)world_below(murder_backends());
	if (parent == NULL || world_chance(200)) {
		root_name(c, c->name);
	} else {
		c->backend = backend_of(parent);
		MUST(snprintf(c->name, VIEW_NAME, "%s.m%u", parent->name,
		         (unsigned)world_below(5)) < VIEW_NAME);
	}
	if (depth(c->name) > DEPTH_MAX || c->before.count >= BOXES_MAX ||
	    view_find(&c->before, c->name) != NULL)
		return false;
	some_acl(c, c->acl);
	memcpy(fresh.name, c->name, sizeof(fresh.name));
	memcpy(fresh.acl, c->acl, sizeof(fresh.acl));
	place_of(c->backend, fresh.place);
	view_add(&c->after, &fresh);
	return true;
}

/* Alone, or with all below it if that is at the same backend. */
static bool
plan_delete(struct client *c)
{
	const struct box *b = some_box(c), *one;

	c->kind = DELETE;
	if (b == NULL)
		return false;
	if (has_children(&c->before, b->name))
		c->kind = DELETE_TREE;
	c->backend = backend_of(b);
	memcpy(c->name, b->name, sizeof(c->name));
	for (size_t i = 0; i < c->before.count; i++) {
		one = &c->before.boxes[i];
		if (strcmp(one->name, b->name) != 0 &&
		    !is_below(one->name, b->name))
			continue;
		if (strcmp(one->place, b->place) != 0)
			return false;
		view_drop(&c->after, one->name);
	}
	return true;
}

static bool
plan_set_acl(struct client *c)
{
	const struct box *b = some_box(c);
	struct box *after;

	c->kind = SET_ACL;
	if (b == NULL)
		return false;
	c->backend = backend_of(b);
	memcpy(c->name, b->name, sizeof(c->name));
	some_acl(c, c->acl);
	after = view_at(&c->after, b->name);
	memcpy(after->acl, c->acl, sizeof(after->acl));
	return true;
}

static bool
is_inbox(const char *name)
{
	return mboxname_is_inbox(slice_str(name));
}

/* The new name, if it makes sense. */
static bool
choose_to(struct client *c, const struct box *b)
{
	const struct box *parent = some_box(c);

	if (is_inbox(b->name) && world_chance(500))
		root_name(c, c->to); /* another user's */
	else
		MUST(snprintf(c->to, VIEW_NAME, "%s.r%u", parent->name,
		         (unsigned)world_below(5)) < VIEW_NAME);
	if (strcmp(c->to, b->name) == 0 ||
	    view_find(&c->before, c->to) != NULL || depth(c->to) > DEPTH_MAX)
		return false;
	if (is_inbox(b->name) && !is_inbox(c->to))
		return true;
	/* A name below it must not come to be too deep, nor where one is. */
	for (size_t i = 0; i < c->before.count; i++) {
		const char *name = c->before.boxes[i].name;

		if (is_below(name, c->to) ||
		    (is_below(name, b->name) &&
		        depth(name) - depth(b->name) + depth(c->to) >
		            DEPTH_MAX))
			return false;
		/* A session tells every name apart from where it is. */
		if (is_below(name, b->name) &&
		    strcmp(c->before.boxes[i].place, b->place) != 0)
			return false;
	}
	return !is_below(c->to, b->name);
}

static void
rename_box(struct box *b, const char *from, const char *to)
{
	char name[2 * VIEW_NAME];

	MUST(snprintf(name, sizeof(name), "%s%s", to, b->name + strlen(from)) <
	     VIEW_NAME);
	memcpy(b->name, name, VIEW_NAME);
}

static bool
plan_rename(struct client *c)
{
	const struct box *b = some_box(c);
	struct box stays;

	c->kind = RENAME;
	if (b == NULL || !choose_to(c, b))
		return false;
	c->backend = backend_of(b);
	memcpy(c->name, b->name, sizeof(c->name));
	stays = *b;
	stays.id[0] = '\0';
	for (size_t i = 0; i < c->after.count; i++) {
		struct box *one = &c->after.boxes[i];

		if (strcmp(one->name, c->name) == 0 ||
		    (is_below(one->name, c->name) &&
		        (is_inbox(c->to) || !is_inbox(c->name))))
			rename_box(one, c->name, c->to);
	}
	if (is_inbox(c->name) && !is_inbox(c->to))
		view_add(&c->after, &stays);
	return true;
}

static void
plan_shared(struct client *c)
{
	c->shared = true;
	c->kind = world_chance(600) ? CREATE : DELETE;
	c->backend = (unsigned)world_below(murder_backends());
	snprintf(c->name, VIEW_NAME, "shared.s%u",
	    (unsigned)world_below(SHARED));
	some_acl(c, c->acl);
}

static bool
plan_some(struct client *c)
{
	uint64_t chance = world_below(100);

	/* Those that two may come to have. */
	if (load.plan.list_may_be_lost && world_chance(300))
		chance = 99;
	if (chance < 40)
		return plan_create(c);
	if (chance < 52)
		return plan_delete(c);
	if (chance < 70)
		return plan_set_acl(c);
	if (chance < 88)
		return plan_rename(c);
	plan_shared(c);
	return true;
}

static void
think(void *arg)
{
	struct client *c = arg;

	if (load.stopped)
		return;
	look_forget(c->number);
	c->shared = false;
	c->to[0] = '\0';
	memset(c->name, 0, sizeof(c->name));
	view_copy(&c->after, &c->before);
	if (!plan_some(c)) {
		rest(c);
		return;
	}
	c->progress = SENT;
	world_later(net_delay(HOST_FRONT, HOST_BACKEND) + 1, deliver, c);
}

/* --- what becomes of it when the backend dies ------------------------------ */

static void
check_kept(struct client *c, unsigned backend)
{
	struct view there = { .boxes = NULL };
	char place[VIEW_PLACE];
	const char *why;

	place_of(backend, place);
	if (!look(c, backend, &there))
		return;
	why = differs(&c->before, &there, place);
	if (why != NULL)
		world_fail("what was answered OK is durable", "%s", why);
	view_fini(&there);
}

/* All of it or nothing: which? */
static void
resolve(struct client *c)
{
	struct view there = { .boxes = NULL };
	char place[VIEW_PLACE], first[512];
	const char *why;

	if (c->shared) {
		if (c->kind == DELETE)
			trove_deleted(c->backend, c->name);
		check_kept(c, c->backend);
		rest(c);
		return;
	}
	place_of(c->backend, place);
	if (!look(c, c->backend, &there))
		return;
	why = differs(&c->before, &there, place);
	if (why != NULL) {
		snprintf(first, sizeof(first), "%s", why);
		why = differs(&c->after, &there, place);
		if (why != NULL)
			world_fail("all of a change or nothing",
			    "%s, never answered: neither before (%s) nor "
			    "after (%s)",
			    wish_text(c), first, why);
		adopt_after(c);
	}
	learn_ids(&c->before, &there);
	view_fini(&there);
	rest(c);
}

static void
backend_changed(unsigned backend, bool up)
{
	for (unsigned i = 0; i < load.plan.clients; i++) {
		struct client *c = &load.clients[i];

		if (!up && c->progress == GIVEN && c->backend == backend) {
			world_trace("%s: lost", wish_text(c));
			load.counts.lost++;
			c->answered = c->asked;
			event_stop(&c->deadline);
			c->progress = LOST;
		} else if (up && c->progress == LOST && c->backend == backend) {
			resolve(c);
		} else if (up) {
			check_kept(c, backend);
		}
	}
}

void
load_host_changed(void *arg, unsigned host, bool up)
{
	(void)arg;
	if (host >= HOST_BACKEND && host < HOST_BACKEND + murder_backends())
		backend_changed(host - HOST_BACKEND, up);
	else if (!up && host >= HOST_FRONT)
		look_host_died(host);
}

/* --- the whole ------------------------------------------------------------- */

void
load_begin(const struct load_plan *plan)
{
	memset(&load, 0, sizeof(load));
	load.plan = *plan;
	MUST(plan->clients <= CLIENTS_MAX);
	for (unsigned i = 0; i < plan->clients; i++) {
		struct client *c = &load.clients[i];

		c->number = i;
		c->think.fn = think;
		c->deadline.fn = too_late;
		c->think.arg = c->deadline.arg = c;
		event_set(&c->think, world_between(SECOND, 3 * SECOND));
	}
}

void
load_stop(void)
{
	load.stopped = true;
}

bool
load_is_over(void)
{
	for (unsigned i = 0; i < load.plan.clients; i++)
		if (load.clients[i].progress != THINKING)
			return false;
	return load.stopped;
}

const char *
load_disagrees(void)
{
	for (unsigned i = 0; i < load.plan.clients; i++)
		for (unsigned b = 0; b < murder_backends(); b++) {
			struct client *c = &load.clients[i];
			struct view there = { .boxes = NULL };
			char place[VIEW_PLACE];
			const char *why;

			place_of(b, place);
			if (!look(c, b, &there))
				return "a backend is down";
			why = differs(&c->before, &there, place);
			view_fini(&there);
			if (why != NULL)
				return why;
		}
	return NULL;
}

const char *
load_some_name(void)
{
	const struct client *c = &load.clients[world_below(load.plan.clients)];
	static char name[VIEW_NAME];
	const struct box *b = some_box(c);

	if (b != NULL && world_chance(700))
		snprintf(name, sizeof(name), "%s", b->name);
	else if (c->name[0] != '\0' && world_chance(700))
		snprintf(name, sizeof(name), "%s",
		    c->to[0] != '\0' ? c->to : c->name);
	else
		snprintf(name, sizeof(name), "shared.s%u",
		    (unsigned)world_below(SHARED));
	return name;
}

struct load_counts *
load_counters(void)
{
	return &load.counts;
}

struct load_counts
load_counts(void)
{
	return load.counts;
}
