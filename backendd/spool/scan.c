#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "lib/ascii.h"
#include "lib/loop.h"
#include "lib/xalloc.h"

enum {
	SLOTS = 512, /* read at a time */
	TRIES = 10   /* of slots that are being written */
};

bool
scan_is_worth(const struct spool_header *h, const struct store_options *o,
    uint64_t least, int64_t now)
{
	return o->compact_percent > 0 && h->dead_octets >= least &&
	       h->dead_octets / o->compact_percent >=
	           (h->dead_octets + h->size) / 100 &&
	       now >= h->reclaim_after;
}

int64_t
scan_held_since(const struct spool *sp)
{
	if (sp->options.hold_seconds == 0)
		return INT64_MAX;
	return loop_wall(sp->env.loop).ms / 1000 - sp->options.hold_seconds;
}

/* All of them good, with UIDs that ascend from last on? */
static bool
are_good(const struct store_msg *slots, uint32_t n, uint32_t last)
{
	for (uint32_t i = 0; i < n; i++) {
		if (!spool_msg_good(&slots[i]) || slots[i].uid <= last)
			return false;
		last = slots[i].uid;
	}
	return true;
}

static int
read_slots(int fd, struct store_msg *slots, uint32_t from, uint32_t n,
    uint32_t last, struct err *err)
{
	for (unsigned i = 0; i < TRIES; i++) {
		if (spool_read(fd, slots, n * sizeof *slots,
		        ((uint64_t)from + 1) * SPOOL_SLOT, err) == -1)
			return -1;
		if (are_good(slots, n, last))
			return 0;
	}
	return err_set(err, "the index is damaged");
}

int
scan_index(int fd, const struct spool_header *h, scan_visit *visit, void *arg,
    struct err *err)
{
	struct store_msg *slots = xcalloc(SLOTS, sizeof *slots);
	uint32_t at = 0, last = 0;
	int result = 0;

	while (result == 0 && at < h->nslots) {
		uint32_t n = h->nslots - at < SLOTS ? h->nslots - at : SLOTS;

		result = read_slots(fd, slots, at, n, last, err);
		for (uint32_t i = 0; result == 0 && i < n; i++)
			result = visit(arg, at + i, &slots[i], err);
		last = slots[n - 1].uid;
		at += n;
	}
	free(slots);
	return result;
}

static int
compare_files(const void *a, const void *b)
{
	const struct scan_file *x = a, *y = b;

	return (x->no > y->no) - (x->no < y->no);
}

static bool
number_of(const char *name, uint32_t *no)
{
	struct slice s = slice_str(name);
	uint64_t n;

	if (!slice_starts(s, slice_str("data.")) ||
	    !ascii_number(slice_skip(s, 5), UINT32_MAX, &n))
		return false;
	*no = (uint32_t)n;
	return true;
}

int
scan_files(int top, const char *id, struct scan_file **list, size_t *n,
    struct err *err)
{
	char path[SPOOL_PATH];
	struct dirent *e;
	size_t room = 0;
	struct stat st;
	uint32_t no;
	DIR *d;

	*list = NULL;
	*n = 0;
	spool_dir_path(path, id);
	d = spool_opendir(top, path, err);
	if (d == NULL)
		return -1;
	while ((e = readdir(d)) != NULL) {
		if (!number_of(e->d_name, &no) ||
		    fstatat(dirfd(d), e->d_name, &st, 0) == -1)
			continue;
		if (*n == room) {
			room = room * 2 + 8;
			*list = xreallocarray(*list, room, sizeof **list);
		}
		(*list)[(*n)++] = (struct scan_file){ .no = no,
			.size = (uint64_t)st.st_size };
	}
	closedir(d);
	if (*n > 0)
		qsort(*list, *n, sizeof **list, compare_files);
	return 0;
}
