#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/conf.h"
#include "backendd/server.h"
#include "lib/daemon.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/front_child.h"
#include "proxyd/route.h"
#include "t/sim/child.h"
#include "t/sim/disk.h"
#include "t/sim/murder.h"
#include "t/sim/net.h"
#include "t/sim/store.h"
#include "t/sim/update.h"

enum {
	PORT = 3905,
	TEXT = 1024,
	CHILDREN = 2 /* most, of a machine */
};

struct node;

struct seat { /* of a process */
	struct node *node;
	struct child_plan plan;
	struct child *child; /* NULL: none now */
	struct event start;
	int64_t pause; /* before the next */
};

struct node {
	unsigned host;
	char name[16], spool[64];
	char text[TEXT];
	struct seat seats[CHILDREN];
	unsigned nseats;
	bool introduced;
	struct event power; /* comes back */
};

static struct {
	struct murder_plan plan;
	struct node nodes[HOSTS];
	struct disk_copy *kept;
	bool lost; /* the update server's list is to go when it has stopped */
} murder;

/* --- a worker, as far as it asks for routes -------------------------------- */

static int
worker_begin(struct child *c, void **statep, struct err *err)
{
	(void)err;
	*statep = route_new(child_loop(c), child_log(c), child_conf(c));
	return 0;
}

static void
worker_meet(void *state, const char *name, unsigned index, int fd)
{
	(void)name, (void)index;
	route_neighbour(state, fd);
}

static const struct daemon_child worker_kind = {
	.name = "imap",
	.start = worker_begin,
	.neighbour = worker_meet,
};

/* --- starting -------------------------------------------------------------- */

static void
changed(const struct node *n)
{
	bool up = true;

	for (unsigned i = 0; i < n->nseats; i++)
		up = up && n->seats[i].child != NULL &&
		     child_state(n->seats[i].child) != NULL;
	murder.plan.changed(murder.plan.arg, n->host, up);
}

static void
free_child(void *arg)
{
	struct child *c = arg;

	child_free(&c);
}

static void
died(void *arg, enum death how)
{
	struct seat *s = arg;
	struct node *n = s->node;
	struct child *c = s->child;

	s->child = NULL;
	n->introduced = false;
	if (c == NULL) /* it went with its machine */
		return;
	world_later(0, free_child, c);
	if (n->spool[0] != '\0')
		sim_store_crash(n->spool);
	changed(n);
	if (how == DEATH_POWER) {
		murder_power(n->host, world_between(500 * MS, 20 * SECOND));
		return;
	}
	event_set(&s->start, s->pause);
	s->pause = s->pause * 2 > 10 * SECOND ? 10 * SECOND : s->pause * 2;
}

static void
introduce(void *arg)
{
	struct node *n = arg;

	if (n->introduced || n->seats[0].child == NULL ||
	    n->seats[1].child == NULL ||
	    child_state(n->seats[0].child) == NULL ||
	    child_state(n->seats[1].child) == NULL)
		return;
	n->introduced = true;
	child_introduce(n->seats[0].child, n->seats[1].child);
}

static void
all_changed(void *arg)
{
	changed(arg);
}

static void
kill_child(void *arg)
{
	struct seat *s = arg;

	if (s->child != NULL)
		proc_die(child_proc(s->child), DEATH_KILL);
}

static void
started(void *arg, void *state, const char *why)
{
	struct seat *s = arg;

	if (state == NULL) {
		world_trace("%s does not start: %s", s->plan.name, why);
		world_later(0, kill_child, s);
		return;
	}
	s->pause = 100 * MS;
	world_later(0, all_changed, s->node);
	if (s->node->nseats == 2)
		world_later(0, introduce, s->node);
}

static void
start(void *arg)
{
	struct seat *s = arg;

	MUST(s->child == NULL);
	if (s->node->host == HOST_UPDATE && murder.lost) {
		murder.lost = false;
		if (murder.kept != NULL && world_chance(500)) {
			world_trace("an older list is restored");
			disk_restore(s->node->name, murder.kept);
		} else {
			world_trace("the list is lost");
			disk_wipe(s->node->name);
			disk_make("/sim/%s/dir", s->node->name);
		}
	}
	s->child = child_new(&s->plan);
}

