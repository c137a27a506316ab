#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/hash.h"
#include "lib/must.h"
#include "lib/xalloc.h"

#define RECORD_MAGIC 0x6d644c31u

enum {
	FRAME = 12,                   /* magic, length, checksum */
	LOG_MAX = 2047 * 1024 * 1024, /* octets of a log that is read */
	SNAPSHOT_RECORD = 1024 * 1024 /* octets, about */
};

/* ---- writing records ---- */

void
md_put_head(struct buf *b, uint32_t uidvalidity, uint32_t uidnext,
    uint32_t recent, uint64_t highestmodseq)
{
	wire_put_u8(b, MD_HEAD);
	wire_put_u32(b, uidvalidity);
	wire_put_u32(b, uidnext);
	wire_put_u32(b, recent);
	wire_put_u64(b, highestmodseq);
}

void
md_put_keyword(struct buf *b, const char *name)
{
	wire_put_u8(b, MD_KEYWORD);
	wire_put_str(b, name);
}

static void
put_what_changes(struct buf *b, const struct store_msg *m)
{
	wire_put_u32(b, m->uid);
	wire_put_u32(b, m->flags);
	wire_put_u64(b, m->modseq);
	wire_put_u64(b, m->keywords[0]);
	wire_put_u64(b, m->keywords[1]);
	wire_put_u64(b, m->place[0]);
}

void
md_put_add(struct buf *b, const struct md_msg *m, enum md_where where)
{
	const struct store_msg *s = &m->m;

	wire_put_u8(b, MD_ADD);
	wire_put_u8(b, (uint8_t)where);
	wire_put_str(b, m->name);
	put_what_changes(b, s);
	wire_put_u64(b, s->place[1]);
	wire_put_u16(b, (uint16_t)s->zone);
	wire_put_u64(b, (uint64_t)s->internaldate);
	wire_put_u64(b, (uint64_t)s->savedate);
	wire_put_u64(b, (uint64_t)s->added);
	wire_put_u64(b, s->size);
	buf_put(b, s->emailid, 16);
	buf_put(b, s->key, 16);
	wire_put_u64(b, m->cache);
}

void
md_put_flags(struct buf *b, const struct store_msg *m, uint64_t was)
{
	wire_put_u8(b, MD_FLAGS);
	put_what_changes(b, m);
	wire_put_u64(b, was);
}

void
md_put_expunge(struct buf *b, uint32_t uid, uint64_t modseq, bool unlink)
{
	wire_put_u8(b, MD_EXPUNGE);
	wire_put_u32(b, uid);
	wire_put_u64(b, modseq);
	wire_put_u8(b, unlink);
}

void
md_put_gone(struct buf *b, const struct md_gone *g)
{
	wire_put_u8(b, MD_GONE);
	wire_put_u32(b, g->uid);
	wire_put_u64(b, g->modseq);
	wire_put_u64(b, (uint64_t)g->added);
	buf_put(b, g->key, 16);
}

void
md_put_cached(struct buf *b, uint32_t uid, uint64_t place)
{
	wire_put_u8(b, MD_CACHED);
	wire_put_u32(b, uid);
	wire_put_u64(b, place);
}

void
md_put_nonce(struct buf *b, const uint8_t nonce[16])
{
	wire_put_u8(b, MD_NONCE);
	wire_put_slice(b, slice_of(nonce, 16));
}

void
md_put_note(struct buf *b, struct slice note)
{
	wire_put_u8(b, MD_NOTE);
	wire_put_slice(b, note);
}

static void
put_letter(struct buf *b, unsigned letter, const char *name)
{
	wire_put_u8(b, MD_LETTER);
	wire_put_u8(b, (uint8_t)letter);
	wire_put_str(b, name);
}

void
md_put_letters(struct buf *b, const struct index *x,
    const struct md_keywords *k)
{
	for (unsigned i = 0; i < MD_LETTERS; i++)
		if (k->names[i] != NULL &&
		    (x->letters[i] == NULL ||
		        strcmp(x->letters[i], k->names[i]) != 0))
			put_letter(b, i, k->names[i]);
}

/* ---- reading records ---- */

static void
get_octets(struct wire *w, uint8_t *out, size_t n)
{
	if (w->failed || w->rest.len < n) {
		w->failed = true;
		return;
	}
	memcpy(out, w->rest.ptr, n);
	w->rest = slice_skip(w->rest, n);
}

static void
get_what_changes(struct wire *w, struct store_msg *m)
{
	m->uid = wire_u32(w);
	m->flags = wire_u32(w);
	m->modseq = wire_u64(w);
	m->keywords[0] = wire_u64(w);
	m->keywords[1] = wire_u64(w);
	m->place[0] = wire_u64(w);
}

