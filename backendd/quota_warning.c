#include "backendd/conf.h"
#include "backendd/metadata.h"
#include "backendd/quota_warning.h"
#include "backendd/server.h"
#include "lib/ascii.h"
#include "lib/buf.h"
#include "lib/err.h"
#include "lib/log.h"

enum {
	PERCENT = 100
};

/* The next number of the option; 0: there is none. */
static unsigned
next(struct slice *text)
{
	unsigned n = 0;

	while (text->len > 0 && text->ptr[0] == ' ')
		*text = slice_skip(*text, 1);
	while (text->len > 0 && ascii_digit(text->ptr[0]) && n <= PERCENT) {
		n = n * 10 + (unsigned)(text->ptr[0] - '0');
		*text = slice_skip(*text, 1);
	}
	return n;
}

int
quota_warning_check(const char *text, struct err *err)
{
	struct slice left = slice_str(text);

	while (left.len > 0) {
		unsigned n = next(&left);

		if (n == 0 || n > PERCENT ||
		    (left.len > 0 && left.ptr[0] != ' '))
			return err_set(err,
			    "quota_warnings = %s: not \"PERCENT ...\"", text);
	}
	return 0;
}

static unsigned
percent(const struct quota_limits *limits, const struct quota_usage *usage,
    enum quota_resource r)
{
	uint64_t limit = limits->limit[r], used = quota_used(usage, r);
	double part;

	if (limit == QUOTA_UNLIMITED || used == 0)
		return 0;
	part = limit == 0 ? PERCENT : (double)used * PERCENT / (double)limit;
	return part > 1000 ? 1000 : (unsigned)part;
}

/* The greatest of the option's that is reached; 0: none. */
static unsigned
level(const struct backendd *bd, unsigned reached)
{
	struct slice left = slice_str(bd->conf->quota_warnings);
	unsigned best = 0, n;

	while ((n = next(&left)) > 0)
		if (n <= reached && n > best)
			best = n;
	return best;
}

void
quota_warning_begin(const struct backendd *bd,
    const struct quota_limits *limits, const struct quota_usage *usage,
    unsigned warned[QUOTA_RESOURCES])
{
	for (unsigned r = 0; r < QUOTA_RESOURCES; r++)
		warned[r] =
		    level(bd, percent(limits, usage, (enum quota_resource)r));
}

unsigned
quota_warning_tell(struct backendd *bd, const char *root,
    const struct quota_limits *limits, const struct quota_usage *usage,
    unsigned warned[QUOTA_RESOURCES])
{
	unsigned lines = 0;

	for (unsigned i = 0; i < QUOTA_RESOURCES; i++) {
		enum quota_resource r = (enum quota_resource)i;
		unsigned now = percent(limits, usage, r);
		unsigned at = level(bd, now);

		lines += at > warned[i];
		if (at > warned[i])
			log_info(bd->log, "overquota", "root", root, "resource",
			    quota_resource_name(r), "percent", LOG_NUM(now),
			    "used", LOG_NUM((int64_t)quota_used(usage, r)),
			    "limit", LOG_NUM((int64_t)limits->limit[i]), NULL);
		if (at != warned[i])
			metadata_changed(bd, NULL, root,
			    slice_str(METADATA_OVERQUOTA));
		warned[i] = at;
	}
	return lines;
}

bool
quota_warning_is_due(const struct backendd *bd,
    const struct quota_limits *limits, const struct quota_usage *now,
    const struct quota_usage *then)
{
	for (unsigned i = 0; i < QUOTA_RESOURCES; i++) {
		enum quota_resource r = (enum quota_resource)i;

		if (level(bd, percent(limits, then, r)) >
		    level(bd, percent(limits, now, r)))
			return true;
	}
	return false;
}

void
quota_warning_put(const struct backendd *bd, const struct quota_limits *limits,
    const struct quota_usage *usage, struct buf *out)
{
	bool some = false;

	for (unsigned i = 0; i < QUOTA_RESOURCES; i++) {
		enum quota_resource r = (enum quota_resource)i;
		unsigned now = percent(limits, usage, r);

		if (level(bd, now) == 0)
			continue;
		buf_printf(out, "%s%s %u", some ? " " : "",
		    quota_resource_name(r), now);
		some = true;
	}
}
