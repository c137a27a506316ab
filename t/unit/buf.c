/*
 * buf: a queue; its ceiling holds; failure sticks.
 */
#include "lib/buf.h"
#include "lib/rand.h"
#include "t/tap.h"

/* Whatever is put and dropped, it comes out in order and below the ceiling. */
static void
test_queue(void)
{
	uint8_t put = 0, got = 0, octets[300];
	bool good = true;
	struct buf b;

	buf_init(&b, 1000);
	for (int turn = 0; turn < 20000 && good; turn++) {
		size_t n = rand_below(sizeof(octets));

		for (size_t i = 0; i < n && n <= buf_room(&b); i++)
			octets[i] = put++;
		if (n <= buf_room(&b))
			buf_put(&b, octets, n);
		n = rand_below(buf_len(&b) + 1);
		for (size_t i = 0; i < n; i++)
			good = good && buf_data(&b)[i] == got++;
		buf_drop(&b, n);
		good = good && buf_len(&b) + buf_room(&b) == 1000;
		good = good && b.size <= 2048;
	}
	ok(good && !buf_failed(&b), "first in, first out");
	buf_fini(&b);
}

static void
test_ceiling(void)
{
	struct buf b;

	buf_init(&b, 5);
	buf_puts(&b, "12345");
	ok(!buf_failed(&b) && buf_room(&b) == 0, "full");
	buf_puts(&b, "");
	ok(!buf_failed(&b), "nothing fits");
	buf_putc(&b, '6');
	ok(buf_failed(&b) && slice_is(buf_slice(&b), "12345"), "too much");
	buf_drop(&b, 5);
	buf_putc(&b, '6');
	ok(buf_len(&b) == 0, "failure sticks");
	buf_clear(&b);
	buf_printf(&b, "%d", 123456);
	ok(buf_failed(&b) && buf_len(&b) == 0, "printf too long puts nothing");
	buf_clear(&b);
	buf_printf(&b, "%d", 12345);
	ok(!buf_failed(&b) && slice_is(buf_slice(&b), "12345"), "printf");
	buf_fini(&b);
}

static void
test_text(void)
{
	char longish[600];
	struct buf b;

	buf_init(&b, 10000);
	buf_put_number(&b, 0);
	buf_putc(&b, ' ');
	buf_put_number(&b, UINT64_MAX);
	buf_put_slice(&b, slice_str(" x"));
	buf_put_slice(&b, slice_of(NULL, 0));
	ok(slice_is(buf_slice(&b), "0 18446744073709551615 x"), "numbers");
	buf_truncate(&b, 1);
	ok(slice_is(buf_slice(&b), "0"), "truncate");
	buf_truncate(&b, 0);
	ok(buf_len(&b) == 0, "truncate to nothing");
	memset(longish, 'a', sizeof(longish));
	longish[sizeof(longish) - 1] = '\0';
	buf_printf(&b, "%s", longish);
	ok(slice_is(buf_slice(&b), longish), "long printf");
	buf_trim(&b);
	ok(buf_len(&b) == sizeof(longish) - 1, "trim takes no octets");
	buf_clear(&b);
	ok(b.area != NULL, "clear keeps storage");
	buf_trim(&b);
	ok(b.area == NULL && buf_data(&b) == NULL, "trim gives it back");
	buf_fini(&b);
}

static void
test_space(void)
{
	size_t n = 100;
	struct buf b;
	uint8_t *p;

	buf_init(&b, 10);
	p = buf_space(&b, &n);
	ok(p != NULL && n == 10, "as much as there is room");
	memcpy(p, "abc", 3);
	buf_grew(&b, 3);
	ok(slice_is(buf_slice(&b), "abc"), "used");
	n = 4;
	ok(buf_space(&b, &n) != NULL && n == 4, "as wanted");
	buf_puts(&b, "0123456");
	n = 1;
	ok(buf_space(&b, &n) == NULL && n == 0, "no room");
	buf_fini(&b);
}

int
main(void)
{
	test_queue();
	test_ceiling();
	test_text();
	test_space();
	return done_testing();
}