static void
get_add(struct wire *w, struct md_item *item)
{
	struct store_msg *s = &item->msg.m;
	struct slice name;

	item->where = (enum md_where)wire_u8(w);
	name = wire_slice(w);
	if (name.len == 0 || name.len > MD_NAME) {
		w->failed = true;
		return;
	}
	memcpy(item->name, name.ptr, name.len);
	item->name[name.len] = '\0';
	item->msg.name = item->name;
	get_what_changes(w, s);
	s->place[1] = wire_u64(w);
	s->zone = (int16_t)wire_u16(w);
	s->internaldate = (int64_t)wire_u64(w);
	s->savedate = (int64_t)wire_u64(w);
	s->added = (int64_t)wire_u64(w);
	s->size = wire_u64(w);
	get_octets(w, s->emailid, 16);
	get_octets(w, s->key, 16);
	item->msg.cache = wire_u64(w);
}

static void
get_item(struct wire *w, struct md_item *item)
{
	struct store_msg *s = &item->msg.m;

	switch (item->tag) {
	case MD_HEAD:
		item->uidvalidity = wire_u32(w);
		item->uidnext = wire_u32(w);
		item->recent = wire_u32(w);
		s->modseq = wire_u64(w);
		return;
	case MD_LETTER:
		item->letter = wire_u8(w);
		w->failed |= item->letter >= MD_LETTERS;
		item->text = wire_slice(w);
		return;
	case MD_KEYWORD:
	case MD_NONCE:
	case MD_NOTE:
		item->text = wire_slice(w);
		return;
	case MD_ADD:
		get_add(w, item);
		return;
	case MD_FLAGS:
		get_what_changes(w, s);
		item->was = wire_u64(w);
		return;
	case MD_EXPUNGE:
		s->uid = wire_u32(w);
		s->modseq = wire_u64(w);
		item->unlink = wire_u8(w) != 0;
		return;
	case MD_GONE:
		s->uid = wire_u32(w);
		s->modseq = wire_u64(w);
		s->added = (int64_t)wire_u64(w);
		get_octets(w, s->key, 16);
		return;
	case MD_CACHED:
		s->uid = wire_u32(w);
		item->msg.cache = wire_u64(w);
		return;
	case MD_SETTLED:
		return;
	}
	w->failed = true;
}

bool
md_item(struct wire *w, struct md_item *item)
{
	if (w->rest.len == 0 || w->failed)
		return false;
	*item = (struct md_item){ 0 };
	item->tag = (enum md_tag)wire_u8(w);
	get_item(w, item);
	return !w->failed;
}

/* ---- what they make ---- */

void
md_index_init(struct index *x)
{
	*x = (struct index){ .uidnext = 1, .recent = 1, .highestmodseq = 1 };
}

void
md_index_fini(struct index *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->msgs[i].name);
	for (unsigned i = 0; i < x->nkeywords; i++)
		free(x->keywords[i]);
	for (unsigned i = 0; i < MD_LETTERS; i++)
		free(x->letters[i]);
	free(x->note);
	free(x->msgs);
	free(x->gone);
	md_index_init(x);
}

