#include "lib/base64.h"
#include "lib/buf.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct buf *out, struct slice in)
{
	size_t i = 0;

	while (i < in.len) {
		size_t n = in.len - i < 3 ? in.len - i : 3;
		uint32_t v = 0;
		uint8_t quad[4] = "====";

		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (k < n ? in.ptr[i + k] : 0);
		for (size_t k = 0; k <= n; k++)
			quad[k] = (uint8_t)alphabet[v >> (18 - 6 * k) & 63];
		buf_put(out, quad, 4);
		i += n;
	}
}

static int
value(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Three octets or, only at the end, one or two; 0 if it is not base64. */
static size_t
decode_quad(const uint8_t *in, bool last, uint8_t out[3])
{
	size_t pad = 0;
	uint32_t v = 0;

	if (last && in[3] == '=')
		pad = in[2] == '=' ? 2 : 1;
	for (size_t k = 0; k < 4; k++) {
		int six = k < 4 - pad ? value(in[k]) : 0;

		if (six < 0)
			return 0;
		v = v << 6 | (uint32_t)six;
	}
	/* The bits that padding leaves over have to be zero. */
	if ((v & ((1u << (8 * pad)) - 1)) != 0)
		return 0;
	for (size_t k = 0; k < 3; k++)
		out[k] = (uint8_t)(v >> (16 - 8 * k));
	return 3 - pad;
}

int
base64_decode(struct buf *out, struct slice in)
{
	for (size_t i = 0; i < in.len; i += 4) {
		uint8_t octets[3];
		size_t n;

		if (in.len - i < 4)
			return -1;
		n = decode_quad(in.ptr + i, in.len - i == 4, octets);
		if (n == 0)
			return -1;
		buf_put(out, octets, n);
	}
	return 0;
}
