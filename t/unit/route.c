/*
 * route: of each name it is said that it is here, or that it does not exist, or
 * that this cannot be known now; and never that it does not exist when a front
 * could not vouch for it.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "imap/mboxrec.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "proxyd/conf.h"
#include "proxyd/front_child.h"
#include "proxyd/mirror.h"
#include "proxyd/route.h"
#include "t/tap.h"
#include "t/tempdir.h"

/* What the front of this test does when it is asked. */
enum front {
	FRONT_YES,  /* the copy is current */
	FRONT_NO,   /* it cannot be known */
	FRONT_ADDS, /* puts user.new there first */
	FRONT_SILENT,
	FRONT_DIES
};

struct world {
	struct loop *loop;
	struct log *log;
	struct proxyd_conf conf;
	struct route *route;
	struct route_rate rate;
	struct ipc *ipc;
	enum front front;
	unsigned asked;
	char dir[64];
	int writer; /* its socket */

	unsigned calls; /* back */
	enum route_answer answer;
	bool has_rec;
	char server[MBOXREC_HOST];
};

/* --- the writer, which is another process ---------------------------------- */

struct order {
	char dir[100], name[32], location[MBOXREC_LOCATION_MAX + 2];
	enum mboxrec_state state;
	bool ends; /* the whole list, which is then complete */
};

static void
carry_out(const struct order *o)
{
	const struct mboxrec rec = { .state = o->state,
		.location = slice_str(o->location) };
	struct mirror *m;
	struct err err;

	MUST(mirror_open(&m, o->dir, 1, 100, &err) == 0);
	MUST(mirror_whole(m, slice_str(""), &err) == 0);
	MUST(mirror_put(m, slice_str(o->name), &rec, &err) == 0);
	if (o->ends)
		mirror_end(m);
	while (mirror_busy(m))
		MUST(mirror_step(m, &err) == 0);
	MUST(mirror_cut(m, &err) == 0);
	mirror_close(&m);
}

static int
writer_start(void)
{
	struct order o;
	int fds[2];
	pid_t pid;

	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) == 0);
	pid = fork();
	MUST(pid != -1);
	if (pid > 0) {
		close(fds[1]);
		return fds[0];
	}
	close(fds[0]);
	while (read(fds[1], &o, sizeof(o)) == sizeof(o)) {
		carry_out(&o);
		MUST(write(fds[1], "", 1) == 1);
	}
	_exit(0);
}

static void
write_list(struct world *w, const char *name, enum mboxrec_state state,
    const char *location, bool ends)
{
	struct order o = { .state = state, .ends = ends };
	char done;

	snprintf(o.dir, sizeof(o.dir), "%s/" PROXYD_LIST, w->dir);
	snprintf(o.name, sizeof(o.name), "%s", name);
	snprintf(o.location, sizeof(o.location), "%s", location);
	MUST(write(w->writer, &o, sizeof(o)) == sizeof(o));
	MUST(read(w->writer, &done, 1) == 1);
}

static void
on_front(void *arg, const struct ipc_message *m)
{
	struct world *w = arg;
	uint8_t yes = w->front == FRONT_YES;

	if (m == NULL)
		return;
	MUST(m->type == FRONT_SYNC && m->payload.len == 0);
	w->asked++;
	switch (w->front) {
	case FRONT_SILENT:
		return;
	case FRONT_DIES:
		ipc_free(&w->ipc);
		return;
	case FRONT_ADDS:
		write_list(w, "user.new", MBOXREC_ACTIVE, "b3!", false);
		break;
	case FRONT_YES:
	case FRONT_NO:
		break;
	}
	MUST(ipc_send(w->ipc, FRONT_SYNCED, m->id, slice_of(&yes, 1), -1));
}

static void
make_front(struct world *w)
{
	struct err err;
	int fds[2];

	ipc_free(&w->ipc);
	MUST(ipc_pair(fds, &err) == 0);
	w->ipc = ipc_new(w->loop, fds[0], on_front, w);
	route_neighbour(w->route, fds[1]);
}

