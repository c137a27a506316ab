#include <stdio.h>
#include <unistd.h>

#include "lib/loop.h"
#include "lib/progress.h"

enum {
	EVERY_MS = 200
};

void
progress_init(struct progress *p, const struct loop *l, enum progress_rows rows)
{
	*p = (struct progress){ .loop = l,
		.on = isatty(STDERR_FILENO) &&
		      !(rows == PROGRESS_ROWS && isatty(STDOUT_FILENO)),
		.next = mono_after(loop_now(l), EVERY_MS) };
}

void
progress_step(struct progress *p, uint64_t of)
{
	p->done++;
	p->of = of > p->done ? of : p->done;
	if (!p->on || !mono_reached(p->next, loop_now(p->loop)))
		return;
	p->shown = true;
	p->next = mono_after(loop_now(p->loop), EVERY_MS);
	fprintf(stderr, "\r%llu of %llu entries (%u%%)\033[K",
	    (unsigned long long)p->done, (unsigned long long)p->of,
	    (unsigned)(p->done * 100 / p->of));
}

void
progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
