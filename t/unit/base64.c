/*
 * base64: decoding what was encoded gives it back, and nothing else decodes.
 */
#include "lib/base64.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "lib/rand.h"
#include "t/tap.h"

static void
test_vectors(void)
{
	/* RFC 4648 section 10 */
	static const char *const cases[][2] = { { "", "" }, { "f", "Zg==" },
		{ "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };
	struct buf b;

	buf_init(&b, 1000);
	for (size_t i = 0; i < NITEMS(cases); i++) {
		buf_clear(&b);
		base64_encode(&b, slice_str(cases[i][0]));
		ok(slice_is(buf_slice(&b), cases[i][1]), "encode %s",
		    cases[i][0]);
		buf_clear(&b);
		ok(base64_decode(&b, slice_str(cases[i][1])) == 0 &&
		        slice_is(buf_slice(&b), cases[i][0]),
		    "decode %s", cases[i][1]);
	}
	buf_fini(&b);
}

static void
test_refused(void)
{
	static const char *const cases[] = { "Z", "Zg",
		"Zg=", "Zh==", "Zm9=", "====", "Z===", "Zg==Zg==", "Zg==\r\n",
		"Zm9v Zm9v", "Zm-_", "=m9v", "Z=9v", "Zm=v", "Zm9v=", "Zg=a" };
	struct buf b;

	buf_init(&b, 1000);
	for (size_t i = 0; i < NITEMS(cases); i++)
		ok(base64_decode(&b, slice_str(cases[i])) == -1, "refuse %zu",
		    i);
	buf_fini(&b);
}

static void
test_law(void)
{
	struct buf text, back;
	uint8_t in[256];
	bool good = true;

	buf_init(&text, 1000);
	buf_init(&back, 1000);
	for (size_t n = 0; n <= sizeof(in); n++) {
		rand_bytes(in, n);
		base64_encode(&text, slice_of(in, n));
		good = good && base64_decode(&back, buf_slice(&text)) == 0 &&
		       slice_equal(buf_slice(&back), slice_of(in, n));
		buf_clear(&text);
		buf_clear(&back);
	}
	ok(good, "there and back");
	buf_fini(&text);
	buf_fini(&back);
}

int
main(void)
{
	test_vectors();
	test_refused();
	test_law();
	return done_testing();
}
