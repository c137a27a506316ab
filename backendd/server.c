/*
 * The store child: what it is made of, from start to drain.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backendd/adm_serve.h"
#include "backendd/announce.h"
#include "backendd/conf.h"
#include "backendd/ledger.h"
#include "backendd/lmtp.h"
#include "backendd/mailbox.h"
#include "backendd/mblist.h"
#include "backendd/monitor.h"
#include "backendd/partition.h"
#include "backendd/quota.h"
#include "backendd/seen.h"
#include "backendd/notify.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "backendd/session_state.h"
#include "backendd/store.h"
#include "backendd/uplink.h"
#include "backendd/users.h"
#include "imap/mboxrec.h"
#include "imap/mupdate_conf.h"
#include "lib/admin.h"
#include "lib/auth.h"
#include "lib/daemon.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/listeners.h"
#include "lib/list.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/tls.h"
#include "lib/xalloc.h"

enum {
	READY_POLL_MS = 10,
	READY_POLLS = 500, /* then accept without knowing the mechanisms */
	ANNOUNCE_FIRST_MS = 250,
	ANNOUNCE_LAST_MS = 5 * 1000,
	ANNOUNCE_ANSWER_MS = 10 * 1000,
	KEPT_OCTETS = 32 * 1024 * 1024,
	DAY_MS = 24 * 60 * 60 * 1000,
	DRAIN_POLL_MS = 50
};

/* The child's state: the backend, and what only starting and ending need. */
struct server {
	struct backendd bd;
	struct uplink_conf uplink;
	struct admin *admin;
	struct timer *ready; /* is auth there? */
	unsigned polls;
	struct listeners *listeners;
	struct listeners *tools; /* backendadm's */
	struct adm_server *adm;
	struct timer *drain;
	struct store_naming naming;
};

/* --- what others ask -------------------------------------------------------- */

struct partition *
backendd_partition(struct backendd *bd, const char *name)
{
	for (size_t i = 0; i < bd->npartitions; i++)
		if (strcmp(bd->partitions[i].name, name) == 0)
			return &bd->partitions[i];
	return NULL;
}

struct store *
backendd_store(struct backendd *bd, const struct mboxrec *rec)
{
	struct slice name = mboxrec_partition(rec->location);

	for (size_t i = 0; i < bd->npartitions; i++)
		if (slice_is(name, bd->partitions[i].name))
			return bd->partitions[i].store;
	return NULL;
}

void
backendd_location(const struct backendd *bd, const char *partition,
    char out[LOCATION_MAX])
{
	snprintf(out, LOCATION_MAX, "%s!%s", bd->hostname, partition);
}

bool
backendd_list_accepted(struct backendd *bd)
{
	size_t room = strlen(bd->conf->directory) + 16;
	char *path = xmalloc(room);
	int r;

	snprintf(path, room, "%s/accept-list", bd->conf->directory);
	r = unlink(path);
	free(path);
	return r == 0;
}

static bool
is_listed(const struct conf_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], name) == 0)
			return true;
	return false;
}

bool
backendd_is_proxy(const struct backendd *bd, const char *name)
{
	return is_listed(&bd->conf->proxy_servers, name);
}

bool
backendd_is_admin(const struct backendd *bd, const char *name)
{
	return is_listed(&bd->conf->admins, name);
}

bool
backendd_allows_plaintext(const struct backendd *bd)
{
	return bd->conf->auth.plaintext;
}

/* --- accepting -------------------------------------------------------------- */

static bool
has_room(const struct backendd *bd)
{
	return bd->nsessions < bd->conf->max_sessions &&
	       bd->ndeliveries < bd->conf->max_deliveries && !bd->draining;
}

static void
state_interest(struct server *sv)
{
	listeners_want(sv->listeners,
	    has_room(&sv->bd) ? LISTENERS_ACCEPT : LISTENERS_PAUSE);
}

static void
accept_imap(void *arg, int fd)
{
	struct server *sv = arg;

	session_new(&sv->bd, fd, SESSION_PLAIN);
	state_interest(sv);
}

