#include "imap/mboxname.h"
#include "imap/mboxname_conf.h"

struct mboxname_layout
mboxname_layout_of(const struct mboxname_conf *c)
{
	struct mboxname_layout layout = mboxname_layout_default;

	layout.separator = c->separator == 0 ? '/' : '.';
	layout.altnamespace = c->altnamespace;
	layout.others = c->user_prefix;
	layout.shared = c->shared_prefix;
	return layout;
}

struct mboxname_layout
mboxname_admin_layout_of(const struct mboxname_conf *c)
{
	struct mboxname_layout layout = mboxname_layout_of(c);

	layout.altnamespace = c->altnamespace && c->admin_altnamespace;
	return layout;
}
