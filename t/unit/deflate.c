/*
 * deflate: what one puts the other takes, however it is cut and whoever rests
 * in between; nothing malformed is taken.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/deflate.h"
#include "lib/must.h"
#include "t/tap.h"

enum {
	TEXT = 300 * 1000,
	MANY = 16 * 1024 * 1024
};

static struct slice
text_new(void)
{
	uint8_t *p = malloc(TEXT);
	uint32_t x = 1;

	MUST(p != NULL);
	for (size_t i = 0; i < TEXT; i++) {
		x = x * 1103515245u + 12345u;
		p[i] = (uint8_t)(i % 100 < 60 ? 'a' + i % 26 : x >> 16);
	}
	return slice_of(p, TEXT);
}

/* In pieces of so many octets; -1 if it is malformed. */
static int
take_all(struct deflate *d, struct slice in, size_t piece, struct buf *out)
{
	uint8_t room[1000];
	size_t used, made;

	do {
		struct slice some =
		    slice_first(in, in.len < piece ? in.len : piece);

		if (deflate_take(d, some, &used, room, sizeof(room), &made) ==
		    -1)
			return -1;
		buf_put(out, room, made);
		in = slice_skip(in, used);
	} while (!deflate_is_over(d) && (in.len > 0 || made == sizeof(room)));
	return 0;
}

/* rest: after each so many pieces, both rest. */
static void
check(struct slice text, size_t piece, size_t cut, unsigned rest,
    const char *what)
{
	struct deflate *a = deflate_new(), *b = deflate_new();
	struct buf wire, out;
	unsigned n = 0;
	size_t most = 0;
	bool good = true;

	buf_init(&wire, MANY);
	buf_init(&out, MANY);
	for (struct slice left = text; left.len > 0 && good;) {
		size_t len = left.len < piece ? left.len : piece;

		deflate_put(a, slice_first(left, len), DEFLATE_FLUSH, &wire);
		left = slice_skip(left, len);
		good = take_all(b, buf_slice(&wire), cut, &out) == 0 &&
		       buf_len(&out) == text.len - left.len;
		most += buf_len(&wire);
		buf_clear(&wire);
		if (rest > 0 && ++n % rest == 0) {
			deflate_rest(a);
			deflate_rest(b);
		}
	}
	ok(good && !buf_failed(&out) && slice_equal(buf_slice(&out), text),
	    "%s (%zu octets on the wire)", what, most);
	buf_fini(&wire);
	buf_fini(&out);
	deflate_free(&a);
	deflate_free(&b);
}

static void
test_malformed(void)
{
	static const uint8_t bad[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	static const uint8_t end[] = { 0x03, 0x00 };
	uint8_t octet;
	size_t used, made;
	struct deflate *d = deflate_new();
	struct buf out;

	buf_init(&out, MANY);
	ok(take_all(d, slice_of(bad, sizeof(bad)), 1, &out) == -1,
	    "malformed input");
	deflate_rest(d);
	deflate_free(&d);
	d = deflate_new();
	ok(take_all(d, slice_of(end, sizeof(end)), 2, &out) == 0 &&
	        deflate_is_over(d),
	    "the peer may end it");
	ok(deflate_take(d, slice_str("plain"), &used, &octet, 1, &made) == 0 &&
	        used == 0 && made == 0,
	    "what follows is not taken");
	deflate_free(&d);
	deflate_free(&d);
	buf_fini(&out);
}

/* What 1,000 of them cost, at work and at rest. */
static void
test_memory(struct slice text)
{
	enum {
		SOME = 100
	};
	struct deflate *a[SOME], *b[SOME];
	size_t before = mallinfo2().uordblks, busy, idle;
	struct buf wire, out;

	buf_init(&wire, MANY);
	buf_init(&out, MANY);
	for (size_t i = 0; i < SOME; i++) {
		a[i] = deflate_new();
		b[i] = deflate_new();
		deflate_put(a[i], slice_first(text, 2000), DEFLATE_FLUSH,
		    &wire);
		MUST(take_all(b[i], buf_slice(&wire), 100, &out) == 0);
		buf_fini(&wire);
		buf_fini(&out);
	}
	busy = (mallinfo2().uordblks - before) / SOME;
	for (size_t i = 0; i < SOME; i++) {
		deflate_rest(a[i]);
		deflate_rest(b[i]);
	}
	idle = (mallinfo2().uordblks - before) / SOME;
	ok(busy < 130 * 1024, "both ways: %zu octets", busy);
	ok(idle < 2400, "at rest, with 2,000 said: %zu octets", idle);
	for (size_t i = 0; i < SOME; i++) {
		deflate_free(&a[i]);
		deflate_free(&b[i]);
	}
}

int
main(void)
{
	struct slice text = text_new();

	check(text, TEXT, TEXT, 0, "at once");
	check(text, 1000, 1, 0, "octet by octet");
	check(text, 70000, 4096, 0, "in pieces");
	check(text, 1000, 100, 1, "at rest each time");
	check(text, 100, 7, 3, "at rest now and then");
	test_malformed();
	test_memory(text);
	free((void *)(uintptr_t)text.ptr);
	return done_testing();
}