static void
world_init(struct world *w)
{
	static char *backends[] = {
		(char *)(uintptr_t) "b8 127.0.0.1:1 weight=0",
		(char *)(uintptr_t) "b9 127.0.0.1:2"
	};

	*w = (struct world){ .rate = ROUTE_RATE_MX, .writer = writer_start() };
	tempdir_make(w->dir);
	w->loop = loop_new();
	w->log = log_new("route", LOG_LEVEL_ERR, true);
	w->conf.directory = w->dir;
	w->conf.list_shards = 1;
	w->conf.sync_ms = 50;
	w->conf.backends = (struct conf_list){ backends, 2 };
	w->route = route_new(w->loop, w->log, &w->conf);
}

static void
world_fini(struct world *w)
{
	route_free(&w->route);
	ipc_free(&w->ipc);
	loop_free(&w->loop);
	log_free(&w->log);
	close(w->writer);
	tempdir_remove(w->dir);
}

static void
on_answer(void *arg, enum route_answer answer, const struct mboxrec *rec)
{
	struct world *w = arg;

	w->calls++;
	w->answer = answer;
	w->has_rec = rec != NULL;
	w->server[0] = '\0';
	if (rec != NULL)
		route_server(rec, w->server);
	loop_stop(w->loop);
}

static enum route_answer
find_by(struct world *w, enum front front, const char *name,
    struct route_wait *(*how)(struct route *, struct route_rate *, struct slice,
        route_cb *, void *))
{
	unsigned calls = w->calls;

	w->front = front;
	if (w->ipc == NULL)
		make_front(w);
	(void)how(w->route, &w->rate, slice_str(name), on_answer, w);
	MUST(w->calls == calls);
	loop_run(w->loop);
	MUST(w->calls == calls + 1);
	MUST(w->has_rec == (w->answer == ROUTE_FOUND));
	return w->answer;
}

static enum route_answer
find(struct world *w, enum front front, const char *name)
{
	return find_by(w, front, name, route_find);
}

static enum route_answer
find_current(struct world *w, enum front front, const char *name)
{
	return find_by(w, front, name, route_find_current);
}

static void
test_no_copy(struct world *w)
{
	struct mboxrec rec;
	char server[MBOXREC_HOST];

	(void)route_find(w->route, &w->rate, slice_str("user.a"), on_answer, w);
	loop_run(w->loop);
	ok(w->answer == ROUTE_UNKNOWN && !w->has_rec,
	    "no front, no copy: it cannot be known");
	ok(route_look(w->route, slice_str("user.a"), &rec) == ROUTE_UNKNOWN &&
	        route_list(w->route) == NULL,
	    "nor looked for");
	write_list(w, "user.a", MBOXREC_ACTIVE, "b1!default", false);
	ok(find(w, FRONT_NO, "user.a") == ROUTE_FOUND,
	    "what has come of a list that fills is found");
	ok(find(w, FRONT_NO, "user.b") == ROUTE_UNKNOWN,
	    "what has not may still come");
	route_place(w->route, slice_str("user.a.x"), server);
	ok(route_list(w->route) == NULL && server[0] == '\0',
	    "it is no list to walk or to place by");
	write_list(w, "user.a", MBOXREC_ACTIVE, "b1!default", true);
	ok(route_list(w->route) != NULL, "until it is complete");
}

