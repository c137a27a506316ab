/*
 * GETMETADATA, GETANNOTATION and their kin, as much as Cyrus IMAP's frontend
 * needs: it asks for free space before it chooses a backend for a new user.
 * There are no annotations here, and neither extension is offered.
 */
#include <sys/statvfs.h>

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
	ENTRIES_MAX = 4, /* answered; nobody asks for more */
	DISKS_MAX = 64
};

enum form {
	FORM_ANNOTATION, /* what RFC 5464 was before it was one */
	FORM_METADATA
};

struct space {
	uint64_t avail, total; /* KiB */
};

/* In the command's arena; a job has it while it looks. */
struct question {
	struct session *ss;
	enum form form;
	struct slice entries[ENTRIES_MAX]; /* as they were written */
	size_t n;

	const char *dirs[DISKS_MAX]; /* of partitions */
	unsigned long disks[DISKS_MAX];
	size_t ndirs, ndisks;
	struct space all, most; /* most: the disk with the greatest share */
};

/* --- the disks, in a job ---------------------------------------------------- */

/* Partitions may be on one disk, which counts once. */
static bool
is_known(struct question *q, unsigned long disk)
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
	struct question *q = arg;
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
space_of(const struct question *q, struct slice entry)
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

static void
put_entry(struct question *q, struct slice entry)
{
	const struct space *s = space_of(q, entry);
	const char *value = arena_printf(session_cmd(q->ss)->arena, "%llu;%llu",
	    (unsigned long long)s->avail, (unsigned long long)s->total);
	struct write w;

	write_init(&w, session_out(q->ss), WRITE_SERVER);
	write_untagged(&w,
	    q->form == FORM_METADATA ? "METADATA" : "ANNOTATION");
	write_sp(&w);
	write_string(&w, slice_str(""));
	write_sp(&w);
	if (q->form == FORM_METADATA) {
		write_open(&w);
		write_string(&w, entry);
	} else {
		write_string(&w, entry);
		write_sp(&w);
		write_open(&w);
		write_string(&w, slice_str("value.shared"));
	}
	write_sp(&w);
	write_string(&w, slice_str(value));
	write_close(&w);
	write_end(&w);
}

static void
looked(void *arg)
{
	struct question *q = arg;

	for (size_t i = 0; i < q->n; i++)
		put_entry(q, q->entries[i]);
	session_done(q->ss, SESSION_OK, NULL, "Done");
}

/* --- the question ----------------------------------------------------------- */

static void
take_entries(struct question *q, const struct value *v)
{
	if (v != NULL && v->kind == VALUE_LIST)
		v = v->items;
	for (; v != NULL && q->n < ENTRIES_MAX; v = v->next)
		if ((v->kind == VALUE_STRING || v->kind == VALUE_ATOM) &&
		    space_of(q, v->text) != NULL)
			q->entries[q->n++] = v->text;
}

/* Only frontends and administrators are told how large the disks are. */
static void
ask(struct session *ss, struct cmd *cmd, enum form form)
{
	struct question *q = arena_alloc(cmd->arena, sizeof(*q));
	struct backendd *bd = session_server(ss);
	const struct value *v = value_parse_all(cmd->args);

	parse_end(cmd->args);
	if (v != NULL && v->kind == VALUE_LIST)
		v = v->next; /* options: DEPTH, MAXSIZE */
	if (parse_error(cmd->args) != NULL || v == NULL) {
		session_bad_syntax(ss);
		return;
	}
	q->ss = ss;
	q->form = form;
	if (v->text.len == 0 && v->kind == VALUE_STRING &&
	    (session_is_trusted(ss) || session_is_admin(ss)))
		take_entries(q, v->next);
	if (q->n == 0) {
		session_done(ss, SESSION_OK, NULL, "Done");
		return;
	}
	for (size_t i = 0; i < bd->npartitions && i < DISKS_MAX; i++)
		q->dirs[q->ndirs++] =
		    arena_string(cmd->arena, slice_str(bd->partitions[i].dir));
	jobs_put(bd->jobs, look, looked, q);
}

void
backendd_GETMETADATA(struct session *ss, struct cmd *cmd)
{
	ask(ss, cmd, FORM_METADATA);
}

void
backendd_GETANNOTATION(struct session *ss, struct cmd *cmd)
{
	ask(ss, cmd, FORM_ANNOTATION);
}

/* Cyrus IMAP 3.6's frontend writes values as atoms: whatever it is, no. */
static void
refuse(struct session *ss, struct cmd *cmd)
{
	(void)value_parse_all(cmd->args);
	if (parse_error(cmd->args) != NULL)
		session_bad_syntax(ss);
	else
		session_done(ss, SESSION_NO, "CANNOT",
		    "Annotations are not kept here");
}

void
backendd_SETMETADATA(struct session *ss, struct cmd *cmd)
{
	refuse(ss, cmd);
}

void
backendd_SETANNOTATION(struct session *ss, struct cmd *cmd)
{
	refuse(ss, cmd);
}
