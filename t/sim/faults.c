#include <string.h>

#include "lib/must.h"
#include "t/sim/disk.h"
#include "t/sim/faults.h"
#include "t/sim/murder.h"
#include "t/sim/net.h"
#include "t/sim/world.h"

static struct {
	struct faults_plan plan;
	struct event next;
	struct event mended[NET_HOSTS][NET_HOSTS]; /* a parting ends */
	struct event works[NET_HOSTS];             /* a disk does again */
	struct event quick;                        /* the network is */
} faults;

static unsigned
some_host(void)
{
	unsigned host;

	do
		host = (unsigned)world_below(HOSTS);
	while (!murder_has_host(host));
	return host;
}

/* Most connections are the update server's. */
static unsigned
some_peer(unsigned host)
{
	unsigned other = HOST_UPDATE;

	while (other == host || (host != HOST_UPDATE && world_chance(100)))
		other = some_host();
	return other;
}

static int64_t
some_while(void)
{
	return world_chance(700) ? world_between(10 * MS, 3 * SECOND)
	                         : world_between(3 * SECOND, 25 * SECOND);
}

/* --- each kind ------------------------------------------------------------- */

static void
mend(void *arg)
{
	size_t pair = (size_t)((struct event *)arg - &faults.mended[0][0]);
	unsigned a = (unsigned)(pair / NET_HOSTS);
	unsigned b = (unsigned)(pair % NET_HOSTS);

	world_trace("%s and %s meet again", murder_host_name(a),
	    murder_host_name(b));
	net_part(a, b, false);
}

/* a is the lower. */
static void
part_from(unsigned a, unsigned b)
{
	world_trace("%s and %s are parted", murder_host_name(a),
	    murder_host_name(b));
	net_part(a, b, true);
	event_set(&faults.mended[a][b], some_while());
}

static void
part(void)
{
	unsigned a = some_host(), b = some_peer(a);

	part_from(a < b ? a : b, a < b ? b : a);
}

static void
isolate(void)
{
	unsigned a = some_host();

	world_trace("%s is alone", murder_host_name(a));
	for (unsigned b = 0; b < HOSTS; b++) {
		if (b == a || !murder_has_host(b))
			continue;
		net_part(a, b, true);
		event_set(&faults.mended[a < b ? a : b][a < b ? b : a],
		    some_while());
	}
}

static void
cut(void)
{
	unsigned a = some_host(), b = some_peer(a);

	world_trace("a connection of %s and %s is cut", murder_host_name(a),
	    murder_host_name(b));
	net_cut(a, b);
}

static void
arm(void)
{
	unsigned host = some_host(), n = (unsigned)world_between(1, 40);
	enum death how = world_chance(600) ? DEATH_POWER : DEATH_KILL;

	world_trace("%s will die at its disk's change %u",
	    murder_host_name(host), n);
	murder_arm(host, n, how);
}

static void
is_quick(void *arg)
{
	(void)arg;
	net_slow(0);
}

static void
slow(void)
{
	net_slow(world_between(MS, 200 * MS));
	event_set(&faults.quick, some_while());
}

static void
works(void *arg)
{
	unsigned host = (unsigned)((struct event *)arg - faults.works);

	world_trace("the disk of %s works again", murder_host_name(host));
	disk_refuse(host, false);
}

static void
refuse(void)
{
	unsigned host = some_host();

	if (!faults.plan.disk_refuses || host >= HOST_FRONT)
		return;
	world_trace("the disk of %s refuses", murder_host_name(host));
	disk_refuse(host, true);
	event_set(&faults.works[host], some_while());
}

/* Somebody may be away when the others tell the new list what they have. */
static void
lose(void)
{
	if (!faults.plan.list_lost || world_chance(500)) {
		murder_keep_list();
		return;
	}
	if (world_chance(500))
		part_from(HOST_UPDATE,
		    HOST_BACKEND + (unsigned)world_below(murder_backends()));
	murder_lose_list();
}

static void
one(void)
{
	uint64_t chance = world_below(faults.plan.list_lost ? 106 : 100);

	if (chance < 14)
		murder_kill(some_host());
	else if (chance < 22)
		murder_power(some_host(), some_while());
	else if (chance < 42)
		arm();
	else if (chance < 60)
		cut();
	else if (chance < 72)
		part();
	else if (chance < 76)
		isolate();
	else if (chance < 82)
		slow();
	else if (chance < 88)
		murder_stall(some_host(), world_between(10 * MS, 4 * SECOND));
	else if (chance < 94)
		refuse();
	else
		lose();
}

static void
next(void *arg)
{
	(void)arg;
	one();
	event_set(&faults.next, world_between(1, 2 * faults.plan.pause));
}

/* --- the whole ------------------------------------------------------------- */

void
faults_begin(const struct faults_plan *plan)
{
	memset(&faults, 0, sizeof(faults));
	faults.plan = *plan;
	faults.next.fn = next;
	faults.quick.fn = is_quick;
	for (unsigned a = 0; a < NET_HOSTS; a++) {
		faults.works[a].fn = works;
		faults.works[a].arg = &faults.works[a];
		for (unsigned b = 0; b < NET_HOSTS; b++) {
			faults.mended[a][b].fn = mend;
			faults.mended[a][b].arg = &faults.mended[a][b];
		}
	}
	if (plan->pause > 0)
		event_set(&faults.next, SECOND + plan->pause);
}

static void
now(struct event *e)
{
	if (event_is_set(e))
		event_set(e, 0);
}

void
faults_end(void)
{
	event_stop(&faults.next);
	now(&faults.quick);
	for (unsigned a = 0; a < NET_HOSTS; a++) {
		now(&faults.works[a]);
		for (unsigned b = 0; b < NET_HOSTS; b++)
			now(&faults.mended[a][b]);
	}
	murder_heal();
}