static void
test_answers(struct world *w)
{
	unsigned asked = w->asked;

	ok(find(w, FRONT_SILENT, "user.a") == ROUTE_FOUND &&
	        strcmp(w->server, "b1") == 0 && w->asked == asked,
	    "here: nobody is asked");
	ok(find(w, FRONT_YES, "user.b") == ROUTE_NONE && w->asked == asked + 1,
	    "not here, and that is certain");
	ok(find(w, FRONT_NO, "user.b") == ROUTE_UNKNOWN, "not certain");
	ok(find(w, FRONT_SILENT, "user.b") == ROUTE_UNKNOWN,
	    "no answer in time");
	ok(find(w, FRONT_DIES, "user.b") == ROUTE_UNKNOWN, "no front");
	ok(find(w, FRONT_ADDS, "user.new") == ROUTE_FOUND &&
	        strcmp(w->server, "b3") == 0,
	    "made meanwhile: here, certain or not");
	write_list(w, "user.res", MBOXREC_RESERVED, "b1!", false);
	write_list(w, "user.mov", MBOXREC_MOVING, "b2!", false);
	ok(find(w, FRONT_YES, "user.res") == ROUTE_UNKNOWN,
	    "reserved: being made, or moved");
	ok(find(w, FRONT_YES, "user.mov") == ROUTE_FOUND &&
	        strcmp(w->server, "b2") == 0,
	    "moving: where it was");
	ok(find(w, FRONT_YES, "user..x") == ROUTE_NONE,
	    "what is no name does not exist");
}

/* Where it is now: what the copy had is not good enough. */
static void
test_current(struct world *w)
{
	struct route_rate rate = { 1, 100, 0 };
	unsigned asked = w->asked;

	write_list(w, "user.new", MBOXREC_ACTIVE, "b1!", false);
	ok(find_current(w, FRONT_YES, "user.a") == ROUTE_FOUND &&
	        w->asked == asked + 1,
	    "current: asked, though it is there");
	ok(find_current(w, FRONT_ADDS, "user.new") == ROUTE_UNKNOWN,
	    "there, and not certain");
	ok(find(w, FRONT_SILENT, "user.new") == ROUTE_FOUND &&
	        strcmp(w->server, "b3") == 0,
	    "it was elsewhere");
	ok(find_current(w, FRONT_YES, "user.b") == ROUTE_NONE, "not there");
	ok(find_current(w, FRONT_SILENT, "user.a") == ROUTE_UNKNOWN,
	    "there, but no answer in time");
	asked = w->asked;
	w->front = FRONT_YES;
	make_front(w);
	w->calls = 0;
	for (int i = 0; i < 3; i++)
		(void)route_find_current(w->route, &rate, slice_str("user.a"),
		    on_answer, w);
	while (w->calls < 3)
		loop_run(w->loop);
	ok(w->asked == asked + 3 && w->answer == ROUTE_FOUND,
	    "who has to wait for a turn is asked for, too");
}

static void
test_sync(struct world *w)
{
	struct route_wait *wait;

	w->front = FRONT_YES;
	make_front(w);
	(void)route_sync(w->route, on_answer, w);
	loop_run(w->loop);
	ok(w->answer == ROUTE_FOUND && !w->has_rec, "a barrier is passed");
	w->front = FRONT_NO;
	(void)route_sync(w->route, on_answer, w);
	loop_run(w->loop);
	ok(w->answer == ROUTE_UNKNOWN, "or not");
	wait = route_sync(w->route, on_answer, w);
	route_cancel(&wait);
	w->calls = 0;
	(void)route_sync(w->route, on_answer, w);
	loop_run(w->loop);
	ok(w->calls == 1 && wait == NULL, "who cancels is not called");
}

static void
test_place(struct world *w)
{
	char server[MBOXREC_HOST];

	route_place(w->route, slice_str("user.a.x.y"), server);
	ok(strcmp(server, "b1") == 0, "beside its nearest ancestor");
	route_place(w->route, slice_str("user.res.x"), server);
	ok(strcmp(server, "b9") == 0, "else by weight");
}

/* A name of n octets, of which only the last ones tell it from others. */
static const char *
long_name(char name[MBOXREC_HOST + 1], size_t n, const char *end)
{
	memset(name, 'h', n);
	memcpy(name + n - strlen(end), end, strlen(end));
	name[n] = '\0';
	return name;
}

