/*
 * maildir_damage: each file that the maildir store keeps beside the messages
 * with a wrong octet, at each place; cut at each place; and gone.
 *
 * Besides the law of t/store_damage.h: what other programs read is mended when
 * the mailbox is opened, and what they deliver meanwhile gets a UID of its own.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/store.h"
#include "t/crash.h"
#include "t/store_damage.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	PATH_ROOM = 200,
	TEXT_MAX = 8192
};

static struct rig rig;
static char dir[64];

static void
path_of(char path[PATH_ROOM], const char *id, const char *file)
{
	MUST(snprintf(path, PATH_ROOM, "%s/.by-id/%s/%s", dir, id, file) <
	     PATH_ROOM);
}

/* Its text; empty if it is not there. */
static void
text_of(const char *id, const char *file, char text[TEXT_MAX])
{
	char path[PATH_ROOM];
	ssize_t n = 0;
	int fd;

	path_of(path, id, file);
	fd = open(path, O_RDONLY);
	if (fd != -1)
		n = read(fd, text, TEXT_MAX - 1);
	MUST(n >= 0);
	text[n] = '\0';
	if (fd != -1)
		close(fd);
}

/* The UIDs that a uidlist gives, all of them below 10, as digits. */
static bool
lists(const char *text, const char *uids)
{
	const char *line = strchr(text, '\n');

	if (strncmp(text, "3 V77 N", 7) != 0 || line == NULL)
		return false;
	for (; *uids != '\0'; uids++) {
		while (line != NULL && line[1] != *uids)
			line = strchr(line + 1, '\n');
		if (line == NULL || line[2] != ' ')
			return false;
	}
	return true;
}

static bool
is_mended(const char *id)
{
	char text[TEXT_MAX];

	text_of(id, "dovecot-keywords", text);
	if (strcmp(text, "0 Junk\n1 Work\n2 Home\n") != 0)
		return false;
	text_of(id, "dovecot-uidlist", text);
	return lists(text, "1245");
}

static void
deliver(const char *id)
{
	char path[PATH_ROOM];
	int fd;

	path_of(path, id, "new/1.another.host");
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	MUST(fd != -1 && write(fd, "text\n", 5) == 5);
	close(fd);
}

/* It has its own UID and nobody else's flags; what was there is as it was. */
static bool
is_delivered(const char *id)
{
	struct store_mailbox *mb;
	bool good;

	rig_idle(&rig);
	deliver(id);
	mb = rig_open(&rig, id);
	good = mb != NULL && store_numbers(mb)->exists == 5 &&
	       store_at(mb, 3)->uid == 5 && store_at(mb, 4)->uid >= 7 &&
	       store_at(mb, 4)->uid < 1000 && store_at(mb, 4)->flags == 0 &&
	       store_at(mb, 4)->keywords[0] == 0;
	store_close(&mb);
	return good;
}

static off_t
size_of(const char *file)
{
	char path[PATH_ROOM];
	struct stat st;

	path_of(path, "first", file);
	return stat(path, &st) == 0 ? st.st_size : 0;
}

static bool
survives(const char *file, enum damage_kind kind, off_t at)
{
	unsigned unreadable;
	char id[64], path[PATH_ROOM];

	snprintf(id, sizeof id, "%s-%d-%ld", file, kind, (long)at);
	damage_make(&rig, id, NULL);
	path_of(path, id, file);
	damage_file(path, kind, at);
	return damage_is_safe(&rig, id, &unreadable) && unreadable == 0 &&
	       is_mended(id) && is_delivered(id);
}

static void
test_file(const char *file, enum damage_kind kind, off_t step)
{
	static const char *const kinds[] = { "wrong", "another digit", "cut",
		"gone" };
	off_t size = kind == DAMAGE_LOST ? 1 : size_of(file);
	unsigned bad = 0, n = 0;

	for (off_t at = 0; at < size; at += step, n++)
		if (!survives(file, kind, at) && bad++ < 5)
			printf("# octet %ld\n", (long)at);
	ok(bad == 0 && n > 0, "%s: %s at any of %u octets", file, kinds[kind],
	    n);
}

static void
test_files(void)
{
	static const char *const files[] = { "backendd-index",
		"backendd-mailbox", "backendd-cache", "dovecot-uidlist",
		"dovecot-keywords" };

	damage_make(&rig, "first", NULL);
	for (size_t i = 0; i < NITEMS(files); i++) {
		test_file(files[i], DAMAGE_BIT, 1);
		test_file(files[i], DAMAGE_DIGIT, 1);
		test_file(files[i], DAMAGE_CUT, 3);
		test_file(files[i], DAMAGE_LOST, 1);
	}
}

static bool
find(void *arg, const struct store_entry *e)
{
	unsigned *n = arg;

	*n += strcmp(e->id, "noted") == 0 && e->damage == NULL &&
	      slice_is(e->meta, "its meta");
	return true;
}

/* Known by its id at the next start, though the file of that is damaged. */
static void
test_start(void)
{
	char path[PATH_ROOM];
	unsigned n = 0, unreadable;
	struct err err;

	damage_make(&rig, "noted", NULL);
	rig_stop(&rig);
	path_of(path, "noted", "backendd-mailbox");
	damage_file(path, DAMAGE_BIT, 9);
	MUST(rig_start(&rig, &maildir_module, dir) == 0);
	ok(store_each(rig.store, find, &n, &err) == 0 && n == 1,
	    "what it is called is in the index too");
	ok(damage_is_safe(&rig, "noted", &unreadable), "and it opens");
}

int
main(void)
{
	char other[64];

	tempdir_make(dir);
	tempdir_make(other);
	crash_quiet(other);
	MUST(rig_start(&rig, &maildir_module, dir) == 0);
	test_files();
	test_start();
	rig_stop(&rig);
	crash_loud();
	tempdir_remove(dir);
	tempdir_remove(other);
	return done_testing();
}
