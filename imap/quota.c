#include "imap/quota.h"
#include "lib/cdefs.h"

enum {
	UNIT = 1024 /* octets */
};

static const char *const names[QUOTA_RESOURCES] = {
	[QUOTA_STORAGE] = "STORAGE",
	[QUOTA_MESSAGE] = "MESSAGE",
	[QUOTA_MAILBOX] = "MAILBOX",
};

const struct quota_limits quota_unlimited = {
	{ QUOTA_UNLIMITED, QUOTA_UNLIMITED, QUOTA_UNLIMITED },
};

const char *
quota_resource_name(enum quota_resource r)
{
	return names[r];
}

uint64_t
quota_used(const struct quota_usage *u, enum quota_resource r)
{
	switch (r) {
	case QUOTA_STORAGE:
		return u->octets / UNIT + (u->octets % UNIT > 0);
	case QUOTA_MESSAGE:
		return u->messages;
	case QUOTA_MAILBOX:
		return u->mailboxes;
	case QUOTA_RESOURCES:
		break;
	}
	return 0;
}

static enum quota_resource
find(struct slice name)
{
	unsigned i = 0;

	while (i < QUOTA_RESOURCES && !slice_is_nocase(name, names[i]))
		i++;
	return (enum quota_resource)i;
}

void
quota_parse_limits(struct parse *p, struct quota_limits *limits)
{
	*limits = quota_unlimited;
	parse_open(p);
	while (parse_more(p)) {
		enum quota_resource r = find(parse_atom(p));
		uint64_t n;

		parse_sp(p);
		n = parse_number64(p);
		if (r == QUOTA_RESOURCES)
			parse_fail(p, "Unknown quota resource");
		else if (limits->limit[r] != QUOTA_UNLIMITED)
			parse_fail(p, "A quota resource is there twice");
		else
			limits->limit[r] = n;
	}
}

void
quota_write(struct write *w, struct slice root,
    const struct quota_limits *limits, const struct quota_usage *usage)
{
	bool some = false;

	write_untagged(w, "QUOTA");
	write_sp(w);
	write_astring(w, root);
	write_sp(w);
	write_open(w);
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++) {
		if (limits->limit[r] == QUOTA_UNLIMITED)
			continue;
		if (some)
			write_sp(w);
		some = true;
		write_word(w, names[r]);
		write_sp(w);
		write_number(w, quota_used(usage, (enum quota_resource)r));
		write_sp(w);
		write_number(w, limits->limit[r]);
	}
	write_close(w);
	write_end(w);
}

void
quota_write_root(struct write *w, struct slice mailbox, struct slice root)
{
	write_untagged(w, "QUOTAROOT");
	write_sp(w);
	write_mailbox(w, mailbox);
	if (root.ptr != NULL) {
		write_sp(w);
		write_astring(w, root);
	}
	write_end(w);
}
