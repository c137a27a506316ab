/*
 * Fuzz addresses of messages.  The laws: what is taken has a UID and a mailbox
 * name in modified UTF-7, or none; its section is written as it was read.
 */
#include "imap/imapurl.h"
#include "imap/parse.h"
#include "imap/utf7.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t n)
{
	struct imapurl u;
	struct section s;
	struct parse p;
	struct arena a;
	struct buf b;

	arena_init(&a);
	if (imapurl_parse(&a, slice_of(in, n), &u) == NULL) {
		MUST(u.uid > 0);
		MUST(utf7_valid(u.mailbox));
		MUST(slice_find(u.mailbox, '\0') == u.mailbox.len);
		buf_init(&b, SIZE_MAX / 4);
		section_write(&b, &u.section);
		if (slice_find(buf_slice(&b), '{') == buf_len(&b)) {
			parse_init_text(&p, &a, buf_slice(&b));
			section_parse(&p, &s);
			parse_end(&p);
			MUST(parse_error(&p) == NULL);
			MUST(s.npath == u.section.npath &&
			     s.text == u.section.text &&
			     s.nfields == u.section.nfields);
		}
		buf_fini(&b);
	}
	arena_reset(&a);
	return 0;
}
