/*
 * utf7: one form for each name, both ways.
 */
#include <string.h>

#include "imap/utf7.h"
#include "lib/buf.h"
#include "lib/cdefs.h"
#include "t/tap.h"

static const struct {
	const char *utf7, *utf8;
} pairs[] = {
	{ "", "" },
	{ "INBOX", "INBOX" },
	{ "&-", "&" },
	{ "a&-b&-", "a&b&" },
	{ "&AOk-", "\xc3\xa9" },
	{ "Entw&APw-rfe", "Entw\xc3\xbcrfe" },
	{ "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
	    "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/"
	    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e" },
	{ "&2D3eAA-", "\xf0\x9f\x98\x80" },
	{ "&AOkA6Q-", "\xc3\xa9\xc3\xa9" },
	{ "&AOk-&-", "\xc3\xa9&" },
};

static const char *const wrong[] = {
	"&",
	"&AOk",
	"&A-",
	"&AO-",
	"&AOk-&AOk-",
	"&AEE-", /* "A" shifted */
	"&AOl-", /* spare bits */
	"&2D0-", /* half a pair */
	"&3gA-",
	"&2D0A6Q-",
	"&AAo-",
	"\xc3\xa9",
	"a\n",
	"&AOk=-",
	"&AOkAAAAA-",
};

int
main(void)
{
	struct buf b;

	buf_init(&b, 1000);
	for (size_t i = 0; i < NITEMS(pairs); i++) {
		ok(utf7_encode(&b, slice_str(pairs[i].utf8)) == 0 &&
		        slice_is(buf_slice(&b), pairs[i].utf7),
		    "to %s", pairs[i].utf7);
		buf_clear(&b);
		ok(utf7_decode(&b, slice_str(pairs[i].utf7)) == 0 &&
		        slice_is(buf_slice(&b), pairs[i].utf8),
		    "from %s", pairs[i].utf7);
		buf_clear(&b);
	}
	for (size_t i = 0; i < NITEMS(wrong); i++)
		ok(!utf7_valid(slice_str(wrong[i])) &&
		        utf7_decode(&b, slice_str(wrong[i])) == -1 &&
		        buf_len(&b) == 0,
		    "wrong: case %zu", i);
	ok(utf7_encode(&b, slice_str("\xff")) == -1 && buf_len(&b) == 0,
	    "no UTF-8");
	buf_fini(&b);
	return done_testing();
}
