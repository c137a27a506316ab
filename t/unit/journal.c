/*
 * journal: what is replayed is always a beginning of what was put, and holds
 * all that was called durable; damage before the end is told from a torn end.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/err.h"
#include "lib/jobs.h"
#include "lib/journal.h"
#include "lib/journal_file.h"
#include "lib/loop.h"
#include "lib/must.h"
#include "lib/xalloc.h"
#include "t/refusal.h"
#include "t/tap.h"
#include "t/tempdir.h"

enum {
	COMMITS = 4,
	PER_COMMIT = 3,
	RECORDS = COMMITS * PER_COMMIT
};

struct world {
	char dir[64 + sizeof("/log")];
	struct loop *loop;
	struct jobs *jobs;
	struct journal *journal;
	struct timer *timer;
	uint64_t told, target; /* last called back; stop there */
	bool order, failed;
	uint64_t replayed; /* last number */
	size_t count;
	bool right;
	struct err err;
	char seen[JOURNAL_NAME_MAX]; /* name of a file */
};

/* A record is a function of its number, some have no octets. */
static struct slice
content(uint64_t number, uint8_t room[256])
{
	size_t n = (size_t)(number * 37 % 101);

	if (number % 5 == 0)
		n = 0;
	for (size_t i = 0; i < n; i++)
		room[i] = (uint8_t)(number * 7 + i);
	return slice_of(room, n);
}

static int
replay(void *arg, uint64_t number, struct slice record, struct err *err)
{
	struct world *w = arg;
	uint8_t room[256];

	(void)err;
	if (number != w->replayed + 1 ||
	    (record.len < 1000 && !slice_equal(record, content(number, room))))
		w->right = false;
	w->replayed = number;
	w->count++;
	return 0;
}

static bool
opens(struct world *w, uint64_t after)
{
	w->replayed = after;
	w->count = 0;
	w->right = true;
	return journal_open(&w->journal, w->loop, w->jobs, w->dir, after,
	           replay, w, &w->err) == 0;
}

static void
world_init(struct world *w)
{
	*w = (struct world){ .order = true };
	tempdir_make(w->dir);
	strcat(w->dir, "/log");
	w->loop = loop_new();
	w->jobs = jobs_new(w->loop, 2);
}

static size_t
files_count(struct world *w, bool remove)
{
	DIR *d = opendir(w->dir);
	struct dirent *e;
	size_t n = 0;

	MUST(d != NULL);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		snprintf(w->seen, sizeof(w->seen), "%.16s", e->d_name);
		if (remove)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
	return n;
}

static void
world_fini(struct world *w)
{
	journal_close(&w->journal);
	jobs_free(&w->jobs);
	loop_free(&w->loop);
	files_count(w, true);
	rmdir(w->dir);
	w->dir[strlen(w->dir) - 4] = '\0';
	rmdir(w->dir);
}

static void
told(void *arg, uint64_t number, bool failed)
{
	struct world *w = arg;

	w->order = w->order && number == w->told + 1 && !failed &&
	           journal_durable(w->journal) >= number;
	w->told = number;
	if (number == w->target)
		loop_stop(w->loop);
}

static void
put(struct world *w, size_t n)
{
	uint8_t room[256];

	w->told = journal_last(w->journal);
	w->target = w->told + n;
	for (uint64_t i = w->told + 1; i <= w->target; i++)
		MUST(journal_put(w->journal, content(i, room), told, w) == i);
}

static void
commit(struct world *w, size_t n)
{
	put(w, n);
	loop_run(w->loop);
}

static void
test_replay(void)
{
	struct world w, other;

	world_init(&w);
	ok(opens(&w, 0) && w.count == 0, "a new one is made and empty");
	put(&w, 10);
	ok(journal_last(w.journal) == 10 && journal_durable(w.journal) == 0,
	    "put gives numbers, nothing is durable yet");
	loop_run(w.loop);
	ok(w.order && journal_durable(w.journal) == 10, "called back in order");
	commit(&w, 500);
	ok(w.order && w.told == 510, "more");

	other = w;
	ok(!opens(&other, 0), "two do not open one journal: %s",
	    other.err.text);

	put(&w, 5);
	w.told = 0;
	journal_close(&w.journal);
	ok(w.told == 0 && w.journal == NULL, "closing calls nobody");
	ok(opens(&w, 0) && w.count == 515 && w.right, "all are replayed");
	ok(journal_last(w.journal) == 515 && journal_durable(w.journal) == 515,
	    "and numbers go on");
	commit(&w, 3);
	journal_close(&w.journal);
	ok(opens(&w, 516) && w.count == 2 && w.right, "those after");
	commit(&w, 1);
	journal_close(&w.journal);
	ok(opens(&w, 1000) && w.count == 0, "none after all");
	commit(&w, 1);
	ok(w.told == 1001, "a checkpoint's number is not given again");
	journal_close(&w.journal);
	ok(opens(&w, 1000) && w.count == 1 && w.right,
	    "and what follows is kept");
	journal_close(&w.journal);
	ok(!opens(&w, 5), "records that are gone are missed: %s", w.err.text);
	world_fini(&w);
}

