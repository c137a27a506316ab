#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "backendd/maildir/maildir.h"
#include "lib/ascii.h"
#include "lib/rand.h"
#include "lib/xalloc.h"

#define UIDLIST "dovecot-uidlist"
#define LOCK    "dovecot-uidlist.lock"

enum {
	UIDLIST_MAX = 1024 * 1024 * 1024,
	GONE_MAX = 1000,        /* lines, and as many as there are messages */
	JUMP_MAX = 1000 * 1000, /* UIDs that are skipped */
	LOCK_TEXT = 96,
	LOCK_TRIES = 50,
	LOCK_WAIT_NS = 10 * 1000 * 1000,
	LOCK_STALE = 120 /* seconds, as Dovecot has it */
};

static uint32_t
number(struct slice s)
{
	uint64_t n;

	return ascii_number(s, UINT32_MAX, &n) ? (uint32_t)n : 0;
}

/* "3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1" */
static bool
parse_header(struct md_uids *u, struct slice line)
{
	if (!slice_is(slice_word(&line), "3"))
		return false;
	while (line.len > 0) {
		struct slice w = slice_word(&line), v;

		if (w.len < 2)
			continue;
		v = slice_skip(w, 1);
		if (w.ptr[0] == 'V')
			u->uidvalidity = number(v);
		else if (w.ptr[0] == 'N')
			u->uidnext = number(v);
		else if (w.ptr[0] == 'G' && v.len == 32)
			memcpy(u->guid, v.ptr, 32);
	}
	return u->uidvalidity != 0 && u->uidnext <= MD_UID_MAX;
}

/* "25006 W1394 :1276528487.M364837P9451.host,S=1355:2,S"; 0: it is none. */
static uint32_t
parse_line(struct slice line, struct slice *name)
{
	uint32_t uid = number(slice_word(&line));
	size_t colon = slice_find(line, ':');

	if (uid == 0 || uid >= MD_UID_MAX || colon == line.len)
		return 0;
	line = slice_skip(line, colon + 1);
	*name = slice_first(line, slice_find(line, ':'));
	return name->len > 0 && name->len <= MD_NAME ? uid : 0;
}

/* The next line of s, which moves behind it; what has no end is none. */
static bool
next_line(struct slice *s, struct slice *line)
{
	size_t end = slice_find(*s, '\n');

	if (end == s->len)
		return false;
	*line = slice_first(*s, end);
	*s = slice_skip(*s, end + 1);
	return true;
}

static bool
read_lines(struct md_uids *u, struct slice s)
{
	uint32_t last = 0;
	struct slice line, name;

	while (next_line(&s, &line)) {
		uint32_t uid = parse_line(line, &name);

		if (uid <= last)
			return false;
		last = uid;
		map_put(&u->uids, name, (void *)(uintptr_t)uid);
	}
	if (last >= u->uidnext)
		u->uidnext = last + 1;
	return s.len == 0;
}

static bool
read_list(int dirfd, struct md_uids *u, bool lines, struct err *err)
{
	struct slice s, line;
	bool missing, good;
	struct buf b;

	*u = (struct md_uids){ 0 };
	map_init(&u->uids);
	if (md_read_file(dirfd, UIDLIST, UIDLIST_MAX, &b, &missing, err) == -1)
		return missing;
	s = buf_slice(&b);
	good = next_line(&s, &line) && parse_header(u, line) &&
	       (!lines || read_lines(u, s));
	buf_fini(&b);
	u->there = good;
	return true;
}

int
md_uids_read(int dirfd, struct md_uids *u, struct err *err)
{
	return read_list(dirfd, u, true, err) ? 0 : -1;
}

uint32_t
md_uids_find(const struct md_uids *u, const char *name)
{
	return (uint32_t)(uintptr_t)map_find(&u->uids, slice_str(name));
}

void
md_uids_free(struct md_uids *u)
{
	map_fini(&u->uids);
}

bool
md_uids_jump(const struct index *x, uint32_t uid)
{
	return x->uidnext > 1 && uid > x->uidnext &&
	       uid - x->uidnext > JUMP_MAX;
}

/* ---- writing it ---- */

/* Of a process that has ended here: "PID:HOST", as Dovecot has it. */
static bool
is_left_over(int dirfd)
{
	char host[65] = "";
	struct slice s;
	struct err err;
	struct buf b;
	bool missing, left;
	uint64_t pid;

	if (md_read_file(dirfd, LOCK, LOCK_TEXT, &b, &missing, &err) == -1)
		return false;
	s = buf_slice(&b);
	gethostname(host, sizeof host - 1);
	left =
	    ascii_number(slice_first(s, slice_find(s, ':')), INT32_MAX, &pid) &&
	    pid > 0 && slice_find(s, ':') < s.len &&
	    slice_is(slice_skip(s, slice_find(s, ':') + 1), host) &&
	    ((pid_t)pid == getpid() ||
	        (kill((pid_t)pid, 0) == -1 && errno == ESRCH));
	buf_fini(&b);
	return left;
}

static void
sign(int fd)
{
	char host[65] = "", text[LOCK_TEXT];
	struct err err;

	gethostname(host, sizeof host - 1);
	snprintf(text, sizeof text, "%ld:%s", (long)getpid(), host);
	/* Unsigned it holds all the same, only longer if this ends. */
	if (md_write(fd, slice_str(text), 0, &err) == -1)
		return;
}

