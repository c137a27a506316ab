/*
 * What a Maildir may hold that is none of ours: names, files and lists as no
 * program should make them, and as some do.  Mail is there or it is said why
 * not; it is not lost, and one mailbox does not stop the others.
 */
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "t/store_help.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	ROOM = 400,
	MANY = 200 * 1000, /* of which half are expunged at once */
	PLAIN = 30 * 1000,
	LONG = 64 * 1024 * 1024,
	PIECE = 16 * 1024,
	HANG = 100, /* seconds: it takes far less than one */
	NOBODY = 65534
};

static struct rig rig;
static char dir[64];

static void
path_of(char path[ROOM], const char *id, const char *file)
{
	MUST(snprintf(path, ROOM, "%s/.by-id/%s/%s", dir, id, file) < ROOM);
}

static void
put(const char *id, const char *file, const char *text)
{
	size_t n = strlen(text);
	char path[ROOM];
	int fd;

	path_of(path, id, file);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	MUST(fd != -1 && write(fd, text, n) == (ssize_t)n);
	close(fd);
}

static bool
has(const char *id, const char *file)
{
	char path[ROOM];

	path_of(path, id, file);
	return access(path, F_OK) == 0;
}

static void
drop(const char *id, const char *file)
{
	char path[ROOM];

	path_of(path, id, file);
	MUST(unlink(path) == 0);
}

static void
shut(struct store_mailbox **mbp)
{
	store_close(mbp);
	rig_idle(&rig);
}

/* It is there, and nobody has it open. */
static void
make(const char *id)
{
	struct store_mailbox *mb;

	MUST(rig_create(&rig, id, "") == NULL);
	mb = rig_open(&rig, id);
	shut(&mb);
}

static bool
reads(struct store_mailbox *mb, uint32_t i, const char *text)
{
	struct store_part p = { .len = UINT64_MAX };

	if (i >= store_numbers(mb)->exists)
		return false;
	p.uid = store_at(mb, i)->uid;
	return slice_is(rig_read(&rig, mb, &p), text) && p.why == NULL;
}

/* ---- names ---- */

static void
test_names(void)
{
	struct store_mailbox *mb;
	char name[64 + 200];

	make("names");
	snprintf(name, sizeof name, "new/%0240d.host", 1);
	put("names", name, "long\n");
	put("names", "new/2.a\nb.host", "two lines\n");
	put("names", "cur/3.a\nb.host:2,S", "seen\n");
	put("names", "cur/:2,S", "no name\n");
	mb = rig_open(&rig, "names");
	ok(store_numbers(mb)->exists == 3 && store_numbers(mb)->unseen == 2,
	    "files of odd names are messages, with their flags");
	shut(&mb);
	mb = rig_open(&rig, "names");
	ok(store_numbers(mb)->exists == 3 && store_numbers(mb)->uidnext == 4,
	    "the same ones later on");
	shut(&mb);
}

/* All flags and keywords there can be, where the name has no room for them. */
static void
test_no_room(void)
{
	struct store_change c = { .uid = 1, .set = STORE_FLAGS };
	struct store_mailbox *mb;
	char name[300];

	make("room");
	snprintf(name, sizeof name, "cur/%0224d:2,", 1);
	put("room", name, "text\n");
	mb = rig_open(&rig, "room");
	for (unsigned i = 0; i < MD_LETTERS; i++) {
		snprintf(name, sizeof name, "keyword%u", i);
		MUST(store_keyword_add(mb, slice_str(name)) == (int)i);
		c.set_keywords[0] |= (uint64_t)1 << i;
	}
	MUST(store_numbers(mb)->exists == 1);
	MUST(rig_change(&rig, mb, &c, 1) == NULL);
	shut(&mb);
	mb = rig_open(&rig, "room");
	ok(mb != NULL && reads(mb, 0, "text\r\n") &&
	        store_at(mb, 0)->flags == STORE_FLAGS &&
	        store_at(mb, 0)->keywords[0] == c.set_keywords[0],
	    "more flags than a name has room for");
	if (mb != NULL)
		shut(&mb);
}