static int
refuse(void *arg, uint64_t number, struct slice record, struct err *err)
{
	(void)arg, (void)record;
	return number == 2 ? err_set(err, "not this one") : 0;
}

static void
test_refused(void)
{
	struct world w;

	world_init(&w);
	MUST(opens(&w, 0));
	commit(&w, 3);
	journal_close(&w.journal);
	ok(journal_open(&w.journal, w.loop, w.jobs, w.dir, 0, refuse, &w,
	       &w.err) == -1 &&
	        w.journal == NULL,
	    "replay may refuse: %s", w.err.text);
	world_fini(&w);
}

static void
big(struct world *w, size_t n)
{
	uint8_t *p = xcalloc(1, n);

	w->target = journal_put(w->journal, slice_of(p, n), told, w);
	w->told = w->target - 1;
	loop_run(w->loop);
	free(p);
}

static void
test_drop(void)
{
	struct world w;
	char name[JOURNAL_NAME_MAX];
	uint64_t before;

	world_init(&w);
	MUST(opens(&w, 0));
	ok(journal_octets(w.journal) == 0, "no octets");
	for (int i = 0; i < 5; i++)
		big(&w, 9 << 20);
	before = journal_octets(w.journal);
	ok(before >= 5 * (9 << 20), "octets are counted");
	ok(files_count(&w, false) == 3, "files end at some size");
	journal_drop(w.journal, 3);
	ok(journal_octets(w.journal) < before / 2 &&
	        journal_octets(w.journal) >= 2 * (9 << 20),
	    "octets dropped are not");
	commit(&w, 1);
	journal_close(&w.journal);
	ok(files_count(&w, false) == 2,
	    "a file whose records are dropped goes");
	ok(opens(&w, 3) && w.count == 3 && w.right, "the rest is there");
	journal_drop(w.journal, 6);
	ok(journal_octets(w.journal) == 0, "all dropped: no octets");
	commit(&w, 2);
	journal_drop(w.journal, 8);
	commit(&w, 1);
	journal_close(&w.journal);
	ok(opens(&w, 8) && w.count == 1 && w.right, "dropping loses none");
	ok(files_count(&w, false) == 1, "older files are gone");
	journal_file_name(name, 9);
	ok(strcmp(w.seen, name) == 0, "dropping all begins a new file");
	world_fini(&w);
}

static size_t
size_of(const struct world *w, uint64_t first)
{
	char name[JOURNAL_NAME_MAX], path[128];
	struct stat st;

	journal_file_name(name, first);
	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	return stat(path, &st) == 0 ? (size_t)st.st_size : 0;
}

static void
test_room(void)
{
	struct world w;
	size_t size;

	world_init(&w);
	MUST(opens(&w, 0));
	commit(&w, 3);
	size = size_of(&w, 1);
	ok(size > JOURNAL_HEADER + journal_octets(w.journal) + 10000,
	    "a file has room ahead");
	commit(&w, 100);
	ok(size_of(&w, 1) == size, "so that records do not make it longer");
	big(&w, size);
	ok(size_of(&w, 1) > JOURNAL_HEADER + journal_octets(w.journal),
	    "there is some again");
	size = JOURNAL_HEADER + journal_octets(w.journal);
	journal_close(&w.journal);
	ok(size_of(&w, 1) == size, "what is not used is given back");
	ok(opens(&w, 0) && w.count == 104 && w.right, "nothing else goes");
	world_fini(&w);
}

