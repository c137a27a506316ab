/*
 * A mailbox as it is on the disk: its index, brought up to date with what
 * crashes and other programs have done to it.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/xalloc.h"

enum {
	MODSEQ_STEP = 1000, /* a second of these: no log had as many */
	SCANS = 3
};

/* A change found while loading; of one made anew all is written at the end. */
static int
make_so(struct md_load *l, struct slice record, struct err *err)
{
	static const uint8_t settled = MD_SETTLED;

	if (record.len == 0)
		return 0;
	if (!l->look && !l->rebuilt &&
	    md_index_log(l->dirfd, record, &l->x.end, true, err) == -1)
		return -1;
	if (!l->look && md_index_settle(l->dirfd, &l->x, record, err) == -1)
		return -1;
	if (!l->look && !l->rebuilt &&
	    md_index_log(l->dirfd, slice_of(&settled, 1), &l->x.end, false,
	        err) == -1)
		return -1;
	return md_index_apply(&l->x, record, err);
}

/*
 * From what is left of the log and from the files.  UIDs are as the uidlist
 * has them, if it is there; if not, UIDs may have been given that are not
 * known of, and UIDVALIDITY is another.  All may have changed.
 */
static int
rebuild(struct md_load *l, uint32_t uidvalidity, struct err *err)
{
	struct index *x = &l->x;
	struct md_uids u;

	if (md_uids_read(l->dirfd, &u, err) == -1)
		return -1;
	if (u.there && x->uidvalidity == 0)
		x->uidvalidity = u.uidvalidity;
	if (!u.there)
		x->uidvalidity = (uint32_t)l->now > uidvalidity
		                     ? (uint32_t)l->now
		                     : uidvalidity + 1;
	md_uids_free(&u);
	x->highestmodseq = (uint64_t)l->now * MODSEQ_STEP;
	for (size_t i = 0; i < x->n; i++)
		x->msgs[i].m.modseq = x->highestmodseq;
	l->rebuilt = true;
	return 0;
}

/*
 * Nobody may be left to believe in messages that are not there: all UIDs that
 * are not known were expunged.
 */
static int
add_lost(struct md_load *l, struct err *err)
{
	struct index *x = &l->x;
	struct md_uids u;
	size_t m = 0, g = 0, lost = 0;
	struct buf record;
	int result;

	if (md_uids_read(l->dirfd, &u, err) == -1)
		return -1;
	if (u.there && u.uidvalidity == x->uidvalidity &&
	    u.uidnext > x->uidnext)
		x->uidnext = u.uidnext;
	md_uids_free(&u);
	buf_init(&record, MD_RECORD_MAX);
	for (uint32_t uid = 1; uid < x->uidnext && lost < MD_LOST_MAX; uid++) {
		while (m < x->n && x->msgs[m].m.uid < uid)
			m++;
		while (g < x->ngone && x->gone[g].uid < uid)
			g++;
		if ((m < x->n && x->msgs[m].m.uid == uid) ||
		    (g < x->ngone && x->gone[g].uid == uid))
			continue;
		md_put_gone(&record, &(struct md_gone){ .uid = uid,
		                         .modseq = x->highestmodseq });
		lost++;
	}
	result = md_index_apply(x, buf_slice(&record), err);
	buf_fini(&record);
	return result;
}

static void
free_scan(struct md_scan *s)
{
	free(s->changed);
	free(s->expunged);
	for (unsigned i = 0; i < s->nwanted; i++)
		free(s->wanted[i]);
}

/* false: keywords were added, so that it is to be done again. */
static int
scan_once(struct md_load *l, struct buf *record, bool *again, struct err *err)
{
	struct md_scan s = { .dirfd = l->dirfd,
		.x = &l->x,
		.keywords = l->x.keywords,
		.nkeywords = l->x.nkeywords,
		.look = l->look,
		.now = l->now,
		/* Above what a log had that has lost its end. */
		.modseq = (uint64_t)l->now * MODSEQ_STEP,
		.record = record };
	int result = md_scan(&s, err);

	*again = s.nwanted > 0;
	l->times = s.times;
	l->nunread = s.nunread;
	l->unread = s.unread;
	if (result == 0 && s.nwanted > 0) {
		buf_clear(record);
		for (unsigned i = 0; i < s.nwanted; i++)
			md_put_keyword(record, s.wanted[i]);
	}
	if (result == 0)
		result = make_so(l, buf_slice(record), err);
	free_scan(&s);
	return result;
}

/* Another program has given UIDs, to messages that have gone since. */
static int
raise_uidnext(struct md_load *l, uint32_t uidnext, struct err *err)
{
	struct index *x = &l->x;
	struct buf record;
	int result;

	buf_init(&record, MD_RECORD_MAX);
	md_put_lost(&record, x, x->uidnext, uidnext, x->highestmodseq + 1);
	md_put_head(&record, x->uidvalidity, uidnext, x->recent,
	    x->highestmodseq + 1);
	result = make_so(l, buf_slice(&record), err);
	buf_fini(&record);
	return result;
}

