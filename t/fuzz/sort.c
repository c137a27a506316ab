/*
 * Fuzz SORT and THREAD: the first line is the criteria, the rest are headers,
 * with "." lines between.  The laws: a key is the same each time and within its
 * limits, a key by (A B) begins with that by (A), and each message is in a
 * THREAD response once.
 */
#include <stdlib.h>

#include "imap/parse.h"
#include "imap/sort.h"
#include "imap/thread.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"
#include "t/thread_whole.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

enum {
	KEY_MAX = SORT_BYS * (SORT_TEXT_MAX + 2)
};

static void
put_key(struct buf *out, const struct sort *s, struct slice headers)
{
	struct sort_facts f = { 7, 1000, headers.len % 2, 99, headers };

	buf_init(out, KEY_MAX);
	sort_put_key(out, s, &f);
	MUST(!buf_failed(out));
}

static void
check_keys(const struct sort *s, struct slice headers)
{
	struct buf one, two, part;
	struct sort first = *s;

	put_key(&one, s, headers);
	put_key(&two, s, headers);
	MUST(slice_equal(buf_slice(&one), buf_slice(&two)));
	first.count--;
	put_key(&part, &first, headers);
	MUST(slice_starts(buf_slice(&one), buf_slice(&part)));
	buf_fini(&one);
	buf_fini(&two);
	buf_fini(&part);
}

/* Takes what is up to a line that is a dot. */
static struct slice
take_headers(struct slice *all)
{
	struct slice rest = *all;

	for (size_t i = 0; i + 2 < rest.len; i++)
		if (rest.ptr[i] == '\n' && rest.ptr[i + 1] == '.' &&
		    rest.ptr[i + 2] == '\n') {
			*all = slice_skip(rest, i + 3);
			return slice_first(rest, i + 1);
		}
	*all = slice_skip(rest, rest.len);
	return rest;
}

static void
check_threads(struct slice all, enum thread_algorithm how)
{
	static const uint64_t key[4] = { 1, 2, 3, 4 };
	struct thread *t = thread_new(how, key);
	struct buf out;
	uint32_t n = 0;

	while (all.len > 0) {
		struct thread_message m = { .sent = (int64_t)(all.len % 5),
			.headers = take_headers(&all) };

		m.number = ++n;
		MUST(thread_add(t, &m));
	}
	buf_init(&out, thread_size(t));
	thread_put(t, &out);
	MUST(!buf_failed(&out) && thread_whole(buf_slice(&out), n));
	buf_fini(&out);
	thread_free(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct slice all = slice_of(in, n), line;
	struct parse p;
	struct sort s;
	struct arena a;

	line = slice_first(all, slice_find(all, '\n'));
	all = slice_skip(all, line.len + (line.len < all.len));
	arena_init(&a);
	parse_init_text(&p, &a, line);
	sort_parse(&p, &s);
	if (parse_error(&p) == NULL)
		for (struct slice rest = all; rest.len > 0;)
			check_keys(&s, take_headers(&rest));
	check_threads(all, THREAD_REFERENCES);
	check_threads(all, THREAD_ORDEREDSUBJECT);
	arena_reset(&a);
	return 0;
}