/* A file that another follows, as a process that was killed left it. */
static void
test_room_behind(void)
{
	struct world w;
	char name[JOURNAL_NAME_MAX], path[128];
	size_t end;
	int fd;

	world_init(&w);
	MUST(opens(&w, 0));
	for (int i = 0; i < 3; i++)
		big(&w, 9 << 20);
	ok(files_count(&w, false) == 2, "two files");
	journal_close(&w.journal);
	journal_file_name(name, 1);
	snprintf(path, sizeof(path), "%s/%s", w.dir, name);
	end = size_of(&w, 1);
	fd = open(path, O_WRONLY);
	MUST(fd != -1 && ftruncate(fd, (off_t)end + 5000) == 0);
	ok(opens(&w, 0) && w.count == 3 && w.right,
	    "the first may have room behind its records");
	journal_close(&w.journal);
	MUST(pwrite(fd, "x", 1, (off_t)end + 4000) == 1);
	ok(opens(&w, 0) && w.count == 3 && w.right, "...or other octets");
	journal_close(&w.journal);
	MUST(pwrite(fd, "x", 1, (off_t)end - 1) == 1);
	ok(!opens(&w, 0), "but its last record is missed: %s", w.err.text);
	close(fd);
	world_fini(&w);
}

/* Of the only file, or the last one. */
static void
change_octet(struct world *w, off_t at)
{
	char path[128];
	uint8_t octet;
	int fd;

	files_count(w, false);
	snprintf(path, sizeof(path), "%s/%s", w->dir, w->seen);
	fd = open(path, O_RDWR);
	MUST(fd != -1 && pread(fd, &octet, 1, at) == 1);
	octet ^= 1;
	MUST(pwrite(fd, &octet, 1, at) == 1);
	close(fd);
}

/* Records as long as those that a file had before, so that all is alike. */
static void
test_spares(void)
{
	struct world w;
	size_t size;

	world_init(&w);
	MUST(opens(&w, 0));
	journal_keep_spares(w.journal, 1);
	commit(&w, 100);
	size = size_of(&w, 1);
	journal_drop(w.journal, 100);
	commit(&w, 100);
	ok(files_count(&w, false) == 2, "a file is kept");
	journal_drop(w.journal, 200);
	commit(&w, 2);
	ok(files_count(&w, false) == 2 && size_of(&w, 1) == 0 &&
	        size_of(&w, 201) > JOURNAL_HEADER + journal_octets(w.journal),
	    "...and written again");
	ok(size_of(&w, 201) < size, "as it is");
	commit(&w, 2);
	journal_drop(w.journal, 203);
	journal_close(&w.journal);
	ok(opens(&w, 203) && w.count == 1 && w.right,
	    "what it had before is not there");
	ok(files_count(&w, false) == 1, "a start removes what is not needed");
	world_fini(&w);
}

static void
test_spares_given_up(void)
{
	struct world w;

	world_init(&w);
	MUST(opens(&w, 0));
	journal_keep_spares(w.journal, 1);
	commit(&w, 100);
	journal_drop(w.journal, 100);
	commit(&w, 100);
	MUST(files_count(&w, false) == 2);
	journal_keep_spares(w.journal, 0);
	commit(&w, 2);
	journal_close(&w.journal);
	ok(files_count(&w, false) == 1, "spare files can be given up");
	world_fini(&w);
}

/* Killed: nothing is cut off behind what a file that is written again has. */
static void
test_spares_damage(void)
{
	struct world w, killed;
	pid_t pid;
	int status;

	world_init(&w);
	MUST(opens(&w, 0));
	journal_close(&w.journal);
	fflush(stdout);
	pid = fork();
	MUST(pid != -1);
	if (pid == 0) {
		killed = w;
		killed.loop = loop_new();
		killed.jobs = jobs_new(killed.loop, 2);
		MUST(opens(&killed, 0));
		journal_keep_spares(killed.journal, 1);
		for (uint64_t n = 100; n <= 200; n += 100) {
			commit(&killed, 100);
			journal_drop(killed.journal, n);
		}
		commit(&killed, 2);
		commit(&killed, 2);
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && status == 0);
	ok(size_of(&w, 201) > 3000, "there is more in it than its records");
	ok(opens(&w, 200) && w.count == 4 && w.right, "they are told from it");
	journal_close(&w.journal);
	change_octet(&w, JOURNAL_HEADER + JOURNAL_RECORD);
	ok(!opens(&w, 200), "damage is found: %s", w.err.text);
	world_fini(&w);
}

/* --- cutting and damaging ------------------------------------------------- */

struct image {
	struct world world;
	char path[96];
	uint8_t *octets;
	size_t len;
	size_t ends[COMMITS + 1]; /* of the file, after each commit */
};

/* With so many zeros behind it. */
static void
image_write_room(struct image *im, size_t len, size_t room)
{
	int fd;

	files_count(&im->world, true);
	fd = open(im->path, O_WRONLY | O_CREAT, 0600);
	MUST(fd != -1 && write(fd, im->octets, len) == (ssize_t)len);
	MUST(ftruncate(fd, (off_t)(len + room)) == 0);
	close(fd);
}

