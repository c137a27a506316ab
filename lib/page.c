#include <string.h>

#include "lib/must.h"
#include "lib/page.h"

/*
 * A page is its level, an octet, and entries:
 *
 *	shared, suffix's length, value's length << 2 | kind, suffix, value
 *
 * Numbers have seven bits an octet, low ones first, the high bit set in all
 * but the last.  shared counts the octets taken from the key before.  A
 * difference is a row of
 *
 *	octets to copy, octets of the base to leave out, n, n octets to put
 *
 * and then the rest of the base.
 */
enum kind {
	KIND_BASE,  /* octets; differences after it are to this */
	KIND_DELTA, /* difference to the last base */
	KIND_PLAIN, /* octets; no base */
	KIND_FAR    /* a number */
};

enum {
	KIND_BITS = 2,
	NUMBER_MAX = 10, /* octets of one */
	SAME_MIN = 4 /* octets alike that are worth a step of a difference */
};

struct entry {
	size_t at, suffix, value, end; /* offsets */
	size_t shared, key_len;
	enum kind kind;
};

/* --- numbers --------------------------------------------------------------- */

static bool
take_number(struct slice s, size_t *at, uint64_t *n)
{
	unsigned shift = 0;
	uint8_t c;

	*n = 0;
	do {
		if (*at == s.len || shift > 63)
			return false;
		c = s.ptr[(*at)++];
		*n |= (uint64_t)(c & 0x7f) << shift;
		shift += 7;
	} while (c & 0x80);
	return true;
}

static size_t
number_encode(uint8_t to[NUMBER_MAX], uint64_t n)
{
	size_t len = 0;

	for (; n >= 0x80; n >>= 7)
		to[len++] = (uint8_t)(n | 0x80);
	to[len++] = (uint8_t)n;
	return len;
}

static void
put_number(struct buf *out, uint64_t n)
{
	uint8_t octets[NUMBER_MAX];

	buf_put(out, octets, number_encode(octets, n));
}

/* --- differences ------------------------------------------------------------ */

struct side {
	const uint8_t *ptr;
	size_t at, end;
};

/* Octets from both sides' positions on until they are alike again; all: never. */
static size_t
unlike(const struct side *a, const struct side *b, bool *all)
{
	size_t na = a->end - a->at, nb = b->end - b->at;
	size_t max = na < nb ? na : nb;

	for (size_t n = 1; n + SAME_MIN <= max; n++) {
		if (memcmp(a->ptr + a->at + n, b->ptr + b->at + n, SAME_MIN) ==
		    0) {
			*all = false;
			return n;
		}
	}
	*all = true;
	return 0;
}

static size_t
common_end(struct slice a, struct slice b)
{
	size_t n = 0;

	while (n < a.len && n < b.len &&
	       a.ptr[a.len - 1 - n] == b.ptr[b.len - 1 - n])
		n++;
	return n;
}

/*
 * The difference into to, if it is less than max octets; SIZE_MAX if not.
 * What is of the same length is compared place by place, since records have
 * their fields at the same places.
 */
static size_t
delta_encode(struct slice base, struct slice value, uint8_t *to, size_t max)
{
	size_t same = base.len == value.len ? 0 : common_end(base, value);
	struct side b = { base.ptr, 0, base.len - same };
	struct side v = { value.ptr, 0, value.len - same };
	size_t len = 0;

	for (;;) {
		size_t copy = slice_common(slice_of(b.ptr + b.at, b.end - b.at),
		    slice_of(v.ptr + v.at, v.end - v.at));
		size_t skip, put;
		bool all;

		b.at += copy;
		v.at += copy;
		if (b.at == b.end && v.at == v.end)
			return len;
		skip = put = unlike(&b, &v, &all);
		if (all) {
			skip = b.end - b.at;
			put = v.end - v.at;
		}
		if (len + 3 * NUMBER_MAX + put > max)
			return SIZE_MAX;
		len += number_encode(to + len, copy);
		len += number_encode(to + len, skip);
		len += number_encode(to + len, put);
		memcpy(to + len, v.ptr + v.at, put);
		len += put;
		b.at += skip;
		v.at += put;
	}
}

