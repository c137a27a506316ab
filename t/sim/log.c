/*
 * log: lib/log.h into the trace.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/xalloc.h"
#include "t/sim/world.h"

enum {
	LINE = 600
};

struct log {
	char nothing;
};

struct log *
log_new(const char *program, enum log_level least, bool to_stderr)
{
	(void)program, (void)least, (void)to_stderr;
	return xcalloc(1, sizeof(struct log));
}

void
log_free(struct log **lp)
{
	free(*lp);
	*lp = NULL;
}

void
log_set_level(struct log *l, enum log_level least)
{
	(void)l, (void)least;
}

bool
log_level_named(const char *name, enum log_level *level)
{
	(void)name;
	*level = LOG_LEVEL_DEBUG;
	return true;
}

static void
line(const char *level, const char *phrase, va_list ap)
{
	char text[LINE];
	const char *key, *value;
	size_t n;

	if (!world_traces())
		return;
	n = (size_t)snprintf(text, sizeof(text), "%s: %s", level, phrase);
	while ((key = va_arg(ap, const char *)) != NULL) {
		value = va_arg(ap, const char *);
		if (value != NULL && n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    " %s=%s", key, value);
	}
	world_trace("%s", text);
}

#define LEVEL(name)                                             \
	void log_##name(struct log *l, const char *phrase, ...) \
	{                                                       \
		va_list ap;                                     \
		(void)l;                                        \
		va_start(ap, phrase);                           \
		line(#name, phrase, ap);                        \
		va_end(ap);                                     \
	}

/* clang-format off */
LEVEL(err)
LEVEL(warn)
LEVEL(info)
LEVEL(debug)
/* clang-format on */

const char *
log_num(char room[24], int64_t n)
{
	snprintf(room, 24, "%lld", (long long)n);
	return room;
}

const char *
log_slice(char room[208], struct slice s)
{
	snprintf(room, 208, "%.*s", (int)(s.len < 200 ? s.len : 200),
	    (const char *)s.ptr);
	return room;
}
