#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/err.h"

int
err_set(struct err *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -1;
}

/* The XSI strerror_r; a text it does not know is still a text. */
static void
describe(int errnum, char *room, size_t n)
{
	if (strerror_r(errnum, room, n) != 0)
		snprintf(room, n, "error %d", errnum);
}

int
err_sys(struct err *err, const char *fmt, ...)
{
	int errnum = errno;
	char why[128];
	size_t used;
	va_list ap;

	describe(errnum, why, sizeof(why));
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", why);
	return -1;
}

int
err_add(struct err *err, const char *fmt, ...)
{
	struct err old = *err;
	size_t used;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", old.text);
	return -1;
}
