#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "imap/mupdate.h"
#include "imap/mupdate_login.h"
#include "lib/buf.h"
#include "lib/dial.h"
#include "lib/err.h"
#include "lib/ipc.h"
#include "lib/jobs.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/stream.h"
#include "lib/tls.h"
#include "lib/treedb.h"
#include "lib/xalloc.h"
#include "proxyd/conf.h"
#include "proxyd/front.h"

enum {
	FRONT_MAGIC = 0x6d66726e,
	BATCH = 1000,        /* changes of one transaction */
	IN_MAX = 256 * 1024, /* octets of the stream's buffers */
	OUT_MAX = 64 * 1024,
	ANSWER_SECONDS = 30,  /* for the update server to say anything */
	QUIET_MS = 20 * 1000, /* then NOOP asks whether it is there */
	RETRY_LEAST_MS = 200,
	RETRY_MOST_MS = 20 * 1000,
	WAITING_MAX = 100000 /* workers' requests */
};

enum state {
	STATE_RESTING,    /* the retry timer is set */
	STATE_CONNECTING, /* dial, banner, login */
	STATE_LOADING,    /* the whole list comes */
	STATE_STREAMING
};

struct worker {
	TAILQ_ENTRY(worker) entry;
	struct front *front;
	struct ipc *ipc;
	char name[16];
	unsigned index;
};

/* A worker's request; those at the head wait for the NOOP that is out. */
struct request {
	TAILQ_ENTRY(request) entry;
	struct worker *worker;
	uint64_t id;
	unsigned noop; /* which NOOP answers it; 0: none sent yet */
};

struct front {
	unsigned magic;
	struct child *child;
	const struct proxyd_conf *conf;
	struct loop *loop;
	struct log *log;
	struct jobs *jobs;
	struct treedb *list;
	struct tls *tls;
	TAILQ_HEAD(, worker) workers;
	TAILQ_HEAD(, request) requests;
	size_t nrequests;

	enum state state;
	int64_t retry_ms;
	struct timer *timer; /* of the state */
	struct dial *dial;
	struct stream *stream;
	struct mupdate *parser;
	struct mupdate_login *login;
	struct auth_secret secret;
	unsigned noop;     /* the last sent */
	unsigned noop_out; /* not yet answered; 0: none */

	bool in_transaction;
	size_t changes;            /* in it */
	struct map seen;           /* names of the full list being loaded */
	uint64_t changed, removed; /* of this connection, for the log */
};

static void front_enter(struct front *f, enum state state);

static struct front *
front_of(void *arg)
{
	struct front *f = arg;

	MUST(f->magic == FRONT_MAGIC);
	return f;
}

/* --- answering workers ---------------------------------------------------- */

static void
answer(struct front *f, struct request *r, bool current)
{
	uint8_t yes = current;

	/* A worker that is gone or does not read has a deadline of its own. */
	if (r->worker->ipc != NULL && !ipc_send(r->worker->ipc, FRONT_SYNCED,
	                                  r->id, slice_of(&yes, 1), -1))
		log_debug(f->log, "sync answer dropped", "worker",
		    r->worker->name, NULL);
	TAILQ_REMOVE(&f->requests, r, entry);
	f->nrequests--;
	free(r);
}

static void
answer_all(struct front *f, bool current)
{
	struct request *r, *next;

	TAILQ_FOREACH_SAFE (r, &f->requests, entry, next)
		answer(f, r, current);
}

/* --- the list ------------------------------------------------------------- */

/* Failing to write our own copy leaves nothing to do but start anew. */
static void
die(struct front *f, const char *what, const struct err *err)
{
	log_err(f->log, "mailbox list cannot be written", "doing", what, "why",
	    err->text, NULL);
	exit(1);
}

static void
begin(struct front *f)
{
	struct err err;

	if (f->in_transaction)
		return;
	if (treedb_begin(f->list, &err) == -1)
		die(f, "begin", &err);
	f->in_transaction = true;
}

static void
commit(struct front *f)
{
	struct err err;

	if (!f->in_transaction)
		return;
	if (treedb_commit(f->list, &err) == -1)
		die(f, "commit", &err);
	f->in_transaction = false;
	f->changes = 0;
}