static bool
is_old(int dirfd)
{
	struct timespec now;
	struct stat st;

	return fstatat(dirfd, LOCK, &st, 0) == 0 &&
	       clock_gettime(CLOCK_REALTIME, &now) == 0 &&
	       st.st_mtim.tv_sec + LOCK_STALE < now.tv_sec;
}

/*
 * The file whose being there is the lock; -1: another program has it.  Of ours
 * only one job at a time works on a mailbox.
 */
static int
lock(int dirfd)
{
	const struct timespec wait = { .tv_nsec = LOCK_WAIT_NS };
	int fd;

	for (int i = 0; i < LOCK_TRIES; i++) {
		fd = openat(dirfd, LOCK,
		    O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd != -1)
			sign(fd);
		if (fd != -1 || errno != EEXIST)
			return fd;
		if (is_left_over(dirfd) || is_old(dirfd))
			unlinkat(dirfd, LOCK, 0);
		else
			nanosleep(&wait, NULL);
	}
	return -1;
}

static void
put_line(struct buf *b, uint32_t uid, const char *name)
{
	buf_printf(b, "%lu :%s\n", (unsigned long)uid, name);
}

/*
 * It is what others know UIDs by; ours are in the index.  So what cannot be
 * written now is no error: it is mended when the mailbox is next opened.
 */
void
md_uids_add(int dirfd, const struct index *x, struct slice record)
{
	struct md_item item;
	struct md_uids u;
	struct buf b;
	struct err err;
	struct wire w;
	int fd, held;

	buf_init(&b, MD_RECORD_MAX);
	wire_init(&w, record);
	while (md_item(&w, &item))
		if (item.tag == MD_ADD)
			put_line(&b, item.msg.m.uid, item.name);
	held = buf_len(&b) > 0 ? lock(dirfd) : -1;
	if (held == -1) {
		buf_fini(&b);
		return;
	}
	fd = openat(dirfd, UIDLIST,
	    O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC);
	if (fd != -1 && read_list(dirfd, &u, false, &err)) {
		if (u.there && u.uidvalidity == x->uidvalidity &&
		    write(fd, buf_data(&b), buf_len(&b)) !=
		        (ssize_t)buf_len(&b))
			unlinkat(dirfd, UIDLIST, 0); /* half a line, perhaps */
		md_uids_free(&u);
	}
	if (fd != -1)
		close(fd);
	close(held);
	unlinkat(dirfd, LOCK, 0);
	buf_fini(&b);
}

/* Of few others: who has gone stays in it until it is written anew. */
bool
md_uids_right(int dirfd, const struct index *x, uint32_t *uidnext)
{
	struct md_uids u = { 0 };
	size_t i = 0, lines = 0;
	struct slice s, line, name;
	struct err err;
	uint32_t uid, last = 0;
	bool missing, right;
	struct buf b;

	if (md_read_file(dirfd, UIDLIST, UIDLIST_MAX, &b, &missing, &err) == -1)
		return false;
	s = buf_slice(&b);
	right = next_line(&s, &line) && parse_header(&u, line) &&
	        u.uidvalidity == x->uidvalidity && u.uidnext != 0;
	for (; right && next_line(&s, &line); lines++) {
		uid = parse_line(line, &name);
		right = uid > last;
		if (right && i < x->n && uid >= x->msgs[i].m.uid)
			right = uid == x->msgs[i].m.uid &&
			        slice_is(name, x->msgs[i++].name);
		last = uid;
	}
	if (right && last >= u.uidnext)
		u.uidnext = last + 1;
	right = right && i == x->n && s.len == 0 &&
	        lines < 2 * x->n + GONE_MAX && u.uidnext >= x->uidnext &&
	        !md_uids_jump(x, u.uidnext);
	if (right)
		*uidnext = u.uidnext;
	buf_fini(&b);
	return right;
}

static void
put_all(struct buf *b, struct md_uids *u, const struct index *x)
{
	uint8_t guid[16];

	if (u->guid[0] == '\0') {
		rand_bytes(guid, sizeof guid);
		for (unsigned i = 0; i < 16; i++)
			snprintf(u->guid + 2 * i, 3, "%02x", guid[i]);
	}
	buf_printf(b, "3 V%lu N%lu G%s\n", (unsigned long)x->uidvalidity,
	    (unsigned long)x->uidnext, u->guid);
	for (size_t i = 0; i < x->n; i++)
		put_line(b, x->msgs[i].m.uid, x->msgs[i].name);
}

void
md_uids_fix(int dirfd, const struct index *x)
{
	struct md_uids u;
	struct err err;
	struct buf b;
	int fd;

	fd = lock(dirfd);
	if (fd == -1)
		return;
	if (!read_list(dirfd, &u, false, &err)) {
		md_uids_free(&u);
		close(fd);
		unlinkat(dirfd, LOCK, 0);
		return;
	}
	buf_init(&b, UIDLIST_MAX);
	put_all(&b, &u, x);
	if (buf_failed(&b) || ftruncate(fd, 0) == -1 ||
	    md_write(fd, buf_slice(&b), 0, &err) == -1 || fsync(fd) == -1 ||
	    renameat(dirfd, LOCK, dirfd, UIDLIST) == -1)
		unlinkat(dirfd, LOCK, 0);
	close(fd);
	buf_fini(&b);
	md_uids_free(&u);
}