static void
image_write(struct image *im, size_t len)
{
	image_write_room(im, len, 0);
}

static void
image_init(struct image *im)
{
	struct world *w = &im->world;
	char name[JOURNAL_NAME_MAX];
	int fd;

	world_init(w);
	MUST(opens(w, 0));
	journal_file_name(name, 1);
	snprintf(im->path, sizeof(im->path), "%s/%s", w->dir, name);
	im->ends[0] = JOURNAL_HEADER;
	for (int i = 1; i <= COMMITS; i++) {
		commit(w, PER_COMMIT);
		im->ends[i] = JOURNAL_HEADER + journal_octets(w->journal);
	}
	journal_close(&w->journal);
	im->len = im->ends[COMMITS];
	im->octets = xmalloc(im->len);
	fd = open(im->path, O_RDONLY);
	MUST(fd != -1 && read(fd, im->octets, im->len) == (ssize_t)im->len);
	close(fd);
}

static void
image_fini(struct image *im)
{
	free(im->octets);
	world_fini(&im->world);
}

/* How many records were durable when the file had so many octets? */
static size_t
durable_at(const struct image *im, size_t len)
{
	size_t n = 0;

	for (size_t i = 1; i <= COMMITS; i++)
		if (im->ends[i] <= len)
			n = i * PER_COMMIT;
	return n;
}

/* Open, put one, open again: a beginning, and it can be built upon. */
static bool
prefix_with(struct world *w, size_t least, size_t most)
{
	size_t n;
	bool good;

	if (!opens(w, 0))
		return false;
	n = w->count;
	good = w->right && n >= least && n <= most &&
	       journal_last(w->journal) == n;
	commit(w, 1);
	journal_close(&w->journal);
	good = opens(w, 0) && good && w->right && w->count == n + 1;
	journal_close(&w->journal);
	return good;
}

static void
test_cut(size_t room)
{
	struct image im;
	size_t good = 0, least = room == 0 ? 0 : JOURNAL_HEADER;
	bool fine;

	image_init(&im);
	for (size_t len = least; len <= im.len; len++) {
		image_write_room(&im, len, room);
		fine = prefix_with(&im.world, durable_at(&im, len),
		    durable_at(&im, len) + PER_COMMIT);
		if (!fine)
			printf("# cut at %zu: %s\n", len, im.world.err.text);
		good += fine;
	}
	ok(good == im.len + 1 - least,
	    "cut at each of %zu octets, %zu zeros: a beginning is left", im.len,
	    room);
	image_fini(&im);
}

/* Octets of the last commit may be anything; others are missed if wrong. */
static void
test_damage(void)
{
	struct image im;
	size_t last, good = 0, found = 0;
	struct world *w = &im.world;

	image_init(&im);
	last = im.ends[COMMITS - 1];
	for (size_t at = 0; at < im.len; at++) {
		im.octets[at] ^= 0x20;
		image_write(&im, im.len);
		if (at < last) {
			found += !opens(w, 0);
			journal_close(&w->journal);
		} else {
			good += prefix_with(w, RECORDS - PER_COMMIT, RECORDS);
		}
		im.octets[at] ^= 0x20;
	}
	ok(found == last, "damage of what was durable is found: %s",
	    w->err.text);
	ok(good == im.len - last, "of what may not have been, cut off");
	image_fini(&im);
}

/* What was not synced may be there in any part: here its end, or zeros. */
static void
test_lost(void)
{
	struct image im;
	size_t last, good = 0;
	uint8_t *saved;

	image_init(&im);
	last = im.ends[COMMITS - 1];
	saved = xmemdup(im.octets, im.len);
	for (size_t at = last; at < im.len; at++) {
		im.octets[at] = 0;
		image_write(&im, im.len);
		good += prefix_with(&im.world, RECORDS - PER_COMMIT, RECORDS);
	}
	ok(good == im.len - last,
	    "the beginning of a commit may be lost alone");
	good = 0;
	memcpy(im.octets, saved, im.len);
	for (size_t at = im.len; at > last; at--) {
		im.octets[at - 1] = 0;
		image_write(&im, im.len);
		good += prefix_with(&im.world, RECORDS - PER_COMMIT, RECORDS);
	}
	ok(good == im.len - last, "or its end");
	free(saved);
	image_fini(&im);
}

struct group {
	struct world *w;
	unsigned left; /* records that are to follow, one by one */
};

