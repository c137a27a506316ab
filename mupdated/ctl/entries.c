/*
 * status and list: what goes through many entries.
 */
#include <stdio.h>
#include <stdlib.h>

#include "imap/mboxdigest.h"
#include "imap/mboxrec.h"
#include "imap/mupdate.h"
#include "imap/mupdate_ext.h"
#include "lib/loop.h"
#include "lib/map.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "mupdated/ctl/conf.h"
#include "mupdated/ctl/ctl.h"
#include "mupdated/ctl/asker.h"
#include "lib/progress.h"

enum {
	HOSTS_MAX = 10000,
	NAME_WIDTH = 40,
	HOST_WIDTH = 32,
	STATE_WIDTH = 8,
	NUMBER_WIDTH = 10
};

static void
put_update(void *arg, struct buf *out, const char *tag)
{
	(void)arg; /* all of it */
	mupdate_ext_put_update(out, tag, slice_str(""), 0);
}

static enum ctl_exit
conclude(const struct ctl *c, enum asker_end end, const struct err *err)
{
	switch (end) {
	case ASKER_OK:
		return CTL_OK;
	case ASKER_NO:
		return ctl_refused(c, err);
	case ASKER_LOST:
	case ASKER_STOPPED:
		break;
	}
	return ctl_fail(end == ASKER_LOST
	                    ? err->text
	                    : "standard output cannot be written");
}

/* --- status ---------------------------------------------------------------- */

struct host {
	size_t active, reserved, moving;
	char *name;
};

struct status {
	struct map hosts;
	struct host other; /* than the first HOSTS_MAX */
	char epoch[MUPDATE_EXT_EPOCH_MAX + 1];
	uint64_t revision, entries, expected;
	struct progress progress;
};

static struct host *
host_of(struct status *s, struct slice location)
{
	struct slice name = mboxrec_host(location);
	struct host *h = map_find(&s->hosts, name);

	if (h != NULL)
		return h;
	if (map_count(&s->hosts) >= HOSTS_MAX)
		return &s->other;
	h = xcalloc(1, sizeof(*h));
	h->name = xstrndup(name.ptr, name.len);
	MUST(map_put(&s->hosts, name, h) == NULL);
	return h;
}

static void
count(struct status *s, const struct mboxrec *r)
{
	struct host *h = host_of(s, r->location);

	s->entries++;
	progress_step(&s->progress, s->expected);
	switch (r->state) {
	case MBOXREC_ACTIVE:
		h->active++;
		break;
	case MBOXREC_RESERVED:
		h->reserved++;
		break;
	case MBOXREC_MOVING:
		h->moving++;
		break;
	}
}

static bool
status_line(void *arg, const struct mupdate_message *m)
{
	struct status *s = arg;
	struct slice name, epoch;
	struct mboxrec r;

	switch (m->id) {
	case MUPDATE_XFULL:
		if (mupdate_ext_get_full(m, &epoch, &s->expected))
			(void)snprintf(s->epoch, sizeof(s->epoch), "%.*s",
			    (int)epoch.len, (const char *)epoch.ptr);
		break;
	case MUPDATE_XENTRY:
		if (mupdate_ext_get_entry(m, &name, &r))
			count(s, &r);
		break;
	case MUPDATE_XAT:
		if (!mupdate_ext_get_at(m, &s->revision))
			s->revision = 0;
		break;
	default:
		break;
	}
	return true;
}

static bool
collect(void *arg, struct slice key, void *value)
{
	struct host ***at = arg;

	(void)key; /* the host has it */
	*(*at)++ = value;
	return true;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp((*(struct host *const *)a)->name,
	    (*(struct host *const *)b)->name);
}

static void
show_host(struct ctl *c, const struct host *h)
{
	struct out *o = &c->out;

	if (c->json) {
		out_open(o, NULL, '{');
		out_str(o, "host", slice_str(h->name));
		out_number(o, "active", h->active);
		out_number(o, "reserved", h->reserved);
		out_number(o, "moving", h->moving);
		out_close(o, '}');
		return;
	}
	out_cell(o, slice_str(h->name), HOST_WIDTH);
	out_cell_number(o, h->active, NUMBER_WIDTH);
	out_cell_number(o, h->reserved, NUMBER_WIDTH);
	out_cell_number(o, h->moving, 0);
	(void)out_end(o); /* out_fini() tells */
}

static void
show_fact(struct ctl *c, const char *what, struct slice value)
{
	if (c->json) {
		out_str(&c->out, what, value);
		return;
	}
	out_cell(&c->out, slice_str(what), 10);
	out_cell(&c->out, value, 0);
	(void)out_end(&c->out); /* out_fini() tells */
}

static void
show_count(struct ctl *c, const char *what, uint64_t n)
{
	char text[24];

	if (c->json) {
		out_number(&c->out, what, n);
		return;
	}
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	show_fact(c, what, slice_str(text));
}

static void
show_heading(struct ctl *c)
{
	struct out *o = &c->out;

	if (c->json) {
		out_open(o, "hosts", '[');
		return;
	}
	(void)out_end(o); /* an empty line; out_fini() tells */
	out_cell(o, slice_str("HOST"), HOST_WIDTH);
	out_cell(o, slice_str("ACTIVE"), NUMBER_WIDTH);
	out_cell(o, slice_str("RESERVED"), NUMBER_WIDTH);
	out_cell(o, slice_str("MOVING"), 0);
	(void)out_end(o);
}

