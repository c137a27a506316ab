/*
 * What other programs do to a Maildir that is open: told by the kernel at
 * once, and found by looking where it is not told.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	PATIENCE_MS = 20 * 1000
};

static struct rig rig;
static char dir[64];
static bool heard;

static void
hear(void *arg, const struct store_news *news)
{
	(void)arg, (void)news;
	heard = true;
	loop_stop(rig.loop);
}

/* Until there are news, or no more patience. */
static bool
hears(void)
{
	struct timer *t = timer_new(rig.loop, rig_poll, rig.loop);

	heard = false;
	timer_set(t, PATIENCE_MS);
	loop_run(rig.loop);
	timer_free(&t);
	return heard;
}

static void
path_of(char path[200], const char *file)
{
	MUST(snprintf(path, 200, "%s/.by-id/box/%s", dir, file) < 200);
}

static void
deliver(const char *name)
{
	char tmp[200], to[200], file[64];
	int fd;

	snprintf(file, sizeof file, "new/%s", name);
	path_of(tmp, "tmp/x");
	path_of(to, file);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);
	MUST(fd != -1 && write(fd, "text\n", 5) == 5);
	close(fd);
	MUST(rename(tmp, to) == 0);
}

static void
test_told(struct store_mailbox *mb)
{
	char from[200], to[200];

	deliver("1.a.host");
	ok(hears() && store_numbers(mb)->exists == 1, "a message is told of");
	path_of(from, "cur/1.a.host:2,");
	path_of(to, "cur/1.a.host:2,F");
	MUST(rename(from, to) == 0);
	ok(hears() && store_at(mb, 0)->flags == STORE_FLAGGED, "and its flags");
	MUST(unlink(to) == 0);
	ok(hears() && store_numbers(mb)->exists == 0, "and that it goes");
	deliver("1.b.host:2,S");
	ok(hears() && store_numbers(mb)->exists == 1 &&
	        store_at(mb, 0)->flags == STORE_SEEN,
	    "in new, flags are taken too");
	path_of(to, "cur/1.b.host:2,S");
	MUST(unlink(to) == 0 && hears());
}

/* As often as a mailbox is opened and closed. */
static void
test_again(void)
{
	struct store_mailbox *mb;
	unsigned n = 0;
	char name[32];

	for (unsigned i = 0; i < 5; i++) {
		mb = rig_open(&rig, "box");
		store_observe(mb, hear, NULL);
		snprintf(name, sizeof name, "2.%u.host", i);
		deliver(name);
		n += hears();
		store_close(&mb);
		rig_idle(&rig);
	}
	ok(n == 5, "as often as it is opened");
}

int
main(void)
{
	struct store_mailbox *mb;
	struct maildir *md;

	tempdir_make(dir);
	MUST(rig_start(&rig, &maildir_module, dir) == 0);
	md = maildir_of(rig.store);
	MUST(rig_create(&rig, "box", "") == NULL);
	mb = rig_open(&rig, "box");
	store_observe(mb, hear, NULL);
	if (md->watch == NULL) {
		ok(true, "# SKIP nothing is told of this disk");
	} else {
		timer_stop(md->poll); /* nobody looks */
		test_told(mb);
	}
	store_close(&mb);
	rig_idle(&rig);
	if (md->watch != NULL)
		test_again();
	md_watch_free(&md->watch);
	timer_set(md->poll, 1);
	mb = rig_open(&rig, "box");
	store_observe(mb, hear, NULL);
	deliver("3.c.host");
	ok(hears(), "what is not told is found");
	store_close(&mb);
	rig_stop(&rig);
	tempdir_remove(dir);
	return done_testing();
}
