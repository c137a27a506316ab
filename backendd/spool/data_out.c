#include <fcntl.h>
#include <unistd.h>

#include "backendd/spool/data_out.h"
#include "backendd/spool/spool.h"

void
data_out_init(struct data_out *o, int dirfd, const char *id, uint32_t named)
{
	*o = (struct data_out){ .dirfd = dirfd,
		.id = id,
		.fd = -1,
		.opened = named,
		.named = named };
}

void
data_out_close(struct data_out *o)
{
	if (o->fd != -1)
		close(o->fd);
	o->fd = -1;
}

static int
sync_file(struct data_out *o, struct err *err)
{
	int result = 0;

	if (o->fd != -1 && fdatasync(o->fd) == -1) {
		result =
		    err_sys(err, "syncing data file %lu", (unsigned long)o->no);
		o->unsynced = true;
	}
	data_out_close(o);
	return result;
}

int
data_out_file(struct data_out *o, uint32_t no, struct err *err)
{
	char path[SPOOL_PATH];

	if (o->fd != -1 && o->no == no)
		return o->fd;
	if (sync_file(o, err) == -1)
		return -1;
	spool_path(path, o->id, SPOOL_DATA, no);
	o->fd = openat(o->dirfd, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (o->fd == -1)
		return err_sys(err, "opening %s", path);
	o->no = no;
	if (o->opened <= no)
		o->opened = no + 1;
	return o->fd;
}

int
data_out_end(struct data_out *o, struct err *err)
{
	if (sync_file(o, err) == -1)
		return -1;
	if (o->opened == o->named)
		return 0;
	if (spool_sync_dirs(o->dirfd, o->id, err) == -1)
		return -1;
	o->named = o->opened;
	return 0;
}

void
data_out_done(const struct data_out *o, struct spool_mailbox *mb,
    const char *why)
{
	if (o->named > mb->named)
		mb->named = o->named;
	if (o->unsynced)
		change_unsynced(mb->sp, why);
}
