/*
 * Fuzz pages: octets from a disk are never followed where they do not lead,
 * and what a page that holds its keys in order is asked to put or delete is
 * there, or gone, and all else as it was.
 *
 * The input: how long a key is, how long a value, both, and then the page.
 */
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/must.h"
#include "lib/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

enum {
	ROOM = 1 << 20
};

/* A page's entries in plain: lengths and octets. */
struct plain {
	struct buf text;
	size_t entries;
	bool in_order;
};

static struct slice
patched(struct slice page, const struct page_patch *patch, struct buf *out)
{
	MUST(patch->from <= patch->to && patch->to <= page.len);
	buf_clear(out);
	buf_put_slice(out, slice_first(page, patch->from));
	buf_put_slice(out, buf_slice(&patch->octets));
	buf_put_slice(out, slice_skip(page, patch->to));
	return buf_slice(out);
}

/* All entries but those with this key.  False: it is no page. */
static bool
plain_read(struct plain *p, struct slice page, struct slice but)
{
	struct buf last;
	struct page_reader r;
	struct page_value v;
	struct slice key;
	int more;

	p->in_order = true;
	p->entries = 0;
	buf_init(&p->text, ROOM);
	buf_init(&last, PAGE_KEY_MAX);
	page_reader_init(&r, page);
	while ((more = page_reader_next(&r, &key, &v)) == 1) {
		if (p->entries++ > 0 &&
		    slice_compare(buf_slice(&last), key) >= 0)
			p->in_order = false;
		buf_clear(&last);
		buf_put_slice(&last, key);
		if (slice_equal(key, but))
			continue;
		buf_printf(&p->text, "%zu %d %zu ", key.len, v.far,
		    v.octets.len);
		buf_put_number(&p->text, v.number);
		buf_put_slice(&p->text, key);
		buf_put_slice(&p->text, v.octets);
	}
	page_reader_fini(&r);
	buf_fini(&last);
	return more == 0;
}

static void
check_found(struct slice page, struct slice key, bool found,
    const struct page_value *want)
{
	struct page_place p;
	struct page_value v;
	struct buf room;

	MUST(page_find(&p, page, key) == 0);
	MUST(p.found == found);
	if (!found)
		return;
	buf_init(&room, ROOM);
	MUST(page_read(&p, &room, &v) == 0);
	MUST(v.far == want->far && v.number == want->number &&
	     slice_equal(v.octets, want->octets));
	buf_fini(&room);
}

/* Of a good page: the same entries besides the key's. */
static void
check_rest(struct slice page, struct slice key, const struct plain *before)
{
	struct plain after;

	MUST(plain_read(&after, page, key));
	MUST(after.in_order);
	MUST(slice_equal(buf_slice(&after.text), buf_slice(&before->text)));
	buf_fini(&after.text);
}

static void
change(struct slice page, struct slice key, const struct page_value *v)
{
	struct page_patch patch;
	struct page_place p;
	struct plain plain;
	struct buf out;
	struct slice fresh;
	bool good = plain_read(&plain, page, key) && plain.in_order;

	buf_init(&out, ROOM);
	buf_init(&patch.octets, ROOM);
	if (page_find(&p, page, key) == 0 &&
	    page_put(&p, key, v, &patch) == 0) {
		fresh = patched(page, &patch, &out);
		if (good) {
			check_found(fresh, key, true, v);
			check_rest(fresh, key, &plain);
		}
		buf_clear(&patch.octets);
		if (page_find(&p, fresh, key) == 0 && p.found &&
		    page_delete(&p, key, &patch) == 0) {
			struct buf two;

			buf_init(&two, ROOM);
			fresh = patched(fresh, &patch, &two);
			if (good) {
				check_found(fresh, key, false, NULL);
				check_rest(fresh, key, &plain);
			}
			buf_fini(&two);
		}
	} else {
		MUST(!good);
	}
	buf_fini(&patch.octets);
	buf_fini(&out);
	buf_fini(&plain.text);
}

static void
look(struct slice page, struct slice key)
{
	struct page_place p;
	struct page_value v;
	struct buf room;
	uint64_t number;

	if (page_find(&p, page, key) == -1)
		return;
	buf_init(&room, ROOM);
	/* Damage is one answer, and so is anything else. */
	if ((p.found && page_read(&p, &room, &v) == -1) ||
	    page_child(&p, &number) == -1 || page_after(&p, &number) == -1)
		MUST(p.page.ptr == page.ptr);
	if (!p.at_end) {
		struct page_reader r;
		struct slice k;

		page_reader_init(&r, page);
		page_reader_seek(&r, &p, key);
		while (page_reader_next(&r, &k, &v) == 1)
			;
		page_reader_fini(&r);
	}
	buf_fini(&room);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct slice rest, key;
	struct page_value v = { .far = false };

	if (n < 2)
		return 0;
	rest = slice_of(in + 2, n - 2);
	if (in[0] == 0 || in[0] > rest.len)
		return 0;
	key = slice_first(rest, in[0]);
	rest = slice_skip(rest, in[0]);
	if (in[1] > rest.len)
		return 0;
	v.octets = slice_first(rest, in[1]);
	rest = slice_skip(rest, in[1]);
	look(rest, key);
	look(rest, slice_of(NULL, 0));
	if (rest.len < PAGE_HEAD)
		return 0;
	/* Inner pages hold numbers only. */
	if (page_level(rest) > 0) {
		v = (struct page_value){ .far = true, .number = v.octets.len };
	}
	change(rest, key, &v);
	return 0;
}
