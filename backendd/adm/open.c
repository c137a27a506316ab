#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backendd/adm/adm.h"
#include "backendd/adm/remote.h"
#include "backendd/conf.h"
#include "backendd/mblist_meta.h"
#include "backendd/partition.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"

enum {
	THREADS = 4,
	DAY_MS = 24 * 60 * 60 * 1000
};

enum adm_exit
adm_fail(const char *format, ...)
{
	va_list ap;

	fputs("backendadm: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return ADM_FAILED;
}

/* ---- asking, one thing at a time ---- */

void
adm_ask(struct adm *a)
{
	if (a->due++ == 0)
		a->why = NULL;
}

void
adm_answer(void *arg, const char *why)
{
	struct adm *a = arg;

	MUST(a->due > 0);
	if (why != NULL)
		a->why = why;
	if (--a->due == 0)
		loop_stop(a->loop);
}

const char *
adm_wait(struct adm *a)
{
	if (a->due > 0)
		loop_run(a->loop);
	return a->why;
}

static void
on_open(void *arg, struct store_mailbox *mb, const char *why)
{
	struct adm *a = arg;

	a->opened = mb;
	adm_answer(a, why);
}

struct store_mailbox *
adm_open_box(struct adm *a, const struct adm_box *box)
{
	const char *why;

	if (box->id[0] == '\0') {
		(void)adm_fail("a mailbox of partition %s: %s",
		    box->partition->name, box->damage);
		return NULL; /* the caller fails */
	}
	adm_ask(a);
	store_open(box->partition->store, box->id, on_open, a);
	why = adm_wait(a);
	if (why != NULL)
		(void)adm_fail("%s: %s", box->name, why); /* NULL says so */
	return a->opened;
}

static void
on_read(void *arg, struct store_chunk *chunk)
{
	struct adm *a = arg;

	a->chunk = chunk;
	adm_answer(a, NULL);
}

void
adm_forget(struct adm *a)
{
	store_chunk_free(&a->chunk);
}

static const char *
read_part(struct adm *a, struct store_mailbox *mb, struct store_part p,
    struct slice *octets)
{
	adm_forget(a);
	adm_ask(a);
	store_read(mb, &p, 1, on_read, a);
	adm_wait(a);
	*octets = p.octets;
	return p.why;
}

const char *
adm_read(struct adm *a, struct store_mailbox *mb, uint32_t uid, uint64_t most,
    struct slice *octets)
{
	return read_part(a, mb, (struct store_part){ .uid = uid, .len = most },
	    octets);
}

const char *
adm_read_held(struct adm *a, struct store_mailbox *mb, uint32_t uid,
    uint64_t most, struct slice *octets)
{
	return read_part(a, mb,
	    (struct store_part){ .uid = uid, .len = most, .held = true },
	    octets);
}

/* ---- which mailboxes there are ---- */

struct gather {
	struct adm *adm;
	struct adm_partition *partition;
	size_t room;
};

static bool
gather_one(void *arg, const struct store_entry *e)
{
	struct gather *g = arg;
	struct adm *a = g->adm;
	struct adm_box *box;
	struct mboxrec rec;
	struct arena arena;
	const char *name = "";
	struct err err;

	if (a->nboxes == g->room) {
		g->room = g->room * 2 + 64;
		a->boxes = xreallocarray(a->boxes, g->room, sizeof *a->boxes);
	}
	box = &a->boxes[a->nboxes++];
	*box =
	    (struct adm_box){ .partition = g->partition, .damage = e->damage };
	snprintf(box->id, sizeof box->id, "%s", e->id);
	arena_init(&arena);
	if (e->damage == NULL &&
	    meta_parse(e->meta, &arena, &name, &rec, &err) == -1) {
		name = "";
		box->damage = "its name is not known";
	}
	box->name = xstrdup(name);
	arena_reset(&arena);
	return true;
}

static int
by_name(const void *x, const void *y)
{
	const struct adm_box *a = x, *b = y;
	int order = strcmp(a->name, b->name);

	return order != 0 ? order : strcmp(a->id, b->id);
}

struct adm_box *
adm_find(struct adm *a, const char *name)
{
	struct adm_box *found = NULL;

	for (size_t i = 0; i < a->nboxes; i++)
		if (strcmp(a->boxes[i].name, name) == 0 ||
		    strcmp(a->boxes[i].id, name) == 0) {
			if (found != NULL) {
				(void)adm_fail("%s: there are two of that name;"
				               " say which by its MAILBOXID, %s"
				               " or %s",
				    name, found->id, a->boxes[i].id);
				return NULL; /* the caller fails */
			}
			found = &a->boxes[i];
		}
	if (found == NULL)
		(void)adm_fail("%s: no such mailbox; names are as in "
		               "\"backendadm list\"",
		    name);
	return found;
}

/* ---- opening ---- */

static int
open_one(struct adm *a, const char *item, struct err *err)
{
	const struct backendd_conf *c = a->conf;
	struct adm_partition *p = &a->partitions[a->npartitions];
	const char *space = strchr(item, ' ');
	struct store_env env = { .loop = a->loop,
		.jobs = a->jobs,
		.log = a->log,
		.key_days = (unsigned)((c->duplicate_ms + DAY_MS - 1) / DAY_MS),
		.options = {
		    .hold_seconds = (int64_t)(c->expunge_delay_ms / 1000),
		    .look_only = a->look_only,
		} };

	MUST(space != NULL);
	p->name = xstrndup(item, (size_t)(space - item));
	while (*space == ' ')
		space++;
	p->dir = xstrdup(space);
	a->npartitions++;
	if (a->remote != NULL) {
		p->store = remote_store(a->remote, p->name);
		return 0;
	}
	if (store_start(&p->store,
	        partition_module(a->conf, p->name, &env.layout), &env, p->dir,
	        err) == -1)
		return err_add(err, "partition %s", p->name);
	return 0;
}

int
adm_open(struct adm *a, struct err *err)
{
	const struct conf_list *list = &a->conf->partitions;
	struct gather g = { .adm = a };

	a->loop = loop_new();
	a->jobs = jobs_new(a->loop, THREADS);
	a->log = log_new("backendadm", LOG_LEVEL_ERR, true);
	if (a->fd != -1) {
		a->remote = remote_new(a->loop, a->fd, err);
		if (a->remote == NULL)
			return -1;
	}
	a->partitions = xcalloc(list->count, sizeof *a->partitions);
	for (size_t i = 0; i < list->count; i++)
		if (open_one(a, list->items[i], err) == -1)
			return -1;
	for (size_t i = 0; i < a->npartitions; i++) {
		g.partition = &a->partitions[i];
		if (store_each(g.partition->store, gather_one, &g, err) == -1)
			return -1;
	}
	if (a->nboxes > 1)
		qsort(a->boxes, a->nboxes, sizeof *a->boxes, by_name);
	return 0;
}

static void
stop(void *loop)
{
	loop_stop(loop);
}

/* What is still under way ends; a checkpoint, perhaps. */
static void
drain(struct adm *a, struct store *st)
{
	struct timer *t = timer_new(a->loop, stop, a->loop);

	while (store_busy(st) > 0) {
		timer_set(t, 1);
		loop_run(a->loop);
	}
	timer_free(&t);
}

void
adm_close(struct adm *a)
{
	adm_forget(a);
	for (size_t i = 0; i < a->npartitions; i++) {
		struct adm_partition *p = &a->partitions[i];

		if (p->store != NULL)
			drain(a, p->store);
		store_stop(&p->store);
		free(p->name);
		free(p->dir);
	}
	for (size_t i = 0; i < a->nboxes; i++)
		free(a->boxes[i].name);
	free(a->boxes);
	free(a->partitions);
	remote_free(&a->remote);
	jobs_free(&a->jobs);
	loop_free(&a->loop);
	log_free(&a->log);
}

/* ---- line ends ---- */

/* Lines that end in CR LF or LF alike, with another end. */
static void
put_lines(struct buf *out, struct slice in, const char *end)
{
	while (in.len > 0) {
		size_t n = slice_find(in, '\n');
		bool cr = n < in.len && n > 0 && in.ptr[n - 1] == '\r';

		buf_put_slice(out, slice_first(in, cr ? n - 1 : n));
		if (n == in.len)
			return;
		buf_puts(out, end);
		in = slice_skip(in, n + 1);
	}
}

void
adm_to_lf(struct buf *out, struct slice in)
{
	put_lines(out, in, "\n");
}

void
adm_to_crlf(struct buf *out, struct slice in)
{
	put_lines(out, in, "\r\n");
}
