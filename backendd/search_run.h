/*
 * search_run: a SEARCH under way: messages tested in slices.
 *
 * What the index tells is tested in the loop, some thousand messages a turn;
 * what needs a summary or the message is read and tested in job threads, a
 * batch at a time.  A long search holds up nobody but its own session.
 */
#ifndef BACKENDD_SEARCH_RUN_H
#define BACKENDD_SEARCH_RUN_H

struct search;
struct session;

/*
 * Of a running command with a selected mailbox; ends in session_done().  s
 * lives in the command's arena.
 */
enum search_numbers {
	SEARCH_BY_NUMBER,
	SEARCH_BY_UID
};
void search_run(struct session *ss, struct search *s,
    enum search_numbers numbers);

#endif