static void
accept_imaps(void *arg, int fd)
{
	struct server *sv = arg;

	session_new(&sv->bd, fd, SESSION_TLS);
	state_interest(sv);
}

static void
accept_lmtp(void *arg, int fd)
{
	struct server *sv = arg;

	lmtp_session_new(&sv->bd, fd);
	state_interest(sv);
}

static void
accept_tool(void *arg, int fd)
{
	struct server *sv = arg;

	adm_server_accept(sv->adm, fd);
}

/*
 * Accepts once the auth child has said which mechanisms there are: a client
 * must not be told that there are none.
 */
static void
poll_ready(void *arg)
{
	struct server *sv = arg;
	struct auth_peer peer = { "imap", "", NULL, true };

	if (auth_mechanisms(sv->bd.auth, &peer)[0] == '\0' &&
	    ++sv->polls < READY_POLLS) {
		timer_set(sv->ready, READY_POLL_MS);
		return;
	}
	listeners_add(sv->listeners, "imap", accept_imap, sv);
	listeners_add(sv->listeners, "imaps", accept_imaps, sv);
	listeners_add(sv->listeners, "lmtp", accept_lmtp, sv);
	log_info(sv->bd.log, "accepting", "host", sv->bd.hostname, NULL);
}

void
backendd_session_gone(struct backendd *bd)
{
	struct server *sv = (struct server *)bd;

	state_interest(sv);
}

/* --- starting --------------------------------------------------------------- */

static int
start_tls(struct backendd *bd, struct err *err)
{
	struct tls_material server = {
		.cert = child_file(bd->child, "tls_cert"),
		.key = child_file(bd->child, "tls_key"),
		.ca = child_file(bd->child, "tls_ca"),
	};
	struct tls_material client = {
		.cert = child_file(bd->child, "mupdate_cert"),
		.key = child_file(bd->child, "mupdate_key"),
		.ca = child_file(bd->child, "mupdate_ca"),
	};

	if (bd->conf->tls_cert != NULL) {
		bd->tls = tls_server_new(&server, err);
		if (bd->tls == NULL)
			return err_add(err, "tls_cert, tls_key");
	}
	if (bd->conf->mupdate_tls == MUPDATE_TLS_NO)
		return 0;
	client.require = client.ca.len > 0;
	bd->tls_client = tls_client_new(&client, err);
	if (bd->tls_client == NULL)
		return err_add(err, "mupdate_ca, mupdate_cert, mupdate_key");
	return 0;
}

static struct store_options
store_options(const struct backendd_conf *conf)
{
	return (struct store_options){
		.hold_seconds = (int64_t)(conf->expunge_delay_ms / 1000),
		.compact_percent = (unsigned)conf->compact_percent,
		.compact_rate = conf->compact_rate,
		.reserve = conf->reserve,
	};
}

static int
start_partitions(struct server *sv, struct err *err)
{
	struct backendd *bd = &sv->bd;
	const struct conf_list *list = &bd->conf->partitions;
	struct store_env env = { .loop = bd->loop,
		.jobs = bd->jobs,
		.log = bd->log,
		.naming = &sv->naming,
		.key_days =
		    (unsigned)((bd->conf->duplicate_ms + DAY_MS - 1) / DAY_MS),
		.options = store_options(bd->conf) };

	sv->naming = partition_naming(&bd->layout);
	bd->partitions = xcalloc(list->count, sizeof(*bd->partitions));
	for (size_t i = 0; i < list->count; i++) {
		struct partition *p = &bd->partitions[i];
		const char *space = strchr(list->items[i], ' ');

		MUST(space != NULL);
		p->name =
		    xstrndup(list->items[i], (size_t)(space - list->items[i]));
		while (*space == ' ')
			space++;
		p->dir = xstrdup(space);
		if (store_start(&p->store,
		        partition_module(bd->conf, p->name, &env.layout), &env,
		        p->dir, err) == -1)
			return err_add(err, "partition %s", p->name);
		bd->npartitions++;
	}
	return 0;
}

