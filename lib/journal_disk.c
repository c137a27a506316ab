#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/journal_disk.h"
#include "lib/journal_file.h"
#include "lib/xalloc.h"

struct journal_segment *
journal_segment_add(struct journal_disk *d, uint64_t first, uint64_t prev)
{
	struct journal_segment *s, *before;

	if (d->count == d->max) {
		d->max = d->max == 0 ? 8 : d->max * 2;
		d->segments =
		    xreallocarray(d->segments, d->max, sizeof(d->segments[0]));
	}
	s = &d->segments[d->count++];
	*s = (struct journal_segment){ first, prev, prev, 0, 0 };
	if (s > d->segments) {
		before = s - 1;
		s->before = before->before + before->octets;
	}
	return s;
}

void
journal_disk_fini(struct journal_disk *d)
{
	free(d->segments);
	*d = (struct journal_disk){ .segments = NULL };
}

struct found {
	uint64_t *firsts; /* of files, by their names; ascending */
	size_t count, max;
};

struct loading {
	struct journal_disk *disk;
	int dirfd;
	const struct journal_wish *wish;
	struct found found;
};

static int
number_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static bool
name_parse(const char *name, uint64_t *first)
{
	const char *digits = "0123456789abcdef", *d;

	*first = 0;
	if (strlen(name) != JOURNAL_NAME_MAX - 1)
		return false;
	for (; *name != '\0'; name++) {
		d = strchr(digits, *name);
		if (d == NULL)
			return false;
		*first = *first << 4 | (uint64_t)(d - digits);
	}
	return true;
}

static int
files_find(struct found *f, int dirfd, struct err *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *e;
	uint64_t first;

	if (d == NULL)
		return err_sys(err, "reading the directory");
	while ((e = readdir(d)) != NULL) {
		if (!name_parse(e->d_name, &first))
			continue;
		if (f->count == f->max) {
			f->max = f->max == 0 ? 16 : f->max * 2;
			f->firsts = xreallocarray(f->firsts, f->max,
			    sizeof(f->firsts[0]));
		}
		f->firsts[f->count++] = first;
	}
	closedir(d);
	if (f->count > 0)
		qsort(f->firsts, f->count, sizeof(f->firsts[0]),
		    number_compare);
	return 0;
}

static void
file_forget(struct loading *o, size_t i)
{
	struct found *f = &o->found;
	char name[JOURNAL_NAME_MAX];

	journal_file_name(name, f->firsts[i]);
	unlinkat(o->dirfd, name, 0); /* or at the next opening */
	memmove(f->firsts + i, f->firsts + i + 1,
	    (f->count - i - 1) * sizeof(f->firsts[0]));
	f->count--;
}

/*
 * From the newest back to the one that holds the record behind after.  Older
 * ones are not needed, and what their removal left of them is not looked at.
 */
static int
files_choose(struct loading *o, struct err *err)
{
	struct found *f = &o->found;
	struct journal_text t;
	char name[JOURNAL_NAME_MAX];
	uint64_t prev = 0;
	size_t i = f->count;

	while (i > 0 && (i == f->count || prev > o->wish->after)) {
		i--;
		journal_file_name(name, f->firsts[i]);
		if (journal_text_read(&t, o->dirfd, name, JOURNAL_HEADER + 1,
		        err) == -1)
			return -1;
		free(t.octets);
		if (!t.whole_header && t.len > JOURNAL_HEADER)
			return err_set(err, "%s: its header is damaged", name);
		if (!t.whole_header) /* its making was cut short */
			file_forget(o, i);
		else if (t.first != f->firsts[i])
			return err_set(err, "%s: it is another file", name);
		else
			prev = t.prev;
	}
	if (f->count > 0 && prev > o->wish->after)
		return err_set(err,
		    "records after %llu and up to %llu are gone",
		    (unsigned long long)o->wish->after,
		    (unsigned long long)prev);
	while (i-- > 0)
		file_forget(o, 0);
	return 0;
}

/*
 * What the writing of the end left when it was cut short goes: none of it was
 * ever answered.  What is whole was written, but perhaps by a process that was
 * killed before it was synced: then the kernel has it and the disk has not, and
 * nothing may follow it before that.
 */
static int
tail_secure(int dirfd, const char *name, uint64_t end, struct err *err)
{
	struct journal_file f = { .end = end };
	int r;

	f.fd = openat(dirfd, name, O_RDWR | O_CLOEXEC);
	if (f.fd == -1)
		return err_sys(err, "opening %s", name);
	r = journal_file_cut(&f, err);
	journal_file_close(&f);
	return r;
}

static int
text_replay(struct loading *o, const struct journal_text *t,
    struct journal_scan *scan, struct err *err)
{
	struct slice record;
	uint64_t number;

	journal_scan_init(scan, t);
	while (journal_scan_next(scan, &number, &record)) {
		if (number <= o->wish->after)
			continue;
		if (o->wish->replay != NULL &&
		    o->wish->replay(o->wish->arg, number, record, err) == -1)
			return err_add(err, "record %llu",
			    (unsigned long long)number);
	}
	return 0;
}

static int
segment_replay(struct loading *o, const char *name, bool newest,
    const struct journal_text *t, struct err *err)
{
	struct journal_disk *d = o->disk;
	struct journal_scan scan;
	struct journal_segment *s;

	if (!t->whole_header || (d->count > 0 && t->prev != d->last))
		return err_set(err, "it does not follow record %llu",
		    (unsigned long long)d->last);
	if (text_replay(o, t, &scan, err) == -1)
		return -1;
	/* Of another, the next one says which its last record is. */
	if (newest && journal_scan_damaged(&scan))
		return err_set(err, "damaged after record %llu",
		    (unsigned long long)scan.last);
	if (newest && tail_secure(o->dirfd, name, scan.at, err) == -1)
		return -1;
	s = journal_segment_add(d, t->first, t->prev);
	s->last = scan.last;
	s->octets = scan.at - JOURNAL_HEADER;
	d->last = s->last;
	return 0;
}

static int
files_replay(struct loading *o, struct err *err)
{
	struct found *f = &o->found;
	struct journal_disk *d = o->disk;
	char name[JOURNAL_NAME_MAX];
	struct journal_text t;
	int r;

	for (size_t i = 0; i < f->count; i++) {
		journal_file_name(name, f->firsts[i]);
		if (journal_text_read(&t, o->dirfd, name, SIZE_MAX, err) == -1)
			return -1;
		r = segment_replay(o, name, i + 1 == f->count, &t, err);
		free(t.octets);
		if (r == -1)
			return err_add(err, "%s", name);
	}
	if (d->last < o->wish->after)
		d->last = o->wish->after;
	/* A file whose records all failed: their numbers have been given. */
	d->used = d->last;
	if (f->count > 0 && f->firsts[f->count - 1] - 1 > d->used)
		d->used = f->firsts[f->count - 1] - 1;
	/* The next file may have the name of one without records. */
	if (d->count > 0 &&
	    d->segments[d->count - 1].last == d->segments[d->count - 1].prev) {
		file_forget(o, f->count - 1);
		d->count--;
	}
	return 0;
}

int
journal_disk_load(struct journal_disk *d, int dirfd,
    const struct journal_wish *wish, struct err *err)
{
	struct loading o = { d, dirfd, wish, { NULL, 0, 0 } };
	int r = -1;

	*d = (struct journal_disk){ .segments = NULL };
	if (files_find(&o.found, dirfd, err) == 0 &&
	    files_choose(&o, err) == 0 && files_replay(&o, err) == 0)
		r = 0;
	free(o.found.firsts);
	return r;
}