static void
count_change(struct front *f)
{
	f->changed++;
	if (++f->changes >= BATCH)
		commit(f);
}

static bool
is_same(struct front *f, struct slice key, struct slice value)
{
	struct buf old;
	struct err err;
	bool same;
	int got;

	buf_init(&old, MBOXREC_ACL_MAX * 2);
	got = treedb_get(f->list, key, &old, &err);
	if (got == -1)
		die(f, "read", &err);
	same = got == 1 && slice_equal(buf_slice(&old), value);
	buf_fini(&old);
	return same;
}

/* False, and logged, for what is no name of ours. */
static bool
key_of(struct front *f, struct slice name, struct buf *key)
{
	const char *why = mboxname_invalid(name);

	buf_init(key, TREEDB_KEY_MAX);
	if (why == NULL)
		mboxname_key(key, name);
	else
		log_warn(f->log, "mailbox name left out", "mailbox",
		    LOG_SLICE(name), "why", why, NULL);
	return why == NULL;
}

static void
list_put(struct front *f, struct slice name, const struct mboxrec *rec)
{
	struct slice tags[TREEDB_TAGS_MAX];
	struct buf key, value;
	struct err err;

	if (!key_of(f, name, &key))
		return;
	if (f->state == STATE_LOADING)
		(void)map_put(&f->seen, buf_slice(&key), f);
	buf_init(&value, MBOXREC_ACL_MAX * 2);
	mboxrec_put(&value, rec);
	if (!is_same(f, buf_slice(&key), buf_slice(&value))) {
		begin(f);
		if (treedb_put(f->list, buf_slice(&key), buf_slice(&value),
		        tags, mboxrec_tags(rec, name, tags, NITEMS(tags)),
		        &err) == -1)
			die(f, "put", &err);
		count_change(f);
	}
	buf_fini(&value);
	buf_fini(&key);
}

static void
list_delete_key(struct front *f, struct slice key)
{
	struct err err;

	begin(f);
	if (treedb_delete(f->list, key, &err) == -1)
		die(f, "delete", &err);
	f->removed++;
	count_change(f);
}

static void
list_delete(struct front *f, struct slice name)
{
	struct buf key;

	if (!key_of(f, name, &key))
		return;
	list_delete_key(f, buf_slice(&key));
	buf_fini(&key);
}

/* Keys of the copy that a full list lacked, one after another. */
struct missing {
	struct front *front;
	struct buf keys; /* length and octets, by wire */
	uint64_t count, total;
};

static enum treedb_next
note_missing(void *arg, struct slice key, struct slice value)
{
	struct missing *m = arg;
	uint16_t len = (uint16_t)key.len;

	(void)value;
	m->total++;
	if (map_find(&m->front->seen, key) != NULL)
		return TREEDB_NEXT;
	m->count++;
	buf_put(&m->keys, &len, sizeof(len));
	buf_put_slice(&m->keys, key);
	return TREEDB_NEXT;
}

/*
 * An update server that lost its list must not take ours with it: beyond so
 * many percent an admin has to agree.
 */
static bool
may_shrink(struct front *f, const struct missing *m)
{
	char path[1024];

	if (m->count <= 10 || m->count * 100 <= m->total * f->conf->list_shrink)
		return true;
	snprintf(path, sizeof(path), "%s/accept-list", f->conf->directory);
	if (unlink(path) == 0)
		return true;
	log_err(f->log, "full list refused", "lacks", LOG_NUM(m->count), "of",
	    LOG_NUM(m->total), "to_accept", path, NULL);
	return false;
}

static void
remove_missing(struct front *f)
{
	struct missing m = { .front = f };
	struct slice none = { NULL, 0 }, rest;
	struct err err;
	uint16_t len;

	buf_init(&m.keys, SIZE_MAX / 2);
	if (treedb_walk(f->list, none, none, note_missing, &m, &err) == -1)
		die(f, "walk", &err);
	if (m.count > 0 && may_shrink(f, &m))
		for (rest = buf_slice(&m.keys); rest.len > 0;) {
			memcpy(&len, rest.ptr, sizeof(len));
			rest = slice_skip(rest, sizeof(len));
			list_delete_key(f, slice_first(rest, len));
			rest = slice_skip(rest, len);
		}
	buf_fini(&m.keys);
}