static void
start_announce(struct server *sv)
{
	struct backendd *bd = &sv->bd;
	const struct backendd_conf *conf = bd->conf;

	if (conf->mupdate_server == NULL)
		return;
	sv->uplink = (struct uplink_conf){
		.server = xstrdup(conf->mupdate_server),
		.user = conf->mupdate_user ? xstrdup(conf->mupdate_user) : NULL,
		.password = conf->mupdate_password
		                ? xstrdup(conf->mupdate_password)
		                : NULL,
		.mechanisms = conf->mupdate_mechanisms
		                  ? xstrdup(conf->mupdate_mechanisms)
		                  : NULL,
		.tls = bd->tls_client,
		.implicit = conf->mupdate_tls == MUPDATE_TLS_YES,
		.starttls = conf->mupdate_tls == MUPDATE_TLS_STARTTLS,
		.external = conf->mupdate_cert != NULL,
		.first_ms = ANNOUNCE_FIRST_MS,
		.last_ms = ANNOUNCE_LAST_MS,
		.answer_ms = ANNOUNCE_ANSWER_MS,
	};
	bd->announce = announce_new(bd->loop, bd->jobs, bd->log, &sv->uplink,
	    mblist_link, bd->list);
}

static void
set_layout(struct backendd *bd)
{
	const struct backendd_conf *conf = bd->conf;

	bd->layout = mboxname_layout_of(&conf->names);
	bd->layout.virtual_domains = conf->virtual_domains;
	bd->layout.others = xstrdup(bd->layout.others);
	bd->layout.shared = xstrdup(bd->layout.shared);
	bd->layout.domain =
	    conf->default_domain ? xstrdup(conf->default_domain) : NULL;
	bd->admin_layout = bd->layout;
	bd->admin_layout.altnamespace =
	    mboxname_admin_layout_of(&conf->names).altnamespace;
}

/*
 * The octets of messages come and go by the megabyte.  To give the pages back
 * each time, and to have them cleared again, took a fifth of the time of an
 * APPEND of many messages.
 */
static void
keep_pages(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, KEPT_OCTETS); /* advice */
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_OCTETS);
}

/*
 * What was copied from the configuration lives as long as the process: names
 * and places do not change by a reload.
 */
static int
start(struct child *c, void **statep, struct err *err)
{
	struct server *sv = xcalloc(1, sizeof(*sv));
	struct backendd *bd = &sv->bd;

	bd->child = c;
	bd->conf = child_conf(c);
	bd->loop = child_loop(c);
	bd->log = child_log(c);
	bd->hostname = xstrdup(bd->conf->hostname);
	keep_pages();
	sessions_start(bd);
	TAILQ_INIT(&bd->noticed);
	TAILQ_INIT(&bd->deliveries);
	TAILQ_INIT(&bd->waiting);
	set_layout(bd);
	bd->ledger = ledger_new(bd->loop);
	bd->quotas = quotas_new(bd);
	bd->jobs = jobs_new(bd->loop, (unsigned)bd->conf->job_threads);
	bd->auth = auth_new(bd->loop, bd->log, &bd->conf->auth);
	if (start_tls(bd, err) == -1 || start_partitions(sv, err) == -1 ||
	    users_open(&bd->users, bd, err) == -1 ||
	    mblist_open(&bd->list, bd, err) == -1)
		return -1; /* the process ends: the parent says why */
	bd->mailboxes = mailboxes_new(bd->loop);
	mailboxes_tell(bd->mailboxes, bd->ledger);
	notify_start(bd);
	mailboxes_observe(bd->mailboxes, notify_messages, bd);
	bd->seens = seens_new(bd->users);
	start_announce(sv);
	sv->admin = admin_new(c);
	monitor_register(sv->admin, bd);
	sv->listeners = listeners_new(c);
	sv->adm = adm_server_new(bd);
	sv->tools = listeners_new(c);
	listeners_add(sv->tools, "adm", accept_tool, sv);
	sv->ready = timer_new(bd->loop, poll_ready, sv);
	timer_set(sv->ready, 0);
	*statep = sv;
	return 0;
}

