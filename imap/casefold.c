#include <string.h>

#include "imap/casefold.h"
#include "imap/casefold_table.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/utf8.h"

/* Unicode 3.12: syllables are made of these by a rule. */
enum {
	HANGUL_FIRST = 0xac00,
	HANGUL_LAST = 0xd7a3,
	LEAD_FIRST = 0x1100,
	VOWEL_FIRST = 0x1161,
	TAIL_FIRST = 0x11a7, /* one below: no tail */
	VOWELS = 21,
	TAILS = 28
};

static void
put_hangul(struct buf *out, uint32_t c)
{
	uint32_t n = c - HANGUL_FIRST;

	utf8_put(out, LEAD_FIRST + n / (VOWELS * TAILS));
	utf8_put(out, VOWEL_FIRST + n % (VOWELS * TAILS) / TAILS);
	if (n % TAILS != 0)
		utf8_put(out, TAIL_FIRST + n % TAILS);
}

/* The n-th of the texts. */
static void
put_text(struct buf *out, const char *text, uint32_t n)
{
	while (n > 0)
		if (*text++ == '\t')
			n--;
	buf_put(out, text, strcspn(text, "\t"));
}

static const struct casefold_span *
find_span(uint32_t c)
{
	size_t low = 0, high = casefold_nspans;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c > casefold_spans[mid].last)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == casefold_nspans || c < casefold_spans[low].first ||
	    (c - casefold_spans[low].first) % casefold_spans[low].step != 0)
		return NULL;
	return &casefold_spans[low];
}

/* Not ASCII. */
static void
put_folded(struct buf *out, uint32_t c)
{
	const struct casefold_span *span = find_span(c);

	if (c >= HANGUL_FIRST && c <= HANGUL_LAST)
		put_hangul(out, c);
	else if (span == NULL)
		utf8_put(out, c);
	else if (span->text == NULL)
		utf8_put(out, (uint32_t)((int32_t)c + span->delta));
	else
		put_text(out, span->text, c - span->first);
}

/* The ASCII at the front; what is left begins with something else. */
static struct slice
put_ascii(struct buf *out, struct slice s)
{
	uint8_t piece[512];
	size_t n;

	do {
		for (n = 0; n < s.len && n < sizeof(piece); n++) {
			if (s.ptr[n] >= 0x80)
				break;
			piece[n] = ascii_upper(s.ptr[n]);
		}
		buf_put(out, piece, n);
		s = slice_skip(s, n);
	} while (n == sizeof(piece));
	return s;
}

void
casefold_put(struct buf *out, struct slice utf8)
{
	for (utf8 = put_ascii(out, utf8); utf8.len > 0;
	     utf8 = put_ascii(out, utf8)) {
		struct slice rest = utf8;
		uint32_t c = utf8_take(&rest);

		if (c == UINT32_MAX) {
			buf_putc(out, utf8.ptr[0]);
			utf8 = slice_skip(utf8, 1);
		} else {
			put_folded(out, c);
			utf8 = rest;
		}
	}
}