/* --- the connection ------------------------------------------------------- */

static void
disconnect(struct front *f)
{
	dial_free(&f->dial);
	mupdate_login_free(&f->login);
	mupdate_free(&f->parser);
	stream_free(&f->stream);
	map_fini(&f->seen);
	map_init(&f->seen);
	commit(f);
	f->noop_out = 0;
	answer_all(f, false);
}

static void
fail(struct front *f, const char *why)
{
	log_warn(f->log, "update server lost", "server",
	    f->conf->mupdate_server, "why", why, NULL);
	front_enter(f, STATE_RESTING);
}

static void
send_noop(struct front *f)
{
	struct request *r;
	char tag[16];

	if (f->noop_out != 0 || f->state != STATE_STREAMING)
		return;
	f->noop_out = ++f->noop == 0 ? ++f->noop : f->noop;
	snprintf(tag, sizeof(tag), "N%u", f->noop);
	mupdate_put_command(stream_out(f->stream), tag, MUPDATE_CMD_NOOP, NULL,
	    0);
	TAILQ_FOREACH (r, &f->requests, entry)
		r->noop = f->noop;
	stream_flush(f->stream);
	timer_set(f->timer, ANSWER_SECONDS * 1000);
}

static void
noop_answered(struct front *f)
{
	struct request *r, *next;

	commit(f);
	TAILQ_FOREACH_SAFE (r, &f->requests, entry, next)
		if (r->noop == f->noop_out)
			answer(f, r, true);
	f->noop_out = 0;
	if (!TAILQ_EMPTY(&f->requests))
		send_noop(f);
}

static void
loaded(struct front *f)
{
	commit(f);
	remove_missing(f);
	commit(f);
	log_info(f->log, "mailbox list is current", "server",
	    f->conf->mupdate_server, "mailboxes", LOG_NUM(map_count(&f->seen)),
	    "changed", LOG_NUM(f->changed), "removed", LOG_NUM(f->removed),
	    NULL);
	map_fini(&f->seen);
	map_init(&f->seen);
	front_enter(f, STATE_STREAMING);
	if (!TAILQ_EMPTY(&f->requests))
		send_noop(f);
}

/* False if the connection is over. */
static bool
take_message(struct front *f)
{
	const struct mupdate_message *m = mupdate_message(f->parser);
	struct mboxrec rec = { 0 };
	char tag[16];

	switch (m->id) {
	case MUPDATE_MAILBOX:
		rec.state = MBOXREC_ACTIVE;
		rec.location = m->args[1];
		rec.acl = m->args[2];
		list_put(f, m->args[0], &rec);
		return true;
	case MUPDATE_RESERVE:
		rec.state = MBOXREC_RESERVED;
		rec.location = m->args[1];
		list_put(f, m->args[0], &rec);
		return true;
	case MUPDATE_DELETE:
		list_delete(f, m->args[0]);
		return true;
	case MUPDATE_OK:
		snprintf(tag, sizeof(tag), "N%u", f->noop_out);
		if (f->state == STATE_LOADING && slice_is(m->tag, "U01"))
			loaded(f);
		else if (f->noop_out != 0 && slice_is(m->tag, tag))
			noop_answered(f);
		return true;
	default:
		fail(f, m->id == -1 ? m->error : "it says NO, BAD or BYE");
		return false;
	}
}

static void
subscribe(struct front *f)
{
	mupdate_put_command(stream_out(f->stream), "U01", MUPDATE_CMD_UPDATE,
	    NULL, 0);
	front_enter(f, STATE_LOADING);
}

