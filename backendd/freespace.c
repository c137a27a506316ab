/*
 * How much room there is on the disks: what Cyrus IMAP's frontend asks before
 * it chooses a backend for a new user, as GETMETADATA and as what RFC 5464 was
 * before it was one, GETANNOTATION.
 */
#include <sys/statvfs.h>

#include "backendd/freespace.h"
#include "backendd/handlers.h"
#include "backendd/server.h"
#include "backendd/session.h"
#include "imap/parse.h"
#include "imap/value.h"
#include "imap/write.h"
#include "lib/arena.h"
#include "lib/jobs.h"

#define FREESPACE "/vendor/cmu/cyrus-imapd/freespace/"

enum {
	DISKS_MAX = 64
};

struct space {
	uint64_t avail, total; /* KiB */
};

/* In the command's arena; a job has it while it looks. */
struct freespace {
	struct session *ss;
	freespace_cb *cb;
	void *arg;

	const char *dirs[DISKS_MAX]; /* of partitions */
	unsigned long disks[DISKS_MAX];
	size_t ndirs, ndisks;
	struct space all, most; /* most: the disk with the greatest share */
};

/* --- the disks, in a job ---------------------------------------------------- */

/* Partitions may be on one disk, which counts once. */
static bool
is_known(struct freespace *q, unsigned long disk)
{
	for (size_t i = 0; i < q->ndisks; i++)
		if (q->disks[i] == disk)
			return true;
	q->disks[q->ndisks++] = disk;
	return false;
}

static void
look(void *arg)
{
	struct freespace *q = arg;
	struct statvfs st;

	for (size_t i = 0; i < q->ndirs; i++) {
		struct space s;

		if (statvfs(q->dirs[i], &st) == -1 || st.f_frsize < 1 ||
		    is_known(q, st.f_fsid))
			continue;
		s.avail = st.f_bavail * (uint64_t)st.f_frsize / 1024;
		s.total = st.f_blocks * (uint64_t)st.f_frsize / 1024;
		q->all.avail += s.avail;
		q->all.total += s.total;
		if (q->most.total == 0 ||
		    (double)s.avail * (double)q->most.total >
		        (double)q->most.avail * (double)s.total)
			q->most = s;
	}
}

/* --- the answer ------------------------------------------------------------- */

/* What it asks for, of q; NULL: none of ours. */
static const struct space *
space_of(const struct freespace *q, struct slice entry)
{
	static const char shared[] = "/shared";
	size_t n = sizeof(shared) - 1;

	if (entry.len > n && slice_is_nocase(slice_first(entry, n), shared))
		entry = slice_skip(entry, n);
	if (slice_is_nocase(entry, FREESPACE "total"))
		return &q->all;
	if (slice_is_nocase(entry, FREESPACE "percent/most"))
		return &q->most;
	return NULL;
}

bool
freespace_is(struct slice entry)
{
	static const struct freespace none;

	return space_of(&none, entry) != NULL;
}

static void
looked(void *arg)
{
	struct freespace *q = arg;

	q->cb(q->arg, q);
}

struct slice
freespace_value(struct arena *a, const struct freespace *q, struct slice entry)
{
	const struct space *s = space_of(q, entry);

	return slice_str(arena_printf(a, "%llu;%llu",
	    (unsigned long long)s->avail, (unsigned long long)s->total));
}

void
freespace_ask(struct session *ss, freespace_cb *cb, void *arg)
{
	struct arena *a = session_cmd(ss)->arena;
	struct freespace *q = arena_alloc(a, sizeof(*q));
	struct backendd *bd = session_server(ss);

	q->ss = ss;
	q->cb = cb;
	q->arg = arg;
	for (size_t i = 0; i < bd->npartitions && i < DISKS_MAX; i++)
		q->dirs[q->ndirs++] =
		    arena_string(a, slice_str(bd->partitions[i].dir));
	jobs_put(bd->jobs, look, looked, q);
}

void
freespace_write(struct write *w, struct slice entry, struct slice value)
{
	write_untagged(w, "METADATA");
	write_sp(w);
	write_string(w, slice_str(""));
	write_sp(w);
	write_open(w);
	write_string(w, entry);
	write_sp(w);
	write_string(w, value);
	write_close(w);
	write_end(w);
}

/* --- GETANNOTATION ------------------------------------------------------------ */

static void
put_annotation(struct session *ss, struct slice entry, struct slice value)
{
	struct write w;

	session_write(ss, &w);
	write_untagged(&w, "ANNOTATION");
	write_sp(&w);
	write_string(&w, slice_str(""));
	write_sp(&w);
	write_string(&w, entry);
	write_sp(&w);
	write_open(&w);
	write_string(&w, slice_str("value.shared"));
	write_sp(&w);
	write_string(&w, value);
	write_close(&w);
	write_end(&w);
}

static void
found(void *arg, const struct freespace *q)
{
	const struct value *v = arg;
	struct session *ss = q->ss;

	put_annotation(ss, v->text,
	    freespace_value(session_cmd(ss)->arena, q, v->text));
	session_done(ss, SESSION_OK, NULL, "Done");
}

/* One entry; of anything but the disks there are no annotations of that kind. */
void
backendd_GETANNOTATION(struct session *ss, struct cmd *cmd)
{
	struct value *v = value_parse_all(cmd->args), *entry;

	parse_end(cmd->args);
	if (parse_error(cmd->args) != NULL || v == NULL) {
		session_bad_syntax(ss);
		return;
	}
	entry = v->next;
	if (entry != NULL && entry->kind == VALUE_LIST)
		entry = entry->items;
	if (v->text.len == 0 && v->kind == VALUE_STRING && entry != NULL &&
	    (entry->kind == VALUE_STRING || entry->kind == VALUE_ATOM) &&
	    freespace_is(entry->text) &&
	    (session_is_trusted(ss) || session_is_admin(ss)))
		freespace_ask(ss, found, entry);
	else
		session_done(ss, SESSION_OK, NULL, "Done");
}

/* Cyrus IMAP 3.6's frontend writes values as atoms: whatever it is, no. */
void
backendd_SETANNOTATION(struct session *ss, struct cmd *cmd)
{
	(void)value_parse_all(cmd->args);
	if (parse_error(cmd->args) != NULL)
		session_bad_syntax(ss);
	else
		session_done(ss, SESSION_NO, "CANNOT",
		    "Annotations are not kept here");
}
