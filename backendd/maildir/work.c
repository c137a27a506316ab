/*
 * Changes, in a job: decided from the index, which nobody changes meanwhile,
 * made in the files, and left for the loop to apply.
 */
#define _GNU_SOURCE /* dup3 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/must.h"
#include "lib/rand.h"
#include "lib/xalloc.h"

enum {
	DAY = 24 * 60 * 60
};

static const uint8_t zeros[16];

static int
compare_uids(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* ---- an effect: from decisions to the log and the files ---- */

static void
effect_begin(struct effect *e, size_t n)
{
	const struct index *x = &e->box->x;

	buf_init(&e->record, MD_RECORD_MAX);
	e->uidnext = x->uidnext;
	e->modseq = x->highestmodseq + 1;
	e->highest = x->highestmodseq;
	e->end = x->end;
	e->changed = xcalloc(n + 1, sizeof *e->changed);
	e->expunged = xcalloc(n + 1, sizeof *e->expunged);
}

static void
effect_modseq(struct effect *e, uint64_t modseq)
{
	if (modseq > e->highest)
		e->highest = modseq;
}

static void
effect_expunge(struct effect *e, uint32_t uid)
{
	e->expunged[e->nexpunged++] = uid;
	effect_modseq(e, e->modseq);
}

/* All that is decided; the expunges last, in order. */
static bool
effect_end(struct effect *e)
{
	struct box *b = e->box;

	qsort(e->expunged, e->nexpunged, sizeof *e->expunged, compare_uids);
	for (size_t i = 0; i < e->nexpunged; i++)
		md_put_expunge(&e->record, e->expunged[i], e->modseq, true);
	for (unsigned i = b->x.nkeywords; i < e->nkeywords; i++)
		md_put_keyword(&e->record, b->keywords[i]);
	buf_put_slice(&e->record, buf_slice(&e->cached));
	if (buf_len(&e->record) == 0 && e->recent == b->x.recent &&
	    e->highest == b->x.highestmodseq)
		return false;
	md_put_head(&e->record, b->x.uidvalidity, e->uidnext, e->recent,
	    e->highest);
	return true;
}

/* Now it is made; and then the files follow. */
static int
effect_log(struct effect *e, struct err *err)
{
	static const uint8_t settled = MD_SETTLED;
	struct box *b = e->box;
	struct err other;

	if (buf_failed(&e->record))
		return err_set(err, "too much at once");
	if (md_index_log(b->dirfd, buf_slice(&e->record), &e->end, true, err) ==
	    -1)
		return -1;
	e->logged = true;
	if (md_index_settle(b->dirfd, &b->x, buf_slice(&e->record), err) ==
	        -1 ||
	    md_index_log(b->dirfd, slice_of(&settled, 1), &e->end, false,
	        &other) == -1)
		e->unsettled = true;
	else
		md_uids_add(b->dirfd, &b->x, buf_slice(&e->record));
	return 0;
}

/* ---- appends ---- */

static bool
has_key(const struct md_op *op, const struct index *x, size_t i)
{
	const uint8_t *key = op->appends[i].key;
	int64_t since = op->now - (int64_t)op->key_days * DAY;

	if (memcmp(key, zeros, 16) == 0)
		return false;
	for (size_t k = 0; k < i; k++)
		if (op->appends[k].outcome == STORE_DONE &&
		    memcmp(op->appends[k].key, key, 16) == 0)
			return true;
	for (size_t k = x->n; k-- > 0 && x->msgs[k].m.added >= since;)
		if (memcmp(x->msgs[k].m.key, key, 16) == 0)
			return true;
	for (size_t k = 0; k < x->ngone; k++)
		if (x->gone[k].added >= since &&
		    memcmp(x->gone[k].key, key, 16) == 0)
			return true;
	return false;
}

/* STORE_DONE if it is to be made. */
static enum store_outcome
outcome_of(const struct md_op *op, size_t i)
{
	const struct store_append *a = &op->appends[i];
	const struct effect *in = &op->in;
	bool goes = op->kind == MD_OP_MOVE;

	if (op->pieces[i].gone || a->undelete)
		return STORE_GONE;
	if (goes && md_index_find(&op->box->x, a->from_uid) == NULL)
		return STORE_GONE;
	for (size_t k = 0; goes && k < i; k++)
		if (op->appends[k].from_uid == a->from_uid &&
		    op->appends[k].outcome == STORE_DONE)
			return STORE_GONE;
	if ((a->uid != 0 && a->uid < in->uidnext) ||
	    has_key(op, &in->box->x, i))
		return STORE_TAKEN;
	return STORE_DONE;
}

static void
write_cache(struct md_op *op, const struct store_append *a, struct piece *p,
    uint32_t uid)
{
	size_t len = md_cache_len(p->cache_to);
	uint8_t *area = xmalloc(MD_CACHE_HEAD + len);
	uint64_t to = p->cache_to;
	struct err err;
	int fd;

	p->cache_to = 0;
	if (p->cache_from != 0) {
		fd = openat(p->fromfd, MD_CACHE, O_RDONLY | O_CLOEXEC);
		if (fd == -1 ||
		    md_cache_read(fd, p->cache_from, a->from_uid, area) != len)
			len = 0;
		if (fd != -1)
			close(fd);
		if (len > 0)
			md_cache_make(area, uid,
			    slice_of(area + MD_CACHE_HEAD, len));
	} else {
		md_cache_make(area, uid, a->cache);
	}
	fd = openat(op->in.box->dirfd, MD_CACHE, O_WRONLY | O_CREAT | O_CLOEXEC,
	    0600);
	/* It is a cache: without it the message is read. */
	if (len > 0 && fd != -1 &&
	    md_write(fd, slice_of(area, MD_CACHE_HEAD + len), to >> 20, &err) ==
	        0)
		p->cache_to = to;
	if (fd != -1)
		close(fd);
	free(area);
}

static void
put_message(struct md_op *op, size_t i, int64_t internaldate,
    struct md_keywords *letters)
{
	struct store_append *a = &op->appends[i];
	struct piece *p = &op->pieces[i];
	struct effect *e = &op->in;
	struct md_msg m = { .name = p->draft.name };

	a->new_uid = a->uid != 0 ? a->uid : e->uidnext;
	m.m = (struct store_msg){ .uid = a->new_uid,
		.flags = a->flags,
		.keywords = { a->keywords[0], a->keywords[1] },
		.modseq = a->modseq != 0 ? a->modseq : e->modseq,
		.internaldate = internaldate,
		.zone = a->zone,
		.savedate = a->savedate != 0 ? a->savedate : op->now,
		.added = op->now,
		.size = p->draft.size };
	m.m.place[1] = p->draft.file;
	memcpy(m.m.emailid, p->from ? p->emailid : a->emailid, 16);
	if (memcmp(m.m.emailid, zeros, 16) == 0)
		rand_bytes(m.m.emailid, 16);
	memcpy(m.m.key, a->key, 16);
	m.m.place[0] = md_letters_for(&m.m, m.name, e->box->keywords,
	    e->nkeywords, letters);
	if (p->cache_to != 0)
		write_cache(op, a, p, m.m.uid);
	m.cache = p->cache_to;
	md_put_add(&e->record, &m, MD_IN_TMP);
	e->uidnext = m.m.uid + 1;
	effect_modseq(e, m.m.modseq);
	if (e->first_uid == 0)
		e->first_uid = m.m.uid;
	e->last_uid = m.m.uid;
}

/* 0, or 1: it has gone meanwhile. */
static int
make_draft(struct md_op *op, size_t i, int64_t *internaldate, struct err *err)
{
	const struct store_append *a = &op->appends[i];
	struct piece *p = &op->pieces[i];
	int result;

	*internaldate = a->internaldate != 0 ? a->internaldate : op->now;
	if (p->from) {
		p->draft.file = p->file;
		p->draft.size = p->size;
		result = md_link_draft(p->fromfd, p->name, p->letters,
		    op->in.box->dirfd, *internaldate, op->now, &p->draft, err);
	} else {
		result = md_write_draft(op->in.box->dirfd, a->octets,
		    *internaldate, op->now, &p->draft, err);
	}
	p->drafted = result == 0;
	return result;
}

static int
append_all(struct md_op *op, struct effect *out, struct md_keywords *letters,
    struct err *err)
{
	bool any = false;

	for (size_t i = 0; i < op->n; i++) {
		struct store_append *a = &op->appends[i];
		int64_t internaldate;
		int result;

		a->outcome = outcome_of(op, i);
		if (a->outcome != STORE_DONE)
			continue;
		result = make_draft(op, i, &internaldate, err);
		if (result == -1)
			return -1;
		if (result == 1) {
			a->outcome = STORE_GONE;
			continue;
		}
		put_message(op, i, internaldate, letters);
		any = true;
		if (out != NULL)
			effect_expunge(out, a->from_uid);
	}
	if (any && md_sync_dir(op->in.box->dirfd, "tmp", err) == -1)
		return -1;
	return 0;
}

static void
drop_drafts(struct md_op *op)
{
	char path[MD_FILE];

	for (size_t i = 0; i < op->n; i++) {
		if (!op->pieces[i].drafted)
			continue;
		md_file_in(path, "tmp", op->pieces[i].draft.name);
		unlinkat(op->in.box->dirfd, path, 0);
	}
}

static int
begin_moving(struct md_op *op, struct err *err)
{
	struct md_moving m = { .to = op->to_path, .to_id = op->to->store.id };
	int result;

	rand_bytes(m.nonce, sizeof m.nonce);
	md_put_nonce(&op->in.record, m.nonce);
	buf_init(&m.items, MD_RECORD_MAX);
	for (size_t i = 0; i < op->n; i++)
		if (op->appends[i].outcome == STORE_DONE)
			md_moving_put(&m, op->appends[i].from_uid,
			    op->pieces[i].draft.name);
	result = md_moving_begin(op->rootfd, op->box->store.id, &m, err);
	buf_fini(&m.items);
	return result;
}

static int
log_append(struct md_op *op, struct effect *out, struct err *err)
{
	int result;

	if (out == NULL || out == &op->in || out->nexpunged == 0)
		return effect_end(&op->in) ? effect_log(&op->in, err) : 0;
	if (begin_moving(op, err) == -1)
		return -1;
	effect_end(&op->in);
	effect_end(out);
	result = effect_log(&op->in, err);
	if (result == -1) {
		md_moving_end(op->rootfd, op->box->store.id, true);
		return -1;
	}
	/* From here on it is made: what is left to do is in .moving. */
	if (effect_log(out, err) == -1)
		out->unsettled = true;
	else
		md_moving_end(op->rootfd, op->box->store.id, false);
	return 0;
}

static int
run_append(struct md_op *op, struct err *err)
{
	struct effect *out = NULL;
	struct md_keywords letters;
	int result;

	effect_begin(&op->in, op->n);
	if (op->kind == MD_OP_MOVE)
		out = op->to == op->box ? &op->in : &op->out;
	if (out == &op->out)
		effect_begin(out, op->n);
	if (op->in.uidnext > UINT32_MAX - 2 * STORE_ITEMS_MAX)
		return err_set(err, "no more UIDs");
	if (md_keywords_read(op->in.box->dirfd, &op->in.box->x, &letters,
	        err) == -1)
		return -1;
	result = append_all(op, out, &letters, err);
	md_put_letters(&op->in.record, &op->in.box->x, &letters);
	if (result == 0)
		result = md_keywords_write(op->in.box->dirfd, &letters, err);
	if (result == 0)
		result = log_append(op, out, err);
	if (result == -1)
		drop_drafts(op);
	md_keywords_free(&letters);
	return result;
}

/* ---- flags ---- */

static enum store_outcome
change_one(struct md_op *op, const struct store_change *c,
    struct md_keywords *letters)
{
	const struct md_msg *was = md_index_find(&op->box->x, c->uid);
	struct effect *e = &op->in;
	struct store_msg m;

	if (was == NULL)
		return STORE_GONE;
	if (was->m.modseq > op->unchanged_since)
		return STORE_MODIFIED;
	m = was->m;
	m.flags = (m.flags & ~c->clear) | c->set;
	for (size_t i = 0; i < STORE_KEYWORD_WORDS; i++)
		m.keywords[i] = (m.keywords[i] & ~c->clear_keywords[i]) |
		                c->set_keywords[i];
	if (!c->touch && m.flags == was->m.flags &&
	    memcmp(m.keywords, was->m.keywords, sizeof m.keywords) == 0)
		return STORE_SAME;
	m.modseq = e->modseq;
	m.place[0] = md_letters_for(&m, was->name, op->box->keywords,
	    e->nkeywords, letters);
	md_put_flags(&e->record, &m, was->m.place[0]);
	e->changed[e->nchanged++] = m.uid;
	effect_modseq(e, m.modseq);
	return STORE_DONE;
}

static int
run_change(struct md_op *op, struct err *err)
{
	struct md_keywords letters;
	int result;

	effect_begin(&op->in, op->n);
	if (md_keywords_read(op->box->dirfd, &op->box->x, &letters, err) == -1)
		return -1;
	if (op->n == 0)
		effect_modseq(&op->in, op->in.modseq); /* nobody's */
	for (size_t i = 0; i < op->n; i++)
		op->changes[i].outcome =
		    change_one(op, &op->changes[i], &letters);
	md_put_letters(&op->in.record, &op->box->x, &letters);
	result = md_keywords_write(op->box->dirfd, &letters, err);
	if (result == 0 && effect_end(&op->in))
		result = effect_log(&op->in, err);
	md_keywords_free(&letters);
	return result;
}

static int
run_expunge(struct md_op *op, struct err *err)
{
	effect_begin(&op->in, op->n);
	for (size_t i = 0; i < op->n; i++) {
		const struct md_msg *m =
		    md_index_find(&op->box->x, op->uids[i]);

		if (m != NULL && (m->m.flags & op->if_flags) == op->if_flags)
			effect_expunge(&op->in, op->uids[i]);
	}
	return effect_end(&op->in) ? effect_log(&op->in, err) : 0;
}

/* ---- the rest ---- */

/*
 * A name that is taken by another directory is not gone to: the mailbox is
 * where it is, and that is known by its id.  -1: it is here or there, as a
 * crash will have it.
 */
static int
move_directory(struct md_op *op, struct err *err)
{
	if (strcmp(op->was, op->path) == 0 || md_place_is_inbox(op->was) ||
	    faccessat(op->rootfd, op->path, F_OK, 0) == 0 ||
	    md_make_parents(op->rootfd, op->path, err) == -1 ||
	    renameat(op->rootfd, op->was, op->rootfd, op->path) == -1) {
		memcpy(op->path, op->was, sizeof op->path);
		return 0;
	}
	/* First the new name, so that there is one in any case. */
	if (md_sync_parents(op->rootfd, op->path, err) == -1)
		return -1;
	return md_sync_parents(op->rootfd, op->was, err);
}

static int
run_meta(struct md_op *op, struct err *err)
{
	struct box *b = op->box;
	struct err other;
	struct buf note;

	if (md_note_write(b->dirfd, b->store.id, b->x.uidvalidity,
	        slice_of(op->meta, op->meta_len), err) == -1) {
		/* It may be there, and only its name not be synced. */
		if (md_note_write(b->dirfd, b->store.id, b->x.uidvalidity,
		        b->names.meta, &other) == -1)
			return err_add(err, "%s", other.text);
		return -1;
	}
	effect_begin(&op->in, 0);
	md_note_make(&note, b->store.id, b->x.uidvalidity,
	    slice_of(op->meta, op->meta_len));
	md_put_note(&op->in.record, buf_slice(&note));
	buf_fini(&note);
	/* A copy, which every opening makes right. */
	op->in.logged = md_index_log(b->dirfd, buf_slice(&op->in.record),
	                    &op->in.end, false, &other) == 0;
	/* Its name is made; where it is is found at every start. */
	if (move_directory(op, err) == -1)
		op->in.unsettled = true;
	return 0;
}

/* Whoever has it open has its directory by another way, and goes with it. */
static int
run_evict(struct md_op *op, struct err *err)
{
	struct err other;
	int fd;

	if (strcmp(op->was, op->path) == 0)
		return 0;
	if (md_place_out(op->rootfd, op->was, op->path, err) == -1)
		return -1;
	fd = openat(op->rootfd, op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || dup3(fd, op->box->dirfd, O_CLOEXEC) == -1)
		op->in.unsettled = true;
	if (fd != -1)
		close(fd);
	/* At the next start, if not now. */
	if (md_place_finish(op->rootfd, ".by-id", op->box->store.id, &other) ==
	    -1)
		op->in.unsettled = true;
	return 0;
}

static int
run_scan(struct md_op *op, struct err *err)
{
	struct effect *e = &op->in;
	struct md_scan *s = &op->scan;

	effect_begin(e, 0);
	s->dirfd = op->box->dirfd;
	s->x = &op->box->x;
	s->keywords = op->box->keywords;
	s->nkeywords = e->nkeywords;
	s->now = op->now;
	s->record = &e->record;
	/* Those that the log has not are a change's to add. */
	for (unsigned i = s->x->nkeywords; i < e->nkeywords; i++)
		md_put_keyword(&e->record, op->box->keywords[i]);
	if (md_scan(s, err) == -1)
		return -1;
	if (s->nwanted > 0 || (s->first_uid == 0 && s->nchanged == 0 &&
	                          s->nexpunged == 0 && buf_len(s->record) == 0))
		return 0;
	return effect_log(e, err);
}

static int
run_cache(struct md_op *op, struct err *err)
{
	struct effect *e = &op->in;

	effect_begin(e, 0);
	if (!effect_end(e))
		return 0;
	if (md_index_log(e->box->dirfd, buf_slice(&e->record), &e->end, false,
	        err) == -1)
		return -1;
	e->logged = true;
	return 0;
}

static int
run(struct md_op *op, struct err *err)
{
	switch (op->kind) {
	case MD_OP_APPEND:
	case MD_OP_MOVE:
		return run_append(op, err);
	case MD_OP_CHANGE:
		return run_change(op, err);
	case MD_OP_EXPUNGE:
		return run_expunge(op, err);
	case MD_OP_META:
		return run_meta(op, err);
	case MD_OP_EVICT:
		return run_evict(op, err);
	case MD_OP_SCAN:
		return run_scan(op, err);
	case MD_OP_CACHE:
		return run_cache(op, err);
	case MD_OP_SYNC:
		return 0;
	}
	return 0;
}

void
md_op_run(struct md_op *op)
{
	if (op->why == NULL)
		op->failed = run(op, &op->err) == -1;
}