static void
neighbour(void *state, const char *name, unsigned index, int fd)
{
	struct server *sv = state;

	MUST(strcmp(name, "auth") == 0);
	auth_neighbour(sv->bd.auth, index, fd);
}

static void
reload(void *state)
{
	struct server *sv = state;
	struct backendd *bd = &sv->bd;
	struct tls_material server;
	struct store_options options;
	struct err err;
	struct tls *tls;

	bd->conf = child_conf(bd->child);
	options = store_options(bd->conf);
	for (size_t i = 0; i < bd->npartitions; i++)
		store_configure(bd->partitions[i].store, &options);
	mblist_configured(bd->list);
	log_debug(bd->log, "settings taken", NULL);
	auth_reload(bd->auth, &bd->conf->auth);
	server = (struct tls_material){
		.cert = child_file(bd->child, "tls_cert"),
		.key = child_file(bd->child, "tls_key"),
		.ca = child_file(bd->child, "tls_ca"),
	};
	if (bd->conf->tls_cert == NULL)
		return;
	tls = tls_server_new(&server, &err);
	if (tls == NULL) {
		log_err(bd->log, "new certificate not used", "why", err.text,
		    NULL);
		return;
	}
	tls_free(&bd->tls);
	bd->tls = tls;
}

/* --- ending ----------------------------------------------------------------- */

static size_t
busy(const struct server *sv)
{
	const struct backendd *bd = &sv->bd;
	size_t n = adm_server_count(sv->adm) + bd->nsessions + bd->ndeliveries +
	           bd->nsearches + mblist_busy(bd->list);

	for (size_t i = 0; i < bd->npartitions; i++)
		n += store_busy(bd->partitions[i].store);
	return n;
}

static void
stop(struct server *sv)
{
	struct backendd *bd = &sv->bd;

	admin_free(&sv->admin);
	listeners_free(&sv->tools);
	adm_server_free(&sv->adm);
	sessions_end(bd);
	notify_stop(bd);
	announce_free(&bd->announce);
	seens_free(&bd->seens);
	mailboxes_free(&bd->mailboxes);
	quotas_free(&bd->quotas);
	mblist_close(&bd->list);
	users_close(&bd->users);
	for (size_t i = 0; i < bd->npartitions; i++)
		store_stop(&bd->partitions[i].store);
	ledger_free(&bd->ledger);
	child_drained(bd->child);
}

static void
poll_drain(void *arg)
{
	struct server *sv = arg;

	/* A store may have something to write when a mailbox is closed. */
	if (busy(sv) == 0)
		mailboxes_close_idle(sv->bd.mailboxes);
	if (busy(sv) > 0)
		timer_set(sv->drain, DRAIN_POLL_MS);
	else
		stop(sv);
}

static void
drain(void *state)
{
	struct server *sv = state;
	struct backendd *bd = &sv->bd;
	struct lmtp_session *ls, *after;

	bd->draining = true;
	state_interest(sv);
	listeners_want(sv->tools, LISTENERS_PAUSE);
	adm_server_drain(sv->adm);
	sessions_drain(bd);
	for (ls = TAILQ_FIRST(&bd->deliveries); ls != NULL; ls = after) {
		after = lmtp_session_next(ls);
		lmtp_session_drain(ls);
	}
	timer_stop(sv->ready);
	sv->drain = timer_new(bd->loop, poll_drain, sv);
	timer_set(sv->drain, 1);
}

static unsigned
one(const void *conf)
{
	(void)conf; /* a mailbox is open once, so there is one process */
	return 1;
}

const struct daemon_child backendd_store_child = {
	.name = "store",
	.count = one,
	.start = start,
	.neighbour = neighbour,
	.reload = reload,
	.drain = drain,
};
