/*
 * plain: an update server without our extension, as Cyrus IMAP's is.
 */
#include "imap/mupdate.h"
#include "t/sim/plain.h"

static bool plain;

void __wrap_mupdate_put_banner(struct buf *b, const struct mupdate_banner *is);
void __real_mupdate_put_banner(struct buf *b, const struct mupdate_banner *is);

void
plain_begin(bool is)
{
	plain = is;
}

void
__wrap_mupdate_put_banner(struct buf *b, const struct mupdate_banner *is)
{
	struct mupdate_banner banner = *is;

	if (plain)
		banner.xmurder = false;
	__real_mupdate_put_banner(b, &banner);
}
