#include <string.h>

#include "backendd/conf.h"
#include "backendd/mblist_meta.h"
#include "backendd/partition.h"
#include "imap/acl.h"
#include "imap/mboxname.h"
#include "imap/mboxrec.h"
#include "lib/arena.h"
#include "lib/buf.h"
#include "lib/err.h"

const struct store_module *
partition_module(const struct backendd_conf *conf, const char *name,
    const char **layout)
{
	size_t n = strlen(name);

	*layout = NULL;
	for (size_t i = 0; i < conf->maildirs.count; i++) {
		const char *item = conf->maildirs.items[i];

		if (strncmp(item, name, n) != 0 || item[n] != ' ')
			continue;
		*layout = item + n + 1;
		return &maildir_module;
	}
	return &spool_module;
}

static bool
name_of(void *arg, struct slice meta, struct buf *name)
{
	struct mboxrec rec;
	const char *s;
	struct arena a;
	struct err err;
	bool good;

	(void)arg;
	arena_init(&a);
	good = meta_parse(meta, &a, &s, &rec, &err) == 0;
	if (good)
		buf_puts(name, s);
	arena_reset(&a);
	return good;
}

/* One that was found is its owner's alone. */
static bool
meta_of(void *arg, const char *name, uint32_t now, struct buf *meta)
{
	const struct mboxname_layout *names = arg;
	struct mboxrec rec = { .state = MBOXREC_ACTIVE, .created = now };
	struct slice owner;
	struct arena a;
	struct buf acl;
	bool good = mboxname_invalid(slice_str(name)) == NULL;

	arena_init(&a);
	buf_init(&acl, MBOXREC_ACL_MAX);
	if (good) {
		owner = mboxname_owner(&a, names, slice_str(name));
		if (owner.len > 0)
			acl_put_owner(&acl, owner);
		rec.acl = buf_slice(&acl);
		meta_put(meta, name, &rec);
	}
	buf_fini(&acl);
	arena_reset(&a);
	return good && !buf_failed(meta);
}

struct store_naming
partition_naming(const struct mboxname_layout *names)
{
	return (struct store_naming){ .name = name_of,
		.meta = meta_of,
		.arg = (void *)(uintptr_t)names };
}