static bool
delta_apply(struct slice base, struct slice delta, struct buf *out)
{
	size_t at = 0, from = 0, total = 0;

	if (base.len == 0)
		return false;
	while (at < delta.len) {
		uint64_t copy, skip, put;

		if (!take_number(delta, &at, &copy) ||
		    !take_number(delta, &at, &skip) ||
		    !take_number(delta, &at, &put) || copy > base.len - from ||
		    skip > base.len - from - copy || put > delta.len - at)
			return false;
		total += copy + put;
		if (total > PAGE_NEAR_MAX)
			return false;
		buf_put(out, base.ptr + from, copy);
		buf_put(out, delta.ptr + at, put);
		from += copy + skip;
		at += put;
	}
	buf_put_slice(out, slice_skip(base, from));
	return !buf_failed(out);
}

/* --- entries ---------------------------------------------------------------- */

static struct slice
entry_value(struct slice page, const struct entry *e)
{
	return slice_of(page.ptr + e->value, e->end - e->value);
}

/* 1 and the entry at e->end; 0 at the page's end; -1 if it is none. */
static int
entry_next(struct slice page, struct entry *e)
{
	size_t before = e->key_len, at = e->end;
	uint64_t shared, suffix, value;

	e->at = at;
	if (at == page.len)
		return 0;
	if (at + 3 <= page.len &&
	    ((page.ptr[at] | page.ptr[at + 1] | page.ptr[at + 2]) & 0x80) ==
	        0) {
		shared = page.ptr[at];
		suffix = page.ptr[at + 1];
		value = page.ptr[at + 2];
		at += 3;
	} else if (!take_number(page, &at, &shared) ||
	           !take_number(page, &at, &suffix) ||
	           !take_number(page, &at, &value)) {
		return -1;
	}
	e->kind = (enum kind)(value & ((1 << KIND_BITS) - 1));
	value >>= KIND_BITS;
	if (shared > before || suffix > page.len - at ||
	    value > page.len - at - suffix || value > PAGE_NEAR_MAX ||
	    shared + suffix > PAGE_KEY_MAX)
		return -1;
	e->shared = shared;
	e->key_len = shared + suffix;
	e->suffix = at;
	e->value = at + suffix;
	e->end = at + suffix + value;
	return 1;
}

static const struct entry entry_start = { .end = PAGE_HEAD };

static void
put_head(struct buf *out, size_t shared, size_t suffix, enum kind kind,
    size_t value)
{
	put_number(out, shared);
	put_number(out, suffix);
	put_number(out, (uint64_t)value << KIND_BITS | kind);
}

void
page_start(struct buf *out, unsigned level)
{
	buf_putc(out, (uint8_t)level);
}

unsigned
page_level(struct slice page)
{
	return page.len == 0 ? 0 : page.ptr[0];
}

/* --- finding ---------------------------------------------------------------- */

/*
 * How an entry stands to the key, given how many octets of the key the entry
 * before has; that one is below the key.  Below 0: so is this one.
 */
static int
entry_order(struct slice page, const struct entry *e, struct slice key,
    size_t *matched)
{
	struct slice suffix =
	    slice_of(page.ptr + e->suffix, e->value - e->suffix);
	size_t n;

	if (e->shared > *matched)
		return -1;
	if (e->shared < *matched) {
		*matched = e->shared;
		return 1;
	}
	n = slice_common(suffix,
	    slice_of(key.ptr + *matched, key.len - *matched));
	*matched += n;
	if (n == suffix.len)
		return *matched == key.len ? 0 : -1;
	if (*matched == key.len)
		return 1;
	return suffix.ptr[n] < key.ptr[*matched] ? -1 : 1;
}

static struct slice
in_page(const struct page_place *p, struct page_span span)
{
	return slice_of(p->page.ptr + span.at, span.len);
}

static struct page_span
value_span(const struct entry *e)
{
	return (struct page_span){ e->value, e->end - e->value };
}

/* Of an entry whose numbers have an octet each. */
static struct page_span
short_value(const uint8_t *octets, size_t at)
{
	return (struct page_span){ at + 3 + octets[at + 1],
		octets[at + 2] >> KIND_BITS };
}

/*
 * Past the entries that have more of the key before them than that has of the
 * key looked for: they are below it, too.  Most entries are such, and of the
 * short form.  e: the last entry passed, of which only offsets are kept.
 */
