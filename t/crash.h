/*
 * crash: a test that stands between what it tests and the kernel.
 *
 * Linked into a test, it replaces the calls that change files (write, rename,
 * fsync and so on; not what stdio and mapped memory do by themselves).  The
 * Nth of them ends the process, or fails.  Any thread may make it.
 *
 * It can also keep a shadow: a copy of every file and directory as it was when
 * last synced.  From that it makes what a power failure may leave: each file
 * and each directory as it was synced, or as it was at the end.  Files that
 * were never synced are empty.  Of a directory's rename the
 * disk has both names or neither.  Without a shadow, to sync is to do
 * nothing.
 *
 *	if (crash_fork(&c)) {
 *		crash_shadow(shadow);
 *		crash_arm(n, 0);
 *		...what is to be killed; reports by write(c.fd)...
 *		_exit(0);
 *	}
 *	...read(c.fd)...
 *	killed = crash_wait(&c);
 *	crash_lose(shadow, dir, lost, 0);
 *	...what is in dir, and in lost?
 */
#ifndef T_CRASH_H
#define T_CRASH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	CRASH_PATH = 512,
	CRASH_SHORT = -1 /* for errnum: a write of half of it; else nothing */
};

/* The nth call from now on ends the process, or fails with errnum if that is
 * not 0.  n below 1: none does. */
void crash_arm(int n, int errnum);

/* Reads and opens for reading count, too, from now on, or not any more. */
void crash_reads(bool count);

/* Calls since then; and has the nth been made? */
int crash_calls(void);
bool crash_fired(void);

/* From now on copies go to dir, which is empty.  Borrows dir. */
void crash_shadow(const char *dir);

/* After each sync of a file that succeeded; on the thread that made it. */
void crash_on_sync(void (*cb)(int fd));

/*
 * What a power failure leaves of the directory from, made in to.  mix 0: all
 * is as it was synced.  Else it says which files and directories had reached
 * the disk without a sync.
 */
void crash_lose(const char *shadow, const char *from, const char *to,
    uint32_t mix);

struct crash_child {
	pid_t pid;
	int fd; /* the child writes, its parent reads */
};

/* True in the child. */
bool crash_fork(struct crash_child *c);

/* True: the armed call ended it.  Any other end than _exit(0) is a bug. */
bool crash_wait(struct crash_child *c);

/*
 * Standard error goes to a file in dir until crash_loud(), since the log's lines
 * about what we break are of no use; crash_say() prints what came since the
 * last crash_hush() as comments, and crash_said() whether a line of it has this
 * text.  If the process aborts, all of it is shown.
 */
void crash_quiet(const char *dir);
void crash_hush(void);
void crash_say(void);
bool crash_said(const char *text);
void crash_loud(void);

#endif
