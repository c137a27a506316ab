#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backendd/spool/append_octets.h"
#include "backendd/spool/spool.h"
#include "lib/xalloc.h"

/* ---- in the job ---- */

static int
open_source(struct appending *ap, const struct spool_place *p)
{
	char path[SPOOL_PATH];
	int fd;

	spool_path(path, p->id, SPOOL_DATA, p->no);
	fd = openat(ap->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		err_sys(&ap->err, "opening %s", path);
	return fd;
}

static void
read_cache(struct appending *ap, struct piece *p)
{
	char path[SPOOL_PATH];
	size_t len;
	int fd;

	if (p->place.cache_len == 0 || p->cache.len > 0 ||
	    ap->cached + p->place.cache_len > SPOOL_CACHE_SUM)
		return;
	ap->cached += p->place.cache_len;
	spool_path(path, p->place.id, SPOOL_CACHE, 0);
	fd = openat(ap->dirfd, path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return; /* it is a cache */
	p->cache_area = xmalloc(SPOOL_CACHE_HEAD + p->place.cache_len);
	len = spool_cache_read(fd, &p->place, p->cache_area);
	p->cache = slice_of(p->cache_area + SPOOL_CACHE_HEAD, len);
	close(fd);
}

static int
row_write(struct appending *ap)
{
	struct slice s = buf_slice(&ap->row);
	int fd, result;

	if (s.len == 0)
		return 0;
	fd = data_out_file(&ap->out, ap->row_no, &ap->err);
	result =
	    fd == -1 ? -1 : spool_write(fd, s.ptr, s.len, ap->row_at, &ap->err);
	if (result == 0)
		spool_write_early(fd, ap->row_at, s.len);
	buf_clear(&ap->row);
	return result;
}

/*
 * All but the head, which goes with the record: that knows the UID.  Messages
 * that stand side by side are one write, with zeros where heads will be.
 */
static int
row_put(struct appending *ap, const struct piece *p, struct slice octets)
{
	static const uint8_t zeros[SPOOL_FRAME_MIN + 4 + 7];
	uint64_t at = p->at + spool_frame_head(p->size);
	uint64_t end = ap->row_at + buf_len(&ap->row);
	bool beside = buf_len(&ap->row) > 0 && p->no == ap->row_no &&
	              at >= end && at - end <= sizeof zeros &&
	              at - end + p->size <= buf_room(&ap->row);

	if (!beside && row_write(ap) == -1)
		return -1;
	if (beside) {
		buf_put(&ap->row, zeros, (size_t)(at - end));
	} else {
		ap->row_no = p->no;
		ap->row_at = at;
	}
	buf_put_slice(&ap->row, octets);
	return 0;
}

/* A copy of a message of one block. */
static int
copy_small(struct appending *ap, const struct piece *p, int source)
{
	size_t size = (size_t)p->size;
	uint8_t *octets;

	if (ap->copy == NULL)
		ap->copy = xmalloc((size_t)spool_frame_len(STORE_INLINE_MAX));
	if (spool_frame_read(source, &p->place, 0, size, ap->copy, &octets,
	        &ap->err) == -1)
		return -1;
	memcpy(p->frame, ap->copy, spool_frame_head(p->size));
	return row_put(ap, p, slice_of(octets, size));
}

static int
write_direct(struct appending *ap, struct piece *p, int source)
{
	bool small = p->size <= STORE_INLINE_MAX, unread;
	int fd;

	if (!p->from)
		spool_frame_sum(p->frame, p->octets);
	if (small)
		return p->from ? copy_small(ap, p, source)
		               : row_put(ap, p, p->octets);
	fd = data_out_file(&ap->out, p->no, &ap->err);
	if (fd == -1)
		return -1;
	if (p->from)
		return spool_frame_copy(source, &p->place, p->frame, fd, p->at,
		    &unread, &ap->err);
	return spool_write(fd, p->octets.ptr, p->octets.len,
	    p->at + spool_frame_head(p->size), &ap->err);
}

static int
prepare_piece(struct appending *ap, struct piece *p)
{
	bool whole = p->from && !p->direct;
	int source = -1, result = 0;
	uint8_t *octets;

	p->frame = xmalloc(whole ? (size_t)spool_frame_len(p->size)
	                         : spool_frame_head(p->size));
	if (p->from) {
		source = open_source(ap, &p->place);
		if (source == -1)
			return -1;
		read_cache(ap, p);
	}
	if (p->direct)
		result = write_direct(ap, p, source);
	else if (p->from)
		result = spool_frame_read(source, &p->place, 0, (size_t)p->size,
		    p->frame, &octets, &ap->err);
	else
		spool_frame_sum(p->frame, p->octets);
	if (source != -1)
		close(source);
	return result;
}

void
append_octets_run(void *arg)
{
	struct appending *ap = arg;

	for (size_t i = 0; i < ap->n && !ap->failed; i++)
		if (!ap->pieces[i].gone)
			ap->failed = prepare_piece(ap, &ap->pieces[i]) == -1;
	if (!ap->failed)
		ap->failed = row_write(ap) == -1;
	if (!ap->failed)
		ap->failed = data_out_end(&ap->out, &ap->err) == -1;
	data_out_close(&ap->out);
}

/* ---- in the loop: where they go, and what the record has ---- */

/* Of its record in the file "cache", a multiple of 8. */
static size_t
cache_room(const struct piece *p)
{
	return (SPOOL_CACHE_HEAD + p->cache.len + 7) & ~(size_t)7;
}

void
append_octets_place(struct spool_mailbox *mb, struct piece *p,
    struct store_msg *m)
{
	spool_frame_seal(p->frame, m, mb->now.uidvalidity);
	if (!p->direct)
		append_allocate(mb, p->size, &p->no, &p->at);
	m->place[0] = p->at;
	m->place[1] = p->no;
	if (p->cache.len == 0)
		return;
	m->place[2] = spool_cache_place(mb->cache_end, p->cache.len);
	mb->cache_end += cache_room(p);
}

static void
put_padding(struct buf *b, uint64_t n)
{
	static const uint8_t zeros[8];

	buf_put(b, zeros, (size_t)(-n & 7));
}

/* The next that goes into the record, from i on; n: there is none. */
static size_t
next_done(const struct appending *ap, size_t i)
{
	while (i < ap->n && ap->items[i].outcome != STORE_DONE)
		i++;
	return i;
}

/* Frames that stand side by side are one write; gives what is behind them. */
static size_t
put_frames(struct change *ch, const struct appending *ap, size_t first)
{
	const struct piece *p = &ap->pieces[first], *last = p;
	uint64_t end = p->at + spool_frame_len(p->size);
	size_t behind = next_done(ap, first + 1), from;

	for (; behind < ap->n; behind = next_done(ap, behind + 1)) {
		const struct piece *q = &ap->pieces[behind];

		if (q->direct || q->no != p->no ||
		    q->at != last->at + spool_frame_room(last->size))
			break;
		end = q->at + spool_frame_len(q->size);
		last = q;
	}
	redo_write_begin(&ch->record, SPOOL_DATA, p->no, p->at, end - p->at);
	from = buf_len(&ch->record);
	for (size_t i = first; i < behind; i = next_done(ap, i + 1)) {
		const struct piece *q = &ap->pieces[i];
		size_t head_len = spool_frame_head(q->size);

		if (q->from) {
			buf_put(&ch->record, q->frame,
			    (size_t)spool_frame_len(q->size));
		} else {
			buf_put(&ch->record, q->frame, head_len);
			buf_put_slice(&ch->record, q->octets);
		}
		if (q != last)
			put_padding(&ch->record, spool_frame_len(q->size));
	}
	ahead_note(&ch->ahead, &ch->record, from, SPOOL_DATA, p->no, p->at);
	return behind;
}

/*
 * A cache may be lost, so that of many messages does not go by way of the log.
 */
static void
put_caches(struct change *ch, const struct appending *ap, uint64_t cache_at)
{
	struct buf *out = ap->direct ? &ch->aside : &ch->record;
	uint64_t end = ap->to->cache_end;
	uint8_t head[SPOOL_CACHE_HEAD];
	size_t from;

	if (end == cache_at)
		return;
	if (ap->direct)
		redo_mailbox(out, ap->to->store.id);
	redo_write_begin(out, SPOOL_CACHE, 0, cache_at, end - cache_at);
	from = buf_len(out);
	for (size_t i = next_done(ap, 0); i < ap->n; i = next_done(ap, i + 1)) {
		const struct piece *p = &ap->pieces[i];

		if (p->cache.len == 0)
			continue;
		spool_cache_make(head, ap->items[i].new_uid, p->cache);
		buf_put(out, head, sizeof head);
		buf_put_slice(out, p->cache);
		put_padding(out, p->cache.len);
	}
	if (!ap->direct)
		ahead_note(&ch->ahead, out, from, SPOOL_CACHE, 0, cache_at);
}

void
append_octets_put(struct change *ch, const struct appending *ap, uint32_t slot,
    uint64_t cache_at)
{
	struct spool_mailbox *mb = ap->to;
	uint32_t n = mb->next.nslots - slot;
	size_t i = next_done(ap, 0);

	while (i < ap->n) {
		const struct piece *p = &ap->pieces[i];

		if (!p->direct) {
			i = put_frames(ch, ap, i);
			continue;
		}
		redo_write(&ch->record, SPOOL_DATA, p->no, p->at,
		    slice_of(p->frame, spool_frame_head(p->size)));
		i = next_done(ap, i + 1);
	}
	put_caches(ch, ap, cache_at);
	if (n > 0)
		redo_write(&ch->record, SPOOL_INDEX, 0,
		    ((uint64_t)slot + 1) * SPOOL_SLOT,
		    slice_of(box_draft_slot(mb, slot), (size_t)n * SPOOL_SLOT));
}