static void
test_one_name(void)
{
	struct store_mailbox *mb;

	make("one");
	put("one", "cur/1.a.host:2,", "first\n");
	put("one", "new/1.a.host", "second\n");
	mb = rig_open(&rig, "one");
	ok(store_numbers(mb)->exists == 2, "two of one name are two");
	ok((reads(mb, 0, "first\r\n") && reads(mb, 1, "second\r\n")) ||
	        (reads(mb, 0, "second\r\n") && reads(mb, 1, "first\r\n")),
	    "and both are read");
	shut(&mb);
	put("one", "cur/1.a.host:2,FRS", "third\n");
	mb = rig_open(&rig, "one");
	ok(store_numbers(mb)->exists == 3 && reads(mb, 2, "third\r\n"),
	    "one that comes later takes nobody's place");
	shut(&mb);
}

/* Between the look and the settling another program has taken it. */
static void
test_taken(void)
{
	struct md_msg m = { .m = { .uid = 1 }, .name = xstrdup("1.a.host") };
	struct buf record;
	struct err err;
	char path[ROOM];
	int fd;

	make("taken");
	put("taken", "cur/1.a.host:2,S", "text\n");
	buf_init(&record, 1000);
	md_put_add(&record, &m, MD_IN_NEW);
	path_of(path, "taken", "");
	fd = open(path, O_RDONLY | O_DIRECTORY);
	MUST(fd != -1);
	ok(md_index_settle(fd, NULL, buf_slice(&record), &err) == 0 &&
	        has("taken", "cur/1.a.host:2,S"),
	    "flags that another program gives at the same time stay");
	put("taken", "cur/1.a.host:2,", "another\n");
	put("taken", "new/1.a.host", "text\n");
	ok(md_index_settle(fd, NULL, buf_slice(&record), &err) == 0 &&
	        has("taken", "new/1.a.host"),
	    "and no file is put over another");
	close(fd);
	buf_fini(&record);
	free(m.name);
}

/* As programs write that keep no flags: each was looked for in all names. */
static void
test_plain(void)
{
	struct store_mailbox *mb;
	char name[64];

	make("plain");
	for (unsigned i = 0; i < PLAIN; i++) {
		snprintf(name, sizeof name, "cur/%u.a.host", i);
		put("plain", name, "");
	}
	alarm(HANG);
	mb = rig_open(&rig, "plain");
	alarm(0);
	ok(mb != NULL && store_numbers(mb)->exists == PLAIN,
	    "many without flags");
	shut(&mb);
}

/* ---- files ---- */

static void
test_sizes(void)
{
	struct store_mailbox *mb;

	make("sizes");
	put("sizes", "cur/1.a.host,S=5,W=13:2,", "some text\n");
	put("sizes", "cur/2.a.host,S=10,W=11:2,", "some text\n");
	put("sizes", "cur/3.a.host,W=15:2,", "some text\n");
	mb = rig_open(&rig, "sizes");
	ok(reads(mb, 0, "some text\r\n") && reads(mb, 1, "some text\r\n") &&
	        reads(mb, 2, "some text\r\n"),
	    "sizes in names are believed if they fit");
	shut(&mb);
}

static void
test_unreadable(void)
{
	struct store_mailbox *mb;
	char path[ROOM];

	make("unread");
	put("unread", "cur/1.a.host:2,", "text\n");
	put("unread", "cur/2.a.host:2,", "text\n");
	path_of(path, "unread", "cur/1.a.host:2,");
	MUST(chmod(path, 0) == 0);
	mb = rig_open(&rig, "unread");
	ok(mb != NULL && store_numbers(mb)->exists == 1,
	    "one that cannot be read is not in the way of others");
	shut(&mb);
	MUST(chmod(path, 0600) == 0);
	mb = rig_open(&rig, "unread");
	ok(mb != NULL && store_numbers(mb)->exists == 2, "then it can be");
	shut(&mb);
}

/* In pieces it was read from its first octet for each of them. */
static void
test_long(void)
{
	struct store_part p = { .uid = 1, .len = PIECE };
	struct store_mailbox *mb;
	char path[ROOM];
	bool right = true;
	uint64_t size;
	int fd;

	make("long");
	put("long", "cur/1.a.host:2,", "text\n\r\n\n");
	path_of(path, "long", "cur/1.a.host:2,");
	fd = open(path, O_WRONLY);
	MUST(fd != -1 && ftruncate(fd, LONG) == 0);
	close(fd);
	mb = rig_open(&rig, "long");
	size = store_at(mb, 0)->size;
	MUST(size == LONG + 2);
	alarm(HANG);
	for (; p.offset < size && right; p.offset += PIECE)
		right =
		    rig_read(&rig, mb, &p).len ==
		        (size - p.offset < PIECE ? size - p.offset : PIECE) &&
		    p.why == NULL;
	alarm(0);
	ok(right, "a long one is read in pieces");
	for (p.offset = 0, p.len = 1; p.offset < 12; p.offset++)
		right &= slice_equal(rig_read(&rig, mb, &p),
		    slice_of((const uint8_t *)"text\r\n\r\n\r\n\0\0" + p.offset,
		        1));
	for (p.offset = 12; p.offset-- > 0;)
		right &= slice_equal(rig_read(&rig, mb, &p),
		    slice_of((const uint8_t *)"text\r\n\r\n\r\n\0\0" + p.offset,
		        1));
	ok(right, "and octet by octet, forwards and backwards");
	store_chunk_free(&rig.chunk);
	shut(&mb);
}