static void
put_another(void *arg, uint64_t number, bool failed)
{
	struct group *g = arg;
	uint8_t room[256];

	told(g->w, number, failed);
	if (g->left-- > 1)
		journal_put(g->w->journal, content(number + 8, room),
		    put_another, g);
	else if (number == g->w->target)
		loop_stop(g->w->loop);
}

/* Each puts one when its last one is durable: none waits for ever. */
static void
test_gather(void)
{
	struct group groups[8];
	struct world w;
	uint8_t room[256];

	world_init(&w);
	MUST(opens(&w, 0));
	journal_gather(w.journal);
	w.target = 8 * 50;
	for (unsigned i = 0; i < 8; i++) {
		groups[i] = (struct group){ &w, 50 };
		journal_put(w.journal, content(i + 1, room), put_another,
		    &groups[i]);
	}
	loop_run(w.loop);
	ok(w.order && w.told == w.target, "gathered ones come in order");
	commit(&w, 1);
	ok(w.told == 401, "one alone does not wait");
	journal_close(&w.journal);
	ok(opens(&w, 0) && w.count == 401 && w.right, "and all are there");
	world_fini(&w);
}

static void
close_in_call_back(void *arg, uint64_t number, bool failed)
{
	struct world *w = arg;

	(void)number, (void)failed;
	w->count++;
	journal_close(&w->journal);
	loop_stop(w->loop);
}

static void
test_close_inside(void)
{
	struct world w;
	uint8_t room[256];

	world_init(&w);
	MUST(opens(&w, 0));
	for (uint64_t i = 1; i <= 3; i++)
		journal_put(w.journal, content(i, room), close_in_call_back,
		    &w);
	loop_run(w.loop);
	ok(w.count == 1, "a call back may close");
	ok(opens(&w, 0) && w.count == 3 && w.right, "and nothing is lost");
	world_fini(&w);
}

static void
look_again(void *arg)
{
	struct world *w = arg;

	if (journal_failed(w->journal))
		timer_set(w->timer, 1);
	else
		loop_stop(w->loop);
}

static void
retried(struct world *w)
{
	w->timer = timer_new(w->loop, look_again, w);
	timer_set(w->timer, 0);
	loop_run(w->loop);
	timer_free(&w->timer);
}

/* What is done in the job when a record is durable. */
struct follower {
	struct world *w;
	bool followed, failed;
};

static void
follow(void *arg)
{
	struct follower *f = arg;

	f->followed = true;
}

static void
followed(void *arg, uint64_t number, bool failed)
{
	struct follower *f = arg;

	(void)number;
	f->failed = failed;
	loop_stop(f->w->loop);
}

static void
test_then(void)
{
	struct world w;
	struct follower f = { .w = &w };
	uint8_t room[256];

	world_init(&w);
	MUST(opens(&w, 0));
	journal_put_then(w.journal, content(1, room), follow, followed, &f);
	loop_run(w.loop);
	ok(f.followed && !f.failed,
	    "what follows is done before the call back");
	f = (struct follower){ .w = &w };
	atomic_store(&disk_refuses, true);
	journal_put_then(w.journal, content(2, room), follow, followed, &f);
	loop_run(w.loop);
	atomic_store(&disk_refuses, false);
	ok(!f.followed && f.failed, "and not if the record is not there");
	journal_close(&w.journal);
	world_fini(&w);
}

static void
test_failed(void)
{
	struct world w;

	world_init(&w);
	MUST(opens(&w, 0));
	commit(&w, 2);
	ok(w.order, "two are there");
	atomic_store(&disk_refuses, true);
	commit(&w, 1);
	ok(!w.order && journal_failed(w.journal),
	    "if the sync fails the record is not there: %s",
	    journal_error(w.journal));
	atomic_store(&disk_refuses, false);
	w.order = true;
	commit(&w, 2);
	ok(!w.order, "nor is one put now");
	journal_retry(w.journal);
	retried(&w);
	journal_close(&w.journal);
	ok(opens(&w, 0) && w.count == 2 && w.right, "none of them is");
	ok(journal_last(w.journal) == 5,
	    "and their numbers are not used again");
	world_fini(&w);
}

int
main(void)
{
	test_replay();
	test_refused();
	test_drop();
	test_room();
	test_room_behind();
	test_spares();
	test_spares_given_up();
	test_spares_damage();
	test_cut(0);
	test_cut(5000);
	test_damage();
	test_lost();
	test_gather();
	test_close_inside();
	test_then();
	test_failed();
	return done_testing();
}
