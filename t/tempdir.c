#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/must.h"
#include "t/tempdir.h"

void
tempdir_make(char dir[64])
{
	const char *base = getenv("TMPDIR");
	int n =
	    snprintf(dir, 64, "%s/murder.XXXXXX", base == NULL ? "/tmp" : base);

	MUST(n > 0 && n < 64);
	MUST(mkdtemp(dir) != NULL);
}

void
tempdir_remove(const char *dir)
{
	int status;
	pid_t pid = fork();

	MUST(pid != -1);
	if (pid == 0) {
		execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(127);
	}
	MUST(waitpid(pid, &status, 0) == pid);
}