/* Its directories are an operator's, made before it starts. */
static void
put_seat(struct node *n, const char *name, const struct daemon_child *kind,
    const struct conf_table *table, unsigned port)
{
	struct seat *s = &n->seats[n->nseats++];

	s->node = n;
	s->plan = (struct child_plan){ .name = name,
		.host = n->host,
		.kind = kind,
		.table = table,
		.text = n->text,
		.port = port,
		.died = died,
		.started = started,
		.arg = s };
	s->start.fn = start;
	s->start.arg = s;
	s->pause = 100 * MS;
	event_set(&s->start, world_between(0, SECOND));
}

static void
power_back(void *arg)
{
	struct node *n = arg;

	net_host_up(n->host, true);
	for (unsigned i = 0; i < n->nseats; i++)
		event_set(&n->seats[i].start, world_between(0, 500 * MS));
}

static struct node *
node_init(unsigned host, const char *name)
{
	struct node *n = &murder.nodes[host];

	n->host = host;
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->power.fn = power_back;
	n->power.arg = n;
	disk_make("/sim");
	disk_make("/sim/%s", name);
	disk_make("/sim/%s/dir", name);
	return n;
}

static void
update_init(const struct murder_plan *plan)
{
	struct node *n = node_init(HOST_UPDATE, "mup");
	size_t at = 0;

	at += (size_t)snprintf(n->text, TEXT,
	    "hostname = mup\ndirectory = /sim/mup/dir\n"
	    "listen = 10.0.0.1:%d\nallow_plaintext = yes\nlist_shards = 4\n"
	    "lease_time = %us\nchange_log = %u\n",
	    PORT, (unsigned)world_between(5, 60),
	    (unsigned)world_between(3, 90));
	for (unsigned i = 0; i < plan->backends; i++)
		at += (size_t)snprintf(n->text + at, TEXT - at,
		    "writer = be%u\n", i);
	for (unsigned i = 0; i < plan->fronts; i++)
		at += (size_t)snprintf(n->text + at, TEXT - at,
		    "reader = fe%u\n", i);
	MUST(at < TEXT);
	put_seat(n, "mupdated", update_child(), &mupdated_conf_table, PORT);
}

static void
backend_init(unsigned i)
{
	char name[16];
	struct node *n;

	snprintf(name, sizeof(name), "be%u", i);
	n = node_init(HOST_BACKEND + i, name);
	snprintf(n->spool, sizeof(n->spool), "/sim/%s/spool", name);
	snprintf(n->text, TEXT,
	    "hostname = %s\ndirectory = /sim/%s/dir\n"
	    "partition = default /sim/%s/spool\n"
	    "mupdate_server = 10.0.0.1:%d\nmupdate_user = %s\n"
	    "mupdate_password = x\nlisten = 10.0.0.%u:143\n"
	    "allow_plaintext = yes\ncompare_interval = 30s\n"
	    "delete_delay = 0\n",
	    name, name, name, PORT, name, HOST_BACKEND + i + 1);
	put_seat(n, n->name, &backendd_store_child, &backendd_conf_table, 0);
}

static void
front_init(unsigned i)
{
	char name[16];
	struct node *n;

	snprintf(name, sizeof(name), "fe%u", i);
	n = node_init(HOST_FRONT + i, name);
	snprintf(n->text, TEXT,
	    "hostname = %s\ndirectory = /sim/%s/dir\n"
	    "mupdate_server = 10.0.0.1:%d\nmupdate_user = %s\n"
	    "mupdate_password = x\nlisten = 10.0.0.%u:143\n"
	    "backend = be0 10.0.0.2:143\n"
	    "proxy_user = p\nproxy_password = x\n"
	    "allow_plaintext = yes\nlist_shards = 4\n",
	    name, name, PORT, name, HOST_FRONT + i + 1);
	put_seat(n, n->name, &proxyd_front_child, &proxyd_conf_table, 0);
	put_seat(n, "worker", &worker_kind, &proxyd_conf_table, 0);
}

void
murder_begin(const struct murder_plan *plan)
{
	memset(&murder, 0, sizeof(murder));
	murder.plan = *plan;
	MUST(plan->backends <= BACKENDS_MAX && plan->fronts <= FRONTS_MAX);
	update_init(plan);
	for (unsigned i = 0; i < plan->backends; i++)
		backend_init(i);
	for (unsigned i = 0; i < plan->fronts; i++)
		front_init(i);
}

/* --- looking --------------------------------------------------------------- */

unsigned
murder_backends(void)
{
	return murder.plan.backends;
}

unsigned
murder_fronts(void)
{
	return murder.plan.fronts;
}

bool
murder_has_host(unsigned host)
{
	return murder.nodes[host].nseats > 0;
}

