/*
 * priv: what was given up is gone; what is needed still works.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/priv.h"
#include "t/tap.h"

/* Does fn hold in a process of its own? */
static bool
holds(bool (*fn)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0)
		_exit(fn() ? 0 : 1);
	MUST(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool
no_exec(void)
{
	struct err err;
	char name[] = "true";
	char *argv[] = { name, NULL };

	MUST(priv_confine(&err) == 0);
	return execv("/bin/true", argv) == -1 && errno == EPERM;
}

static void
stop(void *arg)
{
	loop_stop(arg);
}

static void
nothing(void *arg)
{
	(void)arg;
}

static bool
threads(void)
{
	struct loop *l;
	struct jobs *j;
	struct err err;

	MUST(priv_confine(&err) == 0);
	l = loop_new();
	j = jobs_new(l, 2);
	jobs_put(j, nothing, stop, l);
	loop_run(l);
	jobs_free(&j);
	loop_free(&l);
	return true;
}

static bool
user(void)
{
	struct err err;

	return geteuid() != 0 || (priv_become("nobody", &err) == 0 &&
	                             geteuid() != 0 && setuid(0) == -1);
}

static bool
unknown_user(void)
{
	struct err err;

	return geteuid() != 0 || (priv_become("no-such-user", &err) == -1 &&
	                             strstr(err.text, "no-such-user") != NULL);
}

static bool
descriptors(void)
{
	struct rlimit limit;
	struct err err;
	uint64_t got = 0;

	MUST(priv_descriptors(100, &got, &err) == 0 && got == 100);
	MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_cur != 100)
		return false;
	MUST(priv_descriptors(0, &got, &err) == 0);
	return got == limit.rlim_max;
}

int
main(void)
{
	struct err err;

	ok(priv_become(NULL, &err) == 0, "no user is no change");
	ok(holds(no_exec), "confined: no exec");
	ok(holds(threads), "confined: threads");
	ok(holds(user), "another user");
	ok(holds(unknown_user), "an unknown user");
	ok(holds(descriptors), "descriptors");
	return done_testing();
}