static void
pass_alike(struct page_place *p, struct entry *e, size_t matched)
{
	const uint8_t *octets = p->page.ptr;
	size_t len = p->page.len, at = e->end, last = at, base = 0;
	size_t key_len = e->key_len;

	while (at + 3 <= len) {
		const uint8_t *h = octets + at;
		size_t n;

		if (((h[0] | h[1] | h[2]) & 0x80) != 0 || h[0] <= matched ||
		    h[0] > key_len)
			break;
		n = 3u + h[1] + (h[2] >> KIND_BITS);
		if (n > len - at)
			break;
		if ((h[2] & ((1 << KIND_BITS) - 1)) == KIND_BASE)
			base = at;
		key_len = (size_t)h[0] + h[1];
		last = at;
		at += n;
	}
	if (at == e->end)
		return;
	if (base != 0)
		p->base = short_value(octets, base);
	p->has_before = true;
	p->before = short_value(octets, last);
	e->key_len = key_len;
	e->end = at;
}

/* The entry that the search ended at. */
static void
place_at(struct page_place *p, const struct entry *e, bool at_end)
{
	p->at = e->at;
	p->at_end = at_end;
	p->end = at_end ? e->at : e->end;
	if (at_end)
		return;
	p->suffix = e->suffix;
	p->value = e->value;
	p->shared = e->shared;
	p->kind = e->kind;
}

int
page_find(struct page_place *p, struct slice page, struct slice key)
{
	struct entry e = entry_start;
	int more;

	*p = (struct page_place){ .page = page };
	if (page.len < PAGE_HEAD)
		return -1;
	if (key.len == 0)
		key.ptr = page.ptr; /* NULL is not to be added to */
	for (;;) {
		size_t matched = p->common;
		int order;

		pass_alike(p, &e, matched);
		p->before_common = matched;
		p->earlier = p->base;
		more = entry_next(page, &e);
		if (more != 1)
			break;
		order = entry_order(page, &e, key, &p->common);
		if (e.kind == KIND_BASE)
			p->base = value_span(&e);
		if (order >= 0) {
			p->found = order == 0;
			break;
		}
		p->has_before = true;
		p->before = value_span(&e);
	}
	place_at(p, &e, more == 0);
	return more == -1 ? -1 : 0;
}

static int
decode(enum kind kind, struct slice coded, struct slice base, struct buf *room,
    struct page_value *v)
{
	size_t at = 0;

	*v = (struct page_value){ .far = kind == KIND_FAR, .octets = coded };
	switch (kind) {
	case KIND_BASE:
	case KIND_PLAIN:
		return 0;
	case KIND_DELTA:
		buf_clear(room);
		if (!delta_apply(base, coded, room))
			return -1;
		v->octets = buf_slice(room);
		return 0;
	case KIND_FAR:
		if (!take_number(coded, &at, &v->number) || at != coded.len)
			return -1;
		v->octets = slice_of(NULL, 0);
		return 0;
	}
	return -1;
}

int
page_read(const struct page_place *p, struct buf *room, struct page_value *v)
{
	MUST(p->found);
	return decode((enum kind)p->kind,
	    slice_of(p->page.ptr + p->value, p->end - p->value),
	    in_page(p, p->base), room, v);
}

int
page_child(const struct page_place *p, uint64_t *number)
{
	struct slice s = in_page(p, p->before);
	size_t at = 0;

	if (p->found || !p->has_before) {
		if (p->at_end)
			return -1;
		s = slice_of(p->page.ptr + p->value, p->end - p->value);
	}
	return take_number(s, &at, number) && at == s.len ? 0 : -1;
}

int
page_after(const struct page_place *p, uint64_t *number)
{
	bool taken = p->found || !p->has_before; /* the entry at p->at */
	struct entry e = { .end = taken ? p->end : p->at,
		.key_len = PAGE_KEY_MAX };
	struct slice s;
	size_t at = 0;
	int more = entry_next(p->page, &e);

	if (more != 1)
		return more;
	s = entry_value(p->page, &e);
	return take_number(s, &at, number) && at == s.len ? 1 : -1;
}

/* --- making anew ------------------------------------------------------------- */

/* How a value is told, in a row of octets that is at most as long as it. */
struct told {
	enum kind kind;
	struct slice octets;
	uint8_t room[PAGE_NEAR_MAX + 4 * NUMBER_MAX];
};

