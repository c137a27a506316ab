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

/* What there is only while there is something to be told, or to be found. */
struct view_untold {
	/*
	 * The client was told of changes up to MODSEQ view.told, and of the
	 * next MODSEQ for UIDs up to at_uid.  If the mailbox does not remember
	 * what is changed since, its messages are looked through for changes
	 * up to scan_to, and at_uid is how far that has come.
	 */
	uint64_t scan_to;
	uint32_t at_uid;
	bool telling : 1; /* a part of the expunges was said */
	bool mixed : 1;   /* some expunges since gone_modseq were of messages
	                     not counted */

	uint32_t *gone; /* counted still, ascending */
	uint32_t ngone, gone_size;
	uint64_t gone_modseq; /* the first expunge of them; 0: there is none */

	struct view_own *own;
	struct view_resuming *resuming;
};

struct view {
	struct mailbox_watcher watcher; /* first: cast back */
	struct mailbox *m;              /* NULL: lost */
	struct seen *seen;
	struct view_untold *untold; /* NULL: all zeros */
	view_watcher *fn;
	void *fn_arg;
	uint64_t told;        /* the client was told of changes up to it */
	uint32_t known_uid;   /* the client counts messages up to it */
	uint32_t count;       /* parked: how many */
	uint32_t uidvalidity; /* parked */
	struct view_stretch recent[VIEW_RECENT_MAX];
	uint16_t rights;
	uint8_t says; /* of enum view_says */
	uint8_t nrecent;
	uint8_t nkeywords; /* that the client was told of */
	bool read_only : 1, begun : 1;
	bool parked : 1;          /* until it has been resumed */
	bool held : 1;            /* the mailbox; not while parked, mostly */
	bool news : 1;            /* parked: has heard some */
	bool flags_owed : 1;      /* rights have changed */
	bool modseq_owed : 1;     /* to be said when all else was */
	bool modseq_in_reply : 1; /* ...but there */
	char name[];
};

/* To be read; and to be changed. */
const struct view_untold *view_untold(const struct view *v);
struct view_untold *view_untold_of(struct view *v);

/* Is all of it zero?  Then it is not kept. */
void view_trim(struct view *v);

const struct store_mailbox *view_store(const struct view *v);

/* Expunged with this MODSEQ; both ascend, and a UID is expunged once. */
void view_add_gone(struct view *v, const uint32_t *uids, size_t n,
    uint64_t modseq);

/* UIDs that are gone and that it counts still. */
uint32_t view_gone(const struct view *v);

/* Counted by the client, with a UID up to this. */
uint32_t view_counted_up_to(const struct view *v, uint32_t uid);

/* The client counts all messages there are from now on. */
void view_count_all(struct view *v);

/* Are there messages it does not count? */
bool view_has_new(const struct view *v);

/* --- view_park.c --- */

/* It is parked, but expunges are being added to what it had known. */
bool view_is_catching_up(const struct view *v);
void view_stop_resuming(struct view *v);

#endif