static void
show_status(struct ctl *c, struct status *s)
{
	size_t n = map_count(&s->hosts);
	struct host **hosts = xcalloc(n + 1, sizeof(struct host *));
	struct host **at = hosts;

	map_each(&s->hosts, collect, &at);
	qsort(hosts, n, sizeof(struct host *), by_name);
	if (c->json)
		out_open(&c->out, NULL, '{');
	show_fact(c, "server", slice_str(c->conf->server));
	show_fact(c, "epoch", slice_str(s->epoch));
	show_count(c, "revision", s->revision);
	show_count(c, "entries", s->entries);
	show_heading(c);
	for (size_t i = 0; i < n; i++)
		show_host(c, hosts[i]);
	if (s->other.active + s->other.reserved + s->other.moving > 0)
		show_host(c, &s->other);
	if (c->json) {
		out_close(&c->out, ']');
		out_close(&c->out, '}');
		(void)out_end(&c->out); /* out_fini() tells */
	}
	free(hosts);
}

static bool
free_host(void *arg, struct slice key, void *value)
{
	struct host *h = value;

	(void)arg; /* every one */
	(void)key;
	free(h->name);
	free(h);
	return true;
}

enum ctl_exit
ctl_status(struct ctl *c)
{
	char others[] = "(other hosts)";
	struct status s = { .other.name = others };
	enum ctl_exit result;
	struct err err;

	map_init(&s.hosts);
	progress_init(&s.progress, c->loop, PROGRESS_SILENCE);
	result = conclude(c,
	    asker_ask(c->asker, put_update, status_line, &s, &err), &err);
	progress_end(&s.progress);
	if (result == CTL_OK)
		show_status(c, &s);
	map_each(&s.hosts, free_host, NULL);
	map_fini(&s.hosts);
	return result;
}

/* --- list ------------------------------------------------------------------ */

struct listing {
	struct ctl *ctl;
	struct slice prefix;
	struct progress progress;
	uint64_t expected, shown;
	unsigned bucket; /* of a host: the next to ask for */
};

static bool
show_entry(struct listing *l, struct slice name, const struct mboxrec *r)
{
	struct out *o = &l->ctl->out;

	if (l->ctl->json) {
		out_open(o, NULL, '{');
		out_str(o, "name", name);
		out_str(o, "state", ctl_state(r));
		out_str(o, "host", mboxrec_host(r->location));
		out_str(o, "partition", mboxrec_partition(r->location));
		out_number(o, "generation", r->generation);
		out_str(o, "mailboxid", r->mailboxid);
		out_close(o, '}');
		return out_end(o);
	}
	if (l->shown == 0) {
		out_cell(o, slice_str("NAME"), NAME_WIDTH);
		out_cell(o, slice_str("STATE"), STATE_WIDTH);
		out_cell(o, slice_str("LOCATION"), 0);
		(void)out_end(o); /* the next tells */
	}
	out_cell(o, name, NAME_WIDTH);
	out_cell(o, ctl_state(r), STATE_WIDTH);
	out_cell(o, r->location, 0);
	return out_end(o);
}

static bool
list_line(void *arg, const struct mupdate_message *m)
{
	struct listing *l = arg;
	struct slice name, epoch;
	struct mboxrec r;
	bool goes_on = true;

	if (m->id == MUPDATE_XFULL &&
	    !mupdate_ext_get_full(m, &epoch, &l->expected))
		l->expected = 0;
	if (m->id != MUPDATE_XENTRY || !mupdate_ext_get_entry(m, &name, &r))
		return true;
	progress_step(&l->progress, l->expected);
	if (slice_starts(name, l->prefix)) {
		goes_on = show_entry(l, name, &r);
		l->shown++;
	}
	return goes_on;
}

static void
put_host(void *arg, struct buf *out, const char *tag)
{
	struct listing *l = arg;
	uint8_t buckets[MUPDATE_EXT_BUCKETS_MAX];
	size_t n = 0;

	while (n < NITEMS(buckets) && l->bucket < MBOXDIGEST_BUCKETS)
		buckets[n++] = (uint8_t)l->bucket++;
	mupdate_ext_put_list(out, tag, slice_str(l->ctl->host), buckets, n);
}

static enum ctl_exit
list_host(struct ctl *c, struct listing *l)
{
	enum ctl_exit result = CTL_OK;
	struct err err;

	while (result == CTL_OK && l->bucket < MBOXDIGEST_BUCKETS)
		result = conclude(c,
		    asker_ask(c->asker, put_host, list_line, l, &err), &err);
	return result;
}

enum ctl_exit
ctl_list(struct ctl *c)
{
	struct listing l = { .ctl = c,
		.prefix = slice_str(c->name != NULL ? c->name : "") };
	enum ctl_exit result;
	struct err err;

	progress_init(&l.progress, c->loop, PROGRESS_ROWS);
	if (c->host != NULL)
		result = list_host(c, &l);
	else
		result = conclude(c,
		    asker_ask(c->asker, put_update, list_line, &l, &err), &err);
	progress_end(&l.progress);
	if (result != CTL_OK || l.shown > 0)
		return result;
	(void)err_set(&err,
	    "no entry %s%s; 'murderctl status' shows the hosts, and names are "
	    "internal ones, such as user.fred",
	    c->host != NULL ? "of the host " : "whose name begins with ",
	    c->host != NULL ? c->host
	                    : (c->name != NULL ? c->name : "anything"));
	(void)ctl_fail(err.text); /* found nothing, to be exact */
	return CTL_NOT_FOUND;
}
