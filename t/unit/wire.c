/*
 * wire: what was written is read; what was cut fails, wherever it was cut.
 */
#include "lib/buf.h"
#include "lib/wire.h"
#include "t/tap.h"

static bool
read_all(struct slice s)
{
	struct wire w;
	bool same;

	wire_init(&w, s);
	same = wire_u8(&w) == 0x12;
	same = wire_u16(&w) == 0x1234 && same;
	same = wire_u32(&w) == 0x12345678 && same;
	same = wire_u64(&w) == 0x123456789abcdef0 && same;
	same = slice_is(wire_slice(&w), "hello") && same;
	same = wire_slice(&w).len == 0 && same;
	return wire_done(&w) && same;
}

static void
test_packed(uint64_t v, size_t octets)
{
	struct wire w;
	struct buf b;
	bool same;

	buf_init(&b, 100);
	wire_put_packed(&b, v);
	wire_init(&w, buf_slice(&b));
	same = wire_packed(&w) == v && wire_done(&w);
	ok(same && buf_len(&b) == octets, "%llx packed in %zu",
	    (unsigned long long)v, octets);
	wire_init(&w, slice_first(buf_slice(&b), octets - 1));
	ok(wire_packed(&w) == 0 && w.failed, "cut");
	buf_fini(&b);
}

static void
test_bad_packed(const char *in, size_t n)
{
	struct wire w;

	wire_init(&w, slice_of(in, n));
	ok(wire_packed(&w) == 0 && w.failed, "not packed so");
}

static void
test_packed_slice(void)
{
	struct wire w;
	struct buf b;

	buf_init(&b, 100);
	wire_put_packed_slice(&b, slice_str("hello"));
	wire_init(&w, buf_slice(&b));
	ok(slice_is(wire_packed_slice(&w), "hello") && wire_done(&w),
	    "a packed string");
	wire_init(&w, slice_first(buf_slice(&b), 5));
	ok(wire_packed_slice(&w).len == 0 && w.failed, "cut");
	buf_fini(&b);
}

int
main(void)
{
	static const uint8_t huge[] = { 0xff, 0xff, 0xff, 0xff, 'a' };
	struct wire w;
	struct buf b;

	buf_init(&b, 1000);
	wire_put_u8(&b, 0x12);
	wire_put_u16(&b, 0x1234);
	wire_put_u32(&b, 0x12345678);
	wire_put_u64(&b, 0x123456789abcdef0);
	wire_put_str(&b, "hello");
	wire_put_slice(&b, slice_of(NULL, 0));
	ok(read_all(buf_slice(&b)), "written, then read");
	ok(slice_equal(slice_of(buf_data(&b), 7),
	       slice_of("\x12\x12\x34\x12\x34\x56\x78", 7)),
	    "big-endian");
	for (size_t n = 0; n < buf_len(&b); n++)
		ok(!read_all(slice_of(buf_data(&b), n)), "cut at %zu", n);
	buf_putc(&b, 0);
	ok(!read_all(buf_slice(&b)), "something left over");

	wire_init(&w, slice_of(huge, sizeof(huge)));
	ok(wire_slice(&w).len == 0 && !wire_done(&w), "a length too great");
	ok(wire_u8(&w) == 0, "failure sticks");
	buf_fini(&b);
	test_packed(0, 1);
	test_packed(127, 1);
	test_packed(128, 2);
	test_packed((uint64_t)1 << 56, 9);
	test_packed(UINT64_MAX, 10);
	test_bad_packed("\x80\x00", 2);
	test_bad_packed("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
	test_bad_packed("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00", 11);
	test_packed_slice();
	return done_testing();
}
