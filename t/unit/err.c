/*
 * err: built from the inside out, always -1, always terminated.
 */
#include <errno.h>

#include "lib/err.h"
#include "t/tap.h"

int
main(void)
{
	struct err err;
	char longish[1000];

	ok(err_set(&err, "opening %s", "x") == -1, "set gives -1");
	is_str(err.text, "opening x", "set");
	ok(err_add(&err, "reading %d", 7) == -1, "add gives -1");
	is_str(err.text, "reading 7: opening x", "add goes in front");
	errno = ENOENT;
	ok(err_sys(&err, "open %s", "/x") == -1, "sys gives -1");
	is_str(err.text, "open /x: No such file or directory", "sys");

	memset(longish, 'a', sizeof(longish));
	longish[sizeof(longish) - 1] = '\0';
	err_set(&err, "%s", longish);
	ok(strlen(err.text) == sizeof(err.text) - 1, "set is cut");
	err_add(&err, "b");
	ok(strlen(err.text) == sizeof(err.text) - 1 &&
	        strncmp(err.text, "b: a", 4) == 0,
	    "add is cut");
	err_add(&err, "%s", longish);
	ok(strlen(err.text) == sizeof(err.text) - 1, "and again");
	return done_testing();
}