static void
test_fifo(void)
{
	static const char *const files[] = { "dovecot-keywords",
		"dovecot-uidlist", "backendd-index", "backendd-mailbox" };
	struct store_mailbox *mb;
	char path[ROOM], id[16];

	alarm(HANG);
	for (size_t i = 0; i < NITEMS(files); i++) {
		snprintf(id, sizeof id, "fifo%zu", i);
		make(id);
		path_of(path, id, files[i]);
		MUST(unlink(path) == 0 || i == 0);
		MUST(mkfifo(path, 0600) == 0);
		mb = rig_open(&rig, id);
		store_close(&mb);
		rig_idle(&rig);
	}
	alarm(0);
	ok(true, "nobody waits for a FIFO");
}

/* ---- lists of others ---- */

static void
test_uids(void)
{
	struct store_mailbox *mb;

	make("uids");
	drop("uids", "backendd-index");
	put("uids", "dovecot-uidlist",
	    "3 V77 N4294967295\n4294967294 :1.a.host\n");
	put("uids", "new/1.a.host", "text\n");
	put("uids", "new/2.a.host", "text\n");
	mb = rig_open(&rig, "uids");
	ok(mb != NULL && store_numbers(mb)->exists == 2 &&
	        store_numbers(mb)->uidnext == 3,
	    "a list that leaves no UIDs is none");
	shut(&mb);
}

static bool
has_keyword(struct store_mailbox *mb, const char *name)
{
	int i = store_keyword_find(mb, slice_str(name));

	return i != -1 && (store_at(mb, 0)->keywords[0] >> i & 1);
}

static void
test_keywords(void)
{
	struct store_mailbox *mb;
	char *big = xmalloc(100 * 1000 + 1);

	memset(big, 'x', 100 * 1000);
	big[100 * 1000] = '\0';
	make("words");
	put("words", "cur/1.a.host:2,ab", "text\n");
	put("words", "dovecot-keywords", big);
	mb = rig_open(&rig, "words");
	ok(mb != NULL && store_keywords(mb) == 0, "too long a list is none");
	shut(&mb);
	put("words", "dovecot-keywords", "0 Junk\n1 Work\n2 Junk\n");
	mb = rig_open(&rig, "words");
	ok(has_keyword(mb, "Junk") && has_keyword(mb, "Work"),
	    "letters count when their names come later, the first of each");
	shut(&mb);
	free(big);
}

/* ---- many at once ---- */

static void
put_message(struct buf *b, uint32_t uid)
{
	struct md_msg m = { .m = { .uid = uid }, .name = xstrdup("1.a.host") };

	md_put_add(b, &m, MD_IN_CUR);
	free(m.name);
}

static bool
is_half(const struct index *x)
{
	bool good = x->n == MANY / 2 && x->ngone == MANY / 2 + 1;

	for (size_t i = 0; good && i < x->n; i++)
		good = x->msgs[i].m.uid == 2 * i + 1 && x->msgs[i].name != NULL;
	for (size_t i = 0; good && i < MANY / 2; i++)
		good = x->gone[i].uid == 2 * i + 2;
	return good && x->gone[MANY / 2].uid == MANY + 10;
}

/* In the loop: what it takes everybody waits for. */
static void
test_expunge(void)
{
	struct index x;
	struct buf b;
	struct err err;

	md_index_init(&x);
	buf_init(&b, MD_RECORD_MAX);
	for (uint32_t uid = 1; uid <= MANY; uid++)
		put_message(&b, uid);
	md_put_gone(&b, &(struct md_gone){ .uid = MANY + 10 });
	MUST(md_index_apply(&x, buf_slice(&b), &err) == 0);
	buf_clear(&b);
	for (uint32_t uid = 2; uid <= MANY; uid += 2) {
		md_put_expunge(&b, uid, 2, true);
		md_put_expunge(&b, uid, 2, true);
	}
	alarm(HANG);
	ok(md_index_apply(&x, buf_slice(&b), &err) == 0 && is_half(&x),
	    "%u go at once", MANY / 2);
	alarm(0);
	buf_fini(&b);
	md_index_fini(&x);
}