static void
tell(struct told *t, const struct page_value *v, bool leaf, struct slice base)
{
	size_t n;

	t->octets = v->octets;
	if (v->far) {
		t->kind = KIND_FAR;
		t->octets =
		    slice_of(t->room, number_encode(t->room, v->number));
		return;
	}
	MUST(v->octets.len <= PAGE_NEAR_MAX);
	t->kind = leaf ? KIND_BASE : KIND_PLAIN;
	if (!leaf || base.len == 0 || v->octets.len == 0)
		return;
	n = delta_encode(base, v->octets, t->room,
	    v->octets.len * 3 / 4 + 3 * NUMBER_MAX);
	if (n > v->octets.len * 3 / 4)
		return;
	t->kind = KIND_DELTA;
	t->octets = slice_of(t->room, n);
}

void
page_append(struct page_tail *tail, struct slice page, struct slice key,
    const struct page_value *v, struct buf *out)
{
	size_t shared = slice_common(slice_of(tail->key, tail->key_len), key);
	size_t before = buf_len(out);
	struct slice base = { NULL, 0 };
	struct told t;

	MUST(key.len <= PAGE_KEY_MAX);
	if (tail->base.len > 0)
		base = slice_of(page.ptr + tail->base.at, tail->base.len);
	tell(&t, v, page_level(page) == 0, base);
	put_head(out, shared, key.len - shared, t.kind, t.octets.len);
	buf_put_slice(out, slice_skip(key, shared));
	if (t.kind == KIND_BASE)
		tail->base =
		    (struct page_span){ page.len + buf_len(out) - before,
			    t.octets.len };
	buf_put_slice(out, t.octets);
	if (key.len > shared)
		memcpy(tail->key + shared, key.ptr + shared, key.len - shared);
	tail->key_len = key.len;
}

void
page_writer_init(struct page_writer *w, struct buf *out)
{
	MUST(buf_len(out) == PAGE_HEAD);
	w->out = out;
	w->tail.base = (struct page_span){ 0, 0 };
	w->tail.key_len = 0;
}

void
page_writer_put(struct page_writer *w, struct slice key,
    const struct page_value *v)
{
	page_append(&w->tail, buf_slice(w->out), key, v, w->out);
}

void
page_reader_init(struct page_reader *r, struct slice page)
{
	r->page = page;
	r->base = slice_of(NULL, 0);
	r->at = r->end = PAGE_HEAD;
	r->key_len = 0;
	buf_init(&r->room, PAGE_NEAR_MAX);
}

void
page_reader_fini(struct page_reader *r)
{
	buf_fini(&r->room);
}

/* 1 and *e, 0, -1; the key is whole in r->key. */
static int
reader_step(struct page_reader *r, struct entry *e)
{
	int more;

	*e = (struct entry){ .end = r->end, .key_len = r->key_len };
	if (r->page.len < PAGE_HEAD)
		return -1;
	more = entry_next(r->page, e);
	if (more != 1)
		return more;
	if (e->value > e->suffix)
		memcpy(r->key + e->shared, r->page.ptr + e->suffix,
		    e->value - e->suffix);
	r->key_len = e->key_len;
	r->at = e->at;
	r->end = e->end;
	if (e->kind == KIND_BASE)
		r->base = entry_value(r->page, e);
	return 1;
}

int
page_reader_next(struct page_reader *r, struct slice *key, struct page_value *v)
{
	struct entry e;
	int more = reader_step(r, &e);

	if (more != 1)
		return more;
	*key = slice_of(r->key, r->key_len);
	if (decode(e.kind, entry_value(r->page, &e), r->base, &r->room, v) ==
	    -1)
		return -1;
	return 1;
}

int
page_tail_find(struct page_tail *t, struct slice page)
{
	struct page_reader r;
	struct entry e;
	int more;

	page_reader_init(&r, page);
	while ((more = reader_step(&r, &e)) == 1)
		;
	*t = (struct page_tail){ .key_len = r.key_len };
	memcpy(t->key, r.key, r.key_len);
	if (r.base.len > 0)
		t->base = (struct page_span){ (size_t)(r.base.ptr - page.ptr),
			r.base.len };
	page_reader_fini(&r);
	return more;
}

/* What the entry shares with the one before is what the key looked for has. */
void
page_reader_seek(struct page_reader *r, const struct page_place *p,
    struct slice key)
{
	MUST(p->common <= key.len && p->shared <= p->common);
	r->at = r->end = p->at;
	r->base = slice_of(r->page.ptr + p->earlier.at, p->earlier.len);
	r->key_len = p->common;
	if (p->common > 0)
		memcpy(r->key, key.ptr, p->common);
}