static bool
take_login(struct front *f, enum mupdate_event ev)
{
	struct err err;

	switch (mupdate_login_take(f->login, f->parser, ev,
	    stream_out(f->stream), &err)) {
	case MUPDATE_LOGIN_WAIT:
		return true;
	case MUPDATE_LOGIN_TLS:
		if (stream_start_tls(f->stream, f->tls,
		        f->conf->backend_ca != NULL ? f->conf->mupdate_server
		                                    : NULL,
		        &err) == -1)
			break;
		return true;
	case MUPDATE_LOGIN_DONE:
		subscribe(f);
		return true;
	case MUPDATE_LOGIN_FAILED:
		break;
	}
	fail(f, err.text);
	return false;
}

/* All that has come; false if the connection is over. */
static bool
take_input(struct front *f)
{
	struct buf *in = stream_in(f->stream);
	enum mupdate_event ev;
	size_t taken;

	do {
		ev = mupdate_next(f->parser, buf_data(in), buf_len(in), &taken);
		buf_drop(in, taken);
		if (ev == MUPDATE_ERROR) {
			fail(f, mupdate_error(f->parser));
			return false;
		}
		if (ev == MUPDATE_GO_AHEAD)
			mupdate_put_go_ahead(stream_out(f->stream));
		else if (ev != MUPDATE_MORE && f->state == STATE_CONNECTING) {
			if (!take_login(f, ev))
				return false;
		} else if (ev == MUPDATE_MESSAGE && !take_message(f))
			return false;
	} while (ev != MUPDATE_MORE);
	return true;
}

static void
on_stream(void *arg, enum stream_event ev)
{
	struct front *f = front_of(arg);

	if (ev == STREAM_CLOSED) {
		fail(f, stream_error(f->stream));
		return;
	}
	if (ev == STREAM_READ && !take_input(f))
		return;
	if (f->state != STATE_LOADING)
		commit(f);
	if (f->state != STATE_CONNECTING && f->noop_out == 0)
		timer_set(f->timer, f->state == STATE_LOADING
		                        ? ANSWER_SECONDS * 1000
		                        : QUIET_MS);
	stream_flush(f->stream);
	stream_want_read(f->stream, true);
}

static void
on_dial(void *arg, int fd, const char *why)
{
	static const struct stream_limits limits = { IN_MAX, OUT_MAX, 900 };
	struct front *f = front_of(arg);
	struct mupdate_limits most = mupdate_defaults();
	struct err err;

	dial_free(&f->dial);
	if (fd == -1) {
		fail(f, why);
		return;
	}
	f->stream = stream_new(f->loop, fd, &limits, on_stream, f);
	f->parser = mupdate_new(MUPDATE_CLIENT, &most);
	f->secret = (struct auth_secret){ .authcid = f->conf->mupdate_user,
		.password = f->conf->mupdate_password };
	f->login = mupdate_login_new(
	    &(struct mupdate_login_want){ .secret = &f->secret,
	        .host = f->conf->mupdate_server,
	        .starttls = f->conf->mupdate_tls == CONF_TLS_STARTTLS,
	        .external = f->conf->backend_cert != NULL });
	if (f->conf->mupdate_tls == CONF_TLS_YES &&
	    stream_start_tls(f->stream, f->tls, NULL, &err) == -1) {
		fail(f, err.text);
		return;
	}
	stream_want_read(f->stream, true);
}

static void
on_timer(void *arg)
{
	struct front *f = front_of(arg);

	switch (f->state) {
	case STATE_RESTING:
		front_enter(f, STATE_CONNECTING);
		return;
	case STATE_STREAMING:
		if (f->noop_out == 0) {
			send_noop(f);
			return;
		}
		break;
	case STATE_CONNECTING:
	case STATE_LOADING:
		break;
	}
	fail(f, "no answer in time");
}

static void
rest(struct front *f)
{
	disconnect(f);
	/* Random, so that frontends do not all come back together. */
	timer_set(f->timer,
	    f->retry_ms / 2 + (int64_t)rand_below((uint64_t)f->retry_ms));
	f->retry_ms =
	    f->retry_ms * 2 > RETRY_MOST_MS ? RETRY_MOST_MS : f->retry_ms * 2;
}

