/*
 * maildir_crash: kill the maildir store at every system call that changes its
 * directory, with and without losing what was not synced; let every such call
 * fail once.  See t/store_crash.h.
 *
 * The workload is short and has every kind of change, so that each of their
 * calls has its turn.
 */
#include <errno.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "t/store_crash.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

/*
 * Nobody else is there: to watch, which takes the kernel some 20 ms to end, in
 * thousands of processes; or to let go of a lock that was left.
 */
int
inotify_init1(int flags)
{
	(void)flags;
	errno = EMFILE;
	return -1;
}

int
nanosleep(const struct timespec *wait, struct timespec *left)
{
	(void)wait, (void)left;
	return 0;
}

/* ---- the workload ---- */

struct step {
	enum op_kind kind;
	unsigned box, to;
	unsigned n;    /* messages: the first ones, or new; or the name */
	unsigned skip; /* ...behind so many */
	uint32_t set, size;
	uint64_t keywords;
	bool beside; /* what comes next is asked for before it is answered */
};

enum {
	INBOX = 1 /* a name; that of a mailbox which has none is 0 */
};

static const struct step steps[] = {
	{ OP_CREATE, 0, 0, 0, 0, 0, 0, 0, false },
	{ OP_META, 0, 0, INBOX, 0, 0, 0, 0, false },
	{ OP_CREATE, 1, 0, 0, 0, 0, 0, 0, false },
	{ OP_APPEND, 0, 0, 3, 0, STORE_SEEN, 50, 1, true },
	{ OP_APPEND, 0, 0, 1, 0, 0, 40, 0, true },
	{ OP_CHANGE, 0, 0, 2, 1, STORE_FLAGGED, 0, 2, true },
	{ OP_EXPUNGE, 0, 0, 1, 0, 0, 0, 0, false },
	{ OP_COPY, 0, 1, 2, 0, STORE_SEEN, 0, 4, false },
	{ OP_MOVE, 0, 1, 2, 1, STORE_DELETED, 0, 0, false },
	{ OP_META, 1, 0, 3, 0, 0, 0, 0, false },
	/* Another INBOX; the first is renamed.  Then one that is not open. */
	{ OP_CREATE, 2, 0, INBOX, 0, 0, 0, 0, false },
	{ OP_META, 0, 0, 4, 0, 0, 0, 0, false },
	{ OP_APPEND, 2, 0, 1, 0, 0, 30, 0, false },
	{ OP_REOPEN, 1, 0, 0, 0, 0, 0, 0, false },
	{ OP_CHANGE, 1, 0, 4, 0, 0, 0, 0, false },
	{ OP_MOVE, 1, 0, 1, 2, 0, 0, 1, false },
	{ OP_APPEND, 1, 0, 1, 0, 0, 70000, 0, false },
	{ OP_EXPUNGE, 1, 0, 2, 0, 0, 0, 0, false },
	{ OP_MOVE, 0, 1, 1, 0, STORE_SEEN, 0, 2, false },
	{ OP_DESTROY, 0, 0, 0, 0, 0, 0, 0, false },
	{ OP_DESTROY, 2, 0, 0, 0, 0, 0, 0, false },
	{ OP_CREATE, 0, 0, 0, 0, 0, 0, 0, false },
	{ OP_MOVE, 1, 0, 1, 0, STORE_SEEN, 0, 2, false },
};

/* Others are below the INBOX. */
static bool
name_of(void *arg, struct slice meta, struct buf *name)
{
	(void)arg;
	buf_puts(name, "user.fred");
	if (!slice_is(meta, "1")) {
		buf_putc(name, '.');
		buf_put_slice(name, meta);
	}
	return meta.len > 0;
}

/* What is there without us is no mailbox. */
static bool
meta_of(void *arg, const char *name, uint32_t now, struct buf *meta)
{
	(void)arg, (void)name, (void)now, (void)meta;
	return false;
}

static const struct store_naming naming = { .name = name_of, .meta = meta_of };

static bool
fits(const struct model *m, const struct step *s)
{
	const struct model_box *b = &m->box[s->box];

	if (s->kind == OP_CREATE || !b->there)
		return s->kind == OP_CREATE && !b->there;
	if (s->kind == OP_CHANGE || s->kind == OP_EXPUNGE)
		return b->n > s->skip;
	if (s->kind == OP_COPY || s->kind == OP_MOVE)
		return b->n > s->skip && m->box[s->to].there;
	return true;
}

/* Round and round, as m->x says; but not what refusals have made senseless. */
static void
next(struct model *m, struct op *op)
{
	const struct model_box *b;
	const struct step *s;

	do
		s = &steps[m->x++ % NITEMS(steps)];
	while (!fits(m, s));
	b = &m->box[s->box];
	memset(op, 0, sizeof *op);
	op->kind = s->kind;
	op->box = s->box;
	op->to = s->to;
	op->set = s->set;
	op->set_keywords = s->keywords;
	op->alone = !s->beside;
	snprintf(op->text, sizeof op->text, "%s%u",
	    op->kind == OP_CREATE ? "id-" : "",
	    op->kind == OP_CREATE ? m->made : s->n);
	if (op->kind == OP_CREATE && s->n > 0)
		snprintf(op->meta, sizeof op->meta, "%u", s->n);
	m->made += op->kind == OP_CREATE;
	for (; op->kind == OP_APPEND && op->n < s->n; op->n++) {
		op->seeds[op->n] = ++m->seed;
		op->sizes[op->n] = s->size + m->seed;
	}
	for (size_t i = s->skip;
	     op->kind != OP_META && i < b->n && op->n < s->n; i++)
		op->uids[op->n++] = b->msgs[i].uid;
}

static void
set_options(struct store_options *o, uint32_t seed)
{
	(void)seed;
	*o = (struct store_options){ 0 };
}

/* What is short is made shorter still. */
static void
make_eager(struct work *w, uint32_t seed, enum store_crash_phase phase)
{
	(void)seed, (void)phase;
	maildir_of(w->rig.store)->compact_min = 0;
}

static const struct store_crash crash = { .module = &maildir_module,
	.naming = &naming,
	.started = make_eager,
	.ops = NITEMS(steps),
	.ops_fail = NITEMS(steps) + 4,
	.ops_after = 4,
	.at_once = 1000,
	.next = next,
	.options = set_options };

static const struct failure failures[] = {
	{ 0, ENOSPC, false, 1, 100 },
	{ 0, EIO, false, 1, 100 },
	{ 0, CRASH_SHORT, false, 1, 0 },
	{ 0, EIO, true, 1, 100 },
	{ 0, EMFILE, true, 1, 100 },
};

/* With a first call and a step: only crashes from there. */
int
main(int argc, char **argv)
{
	char top[64];

	tempdir_make(top);
	crash_quiet(top);
	if (argc == 3) {
		ok(store_crash_kills(&crash, top, 0,
		       (int)store_crash_number(argv[1]),
		       (int)store_crash_number(argv[2]), 1),
		    "killed there");
	} else {
		ok(store_crash_kills(&crash, top, 0, 1, 1, 100), "killed");
		for (size_t i = 0; i < NITEMS(failures); i++)
			ok(store_crash_failures(&crash, top, &failures[i]),
			    "calls fail");
	}
	crash_loud();
	tempdir_remove(top);
	return done_testing();
}
