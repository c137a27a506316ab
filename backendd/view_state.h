/*
 * view_state: what a view is made of, for view.c and view_tell.c only.
 *
 * Idle sessions have one each: what is seldom needed is behind a pointer.
 */
#ifndef BACKENDD_VIEW_STATE_H
#define BACKENDD_VIEW_STATE_H

#include "backendd/mailbox.h"
#include "backendd/view.h"

enum {
	VIEW_RECENT_MAX = 2 /* stretches of UIDs this client has as \Recent */
};

struct view_stretch {
	uint32_t first, last;
};

/* MODSEQs of the client's own changes, which were answered; ascending. */
struct view_own {
	size_t n, size;
	uint64_t modseqs[];
};

struct view {
	struct mailbox_watcher watcher; /* first: cast back */
	struct mailbox *m;              /* NULL: lost */
	struct seen *seen;
	unsigned rights;
	uint8_t says; /* of enum view_says */
	uint8_t nrecent;
	uint8_t nkeywords; /* that the client was told of */
	bool read_only : 1, begun : 1;
	bool telling : 1;         /* a part of the expunges was said */
	bool mixed : 1;           /* some expunges since gone_modseq were of
	                             messages not counted */
	bool modseq_owed : 1;     /* to be said when all else was */
	bool modseq_in_reply : 1; /* ...but there */

	/*
	 * The client was told of changes up to MODSEQ told, and of the next
	 * MODSEQ for UIDs up to at_uid.  If the mailbox does not remember what
	 * is changed since, its messages are looked through for changes up to
	 * scan_to, and at_uid is how far that has come.
	 */
	uint64_t told, scan_to;
	uint32_t at_uid;

	uint32_t known_uid; /* the client counts messages up to it */
	uint32_t *gone;     /* counted still, ascending */
	uint32_t ngone, gone_size;
	uint64_t gone_modseq; /* the first expunge of them */

	struct view_own *own;
	struct view_resuming *resuming;
	struct view_stretch recent[VIEW_RECENT_MAX];

	view_watcher *fn;
	void *fn_arg;
	char name[];
};

/* Counted by the client, with a UID up to this. */
uint32_t view_counted_up_to(const struct view *v, uint32_t uid);

/* The client counts all messages there are from now on. */
void view_count_all(struct view *v);

/* Are there messages it does not count? */
bool view_has_new(const struct view *v);

#endif
