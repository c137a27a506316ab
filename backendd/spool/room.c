/*
 * How full the disk is, and what is held back for when it is.
 *
 * What is in the log has to get into the files as well, and if the disk has
 * no room for that its owner would wait until somebody makes some.  So appends
 * are refused while there is room for what is under way; and since others
 * write to the disk, too, some of it is held by a file, the ballast.  When
 * there is nothing else left that is removed: it has room for what is under
 * way, and then for flags, expunges and deletes.  The log is kept short then:
 * it is emptied at every quarter of the ballast, and if it grows faster than
 * that all has to wait for the checkpoint.  The ballast is made again when the
 * disk has room for it twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/jobs.h"
#include "lib/journal.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/xalloc.h"

enum {
	LOOK_MS = 200, /* between looks at how full the disk is */
	LOW_PART = 4,  /* so much of the ballast left, and it is given up */
	/* For a checkpoint and a new log: twice what that takes at a time. */
	LAST_OCTETS = 512 * 1024
};

/* In a log and in a data file: twice. */
static uint64_t
room_for(uint64_t octets)
{
	return 2 * octets;
}

static uint64_t
without(uint64_t from, uint64_t octets)
{
	return from > octets ? from - octets : 0;
}

/* --- the ballast ------------------------------------------------------------ */

struct making {
	struct spool *sp;
	int dirfd;
	uint64_t octets;
	bool made;
};

static void
making_run(void *arg)
{
	struct making *m = arg;
	int fd = openat(m->dirfd, "ballast",
	    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd == -1)
		return;
	m->made = posix_fallocate(fd, 0, (off_t)m->octets) == 0;
	close(fd);
	if (!m->made)
		unlinkat(m->dirfd, "ballast", 0);
}

static void
making_done(void *arg)
{
	struct making *m = arg;

	m->sp->ballast = m->made ? BALLAST_HELD : BALLAST_NONE;
	if (m->sp->pinched) /* since it was begun */
		(void)room_give(m->sp);
	m->sp->busy--;
	free(m);
}

static void
make(struct spool *sp)
{
	struct making *m = xcalloc(1, sizeof *m);

	m->sp = sp;
	m->dirfd = sp->dirfd;
	m->octets = sp->ballast_octets;
	sp->ballast = BALLAST_COMING;
	sp->busy++;
	jobs_put(sp->env.jobs, making_run, making_done, m);
}

bool
room_give(struct spool *sp)
{
	bool held = sp->ballast == BALLAST_HELD;

	sp->pinched = true;
	sp->looked_ms = 0;
	journal_keep_spares(sp->journal, 0);
	if (held && unlinkat(sp->dirfd, "ballast", 0) == -1)
		return false;
	if (held) {
		sp->ballast = BALLAST_NONE;
		log_err(sp->env.log, "spool: there is no room left", "dir",
		    sp->dir, "given up", LOG_NUM(sp->ballast_octets), NULL);
	}
	return held;
}

void
room_forget(struct spool *sp)
{
	(void)unlinkat(sp->dirfd, "ballast", 0);
}

bool
room_is_none(const struct spool *sp)
{
	struct statvfs v;

	return fstatvfs(sp->dirfd, &v) == 0 &&
	       (uint64_t)v.f_bavail * v.f_frsize < LAST_OCTETS;
}

/* --- looking ---------------------------------------------------------------- */

/* So much is left: what may appends take of it? */
static void
set_room(struct spool *sp, uint64_t left)
{
	uint64_t room = without(left, sp->options.reserve);
	bool was = sp->full;

	if (sp->pinched)
		room = without(room, 2 * sp->ballast_octets);
	sp->room = without(room, room_for(sp->pending));
	sp->full = sp->room == 0;
	if (sp->full && !was)
		log_err(sp->env.log, "spool: disk is full but for the reserve",
		    "dir", sp->dir, "left", LOG_NUM(left), NULL);
	else if (was && !sp->full)
		log_warn(sp->env.log, "spool: there is room again", "dir",
		    sp->dir, "left", LOG_NUM(left), NULL);
}

void
room_look(struct spool *sp)
{
	int64_t now = loop_now(sp->env.loop).ms;
	struct statvfs v;
	uint64_t left;

	if (sp->looked_ms != 0 && !sp->pinched && now - sp->looked_ms < LOOK_MS)
		return;
	sp->looked_ms = now;
	/* What cannot be asked will say so when it is written to. */
	if (fstatvfs(sp->dirfd, &v) == -1) {
		sp->full = sp->pinched = sp->tight = false;
		sp->room = UINT64_MAX;
		return;
	}
	left = (uint64_t)v.f_bavail * v.f_frsize;
	if (left < sp->ballast_octets / LOW_PART && room_give(sp))
		left += sp->ballast_octets;
	set_room(sp, left);
	if (sp->pinched && !sp->full)
		journal_keep_spares(sp->journal, SPOOL_SPARES);
	sp->pinched &= sp->full;
	sp->tight = sp->pinched && left < LAST_OCTETS;
	if (sp->tight)
		checkpoint_want(sp);
	if (sp->full)
		return;
	if (sp->ballast == BALLAST_NONE && left > 2 * sp->ballast_octets)
		make(sp);
}

const char *
room_refusal(struct spool *sp, uint64_t octets)
{
	const char *why = change_refusal(sp);
	uint64_t n = room_for(octets);

	if (why != NULL)
		return why;
	if (sp->full || n > sp->room)
		return "The disk is full, try again later";
	sp->room -= n;
	return NULL;
}
