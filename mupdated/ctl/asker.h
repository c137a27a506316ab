/*
 * asker: one connection to the update server, for one command after another.
 *
 * It runs the loop itself until it is logged in, or the command is answered, or
 * the server has been silent for too long: for a program that has nothing else
 * to do.  What fails says what to look at next.
 */
#ifndef MUPDATED_CTL_ASKER_H
#define MUPDATED_CTL_ASKER_H

#include <stdbool.h>

#include "lib/cdefs.h"

struct buf;
struct ctl_conf;
struct err;
struct asker;
struct loop;
struct mupdate_message;

/*
 * Borrows loop and conf.  A server without XMURDER is refused.  On -1 *ap is
 * NULL.
 */
int asker_open(struct asker **ap, struct loop *loop,
    const struct ctl_conf *conf, struct err *err) MUST_CHECK;
void asker_close(struct asker **ap);

/* Writes the command. */
typedef void asker_put(void *arg, struct buf *out, const char *tag);

/* What comes before the end of the answer.  False: no more of it is wanted. */
typedef bool asker_line(void *arg, const struct mupdate_message *m);

enum asker_end {
	ASKER_OK,
	ASKER_NO,      /* *err is the text */
	ASKER_STOPPED, /* by asker_line: the link is to be closed now */
	ASKER_LOST     /* *err says why; a change may have been made or not */
};
enum asker_end asker_ask(struct asker *a, asker_put *put, asker_line *line,
    void *arg, struct err *err) MUST_CHECK;

#endif
