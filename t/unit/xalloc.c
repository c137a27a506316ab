/*
 * xalloc: the shapes of memory.  That it dies when there is none is its point.
 */
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/tap.h"

/* Does fn end the process? */
static int
dies(void (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		MUST(freopen("/dev/null", "w", stderr) != NULL);
		fn();
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
overflow(void)
{
	volatile size_t half = SIZE_MAX / 2;

	free(xreallocarray(NULL, half, 3));
}

static void
nothing(void)
{
	free(xmalloc(0));
}

int
main(void)
{
	char *s = xstrndup("abcdef", 3), *copy = xstrdup("abc");
	unsigned char *zeros = xcalloc(10, 10), *octets = xmemdup("a\0b", 3);
	int good = 1;

	is_str(s, "abc", "strndup");
	is_str(copy, "abc", "strdup");
	ok(memcmp(octets, "a\0b", 3) == 0, "memdup");
	for (int i = 0; i < 100; i++)
		good = good && zeros[i] == 0;
	ok(good, "zeroed");
	copy = xrealloc(copy, 100);
	is_str(copy, "abc", "realloc keeps");
	copy = xreallocarray(copy, 10, 20);
	is_str(copy, "abc", "reallocarray keeps");
	wipe(s, 3);
	ok(memcmp(s, "\0\0\0", 4) == 0, "wiped");
	wipe(NULL, 0);
	ok(dies(overflow), "an overflow is fatal");
	ok(!dies(nothing), "no octets are not");
	free(s);
	free(copy);
	free(zeros);
	free(octets);
	return done_testing();
}