size_t
md_index_at(const struct index *x, uint32_t uid)
{
	size_t low = 0, high = x->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (x->msgs[mid].m.uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct md_msg *
md_index_find(const struct index *x, uint32_t uid)
{
	size_t i = md_index_at(x, uid);

	return i < x->n && x->msgs[i].m.uid == uid ? &x->msgs[i] : NULL;
}

/* To its place by end_gone(). */
static void
add_gone(struct index *x, const struct md_gone *g)
{
	if (x->ngone == x->gone_size) {
		x->gone_size = x->gone_size * 2 + 16;
		x->gone = xreallocarray(x->gone, x->gone_size, sizeof *x->gone);
	}
	x->gone[x->ngone++] = *g;
}

static int
compare_gone(const void *a, const void *b)
{
	const struct md_gone *x = a, *y = b;

	return (x->uid > y->uid) - (x->uid < y->uid);
}

/* Those from old on are new, and go between the others. */
static void
end_gone(struct index *x, size_t old)
{
	size_t n = x->ngone - old, to = x->ngone;
	struct md_gone *added;

	if (n > 1)
		qsort(&x->gone[old], n, sizeof *x->gone, compare_gone);
	if (n == 0 || old == 0 || x->gone[old - 1].uid <= x->gone[old].uid)
		return;
	added = xcalloc(n, sizeof *added);
	memcpy(added, &x->gone[old], n * sizeof *added);
	while (n > 0)
		if (old > 0 && x->gone[old - 1].uid > added[n - 1].uid)
			x->gone[--to] = x->gone[--old];
		else
			x->gone[--to] = added[--n];
	free(added);
}

/* Expunged messages, which have no name any more, are taken out. */
static void
close_holes(struct index *x)
{
	size_t n = x->hole - 1;

	if (x->hole == 0)
		return;
	for (size_t i = n; i < x->n; i++)
		if (x->msgs[i].name != NULL)
			x->msgs[n++] = x->msgs[i];
	x->n = n;
	x->hole = 0;
}

static int
apply_add(struct index *x, const struct md_item *item, struct err *err)
{
	if (x->n > 0 && x->msgs[x->n - 1].m.uid >= item->msg.m.uid)
		return err_set(err, "UIDs do not ascend");
	if (x->n == x->size) {
		x->size = x->size * 2 + 16;
		x->msgs = xreallocarray(x->msgs, x->size, sizeof *x->msgs);
	}
	x->msgs[x->n] = item->msg;
	x->msgs[x->n].name = xstrdup(item->name);
	x->n++;
	if (x->uidnext <= item->msg.m.uid)
		x->uidnext = item->msg.m.uid + 1;
	return 0;
}

static void
apply_flags(struct index *x, const struct md_item *item)
{
	struct md_msg *m = md_index_find(x, item->msg.m.uid);

	if (m == NULL)
		return;
	m->m.flags = item->msg.m.flags;
	m->m.modseq = item->msg.m.modseq;
	m->m.keywords[0] = item->msg.m.keywords[0];
	m->m.keywords[1] = item->msg.m.keywords[1];
	m->m.place[0] = item->msg.m.place[0];
}

static void
apply_expunge(struct index *x, const struct md_item *item)
{
	struct md_msg *m = md_index_find(x, item->msg.m.uid);
	struct md_gone g = { .uid = item->msg.m.uid,
		.modseq = item->msg.m.modseq };
	size_t at;

	if (m == NULL || m->name == NULL)
		return;
	at = (size_t)(m - x->msgs) + 1;
	g.added = m->m.added;
	memcpy(g.key, m->m.key, 16);
	free(m->name);
	m->name = NULL;
	if (x->hole == 0 || x->hole > at)
		x->hole = at;
	add_gone(x, &g);
}

static int
apply_keyword(struct index *x, const struct md_item *item, struct err *err)
{
	if (x->nkeywords == STORE_KEYWORDS || item->text.len == 0 ||
	    item->text.len > STORE_KEYWORD_MAX)
		return err_set(err, "a keyword too many or too long");
	x->keywords[x->nkeywords++] = xstrndup(item->text.ptr, item->text.len);
	return 0;
}

static int
apply_item(struct index *x, const struct md_item *item, struct err *err)
{
	const struct store_msg *s = &item->msg.m;
	struct md_gone gone = { s->uid, s->modseq, s->added, { 0 } };
	struct md_msg *m;

	switch (item->tag) {
	case MD_HEAD:
		x->uidvalidity = item->uidvalidity;
		x->uidnext = item->uidnext;
		x->recent = item->recent;
		x->highestmodseq = s->modseq;
		return 0;
	case MD_KEYWORD:
		return apply_keyword(x, item, err);
	case MD_ADD:
		return apply_add(x, item, err);
	case MD_FLAGS:
		apply_flags(x, item);
		return 0;
	case MD_EXPUNGE:
		apply_expunge(x, item);
		return 0;
	case MD_GONE:
		memcpy(gone.key, s->key, 16);
		add_gone(x, &gone);
		return 0;
	case MD_CACHED:
		m = md_index_find(x, s->uid);
		if (m != NULL)
			m->cache = item->msg.cache;
		return 0;
	case MD_LETTER:
		free(x->letters[item->letter]);
		x->letters[item->letter] =
		    xstrndup(item->text.ptr, item->text.len);
		return 0;
	case MD_NOTE:
		free(x->note);
		x->note = (uint8_t *)xstrndup(item->text.ptr, item->text.len);
		x->note_len = item->text.len;
		return 0;
	case MD_NONCE:
	case MD_SETTLED:
		return 0;
	}
	return err_set(err, "an unknown item");
}

int
md_index_apply(struct index *x, struct slice record, struct err *err)
{
	size_t ngone = x->ngone;
	struct md_item item;
	int result = 0;
	struct wire w;

	wire_init(&w, record);
	while (result == 0 && md_item(&w, &item))
		result = apply_item(x, &item, err);
	/* At once: thousands go in a record, and this is the loop's, too. */
	close_holes(x);
	end_gone(x, ngone);
	if (result == 0 && w.failed)
		return err_set(err, "a record is damaged");
	return result;
}

struct store_numbers
md_index_numbers(const struct index *x)
{
	struct store_numbers n = { .uidvalidity = x->uidvalidity,
		.uidnext = x->uidnext,
		.highestmodseq = x->highestmodseq,
		.exists = (uint32_t)x->n };

	for (size_t i = 0; i < x->n; i++) {
		n.unseen += (x->msgs[i].m.flags & STORE_SEEN) == 0;
		n.deleted += (x->msgs[i].m.flags & STORE_DELETED) != 0;
		n.size += x->msgs[i].m.size;
	}
	return n;
}

/* ---- the log ---- */

static void
put_frame(struct buf *b, struct slice record)
{
	wire_put_u32(b, RECORD_MAGIC);
	wire_put_u32(b, (uint32_t)record.len);
	wire_put_u32(b, hash_crc32c(RECORD_MAGIC, record.ptr, record.len));
	buf_put_slice(b, record);
}

/* As it was, as far as can be. */
static int
take_back(int fd, uint64_t end, struct err *err)
{
	struct err other;

	if (ftruncate(fd, (off_t)end) == 0 && fsync(fd) == 0)
		return -1;
	(void)err_sys(&other, "taking it back");
	return err_add(err, "%s", other.text);
}

int
md_index_log(int dirfd, struct slice record, uint64_t *end, bool sync,
    struct err *err)
{
	int fd = openat(dirfd, MD_INDEX, O_WRONLY | O_CLOEXEC), result;
	struct buf b;

	if (fd == -1)
		return err_sys(err, "opening " MD_INDEX);
	buf_init(&b, MD_RECORD_MAX + FRAME);
	put_frame(&b, record);
	if (buf_failed(&b))
		result = err_set(err, "too much at once");
	else
		result = md_write(fd, buf_slice(&b), *end, err);
	if (result == 0 && sync && fdatasync(fd) == -1)
		result = err_sys(err, "syncing " MD_INDEX);
	if (result == -1)
		result = take_back(fd, *end, err);
	else
		*end += buf_len(&b);
	buf_fini(&b);
	close(fd);
	return result;
}

/* The record at the head of s; false: there is none that is whole. */
static bool
get_frame(struct slice s, struct slice *record)
{
	uint32_t len, crc;
	struct wire w;

	wire_init(&w, s);
	if (wire_u32(&w) != RECORD_MAGIC)
		return false;
	len = wire_u32(&w);
	crc = wire_u32(&w);
	if (w.failed || w.rest.len < len)
		return false;
	*record = slice_first(w.rest, len);
	return hash_crc32c(RECORD_MAGIC, record->ptr, len) == crc;
}

/* A crash leaves one record that is not whole, and nothing behind it. */
static bool
is_torn_only(struct slice s)
{
	static const uint8_t magic[4] = { 0x6d, 0x64, 0x4c, 0x31 };
	struct slice record;

	for (size_t i = 1; i + FRAME <= s.len; i++)
		if (memcmp(s.ptr + i, magic, 4) == 0 &&
		    get_frame(slice_skip(s, i), &record))
			return false;
	return true;
}

static bool
is_settled(struct slice record)
{
	return record.len == 1 && record.ptr[0] == MD_SETTLED;
}

/* The last record may be unsettled: that is done before it is applied. */
static enum md_loaded
load_last(int dirfd, struct index *x, struct slice last, bool look,
    struct err *err)
{
	static const uint8_t settled = MD_SETTLED;

	if (last.len > 0 && !look && md_index_settle(dirfd, x, last, err) == -1)
		return MD_FAILED;
	x->unsettled = last.len > 0 && look;
	if (last.len > 0 && md_index_apply(x, last, err) == -1) {
		md_index_fini(x);
		return MD_NO_INDEX;
	}
	if (last.len == 0 || look)
		return MD_LOADED;
	return md_index_log(dirfd, slice_of(&settled, 1), &x->end, false,
	           err) == 0
	           ? MD_LOADED
	           : MD_FAILED;
}

static int
cut_log(int dirfd, uint64_t end, struct err *err)
{
	int fd = openat(dirfd, MD_INDEX, O_WRONLY | O_CLOEXEC), result = 0;

	if (fd == -1)
		return err_sys(err, "opening " MD_INDEX);
	if (ftruncate(fd, (off_t)end) == -1)
		result = err_sys(err, "cutting " MD_INDEX);
	close(fd);
	return result;
}

/* Up to the damage it is right; what its last record says is in the files. */
static enum md_loaded
load_some(int dirfd, struct index *x, struct slice last, bool look)
{
	struct err err;

	if (last.len > 0 &&
	    ((!look && md_index_settle(dirfd, x, last, &err) == -1) ||
	        md_index_apply(x, last, &err) == -1))
		md_index_fini(x);
	x->end = 0;
	return MD_NO_INDEX;
}

static enum md_loaded
load_all(int dirfd, struct index *x, struct slice s, bool look, struct err *err)
{
	struct slice record, last = slice_of(NULL, 0);

	while (get_frame(s, &record)) {
		if (last.len > 0 && md_index_apply(x, last, err) == -1) {
			md_index_fini(x);
			return MD_NO_INDEX;
		}
		last = is_settled(record) ? slice_of(NULL, 0) : record;
		s = slice_skip(s, FRAME + record.len);
		x->end += FRAME + record.len;
	}
	if (x->end == 0 || !is_torn_only(s))
		return load_some(dirfd, x, last, look);
	if (s.len > 0 && !look && cut_log(dirfd, x->end, err) == -1)
		return MD_FAILED;
	return load_last(dirfd, x, last, look, err);
}

enum md_loaded
md_index_load(int dirfd, struct index *x, bool look, struct err *err)
{
	enum md_loaded result;
	struct buf b;
	bool missing;

	md_index_init(x);
	if (md_read_file(dirfd, MD_INDEX, LOG_MAX, &b, &missing, err) == -1)
		return missing ? MD_NO_INDEX : MD_FAILED;
	result = load_all(dirfd, x, buf_slice(&b), look, err);
	buf_fini(&b);
	if (result == MD_FAILED)
		md_index_fini(x);
	return result;
}

bool
md_index_has_nonce(int dirfd, const uint8_t nonce[16])
{
	struct slice s, record;
	struct md_item item;
	bool missing, found = false;
	struct err err;
	struct wire w;
	struct buf b;

	if (md_read_file(dirfd, MD_INDEX, LOG_MAX, &b, &missing, &err) == -1)
		return false;
	for (s = buf_slice(&b); get_frame(s, &record);
	     s = slice_skip(s, FRAME + record.len)) {
		wire_init(&w, record);
		while (md_item(&w, &item))
			found |= item.tag == MD_NONCE &&
			         slice_equal(item.text, slice_of(nonce, 16));
	}
	buf_fini(&b);
	return found;
}

/* ---- a shorter log ---- */

static void
end_record(struct buf *all, struct buf *record, bool force)
{
	if (buf_len(record) == 0 ||
	    (!force && buf_len(record) < SNAPSHOT_RECORD))
		return;
	put_frame(all, buf_slice(record));
	buf_clear(record);
}

static void
put_snapshot(struct buf *all, const struct index *x)
{
	struct buf r;

	buf_init(&r, 2 * SNAPSHOT_RECORD);
	if (x->note != NULL)
		md_put_note(&r, slice_of(x->note, x->note_len));
	for (unsigned i = 0; i < MD_LETTERS; i++)
		if (x->letters[i] != NULL)
			put_letter(&r, i, x->letters[i]);
	for (unsigned i = 0; i < x->nkeywords; i++)
		md_put_keyword(&r, x->keywords[i]);
	for (size_t i = 0; i < x->ngone; i++) {
		md_put_gone(&r, &x->gone[i]);
		end_record(all, &r, false);
	}
	for (size_t i = 0; i < x->n; i++) {
		md_put_add(&r, &x->msgs[i], MD_IN_CUR);
		end_record(all, &r, false);
	}
	md_put_head(&r, x->uidvalidity, x->uidnext, x->recent,
	    x->highestmodseq);
	end_record(all, &r, true);
	wire_put_u8(&r, MD_SETTLED);
	end_record(all, &r, true);
	buf_fini(&r);
}

int
md_index_compact(int dirfd, struct index *x, uint64_t min, struct err *err)
{
	struct buf all;
	int result = 0;

	if (min > 0 && x->end > 0 &&
	    (x->end < min || x->end / 4 < x->n * 256 + x->ngone * 40))
		return 0;
	buf_init(&all, LOG_MAX);
	put_snapshot(&all, x);
	if (buf_failed(&all))
		result = err_set(err, "the index is too large");
	if (result == 0)
		result = md_replace(dirfd, MD_INDEX, buf_slice(&all), err);
	if (result == 0)
		x->end = buf_len(&all);
	buf_fini(&all);
	return result;
}