/* What is kept beside the index, and it itself. */
static int
tidy(struct md_load *l, struct err *err)
{
	struct md_keywords k;
	uint32_t uidnext;
	struct err other;

	if (!md_uids_right(l->dirfd, &l->x, &uidnext))
		md_uids_fix(l->dirfd, &l->x);
	else if (uidnext > l->x.uidnext && raise_uidnext(l, uidnext, err) == -1)
		return -1;
	/* It is for others: the index has it. */
	if (md_keywords_read(l->dirfd, &l->x, &k, &other) == 0 &&
	    md_keywords_write(l->dirfd, &k, &other) == -1)
		k.changed = true;
	md_keywords_free(&k);
	return md_index_compact(l->dirfd, &l->x,
	    l->rebuilt ? 0 : l->compact_min, err);
}

static int
bring_up_to_date(struct md_load *l, struct err *err)
{
	bool again = true;
	struct buf record;
	int result;

	buf_init(&record, MD_RECORD_MAX);
	result = md_moving_finish(l, &record, err);
	if (result == 0)
		result = make_so(l, buf_slice(&record), err);
	if (l->look && (l->x.unsettled || buf_len(&record) > 0)) {
		/* What others have done is found when it is settled. */
		buf_fini(&record);
		return result;
	}
	if (result == 0 && !l->look)
		md_moving_end(l->rootfd, l->id, false);
	for (int i = 0; result == 0 && again && i < SCANS; i++) {
		buf_clear(&record);
		result = scan_once(l, &record, &again, err);
	}
	buf_fini(&record);
	if (result == 0 && l->rebuilt)
		result = add_lost(l, err);
	if (result == -1 || l->look)
		return result;
	return tidy(l, err);
}

static int
make_dirs(int dirfd, struct err *err)
{
	if (md_mkdir(dirfd, "tmp", err) == -1 ||
	    md_mkdir(dirfd, "new", err) == -1)
		return -1;
	return md_mkdir(dirfd, "cur", err);
}

/* The copy in the index is as the file is. */
static int
copy_note(struct md_load *l, struct err *err)
{
	struct index *x = &l->x;
	struct buf note, record;
	int result = 0;

	md_note_make(&note, l->id, x->uidvalidity, buf_slice(&l->meta));
	if (x->note == NULL ||
	    !slice_equal(slice_of(x->note, x->note_len), buf_slice(&note))) {
		buf_init(&record, MD_NOTE_MAX + 16);
		md_put_note(&record, buf_slice(&note));
		result = make_so(l, buf_slice(&record), err);
		buf_fini(&record);
	}
	buf_fini(&note);
	return result;
}

static int
load(struct md_load *l, struct err *err)
{
	struct md_note note;
	struct stat st;
	bool missing, mended;

	if (md_note_find(l->dirfd, &note, &missing, &mended, err) == -1)
		return -1;
	l->meta = note.meta;
	if (mended && !l->look &&
	    md_note_write(l->dirfd, note.id, note.uidvalidity,
	        buf_slice(&note.meta), err) == -1)
		return -1;
	if (strcmp(note.id, l->id) != 0)
		return err_set(err, "it is mailbox %s", note.id);
	if (!l->look && make_dirs(l->dirfd, err) == -1)
		return -1;
	switch (md_index_load(l->dirfd, &l->x, l->look, err)) {
	case MD_LOADED:
		break;
	case MD_NO_INDEX:
		if (rebuild(l, note.uidvalidity, err) == -1)
			return -1;
		break;
	case MD_FAILED:
		return -1;
	}
	md_watch_begin(l->look ? -1 : l->watchfd, l->dirfd, l->wd);
	if (copy_note(l, err) == -1 || bring_up_to_date(l, err) == -1)
		return -1;
	l->cache_end =
	    fstatat(l->dirfd, MD_CACHE, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

int
md_load(struct md_load *l, struct err *err)
{
	buf_init(&l->meta, 1);
	md_index_init(&l->x);
	l->wd[0] = l->wd[1] = -1;
	l->dirfd =
	    openat(l->rootfd, l->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->dirfd == -1)
		return err_sys(err, "opening %s", l->path);
	if (load(l, err) == 0)
		return 0;
	md_load_fini(l);
	return -1;
}

void
md_load_fini(struct md_load *l)
{
	if (l->dirfd != -1)
		close(l->dirfd);
	l->dirfd = -1;
	md_watch_cancel(l->watchfd, l->wd);
	md_index_fini(&l->x);
	buf_fini(&l->meta);
}
