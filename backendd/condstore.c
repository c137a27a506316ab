#include "backendd/condstore.h"
#include "backendd/mailbox.h"
#include "backendd/session.h"
#include "backendd/view.h"
#include "imap/write.h"

void
condstore_enable(struct session *ss)
{
	struct view *v = session_view(ss);
	struct write w;

	if (session_enabled(ss) & ENABLED_CONDSTORE)
		return;
	session_enable(ss, ENABLED_CONDSTORE);
	if (v == NULL || view_lost(v))
		return;
	write_init(&w, session_out(ss), WRITE_SERVER);
	write_status(&w, slice_of(NULL, 0), WRITE_OK);
	write_code_open(&w, RESPCODE_HIGHESTMODSEQ);
	write_sp(&w);
	write_number(&w, mailbox_numbers(view_mailbox(v))->highestmodseq);
	write_code_close(&w);
	write_text(&w, "Highest");
	write_end(&w);
}