static void
front_enter(struct front *f, enum state state)
{
	f->state = state;
	switch (state) {
	case STATE_RESTING:
		rest(f);
		return;
	case STATE_CONNECTING:
		f->dial = dial_new(f->loop, f->jobs, f->conf->mupdate_server,
		    ANSWER_SECONDS, on_dial, f);
		timer_set(f->timer, 2 * ANSWER_SECONDS * 1000);
		return;
	case STATE_LOADING:
		f->changed = f->removed = 0;
		timer_set(f->timer, ANSWER_SECONDS * 1000);
		return;
	case STATE_STREAMING:
		f->retry_ms = RETRY_LEAST_MS;
		timer_set(f->timer, QUIET_MS);
		return;
	}
}

/* --- workers -------------------------------------------------------------- */

static void
worker_free(struct front *f, struct worker *w)
{
	struct request *r, *next;

	TAILQ_FOREACH_SAFE (r, &f->requests, entry, next)
		if (r->worker == w) {
			TAILQ_REMOVE(&f->requests, r, entry);
			f->nrequests--;
			free(r);
		}
	TAILQ_REMOVE(&f->workers, w, entry);
	ipc_free(&w->ipc);
	free(w);
}

static void
on_ipc(void *arg, const struct ipc_message *m)
{
	struct worker *w = arg;
	struct front *f = front_of(w->front);
	struct request *r;

	if (m == NULL) {
		worker_free(f, w);
		return;
	}
	MUST(m->type == FRONT_SYNC && m->fd == -1);
	r = xcalloc(1, sizeof(*r));
	r->worker = w;
	r->id = m->id;
	TAILQ_INSERT_TAIL(&f->requests, r, entry);
	f->nrequests++;
	if (f->state == STATE_RESTING || f->nrequests > WAITING_MAX)
		answer(f, r, false);
	else
		send_noop(f);
}

static void
on_neighbour(void *state, const char *name, unsigned index, int fd)
{
	struct front *f = front_of(state);
	struct worker *w, *next;

	TAILQ_FOREACH_SAFE (w, &f->workers, entry, next)
		if (w->index == index && strcmp(w->name, name) == 0)
			worker_free(f, w);
	w = xcalloc(1, sizeof(*w));
	w->front = f;
	w->index = index;
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->ipc = ipc_new(f->loop, fd, on_ipc, w);
	TAILQ_INSERT_TAIL(&f->workers, w, entry);
}

static int
make_tls(struct front *f, struct err *err)
{
	struct tls_material m = { child_file(f->child, "backend_cert"),
		child_file(f->child, "backend_key"),
		child_file(f->child, "backend_ca"),
		f->conf->backend_ca != NULL };

	f->tls = tls_client_new(&m, err);
	return f->tls == NULL ? -1 : 0;
}

static int
on_start(struct child *c, void **statep, struct err *err)
{
	struct front *f = xcalloc(1, sizeof(*f));
	char dir[1024];

	f->magic = FRONT_MAGIC;
	f->child = c;
	f->conf = child_conf(c);
	f->loop = child_loop(c);
	f->log = child_log(c);
	f->retry_ms = RETRY_LEAST_MS;
	TAILQ_INIT(&f->workers);
	TAILQ_INIT(&f->requests);
	map_init(&f->seen);
	snprintf(dir, sizeof(dir), "%s/" FRONT_LIST, f->conf->directory);
	if (make_tls(f, err) == -1 ||
	    treedb_open(&f->list, dir, (unsigned)f->conf->list_shards, DB_CACHE,
	        err) == -1) {
		free(f);
		return -1;
	}
	f->jobs = jobs_new(f->loop, 1);
	f->timer = timer_new(f->loop, on_timer, f);
	front_enter(f, STATE_CONNECTING);
	*statep = f;
	return 0;
}

static void
on_reload(void *state)
{
	struct front *f = front_of(state);

	f->conf = child_conf(f->child);
	/* A login under way borrows from the old one. */
	if (f->state == STATE_CONNECTING)
		front_enter(f, STATE_RESTING);
}

/* Workers need us to the end; there is nothing to wait for. */
static void
on_drain(void *state)
{
	child_drained(front_of(state)->child);
}

static unsigned
one(const void *conf)
{
	(void)conf;
	return 1;
}

const struct daemon_child proxyd_front_child = { "front", one, on_start,
	on_neighbour, on_reload, on_drain };
