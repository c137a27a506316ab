/*
 * search_cmd: what SEARCH, SORT, THREAD and ESEARCH have in common: when they
 * are refused, the search under way with its INPROGRESS (RFC 9585), what was
 * found, "$", and a response that may be long.
 */
#ifndef BACKENDD_SEARCH_CMD_H
#define BACKENDD_SEARCH_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backendd/search_run.h"
#include "backendd/session.h"
#include "lib/cdefs.h"

struct buf;
struct search;

enum search_numbers {
	SEARCH_BY_NUMBER,
	SEARCH_BY_UID
};

/*
 * After the parse, with what it gave.  True: the command has been answered, and
 * "$" is empty if the RFC wants it.
 */
bool search_cmd_refused(struct session *ss, const struct search *s,
    enum search_numbers numbers, const char *why, bool badcharset) MUST_CHECK;

/*
 * Binds the running command's search to the selected mailbox and runs it.  Of
 * ask, headers, found, done and arg are the caller's.
 */
void search_cmd_run(struct session *ss, struct search *s,
    const struct search_ask *ask);

/* Sends out, which is in the command's arena and is emptied; then calls cb. */
void search_cmd_send(struct session *ss, struct buf *out, session_cb *cb,
    void *arg);

/*
 * Sends out, which is in the command's arena and is emptied, and then the
 * tagged reply.
 */
void search_cmd_reply(struct session *ss, struct buf *out,
    enum session_result result, const char *code, const char *text);

/* "* NO [NOUPDATE "tag"]" of the running command, behind its response. */
void search_cmd_noupdate(struct session *ss, struct buf *out);

/* NO: the index was found to be damaged. */
void search_cmd_damaged(struct session *ss);

#endif
