/*
 * spool_damage: each file of a mailbox with a wrong octet, at each place; cut
 * at each place; and gone.
 *
 * The law: what is served is what was stored, or it is said that it cannot be;
 * and when the mailbox is opened again all is there that anything is left of.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/spool/spool.h"
#include "t/crash.h"
#include "t/spool_help.h"
#include "t/store_damage.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	BLOCK = 4096 /* where names are for the second time */
};

static struct rig rig;
static char dir[64];

/* The sixth goes to the file of what has gone, and the third does not. */
static void
compact(struct rig *r, bool opened)
{
	spool_of(r->store)->compact_dead = opened ? 1000 : 1;
	spool_of(r->store)->env.key_days = 0;
	spool_of(r->store)->dead_slots = 1;
}

static void
make_box(const char *id)
{
	damage_make(&rig, id, compact);
	dead_settle(spool_of(rig.store));
}

/* ---- every octet ---- */

static off_t
size_of(enum spool_file file)
{
	char path[SPOOL_FILE_ROOM];
	struct stat st;

	spool_file(path, dir, "first", file);
	MUST(stat(path, &st) == 0);
	return st.st_size;
}

/* How many messages may be said to be unreadable: of data. */
static void
test_octets(enum spool_file file, const char *name, bool truncated,
    unsigned most)
{
	off_t size = size_of(file), step = truncated ? 3 : 1;
	unsigned bad = 0, n = 0, unreadable;
	char id[40], path[SPOOL_FILE_ROOM];

	for (off_t at = 0; at < size; at += step) {
		/* Between the two copies there is nothing. */
		if (file == SPOOL_NAMES && at > size - BLOCK && at < BLOCK)
			at = BLOCK;
		snprintf(id, sizeof id, "%s-%d-%ld", name, truncated, (long)at);
		make_box(id);
		spool_file(path, dir, id, file);
		damage_file(path, truncated ? DAMAGE_CUT : DAMAGE_BIT, at);
		n++;
		if (damage_is_safe(&rig, id, &unreadable) && unreadable <= most)
			continue;
		if (bad++ < 5)
			printf("# octet %ld, %u unreadable\n", (long)at,
			    unreadable);
	}
	ok(bad == 0 && n > 5, "%s: %s at any of %u octets", name,
	    truncated ? "cut" : "wrong", n);
}

static void
test_files(void)
{
	make_box("first");
	test_octets(SPOOL_INDEX, "index", false, 0);
	test_octets(SPOOL_NAMES, "names", false, 0);
	test_octets(SPOOL_EXPUNGED, "expunged", false, 0);
	test_octets(SPOOL_DEAD, "dead", false, 0);
	test_octets(SPOOL_CACHE, "cache", false, 0);
	test_octets(SPOOL_DATA, "data", false, 1);
	test_octets(SPOOL_NAMES, "names", true, 0);
	test_octets(SPOOL_EXPUNGED, "expunged", true, 0);
	test_octets(SPOOL_DEAD, "dead", true, 0);
	test_octets(SPOOL_CACHE, "cache", true, 0);
	test_octets(SPOOL_DATA, "data", true, DAMAGE_READABLE);
}

/* ---- killed while it is made anew ---- */

static void
prepare(void)
{
	struct err err;

	MUST(rig_start(&rig, &spool_module, dir) == 0);
	damage_make(&rig, "killed", compact);
	MUST(checkpoint_now(spool_of(rig.store), &err) == 0);
	_exit(0);
}

/* Opens it, and dies at the nth call; false: there were fewer. */
static bool
dies_at(int n)
{
	struct crash_child child;

	if (crash_fork(&child)) {
		crash_arm(n, 0);
		MUST(rig_start(&rig, &spool_module, dir) == 0);
		(void)rig_open(&rig, "killed");
		_exit(0);
	}
	return crash_wait(&child);
}

/* Damaged anew for each call: a fresh mailbox, once more. */
static void
test_kills(void)
{
	struct crash_child child;
	unsigned bad = 0, n = 0, unreadable;
	bool died = true;

	for (int at = 1; died; at++) {
		tempdir_remove(dir);
		MUST(mkdir(dir, 0700) == 0);
		if (crash_fork(&child))
			prepare();
		MUST(!crash_wait(&child));
		spool_flip(dir, "killed", SPOOL_INDEX, 40);
		died = dies_at(at);
		MUST(rig_start(&rig, &spool_module, dir) == 0);
		if (!damage_is_safe(&rig, "killed", &unreadable)) {
			bad++;
			printf("# killed at call %d\n", at);
		}
		rig_stop(&rig);
		n++;
	}
	ok(bad == 0 && n > 8, "made anew, though killed at any of %u calls",
	    n - 1);
}

int
main(void)
{
	char other[64];

	tempdir_make(dir);
	tempdir_make(other);
	crash_quiet(other);
	MUST(rig_start(&rig, &spool_module, dir) == 0);
	test_files();
	rig_stop(&rig);
	test_kills();
	crash_loud();
	tempdir_remove(dir);
	tempdir_remove(other);
	return done_testing();
}