const char *
murder_host_name(unsigned host)
{
	return murder.nodes[host].name;
}

static struct child *
child_at(unsigned host, unsigned seat)
{
	struct child *c = murder.nodes[host].seats[seat].child;

	return c != NULL && child_state(c) != NULL ? c : NULL;
}

struct child *
murder_update_child(void)
{
	return child_at(HOST_UPDATE, 0);
}

struct child *
murder_backend_child(unsigned i)
{
	return child_at(HOST_BACKEND + i, 0);
}

struct child *
murder_front_child(unsigned i)
{
	return child_at(HOST_FRONT + i, 0);
}

struct child *
murder_worker_child(unsigned i)
{
	return child_at(HOST_FRONT + i, 1);
}

struct list *
murder_list(void)
{
	struct child *c = murder_update_child();

	return c == NULL ? NULL : update_list(child_state(c));
}

struct backendd *
murder_backend(unsigned i)
{
	struct child *c = murder_backend_child(i);

	return c == NULL ? NULL : child_state(c);
}

struct route *
murder_route(unsigned i)
{
	struct child *c = murder_worker_child(i);

	return c == NULL ? NULL : child_state(c);
}

bool
murder_is_up(void)
{
	for (unsigned h = 0; h < HOSTS; h++)
		for (unsigned i = 0; i < murder.nodes[h].nseats; i++)
			if (child_at(h, i) == NULL)
				return false;
	return true;
}

/* --- faults ---------------------------------------------------------------- */

static struct seat *
some_seat(unsigned host)
{
	struct node *n = &murder.nodes[host];

	return &n->seats[world_below(n->nseats)];
}

void
murder_kill(unsigned host)
{
	struct seat *s = some_seat(host);

	if (s->child != NULL)
		proc_die(child_proc(s->child), DEATH_KILL);
}

void
murder_power(unsigned host, int64_t us)
{
	struct node *n = &murder.nodes[host];

	if (event_is_set(&n->power))
		return;
	world_trace("%s is without power for %lld ms", n->name,
	    (long long)(us / MS));
	net_host_up(host, false);
	event_set(&n->power, us);
	for (unsigned i = 0; i < n->nseats; i++) {
		struct child *c = n->seats[i].child;

		event_stop(&n->seats[i].start);
		if (c == NULL)
			continue;
		n->seats[i].child = NULL;
		proc_die(child_proc(c), DEATH_POWER);
		world_later(0, free_child, c);
	}
	if (n->spool[0] != '\0')
		sim_store_crash(n->spool);
	disk_lose(n->name);
	changed(n);
}

void
murder_arm(unsigned host, unsigned n, enum death how)
{
	struct seat *s = some_seat(host);

	if (s->child == NULL)
		return;
	child_proc(s->child)->crash_in = n;
	child_proc(s->child)->crash_how = how;
}

void
murder_stall(unsigned host, int64_t us)
{
	struct node *n = &murder.nodes[host];

	for (unsigned i = 0; i < n->nseats; i++)
		if (n->seats[i].child != NULL)
			child_proc(n->seats[i].child)->stalled =
			    world_now() + us;
}

void
murder_keep_list(void)
{
	disk_copy_free(&murder.kept);
	murder.kept = disk_copy(murder.nodes[HOST_UPDATE].name);
}

void
murder_lose_list(void)
{
	murder.lost = true;
	murder_kill(HOST_UPDATE);
}

void
murder_agree(void)
{
	char path[64];

	for (unsigned i = 0; i < murder.plan.backends; i++) {
		snprintf(path, sizeof(path), "/sim/be%u/dir/accept-list", i);
		disk_touch(path);
	}
	for (unsigned i = 0; i < murder.plan.fronts; i++) {
		snprintf(path, sizeof(path), "/sim/fe%u/dir/accept-list", i);
		disk_touch(path);
	}
}

void
murder_heal(void)
{
	murder.lost = false;
	for (unsigned h = 0; h < HOSTS; h++) {
		struct node *n = &murder.nodes[h];

		if (n->nseats == 0)
			continue;
		if (event_is_set(&n->power) &&
		    n->power.at > world_now() + SECOND)
			event_set(&n->power, SECOND);
		for (unsigned i = 0; i < n->nseats; i++)
			if (n->seats[i].child != NULL) {
				child_proc(n->seats[i].child)->crash_in = 0;
				child_proc(n->seats[i].child)->stalled = 0;
			}
	}
}
