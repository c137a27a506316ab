#include <stdlib.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/err.h"
#include "lib/xalloc.h"

enum {
	EARLY = 256 * 1024 /* octets that the disk is to begin with at once */
};

struct ahead_file *
ahead_open(int fd, uint32_t no)
{
	struct ahead_file *f = xcalloc(1, sizeof *f);

	*f = (struct ahead_file){ .fd = fd, .no = no, .users = 1 };
	return f;
}

void
ahead_leave(struct ahead_file **fp)
{
	struct ahead_file *f = *fp;

	*fp = NULL;
	if (f == NULL || --f->users > 0)
		return;
	close(f->fd);
	free(f);
}

void
ahead_note(struct ahead *a, const struct buf *b, size_t from,
    enum spool_file file, uint32_t no, uint64_t at)
{
	if (a->n == AHEAD_WRITES) /* the loop writes the rest */
		return;
	a->writes[a->n].file = file;
	a->writes[a->n].no = no;
	a->writes[a->n].at = at;
	a->writes[a->n].from = from;
	a->writes[a->n++].len = buf_len(b) - from;
}

bool
ahead_take(struct ahead *a, const struct spool_mailbox *mb)
{
	bool any = false;

	for (unsigned i = 0; i < a->n && mb->filed; i++) {
		struct ahead_file *f = mb->files.open[a->writes[i].file];

		if (f == NULL || f->no != a->writes[i].no)
			continue;
		f->users++;
		a->writes[i].open = f;
		any = true;
	}
	return any;
}

/*
 * Whole pieces, when the file has grown beyond them: a checkpoint would have
 * the disk write all at once otherwise, and the log would wait behind that.
 */
static void
write_early(int fd, uint64_t at, size_t len)
{
	uint64_t end = at + len;

	at -= at % EARLY;
	end -= end % EARLY;
	if (at < end)
		spool_write_early(fd, at, (size_t)(end - at));
}

void
ahead_write(struct ahead *a, struct slice record)
{
	struct err err; /* the loop does it again, and sees */

	for (unsigned i = 0; i < a->n; i++) {
		const struct ahead_file *f = a->writes[i].open;

		if (f == NULL)
			continue;
		a->writes[i].done =
		    spool_write(f->fd, record.ptr + a->writes[i].from,
		        a->writes[i].len, a->writes[i].at, &err) == 0;
		if (a->writes[i].done)
			write_early(f->fd, a->writes[i].at, a->writes[i].len);
	}
}

bool
ahead_has(const struct ahead *a, size_t from)
{
	for (unsigned i = 0; i < a->n; i++)
		if (a->writes[i].from == from)
			return a->writes[i].done;
	return false;
}

void
ahead_end(struct ahead *a)
{
	for (unsigned i = 0; i < a->n; i++)
		ahead_leave(&a->writes[i].open);
}