/* --- changing ---------------------------------------------------------------- */

/* Is the base that ends at "end" one that differences are told from? */
static bool
is_leant_on(struct slice page, size_t end)
{
	struct entry e = { .end = end, .key_len = PAGE_KEY_MAX };
	int more;

	while ((more = entry_next(page, &e)) == 1) {
		if (e.kind == KIND_DELTA)
			return true;
		if (e.kind == KIND_BASE)
			return false;
	}
	return false;
}

/* All of the page with this entry instead of the one found; v NULL: none. */
static int
patch_all(const struct page_place *p, struct slice key,
    const struct page_value *v, struct page_patch *patch)
{
	struct page_reader r;
	struct page_writer w;
	struct page_value old;
	struct slice k;
	int more;

	page_start(&patch->octets, page_level(p->page));
	page_writer_init(&w, &patch->octets);
	page_reader_init(&r, p->page);
	while ((more = page_reader_next(&r, &k, &old)) == 1) {
		if (r.at != p->at)
			page_writer_put(&w, k, &old);
		else if (v != NULL)
			page_writer_put(&w, key, v);
	}
	page_reader_fini(&r);
	patch->from = 0;
	patch->to = p->page.len;
	return more == -1 || buf_failed(&patch->octets) ? -1 : 0;
}

/* The entry at "at", told with so much of its key shared; the rest is key's. */
static int
patch_next(struct slice page, size_t at, struct slice key, size_t shared,
    struct page_patch *patch)
{
	struct entry e = { .end = at, .key_len = PAGE_KEY_MAX };
	struct buf *out = &patch->octets;
	size_t drop;
	int more = entry_next(page, &e);

	if (more == 0)
		patch->to = page.len;
	if (more != 1)
		return more;
	drop = shared > e.shared ? shared - e.shared : 0;
	if (drop > e.value - e.suffix)
		return -1;
	put_head(out, shared, e.key_len - shared, e.kind, e.end - e.value);
	if (e.shared > shared) {
		if (e.shared > key.len)
			return -1;
		buf_put(out, key.ptr + shared, e.shared - shared);
	}
	buf_put(out, page.ptr + e.suffix + drop, e.value - e.suffix - drop);
	patch->to = e.value;
	return 0;
}

int
page_put(const struct page_place *p, struct slice key,
    const struct page_value *v, struct page_patch *patch)
{
	bool leaf = page_level(p->page) == 0, leant;
	struct buf *out = &patch->octets;
	size_t shared = p->found ? p->shared : p->before_common;
	struct told t;

	MUST(key.len <= PAGE_KEY_MAX);
	leant = is_leant_on(p->page, p->found ? p->end : p->at);
	if (p->found && p->kind == KIND_BASE && leant)
		return patch_all(p, key, v, patch);
	tell(&t, v, leaf, in_page(p, p->earlier));
	if (t.kind == KIND_BASE && leant)
		t.kind = KIND_PLAIN;
	put_head(out, shared, key.len - shared, t.kind, t.octets.len);
	buf_put_slice(out, slice_skip(key, shared));
	buf_put_slice(out, t.octets);
	patch->from = p->at;
	patch->to = p->end;
	if (!p->found) {
		patch->to = p->at;
		if (!p->at_end &&
		    patch_next(p->page, p->at, key, p->common, patch) == -1)
			return -1;
	}
	return buf_failed(out) ? -1 : 0;
}

int
page_delete(const struct page_place *p, struct slice key,
    struct page_patch *patch)
{
	struct entry next = { .end = p->end, .key_len = PAGE_KEY_MAX };
	int more;

	MUST(p->found);
	if (p->kind == KIND_BASE && is_leant_on(p->page, p->end))
		return patch_all(p, key, NULL, patch);
	patch->from = p->at;
	more = entry_next(p->page, &next);
	if (more == -1)
		return -1;
	if (more == 0) {
		patch->to = p->end;
		return 0;
	}
	return patch_next(p->page, p->end, key,
	           next.shared < p->shared ? next.shared : p->shared,
	           patch) == -1 ||
	               buf_failed(&patch->octets)
	           ? -1
	           : 0;
}