static void
test_long(struct world *w)
{
	char name[MBOXREC_HOST + 1], server[MBOXREC_HOST], line[600];
	char *items[2] = { (char *)(uintptr_t) "hh 127.0.0.1:3", line };
	struct mboxrec rec = { .state = MBOXREC_ACTIVE };
	struct proxyd_conf conf = { .backends = { items, 2 } };
	struct proxyd_backend b;

	long_name(name, MBOXREC_LOCATION_MAX, ".test");
	write_list(w, "user.long", MBOXREC_ACTIVE, name, false);
	ok(find(w, FRONT_SILENT, "user.long") == ROUTE_FOUND &&
	        strcmp(w->server, name) == 0,
	    "a host of %d octets", MBOXREC_LOCATION_MAX);
	route_place(w->route, slice_str("user.long.x"), server);
	ok(strcmp(server, name) == 0, "and of what is placed there");

	snprintf(line, sizeof(line), "%s 127.0.0.1:4 lmtp=127.0.0.1:5", name);
	proxyd_backend_find(&conf, name, &b);
	ok(strcmp(b.name, name) == 0 && strcmp(b.imap, "127.0.0.1:4") == 0 &&
	        strcmp(b.lmtp, "127.0.0.1:5") == 0,
	    "it has a line");
	conf.backends.count = 0;
	proxyd_backend_find(&conf, name, &b);
	ok(strlen(b.imap) == MBOXREC_LOCATION_MAX + 4 &&
	        strcmp(b.imap + MBOXREC_LOCATION_MAX, ":143") == 0 &&
	        strcmp(b.lmtp + MBOXREC_LOCATION_MAX, ":24") == 0,
	    "or none");

	rec.location =
	    slice_str(long_name(name, MBOXREC_LOCATION_MAX + 1, "test!"));
	route_server(&rec, server);
	ok(strlen(server) == MBOXREC_LOCATION_MAX, "all of it");
	rec.location =
	    slice_str(long_name(name, MBOXREC_LOCATION_MAX + 1, ".test"));
	route_server(&rec, server);
	ok(server[0] == '\0', "one that is too long is not another's");
}

/* The law: of n at once the last waits until it has been paid for. */
static void
test_rate(void)
{
	struct route_rate rate = { 10, 20, 0 };
	int64_t now = 5000, wait = 0;
	bool good = true;

	for (int i = 1; i <= 100; i++) {
		wait = route_rate_take(&rate, now);
		good = good && wait == (i <= 11 ? 0 : (i - 11) * 50);
	}
	ok(good, "past the burst each waits its turn");
	ok(route_rate_take(&rate, now + wait + 50) == 0 &&
	        route_rate_take(&rate, now + wait + 50) == 50,
	    "when they have been paid for there is one more");
	now += 100 * 1000;
	for (int i = 1; i <= 11; i++)
		good = good && route_rate_take(&rate, now) == 0;
	ok(good && route_rate_take(&rate, now) == 50,
	    "and after a rest the burst");
}

static void
test_turn(struct world *w)
{
	struct route_rate rate = { 1, 100, 0 };
	unsigned asked = w->asked;
	enum route_answer found;

	w->front = FRONT_SILENT;
	make_front(w);
	for (int i = 0; i < 3; i++)
		(void)route_find(w->route, &rate, slice_str("user.late"),
		    on_answer, w);
	(void)route_find(w->route, &rate, slice_str("user.a"), on_answer, w);
	loop_run(w->loop);
	found = w->answer;
	ok(found == ROUTE_FOUND, "what is here never waits");
	w->calls = 0;
	while (w->calls < 3)
		loop_run(w->loop);
	ok(w->asked == asked + 3 && w->answer == ROUTE_UNKNOWN,
	    "what has to wait is asked in the end");
}

int
main(void)
{
	struct world w;

	world_init(&w);
	test_no_copy(&w);
	test_answers(&w);
	test_current(&w);
	test_sync(&w);
	test_place(&w);
	test_long(&w);
	test_rate();
	test_turn(&w);
	world_fini(&w);
	return done_testing();
}