/* ---- starting ---- */

static bool
name_of(void *arg, struct slice meta, struct buf *name)
{
	(void)arg;
	return buf_put_slice(name, meta), meta.len > 0;
}

static bool
meta_of(void *arg, const char *name, uint32_t now, struct buf *meta)
{
	(void)arg, (void)now;
	return buf_puts(meta, name), true;
}

static const struct store_naming naming = { .name = name_of, .meta = meta_of };

static int
restart(void)
{
	static const struct store_options plain;

	rig_stop(&rig);
	return rig_start_with(&rig, &maildir_module, &plain, &naming, dir);
}

static bool
count(void *arg, const struct store_entry *e)
{
	unsigned *n = arg;

	*n += e->damage == NULL && slice_is(e->meta, "user.fred.Good");
	return true;
}

static void
make_dir(const char *below)
{
	char path[ROOM];

	snprintf(path, sizeof path, "%s/%s", dir, below);
	MUST(mkdir(path, 0700) == 0);
}

/* What is found and cannot be taken. */
static void
test_found(void)
{
	unsigned n = 0;
	char path[ROOM];
	struct err err;

	make_dir("fred");
	make_dir("fred/Maildir");
	make_dir("fred/Maildir/.Bad");
	make_dir("fred/Maildir/.Bad/cur");
	make_dir("fred/Maildir/.Bad/dovecot-uidlist");
	make_dir("fred/Maildir/.Good");
	make_dir("fred/Maildir/.Good/cur");
	make_dir("lost+found");
	snprintf(path, sizeof path, "%s/lost+found", dir);
	MUST(chmod(path, 0) == 0);
	MUST(restart() == 0);
	ok(store_each(rig.store, count, &n, &err) == 0 && n == 1,
	    "a directory that cannot be a mailbox does not stop the others");
}

/* Too deep to be removed: as nobody makes them, but there it is. */
static void
test_trash(void)
{
	char path[ROOM];

	make("deep");
	path_of(path, "deep", "");
	for (unsigned i = 0; i < 6; i++) {
		strcat(path, "/d");
		MUST(mkdir(path, 0700) == 0);
	}
	rig_ask(&rig);
	store_destroy(rig.store, "deep", rig_cb, &rig);
	MUST(rig_wait(&rig) == NULL && !has("deep", "cur"));
	ok(restart() == 0, "what cannot be removed stops nothing");
}

static void
test_lost(void)
{
	make("lost");
	put("lost", "cur/1.a.host:2,", "text\n");
	drop("lost", "backendd-index");
	drop("lost", "backendd-mailbox");
	make("half");
	drop("half", "backendd-index");
	drop("half", "backendd-mailbox");
	ok(restart() == 0 && has("lost", "cur/1.a.host:2,"),
	    "mail of a mailbox that is not known any more is not removed");
	ok(!has("half", "cur"), "one that was half made is");
}

static void
test_lock(void)
{
	struct rig other;
	int result = rig_start(&other, &maildir_module, dir);

	ok(result == -1, "one process at a time");
	rig_stop_failed(&other);
}

/* Root can read all, and so is not who does this. */
static bool
is_nobody(void)
{
	if (geteuid() != 0)
		return true;
	if (chown(dir, NOBODY, (gid_t)-1) == 0 && seteuid(NOBODY) == 0 &&
	    faccessat(AT_FDCWD, dir, R_OK | W_OK | X_OK, AT_EACCESS) == 0)
		return true;
	MUST(seteuid(0) == 0);
	return false;
}

int
main(void)
{
	bool nobody;

	tempdir_make(dir);
	nobody = is_nobody();
	MUST(rig_start(&rig, &maildir_module, dir) == 0);
	test_names();
	test_no_room();
	test_one_name();
	test_taken();
	test_plain();
	test_sizes();
	if (nobody)
		test_unreadable();
	test_long();
	test_fifo();
	test_uids();
	test_keywords();
	test_expunge();
	test_found();
	test_trash();
	test_lost();
	test_lock();
	rig_stop(&rig);
	tempdir_remove(dir);
	/* For who looks for leaks, from outside. */
	MUST(seteuid(getuid()) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
	return done_testing();
}
