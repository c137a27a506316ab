#include <stdio.h>
#include <unistd.h>

#include "lib/admin.h"
#include "lib/buf.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "proxyd/conf.h"
#include "proxyd/front_state.h"
#include "proxyd/mirror.h"

enum {
	ACCEPT_MS = 1000,         /* between two looks for accept-list */
	NAG_LEAST_MS = 30 * 1000, /* between two lines of the log */
	NAG_MOST_MS = 3600 * 1000
};

static struct mirror_status
status_of(const struct front *f)
{
	struct mirror_status st = { 0 };

	if (f->mirror != NULL)
		mirror_status(f->mirror, &st);
	return st;
}

static int64_t
stale_seconds(const struct front *f)
{
	int64_t ms = loop_wall(f->use.loop).ms - f->current.ms;

	return ms < 0 ? 0 : ms / 1000;
}

static void
accept_path(const struct front *f, char path[1024])
{
	snprintf(path, 1024, "%s/accept-list", f->use.conf->directory);
}

static const char *
held_because(const struct mirror_status *st)
{
	return st->held == MIRROR_HELD_WHOLE ? "a full list lacks too much"
	                                     : "too much is deleted at once";
}

/* --- the log -------------------------------------------------------------- */

static void
log_held(const struct front *f, const struct mirror_status *st)
{
	char path[1024];

	accept_path(f, path);
	log_err(f->use.log, "removals held back", "why", held_because(st),
	    "removals", LOG_NUM(st->lacking), "of", LOG_NUM(st->of),
	    "to_accept_make", path, NULL);
}

static void
on_nag(void *arg)
{
	struct front *f = front_of(arg);
	struct mirror_status st = status_of(f);

	if (f->state != FRONT_STREAMING)
		log_warn(f->use.log, "mailbox list is not current", "seconds",
		    LOG_NUM(stale_seconds(f)), "server",
		    f->use.conf->mupdate_server, "why", f->why, NULL);
	if (st.held != MIRROR_HELD_NOTHING)
		log_held(f, &st);
	f->nag_ms = f->nag_ms * 2 < NAG_MOST_MS ? f->nag_ms * 2 : NAG_MOST_MS;
	timer_set(f->nag, f->nag_ms);
}

static void
look_at_held(struct front *f, const struct mirror_status *st)
{
	char path[1024];

	if (st->held == MIRROR_HELD_NOTHING) {
		timer_stop(f->accept);
		return;
	}
	if (timer_is_set(f->accept))
		return;
	/* A word given before it was asked for was for another list. */
	accept_path(f, path);
	if (unlink(path) == 0)
		log_warn(f->use.log, "accept-list was made too early", "file",
		    path, NULL);
	log_held(f, st);
	timer_set(f->accept, ACCEPT_MS);
}

void
front_look(struct front *f)
{
	struct mirror_status st = status_of(f);

	look_at_held(f, &st);
	if (f->state == FRONT_STREAMING && st.held == MIRROR_HELD_NOTHING) {
		timer_stop(f->nag);
	} else if (!timer_is_set(f->nag)) {
		f->nag_ms = NAG_LEAST_MS;
		timer_set(f->nag, f->nag_ms);
	}
}

void
front_is_current(struct front *f)
{
	f->current = loop_wall(f->use.loop);
	front_look(f);
}

/* Has an administrator agreed by now? */
static void
on_accept(void *arg)
{
	struct front *f = front_of(arg);
	struct mirror_status st = status_of(f);
	char path[1024];

	if (st.held == MIRROR_HELD_NOTHING)
		return;
	timer_set(f->accept, ACCEPT_MS);
	accept_path(f, path);
	if (mirror_busy(f->mirror) || unlink(path) == -1)
		return;
	log_warn(f->use.log, "removals accepted", "removals",
	    LOG_NUM(st.lacking), NULL);
	mirror_accept(f->mirror);
	front_want_step(f);
}

void
front_report_init(struct front *f)
{
	f->nag = timer_new(f->use.loop, on_nag, f);
	f->accept = timer_new(f->use.loop, on_accept, f);
}

/* --- /healthz ------------------------------------------------------------- */

static const char *
connection(const struct front *f)
{
	switch (f->state) {
	case FRONT_RESTING:
	case FRONT_CONNECTING:
		return "not connected";
	case FRONT_LOADING:
		return "connected, catching up";
	case FRONT_STREAMING:
		return "connected";
	}
	return "";
}

static void
put_copy(const struct front *f, const struct mirror_status *st, struct buf *b)
{
	if (!st->complete)
		buf_printf(b, "filling, %llu mailboxes of %llu so far",
		    (unsigned long long)st->entries,
		    (unsigned long long)f->expected);
	else
		buf_printf(b, "%llu mailboxes, current %lld seconds ago",
		    (unsigned long long)st->entries,
		    (long long)stale_seconds(f));
	if (st->epoch[0] != '\0')
		buf_printf(b, ", revision %llu of epoch %s",
		    (unsigned long long)st->revision, st->epoch);
}

bool
front_health(const struct front *f, struct buf *line)
{
	struct mirror_status st = status_of(f);
	char path[1024];

	if (f->mirror == NULL) {
		buf_printf(line, "the copy cannot be used: %s", f->why);
		return false;
	}
	put_copy(f, &st, line);
	buf_printf(line, "; %s to %s", connection(f),
	    f->use.conf->mupdate_server);
	if (f->state != FRONT_STREAMING && f->why[0] != '\0')
		buf_printf(line, ": %s", f->why);
	if (st.held != MIRROR_HELD_NOTHING) {
		accept_path(f, path);
		buf_printf(line,
		    "; %llu removals of %llu held back, %s: make %s to accept",
		    (unsigned long long)st.lacking, (unsigned long long)st.of,
		    held_because(&st), path);
	}
	return st.complete;
}

static bool
check_health(void *arg, struct buf *line)
{
	return front_health(front_of(arg), line);
}

/* --- /metrics ------------------------------------------------------------- */

static uint64_t
entries(void *arg)
{
	return status_of(front_of(arg)).entries;
}

static uint64_t
held(void *arg)
{
	struct mirror_status st = status_of(front_of(arg));

	return st.held == MIRROR_HELD_NOTHING ? 0 : st.lacking;
}

static uint64_t
is_connected(void *arg)
{
	return front_of(arg)->state == FRONT_STREAMING;
}

static uint64_t
stale(void *arg)
{
	return (uint64_t)stale_seconds(front_of(arg));
}

void
front_register(struct front *f, struct admin *a)
{
	admin_health(a, "list", check_health, f);
	admin_gauge(a, "murder_list_mailboxes",
	    "Mailboxes in the copy of the list.", entries, f);
	admin_gauge(a, "murder_list_connected",
	    "1 if the update server's stream is followed.", is_connected, f);
	admin_gauge(a, "murder_list_stale_seconds",
	    "Since the copy was last known to be current.", stale, f);
	admin_gauge(a, "murder_list_held",
	    "Removals that wait for an administrator's word.", held, f);
	admin_counter(a, "murder_list_connects_total",
	    "Subscriptions at the update server.", &f->connects);
	admin_counter(a, "murder_list_losses_total",
	    "Subscriptions that ended.", &f->losses);
	admin_counter(a, "murder_list_barriers_total",
	    "Times a worker asked whether the copy is current.", &f->barriers);
	admin_counter(a, "murder_list_barriers_failed_total",
	    "Those for which that could not be known.", &f->barrier_noes);
}
