#include "imap/namespace.h"
#include "lib/buf.h"
#include "lib/must.h"

enum {
	PREFIX_MAX = 256 /* the configuration allows much less */
};

/* (("prefix/" "/")); an empty name is an empty prefix. */
static void
write_one(struct write *w, const char *name, char separator)
{
	struct buf prefix;

	buf_init(&prefix, PREFIX_MAX);
	buf_puts(&prefix, name);
	if (*name != '\0')
		buf_putc(&prefix, (uint8_t)separator);
	MUST(!buf_failed(&prefix));
	write_word(w, " ((");
	write_string(w, buf_slice(&prefix));
	write_sp(w);
	write_string(w, slice_of(&separator, 1));
	write_word(w, "))");
	buf_fini(&prefix);
}

void
namespace_write(struct write *w, const struct mboxname_layout *layout)
{
	bool alt = layout->altnamespace;

	write_untagged(w, "NAMESPACE");
	write_one(w, alt ? "" : "INBOX", layout->separator);
	write_one(w, alt ? layout->others : "user", layout->separator);
	write_one(w, alt ? layout->shared : "", layout->separator);
	write_end(w);
}
